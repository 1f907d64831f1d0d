/* SPDX-License-Identifier: MIT */
/*
 * vdev.h: what all virtio devices have in common: the device status machine,
 * feature negotiation, resets, and the one way to be broken (virtio 1.2, 2.1
 * to 2.4 and 3.1).
 *
 *	    reset                       DRIVER_OK
 *	 +--------> 0 -> ACK -> DRIVER -> FEATURES_OK ---------> running
 *	 |   (in flight: later)                                    |
 *	 +--------------------- NEEDS_RESET <-- vdev_broken() -----+
 *
 * A reset waits for what is in flight: device_status reads as zero only when
 * no more of the guest's memory is touched.
 *
 * Transport is in virtio_pci.c, the device types in virtio_blk.c etc.; this
 * file is between them.  Loop thread only, no locks.
 */
#ifndef XVD_VDEV_H
#define XVD_VDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>
#include "log.h"
#include "virtqueue.h"
#include "vq_ahead.h"

#define VDEV_NO_VECTOR	0xffffu

struct guest_mem;
struct loop;
struct virtio_pci;
struct vdev;

/* A device type. */
struct vdev_ops {
	const char	*name;		/* "blk" */
	uint16_t	device_id;	/* VIRTIO_ID_x */
	uint32_t	pci_class;	/* class, subclass, programming i/f */

	/* Device configuration space; off + len <= config_len. */
	void (*config_read)(struct vdev *vdev, unsigned int off, void *buf,
			    unsigned int len);
	/* Optional: without it the space is read-only. */
	void (*config_write)(struct vdev *vdev, unsigned int off,
			     const void *buf, unsigned int len);

	/*
	 * Optional: the driver wants driver_features, all of them offered; do
	 * they go together?
	 */
	bool (*features_ok)(const struct vdev *vdev);

	/* Optional: features are final, the driver is about to start. */
	void (*start)(struct vdev *vdev);

	/*
	 * There may be work on a running queue: pop, push, flush.  Called
	 * from deferred work, never while a vCPU waits.
	 */
	void (*run)(struct vdev *vdev, struct vq *vq);

	/*
	 * Optional: the queue is being reset, or given up.  Push every chain
	 * that waits inside the device; those with the backend come back by
	 * themselves.
	 */
	void (*drop)(struct vdev *vdev, struct vq *vq);

	/*
	 * Optional: nothing new is popped any more.  Go on at once with what
	 * waits inside the device for anything but memory and the driver.
	 */
	void (*drain)(struct vdev *vdev);

	/* Optional: a device reset is complete. */
	void (*reset)(struct vdev *vdev);
};

struct vdev {
	const struct vdev_ops	*ops;
	struct vdev_state	*st;
	struct fn_stats		*stats;
	struct guest_mem	*gm;
	struct loop		*loop;
	struct virtio_pci	*pci;

	unsigned int		serves;		/* enum guest_mem_kinds */
	uint64_t		features;	/* offered */
	unsigned int		config_len;	/* bytes */
	unsigned int		nqueues;
	uint16_t		queue_size;	/* the most, and the default */
	bool			dma_ok;		/* bus master is on */
	bool			draining;	/* nothing new is taken */
	uint64_t		kick_ns;	/* the cost of a kick, about;
						 * 0: never linger */
	struct vq		vq[STATE_MAX_QUEUES];

	/* Optional: the driver has set DRIVER_OK, once more maybe. */
	void			(*running)(void *arg);
	void			*running_arg;

	char			name[32];	/* "d12 vblk0" */
	struct log_limit	limit;		/* of lines guests cause */
	struct vring_desc	indirect[STATE_MAX_RING]; /* one table */
	struct vq_ahead		ahead;
};

/*
 * What a device type's constructor is given, all of it borrowed for the
 * device's life.
 */
struct vdev_env {
	struct loop		*loop;
	struct guest_mem	*gm;
	struct fn_state		*state;
	const char		*name;
	uint64_t		kick_ns;
	void			(*running)(void *arg);	/* see struct vdev */
	void			*running_arg;
};

/* ops, features, config_len, nqueues and queue_size are set by the caller. */
void vdev_init(struct vdev *vdev, const struct vdev_env *env);
void vdev_fini(struct vdev *vdev);	/* nothing is in flight any more */

static inline bool vdev_has(const struct vdev *vdev, unsigned int feature)
{
	return vdev->st->driver_features >> feature & 1;
}

bool vdev_is_running(const struct vdev *vdev);
bool vdev_is_broken(const struct vdev *vdev);

/*
 * The driver did wrong: says so (rate-limited), sets NEEDS_RESET, raises the
 * configuration interrupt and goes quiet until the driver resets the device.
 * Return: -EPROTO.
 */
int vdev_broken(struct vdev *vdev, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The driver wrote device_status (2.1, 4.1.4.3). */
void vdev_set_status(struct vdev *vdev, uint8_t status);
uint8_t vdev_get_status(const struct vdev *vdev);

/* The driver wrote 32 of its feature bits (2.2). */
void vdev_set_features(struct vdev *vdev, unsigned int select, uint32_t bits);

/* Queue registers, for the transport. */
bool vdev_queue_may_change(const struct vdev *vdev, const struct vq *vq);
void vdev_queue_enable(struct vdev *vdev, struct vq *vq);
void vdev_queue_reset(struct vdev *vdev, struct vq *vq);	/* 2.6.1 */

/* The driver rang the doorbell of queue @index, whatever that is. */
void vdev_kick(struct vdev *vdev, unsigned int index);

/* From vq_*(): deferred work; a stopped queue has nothing in flight. */
void vdev_queue_run(struct vdev *vdev, struct vq *vq);
void vdev_queue_idle(struct vdev *vdev, struct vq *vq);
void vdev_interrupt(struct vdev *vdev, struct vq *vq);

/* The device configuration changed: generation and interrupt (2.5). */
void vdev_config_changed(struct vdev *vdev);

/* The same, and no interrupt if the driver does not run or need not know. */
void vdev_config_update(struct vdev *vdev, bool driver_asks);

/* The transport: bus mastering was switched on or off. */
void vdev_set_dma(struct vdev *vdev, bool on);

/* Takes nothing new any more; idle when all that was taken is answered. */
void vdev_drain(struct vdev *vdev);
bool vdev_is_idle(const struct vdev *vdev);

/*
 * For the end of a drain: while bus mastering is off, the driver forbids
 * answers, and nobody knows for how long.  What waits inside the device for
 * that is forgotten, unanswered.
 */
void vdev_give_up(struct vdev *vdev);

#endif
