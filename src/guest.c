/* SPDX-License-Identifier: MIT */
/*
 * guest.c: see the header.
 *
 *	add -> OPENING -> OPENED -> HANDED -> SERVED -> LEAVING -> CLOSING -> gone
 *	          |          |         |                             ^
 *	          +----------+---------+-- failed, or not wanted ----+
 *
 * OPENING and CLOSING are jobs, of which a guest has one at a time: so devices
 * come in the order in which they were asked for, and a script for one never
 * runs beside a script for another.  What is said to a device while a job has
 * it is only written down (doomed), and looked at when the job is done.
 *
 * A worker ends with its last device.  One that ends by itself takes all of
 * them with it: they stay, dead, until the guest is gone or they are taken away.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "devopen.h"
#include "guest.h"
#include "job.h"
#include "journal.h"
#include "linkwatch.h"
#include "log.h"
#include "loop.h"
#include "state.h"
#include "supervisor.h"
#include "util.h"

#define WHY_LEN		512
#define NAME_LEN	256

struct guest_dev {
	struct guest_dev	*next;
	struct guest		*guest;
	struct devspec		spec;
	const char		*origin;
	unsigned int		index;
	enum guest_dev_state	state;
	bool			wants_job;	/* OPENING, CLOSING: not yet */
	bool			doomed;		/* to be taken away */
	bool			added;		/* that was told */
	bool			has_run;
	bool			unplugged;	/* by the operator */
	enum netdev_link	link;		/* as last seen */
	bool			link_told;	/* to the worker; up at first */
	char			name[16];
	struct claim		*claim;
	struct devopen		*open;
	int			err;		/* it has failed ... */
	char			why[WHY_LEN];	/* ... because of that */
	int			job_err;	/* the same, of its job */
	char			job_why[WHY_LEN];
	void			(*news)(void *arg,
					const struct guest_dev_news *news);
	void			*arg;
	void			(*when_gone)(void *arg);
	void			*when_gone_arg;
};

struct guest {
	struct guest_opts	opts;
	struct loop		*loop;
	char			name[NAME_LEN];
	struct state		*state;
	struct supervisor	*worker;
	enum grants_policy	grants;		/* the worker's */
	bool			worker_ready;
	bool			worker_leaving;
	bool			dead;
	bool			stopping;
	bool			gone;
	int			end_err;	/* 0: all was answered */
	struct guest_dev	*devs;		/* in order */
	struct guest_dev	*at_work;	/* whose job it is; or NULL */
	struct linkwatch	*links;		/* NULL: no card, so far */
	struct loop_work	step;
};

static void guest_next_step(struct guest *g)
{
	loop_defer(g->loop, &g->step);
}

static void dev_fail(struct guest_dev *dev, int err, const char *why)
{
	if (dev->err)
		return;			/* what came first is the reason */
	dev->err = err;
	snprintf(dev->why, sizeof(dev->why), "%s", why);
}

static void dev_tell(struct guest_dev *dev, enum guest_dev_event event)
{
	const struct guest_dev_news news = {
		.dev	= dev,
		.event	= event,
		.err	= dev->err,
		.why	= dev->why,
	};

	dev->news(dev->arg, &news);
}

/* ---- jobs ---- */

static void dev_job(void *arg)
{
	struct guest_dev *dev = arg;
	struct guest *g = dev->guest;

	if (dev->state == GUEST_DEV_CLOSING)
		devopen_close(dev->open);
	else
		dev->job_err = devopen_open(&dev->spec, g->opts.domid,
					    g->name, dev->index, &dev->open,
					    dev->job_why,
					    sizeof(dev->job_why));
}

/* Scripts have run, or there were none. */
static void dev_free(struct guest_dev *dev)
{
	struct guest *g = dev->guest;
	struct guest_dev **p;

	for (p = &g->devs; *p != dev; p = &(*p)->next)
		;
	*p = dev->next;
	claim_drop(dev->claim);
	dev_tell(dev, dev->added ? GUEST_DEV_REMOVED : GUEST_DEV_FAILED);
	if (dev->when_gone)
		dev->when_gone(dev->when_gone_arg);
	devspec_fini(&dev->spec);
	free(dev);
}

static void dev_close(struct guest_dev *dev)
{
	dev->state = GUEST_DEV_CLOSING;
	dev->wants_job = dev->open != NULL;
	guest_next_step(dev->guest);
}

