/* SPDX-License-Identifier: MIT */
/*
 * irq_xen.h: what is behind irq.h.  Private to src/ioreq.
 */
#ifndef XVD_IRQ_XEN_H
#define XVD_IRQ_XEN_H

#include <stdbool.h>
#include <xendevicemodel.h>

struct arch;

struct irq {
	const struct arch	*arch;
	xendevicemodel_handle	*dmod;
	domid_t			domid;
	uint8_t			asserted[32];	/* by slot: bits of functions */
	bool			told;		/* of one that there is not */
};

#endif
