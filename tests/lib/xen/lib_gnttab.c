/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab over Linux' gntdev: granted pages become shared mappings of the
 * file "ram", or are copied from and to it.
 *
 * What a caller gets to know is what gntdev makes of Xen's answers.  For a
 * mapping that is nothing: whether the reference is wrong, revoked, read-only
 * or not for us, or dom0's maptrack is full, mmap() says EINVAL.  (ENOMEM is
 * the kernel's own: no page to put the mapping into.  ENOSPC and EAGAIN come
 * from nowhere but toy_fail().)  A copy says for each segment what Xen said,
 * and fails as a whole only if a segment makes no sense to the kernel.
 *
 * Closing the handle unmaps nothing, whatever <xengnttab.h> says: a mapping
 * holds the file.
 *
 * Two things are kinder here.  Xen does not map a batch at one instant, and
 * Linux does not unmap a page that direct I/O still uses.  And one is ruder:
 * a local address of a copy that is none kills, where Linux says EFAULT.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xengnttab.h>

#include "lib.h"

#define GNTDEV_LIMIT	65536	/* grants of one mapping */
#define GNTDEV_BATCH	16	/* pieces of copies for one hypercall */

struct gnttab_map {
	struct gnttab_map	*next;
	char			*addr;
	uint32_t		count;
	uint32_t		track[];
};

struct xengntdev_handle {
	struct lib_handle	lib;
	pthread_mutex_t		lock;
	struct gnttab_map	*maps;
};

/* restrict_all() puts /dev/null in gntdev's place: the handle is dead. */
static int gnttab_restrict(struct lib_handle *h, int domid)
{
	h->domid = domid;
	return 0;
}

/* What any ioctl() says before it looks at its argument. */
static int gnttab_check(const xengnttab_handle *xgt)
{
	if (xgt->lib.closed)
		return -EBADF;
	return xgt->lib.domid >= 0 ? -ENOTTY : 0;
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
	if (xgt)
		pthread_mutex_init(&xgt->lock, NULL);
	return xgt;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	if (!xgt)
		return 0;
	(void)lib_called(FN_xengnttab_close);
	lib_retire(&xgt->lib);
	return 0;
}

int xengnttab_fd(xengnttab_handle *xgt)
{
	return xgt->lib.fd;
}

/* Linux has no such ioctl() any more, and the library does not mind. */
int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
	(void)nr_grants;
	if (lib_called(FN_xengnttab_set_max_grants))
		return -1;
	return lib_result(xgt->lib.closed ? -EBADF : 0);
}

/* ---- mappings ---- */

static struct gnttab_map *gnttab_map_make(xengnttab_handle *xgt, uint32_t n,
					  const uint32_t *domid,
					  unsigned int stride,
					  const uint32_t *ref, int prot)
{
	struct gnttab_map *m = calloc(1, sizeof(*m) + n * sizeof(m->track[0]));
	uint32_t *frame = calloc(n, sizeof(*frame));
	int err = ENOMEM;

	if (m && frame) {
		err = EINVAL;
		if (!hyp_grant_map(&lib_view, xgt->lib.index, n, domid, stride,
				   ref, prot & PROT_WRITE, frame, m->track)) {
			m->count = n;
			m->addr = lib_map_frames(NULL, prot, 0, n, frame);
			err = errno;
		}
	}
	free(frame);
	if (m && m->addr)
		return m;
	if (m && m->count)
		hyp_grant_unmap(&lib_view, n, m->track);
	free(m);
	errno = err;
	return NULL;
}

static void *gnttab_map(xengnttab_handle *xgt, enum hyp_fn fn, uint32_t n,
			const uint32_t *domid, unsigned int stride,
			const uint32_t *ref, int prot)
{
	struct gnttab_map *m;
	int r;

	r = hyp_called(lib_view.hyp, fn);
	if (!r)
		r = gnttab_check(xgt);
	if (!r && (!n || n > GNTDEV_LIMIT))
		r = -EINVAL;
	if (r) {
		errno = -r;
		return NULL;
	}
	m = gnttab_map_make(xgt, n, domid, stride, ref, prot);
	if (!m)
		return NULL;
	lib_account(&xgt->lib, n, 0);
	pthread_mutex_lock(&xgt->lock);
	m->next = xgt->maps;
	xgt->maps = m;
	pthread_mutex_unlock(&xgt->lock);
	return m->addr;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid,
			      uint32_t ref, int prot)
{
	return gnttab_map(xgt, FN_xengnttab_map_grant_ref, 1, &domid, 0, &ref,
			  prot);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count,
			       uint32_t *domids, uint32_t *refs, int prot)
{
	return gnttab_map(xgt, FN_xengnttab_map_grant_refs, count, domids, 1,
			  refs, prot);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
				      uint32_t domid, uint32_t *refs, int prot)
{
	return gnttab_map(xgt, FN_xengnttab_map_domain_grant_refs, count,
			  &domid, 0, refs, prot);
}

