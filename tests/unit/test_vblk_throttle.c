/* SPDX-License-Identifier: MIT */
/*
 * test_vblk_throttle.c: requests that wait for their turn.  The clock and the
 * timer are the test's (the linker sees to it, tests.mk), so that an hour
 * takes no time.
 */
#include <errno.h>
#include "loop.h"
#include "unit.h"
#include "util.h"
#include "vblk_throttle.h"

#define MS		1000000ull
#define SEC		(1000 * MS)
#define QUEUES		3
#define TURNS		64

static struct loop *loop;
static struct vblk_throttle *t;
static uint64_t now, due;		/* due: 0 for never */
static void (*timer_fn)(void *arg);
static void *timer_arg;
static uint64_t cost;			/* of each, bytes */

/* The turns that came, in order. */
static struct vblk_turn *gone[100000];
static unsigned int ngone;
static struct vblk_turn turns[QUEUES][TURNS];

uint64_t __wrap_loop_now_ns(void);
int __wrap_loop_timer_add(struct loop *l, void (*fn)(void *arg), void *arg,
			  struct loop_timer **ret);
void __wrap_loop_timer_set(struct loop_timer *timer, unsigned int ms);
int __real_loop_timer_add(struct loop *l, void (*fn)(void *arg), void *arg,
			  struct loop_timer **ret);

uint64_t __wrap_loop_now_ns(void)
{
	return now;
}

int __wrap_loop_timer_add(struct loop *l, void (*fn)(void *arg), void *arg,
			  struct loop_timer **ret)
{
	timer_fn = fn;
	timer_arg = arg;
	return __real_loop_timer_add(l, fn, arg, ret);
}

void __wrap_loop_timer_set(struct loop_timer *timer, unsigned int ms)
{
	assert_non_null(timer);
	due = now + ms * MS;
}

static void go(struct vblk_turn *turn)
{
	assert_true(ngone < ARRAY_SIZE(gone));
	assert_false(turn->waits);
	gone[ngone++] = turn;
	vblk_throttle_use(t, turn->write, cost);
}

static void start(const struct blk_limits *limits)
{
	now = 1000 * SEC;
	due = 0;
	ngone = 0;
	cost = 4096;
	assert_int_equal(vblk_throttle_open(loop, limits, QUEUES, go, &t), 0);
}

static void end(void)
{
	vblk_throttle_close(t);
	t = NULL;
}

static bool add(unsigned int queue, unsigned int i, bool write)
{
	turns[queue][i].write = write;
	return vblk_throttle_add(t, queue, &turns[queue][i]);
}

/* Time goes by; the timer is up to @late behind. */
static void pass(uint64_t ns, uint64_t late)
{
	uint64_t until = now + ns;

	while (due && due + late <= until) {
		now = due + late;
		due = 0;
		timer_fn(timer_arg);
	}
	now = until;
}

static void test_no_wait(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 100 });
	for (i = 0; i < 10; i++)
		assert_false(add(0, i, i % 2));
	assert_int_equal(ngone, 10);
	assert_int_equal(due, 0);
	assert_true(add(0, i, false));
	assert_int_equal(ngone, 10);
	assert_in_range(due - now, 1, 2 * MS);	/* all ahead is used */
	pass(10 * MS, 0);
	assert_int_equal(ngone, 11);
	end();
}

/* Someone asks all the time: the rate is held over an hour, within 1 %. */
static void test_hour(void **state)
{
	static const uint64_t delays[] = { 0, 3 * MS, 60 * MS };
	unsigned int i, q;
	size_t l;

	(void)state;
	for (l = 0; l < ARRAY_SIZE(delays); l++) {
		start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 20 });
		for (q = 0; q < QUEUES; q++)
			for (i = 0; i < 5; i++)
				(void)add(q, i, false);
		while (now < 4600 * SEC) {
			i = ngone;
			pass(50 * MS, delays[l]);
			for (; i < ngone; i++)
				(void)vblk_throttle_add(t, (unsigned int)
					(gone[i] - turns[0]) / TURNS, gone[i]);
		}
		assert_in_range(ngone, 71280, 72720);
		end();
	}
}

/* In order within a queue; queues take turns. */
static void test_fair(void **state)
{
	unsigned int count[QUEUES] = { 0 }, i, q, last = QUEUES;

	(void)state;
	start(&(struct blk_limits){ .bps[BLK_LIMIT_ALL].rate = 4096 });
	for (i = 0; i < TURNS; i++)
		(void)add(0, i, i % 3);
	for (i = 0; i < 4; i++)
		(void)add(2, i, false);
	for (i = 0; i < 4; i++)
		(void)add(1, i, true);
	assert_int_equal(ngone, 1);
	for (i = 0; i < 13; i++) {
		pass(SEC, 0);
		assert_int_equal(ngone, i + 2);
	}
	for (i = 1; i < 13; i++) {
		q = (unsigned int)(gone[i] - turns[0]) / TURNS;
		assert_int_not_equal(q, last);
		last = q;
	}
	for (i = 0; i < ngone; i++) {
		q = (unsigned int)(gone[i] - turns[0]) / TURNS;
		assert_ptr_equal(gone[i], &turns[q][count[q]]);
		count[q]++;
	}
	assert_int_equal(count[1], 4);
	assert_int_equal(count[2], 4);
	end();
}

