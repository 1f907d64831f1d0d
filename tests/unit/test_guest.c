/* SPDX-License-Identifier: MIT */
/*
 * test_guest.c: a guest's devices and its worker, with nothing real below:
 * what guest.c asks for is written down as words, and the test decides what
 * comes of it, and when.
 *
 *	"open0 worker give0 added0 ..."
 *
 * Besides what a test wants to see, the fakes insist on what must hold always:
 * one job at a time; nothing is closed that the worker still has; nobody gets
 * a device with another one's state; a device has one last news, and what was
 * its own is free by then.
 */
#include <errno.h>

#include "claim.h"
#include "devopen.h"
#include "guest.h"
#include "job.h"
#include "linkwatch.h"
#include "log.h"
#include "loop.h"
#include "state.h"
#include "supervisor.h"
#include "unit.h"
#include "util.h"

#define DOMID		7u
#define MAX_DEVS	64
#define FIRST		(DEVSPEC_FIRST_SLOT << 3)

static struct loop *loop;
static struct guest *guest;
static bool quiet;			/* no trail: too long */
static char trail[4096];

__attribute__((format(printf, 1, 2)))
static void note(const char *fmt, ...)
{
	size_t len = strlen(trail);
	va_list ap;

	if (quiet)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(trail + len, sizeof(trail) - len, fmt, ap);
	va_end(ap);
	assert_true(strlen(trail) < sizeof(trail) - 1);
}

/* What has happened since we looked last. */
#define happened(want)							\
do {									\
	settle();							\
	assert_string_equal(trail, want);				\
	trail[0] = '\0';						\
} while (0)

/* ---- jobs: one, until the test says that it is done ---- */

static struct {
	void	(*work)(void *arg);
	void	(*done)(void *arg);
	void	*arg;
} job;

static int refuse_job;

int job_start(struct loop *l, void (*work)(void *arg), void (*done)(void *arg),
	      void *arg)
{
	assert_ptr_equal(l, loop);
	assert_null(job.work);
	if (refuse_job)
		return refuse_job;
	job.work = work;
	job.done = done;
	job.arg = arg;
	return 0;
}

static void job_works(void)
{
	assert_non_null(job.work);
	job.work(job.arg);
}

static void job_is_done(void)
{
	void (*done)(void *arg) = job.done;

	job.work = NULL;
	done(job.arg);
}

/* ---- addresses ---- */

struct claim {
	unsigned int	devfn;
};

static bool claimed[256];
static int refuse_claim;

int claim_take(uint32_t domid, unsigned int devfn, struct claim **ret)
{
	struct claim *claim;

	assert_int_equal(domid, DOMID);
	if (refuse_claim)
		return refuse_claim;
	assert_false(claimed[devfn]);
	claim = calloc(1, sizeof(*claim));
	assert_non_null(claim);
	claim->devfn = devfn;
	claimed[devfn] = true;
	*ret = claim;
	return 0;
}

void claim_drop(struct claim *claim)
{
	if (!claim)
		return;
	assert_true(claimed[claim->devfn]);
	claimed[claim->devfn] = false;
	free(claim);
}

/* ---- what is opened ---- */

struct devopen {
	struct devdesc	desc;
};

static int refuse_open;
static struct devopen *opened[MAX_DEVS];	/* by index */
static enum netdev_link links[MAX_DEVS];

static int refuse_grow, refuse_resize;

int devopen_grow(struct devopen *dev, uint64_t bytes, uint64_t *ret,
		 char *text, size_t len)
{
	note("grow%u=%llu ", dev->desc.index, (unsigned long long)bytes);
	assert_ptr_equal(dev, opened[dev->desc.index]);
	if (refuse_grow) {
		(void)snprintf(text, len, "no room on the disk");
		return refuse_grow;
	}
	*ret = bytes ? bytes : 12345;
	return 0;
}

const char *devopen_kind_name(enum devspec_kind kind)
{
	return kind == DEVSPEC_BLK ? "vblk" : "vnet";
}

int devopen_open(const struct devspec *spec, uint32_t domid, const char *name,
		 unsigned int index, struct devopen **ret, char *why,
		 size_t why_len)
{
	struct devopen *dev;

	note("open%u ", index);
	assert_int_equal(domid, DOMID);
	assert_string_equal(name, "web1");
	assert_true(index < MAX_DEVS);
	assert_null(opened[index]);
	assert_true(claimed[spec->devfn]);
	if (refuse_open) {
		(void)snprintf(why, why_len, "no such file");
		return refuse_open;
	}
	dev = calloc(1, sizeof(*dev));
	assert_non_null(dev);
	dev->desc.kind = spec->kind;
	dev->desc.domid = domid;
	dev->desc.index = index;
	dev->desc.devfn = spec->devfn;
	opened[index] = dev;
	*ret = dev;
	return 0;
}

const struct devdesc *devopen_desc(const struct devopen *dev)
{
	return &dev->desc;
}

enum netdev_link devopen_link(const struct devopen *dev)
{
	return links[dev->desc.index];
}

void devopen_tell(const struct devopen *dev)
{
	note("tell%u ", dev->desc.index);
}

/* ---- the worker ---- */

enum has {
	HAS_NOT,
	HAS_BEEN_GIVEN,
	HAS_ADDED,
	HAS_RUNNING,
	HAS_TO_LEAVE,
};

struct supervisor {
	struct supervisor_opts	opts;
	bool			ready;
	bool			asked;		/* to end */
	bool			ended;
	enum has		has[MAX_DEVS];
	bool			link[MAX_DEVS];
};

static struct supervisor *worker;
static unsigned int workers;		/* that there have ever been */
static enum grants_policy grants;	/* of devices that are added */
static int refuse_worker, refuse_add;

int supervisor_open(struct loop *l, const struct supervisor_opts *opts,
		    struct supervisor **ret, char *why, size_t why_len)
{
	note("worker ");
	assert_ptr_equal(l, loop);
	assert_null(worker);
	assert_int_equal(opts->domid, DOMID);
	assert_int_equal(opts->uid, 1000 + DOMID);
	assert_true(opts->sandbox && opts->pvh);
	assert_int_equal(opts->grants, grants);
	if (refuse_worker) {
		(void)snprintf(why, why_len, "no processes left");
		return refuse_worker;
	}
	worker = calloc(1, sizeof(*worker));
	assert_non_null(worker);
	worker->opts = *opts;
	workers++;
	*ret = worker;
	return 0;
}

static bool is_zero(const void *mem, size_t len)
{
	const char *p = mem;

	return *p == 0 && memcmp(p, p + 1, len - 1) == 0;
}

