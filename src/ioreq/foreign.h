/* SPDX-License-Identifier: MIT */
/*
 * foreign.h: guest memory by foreign mappings: what guest_mem.h does with
 * addresses that are not grants.  Private to src/ioreq.
 *
 * Whoever calls has seen to it that no range is empty, wraps or is a grant.
 */
#ifndef XVD_FOREIGN_H
#define XVD_FOREIGN_H

#include <xenforeignmemory.h>

#include "guest_mem.h"

struct foreign;
struct loop;

/*
 * @fmem is borrowed.  @room is called when there may be room for what was
 * refused for want of it.  Return: 0 and *ret, or -ENOMEM.
 */
int foreign_open(struct loop *loop, xenforeignmemory_handle *fmem,
		 uint32_t domid, void (*room)(void *arg), void *arg,
		 struct foreign **ret);
void foreign_close(struct foreign *f);	/* NULL is fine */

/* Nothing mapped so far is used for anything new; unmapping is deferred. */
void foreign_invalidate(struct foreign *f);

/* As guest_mem_map(), guest_mem_unmap(). */
int foreign_map(struct foreign *f, uint64_t addr, size_t len, bool writable,
		struct guest_map *ret);
void foreign_unmap(struct foreign *f, struct guest_map *map);

/* Return: 0 or -EFAULT; then part of the range may have been copied. */
int foreign_copy(struct foreign *f, void *buf, uint64_t addr, size_t len,
		 bool to_guest);

/* As guest_mem_hold(), guest_mem_release(), guest_mem_iov(). */
struct guest_hold *foreign_hold(struct foreign *f);
void foreign_release(struct foreign *f, struct guest_hold *hold);
int foreign_iov(struct foreign *f, struct guest_hold *hold, uint64_t addr,
		size_t len, struct iovec *iov, int max, size_t *ret_len);

#endif
