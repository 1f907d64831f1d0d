/* SPDX-License-Identifier: MIT */
/*
 * mem.h: the making and ending of what guest_mem.h uses.  Private to
 * src/ioreq.
 */
#ifndef XVD_MEM_H
#define XVD_MEM_H

#include <xenforeignmemory.h>

#include "guest_mem.h"

struct grants;
struct loop;

/*
 * The memory of @domid.  @fmem and @grants are borrowed; without the one no
 * plain address is served, without the other no grant.  Return: 0 and *ret, or
 * -ENOMEM.
 */
int guest_mem_open(struct loop *loop, uint32_t domid,
		   xenforeignmemory_handle *fmem, struct grants *grants,
		   struct guest_mem **ret);
void guest_mem_close(struct guest_mem *gm);	/* NULL is fine */

/*
 * The guest's layout changed (IOREQ_TYPE_INVALIDATE): nothing mapped so far
 * is used for anything new.  Cheap: unmapping is deferred.
 */
void guest_mem_invalidate(struct guest_mem *gm);

#endif
