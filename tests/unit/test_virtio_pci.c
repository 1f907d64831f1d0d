/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_pci.c: the PCI transport as a driver finds it: capabilities,
 * every register of the common configuration, BARs that come and go, the
 * window inside configuration space, and the two kinds of interrupt.
 */
#include <errno.h>
#include "rig.h"
#include "unit.h"

#define RAM		(1u << 20)
#define BUFFERS		(FAKE_RAM + (RAM / 2))
#define QUEUES		2
#define QUEUE_SIZE	64

struct world {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring;
};

static void world_open(struct world *w)
{
	rig_init(&w->rig, RAM);
	probe_init(&w->probe, &w->rig, QUEUES, QUEUE_SIZE);
	rig_plug(&w->rig, &w->probe.vdev);
}

static void world_up(struct world *w)
{
	world_open(w);
	rig_up(&w->rig, 0);
	ring_init(&w->ring, &w->rig, 0, 8, FAKE_RAM);
	ring_enable(&w->ring);
	rig_ok(&w->rig);
	w->probe.echo = true;
}

static void world_close(struct world *w)
{
	probe_fini(&w->probe, &w->rig);
}

/* One chain there and back: one interrupt of queue 0, if it is wanted. */
static void go(struct world *w)
{
	ring_desc(&w->ring, 0, BUFFERS, 16, D_WRITE, 0);
	ring_post(&w->ring, 0);
	ring_kick(&w->ring);
	rig_run(&w->rig);
}

/* ---- configuration space ---- */

