/* SPDX-License-Identifier: MIT */
/*
 * virtqueue.c: split virtqueues, device side (virtio 1.2, 2.7).  The header
 * explains the structure.
 *
 * The rings stay mapped while the queue is enabled.  When the guest's memory
 * moves (guest_mem_epoch()), they are mapped anew before the next look, unless
 * they are granted: a grant stays where it is.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "log.h"
#include "trace.h"
#include "vdev.h"
#include "virtqueue.h"
#include "vq_ahead.h"

_Static_assert(sizeof(struct vring_desc) == 16, "2.7.5");
_Static_assert(VQ_MAX_SEGS <= UINT16_MAX, "nout and nin");

/*
 * Lingering has to earn its keep: a find is worth two tries in vain.  While
 * it does not, it is tried once in so many times, since guests change.
 */
#define LINGER_HITS_MAX		16u
#define LINGER_TRY_AGAIN	64u

/* A ring that finds no room among dom0's grants; a tenth of a second each. */
#define MAP_TRIES		100u

static __le16 __guest *vq_used(const struct vq *vq, unsigned int i)
{
	return (__le16 __guest *)vq->used_map.base + i;
}

/* used_event follows the avail ring, avail_event the used ring (2.7.10). */
static __le16 __guest *vq_used_event(const struct vq *vq)
{
	return vq_avail(vq, RING_ENTRIES + vq->st->size);
}

static __le16 __guest *vq_avail_event(const struct vq *vq)
{
	return vq_used(vq, RING_ENTRIES + 4 * vq->st->size);
}

static size_t vq_desc_bytes(const struct vq *vq)
{
	return sizeof(struct vring_desc) * vq->st->size;
}

static size_t vq_avail_bytes(const struct vq *vq)
{
	return 2 * (RING_ENTRIES + vq->st->size + 1);
}

static size_t vq_used_bytes(const struct vq *vq)
{
	return 2 * (RING_ENTRIES + 4 * vq->st->size + 1);
}

static void vq_kick_fn(struct loop_work *work)
{
	struct vq *vq = container_of(work, struct vq, kick_work);

	vdev_queue_run(vq->vdev, vq);
}

static void vq_flush_fn(struct loop_work *work)
{
	struct vq *vq = container_of(work, struct vq, flush_work);

	if (vq->vdev->dma_ok)	/* else when it is on again */
		vq_flush(vq);
}

static void vq_room_fn(struct loop_work *work)
{
	struct vq *vq = container_of(work, struct vq, room.work);

	vdev_kick(vq->vdev, vq->index);
}

void vq_init(struct vq *vq, struct vdev *vdev, struct vq_state *st,
	     unsigned int index)
{
	*vq = (struct vq){
		.vdev		= vdev,
		.st		= st,
		.index		= index,
		.kick_work.fn	= vq_kick_fn,
		.flush_work.fn	= vq_flush_fn,
		.room.work.fn	= vq_room_fn,
	};
}

void vq_reset_state(struct vq *vq)
{
	assert(!vq->st->inflight_count);
	*vq->st = (struct vq_state){
		.size	= vq->vdev->queue_size,
		.vector	= VDEV_NO_VECTOR,
	};
	vq->dead = false;
	vq->published = 0;
}

/* Is it of a kind that may be served at all? */
static int vq_check_kind(struct vq *vq, const char *what, uint64_t addr)
{
	if (guest_is_grant(addr)) {
		if (vq->vdev->serves & GUEST_GRANTS)
			return 0;
		return vdev_broken(vq->vdev, "queue %u: %s at %#llx is a grant: there is grants=off, or no /dev/xen/gntdev",
				   vq->index, what, (unsigned long long)addr);
	}
	if (vq->vdev->serves & GUEST_PLAIN)
		return 0;
	return vdev_broken(vq->vdev, "queue %u: %s at %#llx is not granted, and grants=require serves nothing else",
			   vq->index, what, (unsigned long long)addr);
}

int vq_enable(struct vq *vq)
{
	const struct vq_state *st = vq->st;
	int r;

	if (st->desc % 16 || st->avail % 2 || st->used % 4)
		return vdev_broken(vq->vdev, "queue %u is not aligned: desc %#llx, avail %#llx, used %#llx",
				   vq->index, (unsigned long long)st->desc,
				   (unsigned long long)st->avail,
				   (unsigned long long)st->used);
	r = vq_check_kind(vq, "a descriptor table", st->desc);
	if (!r)
		r = vq_check_kind(vq, "an available ring", st->avail);
	if (!r)
		r = vq_check_kind(vq, "a used ring", st->used);
	if (r < 0)
		return r;
	vq->event_idx = vdev_has(vq->vdev, VIRTIO_RING_F_EVENT_IDX);
	vq->map_tries = 0;
	vq->st->enabled = 1;
	return 0;
}

