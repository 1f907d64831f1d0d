/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_dma.c: payload, in place and bounced.  The data is compared
 * byte for byte with a model: a copy of the guest's memory and the list of
 * segments.
 */
#include <errno.h>
#include <stdbool.h>

#include "dma.h"
#include "fake_xen.h"
#include "mem.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

#define PAGE		4096u
#define CHUNK		0x200000ull
#define RAM		(CHUNK - 0x80000)	/* crosses into a 2nd chunk */
#define RAM_BYTES	0x200000u
#define POOL_BYTES	(4u << 20)		/* dma.c's */
#define MAX_SEGS	700u
#define GRANT		GUEST_ADDR_GRANT
#define PAGES		(RAM_BYTES / PAGE)

static struct fixture {
	struct fake_guest	g;
	struct dma_space	*ds;
	struct dma_op		op;
	uint8_t			*model;		/* the guest's RAM */
	struct dma_seg		seg[MAX_SEGS];
	struct dma_cursor	cur;
	unsigned int		kinds;		/* that random_segs() uses */
	size_t			grant_map;	/* if not 0 */
} fix;

static uint64_t rng;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % below;
}

/*
 * The whole RAM is granted too, in another order: from reference 1 on.  Where
 * in RAM an address is:
 */
static uint64_t plain(uint64_t addr)
{
	uint64_t ref = (addr & ~GRANT) / PAGE;

	if (!(addr & GRANT))
		return addr;
	return RAM + (ref * 389 + 7) % PAGES * PAGE + addr % PAGE;
}

static int start(void **state, unsigned int serves)
{
	struct fixture *f = &fix;
	unsigned int i;

	rng = 0x9e3779b97f4a7c15;
	memset(f, 0, sizeof(*f));
	f->kinds = GUEST_PLAIN;
	f->grant_map = 0x10000;
	fake_guest_open_as(&f->g, serves);
	fake_ram_add(RAM / PAGE, PAGES);
	for (i = 0; i < 2 * PAGES; i++)
		fake_grant(i + 1, plain(GRANT | (i + 1ull) * PAGE) / PAGE,
			   false);
	f->model = test_malloc(RAM_BYTES);
	for (i = 0; i < RAM_BYTES; i++)
		f->model[i] = (uint8_t)rnd(256);
	fake_ram_write(RAM, f->model, RAM_BYTES);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return start(state, GUEST_PLAIN);
}

static int setup_both(void **state)
{
	return start(state, GUEST_PLAIN | GUEST_GRANTS);
}

static int setup_grants(void **state)
{
	return start(state, GUEST_GRANTS);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dma_close(f->ds);
	test_free(f->model);
	fake_guest_close(&f->g);
	return 0;
}

static void space(struct fixture *f, bool bounce, unsigned int unit)
{
	dma_close(f->ds);
	f->ds = NULL;
	assert_int_equal(dma_open(f->g.gm, bounce, unit, &f->ds), 0);
	if (f->grant_map)
		dma_set_grant_map(f->ds, f->grant_map);
}

/* What is to be copied from the guest is there when this returns. */
static int map(struct fixture *f, struct dma_op *op, struct dma_cursor *cur,
	       enum dma_dir dir)
{
	struct guest_batch batch = { .to_guest = false };
	int r;

	r = dma_map(f->ds, op, cur, dir, &batch);
	guest_batch_run(f->g.gm, &batch);
	return r;
}

/* Return: whether what was to be delivered was. */
static int unmap(struct fixture *f, struct dma_op *op, bool deliver)
{
	struct guest_batch batch = { .to_guest = true };

	if (deliver)
		dma_deliver(f->ds, op, &batch);
	guest_batch_run(f->g.gm, &batch);
	dma_unmap(f->ds, op);
	return op->err;
}

static void one_seg(struct fixture *f, uint64_t addr, uint32_t len)
{
	f->seg[0] = (struct dma_seg){ addr, len };
	f->cur = (struct dma_cursor){ f->seg, 1, 0 };
}

