/* SPDX-License-Identifier: MIT */
/*
 * worker.c: see the header.  The other end is supervisor.c.
 *
 *	START	handles opened and restricted, IOREQ server made (domain.c),
 *		sandbox entered; READY
 *	DEVICE	one function registered
 *	DETACH	nothing new is taken, what was taken is answered; it is gone
 *	STOP	the same for all of them; the end
 *
 * Guest memory is touched for the first time when there is a device.  If the
 * supervisor goes without a word, that is as good as a STOP.
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
	struct place		*places;	/* as many as state has */
	unsigned int		nplaces;
	struct loop_fd		*sock;
	struct loop_timer	*drain;
	uint64_t		deadline;	/* 0: not ending */
	bool			serving;
	bool			gone;		/* the guest */
	char			why[WHY_LEN];
};

/* Where a device is, or may be. */
struct place {
	struct device		*dev;		/* NULL: none */
	bool			leaving;
	bool			ran;		/* RUNNING was said */
};

/*
 * The supervisor may be stopped, or gone, which is no reason for a guest to
 * wait.  There is room for far more than we have to say.
 */
static void worker_say(struct worker *w, enum msg_type type, unsigned int index)
{
	const struct msg_about about = { .index = index };
	int r;

	r = msg_send(WORKER_FD, type, &about, NULL, 0, false);
	if (r < 0 && r != -EPIPE)
		log_error("d%u: the supervisor does not listen: %s",
			  w->start.domid, strerror(-r));
}

/* ---- the end, of one and of all ---- */

/* Return: whether it is idle, or is none. */
static bool place_settle(struct place *place)
{
	if (!place->dev)
		return true;
	device_give_up(place->dev);
	return device_is_idle(place->dev);
}

/* Return: how many are still to go, of those that were told to. */
static unsigned int worker_let_go(struct worker *w)
{
	unsigned int i, left = 0;
	struct place *place;

	for (i = 0; i < w->nplaces; i++) {
		place = &w->places[i];
		if (!place->leaving)
			continue;
		if (!place_settle(place)) {
			left++;
			continue;
		}
		log_info("%s: unregistered", device_name(place->dev));
		device_free(place->dev);
		*place = (struct place){ 0 };
		worker_say(w, MSG_DETACHED, i);
	}
	return left;
}

static void worker_drain_fn(void *arg)
{
	struct worker *w = arg;
	unsigned int i, left = worker_let_go(w);

	if (!w->deadline) {
		if (left)
			loop_timer_set(w->drain, DRAIN_POLL_MS);
		return;
	}
	for (i = 0, left = 0; i < w->nplaces; i++)
		left += !place_settle(&w->places[i]);
	if (!left) {
		loop_stop(w->loop, 0);
		return;
	}
	if (loop_now_ms() < w->deadline) {
		loop_timer_set(w->drain, DRAIN_POLL_MS);
		return;
	}
	for (i = 0; i < w->nplaces; i++)
		if (!place_settle(&w->places[i]))
			log_error("%s: requests are still under way, leaving without their answers",
				  device_name(w->places[i].dev));
	loop_stop(w->loop, -ETIMEDOUT);
}

static void worker_stop(struct worker *w, bool gone)
{
	uint64_t deadline = loop_now_ms() + (gone ? DRAIN_GONE_MS : DRAIN_MS);
	unsigned int i;

	w->gone |= gone;
	if (w->deadline) {
		w->deadline = MIN(w->deadline, deadline);
		return;
	}
	w->deadline = deadline;
	for (i = 0; i < w->nplaces; i++)
		if (w->places[i].dev)
			device_drain(w->places[i].dev);
	/* Not at once: what was pushed this turn is yet to be flushed. */
	loop_timer_set(w->drain, 0);
}

static int worker_detach(struct worker *w, unsigned int index)
{
	struct place *place = index < w->nplaces ? &w->places[index] : NULL;

	if (!place || !place->dev || place->leaving)
		return -EPROTO;
	place->leaving = true;
	device_drain(place->dev);
	loop_timer_set(w->drain, 0);
	return 0;
}

/* ---- the start ---- */

