/* SPDX-License-Identifier: MIT */
/*
 * test_tap.c: the tap backend against the kernel's own taps, in a network
 * namespace of ours; a packet socket is the rest of the world.  Some of the
 * kernel's refusals are hard to come by: writev() is this file's own and
 * refuses when told to.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sys/uio.h>
#include "backends/net/tap.h"
#include "log.h"
#include "loop.h"
#include "netlab.h"
#include "net_backend.h"
#include "unit.h"
#include "util.h"

#define TAP	"tap7"
#define PROTO	0x88b5		/* for local experiments */
#define HDR	NET_HDR_BYTES

static int refuse_writes;	/* so many, with ... */
static int refuse_errno;

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	static ssize_t (*real)(int, const struct iovec *, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "writev");
	if (refuse_writes > 0) {
		refuse_writes--;
		errno = refuse_errno;
		return -1;
	}
	return real(fd, iov, count);
}

/* ---- one tap ---- */

static const char *cannot;		/* run at all, because */

static struct loop *loop;
static struct loop_timer *timer;
static struct net_backend *be;
static struct net_info info;
static int packet;
static unsigned int readable[NET_MAX_QUEUES], writable[NET_MAX_QUEUES];
static unsigned int went[NET_MAX_QUEUES];
static bool hungry;			/* whoever may send does, all it can */
static char links[16];
static char frame[HDR + NET_MAX_FRAME];
static ssize_t got[16];			/* by recv() from the event */
static size_t ngot;

static void on_readable(void *arg, unsigned int queue)
{
	struct iovec iov = { frame, sizeof(frame) };

	(void)arg;
	readable[queue]++;
	if (ngot < ARRAY_SIZE(got))
		got[ngot++] = be->ops->recv(be, queue, &iov, 1);
	else
		be->ops->rx_off(be, queue);
}

static int send_frame(unsigned int queue, size_t bytes);

static void on_writable(void *arg, unsigned int queue)
{
	(void)arg;
	writable[queue]++;
	while (hungry && send_frame(queue, 1000) == 0)
		went[queue]++;
}

static void on_link(void *arg, bool up)
{
	(void)arg;
	strcat(links, up ? "+" : "-");
}

static const struct net_events events = {
	.readable	= on_readable,
	.writable	= on_writable,
	.link		= on_link,
};

