/* SPDX-License-Identifier: MIT */
/*
 * logpipe.h: the standard error of a process that is not trusted.
 *
 * It gets the end of a pipe, and what it writes there becomes lines of ours:
 * made visible as all are, no more of them than a bucket allows, and each with
 * its name.  It can neither reach what our own standard error is, a terminal
 * to read from maybe, nor pass for us or for anybody else.  It never waits:
 * what the pipe has no room for is lost.
 */
#ifndef XVD_LOGPIPE_H
#define XVD_LOGPIPE_H

#include <stdbool.h>

struct logpipe;
struct loop;

/*
 * Lines that do not begin with @who, as in "d12", get it.  @limited: or any
 * number is taken, from one that is debugged.  Return: 0, *ret, and in
 * *ret_far the end to be written to, which is the caller's; or a negative
 * errno.
 */
int logpipe_open(const char *who, bool limited, struct logpipe **ret,
		 int *ret_far);
void logpipe_close(struct logpipe *lp);		/* NULL is fine */

/* From now on lines are read as they come.  Return: 0 or a negative errno. */
int logpipe_watch(struct logpipe *lp, struct loop *loop);

/* Reads what there is, to the end of the pipe's size. */
void logpipe_drain(struct logpipe *lp);

/* Was there a line for the operator to act upon, an error? */
bool logpipe_has_error(const struct logpipe *lp);

#endif
