/* SPDX-License-Identifier: MIT */
/*
 * virtqueue.h: one split virtqueue, device side (virtio 1.2, 2.7).
 *
 * Three areas of guest memory make a queue of size N:
 *
 *   descriptors	N x { addr, len, flags, next }	chains through next, or
 *							one indirect table
 *   avail (driver)	flags, idx, ring[N], used_event	heads to be taken
 *   used (device)	flags, idx, ring[N], avail_event heads given back
 *
 *	     last_avail             avail.idx
 *	         v                     v
 *	... done | to be popped ...... |		popped, not pushed:
 *	... published | pushed | in flight		"in flight"
 *		      ^used.idx^used_idx
 *
 * A device uses three verbs: vq_pop() takes a chain, vq_push() gives its head
 * back, vq_flush() publishes what was pushed and decides on the interrupt.
 * vq_quiet() and vq_wait() ask the driver for fewer and for more kicks.
 *
 * The guest may write anything anywhere at any time.  Every field is looked
 * at once, every index is checked before use, and every walk has a bound; a
 * violation makes the device broken (vdev_broken()) and nothing else.
 */
#ifndef XVD_VIRTQUEUE_H
#define XVD_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include "dma.h"
#include "guest_mem.h"
#include "loop.h"
#include "state.h"

#define VQ_MAX_SEGS	256	/* the longest chain that we take */

struct vdev;

struct vq {
	struct vdev		*vdev;
	struct vq_state		*st;
	unsigned int		index;

	struct guest_map	desc_map;
	struct guest_map	avail_map;
	struct guest_map	used_map;
	bool			mapped;
	bool			dead;		/* broken, or being reset */
	bool			event_idx;
	unsigned int		epoch;		/* of the maps */
	unsigned int		map_tries;	/* in vain, for want of room */
	struct guest_waiter	room;
	uint16_t		published;	/* used.idx as the guest sees */

	/* Polling, see vq_linger(). */
	uint64_t		linger_until;	/* ns; 0: not lingering */
	unsigned int		linger_hits;	/* 0 to LINGER_HITS_MAX */
	unsigned int		linger_skipped;

	struct loop_work	kick_work;
	struct loop_work	flush_work;
};

/* The avail and used rings as arrays of 16 bits. */
enum {
	RING_FLAGS = 0,
	RING_IDX = 1,
	RING_ENTRIES = 2,
};

static inline __le16 __guest *vq_avail(const struct vq *vq, unsigned int i)
{
	return (__le16 __guest *)vq->avail_map.base + i;
}

/*
 * A chain, private to us: the guest can no longer change it.  Readable
 * segments (driver to device) come first.  All lengths are in bytes.
 */
struct vq_chain {
	uint16_t	head;
	uint16_t	nout;		/* seg[0 .. nout) are readable */
	uint16_t	nin;		/* seg[nout .. nout + nin) writable */
	bool		granted;	/* some of it, or all */
	uint64_t	out_bytes;
	uint64_t	in_bytes;
	struct dma_seg	seg[VQ_MAX_SEGS];
};

/* Embeds a queue in @vdev; @st is borrowed. */
void vq_init(struct vq *vq, struct vdev *vdev, struct vq_state *st,
	     unsigned int index);

/* Size and addresses back to what they are after a device reset. */
void vq_reset_state(struct vq *vq);

/*
 * The driver wrote queue_enable.  Checks alignment (2.7); the areas are
 * mapped later, by the first work on the queue.  Return: 0 or -EPROTO.
 */
int vq_enable(struct vq *vq);

/*
 * Stops a queue for a reset: nothing is popped from now on, and pushes no
 * longer touch guest memory.  vdev_queue_idle() is called, at once or later,
 * when nothing is in flight.
 */
void vq_stop(struct vq *vq);

/* Lets go of the guest's memory. */
void vq_unmap(struct vq *vq);

/*
 * Takes the next chain.  Return: 1 and *ret, 0 if there is none, -EPROTO if
 * the device is broken now.
 */
int vq_pop(struct vq *vq, struct vq_chain *ret);

/*
 * Puts a chain back as if it had never been taken: only what was popped last,
 * and before anything else is done with the queue but vq_wait().  Several are
 * put back in reverse order.
 */
void vq_unpop(struct vq *vq, uint16_t head);

/*
 * Gives a chain back, @len bytes of its writable part being written.  To be
 * called exactly once for each vq_pop() that stands, in any order.
 */
void vq_push(struct vq *vq, uint16_t head, uint32_t len);

/* Publishes what was pushed and interrupts the driver if it wants that. */
void vq_flush(struct vq *vq);

/* The same at the end of the loop's turn, so that a batch costs one. */
void vq_flush_later(struct vq *vq);

/* No kicks, please: we are looking at the ring anyway. */
void vq_quiet(struct vq *vq);

/*
 * The ring was found empty; @took: after something had been taken from it.
 * Is it worth to look again a little later, rather than to ask for a kick?
 *
 * A kick is dear: the vCPU stands still while Xen, dom0 and we are woken one
 * after the other.  So after each find we go on looking for about as long as
 * a kick costs on this machine (vdev->kick_ns), and only while that tends to
 * succeed.  One look is one turn of the loop, so nobody else waits for us.
 *
 * Return: true if the queue is to be run again in the next turn, which is
 * seen to, and vq_wait() is not to be called.
 */
bool vq_linger(struct vq *vq, bool took);

/*
 * Kick us from now on.  Return: true if something arrived meanwhile, which
 * the driver need not tell us about any more.
 */
bool vq_wait(struct vq *vq);

#endif
