/* SPDX-License-Identifier: MIT */
/*
 * Is the stand-in libxen what the path tests take it for?
 *
 * This program is both sides.  Run plainly it is the toy guest; it starts
 * itself again with an argument as a device model of a hundred lines that is
 * linked with the real libraries' names and versions and finds the stand-in in
 * their place.  "api" calls every function and looks at its errors, "grants"
 * those of libxengnttab; the other arguments serve one function at 00:10.0,
 * each with one fault of its own that the toy guest has to notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>		/* first: it decides what xen.h shows */

#include "path.h"
#include "server.h"

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xentoolcore.h>
#include <xen/memory.h>

#define DOM		7
#define DEV		0x10
#define REGS		0xf0000000ul	/* our registers, of 8 bytes each */
#define PORTS		0xc100

/* Registers of the little device: writing one does something. */
enum {
	REG_COPY = 0,		/* gpa: copy 8 bytes to gpa + 8 */
	REG_MSI = 8,
	REG_INTX = 16,
	REG_DROP = 24,		/* forget mappings */
	REG_SEEN = 32,		/* reads: invalidations seen */
	REG_KEEP = 40,		/* gpa: map it and never unmap */
	REG_GRANT = 48,		/* address: map the page granted by it */
	REG_PEEK = 56,		/* its first 8 bytes, read or written */
	REG_UNGRANT = 64,	/* unmap it */
	REG_FMEM = 72,		/* close the handle of foreign memory */
};

/* What is granted for the "grants" mode: by reference, 0x300 + n being gfns. */
enum { REF_0 = 20, REF_1_RO, REF_5, REF_HOLE, REF_NOT_OURS };

/* ---- the other side: a small device model ---- */

struct dm {
	xendevicemodel_handle	*d;
	xenforeignmemory_handle	*f;
	xenevtchn_handle	*e;
	struct xs_handle	*x;
	ioservid_t		id;
	xenforeignmemory_resource_handle *res;
	shared_iopage_t		*page;
	unsigned int		vcpus;
	int			port[4];
	uint32_t		cf8;
	uint64_t		invalidated;
	uint64_t		gfn;
	uint8_t			*map;
	xengnttab_handle	*g;
	uint64_t		*granted, *older;
	const char		*mode;
};

static uint8_t *dm_memory(struct dm *dm, uint64_t gpa)
{
	xen_pfn_t gfn = gpa >> 12;
	int err;

	if (dm->map && dm->gfn != gfn) {
		MUST(!xenforeignmemory_unmap(dm->f, dm->map, 1));
		dm->map = NULL;
	}
	if (!dm->map) {
		dm->map = xenforeignmemory_map(dm->f, DOM, PROT_READ |
					       PROT_WRITE, 1, &gfn, &err);
		MUST(dm->map && !err);
		dm->gfn = gfn;
	}
	return dm->map + (gpa & 4095);
}

static void dm_register(struct dm *dm, ioreq_t *q)
{
	xen_pfn_t gfn = q->data >> 12;
	uint8_t *p;
	int err;

	if (q->dir == IOREQ_READ) {
		q->data = q->addr - REGS == REG_SEEN ? dm->invalidated :
			  q->addr - REGS == REG_PEEK ? *dm->granted : 0x55;
		return;
	}
	switch (q->addr - REGS) {
	case REG_GRANT:
		dm->older = dm->granted;
		dm->granted = xengnttab_map_grant_ref(dm->g, DOM,
				toy_grant_ref(q->data), PROT_READ | PROT_WRITE);
		MUST(dm->granted);
		break;
	case REG_PEEK:
		*dm->granted = q->data;
		break;
	case REG_UNGRANT:
		MUST(!xengnttab_unmap(dm->g, dm->granted, 1));
		dm->granted = dm->older;
		dm->older = NULL;
		break;
	case REG_FMEM:
		MUST(!xenforeignmemory_close(dm->f));
		dm->f = NULL;
		break;
	case REG_COPY:
		p = dm_memory(dm, q->data);
		memcpy(p + 8, p, 8);
		break;
	case REG_MSI:
		MUST(!xendevicemodel_inject_msi(dm->d, DOM, 0xfee00000,
						q->data));
		break;
	case REG_INTX:
		MUST(!xendevicemodel_set_pci_intx_level(dm->d, DOM, 0, 0, DEV,
							0, q->data));
		break;
	case REG_DROP:
		if (dm->map)
			MUST(!xenforeignmemory_unmap(dm->f, dm->map, 1));
		dm->map = NULL;
		break;
	case REG_KEEP:
		MUST(xenforeignmemory_map(dm->f, DOM, PROT_READ, 1, &gfn,
					  &err));
		break;
	}
}

static void dm_answer(struct dm *dm, ioreq_t *q, unsigned int vcpu)
{
	uint8_t *cf8 = (uint8_t *)&dm->cf8 + (q->addr & 3);

	if (!strcmp(dm->mode, "dies"))
		_exit(5);
	switch (q->type) {
	case IOREQ_TYPE_PCI_CONFIG:
		/* slot, register and vCPU, to see that they arrived */
		q->data = (q->addr >> 32) << 16 | (q->addr & 0xff) << 8 | vcpu;
		break;
	case IOREQ_TYPE_PIO:
		if (q->addr >= PORTS)
			q->data = 0x77;
		else if (q->dir == IOREQ_READ)
			memcpy(&q->data, cf8, q->size);
		else
			memcpy(cf8, &q->data, q->size);
		break;
	case IOREQ_TYPE_COPY:
		dm_register(dm, q);
		break;
	case IOREQ_TYPE_INVALIDATE:
		dm->invalidated++;
		break;
	}
}

static void dm_look(struct dm *dm)
{
	unsigned int i;

	for (i = 0; i < dm->vcpus; i++) {
		ioreq_t *q = &dm->page->vcpu_ioreq[i];

		if (q->state != STATE_IOREQ_READY &&
		    q->state != STATE_IOREQ_INPROCESS)
			continue;
		__sync_synchronize();
		q->state = STATE_IOREQ_INPROCESS;
		if (!strcmp(dm->mode, "stops"))
			raise(SIGSTOP);
		dm_answer(dm, q, i);
		__sync_synchronize();
		if (!strcmp(dm->mode, "weird")) {
			q->state = 7;
		} else {
			if (!strcmp(dm->mode, "eport"))
				q->vp_eport = 1234;
			q->state = STATE_IORESP_READY;
		}
		if (strcmp(dm->mode, "mute"))
			MUST(!xenevtchn_notify(dm->e, dm->port[i]));
	}
}

static void dm_make_server(struct dm *dm)
{
	MUST(!xendevicemodel_create_ioreq_server(dm->d, DOM, 0, &dm->id));
	MUST(!xendevicemodel_map_pcidev_to_ioreq_server(dm->d, DOM, dm->id, 0,
							0, DEV, 0));
	MUST(!xendevicemodel_map_io_range_to_ioreq_server(dm->d, DOM, dm->id,
							  0, 0xcf8, 0xcfb));
	MUST(!xendevicemodel_map_io_range_to_ioreq_server(dm->d, DOM, dm->id,
						0, PORTS, PORTS + 3));
	MUST(!xendevicemodel_map_io_range_to_ioreq_server(dm->d, DOM, dm->id,
						1, REGS, REGS + 0xfff));
}

