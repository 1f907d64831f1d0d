/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_foreign.c: guest memory.  What is seen, what is mapped for it,
 * for how long, and how much at most.
 */
#include <errno.h>
#include <stdbool.h>

#include "fake_xen.h"
#include "mem.h"
#include "log.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

#define PAGE		4096u
#define CHUNK		0x200000ull	/* what is mapped at once */
#define CHUNK_PAGES	512u
#define CACHE_CHUNKS	1024u		/* foreign.c's limits */
#define TOTAL_CHUNKS	2048u
#define HOLD_CHUNKS	260u
#define GRANT		(1ull << 63)

static struct fake_guest guest;

static int setup(void **state)
{
	log_init("t", false);
	fake_guest_open(&guest);
	*state = &guest;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_guest_close(&guest);
	return 0;
}

static void pattern(uint8_t *b, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = (uint8_t)(seed + i * 13 + (i >> 7));
}

/* One page of the guest in each of @n chunks, with its number in it. */
static uint64_t lone_addr(unsigned int i)
{
	return i * CHUNK + (uint64_t)(i % CHUNK_PAGES) * PAGE;
}

static void lone_pages(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		fake_ram_add(lone_addr(i) / PAGE, 1);
		fake_ram_write(lone_addr(i) + 8, &i, sizeof(i));
	}
}

static void expect_lone(unsigned int i)
{
	unsigned int v = ~i;

	assert_int_equal(guest_mem_read(guest.gm, &v, lone_addr(i) + 8,
					sizeof(v)), 0);
	assert_int_equal(v, i);
}

/* One iov of a lone page in a hold.  Return: the bytes, as they are seen. */
static const unsigned int *see_lone(struct guest_hold *h, unsigned int i)
{
	struct iovec iov;
	size_t n = 0;

	assert_int_equal(guest_mem_iov(guest.gm, h, lone_addr(i) + 8,
				       sizeof(i), &iov, 1, &n), 1);
	assert_int_equal(n, sizeof(i));
	assert_int_equal(iov.iov_len, sizeof(i));
	assert_int_equal(*(unsigned int *)iov.iov_base, i);
	return iov.iov_base;
}

/* ---- copies ---- */

static void test_copies(void **state)
{
	size_t len = 2 * CHUNK + 12345, i;
	uint64_t addr = 5 * CHUNK - 777;
	uint8_t *a = test_malloc(len), *b = test_malloc(len);

	(void)state;
	fake_ram_add(4 * CHUNK / PAGE, 4 * CHUNK_PAGES);
	pattern(a, len, 3);
	assert_int_equal(guest_mem_write(guest.gm, addr, a, len), 0);
	fake_ram_read(addr, b, len);
	assert_memory_equal(a, b, len);
	memset(b, 0, len);
	assert_int_equal(guest_mem_read(guest.gm, b, addr, len), 0);
	assert_memory_equal(a, b, len);
	assert_int_equal(fake.calls[FAKE_MAP], 4);	/* once per chunk */

	/* Every split of a few bytes over a page's and a chunk's end. */
	for (i = 0; i < 16; i++) {
		uint64_t at = 6 * CHUNK - i, v = 0x0102030405060708ull * i;

		assert_int_equal(guest_mem_write(guest.gm, at, &v, 8), 0);
		fake_ram_read(at, b, 8);
		assert_memory_equal(b, &v, 8);
	}
	assert_int_equal(fake.calls[FAKE_MAP], 4);
	assert_int_equal(guest_mem_read(guest.gm, b, addr, 0), 0);
	test_free(a);
	test_free(b);
}

