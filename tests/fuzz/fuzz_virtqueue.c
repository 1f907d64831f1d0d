/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtqueue.c: one ring, filled by the input, with memory that moves and
 * vanishes, both resets, and chains given back in any order.
 *
 * Wanted: a chain that is taken is whole and within bounds; what is in flight
 * is counted right; what is given back appears in the used ring once, in
 * order, and only while the queue lives; after the last reset nothing of the
 * guest's memory is mapped.  Holes right behind the ring's parts catch an
 * access beyond them.
 */
#include "input.h"
#include "rig.h"

#define RAM		(192u << 10)
#define TABLE		(FAKE_RAM + RAM / 2)	/* indirect tables */
#define MAX_OPS		400

struct world {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring;
	uint64_t	features;
	uint16_t	given[2 * MAX_OPS];	/* back, in this ring's life */
	unsigned int	ngiven;
	uint16_t	seen;			/* of them, in used.idx */
	unsigned int	taken;
};

static struct vq *vq(struct world *w)
{
	return &w->probe.vdev.vq[0];
}

static void take(struct world *w);

static void bring_up(struct world *w)
{
	rig_status_set(&w->rig, 0);
	assert(rig_status(&w->rig) == 0);
	assert(!w->rig.gm.maps);
	fake_mem_fill(&w->rig.gm);
	ring_init(&w->ring, &w->rig, 0, w->ring.size, FAKE_RAM);
	rig_negotiate(&w->rig, w->features);
	ring_enable(&w->ring);
	rig_ok(&w->rig);
	w->ngiven = 0;
	w->seen = 0;
	take(w);			/* nothing, but now it is mapped */
	assert(rig_status(&w->rig) == S_RUNNING && w->rig.gm.maps == 3);
}

/* Takes what is there, looking at each chain. */
static void take(struct world *w)
{
	struct probe *p = &w->probe;
	struct vq_chain *c = &p->last;
	uint64_t out = 0, in = 0;
	unsigned int i, budget = 2u * w->ring.size + 2;
	int r;

	while (p->nkept < MAX_OPS && (r = vq_pop(vq(w), c)) == 1) {
		assert(budget--);
		assert(c->head < w->ring.size);
		assert(c->nout + c->nin <= VQ_MAX_SEGS);
		for (i = 0, out = 0, in = 0; i < c->nout + c->nin; i++) {
			assert(c->seg[i].len);
			assert(c->seg[i].addr + (c->seg[i].len - 1) >=
			       c->seg[i].addr);
			*(i < c->nout ? &out : &in) += c->seg[i].len;
		}
		assert(out == c->out_bytes && in == c->in_bytes);
		for (i = 0; i < p->nkept; i++)
			assert(p->kept[i] != c->head);
		p->kept[p->nkept++] = c->head;
		w->taken++;
	}
	vq_flush(vq(w));
}

static void give(struct world *w, unsigned int i, uint32_t len)
{
	if (!w->probe.nkept)
		return;
	i %= w->probe.nkept;
	if (!vq(w)->dead)
		w->given[w->ngiven++] = w->probe.kept[i];
	probe_push(&w->probe, i, len);
}

static void check(struct world *w)
{
	const struct vq_state *st = vq(w)->st;
	uint16_t idx, id;
	unsigned int i, bits = 0;

	assert(st->inflight_count == w->probe.nkept);
	for (i = 0; i < ARRAY_SIZE(st->inflight); i++)
		bits += (unsigned int)__builtin_popcountll(st->inflight[i]);
	assert(bits == st->inflight_count);
	assert(st->inflight_count <= w->ring.size);
	assert(w->rig.gm.maps == (vq(w)->mapped ? 3 : 0));
	if (vq(w)->dead || !st->enabled || w->rig.gm.nholes > 3)
		return;
	idx = ring_used_idx(&w->ring);
	assert(idx == vq(w)->published);
	assert((uint16_t)(st->used_idx - idx) <= w->ring.size);
	for (; w->seen != idx; w->seen++) {
		assert(w->seen < w->ngiven);
		id = fake_get16(&w->rig.gm, w->ring.used + 4 +
				8ull * (w->seen % w->ring.size));
		/* Older ones may be written over. */
		assert((uint16_t)(st->used_idx - w->seen) > w->ring.size ||
		       id == w->given[w->seen]);
	}
}

