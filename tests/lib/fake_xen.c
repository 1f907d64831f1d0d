/* SPDX-License-Identifier: MIT */
/*
 * fake_xen.c: see the header.
 *
 * The guest's frames are a sorted list of ranges, each with consecutive
 * machine frames behind it; machine frames are pages of the memfd, handed
 * out once each, so that a mapping of a frame that the guest gave up shows
 * the past and nothing else.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/hvm/dm_op.h>

#include "fake_xen.h"
#include "grants.h"
#include "guest_mem.h"
#include "mem.h"
#include "loop.h"
#include "util.h"

#define PAGE		4096u
#define RAM_FRAMES	65536u		/* handed out, never given back */
#define MAX_EXTENTS	16384u
#define MAX_MAPS	8192u
#define MAX_GRANTED	512u		/* mappings */
#define PORT_LOCAL	100u		/* + vCPU */
#define PORT_REMOTE	40u

struct xendevicemodel_handle {
	bool	restricted;
};

struct xenforeignmemory_handle {
	bool	restricted;
};

struct xenforeignmemory_resource_handle {
	void	*va;
};

struct xenevtchn_handle {
	bool	restricted;
	int	pipe[2];
};

struct xengntdev_handle {
	int	unused;
};

struct xc_interface_core {
	int	unused;
};

struct extent {
	uint64_t	gfn;
	uint64_t	count;
	uint64_t	frame;
};

struct map {
	char	*va;
	size_t	npages;
};

struct grant {
	bool		valid;
	bool		readonly;
	uint64_t	frame;
	unsigned int	maps;
};

struct granted {
	char		*va;
	uint32_t	npages;
	uint32_t	*refs;
};

struct fake_xen fake;

static struct {
	/* One of each at most. */
	struct xendevicemodel_handle	*dmod;
	struct xenforeignmemory_handle	*fmem;
	struct xenevtchn_handle		*evtchn;
	struct xc_interface_core	*xc;
	struct xengntdev_handle		*xgt;
	struct xenforeignmemory_resource_handle *resource;
	struct xenforeignmemory_resource_handle *resource_left;

	unsigned int	fail_at[FAKE_FNS];	/* number of the call */
	unsigned int	fail_times[FAKE_FNS];
	int		fail_err[FAKE_FNS];
	size_t		diary_len;

	int		page_fd;
	bool		bound[FAKE_MAX_VCPUS];
	bool		masked[FAKE_MAX_VCPUS];
	bool		pending[FAKE_MAX_VCPUS];

	int		ram_fd;
	char		*ram;
	uint64_t	next_frame;
	struct extent	*extent;
	size_t		nextents;
	size_t		hint;
	struct map	*map;

	struct grant	grant[FAKE_GRANTS];
	struct granted	granted[MAX_GRANTED];
	unsigned int	ngranted;
} x;

static const char *const fn_names[] = {
	[FAKE_DMOD_OPEN]	= "dmod_open",
	[FAKE_DMOD_RESTRICT]	= "dmod_restrict",
	[FAKE_DMOD_CLOSE]	= "dmod_close",
	[FAKE_CREATE]		= "create",
	[FAKE_DESTROY]		= "destroy",
	[FAKE_ENABLE]		= "enable",
	[FAKE_DISABLE]		= "disable",
	[FAKE_NR_VCPUS]		= "nr_vcpus",
	[FAKE_MAP_RANGE]	= "map_range",
	[FAKE_UNMAP_RANGE]	= "unmap_range",
	[FAKE_MAP_PCIDEV]	= "map_pcidev",
	[FAKE_UNMAP_PCIDEV]	= "unmap_pcidev",
	[FAKE_MSI]		= "msi",
	[FAKE_INTX]		= "intx",
	[FAKE_IRQ]		= "irq",
	[FAKE_FMEM_OPEN]	= "fmem_open",
	[FAKE_FMEM_RESTRICT]	= "fmem_restrict",
	[FAKE_FMEM_CLOSE]	= "fmem_close",
	[FAKE_MAP_RESOURCE]	= "map_resource",
	[FAKE_UNMAP_RESOURCE]	= "unmap_resource",
	[FAKE_MAP]		= "map",
	[FAKE_UNMAP]		= "unmap",
	[FAKE_EVTCHN_OPEN]	= "evtchn_open",
	[FAKE_EVTCHN_RESTRICT]	= "evtchn_restrict",
	[FAKE_EVTCHN_CLOSE]	= "evtchn_close",
	[FAKE_BIND]		= "bind",
	[FAKE_PENDING]		= NULL,		/* too many for a diary */
	[FAKE_UNMASK]		= NULL,
	[FAKE_NOTIFY]		= "notify",
	[FAKE_XC_OPEN]		= "xc_open",
	[FAKE_XC_CLOSE]		= "xc_close",
	[FAKE_XC_INFO]		= "xc_info",
	[FAKE_XGT_OPEN]		= "xgt_open",
	[FAKE_XGT_CLOSE]	= "xgt_close",
	[FAKE_GRANT_MAP]	= "grant_map",
	[FAKE_GRANT_UNMAP]	= "grant_unmap",
	[FAKE_GRANT_COPY]	= NULL,
	[FAKE_CALLOC]		= NULL,		/* not Xen's */
	[FAKE_MMAP]		= NULL,
};

