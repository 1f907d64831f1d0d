/* SPDX-License-Identifier: MIT */
/*
 * Is the stand-in libxen what the path tests take it for?
 *
 * This program is both sides.  Run plainly it is the toy guest; it starts
 * itself again with an argument as a device model of a hundred lines that is
 * linked with the real libraries' names and versions and finds the stand-in in
 * their place.  "api" calls every function and looks at its errors; the other
 * arguments serve one function at 00:10.0, each with one fault of its own that
 * the toy guest has to notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenctrl.h>		/* first: it decides what xen.h shows */

#include "path.h"

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
};

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
	const char		*mode;
};

#define MUST(x)								\
	do {								\
		if (!(x)) {						\
			printf("line %d: %s: %m\n", __LINE__, #x);	\
			exit(3);					\
		}							\
	} while (0)

static void dm_tell_ready(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);

	strncpy(a.sun_path, getenv("NOTIFY_SOCKET"), sizeof(a.sun_path) - 1);
	MUST(sendto(s, "READY=1", 7, 0, (struct sockaddr *)&a, sizeof(a)) == 7);
	close(s);
}

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
		q->data = q->addr - REGS == REG_SEEN ? dm->invalidated : 0x55;
		return;
	}
	switch (q->addr - REGS) {
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
	dm_tell_ready();

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
	toy_destroy(t);
	assert_int_equal(toy_reap(t), -EBUSY);
	toy_kill(p, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 128 + SIGKILL);
	assert_int_equal(toy_reap(t), 0);
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
	if (argc > 1)
		return dm_main(argv[1], argc > 2 ? atoi(argv[2]) : -1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
