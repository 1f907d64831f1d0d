/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c: the block device type (virtio 1.2, 5.2): its life, its
 * features, its configuration, and its queues.  See vblk.h for the rest.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ids.h>

#include "vblk.h"

#define VBLK_MAX_DEPTH		1024u	/* requests of all queues together */
#define VBLK_BATCH		64	/* requests per queue and turn */
#define VBLK_TOGETHER		16	/* headers that are read at once */
#define PCI_CLASS_STORAGE_OTHER	0x018000

static struct vblk *vblk_of(struct vdev *vdev)
{
	return container_of(vdev, struct vblk, vdev);
}

static void vblk_kick_fn(struct loop_work *work)
{
	vblk_kick(container_of(work, struct vblk, kick_work));
}

static void vblk_room_fn(struct loop_work *work)
{
	vblk_retry(container_of(work, struct vblk, room.work));
}

static void vblk_answer_fn(struct loop_work *work)
{
	vblk_answer(container_of(work, struct vblk, answer_work));
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

static void vblk_drain(struct vdev *vdev)
{
	struct vblk *b = vblk_of(vdev);

	if (b->throttle)
		vblk_throttle_lift(b->throttle);
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