/* Chunks that share a bucket of the hash. */
static void test_same_bucket(void **state)
{
	unsigned int i, round;

	(void)state;
	for (i = 0; i < 8; i++) {
		fake_ram_add((i * 2048ull + 5) * CHUNK_PAGES, 1);
		fake_ram_write((i * 2048ull + 5) * CHUNK, &i, sizeof(i));
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 8; i++) {
			unsigned int v = 99;

			assert_int_equal(guest_mem_read(guest.gm, &v,
				(i * 2048ull + 5) * CHUNK, sizeof(v)), 0);
			assert_int_equal(v, i);
		}
	}
	assert_int_equal(fake.calls[FAKE_MAP], 8);
}

static void test_bad_addresses(void **state)
{
	static const struct {
		uint64_t addr;
		size_t len;
		int r;			/* of a map */
	} t[] = {
		{ GRANT, 1, -EFAULT }, { GRANT, 0x1000, -EFAULT },
		{ GRANT | 0x123456789000, 8, -EFAULT },
		{ UINT64_MAX, 1, -EFAULT }, { UINT64_MAX, 2, -EINVAL },
		{ UINT64_MAX - 7, 8, -EFAULT }, { GRANT - 1, 2, -EINVAL },
		{ GRANT - 1, SIZE_MAX, -EINVAL }, { 0, SIZE_MAX, -EINVAL },
		{ 1, SIZE_MAX, -EINVAL }, { 0x1000, GRANT, -EINVAL },
	};
	struct guest_hold *h;
	struct guest_map map = { 0 };
	struct iovec iov[4];
	size_t i, n = 77;
	char b[8];

	(void)state;
	fake_ram_add(0, CHUNK_PAGES);
	h = guest_mem_hold(guest.gm);
	assert_non_null(h);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(guest_mem_read(guest.gm, b, t[i].addr,
						t[i].len), -EFAULT);
		assert_int_equal(guest_mem_write(guest.gm, t[i].addr, b,
						 t[i].len), -EFAULT);
		assert_int_equal(guest_mem_iov(guest.gm, h, t[i].addr,
					       t[i].len, iov, 4, &n),
				 -EFAULT);
		assert_int_equal(guest_mem_map(guest.gm, t[i].addr, t[i].len,
					       true, &map), t[i].r);
	}
	assert_int_equal(n, 77);
	assert_null(map.pages);
	assert_int_equal(fake.calls[FAKE_MAP], 0);	/* Xen was not asked */
	guest_mem_release(guest.gm, h);

	/* The very last address there can be, and nobody there. */
	assert_int_equal(guest_mem_read(guest.gm, b, GRANT - 1, 1), -EFAULT);
	fake_ram_add((GRANT - 1) / PAGE, 1);
	assert_int_equal(guest_mem_read(guest.gm, b, GRANT - 1, 1), 0);
}

/* ---- holes ---- */

static void test_holes(void **state)
{
	uint8_t b[3 * PAGE];

	(void)state;
	fake_ram_add(CHUNK_PAGES, CHUNK_PAGES);
	fake_ram_del(CHUNK_PAGES + 3, 1);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK + 2 * PAGE, PAGE),
			 0);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK + 4 * PAGE, PAGE),
			 0);
	assert_int_equal(fake.calls[FAKE_MAP], 1);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK + 3 * PAGE - 1, 2),
			 -EFAULT);
	assert_int_equal(guest_mem_write(guest.gm, CHUNK + 4 * PAGE - 1, b, 2),
			 -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK + 2 * PAGE,
					sizeof(b)), -EFAULT);
	/* It asks again each time, but for that page alone. */
	assert_int_equal(fake.calls[FAKE_MAP], 4);
	assert_int_equal(fake.pages, CHUNK_PAGES);

	/* A chunk of nothing at all. */
	assert_int_equal(guest_mem_read(guest.gm, b, 9 * CHUNK, 1), -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, b, 9 * CHUNK + PAGE, 1),
			 -EFAULT);
}

