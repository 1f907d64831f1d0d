/* SPDX-License-Identifier: MIT */
/*
 * test_rate.c: a limit, over hours that take no time: it is held, neither
 * more nor less, whatever the rate, the units and the clock are.
 */
#include "rate.h"
#include "unit.h"
#include "util.h"

#define SEC		1000000000ull
#define MS		1000000ull
#define HOUR		(3600 * SEC)
#define START		(1000 * SEC)	/* no clock starts at zero */

/*
 * Takes @unit at a time for as long as @span, as soon as it may.  @late: how
 * late one looks.  Return: how many units went.
 */
static uint64_t take(struct rate *r, uint64_t from, uint64_t span,
		     uint64_t unit, uint64_t late)
{
	uint64_t now = from, wait, units = 0;

	while (now < from + span) {
		wait = rate_wait(r, now);
		if (wait) {
			now += wait + late;
			continue;
		}
		rate_use(r, now, unit);
		units += unit;
	}
	return units;
}

static void make(struct rate *r, uint64_t per_s, uint64_t max, uint32_t burst)
{
	rate_init(r, &(struct blk_limit){ per_s, max }, burst);
}

/* Within 1 %, what went at once at the beginning included. */
static void test_hour(void **state)
{
	static const struct {
		uint64_t	rate, unit, late;
	} t[] = {
		{ 1,		1,		0 },
		{ 1,		1,		5 * MS },
		{ 3,		1,		MS },
		{ 7,		1,		MS },
		{ 150,		1,		MS },
		{ 999,		1,		20 * MS },
		{ 10000,	1,		MS },
		{ 1 << 20,	4096,		MS },
		{ 100 << 20,	1 << 20,	MS },
		{ 10 << 20,	256 << 20,	MS },	/* 26 s each */
		{ BLK_LIMIT_MAX, 1ull << 30,	MS },
		{ BLK_LIMIT_MAX, BLK_LIMIT_MAX + 7, MS },
		{ 999999937,	123457,		MS },
	};
	uint64_t want, got;
	struct rate r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		make(&r, t[i].rate, 0, 0);
		got = take(&r, START, HOUR, t[i].unit, t[i].late);
		want = t[i].rate * 3600;
		if (got < want - want / 100 || got > want + want / 100)
			fail_msg("%llu a second: %llu in an hour, not %llu",
				 (unsigned long long)t[i].rate,
				 (unsigned long long)got,
				 (unsigned long long)want);
	}
}

/* What a unit takes is no whole number of nanoseconds: nothing is lost. */
static void test_no_drift(void **state)
{
	static const uint64_t rates[] = { 3, 7, 600000011, 999999937,
					  BLK_LIMIT_MAX - 1 };
	uint64_t end, units;
	struct rate r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		make(&r, rates[i], 0, 0);
		for (units = 0; units < 1000000; units++)
			rate_use(&r, START, 1);
		end = r.mean.clock_ns - START;
		assert_in_range(end, 1000000 * SEC / rates[i],
				1000000 * SEC / rates[i] + 1);
	}
}

/* Nothing is saved up but a tenth of a second's worth. */
static void test_at_once(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1000, 0, 0);
	assert_int_equal(take(&r, START, 1, 1, 0), 100);
	assert_int_equal(take(&r, START + HOUR, 1, 1, 0), 100);
	assert_int_equal(take(&r, START + HOUR, SEC, 1, 0), 1000);
	make(&r, 2, 0, 0);		/* at least one */
	assert_int_equal(take(&r, START, 1, 1, 0), 1);
	assert_int_equal(rate_wait(&r, START), 400 * MS + 1);
	assert_int_equal(rate_wait(&r, START + 400 * MS), 1);
	assert_int_equal(rate_wait(&r, START + 400 * MS + 1), 0);
}

/* One that is too large goes, and what follows it pays. */
static void test_overdrawn(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1000, 0, 0);
	assert_int_equal(rate_wait(&r, START), 0);
	rate_use(&r, START, 60000);
	assert_int_equal(rate_wait(&r, START), 60 * SEC - 100 * MS + 1);
	assert_int_equal(rate_wait(&r, START + 59 * SEC), 900 * MS + 1);
	assert_int_equal(rate_wait(&r, START + 60 * SEC), 0);
}

