/* SPDX-License-Identifier: MIT */
/*
 * store.h: xenstore: who a guest is, when it goes, and what a toolstack has
 * written for us.  Paths without a slash in front are our own domain's.
 */
#ifndef XVD_STORE_H
#define XVD_STORE_H

#include <stdbool.h>
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
 * From now on xenstore_fd() becomes readable when something changes at @path
 * or below; "@introduceDomain" and "@releaseDomain" are paths as well.
 * Return: 0 or a negative errno.
 */
int xenstore_watch(struct xenstore *xs, const char *path);
int xenstore_watch_release(struct xenstore *xs);	/* the latter of these */
int xenstore_fd(struct xenstore *xs);

/* What has changed, cut to @len.  Return: false if there is nothing more. */
bool xenstore_next(struct xenstore *xs, char *ret_path, size_t len);

/* All of that, of no interest. */
void xenstore_take(struct xenstore *xs);

/*
 * The value of a node, with a zero.  Return: 0; -ENOENT; -E2BIG if it has no
 * room in @len, or has zeroes inside; or another negative errno.
 */
int xenstore_read(struct xenstore *xs, const char *path, char *ret,
		  size_t len);

/*
 * The names of the nodes right below.  Return: 0, *ret, to be freed in one,
 * and *ret_count; or a negative errno.
 */
int xenstore_list(struct xenstore *xs, const char *path, char ***ret,
		  unsigned int *ret_count);

struct xenstore_change {
	const char	*key;
	const char	*from;		/* only if it has this value; or NULL */
	const char	*value;		/* NULL: it is removed */
};

/*
 * Changes keys of @dir, all of them at once and only if @dir is still there,
 * for whoever has removed it does not want it back.  Return: 0; -ENOENT if
 * there is no @dir; -ESTALE if a key has another value; or another negative
 * errno; nothing was changed then.
 */
int xenstore_change(struct xenstore *xs, const char *dir,
		    const struct xenstore_change *changes, size_t count);

#endif
