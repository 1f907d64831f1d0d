/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h: a guest's worker, seen from outside: started, given devices,
 * listened to, stopped, and what is left when it is gone.
 *
 *	supervisor_open		the process is there
 *	  SUPERVISOR_READY	it has what it needs of Xen, and is locked in
 *	supervisor_add		a device, any time after that
 *	  SUPERVISOR_ADDED, or SUPERVISOR_REFUSED and why
 *	  SUPERVISOR_RUNNING	the guest's driver has started it, once
 *	supervisor_detach
 *	  SUPERVISOR_DETACHED	all that it had taken is answered
 *	supervisor_stop
 *	  SUPERVISOR_ENDED	also by itself, and once
 *	supervisor_close
 *
 * A worker is a process of its own with this same program in it.  It has what
 * it was given and nothing else, and reaches one guest; whatever it says may
 * be that guest's words.  Here is no memory of any guest.
 */
#ifndef XVD_SUPERVISOR_H
#define XVD_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "guest_mem.h"

struct devopen;
struct loop;
struct state;
struct supervisor;

enum supervisor_event {
	SUPERVISOR_READY,
	SUPERVISOR_ADDED,
	SUPERVISOR_REFUSED,
	SUPERVISOR_RUNNING,
	SUPERVISOR_DETACHED,
	SUPERVISOR_ENDED,
};

struct supervisor_news {
	enum supervisor_event	event;
	unsigned int		index;	/* the device's, see devdesc.h */
	int			err;	/* REFUSED; ENDED: 0 if it was asked to
					 * and has answered all */
	const char		*why;	/* if err: a line for the operator, or
					 * "", who has been told already */
};

struct supervisor_opts {
	uint32_t	domid;
	bool		pvh;		/* no board but ours */
	bool		sandbox;	/* see sandbox.h */
	uint32_t	uid;		/* in it */
	enum grants_policy grants;	/* for all that it serves */
	struct state	*state;		/* borrowed; a function per device */

	/* On the loop, never from within a call of the functions below. */
	void		(*news)(void *arg, const struct supervisor_news *news);
	void		*arg;
};

/*
 * Starts a worker.  Return: 0 and *ret; or a negative errno and in @why a line
 * for the operator.
 */
int supervisor_open(struct loop *loop, const struct supervisor_opts *opts,
		    struct supervisor **ret, char *why, size_t why_len);

/*
 * Hands over a device; its descriptors go.  It must be ready, and must not
 * have one with this index.  Return: 0 or a negative errno.
 */
int supervisor_add(struct supervisor *s, struct devopen *dev);

/* Takes away one that was added.  Nothing happens if the worker has ended. */
void supervisor_detach(struct supervisor *s, unsigned int index);

/* The cable of one that was handed over; it is in at first. */
void supervisor_set_link(struct supervisor *s, unsigned int index, bool up);

/*
 * The image of one that was handed over has grown.  Return: 0 or a negative
 * errno: it may not be written to that far.
 */
int supervisor_resize(struct supervisor *s, unsigned int index,
		      uint64_t bytes);

/*
 * Asks it to answer what it has taken, and to end.  @gone: the guest exists
 * no more, and nobody waits for an answer.  One that takes too long is killed.
 */
void supervisor_stop(struct supervisor *s, bool gone);

pid_t supervisor_pid(const struct supervisor *s);	/* 0: it has ended */

/* It has ended, or is killed and waited for.  NULL is fine. */
void supervisor_close(struct supervisor *s);

#endif
