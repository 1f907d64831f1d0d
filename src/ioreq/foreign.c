/* SPDX-License-Identifier: MIT */
/*
 * foreign.c: guest memory by foreign mappings.
 *
 * Payload, headers and tables are reached through a cache of chunks, 2 MiB
 * each, mapped when first needed.  Pages of a chunk that are not there (a
 * hole, a page that was ballooned out) are marked and tried again when they
 * are asked for: the guest may have filled them since.  If so, the chunk is
 * mapped once more, and found before the older mapping of it, which stays
 * until the cache goes.  It is not mended page by page: that would cost a
 * mapping of the kernel's for each, and a process may have only 65530.
 *
 *	f->cur ----> cache { users, chunks, hash }	new requests come here
 *	f->retired -> cache -> cache ...		in use by older ones
 *	f->trash --> cache ...				to be unmapped soon
 *
 * There is no bookkeeping per chunk.  A request holds the whole cache that it
 * uses; a cache is only ever dropped as a whole, and then as follows: when
 * the guest's layout changes (a stale mapping would mean I/O to pages that
 * now belong to somebody else), or when it is full, it is retired; nothing
 * new is looked up in it, and its last user's release makes it trash.  The
 * sum of all is bounded.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xenctrl.h>

#include "foreign.h"
#include "dma.h"
#include "log.h"
#include "loop.h"
#include "trace.h"

#define CHUNK_SHIFT	21
#define CHUNK_BYTES	(1ull << CHUNK_SHIFT)
#define CHUNK_PAGES	((unsigned int)(CHUNK_BYTES / GUEST_PAGE_SIZE))
#define CACHE_CHUNKS	1024u		/* the most of one cache, 2 GiB */
#define TOTAL_CHUNKS	2048u		/* the most that requests may hold */
#define CACHE_BUCKETS	2048u
#define HOLD_CHUNKS	((unsigned int)DMA_MAX_IOV)	/* one request's need */

_Static_assert(CACHE_CHUNKS < UINT16_MAX, "indices");

struct chunk {
	uint64_t	index;		/* guest address >> CHUNK_SHIFT */
	char		*va;
	uint16_t	next;		/* of the bucket; index + 1, 0 = end */
	uint16_t	good;		/* pages that are there */
	uint64_t	there[CHUNK_PAGES / 64];
};

struct guest_hold {
	unsigned int		users;
	unsigned int		count;
	bool			retired;
	struct guest_hold	*next;
	uint16_t		bucket[CACHE_BUCKETS];
	struct chunk		chunk[CACHE_CHUNKS];
};

struct foreign {
	struct loop		*loop;
	xenforeignmemory_handle	*fmem;
	uint32_t		domid;
	unsigned int		total;		/* chunks of all caches */
	struct guest_hold	*cur;
	struct guest_hold	*spare;
	struct guest_hold	*retired;
	struct guest_hold	*trash;
	struct loop_work	trash_work;
	void			(*room)(void *arg);
	void			*room_arg;
	struct log_limit	limit;
};

/* Chunks. */

static bool chunk_has(const struct chunk *c, unsigned int page)
{
	return c->there[page / 64] >> (page % 64) & 1;
}

static void chunk_mark(struct chunk *c, unsigned int page)
{
	c->there[page / 64] |= 1ull << (page % 64);
	c->good++;
}

static int chunk_map(struct foreign *f, struct chunk *c, uint64_t index)
{
	xen_pfn_t pfn[CHUNK_PAGES];
	int err[CHUNK_PAGES];
	unsigned int i;

	for (i = 0; i < CHUNK_PAGES; i++)
		pfn[i] = (index << (CHUNK_SHIFT - XC_PAGE_SHIFT)) + i;
	*c = (struct chunk){ .index = index };
	c->va = xenforeignmemory_map2(f->fmem, f->domid, NULL,
				      PROT_READ | PROT_WRITE, 0, CHUNK_PAGES,
				      pfn, err);
	if (!c->va)
		return -errno;
	for (i = 0; i < CHUNK_PAGES; i++)
		if (!err[i])
			chunk_mark(c, i);
	TRACE(gmem_map, index << CHUNK_SHIFT, CHUNK_PAGES, c->good);
	return 0;
}

/* Caches. */

static struct guest_hold *cache_new(struct foreign *f)
{
	struct guest_hold *cache = f->spare;

	if (cache)
		f->spare = NULL;
	else
		cache = calloc(1, sizeof(*cache));
	return cache;
}

static void cache_empty(struct foreign *f, struct guest_hold *cache)
{
	unsigned int i;

	for (i = 0; i < cache->count; i++)
		(void)xenforeignmemory_unmap(f->fmem, cache->chunk[i].va,
					     CHUNK_PAGES);
	f->total -= cache->count;
	cache->count = 0;
	cache->retired = false;
	cache->next = NULL;
	memset(cache->bucket, 0, sizeof(cache->bucket));
}

