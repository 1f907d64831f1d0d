/* SPDX-License-Identifier: MIT */
/*
 * test_xsdev.c: what toolstacks ask for, with the real service.c for whom it
 * is, and nothing real below: a store of a few directories, in which the test
 * plays libxl, and guests whose devices become what the test decides, when it
 * decides so.  What happens is a word, one letter for each event:
 *
 *	C	libxl makes the directory, all at once
 *	X	libxl is done with it: state 5, online 0
 *	R	the directory is removed
 *	+	as C, but only once
 *	D d	the next watch is delivered; or all that have fired
 *	O F	the device is opened, or fails to open
 *	N	its driver starts it
 *	G	nothing is left of a device that is leaving, or has failed
 *	E	nothing is left of a guest that is to end
 *	W	the worker ends by itself
 *	K	the guest ends
 *	S	the service is told to stop, and started again
 *	T t	the operator takes the device away, when it is there or before
 *	A	the directory is removed, that is seen, and it is made anew
 *	B	it is removed and made anew at once, while it is served
 *
 * c, x, r and a are for the second directory.  After every event, and at every
 * write, what must hold always is looked at; then all goes on until nothing
 * more happens, and that must be what libxl has asked for last.
 */
#include <errno.h>

#include "config.h"
#include "guest.h"
#include "host.h"
#include "ioreq/domctl.h"
#include "log.h"
#include "loop.h"
#include "service.h"
#include "store.h"
#include "unit.h"
#include "util.h"
#include "xsdev.h"
#include "xsnode.h"

#define DOMID		5u
#define BACKEND		"/local/domain/0/backend/"
#define MAX_ENTRIES	64
#define MAX_EVENTS	512
#define WORD_LEN	256

static struct service service;
static struct config *config;
static struct loop *loop;
static char word[WORD_LEN];		/* what has happened so far */
static struct unit_capture cap;
static bool listening;

/* From here on the log is heard, and not shown. */
static void listen_to_log(void)
{
	assert_false(listening);
	listening = true;
	unit_capture_start(&cap, STDERR_FILENO);
}

static const char *heard(void)
{
	if (!listening)
		return "";
	listening = false;
	return unit_capture_end(&cap);
}

#define broken(...)							\
do {									\
	(void)heard();							\
	print_error("after '%s': ", word);				\
	fail_msg(__VA_ARGS__);						\
} while (0)

#define must(cond)							\
do {									\
	if (!(cond))							\
		broken("not %s", #cond);				\
} while (0)

/* ---- directories, as libxl knows them ---- */

struct dir {
	enum xsnode_class	class;
	const char		*path;
	const char		*vdev;
	unsigned int		made;		/* how often */
	bool			detached;	/* T, since it was made */
	bool			foreign;	/* is to be left alone */
	bool			excused;	/* may fail */
	const char		*more_key;	/* this one is written, too */
	const char		*more_value;
};

static struct dir dirs[2];

static const struct dir a_disk = {
	.class = XSNODE_DISK, .path = BACKEND "virtio_disk/5/51808",
	.vdev = "xvdg",
};

static const struct dir other_disk = {
	.class = XSNODE_DISK, .path = BACKEND "virtio_disk/5/51824",
	.vdev = "xvdh",
};

static const struct dir same_number = {
	.class = XSNODE_VIRTIO, .path = BACKEND "virtio/5/51808",
};

static const struct dir a_virtio = {
	.class = XSNODE_VIRTIO, .path = BACKEND "virtio/5/0",
};

/* ---- the store ---- */

struct entry {
	char	path[96];
	char	value[96];
};

static struct {
	struct entry	entry[MAX_ENTRIES];
	unsigned int	count;
	const char	*watch[4];
	unsigned int	watches;
	char		event[MAX_EVENTS][96];
	unsigned int	first, end;		/* of events */
	unsigned int	batch;			/* since then, one is enough */
	unsigned int	calls;
	unsigned int	moment;			/* the call before which ... */
	const char	*meanwhile;		/* ... this happens */
	int		change_err;		/* of all changes; 0: none */
	int		watch_err;		/* of the second one */
} store;

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 &&
	       (path[len] == '\0' || path[len] == '/');
}

static struct entry *entry_find(const char *path)
{
	unsigned int i;

	for (i = 0; i < store.count; i++)
		if (strcmp(store.entry[i].path, path) == 0)
			return &store.entry[i];
	return NULL;
}

static void store_fires(const char *path)
{
	unsigned int i;

	for (i = 0; i < store.watches; i++)
		if (is_below(path, store.watch[i])) {
			if (store.batch && store.end >= store.batch)
				store.end--;	/* it looks at all of it */
			must(store.end < MAX_EVENTS);
			strcpy(store.event[store.end++], path);
		}
}

static void store_put_path(const char *path, const char *value)
{
	struct entry *entry = entry_find(path);

	if (!entry) {
		must(store.count < MAX_ENTRIES);
		entry = &store.entry[store.count++];
		snprintf(entry->path, sizeof(entry->path), "%s", path);
	}
	snprintf(entry->value, sizeof(entry->value), "%s", value);
	store_fires(path);
}

static void store_put(const char *dir, const char *key, const char *value)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	store_put_path(path, value);
}

/* As xenstored: one word for all of a tree. */
static void store_rm(const char *path)
{
	unsigned int i = 0;

	while (i < store.count)
		if (is_below(store.entry[i].path, path))
			store.entry[i] = store.entry[--store.count];
		else
			i++;
	store_fires(path);
}

/* Return: "" if there is none. */
static const char *store_get(const char *dir, const char *key)
{
	struct entry *entry;
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	entry = entry_find(path);
	return entry ? entry->value : "";
}

static bool state_is(const struct dir *dir, const char *state)
{
	return strcmp(store_get(dir->path, "state"), state) == 0;
}

/* ---- libxl ---- */

static bool no_devices(void);

static void dir_image(const struct dir *dir, char *ret, size_t len)
{
	snprintf(ret, len, "/img/%d/%u", (int)(dir - dirs), dir->made);
}

static void libxl_make(struct dir *dir)
{
	char image[32], type[64];

	dir->made++;
	dir->detached = false;
	dir->excused = no_devices();
	dir_image(dir, image, sizeof(image));
	snprintf(type, sizeof(type), "virtio,device2;path=%s", image);
	store_put_path(dir->path, "");
	store_put(dir->path, "frontend", "/local/domain/5/device/none");
	store_put(dir->path, "frontend-id", "5");
	store_put(dir->path, "online", "1");
	if (dir->class == XSNODE_DISK) {
		store_put(dir->path, "params", image);
		store_put(dir->path, "dev", dir->vdev);
		store_put(dir->path, "mode", "w");
		store_put(dir->path, "type", "standalone");
	} else {
		store_put(dir->path, "type", type);
	}
	store_put(dir->path, "transport", "mmio");
	store_put(dir->path, "base", "0");
	store_put(dir->path, "irq", "0");
	if (dir->more_key)
		store_put(dir->path, dir->more_key, dir->more_value);
	store_put(dir->path, "state", "1");
}

