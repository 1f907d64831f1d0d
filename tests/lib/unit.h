/* SPDX-License-Identifier: MIT */
/*
 * unit.h: what the unit tests share: cmocka with all that it wants included
 * before it, TAP output, and a way to read what a function printed.
 *
 *	static const struct CMUnitTest tests[] = { cmocka_unit_test(...) };
 *
 *	UNIT_MAIN(tests)
 */
#ifndef XVD_TEST_UNIT_H
#define XVD_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define UNIT_MAIN(tests)						\
int main(void)								\
{									\
	cmocka_set_message_output(CM_OUTPUT_TAP);			\
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL); \
}

/* What is written to one descriptor goes to memory for a while. */
struct unit_capture {
	int	fd;			/* the one that is diverted */
	int	saved;
	int	mem;
	char	text[16384];
};

static inline void unit_capture_start(struct unit_capture *c, int fd)
{
	(void)fflush(NULL);
	c->fd = fd;
	c->saved = dup(fd);
	c->mem = memfd_create("capture", MFD_CLOEXEC);
	assert_true(c->saved >= 0 && c->mem >= 0);
	assert_true(dup2(c->mem, fd) == fd);
}

/* Back to normal.  Return: what was written since, a string inside @c. */
static inline const char *unit_capture_end(struct unit_capture *c)
{
	ssize_t n;

	(void)fflush(NULL);
	assert_true(dup2(c->saved, c->fd) == c->fd);
	n = pread(c->mem, c->text, sizeof(c->text) - 1, 0);
	assert_true(n >= 0);
	c->text[n] = '\0';
	(void)close(c->saved);
	(void)close(c->mem);
	return c->text;
}

#endif
