/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h: a guest's worker, seen from outside: started, told what to
 * serve, listened to, stopped, and what is left when it is gone.
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

struct devopen;
struct loop;
struct state;
struct supervisor;

struct supervisor_opts {
	uint32_t	domid;
	bool		pvh;		/* no INTx, nobody at port 0xcf8 */
	bool		sandbox;	/* see sandbox.h */
	uint32_t	uid;		/* in it */
	struct state	*state;		/* borrowed */
	struct devopen	**devices;	/* borrowed; their descriptors go */
	size_t		ndevices;

	/* On the loop: the worker has ended, and how was logged. */
	void		(*ended)(void *arg, bool clean);
	void		*arg;
};

/*
 * Starts a worker and waits until its last function is registered.  Return:
 * 0 and *ret; or a negative errno and in @why a line for the operator, and
 * no worker is left.
 */
int supervisor_open(struct loop *loop, const struct supervisor_opts *opts,
		    struct supervisor **ret, char *why, size_t why_len);

/*
 * Asks it to answer what it has taken, and to end; opts.ended will be called.
 * @gone: the guest exists no more, and nobody waits for an answer.  One that
 * takes too long is killed.
 */
void supervisor_stop(struct supervisor *s, bool gone);

/* A worker that lives is stopped first, and waited for.  NULL is fine. */
void supervisor_close(struct supervisor *s);

#endif
