/* SPDX-License-Identifier: MIT */
/*
 * test_loop.c: the event loop: order, fairness, deleting things at the worst
 * moment (run it under ASan), and failures of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <event2/event.h>
#include "log.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

/* ---- memory of libevent's that runs out when we want ---- */

static long mem_left = LONG_MAX;

static void *mem_alloc(size_t bytes)
{
	return mem_left-- > 0 ? malloc(bytes) : NULL;
}

static void *mem_realloc(void *p, size_t bytes)
{
	return mem_left-- > 0 ? realloc(p, bytes) : NULL;
}

/* ---- a loop with a pipe and a diary ---- */

struct fixture {
	struct loop		*loop;
	struct loop_fd		*watch, *watch2;
	struct loop_timer	*timer, *timer2;
	int			pipe[2], pipe2[2];
	char			diary[64];
	struct loop_work	a, b, c;
	int			count;
};

static struct fixture *fix;		/* what works and callbacks write to */

static void note(char c)
{
	size_t n = strlen(fix->diary);

	assert_true(n + 1 < sizeof(fix->diary));
	fix->diary[n] = c;
}

static void fill(int fd)
{
	assert_int_equal(write(fd, "x", 1), 1);
}

static void drain(int fd)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_open(&f->loop), 0);
	assert_int_equal(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(f->pipe2, O_CLOEXEC | O_NONBLOCK), 0);
	fix = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_timer_del(f->timer);
	loop_timer_del(f->timer2);
	loop_fd_del(f->watch);
	loop_fd_del(f->watch2);
	loop_close(f->loop);
	(void)close(f->pipe[0]);
	(void)close(f->pipe[1]);
	(void)close(f->pipe2[0]);
	(void)close(f->pipe2[1]);
	free(f);
	fix = NULL;
	return 0;
}

static void on_stop(void *arg)
{
	(void)arg;
	note('S');
	loop_stop(fix->loop, 7);
}

static void work_stop(struct loop_work *work)
{
	(void)work;
	note('s');
	loop_stop(fix->loop, 5);
}

static void work_note(struct loop_work *work)
{
	note(work == &fix->a ? 'a' : work == &fix->b ? 'b' : 'c');
}

/* ---- running and stopping ---- */

static void test_stop(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_stop;
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_false(f->a.queued);

	/* It can run again; and stopped before it runs, it does not. */
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	loop_defer(f->loop, &f->a);
	loop_stop(f->loop, 3);
	assert_int_equal(loop_run(f->loop), 3);
	assert_string_equal(f->diary, "ss");
	assert_true(f->a.queued);
}

static void test_nothing_after_stop(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_stop;
	f->b.fn = work_note;
	loop_defer(f->loop, &f->a);
	loop_defer(f->loop, &f->b);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "s");
	loop_defer_cancel(&f->b);

	/* Two descriptors are ready: whichever comes first is the last. */
	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL,
				     &f->watch), 0);
	assert_int_equal(loop_fd_add(f->loop, f->pipe2[0], on_stop, NULL,
				     &f->watch2), 0);
	fill(f->pipe[1]);
	fill(f->pipe2[1]);
	f->a.fn = work_note;
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "sS");
}

static void test_null(void **state)
{
	(void)state;
	loop_close(NULL);
	loop_fd_del(NULL);
	loop_timer_del(NULL);
}

/* ---- descriptors ---- */

static void on_read(void *arg)
{
	drain(*(int *)arg);
	note('r');
	if (++fix->count == 3)
		loop_stop(fix->loop, 0);
}

static void test_fd(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_read, f->pipe,
				     &f->watch), 0);
	fill(f->pipe[1]);
	fill(f->pipe[1]);
	fill(f->pipe[1]);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->diary, "rrr");
	assert_int_equal(fcntl(f->pipe[0], F_GETFD), FD_CLOEXEC);

	/* Deleted: not called, and the descriptor is still ours. */
	loop_fd_del(f->watch);
	f->watch = NULL;
	fill(f->pipe[1]);
	f->a.fn = work_stop;
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "rrrs");
	drain(f->pipe[0]);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_read, f->pipe,
				     &f->watch), 0);
	f->a.fn = work_stop;
	fill(f->pipe[1]);
	loop_fd_pause(f->watch);
	loop_fd_pause(f->watch);
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "s");
	loop_fd_resume(f->watch);
	loop_fd_resume(f->watch);
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "srs");
	loop_fd_pause(f->watch);		/* and deleted as it is */
}

static void on_write(void *arg)
{
	(void)arg;
	note('w');
	loop_fd_pause(fix->watch);
	loop_defer(fix->loop, &fix->a);
}

