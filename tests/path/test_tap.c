/* SPDX-License-Identifier: MIT */
/*
 * The daemon with network cards on real taps, in a network namespace of ours:
 * what is there while it runs, what is left however it ends, which is nothing,
 * and that a card in trouble is no trouble for the disk beside it.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../lib/netlab.h"
#include "path.h"

#define BUFFER_BYTES	2048u
#define HDR		sizeof(struct virtio_net_hdr_v1)
#define FRAME_BYTES	100u
#define PLAIN		(TOYBLK_F(VIRTIO_F_VERSION_1) |		\
			 TOYBLK_F(VIRTIO_F_ACCESS_PLATFORM) |	\
			 TOYBLK_F(VIRTIO_NET_F_STATUS))

enum { RX, TX };

static const char *cannot;		/* run at all, because */
static struct toy *t;
static struct toyblk *b, *net;
static struct toy_proc *p, *w;		/* w: who serves */
static struct slowdisk *slow;
static char img[128], disk[256], ifname[16];

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .type = DOM_PVH, .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	snprintf(disk, sizeof(disk), "blk,path=%s", img);
	if (!cannot)
		assert_int_equal(netlab_bridge("br0"), 0);
	return 0;
}

static int setup_slow(void **state)
{
	setup(state);
	slow = path_slow_open("", disk, sizeof(disk));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(net);
	net = NULL;
	path_end(&t, &b, &slow);
	if (!cannot) {
		assert_int_equal(netlab_set_up("br0", false), 0);
		assert_int_equal(netlab_del("br0"), 0);
	}
	return 0;
}

static void need_root(void)
{
	if (!cannot)
		return;
	print_message("# %s\n", cannot);
	skip();
}

static unsigned int taps(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned int i, n = 0;

	for (i = 0; list[i].if_index; i++) {
		if (strncmp(list[i].if_name, "vif", 3) != 0)
			continue;
		snprintf(ifname, sizeof(ifname), "%s", list[i].if_name);
		n++;
	}
	if_freenameindex(list);
	return n;
}

/* A tap goes a moment after its last user. */
static void no_taps(void)
{
	int64_t end = toy_now_ms() + TOY_MS;

	while (taps() && toy_now_ms() < end)
		sched_yield();
	assert_int_equal(taps(), 0);
}

static uint64_t config(unsigned int slot, unsigned int reg)
{
	return toy_cfg_read(t, 0, TOY_BDF(slot), reg, 4);
}

static void test_cards(void **state)
{
	(void)state;
	need_root();
	p = path_run(t, disk, "net,bridge=br0,script=no,queues=8",
		     "net,engine=null", "net,bridge=br0,script=no,ifname=vif",
		     NULL);
	assert_int_equal(config(0x18, 0), 0x10421af4);
	assert_int_equal(config(0x19, 0), 0x10411af4);
	assert_int_equal(config(0x1a, 0), 0x10411af4);
	assert_int_equal(config(0x1b, 0), 0x10411af4);
	assert_int_equal(taps(), 2);
	assert_in_log(p, "-v' in bridge 'br0', 00:16:3e:");
	assert_in_log(p, "vnet1: 'vif");
	assert_in_log(p, "8 queues, offloads out csum+tso+ecn");
	assert_in_log(p, "vnet2: no cable, 00:16:3e:");
	assert_in_log(p, "vnet3: 'vif' in bridge 'br0'");
	path_stop(t, p);
	no_taps();
}

static void test_killed(void **state)
{
	(void)state;
	need_root();
	p = path_run(t, "net,bridge=br0,script=no,queues=4", NULL);
	assert_int_equal(taps(), 1);
	toy_kill(p, SIGKILL);
	(void)toy_exit(p, TOY_MS);
	no_taps();
}

/* ---- starts that fail ---- */

#define LONG	"the name of an interface has at most 15 characters"
#define SHOWS	"'ip link show type bridge' shows"

