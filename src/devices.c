/* SPDX-License-Identifier: MIT */
/*
 * devices.c: the table of device kinds, and how each is made.  A new kind is
 * one row here, and its keys in a file src/spec_*.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "image.h"
#include "ioreq/domain.h"
#include "log.h"
#include "netdev.h"
#include "state.h"
#include "util.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_pci.h"

struct device {
	const struct device_kind *kind;
	const struct devspec	*spec;
	uint32_t		domid;
	const char		*guest;		/* while it is opened */
	char			name[32];
	int			fd;		/* -1: none, or taken over */
	struct blk_info		blk;
	const struct blk_backend_ops *backend;
	struct netdev		*net;
	struct vdev		*vdev;
	struct virtio_pci	pci;
};

struct device_kind {
	const char	*name;		/* as in "vblk0" */

	/* Opens what needs a path.  Says why it cannot. */
	int (*open)(struct device *dev, char *why, size_t why_len);

	/* Makes dev->vdev. */
	int (*make)(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len);

	/* Ends dev->vdev; NULL is fine. */
	void (*end)(struct vdev *vdev);
};

/* Disks. */

static const struct blk_backend_ops *const blk_backends[] = {
	&blk_uring_ops,
	&blk_null_ops,
};

static const struct blk_backend_ops *blk_backend_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(blk_backends); i++)
		if (strcmp(blk_backends[i]->name, name) == 0)
			return blk_backends[i];
	return NULL;
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

static int blk_open(struct device *dev, char *why, size_t why_len)
{
	const struct devspec_blk *spec = &dev->spec->blk;
	struct image_opts opts = {
		.path		= spec->path,
		.readonly	= spec->readonly,
		.cache		= spec->cache,
		.cache_given	= spec->cache_given,
		.block_size	= spec->block_size,
		.discard	= spec->discard,
		.lock		= true,
	};

	dev->backend = blk_backend_find(spec->engine);
	if (!dev->backend) {
		snprintf(why, why_len, "engine='%s' is not in this build",
			 spec->engine);
		return -EINVAL;
	}
	if (dev->backend == &blk_null_ops) {
		blk_info_null(spec, &dev->blk);
		return 0;
	}
	return image_open(&opts, &dev->fd, &dev->blk, why, why_len);
}

static void blk_tell(const struct device *dev)
{
	static const char *const caches[] = {
		[BLK_CACHE_NONE]		= "none",
		[BLK_CACHE_WRITEBACK]		= "writeback",
		[BLK_CACHE_WRITETHROUGH]	= "writethrough",
	};
	const struct blk_info *info = &dev->blk;

	log_info("%s: '%s', %llu MiB, %u-byte blocks, cache=%s%s%s", dev->name,
		 dev->spec->blk.path ? dev->spec->blk.path : dev->backend->name,
		 (unsigned long long)info->bytes >> 20, info->block_size,
		 caches[info->cache], info->readonly ? ", read-only" : "",
		 info->can_discard && !info->readonly ? ", discard" : "");
}

static int blk_make(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len)
{
	const struct devspec_blk *spec = &dev->spec->blk;
	struct vblk_opts opts = {
		.serial		= spec->serial,
		.queues		= spec->queues,
		.queue_size	= (uint16_t)spec->queue_size,
	};
	struct blk_backend *be;
	int fd = dev->fd;
	int r;

	dev->fd = -1;
	r = dev->backend->open(env->loop, fd, &dev->blk, vblk_depth(&opts),
			       &be);
	if (r < 0) {
		snprintf(why, why_len, "engine='%s' cannot start: %s%s",
			 spec->engine, strerror(-r),
			 r == -EPERM || r == -ENOSYS ?
			 "; is io_uring switched off (sysctl kernel.io_uring_disabled)?"
			 : "");
		return r;
	}
	blk_tell(dev);
	r = vblk_open(env, be, &opts, &dev->vdev);
	if (r < 0)
		snprintf(why, why_len, "out of memory");
	return r;
}

/* Network cards. */

