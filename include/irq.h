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
 * negative errno, which the guest causes with a nonsensical address.
 */
int irq_msi(struct irq *irq, uint64_t addr, uint32_t data);

/*
 * Drives INTA# of slot @dev on bus 0.  Return: 0 or a negative errno (a PVH
 * guest has no such lines).
 */
int irq_intx(struct irq *irq, unsigned int dev, bool level);

#endif