static void test_identity(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(rig_cfg(&w.rig, PCI_VENDOR_ID, 4), 0x107f1af4);
	assert_int_equal(rig_cfg(&w.rig, PCI_CLASS_REVISION, 4), 0xff000001);
	assert_int_equal(rig_cfg(&w.rig, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(rig_cfg(&w.rig, PCI_SUBSYSTEM_ID, 2), 0x1100);
	assert_int_equal(rig_cfg(&w.rig, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(rig_cfg(&w.rig, PCI_INTERRUPT_PIN, 1), 1);
	world_close(&w);

	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
	assert_int_equal(rig_plug_env(&w.rig, &w.probe.vdev, false, false,
				      true), 0);
	assert_int_equal(rig_cfg(&w.rig, PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(rig_cfg(&w.rig, PCI_INTERRUPT_PIN, 1), 0);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	assert_int_equal(rig_cfg(&w.rig, PCI_BASE_ADDRESS_2, 4), 0);
	world_close(&w);
}

struct cap {
	uint8_t type, bar;
	uint32_t offset, length;
};

/* The virtio capabilities, in the order of the list.  Return: how many. */
static unsigned int caps(struct world *w, struct cap *ret, unsigned int max)
{
	unsigned int at, n = 0, steps = 0;

	at = rig_cfg(&w->rig, PCI_CAPABILITY_LIST, 1);
	for (; at && n < max; at = rig_cfg(&w->rig, at + 1, 1)) {
		assert_true(at >= 0x40 && at % 4 == 0 && ++steps < 48);
		if (rig_cfg(&w->rig, at, 1) != PCI_CAP_ID_VNDR)
			continue;
		ret[n++] = (struct cap){
			.type	= (uint8_t)rig_cfg(&w->rig, at + 3, 1),
			.bar	= (uint8_t)rig_cfg(&w->rig, at + 4, 1),
			.offset	= rig_cfg(&w->rig, at + 8, 4),
			.length	= rig_cfg(&w->rig, at + 12, 4),
		};
	}
	return n;
}

static void test_capabilities(void **state)
{
	static const struct cap want[] = {
		{ VIRTIO_PCI_CAP_COMMON_CFG, 0, 0, 60 },
		{ VIRTIO_PCI_CAP_NOTIFY_CFG, 2, 0, 128 },
		{ VIRTIO_PCI_CAP_NOTIFY_CFG, 0, 0x1000, 0x1000 },
		{ VIRTIO_PCI_CAP_ISR_CFG, 0, 0x400, 1 },
		{ VIRTIO_PCI_CAP_DEVICE_CFG, 0, 0x800, 10 },
		{ VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0 },
	};
	struct cap got[16];
	unsigned int n, i, at;
	struct world w;

	(void)state;
	world_open(&w);
	n = caps(&w, got, ARRAY_SIZE(got));
	assert_int_equal(n, ARRAY_SIZE(want));
	for (i = 0; i < n; i++) {
		assert_int_equal(got[i].type, want[i].type);
		assert_int_equal(got[i].bar, want[i].bar);
		assert_int_equal(got[i].offset, want[i].offset);
		assert_int_equal(got[i].length, want[i].length);
	}
	at = rig_cap(&w.rig, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG);
	assert_int_equal(rig_cfg(&w.rig, at + 2, 1), 20);
	assert_int_equal(rig_cfg(&w.rig, at + 16, 4), 4);
	at = rig_cap(&w.rig, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_COMMON_CFG);
	assert_int_equal(rig_cfg(&w.rig, at + 2, 1), 16);
	assert_int_equal(rig_cfg(&w.rig, w.rig.window_cap + 2, 1), 20);

	assert_int_equal(rig_cfg(&w.rig, w.rig.msix_cap + 2, 2), QUEUES);
	assert_int_equal(rig_cfg(&w.rig, w.rig.msix_cap + 4, 4), 0x2000);
	assert_int_equal(rig_cfg(&w.rig, w.rig.msix_cap + 8, 4), 0x3000);
	world_close(&w);

	/* Without ports, the doorbells are in BAR 0 only. */
	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
	assert_int_equal(rig_plug_env(&w.rig, &w.probe.vdev, true, false,
				      false), 0);
	n = caps(&w, got, ARRAY_SIZE(got));
	assert_int_equal(n, ARRAY_SIZE(want) - 1);
	for (i = 0; i < n; i++)
		assert_int_equal(got[i].bar, 0);
	world_close(&w);
}

/* The guest can change nothing but what it may. */
static void test_cfg_read_only(void **state)
{
	uint8_t before[256];
	struct world w;
	unsigned int i;
	bool may;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (i = 0; i < 256; i++)
		before[i] = (uint8_t)rig_cfg(&w.rig, i, 1);
	for (i = 0; i < 256; i++) {
		may = i == PCI_COMMAND || i == PCI_COMMAND + 1 ||
		      i == PCI_CACHE_LINE_SIZE || i == PCI_LATENCY_TIMER ||
		      i == PCI_INTERRUPT_LINE ||
		      (i > PCI_BASE_ADDRESS_0 && i < PCI_BASE_ADDRESS_1) ||
		      (i >= PCI_BASE_ADDRESS_2 && i < PCI_BASE_ADDRESS_3) ||
		      i == w.rig.msix_cap + 3 ||
		      i == w.rig.window_cap + 4 ||
		      i >= w.rig.window_cap + 8;
		if (may)
			continue;
		rig_cfg_set(&w.rig, i, 1, before[i] ^ 0xff);
		assert_int_equal(rig_cfg(&w.rig, i, 1), before[i]);
	}
	/* MSI-X control: two bits of 16. */
	rig_msix_control(&w.rig, 0xffff);
	assert_int_equal(rig_cfg(&w.rig, w.rig.msix_cap + 2, 2),
			 0xc000 | QUEUES);
	world_close(&w);
}

/* ---- the common configuration ---- */

static const struct {
	uint8_t off, size;
	bool ro;
	uint32_t write, read;		/* what is written, and comes back */
} regs[] = {
	{ 0,	4, false, 0xdeadbeef, 0xdeadbeef },	/* DFSELECT */
	{ 4,	4, true,  0xffffffff, 0 },		/* DF */
	{ 8,	4, false, 1, 1 },			/* GFSELECT */
	{ 12,	4, false, 0x12345678, 0x12345678 },	/* GF */
	{ 16,	2, false, 2, 2 },			/* MSIX */
	{ 18,	2, true,  0, QUEUES },			/* NUMQ */
	{ 20,	1, false, S_ACK, S_ACK },		/* STATUS */
	{ 21,	1, true,  5, 0 },			/* GENERATION */
	{ 22,	2, false, 1, 1 },			/* Q_SELECT */
	{ 24,	2, false, 32, 32 },			/* Q_SIZE */
	{ 26,	2, false, 1, 1 },			/* Q_MSIX */
	{ 28,	2, false, 0, 0 },			/* Q_ENABLE */
	{ 30,	2, true,  7, 1 },			/* Q_NOFF */
	{ 32,	4, false, 0x11223344, 0x11223344 },	/* Q_DESC */
	{ 36,	4, false, 0x55667788, 0x55667788 },
	{ 40,	4, false, 0x21223344, 0x21223344 },	/* Q_AVAIL */
	{ 44,	4, false, 0x65667788, 0x65667788 },
	{ 48,	4, false, 0x31223344, 0x31223344 },	/* Q_USED */
	{ 52,	4, false, 0x75667788, 0x75667788 },
	{ 56,	2, true,  3, 0 },			/* Q_NDATA */
	{ 58,	2, false, 0, 0 },			/* Q_RESET */
};

/* Every register, written and read in its own width, and in parts. */
static void test_common_registers(void **state)
{
	struct world w;
	unsigned int i, b;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		rig_mem_set(&w.rig, regs[i].off, regs[i].size, regs[i].write);
		assert_int_equal(rig_mem(&w.rig, regs[i].off, regs[i].size),
				 regs[i].read);
	}
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		assert_int_equal(rig_mem(&w.rig, regs[i].off, regs[i].size),
				 regs[i].read);
		for (b = 0; b < regs[i].size; b++)
			assert_int_equal(rig_mem(&w.rig, regs[i].off + b, 1),
					 regs[i].read >> 8 * b & 0xff);
		if (regs[i].size == 4)
			assert_int_equal(rig_mem(&w.rig, regs[i].off + 2, 2),
					 regs[i].read >> 16);
		if (regs[i].size == 4)	/* not aligned, still inside */
			assert_int_equal(rig_mem(&w.rig, regs[i].off + 1, 2),
					 regs[i].read >> 8 & 0xffff);
	}
	world_close(&w);
}

/* Written in any other width or place: nothing.  Read so: zero. */
static void test_common_widths(void **state)
{
	static const uint8_t sizes[] = { 1, 2, 4 };
	uint8_t before[64], after[64];
	unsigned int i, s, off, b;
	struct world w;
	bool own;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (i = 0; i < ARRAY_SIZE(regs); i++)
		rig_mem_set(&w.rig, regs[i].off, regs[i].size, regs[i].write);
	for (b = 0; b < 64; b++)
		before[b] = (uint8_t)rig_mem(&w.rig, b, 1);
	for (off = 0; off < 64; off++) {
		for (s = 0; s < ARRAY_SIZE(sizes); s++) {
			own = false;
			for (i = 0; i < ARRAY_SIZE(regs); i++)
				own |= regs[i].off == off &&
				       regs[i].size == sizes[s] &&
				       !regs[i].ro;
			if (own)
				continue;
			rig_mem_set(&w.rig, off, sizes[s], 0x0f0f0f0f);
			for (b = 0; b < 64; b++)
				after[b] = (uint8_t)rig_mem(&w.rig, b, 1);
			assert_memory_equal(before, after, sizeof(before));
		}
	}
	assert_int_equal(rig_mem(&w.rig, 16, 4), 0);	/* two registers */
	assert_int_equal(rig_mem(&w.rig, 20, 2), 0);
	assert_int_equal(rig_mem(&w.rig, 34, 4), 0);
	assert_int_equal(rig_mem(&w.rig, 60, 4), 0);	/* behind the last */
	assert_int_equal(rig_mem(&w.rig, 0x3fc, 4), 0);
	rig_mem_set(&w.rig, 0x3fc, 4, 0xffffffff);

	/* 64 bits are two of 32. */
	fake_write(&w.rig.bus, IO_MEM, RIG_BAR + 32, 8, 0x123456789abcdef0);
	assert_int_equal(fake_read(&w.rig.bus, IO_MEM, RIG_BAR + 32, 8),
			 0x123456789abcdef0);
	assert_int_equal(rig_mem(&w.rig, 36, 4), 0x12345678);
	world_close(&w);
}

static void test_select_out_of_range(void **state)
{
	static const uint16_t bad[] = { QUEUES, 15, 16, 17, 0x100, 0xffff };
	struct fn_state before;
	struct world w;
	unsigned int i, reg;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	rig_negotiate(&w.rig, RIG_RING_RESET);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, bad[i]);
		assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT),
				 bad[i]);
		before = w.rig.state;
		for (reg = VIRTIO_PCI_COMMON_Q_SIZE;
		     reg <= VIRTIO_PCI_COMMON_Q_RESET; reg += 2) {
			rig_reg_set(&w.rig, reg, 1);
			assert_int_equal(rig_reg(&w.rig, reg), 0);
		}
		assert_memory_equal(&before, &w.rig.state, sizeof(before));
	}
	assert_int_equal(rig_status(&w.rig), S_UP);
	world_close(&w);
}

