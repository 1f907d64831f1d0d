/* SPDX-License-Identifier: MIT */
/*
 * linkwatch.h: some network interface of the host has changed.
 */
#ifndef XVD_LINKWATCH_H
#define XVD_LINKWATCH_H

struct linkwatch;
struct loop;

/*
 * Calls @fn whenever an interface may have come, gone, or gone up or down;
 * which one it was is for the caller to find out.  Return: 0 and *ret, or a
 * negative errno.
 */
int linkwatch_open(struct loop *loop, void (*fn)(void *arg), void *arg,
		   struct linkwatch **ret);
void linkwatch_close(struct linkwatch *lw);	/* NULL is fine */

#endif
