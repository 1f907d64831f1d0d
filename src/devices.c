/* SPDX-License-Identifier: MIT */
/*
 * devices.c: the table of device kinds, and how each is made.  A new kind is
 * one row here, one in devopen.c, and its keys in a file src/spec_*.c.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "ioreq/domain.h"
#include "log.h"
#include "state.h"
#include "util.h"
#include "virtio/mmio_none.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_pci.h"

struct device {
	const struct device_kind *kind;
	struct devdesc		desc;
	char			name[32];
	int			fds[DEVDESC_MAX_FDS];
	unsigned int		nfds;		/* 0: none, or taken over */
	struct vdev		*vdev;
	struct virtio_pci	pci;
	struct mmio_none	none;		/* in place of desc.mmio */
	void			(*running)(void *arg, struct device *dev);
	void			*running_arg;
};

struct device_kind {
	const char	*name;		/* as in "vblk0" */

	/* Makes dev->vdev; the descriptors are the backend's from then on. */
	int (*make)(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len);

	/* Ends dev->vdev; NULL is fine. */
	void (*end)(struct vdev *vdev);

	/* Optional: for disks and for cards, while it is attached. */
	int (*resize)(struct vdev *vdev, uint64_t bytes);
	void (*set_link)(struct vdev *vdev, bool up);
};

/* Disks. */

static void blk_refuse(const char *engine, int err, char *why, size_t why_len)
{
	snprintf(why, why_len, "engine='%s' cannot start: %s%s", engine,
		 err == -EMFILE ? "the guest has all the disks that it can have" :
		 strerror(-err), err == -EPERM || err == -ENOSYS ?
		 "; is io_uring switched off (sysctl kernel.io_uring_disabled)?"
		 : "");
}

static const struct blk_backend_ops *const blk_backends[] = {
	&blk_uring_ops,
	&blk_null_ops,
};

/* So many of each: nobody knows yet which it will be. */
int devices_reserve(unsigned int count, char *why, size_t why_len)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(blk_backends) && !r; i++) {
		if (!blk_backends[i]->reserve)
			continue;
		r = blk_backends[i]->reserve(count);
		if (r < 0)
			blk_refuse(blk_backends[i]->name, r, why, why_len);
	}
	return r;
}

void devices_unreserve(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(blk_backends); i++)
		if (blk_backends[i]->unreserve)
			blk_backends[i]->unreserve();
}

static const struct blk_backend_ops *blk_backend_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(blk_backends); i++)
		if (strcmp(blk_backends[i]->name, name) == 0)
			return blk_backends[i];
	return NULL;
}

static bool blk_is_limited(const struct blk_limits *limits)
{
	unsigned int i;

	for (i = 0; i < BLK_LIMIT_WAYS; i++)
		if (limits->iops[i].rate || limits->bps[i].rate)
			return true;
	return false;
}

static int blk_make(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len)
{
	const struct devdesc_blk *desc = &dev->desc.blk;
	const struct blk_backend_ops *ops = blk_backend_find(desc->engine);
	struct vblk_opts opts = {
		.serial		= *desc->serial ? desc->serial : NULL,
		.queues		= desc->queues,
		.queue_size	= (uint16_t)desc->queue_size,
		.limits		= blk_is_limited(&desc->limits) ?
				  &desc->limits : NULL,
		.grants_map	= desc->grants_map,
	};
	struct blk_backend *be;
	int fd = dev->nfds ? dev->fds[0] : -1;
	int r;

	if (!ops) {
		snprintf(why, why_len, "engine='%s' is not in this build",
			 desc->engine);
		return -EINVAL;
	}
	dev->nfds = 0;
	r = ops->open(env->loop, fd, &desc->info, vblk_depth(&opts), &be);
	if (r < 0) {
		blk_refuse(desc->engine, r, why, why_len);
		return r;
	}
	r = vblk_open(env, be, &opts, &dev->vdev);
	if (r < 0)
		snprintf(why, why_len, "out of memory");
	return r;
}

/* Network cards. */

static const struct net_backend_ops *const net_backends[] = {
	&net_tap_ops,
	&net_null_ops,
};

static const struct net_backend_ops *net_backend_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(net_backends); i++)
		if (strcmp(net_backends[i]->name, name) == 0)
			return net_backends[i];
	return NULL;
}

