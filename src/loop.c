/* SPDX-License-Identifier: MIT */
/*
 * loop.c: the event loop, on libevent_core.  No other file knows libevent.
 *
 * A turn is one event_base_loop(EVLOOP_ONCE) and then the deferred work:
 *
 *	+-> wait (or only look, if work is left over)	one epoll_wait(2)
 *	|   call what is ready: descriptors, timers, signals
 *	+-- call deferred work, at most TURN_BUDGET
 *
 * Watches are persistent, so that in the steady state epoll_wait is the only
 * system call that a turn makes by itself.
 *
 * Deferred work stands in one list, in order.  Work that is deferred by other
 * work is done in the same turn, which saves the epoll_wait between the steps
 * of one request; but work that defers itself waits on a second list until
 * the descriptors have been looked at, and so does everything beyond the
 * budget, else two queues that feed each other would shut out the guest's
 * config accesses for good.
 *
 *	todo: [a] - [b] - [c]		this turn's
 *	next: [a]			a has deferred itself
 *
 * Both lists are circular with a head that is a struct loop_work itself, so
 * that loop_defer_cancel() needs to know neither the list nor the loop.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <event2/event.h>
#include "log.h"
#include "loop.h"

#define TURN_BUDGET	32

struct loop {
	struct event_base	*base;
	struct loop_work	todo;		/* list heads */
	struct loop_work	next;
	struct loop_work	*running;	/* for comparison only: it may
						 * be gone already */
	bool			stopped;
	int			code;
};

struct loop_fd {
	struct event	*ev;
	void		(*fn)(void *arg);
	void		*arg;
};

struct loop_timer {
	struct event	*ev;
	void		(*fn)(void *arg);
	void		*arg;
};

/* ---- lists of work ---- */

static void list_init(struct loop_work *head)
{
	head->next = head;
	head->prev = head;
}

static bool list_is_empty(const struct loop_work *head)
{
	return head->next == head;
}

static void list_append(struct loop_work *head, struct loop_work *work)
{
	work->next = head;
	work->prev = head->prev;
	head->prev->next = work;
	head->prev = work;
	work->queued = true;
}

static void list_remove(struct loop_work *work)
{
	work->prev->next = work->next;
	work->next->prev = work->prev;
	work->next = NULL;
	work->prev = NULL;
	work->queued = false;
}

/* Moves everything on @from behind what is on @to. */
static void list_splice(struct loop_work *to, struct loop_work *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

void loop_defer(struct loop *loop, struct loop_work *work)
{
	if (work->queued)
		return;
	list_append(work == loop->running ? &loop->next : &loop->todo, work);
}

void loop_defer_cancel(struct loop_work *work)
{
	if (work->queued)
		list_remove(work);
}

static void loop_do_work(struct loop *loop)
{
	struct loop_work *work;
	int budget = TURN_BUDGET;

	while (!list_is_empty(&loop->todo) && !loop->stopped && budget-- > 0) {
		work = loop->todo.next;
		list_remove(work);
		loop->running = work;
		work->fn(work);		/* may free what it is part of */
		loop->running = NULL;
	}
	list_splice(&loop->todo, &loop->next);
}

/* ---- the loop ---- */

static void on_libevent_log(int severity, const char *msg)
{
	switch (severity) {
	case EVENT_LOG_ERR:
		log_error("libevent: %s", msg);
		break;
	case EVENT_LOG_WARN:
		log_warn("libevent: %s", msg);
		break;
	case EVENT_LOG_MSG:
		log_info("libevent: %s", msg);
		break;
	default:			/* its debugging is not ours */
		break;
	}
}

int loop_open(struct loop **ret)
{
	struct event_config *config;
	struct loop *loop;

	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	list_init(&loop->todo);
	list_init(&loop->next);

	event_set_log_callback(on_libevent_log);
	config = event_config_new();
	if (config) {
		/* One thread; and no variable of ours chooses the backend. */
		(void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK |
					    EVENT_BASE_FLAG_IGNORE_ENV);
		loop->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (!loop->base) {
		loop_close(loop);
		return -ENOMEM;
	}
	*ret = loop;
	return 0;
}

void loop_close(struct loop *loop)
{
	if (!loop)
		return;
	/* What is still queued is forgotten, and may be cancelled later. */
	list_splice(&loop->todo, &loop->next);
	while (!list_is_empty(&loop->todo))
		list_remove(loop->todo.next);
	if (loop->base)
		event_base_free(loop->base);
	free(loop);
}

int loop_run(struct loop *loop)
{
	int r, flags;

	while (!loop->stopped) {
		flags = EVLOOP_ONCE;
		if (!list_is_empty(&loop->todo))
			flags |= EVLOOP_NONBLOCK;
		r = event_base_loop(loop->base, flags);
		if (r < 0) {
			log_error("the event loop failed");
			loop_stop(loop, -EIO);
		}
		/* 1: nothing is watched.  Then there must be work to do. */
		assert(r != 1 || loop->stopped || !list_is_empty(&loop->todo));
		loop_do_work(loop);
	}
	loop->stopped = false;
	return loop->code;
}

void loop_stop(struct loop *loop, int code)
{
	loop->stopped = true;
	loop->code = code;
	(void)event_base_loopbreak(loop->base);	/* fails for NULL only */
}

/* ---- descriptors and signals ---- */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg);			/* may have deleted w */
}

