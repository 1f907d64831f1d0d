/* SPDX-License-Identifier: MIT */
/*
 * vblk.h: a disk's insides, for virtio_blk.c and vblk_req.c only.
 *
 *	virtio_blk.c	life, features, configuration, queues
 *	vblk_req.c	requests
 *
 * A request is a chain
 *
 *	readable: 16 bytes of header, data of a write
 *	writable: data of a read, 1 byte of status
 *
 * vblk_start() checks the header, and everything against the disk, and
 * from there on the backend may trust what it is given.  A payload larger
 * than one DMA operation, or a discard of several ranges, is done piece by
 * piece; vblk_done() either goes on with the next piece or answers.
 *
 *	pop -> vblk_start -> vblk_next -> backend -> vblk_done -> push
 *		  |	^      |   ^		       |
 *		  limit-+    wait  +---- more pieces --+---> hold
 *
 * "limit": the disk may be no faster, see vblk_throttle.h.
 * "wait": no memory for DMA right now, tried again when a request ends.
 * "hold": the guest switched bus mastering off meanwhile; answered when it
 * is on again, or never if we have to go before (vdev_give_up()).
 *
 * Each look into granted memory is a call to Xen.  So headers are read for
 * several chains at once, and a request whose payload is copied waits in
 * "filling" until the next kick, or in "answers" until the end of the loop's
 * turn, for others that do the same.
 *
 * Requests are preallocated.  Every popped chain is pushed exactly once.
 */
#ifndef XVD_VBLK_H
#define XVD_VBLK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <linux/virtio_blk.h>
#include "blk_backend.h"
#include "dma.h"
#include "guest_batch.h"
#include "guest_mem.h"
#include "loop.h"
#include "util.h"
#include "vblk_throttle.h"
#include "vdev.h"
#include "virtio_blk.h"
#include "virtqueue.h"

#define VBLK_SECTOR		512u
#define VBLK_MAX_RANGES		32	/* of one discard or write zeroes */
#define VBLK_MAX_RANGE_BYTES	(2048ull * 1024 * 1024)

struct vblk_req {
	struct blk_req		be;		/* the piece under way */
	struct vblk		*blk;
	struct vq		*vq;
	TAILQ_ENTRY(vblk_req)	link;		/* free, waiting or held */
	uint32_t		type;
	uint64_t		offset;		/* of the next piece, bytes */
	uint64_t		left;		/* payload bytes to go */
	uint64_t		bytes;		/* of the disk, so far or all */
	uint64_t		status_addr;
	uint32_t		written;	/* to the guest, for used.len */
	int			err;		/* while held, or in answers */
	bool			mapped;
	uint8_t			status;		/* on its way to the guest ... */
	bool			told;		/* ... and arrived there */
	int			told_err;
	struct virtio_blk_outhdr hdr;
	struct dma_cursor	cur;
	struct dma_op		dma;
	struct vblk_turn	turn;		/* while limits are waited for */
	struct vq_chain		chain;
};

TAILQ_HEAD(vblk_list, vblk_req);

/* What the driver may change; kept in the state file. */
struct vblk_state {
	uint8_t	wce;
};

struct vblk {
	struct vdev		vdev;
	struct blk_backend	*be;
	struct dma_space	*dma;
	struct vblk_state	*st;
	struct virtio_blk_config config;
	char			serial[VIRTIO_BLK_ID_BYTES];
	bool			can_flush;	/* negotiated */

	struct vblk_req		*reqs;
	unsigned int		nreqs;
	unsigned int		fresh;		/* never used so far */
	struct vblk_list	free;
	struct vblk_list	waiting;
	struct vblk_list	held;
	struct vblk_list	filling;
	struct vblk_list	answers;
	struct guest_batch	in;		/* from the guest */
	struct guest_batch	out;
	struct loop_work	answer_work;
	bool			starved;	/* a queue wants requests */
	struct vblk_throttle	*throttle;	/* NULL: no limits */
	struct loop_work	kick_work;	/* pieces for the backend */
	struct guest_waiter	room;		/* another device made some */
};

_Static_assert(sizeof(struct vblk_state) <=
	       sizeof(((struct vdev_state *)NULL)->device), "state fits");
_Static_assert(sizeof(struct virtio_blk_outhdr) == 16, "5.2.6");

/*
 * The pool.  Requests that were never needed are never touched, and the last
 * one back is the first one out: memory follows the depth that is used.
 * vblk_get() returns NULL when there are no more.
 */
struct vblk_req *vblk_get(struct vblk *b);
void vblk_put(struct vblk *b, struct vblk_req *req);

/* A chain was popped: its header is read once, here or by the next batch. */
void vblk_read_header(struct vblk_req *req);

/* It was read.  Looks at it, and begins. */
void vblk_start(struct vblk_req *req);

/* A request's turn has come, whatever became of its queue meanwhile. */
void vblk_go(struct vblk_turn *turn);

/*
 * DMA memory came free: on with those who wait for it, until one has to wait
 * again.  Those that fail make way: no completion would come for the others.
 */
void vblk_retry(struct vblk *b);

/* What the backend was given and what waits for a copy, it now does. */
void vblk_kick(struct vblk *b);

/* Answers all that the backend is done with; or holds it. */
void vblk_answer(struct vblk *b);

/* Gives the chain back, with nothing written but @status. */
void vblk_fail(struct vblk_req *req, uint8_t status);

#endif
