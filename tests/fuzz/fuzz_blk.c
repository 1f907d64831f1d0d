/* SPDX-License-Identifier: MIT */
/*
 * fuzz_blk.c: a whole disk.  The input is its options and then what a driver,
 * the backend and the memory do: requests of every kind and framing, raw
 * descriptors, completions in any order with and without errors, both resets,
 * bus mastering off and on, memory that moves, vanishes and changes.  Some
 * disks are limited so that after one write the others wait for ever, or until
 * a drain.
 *
 * Wanted: the backend's contract (fake_seams.c asserts it); with the guest's
 * memory away from bus mastering, not a byte of it changes; and nothing gets
 * stuck: when the backend has answered, so have we, unless the driver did
 * wrong.  After the last reset nothing is held, mapped or lent.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include "input.h"
#include "rig.h"
#include "virtio_blk.h"

#define RAM		(128u << 10)
#define AREA		(FAKE_RAM + (32u << 10))	/* headers, tables */
#define AREA_BYTES	(16u << 10)
#define DATA		(FAKE_RAM + (48u << 10))
#define DATA_BYTES	(RAM - (48u << 10))
#define DISK		(2u << 20)
#define DEPTH		32				/* of each queue */
#define MAX_QUEUES	3
#define MAX_OPS		150

struct world {
	struct rig		rig;
	struct fake_disk	disk;
	struct vdev		*vdev;
	struct ring		ring[MAX_QUEUES];
	unsigned int		desc[MAX_QUEUES];
	uint64_t		features;
	uint16_t		ring_size;
	uint8_t			*before;	/* of RAM, to compare with */
	bool			gave_up;	/* on some requests */
	bool			limited;
};

/* ---- making ---- */

static void make(struct world *w, struct input *in)
{
	static const struct blk_limits limits = {
		.bps[BLK_LIMIT_WR].rate = 1,
	};
	uint8_t how = in8(in), more = in8(in);
	struct blk_info info = {
		.bytes			= DISK,
		.block_size		= how & 1 ? 4096 : 512,
		.physical_size		= 4096,
		.discard_align		= 4096,
		.buf_align		= how & 2 ? 512 : 1,
		.cache			= how & 2 ? BLK_CACHE_NONE : how & 4 ?
					  BLK_CACHE_WRITETHROUGH :
					  BLK_CACHE_WRITEBACK,
		.readonly		= (how & 0x78) == 0x78,
		.can_discard		= !(more & 1),
		.can_write_zeroes	= !(more & 2),
	};
	struct vblk_opts opts = {
		.serial		= more & 4 ? "serial" : NULL,
		.queues		= 1 + more / 8 % MAX_QUEUES,
		.queue_size	= DEPTH,
		.limits		= (more & 0x38) == 0x38 ? &limits : NULL,
	};
	struct vdev_env env;

	w->limited = opts.limits;
	rig_init(&w->rig, RAM);
	w->rig.gm.iov_split = more & 0x40 ? 64 : 4096;
	w->rig.gm.max_holds = more & 0x80 ? 1 + (how >> 5 & 3) : 0;
	w->ring_size = (uint16_t)(DEPTH >> (how >> 3 & 3));
	w->features = RIG_INDIRECT | RIG_RING_RESET |
		      1ull << VIRTIO_BLK_F_CONFIG_WCE;
	w->features |= how & 0x80 ? RIG_EVENT_IDX : 0;
	w->features |= how & 0x40 ? 1ull << VIRTIO_BLK_F_FLUSH : 0;
	fake_disk_init(&w->disk, &info, vblk_depth(&opts));
	w->disk.later = true;
	env = rig_env(&w->rig);
	env.kick_ns = how & 8 ? 1 : 0;		/* linger for a turn */
	if (vblk_open(&env, &w->disk.base, &opts, &w->vdev) < 0)
		abort();		/* out of memory */
	rig_plug(&w->rig, w->vdev);
	rig_place(&w->rig);
	rig_msix_on(&w->rig);
}

