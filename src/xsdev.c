/* SPDX-License-Identifier: MIT */
/*
 * xsdev.c: see the header.
 *
 *	libxl	1  all keys, in one transaction		   5, online=0
 *	us	   bdf, 2: registered	4: it runs	   6: nothing is left
 *
 * A directory is looked at whenever something in it has changed, and what is
 * to be done follows from what is there now and from what we have: watches tell
 * where, never what.  Only the backend directory is read, which the guest
 * cannot write; its frontend is its own.
 *
 * What goes wrong.  xl waits ten seconds for state 2 of a disk, and for nothing
 * of a device of its virtio= list.  It gives up at once when "state" is
 * removed, so for a disk that is how it is told; the reason is in the log and
 * in "error".  A directory that was removed is never brought back by what we
 * write (xenstore_change()).
 *
 * A device that is found in state 2 or 4 is one that another xen-virtiod has
 * left behind: it is taken up as if it were new.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "config.h"
#include "devdesc.h"
#include "guest.h"
#include "log.h"
#include "service.h"
#include "store.h"
#include "util.h"
#include "xsdev.h"
#include "xsnode.h"

#define WHY_LEN		512
#define PATH_LEN	96
#define STATE_INITIALISING	"1"	/* enum xenbus_state, as text */
#define STATE_INIT_WAIT		"2"
#define STATE_CONNECTED		"4"
#define STATE_CLOSING		"5"
#define STATE_CLOSED		"6"

struct node {
	TAILQ_ENTRY(node)	link;
	struct xsdev		*xd;
	struct xsnode_path	path;
	char			dir[PATH_LEN];
	char			vdev[32];
	char			image[XSNODE_TEXT_LEN];	/* or type: as it was */
	struct guest_dev	*dev;		/* NULL: none, or no more */
	struct service_guest	*held;		/* does not run before it */
	bool			changed;	/* not looked at since */
	bool			is_new;		/* state 1 when it was found */
	bool			registered;	/* and it was said */
	bool			leaving;	/* we do not want it any more */
	bool			foreign;	/* it is for somebody else */
	bool			stuck;		/* it has failed; untold */
};

struct xsdev {
	struct service		*service;
	TAILQ_HEAD(node_list, node) nodes;	/* as they came: so they get
						 * their addresses */
};

static void node_look(struct node *node);

/* ---- what we write ---- */

/* Return: 0, or a negative errno, which was logged if somebody is to act. */
static int node_change(struct node *node,
			const struct xenstore_change *changes, size_t count)
{
	struct service *s = node->xd->service;
	int r;

	if (s->stopping)
		return 0;		/* the guest goes on, without us */
	r = xenstore_change(s->host.xs, node->dir, changes, count);
	if (r < 0 && r != -ENOENT && r != -ESTALE)
		log_error("d%u: cannot write to '%s': %s", node->path.domid,
			  node->dir, strerror(-r));
	return r;
}

static void node_set_state(struct node *node, const char *from,
			   const char *state)
{
	const struct xenstore_change change = {
		.key = "state", .from = from, .value = state,
	};

	node_change(node, &change, 1);
}

static int node_get(struct node *node, const char *key, char *ret, size_t len)
{
	struct xenstore *xs = node->xd->service->host.xs;
	char path[PATH_LEN + 32];

	snprintf(path, sizeof(path), "%s/%s", node->dir, key);
	return xenstore_read(xs, path, ret, len);
}

static bool node_is(struct node *node, const char *key, const char *value)
{
	char text[16];

	return node_get(node, key, text, sizeof(text)) == 0 &&
	       strcmp(text, value) == 0;
}

/*
 * A condition: the directory was not removed and made anew, for something else,
 * since it was read.
 */
static struct xenstore_change node_as_read(const struct node *node)
{
	return (struct xenstore_change){
		.key	= node->path.class == XSNODE_DISK ? "params" : "type",
		.from	= node->image,
		.value	= node->image,
	};
}