void vq_unmap(struct vq *vq)
{
	struct guest_mem *gm = vq->vdev->gm;

	guest_mem_unmap(gm, &vq->desc_map);
	guest_mem_unmap(gm, &vq->avail_map);
	guest_mem_unmap(gm, &vq->used_map);
	vq->vdev->ahead.vq = NULL;
	vq->mapped = false;
}

/* Only at first: what is pushed has to go somewhere. */
static bool vq_may_wait(const struct vq *vq)
{
	return !vq->st->inflight_count && vq->published == vq->st->used_idx &&
	       vq->map_tries < MAP_TRIES;
}

static void vq_wait_for_room(struct vq *vq)
{
	if (!vq->map_tries++)
		log_warn("%s: queue %u: no room to map what is granted, trying again; see gnttab_max_maptrack_frames of Xen",
			 vq->vdev->name, vq->index);
	guest_mem_wait(vq->vdev->gm, &vq->room);
}

static int vq_map(struct vq *vq)
{
	struct guest_mem *gm = vq->vdev->gm;
	const struct vq_state *st = vq->st;
	int r;

	vq_unmap(vq);
	vq->epoch = guest_mem_epoch(gm);
	r = guest_mem_map(gm, st->desc, vq_desc_bytes(vq), false,
			  &vq->desc_map);
	if (!r)
		r = guest_mem_map(gm, st->avail, vq_avail_bytes(vq), false,
				  &vq->avail_map);
	if (!r)
		r = guest_mem_map(gm, st->used, vq_used_bytes(vq), true,
				  &vq->used_map);
	vq->mapped = true;		/* unmap copes with a part of them */
	if (r == -EAGAIN && vq_may_wait(vq)) {
		vq_unmap(vq);
		vq_wait_for_room(vq);
		return r;
	}
	if (r < 0) {
		vq_unmap(vq);
		return vdev_broken(vq->vdev, "queue %u is not in memory: desc %#llx, avail %#llx, used %#llx",
				   vq->index, (unsigned long long)st->desc,
				   (unsigned long long)st->avail,
				   (unsigned long long)st->used);
	}
	return 0;
}

static bool vq_is_granted(const struct vq *vq)
{
	return vq->desc_map.granted && vq->avail_map.granted &&
	       vq->used_map.granted;
}

/* Is the ring there to be looked at?  False also if that just failed. */
static bool vq_ready(struct vq *vq)
{
	if (vq->dead || !vq->st->enabled || vq->room.waiting)
		return false;
	if (vq->mapped && (vq->epoch == guest_mem_epoch(vq->vdev->gm) ||
			   vq_is_granted(vq)))
		return true;
	return vq_map(vq) == 0;
}

void vq_stop(struct vq *vq)
{
	vq->dead = true;
	loop_defer_cancel(&vq->kick_work);
	loop_defer_cancel(&vq->flush_work);
	guest_mem_wait_cancel(vq->vdev->gm, &vq->room);
	if (vq->vdev->ops->drop)
		vq->vdev->ops->drop(vq->vdev, vq);
	if (!vq->st->inflight_count)
		vdev_queue_idle(vq->vdev, vq);
}

static bool vq_inflight_test(const struct vq *vq, uint16_t head)
{
	return vq->st->inflight[head / 64] >> (head % 64) & 1;
}

static void vq_inflight_flip(struct vq *vq, uint16_t head)
{
	vq->st->inflight[head / 64] ^= 1ull << (head % 64);
}

/* Appends one descriptor, already ours, to the chain. */
static int vq_chain_add(struct vq *vq, struct vq_chain *c,
			const struct vring_desc *d)
{
	struct dma_seg seg = {
		.addr	= le64_get((__force __le64)d->addr),
		.len	= le32_get((__force __le32)d->len),
	};
	bool in = le16_get((__force __le16)d->flags) & VRING_DESC_F_WRITE;
	int r;

	if (!in && c->nin)
		return vdev_broken(vq->vdev, "queue %u, head %u: a readable descriptor behind a writable one",
				   vq->index, c->head);
	if (!seg.len)
		return 0;
	if (seg.addr + (seg.len - 1) < seg.addr)
		return vdev_broken(vq->vdev, "queue %u, head %u: %u bytes at %#llx",
				   vq->index, c->head, seg.len,
				   (unsigned long long)seg.addr);
	r = vq_check_kind(vq, "a buffer", seg.addr);
	if (r < 0)
		return r;
	c->granted |= guest_is_grant(seg.addr);
	if (c->nout + c->nin == VQ_MAX_SEGS)
		return vdev_broken(vq->vdev, "queue %u, head %u: more than %u descriptors",
				   vq->index, c->head, VQ_MAX_SEGS);
	c->seg[c->nout + c->nin] = seg;
	if (in) {
		c->nin++;
		c->in_bytes += seg.len;
	} else {
		c->nout++;
		c->out_bytes += seg.len;
	}
	return 0;
}

