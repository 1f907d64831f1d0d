/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_grants.c: guest memory by grants.  What is copied, what is mapped
 * and for how long, what is refused, and how often Xen is asked.
 */
#include <errno.h>
#include <stdbool.h>

#include "fake_xen.h"
#include "guest_batch.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "unit.h"
#include "util.h"

#define PAGE		4096u
#define RAM_PAGES	1024u
#define GRANT(ref)	(GUEST_ADDR_GRANT | (uint64_t)(ref) << 12)
#define COPY_BATCH	64u		/* grants.c's */

static struct fake_guest guest;

static void start(unsigned int serves)
{
	uint64_t gfn;
	uint32_t i;

	log_init("t", false);
	fake_guest_open_as(&guest, serves);
	fake_ram_add(0, RAM_PAGES);
	for (gfn = 0; gfn < RAM_PAGES; gfn++)
		for (i = 0; i < PAGE; i += 8)
			fake_ram_write(gfn * PAGE + i, &gfn, 8);
	/* Neighbours among references are none in memory. */
	for (i = 0; i < RAM_PAGES; i++)
		fake_grant(i + 1, (i * 389ull + 7) % RAM_PAGES, false);
}

static int setup(void **state)
{
	(void)state;
	start(GUEST_PLAIN | GUEST_GRANTS);
	return 0;
}

static int setup_grants_only(void **state)
{
	(void)state;
	start(GUEST_GRANTS);
	return 0;
}

static int setup_plain_only(void **state)
{
	(void)state;
	start(GUEST_PLAIN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_guest_close(&guest);
	return 0;
}

/* Where @addr, by a grant, is in the guest. */
static uint64_t behind(uint64_t addr)
{
	uint64_t ref = (addr & ~GUEST_ADDR_GRANT) / PAGE;

	return ((ref - 1) * 389 + 7) % RAM_PAGES * PAGE + addr % PAGE;
}

static uint8_t guest_byte(uint64_t addr)
{
	uint8_t v = 0;

	fake_ram_read(behind(addr), &v, 1);
	return v;
}

static void expect_guest(uint64_t addr, const uint8_t *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		assert_int_equal(guest_byte(addr + i), buf[i]);
}

static void pattern(uint8_t *b, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = (uint8_t)(seed + i * 13 + (i >> 7));
}

/* ---- copies ---- */

/* From anywhere in a page, over the ends of several, in one call. */
static void test_copies(void **state)
{
	static const struct { uint32_t off, len; unsigned int pages; } at[] = {
		{ 0, 1, 1 }, { 4095, 1, 1 }, { 4095, 2, 2 }, { 1, 4096, 2 },
		{ 0, 4096, 1 }, { 777, 3 * 4096, 4 }, { 2048, 63 * 4096, 64 },
	};
	uint8_t *buf = test_malloc(64 * PAGE), *got = test_malloc(64 * PAGE);
	unsigned int i, calls;
	uint64_t addr;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		addr = GRANT(100 * i + 1) + at[i].off;
		pattern(buf, at[i].len, i);
		calls = fake.calls[FAKE_GRANT_COPY];
		fake.copied = 0;
		assert_int_equal(guest_mem_write(guest.gm, addr, buf,
						 at[i].len), 0);
		assert_int_equal(fake.copied, at[i].pages);
		assert_int_equal(fake.calls[FAKE_GRANT_COPY], calls + 1);
		expect_guest(addr, buf, at[i].len);
		assert_int_equal(guest_mem_read(guest.gm, got, addr,
						at[i].len), 0);
		assert_memory_equal(got, buf, at[i].len);
		assert_int_equal(fake.calls[FAKE_GRANT_COPY], calls + 2);
	}
	assert_int_equal(guest_mem_read(guest.gm, got, GRANT(1), 0), 0);
	assert_int_equal(fake.calls[FAKE_GRANT_MAP], 0);
	assert_int_equal(fake.maps, 0);
	test_free(buf);
	test_free(got);
}