/* @n segments of @len bytes each, none a neighbour of the next. */
static void scraps(struct fixture *f, unsigned int n, uint32_t len)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		f->seg[i] = (struct dma_seg){
			RAM + (uint64_t)(i * 37 % 509) * PAGE + 8, len };
	f->cur = (struct dma_cursor){ f->seg, n, 0 };
}

static size_t iov_bytes(const struct dma_op *op)
{
	size_t sum = 0;
	int i;

	assert_true(op->iovcnt > 0 && op->iovcnt <= (int)DMA_MAX_IOV);
	for (i = 0; i < op->iovcnt; i++) {
		assert_true(op->iov[i].iov_len > 0);
		sum += op->iov[i].iov_len;
	}
	return sum;
}

/* ---- the model ---- */

/* The guest's bytes from @cur on, @n of them. */
static void model_copy(struct fixture *f, struct dma_cursor cur, uint8_t *buf,
		       size_t n, bool to_guest)
{
	uint8_t *p;

	for (; n; n--, buf++) {
		p = &f->model[plain(cur.seg->addr + cur.off) - RAM];
		if (to_guest)
			*p = *buf;
		else
			*buf = *p;
		if (++cur.off == cur.seg->len) {
			cur.seg++;
			cur.nseg--;
			cur.off = 0;
		}
	}
}

static void expect_model(struct fixture *f)
{
	uint8_t *ram = test_malloc(RAM_BYTES);

	fake_ram_read(RAM, ram, RAM_BYTES);
	assert_memory_equal(ram, f->model, RAM_BYTES);
	test_free(ram);
}

/* What a backend does with a piece: byte by byte, and spoils the list. */
static void backend(struct dma_op *op, uint8_t *buf, bool fill)
{
	int i;

	for (i = 0; i < op->iovcnt; i++) {
		if (fill)
			memcpy(op->iov[i].iov_base, buf, op->iov[i].iov_len);
		else
			memcpy(buf, op->iov[i].iov_base, op->iov[i].iov_len);
		buf += op->iov[i].iov_len;
	}
	memset(op->iov, 0xff, sizeof(op->iov));
	op->iovcnt = -1;
}

/* The next piece, checked.  Return: its bytes. */
static size_t piece(struct fixture *f, enum dma_dir dir, unsigned int unit)
{
	struct dma_cursor before = f->cur;
	uint8_t *got, *want;
	size_t n, i;

	assert_int_equal(map(f, &f->op, &f->cur, dir), 0);
	n = f->op.bytes;
	assert_true(n > 0 && n <= DMA_MAX_BYTES && n % unit == 0);
	assert_int_equal(iov_bytes(&f->op), n);

	got = test_malloc(n);
	want = test_malloc(n);
	if (dir == DMA_FROM_GUEST) {
		model_copy(f, before, want, n, false);
		backend(&f->op, got, false);
		assert_memory_equal(got, want, n);
	} else {
		for (i = 0; i < n; i++)
			want[i] = (uint8_t)rnd(256);
		backend(&f->op, want, true);
		model_copy(f, before, want, n, true);
	}
	assert_int_equal(unmap(f, &f->op, true), 0);
	test_free(got);
	test_free(want);
	return n;
}

/* Anything up to 3 MiB, in segments of any size that add up to units. */
static size_t random_segs(struct fixture *f, unsigned int unit)
{
	unsigned int n = 1 + rnd(40), i;
	uint32_t max = rnd(3) ? 20000 : 300, len;
	size_t sum = 0;

	for (i = 0; i < n; i++) {
		len = 1 + rnd(max);
		if (i == n - 1)
			len += unit - (uint32_t)((sum + len) % unit);
		if (f->kinds == GUEST_PLAIN || (f->kinds != GUEST_GRANTS &&
						rnd(2)))
			f->seg[i].addr = RAM + rnd(RAM_BYTES - len);
		else
			f->seg[i].addr = GRANT + PAGE + rnd(RAM_BYTES);
		f->seg[i].len = len;
		sum += len;
	}
	f->cur = (struct dma_cursor){ f->seg, n, 0 };
	return sum;
}

