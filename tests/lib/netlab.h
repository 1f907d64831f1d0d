/* SPDX-License-Identifier: MIT */
/*
 * netlab.h: a network of the test's own: a namespace in which it is root,
 * interfaces that are made there, and packet sockets to stand at the other
 * end of a tap.  Needs root; a test skips itself without.
 */
#ifndef XVD_TEST_NETLAB_H
#define XVD_TEST_NETLAB_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

/*
 * From here on the process has a network, and mounts, of its own; /sys shows
 * that network.  Return: NULL, or why it cannot be.
 */
static inline const char *netlab_enter(void)
{
	FILE *f;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return "no namespaces without root";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "mounts cannot be made private";
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		return "/sys cannot be mounted";
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return "there is no /dev/net/tun";
	/* Or else the kernel greets every new interface's neighbours. */
	f = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "we");
	if (f) {
		(void)fputs("1", f);
		(void)fclose(f);
	}
	return NULL;
}

/* One ioctl on an interface.  Return: 0 or a negative errno. */
static inline int netlab_ioctl(unsigned long request, struct ifreq *ifr)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = ioctl(s, request, ifr) < 0 ? -errno : 0;

	close(s);
	return r;
}

static inline struct ifreq netlab_ifr(const char *name)
{
	struct ifreq ifr = { 0 };

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ifr;
}

static inline int netlab_flags(const char *name)
{
	struct ifreq ifr = netlab_ifr(name);
	int r = netlab_ioctl(SIOCGIFFLAGS, &ifr);

	return r < 0 ? r : ifr.ifr_flags;
}

static inline int netlab_set_up(const char *name, bool up)
{
	struct ifreq ifr = netlab_ifr(name);
	int r = netlab_ioctl(SIOCGIFFLAGS, &ifr);

	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP :
				ifr.ifr_flags & ~IFF_UP);
	return r < 0 ? r : netlab_ioctl(SIOCSIFFLAGS, &ifr);
}

static inline int netlab_mtu(const char *name)
{
	struct ifreq ifr = netlab_ifr(name);
	int r = netlab_ioctl(SIOCGIFMTU, &ifr);

	return r < 0 ? r : ifr.ifr_mtu;
}

static inline int netlab_set_mtu(const char *name, int mtu)
{
	struct ifreq ifr = netlab_ifr(name);

	ifr.ifr_mtu = mtu;
	return netlab_ioctl(SIOCSIFMTU, &ifr);
}

/* ---- netlink ---- */

struct netlab_msg {
	struct nlmsghdr		nh;
	struct ifinfomsg	ifi;
	char			attrs[256];
};

static inline void netlab_attr(struct netlab_msg *m, unsigned short type,
			       const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)m + NLMSG_ALIGN(m->nh.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	m->nh.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->nh.nlmsg_len) +
				     RTA_ALIGN(a->rta_len));
}

static inline int netlab_talk(struct netlab_msg *m)
{
	struct {
		struct nlmsghdr	nh;
		struct nlmsgerr	err;
		char		more[1024];
	} reply;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int r = -EIO;

	if (send(s, m, m->nh.nlmsg_len, 0) >= 0 &&
	    recv(s, &reply, sizeof(reply), 0) >= (ssize_t)sizeof(reply.nh) &&
	    reply.nh.nlmsg_type == NLMSG_ERROR)
		r = reply.err.error;
	close(s);
	return r;
}

/* Makes an interface of @kind, as "macvtap", on top of @under (or NULL). */
static inline int netlab_add(const char *name, const char *kind,
			     const char *under)
{
	struct netlab_msg m = {
		.nh = {
			.nlmsg_len	= NLMSG_LENGTH(sizeof(m.ifi)),
			.nlmsg_type	= RTM_NEWLINK,
			.nlmsg_flags	= NLM_F_REQUEST | NLM_F_ACK |
					  NLM_F_CREATE | NLM_F_EXCL,
		},
	};
	uint32_t index = under ? if_nametoindex(under) : 0;
	char info[32];
	struct rtattr *a = (void *)info;

	netlab_attr(&m, IFLA_IFNAME, name, strlen(name) + 1);
	if (under)
		netlab_attr(&m, IFLA_LINK, &index, sizeof(index));
	a->rta_type = IFLA_INFO_KIND;
	a->rta_len = (unsigned short)RTA_LENGTH(strlen(kind));
	memcpy(RTA_DATA(a), kind, strlen(kind));
	netlab_attr(&m, IFLA_LINKINFO, info, RTA_ALIGN(a->rta_len));
	return netlab_talk(&m);
}

static inline int netlab_del(const char *name)
{
	struct netlab_msg m = {
		.nh = {
			.nlmsg_len	= NLMSG_LENGTH(sizeof(m.ifi)),
			.nlmsg_type	= RTM_DELLINK,
			.nlmsg_flags	= NLM_F_REQUEST | NLM_F_ACK,
		},
		.ifi.ifi_index = (int)if_nametoindex(name),
	};

	return netlab_talk(&m);
}

/* ---- bridges and taps ---- */

static inline int netlab_bridge(const char *name)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = ioctl(s, SIOCBRADDBR, name) < 0 ? -errno : 0;

	close(s);
	return r < 0 ? r : netlab_set_up(name, true);
}

/* Opens one queue of tap @name, made if need be, as netdev.c would. */
static inline int netlab_tap(const char *name, short more_flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq ifr = netlab_ifr(name);
	int bytes = 12, le = 1;

	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				more_flags);
	if (fd >= 0 && (ioctl(fd, TUNSETIFF, &ifr) < 0 ||
			ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0 ||
			ioctl(fd, TUNSETVNETLE, &le) < 0)) {
		close(fd);
		return -errno;
	}
	return fd < 0 ? -errno : fd;
}

/*
 * A socket that sees the frames that come in by interface @name, and sends
 * out by it.  With @hdr, both begin with a vnet header of 10 bytes.
 */
static inline int netlab_packet(const char *name, bool hdr)
{
	struct sockaddr_ll ll = {
		.sll_family	= AF_PACKET,
		.sll_protocol	= htons(ETH_P_ALL),
		.sll_ifindex	= (int)if_nametoindex(name),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int one = 1;

	if (s >= 0 && (bind(s, (struct sockaddr *)&ll, sizeof(ll)) < 0 ||
		       (hdr && setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one,
					  sizeof(one)) < 0))) {
		close(s);
		return -errno;
	}
	return s < 0 ? -errno : s;
}

/*
 * The next frame of our own kind (@proto) that came in, or out, waiting a
 * while for it.  Return: its bytes, or -ETIMEDOUT.
 */
static inline ssize_t netlab_take(int s, uint16_t proto, void *buf, size_t len)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	const unsigned char *p = buf;
	ssize_t n;
	int i;

	for (i = 0; i < 1000; i++) {
		n = recv(s, buf, len, MSG_DONTWAIT);
		if (n >= 14 && (p[12] << 8 | p[13]) == proto)
			return n;
		if (n < 0)
			(void)nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

#endif
