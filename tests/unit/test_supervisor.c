/* SPDX-License-Identifier: MIT */
/*
 * test_supervisor.c: workers that do not do what they are there for.  This
 * program plays them itself, when the supervisor executes it anew.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "log.h"
#include "loop.h"
#include "msg.h"
#include "state.h"
#include "supervisor.h"
#include "unit.h"
#include "util.h"
#include "worker.h"

#define PLAY	"TEST_SUPERVISOR_PLAYS"

/* ---- the workers ---- */

static void say(enum msg_type type, const void *body)
{
	if (msg_send(WORKER_FD, type, body, NULL, 0, true) < 0)
		_exit(99);
}

static void hear(enum msg_type type)
{
	struct msg msg;
	unsigned int i;

	do {
		if (msg_recv(WORKER_FD, MSG_FROM_SUPERVISOR, true, &msg) < 0)
			_exit(98);
		for (i = 0; i < msg.head.nfds; i++)
			close(msg.fds[i]);
	} while (msg.head.type != type);
}

static void ready(void)
{
	hear(MSG_SERVE);
	say(MSG_READY, NULL);
}

static void hang(void)
{
	for (;;)
		(void)pause();
}

static void log_text(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(97);
}

static void send_fd(void)
{
	union {
		struct cmsghdr	c;
		char		room[CMSG_SPACE(sizeof(int))];
	} control = { .c = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msg_head head = { MSG_MAGIC, MSG_VERSION, MSG_READY, 0, 1 };
	struct iovec iov = { &head, sizeof(head) };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	*(int *)(void *)CMSG_DATA(&control.c) = WORKER_FD;
	(void)sendmsg(WORKER_FD, &mh, 0);
}

static int play(const char *part)
{
	struct msg_text text = { -ENOSPC, "no room" };
	struct msg_head head = { MSG_MAGIC, MSG_VERSION + 1, MSG_READY, 0, 0 };

	(void)alarm(60);
	if (!strcmp(part, "exits"))
		return 9;
	if (!strcmp(part, "dies"))
		(void)raise(SIGABRT);
	if (!strncmp(part, "fails", 5)) {
		hear(MSG_SERVE);
		text.code = !strcmp(part, "fails-well") ? 0 : -ENOSPC;
		log_text("<4>d7: before that\n");
		say(MSG_FAILED, &text);
		if (!strcmp(part, "fails-and-hangs"))
			hang();
		return WORKER_EXIT_TOLD;
	}
	if (!strcmp(part, "early")) {
		log_text("<6>d7: registered\n");
		ready();
		hear(MSG_STOP);
		return 0;
	}
	if (!strcmp(part, "newer")) {
		(void)send(WORKER_FD, &head, sizeof(head), 0);
		return 0;
	}
	ready();
	if (!strcmp(part, "good"))
		hear(MSG_STOP);
	if (!strcmp(part, "good") || !strcmp(part, "leaves"))
		return 0;
	if (!strcmp(part, "told"))
		log_text("<3>d7: this is why\n");
	if (!strcmp(part, "told") || !strcmp(part, "untold"))
		return WORKER_EXIT_TOLD;
	if (!strcmp(part, "closes"))
		close(WORKER_FD);
	if (!strcmp(part, "empty"))
		(void)send(WORKER_FD, "", 0, 0);
	if (!strcmp(part, "repeats"))
		say(MSG_READY, NULL);
	if (!strcmp(part, "fd"))
		send_fd();
	if (!strcmp(part, "sys"))
		(void)raise(SIGSYS);
	hang();
	return 0;
}

/* ---- what becomes of them ---- */

static struct unit_capture cap;
static struct loop *loop;
static struct state *st;
static bool ended, clean;
static unsigned int nfds;

static unsigned int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void on_end(void *arg, bool was_clean)
{
	(void)arg;
	assert_false(ended);
	ended = true;
	clean = was_clean;
	loop_stop(loop, 0);
}

static int setup(void **state)
{
	(void)state;
	log_init("xvd", true);
	ended = clean = false;
	nfds = open_fds();
	return loop_open(&loop) || state_open(1, &st);
}

/* Nothing is left: no descriptor, no process, no zombie. */
static int teardown(void **state)
{
	(void)state;
	loop_close(loop);
	state_close(st);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(open_fds(), nfds);
	return 0;
}

static int start(const char *part, struct supervisor **ret, char why[256])
{
	const struct supervisor_opts opts = {
		.domid = 7, .sandbox = true, .state = st, .ended = on_end,
	};

	assert_int_equal(setenv(PLAY, part, 1), 0);
	return supervisor_open(loop, &opts, ret, why, 256);
}

static void test_no_start(void **state)
{
	static const struct {
		const char	*part;
		int		want;
		const char	*why, *log;
	} t[] = {
		{ "exits", -ECHILD, "d7: the worker ended with status 9 before it was ready", "" },
		{ "dies", -ECHILD, "d7: the worker was ended by signal 6 (Aborted) before it was ready", "" },
		{ "fails", -ENOSPC, "no room", "<4>d7: before that\n" },
		{ "fails-well", -EPROTO, "d7: the worker cannot be started: Protocol error", "<4>d7: before that\n" },
		{ "newer", -EPROTONOSUPPORT, "d7: the worker cannot be started: Protocol not supported", "" },
	};
	struct supervisor *s = NULL;
	char why[256];
	const char *log;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		unit_capture_start(&cap, STDERR_FILENO);
		r = start(t[i].part, &s, why);
		log = unit_capture_end(&cap);
		assert_null(s);
		if (r != t[i].want || strcmp(why, t[i].why) != 0 ||
		    strcmp(log, t[i].log) != 0)
			fail_msg("%s: %d '%s' '%s'", t[i].part, r, why, log);
	}
}