static void test_queue_size(void **state)
{
	static const struct {
		uint16_t write, read;
	} t[] = {
		{ 1, 1 }, { 2, 2 }, { 64, 64 }, { 32, 32 },
		{ 0, 32 }, { 3, 32 }, { 33, 32 }, { 128, 32 },
		{ 0x8000, 32 }, { 0xffff, 32 }, { 64, 64 },
	};
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE),
			 QUEUE_SIZE);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE, t[i].write);
		assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE),
				 t[i].read);
	}
	world_close(&w);
}

/* Size and addresses of an enabled queue cannot be changed (CVE-2026-5747). */
static void test_write_while_enabled(void **state)
{
	struct vq_state before;
	struct world w;
	unsigned int reg;

	(void)state;
	world_up(&w);
	before = w.rig.state.vq[0];
	for (reg = VIRTIO_PCI_COMMON_Q_DESCLO;
	     reg <= VIRTIO_PCI_COMMON_Q_USEDHI; reg += 4)
		rig_reg_set(&w.rig, reg, 0xfffffff0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE, 64);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 2);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	assert_memory_equal(&before, &w.rig.state.vq[0], sizeof(before));
	go(&w);
	assert_int_equal(ring_used_idx(&w.ring), 1);

	/* Its vector can. */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_MSIX, 2);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_MSIX), 2);
	world_close(&w);
}

