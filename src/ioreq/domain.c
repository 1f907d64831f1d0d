/* SPDX-License-Identifier: MIT */
/*
 * domain.c: one guest's IOREQ server.
 *
 * Xen and we share one page with a slot per vCPU:
 *
 *	NONE -> READY -> INPROCESS -> RESP_READY -> NONE
 *	   Xen      we, at once    we, answered    Xen
 *
 * READY comes with an event on the vCPU's channel, and RESP_READY goes back
 * with one.  A slot is copied once and only the copy is looked at.  The vCPU
 * stands still in between, so nothing that can block is done there; devices
 * defer their work, and the loop gets to it when the vCPU is on its way.
 *
 * The page comes from map_resource, where the guest cannot reach it; the
 * older way through the guest's own memory is not implemented.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "arch.h"
#include "arm_guest.h"
#include "bus.h"
#include "domain.h"
#include "grants.h"
#include "irq_xen.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "trace.h"
#include "util.h"

#define DOMAIN_MAX_VCPUS	(XC_PAGE_SIZE / sizeof(ioreq_t))
#define CF8_PORT		0xcf8
#define QUIESCE_MS		50	/* a vCPU that lives takes less */
#define KICK_SAMPLES		16
#define KICK_CALLS		12	/* a kick is worth so many calls */
#define KICK_MAX_NS		(2ull * 1000 * 1000)

struct domain {
	struct loop		*loop;
	const struct arch	*arch;
	domid_t			domid;
	bool			pvh;
	xendevicemodel_handle	*dmod;
	xenforeignmemory_handle	*fmem;
	xenevtchn_handle	*evtchn;
	struct grants		*grants;
	xenforeignmemory_resource_handle *resource;
	shared_iopage_t		*page;
	bool			created;
	ioservid_t		server;
	unsigned int		nvcpus;
	int			port[DOMAIN_MAX_VCPUS];	/* ours, nvcpus */
	struct loop_fd		*watch;
	struct guest_mem	*gm;
	struct io_bus		bus;
	struct irq		irq;
	struct io_region	latch_io;
	uint32_t		latch;			/* port 0xcf8 */
	uint64_t		kick_ns;
};

struct io_bus *domain_bus(struct domain *dom)
{
	return &dom->bus;
}

struct irq *domain_irq(struct domain *dom)
{
	return &dom->irq;
}

struct guest_mem *domain_mem(struct domain *dom)
{
	return dom->gm;
}

uint64_t domain_kick_ns(const struct domain *dom)
{
	return dom->kick_ns;
}

bool domain_has_ports(const struct domain *dom)
{
	return dom->arch->ports;
}

bool domain_has_intx(const struct domain *dom)
{
	return !dom->pvh || dom->arch->pvh_intx;
}

uint64_t domain_ecam(const struct domain *dom, unsigned int devfn)
{
	if (!dom->arch->ecam)
		return 0;
	return ARM_GUEST_ECAM_BASE + devfn * ARM_GUEST_ECAM_FN_BYTES;
}

/* Requests. */

static void domain_answer(struct domain *dom, ioreq_t *req)
{
	if (req->type == IOREQ_TYPE_INVALIDATE)
		guest_mem_invalidate(dom->gm);
	else
		bus_dispatch(&dom->bus, req);
}

static void domain_slot(struct domain *dom, unsigned int vcpu)
{
	volatile ioreq_t *slot = &dom->page->vcpu_ioreq[vcpu];
	ioreq_t req;

	if (slot->state != STATE_IOREQ_READY)
		return;
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* state before the rest;
						  * pairs with the barrier of
						  * Xen's before READY */
	memcpy(&req, (const void *)slot, sizeof(req));
	slot->state = STATE_IOREQ_INPROCESS;
	TRACE(ioreq, vcpu, req.type, req.addr, req.size, +req.dir);
	domain_answer(dom, &req);
	if (req.dir == IOREQ_READ && !req.data_is_ptr)
		slot->data = req.data;
	__atomic_thread_fence(__ATOMIC_RELEASE); /* data before the state;
						  * pairs with the barrier of
						  * Xen's behind RESP_READY */
	slot->state = STATE_IORESP_READY;
	(void)xenevtchn_notify(dom->evtchn, (evtchn_port_t)dom->port[vcpu]);
}

