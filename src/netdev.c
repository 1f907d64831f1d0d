/* SPDX-License-Identifier: MIT */
/*
 * netdev.c: from "bridge=xenbr0" or "tap=tap7" to open descriptors.
 *
 *	is the bridge one?	-> make, or find and open, the interface
 *	-> header, byte order	-> what can the kernel leave undone?
 *	-> MTU			-> plug in: netscript.c, or into the bridge
 *	-> up			-> what did it become?
 *
 * What is sent by way of the tap is not limited with TUNSETSNDBUF, but by
 * the queue of the interface where it leaves.  A limit would count frames
 * until their last reader is done with them; if that is another guest's
 * backend, that guest could stop this one's traffic to everybody.
 *
 * A tap goes with its last descriptor, so one is kept here: the backend may
 * close its own, and the script that unplugs still finds the interface.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include "backends/net/tap.h"
#include "log.h"
#include "netdev.h"
#include "netscript.h"
#include "util.h"

#define MTU_DEFAULT	1500u
#define TAP_MTU_MAX	65521u
#define VIRTIO_MTU_MAX	65535u	/* what the device's config can say */

_Static_assert(NETDEV_NAME_LEN == IFNAMSIZ, "names");

struct netdev {
	struct netdev_opts	opts;
	struct netdev_info	info;
	int			fds[NET_MAX_QUEUES];	/* -1: none */
	int			keep;		/* see above; -1: none */
	int			sock;		/* for ioctls; -1: none */
	short			flags;		/* of TUNSETIFF */
	bool			macvtap;
	char			*script;	/* its path; NULL: none */
	bool			plugged;	/* script has run */
	bool			open;		/* completely */
	char			*why;
	size_t			why_len;
};

__attribute__((format(printf, 3, 4)))
static int netdev_refuse(struct netdev *nd, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(nd->why, nd->why_len, fmt, ap);	/* cut if too long */
	va_end(ap);
	return err;
}

/* ---- asking the kernel ---- */

static struct ifreq netdev_ifr(const struct netdev *nd)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, nd->info.ifname, sizeof(ifr.ifr_name));
	return ifr;
}

/* Opens /sys/class/net/@ifname/@file.  Return: NULL if there is none. */
static FILE *sysfs_open(const char *ifname, const char *file)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/%s", ifname,
		       file);
	return fopen(path, "re");
}

static bool sysfs_has(const char *ifname, const char *file)
{
	FILE *f = sysfs_open(ifname, file);

	if (f)
		(void)fclose(f);	/* was not even read */
	return f != NULL;
}

/* A number as the kernel writes it, 4097 or 0x1001. */
static bool sysfs_number(const char *ifname, const char *file,
			 unsigned int *ret)
{
	FILE *f = sysfs_open(ifname, file);
	int n, v = 0;

	if (!f)
		return false;
	n = fscanf(f, "%i", &v);
	(void)fclose(f);		/* was only read */
	*ret = (unsigned int)v;
	return n == 1;
}

static int netdev_get_mtu(struct netdev *nd, const char *ifname,
			  unsigned int *ret)
{
	struct ifreq ifr = { 0 };

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (ioctl(nd->sock, SIOCGIFMTU, &ifr) < 0)
		return netdev_refuse(nd, -errno, "'%s': cannot ask for its MTU: %m",
				     ifname);
	*ret = (unsigned int)ifr.ifr_mtu;
	return 0;
}

static int netdev_open_sock(struct netdev *nd)
{
	nd->sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (nd->sock < 0)
		nd->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (nd->sock < 0)
		return netdev_refuse(nd, -errno, "cannot open a socket: %m");
	return 0;
}

/* ---- the bridge ---- */

static int netdev_refuse_bridge(struct netdev *nd)
{
	return netdev_refuse(nd, -EINVAL, "bridge='%s' is an interface, but no bridge; name one that 'ip link show type bridge' shows (for Open vSwitch say script=vif-openvswitch)",
			     nd->opts.bridge);
}