static void on_timer(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* What happens in so long. */
static void run(unsigned int ms)
{
	loop_timer_set(timer, ms);
	assert_int_equal(loop_run(loop), 0);
}

/* Until the link has changed so often; and then it stays as it is. */
static void run_links(size_t count)
{
	int i;

	for (i = 0; i < 400 && strlen(links) < count; i++)
		run(5);
	run(10);
	assert_int_equal(strlen(links), count);
}

static void start(unsigned int queues)
{
	int fds[NET_MAX_QUEUES];
	unsigned int i;

	if (cannot) {
		print_message("# %s\n", cannot);
		skip();
	}
	info.queues = queues;
	for (i = 0; i < queues; i++) {
		fds[i] = netlab_tap(TAP, queues > 1 ? IFF_MULTI_QUEUE : 0);
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(netlab_set_up(TAP, true), 0);
	packet = netlab_packet(TAP, false);
	assert_true(packet >= 0);
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_timer_add(loop, on_timer, NULL, &timer), 0);
	assert_int_equal(net_tap_ops.open(loop, fds, &info, &events, &be), 0);
	assert_ptr_equal(be->ops, &net_tap_ops);
	assert_int_equal(be->info.queues, queues);
	assert_true(net_tap_ops.link_up(be));
}

static int setup(void **state)
{
	(void)state;
	loop = NULL;
	timer = NULL;
	be = NULL;
	packet = -1;
	info = (struct net_info){ 0 };
	memset(readable, 0, sizeof(readable));
	memset(writable, 0, sizeof(writable));
	memset(went, 0, sizeof(went));
	hungry = false;
	links[0] = '\0';
	ngot = 0;
	refuse_writes = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_tap_ops.close(be);
	if (packet >= 0)
		close(packet);
	loop_timer_del(timer);
	loop_close(loop);
	assert_int_equal(if_nametoindex(TAP), 0);	/* all closed */
	return 0;
}

/* A frame of @bytes: header, addresses, type, and a pattern. */
static void make_frame(void *buf, size_t bytes, char seed)
{
	unsigned char *p = buf;
	size_t i;

	memset(p, 0, HDR);
	for (i = 0; i < bytes; i++)
		p[HDR + i] = (unsigned char)(seed + i);
	memset(p + HDR, 0xff, 6);
	memcpy(p + HDR + 6, "\x00\x16\x3e\x01\x02\x03", 6);
	p[HDR + 12] = PROTO >> 8;
	p[HDR + 13] = PROTO & 0xff;
}

static int send_frame(unsigned int queue, size_t bytes)
{
	static char buf[HDR + 65536];
	struct iovec iov = { buf, HDR + bytes };

	make_frame(buf, bytes, 'a');
	return be->ops->send(be, queue, &iov, 1);
}

/* From the world to the guest. */
static void world_sends(size_t bytes, char seed)
{
	char buf[HDR + 2048];

	make_frame(buf, bytes, seed);
	assert_int_equal(send(packet, buf + HDR, bytes, 0), bytes);
}

/* ---- sending and receiving ---- */

static void test_send(void **state)
{
	char sent[HDR + 1514], seen[2048];
	struct iovec iov[] = {
		{ sent, 5 }, { sent + 5, 7 + 14 }, { sent + 26, 0 },
		{ sent + 26, sizeof(sent) - 26 },
	};

	(void)state;
	start(1);
	make_frame(sent, 1514, 'q');
	assert_int_equal(be->ops->send(be, 0, iov, 4), 0);
	assert_int_equal(netlab_take(packet, PROTO, seen, sizeof(seen)), 1514);
	assert_memory_equal(seen, sent + HDR, 1514);

	/* What the kernel does not take is lost, and all goes on. */
	iov[0].iov_len = 4;
	assert_int_equal(be->ops->send(be, 0, iov, 1), -EINVAL);
	assert_int_equal(send_frame(0, 60), 0);
	assert_int_equal(netlab_take(packet, PROTO, seen, sizeof(seen)), 60);
	run(5);
	assert_string_equal(links, "");
	assert_int_equal(writable[0], 0);
}

static void test_recv(void **state)
{
	char want[HDR + 1514], buf[HDR + 1514];
	struct iovec iov[] = {
		{ buf, 12 }, { buf + 12, 3 }, { buf + 15, sizeof(buf) - 15 },
	};

	(void)state;
	start(1);
	assert_int_equal(be->ops->recv(be, 0, iov, 3), -EAGAIN);
	world_sends(1514, 'x');
	make_frame(want, 1514, 'x');
	assert_int_equal(be->ops->recv(be, 0, iov, 3), HDR + 1514);
	assert_memory_equal(buf + HDR, want + HDR, 1514);
	/* A header that asks for nothing; the kernel leaves the last two. */
	assert_memory_equal(buf, want, 10);
	assert_int_equal(be->ops->recv(be, 0, iov, 3), -EAGAIN);
}

/* Too little room: the bytes that fit, and that there were more. */
static void test_recv_cut(void **state)
{
	static struct iovec many[2000];
	char buf[HDR + 40], guard[8], want[8];
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t n;
	size_t i;

	(void)state;
	start(1);
	memset(guard, 0x55, sizeof(guard));
	memcpy(want, guard, sizeof(want));
	world_sends(1000, 'x');
	world_sends(40, 'y');
	n = be->ops->recv(be, 0, &iov, 1);
	assert_true(n > (ssize_t)sizeof(buf));
	assert_memory_equal(guard, want, sizeof(want));
	assert_int_equal(be->ops->recv(be, 0, &iov, 1), sizeof(buf));
	world_sends(40, 'y');
	iov.iov_len--;
	assert_int_equal(be->ops->recv(be, 0, &iov, 1), sizeof(buf));

	/* More pieces than the kernel takes at once. */
	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct iovec){ frame + i, 1 };
	world_sends(500, 'z');
	assert_int_equal(be->ops->recv(be, 0, many, ARRAY_SIZE(many)),
			 HDR + 500);
	world_sends(1500, 'z');
	assert_true(be->ops->recv(be, 0, many, ARRAY_SIZE(many)) > 1023);
}