/* A full pipe has no room until somebody reads. */
static void test_write(void **state)
{
	struct fixture *f = *state;
	char much[4096] = { 0 };

	while (write(f->pipe[1], much, sizeof(much)) > 0)
		;
	assert_int_equal(loop_fd_add_write(f->loop, f->pipe[1], on_write,
					   NULL, &f->watch), 0);
	f->a.fn = work_stop;
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "s");
	while (read(f->pipe[0], much, sizeof(much)) > 0)
		;
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "sws");
}

static void on_delete_both(void *arg)
{
	(void)arg;
	note('D');
	loop_fd_del(fix->watch);
	loop_fd_del(fix->watch2);
	fix->watch = NULL;
	fix->watch2 = NULL;
	loop_defer(fix->loop, &fix->a);
}

/* A callback deletes its own watch and one that is about to be called. */
static void test_fd_delete_in_callback(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_delete_both,
				     NULL, &f->watch), 0);
	assert_int_equal(loop_fd_add(f->loop, f->pipe2[0], on_delete_both,
				     NULL, &f->watch2), 0);
	fill(f->pipe[1]);
	fill(f->pipe2[1]);
	f->a.fn = work_stop;
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "Ds");
}

static void test_fd_refused(void **state)
{
	struct fixture *f = *state;
	struct loop_fd *w = (void *)f;
	struct unit_capture cap;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(loop_fd_add(f->loop, -1, on_read, NULL, &w), -EBADF);
	assert_int_equal(loop_fd_add_write(f->loop, -1, on_read, NULL, &w),
			 -EBADF);

	/* libevent's complaints arrive in our log. */
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(loop_fd_add(f->loop, fd, on_read, NULL, &w), -EPERM);
	assert_memory_equal(unit_capture_end(&cap), "<4>libevent: ", 13);
	unit_capture_start(&cap, STDERR_FILENO);
	(void)close(fd);
	assert_int_equal(loop_fd_add(f->loop, fd, on_read, NULL, &w), -EBADF);
	(void)unit_capture_end(&cap);
	assert_ptr_equal(w, f);		/* untouched on failure */
}

/* ---- signals ---- */

static void test_signal(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_signal_add(f->loop, SIGUSR1, on_stop, NULL,
					 &f->watch), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(loop_run(f->loop), 7);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "SS");
}

static void test_signal_refused(void **state)
{
	struct fixture *f = *state;
	struct loop_fd *w = (void *)f;
	struct unit_capture cap;

	assert_int_equal(loop_signal_add(f->loop, 0, on_stop, NULL, &w),
			 -EINVAL);
	assert_int_equal(loop_signal_add(f->loop, NSIG, on_stop, NULL, &w),
			 -EINVAL);
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(loop_signal_add(f->loop, SIGKILL, on_stop, NULL, &w),
			 -EINVAL);
	(void)unit_capture_end(&cap);
	assert_ptr_equal(w, f);
}

/* ---- timers ---- */

static void on_timer(void *arg)
{
	(void)arg;
	note('t');
}

static void on_timer_rearm(void *arg)
{
	(void)arg;
	note('t');
	if (++fix->count < 3)
		loop_timer_set(fix->timer, 1);
	else
		loop_stop(fix->loop, 0);
}

static void on_timer_delete(void *arg)
{
	(void)arg;
	note('d');
	loop_timer_del(fix->timer);
	fix->timer = NULL;
	loop_defer(fix->loop, &fix->a);
}

static void test_timer_once(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	assert_int_equal(loop_timer_add(f->loop, on_timer, NULL, &f->timer), 0);
	assert_int_equal(loop_timer_add(f->loop, on_stop, NULL, &f->timer2), 0);
	start = loop_now_ms();
	loop_timer_set(f->timer, 1);
	loop_timer_set(f->timer2, 60);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "tS");	/* once, not every 1 ms */
	/* The loop's clock has ticks of up to 10 ms. */
	assert_true(loop_now_ms() - start >= 50);
}

static void test_timer_moved_and_stopped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_timer_add(f->loop, on_timer, NULL, &f->timer), 0);
	assert_int_equal(loop_timer_add(f->loop, on_stop, NULL, &f->timer2), 0);

	loop_timer_stop(f->timer);		/* not running is fine */
	loop_timer_set(f->timer, 1);
	loop_timer_set(f->timer, 60 * 1000);	/* moved away */
	loop_timer_set(f->timer2, 40);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "S");

	loop_timer_set(f->timer, 1);		/* moved near, then stopped */
	loop_timer_stop(f->timer);
	loop_timer_set(f->timer2, 40);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "SS");
}