static void libxl_close(struct dir *dir)
{
	store_put(dir->path, "online", "0");
	store_put(dir->path, "state", "5");
}

/* Return: whether it makes sense now. */
static bool libxl(struct dir *dir, char what)
{
	bool there = entry_find(dir->path) != NULL;

	if (!dir->path || there == (what == 'C') ||
	    (what == 'X' && strcmp(store_get(dir->path, "online"), "0") == 0))
		return false;
	/* A transaction: nobody sees half of it. */
	store.batch = store.end + 1;
	if (what == 'C')
		libxl_make(dir);
	else if (what == 'X')
		libxl_close(dir);
	else
		store_rm(dir->path);
	store.batch = 0;
	return true;
}

/* ---- the store, as the service sees it ---- */

static void store_called(void)
{
	const char *p = store.meanwhile;

	if (++store.calls != store.moment || !p)
		return;
	for (; *p; p++)
		(void)libxl(&dirs[0], *p);
}

/* Only what toolstacks write is looked at. */
static void may_read(const char *path)
{
	if (!is_below(path, "/local/domain/0/backend") &&
	    strcmp(path, "/local/domain/5/name") != 0 &&
	    strcmp(path, "/libxl/5/device/vbd") != 0)
		broken("'%s' is read", path);
}

int xenstore_read(struct xenstore *xs, const char *path, char *ret, size_t len)
{
	struct entry *entry;

	(void)xs;
	may_read(path);
	store_called();
	entry = entry_find(path);
	if (!entry)
		return -ENOENT;
	if (strlen(entry->value) >= len)
		return -E2BIG;
	strcpy(ret, entry->value);
	return 0;
}

static void *list_add(char **list, unsigned int count, const char *name,
		      size_t len)
{
	char *p = (char *)&list[16] + count * 96;

	assert_true(count < 16 && len < 96);
	memcpy(p, name, len);
	p[len] = '\0';
	return p;
}

