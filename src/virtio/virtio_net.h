/* SPDX-License-Identifier: MIT */
/*
 * virtio_net.h: the network device type (virtio 1.2, 5.1).
 */
#ifndef XVD_VIRTIO_NET_H
#define XVD_VIRTIO_NET_H

#include <stdint.h>
#include "net_backend.h"
#include "vdev.h"

struct vnet_opts {
	uint8_t		mac[6];
	uint16_t	mtu;		/* 68 to 65535 */
	unsigned int	queues;		/* pairs, 1 to NET_MAX_QUEUES */
	uint16_t	queue_size;	/* power of two, 2 to STATE_MAX_RING */
	unsigned int	send_offloads;	/* enum net_offload offered to the */
	unsigned int	recv_offloads;	/* guest, each way */
	uint32_t	speed_mbit;	/* 0: unknown */
};

/*
 * Makes a card.  The backend is opened by the caller with
 * vnet_events(vdev) as its events and then handed over.  Return: 0 and *ret,
 * or -ENOMEM.
 */
int vnet_open(const struct vdev_env *env, const struct vnet_opts *opts,
	      struct vdev **ret);

/* What the backend is to call. */
struct net_events vnet_events(struct vdev *vdev);

/*
 * Takes over @be, of as many queues as opts.queues; to be called once, before
 * the guest sees the device.
 */
void vnet_connect(struct vdev *vdev, struct net_backend *be);

/*
 * An administrator pulls the cable, or puts it back: the link is up if this
 * says so and the backend does.  Frames that come meanwhile are lost, both
 * ways.
 */
void vnet_set_link(struct vdev *vdev, bool up);

/* Asks the driver to tell the network where it is, if it can do that. */
void vnet_announce(struct vdev *vdev);

/* NULL is fine, and so is a card without a backend. */
void vnet_close(struct vdev *vdev);

#endif
