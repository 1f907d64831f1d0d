/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor in a file: see hyp.h for the picture.
 *
 * In order: the file itself, the lock, call counting, rangesets, domains and
 * their memory, grants, ioreq servers, handles, event channels, interrupts,
 * xenstore.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hyp.h"

#define ROUND_UP(n)	(((n) + HYP_PAGE - 1) / HYP_PAGE * HYP_PAGE)

/* ---- the file ---- */

static int hyp_map(struct hyp_view *v)
{
	void *p;
	int i;

	p = mmap(NULL, sizeof(struct hyp), PROT_READ | PROT_WRITE, MAP_SHARED,
		 v->xen_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	v->hyp = p;
	for (i = 0; i < HYP_HANDLES; i++)
		v->wr[i].fd = -1;
	return 0;
}

static int hyp_open(const char *dir, int flags, struct hyp_view *v)
{
	memset(v, 0, sizeof(*v));
	pthread_mutex_init(&v->wr_lock, NULL);
	v->xen_fd = v->ram_fd = -1;
	v->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->dir_fd < 0)
		return -errno;
	v->xen_fd = openat(v->dir_fd, "xen", O_RDWR | O_CLOEXEC | flags, 0666);
	if (v->xen_fd < 0)
		return -errno;
	v->ram_fd = openat(v->dir_fd, "ram", O_RDWR | O_CLOEXEC | flags, 0666);
	if (v->ram_fd < 0)
		return -errno;
	return 0;
}

int hyp_create(const char *dir, struct hyp_view *ret)
{
	pthread_mutexattr_t attr;
	int r;

	r = hyp_open(dir, O_CREAT | O_EXCL, ret);
	if (!r && ftruncate(ret->xen_fd, hyp_iopage_offset(HYP_IOPAGES)))
		r = -errno;
	if (!r)
		r = hyp_map(ret);
	if (r) {
		hyp_detach(ret);
		return r;
	}
	/* A daemon that has dropped its uid still opens fifos in here. */
	(void)fchmod(ret->xen_fd, 0666);
	(void)fchmod(ret->ram_fd, 0666);

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	/* a daemon killed in the middle of a call must not hang the test */
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&ret->hyp->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	ret->hyp->size = sizeof(struct hyp);
	return 0;
}

int hyp_attach(const char *dir, struct hyp_view *ret)
{
	int r;

	r = hyp_open(dir, 0, ret);
	if (!r)
		r = hyp_map(ret);
	if (!r && ret->hyp->size != sizeof(struct hyp))
		r = -EPROTO;		/* two builds of this folder meet */
	if (r)
		hyp_detach(ret);
	return r;
}

void hyp_detach(struct hyp_view *v)
{
	int i;

	for (i = 0; i < HYP_IOPAGES; i++)
		if (v->iopage[i])
			munmap(v->iopage[i], HYP_PAGE);
	if (v->ram)
		munmap(v->ram, (size_t)v->ram_frames * HYP_PAGE);
	if (v->hyp) {
		for (i = 0; i < HYP_HANDLES; i++)
			if (v->wr[i].fd >= 0)
				close(v->wr[i].fd);
		munmap(v->hyp, sizeof(struct hyp));
	}
	if (v->ram_fd >= 0)
		close(v->ram_fd);
	if (v->xen_fd >= 0)
		close(v->xen_fd);
	if (v->dir_fd >= 0)
		close(v->dir_fd);
	memset(v, 0, sizeof(*v));
	v->dir_fd = v->xen_fd = v->ram_fd = -1;
}

