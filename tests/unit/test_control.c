/* SPDX-License-Identifier: MIT */
/*
 * test_control.c: clients of all kinds, and a handler that answers at once,
 * later, or too late.  All of them are in this process: the loop runs while a
 * client waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <json-c/json.h>

#include "control.h"
#include "log.h"
#include "loop.h"
#include "unit.h"

#define LIST	"{\"version\":1,\"command\":\"list\"}"
#define OK	"{\"ok\":true,\"result\":{}}"
#define EXAMPLE	"{\\\"version\\\":1,\\\"command\\\":\\\"list\\\"}"

enum how { AT_ONCE, LATER, REFUSE, ECHO, CLOSE };

static struct {
	struct loop		*loop;
	struct control		*control;
	enum how		how;
	unsigned int		calls;
	struct control_call	*kept[32];
	struct json_object	*result;	/* for AT_ONCE */
	char			why[512];
	char			dir[64];
	char			path[100];
	struct unit_capture	cap;
} t;

static void handle(void *arg, struct control_call *call,
		   struct json_object *request)
{
	assert_ptr_equal(arg, &t);
	switch (t.how) {
	case AT_ONCE:
		control_answer(call, t.result);
		t.result = NULL;
		break;
	case LATER:
		t.kept[t.calls] = call;
		break;
	case REFUSE:
		control_refuse(call, "no %s: \n\x1b \xff", "way");
		break;
	case ECHO:
		control_answer(call, json_object_get(request));
		break;
	case CLOSE:
		control_close(t.control);
		t.control = NULL;
		control_answer(call, NULL);
		break;
	}
	t.calls++;
}

static int open_at(const char *path, const char *group, struct control **ret)
{
	t.why[0] = '\0';
	return control_open(t.loop, path, group, handle, &t, ret, t.why,
			    sizeof(t.why));
}

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/xvd-control-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/sub/sock", t.dir);
	log_init("xvd", true);
	assert_int_equal(loop_open(&t.loop), 0);
	assert_int_equal(open_at(t.path, NULL, &t.control), 0);
	(void)alarm(60);		/* a failure must not hang */
	return 0;
}

static int teardown(void **state)
{
	char sub[96];

	(void)state;
	control_close(t.control);
	loop_close(t.loop);
	snprintf(sub, sizeof(sub), "%s/sub", t.dir);
	/* Nothing may be left in there. */
	return rmdir(sub) < 0 || rmdir(t.dir) < 0;
}

/* ---- a client ---- */

static void stop(void *arg)
{
	loop_stop(arg, 0);
}

static void run_ms(unsigned int ms)
{
	struct loop_timer *timer;

	assert_int_equal(loop_timer_add(t.loop, stop, t.loop, &timer), 0);
	loop_timer_set(timer, ms);
	assert_int_equal(loop_run(t.loop), 0);
	loop_timer_del(timer);
}

/* Runs for so long.  Return: how much of it the processor was busy. */
static unsigned int busy_ms(unsigned int ms)
{
	struct rusage then, now;

	assert_int_equal(getrusage(RUSAGE_SELF, &then), 0);
	run_ms(ms);
	assert_int_equal(getrusage(RUSAGE_SELF, &now), 0);
	return (unsigned int)((now.ru_utime.tv_sec + now.ru_stime.tv_sec -
			       then.ru_utime.tv_sec - then.ru_stime.tv_sec) *
			      1000 +
			      (now.ru_utime.tv_usec + now.ru_stime.tv_usec -
			       then.ru_utime.tv_usec - then.ru_stime.tv_usec) /
			      1000);
}

static int client_open(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, t.path);
	assert_int_equal(connect(fd, (void *)&addr, sizeof(addr)), 0);
	return fd;
}