_Static_assert(ARRAY_SIZE(fn_names) == FAKE_FNS, "a function's name");

/* The wraps that tests.mk asks the linker for. */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);

/* ---- calls ---- */

/* Return: 0, or -1 and errno, where the test wants this call to fail. */
static int call(enum fake_fn fn)
{
	unsigned int n = ++fake.calls[fn];
	int len;

	if (fn_names[fn]) {
		len = snprintf(fake.diary + x.diary_len,
			       sizeof(fake.diary) - x.diary_len, "%s%s",
			       x.diary_len ? " " : "", fn_names[fn]);
		x.diary_len = MIN(x.diary_len + (size_t)len,
				  sizeof(fake.diary) - 1);
	}
	if (n < x.fail_at[fn] || n - x.fail_at[fn] >= x.fail_times[fn])
		return 0;
	errno = x.fail_err[fn];
	return -1;
}

void fake_fail(enum fake_fn fn, unsigned int nth, unsigned int times, int err)
{
	x.fail_at[fn] = fake.calls[fn] + nth;
	x.fail_times[fn] = times;
	x.fail_err[fn] = err;
}

const char *fake_diary(void)
{
	static char text[sizeof(fake.diary)];

	memcpy(text, fake.diary, sizeof(text));
	fake.diary[0] = '\0';
	x.diary_len = 0;
	return text;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return call(FAKE_CALLOC) < 0 ? NULL : __real_calloc(n, size);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	return call(FAKE_MMAP) < 0 ? MAP_FAILED :
		__real_mmap(addr, len, prot, flags, fd, off);
}

/* A handle of whatever kind: there is one of each. */
static void *handle_open(enum fake_fn fn, size_t size)
{
	void *h;

	if (call(fn) < 0)
		return NULL;
	h = __real_calloc(1, size);
	assert(h);
	return h;
}

static int handle_restrict(enum fake_fn fn, uint32_t domid, bool *restricted)
{
	assert(domid == FAKE_DOMID && !*restricted);
	if (call(fn) < 0)
		return -1;
	*restricted = true;
	return 0;
}

/* ---- memory: the guest's ---- */

/* The first range that ends behind @gfn; mostly the same as last time. */
static size_t extent_find(uint64_t gfn)
{
	size_t lo = 0, hi = x.nextents, mid = x.hint;

	if (mid < hi && x.extent[mid].gfn + x.extent[mid].count > gfn &&
	    (!mid || x.extent[mid - 1].gfn + x.extent[mid - 1].count <= gfn))
		return mid;
	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (x.extent[mid].gfn + x.extent[mid].count > gfn)
			hi = mid;
		else
			lo = mid + 1;
	}
	x.hint = lo;
	return lo;
}

static void extent_insert(size_t at, struct extent e)
{
	assert(x.nextents < MAX_EXTENTS);
	memmove(&x.extent[at + 1], &x.extent[at],
		(x.nextents - at) * sizeof(e));
	x.extent[at] = e;
	x.nextents++;
}

/* The guest's machine frame; -1 if there is none. */
static int64_t frame_of(uint64_t gfn)
{
	size_t i = extent_find(gfn);

	if (i == x.nextents || gfn < x.extent[i].gfn)
		return -1;
	return (int64_t)(x.extent[i].frame + (gfn - x.extent[i].gfn));
}

bool fake_ram_has(uint64_t gfn)
{
	return frame_of(gfn) >= 0;
}

