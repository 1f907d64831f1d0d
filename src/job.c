/* SPDX-License-Identifier: MIT */
/*
 * job.c: see the header.  The end of the thread is told by an eventfd.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "job.h"
#include "loop.h"

struct job {
	pthread_t	thread;
	int		event;
	struct loop_fd	*watch;
	void		(*work)(void *arg);
	void		(*done)(void *arg);
	void		*arg;
};

static void job_free(struct job *job)
{
	loop_fd_del(job->watch);
	if (job->event >= 0)
		close(job->event);
	free(job);
}

static void *job_main(void *arg)
{
	struct job *job = arg;

	job->work(job->arg);
	(void)eventfd_write(job->event, 1);	/* from 0, it cannot fail */
	return NULL;
}

static void job_on_event(void *arg)
{
	struct job *job = arg;
	void (*done)(void *arg) = job->done;

	(void)pthread_join(job->thread, NULL);	/* it is about to end */
	arg = job->arg;
	job_free(job);
	done(arg);
}

/* Signals are for the loop. */
static int job_run(struct job *job)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&job->thread, NULL, job_main, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int job_start(struct loop *loop, void (*work)(void *arg),
	      void (*done)(void *arg), void *arg)
{
	struct job *job = calloc(1, sizeof(*job));
	int r = 0;

	if (!job)
		return -ENOMEM;
	job->work = work;
	job->done = done;
	job->arg = arg;
	job->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (job->event < 0)
		r = -errno;
	if (!r)
		r = loop_fd_add(loop, job->event, job_on_event, job,
				&job->watch);
	if (!r)
		r = job_run(job);
	if (r < 0)
		job_free(job);
	return r;
}
