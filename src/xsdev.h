/* SPDX-License-Identifier: MIT */
/*
 * xsdev.h: the devices that toolstacks ask for, by xenstore.
 */
#ifndef XVD_XSDEV_H
#define XVD_XSDEV_H

#include <stddef.h>

struct guest_dev;
struct service;
struct xsdev;

/*
 * Finds the devices that are there already, and from then on wants to know
 * what watches tell.  Return: 0 and *ret, or a negative errno with @why.
 */
int xsdev_open(struct service *s, struct xsdev **ret, char *why,
	       size_t why_len);
void xsdev_close(struct xsdev *xd);		/* NULL is fine */

/*
 * A watch has fired; @path may be none of ours.  There are many for one change:
 * when all of them are told, xsdev_look() does what is to be done.
 */
void xsdev_event(struct xsdev *xd, const char *path);
void xsdev_look(struct xsdev *xd);

/* Its worker has ended by itself: so for those who look. */
void xsdev_mark_dead(struct xsdev *xd, const struct guest_dev *dev,
		     const char *why);

/* The vdev of a device of a disk= stanza; NULL if it is none. */
const char *xsdev_vdev(const struct xsdev *xd, const struct guest_dev *dev);

#endif
