/* SPDX-License-Identifier: MIT */
/*
 * dma.c: how a request's payload is reached.  The one place that decides.
 *
 * In place, a piece is a list of pointers into the foreign mappings, kept
 * valid by a share in their cache.  Bounced, it is pages of a pool of ours:
 * a stack of free pages, so that what was used last, and is warm, is used
 * next.  Pages that happen to be neighbours become one entry.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dma.h"
#include "guest_mem.h"
#include "util.h"

#define POOL_PAGES	1024u		/* 4 MiB per device */

_Static_assert(POOL_PAGES * GUEST_PAGE_SIZE >= DMA_MAX_BYTES,
	       "the largest operation finds room in an idle pool");
_Static_assert(DMA_MAX_IOV >= DMA_MAX_BYTES / GUEST_PAGE_SIZE,
	       "and its pages find room in one list");

struct dma_space {
	struct guest_mem	*gm;
	bool			bounce;
	unsigned int		unit;
	char			*pool;
	unsigned int		nfree;
	uint16_t		free[POOL_PAGES];	/* page numbers */
};

int dma_open(struct guest_mem *gm, bool bounce, unsigned int unit,
	     struct dma_space **ret)
{
	struct dma_space *ds = calloc(1, sizeof(*ds));
	void *pool;

	assert(unit && unit <= GUEST_PAGE_SIZE && !(unit & (unit - 1)));
	if (!ds)
		return -ENOMEM;
	ds->gm = gm;
	ds->bounce = bounce;
	ds->unit = unit;
	if (bounce) {
		pool = mmap(NULL, POOL_PAGES * GUEST_PAGE_SIZE,
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pool == MAP_FAILED) {
			dma_close(ds);
			return -ENOMEM;
		}
		ds->pool = pool;
		for (ds->nfree = 0; ds->nfree < POOL_PAGES; ds->nfree++)
			ds->free[ds->nfree] =
				(uint16_t)(POOL_PAGES - 1 - ds->nfree);
	}
	*ret = ds;
	return 0;
}

void dma_close(struct dma_space *ds)
{
	if (!ds)
		return;
	assert(!ds->pool || ds->nfree == POOL_PAGES);
	if (ds->pool)
		munmap(ds->pool, POOL_PAGES * GUEST_PAGE_SIZE);
	free(ds);
}

static void cursor_skip(struct dma_cursor *cur, size_t bytes)
{
	size_t n;

	for (; bytes; bytes -= n) {
		n = MIN(bytes, (size_t)(cur->seg->len - cur->off));
		dma_cursor_advance(cur, n);
	}
}

/* Bytes ahead, but no more than one operation may cover. */
static size_t cursor_bytes(const struct dma_cursor *cur)
{
	size_t sum = 0;
	unsigned int i;

	for (i = 0; i < cur->nseg && sum < DMA_MAX_BYTES; i++)
		sum += cur->seg[i].len - (i ? 0 : cur->off);
	return MIN(sum, (size_t)DMA_MAX_BYTES);
}

/* In place. */

/* Cuts the list of pointers back to @bytes and the cursor with it. */
static void dma_trim(struct dma_op *op, struct dma_cursor *cur, size_t bytes)
{
	size_t left = bytes, n;

	for (op->iovcnt = 0; left; op->iovcnt++) {
		n = MIN(left, op->iov[op->iovcnt].iov_len);
		op->iov[op->iovcnt].iov_len = n;
		left -= n;
	}
	op->bytes = bytes;
	cursor_skip(cur, bytes);
}

static int dma_map_in_place(struct dma_space *ds, struct dma_op *op,
			    struct dma_cursor *cur)
{
	size_t want = cursor_bytes(cur), n;
	struct dma_cursor at = *cur;
	int r = 0;

