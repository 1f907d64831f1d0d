/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_blk.c: the block device, from the descriptor chain to what the
 * backend is given and back.  The backend (fake_seams.c) asserts its contract
 * with every request.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include "dma.h"
#include "rig.h"
#include "unit.h"
#include "virtio_blk.h"

#define MIB		(1u << 20)
#define RAM		(24 * MIB)
#define RING_AT		FAKE_RAM
#define BUFFERS		(FAKE_RAM + MIB)
#define DISK		(8 * MIB)
#define RING_SIZE	128
#define UNTOUCHED	0xa5		/* a status byte not yet written */

#define F(name)		(1ull << VIRTIO_BLK_F_##name)

struct world {
	struct rig		rig;
	struct fake_disk	disk;
	struct vdev		*vdev;
	struct ring		ring[2];
	unsigned int		desc[2];	/* next free descriptor */
	uint64_t		buffer;		/* next free byte */
};

/* One request of the usual form: header, data, status. */
struct request {
	uint16_t	head;
	uint64_t	header;
	uint64_t	data;
	uint64_t	status;
	uint32_t	len;
};

static const struct blk_info plain = {
	.bytes			= DISK,
	.block_size		= 512,
	.physical_size		= 4096,
	.opt_io_size		= 65536,
	.discard_align		= 4096,
	.buf_align		= 1,
	.cache			= BLK_CACHE_WRITEBACK,
	.can_discard		= true,
	.can_write_zeroes	= true,
};

static struct blk_info direct(void)
{
	struct blk_info info = plain;

	info.cache = BLK_CACHE_NONE;
	info.buf_align = 512;
	return info;
}

static void world_make(struct world *w, const struct blk_info *info,
		       const struct vblk_opts *opts)
{
	static uint8_t image[DISK];
	struct vdev_env env;
	uint32_t i;

	if (!image[1])			/* the first time */
		for (i = 0; i < DISK; i++)
			image[i] = fake_disk_pattern(i);
	rig_init(&w->rig, RAM);
	fake_disk_init(&w->disk, info, vblk_depth(opts));
	if (w->disk.image)
		memcpy(w->disk.image, image, info->bytes);
	env = rig_env(&w->rig);
	assert_int_equal(vblk_open(&env, &w->disk.base, opts, &w->vdev), 0);
	rig_plug(&w->rig, w->vdev);
	w->desc[0] = w->desc[1] = 0;
	w->buffer = BUFFERS;
}

static void world_start(struct world *w, uint64_t features)
{
	unsigned int i;

	rig_up(&w->rig, features);
	rig_msix_on(&w->rig);
	for (i = 0; i < 2; i++) {
		ring_init(&w->ring[i], &w->rig, i, RING_SIZE,
			  i ? w->ring[0].end : RING_AT);
		if (i < w->vdev->nqueues)
			ring_enable(&w->ring[i]);
	}
	rig_ok(&w->rig);
	assert_int_equal(rig_status(&w->rig), S_RUNNING);
	rig_run(&w->rig);
}

static void world_open(struct world *w, const struct blk_info *info)
{
	static const struct vblk_opts opts = {
		.serial		= "disk-0123456789abcdefXXX",
		.queues		= 2,
		.queue_size	= RING_SIZE,
	};

	world_make(w, info, &opts);
	world_start(w, RIG_INDIRECT | RIG_RING_RESET | F(FLUSH) |
		       F(CONFIG_WCE));
}

/* The backend ends all that it has and is given, with @err. */
static void finish(struct world *w, int err)
{
	do {
		fake_disk_complete_all(&w->disk, err);
		rig_run(&w->rig);
	} while (w->disk.lent);
}

static void world_close(struct world *w)
{
	finish(w, 0);
	rig_unplug(&w->rig);
	vblk_close(w->vdev);
	fake_disk_fini(&w->disk);
	rig_fini(&w->rig);
}

/* ---- requests ---- */

static uint64_t buffer(struct world *w, uint64_t len)
{
	uint64_t at = w->buffer;

	w->buffer = ALIGN_UP(at + len + 64, 4096ull);
	assert_true(w->buffer <= FAKE_RAM + RAM);
	return at;
}

static void header(struct world *w, uint64_t at, uint32_t type,
		   uint64_t sector)
{
	fake_put32(&w->rig.gm, at, type);
	fake_put32(&w->rig.gm, at + 4, 0);
	fake_put64(&w->rig.gm, at + 8, sector);
}

/* Puts the chain together; @data 0: a buffer of its own. */
static struct request chain(struct world *w, unsigned int queue, uint32_t type,
			    uint64_t sector, uint64_t data, uint32_t len)
{
	struct ring *q = &w->ring[queue];
	unsigned int d = w->desc[queue];
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct request r = {
		.head	= (uint16_t)d,
		.header	= buffer(w, 64),
		.data	= data ? data : buffer(w, len),
		.len	= len,
	};

	r.status = r.header + 32;
	*(uint8_t *)fake_ptr(&w->rig.gm, r.status, 1) = UNTOUCHED;
	header(w, r.header, type, sector);
	assert_true(d + 3 <= q->size);
	ring_desc(q, d, r.header, 16, D_NEXT, (uint16_t)(d + 1));
	ring_desc(q, d + 1, r.data, len, D_NEXT | (in ? D_WRITE : 0),
		  (uint16_t)(d + 2));
	ring_desc(q, d + 2, r.status, 1, D_WRITE, 0);
	w->desc[queue] += 3;
	return r;
}

static struct request post_on(struct world *w, unsigned int queue,
			      uint32_t type, uint64_t sector, uint32_t len)
{
	struct request r = chain(w, queue, type, sector, 0, len);

	ring_post(&w->ring[queue], r.head);
	return r;
}

static struct request post(struct world *w, uint32_t type, uint64_t sector,
			   uint32_t len)
{
	return post_on(w, 0, type, sector, len);
}

static void run(struct world *w)
{
	ring_kick(&w->ring[0]);
	ring_kick(&w->ring[1]);
	rig_run(&w->rig);
}

static uint8_t status_of(struct world *w, const struct request *r)
{
	return *(uint8_t *)fake_ptr(&w->rig.gm, r->status, 1);
}

/* The next used entry of @queue is @r, with this status and length. */
static void assert_answer(struct world *w, unsigned int queue,
			  const struct request *r, uint8_t status,
			  uint32_t written)
{
	uint32_t id, len;

	assert_true(ring_used(&w->ring[queue], &id, &len));
	assert_int_equal(id, r->head);
	assert_int_equal(status_of(w, r), status);
	assert_int_equal(len, written);
}

static void assert_no_answer(struct world *w, unsigned int queue)
{
	assert_int_equal(ring_used_idx(&w->ring[queue]),
			 w->ring[queue].used_idx);
}

/* Posts, runs and checks one request. */
static void one(struct world *w, uint32_t type, uint64_t sector, uint32_t len,
		uint8_t status, uint32_t written)
{
	struct request r = post(w, type, sector, len);

	run(w);
	assert_answer(w, 0, &r, status, written);
	assert_no_answer(w, 0);
	w->desc[0] = 0;
	w->buffer = BUFFERS;
}

static void assert_record(const struct world *w, unsigned int i,
			  enum blk_op op, unsigned int flags, uint64_t offset,
			  uint64_t bytes)
{
	const struct fake_disk_record *r = &w->disk.log[i];

	assert_true(i < w->disk.count);
	assert_int_equal(r->op, op);
	assert_int_equal(r->flags, flags);
	assert_int_equal(r->offset, offset);
	assert_int_equal(r->bytes, bytes);
}

static void assert_pattern(struct world *w, uint64_t addr, uint64_t offset,
			   uint64_t len)
{
	const uint8_t *p = fake_ptr(&w->rig.gm, addr, len);
	uint64_t i;

	for (i = 0; i < len; i++)
		if (p[i] != fake_disk_pattern(offset + i))
			fail_msg("byte %llu of %llu",
				 (unsigned long long)i,
				 (unsigned long long)len);
}

static void assert_broken(struct world *w)
{
	assert_int_equal(rig_status(&w->rig), S_RUNNING | S_NEEDS_RESET);
}

/* Nothing of the guest is held on to. */
static void assert_let_go(const struct world *w)
{
	assert_int_equal(w->rig.gm.holds, 0);
	assert_int_equal(w->rig.gm.maps, 0);
}

/* ---- what is offered ---- */

static uint32_t config(struct world *w, unsigned int off, unsigned int size)
{
	return rig_mem(&w->rig, RIG_DEVICE + off, size);
}

#define CONFIG(w, field) config(w, offsetof(struct virtio_blk_config, field), \
			sizeof(((struct virtio_blk_config *)NULL)->field))

static void test_config(void **state)
{
	struct blk_info info = plain;
	struct vblk_opts opts = { .queues = 1, .queue_size = 256 };
	struct world w;

	(void)state;
	info.bytes = 3ull << 40;		/* 3 TiB */
	world_make(&w, &info, &opts);
	rig_place(&w.rig);
	assert_int_equal(rig_offered(&w.rig),
			 RIG_BASE_FEATURES | RIG_INDIRECT | RIG_EVENT_IDX |
			 RIG_RING_RESET | F(SEG_MAX) | F(BLK_SIZE) |
			 F(TOPOLOGY) | F(FLUSH) | F(CONFIG_WCE) | F(DISCARD) |
			 F(WRITE_ZEROES));
	assert_int_equal(config(&w, 0, 4), 0x80000000);
	assert_int_equal(config(&w, 4, 4), 1);
	assert_int_equal(CONFIG(&w, seg_max), 254);
	assert_int_equal(CONFIG(&w, blk_size), 512);
	assert_int_equal(CONFIG(&w, physical_block_exp), 3);
	assert_int_equal(CONFIG(&w, alignment_offset), 0);
	assert_int_equal(CONFIG(&w, min_io_size), 8);
	assert_int_equal(CONFIG(&w, opt_io_size), 128);
	assert_int_equal(CONFIG(&w, num_queues), 1);
	assert_int_equal(CONFIG(&w, max_discard_sectors), 1u << 22);
	assert_int_equal(CONFIG(&w, max_discard_seg), 32);
	assert_int_equal(CONFIG(&w, discard_sector_alignment), 8);
	assert_int_equal(CONFIG(&w, max_write_zeroes_sectors), 1u << 22);
	assert_int_equal(CONFIG(&w, max_write_zeroes_seg), 32);
	assert_int_equal(CONFIG(&w, write_zeroes_may_unmap), 1);
	assert_int_equal(rig_cfg(&w.rig, PCI_DEVICE_ID, 2), 0x1042);
	assert_int_equal(rig_cfg(&w.rig, PCI_CLASS_DEVICE, 2), 0x0180);
	world_close(&w);

	info.bytes = DISK;
	info.block_size = 4096;
	info.readonly = true;
	opts.queues = 16;
	opts.queue_size = 2;
	world_make(&w, &info, &opts);
	rig_place(&w.rig);
	assert_int_equal(rig_offered(&w.rig) & 0xffffff,
			 F(SEG_MAX) | F(BLK_SIZE) | F(TOPOLOGY) | F(FLUSH) |
			 F(CONFIG_WCE) | F(MQ) | F(RO));
	assert_int_equal(CONFIG(&w, seg_max), 1);
	assert_int_equal(CONFIG(&w, blk_size), 4096);
	assert_int_equal(CONFIG(&w, physical_block_exp), 0);
	assert_int_equal(CONFIG(&w, min_io_size), 1);
	assert_int_equal(CONFIG(&w, opt_io_size), 16);
	assert_int_equal(CONFIG(&w, num_queues), 16);
	world_close(&w);

	info = plain;
	info.can_discard = false;
	info.can_write_zeroes = false;
	info.discard_align = 0;
	opts.queues = 1;
	opts.queue_size = 1024;
	world_make(&w, &info, &opts);
	rig_place(&w.rig);
	assert_int_equal(rig_offered(&w.rig) & (F(DISCARD) | F(WRITE_ZEROES)),
			 0);
	assert_int_equal(CONFIG(&w, seg_max), 254);
	assert_int_equal(CONFIG(&w, discard_sector_alignment), 1);
	assert_int_equal(CONFIG(&w, write_zeroes_may_unmap), 0);
	world_close(&w);
}

