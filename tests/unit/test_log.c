/* SPDX-License-Identifier: MIT */
/*
 * test_log.c: what lines look like, what a guest cannot put into them, and
 * how many it can cause.
 */
#include <errno.h>
#include <fcntl.h>
#include "log.h"
#include "unit.h"
#include "util.h"

static struct unit_capture cap;

static void test_plain(void **state)
{
	(void)state;
	log_init("xvd", false);
	unit_capture_start(&cap, STDERR_FILENO);
	log_info("%s: queue %u", "d12 vblk0", 3);
	log_error("second");
	assert_string_equal(unit_capture_end(&cap),
			    "xvd: d12 vblk0: queue 3\nxvd: second\n");
}

static void test_journal(void **state)
{
	(void)state;
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	log_error("e");
	log_warn("w");
	log_info("i");
	assert_string_equal(unit_capture_end(&cap), "<3>e\n<4>w\n<6>i\n");
}

static void test_control_characters(void **state)
{
	(void)state;
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	log_warn("serial '%s'", "a\n<3>forged\x1b[2J\x7f\t\xc3\xa9");
	assert_string_equal(unit_capture_end(&cap),
		"<4>serial 'a\\x0a<3>forged\\x1b[2J\\x7f\\x09\xc3\xa9'\n");
}