void fake_ram_add(uint64_t gfn, uint64_t count)
{
	assert(count && x.next_frame + count <= RAM_FRAMES);
	fake_ram_del(gfn, count);
	extent_insert(extent_find(gfn),
		      (struct extent){ gfn, count, x.next_frame });
	x.next_frame += count;
}

void fake_ram_del(uint64_t gfn, uint64_t count)
{
	uint64_t end = gfn + count;
	size_t i = extent_find(gfn);
	struct extent e;

	while (i < x.nextents && x.extent[i].gfn < end) {
		e = x.extent[i];
		memmove(&x.extent[i], &x.extent[i + 1],
			(--x.nextents - i) * sizeof(e));
		if (e.gfn < gfn)
			extent_insert(i++, (struct extent){
				e.gfn, gfn - e.gfn, e.frame });
		if (e.gfn + e.count > end)
			extent_insert(i++, (struct extent){
				end, e.gfn + e.count - end,
				e.frame + (end - e.gfn) });
	}
}

static void ram_copy(uint64_t addr, char *buf, size_t len, bool write)
{
	int64_t frame;
	size_t n;
	char *p;

	for (; len; len -= n, addr += n, buf += n) {
		n = MIN(len, (size_t)(PAGE - addr % PAGE));
		frame = frame_of(addr / PAGE);
		assert(frame >= 0);
		p = x.ram + (size_t)frame * PAGE + addr % PAGE;
		if (write)
			memcpy(p, buf, n);
		else
			memcpy(buf, p, n);
	}
}

void fake_ram_read(uint64_t addr, void *buf, size_t len)
{
	ram_copy(addr, buf, len, false);
}

void fake_ram_write(uint64_t addr, const void *buf, size_t len)
{
	ram_copy(addr, (char *)(uintptr_t)buf, len, true);
}

/* ---- memory: foreign mappings ---- */

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger,
					       unsigned int flags)
{
	(void)logger;
	(void)flags;
	assert(!x.fmem);
	x.fmem = handle_open(FAKE_FMEM_OPEN, sizeof(*x.fmem));
	return x.fmem;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
	assert(fmem && fmem == x.fmem);
	return handle_restrict(FAKE_FMEM_RESTRICT, domid, &fmem->restricted);
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
	assert(fmem && fmem == x.fmem);
	assert(!fake.maps);			/* order of closing */
	assert(!x.resource || fake.may_renounce);
	if (x.resource)				/* stays mapped */
		x.resource_left = x.resource;
	x.resource = NULL;
	free(fmem);
	x.fmem = NULL;
	return call(FAKE_FMEM_CLOSE);
}

/* The mapping that holds all of @n pages at @va. */
static struct map *map_find(const char *va, size_t n)
{
	struct map *m;

	for (m = x.map; m < x.map + fake.maps; m++)
		if (va >= m->va && va + n * PAGE <= m->va + m->npages * PAGE)
			return m;
	return NULL;
}

static void map_at(char *va, size_t n, int prot, uint64_t frame)
{
	void *p = __real_mmap(va, n * PAGE, prot, MAP_SHARED | MAP_FIXED,
			      x.ram_fd, (off_t)(frame * PAGE));

	assert(p == va);
}