/* Of both kinds in one list: each does what it would alone. */
static void test_list(void **state)
{
	uint64_t v[5] = { 0 };
	struct guest_copy list[] = {
		{ GRANT(5), &v[0], 8, 99 },
		{ 3 * PAGE, &v[1], 8, 99 },
		{ GRANT(5000), &v[2], 8, 99 },	/* no such grant */
		{ 2000 * PAGE, &v[3], 8, 99 },	/* no such page */
		{ GRANT(6) + 8, &v[4], 8, 99 },
	};

	(void)state;
	assert_int_equal(guest_mem_copy(guest.gm, list, 5, false), -EFAULT);
	assert_int_equal(fake.calls[FAKE_GRANT_COPY], 1);
	assert_int_equal(list[0].err, 0);
	assert_int_equal(v[0], behind(GRANT(5)) / PAGE);
	assert_int_equal(list[1].err, 0);
	assert_int_equal(v[1], 3);
	assert_int_equal(list[2].err, -EFAULT);
	assert_int_equal(list[3].err, -EFAULT);
	assert_int_equal(list[4].err, 0);
	assert_int_equal(v[4], behind(GRANT(6)) / PAGE);
	assert_int_equal(guest_mem_copy(guest.gm, list, 2, false), 0);
	assert_int_equal(guest_mem_copy(guest.gm, list, 0, false), 0);
}

/* Long lists are cut, and errors stay with whom they belong to. */
static void test_long_list(void **state)
{
	enum { N = 200 };
	struct guest_copy list[N];
	uint8_t buf[N][16];
	unsigned int i;

	(void)state;
	for (i = 1; i <= N; i += 7)
		fake_revoke(i);
	for (i = 0; i < N; i++)		/* two segments each */
		list[i] = (struct guest_copy){
			GRANT(i + 1) + PAGE - 8, buf[i], 16, 99 };
	assert_int_equal(guest_mem_copy(guest.gm, list, N, false), -EFAULT);
	assert_int_equal(fake.copied, 2 * N);
	assert_int_equal(fake.calls[FAKE_GRANT_COPY],
			 (2 * N + COPY_BATCH - 1) / COPY_BATCH);
	for (i = 0; i < N; i++)
		assert_int_equal(list[i].err, i % 7 == 0 || i % 7 == 6 ?
				 -EFAULT : 0);
}

/* The call as a whole fails: so does all that was in it, and no more. */
static void test_call_fails(void **state)
{
	struct guest_copy list[COPY_BATCH + 1];
	uint8_t byte[COPY_BATCH + 1];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = (struct guest_copy){ GRANT(i + 1), &byte[i], 1, 99 };
	fake_fail(FAKE_GRANT_COPY, 1, 1, EFAULT);
	assert_int_equal(guest_mem_copy(guest.gm, list, ARRAY_SIZE(list),
					false), -EFAULT);
	for (i = 0; i < COPY_BATCH; i++)
		assert_int_equal(list[i].err, -EFAULT);
	assert_int_equal(list[COPY_BATCH].err, 0);
}

static void test_readonly(void **state)
{
	uint64_t v = 1, was;
	struct guest_map map;

	(void)state;
	fake_revoke(9);
	fake_grant(9, 50, true);
	assert_int_equal(guest_mem_write(guest.gm, GRANT(9), &v, 8), -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, &was, GRANT(9), 8), 0);
	assert_int_equal(was, 50);
	assert_int_equal(guest_mem_map(guest.gm, GRANT(9), 8, false, &map), 0);
	guest_mem_unmap(guest.gm, &map);
	/* The kernel does not tell this from having no room. */
	assert_int_equal(guest_mem_map(guest.gm, GRANT(9), 8, true, &map),
			 -EAGAIN);
}

/* Taken back and granted again: the next look sees what is there then. */
static void test_revoked(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(guest_mem_read(guest.gm, &v, GRANT(3), 8), 0);
	fake_revoke(3);
	assert_int_equal(guest_mem_read(guest.gm, &v, GRANT(3), 8), -EFAULT);
	fake_grant(3, 77, false);
	assert_int_equal(guest_mem_read(guest.gm, &v, GRANT(3), 8), 0);
	assert_int_equal(v, 77);
}

static void test_addresses(void **state)
{
	static const struct { uint64_t addr; size_t len; } bad[] = {
		{ UINT64_MAX - 3, 8 },			/* wraps */
		{ UINT64_MAX, 1 },
		{ GUEST_ADDR_GRANT - 4, 8 },		/* of two kinds */
		{ GRANT(1ull << 32), 8 },		/* no such reference */
		{ GRANT(UINT32_MAX) + 4090, 8 },	/* the next is none */
		{ GRANT(900), 2u << 20 },		/* not so many */
	};
	uint8_t *buf = test_malloc(2u << 20);
	struct guest_map map;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(guest_mem_read(guest.gm, buf, bad[i].addr,
						bad[i].len), -EFAULT);
		assert_true(guest_mem_map(guest.gm, bad[i].addr, bad[i].len,
					  false, &map) < 0);
	}
	assert_int_equal(fake.granted, 0);
	test_free(buf);
}