static void random_ops(struct fixture *f, bool bounce, unsigned int unit)
{
	unsigned int round;
	enum dma_dir dir;
	size_t left;

	space(f, bounce, unit);
	for (round = 0; round < 40; round++) {
		/* Of both kinds, who overlaps whom first is undefined. */
		dir = rnd(2) && f->kinds != (GUEST_PLAIN | GUEST_GRANTS) ?
			DMA_TO_GUEST : DMA_FROM_GUEST;
		for (left = random_segs(f, unit); left;)
			left -= piece(f, dir, unit);
		assert_int_equal(f->cur.nseg, 0);
		if (round % 16 == 0)
			guest_mem_invalidate(f->g.gm);
		if (round % 4 == 0)
			fake_turn(f->g.loop);
		if (round % 20 == 0)
			expect_model(f);
	}
	expect_model(f);
}

static void test_random_in_place(void **state)
{
	random_ops(*state, false, 1);
	random_ops(*state, false, 512);
	random_ops(*state, false, 4096);
}

static void test_random_bounced(void **state)
{
	random_ops(*state, true, 1);
	random_ops(*state, true, 512);
	random_ops(*state, true, 4096);
}

/* Granted, all sizes in place, or those above a threshold; or of both kinds. */
static void test_random_grants(void **state)
{
	struct fixture *f = *state;

	f->kinds = GUEST_GRANTS;
	f->grant_map = 1;
	random_ops(f, false, 1);
	f->grant_map = 0x10000;
	random_ops(f, false, 512);
	random_ops(f, true, 4096);
	assert_int_equal(fake.granted, 0);
}

static void test_random_mixed(void **state)
{
	struct fixture *f = *state;

	f->kinds = GUEST_PLAIN | GUEST_GRANTS;
	random_ops(f, false, 1);
	random_ops(f, true, 512);
	f->seg[0] = (struct dma_seg){ GRANT + PAGE + 100, 2 * PAGE };
	f->seg[1] = (struct dma_seg){ RAM + 100, 3 * PAGE };
	f->seg[2] = (struct dma_seg){ GRANT + 4 * PAGE + 50, 3 * PAGE };
	f->cur = (struct dma_cursor){ f->seg, 3, 0 };
	assert_int_equal(piece(f, DMA_TO_GUEST, 512), 8 * PAGE);
	expect_model(f);
	assert_int_equal(fake.granted, 0);
}

/* ---- what becomes of what ---- */

enum { HELD = 1, MAPPED, COPIED };

static unsigned int how(const struct dma_op *op)
{
	return op->hold ? HELD : op->grants.pages ? MAPPED :
		op->bounced ? COPIED : 0;
}

/* The table in dma.c. */
static void test_decisions(void **state)
{
	static const struct {
		bool		bounce;
		uint64_t	first, second;		/* addresses */
		uint32_t	len;			/* of each */
		unsigned int	how, granted;		/* pages */
	} c[] = {
		{ false, RAM, RAM + 8 * PAGE, 1024, HELD, 0 },
		{ false, RAM, RAM + 32 * PAGE, 0x10000, HELD, 0 },
		{ true, RAM, RAM + 32 * PAGE, 0x10000, COPIED, 0 },
		{ false, GRANT + PAGE, GRANT + 9 * PAGE, 1024, COPIED, 0 },
		{ false, GRANT + PAGE, GRANT + 32 * PAGE, 0x7e00, COPIED, 0 },
		{ false, GRANT + PAGE, GRANT + 32 * PAGE, 0x8000, MAPPED, 16 },
		{ false, GRANT + PAGE + 8, GRANT + 32 * PAGE - 8, 0x8000,
		  MAPPED, 18 },
		{ true, GRANT + PAGE, GRANT + 32 * PAGE, 0x10000, COPIED, 0 },
		{ false, GRANT + PAGE, RAM, 0x10000, COPIED, 0 },
		{ false, RAM, GRANT + PAGE, 0x10000, COPIED, 0 },
	};
	struct fixture *f = *state;
	unsigned int i, dir;

	for (i = 0; i < ARRAY_SIZE(c); i++) {
		space(f, c[i].bounce, 512);
		for (dir = DMA_TO_GUEST; dir <= DMA_FROM_GUEST; dir++) {
			f->seg[0] = (struct dma_seg){ c[i].first, c[i].len };
			f->seg[1] = (struct dma_seg){ c[i].second, c[i].len };
			f->cur = (struct dma_cursor){ f->seg, 2, 0 };
			assert_int_equal(map(f, &f->op, &f->cur, dir), 0);
			assert_int_equal(how(&f->op), c[i].how);
			assert_int_equal(fake.granted, c[i].granted);
			assert_int_equal(f->op.bytes, 2 * c[i].len);
			dma_unmap(f->ds, &f->op);
			assert_int_equal(fake.granted, 0);
		}
	}
}

