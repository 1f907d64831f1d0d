/* SPDX-License-Identifier: MIT */
/*
 * service.c: see the header.
 *
 * Xen says that some domain has come, or gone, and not which: so after each
 * such word the list of domains is looked through for those that were not there
 * before, and our guests for those that are no more.
 *
 * Devices of the configuration file belong to a guest from the moment that
 * xenstore knows it, when its toolstack still builds it; those of its stanzas
 * come later.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "background.h"
#include "claim.h"
#include "command.h"
#include "config.h"
#include "control.h"
#include "ioreq/domctl.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "options.h"
#include "service.h"
#include "store.h"
#include "util.h"
#include "watchdog.h"
#include "xsdev.h"

#define WHY_LEN		512
#define HOLD_MS		10000u		/* as long as xl waits for a disk */
#define SETTLED_NS	1000000000u	/* it has looked for its devices by then */
#define DOMAINS		"/local/domain"
#define PATH_LEN	256

struct running {
	struct service		s;
	struct background	bg;
	struct claim		*claim;
	struct watchdog		*watchdog;
	struct loop_fd		*signals[3];
	struct loop_fd		*store;
};

/* ---- holds ---- */

/* Return: how long it has run; 0 if that cannot be known. */
static uint64_t guest_cpu_ns(const struct service_guest *sg)
{
	struct domctl_info info;

	if (domctl_info(sg->service->host.dc, guest_domid(sg->guest),
			&info) < 0)
		return 0;
	return info.cpu_ns;
}

void service_hold(struct service_guest *sg)
{
	uint32_t domid = guest_domid(sg->guest);
	int r;

	sg->holds++;
	if (sg->paused || guest_cpu_ns(sg) > SETTLED_NS)
		return;
	r = domctl_pause(sg->service->host.dc, domid);
	if (r < 0) {
		log_warn("d%u: cannot be kept from running until its devices are there: %s",
			 domid, strerror(-r));
		return;
	}
	sg->paused = true;
	loop_timer_set(sg->patience, HOLD_MS);
}

static void service_let_run(struct service_guest *sg)
{
	uint32_t domid = guest_domid(sg->guest);
	bool has_run;
	int r;

	if (!sg->paused)
		return;
	sg->paused = false;
	loop_timer_stop(sg->patience);
	has_run = guest_cpu_ns(sg) > 0;
	r = domctl_unpause(sg->service->host.dc, domid);
	if (r < 0 && r != -ESRCH)
		log_error("d%u: cannot be unpaused: %s; 'xl unpause %u' may help",
			  domid, strerror(-r), domid);
	if (has_run)
		log_info("d%u: the guest has run before its devices were there; it may have to rescan its bus",
			 domid);
}

void service_release(struct service_guest *sg)
{
	if (--sg->holds == 0)
		service_let_run(sg);
}

static void service_on_patience(void *arg)
{
	struct service_guest *sg = arg;

	log_warn("d%u: not all devices are there after %u s: the guest runs without",
		 guest_domid(sg->guest), HOLD_MS / 1000);
	service_let_run(sg);
}

/* ---- guests ---- */

struct service_guest *service_find(struct service *s, uint32_t domid)
{
	struct service_guest *sg = s->guests;

	while (sg && guest_domid(sg->guest) != domid)
		sg = sg->next;
	return sg;
}

static void service_free(struct service_guest *sg)
{
	struct service_guest **p;

	for (p = &sg->service->guests; *p != sg; p = &(*p)->next)
		;
	*p = sg->next;
	service_let_run(sg);
	loop_timer_del(sg->patience);
	guest_close(sg->guest);
	free(sg);
}

static void service_stop_if_done(struct service *s)
{
	if (s->stopping && !s->guests && s->host.loop)
		loop_stop(s->host.loop, 0);
}

static void service_on_dead(struct service_guest *sg)
{
	const struct guest_dev *dev = guest_first(sg->guest);

	for (; dev && sg->service->xsdev; dev = guest_next(dev))
		xsdev_mark_dead(sg->service->xsdev, dev,
				"its worker has ended; the guest has to be started anew");
}

