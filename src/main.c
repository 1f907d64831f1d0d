/* SPDX-License-Identifier: MIT */
/*
 * main.c: xen-virtiod for one guest, from the command line to the exit.
 *
 *	options -> guest -> slots claimed -> images opened -> worker -> ready
 *
 * This process is the supervisor: it has the paths, xenstore and all rights,
 * and no memory of the guest.  The guest is served by another one, the worker.
 * Everything that can be wrong is found before the guest sees anything, and
 * what was made for it goes when the worker is gone.
 * Exit status: 0, 2 for a wrong command line, 1 for all else.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "claim.h"
#include "background.h"
#include "devopen.h"
#include "ioreq/domctl.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "options.h"
#include "state.h"
#include "store.h"
#include "supervisor.h"
#include "worker.h"

#define WHY_LEN		512
#define NAME_LEN	256

struct guest {
	struct options		opts;
	struct xenstore		*xs;
	struct domctl		*dc;
	uint32_t		domid;
	bool			pvh;
	bool			stopping;
	bool			gone;
	char			name[NAME_LEN];
	struct claim		**claims;
	struct devopen		**devices;
	struct state		*state;
	struct loop		*loop;
	struct loop_fd		*sigterm;
	struct loop_fd		*sigint;
	struct loop_fd		*released;
	struct supervisor	*worker;
};

/* Which guest is meant, and is it one that we can serve? */
static int guest_find(struct guest *g, char *why, size_t why_len)
{
	struct domctl_info info;
	int r;

	r = domctl_open(&g->dc);
	if (r < 0) {
		snprintf(why, why_len,
			 "cannot talk to Xen: %s; is this dom0, and are you root?",
			 strerror(-r));
		return r;
	}
	r = xenstore_open(&g->xs);
	if (r < 0) {
		snprintf(why, why_len,
			 "cannot reach xenstore: %s; is xenstored running?",
			 strerror(-r));
		return r;
	}
	r = xenstore_find(g->xs, g->opts.domain, &g->domid);
	if (!r)
		r = domctl_info(g->dc, g->domid, &info);
	if (!r && info.dying)
		r = -ESRCH;
	if (r < 0) {
		snprintf(why, why_len, "--domain '%s': %s", g->opts.domain,
			 r == -ENOENT || r == -ESRCH ?
			 "no such guest; 'xl list' shows those there are" :
			 r == -ENOTUNIQ ?
			 "several guests have this name, give the ID" :
			 strerror(-r));
		return r;
	}
	xenstore_name(g->xs, g->domid, g->name, sizeof(g->name));
	if (info.kind == DOMCTL_PV) {
		snprintf(why, why_len,
			 "--domain '%s': d%u is a PV guest, which has no emulated devices; type=\"pvh\" or \"hvm\" is needed",
			 g->opts.domain, g->domid);
		return -EINVAL;
	}
	g->pvh = info.kind == DOMCTL_PVH;
	return 0;
}

static int guest_claim(struct guest *g, size_t i, char *why, size_t why_len)
{
	unsigned int devfn = g->opts.devices[i].devfn;
	int r;

	r = claim_take(g->domid, devfn, &g->claims[i]);
	if (r == -EADDRINUSE)
		snprintf(why, why_len,
			 "bdf='00:%02x.%x' of guest '%s' (d%u) is already served by another xen-virtiod",
			 devfn >> 3, devfn & 7, g->name, g->domid);
	else if (r < 0)
		snprintf(why, why_len, "cannot claim bdf='00:%02x.%x': %s",
			 devfn >> 3, devfn & 7, strerror(-r));
	return r;
}

static int guest_open_devices(struct guest *g, char *why, size_t why_len)
{
	size_t i, n = g->opts.ndevices;
	int r = 0;

	g->claims = calloc(n, sizeof(*g->claims));
	g->devices = calloc(n, sizeof(*g->devices));
	if (!g->claims || !g->devices) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < n && !r; i++) {
		r = guest_claim(g, i, why, why_len);
		if (!r)
			r = devopen_open(&g->opts.devices[i], g->domid,
					 g->name, (unsigned int)i,
					 &g->devices[i], why, why_len);
	}
	return r;
}

/* ---- events ---- */

static void guest_stop(struct guest *g)
{
	if (!g->stopping)
		(void)notify_send("STOPPING=1");	/* or nobody to tell */
	g->stopping = true;
	supervisor_stop(g->worker, g->gone);
}

static void guest_on_signal(void *arg)
{
	struct guest *g = arg;

	if (g->stopping)
		return;
	log_info("d%u: asked to stop", g->domid);
	guest_stop(g);
}

/* Some guest ended.  Ours? */
static void guest_on_release(void *arg)
{
	struct guest *g = arg;
	struct domctl_info info;
	int r;

	xenstore_take(g->xs);
	r = domctl_info(g->dc, g->domid, &info);
	if ((r == 0 && !info.dying) || g->gone)
		return;
	if (r < 0 && r != -ESRCH) {
		log_warn("d%u: cannot tell whether the guest is still there: %s",
			 g->domid, strerror(-r));
		return;
	}
	log_info("d%u: the guest is gone", g->domid);
	g->gone = true;
	guest_stop(g);
}