static void bring_up(struct world *w)
{
	uint64_t at = FAKE_RAM;
	unsigned int i;

	fake_mem_fill(&w->rig.gm);
	rig_negotiate(&w->rig, w->features);
	assert(rig_status(&w->rig) == S_UP);
	for (i = 0; i < w->vdev->nqueues; i++) {
		ring_init(&w->ring[i], &w->rig, i, w->ring_size, at);
		ring_enable(&w->ring[i]);
		w->desc[i] = 0;
		at = w->ring[i].end;
	}
	assert(at <= AREA);
	rig_ok(&w->rig);
}

/* ---- what the driver does ---- */

static uint64_t area(struct input *in)
{
	return AREA + in16(in) % (AREA_BYTES - 64);
}

static uint64_t data_address(struct input *in)
{
	uint8_t how = in8(in);

	switch (how >> 4) {
	case 0:
		return in64(in);
	case 1:
		return GUEST_ADDR_GRANT | DATA;
	case 2:
		return FAKE_RAM + RAM - how % 16;
	case 3:
		return DATA + how % 16;			/* not aligned */
	case 4:
		return AREA + how % 16 * 32;		/* the headers */
	default:
		return DATA + (how & 0x7fu) * 512 % DATA_BYTES;
	}
}

/* One request in a table of its own: header, data in parts, status. */
static void request(struct world *w, struct input *in)
{
	static const uint8_t types[] = {
		VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_IN,
		VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
		VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
	};
	struct guest_mem *gm = &w->rig.gm;
	uint8_t how = in8(in), shape = in8(in);
	uint32_t type = how & 0x80 ? in32(in) : types[how & 7];
	bool write = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	unsigned int parts = shape & 0x80 ? shape & 0x7fu : shape & 3u, i;
	struct ring *q = &w->ring[(how >> 3) % w->vdev->nqueues];
	uint64_t header = area(in), table = area(in), addr;
	unsigned int n = 0, d = w->desc[q->index]++ % q->size;
	uint32_t len = in8(in) * 512u;

	if (table + 16 * (parts + 2ull) > AREA + AREA_BYTES)
		table = AREA;
	fake_put32(gm, header, type);
	fake_put64(gm, header + 8, how & 0x40 ? in64(in) : in16(in) % 4200u);
	addr = data_address(in);
	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES) {
		/* The ranges follow the header. */
		len = 16u * (parts % 4 + 1);
		for (i = 0; i < len / 16 && !(shape & 0x40); i++) {
			fake_put64(gm, header + 16 + 16 * i, 8 * i);
			fake_put32(gm, header + 24 + 16 * i, 8);
			fake_put32(gm, header + 28 + 16 * i, shape >> 2 & 1);
		}
		parts = 1;
		addr = header + 16;
	}
	table_desc(gm, table, n++, header, 16, D_NEXT, 1);
	for (i = 0; i < parts; i++, n++)
		table_desc(gm, table, n, addr, len,
			   D_NEXT | (write ? D_WRITE : 0), (uint16_t)(n + 1));
	table_desc(gm, table, n++, header + 48, 1, D_WRITE, 0);
	ring_desc(q, d, table, 16 * n, D_INDIRECT, 0);
	ring_post(q, (uint16_t)d);
}

static void raw_desc(struct world *w, struct input *in)
{
	struct ring *q = &w->ring[in8(in) % w->vdev->nqueues];
	uint64_t addr = data_address(in);
	unsigned int i = in8(in) % q->size;
	uint16_t len = in16(in);
	uint8_t flags = in8(in) & 7, next = in8(in);

	ring_desc(q, i, addr, len, flags, next % (q->size + 1u));
}

static void raw_post(struct world *w, struct input *in)
{
	struct ring *q = &w->ring[in8(in) % w->vdev->nqueues];

	ring_post(q, in8(in) % (q->size + 1u));
}