static void test_enable_values(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_up(&w.rig, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 2);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE, 0xffff);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	assert_int_equal(rig_status(&w.rig), S_UP);
	world_close(&w);
}

/* Vectors beyond the table read back as none. */
static void test_vectors(void **state)
{
	static const uint16_t regs16[] = { VIRTIO_PCI_COMMON_MSIX,
					   VIRTIO_PCI_COMMON_Q_MSIX };
	struct world w;
	unsigned int i, v;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (i = 0; i < ARRAY_SIZE(regs16); i++) {
		assert_int_equal(rig_reg(&w.rig, regs16[i]), VDEV_NO_VECTOR);
		for (v = 0; v <= 40; v++) {
			rig_reg_set(&w.rig, regs16[i], v);
			assert_int_equal(rig_reg(&w.rig, regs16[i]),
					 v <= QUEUES ? v : VDEV_NO_VECTOR);
		}
		rig_reg_set(&w.rig, regs16[i], 0);
		rig_reg_set(&w.rig, regs16[i], VDEV_NO_VECTOR);
		assert_int_equal(rig_reg(&w.rig, regs16[i]), VDEV_NO_VECTOR);
	}
	world_close(&w);
}

/* ---- the other areas ---- */

static void test_device_config(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (i = 0; i < 10; i++)
		w.probe.config[i] = (uint8_t)(0x10 + i);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE, 4), 0x13121110);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 3, 2), 0x1413);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 9, 1), 0x19);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 8, 2), 0x1918);
	/* Over the end and behind it. */
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 8, 4), 0);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 10, 1), 0);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 0x3fc, 4), 0);

	rig_mem_set(&w.rig, RIG_DEVICE + 1, 4, 0xa4a3a2a1);
	assert_int_equal(w.probe.config[0], 0x10);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 1, 4), 0xa4a3a2a1);
	rig_mem_set(&w.rig, RIG_DEVICE + 5, 1, 0xff);
	assert_int_equal(w.probe.config[5], 0xff);
	rig_mem_set(&w.rig, RIG_DEVICE + 8, 4, 0);
	rig_mem_set(&w.rig, RIG_DEVICE + 10, 1, 0);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE + 8, 2), 0x1918);
	world_close(&w);
}

/* A device without config_write: read-only. */
static void test_device_config_read_only(void **state)
{
	struct vdev_ops ops = probe_ops;
	struct world w;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	ops.config_write = NULL;
	w.probe.vdev.ops = &ops;
	rig_mem_set(&w.rig, RIG_DEVICE, 4, 0xffffffff);
	assert_int_equal(rig_mem(&w.rig, RIG_DEVICE, 4), 0);
	world_close(&w);
}

/* All of BAR 0, in every width: answered, and never by more than asked. */
static void test_whole_bar(void **state)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	unsigned int off, s;
	struct world w;

	(void)state;
	world_up(&w);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (off = 0; off < 0x4000; off++) {
			(void)fake_read(&w.rig.bus, IO_MEM, RIG_BAR + off,
					sizes[s]);
			if (off >= 64)
				fake_write(&w.rig.bus, IO_MEM, RIG_BAR + off,
					   sizes[s], ~0ull);
		}
	}
	assert_int_equal(rig_mem(&w.rig, 0x1000, 4), 0);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR + 1, 1), 0);
	assert_int_equal(rig_mem(&w.rig, 0x2400, 4), 0);
	assert_int_equal(rig_mem(&w.rig, 0x4000, 4), 0xffffffff);
	rig_run(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	world_close(&w);
}