static void service_on_end(void *arg, struct guest *g, int err)
{
	struct service_guest *sg = arg;
	struct service *s = sg->service;

	(void)err;			/* was logged */
	if (guest_first(g)) {
		service_on_dead(sg);
		return;
	}
	service_free(sg);
	service_stop_if_done(s);
}

static int service_new(struct service *s, const struct host_guest *who,
		       struct service_guest **ret)
{
	struct service_guest *sg = calloc(1, sizeof(*sg));
	const struct guest_opts opts = {
		.domid		= who->domid,
		.name		= who->name,
		.pvh		= who->pvh,
		.sandbox	= s->config->sandbox,
		.uid_base	= s->config->uid_base,
		.ended		= service_on_end,
		.arg		= sg,
	};
	int r;

	if (!sg)
		return -ENOMEM;
	sg->service = s;
	r = loop_timer_add(s->host.loop, service_on_patience, sg,
			   &sg->patience);
	if (!r)
		r = guest_open(s->host.loop, &opts, &sg->guest);
	if (r < 0) {
		loop_timer_del(sg->patience);
		free(sg);
		return r;
	}
	sg->next = s->guests;
	s->guests = sg;
	*ret = sg;
	return 0;
}

int service_guest(struct service *s, uint32_t domid,
		  struct service_guest **ret, char *why, size_t why_len)
{
	struct service_guest *sg = service_find(s, domid);
	struct host_guest who;
	int r;

	if (sg) {
		*ret = sg;
		return 0;
	}
	r = host_find(&s->host, domid, &who, why, why_len);
	if (r < 0)
		return r;
	r = service_new(s, &who, ret);
	if (r < 0)
		snprintf(why, why_len, "cannot keep its state: %s",
			 strerror(-r));
	return r;
}

void service_drop_if_empty(struct service_guest *sg)
{
	if (sg && !guest_first(sg->guest) && !sg->holds)
		guest_stop(sg->guest, sg->gone);
}

/* ---- devices of the configuration ---- */

static void extra_on_news(void *arg, const struct guest_dev_news *news)
{
	struct service_guest *sg = arg;

	switch (news->event) {
	case GUEST_DEV_ADDED:
		guest_dev_tell(news->dev);
		service_release(sg);
		break;
	case GUEST_DEV_RUNNING:
		break;
	case GUEST_DEV_FAILED:
		if (news->err != -ECANCELED)
			log_error("d%u: %s", guest_domid(sg->guest),
				  news->why);
		service_release(sg);
		service_drop_if_empty(sg);
		break;
	case GUEST_DEV_REMOVED:
		service_drop_if_empty(sg);
		break;
	}
}

static void service_add_extra(struct service *s, struct service_guest *sg,
			      size_t i)
{
	const char *name = guest_name(sg->guest);
	struct guest_dev *dev;
	struct devspec spec;
	char why[WHY_LEN];
	int r;

	r = config_extra(s->config, name, i, &spec, why, sizeof(why));
	if (!r)
		r = guest_add(sg->guest, &spec, "configuration",
			      extra_on_news, sg, &dev, why, sizeof(why));
	if (r < 0)
		log_error("d%u: %s", guest_domid(sg->guest), why);
	else
		service_hold(sg);
}

static void service_see(struct service *s, uint32_t domid)
{
	char name[HOST_NAME_LEN], why[WHY_LEN];
	struct service_guest *sg;
	size_t i, n;

	xenstore_name(s->host.xs, domid, name, sizeof(name));
	n = config_extra_count(s->config, name);
	if (n == 0)
		return;
	if (service_guest(s, domid, &sg, why, sizeof(why)) < 0) {
		log_error("d%u: '%s' of the configuration: %s", domid, name,
			  why);
		return;
	}
	for (i = 0; i < n; i++)
		service_add_extra(s, sg, i);
	service_drop_if_empty(sg);
}

/* ---- domains come and go ---- */

static bool service_is_new(struct service *s, uint32_t domid)
{
	uint8_t bit = (uint8_t)(1u << domid % 8);

	if (s->seen[domid / 8] & bit)
		return false;
	s->seen[domid / 8] |= bit;
	return true;
}

