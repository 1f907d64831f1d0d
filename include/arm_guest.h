/* SPDX-License-Identifier: MIT */
/*
 * arm_guest.h: what an Arm guest's device tree and the daemon agree on.
 *
 * The windows are Xen's (<xen/arch-arm.h>, GUEST_*), for every guest the
 * same.  The interrupts are ours to choose among the guest's SPIs, which begin
 * at 32: libxl hands out 32 to 43, to the console and virtio-mmio.
 */
#ifndef XVD_ARM_GUEST_H
#define XVD_ARM_GUEST_H

#define ARM_GUEST_ECAM_BASE	0x10000000ull
#define ARM_GUEST_ECAM_BYTES	0x10000000ull
#define ARM_GUEST_ECAM_FN_BYTES	0x1000u		/* of one function */
#define ARM_GUEST_PCI_MEM_BASE	0x23000000ull
#define ARM_GUEST_PCI_MEM_BYTES	0x10000000ull

#define ARM_GUEST_VIRTIO_MMIO_BASE	0x2000000ull
#define ARM_GUEST_VIRTIO_MMIO_BYTES	0x100000ull

#define ARM_GUEST_SPI_BASE	32u		/* interrupt of SPI 0 */
#define ARM_GUEST_INTX_BASE	64u		/* of slot 0; one for each */
#define ARM_GUEST_MSI_BASE	96u		/* of the first message */
#define ARM_GUEST_MSI_MAX	512u		/* messages of a guest */

#endif