	op->hold = guest_mem_hold(ds->gm);
	if (!op->hold)
		return -EAGAIN;
	while (op->bytes < want && op->iovcnt < DMA_MAX_IOV) {
		n = MIN(want - op->bytes, (size_t)(at.seg->len - at.off));
		r = guest_mem_iov(ds->gm, op->hold, at.seg->addr + at.off, n,
				  &op->iov[op->iovcnt],
				  DMA_MAX_IOV - op->iovcnt, &n);
		if (r < 0)
			break;
		op->iovcnt += r;
		op->bytes += n;
		dma_cursor_advance(&at, n);
	}
	/* So many scraps that there is no room for the rest: a piece. */
	n = ALIGN_DOWN(op->bytes, (size_t)ds->unit);
	if (r >= 0 && !n)
		r = -E2BIG;
	if (r < 0) {
		guest_mem_release(ds->gm, op->hold);
		return r;
	}
	dma_trim(op, cur, n);
	return 0;
}

/* Bounced. */

static void bounce_put(struct dma_space *ds, struct dma_op *op)
{
	while (op->npages)
		ds->free[ds->nfree++] = op->page[--op->npages];
}

static void bounce_get(struct dma_space *ds, struct dma_op *op, size_t bytes)
{
	struct iovec *last;
	size_t n;
	char *p;

	for (op->bytes = 0; op->bytes < bytes; op->bytes += n) {
		op->page[op->npages] = ds->free[--ds->nfree];
		p = ds->pool +
		    (size_t)op->page[op->npages++] * GUEST_PAGE_SIZE;
		n = MIN(bytes - op->bytes, (size_t)GUEST_PAGE_SIZE);
		last = op->iovcnt ? &op->iov[op->iovcnt - 1] : NULL;
		if (last && (char *)last->iov_base + last->iov_len == p)
			last->iov_len += n;
		else
			op->iov[op->iovcnt++] = (struct iovec){ p, n };
	}
}

/* Copies between the guest, from @cur on, and the pages of @op. */
static int bounce_copy(struct dma_space *ds, struct dma_op *op,
		       struct dma_cursor *cur)
{
	size_t n, done;
	uint64_t addr;
	char *p;
	int r;

	for (done = 0; done < op->bytes; done += n) {
		p = ds->pool +
		    (size_t)op->page[done / GUEST_PAGE_SIZE] *
		    GUEST_PAGE_SIZE + done % GUEST_PAGE_SIZE;
		n = MIN(op->bytes - done,
			GUEST_PAGE_SIZE - done % GUEST_PAGE_SIZE);
		n = MIN(n, (size_t)(cur->seg->len - cur->off));
		addr = cur->seg->addr + cur->off;
		if (op->dir == DMA_FROM_GUEST)
			r = guest_mem_read(ds->gm, p, addr, n);
		else
			r = guest_mem_write(ds->gm, addr, p, n);
		if (r < 0)
			return r;
		dma_cursor_advance(cur, n);
	}
	return 0;
}

static int dma_map_bounce(struct dma_space *ds, struct dma_op *op,
			  struct dma_cursor *cur)
{
	size_t bytes = ALIGN_DOWN(cursor_bytes(cur), (size_t)ds->unit);
	unsigned int pages = (unsigned int)((bytes + GUEST_PAGE_SIZE - 1) /
					    GUEST_PAGE_SIZE);
	struct dma_cursor at = *cur;
	int r;

	if (!bytes)
		return -E2BIG;
	if (pages > ds->nfree)
		return -EAGAIN;
	bounce_get(ds, op, bytes);
	if (op->dir == DMA_FROM_GUEST) {
		r = bounce_copy(ds, op, &at);
		if (r < 0) {
			bounce_put(ds, op);
			return r;
		}
		*cur = at;
	} else {
		cursor_skip(cur, bytes);
	}
	return 0;
}

int dma_map(struct dma_space *ds, struct dma_op *op, struct dma_cursor *cur,
	    enum dma_dir dir)
{
	op->iovcnt = 0;
	op->npages = 0;
	op->bytes = 0;
	op->dir = dir;
	op->start = *cur;
	op->bounced = ds->bounce;
	if (ds->bounce)
		return dma_map_bounce(ds, op, cur);
	return dma_map_in_place(ds, op, cur);
}

int dma_unmap(struct dma_space *ds, struct dma_op *op, bool deliver)
{
	int r = 0;

	if (!op->bounced) {
		guest_mem_release(ds->gm, op->hold);
		return 0;
	}
	if (deliver && op->dir == DMA_TO_GUEST)
		r = bounce_copy(ds, op, &op->start);
	bounce_put(ds, op);
	return r;
}