int supervisor_add(struct supervisor *s, struct devopen *dev)
{
	unsigned int i = dev->desc.index;
	struct fn_state *fn = state_fn(s->opts.state, i);

	note("give%u ", i);
	assert_true(s == worker && s->ready && !s->ended && !s->asked);
	assert_ptr_equal(dev, opened[i]);
	assert_int_equal(s->has[i], HAS_NOT);
	assert_true(is_zero(fn, sizeof(*fn)));
	if (refuse_add)
		return refuse_add;
	memset(fn, 0x5a, sizeof(*fn));
	s->has[i] = HAS_BEEN_GIVEN;
	s->link[i] = true;
	return 0;
}

void supervisor_detach(struct supervisor *s, unsigned int index)
{
	note("detach%u ", index);
	assert_true(s == worker && !s->ended);
	assert_true(s->has[index] == HAS_ADDED ||
		    s->has[index] == HAS_RUNNING);
	s->has[index] = HAS_TO_LEAVE;
}

void supervisor_set_link(struct supervisor *s, unsigned int index, bool up)
{
	note("%s%u ", up ? "in" : "out", index);
	assert_true(s == worker && !s->ended);
	assert_int_not_equal(s->has[index], HAS_NOT);
	assert_int_not_equal(s->link[index], up);
	s->link[index] = up;
}

int supervisor_resize(struct supervisor *s, unsigned int index, uint64_t bytes)
{
	note("resize%u=%llu ", index, (unsigned long long)bytes);
	assert_true(s == worker && !s->ended);
	assert_true(s->has[index] == HAS_ADDED ||
		    s->has[index] == HAS_RUNNING);
	return refuse_resize;
}

void supervisor_stop(struct supervisor *s, bool gone)
{
	note(gone ? "stop-gone " : "stop ");
	assert_true(s == worker && !s->ended);
	s->asked = true;
}

pid_t supervisor_pid(const struct supervisor *s)
{
	return s->ended ? 0 : 4711;
}

void supervisor_close(struct supervisor *s)
{
	assert_true(s == worker && s->ended);
	worker = NULL;
	free(s);
}

void devopen_close(struct devopen *dev)
{
	if (!dev)
		return;
	note("close%u ", dev->desc.index);
	assert_ptr_equal(dev, opened[dev->desc.index]);
	assert_true(!worker || worker->has[dev->desc.index] == HAS_NOT);
	opened[dev->desc.index] = NULL;
	free(dev);
}

static void says(enum supervisor_event event, unsigned int index, int err,
		 const char *why)
{
	const struct supervisor_news news = { event, index, err, why };

	assert_non_null(worker);
	assert_false(worker->ended);
	worker->opts.news(worker->opts.arg, &news);
}

static void worker_ready(void)
{
	worker->ready = true;
	says(SUPERVISOR_READY, 0, 0, "");
}

static void worker_adds(unsigned int index)
{
	assert_int_equal(worker->has[index], HAS_BEEN_GIVEN);
	worker->has[index] = HAS_ADDED;
	says(SUPERVISOR_ADDED, index, 0, "");
}

static void worker_refuses(unsigned int index)
{
	assert_int_equal(worker->has[index], HAS_BEEN_GIVEN);
	worker->has[index] = HAS_NOT;
	says(SUPERVISOR_REFUSED, index, -EBUSY, "no ring");
}

static void worker_runs(unsigned int index)
{
	assert_int_equal(worker->has[index], HAS_ADDED);
	worker->has[index] = HAS_RUNNING;
	says(SUPERVISOR_RUNNING, index, 0, "");
}

static void worker_detaches(unsigned int index)
{
	assert_int_equal(worker->has[index], HAS_TO_LEAVE);
	worker->has[index] = HAS_NOT;
	says(SUPERVISOR_DETACHED, index, 0, "");
}

static void worker_ends(int err, const char *why)
{
	const struct supervisor_news news = {
		SUPERVISOR_ENDED, 0, err, why
	};

	note("end ");
	assert_true(err || worker->asked);
	memset(worker->has, 0, sizeof(worker->has));
	worker->ended = true;
	worker->opts.news(worker->opts.arg, &news);
	assert_null(worker);
}

/* ---- cables ---- */

struct linkwatch {
	void	(*fn)(void *arg);
	void	*arg;
};

static struct linkwatch *watch;
static int refuse_watch;

int linkwatch_open(struct loop *l, void (*fn)(void *arg), void *arg,
		   struct linkwatch **ret)
{
	assert_ptr_equal(l, loop);
	assert_null(watch);
	if (refuse_watch)
		return refuse_watch;
	watch = calloc(1, sizeof(*watch));
	assert_non_null(watch);
	watch->fn = fn;
	watch->arg = arg;
	*ret = watch;
	return 0;
}

void linkwatch_close(struct linkwatch *lw)
{
	if (!lw)
		return;
	assert_ptr_equal(lw, watch);
	free(watch);
	watch = NULL;
}

static void link_becomes(unsigned int index, enum netdev_link link)
{
	links[index] = link;
	if (watch)
		watch->fn(watch->arg);
}

/* ---- whoever asked for devices ---- */

struct asker {
	struct guest_dev	*dev;	/* NULL: none, or had its last news */
	unsigned int		index;
	uint8_t			devfn;
	unsigned int		added, running, last;
	enum guest_dev_event	how;
	int			err;
	char			why[256];
};

static struct asker askers[MAX_DEVS];
static unsigned int nended;
static int end_err;
static char why[512];

static void on_news(void *arg, const struct guest_dev_news *news)
{
	static const char *const words[] = {
		"added", "failed", "running", "removed"
	};
	struct asker *a = arg;

	note("%s%u ", words[news->event], a->index);
	assert_ptr_equal(news->dev, a->dev);
	assert_int_equal(a->last, 0);
	a->added += news->event == GUEST_DEV_ADDED;
	a->running += news->event == GUEST_DEV_RUNNING;
	assert_true(a->added <= 1 && a->running <= a->added);
	if (news->event != GUEST_DEV_FAILED &&
	    news->event != GUEST_DEV_REMOVED)
		return;
	a->last++;
	a->how = news->event;
	a->dev = NULL;
	assert_int_equal(a->added, news->event == GUEST_DEV_REMOVED);
	assert_false(claimed[a->devfn]);
	assert_null(opened[a->index]);
	if (news->event != GUEST_DEV_FAILED) {
		assert_int_equal(news->err, 0);
		return;
	}
	assert_true(news->err < 0);
	a->err = news->err;
	(void)snprintf(a->why, sizeof(a->why), "%s", news->why);
	assert_string_not_equal(a->why, "");	/* somebody wants to know */
}

static void on_end(void *arg, struct guest *g, int err)
{
	assert_ptr_equal(arg, &nended);
	assert_ptr_equal(g, guest);
	note(guest_is_dead(g) && guest_first(g) ? "dead " : "ended ");
	nended++;
	end_err = err;
}

/* ---- what a test does ---- */

