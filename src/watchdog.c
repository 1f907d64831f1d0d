/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c: see the header.  Twice in the time that is given, as
 * sd_watchdog_enabled(3) recommends.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "notify.h"
#include "util.h"
#include "watchdog.h"

struct watchdog {
	struct loop_timer	*timer;
	unsigned int		ms;
	bool			told;	/* that it cannot be told */
};

static void watchdog_fn(void *arg)
{
	struct watchdog *w = arg;
	int r = notify_send("WATCHDOG=1");

	if (r < 0 && !w->told) {
		log_warn("cannot tell $NOTIFY_SOCKET that we are alive: %s",
			 strerror(-r));
		w->told = true;
	}
	loop_timer_set(w->timer, w->ms);
}

int watchdog_start(struct loop *loop, struct watchdog **ret)
{
	struct watchdog *w;
	uint64_t usec;
	int r;

	r = notify_watchdog(&usec);
	if (r <= 0) {
		if (r == 0)
			*ret = NULL;
		return r;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->ms = (unsigned int)MIN(usec / 2000, (uint64_t)INT_MAX);
	if (w->ms == 0)
		w->ms = 1;		/* as often as a timer can */
	r = loop_timer_add(loop, watchdog_fn, w, &w->timer);
	if (r < 0) {
		watchdog_stop(w);
		return r;
	}
	watchdog_fn(w);
	*ret = w;
	return 0;
}

void watchdog_stop(struct watchdog *w)
{
	if (!w)
		return;
	loop_timer_del(w->timer);
	free(w);
}
