/* SPDX-License-Identifier: MIT */
/*
 * claim.h: one server for one address, and one service for a host.  Xen does not notice when two IOREQ
 * servers register the same function; so those who register one claim it
 * here first.
 */
#ifndef XVD_CLAIM_H
#define XVD_CLAIM_H

#include <stdint.h>

struct claim;

/*
 * Claims slot and function @devfn of a guest for this process.  Return: 0
 * and *ret, -EADDRINUSE if another process has it, or another negative
 * errno.  A claim ends with its process.
 */
int claim_take(uint32_t domid, unsigned int devfn, struct claim **ret);

/* The same for following xenstore: one process does it for all guests. */
int claim_take_service(struct claim **ret);

void claim_drop(struct claim *claim);		/* NULL is fine */

#endif