/* With a script of the operator's own, it may be no bridge that we know. */
static int netdev_check_bridge(struct netdev *nd)
{
	const char *bridge = nd->opts.bridge;
	bool own = nd->opts.script && strcmp(nd->opts.script, "no") != 0;

	if (!bridge || own)
		return 0;
	if (if_nametoindex(bridge) == 0)
		return netdev_refuse(nd, -ENODEV, "bridge='%s' does not exist; make it with 'ip link add %s type bridge', or name one that 'ip link show type bridge' shows",
				     bridge, bridge);
	if (sysfs_has(bridge, "ifindex") &&
	    !sysfs_has(bridge, "bridge/bridge_id"))
		return netdev_refuse_bridge(nd);
	return 0;
}

/* ---- the interface ---- */

static int netdev_refuse_dev(struct netdev *nd, int err, const char *path)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return netdev_refuse(nd, err, "%s is missing: is the module loaded ('modprobe %s')?",
				     path, nd->macvtap ? "macvtap" : "tun");
	case -EACCES:
	case -EPERM:
		return netdev_refuse(nd, err, "%s cannot be opened: %s; are you root?",
				     path, strerror(-err));
	case -EBUSY:
		return netdev_refuse(nd, err, "tap='%s' is in use by another process",
				     nd->info.ifname);
	default:
		return netdev_refuse(nd, err, "%s cannot be opened: %s", path,
				     strerror(-err));
	}
}

static int netdev_refuse_iff(struct netdev *nd, int err)
{
	const char *name = nd->info.ifname;

	if (err == -EPERM || err == -EACCES)
		return netdev_refuse(nd, err, "%s='%s': this user may not %s it; are you root?",
				     nd->opts.tap ? "tap" : "ifname", name,
				     nd->opts.tap ? "use" : "make");
	if (nd->opts.tap && err == -EBUSY)
		return netdev_refuse(nd, err, "tap='%s' is in use by another process",
				     name);
	if (!nd->opts.tap && (err == -EBUSY || err == -EINVAL) &&
	    if_nametoindex(name))
		return netdev_refuse(nd, err, "ifname='%s' exists already%s; choose another name, or say tap=%s if it is a tap that you want to use",
				     name, nd->opts.persist ?
				     " and is in use, or was made for another number of queues"
				     : "", name);
	return netdev_refuse(nd, err, "%s='%s': the kernel refuses the tap: %s",
			     nd->opts.tap ? "tap" : "ifname", name,
			     strerror(-err));
}

static int netdev_open_queue(struct netdev *nd, const char *path,
			     unsigned int queue)
{
	struct ifreq ifr = netdev_ifr(nd);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return netdev_refuse_dev(nd, -errno, path);
	nd->fds[queue] = fd;
	ifr.ifr_flags = nd->flags;
	if (queue == 0 && !nd->opts.tap && !nd->opts.persist)
		ifr.ifr_flags |= (short)IFF_TUN_EXCL;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return netdev_refuse_iff(nd, -errno);
	return 0;
}

/*
 * The kernel lets anybody add queues to a tap that has several, and deals the
 * frames out among them: two guests would each get a part.  As many queues as
 * are open are shown.  (A macvtap shows nothing of the kind.)
 */
static int netdev_check_alone(struct netdev *nd)
{
	char file[32];

	(void)snprintf(file, sizeof(file), "queues/tx-%u",
		       nd->info.net.queues);
	if (nd->macvtap || !sysfs_has(nd->info.ifname, file))
		return 0;
	return netdev_refuse(nd, -EBUSY, "%s='%s' is in use by another process",
			     nd->opts.tap ? "tap" : "ifname",
			     nd->info.ifname);
}

static int netdev_open_queues(struct netdev *nd, const char *path)
{
	unsigned int i;
	int r;

	for (i = 0; i < nd->info.net.queues; i++) {
		r = netdev_open_queue(nd, path, i);
		if (r < 0)
			return r;
	}
	r = netdev_check_alone(nd);
	if (r < 0)
		return r;
	nd->keep = fcntl(nd->fds[0], F_DUPFD_CLOEXEC, 3);
	if (nd->keep < 0)
		return netdev_refuse(nd, -errno, "cannot keep '%s': %m",
				     nd->info.ifname);
	return 0;
}