static void trash_empty(struct foreign *f)
{
	struct guest_hold *cache;

	loop_defer_cancel(&f->trash_work);
	while ((cache = f->trash)) {
		f->trash = cache->next;
		cache_empty(f, cache);
		if (f->spare)
			free(cache);
		else
			f->spare = cache;
	}
}

static void trash_fn(struct loop_work *work)
{
	trash_empty(container_of(work, struct foreign, trash_work));
}

static void cache_trash(struct foreign *f, struct guest_hold *cache)
{
	cache->next = f->trash;
	f->trash = cache;
	loop_defer(f->loop, &f->trash_work);
}

/*
 * Nothing new is looked up in the current cache.  Without memory for another
 * one there is none until the next look.
 */
static void cache_retire(struct foreign *f)
{
	struct guest_hold *cache = f->cur;

	if (!cache || !cache->count)
		return;
	f->cur = NULL;
	cache->retired = true;
	if (cache->users) {
		cache->next = f->retired;
		f->retired = cache;
	} else {
		cache_trash(f, cache);
	}
}

static struct guest_hold *cache_current(struct foreign *f)
{
	if (!f->cur)
		f->cur = cache_new(f);
	return f->cur;
}

static struct chunk *cache_find(struct guest_hold *cache, uint64_t index)
{
	uint16_t i = cache->bucket[index % CACHE_BUCKETS];

	while (i && cache->chunk[i - 1].index != index)
		i = cache->chunk[i - 1].next;
	return i ? &cache->chunk[i - 1] : NULL;
}

/* Maps the chunk as it is now; what is there of it is found first. */
static int cache_add(struct foreign *f, struct guest_hold *cache,
		     uint64_t index, struct chunk **ret)
{
	uint16_t *bucket = &cache->bucket[index % CACHE_BUCKETS];
	struct chunk *c = &cache->chunk[cache->count];
	int r;

	if (f->total == TOTAL_CHUNKS)
		trash_empty(f);
	if (f->total == TOTAL_CHUNKS || cache->count == CACHE_CHUNKS)
		return -E2BIG;
	r = chunk_map(f, c, index);
	if (r < 0) {
		if (log_limit_ok(&f->limit, "guest memory"))
			log_warn("d%u: cannot map guest memory at %#llx: %s",
				 f->domid,
				 (unsigned long long)index << CHUNK_SHIFT,
				 strerror(-r));
		return r;
	}
	cache->count++;
	f->total++;
	c->next = *bucket;
	*bucket = (uint16_t)cache->count;
	*ret = c;
	return 0;
}

/* A page was not there; is it now?  Then the chunk is mapped again. */
static int cache_renew(struct foreign *f, struct guest_hold *cache,
		       unsigned int page, struct chunk **c)
{
	uint64_t index = (*c)->index;
	struct guest_map probe;
	int r;

	r = foreign_map(f, (index << CHUNK_SHIFT) +
			  (uint64_t)page * GUEST_PAGE_SIZE, 1, true, &probe);
	if (r < 0)
		return r;
	foreign_unmap(f, &probe);
	return cache_add(f, cache, index, c);
}

/*
 * Where is @addr, and how many of @len bytes follow in the same chunk?
 * Return: 0; -EFAULT if a page of them is not there; -E2BIG if there is no
 * room for one more chunk; another negative errno if mapping it failed.
 */
static int cache_at(struct foreign *f, struct guest_hold *cache,
		    uint64_t addr, size_t len, char **ret, size_t *ret_len)
{
	struct chunk *c = cache_find(cache, addr >> CHUNK_SHIFT);
	uint64_t off = addr & (CHUNK_BYTES - 1);
	unsigned int page, last;
	bool old = c;
	int r = 0;

	if (!old)
		r = cache_add(f, cache, addr >> CHUNK_SHIFT, &c);
	if (r < 0)
		return r;
	len = (size_t)MIN((uint64_t)len, CHUNK_BYTES - off);
	last = (unsigned int)((off + len - 1) / GUEST_PAGE_SIZE);
	page = (unsigned int)(off / GUEST_PAGE_SIZE);
	for (; c->good != CHUNK_PAGES && page <= last; page++) {
		if (chunk_has(c, page))
			continue;
		r = old ? cache_renew(f, cache, page, &c) : -EFAULT;
		if (r < 0)
			return r;
		if (!chunk_has(c, page))
			return -EFAULT;		/* gone again */
		old = false;
	}
	*ret = c->va + off;
	*ret_len = len;
	return 0;
}

/* Rings. */

int foreign_map(struct foreign *f, uint64_t addr, size_t len, bool writable,
		struct guest_map *ret)
{
	uint64_t first = addr / GUEST_PAGE_SIZE;
	size_t i, n, off = addr % GUEST_PAGE_SIZE;
	xen_pfn_t pfn[16] = { 0 };
	int err[16] = { 0 };
	void *va;

