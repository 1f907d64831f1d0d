/* SPDX-License-Identifier: MIT */
/*
 * worker.c: see the header.  The other end is supervisor.c.
 *
 *	START	handles opened and restricted, IOREQ server made (domain.c)
 *	DEVICE	...
 *	SERVE	all functions registered, sandbox entered; READY
 *	STOP	nothing new is taken, what was taken is answered; the end
 *
 * Guest memory is touched for the first time after READY.  If the supervisor
 * goes without a word, that is as good as a STOP.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "devices.h"
#include "ioreq/domain.h"
#include "log.h"
#include "loop.h"
#include "msg.h"
#include "sandbox.h"
#include "state.h"
#include "util.h"
#include "worker.h"

#define DRAIN_MS	10000u	/* a disk may be slow */
#define DRAIN_GONE_MS	500u	/* nobody waits any more */
#define DRAIN_POLL_MS	5u
#define WHY_LEN		512

struct worker {
	struct msg_start	start;
	struct loop		*loop;
	struct domain		*dom;
	struct state		*state;
	struct device		**devices;	/* as many as state has room
						 * for; NULL: not yet */
	size_t			ndevices;
	struct loop_fd		*sock;
	struct loop_timer	*drain;
	uint64_t		deadline;	/* 0: not draining */
	bool			serving;
	bool			gone;		/* the guest */
	char			why[WHY_LEN];
};

/* ---- the end ---- */

static bool worker_is_idle(const struct worker *w)
{
	size_t i;

	for (i = 0; i < w->ndevices; i++)
		if (!device_is_idle(w->devices[i]))
			return false;
	return true;
}

static void worker_drain_fn(void *arg)
{
	struct worker *w = arg;
	size_t i;

	for (i = 0; i < w->ndevices; i++)
		device_give_up(w->devices[i]);
	if (worker_is_idle(w)) {
		loop_stop(w->loop, 0);
		return;
	}
	if (loop_now_ms() < w->deadline) {
		loop_timer_set(w->drain, DRAIN_POLL_MS);
		return;
	}
	for (i = 0; i < w->ndevices; i++)
		if (!device_is_idle(w->devices[i]))
			log_error("%s: requests are still under way, leaving without their answers",
				  device_name(w->devices[i]));
	loop_stop(w->loop, -ETIMEDOUT);
}

static void worker_stop(struct worker *w, bool gone)
{
	uint64_t deadline = loop_now_ms() + (gone ? DRAIN_GONE_MS : DRAIN_MS);
	size_t i;

	w->gone |= gone;
	if (w->deadline) {
		w->deadline = MIN(w->deadline, deadline);
		return;
	}
	w->deadline = deadline;
	for (i = 0; i < w->ndevices; i++)
		device_drain(w->devices[i]);
	/* Not at once: what was pushed this turn is yet to be flushed. */
	loop_timer_set(w->drain, 0);
}

/* ---- the start ---- */

static int worker_start(struct worker *w, struct msg *msg)
{
	int r;

	if (w->state) {
		close(msg->fds[0]);
		return -EPROTO;
	}
	w->start = msg->start;
	log_topics = w->start.topics;
	r = state_adopt(msg->fds[0], &w->state);
	if (r < 0)
		return r;
	w->devices = calloc(state_count(w->state), sizeof(*w->devices));
	if (!w->devices)
		return -ENOMEM;
	if (w->start.sandbox)
		r = sandbox_prepare(w->why, sizeof(w->why));
	if (r < 0)
		return r;
	return domain_open(w->loop, w->start.domid, w->start.pvh, &w->dom,
			   w->why, sizeof(w->why));
}

/* They come one after the other, before SERVE. */
static int worker_take(struct worker *w, struct msg *msg)
{
	const struct devdesc *desc = &msg->device;
	unsigned int i;
	int r;

	r = devdesc_check(desc, msg->head.nfds);
	if (!r && (!w->dom || w->serving || desc->domid != w->start.domid ||
		   desc->index != w->ndevices ||
		   desc->index >= state_count(w->state)))
		r = -EPROTO;
	if (r < 0) {
		for (i = 0; i < msg->head.nfds; i++)
			close(msg->fds[i]);
		return r;
	}
	r = device_new(desc, msg->fds, msg->head.nfds,
		       &w->devices[w->ndevices]);
	if (!r)
		w->ndevices++;
	return r;
}