static int netdev_create(struct netdev *nd)
{
	unsigned int slot = nd->opts.devfn >> 3, fn = nd->opts.devfn & 7;
	char *name = nd->info.ifname;

	if (nd->opts.ifname)
		(void)snprintf(name, IFNAMSIZ, "%s", nd->opts.ifname);
	else if (fn)
		(void)snprintf(name, IFNAMSIZ, "vif%u.%02x.%u-v",
			       nd->opts.domid, slot, fn);
	else
		(void)snprintf(name, IFNAMSIZ, "vif%u.%02x-v",
			       nd->opts.domid, slot);
	if (nd->info.net.queues > 1)
		nd->flags |= IFF_MULTI_QUEUE;
	return netdev_open_queues(nd, "/dev/net/tun");
}

/* A tap that exists has its own idea of whether it has several queues. */
static int netdev_use_tap(struct netdev *nd, unsigned int flags)
{
	const char *tap = nd->opts.tap;
	unsigned int queues = nd->info.net.queues;

	if ((flags & 0xf) != IFF_TAP)
		return netdev_refuse(nd, -EINVAL, "tap='%s' is a tun without Ethernet; one with 'mode tap' is needed",
				     tap);
	if (queues > 1 && !(flags & IFF_MULTI_QUEUE))
		return netdev_refuse(nd, -EINVAL, "queues='%u': tap '%s' was made for one; use queues=1, or make it with 'ip tuntap add dev %s mode tap multi_queue'",
				     queues, tap, tap);
	nd->flags |= flags & IFF_MULTI_QUEUE;
	return netdev_open_queues(nd, "/dev/net/tun");
}

/* Its device node bears a number that another namespace may use as well. */
static int netdev_use_macvtap(struct netdev *nd)
{
	struct ifreq ifr = { 0 };
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/dev/tap%u",
		       if_nametoindex(nd->opts.tap));
	nd->macvtap = true;
	nd->flags |= IFF_MULTI_QUEUE;
	r = netdev_open_queues(nd, path);
	if (r < 0)
		return r;
	if (ioctl(nd->fds[0], TUNGETIFF, &ifr) < 0 ||
	    strncmp(ifr.ifr_name, nd->opts.tap, IFNAMSIZ) != 0)
		return netdev_refuse(nd, -ENODEV, "tap='%s': %s belongs to another macvtap, '%.15s'",
				     nd->opts.tap, path, ifr.ifr_name);
	return 0;
}

static int netdev_interface(struct netdev *nd)
{
	const char *tap = nd->opts.tap;
	unsigned int flags;

	nd->flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (!tap)
		return netdev_create(nd);
	(void)snprintf(nd->info.ifname, IFNAMSIZ, "%s", tap);
	if (if_nametoindex(tap) == 0)
		return netdev_refuse(nd, -ENODEV, "tap='%s' does not exist; make it with 'ip tuntap add dev %s mode tap', or say bridge=NAME to have one made",
				     tap, tap);
	if (sysfs_number(tap, "tun_flags", &flags))
		return netdev_use_tap(nd, flags);
	if (sysfs_has(tap, "macvtap"))
		return netdev_use_macvtap(nd);
	return netdev_refuse(nd, -EINVAL, "tap='%s' is an interface, but neither a tap nor a macvtap",
			     tap);
}

static int netdev_headers(struct netdev *nd)
{
	int bytes = NET_HDR_BYTES, le = 1, unlimited = INT_MAX;
	unsigned int i;

	for (i = 0; i < nd->info.net.queues; i++)
		if (ioctl(nd->fds[i], TUNSETVNETHDRSZ, &bytes) < 0 ||
		    ioctl(nd->fds[i], TUNSETVNETLE, &le) < 0 ||
		    ioctl(nd->fds[i], TUNSETSNDBUF, &unlimited) < 0)
			return netdev_refuse(nd, -errno, "'%s': this kernel's taps lack what virtio needs: %m",
					     nd->info.ifname);
	return 0;
}

/* Taps take whatever they can deliver; the oldest that we meet lack USO. */
static int netdev_offloads(struct netdev *nd)
{
	const unsigned int old = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN;
	const unsigned int all = old | NET_USO4 | NET_USO6;
	struct net_info *net = &nd->info.net;
	unsigned int can = all;
	int r;

	r = tap_fd_set_offloads(nd->fds[0], can);
	if (r == -EINVAL) {
		can = old;
		r = tap_fd_set_offloads(nd->fds[0], can);
	}
	if (!r)
		r = tap_fd_set_offloads(nd->fds[0], 0);
	if (r < 0)
		return netdev_refuse(nd, r, "'%s': the kernel refuses all offloads: %s",
				     nd->info.ifname, strerror(-r));
	net->send_offloads = tap_usable_offloads(net->send_offloads & can);
	net->recv_offloads = tap_usable_offloads(net->recv_offloads & can);
	return 0;
}