static void test_msix_area(void **state)
{
	struct world w;
	unsigned int v;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	for (v = 0; v <= QUEUES; v++)
		assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 16 * v + 12, 4),
				 1);
	rig_mem_set(&w.rig, RIG_MSIX + 16, 4, 0xfee12345);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 16, 4), 0xfee12345);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 17, 1), 0x23);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 18, 2), 0xfee1);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 18, 4), 0);
	/* Only in words (PCI 3.0, 6.8.2); also as a pair. */
	rig_mem_set(&w.rig, RIG_MSIX + 16, 1, 0);
	rig_mem_set(&w.rig, RIG_MSIX + 16, 2, 0);
	rig_mem_set(&w.rig, RIG_MSIX + 17, 4, 0);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX + 16, 4), 0xfee12345);
	fake_write(&w.rig.bus, IO_MEM, RIG_BAR + RIG_MSIX + 16, 8,
		   0x1fee00000ull);
	assert_int_equal(fake_read(&w.rig.bus, IO_MEM,
				   RIG_BAR + RIG_MSIX + 16, 8), 0x1fee00000);

	/* The pending bits cannot be written. */
	rig_mem_set(&w.rig, RIG_MSIX + 16 + 8, 4, 0x41);
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE);
	virtio_pci_queue_interrupt(&w.rig.pci, 1);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 4), 2);
	rig_mem_set(&w.rig, RIG_PBA, 4, 0);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 1), 2);
	assert_int_equal(fake_read(&w.rig.bus, IO_MEM, RIG_BAR + RIG_PBA, 8),
			 2);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA + 1, 4), 0);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA + 4, 4), 0);
	world_close(&w);
}

/* ---- BARs ---- */

static void test_bar_moves(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	assert_null(w.rig.bus.list[IO_MEM]);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	assert_null(w.rig.bus.list[IO_MEM]);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), QUEUES);
	assert_null(w.rig.bus.list[IO_PORT]);

	/* Sizing, as firmware does it, with decoding left on. */
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(rig_cfg(&w.rig, PCI_BASE_ADDRESS_0, 4), 0xffffc000);
	assert_null(w.rig.bus.list[IO_MEM]);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), QUEUES);

	/* Half of the address at a time. */
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0 + 2, 2, 0xf100);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), 0xffff);
	assert_int_equal(fake_read(&w.rig.bus, IO_MEM, 0xf1000000 +
				   VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);

	/* Writing the same again moves nothing. */
	w.rig.bus.adds = 0;
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, 0xf1000000);
	rig_cfg_set(&w.rig, PCI_INTERRUPT_LINE, 1, 10);
	assert_int_equal(w.rig.bus.adds, 0);

	rig_command(&w.rig, 0);
	assert_null(w.rig.bus.list[IO_MEM]);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_2, 4, RIG_PORTS);
	rig_command(&w.rig, PCI_COMMAND_IO);
	assert_int_equal(fake_read(&w.rig.bus, IO_PORT, RIG_PORTS, 2), 0);
	assert_int_equal(fake_read(&w.rig.bus, IO_PORT, RIG_PORTS + 128, 2),
			 0xffff);
	assert_null(w.rig.bus.list[IO_MEM]);
	rig_command(&w.rig, 0);
	assert_null(w.rig.bus.list[IO_PORT]);
	world_close(&w);
}

/* Over something that is there already: refused, told, and all goes on. */
static void test_bar_overlaps(void **state)
{
	static struct unit_capture c;
	struct io_region other;
	struct world w;
	const char *text;

	(void)state;
	world_open(&w);
	other = w.rig.pci.bar_io[0];
	other.start = 0xf2003000;
	other.added = false;
	assert_int_equal(io_region_add(&w.rig.bus, &other), 0);

	w.probe.vdev.limit = (struct log_limit){ 0 };
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	unit_capture_start(&c, STDERR_FILENO);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, 0xf2000000);
	text = unit_capture_end(&c);
	assert_non_null(strstr(text, "d1 rig0: the guest put BAR 0 at 0xf2000000, where it cannot be: File exists"));
	rig_mute(&w.probe.vdev);
	assert_ptr_equal(w.rig.bus.list[IO_MEM], &other);
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), QUEUES);

	/* It is where it was, and not there as well. */
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, 0xf2004000);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), 0xffff);
	io_region_del(&w.rig.bus, &other);
	rig_cfg_set(&w.rig, PCI_LATENCY_TIMER, 1, 0);	/* tried again */
	assert_int_equal(fake_read(&w.rig.bus, IO_MEM, 0xf2004000 +
				   VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);

	/* Xen takes no more. */
	w.rig.bus.fail = -ENOSPC;
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	assert_null(w.rig.bus.list[IO_MEM]);
	w.rig.bus.fail = 0;
	rig_cfg_set(&w.rig, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), QUEUES);
	world_close(&w);
}