int xenstore_list(struct xenstore *xs, const char *path, char ***ret,
		  unsigned int *ret_count)
{
	char **list = calloc(1, 16 * sizeof(char *) + 16 * 96);
	unsigned int i, j, count = 0;
	const char *name;
	size_t len;

	(void)xs;
	may_read(path);
	store_called();
	assert_non_null(list);
	for (i = 0; i < store.count; i++) {
		if (!is_below(store.entry[i].path, path) ||
		    strlen(store.entry[i].path) == strlen(path))
			continue;
		name = store.entry[i].path + strlen(path) + 1;
		len = strcspn(name, "/");
		for (j = 0; j < count; j++)
			if (strlen(list[j]) == len &&
			    memcmp(list[j], name, len) == 0)
				break;
		if (j == count) {
			list[count] = list_add(list, count, name, len);
			count++;
		}
	}
	if (!count) {
		free(list);
		return -ENOENT;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

int xenstore_watch(struct xenstore *xs, const char *path)
{
	static char kept[ARRAY_SIZE(store.watch)][96];

	(void)xs;
	if (store.watches == 1 && store.watch_err)
		return store.watch_err;
	assert_true(store.watches < ARRAY_SIZE(store.watch));
	snprintf(kept[store.watches], sizeof(kept[0]), "%s", path);
	store.watch[store.watches] = kept[store.watches];
	store.watches++;
	must(store.end < MAX_EVENTS);
	strcpy(store.event[store.end++], path);	/* each fires at once */
	return 0;
}

void xenstore_name(struct xenstore *xs, uint32_t domid, char *ret, size_t len)
{
	(void)xs;
	assert_int_equal(domid, DOMID);
	snprintf(ret, len, "web");
}

/* None of these is for xsdev.c. */
int xenstore_open(struct xenstore **ret)
{
	(void)ret;
	return -ENOSYS;
}

void xenstore_close(struct xenstore *xs)
{
	(void)xs;
}

int xenstore_find(struct xenstore *xs, const char *who, uint32_t *ret)
{
	(void)xs;
	(void)who;
	(void)ret;
	return -ENOSYS;
}

int xenstore_watch_release(struct xenstore *xs)
{
	(void)xs;
	return -ENOSYS;
}

int xenstore_fd(struct xenstore *xs)
{
	(void)xs;
	return -1;
}

bool xenstore_next(struct xenstore *xs, char *ret_path, size_t len)
{
	(void)xs;
	(void)ret_path;
	(void)len;
	return false;
}

void xenstore_take(struct xenstore *xs)
{
	(void)xs;
}

/* ---- guests and their devices ---- */

struct guest_dev {
	struct guest_dev	*next;
	struct guest		*guest;
	struct devspec		spec;
	struct dir		*dir;
	void			(*news)(void *arg,
					const struct guest_dev_news *news);
	void			*arg;
	enum guest_dev_state	state;
	bool			is_new;		/* not found in state 2, 4 */
	bool			doomed;
	bool			added;
	bool			has_run;
	bool			leaving;	/* G comes next */
	int			err;
};

struct guest {
	struct guest_opts	opts;
	struct guest_dev	*devs;
	bool			dead;
	bool			gone;
	bool			stopping;
};

static struct guest *guest;		/* there is one domain */
static unsigned int adds;
static int refuse_add, refuse_open;

static struct guest_dev *dev_of(const struct dir *dir)
{
	struct guest_dev *dev = guest ? guest->devs : NULL;

	while (dev && dev->dir != dir)
		dev = dev->next;
	return dev;
}

int guest_open(struct loop *l, const struct guest_opts *opts,
	       struct guest **ret)
{
	assert_ptr_equal(l, loop);
	must(!guest);
	if (refuse_open)
		return refuse_open;
	assert_int_equal(opts->domid, DOMID);
	assert_string_equal(opts->name, "web");
	guest = calloc(1, sizeof(*guest));
	assert_non_null(guest);
	guest->opts = *opts;
	*ret = guest;
	return 0;
}

void guest_close(struct guest *g)
{
	must(g == guest && !g->devs);
	free(g);
	guest = NULL;
}

static void dev_place(struct guest_dev *dev)
{
	uint8_t used[DEVSPEC_USED_BYTES] = { 0 };
	const struct guest_dev *d;
	char why[128];

	for (d = guest->devs; d; d = d->next)
		used[d->spec.devfn / 8] |=
			(uint8_t)(1u << d->spec.devfn % 8);
	assert_int_equal(devspec_place(&dev->spec, used, why, sizeof(why)), 0);
}

static struct dir *dir_of(const struct devspec *spec)
{
	int i = -1;

	assert_int_equal(spec->kind, DEVSPEC_BLK);
	assert_int_equal(sscanf(spec->blk.path, "/img/%d/", &i), 1);
	assert_in_range(i, 0, (int)ARRAY_SIZE(dirs) - 1);
	return &dirs[i];
}

/* How many of its devices are new, and nobody knows what becomes of them. */
static unsigned int guest_awaits(const struct guest *g)
{
	const struct guest_dev *dev;
	unsigned int n = 0;

	for (dev = g->devs; dev; dev = dev->next)
		n += dev->is_new && !dev->added;
	return n;
}

int guest_add(struct guest *g, struct devspec *spec, const char *origin,
	      void (*news)(void *arg, const struct guest_dev_news *news),
	      void *arg, struct guest_dev **ret, char *why, size_t why_len)
{
	struct dir *dir = dir_of(spec);
	struct guest_dev *dev, **p;

	must(g == guest);
	must(!dir->foreign);
	assert_string_equal(origin, dir->class == XSNODE_DISK ? "disk=" :
			    "virtio=");
	adds++;
	must(!dev_of(dir));		/* nothing is left of the last one */
	if (g->dead || g->gone || refuse_add) {
		devspec_fini(spec);
		snprintf(why, why_len, "not now");
		return refuse_add ? refuse_add : -ESRCH;
	}
	dev = calloc(1, sizeof(*dev));
	assert_non_null(dev);
	dev->guest = g;
	dev->spec = *spec;
	dev->dir = dir;
	dev->news = news;
	dev->arg = arg;
	dev->state = GUEST_DEV_OPENING;
	dev->is_new = service.guests->holds > guest_awaits(g);
	/* Unless libxl has been quick. */
	must(store.moment || dev->is_new == state_is(dir, "1"));
	dev_place(dev);
	for (p = &g->devs; *p; p = &(*p)->next)
		;
	*p = dev;
	g->stopping = false;
	*ret = dev;
	return 0;
}

static void dev_fails(struct guest_dev *dev, int err)
{
	dev->err = dev->err ? dev->err : err;
	dev->leaving = true;
}

void guest_del(struct guest_dev *dev)
{
	if (dev->doomed)
		return;
	dev->doomed = true;
	if (!dev->added && !dev->err)
		dev->err = -ECANCELED;
	dev->leaving = true;
}

void guest_stop(struct guest *g, bool gone)
{
	struct guest_dev *dev;

	g->stopping = true;
	g->gone |= gone;
	for (dev = g->devs; dev; dev = dev->next)
		guest_del(dev);
}

static void dev_tell(struct guest_dev *dev, enum guest_dev_event event)
{
	const struct guest_dev_news news = {
		.dev = dev, .event = event, .err = dev->err,
		.why = dev->err ? "it fails" : "",
	};

	dev->news(dev->arg, &news);
}

static void dev_is_gone(struct guest_dev *dev)
{
	struct guest_dev **p;

	for (p = &guest->devs; *p != dev; p = &(*p)->next)
		;
	*p = dev->next;
	dev_tell(dev, dev->added ? GUEST_DEV_REMOVED : GUEST_DEV_FAILED);
	devspec_fini(&dev->spec);
	free(dev);
}

/* The first for which @what makes sense. */
static struct guest_dev *dev_for(char what)
{
	struct guest_dev *dev;

	for (dev = guest ? guest->devs : NULL; dev; dev = dev->next) {
		if (what == 'G' && dev->leaving)
			return dev;
		if (what == 'T' && !dev->doomed && dev->added)
			return dev;
		if (what == 't' && !dev->leaving && !dev->added)
			return dev;
		if (what == 'N' && dev->added && !dev->has_run &&
		    !dev->doomed && !guest->dead)
			return dev;
		if ((what == 'O' || what == 'F') && !dev->leaving &&
		    dev->state == GUEST_DEV_OPENING)
			return dev;
		if (what == 'W' && dev->added && !guest->dead)
			return dev;
	}
	return NULL;
}

static void dev_is_open(struct guest_dev *dev)
{
	if (guest->dead) {
		dev_fails(dev, -ESRCH);
		dev->dir->excused = true;
		return;
	}
	dev->state = GUEST_DEV_SERVED;
	dev->added = true;
	dev_tell(dev, GUEST_DEV_ADDED);
}

static void worker_ends(void)
{
	struct guest_dev *dev;

	guest->dead = true;
	for (dev = guest->devs; dev; dev = dev->next)
		dev->dir->excused = true;
	if (!guest->stopping)
		guest->opts.ended(guest->opts.arg, guest, -ESRCH);
}

/* ---- what is seen of them ---- */

int guest_dev_when_gone(struct guest_dev *dev, void (*fn)(void *arg),
			void *arg)
{
	(void)dev;
	(void)fn;
	(void)arg;
	return -EBUSY;
}

int guest_dev_resize(struct guest_dev *dev, uint64_t bytes, uint64_t *ret,
		     char *why, size_t why_len)
{
	(void)dev;
	(void)bytes;
	(void)ret;
	(void)why;
	(void)why_len;
	return -ENOSYS;
}

void guest_dev_set_link(struct guest_dev *dev, bool up)
{
	(void)dev;
	(void)up;
}

uint32_t guest_domid(const struct guest *g)
{
	return g->opts.domid;
}

const char *guest_name(const struct guest *g)
{
	(void)g;
	return "web";
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
	(void)g;
	return 0;
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
	(void)dev;
	return "vblk0";
}

const char *guest_dev_origin(const struct guest_dev *dev)
{
	(void)dev;
	return "";
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

bool guest_dev_link(const struct guest_dev *dev)
{
	(void)dev;
	return true;
}

void guest_dev_tell(const struct guest_dev *dev)
{
	must(dev->added);
}

const struct devdesc *guest_dev_desc(const struct guest_dev *dev)
{
	(void)dev;
	return NULL;
}

const struct fn_state *guest_dev_fn(const struct guest_dev *dev)
{
	(void)dev;
	return NULL;
}

/* ---- Xen ---- */

static struct {
	enum domctl_kind	kind;
	bool			dying;
	int			info_err;
	unsigned int		pauses;
} xen;

int domctl_open(struct domctl **ret)
{
	(void)ret;
	return -ENOSYS;
}

void domctl_close(struct domctl *dc)
{
	(void)dc;
}

int domctl_info(struct domctl *dc, uint32_t domid, struct domctl_info *ret)
{
	(void)dc;
	assert_int_equal(domid, DOMID);
	*ret = (struct domctl_info){ .kind = xen.kind, .dying = xen.dying };
	return xen.info_err;
}

int domctl_pause(struct domctl *dc, uint32_t domid)
{
	(void)dc;
	assert_int_equal(domid, DOMID);
	xen.pauses++;
	must(xen.pauses == 1);
	return 0;
}

int domctl_unpause(struct domctl *dc, uint32_t domid)
{
	(void)dc;
	assert_int_equal(domid, DOMID);
	must(xen.pauses == 1);
	xen.pauses--;
	return 0;
}

/* A guest that cannot have any: it ends, or has lost its worker. */
static bool no_devices(void)
{
	return xen.dying || (guest && guest->dead);
}

/* ---- what is written, and when that may be ---- */

static struct dir *dir_at(const char *path)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		if (dirs[i].path && strcmp(dirs[i].path, path) == 0)
			return &dirs[i];
	broken("'%s' is written to", path);
	return NULL;
}

static void may_set_state(const struct dir *dir, const char *value,
			  bool has_error)
{
	const struct guest_dev *dev = dev_of(dir);
	char image[32];

	dir_image(dir, image, sizeof(image));
	if (!value) {
		must(has_error && dir->class == XSNODE_DISK);
		must(!dev);
	} else if (strcmp(value, "2") == 0) {
		must(state_is(dir, "1"));
		must(dev && dev->added && !dev->leaving);
		must(strcmp(dev->spec.blk.path, image) == 0);
	} else if (strcmp(value, "4") == 0) {
		must(state_is(dir, "2"));
		must(dev && dev->has_run);
	} else if (strcmp(value, "6") == 0) {
		must(!dev);
		must(has_error || dir->detached || xen.dying ||
		     !state_is(dir, "1"));
	} else {
		broken("state is '%s'", value);
	}
}

static void may_change(const struct dir *dir, const struct xenstore_change *c,
		       bool has_error)
{
	must(!service.stopping);
	must(!dir->foreign);
	if (strcmp(c->key, "state") == 0)
		may_set_state(dir, c->value, has_error);
	else if (strcmp(c->key, "error") == 0)
		must(c->value && *c->value);
	else if (strcmp(c->key, "bdf") == 0)
		must(strncmp(c->value, "0000:00:", 8) == 0);
	else if (c->from)
		must(strcmp(c->value, c->from) == 0);	/* a question */
	else
		broken("'%s' is written", c->key);
}

static int change_check(const struct dir *dir,
			const struct xenstore_change *changes, size_t count)
{
	struct entry *entry;
	char path[192];
	size_t i;

	if (!entry_find(dir->path))
		return -ENOENT;
	for (i = 0; i < count; i++) {
		if (!changes[i].from)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir->path,
			 changes[i].key);
		entry = entry_find(path);
		if (!entry || strcmp(entry->value, changes[i].from) != 0)
			return -ESTALE;
	}
	return 0;
}

int xenstore_change(struct xenstore *xs, const char *path,
		    const struct xenstore_change *changes, size_t count)
{
	struct dir *dir = dir_at(path);
	bool has_error = false;
	char key[192];
	size_t i;
	int r;

	(void)xs;
	store_called();
	r = change_check(dir, changes, count);
	if (r < 0 || store.change_err)
		return r < 0 ? r : store.change_err;
	for (i = 0; i < count; i++)
		has_error |= strcmp(changes[i].key, "error") == 0;
	for (i = 0; i < count; i++) {
		may_change(dir, &changes[i], has_error);
		snprintf(key, sizeof(key), "%s/%s", path, changes[i].key);
		if (changes[i].value)
			store_put_path(key, changes[i].value);
		else if (entry_find(key))
			store_rm(key);
	}
	return 0;
}

/* ---- the service ---- */

/* One of the watches that have fired, or all of them. */
static bool deliver(bool all)
{
	char path[96];

	if (store.first == store.end)
		return false;
	do {
		strcpy(path, store.event[store.first++]);
		xsdev_event(service.xsdev, path);
	} while (all && store.first != store.end);
	if (store.first == store.end)
		store.first = store.end = 0;
	xsdev_look(service.xsdev);
	return true;
}

static int service_begin(char *why, size_t why_len)
{
	int r;

	service = (struct service){
		.host.loop = loop,
		.config = config,
	};
	store.watches = 0;
	store.first = store.end = 0;
	r = xsdev_open(&service, &service.xsdev, why, why_len);
	if (!r)
		(void)deliver(true);	/* the watches' own: of no interest */
	return r;
}

static void service_ends(void)
{
	struct guest_dev *dev;

	store.moment = 0;
	service.stopping = true;
	if (guest)
		guest_stop(guest, false);
	while (guest && (dev = dev_for('G')))
		dev_is_gone(dev);
	if (guest)
		guest->opts.ended(guest->opts.arg, guest, 0);
	must(!guest && !service.guests);
	must(xen.pauses == 0);
	xsdev_close(service.xsdev);
	service.xsdev = NULL;
}

/* What the operator has not seen go is wanted as before. */
static void service_restarts(void)
{
	char why[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		dirs[i].detached &= dirs[i].path && state_is(&dirs[i], "6");

	service_ends();
	if (service_begin(why, sizeof(why)))
		broken("%s", why);
}

static void begin(const struct dir *a, const struct dir *b)
{
	char why[256];

	memset(&store, 0, sizeof(store));
	memset(&xen, 0, sizeof(xen));
	memset(dirs, 0, sizeof(dirs));
	xen.kind = DOMCTL_PVH;
	word[0] = '\0';
	guest = NULL;			/* a failed test may leave one */
	adds = 0;
	refuse_add = refuse_open = 0;
	if (a)
		dirs[0] = *a;
	if (b)
		dirs[1] = *b;
	assert_int_equal(service_begin(why, sizeof(why)), 0);
}

/* ---- what must hold always ---- */

/* Who is new is waited for, until it is known what becomes of it. */
static void check_holds(void)
{
	const struct service_guest *sg = service.guests;
	unsigned int n;

	must(!sg == !guest);
	if (!sg)
		return;
	must(!sg->next && sg->guest == guest);
	n = guest_awaits(guest);
	must(sg->holds == n);
	must(sg->paused == (n > 0));
	must(xen.pauses == (n > 0));
}

/* ---- events ---- */

static bool guest_is_over(void)
{
	return guest && guest->stopping && !guest->devs;
}

static bool guest_ends(void)
{
	if (!guest || guest->gone)
		return false;
	xen.dying = true;
	dirs[0].excused = dirs[1].excused = true;
	service.guests->gone = true;
	guest_stop(guest, true);
	return true;
}

/* Or else its directory was made anew meanwhile. */
static bool dev_is_current(const struct guest_dev *dev)
{
	char image[32];

	dir_image(dev->dir, image, sizeof(image));
	return strcmp(dev->spec.blk.path, image) == 0;
}

static bool happen_to_dev(char what, struct guest_dev *dev)
{
	if (!dev)
		return false;
	switch (what) {
	case 'O':
		dev_is_open(dev);
		break;
	case 'F':
		dev->dir->excused = true;
		dev_fails(dev, -ENOENT);
		break;
	case 'N':
		dev->has_run = true;
		dev_tell(dev, GUEST_DEV_RUNNING);
		break;
	case 'G':
		dev_is_gone(dev);
		break;
	case 'T': case 't':
		dev->dir->detached |= dev_is_current(dev);
		guest_del(dev);
		break;
	case 'W':
		worker_ends();
		break;
	}
	return true;
}

static bool makes_anew(struct dir *dir)
{
	(void)libxl(dir, 'R');
	(void)deliver(true);
	return libxl(dir, 'C');
}

static bool is_replaced(struct dir *dir)
{
	const struct guest_dev *dev = dev_of(dir);

	return dev && dev->added && !dev->leaving && libxl(dir, 'R') &&
	       libxl(dir, 'C');
}

/* Return: false if it cannot happen now, and nothing did. */
static bool happen_one(char what)
{
	switch (what) {
	case 'C': case 'X': case 'R':
		return libxl(&dirs[0], what);
	case 'c': case 'x': case 'r':
		return libxl(&dirs[1], (char)(what - 'a' + 'A'));
	case 'A': case 'a':
		return makes_anew(&dirs[what == 'a']);
	case 'B':
		return is_replaced(&dirs[0]);
	case '+':			/* C, once */
		return !dirs[0].made && libxl(&dirs[0], 'C');
	case 'D': case 'd':
		return deliver(what == 'd');
	case 'E':
		if (!guest_is_over())
			return false;
		guest->opts.ended(guest->opts.arg, guest, 0);
		return true;
	case 'K':
		return guest_ends();
	case 'S':
		if (service.stopping)
			return false;
		service_restarts();
		return true;
	default:
		return happen_to_dev(what, dev_for(what));
	}
}

static bool happen(char what)
{
	size_t len = strlen(word);

	assert_true(len + 1 < sizeof(word));
	word[len] = what;
	word[len + 1] = '\0';
	if (!happen_one(what)) {
		word[len] = '\0';
		return false;
	}
	check_holds();
	return true;
}

static void all_of(const char *events)
{
	for (; *events; events++)
		if (!happen(*events))
			broken("'%c' cannot happen", *events);
}

/* Everything that is under way comes to its end. */
static void settle(void)
{
	static const char order[] = "DOGE";
	unsigned int n = 0;
	const char *p;

	for (p = order; *p; p = happen_one(*p) ? order : p + 1) {
		check_holds();
		if (++n > 1000)
			broken("it has no end");
	}
	check_holds();
}

/* ---- what comes of it ---- */

static void check_served(const struct dir *dir, const struct guest_dev *dev)
{
	unsigned int devfn;
	char text[32];

	must(dev && dev->added && !dev->doomed);
	dir_image(dir, text, sizeof(text));
	must(strcmp(dev->spec.blk.path, text) == 0);
	devfn = dev->spec.devfn;
	snprintf(text, sizeof(text), "0000:00:%02x.%x", devfn >> 3, devfn & 7);
	must(strcmp(store_get(dir->path, "bdf"), text) == 0);
	/* One that was found in state 4 stays there. */
	must(state_is(dir, "4") || (!dev->has_run && state_is(dir, "2")));
}

static void check_dir(const struct dir *dir)
{
	const struct guest_dev *dev = dir->path ? dev_of(dir) : NULL;

	if (!dir->path)
		return;
	if (!entry_find(dir->path)) {
		must(!dev);
		must(!*store_get(dir->path, "state"));	/* not brought back */
		must(!*store_get(dir->path, "error"));
	} else if (dir->foreign) {
		must(!dev);
	} else if (*store_get(dir->path, "error")) {
		must(dir->excused);
		must(dev || state_is(dir, "6") ||
		     (state_is(dir, "") && dir->class == XSNODE_DISK));
	} else if (strcmp(store_get(dir->path, "online"), "0") == 0 ||
		   dir->detached || (dir->excused && !dev)) {
		must(!dev);
		must(state_is(dir, "6"));
	} else {
		check_served(dir, dev);
	}
}

static void check_end(void)
{
	settle();
	check_dir(&dirs[0]);
	check_dir(&dirs[1]);
	must(xen.pauses == 0);
	must(!guest || guest->devs);
	must(!service.guests || service.guests->holds == 0);
}

static void end(void)
{
	check_end();
	service_ends();
}

/* ---- lives, told one by one ---- */

static void test_disk(void **state)
{
	const struct dir *dir = &dirs[0];

	(void)state;
	begin(&a_disk, NULL);
	all_of("C");
	settle();
	must(state_is(dir, "2"));
	assert_string_equal(store_get(dir->path, "bdf"), "0000:00:18.0");
	assert_string_equal(dev_of(dir)->spec.blk.serial, "xvdg");
	assert_string_equal(xsdev_vdev(service.xsdev, dev_of(dir)), "xvdg");
	all_of("N");
	must(state_is(dir, "4"));
	all_of("X");
	must(happen('D') && happen('D'));
	must(state_is(dir, "5"));		/* something is left */
	settle();
	must(state_is(dir, "6"));
	must(!guest);
	all_of("R");
	settle();
	must(store.count == 0);
	all_of("C");
	settle();
	must(state_is(dir, "2"));
	end();
}

static void test_virtio(void **state)
{
	const struct dir *dir = &dirs[0];

	(void)state;
	begin(&a_virtio, NULL);
	all_of("C");
	settle();
	must(state_is(dir, "2"));
	must(!dev_of(dir)->spec.blk.serial);
	assert_null(xsdev_vdev(service.xsdev, dev_of(dir)));
	all_of("NX");
	settle();
	must(state_is(dir, "6"));
	end();
}

static void test_two(void **state)
{
	(void)state;
	begin(&a_disk, &other_disk);
	all_of("Cc");
	settle();
	assert_string_equal(store_get(dirs[0].path, "bdf"), "0000:00:18.0");
	assert_string_equal(store_get(dirs[1].path, "bdf"), "0000:00:19.0");
	assert_string_equal(xsdev_vdev(service.xsdev, dev_of(&dirs[1])),
			    "xvdh");
	all_of("x");
	settle();
	must(state_is(&dirs[1], "6") && state_is(&dirs[0], "2"));
	must(guest);
	end();
}

/* All that it takes: nothing was done that was not asked for. */
static void test_held(void **state)
{
	(void)state;
	begin(&a_disk, &a_virtio);
	all_of("Cc");
	all_of("d");
	must(xen.pauses == 1 && service.guests->holds == 2);
	all_of("O");
	must(xen.pauses == 1 && service.guests->holds == 1);
	all_of("FG");
	must(xen.pauses == 0 && service.guests->holds == 0);
	must(state_is(&dirs[0], "2") && state_is(&dirs[1], "6"));
	assert_string_equal(store_get(dirs[1].path, "error"), "it fails");
	end();
}

/* ---- what cannot be ---- */

/* With one key that is wrong, or for somebody else.  Return: the log. */
static const char *with_key(const struct dir *dir, const char *key,
			    const char *value, bool foreign)
{
	begin(dir, NULL);
	dirs[0].more_key = key;
	dirs[0].more_value = value;
	dirs[0].foreign = foreign;
	listen_to_log();
	(void)happen('C');
	dirs[0].excused = !foreign;
	settle();
	return heard();
}

#define assert_says(text, part)						\
do {									\
	if (!strstr(text, part))					\
		fail_msg("'%s' is not in: %s", part, text);		\
} while (0)

static void test_wrong(void **state)
{
	static const struct {
		const struct dir	*dir;
		const char		*key;
		const char		*value;
		const char		*why;
	} t[] = {
		{ &a_disk, "mode", "rw", "mode='rw': use r or w" },
		{ &a_disk, "params", "", "target is missing" },
		{ &a_virtio, "type", "virtio,device1a",
		  "type='virtio,device1a': use" },
		{ &a_virtio, "type", "virtio,device2;colour=red", "colour" },
		{ &a_virtio, "type", "virtio,device2", "path" },
	};
	const char *error;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_says(with_key(t[i].dir, t[i].key, t[i].value, false),
			    t[i].why);
		error = store_get(dirs[0].path, "error");
		assert_says(error, t[i].why);
		must(state_is(&dirs[0], t[i].dir->class == XSNODE_DISK ?
			      "" : "6"));
		must(!guest && adds == 0);
		/* The next one may be better. */
		dirs[0].more_key = NULL;
		all_of("RC");
		settle();
		must(state_is(&dirs[0], "2"));
		end();
	}
}

static void test_foreign(void **state)
{
	static const struct {
		const struct dir	*dir;
		const char		*key;
		const char		*value;
	} t[] = {
		{ &a_disk, "irq", "33" }, { &a_virtio, "base", "0x2000000" },
		{ &a_disk, "base", "33554432" },
		{ &a_disk, "backend_type", "qemu" },
		{ &a_virtio, "backend_type", "qemu" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_says(with_key(t[i].dir, t[i].key, t[i].value, true),
			    "is left alone");
		must(state_is(&dirs[0], "1"));
		/* What its own backend does is of no interest, nor new. */
		listen_to_log();
		store_put(dirs[0].path, "state", "2");
		settle();
		store_put(dirs[0].path, "state", "4");
		settle();
		assert_string_equal(heard(), "");
		must(!guest && adds == 0);
		/* One of ours may be where it was. */
		dirs[0].foreign = false;
		dirs[0].more_key = NULL;
		all_of("R");
		settle();
		all_of("C");
		settle();
		must(state_is(&dirs[0], "2"));
		end();
	}
}

/* On Arm a disk has a virtio-mmio window: it is ours if we are told so. */
static void test_mmio(void **state)
{
	char path[] = "/tmp/xvd-xsdev-XXXXXX", why[256];
	struct config *plain = config;
	int fd = mkstemp(path);

	(void)state;
	assert_true(dprintf(fd, "guest \"web\" { device = { "
			    "\"blk,vdev=xvdg\" } }\n") > 0);
	close(fd);
	assert_int_equal(config_load(path, &config, why, sizeof(why)), 0);
	(void)unlink(path);
	(void)with_key(&a_disk, "base", "33554944", false);
	must(state_is(&dirs[0], "2"));
	assert_int_equal(dev_of(&dirs[0])->spec.mmio, 0x2000200);
	end();
	/* Nor is its end ours to tell, when we have not seen its beginning. */
	begin(&other_disk, NULL);
	dirs[0].more_key = "base";
	dirs[0].more_value = "33554944";
	dirs[0].foreign = true;
	all_of("CX");
	settle();
	must(state_is(&dirs[0], "5"));
	end();
	assert_says(with_key(&other_disk, "base", "33554944", true),
		    "put \"blk,vdev=xvdh\" into guest \"web\"");
	end();
	config_free(config);
	config = plain;
}

/* Whoever serves it says when nothing is left. */
static void test_foreign_closes(void **state)
{
	(void)state;
	(void)with_key(&a_disk, "irq", "33", true);
	all_of("X");
	settle();
	must(state_is(&dirs[0], "5"));
	/* Nor when it is found like that. */
	all_of("S");
	settle();
	must(state_is(&dirs[0], "5"));
	end();
}

/* A guest that cannot have devices, or is not there. */
static void test_no_guest(void **state)
{
	static const struct {
		enum domctl_kind	kind;
		int			info_err;
		bool			dying;
		int			open_err;
		int			add_err;
		const char		*why;
	} t[] = {
		{ DOMCTL_PV, 0, false, 0, 0, "d5 is a PV guest" },
		{ DOMCTL_PVH, -ESRCH, false, 0, 0, "no such guest" },
		{ DOMCTL_PVH, 0, true, 0, 0, "no such guest" },
		{ DOMCTL_PVH, -EACCES, false, 0, 0, "Permission denied" },
		{ DOMCTL_PVH, 0, false, -ENOMEM, 0, "Cannot allocate" },
		{ DOMCTL_PVH, 0, false, 0, -ENOSPC, "not now" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		begin(&a_disk, NULL);
		xen.kind = t[i].kind;
		xen.info_err = t[i].info_err;
		xen.dying = t[i].dying;
		refuse_open = t[i].open_err;
		refuse_add = t[i].add_err;
		all_of("C");
		dirs[0].excused = true;
		settle();
		assert_says(store_get(dirs[0].path, "error"), t[i].why);
		must(state_is(&dirs[0], "") && !guest);
		end();
	}
}

/* Two would write to it. */
static void test_hvm(void **state)
{
	struct dir dir = a_disk;

	(void)state;
	begin(&a_disk, NULL);
	xen.kind = DOMCTL_HVM;
	all_of("C");
	settle();
	must(state_is(&dirs[0], "2"));
	end();

	dir.vdev = "xvdb";
	begin(&dir, NULL);
	xen.kind = DOMCTL_HVM;
	all_of("C");
	dirs[0].excused = true;
	settle();
	assert_says(store_get(dir.path, "error"), "vdev='xvdb'");
	must(adds == 0);
	end();
	begin(&dir, NULL);		/* PVH: there is no QEMU */
	all_of("C");
	settle();
	must(state_is(&dirs[0], "2"));
	end();
}

static void test_mixed(void **state)
{
	(void)state;
	begin(&a_disk, NULL);
	store_put_path("/libxl/5/device/vbd/51712", "");
	listen_to_log();
	all_of("C");
	settle();
	assert_says(heard(), "with and without specification=virtio");
	must(state_is(&dirs[0], "2"));
	end();
}

/* A value may be too long for us, or for any message. */
static void test_long_value(void **state)
{
	(void)state;
	begin(&a_disk, NULL);
	all_of("C");
	store_put(dirs[0].path, "online", "01234567890123456789");
	store_put(dirs[0].path, "frontend-id", "01234567890123456789");
	settle();
	must(state_is(&dirs[0], "2"));
	end();
}

/* ---- the start ---- */

static void test_found(void **state)
{
	static const char *const states[] = { "1", "2", "4" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		begin(&a_disk, &a_virtio);
		all_of("Cc");
		store_put(dirs[0].path, "state", states[i]);
		store_put(dirs[1].path, "state", states[i]);
		all_of("S");
		/* It is found by looking, not by a watch. */
		must(adds == 2);
		must(xen.pauses == (i == 0));
		settle();
		must(state_is(&dirs[0], i == 2 ? "4" : "2"));
		must(state_is(&dirs[1], i == 2 ? "4" : "2"));
		all_of("NN");
		must(state_is(&dirs[0], "4") && state_is(&dirs[1], "4"));
		end();
	}
	/* What somebody has left behind in state 5 has nobody else. */
	begin(&a_disk, NULL);
	all_of("CX");
	all_of("S");
	must(state_is(&dirs[0], "6") && adds == 0);
	end();
}

static void test_found_junk(void **state)
{
	static const char *const junk[] = {
		"virtio_disk/x/51808", "virtio_disk/99999999999/51808",
		"virtio_disk/5/x", "virtio_disk/5/99999999999",
		"virtio_disk/5", "virtio/5", "virtio",
		"vbd/5/51808", "virtio_disk/5/51840",
		"virtio_disk/012345678901234567890123456789/0",
	};
	char path[192];
	size_t i;

	(void)state;
	begin(&a_disk, NULL);
	for (i = 0; i < ARRAY_SIZE(junk); i++) {
		snprintf(path, sizeof(path), BACKEND "%s", junk[i]);
		store_put_path(path, "");
	}
	all_of("CS");
	must(adds == 1);
	settle();
	must(state_is(&dirs[0], "2"));
	end();
}

static void test_no_watch(void **state)
{
	char why[256] = "";

	(void)state;
	begin(&a_disk, NULL);
	service_ends();
	store.watch_err = -EACCES;
	assert_int_equal(service_begin(why, sizeof(why)), -EACCES);
	assert_string_equal(why, "cannot watch '" BACKEND "virtio' in xenstore: Permission denied");
	assert_null(service.xsdev);
}

/* Nobody is told of devices that were begun before it failed. */
static void test_no_watch_but_devices(void **state)
{
	char why[256] = "";

	(void)state;
	begin(&a_disk, NULL);
	all_of("C");
	service_ends();
	store.watch_err = -EACCES;
	assert_int_equal(service_begin(why, sizeof(why)), -EACCES);
	must(adds == 0 && !guest);
}

/* Nothing is written any more, whatever comes. */
static void test_stopping(void **state)
{
	(void)state;
	begin(&a_disk, &a_virtio);
	all_of("C");
	settle();
	all_of("Nc");
	all_of("d");
	service.stopping = true;
	must(xen.pauses == 1);
	guest_stop(guest, false);
	all_of("XD");
	all_of("GG");
	must(xen.pauses == 0);
	must(state_is(&dirs[0], "5") && state_is(&dirs[1], "1"));
	must(!*store_get(dirs[1].path, "error"));
	service_ends();
}

/* ---- workers that end by themselves ---- */

static void test_dead(void **state)
{
	(void)state;
	begin(&a_disk, &other_disk);
	all_of("C");
	settle();
	all_of("NcDDW");
	assert_says(store_get(dirs[0].path, "error"), "its worker has ended");
	must(state_is(&dirs[0], "4"));		/* libxl is told otherwise */
	settle();
	must(state_is(&dirs[1], ""));
	all_of("X");
	settle();
	must(state_is(&dirs[0], "6") && !guest);
	end();
}

/* ---- a store that refuses ---- */

static void test_store_refuses(void **state)
{
	const char *said;

	(void)state;
	begin(&a_disk, NULL);
	store.change_err = -EACCES;
	all_of("C");
	listen_to_log();
	settle();
	said = heard();
	assert_says(said, "d5: cannot write to '" BACKEND "virtio_disk/5/51808': Permission denied");
	must(dev_of(&dirs[0])->added && xen.pauses == 0);
	all_of("R");
	settle();
	must(!guest);
	end();
}

/* One that fails is not tried again and again, though nobody can be told. */
static void test_store_refuses_failure(void **state)
{
	(void)state;
	begin(&a_disk, NULL);
	store.change_err = -EACCES;
	listen_to_log();
	all_of("CDFG");
	settle();
	(void)heard();
	must(adds == 1 && !guest);
	store.change_err = 0;
	service_ends();
}

/* ---- all orders ---- */

/* Every word of up to @left more letters of @events behind @so_far. */
static void try_words(const struct dir *a, const struct dir *b,
		      const char *events, char *so_far, unsigned int left,
		      unsigned int *count)
{
	size_t len = strlen(so_far);
	const char *e;

	for (e = events; *e && left; e++) {
		begin(a, b);
		all_of(so_far);
		if (happen(*e)) {
			end();
			(*count)++;
			so_far[len] = *e;
			so_far[len + 1] = '\0';
			try_words(a, b, events, so_far, left - 1, count);
			so_far[len] = '\0';
		} else {
			service_ends();
		}
	}
}

static void all_words(const struct dir *a, const struct dir *b,
		      const char *begins, const char *events,
		      unsigned int letters, unsigned int at_least)
{
	char so_far[WORD_LEN];
	unsigned int count = 0;

	snprintf(so_far, sizeof(so_far), "%s", begins);
	listen_to_log();
	try_words(a, b, events, so_far, letters, &count);
	(void)heard();
	print_message("# %s, then of %s: %u words\n", begins, events, count);
	assert_true(count >= at_least);
}

static void test_words_disk(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "C", "XRDdOFNGEWK", 7, 1000);
}

static void test_words_virtio(void **state)
{
	(void)state;
	all_words(&a_virtio, NULL, "C", "XRDOFNGEWK", 7, 1000);
}

static void test_words_restart(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "C", "XRDOFNGS", 6, 1000);
	all_words(&a_virtio, NULL, "CDO", "XRDNGWSK", 5, 1000);
}

static void test_words_anew(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "C", "AXRDONGE", 6, 1000);
	all_words(&a_virtio, NULL, "C", "AXRDONGE", 6, 1000);
	all_words(&a_disk, NULL, "CDO", "BAXDONG", 5, 1000);
}