static unsigned int turns;

static void on_turn(struct loop_work *work)
{
	if (turns-- == 0)
		loop_stop(loop, 0);
	else
		loop_defer(loop, work);
}

/* As many turns as anything takes that needs nothing from outside. */
static void settle(void)
{
	struct loop_work work = { .fn = on_turn };

	turns = 3 * GUEST_ROOM;		/* each may have a job undone */
	loop_defer(loop, &work);
	assert_int_equal(loop_run(loop), 0);
}

static void job_ends(void)
{
	job_works();
	job_is_done();
	settle();
}

static struct guest_opts options(void)
{
	return (struct guest_opts){
		.domid = DOMID, .name = "web1", .pvh = true, .sandbox = true,
		.uid_base = 1000, .ended = on_end, .arg = &nended,
	};
}

static void opens(const struct guest_opts *opts)
{
	assert_int_equal(guest_open(loop, opts, &guest), 0);
}

static struct devspec spec_of(enum devspec_kind kind, unsigned int devfn)
{
	struct devspec spec = {
		.kind = kind, .bdf_given = devfn != 0, .devfn = (uint8_t)devfn,
	};

	/* Something to be freed: a leak shows under ASan. */
	if (kind == DEVSPEC_BLK)
		spec.blk.path = strdup("/tmp/disk.img");
	else
		spec.net.bridge = strdup("br0");
	return spec;
}

static int try_add(struct asker *a, enum devspec_kind kind, unsigned int devfn)
{
	struct devspec spec = spec_of(kind, devfn);
	int r;

	spec.grants = grants;
	memset(a, 0, sizeof(*a));
	why[0] = '\0';
	r = guest_add(guest, &spec, "a test", on_news, a, &a->dev, why,
		      sizeof(why));
	if (r < 0) {
		assert_null(a->dev);
		assert_string_not_equal(why, "");
		return r;
	}
	a->index = (unsigned int)atoi(guest_dev_name(a->dev) + 4);
	a->devfn = guest_dev_spec(a->dev)->devfn;
	assert_true(claimed[a->devfn]);
	return 0;
}

static void adds_kind(unsigned int i, enum devspec_kind kind)
{
	if (try_add(&askers[i], kind, 0) < 0)
		fail_msg("%s", why);
}

static void adds(unsigned int i)
{
	adds_kind(i, DEVSPEC_BLK);
}

static void refuses(int err, unsigned int devfn, const char *want)
{
	struct asker a;

	assert_int_equal(try_add(&a, DEVSPEC_BLK, devfn), err);
	assert_string_equal(why, want);
}

static void check_failed(unsigned int i, int err, const char *want)
{
	assert_int_equal(askers[i].last, 1);
	assert_int_equal(askers[i].how, GUEST_DEV_FAILED);
	assert_string_equal(askers[i].why, want);
	assert_int_equal(askers[i].err, err);
}

/* Devices 0 to @n - 1, served by a worker. */
static void serves(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		adds(i);
	settle();
	for (i = 0; i < n; i++)
		job_ends();
	if (!worker->ready)
		worker_ready();
	settle();
	for (i = 0; i < n; i++)
		worker_adds(askers[i].index);
	settle();
	trail[0] = '\0';
}

/* Whatever is still to come comes. */
static void finish(void)
{
	unsigned int i, n;

	refuse_open = refuse_job = refuse_worker = refuse_add = 0;
	guest_stop(guest, false);
	settle();
	for (n = 0; n < 1000 && (worker || job.work); n++) {
		if (job.work)
			job_ends();
		for (i = 0; worker && i < MAX_DEVS; i++)
			if (worker->has[i] == HAS_TO_LEAVE)
				worker_detaches(i);
		if (worker)
			worker_ends(0, "");
		settle();
	}
	assert_null(guest_first(guest));
	trail[0] = '\0';
}

static int setup(void **state)
{
	const struct guest_opts opts = options();
	unsigned int i;

	(void)state;
	log_init("test", false);
	memset(askers, 0, sizeof(askers));
	for (i = 0; i < MAX_DEVS; i++)
		links[i] = NETDEV_UP;
	quiet = false;
	trail[0] = '\0';
	nended = workers = 0;
	end_err = 1;
	refuse_open = refuse_job = refuse_worker = refuse_add = 0;
	refuse_claim = refuse_watch = refuse_grow = refuse_resize = 0;
	grants = GRANTS_AUTO;
	assert_int_equal(loop_open(&loop), 0);
	opens(&opts);
	return 0;
}

static int teardown(void **state)
{
	unsigned int i;

	(void)state;
	finish();
	guest_close(guest);
	loop_close(loop);
	assert_null(watch);
	for (i = 0; i < MAX_DEVS; i++)
		assert_null(opened[i]);
	for (i = 0; i < ARRAY_SIZE(claimed); i++)
		assert_false(claimed[i]);
	return 0;
}

/* ---- one device ---- */

static void test_life(void **state)
{
	(void)state;
	adds(0);
	happened("");
	assert_string_equal(guest_dev_name(askers[0].dev), "vblk0");
	assert_string_equal(guest_dev_origin(askers[0].dev), "a test");
	assert_ptr_equal(guest_dev_guest(askers[0].dev), guest);
	assert_string_equal(guest_dev_spec(askers[0].dev)->blk.path,
			    "/tmp/disk.img");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_OPENING);
	assert_int_equal(guest_worker(guest), 0);
	job_works();
	assert_null(guest_dev_desc(askers[0].dev));	/* the thread's */
	job_is_done();
	happened("open0 worker ");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_OPENED);
	assert_int_equal(guest_dev_desc(askers[0].dev)->devfn, FIRST);
	assert_int_equal(guest_worker(guest), 4711);
	worker_ready();
	happened("give0 ");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_HANDED);
	assert_null(guest_dev_fn(askers[0].dev));
	worker_adds(0);
	happened("added0 ");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_SERVED);
	assert_non_null(guest_dev_fn(askers[0].dev));
	assert_false(guest_dev_has_run(askers[0].dev));
	worker_runs(0);
	happened("running0 ");
	assert_true(guest_dev_has_run(askers[0].dev));
	guest_dev_tell(askers[0].dev);
	happened("tell0 ");

	guest_del(askers[0].dev);
	guest_del(askers[0].dev);
	happened("detach0 ");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_LEAVING);
	worker_detaches(0);
	happened("stop ");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_CLOSING);
	guest_del(askers[0].dev);
	job_ends();
	happened("close0 ");			/* the worker is still there */
	worker_ends(0, "");
	happened("end removed0 ");
	assert_null(guest_first(guest));

	guest_stop(guest, false);
	happened("ended ");
	assert_int_equal(nended, 1);
	assert_int_equal(end_err, 0);
}

