/* SPDX-License-Identifier: MIT */
/*
 * The libraries' common part, and libxentoolcore and libxengnttab, which are
 * too small for files of their own.  Grants are not played yet: a gnttab
 * handle opens and closes, everything else says ENOSYS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xengnttab.h>
#include <xentoolcore.h>

#include "lib.h"

struct hyp_view lib_view = { .dir_fd = -1, .xen_fd = -1, .ram_fd = -1 };

static ino_t lib_ino;		/* of the directory lib_view holds */
static struct lib_handle *lib_handles;
static pthread_mutex_t lib_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * Attach on first use.  A worker may have closed every descriptor it did not
 * know since the supervisor's first use, so look whether ours is still ours.
 */
static int lib_attach(void)
{
	const char *dir = getenv(HYP_ENV);
	struct stat st;
	int r;

	if (lib_view.hyp && !fstat(lib_view.dir_fd, &st) &&
	    st.st_ino == lib_ino)
		return 0;
	if (!dir)
		return -ENOENT;
	r = hyp_attach(dir, &lib_view);
	if (r)
		return r;
	if (fstat(lib_view.dir_fd, &st))
		return -errno;
	lib_ino = st.st_ino;
	return 0;
}

int lib_result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

int lib_called(enum hyp_fn fn)
{
	return lib_result(hyp_called(lib_view.hyp, fn));
}

int lib_open(struct lib_handle *h, enum hyp_handle_kind kind, enum hyp_fn fn,
	     int (*restrict_to)(struct lib_handle *h, int domid))
{
	int r;

	pthread_mutex_lock(&lib_lock);
	r = lib_attach();
	if (!r)
		r = hyp_called(lib_view.hyp, fn);
	if (!r)
		r = hyp_handle_open(&lib_view, kind, &h->index, &h->fd);
	if (!r) {
		h->domid = -1;
		h->restrict_to = restrict_to;
		h->next = lib_handles;
		lib_handles = h;
	}
	pthread_mutex_unlock(&lib_lock);
	return lib_result(r);
}

void lib_close(struct lib_handle *h)
{
	struct lib_handle **p;

	pthread_mutex_lock(&lib_lock);
	for (p = &lib_handles; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			break;
		}
	pthread_mutex_unlock(&lib_lock);
	hyp_handle_close(&lib_view, h->index, h->fd);
}

int lib_check_domain(const struct lib_handle *h, uint32_t domid)
{
	return h->domid >= 0 && (uint32_t)h->domid != domid ? -EPERM : 0;
}

int lib_restrict(struct lib_handle *h, int domid)
{
	if (h->domid >= 0 && h->domid != domid)
		return lib_result(-EINVAL);
	h->domid = domid;
	return 0;
}

/* ---- libxentoolcore ---- */

int xentoolcore_restrict_all(domid_t domid)
{
	struct lib_handle *h;
	int r = 0;

	if (!lib_view.hyp)
		return 0;		/* nothing is open yet */
	if (lib_called(FN_xentoolcore_restrict_all))
		return -1;
	pthread_mutex_lock(&lib_lock);
	for (h = lib_handles; h && !r; h = h->next)
		r = h->restrict_to(h, domid);
	pthread_mutex_unlock(&lib_lock);
	return r;
}

/* ---- libxengnttab ---- */

struct xengntdev_handle {
	struct lib_handle	lib;
};

/* restrict_all() puts /dev/null in gntdev's place: the handle is dead. */
static int gnttab_restrict(struct lib_handle *h, int domid)
{
	h->domid = domid;
	return 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger,
				 unsigned int open_flags)
{
	xengnttab_handle *xgt = calloc(1, sizeof(*xgt));

	(void)logger;
	(void)open_flags;
	if (xgt && lib_open(&xgt->lib, HANDLE_GNTTAB, FN_xengnttab_open,
			    gnttab_restrict)) {
		free(xgt);
		return NULL;
	}
	return xgt;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	if (!xgt)
		return 0;
	(void)lib_called(FN_xengnttab_close);
	lib_close(&xgt->lib);
	free(xgt);
	return 0;
}

int xengnttab_fd(xengnttab_handle *xgt)
{
	return xgt->lib.fd;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
	(void)xgt;
	(void)nr_grants;
	return lib_result(-ENOSYS);
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid,
			      uint32_t ref, int prot)
{
	(void)xgt;
	(void)domid;
	(void)ref;
	(void)prot;
	errno = ENOSYS;
	return NULL;
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count,
			       uint32_t *domids, uint32_t *refs, int prot)
{
	(void)xgt;
	(void)count;
	(void)domids;
	(void)refs;
	(void)prot;
	errno = ENOSYS;
	return NULL;
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
				      uint32_t domid, uint32_t *refs, int prot)
{
	(void)xgt;
	(void)count;
	(void)domid;
	(void)refs;
	(void)prot;
	errno = ENOSYS;
	return NULL;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt;
	(void)start;
	(void)count;
	return lib_result(-ENOSYS);
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
			 xengnttab_grant_copy_segment_t *segs)
{
	(void)xgt;
	(void)count;
	(void)segs;
	return lib_result(-ENOSYS);
}