/* A space that serves no plain addresses, and one that serves no grants. */
static void test_not_served(void **state)
{
	struct fixture *f = *state;
	bool grants = guest_mem_serves(f->g.gm) == GUEST_GRANTS;
	unsigned int bounce;

	for (bounce = 0; bounce < 2; bounce++) {
		space(f, bounce, 512);
		one_seg(f, grants ? RAM : GRANT + PAGE, 0x20000);
		assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST),
				 -EFAULT);
		assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST),
				 -EFAULT);
		f->seg[1] = (struct dma_seg){ grants ? GRANT + PAGE : RAM, 512 };
		f->cur = (struct dma_cursor){ f->seg, 2, 0 };
		assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST),
				 -EFAULT);
		assert_int_equal(f->cur.nseg, 2);
	}
}

/* More pages than are mapped at once: a piece. */
static void test_many_refs(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	f->grant_map = 4096;
	space(f, false, 512);
	for (i = 0; i < 200; i++)		/* of two pages each */
		f->seg[i] = (struct dma_seg){
			GRANT + (2 * i + 1) * PAGE + PAGE - 512, 1024 };
	f->cur = (struct dma_cursor){ f->seg, 200, 0 };
	assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST), 0);
	assert_int_equal(f->op.bytes, GUEST_MAX_REFS / 2 * 1024);
	assert_int_equal(fake.granted, GUEST_MAX_REFS);
	assert_int_equal(unmap(f, &f->op, false), 0);
	assert_int_equal(piece(f, DMA_FROM_GUEST, 512),
			 (200 - GUEST_MAX_REFS / 2) * 1024);
	assert_int_equal(f->cur.nseg, 0);
}

/* No room to map: what can be copied is copied. */
static void test_no_room_to_map(void **state)
{
	struct fixture *f = *state;

	space(f, false, 512);
	fake.max_granted = 8;
	one_seg(f, GRANT + PAGE, 0x20000);
	assert_int_equal(piece(f, DMA_FROM_GUEST, 512), 0x20000);
	assert_true(f->op.bounced);
	one_seg(f, GRANT + PAGE, 0x20000);
	assert_int_equal(piece(f, DMA_TO_GUEST, 512), 0x20000);
	expect_model(f);
}

/* In the middle of what is to be read, or written, one is wrong. */
static void test_bad_refs(void **state)
{
	struct fixture *f = *state;
	struct dma_cursor before;
	unsigned int i;

	fake_revoke(9);
	for (i = 0; i < 2; i++) {
		space(f, i, 512);
		one_seg(f, GRANT + PAGE, 0x20000);
		before = f->cur;
		if (!i) {			/* mapped: it is known */
			assert_int_equal(map(f, &f->op, &f->cur,
					     DMA_FROM_GUEST), -EFAULT);
			assert_int_equal(map(f, &f->op, &f->cur,
					     DMA_TO_GUEST), -EFAULT);
			assert_memory_equal(&f->cur, &before, sizeof(before));
			continue;
		}
		assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST), 0);
		assert_true(f->op.filling);
		assert_int_equal(f->op.err, -EFAULT);
		assert_int_equal(unmap(f, &f->op, false), -EFAULT);
		f->cur = before;
		assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
		assert_int_equal(unmap(f, &f->op, true), -EFAULT);
	}
	assert_int_equal(fake.granted, 0);

	/* A reference that does not exist, at the end of all of them. */
	space(f, false, 512);
	one_seg(f, GRANT + (uint64_t)UINT32_MAX * PAGE, 0x20000);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST), -EFAULT);
}