/* Maps what is there, in as few pieces as possible. */
static bool map_pages(char *va, int prot, size_t n, const xen_pfn_t *gfn,
		      int *err)
{
	bool all = true;
	int64_t frame;
	size_t i, run;

	for (i = 0; i < n; i += run) {
		run = 1;
		frame = frame_of(gfn[i]);
		if (err)
			err[i] = frame < 0 ? -EINVAL : 0;
		if (frame < 0) {
			all = false;
			continue;
		}
		for (; i + run < n && frame_of(gfn[i + run]) ==
		     frame + (int64_t)run; run++)
			if (err)
				err[i + run] = 0;
		map_at(va + i * PAGE, run, prot, (uint64_t)frame);
	}
	return all;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
			    void *addr, int prot, int flags, size_t n,
			    const xen_pfn_t arr[], int err[])
{
	char *va = addr;

	assert(fmem && fmem == x.fmem && fmem->restricted);
	assert(dom == FAKE_DOMID && n);
	assert(!addr == !(flags & MAP_FIXED));
	assert(!addr || map_find(addr, n));
	if (call(FAKE_MAP) < 0) {
		if (addr)		/* as the real one does */
			munmap(addr, n * PAGE);
		return NULL;
	}
	if (fake.calls[FAKE_MAP] == fake.vanish_at)
		fake_ram_del(fake.vanish_gfn, 1);
	va = __real_mmap(addr, n * PAGE, PROT_NONE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
	assert(va != MAP_FAILED);
	if (!map_pages(va, prot, n, arr, err) && !err) {
		munmap(va, n * PAGE);
		errno = EINVAL;
		return NULL;
	}
	if (addr)
		return va;
	assert(fake.maps < MAX_MAPS);
	x.map[fake.maps++] = (struct map){ va, n };
	fake.pages += (unsigned int)n;
	if (fake.maps_peak < fake.maps)
		fake.maps_peak = fake.maps;
	if (fake.pages_peak < fake.pages)
		fake.pages_peak = fake.pages;
	return va;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
			   size_t n)
{
	struct map *m = map_find(addr, n);

	assert(fmem && fmem == x.fmem);
	assert(m && m->va == addr && m->npages == n);
	/* No page of it was lost meanwhile: it would be somebody else's. */
	assert(msync(addr, n * PAGE, MS_ASYNC) == 0);
	munmap(addr, n * PAGE);
	fake.pages -= (unsigned int)n;
	*m = x.map[--fake.maps];
	return call(FAKE_UNMAP);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
	xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
	unsigned int id, unsigned long frame, unsigned long nr_frames,
	void **paddr, int prot, int flags)
{
	assert(fmem && fmem == x.fmem && fmem->restricted);
	assert(domid == FAKE_DOMID && !x.resource);
	assert(fake.created && type == XENMEM_resource_ioreq_server &&
	       id == FAKE_SERVER && nr_frames == 1 && !*paddr &&
	       frame == XENMEM_resource_ioreq_server_frame_ioreq(0) &&
	       prot == (PROT_READ | PROT_WRITE) && !flags);
	if (call(FAKE_MAP_RESOURCE) < 0)
		return NULL;
	x.resource = __real_calloc(1, sizeof(*x.resource));
	assert(x.resource);
	x.resource->va = __real_mmap(NULL, PAGE, prot, MAP_SHARED, x.page_fd,
				     0);
	assert(x.resource->va != MAP_FAILED);
	*paddr = x.resource->va;
	return x.resource;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
				    xenforeignmemory_resource_handle *fres)
{
	assert(fmem && fmem == x.fmem);
	assert(fres && fres == x.resource);
	munmap(fres->va, PAGE);
	free(fres);
	x.resource = NULL;
	return call(FAKE_UNMAP_RESOURCE);
}

/* ---- memory: grants ---- */

void fake_grant(uint32_t ref, uint64_t gfn, bool readonly)
{
	struct grant *g = &x.grant[ref];

	assert(ref < FAKE_GRANTS && !g->maps && fake_ram_has(gfn));
	*g = (struct grant){
		.valid		= true,
		.readonly	= readonly,
		.frame		= (uint64_t)frame_of(gfn),
	};
}

void fake_revoke(uint32_t ref)
{
	assert(ref < FAKE_GRANTS && !x.grant[ref].maps);
	x.grant[ref].valid = false;
}

unsigned int fake_granted(uint32_t ref)
{
	return x.grant[ref].maps;
}

static struct grant *grant_find(uint32_t ref, uint32_t domid, bool write)
{
	struct grant *g = ref < FAKE_GRANTS ? &x.grant[ref] : NULL;

	assert(domid == FAKE_DOMID);
	return g && g->valid && !(write && g->readonly) ? g : NULL;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger,
				 unsigned int open_flags)
{
	assert(logger && !open_flags && !x.xgt);
	x.xgt = handle_open(FAKE_XGT_OPEN, sizeof(*x.xgt));
	return x.xgt;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	assert(xgt && xgt == x.xgt && !x.ngranted);
	free(xgt);
	x.xgt = NULL;
	return call(FAKE_XGT_CLOSE);
}

/* All of them, or none. */
void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
				      uint32_t domid, uint32_t *refs, int prot)
{
	struct granted *m = &x.granted[x.ngranted];
	uint32_t i;

	assert(xgt && xgt == x.xgt && count && (prot & PROT_READ));
	if (call(FAKE_GRANT_MAP) < 0)
		return NULL;
	errno = EINVAL;		/* whatever is wrong */
	if (fake.max_granted && fake.granted + count > fake.max_granted)
		return NULL;
	for (i = 0; i < count; i++)
		if (!grant_find(refs[i], domid, prot & PROT_WRITE))
			return NULL;
	assert(x.ngranted < MAX_GRANTED);
	*m = (struct granted){
		.npages	= count,
		.refs	= malloc(count * sizeof(*refs)),
		.va	= __real_mmap(NULL, (size_t)count * PAGE, prot,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	};
	assert(m->refs && m->va != MAP_FAILED);
	memcpy(m->refs, refs, count * sizeof(*refs));
	for (i = 0; i < count; i++) {
		map_at(m->va + (size_t)i * PAGE, 1, prot,
		       x.grant[refs[i]].frame);
		x.grant[refs[i]].maps++;
	}
	x.ngranted++;
	fake.granted += count;
	return m->va;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	struct granted *m = x.granted;
	uint32_t i;

	assert(xgt && xgt == x.xgt);
	while (m < x.granted + x.ngranted && m->va != start)
		m++;
	assert(m < x.granted + x.ngranted && m->npages == count);
	for (i = 0; i < count; i++)
		x.grant[m->refs[i]].maps--;
	munmap(m->va, (size_t)count * PAGE);
	free(m->refs);
	fake.granted -= count;
	*m = x.granted[--x.ngranted];
	return call(FAKE_GRANT_UNMAP);
}

/* Return: the status. */
static int16_t copy_one(xengnttab_grant_copy_segment_t *s)
{
	bool to_guest = s->flags == GNTCOPY_dest_gref;
	union xengnttab_copy_ptr *there = to_guest ? &s->dest : &s->source;
	void *here = to_guest ? s->source.virt : s->dest.virt;
	struct grant *g;
	char *p;

	assert(to_guest || s->flags == GNTCOPY_source_gref);
	assert(s->len && there->foreign.offset + s->len <= PAGE);
	g = grant_find(there->foreign.ref, there->foreign.domid, to_guest);
	if (!g)
		return GNTST_bad_gntref;
	p = x.ram + g->frame * PAGE + there->foreign.offset;
	memcpy(to_guest ? p : here, to_guest ? here : p, s->len);
	return GNTST_okay;
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
			 xengnttab_grant_copy_segment_t *segs)
{
	uint32_t i;

	assert(xgt && xgt == x.xgt && count);
	if (call(FAKE_GRANT_COPY) < 0)
		return -1;
	for (i = 0; i < count; i++)
		segs[i].status = copy_one(&segs[i]);
	fake.copied += count;
	return 0;
}

/* ---- device model ---- */

xendevicemodel_handle *xendevicemodel_open(xentoollog_logger *logger,
					   unsigned int flags)
{
	(void)logger;
	(void)flags;
	assert(!x.dmod);
	x.dmod = handle_open(FAKE_DMOD_OPEN, sizeof(*x.dmod));
	return x.dmod;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
	assert(dmod && dmod == x.dmod);
	return handle_restrict(FAKE_DMOD_RESTRICT, domid, &dmod->restricted);
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	assert(dmod && dmod == x.dmod);
	free(dmod);
	x.dmod = NULL;
	return call(FAKE_DMOD_CLOSE);
}

static int dmop(enum fake_fn fn, const xendevicemodel_handle *dmod,
		domid_t domid)
{
	assert(dmod && dmod == x.dmod && dmod->restricted);
	assert(domid == FAKE_DOMID);
	return call(fn);
}

static int server_op(enum fake_fn fn, const xendevicemodel_handle *dmod,
		     domid_t domid, ioservid_t id)
{
	if (dmop(fn, dmod, domid) < 0)
		return -1;
	if (fake.created && id == FAKE_SERVER)
		return 0;
	errno = ENOENT;
	return -1;
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dmod,
				       domid_t domid, int handle_bufioreq,
				       ioservid_t *id)
{
	unsigned int i;

	if (dmop(FAKE_CREATE, dmod, domid) < 0)
		return -1;
	assert(!fake.created);
	fake.created = true;
	fake.bufioreq = handle_bufioreq;
	for (i = 0; i < MIN(fake.vcpus, FAKE_MAX_VCPUS + 0u); i++)
		fake.page->vcpu_ioreq[i].vp_eport = PORT_REMOTE + i;
	*id = FAKE_SERVER;
	return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dmod,
					domid_t domid, ioservid_t id)
{
	unsigned int i;

	if (server_op(FAKE_DESTROY, dmod, domid, id) < 0)
		return -1;
	for (i = 0; i < MIN(fake.vcpus, FAKE_MAX_VCPUS + 0u); i++)
		if (fake.page->vcpu_ioreq[i].state != STATE_IOREQ_NONE)
			fake.stuck++;
	fake.created = false;
	fake.enabled = false;
	fake.nranges = 0;
	return 0;
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dmod,
					  domid_t domid, ioservid_t id,
					  int enabled)
{
	if (server_op(enabled ? FAKE_ENABLE : FAKE_DISABLE, dmod, domid,
		      id) < 0)
		return -1;
	fake.enabled = enabled;
	return 0;
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod, domid_t domid,
			    unsigned int *vcpus)
{
	if (dmop(FAKE_NR_VCPUS, dmod, domid) < 0)
		return -1;
	*vcpus = fake.vcpus;
	return 0;
}

static int range_add(struct fake_range r)
{
	unsigned int i;

	for (i = 0; i < fake.nranges; i++) {
		if (fake.range[i].kind == r.kind &&
		    fake.range[i].start <= r.end &&
		    r.start <= fake.range[i].end) {
			errno = EEXIST;
			return -1;
		}
	}
	if (fake.nranges == FAKE_RECORDS) {
		errno = ENOSPC;
		return -1;
	}
	fake.range[fake.nranges++] = r;
	return 0;
}

static int range_del(struct fake_range r)
{
	unsigned int i;

	for (i = 0; i < fake.nranges; i++) {
		if (fake.range[i].kind == r.kind &&
		    fake.range[i].start == r.start &&
		    fake.range[i].end == r.end) {
			fake.range[i] = fake.range[--fake.nranges];
			return 0;
		}
	}
	errno = ENOENT;
	return -1;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dmod,
						domid_t domid, ioservid_t id,
						int is_mmio, uint64_t start,
						uint64_t end)
{
	assert(start <= end);
	if (server_op(FAKE_MAP_RANGE, dmod, domid, id) < 0)
		return -1;
	return range_add((struct fake_range){
		is_mmio ? FAKE_MEM : FAKE_PORT, start, end });
}

int xendevicemodel_unmap_io_range_from_ioreq_server(
	xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int is_mmio,
	uint64_t start, uint64_t end)
{
	if (server_op(FAKE_UNMAP_RANGE, dmod, domid, id) < 0)
		return -1;
	return range_del((struct fake_range){
		is_mmio ? FAKE_MEM : FAKE_PORT, start, end });
}

static struct fake_range pcidev(uint16_t segment, uint8_t bus, uint8_t device,
				uint8_t function)
{
	uint64_t sbdf = (uint64_t)segment << 16 | (uint64_t)bus << 8 |
			(uint64_t)device << 3 | function;

	assert(device < 32 && function < 8);
	return (struct fake_range){ FAKE_PCI, sbdf, sbdf };
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *dmod,
					      domid_t domid, ioservid_t id,
					      uint16_t segment, uint8_t bus,
					      uint8_t device, uint8_t function)
{
	if (server_op(FAKE_MAP_PCIDEV, dmod, domid, id) < 0)
		return -1;
	return range_add(pcidev(segment, bus, device, function));
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(
	xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
	uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
	if (server_op(FAKE_UNMAP_PCIDEV, dmod, domid, id) < 0)
		return -1;
	return range_del(pcidev(segment, bus, device, function));
}

int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid,
			      uint64_t msi_addr, uint32_t msi_data)
{
	if (dmop(FAKE_MSI, dmod, domid) < 0)
		return -1;
	fake.msi_addr = msi_addr;
	fake.msi_data = msi_data;
	return 0;
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod,
				      domid_t domid, uint16_t segment,
				      uint8_t bus, uint8_t device,
				      uint8_t intx, unsigned int level)
{
	assert(!segment && !bus && device < 32 && !intx && level <= 1);
	if (dmop(FAKE_INTX, dmod, domid) < 0)
		return -1;
	fake.intx_dev = device;
	fake.intx_level = level;
	return 0;
}

/* As Arm's GIC takes it: a level of 0 would do nothing. */
int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid,
				 unsigned int irq, unsigned int level)
{
	assert(level == 1);
	if (dmop(FAKE_IRQ, dmod, domid) < 0)
		return -1;
	fake.irq = irq;
	return 0;
}