static void guest_on_end(void *arg, bool clean)
{
	struct guest *g = arg;

	loop_stop(g->loop, clean ? 0 : -ECHILD);
}

/* ---- start, life and end ---- */

static int guest_loop(struct guest *g)
{
	int r;

	r = loop_open(&g->loop);
	if (!r)
		r = loop_signal_add(g->loop, SIGTERM, guest_on_signal, g,
				    &g->sigterm);
	if (!r)
		r = loop_signal_add(g->loop, SIGINT, guest_on_signal, g,
				    &g->sigint);
	if (!r)
		r = state_open((unsigned int)g->opts.ndevices, &g->state);
	return r;
}

static int guest_start_worker(struct guest *g, char *why, size_t why_len)
{
	struct supervisor_opts opts = {
		.domid		= g->domid,
		.pvh		= g->pvh,
		.sandbox	= !g->opts.no_sandbox,
		.uid		= g->opts.uid_base + g->domid,
		.state		= g->state,
		.devices	= g->devices,
		.ndevices	= g->opts.ndevices,
		.ended		= guest_on_end,
		.arg		= g,
	};

	return supervisor_open(g->loop, &opts, &g->worker, why, why_len);
}

static int guest_start(struct guest *g, char *why, size_t why_len)
{
	int r;

	r = guest_find(g, why, why_len);
	if (!r)
		r = guest_open_devices(g, why, why_len);
	if (r < 0)
		return r;
	r = guest_loop(g);
	if (r < 0) {
		snprintf(why, why_len, "cannot start the event loop: %s",
			 strerror(-r));
		return r;
	}
	r = guest_start_worker(g, why, why_len);
	if (r < 0)
		return r;
	r = loop_fd_add(g->loop, xenstore_fd(g->xs), guest_on_release, g,
			&g->released);
	if (!r)
		r = xenstore_watch_release(g->xs);
	if (r < 0)
		snprintf(why, why_len, "cannot watch xenstore: %s",
			 strerror(-r));
	return r;
}

/* First the worker, so that scripts find nobody at what they take away. */
static void guest_end(struct guest *g)
{
	size_t i;

	supervisor_close(g->worker);
	for (i = 0; i < g->opts.ndevices; i++) {
		if (g->devices)
			devopen_close(g->devices[i]);
		if (g->claims)
			claim_drop(g->claims[i]);
	}
	free(g->devices);
	free(g->claims);
	state_close(g->state);
	loop_fd_del(g->released);
	loop_fd_del(g->sigint);
	loop_fd_del(g->sigterm);
	if (g->loop)
		loop_close(g->loop);
	xenstore_close(g->xs);
	domctl_close(g->dc);
}

/* Everything is in place.  Return: 0 or a negative errno with @why. */
static int guest_ready(struct guest *g, struct background *bg, char *why,
		       size_t why_len)
{
	size_t i;
	int r;

	for (i = 0; i < g->opts.ndevices; i++)
		devopen_tell(g->devices[i]);
	r = background_ready(bg, why, why_len);
	if (r < 0)
		return r;
	log_info("d%u: serving %zu device%s of guest '%s' (%s)", g->domid,
		 g->opts.ndevices, g->opts.ndevices == 1 ? "" : "s", g->name,
		 g->pvh ? "PVH" : "HVM");
	r = notify_send("READY=1");
	if (r < 0)
		log_warn("cannot tell $NOTIFY_SOCKET that we are ready: %s",
			 strerror(-r));
	return 0;
}

static int guest_serve(struct guest *g, struct background *bg)
{
	char why[WHY_LEN] = "";
	int r;

	r = guest_start(g, why, sizeof(why));
	if (!r)
		r = guest_ready(g, bg, why, sizeof(why));
	if (r < 0)
		log_error("%s", why);
	else
		r = loop_run(g->loop);
	guest_end(g);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * What the process inherits is not of its choosing.  A descriptor from 0 to 2
 * that is closed would be an image's next, and log lines would go into it;
 * and with SIGCHLD ignored nobody hears how a child of ours ended.
 */
static int set_the_stage(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	(void)signal(SIGPIPE, SIG_IGN);	/* cannot fail for these */
	(void)signal(SIGCHLD, SIG_DFL);
	return 0;
}

int main(int argc, char **argv)
{
	struct background bg = BACKGROUND_INIT;
	struct guest g = { 0 };
	char why[WHY_LEN];
	int status;

	if (set_the_stage() < 0)
		return EXIT_FAILURE;	/* and nowhere to say so */
	if (argc == 2 && strcmp(argv[1], WORKER_ARG) == 0)
		return worker_main();
	log_init("xen-virtiod", getenv("JOURNAL_STREAM") != NULL);
	switch (options_parse(argc, argv, &g.opts)) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_EXIT_OK:
		options_fini(&g.opts);
		return EXIT_SUCCESS;
	case OPTIONS_EXIT_USAGE:
		options_fini(&g.opts);
		return 2;
	}
	if (background_begin(&bg, g.opts.background, g.opts.pidfile, why,
			     sizeof(why)) < 0) {
		log_error("%s", why);
		status = EXIT_FAILURE;
	} else {
		status = guest_serve(&g, &bg);
		background_end(&bg);
	}
	options_fini(&g.opts);
	return status;
}
