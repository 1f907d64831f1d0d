/* SPDX-License-Identifier: MIT */
/*
 * ring.h: a ring of io_uring's for one file.
 *
 *	ring_reserve	while rings can be made: some to be had later
 *	ring_get	one for this file, new or from the reserve
 *	ring_put	away with it, or back to the reserve
 *	ring_unreserve
 */
#ifndef XVD_RING_H
#define XVD_RING_H

#include <liburing.h>

/* What one of the reserve has room for at once. */
#define RING_RESERVED_ENTRIES	256

/* Return: 0 or a negative errno: io_uring is not to be had. */
int ring_reserve(unsigned int count);
void ring_unreserve(void);		/* no reserve is fine */

/*
 * Finds a ring whose one file, IOSQE_FIXED_FILE 0, is @fd.  *@entries is how
 * many there will be in it at once at most, and then, how many there may be.
 * Return: 0 and *ret; -EMFILE if the reserve is used up; or another negative
 * errno.
 */
int ring_get(int fd, unsigned int *entries, struct io_uring *ret);

/* Nothing is in it any more.  The file is let go of at once. */
void ring_put(struct io_uring *ring);

#endif
