/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c: the block device type (virtio 1.2, 5.2).
 *
 * A request is a chain
 *
 *	readable: 16 bytes of header, data of a write
 *	writable: data of a read, 1 byte of status
 *
 * vblk_start() copies the header, checks everything against the disk, and
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
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "chain.h"
#include "dma.h"
#include "log.h"
#include "loop.h"
#include "trace.h"
#include "util.h"
#include "vblk_throttle.h"
#include "virtio_blk.h"

#define VBLK_SECTOR		512u
#define VBLK_MAX_DEPTH		1024u	/* requests of all queues together */
#define VBLK_BATCH		64	/* requests per queue and turn */
#define VBLK_TOGETHER		16	/* headers that are read at once */
#define VBLK_MAX_RANGES		32	/* of one discard or write zeroes */
#define VBLK_MAX_RANGE_BYTES	(2048ull * 1024 * 1024)
#define PCI_CLASS_STORAGE_OTHER	0x018000

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

static struct vblk *vblk_of(struct vdev *vdev)
{
	return container_of(vdev, struct vblk, vdev);
}

/*
 * The pool.  Requests that were never needed are never touched, and the last
 * one back is the first one out: memory follows the depth that is used.
 */
static struct vblk_req *vblk_get(struct vblk *b)
{
	struct vblk_req *req = TAILQ_FIRST(&b->free);

	if (req) {
		TAILQ_REMOVE(&b->free, req, link);
		return req;
	}
	if (b->fresh == b->nreqs)
		return NULL;
	return &b->reqs[b->fresh++];
}

static void vblk_put(struct vblk *b, struct vblk_req *req)
{
	unsigned int i;

	TAILQ_INSERT_HEAD(&b->free, req, link);
	if (!b->starved)
		return;
	b->starved = false;
	for (i = 0; i < b->vdev.nqueues; i++)
		vdev_kick(&b->vdev, i);
}