/*
 * Slots are few and close together: whichever port it was, all are looked
 * at.  The port is unmasked last, so that a flood of events costs one.
 */
static void domain_event(void *arg)
{
	struct domain *dom = arg;
	xenevtchn_port_or_error_t port = xenevtchn_pending(dom->evtchn);
	unsigned int i;

	if (port < 0)
		return;
	for (i = 0; i < dom->nvcpus; i++)
		domain_slot(dom, i);
	(void)xenevtchn_unmask(dom->evtchn, (evtchn_port_t)port);
}

/* The latch: all there is of a host bridge. */

static uint32_t latch_read(void *arg, uint64_t off, unsigned int size)
{
	struct domain *dom = arg;
	uint32_t val = dom->latch >> 8 * off;

	return size == 4 ? val : val & ((1u << 8 * size) - 1);
}

static void latch_write(void *arg, uint64_t off, unsigned int size,
			uint32_t val)
{
	struct domain *dom = arg;

	if (off == 0 && size == 4)	/* narrower ones are other registers */
		dom->latch = val;
}

/* Start and end. */

static int fail(int err, char *why, size_t why_len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(int err, char *why, size_t why_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_len, fmt, ap);
	va_end(ap);
	return err < 0 ? err : -EIO;
}

static int domain_handles(struct domain *dom, char *why, size_t why_len)
{
	dom->dmod = xendevicemodel_open(NULL, 0);
	if (!dom->dmod)
		return fail(-errno, why, why_len,
			    "cannot open /dev/xen/privcmd: %s; is this dom0, and is xen-privcmd loaded?",
			    strerror(errno));
	dom->fmem = xenforeignmemory_open(NULL, 0);
	if (!dom->fmem)
		return fail(-errno, why, why_len,
			    "cannot open /dev/xen/privcmd for guest memory: %s",
			    strerror(errno));
	dom->evtchn = xenevtchn_open(NULL, 0);
	if (!dom->evtchn)
		return fail(-errno, why, why_len,
			    "cannot open /dev/xen/evtchn: %s; is xen-evtchn loaded?",
			    strerror(errno));
	return 0;
}

/* Where the guest may do without grants, so may dom0. */
static int domain_grants(struct domain *dom, enum grants_policy policy,
			 char *why, size_t why_len)
{
	int r;

	if (policy == GRANTS_OFF)
		return 0;
	r = grants_open(dom->domid, &dom->grants);
	if (!r)
		return 0;
	if (policy == GRANTS_REQUIRE)
		return fail(r, why, why_len,
			    "grants=require: cannot open /dev/xen/gntdev: %s; is xen-gntdev loaded?",
			    strerror(-r));
	log_debug(LOG_T_IOREQ, "d%u: no grants: cannot open /dev/xen/gntdev: %s",
		  dom->domid, strerror(-r));
	return 0;
}

/* What stays mapped, see below; lest it is taken for a leak. */
static xenforeignmemory_resource_handle *left_mapped __attribute__((used));

/*
 * The IOREQ page was the last thing to map that is not granted.  The library
 * unmaps it only with the handle that goes here, so it stays while we do.
 */
static void domain_renounce(struct domain *dom)
{
	left_mapped = dom->resource;
	dom->resource = NULL;
	(void)xenforeignmemory_close(dom->fmem);
	dom->fmem = NULL;
}

