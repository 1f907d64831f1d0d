/* SPDX-License-Identifier: MIT */
/*
 * virtio_pci.h: virtio over PCI, modern only (virtio 1.2, 4.1).
 *
 *   BAR 0, memory, 16 KiB	0x0000 common configuration
 *				0x0400 ISR status
 *				0x0800 device configuration
 *				0x1000 doorbells, a page of their own
 *				0x2000 MSI-X table
 *				0x3000 MSI-X pending bits
 *   BAR 2, I/O ports, 128 bytes	doorbells again, named first: a port write
 *				is decoded far more cheaply than a memory
 *				access (x86 only)
 *
 * Doorbell of queue q: 4 * q.  A doorbell only defers work; the vCPU goes on
 * at once.
 */
#ifndef XVD_VIRTIO_PCI_H
#define XVD_VIRTIO_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "io_region.h"
#include "msix.h"
#include "pci_config.h"

struct irq;
struct vdev;

struct virtio_pci {
	struct vdev		*vdev;
	struct io_bus		*bus;
	struct irq		*irq;
	uint8_t			devfn;

	struct pci_config	config;
	struct msix		msix;
	unsigned int		msix_cap;	/* offsets in config space */
	unsigned int		window_cap;
	struct io_region	config_io;
	struct io_region	bar_io[PCI_CONFIG_BARS];
	bool			intx_level;	/* as last driven */
};

struct virtio_pci_env {
	struct io_bus		*bus;
	struct irq		*irq;
	struct fn_state		*state;
	uint8_t			devfn;		/* on bus 0 */
	bool			intx;		/* the guest has INTx lines */
	bool			multifunction;	/* the slot has more of them */
	bool			ports;		/* x86: a port doorbell too */
	uint64_t		ecam;		/* config space is memory there,
						 * 4 KiB; 0: Xen knows PCI */
};

/*
 * Gives @vdev, initialised, its place on the bus.  Return: 0, or a negative
 * errno if Xen refuses the address.
 */
int virtio_pci_init(struct virtio_pci *vp, struct vdev *vdev,
		    const struct virtio_pci_env *env);
void virtio_pci_fini(struct virtio_pci *vp);

/* Another function has come to its slot.  Guests that have looked miss it. */
void virtio_pci_set_multifunction(struct virtio_pci *vp);

/* From vdev.c. */
void virtio_pci_queue_interrupt(struct virtio_pci *vp, uint16_t vector);
void virtio_pci_config_interrupt(struct virtio_pci *vp);
void virtio_pci_device_reset(struct virtio_pci *vp);

#endif