static void vblk_count(const struct vblk_req *req, uint8_t status)
{
	struct blk_stats *stats = &req->blk->vdev.stats->blk;

	if (status != VIRTIO_BLK_S_OK) {
		stat_add(&stats->errors, 1);
		return;
	}
	switch (req->type) {
	case VIRTIO_BLK_T_IN:
		stat_add(&stats->reads, 1);
		stat_add(&stats->read_bytes, req->bytes);
		break;
	case VIRTIO_BLK_T_OUT:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		stat_add(&stats->writes, 1);
		stat_add(&stats->write_bytes, req->bytes);
		break;
	case VIRTIO_BLK_T_FLUSH:
		stat_add(&stats->flushes, 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		stat_add(&stats->discards, 1);
		stat_add(&stats->discard_bytes, req->bytes);
		break;
	}
}

/* Return: 0 or -EFAULT. */
static int vblk_tell(struct vblk_req *req, uint8_t status)
{
	if (req->told && req->status == status)
		return req->told_err;
	return guest_mem_write(req->blk->vdev.gm, req->status_addr, &status,
			       sizeof(status));
}

/* Gives the chain back; @status is not told to a queue that is dead. */
static void vblk_finish(struct vblk_req *req, uint8_t status)
{
	struct vblk *b = req->blk;
	struct vq *vq = req->vq;

	if (!vq->dead)
		vblk_count(req, status);
	if (!vq->dead && vblk_tell(req, status) < 0)
		vdev_broken(&b->vdev, "queue %u, head %u: the status byte at %#llx is not in memory",
			    vq->index, req->chain.head,
			    (unsigned long long)req->status_addr);
	vq_push(vq, req->chain.head, req->written + sizeof(status));
	vq_flush_later(vq);
	vblk_put(b, req);
}

static void vblk_fail(struct vblk_req *req, uint8_t status)
{
	req->written = 0;
	vblk_finish(req, status);
}

/* Is it inside the disk, and in whole blocks? */
static bool vblk_range_ok(const struct vblk *b, uint64_t sector,
			  uint64_t bytes)
{
	const struct blk_info *info = &b->be->info;
	uint64_t offset;

	if (__builtin_mul_overflow(sector, (uint64_t)VBLK_SECTOR, &offset))
		return false;
	return !(offset % info->block_size) && !(bytes % info->block_size) &&
	       offset <= info->bytes && bytes <= info->bytes - offset;
}

static bool vblk_is_writethrough(const struct vblk *b)
{
	return !b->can_flush || !b->st->wce;
}

/* Whoever submits a batch kicks at its end; for the others, the loop does. */
static void vblk_submit(struct vblk_req *req)
{
	struct vblk *b = req->blk;

	TRACE(blk_submit, req, req->be.op, req->be.offset, req->be.bytes);
	b->be->ops->submit(b->be, &req->be);
	loop_defer(b->vdev.loop, &b->kick_work);
}

static void vblk_retry(struct vblk *b);

/* What was to be copied from the guest first is copied now. */
static void vblk_fill(struct vblk *b)
{
	struct vblk_req *req;
	bool failed = false;

	guest_batch_run(b->vdev.gm, &b->in);
	while ((req = TAILQ_FIRST(&b->filling))) {
		TAILQ_REMOVE(&b->filling, req, link);
		if (!req->dma.err) {
			vblk_submit(req);
			continue;
		}
		failed = true;
		req->mapped = false;
		dma_unmap(b->dma, &req->dma);
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
	}
	if (failed)
		vblk_retry(b);
}

static void vblk_kick(struct vblk *b)
{
	while (!TAILQ_EMPTY(&b->filling))
		vblk_fill(b);
	loop_defer_cancel(&b->kick_work);
	b->be->ops->kick(b->be);
}

static void vblk_kick_fn(struct loop_work *work)
{
	vblk_kick(container_of(work, struct vblk, kick_work));
}

/* Reads and writes: the next piece.  0, or a negative errno. */
static int vblk_next_data(struct vblk_req *req)
{
	struct vblk *b = req->blk;
	bool in = req->type == VIRTIO_BLK_T_IN;
	int r;

	r = dma_map(b->dma, &req->dma, &req->cur,
		    in ? DMA_TO_GUEST : DMA_FROM_GUEST, &b->in);
	if (r < 0)
		return r;
	req->mapped = true;
	if (req->dma.grants.pages)
		stat_add(&b->vdev.stats->grants_mapped, 1);
	req->be.op = in ? BLK_READ : BLK_WRITE;
	req->be.flags = !in && vblk_is_writethrough(b) ? BLK_REQ_FUA : 0;
	req->be.offset = req->offset;
	req->be.bytes = req->dma.bytes;
	req->be.iov = req->dma.iov;
	req->be.iovcnt = req->dma.iovcnt;
	req->offset += req->dma.bytes;
	req->left -= req->dma.bytes;
	if (req->dma.filling) {
		TAILQ_INSERT_TAIL(&b->filling, req, link);
		loop_defer(b->vdev.loop, &b->kick_work);
	} else {
		vblk_submit(req);
	}
	return 0;
}

/* Discard and write zeroes: the next range (5.2.6.1). */
static int vblk_next_range(struct vblk_req *req)
{
	bool zeroes = req->type == VIRTIO_BLK_T_WRITE_ZEROES;
	struct virtio_blk_discard_write_zeroes range;
	uint64_t sector, bytes;
	uint32_t flags;

	if (chain_read(req->blk->vdev.gm, &req->cur, &range,
		       sizeof(range)) < 0)
		return -EFAULT;
	req->left -= sizeof(range);
	sector = le64_get(range.sector);
	bytes = (uint64_t)le32_get(range.num_sectors) * VBLK_SECTOR;
	flags = le32_get(range.flags);
	if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return -EOPNOTSUPP;
	if (!bytes || bytes > VBLK_MAX_RANGE_BYTES ||
	    !vblk_range_ok(req->blk, sector, bytes))
		return -EINVAL;
	req->be.op = zeroes ? BLK_WRITE_ZEROES : BLK_DISCARD;
	req->be.flags = flags ? BLK_REQ_UNMAP : 0;
	if (zeroes && vblk_is_writethrough(req->blk))
		req->be.flags |= BLK_REQ_FUA;
	req->be.offset = sector * VBLK_SECTOR;
	req->be.bytes = bytes;
	req->be.iovcnt = 0;
	req->bytes += bytes;
	if (req->blk->throttle)
		vblk_throttle_use(req->blk->throttle, true, bytes);
	vblk_submit(req);
	return 0;
}

static uint8_t vblk_status(int err)
{
	return err == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static bool vblk_is_data(const struct vblk_req *req)
{
	return req->type == VIRTIO_BLK_T_IN || req->type == VIRTIO_BLK_T_OUT;
}

/* Submits what comes next, or answers. */
static void vblk_next(struct vblk_req *req)
{
	struct vblk *b = req->blk;
	int r;

	if (!req->left) {
		vblk_finish(req, VIRTIO_BLK_S_OK);
		return;
	}
	if (vblk_is_data(req))
		r = vblk_next_data(req);
	else
		r = vblk_next_range(req);
	if (r == -EAGAIN) {
		TAILQ_INSERT_TAIL(&b->waiting, req, link);
		guest_mem_wait(b->vdev.gm, &b->room);
	} else if (r < 0) {
		vblk_fail(req, vblk_status(r));
	}
}

/*
 * DMA memory came free: on with those who wait for it, until one has to wait
 * again.  Those that fail make way: no completion would come for the others.
 */
static void vblk_retry(struct vblk *b)
{
	struct vblk_req *req;

	while (b->vdev.dma_ok && (req = TAILQ_FIRST(&b->waiting))) {
		TAILQ_REMOVE(&b->waiting, req, link);
		vblk_next(req);
		if (req == TAILQ_LAST(&b->waiting, vblk_list))
			break;
	}
}

static void vblk_room_fn(struct loop_work *work)
{
	vblk_retry(container_of(work, struct vblk, room.work));
}

/* A request's turn has come, whatever became of its queue meanwhile. */
static void vblk_go(struct vblk_turn *turn)
{
	struct vblk_req *req = container_of(turn, struct vblk_req, turn);
	struct vblk *b = req->blk;

	if (req->vq->dead) {
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (vblk_is_data(req))		/* ranges are counted one by one */
		vblk_throttle_use(b->throttle, turn->write, req->left);
	if (b->vdev.dma_ok && TAILQ_EMPTY(&b->waiting))
		vblk_next(req);
	else
		TAILQ_INSERT_TAIL(&b->waiting, req, link);
}

/* A request was found to be good.  Begins, now or in its turn. */
static void vblk_begin(struct vblk_req *req)
{
	struct vblk *b = req->blk;

	if (!b->throttle) {
		vblk_next(req);
		return;
	}
	req->turn.write = req->type != VIRTIO_BLK_T_IN;
	if (vblk_throttle_add(b->throttle, req->vq->index, &req->turn))
		stat_add(&b->vdev.stats->blk.throttled, 1);
}

static void vblk_drain(struct vdev *vdev)
{
	struct vblk *b = vblk_of(vdev);

	if (b->throttle)
		vblk_throttle_lift(b->throttle);
}

/*
 * The backend has answered, and the guest may be told.  What goes into its
 * memory comes first, all of it together if it is all right ...
 */
static void vblk_deliver(struct vblk_req *req)
{
	struct vblk *b = req->blk;

	if (req->err || req->vq->dead)
		return;
	if (req->mapped && req->type == VIRTIO_BLK_T_IN) {
		dma_deliver(b->dma, &req->dma, &b->out);
		req->written += (uint32_t)req->dma.bytes;
	}
	if (req->left)
		return;
	req->status = VIRTIO_BLK_S_OK;
	req->told = true;
	guest_batch_add(b->vdev.gm, &b->out, req->status_addr, &req->status,
			sizeof(req->status), &req->told_err);
}

/* ... then the pages go back, and the chain; or the next piece follows. */
static void vblk_conclude(struct vblk_req *req)
{
	struct vblk *b = req->blk;
	int err = req->err;

	if (req->mapped) {
		req->mapped = false;
		dma_unmap(b->dma, &req->dma);
		if (!err)
			err = req->dma.err;
	}
	if (err)
		vblk_fail(req, vblk_status(err));
	else if (req->vq->dead)
		vblk_finish(req, VIRTIO_BLK_S_OK);
	else
		vblk_next(req);
	vblk_retry(b);
}

/* All that the guest lets us answer; the others are held. */
static void vblk_answer(struct vblk *b)
{
	struct vblk_list now = TAILQ_HEAD_INITIALIZER(now);
	struct vblk_req *req;

	while ((req = TAILQ_FIRST(&b->answers))) {
		TAILQ_REMOVE(&b->answers, req, link);
		if (!b->vdev.dma_ok && !req->vq->dead) {
			TAILQ_INSERT_TAIL(&b->held, req, link);
			continue;
		}
		vblk_deliver(req);
		TAILQ_INSERT_TAIL(&now, req, link);
	}
	guest_batch_run(b->vdev.gm, &b->out);
	while ((req = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, req, link);
		vblk_conclude(req);
	}
}

static void vblk_answer_fn(struct loop_work *work)
{
	vblk_answer(container_of(work, struct vblk, answer_work));
}

/* From the backend, exactly once per submit. */
static void vblk_done(struct blk_req *be, int err)
{
	struct vblk_req *req = container_of(be, struct vblk_req, be);
	struct vblk *b = req->blk;

	TRACE(blk_done, req, err);
	req->err = err;
	TAILQ_INSERT_TAIL(&b->answers, req, link);
	if (req->chain.granted)
		loop_defer(b->vdev.loop, &b->answer_work);
	else
		vblk_answer(b);
}

/* GET_ID: the serial, as much as fits (5.2.6.1). */
static void vblk_get_id(struct vblk_req *req, uint64_t room)
{
	struct vblk *b = req->blk;
	size_t len = MIN(room, (uint64_t)sizeof(b->serial));
	struct dma_cursor cur = chain_in(&req->chain);

	if (chain_write(b->vdev.gm, &cur, b->serial, len) < 0) {
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->written = (uint32_t)len;
	vblk_finish(req, VIRTIO_BLK_S_OK);
}

static void vblk_flush(struct vblk_req *req)
{
	req->be.op = BLK_FLUSH;
	req->be.flags = 0;
	req->be.offset = 0;
	req->be.bytes = 0;
	req->be.iovcnt = 0;
	req->left = 0;
	vblk_submit(req);
}

/* Reads: the writable part; its last byte, the status, is not payload. */
static void vblk_start_read(struct vblk_req *req, uint64_t sector)
{
	struct vq_chain *c = &req->chain;
	uint64_t bytes = c->in_bytes - 1;
	struct dma_seg *last = &c->seg[c->nout + c->nin - 1];

	if (bytes > UINT32_MAX - 1 || !vblk_range_ok(req->blk, sector, bytes)) {
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->cur = (struct dma_cursor){
		.seg	= &c->seg[c->nout],
		.nseg	= c->nin - (last->len == 1),
	};
	last->len--;		/* a segment of none is not counted above */
	req->offset = sector * VBLK_SECTOR;
	req->left = req->bytes = bytes;
	vblk_begin(req);
}

static void vblk_start_write(struct vblk_req *req, uint64_t sector,
			     uint64_t bytes)
{
	struct vblk *b = req->blk;

	if (b->be->info.readonly || !vblk_range_ok(b, sector, bytes)) {
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->offset = sector * VBLK_SECTOR;
	req->left = req->bytes = bytes;
	vblk_begin(req);
}

static void vblk_start_ranges(struct vblk_req *req, unsigned int feature,
			      uint64_t bytes)
{
	struct vblk *b = req->blk;
	size_t one = sizeof(struct virtio_blk_discard_write_zeroes);

	if (!(b->vdev.features >> feature & 1)) {
		vblk_fail(req, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (!bytes || bytes % one || bytes / one > VBLK_MAX_RANGES) {
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->left = bytes;
	vblk_begin(req);
}

/* A chain was popped: its header is read once, here or by the next run. */
static void vblk_read_header(struct vblk_req *req)
{
	struct vq_chain *c = &req->chain;
	uint8_t *p = (uint8_t *)&req->hdr;
	size_t left = sizeof(req->hdr), n;

	req->err = 0;
	req->cur = chain_out(c);
	if (c->out_bytes < sizeof(req->hdr) || !c->in_bytes)
		return;			/* vblk_start() will say so */
	for (; left; left -= n, p += n) {
		n = MIN(left, (size_t)(req->cur.seg->len - req->cur.off));
		guest_batch_add(req->blk->vdev.gm, &req->blk->in,
				req->cur.seg->addr + req->cur.off, p, n,
				&req->err);
		dma_cursor_advance(&req->cur, n);
	}
}

/* Looks at the header, and begins. */
static void vblk_start(struct vblk_req *req)
{
	struct vq_chain *c = &req->chain;
	const struct dma_seg *last;
	uint64_t bytes, sector;

	req->written = 0;
	req->mapped = false;
	req->told = false;
	req->told_err = 0;
	req->left = 0;
	req->bytes = 0;
	req->be.done = vblk_done;
	if (c->out_bytes < sizeof(req->hdr) || !c->in_bytes) {
		vdev_broken(&req->blk->vdev, "queue %u, head %u: no room for header and status: %llu bytes readable, %llu writable",
			    req->vq->index, c->head,
			    (unsigned long long)c->out_bytes,
			    (unsigned long long)c->in_bytes);
		vblk_finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	last = &c->seg[c->nout + c->nin - 1];
	req->status_addr = last->addr + last->len - 1;
	if (req->err)
		vdev_broken(&req->blk->vdev, "queue %u, head %u: the header is not in memory",
			    req->vq->index, c->head);
	if (req->vq->dead) {		/* by this one, or one before it */
		vblk_finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	bytes = c->out_bytes - sizeof(req->hdr);
	sector = le64_get((__force __le64)req->hdr.sector);
	req->type = le32_get((__force __le32)req->hdr.type);
	switch (req->type) {
	case VIRTIO_BLK_T_IN:
		vblk_start_read(req, sector);
		break;
	case VIRTIO_BLK_T_OUT:
		vblk_start_write(req, sector, bytes);
		break;
	case VIRTIO_BLK_T_FLUSH:
		vblk_flush(req);
		break;
	case VIRTIO_BLK_T_GET_ID:
		vblk_get_id(req, c->in_bytes - 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		vblk_start_ranges(req, VIRTIO_BLK_F_DISCARD, bytes);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		vblk_start_ranges(req, VIRTIO_BLK_F_WRITE_ZEROES, bytes);
		break;
	default:
		vblk_fail(req, VIRTIO_BLK_S_UNSUPP);
	}
}

/* Bus mastering is on again: answer what was held back. */
static void vblk_release_held(struct vblk *b)
{
	TAILQ_CONCAT(&b->answers, &b->held, link);
	vblk_answer(b);
}

/*
 * Takes a few chains, at most @max.  Return: how many; *ret_empty: there are
 * no more.  Otherwise, if they are fewer, there is no request to put one in.
 */
static int vblk_pop(struct vblk *b, struct vq *vq, struct vblk_req **ret,
		    int max, bool *ret_empty)
{
	struct vblk_req *req;
	int n;

	*ret_empty = false;
	for (n = 0; n < max; n++) {
		if (!TAILQ_EMPTY(&b->waiting))
			req = NULL;
		else
			req = vblk_get(b);
		if (!req)
			break;
		if (vq_pop(vq, &req->chain) <= 0) {
			vblk_put(b, req);
			*ret_empty = true;
			break;
		}
		req->blk = b;
		req->vq = vq;
		ret[n] = req;
	}
	return n;
}

/*
 * Takes chains until the ring is empty, the turn's share is used up or there
 * is no request to put one in.  Return: true if the ring was empty.
 */
static bool vblk_take_chains(struct vblk *b, struct vq *vq, int *budget)
{
	struct vblk_req *req[VBLK_TOGETHER];
	bool empty = false;
	int i, n, max;

	while (*budget > 0) {
		max = MIN(*budget, VBLK_TOGETHER);
		n = vblk_pop(b, vq, req, max, &empty);
		for (i = 0; i < n; i++)
			vblk_read_header(req[i]);
		guest_batch_run(b->vdev.gm, &b->in);
		for (i = 0; i < n; i++)
			vblk_start(req[i]);
		*budget -= n;
		if (empty)
			return true;
		if (n < max) {
			b->starved = true;
			return false;
		}
	}
	loop_defer(b->vdev.loop, &vq->kick_work);
	return false;
}

static void vblk_run(struct vdev *vdev, struct vq *vq)
{
	struct vblk *b = vblk_of(vdev);
	int budget = VBLK_BATCH, before;
	bool empty;

	vblk_release_held(b);
	vblk_retry(b);		/* nobody may, while bus mastering is off */
	vq_quiet(vq);
	do {
		before = budget;
		empty = vblk_take_chains(b, vq, &budget);
		vblk_kick(b);
		vq_flush(vq);
	} while (empty && !vq_linger(vq, budget != before) && vq_wait(vq));
}

/* Answers those of @list that belong to a queue being reset. */
static void vblk_drop_list(struct vblk_list *list, struct vq *vq)
{
	struct vblk_list keep = TAILQ_HEAD_INITIALIZER(keep);
	struct vblk_req *req;

	while ((req = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, req, link);
		if (req->vq != vq) {
			TAILQ_INSERT_TAIL(&keep, req, link);
			continue;
		}
		if (req->mapped)
			dma_unmap(req->blk->dma, &req->dma);
		req->mapped = false;
		vblk_fail(req, VIRTIO_BLK_S_IOERR);
	}
	TAILQ_CONCAT(list, &keep, link);
}

static void vblk_drop_turns(struct vblk *b, struct vq *vq)
{
	struct vblk_turn *turn;

	while ((turn = vblk_throttle_take(b->throttle, vq->index)))
		vblk_fail(container_of(turn, struct vblk_req, turn),
			  VIRTIO_BLK_S_IOERR);
}

static void vblk_drop(struct vdev *vdev, struct vq *vq)
{
	struct vblk *b = vblk_of(vdev);

	if (b->throttle)
		vblk_drop_turns(b, vq);
	if (!TAILQ_EMPTY(&b->filling))
		vblk_kick(b);		/* and the backend answers */
	vblk_drop_list(&b->waiting, vq);
	vblk_drop_list(&b->answers, vq);
	vblk_drop_list(&b->held, vq);
}

static void vblk_config_read(struct vdev *vdev, unsigned int off, void *buf,
			     unsigned int len)
{
	struct vblk *b = vblk_of(vdev);

	b->config.wce = b->st->wce;
	memcpy(buf, (const char *)&b->config + off, len);
}

/* Only the cache toggle is the driver's to write (5.2.4). */
static void vblk_config_write(struct vdev *vdev, unsigned int off,
			      const void *buf, unsigned int len)
{
	struct vblk *b = vblk_of(vdev);
	const uint8_t *val = buf;

	if (off == offsetof(struct virtio_blk_config, wce) && len == 1 &&
	    *val <= 1 && vdev_has(vdev, VIRTIO_BLK_F_CONFIG_WCE))
		b->st->wce = *val;
}

static void vblk_reset(struct vdev *vdev)
{
	struct vblk *b = vblk_of(vdev);

	b->st->wce = b->be->info.cache != BLK_CACHE_WRITETHROUGH;
	b->can_flush = false;
	b->starved = false;
}

static void vblk_started(struct vdev *vdev)
{
	vblk_of(vdev)->can_flush = vdev_has(vdev, VIRTIO_BLK_F_FLUSH);
}

static const struct vdev_ops vblk_ops = {
	.name		= "blk",
	.device_id	= VIRTIO_ID_BLOCK,
	.pci_class	= PCI_CLASS_STORAGE_OTHER,
	.config_read	= vblk_config_read,
	.config_write	= vblk_config_write,
	.start		= vblk_started,
	.run		= vblk_run,
	.drop		= vblk_drop,
	.drain		= vblk_drain,
	.reset		= vblk_reset,
};

unsigned int vblk_depth(const struct vblk_opts *opts)
{
	return MIN(opts->queues * opts->queue_size, VBLK_MAX_DEPTH);
}

static uint64_t vblk_features(const struct blk_info *info, unsigned int queues)
{
	uint64_t f = 1ull << VIRTIO_BLK_F_SEG_MAX |
		     1ull << VIRTIO_BLK_F_BLK_SIZE |
		     1ull << VIRTIO_BLK_F_TOPOLOGY |
		     1ull << VIRTIO_BLK_F_FLUSH |
		     1ull << VIRTIO_BLK_F_CONFIG_WCE;

	if (queues > 1)
		f |= 1ull << VIRTIO_BLK_F_MQ;
	if (info->readonly)
		return f | 1ull << VIRTIO_BLK_F_RO;
	if (info->can_discard)
		f |= 1ull << VIRTIO_BLK_F_DISCARD;
	if (info->can_write_zeroes)
		f |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

static void vblk_set_capacity(struct vblk *b)
{
	b->config.capacity = (__force __virtio64)
		le64_put(b->be->info.bytes / VBLK_SECTOR);
}

static void vblk_describe(struct vblk *b)
{
	const struct blk_info *info = &b->be->info;
	struct virtio_blk_config *c = &b->config;
	uint32_t blocks = info->physical_size / info->block_size;
	uint32_t align = info->discard_align / VBLK_SECTOR;
	uint32_t range = VBLK_MAX_RANGE_BYTES / VBLK_SECTOR;
	unsigned int slots = b->vdev.queue_size;

	vblk_set_capacity(b);
	c->seg_max = (__force __virtio32)
		le32_put(MIN(slots < 3 ? 1 : slots - 2, VQ_MAX_SEGS - 2u));
	c->blk_size = (__force __virtio32)le32_put(info->block_size);
	c->physical_block_exp = blocks ? (__u8)__builtin_ctz(blocks) : 0;
	c->min_io_size = (__force __virtio16)
		le16_put((uint16_t)(blocks ? blocks : 1));
	c->opt_io_size = (__force __virtio32)
		le32_put(info->opt_io_size / info->block_size);
	c->num_queues = (__force __virtio16)
		le16_put((uint16_t)b->vdev.nqueues);
	c->max_discard_sectors = (__force __virtio32)le32_put(range);
	c->max_discard_seg = (__force __virtio32)le32_put(VBLK_MAX_RANGES);
	c->discard_sector_alignment = (__force __virtio32)
		le32_put(align ? align : 1);
	c->max_write_zeroes_sectors = (__force __virtio32)le32_put(range);
	c->max_write_zeroes_seg = (__force __virtio32)
		le32_put(VBLK_MAX_RANGES);
	c->write_zeroes_may_unmap = info->can_discard;
}

static int vblk_alloc(struct vblk *b, const struct vdev_env *env,
		      const struct vblk_opts *opts)
{
	const struct blk_info *info = &b->be->info;
	int r = 0;

	b->nreqs = vblk_depth(opts);
	b->reqs = calloc(b->nreqs, sizeof(*b->reqs));
	if (!b->reqs)
		return -ENOMEM;
	if (opts->limits)
		r = vblk_throttle_open(env->loop, opts->limits, opts->queues,
				       vblk_go, &b->throttle);
	if (r < 0)
		return r;
	r = dma_open(env->gm, info->cache == BLK_CACHE_NONE, info->block_size,
		     &b->dma);
	if (!r && opts->grants_map)
		dma_set_grant_map(b->dma, opts->grants_map);
	return r;
}

int vblk_open(const struct vdev_env *env, struct blk_backend *be,
	      const struct vblk_opts *opts, struct vdev **ret)
{
	struct vblk *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		be->ops->close(be);
		return -ENOMEM;
	}
	b->be = be;
	TAILQ_INIT(&b->free);
	TAILQ_INIT(&b->waiting);
	TAILQ_INIT(&b->held);
	TAILQ_INIT(&b->filling);
	TAILQ_INIT(&b->answers);
	b->out.to_guest = true;
	b->answer_work.fn = vblk_answer_fn;
	b->kick_work.fn = vblk_kick_fn;
	b->room.work.fn = vblk_room_fn;
	b->st = (struct vblk_state *)(void *)env->state->vdev.device;
	if (opts->serial)
		memcpy(b->serial, opts->serial,
		       strnlen(opts->serial, sizeof(b->serial)));
	b->vdev.ops = &vblk_ops;
	b->vdev.features = vblk_features(&be->info, opts->queues);
	b->vdev.config_len = offsetof(struct virtio_blk_config,
				      max_secure_erase_sectors);
	b->vdev.nqueues = opts->queues;
	b->vdev.queue_size = opts->queue_size;
	vdev_init(&b->vdev, env);
	vblk_describe(b);
	vblk_reset(&b->vdev);
	r = vblk_alloc(b, env, opts);
	if (r < 0) {
		vblk_close(&b->vdev);
		return r;
	}
	*ret = &b->vdev;
	return 0;
}

/* The driver looks at the capacity anew when it is interrupted (5.2.4). */
int vblk_resize(struct vdev *vdev, uint64_t bytes)
{
	struct vblk *b = vblk_of(vdev);
	struct blk_info *info = &b->be->info;

	if (bytes < info->bytes || bytes > INT64_MAX ||
	    bytes % info->block_size)
		return -EINVAL;
	if (bytes == info->bytes)
		return 0;
	info->bytes = bytes;
	vblk_set_capacity(b);
	vdev_config_update(vdev, true);
	return 0;
}

void vblk_close(struct vdev *vdev)
{
	struct vblk *b;

	if (!vdev)
		return;
	b = vblk_of(vdev);
	vdev_fini(vdev);
	loop_defer_cancel(&b->kick_work);
	loop_defer_cancel(&b->answer_work);
	guest_mem_wait_cancel(vdev->gm, &b->room);
	vblk_throttle_close(b->throttle);
	b->be->ops->close(b->be);
	dma_close(b->dma);
	free(b->reqs);
	free(b);
}
