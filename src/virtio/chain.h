/* SPDX-License-Identifier: MIT */
/*
 * chain.h: the bytes of a chain, wherever its descriptors cut it.
 *
 * A dma_cursor is a position in the readable or in the writable part:
 *
 *	struct dma_cursor cur = chain_out(&chain);
 *	r = chain_read(gm, &cur, &hdr, sizeof(hdr));
 *
 * Lengths are the caller's to check: none of these goes beyond the end.
 */
#ifndef XVD_CHAIN_H
#define XVD_CHAIN_H

#include <stddef.h>
#include <stdint.h>
#include "dma.h"
#include "virtqueue.h"

static inline struct dma_cursor chain_out(const struct vq_chain *c)
{
	return (struct dma_cursor){ .seg = c->seg, .nseg = c->nout };
}

static inline struct dma_cursor chain_in(const struct vq_chain *c)
{
	return (struct dma_cursor){ .seg = c->seg + c->nout, .nseg = c->nin };
}

/* Copies @len bytes and moves on.  Return: 0, or -EFAULT. */
int chain_read(struct guest_mem *gm, struct dma_cursor *cur, void *buf,
	       size_t len);
int chain_write(struct guest_mem *gm, struct dma_cursor *cur, const void *buf,
		size_t len);

/* Moves on. */
void chain_skip(struct dma_cursor *cur, size_t len);

/*
 * Describes the next @len bytes by at most @max entries, without moving on.
 * Return: the number of entries, with the bytes that they cover in *ret_len:
 * fewer than @len where @max is too small or memory cannot be reached so.
 */
int chain_iov(struct guest_mem *gm, struct guest_hold *hold,
	      const struct dma_cursor *cur, size_t len, struct iovec *iov,
	      int max, size_t *ret_len);

#endif
