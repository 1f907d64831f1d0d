/* SPDX-License-Identifier: MIT */
/*
 * vnet_hdr.h: what the header before a frame asks for (virtio 1.2, 5.1.6).
 */
#ifndef XVD_VNET_HDR_H
#define XVD_VNET_HDR_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_net.h>
#include "net_backend.h"

/* Of virtio 1.2; Linux 6.1's header does not have it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4	5
#endif

/*
 * A header from the driver, for a frame of @bytes: does it ask for what was
 * negotiated (@offloads: enum net_offload), and does it fit the frame?  What
 * says nothing is set to zero, so that the backend may believe every field.
 * Return: false if the frame is to be dropped.
 */
bool vnet_hdr_from_driver(struct virtio_net_hdr_v1 *hdr, uint32_t bytes,
			  unsigned int offloads);

/*
 * A header from the backend: may it be passed to a driver that takes
 * @offloads?  What the driver does not know is removed.  Return: false if
 * the frame is to be dropped.
 */
bool vnet_hdr_to_driver(struct virtio_net_hdr_v1 *hdr, unsigned int offloads);

#endif
