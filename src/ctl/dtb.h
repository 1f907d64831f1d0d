/* SPDX-License-Identifier: MIT */
/*
 * dtb.h: the part of an Arm guest's device tree that its virtio devices are
 * found by.  libxl copies what is below /passthrough into the guest's tree
 * (xl.cfg's device_tree=).
 */
#ifndef XVD_CTL_DTB_H
#define XVD_CTL_DTB_H

#include <stdbool.h>
#include <stddef.h>

struct dtb_guest {
	unsigned int	messages;	/* of MSI-X; at most ARM_GUEST_MSI_MAX */
	bool		grants;		/* drivers grant what they use, to dom0 */
};

/* How many SPIs the guest must have (xl.cfg's nr_spis=). */
unsigned int dtb_nr_spis(const struct dtb_guest *guest);

/*
 * Return: 0, and in *ret, for free(), a flattened device tree (Devicetree
 * Specification 0.4, 5) of *ret_len bytes; or -ENOMEM.
 */
int dtb_make(const struct dtb_guest *guest, void **ret, size_t *ret_len);

#endif