static void test_on_off(void **state)
{
	(void)state;
	start(1);
	world_sends(100, 'a');
	run(5);
	assert_int_equal(readable[0], 0);	/* off at first */

	be->ops->rx_on(be, 0);
	be->ops->rx_on(be, 0);
	run(5);
	assert_int_equal(ngot, 1);		/* the frame ... */
	assert_int_equal(got[0], HDR + 100);
	assert_int_equal(readable[0], 1);	/* ... and then silence */

	be->ops->rx_off(be, 0);
	be->ops->rx_off(be, 0);
	world_sends(101, 'a');
	run(5);
	world_sends(102, 'a');
	run(5);
	assert_int_equal(readable[0], 1);

	be->ops->rx_on(be, 0);
	be->ops->rx_off(be, 0);
	be->ops->rx_on(be, 0);
	run(5);
	assert_int_equal(ngot, 3);
	assert_int_equal(got[1], HDR + 101);
	assert_int_equal(got[2], HDR + 102);
	assert_string_equal(links, "");
}

static void test_queues(void **state)
{
	char seen[2048];
	unsigned int i;

	(void)state;
	start(8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(send_frame(i, 60 + i), 0);
		assert_int_equal(netlab_take(packet, PROTO, seen,
					     sizeof(seen)), 60 + i);
		be->ops->rx_on(be, i);
	}
	for (i = 0; i < 8; i++)
		world_sends(200, 'a');
	run(10);
	assert_int_equal(ngot, 8);		/* whichever they came by */
}

/* ---- offloads ---- */