/* All of it, with the loop running where it has to be waited. */
static void say_bytes(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;		/* the answer says why */
		if (n < 0)
			run_ms(1);
		else
			text += n, len -= (size_t)n;
	}
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* The next line, without its newline; "" is the end. */
static const char *hear(int fd)
{
	static char line[65536 * 3];
	size_t len = 0;
	int i = 0;
	ssize_t n;

	while (len < sizeof(line) - 1) {
		n = recv(fd, line + len, 1, 0);
		if (n < 0 && errno == EAGAIN) {
			assert_true(i++ < 3000);
			run_ms(1);
			continue;
		}
		if (n <= 0 || line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return line;
}

static const char *ask(const char *text)
{
	static char line[4096];
	int fd = client_open();

	say(fd, text);
	say(fd, "\n");
	snprintf(line, sizeof(line), "%s", hear(fd));
	close(fd);
	return line;
}

/* ---- requests and answers ---- */

static void test_answers(void **state)
{
	(void)state;
	assert_string_equal(ask(LIST), OK);
	t.result = json_object_new_object();
	json_object_object_add(t.result, "path",
			       json_object_new_string("/a\n\x7f\xff\xc2\x9b"));
	assert_string_equal(ask(LIST), "{\"ok\":true,\"result\":{\"path\":"
			    "\"/a\\n\\\\x7f\\\\xff\\\\xc2\\\\x9b\"}}");
	t.how = REFUSE;
	assert_string_equal(ask(LIST), "{\"ok\":false,\"error\":"
			    "\"no way: \\n\\u001b \\\\xff\"}");
	t.how = ECHO;
	assert_string_equal(ask(" {\"command\":\"show\", \"version\":1,\"a\":[1]} "),
			    "{\"ok\":true,\"result\":{\"command\":\"show\","
			    "\"version\":1,\"a\":[1]}}");
	assert_int_equal(t.calls, 4);
}

/* Several at once, in pieces, answered in order and one after another. */
static void test_order(void **state)
{
	char line[128];
	int fd, i;

	(void)state;
	fd = client_open();
	t.how = ECHO;
	for (i = 0; i < 100; i++) {
		snprintf(line, sizeof(line),
			 "{\"version\":1,\"command\":\"stats\",\"n\":%d}\n", i);
		say_bytes(fd, line, 11);
		if (i % 10 == 0)
			run_ms(1);
		say(fd, line + 11);
	}
	for (i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "{\"ok\":true,\"result\":"
			 "{\"version\":1,\"command\":\"stats\",\"n\":%d}}", i);
		assert_string_equal(hear(fd), line);
	}

	t.how = LATER;
	t.calls = 0;
	say(fd, LIST "\n" LIST "\n");
	run_ms(5);
	assert_int_equal(t.calls, 1);
	control_answer(t.kept[0], NULL);
	assert_string_equal(hear(fd), OK);
	run_ms(5);
	assert_int_equal(t.calls, 2);
	control_answer(t.kept[1], NULL);
	assert_string_equal(hear(fd), OK);
	close(fd);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *error;
	} bad[] = {
		{ "", "the request ends too early: send one JSON object in "
		  "one line, as in " EXAMPLE },
		{ "{\"version\":1", "the request ends too early: send one "
		  "JSON object in one line, as in " EXAMPLE },
		{ "[]", "the request is no JSON object: send one in one line, "
		  "as in " EXAMPLE },
		{ "\"x\"", "the request is no JSON object: send one in one "
		  "line, as in " EXAMPLE },
		{ LIST LIST, "the request is not understood at byte 30 "
		  "(unexpected character): send one JSON object in one line, "
		  "as in " EXAMPLE },
		{ "{\"version\" 1}", "the request is not understood at byte 11 "
		  "(object property name separator ':' expected): send one "
		  "JSON object in one line, as in " EXAMPLE },
		{ "{\"a\":[[[[1]]]]}", "the request is not understood at byte "
		  "8 (nesting too deep): send one JSON object in one line, as "
		  "in " EXAMPLE },
		{ "{\"a\":\"\xff\"}", "the request is not understood at byte "
		  "6 (invalid utf-8 string): send one JSON object in one "
		  "line, as in " EXAMPLE },
		{ "{\"a\":\"\\\\\\u0000\"}", "the request has a zero byte in "
		  "it: send text" },
		{ "{}", "version is missing: use 1" },
		{ "{\"version\":2}", "version 2: this daemon knows version 1" },
		{ "{\"version\":\"1\"}",
		  "version 1: this daemon knows version 1" },
		{ "{\"version\":null}",
		  "version null: this daemon knows version 1" },
		{ "{\"version\":1}", "command is missing: use a string, as in "
		  EXAMPLE },
		{ "{\"version\":1,\"command\":[\"list\"]}",
		  "command [ \\\"list\\\" ]: use a string, as in " EXAMPLE },
	};
	char want[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(want, sizeof(want), "{\"ok\":false,\"error\":\"%s\"}",
			 bad[i].error);
		assert_string_equal(ask(bad[i].line), want);
	}
	assert_int_equal(t.calls, 0);

	/* What looks like a zero, and is a backslash. */
	assert_string_equal(ask("{\"version\":1,\"command\":\"list\","
				"\"a\":\"\\\\u0000\"}"), OK);
}

