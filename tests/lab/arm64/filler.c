/* SPDX-License-Identifier: MIT */
/*
 * filler DOMID: whoever reads configuration space of a guest that nobody else
 * answers for reads all ones.
 *
 * Xen 4.20 stops an Arm guest that touches an address with nothing behind it.
 * With pci-config=ecam only our functions are behind the window of its host
 * bridge; this is behind all the rest.  Xen asks the server that was made last
 * first, so it has to be there before xen-virtiod is.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "arm_guest.h"

#define MAX_VCPUS	16

static shared_iopage_t *page;
static evtchn_port_t ports[MAX_VCPUS];
static unsigned int nvcpus;

static shared_iopage_t *map_page(domid_t domid, ioservid_t server)
{
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	void *at = NULL;

	if (!fmem || !xenforeignmemory_map_resource(fmem, domid,
			XENMEM_resource_ioreq_server, server,
			XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &at,
			PROT_READ | PROT_WRITE, 0))
		err(1, "the IOREQ page");
	return at;
}

static void serve(xenevtchn_handle *evtchn, unsigned int vcpu)
{
	volatile ioreq_t *req = &page->vcpu_ioreq[vcpu];

	if (req->state != STATE_IOREQ_READY)
		return;
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* as in domain.c */
	if (req->dir == IOREQ_READ)
		req->data = ~0ull;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	req->state = STATE_IORESP_READY;
	(void)xenevtchn_notify(evtchn, ports[vcpu]);
}

int main(int argc, char **argv)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	xenevtchn_handle *evtchn = xenevtchn_open(NULL, 0);
	uint64_t end = ARM_GUEST_ECAM_BASE + ARM_GUEST_ECAM_BYTES - 1;
	xenevtchn_port_or_error_t port;
	ioservid_t server;
	unsigned int i;
	domid_t domid;

	if (argc != 2)
		errx(2, "usage: filler DOMID");
	domid = (domid_t)atoi(argv[1]);
	if (!dmod || !evtchn ||
	    xendevicemodel_create_ioreq_server(dmod, domid,
				HVM_IOREQSRV_BUFIOREQ_OFF, &server) ||
	    xendevicemodel_map_io_range_to_ioreq_server(dmod, domid, server, 1,
				ARM_GUEST_ECAM_BASE, end) ||
	    xendevicemodel_nr_vcpus(dmod, domid, &nvcpus))
		err(1, "d%u", domid);
	page = map_page(domid, server);
	if (xendevicemodel_set_ioreq_server_state(dmod, domid, server, 1))
		err(1, "d%u", domid);
	for (i = 0; i < nvcpus && i < MAX_VCPUS; i++) {
		port = xenevtchn_bind_interdomain(evtchn, domid,
					page->vcpu_ioreq[i].vp_eport);
		if (port < 0)
			err(1, "d%uv%u", domid, i);
		ports[i] = (evtchn_port_t)port;
	}
	puts("ready");
	(void)fflush(stdout);
	while ((port = xenevtchn_pending(evtchn)) >= 0) {
		(void)xenevtchn_unmask(evtchn, (evtchn_port_t)port);
		for (i = 0; i < nvcpus && i < MAX_VCPUS; i++)
			serve(evtchn, i);
	}
	return 1;
}