/* Nothing is opened from here on, and nothing of the guest's was seen yet. */
static int worker_lock_in(struct worker *w)
{
	const struct sandbox_opts opts = {
		.uid		= w->start.uid,
		.limit_files	= w->start.limit_files,
		.plain		= w->start.grants != GRANTS_REQUIRE,
		.grants		= w->start.grants != GRANTS_OFF,
	};
	bool whole = false;
	int r;

	if (!w->start.sandbox) {
		log_warn("d%u: --sandbox=off: what serves the guest has all rights",
			 w->start.domid);
		return 0;
	}
	r = devices_reserve(w->nplaces, w->why, sizeof(w->why));
	if (!r)
		r = sandbox_enter(&opts, &whole, w->why, sizeof(w->why));
	if (r == 0 && !whole)
		log_warn("d%u: not started by root: what serves the guest has this user's files",
			 w->start.domid);
	return r;
}

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
	w->nplaces = state_count(w->state);
	w->places = calloc(w->nplaces, sizeof(*w->places));
	if (!w->places)
		return -ENOMEM;
	if (w->start.sandbox)
		r = sandbox_prepare(w->why, sizeof(w->why));
	if (!r)
		r = domain_open(w->loop, w->start.domid, w->start.pvh,
				(enum grants_policy)w->start.grants, &w->dom,
				w->why, sizeof(w->why));
	if (!r)
		r = worker_lock_in(w);
	if (r < 0)
		return r;
	w->serving = true;
	return msg_send(WORKER_FD, MSG_READY, NULL, NULL, 0, true);
}

/* ---- devices ---- */

static void worker_on_running(void *arg, struct device *dev)
{
	struct worker *w = arg;
	unsigned int index = device_index(dev);

	if (w->places[index].ran)
		return;
	w->places[index].ran = true;
	worker_say(w, MSG_RUNNING, index);
}

static int worker_attach(struct worker *w, struct device *dev)
{
	struct device_env env = {
		.loop		= w->loop,
		.dom		= w->dom,
		.state		= state_fn(w->state, device_index(dev)),
		.running	= worker_on_running,
		.arg		= w,
	};
	struct device *other;
	unsigned int i;

	for (i = 0; i < w->nplaces; i++) {
		other = w->places[i].dev;
		if (!other || !device_shares_slot(dev, other))
			continue;
		env.multifunction = true;
		device_set_multifunction(other);
	}
	return device_attach(dev, &env, w->why, sizeof(w->why));
}

/* Nothing came of it.  The others go on. */
static int worker_refuse(struct worker *w, unsigned int index, int err)
{
	struct msg_text text = { .code = err, .index = index };

	snprintf(text.text, sizeof(text.text), "%s", w->why);
	return msg_send(WORKER_FD, MSG_REFUSED, &text, NULL, 0, true);
}

static int worker_take(struct worker *w, struct msg *msg)
{
	const struct devdesc *desc = &msg->device;
	struct device *dev;
	unsigned int i;
	int r;

	r = devdesc_check(desc, msg->head.nfds);
	if (!r && (!w->serving || desc->domid != w->start.domid ||
		   desc->index >= w->nplaces || w->places[desc->index].dev))
		r = -EPROTO;
	if (r < 0) {
		for (i = 0; i < msg->head.nfds; i++)
			close(msg->fds[i]);
		return r;
	}
	snprintf(w->why, sizeof(w->why), "out of memory");
	r = device_new(desc, msg->fds, msg->head.nfds, &dev);
	if (!r) {
		r = worker_attach(w, dev);
		if (r < 0)
			device_free(dev);
	}
	if (r < 0)
		return worker_refuse(w, desc->index, r);
	w->places[desc->index].dev = dev;
	worker_say(w, MSG_ADDED, desc->index);
	return 0;
}

/* It may have been refused, or be gone, without the supervisor knowing yet. */
static int worker_link(struct worker *w, unsigned int index, bool up)
{
	if (index >= w->nplaces)
		return -EPROTO;
	if (!w->places[index].dev)
		return 0;
	return device_set_link(w->places[index].dev, up);
}

static int worker_resize(struct worker *w, unsigned int index, uint64_t bytes)
{
	int r;

	if (index >= w->nplaces)
		return -EPROTO;
	if (!w->places[index].dev)
		return 0;
	r = device_resize(w->places[index].dev, bytes);
	if (r < 0)
		log_error("%s: cannot grow to %llu bytes: %s",
			  device_name(w->places[index].dev),
			  (unsigned long long)bytes, strerror(-r));
	return 0;
}

/* ---- what it is told ---- */

static int worker_obey(struct worker *w, struct msg *msg)
{
	switch (msg->head.type) {
	case MSG_START:
		return worker_start(w, msg);
	case MSG_DEVICE:
		return worker_take(w, msg);
	case MSG_DETACH:
		return worker_detach(w, msg->about.index);
	case MSG_LINK:
		return worker_link(w, msg->about.index, msg->about.up);
	case MSG_RESIZE:
		return worker_resize(w, msg->about.index, msg->about.bytes);
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
	unsigned int i;

	for (i = 0; i < w->nplaces; i++)
		device_free(w->places[i].dev);
	free(w->places);
	devices_unreserve();
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