static int netdev_set_mtu(struct netdev *nd, unsigned int mtu)
{
	struct ifreq ifr = netdev_ifr(nd);
	int r;

	ifr.ifr_mtu = (int)mtu;
	if (ioctl(nd->sock, SIOCSIFMTU, &ifr) == 0)
		return 0;
	r = -errno;
	if (r != -EINVAL)
		return netdev_refuse(nd, r, "mtu='%u': '%s' does not take it: %s",
				     mtu, nd->info.ifname, strerror(-r));
	if (nd->macvtap)
		return netdev_refuse(nd, r, "mtu='%u': macvtap '%s' goes no further than the interface below it",
				     mtu, nd->info.ifname);
	return netdev_refuse(nd, r, "mtu='%u': tap '%s' goes no further than %u",
			     mtu, nd->info.ifname, TAP_MTU_MAX);
}

/*
 * Before it is plugged in: a bridge takes over the least MTU of its ports.
 */
static int netdev_mtu(struct netdev *nd)
{
	unsigned int mtu = nd->opts.mtu;
	int r;

	if (!mtu && nd->opts.bridge && if_nametoindex(nd->opts.bridge)) {
		r = netdev_get_mtu(nd, nd->opts.bridge, &mtu);
		if (r < 0)
			return r;
		mtu = MIN(mtu, TAP_MTU_MAX);
	}
	return mtu ? netdev_set_mtu(nd, mtu) : 0;
}

/*
 * A macvtap hands over frames to its own address only.  What the guest is
 * told must be the same.
 */
static int netdev_own_mac(struct netdev *nd)
{
	struct ifreq ifr = netdev_ifr(nd);
	const uint8_t *own = (const uint8_t *)ifr.ifr_hwaddr.sa_data;

	if (!nd->macvtap)
		return 0;
	if (ioctl(nd->sock, SIOCGIFHWADDR, &ifr) < 0)
		return netdev_refuse(nd, -errno, "'%s': cannot ask for its address: %m",
				     nd->info.ifname);
	if (nd->opts.mac_given && memcmp(own, nd->opts.mac, 6) != 0)
		return netdev_refuse(nd, -EINVAL, "mac='%02x:%02x:%02x:%02x:%02x:%02x': macvtap '%s' takes in only frames for %02x:%02x:%02x:%02x:%02x:%02x; leave mac out, or give it this address with 'ip link set'",
				     nd->opts.mac[0], nd->opts.mac[1],
				     nd->opts.mac[2], nd->opts.mac[3],
				     nd->opts.mac[4], nd->opts.mac[5],
				     nd->info.ifname, own[0], own[1], own[2],
				     own[3], own[4], own[5]);
	memcpy(nd->info.mac, own, 6);
	return 0;
}

/* ---- plugging in ---- */

/* Both: that nothing can be plugged out is to be known before it is in. */
static int netdev_find_scripts(struct netdev *nd)
{
	const char *down = nd->opts.downscript;
	int r;

	r = netscript_find(nd->opts.script, nd->opts.bridge != NULL,
			   &nd->script, nd->why, nd->why_len);
	if (r < 0 || !down || strcmp(down, "no") == 0)
		return r;
	return netscript_check("downscript", down, nd->why, nd->why_len);
}

static int netdev_run_script(struct netdev *nd, const char *key,
			     const char *path, const char *action)
{
	struct netscript ns = {
		.key	= key,
		.path	= path,
		.action	= action,
		.ifname	= nd->info.ifname,
		.bridge	= nd->opts.bridge,
		.domid	= nd->opts.domid,
		.devfn	= nd->opts.devfn,
		.ms	= nd->opts.script_ms,
	};

	memcpy(ns.mac, nd->info.mac, sizeof(ns.mac));
	return netscript_run(&ns, nd->why, nd->why_len);
}