static void dev_job_done(void *arg)
{
	struct guest_dev *dev = arg;

	dev->guest->at_work = NULL;
	guest_next_step(dev->guest);
	if (dev->state == GUEST_DEV_CLOSING) {
		dev->open = NULL;
		return;
	}
	dev->state = GUEST_DEV_OPENED;
	if (dev->job_err < 0)
		dev_fail(dev, dev->job_err, dev->job_why);
	else if (dev->guest->dead)
		dev_fail(dev, -ESRCH, "the worker was lost meanwhile");
	if (dev->err)
		dev_close(dev);
}

/* Starts the job of the first that wants one. */
static void guest_step_jobs(struct guest *g)
{
	struct guest_dev *dev = g->devs;

	while (dev && !dev->wants_job)
		dev = dev->next;
	if (!dev || g->at_work)
		return;
	dev->wants_job = false;
	g->at_work = dev;
	if (job_start(g->loop, dev_job, dev_job_done, dev) == 0)
		return;
	dev_job(dev);			/* then everybody has to wait */
	dev_job_done(dev);
}

/* ---- the worker ---- */

static struct guest_dev *guest_find(const struct guest *g, unsigned int index)
{
	struct guest_dev *dev = g->devs;

	while (dev && dev->index != index)
		dev = dev->next;
	return dev;
}

/* One that came when the worker was asked to leave gets the next one. */
static bool dev_is_lost(const struct guest_dev *dev)
{
	const struct guest *g = dev->guest;

	switch (dev->state) {
	case GUEST_DEV_OPENING:
		return g->dead && g->at_work != dev;
	case GUEST_DEV_OPENED:
		return !g->worker_leaving;
	case GUEST_DEV_HANDED:
	case GUEST_DEV_LEAVING:
		return true;
	default:
		return false;
	}
}

/* The worker is gone, or will not come. */
static void guest_lose_devices(struct guest *g, int err, const char *why)
{
	struct guest_dev *dev;

	for (dev = g->devs; dev; dev = dev->next) {
		if (!dev_is_lost(dev))
			continue;
		if (dev->state != GUEST_DEV_LEAVING)
			dev_fail(dev, err ? err : -ESRCH, why);
		dev_close(dev);
	}
}

static bool guest_serves(const struct guest *g)
{
	const struct guest_dev *dev = g->devs;

	while (dev && dev->state != GUEST_DEV_SERVED)
		dev = dev->next;
	return dev != NULL;
}

static void guest_on_worker_end(struct guest *g, int err, const char *why)
{
	bool was_ready = g->worker_ready;

	g->worker_ready = false;
	g->dead = guest_serves(g);
	if (err && was_ready) {
		if (*why)
			log_error("%s", why);
		g->end_err = err;
	}
	guest_lose_devices(g, err, why);
	supervisor_close(g->worker);	/* and @why */
	g->worker = NULL;
	guest_next_step(g);
	if (g->dead && !g->stopping)
		g->opts.ended(g->opts.arg, g, err);
}

static void dev_is_served(struct guest_dev *dev)
{
	if (dev->doomed) {
		dev->state = GUEST_DEV_LEAVING;
		supervisor_detach(dev->guest->worker, dev->index);
		return;
	}
	dev->state = GUEST_DEV_SERVED;
	dev->added = true;
	dev_tell(dev, GUEST_DEV_ADDED);
}

static void guest_on_news(void *arg, const struct supervisor_news *news)
{
	struct guest *g = arg;
	struct guest_dev *dev = guest_find(g, news->index);

	switch (news->event) {
	case SUPERVISOR_READY:
		g->worker_ready = true;
		break;
	case SUPERVISOR_ENDED:
		guest_on_worker_end(g, news->err, news->why);
		return;
	case SUPERVISOR_ADDED:
		dev_is_served(dev);
		break;
	case SUPERVISOR_REFUSED:
		dev_fail(dev, news->err, news->why);
		dev_close(dev);
		break;
	case SUPERVISOR_RUNNING:
		dev->has_run = true;
		dev_tell(dev, GUEST_DEV_RUNNING);
		break;
	case SUPERVISOR_DETACHED:
		dev_close(dev);
		break;
	}
	guest_next_step(g);
}

static void guest_start_worker(struct guest *g)
{
	const struct supervisor_opts opts = {
		.domid		= g->opts.domid,
		.pvh		= g->opts.pvh,
		.sandbox	= g->opts.sandbox,
		.uid		= g->opts.uid_base + g->opts.domid,
		.grants		= g->grants,
		.state		= g->state,
		.news		= guest_on_news,
		.arg		= g,
	};
	char why[WHY_LEN];
	int r;

	g->worker_leaving = false;
	r = supervisor_open(g->loop, &opts, &g->worker, why, sizeof(why));
	if (r < 0)
		guest_lose_devices(g, r, why);
}