static void test_visible(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
	} t[] = {
		{ "a", 1 }, { " ", 1 }, { "~", 1 }, { "\xc2\xa0", 2 },
		{ "\xc3\xa9", 2 }, { "\xdf\xbf", 2 }, { "\xe0\xa0\x80", 3 },
		{ "\xe2\x82\xac", 3 }, { "\xf0\x90\x80\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		/* controls of ASCII, of Latin 1, and of direction */
		{ "", 0 }, { "\x1f", 0 }, { "\x7f", 0 }, { "\xc2\x80", 0 },
		{ "\xc2\x9b", 0 }, { "\xc2\x9f", 0 },
		{ "\xe2\x80\xa8", 0 }, { "\xe2\x80\xae", 0 },
		{ "\xe2\x81\xa6", 0 }, { "\xd8\x9c", 0 },
		/* no UTF-8: cut off, overlong, surrogates, too large */
		{ "\x80", 0 }, { "\xbf", 0 }, { "\xc3", 0 }, { "\xc3z", 0 },
		{ "\xe2\x82", 0 }, { "\xf0\x90\x80", 0 },
		{ "\xc0\x80", 0 }, { "\xc1\xbf", 0 },
		{ "\xe0\x9f\xbf", 0 }, { "\xf0\x8f\xbf\xbf", 0 },
		{ "\xed\xa0\x80", 0 }, { "\xf4\x90\x80\x80", 0 },
		{ "\xf8\x88\x80\x80\x80", 0 }, { "\xff", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++)
		if (log_visible(t[i].text) != t[i].bytes)
			fail_msg("%zu: %zu", i, log_visible(t[i].text));

	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	log_warn("'%s'", "\xc2\x9b[2J\xe2\x80\xae\xe9");
	assert_string_equal(unit_capture_end(&cap),
		"<4>'\\xc2\\x9b[2J\\xe2\\x80\\xae\\xe9'\n");

	unit_capture_start(&cap, STDOUT_FILENO);
	log_print_visible(stdout, "\xc3\xa9\n\xc2\x9b\xe9.", "%");
	assert_string_equal(unit_capture_end(&cap), "\xc3\xa9%0a%c2%9b%e9.");
}

/* A line that is too long ends in a whole character. */
static void test_long_utf8(void **state)
{
	static char text[2000];
	const char *line;
	size_t shift, i, n;

	(void)state;
	log_init("xvd", true);
	for (shift = 0; shift < 3; shift++) {
		memset(text, 0, sizeof(text));
		memset(text, 'x', shift);
		for (i = 0; i < 500; i++)
			strcat(text, "\xe2\x82\xac");
		unit_capture_start(&cap, STDERR_FILENO);
		log_warn("%s", text);
		line = unit_capture_end(&cap);
		n = strlen(line);
		assert_in_range(n, 1018, 1024);
		assert_string_equal(line + n - 7, "\xe2\x82\xac...\n");
	}
}

/* Lines of every length around the limit end in a newline, and too long
 * ones show it. */
static void test_long(void **state)
{
	static char text[2000];
	const char *line;
	size_t len, n;

	(void)state;
	log_init("xvd", true);
	for (len = 1000; len < 1100; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		unit_capture_start(&cap, STDERR_FILENO);
		log_warn("%s", text);
		line = unit_capture_end(&cap);
		n = strlen(line);
		assert_int_equal(line[n - 1], '\n');
		assert_ptr_equal(strchr(line, '\n'), line + n - 1);
		if (len <= 1023 - 3) {
			assert_int_equal(n, 3 + len + 1);
			assert_int_equal(line[n - 2], 'x');
		} else {
			assert_int_equal(n, 1024);
			assert_memory_equal(line + n - 5, "x...", 4);
		}
	}

	/* An escape is not cut in half by the end of the line. */
	for (len = 240; len < 270; len++) {
		memset(text, 1, len);
		text[len] = '\0';
		unit_capture_start(&cap, STDERR_FILENO);
		log_warn("%s", text);
		line = unit_capture_end(&cap);
		n = strlen(line);
		assert_true(n <= 1024);
		if (len <= 255)
			assert_memory_equal(line + n - 5, "\\x01\n", 5);
		else
			assert_memory_equal(line + n - 4, "...\n", 4);
	}
}

static void test_errno_is_kept(void **state)
{
	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	errno = ENOSPC;
	log_warn("x");
	assert_int_equal(errno, ENOSPC);
	(void)unit_capture_end(&cap);
}

/* Nobody reads stderr any more: the line is lost, and nothing else is. */
static void test_no_stderr(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	(void)close(STDERR_FILENO);
	errno = 0;
	log_warn("nobody hears");
	assert_int_equal(errno, 0);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
}

static void test_topics(void **state)
{
	const char *bad = NULL;
	const char *list;

	(void)state;
	log_topics = 0;
	assert_int_equal(log_topics_parse("vq", &bad), 0);
	assert_int_equal(log_topics, 1u << LOG_T_VQ);
	assert_int_equal(log_topics_parse("pci,ioreq", &bad), 0);
	assert_int_equal(log_topics, 1u << LOG_T_VQ | 1u << LOG_T_PCI |
			 1u << LOG_T_IOREQ);
	assert_null(bad);

	log_topics = 0;
	assert_int_equal(log_topics_parse(log_topic_names(), &bad), 0);
	assert_int_equal(log_topics, (1u << LOG_T_COUNT) - 1);
	log_topics = 0;
	assert_int_equal(log_topics_parse("all", &bad), 0);
	assert_int_equal(log_topics, (1u << LOG_T_COUNT) - 1);
	assert_string_equal(log_topic_names(),
			    "ioreq,mem,pci,virtio,vq,blk,net,all");

	log_topics = 0;
	list = "vq,vqs,pci";
	assert_int_equal(log_topics_parse(list, &bad), -EINVAL);
	assert_ptr_equal(bad, list + 3);
	list = "v";
	assert_int_equal(log_topics_parse(list, &bad), -EINVAL);
	assert_ptr_equal(bad, list);
	list = "vq,";
	assert_int_equal(log_topics_parse(list, &bad), -EINVAL);
	assert_ptr_equal(bad, list + 3);
	list = "";
	assert_int_equal(log_topics_parse(list, &bad), -EINVAL);
	assert_ptr_equal(bad, list);
	assert_int_equal(log_topics, 0);	/* a bad list changes nothing */
}

static void test_debug(void **state)
{
	int evaluated = 0;

	(void)state;
	log_init("xvd", true);
	log_topics = 1u << LOG_T_PCI;
	unit_capture_start(&cap, STDERR_FILENO);
	log_debug(LOG_T_PCI, "bar %d", ++evaluated);
	log_debug(LOG_T_VQ, "head %d", ++evaluated);
	assert_string_equal(unit_capture_end(&cap), "<7>bar 1\n");
	assert_int_equal(evaluated, 1);
	log_topics = 0;
}

static void test_limit(void **state)
{
	struct log_limit limit = { 0 };
	int i;

	(void)state;
	log_init("xvd", true);
	unit_capture_start(&cap, STDERR_FILENO);
	for (i = 0; i < 10; i++)
		assert_true(log_limit_ok(&limit, "d1 vblk0"));
	for (i = 0; i < 1000; i++)
		assert_false(log_limit_ok(&limit, "d1 vblk0"));
	assert_string_equal(unit_capture_end(&cap), "");

	/* A second later: one more, with a word about the others. */
	limit.last_ms -= 1000;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_true(log_limit_ok(&limit, "d1 vblk0"));
	assert_string_equal(unit_capture_end(&cap),
			    "<4>d1 vblk0: 1000 lines left out here\n");
	assert_false(log_limit_ok(&limit, "d1 vblk0"));

	/* Half a second is not yet one, two of them are. */
	limit.last_ms -= 500;
	assert_false(log_limit_ok(&limit, "d1 vblk0"));
	limit.last_ms -= 500;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_true(log_limit_ok(&limit, "d1 vblk0"));
	assert_string_equal(unit_capture_end(&cap),
			    "<4>d1 vblk0: 2 lines left out here\n");

	/* A long quiet spell: ten again and no more, none of them missing. */
	limit.last_ms -= 3600 * 1000;
	unit_capture_start(&cap, STDERR_FILENO);
	for (i = 0; i < 10; i++)
		assert_true(log_limit_ok(&limit, "d1 vblk0"));
	assert_false(log_limit_ok(&limit, "d1 vblk0"));
	assert_string_equal(unit_capture_end(&cap), "");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_plain),
	cmocka_unit_test(test_journal),
	cmocka_unit_test(test_control_characters),
	cmocka_unit_test(test_visible),
	cmocka_unit_test(test_long_utf8),
	cmocka_unit_test(test_long),
	cmocka_unit_test(test_errno_is_kept),
	cmocka_unit_test(test_no_stderr),
	cmocka_unit_test(test_topics),
	cmocka_unit_test(test_debug),
	cmocka_unit_test(test_limit),
};

UNIT_MAIN(tests)