/*
 * As vif-bridge does it: a bridge without an address of its own takes the
 * least of its ports', which must not be a guest's that comes and goes; and
 * dom0 itself shall not speak on this port.
 */
static int netdev_quiet_port(struct netdev *nd)
{
	static const uint8_t highest[6] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct ifreq ifr = netdev_ifr(nd);
	char path[80];
	FILE *f;

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, highest, sizeof(highest));
	if (ioctl(nd->sock, SIOCSIFHWADDR, &ifr) < 0)
		return netdev_refuse(nd, -errno, "'%s': cannot set its address: %m",
				     nd->info.ifname);
	(void)snprintf(path, sizeof(path),
		       "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
		       nd->info.ifname);
	f = fopen(path, "we");
	if (f) {			/* else there is no IPv6 */
		(void)fputs("1", f);
		(void)fclose(f);	/* a kernel that refuses may */
	}
	return 0;
}

/* It is a port already, as one that persists is, but of which bridge? */
static int netdev_check_port(struct netdev *nd)
{
	unsigned int index;

	if (sysfs_number(nd->info.ifname, "brport/bridge/ifindex", &index) &&
	    index == if_nametoindex(nd->opts.bridge))
		return 0;
	return netdev_refuse(nd, -EBUSY, "bridge='%s': '%s' persists, and is plugged in elsewhere; take it out with 'ip link set %s nomaster'",
			     nd->opts.bridge, nd->info.ifname,
			     nd->info.ifname);
}

static int netdev_join_bridge(struct netdev *nd)
{
	const char *bridge = nd->opts.bridge;
	struct ifreq ifr = { 0 };
	int r;

	r = netdev_quiet_port(nd);
	if (r < 0)
		return r;
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	ifr.ifr_ifindex = (int)if_nametoindex(nd->info.ifname);
	if (ioctl(nd->sock, SIOCBRADDIF, &ifr) == 0)
		return 0;
	r = -errno;
	if (r == -EBUSY && nd->opts.persist)
		return netdev_check_port(nd);
	if (r == -EOPNOTSUPP)
		return netdev_refuse_bridge(nd);
	return netdev_refuse(nd, r, "bridge='%s' does not take '%s': %s",
			     bridge, nd->info.ifname, strerror(-r));
}

static int netdev_plug(struct netdev *nd)
{
	int r;

	if (nd->script) {
		nd->plugged = true;	/* also if only half */
		r = netdev_run_script(nd, "script", nd->script, "add");
		if (r < 0)
			return r;
	} else if (nd->opts.bridge) {
		return netdev_join_bridge(nd);
	}
	return 0;
}

/* A script may have done so already, or not. */
static int netdev_bring_up(struct netdev *nd)
{
	struct ifreq ifr = netdev_ifr(nd);

	if (ioctl(nd->sock, SIOCGIFFLAGS, &ifr) == 0) {
		if (ifr.ifr_flags & IFF_UP)
			return 0;
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(nd->sock, SIOCSIFFLAGS, &ifr) == 0)
			return 0;
	}
	return netdev_refuse(nd, -errno, "'%s' cannot be brought up: %m",
			     nd->info.ifname);
}

/* vif-bridge gives the interface the bridge's MTU, whatever it had. */
static int netdev_settle(struct netdev *nd)
{
	int r;

	r = netdev_get_mtu(nd, nd->info.ifname, &nd->info.mtu);
	if (!r && nd->opts.mtu && nd->opts.mtu != nd->info.mtu) {
		r = netdev_set_mtu(nd, nd->opts.mtu);
		nd->info.mtu = nd->opts.mtu;
	}
	/* A macvtap may have more; the guest need not know. */
	nd->info.mtu = MIN(nd->info.mtu, VIRTIO_MTU_MAX);
	if (r < 0 || !nd->opts.persist)
		return r;
	if (ioctl(nd->fds[0], TUNSETPERSIST, 1) < 0)
		return netdev_refuse(nd, -errno, "persist='on': the kernel refuses: %m");
	return 0;
}

/* ---- the whole ---- */

static int netdev_do_open(struct netdev *nd)
{
	static int (*const steps[])(struct netdev *nd) = {
		netdev_open_sock, netdev_check_bridge, netdev_find_scripts,
		netdev_interface, netdev_headers, netdev_offloads,
		netdev_own_mac, netdev_mtu, netdev_plug, netdev_bring_up,
		netdev_settle,
	};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(steps) && !r; i++)
		r = steps[i](nd);
	return r;
}

