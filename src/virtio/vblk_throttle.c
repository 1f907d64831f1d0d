/* SPDX-License-Identifier: MIT */
/*
 * vblk_throttle.c: see the header.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "loop.h"
#include "rate.h"
#include "util.h"
#include "vblk_throttle.h"

#define NS_PER_MS	1000000ull

TAILQ_HEAD(turn_row, vblk_turn);

struct turn_queue {
	struct turn_row	row[2];		/* [1]: writes, if they are apart */
	unsigned int	first;		/* the row whose turn it is */
};

struct vblk_throttle {
	void			(*go)(struct vblk_turn *turn);
	struct loop_timer	*timer;
	struct rate		iops[BLK_LIMIT_WAYS];
	struct rate		bps[BLK_LIMIT_WAYS];
	bool			apart;		/* reads and writes are */
	bool			lifted;
	unsigned int		waiting;	/* in all rows */
	unsigned int		first;		/* the queue whose turn it is */
	unsigned int		nqueues;
	struct turn_queue	queue[];
};

static enum blk_limit_way way_of(bool write)
{
	return write ? BLK_LIMIT_WR : BLK_LIMIT_RD;
}

/* Return: how long a request has to wait, as things are; 0: not at all. */
static uint64_t throttle_wait(struct vblk_throttle *t, bool write,
			      uint64_t now)
{
	enum blk_limit_way way = way_of(write);
	uint64_t ns;

	if (t->lifted)
		return 0;
	ns = MAX(rate_wait(&t->iops[BLK_LIMIT_ALL], now),
		 rate_wait(&t->bps[BLK_LIMIT_ALL], now));
	ns = MAX(ns, rate_wait(&t->iops[way], now));
	return MAX(ns, rate_wait(&t->bps[way], now));
}

void vblk_throttle_use(struct vblk_throttle *t, bool write, uint64_t bytes)
{
	enum blk_limit_way way = way_of(write);
	uint64_t now = loop_now_ns();

	rate_use(&t->iops[BLK_LIMIT_ALL], now, 1);
	rate_use(&t->bps[BLK_LIMIT_ALL], now, bytes);
	rate_use(&t->iops[way], now, 1);
	rate_use(&t->bps[way], now, bytes);
}

static struct vblk_turn *row_take(struct vblk_throttle *t,
				  struct turn_row *row)
{
	struct vblk_turn *turn = TAILQ_FIRST(row);

	if (turn) {
		TAILQ_REMOVE(row, turn, link);
		turn->waits = false;
		t->waiting--;
	}
	return turn;
}

/* Lets the first of @q go that may.  Return: as throttle_next(). */
static uint64_t queue_next(struct vblk_throttle *t, struct turn_queue *q,
			   uint64_t now)
{
	uint64_t wait, least = UINT64_MAX;
	unsigned int i, row;

	for (i = 0; i < 2; i++) {
		row = (q->first + i) % 2;
		if (TAILQ_EMPTY(&q->row[row]))
			continue;
		wait = throttle_wait(t, TAILQ_FIRST(&q->row[row])->write, now);
		if (!wait) {
			q->first = !row;
			t->go(row_take(t, &q->row[row]));
			return 0;
		}
		least = MIN(least, wait);
	}
	return least;
}

/* Return: 0 if one went, else how long it is until one may. */
static uint64_t throttle_next(struct vblk_throttle *t)
{
	uint64_t wait, least = UINT64_MAX, now = loop_now_ns();
	unsigned int i, q;

	for (i = 0; i < t->nqueues; i++) {
		q = (t->first + i) % t->nqueues;
		wait = queue_next(t, &t->queue[q], now);
		if (!wait) {
			t->first = (q + 1) % t->nqueues;
			return 0;
		}
		least = MIN(least, wait);
	}
	return least;
}

/* All that may go now, and the others later. */
static void throttle_run(void *arg)
{
	struct vblk_throttle *t = arg;
	uint64_t ns = 0;

	while (t->waiting && !ns)
		ns = throttle_next(t);
	if (t->waiting)
		loop_timer_set(t->timer, (unsigned int)
			       MIN(ns / NS_PER_MS + 1, (uint64_t)INT_MAX));
}

bool vblk_throttle_add(struct vblk_throttle *t, unsigned int queue,
		       struct vblk_turn *turn)
{
	struct turn_row *row = &t->queue[queue].row[t->apart && turn->write];

	TAILQ_INSERT_TAIL(row, turn, link);
	turn->waits = true;
	t->waiting++;
	throttle_run(t);
	return turn->waits;
}

struct vblk_turn *vblk_throttle_take(struct vblk_throttle *t,
				     unsigned int queue)
{
	struct turn_queue *q = &t->queue[queue];
	struct vblk_turn *turn = row_take(t, &q->row[0]);

	return turn ? turn : row_take(t, &q->row[1]);
}

void vblk_throttle_lift(struct vblk_throttle *t)
{
	t->lifted = true;
	throttle_run(t);
}

static void throttle_init(struct vblk_throttle *t,
			  const struct blk_limits *limits)
{
	unsigned int i;

	for (i = 0; i < BLK_LIMIT_WAYS; i++) {
		rate_init(&t->iops[i], &limits->iops[i], limits->burst_s);
		rate_init(&t->bps[i], &limits->bps[i], limits->burst_s);
		t->apart |= i != BLK_LIMIT_ALL &&
			    (limits->iops[i].rate || limits->bps[i].rate);
	}
	for (i = 0; i < t->nqueues; i++) {
		TAILQ_INIT(&t->queue[i].row[0]);
		TAILQ_INIT(&t->queue[i].row[1]);
	}
}

int vblk_throttle_open(struct loop *loop, const struct blk_limits *limits,
		       unsigned int queues, void (*go)(struct vblk_turn *turn),
		       struct vblk_throttle **ret)
{
	struct vblk_throttle *t;
	int r;

	t = calloc(1, sizeof(*t) + queues * sizeof(t->queue[0]));
	if (!t)
		return -ENOMEM;
	t->go = go;
	t->nqueues = queues;
	throttle_init(t, limits);
	r = loop_timer_add(loop, throttle_run, t, &t->timer);
	if (r < 0) {
		vblk_throttle_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

void vblk_throttle_close(struct vblk_throttle *t)
{
	if (!t)
		return;
	loop_timer_del(t->timer);
	free(t);
}
