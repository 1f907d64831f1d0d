/* SPDX-License-Identifier: MIT */
/*
 * command.c: see the header.
 *
 * A command finds a guest, maybe one of its devices, and answers at once, or
 * when the device is there, or gone.  Requests come from whoever may use the
 * socket, as root may; yet each field is looked at before it is used.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "config.h"
#include "control.h"
#include "devdesc.h"
#include "guest.h"
#include "log.h"
#include "service.h"
#include "state.h"
#include "stats.h"
#include "store.h"
#include "util.h"
#include "xsdev.h"

#define WHY_LEN		512

struct command {
	struct service		*s;
	struct control_call	*call;
	struct json_object	*request;
};

/* ---- JSON ---- */

static void put(struct json_object *o, const char *key, struct json_object *v)
{
	(void)json_object_object_add(o, key, v);
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	if (text)
		put(o, key, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t v)
{
	put(o, key, json_object_new_uint64(v));
}

static void put_bool(struct json_object *o, const char *key, bool v)
{
	put(o, key, json_object_new_boolean(v));
}

/* Return: the text of a key, NULL if it has none. */
static const char *get_text(const struct command *c, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(c->request, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

/* ---- a device, described ---- */

static void print_bdf(char *ret, size_t len, unsigned int devfn)
{
	snprintf(ret, len, "00:%02x.%x", devfn >> 3, devfn & 7);
}

static const char *dev_state_word(const struct guest_dev *dev)
{
	switch (guest_dev_state(dev)) {
	case GUEST_DEV_OPENING:
	case GUEST_DEV_OPENED:
	case GUEST_DEV_HANDED:
		return "opening";
	case GUEST_DEV_SERVED:
		return guest_is_dead(guest_dev_guest(dev)) ? "failed" :
		       guest_dev_has_run(dev) ? "running" : "registered";
	case GUEST_DEV_LEAVING:
	case GUEST_DEV_CLOSING:
		break;
	}
	return "leaving";
}

/* What the operator knows it by. */
static const char *dev_what(const struct guest_dev *dev)
{
	const struct devspec *spec = guest_dev_spec(dev);
	const struct devdesc *desc = guest_dev_desc(dev);

	if (spec->kind == DEVSPEC_BLK)
		return spec->blk.path ? spec->blk.path : spec->blk.engine;
	if (desc && *desc->net.ifname)
		return desc->net.ifname;
	return spec->net.bridge ? spec->net.bridge :
	       spec->net.tap ? spec->net.tap : spec->net.engine;
}

static void show_limit(struct json_object *o, const char *what,
		       const char *way, const struct blk_limit *limit)
{
	char key[16];

	snprintf(key, sizeof(key), "%s%s", what, way);
	if (limit->rate)
		put_number(o, key, limit->rate);
	snprintf(key, sizeof(key), "%s%s_max", what, way);
	if (limit->max)
		put_number(o, key, limit->max);
}

/* By the names of QEMU's options, which are ours. */
static struct json_object *show_limits(const struct blk_limits *limits)
{
	static const char *const ways[] = {
		[BLK_LIMIT_ALL]	= "",
		[BLK_LIMIT_RD]	= "_rd",
		[BLK_LIMIT_WR]	= "_wr",
	};
	struct json_object *o = json_object_new_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		show_limit(o, "iops", ways[i], &limits->iops[i]);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		show_limit(o, "bps", ways[i], &limits->bps[i]);
	return o;
}

static void show_blk(struct json_object *o, const struct guest_dev *dev,
		     const struct devdesc *desc)
{
	static const char *const caches[] = {
		[BLK_CACHE_NONE]		= "none",
		[BLK_CACHE_WRITEBACK]		= "writeback",
		[BLK_CACHE_WRITETHROUGH]	= "writethrough",
	};
	const struct blk_info *info = &desc->blk.info;

	(void)dev;
	put_number(o, "bytes", info->bytes);
	put_number(o, "block_size", info->block_size);
	put_text(o, "cache", caches[info->cache]);
	put_bool(o, "readonly", info->readonly);
	put_bool(o, "discard", info->can_discard && !info->readonly);
	put_text(o, "serial", desc->blk.serial);
	put_number(o, "queues", desc->blk.queues);
	put(o, "limits", show_limits(&desc->blk.limits));
}

static void show_net(struct json_object *o, const struct guest_dev *dev,
		     const struct devdesc *desc)
{
	const uint8_t *m = desc->net.mac;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0],
		 m[1], m[2], m[3], m[4], m[5]);
	put_text(o, "bridge", guest_dev_spec(dev)->net.bridge);
	put_text(o, "ifname", desc->net.ifname);
	put_text(o, "mac", mac);
	put_number(o, "mtu", desc->net.mtu);
	put_number(o, "queues", desc->net.info.queues);
	put_text(o, "link", guest_dev_link(dev) ? "up" : "down");
}

/* As the guest has it: numbers, whatever they are. */
static void show_driver(struct json_object *o, const struct guest_dev *dev)
{
	const struct fn_state *fn = guest_dev_fn(dev);
	struct json_object *driver;
	char features[24];

	if (!fn)
		return;
	driver = json_object_new_object();
	snprintf(features, sizeof(features), "%#llx",
		 (unsigned long long)fn->vdev.driver_features);
	put_number(driver, "status", fn->vdev.status);
	put_text(driver, "features", features);
	put(o, "driver", driver);
}

static struct json_object *describe(struct service *s,
				    const struct guest_dev *dev, bool all)
{
	static const char *const kinds[] = {
		[DEVSPEC_BLK] = "blk", [DEVSPEC_NET] = "net",
	};
	const struct devdesc *desc = guest_dev_desc(dev);
	const struct devspec *spec = guest_dev_spec(dev);
	struct json_object *o = json_object_new_object();
	char bdf[16];

	print_bdf(bdf, sizeof(bdf), spec->devfn);
	put_text(o, "name", guest_dev_name(dev));
	put_text(o, "kind", kinds[spec->kind]);
	put_text(o, "bdf", bdf);
	put_text(o, "state", dev_state_word(dev));
	put_text(o, "origin", guest_dev_origin(dev));
	put_text(o, "vdev", xsdev_vdev(s->xsdev, dev));
	put_text(o, "what", dev_what(dev));
	if (!all || !desc)
		return o;
	if (spec->kind == DEVSPEC_BLK)
		show_blk(o, dev, desc);
	else
		show_net(o, dev, desc);
	show_driver(o, dev);
	return o;
}

/* ---- which guest, which device ---- */

static bool is_domid(const char *who, uint32_t domid)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", domid);
	return strcmp(who, text) == 0;
}

