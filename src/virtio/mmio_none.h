/* SPDX-License-Identifier: MIT */
/*
 * mmio_none.h: no device, where a guest's device tree has a virtio-mmio one
 * (virtio 1.2, 4.2.2: DeviceID 0 is a placeholder).
 *
 * libxl describes a virtio-mmio device to an Arm guest for each disk with
 * specification=virtio.  Where the disk is a PCI function of ours instead, a
 * driver still looks there, and where nobody answers the guest is stopped.
 */
#ifndef XVD_MMIO_NONE_H
#define XVD_MMIO_NONE_H

#include <stdint.h>
#include "io_region.h"

#define MMIO_NONE_BYTES		0x200u

struct mmio_none {
	struct io_bus		*bus;
	struct io_region	io;
};

/* Return: 0, or a negative errno if Xen refuses the address. */
int mmio_none_init(struct mmio_none *none, struct io_bus *bus, uint64_t base);
void mmio_none_fini(struct mmio_none *none);	/* zeroed is fine */

#endif