/* ---- event channels ---- */

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
	(void)logger;
	(void)flags;
	assert(!x.evtchn);
	x.evtchn = handle_open(FAKE_EVTCHN_OPEN, sizeof(*x.evtchn));
	if (x.evtchn && pipe2(x.evtchn->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		abort();
	return x.evtchn;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
	assert(xce && xce == x.evtchn);
	return handle_restrict(FAKE_EVTCHN_RESTRICT, domid, &xce->restricted);
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	assert(xce && xce == x.evtchn);
	close(xce->pipe[0]);
	close(xce->pipe[1]);
	free(xce);
	x.evtchn = NULL;
	memset(x.bound, 0, sizeof(x.bound));
	memset(x.masked, 0, sizeof(x.masked));
	return call(FAKE_EVTCHN_CLOSE);
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	assert(xce && xce == x.evtchn);
	return xce->pipe[0];
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
						     uint32_t domid,
						     evtchn_port_t remote)
{
	unsigned int vcpu = remote - PORT_REMOTE;

	assert(xce && xce == x.evtchn && xce->restricted);
	assert(domid == FAKE_DOMID && fake.enabled);
	if (call(FAKE_BIND) < 0)
		return -1;
	assert(vcpu < fake.vcpus && !x.bound[vcpu]);
	x.bound[vcpu] = true;
	return (int)(PORT_LOCAL + vcpu);
}

/* The kernel masks what it hands out. */
static void deliver(unsigned int vcpu)
{
	evtchn_port_t port = PORT_LOCAL + vcpu;

	if (!x.bound[vcpu] || !x.pending[vcpu] || x.masked[vcpu])
		return;
	x.pending[vcpu] = false;
	x.masked[vcpu] = true;
	if (write(x.evtchn->pipe[1], &port, sizeof(port)) != sizeof(port))
		abort();
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	evtchn_port_t port;

	assert(xce && xce == x.evtchn);
	if (call(FAKE_PENDING) < 0)
		return -1;
	if (read(xce->pipe[0], &port, sizeof(port)) != sizeof(port))
		return -1;
	return (int)port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	unsigned int vcpu = port - PORT_LOCAL;

	assert(xce && xce == x.evtchn);
	assert(vcpu < FAKE_MAX_VCPUS && x.bound[vcpu]);
	if (call(FAKE_UNMASK) < 0)
		return -1;
	x.masked[vcpu] = false;
	deliver(vcpu);
	return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	unsigned int vcpu = port - PORT_LOCAL;

	assert(xce && xce == x.evtchn);
	assert(vcpu < FAKE_MAX_VCPUS && x.bound[vcpu]);
	if (call(FAKE_NOTIFY) < 0)
		return -1;
	fake.notified[vcpu]++;
	if (!fake.vcpus_dead)
		(void)fake_take(vcpu);	/* a stray event does no harm */
	return 0;
}

/* ---- a vCPU ---- */

void fake_send(unsigned int vcpu, const ioreq_t *req)
{
	ioreq_t *slot = &fake.page->vcpu_ioreq[vcpu];
	uint32_t port = slot->vp_eport;

	*slot = *req;
	slot->vp_eport = port;
	slot->state = STATE_IOREQ_READY;
	fake_raise(vcpu);
}

void fake_raise(unsigned int vcpu)
{
	x.pending[vcpu] = true;
	deliver(vcpu);
}

bool fake_take(unsigned int vcpu)
{
	ioreq_t *slot = &fake.page->vcpu_ioreq[vcpu];

	if (slot->state != STATE_IORESP_READY)
		return false;
	fake.taken[vcpu] = *slot;
	slot->state = STATE_IOREQ_NONE;
	return true;
}

bool fake_unmasked(void)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAX_VCPUS; i++)
		if (x.masked[i])
			return false;
	return true;
}