/* Return: one that we serve, or NULL. */
static struct service_guest *find_served(struct service *s, const char *who)
{
	struct service_guest *sg;

	for (sg = s->guests; sg; sg = sg->next)
		if (is_domid(who, guest_domid(sg->guest)) ||
		    strcmp(guest_name(sg->guest), who) == 0)
			return sg;
	return NULL;
}

/* Return: NULL, and the call was refused. */
static struct service_guest *need_guest(struct command *c)
{
	const char *who = get_text(c, "guest");
	struct service_guest *sg = who ? find_served(c->s, who) : NULL;

	if (!who)
		control_refuse(c->call, "guest is missing: use its name or ID");
	else if (!sg)
		control_refuse(c->call, "guest '%s': it has no devices here; 'xen-virtioctl list' shows those that have",
			       who);
	return sg;
}

static bool dev_is(struct service *s, const struct guest_dev *dev,
		   const char *which)
{
	const char *vdev = xsdev_vdev(s->xsdev, dev);
	char bdf[16];

	print_bdf(bdf, sizeof(bdf), guest_dev_spec(dev)->devfn);
	return strcmp(which, guest_dev_name(dev)) == 0 ||
	       strcmp(which, bdf) == 0 || (vdev && strcmp(which, vdev) == 0);
}

static struct guest_dev *find_dev(struct service *s, struct service_guest *sg,
				  const char *which)
{
	struct guest_dev *dev = guest_first(sg->guest);

	while (dev && !dev_is(s, dev, which))
		dev = guest_next(dev);
	return dev;
}

/* Return: NULL, and the call was refused. */
static struct guest_dev *need_dev(struct command *c)
{
	const char *which = get_text(c, "device");
	struct service_guest *sg;
	struct guest_dev *dev;

	if (!which) {
		control_refuse(c->call, "device is missing: use its name, address or vdev, as in vblk0, 00:18.0 or xvdg");
		return NULL;
	}
	sg = need_guest(c);
	if (!sg)
		return NULL;
	dev = find_dev(c->s, sg, which);
	if (!dev)
		control_refuse(c->call, "device '%s': guest '%s' has none of this name, address or vdev; 'xen-virtioctl list %s' shows what it has",
			       which, guest_name(sg->guest),
			       guest_name(sg->guest));
	return dev;
}

/* ---- list, show, stats ---- */

typedef struct json_object *(*describe_fn)(struct service *s,
					   const struct guest_dev *dev);

static struct json_object *describe_short(struct service *s,
					  const struct guest_dev *dev)
{
	return describe(s, dev, false);
}

static struct json_object *describe_whole(struct service *s,
					  const struct guest_dev *dev)
{
	return describe(s, dev, true);
}

