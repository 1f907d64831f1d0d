/* SPDX-License-Identifier: MIT */
/*
 * dma.h: how a request's payload is reached.  One place decides: in place
 * (the backend reads and writes guest pages), which granted ones are mapped
 * for; or bounced (through aligned pages of ours), because it is granted and
 * small, or because direct I/O needs pages that can be pinned.
 *
 *   dma_map(op, cursor) -> backend uses op->iov -> dma_deliver(op) ->
 *   dma_unmap(op)
 *
 * What dma_map() and dma_deliver() copy from and to granted memory is done by
 * the next guest_batch_run(); only then can op->iov be used, or its pages be
 * given back, and op->err says whether it went well.
 *
 * A payload larger than one operation may be is taken in pieces: the cursor
 * moves on by op->bytes with each dma_map().
 */
#ifndef XVD_DMA_H
#define XVD_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "guest_batch.h"

#define DMA_MAX_BYTES	(1024u * 1024)	/* the most that one op covers */
#define DMA_MAX_IOV	260		/* DMA_MAX_BYTES of pages, and a few */

struct dma_space;

enum dma_dir {
	DMA_FROM_GUEST,		/* the guest's bytes go to the device */
	DMA_TO_GUEST,		/* the device's bytes go to the guest */
};

struct dma_seg {
	uint64_t	addr;
	uint32_t	len;	/* bytes, never 0 */
};

/* A position in a list of segments, which must outlive it. */
struct dma_cursor {
	const struct dma_seg	*seg;
	unsigned int		nseg;	/* left, including *seg */
	uint32_t		off;	/* bytes of *seg already used */
};

/* Moves on by @n bytes, at most to the end of this segment. */
static inline void dma_cursor_advance(struct dma_cursor *cur, size_t n)
{
	cur->off += (uint32_t)n;
	if (cur->off == cur->seg->len) {
		cur->seg++;
		cur->nseg--;
		cur->off = 0;
	}
}

struct dma_op {
	/* For the backend, which may overwrite the entries. */
	struct iovec		iov[DMA_MAX_IOV];
	int			iovcnt;
	size_t			bytes;
	int			err;		/* 0, or -EFAULT: see above */
	bool			filling;	/* dma_map() left it to a run */

	/* For dma_unmap(). */
	enum dma_dir		dir;
	bool			bounced;
	struct guest_hold	*hold;
	struct guest_map	grants;		/* mapped, or not */
	struct dma_cursor	start;
	uint16_t		npages;
	uint16_t		page[DMA_MAX_BYTES / 4096];
};

/*
 * The payload of one device.  @bounce: always go through our own pages.
 * @unit: pieces are whole multiples of this many bytes (a power of two, at
 * most a page).  Return: 0 and *ret, or -ENOMEM.
 */
int dma_open(struct guest_mem *gm, bool bounce, unsigned int unit,
	     struct dma_space **ret);
void dma_close(struct dma_space *ds);	/* NULL is fine; no op is mapped */

/*
 * Of granted memory that need not be bounced, @bytes or more in one piece are
 * mapped and less is copied; DMA_GRANT_MAP unless this says otherwise.
 *
 * That is as much as can be.  To map and to unmap are two calls to Xen, with
 * work for each page in both, and page tables and TLBs to be changed in dom0;
 * a copy is one call.  Measured ("make bench-xen"), mapping had 0.3 times the
 * throughput of copying at 4 KiB, 0.5 at 256 KiB and 0.7 at 1 MiB.  What speaks
 * for it there is that copies of such a size fill the pool, see dma.c.
 */
#define DMA_GRANT_MAP	DMA_MAX_BYTES
void dma_set_grant_map(struct dma_space *ds, size_t bytes);

/*
 * Maps the next piece of at most DMA_MAX_BYTES and moves the cursor on.
 * @batch: copies from the guest.
 * Return: 0; -EAGAIN if memory for it is in use by operations under way,
 * perhaps another device's (try again after a dma_unmap() of this device, and
 * when guest_mem_wait() says so); -EFAULT
 * for an address that is not the guest's memory; -E2BIG if it is in so many
 * scraps that not one unit fits.  On failure nothing is mapped and the
 * cursor has not moved.
 */
int dma_map(struct dma_space *ds, struct dma_op *op, struct dma_cursor *cur,
	    enum dma_dir dir, struct guest_batch *batch);

/*
 * A read that succeeded and is still wanted: what was bounced is copied to the
 * guest.  @batch: copies to it.
 */
void dma_deliver(struct dma_space *ds, struct dma_op *op,
		 struct guest_batch *batch);

/* Ends an operation, of which nothing is in a batch any more. */
void dma_unmap(struct dma_space *ds, struct dma_op *op);

#endif