static void test_depth(void **state)
{
	struct vblk_opts o = { .queues = 1, .queue_size = 2 };

	(void)state;
	assert_int_equal(vblk_depth(&o), 2);
	o.queues = 3;
	assert_int_equal(vblk_depth(&o), 6);
	o.queue_size = 1024;
	assert_int_equal(vblk_depth(&o), 1024);
	vblk_close(NULL);
}

/* ---- reads and writes ---- */

static void read_and_write(const struct blk_info *info)
{
	static const uint32_t lengths[] = { 512, 4096, 8192, 512 * 13, 65536 };
	struct world w;
	struct request r;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		world_open(&w, info);
		r = post(&w, VIRTIO_BLK_T_IN, 24, lengths[i]);
		run(&w);
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, lengths[i] + 1);
		assert_pattern(&w, r.data, 24 * 512, lengths[i]);
		assert_record(&w, 0, BLK_READ, 0, 24 * 512, lengths[i]);

		r = post(&w, VIRTIO_BLK_T_OUT, 8, lengths[i]);
		memset(fake_ptr(&w.rig.gm, r.data, lengths[i]), 0x3c + i,
		       lengths[i]);
		run(&w);
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
		assert_record(&w, 1, BLK_WRITE, 0, 8 * 512, lengths[i]);
		assert_int_equal(w.disk.image[8 * 512 - 1],
				 fake_disk_pattern(8 * 512 - 1));
		assert_int_equal(w.disk.image[8 * 512], 0x3c + i);
		assert_int_equal(w.disk.image[8 * 512 + lengths[i] - 1],
				 0x3c + i);
		assert_int_equal(w.disk.image[8 * 512 + lengths[i]],
				 fake_disk_pattern(8 * 512 + lengths[i]));
		assert_int_equal(w.rig.gm.holds, 0);
		world_close(&w);
	}
}

static void test_in_place(void **state)
{
	(void)state;
	read_and_write(&plain);
}

static void test_bounced(void **state)
{
	struct blk_info info = direct();

	(void)state;
	read_and_write(&info);
}

/*
 * Any framing is allowed (2.7.4.2): header in three parts, the data in odd
 * parts, the last of them with the status byte at its end.
 */
static void test_framing(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	uint64_t h, d;
	struct request r;
	struct world w;
	struct ring *q = &w.ring[0];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		h = buffer(&w, 64);
		d = buffer(&w, 8192);
		header(&w, h, VIRTIO_BLK_T_IN, 3);
		ring_desc(q, 0, h, 7, D_NEXT, 1);
		ring_desc(q, 1, h + 7, 1, D_NEXT, 2);
		ring_desc(q, 2, h + 8, 8, D_NEXT, 3);
		ring_desc(q, 3, d, 1, D_NEXT | D_WRITE, 4);
		ring_desc(q, 4, d + 1, 700, D_NEXT | D_WRITE, 5);
		ring_desc(q, 5, d + 701, 1024 - 701 + 1, D_WRITE, 0);
		ring_post(q, 0);
		run(&w);
		r = (struct request){ .head = 0, .status = d + 1024 };
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1025);
		assert_pattern(&w, d, 3 * 512, 1024);

		/* Header and data of a write in one descriptor. */
		header(&w, h, VIRTIO_BLK_T_OUT, 0);
		memset(fake_ptr(&w.rig.gm, h + 16, 512), 0x77, 512);
		ring_desc(q, 6, h, 16 + 512, D_NEXT, 7);
		ring_desc(q, 7, d + 4096, 1, D_WRITE, 0);
		ring_post(q, 6);
		run(&w);
		r = (struct request){ .head = 6, .status = d + 4096 };
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
		assert_int_equal(w.disk.image[0], 0x77);
		assert_int_equal(w.disk.image[511], 0x77);
		assert_int_equal(w.disk.image[512], fake_disk_pattern(512));

		/* A flush with room to spare: the last byte is the status. */
		header(&w, h, VIRTIO_BLK_T_FLUSH, 0);
		ring_desc(q, 8, h, 16, D_NEXT, 9);
		ring_desc(q, 9, d, 100, D_WRITE, 0);
		ring_post(q, 8);
		run(&w);
		r = (struct request){ .head = 8, .status = d + 99 };
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
		assert_pattern(&w, d, 3 * 512, 99);
		world_close(&w);
	}
}

/* The header is looked at once; a backend is not fooled by a later one. */
static void test_header_once(void **state)
{
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	r = post(&w, VIRTIO_BLK_T_IN, 0, 2 * MIB);	/* two pieces */
	run(&w);
	header(&w, r.header, VIRTIO_BLK_T_OUT, 1ull << 60);
	finish(&w, 0);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 2 * MIB + 1);
	assert_record(&w, 1, BLK_READ, 0, MIB, MIB);
	world_close(&w);
}

static void test_ranges(void **state)
{
	static const struct {
		uint32_t block;
		uint64_t sector;
		uint32_t len;
		bool ok;
	} t[] = {
		{ 512, 0, 0, true },
		{ 512, DISK / 512 - 1, 512, true },
		{ 512, DISK / 512 - 1, 1024, false },
		{ 512, DISK / 512, 512, false },
		{ 512, DISK / 512, 0, true },
		{ 512, DISK / 512 + 1, 0, false },
		{ 512, 0, 511, false },
		{ 512, 0, 1, false },
		{ 512, 1ull << 55, 512, false },	/* times 512 is 0 */
		{ 512, (1ull << 55) - 1, 512, false },
		{ 512, UINT64_MAX, 512, false },
		{ 512, UINT64_MAX, 1024, false },
		{ 512, UINT64_MAX / 512, 512, false },
		{ 4096, 0, 4096, true },
		{ 4096, 8, 4096, true },
		{ 4096, 1, 4096, false },
		{ 4096, 7, 4096, false },
		{ 4096, 8, 512, false },
		{ 4096, 8, 4096 + 512, false },
		{ 4096, DISK / 512 - 8, 4096, true },
		{ 4096, DISK / 512 - 8, 8192, false },
	};
	struct blk_info info;
	struct world w;
	unsigned int i, direct_io;

	(void)state;
	for (i = 0; i < 2 * ARRAY_SIZE(t); i++) {
		direct_io = i % 2;
		info = direct_io ? direct() : plain;
		info.block_size = t[i / 2].block;
		world_open(&w, &info);
		one(&w, VIRTIO_BLK_T_IN, t[i / 2].sector, t[i / 2].len,
		    t[i / 2].ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
		    t[i / 2].ok ? t[i / 2].len + 1 : 1);
		one(&w, VIRTIO_BLK_T_OUT, t[i / 2].sector, t[i / 2].len,
		    t[i / 2].ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, 1);
		assert_int_equal(w.disk.count,
				 t[i / 2].ok && t[i / 2].len ? 2 : 0);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		world_close(&w);
	}
}

/* More than the chain could ever carry in used.len. */
static void test_too_long(void **state)
{
	struct blk_info info = plain;
	struct world w;
	struct request r;

	(void)state;
	info.bytes = 3ull << 40;
	world_open(&w, &info);
	r = chain(&w, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
	/* 4 GiB and 512 bytes and the status. */
	ring_desc(&w.ring[0], 1, BUFFERS, 0x80000000, D_NEXT | D_WRITE, 3);
	ring_desc(&w.ring[0], 3, BUFFERS, 0x80000000, D_NEXT | D_WRITE, 4);
	ring_desc(&w.ring[0], 4, BUFFERS, 512, D_NEXT | D_WRITE, 2);
	ring_post(&w.ring[0], r.head);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 0);

	/* A write of as much: bounded by what is there. */
	header(&w, r.header, VIRTIO_BLK_T_OUT, 0);
	ring_desc(&w.ring[0], 1, BUFFERS, 0xfffffe00, D_NEXT, 2);
	ring_post(&w.ring[0], r.head);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	world_close(&w);
}

/* A request larger than one operation: piece by piece, one answer. */
static void test_pieces(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	uint32_t len = 3 * MIB + 512;
	struct request r;
	struct world w;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		r = post(&w, VIRTIO_BLK_T_IN, 16, len);
		run(&w);
		for (k = 0; k < 4; k++) {
			assert_int_equal(w.disk.lent, 1);
			assert_int_equal(w.disk.kicked, 1);
			assert_record(&w, k, BLK_READ, 0, 8192 + k * MIB,
				      k < 3 ? MIB : 512);
			assert_no_answer(&w, 0);
			fake_disk_complete(&w.disk, 0, 0);
			rig_run(&w.rig);
		}
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, len + 1);
		assert_pattern(&w, r.data, 8192, len);
		assert_int_equal(w.rig.gm.holds, 0);

		/* An error in the middle is the end. */
		r = post(&w, VIRTIO_BLK_T_OUT, 0, len);
		run(&w);
		fake_disk_complete(&w.disk, 0, 0);
		rig_run(&w.rig);
		fake_disk_complete(&w.disk, 0, -EIO);
		rig_run(&w.rig);
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
		assert_int_equal(w.disk.count, 6);
		assert_int_equal(w.disk.lent, 0);
		assert_int_equal(w.rig.gm.holds, 0);
		world_close(&w);
	}
}