static int loop_watch(struct loop *loop, int fd, short what,
		      void (*fn)(void *arg), void *arg, struct loop_fd **ret)
{
	struct loop_fd *w;
	int r;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->arg = arg;
	w->ev = event_new(loop->base, fd, what | EV_PERSIST, on_fd, w);
	if (!w->ev) {
		free(w);		/* nothing to delete yet */
		return -ENOMEM;
	}
	errno = 0;
	if (event_add(w->ev, NULL) < 0) {
		r = errno ? -errno : -ENOMEM;
		loop_fd_del(w);
		return r;
	}
	*ret = w;
	return 0;
}

int loop_fd_add(struct loop *loop, int fd, void (*fn)(void *arg), void *arg,
		struct loop_fd **ret)
{
	if (fd < 0)
		return -EBADF;		/* libevent would take it for a timer */
	return loop_watch(loop, fd, EV_READ, fn, arg, ret);
}

int loop_fd_add_write(struct loop *loop, int fd, void (*fn)(void *arg),
		      void *arg, struct loop_fd **ret)
{
	if (fd < 0)
		return -EBADF;
	return loop_watch(loop, fd, EV_WRITE, fn, arg, ret);
}

int loop_signal_add(struct loop *loop, int signo, void (*fn)(void *arg),
		    void *arg, struct loop_fd **ret)
{
	if (signo <= 0 || signo >= NSIG)
		return -EINVAL;
	return loop_watch(loop, signo, EV_SIGNAL, fn, arg, ret);
}

void loop_fd_del(struct loop_fd *w)
{
	if (!w)
		return;
	event_free(w->ev);		/* also stops watching */
	free(w);
}

void loop_fd_pause(struct loop_fd *w)
{
	(void)event_del(w->ev);		/* not watched is fine */
}

void loop_fd_resume(struct loop_fd *w)
{
	if (event_add(w->ev, NULL) < 0)
		log_error("out of memory: a descriptor is not watched");
}

/* ---- timers ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);			/* may have deleted t */
}

int loop_timer_add(struct loop *loop, void (*fn)(void *arg), void *arg,
		   struct loop_timer **ret)
{
	struct loop_timer *t;

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	t->ev = evtimer_new(loop->base, on_timer, t);
	if (!t->ev) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void loop_timer_set(struct loop_timer *t, unsigned int ms)
{
	struct timeval tv = {
		.tv_sec		= ms / 1000,
		.tv_usec	= ms % 1000 * 1000,
	};

	/* Adding one that runs already moves it. */
	if (evtimer_add(t->ev, &tv) < 0)
		log_error("out of memory: a timer is lost");
}

void loop_timer_stop(struct loop_timer *t)
{
	(void)evtimer_del(t->ev);	/* not running is fine */
}

void loop_timer_del(struct loop_timer *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t);
}

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t loop_now_ms(void)
{
	return loop_now_ns() / 1000000;
}