/* ---- cables ---- */

static void dev_look_at_link(struct guest_dev *dev)
{
	enum netdev_link link = devopen_link(dev->open);
	bool up;

	if (link == NETDEV_GONE && dev->link != NETDEV_GONE)
		log_error("d%u %s: its interface is gone; the guest's cable stays out",
			  dev->guest->opts.domid, dev->name);
	dev->link = link;
	up = link == NETDEV_UP && !dev->unplugged;
	if (up == dev->link_told)
		return;
	dev->link_told = up;
	supervisor_set_link(dev->guest->worker, dev->index, up);
}

static void guest_on_link(void *arg)
{
	struct guest *g = arg;
	struct guest_dev *dev;

	for (dev = g->devs; dev && g->worker; dev = dev->next)
		if (dev->spec.kind == DEVSPEC_NET &&
		    (dev->state == GUEST_DEV_HANDED ||
		     dev->state == GUEST_DEV_SERVED))
			dev_look_at_link(dev);
}

/* Where nobody tells of changes, a cable stays as it was at first. */
static void dev_watch_link(struct guest_dev *dev)
{
	struct guest *g = dev->guest;
	int r = 0;

	if (dev->spec.kind != DEVSPEC_NET)
		return;
	if (!g->links)
		r = linkwatch_open(g->loop, guest_on_link, g, &g->links);
	if (r < 0)
		log_warn("d%u %s: cannot follow its interface going up and down: %s",
			 g->opts.domid, dev->name, strerror(-r));
	dev_look_at_link(dev);
}

void guest_dev_set_link(struct guest_dev *dev, bool up)
{
	dev->unplugged = !up;
	guest_on_link(dev->guest);
}

int guest_dev_resize(struct guest_dev *dev, uint64_t bytes, uint64_t *ret,
		     char *why, size_t why_len)
{
	struct guest *g = dev->guest;
	uint64_t now;
	int r;

	if (dev->spec.kind != DEVSPEC_BLK) {
		snprintf(why, why_len, "it is no disk");
		return -EINVAL;
	}
	if (dev->state != GUEST_DEV_SERVED || !g->worker) {
		snprintf(why, why_len, "it is not served");
		return -ESRCH;
	}
	/* On an open file: this takes no path, and no time. */
	r = devopen_grow(dev->open, bytes, &now, why, why_len);
	if (r < 0)
		return r;
	r = supervisor_resize(g->worker, dev->index, now);
	if (r < 0)
		snprintf(why, why_len, "the worker may not write that far: %s",
			 strerror(-r));
	else
		*ret = now;
	return r;
}

bool guest_dev_link(const struct guest_dev *dev)
{
	return dev->link_told;
}

/* ---- handing over ---- */

static void dev_hand_over(struct guest_dev *dev)
{
	char why[WHY_LEN];
	int r;

	memset(state_fn(dev->guest->state, dev->index), 0,
	       sizeof(struct fn_state));
	dev->state = GUEST_DEV_HANDED;
	r = supervisor_add(dev->guest->worker, dev->open);
	if (r == 0) {
		dev->link_told = true;
		dev_watch_link(dev);
		return;
	}
	snprintf(why, sizeof(why), "d%u: the worker does not take a device: %s",
		 dev->guest->opts.domid, strerror(-r));
	dev_fail(dev, r, why);
	dev_close(dev);
}

/* Those that are open go to it; it comes with the first, goes with the last. */
static void guest_step_worker(struct guest *g)
{
	bool needed = false, open = false, opening = false;
	struct guest_dev *dev;

	for (dev = g->devs; dev; dev = dev->next) {
		opening |= dev->state == GUEST_DEV_OPENING;
		open |= dev->state == GUEST_DEV_OPENED;
		needed |= dev->state != GUEST_DEV_CLOSING;
	}
	if (opening && g->opts.together)
		return;
	if (!g->worker && open && !g->dead)
		guest_start_worker(g);
	else if (open && g->worker_ready && !g->worker_leaving)
		for (dev = g->devs; dev; dev = dev->next)
			if (dev->state == GUEST_DEV_OPENED)
				dev_hand_over(dev);
	if (g->worker && !needed && !g->worker_leaving) {
		g->worker_leaving = true;
		supervisor_stop(g->worker, g->gone);
	}
}

/* ---- one step ---- */

/*
 * A device is gone when its job is done; the last one of a guest only when the
 * worker is, too, so that nothing of the guest's memory is mapped any more.
 */
