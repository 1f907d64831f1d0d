/* SPDX-License-Identifier: MIT */
/*
 * vdev.c: the device status machine.  The header explains it.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/virtio_config.h>

#include "trace.h"
#include "vdev.h"
#include "virtio_pci.h"

void vdev_init(struct vdev *vdev, const struct vdev_env *env)
{
	unsigned int i;

	assert(vdev->nqueues && vdev->nqueues <= STATE_MAX_QUEUES);
	vdev->st = &env->state->vdev;
	vdev->stats = &env->state->stats;
	*vdev->stats = (struct fn_stats){ 0 };
	vdev->gm = env->gm;
	vdev->serves = guest_mem_serves(env->gm);
	vdev->loop = env->loop;
	vdev->kick_ns = env->kick_ns;
	vdev->running = env->running;
	vdev->running_arg = env->running_arg;
	snprintf(vdev->name, sizeof(vdev->name), "%s", env->name);
	vdev->features |= 1ull << VIRTIO_F_VERSION_1 |
			  1ull << VIRTIO_F_ACCESS_PLATFORM |
			  1ull << VIRTIO_F_RING_RESET |
			  1ull << VIRTIO_RING_F_INDIRECT_DESC |
			  1ull << VIRTIO_RING_F_EVENT_IDX;
	vdev->st->config_vector = VDEV_NO_VECTOR;
	for (i = 0; i < vdev->nqueues; i++) {
		vq_init(&vdev->vq[i], vdev, &env->state->vq[i], i);
		vq_reset_state(&vdev->vq[i]);
	}
}

void vdev_fini(struct vdev *vdev)
{
	unsigned int i;

	for (i = 0; i < vdev->nqueues; i++) {
		loop_defer_cancel(&vdev->vq[i].kick_work);
		loop_defer_cancel(&vdev->vq[i].flush_work);
		guest_mem_wait_cancel(vdev->gm, &vdev->vq[i].room);
		vq_unmap(&vdev->vq[i]);
	}
}

bool vdev_is_broken(const struct vdev *vdev)
{
	return vdev->st->status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

bool vdev_is_running(const struct vdev *vdev)
{
	return (vdev->st->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !vdev_is_broken(vdev) && !vdev->st->resetting;
}

int vdev_broken(struct vdev *vdev, const char *fmt, ...)
{
	char what[160];
	unsigned int i;
	va_list ap;

	if (log_limit_ok(&vdev->limit, vdev->name)) {
		va_start(ap, fmt);
		vsnprintf(what, sizeof(what), fmt, ap);
		va_end(ap);
		log_warn("%s: the guest's driver did wrong, the device stops until it is reset: %s",
			 vdev->name, what);
	}
	if (vdev_is_broken(vdev))
		return -EPROTO;
	vdev->st->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	for (i = 0; i < vdev->nqueues; i++)
		vdev->vq[i].dead = true;
	if (vdev->st->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev_config_changed(vdev);
	return -EPROTO;
}

void vdev_config_changed(struct vdev *vdev)
{
	vdev->st->config_generation++;
	virtio_pci_config_interrupt(vdev->pci);
}

void vdev_config_update(struct vdev *vdev, bool driver_asks)
{
	if (driver_asks && vdev_is_running(vdev))
		vdev_config_changed(vdev);
	else
		vdev->st->config_generation++;
}

void vdev_interrupt(struct vdev *vdev, struct vq *vq)
{
	virtio_pci_queue_interrupt(vdev->pci, vq->st->vector);
}

/* All queues are idle: the device is as new. */
static void vdev_reset_done(struct vdev *vdev)
{
	unsigned int i;

	for (i = 0; i < vdev->nqueues; i++) {
		vq_unmap(&vdev->vq[i]);
		vq_reset_state(&vdev->vq[i]);
	}
	memset(vdev->st, 0, sizeof(*vdev->st));
	vdev->st->config_vector = VDEV_NO_VECTOR;
	if (vdev->ops->reset)
		vdev->ops->reset(vdev);
	virtio_pci_device_reset(vdev->pci);
	log_debug(LOG_T_VIRTIO, "%s: reset", vdev->name);
}

static bool vdev_queues_idle(const struct vdev *vdev)
{
	unsigned int i;

	for (i = 0; i < vdev->nqueues; i++)
		if (vdev->vq[i].st->inflight_count)
			return false;
	return true;
}

void vdev_queue_idle(struct vdev *vdev, struct vq *vq)
{
	uint16_t vector = vq->st->vector;

	if (vdev->st->resetting) {
		/* vdev_reset() itself looks when all queues are stopped. */
		if (vdev->st->resetting == 2 && vdev_queues_idle(vdev))
			vdev_reset_done(vdev);
	} else if (vq->st->resetting) {
		vq_unmap(vq);
		vq_reset_state(vq);
		vq->st->vector = vector;
		vq->dead = vdev_is_broken(vdev);
		log_debug(LOG_T_VIRTIO, "%s: queue %u reset", vdev->name,
			  vq->index);
	}
}

static void vdev_reset(struct vdev *vdev)
{
	unsigned int i;

	vdev->st->resetting = 1;	/* queues are being stopped */
	for (i = 0; i < vdev->nqueues; i++)
		vq_stop(&vdev->vq[i]);
	vdev->st->resetting = 2;	/* waiting for what is in flight */
	if (vdev_queues_idle(vdev))
		vdev_reset_done(vdev);
}

