/* SPDX-License-Identifier: MIT */
/*
 * test_pci_config.c: 256 bytes of configuration space: what can be read, bit
 * by bit what can be written, sizing, and when a BAR is decoded.
 */
#include <linux/pci_regs.h>
#include "pci_config.h"
#include "unit.h"
#include "util.h"

struct world {
	struct pci_state	st;
	struct pci_config	pc;
};

static const struct pci_ids ids = {
	.vendor			= 0x1af4,
	.device			= 0x1042,
	.subsystem_vendor	= 0x1234,
	.subsystem		= 0x5678,
	.class			= 0x018000,
	.revision		= 7,
	.intx_pin		= 1,
};

static void world_open(struct world *w)
{
	memset(&w->st, 0xee, sizeof(w->st));
	pci_config_init(&w->pc, &w->st, &ids);
	pci_config_add_bar(&w->pc, 0, 0x4000, false);
	pci_config_add_bar(&w->pc, 2, 0x40, true);
}

static void test_header(void **state)
{
	static const struct {
		unsigned int off, size;
		uint32_t val;
	} t[] = {
		{ PCI_VENDOR_ID,		4, 0x10421af4 },
		{ PCI_DEVICE_ID,		2, 0x1042 },
		{ PCI_VENDOR_ID + 1,		1, 0x1a },
		{ PCI_COMMAND,			2, 0 },
		{ PCI_STATUS,			2, 0 },
		{ PCI_CLASS_REVISION,		4, 0x01800007 },
		{ PCI_CLASS_DEVICE,		2, 0x0180 },
		{ PCI_HEADER_TYPE,		1, 0 },
		{ PCI_BASE_ADDRESS_0,		4, 0 },
		{ PCI_BASE_ADDRESS_1,		4, 0 },
		{ PCI_BASE_ADDRESS_2,		4, 1 },
		{ PCI_SUBSYSTEM_VENDOR_ID,	4, 0x56781234 },
		{ PCI_ROM_ADDRESS,		4, 0 },
		{ PCI_CAPABILITY_LIST,		1, 0 },
		{ PCI_INTERRUPT_LINE,		2, 0x0100 },
		{ 252,				4, 0 },
	};
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pci_config_read(&w.pc, t[i].off, t[i].size),
				 t[i].val);
}

static void test_multifunction(void **state)
{
	struct pci_ids more = ids;
	struct world w;

	(void)state;
	more.multifunction = true;
	more.intx_pin = 0;
	pci_config_init(&w.pc, &w.st, &more);
	assert_int_equal(pci_config_read(&w.pc, PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(pci_config_read(&w.pc, PCI_INTERRUPT_PIN, 1), 0);
}

/* Every bit of all 256 bytes, by every width. */
static void test_writable(void **state)
{
	static const uint8_t masks[256] = {
		[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
				PCI_COMMAND_MASTER | PCI_COMMAND_PARITY,
		[PCI_COMMAND + 1] = (PCI_COMMAND_SERR |
				     PCI_COMMAND_INTX_DISABLE) >> 8,
		[PCI_CACHE_LINE_SIZE] = 0xff,
		[PCI_LATENCY_TIMER] = 0xff,
		[PCI_INTERRUPT_LINE] = 0xff,
		[PCI_BASE_ADDRESS_0 + 1] = 0xc0,
		[PCI_BASE_ADDRESS_0 + 2] = 0xff,
		[PCI_BASE_ADDRESS_0 + 3] = 0xff,
		[PCI_BASE_ADDRESS_2] = 0xc0,
		[PCI_BASE_ADDRESS_2 + 1] = 0xff,
		[PCI_BASE_ADDRESS_2 + 2] = 0xff,
		[PCI_BASE_ADDRESS_2 + 3] = 0xff,
	};
	uint8_t before[256];
	unsigned int off, size;
	struct world w;

	(void)state;
	for (size = 1; size <= 4; size *= 2) {
		world_open(&w);
		memcpy(before, w.st.cfg, 256);
		for (off = 0; off < 256; off += size)
			pci_config_write(&w.pc, off, size, 0xffffffff);
		for (off = 0; off < 256; off++)
			assert_int_equal(w.st.cfg[off],
					 before[off] | masks[off]);
		for (off = 0; off < 256; off += size)
			pci_config_write(&w.pc, off, size, 0);
		assert_memory_equal(before, w.st.cfg, 256);
	}
}

static void test_partial_write(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_0, 4, 0xfebf4000);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_0 + 2, 2, 0xe012);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_0, 4),
			 0xe0124000);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_0 + 1, 1, 0xff);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_0, 4),
			 0xe012c000);
	/* Over the end of one register into the next. */
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_0 + 3, 4, 0xffffffaa);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_0, 4),
			 0xaa12c000);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_1, 4), 0);
}