/* Memory in so many scraps that one operation cannot list them. */
static void test_scraps(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	uint64_t h, table, d;
	struct request r;
	struct world w;
	unsigned int i, k, n = 250, len = 512 * n;

	(void)state;
	for (i = 0; i < 2; i++) {
		infos[i].block_size = 4096;
		world_open(&w, &infos[i]);
		h = buffer(&w, 64);
		table = buffer(&w, 16 * 300);
		d = buffer(&w, 4096 * (n + 2));
		header(&w, h, VIRTIO_BLK_T_IN, 0);
		/* Each over the boundary of a page, 1024 bytes: 500 scraps. */
		table_desc(&w.rig.gm, table, 0, h, 16, D_NEXT, 1);
		for (k = 0; k < n; k++)
			table_desc(&w.rig.gm, table, k + 1,
				   d + 4096 * k + 4000, 1024, D_NEXT | D_WRITE,
				   (uint16_t)(k + 2));
		len = 1024 * n;
		table_desc(&w.rig.gm, table, n + 1, d, 2048, D_NEXT | D_WRITE,
			   (uint16_t)(n + 2));
		len += 2048;
		table_desc(&w.rig.gm, table, n + 2, h + 32, 1, D_WRITE, 0);
		ring_desc(&w.ring[0], 0, table, 16 * (n + 3), D_INDIRECT, 0);
		ring_post(&w.ring[0], 0);
		run(&w);
		r = (struct request){ .head = 0, .status = h + 32 };
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, len + 1);
		for (k = 0; k < n; k++)
			assert_pattern(&w, d + 4096 * k + 4000, 1024 * k,
				       1024);
		assert_int_equal(w.disk.count, i ? 1 : 2);
		assert_int_equal(w.rig.gm.holds, 0);

		/* Not even one block of 4096 in 260 scraps: 8 bytes each. */
		for (k = 0; k < n; k++)
			table_desc(&w.rig.gm, table, k + 1,
				   d + 4096 * k + 4092, 8, D_NEXT | D_WRITE,
				   (uint16_t)(k + 2));
		table_desc(&w.rig.gm, table, n + 1, d, 4096 - 8 * n,
			   D_NEXT | D_WRITE, (uint16_t)(n + 2));
		ring_post(&w.ring[0], 0);
		run(&w);
		assert_answer(&w, 0, &r,
			      i ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
			      i ? 4097 : 1);
		assert_int_equal(w.rig.gm.holds, 0);
		world_close(&w);
	}
}

static void test_errors(void **state)
{
	static const struct {
		int err;
		uint8_t status;
	} t[] = {
		{ -EIO, VIRTIO_BLK_S_IOERR },
		{ -ENOSPC, VIRTIO_BLK_S_IOERR },
		{ -EINVAL, VIRTIO_BLK_S_IOERR },
		{ -EOPNOTSUPP, VIRTIO_BLK_S_UNSUPP },
	};
	struct blk_info infos[2] = { plain, direct() };
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * ARRAY_SIZE(t); i++) {
		world_open(&w, &infos[i % 2]);
		w.disk.err = t[i / 2].err;
		one(&w, VIRTIO_BLK_T_IN, 0, 4096, t[i / 2].status, 1);
		one(&w, VIRTIO_BLK_T_OUT, 0, 4096, t[i / 2].status, 1);
		one(&w, VIRTIO_BLK_T_FLUSH, 0, 0, t[i / 2].status, 1);
		w.disk.err = 0;
		one(&w, VIRTIO_BLK_T_IN, 0, 4096, VIRTIO_BLK_S_OK, 4097);
		assert_int_equal(w.rig.gm.holds, 0);
		world_close(&w);
	}
}

/* A failed read does not show what the bounce pages had in them. */
static void test_error_leaks_nothing(void **state)
{
	struct blk_info info = direct();
	struct request r;
	struct world w;
	unsigned int i;
	uint8_t *p;

	(void)state;
	world_open(&w, &info);
	one(&w, VIRTIO_BLK_T_IN, 0, 4096, VIRTIO_BLK_S_OK, 4097);
	w.disk.err = -EIO;
	r = post(&w, VIRTIO_BLK_T_IN, 0, 4096);
	p = fake_ptr(&w.rig.gm, r.data, 4096);
	memset(p, 0x11, 4096);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	for (i = 0; i < 4096; i++)
		assert_int_equal(p[i], 0x11);
	world_close(&w);
}

/* ---- addresses that are no memory ---- */

static void test_data_not_in_memory(void **state)
{
	static const uint64_t bad[] = {
		0, FAKE_RAM - 4096, FAKE_RAM + RAM - 4095, RIG_BAR,
		1ull << 52,
	};
	struct blk_info infos[2] = { plain, direct() };
	struct request r;
	struct world w;
	unsigned int i, k;
	uint32_t type;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (k = 0; k < 2 * ARRAY_SIZE(bad); k++) {
			world_open(&w, &infos[i]);
			type = k % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
			r = chain(&w, 0, type, 0, BUFFERS + 8 * MIB, 8192);
			/* Half of it is there. */
			ring_desc(&w.ring[0], 1, BUFFERS + 8 * MIB, 4096,
				  D_NEXT | (k % 2 ? D_WRITE : 0), 3);
			ring_desc(&w.ring[0], 3, bad[k / 2], 4096,
				  D_NEXT | (k % 2 ? D_WRITE : 0), 2);
			ring_post(&w.ring[0], r.head);
			run(&w);
			assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
			assert_int_equal(w.rig.gm.holds, 0);
			assert_int_equal(rig_status(&w.rig), S_RUNNING);
			w.desc[0] = 0;
			one(&w, VIRTIO_BLK_T_IN, 0, 4096, VIRTIO_BLK_S_OK,
			    4097);
			world_close(&w);
		}
	}
}

/* It vanishes while the request is with the backend. */
static void test_data_vanishes(void **state)
{
	struct blk_info info = direct();
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &info);
	w.disk.later = true;
	r = post(&w, VIRTIO_BLK_T_IN, 0, 3 * MIB);
	run(&w);
	fake_mem_hole(&w.rig.gm, r.data + 4096, 1);
	finish(&w, 0);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 1);	/* no further piece */
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	world_close(&w);
}

static void test_header_or_status_not_in_memory(void **state)
{
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_open(&w, &plain);
		w.disk.later = true;
		r = chain(&w, 0, VIRTIO_BLK_T_IN, 0, 0, 512);
		if (i == 0)
			fake_mem_hole(&w.rig.gm, r.header + 15, 1);
		if (i == 1)
			fake_mem_hole(&w.rig.gm, r.status, 1);
		if (i == 2)
			ring_desc(&w.ring[0], 2, GUEST_ADDR_GRANT, 1, D_WRITE,
				  0);
		ring_post(&w.ring[0], r.head);
		run(&w);
		finish(&w, 0);
		assert_broken(&w);
		assert_no_answer(&w, 0);
		assert_int_equal(w.rig.gm.holds, 0);
		assert_true(vdev_is_idle(w.vdev));
		rig_status_set(&w.rig, 0);
		assert_int_equal(rig_status(&w.rig), 0);
		assert_let_go(&w);
		world_close(&w);
	}
}

/* Chains without room for a header or a status. */
static void test_no_room(void **state)
{
	static const struct {
		uint32_t out, in;
	} t[] = { { 0, 0 }, { 0, 1 }, { 15, 1 }, { 16, 0 }, { 15, 0 },
		  { 0, 513 }, { 528, 0 } };
	struct world w;
	struct ring *q = &w.ring[0];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		world_open(&w, &plain);
		header(&w, BUFFERS, VIRTIO_BLK_T_FLUSH, 0);
		ring_desc(q, 0, BUFFERS, t[i].out, D_NEXT, 1);
		ring_desc(q, 1, BUFFERS + 4096, t[i].in, D_WRITE, 0);
		ring_post(q, 0);
		run(&w);
		assert_broken(&w);
		assert_int_equal(w.disk.count, 0);
		assert_true(vdev_is_idle(w.vdev));
		rig_status_set(&w.rig, 0);
		assert_int_equal(rig_status(&w.rig), 0);
		assert_let_go(&w);
		world_close(&w);
	}
}

/* ---- the other types ---- */

static void test_unknown_types(void **state)
{
	static const uint32_t types[] = {
		2, 3, 5, 6, 7, 9, 10, 12, VIRTIO_BLK_T_SECURE_ERASE, 15, 16,
		0x80000000, 0x80000001, 0xffffffff,
	};
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	for (i = 0; i < ARRAY_SIZE(types); i++)
		one(&w, types[i], 0, 512, VIRTIO_BLK_S_UNSUPP, 1);
	assert_int_equal(w.disk.count, 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	world_close(&w);
}

static void test_get_id(void **state)
{
	static const char id[] = "disk-0123456789abcdefXXX";
	struct request r;
	struct world w;
	uint64_t d;
	char *p;

	(void)state;
	world_open(&w, &plain);
	r = post(&w, VIRTIO_BLK_T_GET_ID, 77, 20);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 21);
	assert_memory_equal(fake_ptr(&w.rig.gm, r.data, 20), id, 20);

	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 5);	/* too short */
	p = fake_ptr(&w.rig.gm, r.data, 6);
	memset(p, 'z', 6);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 6);
	assert_memory_equal(p, "disk-z", 6);

	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 100);	/* too long */
	p = fake_ptr(&w.rig.gm, r.data, 21);
	memset(p, 'z', 21);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 21);
	assert_memory_equal(p, id, 20);
	assert_int_equal(p[20], 'z');

	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 0);	/* no room at all */
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);

	/* In three parts, the last with the status byte. */
	r = chain(&w, 0, VIRTIO_BLK_T_GET_ID, 0, 0, 64);
	d = r.data;
	ring_desc(&w.ring[0], r.head + 1u, d, 3, D_NEXT | D_WRITE, 100);
	ring_desc(&w.ring[0], 100, d + 3, 10, D_NEXT | D_WRITE, 101);
	ring_desc(&w.ring[0], 101, d + 13, 8, D_WRITE, 0);
	ring_post(&w.ring[0], r.head);
	r.status = d + 20;
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 21);
	assert_memory_equal(fake_ptr(&w.rig.gm, d, 20), id, 20);

	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 20);
	fake_mem_hole(&w.rig.gm, r.data + 19, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 0);
	world_close(&w);
}

