/* SPDX-License-Identifier: MIT */
/*
 * What the stand-in libraries (lib_*.c) share.  They are one shared object
 * under seven names, so there is one view of the hypervisor per process.
 */
#ifndef LIB_H
#define LIB_H

#include "hyp.h"

struct xentoollog_logger;

/* What every kind of handle starts with; the list is restrict_all()'s. */
struct lib_handle {
	uint32_t		index;		/* in struct hyp */
	int			fd;		/* its fifo */
	int			domid;		/* restricted to, or -1 */
	bool			closed;		/* and kept: lib_retire() */
	/* On xentoolcore_restrict_all(): 0, or -1 with errno. */
	int			(*restrict_to)(struct lib_handle *h, int domid);
	struct lib_handle	*next;
};

/* After any successful open.  Never NULL then. */
extern struct hyp_view lib_view;

/*
 * Open a handle of @kind in the caller's @h, which lib_close() forgets but
 * does not free.
 * Return: 0, or -1 with errno: ENOENT where there is no $FAKE_XEN, as on a
 * machine without Xen.
 */
int lib_open(struct lib_handle *h, enum hyp_handle_kind kind, enum hyp_fn fn,
	     int (*restrict_to)(struct lib_handle *h, int domid));
void lib_close(struct lib_handle *h);

/*
 * Close a handle that may have mappings, and take @h over.  It is not freed,
 * so that a call with a closed handle is a call that fails, where the real
 * libraries would use memory that is no longer theirs.
 */
void lib_retire(struct lib_handle *h);

/* @pages more are mapped with @h, or fewer; @kept of them of ioreq servers. */
void lib_account(struct lib_handle *h, int pages, int kept);

/* Count the call; -1 with errno if it is to fail. */
int lib_called(enum hyp_fn fn);

/* 0 or a count as it is; a negative errno as -1 with errno. */
int lib_result(int r);

/* privcmd: a restricted handle is only good for its domain, a closed one for
 * none. */
int lib_check_domain(const struct lib_handle *h, uint32_t domid);
int lib_restrict(struct lib_handle *h, int domid);

/*
 * Map @n frames of guest RAM, as numbered in struct hyp, in a row; where there
 * is none (0), touching the page kills.  @addr and MAP_FIXED in @flags as for
 * mmap().
 * Return: NULL with errno if mmap() itself gives up.
 */
void *lib_map_frames(void *addr, int prot, int flags, size_t n,
		     const uint32_t *frame);

#endif