static void service_on_introduce(struct service *s)
{
	uint32_t domid;
	unsigned int i, count;
	char **list;

	if (s->stopping || xenstore_list(s->host.xs, DOMAINS, &list,
					 &count) < 0)
		return;
	for (i = 0; i < count; i++) {
		domid = (uint32_t)strtoul(list[i], NULL, 10);
		if (domid != s->self && domid / 8 < sizeof(s->seen) &&
		    service_is_new(s, domid))
			service_see(s, domid);
	}
	free(list);
}

static void service_lose(struct service_guest *sg)
{
	if (sg->gone)
		return;
	log_info("d%u: the guest is gone", guest_domid(sg->guest));
	sg->gone = true;
	guest_stop(sg->guest, true);
}

/* A number may be a new guest's before long. */
static void service_forget_seen(struct service *s)
{
	uint32_t domid;

	for (domid = 0; domid / 8 < sizeof(s->seen); domid++)
		if (s->seen[domid / 8] & 1u << domid % 8 &&
		    host_has_lost(&s->host, domid))
			s->seen[domid / 8] &= (uint8_t)~(1u << domid % 8);
}

/* xl has no way to ask us, nor we to refuse: it can only be said. */
static void service_check_suspend(struct service_guest *sg)
{
	struct domctl_info info;

	if (domctl_info(sg->service->host.dc, guest_domid(sg->guest), &info))
		return;
	if (info.suspended && !sg->suspended)
		log_error("d%u: guest '%s' is saved or migrated, and its virtio devices cannot be: it will not have them when it goes on elsewhere",
			  guest_domid(sg->guest), guest_name(sg->guest));
	sg->suspended = info.suspended;
}

/* Or shut down: it is the same word for both. */
static void service_on_release(struct service *s)
{
	struct service_guest *sg;

	for (sg = s->guests; sg; sg = sg->next) {
		service_check_suspend(sg);
		if (host_has_lost(&s->host, guest_domid(sg->guest)))
			service_lose(sg);
	}
	service_forget_seen(s);
}

static void service_on_store(void *arg)
{
	struct service *s = arg;
	char path[PATH_LEN];

	while (xenstore_next(s->host.xs, path, sizeof(path))) {
		if (strcmp(path, "@introduceDomain") == 0)
			service_on_introduce(s);
		else if (strcmp(path, "@releaseDomain") == 0)
			service_on_release(s);
		else if (s->xsdev)
			xsdev_event(s->xsdev, path);
	}
	if (s->xsdev)			/* or the start has failed */
		xsdev_look(s->xsdev);
}

/* ---- the file ---- */

/* Only one that was asked for must be there. */
static int service_load(struct service *s, struct config **ret, char *why,
			size_t why_len)
{
	const char *path = s->opts->config;
	int r;

	r = config_load(path ? path : CONFIG_PATH, ret, why, why_len);
	if (r != -ENOENT || path)
		return r;
	*ret = config_new_default();
	if (*ret)
		return 0;
	snprintf(why, why_len, "out of memory");
	return -ENOMEM;
}

int service_reload(struct service *s, char *why, size_t why_len)
{
	struct config *config;
	int r;

	r = service_load(s, &config, why, why_len);
	if (r < 0)
		return r;
	config_free(s->config);
	s->config = config;
	log_info("the configuration was read again; guests that are served keep their devices");
	return 0;
}

static void service_on_hup(void *arg)
{
	struct service *s = arg;
	char why[WHY_LEN];

	if (s->stopping)
		return;
	(void)notify_reloading();	/* or nobody to tell */
	if (service_reload(s, why, sizeof(why)) < 0)
		log_error("%s; the configuration stays as it was", why);
	(void)notify_send("READY=1");
}

/* ---- the whole ---- */

static void service_stop(struct service *s)
{
	struct service_guest *sg;

	s->stopping = true;
	for (sg = s->guests; sg; sg = sg->next)
		guest_stop(sg->guest, sg->gone);
	service_stop_if_done(s);
}

static void service_on_signal(void *arg)
{
	struct service *s = arg;

	if (s->stopping)
		return;
	log_info("asked to stop");
	(void)notify_send("STOPPING=1");	/* or nobody to tell */
	service_stop(s);
}

