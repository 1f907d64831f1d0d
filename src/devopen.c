/* SPDX-License-Identifier: MIT */
/*
 * devopen.c: how each kind of device is found and taken.  A new kind is one
 * row here, one in devices.c, and its keys in a file src/spec_*.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devopen.h"
#include "image.h"
#include "log.h"
#include "netdev.h"
#include "util.h"

struct devopen {
	const struct devspec	*spec;
	const char		*guest;		/* while it is opened */
	struct devdesc		desc;
	int			fd;		/* -1: none, or taken over */
	int			image;		/* the same, kept; -1: none */
	struct netdev		*net;
};

struct devopen_kind {
	const char	*name;		/* as in "vblk0" */

	/* Fills in dev->desc.  Says why it cannot. */
	int (*open)(struct devopen *dev, char *why, size_t why_len);

	unsigned int (*take_fds)(struct devopen *dev, int *ret);

	void (*tell)(const struct devopen *dev, const char *name);
};

/* Disks. */

static bool is_null(const char *engine)
{
	return strcmp(engine, "null") == 0;
}

/* A disk without an image: all that is to be known is in the spec. */
static void blk_info_null(const struct devspec_blk *spec,
			  struct blk_info *ret)
{
	uint32_t block = spec->block_size ? spec->block_size : 512;

	*ret = (struct blk_info){
		.bytes			= spec->size & ~(uint64_t)(block - 1),
		.block_size		= block,
		.physical_size		= block,
		.discard_align		= block,
		.buf_align		= 1,
		.cache			= spec->cache_given ? spec->cache :
					  BLK_CACHE_WRITEBACK,
		.readonly		= spec->readonly,
		.can_discard		= spec->discard != 0,
		.can_write_zeroes	= true,
	};
}

static int blk_open(struct devopen *dev, char *why, size_t why_len)
{
	const struct devspec_blk *spec = &dev->spec->blk;
	struct devdesc_blk *desc = &dev->desc.blk;
	struct image_opts opts = {
		.path		= spec->path,
		.readonly	= spec->readonly,
		.cache		= spec->cache,
		.cache_given	= spec->cache_given,
		.block_size	= spec->block_size,
		.discard	= spec->discard,
		.lock		= true,
	};
	int r;

	snprintf(desc->engine, sizeof(desc->engine), "%s", spec->engine);
	snprintf(desc->serial, sizeof(desc->serial), "%s",
		 spec->serial ? spec->serial : "");
	desc->queues = spec->queues;
	desc->queue_size = spec->queue_size;
	desc->limits = spec->limits;
	desc->grants_map = spec->grants_map;
	if (is_null(spec->engine)) {
		blk_info_null(spec, &desc->info);
		return 0;
	}
	r = image_open(&opts, &dev->fd, &desc->info, why, why_len);
	if (r < 0)
		return r;
	/* Of one open file: its locks stay as long as there is one of them. */
	dev->image = fcntl(dev->fd, F_DUPFD_CLOEXEC, 0);
	if (dev->image >= 0)
		return 0;
	r = -errno;
	snprintf(why, why_len, "path='%s' cannot be kept: %s", spec->path,
		 strerror(-r));
	return r;
}

static unsigned int blk_take_fds(struct devopen *dev, int *ret)
{
	if (dev->fd < 0)
		return 0;
	ret[0] = dev->fd;
	dev->fd = -1;
	return 1;
}

static void blk_tell(const struct devopen *dev, const char *name)
{
	static const char *const caches[] = {
		[BLK_CACHE_NONE]		= "none",
		[BLK_CACHE_WRITEBACK]		= "writeback",
		[BLK_CACHE_WRITETHROUGH]	= "writethrough",
	};
	const struct blk_info *info = &dev->desc.blk.info;

	log_info("%s: '%s', %llu MiB, %u-byte blocks, cache=%s%s%s", name,
		 dev->spec->blk.path ? dev->spec->blk.path :
		 dev->desc.blk.engine,
		 (unsigned long long)info->bytes >> 20, info->block_size,
		 caches[info->cache], info->readonly ? ", read-only" : "",
		 info->can_discard && !info->readonly ? ", discard" : "");
}

/* Network cards. */

static void net_describe(struct devopen *dev)
{
	const struct devspec_net *spec = &dev->spec->net;
	const struct netdev_info *info = netdev_info(dev->net);
	struct devdesc_net *desc = &dev->desc.net;

	snprintf(desc->engine, sizeof(desc->engine), "%s",
		 spec->bridge || spec->tap ? "tap" : "null");
	_Static_assert(sizeof(desc->ifname) == sizeof(info->ifname), "names");
	memcpy(desc->ifname, info->ifname, sizeof(desc->ifname));
	memcpy(desc->mac, info->mac, sizeof(desc->mac));
	desc->mtu = info->mtu;
	desc->queue_size = spec->queue_size;
	desc->info = info->net;
}

static int net_open(struct devopen *dev, char *why, size_t why_len)
{
	const struct devspec_net *spec = &dev->spec->net;
	struct netdev_opts opts = {
		.domid		= dev->desc.domid,
		.devfn		= dev->spec->devfn,
		.bridge		= spec->bridge,
		.tap		= spec->tap,
		.script		= spec->script,
		.downscript	= spec->downscript,
		.ifname		= spec->ifname,
		.persist	= spec->persist,
		.mac_given	= spec->mac_given,
		.mtu		= spec->mtu,
		.wanted		= {
			.queues		= spec->queues,
			.send_offloads	= spec->send_offloads,
			.recv_offloads	= spec->recv_offloads,
			.rate_bytes	= spec->rate_bytes,
			.rate_burst_us	= spec->rate_usecs,
		},
	};
	int r;

	memcpy(opts.mac, spec->mac, sizeof(opts.mac));
	if (!spec->mac_given)
		netdev_mac(dev->guest, dev->spec->devfn, opts.mac);
	r = netdev_open(&opts, &dev->net, why, why_len);
	if (!r)
		net_describe(dev);
	return r;
}