/* ---- batches ---- */

static void test_batch(void **state)
{
	struct guest_batch b = { .to_guest = false };
	uint8_t buf[200][16];
	int err = 0, bad = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < GUEST_BATCH; i++)
		guest_batch_add(guest.gm, &b, GRANT(i + 1), buf[i], 16, &err);
	assert_int_equal(fake.calls[FAKE_GRANT_COPY], 0);
	guest_batch_add(guest.gm, &b, GRANT(i + 1), buf[i], 16, &err);
	assert_int_equal(fake.calls[FAKE_GRANT_COPY], 1);	/* was full */
	guest_batch_add(guest.gm, &b, GRANT(5000), buf[i], 16, &bad);
	guest_batch_add(guest.gm, &b, 3 * PAGE, buf[100], 16, &err);
	assert_int_equal(buf[100][0], 3);			/* at once */
	guest_batch_add(guest.gm, &b, 5000 * PAGE, buf[101], 16, &bad);
	assert_int_equal(bad, -EFAULT);
	bad = 0;
	guest_batch_run(guest.gm, &b);
	assert_int_equal(fake.calls[FAKE_GRANT_COPY], 2);
	assert_int_equal(err, 0);
	assert_int_equal(bad, -EFAULT);
	for (i = 0; i <= GUEST_BATCH; i++)
		expect_guest(GRANT(i + 1), buf[i], 16);
	guest_batch_run(guest.gm, &b);				/* nothing */
	assert_int_equal(fake.calls[FAKE_GRANT_COPY], 2);
}

/* ---- maps ---- */

/* A ring over several pages: one behind the other here, and nowhere else. */
static void test_map_range(void **state)
{
	uint64_t addr = GRANT(20) + 16;
	struct guest_map map;
	uint64_t v;
	unsigned int i;

	(void)state;
	assert_int_equal(guest_mem_map(guest.gm, addr, 2 * PAGE, true, &map),
			 0);
	assert_true(map.granted);
	assert_int_equal(map.npages, 3);
	assert_int_equal(fake.granted, 3);
	for (i = 0; i < 3; i++) {
		guest_copy_in(&v, (char __guest *)map.base - 16 + i * PAGE, 8);
		assert_int_equal(v, behind(GRANT(20 + i)) / PAGE);
		assert_int_equal(fake_granted(20 + i), 1);
	}
	v = 0x1234;
	guest_copy_out(map.base, &v, 8);
	expect_guest(addr, (uint8_t *)&v, 8);
	guest_mem_unmap(guest.gm, &map);
	assert_null(map.pages);
	assert_int_equal(fake.granted, 0);
	guest_mem_unmap(guest.gm, &map);		/* does nothing */
	assert_int_equal(fake.calls[FAKE_GRANT_UNMAP], 1);
}

static void test_map_refs(void **state)
{
	uint32_t refs[] = { 7, 3, 900, 3 };
	struct guest_map map;
	unsigned int i;
	uint64_t v;

	(void)state;
	assert_int_equal(guest_mem_map_refs(guest.gm, refs, 4, false, &map),
			 0);
	assert_int_equal(fake_granted(3), 2);
	for (i = 0; i < 4; i++) {
		memcpy(&v, (char *)map.pages + i * PAGE, 8);
		assert_int_equal(v, behind(GRANT(refs[i])) / PAGE);
	}
	guest_mem_unmap(guest.gm, &map);
	assert_int_equal(fake_granted(3), 0);
}

/* One of them is wrong: none is mapped, and it is clear why. */
static void test_map_wrong(void **state)
{
	uint32_t refs[] = { 1, 2, 4000, 3 };
	struct guest_map map = { 0 };

	(void)state;
	assert_int_equal(guest_mem_map_refs(guest.gm, refs, 4, false, &map),
			 -EFAULT);
	assert_int_equal(fake.granted, 0);
	fake_revoke(31);
	assert_int_equal(guest_mem_map(guest.gm, GRANT(30), 2 * PAGE, true,
				       &map), -EFAULT);
	assert_int_equal(guest_mem_map(guest.gm, GRANT(1), 17 * PAGE, true,
				       &map), -EINVAL);
	assert_int_equal(guest_mem_map(guest.gm, GRANT(1), 0, true, &map),
			 -EINVAL);
	assert_null(map.pages);
}