/* A mistake does not end the connection. */
static void test_goes_on(void **state)
{
	int fd;

	(void)state;
	fd = client_open();
	say(fd, "{}\n" LIST "\n");
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":"
			    "\"version is missing: use 1\"}");
	assert_string_equal(hear(fd), OK);
	say_bytes(fd, "{\0}\n", 4);
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":"
		"\"the request has a zero byte in it: send text\"}");
	say(fd, LIST "\n");
	assert_string_equal(hear(fd), OK);
	close(fd);
}

static void test_log(void **state)
{
	char want[256];

	(void)state;
	unit_capture_start(&t.cap, STDERR_FILENO);
	(void)ask(LIST);
	(void)ask("{\"version\":1,\"command\":\"show\",\"guest\":\"g\"}");
	(void)ask("{\"version\":1,\"command\":\"stats\"}");
	(void)ask("{\"version\":1,\"command\":\"attach\",\"guest\":\"a\\n\","
		  "\"device\":\"blk\"}");
	(void)ask("{\"version\":1,\"command\":\"reload\",\"guest\":null}");
	snprintf(want, sizeof(want), "<6>control: 'attach' guest 'a\\x0a' "
		 "device 'blk' for uid %u, pid %d\n<6>control: 'reload' guest "
		 "'null' device '' for uid %u, pid %d\n", getuid(), getpid(),
		 getuid(), getpid());
	assert_string_equal(unit_capture_end(&t.cap), want);
}

/* ---- hostile and clumsy clients ---- */

#define TOO_LONG "{\"ok\":false,\"error\":\"the request is too long: use up " \
		 "to 65536 bytes in one line\"}"

static void test_long_lines(void **state)
{
	static char text[1 << 20];
	int fd, i;

	(void)state;
	/* As long as it may be, twice: valid, then not. */
	fd = client_open();
	memset(text, ' ', sizeof(text));
	for (i = 0; i < 2; i++) {
		memcpy(text, LIST, strlen(LIST));
		text[65536 - i] = '\n';
		say_bytes(fd, text, 65536 - i + 1);
		assert_string_equal(hear(fd), OK);
		text[65536 - i] = ' ';
	}
	say_bytes(fd, text, 65537);
	assert_string_equal(hear(fd), TOO_LONG);
	assert_string_equal(hear(fd), "");
	close(fd);

	memset(text, 'x', sizeof(text));
	fd = client_open();
	say_bytes(fd, text, sizeof(text));
	assert_string_equal(hear(fd), TOO_LONG);
	assert_string_equal(hear(fd), "");
	close(fd);

	memset(text, '[', 60000);
	text[60000] = '\n';
	fd = client_open();
	say_bytes(fd, text, 60001);
	assert_non_null(strstr(hear(fd), "nesting too deep"));
	close(fd);
	assert_int_equal(t.calls, 2);
}

static void test_half_lines(void **state)
{
	int fd;

	(void)state;
	fd = client_open();		/* gone in the middle of a line */
	say(fd, "{\"version\"");
	run_ms(2);
	close(fd);
	fd = client_open();		/* gone without a word */
	run_ms(2);
	close(fd);
	run_ms(5);

	fd = client_open();		/* closed one way: it listens */
	say(fd, LIST);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":"
			    "\"the request has no end: send a newline\"}");
	assert_string_equal(hear(fd), "");
	close(fd);
	fd = client_open();
	say(fd, LIST "\n" LIST "\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(hear(fd), OK);
	assert_string_equal(hear(fd), OK);
	assert_string_equal(hear(fd), "");
	close(fd);
	assert_int_equal(t.calls, 2);
}