static int net_make(struct device *dev, const struct vdev_env *env, char *why,
		    size_t why_len)
{
	const struct devdesc_net *desc = &dev->desc.net;
	const struct net_backend_ops *ops = net_backend_find(desc->engine);
	struct vnet_opts opts = {
		.mtu		= (uint16_t)desc->mtu,
		.queues		= desc->info.queues,
		.queue_size	= (uint16_t)desc->queue_size,
		.send_offloads	= desc->info.send_offloads,
		.recv_offloads	= desc->info.recv_offloads,
	};
	struct net_events events;
	struct net_backend *be;
	unsigned int nfds = dev->nfds;
	int r;

	if (!ops) {
		snprintf(why, why_len, "engine='%s' is not in this build",
			 desc->engine);
		return -EINVAL;
	}
	memcpy(opts.mac, desc->mac, sizeof(opts.mac));
	snprintf(why, why_len, "out of memory");
	r = vnet_open(env, &opts, &dev->vdev);
	if (r < 0)
		return r;
	events = vnet_events(dev->vdev);
	dev->nfds = 0;
	r = ops->open(env->loop, nfds ? dev->fds : NULL, &desc->info, &events,
		      &be);
	if (r < 0) {
		snprintf(why, why_len, "'%s' cannot be used: %s", desc->ifname,
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
		.make	= blk_make,
		.end	= vblk_close,
		.resize	= vblk_resize,
	},
	[DEVSPEC_NET] = {
		.name		= "vnet",
		.make		= net_make,
		.end		= vnet_close,
		.set_link	= vnet_set_link,
	},
};

int device_new(const struct devdesc *desc, const int *fds, unsigned int nfds,
	       struct device **ret)
{
	struct device *dev = calloc(1, sizeof(*dev));
	unsigned int i;

	assert(devdesc_check(desc, nfds) == 0);
	assert(desc->kind < ARRAY_SIZE(kinds));
	for (i = 0; !dev && i < nfds; i++)
		close(fds[i]);
	if (!dev)
		return -ENOMEM;
	dev->kind = &kinds[desc->kind];
	dev->desc = *desc;
	for (i = 0; i < nfds; i++)
		dev->fds[i] = fds[i];
	dev->nfds = nfds;
	snprintf(dev->name, sizeof(dev->name), "d%u %s%u", desc->domid,
		 dev->kind->name, desc->index);
	*ret = dev;
	return 0;
}

void device_free(struct device *dev)
{
	unsigned int i;

	if (!dev)
		return;
	device_detach(dev);
	for (i = 0; i < dev->nfds; i++)
		close(dev->fds[i]);
	free(dev);
}

static void device_on_running(void *arg)
{
	struct device *dev = arg;

	if (dev->running)
		dev->running(dev->running_arg, dev);
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
		.running = device_on_running,
		.running_arg = dev,
	};
	struct virtio_pci_env pci_env = {
		.bus	= domain_bus(env->dom),
		.irq	= domain_irq(env->dom),
		.state	= env->state,
		.devfn	= dev->desc.devfn,
		.intx	= domain_has_intx(env->dom),
		.multifunction = env->multifunction,
		.ports	= domain_has_ports(env->dom),
		.ecam	= dev->desc.ecam ?
			  domain_ecam(env->dom, dev->desc.devfn) : 0,
	};
	int r;

	dev->running = env->running;
	dev->running_arg = env->arg;
	if (dev->desc.ecam && !pci_env.ecam) {
		snprintf(why, why_len, "pci-config='ecam': only guests on Arm have Xen's ECAM window; leave it out");
		return -EOPNOTSUPP;
	}
	r = dev->kind->make(dev, &vdev_env, why, why_len);
	if (r < 0)
		return r;
	if (dev->desc.mmio)
		r = mmio_none_init(&dev->none, pci_env.bus, dev->desc.mmio);
	if (r < 0) {
		snprintf(why, why_len, "Xen refuses the virtio-mmio window at %#" PRIx64 ": %s",
			 dev->desc.mmio, strerror(-r));
		return r;
	}
	r = virtio_pci_init(&dev->pci, dev->vdev, &pci_env);
	if (r < 0) {
		snprintf(why, why_len, "Xen refuses bdf='00:%02x.%x': %s",
			 dev->desc.devfn >> 3, dev->desc.devfn & 7,
			 strerror(-r));
		return r;
	}
	log_info("%s: registered at 00:%02x.%x", dev->name,
		 dev->desc.devfn >> 3, dev->desc.devfn & 7);
	return 0;
}

void device_detach(struct device *dev)
{
	if (!dev->vdev)
		return;
	virtio_pci_fini(&dev->pci);
	mmio_none_fini(&dev->none);
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

int device_resize(struct device *dev, uint64_t bytes)
{
	int r;

	if (!dev->kind->resize)
		return -EOPNOTSUPP;
	if (!dev->vdev)
		return -ENODEV;
	r = dev->kind->resize(dev->vdev, bytes);
	if (!r)
		dev->desc.blk.info.bytes = bytes;
	return r;
}

int device_set_link(struct device *dev, bool up)
{
	if (!dev->kind->set_link)
		return -EOPNOTSUPP;
	if (!dev->vdev)
		return -ENODEV;
	dev->kind->set_link(dev->vdev, up);
	return 0;
}

bool device_shares_slot(const struct device *a, const struct device *b)
{
	return a != b && a->desc.devfn >> 3 == b->desc.devfn >> 3;
}

void device_set_multifunction(struct device *dev)
{
	if (dev->vdev)
		virtio_pci_set_multifunction(&dev->pci);
}

unsigned int device_index(const struct device *dev)
{
	return dev->desc.index;
}

const char *device_name(const struct device *dev)
{
	return dev->name;
}
