/* SPDX-License-Identifier: MIT */
/*
 * vblk_req.c: requests of a disk, from the chain to the answer; see vblk.h.
 */
#include <errno.h>

#include "chain.h"
#include "log.h"
#include "trace.h"
#include "vblk.h"

struct vblk_req *vblk_get(struct vblk *b)
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

void vblk_put(struct vblk *b, struct vblk_req *req)
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

void vblk_fail(struct vblk_req *req, uint8_t status)
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

void vblk_kick(struct vblk *b)
{
	while (!TAILQ_EMPTY(&b->filling))
		vblk_fill(b);
	loop_defer_cancel(&b->kick_work);
	b->be->ops->kick(b->be);
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
	struct virtio_blk_discard_write_zeroes range = { 0 };
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

void vblk_retry(struct vblk *b)
{
	struct vblk_req *req;

	while (b->vdev.dma_ok && (req = TAILQ_FIRST(&b->waiting))) {
		TAILQ_REMOVE(&b->waiting, req, link);
		vblk_next(req);
		if (req == TAILQ_LAST(&b->waiting, vblk_list))
			break;
	}
}

void vblk_go(struct vblk_turn *turn)
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

void vblk_answer(struct vblk *b)
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

void vblk_read_header(struct vblk_req *req)
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

void vblk_start(struct vblk_req *req)
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
