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

int irq_intx(struct irq *irq, unsigned int dev, bool level)
{
	if (xendevicemodel_set_pci_intx_level(irq->dmod, irq->domid, 0, 0,
					      (uint8_t)dev, 0, level) < 0)
		return -errno;
	return 0;
}

#else
#error "interrupts of this architecture are not known yet"
#endif
