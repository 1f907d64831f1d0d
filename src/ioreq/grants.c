/* SPDX-License-Identifier: MIT */
/*
 * grants.c: guest memory by grants; see the header.
 *
 * A reference may be mapped or copied from and to.  Xen looks at each of them
 * each time, so a guest that takes one back while a copy is under way harms
 * nobody but itself.  One that is mapped cannot be taken back; Linux then
 * gives the device up for ever, so nothing here outlives the request or the
 * queue that it was made for.
 *
 * The kernel does not tell why references cannot be mapped.  That of copies is
 * told one by one, so a copy of nothing worth mentioning finds out.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xengnttab.h>
#include <xentoollog.h>
#include <xen/grant_table.h>

#include "grants.h"
#include "trace.h"
#include "util.h"

#define REF_SHIFT	12
#define COPY_BATCH	64u	/* segments in one call */
#define RANGE_PAGES	16u	/* the largest ring has eight */

struct grants {
	xengnttab_handle	*xgt;
	uint16_t		domid;
	xengnttab_grant_copy_segment_t seg[COPY_BATCH];
	unsigned int		owner[COPY_BATCH];	/* index in the list */
	unsigned int		nsegs;
};

/* The library complains of what guests do wrong, as often as they like. */
static void say_nothing(struct xentoollog_logger *logger,
			xentoollog_level level, int err, const char *context,
			const char *format, va_list args)
{
	(void)logger;
	(void)level;
	(void)err;
	(void)context;
	(void)format;
	(void)args;
}

static struct xentoollog_logger silent = { .vmessage = say_nothing };

/* ---- copies ---- */

static void copy_run(struct grants *g, struct guest_copy *list)
{
	unsigned int i;
	bool failed;

	if (!g->nsegs)
		return;
	failed = xengnttab_grant_copy(g->xgt, g->nsegs, g->seg) < 0;
	for (i = 0; i < g->nsegs; i++)
		if (failed || g->seg[i].status != GNTST_okay)
			list[g->owner[i]].err = -EFAULT;
	TRACE(grant_copy, g->nsegs, failed);
	g->nsegs = 0;
}

/* At most to the end of the page.  Return: how many bytes that is. */
static size_t copy_add(struct grants *g, uint64_t addr, char *buf, size_t len,
		       bool to_guest, unsigned int owner)
{
	xengnttab_grant_copy_segment_t *seg = &g->seg[g->nsegs];
	uint16_t off = (uint16_t)(addr % GUEST_PAGE_SIZE);
	size_t n = MIN(len, (size_t)(GUEST_PAGE_SIZE - off));

	*seg = (xengnttab_grant_copy_segment_t){
		.len	= (uint16_t)n,
		.flags	= to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
		.status	= GNTST_general_error,
	};
	if (to_guest)
		seg->source.virt = buf;
	else
		seg->dest.virt = buf;
	*(to_guest ? &seg->dest : &seg->source) = (union xengnttab_copy_ptr){
		.foreign = {
			.ref	= (uint32_t)(addr >> REF_SHIFT),
			.offset	= off,
			.domid	= g->domid,
		},
	};
	g->owner[g->nsegs++] = owner;
	return n;
}

void grants_copy(struct grants *g, struct guest_copy *list,
		 unsigned int count, bool to_guest)
{
	size_t pages, done, n;
	unsigned int i;
	uint32_t first;

	for (i = 0; i < count; i++) {
		if (list[i].err || !list[i].len ||
		    !guest_is_grant(list[i].addr))
			continue;
		if (!guest_grant_refs(list[i].addr, list[i].len, &first,
				      &pages)) {
			list[i].err = -EFAULT;
			continue;
		}
		for (done = 0; done < list[i].len; done += n) {
			if (g->nsegs == COPY_BATCH)
				copy_run(g, list);
			n = copy_add(g, (list[i].addr & ~GUEST_ADDR_GRANT) +
				     done, (char *)list[i].buf + done,
				     list[i].len - done, to_guest, i);
		}
	}
	copy_run(g, list);
}

/* ---- maps ---- */

/* Are they all there?  Reading tells no more than that. */
static bool can_be_read(struct grants *g, const uint32_t *refs, unsigned int n)
{
	struct guest_copy list[COPY_BATCH];
	unsigned int i, count;
	uint8_t byte;

	for (; n; n -= count, refs += count) {
		count = MIN(n, COPY_BATCH);
		for (i = 0; i < count; i++)
			list[i] = (struct guest_copy){
				.addr	= GUEST_ADDR_GRANT |
					  (uint64_t)refs[i] << REF_SHIFT,
				.buf	= &byte,
				.len	= 1,
			};
		grants_copy(g, list, count, false);
		for (i = 0; i < count; i++)
			if (list[i].err)
				return false;
	}
	return true;
}

int grants_map(struct grants *g, uint32_t *refs, unsigned int n, bool writable,
	       struct guest_map *ret)
{
	void *va = xengnttab_map_domain_grant_refs(g->xgt, n, g->domid, refs,
			PROT_READ | (writable ? PROT_WRITE : 0));

	TRACE(grant_map, n, va != NULL);
	if (!va)
		return can_be_read(g, refs, n) ? -EAGAIN : -EFAULT;
	*ret = (struct guest_map){
		.base		= (void __guest __force *)va,
		.pages		= va,
		.npages		= n,
		.granted	= true,
	};
	return 0;
}

int grants_map_range(struct grants *g, uint64_t addr, size_t len,
		     bool writable, struct guest_map *ret)
{
	uint32_t refs[RANGE_PAGES], first;
	size_t n, i;
	int r;

	if (!guest_grant_refs(addr, len, &first, &n))
		return -EFAULT;
	if (n > RANGE_PAGES)
		return -EINVAL;
	for (i = 0; i < n; i++)
		refs[i] = first + (uint32_t)i;
	r = grants_map(g, refs, (unsigned int)n, writable, ret);
	if (!r)
		ret->base = (void __guest __force *)
			((char *)ret->pages + addr % GUEST_PAGE_SIZE);
	return r;
}

void grants_unmap(struct grants *g, struct guest_map *map)
{
	(void)xengnttab_unmap(g->xgt, map->pages, (uint32_t)map->npages);
	*map = (struct guest_map){ 0 };
}

/* ---- making and ending ---- */

int grants_open(uint32_t domid, struct grants **ret)
{
	struct grants *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->domid = (uint16_t)domid;
	g->xgt = xengnttab_open(&silent, 0);
	if (!g->xgt) {
		r = errno ? -errno : -EIO;
		free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void grants_close(struct grants *g)
{
	if (!g)
		return;
	(void)xengnttab_close(g->xgt);
	free(g);
}