static bool dev_is_over(const struct guest_dev *dev)
{
	const struct guest *g = dev->guest;

	return dev->state == GUEST_DEV_CLOSING && !dev->open &&
	       g->at_work != dev && !(g->worker && g->worker_leaving);
}

static void guest_step(struct loop_work *work)
{
	struct guest *g = container_of(work, struct guest, step);
	struct guest_dev *dev, *next;

	guest_step_worker(g);
	guest_step_jobs(g);
	for (dev = g->devs; dev; dev = next) {
		next = dev->next;
		if (dev_is_over(dev))
			dev_free(dev);
	}
	if (!g->devs && !g->worker && g->stopping) {
		loop_defer_cancel(&g->step);	/* said once */
		g->opts.ended(g->opts.arg, g, g->end_err);
	}
}

/* ---- devices come and go ---- */

/* Scripts find nobody at what they take away: the worker comes first. */
void guest_del(struct guest_dev *dev)
{
	struct guest *g = dev->guest;

	if (dev->doomed)
		return;
	dev->doomed = true;
	if (!dev->added)
		dev_fail(dev, -ECANCELED, "it is not wanted any more");
	switch (dev->state) {
	case GUEST_DEV_OPENING:
		if (g->at_work != dev) {
			dev->wants_job = false;
			dev_close(dev);
		}
		break;
	case GUEST_DEV_OPENED:
		dev_close(dev);
		break;
	case GUEST_DEV_SERVED:
		dev->state = GUEST_DEV_LEAVING;
		if (g->worker)
			supervisor_detach(g->worker, dev->index);
		else
			dev_close(dev);
		break;
	case GUEST_DEV_HANDED:		/* its answer is awaited */
	case GUEST_DEV_LEAVING:
	case GUEST_DEV_CLOSING:
		break;
	}
}

int guest_dev_when_gone(struct guest_dev *dev, void (*fn)(void *arg),
			void *arg)
{
	if (dev->when_gone)
		return -EBUSY;
	dev->when_gone = fn;
	dev->when_gone_arg = arg;
	return 0;
}

static int guest_place(struct guest *g, struct devspec *spec, char *why,
		       size_t why_len)
{
	uint8_t used[DEVSPEC_USED_BYTES] = { 0 };
	const struct guest_dev *dev;

	for (dev = g->devs; dev; dev = dev->next)
		used[dev->spec.devfn / 8] |=
			(uint8_t)(1u << dev->spec.devfn % 8);
	return devspec_place(spec, used, why, why_len);
}

static int guest_claim(struct guest *g, struct guest_dev *dev, char *why,
		       size_t why_len)
{
	unsigned int devfn = dev->spec.devfn;
	int r;

	r = claim_take(g->opts.domid, devfn, &dev->claim);
	if (r == -EADDRINUSE)
		snprintf(why, why_len,
			 "bdf='00:%02x.%x' of guest '%s' (d%u) is already served by another xen-virtiod",
			 devfn >> 3, devfn & 7, g->name, g->opts.domid);
	else if (r < 0)
		snprintf(why, why_len, "cannot claim bdf='00:%02x.%x': %s",
			 devfn >> 3, devfn & 7, strerror(-r));
	return r;
}

/*
 * What a worker may reach it gives up once, for all that it serves.  So it is
 * the same for all of them, and the first one decides.
 */
static int guest_agree(struct guest *g, const struct devspec *spec, char *why,
		       size_t why_len)
{
	if (!g->devs && !g->worker)
		g->grants = spec->grants;
	if (g->grants == spec->grants)
		return 0;
	snprintf(why, why_len, "grants='%s': the guest's other devices have grants=%s, and all of a guest's devices have the same",
		 devspec_grants_name(spec->grants),
		 devspec_grants_name(g->grants));
	return -EINVAL;
}

/* A number, an address, and nobody else who has it. */
static int guest_admit(struct guest *g, struct guest_dev *dev, char *why,
		       size_t why_len)
{
	int r;

	if (g->dead || g->gone) {
		snprintf(why, why_len, g->dead ?
			 "guest '%s' (d%u) has lost its worker: it can have devices again when it is started anew" :
			 "guest '%s' (d%u) is gone", g->name,
			 g->opts.domid);
		return -ESRCH;
	}
	while (guest_find(g, dev->index))
		dev->index++;
	if (dev->index >= state_count(g->state)) {
		snprintf(why, why_len, "guest '%s' (d%u) has %u devices, and no room for more",
			 g->name, g->opts.domid, state_count(g->state));
		return -ENOSPC;
	}
	r = guest_agree(g, &dev->spec, why, why_len);
	if (!r)
		r = guest_place(g, &dev->spec, why, why_len);
	if (!r)
		r = guest_claim(g, dev, why, why_len);
	return r;
}

