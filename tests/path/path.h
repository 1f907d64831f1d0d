/* SPDX-License-Identifier: MIT */
/*
 * What path tests start with: cmocka, the toy guest, and the few steps that
 * most of them begin and end with.
 */
#ifndef PATH_H
#define PATH_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/toy.h"
#include "../lib/toyblk.h"
#include "slowdisk.h"

#define SLOT	0x18
#define BDF	TOY_BDF(SLOT)
#define MB	(1024 * 1024)

/* The domain is well and everything was answered as Xen demands. */
#define assert_no_fault(t)						\
	do {								\
		const char *fault_ = toy_fault(t);			\
		if (fault_)						\
			fail_msg("%s", fault_);				\
	} while (0)

/* A guest may see what the daemon did before the log says so. */
#define assert_in_log(p, text)						\
	do {								\
		int64_t end_ = toy_now_ms() + TOY_MS;			\
		while (!strstr(toy_log(p), text)) {			\
			if (toy_now_ms() > end_)			\
				fail_msg("'%s' is not in the log:\n%s",	\
					 text, toy_log(p));		\
			sched_yield();					\
		}							\
	} while (0)

#define assert_not_in_log(p, text)					\
	do {								\
		const char *log_ = toy_log(p);				\
		if (strstr(log_, text))					\
			fail_msg("'%s' is in the log:\n%s", text,	\
				 log_);					\
	} while (0)

/* Until @cond holds, with the usual patience. */
#define wait_until(t, cond)						\
	do {								\
		int64_t end_ = toy_now_ms() + TOY_MS;			\
		while (!(cond)) {					\
			assert_no_fault(t);				\
			if (toy_now_ms() > end_)			\
				fail_msg("in vain: %s", #cond);		\
			sched_yield();					\
		}							\
	} while (0)

/* The daemon lives, and serves; or its log says why not. */
#define assert_lives(p)							\
	do {								\
		if (!toy_lives(p))					\
			fail_msg("the daemon ended with %d:\n%s",	\
				 toy_exit(p, 0), toy_log(p));		\
	} while (0)

/*
 * Start the daemon for the domain "toy" with up to four devices, the last one
 * followed by NULL, and wait until it is ready.
 */
struct toy_proc *path_run(struct toy *t, const char *spec, ...)
	__attribute__((sentinel));

/*
 * A start that fails, with exit @code: one line that says @text, and nothing
 * is left of it.  @p is gone then.
 */
void path_refused(struct toy *t, struct toy_proc *p, int code,
		  const char *text);

/* Find and start the disk in @slot.  Never NULL. */
struct toyblk *path_disk(struct toy *t, unsigned int slot,
			 const struct toyblk_conf *conf);

/*
 * For tests that need a disk which answers when it is told to.
 * path_slow_prepare() comes first in main().  path_slow_open() makes a disk of
 * 16 MiB and its @spec, with @more keys, or returns NULL where none can be;
 * path_slow_need() then skips the test.
 */
void path_slow_prepare(void);
struct slowdisk *path_slow_open(const char *more, char *spec, size_t len);
void path_slow_need(const struct slowdisk *slow);

/* The end of a test, wherever it got to.  Each may be NULL, and then is. */
void path_end(struct toy **t, struct toyblk **b, struct slowdisk **slow);

/*
 * The one child of a daemon, which serves the guest.  It may be killed, and
 * waited for if its parent is gone.
 */
struct toy_proc *path_worker(struct toy *t, struct toy_proc *p);

/* SIGTERM, and a clean end: exit 0, no server, no page left mapped. */
void path_stop(struct toy *t, struct toy_proc *p);

/*
 * Content that tells where it belongs: 64-bit words made of @seed and the
 * sector's number.  path_check() names the first sector that differs.
 */
void path_fill(void *buf, uint64_t sector, size_t bytes, unsigned int seed);
void path_check(const void *buf, uint64_t sector, size_t bytes,
		unsigned int seed);
void path_image_fill(const char *path, uint64_t sector, size_t bytes,
		     unsigned int seed);
void path_image_check(const char *path, uint64_t sector, size_t bytes,
		      unsigned int seed);
/* Is that stretch all zeroes? */
bool path_image_is_zero(const char *path, uint64_t sector, size_t bytes);

/* Write @bytes at @sector from guest memory and read them into other. */
void path_exercise(struct toyblk *b, unsigned int queue, uint64_t sector,
		   uint32_t bytes, unsigned int seed);

/* Guest memory shared by all of a test's requests. */
uint64_t path_buffer(struct toyblk *b, uint32_t bytes);

/*
 * With XEN_TOY_GRANTS=1 in the environment every disk grants what it uses, and
 * check-path runs some files so.  For the few tests that mean plain addresses.
 */
#define PATH_PLAIN_ONLY() \
	do { if (getenv("XEN_TOY_GRANTS")) skip(); } while (0)

#endif