static void kick(struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->vdev->nqueues; i++)
		ring_kick(&w->ring[i]);
}

/* ---- what must hold ---- */

static unsigned int inflight(const struct world *w)
{
	unsigned int i, n = 0;

	for (i = 0; i < w->vdev->nqueues; i++)
		n += w->vdev->vq[i].st->inflight_count;
	return n;
}

/* What of memory is there now.  Holes come in the order of addresses. */
static void look(struct world *w)
{
	const struct guest_mem *gm = &w->rig.gm;
	uint64_t at = 0, end;
	unsigned int i;

	for (i = 0; i <= gm->nholes; i++) {
		end = i < gm->nholes ? gm->hole[i].addr - FAKE_RAM : RAM;
		memcpy(w->before + at, gm->pages->bytes + at, end - at);
		if (i < gm->nholes)
			at = end + gm->hole[i].len;
	}
}

static void assert_same(const struct world *w)
{
	const struct guest_mem *gm = &w->rig.gm;
	uint64_t at = 0, end;
	unsigned int i;

	for (i = 0; i <= gm->nholes; i++) {
		end = i < gm->nholes ? gm->hole[i].addr - FAKE_RAM : RAM;
		assert(!memcmp(w->before + at, gm->pages->bytes + at,
			       end - at));
		if (i < gm->nholes)
			at = end + gm->hole[i].len;
	}
}

/* Runs the loop; without bus mastering, nothing may come of it. */
static void run(struct world *w, bool all)
{
	unsigned int count = w->disk.count;

	if (!w->vdev->dma_ok)
		look(w);
	if (all)
		rig_run(&w->rig);
	else
		fake_turn(w->rig.loop);
	if (w->vdev->dma_ok)
		return;
	assert_same(w);
	assert(w->disk.count == count);
}

/*
 * One request comes back.  If @quiet, nothing may come of it; in place, it
 * is the backend who writes.
 */
static void complete(struct world *w, unsigned int i, int err, bool quiet)
{
	bool bounced = w->disk.base.info.cache == BLK_CACHE_NONE;
	unsigned int count = w->disk.count;

	if (!w->disk.kicked)
		return;
	if (quiet)
		look(w);
	fake_disk_complete(&w->disk, i % w->disk.kicked, err);
	if (!quiet)
		return;
	assert(w->disk.count == count);
	if (err || bounced)
		assert_same(w);
}

/* Lets everything come to its end, and sees that it does. */
static void settle(struct world *w)
{
	unsigned int i;

	rig_command(&w->rig, RIG_COMMAND);
	kick(w);			/* once: nobody may be forgotten */
	do {
		run(w, true);
		fake_disk_complete_all(&w->disk, 0);
		run(w, true);
	} while (w->disk.lent);
	if (!vdev_is_running(w->vdev)) {
		/* What waits, waits for the reset. */
		return;
	}
	assert(w->rig.gm.holds == 0);
	if (w->limited && !w->vdev->draining)
		return;
	assert(inflight(w) == 0);
	if (w->rig.gm.nholes > 3 * w->vdev->nqueues || w->gave_up)
		return;
	for (i = 0; i < w->vdev->nqueues; i++) {
		const struct vq_state *st = w->vdev->vq[i].st;

		if (!st->enabled)
			continue;
		assert(ring_used_idx(&w->ring[i]) == st->used_idx);
		assert(st->last_avail == st->used_idx);
		assert(w->vdev->draining ||
		       st->last_avail == w->ring[i].avail_idx);
	}
}

static void reset(struct world *w)
{
	unsigned int tries;

	rig_status_set(&w->rig, 0);
	for (tries = 0; rig_status(&w->rig) != 0; tries++) {
		assert(w->disk.lent && tries < FAKE_DISK_DEPTH);
		run(w, true);
		complete(w, tries * 7, tries % 3 ? 0 : -EIO, true);
	}
	assert(!w->disk.lent && !inflight(w));
	assert(!w->rig.gm.maps && !w->rig.gm.holds);
	rig_run(&w->rig);
	assert(!w->rig.gm.maps && !w->disk.lent);
}