static void dm_close(struct dm *dm)
{
	if (dm->map)
		MUST(!xenforeignmemory_unmap(dm->f, dm->map, 1));
	if (dm->granted) {
		/* the guest is no more, its page still is */
		MUST(*dm->granted == 42);
		MUST(!xengnttab_unmap(dm->g, dm->granted, 1));
	}
	MUST(!xengnttab_close(dm->g));
	MUST(!xenforeignmemory_unmap_resource(dm->f, dm->res));
	MUST(!xendevicemodel_close(dm->d));
	MUST(!xenforeignmemory_close(dm->f));
	MUST(!xenevtchn_close(dm->e));
	xs_close(dm->x);
}

static int dm_main(const char *mode, int reuse)
{
	struct dm dm = { .mode = mode };
	struct pollfd p[2];
	void *page = NULL;
	unsigned int i;
	char **w;
	int port;

	MUST(dm.d = xendevicemodel_open(NULL, 0));
	MUST(dm.f = xenforeignmemory_open(NULL, 0));
	MUST(dm.e = xenevtchn_open(NULL, 0));
	MUST(dm.g = xengnttab_open(NULL, 0));
	MUST(dm.x = xs_open(0));
	MUST(xs_watch(dm.x, "@releaseDomain", "gone"));
	MUST(!xendevicemodel_restrict(dm.d, DOM));
	MUST(!xenforeignmemory_restrict(dm.f, DOM));
	MUST(!xenevtchn_restrict(dm.e, DOM));
	MUST(!xendevicemodel_nr_vcpus(dm.d, DOM, &dm.vcpus));
	if (reuse >= 0)
		dm.id = reuse;
	else
		dm_make_server(&dm);
	MUST(dm.res = xenforeignmemory_map_resource(dm.f, DOM,
			XENMEM_resource_ioreq_server, dm.id,
			XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &page,
			PROT_READ | PROT_WRITE, 0));
	dm.page = page;
	MUST(!xendevicemodel_set_ioreq_server_state(dm.d, DOM, dm.id, 1));
	for (i = 0; i < dm.vcpus; i++) {
		dm.port[i] = xenevtchn_bind_interdomain(dm.e, DOM,
					dm.page->vcpu_ioreq[i].vp_eport);
		MUST(dm.port[i] > 0);
	}
	server_ready();

	p[0] = (struct pollfd){ .fd = xenevtchn_fd(dm.e), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = xs_fileno(dm.x), .events = POLLIN };
	for (;;) {
		MUST(poll(p, 2, -1) > 0);
		if (p[0].revents) {
			port = xenevtchn_pending(dm.e);
			dm_look(&dm);
			MUST(!xenevtchn_unmask(dm.e, port));
		}
		while (p[1].revents && (w = xs_check_watch(dm.x))) {
			free(w);
			if (!xs_is_domain_introduced(dm.x, DOM)) {
				dm_close(&dm);
				return 0;
			}
		}
	}
}

/* ---- the other side: every function's errors ---- */

#define FAILS(x, err)							\
	do {								\
		errno = 0;						\
		MUST((long)(x) == -1 && errno == (err));		\
	} while (0)

static void api_servers(xendevicemodel_handle *d)
{
	ioservid_t id[8], more;
	int i;

	FAILS(xendevicemodel_create_ioreq_server(d, 99, 0, &more), ESRCH);
	FAILS(xendevicemodel_create_ioreq_server(d, DOM, 3, &more), EINVAL);
	for (i = 0; i < 8; i++)
		MUST(!xendevicemodel_create_ioreq_server(d, DOM, 0, &id[i]));
	FAILS(xendevicemodel_create_ioreq_server(d, DOM, 0, &more), ENOSPC);
	/* nobody minds two owners of one function */
	for (i = 0; i < 8; i++)
		MUST(!xendevicemodel_map_pcidev_to_ioreq_server(d, DOM, id[i],
								0, 0, 3, 0));
	FAILS(xendevicemodel_map_pcidev_to_ioreq_server(d, DOM, id[0], 0, 0, 3,
							0), EEXIST);
	FAILS(xendevicemodel_map_pcidev_to_ioreq_server(d, DOM, id[0], 0, 0,
							32, 0), EINVAL);
	MUST(!xendevicemodel_unmap_pcidev_from_ioreq_server(d, DOM, id[0], 0,
							    0, 3, 0));
	FAILS(xendevicemodel_unmap_pcidev_from_ioreq_server(d, DOM, id[0], 0,
							    0, 3, 0), ENOENT);
	for (i = 0; i < 8; i++)
		MUST(!xendevicemodel_destroy_ioreq_server(d, DOM, id[i]));
	FAILS(xendevicemodel_destroy_ioreq_server(d, DOM, 3), ENOENT);
	FAILS(xendevicemodel_set_ioreq_server_state(d, DOM, 3, 1), ENOENT);
	FAILS(xendevicemodel_map_io_range_to_ioreq_server(d, DOM, 3, 1, 0, 1),
	      ENOENT);
}

#define map_mem(d, id, from, to)					\
	xendevicemodel_map_io_range_to_ioreq_server(d, DOM, id, 1, from, to)
#define unmap_mem(d, id, from, to)					\
	xendevicemodel_unmap_io_range_from_ioreq_server(d, DOM, id, 1, from, to)

static void api_ranges(xendevicemodel_handle *d)
{
	ioservid_t id;
	int i;

	MUST(!xendevicemodel_create_ioreq_server(d, DOM, 0, &id));
	FAILS(map_mem(d, id, 0x2000, 0x1fff), EINVAL);
	MUST(!map_mem(d, id, 0x1000, 0x1fff));
	FAILS(map_mem(d, id, 0x1000, 0x1fff), EEXIST);
	FAILS(map_mem(d, id, 0x800, 0x1000), EEXIST);
	FAILS(map_mem(d, id, 0x1fff, 0x3000), EEXIST);
	FAILS(unmap_mem(d, id, 0x1000, 0x2000), ENOENT);
	/* neighbours are one range: its middle can be taken out */
	MUST(!map_mem(d, id, 0x2000, 0x2fff));
	MUST(!unmap_mem(d, id, 0x1800, 0x27ff));
	FAILS(unmap_mem(d, id, 0x1800, 0x27ff), ENOENT);
	MUST(!unmap_mem(d, id, 0x1000, 0x17ff));
	MUST(!unmap_mem(d, id, 0x2800, 0x2fff));
	for (i = 0; i < 256; i++)
		MUST(!map_mem(d, id, 0x10000 + i * 32, 0x10000 + i * 32 + 15));
	FAILS(map_mem(d, id, 0x1000, 0x1fff), ENOMEM);
	/* filling a gap frees one, ports are counted by themselves */
	MUST(!map_mem(d, id, 0x10010, 0x1001f));
	MUST(!map_mem(d, id, 0x1000, 0x1fff));
	MUST(!xendevicemodel_map_io_range_to_ioreq_server(d, DOM, id, 0, 1, 2));
	MUST(!xendevicemodel_destroy_ioreq_server(d, DOM, id));
}