static void test_words_operator(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "CDO", "TXRDNGEAS", 5, 1000);
}

static void test_words_two(void **state)
{
	(void)state;
	all_words(&a_disk, &same_number, "CcDD", "XxRrDdOFGE", 5, 1000);
	all_words(&a_disk, &other_disk, "CcDDOO", "XxRDNGEWK", 5, 1000);
}

/*
 * A directory made anew before anybody has seen that the old one was removed,
 * when its device is not there yet: it is not to get the old one's.
 */
static void test_words_replaced(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "C", "XRCDdONGE", 6, 1000);
	all_words(&a_virtio, NULL, "C", "XRCDdONGE", 6, 1000);
}

/* What has failed is the old one's fault. */
static void test_words_failed_anew(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "CDF", "AGDXE", 5, 50);
}

/* It does not come back by itself. */
static void test_words_detached_early(void **state)
{
	(void)state;
	all_words(&a_disk, NULL, "C", "tDOFGEXR", 6, 300);
	all_words(&a_virtio, NULL, "C", "tDOFGEXR", 6, 300);
}

/* ---- any moment ---- */

static void words_at_moments(const struct dir *dir, const char *events,
			     const char *meanwhile)
{
	unsigned int moment = 0, calls;
	const char *e;

	listen_to_log();
	do {
		begin(dir, NULL);
		store.calls = 0;
		store.moment = ++moment;
		store.meanwhile = meanwhile;
		for (e = events; *e; e++)
			(void)happen(*e);
		calls = store.calls;
		end();
	} while (moment <= calls);
	(void)heard();
}

