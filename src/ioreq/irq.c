/* SPDX-License-Identifier: MIT */
/*
 * irq.c: interrupts by dm_op.  What differs by architecture is here.
 */
#include <errno.h>

#include "irq.h"
#include "irq_xen.h"

#if defined(__i386__) || defined(__x86_64__)

int irq_msi(struct irq *irq, uint64_t addr, uint32_t data)
{
	if (xendevicemodel_inject_msi(irq->dmod, irq->domid, addr, data) < 0)
		return -errno;
	return 0;
}

/* A line is high while anybody wants it so. */
static int intx_drive(struct irq *irq, unsigned int slot, uint8_t before,
		      uint8_t now)
{
	if (!before == !now)
		return 0;
	if (xendevicemodel_set_pci_intx_level(irq->dmod, irq->domid, 0, 0,
					      (uint8_t)slot, 0, now != 0) < 0)
		return -errno;
	return 0;
}

#else
#error "interrupts of this architecture are not known yet"
#endif

int irq_intx(struct irq *irq, unsigned int devfn, bool level)
{
	unsigned int slot = devfn >> 3 & 31;
	uint8_t fn = (uint8_t)(1u << (devfn & 7));
	uint8_t before = irq->asserted[slot];
	uint8_t now = level ? before | fn : before & (uint8_t)~fn;

	irq->asserted[slot] = now;
	return intx_drive(irq, slot, before, now);
}