/* What the first device says is what the worker may, and all others say. */
static void test_grants(void **state)
{
	(void)state;
	grants = GRANTS_REQUIRE;
	serves(1);
	grants = GRANTS_AUTO;
	refuses(-EINVAL, 0, "grants='auto': the guest's other devices have grants=require, and all of a guest's devices have the same");
	grants = GRANTS_OFF;
	refuses(-EINVAL, 0, "grants='off': the guest's other devices have grants=require, and all of a guest's devices have the same");
	grants = GRANTS_REQUIRE;
	adds(1);
}

static void test_seen(void **state)
{
	(void)state;
	assert_int_equal(guest_domid(guest), DOMID);
	assert_string_equal(guest_name(guest), "web1");
	assert_true(guest_is_pvh(guest));
	assert_false(guest_is_dead(guest));
	assert_null(guest_first(guest));
	adds(0);
	adds_kind(1, DEVSPEC_NET);
	assert_ptr_equal(guest_first(guest), askers[0].dev);
	assert_ptr_equal(guest_next(askers[0].dev), askers[1].dev);
	assert_null(guest_next(askers[1].dev));
	assert_string_equal(guest_dev_name(askers[1].dev), "vnet1");
	guest_close(NULL);
}

/* The worker may go before the job is done. */
static void test_slow_close(void **state)
{
	(void)state;
	serves(1);
	guest_del(askers[0].dev);
	worker_detaches(0);
	happened("detach0 stop ");
	worker_ends(0, "");
	happened("end ");
	job_works();
	assert_null(guest_dev_desc(askers[0].dev));
	happened("close0 ");
	job_is_done();
	happened("removed0 ");
}

/* While a script runs for a device, nobody else looks at it. */
static void test_tell_while_closing(void **state)
{
	(void)state;
	serves(1);
	guest_del(askers[0].dev);
	worker_detaches(0);
	settle();
	trail[0] = '\0';
	guest_dev_tell(askers[0].dev);
	happened("");
}

/* ---- taken away again, whatever it is doing ---- */

#define CANCELED	"it is not wanted any more"

static void test_del_before_job(void **state)
{
	(void)state;
	adds(0);
	adds(1);
	settle();			/* the job is that of the first */
	guest_del(askers[1].dev);
	happened("failed1 ");
	check_failed(1, -ECANCELED, CANCELED);
	guest_del(askers[0].dev);
	happened("");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_OPENING);
	job_ends();
	happened("open0 ");
	job_ends();
	happened("close0 failed0 ");
	check_failed(0, -ECANCELED, CANCELED);
	assert_int_equal(workers, 0);
}

/* Not even begun. */
static void test_del_at_once(void **state)
{
	(void)state;
	adds(0);
	guest_del(askers[0].dev);
	happened("failed0 ");
}

/* What opening it comes to does not matter then. */
static void test_del_while_failing(void **state)
{
	(void)state;
	adds(0);
	settle();
	guest_del(askers[0].dev);
	refuse_open = -ENOENT;
	job_ends();
	happened("open0 failed0 ");
	check_failed(0, -ECANCELED, CANCELED);
}

static void test_del_opened(void **state)
{
	(void)state;
	adds(0);
	settle();
	job_ends();
	happened("open0 worker ");
	guest_del(askers[0].dev);
	happened("stop ");
	job_ends();
	happened("close0 ");
	worker_ends(0, "");
	happened("end failed0 ");
	check_failed(0, -ECANCELED, CANCELED);
}

static void test_del_handed(void **state)
{
	(void)state;
	serves(1);
	adds(1);
	settle();
	job_ends();
	happened("open1 give1 ");
	guest_del(askers[1].dev);
	happened("");				/* what will it say? */
	worker_adds(1);
	happened("detach1 ");
	worker_detaches(1);
	settle();
	job_ends();
	happened("close1 failed1 ");
	check_failed(1, -ECANCELED, CANCELED);

	adds(1);
	settle();
	job_ends();
	guest_del(askers[1].dev);
	worker_refuses(1);
	settle();
	job_ends();
	happened("open1 give1 close1 failed1 ");
	check_failed(1, -ECANCELED, CANCELED);
}

/* ---- several ---- */

/* One job at a time, in order; and each is handed over when it is open. */
static void test_order(void **state)
{
	(void)state;
	adds(0);
	adds(1);
	adds(2);
	settle();
	job_ends();
	happened("open0 worker ");
	job_ends();
	happened("open1 ");
	worker_ready();
	happened("give0 give1 ");
	worker_adds(1);
	job_ends();
	happened("added1 open2 give2 ");
	worker_adds(2);
	worker_adds(0);
	happened("added2 added0 ");

	/* Closing is in order, too, and behind what is being opened. */
	adds(3);
	settle();
	guest_del(askers[2].dev);
	guest_del(askers[0].dev);
	worker_detaches(2);
	worker_detaches(0);
	happened("detach2 detach0 ");
	job_ends();
	happened("open3 give3 ");
	job_ends();
	happened("close0 removed0 ");
	job_ends();
	happened("close2 removed2 ");
	assert_null(job.work);
}

/* The guest sees none before all are open, one way or the other. */
static void test_together(void **state)
{
	struct guest_opts opts = options();

	(void)state;
	guest_close(guest);
	opts.together = true;
	opens(&opts);
	adds(0);
	adds(1);
	adds(2);
	settle();
	job_ends();
	happened("open0 ");
	refuse_open = -ENOENT;
	job_ends();
	happened("open1 failed1 ");
	refuse_open = 0;
	job_ends();
	happened("open2 worker ");
	worker_ready();
	happened("give0 give2 ");
	check_failed(1, -ENOENT, "no such file");
}

static void test_stop_all(void **state)
{
	(void)state;
	serves(3);
	adds(3);
	settle();
	job_ends();
	adds(4);
	adds(5);
	settle();
	happened("open3 give3 ");
	/* served: 0, 1, 2; handed: 3; being opened: 4; waiting for that: 5 */
	worker_runs(1);
	guest_stop(guest, false);
	happened("running1 detach0 detach1 detach2 stop ");
	worker_detaches(1);
	worker_adds(3);
	happened("detach3 ");
	worker_detaches(3);
	worker_detaches(0);
	worker_detaches(2);
	worker_ends(0, "");
	happened("end failed5 ");
	job_ends();
	happened("open4 ");
	job_ends();
	job_ends();
	job_ends();
	happened("close0 removed0 close1 removed1 close2 removed2 ");
	job_ends();
	happened("close3 failed3 ");
	assert_int_equal(nended, 0);
	job_ends();
	happened("close4 failed4 ended ");
	assert_int_equal(end_err, 0);
}

