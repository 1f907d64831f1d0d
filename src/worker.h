/* SPDX-License-Identifier: MIT */
/*
 * worker.h: serves one guest: an event loop, an IOREQ server, devices.
 */
#ifndef XVD_WORKER_H
#define XVD_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct worker;

struct worker_opts {
	uint32_t	domid;
	bool		pvh;		/* no INTx, nobody at port 0xcf8 */
	struct device	**devices;	/* opened; borrowed */
	size_t		ndevices;
};

/*
 * Everything up to the last function being registered.  Return: 0 and *ret;
 * or a negative errno and in @why a line for the operator, nothing left
 * behind.
 */
int worker_open(const struct worker_opts *opts, struct worker **ret,
		char *why, size_t why_len);

/*
 * Serves until worker_stop(), or until SIGTERM or SIGINT.  What was taken is
 * answered first, for at most a while.  Return: 0, or -ETIMEDOUT if a disk
 * did not answer; then worker_close() must not be called, but
 * worker_abandon() and an exit.
 */
int worker_run(struct worker *w);

/*
 * Ends worker_run().  @gone: the guest exists no more, and neither does
 * anybody who could miss an answer.
 */
void worker_stop(struct worker *w, bool gone);

/* Calls @fn whenever @fd is readable, for as long as the worker lives. */
int worker_watch(struct worker *w, int fd, void (*fn)(void *arg), void *arg);

void worker_close(struct worker *w);		/* NULL is fine */
void worker_abandon(struct worker *w);

#endif
