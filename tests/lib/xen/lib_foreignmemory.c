/* SPDX-License-Identifier: MIT */
/*
 * libxenforeignmemory: guest pages and ioreq pages become shared mappings of
 * the files "ram" and "xen".
 *
 * A mapping holds on to the frame it found, not to the gfn: after the guest
 * has ballooned that page out and in again, an old mapping still reads and
 * writes the old frame.  That is how real foreign mappings go stale, and why
 * IOREQ_TYPE_INVALIDATE exists.
 *
 * A mapping outlives the handle it was made with, which is only good for more
 * of them: whoever wants no more closes it.  Unmapping does not look at it, so
 * that of an ioreq page works with NULL in its place.
 *
 * One thing real foreign pages do not allow is possible here: direct I/O from
 * and to them.  Only the lab's real Xen says EFAULT to that.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xenforeignmemory.h>
#include <xen/memory.h>

#include "lib.h"

struct xenforeignmemory_handle {
	struct lib_handle	lib;
};

struct xenforeignmemory_resource_handle {
	struct lib_handle	*lib;		/* that it was mapped with */
	void			*addr;
	size_t			bytes;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
					       unsigned int open_flags)
{
	xenforeignmemory_handle *fmem = calloc(1, sizeof(*fmem));

	(void)logger;
	(void)open_flags;
	if (fmem && lib_open(&fmem->lib, HANDLE_FOREIGNMEMORY,
			     FN_xenforeignmemory_open, lib_restrict)) {
		free(fmem);
		return NULL;
	}
	return fmem;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	if (!fmem)
		return 0;
	(void)lib_called(FN_xenforeignmemory_close);
	lib_retire(&fmem->lib);
	return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	if (lib_called(FN_xenforeignmemory_restrict))
		return -1;
	return lib_restrict(&fmem->lib, domid);
}

/* Look up @n frames at once: neighbours become one mapping. */
static void fmem_look_up(uint32_t domid, const xen_pfn_t *gfn, size_t n,
			 uint32_t *frame, int *err)
{
	struct hyp_domain *d;
	uint32_t *f;
	size_t i;

	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	for (i = 0; i < n; i++) {
		f = d ? hyp_domain_frame(d, gfn[i]) : NULL;
		frame[i] = f ? *f : 0;
		err[i] = !d ? -ESRCH : frame[i] ? 0 : -EINVAL;
	}
	hyp_unlock(lib_view.hyp);
}

static void *fmem_map(xenforeignmemory_handle *fmem, uint32_t dom, void *addr,
		      int prot, int flags, size_t pages, const xen_pfn_t *gfn,
		      int *err)
{
	uint32_t *frame;
	int *errs = err;
	void *p = NULL;
	size_t i;
	int r;

	r = hyp_called(lib_view.hyp, FN_xenforeignmemory_map);
	if (!r)
		r = lib_check_domain(&fmem->lib, dom);
	if (!r && !pages)
		r = -EINVAL;
	if (r) {
		errno = -r;
		return NULL;
	}
	frame = calloc(pages, sizeof(*frame));
	if (!errs)
		errs = calloc(pages, sizeof(*errs));
	if (frame && errs) {
		fmem_look_up(dom, gfn, pages, frame, errs);
		/* without err[], one bad page fails them all */
		for (i = 0; !err && !r && i < pages; i++)
			r = -errs[i];
		if (r)
			errno = r;
		else
			p = lib_map_frames(addr, prot, flags, pages, frame);
	}
	r = errno;
	free(frame);
	if (errs != err)
		free(errs);
	/* MAP_FIXED is for pages of a mapping that there is already */
	if (p && !(flags & MAP_FIXED))
		lib_account(&fmem->lib, pages, 0);
	errno = r;
	return p;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom,
			   int prot, size_t pages, const xen_pfn_t arr[],
			   int err[])
{
	return fmem_map(fmem, dom, NULL, prot, 0, pages, arr, err);
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
			    void *addr, int prot, int flags, size_t pages,
			    const xen_pfn_t arr[], int err[])
{
	return fmem_map(fmem, dom, addr, prot, flags & MAP_FIXED, pages, arr,
			err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
			   size_t pages)
{
	if (lib_called(FN_xenforeignmemory_unmap))
		return -1;
	if (munmap(addr, pages * HYP_PAGE))
		return -1;
	lib_account(&fmem->lib, -(int)pages, 0);
	return 0;
}

/* ioreq server pages: the ring, and how many there could be of it */
#define FMEM_MAX_FRAMES	2

static int fmem_resource(xenforeignmemory_handle *fmem, domid_t domid,
			 unsigned int type, unsigned int id,
			 unsigned long frame, unsigned long nr,
			 uint32_t *ret_page)
{
	unsigned long i;
	int r = lib_check_domain(&fmem->lib, domid);

	if (!r && type != XENMEM_resource_ioreq_server)
		r = -EOPNOTSUPP;
	if (!r && (id > 0xffff || !nr || frame + nr > FMEM_MAX_FRAMES))
		r = -EINVAL;
	for (i = 0; !r && i < nr; i++)
		r = hyp_server_frame(&lib_view, domid, id, frame + i,
				     &ret_page[i]);
	return r;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
	xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
	unsigned int id, unsigned long frame, unsigned long nr_frames,
	void **paddr, int prot, int flags)
{
	xenforeignmemory_resource_handle *fres;
	uint32_t page[FMEM_MAX_FRAMES];
	unsigned long i;
	char *base;
	int r;

	r = hyp_called(lib_view.hyp, FN_xenforeignmemory_map_resource);
	if (!r)
		r = fmem_resource(fmem, domid, type, id, frame, nr_frames,
				  page);
	if (r) {
		errno = -r;
		return NULL;
	}
	fres = calloc(1, sizeof(*fres));
	if (!fres)
		return NULL;
	base = mmap(*paddr, nr_frames * HYP_PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (flags & MAP_FIXED), -1, 0);
	for (i = 0; base != MAP_FAILED && i < nr_frames; i++)
		if (mmap(base + i * HYP_PAGE, HYP_PAGE, prot,
			 MAP_SHARED | MAP_FIXED, lib_view.xen_fd,
			 hyp_iopage_offset(page[i])) == MAP_FAILED)
			base = MAP_FAILED;
	if (base == MAP_FAILED) {
		free(fres);
		return NULL;
	}
	fres->addr = base;
	fres->bytes = nr_frames * HYP_PAGE;
	fres->lib = &fmem->lib;
	lib_account(fres->lib, nr_frames, nr_frames);
	*paddr = base;
	return fres;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
				    xenforeignmemory_resource_handle *fres)
{
	int pages;

	(void)fmem;
	if (!fres)
		return 0;
	if (lib_called(FN_xenforeignmemory_unmap_resource))
		return -1;
	if (munmap(fres->addr, fres->bytes))
		return -1;
	pages = fres->bytes / HYP_PAGE;
	lib_account(fres->lib, -pages, -pages);
	free(fres);
	return 0;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem,
				   domid_t domid, unsigned int type,
				   unsigned int id, size_t *size)
{
	struct hyp_domain *d;
	int r;

	(void)id;
	if (lib_called(FN_xenforeignmemory_resource_size))
		return -1;
	r = lib_check_domain(&fmem->lib, domid);
	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	hyp_unlock(lib_view.hyp);
	if (!r && !d)
		r = -ESRCH;
	if (!r && type != XENMEM_resource_ioreq_server)
		r = -EOPNOTSUPP;
	if (!r)
		*size = FMEM_MAX_FRAMES * HYP_PAGE;
	return lib_result(r);
}
