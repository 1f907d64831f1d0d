/* SPDX-License-Identifier: MIT */
/*
 * arch.h: what differs by architecture, all of it.  Private to src/ioreq.
 *
 *			x86			Arm
 *	MSI-X		inject_msi, as written	set_irq_level of the data
 *	INTx		set_pci_intx_level;	set_irq_level; each call is
 *			a level; not for PVH	one interrupt
 *	I/O ports	yes: a doorbell, and	no
 *			0xcf8 of PVH guests
 *	ECAM window	no			yes, Xen's vPCI
 *
 * Both are built on both, so that one machine tests them.
 */
#ifndef XVD_ARCH_H
#define XVD_ARCH_H

#include <stdbool.h>
#include <stdint.h>

struct irq;
struct xen_arch_domainconfig;

struct arch {
	bool	ports;
	bool	pvh_intx;	/* guests without a board have INTx lines */
	bool	ecam;
	int	(*msi)(struct irq *irq, uint64_t addr, uint32_t data);
	/* Which functions of a slot assert the line, as bits, and did. */
	int	(*intx)(struct irq *irq, unsigned int slot, uint8_t before,
			uint8_t now);
};

extern const struct arch arch_x86;
extern const struct arch arch_arm;

/* This machine's. */
#if defined(__i386__) || defined(__x86_64__)
#define ARCH_NATIVE	(&arch_x86)
#elif defined(__aarch64__)
#define ARCH_NATIVE	(&arch_arm)
#else
#error "guests of this architecture are not known yet"
#endif

/* Of a guest as the toolstack made it: is there a board, as of a PC? */
bool arch_has_board(const struct xen_arch_domainconfig *config);

#endif