static void test_refused(void **state)
{
	static const struct {
		int code;
		const char *spec, *text;
	} bad[] = {
		{ 1, "net,bridge=br1,script=no",
		  "bridge='br1' does not exist; make it with 'ip link add br1 "
		  "type bridge', or name one that " SHOWS "\n" },
		{ 1, "net,bridge=lo,script=no",
		  "bridge='lo' is an interface, but no bridge; name one that "
		  SHOWS " (for Open vSwitch say script=vif-openvswitch)\n" },
		{ 1, "net,tap=tap7", "tap='tap7' does not exist; make it with "
		  "'ip tuntap add dev tap7 mode tap', or say bridge=NAME to "
		  "have one made\n" },
		{ 1, "net,tap=br0", "tap='br0' is an interface, but neither a "
		  "tap nor a macvtap\n" },
		{ 1, "net,bridge=br0,script=no,ifname=br0",
		  "ifname='br0' exists already; choose another name, or say "
		  "tap=br0 if it is a tap that you want to use\n" },
		{ 1, "net,bridge=br0,script=/nowhere",
		  "script='/nowhere' cannot be run: No such file or directory; "
		  "say script=no to do without\n" },
		{ 1, "net,bridge=br0,script=no,mtu=65535",
		  "mtu='65535': tap 'vif" },
		{ 2, "net", "bridge is missing" },
		{ 2, "net,bridge=br0,mac=01:16:3e:01:02:03",
		  "mac='01:16:3e:01:02:03': this is a multicast address, which "
		  "no card can have: use an even first byte\n" },
		{ 2, "net,bridge=bridge1234567890",
		  "bridge='bridge1234567890': " LONG "\n" },
		{ 2, "net,bridge=br0,ifname=tap1234567890123",
		  "ifname='tap1234567890123': " LONG "\n" },
		{ 2, "net,tap=tap1234567890123",
		  "tap='tap1234567890123': " LONG "\n" },
	};
	unsigned int i;

	(void)state;
	need_root();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p = toy_spawn(t, NULL, "--domain", "toy", "--device", disk,
			      "--device", bad[i].spec, NULL);
		path_refused(t, p, bad[i].code, bad[i].text);
		assert_int_equal(taps(), 0);
	}
}

static void test_no_tun(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(mount("none", "/dev/net", "tmpfs", 0, NULL), 0);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=no", NULL);
	(void)toy_exit(p, TOY_MS);
	assert_int_equal(umount("/dev/net"), 0);
	path_refused(t, p, 1, "/dev/net/tun is missing: is the module loaded "
		     "('modprobe tun')?\n");
}

/* The second device cannot be made: nothing is left of the first. */
static void test_fails(void **state)
{
	(void)state;
	need_root();
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=no", "--device",
		      "net,bridge=br1,script=no", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "bridge='br1' does not exist");
	no_taps();
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=/bin/false", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "script='/bin/false' failed with status 1");
	no_taps();

	/* Nor does it help to be started by who does not want to know. */
	(void)signal(SIGCHLD, SIG_IGN);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=/bin/false", NULL);
	(void)signal(SIGCHLD, SIG_DFL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "script='/bin/false' failed with status 1");
	no_taps();
}

static void make_script(const char *file, const char *body)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "#!/bin/sh\n%s\n", body) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0755), 0);
}

/*
 * Whether we are told to end, the guest does, or the one that serves it: what
 * plugs in plugs out.
 */