/*
 * Walks one table of @count descriptors from @i, at most @count steps.
 * @table: our copy of an indirect table, or NULL for the ring's own.
 * Return: 0 at the end of the chain; 1 if it ends in an indirect descriptor,
 * then in *ret_indirect; -EPROTO.
 */
static int vq_walk(struct vq *vq, struct vq_chain *c,
		   const struct vring_desc *table, unsigned int count,
		   unsigned int i, struct vring_desc *ret_indirect)
{
	const struct vring_desc __guest *ring = vq->desc_map.base;
	unsigned int steps;
	uint16_t flags;
	struct vring_desc d;
	int r;

	for (steps = 0; steps < count; steps++) {
		if (i >= count)
			return vdev_broken(vq->vdev, "queue %u, head %u: descriptor %u of %u",
					   vq->index, c->head, i, count);
		if (table)
			d = table[i];
		else
			guest_copy_in(&d, &ring[i], sizeof(d)); /* one look */
		flags = le16_get((__force __le16)d.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			if (table || (flags & VRING_DESC_F_NEXT) ||
			    !vdev_has(vq->vdev, VIRTIO_RING_F_INDIRECT_DESC))
				return vdev_broken(vq->vdev, "queue %u, head %u: an indirect descriptor where none may be",
						   vq->index, c->head);
			*ret_indirect = d;
			return 1;
		}
		r = vq_chain_add(vq, c, &d);
		if (r < 0 || !(flags & VRING_DESC_F_NEXT))
			return r;
		i = le16_get((__force __le16)d.next);
	}
	return vdev_broken(vq->vdev, "queue %u, head %u: the chain is a loop",
			   vq->index, c->head);
}

/* Follows an indirect descriptor (2.7.5.3). */
static int vq_walk_indirect(struct vq *vq, struct vq_chain *c,
			    const struct vring_desc *d)
{
	const struct vring_desc *table = vq->vdev->indirect;
	uint64_t addr = le64_get((__force __le64)d->addr);
	uint32_t len = le32_get((__force __le32)d->len);
	uint32_t count = len / sizeof(*table);
	int r;

	if (!len || len % sizeof(*table) || count > STATE_MAX_RING)
		return vdev_broken(vq->vdev, "queue %u, head %u: an indirect table of %u bytes",
				   vq->index, c->head, len);
	r = vq_check_kind(vq, "an indirect table", addr);
	if (r < 0)
		return r;
	if (guest_is_grant(addr) && count <= VQ_AHEAD_DESCS)
		table = vq_ahead_take(vq, addr, len);
	else if (guest_mem_read(vq->vdev->gm, vq->vdev->indirect, addr,
				len) < 0)
		table = NULL;
	if (!table)
		return vdev_broken(vq->vdev, "queue %u, head %u: the indirect table at %#llx is not in memory",
				   vq->index, c->head,
				   (unsigned long long)addr);
	return vq_walk(vq, c, table, count, 0, NULL);
}

static int vq_fetch(struct vq *vq, struct vq_chain *c)
{
	struct vring_desc indirect;
	int r;

	c->nout = 0;
	c->nin = 0;
	c->granted = false;
	c->out_bytes = 0;
	c->in_bytes = 0;
	r = vq_walk(vq, c, NULL, vq->st->size, c->head, &indirect);
	if (r == 1)
		r = vq_walk_indirect(vq, c, &indirect);
	return r;
}

int vq_pop(struct vq *vq, struct vq_chain *ret)
{
	struct vq_state *st = vq->st;
	uint16_t idx, head;
	int r;

	if (vq->vdev->draining || !vq_ready(vq))
		return 0;
	idx = guest_load16(vq_avail(vq, RING_IDX));
	if (idx == st->last_avail)
		return 0;
	if ((uint16_t)(idx - st->last_avail) > st->size)
		return vdev_broken(vq->vdev, "queue %u: avail index %u, %u taken so far, size %u",
				   vq->index, idx, st->last_avail, st->size);
	guest_rmb();	/* pairs with the driver's barrier before avail.idx */
	head = guest_load16(vq_avail(vq, RING_ENTRIES +
				     (st->last_avail & (st->size - 1))));
	if (head >= st->size)
		return vdev_broken(vq->vdev, "queue %u: head %u of %u",
				   vq->index, head, st->size);
	if (vq_inflight_test(vq, head))
		return vdev_broken(vq->vdev, "queue %u: head %u is in flight already",
				   vq->index, head);
	ret->head = head;
	r = vq_fetch(vq, ret);
	if (r < 0)
		return r;
	st->last_avail++;
	st->inflight_count++;
	vq_inflight_flip(vq, head);
	if (ret->granted)
		stat_add(&vq->vdev->stats->granted, 1);
	TRACE(vq_pop, vq->index, head, ret->out_bytes, ret->in_bytes);
	return 1;
}