static void api_pages(xendevicemodel_handle *d, xenforeignmemory_handle *f,
		      xenevtchn_handle *e)
{
	xenforeignmemory_resource_handle *r;
	ioservid_t id;
	void *addr = NULL;
	ioreq_t *slot;
	size_t size;
	int port;

	MUST(!xendevicemodel_create_ioreq_server(d, DOM, 0, &id));
#define map_page(dom, type, which, frame)				\
	(r = xenforeignmemory_map_resource(f, dom, type, which, frame, 1, \
		&addr, PROT_READ | PROT_WRITE, 0), r ? 0 : -1)
	FAILS(map_page(DOM, XENMEM_resource_ioreq_server, id + 1, 1), ENOENT);
	FAILS(map_page(99, XENMEM_resource_ioreq_server, id, 1), ESRCH);
	FAILS(map_page(DOM, XENMEM_resource_ioreq_server, id, 0), ENOENT);
	FAILS(map_page(DOM, XENMEM_resource_ioreq_server, id, 2), EINVAL);
	FAILS(map_page(DOM, XENMEM_resource_grant_table, id, 1), EOPNOTSUPP);
	MUST(!xenforeignmemory_resource_size(f, DOM,
			XENMEM_resource_ioreq_server, id, &size));
	MUST(size == 8192);
	MUST(!map_page(DOM, XENMEM_resource_ioreq_server, id, 1));
	slot = addr;
	MUST(!slot[0].vp_eport && !slot[1].vp_eport);
	MUST(!xendevicemodel_set_ioreq_server_state(d, DOM, id, 1));
	MUST(slot[0].vp_eport && slot[1].vp_eport && !slot[2].vp_eport);
	MUST(slot[0].vp_eport != slot[1].vp_eport);

	FAILS(xenevtchn_bind_interdomain(e, 99, slot[0].vp_eport), ESRCH);
	FAILS(xenevtchn_bind_interdomain(e, DOM, 999), EINVAL);
	port = xenevtchn_bind_interdomain(e, DOM, slot[0].vp_eport);
	MUST(port > 0);
	FAILS(xenevtchn_bind_interdomain(e, DOM, slot[0].vp_eport), EINVAL);
	MUST(!xenevtchn_unbind(e, port));
	FAILS(xenevtchn_unbind(e, port), ENOTCONN);
	FAILS(xenevtchn_notify(e, port), ENOTCONN);
	port = xenevtchn_bind_interdomain(e, DOM, slot[0].vp_eport);
	MUST(port > 0 && !xenevtchn_notify(e, port));
	/* one event for each binding, as Xen sends */
	MUST(xenevtchn_pending(e) > 0 && xenevtchn_pending(e) > 0);
	MUST(fcntl(xenevtchn_fd(e), F_SETFL, O_NONBLOCK) == 0);
	FAILS(xenevtchn_pending(e), EAGAIN);
	MUST(!xenevtchn_unmask(e, port) && !xenevtchn_unmask(e, 1234));
	MUST(!xenforeignmemory_unmap_resource(f, r));
	MUST(!xendevicemodel_destroy_ioreq_server(d, DOM, id));
}

static void api_memory(xenforeignmemory_handle *f)
{
	/* RAM, beyond it, RAM */
	xen_pfn_t gfn[3] = { 0x200, 0x80000, 0x201 };
	int err[3] = { 1, 1, 1 }, z = open("/dev/zero", O_RDONLY);
	uint8_t *p;

	p = xenforeignmemory_map(f, DOM, PROT_READ | PROT_WRITE, 3, gfn, err);
	MUST(p && !err[0] && err[1] == -EINVAL && !err[2]);
	p[0] = p[8192] = 1;
	MUST(read(z, p + 4096, 1) == -1 && errno == EFAULT);
	MUST(!xenforeignmemory_unmap(f, p, 3));
	errno = 0;
	p = xenforeignmemory_map(f, DOM, PROT_READ, 3, gfn, NULL);
	MUST(!p && errno == EINVAL);
	p = xenforeignmemory_map2(f, DOM, NULL, PROT_READ, MAP_SHARED, 1, gfn,
				  err);
	MUST(p && p[0] == 1 && read(z, p, 1) == -1 && errno == EFAULT);
	MUST(!xenforeignmemory_unmap(f, p, 1));
	p = xenforeignmemory_map(f, 99, PROT_READ, 1, gfn, err);
	MUST(p && err[0] == -ESRCH);
	MUST(!xenforeignmemory_unmap(f, p, 1));
	close(z);
}

/* What is mapped stays so without the handle, which maps no more. */
static void api_closed_memory(xendevicemodel_handle *d)
{
	xenforeignmemory_handle *f = xenforeignmemory_open(NULL, 0);
	xenforeignmemory_resource_handle *r;
	xen_pfn_t gfn = 0x202;
	void *addr = NULL;
	ioservid_t id;
	ioreq_t *slot;
	uint8_t *p;
	int err;

	MUST(f && !xendevicemodel_create_ioreq_server(d, DOM, 0, &id));
	r = xenforeignmemory_map_resource(f, DOM, XENMEM_resource_ioreq_server,
					  id, 1, 1, &addr, PROT_READ |
					  PROT_WRITE, 0);
	p = xenforeignmemory_map(f, DOM, PROT_READ | PROT_WRITE, 1, &gfn, &err);
	MUST(r && p && !err);
	MUST(!xenforeignmemory_close(f));
	errno = 0;
	MUST(!xenforeignmemory_map(f, DOM, PROT_READ, 1, &gfn, &err) &&
	     errno == EBADF);
	errno = 0;
	MUST(!xenforeignmemory_map_resource(f, DOM,
			XENMEM_resource_ioreq_server, id, 1, 1, &addr,
			PROT_READ, 0) && errno == EBADF);
	MUST(!xendevicemodel_set_ioreq_server_state(d, DOM, id, 1));
	slot = addr;
	MUST(slot[0].vp_eport);		/* of the page that Xen wrote to */
	p[0] = 2;
	MUST(!xenforeignmemory_unmap(f, p, 1));
	MUST(!xenforeignmemory_unmap_resource(NULL, r));
	MUST(!xendevicemodel_destroy_ioreq_server(d, DOM, id));
}