static void test_sizing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_0, 4),
			 0xffffc000);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_2, 4),
			 0xffffffc1);
	pci_config_write(&w.pc, PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(pci_config_read(&w.pc, PCI_ROM_ADDRESS, 4), 0);
	pci_config_write(&w.pc, PCI_BASE_ADDRESS_5, 4, 0xffffffff);
	assert_int_equal(pci_config_read(&w.pc, PCI_BASE_ADDRESS_5, 4), 0);
}

static void test_decoding(void **state)
{
	static const struct {
		unsigned int bar;
		uint16_t command;
		uint32_t val;
		bool on;
		uint32_t addr;
	} t[] = {
		{ 0, PCI_COMMAND_MEMORY, 0xfebfc000, true, 0xfebfc000 },
		{ 0, PCI_COMMAND_MEMORY, 0xfebfffff, true, 0xfebfc000 },
		{ 0, PCI_COMMAND_MEMORY, 0x4000, true, 0x4000 },
		{ 0, PCI_COMMAND_MEMORY, 0, false, 0 },
		{ 0, PCI_COMMAND_MEMORY, 0x3fff, false, 0 },
		{ 0, PCI_COMMAND_MEMORY, 0xffffffff, false, 0 },
		{ 0, PCI_COMMAND_MEMORY, 0xffff8000, true, 0xffff8000 },
		{ 0, PCI_COMMAND_IO, 0xfebfc000, false, 0 },
		{ 0, 0, 0xfebfc000, false, 0 },
		{ 2, PCI_COMMAND_IO, 0xc100, true, 0xc100 },
		{ 2, PCI_COMMAND_IO, 0xc13f, true, 0xc100 },
		{ 2, PCI_COMMAND_IO, 0xffc0, true, 0xffc0 },
		{ 2, PCI_COMMAND_IO, 0x10000, false, 0 },
		{ 2, PCI_COMMAND_IO, 0xffffff80, false, 0 },
		{ 2, PCI_COMMAND_IO, 0xffffffff, false, 0 },
		{ 2, PCI_COMMAND_IO, 1, false, 0 },
		{ 2, PCI_COMMAND_MEMORY, 0xc100, false, 0 },
		{ 1, PCI_COMMAND_MEMORY, 0xfebfc000, false, 0 },
	};
	struct world w;
	uint32_t addr;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		world_open(&w);
		pci_config_write(&w.pc, PCI_COMMAND, 2, t[i].command);
		pci_config_write(&w.pc, PCI_BASE_ADDRESS_0 + 4 * t[i].bar, 4,
				 t[i].val);
		addr = 0;
		assert_int_equal(pci_config_bar_addr(&w.pc, t[i].bar, &addr),
				 t[i].on);
		assert_int_equal(addr, t[i].addr);
	}
}

static void test_capabilities(void **state)
{
	static const uint8_t one[] = { 0x11, 0x12, 0x13 };
	static const uint8_t two[] = { 0x21, 0x22 };
	struct world w;
	unsigned int a, b, i;

	(void)state;
	world_open(&w);
	a = pci_config_add_cap(&w.pc, 9, one, 5);
	assert_int_equal(a, 0x40);
	b = pci_config_add_cap(&w.pc, 0x11, two, 4);
	assert_int_equal(b, 0x48);		/* aligned */
	assert_int_equal(pci_config_read(&w.pc, PCI_STATUS, 2),
			 PCI_STATUS_CAP_LIST);
	assert_int_equal(pci_config_read(&w.pc, PCI_CAPABILITY_LIST, 1), a);
	assert_int_equal(pci_config_read(&w.pc, a, 4), 0x12110009 | b << 8);
	assert_int_equal(pci_config_read(&w.pc, a + 4, 4), 0x13);
	assert_int_equal(pci_config_read(&w.pc, b, 4), 0x22210011);
	for (i = a; i < b + 4; i++)
		pci_config_write(&w.pc, i, 1, ~w.st.cfg[i]);
	assert_int_equal(pci_config_read(&w.pc, b, 4), 0x22210011);

	pci_config_writable16(&w.pc, b + 2, 0xc001);
	pci_config_write(&w.pc, b, 4, 0xffffffff);
	assert_int_equal(pci_config_read(&w.pc, b, 4), 0xe2210011);
	assert_int_equal(pci_config_get16(&w.pc, b + 2), 0xe221);
	pci_config_put16(&w.pc, b + 2, 0x1234);
	assert_int_equal(pci_config_get16(&w.pc, b + 2), 0x1234);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_header),
	cmocka_unit_test(test_multifunction),
	cmocka_unit_test(test_writable),
	cmocka_unit_test(test_partial_write),
	cmocka_unit_test(test_sizing),
	cmocka_unit_test(test_decoding),
	cmocka_unit_test(test_capabilities),
};

UNIT_MAIN(tests)
