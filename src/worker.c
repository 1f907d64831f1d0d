/* SPDX-License-Identifier: MIT */
/*
 * worker.c: see the header.  Opens no path and knows no xenstore.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "ioreq/domain.h"
#include "log.h"
#include "loop.h"
#include "state.h"
#include "util.h"
#include "worker.h"

#define DRAIN_MS	10000u	/* a disk may be slow */
#define DRAIN_GONE_MS	500u	/* nobody waits any more */
#define DRAIN_POLL_MS	5u

struct worker {
	struct worker_opts	opts;
	struct loop		*loop;
	struct domain		*dom;
	struct state		*state;
	struct loop_fd		*sigterm;
	struct loop_fd		*sigint;
	struct loop_fd		*watch;
	struct loop_timer	*drain;
	uint64_t		deadline;	/* 0: not draining */
};

static bool worker_is_idle(const struct worker *w)
{
	size_t i;

	for (i = 0; i < w->opts.ndevices; i++)
		if (!device_is_idle(w->opts.devices[i]))
			return false;
	return true;
}

static void worker_drain_fn(void *arg)
{
	struct worker *w = arg;
	size_t i;

	for (i = 0; i < w->opts.ndevices; i++)
		device_give_up(w->opts.devices[i]);
	if (worker_is_idle(w)) {
		loop_stop(w->loop, 0);
		return;
	}
	if (loop_now_ms() < w->deadline) {
		loop_timer_set(w->drain, DRAIN_POLL_MS);
		return;
	}
	for (i = 0; i < w->opts.ndevices; i++)
		if (!device_is_idle(w->opts.devices[i]))
			log_error("%s: requests are still under way, leaving without their answers",
				  device_name(w->opts.devices[i]));
	loop_stop(w->loop, -ETIMEDOUT);
}

void worker_stop(struct worker *w, bool gone)
{
	uint64_t deadline = loop_now_ms() + (gone ? DRAIN_GONE_MS : DRAIN_MS);
	size_t i;

	if (w->deadline) {
		w->deadline = MIN(w->deadline, deadline);
		return;
	}
	w->deadline = deadline;
	for (i = 0; i < w->opts.ndevices; i++)
		device_drain(w->opts.devices[i]);
	/* Not at once: what was pushed this turn is yet to be flushed. */
	loop_timer_set(w->drain, 0);
}

static void worker_signal(void *arg)
{
	struct worker *w = arg;

	if (!w->deadline)
		log_info("d%u: asked to stop", w->opts.domid);
	worker_stop(w, false);
}

int worker_watch(struct worker *w, int fd, void (*fn)(void *arg), void *arg)
{
	return loop_fd_add(w->loop, fd, fn, arg, &w->watch);
}

static int worker_loop(struct worker *w)
{
	int r;

	r = loop_open(&w->loop);
	if (!r)
		r = loop_signal_add(w->loop, SIGTERM, worker_signal, w,
				    &w->sigterm);
	if (!r)
		r = loop_signal_add(w->loop, SIGINT, worker_signal, w,
				    &w->sigint);
	if (!r)
		r = loop_timer_add(w->loop, worker_drain_fn, w, &w->drain);
	if (!r)
		r = state_open((unsigned int)w->opts.ndevices, &w->state);
	return r;
}

static int worker_attach(struct worker *w, char *why, size_t why_len)
{
	struct device_env env = {
		.loop	= w->loop,
		.dom	= w->dom,
		.intx	= !w->opts.pvh,
	};
	struct device **devices = w->opts.devices;
	size_t i, j;
	int r;

	for (i = 0; i < w->opts.ndevices; i++) {
		env.state = state_fn(w->state, (unsigned int)i);
		env.multifunction = false;
		for (j = 0; j < w->opts.ndevices; j++)
			env.multifunction |= device_shares_slot(devices[i],
								devices[j]);
		r = device_attach(devices[i], &env, why, why_len);
		if (r < 0)
			return r;
	}
	return 0;
}

int worker_open(const struct worker_opts *opts, struct worker **ret,
		char *why, size_t why_len)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	snprintf(why, why_len, "out of memory");
	if (!w)
		return -ENOMEM;
	w->opts = *opts;
	r = worker_loop(w);
	if (r < 0)
		snprintf(why, why_len, "cannot start the event loop: %s",
			 strerror(-r));
	if (!r)
		r = domain_open(w->loop, opts->domid, opts->pvh, &w->dom, why,
				why_len);
	if (!r)
		r = worker_attach(w, why, why_len);
	if (r < 0) {
		worker_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

int worker_run(struct worker *w)
{
	return loop_run(w->loop);
}

void worker_close(struct worker *w)
{
	size_t i;

	if (!w)
		return;
	for (i = 0; i < w->opts.ndevices; i++)
		device_detach(w->opts.devices[i]);
	domain_close(w->dom);
	state_close(w->state);
	loop_timer_del(w->drain);
	loop_fd_del(w->watch);
	loop_fd_del(w->sigint);
	loop_fd_del(w->sigterm);
	loop_close(w->loop);
	free(w);
}

void worker_abandon(struct worker *w)
{
	domain_abandon(w->dom);
}