/* Its worker never got to answer. */
static void test_stop_handed(void **state)
{
	(void)state;
	serves(1);
	adds(1);
	settle();
	job_ends();
	guest_stop(guest, true);
	happened("open1 give1 detach0 stop-gone ");
	worker_ends(0, "");
	settle();
	job_ends();
	job_ends();
	happened("end close0 removed0 close1 failed1 ended ");
	check_failed(1, -ECANCELED, CANCELED);
}

static void test_stop_before_ready(void **state)
{
	(void)state;
	adds(0);
	settle();
	job_ends();
	guest_stop(guest, false);
	guest_stop(guest, true);		/* it went meanwhile */
	happened("open0 worker stop stop-gone ");
	worker_ready();				/* too late */
	happened("");
	worker_ends(0, "");
	settle();
	job_ends();
	happened("end close0 failed0 ended ");
	refuses(-ESRCH, 0, "guest 'web1' (d7) is gone");
}

static void test_stop_nothing(void **state)
{
	(void)state;
	guest_stop(guest, false);
	happened("ended ");
	assert_int_equal(nended, 1);
	assert_int_equal(end_err, 0);
}

/* It is gone for good, whatever is said later. */
static void test_stop_gone(void **state)
{
	(void)state;
	serves(1);
	guest_stop(guest, true);
	guest_stop(guest, false);
	happened("detach0 stop-gone stop-gone ");
	refuses(-ESRCH, 0, "guest 'web1' (d7) is gone");
}

/* Before it has come to anything, somebody wants a device again. */
static void test_stop_forgotten(void **state)
{
	(void)state;
	guest_stop(guest, false);
	adds(0);
	happened("");
	guest_del(askers[0].dev);
	job_ends();
	job_ends();
	happened("open0 close0 failed0 ");
	assert_int_equal(nended, 0);
	serves(1);
	guest_stop(guest, false);
	worker_ends(0, "");
	settle();
	job_ends();
	happened("detach0 stop end close0 removed0 ended ");
}

/* Once, also where the last job could not be had. */
static void test_ended_once(void **state)
{
	(void)state;
	serves(2);
	guest_stop(guest, false);
	worker_ends(0, "");
	refuse_job = -EAGAIN;
	happened("detach0 detach1 stop end close0 removed0 close1 removed1 ended ");
	assert_int_equal(nended, 1);
}

/* ---- a device that comes while the worker goes ---- */

static void test_add_while_leaving(void **state)
{
	(void)state;
	serves(1);
	guest_del(askers[0].dev);
	worker_detaches(0);
	settle();
	job_ends();
	happened("detach0 stop close0 ");
	adds(1);
	settle();
	job_ends();
	happened("open1 ");
	worker_ends(0, "");			/* as it was asked to */
	happened("end worker removed0 ");
	worker_ready();
	happened("give1 ");
}

/* Of a guest that was stopped for want of devices, too. */
static void test_add_while_stopping(void **state)
{
	(void)state;
	serves(1);
	guest_stop(guest, false);
	adds(1);
	worker_detaches(0);
	settle();
	job_ends();				/* 0 is closed first, or 1 open */
	job_ends();
	worker_ends(0, "");
	settle();
	assert_int_equal(nended, 0);
	assert_int_equal(workers, 2);
	worker_ready();
	settle();
	worker_adds(askers[1].index);
	settle();
	assert_int_equal(guest_dev_state(askers[1].dev), GUEST_DEV_SERVED);
	assert_int_equal(askers[0].how, GUEST_DEV_REMOVED);
}

/* ---- what fails ---- */

static void test_open_fails(void **state)
{
	(void)state;
	refuse_open = -ENOENT;
	adds(0);
	settle();
	job_ends();
	happened("open0 failed0 ");
	check_failed(0, -ENOENT, "no such file");
	assert_int_equal(workers, 0);
}

/* Without a thread everybody has to wait. */
static void test_no_thread(void **state)
{
	(void)state;
	refuse_job = -EAGAIN;
	adds(0);
	adds(1);
	happened("open0 worker open1 ");
	worker_ready();
	happened("give0 give1 ");
}

static void test_refused(void **state)
{
	(void)state;
	serves(1);
	adds(1);
	settle();
	job_ends();
	worker_refuses(1);
	settle();
	job_ends();
	happened("open1 give1 close1 failed1 ");
	check_failed(1, -EBUSY, "no ring");
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_SERVED);

	/* Where it was the only one, the worker is not needed. */
	guest_del(askers[0].dev);
	worker_detaches(0);
	settle();
	job_ends();
	worker_ends(0, "");
	happened("detach0 stop close0 end removed0 ");
	adds(0);
	settle();
	job_ends();
	worker_ready();
	settle();
	worker_refuses(0);
	happened("open0 worker give0 stop ");
	worker_ends(0, "");
	settle();
	job_ends();
	happened("end close0 failed0 ");
}

/* It cannot be told of the device. */
static void test_not_taken(void **state)
{
	(void)state;
	serves(1);
	refuse_add = -EAGAIN;
	adds(1);
	settle();
	job_ends();
	settle();
	job_ends();
	happened("open1 give1 close1 failed1 ");
	check_failed(1, -EAGAIN, "d7: the worker does not take a device: Resource temporarily unavailable");
}

static void test_no_worker(void **state)
{
	(void)state;
	refuse_worker = -EAGAIN;
	adds(0);
	settle();
	job_ends();
	settle();
	job_ends();
	happened("open0 worker close0 failed0 ");
	check_failed(0, -EAGAIN, "no processes left");
	assert_int_equal(guest_worker(guest), 0);

	refuse_worker = 0;			/* the next one has more luck */
	serves(1);
}

static void test_worker_fails(void **state)
{
	struct unit_capture c;

	(void)state;
	adds(0);
	adds(1);
	settle();
	job_ends();
	unit_capture_start(&c, STDERR_FILENO);
	worker_ends(-ENOSPC, "no room for a server");
	assert_string_equal(unit_capture_end(&c), "");	/* they are told */
	assert_false(guest_is_dead(guest));
	settle();
	job_ends();				/* 0's, or 1's */
	job_ends();
	check_failed(0, -ENOSPC, "no room for a server");
	assert_int_equal(workers, 2);		/* for the other one */
	assert_int_equal(guest_dev_state(askers[1].dev), GUEST_DEV_OPENED);
	assert_int_equal(nended, 0);
}

/* ---- a worker that is lost ---- */

#define LOST	"guest 'web1' (d7) has lost its worker: it can have devices again when it is started anew"

static void loses(const char *want_log)
{
	struct unit_capture c;

	unit_capture_start(&c, STDERR_FILENO);
	worker_ends(-ECHILD, "d7: the worker was ended by signal 6");
	assert_string_equal(unit_capture_end(&c), want_log);
}

