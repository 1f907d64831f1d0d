/* SPDX-License-Identifier: MIT */
/*
 * virtio_net.c: the network device type (virtio 1.2, 5.1): its life, its
 * features and its configuration.  The map of the other files is in vnet.h.
 *
 *	receiveq1 transmitq1 ... receiveqN transmitqN controlq
 *
 * N is 1 unless the driver takes VIRTIO_NET_F_MQ (5.1.2), so with several
 * pairs the third queue is either receiveq2 or the control queue.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ids.h>

#include "log.h"
#include "loop.h"
#include "util.h"
#include "virtio_net.h"
#include "vnet.h"

#define PCI_CLASS_NETWORK_ETHERNET	0x020000
#define SPEED_UNKNOWN			0xffffffffu	/* 5.1.4 */
#define DUPLEX_FULL			0x01
#define DUPLEX_UNKNOWN			0xff

/* Offloads are set on the host at most so often, after a few at once. */
#define OFFLOADS_EVERY_MS		100u
#define OFFLOADS_BURST_MS		1000u

#define F(name)		(1ull << VIRTIO_NET_F_##name)

_Static_assert(sizeof(struct vnet_state) <=
	       sizeof(((struct vdev_state *)NULL)->device), "state fits");
_Static_assert(2 * NET_MAX_QUEUES + 1 <= STATE_MAX_QUEUES, "with control");
_Static_assert(offsetof(struct virtio_net_config, rss_max_key_size) == 17,
	       "5.1.4");

/* ---- features ---- */

struct vnet_offload {
	uint64_t	feature;
	unsigned int	offloads;	/* enum net_offload: all of them */
};

static const struct vnet_offload send_map[] = {
	{ F(CSUM),	NET_CSUM },
	{ F(HOST_TSO4),	NET_TSO4 },
	{ F(HOST_TSO6),	NET_TSO6 },
	{ F(HOST_ECN),	NET_TSO_ECN },
	{ F(HOST_USO),	NET_USO4 | NET_USO6 },
};

static const struct vnet_offload recv_map[] = {
	{ F(GUEST_CSUM), NET_CSUM },
	{ F(GUEST_TSO4), NET_TSO4 },
	{ F(GUEST_TSO6), NET_TSO6 },
	{ F(GUEST_ECN),	NET_TSO_ECN },
	{ F(GUEST_USO4), NET_USO4 },
	{ F(GUEST_USO6), NET_USO6 },
};

/* Who has @feature needs one of @any (5.1.3.1). */
static const struct {
	uint64_t	feature;
	uint64_t	any;
} needs[] = {
	{ F(GUEST_TSO4),	F(GUEST_CSUM) },
	{ F(GUEST_TSO6),	F(GUEST_CSUM) },
	{ F(GUEST_USO4),	F(GUEST_CSUM) },
	{ F(GUEST_USO6),	F(GUEST_CSUM) },
	{ F(GUEST_ECN),		F(GUEST_TSO4) | F(GUEST_TSO6) },
	{ F(HOST_TSO4),		F(CSUM) },
	{ F(HOST_TSO6),		F(CSUM) },
	{ F(HOST_USO),		F(CSUM) },
	{ F(HOST_ECN),		F(HOST_TSO4) | F(HOST_TSO6) },
	{ F(CTRL_RX),		F(CTRL_VQ) },
	{ F(CTRL_RX_EXTRA),	F(CTRL_VQ) },
	{ F(CTRL_VLAN),		F(CTRL_VQ) },
	{ F(CTRL_MAC_ADDR),	F(CTRL_VQ) },
	{ F(CTRL_GUEST_OFFLOADS), F(CTRL_VQ) },
	{ F(GUEST_ANNOUNCE),	F(CTRL_VQ) },
	{ F(MQ),		F(CTRL_VQ) },
};

