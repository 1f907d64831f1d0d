/* SPDX-License-Identifier: MIT */
/*
 * test_background.c: what the shell that started us sees, and what is left
 * of us afterwards.  This process is the shell; it adopts the daemons, so
 * that it can wait for their end too.
 *
 *	test -- fork --> starter -- background_begin() --> daemon
 *	                 exit status = the start's          pipes to the test
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>

#include "background.h"
#include "log.h"
#include "unit.h"

static char dir[] = "/tmp/xvd-background-XXXXXX";
static char path[128];			/* of the pid file */

static int talk[2];			/* the daemon tells */
static int go[2];			/* the test lets it go on */

/* In place of libc's: what is logged there comes to the test. */
void openlog(const char *ident, int option, int facility)
{
	(void)ident;
	(void)option;
	assert_int_equal(facility, LOG_DAEMON);
}

__attribute__((format(printf, 2, 0)))
static void syslog_said(int level, const char *fmt, va_list ap)
{
	(void)dprintf(talk[1], "%d:", level);
	(void)vdprintf(talk[1], fmt, ap);
}

void (syslog)(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	syslog_said(level, fmt, ap);
	va_end(ap);
}

/* What is called where _FORTIFY_SOURCE is on, as in packages: then syslog()
 * may be a macro, too. */
