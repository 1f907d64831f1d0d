/* SPDX-License-Identifier: MIT */
/*
 * guest_mem.h: from guest addresses to bytes.
 *
 * Guest memory changes while one looks at it and can vanish at any time, so
 * it has a pointer type of its own, __guest, which sparse and clang refuse
 * to dereference; the accessors in this file are the only way through.
 *
 * Two kinds of mapping:
 *
 *   struct guest_map	contiguous, made for one range, lives until it is
 *			unmapped: a ring.  When the guest's memory layout
 *			changes (ballooning) the epoch moves on, and whoever
 *			owns a map made in an older epoch maps again.
 *
 *   struct guest_hold	a share in the cache of large chunks, taken at the
 *			start of a request and released at its end.  Chunks
 *			are mapped on demand and found in O(1).  What a hold
 *			has seen stays mapped until the hold is released, also
 *			when the cache is dropped meanwhile.
 *
 * Addresses are in bytes.  Bit 63 decides what they are: a grant reference
 * and an offset (grants.h), which the guest may take back at any time while it
 * is not mapped; or a guest physical address, of any page there is.  Which of
 * them are served is the device's to say (grants= in xen-virtiod(8)).
 *
 * Grants are never held: guest_mem_iov() does not know them.  They are copied,
 * or mapped for as long as one request or one queue needs them.
 *
 * Loop thread only.
 */
#ifndef XVD_GUEST_MEM_H
#define XVD_GUEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include "loop.h"
#include "util.h"

#if defined(__CHECKER__)
#define __guest		__attribute__((noderef, address_space(1)))
#elif defined(__clang__)
#define __guest		__attribute__((noderef))
#else
#define __guest
#endif

#define GUEST_PAGE_SIZE		4096u
#define GUEST_ADDR_GRANT	(1ull << 63)
#define GUEST_MAX_REFS		320u	/* pages of one guest_mem_map_refs() */

/* What an administrator wants: grants=. */
enum grants_policy {
	GRANTS_AUTO,		/* whatever the guest uses */
	GRANTS_REQUIRE,		/* nothing else is touched, nor could it be */
	GRANTS_OFF,		/* all is mapped as it is */
};

/* What can be served.  Bits. */
enum guest_mem_kinds {
	GUEST_PLAIN	= 1,
	GUEST_GRANTS	= 2,
};

static inline bool guest_is_grant(uint64_t addr)
{
	return addr & GUEST_ADDR_GRANT;
}

/*
 * The references of @len granted bytes at @addr, @len not being 0: *ret_count
 * of them from *ret_first on.  Return: whether there are such references.
 */
static inline bool guest_grant_refs(uint64_t addr, size_t len,
				    uint32_t *ret_first, size_t *ret_count)
{
	uint64_t off = addr & ~GUEST_ADDR_GRANT;
	uint64_t first = off / GUEST_PAGE_SIZE;
	uint64_t last = (off + len - 1) / GUEST_PAGE_SIZE;

	*ret_first = (uint32_t)first;
	*ret_count = (size_t)(last - first + 1);
	return last <= UINT32_MAX;
}

struct guest_mem;
struct guest_hold;

struct guest_map {
	void __guest	*base;		/* NULL: not mapped */
	void		*pages;		/* page-aligned start */
	size_t		npages;
	bool		granted;
};

/* What can be served at all: that and no more is mapped or copied. */
unsigned int guest_mem_serves(const struct guest_mem *gm);

/*
 * Maps @len bytes at @addr contiguously, to be read, or also @writable.
 * Return: 0 and *ret, to be given back with guest_mem_unmap(); -EFAULT if any
 * page is not ordinary memory of the guest, or not granted (so); -EINVAL for a
 * length of 0 or an address that wraps; -EAGAIN if no more can be mapped now.
 */
int guest_mem_map(struct guest_mem *gm, uint64_t addr, size_t len,
		  bool writable, struct guest_map *ret);

/*
 * The same for @n granted pages, at most GUEST_MAX_REFS, one behind the
 * other; @refs is borrowed.
 */
int guest_mem_map_refs(struct guest_mem *gm, uint32_t *refs, unsigned int n,
		       bool writable, struct guest_map *ret);
void guest_mem_unmap(struct guest_mem *gm, struct guest_map *map);

/* Moves on whenever maps and chunks made so far may have gone stale. */
unsigned int guest_mem_epoch(const struct guest_mem *gm);

/*
 * Copies, all of them with as few calls to Xen as can be.  Return: 0, or the
 * first error there is in @list.
 */
struct guest_copy {
	uint64_t	addr;
	void		*buf;		/* our side */
	size_t		len;
	int		err;		/* out: 0; or -EFAULT, then part of
					 * it may have been copied */
};

int guest_mem_copy(struct guest_mem *gm, struct guest_copy *list,
		   unsigned int count, bool to_guest);

/*
 * One of them, for what is parsed: headers, status bytes, indirect tables.
 * Return: 0 or -EFAULT; then part of the range may have been copied.
 */
int guest_mem_read(struct guest_mem *gm, void *dst, uint64_t addr, size_t len);
int guest_mem_write(struct guest_mem *gm, uint64_t addr, const void *src,
		    size_t len);

/*
 * Takes a share in the cache.  Return: NULL if so much is held by requests
 * under way that nothing more may be mapped: try again after a release.
 */
struct guest_hold *guest_mem_hold(struct guest_mem *gm);
void guest_mem_release(struct guest_mem *gm, struct guest_hold *hold);

/*
 * For whoever got NULL from guest_mem_hold(), or -EAGAIN from dma_map(): the
 * work is deferred when it is worth trying again, which may be due to another
 * device's release.  Asking twice does nothing.
 */
struct guest_waiter {
	struct loop_work	work;
	struct guest_waiter	*next;
	bool			waiting;
};

void guest_mem_wait(struct guest_mem *gm, struct guest_waiter *waiter);
void guest_mem_wait_cancel(struct guest_mem *gm, struct guest_waiter *waiter);

/*
 * Describes @len bytes at @addr by at most @max entries of @iov, for payload
 * that nobody parses.  Return: the number of entries, with the bytes they
 * cover in *ret_len (fewer than @len where @max was too small); -EFAULT for
 * a page that is not there; -E2BIG if one hold would span too many chunks.
 */
int guest_mem_iov(struct guest_mem *gm, struct guest_hold *hold,
		  uint64_t addr, size_t len, struct iovec *iov, int max,
		  size_t *ret_len);

/*
 * Ring accessors.  Each reads or writes exactly once; ordering is the
 * caller's, with the barriers below, each of which has its pair in the driver
 * (virtio 1.2, 2.7.13); tests/unit/test_ring.c draws them.
 */
static inline uint16_t guest_load16(const __le16 __guest *p)
{
	return le16_get(*(const volatile __le16 __force *)p);
}

static inline void guest_store16(__le16 __guest *p, uint16_t v)
{
	*(volatile __le16 __force *)p = le16_put(v);
}

static inline void guest_copy_in(void *dst, const void __guest *src, size_t n)
{
	memcpy(dst, (const void __force *)src, n);
}

static inline void guest_copy_out(void __guest *dst, const void *src, size_t n)
{
	memcpy((void __force *)dst, src, n);
}

/* Loads before the barrier are done before loads and stores after it. */
static inline void guest_rmb(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Loads and stores before the barrier are done before stores after it. */
static inline void guest_wmb(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Stores before the barrier are visible before loads after it. */
static inline void guest_mb(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
