/* SPDX-License-Identifier: MIT */
/*
 * foreign.h: guest memory by foreign mappings; the making and ending of what
 * guest_mem.h uses.  Private to src/ioreq.
 */
#ifndef XVD_FOREIGN_H
#define XVD_FOREIGN_H

#include <xenforeignmemory.h>

#include "guest_mem.h"

struct loop;

/* @fmem is borrowed.  Return: 0 and *ret, or -ENOMEM. */
int guest_mem_open(struct loop *loop, xenforeignmemory_handle *fmem,
		   uint32_t domid, struct guest_mem **ret);
void guest_mem_close(struct guest_mem *gm);	/* NULL is fine */

/*
 * The guest's layout changed (IOREQ_TYPE_INVALIDATE): nothing mapped so far
 * is used for anything new.  Cheap: unmapping is deferred.
 */
void guest_mem_invalidate(struct guest_mem *gm);

#endif