void vq_unpop(struct vq *vq, uint16_t head)
{
	struct vq_state *st = vq->st;

	assert(head < STATE_MAX_RING && vq_inflight_test(vq, head));
	vq_inflight_flip(vq, head);
	st->inflight_count--;
	st->last_avail--;
	TRACE(vq_unpop, vq->index, head);
}

void vq_push(struct vq *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem elem = {
		.id	= (__force __virtio32)le32_put(head),
		.len	= (__force __virtio32)le32_put(len),
	};
	struct vq_state *st = vq->st;
	unsigned int slot;

	assert(head < STATE_MAX_RING && vq_inflight_test(vq, head));
	vq_inflight_flip(vq, head);
	st->inflight_count--;
	TRACE(vq_push, vq->index, head, len);
	if (vq_ready(vq)) {
		slot = st->used_idx & (st->size - 1);
		guest_copy_out(vq_used(vq, RING_ENTRIES + 4 * slot), &elem,
			       sizeof(elem));
		st->used_idx++;
	} else if (vq->dead && !st->inflight_count) {
		vdev_queue_idle(vq->vdev, vq);
	}
}

/* Does the driver want to hear of used entries @old to @new (2.7.7, 2.7.10)? */
static bool vq_wants_interrupt(struct vq *vq, uint16_t old, uint16_t new)
{
	uint16_t event;

	guest_mb();	/* used.idx before the driver's wish; pairs with its
			 * barrier between used_event and its last look */
	if (!vq->event_idx)
		return !(guest_load16(vq_avail(vq, RING_FLAGS)) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = guest_load16(vq_used_event(vq));
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void vq_flush(struct vq *vq)
{
	uint16_t old = vq->published, new = vq->st->used_idx;

	loop_defer_cancel(&vq->flush_work);
	if (old == new || !vq_ready(vq))
		return;
	guest_wmb();	/* entries before used.idx; pairs with the driver's
			 * barrier between used.idx and the entries */
	guest_store16(vq_used(vq, RING_IDX), new);
	vq->published = new;
	if (vq_wants_interrupt(vq, old, new)) {
		TRACE(vq_interrupt, vq->index);
		vdev_interrupt(vq->vdev, vq);
	}
}

void vq_flush_later(struct vq *vq)
{
	if (!vq->dead)
		loop_defer(vq->vdev->loop, &vq->flush_work);
}

void vq_quiet(struct vq *vq)
{
	/* With event index, a stale avail_event does the same. */
	if (!vq->event_idx && vq_ready(vq))
		guest_store16(vq_used(vq, RING_FLAGS), VRING_USED_F_NO_NOTIFY);
}

/* A new stretch of lingering begins; is it likely to be of use? */
static bool vq_linger_start(struct vq *vq)
{
	if (!vq->linger_hits && ++vq->linger_skipped < LINGER_TRY_AGAIN)
		return false;
	vq->linger_skipped = 0;
	vq->linger_until = loop_now_ns() + vq->vdev->kick_ns;
	return true;
}

bool vq_linger(struct vq *vq, bool took)
{
	if (!vq->vdev->kick_ns || vq->dead)
		return false;
	if (took) {
		if (vq->linger_until)
			vq->linger_hits = MIN(vq->linger_hits + 2,
					      LINGER_HITS_MAX);
		if (!vq_linger_start(vq)) {
			vq->linger_until = 0;
			return false;
		}
	} else if (!vq->linger_until) {
		return false;
	} else if (loop_now_ns() >= vq->linger_until) {
		vq->linger_until = 0;
		if (vq->linger_hits)
			vq->linger_hits--;
		return false;
	}
	loop_defer(vq->vdev->loop, &vq->kick_work);
	return true;
}

bool vq_wait(struct vq *vq)
{
	if (vq->vdev->draining || !vq_ready(vq))
		return false;
	if (vq->event_idx)
		guest_store16(vq_avail_event(vq), vq->st->last_avail);
	else
		guest_store16(vq_used(vq, RING_FLAGS), 0);
	guest_mb();	/* our wish before the last look; pairs with the
			 * driver's barrier between avail.idx and our wish */
	return guest_load16(vq_avail(vq, RING_IDX)) != vq->st->last_avail;
}