static void test_page_appears(void **state)
{
	uint64_t addr = CHUNK + 7 * PAGE;
	struct guest_hold *h;
	struct iovec iov[2];
	uint32_t v = 1, *old;
	unsigned int calls;
	size_t n;

	(void)state;
	fake_ram_add(CHUNK_PAGES, CHUNK_PAGES);
	fake_ram_del(CHUNK_PAGES + 7, 2);
	fake_ram_write(CHUNK, &v, sizeof(v));
	h = guest_mem_hold(guest.gm);
	assert_int_equal(guest_mem_iov(guest.gm, h, CHUNK, 4, iov, 2, &n), 1);
	old = iov[0].iov_base;
	assert_int_equal(guest_mem_iov(guest.gm, h, addr, 4, iov, 2, &n),
			 -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, &v, addr, 4), -EFAULT);

	fake_ram_add(CHUNK_PAGES + 7, 1);
	v = 0xfeed;
	fake_ram_write(addr, &v, sizeof(v));
	assert_int_equal(guest_mem_iov(guest.gm, h, addr, 4, iov, 2, &n), 1);
	assert_int_equal(*(uint32_t *)iov[0].iov_base, 0xfeed);
	v = 0;
	assert_int_equal(guest_mem_read(guest.gm, &v, addr, 4), 0);
	assert_int_equal(v, 0xfeed);
	assert_int_equal(*old, 1);	/* lent until the release */

	/* It is known from now on; its neighbour is still not there. */
	calls = fake.calls[FAKE_MAP];
	assert_int_equal(guest_mem_read(guest.gm, &v, addr, 4), 0);
	assert_int_equal(guest_mem_read(guest.gm, &v, CHUNK, 4), 0);
	assert_int_equal(fake.calls[FAKE_MAP], calls);
	assert_int_equal(guest_mem_read(guest.gm, &v, addr + PAGE - 1, 2),
			 -EFAULT);
	*old = 5;
	assert_int_equal(guest_mem_read(guest.gm, &v, CHUNK, 4), 0);
	assert_int_equal(v, 5);		/* both mappings are the same page */
	guest_mem_release(guest.gm, h);
}

/* Several pages of one range appear at once: one mapping for them all. */
static void test_pages_appear(void **state)
{
	uint8_t b[5 * PAGE];

	(void)state;
	fake_ram_add(CHUNK_PAGES, 1);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK, 1), 0);
	fake_ram_add(CHUNK_PAGES, 5);
	assert_int_equal(guest_mem_read(guest.gm, b, CHUNK, sizeof(b)), 0);
	assert_int_equal(fake.calls[FAKE_MAP], 3);	/* with the probe */
	assert_int_equal(fake.pages, 2 * CHUNK_PAGES);
}

/* There when probed, gone when mapped: the guest is at it meanwhile. */
static void test_page_vanishes(void **state)
{
	char b;

	(void)state;
	fake_ram_add(CHUNK_PAGES, 1);
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK, 1), 0);
	fake_ram_add(CHUNK_PAGES + 1, 1);
	fake.vanish_at = fake.calls[FAKE_MAP] + 2;
	fake.vanish_gfn = CHUNK_PAGES + 1;
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK + PAGE, 1),
			 -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK, 1), 0);
}

/* Probed well, and then the host fails. */
static void test_page_flickers(void **state)
{
	struct unit_capture cap;
	char b;

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	fake_ram_add(CHUNK_PAGES, CHUNK_PAGES);
	fake_ram_del(CHUNK_PAGES + 1, 1);
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK, 1), 0);
	fake_ram_add(CHUNK_PAGES + 1, 1);
	fake_fail(FAKE_MAP, 2, 1, ENOMEM);	/* after the probe */
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK + PAGE, 1), 0);
	fake_fail(FAKE_MAP, 2, 2, ENOMEM);
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK + PAGE, 1),
			 -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK + PAGE, 1), 0);
	assert_string_equal(unit_capture_end(&cap),
		"t: d7: cannot map guest memory at 0x200000: Cannot allocate memory\n"
		"t: d7: cannot map guest memory at 0x200000: Cannot allocate memory\n");
}

static unsigned int kernel_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	(void)fclose(f);
	return n;
}