void __syslog_chk(int level, int flag, const char *fmt, ...);
void __syslog_chk(int level, int flag, const char *fmt, ...)
{
	va_list ap;

	(void)flag;
	va_start(ap, fmt);
	syslog_said(level, fmt, ap);
	va_end(ap);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/pid", dir);
	if (pipe2(talk, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return -1;
	(void)alarm(10);		/* a failure must not hang */
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int teardown(void **state)
{
	(void)state;
	(void)close(talk[0]);
	(void)close(talk[1]);
	(void)close(go[0]);
	(void)close(go[1]);
	return 0;
}

/* ---- in the daemon, which must not return into cmocka ---- */

static void say(char c)
{
	if (write(talk[1], &c, 1) != 1)
		_exit(90);
}

static void await_go(void)
{
	char c;

	if (read(go[0], &c, 1) != 1)
		_exit(91);
}

static void is_true(bool what, int status)
{
	if (!what)
		_exit(status);
}

static void begin(struct background *bg, const char *pidfile)
{
	char why[200];

	*bg = (struct background)BACKGROUND_INIT;
	if (background_begin(bg, true, pidfile, why, sizeof(why)) == 0)
		return;
	log_error("%s", why);
	_exit(7);
}

static void ready(struct background *bg)
{
	char why[200];

	is_true(background_ready(bg, why, sizeof(why)) == 0, 92);
}

/* ---- in the test ---- */

static pid_t start(void (*fn)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		(void)close(go[1]);	/* the test's end ends us, too */
		fn();
		_exit(93);
	}
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect_said(const char *text)
{
	char buf[200];
	size_t len = 0, want = strlen(text);
	ssize_t n;

	assert_true(want < sizeof(buf));
	for (; len < want; len += (size_t)n) {
		n = read(talk[0], buf + len, want - len);
		assert_true(n > 0);
	}
	assert_memory_equal(buf, text, want);
}

static pid_t pid_in_file(const char *file)
{
	char text[32];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char *end;
	long pid;

	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	assert_true(n > 1);
	text[n] = '\0';
	pid = strtol(text, &end, 10);
	assert_string_equal(end, "\n");
	return (pid_t)pid;
}

/* The adopted daemon's end. */
static int last_status(void)
{
	int status;

	assert_true(waitpid(-1, &status, 0) > 0);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- in front ---- */

static void test_in_front(void **state)
{
	struct background bg = BACKGROUND_INIT;
	char why[100] = "-";

	(void)state;
	assert_int_equal(background_begin(&bg, false, NULL, why, 100), 0);
	assert_int_equal(background_ready(&bg, why, sizeof(why)), 0);
	background_end(&bg);
	assert_int_equal(background_begin(&bg, false, path, why, 100), 0);
	assert_int_equal(pid_in_file(path), getpid());
	assert_int_equal(background_ready(&bg, why, sizeof(why)), 0);
	assert_int_equal(pid_in_file(path), getpid());
	background_end(&bg);
	assert_int_equal(access(path, F_OK), -1);
	background_end(&bg);
	assert_string_equal(why, "-");
}

/* ---- behind ---- */

static void daemon_serves(void)
{
	struct background bg;
	char buf[64];
	int fd;

	(void)dup2(talk[1], STDERR_FILENO);	/* a pipe: not a file */
	begin(&bg, path);
	is_true(getsid(0) == getpid(), 50);
	is_true(pid_in_file(path) == getpid(), 51);
	say('b');
	await_go();
	log_line(LOG_L_INFO, "early");
	ready(&bg);
	is_true(bg.ready_fd == -1, 52);
	is_true(getcwd(buf, sizeof(buf)) && !strcmp(buf, "/"), 53);
	for (fd = 0; fd < 3; fd++) {
		struct stat st, null;

		is_true(fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 &&
			st.st_rdev == null.st_rdev, 54 + fd);
	}
	log_line(LOG_L_WARN, "hello %d", 5);
	await_go();
	background_end(&bg);
	is_true(access(path, F_OK) < 0, 57);
	_exit(42);
}

static void test_serves(void **state)
{
	pid_t pid = start(daemon_serves);

	(void)state;
	expect_said("b");
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);	/* not ready */
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(status_of(pid), 0);
	expect_said("t: early\n4:hello 5");
	assert_true(pid_in_file(path) != pid);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(last_status(), 42);
	assert_int_equal(access(path, F_OK), -1);
}

static void daemon_logs_to_file(void)
{
	struct background bg;
	char file[160];
	int fd;

	(void)snprintf(file, sizeof(file), "%s/log", dir);
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	is_true(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO, 50);
	begin(&bg, NULL);
	log_line(LOG_L_INFO, "before");
	ready(&bg);
	log_line(LOG_L_INFO, "after");
	_exit(0);
}

static void test_logs_to_file(void **state)
{
	char file[160], text[100] = "";
	int fd;

	(void)state;
	assert_int_equal(status_of(start(daemon_logs_to_file)), 0);
	assert_int_equal(last_status(), 0);
	(void)snprintf(file, sizeof(file), "%s/log", dir);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	assert_string_equal(text, "t: before\nt: after\n");
	assert_int_equal(unlink(file), 0);
}

/* A relative name, and then the directory is another one. */
static void daemon_relative(void)
{
	struct background bg;

	is_true(chdir(dir) == 0, 50);
	begin(&bg, "pid");
	ready(&bg);
	is_true(access(path, F_OK) == 0, 51);
	background_end(&bg);
	is_true(access(path, F_OK) < 0, 52);
	_exit(0);
}

static void test_relative(void **state)
{
	(void)state;
	assert_int_equal(status_of(start(daemon_relative)), 0);
	assert_int_equal(last_status(), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* Whoever asked for it was killed: nobody would know of it. */
static void daemon_orphan(void)
{
	struct background bg;
	char why[100];

	(void)signal(SIGPIPE, SIG_IGN);
	begin(&bg, path);
	say('b');
	await_go();
	is_true(background_ready(&bg, why, sizeof(why)) == -EPIPE, 50);
	is_true(!strcmp(why, "whoever started us is gone: not going on"), 51);
	background_end(&bg);
	_exit(0);
}

static void test_orphan(void **state)
{
	pid_t pid = start(daemon_orphan);
	int status;

	(void)state;
	expect_said("b");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(last_status(), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* ---- the start fails ---- */

static void daemon_fails(void)
{
	struct background bg;

	begin(&bg, NULL);
	_exit(3);
}

static void daemon_ends_too_early(void)
{
	struct background bg;

	begin(&bg, NULL);
	_exit(0);
}

static void daemon_dies(void)
{
	struct background bg;

	begin(&bg, NULL);
	(void)raise(SIGKILL);
}

/* Ready, then dead: the start was a success. */
static void daemon_dies_later(void)
{
	struct background bg;

	begin(&bg, NULL);
	ready(&bg);
	await_go();
	_exit(4);
}

static void test_fails(void **state)
{
	(void)state;
	assert_int_equal(status_of(start(daemon_fails)), 3);
	assert_int_equal(status_of(start(daemon_ends_too_early)),
			 EXIT_FAILURE);
	assert_int_equal(status_of(start(daemon_dies)), EXIT_FAILURE);
	assert_int_equal(status_of(start(daemon_dies_later)), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(last_status(), 4);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);	/* no more */
}

static void expect_refused(const char *file, int err, const char *text)
{
	struct background bg = BACKGROUND_INIT;
	char why[300] = "", want[300];

	assert_int_equal(background_begin(&bg, false, file, why, sizeof(why)),
			 err);
	(void)snprintf(want, sizeof(want), "cannot write --pidfile '%s': %s",
		       file, text);
	assert_string_equal(why, want);
	assert_null(bg.pidfile);
	background_end(&bg);			/* touches nothing */
}

static void test_bad_pid_files(void **state)
{
	char file[160];
	struct stat st;

	(void)state;
	(void)snprintf(file, sizeof(file), "%s/no/pid", dir);
	expect_refused(file, -ENOENT, "No such file or directory");
	expect_refused("", -ENOENT, "No such file or directory");
	expect_refused(dir, -EISDIR, "Is a directory");
	/* Nothing that it would be a pity to remove. */
	expect_refused("/dev/null", -EINVAL, "not a regular file");
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));

	(void)snprintf(file, sizeof(file), "%s/link", dir);
	assert_int_equal(symlink(path, file), 0);
	expect_refused(file, -ELOOP, "Too many levels of symbolic links");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_pid_file_full(void **state)
{
	struct rlimit old, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	expect_refused(path, -EFBIG, "File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* The pid file of one that was killed is taken over. */
static void test_stale_pid_file(void **state)
{
	struct background bg = BACKGROUND_INIT;
	char why[100];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(write(fd, "123456789\nand more", 18), 18);
	(void)close(fd);
	assert_int_equal(background_begin(&bg, false, path, why, 100), 0);
	assert_int_equal(pid_in_file(path), getpid());
	background_end(&bg);
}

static void starter_with_bad_pid_file(void)
{
	struct background bg;

	(void)dup2(talk[1], STDERR_FILENO);
	begin(&bg, "/nonexistent/pid");
}

static void test_background_with_bad_pid_file(void **state)
{
	(void)state;
	assert_int_equal(status_of(start(starter_with_bad_pid_file)), 7);
	expect_said("t: cannot write --pidfile '/nonexistent/pid': No such file or directory\n");
}

static void test_no_descriptors(void **state)
{
	struct background bg = BACKGROUND_INIT;
	struct rlimit old, none;
	char why[100] = "";
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = background_begin(&bg, true, NULL, why, sizeof(why));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_string_equal(why, "cannot go to the background: Too many open files");

	/* And when it is too late: nobody is told that all is well. */
	bg.ready_fd = talk[1];
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = background_ready(&bg, why, sizeof(why));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EIO);
	assert_string_equal(why, "cannot go to the background: Too many open files");
	say('e');
	expect_said("e");
}

#define BG_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	BG_TEST(test_in_front),
	BG_TEST(test_serves),
	BG_TEST(test_logs_to_file),
	BG_TEST(test_relative),
	BG_TEST(test_orphan),
	BG_TEST(test_fails),
	BG_TEST(test_bad_pid_files),
	BG_TEST(test_pid_file_full),
	BG_TEST(test_stale_pid_file),
	BG_TEST(test_background_with_bad_pid_file),
	BG_TEST(test_no_descriptors),
};

static int group_setup(void **state)
{
	(void)state;
	log_init("t", false);
	return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, group_setup,
					   group_teardown);
}
