/* SPDX-License-Identifier: MIT */
/*
 * tap.c: frames by way of a Linux tap or macvtap.
 *
 *	guest -> send() -> writev(fd[queue]) -> the interface's receive side
 *	guest <- recv() <- readv(fd[queue])  <- what dom0 sends through it
 *
 * One frame per call; the kernel has no call for several.  The descriptors
 * come opened and set up (netdev.c): non-blocking, with a vnet header of
 * NET_HDR_BYTES in little endian.
 *
 * Receiving.  The kernel spreads frames over all queues, whether the guest
 * serves them or not; whoever asks for several has to read them all.  To
 * pause a queue costs nothing: it is looked away from when it is next found
 * readable.
 *
 * Sending.  Where the interface cannot take more (-EAGAIN), and where rate=
 * is used up, the queue waits for a timer rather than for the descriptor to
 * become writable: taps are set up without a limit on what is on its way
 * (netdev.c says why), so that the former is a rarity.
 *
 * The rate is a virtual clock: each byte moves it on by what a byte takes at
 * that rate, and it may run ahead of the real one by the burst and no more.
 *
 *	   now           clock        now + burst
 *	----|--------------|------=======|------------> time
 *	    :<- spent ---->:<- left ---->:
 *
 * Queues that wait take turns to be the first: what the timer finds to be
 * spent is a frame or two, and the first to be told takes all of it.
 *
 * The cable.  Whether the interface is up in dom0 is none of our business: it
 * is told from above, by whoever sees dom0's network.  But one that is gone
 * shows as an error of its descriptors, and they are not looked at any more.
 * The guest's other devices go on.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include "loop.h"
#include "net_backend.h"
#include "tap.h"
#include "util.h"

#ifndef TUN_F_USO4		/* kernels from 6.2 on know them */
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif

#define BUSY_MS		1u	/* until a send is tried again */
#define NS_PER_SEC	1000000000ull
#define NS_PER_MS	1000000ull

struct tap;

struct tap_queue {
	struct tap	*tap;
	int		fd;
	struct loop_fd	*watch;
	bool		on;		/* the guest wants frames */
	bool		watched;	/* at least for now */
	bool		waiting;	/* for writable() */
};

struct tap {
	struct net_backend	base;
	struct loop		*loop;
	struct tap_queue	queues[NET_MAX_QUEUES];
	struct loop_timer	*retry;
	unsigned int		turn;		/* the queue told first */
	uint64_t		clock_ns;	/* the rate's, see above */

	struct loop_work	look;		/* at the interface, later */
	bool			gone;
	char			spill[64];	/* of frames too long */
	struct iovec		iov[IOV_MAX];
};

static struct tap *tap_of(struct net_backend *be)
{
	return container_of(be, struct tap, base);
}

/* ---- offloads ---- */

unsigned int tap_usable_offloads(unsigned int offloads)
{
	const unsigned int uso = NET_USO4 | NET_USO6;

	if (!(offloads & NET_CSUM))
		return 0;
	if (!(offloads & (NET_TSO4 | NET_TSO6)))
		offloads &= ~(unsigned int)NET_TSO_ECN;
	if ((offloads & uso) != uso)
		offloads &= ~uso;
	return offloads;
}