static int worker_attach(struct worker *w)
{
	struct device_env env = {
		.loop	= w->loop,
		.dom	= w->dom,
		.intx	= !w->start.pvh,
	};
	struct device **devices = w->devices;
	size_t i, j;
	int r;

	for (i = 0; i < w->ndevices; i++) {
		env.state = state_fn(w->state, (unsigned int)i);
		env.multifunction = false;
		for (j = 0; j < w->ndevices; j++)
			env.multifunction |= device_shares_slot(devices[i],
								devices[j]);
		r = device_attach(devices[i], &env, w->why, sizeof(w->why));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Nothing is opened from here on, and nothing of the guest's was seen yet. */
static int worker_lock_in(struct worker *w)
{
	uint64_t bytes, file_bytes = 0;
	bool whole = false;
	size_t i;
	int r;

	if (!w->start.sandbox) {
		log_warn("d%u: --sandbox=off: what serves the guest has all rights",
			 w->start.domid);
		return 0;
	}
	for (i = 0; i < w->ndevices; i++) {
		bytes = device_file_bytes(w->devices[i]);
		if (bytes > file_bytes)
			file_bytes = bytes;
	}
	r = sandbox_enter(w->start.uid, file_bytes, &whole, w->why,
			  sizeof(w->why));
	if (r == 0 && !whole)
		log_warn("d%u: not started by root: what serves the guest has this user's files",
			 w->start.domid);
	return r;
}

static int worker_serve(struct worker *w)
{
	int r;

	if (!w->dom || w->serving)
		return -EPROTO;
	r = worker_attach(w);
	if (!r)
		r = worker_lock_in(w);
	if (r < 0)
		return r;
	w->serving = true;
	return msg_send(WORKER_FD, MSG_READY, NULL, NULL, 0, true);
}

/* ---- what it is told ---- */

static int worker_obey(struct worker *w, struct msg *msg)
{
	switch (msg->head.type) {
	case MSG_START:
		return worker_start(w, msg);
	case MSG_DEVICE:
		return worker_take(w, msg);
	case MSG_SERVE:
		return worker_serve(w);
	case MSG_STOP:
		worker_stop(w, msg->stop.gone);
		return 0;
	default:
		return -EPROTO;
	}
}

static void worker_fail(struct worker *w, int err)
{
	struct msg_text text = { .code = err };

	if (*w->why)
		snprintf(text.text, sizeof(text.text), "%s", w->why);
	else
		snprintf(text.text, sizeof(text.text),
			 "d%u: supervisor and worker do not understand each other: %s",
			 w->start.domid, strerror(-err));
	if (w->serving)
		log_error("%s", text.text);
	else if (msg_send(WORKER_FD, MSG_FAILED, &text, NULL, 0, true) < 0)
		log_error("%s", text.text);
	if (!w->sock)
		return;
	loop_fd_pause(w->sock);
	loop_stop(w->loop, err);
}

static void worker_on_sock(void *arg)
{
	struct worker *w = arg;
	struct msg msg;
	int r;

	r = msg_recv(WORKER_FD, MSG_FROM_SUPERVISOR, false, &msg);
	if (r == -EAGAIN)
		return;
	if (r == -EPIPE) {
		loop_fd_pause(w->sock);	/* nobody is left to tell, either */
		worker_stop(w, false);
		return;
	}
	*w->why = '\0';
	if (!r)
		r = worker_obey(w, &msg);
	if (r < 0)
		worker_fail(w, r);
}

/* ---- the whole ---- */

static int worker_open(struct worker *w)
{
	int r;

	r = loop_open(&w->loop);
	if (!r)
		r = loop_timer_add(w->loop, worker_drain_fn, w, &w->drain);
	if (!r)
		r = loop_fd_add(w->loop, WORKER_FD, worker_on_sock, w,
				&w->sock);
	return r;
}

static void worker_close(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->ndevices; i++)
		device_free(w->devices[i]);
	free(w->devices);
	domain_close(w->dom);
	state_close(w->state);
	loop_timer_del(w->drain);
	loop_fd_del(w->sock);
	if (w->loop)
		loop_close(w->loop);
}

int worker_main(void)
{
	struct worker w = { 0 };
	int r;

	(void)prctl(PR_SET_NAME, "xen-virtiod");	/* not "exe" */
	log_init("xen-virtiod", true);	/* as logpipe.c reads it */
	r = worker_open(&w);
	if (r < 0)
		worker_fail(&w, r);
	else
		r = loop_run(w.loop);
	if (w.serving && r < 0) {
		domain_abandon(w.dom);
		_exit(WORKER_EXIT_TOLD);	/* memory is lent to a disk */
	}
	/*
	 * Nobody sees the order in which things go, and a whole address space
	 * is unmapped far faster than its pieces, for whose pages Xen is
	 * waiting.
	 */
	if (!w.gone)
		worker_close(&w);
#if defined(XVD_SAN) || defined(XVD_COV)
	if (w.serving && w.start.sandbox)
		_exit(EXIT_SUCCESS);	/* no /proc for leaks, no *.gcda */
#endif
	exit(r < 0 ? WORKER_EXIT_TOLD : EXIT_SUCCESS);
}
