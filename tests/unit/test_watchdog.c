/* SPDX-License-Identifier: MIT */
/*
 * test_watchdog.c: the service manager is a socket of the test's.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "log.h"
#include "loop.h"
#include "unit.h"
#include "watchdog.h"

static char name[32];
static struct unit_capture cap;
static struct loop *loop;
static int manager;

/* Return: how many WATCHDOG=1 there are, and nothing else. */
static unsigned int signs_of_life(void)
{
	unsigned int count = 0;
	char buf[64];
	ssize_t n;

	while ((n = recv(manager, buf, sizeof(buf), 0)) >= 0) {
		assert_int_equal(n, 10);
		assert_memory_equal(buf, "WATCHDOG=1", 10);
		count++;
	}
	return count;
}

static void end_fn(void *arg)
{
	loop_stop(arg, 0);
}

static void run_ms(unsigned int ms)
{
	struct loop_timer *end;

	assert_int_equal(loop_timer_add(loop, end_fn, loop, &end), 0);
	loop_timer_set(end, ms);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_del(end);
}

static void test_alive(void **state)
{
	struct watchdog *w;

	(void)state;
	assert_int_equal(setenv("WATCHDOG_USEC", "100000", 1), 0);
	assert_int_equal(watchdog_start(loop, &w), 0);
	assert_non_null(w);
	assert_int_equal(signs_of_life(), 1);
	run_ms(320);			/* every 50 ms, on a busy machine */
	assert_in_range(signs_of_life(), 2, 6);
	watchdog_stop(w);
	run_ms(120);
	assert_int_equal(signs_of_life(), 0);
}

/* Shorter than a timer can be, and longer. */
static void test_extremes(void **state)
{
	struct watchdog *w;

	(void)state;
	assert_int_equal(setenv("WATCHDOG_USEC", "1", 1), 0);
	assert_int_equal(watchdog_start(loop, &w), 0);
	run_ms(7);			/* the socket has room for ten */
	assert_in_range(signs_of_life(), 2, 8);
	watchdog_stop(w);

	assert_int_equal(setenv("WATCHDOG_USEC", "18446744073709551615", 1), 0);
	assert_int_equal(watchdog_start(loop, &w), 0);
	run_ms(50);
	assert_int_equal(signs_of_life(), 1);
	watchdog_stop(w);
}

static void test_nobody_asks(void **state)
{
	struct watchdog *w = (void *)1;

	(void)state;
	assert_int_equal(watchdog_start(loop, &w), 0);
	assert_null(w);
	watchdog_stop(w);
	assert_int_equal(signs_of_life(), 0);

	w = (void *)1;
	assert_int_equal(setenv("WATCHDOG_USEC", "soon", 1), 0);
	assert_int_equal(watchdog_start(loop, &w), -EINVAL);
	assert_ptr_equal(w, (void *)1);
	assert_int_equal(signs_of_life(), 0);
}

/* It goes on, and says once that nobody hears it. */
static void test_manager_is_gone(void **state)
{
	struct watchdog *w;

	(void)state;
	assert_int_equal(setenv("WATCHDOG_USEC", "2000", 1), 0);
	(void)close(manager);
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(watchdog_start(loop, &w), 0);
	run_ms(50);
	watchdog_stop(w);
	assert_string_equal(unit_capture_end(&cap),
		"<4>cannot tell $NOTIFY_SOCKET that we are alive: Connection refused\n");
}

static int setup(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)state;
	(void)snprintf(name, sizeof(name), "@xvd-watchdog-%d", getpid());
	memcpy(addr.sun_path + 1, name + 1, strlen(name + 1));
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(manager, (struct sockaddr *)&addr, (socklen_t)
		 (offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -1;
	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return loop_open(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_close(loop);
	(void)close(manager);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_alive),
	TEST(test_extremes),
	TEST(test_nobody_asks),
	TEST(test_manager_is_gone),
};

UNIT_MAIN(tests)