	n = (off + len + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE;
	if (n > ARRAY_SIZE(pfn))
		return -EINVAL;
	for (i = 0; i < n; i++)
		pfn[i] = first + i;
	va = xenforeignmemory_map2(f->fmem, f->domid, NULL,
				   PROT_READ | (writable ? PROT_WRITE : 0), 0,
				   n, pfn, err);
	if (!va)
		return -EFAULT;
	for (i = 0; i < n; i++) {
		if (err[i]) {
			(void)xenforeignmemory_unmap(f->fmem, va, n);
			return -EFAULT;
		}
	}
	TRACE(gmem_map, addr, n, n);
	*ret = (struct guest_map){
		.base	= (void __guest __force *)((char *)va + off),
		.pages	= va,
		.npages	= n,
	};
	return 0;
}

void foreign_unmap(struct foreign *f, struct guest_map *map)
{
	if (map->pages)
		(void)xenforeignmemory_unmap(f->fmem, map->pages,
					     map->npages);
	*map = (struct guest_map){ 0 };
}

/* Copies. */

static int copy_cached(struct foreign *f, uint64_t addr, size_t len,
		       char **ret, size_t *ret_len)
{
	struct guest_hold *cache = cache_current(f);

	if (!cache)
		return -ENOMEM;
	return cache_at(f, cache, addr, len, ret, ret_len);
}

/* @alone: what to unmap after the copy. */
static int copy_at(struct foreign *f, uint64_t addr, size_t len,
		   struct guest_map *alone, char **ret, size_t *ret_len)
{
	int r = copy_cached(f, addr, len, ret, ret_len);

	if (r == -E2BIG) {
		cache_retire(f);
		r = copy_cached(f, addr, len, ret, ret_len);
	}
	if (r == 0 || r == -EFAULT)
		return r;
	/* Requests hold all that may be mapped.  One page, then, for now. */
	len = MIN(len, (size_t)(GUEST_PAGE_SIZE - addr % GUEST_PAGE_SIZE));
	r = foreign_map(f, addr, len, true, alone);
	if (r < 0)
		return r;
	*ret = (char __force *)alone->base;
	*ret_len = len;
	return 0;
}

int foreign_copy(struct foreign *f, void *buf, uint64_t addr, size_t len,
		 bool to_guest)
{
	struct guest_map alone = { 0 };
	char *at = buf, *p;
	size_t n;

	for (; len; len -= n, addr += n, at += n) {
		if (copy_at(f, addr, len, &alone, &p, &n) < 0)
			return -EFAULT;
		if (to_guest)
			memcpy(p, at, n);
		else
			memcpy(at, p, n);
		foreign_unmap(f, &alone);
	}
	return 0;
}

/* Payload. */

struct guest_hold *foreign_hold(struct foreign *f)
{
	if (f->cur && f->cur->count + HOLD_CHUNKS > CACHE_CHUNKS)
		cache_retire(f);
	if (f->total + HOLD_CHUNKS > TOTAL_CHUNKS)
		trash_empty(f);
	if (f->total + HOLD_CHUNKS > TOTAL_CHUNKS)
		return NULL;
	if (!cache_current(f))
		return NULL;
	f->cur->users++;
	return f->cur;
}

void foreign_release(struct foreign *f, struct guest_hold *hold)
{
	struct guest_hold **p;

	assert(hold->users);
	if (--hold->users)
		return;
	/* Idle caches can be emptied, so there is room for others now. */
	f->room(f->room_arg);
	if (!hold->retired)
		return;
	for (p = &f->retired; *p != hold; p = &(*p)->next)
		assert(*p);
	*p = hold->next;
	cache_trash(f, hold);
}

int foreign_iov(struct foreign *f, struct guest_hold *hold,
		  uint64_t addr, size_t len, struct iovec *iov, int max,
		  size_t *ret_len)
{
	size_t n, done = 0;
	int r, count = 0;
	char *p;

	while (done < len && count < max) {
		r = cache_at(f, hold, addr + done, len - done, &p, &n);
		if (r < 0)
			return r == -E2BIG ? r : -EFAULT;
		iov[count++] = (struct iovec){ .iov_base = p, .iov_len = n };
		done += n;
	}
	*ret_len = done;
	return count;
}

/* Making and ending. */

void foreign_invalidate(struct foreign *f)
{
	cache_retire(f);
}

int foreign_open(struct loop *loop, xenforeignmemory_handle *fmem,
		 uint32_t domid, void (*room)(void *arg), void *arg,
		 struct foreign **ret)
{
	struct foreign *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->loop = loop;
	f->fmem = fmem;
	f->domid = domid;
	f->room = room;
	f->room_arg = arg;
	f->trash_work.fn = trash_fn;
	*ret = f;
	return 0;
}

void foreign_close(struct foreign *f)
{
	if (!f)
		return;
	assert(!f->retired && (!f->cur || !f->cur->users));
	cache_retire(f);
	trash_empty(f);
	loop_defer_cancel(&f->trash_work);
	free(f->cur);
	free(f->spare);
	free(f);
}
