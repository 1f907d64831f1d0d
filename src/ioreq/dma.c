/* SPDX-License-Identifier: MIT */
/*
 * dma.c: how a request's payload is reached.  The one place that decides.
 *
 * In place, a piece is a list of pointers into the foreign mappings, kept
 * valid by a share in their cache, or into granted pages, mapped for it alone.
 * Bounced, it is pages of a pool of ours: a stack of free pages, so that what
 * was used last, and is warm, is used next.  Pages that happen to be
 * neighbours become one entry.
 *
 *	what the guest gives	device bounces	it does not
 *	plain addresses		bounced		in place
 *	grants, few bytes	bounced		bounced
 *	grants, many		bounced		in place
 *	some of both		bounced		bounced
 *
 * Granted pages are never given to direct I/O.  They could be pinned, but the
 * kernel may let go of them a moment after the request is done, and so end
 * the mapping later than we say it has ended; then the guest, which looks,
 * gives up the device.  Nor is it faster: at 256 KiB it had half the
 * throughput of a copy, at 4 KiB a fifth.
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
#define COPY_LIST	64u		/* in one call */

_Static_assert(POOL_PAGES * GUEST_PAGE_SIZE >= DMA_MAX_BYTES,
	       "the largest operation finds room in an idle pool");
_Static_assert(DMA_MAX_IOV >= DMA_MAX_BYTES / GUEST_PAGE_SIZE,
	       "and its pages find room in one list");