static void test_no_serial(void **state)
{
	static const char none[20];
	struct vblk_opts opts = { .queues = 2, .queue_size = RING_SIZE };
	struct request r;
	struct world w;

	(void)state;
	world_make(&w, &plain, &opts);
	world_start(&w, 0);
	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 20);
	memset(fake_ptr(&w.rig.gm, r.data, 20), 'z', 20);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 21);
	assert_memory_equal(fake_ptr(&w.rig.gm, r.data, 20), none, 20);
	world_close(&w);
}

static void test_flush(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &plain);
	one(&w, VIRTIO_BLK_T_FLUSH, 0, 0, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_FLUSH, 0, 0, 0);
	one(&w, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 1, BLK_FLUSH, 0, 0, 0);
	one(&w, VIRTIO_BLK_T_FLUSH, 0, 100, VIRTIO_BLK_S_OK, 1);
	assert_int_equal(w.disk.count, 3);
	world_close(&w);
}

/* ---- how durable a write is ---- */

static void test_write_back_toggle(void **state)
{
	struct world w;
	unsigned int off = offsetof(struct virtio_blk_config, wce);

	(void)state;
	world_open(&w, &plain);
	assert_int_equal(config(&w, off, 1), 1);
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_WRITE, 0, 0, 512);
	rig_mem_set(&w.rig, RIG_DEVICE + off, 1, 0);
	assert_int_equal(config(&w, off, 1), 0);
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 1, BLK_WRITE, BLK_REQ_FUA, 0, 512);
	one(&w, VIRTIO_BLK_T_IN, 0, 512, VIRTIO_BLK_S_OK, 513);
	assert_record(&w, 2, BLK_READ, 0, 0, 512);

	/* Only that byte, alone, and only 0 or 1. */
	rig_mem_set(&w.rig, RIG_DEVICE + off, 1, 2);
	rig_mem_set(&w.rig, RIG_DEVICE + off, 2, 1);
	rig_mem_set(&w.rig, RIG_DEVICE + off - 1, 2, 0x100);
	assert_int_equal(config(&w, off, 1), 0);
	rig_mem_set(&w.rig, RIG_DEVICE, 4, 0xffffffff);
	assert_int_equal(config(&w, 0, 4), DISK / 512);
	rig_mem_set(&w.rig, RIG_DEVICE + off, 1, 1);
	assert_int_equal(config(&w, off, 1), 1);

	/* Back to the image's own with a reset. */
	rig_mem_set(&w.rig, RIG_DEVICE + off, 1, 0);
	rig_status_set(&w.rig, 0);
	assert_int_equal(config(&w, off, 1), 1);
	rig_mem_set(&w.rig, RIG_DEVICE + off, 1, 0);	/* not negotiated */
	assert_int_equal(config(&w, off, 1), 1);
	world_close(&w);
}

static void test_no_flush_is_write_through(void **state)
{
	struct vblk_opts opts = { .queues = 2, .queue_size = RING_SIZE };
	struct world w;

	(void)state;
	world_make(&w, &plain, &opts);
	world_start(&w, 0);
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_WRITE, BLK_REQ_FUA, 0, 512);

	/* And with it, after a reset. */
	rig_status_set(&w.rig, 0);
	fake_mem_fill(&w.rig.gm);
	world_start(&w, F(FLUSH));
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 1, BLK_WRITE, 0, 0, 512);
	world_close(&w);
}

static void test_write_through(void **state)
{
	struct blk_info info = plain;
	struct world w;

	(void)state;
	info.cache = BLK_CACHE_WRITETHROUGH;
	world_open(&w, &info);
	assert_int_equal(CONFIG(&w, wce), 0);
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_WRITE, BLK_REQ_FUA, 0, 512);
	world_close(&w);
}

static void test_read_only(void **state)
{
	struct blk_info info = plain;
	struct world w;

	(void)state;
	info.readonly = true;
	world_open(&w, &info);
	one(&w, VIRTIO_BLK_T_OUT, 0, 512, VIRTIO_BLK_S_IOERR, 1);
	one(&w, VIRTIO_BLK_T_OUT, 0, 0, VIRTIO_BLK_S_IOERR, 1);
	one(&w, VIRTIO_BLK_T_DISCARD, 0, 16, VIRTIO_BLK_S_UNSUPP, 1);
	one(&w, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, VIRTIO_BLK_S_UNSUPP, 1);
	assert_int_equal(w.disk.count, 0);
	one(&w, VIRTIO_BLK_T_IN, 0, 512, VIRTIO_BLK_S_OK, 513);
	one(&w, VIRTIO_BLK_T_FLUSH, 0, 0, VIRTIO_BLK_S_OK, 1);
	assert_int_equal(w.disk.count, 2);
	world_close(&w);
}

/* ---- discard and write zeroes ---- */

struct range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};

static struct request post_ranges(struct world *w, uint32_t type,
				  const struct range *range, unsigned int n)
{
	struct request r = chain(w, 0, type, 0, 0, 16 * n);
	unsigned int i;

	for (i = 0; i < n; i++) {
		fake_put64(&w->rig.gm, r.data + 16 * i, range[i].sector);
		fake_put32(&w->rig.gm, r.data + 16 * i + 8, range[i].sectors);
		fake_put32(&w->rig.gm, r.data + 16 * i + 12, range[i].flags);
	}
	ring_post(&w->ring[0], r.head);
	return r;
}

static void test_range_kinds(void **state)
{
	static const struct {
		uint32_t type;
		struct range range;
		uint8_t status;
		enum blk_op op;
		unsigned int flags;
	} t[] = {
#define DIS VIRTIO_BLK_T_DISCARD
#define WZ VIRTIO_BLK_T_WRITE_ZEROES
#define OK VIRTIO_BLK_S_OK
#define BAD VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP
		{ DIS, { 8, 16, 0 }, OK, BLK_DISCARD, 0 },
		{ WZ, { 8, 16, 0 }, OK, BLK_WRITE_ZEROES, 0 },
		{ WZ, { 8, 16, 1 }, OK, BLK_WRITE_ZEROES, BLK_REQ_UNMAP },
		{ DIS, { 8, 16, 1 }, UNSUPP, 0, 0 },
		{ DIS, { 8, 16, 0x80000000 }, UNSUPP, 0, 0 },
		{ WZ, { 8, 16, 2 }, UNSUPP, 0, 0 },
		{ WZ, { 8, 16, 0xffffffff }, UNSUPP, 0, 0 },
		{ DIS, { 0, DISK / 512, 0 }, OK, BLK_DISCARD, 0 },
		{ DIS, { 0, DISK / 512 + 1, 0 }, BAD, 0, 0 },
		{ DIS, { 1, DISK / 512, 0 }, BAD, 0, 0 },
		{ DIS, { DISK / 512, 1, 0 }, BAD, 0, 0 },
		{ DIS, { 8, 0, 0 }, BAD, 0, 0 },
		{ WZ, { 8, 0xffffffff, 0 }, BAD, 0, 0 },
		{ WZ, { UINT64_MAX, 1, 0 }, BAD, 0, 0 },
		{ WZ, { 1ull << 55, 1, 0 }, BAD, 0, 0 },
	};
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		world_open(&w, &plain);
		r = post_ranges(&w, t[i].type, &t[i].range, 1);
		run(&w);
		assert_answer(&w, 0, &r, t[i].status, 1);
		assert_int_equal(w.disk.count, t[i].status == OK);
		if (t[i].status == OK)
			assert_record(&w, 0, t[i].op, t[i].flags,
				      t[i].range.sector * 512,
				      t[i].range.sectors * 512ull);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		world_close(&w);
	}
}

/* The most at once, on a disk that has so much. */
static void test_range_limit(void **state)
{
	struct range range = { 0, 1u << 22, 0 };
	struct blk_info info = plain;
	struct request r;
	struct world w;

	(void)state;
	info.bytes = 1ull << 40;
	world_open(&w, &info);
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, &range, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_DISCARD, 0, 0, 2048ull << 20);
	range.sectors++;
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, &range, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	range.sectors = UINT32_MAX;
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 1);
	world_close(&w);
}

/* Blocks of 4096, and a driver that wants every write durable. */
static void test_range_blocks(void **state)
{
	static const struct range good = { 8, 8, 0 }, odd = { 4, 8, 0 },
				  small = { 8, 4, 0 };
	struct vblk_opts opts = { .queues = 2, .queue_size = RING_SIZE };
	struct blk_info info = plain;
	struct request r;
	struct world w;

	(void)state;
	info.block_size = 4096;
	world_make(&w, &info, &opts);
	world_start(&w, 0);
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, &good, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 0, BLK_WRITE_ZEROES, BLK_REQ_FUA, 4096, 4096);
	assert_int_equal(w.disk.image[4095], fake_disk_pattern(4095));
	assert_int_equal(w.disk.image[4096], 0);
	assert_int_equal(w.disk.image[8191], 0);
	assert_int_equal(w.disk.image[8192], fake_disk_pattern(8192));
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, &good, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	assert_record(&w, 1, BLK_DISCARD, 0, 4096, 4096);
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, &odd, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, &small, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	world_close(&w);
}

static void test_range_list(void **state)
{
	struct range range[33];
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 33; i++)
		range[i] = (struct range){ 16 * i, 8, i % 2 };
	world_open(&w, &plain);
	w.disk.later = true;
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, range, 32);
	run(&w);
	for (i = 0; i < 32; i++) {
		assert_int_equal(w.disk.lent, 1);
		assert_record(&w, i, BLK_WRITE_ZEROES,
			      i % 2 ? BLK_REQ_UNMAP : 0, 8192 * i, 4096);
		assert_no_answer(&w, 0);
		fake_disk_complete(&w.disk, 0, 0);
		rig_run(&w.rig);
	}
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);

	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, range, 33);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, range, 0);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 32);

	/* The second one is bad: the first was done, the third is not. */
	range[1].sectors = 0;
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, range, 3);
	run(&w);
	fake_disk_complete(&w.disk, 0, 0);
	rig_run(&w.rig);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(w.disk.count, 33);

	/* It vanishes before it is looked at. */
	range[1].sectors = 8;
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, range, 2);
	run(&w);
	fake_mem_hole(&w.rig.gm, r.data + 16, 16);
	fake_disk_complete(&w.disk, 0, 0);
	rig_run(&w.rig);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	world_close(&w);
}

static void test_range_lengths(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 15, 17, 24, 8 };
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		one(&w, VIRTIO_BLK_T_DISCARD, 0, lengths[i],
		    VIRTIO_BLK_S_IOERR, 1);
		one(&w, VIRTIO_BLK_T_WRITE_ZEROES, 0, lengths[i],
		    VIRTIO_BLK_S_IOERR, 1);
	}
	assert_int_equal(w.disk.count, 0);
	world_close(&w);
}