static void queue_reset(struct world *w, unsigned int i)
{
	i %= w->vdev->nqueues;
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_Q_SELECT, i);
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	if (rig_reg(&w->rig, VIRTIO_PCI_COMMON_Q_RESET))
		return;
	if (rig_reg(&w->rig, VIRTIO_PCI_COMMON_Q_ENABLE))
		return;				/* it was refused */
	if (w->rig.gm.nholes > 3 * w->vdev->nqueues)
		return;
	ring_restart(&w->ring[i]);
	ring_enable(&w->ring[i]);
}

static void hole(struct world *w, struct input *in)
{
	struct guest_mem *gm = &w->rig.gm;
	uint64_t at = DATA + in8(in) * 1024ull % (DATA_BYTES - 1024);

	if (gm->nholes == 3 * w->vdev->nqueues)
		fake_mem_hole(gm, at, 1 + in8(in));
}

/* Nothing may come of it. */
static void give_up(struct world *w)
{
	unsigned int before = inflight(w);

	look(w);
	vdev_give_up(w->vdev);
	assert_same(w);
	assert(w->vdev->dma_ok ? inflight(w) == before :
				 inflight(w) == w->disk.lent);
	w->gave_up |= inflight(w) != before;
}

static void step(struct world *w, struct input *in)
{
	static const int errors[] = { 0, 0, 0, -EIO, -ENOSPC, -EOPNOTSUPP };
	struct guest_mem *gm = &w->rig.gm;
	uint8_t op = in8(in), i;
	uint64_t at;

	switch (op % 20) {
	case 0:
	case 1:
	case 2:
		request(w, in);
		break;
	case 3:
		raw_desc(w, in);
		break;
	case 4:
		raw_post(w, in);
		break;
	case 5:
	case 6:
		kick(w);
		break;
	case 7:
		run(w, true);
		break;
	case 8:
		run(w, false);
		break;
	case 9:
	case 10:
		i = in8(in);
		complete(w, i, errors[i % ARRAY_SIZE(errors)],
			 !w->vdev->dma_ok);
		break;
	case 11:
		at = area(in);
		fake_put64(gm, at, in64(in));
		break;
	case 12:
		rig_command(&w->rig, op & 0x80 ? RIG_COMMAND :
					RIG_COMMAND & ~PCI_COMMAND_MASTER);
		break;
	case 13:
		fake_mem_move(gm);
		break;
	case 14:
		hole(w, in);
		break;
	case 15:
		settle(w);
		break;
	case 16:
		queue_reset(w, in8(in));
		break;
	case 17:
		rig_mem_set(&w->rig, RIG_DEVICE + 32, 1, in8(in) & 1);
		break;
	case 18:
		if (op & 0x80) {
			vdev_drain(w->vdev);
			give_up(w);
		} else {
			w->rig.gm.max_holds = in8(in) & 3;
		}
		break;
	case 19:
		if (vdev_is_broken(w->vdev) || (op & 0x80)) {
			reset(w);
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

	memset(&w, 0, sizeof(w));
	w.before = malloc(RAM);
	assert(w.before);
	make(&w, &in);
	bring_up(&w);
	for (ops = 0; in.left && ops < MAX_OPS; ops++) {
		step(&w, &in);
		assert(inflight(&w) >= w.disk.lent);
		assert(inflight(&w) <= vblk_depth(&(struct vblk_opts){
				.queues = w.vdev->nqueues,
				.queue_size = DEPTH }));
	}
	settle(&w);
	reset(&w);
	assert(vdev_is_idle(w.vdev));
	rig_unplug(&w.rig);
	vblk_close(w.vdev);
	fake_disk_fini(&w.disk);
	rig_fini(&w.rig);
	free(w.before);
	return 0;
}
