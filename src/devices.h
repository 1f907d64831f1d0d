/* SPDX-License-Identifier: MIT */
/*
 * devices.h: from a device's description to a function on the guest's bus.
 *
 *	device_new	takes over its descriptors
 *	device_attach	backend, virtio device, PCI function: the guest can
 *			see it from here on
 *	device_detach	gone from the bus; nothing is in flight any more
 *	device_free
 *
 * All of it happens where the guest is served, and needs no path: what does
 * is in devopen.h.
 */
#ifndef XVD_DEVICES_H
#define XVD_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devdesc.h"

struct device;
struct domain;
struct fn_state;
struct loop;

/*
 * @desc, which has passed devdesc_check(), is copied; @fds are the device's
 * from now on, also on failure.  Return: 0 and *ret, or -ENOMEM.
 */
int device_new(const struct devdesc *desc, const int *fds, unsigned int nfds,
	       struct device **ret);
void device_free(struct device *dev);		/* NULL is fine */

struct device_env {
	struct loop	*loop;
	struct domain	*dom;
	struct fn_state	*state;
	bool		multifunction;	/* the slot has more devices */

	/* The guest's driver has started it, once more maybe. */
	void		(*running)(void *arg, struct device *dev);
	void		*arg;
};

/*
 * Before the process locks itself in: sees to it that @count devices of any
 * kind can be attached at a time after that.  Return: 0; or a negative errno
 * with @why.
 */
int devices_reserve(unsigned int count, char *why, size_t why_len);
void devices_unreserve(void);

/* Return: 0; or a negative errno and in @why a line for the operator. */
int device_attach(struct device *dev, const struct device_env *env,
		  char *why, size_t why_len);
void device_detach(struct device *dev);		/* not attached is fine */

/* Takes nothing new any more; idle when all that was taken is answered. */
void device_drain(struct device *dev);
bool device_is_idle(const struct device *dev);

/* Forgets what cannot be answered while the guest forbids DMA. */
void device_give_up(struct device *dev);

/*
 * The image of a disk has grown: so does what the guest sees.  Whoever grew
 * it lets the process write that far (RLIMIT_FSIZE) before.  Return: 0;
 * -EINVAL if it is less than before or no whole number of blocks;
 * -EOPNOTSUPP if it is no disk; -ENODEV if it is not attached.
 */
int device_resize(struct device *dev, uint64_t bytes);

/*
 * Pulls the cable of a network card, or puts it back.  Return: 0; -EOPNOTSUPP
 * if it has none; -ENODEV if it is not attached.
 */
int device_set_link(struct device *dev, bool up);

/* Are these two functions of the same slot? */
bool device_shares_slot(const struct device *a, const struct device *b);

/* Another one has come to its slot. */
void device_set_multifunction(struct device *dev);

unsigned int device_index(const struct device *dev);

const char *device_name(const struct device *dev);

#endif