/* A process may have 65530 of them: a guest must not use them up. */
static void test_holes_cost_no_kernel_maps(void **state)
{
	unsigned int i, before;
	char b;

	(void)state;
	assert_int_equal(guest_mem_read(guest.gm, &b, CHUNK, 1), -EFAULT);
	before = kernel_maps();
	for (i = 1; i < CHUNK_PAGES; i += 2)
		assert_int_equal(guest_mem_read(guest.gm, &b,
						CHUNK + i * PAGE, 1),
				 -EFAULT);
	assert_true(kernel_maps() < before + 8);
}

/* ---- the layout changes ---- */

static void test_invalidate_unused(void **state)
{
	unsigned int epoch = guest_mem_epoch(guest.gm), v = 1;

	(void)state;
	fake_ram_add(0, 1);
	fake_ram_write(0, &v, sizeof(v));
	assert_int_equal(guest_mem_read(guest.gm, &v, 0, sizeof(v)), 0);

	fake_ram_del(0, 1);			/* balloon out and in */
	fake_ram_add(0, 1);
	v = 2;
	fake_ram_write(0, &v, sizeof(v));
	assert_int_equal(guest_mem_read(guest.gm, &v, 0, sizeof(v)), 0);
	assert_int_equal(v, 1);			/* stale: hence INVALIDATE */

	guest_mem_invalidate(guest.gm);
	assert_int_not_equal(guest_mem_epoch(guest.gm), epoch);
	assert_int_equal(fake.maps, 1);		/* not while a vCPU waits */
	assert_int_equal(guest_mem_read(guest.gm, &v, 0, sizeof(v)), 0);
	assert_int_equal(v, 2);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 1);
	assert_int_equal(fake.calls[FAKE_UNMAP], 1);

	/* Twice, and with nothing to drop. */
	guest_mem_invalidate(guest.gm);
	guest_mem_invalidate(guest.gm);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 0);
	guest_mem_invalidate(guest.gm);
	assert_int_equal(guest_mem_epoch(guest.gm), epoch + 4);
}

static void test_invalidate_in_use(void **state)
{
	struct guest_hold *a, *b, *c;
	const unsigned int *pa, *pc;
	unsigned int v;

	(void)state;
	lone_pages(2);
	a = guest_mem_hold(guest.gm);
	b = guest_mem_hold(guest.gm);
	assert_ptr_equal(a, b);
	pa = see_lone(a, 1);

	fake_ram_del(lone_addr(1) / PAGE, 1);
	guest_mem_invalidate(guest.gm);
	fake_turn(guest.loop);
	assert_int_equal(*pa, 1);		/* still lent */
	assert_int_equal(guest_mem_read(guest.gm, &v, lone_addr(1), 4),
			 -EFAULT);		/* but not for new ones */
	fake_ram_add(lone_addr(1) / PAGE, 1);
	v = 1;
	fake_ram_write(lone_addr(1) + 8, &v, sizeof(v));
	c = guest_mem_hold(guest.gm);
	assert_ptr_not_equal(a, c);
	pc = see_lone(c, 1);
	assert_ptr_not_equal(pa, pc);

	guest_mem_release(guest.gm, a);
	fake_turn(guest.loop);
	assert_int_equal(*pa, 1);		/* of b, too */
	guest_mem_release(guest.gm, b);
	assert_int_equal(fake.calls[FAKE_UNMAP], 1);	/* the probe's */
	fake_turn(guest.loop);
	assert_int_equal(*pc, 1);
	guest_mem_release(guest.gm, c);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 2);		/* c's cache is the current */
	guest_mem_invalidate(guest.gm);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 0);
}