/* Mapped to be read only; to be written, where that is not granted, never. */
static void test_readonly_refs(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 1; i <= 32; i++) {
		fake_revoke(i);
		fake_grant(i, plain(GRANT | (uint64_t)i * PAGE) / PAGE, true);
	}
	space(f, false, 512);
	one_seg(f, GRANT + PAGE, 0x20000);
	assert_int_equal(piece(f, DMA_FROM_GUEST, 512), 0x20000);
	assert_false(f->op.bounced);
	one_seg(f, GRANT + PAGE, 0x20000);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	memset(f->op.iov[0].iov_base, 0x5a, f->op.iov[0].iov_len);
	assert_int_equal(unmap(f, &f->op, true), -EFAULT);
	expect_model(f);
}

/* Revoked between the request and its answer: an error, and nothing else. */
static void test_revoked_meanwhile(void **state)
{
	struct fixture *f = *state;

	space(f, true, 512);
	one_seg(f, GRANT + PAGE, 2 * PAGE);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	fake_revoke(1);
	fake_revoke(2);
	assert_int_equal(unmap(f, &f->op, true), -EFAULT);
	expect_model(f);
}

/* ---- pieces ---- */

static void test_large(void **state)
{
	struct fixture *f = *state;
	unsigned int bounce;

	for (bounce = 0; bounce < 2; bounce++) {
		space(f, bounce, 512);
		/* 2.5 MiB out of overlapping segments. */
		f->seg[0] = (struct dma_seg){ RAM + 512, 0x180000 - 512 };
		f->seg[1] = (struct dma_seg){ RAM, 0x100000 + 512 };
		f->cur = (struct dma_cursor){ f->seg, 2, 0 };
		assert_int_equal(piece(f, DMA_FROM_GUEST, 512), DMA_MAX_BYTES);
		assert_ptr_equal(f->cur.seg, f->seg);
		assert_int_equal(f->cur.off, DMA_MAX_BYTES);
		assert_int_equal(piece(f, DMA_TO_GUEST, 512), DMA_MAX_BYTES);
		assert_ptr_equal(f->cur.seg, f->seg + 1);
		assert_int_equal(piece(f, DMA_TO_GUEST, 512), 0x80000);
		assert_int_equal(f->cur.nseg, 0);
		expect_model(f);
	}
}

/* More scraps than a list has room for: whole units of what fits. */
static void test_scraps_in_place(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	space(f, false, 512);
	scraps(f, 700, 128);
	for (i = 0; i < 2; i++) {
		assert_int_equal(piece(f, DMA_FROM_GUEST, 512),
				 DMA_MAX_IOV * 128 / 512 * 512);
		assert_int_equal(f->cur.nseg, 700 - 260 * (i + 1));
	}
	assert_int_equal(piece(f, DMA_FROM_GUEST, 512), 180 * 128);
	assert_int_equal(f->cur.nseg, 0);

	space(f, false, 4096);
	scraps(f, 512, 200);			/* 260 of them: 12.7 pages */
	assert_int_equal(piece(f, DMA_TO_GUEST, 4096), 12 * PAGE);
	assert_int_equal(f->cur.nseg, 512 - 245);	/* in the middle */
	assert_int_equal(f->cur.off, 12 * PAGE - 245 * 200);
	assert_int_equal(piece(f, DMA_TO_GUEST, 4096), 12 * PAGE);
	assert_int_equal(piece(f, DMA_TO_GUEST, 4096), PAGE);
	assert_int_equal(f->cur.nseg, 0);
	expect_model(f);
}

