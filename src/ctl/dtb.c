/* SPDX-License-Identifier: MIT */
/*
 * dtb.c: see the header.
 *
 *	/passthrough
 *		v2m@3001000	gives out SPIs as messages (GICv2m)
 *		xen_iommu	whoever is behind it grants (xen,grant-dma)
 *		pcie@10000000	Xen's virtual host bridge: ECAM, windows, and
 *				for each slot the interrupt of its INTA#
 *
 * The frame of v2m is never touched: the driver is told what it would read
 * there, a register at 0xfcc aside, and a message is not written but sent by
 * us.  So it is at the virtual GIC's distributor, which has that register, and
 * reads as the zero that the driver wants.
 *
 * PCI's lines have levels, and these are edges: Xen's virtual GIC keeps none for
 * us.  Linux would count on a level to bring back what came while it had the
 * interrupt disabled; of an edge it takes a note.
 */
#include <errno.h>
#include <libfdt.h>
#include <stdint.h>
#include <stdlib.h>

#include "arm_guest.h"
#include "dtb.h"
#include "util.h"

#define DTB_BYTES	8192	/* three times what it takes */
#define SLOTS		32u

/* libxl's, and ours, which it leaves alone. */
#define PHANDLE_GIC	65000u
#define PHANDLE_V2M	0x100u
#define PHANDLE_IOMMU	0x101u

#define GICD_BASE	0x3001000u	/* <xen/arch-arm.h> */
#define GICD_BYTES	0x1000u
#define PREFETCH_BASE	0x100000000ull
#define PREFETCH_BYTES	0x100000000ull

#define RANGE_MEM32	0x02000000u	/* PCI bus binding, 2.2.1.1 */
#define RANGE_MEM64P	0x43000000u
#define IRQ_EDGE_RISING	1u
#define INTA		1u
#define HIGH(v)		((uint32_t)((uint64_t)(v) >> 32))
#define LOW(v)		((uint32_t)(v))

unsigned int dtb_nr_spis(const struct dtb_guest *guest)
{
	return ARM_GUEST_MSI_BASE + guest->messages - ARM_GUEST_SPI_BASE;
}

/* Each function adds to an error that is there already: the first one counts. */

static void cells(void *fdt, int *err, const char *name, const uint32_t *val,
		  size_t count)
{
	void *room;
	size_t i;

	if (!*err)
		*err = fdt_property_placeholder(fdt, name, (int)(4 * count),
						&room);
	for (i = 0; !*err && i < count; i++)
		fdt32_st((uint8_t *)room + 4 * i, val[i]);
}