/* Return: those of @features that lack what they need. */
static uint64_t vnet_lacking(uint64_t features)
{
	uint64_t bad = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(needs); i++)
		if ((features & needs[i].feature) &&
		    !(features & needs[i].any))
			bad |= needs[i].feature;
	return bad;
}

static bool vnet_features_ok(const struct vdev *vdev)
{
	return !vnet_lacking(vdev->st->driver_features);
}

static unsigned int vnet_offloads(const struct vnet_offload *map, size_t count,
				  uint64_t features)
{
	unsigned int offloads = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if (features & map[i].feature)
			offloads |= map[i].offloads;
	return offloads;
}

/* A driver may switch checksums off alone: the rest then follows. */
unsigned int vnet_recv_offloads(uint64_t features)
{
	unsigned int offloads = vnet_offloads(recv_map, ARRAY_SIZE(recv_map),
					      features);

	return offloads & NET_CSUM ? offloads : 0;
}

static uint64_t vnet_offload_features(const struct vnet_offload *map,
				      size_t count, unsigned int offloads)
{
	uint64_t features = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if ((offloads & map[i].offloads) == map[i].offloads)
			features |= map[i].feature;
	return features;
}

static uint64_t vnet_features(const struct vnet_opts *opts)
{
	uint64_t f = F(MAC) | F(STATUS) | F(MTU) | F(MRG_RXBUF) |
		     F(SPEED_DUPLEX) | F(CTRL_VQ) | F(CTRL_RX) |
		     F(CTRL_RX_EXTRA) | F(CTRL_VLAN) | F(CTRL_MAC_ADDR) |
		     F(GUEST_ANNOUNCE);
	uint64_t bad;

	f |= vnet_offload_features(send_map, ARRAY_SIZE(send_map),
				   opts->send_offloads);
	f |= vnet_offload_features(recv_map, ARRAY_SIZE(recv_map),
				   opts->recv_offloads);
	if (f & F(GUEST_CSUM))
		f |= F(CTRL_GUEST_OFFLOADS);
	if (opts->queues > 1)
		f |= F(MQ);
	while ((bad = vnet_lacking(f)))	/* ECN needs TSO needs checksums */
		f &= ~bad;
	return f;
}

/* ---- offloads of received frames ---- */

/*
 * On the host this takes a lock that all of its network shares, and tells
 * everybody who listens; so a driver that toggles has to wait.
 */
static bool vnet_may_set_offloads(struct vnet *n)
{
	uint64_t now = loop_now_ms();

	if (n->offloads_ms > now + OFFLOADS_BURST_MS) {
		loop_timer_set(n->offloads_timer, OFFLOADS_EVERY_MS);
		return false;
	}
	if (n->offloads_ms < now)
		n->offloads_ms = now;
	n->offloads_ms += OFFLOADS_EVERY_MS;
	return true;
}

void vnet_set_offloads(struct vnet *n)
{
	unsigned int want = n->st->offloads;
	int r;

	if (want == n->offloads || !vnet_may_set_offloads(n))
		return;
	n->offloads = want;
	r = n->be->ops->set_offloads(n->be, want);
	if (r < 0 && log_limit_ok(&n->vdev.limit, n->vdev.name))
		log_warn("%s: the host does not set offloads %#x of received frames: %s",
			 n->vdev.name, want, strerror(-r));
}

static void vnet_offloads_timer(void *arg)
{
	vnet_set_offloads(arg);
}

/* ---- configuration and link ---- */