/* Unless it is one made anew, with the same name. */
static void node_is_closed(struct node *node)
{
	char state[16] = "";
	const struct xenstore_change changes[] = {
		node_as_read(node),
		{ .key = "state", .from = state, .value = STATE_CLOSED },
	};

	(void)node_get(node, "state", state, sizeof(state));	/* or "" */
	if (!node->leaving || strcmp(state, STATE_INITIALISING) != 0)
		(void)node_change(node, changes, ARRAY_SIZE(changes));
}

/* In one: whoever waits for the state finds the address. */
static void node_is_registered(struct node *node)
{
	unsigned int devfn = guest_dev_spec(node->dev)->devfn;
	char bdf[16];
	const struct xenstore_change changes[] = {
		node_as_read(node),
		{ .key = "bdf", .value = bdf },
		{ .key = "state", .from = STATE_INITIALISING,
		  .value = STATE_INIT_WAIT },
	};

	snprintf(bdf, sizeof(bdf), "0000:00:%02x.%x", devfn >> 3, devfn & 7);
	/* One that is taken up stays as it is, but for the address. */
	node->registered = true;
	if (node_change(node, changes, node->is_new ? 3 : 2) == -ESTALE)
		node_look(node);	/* it is another one by now */
}

/* Whoever waits for it is to know now. */
static void node_fail(struct node *node, const char *why)
{
	const struct xenstore_change changes[] = {
		node_as_read(node),
		{ .key = "error", .value = why },
		{ .key = "state",
		  .value = node->path.class == XSNODE_DISK ? NULL :
			   STATE_CLOSED },
	};

	size_t skip = *node->image ? 0 : 1;	/* it was never read */
	int r;

	log_error("d%u: %s: %s", node->path.domid, node->dir, why);
	r = node_change(node, changes + skip, ARRAY_SIZE(changes) - skip);
	node->stuck = r < 0 && r != -ENOENT && r != -ESTALE;
}

/* ---- what becomes of a device ---- */

static void node_release(struct node *node)
{
	struct service_guest *sg = node->held;

	node->held = NULL;
	if (sg)
		service_release(sg);
}

/* It may be wanted again already, or its directory be gone. */
static void node_is_rid(struct node *node, struct service_guest *sg)
{
	node->dev = NULL;
	node->registered = node->leaving = false;
	node_release(node);
	service_drop_if_empty(sg);
	node_look(node);
}

static void node_on_news(void *arg, const struct guest_dev_news *news)
{
	struct node *node = arg;
	struct service_guest *sg;

	sg = service_find(node->xd->service, node->path.domid);
	switch (news->event) {
	case GUEST_DEV_ADDED:
		guest_dev_tell(node->dev);
		node_is_registered(node);
		node_release(node);
		break;
	case GUEST_DEV_RUNNING:
		node_set_state(node, STATE_INIT_WAIT, STATE_CONNECTED);
		break;
	case GUEST_DEV_FAILED:
		/* Once it is not wanted, a failure is of no interest. */
		if (news->err == -ECANCELED || node->leaving)
			node_is_closed(node);
		else
			node_fail(node, news->why);
		node_is_rid(node, sg);
		break;
	case GUEST_DEV_REMOVED:
		node_is_closed(node);
		node_is_rid(node, sg);
		break;
	}
}

/* ---- what is wanted ---- */

struct node_key {
	const char	*name;
	size_t		offset;		/* in struct xsnode_values */
};

#define KEY(name, field) { name, offsetof(struct xsnode_values, field) }

static const struct node_key keys[] = {
	KEY("params", params), KEY("mode", mode), KEY("dev", dev),
	KEY("discard-enable", discard), KEY("device-type", device_type),
	KEY("type", type), KEY("transport", transport), KEY("base", base),
	KEY("irq", irq), KEY("bdf", bdf), KEY("backend_type", backend_type),
};

