/* SPDX-License-Identifier: MIT */
/*
 * fuzz_pci_config.c: configuration space, made as the input says and then
 * read and written anywhere, in any width.
 *
 * Wanted: a second opinion, bit by bit, on what a write changes; the list of
 * capabilities stays a list; a BAR is decoded where its register says, at an
 * address that its size divides, or not at all.
 */
#include <assert.h>
#include <linux/pci_regs.h>
#include <string.h>
#include "input.h"
#include "pci_config.h"
#include "util.h"

struct world {
	struct pci_state	st;
	struct pci_config	pc;
	uint8_t			model[256];
	uint8_t			mask[256];	/* what may be written */
	unsigned int		caps;
};

static void make(struct world *w, struct input *in)
{
	struct pci_ids ids = { .vendor = in16(in) };
	uint8_t body[32] = { 0 };
	unsigned int bar, n, at, len, i;
	uint16_t bits;

	ids.device = in16(in);
	ids.class = in32(in) & 0xffffff;
	ids.intx_pin = in8(in) & 1;
	ids.multifunction = in8(in) & 1;
	pci_config_init(&w->pc, &w->st, &ids);
	for (bar = 0; bar < PCI_CONFIG_BARS; bar++) {
		n = in8(in);
		if (n & 0x80)
			pci_config_add_bar(&w->pc, bar, 16u << n % 28,
					   n & 0x40);
	}
	for (w->caps = in8(in) % 7, n = 0; n < w->caps; n++) {
		len = 4 + in8(in) % 28;
		for (i = 0; i < len - 2; i++)
			body[i] = in8(in);
		at = pci_config_add_cap(&w->pc, in8(in), body, len);
		assert(at % 4 == 0 && at >= 0x40 && at + len <= 256);
		bits = in16(in);
		pci_config_writable16(&w->pc, at + 2, bits);
		w->mask[at + 2] = (uint8_t)bits;
		w->mask[at + 3] = (uint8_t)(bits >> 8);
	}
	w->mask[PCI_COMMAND] = 0x47;
	w->mask[PCI_COMMAND + 1] = 0x05;
	w->mask[PCI_CACHE_LINE_SIZE] = 0xff;
	w->mask[PCI_LATENCY_TIMER] = 0xff;
	w->mask[PCI_INTERRUPT_LINE] = 0xff;
	for (bar = 0; bar < PCI_CONFIG_BARS; bar++)
		for (i = 0; w->pc.bar[bar].size && i < 4; i++)
			w->mask[PCI_BASE_ADDRESS_0 + 4 * bar + i] = (uint8_t)
				(~(w->pc.bar[bar].size - 1) >> 8 * i);
	memcpy(w->model, w->st.cfg, sizeof(w->model));
}

static void check(struct world *w)
{
	unsigned int at, n = 0, bar, command;
	uint32_t addr, reg;

	assert(memcmp(w->model, w->st.cfg, sizeof(w->model)) == 0);
	at = pci_config_read(&w->pc, PCI_CAPABILITY_LIST, 1);
	for (; at; at = pci_config_read(&w->pc, at + 1, 1))
		assert(at >= 0x40 && at % 4 == 0 && ++n <= w->caps);
	assert(n == w->caps);

	command = pci_config_get16(&w->pc, PCI_COMMAND);
	for (bar = 0; bar < PCI_CONFIG_BARS; bar++) {
		const struct pci_bar *b = &w->pc.bar[bar];

		reg = pci_config_read(&w->pc, PCI_BASE_ADDRESS_0 + 4 * bar, 4);
		assert((reg & 0xf) == (b->size && b->io ? 1 : 0));
		if (!pci_config_bar_addr(&w->pc, bar, &addr))
			continue;
		assert(b->size && addr && addr % b->size == 0);
		assert(addr == (reg & ~0xfu));
		assert((uint64_t)addr + b->size <=
		       (b->io ? 0x10000ull : 0x100000000ull));
		assert(command & (b->io ? PCI_COMMAND_IO :
					  PCI_COMMAND_MEMORY));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int op, off, bytes, i;
	struct world w;
	uint32_t val;

	memset(&w, 0, sizeof(w));
	make(&w, &in);
	check(&w);
	while (in.left) {
		op = in8(&in);
		bytes = 1u << op % 3;
		off = MIN(in8(&in), 256 - bytes);
		if (op & 0x80) {
			val = pci_config_read(&w.pc, off, bytes);
			for (i = 0; i < 4; i++)
				assert((val >> 8 * i & 0xff) ==
				       (i < bytes ? w.model[off + i] : 0));
			continue;
		}
		val = op & 0x40 ? 0xffffffff : in32(&in);
		pci_config_write(&w.pc, off, bytes, val);
		for (i = 0; i < bytes; i++) {
			w.model[off + i] &= (uint8_t)~w.mask[off + i];
			w.model[off + i] |= (uint8_t)(val >> 8 * i) &
					    w.mask[off + i];
		}
		check(&w);
	}
	return 0;
}
