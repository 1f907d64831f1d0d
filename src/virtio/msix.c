/* SPDX-License-Identifier: MIT */
/*
 * msix.c: see the header.
 */
#include <assert.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "irq.h"
#include "msix.h"
#include "trace.h"

enum {
	MSIX_ADDR_LO,
	MSIX_ADDR_HI,
	MSIX_DATA,
	MSIX_CTRL,
};

void msix_init(struct msix *m, struct msix_state *st, struct irq *irq,
	       unsigned int count)
{
	assert(count && count <= STATE_MAX_VECTORS);
	*m = (struct msix){
		.st	= st,
		.irq	= irq,
		.count	= count,
	};
	msix_reset(m);
}

void msix_reset(struct msix *m)
{
	unsigned int i;

	memset(m->st, 0, sizeof(*m->st));
	for (i = 0; i < m->count; i++)
		m->st->table[i][MSIX_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* The message asks for a pirq, see the header. */
static bool msix_is_pirq(const uint32_t *entry)
{
	return entry[MSIX_ADDR_LO] && !(entry[MSIX_DATA] & 0xff);
}

static bool msix_is_masked(const struct msix *m, unsigned int vector)
{
	const uint32_t *entry = m->st->table[vector];

	return m->masked ||
	       ((entry[MSIX_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT) &&
		!msix_is_pirq(entry));
}

static void msix_send(struct msix *m, unsigned int vector)
{
	const uint32_t *entry = m->st->table[vector];
	uint64_t addr = (uint64_t)entry[MSIX_ADDR_HI] << 32 |
			entry[MSIX_ADDR_LO];

	TRACE(msi, addr, entry[MSIX_DATA]);
	/* A message to nowhere is the guest's own loss. */
	(void)irq_msi(m->irq, addr, entry[MSIX_DATA]);
}

void msix_raise(struct msix *m, unsigned int vector)
{
	if (!m->enabled || vector >= m->count)
		return;
	if (msix_is_masked(m, vector))
		m->st->pending |= 1u << vector;
	else
		msix_send(m, vector);
}

/* Something was unmasked: send what waited for it. */
static void msix_deliver(struct msix *m)
{
	unsigned int i;

	if (!m->enabled)
		return;
	for (i = 0; i < m->count && m->st->pending; i++) {
		if (!(m->st->pending & 1u << i) || msix_is_masked(m, i))
			continue;
		m->st->pending &= ~(1u << i);
		msix_send(m, i);
	}
}

void msix_control(struct msix *m, bool enabled, bool masked)
{
	m->enabled = enabled;
	m->masked = masked;
	if (!enabled)
		m->st->pending = 0;
	msix_deliver(m);
}

uint32_t msix_table_read(const struct msix *m, unsigned int off)
{
	unsigned int vector = off / MSIX_ENTRY_BYTES;

	if (vector >= m->count)
		return 0;
	return m->st->table[vector][off % MSIX_ENTRY_BYTES / 4];
}

void msix_table_write(struct msix *m, unsigned int off, uint32_t val)
{
	unsigned int vector = off / MSIX_ENTRY_BYTES;

	if (vector >= m->count)
		return;
	m->st->table[vector][off % MSIX_ENTRY_BYTES / 4] = val;
	msix_deliver(m);
}

uint32_t msix_pba_read(const struct msix *m, unsigned int off)
{
	return off == 0 ? m->st->pending : 0;
}
