/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: nodes and watches of struct hyp.  Transactions always succeed
 * and change things at once, permissions are not kept, and paths must be
 * absolute: that is all a device model in dom0 needs.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "lib.h"

struct xs_handle {
	struct lib_handle	lib;
};

/* restrict_all() leaves nothing of a xenstore connection */
static int store_restrict(struct lib_handle *h, int domid)
{
	h->domid = domid;
	return 0;
}

static bool store_ready(struct xs_handle *h, enum hyp_fn fn)
{
	if (lib_called(fn))
		return false;
	if (h->lib.domid < 0)
		return true;
	errno = EBADF;
	return false;
}

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *h = calloc(1, sizeof(*h));

	(void)flags;
	if (h && lib_open(&h->lib, HANDLE_STORE, FN_xs_open, store_restrict)) {
		free(h);
		return NULL;
	}
	return h;
}

struct xs_handle *xs_daemon_open(void)
{
	return xs_open(0);
}

void xs_close(struct xs_handle *h)
{
	if (!h)
		return;
	(void)lib_called(FN_xs_close);
	lib_close(&h->lib);
	free(h);
}

void xs_daemon_close(struct xs_handle *h)
{
	xs_close(h);
}

/* For use after fork(): the connection is the parent's, drop our copy. */
void xs_daemon_destroy_postfork(struct xs_handle *h)
{
	close(h->lib.fd);
	free(h);
}

int xs_fileno(struct xs_handle *h)
{
	if (!store_ready(h, FN_xs_fileno))
		return -1;
	return h->lib.fd;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return store_ready(h, FN_xs_watch) &&
	       !lib_result(hyp_watch_add(&lib_view, h->lib.index, path,
					 token));
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	return store_ready(h, FN_xs_unwatch) &&
	       !lib_result(hyp_watch_del(&lib_view, h->lib.index, path,
					 token));
}

/* The event as the caller frees it: the vector and its strings in one. */
static char **store_next_watch(struct xs_handle *h)
{
	char buf[192 + 64 + 2];
	char **vec;

	if (read(h->lib.fd, buf, sizeof(buf)) != sizeof(buf))
		return NULL;
	vec = malloc(2 * sizeof(*vec) + sizeof(buf));
	if (!vec)
		return NULL;
	vec[XS_WATCH_PATH] = (char *)(vec + 2);
	memcpy(vec + 2, buf, sizeof(buf));
	vec[XS_WATCH_TOKEN] = vec[XS_WATCH_PATH] +
		strlen(vec[XS_WATCH_PATH]) + 1;
	return vec;
}

char **xs_check_watch(struct xs_handle *h)
{
	struct pollfd p = { .fd = h->lib.fd, .events = POLLIN };

	if (!store_ready(h, FN_xs_check_watch))
		return NULL;
	if (poll(&p, 1, 0) != 1) {
		errno = EAGAIN;
		return NULL;
	}
	return store_next_watch(h);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
	char **vec;

	if (!store_ready(h, FN_xs_read_watch))
		return NULL;
	vec = store_next_watch(h);
	if (vec)
		*num = 2;
	return vec;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
	      unsigned int *len)
{
	struct hyp_node *n;
	char *value = NULL;

	(void)t;
	if (!store_ready(h, FN_xs_read))
		return NULL;
	hyp_lock(lib_view.hyp);
	n = hyp_store_find(lib_view.hyp, path);
	if (n) {
		value = malloc(n->len + 1);
		if (value)
			memcpy(value, n->value, n->len + 1);
		if (value && len)
			*len = n->len;
	}
	hyp_unlock(lib_view.hyp);
	if (!n)
		errno = ENOENT;
	return value;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
	      const void *data, unsigned int len)
{
	(void)t;
	return store_ready(h, FN_xs_write) &&
	       !lib_result(hyp_store_write(&lib_view, path, data, len));
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	bool there;

	(void)t;
	if (!store_ready(h, FN_xs_mkdir))
		return false;
	hyp_lock(lib_view.hyp);
	there = hyp_store_find(lib_view.hyp, path) != NULL;
	hyp_unlock(lib_view.hyp);
	return there || !lib_result(hyp_store_write(&lib_view, path, "", 0));
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)t;
	return store_ready(h, FN_xs_rm) &&
	       !lib_result(hyp_store_rm(&lib_view, path));
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path,
		    unsigned int *num)
{
	size_t n = strlen(path);
	unsigned int count = 0;
	bool found = false;
	char **vec = NULL;
	char *strings;
	int i;

	(void)t;
	if (!store_ready(h, FN_xs_directory))
		return NULL;
	/* room for the most there can be: every node's name */
	vec = malloc(HYP_NODES * (sizeof(*vec) + 192));
	if (!vec)
		return NULL;
	strings = (char *)(vec + HYP_NODES);
	if (n == 1)
		n = 0;		/* "/": its children have no "//" */
	hyp_lock(lib_view.hyp);
	for (i = 0; i < HYP_NODES; i++) {
		const struct hyp_node *node = &lib_view.hyp->node[i];

		if (!node->used || strncmp(node->path, path, n))
			continue;
		found = true;
		if (node->path[n] != '/' || strchr(node->path + n + 1, '/'))
			continue;
		vec[count++] = strcpy(strings, node->path + n + 1);
		strings += strlen(strings) + 1;
	}
	hyp_unlock(lib_view.hyp);
	if (!found) {
		free(vec);
		errno = ENOENT;
		return NULL;
	}
	*num = count;
	return vec;
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
	char *path;

	if (!store_ready(h, FN_xs_get_domain_path) ||
	    asprintf(&path, "/local/domain/%u", domid) < 0)
		return NULL;
	return path;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
	struct hyp_domain *d;
	bool yes;

	if (!store_ready(h, FN_xs_is_domain_introduced))
		return false;
	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	yes = !domid || (d && d->introduced);
	hyp_unlock(lib_view.hyp);
	return yes;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	return store_ready(h, FN_xs_transaction_start) ? 1 : XBT_NULL;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	(void)t;
	(void)abort;
	return store_ready(h, FN_xs_transaction_end);
}