/* From here on the handles are good for this guest only. */
static int domain_restrict(struct domain *dom, char *why, size_t why_len)
{
	const char *what = NULL;

	if (xendevicemodel_restrict(dom->dmod, dom->domid) < 0)
		what = "device model";
	else if (xenforeignmemory_restrict(dom->fmem, dom->domid) < 0)
		what = "guest memory";
	else if (xenevtchn_restrict(dom->evtchn, dom->domid) < 0)
		what = "event channel";
	if (what)
		return fail(-errno, why, why_len,
			    "cannot restrict the %s handle to d%u: %s; Linux 4.14 or newer is needed in dom0",
			    what, dom->domid, strerror(errno));
	return 0;
}

static int domain_create(struct domain *dom, char *why, size_t why_len)
{
	void *page = NULL;

	if (xendevicemodel_create_ioreq_server(dom->dmod, dom->domid,
					       HVM_IOREQSRV_BUFIOREQ_OFF,
					       &dom->server) < 0) {
		if (errno == ENOSPC)
			return fail(-errno, why, why_len,
				    "d%u has no IOREQ server left: Xen allows 8 for a guest",
				    dom->domid);
		return fail(-errno, why, why_len,
			    "cannot create an IOREQ server for d%u: %s",
			    dom->domid, strerror(errno));
	}
	dom->created = true;
	dom->resource = xenforeignmemory_map_resource(dom->fmem, dom->domid,
			XENMEM_resource_ioreq_server, dom->server,
			XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &page,
			PROT_READ | PROT_WRITE, 0);
	if (!dom->resource)
		return fail(-errno, why, why_len,
			    "cannot map the IOREQ page of d%u: %s; Xen 4.17 and Linux 4.18 or newer are needed",
			    dom->domid, strerror(errno));
	dom->page = page;
	if (xendevicemodel_set_ioreq_server_state(dom->dmod, dom->domid,
						  dom->server, 1) < 0)
		return fail(-errno, why, why_len,
			    "cannot enable the IOREQ server of d%u: %s",
			    dom->domid, strerror(errno));
	return 0;
}

static int domain_bind(struct domain *dom, char *why, size_t why_len)
{
	unsigned int i, n;
	int port;

	if (xendevicemodel_nr_vcpus(dom->dmod, dom->domid, &n) < 0)
		return fail(-errno, why, why_len,
			    "cannot ask for the vCPUs of d%u: %s; Xen 4.15 or newer is needed",
			    dom->domid, strerror(errno));
	if (n > DOMAIN_MAX_VCPUS)
		return fail(-E2BIG, why, why_len,
			    "d%u may have %u vCPUs: at most %u have room in an IOREQ page",
			    dom->domid, n, (unsigned int)DOMAIN_MAX_VCPUS);
	for (i = 0; i < n; i++) {
		port = xenevtchn_bind_interdomain(dom->evtchn, dom->domid,
				dom->page->vcpu_ioreq[i].vp_eport);
		if (port < 0)
			return fail(-errno, why, why_len,
				    "cannot bind the event channel of d%uv%u: %s",
				    dom->domid, i, strerror(errno));
		dom->port[i] = port;
		dom->nvcpus = i + 1;
	}
	return 0;
}

/*
 * How dear is it to be woken?  We see only our part of it, a few calls to
 * Xen; the vCPU's two ways through Xen and two context switches in dom0 come
 * to several times that.  Asking for the number of vCPUs is such a call, and
 * changes nothing.  The quickest of a few is the least disturbed one.
 */
static uint64_t domain_measure_kick(struct domain *dom)
{
	uint64_t start, ns, best = UINT64_MAX;
	unsigned int i, n;

	for (i = 0; i < KICK_SAMPLES; i++) {
		start = loop_now_ns();
		(void)xendevicemodel_nr_vcpus(dom->dmod, dom->domid, &n);
		ns = loop_now_ns() - start;
		best = MIN(best, ns);
	}
	return MIN(best * KICK_CALLS, KICK_MAX_NS);
}