static void api_store(void)
{
	struct xs_handle *x = xs_open(0);
	unsigned int n;
	char **w, *s;

	MUST(x);
	s = xs_read(x, XBT_NULL, "/local/domain/7/name", &n);
	MUST(s && n == 3 && !strcmp(s, "toy"));
	free(s);
	errno = 0;
	MUST(!xs_read(x, XBT_NULL, "/nothing", &n) && errno == ENOENT);
	w = xs_directory(x, XBT_NULL, "/local/domain", &n);
	MUST(w && n == 1 && !strcmp(w[0], "7"));
	free(w);
	s = xs_get_domain_path(x, DOM);
	MUST(s && !strcmp(s, "/local/domain/7"));
	free(s);
	MUST(xs_is_domain_introduced(x, DOM) &&
	     !xs_is_domain_introduced(x, 99));

	MUST(xs_watch(x, "/a", "tok"));
	w = xs_read_watch(x, &n);
	MUST(w && n == 2 && !strcmp(w[XS_WATCH_PATH], "/a") &&
	     !strcmp(w[XS_WATCH_TOKEN], "tok"));
	free(w);
	errno = 0;
	MUST(!xs_check_watch(x) && errno == EAGAIN);
	MUST(xs_write(x, XBT_NULL, "/a/b", "1", 1) &&
	     xs_write(x, XBT_NULL, "/ab", "1", 1));
	w = xs_check_watch(x);
	MUST(w && !strcmp(w[XS_WATCH_PATH], "/a/b"));
	free(w);
	MUST(!xs_check_watch(x));
	MUST(xs_rm(x, XBT_NULL, "/a"));
	w = xs_check_watch(x);
	MUST(w && !xs_rm(x, XBT_NULL, "/a"));
	free(w);
	MUST(xs_unwatch(x, "/a", "tok") && !xs_unwatch(x, "/a", "tok"));
	xs_close(x);
}

static void api_ctrl(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	xc_domaininfo_t info[3];
	xc_dominfo_t one;

	MUST(xch && g);
	MUST(xc_version(xch, 0 /* XENVER_version */, NULL) == (4 << 16 | 17));
	MUST(xc_domain_getinfolist(xch, 0, 3, info) == 2 && !info[0].domain &&
	     info[1].domain == DOM && info[1].max_vcpu_id == 1);
	MUST(xc_domain_getinfolist(xch, 99, 1, info) == 0);
	MUST(xc_domain_getinfo(xch, DOM, 1, &one) == 1 && one.hvm);
	MUST(!xc_domain_pause(xch, DOM) && !xc_domain_unpause(xch, DOM));
	FAILS(xc_domain_unpause(xch, DOM), EINVAL);
	FAILS(xc_domain_pause(xch, 99), ESRCH);
	MUST(!xengnttab_close(g) && !xc_interface_close(xch));
}

/* ---- the other side: grants ---- */

#define NO_MAP(x, err)							\
	do {								\
		errno = 0;						\
		MUST(!(x) && errno == (err));				\
	} while (0)

/* Whatever is wrong with a grant, the kernel says EINVAL, and nothing stays
 * mapped of the others. */
static void grants_refused(xengnttab_handle *g, struct hyp *h)
{
	const struct hyp_gnttab *now = &h->dom[0].gnttab;
	uint32_t wrong[] = { REF_1_RO, REF_HOLE, REF_NOT_OURS, 999, 1 << 20 };
	uint32_t many[3] = { REF_0, REF_0, REF_5 };
	uint32_t refs[3] = { REF_0, 0, REF_5 };
	uint32_t doms[3] = { DOM, 99, DOM };
	const int rw = PROT_READ | PROT_WRITE;
	unsigned int i;
	void *p;

	for (i = 0; i < 5; i++) {
		refs[1] = wrong[i];
		NO_MAP(xengnttab_map_grant_ref(g, DOM, wrong[i], rw), EINVAL);
		NO_MAP(xengnttab_map_domain_grant_refs(g, 3, DOM, refs, rw),
		       EINVAL);
		NO_MAP(xengnttab_map_domain_grant_refs(g, 3, DOM, refs,
						       PROT_WRITE), EINVAL);
	}
	NO_MAP(xengnttab_map_grant_refs(g, 3, doms, many, rw), EINVAL);
	NO_MAP(xengnttab_map_domain_grant_refs(g, 0, DOM, many, rw), EINVAL);
	NO_MAP(xengnttab_map_domain_grant_refs(g, 65537, DOM, many, rw),
	       EINVAL);
	/* so is dom0's table full; the guest cannot help that */
	h->maptrack_limit = 2;
	NO_MAP(xengnttab_map_domain_grant_refs(g, 3, DOM, many, rw), EINVAL);
	MUST(!now->mapped && now->most_mapped == 2 && now->maps == now->unmaps);
	p = xengnttab_map_domain_grant_refs(g, 2, DOM, many, rw);
	MUST(p && now->mapped == 2 && now->entry[REF_0].writes == 2);
	NO_MAP(xengnttab_map_grant_ref(g, DOM, REF_5, PROT_READ), EINVAL);
	h->maptrack_limit = 0;
	MUST(!xengnttab_unmap(g, p, 2) && !now->mapped);
}

static void grants_mapped(xengnttab_handle *g, uint64_t *page[3],
			  const struct hyp_gnttab *now)
{
	uint32_t refs[3] = { REF_0, REF_5, REF_1_RO }, doms[3] = { 7, 7, 7 };
	int z = open("/dev/zero", O_RDONLY);
	uint64_t *p;
	char *q;

	MUST(!xengnttab_set_max_grants(g, 64) && xengnttab_fd(g) >= 0);
	/* wherever they are in the guest, here they are in a row */
	q = xengnttab_map_grant_refs(g, 3, doms, refs, PROT_READ);
	MUST(q && now->mapped == 3 && !now->entry[REF_0].writes);
	MUST(!memcmp(q, page[0], 4096) && !memcmp(q + 4096, page[2], 4096) &&
	     !memcmp(q + 8192, page[1], 4096));
	MUST(read(z, q, 1) == -1 && errno == EFAULT);
	p = xengnttab_map_grant_ref(g, DOM, REF_0, PROT_READ | PROT_WRITE);
	MUST(p && now->entry[REF_0].maps == 2 &&
	     now->entry[REF_0].writes == 1);
	p[9] = 99;
	MUST(page[0][9] == 99 && ((uint64_t *)q)[9] == 99);
	page[0][9] = 9;
	MUST(p[9] == 9);

	FAILS(xengnttab_unmap(g, NULL, 3), EINVAL);
	FAILS(xengnttab_unmap(g, q, 2), EINVAL);
	FAILS(xengnttab_unmap(g, q + 4096, 2), EINVAL);
	FAILS(xengnttab_unmap(g, page[0], 1), EINVAL);
	MUST(now->mapped == 4);
	MUST(!xengnttab_unmap(g, q, 3));
	FAILS(xengnttab_unmap(g, q, 3), EINVAL);
	MUST(!xengnttab_unmap(g, p, 1));
	MUST(!now->mapped && !now->entry[REF_0].maps);
	close(z);
}