/* Nobody comes in between while others wait, even if there is room by now. */
static void test_no_overtaking(void **state)
{
	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 10 });
	assert_false(add(2, 0, false));
	assert_true(add(0, 1, false));
	assert_true(add(0, 2, false));
	now += 100 * MS;			/* and the timer is late */
	assert_true(add(1, 0, false));
	assert_int_equal(ngone, 2);
	assert_ptr_equal(gone[1], &turns[0][1]);
	pass(100 * MS, 0);
	assert_ptr_equal(gone[2], &turns[1][0]);
	pass(100 * MS, 0);
	assert_ptr_equal(gone[3], &turns[0][2]);
	end();
}

/* Reads and writes that have limits of their own do not wait for each other. */
static void test_ways(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_RD].rate = 1,
				    .bps[BLK_LIMIT_WR].rate = 40960 });
	assert_false(add(0, 0, false));
	assert_true(add(0, 1, false));
	for (i = 2; i < 30; i++)
		assert_int_equal(add(0, i, true), i > 2);
	pass(900 * MS, 0);
	assert_int_equal(ngone, 11);		/* ten writes, one read */
	assert_true(turns[0][1].waits);
	pass(10 * MS, 0);
	assert_int_equal(ngone, 13);
	assert_false(turns[0][1].waits);
	assert_in_range(due - now, 1, 100 * MS);
	end();
}

/* One limit for both is the limit of each. */
static void test_both(void **state)
{
	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 10,
				    .bps[BLK_LIMIT_WR].rate = 4096 });
	assert_false(add(0, 0, true));
	assert_true(add(0, 1, true));
	assert_true(add(0, 2, false));
	pass(100 * MS, 0);
	assert_int_equal(ngone, 2);
	assert_ptr_equal(gone[1], &turns[0][2]);
	pass(799 * MS, 0);
	assert_int_equal(ngone, 2);
	pass(2 * MS, 0);
	assert_int_equal(ngone, 3);
	end();
}

/* Then they take turns. */
static void test_ways_take_turns(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 1,
				    .bps[BLK_LIMIT_RD].rate = 1 << 30 });
	for (i = 0; i < 8; i++)
		(void)add(0, i, i < 4);
	pass(10 * SEC, 0);
	assert_int_equal(ngone, 8);
	for (i = 0; i < 8; i++)
		assert_ptr_equal(gone[i], &turns[0][i / 2 + i % 2 * 4]);
	end();
}

static void test_burst(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){
		.iops[BLK_LIMIT_ALL] = { .rate = 10, .max = 100 },
		.burst_s = 1 });
	for (i = 0; i < TURNS; i++)
		(void)add(0, i, false);
	assert_int_equal(ngone, 10);
	pass(200 * MS, 0);
	assert_in_range(ngone, 29, 31);
	pass(400 * MS, 0);
	assert_int_equal(ngone, TURNS);
	end();
}

/* Those of one queue are taken back, the others' go on. */
static void test_take(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_RD].rate = 1,
				    .iops[BLK_LIMIT_WR].rate = 1 });
	for (i = 0; i < 4; i++)
		(void)add(0, i, i / 2);
	(void)add(1, 0, false);
	assert_int_equal(ngone, 2);
	assert_ptr_equal(vblk_throttle_take(t, 0), &turns[0][1]);
	assert_ptr_equal(vblk_throttle_take(t, 0), &turns[0][3]);
	assert_null(vblk_throttle_take(t, 0));
	assert_false(turns[0][1].waits);
	pass(SEC, 0);
	assert_int_equal(ngone, 3);
	assert_ptr_equal(gone[2], &turns[1][0]);
	assert_null(vblk_throttle_take(t, 1));
	due = 0;
	pass(SEC, 0);
	assert_int_equal(due, 0);
	end();
}

static void test_lift(void **state)
{
	unsigned int i;

	(void)state;
	start(&(struct blk_limits){ .iops[BLK_LIMIT_ALL].rate = 1 });
	for (i = 0; i < TURNS; i++)
		(void)add(i % QUEUES, i, false);
	assert_int_equal(ngone, 1);
	vblk_throttle_lift(t);
	assert_int_equal(ngone, TURNS);
	assert_false(add(0, 0, false));
	end();
}

/* However much is overdrawn, the timer is set to what it can take. */
static void test_far(void **state)
{
	(void)state;
	start(&(struct blk_limits){ .bps[BLK_LIMIT_ALL].rate = 1 });
	cost = UINT64_MAX;
	assert_false(add(0, 0, false));
	assert_true(add(0, 1, false));
	assert_int_equal(due - now, INT32_MAX * MS);
	pass(INT32_MAX * MS, 0);
	assert_int_equal(ngone, 1);
	assert_true(due > now);
	end();
	vblk_throttle_close(NULL);
}

static int open_loop(void **state)
{
	(void)state;
	return loop_open(&loop);
}

static int close_loop(void **state)
{
	(void)state;
	loop_close(loop);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_wait),
		cmocka_unit_test(test_hour),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_no_overtaking),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_ways_take_turns),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_lift),
		cmocka_unit_test(test_far),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, open_loop,
					   close_loop);
}
