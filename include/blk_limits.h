/* SPDX-License-Identifier: MIT */
/*
 * blk_limits.h: how fast an administrator lets a disk be.
 */
#ifndef XVD_BLK_LIMITS_H
#define XVD_BLK_LIMITS_H

#include <stdint.h>

#define BLK_LIMIT_MAX		(1ull << 34)	/* of any of them, a second */
#define BLK_LIMIT_BURST_MAX_S	86400u

/* What a limit counts: everything, or one way only. */
enum blk_limit_way {
	BLK_LIMIT_ALL,
	BLK_LIMIT_RD,
	BLK_LIMIT_WR,
	BLK_LIMIT_WAYS
};

/* A second; 0: any number. */
struct blk_limit {
	uint64_t	rate;		/* in the long run */
	uint64_t	max;		/* in a burst, >= rate; 0: none */
};

/*
 * Either all are limited or each way is, not both.  Requests that write,
 * discard or write zeroes are BLK_LIMIT_WR; a flush is not counted.
 */
struct blk_limits {
	struct blk_limit	iops[BLK_LIMIT_WAYS];
	struct blk_limit	bps[BLK_LIMIT_WAYS];	/* bytes */
	uint32_t		burst_s;	/* so long at max; 1 or more,
						 * where there is a max */
};

#endif