static void test_usable_offloads(void **state)
{
	static const struct {
		unsigned int asked, usable;
	} t[] = {
		{ 0, 0 },
		{ NET_CSUM, NET_CSUM },
		{ NET_TSO4 | NET_TSO6 | NET_USO4 | NET_USO6, 0 },
		{ NET_CSUM | NET_TSO4, NET_CSUM | NET_TSO4 },
		{ NET_CSUM | NET_TSO_ECN, NET_CSUM },
		{ NET_CSUM | NET_TSO6 | NET_TSO_ECN,
		  NET_CSUM | NET_TSO6 | NET_TSO_ECN },
		{ NET_CSUM | NET_USO4, NET_CSUM },
		{ NET_CSUM | NET_USO6, NET_CSUM },
		{ NET_CSUM | NET_USO4 | NET_USO6,
		  NET_CSUM | NET_USO4 | NET_USO6 },
		{ 0x3f, 0x3f },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(tap_usable_offloads(t[i].asked), t[i].usable);

	/* The kernel takes them all, in every combination. */
	start(1);
	for (i = 0; i < 0x10; i++)
		assert_int_equal(be->ops->set_offloads(be, i), 0);
	for (i = 0; i < 0x40; i++)
		assert_in_range(-be->ops->set_offloads(be, i), 0, EINVAL);
}

/* IPv4 and TCP, one segment of @bytes that is to be cut into 1000s. */
static size_t make_tso(unsigned char *p, uint16_t bytes)
{
	uint16_t total = (uint16_t)(20 + 20 + bytes);
	uint32_t sum = 0;
	int i;

	/* struct virtio_net_hdr: NEEDS_CSUM, TCPV4, hdr_len, gso_size, ... */
	memset(p, 0, 10 + 54 + bytes);
	p[0] = 1;
	p[1] = 1;
	p[2] = 54;
	p[4] = 1000 & 0xff;
	p[5] = 1000 >> 8;
	p[6] = 34;
	p[8] = 16;
	p += 10;
	memset(p, 0xff, 6);
	p[6] = 2;
	p[12] = 0x08;
	p += 14;
	p[0] = 0x45;
	p[2] = (unsigned char)(total >> 8);
	p[3] = (unsigned char)total;
	p[8] = 64;
	p[9] = 6;
	memcpy(p + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	for (i = 0; i < 20; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	p[10] = (unsigned char)(sum >> 8);
	p[11] = (unsigned char)sum;
	p[20 + 12] = 0x50;
	p[20 + 13] = 0x10;
	return 10 + 14 + (size_t)total;
}

static void test_offloads(void **state)
{
	static unsigned char out[10 + 54 + 4000];
	size_t len = make_tso(out, 4000);
	int s, i;

	(void)state;
	start(1);
	s = netlab_packet(TAP, true);
	assert_true(s >= 0);
	be->ops->rx_on(be, 0);

	/* None at first: four frames, complete with checksums. */
	assert_int_equal(send(s, out, len, 0), len);
	run(10);
	assert_int_equal(ngot, 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(got[i], HDR + 54 + 1000);
	assert_int_equal(frame[0] & 1, 0);
	assert_int_equal(frame[1], 0);

	ngot = 0;
	assert_int_equal(be->ops->set_offloads(be, NET_CSUM), 0);
	assert_int_equal(send(s, out, len, 0), len);
	run(10);
	assert_int_equal(ngot, 4);
	assert_int_equal(frame[1], 0);

	ngot = 0;
	assert_int_equal(be->ops->set_offloads(be, NET_CSUM | NET_TSO4), 0);
	assert_int_equal(send(s, out, len, 0), len);
	run(10);
	assert_int_equal(ngot, 1);
	assert_int_equal(got[0], HDR + 54 + 4000);
	assert_int_equal(frame[0], 1);			/* NEEDS_CSUM */
	assert_int_equal(frame[1], 1);			/* GSO_TCPV4 */
	assert_int_equal(frame[4] & 0xff, 1000 & 0xff);
	assert_int_equal(frame[5], 1000 >> 8);

	ngot = 0;
	assert_int_equal(be->ops->set_offloads(be, 0), 0);
	assert_int_equal(send(s, out, len, 0), len);
	run(10);
	assert_int_equal(ngot, 4);
	close(s);
}

/* ---- no room, and no more than so much ---- */

static void test_busy(void **state)
{
	static const int busy[] = { EAGAIN, ENOBUFS };
	char seen[2048];
	unsigned int i;

	(void)state;
	start(2);
	for (i = 0; i < ARRAY_SIZE(busy); i++) {
		refuse_writes = 2;
		refuse_errno = busy[i];
		assert_int_equal(send_frame(0, 60), -EAGAIN);
		assert_int_equal(send_frame(1, 61), -EAGAIN);
		assert_int_equal(writable[0], i);	/* not from inside */
		run(20);
		assert_int_equal(writable[0], i + 1);
		assert_int_equal(writable[1], i + 1);
		assert_int_equal(send_frame(0, 60), 0);
		assert_int_equal(netlab_take(packet, PROTO, seen,
					     sizeof(seen)), 60);
	}
	refuse_writes = 1;
	refuse_errno = ENOMEM;
	assert_int_equal(send_frame(0, 60), -ENOMEM);
	run(20);
	assert_int_equal(writable[0], 2);		/* it is lost */
	assert_string_equal(links, "");

	/* Closing while somebody waits. */
	refuse_writes = 1;
	refuse_errno = EAGAIN;
	assert_int_equal(send_frame(0, 60), -EAGAIN);
}

/* 500 kB/s in portions of 20 ms: 10 kB and a frame at once. */
static void test_rate(void **state)
{
	uint64_t began, ms, frames = 0;

	(void)state;
	info.rate_bytes = 500000;
	info.rate_burst_us = 20000;
	start(2);
	began = loop_now_ns();
	while (send_frame(0, 1000) == 0)
		frames++;
	ms = (loop_now_ns() - began) / 1000000;
	assert_in_range(frames, 10, 10 + (ms + 1) / 2 + 1);
	assert_int_equal(send_frame(1, 1000), -EAGAIN);	/* of both queues */
	while (loop_now_ns() - began < 200000000) {
		run(5);
		while (send_frame(0, 1000) == 0)
			frames++;
	}
	ms = (loop_now_ns() - began) / 1000000;
	assert_true(writable[0] > 2);
	assert_true(writable[1] >= 1);
	assert_in_range(frames, 20, 10 + (ms + 1) / 2 + 1);

	/* A frame larger than the portion goes, and is paid for later. */
	run(50);
	assert_int_equal(send_frame(0, 60000), 0);
	began = loop_now_ns();
	while (send_frame(0, 60) != 0)
		run(5);
	assert_in_range((loop_now_ns() - began) / 1000000, 85, 5000);
}

/* Who always has more to send leaves the others their share. */
static void test_rate_shared(void **state)
{
	(void)state;
	info.rate_bytes = 500000;
	info.rate_burst_us = 20000;
	start(4);
	hungry = true;
	while (send_frame(0, 1000) == 0)
		;
	assert_int_equal(send_frame(2, 1000), -EAGAIN);
	run(200);
	assert_true(went[0] >= 10);
	assert_in_range(went[2], went[0] / 2, 2 * went[0]);
	assert_int_equal(writable[1] + writable[3], 0);
}

/* ---- the cable ---- */

/* Down, up and renamed: others tell of that, and frames are lost meanwhile. */
static void test_down(void **state)
{
	struct ifreq ifr = netlab_ifr(TAP);
	char seen[2048];

	(void)state;
	start(1);
	be->ops->rx_on(be, 0);
	assert_int_equal(netlab_set_up(TAP, false), 0);
	assert_int_equal(send_frame(0, 60), -EIO);	/* lost */
	run(20);
	assert_true(be->ops->link_up(be));

	memcpy(ifr.ifr_newname, "tap8", 5);
	assert_int_equal(netlab_ioctl(SIOCSIFNAME, &ifr), 0);
	assert_int_equal(netlab_set_up("tap8", true), 0);
	close(packet);
	packet = netlab_packet("tap8", false);
	assert_int_equal(send_frame(0, 60), 0);
	assert_int_equal(netlab_take(packet, PROTO, seen, sizeof(seen)), 60);
	world_sends(100, 'a');
	run(10);
	assert_int_equal(got[ngot - 1], HDR + 100);
	assert_string_equal(links, "");
	assert_true(be->ops->link_up(be));
}

/* Whoever sees dom0's network has a line for it; here is none. */
static void check_gone(const char *log)
{
	struct iovec iov = { frame, sizeof(frame) };

	assert_string_equal(links, "-");
	assert_string_equal(log, "");
	assert_true(ngot <= 1);			/* errors come without end */
	assert_false(be->ops->link_up(be));
	assert_int_equal(be->ops->send(be, 0, &iov, 1), -ENETDOWN);
	assert_int_equal(be->ops->recv(be, 0, &iov, 1), -ENETDOWN);
	assert_true(be->ops->set_offloads(be, NET_CSUM) < 0);
	be->ops->rx_off(be, 0);
	be->ops->rx_on(be, 0);
	ngot = 0;
	run(10);
	assert_int_equal(ngot, 0);
	assert_string_equal(links, "-");	/* said once */
}

/* The interface is taken away: seen at once where frames are waited for. */
static void test_gone(void **state)
{
	struct unit_capture c;

	(void)state;
	start(2);
	be->ops->rx_on(be, 1);
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	run_links(1);
	check_gone(unit_capture_end(&c));
	assert_int_equal(got[0], -EBADFD);
}

/* Where they are not wanted just now, too, without asking who wants them. */
static void test_gone_paused(void **state)
{
	struct unit_capture c;

	(void)state;
	start(1);
	be->ops->rx_on(be, 0);
	be->ops->rx_off(be, 0);
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	run_links(1);
	check_gone(unit_capture_end(&c));
	assert_int_equal(readable[0], 0);
}

/* Nobody waits for any: it shows by the first that is received, ... */
static void test_gone_recv(void **state)
{
	struct iovec iov = { frame, sizeof(frame) };
	struct unit_capture c;

	(void)state;
	start(1);
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	run(10);
	assert_string_equal(links, "");
	assert_int_equal(be->ops->recv(be, 0, &iov, 1), -EBADFD);
	assert_string_equal(links, "");		/* never from inside */
	run_links(1);
	check_gone(unit_capture_end(&c));
}

/* ... or sent. */
static void test_gone_send(void **state)
{
	struct unit_capture c;

	(void)state;
	start(1);
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	assert_int_equal(send_frame(0, 60), -EBADFD);
	assert_int_equal(send_frame(0, 60), -EBADFD);
	assert_string_equal(links, "");
	run_links(1);
	check_gone(unit_capture_end(&c));
}

/* Who waits for its turn gets it, and what it sends then is lost. */
static void test_gone_waiting(void **state)
{
	struct unit_capture c;

	(void)state;
	start(2);
	refuse_writes = 1;
	refuse_errno = EAGAIN;
	hungry = true;
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	assert_int_equal(send_frame(1, 60), -EAGAIN);
	run_links(1);
	check_gone(unit_capture_end(&c));
	assert_int_equal(writable[0], 0);
	assert_int_equal(writable[1], 1);
	assert_int_equal(went[1], 0);
}

/* Whoever is found to wait when it is gone is told as well. */
static void test_gone_others_wait(void **state)
{
	struct unit_capture c;

	(void)state;
	start(2);
	refuse_writes = 1;
	refuse_errno = EAGAIN;
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del(TAP), 0);
	assert_int_equal(send_frame(1, 60), -EAGAIN);
	assert_int_equal(send_frame(0, 60), -EBADFD);
	run_links(1);
	check_gone(unit_capture_end(&c));
	assert_int_equal(writable[0], 0);
	assert_int_equal(writable[1], 1);
}

/*
 * A macvtap goes without a word to whoever has it open, and takes what is sent
 * all the same: netdev_link() sees it.  Here, nothing turns in circles.
 */
static void test_macvtap(void **state)
{
	static char buf[HDR + 60];
	struct iovec iov = { buf, sizeof(buf) };
	struct net_backend *mv = NULL;
	struct unit_capture c;
	int bytes = HDR, fd, r;
	char node[32];

	(void)state;
	start(1);
	r = netlab_add("mv0", "macvtap", TAP);
	(void)snprintf(node, sizeof(node), "/dev/tap%u", if_nametoindex("mv0"));
	fd = open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (r < 0 || fd < 0) {
		print_message("# no macvtap: %s\n", strerror(-r));
		skip();
	}
	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &bytes), 0);
	assert_int_equal(netlab_set_up("mv0", true), 0);
	info.queues = 1;
	r = net_tap_ops.open(loop, &fd, &info, &events, &mv);
	assert_int_equal(r, 0);
	assert_int_equal(mv->ops->set_offloads(mv, NET_CSUM | NET_TSO4), 0);
	assert_true(mv->ops->link_up(mv));

	mv->ops->rx_on(mv, 0);
	unit_capture_start(&c, STDERR_FILENO);
	assert_int_equal(netlab_del("mv0"), 0);
	make_frame(buf, 60, 'a');
	(void)mv->ops->send(mv, 0, &iov, 1);	/* kernels differ */
	assert_int_equal(mv->ops->recv(mv, 0, &iov, 1), -EAGAIN);
	run(10);
	assert_string_equal(unit_capture_end(&c), "");
	assert_true(ngot < ARRAY_SIZE(got));
	assert_true(mv->ops->set_offloads(mv, NET_CSUM) < 0);
	assert_true(be->ops->link_up(be));	/* the other one */
	assert_int_equal(send_frame(0, 60), 0);
	net_tap_ops.close(mv);
}

/* Gone before anybody looked; and no tap at all. */
static void test_open_fails(void **state)
{
	struct net_backend *none = NULL;
	struct unit_capture c;
	int fd, r;

	(void)state;
	start(1);
	info.queues = 1;
	fd = netlab_tap("tap9", 0);
	assert_int_equal(netlab_del("tap9"), 0);
	assert_int_equal(net_tap_ops.open(loop, &fd, &info, &events, &none),
			 -EBADFD);
	assert_int_equal(fcntl(fd, F_GETFD), -1);	/* closed */
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	unit_capture_start(&c, STDERR_FILENO);	/* libevent complains */
	r = net_tap_ops.open(loop, &fd, &info, &events, &none);
	(void)unit_capture_end(&c);
	assert_true(r < 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_null(none);
	net_tap_ops.close(NULL);
}

#define TAP_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	TAP_TEST(test_send),
	TAP_TEST(test_recv),
	TAP_TEST(test_recv_cut),
	TAP_TEST(test_on_off),
	TAP_TEST(test_queues),
	TAP_TEST(test_usable_offloads),
	TAP_TEST(test_offloads),
	TAP_TEST(test_busy),
	TAP_TEST(test_rate),
	TAP_TEST(test_rate_shared),
	TAP_TEST(test_down),
	TAP_TEST(test_gone),
	TAP_TEST(test_gone_paused),
	TAP_TEST(test_gone_recv),
	TAP_TEST(test_gone_send),
	TAP_TEST(test_gone_waiting),
	TAP_TEST(test_gone_others_wait),
	TAP_TEST(test_macvtap),
	TAP_TEST(test_open_fails),
};

int main(void)
{
	log_init("test", false);
	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