static void test_dead(void **state)
{
	(void)state;
	serves(2);
	worker_runs(1);
	adds(2);
	settle();
	job_ends();
	happened("running1 open2 give2 ");
	loses("test: d7: the worker was ended by signal 6\n");
	assert_int_equal(end_err, -ECHILD);
	settle();
	job_ends();
	happened("end dead close2 failed2 ");
	check_failed(2, -ECHILD, "d7: the worker was ended by signal 6");
	assert_true(guest_is_dead(guest));
	assert_int_equal(guest_worker(guest), 0);
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_SERVED);
	assert_non_null(guest_dev_fn(askers[0].dev));
	refuses(-ESRCH, 0, LOST);

	/* They can be taken away one by one, ... */
	guest_del(askers[0].dev);
	settle();
	job_ends();
	happened("close0 removed0 ");
	refuses(-ESRCH, 0, LOST);
	assert_int_equal(nended, 1);

	/* ... or all of them. */
	guest_stop(guest, true);
	settle();
	job_ends();
	happened("close1 removed1 ended ");
	assert_int_equal(nended, 2);
	assert_int_equal(end_err, -ECHILD);
	assert_int_equal(workers, 1);
}

/* Whoever waits for a device then is told that none will come. */
static void test_dead_while_opening(void **state)
{
	(void)state;
	serves(1);
	adds(1);
	adds(2);
	settle();
	loses("test: d7: the worker was ended by signal 6\n");
	settle();
	trail[0] = '\0';
	while (job.work)
		job_ends();
	assert_null(strstr(trail, "open2"));	/* what for? */
	assert_int_equal(askers[1].last, 1);
	assert_int_equal(askers[2].last, 1);
	assert_true(askers[1].err < 0 && askers[2].err < 0);
	assert_int_equal(guest_dev_state(askers[0].dev), GUEST_DEV_SERVED);
}

/* With what it was to answer: that is gone, too, and nobody is served. */
static void test_dead_leaving(void **state)
{
	(void)state;
	serves(1);
	guest_del(askers[0].dev);
	loses("test: d7: the worker was ended by signal 6\n");
	settle();
	job_ends();
	happened("detach0 end close0 removed0 ");
	assert_false(guest_is_dead(guest));
	assert_int_equal(nended, 0);
	serves(1);				/* another one may come */
	assert_int_equal(workers, 2);
}

static void test_dead_stopping(void **state)
{
	(void)state;
	serves(2);
	guest_stop(guest, false);
	loses("test: d7: the worker was ended by signal 6\n");
	settle();
	job_ends();
	job_ends();
	happened("detach0 detach1 stop end close0 removed0 close1 removed1 ended ");
	assert_int_equal(nended, 1);
	assert_int_equal(end_err, -ECHILD);
}

/* It was told why already. */
static void test_dead_told(void **state)
{
	struct unit_capture c;

	(void)state;
	serves(1);
	unit_capture_start(&c, STDERR_FILENO);
	worker_ends(-ECHILD, "");
	assert_string_equal(unit_capture_end(&c), "");
	happened("end dead ");
}

/* ---- a disk that grows, and somebody who waits for its end ---- */

static void grows(unsigned int i, int err, const char *want)
{
	uint64_t bytes = 0;

	why[0] = '\0';
	assert_int_equal(guest_dev_resize(askers[i].dev, 4096, &bytes, why,
					  sizeof(why)), err);
	assert_string_equal(why, want);
	if (!err)
		assert_int_equal(bytes, 4096);
}

static void test_resize(void **state)
{
	uint64_t bytes;

	(void)state;
	adds(0);
	settle();
	grows(0, -ESRCH, "it is not served");
	job_ends();
	worker_ready();
	settle();
	grows(0, -ESRCH, "it is not served");
	worker_adds(0);
	happened("open0 worker give0 added0 ");
	grows(0, 0, "");
	happened("grow0=4096 resize0=4096 ");
	assert_int_equal(guest_dev_resize(askers[0].dev, 0, &bytes, why,
					  sizeof(why)), 0);
	assert_int_equal(bytes, 12345);		/* as long as it is */
	happened("grow0=0 resize0=12345 ");
	refuse_grow = -ENOSPC;
	grows(0, -ENOSPC, "no room on the disk");
	happened("grow0=4096 ");
	refuse_grow = 0;
	refuse_resize = -EPERM;
	grows(0, -EPERM, "the worker may not write that far: Operation not permitted");
	refuse_resize = 0;
	adds_kind(1, DEVSPEC_NET);
	grows(1, -EINVAL, "it is no disk");
	worker_runs(0);
	trail[0] = '\0';
	guest_del(askers[0].dev);
	grows(0, -ESRCH, "it is not served");
	happened("detach0 ");
}

static void test_resize_dead(void **state)
{
	(void)state;
	serves(1);
	worker_ends(-ECHILD, "");
	grows(0, -ESRCH, "it is not served");
	happened("end dead ");
}

static void on_gone(void *arg)
{
	note("gone%u ", *(unsigned int *)arg);
}

static void test_when_gone(void **state)
{
	static unsigned int index[] = { 0, 1 };

	(void)state;
	serves(1);
	assert_int_equal(guest_dev_when_gone(askers[0].dev, on_gone,
					     &index[0]), 0);
	assert_int_equal(guest_dev_when_gone(askers[0].dev, on_gone,
					     &index[1]), -EBUSY);
	adds(1);
	assert_int_equal(guest_dev_when_gone(askers[1].dev, on_gone,
					     &index[1]), 0);
	guest_del(askers[1].dev);
	settle();
	guest_del(askers[0].dev);
	worker_detaches(0);
	settle();
	worker_ends(0, "");
	settle();
	job_ends();
	happened("failed1 gone1 detach0 stop end close0 removed0 gone0 ");
}

/* ---- addresses and room ---- */

static void test_addresses(void **state)
{
	(void)state;
	serves(2);
	assert_int_equal(askers[0].devfn, FIRST);
	assert_int_equal(askers[1].devfn, FIRST + 8);
	assert_int_equal(try_add(&askers[2], DEVSPEC_BLK, 0x28), 0);
	assert_int_equal(askers[2].devfn, 0x28);
	refuses(-EINVAL, FIRST, "bdf='00:18.0': another device of the guest is there");
	refuses(-EINVAL, 0x28, "bdf='00:05.0': another device of the guest is there");

	/* It is free when nothing is left of who had it. */
	guest_del(askers[0].dev);
	settle();
	refuses(-EINVAL, FIRST, "bdf='00:18.0': another device of the guest is there");
	job_ends();				/* opens the one at 05.0 */
	worker_detaches(0);
	settle();
	refuses(-EINVAL, FIRST, "bdf='00:18.0': another device of the guest is there");
	job_ends();
	assert_int_equal(askers[0].last, 1);
	adds(0);
	assert_int_equal(askers[0].devfn, FIRST);
	assert_int_equal(askers[0].index, 0);
}

