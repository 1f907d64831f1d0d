/* SPDX-License-Identifier: MIT */
/*
 * test_netdev.c: making, finding and plugging in interfaces, with a network
 * namespace, bridges and scripts of our own; every refusal, word for word
 * where the words are ours; and nothing left behind, whatever went wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "log.h"
#include "loop.h"
#include "netdev.h"
#include "netlab.h"
#include "netscript.h"
#include "unit.h"
#include "util.h"

#define NAME	"vif7.18-v"		/* what opts below lead to */
#define ALL	0x3fu			/* offloads */
#define TSO	(NET_TSO4 | NET_TSO6 | NET_TSO_ECN)

static const char *cannot;		/* run at all, because */
static char dir[64], path[96], text[4096];
static struct netdev_opts opts;
static struct netdev *nd;
static const struct netdev_info *info;
static char why[600];

/* ---- files ---- */

static const char *in_dir(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make_script(const char *file, const char *body)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "#!/bin/sh\nD=%s\n%s\n", dir, body) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0755), 0);
}

/* What a script has written to "out", and gone. */
static const char *script_said(void)
{
	FILE *f = fopen(in_dir("out"), "re");
	size_t n;

	if (!f)
		return "";
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	assert_int_equal(unlink(path), 0);
	return text;
}

/* ---- what every test begins and ends with ---- */

/* The interfaces that there are, the loopback and bridges aside. */
static unsigned int count_interfaces(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned int i, n = 0;

	assert_non_null(list);
	for (i = 0; list[i].if_index; i++)
		n += strcmp(list[i].if_name, "lo") != 0 &&
		     strncmp(list[i].if_name, "br", 2) != 0;
	if_freenameindex(list);
	return n;
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned int fds_before;

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/xvd-netdev.XXXXXX",
		       tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	opts = (struct netdev_opts){
		.domid	= 7,
		.devfn	= 0x18 << 3,
		.mac	= { 0x00, 0x16, 0x3e, 1, 2, 3 },
		.wanted	= {
			.queues		= 1,
			.send_offloads	= ALL,
			.recv_offloads	= ALL,
		},
	};
	nd = NULL;
	why[0] = '\0';
	fds_before = count_fds();
	if (!cannot)
		assert_int_equal(netlab_bridge("br0"), 0);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "up", "down", "out", "bad" };
	unsigned int i;

	(void)state;
	netdev_close(nd);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlink(in_dir(names[i]));
	assert_int_equal(rmdir(dir), 0);
	if (cannot)
		return 0;
	assert_int_equal(count_interfaces(), 0);
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(netlab_set_up("br0", false), 0);
	assert_int_equal(netlab_del("br0"), 0);
	return 0;
}

static void need_root(void)
{
	if (!cannot)
		return;
	print_message("# %s\n", cannot);
	skip();
}

static void opens(void)
{
	int r;

	nd = NULL;
	why[0] = '\0';
	r = netdev_open(&opts, &nd, why, sizeof(why));
	if (r < 0)
		fail_msg("%d: %s", r, why);
	assert_string_equal(why, "");
	info = netdev_info(nd);
}

/* Closes, and says if the interface is still there. */
static bool closes(const char *name)
{
	netdev_close(nd);
	nd = NULL;
	return if_nametoindex(name) != 0;
}

static void refuses(int err, const char *text_wanted)
{
	struct netdev *none = (void *)&none;
	unsigned int before = count_interfaces();
	int r;

	strcpy(why, "(nothing)");
	r = netdev_open(&opts, &none, why, sizeof(why));
	if (r == 0)
		netdev_close(none);
	assert_string_equal(why, text_wanted);
	assert_int_equal(r, err);
	assert_ptr_equal(none, &none);
	assert_int_equal(count_interfaces(), before);
}

static bool is_in_bridge(const char *name, const char *bridge)
{
	char file[96];

	(void)snprintf(file, sizeof(file), "/sys/class/net/%s/brif/%s", bridge,
		       name);
	return access(file, F_OK) == 0;
}

/* ---- without an interface ---- */