/* The values, and where they are. */
struct node_text {
	struct xsnode_values	values;
	char			room[ARRAY_SIZE(keys)][XSNODE_TEXT_LEN];
};

static int node_read(struct node *node, struct node_text *text, char *why,
		     size_t why_len)
{
	struct xenstore *xs = node->xd->service->host.xs;
	char path[PATH_LEN + 32];
	const char **value;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		value = (const char **)(void *)((char *)&text->values +
						keys[i].offset);
		*value = text->room[i];
		snprintf(path, sizeof(path), "%s/%s", node->dir, keys[i].name);
		r = xenstore_read(xs, path, text->room[i],
				  sizeof(text->room[i]));
		if (r == -ENOENT) {
			*value = NULL;
		} else if (r < 0) {
			snprintf(why, why_len, "%s: %s", keys[i].name,
				 r == -E2BIG ? "it is too long" : strerror(-r));
			return r;
		}
	}
	return 0;
}

static void node_remember(struct node *node,
			  const struct xsnode_values *values)
{
	const char *image = node->path.class == XSNODE_DISK ? values->params :
							      values->type;

	snprintf(node->image, sizeof(node->image), "%s", image ? image : "");
}

/* Return: 1 and *ret; 0: for somebody else; or a negative errno; with @why. */
static int node_wish(struct node *node, struct xsnode_wish *ret, char *why,
		     size_t why_len)
{
	struct node_text *text = calloc(1, sizeof(*text));
	int r = -ENOMEM;

	snprintf(why, why_len, "out of memory");
	if (text)
		r = node_read(node, text, why, why_len);
	if (!r) {
		node_remember(node, &text->values);
		r = xsnode_parse(node->path.class, &text->values, ret, why,
				 why_len);
	}
	free(text);
	return r;
}

/* A disk that libxl has made a virtio-mmio device of is ours if we are told so. */
static bool node_is_claimed(const struct node *node,
			    const struct xsnode_wish *wish, const char *guest)
{
	return !wish->mmio || config_names_vdev(node->xd->service->config,
						guest, wish->vdev);
}

/* The same, with what the configuration adds. */
static int node_spec(struct node *node, const char *guest,
		     struct devspec *ret, char *why, size_t why_len)
{
	struct config *config = node->xd->service->config;
	struct xsnode_wish wish = { 0 };
	int r;

	r = node_wish(node, &wish, why, why_len);
	if (r <= 0)
		return r;
	snprintf(node->vdev, sizeof(node->vdev), "%s", wish.vdev);
	if (!node_is_claimed(node, &wish, guest)) {
		snprintf(why, why_len, "it is a virtio-mmio device; to have it as a PCI function, put \"blk,vdev=%s\" into guest \"%s\" of the configuration",
			 wish.vdev, guest);
		return 0;
	}
	if (node->path.class == XSNODE_DISK)
		r = config_blk(config, guest, wish.vdev, wish.text, ret, why,
			       why_len);
	else
		r = config_virtio(config, guest, node->path.devid, wish.kind,
				  wish.text, ret, why, why_len);
	if (r < 0)
		return r;
	ret->mmio = wish.mmio;
	return 1;
}

/* Those that two would write to, and what xl is known to stumble over. */
static int node_check(struct node *node, struct service_guest *sg, char *why,
		      size_t why_len)
{
	struct xenstore *xs = node->xd->service->host.xs;
	char path[PATH_LEN];
	unsigned int count;
	char **list;

	if (node->path.class != XSNODE_DISK)
		return 0;
	if (!guest_is_pvh(sg->guest) && xsnode_vdev_is_qemus(node->vdev)) {
		snprintf(why, why_len, "vdev='%s': xl gives it to the HVM guest's QEMU as well; use vdev=xvdg or later",
			 node->vdev);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/libxl/%u/device/vbd",
		 node->path.domid);
	if (xenstore_list(xs, path, &list, &count) < 0)
		return 0;
	free(list);
	log_warn("d%u: guest '%s' has disks with and without specification=virtio: xl's block-list and 'list -l' fail for it",
		 node->path.domid, guest_name(sg->guest));
	return 0;
}

