/* SPDX-License-Identifier: MIT */
/*
 * test_linkwatch.c: that interfaces change is told, in a network of our own.
 * Some of the kernel's refusals are hard to come by: socket(), bind() and
 * recv() are this file's own and refuse when told to.
 */
#include <dirent.h>
#include <dlfcn.h>

#include "linkwatch.h"
#include "log.h"
#include "loop.h"
#include "netlab.h"
#include "unit.h"

static int refuse_socket, refuse_bind;	/* an errno; 0: do not */
static int refuse_recv;			/* once */

int socket(int domain, int type, int protocol)
{
	static int (*real)(int, int, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "socket");
	if (refuse_socket) {
		errno = refuse_socket;
		return -1;
	}
	return real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "bind");
	if (refuse_bind) {
		errno = refuse_bind;
		return -1;
	}
	return real(fd, addr, len);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "recv");
	if (refuse_recv) {
		errno = refuse_recv;
		refuse_recv = 0;
		return -1;
	}
	return real(fd, buf, len, flags);
}

static const char *cannot;		/* run at all, because */

static struct loop *loop;
static struct loop_timer *timer;
static struct linkwatch *lw;
static unsigned int told;
static unsigned int fds_before;

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void on_change(void *arg)
{
	assert_ptr_equal(arg, &told);
	told++;
}

static void on_timer(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* What happens in so long.  Return: how often we were told. */
static unsigned int run(unsigned int ms)
{
	told = 0;
	loop_timer_set(timer, ms);
	assert_int_equal(loop_run(loop), 0);
	return told;
}

/* Waits until we are told, and then for silence: it is no endless tale. */
static bool is_told(void)
{
	unsigned int i;

	for (i = 0; i < 400; i++)
		if (run(5))
			break;
	if (i == 400)
		return false;
	for (i = 0; i < 400; i++)
		if (!run(20))
			return true;
	return false;
}

static int setup(void **state)
{
	(void)state;
	lw = NULL;
	fds_before = count_fds();
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_timer_add(loop, on_timer, NULL, &timer), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	refuse_socket = refuse_bind = refuse_recv = 0;
	linkwatch_close(lw);
	loop_timer_del(timer);
	loop_close(loop);
	assert_int_equal(count_fds(), fds_before);
	return 0;
}

static void opens(void)
{
	if (cannot) {
		print_message("# %s\n", cannot);
		skip();
	}
	assert_int_equal(linkwatch_open(loop, on_change, &told, &lw), 0);
}

static void test_changes(void **state)
{
	struct ifreq ifr;

	(void)state;
	opens();
	assert_int_equal(run(20), 0);		/* nothing is new */
	assert_int_equal(netlab_bridge("br9"), 0);
	assert_true(is_told());
	assert_int_equal(netlab_set_up("br9", false), 0);
	assert_true(is_told());
	ifr = netlab_ifr("br9");
	memcpy(ifr.ifr_newname, "br8", 4);
	assert_int_equal(netlab_ioctl(SIOCSIFNAME, &ifr), 0);
	assert_true(is_told());
	assert_int_equal(netlab_set_up("br8", true), 0);
	assert_true(is_told());
	assert_int_equal(netlab_set_up("br8", false), 0);
	assert_int_equal(netlab_del("br8"), 0);
	assert_true(is_told());
}

/* Of a tap that goes with its last descriptor, too. */
static void test_tap(void **state)
{
	int fd;

	(void)state;
	opens();
	fd = netlab_tap("tap9", 0);
	assert_true(fd >= 0);
	assert_true(is_told());
	assert_int_equal(netlab_set_up("tap9", true), 0);
	assert_true(is_told());
	close(fd);
	assert_true(is_told());
}

/* Much at once is told once, or a few times; and nothing is left unread. */
static void test_many(void **state)
{
	unsigned int i;

	(void)state;
	opens();
	assert_int_equal(netlab_bridge("br9"), 0);
	for (i = 0; i < 200; i++)
		assert_int_equal(netlab_set_up("br9", i % 2), 0);
	assert_in_range(run(50), 1, 20);
	assert_int_equal(run(20), 0);
	assert_int_equal(netlab_set_up("br9", false), 0);
	assert_int_equal(netlab_del("br9"), 0);
}

/* More than the socket has room for: what was lost may have been ours. */
static void test_overrun(void **state)
{
	unsigned int i;

	(void)state;
	opens();
	assert_int_equal(netlab_bridge("br9"), 0);
	for (i = 0; i < 2000; i++)
		assert_int_equal(netlab_set_up("br9", i % 2), 0);
	assert_in_range(run(100), 1, 100);
	assert_int_equal(run(20), 0);
	assert_int_equal(netlab_set_up("br9", false), 0);
	assert_true(is_told());
	assert_int_equal(netlab_del("br9"), 0);
}

/* Whatever the kernel says when it is asked: have a look. */
static void test_hint(void **state)
{
	static const int errors[] = { ENOBUFS, EINTR, EAGAIN, ENOMEM };
	unsigned int i;

	(void)state;
	opens();
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		refuse_recv = errors[i];
		assert_int_equal(netlab_bridge("br9"), 0);
		assert_true(is_told());
		assert_int_equal(refuse_recv, 0);
		assert_int_equal(netlab_set_up("br9", false), 0);
		assert_int_equal(netlab_del("br9"), 0);
		assert_true(is_told());
	}
}

static void test_refused(void **state)
{
	(void)state;
	refuse_socket = EMFILE;
	assert_int_equal(linkwatch_open(loop, on_change, &told, &lw), -EMFILE);
	assert_null(lw);
	refuse_socket = 0;
	refuse_bind = EPERM;
	assert_int_equal(linkwatch_open(loop, on_change, &told, &lw), -EPERM);
	assert_null(lw);
	linkwatch_close(NULL);
}

/* Who has closed it is not told of what was under way. */
static void test_closed(void **state)
{
	(void)state;
	opens();
	assert_int_equal(netlab_bridge("br9"), 0);
	linkwatch_close(lw);
	lw = NULL;
	assert_int_equal(run(20), 0);
	assert_int_equal(netlab_set_up("br9", false), 0);
	assert_int_equal(netlab_del("br9"), 0);
}

#define LINK_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	LINK_TEST(test_changes),
	LINK_TEST(test_tap),
	LINK_TEST(test_many),
	LINK_TEST(test_overrun),
	LINK_TEST(test_hint),
	LINK_TEST(test_refused),
	LINK_TEST(test_closed),
};

int main(void)
{
	log_init("test", false);
	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
