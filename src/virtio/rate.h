/* SPDX-License-Identifier: MIT */
/*
 * rate.h: no more than so many units a second.
 *
 * A clock of its own: each unit moves it on by what a unit takes at that
 * rate, and it may run ahead of the real one by so much.
 *
 *	   now           clock        now + ahead
 *	----|--------------|------=======|------------> time
 *	    :<--- used --->:<--- left -->:
 *
 * What has been used comes back as time goes by, and a clock that is behind
 * is set to now: nothing is saved up beyond @ahead.  Whoever finds a little
 * left may take as much as he likes, and those who come after him wait for
 * it; so a unit is never too large for its limit.
 *
 * With bursts there are two clocks, and both must have something left: one at
 * the rate in the long run, which may be far ahead, and one at the rate of a
 * burst, which may not.
 *
 * Time is given by the caller, in nanoseconds.  If it goes backwards, what was
 * used stays used and nothing else happens.
 */
#ifndef XVD_RATE_H
#define XVD_RATE_H

#include <stdint.h>
#include "blk_limits.h"

struct rate_clock {
	uint64_t	per_s;		/* 0: any number */
	uint64_t	ahead_ns;
	uint64_t	clock_ns;
	uint64_t	rest;		/* of a nanosecond, in 1 / per_s */
};

struct rate {
	struct rate_clock	mean;
	struct rate_clock	burst;
	uint64_t		seen_ns;
};

/* Nothing is used yet.  @burst_s: how long max can be kept up, about. */
void rate_init(struct rate *r, const struct blk_limit *limit,
	       uint32_t burst_s);

/* Return: how long to wait before the next unit, in ns; 0: it may go. */
uint64_t rate_wait(struct rate *r, uint64_t now_ns);

/* So many units went. */
void rate_use(struct rate *r, uint64_t now_ns, uint64_t units);

#endif