static void vnet_config_read(struct vdev *vdev, unsigned int off, void *buf,
			     unsigned int len)
{
	struct vnet *n = vnet_of(vdev);
	uint32_t speed = n->opts.speed_mbit;
	uint16_t status = 0;
	struct virtio_net_config c = {
		.duplex = speed ? DUPLEX_FULL : DUPLEX_UNKNOWN,
	};

	if (n->link)
		status |= VIRTIO_NET_S_LINK_UP;
	if (n->st->announce)
		status |= VIRTIO_NET_S_ANNOUNCE;
	memcpy(c.mac, n->st->mac, sizeof(c.mac));
	c.status = (__force __virtio16)le16_put(status);
	c.max_virtqueue_pairs = (__force __virtio16)
		le16_put((uint16_t)n->opts.queues);
	c.mtu = (__force __virtio16)le16_put(n->opts.mtu);
	c.speed = le32_put(speed ? speed : SPEED_UNKNOWN);
	memcpy(buf, (const char *)&c + off, len);
}

/* The status field did change; tell a driver that looks at it. */
static void vnet_status_changed(struct vnet *n)
{
	vdev_config_update(&n->vdev, vdev_has(&n->vdev, VIRTIO_NET_F_STATUS));
}

static void vnet_ask_announce(struct vnet *n)
{
	if (vdev_is_running(&n->vdev) &&
	    vdev_has(&n->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		n->st->announce = 1;
}

void vnet_announce(struct vdev *vdev)
{
	struct vnet *n = vnet_of(vdev);

	vnet_ask_announce(n);
	if (n->st->announce)
		vnet_status_changed(n);
}

/*
 * Without a link nothing is received, and what is sent is lost.  With a new
 * one, switches may have to learn again where the guest is.
 */
static void vnet_update_link(struct vnet *n)
{
	bool link = n->be && n->link_admin && n->link_be;
	unsigned int i;

	if (link == n->link)
		return;
	n->link = link;
	if (link)
		vnet_ask_announce(n);
	else
		vnet_rx_stop(n);
	for (i = 0; i < n->opts.queues; i++) {
		if (!link)		/* no longer for want of room */
			n->queue[i].tx_blocked = false;
		vdev_kick(&n->vdev, 2 * i + !link);
	}
	vnet_status_changed(n);
}

void vnet_set_link(struct vdev *vdev, bool up)
{
	struct vnet *n = vnet_of(vdev);

	if (up && !n->link_admin)
		vnet_rx_discard(n);
	n->link_admin = up;
	vnet_update_link(n);
}

/* ---- the queues ---- */

static void vnet_run(struct vdev *vdev, struct vq *vq)
{
	struct vnet *n = vnet_of(vdev);
	unsigned int pairs = vdev_has(vdev, VIRTIO_NET_F_MQ) ?
			     n->opts.queues : 1;

	if (vq->index > 2 * pairs)
		return;			/* none that this driver has */
	if (vq->index == 2 * pairs) {
		if (vdev_has(vdev, VIRTIO_NET_F_CTRL_VQ))
			vnet_ctrl_run(n, vq);
	} else if (vq->index % 2) {
		vnet_tx_run(n, vq);
	} else {
		vnet_rx_run(n, vq);
	}
}

static void vnet_drop(struct vdev *vdev, struct vq *vq)
{
	struct vnet *n = vnet_of(vdev);

	if (vq->index % 2 == 0 && vq->index < 2 * n->opts.queues)
		vnet_rx_drop(n, vq);
}

static void vnet_started(struct vdev *vdev)
{
	struct vnet *n = vnet_of(vdev);
	uint64_t features = vdev->st->driver_features;

	n->send_offloads = vnet_offloads(send_map, ARRAY_SIZE(send_map),
					 features);
	n->st->offloads = vnet_recv_offloads(features);
	n->filter.by_vlan = vdev_has(vdev, VIRTIO_NET_F_CTRL_VLAN);
}

/* The backend is told of its offloads when frames are wanted again. */
static void vnet_reset(struct vdev *vdev)
{
	struct vnet *n = vnet_of(vdev);
	unsigned int i;

	memset(n->st, 0, sizeof(*n->st));
	memcpy(n->st->mac, n->opts.mac, sizeof(n->st->mac));
	n->st->pairs = 1;
	n->st->modes = 1u << VIRTIO_NET_CTRL_RX_PROMISC;
	n->send_offloads = 0;
	vnet_filter_init(&n->filter);
	for (i = 0; i < n->opts.queues; i++)
		n->queue[i].tx_blocked = false;
}

static const struct vdev_ops vnet_ops = {
	.name		= "net",
	.device_id	= VIRTIO_ID_NET,
	.pci_class	= PCI_CLASS_NETWORK_ETHERNET,
	.config_read	= vnet_config_read,
	.features_ok	= vnet_features_ok,
	.start		= vnet_started,
	.run		= vnet_run,
	.drop		= vnet_drop,
	.reset		= vnet_reset,
};

/* ---- from the backend ---- */

static void vnet_on_readable(void *arg, unsigned int queue)
{
	vnet_rx_readable(arg, queue);
}

static void vnet_on_writable(void *arg, unsigned int queue)
{
	vnet_tx_writable(arg, queue);
}

static void vnet_on_link(void *arg, bool up)
{
	struct vnet *n = arg;

	n->link_be = up;
	vnet_update_link(n);
}

struct net_events vnet_events(struct vdev *vdev)
{
	return (struct net_events){
		.readable	= vnet_on_readable,
		.writable	= vnet_on_writable,
		.link		= vnet_on_link,
		.arg		= vnet_of(vdev),
	};
}

/* ---- making and ending ---- */

static void vnet_on_stall(void *arg)
{
	vnet_rx_timer(arg);
}

static int vnet_alloc(struct vnet *n)
{
	struct loop *loop = n->vdev.loop;
	unsigned int i;
	int r;

	for (i = 0; i < n->opts.queues; i++) {
		n->queue[i].buf = calloc(1, VNET_FRAME_BYTES);
		if (!n->queue[i].buf)
			return -ENOMEM;
	}
	n->tx_buf = calloc(1, VNET_FRAME_BYTES);
	if (!n->tx_buf)
		return -ENOMEM;
	r = loop_timer_add(loop, vnet_on_stall, n, &n->stall_timer);
	if (r < 0)
		return r;
	return loop_timer_add(loop, vnet_offloads_timer, n,
			      &n->offloads_timer);
}

int vnet_open(const struct vdev_env *env, const struct vnet_opts *opts,
	      struct vdev **ret)
{
	struct vnet *n;
	int r;

	assert(opts->queues && opts->queues <= NET_MAX_QUEUES);
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->opts = *opts;
	n->link_admin = true;
	n->st = (struct vnet_state *)(void *)env->state->vdev.device;
	n->vdev.ops = &vnet_ops;
	n->vdev.features = vnet_features(opts);
	n->vdev.config_len = offsetof(struct virtio_net_config,
				      rss_max_key_size);
	n->vdev.nqueues = 2 * opts->queues + 1;
	n->vdev.queue_size = opts->queue_size;
	vdev_init(&n->vdev, env);
	n->stats = &n->vdev.stats->net;
	vnet_reset(&n->vdev);
	r = vnet_alloc(n);
	if (r < 0) {
		vnet_close(&n->vdev);
		return r;
	}
	*ret = &n->vdev;
	return 0;
}

void vnet_connect(struct vdev *vdev, struct net_backend *be)
{
	struct vnet *n = vnet_of(vdev);

	assert(!n->be && be->info.queues == n->opts.queues);
	n->be = be;
	n->link_be = be->ops->link_up(be);
	vnet_update_link(n);
}

void vnet_close(struct vdev *vdev)
{
	struct vnet *n;
	unsigned int i;

	if (!vdev)
		return;
	n = vnet_of(vdev);
	vdev_fini(vdev);
	loop_timer_del(n->stall_timer);
	loop_timer_del(n->offloads_timer);
	if (n->be)
		n->be->ops->close(n->be);
	for (i = 0; i < n->opts.queues; i++)
		free(n->queue[i].buf);
	free(n->tx_buf);
	free(n);
}