static void test_place_taken(void **state)
{
	struct virtio_pci unused;
	struct world w;

	(void)state;
	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
	w.rig.bus.fail = -EEXIST;
	assert_int_equal(rig_plug_env(&w.rig, &w.probe.vdev, true, true,
				      false), -EEXIST);
	probe_fini(&w.probe, &w.rig);

	memset(&unused, 0, sizeof(unused));
	virtio_pci_fini(&unused);		/* never initialised */
}

/* ---- the window in configuration space (4.1.4.9) ---- */

static void window(struct world *w, unsigned int bar, uint32_t off,
		   uint32_t len)
{
	unsigned int at = w->rig.window_cap;

	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_BAR, 1, bar);
	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_OFFSET, 4, off);
	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_LENGTH, 4, len);
}

static uint32_t window_get(struct world *w)
{
	return rig_cfg(&w->rig, w->rig.window_cap + 16, 4);
}

static void window_set(struct world *w, uint32_t val)
{
	rig_cfg_set(&w->rig, w->rig.window_cap + 16, 4, val);
}

static void test_window(void **state)
{
	struct world w;
	unsigned int at;

	(void)state;
	world_open(&w);
	at = w.rig.window_cap + 16;

	/* Works with no BAR placed. */
	window(&w, 0, VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(window_get(&w), QUEUES);
	window(&w, 0, VIRTIO_PCI_COMMON_STATUS, 1);
	window_set(&w, 0xffffff00 | S_ACK);
	assert_int_equal(window_get(&w), S_ACK);
	window(&w, 0, VIRTIO_PCI_COMMON_DFSELECT, 4);
	window_set(&w, 1);
	window(&w, 0, VIRTIO_PCI_COMMON_DF, 4);
	assert_int_equal(window_get(&w),
			 (RIG_BASE_FEATURES | RIG_RING_RESET) >> 32);
	window(&w, 0, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	window_set(&w, 8);
	assert_int_equal(window_get(&w), 8);

	/* Read in parts: the access is of the length that is set. */
	window(&w, 0, RIG_DEVICE, 4);
	memcpy(w.probe.config, "abcd", 4);
	assert_int_equal(rig_cfg(&w.rig, at, 1), 'a');
	assert_int_equal(rig_cfg(&w.rig, at + 3, 1), 'd');
	assert_int_equal(rig_cfg(&w.rig, at + 2, 2), 'c' | 'd' << 8);
	rig_cfg_set(&w.rig, at + 1, 1, 'X');	/* the rest as last read */
	assert_memory_equal(w.probe.config, "aXcd", 4);

	/* The MSI-X table, the doorbells. */
	window(&w, 0, RIG_MSIX + 12, 4);
	assert_int_equal(window_get(&w), 1);
	window_set(&w, 0);
	assert_int_equal(window_get(&w), 0);
	window(&w, 2, 4, 2);
	assert_int_equal(window_get(&w), 0);
	window_set(&w, 1);
	world_close(&w);
}

/* The doorbell through the window, in both BARs; the ISR through it. */
static void test_window_works(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	ring_desc(&w.ring, 0, BUFFERS, 16, D_WRITE, 0);
	ring_post(&w.ring, 0);
	window(&w, 0, RIG_NOTIFY, 2);
	window_set(&w, 0);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 1);
	ring_post(&w.ring, 0);
	window(&w, 2, 0, 2);
	window_set(&w, 0);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 2);
	window(&w, 0, RIG_ISR, 1);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	/* Looking at the pointer is not looking through it. */
	(void)rig_cfg(&w.rig, w.rig.window_cap + 12, 4);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(window_get(&w), 1);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(window_get(&w), 0);
	world_close(&w);
}

