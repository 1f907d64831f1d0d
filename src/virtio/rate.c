/* SPDX-License-Identifier: MIT */
/*
 * rate.c: see the header.
 *
 * Nothing overflows and nothing is rounded away.  With at most BLK_LIMIT_MAX
 * a second, a part of a second's units times the nanoseconds of a second, and
 * what was left over before, fit 64 bits; whole seconds are counted apart; and
 * a clock that would run beyond the end of time stays there.
 */
#include <assert.h>

#include "rate.h"
#include "util.h"

#define NS_PER_SEC	1000000000ull
#define AHEAD_NS	(NS_PER_SEC / 10)	/* as QEMU has it */

_Static_assert(BLK_LIMIT_MAX <= UINT64_MAX / (NS_PER_SEC + 1), "no overflow");

/* How long @units take, at that rate. */
static uint64_t clock_cost(struct rate_clock *c, uint64_t units)
{
	uint64_t part = units % c->per_s * NS_PER_SEC + c->rest;
	uint64_t ns;

	c->rest = part % c->per_s;
	if (__builtin_mul_overflow(units / c->per_s, NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, part / c->per_s, &ns))
		return UINT64_MAX;
	return ns;
}

static void clock_init(struct rate_clock *c, uint64_t per_s)
{
	assert(per_s <= BLK_LIMIT_MAX);
	*c = (struct rate_clock){
		.per_s		= per_s,
		.ahead_ns	= AHEAD_NS,
	};
}

/* At @seen it was not behind. */
static void clock_follow(struct rate_clock *c, uint64_t seen, uint64_t now)
{
	if (now < seen)
		c->clock_ns -= seen - now;
	if (c->clock_ns >= now)
		return;
	c->clock_ns = now;
	c->rest = 0;
}

static uint64_t clock_wait(const struct rate_clock *c, uint64_t now)
{
	uint64_t used = c->clock_ns - now;

	return !c->per_s || used < c->ahead_ns ? 0 : used - c->ahead_ns + 1;
}

static void clock_use(struct rate_clock *c, uint64_t units)
{
	if (c->per_s &&
	    __builtin_add_overflow(c->clock_ns, clock_cost(c, units),
				   &c->clock_ns))
		c->clock_ns = UINT64_MAX;
}

static void rate_follow(struct rate *r, uint64_t now)
{
	clock_follow(&r->mean, r->seen_ns, now);
	clock_follow(&r->burst, r->seen_ns, now);
	r->seen_ns = now;
}

void rate_init(struct rate *r, const struct blk_limit *limit, uint32_t burst_s)
{
	uint64_t ns;

	clock_init(&r->mean, limit->rate);
	clock_init(&r->burst, limit->max);
	r->seen_ns = 0;
	if (!limit->rate || !limit->max)
		return;
	assert(burst_s <= BLK_LIMIT_BURST_MAX_S);
	ns = clock_cost(&r->mean, limit->max * burst_s);
	r->mean.rest = 0;
	r->mean.ahead_ns = MAX(ns, AHEAD_NS);
}

uint64_t rate_wait(struct rate *r, uint64_t now)
{
	rate_follow(r, now);
	return MAX(clock_wait(&r->mean, now), clock_wait(&r->burst, now));
}

void rate_use(struct rate *r, uint64_t now, uint64_t units)
{
	rate_follow(r, now);
	clock_use(&r->mean, units);
	clock_use(&r->burst, units);
}