static void test_timer_rearmed_in_callback(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_timer_add(f->loop, on_timer_rearm, NULL,
					&f->timer), 0);
	loop_timer_set(f->timer, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->diary, "ttt");
}

static void test_timer_deleted_in_callback(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_stop;
	assert_int_equal(loop_timer_add(f->loop, on_timer_delete, NULL,
					&f->timer), 0);
	loop_timer_set(f->timer, 1);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "ds");
}

static void test_now(void **state)
{
	uint64_t a = loop_now_ms(), b;

	(void)state;
	(void)usleep(2000);
	b = loop_now_ms();
	assert_true(b > a);
	assert_true(b < a + 60 * 1000);
}

/* ---- deferred work ---- */

static void work_chain(struct loop_work *work)
{
	work_note(work);
	fill(fix->pipe[1]);
	loop_defer(fix->loop, &fix->b);
	loop_defer(fix->loop, &fix->c);
	loop_defer(fix->loop, &fix->b);		/* already: does nothing */
}

/* Work of work is done in the same turn: no descriptor comes in between. */
static void test_defer_order(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_chain;
	f->b.fn = work_note;
	f->c.fn = work_stop;
	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_read, f->pipe,
				     &f->watch), 0);
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "abs");
}

static void test_defer_twice_and_cancel(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_note;
	f->b.fn = work_note;
	f->c.fn = work_stop;
	loop_defer_cancel(&f->a);		/* not queued is fine */
	loop_defer(f->loop, &f->a);
	loop_defer(f->loop, &f->b);
	loop_defer(f->loop, &f->c);
	loop_defer(f->loop, &f->a);		/* keeps its place, once */
	assert_true(f->a.queued && f->b.queued && f->c.queued);
	loop_defer_cancel(&f->b);
	assert_false(f->b.queued);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "as");
}

static void work_cancel_next(struct loop_work *work)
{
	work_note(work);
	loop_defer_cancel(&fix->b);
}

static void test_defer_cancel_in_work(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_cancel_next;
	f->b.fn = work_note;
	f->c.fn = work_stop;
	loop_defer(f->loop, &f->a);
	loop_defer(f->loop, &f->b);
	loop_defer(f->loop, &f->c);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "as");
}

static void work_again(struct loop_work *work)
{
	fix->count++;
	loop_defer(fix->loop, work);
	assert_true(work->queued);
}

static void work_fill_again(struct loop_work *work)
{
	if (fix->count++ == 0)
		fill(fix->pipe[1]);
	loop_defer(fix->loop, work);
}

/*
 * Work that defers itself runs once a turn: a descriptor comes in between at
 * once.
 */
static void test_defer_self(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_again;
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL,
				     &f->watch), 0);
	f->b.fn = work_note;
	loop_defer(f->loop, &f->b);
	fill(f->pipe[1]);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "S");
	assert_int_equal(f->count, 0);		/* the descriptor was first */

	/* Now it becomes ready while the work runs: once, and not again. */
	drain(f->pipe[0]);
	loop_defer_cancel(&f->b);
	f->a.fn = work_fill_again;
	assert_int_equal(loop_run(f->loop), 7);
	assert_int_equal(f->count, 1);

	/* For long, and a timer is heard too. */
	drain(f->pipe[0]);
	f->a.fn = work_again;
	f->b.fn = work_again;
	loop_defer(f->loop, &f->b);
	assert_int_equal(loop_timer_add(f->loop, on_stop, NULL, &f->timer), 0);
	loop_timer_set(f->timer, 20);
	assert_int_equal(loop_run(f->loop), 7);
	assert_true(f->count > 3);
	assert_true(f->a.queued);
	loop_defer_cancel(&f->a);		/* from the second list */
	loop_defer_cancel(&f->b);
}

static void work_ping(struct loop_work *work)
{
	if (fix->count++ == 0)
		fill(fix->pipe[1]);
	loop_defer(fix->loop, work == &fix->a ? &fix->b : &fix->a);
}

/* Two works that feed each other for ever do not shut out a descriptor. */
static void test_defer_budget(void **state)
{
	struct fixture *f = *state;

	f->a.fn = work_ping;
	f->b.fn = work_ping;
	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL,
				     &f->watch), 0);
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 7);
	assert_string_equal(f->diary, "S");
	assert_true(f->count > 1 && f->count <= 64);
	loop_defer_cancel(&f->a);
	loop_defer_cancel(&f->b);
}

static void work_free(struct loop_work *work)
{
	note('f');
	free(work);
}