/* ---- many at once ---- */

/*
 * A batch: all are submitted before the one kick, and there is one interrupt.
 * More than a turn's share follows in the next turn.
 */
static void test_batch(void **state)
{
	struct request r[40];
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	for (i = 0; i < 40; i++)
		r[i] = post(&w, VIRTIO_BLK_T_IN, i, 512);
	run(&w);
	for (i = 0; i < 40; i++)
		assert_answer(&w, 0, &r[i], VIRTIO_BLK_S_OK, 513);
	assert_int_equal(w.rig.irq.count, 1);
	world_close(&w);
}

static void test_budget(void **state)
{
	struct world w;
	struct ring *q = &w.ring[0];
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	header(&w, BUFFERS, VIRTIO_BLK_T_FLUSH, 0);
	for (i = 0; i < RING_SIZE; i++) {	/* two descriptors in one table */
		table_desc(&w.rig.gm, BUFFERS + 4096 + 32 * i, 0, BUFFERS, 16,
			   D_NEXT, 1);
		table_desc(&w.rig.gm, BUFFERS + 4096 + 32 * i, 1,
			   BUFFERS + 64 + i, 1, D_WRITE, 0);
		ring_desc(q, i, BUFFERS + 4096 + 32 * i, 32, D_INDIRECT, 0);
		ring_post(q, (uint16_t)i);
	}
	ring_kick(q);
	fake_turn(w.rig.loop);
	assert_int_equal(w.disk.lent, 64);
	assert_int_equal(w.disk.kicked, 64);
	fake_turn(w.rig.loop);
	assert_int_equal(w.disk.lent, 128);
	rig_run(&w.rig);
	assert_int_equal(w.disk.lent, RING_SIZE);
	assert_int_equal(w.disk.kicked, RING_SIZE);

	/* Back in another order. */
	while (w.disk.lent)
		fake_disk_complete(&w.disk, w.disk.lent / 2, 0);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(q), RING_SIZE);
	assert_int_equal(w.rig.irq.count, 1);
	world_close(&w);
}

/* What arrives from inside done() is submitted, and kicked. */
static void test_more_meanwhile(void **state)
{
	struct request a, b;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	a = post(&w, VIRTIO_BLK_T_IN, 0, 2 * MIB);
	run(&w);
	b = post(&w, VIRTIO_BLK_T_IN, 0, 512);
	ring_kick(&w.ring[0]);
	fake_disk_complete(&w.disk, 0, 0);
	assert_int_equal(w.disk.lent, 1);
	assert_int_equal(w.disk.kicked, 0);	/* the second piece of a */
	rig_run(&w.rig);
	assert_int_equal(w.disk.kicked, 2);
	finish(&w, 0);
	assert_answer(&w, 0, &a, VIRTIO_BLK_S_OK, 2 * MIB + 1);
	assert_answer(&w, 0, &b, VIRTIO_BLK_S_OK, 513);
	world_close(&w);
}

/*
 * The bounce pool has room for four operations of 1 MiB.  The others wait,
 * nobody is forgotten, and the order of each answer is its own.
 */
static void test_pool_exhausted(void **state)
{
	struct blk_info info = direct();
	struct request r[10];
	struct world w;
	unsigned int i, n;

	(void)state;
	world_open(&w, &info);
	w.disk.later = true;
	for (i = 0; i < 10; i++)
		r[i] = post(&w, i % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
			    2048 * (i % 8), MIB);
	run(&w);
	assert_int_equal(w.disk.lent, 4);
	for (n = 0; w.disk.lent; n++) {
		assert_int_equal(w.disk.lent, MIN(4, 10 - (int)n));
		assert_int_equal(w.disk.kicked, w.disk.lent);
		fake_disk_complete(&w.disk, w.disk.lent - 1, 0);
		rig_run(&w.rig);
	}
	assert_int_equal(n, 10);
	assert_int_equal(ring_used_idx(&w.ring[0]), 10);
	for (i = 0; i < 10; i++) {
		assert_int_equal(status_of(&w, &r[i]), VIRTIO_BLK_S_OK);
		if (i % 2 == 0)
			assert_pattern(&w, r[i].data, MIB * (i % 8), MIB);
	}
	world_close(&w);
}

/* In place, it is the guest's memory of which so much may be held. */
static void test_holds_exhausted(void **state)
{
	struct request r[20];
	struct world w;
	unsigned int i, n;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	w.rig.gm.max_holds = 2;
	for (i = 0; i < 20; i++)
		r[i] = post_on(&w, i % 2, VIRTIO_BLK_T_IN, i, 512);
	run(&w);
	for (n = 0; w.disk.lent; n++) {
		assert_int_equal(w.rig.gm.holds, MIN(2, 20 - (int)n));
		fake_disk_complete(&w.disk, 0, 0);
		rig_run(&w.rig);
	}
	assert_int_equal(n, 20);
	for (i = 0; i < 20; i++)
		assert_int_equal(status_of(&w, &r[i]), VIRTIO_BLK_S_OK);
	world_close(&w);
}

/* All is held by another device: its release has to be enough. */
static void test_held_by_others(void **state)
{
	struct guest_hold *other;
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.rig.gm.max_holds = 1;
	other = guest_mem_hold(&w.rig.gm);
	r = post_on(&w, 0, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	assert_int_equal(w.disk.lent, 0);
	guest_mem_release(&w.rig.gm, other);
	rig_run(&w.rig);		/* nobody kicks */
	assert_int_equal(status_of(&w, &r), VIRTIO_BLK_S_OK);
	world_close(&w);
}

/*
 * Several wait, and the first of them turns out to be bad when its turn
 * comes: the next one has to be tried, since no completion will come.
 */
static void test_bad_one_waits(void **state)
{
	struct request r[4];
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	for (i = 0; i < 4; i++)
		r[i] = post(&w, VIRTIO_BLK_T_IN, 0, 2 * MIB);
	run(&w);
	assert_int_equal(w.disk.lent, 4);
	w.rig.gm.max_holds = 3;			/* less than there was */
	/* The second piece of r[0] and r[1] finds no room. */
	fake_disk_complete(&w.disk, 0, 0);
	w.rig.gm.max_holds = 2;
	fake_disk_complete(&w.disk, 0, 0);
	w.rig.gm.max_holds = 1;
	fake_disk_complete(&w.disk, 0, -EIO);
	fake_mem_hole(&w.rig.gm, r[0].data + MIB, 4096);
	fake_mem_hole(&w.rig.gm, r[1].data + MIB, 4096);
	rig_run(&w.rig);
	while (w.disk.lent) {
		fake_disk_complete(&w.disk, 0, 0);
		rig_run(&w.rig);
	}
	assert_int_equal(ring_used_idx(&w.ring[0]), 4);
	assert_int_equal(status_of(&w, &r[0]), VIRTIO_BLK_S_IOERR);
	assert_int_equal(status_of(&w, &r[1]), VIRTIO_BLK_S_IOERR);
	assert_int_equal(status_of(&w, &r[2]), VIRTIO_BLK_S_IOERR);
	assert_int_equal(status_of(&w, &r[3]), VIRTIO_BLK_S_OK);
	assert_int_equal(w.rig.gm.holds, 0);
	world_close(&w);
}

/* More requests than the device has: 16 queues of 128. */
static void test_requests_exhausted(void **state)
{
	static const struct vblk_opts opts = { .queues = 16,
					       .queue_size = 128 };
	static struct ring ring[16];
	struct world w;
	uint64_t at = RING_AT;
	unsigned int i, k, done = 0;

	(void)state;
	world_make(&w, &plain, &opts);
	w.disk.later = true;
	rig_up(&w.rig, RIG_INDIRECT);
	header(&w, BUFFERS, VIRTIO_BLK_T_FLUSH, 0);
	table_desc(&w.rig.gm, BUFFERS + 4096, 0, BUFFERS, 16, D_NEXT, 1);
	table_desc(&w.rig.gm, BUFFERS + 4096, 1, BUFFERS + 64, 1, D_WRITE, 0);
	for (i = 0; i < 16; i++) {
		ring_init(&ring[i], &w.rig, i, 128, at);
		at = ring[i].end;
		ring_enable(&ring[i]);
		for (k = 0; k < 128; k++) {
			ring_desc(&ring[i], k, BUFFERS + 4096, 32, D_INDIRECT,
				  0);
			ring_post(&ring[i], (uint16_t)k);
		}
	}
	rig_ok(&w.rig);
	rig_run(&w.rig);
	assert_int_equal(w.disk.lent, 1024);
	while (w.disk.lent) {
		fake_disk_complete(&w.disk, done++ % w.disk.kicked, 0);
		rig_run(&w.rig);
		assert_int_equal(w.disk.lent, MIN(1024, 2048 - (int)done));
	}
	assert_int_equal(done, 2048);
	for (i = 0; i < 16; i++)
		assert_int_equal(ring_used_idx(&ring[i]), 128);
	world_close(&w);
}

/* ---- lingering (vq_linger()) ---- */

#define HOURS	(3600ull * 1000 * 1000 * 1000)

static uint16_t used_flags(struct world *w)
{
	return fake_get16(&w->rig.gm, w->ring[0].used);
}

/* One read, with a kick only if the device wants it, and one turn of ours. */
static void short_read(struct world *w)
{
	struct request r;

	w->desc[0] = 0;
	w->buffer = BUFFERS;
	r = post(w, VIRTIO_BLK_T_IN, 0, 512);
	if (!(used_flags(w) & VRING_USED_F_NO_NOTIFY))
		ring_kick(&w->ring[0]);
	fake_turn(w->rig.loop);
	assert_answer(w, 0, &r, VIRTIO_BLK_S_OK, 513);
}

static void test_linger(void **state)
{
	struct world w;
	struct vq *vq;
	unsigned int i;

	(void)state;
	world_open(&w, &plain);
	vq = &w.vdev->vq[0];
	w.vdev->kick_ns = HOURS;

	/* Not at first, then it is tried. */
	for (i = 0; i < 63; i++) {
		short_read(&w);
		assert_int_equal(used_flags(&w), 0);
		assert_int_equal(rig_run(&w.rig), 0);
	}
	short_read(&w);
	assert_int_equal(used_flags(&w), VRING_USED_F_NO_NOTIFY);

	/* What comes meanwhile is found without a kick; that counts. */
	for (i = 0; i < 20; i++) {
		fake_turn(w.rig.loop);		/* in vain */
		short_read(&w);
		assert_int_equal(used_flags(&w), VRING_USED_F_NO_NOTIFY);
	}
	assert_int_equal(vq->linger_hits, 16);

	/* Its time is over: a kick, please. */
	vq->linger_until = 1;
	assert_int_equal(rig_run(&w.rig), 1);
	assert_int_equal(used_flags(&w), 0);
	assert_int_equal(vq->linger_hits, 15);

	/* It goes on being worth it, until it is not any more. */
	while (vq->linger_hits) {
		short_read(&w);
		assert_int_equal(used_flags(&w), VRING_USED_F_NO_NOTIFY);
		vq->linger_until = 1;
		assert_int_equal(rig_run(&w.rig), 1);
		assert_int_equal(used_flags(&w), 0);
	}
	short_read(&w);
	assert_int_equal(used_flags(&w), 0);
	assert_int_equal(rig_run(&w.rig), 0);
	world_close(&w);
}

/* What ends a stretch of it from outside, and what goes on after that. */
static void test_linger_ends(void **state)
{
	struct world w;
	struct vq *vq;

	(void)state;
	world_open(&w, &plain);
	vq = &w.vdev->vq[0];
	w.vdev->kick_ns = HOURS;
	vq->linger_hits = 16;
	short_read(&w);
	assert_true(vq->kick_work.queued);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	assert_int_equal(rig_run(&w.rig), 1);	/* no look without DMA */
	rig_command(&w.rig, RIG_COMMAND);
	short_read(&w);
	assert_true(vq->kick_work.queued);

	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(rig_run(&w.rig), 0);
	ring_restart(&w.ring[0]);
	ring_enable(&w.ring[0]);
	short_read(&w);
	assert_true(vq->kick_work.queued);

	ring_post(&w.ring[0], 0xffff);
	assert_int_equal(rig_run(&w.rig), 1);
	assert_broken(&w);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_run(&w.rig), 0);
	world_close(&w);
}