static void queue_reset(struct world *w)
{
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	if (rig_reg(&w->rig, VIRTIO_PCI_COMMON_Q_RESET) ||
	    rig_reg(&w->rig, VIRTIO_PCI_COMMON_Q_ENABLE))
		return;
	fake_mem_fill(&w->rig.gm);
	ring_init(&w->ring, &w->rig, 0, w->ring.size, FAKE_RAM);
	ring_enable(&w->ring);
	w->ngiven = 0;
	w->seen = 0;
}

/* Addresses worth a try; most of them are good. */
static uint64_t address(struct world *w, struct input *in)
{
	uint8_t how = in8(in);

	switch (how >> 5) {
	case 0:
		return in64(in);
	case 1:
		return FAKE_RAM + RAM - how % 32 * 16;
	case 2:
		return GUEST_ADDR_GRANT | TABLE;
	case 3:
		return UINT64_MAX - how % 32;
	case 4:
		return w->ring.desc + how % 32 * 16;
	default:
		return TABLE + how % 64 * 16;
	}
}

static void put_desc(struct world *w, struct input *in, uint64_t table,
		     unsigned int i)
{
	uint64_t addr = address(w, in);
	uint32_t len = in16(in);
	uint16_t flags = in8(in), next = in8(in);

	if (flags & 0x80)
		len = len << 16 | len;
	if (flags & 0x40)
		len = ALIGN_UP(len, 16u);
	if (flags & 0x20)
		next = (uint16_t)(next << 8 | next);
	table_desc(&w->rig.gm, table, i, addr, len, flags, next);
}

static void step(struct world *w, struct input *in)
{
	struct guest_mem *gm = &w->rig.gm;
	uint8_t op = in8(in);
	unsigned int i;

	switch (op % 16) {
	case 0:
	case 1:
		if (gm->nholes <= 3)
			put_desc(w, in, w->ring.desc, in16(in) % w->ring.size);
		break;
	case 2:
	case 3:
		if (gm->nholes <= 3)
			put_desc(w, in, TABLE, in8(in));
		break;
	case 4:
	case 5:
		if (gm->nholes <= 3)
			ring_post(&w->ring, op & 0x80 ? in16(in) :
				  (uint16_t)(in8(in) % w->ring.size));
		break;
	case 6:			/* avail: flags, index, entries, event */
		i = in16(in) % (3u + w->ring.size);
		if (gm->nholes <= 3)
			fake_put16(gm, w->ring.avail + 2 * i, in16(in));
		break;
	case 7:
	case 8:
		take(w);
		break;
	case 9:
	case 10:
		i = in8(in);
		give(w, i, in32(in));
		break;
	case 11:
		rig_run(&w->rig);
		break;
	case 12:
		fake_mem_move(gm);
		break;
	case 13:
		if (gm->nholes == 3)
			fake_mem_hole(gm, TABLE + in8(in) * 64ull, 16);
		else if (gm->nholes == 4 && (op & 0x80))
			fake_mem_fill(gm);	/* the ring's own too */
		break;
	case 14:
		if (op & 0x80)
			queue_reset(w);
		else if (op & 0x40)
			(void)vq_wait(vq(w));
		else
			vq_quiet(vq(w));
		break;
	case 15:
		if (vdev_is_broken(&w->probe.vdev) || op & 0x80) {
			probe_push_all(&w->probe);
			bring_up(w);
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int ops;
	struct world w;
	uint8_t how;

	memset(&w, 0, sizeof(w));
	how = in8(&in);
	w.ring.size = (uint16_t)(1u << how % 11);
	w.features = RIG_RING_RESET;
	w.features |= how & 0x80 ? 0 : RIG_INDIRECT;
	w.features |= how & 0x40 ? RIG_EVENT_IDX : 0;
	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, 1, 1024);
	w.probe.mute = true;
	rig_plug(&w.rig, &w.probe.vdev);
	rig_place(&w.rig);
	rig_msix_on(&w.rig);
	bring_up(&w);

	for (ops = 0; in.left && ops < MAX_OPS; ops++) {
		step(&w, &in);
		check(&w);
	}

	/* All back, a reset, and nothing is left. */
	while (w.probe.nkept)
		give(&w, 0, 0);
	rig_run(&w.rig);
	check(&w);
	rig_status_set(&w.rig, 0);
	assert(rig_status(&w.rig) == 0 && !w.rig.gm.maps);
	probe_fini(&w.probe, &w.rig);
	return 0;
}