static void test_downscript(void **state)
{
	char up[160], down[160], out[160], text[400], card[400];
	int i;

	(void)state;
	need_root();
	snprintf(up, sizeof(up), "%s.up", img);
	snprintf(down, sizeof(down), "%s.down", img);
	snprintf(out, sizeof(out), "%s.out", img);
	snprintf(text, sizeof(text), "test -e /sys/class/net/$1 && echo $1 >%s",
		 out);
	make_script(up, "exit 0");
	make_script(down, text);
	snprintf(card, sizeof(card), "net,bridge=br0,script=%s,downscript=%s",
		 up, down);
	for (i = 0; i < 3; i++) {
		p = path_run(t, card, disk, NULL);
		assert_int_equal(taps(), 1);
		assert_int_equal(access(out, F_OK), -1);
		if (i == 0) {
			path_stop(t, p);
		} else if (i == 1) {
			w = path_worker(t, p);
			toy_kill(w, SIGKILL);
			assert_int_equal(toy_exit(p, TOY_MS), 1);
			w->status = 0;	/* reaped by its parent */
		} else {
			toy_destroy(t);
			assert_int_equal(toy_exit(p, TOY_MS), 0);
		}
		assert_int_equal(access(out, F_OK), 0);
		assert_int_equal(unlink(out), 0);
		no_taps();
	}
	assert_int_equal(unlink(up), 0);
	assert_int_equal(unlink(down), 0);
}

/* One that says @word and the name of the interface.  @ret: its path. */
static void make_saying(const char *word, char ret[128])
{
	char body[256];

	snprintf(ret, 128, "%s/%s", t->dir, word);
	snprintf(body, sizeof(body), "test -e /sys/class/net/$1 && "
		 "echo %s $1 >>%s/said", word, t->dir);
	make_script(ret, body);
}

static void with_scripts(char spec[512])
{
	char up[128], down[128];

	make_saying("up", up);
	make_saying("down", down);
	snprintf(spec, 512, "net,bridge=br0,ifname=vif9,script=%s,"
		 "downscript=%s", up, down);
}

static void assert_said(const char *want)
{
	char path[128], said[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/said", t->dir);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	fclose(f);
	said[n] = '\0';
	assert_string_equal(said, want);
}

/* Xen refuses, when the cable is in already: out it comes. */
static void test_script_after_error(void **state)
{
	char spec[512];

	(void)state;
	need_root();
	with_scripts(spec);
	toy_fail(t, "xendevicemodel_create_ioreq_server", 1, 1, ENOSPC);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	path_refused(t, p, 1, "has no IOREQ server left");
	assert_said("up vif9\ndown vif9\n");
	no_taps();
}

/* The disk keeps its requests, so that the end is not a clean one. */
static void test_script_silent_disk(void **state)
{
	char spec[512];

	(void)state;
	need_root();
	path_slow_need(slow);
	with_scripts(spec);
	p = path_run(t, disk, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	slowdisk_hold(slow);
	assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
				  path_buffer(b, 4096), 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, 1, TOY_MS), 0);
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_said("up vif9\ndown vif9\n");
	no_taps();
}

/* ---- trouble with the cable ---- */

static void start_both(const char *spec)
{
	p = path_run(t, disk, spec, NULL);
	w = path_worker(t, p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .size = 16 });
	net = path_disk(t, SLOT + 1, &(struct toyblk_conf){
		.irq = TOYBLK_POLL, .queues = 2, .features = PLAIN });
	path_exercise(b, 0, 0, 65536, 1);
}

static unsigned int net_status(void)
{
	return toyblk_read(net, &net->device,
			   offsetof(struct virtio_net_config, status), 2);
}

/* Posts one buffer to receive in, or one frame to send. */
static uint64_t post(unsigned int queue)
{
	uint64_t at = path_buffer(net, BUFFER_BYTES);
	struct toyblk_sg sg = { at, queue == RX ? BUFFER_BYTES :
				    HDR + FRAME_BYTES, queue == RX };

	memset(toy_ptr(t, at + HDR, 6), 0xff, 6);
	assert_true(toyblk_add(&net->vq[queue], &sg, 1, false) >= 0);
	toyblk_kick_hard(&net->vq[queue]);
	return at;
}

/*
 * Somebody removes the tap: one line says so, the guest sees the cable out,
 * what it sends is lost, and the disk goes on.
 */
