/* SPDX-License-Identifier: MIT */
/*
 * test_notify.c: the other end of $NOTIFY_SOCKET is a socket of the test's.
 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include "notify.h"
#include "unit.h"

static char dir[] = "/tmp/xvd-notify-XXXXXX";

/* A receiver.  @name as in the variable: "/path" or "@abstract". */
static int receiver(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && len < sizeof(addr.sun_path));
	memcpy(addr.sun_path, name, len);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, (socklen_t)
			      (offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void test_nobody_asks(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(notify_send("READY=1"), 0);
}

static void test_path(void **state)
{
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	fd = receiver(path);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(notify_send("READY=1"), 0);
	assert_int_equal(notify_send("STOPPING=1"), 0);
	expect(fd, "READY=1");
	expect(fd, "STOPPING=1");
	(void)close(fd);

	/* The manager has gone, but not its socket; and then that too. */
	assert_int_equal(notify_send("READY=1"), -ECONNREFUSED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(notify_send("READY=1"), -ENOENT);
}

static void test_abstract(void **state)
{
	char name[128];
	int fd;

	(void)state;
	(void)snprintf(name, sizeof(name), "@%s", dir);
	fd = receiver(name);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	assert_int_equal(notify_send("READY=1"), 0);
	expect(fd, "READY=1");
	(void)close(fd);
	assert_int_equal(notify_send("READY=1"), -ECONNREFUSED);
}

static void test_bad_address(void **state)
{
	static const char *const bad[] = { "", "/", "@", "relative",
					   "vsock:2:1234" };
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", bad[i], 1), 0);
		assert_int_equal(notify_send("READY=1"), -EINVAL);
	}

	/* One byte too long, and the longest. */
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(notify_send("READY=1"), -EINVAL);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(notify_send("READY=1"), -ENOENT);
}

static void test_no_descriptors(void **state)
{
	struct rlimit old, none;

	(void)state;
	assert_int_equal(setenv("NOTIFY_SOCKET", "/x", 1), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(notify_send("READY=1"), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(notify_send("READY=1"), -ENOENT);
}

/* A receiver that the variable names. */
static int listen_as(const char *name)
{
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return receiver(name);
}

static void test_reloading(void **state)
{
	struct timespec before, after;
	unsigned long long usec;
	char buf[128], name[64];
	ssize_t n;
	int fd, end = 0;

	(void)state;
	(void)snprintf(name, sizeof(name), "@%s", dir);
	fd = listen_as(name);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(notify_reloading(), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_int_equal(sscanf(buf, "RELOADING=1\nMONOTONIC_USEC=%llu%n",
				&usec, &end), 1);
	assert_int_equal(end, n);
	assert_in_range(usec, before.tv_sec * 1000000ull +
			(unsigned long long)before.tv_nsec / 1000,
			after.tv_sec * 1000000ull +
			(unsigned long long)after.tv_nsec / 1000);
	(void)close(fd);
}

static void test_status(void **state)
{
	static char much[400];
	char buf[512], name[64];
	ssize_t n;
	int fd;

	(void)state;
	(void)snprintf(name, sizeof(name), "@%s", dir);
	fd = listen_as(name);
	assert_int_equal(notify_status("%d guests, '%s'", 2, "\xc3\xa9"), 0);
	expect(fd, "STATUS=2 guests, '\xc3\xa9'");
	assert_int_equal(notify_status("'%s'", "a\nMAINPID=1\x1b.\xff"), 0);
	expect(fd, "STATUS='a?MAINPID=1?.?'");
	assert_int_equal(notify_status("%s", ""), 0);
	expect(fd, "STATUS=");

	/* Cut, and not within a character: here the last is of two bytes. */
	memset(much, 'x', 247);
	strcpy(much + 247, "\xc3\xa9yyyy");
	assert_int_equal(notify_status("%s", much), 0);
	n = recv(fd, buf, sizeof(buf), 0);
	assert_int_equal(n, 255);
	assert_memory_equal(buf + 253, "x?", 2);
	(void)close(fd);
}

static void test_watchdog(void **state)
{
	static const struct {
		const char *usec, *pid;	/* "": ours; NULL: none */
		int result;
		uint64_t interval;
	} t[] = {
		{ NULL, NULL, 0, 0 }, { NULL, "", 0, 0 }, { NULL, "x", 0, 0 },
		{ "30000000", "", 1, 30000000 },
		{ "30000000", NULL, 1, 30000000 },
		{ "1", "", 1, 1 },
		{ "18446744073709551615", "", 1, UINT64_MAX },
		/* somebody else's */
		{ "30000000", "1", 0, 0 }, { "x", "1", 0, 0 },
		/* no sense */
		{ "0", "", -EINVAL, 0 }, { "", "", -EINVAL, 0 },
		{ "-1", "", -EINVAL, 0 }, { " 1", "", -EINVAL, 0 },
		{ "1s", "", -EINVAL, 0 }, { "x", "", -EINVAL, 0 },
		{ "18446744073709551616", "", -EINVAL, 0 },
		{ "1", "x", -EINVAL, 0 }, { "1", "0", -EINVAL, 0 },
		{ "1", "-1", -EINVAL, 0 },
	};
	char ours[16];
	uint64_t usec;
	size_t i;
	int r;

	(void)state;
	(void)snprintf(ours, sizeof(ours), "%d", getpid());
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		(void)unsetenv("WATCHDOG_USEC");
		(void)unsetenv("WATCHDOG_PID");
		if (t[i].usec)
			(void)setenv("WATCHDOG_USEC", t[i].usec, 1);
		if (t[i].pid)
			(void)setenv("WATCHDOG_PID", *t[i].pid ? t[i].pid :
				     ours, 1);
		usec = 0;
		r = notify_watchdog(&usec);
		if (r != t[i].result || usec != t[i].interval)
			fail_msg("%zu: %d, %ju", i, r, (uintmax_t)usec);
	}
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_nobody_asks),
	cmocka_unit_test_setup_teardown(test_path, setup, teardown),
	cmocka_unit_test(test_abstract),
	cmocka_unit_test(test_bad_address),
	cmocka_unit_test(test_no_descriptors),
	cmocka_unit_test(test_reloading),
	cmocka_unit_test(test_status),
	cmocka_unit_test(test_watchdog),
};

UNIT_MAIN(tests)