static void test_claims(void **state)
{
	(void)state;
	refuse_claim = -EADDRINUSE;
	refuses(-EADDRINUSE, 0, "bdf='00:18.0' of guest 'web1' (d7) is already served by another xen-virtiod");
	refuse_claim = -EMFILE;
	refuses(-EMFILE, 0x2b, "cannot claim bdf='00:05.3': Too many open files");
	assert_null(guest_first(guest));
	happened("");
}

static void test_bus_full(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i <= DEVSPEC_LAST_SLOT - DEVSPEC_FIRST_SLOT; i++)
		adds(i);
	refuses(-ENOSPC, 0, "bdf is missing: slots 18 to 1e are taken, use bdf=00:05.0 to 00:17.7");
	assert_int_equal(try_add(&askers[i], DEVSPEC_BLK, 0x28), 0);
}

static void test_room(void **state)
{
	struct guest_opts opts = options();
	unsigned int i;

	(void)state;
	for (i = 0; i < GUEST_ROOM; i++)
		assert_int_equal(try_add(&askers[i], DEVSPEC_BLK, 0x28 + i), 0);
	refuses(-ENOSPC, 0, "guest 'web1' (d7) has 16 devices, and no room for more");
	guest_del(askers[3].dev);
	settle();
	adds(3);
	assert_int_equal(askers[3].index, 3);
	refuses(-ENOSPC, 0, "guest 'web1' (d7) has 16 devices, and no room for more");
	finish();
	guest_close(guest);

	opts.room = 20;
	opens(&opts);
	for (i = 0; i < 20; i++)
		assert_int_equal(try_add(&askers[i], DEVSPEC_BLK, 0x28 + i), 0);
	refuses(-ENOSPC, 0, "guest 'web1' (d7) has 20 devices, and no room for more");
}

/* What the worker kept of one is not for the next; nor for others to lose. */
static void test_state(void **state)
{
	const struct fn_state *fn;

	(void)state;
	serves(2);
	fn = guest_dev_fn(askers[1].dev);
	assert_int_equal(fn->vdev.status, 0x5a);
	guest_del(askers[0].dev);
	worker_detaches(0);
	settle();
	job_ends();
	serves(1);				/* supervisor_add() looks */
	assert_int_equal(askers[0].index, 0);
	assert_int_equal(fn->vdev.status, 0x5a);
}

/* ---- cables ---- */

static void plugs_in(void)
{
	adds_kind(0, DEVSPEC_NET);
	settle();
	job_ends();
	worker_ready();
	settle();
}

#define GONE	"test: d7 vnet0: its interface is gone; the guest's cable stays out\n"

static void test_link(void **state)
{
	struct unit_capture c;

	(void)state;
	plugs_in();
	happened("open0 worker give0 ");
	assert_true(guest_dev_link(askers[0].dev));
	link_becomes(0, NETDEV_DOWN);		/* before it is ADDED, too */
	happened("out0 ");
	worker_adds(0);
	link_becomes(0, NETDEV_DOWN);
	happened("added0 ");
	assert_false(guest_dev_link(askers[0].dev));
	link_becomes(0, NETDEV_UP);
	happened("in0 ");

	/* Gone is gone: a line, once, unless it was only out before. */
	unit_capture_start(&c, STDERR_FILENO);
	link_becomes(0, NETDEV_GONE);
	link_becomes(0, NETDEV_GONE);
	assert_string_equal(unit_capture_end(&c), GONE);
	happened("out0 ");
	assert_false(guest_dev_link(askers[0].dev));

	/* What leaves needs no cable. */
	guest_del(askers[0].dev);
	link_becomes(0, NETDEV_UP);
	worker_detaches(0);
	link_becomes(0, NETDEV_DOWN);
	happened("detach0 stop ");
}

/* As it is when the device is handed over: out, gone, taken out. */
static void test_link_at_first(void **state)
{
	struct unit_capture c;

	(void)state;
	links[0] = NETDEV_DOWN;
	plugs_in();
	happened("open0 worker give0 out0 ");
	link_becomes(0, NETDEV_UP);
	happened("in0 ");
	finish();

	links[0] = NETDEV_GONE;
	unit_capture_start(&c, STDERR_FILENO);
	plugs_in();
	assert_string_equal(unit_capture_end(&c), GONE);
	happened("open0 worker give0 out0 ");
	finish();

	links[0] = NETDEV_UP;
	adds_kind(0, DEVSPEC_NET);
	guest_dev_set_link(askers[0].dev, false);
	settle();
	job_ends();
	guest_dev_set_link(askers[0].dev, false);
	worker_ready();
	happened("open0 worker give0 out0 ");
}

/* The operator's hand is stronger, one way. */
static void test_unplugged(void **state)
{
	struct unit_capture c;

	(void)state;
	plugs_in();
	worker_adds(0);
	happened("open0 worker give0 added0 ");
	guest_dev_set_link(askers[0].dev, false);
	guest_dev_set_link(askers[0].dev, false);
	happened("out0 ");
	link_becomes(0, NETDEV_DOWN);
	link_becomes(0, NETDEV_UP);
	happened("");
	guest_dev_set_link(askers[0].dev, true);
	happened("in0 ");
	link_becomes(0, NETDEV_DOWN);
	guest_dev_set_link(askers[0].dev, true);
	happened("out0 ");			/* dom0's is out */
	guest_dev_set_link(askers[0].dev, false);
	link_becomes(0, NETDEV_UP);
	happened("");
	unit_capture_start(&c, STDERR_FILENO);
	link_becomes(0, NETDEV_GONE);
	guest_dev_set_link(askers[0].dev, true);
	assert_string_equal(unit_capture_end(&c), GONE);
	happened("");
}

/* Of two cards each its own; disks have none; and one watch does for all. */
static void test_links(void **state)
{
	(void)state;
	plugs_in();
	adds_kind(1, DEVSPEC_NET);
	adds(2);
	links[2] = NETDEV_DOWN;
	settle();
	job_ends();
	job_ends();
	worker_adds(0);
	worker_adds(1);
	worker_adds(2);
	happened("open0 worker give0 open1 give1 open2 give2 added0 added1 added2 ");
	link_becomes(1, NETDEV_DOWN);
	happened("out1 ");
	links[1] = NETDEV_UP;
	link_becomes(0, NETDEV_DOWN);
	happened("out0 in1 ");
	/* Nobody is there to be told. */
	worker_ends(-ECHILD, "");
	link_becomes(0, NETDEV_UP);
	guest_dev_set_link(askers[1].dev, false);
	happened("end dead ");
}