static void test_window_nowhere(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t off, len;
	} t[] = {
		{ 0, VIRTIO_PCI_COMMON_NUMQ, 0 },
		{ 0, VIRTIO_PCI_COMMON_NUMQ, 3 },
		{ 0, VIRTIO_PCI_COMMON_NUMQ, 8 },
		{ 0, VIRTIO_PCI_COMMON_NUMQ, 0xffffffff },
		{ 0, VIRTIO_PCI_COMMON_NUMQ + 1, 2 },	/* not aligned */
		{ 0, VIRTIO_PCI_COMMON_NUMQ, 4 },
		{ 0, RIG_DEVICE + 1, 2 },
		{ 0, RIG_DEVICE + 2, 4 },
		{ 0, RIG_DEVICE + 3, 4 },
		{ 0, 0x4000, 4 },
		{ 0, 0x3ffe, 4 },
		{ 0, 0xfffffffc, 4 },
		{ 0, 0xffffffff, 1 },
		{ 1, VIRTIO_PCI_COMMON_NUMQ, 2 },
		{ 2, 0x80, 1 },
		{ 3, 0, 4 },
		{ 5, 0, 4 },
		{ 6, VIRTIO_PCI_COMMON_NUMQ, 2 },
		{ 255, VIRTIO_PCI_COMMON_NUMQ, 2 },
	};
	struct fn_state before;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	rig_place(&w.rig);
	memset(w.probe.config, 0x55, sizeof(w.probe.config));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		window(&w, t[i].bar, t[i].off, t[i].len);
		assert_int_equal(window_get(&w), 0);
		before = w.rig.state;
		window_set(&w, 0);
		assert_memory_equal(&before, &w.rig.state, sizeof(before));
		window_set(&w, 0x01010101);
		assert_int_equal(window_get(&w), 0);
		assert_memory_equal(&before, &w.rig.state, sizeof(before));
	}
	world_close(&w);
}

/* ---- interrupts ---- */

static void test_intx(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	assert_int_equal(w.rig.irq.count, 0);
	go(&w);
	assert_int_equal(w.rig.irq.count, 1);
	assert_false(w.rig.irq.event[0].msi);
	assert_int_equal(w.rig.irq.event[0].addr, RIG_SLOT);
	assert_int_equal(w.rig.irq.event[0].data, 1);
	assert_int_equal(rig_cfg(&w.rig, PCI_STATUS, 2),
			 PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	go(&w);					/* still high */
	assert_int_equal(w.rig.irq.count, 1);

	/* Reading acknowledges, in one byte at one place. */
	assert_int_equal(rig_mem(&w.rig, RIG_ISR + 1, 1), 0);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	rig_mem_set(&w.rig, RIG_ISR, 1, 0);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 1);
	assert_int_equal(w.rig.irq.count, 2);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(rig_cfg(&w.rig, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 0);
	assert_int_equal(w.rig.irq.count, 2);

	/* The configuration's bit is another one. */
	vdev_config_changed(&w.probe.vdev);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	go(&w);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 3);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	vdev_config_changed(&w.probe.vdev);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 2);
	world_close(&w);
}

static void test_intx_disable(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	rig_command(&w.rig, RIG_COMMAND | PCI_COMMAND_INTX_DISABLE);
	go(&w);
	assert_int_equal(w.rig.irq.count, 0);
	assert_int_equal(rig_cfg(&w.rig, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT,
			 PCI_STATUS_INTERRUPT);
	rig_command(&w.rig, RIG_COMMAND);
	assert_int_equal(w.rig.irq.count, 1);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	rig_command(&w.rig, RIG_COMMAND | PCI_COMMAND_INTX_DISABLE);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 1);
	rig_command(&w.rig, RIG_COMMAND);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	world_close(&w);
}

/* The line falls with a reset, with MSI-X, and with the device. */
static void test_intx_falls(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	go(&w);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	rig_status_set(&w.rig, 0);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 0);
	world_close(&w);

	world_up(&w);
	go(&w);
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE);
	assert_false(w.rig.irq.level[RIG_SLOT]);
	rig_msix_control(&w.rig, 0);
	assert_true(w.rig.irq.level[RIG_SLOT]);
	world_close(&w);			/* rig_unplug() looks */
}

/* A PVH guest has no such lines: they are left alone. */
static void test_no_intx(void **state)
{
	struct world w;

	(void)state;
	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
	assert_int_equal(rig_plug_env(&w.rig, &w.probe.vdev, false, true,
				      false), 0);
	rig_up(&w.rig, 0);
	ring_init(&w.ring, &w.rig, 0, 8, FAKE_RAM);
	ring_enable(&w.ring);
	rig_ok(&w.rig);
	w.probe.echo = true;
	go(&w);
	assert_int_equal(w.rig.irq.count, 0);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 1);
	world_close(&w);
}

