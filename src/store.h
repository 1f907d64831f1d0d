/* SPDX-License-Identifier: MIT */
/*
 * store.h: who a guest is, from xenstore, and when it goes.
 */
#ifndef XVD_STORE_H
#define XVD_STORE_H

#include <stddef.h>
#include <stdint.h>

struct xenstore;

/* Return: 0 and *ret, or a negative errno: xenstored is not to be reached. */
int xenstore_open(struct xenstore **ret);
void xenstore_close(struct xenstore *xs);	/* NULL is fine */

/*
 * Finds a guest by its name, or by its number if @who is one.  Return: 0 and
 * *ret, -ENOENT, or -ENOTUNIQ if several bear the name.  A number is only
 * read, not looked up.
 */
int xenstore_find(struct xenstore *xs, const char *who, uint32_t *ret);

/* The guest's name, cut to @len; "" if it has none. */
void xenstore_name(struct xenstore *xs, uint32_t domid, char *ret, size_t len);

/*
 * From now on xenstore_fd() becomes readable when some guest ends;
 * xenstore_take() takes that in.  Return: 0 or a negative errno.
 */
int xenstore_watch_release(struct xenstore *xs);
int xenstore_fd(struct xenstore *xs);
void xenstore_take(struct xenstore *xs);

#endif
