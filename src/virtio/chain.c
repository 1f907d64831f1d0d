/* SPDX-License-Identifier: MIT */
/*
 * chain.c: the bytes of a chain; see the header.
 */
#include <assert.h>
#include <errno.h>

#include "chain.h"
#include "guest_mem.h"
#include "util.h"

#define CHAIN_COPIES	32u

/* The bytes up to the end of this segment, at most @len. */
static size_t chain_here(const struct dma_cursor *cur, size_t len)
{
	assert(cur->nseg);		/* lengths were summed before */
	return MIN(len, (size_t)(cur->seg->len - cur->off));
}

/* With as few calls to Xen as can be, where it is granted. */
static int chain_copy(struct guest_mem *gm, struct dma_cursor *cur,
		      uint8_t *p, size_t len, bool to_guest)
{
	struct guest_copy list[CHAIN_COPIES];
	unsigned int count = 0;
	size_t n;
	int r = 0;

	for (; len && !r; len -= n, p += n) {
		n = chain_here(cur, len);
		list[count++] = (struct guest_copy){
			.addr	= cur->seg->addr + cur->off,
			.buf	= p,
			.len	= n,
		};
		dma_cursor_advance(cur, n);
		if (count == CHAIN_COPIES || n == len) {
			r = guest_mem_copy(gm, list, count, to_guest);
			count = 0;
		}
	}
	return r;
}

int chain_read(struct guest_mem *gm, struct dma_cursor *cur, void *buf,
	       size_t len)
{
	return chain_copy(gm, cur, buf, len, false);
}

int chain_write(struct guest_mem *gm, struct dma_cursor *cur, const void *buf,
		size_t len)
{
	return chain_copy(gm, cur, (uint8_t *)(uintptr_t)buf, len, true);
}

void chain_skip(struct dma_cursor *cur, size_t len)
{
	size_t n;

	for (; len; len -= n) {
		n = chain_here(cur, len);
		dma_cursor_advance(cur, n);
	}
}

int chain_iov(struct guest_mem *gm, struct guest_hold *hold,
	      const struct dma_cursor *from, size_t len, struct iovec *iov,
	      int max, size_t *ret_len)
{
	struct dma_cursor cur = *from;
	size_t want, got, done = 0;
	int r, count = 0;

	while (done < len && count < max) {
		want = chain_here(&cur, len - done);
		r = guest_mem_iov(gm, hold, cur.seg->addr + cur.off, want,
				  iov + count, max - count, &got);
		if (r < 0)
			break;
		count += r;
		done += got;
		dma_cursor_advance(&cur, got);
	}
	*ret_len = done;
	return count;
}
