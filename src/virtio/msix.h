/* SPDX-License-Identifier: MIT */
/*
 * msix.h: the MSI-X table and pending bits of one function (PCI 3.0, 6.8.2).
 *
 * A message is sent at once, or, while its entry or the whole function is
 * masked, remembered in the pending bits and sent when that ends.
 *
 * One rule is Xen's own: an entry whose vector (data bits 7..0) is zero
 * carries a pirq in its address.  Guests that route interrupts over event
 * channels leave such entries masked for ever and still want the message, so
 * the entry's mask bit does not count there.
 */
#ifndef XVD_MSIX_H
#define XVD_MSIX_H

#include <stdbool.h>
#include <stdint.h>
#include "state.h"

#define MSIX_ENTRY_BYTES	16

struct irq;

struct msix {
	struct msix_state	*st;
	struct irq		*irq;
	unsigned int		count;		/* of vectors */
	bool			enabled;	/* MSI-X is the way to go */
	bool			masked;		/* the whole function */
};

void msix_init(struct msix *m, struct msix_state *st, struct irq *irq,
	       unsigned int count);

/* Everything masked, nothing pending. */
void msix_reset(struct msix *m);

/*
 * From the capability's control word and the command register: @masked also
 * while the function may not write to memory.
 */
void msix_control(struct msix *m, bool enabled, bool masked);

/* Sends or remembers; a @vector that does not exist is ignored. */
void msix_raise(struct msix *m, unsigned int vector);

/* The table and the pending bits as the guest sees them. */
uint32_t msix_table_read(const struct msix *m, unsigned int off);
void msix_table_write(struct msix *m, unsigned int off, uint32_t val);
uint32_t msix_pba_read(const struct msix *m, unsigned int off);

#endif