static void test_mac(void **state)
{
	uint8_t a[6], b[6];
	unsigned int i, j;

	(void)state;
	/* This one must never change: guests know themselves by it. */
	netdev_mac("web1", 0x18 << 3, a);
	assert_memory_equal(a, "\x00\x16\x3e\x27\xe4\x1d", 6);

	netdev_mac("web1", 0x18 << 3, b);
	assert_memory_equal(a, b, 6);
	netdev_mac("web1", 0x19 << 3, b);
	assert_memory_not_equal(a, b, 6);
	netdev_mac("web2", 0x18 << 3, b);
	assert_memory_not_equal(a, b, 6);
	netdev_mac("", 0, a);
	netdev_mac("\xff", 0, b);
	assert_memory_not_equal(a, b, 6);
	for (i = 0; i < 256; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "guest%u", i);
		netdev_mac(name, (uint8_t)i, a);
		assert_memory_equal(a, "\x00\x16\x3e", 3);
		assert_true(a[3] < 0x80);
		for (j = 0; j < i; j++) {
			(void)snprintf(name, sizeof(name), "guest%u", j);
			netdev_mac(name, (uint8_t)j, b);
			assert_memory_not_equal(a, b, 6);
		}
	}
}

static void test_no_cable(void **state)
{
	int fds[NET_MAX_QUEUES];

	(void)state;
	opens();
	assert_string_equal(info->ifname, "");
	assert_int_equal(info->mtu, 1500);
	assert_memory_equal(info->mac, opts.mac, 6);
	assert_int_equal(info->net.send_offloads, ALL);
	netdev_take_fds(nd, fds);
	assert_int_equal(fds[0], -1);
	assert_int_equal(netdev_link(nd), NETDEV_UP);
	netdev_close(nd);
	opts.mtu = 9000;
	opens();
	assert_int_equal(info->mtu, 9000);
	netdev_close(nd);
	netdev_close(NULL);
	nd = NULL;
}

/* ---- in a bridge ---- */

static void test_bridge(void **state)
{
	struct ifreq ifr = netlab_ifr(NAME);
	int fds[NET_MAX_QUEUES], bytes = 0;
	unsigned int i;

	(void)state;
	need_root();
	assert_int_equal(netlab_set_mtu("br0", 1400), 0);
	opts.bridge = "br0";
	opts.script = "no";
	opens();
	assert_string_equal(info->ifname, NAME);
	assert_int_equal(info->mtu, 1400);
	assert_int_equal(info->net.queues, 1);
	assert_memory_equal(info->mac, opts.mac, 6);
	assert_true(is_in_bridge(NAME, "br0"));
	assert_true(netlab_flags(NAME) & IFF_UP);
	assert_int_equal(netlab_mtu(NAME), 1400);
	assert_int_equal(netlab_ioctl(SIOCGIFHWADDR, &ifr), 0);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data,
			    "\xfe\xff\xff\xff\xff\xff", 6);

	netdev_take_fds(nd, fds);
	assert_true(fds[0] >= 0);
	for (i = 1; i < NET_MAX_QUEUES; i++)
		assert_int_equal(fds[i], -1);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(ioctl(fds[0], TUNGETVNETHDRSZ, &bytes), 0);
	assert_int_equal(bytes, NET_HDR_BYTES);
	assert_int_equal(ioctl(fds[0], TUNGETVNETLE, &bytes), 0);
	assert_int_equal(bytes, 1);
	assert_int_equal(ioctl(fds[0], TUNGETSNDBUF, &bytes), 0);
	assert_int_equal(bytes, 0x7fffffff);

	/* It lasts until it is closed here, too. */
	close(fds[0]);
	assert_true(if_nametoindex(NAME) != 0);
	assert_false(closes(NAME));
	assert_int_equal(netlab_mtu("br0"), 1400);
}

