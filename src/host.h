/* SPDX-License-Identifier: MIT */
/*
 * host.h: what a supervisor has one of: the loop, and the ways to Xen and to
 * xenstore.  And who a guest is, according to them.
 */
#ifndef XVD_HOST_H
#define XVD_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_NAME_LEN	256

struct domctl;
struct loop;
struct xenstore;

struct host {
	struct loop	*loop;
	struct xenstore	*xs;
	struct domctl	*dc;
};

struct host_guest {
	uint32_t	domid;
	bool		pvh;
	char		name[HOST_NAME_LEN];	/* "": it has none (yet) */
};

/* Return: 0; or a negative errno and in @why a line for the operator. */
int host_open(struct host *host, char *why, size_t why_len);
void host_close(struct host *host);	/* copes with a half-made one */

/*
 * Is there such a guest, and can it be served?  Return: 0 and *ret; -ESRCH if
 * it is none or about to end; -EINVAL if it has no emulated devices; or another
 * negative errno; in @why the reason, without its name.
 */
int host_find(struct host *host, uint32_t domid, struct host_guest *ret,
	      char *why, size_t why_len);

/* Our own domain's number.  Return: 0, or a negative errno with @why. */
int host_self(struct host *host, uint32_t *ret, char *why, size_t why_len);

/* Return: whether the guest is gone or about to; if not known, it is not. */
bool host_has_lost(struct host *host, uint32_t domid);

#endif