/* ---- libxenctrl ---- */

xc_interface *xc_interface_open(xentoollog_logger *logger,
				xentoollog_logger *dombuild_logger,
				unsigned int open_flags)
{
	(void)logger;
	(void)dombuild_logger;
	(void)open_flags;
	assert(!x.xc);
	x.xc = handle_open(FAKE_XC_OPEN, sizeof(*x.xc));
	return x.xc;
}

int xc_interface_close(xc_interface *xch)
{
	assert(xch && xch == x.xc);
	free(xch);
	x.xc = NULL;
	return call(FAKE_XC_CLOSE);
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain,
			  unsigned int max_domains, xc_domaininfo_t *info)
{
	assert(xch && xch == x.xc && max_domains == 1);
	if (call(FAKE_XC_INFO) < 0)
		return -1;
	if (fake.info_none || first_domain > fake.info_domid)
		return 0;
	memset(info, 0, sizeof(*info));
	info->domain = (domid_t)fake.info_domid;
	info->flags = fake.info_flags;
#if defined(__i386__) || defined(__x86_64__)
	info->arch_config.emulation_flags = fake.info_emulation;
#endif
	return 1;
}

/* ---- start and end ---- */

void fake_start(unsigned int vcpus)
{
	memset(&fake, 0, sizeof(fake));
	memset(&x, 0, sizeof(x));
	fake.vcpus = vcpus;
	fake.info_domid = FAKE_DOMID;
	x.page_fd = memfd_create("ioreq", MFD_CLOEXEC);
	x.ram_fd = memfd_create("guest", MFD_CLOEXEC);
	if (ftruncate(x.page_fd, PAGE) < 0 ||
	    ftruncate(x.ram_fd, (off_t)RAM_FRAMES * PAGE) < 0)
		abort();
	fake.page = __real_mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED, x.page_fd, 0);
	x.ram = __real_mmap(NULL, (size_t)RAM_FRAMES * PAGE,
			    PROT_READ | PROT_WRITE, MAP_SHARED, x.ram_fd, 0);
	x.extent = malloc(MAX_EXTENTS * sizeof(*x.extent));
	x.map = malloc(MAX_MAPS * sizeof(*x.map));
	assert(fake.page != MAP_FAILED && x.ram != MAP_FAILED && x.extent &&
	       x.map);
}

