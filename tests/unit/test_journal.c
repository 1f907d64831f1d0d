/* SPDX-License-Identifier: MIT */
/*
 * test_journal.c: the journal is a socket of the test's, and standard error,
 * which has to be the journal, a file of the test's.
 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "journal.h"
#include "log.h"
#include "unit.h"

static char dir[] = "/tmp/xvd-journal-XXXXXX";
static char path[64];
static int journal;
static struct unit_capture cap;

/* Return: what has come, which has no zero in it in these tests. */
static const char *received(void)
{
	static char text[JOURNAL_BYTES];
	ssize_t n = recv(journal, text, sizeof(text) - 1, 0);

	if (n < 0)
		return "nothing";
	text[n] = '\0';
	return text;
}

static const char *formatted(const char *line)
{
	static char buf[JOURNAL_BYTES];
	int n = journal_format(LOG_L_WARN, "xvd", line, buf, sizeof(buf) - 1);

	assert_true(n >= 0);
	buf[n] = '\0';
	return buf;
}

#define COMMON "PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=xvd\n"

/* What a line is about follows from how it begins, and from nothing else. */
static void test_about(void **state)
{
	static const struct {
		const char *line, *fields;
	} t[] = {
		{ "d12 vblk0: x", "XEN_GUEST=12\nXEN_DEVICE=vblk0\n" },
		{ "d12 vnet10: x", "XEN_GUEST=12\nXEN_DEVICE=vnet10\n" },
		{ "d12: x", "XEN_GUEST=12\n" },
		{ "d12 worker: x", "XEN_GUEST=12\n" },
		{ "d12 is a PV guest", "XEN_GUEST=12\n" },
		{ "d12 vblk0 x", "XEN_GUEST=12\n" },
		{ "d12 0: x", "XEN_GUEST=12\n" },
		{ "d12 VBLK0: x", "XEN_GUEST=12\n" },
		{ "d12 aaaaaaaaaaaaaaa0: x",
		  "XEN_GUEST=12\nXEN_DEVICE=aaaaaaaaaaaaaaa0\n" },
		{ "d12 aaaaaaaaaaaaaaaa0: x", "XEN_GUEST=12\n" },
		{ "d32751: x", "XEN_GUEST=32751\n" },
		{ "d123456: x", "" },
		{ "d12", "" }, { "d12x: y", "" }, { "d: x", "" }, { "d", "" },
		{ "", "" }, { " d12: x", "" }, { "guest d12: x", "" },
		{ "d-1: x", "" },
	};
	char want[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		(void)snprintf(want, sizeof(want), "MESSAGE=%s\n" COMMON "%s",
			       t[i].line, t[i].fields);
		assert_string_equal(formatted(t[i].line), want);
	}
}

/* A newline in a value does not end the field. */
static void test_newline(void **state)
{
	static const char want[] =
		"MESSAGE\n\x0f\0\0\0\0\0\0\0" "a\nXEN_GUEST=1\n\n\n" COMMON;
	char buf[JOURNAL_BYTES];
	int n = journal_format(LOG_L_WARN, "xvd", "a\nXEN_GUEST=1\n\n", buf,
			       sizeof(buf));

	(void)state;
	assert_int_equal(n, sizeof(want) - 1);
	assert_memory_equal(buf, want, sizeof(want) - 1);
}

/* A packet that has not room for all of it is none. */
static void test_room(void **state)
{
	static char buf[JOURNAL_BYTES];
	int n = journal_format(LOG_L_WARN, "xvd", "d1: x", buf, sizeof(buf));
	size_t size;

	(void)state;
	assert_in_range(n, 40, 200);
	for (size = 0; size < (size_t)n; size++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(journal_format(LOG_L_WARN, "xvd", "d1: x",
						buf, size), -EMSGSIZE);
		assert_int_equal(buf[size], '#');
	}
	assert_int_equal(journal_format(LOG_L_WARN, "xvd", "d1: x", buf,
					(size_t)n), n);
}

static void test_guest_name(void **state)
{
	(void)state;
	assert_int_equal(journal_name_guest(1, "web1"), 0);
	assert_int_equal(journal_name_guest(2, "web2"), 0);
	assert_string_equal(formatted("d1 vblk0: x"), "MESSAGE=d1 vblk0: x\n"
		COMMON "XEN_GUEST=1\nXEN_DEVICE=vblk0\nXEN_GUEST_NAME=web1\n");
	assert_string_equal(formatted("d2: x"), "MESSAGE=d2: x\n"
		COMMON "XEN_GUEST=2\nXEN_GUEST_NAME=web2\n");
	assert_string_equal(formatted("d3: x"), "MESSAGE=d3: x\n"
		COMMON "XEN_GUEST=3\n");

	/* Renamed, and gone. */
	assert_int_equal(journal_name_guest(1, "old1"), 0);
	assert_string_equal(formatted("d1: x"), "MESSAGE=d1: x\n"
		COMMON "XEN_GUEST=1\nXEN_GUEST_NAME=old1\n");
	assert_int_equal(journal_name_guest(1, NULL), 0);
	assert_int_equal(journal_name_guest(1, NULL), 0);
	assert_int_equal(journal_name_guest(2, NULL), 0);
	assert_string_equal(formatted("d1: x"), "MESSAGE=d1: x\n"
		COMMON "XEN_GUEST=1\n");
}