static void test_names(void **state)
{
	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opts.domid = 32751;
	opts.devfn = 0x1e << 3 | 7;
	opens();
	assert_string_equal(info->ifname, "vif32751.1e.7-v");
	assert_false(closes("vif32751.1e.7-v"));
	opts.ifname = "web1-eth0-12345";
	opens();
	assert_string_equal(info->ifname, "web1-eth0-12345");
	assert_true(is_in_bridge("web1-eth0-12345", "br0"));

	/* There cannot be two; and the first one is not harmed. */
	refuses(-EBUSY, "ifname='web1-eth0-12345' exists already; choose another name, or say tap=web1-eth0-12345 if it is a tap that you want to use");
	opts.ifname = "br0";
	refuses(-EBUSY, "ifname='br0' exists already; choose another name, or say tap=br0 if it is a tap that you want to use");
	assert_false(closes("web1-eth0-12345"));
}

static void test_mtu(void **state)
{
	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opts.mtu = 9000;
	opens();
	assert_int_equal(info->mtu, 9000);
	assert_int_equal(netlab_mtu(NAME), 9000);
	assert_false(closes(NAME));
	opts.mtu = 65521;
	opens();
	assert_int_equal(info->mtu, 65521);
	assert_false(closes(NAME));
	opts.mtu = 65522;
	refuses(-EINVAL, "mtu='65522': tap 'vif7.18-v' goes no further than 65521");
}

static void test_queues(void **state)
{
	int fds[NET_MAX_QUEUES];
	unsigned int i;

	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opts.wanted.queues = 8;
	opens();
	assert_int_equal(info->net.queues, 8);
	netdev_take_fds(nd, fds);
	for (i = 0; i < 8; i++) {
		assert_true(fds[i] >= 0);
		close(fds[i]);
	}
	assert_false(closes(NAME));
}

static void test_offloads(void **state)
{
	static const struct {
		unsigned int asked, got;
	} t[] = {
		{ 0, 0 },
		{ NET_CSUM, NET_CSUM },
		{ NET_CSUM | TSO, NET_CSUM | TSO },
		{ TSO, 0 },
		{ NET_CSUM | NET_TSO_ECN, NET_CSUM },
		{ NET_CSUM | NET_USO4, NET_CSUM },
	};
	unsigned int i;

	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opens();
	/* All that the kernel has: at least those of before 6.2. */
	assert_int_equal(info->net.send_offloads | NET_USO4 | NET_USO6, ALL);
	assert_int_equal(info->net.recv_offloads, info->net.send_offloads);
	netdev_close(nd);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		opts.wanted.recv_offloads = t[i].asked;
		opts.wanted.send_offloads = t[ARRAY_SIZE(t) - 1 - i].asked;
		opens();
		assert_int_equal(info->net.recv_offloads, t[i].got);
		assert_int_equal(info->net.send_offloads,
				 t[ARRAY_SIZE(t) - 1 - i].got);
		netdev_close(nd);
	}
	nd = NULL;
}

static void test_persist(void **state)
{
	int fd;

	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opts.persist = true;
	opens();
	assert_true(closes(NAME));
	assert_true(is_in_bridge(NAME, "br0"));
	opens();				/* the same again */
	assert_true(closes(NAME));

	/* One guest's network is not another's. */
	assert_int_equal(netlab_bridge("br1"), 0);
	opts.bridge = "br1";
	refuses(-EBUSY, "bridge='br1': 'vif7.18-v' persists, and is plugged in elsewhere; take it out with 'ip link set vif7.18-v nomaster'");
	assert_true(is_in_bridge(NAME, "br0"));
	assert_int_equal(netlab_set_up("br1", false), 0);
	assert_int_equal(netlab_del("br1"), 0);
	opts.bridge = "br0";

	opts.wanted.queues = 2;
	refuses(-EINVAL, "ifname='vif7.18-v' exists already and is in use, or was made for another number of queues; choose another name, or say tap=vif7.18-v if it is a tap that you want to use");
	fd = netlab_tap(NAME, 0);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
	assert_int_equal(if_nametoindex(NAME), 0);

	/* The same name twice, with queues to share. */
	opts.wanted.queues = 2;
	opens();
	refuses(-EBUSY, "ifname='vif7.18-v' is in use by another process");
	assert_true(closes(NAME));
	assert_int_equal(netlab_del(NAME), 0);

	/* What fails does not persist. */
	opts.wanted.queues = 1;
	opts.mtu = 65535;
	refuses(-EINVAL, "mtu='65535': tap 'vif7.18-v' goes no further than 65521");
}