/* So small that not one unit comes together. */
static void test_scraps_too_small(void **state)
{
	struct fixture *f = *state;
	struct dma_cursor before;

	space(f, false, 512);
	scraps(f, 512, 1);
	before = f->cur;
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST),
			 -E2BIG);
	assert_memory_equal(&f->cur, &before, sizeof(before));

	/* Bounced, any number of them will do. */
	space(f, true, 512);
	f->cur = before;
	assert_int_equal(piece(f, DMA_TO_GUEST, 512), 512);
	expect_model(f);

	/* But less than a unit is less. */
	one_seg(f, RAM, 511);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST),
			 -E2BIG);
	space(f, false, 512);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST),
			 -E2BIG);
	assert_int_equal(f->cur.off, 0);
}

/* In place means in place; bounced, aligned, and in few entries. */
static void test_where(void **state)
{
	struct fixture *f = *state;
	uint8_t b = 0;

	space(f, false, 512);
	one_seg(f, CHUNK - 1024, 2048);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST), 0);
	assert_int_equal(f->op.iovcnt, 2);
	assert_int_equal((uintptr_t)f->op.iov[0].iov_base % PAGE, PAGE - 1024);
	*(uint8_t *)f->op.iov[0].iov_base ^= 0xff;
	fake_ram_read(CHUNK - 1024, &b, 1);
	assert_int_equal(b, f->model[CHUNK - 1024 - RAM] ^ 0xff);
	assert_int_equal(unmap(f, &f->op, false), 0);

	space(f, true, 512);
	one_seg(f, CHUNK - 1024, 0x100000);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_FROM_GUEST), 0);
	assert_int_equal(f->op.iovcnt, 1);
	assert_int_equal((uintptr_t)f->op.iov[0].iov_base % PAGE, 0);
	*(uint8_t *)f->op.iov[0].iov_base ^= 0x55;
	fake_ram_read(CHUNK - 1024, &b, 1);
	assert_int_equal(b, f->model[CHUNK - 1024 - RAM] ^ 0xff);
	assert_int_equal(unmap(f, &f->op, true), 0);	/* not for us */
	fake_ram_read(CHUNK - 1024, &b, 1);
	assert_int_equal(b, f->model[CHUNK - 1024 - RAM] ^ 0xff);
}

/* A pool in disorder: entries of single pages, and nothing lost. */
static void test_pool_in_disorder(void **state)
{
	struct fixture *f = *state;
	static struct dma_op op[64];
	struct dma_cursor at;
	unsigned int i;

	space(f, true, 512);
	one_seg(f, RAM, 0x100000);
	for (i = 0; i < 64; i++) {
		at = (struct dma_cursor){ f->seg, 1, i * 0x4000 };
		f->seg[0].len = (i + 1) * 0x4000;
		assert_int_equal(map(f, &op[i], &at, DMA_FROM_GUEST),
				 0);
	}
	for (i = 0; i < 64; i++)
		assert_int_equal(unmap(f, &op[i * 29 % 64], false), 0);
	for (i = 0; i < 4; i++) {
		one_seg(f, RAM + i * PAGE, 0x100000);
		assert_int_equal(piece(f, DMA_TO_GUEST, 512), 0x100000);
	}
	expect_model(f);
}

/* ---- delivery ---- */

static void test_not_delivered(void **state)
{
	struct fixture *f = *state;

	space(f, true, 512);
	one_seg(f, RAM + 100, 4096);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	memset(f->op.iov[0].iov_base, 0x5a, 4096);
	assert_int_equal(unmap(f, &f->op, false), 0);
	expect_model(f);
}

static void test_undeliverable(void **state)
{
	struct fixture *f = *state;
	uint8_t got[2 * PAGE];

	space(f, true, 512);
	one_seg(f, RAM, 3 * PAGE);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	memset(f->op.iov[0].iov_base, 0x5a, 3 * PAGE);
	fake_ram_del(RAM / PAGE + 2, 1);	/* ballooned out meanwhile */
	guest_mem_invalidate(f->g.gm);
	assert_int_equal(unmap(f, &f->op, true), -EFAULT);
	fake_ram_read(RAM, got, sizeof(got));
	assert_int_equal(got[0], 0x5a);
	assert_int_equal(got[sizeof(got) - 1], 0x5a);
	/* Its pages are back; dma_close() would say so. */
}

