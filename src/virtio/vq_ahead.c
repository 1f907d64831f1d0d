/* SPDX-License-Identifier: MIT */
/*
 * vq_ahead.c: see the header.
 */
#include "guest_mem.h"
#include "util.h"
#include "vdev.h"
#include "virtqueue.h"
#include "vq_ahead.h"

/* Is it one to be read ahead?  What is wrong with others is found later. */
static bool ahead_wants(const struct vring_desc *d)
{
	uint32_t len = le32_get((__force __le32)d->len);

	return (le16_get((__force __le16)d->flags) & VRING_DESC_F_INDIRECT) &&
	       guest_is_grant(le64_get((__force __le64)d->addr)) && len &&
	       len <= VQ_AHEAD_DESCS * sizeof(*d);
}

/* Notes what the chains in the ring point at, from the next one on. */
static void ahead_look(struct vq_ahead *a, struct vq *vq)
{
	const struct vring_desc __guest *ring = vq->desc_map.base;
	const struct vq_state *st = vq->st;
	uint16_t idx = guest_load16(vq_avail(vq, RING_IDX));
	uint16_t waiting = (uint16_t)(idx - st->last_avail), head;
	struct vring_desc d;
	unsigned int i;

	guest_rmb();	/* pairs with the driver's barrier before avail.idx */
	a->vq = vq;
	a->from = st->last_avail;
	waiting = MIN(waiting, st->size);
	a->count = MIN((unsigned int)waiting, VQ_AHEAD_CHAINS);
	for (i = 0; i < a->count; i++) {
		head = guest_load16(vq_avail(vq, RING_ENTRIES +
				    ((a->from + i) & (st->size - 1u))));
		a->chain[i].len = 0;
		if (head >= st->size)
			continue;
		guest_copy_in(&d, &ring[head], sizeof(d));
		if (!ahead_wants(&d))
			continue;
		a->chain[i].addr = le64_get((__force __le64)d.addr);
		a->chain[i].len = le32_get((__force __le32)d.len);
	}
}

static void ahead_read(struct vq_ahead *a, struct guest_mem *gm)
{
	struct guest_copy list[VQ_AHEAD_CHAINS];
	unsigned int i;

	for (i = 0; i < a->count; i++)
		list[i] = (struct guest_copy){
			.addr	= a->chain[i].addr,
			.buf	= a->chain[i].table,
			.len	= a->chain[i].len,
		};
	(void)guest_mem_copy(gm, list, a->count, false);
	for (i = 0; i < a->count; i++)
		if (list[i].err)
			a->chain[i].len = 0;
}

/* Return: the copy of it, if there is one; then there is none any more. */
static const struct vring_desc *ahead_find(struct vq_ahead *a,
					   const struct vq *vq, uint64_t addr,
					   uint32_t len)
{
	unsigned int i = (uint16_t)(vq->st->last_avail - a->from);

	if (a->vq != vq || i >= a->count || a->chain[i].addr != addr ||
	    a->chain[i].len != len)
		return NULL;
	a->chain[i].len = 0;
	return a->chain[i].table;
}

const struct vring_desc *vq_ahead_take(struct vq *vq, uint64_t addr,
				       uint32_t len)
{
	struct vq_ahead *a = &vq->vdev->ahead;
	const struct vring_desc *table = ahead_find(a, vq, addr, len);

	if (table)
		return table;
	ahead_look(a, vq);
	ahead_read(a, vq->vdev->gm);
	return ahead_find(a, vq, addr, len);
}
