/* SPDX-License-Identifier: MIT */
/*
 * pci_config.h: the 256 bytes of configuration space of one type-0 function
 * (PCI 3.0, 6.1 to 6.7): header, BARs and the capability list.
 *
 * What may be written is a mask, byte for byte; sizing a BAR works by the
 * same mask, because the address bits below its size do not stick.
 */
#ifndef XVD_PCI_CONFIG_H
#define XVD_PCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "state.h"

#define PCI_CONFIG_BARS		6

struct pci_bar {
	uint32_t	size;		/* bytes, a power of two; 0 = none */
	bool		io;
};

struct pci_config {
	struct pci_state	*st;
	uint8_t			wmask[256];
	struct pci_bar		bar[PCI_CONFIG_BARS];
	unsigned int		cap_end;	/* first free byte */
	unsigned int		cap_last;	/* its link; 0 = none yet */
};

struct pci_ids {
	uint16_t	vendor;
	uint16_t	device;
	uint16_t	subsystem_vendor;
	uint16_t	subsystem;
	uint32_t	class;		/* 24 bits */
	uint8_t		revision;
	uint8_t		intx_pin;	/* 0: none, 1: INTA# */
	bool		multifunction;
};

void pci_config_init(struct pci_config *pc, struct pci_state *st,
		     const struct pci_ids *ids);

/* There is more than this function in its slot. */
void pci_config_set_multifunction(struct pci_config *pc);

/* Only before the guest looks. */
void pci_config_add_bar(struct pci_config *pc, unsigned int bar,
			uint32_t size, bool io);

/*
 * Appends a capability of @len bytes, of which @body follows the two bytes
 * of id and link.  Return: its offset.
 */
unsigned int pci_config_add_cap(struct pci_config *pc, uint8_t id,
				const void *body, unsigned int len);

/* Lets the guest write these bits of a 16-bit word. */
void pci_config_writable16(struct pci_config *pc, unsigned int off,
			   uint16_t mask);

/* off + size <= 256, size 1, 2 or 4. */
uint32_t pci_config_read(const struct pci_config *pc, unsigned int off,
			 unsigned int size);
void pci_config_write(struct pci_config *pc, unsigned int off,
		      unsigned int size, uint32_t val);

uint16_t pci_config_get16(const struct pci_config *pc, unsigned int off);
void pci_config_put16(struct pci_config *pc, unsigned int off, uint16_t val);

/*
 * Does the function decode this BAR now, and where?  Not while the command
 * register forbids it, and not while it holds zero or the sizing pattern.
 */
bool pci_config_bar_addr(const struct pci_config *pc, unsigned int bar,
			 uint32_t *ret);

#endif