/* ---- with a journal ---- */

/* Standard error is diverted; is the variable to name what it is now? */
static void divert(bool named)
{
	char stream[64];
	struct stat st;

	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju",
		       (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + !named);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	journal_init(path);
}

static void test_line(void **state)
{
	(void)state;
	divert(true);
	assert_true(journal_is_stderr());
	errno = ENOSPC;
	log_error("d7 vblk0: serial '%s'", "a\nPRIORITY=0\x1b\xff");
	assert_int_equal(errno, ENOSPC);
	assert_string_equal(unit_capture_end(&cap), "");
	assert_string_equal(received(),
		"MESSAGE=d7 vblk0: serial 'a\\x0aPRIORITY=0\\x1b\\xff'\n"
		"PRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=xvd\n"
		"XEN_GUEST=7\nXEN_DEVICE=vblk0\n");
	assert_string_equal(received(), "nothing");
}

/* The longest line there is, with the longest name that Xen takes. */
static void test_longest(void **state)
{
	static char text[2000], name[2048];
	const char *got;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	memset(name, 'n', sizeof(name) - 1);
	assert_int_equal(journal_name_guest(7, name), 0);
	divert(true);
	log_info("d7 vnet0: %s", text);
	assert_string_equal(unit_capture_end(&cap), "");
	got = received();
	assert_in_range(strlen(got), 1023 + 2047, JOURNAL_BYTES - 1);
	assert_memory_equal(strchr(got, '\n') - 4, "x...", 4);
	assert_int_equal(journal_name_guest(7, NULL), 0);
}

/* Standard error was the journal, and is something else by now. */
static void test_other_stderr(void **state)
{
	(void)state;
	divert(false);
	assert_false(journal_is_stderr());
	log_warn("d7: x");
	assert_string_equal(unit_capture_end(&cap), "<4>d7: x\n");
	assert_string_equal(received(), "nothing");

	/* The journal, but the caller does not want it to be. */
	divert(true);
	log_init("xvd", false);
	journal_init(path);
	log_warn("d7: x");
	assert_string_equal(unit_capture_end(&cap), "xvd: d7: x\n");
	assert_string_equal(received(), "nothing");
}

static void set_stream(const char *before, const char *after)
{
	char stream[80];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%s%ju:%ju%s", before,
		       (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, after);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	journal_init(path);
}

static void test_bad_stream(void **state)
{
	static const char *const bad[] = {
		"", ":", "1", "1:", ":1", "99999999999999999999:1", "1:x",
	};
	static const char *const before[] = { " ", "-", "+", "x", "1:" };
	static const char *const after[] = { " ", ":", ":1", "x", "\n" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(setenv("JOURNAL_STREAM", bad[i], 1), 0);
		journal_init(path);
		assert_false(journal_is_stderr());
	}
	for (i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		set_stream(before[i], "");
		assert_false(journal_is_stderr());
		set_stream("", after[i]);
		assert_false(journal_is_stderr());
	}
	set_stream("", "");
	assert_true(journal_is_stderr());
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	journal_init(path);
	assert_false(journal_is_stderr());
}

/* Nothing is lost if the journal is gone, or cannot be told. */
static void test_fallback(void **state)
{
	static char long_path[200];
	struct rlimit old, none;

	(void)state;
	divert(true);
	assert_int_equal(unlink(path), 0);
	log_warn("d7: one");
	(void)close(journal);
	journal = -1;
	log_warn("d7: two");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	log_warn("d7: three");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	memset(long_path, '/', sizeof(long_path) - 1);
	journal_init(long_path);
	log_warn("d7: four");
	assert_string_equal(unit_capture_end(&cap),
		"<4>d7: one\n<4>d7: two\n<4>d7: three\n<4>d7: four\n");
}

static int setup(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	strcpy(addr.sun_path, path);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return bind(journal, (struct sockaddr *)&addr, sizeof(addr));
}

static int teardown(void **state)
{
	(void)state;
	if (journal >= 0)
		(void)close(journal);
	(void)unlink(path);
	return rmdir(dir);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_about),
	cmocka_unit_test(test_newline),
	cmocka_unit_test(test_room),
	cmocka_unit_test(test_guest_name),
	cmocka_unit_test_setup_teardown(test_line, setup, teardown),
	cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
	cmocka_unit_test_setup_teardown(test_other_stderr, setup, teardown),
	cmocka_unit_test_setup_teardown(test_bad_stream, setup, teardown),
	cmocka_unit_test_setup_teardown(test_fallback, setup, teardown),
};

UNIT_MAIN(tests)
