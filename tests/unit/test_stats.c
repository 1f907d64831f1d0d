/* SPDX-License-Identifier: MIT */
/* test_stats.c: what was counted, by name. */
#include <errno.h>

#include "state.h"
#include "stats.h"
#include "unit.h"
#include "util.h"

static struct fn_state fn;
static struct stat_value v[STATS_MAX + 1];

/* Each field's value is its number; those after @count are not touched. */
static void check(enum devspec_kind kind, const char *const *names,
		  unsigned int count)
{
	unsigned int i;

	memset(v, 0, sizeof(v));
	assert_int_equal(stats_read(kind, &fn, v, STATS_MAX), count);
	for (i = 0; i < count; i++) {
		assert_string_equal(v[i].name, names[i]);
		assert_int_equal(v[i].value, (i + 4) % count + 1 +
				 (1ull << 40));
	}
	assert_null(v[count].name);
}

static void fill(void)
{
	uint64_t *field = (uint64_t *)(void *)&fn.stats;
	unsigned int i;

	for (i = 0; i < sizeof(fn.stats) / 8; i++) {
		field[i] = 1ull << 40;
		stat_add(&field[i], i + 1);
	}
}

static void test_blk(void **state)
{
	static const char *const names[] = {
		"reads", "read_bytes", "writes", "write_bytes", "flushes",
		"discards", "discard_bytes", "errors", "throttled", "kicks",
		"interrupts", "granted", "grants_mapped",
	};

	(void)state;
	fill();
	check(DEVSPEC_BLK, names, ARRAY_SIZE(names));
}

static void test_net(void **state)
{
	static const char *const names[] = {
		"rx_frames", "rx_bytes", "rx_dropped", "rx_filtered",
		"tx_frames", "tx_bytes", "tx_dropped", "kicks", "interrupts",
		"granted", "grants_mapped",
	};

	(void)state;
	fill();
	check(DEVSPEC_NET, names, ARRAY_SIZE(names));
}

static void test_little_room(void **state)
{
	(void)state;
	fill();
	memset(v, 0, sizeof(v));
	assert_int_equal(stats_read(DEVSPEC_BLK, &fn, v, 2), 13);
	assert_string_equal(v[1].name, "read_bytes");
	assert_null(v[2].name);
	assert_int_equal(stats_read(DEVSPEC_NET, &fn, NULL, 0), 11);
}

static void test_no_kind(void **state)
{
	(void)state;
	assert_int_equal(stats_read(DEVSPEC_NET + 1, &fn, v, 1), -EINVAL);
	assert_int_equal(stats_read((enum devspec_kind)-1, &fn, v, 1),
			 -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_blk),
	cmocka_unit_test(test_net),
	cmocka_unit_test(test_little_room),
	cmocka_unit_test(test_no_kind),
};

UNIT_MAIN(tests)
