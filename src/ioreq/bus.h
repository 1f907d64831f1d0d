/* SPDX-License-Identifier: MIT */
/*
 * bus.h: who answers which address.  Private to src/ioreq.
 */
#ifndef XVD_BUS_H
#define XVD_BUS_H

#include <stdint.h>
#include <xendevicemodel.h>
#include <xen/hvm/ioreq.h>

#include "io_region.h"

struct guest_mem;

#define BUS_SPACES	3	/* enum io_space */

struct io_bus {
	xendevicemodel_handle	*dmod;
	domid_t			domid;
	ioservid_t		server;
	struct io_region	*list[BUS_SPACES];
	struct io_region	*last[BUS_SPACES];	/* hit */
	struct guest_mem	*gm;	/* string instructions move memory */
};

/*
 * Carries out one request.  @req is a private copy; the answer to a read is
 * left in req->data.  Whatever it asks for, it is answered.
 */
void bus_dispatch(struct io_bus *bus, ioreq_t *req);

#endif