static void test_defer_freed_by_itself(void **state)
{
	struct fixture *f = *state;
	struct loop_work *work = calloc(1, sizeof(*work));

	assert_non_null(work);
	work->fn = work_free;
	f->a.fn = work_stop;
	loop_defer(f->loop, work);
	loop_defer(f->loop, &f->a);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->diary, "fs");
}

/* Work that is queued when the loop goes is forgotten, on both lists. */
static void test_close_with_work(void **state)
{
	struct fixture *f = *state;
	struct loop *loop;

	assert_int_equal(loop_open(&loop), 0);
	f->a.fn = work_note;
	loop_defer(loop, &f->a);
	loop_defer(loop, &f->b);
	loop_close(loop);
	assert_false(f->a.queued);
	assert_false(f->b.queued);
	loop_defer_cancel(&f->a);
	assert_string_equal(f->diary, "");
}

/* ---- libevent runs out of memory ---- */

static void test_no_memory(void **state)
{
	struct fixture *f = *state;
	struct loop *loop = (void *)f;
	struct loop_fd *w = (void *)f;
	struct loop_timer *t = (void *)f;
	struct unit_capture cap;
	long n;

	unit_capture_start(&cap, STDERR_FILENO);
	for (n = 0; n < 3; n++) {
		mem_left = n;
		assert_int_equal(loop_open(&loop), -ENOMEM);
	}
	mem_left = 0;
	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL, &w),
			 -ENOMEM);
	assert_int_equal(loop_timer_add(f->loop, on_stop, NULL, &t), -ENOMEM);
	mem_left = 1;			/* the event, but not its place */
	assert_true(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL, &w) < 0);
	mem_left = LONG_MAX;
	(void)unit_capture_end(&cap);
	assert_ptr_equal(loop, f);
	assert_ptr_equal(w, f);
	assert_ptr_equal(t, f);

	/* A timer that finds no room is said to be lost. */
	assert_int_equal(loop_timer_add(f->loop, on_stop, NULL, &f->timer), 0);
	log_init("xvd", true);
	mem_left = 0;
	unit_capture_start(&cap, STDERR_FILENO);
	loop_timer_set(f->timer, 1);
	mem_left = LONG_MAX;
	assert_non_null(strstr(unit_capture_end(&cap),
			       "<3>out of memory: a timer is lost\n"));
}

/* ---- and the kernel fails us ---- */

/* Return: the descriptor that the one open loop waits with. */
static int epoll_fd(void)
{
	char path[64], what[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 1024; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, what, sizeof(what) - 1);
		if (n < 0)
			continue;
		what[n] = '\0';
		if (strcmp(what, "anon_inode:[eventpoll]") == 0)
			return fd;
	}
	return -1;
}

static void test_wait_fails(void **state)
{
	struct fixture *f = *state;
	struct unit_capture cap;
	int fd = epoll_fd(), saved;

	assert_int_equal(loop_fd_add(f->loop, f->pipe[0], on_stop, NULL,
				     &f->watch), 0);
	assert_true(fd >= 0);
	saved = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	assert_true(saved >= 0);
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(dup2(f->pipe2[0], fd), fd);	/* EINVAL from now on */
	assert_int_equal(loop_run(f->loop), -EIO);
	assert_int_equal(dup2(saved, fd), fd);
	(void)close(saved);
	assert_non_null(strstr(unit_capture_end(&cap),
			       "<3>the event loop failed\n"));
	assert_string_equal(f->diary, "");
}

#define LOOP_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	LOOP_TEST(test_stop),
	LOOP_TEST(test_nothing_after_stop),
	cmocka_unit_test(test_null),
	LOOP_TEST(test_fd),
	LOOP_TEST(test_pause),
	LOOP_TEST(test_write),
	LOOP_TEST(test_fd_delete_in_callback),
	LOOP_TEST(test_fd_refused),
	LOOP_TEST(test_signal),
	LOOP_TEST(test_signal_refused),
	LOOP_TEST(test_timer_once),
	LOOP_TEST(test_timer_moved_and_stopped),
	LOOP_TEST(test_timer_rearmed_in_callback),
	LOOP_TEST(test_timer_deleted_in_callback),
	cmocka_unit_test(test_now),
	LOOP_TEST(test_defer_order),
	LOOP_TEST(test_defer_twice_and_cancel),
	LOOP_TEST(test_defer_cancel_in_work),
	LOOP_TEST(test_defer_self),
	LOOP_TEST(test_defer_budget),
	LOOP_TEST(test_defer_freed_by_itself),
	LOOP_TEST(test_close_with_work),
	LOOP_TEST(test_no_memory),
	LOOP_TEST(test_wait_fails),
};

int main(void)
{
	event_set_mem_functions(mem_alloc, mem_realloc, free);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