/*
 * As QEMU has it: max * length may be ahead.  At most max a second goes, and
 * what the rate adds meanwhile goes, too.
 */
static void test_burst(void **state)
{
	uint64_t units, second;
	struct rate r;

	(void)state;
	make(&r, 100, 1000, 9);
	units = take(&r, START, SEC, 1, MS);
	assert_in_range(units, 1000, 1100);		/* 0.1 s at once */
	for (second = 1; second < 10; second++)
		units += take(&r, START + second * SEC, SEC, 1, MS);
	assert_in_range(units, 9900, 10100);		/* 9000 + 10 * 100 */
	units = take(&r, START + 10 * SEC, 10 * SEC, 1, MS);
	assert_in_range(units, 990, 1010);		/* over */
	units = take(&r, START + HOUR, SEC, 1, MS);
	assert_in_range(units, 1000, 1100);		/* there again */
	units = take(&r, START, 1, 1, MS);
	make(&r, 100, 100, 1);				/* no faster */
	units = take(&r, START, HOUR, 1, MS);
	assert_in_range(units, 359000, 361000);
}

static void test_burst_extremes(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1, BLK_LIMIT_MAX, BLK_LIMIT_BURST_MAX_S);
	assert_int_equal(r.mean.ahead_ns, UINT64_MAX);	/* for ever */
	assert_int_equal(take(&r, START, 10 * SEC, 1ull << 34, 0) >> 34, 11);
	make(&r, BLK_LIMIT_MAX, BLK_LIMIT_MAX, BLK_LIMIT_BURST_MAX_S);
	assert_int_equal(r.mean.ahead_ns, BLK_LIMIT_BURST_MAX_S * SEC);
}

static void test_no_limit(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 0, 0, 0);
	rate_use(&r, START, UINT64_MAX);
	assert_int_equal(rate_wait(&r, START), 0);
	assert_int_equal(rate_wait(&r, 0), 0);
}

/* What was used stays used, and is not more either. */
static void test_clock_jumps_back(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1000, 0, 0);
	rate_use(&r, START + HOUR, 1000);
	assert_int_equal(rate_wait(&r, START + HOUR), 900 * MS + 1);
	assert_int_equal(rate_wait(&r, START), 900 * MS + 1);
	assert_int_equal(rate_wait(&r, 0), 900 * MS + 1);
	assert_int_equal(rate_wait(&r, 500 * MS), 400 * MS + 1);
	assert_int_equal(rate_wait(&r, SEC), 0);
	assert_in_range(take(&r, SEC, HOUR, 1, MS), 3564000, 3636000);
}

static void test_clock_jumps_ahead(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1000, 0, 0);
	rate_use(&r, START, 1000);
	assert_int_equal(rate_wait(&r, UINT64_MAX - HOUR), 0);
	assert_int_equal(take(&r, UINT64_MAX - HOUR, 1, 1, 0), 100);
	assert_in_range(take(&r, UINT64_MAX - HOUR / 2, HOUR / 4, 1, MS),
			891000, 909000);
	rate_use(&r, UINT64_MAX, UINT64_MAX);	/* the end of time */
	rate_use(&r, UINT64_MAX, UINT64_MAX);
	assert_int_equal(rate_wait(&r, UINT64_MAX), 0);
	assert_int_equal(rate_wait(&r, START), 0);
}

/* Longer than there is time for. */
static void test_for_ever(void **state)
{
	struct rate r;

	(void)state;
	make(&r, 1, 0, 0);
	rate_use(&r, START, UINT64_MAX);
	assert_true(rate_wait(&r, START) > UINT64_MAX - 2 * START);
	rate_use(&r, START, UINT64_MAX);
	assert_true(rate_wait(&r, START) > UINT64_MAX - 2 * START);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_hour),
	cmocka_unit_test(test_no_drift),
	cmocka_unit_test(test_at_once),
	cmocka_unit_test(test_overdrawn),
	cmocka_unit_test(test_burst),
	cmocka_unit_test(test_burst_extremes),
	cmocka_unit_test(test_no_limit),
	cmocka_unit_test(test_clock_jumps_back),
	cmocka_unit_test(test_clock_jumps_ahead),
	cmocka_unit_test(test_for_ever),
};

UNIT_MAIN(tests)