void hyp_lock(struct hyp *h)
{
	if (pthread_mutex_lock(&h->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&h->lock);
}

void hyp_unlock(struct hyp *h)
{
	pthread_mutex_unlock(&h->lock);
}

/* ---- counting calls, failing them ---- */

static const char *const fn_names[] = {
#define X(name) #name,
	HYP_FNS(X)
#undef X
};

const char *hyp_fn_name(enum hyp_fn fn)
{
	return fn_names[fn];
}

int hyp_fn_find(const char *name)
{
	int i;

	for (i = 0; i < HYP_FN_COUNT; i++)
		if (!strcmp(fn_names[i], name))
			return i;
	return -ENOENT;
}

int hyp_called(struct hyp *h, enum hyp_fn fn)
{
	uint32_t at, n;
	int i;

	at = __atomic_fetch_add(&h->log_len, 1, __ATOMIC_RELAXED);
	if (at < HYP_LOG)
		h->log[at] = fn;
	n = __atomic_add_fetch(&h->calls[fn], 1, __ATOMIC_ACQ_REL);
	for (i = 0; i < HYP_FAULTS; i++) {
		const struct hyp_fault *f = &h->fault[i];
		uint32_t times = __atomic_load_n(&f->times, __ATOMIC_ACQUIRE);

		if (!times || f->fn != fn || n < f->first ||
		    n - f->first >= times)
			continue;
		if (f->err != HYP_STOP)
			return -f->err;
		(void)raise(SIGSTOP);	/* until SIGCONT */
	}
	return 0;
}

/* ---- futexes ---- */

void hyp_wake(uint32_t *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int hyp_sleep(uint32_t *word, uint32_t seen, int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	if (syscall(SYS_futex, word, FUTEX_WAIT, seen, ms < 0 ? NULL : &ts,
		    NULL, 0) && errno == ETIMEDOUT)
		return -ETIMEDOUT;
	return 0;		/* woken, interrupted or changed: look again */
}

/* ---- rangesets ---- */

/* The first range that ends at or after @at. */
static uint32_t hyp_range_index(const struct hyp_rangeset *s, uint64_t at)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (s->r[mid].end < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void hyp_range_close_gap(struct hyp_rangeset *s, uint32_t i)
{
	memmove(&s->r[i], &s->r[i + 1], (s->n - i - 1) * sizeof(s->r[0]));
	s->n--;
}

static int hyp_range_open_gap(struct hyp_rangeset *s, uint32_t i)
{
	if (s->n == HYP_RANGES)
		return -ENOMEM;		/* rangeset_limit(), as Xen says it */
	memmove(&s->r[i + 1], &s->r[i], (s->n - i) * sizeof(s->r[0]));
	s->n++;
	return 0;
}

int hyp_range_add(struct hyp_rangeset *s, uint64_t start, uint64_t end)
{
	uint32_t i = hyp_range_index(s, start);
	bool left, right;
	int r;

	if (i < s->n && s->r[i].start <= end)
		return -EEXIST;
	left = i > 0 && s->r[i - 1].end + 1 == start;
	right = i < s->n && end + 1 == s->r[i].start;
	if (left && right) {
		s->r[i - 1].end = s->r[i].end;
		hyp_range_close_gap(s, i);
	} else if (left) {
		s->r[i - 1].end = end;
	} else if (right) {
		s->r[i].start = start;
	} else {
		r = hyp_range_open_gap(s, i);
		if (r)
			return r;
		s->r[i] = (struct hyp_range){ start, end };
	}
	return 0;
}

bool hyp_range_has(const struct hyp_rangeset *s, uint64_t start, uint64_t end)
{
	uint32_t i = hyp_range_index(s, start);

	return start <= end && i < s->n && s->r[i].start <= start &&
	       s->r[i].end >= end;
}

int hyp_range_del(struct hyp_rangeset *s, uint64_t start, uint64_t end)
{
	uint32_t i = hyp_range_index(s, start);
	struct hyp_range *r;

	if (!hyp_range_has(s, start, end))
		return -ENOENT;
	r = &s->r[i];
	if (r->start == start && r->end == end) {
		hyp_range_close_gap(s, i);
	} else if (r->start == start) {
		r->start = end + 1;
	} else if (r->end == end) {
		r->end = start - 1;
	} else {
		uint64_t last = r->end;

		if (hyp_range_open_gap(s, i + 1))
			return -ENOMEM;
		s->r[i].end = start - 1;
		s->r[i + 1] = (struct hyp_range){ end + 1, last };
	}
	return 0;
}

/* ---- domains ---- */

struct hyp_domain *hyp_domain_find(struct hyp *h, uint32_t domid)
{
	int i;

	for (i = 0; i < HYP_DOMAINS; i++)
		if ((h->dom[i].state == DOM_ALIVE ||
		     h->dom[i].state == DOM_DYING) && h->dom[i].domid == domid)
			return &h->dom[i];
	return NULL;
}

uint32_t *hyp_domain_frame(struct hyp_domain *d, uint64_t gfn)
{
	if (gfn < d->low_pages)
		return &d->frame[gfn];
	if (gfn >= HYP_HIGH_GFN && gfn - HYP_HIGH_GFN < d->high_pages)
		return &d->frame[d->low_pages + (gfn - HYP_HIGH_GFN)];
	return NULL;
}

static int hyp_frames_add(struct hyp_view *v, uint32_t n)
{
	uint64_t end = (uint64_t)(v->hyp->next_frame + n) * HYP_PAGE;

	if (ftruncate(v->ram_fd, end))
		return -errno;
	v->hyp->next_frame += n;
	return 0;
}

static void hyp_store_puts(struct hyp_view *v, const char *value,
			   const char *fmt, uint32_t domid)
{
	char path[192];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(path, sizeof(path), fmt, domid);
#pragma GCC diagnostic pop
	hyp_store_write(v, path, value, strlen(value));
}

int hyp_domain_add(struct hyp_view *v, uint32_t domid, const char *name,
		   enum hyp_dom_type type, uint32_t vcpus, uint32_t low_pages,
		   uint32_t high_pages)
{
	static const char *const types[] = { "pvh", "hvm", "pvh", "pv" };
	struct hyp_domain *d = NULL;
	uint32_t first, i;
	char vm[64];
	int r;

	if (low_pages + high_pages > HYP_RAM_PAGES || vcpus > HYP_VCPUS)
		return -EINVAL;
	hyp_lock(v->hyp);
	for (i = 0; i < HYP_DOMAINS && !d; i++)
		if (v->hyp->dom[i].state == DOM_NONE ||
		    v->hyp->dom[i].state == DOM_GONE)
			d = &v->hyp->dom[i];
	if (!d || hyp_domain_find(v->hyp, domid)) {
		hyp_unlock(v->hyp);
		return d ? -EEXIST : -ENOMEM;
	}
	first = v->hyp->next_frame;
	r = hyp_frames_add(v, low_pages + high_pages);
	if (!r) {
		memset(d, 0, sizeof(*d));
		d->domid = domid;
		d->type = type;
		d->vcpus = vcpus;
		d->low_pages = low_pages;
		d->high_pages = high_pages;
		for (i = 0; i < low_pages + high_pages; i++)
			d->frame[i] = first + i + 1;
		d->introduced = true;
		d->state = DOM_ALIVE;
	}
	hyp_unlock(v->hyp);
	if (r)
		return r;

	/* what libxl writes and a device model may look at */
	snprintf(vm, sizeof(vm), "/vm/00000000-0000-0000-0000-%012u", domid);
	hyp_store_puts(v, name, "/local/domain/%u/name", domid);
	hyp_store_puts(v, vm, "/local/domain/%u/vm", domid);
	hyp_store_puts(v, types[type], "/libxl/%u/type", domid);
	hyp_lock(v->hyp);
	hyp_store_fire(v, "@introduceDomain");
	hyp_unlock(v->hyp);
	return 0;
}

/* Close dom0's ends of all channels of @d: they are unbound, not freed. */
static void hyp_domain_close_ports(struct hyp *h, struct hyp_domain *d)
{
	int i;

	for (i = 1; i < HYP_PORTS; i++) {
		if (d->port[i].state == PORT_BOUND)
			h->port0[d->port[i].remote_port].state = PORT_UNBOUND;
		if (d->port[i].state != PORT_FREE) {
			d->port[i].state = PORT_FREE;
			hyp_wake(&d->port[i].rung);
		}
	}
}

int hyp_domain_kill(struct hyp_view *v, uint32_t domid)
{
	struct hyp_domain *d;
	char path[64];
	int i;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d || d->state != DOM_ALIVE) {
		hyp_unlock(v->hyp);
		return -ESRCH;
	}
	hyp_unlock(v->hyp);

	/* libxl empties xenstore before it asks Xen */
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	(void)hyp_store_rm(v, path);
	snprintf(path, sizeof(path), "/libxl/%u", domid);
	(void)hyp_store_rm(v, path);

	hyp_lock(v->hyp);
	d->state = DOM_DYING;
	hyp_domain_close_ports(v->hyp, d);
	for (i = 0; i < HYP_SERVERS; i++)
		d->server[i].used = d->server[i].enabled = false;
	memset(d->frame, 0, sizeof(d->frame));
	d->introduced = false;
	hyp_store_fire(v, "@releaseDomain");
	hyp_unlock(v->hyp);
	hyp_wake(&v->hyp->irq_seq);
	return 0;
}

static void hyp_grant_unmap_dead(struct hyp_view *v);
static void hyp_grant_unmap_all(struct hyp *h, uint32_t handle);

/* A zombie is a domain whose pages somebody still maps. */
int hyp_domain_reap(struct hyp_view *v, uint32_t domid)
{
	struct hyp_domain *d;
	uint32_t i;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d)
		r = -ESRCH;
	else if (d->state != DOM_DYING)
		r = -EINVAL;
	for (i = 0; !r && i < HYP_HANDLES; i++)
		if (v->hyp->handle[i].kind == HANDLE_FOREIGNMEMORY &&
		    v->hyp->handle[i].mapped && hyp_handle_lives(v, i))
			r = -EBUSY;
	if (!r && d->gnttab.mapped) {
		hyp_grant_unmap_dead(v);
		r = d->gnttab.mapped ? -EBUSY : 0;
	}
	if (!r) {
		d->state = DOM_GONE;
		hyp_store_fire(v, "@releaseDomain");
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_domain_shutdown(struct hyp_view *v, uint32_t domid, uint32_t reason)
{
	struct hyp_domain *d;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (d) {
		d->shutdown = reason + 1;
		hyp_store_fire(v, "@releaseDomain");
	}
	hyp_unlock(v->hyp);
	return d ? 0 : -ESRCH;
}

static int hyp_balloon(struct hyp_view *v, uint32_t domid, uint64_t gfn,
		       bool in)
{
	struct hyp_domain *d;
	uint32_t *frame = NULL;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (d)
		frame = hyp_domain_frame(d, gfn);
	if (!frame || in == (*frame != 0))
		r = -EINVAL;
	else if (!in)
		*frame = 0;
	else
		r = hyp_frames_add(v, 1);
	if (!r && in)
		*frame = v->hyp->next_frame;	/* its index + 1 */
	hyp_unlock(v->hyp);
	return r;
}

int hyp_balloon_out(struct hyp_view *v, uint32_t domid, uint64_t gfn)
{
	return hyp_balloon(v, domid, gfn, false);
}

/* The old frame is never handed out again: who still maps it writes to a page
 * that no longer belongs to the guest, and the guest can tell. */
int hyp_balloon_in(struct hyp_view *v, uint32_t domid, uint64_t gfn)
{
	return hyp_balloon(v, domid, gfn, true);
}

/* ---- grants ---- */

static void hyp_track_put(struct hyp *h, uint32_t i)
{
	struct hyp_track *t = &h->maptrack[i];
	struct hyp_gnttab *g = &h->dom[t->dom].gnttab;

	g->entry[t->ref].maps--;
	g->entry[t->ref].writes -= t->writable;
	g->mapped--;
	g->unmaps++;
	t->used = false;
	h->maptrack_used--;
}

static void hyp_grant_unmap_all(struct hyp *h, uint32_t handle)
{
	uint32_t i;

	for (i = 0; i < HYP_MAPTRACK && h->maptrack_used; i++)
		if (h->maptrack[i].used && h->maptrack[i].handle == handle)
			hyp_track_put(h, i);
}

/* What processes had mapped that are gone; not for a process without files. */
static void hyp_grant_unmap_dead(struct hyp_view *v)
{
	uint32_t i;

	for (i = 0; i < HYP_HANDLES; i++)
		if (v->hyp->handle[i].kind == HANDLE_GNTTAB &&
		    !hyp_handle_lives(v, i))
			hyp_grant_unmap_all(v->hyp, i);
}

static void hyp_grant_give(struct hyp_gnttab *g, uint32_t ref, uint64_t gfn,
			   uint32_t to, bool readonly)
{
	g->entry[ref] = (struct hyp_grant){
		.given = true, .readonly = readonly, .to = to, .gfn = gfn,
	};
	g->given++;
}

int hyp_grant_add(struct hyp_view *v, uint32_t domid, uint32_t ref,
		  uint64_t gfn, uint32_t to, bool readonly)
{
	struct hyp_domain *d;
	int r = 0;

	if (ref >= HYP_GRANTS)
		return -EINVAL;
	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d)
		r = -ESRCH;
	else if (d->gnttab.entry[ref].given)
		r = -EBUSY;
	else
		hyp_grant_give(&d->gnttab, ref, gfn, to, readonly);
	hyp_unlock(v->hyp);
	return r;
}

/* The first of @n free ones in a row, or 0. */
static uint32_t hyp_grant_find(struct hyp_gnttab *g, uint32_t n)
{
	uint32_t at = g->next, run = 0, looked;

	for (looked = 0; looked < HYP_GRANTS + n; looked++, at++) {
		if (at < HYP_GRANT_FIRST || at >= HYP_GRANTS) {
			at = HYP_GRANT_FIRST;
			run = 0;
		}
		run = g->entry[at].given ? 0 : run + 1;
		if (run == n)
			return at + 1 - n;
	}
	return 0;
}

int hyp_grant_alloc(struct hyp_view *v, uint32_t domid, uint32_t n,
		    const uint64_t *gfn, uint32_t to, bool readonly,
		    uint32_t *ret)
{
	struct hyp_domain *d;
	uint32_t ref = 0, i;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (d && n)
		ref = hyp_grant_find(&d->gnttab, n);
	for (i = 0; ref && i < n; i++)
		hyp_grant_give(&d->gnttab, ref + i, gfn[i], to, readonly);
	if (ref)
		d->gnttab.next = ref + n;
	hyp_unlock(v->hyp);
	if (!ref)
		return d ? -ENOSPC : -ESRCH;
	*ret = ref;
	return 0;
}

int hyp_grant_del(struct hyp_view *v, uint32_t domid, uint32_t ref)
{
	struct hyp_grant *e = NULL;
	struct hyp_domain *d;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (d && ref < HYP_GRANTS)
		e = &d->gnttab.entry[ref];
	if (e && e->maps)
		hyp_grant_unmap_dead(v);
	if (!e || !e->given) {
		r = -ENOENT;
	} else if (e->maps) {
		v->hyp->grants_in_use++;
		r = -EBUSY;
	} else {
		e->given = false;
		d->gnttab.given--;
	}
	hyp_unlock(v->hyp);
	return r;
}

/*
 * Xen's checks, in its order.  What has not been granted to us is a general
 * error; a bad reference is one that no table of that size has.  An entry is
 * looked up when it is first mapped, and means that page until it no longer
 * is, wherever its gfn goes.
 */
static int hyp_grant_check(struct hyp_domain *d, uint32_t ref, bool writable,
			   uint32_t *ret_frame)
{
	struct hyp_grant *e;
	uint32_t *frame;

	if (!d)
		return GNTST_bad_domain;
	if (ref >= HYP_GRANTS)
		return GNTST_bad_gntref;
	e = &d->gnttab.entry[ref];
	if (!e->given || e->to || (writable && e->readonly))
		return GNTST_general_error;
	frame = e->maps ? &e->frame : hyp_domain_frame(d, e->gfn);
	if (!frame || !*frame)
		return GNTST_bad_page;
	*ret_frame = *frame;
	return GNTST_okay;
}

/* Return: its number, or HYP_MAPTRACK. */
static uint32_t hyp_track_get(struct hyp *h)
{
	uint32_t limit = h->maptrack_limit ? h->maptrack_limit : HYP_MAPTRACK;
	uint32_t i = h->maptrack_next;

	if (h->maptrack_used >= limit)
		return HYP_MAPTRACK;
	while (h->maptrack[i].used)
		i = (i + 1) % HYP_MAPTRACK;
	h->maptrack_next = (i + 1) % HYP_MAPTRACK;
	h->maptrack[i].used = true;
	h->maptrack_used++;
	return i;
}

static int hyp_grant_map_one(struct hyp *h, uint32_t handle, uint32_t domid,
			     uint32_t ref, bool writable, uint32_t *ret_frame,
			     uint32_t *ret_track)
{
	struct hyp_domain *d = hyp_domain_find(h, domid);
	struct hyp_gnttab *g;
	uint32_t track;
	int r;

	if (!d)
		return GNTST_bad_domain;
	track = hyp_track_get(h);
	if (track == HYP_MAPTRACK)
		return GNTST_no_space;
	r = hyp_grant_check(d, ref, writable, ret_frame);
	if (r) {
		h->maptrack[track].used = false;
		h->maptrack_used--;
		return r;
	}
	g = &d->gnttab;
	g->entry[ref].frame = *ret_frame;
	g->entry[ref].maps++;
	g->entry[ref].writes += writable;
	g->maps++;
	if (++g->mapped > g->most_mapped)
		g->most_mapped = g->mapped;
	h->maptrack[track] = (struct hyp_track){
		true, writable, handle, d - h->dom, ref,
	};
	*ret_track = track;
	return GNTST_okay;
}

int hyp_grant_map(struct hyp_view *v, uint32_t handle, uint32_t n,
		  const uint32_t *domid, unsigned int stride,
		  const uint32_t *ref, bool writable, uint32_t *ret_frame,
		  uint32_t *ret_track)
{
	int r = GNTST_okay;
	uint32_t i;

	hyp_lock(v->hyp);
	for (i = 0; i < n && !r; i++)
		r = hyp_grant_map_one(v->hyp, handle, domid[i * stride],
				      ref[i], writable, &ret_frame[i],
				      &ret_track[i]);
	/* as the kernel does: what did succeed is undone */
	for (i--; r && i > 0; i--)
		hyp_track_put(v->hyp, ret_track[i - 1]);
	hyp_unlock(v->hyp);
	return r;
}

void hyp_grant_unmap(struct hyp_view *v, uint32_t n, const uint32_t *track)
{
	uint32_t i;

	hyp_lock(v->hyp);
	for (i = 0; i < n; i++)
		hyp_track_put(v->hyp, track[i]);
	hyp_unlock(v->hyp);
}

int hyp_copy_called(struct hyp *h)
{
	uint64_t n = __atomic_add_fetch(&h->copy_segs, 1, __ATOMIC_ACQ_REL);
	uint32_t times = __atomic_load_n(&h->copy_fail_times, __ATOMIC_ACQUIRE);

	return n >= h->copy_fail_first && n - h->copy_fail_first < times ?
		h->copy_fail_status : GNTST_okay;
}

/* All of guest RAM, as far as there is any yet; lock held. */
static uint8_t *hyp_ram(struct hyp_view *v, uint32_t frame)
{
	void *p;

	if (frame > v->ram_frames) {
		if (v->ram)
			munmap(v->ram, (size_t)v->ram_frames * HYP_PAGE);
		v->ram_frames = v->hyp->next_frame;
		p = mmap(NULL, (size_t)v->ram_frames * HYP_PAGE, PROT_READ |
			 PROT_WRITE, MAP_SHARED | MAP_NORESERVE, v->ram_fd, 0);
		assert(p != MAP_FAILED);
		v->ram = p;
	}
	return v->ram + (uint64_t)(frame - 1) * HYP_PAGE;
}

int hyp_grant_copy(struct hyp_view *v, uint32_t domid, uint32_t ref,
		   bool to_grant, uint32_t offset, void *local, uint32_t len)
{
	struct hyp_domain *d;
	uint32_t frame;
	uint8_t *page;
	int r;

	/* under the lock: once a grant is gone, nothing of a copy arrives */
	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	r = hyp_grant_check(d, ref, to_grant, &frame);
	if (!r && d->state != DOM_ALIVE)
		r = GNTST_bad_domain;		/* though it may be mapped */
	if (!r) {
		page = hyp_ram(v, frame) + offset;
		memcpy(to_grant ? page : local, to_grant ? local : page, len);
		d->gnttab.copies++;
		d->gnttab.copied_bytes += len;
	}
	hyp_unlock(v->hyp);
	return r;
}

/* ---- ioreq servers ---- */

uint64_t hyp_iopage_offset(uint32_t index)
{
	return ROUND_UP(sizeof(struct hyp)) + (uint64_t)index * HYP_PAGE;
}

void *hyp_iopage(struct hyp_view *v, uint32_t index)
{
	void *p = __atomic_load_n(&v->iopage[index], __ATOMIC_ACQUIRE);

	if (p)
		return p;
	p = mmap(NULL, HYP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, v->xen_fd,
		 hyp_iopage_offset(index));
	assert(p != MAP_FAILED);
	/* two threads may both have mapped it: one mapping is leaked, once */
	__atomic_store_n(&v->iopage[index], p, __ATOMIC_RELEASE);
	return p;
}

static struct hyp_server *hyp_server_get(struct hyp_view *v, uint32_t domid,
					 uint16_t id, struct hyp_domain **ret_d,
					 int *ret)
{
	struct hyp_domain *d = hyp_domain_find(v->hyp, domid);

	if (!d) {
		*ret = -ESRCH;
		return NULL;
	}
	if (ret_d)
		*ret_d = d;
	*ret = 0;
	if (id >= HYP_SERVERS || !d->server[id].used) {
		*ret = -ENOENT;
		return NULL;
	}
	return &d->server[id];
}

static uint32_t hyp_port_alloc(struct hyp_port *table)
{
	uint32_t i;

	for (i = 1; i < HYP_PORTS; i++)
		if (table[i].state == PORT_FREE)
			return i;
	return 0;
}

/* A channel of the guest's that Xen itself consumes, open to dom0. */
static uint32_t hyp_server_port(struct hyp_domain *d)
{
	uint32_t p = hyp_port_alloc(d->port);

	if (p) {
		memset(&d->port[p], 0, sizeof(d->port[p]));
		d->port[p].state = PORT_UNBOUND;
	}
	return p;
}

int hyp_server_create(struct hyp_view *v, uint32_t domid, int bufioreq,
		      uint16_t *ret)
{
	struct hyp_domain *d;
	struct hyp_server *s;
	uint32_t i;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	for (i = 0; d && i < HYP_SERVERS; i++)
		if (!d->server[i].used)
			break;
	if (!d) {
		r = -ESRCH;
	} else if (bufioreq < 0 || bufioreq > 2 || d->type == DOM_PV) {
		r = -EINVAL;
	} else if (i == HYP_SERVERS) {
		r = -ENOSPC;
	} else {
		s = &d->server[i];
		memset(s, 0, sizeof(*s));
		s->used = true;
		s->bufioreq = bufioreq;
		*ret = i;
		for (i = 0; i < d->vcpus; i++)
			s->port[i] = hyp_server_port(d);
		if (bufioreq)
			s->bufport = hyp_server_port(d);
	}
	hyp_unlock(v->hyp);
	return r;
}

static void hyp_server_close_port(struct hyp *h, struct hyp_domain *d,
				  uint32_t port)
{
	if (!port)
		return;
	if (d->port[port].state == PORT_BOUND)
		h->port0[d->port[port].remote_port].state = PORT_UNBOUND;
	d->port[port].state = PORT_FREE;
	hyp_wake(&d->port[port].rung);
}

int hyp_server_destroy(struct hyp_view *v, uint32_t domid, uint16_t id)
{
	struct hyp_domain *d;
	struct hyp_server *s;
	uint32_t i;
	int r;

	hyp_lock(v->hyp);
	s = hyp_server_get(v, domid, id, &d, &r);
	if (s) {
		s->used = s->enabled = false;
		for (i = 0; i < d->vcpus; i++)
			hyp_server_close_port(v->hyp, d, s->port[i]);
		hyp_server_close_port(v->hyp, d, s->bufport);
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_server_enable(struct hyp_view *v, uint32_t domid, uint16_t id,
		      bool enabled)
{
	struct hyp_domain *d;
	struct hyp_server *s;
	ioreq_t *slot;
	uint32_t i;
	int r;

	hyp_lock(v->hyp);
	s = hyp_server_get(v, domid, id, &d, &r);
	if (s && enabled && !s->enabled && s->page) {
		/* Without a page yet there is nowhere to write the ports, and
		 * Xen does not come back to it. */
		slot = hyp_iopage(v, s->page - 1);
		for (i = 0; i < d->vcpus; i++)
			slot[i].vp_eport = s->port[i];
	}
	if (s)
		s->enabled = enabled;
	hyp_unlock(v->hyp);
	return r;
}

int hyp_server_map(struct hyp_view *v, uint32_t domid, uint16_t id,
		   unsigned int kind, uint64_t start, uint64_t end)
{
	struct hyp_server *s;
	int r;

	hyp_lock(v->hyp);
	s = hyp_server_get(v, domid, id, NULL, &r);
	if (s)
		r = start > end || kind >= RANGE_KINDS ? -EINVAL :
			hyp_range_add(&s->range[kind], start, end);
	hyp_unlock(v->hyp);
	return r;
}

int hyp_server_unmap(struct hyp_view *v, uint32_t domid, uint16_t id,
		     unsigned int kind, uint64_t start, uint64_t end)
{
	struct hyp_server *s;
	int r;

	hyp_lock(v->hyp);
	s = hyp_server_get(v, domid, id, NULL, &r);
	if (s)
		r = start > end || kind >= RANGE_KINDS ? -EINVAL :
			hyp_range_del(&s->range[kind], start, end);
	hyp_unlock(v->hyp);
	return r;
}

static int hyp_iopage_alloc(struct hyp *h, uint32_t *page)
{
	if (*page)
		return 0;
	if (h->next_iopage == HYP_IOPAGES)
		return -ENOMEM;
	*page = ++h->next_iopage;
	return 0;
}

int hyp_server_frame(struct hyp_view *v, uint32_t domid, uint16_t id,
		     uint64_t frame, uint32_t *ret)
{
	struct hyp_server *s;
	int r;

	hyp_lock(v->hyp);
	s = hyp_server_get(v, domid, id, NULL, &r);
	if (s) {
		if (s->bufioreq)
			r = hyp_iopage_alloc(v->hyp, &s->bufpage);
		if (!r)
			r = hyp_iopage_alloc(v->hyp, &s->page);
		if (!r && frame == 0 && !s->bufioreq)
			r = -ENOENT;
		else if (!r && frame > 1)
			r = -EINVAL;
		if (!r)
			*ret = (frame ? s->page : s->bufpage) - 1;
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_server_select(struct hyp_domain *d, unsigned int kind, uint64_t start,
		      uint64_t end)
{
	int id;

	for (id = HYP_SERVERS - 1; id >= 0; id--)
		if (d->server[id].used && d->server[id].enabled &&
		    hyp_range_has(&d->server[id].range[kind], start, end))
			return id;
	return -1;
}

/* ---- handles ---- */

static void hyp_handle_path(uint32_t serial, char *buf, size_t len)
{
	snprintf(buf, len, "h.%u", serial);
}

/* Its remote end can be bound again; lock held. */
static void hyp_port_close(struct hyp *h, uint32_t port)
{
	struct hyp_port *p = &h->port0[port];
	struct hyp_domain *d = hyp_domain_find(h, p->remote_domid);

	if (p->state == PORT_BOUND && d)
		d->port[p->remote_port].state = PORT_UNBOUND;
	p->state = PORT_FREE;
}

/* What the kernel undoes when a descriptor is closed; lock held. */
static void hyp_handle_purge(struct hyp_view *v, uint32_t index)
{
	uint32_t i;

	for (i = 1; i < HYP_PORTS; i++)
		if (v->hyp->port0[i].state != PORT_FREE &&
		    v->hyp->port0[i].handle == index)
			hyp_port_close(v->hyp, i);
	for (i = 0; i < HYP_WATCHES; i++)
		if (v->hyp->watch[i].handle == index)
			v->hyp->watch[i].used = false;
	hyp_grant_unmap_all(v->hyp, index);
	v->hyp->handle[index].kind = HANDLE_FREE;
}

static void hyp_handle_push(struct hyp_view *v, uint32_t index,
			    const void *data, size_t len);

/*
 * Whoever opens a handle also opens its other end, as if to push: later it may
 * not be allowed to open anything.
 */
int hyp_handle_open(struct hyp_view *v, enum hyp_handle_kind kind,
		    uint32_t *ret, int *ret_fd)
{
	struct hyp_handle *slot = NULL;
	char path[32];
	uint32_t i;
	int fd = -1, r = 0;

	hyp_lock(v->hyp);
	for (i = 0; i < HYP_HANDLES; i++) {
		slot = &v->hyp->handle[i];
		if (slot->kind == HANDLE_FREE || !hyp_handle_lives(v, i))
			break;
	}
	if (i == HYP_HANDLES) {
		hyp_unlock(v->hyp);
		return -EMFILE;
	}
	hyp_handle_purge(v, i);
	hyp_handle_path(slot->serial, path, sizeof(path));
	(void)unlinkat(v->dir_fd, path, 0);	/* the last owner's */
	slot->serial = ++v->hyp->next_serial;
	slot->mapped = slot->kept = 0;
	slot->closed = false;
	hyp_handle_path(slot->serial, path, sizeof(path));
	if (mknodat(v->dir_fd, path, S_IFIFO | 0666, 0))
		r = -errno;
	if (!r) {
		fd = openat(v->dir_fd, path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			r = -errno;
	}
	slot->kind = r ? HANDLE_FREE : kind;
	hyp_unlock(v->hyp);
	if (r)
		return r;
	hyp_handle_push(v, i, NULL, 0);
	*ret = i;
	*ret_fd = fd;
	return 0;
}

void hyp_handle_close(struct hyp_view *v, uint32_t index, int fd)
{
	struct hyp_handle *h = &v->hyp->handle[index];

	/* The fifo stays until the next one: see hyp_handle_open(). */
	hyp_lock(v->hyp);
	h->closed = true;
	v->hyp->leaked_maps += h->mapped - h->kept;
	if (h->mapped)
		fd = -1;
	else
		hyp_handle_purge(v, index);
	hyp_unlock(v->hyp);
	if (fd >= 0)
		close(fd);
}

/* A fifo nobody reads cannot be opened for writing. */
bool hyp_handle_lives(struct hyp_view *v, uint32_t index)
{
	char path[32];
	int fd;

	if (v->hyp->handle[index].kind == HANDLE_FREE)
		return false;
	hyp_handle_path(v->hyp->handle[index].serial, path, sizeof(path));
	fd = openat(v->dir_fd, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Write to a handle's fifo.  A dead owner's, or a full one, swallows it. */
static void hyp_handle_push(struct hyp_view *v, uint32_t index,
			    const void *data, size_t len)
{
	uint32_t serial = v->hyp->handle[index].serial;
	char path[32];

	pthread_mutex_lock(&v->wr_lock);
	if (v->wr[index].fd >= 0 && v->wr[index].serial != serial) {
		close(v->wr[index].fd);
		v->wr[index].fd = -1;
	}
	if (v->wr[index].fd < 0) {
		hyp_handle_path(serial, path, sizeof(path));
		v->wr[index].fd = openat(v->dir_fd, path, O_WRONLY |
					 O_NONBLOCK | O_CLOEXEC);
		v->wr[index].serial = serial;
	}
	if (v->wr[index].fd >= 0 &&
	    write(v->wr[index].fd, data, len) != (ssize_t)len) {
		/* EPIPE: the owner died just now.  There is nobody to tell. */
	}
	pthread_mutex_unlock(&v->wr_lock);
}

/* ---- event channels ---- */

/*
 * As the Linux driver does it: a port is masked when it goes into the ring
 * and stays so until it is written back; what comes in between is remembered
 * as one more event.
 */
static void hyp_port_deliver(struct hyp_view *v, uint32_t port)
{
	struct hyp_port *p = &v->hyp->port0[port];
	uint32_t old = EVENT_IDLE;

	if (p->state != PORT_BOUND && p->state != PORT_UNBOUND)
		return;
	while (!__atomic_compare_exchange_n(&p->event, &old,
			old == EVENT_IDLE ? EVENT_DELIVERED : EVENT_AGAIN,
			false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	if (old == EVENT_IDLE)
		hyp_handle_push(v, p->handle, &port, sizeof(port));
}

int hyp_port_unmask(struct hyp_view *v, uint32_t handle, uint32_t port)
{
	struct hyp_port *p;
	uint32_t old = EVENT_DELIVERED;

	if (!port || port >= HYP_PORTS)
		return 0;		/* the driver ignores strangers */
	p = &v->hyp->port0[port];
	if (p->state == PORT_FREE || p->handle != handle)
		return 0;
	while (old != EVENT_IDLE &&
	       !__atomic_compare_exchange_n(&p->event, &old,
			old == EVENT_AGAIN ? EVENT_DELIVERED : EVENT_IDLE,
			false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	if (old == EVENT_AGAIN)
		hyp_handle_push(v, handle, &port, sizeof(port));
	return 0;
}

static uint32_t hyp_port_take(struct hyp_view *v, uint32_t handle,
			      uint32_t domid)
{
	uint32_t p = hyp_port_alloc(v->hyp->port0);

	if (p) {
		memset(&v->hyp->port0[p], 0, sizeof(v->hyp->port0[p]));
		v->hyp->port0[p].state = PORT_UNBOUND;
		v->hyp->port0[p].remote_domid = domid;
		v->hyp->port0[p].handle = handle;
	}
	return p;
}

int hyp_port_bind(struct hyp_view *v, uint32_t handle, uint32_t domid,
		  uint32_t remote)
{
	struct hyp_domain *d;
	struct hyp_port *rp;
	uint32_t p;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	rp = d && remote && remote < HYP_PORTS ? &d->port[remote] : NULL;
	if (rp && rp->state == PORT_BOUND &&
	    !hyp_handle_lives(v, v->hyp->port0[rp->remote_port].handle)) {
		/* the kernel closed it when the process died */
		hyp_port_close(v->hyp, rp->remote_port);
	}
	if (!d)
		r = -ESRCH;
	else if (!rp || rp->state != PORT_UNBOUND)
		r = -EINVAL;
	p = r ? 0 : hyp_port_take(v, handle, domid);
	if (!r && !p)
		r = -ENOSPC;
	if (!r) {
		v->hyp->port0[p].remote_port = remote;
		v->hyp->port0[p].state = PORT_BOUND;
		rp->remote_port = p;
		rp->state = PORT_BOUND;
		/* Xen: a notification may have been lost before, so there is
		 * always one after binding. */
		hyp_port_deliver(v, p);
		r = p;
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_port_unbound(struct hyp_view *v, uint32_t handle, uint32_t domid)
{
	uint32_t p;

	hyp_lock(v->hyp);
	p = hyp_port_take(v, handle, domid);
	hyp_unlock(v->hyp);
	return p ? (int)p : -ENOSPC;
}

int hyp_port_unbind(struct hyp_view *v, uint32_t handle, uint32_t port)
{
	struct hyp_port *p;
	int r = 0;

	hyp_lock(v->hyp);
	p = port && port < HYP_PORTS ? &v->hyp->port0[port] : NULL;
	if (!p)
		r = -EINVAL;
	else if (p->state == PORT_FREE || p->handle != handle)
		r = -ENOTCONN;
	else
		hyp_port_close(v->hyp, port);
	hyp_unlock(v->hyp);
	return r;
}

int hyp_port_notify(struct hyp_view *v, uint32_t handle, uint32_t port)
{
	struct hyp_domain *d;
	struct hyp_port *p;

	p = port && port < HYP_PORTS ? &v->hyp->port0[port] : NULL;
	if (!p || p->state == PORT_FREE || p->handle != handle)
		return -ENOTCONN;
	d = hyp_domain_find(v->hyp, p->remote_domid);
	if (d && p->state == PORT_BOUND)
		hyp_wake(&d->port[p->remote_port].rung);
	return 0;
}

int hyp_port_ring(struct hyp_view *v, struct hyp_domain *d, uint32_t port)
{
	if (!port || port >= HYP_PORTS || d->port[port].state != PORT_BOUND)
		return -EINVAL;
	hyp_port_deliver(v, d->port[port].remote_port);
	return 0;
}

/* ---- interrupts ---- */

static struct hyp_msi *hyp_irq_msi_slot(struct hyp_domain *d, uint64_t addr,
					uint32_t data)
{
	uint32_t i;

	for (i = 0; i < d->nr_msis; i++)
		if (d->msi[i].addr == addr && d->msi[i].data == data)
			return &d->msi[i];
	if (d->nr_msis == HYP_MSIS)
		return NULL;		/* a storm of strange ones: dropped */
	d->msi[i].addr = addr;
	d->msi[i].data = data;
	d->nr_msis++;
	return &d->msi[i];
}

int hyp_irq_msi(struct hyp_view *v, uint32_t domid, uint64_t addr,
		uint32_t data)
{
	struct hyp_domain *d;
	struct hyp_msi *m;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d) {
		r = -ESRCH;
	} else if (d->type == DOM_ARM) {
		r = -EOPNOTSUPP;
	} else {
		m = hyp_irq_msi_slot(d, addr, data);
		if (m)
			m->count++;
	}
	hyp_unlock(v->hyp);
	if (!r)
		hyp_wake(&v->hyp->irq_seq);
	return r;
}

int hyp_irq_intx(struct hyp_view *v, uint32_t domid, uint16_t segment,
		 uint8_t bus, uint8_t dev, uint8_t pin, uint32_t level)
{
	struct hyp_domain *d;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d) {
		r = -ESRCH;
	} else if (d->type == DOM_ARM) {
		r = -EOPNOTSUPP;
	} else if (segment || bus || dev > 0x1f || pin > 3 || level > 1) {
		r = -EINVAL;
	} else {
		d->intx_calls++;
		if (level && !d->intx[dev][pin])
			d->intx_rises[dev][pin]++;
		__atomic_store_n(&d->intx[dev][pin], level, __ATOMIC_RELEASE);
	}
	hyp_unlock(v->hyp);
	if (!r)
		hyp_wake(&v->hyp->irq_seq);
	return r;
}

int hyp_irq_line(struct hyp_view *v, uint32_t domid, uint32_t irq,
		 uint32_t level)
{
	struct hyp_domain *d;
	int r = 0;

	hyp_lock(v->hyp);
	d = hyp_domain_find(v->hyp, domid);
	if (!d)
		r = -ESRCH;
	else if (d->type != DOM_ARM)
		r = -EOPNOTSUPP;
	else if (irq < 32 || irq >= 256 || level > 1)
		r = -EINVAL;
	else if (level)
		d->irq_pulses[irq]++;	/* the vGIC ignores level 0 */
	hyp_unlock(v->hyp);
	if (!r)
		hyp_wake(&v->hyp->irq_seq);
	return r;
}

/* ---- xenstore ---- */

struct hyp_node *hyp_store_find(struct hyp *h, const char *path)
{
	int i;

	for (i = 0; i < HYP_NODES; i++)
		if (h->node[i].used && !strcmp(h->node[i].path, path))
			return &h->node[i];
	return NULL;
}

static bool hyp_store_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (!path[n] || path[n] == '/' ||
					  (n && top[n - 1] == '/'));
}

static void hyp_watch_push(struct hyp_view *v, const struct hyp_watch *w,
			   const char *path)
{
	char buf[192 + 64 + 2] = "";
	size_t n = strlen(path) + 1, m = strlen(w->token) + 1;

	/* one event, one write, of a fixed size: never torn, no framing */
	memcpy(buf, path, n);
	memcpy(buf + n, w->token, m);
	hyp_handle_push(v, w->handle, buf, sizeof(buf));
}

void hyp_store_fire(struct hyp_view *v, const char *path)
{
	const struct hyp_watch *w;

	for (w = v->hyp->watch; w < v->hyp->watch + HYP_WATCHES; w++)
		if (w->used && hyp_store_below(path, w->path))
			hyp_watch_push(v, w, path);
}

/* As xenstored, a node's missing parents are made; lock held. */
static int hyp_store_make(struct hyp *h, const char *path,
			  struct hyp_node **ret)
{
	struct hyp_node *n = hyp_store_find(h, path);
	char parent[192];
	char *slash;
	int i, r;

	if (n) {
		*ret = n;
		return 0;
	}
	if (path[0] != '/' || strlen(path) >= sizeof(parent))
		return -EINVAL;
	strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (slash != parent) {
		*slash = '\0';
		r = hyp_store_make(h, parent, &n);
		if (r)
			return r;
	}
	for (i = 0; i < HYP_NODES; i++)
		if (!h->node[i].used)
			break;
	if (i == HYP_NODES)
		return -ENOSPC;
	n = &h->node[i];
	memset(n, 0, sizeof(*n));
	n->used = true;
	strcpy(n->path, path);
	*ret = n;
	return 0;
}

int hyp_store_write(struct hyp_view *v, const char *path, const void *value,
		    uint32_t len)
{
	struct hyp_node *n;
	int r;

	if (len >= sizeof(n->value))
		return -ENOSPC;
	hyp_lock(v->hyp);
	r = hyp_store_make(v->hyp, path, &n);
	if (!r) {
		if (len)
			memcpy(n->value, value, len);
		n->value[len] = '\0';
		n->len = len;
		hyp_store_fire(v, path);
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_store_rm(struct hyp_view *v, const char *path)
{
	bool found = false;
	int i;

	hyp_lock(v->hyp);
	for (i = 0; i < HYP_NODES; i++)
		if (v->hyp->node[i].used &&
		    hyp_store_below(v->hyp->node[i].path, path)) {
			v->hyp->node[i].used = false;
			found = true;
		}
	if (found) {
		/* watches above the node fire, and those below it too */
		const struct hyp_watch *w = v->hyp->watch;

		for (; w < v->hyp->watch + HYP_WATCHES; w++)
			if (w->used && (hyp_store_below(path, w->path) ||
					hyp_store_below(w->path, path)))
				hyp_watch_push(v, w, path);
	}
	hyp_unlock(v->hyp);
	return found ? 0 : -ENOENT;
}

int hyp_watch_add(struct hyp_view *v, uint32_t handle, const char *path,
		  const char *token)
{
	struct hyp_watch *w, *slot = NULL;
	int r = 0;

	if (strlen(path) >= sizeof(w->path) ||
	    strlen(token) >= sizeof(w->token))
		return -EINVAL;
	hyp_lock(v->hyp);
	for (w = v->hyp->watch; w < v->hyp->watch + HYP_WATCHES; w++) {
		if (w->used && !hyp_handle_lives(v, w->handle))
			w->used = false;
		if (!w->used)
			slot = w;
		else if (w->handle == handle && !strcmp(w->path, path) &&
			 !strcmp(w->token, token))
			r = -EEXIST;
	}
	if (!r && !slot)
		r = -E2BIG;
	if (!r) {
		slot->used = true;
		slot->handle = handle;
		strcpy(slot->path, path);
		strcpy(slot->token, token);
		hyp_watch_push(v, slot, path);	/* fires once up front */
	}
	hyp_unlock(v->hyp);
	return r;
}

int hyp_watch_del(struct hyp_view *v, uint32_t handle, const char *path,
		  const char *token)
{
	struct hyp_watch *w;
	int r = -ENOENT;

	hyp_lock(v->hyp);
	for (w = v->hyp->watch; w < v->hyp->watch + HYP_WATCHES; w++)
		if (w->used && w->handle == handle && !strcmp(w->path, path) &&
		    !strcmp(w->token, token)) {
			w->used = false;
			r = 0;
		}
	hyp_unlock(v->hyp);
	return r;
}