static void test_msix(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	rig_msix_on(&w.rig);
	go(&w);
	assert_int_equal(w.rig.irq.count, 1);
	assert_true(w.rig.irq.event[0].msi);
	assert_int_equal(w.rig.irq.event[0].addr, RIG_MSI_ADDR);
	assert_int_equal(w.rig.irq.event[0].data, RIG_MSI_DATA + 1);
	assert_int_equal(rig_mem(&w.rig, RIG_ISR, 1), 0);

	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_MSIX, VDEV_NO_VECTOR);
	go(&w);
	assert_int_equal(w.rig.irq.count, 1);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_MSIX, 2);
	go(&w);
	assert_int_equal(w.rig.irq.event[1].data, RIG_MSI_DATA + 2);

	/* Function mask: pending, and sent when it is off. */
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE |
				 PCI_MSIX_FLAGS_MASKALL);
	go(&w);
	assert_int_equal(w.rig.irq.count, 2);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 4), 4);
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(w.rig.irq.count, 3);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 4), 0);

	/* A device reset forgets what is pending, not the table. */
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE |
				 PCI_MSIX_FLAGS_MASKALL);
	go(&w);
	rig_status_set(&w.rig, 0);
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(w.rig.irq.count, 3);
	assert_int_equal(rig_mem(&w.rig, RIG_MSIX, 4), RIG_MSI_ADDR);
	world_close(&w);
}

/* A message is a write to memory: none without bus mastering. */
static void test_msix_needs_master(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	rig_msix_on(&w.rig);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	vdev_config_changed(&w.probe.vdev);	/* no vector: nowhere */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, 0);
	vdev_config_changed(&w.probe.vdev);
	assert_int_equal(w.rig.irq.count, 0);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 4), 1);
	rig_command(&w.rig, RIG_COMMAND);
	assert_int_equal(w.rig.irq.count, 1);
	assert_int_equal(w.rig.irq.event[0].data, RIG_MSI_DATA);
	assert_int_equal(rig_mem(&w.rig, RIG_PBA, 4), 0);
	world_close(&w);
}

/* An address that Xen refuses is the guest's loss, and nothing else. */
static void test_msi_refused(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	rig_msix_on(&w.rig);
	w.rig.irq.fail = -EINVAL;
	go(&w);
	go(&w);
	assert_int_equal(w.rig.irq.count, 2);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	w.rig.irq.fail = 0;
	world_close(&w);
}

/* What has been raised counts, and what has nowhere to go does not. */
static void test_counters(void **state)
{
	const struct fn_stats *stats;
	struct world w;

	(void)state;
	world_up(&w);
	stats = &w.rig.state.stats;
	assert_int_equal(stats->kicks, 0);
	go(&w);
	go(&w);
	assert_int_equal(stats->kicks, 2);
	assert_int_equal(stats->interrupts, 2);
	vdev_config_changed(&w.probe.vdev);
	assert_int_equal(stats->interrupts, 3);
	assert_int_equal(stats->kicks, 2);
	rig_msix_on(&w.rig);
	vdev_config_changed(&w.probe.vdev);	/* no vector */
	assert_int_equal(stats->interrupts, 3);
	rig_msix_control(&w.rig, PCI_MSIX_FLAGS_ENABLE |
				 PCI_MSIX_FLAGS_MASKALL);
	go(&w);
	assert_int_equal(stats->interrupts, 4);
	rig_status_set(&w.rig, 0);
	assert_int_equal(stats->kicks, 3);
	assert_int_equal(stats->interrupts, 4);
	world_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_identity),
	cmocka_unit_test(test_capabilities),
	cmocka_unit_test(test_cfg_read_only),
	cmocka_unit_test(test_common_registers),
	cmocka_unit_test(test_common_widths),
	cmocka_unit_test(test_select_out_of_range),
	cmocka_unit_test(test_queue_size),
	cmocka_unit_test(test_write_while_enabled),
	cmocka_unit_test(test_enable_values),
	cmocka_unit_test(test_vectors),
	cmocka_unit_test(test_device_config),
	cmocka_unit_test(test_device_config_read_only),
	cmocka_unit_test(test_whole_bar),
	cmocka_unit_test(test_msix_area),
	cmocka_unit_test(test_bar_moves),
	cmocka_unit_test(test_bar_overlaps),
	cmocka_unit_test(test_place_taken),
	cmocka_unit_test(test_window),
	cmocka_unit_test(test_window_works),
	cmocka_unit_test(test_window_nowhere),
	cmocka_unit_test(test_intx),
	cmocka_unit_test(test_intx_disable),
	cmocka_unit_test(test_intx_falls),
	cmocka_unit_test(test_no_intx),
	cmocka_unit_test(test_msix),
	cmocka_unit_test(test_msix_needs_master),
	cmocka_unit_test(test_msi_refused),
	cmocka_unit_test(test_counters),
};

UNIT_MAIN(tests)
