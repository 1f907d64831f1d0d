/* SPDX-License-Identifier: MIT */
/*
 * grants.h: guest memory that the guest has granted: what guest_mem.h does
 * with addresses of bit 63.  Private to src/ioreq.
 *
 * Such an address is a grant reference and an offset (Linux grant-dma-ops):
 *
 *	63  62       44  43             12  11       0
 *	 1   0 ...    0   reference          offset
 *
 * Pages that follow one another there have references that follow one
 * another, and nothing else in common.
 */
#ifndef XVD_GRANTS_H
#define XVD_GRANTS_H

#include "guest_mem.h"

struct grants;

/*
 * What @domid grants us.  Return: 0 and *ret, or a negative errno: -ENOENT if
 * dom0 has no /dev/xen/gntdev.
 */
int grants_open(uint32_t domid, struct grants **ret);
void grants_close(struct grants *g);		/* NULL is fine */

/*
 * Maps @n pages one behind the other, for guest_mem_unmap().  @refs is
 * borrowed.  Return: 0 and *ret; -EFAULT if one of them is not granted (so);
 * -EAGAIN if it is, as far as can be told, but there is no room to map more.
 */
int grants_map(struct grants *g, uint32_t *refs, unsigned int n, bool writable,
	       struct guest_map *ret);
void grants_unmap(struct grants *g, struct guest_map *map);

/* As guest_mem_map(). */
int grants_map_range(struct grants *g, uint64_t addr, size_t len,
		     bool writable, struct guest_map *ret);

/*
 * Copies what is granted of @list, and has no error yet, in as few calls to
 * Xen as possible; then err is set, to 0 or -EFAULT.
 */
void grants_copy(struct grants *g, struct guest_copy *list,
		 unsigned int count, bool to_guest);

#endif
