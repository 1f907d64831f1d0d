/* SPDX-License-Identifier: MIT */
/*
 * test_blk_null.c: the contract of blk_backend.h, on its smallest example:
 * done() exactly once, never from submit(), and allowed to start anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "blk_backend.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

#define DEPTH	4

struct fixture {
	struct loop		*loop;
	struct blk_backend	*be;
	struct blk_req		req[DEPTH + 1];
	int			done[DEPTH + 1];
	int			total;
	int			more;		/* done() starts as many */
	int			nested;
	int			deepest;
};

static struct fixture *fix;

static void on_done(struct blk_req *req, int err)
{
	assert_int_equal(err, 0);
	fix->done[req - fix->req]++;
	fix->total++;
	fix->nested++;
	if (fix->deepest < fix->nested)
		fix->deepest = fix->nested;
	if (fix->more > 0) {
		fix->more--;
		fix->be->ops->submit(fix->be, req);
		fix->be->ops->kick(fix->be);
		if (fix->more == 0)
			loop_stop(fix->loop, 7);
	}
	fix->nested--;
}

static int setup(void **state)
{
	const struct blk_info info = { .bytes = 1 << 20, .block_size = 512 };
	int i;

	fix = calloc(1, sizeof(*fix));
	assert_non_null(fix);
	for (i = 0; i <= DEPTH; i++)
		fix->req[i].done = on_done;
	assert_int_equal(loop_open(&fix->loop), 0);
	assert_int_equal(blk_null_ops.open(fix->loop, -1, &info, DEPTH,
					   &fix->be), 0);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	fix->be->ops->close(fix->be);
	loop_close(fix->loop);
	free(*state);
	return 0;
}

static void test_reads_zeroes(void **state)
{
	char a[512], b[1024];
	struct iovec iov[] = { { a, sizeof(a) }, { b, sizeof(b) } };
	size_t i;

	(void)state;
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	fix->req[0].op = BLK_READ;
	fix->req[0].bytes = sizeof(a) + sizeof(b);
	fix->req[0].iov = iov;
	fix->req[0].iovcnt = 2;
	fix->be->ops->submit(fix->be, &fix->req[0]);
	assert_int_equal(fix->total, 0);	/* not from submit() */
	assert_int_equal(a[0], 'x');
	fix->be->ops->kick(fix->be);
	assert_int_equal(fix->total, 1);
	for (i = 0; i < sizeof(a); i++)
		assert_int_equal(a[i], 0);
	for (i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], 0);
}

static void test_every_operation(void **state)
{
	static const enum blk_op ops[] = {
		BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES,
	};
	char a[512];
	struct iovec iov = { a, sizeof(a) };
	size_t i;

	(void)state;
	memset(a, 'x', sizeof(a));
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		fix->req[i].op = ops[i];
		if (ops[i] == BLK_WRITE) {
			fix->req[i].iov = &iov;
			fix->req[i].iovcnt = 1;
		}
		fix->req[i].bytes = ops[i] == BLK_FLUSH ? 0 : sizeof(a);
		fix->be->ops->submit(fix->be, &fix->req[i]);
	}
	fix->be->ops->kick(fix->be);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		assert_int_equal(fix->done[i], 1);
	assert_int_equal(a[0], 'x');
}

static void test_kick_without_requests(void **state)
{
	(void)state;
	fix->be->ops->kick(fix->be);
	assert_int_equal(fix->total, 0);
}

/* A kick() from done() must not recurse, and must not be forgotten. */
static void test_done_starts_anew(void **state)
{
	int i;

	(void)state;
	fix->more = 1000;
	for (i = 0; i < DEPTH; i++) {
		fix->req[i].op = BLK_FLUSH;
		fix->be->ops->submit(fix->be, &fix->req[i]);
	}
	fix->be->ops->kick(fix->be);
	assert_int_equal(fix->total, DEPTH);	/* the loop gets its turn */
	assert_int_equal(loop_run(fix->loop), 7);
	fix->be->ops->kick(fix->be);
	assert_int_equal(fix->total, 1000 + DEPTH);
	assert_int_equal(fix->deepest, 1);
}

/* More than were announced is a mistake of the caller's. */
static void test_depth_is_a_promise(void **state)
{
	const struct rlimit none = { 0, 0 };
	int status, i;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		for (i = 0; i <= DEPTH; i++)
			fix->be->ops->submit(fix->be, &fix->req[i]);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_takes_over_the_descriptor(void **state)
{
	const struct blk_info info = { .bytes = 512, .block_size = 512 };
	struct blk_backend *be;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(blk_null_ops.open(fix->loop, fd, &info, 1, &be), 0);
	be->ops->close(be);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
}

static void test_close_nothing(void **state)
{
	(void)state;
	blk_null_ops.close(NULL);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_reads_zeroes),
	T(test_every_operation),
	T(test_kick_without_requests),
	T(test_done_starts_anew),
	T(test_depth_is_a_promise),
	T(test_takes_over_the_descriptor),
	T(test_close_nothing),
};

UNIT_MAIN(tests)
