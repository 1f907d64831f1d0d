/* SPDX-License-Identifier: MIT */
/*
 * devices.h: from a device's description to a function on the guest's bus.
 *
 *	device_open	whatever needs paths and rights: image, locks; tap
 *	device_attach	backend, virtio device, PCI function: the guest can
 *			see it from here on
 *	device_detach	gone from the bus; nothing is in flight any more
 *	device_close
 *
 * The steps are apart because they belong to different processes: opening to
 * the one that may open paths, attaching to the one that serves the guest.
 */
#ifndef XVD_DEVICES_H
#define XVD_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devspec.h"

struct device;
struct domain;
struct fn_state;
struct loop;

/*
 * @spec is borrowed for the device's life.  @guest is its name.  @index counts
 * devices of the guest; with @domid it makes the name in log lines.  Return: 0
 * and *ret; or a negative errno and in @why a line for the operator.
 */
int device_open(const struct devspec *spec, uint32_t domid, const char *guest,
		unsigned int index, struct device **ret,
		char *why, size_t why_len);
void device_close(struct device *dev);		/* NULL is fine */

/*
 * Instead of device_close(), before an exit that leaves the rest to the
 * kernel: what the kernel does not do, which is to run scripts.
 */
void device_abandon(struct device *dev);	/* NULL is fine */

struct device_env {
	struct loop	*loop;
	struct domain	*dom;
	struct fn_state	*state;
	bool		intx;		/* the guest has INTx lines */
	bool		multifunction;	/* the slot has more devices */
};

int device_attach(struct device *dev, const struct device_env *env,
		  char *why, size_t why_len);
void device_detach(struct device *dev);		/* not attached is fine */

/* Takes nothing new any more; idle when all that was taken is answered. */
void device_drain(struct device *dev);
bool device_is_idle(const struct device *dev);

/* Forgets what cannot be answered while the guest forbids DMA. */
void device_give_up(struct device *dev);

/* Are these two functions of the same slot? */
bool device_shares_slot(const struct device *a, const struct device *b);

const char *device_name(const struct device *dev);

#endif