/* May the driver have the features that it asks for (2.2, 6.1)? */
static bool vdev_features_ok(const struct vdev *vdev)
{
	uint64_t want = vdev->st->driver_features;

	return !(want & ~vdev->features) &&
	       vdev_has(vdev, VIRTIO_F_VERSION_1) &&
	       (!vdev->ops->features_ok || vdev->ops->features_ok(vdev));
}

static void vdev_driver_ok(struct vdev *vdev)
{
	unsigned int i;

	if (log_limit_ok(&vdev->limit, vdev->name))
		log_info("%s: the driver is ready, features %#llx",
			 vdev->name,
			 (unsigned long long)vdev->st->driver_features);
	if (vdev->ops->start)
		vdev->ops->start(vdev);
	for (i = 0; i < vdev->nqueues; i++)
		vdev_kick(vdev, i);
	if (vdev->running)
		vdev->running(vdev->running_arg);
}

uint8_t vdev_get_status(const struct vdev *vdev)
{
	return vdev->st->status;
}

void vdev_set_status(struct vdev *vdev, uint8_t status)
{
	struct vdev_state *st = vdev->st;
	uint8_t new;

	if (st->resetting)
		return;			/* it must wait for zero first */
	if (!status) {
		vdev_reset(vdev);
		return;
	}
	/* Only a reset clears bits, and NEEDS_RESET is ours. */
	new = status & ~(st->status | VIRTIO_CONFIG_S_NEEDS_RESET);
	if ((new & VIRTIO_CONFIG_S_FEATURES_OK) && !vdev_features_ok(vdev)) {
		if (log_limit_ok(&vdev->limit, vdev->name))
			log_warn("%s: the guest's driver asks for features %#llx, offered are %#llx",
				 vdev->name,
				 (unsigned long long)st->driver_features,
				 (unsigned long long)vdev->features);
		new &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if ((new & VIRTIO_CONFIG_S_DRIVER_OK) &&
	    !((st->status | new) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		vdev_broken(vdev, "DRIVER_OK without FEATURES_OK");
		return;
	}
	st->status |= new;
	if (new & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev_driver_ok(vdev);
}

void vdev_set_features(struct vdev *vdev, unsigned int select, uint32_t bits)
{
	unsigned int shift = 32 * select;

	if (select > 1 || (vdev->st->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	vdev->st->driver_features &= ~(0xffffffffull << shift);
	vdev->st->driver_features |= (uint64_t)bits << shift;
}

bool vdev_queue_may_change(const struct vdev *vdev, const struct vq *vq)
{
	return !vq->st->enabled && !vq->st->resetting &&
	       !vdev->st->resetting;
}

void vdev_queue_enable(struct vdev *vdev, struct vq *vq)
{
	if (!vdev_queue_may_change(vdev, vq))
		return;
	if (!(vdev->st->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		vdev_broken(vdev, "queue %u is enabled before FEATURES_OK",
			    vq->index);
		return;
	}
	if (vq_enable(vq) == 0)
		vdev_kick(vdev, vq->index);
}

void vdev_queue_reset(struct vdev *vdev, struct vq *vq)
{
	if (!vdev_has(vdev, VIRTIO_F_RING_RESET) || !vq->st->enabled ||
	    vq->st->resetting || vdev->st->resetting)
		return;
	vq->st->resetting = 1;
	vq_stop(vq);
}

void vdev_kick(struct vdev *vdev, unsigned int index)
{
	if (index >= vdev->nqueues || !vdev_is_running(vdev) ||
	    !vdev->vq[index].st->enabled || vdev->vq[index].dead)
		return;
	TRACE(vq_kick, index);
	loop_defer(vdev->loop, &vdev->vq[index].kick_work);
}

void vdev_queue_run(struct vdev *vdev, struct vq *vq)
{
	if (!vdev_is_running(vdev) || !vdev->dma_ok || !vq->st->enabled ||
	    vq->dead)
		return;
	vdev->ops->run(vdev, vq);
}

void vdev_set_dma(struct vdev *vdev, bool on)
{
	unsigned int i;

	if (vdev->dma_ok == on)
		return;
	vdev->dma_ok = on;
	for (i = 0; on && i < vdev->nqueues; i++) {
		vdev_kick(vdev, i);
		vq_flush_later(&vdev->vq[i]);	/* what waited for this */
	}
}

void vdev_drain(struct vdev *vdev)
{
	vdev->draining = true;
	if (vdev->ops->drain)
		vdev->ops->drain(vdev);
}

bool vdev_is_idle(const struct vdev *vdev)
{
	return vdev_queues_idle(vdev);
}

/* Dropped as for a reset: a queue that is dead tells its driver nothing. */
static unsigned int vdev_give_up_queue(struct vdev *vdev, struct vq *vq)
{
	unsigned int before = vq->st->inflight_count;
	bool was = vq->dead;

	vq->dead = true;
	vdev->ops->drop(vdev, vq);
	vq->dead = was;
	return before - vq->st->inflight_count;
}

void vdev_give_up(struct vdev *vdev)
{
	unsigned int i, count = 0;

	if (vdev->dma_ok || !vdev->ops->drop)
		return;
	for (i = 0; i < vdev->nqueues; i++)
		count += vdev_give_up_queue(vdev, &vdev->vq[i]);
	if (count)
		log_info("%s: %u request%s without an answer: the guest has switched bus mastering off",
			 vdev->name, count, count == 1 ? " stays" : "s stay");
}
