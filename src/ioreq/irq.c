/* SPDX-License-Identifier: MIT */
/*
 * irq.c: interrupts by dm_op.
 */
#include "arch.h"
#include "irq.h"
#include "irq_xen.h"

int irq_msi(struct irq *irq, uint64_t addr, uint32_t data)
{
	return irq->arch->msi(irq, addr, data);
}

int irq_intx(struct irq *irq, unsigned int devfn, bool level)
{
	unsigned int slot = devfn >> 3 & 31;
	uint8_t fn = (uint8_t)(1u << (devfn & 7));
	uint8_t before = irq->asserted[slot];
	uint8_t now = level ? before | fn : before & (uint8_t)~fn;

	irq->asserted[slot] = now;
	return irq->arch->intx(irq, slot, before, now);
}