static void test_bridge_refused(void **state)
{
	(void)state;
	need_root();
	opts.bridge = "br7";
	refuses(-ENODEV, "bridge='br7' does not exist; make it with 'ip link add br7 type bridge', or name one that 'ip link show type bridge' shows");
	opts.bridge = "lo";
	refuses(-EINVAL, "bridge='lo' is an interface, but no bridge; name one that 'ip link show type bridge' shows (for Open vSwitch say script=vif-openvswitch)");
}

/* ---- somebody else's taps ---- */

static void test_tap(void **state)
{
	int fd;

	(void)state;
	need_root();
	fd = netlab_tap("tap7", 0);
	assert_true(fd >= 0);
	opts.tap = "tap7";
	refuses(-EBUSY, "tap='tap7' is in use by another process");
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);

	opens();
	assert_string_equal(info->ifname, "tap7");
	assert_int_equal(info->mtu, 1500);
	assert_true(netlab_flags("tap7") & IFF_UP);
	assert_true(closes("tap7"));		/* not ours to remove */
	opts.mtu = 4000;
	opens();
	assert_int_equal(info->mtu, 4000);
	assert_true(closes("tap7"));
	opts.wanted.queues = 2;
	refuses(-EINVAL, "queues='2': tap 'tap7' was made for one; use queues=1, or make it with 'ip tuntap add dev tap7 mode tap multi_queue'");
	assert_int_equal(netlab_del("tap7"), 0);

	/* One for several queues serves one as well. */
	fd = netlab_tap("tap7", IFF_MULTI_QUEUE);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);

	/* The kernel would let us in beside whoever uses it. */
	opts.mtu = 1400;
	refuses(-EBUSY, "tap='tap7' is in use by another process");
	opts.wanted.queues = 1;
	refuses(-EBUSY, "tap='tap7' is in use by another process");
	opts.wanted.queues = 2;
	opts.mtu = 4000;
	assert_int_equal(netlab_mtu("tap7"), 1500);
	close(fd);
	opens();
	assert_int_equal(info->net.queues, 2);
	assert_true(closes("tap7"));
	opts.wanted.queues = 1;
	opens();
	assert_true(closes("tap7"));
	assert_int_equal(netlab_del("tap7"), 0);
}

static void test_tap_refused(void **state)
{
	struct ifreq ifr = netlab_ifr("tun7");
	int fd;

	(void)state;
	need_root();
	opts.tap = "tap7";
	refuses(-ENODEV, "tap='tap7' does not exist; make it with 'ip tuntap add dev tap7 mode tap', or say bridge=NAME to have one made");
	opts.tap = "lo";
	refuses(-EINVAL, "tap='lo' is an interface, but neither a tap nor a macvtap");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	opts.tap = "tun7";
	refuses(-EINVAL, "tap='tun7' is a tun without Ethernet; one with 'mode tap' is needed");
	close(fd);
}