int guest_add(struct guest *g, struct devspec *spec, const char *origin,
	      void (*news)(void *arg, const struct guest_dev_news *news),
	      void *arg, struct guest_dev **ret, char *why, size_t why_len)
{
	struct guest_dev *dev = calloc(1, sizeof(*dev));
	struct guest_dev **p;
	int r;

	if (!dev) {
		devspec_fini(spec);
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	dev->guest = g;
	dev->spec = *spec;
	dev->origin = origin;
	dev->news = news;
	dev->arg = arg;
	r = guest_admit(g, dev, why, why_len);
	if (r < 0) {
		devspec_fini(&dev->spec);
		free(dev);
		return r;
	}
	snprintf(dev->name, sizeof(dev->name), "%s%u",
		 devopen_kind_name(dev->spec.kind), dev->index);
	dev->wants_job = true;
	for (p = &g->devs; *p; p = &(*p)->next)
		;
	*p = dev;
	g->stopping = false;		/* if it was for want of devices */
	guest_next_step(g);
	*ret = dev;
	return 0;
}

/* ---- the whole ---- */

int guest_open(struct loop *loop, const struct guest_opts *opts,
	       struct guest **ret)
{
	struct guest *g = calloc(1, sizeof(*g));
	size_t room = opts->room ? opts->room : GUEST_ROOM;
	int r;

	if (!g)
		return -ENOMEM;
	g->loop = loop;
	g->opts = *opts;
	g->step.fn = guest_step;
	snprintf(g->name, sizeof(g->name), "%s", opts->name);
	/* Lines about it can be found by its name; or else by its number. */
	(void)journal_name_guest(opts->domid, opts->name);
	r = state_open((unsigned int)room, &g->state);
	if (r < 0) {
		guest_close(g);
		return r;
	}
	*ret = g;
	return 0;
}

void guest_stop(struct guest *g, bool gone)
{
	struct guest_dev *dev;

	g->stopping = true;
	g->gone |= gone;
	for (dev = g->devs; dev; dev = dev->next)
		guest_del(dev);
	/* All at once, in as long as one may take. */
	if (g->worker) {
		g->worker_leaving = true;
		supervisor_stop(g->worker, g->gone);
	}
	guest_next_step(g);
}

void guest_close(struct guest *g)
{
	if (!g)
		return;
	assert(!g->devs && !g->worker);
	loop_defer_cancel(&g->step);
	linkwatch_close(g->links);
	(void)journal_name_guest(g->opts.domid, NULL);
	state_close(g->state);
	free(g);
}

/* ---- what there is to be seen ---- */

uint32_t guest_domid(const struct guest *g)
{
	return g->opts.domid;
}

const char *guest_name(const struct guest *g)
{
	return g->name;
}

bool guest_is_pvh(const struct guest *g)
{
	return g->opts.pvh;
}

bool guest_is_dead(const struct guest *g)
{
	return g->dead;
}

pid_t guest_worker(const struct guest *g)
{
	return g->worker ? supervisor_pid(g->worker) : 0;
}

struct guest_dev *guest_first(const struct guest *g)
{
	return g->devs;
}

struct guest_dev *guest_next(const struct guest_dev *dev)
{
	return dev->next;
}

struct guest *guest_dev_guest(const struct guest_dev *dev)
{
	return dev->guest;
}

const char *guest_dev_name(const struct guest_dev *dev)
{
	return dev->name;
}

const char *guest_dev_origin(const struct guest_dev *dev)
{
	return dev->origin;
}

const struct devspec *guest_dev_spec(const struct guest_dev *dev)
{
	return &dev->spec;
}

enum guest_dev_state guest_dev_state(const struct guest_dev *dev)
{
	return dev->state;
}

bool guest_dev_has_run(const struct guest_dev *dev)
{
	return dev->has_run;
}

/* While a job has it, it is not ours to look at. */
static bool dev_is_open(const struct guest_dev *dev)
{
	return dev->open && dev->guest->at_work != dev;
}

void guest_dev_tell(const struct guest_dev *dev)
{
	if (dev_is_open(dev))
		devopen_tell(dev->open);
}

const struct devdesc *guest_dev_desc(const struct guest_dev *dev)
{
	return dev_is_open(dev) ? devopen_desc(dev->open) : NULL;
}

const struct fn_state *guest_dev_fn(const struct guest_dev *dev)
{
	return dev->added ? state_fn(dev->guest->state, dev->index) : NULL;
}
