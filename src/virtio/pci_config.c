/* SPDX-License-Identifier: MIT */
/*
 * pci_config.c: see the header.
 */
#include <assert.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "pci_config.h"
#include "util.h"

#define PCI_HEADER_MULTI_FUNC	0x80	/* <linux/pci_regs.h> has it in 6.x */

static void put32(uint8_t *p, uint32_t val)
{
	val = htole32(val);
	memcpy(p, &val, sizeof(val));
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t val;

	memcpy(&val, p, sizeof(val));
	return le32toh(val);
}

static void put16(uint8_t *p, uint16_t val)
{
	val = htole16(val);
	memcpy(p, &val, sizeof(val));
}

uint16_t pci_config_get16(const struct pci_config *pc, unsigned int off)
{
	uint16_t val;

	memcpy(&val, &pc->st->cfg[off], sizeof(val));
	return le16toh(val);
}

void pci_config_put16(struct pci_config *pc, unsigned int off, uint16_t val)
{
	put16(&pc->st->cfg[off], val);
}

void pci_config_writable16(struct pci_config *pc, unsigned int off,
			   uint16_t mask)
{
	put16(&pc->wmask[off], mask);
}

void pci_config_set_multifunction(struct pci_config *pc)
{
	pc->st->cfg[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI_FUNC;
}

void pci_config_init(struct pci_config *pc, struct pci_state *st,
		     const struct pci_ids *ids)
{
	uint8_t *cfg = st->cfg;

	memset(pc, 0, sizeof(*pc));
	memset(st, 0, sizeof(*st));
	pc->st = st;
	pc->cap_end = PCI_STD_HEADER_SIZEOF;

	put16(&cfg[PCI_VENDOR_ID], ids->vendor);
	put16(&cfg[PCI_DEVICE_ID], ids->device);
	put32(&cfg[PCI_CLASS_REVISION], ids->class << 8 | ids->revision);
	put16(&cfg[PCI_SUBSYSTEM_VENDOR_ID], ids->subsystem_vendor);
	put16(&cfg[PCI_SUBSYSTEM_ID], ids->subsystem);
	cfg[PCI_INTERRUPT_PIN] = ids->intx_pin;
	cfg[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	if (ids->multifunction)
		pci_config_set_multifunction(pc);

	put16(&pc->wmask[PCI_COMMAND],
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
	      PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
	      PCI_COMMAND_INTX_DISABLE);
	pc->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	pc->wmask[PCI_LATENCY_TIMER] = 0xff;
	pc->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_config_add_bar(struct pci_config *pc, unsigned int bar,
			uint32_t size, bool io)
{
	unsigned int off = PCI_BASE_ADDRESS_0 + 4 * bar;

	assert(bar < PCI_CONFIG_BARS && size >= 16 && !(size & (size - 1)));
	pc->bar[bar] = (struct pci_bar){ .size = size, .io = io };
	put32(&pc->st->cfg[off], io ? PCI_BASE_ADDRESS_SPACE_IO :
				      PCI_BASE_ADDRESS_MEM_TYPE_32);
	put32(&pc->wmask[off], ~(size - 1));
}

unsigned int pci_config_add_cap(struct pci_config *pc, uint8_t id,
				const void *body, unsigned int len)
{
	unsigned int off = ALIGN_UP(pc->cap_end, 4u);
	uint8_t *cfg = pc->st->cfg;

	assert(len >= 2 && off + len <= sizeof(pc->st->cfg));
	cfg[off] = id;
	memcpy(&cfg[off + 2], body, len - 2);
	if (pc->cap_last)
		cfg[pc->cap_last] = (uint8_t)off;
	else
		cfg[PCI_CAPABILITY_LIST] = (uint8_t)off;
	cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	pc->cap_last = off + 1;
	pc->cap_end = off + len;
	return off;
}

uint32_t pci_config_read(const struct pci_config *pc, unsigned int off,
			 unsigned int size)
{
	uint8_t b[4] = { 0 };

	assert(size <= sizeof(b) && off + size <= sizeof(pc->st->cfg));
	memcpy(b, &pc->st->cfg[off], size);
	return get32(b);
}

void pci_config_write(struct pci_config *pc, unsigned int off,
		      unsigned int size, uint32_t val)
{
	unsigned int i;
	uint8_t m, *p;

	assert(size <= 4 && off + size <= sizeof(pc->st->cfg));
	for (i = 0; i < size; i++, val >>= 8) {
		m = pc->wmask[off + i];
		p = &pc->st->cfg[off + i];
		*p = (uint8_t)((*p & ~m) | (val & m));
	}
}

bool pci_config_bar_addr(const struct pci_config *pc, unsigned int bar,
			 uint32_t *ret)
{
	const struct pci_bar *b = &pc->bar[bar];
	uint16_t need = b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint32_t addr;

	if (!b->size || !(pci_config_get16(pc, PCI_COMMAND) & need))
		return false;
	addr = get32(&pc->st->cfg[PCI_BASE_ADDRESS_0 + 4 * bar]) &
	       ~(b->size - 1);
	if (!addr || addr == ~(b->size - 1))
		return false;
	if (b->io && addr + b->size > 0x10000)
		return false;		/* x86 has no such ports */
	*ret = addr;
	return true;
}
