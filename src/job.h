/* SPDX-License-Identifier: MIT */
/*
 * job.h: what may take its time: a path on a server that does not answer, a
 * script that hangs.  It runs on a thread of its own, so that the loop and all
 * other guests go on.
 */
#ifndef XVD_JOB_H
#define XVD_JOB_H

struct loop;

/*
 * Runs @work on a new thread, and when that has returned, @done on the loop.
 * Until then @arg is the thread's.  A job cannot be cancelled: the loop must
 * live until @done.  Return: 0 or a negative errno, and neither is called.
 */
int job_start(struct loop *loop, void (*work)(void *arg),
	      void (*done)(void *arg), void *arg);

#endif