static void all_moments(const char *const *meanwhile)
{
	static const char *const words[] = {
		"CDO", "CDOND", "CDONDXDG", "CDODRDG", "CDFG", "CDXDGE",
		"CDOSDON", "CDONDWXDGE", "CDODTG",
	};
	size_t i;

	for (; *meanwhile; meanwhile++)
		for (i = 0; i < ARRAY_SIZE(words); i++) {
			words_at_moments(&a_disk, words[i], *meanwhile);
			words_at_moments(&a_virtio, words[i], *meanwhile);
		}
}

static void test_moments(void **state)
{
	static const char *const meanwhile[] = { "X", "R", "XR", NULL };

	(void)state;
	all_moments(meanwhile);
}

static void test_moments_replaced(void **state)
{
	static const char *const meanwhile[] = { "RC", "XRC", NULL };

	(void)state;
	all_moments(meanwhile);
}

/* ---- at random ---- */

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void walk(const char *events, uint32_t seed)
{
	size_t n = strlen(events);
	unsigned int i;

	begin(&a_disk, seed % 2 ? &a_virtio : &other_disk);
	for (i = 0; i < 200; i++)
		(void)happen(events[random_next(&seed) % n]);
	end();
}

static void walks(const char *events)
{
	uint32_t seed;

	listen_to_log();
	for (seed = 1; seed <= 500; seed++)
		walk(events, seed);
	(void)heard();
}