static int net_open(struct device *dev, char *why, size_t why_len)
{
	const struct devspec_net *spec = &dev->spec->net;
	struct netdev_opts opts = {
		.domid		= dev->domid,
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

	memcpy(opts.mac, spec->mac, sizeof(opts.mac));
	if (!spec->mac_given)
		netdev_mac(dev->guest, dev->spec->devfn, opts.mac);
	return netdev_open(&opts, &dev->net, why, why_len);
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

static void net_tell(const struct device *dev)
{
	const struct netdev_info *info = netdev_info(dev->net);
	const struct net_info *net = &info->net;
	struct words cable = { "" }, send = { "" }, recv = { "" };

	log_info("%s: %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u queue%s, offloads out %s, in %s",
		 dev->name, net_cable_words(&cable, info->ifname,
					    dev->spec->net.bridge),
		 info->mac[0], info->mac[1], info->mac[2], info->mac[3],
		 info->mac[4], info->mac[5], info->mtu, net->queues,
		 net->queues > 1 ? "s" : "",
		 net_offload_words(&send, net->send_offloads),
		 net_offload_words(&recv, net->recv_offloads));
}

static int net_make(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len)
{
	const struct net_backend_ops *ops = dev->spec->net.bridge ||
		dev->spec->net.tap ? &net_tap_ops : &net_null_ops;
	const struct netdev_info *info = netdev_info(dev->net);
	struct vnet_opts opts = {
		.mtu		= (uint16_t)info->mtu,
		.queues		= info->net.queues,
		.queue_size	= (uint16_t)dev->spec->net.queue_size,
		.send_offloads	= info->net.send_offloads,
		.recv_offloads	= info->net.recv_offloads,
	};
	struct net_events events;
	struct net_backend *be;
	int fds[NET_MAX_QUEUES];
	int r;

	net_tell(dev);
	memcpy(opts.mac, info->mac, sizeof(opts.mac));
	snprintf(why, why_len, "out of memory");
	r = vnet_open(env, &opts, &dev->vdev);
	if (r < 0)
		return r;
	events = vnet_events(dev->vdev);
	netdev_take_fds(dev->net, fds);
	r = ops->open(env->loop, ops == &net_tap_ops ? fds : NULL, &info->net,
		      &events, &be);
	if (r < 0) {
		snprintf(why, why_len, "'%s' cannot be used: %s", info->ifname,
			 strerror(-r));
		return r;
	}
	vnet_connect(dev->vdev, be);
	return 0;
}

/* THE table. */
static const struct device_kind kinds[] = {
	[DEVSPEC_BLK] = {
		.name	= "vblk",
		.open	= blk_open,
		.make	= blk_make,
		.end	= vblk_close,
	},
	[DEVSPEC_NET] = {
		.name	= "vnet",
		.open	= net_open,
		.make	= net_make,
		.end	= vnet_close,
	},
};

int device_open(const struct devspec *spec, uint32_t domid, const char *guest,
		unsigned int index, struct device **ret,
		char *why, size_t why_len)
{
	struct device *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	assert(spec->kind < ARRAY_SIZE(kinds));
	dev->kind = &kinds[spec->kind];
	dev->spec = spec;
	dev->domid = domid;
	dev->guest = guest;
	dev->fd = -1;
	snprintf(dev->name, sizeof(dev->name), "d%u %s%u", domid,
		 dev->kind->name, index);
	r = dev->kind->open(dev, why, why_len);
	if (r < 0) {
		device_close(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

void device_close(struct device *dev)
{
	if (!dev)
		return;
	device_detach(dev);
	if (dev->fd >= 0)
		close(dev->fd);
	netdev_close(dev->net);
	free(dev);
}

void device_abandon(struct device *dev)
{
	if (!dev)
		return;
	netdev_close(dev->net);
	dev->net = NULL;
}

int device_attach(struct device *dev, const struct device_env *env,
		  char *why, size_t why_len)
{
	struct vdev_env vdev_env = {
		.loop	= env->loop,
		.gm	= domain_mem(env->dom),
		.state	= env->state,
		.name	= dev->name,
		.kick_ns = domain_kick_ns(env->dom),
	};
	struct virtio_pci_env pci_env = {
		.bus	= domain_bus(env->dom),
		.irq	= domain_irq(env->dom),
		.state	= env->state,
		.devfn	= dev->spec->devfn,
		.intx	= env->intx,
		.multifunction = env->multifunction,
#if defined(__i386__) || defined(__x86_64__)
		.ports	= true,
#endif
	};
	int r;

	r = dev->kind->make(dev, &vdev_env, why, why_len);
	if (r < 0)
		return r;
	r = virtio_pci_init(&dev->pci, dev->vdev, &pci_env);
	if (r < 0) {
		snprintf(why, why_len, "Xen refuses bdf='00:%02x.%x': %s",
			 dev->spec->devfn >> 3, dev->spec->devfn & 7,
			 strerror(-r));
		return r;
	}
	log_info("%s: registered at 00:%02x.%x", dev->name,
		 dev->spec->devfn >> 3, dev->spec->devfn & 7);
	return 0;
}

void device_detach(struct device *dev)
{
	if (!dev->vdev)
		return;
	virtio_pci_fini(&dev->pci);
	dev->kind->end(dev->vdev);
	dev->vdev = NULL;
}

void device_drain(struct device *dev)
{
	if (dev->vdev)
		vdev_drain(dev->vdev);
}

bool device_is_idle(const struct device *dev)
{
	return !dev->vdev || vdev_is_idle(dev->vdev);
}

void device_give_up(struct device *dev)
{
	if (dev->vdev)
		vdev_give_up(dev->vdev);
}

bool device_shares_slot(const struct device *a, const struct device *b)
{
	return a != b && a->spec->devfn >> 3 == b->spec->devfn >> 3;
}

const char *device_name(const struct device *dev)
{
	return dev->name;
}