/* Many generations, released in some other order. */
static void test_many_retired(void **state)
{
	struct guest_hold *h[40];
	const unsigned int *p[40];
	unsigned int i;

	(void)state;
	lone_pages(40);
	for (i = 0; i < 40; i++) {
		h[i] = guest_mem_hold(guest.gm);
		p[i] = see_lone(h[i], i);
		guest_mem_invalidate(guest.gm);
	}
	assert_int_equal(fake.maps, 40);
	for (i = 0; i < 40; i++) {
		assert_int_equal(*p[i * 7 % 40], i * 7 % 40);
		guest_mem_release(guest.gm, h[i * 7 % 40]);
		fake_turn(guest.loop);
		assert_int_equal(fake.maps, 39 - i);
	}
}

/* ---- rings ---- */

static void test_ring(void **state)
{
	uint8_t want[3 * PAGE], *seen;
	struct guest_map map = { 0 };
	uint16_t v;

	(void)state;
	/* Neighbours for the guest, but not in the machine. */
	fake_ram_add(102, 1);
	fake_ram_add(101, 1);
	fake_ram_add(100, 1);
	pattern(want, sizeof(want), 9);
	fake_ram_write(100 * PAGE, want, sizeof(want));

	assert_int_equal(guest_mem_map(guest.gm, 100 * PAGE + 16,
				       2 * PAGE + 100, true, &map), 0);
	assert_int_equal(map.npages, 3);
	seen = test_malloc(2 * PAGE + 100);
	guest_copy_in(seen, map.base, 2 * PAGE + 100);
	assert_memory_equal(seen, want + 16, 2 * PAGE + 100);
	test_free(seen);
	guest_store16((__le16 __guest *)map.base, 0x1234);
	fake_ram_read(100 * PAGE + 16, &v, 2);
	assert_int_equal(v, 0x1234);
	assert_int_equal(guest_load16((__le16 __guest *)map.base), 0x1234);
	guest_mem_unmap(guest.gm, &map);
	assert_null(map.base);
	assert_int_equal(fake.maps, 0);
	guest_mem_unmap(guest.gm, &map);	/* twice is fine */
}

static void test_ring_lengths(void **state)
{
	struct guest_map map;

	(void)state;
	fake_ram_add(0, 32);
	assert_int_equal(guest_mem_map(guest.gm, 0, 0, true, &map), -EINVAL);
	assert_int_equal(guest_mem_map(guest.gm, PAGE - 1, 1, true, &map), 0);
	assert_int_equal(map.npages, 1);
	guest_mem_unmap(guest.gm, &map);
	assert_int_equal(guest_mem_map(guest.gm, PAGE - 1, 2, true, &map), 0);
	assert_int_equal(map.npages, 2);
	guest_mem_unmap(guest.gm, &map);
	assert_int_equal(guest_mem_map(guest.gm, 0, 16 * PAGE, true, &map), 0);
	assert_int_equal(map.npages, 16);
	guest_mem_unmap(guest.gm, &map);
	/* No ring is as long. */
	assert_int_equal(guest_mem_map(guest.gm, 1, 16 * PAGE, true, &map),
			 -EINVAL);
	assert_int_equal(guest_mem_map(guest.gm, 0, GRANT - 1, true, &map),
			 -EINVAL);
}

static void test_ring_hole(void **state)
{
	struct guest_map map = { .npages = 77 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		fake_ram_add(10, 5);
		fake_ram_del(10 + i, 1);
		assert_int_equal(guest_mem_map(guest.gm, 10 * PAGE, 5 * PAGE,
					       true, &map), -EFAULT);
		assert_int_equal(map.npages, 77);	/* untouched */
		assert_int_equal(fake.maps, 0);
	}
	fake_ram_add(10, 5);
	fake_fail(FAKE_MAP, 1, 1, ENOMEM);
	assert_int_equal(guest_mem_map(guest.gm, 10 * PAGE, PAGE, true, &map),
			 -EFAULT);
	assert_int_equal(guest_mem_map(guest.gm, 10 * PAGE, PAGE, true, &map),
			 0);
	/* A ring's mapping is its owner's affair. */
	guest_mem_invalidate(guest.gm);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 1);
	guest_mem_unmap(guest.gm, &map);
}

