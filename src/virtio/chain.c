/* SPDX-License-Identifier: MIT */
/*
 * chain.c: the bytes of a chain; see the header.
 */
#include <assert.h>
#include <errno.h>

#include "chain.h"
#include "guest_mem.h"
#include "util.h"

/* The bytes up to the end of this segment, at most @len. */
static size_t chain_here(const struct dma_cursor *cur, size_t len)
{
	assert(cur->nseg);		/* lengths were summed before */
	return MIN(len, (size_t)(cur->seg->len - cur->off));
}

int chain_read(struct guest_mem *gm, struct dma_cursor *cur, void *buf,
	       size_t len)
{
	uint8_t *p = buf;
	size_t n;

	for (; len; len -= n, p += n) {
		n = chain_here(cur, len);
		if (guest_mem_read(gm, p, cur->seg->addr + cur->off, n) < 0)
			return -EFAULT;
		dma_cursor_advance(cur, n);
	}
	return 0;
}

int chain_write(struct guest_mem *gm, struct dma_cursor *cur, const void *buf,
		size_t len)
{
	const uint8_t *p = buf;
	size_t n;

	for (; len; len -= n, p += n) {
		n = chain_here(cur, len);
		if (guest_mem_write(gm, cur->seg->addr + cur->off, p, n) < 0)
			return -EFAULT;
		dma_cursor_advance(cur, n);
	}
	return 0;
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