static int count_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_too_many(void **state)
{
	int fd[CONTROL_CONNECTIONS], i, before = count_fds();

	(void)state;
	for (i = 0; i < CONTROL_CONNECTIONS; i++) {
		fd[i] = client_open();
		run_ms(1);
	}
	assert_int_equal(count_fds(), before + 2 * CONTROL_CONNECTIONS);
	assert_string_equal(ask(LIST), "{\"ok\":false,\"error\":\"there are "
		"16 connections already, which is all: try again later\"}");
	close(fd[7]);
	run_ms(5);
	assert_string_equal(ask(LIST), OK);
	for (i = 0; i < CONTROL_CONNECTIONS; i++)
		if (i != 7)
			close(fd[i]);
	run_ms(5);
	assert_int_equal(count_fds(), before);
}

/* Is the connection closed by the server in @ms, and not before @least? */
static void expect_cut_off(int fd, unsigned int least, unsigned int ms)
{
	struct pollfd p = { .fd = fd };

	run_ms(least);
	assert_int_equal(poll(&p, 1, 0), 0);
	run_ms(ms - least);
	assert_int_equal(poll(&p, 1, 0), 1);
	close(fd);
}

static void test_slow(void **state)
{
	struct pollfd p;
	int fd, i;

	(void)state;
	control_set_patience(t.control, 100);
	expect_cut_off(client_open(), 50, 250);

	/* A byte now and then does not help. */
	p.fd = fd = client_open();
	p.events = 0;
	for (i = 0; i < 25; i++) {
		say(fd, "x");
		run_ms(10);
	}
	assert_int_equal(poll(&p, 1, 0), 1);
	close(fd);

	/* Whoever waits for an answer is not slow; but then it may be. */
	fd = client_open();
	t.how = LATER;
	say(fd, LIST "\n");
	run_ms(300);
	control_answer(t.kept[0], NULL);
	assert_string_equal(hear(fd), OK);
	expect_cut_off(fd, 50, 250);
}

static struct json_object *long_result(size_t bytes)
{
	struct json_object *result = json_object_new_object();
	char *text = malloc(bytes + 1);

	assert_true(result && text);
	memset(text, 'y', bytes);
	text[bytes] = '\0';
	json_object_object_add(result, "long", json_object_new_string(text));
	free(text);
	return result;
}

/* It asks, and does not listen: others are served, and it is cut off. */
static void test_deaf(void **state)
{
	char buf[65536];
	size_t got = 0;
	ssize_t n;
	int fd;

	(void)state;
	control_set_patience(t.control, 200);
	fd = client_open();
	t.result = long_result(3 << 20);
	say(fd, LIST "\n" LIST "\n");
	run_ms(50);
	assert_int_equal(t.calls, 1);
	assert_string_equal(ask(LIST), OK);
	run_ms(300);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_in_range(got, 1, 3 << 20);
	assert_int_equal(t.calls, 2);
	close(fd);
}

/* A long answer comes whole, to who is slow but listens, and then the next. */
static void test_long_answer(void **state)
{
	size_t i, ends = 0, ys = 0, others = 0;
	char buf[10000];
	ssize_t n;
	int fd;

	(void)state;
	fd = client_open();
	t.result = long_result(3 << 20);
	say(fd, LIST "\n" LIST "\n");
	while (ends < 2) {
		n = recv(fd, buf, sizeof(buf), 0);
		assert_int_not_equal(n, 0);
		if (n < 0)
			run_ms(1);
		for (i = 0; n > 0 && i < (size_t)n; i++) {
			ends += buf[i] == '\n';
			ys += buf[i] == 'y';
			others += buf[i] != 'y' && buf[i] != '\n';
		}
	}
	assert_int_equal(ys, 3 << 20);
	assert_int_equal(others, strlen("{'ok':true,'result':{'long':''}}" OK));
	/* There is room, and nobody looks for it any more. */
	assert_in_range(busy_ms(400), 0, 20);
	close(fd);

	t.result = long_result(5 << 20);
	assert_string_equal(ask(LIST), "{\"ok\":false,\"error\":\"the answer "
		"has 5242913 bytes, more than 4194304: ask for one guest or "
		"device\"}");
}

/* ---- calls that outlive what they came from ---- */

