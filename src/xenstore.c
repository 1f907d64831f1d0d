/* SPDX-License-Identifier: MIT */
/*
 * xenstore.c: see store.h.  Only nodes that the guest cannot write are
 * read: /local/domain/N/name is the toolstack's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "store.h"

#define DOMID_END	0x7ff0u		/* DOMID_FIRST_RESERVED */

struct xenstore {
	struct xs_handle	*xs;
};

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
		return errno ? -errno : -EIO;
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

int xenstore_watch_release(struct xenstore *xs)
{
	if (!xs_watch(xs->xs, "@releaseDomain", "release"))
		return -errno;
	return 0;
}

int xenstore_fd(struct xenstore *xs)
{
	return xs_fileno(xs->xs);
}

void xenstore_take(struct xenstore *xs)
{
	char **event;

	while ((event = xs_check_watch(xs->xs)))
		free(event);
}