static xengnttab_grant_copy_segment_t grab(void *to, uint32_t ref,
					   uint32_t offset, uint32_t len)
{
	xengnttab_grant_copy_segment_t s = {
		.flags = GNTCOPY_source_gref, .len = len, .status = 77,
	};

	s.source.foreign.ref = ref;
	s.source.foreign.offset = offset;
	s.source.foreign.domid = DOM;
	s.dest.virt = to;
	return s;
}

static xengnttab_grant_copy_segment_t put(const void *from, uint32_t ref,
					  uint32_t offset, uint32_t len)
{
	xengnttab_grant_copy_segment_t s = {
		.flags = GNTCOPY_dest_gref, .len = len, .status = 77,
	};

	s.source.virt = (void *)from;
	s.dest.foreign.ref = ref;
	s.dest.foreign.offset = offset;
	s.dest.foreign.domid = DOM;
	return s;
}

/* Xen says of each segment what is wrong with it, and copies the others. */
static void grants_copied(xengnttab_handle *g, uint64_t *page[3],
			  const struct hyp_gnttab *now)
{
	static char buf[4 * 4096] __attribute__((aligned(4096)));
	xengnttab_grant_copy_segment_t s[] = {
		grab(buf, REF_0, 0, 4096),
		grab(buf + 12288, REF_1_RO, 4090, 6),
		put(buf, REF_1_RO, 0, 8),
		put("abcdefgh", REF_5, 4088, 8),
		grab(buf, REF_HOLE, 0, 8),
		grab(buf, REF_NOT_OURS, 0, 8),
		grab(buf, 999, 0, 8),
		grab(buf, 1 << 20, 0, 8),
		grab(buf, REF_0, 0, 8),
		grab(buf, 999, 0, 0),
		grab(buf + 4096 + 10, REF_5, 0, 4096),	/* to two pages */
	};
	const int16_t want[] = {
		0, 0, GNTST_general_error, 0, GNTST_bad_page,
		GNTST_general_error, GNTST_general_error, GNTST_bad_gntref,
		GNTST_bad_domain, 0, 0,
	};
	unsigned int i;

	s[8].source.foreign.domid = 99;
	MUST(!xengnttab_grant_copy(g, 11, s));
	for (i = 0; i < 11; i++)
		if (s[i].status != want[i]) {
			printf("segment %u: status %d\n", i, s[i].status);
			exit(3);
		}
	MUST(!memcmp(buf, page[0], 4096));
	MUST(!memcmp(buf + 12288, (char *)page[1] + 4090, 6));
	MUST(!memcmp(buf + 4096 + 10, page[2], 4096));
	MUST(!memcmp((char *)page[2] + 4088, "abcdefgh", 8));
	MUST(page[1][0] == 0x301000 && !now->mapped);
	MUST(now->copies == 5 && now->copied_bytes == 4096 + 6 + 8 + 4096);
}

/* What makes no sense to the kernel fails the call, with all that waited for
 * the same hypercall. */
static void grants_nonsense(xengnttab_handle *g, uint64_t *page[3],
			    struct hyp *h)
{
	char buf[64] = "as it was";
	xengnttab_grant_copy_segment_t s[3] = {
		grab(buf, REF_0, 0, 8), grab(buf, REF_0, 4091, 6),
		grab(buf, REF_0, 0, 8),
	};

	FAILS(xengnttab_grant_copy(g, 2, s), EINVAL);
	MUST(!s[0].status && s[1].status == 77 && !strcmp(buf, "as it was"));
	s[1] = put(buf, REF_0, 4096, 1);
	FAILS(xengnttab_grant_copy(g, 2, s), EINVAL);
	s[1].flags = 0;
	FAILS(xengnttab_grant_copy(g, 2, s), EINVAL);
	MUST(!xengnttab_grant_copy(g, 0, s));
	/* from grant to grant is fine */
	s[1] = put(NULL, REF_5, 16, 8);
	s[1].flags |= GNTCOPY_source_gref;
	s[1].source.foreign.ref = REF_1_RO;
	s[1].source.foreign.offset = 8;
	s[1].source.foreign.domid = DOM;
	MUST(!xengnttab_grant_copy(g, 1, &s[1]) && !s[1].status);
	MUST(page[2][2] == page[1][1]);
	/* and one may be made to fail */
	h->copy_fail_status = GNTST_eagain;
	h->copy_fail_first = h->copy_segs + 2;
	h->copy_fail_times = 1;
	s[1] = grab(buf + 16, REF_0, 0, 8);
	MUST(!xengnttab_grant_copy(g, 3, s));
	MUST(!s[0].status && s[1].status == GNTST_eagain && !s[2].status);
	MUST(!buf[16]);
}

/* One page, and nothing else of the guest, until killed. */
static int holder_main(void)
{
	xengnttab_handle *g = xengnttab_open(NULL, 0);

	MUST(g && xengnttab_map_grant_ref(g, DOM, REF_0, PROT_READ));
	server_ready();
	return pause();
}

static int grants_main(void)
{
	xenforeignmemory_handle *f = xenforeignmemory_open(NULL, 0);
	xengnttab_handle *g = xengnttab_open(NULL, 0);
	xengnttab_grant_copy_segment_t s;
	xen_pfn_t gfn[3] = { 0x300, 0x301, 0x305 };
	uint64_t *page[3], *p, *q;
	struct hyp_view v;
	char *all;
	int i;

	/* the other way to the same pages */
	MUST(f && g && !hyp_attach(getenv(HYP_ENV), &v));
	all = xenforeignmemory_map(f, DOM, PROT_READ | PROT_WRITE, 3, gfn,
				   NULL);
	MUST(all);
	for (i = 0; i < 3; i++)
		page[i] = (uint64_t *)(all + 4096 * i);
	grants_refused(g, v.hyp);
	grants_mapped(g, page, &v.hyp->dom[0].gnttab);
	grants_copied(g, page, &v.hyp->dom[0].gnttab);
	grants_nonsense(g, page, v.hyp);
	MUST(!xenforeignmemory_unmap(f, all, 3) && !xenforeignmemory_close(f));

	/* to be restricted is to lose gntdev, and mappings outlive it */
	p = xengnttab_map_grant_ref(g, DOM, REF_0, PROT_READ);
	MUST(p && !xentoolcore_restrict_all(DOM));
	NO_MAP(xengnttab_map_grant_ref(g, DOM, REF_0, PROT_READ), ENOTTY);
	FAILS(xengnttab_unmap(g, p, 1), ENOTTY);
	s = grab(&i, REF_0, 0, 4);
	FAILS(xengnttab_grant_copy(g, 1, &s), ENOTTY);
	MUST(!xengnttab_set_max_grants(g, 64));
	MUST(!xengnttab_close(g));
	NO_MAP(xengnttab_map_grant_ref(g, DOM, REF_0, PROT_READ), EBADF);
	MUST(p[0] == 0x300000);
	MUST(hyp_grant_del(&v, DOM, REF_0) == -EBUSY);

	/* whoever was not restricted goes on */
	g = xengnttab_open(NULL, 0);
	q = g ? xengnttab_map_grant_ref(g, DOM, REF_5, PROT_READ) : NULL;
	MUST(q && !xengnttab_unmap(g, q, 1) && !xengnttab_close(g));
	hyp_detach(&v);
	return 0;
}