static void test_macvtap(void **state)
{
	struct ifreq ifr;
	int r, lower, fds[NET_MAX_QUEUES];
	char node[32], words[200];

	(void)state;
	need_root();
	lower = netlab_tap("tap6", 0);
	assert_true(lower >= 0);
	r = netlab_add("mv0", "macvtap", "tap6");
	(void)snprintf(node, sizeof(node), "/dev/tap%u",
		       if_nametoindex("mv0"));
	if (r < 0 || access(node, F_OK) < 0) {
		close(lower);
		print_message("# no macvtap: %s\n", strerror(-r));
		skip();
	}
	assert_int_equal(netlab_set_up("tap6", true), 0);
	ifr = netlab_ifr("mv0");
	assert_int_equal(netlab_ioctl(SIOCGIFHWADDR, &ifr), 0);

	opts.tap = "mv0";
	opts.wanted.queues = 2;
	opens();
	assert_string_equal(info->ifname, "mv0");
	assert_memory_equal(info->mac, ifr.ifr_hwaddr.sa_data, 6);
	assert_true(netlab_flags("mv0") & IFF_UP);
	assert_true(info->net.recv_offloads & NET_TSO4);
	netdev_take_fds(nd, fds);
	assert_true(fds[1] >= 0);
	close(fds[0]);
	close(fds[1]);
	assert_true(closes("mv0"));

	opts.mac_given = true;
	(void)snprintf(words, sizeof(words), "mac='00:16:3e:01:02:03': macvtap 'mv0' takes in only frames for %02x:%02x:%02x:%02x:%02x:%02x; leave mac out, or give it this address with 'ip link set'",
		       ifr.ifr_hwaddr.sa_data[0] & 0xff,
		       ifr.ifr_hwaddr.sa_data[1] & 0xff,
		       ifr.ifr_hwaddr.sa_data[2] & 0xff,
		       ifr.ifr_hwaddr.sa_data[3] & 0xff,
		       ifr.ifr_hwaddr.sa_data[4] & 0xff,
		       ifr.ifr_hwaddr.sa_data[5] & 0xff);
	refuses(-EINVAL, words);
	opts.mac_given = false;
	opts.mtu = 65535;
	refuses(-EINVAL, "mtu='65535': macvtap 'mv0' goes no further than the interface below it");
	assert_int_equal(netlab_del("mv0"), 0);
	close(lower);
}

/* What no frame of virtio's can have is not promised to the guest. */
static void test_macvtap_giant(void **state)
{
	char node[32];
	int r;

	(void)state;
	need_root();
	r = netlab_add("ifb9", "ifb", NULL);
	if (r == 0)
		r = netlab_set_mtu("ifb9", 70000);
	if (r == 0)
		r = netlab_add("mv1", "macvtap", "ifb9");
	(void)snprintf(node, sizeof(node), "/dev/tap%u",
		       if_nametoindex("mv1"));
	if (r < 0 || access(node, F_OK) < 0 || netlab_mtu("mv1") != 70000) {
		print_message("# no macvtap of such size: %s\n", strerror(-r));
		(void)netlab_del("mv1");
		(void)netlab_del("ifb9");
		skip();
	}
	opts.tap = "mv1";
	opens();
	assert_int_equal(info->mtu, 65535);
	assert_true(closes("mv1"));
	assert_int_equal(netlab_mtu("mv1"), 70000);
	assert_int_equal(netlab_del("mv1"), 0);
	assert_int_equal(netlab_del("ifb9"), 0);
}

/* ---- /dev/net/tun ---- */

static void test_no_tun(void **state)
{
	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	assert_int_equal(mount("none", "/dev/net", "tmpfs", 0, NULL), 0);
	refuses(-ENOENT, "/dev/net/tun is missing: is the module loaded ('modprobe tun')?");
	assert_int_equal(umount("/dev/net"), 0);
}

/* As somebody else: once without the device, once with, but no more. */
static void test_no_rights(void **state)
{
	static const char *const wanted[] = {
		"/dev/net/tun cannot be opened: Permission denied; are you root?",
		"ifname='vif7.18-v': this user may not make it; are you root?",
	};
	struct stat st;
	unsigned int i;
	int status;
	pid_t child;

	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	assert_int_equal(stat("/dev/net/tun", &st), 0);
	assert_int_equal(mount("none", "/dev/net", "tmpfs", 0, "mode=755"), 0);
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		(void)unlink("/dev/net/tun");
		assert_int_equal(mknod("/dev/net/tun", S_IFCHR, st.st_rdev), 0);
		assert_int_equal(chmod("/dev/net/tun", i ? 0666 : 0600), 0);
		child = fork();
		if (child == 0) {
			if (setuid(65534) < 0)
				_exit(3);
			(void)netdev_open(&opts, &nd, why, sizeof(why));
			_exit(strcmp(why, wanted[i]) != 0);
		}
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail_msg("case %u: status %#x", i, status);
	}
	assert_int_equal(umount("/dev/net"), 0);
}