/* ---- payload ---- */

static void test_iov(void **state)
{
	struct unit_capture cap;
	struct guest_hold *h;
	struct iovec iov[8];
	uint32_t v;
	size_t n;
	int r;

	(void)state;
	fake_ram_add(0, 4 * CHUNK_PAGES);
	h = guest_mem_hold(guest.gm);
	r = guest_mem_iov(guest.gm, h, CHUNK - 100, CHUNK + 200, iov, 8, &n);
	assert_int_equal(r, 3);			/* a chunk is contiguous */
	assert_int_equal(n, CHUNK + 200);
	assert_int_equal(iov[0].iov_len, 100);
	assert_int_equal(iov[1].iov_len, CHUNK);
	assert_int_equal(iov[2].iov_len, 100);
	v = 0xabcd;
	fake_ram_write(2 * CHUNK, &v, sizeof(v));
	assert_int_equal(*(uint32_t *)iov[2].iov_base, 0xabcd);

	/* Less room than pieces: as many as fit, and how far that is. */
	r = guest_mem_iov(guest.gm, h, CHUNK - 100, CHUNK + 200, iov, 2, &n);
	assert_int_equal(r, 2);
	assert_int_equal(n, CHUNK + 100);
	r = guest_mem_iov(guest.gm, h, CHUNK - 100, CHUNK + 200, iov, 0, &n);
	assert_int_equal(r, 0);
	assert_int_equal(n, 0);

	/* A hole anywhere in it. */
	fake_ram_del(3 * CHUNK_PAGES - 1, 1);
	guest_mem_release(guest.gm, h);
	guest_mem_invalidate(guest.gm);
	h = guest_mem_hold(guest.gm);
	n = 5;
	assert_int_equal(guest_mem_iov(guest.gm, h, CHUNK, 2 * CHUNK, iov, 8,
				       &n), -EFAULT);
	assert_int_equal(n, 5);
	unit_capture_start(&cap, STDERR_FILENO);
	fake_fail(FAKE_MAP, 1, 1, ENOMEM);
	r = guest_mem_iov(guest.gm, h, 3 * CHUNK, 4, iov, 8, &n);
	assert_string_equal(unit_capture_end(&cap), "t: d7: cannot map guest memory at 0x600000: Cannot allocate memory\n");
	assert_int_equal(r, -EFAULT);
	assert_int_equal(guest_mem_iov(guest.gm, h, 3 * CHUNK, 4, iov, 8, &n),
			 1);
	guest_mem_release(guest.gm, h);
}

/* ---- limits ---- */

/* One hold cannot span more than a cache has room for. */
static void test_hold_too_far(void **state)
{
	struct guest_hold *h;
	struct iovec iov;
	unsigned int i;
	size_t n;

	(void)state;
	lone_pages(CACHE_CHUNKS + 1);
	h = guest_mem_hold(guest.gm);
	for (i = 0; i < CACHE_CHUNKS; i++)
		(void)see_lone(h, i);
	assert_int_equal(guest_mem_iov(guest.gm, h, lone_addr(i), 4, &iov, 1,
				       &n), -E2BIG);
	(void)see_lone(h, 0);			/* what is there is there */
	expect_lone(i);				/* in a cache of its own */
	(void)see_lone(h, CACHE_CHUNKS - 1);
	guest_mem_release(guest.gm, h);
}

/* A cache is retired before a request could overflow it. */
static void test_retire_when_full(void **state)
{
	struct guest_hold *a, *b;
	unsigned int i;

	(void)state;
	lone_pages(CACHE_CHUNKS);
	a = guest_mem_hold(guest.gm);
	for (i = 0; i <= CACHE_CHUNKS - HOLD_CHUNKS; i++) {
		b = guest_mem_hold(guest.gm);
		assert_ptr_equal(a, b);
		(void)see_lone(b, i);
		guest_mem_release(guest.gm, b);
	}
	b = guest_mem_hold(guest.gm);
	assert_ptr_not_equal(a, b);
	(void)see_lone(a, 0);
	guest_mem_release(guest.gm, b);
	guest_mem_release(guest.gm, a);
	fake_turn(guest.loop);
	assert_int_equal(fake.maps, 0);
}

