/* SPDX-License-Identifier: MIT */
/*
 * devopen.h: from what the operator wants to what is there: the part of a
 * device that needs paths and rights.  Images are opened and locked, taps
 * made, scripts run.
 *
 *	devopen_open		all found and taken, or a line that says why not
 *	devopen_desc, _take_fds	to the process that serves the guest
 *	devopen_close		scripts have run, what was made is gone
 */
#ifndef XVD_DEVOPEN_H
#define XVD_DEVOPEN_H

#include <stddef.h>
#include <stdint.h>

#include "devdesc.h"
#include "netdev.h"

struct devopen;

/*
 * @spec is borrowed until devopen_close().  @guest is its name.  @index counts
 * devices of the guest.  Return: 0 and *ret; or a negative errno and in @why a
 * line for the operator.
 */
int devopen_open(const struct devspec *spec, uint32_t domid, const char *guest,
		 unsigned int index, struct devopen **ret, char *why,
		 size_t why_len);

/* To be called when nobody serves it any more.  NULL is fine. */
void devopen_close(struct devopen *dev);

const struct devdesc *devopen_desc(const struct devopen *dev);

/* Moves its descriptors to @ret, once.  Return: how many there are. */
unsigned int devopen_take_fds(struct devopen *dev, int ret[DEVDESC_MAX_FDS]);

/*
 * Makes a disk's image longer, or with @bytes 0 finds out how long it is by
 * now.  Return: 0 and *ret, what the guest is to see; or a negative errno with
 * @why.
 */
int devopen_grow(struct devopen *dev, uint64_t bytes, uint64_t *ret,
		 char *why, size_t why_len);

/* Is there a cable, and is it in? */
enum netdev_link devopen_link(const struct devopen *dev);

/* As in "vblk0". */
const char *devopen_kind_name(enum devspec_kind kind);

/* A line in the log: what it is. */
void devopen_tell(const struct devopen *dev);

#endif