static int api_main(void)
{
	xendevicemodel_handle *d = xendevicemodel_open(NULL, 0);
	xenforeignmemory_handle *f = xenforeignmemory_open(NULL, 0);
	xenevtchn_handle *e = xenevtchn_open(NULL, 0);
	struct xs_handle *x = xs_open(0);
	xen_pfn_t gfn = 1;
	ioservid_t id;
	int err;

	MUST(d && f && e && x);
	api_servers(d);
	api_ranges(d);
	api_pages(d, f, e);
	api_memory(f);
	api_closed_memory(d);
	api_store();
	api_ctrl();

	MUST(!xentoolcore_restrict_all(DOM));
	FAILS(xendevicemodel_create_ioreq_server(d, 8, 0, &id), EPERM);
	FAILS(xendevicemodel_restrict(d, 8), EINVAL);
	FAILS(xenevtchn_bind_interdomain(e, 8, 1), EACCES);
	FAILS(xenevtchn_restrict(e, DOM), EACCES);
	errno = 0;
	MUST(!xenforeignmemory_map(f, 8, PROT_READ, 1, &gfn, &err) &&
	     errno == EPERM);
	MUST(!xs_is_domain_introduced(x, DOM));
	MUST(!xendevicemodel_create_ioreq_server(d, DOM, 0, &id));
	MUST(!xendevicemodel_destroy_ioreq_server(d, DOM, id));
	MUST(!xendevicemodel_close(d) && !xenforeignmemory_close(f) &&
	     !xenevtchn_close(e));
	xs_close(x);
	return 0;
}

/* ---- this side ---- */

static struct toy_proc *start(struct toy *t, const char *mode, const char *id)
{
	struct toy_proc *p = toy_spawn(t, "/proc/self/exe", mode, id, NULL);

	if (toy_ready(p, TOY_MS))
		fail_msg("not ready: %s", toy_log(p));
	return p;
}

/* The domain is destroyed, and stays while @p lives. */
static void zombie_until_killed(struct toy *t, struct toy_proc *p)
{
	toy_destroy(t);
	assert_int_equal(toy_reap(t), -EBUSY);
	toy_kill(p, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 128 + SIGKILL);
	assert_int_equal(toy_reap(t), 0);
}

static int setup(void **state)
{
	*state = toy_new(&(struct toy_conf){ .domid = DOM, .vcpus = 2 });
	return 0;
}

static int teardown(void **state)
{
	toy_free(*state);
	return 0;
}

static void test_api(void **state)
{
	struct toy_proc *p = toy_spawn(*state, "/proc/self/exe", "api", NULL);

	if (toy_exit(p, TOY_MS))
		fail_msg("%s", toy_log(p));
	assert_int_equal(toy_servers(*state), 0);
	/* the one page that was mapped when its handle was closed */
	assert_int_equal(((struct toy *)*state)->xen.hyp->leaked_maps, 1);
}

static void give(struct toy *t, uint32_t ref, uint64_t gfn, uint32_t to,
		 bool readonly)
{
	unsigned int i;
	uint64_t *p;

	assert_int_equal(hyp_grant_add(&t->xen, DOM, ref, gfn, to, readonly),
			 0);
	if (gfn > 0x400)
		return;
	p = toy_ptr(t, gfn << 12, 4096);
	for (i = 0; i < 512; i++)
		p[i] = gfn << 12 | i;
}

static void test_grants(void **state)
{
	struct toy *t = *state;
	const struct hyp_gnttab *g = &t->dom->gnttab;
	struct toy_proc *p;

	give(t, REF_0, 0x300, 0, false);
	give(t, REF_1_RO, 0x301, 0, true);
	give(t, REF_5, 0x305, 0, false);
	give(t, REF_HOLE, 0x80000, 0, false);
	give(t, REF_NOT_OURS, 0x306, 3, false);
	assert_int_equal(hyp_grant_add(&t->xen, DOM, REF_5, 0x307, 0, false),
			 -EBUSY);
	p = toy_spawn(t, "/proc/self/exe", "grants", NULL);
	if (toy_exit(p, TOY_MS))
		fail_msg("%s", toy_log(p));
	assert_int_equal(t->xen.hyp->leaked_maps, 1);
	assert_int_equal(t->xen.hyp->grants_in_use, 1);
	assert_int_equal(g->most_mapped, 4);
	/* a process that ended has nothing mapped */
	assert_int_equal(hyp_grant_del(&t->xen, DOM, REF_0), 0);
	assert_int_equal(hyp_grant_del(&t->xen, DOM, REF_0), -ENOENT);
	assert_int_equal(g->mapped, 0);
	assert_int_equal(g->maps, g->unmaps);
	assert_int_equal(g->given, 4);
	assert_int_equal(toy_calls(t, "xengnttab_map_grant_refs"), 2);
}

/* The guest's side alone: references in a row, and none too early again. */
static void test_granting(void **state)
{
	struct toy *t = *state;
	uint64_t gpa = toy_alloc(t, 3 * 4096, 4096), one, two, page[2];
	const struct hyp_grant *e = t->dom->gnttab.entry;
	uint32_t ref, i;

	one = toy_grant(t, gpa + 4000, 200, true);
	ref = toy_grant_ref(one);
	assert_int_equal(one, TOY_GRANT | (uint64_t)ref << 12 | 4000);
	assert_true(ref >= 8 && e[ref].given && e[ref + 1].given);
	assert_true(e[ref].readonly && e[ref + 1].readonly);
	assert_int_equal(e[ref + 1].gfn, (gpa >> 12) + 1);
	assert_int_equal(t->dom->gnttab.given, 2);
	assert_int_equal(toy_revoke(t, one, 200), 0);
	assert_int_equal(t->dom->gnttab.given, 0);
	page[0] = gpa + 8192;
	page[1] = gpa;
	two = toy_grant_pages(t, page, 2, false);
	assert_int_equal(toy_grant_ref(two), ref + 2);
	assert_int_equal(e[ref + 2].gfn, page[0] >> 12);
	assert_int_equal(e[ref + 3].gfn, page[1] >> 12);
	assert_false(e[ref + 3].readonly);
	/* round the table, but not over its end, nor over what is given */
	for (i = 0; i < HYP_GRANTS; i += 2) {
		one = toy_grant(t, gpa, 4097, true);
		assert_false(toy_grant_ref(one) == ref + 2);
		assert_int_equal(toy_revoke(t, one, 4097), 0);
	}
	assert_int_equal(hyp_grant_alloc(&t->xen, DOM, HYP_GRANTS, &gpa, 0,
					 true, &ref), -ENOSPC);
	assert_int_equal(t->xen.hyp->grants_in_use, 0);
}