/* In place, what was mapped stays until it is unmapped. */
static void test_invalidate_under_way(void **state)
{
	struct fixture *f = *state;
	char *p;

	space(f, false, 512);
	one_seg(f, RAM, PAGE);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	p = f->op.iov[0].iov_base;
	fake_ram_del(RAM / PAGE, 1);
	guest_mem_invalidate(f->g.gm);
	fake_turn(f->g.loop);
	memset(p, 1, PAGE);
	assert_int_equal(unmap(f, &f->op, true), 0);
	fake_turn(f->g.loop);
	assert_int_equal(fake.maps, 0);
}

/* ---- no room ---- */

static void test_pool_exhausted(void **state)
{
	struct fixture *f = *state;
	static struct dma_op op[5];
	struct dma_cursor before;
	unsigned int i;

	space(f, true, 512);
	for (i = 0; i < 4; i++) {
		one_seg(f, RAM, DMA_MAX_BYTES);
		assert_int_equal(map(f, &op[i], &f->cur,
					 i & 1 ? DMA_TO_GUEST :
					 DMA_FROM_GUEST), 0);
	}
	one_seg(f, RAM, 512);
	before = f->cur;
	for (i = 0; i < 3; i++) {
		assert_int_equal(map(f, &op[4], &f->cur,
					 DMA_FROM_GUEST), -EAGAIN);
		assert_memory_equal(&f->cur, &before, sizeof(before));
	}
	assert_int_equal(unmap(f, &op[0], false), 0);
	assert_int_equal(map(f, &op[4], &f->cur, DMA_FROM_GUEST), 0);
	one_seg(f, RAM, DMA_MAX_BYTES);		/* a page too much */
	assert_int_equal(map(f, &op[0], &f->cur, DMA_FROM_GUEST),
			 -EAGAIN);
	one_seg(f, RAM, DMA_MAX_BYTES - PAGE);
	assert_int_equal(map(f, &op[0], &f->cur, DMA_FROM_GUEST), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(unmap(f, &op[i], false), 0);
	expect_model(f);
}

/* In place it is mappings that run out: each op spans 260 of them. */
static void test_maps_exhausted(void **state)
{
	struct fixture *f = *state;
	static struct dma_op op[8];
	unsigned int i, n;

	for (i = 0; i < DMA_MAX_IOV; i++) {
		f->seg[i] = (struct dma_seg){ (i + 8) * CHUNK, 512 };
		fake_ram_add(f->seg[i].addr / PAGE, 1);
	}
	space(f, false, 512);
	for (n = 0; n < 8; n++) {
		f->cur = (struct dma_cursor){ f->seg, DMA_MAX_IOV, 0 };
		if (map(f, &op[n], &f->cur, DMA_FROM_GUEST) < 0)
			break;
		assert_int_equal(op[n].bytes, DMA_MAX_IOV * 512);
		guest_mem_invalidate(f->g.gm);
	}
	assert_int_equal(n, 7);
	assert_int_equal(map(f, &op[n], &f->cur, DMA_FROM_GUEST),
			 -EAGAIN);
	assert_int_equal(f->cur.nseg, DMA_MAX_IOV);
	assert_int_equal(unmap(f, &op[3], true), 0);
	assert_int_equal(map(f, &op[3], &f->cur, DMA_FROM_GUEST), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(unmap(f, &op[i], true), 0);
}

/* ---- addresses that are not there ---- */

static void test_bad_segments(void **state)
{
	static const struct dma_seg bad[] = {
		{ 0, 512 },				/* a hole */
		{ RAM - 512, 1024 },			/* runs out of one */
		{ RAM + RAM_BYTES - 512, 1024 },	/* into one */
		{ UINT64_MAX - 511, 512 },		/* the end of all */
		{ UINT64_MAX - 3, 512 },		/* wraps */
		{ 1ull << 63, 512 },			/* a grant */
		{ RAM, UINT32_MAX & ~511u },		/* rather long */
	};
	struct fixture *f = *state;
	struct dma_cursor before;
	unsigned int i, bounce;

	for (bounce = 0; bounce < 2; bounce++) {
		space(f, bounce, 512);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			f->seg[0] = (struct dma_seg){ RAM, 16 * PAGE };
			f->seg[1] = bad[i];
			f->seg[2] = (struct dma_seg){ RAM, 512 };
			f->cur = (struct dma_cursor){ f->seg, 3, 0 };
			while (bad[i].addr == RAM &&	/* good at first */
			       f->cur.off < RAM_BYTES - DMA_MAX_BYTES)
				(void)piece(f, DMA_FROM_GUEST, 512);
			before = f->cur;
			assert_int_equal(map(f, &f->op, &f->cur,
						 DMA_FROM_GUEST), -EFAULT);
			assert_memory_equal(&f->cur, &before, sizeof(before));
		}
		/* Nothing of them is still in use: there is room for all. */
		fake_turn(f->g.loop);
		for (i = 0; i < 4; i++) {
			one_seg(f, RAM, DMA_MAX_BYTES);
			(void)piece(f, DMA_FROM_GUEST, 512);
		}
	}
	expect_model(f);
}

/* Bounced, the guest's answer comes too late to fail the mapping. */
static void test_bad_segment_to_guest(void **state)
{
	struct fixture *f = *state;

	space(f, true, 512);
	one_seg(f, 0, 512);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST), 0);
	assert_int_equal(unmap(f, &f->op, true), -EFAULT);
	space(f, false, 512);
	one_seg(f, 0, 512);
	assert_int_equal(map(f, &f->op, &f->cur, DMA_TO_GUEST),
			 -EFAULT);
}

