/* SPDX-License-Identifier: MIT */
/*
 * service.h: xen-virtiod as the host's service: every guest whose toolstack,
 * or whose section of the configuration file, asks for a device.
 *
 *	service.c	the whole: guests come and go, the file, signals
 *	xsdev.c		what toolstacks write, and what is written for them
 *	command.c	what xen-virtioctl asks for
 */
#ifndef XVD_SERVICE_H
#define XVD_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest.h"
#include "host.h"

struct config;
struct control;
struct options;
struct xsdev;

/* A guest that has devices, or is about to. */
struct service_guest {
	struct service_guest	*next;
	struct service		*service;
	struct guest		*guest;
	unsigned int		holds;		/* see service_hold() */
	bool			paused;		/* by us */
	bool			gone;
	bool			suspended;	/* and that was said */
	struct loop_timer	*patience;
};

struct service {
	struct options		*opts;
	struct host		host;
	uint32_t		self;		/* our own domain */
	struct config		*config;
	struct service_guest	*guests;
	struct xsdev		*xsdev;
	struct control		*control;
	bool			stopping;
	uint8_t			seen[0x8000 / 8]; /* domains, a bit for each */
};

/* Return: exit status. */
int service_run(struct options *opts);

/*
 * The guest with this number, which may be new here.  Return: 0 and *ret; or a
 * negative errno and in @why a line for the operator.
 */
int service_guest(struct service *s, uint32_t domid,
		  struct service_guest **ret, char *why, size_t why_len);

/*
 * Reads the configuration again.  Guests that are served keep their devices.
 * Return: 0; or a negative errno with @why, and it stays as it was.
 */
int service_reload(struct service *s, char *why, size_t why_len);

/* NULL if it has no devices. */
struct service_guest *service_find(struct service *s, uint32_t domid);

/*
 * A guest that has not run yet, or for less than a second, is kept from
 * running until its devices are there, because it will look for them once.
 * Holds are counted.  A guest is not kept for ever: after ten seconds it goes
 * on without them.
 */
void service_hold(struct service_guest *sg);
void service_release(struct service_guest *sg);

/* The guest's device is there, or will not be: that is all it has. */
void service_drop_if_empty(struct service_guest *sg);

#endif