static unsigned int room_calls;

static void room_fn(struct loop_work *work)
{
	(void)work;
	room_calls++;
}

/*
 * Requests under way hold all that may be mapped.  No more of them then; but
 * the little that is copied still goes through.
 */
static void test_everything_held(void **state)
{
	struct guest_waiter room = { .work.fn = room_fn };
	struct guest_waiter never = { .work.fn = room_fn };
	struct guest_hold *h[16];
	unsigned int i, n = 0, at = 0;

	(void)state;
	room_calls = 0;
	lone_pages(TOTAL_CHUNKS + HOLD_CHUNKS);
	while (n < 16 && (h[n] = guest_mem_hold(guest.gm))) {
		for (i = 0; i < HOLD_CHUNKS; i++)
			(void)see_lone(h[n], at++);
		n++;
		guest_mem_invalidate(guest.gm);
	}
	assert_int_equal(n, TOTAL_CHUNKS / HOLD_CHUNKS);
	assert_true(fake.maps <= TOTAL_CHUNKS);
	assert_null(guest_mem_hold(guest.gm));

	for (i = 0; i < TOTAL_CHUNKS + HOLD_CHUNKS; i++)
		expect_lone(i);
	assert_true(fake.maps_peak <= TOTAL_CHUNKS + 1);
	assert_null(guest_mem_hold(guest.gm));

	/* What they hold is still good, and comes free with the first. */
	(void)see_lone(h[0], 0);
	guest_mem_wait(guest.gm, &room);
	guest_mem_wait(guest.gm, &room);
	guest_mem_wait(guest.gm, &never);
	guest_mem_wait_cancel(guest.gm, &never);
	fake_turn(guest.loop);
	assert_int_equal(room_calls, 0);
	guest_mem_release(guest.gm, h[0]);
	fake_turn(guest.loop);
	assert_int_equal(room_calls, 1);
	h[0] = guest_mem_hold(guest.gm);
	assert_non_null(h[0]);
	for (i = 0; i < HOLD_CHUNKS; i++)
		(void)see_lone(h[0], i);
	assert_true(fake.maps_peak <= TOTAL_CHUNKS + 1);
	while (n)
		guest_mem_release(guest.gm, h[--n]);
	fake_turn(guest.loop);
	assert_non_null(h[0] = guest_mem_hold(guest.gm));
	guest_mem_release(guest.gm, h[0]);
}

/* Within one turn of the loop, where what is retired is not yet unmapped. */
static void test_copies_are_bounded(void **state)
{
	unsigned int i;

	(void)state;
	lone_pages(3000);
	for (i = 0; i < 3000; i++)
		expect_lone(i);
	assert_true(fake.maps_peak <= TOTAL_CHUNKS + 1);
	fake_turn(guest.loop);
	assert_true(fake.maps <= CACHE_CHUNKS);
	for (i = 0; i < 200; i++) {
		expect_lone(i);
		guest_mem_invalidate(guest.gm);
	}
	assert_true(fake.maps_peak <= TOTAL_CHUNKS + 1);
}