static void test_no_memory(void **state)
{
	struct fixture *f = *state;

	assert_null(f->ds);
	fake_fail(FAKE_CALLOC, 1, 1, ENOMEM);
	assert_int_equal(dma_open(f->g.gm, true, 512, &f->ds), -ENOMEM);
	fake_fail(FAKE_MMAP, 1, 1, ENOMEM);
	assert_int_equal(dma_open(f->g.gm, true, 512, &f->ds), -ENOMEM);
	assert_null(f->ds);
	fake_fail(FAKE_MMAP, 1, 1, ENOMEM);	/* is for the pool alone */
	assert_int_equal(dma_open(f->g.gm, false, 512, &f->ds), 0);
	fake_fail(FAKE_MMAP, 1, 0, 0);
	dma_close(NULL);
}

#define DMA_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

#define DMA_GRANTS(fn, how) \
	cmocka_unit_test_setup_teardown(fn, setup_##how, teardown)

static const struct CMUnitTest tests[] = {
	DMA_TEST(test_random_in_place),
	DMA_TEST(test_random_bounced),
	DMA_GRANTS(test_random_grants, both),
	DMA_GRANTS(test_random_mixed, both),
	DMA_GRANTS(test_decisions, both),
	DMA_GRANTS(test_not_served, grants),
	DMA_TEST(test_not_served),
	DMA_GRANTS(test_many_refs, grants),
	DMA_GRANTS(test_no_room_to_map, grants),
	DMA_GRANTS(test_bad_refs, both),
	DMA_GRANTS(test_readonly_refs, both),
	DMA_GRANTS(test_revoked_meanwhile, grants),
	DMA_TEST(test_large),
	DMA_TEST(test_scraps_in_place),
	DMA_TEST(test_scraps_too_small),
	DMA_TEST(test_where),
	DMA_TEST(test_pool_in_disorder),
	DMA_TEST(test_not_delivered),
	DMA_TEST(test_undeliverable),
	DMA_TEST(test_invalidate_under_way),
	DMA_TEST(test_pool_exhausted),
	DMA_TEST(test_maps_exhausted),
	DMA_TEST(test_bad_segments),
	DMA_TEST(test_bad_segment_to_guest),
	DMA_TEST(test_no_memory),
};

UNIT_MAIN(tests)
