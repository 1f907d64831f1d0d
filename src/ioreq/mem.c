/* SPDX-License-Identifier: MIT */
/*
 * mem.c: guest memory; see guest_mem.h.
 *
 * The one place that looks at bit 63: what is behind it goes to grants.c, the
 * rest to foreign.c.  A range is of one kind, for bit 63 is not reached from
 * below and not left above.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "foreign.h"
#include "grants.h"
#include "loop.h"
#include "mem.h"
#include "trace.h"

#define ROOM_MS		100

struct guest_mem {
	struct loop		*loop;
	struct foreign		*foreign;	/* NULL: not served */
	struct grants		*grants;	/* likewise */
	unsigned int		epoch;
	struct guest_waiter	*waiters;
	struct loop_timer	*room_timer;
};

unsigned int guest_mem_serves(const struct guest_mem *gm)
{
	return (gm->foreign ? GUEST_PLAIN : 0) | (gm->grants ? GUEST_GRANTS : 0);
}

/* No address may wrap, or be of two kinds. */
static bool range_ok(uint64_t addr, size_t len)
{
	uint64_t last;

	return len && !__builtin_add_overflow(addr, (uint64_t)len - 1, &last) &&
	       guest_is_grant(addr) == guest_is_grant(last);
}

static bool is_served(const struct guest_mem *gm, uint64_t addr)
{
	return guest_is_grant(addr) ? gm->grants != NULL : gm->foreign != NULL;
}

/* Others use up what there is for grants, and do not say when they are done. */
static int gm_tell_room(struct guest_mem *gm, int r)
{
	if (r == -EAGAIN)
		loop_timer_set(gm->room_timer, ROOM_MS);
	return r;
}

/* guest_mem.h: rings. */

int guest_mem_map(struct guest_mem *gm, uint64_t addr, size_t len,
		  bool writable, struct guest_map *ret)
{
	if (!range_ok(addr, len))
		return -EINVAL;
	if (!is_served(gm, addr))
		return -EFAULT;
	if (guest_is_grant(addr))
		return gm_tell_room(gm, grants_map_range(gm->grants, addr, len,
							 writable, ret));
	return foreign_map(gm->foreign, addr, len, writable, ret);
}

int guest_mem_map_refs(struct guest_mem *gm, uint32_t *refs, unsigned int n,
			bool writable, struct guest_map *ret)
{
	return gm_tell_room(gm, grants_map(gm->grants, refs, n, writable, ret));
}

void guest_mem_unmap(struct guest_mem *gm, struct guest_map *map)
{
	if (!map->pages)
		return;
	if (map->granted)
		grants_unmap(gm->grants, map);
	else
		foreign_unmap(gm->foreign, map);
}

unsigned int guest_mem_epoch(const struct guest_mem *gm)
{
	return gm->epoch;
}

/* guest_mem.h: copies. */

/* What is granted is only noted: many of them are one call to Xen. */
static int copy_plain(struct guest_mem *gm, uint64_t addr, void *buf,
		      size_t len, bool to_guest, bool *granted)
{
	if (!len)
		return 0;
	if (!range_ok(addr, len) || !is_served(gm, addr))
		return -EFAULT;
	if (!guest_is_grant(addr))
		return foreign_copy(gm->foreign, buf, addr, len, to_guest);
	*granted = true;
	return 0;
}

int guest_mem_copy(struct guest_mem *gm, struct guest_copy *list,
		   unsigned int count, bool to_guest)
{
	bool granted = false;
	struct guest_copy *c;
	unsigned int i;
	int r = 0;

	for (i = 0; i < count; i++) {
		c = &list[i];
		c->err = copy_plain(gm, c->addr, c->buf, c->len, to_guest,
				    &granted);
	}
	if (granted)
		grants_copy(gm->grants, list, count, to_guest);
	for (i = 0; i < count && !r; i++)
		r = list[i].err;
	return r;
}

/* As a list of one, which need not be made for what is plain. */
static int copy_one(struct guest_mem *gm, uint64_t addr, void *buf, size_t len,
		    bool to_guest)
{
	struct guest_copy one = { .addr = addr, .buf = buf, .len = len };
	bool granted = false;
	int r = copy_plain(gm, addr, buf, len, to_guest, &granted);

	if (!granted)
		return r;
	grants_copy(gm->grants, &one, 1, to_guest);
	return one.err;
}

int guest_mem_read(struct guest_mem *gm, void *dst, uint64_t addr, size_t len)
{
	return copy_one(gm, addr, dst, len, false);
}

int guest_mem_write(struct guest_mem *gm, uint64_t addr, const void *src,
		    size_t len)
{
	return copy_one(gm, addr, (void *)(uintptr_t)src, len, true);
}

/* guest_mem.h: payload. */

struct guest_hold *guest_mem_hold(struct guest_mem *gm)
{
	return gm->foreign ? foreign_hold(gm->foreign) : NULL;
}

void guest_mem_release(struct guest_mem *gm, struct guest_hold *hold)
{
	foreign_release(gm->foreign, hold);
}

int guest_mem_iov(struct guest_mem *gm, struct guest_hold *hold,
		  uint64_t addr, size_t len, struct iovec *iov, int max,
		  size_t *ret_len)
{
	if (!range_ok(addr, len) || guest_is_grant(addr))
		return -EFAULT;
	return foreign_iov(gm->foreign, hold, addr, len, iov, max, ret_len);
}

/* guest_mem.h: waiting. */

void guest_mem_wait(struct guest_mem *gm, struct guest_waiter *waiter)
{
	if (waiter->waiting)
		return;
	waiter->waiting = true;
	waiter->next = gm->waiters;
	gm->waiters = waiter;
}

void guest_mem_wait_cancel(struct guest_mem *gm, struct guest_waiter *waiter)
{
	struct guest_waiter **p;

	loop_defer_cancel(&waiter->work);
	if (!waiter->waiting)
		return;
	for (p = &gm->waiters; *p != waiter; p = &(*p)->next)
		assert(*p);
	*p = waiter->next;
	waiter->waiting = false;
}

static void wake_waiters(void *arg)
{
	struct guest_mem *gm = arg;
	struct guest_waiter *w;

	while ((w = gm->waiters)) {
		gm->waiters = w->next;
		w->waiting = false;
		loop_defer(gm->loop, &w->work);
	}
}

/* Making and ending. */

void guest_mem_invalidate(struct guest_mem *gm)
{
	gm->epoch++;
	TRACE(gmem_invalidate, gm->epoch);
	if (gm->foreign)
		foreign_invalidate(gm->foreign);
}

int guest_mem_open(struct loop *loop, uint32_t domid,
		   xenforeignmemory_handle *fmem, struct grants *grants,
		   struct guest_mem **ret)
{
	struct guest_mem *gm = calloc(1, sizeof(*gm));
	int r;

	if (!gm)
		return -ENOMEM;
	gm->loop = loop;
	gm->grants = grants;
	r = loop_timer_add(loop, wake_waiters, gm, &gm->room_timer);
	if (!r && fmem)
		r = foreign_open(loop, fmem, domid, wake_waiters, gm,
				 &gm->foreign);
	if (r < 0) {
		guest_mem_close(gm);
		return r;
	}
	*ret = gm;
	return 0;
}

void guest_mem_close(struct guest_mem *gm)
{
	if (!gm)
		return;
	loop_timer_del(gm->room_timer);
	foreign_close(gm->foreign);
	free(gm);
}