static unsigned int woken;

static void wake(struct loop_work *work)
{
	(void)work;
	woken++;
}

/* No room: whoever waits is told to try again, after a while. */
static void test_no_room(void **state)
{
	struct guest_waiter waiter = { .work.fn = wake };
	uint32_t refs[] = { 1, 2, 3 };
	struct guest_map map;
	unsigned int i;

	(void)state;
	woken = 0;
	fake.max_granted = 2;
	assert_int_equal(guest_mem_map_refs(guest.gm, refs, 3, false, &map),
			 -EAGAIN);
	guest_mem_wait(guest.gm, &waiter);
	guest_mem_wait(guest.gm, &waiter);
	fake_turn(guest.loop);
	assert_int_equal(woken, 0);
	for (i = 0; i < 1000 && !woken; i++) {
		usleep(1000);
		fake_turn(guest.loop);
	}
	assert_int_equal(woken, 1);
	assert_true(i > 50);
	fake.max_granted = 3;
	assert_int_equal(guest_mem_map_refs(guest.gm, refs, 3, false, &map),
			 0);
	guest_mem_unmap(guest.gm, &map);
}

/* Ballooning moves the epoch on; what is granted stays where it is. */
static void test_epoch(void **state)
{
	unsigned int epoch = guest_mem_epoch(guest.gm);
	struct guest_map map;
	uint64_t v;

	(void)state;
	assert_int_equal(guest_mem_map(guest.gm, GRANT(8), 8, false, &map), 0);
	guest_mem_invalidate(guest.gm);
	fake_turn(guest.loop);
	assert_int_not_equal(guest_mem_epoch(guest.gm), epoch);
	guest_copy_in(&v, map.base, 8);
	assert_int_equal(v, behind(GRANT(8)) / PAGE);
	guest_mem_unmap(guest.gm, &map);
}

/* ---- what is served ---- */

static void test_nothing_held(void **state)
{
	struct guest_hold *hold = guest_mem_hold(guest.gm);
	struct iovec iov;
	size_t n;

	(void)state;
	assert_non_null(hold);
	assert_int_equal(guest_mem_iov(guest.gm, hold, GRANT(1), 8, &iov, 1,
				       &n), -EFAULT);
	guest_mem_release(guest.gm, hold);
}

static void test_grants_only(void **state)
{
	struct guest_map map;
	uint64_t v;

	(void)state;
	assert_int_equal(guest_mem_serves(guest.gm), GUEST_GRANTS);
	assert_int_equal(guest_mem_read(guest.gm, &v, 3 * PAGE, 8), -EFAULT);
	assert_int_equal(guest_mem_write(guest.gm, 3 * PAGE, &v, 8), -EFAULT);
	assert_int_equal(guest_mem_map(guest.gm, 3 * PAGE, 8, false, &map),
			 -EFAULT);
	assert_null(guest_mem_hold(guest.gm));
	guest_mem_invalidate(guest.gm);
	assert_int_equal(guest_mem_read(guest.gm, &v, GRANT(1), 8), 0);
	assert_int_equal(fake.calls[FAKE_MAP], 0);
}

static void test_plain_only(void **state)
{
	struct guest_map map;
	uint64_t v;

	(void)state;
	assert_int_equal(guest_mem_serves(guest.gm), GUEST_PLAIN);
	assert_int_equal(guest_mem_read(guest.gm, &v, GRANT(1), 8), -EFAULT);
	assert_int_equal(guest_mem_write(guest.gm, GRANT(1), &v, 8), -EFAULT);
	assert_int_equal(guest_mem_map(guest.gm, GRANT(1), 8, false, &map),
			 -EFAULT);
	assert_int_equal(guest_mem_read(guest.gm, &v, 3 * PAGE, 8), 0);
	assert_int_equal(fake.calls[FAKE_XGT_OPEN], 0);
}

#define G(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	G(test_copies),
	G(test_list),
	G(test_long_list),
	G(test_call_fails),
	G(test_readonly),
	G(test_revoked),
	G(test_addresses),
	G(test_batch),
	G(test_map_range),
	G(test_map_refs),
	G(test_map_wrong),
	G(test_no_room),
	G(test_epoch),
	G(test_nothing_held),
	cmocka_unit_test_setup_teardown(test_grants_only, setup_grants_only,
					teardown),
	cmocka_unit_test_setup_teardown(test_plain_only, setup_plain_only,
					teardown),
};

UNIT_MAIN(tests)