static int node_add(struct node *node, struct service_guest *sg, char *why,
		    size_t why_len)
{
	const char *origin = node->path.class == XSNODE_DISK ? "disk=" :
							       "virtio=";
	struct devspec spec;
	int r;

	r = node_spec(node, guest_name(sg->guest), &spec, why, why_len);
	if (r == 0) {
		log_info("d%u: %s is left alone: %s", node->path.domid,
			 node->dir, why);
		node->foreign = true;
	}
	if (r <= 0)
		return r;
	r = node_check(node, sg, why, why_len);
	if (r < 0) {
		devspec_fini(&spec);
		return r;
	}
	return guest_add(sg->guest, &spec, origin, node_on_news, node,
			 &node->dev, why, why_len);
}

static void node_begin(struct node *node, bool is_new)
{
	struct service_guest *sg = NULL;
	char why[WHY_LEN];
	int r;

	node->is_new = is_new;
	node->image[0] = '\0';
	r = service_guest(node->xd->service, node->path.domid, &sg, why,
			  sizeof(why));
	if (!r && is_new) {
		node->held = sg;
		service_hold(sg);
	}
	if (!r)
		r = node_add(node, sg, why, sizeof(why));
	if (r < 0)
		node_fail(node, why);
	if (node->dev)
		return;
	node_release(node);
	if (sg)
		service_drop_if_empty(sg);
}

/* ---- looking ---- */

/* "state" may be missing where there is a directory: see above. */
static bool node_exists(struct node *node)
{
	char text[16];
	int r = node_get(node, "frontend-id", text, sizeof(text));

	return r == 0 || r == -E2BIG;
}

/* Nothing of it is left here; or else somewhere else, perhaps. */
static void node_close(struct node *node)
{
	struct xsnode_wish wish = { 0 };
	struct host_guest who = { 0 };
	char why[WHY_LEN];

	if (!node->foreign)
		node->foreign = node_wish(node, &wish, why, sizeof(why)) == 0;
	/* A guest that is gone has no name, and nobody's devices. */
	if (!node->foreign && wish.mmio)
		node->foreign = host_find(&node->xd->service->host,
					  node->path.domid, &who, why,
					  sizeof(why)) < 0 ||
				!node_is_claimed(node, &wish, who.name);
	if (!node->foreign)
		node_set_state(node, STATE_CLOSING, STATE_CLOSED);
}

static void node_forget(struct node *node)
{
	TAILQ_REMOVE(&node->xd->nodes, node, link);
	free(node);
}

/*
 * What is asked of xenstored is waited for, and it has others to answer, ten
 * times as many when ten guests are created at once: so two questions do.
 */
static void node_look(struct node *node)
{
	bool exists, is_new, leaves;
	char state[16] = "";

	if (node->xd->service->stopping)
		return;
	exists = node_get(node, "state", state, sizeof(state)) == 0 ||
		 node_exists(node);
	is_new = strcmp(state, STATE_INITIALISING) == 0;
	leaves = !exists || strcmp(state, STATE_CLOSING) == 0 ||
		 node_is(node, "online", "0");
	/* It was removed and made anew, before we have seen that. */
	leaves |= is_new && node->registered;
	if (leaves) {
		node->leaving = node->dev != NULL;
		if (node->dev)
			guest_del(node->dev);
		else if (!exists)
			node_forget(node);
		else if (strcmp(state, STATE_CLOSING) == 0)
			node_close(node);
	} else if (node->dev || node->foreign || node->stuck) {
		return;
	} else if (is_new) {
		node_begin(node, true);
	} else if (strcmp(state, STATE_INIT_WAIT) == 0 ||
		   strcmp(state, STATE_CONNECTED) == 0) {
		node_begin(node, false);
	}
}