/* A page more at every look: each may cost a mapping, but not for ever. */
static void test_appearing_pages_are_bounded(void **state)
{
	struct guest_hold *h;
	struct iovec iov;
	unsigned int i;
	size_t n;
	int r = 0;
	char b;

	(void)state;
	h = guest_mem_hold(guest.gm);
	for (i = 0; i < 2 * CHUNK_PAGES; i++) {
		assert_int_equal(guest_mem_read(guest.gm, &b,
				 CHUNK + i * PAGE, 1), -EFAULT);
		fake_ram_add(CHUNK_PAGES + i, 1);
		assert_int_equal(guest_mem_read(guest.gm, &b,
				 CHUNK + i * PAGE, 1), 0);
		r = guest_mem_iov(guest.gm, h, CHUNK + i * PAGE, 1, &iov, 1,
				  &n);
		if (r < 0)
			break;
	}
	guest_mem_release(guest.gm, h);
	assert_true(r == 1 || r == -E2BIG);
	assert_true(fake.maps_peak <= TOTAL_CHUNKS + 1);
}

/* ---- the host fails ---- */

static void test_map_fails(void **state)
{
	struct unit_capture cap;
	const char *text;
	unsigned int v = 0, i;

	(void)state;
	lone_pages(3);
	unit_capture_start(&cap, STDERR_FILENO);
	fake_fail(FAKE_MAP, 1, 1, ENOMEM);	/* so much, but not less */
	i = (unsigned int)guest_mem_read(guest.gm, &v, lone_addr(2) + 8, 4);
	text = unit_capture_end(&cap);
	assert_int_equal(i, 0);
	assert_int_equal(v, 2);
	assert_string_equal(text, "t: d7: cannot map guest memory at 0x400000: Cannot allocate memory\n");
	assert_int_equal(fake.maps, 0);

	/* Nothing at all, for long: an error, and a bounded log. */
	unit_capture_start(&cap, STDERR_FILENO);
	fake_fail(FAKE_MAP, 1, 1000, EINVAL);
	for (i = 0; i < 200; i++)
		if (guest_mem_read(guest.gm, &v, lone_addr(2), 4) != -EFAULT)
			break;
	text = unit_capture_end(&cap);
	assert_int_equal(i, 200);
	for (i = 0; (text = strchr(text, '\n')); text++)
		i++;
	assert_true(i < 20);
	fake_fail(FAKE_MAP, 1, 0, 0);
	expect_lone(2);
}

static void test_no_memory(void **state)
{
	struct guest_mem *gm = NULL;

	(void)state;
	lone_pages(2);
	fake_fail(FAKE_CALLOC, 1, 1, ENOMEM);
	assert_int_equal(guest_mem_open(guest.loop, FAKE_DOMID, guest.fmem,
					NULL, &gm), -ENOMEM);
	assert_null(gm);
	guest_mem_close(NULL);

	/* No cache: copies do without, requests have to wait. */
	fake_fail(FAKE_CALLOC, 1, 1, ENOMEM);
	expect_lone(1);
	assert_int_equal(fake.maps, 0);
	fake_fail(FAKE_CALLOC, 1, 1, ENOMEM);
	assert_null(guest_mem_hold(guest.gm));
	expect_lone(1);
	assert_int_equal(fake.maps, 1);
}

#define MEM_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	MEM_TEST(test_copies),
	MEM_TEST(test_same_bucket),
	MEM_TEST(test_bad_addresses),
	MEM_TEST(test_holes),
	MEM_TEST(test_page_appears),
	MEM_TEST(test_pages_appear),
	MEM_TEST(test_page_vanishes),
	MEM_TEST(test_page_flickers),
	MEM_TEST(test_holes_cost_no_kernel_maps),
	MEM_TEST(test_invalidate_unused),
	MEM_TEST(test_invalidate_in_use),
	MEM_TEST(test_many_retired),
	MEM_TEST(test_ring),
	MEM_TEST(test_ring_lengths),
	MEM_TEST(test_ring_hole),
	MEM_TEST(test_iov),
	MEM_TEST(test_hold_too_far),
	MEM_TEST(test_retire_when_full),
	MEM_TEST(test_everything_held),
	MEM_TEST(test_copies_are_bounded),
	MEM_TEST(test_appearing_pages_are_bounded),
	MEM_TEST(test_map_fails),
	MEM_TEST(test_no_memory),
};

UNIT_MAIN(tests)