/* Who has served nobody has nothing to finish. */
static void test_no_start_no_end(void **state)
{
	uint64_t begin = loop_now_ms();
	struct supervisor *s;
	char why[256];

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(start("fails-and-hangs", &s, why), -ENOSPC);
	(void)unit_capture_end(&cap);
	assert_string_equal(why, "no room");
	assert_in_range(loop_now_ms() - begin, 500, 5000);
}

#define KILLED	"<3>d7: the worker was ended by signal 9 (Killed)\n"
#define HANGS	"<3>d7: the worker does not end: killing it\n"

static void run(const char *part, bool want_clean, const char *want)
{
	struct supervisor *s;
	char why[256];
	const char *log;

	ended = false;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(start(part, &s, why), 0);
	if (want_clean)
		supervisor_stop(s, false);
	assert_int_equal(loop_run(loop), 0);
	supervisor_stop(s, true);		/* is late, and fine */
	supervisor_close(s);
	log = unit_capture_end(&cap);
	assert_true(ended);
	if (clean != want_clean || strcmp(log, want) != 0)
		fail_msg("%s: %d '%s'", part, clean, log);
}

static void test_ends(void **state)
{
	(void)state;
	run("good", true, "");
	run("leaves", false, "<3>d7: the worker ended with status 0\n");
	run("told", false, "<3>d7: this is why\n");
	run("untold", false, "<3>d7: the worker ended with status 3\n");
	run("sys", false, "<3>d7: the worker was ended by signal 31 (Bad system call); its sandbox refused a system call, which the kernel's log names\n");
}

static void test_breaks_the_rules(void **state)
{
	(void)state;
	run("repeats", false, "<3>d7: the worker does not keep to what is agreed (Protocol error): killing it\n" KILLED);
	run("fd", false, "<3>d7: the worker does not keep to what is agreed (Bad file descriptor): killing it\n" KILLED);
	run("closes", false, HANGS KILLED);
	run("empty", false, HANGS KILLED);
}

/* The guest is gone, and the worker does not care. */
static void test_deaf(void **state)
{
	struct supervisor *s;
	char why[256];

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(start("hangs", &s, why), 0);
	supervisor_stop(s, false);
	supervisor_stop(s, true);		/* need not wait so long */
	assert_int_equal(loop_run(loop), 0);
	supervisor_close(s);
	assert_string_equal(unit_capture_end(&cap), HANGS KILLED);
	assert_false(clean);
}

/* It is not waited for in vain when it is closed, either. */
static void test_closed(void **state)
{
	struct supervisor *s;
	char why[256];

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(start("early", &s, why), 0);
	assert_string_equal(unit_capture_end(&cap), "<6>d7: registered\n");
	supervisor_close(s);
	assert_false(ended);
	supervisor_close(NULL);
}

#define SV_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	SV_TEST(test_no_start),
	SV_TEST(test_no_start_no_end),
	SV_TEST(test_ends),
	SV_TEST(test_breaks_the_rules),
	SV_TEST(test_deaf),
	SV_TEST(test_closed),
};

int main(int argc, char **argv)
{
	const char *part = getenv(PLAY);

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && part && strcmp(argv[1], WORKER_ARG) == 0)
		return play(part);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