void fake_end(void)
{
	assert(!fake.maps && !fake.pages);
	assert(!fake.created);
	assert(!x.dmod && !x.fmem && !x.evtchn && !x.xc && !x.xgt && !x.resource);
	if (x.resource_left)
		munmap(x.resource_left->va, PAGE);
	free(x.resource_left);
	munmap(fake.page, PAGE);
	munmap(x.ram, (size_t)RAM_FRAMES * PAGE);
	close(x.page_fd);
	close(x.ram_fd);
	free(x.extent);
	free(x.map);
	memset(x.fail_times, 0, sizeof(x.fail_times));
}

static struct loop *turning;

static void turn_ends(struct loop_work *work)
{
	(void)work;
	loop_stop(turning, 0);
}

static bool events_left(void)
{
	int n = 0;

	return x.evtchn && ioctl(x.evtchn->pipe[0], FIONREAD, &n) == 0 && n;
}

void fake_turn(struct loop *loop)
{
	struct loop_work end = { .fn = turn_ends };
	unsigned int i;

	/* Once more than there are events, for what the last one deferred. */
	for (i = 0; i < 2 || events_left(); i++) {
		assert(i < 10000);
		turning = loop;
		loop_defer(loop, &end);
		(void)loop_run(loop);
	}
	loop_defer(loop, &end);
	(void)loop_run(loop);
}

void fake_guest_open(struct fake_guest *g)
{
	fake_guest_open_as(g, GUEST_PLAIN);
}

void fake_guest_open_as(struct fake_guest *g, unsigned int serves)
{
	fake_start(1);
	g->grants = NULL;
	g->dmod = xendevicemodel_open(NULL, 0);
	g->fmem = xenforeignmemory_open(NULL, 0);
	if (!g->dmod || !g->fmem ||
	    xendevicemodel_restrict(g->dmod, FAKE_DOMID) < 0 ||
	    xenforeignmemory_restrict(g->fmem, FAKE_DOMID) < 0 ||
	    loop_open(&g->loop) < 0 ||
	    ((serves & GUEST_GRANTS) &&
	     grants_open(FAKE_DOMID, &g->grants) < 0) ||
	    guest_mem_open(g->loop, FAKE_DOMID,
			   serves & GUEST_PLAIN ? g->fmem : NULL, g->grants,
			   &g->gm) < 0)
		abort();
}

void fake_guest_close(struct fake_guest *g)
{
	guest_mem_close(g->gm);
	grants_close(g->grants);
	loop_close(g->loop);
	xenforeignmemory_close(g->fmem);
	xendevicemodel_close(g->dmod);
	fake_end();
}