static int domain_start(struct domain *dom, enum grants_policy policy,
			char *why, size_t why_len)
{
	int r;

	r = domain_handles(dom, why, why_len);
	if (!r)
		r = domain_grants(dom, policy, why, why_len);
	if (!r)
		r = domain_restrict(dom, why, why_len);
	if (!r)
		r = domain_create(dom, why, why_len);
	if (!r)
		r = domain_bind(dom, why, why_len);
	if (r < 0)
		return r;

	if (policy == GRANTS_REQUIRE)
		domain_renounce(dom);
	dom->kick_ns = domain_measure_kick(dom);
	dom->irq = (struct irq){
		.arch	= dom->arch,
		.dmod	= dom->dmod,
		.domid	= dom->domid,
	};
	r = guest_mem_open(dom->loop, dom->domid, dom->fmem, dom->grants,
			   &dom->gm);
	dom->bus.dmod = dom->dmod;
	dom->bus.domid = dom->domid;
	dom->bus.server = dom->server;
	dom->bus.gm = dom->gm;
	if (!r)
		r = loop_fd_add(dom->loop, xenevtchn_fd(dom->evtchn),
				domain_event, dom, &dom->watch);
	if (r < 0)
		return fail(r, why, why_len, "d%u: %s", dom->domid,
			    strerror(-r));
	if (!dom->pvh || !dom->arch->ports)
		return 0;
	dom->latch_io = (struct io_region){
		.space	= IO_PORT,
		.start	= CF8_PORT,
		.len	= 4,
		.dev	= dom,
		.read	= latch_read,
		.write	= latch_write,
	};
	r = io_region_add(&dom->bus, &dom->latch_io);
	if (r < 0)
		return fail(r, why, why_len,
			    "cannot take port 0xcf8 of d%u: %s", dom->domid,
			    strerror(-r));
	return 0;
}

int domain_open(struct loop *loop, uint32_t domid, bool pvh,
		enum grants_policy policy, struct domain **ret, char *why,
		size_t why_len)
{
	struct domain *dom = calloc(1, sizeof(*dom));
	int r;

	if (!dom)
		return fail(-ENOMEM, why, why_len, "out of memory");
	dom->loop = loop;
	dom->arch = ARCH_NATIVE;
	dom->domid = (domid_t)domid;
	dom->pvh = pvh;
	r = domain_start(dom, policy, why, why_len);
	if (r < 0) {
		domain_close(dom);
		return r;
	}
	*ret = dom;
	return 0;
}

/*
 * A server must not be destroyed under a waiting vCPU, which would never be
 * woken: no new requests, answer what is there, and see it taken.
 */
static void domain_quiesce(struct domain *dom)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	volatile ioreq_t *slot;
	unsigned int i, tries = QUIESCE_MS;

	(void)xendevicemodel_set_ioreq_server_state(dom->dmod, dom->domid,
						    dom->server, 0);
	for (i = 0; i < dom->nvcpus; i++)
		domain_slot(dom, i);
	for (i = 0; i < dom->nvcpus && tries; i++) {
		slot = &dom->page->vcpu_ioreq[i];
		for (; slot->state == STATE_IORESP_READY && tries; tries--)
			nanosleep(&pause, NULL);
	}
}

/* The guest may be gone already; then Xen has done its part of this. */
void domain_abandon(struct domain *dom)
{
	if (dom->nvcpus && dom->gm)
		domain_quiesce(dom);
	if (dom->created)
		(void)xendevicemodel_destroy_ioreq_server(dom->dmod,
							  dom->domid,
							  dom->server);
	dom->created = false;
}

void domain_close(struct domain *dom)
{
	if (!dom)
		return;
	io_region_del(&dom->bus, &dom->latch_io);
	domain_abandon(dom);
	loop_fd_del(dom->watch);
	guest_mem_close(dom->gm);
	grants_close(dom->grants);
	if (dom->resource)
		(void)xenforeignmemory_unmap_resource(dom->fmem,
						      dom->resource);
	if (dom->evtchn)
		(void)xenevtchn_close(dom->evtchn);	/* unbinds */
	if (dom->fmem)
		(void)xenforeignmemory_close(dom->fmem);
	if (dom->dmod)
		(void)xendevicemodel_close(dom->dmod);
	free(dom);
}