/* ---- scripts ---- */

/* In QEMU's manner. */
static void test_script(void **state)
{
	char up[96], down[96];

	(void)state;
	need_root();
	(void)snprintf(up, sizeof(up), "%s", in_dir("up"));
	(void)snprintf(down, sizeof(down), "%s", in_dir("down"));
	make_script(up, "echo up $# $1 $INTERFACE $bridge $domid $mac >$D/out; env | sed 's/=.*//' | sort | tr '\\n' ' ' >>$D/out; readlink /proc/self/fd/0 >>$D/out; ls -l /proc/self/fd | grep -c tun >>$D/out; kill -PIPE $$; echo survived >>$D/out");
	opts.bridge = "anything-at:all";
	opts.script = up;

	/* SIGPIPE, which we ignore, is a script's again. */
	(void)signal(SIGPIPE, SIG_IGN);
	snprintf(text, sizeof(text), "script='%s' was ended by signal 13", up);
	refuses(-EIO, text);
	(void)signal(SIGPIPE, SIG_DFL);
	assert_string_equal(script_said(), "up 1 vif7.18-v vif7.18-v anything-at:all 7 00:16:3e:01:02:03\n"
			    "INTERFACE PATH PWD bridge domid mac /dev/null\n0\n");

	make_script(up, "echo up $1 >>$D/out");
	make_script(down, "echo down $1 >>$D/out; test -e /sys/class/net/$1 && echo still there >>$D/out");
	opens();
	assert_string_equal(info->ifname, NAME);
	assert_true(netlab_flags(NAME) & IFF_UP);	/* it did not do so */
	assert_int_equal(info->mtu, 1500);
	assert_string_equal(script_said(), "up vif7.18-v\n");
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "");		/* no downscript */

	opts.downscript = "no";
	opens();
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "up vif7.18-v\n");

	opts.downscript = down;
	opens();
	assert_string_equal(script_said(), "up vif7.18-v\n");
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "down vif7.18-v\nstill there\n");

	/* Gone by itself: then there is nothing to unplug. */
	opens();
	(void)script_said();
	assert_int_equal(netlab_del(NAME), 0);
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "");
}

/* Not if it only waits to be reaped, which may take its parent for ever. */
static bool is_alive(pid_t pid)
{
	char file[32], state = 'X';
	FILE *f;

	(void)snprintf(file, sizeof(file), "/proc/%d/stat", (int)pid);
	f = fopen(file, "re");
	if (f) {
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'X';
		(void)fclose(f);
	}
	return state != 'X' && state != 'Z';
}

static void test_script_fails(void **state)
{
	char up[96], words[400];
	struct unit_capture c;
	uint64_t began;
	pid_t pid;

	(void)state;
	need_root();
	(void)snprintf(up, sizeof(up), "%s", in_dir("up"));
	opts.bridge = "br0";
	opts.script = up;
	(void)snprintf(words, sizeof(words), "script='%s' cannot be run: No such file or directory; say script=no to do without", up);
	refuses(-ENOENT, words);

	/* A way in and none out: then not even in. */
	make_script(up, "echo up >$D/out");
	opts.downscript = "/no/such/script";
	refuses(-ENOENT, "downscript='/no/such/script' cannot be run: No such file or directory; say downscript=no to do without");
	opts.downscript = NULL;
	assert_string_equal(script_said(), "");

	make_script(up, "exit 3");
	(void)snprintf(words, sizeof(words), "script='%s' failed with status 3 for 'vif7.18-v'", up);
	refuses(-EIO, words);

	make_script(up, "no-such-command-here 2>/dev/null");
	(void)snprintf(words, sizeof(words), "script='%s' cannot be run, or did not find a command (status 127)", up);
	refuses(-ENOEXEC, words);

	/* Too slow, and it has started something that is, too. */
	make_script(up, "sleep 50 & echo $! >$D/out; sleep 50");
	opts.script_ms = 200;
	began = loop_now_ms();
	(void)snprintf(words, sizeof(words), "script='%s' did not end within 1 s and was killed", up);
	refuses(-ETIMEDOUT, words);
	assert_in_range(loop_now_ms() - began, 200, 10000);
	pid = atoi(script_said());
	assert_true(pid > 0);
	began = loop_now_ms();
	while (is_alive(pid) && loop_now_ms() - began < 5000)
		usleep(5000);
	assert_false(is_alive(pid));

	/* Failing on the way out is told, and no more. */
	make_script(up, "exit 0");
	make_script(in_dir("down"), "exit 9");
	opts.script_ms = 0;
	opts.downscript = path;
	opens();
	unit_capture_start(&c, STDERR_FILENO);
	assert_false(closes(NAME));
	(void)snprintf(words, sizeof(words), "test: d7: downscript='%s' failed with status 9 for 'vif7.18-v'\n", path);
	assert_string_equal(unit_capture_end(&c), words);
}