/* Take the mapping at @addr out of the list; NULL if it is not a whole one. */
static struct gnttab_map *gnttab_take(xengnttab_handle *xgt, const void *addr,
				      uint32_t count)
{
	struct gnttab_map **p, *m = NULL;

	pthread_mutex_lock(&xgt->lock);
	for (p = &xgt->maps; *p && (*p)->addr != addr; p = &(*p)->next)
		;
	if (*p && (*p)->count == count) {
		m = *p;
		*p = m->next;
	}
	pthread_mutex_unlock(&xgt->lock);
	return m;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	struct gnttab_map *m;
	int r;

	if (lib_called(FN_xengnttab_unmap))
		return -1;
	r = start ? gnttab_check(xgt) : -EINVAL;
	if (r)
		return lib_result(r);
	m = gnttab_take(xgt, start, count);
	if (!m)
		return lib_result(-EINVAL);
	(void)munmap(m->addr, (size_t)count * HYP_PAGE);	/* it is ours */
	hyp_grant_unmap(&lib_view, count, m->track);
	lib_account(&xgt->lib, -(int)count, 0);
	free(m);
	return 0;
}

/* ---- copies ---- */

/* Pieces of segments that wait for the hypercall; none crosses a page. */
struct gnttab_batch {
	unsigned int	n;
	struct {
		xengnttab_grant_copy_segment_t	*seg;
		uint32_t			at, len;
		int				fail;
	}		op[GNTDEV_BATCH];
};

static int gnttab_copy(const xengnttab_grant_copy_segment_t *seg, uint32_t at,
		       uint32_t len)
{
	bool from = seg->flags & GNTCOPY_source_gref;
	bool to = seg->flags & GNTCOPY_dest_gref;
	char page[HYP_PAGE], *local = page;
	int r = GNTST_okay;

	if (!from)
		local = (char *)seg->source.virt + at;
	else if (!to)
		local = (char *)seg->dest.virt + at;
	if (from)
		r = hyp_grant_copy(&lib_view, seg->source.foreign.domid,
				   seg->source.foreign.ref, false,
				   seg->source.foreign.offset + at, local, len);
	if (to && !r)
		r = hyp_grant_copy(&lib_view, seg->dest.foreign.domid,
				   seg->dest.foreign.ref, true,
				   seg->dest.foreign.offset + at, local, len);
	return r;
}

/* The first piece that fails gives its segment the status; the rest is still
 * tried. */
static void gnttab_flush(struct gnttab_batch *b)
{
	unsigned int i;
	int r;

	for (i = 0; i < b->n; i++) {
		r = b->op[i].fail;
		if (!r)
			r = gnttab_copy(b->op[i].seg, b->op[i].at,
					b->op[i].len);
		if (!b->op[i].seg->status)
			b->op[i].seg->status = r;
	}
	b->n = 0;
}

static uint32_t gnttab_piece(const xengnttab_grant_copy_segment_t *seg,
			     uint32_t at)
{
	uint32_t len = seg->len - at, left;

	if (!(seg->flags & GNTCOPY_source_gref)) {
		left = HYP_PAGE - ((uintptr_t)seg->source.virt + at) % HYP_PAGE;
		len = len < left ? len : left;
	}
	if (!(seg->flags & GNTCOPY_dest_gref)) {
		left = HYP_PAGE - ((uintptr_t)seg->dest.virt + at) % HYP_PAGE;
		len = len < left ? len : left;
	}
	return len;
}

static int gnttab_copy_segment(struct gnttab_batch *b,
			       xengnttab_grant_copy_segment_t *seg)
{
	int fail = hyp_copy_called(lib_view.hyp);
	uint32_t at, len;

	if (!(seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)))
		return -EINVAL;
	if ((seg->flags & GNTCOPY_source_gref &&
	     (uint32_t)seg->source.foreign.offset + seg->len > HYP_PAGE) ||
	    (seg->flags & GNTCOPY_dest_gref &&
	     (uint32_t)seg->dest.foreign.offset + seg->len > HYP_PAGE))
		return -EINVAL;
	seg->status = GNTST_okay;
	for (at = 0; at < seg->len; at += len) {
		if (b->n == GNTDEV_BATCH)
			gnttab_flush(b);
		len = gnttab_piece(seg, at);
		b->op[b->n].seg = seg;
		b->op[b->n].at = at;
		b->op[b->n].len = len;
		b->op[b->n].fail = fail;
		b->n++;
	}
	return 0;
}

/* When a segment makes no sense, what still waits for its batch is not copied,
 * and looks as if it had been. */
int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
			 xengnttab_grant_copy_segment_t *segs)
{
	struct gnttab_batch batch;
	uint32_t i;
	int r;

	if (lib_called(FN_xengnttab_grant_copy))
		return -1;
	batch.n = 0;
	r = gnttab_check(xgt);
	for (i = 0; i < count && !r; i++)
		r = gnttab_copy_segment(&batch, &segs[i]);
	if (!r)
		gnttab_flush(&batch);
	return lib_result(r);
}