static unsigned int net_take_fds(struct devopen *dev, int *ret)
{
	if (is_null(dev->desc.net.engine))
		return 0;
	netdev_take_fds(dev->net, ret);
	return dev->desc.net.info.queues;
}

struct words {
	char	text[64];
};

static const char *net_offload_words(struct words *w, unsigned int offloads)
{
	snprintf(w->text, sizeof(w->text), "%s%s%s%s",
		 offloads & NET_CSUM ? "csum" : "none",
		 offloads & (NET_TSO4 | NET_TSO6) ? "+tso" : "",
		 offloads & NET_TSO_ECN ? "+ecn" : "",
		 offloads & (NET_USO4 | NET_USO6) ? "+uso" : "");
	return w->text;
}

static const char *net_cable_words(struct words *w, const char *ifname,
				   const char *bridge)
{
	if (!*ifname)
		return "no cable";
	snprintf(w->text, sizeof(w->text), "'%s'%s%.15s%s", ifname,
		 bridge ? " in bridge '" : "", bridge ? bridge : "",
		 bridge ? "'" : "");
	return w->text;
}

static void net_tell(const struct devopen *dev, const char *name)
{
	const struct devdesc_net *desc = &dev->desc.net;
	const struct net_info *net = &desc->info;
	struct words cable = { "" }, send = { "" }, recv = { "" };

	log_info("%s: %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u queue%s, offloads out %s, in %s",
		 name, net_cable_words(&cable, desc->ifname,
				       dev->spec->net.bridge),
		 desc->mac[0], desc->mac[1], desc->mac[2], desc->mac[3],
		 desc->mac[4], desc->mac[5], desc->mtu, net->queues,
		 net->queues > 1 ? "s" : "",
		 net_offload_words(&send, net->send_offloads),
		 net_offload_words(&recv, net->recv_offloads));
}

static const struct devopen_kind kinds[] = {
	[DEVSPEC_BLK] = {
		.name		= "vblk",
		.open		= blk_open,
		.take_fds	= blk_take_fds,
		.tell		= blk_tell,
	},
	[DEVSPEC_NET] = {
		.name		= "vnet",
		.open		= net_open,
		.take_fds	= net_take_fds,
		.tell		= net_tell,
	},
};

int devopen_open(const struct devspec *spec, uint32_t domid, const char *guest,
		 unsigned int index, struct devopen **ret, char *why,
		 size_t why_len)
{
	struct devopen *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	assert(spec->kind < ARRAY_SIZE(kinds));
	dev->spec = spec;
	dev->guest = guest;
	dev->fd = dev->image = -1;
	dev->desc.kind = spec->kind;
	dev->desc.domid = domid;
	dev->desc.index = index;
	dev->desc.devfn = spec->devfn;
	dev->desc.ecam = spec->ecam;
	dev->desc.mmio = spec->mmio;
	r = kinds[spec->kind].open(dev, why, why_len);
	if (r < 0) {
		devopen_close(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

void devopen_close(struct devopen *dev)
{
	if (!dev)
		return;
	if (dev->fd >= 0)
		close(dev->fd);
	if (dev->image >= 0)
		close(dev->image);
	netdev_close(dev->net);
	free(dev);
}

const struct devdesc *devopen_desc(const struct devopen *dev)
{
	return &dev->desc;
}

unsigned int devopen_take_fds(struct devopen *dev, int ret[DEVDESC_MAX_FDS])
{
	return kinds[dev->desc.kind].take_fds(dev, ret);
}

/* A guest does not forgive a disk that loses its end. */
int devopen_grow(struct devopen *dev, uint64_t bytes, uint64_t *ret,
		 char *why, size_t why_len)
{
	struct blk_info *info = &dev->desc.blk.info;
	uint64_t now;
	int r;

	if (dev->image < 0) {
		snprintf(why, why_len, "it has no image");
		return -EINVAL;
	}
	if (bytes && (bytes < info->bytes || bytes % info->block_size)) {
		snprintf(why, why_len, "size='%llu': use a multiple of %u, and no less than the %llu bytes that it has",
			 (unsigned long long)bytes, info->block_size,
			 (unsigned long long)info->bytes);
		return -EINVAL;
	}
	r = image_grow(dev->image, bytes, &now);
	now = ALIGN_DOWN(now, (uint64_t)info->block_size);
	if (r == 0 && now < info->bytes)
		r = -ERANGE;
	if (r < 0) {
		snprintf(why, why_len, "path='%s': %s", dev->spec->blk.path,
			 r == -ENOTBLK ? "a block device has the size it has; make it grow, and leave size out" :
			 r == -ERANGE ? "the image has become shorter" :
			 strerror(-r));
		return r;
	}
	info->bytes = now;
	*ret = now;
	return 0;
}

enum netdev_link devopen_link(const struct devopen *dev)
{
	return dev->net ? netdev_link(dev->net) : NETDEV_UP;
}

const char *devopen_kind_name(enum devspec_kind kind)
{
	return kinds[kind].name;
}

void devopen_tell(const struct devopen *dev)
{
	const struct devopen_kind *kind = &kinds[dev->desc.kind];
	char name[32];

	snprintf(name, sizeof(name), "d%u %s%u", dev->desc.domid, kind->name,
		 dev->desc.index);
	kind->tell(dev, name);
}