/* In the toolstack's manner, and by default. */
static void test_toolstack(void **state)
{
	static const char script[] = NETSCRIPT_DIR "/vif-bridge";

	(void)state;
	need_root();
	assert_int_equal(mount("none", "/etc", "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(mkdir("/etc/xen", 0755), 0);

	/* Without it, we plug in ourselves. */
	opts.bridge = "br0";
	opens();
	assert_true(is_in_bridge(NAME, "br0"));
	assert_false(closes(NAME));

	assert_int_equal(mkdir(NETSCRIPT_DIR, 0755), 0);
	make_script(script, "echo $# $1 $2 $INTERFACE $vif $bridge $script $XENBUS_TYPE $XENBUS_PATH $XENBUS_BASE_PATH >>$D/out");
	opens();
	assert_string_equal(script_said(), "2 add type_if=tap vif7.18-v vif7.18-v br0 /etc/xen/scripts/vif-bridge vif backend/vif/7/c0-v backend\n");
	assert_false(is_in_bridge(NAME, "br0"));	/* it did nothing */
	assert_true(netlab_flags(NAME) & IFF_UP);
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "2 remove type_if=tap vif7.18-v vif7.18-v br0 /etc/xen/scripts/vif-bridge vif backend/vif/7/c0-v backend\n");

	opts.script = "vif-bridge";
	opens();
	assert_memory_equal(script_said(), "2 add ", 6);
	assert_false(closes(NAME));
	(void)script_said();
	opts.script = "no";
	opens();
	assert_true(is_in_bridge(NAME, "br0"));
	assert_false(closes(NAME));
	assert_string_equal(script_said(), "");

	opts.script = NULL;
	make_script(script, "exit 1");
	refuses(-EIO, "script='/etc/xen/scripts/vif-bridge' failed with status 1 for 'vif7.18-v'; /var/log/xen/xen-hotplug.log may say why");
	opts.script = "vif-none";
	refuses(-ENOENT, "script='/etc/xen/scripts/vif-none' cannot be run: No such file or directory; say script=no to do without");
	assert_int_equal(umount("/etc"), 0);
}

/* The script changed the MTU, as vif-bridge does: what is asked for wins. */
static void test_script_mtu(void **state)
{
	char up[96];

	(void)state;
	need_root();
	(void)snprintf(up, sizeof(up), "%s", in_dir("up"));
	make_script(up, "echo 1300 >/sys/class/net/$1/mtu");
	opts.bridge = "br0";
	opts.script = up;
	opens();
	assert_int_equal(info->mtu, 1300);
	assert_false(closes(NAME));
	opts.mtu = 2000;
	opens();
	assert_int_equal(info->mtu, 2000);
	assert_int_equal(netlab_mtu(NAME), 2000);
	assert_false(closes(NAME));
}

/* ---- the cable ---- */

static void rename_to(const char *from, const char *to)
{
	struct ifreq ifr = netlab_ifr(from);

	(void)snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "%s", to);
	assert_int_equal(netlab_ioctl(SIOCSIFNAME, &ifr), 0);
}