/* ---- resets ---- */

/* In flight, bounced: the data does not arrive any more. */
static void test_reset_in_flight(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	static uint8_t before[RAM];
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		r = post(&w, VIRTIO_BLK_T_IN, 0, 4096);
		memset(fake_ptr(&w.rig.gm, r.data, 4096), 0x99, 4096);
		(void)post(&w, VIRTIO_BLK_T_OUT, 0, 3 * MIB);
		(void)post_on(&w, 1, VIRTIO_BLK_T_FLUSH, 0, 0);
		run(&w);
		assert_int_equal(w.disk.lent, 3);
		rig_status_set(&w.rig, 0);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		fake_mem_fill(&w.rig.gm);
		memcpy(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
		fake_disk_complete(&w.disk, 1, 0);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		fake_disk_complete(&w.disk, 1, -EIO);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		fake_disk_complete(&w.disk, 0, i ? 0 : -EIO);
		assert_int_equal(rig_status(&w.rig), 0);
		rig_run(&w.rig);
		assert_int_equal(w.disk.count, 3);	/* no further piece */
		assert_memory_equal(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM),
				    RAM);
		assert_let_go(&w);
		assert_int_equal(w.rig.irq.count, 0);

		w.disk.later = false;
		w.desc[0] = w.desc[1] = 0;
		w.buffer = BUFFERS;
		world_start(&w, 0);
		one(&w, VIRTIO_BLK_T_IN, 0, 4096, VIRTIO_BLK_S_OK, 4097);
		world_close(&w);
	}
}

/* Those that wait for memory are dropped at once. */
static void test_reset_while_waiting(void **state)
{
	struct blk_info info = direct();
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, &info);
	w.disk.later = true;
	for (i = 0; i < 6; i++)
		(void)post(&w, VIRTIO_BLK_T_IN, 0, MIB);
	run(&w);
	assert_int_equal(w.disk.lent, 4);
	assert_int_equal(w.vdev->vq[0].st->inflight_count, 6);
	rig_status_set(&w.rig, 0);
	assert_int_equal(w.vdev->vq[0].st->inflight_count, 4);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	fake_disk_complete_all(&w.disk, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.disk.count, 4);
	rig_run(&w.rig);
	assert_let_go(&w);
	world_close(&w);
}

/* A queue reset drops what waits on that queue and no other. */
static void test_queue_reset_while_waiting(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 2 * MIB);
	other = post_on(&w, 1, VIRTIO_BLK_T_IN, 0, 2 * MIB);
	(void)post(&w, VIRTIO_BLK_T_FLUSH, 0, 0);
	run(&w);
	assert_int_equal(w.disk.lent, 3);
	w.rig.gm.max_holds = 1;
	fake_disk_complete(&w.disk, 0, 0);	/* queue 0's waits now */
	w.rig.gm.max_holds = 2;			/* and queue 1's submits */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 1);
	assert_int_equal(w.vdev->vq[0].st->inflight_count, 1);
	finish(&w, 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_no_answer(&w, 0);
	assert_answer(&w, 1, &other, VIRTIO_BLK_S_OK, 2 * MIB + 1);

	ring_restart(&w.ring[0]);
	ring_enable(&w.ring[0]);
	w.desc[0] = 0;
	w.disk.later = false;
	one(&w, VIRTIO_BLK_T_IN, 0, 512, VIRTIO_BLK_S_OK, 513);
	world_close(&w);
}

/* The device breaks: what is in flight comes back and is not told. */
static void test_broken_in_flight(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		r = post(&w, VIRTIO_BLK_T_IN, 0, 3 * MIB);
		run(&w);
		ring_post(&w.ring[1], 0xffff);
		run(&w);
		assert_broken(&w);
		finish(&w, 0);
		assert_no_answer(&w, 0);
		assert_int_equal(status_of(&w, &r), UNTOUCHED);
		assert_int_equal(w.disk.count, 1);
		assert_int_equal(w.rig.gm.holds, 0);
		assert_true(vdev_is_idle(w.vdev));
		world_close(&w);
	}
}

/* ---- bus mastering ---- */

/* Off: completions are held, nothing is taken, not a byte is written. */
static void test_no_master(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	static uint8_t before[RAM];
	struct request r[4];
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		r[0] = post(&w, VIRTIO_BLK_T_OUT, 0, 4096);
		r[1] = post_on(&w, 1, VIRTIO_BLK_T_IN, 8, 2 * MIB);
		r[2] = post(&w, VIRTIO_BLK_T_FLUSH, 0, 0);
		run(&w);
		assert_int_equal(w.disk.lent, 3);
		rig_command(&w.rig, PCI_COMMAND_MEMORY);
		r[3] = post(&w, VIRTIO_BLK_T_FLUSH, 0, 0);
		fake_mem_fill(&w.rig.gm);
		fake_disk_complete(&w.disk, 1, -EIO);	/* r[2] */
		fake_disk_complete(&w.disk, 0, 0);	/* r[0] */
		memcpy(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
		if (i)		/* in place, the backend wrote it itself */
			fake_disk_complete(&w.disk, 0, 0);
		run(&w);
		assert_int_equal(w.disk.lent, !i);
		assert_no_answer(&w, 0);
		assert_memory_equal(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM),
				    RAM);
		assert_false(vdev_is_idle(w.vdev));
		assert_int_equal(w.rig.irq.count, 0);

		rig_command(&w.rig, RIG_COMMAND);
		rig_run(&w.rig);
		finish(&w, 0);
		assert_answer(&w, 0, &r[2], VIRTIO_BLK_S_IOERR, 1);
		assert_answer(&w, 0, &r[0], VIRTIO_BLK_S_OK, 1);
		assert_answer(&w, 0, &r[3], VIRTIO_BLK_S_OK, 1);
		assert_answer(&w, 1, &r[1], VIRTIO_BLK_S_OK, 2 * MIB + 1);
		assert_pattern(&w, r[1].data, 8 * 512, 2 * MIB);
		assert_int_equal(w.rig.gm.holds, 0);
		world_close(&w);
	}
}

/* A reset drops what is held, with its bounce pages and its holds. */
static void test_reset_while_held(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		(void)post(&w, VIRTIO_BLK_T_IN, 0, 4096);
		(void)post_on(&w, 1, VIRTIO_BLK_T_FLUSH, 0, 0);
		run(&w);
		rig_command(&w.rig, PCI_COMMAND_MEMORY);
		fake_disk_complete_all(&w.disk, 0);
		assert_false(vdev_is_idle(w.vdev));
		rig_status_set(&w.rig, 0);
		assert_int_equal(rig_status(&w.rig), 0);
		assert_let_go(&w);
		rig_run(&w.rig);
		world_close(&w);
	}
}

/*
 * One queue is reset while bus mastering is off, and another one's request
 * waits for memory: it is not tried before it may be, and not forgotten.
 */
static void test_no_master_while_waiting(void **state)
{
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	w.rig.gm.max_holds = 1;
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	r = post_on(&w, 1, VIRTIO_BLK_T_OUT, 0, 512);
	run(&w);
	assert_int_equal(w.disk.lent, 1);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	fake_disk_complete(&w.disk, 0, -EIO);
	rig_run(&w.rig);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(w.disk.count, 1);	/* not yet */
	rig_command(&w.rig, RIG_COMMAND);
	rig_run(&w.rig);
	assert_int_equal(w.disk.lent, 1);
	finish(&w, 0);
	assert_answer(&w, 1, &r, VIRTIO_BLK_S_OK, 1);
	world_close(&w);
}

/* ---- memory that moves ---- */

static void test_epoch(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	struct request r, s;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		r = post(&w, VIRTIO_BLK_T_IN, 0, 3 * MIB);
		run(&w);
		fake_mem_move(&w.rig.gm);
		assert_non_null(w.rig.gm.pages->older);
		fake_disk_complete(&w.disk, 0, 0);
		rig_run(&w.rig);
		/* The second piece, and the rings, are in the new pages. */
		finish(&w, 0);
		run(&w);
		assert_null(w.rig.gm.pages->older);
		assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 3 * MIB + 1);
		assert_pattern(&w, r.data + MIB, MIB, 2 * MIB);
		if (i)		/* bounced: where the guest is now */
			assert_pattern(&w, r.data, 0, MIB);

		s = post(&w, VIRTIO_BLK_T_OUT, 0, 512);
		memset(fake_ptr(&w.rig.gm, s.data, 512), 0x42, 512);
		ring_kick(&w.ring[0]);
		fake_mem_move(&w.rig.gm);
		rig_run(&w.rig);
		finish(&w, 0);
		assert_answer(&w, 0, &s, VIRTIO_BLK_S_OK, 1);
		assert_int_equal(w.disk.image[511], 0x42);
		assert_int_equal(w.rig.gm.holds, 0);
		run(&w);
		assert_null(w.rig.gm.pages->older);
		world_close(&w);
	}
}

