/* SPDX-License-Identifier: MIT */
/*
 * test_job.c: work on a thread, and its end on the loop.  What is hard to come
 * by is this file's own: pthread_create() and eventfd() refuse when told to.
 * To be run with helgrind or drd as well: nothing here is locked.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "job.h"
#include "log.h"
#include "loop.h"
#include "unit.h"

static int refuse_thread, refuse_event;		/* an errno; 0: do not */
static bool event_is_a_file;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*fn)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *,
			   void *(*)(void *), void *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return refuse_thread ? refuse_thread : real(thread, attr, fn, arg);
}

int eventfd(unsigned int count, int flags)
{
	static int (*real)(unsigned int, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "eventfd");
	if (event_is_a_file)
		return memfd_create("no event", MFD_CLOEXEC);
	if (!refuse_event)
		return real(count, flags);
	errno = refuse_event;
	return -1;
}

/* ---- what every test has ---- */

#define MANY	40

static struct loop *loop;
static unsigned int fds_before, fds_idle;	/* without, with a loop */

struct task {
	pthread_t	thread;
	sigset_t	blocked;
	int		wait_for;	/* reads a byte of it first; or -1 */
	unsigned int	worked, done;
};

static struct task tasks[MANY];
static unsigned int done_in_all, done_last;	/* stop at so many */
static struct task *order[MANY];

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

/* On its thread: nothing is asserted here. */
static void work(void *arg)
{
	struct task *t = arg;
	char c;

	t->thread = pthread_self();
	(void)pthread_sigmask(SIG_SETMASK, NULL, &t->blocked);
	if (t->wait_for >= 0 && read(t->wait_for, &c, 1) != 1)
		return;
	t->worked++;
}

static void done(void *arg)
{
	struct task *t = arg;

	assert_int_equal(t->worked, 1);
	assert_int_equal(t->done, 0);
	t->done++;
	order[done_in_all++] = t;
	if (done_in_all == done_last)
		loop_stop(loop, 0);
}

static void wait_for_all(unsigned int count)
{
	done_last = count;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(done_in_all, count);
}

static int setup(void **state)
{
	unsigned int i;

	(void)state;
	(void)alarm(60);
	memset(tasks, 0, sizeof(tasks));
	for (i = 0; i < MANY; i++)
		tasks[i].wait_for = -1;
	done_in_all = done_last = 0;
	fds_before = count_fds();
	assert_int_equal(loop_open(&loop), 0);
	fds_idle = count_fds();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	refuse_thread = refuse_event = 0;
	event_is_a_file = false;
	loop_close(loop);
	assert_int_equal(count_fds(), fds_before);
	return 0;
}

/* ---- what is right ---- */

static void test_one(void **state)
{
	(void)state;
	assert_int_equal(job_start(loop, work, done, &tasks[0]), 0);
	assert_int_equal(tasks[0].done, 0);
	wait_for_all(1);
	assert_false(pthread_equal(tasks[0].thread, pthread_self()));
}

/* All at once: each waits for a byte, and the last to start gets the first. */
static void test_many(void **state)
{
	int pipes[MANY][2], i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		tasks[i].wait_for = pipes[i][0];
		assert_int_equal(job_start(loop, work, done, &tasks[i]), 0);
	}
	for (i = MANY - 1; i >= 0; i--) {
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
		wait_for_all((unsigned int)(MANY - i));
		assert_ptr_equal(order[MANY - 1 - i], &tasks[i]);
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

/* The loop does not wait for it. */
static struct task slow;

static void on_timer(void *arg)
{
	assert_int_equal(slow.done, 0);
	assert_int_equal(write(*(int *)arg, "x", 1), 1);
}

static void test_slow(void **state)
{
	struct loop_timer *timer;
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	slow = (struct task){ .wait_for = fd[0] };
	assert_int_equal(loop_timer_add(loop, on_timer, &fd[1], &timer), 0);
	loop_timer_set(timer, 30);
	assert_int_equal(job_start(loop, work, done, &slow), 0);
	wait_for_all(1);
	loop_timer_del(timer);
	close(fd[0]);
	close(fd[1]);
}

/* One job leads to the next, as a guest's do; what it had is its owner's. */
static void done_and_again(void *arg)
{
	struct task *t = arg;

	assert_int_equal(t->worked, 1);
	free(t);
	if (++done_in_all == 10) {
		loop_stop(loop, 0);
		return;
	}
	t = calloc(1, sizeof(*t));
	assert_non_null(t);
	t->wait_for = -1;
	assert_int_equal(job_start(loop, work, done_and_again, t), 0);
}

static void test_chain(void **state)
{
	struct task *t = calloc(1, sizeof(*t));

	(void)state;
	assert_non_null(t);
	t->wait_for = -1;
	assert_int_equal(job_start(loop, work, done_and_again, t), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(done_in_all, 10);
}

/* Signals are the loop's: none of them ends up in a script's thread. */
static void test_signals(void **state)
{
	sigset_t before, after;
	int sig;

	(void)state;
	sigemptyset(&before);
	sigaddset(&before, SIGUSR1);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(job_start(loop, work, done, &tasks[0]), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	wait_for_all(1);
	for (sig = 1; sig <= SIGRTMAX; sig++) {
		assert_int_equal(sigismember(&after, sig), sig == SIGUSR1);
		if (sig == SIGKILL || sig == SIGSTOP ||
		    (sig > SIGSYS && sig < SIGRTMIN))	/* the C library's */
			continue;
		if (!sigismember(&tasks[0].blocked, sig))
			fail_msg("signal %d is not blocked", sig);
	}
	sigemptyset(&before);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* ---- what is wrong ---- */

/* Neither is called, and nothing is left. */
static void test_refused(void **state)
{
	struct unit_capture c;
	sigset_t mask;
	int r;

	(void)state;
	refuse_thread = EAGAIN;
	assert_int_equal(job_start(loop, work, done, &tasks[0]), -EAGAIN);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	assert_int_equal(sigismember(&mask, SIGTERM), 0);
	refuse_thread = 0;
	refuse_event = EMFILE;
	assert_int_equal(job_start(loop, work, done, &tasks[0]), -EMFILE);
	refuse_event = 0;
	event_is_a_file = true;			/* cannot be watched */
	unit_capture_start(&c, STDERR_FILENO);	/* libevent complains */
	r = job_start(loop, work, done, &tasks[0]);
	(void)unit_capture_end(&c);
	assert_int_equal(r, -EPERM);
	event_is_a_file = false;
	assert_int_equal(tasks[0].worked, 0);
	assert_int_equal(count_fds(), fds_idle);
	/* and all is well again */
	assert_int_equal(job_start(loop, work, done, &tasks[0]), 0);
	wait_for_all(1);
}

#define JOB_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	JOB_TEST(test_one),
	JOB_TEST(test_many),
	JOB_TEST(test_slow),
	JOB_TEST(test_chain),
	JOB_TEST(test_signals),
	JOB_TEST(test_refused),
};

int main(void)
{
	log_init("test", false);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