struct dma_space {
	struct guest_mem	*gm;
	bool			bounce;
	unsigned int		unit;
	unsigned int		serves;		/* enum guest_mem_kinds */
	size_t			grant_map;
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
	ds->serves = guest_mem_serves(gm);
	ds->grant_map = DMA_GRANT_MAP;
	if (bounce || (ds->serves & GUEST_GRANTS)) {
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

void dma_set_grant_map(struct dma_space *ds, size_t bytes)
{
	ds->grant_map = bytes;
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

/*
 * Bytes ahead, but no more than one operation may cover; and in *ret_kinds of
 * which kinds they are, bits of enum guest_mem_kinds.
 */
static size_t cursor_look(const struct dma_cursor *cur, unsigned int *ret_kinds)
{
	unsigned int i, kinds = 0;
	size_t sum = 0;

	for (i = 0; i < cur->nseg && sum < DMA_MAX_BYTES; i++) {
		kinds |= guest_is_grant(cur->seg[i].addr) ? GUEST_GRANTS :
			 GUEST_PLAIN;
		sum += cur->seg[i].len - (i ? 0 : cur->off);
	}
	*ret_kinds = kinds;
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
			    struct dma_cursor *cur, size_t want)
{
	size_t n;
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
		op->hold = NULL;
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
static void bounce_copy(struct dma_space *ds, struct dma_op *op,
			struct dma_cursor *cur, struct guest_batch *batch)
{
	size_t n, done;
	char *p;

	for (done = 0; done < op->bytes && !op->err; done += n) {
		p = ds->pool +
		    (size_t)op->page[done / GUEST_PAGE_SIZE] *
		    GUEST_PAGE_SIZE + done % GUEST_PAGE_SIZE;
		n = MIN(op->bytes - done,
			GUEST_PAGE_SIZE - done % GUEST_PAGE_SIZE);
		n = MIN(n, (size_t)(cur->seg->len - cur->off));
		guest_batch_add(ds->gm, batch, cur->seg->addr + cur->off, p,
				n, &op->err);
		dma_cursor_advance(cur, n);
	}
}

static int dma_map_bounce(struct dma_space *ds, struct dma_op *op,
			  struct dma_cursor *cur, size_t want,
			  struct guest_batch *batch)
{
	size_t bytes = ALIGN_DOWN(want, (size_t)ds->unit);
	unsigned int pages = (unsigned int)((bytes + GUEST_PAGE_SIZE - 1) /
					    GUEST_PAGE_SIZE);
	struct dma_cursor at = *cur;

	if (!bytes)
		return -E2BIG;
	if (pages > ds->nfree)
		return -EAGAIN;
	bounce_get(ds, op, bytes);
	if (op->dir == DMA_FROM_GUEST) {
		bounce_copy(ds, op, &at, batch);
		if (op->err && !op->filling) {
			bounce_put(ds, op);
			return op->err;
		}
	}
	cursor_skip(cur, bytes);
	return 0;
}

/* Granted, in place. */

/* The references of what is at @at, up to @want bytes; iov says where in them. */
static int grants_list(struct dma_op *op, struct dma_cursor at, size_t want,
		       uint32_t *refs, unsigned int *ret_count)
{
	unsigned int count = 0;
	size_t n, i, pages;
	uint32_t first;
	uint64_t addr;

	while (op->bytes < want && op->iovcnt < DMA_MAX_IOV) {
		n = MIN(want - op->bytes, (size_t)(at.seg->len - at.off));
		addr = at.seg->addr + at.off;
		if (!guest_grant_refs(addr, n, &first, &pages))
			return -EFAULT;
		if (pages > GUEST_MAX_REFS - count)
			break;
		op->iov[op->iovcnt++] = (struct iovec){
			.iov_base = (void *)((size_t)count * GUEST_PAGE_SIZE +
					     addr % GUEST_PAGE_SIZE),
			.iov_len = n,
		};
		for (i = 0; i < pages; i++)
			refs[count++] = first + (uint32_t)i;
		op->bytes += n;
		dma_cursor_advance(&at, n);
	}
	*ret_count = count;
	return 0;
}

static int dma_map_grants(struct dma_space *ds, struct dma_op *op,
			  struct dma_cursor *cur, size_t want)
{
	uint32_t refs[GUEST_MAX_REFS];
	unsigned int count;
	size_t n;
	int i, r;

	r = grants_list(op, *cur, want, refs, &count);
	if (r < 0)
		return r;
	n = ALIGN_DOWN(op->bytes, (size_t)ds->unit);
	if (!n)
		return -E2BIG;
	r = guest_mem_map_refs(ds->gm, refs, count, op->dir == DMA_TO_GUEST,
			       &op->grants);
	if (r < 0)
		return r;
	dma_trim(op, cur, n);
	for (i = 0; i < op->iovcnt; i++)
		op->iov[i].iov_base = (char *)op->grants.pages +
				      (size_t)op->iov[i].iov_base;
	return 0;
}

/* ---- */

static void op_start(struct dma_op *op, const struct dma_cursor *cur,
		     enum dma_dir dir)
{
	op->iovcnt = 0;
	op->npages = 0;
	op->bytes = 0;
	op->dir = dir;
	op->start = *cur;
	op->err = 0;
	op->hold = NULL;
	op->grants.pages = NULL;
}

int dma_map(struct dma_space *ds, struct dma_op *op, struct dma_cursor *cur,
	    enum dma_dir dir, struct guest_batch *batch)
{
	unsigned int kinds;
	size_t want = cursor_look(cur, &kinds);
	int r;

	op_start(op, cur, dir);
	op->bounced = false;
	op->filling = false;
	if (kinds & ~ds->serves)
		return -EFAULT;
	if (!ds->bounce && kinds == GUEST_PLAIN)
		return dma_map_in_place(ds, op, cur, want);
	if (!ds->bounce && kinds == GUEST_GRANTS &&
	    want >= ds->grant_map) {
		r = dma_map_grants(ds, op, cur, want);
		if (r != -EAGAIN)
			return r;
		op_start(op, cur, dir);		/* copies need no room */
	}
	op->bounced = true;
	op->filling = dir == DMA_FROM_GUEST && (kinds & GUEST_GRANTS);
	return dma_map_bounce(ds, op, cur, want, batch);
}

void dma_deliver(struct dma_space *ds, struct dma_op *op,
		 struct guest_batch *batch)
{
	if (op->bounced && op->dir == DMA_TO_GUEST)
		bounce_copy(ds, op, &op->start, batch);
}

void dma_unmap(struct dma_space *ds, struct dma_op *op)
{
	if (op->hold)
		guest_mem_release(ds->gm, op->hold);
	guest_mem_unmap(ds->gm, &op->grants);
	bounce_put(ds, op);
}
