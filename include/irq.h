/* SPDX-License-Identifier: MIT */
/*
 * irq.h: the interrupts of one guest.
 */
#ifndef XVD_IRQ_H
#define XVD_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct irq;

/*
 * Sends the message of one MSI-X entry, word for word.  Return: 0 or a
 * negative errno, which the guest causes with a nonsensical address, or, on
 * Arm, with data that is no message's (arm_guest.h).
 */
int irq_msi(struct irq *irq, uint64_t addr, uint32_t data);

/*
 * Function @devfn of bus 0 asserts INTA#, or no longer.  The functions of a
 * slot share the line.  Return: 0 or a negative errno (a PVH guest has no such
 * lines on x86).
 */
int irq_intx(struct irq *irq, unsigned int devfn, bool level);

#endif
