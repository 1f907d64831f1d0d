/* SPDX-License-Identifier: MIT */
/*
 * test_netscript.c: which script is meant, and what one sees that is run.
 * That the right ones are run for an interface is in test_netdev.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "loop.h"
#include "netscript.h"
#include "unit.h"

static char dir[64], file[96], out[96], text[512], why[512];
static struct netscript ns;

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/xvd-script.XXXXXX",
		       tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/script", dir);
	(void)snprintf(out, sizeof(out), "%s/out", dir);
	ns = (struct netscript){
		.key	= "script",
		.path	= file,
		.action	= "add",
		.ifname	= "vif7",
		.bridge	= "br0",
		.domid	= 7,
	};
	strcpy(why, "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	(void)unlink(out);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void make_script(const char *body)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "#!/bin/sh\nD=%s\n%s\n", dir, body) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0755), 0);
}

static const char *script_said(void)
{
	FILE *f = fopen(out, "re");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	return text;
}

static void test_find(void **state)
{
	char *found = text, words[256];

	(void)state;
	assert_int_equal(netscript_find("no", true, &found, why, sizeof(why)),
			 0);
	assert_null(found);
	assert_int_equal(netscript_find(NULL, false, &found, why,
					sizeof(why)), 0);
	assert_null(found);
	make_script("exit 0");
	assert_int_equal(netscript_find(file, true, &found, why, sizeof(why)),
			 0);
	assert_string_equal(found, file);
	free(found);
	assert_string_equal(why, "");

	/* Root may "execute" a directory. */
	found = text;
	assert_int_equal(netscript_find(dir, true, &found, why, sizeof(why)),
			 -EISDIR);
	(void)snprintf(words, sizeof(words), "script='%s' cannot be run: Is a directory; say script=no to do without", dir);
	assert_string_equal(why, words);
	assert_int_equal(netscript_find("/dev/null", true, &found, why,
					sizeof(why)), -EACCES);
	assert_string_equal(why, "script='/dev/null' cannot be run: Permission denied; say script=no to do without");
	assert_int_equal(chmod(file, 0644), 0);
	assert_int_equal(netscript_check("downscript", file, why,
					 sizeof(why)), -EACCES);
	(void)snprintf(words, sizeof(words), "downscript='%s' cannot be run: Permission denied; say downscript=no to do without", file);
	assert_string_equal(why, words);
	assert_ptr_equal(found, text);
}

/* What somebody has left open for us is not open for a script. */
static void test_descriptors(void **state)
{
	int fd = open("/dev/zero", O_RDONLY);	/* not O_CLOEXEC */

	(void)state;
	assert_true(fd > 2);
	assert_int_equal(dup2(fd, 99), 99);
	make_script("ls -l /proc/$$/fd | grep -c zero >$D/out");
	(void)netscript_run(&ns, why, sizeof(why));
	close(99);
	close(fd);
	assert_string_equal(script_said(), "0\n");
}

/* One that has left its process group ends in time all the same. */
static void test_left_its_group(void **state)
{
	uint64_t began = loop_now_ms();

	(void)state;
	if (access("/usr/bin/perl", X_OK) < 0)
		skip();
	make_script("exec perl -e 'setpgrp(0, getpgrp(getppid)); sleep 20'");
	ns.ms = 500;
	assert_int_equal(netscript_run(&ns, why, sizeof(why)), -ETIMEDOUT);
	assert_non_null(strstr(why, "did not end within 1 s and was killed"));
	assert_in_range(loop_now_ms() - began, 500, 10000);
}

#define SCRIPT_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	SCRIPT_TEST(test_find),
	SCRIPT_TEST(test_descriptors),
	SCRIPT_TEST(test_left_its_group),
};

UNIT_MAIN(tests)
