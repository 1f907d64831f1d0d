/* SPDX-License-Identifier: MIT */
/*
 * test_logpipe.c: whatever comes through the pipe, what is shown is lines of
 * ours that say who it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include "log.h"
#include "logpipe.h"
#include "loop.h"
#include "unit.h"

static struct unit_capture cap;
static struct logpipe *lp;
static int far;

static void open_pipe(bool limited)
{
	log_init("xvd", true);
	log_topics = 0;
	assert_int_equal(logpipe_open("d7", limited, &lp, &far), 0);
	unit_capture_start(&cap, STDERR_FILENO);
}

static const char *close_pipe(void)
{
	const char *text = unit_capture_end(&cap);

	logpipe_close(lp);
	if (far >= 0)
		close(far);
	return text;
}

static void say(const char *text, size_t len)
{
	assert_int_equal(write(far, text, len), (ssize_t)len);
	logpipe_drain(lp);
}

static void test_lines(void **state)
{
	static const struct {
		const char *said, *shown;
		size_t len;		/* 0: up to the zero */
	} t[] = {
		{ "<3>d7 vblk0: a\n", "<3>d7 vblk0: a\n", 0 },
		{ "<4>d7: b\n", "<4>d7: b\n", 0 },
		{ "<6>d7 vblk0: a\n<6>d7 vnet1: b\n",
		  "<6>d7 vblk0: a\n<6>d7 vnet1: b\n", 0 },
		/* other levels are none of its business */
		{ "<0>d7: a\n", "<4>d7: a\n", 0 },
		{ "<9>d7: a\n", "<4>d7: a\n", 0 },
		{ "<x>d7: a\n", "<4>d7: a\n", 0 },
		/* no level, or not quite */
		{ "<\n", "<4>d7 worker: <\n", 0 },
		{ "<3\n", "<4>d7 worker: <3\n", 0 },
		{ "<33>d7: a\n", "<4>d7 worker: <33>d7: a\n", 0 },
		/* it is not somebody else */
		{ "<6>d70: a\n", "<6>d7 worker: d70: a\n", 0 },
		{ "<6>d8 vblk0: a\n", "<6>d7 worker: d8 vblk0: a\n", 0 },
		{ "<6>d\n", "<6>d7 worker: d\n", 0 },
		{ "<6>d7\n", "<6>d7 worker: d7\n", 0 },
		{ "x.c:1: f: Assertion `a' failed.\n",
		  "<4>d7 worker: x.c:1: f: Assertion `a' failed.\n", 0 },
		/* nothing, no end, zeros, terminals */
		{ "\n\n", "", 0 },
		{ "<4>", "<4>d7 worker: \n", 0 },
		{ "<4>d7: a", "<4>d7: a\n", 0 },
		{ "<4>d7: a\0<3>b\n", "<4>d7: a\n<3>d7 worker: b\n", 14 },
		{ "\0\0\0\n", "", 4 },
		{ "<4>d7: \x1b[2J\r%s%n\n", "<4>d7: \\x1b[2J\\x0d%s%n\n", 0 },
		/* debugging that nobody has asked for */
		{ "<7>d7: a\n", "", 0 },
	};
	const char *shown;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		open_pipe(true);
		say(t[i].said, t[i].len ? t[i].len : strlen(t[i].said));
		shown = close_pipe();
		if (strcmp(shown, t[i].shown) != 0)
			fail_msg("%zu: '%s'", i, shown);
	}
}

static void test_debug(void **state)
{
	int i, n = 0;
	const char *p;

	(void)state;
	open_pipe(true);
	log_topics = 1;
	for (i = 0; i < 1000; i++)
		say("<7>d7: a\n", 9);
	for (p = close_pipe(); *p; p += 9, n++)
		assert_memory_equal(p, "<7>d7: a\n", 9);
	assert_int_equal(n, 1000);
}

/* A line without an end has one all the same. */
static void test_endless(void **state)
{
	static char much[15000];
	const char *text;
	size_t i;

	(void)state;
	open_pipe(false);
	memset(much, 'x', sizeof(much));
	say(much, sizeof(much));
	text = close_pipe();
	for (i = 0; *text; i++) {
		assert_in_range(strcspn(text, "\n"), 100, 1024);
		text += strcspn(text, "\n") + 1;
	}
	assert_int_equal(i, (sizeof(much) + 2046) / 2047);
}

static void stop(void *arg)
{
	loop_stop(arg, 0);
}

static void run_ms(struct loop *loop, unsigned int ms)
{
	struct loop_timer *timer;

	assert_int_equal(loop_timer_add(loop, stop, loop, &timer), 0);
	loop_timer_set(timer, ms);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_del(timer);
}

static void test_watched(void **state)
{
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	open_pipe(true);
	assert_int_equal(logpipe_watch(lp, loop), 0);
	assert_int_equal(write(far, "<4>d7: ", 7), 7);
	run_ms(loop, 5);
	assert_int_equal(write(far, "in pieces\n", 10), 10);
	run_ms(loop, 5);
	close(far);
	far = -1;
	run_ms(loop, 5);			/* and is not looked at again */
	assert_string_equal(close_pipe(), "<4>d7: in pieces\n");
	loop_close(loop);
}

static void test_limit(void **state)
{
	unsigned int i, lines[2] = { 0, 0 };
	const char *p;
	int limited;

	(void)state;
	for (limited = 0; limited < 2; limited++) {
		open_pipe(limited);
		for (i = 0; i < 1000; i++)
			say("<6>d7: a\n", 9);
		for (p = close_pipe(); (p = strchr(p, '\n')); p++)
			lines[limited]++;
	}
	assert_int_equal(lines[0], 1000);
	assert_in_range(lines[1], 100, 110);
}

/* Debugging comes in bursts, and is of no use with holes in it. */
static void test_room(void **state)
{
	static char line[1000];
	int i;

	(void)state;
	open_pipe(false);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (i = 0; i < 500; i++)
		assert_int_equal(write(far, line, sizeof(line)), sizeof(line));
	say("<3>d7: the last\n", 16);
	assert_true(logpipe_has_error(lp));
	(void)close_pipe();
}

/* Its writer never waits, and has nothing to read. */
static void test_far_end(void **state)
{
	char c = 'x';
	int i;

	(void)state;
	open_pipe(true);
	for (i = 0; i < 1000000 && write(far, &c, 1) == 1; i++)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(read(far, &c, 1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(fcntl(far, F_GETFD), FD_CLOEXEC);
	(void)close_pipe();
}

static void test_error(void **state)
{
	(void)state;
	open_pipe(true);
	assert_false(logpipe_has_error(lp));
	say("<4>d7: a\nb\n", 11);
	assert_false(logpipe_has_error(lp));
	say("<3>d7: a\n", 9);
	assert_true(logpipe_has_error(lp));
	(void)close_pipe();
	logpipe_close(NULL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_lines),
	cmocka_unit_test(test_debug),
	cmocka_unit_test(test_endless),
	cmocka_unit_test(test_watched),
	cmocka_unit_test(test_limit),
	cmocka_unit_test(test_room),
	cmocka_unit_test(test_far_end),
	cmocka_unit_test(test_error),
};

UNIT_MAIN(tests)
