/* SPDX-License-Identifier: MIT */
/*
 * domctl.h: what only libxenctrl tells about a domain, and does to it.  That library has no
 * stable ABI, so nothing else uses it.
 */
#ifndef XVD_DOMCTL_H
#define XVD_DOMCTL_H

#include <stdbool.h>
#include <stdint.h>

enum domctl_kind {
	DOMCTL_PV,
	DOMCTL_HVM,
	DOMCTL_PVH,
};

struct domctl_info {
	enum domctl_kind	kind;
	bool			dying;
	bool			suspended;	/* to be saved or migrated */
	uint64_t		cpu_ns;		/* that it has run so far */
};

struct domctl;

/* Return: 0 and *ret, or a negative errno: no Xen here, or no rights. */
int domctl_open(struct domctl **ret);
void domctl_close(struct domctl *dc);		/* NULL is fine */

/* Return: 0 and *ret, or -ESRCH, or another negative errno. */
int domctl_info(struct domctl *dc, uint32_t domid, struct domctl_info *ret);

/*
 * Xen counts how often a domain is paused: each pause is undone by one
 * unpause, and the toolstack's own are not ours.  Return: 0 or a negative
 * errno.
 */
int domctl_pause(struct domctl *dc, uint32_t domid);
int domctl_unpause(struct domctl *dc, uint32_t domid);

#endif
