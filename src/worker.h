/* SPDX-License-Identifier: MIT */
/*
 * worker.h: the process that serves one guest: an event loop, an IOREQ
 * server, devices.  It opens no path but Xen's own at the start, knows no
 * xenstore, and is told everything by its supervisor (msg.h).
 */
#ifndef XVD_WORKER_H
#define XVD_WORKER_H

#define WORKER_ARG		"--worker"	/* all of its command line */
#define WORKER_FD		3		/* where its supervisor is */

/* What it ended with was said already, in the log or by FAILED. */
#define WORKER_EXIT_TOLD	3

/* Return: exit status. */
int worker_main(void);

#endif