static struct json_object *describe_worker(const struct guest *g)
{
	struct json_object *o = json_object_new_object();
	pid_t pid = guest_worker(g);

	if (pid)
		put_number(o, "pid", (uint64_t)pid);
	put_text(o, "state", guest_is_dead(g) ? "dead" :
		 pid ? "running" : "starting");
	return o;
}

/* @which: NULL, or of that device alone. */
static struct json_object *describe_guest(struct service *s,
					  const struct service_guest *sg,
					  const struct guest_dev *which,
					  describe_fn fn)
{
	struct json_object *o = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	const struct guest_dev *dev;

	put_number(o, "domid", guest_domid(sg->guest));
	put_text(o, "name", guest_name(sg->guest));
	put_text(o, "type", guest_is_pvh(sg->guest) ? "pvh" : "hvm");
	put(o, "worker", describe_worker(sg->guest));
	for (dev = guest_first(sg->guest); dev; dev = guest_next(dev))
		if (!which || dev == which)
			json_object_array_add(devices, fn(s, dev));
	put(o, "devices", devices);
	return o;
}

static void answer_guests(struct command *c, const struct service_guest *only,
			  const struct guest_dev *which, describe_fn fn)
{
	struct json_object *o = json_object_new_object();
	struct json_object *guests = json_object_new_array();
	const struct service_guest *sg;

	for (sg = c->s->guests; sg; sg = sg->next)
		if (!only || sg == only)
			json_object_array_add(guests, describe_guest(c->s, sg,
								     which, fn));
	put(o, "guests", guests);
	control_answer(c->call, o);
}

static void command_list(struct command *c)
{
	struct service_guest *sg = NULL;

	if (get_text(c, "guest")) {
		sg = need_guest(c);
		if (!sg)
			return;
	}
	answer_guests(c, sg, NULL, describe_short);
}

/* Of a guest, and maybe of one device. */
static void answer_some(struct command *c, describe_fn fn)
{
	struct guest_dev *dev = NULL;
	struct service_guest *sg;

	sg = need_guest(c);
	if (!sg)
		return;
	if (get_text(c, "device")) {
		dev = need_dev(c);
		if (!dev)
			return;
	}
	answer_guests(c, sg, dev, fn);
}

static void command_show(struct command *c)
{
	answer_some(c, describe_whole);
}

static struct json_object *describe_stats(struct service *s,
					  const struct guest_dev *dev)
{
	const struct devspec *spec = guest_dev_spec(dev);
	const struct fn_state *fn = guest_dev_fn(dev);
	struct json_object *o = json_object_new_object();
	struct json_object *stats = json_object_new_object();
	struct stat_value values[STATS_MAX];
	int i, n = 0;
	char bdf[16];

	(void)s;
	print_bdf(bdf, sizeof(bdf), spec->devfn);
	put_text(o, "name", guest_dev_name(dev));
	put_text(o, "bdf", bdf);
	if (fn)
		n = stats_read(spec->kind, fn, values, ARRAY_SIZE(values));
	for (i = 0; i < n; i++)
		put_number(stats, values[i].name, values[i].value);
	put(o, "stats", stats);
	return o;
}

/* Of all guests, if none is named. */
static void command_stats(struct command *c)
{
	if (get_text(c, "guest"))
		answer_some(c, describe_stats);
	else
		answer_guests(c, NULL, NULL, describe_stats);
}

/* ---- attach and detach ---- */

/* A device that came this way; it lives as long as the device. */
struct attached {
	struct service		*s;
	struct service_guest	*sg;
	struct control_call	*call;		/* NULL: answered */
};

static void attached_answer(struct attached *a, const struct guest_dev *dev)
{
	struct json_object *o = json_object_new_object();

	put(o, "device", describe(a->s, dev, true));
	control_answer(a->call, o);
	a->call = NULL;
}

static void attached_on_news(void *arg, const struct guest_dev_news *news)
{
	struct attached *a = arg;

	switch (news->event) {
	case GUEST_DEV_ADDED:
		guest_dev_tell(news->dev);
		attached_answer(a, news->dev);
		break;
	case GUEST_DEV_RUNNING:
		break;
	case GUEST_DEV_FAILED:
		control_refuse(a->call, "%s", news->why);
		/* fall through */
	case GUEST_DEV_REMOVED:
		service_drop_if_empty(a->sg);
		free(a);
		break;
	}
}