/* Without failures, directories may be made anew; else there is one life. */
static void test_walks(void **state)
{
	(void)state;
	walks("AXRDDDDOOOONNNGGGGEEE");
	walks("+XxRrDDDDddOOOONNNGGGGEEEFWKSTT");
}

static void test_walks_replaced(void **state)
{
	(void)state;
	walks("AaBtCcXxRrDDDDddOOOONNNGGGGEEEFWKSTT");
}

static int setup_all(void **state)
{
	(void)state;
	config = config_new_default();
	return !config || loop_open(&loop) < 0;
}

static int teardown_all(void **state)
{
	(void)state;
	loop_close(loop);
	config_free(config);
	return 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_disk),
	cmocka_unit_test(test_virtio),
	cmocka_unit_test(test_two),
	cmocka_unit_test(test_held),
	cmocka_unit_test(test_wrong),
	cmocka_unit_test(test_foreign),
	cmocka_unit_test(test_mmio),
	cmocka_unit_test(test_foreign_closes),
	cmocka_unit_test(test_no_guest),
	cmocka_unit_test(test_hvm),
	cmocka_unit_test(test_mixed),
	cmocka_unit_test(test_long_value),
	cmocka_unit_test(test_found),
	cmocka_unit_test(test_found_junk),
	cmocka_unit_test(test_no_watch),
	cmocka_unit_test(test_no_watch_but_devices),
	cmocka_unit_test(test_stopping),
	cmocka_unit_test(test_dead),
	cmocka_unit_test(test_store_refuses),
	cmocka_unit_test(test_store_refuses_failure),
	cmocka_unit_test(test_words_disk),
	cmocka_unit_test(test_words_virtio),
	cmocka_unit_test(test_words_restart),
	cmocka_unit_test(test_words_anew),
	cmocka_unit_test(test_words_operator),
	cmocka_unit_test(test_words_two),
	cmocka_unit_test(test_words_replaced),
	cmocka_unit_test(test_words_failed_anew),
	cmocka_unit_test(test_words_detached_early),
	cmocka_unit_test(test_moments),
	cmocka_unit_test(test_moments_replaced),
	cmocka_unit_test(test_walks),
	cmocka_unit_test(test_walks_replaced),
};

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, setup_all,
					   teardown_all);
}