static void test_revocation(void **state)
{
	struct toy *t = *state;
	uint64_t gpa = toy_alloc(t, 4096, 4096), addr, *p;
	struct toy_proc *dm = start(t, "good", NULL);

	p = toy_ptr(t, gpa, 4096);
	addr = toy_grant(t, gpa, 4096, false);
	p[0] = 42;
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, addr);
	assert_int_equal(toy_mem_read(t, 0, REGS + REG_PEEK, 8), 42);
	toy_mem_write(t, 0, REGS + REG_PEEK, 8, 43);
	assert_int_equal(p[0], 43);
	assert_int_equal(toy_revoke(t, addr, 4096), -EBUSY);
	assert_int_equal(t->xen.hyp->grants_in_use, 1);
	/* the page that was there when it was mapped */
	toy_balloon(t, 0, gpa);
	assert_int_equal(toy_mem_read(t, 0, REGS + REG_PEEK, 8), 43);
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, addr);
	assert_int_equal(toy_mem_read(t, 0, REGS + REG_PEEK, 8), 43);
	toy_mem_write(t, 0, REGS + REG_UNGRANT, 8, 0);
	toy_mem_write(t, 0, REGS + REG_UNGRANT, 8, 0);
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, addr);
	assert_int_equal(toy_mem_read(t, 0, REGS + REG_PEEK, 8), 0);
	toy_mem_write(t, 0, REGS + REG_UNGRANT, 8, 0);
	assert_int_equal(toy_revoke(t, addr, 4096), 0);
	assert_no_fault(t);

	/* who dies gives it back */
	addr = toy_grant(t, gpa, 4096, false);
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, addr);
	toy_kill(dm, SIGKILL);
	assert_int_equal(toy_exit(dm, TOY_MS), 128 + SIGKILL);
	assert_int_equal(t->dom->gnttab.mapped, 1);
	assert_int_equal(toy_revoke(t, addr, 4096), 0);
	assert_int_equal(t->xen.hyp->grants_in_use, 1);
	/* also to one who opens the next handle */
	dm = start(t, "good", NULL);
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, toy_grant(t, gpa, 8, false));
	toy_kill(dm, SIGKILL);
	assert_int_equal(toy_exit(dm, TOY_MS), 128 + SIGKILL);
	start(t, "good", NULL);
	assert_int_equal(t->dom->gnttab.mapped, 0);
}

/* A domain that dies stays as long as its pages are mapped, and they too. */
static void test_granted_zombie(void **state)
{
	struct toy *t = *state;
	uint64_t gpa = toy_alloc(t, 4096, 4096);
	struct toy_proc *p = start(t, "good", NULL);

	*(uint64_t *)toy_ptr(t, gpa, 8) = 42;
	toy_mem_write(t, 0, REGS + REG_GRANT, 8, toy_grant(t, gpa, 8, false));
	toy_mem_write(t, 0, REGS + REG_FMEM, 8, 0);
	toy_kill(p, SIGSTOP);
	toy_destroy(t);
	assert_int_equal(toy_reap(t), -EBUSY);
	toy_kill(p, SIGCONT);
	if (toy_exit(p, TOY_MS))
		fail_msg("%s", toy_log(p));
	assert_int_equal(t->dom->gnttab.mapped, 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_int_equal(toy_reap(t), 0);
}

static void test_granted_page_held(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p;

	give(t, REF_0, 0x300, 0, true);
	p = start(t, "holds", NULL);
	zombie_until_killed(t, p);
}

/* An ioreq page holds a domain too, whether or not there is a handle. */
static void test_closed_zombie(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p = start(t, "good", NULL);

	toy_mem_write(t, 0, REGS + REG_FMEM, 8, 0);
	assert_int_equal(toy_mem_read(t, 0, REGS, 8), 0x55);
	toy_kill(p, SIGSTOP);
	toy_destroy(t);
	assert_int_equal(toy_reap(t), -EBUSY);
	toy_kill(p, SIGCONT);
	if (toy_exit(p, TOY_MS))
		fail_msg("%s", toy_log(p));
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_int_equal(toy_reap(t), 0);
}

static void *other_vcpu(void *arg)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		if (toy_mem_read(arg, 1, REGS, 8) != 0x55)
			toy_set_fault(arg, "vcpu 1: read %u", i);
	return NULL;
}

static void test_accesses(void **state)
{
	struct toy *t = *state;
	unsigned int bdf[4], i;
	pthread_t other;

	/* nobody there: all ones, of the size asked for */
	assert_int_equal(toy_cfg_read(t, 0, TOY_BDF(DEV), 0, 4), 0xffffffff);
	start(t, "good", NULL);
	pthread_create(&other, NULL, other_vcpu, t);
	for (i = 0; i < 1000; i++)
		assert_int_equal(toy_cfg_read(t, 0, TOY_BDF(DEV), 0x26, 4),
				 TOY_BDF(DEV) << 16 | 0x26 << 8);
	pthread_join(other, NULL);
	assert_int_equal(toy_cfg_read(t, 1, TOY_BDF(DEV), 4, 1), 1);
	assert_int_equal(toy_cfg_read(t, 0, TOY_BDF(DEV + 1), 0, 2), 0xffff);
	assert_int_equal(toy_pci_scan(t, bdf, 4), 1);
	assert_int_equal(bdf[0], TOY_BDF(DEV));
	/* the latch, and what is narrower than Xen's own */
	toy_pio_write(t, 0, 0xcf8, 4, 0x80001234);
	assert_int_equal(toy_pio_read(t, 0, 0xcf8, 4), 0x80001234);
	toy_pio_write(t, 0, 0xcfb, 1, 0);
	assert_int_equal(toy_pio_read(t, 0, 0xcf8, 4), 0x1234);
	assert_int_equal(t->dom->cf8, 0x80001234);
	/* a range must hold all of the access */
	assert_int_equal(toy_pio_read(t, 0, PORTS + 3, 1), 0x77);
	assert_int_equal(toy_pio_read(t, 0, PORTS + 2, 4), 0xffffffff);
	assert_int_equal(toy_mem_read(t, 0, REGS + 0xffc, 8), ~0ull);
	assert_no_fault(t);
}

static void test_newest_server_wins(void **state)
{
	struct toy *t = *state;
	uint16_t id;

	start(t, "good", NULL);
	assert_int_equal(hyp_server_create(&t->xen, DOM, 0, &id), 0);
	assert_int_equal(hyp_server_map(&t->xen, DOM, id, RANGE_MEMORY, REGS,
					REGS + 7), 0);
	assert_int_equal(toy_mem_read(t, 0, REGS, 8), 0x55);
	assert_int_equal(hyp_server_enable(&t->xen, DOM, id, true), 0);
	/* enabled without a page: that is ours to notice */
	assert_int_equal(toy_mem_read(t, 0, REGS, 8), ~0ull);
	assert_non_null(strstr(toy_fault(t), "without a page"));
}