/* Up, down, under another name, and gone for good, whatever has its name. */
static void check_link(const char *name)
{
	assert_int_equal(netdev_link(nd), NETDEV_UP);
	assert_int_equal(netlab_set_up(name, false), 0);
	assert_int_equal(netdev_link(nd), NETDEV_DOWN);
	rename_to(name, "other");
	assert_int_equal(netdev_link(nd), NETDEV_DOWN);
	assert_int_equal(netlab_set_up("other", true), 0);
	assert_int_equal(netdev_link(nd), NETDEV_UP);
	assert_int_equal(netlab_bridge(name), 0);
	assert_int_equal(netdev_link(nd), NETDEV_UP);
	assert_int_equal(netlab_set_up(name, false), 0);
	assert_int_equal(netdev_link(nd), NETDEV_UP);
	assert_int_equal(netlab_set_up(name, true), 0);
	assert_int_equal(netlab_del("other"), 0);
	assert_int_equal(netdev_link(nd), NETDEV_GONE);
	assert_int_equal(netlab_set_up(name, false), 0);
	assert_int_equal(netlab_del(name), 0);
	assert_int_equal(netdev_link(nd), NETDEV_GONE);
}

static void test_link(void **state)
{
	int fds[NET_MAX_QUEUES];
	unsigned int i;

	(void)state;
	need_root();
	opts.bridge = "br0";
	opts.script = "no";
	opens();
	check_link(NAME);
	netdev_close(nd);

	/* Nor does it matter where the descriptors are. */
	opts.wanted.queues = 2;
	opens();
	netdev_take_fds(nd, fds);
	for (i = 0; i < 2; i++)
		close(fds[i]);
	check_link(NAME);
	assert_false(closes(NAME));
}

/* The kernel passes it on to who stands above, in its own time. */
static void wait_link(enum netdev_link want)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	int i;

	for (i = 0; i < 600 && netdev_link(nd) != want; i++)
		(void)nanosleep(&pause, NULL);
	assert_int_equal(netdev_link(nd), want);
}

/* A macvtap's is in while that of the interface below it is. */
static void test_link_macvtap(void **state)
{
	int below, carrier = 0, r;
	char node[32];

	(void)state;
	need_root();
	below = netlab_tap("tap9", 0);
	assert_true(below >= 0);
	assert_int_equal(netlab_set_up("tap9", true), 0);
	r = netlab_add("mv0", "macvtap", "tap9");
	(void)snprintf(node, sizeof(node), "/dev/tap%u",
		       if_nametoindex("mv0"));
	if (r < 0 || access(node, F_OK) < 0) {
		close(below);
		print_message("# no macvtap: %s\n", strerror(-r));
		skip();
	}
	opts.tap = "mv0";
	opens();
	wait_link(NETDEV_UP);
	assert_int_equal(ioctl(below, TUNSETCARRIER, &carrier), 0);
	wait_link(NETDEV_DOWN);
	carrier = 1;
	assert_int_equal(ioctl(below, TUNSETCARRIER, &carrier), 0);
	wait_link(NETDEV_UP);
	close(below);			/* takes both with it */
	wait_link(NETDEV_GONE);
}

#define NET_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_mac),
	NET_TEST(test_no_cable),
	NET_TEST(test_bridge),
	NET_TEST(test_names),
	NET_TEST(test_mtu),
	NET_TEST(test_queues),
	NET_TEST(test_offloads),
	NET_TEST(test_persist),
	NET_TEST(test_bridge_refused),
	NET_TEST(test_tap),
	NET_TEST(test_tap_refused),
	NET_TEST(test_macvtap),
	NET_TEST(test_macvtap_giant),
	NET_TEST(test_no_tun),
	NET_TEST(test_no_rights),
	NET_TEST(test_script),
	NET_TEST(test_script_fails),
	NET_TEST(test_toolstack),
	NET_TEST(test_script_mtu),
	NET_TEST(test_link),
	NET_TEST(test_link_macvtap),
};

int main(void)
{
	log_init("test", false);
	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
