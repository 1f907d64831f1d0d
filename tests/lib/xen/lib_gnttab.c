/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab.  Grants are not played yet: a handle opens and closes,
 * everything else says ENOSYS.
 */
#include <errno.h>
#include <stdlib.h>

#include <xengnttab.h>

#include "lib.h"

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
