/* SPDX-License-Identifier: MIT */
/*
 * arch.c: see the header.
 */
#include <errno.h>
#include <xenctrl.h>

#include "arch.h"
#include "arm_guest.h"
#include "irq_xen.h"
#include "log.h"

/* ---- x86 ---- */

static int x86_msi(struct irq *irq, uint64_t addr, uint32_t data)
{
	if (xendevicemodel_inject_msi(irq->dmod, irq->domid, addr, data) < 0)
		return -errno;
	return 0;
}

/* A line is high while anybody wants it so. */
static int x86_intx(struct irq *irq, unsigned int slot, uint8_t before,
		    uint8_t now)
{
	if (!before == !now)
		return 0;
	if (xendevicemodel_set_pci_intx_level(irq->dmod, irq->domid, 0, 0,
					      (uint8_t)slot, 0, now != 0) < 0)
		return -errno;
	return 0;
}

const struct arch arch_x86 = {
	.ports		= true,
	.msi		= x86_msi,
	.intx		= x86_intx,
};

/* ---- Arm ---- */

/*
 * Xen's virtual GIC keeps no level: 1 makes an interrupt pending, once, and 0
 * does nothing.
 */
static int arm_inject(struct irq *irq, uint32_t nr)
{
	int e;

	if (xendevicemodel_set_irq_level(irq->dmod, irq->domid, nr, 1) == 0)
		return 0;
	e = errno;
	if (e == EINVAL && !irq->told) {
		log_warn("d%u: the guest waits for its interrupt %u, which is none of Xen's to give: its configuration needs the nr_spis that 'xen-virtioctl guest-dtb' tells, and no irqs= from there on",
			 irq->domid, nr);
		irq->told = true;
	}
	return -e;
}

/*
 * The frame of the device tree (GICv2m) makes Linux write the interrupt's
 * number as a message's data.  What is not one of the frame's is not sent: it
 * would be another device's line.
 */
static int arm_msi(struct irq *irq, uint64_t addr, uint32_t data)
{
	(void)addr;
	if (data - ARM_GUEST_MSI_BASE >= ARM_GUEST_MSI_MAX)
		return -EINVAL;
	return arm_inject(irq, data);
}

/*
 * A handler that has looked at one function of the slot will not look again
 * because another one still holds the line, so each that begins to assert it
 * is an interrupt of its own.
 */
static int arm_intx(struct irq *irq, unsigned int slot, uint8_t before,
		    uint8_t now)
{
	if (!(now & ~before))
		return 0;
	return arm_inject(irq, ARM_GUEST_INTX_BASE + slot);
}

const struct arch arch_arm = {
	.pvh_intx	= true,
	.ecam		= true,
	.msi		= arm_msi,
	.intx		= arm_intx,
};

/* ---- what a header has for one architecture only ---- */

bool arch_has_board(const struct xen_arch_domainconfig *config)
{
#if defined(__i386__) || defined(__x86_64__)
	/* libxl gives a PVH guest a local APIC and nothing else. */
	return config->emulation_flags & ~(uint32_t)XEN_X86_EMU_LAPIC;
#else
	(void)config;
	return false;
#endif
}