static void test_vanishes(void **state)
{
	const char *line = "its interface is gone; the guest's cable stays "
			   "out\n";
	const char *found;

	(void)state;
	need_root();
	start_both("net,bridge=br0,script=no,ifname=vif9");
	assert_int_equal(net_status(), VIRTIO_NET_S_LINK_UP);
	post(RX);
	assert_int_equal(netlab_del("vif9"), 0);
	wait_until(t, strstr(toy_log(p), "its interface is gone"));
	wait_until(t, net_status() == 0);
	while (toyblk_get(&net->vq[RX], NULL) >= 0)
		;			/* dom0's own, from before */
	post(RX);
	post(TX);
	assert_true(toyblk_reap(&net->vq[TX], NULL, TOY_MS) >= 0);
	assert_int_equal(toyblk_get(&net->vq[RX], NULL), -EAGAIN);
	assert_false(toyblk_needs_reset(net));
	path_exercise(b, 0, 8, 65536, 2);
	found = strstr(toy_log(p), line);
	assert_non_null(found);
	assert_null(strstr(found + 1, line));
	assert_lives(p);
	path_stop(t, p);
	no_taps();
}

/* Whoever looks in vain does so in a loop, and is found awake. */
static void assert_sleeps(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t end = toy_now_ms() + TOY_MS;
	unsigned int n;

	for (n = 0; n < 50; n++) {
		if (toy_proc_state(w) != 'S')
			n = 0;
		assert_true(toy_now_ms() < end);
		nanosleep(&pause, NULL);
	}
}

static unsigned long long dropped(void)
{
	unsigned long long n;
	FILE *f = fopen("/sys/class/net/vif9/statistics/tx_dropped", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu", &n), 1);
	fclose(f);
	return n;
}

/*
 * A driver that posts no buffers costs nothing: the tap keeps what it has room
 * for, dom0's kernel drops the rest, and the daemon sleeps.
 */
static void test_no_buffers(void **state)
{
	uint8_t frame[FRAME_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
				       [12] = 0x88, 0xb5, };
	const uint8_t *got;
	unsigned int i;
	uint64_t at;
	size_t said;
	uint32_t len;
	int s;

	(void)state;
	need_root();
	start_both("net,bridge=br0,script=no,ifname=vif9");
	/* The worker's last line comes through a pipe. */
	wait_until(t, strstr(toy_log(p), "vnet1: the driver is ready"));
	said = strlen(toy_log(p));
	s = netlab_packet("vif9", false);
	assert_true(s >= 0);
	for (i = 0; i < 100000 && !dropped(); i++)
		(void)send(s, frame, sizeof(frame), MSG_DONTWAIT);
	assert_true(dropped() > 0);
	assert_sleeps();
	path_exercise(b, 0, 8, 65536, 2);
	assert_int_equal(net_status(), VIRTIO_NET_S_LINK_UP);
	assert_false(toyblk_needs_reset(net));
	assert_string_equal(toy_log(p) + said, "");

	do {				/* what was kept is not lost */
		at = post(RX);
		assert_true(toyblk_reap(&net->vq[RX], &len, TOY_MS) >= 0);
		got = toy_ptr(t, at + HDR, FRAME_BYTES);
	} while (len != HDR + FRAME_BYTES || memcmp(got, frame, FRAME_BYTES));
	assert_sleeps();
	close(s);
	path_stop(t, p);
	no_taps();
}

#define TAP_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define SLOW_TEST(fn)							\
	cmocka_unit_test_setup_teardown(fn, setup_slow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAP_TEST(test_cards),
		TAP_TEST(test_killed),
		TAP_TEST(test_refused),
		TAP_TEST(test_no_tun),
		TAP_TEST(test_fails),
		TAP_TEST(test_downscript),
		TAP_TEST(test_script_after_error),
		SLOW_TEST(test_script_silent_disk),
		TAP_TEST(test_vanishes),
		TAP_TEST(test_no_buffers),
	};

	path_slow_prepare();
	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