static int running_listen(struct running *run)
{
	struct loop *loop = run->s.host.loop;
	struct service *s = &run->s;
	int r;

	r = loop_signal_add(loop, SIGTERM, service_on_signal, s,
			    &run->signals[0]);
	if (!r)
		r = loop_signal_add(loop, SIGINT, service_on_signal, s,
				    &run->signals[1]);
	if (!r)
		r = loop_signal_add(loop, SIGHUP, service_on_hup, s,
				    &run->signals[2]);
	if (!r)
		r = loop_fd_add(loop, xenstore_fd(s->host.xs),
				service_on_store, s, &run->store);
	if (!r)
		r = xenstore_watch(s->host.xs, "@introduceDomain");
	if (!r)
		r = xenstore_watch(s->host.xs, "@releaseDomain");
	return r;
}

/* A few descriptors for each guest, and one for each device. */
static void raise_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int running_claim(struct running *run, char *why, size_t why_len)
{
	int r = claim_take_service(&run->claim);

	if (r < 0)
		snprintf(why, why_len, "%s", r == -EADDRINUSE ?
			 "another xen-virtiod follows xenstore already; --domain is missing if this one is for one guest" :
			 strerror(-r));
	return r;
}

static int running_start(struct running *run, char *why, size_t why_len)
{
	struct service *s = &run->s;
	int r;

	raise_limit();
	r = service_load(s, &s->config, why, why_len);
	if (!r)
		r = running_claim(run, why, why_len);
	if (!r)
		r = host_open(&s->host, why, why_len);
	if (!r)
		r = host_self(&s->host, &s->self, why, why_len);
	if (r < 0)
		return r;
	r = running_listen(run);
	if (r < 0) {
		snprintf(why, why_len, "cannot watch xenstore: %s",
			 strerror(-r));
		return r;
	}
	service_on_introduce(s);
	r = xsdev_open(s, &s->xsdev, why, why_len);
	if (!r)
		r = control_open(s->host.loop, s->opts->socket ?
				 s->opts->socket : CONTROL_PATH,
				 s->config->control_group, command_handle, s,
				 &s->control, why, why_len);
	if (!r)
		r = background_ready(&run->bg, why, why_len);
	return r;
}

/* Whoever has started us is told; and is no reason to fail. */
static void running_tell(struct running *run)
{
	int r;

	log_info("following xenstore");
	r = notify_send("READY=1");
	if (r < 0)
		log_warn("cannot tell $NOTIFY_SOCKET that we are ready: %s",
			 strerror(-r));
	r = watchdog_start(run->s.host.loop, &run->watchdog);
	if (r < 0)
		log_warn("$WATCHDOG_USEC: nobody watches over us: %s",
			 strerror(-r));
}

static void running_end(struct running *run)
{
	struct service *s = &run->s;
	size_t i;

	watchdog_stop(run->watchdog);

	control_close(s->control);
	xsdev_close(s->xsdev);
	loop_fd_del(run->store);
	for (i = 0; i < ARRAY_SIZE(run->signals); i++)
		loop_fd_del(run->signals[i]);
	host_close(&s->host);
	claim_drop(run->claim);
	config_free(s->config);
}

static int running_serve(struct running *run)
{
	char why[WHY_LEN] = "";
	int r;

	r = running_start(run, why, sizeof(why));
	if (r < 0) {
		log_error("%s", why);
		service_stop(&run->s);
		if (run->s.guests)
			(void)loop_run(run->s.host.loop);
	} else {
		running_tell(run);
		r = loop_run(run->s.host.loop);
	}
	running_end(run);
	return r;
}

int service_run(struct options *opts)
{
	struct running run = {
		.s.opts	= opts,
		.bg	= BACKGROUND_INIT,
	};
	char why[WHY_LEN];
	int r;

	r = background_begin(&run.bg, opts->background, opts->pidfile, why,
			     sizeof(why));
	if (r < 0) {
		log_error("%s", why);
		return EXIT_FAILURE;
	}
	r = running_serve(&run);
	background_end(&run.bg);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
