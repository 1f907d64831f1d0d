/* SPDX-License-Identifier: MIT */
/*
 * vblk_throttle.h: requests of a disk that is limited (blk_limits.h) wait for
 * their turn here, between virtio_blk.c's look at them and the backend.
 *
 *	queue 0   r r r r r >--+
 *	queue 1           r >--+--> all limits have something left --> go()
 *	queue 2       r r r >--+
 *
 * Within a queue, order is kept; where reads or writes have limits of their
 * own they wait in two rows, so that neither holds up the other.  Queues take
 * turns.  Nothing is allocated for a request, and there is one timer.
 *
 * What a request costs is known, and counted, when it goes; a limit is looked
 * at before.  So the last one to go may overdraw, and the next ones wait
 * longer: see rate.h.
 */
#ifndef XVD_VBLK_THROTTLE_H
#define XVD_VBLK_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "blk_limits.h"

struct loop;
struct vblk_throttle;

/* Embedded in a request, which is not made anew by what go() calls. */
struct vblk_turn {
	bool			write;		/* set by the caller */
	bool			waits;
	TAILQ_ENTRY(vblk_turn)	link;
};

/*
 * @go: a request's turn has come, called once for each that is not taken
 * back.  It is to call vblk_throttle_use() for what it starts.  Return: 0 and
 * *ret, or -ENOMEM.
 */
int vblk_throttle_open(struct loop *loop, const struct blk_limits *limits,
		       unsigned int queues, void (*go)(struct vblk_turn *turn),
		       struct vblk_throttle **ret);
void vblk_throttle_close(struct vblk_throttle *t);	/* NULL is fine */

/*
 * @turn is lent until go() is called for it, which may be now.  Return: true
 * if it has to wait.
 */
bool vblk_throttle_add(struct vblk_throttle *t, unsigned int queue,
		       struct vblk_turn *turn);

/* One operation of so many bytes was started. */
void vblk_throttle_use(struct vblk_throttle *t, bool write, uint64_t bytes);

/* Takes a request of @queue back, for which go() is not called.  Or NULL. */
struct vblk_turn *vblk_throttle_take(struct vblk_throttle *t,
				     unsigned int queue);

/* No limits from now on: all that waits goes. */
void vblk_throttle_lift(struct vblk_throttle *t);

#endif