static void test_memory(void **state)
{
	struct toy *t = *state;
	uint64_t gpa = toy_alloc(t, 4096, 4096);
	uint64_t *p = toy_ptr(t, gpa, 4096), *old;

	start(t, "good", NULL);
	p[0] = 42;
	toy_mem_write(t, 0, REGS + REG_COPY, 8, gpa);
	assert_int_equal(p[1], 42);

	/* a mapping made before is one of the page that was there before */
	old = toy_frame(t, gpa);
	toy_balloon(t, 0, gpa);
	assert_int_equal(toy_mem_read(t, 0, REGS + REG_SEEN, 8), 1);
	assert_int_equal(p[0], 0);
	p[0] = 43;
	old[0] = 44;
	toy_mem_write(t, 0, REGS + REG_COPY, 8, gpa);
	assert_int_equal(p[1], 0);
	assert_int_equal(old[1], 44);
	toy_mem_write(t, 0, REGS + REG_DROP, 8, 0);
	toy_mem_write(t, 0, REGS + REG_COPY, 8, gpa);
	assert_int_equal(p[1], 43);
	toy_frame_put(old);
	assert_no_fault(t);
}

static void test_interrupts(void **state)
{
	struct toy *t = *state;

	start(t, "good", NULL);
	assert_int_equal(toy_msi_wait(t, 0xfee00000, 0x31, 0, 0), -ETIMEDOUT);
	toy_mem_write(t, 0, REGS + REG_MSI, 8, 0x31);
	toy_mem_write(t, 0, REGS + REG_MSI, 8, 0x31);
	assert_int_equal(toy_msi_wait(t, 0xfee00000, 0x31, 1, TOY_MS), 0);
	assert_int_equal(toy_msi_count(t, 0xfee00000, 0x31), 2);
	assert_int_equal(toy_msi_count(t, 0xfee00000, 0x32), 0);
	toy_mem_write(t, 0, REGS + REG_INTX, 8, 1);
	assert_int_equal(toy_intx_wait(t, DEV, 0, 1, TOY_MS), 0);
	toy_mem_write(t, 0, REGS + REG_INTX, 8, 0);
	assert_int_equal(toy_intx_wait(t, DEV, 0, 0, TOY_MS), 0);
	assert_int_equal(t->dom->intx_rises[DEV][0], 1);
	assert_no_fault(t);
}

/* What a real guest would hang or be crashed for is a fault. */
static void test_faults(void **state)
{
	static const struct {
		const char	*mode, *fault;
		int		reads;
	} bad[] = {
		{ "mute", "no answer, or no notification", 1 },
		{ "weird", "weird state", 1 },
		{ "dies", "the daemon is dead", 1 },
		{ "eport", "vp_eport", 2 },
	};
	struct toy_proc *p;
	struct toy *t;
	unsigned int i;
	int n;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		toy_free(*state);
		*state = t = toy_new(&(struct toy_conf){ .domid = DOM });
		p = start(t, bad[i].mode, NULL);
		t->io_ms = strcmp(bad[i].mode, "mute") ? TOY_MS : 100;
		for (n = 0; n < bad[i].reads; n++) {
			assert_no_fault(t);
			toy_mem_read(t, 0, REGS, 8);
		}
		assert_non_null(toy_fault(t));
		assert_non_null(strstr(toy_fault(t), bad[i].fault));
		if (!strcmp(bad[i].mode, "dies"))
			assert_int_equal(toy_exit(p, TOY_MS), 5);
	}
}

static void test_destruction(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p = start(t, "good", NULL);

	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_int_equal(toy_cfg_read(t, 0, TOY_BDF(DEV), 0, 4), 0xffffffff);
	assert_int_equal(toy_reap(t), 0);
	assert_int_equal(toy_reap(t), -ESRCH);
	assert_no_fault(t);
}

static void test_zombie(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p = start(t, "good", NULL);

	toy_mem_write(t, 0, REGS + REG_KEEP, 8, 0x200000);
	toy_kill(p, SIGSTOP);
	zombie_until_killed(t, p);
}

/* Killed in the middle of a request, taken over by the next one. */
static void test_take_over(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p = start(t, "stops", NULL);
	const ioreq_t req = {
		.type = IOREQ_TYPE_COPY, .addr = REGS, .size = 8, .count = 1,
		.dir = IOREQ_READ,
	};
	uint64_t data = 0;

	assert_int_equal(toy_post(t, 0, 0, &req), 0);
	toy_kill(p, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 128 + SIGKILL);
	assert_int_equal(toy_servers(t), 1);
	start(t, "good", "0");
	assert_int_equal(toy_finish(t, 0, 0, &data), 0);
	assert_int_equal(data, 0x55);
	assert_int_equal(toy_mem_read(t, 1, REGS, 8), 0x55);
	assert_no_fault(t);
}

static void test_injected_fault(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p;

	toy_fail(t, "xendevicemodel_map_io_range_to_ioreq_server", 2, 1,
		 ENOSPC);
	p = toy_spawn(t, "/proc/self/exe", "good", NULL);
	assert_int_equal(toy_ready(p, TOY_MS), -ECHILD);
	assert_int_equal(toy_exit(p, TOY_MS), 3);
	assert_in_log(p, "No space left on device");
	assert_int_equal(toy_calls(t,
		"xendevicemodel_map_io_range_to_ioreq_server"), 2);
	toy_fail(t, NULL, 0, 0, 0);
	start(t, "good", NULL);
	assert_int_equal(toy_servers(t), 2);
	assert_int_equal(toy_mem_read(t, 0, REGS, 8), 0x55);
}

static void test_no_xen(void **state)
{
	struct toy *t = *state;
	struct toy_proc *p;

	unlinkat(t->xen.dir_fd, "xen", 0);
	p = toy_spawn(t, "/proc/self/exe", "good", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 3);
	assert_in_log(p, "No such file or directory");
}

#define STANDIN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STANDIN_TEST(test_api),
		STANDIN_TEST(test_grants),
		STANDIN_TEST(test_granting),
		STANDIN_TEST(test_revocation),
		STANDIN_TEST(test_granted_zombie),
		STANDIN_TEST(test_granted_page_held),
		STANDIN_TEST(test_closed_zombie),
		STANDIN_TEST(test_accesses),
		STANDIN_TEST(test_newest_server_wins),
		STANDIN_TEST(test_memory),
		STANDIN_TEST(test_interrupts),
		STANDIN_TEST(test_faults),
		STANDIN_TEST(test_destruction),
		STANDIN_TEST(test_zombie),
		STANDIN_TEST(test_take_over),
		STANDIN_TEST(test_injected_fault),
		STANDIN_TEST(test_no_xen),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 1 && !strcmp(argv[1], "api"))
		return api_main();
	if (argc > 1 && !strcmp(argv[1], "grants"))
		return grants_main();
	if (argc > 1 && !strcmp(argv[1], "holds"))
		return holder_main();
	if (argc > 1)
		return dm_main(argv[1], argc > 2 ? atoi(argv[2]) : -1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