/* Also of a guest that has no devices yet.  Return: 0, or -errno with @why. */
static int attach_guest(struct command *c, struct service_guest **ret,
			char *why, size_t why_len)
{
	const char *who = get_text(c, "guest");
	uint32_t domid;
	int r;

	if (!who) {
		snprintf(why, why_len, "guest is missing: use its name or ID");
		return -EINVAL;
	}
	*ret = find_served(c->s, who);
	if (*ret)
		return 0;
	r = xenstore_find(c->s->host.xs, who, &domid);
	if (r == 0)
		return service_guest(c->s, domid, ret, why, why_len);
	snprintf(why, why_len, "guest '%s': %s", who, r == -ENOENT ?
		 "no such guest; 'xl list' shows those there are" :
		 r == -ENOTUNIQ ?
		 "several guests have this name, give the ID" : strerror(-r));
	return r;
}

static int attach(struct command *c, struct attached *a, char *why,
		  size_t why_len)
{
	const char *text = get_text(c, "device");
	struct guest_dev *dev;
	struct devspec spec;
	int r;

	if (!text) {
		snprintf(why, why_len, "device is missing: use blk,path=FILE or alike");
		return -EINVAL;
	}
	r = config_attach(c->s->config, text, &spec, why, why_len);
	if (!r)
		r = attach_guest(c, &a->sg, why, why_len);
	else
		return r;
	if (r < 0) {
		devspec_fini(&spec);
		return r;
	}
	r = guest_add(a->sg->guest, &spec, "attach", attached_on_news, a, &dev,
		      why, why_len);
	if (r < 0)
		service_drop_if_empty(a->sg);
	return r;
}

static void command_attach(struct command *c)
{
	struct attached *a = calloc(1, sizeof(*a));
	char why[WHY_LEN] = "out of memory";

	if (a) {
		a->s = c->s;
		a->call = c->call;
	}
	if (a && attach(c, a, why, sizeof(why)) == 0)
		return;
	free(a);
	control_refuse(c->call, "%s", why);
}

static void on_detached(void *arg)
{
	control_answer(arg, NULL);
}

static void command_detach(struct command *c)
{
	struct guest_dev *dev = need_dev(c);

	if (!dev)
		return;
	if (guest_dev_when_gone(dev, on_detached, c->call) < 0) {
		control_refuse(c->call, "device '%s' is being taken away already",
			       guest_dev_name(dev));
		return;
	}
	guest_del(dev);
}

/* ---- the rest ---- */

static void command_link(struct command *c)
{
	struct guest_dev *dev;
	struct json_object *up;

	if (!json_object_object_get_ex(c->request, "up", &up) ||
	    !json_object_is_type(up, json_type_boolean)) {
		control_refuse(c->call, "up is missing: use true or false");
		return;
	}
	dev = need_dev(c);
	if (!dev)
		return;
	if (guest_dev_spec(dev)->kind != DEVSPEC_NET) {
		control_refuse(c->call, "device '%s' is a disk, and has no cable",
			       guest_dev_name(dev));
		return;
	}
	guest_dev_set_link(dev, json_object_get_boolean(up));
	control_answer(c->call, NULL);
}

static void command_resize(struct command *c)
{
	struct json_object *size, *o;
	struct guest_dev *dev;
	char why[WHY_LEN];
	uint64_t bytes = 0;

	if (json_object_object_get_ex(c->request, "size", &size)) {
		bytes = json_object_get_uint64(size);
		if (!json_object_is_type(size, json_type_int) || bytes == 0) {
			control_refuse(c->call, "size: use a number of bytes");
			return;
		}
	}
	dev = need_dev(c);
	if (!dev)
		return;
	if (guest_dev_resize(dev, bytes, &bytes, why, sizeof(why)) < 0) {
		control_refuse(c->call, "device '%s': %s", guest_dev_name(dev),
			       why);
		return;
	}
	o = json_object_new_object();
	put_number(o, "bytes", bytes);
	control_answer(c->call, o);
}

static void command_reload(struct command *c)
{
	char why[WHY_LEN];

	if (service_reload(c->s, why, sizeof(why)) < 0)
		control_refuse(c->call, "%s", why);
	else
		control_answer(c->call, NULL);
}

static const struct {
	const char	*name;
	void		(*fn)(struct command *c);
} commands[] = {
	{ "list", command_list },
	{ "show", command_show },
	{ "stats", command_stats },
	{ "attach", command_attach },
	{ "detach", command_detach },
	{ "link", command_link },
	{ "resize", command_resize },
	{ "reload", command_reload },
};

void command_handle(void *arg, struct control_call *call,
		    struct json_object *request)
{
	struct command c = { .s = arg, .call = call, .request = request };
	const char *name = get_text(&c, "command");
	size_t i;

	if (c.s->stopping) {
		control_refuse(call, "xen-virtiod is about to end");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			break;
	if (i < ARRAY_SIZE(commands))
		commands[i].fn(&c);
	else
		control_refuse(call, "this xen-virtiod has no command '%s'",
			       name);
}