static void test_client_gone(void **state)
{
	int fd, before = count_fds();

	(void)state;
	t.how = LATER;
	fd = client_open();
	say(fd, LIST "\n");
	run_ms(5);
	assert_int_equal(t.calls, 1);
	close(fd);
	run_ms(5);
	assert_int_equal(count_fds(), before);	/* its place is free */
	control_answer(t.kept[0], json_object_new_object());

	fd = client_open();
	say(fd, LIST "\n");
	run_ms(5);
	close(fd);
	control_refuse(t.kept[1], "this one is not known to be gone");
	run_ms(5);
	assert_int_equal(count_fds(), before);

	/* gone both ways with more to say than is read */
	fd = client_open();
	say(fd, LIST "\n" LIST "\n" LIST);
	run_ms(5);
	close(fd);
	run_ms(5);
	control_answer(t.kept[2], NULL);
	run_ms(5);
	assert_int_equal(t.calls, 3);
	assert_int_equal(count_fds(), before);
}

static void test_server_gone(void **state)
{
	int fd[2], i;

	(void)state;
	t.how = LATER;
	for (i = 0; i < 2; i++) {
		fd[i] = client_open();
		say(fd[i], LIST "\n");
		run_ms(5);
	}
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(access(t.path, F_OK), -1);
	control_answer(t.kept[0], json_object_new_object());
	control_refuse(t.kept[1], "late");
	run_ms(5);
	assert_string_equal(hear(fd[0]), "");
	assert_string_equal(hear(fd[1]), "");
	close(fd[0]);
	close(fd[1]);
	control_close(NULL);
}

/* With an answer deferred, and from within the handler. */
static void test_closed_in_handler(void **state)
{
	int fd[2], i;

	(void)state;
	fd[0] = client_open();
	fd[1] = client_open();
	say(fd[0], LIST "\n");
	run_ms(1);
	t.how = CLOSE;
	say(fd[1], LIST "\n" LIST "\n");
	run_ms(5);
	assert_null(t.control);
	assert_int_equal(t.calls, 2);
	assert_string_equal(hear(fd[0]), OK);
	for (i = 0; i < 2; i++) {
		assert_string_equal(hear(fd[i]), "");
		close(fd[i]);
	}
}

/* No descriptor is free: it is said, and tried again, and not in a circle. */
static void test_no_descriptors(void **state)
{
	struct rlimit old, low;
	unsigned int busy;
	const char *said;
	int fd;

	(void)state;
	unit_capture_start(&t.cap, STDERR_FILENO);
	fd = client_open();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	busy = busy_ms(600);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	said = unit_capture_end(&t.cap);
	assert_string_equal(said, "<4>control: cannot take a connection: "
			    "Too many open files\n");
	assert_in_range(busy, 0, 20);
	say(fd, LIST "\n");
	assert_string_equal(hear(fd), OK);
	close(fd);
}

/* ---- the socket in the tree ---- */

static unsigned int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_modes(void **state)
{
	char dir[100];
	mode_t mask;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/sub", t.dir);
	assert_int_equal(mode_of(dir), 0755);
	assert_int_equal(mode_of(t.path), 0600);
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(rmdir(dir), 0);

	mask = umask(0);
	assert_int_equal(open_at(t.path, NULL, &t.control), 0);
	assert_int_equal(mode_of(dir), 0755);
	assert_int_equal(mode_of(t.path), 0600);
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(rmdir(dir), 0);
	umask(mask);
	assert_int_equal(open_at(t.path, NULL, &t.control), 0);
}

/* Who else may use it. */
static void test_groups(void **state)
{
	char dir[100];
	struct stat st;
	mode_t mask;

	(void)state;
	if (getuid() != 0)
		skip();			/* whose groups are others */
	snprintf(dir, sizeof(dir), "%s/sub", t.dir);
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(rmdir(dir), 0);
	mask = umask(0777);
	assert_int_equal(open_at(t.path, "0", &t.control), 0);
	umask(mask);
	assert_int_equal(mode_of(dir), 0755);
	assert_int_equal(mode_of(t.path), 0660);
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(open_at(t.path, "daemon", &t.control), 0);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_gid, 1);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

