/* SPDX-License-Identifier: MIT */
/*
 * single.c: see the header.
 *
 *	background -> guest -> devices (guest.c) -> ready -> the end
 *
 * Everything that can be wrong is found before the guest sees anything: the
 * first device of which nothing comes ends it all.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "guest.h"
#include "host.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "options.h"
#include "single.h"
#include "store.h"

#define WHY_LEN		512

struct single {
	struct options		*opts;
	struct background	bg;
	struct host		host;
	struct host_guest	who;
	struct guest		*guest;
	struct loop_fd		*sigterm;
	struct loop_fd		*sigint;
	struct loop_fd		*released;
	size_t			added;		/* devices that are in place */
	bool			ready;
	bool			stopping;
	bool			gone;
};

/* Which guest is meant, and is it one that we can serve? */
static int single_find(struct single *s, char *why, size_t why_len)
{
	const char *domain = s->opts->domain;
	char reason[WHY_LEN / 2];
	uint32_t domid;
	int r;

	r = xenstore_find(s->host.xs, domain, &domid);
	if (r == 0)
		r = host_find(&s->host, domid, &s->who, reason,
			      sizeof(reason));
	else
		snprintf(reason, sizeof(reason), "%s", r == -ENOENT ?
			 "no such guest; 'xl list' shows those there are" :
			 r == -ENOTUNIQ ?
			 "several guests have this name, give the ID" :
			 strerror(-r));
	if (r < 0)
		snprintf(why, why_len, "--domain '%s': %s", domain, reason);
	return r;
}

/* ---- events ---- */

static void single_stop(struct single *s)
{
	if (!s->stopping)
		(void)notify_send("STOPPING=1");	/* or nobody to tell */
	s->stopping = true;
	guest_stop(s->guest, s->gone);
}

static void single_fail(struct single *s, const char *why)
{
	if (s->stopping)
		return;
	log_error("%s", why);
	single_stop(s);
}

static void single_on_signal(void *arg)
{
	struct single *s = arg;

	if (s->stopping)
		return;
	log_info("d%u: asked to stop", s->who.domid);
	single_stop(s);
}

/* Some guest ended.  Ours? */
static void single_on_release(void *arg)
{
	struct single *s = arg;

	xenstore_take(s->host.xs);
	if (s->gone || !host_has_lost(&s->host, s->who.domid))
		return;
	log_info("d%u: the guest is gone", s->who.domid);
	s->gone = true;
	single_stop(s);
}

static void single_on_end(void *arg, struct guest *g, int err)
{
	struct single *s = arg;

	if (!s->stopping) {		/* no worker: nobody is served */
		s->stopping = true;
		guest_stop(g, false);
		return;
	}
	loop_stop(s->host.loop, s->ready ? err : -ECANCELED);
}

/* Everything is in place. */
static void single_ready(struct single *s)
{
	const struct guest_dev *dev;
	char why[WHY_LEN];
	int r;

	for (dev = guest_first(s->guest); dev; dev = guest_next(dev))
		guest_dev_tell(dev);
	r = background_ready(&s->bg, why, sizeof(why));
	if (r < 0) {
		single_fail(s, why);
		return;
	}
	s->ready = true;
	log_info("d%u: serving %zu device%s of guest '%s' (%s)", s->who.domid,
		 s->added, s->added == 1 ? "" : "s", s->who.name,
		 s->who.pvh ? "PVH" : "HVM");
	r = notify_send("READY=1");
	if (r < 0)
		log_warn("cannot tell $NOTIFY_SOCKET that we are ready: %s",
			 strerror(-r));
}

static void single_on_news(void *arg, const struct guest_dev_news *news)
{
	struct single *s = arg;

	if (news->event == GUEST_DEV_FAILED) {
		single_fail(s, news->why);
	} else if (news->event == GUEST_DEV_ADDED) {
		s->added++;
		if (s->added == s->opts->ndevices && !s->stopping)
			single_ready(s);
	}
}

/* ---- start, life and end ---- */

static int single_listen(struct single *s, char *why, size_t why_len)
{
	struct loop *loop = s->host.loop;
	int r;

	r = loop_signal_add(loop, SIGTERM, single_on_signal, s, &s->sigterm);
	if (!r)
		r = loop_signal_add(loop, SIGINT, single_on_signal, s,
				    &s->sigint);
	if (r < 0) {
		snprintf(why, why_len, "cannot start the event loop: %s",
			 strerror(-r));
		return r;
	}
	r = loop_fd_add(loop, xenstore_fd(s->host.xs), single_on_release, s,
			&s->released);
	if (!r)
		r = xenstore_watch_release(s->host.xs);
	if (r < 0)
		snprintf(why, why_len, "cannot watch xenstore: %s",
			 strerror(-r));
	return r;
}

static int single_open_guest(struct single *s, char *why, size_t why_len)
{
	const struct guest_opts opts = {
		.domid		= s->who.domid,
		.name		= s->who.name,
		.pvh		= s->who.pvh,
		.sandbox	= !s->opts->no_sandbox,
		.uid_base	= s->opts->uid_base,
		.room		= s->opts->ndevices,
		.together	= true,
		.ended		= single_on_end,
		.arg		= s,
	};
	int r;

	r = guest_open(s->host.loop, &opts, &s->guest);
	if (r < 0)
		snprintf(why, why_len, "d%u: cannot keep its state: %s",
			 s->who.domid, strerror(-r));
	return r;
}

/* Their addresses are checked and assigned, all of them, by options.c. */
static void single_add_devices(struct single *s)
{
	struct options *opts = s->opts;
	struct guest_dev *dev;
	char why[WHY_LEN];
	size_t i;

	for (i = 0; i < opts->ndevices && !s->stopping; i++) {
		opts->devices[i].bdf_given = true;
		if (guest_add(s->guest, &opts->devices[i], "command line",
			      single_on_news, s, &dev, why, sizeof(why)) < 0)
			single_fail(s, why);
		memset(&opts->devices[i], 0, sizeof(opts->devices[i]));
	}
}

static int single_start(struct single *s, char *why, size_t why_len)
{
	int r;

	r = host_open(&s->host, why, why_len);
	if (!r)
		r = single_find(s, why, why_len);
	if (!r)
		r = single_open_guest(s, why, why_len);
	if (!r)
		r = single_listen(s, why, why_len);
	return r;
}

static int single_serve(struct single *s)
{
	char why[WHY_LEN] = "";
	int r;

	r = single_start(s, why, sizeof(why));
	if (r < 0) {
		log_error("%s", why);
	} else {
		single_add_devices(s);
		r = loop_run(s->host.loop);
	}
	guest_close(s->guest);
	loop_fd_del(s->released);
	loop_fd_del(s->sigint);
	loop_fd_del(s->sigterm);
	host_close(&s->host);
	return r;
}

int single_run(struct options *opts)
{
	struct single s = { .opts = opts, .bg = BACKGROUND_INIT };
	char why[WHY_LEN];
	int r;

	r = background_begin(&s.bg, opts->background, opts->pidfile, why,
			     sizeof(why));
	if (r < 0) {
		log_error("%s", why);
		return EXIT_FAILURE;
	}
	r = single_serve(&s);
	background_end(&s.bg);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