#define CELLS(fdt, err, name, ...)					\
	cells(fdt, err, name, (const uint32_t[]){ __VA_ARGS__ },	\
	      sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static void text(void *fdt, int *err, const char *name, const char *val)
{
	if (!*err)
		*err = fdt_property_string(fdt, name, val);
}

static void flag(void *fdt, int *err, const char *name)
{
	if (!*err)
		*err = fdt_property(fdt, name, NULL, 0);
}

static void begin(void *fdt, int *err, const char *name)
{
	if (!*err)
		*err = fdt_begin_node(fdt, name);
}

static void end(void *fdt, int *err)
{
	if (!*err)
		*err = fdt_end_node(fdt);
}

static void messages(void *fdt, int *err, const struct dtb_guest *guest)
{
	begin(fdt, err, "v2m@3001000");
	text(fdt, err, "compatible", "arm,gic-v2m-frame");
	flag(fdt, err, "msi-controller");
	CELLS(fdt, err, "reg", 0, GICD_BASE, 0, GICD_BYTES);
	CELLS(fdt, err, "arm,msi-base-spi", ARM_GUEST_MSI_BASE);
	CELLS(fdt, err, "arm,msi-num-spis", guest->messages);
	CELLS(fdt, err, "phandle", PHANDLE_V2M);
	end(fdt, err);
}

static void iommu(void *fdt, int *err)
{
	begin(fdt, err, "xen_iommu");
	text(fdt, err, "compatible", "xen,grant-dma");
	CELLS(fdt, err, "#iommu-cells", 1);
	CELLS(fdt, err, "phandle", PHANDLE_IOMMU);
	end(fdt, err);
}

static void lines(void *fdt, int *err)
{
	uint32_t map[SLOTS][8];
	unsigned int slot;

	for (slot = 0; slot < SLOTS; slot++) {
		map[slot][0] = slot << 11;
		map[slot][1] = 0;
		map[slot][2] = 0;
		map[slot][3] = INTA;
		map[slot][4] = PHANDLE_GIC;
		map[slot][5] = 0;		/* an SPI */
		map[slot][6] = ARM_GUEST_INTX_BASE + slot -
			       ARM_GUEST_SPI_BASE;
		map[slot][7] = IRQ_EDGE_RISING;
	}
	CELLS(fdt, err, "#interrupt-cells", 1);
	CELLS(fdt, err, "interrupt-map-mask", 0xf800, 0, 0, 7);
	cells(fdt, err, "interrupt-map", map[0], SLOTS * 8);
}

static void bridge(void *fdt, int *err, const struct dtb_guest *guest)
{
	begin(fdt, err, "pcie@10000000");
	text(fdt, err, "compatible", "pci-host-ecam-generic");
	text(fdt, err, "device_type", "pci");
	CELLS(fdt, err, "reg", HIGH(ARM_GUEST_ECAM_BASE),
	      LOW(ARM_GUEST_ECAM_BASE), HIGH(ARM_GUEST_ECAM_BYTES),
	      LOW(ARM_GUEST_ECAM_BYTES));
	/* 32 slots to look at, and not 8192. */
	CELLS(fdt, err, "bus-range", 0, 0);
	CELLS(fdt, err, "#address-cells", 3);
	CELLS(fdt, err, "#size-cells", 2);
	CELLS(fdt, err, "ranges",
	      RANGE_MEM32, 0, LOW(ARM_GUEST_PCI_MEM_BASE),
	      0, LOW(ARM_GUEST_PCI_MEM_BASE), 0, LOW(ARM_GUEST_PCI_MEM_BYTES),
	      RANGE_MEM64P, HIGH(PREFETCH_BASE), LOW(PREFETCH_BASE),
	      HIGH(PREFETCH_BASE), LOW(PREFETCH_BASE),
	      HIGH(PREFETCH_BYTES), LOW(PREFETCH_BYTES));
	flag(fdt, err, "dma-coherent");
	if (guest->grants) {
		/* Every function's is stream 0, which is the domain. */
		CELLS(fdt, err, "iommu-map-mask", 0);
		CELLS(fdt, err, "iommu-map", 0, PHANDLE_IOMMU, 0, 1);
	}
	CELLS(fdt, err, "msi-parent", PHANDLE_V2M);
	lines(fdt, err);
	end(fdt, err);
}

static int fill(void *fdt, const struct dtb_guest *guest)
{
	int err = fdt_create(fdt, DTB_BYTES);

	if (!err)
		err = fdt_finish_reservemap(fdt);
	begin(fdt, &err, "");
	CELLS(fdt, &err, "#address-cells", 2);
	CELLS(fdt, &err, "#size-cells", 2);
	begin(fdt, &err, "passthrough");
	text(fdt, &err, "compatible", "simple-bus");
	flag(fdt, &err, "ranges");
	CELLS(fdt, &err, "#address-cells", 2);
	CELLS(fdt, &err, "#size-cells", 2);
	messages(fdt, &err, guest);
	if (guest->grants)
		iommu(fdt, &err);
	bridge(fdt, &err, guest);
	end(fdt, &err);
	end(fdt, &err);
	return err ? err : fdt_finish(fdt);
}

int dtb_make(const struct dtb_guest *guest, void **ret, size_t *ret_len)
{
	void *fdt = calloc(1, DTB_BYTES);

	if (!fdt)
		return -ENOMEM;
	if (fill(fdt, guest) != 0) {	/* only for want of room */
		free(fdt);
		return -ENOMEM;
	}
	*ret = fdt;
	*ret_len = fdt_totalsize(fdt);
	return 0;
}