/* @why is what follows the path in the message, or all of it. */
static void expect_open(const char *path, const char *group, int r,
			const char *why)
{
	struct control *control = (void *)&t;	/* untouched */
	char want[512];

	assert_int_equal(open_at(path, group, &control), r);
	assert_ptr_equal(control, &t);
	snprintf(want, sizeof(want), "control socket '%s': %s", path, why);
	assert_string_equal(t.why, group ? why : want);
}

static void test_not_opened(void **state)
{
	char path[200];
	int fd;

	(void)state;
	expect_open(t.path, NULL, -EADDRINUSE, "another xen-virtiod is "
		    "running: stop it first");
	assert_string_equal(ask(LIST), OK);	/* and it is not disturbed */

	expect_open("sock", NULL, -EINVAL, "use a whole path of "
		    "at most 107 bytes");
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	expect_open(path, NULL, -EINVAL, "use a whole path of "
		    "at most 107 bytes");
	expect_open("/nowhere/a/sock", NULL, -ENOENT,
		    "the directory '/nowhere/a' cannot be made: No such file "
		    "or directory");
	expect_open("/dev/null/sock", NULL, -ENOTDIR, "Not a directory");
	expect_open(t.path, "no-such", -EINVAL, "control-group='no-such': "
		    "there is no such group: use the name or the number of "
		    "one");
	expect_open(t.path, "-1", -EINVAL, "control-group='-1': there is no "
		    "such group: use the name or the number of one");
	expect_open(t.path, "4294967295", -EINVAL, "control-group="
		    "'4294967295': there is no such group: use the name or "
		    "the number of one");

	snprintf(path, sizeof(path), "%s/file", t.dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	expect_open(path, NULL, -EEXIST, "there is "
		    "something else of that name: remove it");
	assert_int_equal(unlink(path), 0);
}

static int bind_at(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (void *)&addr, sizeof(addr)), 0);
	return fd;
}

static void test_stale(void **state)
{
	struct control *next;
	char path[100];
	int fd;

	(void)state;
	/* Nobody is there any more: replaced. */
	snprintf(path, sizeof(path), "%s/sub/other", t.dir);
	close(bind_at(path, SOCK_STREAM));
	assert_int_equal(open_at(path, NULL, &next), 0);
	control_close(next);
	assert_int_equal(access(path, F_OK), -1);

	/* Somebody of another kind is. */
	fd = bind_at(path, SOCK_DGRAM);
	expect_open(path, NULL, -EADDRINUSE, "another xen-virtiod is "
		    "running: stop it first");
	close(fd);
	assert_int_equal(unlink(path), 0);

	/* One who listens, but has not the time: alive. */
	fd = bind_at(path, SOCK_STREAM);
	assert_int_equal(listen(fd, 0), 0);
	strcpy(t.path, path);
	close(client_open());
	expect_open(path, NULL, -EADDRINUSE, "another xen-virtiod is "
		    "running: stop it first");
	close(fd);
	assert_int_equal(unlink(path), 0);
}

/* A socket that has become another's is left alone. */
static void test_replaced(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(unlink(t.path), 0);
	fd = bind_at(t.path, SOCK_STREAM);
	control_close(t.control);
	t.control = NULL;
	assert_int_equal(access(t.path, F_OK), 0);
	assert_int_equal(unlink(t.path), 0);
	close(fd);
}

#define CONTROL_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	CONTROL_TEST(test_answers),
	CONTROL_TEST(test_order),
	CONTROL_TEST(test_refused),
	CONTROL_TEST(test_goes_on),
	CONTROL_TEST(test_log),
	CONTROL_TEST(test_long_lines),
	CONTROL_TEST(test_half_lines),
	CONTROL_TEST(test_too_many),
	CONTROL_TEST(test_slow),
	CONTROL_TEST(test_deaf),
	CONTROL_TEST(test_long_answer),
	CONTROL_TEST(test_client_gone),
	CONTROL_TEST(test_server_gone),
	CONTROL_TEST(test_closed_in_handler),
	CONTROL_TEST(test_no_descriptors),
	CONTROL_TEST(test_modes),
	CONTROL_TEST(test_groups),
	CONTROL_TEST(test_not_opened),
	CONTROL_TEST(test_stale),
	CONTROL_TEST(test_replaced),
};

UNIT_MAIN(tests)