/* ---- the end ---- */

static void test_drain(void **state)
{
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	r = post(&w, VIRTIO_BLK_T_IN, 0, 2 * MIB);
	run(&w);
	vdev_drain(w.vdev);
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	assert_int_equal(w.disk.lent, 1);
	fake_disk_complete_all(&w.disk, 0);	/* both pieces */
	rig_run(&w.rig);
	fake_disk_complete_all(&w.disk, 0);
	assert_true(vdev_is_idle(w.vdev));
	rig_run(&w.rig);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 2 * MIB + 1);
	assert_int_equal(w.disk.count, 2);
	world_close(&w);
}

/* What is held when that begins is answered when bus mastering is on. */
static void test_drain_held(void **state)
{
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	w.disk.later = true;
	r = post(&w, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	fake_disk_complete_all(&w.disk, 0);
	vdev_drain(w.vdev);
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	rig_command(&w.rig, RIG_COMMAND);
	run(&w);
	assert_true(vdev_is_idle(w.vdev));
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 513);
	assert_int_equal(w.disk.count, 1);
	world_close(&w);
}

/*
 * What waits for bus mastering is given up, without a word to the driver;
 * what is with the backend is not, and is answered if that still may be.
 */
static void test_give_up(void **state)
{
	struct blk_info infos[2] = { plain, direct() };
	static uint8_t before[RAM];
	struct request r;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open(&w, &infos[i]);
		w.disk.later = true;
		(void)post(&w, VIRTIO_BLK_T_OUT, 0, 4096);
		(void)post(&w, VIRTIO_BLK_T_IN, 16, 4096);
		r = post_on(&w, 1, VIRTIO_BLK_T_IN, 8, 4096);
		run(&w);
		w.rig.gm.max_holds = 1;
		if (!i)				/* this one waits for room */
			(void)post(&w, VIRTIO_BLK_T_IN, 16, 4096);
		run(&w);
		vdev_drain(w.vdev);
		vdev_give_up(w.vdev);		/* all of it may be served */
		assert_int_equal(w.rig.state.vq[0].inflight_count, 3 - i);
		assert_int_equal(w.disk.lent, 3);
		rig_command(&w.rig, PCI_COMMAND_MEMORY);
		fake_disk_complete(&w.disk, 0, 0);
		fake_disk_complete(&w.disk, 0, -EIO);
		fake_mem_fill(&w.rig.gm);
		memcpy(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
		vdev_give_up(w.vdev);
		rig_run(&w.rig);
		assert_int_equal(w.disk.lent, 1);
		assert_false(vdev_is_idle(w.vdev));
		assert_int_equal(w.rig.gm.holds, !i);
		assert_memory_equal(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM),
				    RAM);
		if (i)
			rig_command(&w.rig, RIG_COMMAND);
		fake_disk_complete(&w.disk, 0, 0);
		vdev_give_up(w.vdev);
		rig_run(&w.rig);
		assert_true(vdev_is_idle(w.vdev));
		if (i)
			assert_answer(&w, 1, &r, VIRTIO_BLK_S_OK, 4097);
		assert_no_answer(&w, 0);
		assert_no_answer(&w, 1);
		world_close(&w);
	}
}

/* ---- growing ---- */

static void test_resize(void **state)
{
	struct blk_info info = plain;
	struct request under_way, late;
	unsigned int irqs;
	struct world w;
	uint32_t gen;

	(void)state;
	info.bytes = 32 * MIB;
	info.block_size = 4096;
	world_open(&w, &info);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, 0);
	one(&w, VIRTIO_BLK_T_IN, 32 * MIB / 512, 4096, VIRTIO_BLK_S_IOERR, 1);
	w.disk.later = true;
	under_way = post(&w, VIRTIO_BLK_T_OUT, 32 * MIB / 512 - 8, 4096);
	run(&w);
	irqs = w.rig.irq.count;
	gen = rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION);

	assert_int_equal(vblk_resize(w.vdev, 32 * MIB - 4096), -EINVAL);
	assert_int_equal(vblk_resize(w.vdev, 0), -EINVAL);
	assert_int_equal(vblk_resize(w.vdev, 32 * MIB + 512), -EINVAL);
	assert_int_equal(vblk_resize(w.vdev, 1ull << 63), -EINVAL);
	assert_int_equal(vblk_resize(w.vdev, 32 * MIB), 0);
	assert_int_equal(CONFIG(&w, capacity), 32 * MIB / 512);
	assert_int_equal(w.rig.irq.count, irqs);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION),
			 gen);

	assert_int_equal(vblk_resize(w.vdev, 32 * MIB + 8192), 0);
	assert_int_equal(CONFIG(&w, capacity), 32 * MIB / 512 + 16);
	assert_int_equal(w.rig.irq.count, irqs + 1);
	assert_int_equal(w.rig.irq.event[irqs].data, RIG_MSI_DATA);
	assert_int_not_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION),
			     gen);
	late = post(&w, VIRTIO_BLK_T_IN, 32 * MIB / 512 + 8, 4096);
	run(&w);
	finish(&w, 0);
	assert_answer(&w, 0, &under_way, VIRTIO_BLK_S_OK, 1);
	assert_answer(&w, 0, &late, VIRTIO_BLK_S_OK, 4097);
	w.disk.later = false;
	one(&w, VIRTIO_BLK_T_IN, 32 * MIB / 512 + 16, 4096,
	    VIRTIO_BLK_S_IOERR, 1);
	world_close(&w);
}

/* Nobody is there to be told; who comes later finds it. */
static void test_resize_unwatched(void **state)
{
	struct blk_info info = plain;
	unsigned int irqs;
	struct world w;
	uint32_t gen;

	(void)state;
	info.bytes = 32 * MIB;
	world_open(&w, &info);
	rig_status_set(&w.rig, 0);
	rig_negotiate(&w.rig, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, 0);
	irqs = w.rig.irq.count;
	gen = rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION);
	assert_int_equal(vblk_resize(w.vdev, 1ull << 50), 0);
	assert_int_equal(w.rig.irq.count, irqs);
	assert_int_not_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION),
			     gen);
	rig_status_set(&w.rig, 0);
	assert_int_equal(config(&w, 0, 4), 0);
	assert_int_equal(config(&w, 4, 4), 1u << (50 - 9 - 32));
	world_close(&w);
}

/* ---- what is counted ---- */

static void test_stats(void **state)
{
	static const struct range two[2] = { { 0, 8, 0 }, { 16, 24, 0 } };
	static const struct range bad[2] = { { 0, 8, 0 }, { 16, 0, 0 } };
	struct blk_stats want = { 0 };
	struct request r;
	struct world w;

	(void)state;
	world_open(&w, &plain);
	one(&w, VIRTIO_BLK_T_IN, 0, 4096, VIRTIO_BLK_S_OK, 4097);
	one(&w, VIRTIO_BLK_T_IN, 0, 3 * MIB, VIRTIO_BLK_S_OK, 3 * MIB + 1);
	one(&w, VIRTIO_BLK_T_OUT, 8, 512, VIRTIO_BLK_S_OK, 1);
	one(&w, VIRTIO_BLK_T_FLUSH, 0, 0, VIRTIO_BLK_S_OK, 1);
	one(&w, VIRTIO_BLK_T_GET_ID, 0, 20, VIRTIO_BLK_S_OK, 21);
	want.reads = 2;
	want.read_bytes = 4096 + 3 * MIB;
	want.writes = 1;
	want.write_bytes = 512;
	want.flushes = 1;
	assert_memory_equal(&w.rig.state.stats.blk, &want, sizeof(want));

	one(&w, VIRTIO_BLK_T_IN, DISK / 512, 512, VIRTIO_BLK_S_IOERR, 1);
	one(&w, 77, 0, 512, VIRTIO_BLK_S_UNSUPP, 1);
	w.disk.err = -EIO;
	one(&w, VIRTIO_BLK_T_IN, 0, 512, VIRTIO_BLK_S_IOERR, 1);
	w.disk.err = 0;
	want.errors = 3;
	assert_memory_equal(&w.rig.state.stats.blk, &want, sizeof(want));

	/* A driver that resets changes nothing, nor does what it gave up. */
	w.disk.later = true;
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	rig_status_set(&w.rig, 0);
	finish(&w, 0);
	w.disk.later = false;
	fake_mem_fill(&w.rig.gm);
	w.desc[0] = 0;
	w.buffer = BUFFERS;
	world_start(&w, F(DISCARD) | F(WRITE_ZEROES));
	assert_memory_equal(&w.rig.state.stats.blk, &want, sizeof(want));

	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, two, 2);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	r = post_ranges(&w, VIRTIO_BLK_T_WRITE_ZEROES, two, 1);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	r = post_ranges(&w, VIRTIO_BLK_T_DISCARD, bad, 2);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	want.discards = 1;
	want.discard_bytes = 32 * 512;
	want.writes++;
	want.write_bytes += 8 * 512;
	want.errors++;
	assert_memory_equal(&w.rig.state.stats.blk, &want, sizeof(want));
	world_close(&w);
}

/* ---- limits ---- */

/* The first one goes, and pays for longer than any test takes. */
static const struct blk_limits hardly_any = {
	.bps[BLK_LIMIT_ALL].rate = 1,
};

static void world_open_limited(struct world *w, const struct blk_info *info,
			       const struct blk_limits *limits)
{
	const struct vblk_opts opts = {
		.queues		= 2,
		.queue_size	= RING_SIZE,
		.limits		= limits,
	};

	world_make(w, info, &opts);
	world_start(w, RIG_INDIRECT | RIG_RING_RESET | F(FLUSH) | F(DISCARD) |
		       F(WRITE_ZEROES));
}

static unsigned int in_flight(const struct world *w)
{
	return w->vdev->vq[0].st->inflight_count +
	       w->vdev->vq[1].st->inflight_count;
}

/* As many as may be in flight, of which the first has been answered. */
static void world_throttle(struct world *w, struct request *ret_other)
{
	struct request first;

	first = post(w, VIRTIO_BLK_T_OUT, 0, 4096);
	(void)post(w, VIRTIO_BLK_T_OUT, 8, 4096);
	(void)post(w, VIRTIO_BLK_T_IN, 0, 512);
	*ret_other = post_on(w, 1, VIRTIO_BLK_T_IN, 0, 512);
	run(w);
	assert_int_equal(w->disk.count, 1);
	assert_int_equal(in_flight(w), 3);
	assert_int_equal(w->rig.state.stats.blk.throttled, 3);
	assert_answer(w, 0, &first, VIRTIO_BLK_S_OK, 1);
	assert_no_answer(w, 0);
	assert_no_answer(w, 1);
}

