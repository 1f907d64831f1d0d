/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.h: the block device type (virtio 1.2, 5.2).
 */
#ifndef XVD_VIRTIO_BLK_H
#define XVD_VIRTIO_BLK_H

#include <stdint.h>
#include "blk_backend.h"
#include "blk_limits.h"
#include "vdev.h"

struct vblk_opts {
	const char	*serial;	/* at most 20 bytes are told; or NULL */
	unsigned int	queues;		/* 1 to STATE_MAX_QUEUES */
	uint16_t	queue_size;	/* power of two, 2 to STATE_MAX_RING */
	const struct blk_limits *limits; /* or NULL */
	uint32_t		grants_map;	/* see dma.h; 0: as it is */
};

/* The most requests that a device with these options lends its backend. */
unsigned int vblk_depth(const struct vblk_opts *opts);

/*
 * Makes a disk of @be, which it takes over, also on failure.  Return: 0 and
 * *ret, or -ENOMEM.
 */
int vblk_open(const struct vdev_env *env, struct blk_backend *be,
	      const struct vblk_opts *opts, struct vdev **ret);

/*
 * The image has grown: requests that come from now on may go that far, and
 * the driver is told, if there is one.  Return: 0; -EINVAL if that is no
 * whole number of blocks or no file can have as many, or less than before:
 * the driver's data is there, and requests under way were checked against
 * the larger size.
 */
int vblk_resize(struct vdev *vdev, uint64_t bytes);

/* Nothing is in flight any more.  NULL is fine. */
void vblk_close(struct vdev *vdev);

#endif