int netdev_open(const struct netdev_opts *opts, struct netdev **ret,
		char *why, size_t why_len)
{
	struct netdev *nd = calloc(1, sizeof(*nd));
	unsigned int i;
	int r = 0;

	if (!nd) {
		(void)snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	nd->opts = *opts;
	nd->info.net = opts->wanted;
	nd->info.mtu = opts->mtu ? opts->mtu : MTU_DEFAULT;
	memcpy(nd->info.mac, opts->mac, sizeof(nd->info.mac));
	for (i = 0; i < NET_MAX_QUEUES; i++)
		nd->fds[i] = -1;
	nd->keep = nd->sock = -1;
	nd->why = why;
	nd->why_len = why_len;
	if (opts->bridge || opts->tap)
		r = netdev_do_open(nd);
	nd->why = NULL;
	nd->why_len = 0;
	if (r < 0) {
		netdev_close(nd);
		return r;
	}
	nd->open = true;
	*ret = nd;
	return 0;
}

/* The way out: whatever fails is told, and the rest done all the same. */
static void netdev_unplug(struct netdev *nd)
{
	const char *down = nd->opts.downscript;
	char why[PATH_MAX + 160] = "";
	int r = 0;

	if (!nd->plugged || (nd->open && nd->opts.persist) ||
	    if_nametoindex(nd->info.ifname) == 0)
		return;
	nd->why = why;
	nd->why_len = sizeof(why);
	if (down && strcmp(down, "no") != 0)
		r = netdev_run_script(nd, "downscript", down, "remove");
	else if (!down && netscript_is_toolstack(nd->script))
		r = netdev_run_script(nd, "script", nd->script, "remove");
	if (r < 0 && nd->open)		/* else there is a line already */
		log_warn("d%u: %s", nd->opts.domid, why);
}

void netdev_close(struct netdev *nd)
{
	unsigned int i;

	if (!nd)
		return;
	netdev_unplug(nd);
	for (i = 0; i < NET_MAX_QUEUES; i++)
		if (nd->fds[i] >= 0)
			close(nd->fds[i]);
	if (nd->keep >= 0)
		close(nd->keep);
	if (nd->sock >= 0)
		close(nd->sock);
	free(nd->script);
	free(nd);
}

const struct netdev_info *netdev_info(const struct netdev *nd)
{
	return &nd->info;
}

enum netdev_link netdev_link(const struct netdev *nd)
{
	struct ifreq ifr = { 0 };
	const int want = IFF_UP | IFF_RUNNING;

	if (nd->keep < 0)
		return NETDEV_UP;
	if (ioctl(nd->keep, TUNGETIFF, &ifr) < 0 ||
	    ioctl(nd->sock, SIOCGIFFLAGS, &ifr) < 0)
		return NETDEV_GONE;
	return (ifr.ifr_flags & want) == want ? NETDEV_UP : NETDEV_DOWN;
}

void netdev_take_fds(struct netdev *nd, int ret[NET_MAX_QUEUES])
{
	unsigned int i;

	for (i = 0; i < NET_MAX_QUEUES; i++) {
		ret[i] = nd->fds[i];
		nd->fds[i] = -1;
	}
}

/* FNV-1a, 64 bits. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len-- > 0)
		hash = (hash ^ *p++) * 0x100000001b3ull;
	return hash;
}

/* As libxl's own, with the highest bit of the three free bytes clear. */
void netdev_mac(const char *guest, uint8_t devfn, uint8_t ret[6])
{
	uint64_t hash = 0xcbf29ce484222325ull;

	hash = hash_bytes(hash, guest, strlen(guest) + 1);
	hash = hash_bytes(hash, &devfn, 1);
	hash ^= hash >> 32;
	hash ^= hash >> 24;
	ret[0] = 0x00;
	ret[1] = 0x16;
	ret[2] = 0x3e;
	ret[3] = (uint8_t)(hash >> 16) & 0x7f;
	ret[4] = (uint8_t)(hash >> 8);
	ret[5] = (uint8_t)hash;
}