int tap_fd_set_offloads(int fd, unsigned int offloads)
{
	static const struct {
		enum net_offload	ours;
		unsigned int		theirs;
	} t[] = {
		{ NET_CSUM,	TUN_F_CSUM },
		{ NET_TSO4,	TUN_F_TSO4 },
		{ NET_TSO6,	TUN_F_TSO6 },
		{ NET_TSO_ECN,	TUN_F_TSO_ECN },
		{ NET_USO4,	TUN_F_USO4 },
		{ NET_USO6,	TUN_F_USO6 },
	};
	unsigned long flags = 0;
	size_t i;

	offloads = tap_usable_offloads(offloads);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		if (offloads & t[i].ours)
			flags |= t[i].theirs;
	return ioctl(fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static int tap_set_offloads(struct net_backend *be, unsigned int offloads)
{
	return tap_fd_set_offloads(tap_of(be)->queues[0].fd, offloads);
}

/* ---- the cable ---- */

/* Who waits to send is told all the same, and finds that it is over. */
static void tap_stop_all(struct tap *tap)
{
	unsigned int i;

	for (i = 0; i < tap->base.info.queues; i++) {
		loop_fd_del(tap->queues[i].watch);
		tap->queues[i].watch = NULL;
		tap->queues[i].on = false;
		tap->queues[i].watched = false;
	}
}

/* Is the interface still there? */
static void tap_look(struct tap *tap)
{
	struct ifreq ifr = { 0 };

	if (tap->gone || ioctl(tap->queues[0].fd, TUNGETIFF, &ifr) == 0)
		return;
	tap->gone = true;
	tap_stop_all(tap);
	if (tap->base.events.link)
		tap->base.events.link(tap->base.events.arg, false);
}

static void tap_look_work(struct loop_work *work)
{
	tap_look(container_of(work, struct tap, look));
}

/* Some call has failed.  With an interface that is gone, all of them will. */
static int tap_failed(struct tap *tap, int err)
{
	if (err == -EBADFD || err == -ENODEV || err == -ENOLINK ||
	    err == -ENXIO)
		loop_defer(tap->loop, &tap->look);
	return err;
}

static bool tap_link_up(struct net_backend *be)
{
	return !tap_of(be)->gone;
}

/* ---- sending ---- */

static void tap_wait(struct tap *tap, unsigned int queue, uint64_t ns)
{
	uint64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS;

	tap->queues[queue].waiting = true;
	loop_timer_set(tap->retry, (unsigned int)MIN(ms, (uint64_t)INT_MAX));
}

static void tap_on_retry(void *arg)
{
	struct tap *tap = arg;
	unsigned int count = tap->base.info.queues;
	unsigned int i, q, first = tap->turn;
	bool any = false;

	for (i = 0; i < count; i++) {
		q = (first + i) % count;
		if (!tap->queues[q].waiting)
			continue;
		if (!any)
			tap->turn = (q + 1) % count;
		any = true;
		tap->queues[q].waiting = false;
		tap->base.events.writable(tap->base.events.arg, q);
	}
}

/* Return: how long to wait before the next frame; 0: it may go. */
static uint64_t tap_rate_wait(struct tap *tap)
{
	uint64_t burst = tap->base.info.rate_burst_us * 1000ull;
	uint64_t now = loop_now_ns();

	if (tap->clock_ns < now)
		tap->clock_ns = now;
	return tap->clock_ns - now < burst ? 0 :
	       tap->clock_ns - now - burst + 1;
}

static int tap_send(struct net_backend *be, unsigned int queue,
		    const struct iovec *iov, int iovcnt)
{
	struct tap *tap = tap_of(be);
	uint64_t rate = be->info.rate_bytes;
	uint64_t wait;
	ssize_t n;

	if (tap->gone)
		return -ENETDOWN;
	if (rate) {
		wait = tap_rate_wait(tap);
		if (wait) {
			tap_wait(tap, queue, wait);
			return -EAGAIN;
		}
	}
	n = writev(tap->queues[queue].fd, iov, iovcnt);
	if (n < 0) {
		if (errno != EAGAIN && errno != ENOBUFS)
			return tap_failed(tap, -errno);
		tap_wait(tap, queue, BUSY_MS * NS_PER_MS);
		return -EAGAIN;
	}
	if (rate && n > NET_HDR_BYTES)
		tap->clock_ns += (uint64_t)(n - NET_HDR_BYTES) * NS_PER_SEC /
				 rate;
	return 0;
}

/* ---- receiving ---- */

static void tap_on_readable(void *arg)
{
	struct tap_queue *q = arg;
	struct tap *tap = q->tap;

	if (!q->on) {
		loop_fd_pause(q->watch);
		q->watched = false;
		tap_look(tap);		/* errors make it readable, too */
		return;
	}
	tap->base.events.readable(tap->base.events.arg,
				  (unsigned int)(q - tap->queues));
}

/*
 * readv() does not say that a frame was longer than the room for it.  A bit
 * of room of our own behind it does.
 */
static ssize_t tap_recv(struct net_backend *be, unsigned int queue,
			const struct iovec *iov, int iovcnt)
{
	struct tap *tap = tap_of(be);
	ssize_t n;

	if (tap->gone)
		return -ENETDOWN;
	iovcnt = MIN(iovcnt, IOV_MAX - 1);
	memcpy(tap->iov, iov, (size_t)iovcnt * sizeof(*iov));
	tap->iov[iovcnt] = (struct iovec){ tap->spill, sizeof(tap->spill) };
	n = readv(tap->queues[queue].fd, tap->iov, iovcnt + 1);
	return n < 0 ? tap_failed(tap, -errno) : n;
}

static void tap_rx_on(struct net_backend *be, unsigned int queue)
{
	struct tap *tap = tap_of(be);
	struct tap_queue *q = &tap->queues[queue];

	if (tap->gone || q->on)
		return;
	q->on = true;
	if (!q->watched)
		loop_fd_resume(q->watch);
	q->watched = true;
}

static void tap_rx_off(struct net_backend *be, unsigned int queue)
{
	tap_of(be)->queues[queue].on = false;
}

/* ---- making and ending ---- */

static void tap_close(struct net_backend *be)
{
	struct tap *tap;
	unsigned int i;

	if (!be)
		return;
	tap = tap_of(be);
	loop_defer_cancel(&tap->look);
	loop_timer_del(tap->retry);
	for (i = 0; i < be->info.queues; i++) {
		loop_fd_del(tap->queues[i].watch);
		close(tap->queues[i].fd);
	}
	free(tap);
}

static int tap_start_queues(struct tap *tap)
{
	unsigned int i;
	int r;

	for (i = 0; i < tap->base.info.queues; i++) {
		r = loop_fd_add(tap->loop, tap->queues[i].fd, tap_on_readable,
				&tap->queues[i], &tap->queues[i].watch);
		if (r < 0)
			return r;
		loop_fd_pause(tap->queues[i].watch);
	}
	return 0;
}

static int tap_start(struct tap *tap)
{
	int r;

	r = loop_timer_add(tap->loop, tap_on_retry, tap, &tap->retry);
	if (!r)
		r = tap_start_queues(tap);
	if (!r)
		r = tap_set_offloads(&tap->base, 0);
	if (r < 0)
		return r;
	tap_look(tap);
	return tap->gone ? -ENODEV : 0;
}

static int tap_open(struct loop *loop, const int *fds,
		    const struct net_info *info,
		    const struct net_events *events,
		    struct net_backend **ret)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	unsigned int i;
	int r;

	assert(info->queues >= 1 && info->queues <= NET_MAX_QUEUES);
	assert(!info->rate_bytes || info->rate_burst_us);
	if (!tap) {
		for (i = 0; i < info->queues; i++)
			close(fds[i]);
		return -ENOMEM;
	}
	tap->base.ops = &net_tap_ops;
	tap->base.info = *info;
	tap->base.events = *events;
	tap->loop = loop;
	tap->look.fn = tap_look_work;
	for (i = 0; i < info->queues; i++) {
		tap->queues[i].tap = tap;
		tap->queues[i].fd = fds[i];
	}
	r = tap_start(tap);
	if (r < 0) {
		tap_close(&tap->base);
		return r;
	}
	*ret = &tap->base;
	return 0;
}

const struct net_backend_ops net_tap_ops = {
	.name		= "tap",
	.open		= tap_open,
	.set_offloads	= tap_set_offloads,
	.send		= tap_send,
	.recv		= tap_recv,
	.rx_on		= tap_rx_on,
	.rx_off		= tap_rx_off,
	.link_up	= tap_link_up,
	.close		= tap_close,
};
