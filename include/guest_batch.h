/* SPDX-License-Identifier: MIT */
/*
 * guest_batch.h: copies that can wait for one another.
 *
 * A copy from or to granted memory is a call to Xen, which may as well be for
 * many.  So they are collected; plain addresses, where that would save
 * nothing, are copied at once.
 *
 *	guest_batch_add() ... guest_batch_add()  ->  guest_batch_run()
 *
 * All of one batch go the same way.  Loop thread only.
 */
#ifndef XVD_GUEST_BATCH_H
#define XVD_GUEST_BATCH_H

#include "guest_mem.h"

#define GUEST_BATCH	64u

struct guest_batch {
	struct guest_copy	list[GUEST_BATCH];
	int			*err[GUEST_BATCH];
	unsigned int		count;
	bool			to_guest;
};

/* Does what was added.  What failed has its *err set to -EFAULT. */
static inline void guest_batch_run(struct guest_mem *gm, struct guest_batch *b)
{
	unsigned int i;

	if (b->count &&
	    guest_mem_copy(gm, b->list, b->count, b->to_guest) < 0) {
		for (i = 0; i < b->count; i++)
			if (b->list[i].err)
				*b->err[i] = b->list[i].err;
	}
	b->count = 0;
}

/*
 * @buf and @err have to stay until the run.  *err is left alone if all goes
 * well, so that one may stand for several copies.
 */
static inline void guest_batch_add(struct guest_mem *gm, struct guest_batch *b,
				   uint64_t addr, void *buf, size_t len,
				   int *err)
{
	int r;

	if (!guest_is_grant(addr)) {
		r = b->to_guest ? guest_mem_write(gm, addr, buf, len) :
				  guest_mem_read(gm, buf, addr, len);
		if (r < 0)
			*err = r;
		return;
	}
	if (b->count == GUEST_BATCH)
		guest_batch_run(gm, b);
	b->list[b->count] = (struct guest_copy){
		.addr = addr, .buf = buf, .len = len,
	};
	b->err[b->count++] = err;
}

#endif