/* Whatever moves no data is not held up. */
static void test_limit(void **state)
{
	struct request r, other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	r = post(&w, VIRTIO_BLK_T_FLUSH, 0, 0);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	r = post(&w, VIRTIO_BLK_T_GET_ID, 0, 20);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 21);
	r = post(&w, VIRTIO_BLK_T_IN, DISK / 512, 512);	/* not good at all */
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	assert_int_equal(in_flight(&w), 3);
	rig_status_set(&w.rig, 0);
	world_close(&w);
}

/* They go in the end, in order, and the loop is not held up meanwhile. */
static void test_limit_in_time(void **state)
{
	static const struct blk_limits limits = {
		.iops[BLK_LIMIT_ALL].rate = 50,
	};
	struct request r[12];
	uint64_t began = loop_now_ms();
	unsigned int i;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &limits);
	for (i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = post(&w, VIRTIO_BLK_T_IN, 8 * i, 4096);
	run(&w);
	assert_in_range(w.disk.count, 5, ARRAY_SIZE(r) - 1);
	while (w.disk.count < ARRAY_SIZE(r)) {
		usleep(1000);
		fake_turn(w.rig.loop);
	}
	rig_run(&w.rig);
	assert_in_range(loop_now_ms() - began, 120, 5000);
	for (i = 0; i < ARRAY_SIZE(r); i++)
		assert_answer(&w, 0, &r[i], VIRTIO_BLK_S_OK, 4097);
	world_close(&w);
}

/* A range is an operation, and its bytes count; one that is bad does not. */
static void test_limit_ranges(void **state)
{
	struct request r;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	r = chain(&w, 0, VIRTIO_BLK_T_DISCARD, 0, 0, 16);
	memset(fake_ptr(&w.rig.gm, r.data, 16), 0, 16);
	ring_post(&w.ring[0], r.head);		/* of nothing */
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_IOERR, 1);
	r = chain(&w, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 32);
	memset(fake_ptr(&w.rig.gm, r.data, 32), 0, 32);
	fake_put32(&w.rig.gm, r.data + 8, 8);
	fake_put32(&w.rig.gm, r.data + 24, 8);
	ring_post(&w.ring[0], r.head);
	run(&w);
	assert_answer(&w, 0, &r, VIRTIO_BLK_S_OK, 1);
	assert_int_equal(w.disk.count, 2);	/* not cut in two */
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	(void)post(&w, VIRTIO_BLK_T_DISCARD, 0, 16);
	run(&w);
	assert_int_equal(in_flight(&w), 2);
	assert_int_equal(w.disk.count, 2);
	rig_status_set(&w.rig, 0);
	world_close(&w);
}

/* Dropped at once; what was used stays used. */
static void test_limit_reset(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	rig_run(&w.rig);
	assert_let_go(&w);
	w.desc[0] = w.desc[1] = 0;
	w.buffer = BUFFERS;
	fake_mem_fill(&w.rig.gm);
	world_start(&w, 0);
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 512);
	run(&w);
	assert_int_equal(in_flight(&w), 1);
	assert_int_equal(w.disk.count, 1);
	rig_status_set(&w.rig, 0);
	world_close(&w);
}

static void test_limit_queue_reset(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(in_flight(&w), 1);
	vdev_drain(w.vdev);
	rig_run(&w.rig);
	assert_answer(&w, 1, &other, VIRTIO_BLK_S_OK, 513);
	assert_int_equal(w.disk.count, 2);
	world_close(&w);
}

/* The device is taken away: nothing of its throttle is left. */
static void test_limit_close(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	rig_unplug(&w.rig);
	vblk_close(w.vdev);
	fake_disk_fini(&w.disk);
	rig_run(&w.rig);
	rig_fini(&w.rig);
}

/* For the end of the process, nobody waits. */
static void test_limit_drain(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	w.disk.later = true;
	vdev_drain(w.vdev);
	rig_run(&w.rig);
	assert_int_equal(w.disk.lent, 3);
	assert_false(vdev_is_idle(w.vdev));
	finish(&w, 0);
	assert_true(vdev_is_idle(w.vdev));
	assert_int_equal(ring_used_idx(&w.ring[0]), 3);
	assert_answer(&w, 1, &other, VIRTIO_BLK_S_OK, 513);
	world_close(&w);
}

/* The turn of a queue that is broken comes: nothing is done or told. */
static void test_limit_broken(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	ring_post(&w.ring[1], 0xffff);
	run(&w);
	assert_broken(&w);
	vdev_drain(w.vdev);
	rig_run(&w.rig);
	assert_true(vdev_is_idle(w.vdev));
	assert_int_equal(w.disk.count, 1);
	assert_no_answer(&w, 0);
	assert_no_answer(&w, 1);
	assert_int_equal(status_of(&w, &other), UNTOUCHED);
	world_close(&w);
}

/* The turn comes while bus mastering is off: when it is on again. */
static void test_limit_no_master(void **state)
{
	struct request other;
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		world_open_limited(&w, &plain, &hardly_any);
		world_throttle(&w, &other);
		rig_command(&w.rig, PCI_COMMAND_MEMORY);
		vdev_drain(w.vdev);
		rig_run(&w.rig);
		assert_int_equal(w.disk.count, 1);
		assert_int_equal(in_flight(&w), 3);
		if (i) {
			vdev_give_up(w.vdev);
		} else {
			rig_command(&w.rig, RIG_COMMAND);
			rig_run(&w.rig);
			assert_int_equal(w.disk.count, 4);
			assert_answer(&w, 1, &other, VIRTIO_BLK_S_OK, 513);
		}
		assert_true(vdev_is_idle(w.vdev));
		rig_run(&w.rig);
		assert_no_answer(&w, 1);
		world_close(&w);
	}
}

/* Bus mastering is off, and it is not yet anybody's turn. */
static void test_limit_give_up(void **state)
{
	struct request other;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	world_throttle(&w, &other);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	vdev_give_up(w.vdev);
	assert_true(vdev_is_idle(w.vdev));
	rig_run(&w.rig);
	assert_no_answer(&w, 0);
	assert_int_equal(status_of(&w, &other), UNTOUCHED);
	world_close(&w);
}

/* One in front waits for memory: who comes behind it stays there. */
static void test_limit_behind_waiting(void **state)
{
	struct request big, small;
	struct world w;

	(void)state;
	world_open_limited(&w, &plain, &hardly_any);
	w.disk.later = true;
	(void)post(&w, VIRTIO_BLK_T_IN, 0, 4096);
	big = post(&w, VIRTIO_BLK_T_IN, 0, 4096);
	small = post(&w, VIRTIO_BLK_T_IN, 8, 0);	/* needs none */
	run(&w);
	assert_int_equal(w.disk.lent, 1);
	w.rig.gm.max_holds = 1;
	vdev_drain(w.vdev);
	rig_run(&w.rig);
	assert_int_equal(w.disk.lent, 1);
	assert_no_answer(&w, 0);
	fake_disk_complete(&w.disk, 0, 0);
	rig_run(&w.rig);
	w.ring[0].used_idx++;
	assert_int_equal(status_of(&w, &small), VIRTIO_BLK_S_OK);
	assert_answer(&w, 0, &small, VIRTIO_BLK_S_OK, 1);
	finish(&w, 0);
	assert_answer(&w, 0, &big, VIRTIO_BLK_S_OK, 4097);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_config),
	cmocka_unit_test(test_depth),
	cmocka_unit_test(test_in_place),
	cmocka_unit_test(test_bounced),
	cmocka_unit_test(test_framing),
	cmocka_unit_test(test_header_once),
	cmocka_unit_test(test_ranges),
	cmocka_unit_test(test_too_long),
	cmocka_unit_test(test_pieces),
	cmocka_unit_test(test_scraps),
	cmocka_unit_test(test_errors),
	cmocka_unit_test(test_error_leaks_nothing),
	cmocka_unit_test(test_data_not_in_memory),
	cmocka_unit_test(test_data_vanishes),
	cmocka_unit_test(test_header_or_status_not_in_memory),
	cmocka_unit_test(test_no_room),
	cmocka_unit_test(test_unknown_types),
	cmocka_unit_test(test_get_id),
	cmocka_unit_test(test_no_serial),
	cmocka_unit_test(test_flush),
	cmocka_unit_test(test_write_back_toggle),
	cmocka_unit_test(test_no_flush_is_write_through),
	cmocka_unit_test(test_write_through),
	cmocka_unit_test(test_read_only),
	cmocka_unit_test(test_range_kinds),
	cmocka_unit_test(test_range_limit),
	cmocka_unit_test(test_range_blocks),
	cmocka_unit_test(test_range_list),
	cmocka_unit_test(test_range_lengths),
	cmocka_unit_test(test_batch),
	cmocka_unit_test(test_budget),
	cmocka_unit_test(test_more_meanwhile),
	cmocka_unit_test(test_pool_exhausted),
	cmocka_unit_test(test_holds_exhausted),
	cmocka_unit_test(test_held_by_others),
	cmocka_unit_test(test_bad_one_waits),
	cmocka_unit_test(test_requests_exhausted),
	cmocka_unit_test(test_linger),
	cmocka_unit_test(test_linger_ends),
	cmocka_unit_test(test_reset_in_flight),
	cmocka_unit_test(test_reset_while_waiting),
	cmocka_unit_test(test_queue_reset_while_waiting),
	cmocka_unit_test(test_broken_in_flight),
	cmocka_unit_test(test_no_master),
	cmocka_unit_test(test_reset_while_held),
	cmocka_unit_test(test_no_master_while_waiting),
	cmocka_unit_test(test_epoch),
	cmocka_unit_test(test_drain),
	cmocka_unit_test(test_drain_held),
	cmocka_unit_test(test_give_up),
	cmocka_unit_test(test_resize),
	cmocka_unit_test(test_resize_unwatched),
	cmocka_unit_test(test_stats),
	cmocka_unit_test(test_limit),
	cmocka_unit_test(test_limit_in_time),
	cmocka_unit_test(test_limit_ranges),
	cmocka_unit_test(test_limit_reset),
	cmocka_unit_test(test_limit_queue_reset),
	cmocka_unit_test(test_limit_close),
	cmocka_unit_test(test_limit_drain),
	cmocka_unit_test(test_limit_broken),
	cmocka_unit_test(test_limit_no_master),
	cmocka_unit_test(test_limit_give_up),
	cmocka_unit_test(test_limit_behind_waiting),
};

UNIT_MAIN(tests)