static struct node *xsdev_node(struct xsdev *xd, const struct xsnode_path *path)
{
	struct node *node;

	TAILQ_FOREACH(node, &xd->nodes, link)
		if (node->path.class == path->class &&
		    node->path.domid == path->domid &&
		    node->path.devid == path->devid)
			return node;
	node = calloc(1, sizeof(*node));
	if (!node) {
		log_error("d%u: out of memory", path->domid);
		return NULL;
	}
	node->xd = xd;
	node->path = *path;
	xsnode_path_print(path, xd->service->self, node->dir,
			  sizeof(node->dir));
	TAILQ_INSERT_TAIL(&xd->nodes, node, link);
	return node;
}

void xsdev_event(struct xsdev *xd, const char *path)
{
	struct xsnode_path which;
	struct node *node;

	if (!xsnode_path_parse(path, xd->service->self, &which))
		return;
	node = xsdev_node(xd, &which);
	if (node)
		node->changed = true;
}

void xsdev_look(struct xsdev *xd)
{
	struct node *node, *next;

	for (node = TAILQ_FIRST(&xd->nodes); node; node = next) {
		next = TAILQ_NEXT(node, link);
		if (!node->changed)
			continue;
		node->changed = false;
		node_look(node);
	}
}

/* ---- those that are there at the start ---- */

/* Calls @fn with "DIR/NAME" for all that is right below @dir. */
static void for_each_below(struct xsdev *xd, const char *dir,
			   void (*fn)(struct xsdev *xd, const char *path))
{
	char path[256];
	unsigned int i, count;
	char **list;

	if (xenstore_list(xd->service->host.xs, dir, &list, &count) < 0)
		return;			/* there are none */
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%.95s/%.95s", dir, list[i]);
		fn(xd, path);
	}
	free(list);
}

static void xsdev_scan_guest(struct xsdev *xd, const char *path)
{
	for_each_below(xd, path, xsdev_event);
}

int xsdev_open(struct service *s, struct xsdev **ret, char *why,
	       size_t why_len)
{
	static const char *const classes[] = { "virtio_disk", "virtio" };
	struct xsdev *xd = calloc(1, sizeof(*xd));
	char path[PATH_LEN];
	size_t i;
	int r = 0;

	if (!xd) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	xd->service = s;
	TAILQ_INIT(&xd->nodes);
	for (i = 0; i < ARRAY_SIZE(classes) && !r; i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/backend/%s",
			 s->self, classes[i]);
		r = xenstore_watch(s->host.xs, path);
		if (!r)
			for_each_below(xd, path, xsdev_scan_guest);
	}
	if (r < 0) {
		snprintf(why, why_len, "cannot watch '%s' in xenstore: %s",
			 path, strerror(-r));
		xsdev_close(xd);
		return r;
	}
	xsdev_look(xd);			/* from here on, nothing fails */
	*ret = xd;
	return 0;
}

void xsdev_close(struct xsdev *xd)
{
	struct node *node;

	if (!xd)
		return;
	while ((node = TAILQ_FIRST(&xd->nodes)))
		node_forget(node);
	free(xd);
}

/* ---- for others ---- */

static struct node *xsdev_find(const struct xsdev *xd,
			       const struct guest_dev *dev)
{
	struct node *node;

	TAILQ_FOREACH(node, &xd->nodes, link)
		if (node->dev == dev)
			return node;
	return NULL;
}

void xsdev_mark_dead(struct xsdev *xd, const struct guest_dev *dev,
		     const char *why)
{
	const struct xenstore_change change = { .key = "error", .value = why };
	struct node *node = xsdev_find(xd, dev);

	if (node)
		node_change(node, &change, 1);
}

const char *xsdev_vdev(const struct xsdev *xd, const struct guest_dev *dev)
{
	const struct node *node = xsdev_find(xd, dev);

	return node && *node->vdev ? node->vdev : NULL;
}
