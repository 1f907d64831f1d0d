/* SPDX-License-Identifier: MIT */
/*
 * xenstore.c: see store.h.  Only nodes that the guest cannot write are read:
 * /local/domain/N/name and backend directories are the toolstack's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "store.h"

#define DOMID_END	0x7ff0u		/* DOMID_FIRST_RESERVED */
#define CHANGE_TRIES	100		/* until others leave it alone */

struct xenstore {
	struct xs_handle	*xs;
};

/* A call that failed, even if it does not say of what. */
static int store_error(void)
{
	return errno ? -errno : -EIO;
}

int xenstore_open(struct xenstore **ret)
{
	struct xenstore *xs = calloc(1, sizeof(*xs));
	int r;

	if (!xs)
		return -ENOMEM;
	xs->xs = xs_open(0);
	if (!xs->xs) {
		r = errno ? -errno : -ENODEV;
		free(xs);
		return r;
	}
	*ret = xs;
	return 0;
}

void xenstore_close(struct xenstore *xs)
{
	if (!xs)
		return;
	xs_close(xs->xs);
	free(xs);
}

void xenstore_name(struct xenstore *xs, uint32_t domid, char *ret, size_t len)
{
	char path[40];
	char *name;

	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	name = xs_read(xs->xs, XBT_NULL, path, NULL);
	snprintf(ret, len, "%s", name ? name : "");
	free(name);
}

/* A domain id as a whole word; xl takes such a word as an id too. */
static int parse_domid(const char *who, uint32_t *ret)
{
	unsigned long id;
	char *end;

	if (*who < '0' || *who > '9')
		return -EINVAL;
	errno = 0;
	id = strtoul(who, &end, 10);
	if (*end || errno || id >= DOMID_END)
		return -EINVAL;
	*ret = (uint32_t)id;
	return 0;
}

int xenstore_find(struct xenstore *xs, const char *who, uint32_t *ret)
{
	unsigned int i, count = 0, found = 0;
	uint32_t domid, match = 0;
	char name[256];
	char **list;

	if (parse_domid(who, ret) == 0)
		return 0;
	list = xs_directory(xs->xs, XBT_NULL, "/local/domain", &count);
	if (!list)
		return store_error();
	for (i = 0; i < count; i++) {
		if (parse_domid(list[i], &domid) < 0)
			continue;
		xenstore_name(xs, domid, name, sizeof(name));
		if (*name && strcmp(name, who) == 0) {
			match = domid;
			found++;
		}
	}
	free(list);
	if (found != 1)
		return found ? -ENOTUNIQ : -ENOENT;
	*ret = match;
	return 0;
}

int xenstore_watch(struct xenstore *xs, const char *path)
{
	return xs_watch(xs->xs, path, path) ? 0 : store_error();
}

int xenstore_watch_release(struct xenstore *xs)
{
	return xenstore_watch(xs, "@releaseDomain");
}

int xenstore_fd(struct xenstore *xs)
{
	return xs_fileno(xs->xs);
}

bool xenstore_next(struct xenstore *xs, char *ret_path, size_t len)
{
	char **event = xs_check_watch(xs->xs);

	if (!event)
		return false;
	snprintf(ret_path, len, "%s", event[XS_WATCH_PATH]);
	free(event);
	return true;
}

void xenstore_take(struct xenstore *xs)
{
	char path[1];

	while (xenstore_next(xs, path, sizeof(path)))
		;
}

static int store_read(struct xenstore *xs, xs_transaction_t t,
		      const char *path, char *ret, size_t len)
{
	unsigned int bytes = 0;
	char *value = xs_read(xs->xs, t, path, &bytes);
	int r = 0;

	if (!value)
		return store_error();
	if (bytes >= len || memchr(value, '\0', bytes))
		r = -E2BIG;
	else
		memcpy(ret, value, bytes + 1);	/* it has a zero behind it */
	free(value);
	return r;
}

int xenstore_read(struct xenstore *xs, const char *path, char *ret, size_t len)
{
	return store_read(xs, XBT_NULL, path, ret, len);
}

int xenstore_list(struct xenstore *xs, const char *path, char ***ret,
		  unsigned int *ret_count)
{
	char **list = xs_directory(xs->xs, XBT_NULL, path, ret_count);

	if (!list)
		return store_error();
	*ret = list;
	return 0;
}

/* ---- changes ---- */

static int store_change_one(struct xenstore *xs, xs_transaction_t t,
			    const char *dir, const struct xenstore_change *c)
{
	char path[XENSTORE_ABS_PATH_MAX], value[2048];
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, c->key);
	if (c->from) {
		r = store_read(xs, t, path, value, sizeof(value));
		if (r < 0 && r != -ENOENT && r != -E2BIG)
			return r;
		if (r < 0 || strcmp(value, c->from) != 0)
			return -ESTALE;
	}
	if (c->value ? xs_write(xs->xs, t, path, c->value,
				(unsigned int)strlen(c->value)) :
		       xs_rm(xs->xs, t, path))
		return 0;
	return !c->value && errno == ENOENT ? 0 : store_error();
}

static int store_change_all(struct xenstore *xs, xs_transaction_t t,
			    const char *dir,
			    const struct xenstore_change *changes, size_t count)
{
	char *there = xs_read(xs->xs, t, dir, NULL);
	size_t i;
	int r = there ? 0 : store_error();

	free(there);
	for (i = 0; i < count && !r; i++)
		r = store_change_one(xs, t, dir, &changes[i]);
	return r;
}

int xenstore_change(struct xenstore *xs, const char *dir,
		    const struct xenstore_change *changes, size_t count)
{
	xs_transaction_t t;
	int r, tries;

	for (tries = 0; tries < CHANGE_TRIES; tries++) {
		t = xs_transaction_start(xs->xs);
		if (t == XBT_NULL)
			return store_error();
		r = store_change_all(xs, t, dir, changes, count);
		if (r < 0) {
			(void)xs_transaction_end(xs->xs, t, true);
			return r;
		}
		if (xs_transaction_end(xs->xs, t, false))
			return 0;
		if (errno != EAGAIN)
			return store_error();
	}
	return -EAGAIN;
}