/* No card, no watch; and where there cannot be one, it stays as it was. */
static void test_no_watch(void **state)
{
	struct unit_capture c;

	(void)state;
	serves(1);
	assert_null(watch);
	finish();
	refuse_watch = -EMFILE;
	links[0] = NETDEV_DOWN;
	unit_capture_start(&c, STDERR_FILENO);
	plugs_in();
	assert_string_equal(unit_capture_end(&c), "test: d7 vnet0: cannot follow its interface going up and down: Too many open files\n");
	happened("open0 worker give0 out0 ");
	worker_adds(0);
	happened("added0 ");
	links[0] = NETDEV_UP;
	guest_dev_set_link(askers[0].dev, true);	/* look again */
	happened("in0 ");
}

/* ---- anything at all ---- */

static uint32_t seed;

static unsigned int any(unsigned int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static struct asker *any_asker(bool in_use)
{
	unsigned int i, first = any(MAX_DEVS);

	for (i = 0; i < MAX_DEVS; i++)
		if ((askers[(first + i) % MAX_DEVS].dev != NULL) == in_use)
			return &askers[(first + i) % MAX_DEVS];
	return NULL;
}

static int rarely(int err)
{
	return any(12) ? 0 : err;
}

static void walk_asks(void)
{
	struct asker *a;

	switch (any(8)) {
	case 0:
	case 1:
	case 2:
		a = any_asker(false);
		refuse_claim = rarely(-EADDRINUSE);
		if (a)
			(void)try_add(a, any(2) ? DEVSPEC_NET : DEVSPEC_BLK,
				      any(3) ? 0 : 0x28 + any(24));
		refuse_claim = 0;
		break;
	case 3:
	case 4:
		a = any_asker(true);
		if (a)
			guest_del(a->dev);
		break;
	case 5:
		a = any_asker(true);
		if (a)
			guest_dev_set_link(a->dev, any(2));
		break;
	case 6:
		link_becomes(any(GUEST_ROOM), (enum netdev_link)any(3));
		break;
	case 7:
		if (!any(8))
			guest_stop(guest, false);
		break;
	}
}

static void walk_works(void)
{
	unsigned int i;

	refuse_open = rarely(-ENOENT);
	refuse_job = rarely(-EAGAIN);
	refuse_worker = rarely(-ENOMEM);
	refuse_add = rarely(-EPIPE);
	if (job.work && any(2)) {
		job_works();
		job_is_done();
	}
	if (!worker)
		return;
	if (!worker->ready && any(2))
		worker_ready();
	for (i = 0; i < GUEST_ROOM; i++) {
		if (worker->has[i] == HAS_BEEN_GIVEN && any(2)) {
			if (any(6))
				worker_adds(i);
			else
				worker_refuses(i);
		} else if (worker->has[i] == HAS_ADDED && any(2)) {
			worker_runs(i);
		} else if (worker->has[i] == HAS_TO_LEAVE && any(2)) {
			worker_detaches(i);
		}
	}
	if (worker->asked && !any(3))
		worker_ends(0, "");
	else if (!any(60))
		worker_ends(-ECHILD, "it broke");
}

/* Who was promised an answer and has none, with nothing left to wait for? */
static void walk_check(void)
{
	const struct guest_dev *dev;
	unsigned int i, n = 0;

	for (dev = guest_first(guest); dev; dev = guest_next(dev))
		n++;
	for (i = 0; i < MAX_DEVS; i++)
		n -= askers[i].dev != NULL;
	assert_int_equal(n, 0);
	if (job.work || worker)
		return;
	for (dev = guest_first(guest); dev; dev = guest_next(dev))
		if (guest_dev_state(dev) != GUEST_DEV_SERVED) {
			print_message("# seed %u: %s hangs in state %d\n",
				      seed, guest_dev_name(dev),
				      guest_dev_state(dev));
			fail();
		}
}

/* Nothing left to do, and a guest that is as good as new. */
static void walk_again(void)
{
	const struct guest_opts opts = options();
	unsigned int i, before;

	finish();
	assert_true(nended >= 1);
	for (i = 0; i < MAX_DEVS; i++)
		assert_null(askers[i].dev);
	before = nended;
	settle();
	assert_int_equal(nended, before);
	guest_close(guest);
	opens(&opts);
	nended = 0;
}

static void walk(uint32_t first)
{
	struct unit_capture c;
	unsigned int i;

	seed = first;
	quiet = true;
	unit_capture_start(&c, STDERR_FILENO);	/* of lost workers */
	for (i = 0; i < 10000; i++) {
		walk_asks();
		if (any(2))
			walk_works();
		if (any(2)) {
			settle();
			walk_check();
		}
		if (guest_is_dead(guest) && !any(20))
			walk_again();
	}
	walk_again();
	(void)unit_capture_end(&c);
}

static void test_walk(void **state)
{
	(void)state;
	walk(1);
	walk(20);
	walk(300);
	walk(4000);
}

#define GUEST_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	GUEST_TEST(test_life),
	GUEST_TEST(test_grants),
	GUEST_TEST(test_seen),
	GUEST_TEST(test_slow_close),
	GUEST_TEST(test_tell_while_closing),
	GUEST_TEST(test_del_before_job),
	GUEST_TEST(test_del_at_once),
	GUEST_TEST(test_del_while_failing),
	GUEST_TEST(test_del_opened),
	GUEST_TEST(test_del_handed),
	GUEST_TEST(test_order),
	GUEST_TEST(test_together),
	GUEST_TEST(test_stop_all),
	GUEST_TEST(test_stop_handed),
	GUEST_TEST(test_stop_before_ready),
	GUEST_TEST(test_stop_nothing),
	GUEST_TEST(test_stop_gone),
	GUEST_TEST(test_stop_forgotten),
	GUEST_TEST(test_ended_once),
	GUEST_TEST(test_add_while_leaving),
	GUEST_TEST(test_add_while_stopping),
	GUEST_TEST(test_open_fails),
	GUEST_TEST(test_no_thread),
	GUEST_TEST(test_refused),
	GUEST_TEST(test_not_taken),
	GUEST_TEST(test_no_worker),
	GUEST_TEST(test_worker_fails),
	GUEST_TEST(test_dead),
	GUEST_TEST(test_dead_while_opening),
	GUEST_TEST(test_dead_leaving),
	GUEST_TEST(test_dead_stopping),
	GUEST_TEST(test_dead_told),
	GUEST_TEST(test_resize),
	GUEST_TEST(test_resize_dead),
	GUEST_TEST(test_when_gone),
	GUEST_TEST(test_addresses),
	GUEST_TEST(test_claims),
	GUEST_TEST(test_bus_full),
	GUEST_TEST(test_room),
	GUEST_TEST(test_state),
	GUEST_TEST(test_link),
	GUEST_TEST(test_link_at_first),
	GUEST_TEST(test_unplugged),
	GUEST_TEST(test_links),
	GUEST_TEST(test_no_watch),
	GUEST_TEST(test_walk),
};

UNIT_MAIN(tests)
