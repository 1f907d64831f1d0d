/* SPDX-License-Identifier: MIT */
/*
 * vnet.h: a network card's insides, for virtio_net.c and vnet_*.c only.
 *
 *	virtio_net.c	life, features, configuration, link
 *	vnet_rx.c	frames to the driver
 *	vnet_tx.c	frames from the driver
 *	vnet_ctrl.c	commands from the driver
 *	vnet_filter.c	which frames it wants
 *	vnet_hdr.c	what the header before a frame asks for
 *
 * Between two calls from the loop no chain is popped: what was taken and
 * cannot be used now is put back.  Nothing is ever in flight, so a reset has
 * nothing to wait for, and a process that dies loses no buffer.
 */
#ifndef XVD_VNET_H
#define XVD_VNET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_net.h>
#include "loop.h"
#include "net_backend.h"
#include "util.h"
#include "vdev.h"
#include "virtio_net.h"
#include "virtqueue.h"
#include "vnet_filter.h"

/* Of virtio 1.2; Linux 6.1's header does not have them. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4	54
#define VIRTIO_NET_F_GUEST_USO6	55
#define VIRTIO_NET_F_HOST_USO	56
#endif

/* Offloads of received frames (5.1.6.5.6). */
#define VNET_RECV_FEATURES	(1ull << VIRTIO_NET_F_GUEST_CSUM |	\
				 1ull << VIRTIO_NET_F_GUEST_TSO4 |	\
				 1ull << VIRTIO_NET_F_GUEST_TSO6 |	\
				 1ull << VIRTIO_NET_F_GUEST_ECN |	\
				 1ull << VIRTIO_NET_F_GUEST_USO4 |	\
				 1ull << VIRTIO_NET_F_GUEST_USO6)

#define VNET_BATCH		64	/* frames per queue and turn ... */
#define VNET_BATCH_BYTES	(256 * 1024)	/* ... or bytes, about */
#define VNET_BATCH_CHAINS	256	/* ... or chains taken, likewise */
#define VNET_STALE		512	/* frames; a tap keeps 500 */
#define VNET_FRAME_BYTES	(NET_HDR_BYTES + NET_MAX_FRAME)

/*
 * A chain has at most VQ_MAX_SEGS segments, and of a frame's worth of bytes
 * no more than one crosses two chunks of mapped memory.
 */
#define VNET_MAX_IOV		(2 * VQ_MAX_SEGS + 8)

/* What the driver may change; kept in the state file. */
struct vnet_state {
	uint32_t	offloads;	/* of frames it receives: net_offload */
	uint16_t	pairs;		/* in use */
	uint8_t		modes;		/* 1 << VIRTIO_NET_CTRL_RX_x */
	uint8_t		announce;	/* the driver is asked to */
	uint8_t		mac[ETH_ALEN];
};

/* Of one pair of queues. */
struct vnet_queue {
	bool		rx_on;		/* the backend's queue, not the ring */
	bool		tx_blocked;	/* until writable() */

	/*
	 * The frame being received: @len bytes with its header, 0 for none.
	 * The first @first of them are in buf, the next @placed are in the
	 * driver's first chain already, the others follow in buf.
	 */
	uint8_t		*buf;
	uint32_t	len;
	uint32_t	first;
	uint32_t	placed;
	bool		stalled;	/* it lacks buffers ... */
	uint64_t	stalled_ms;	/* ... since then */
};

struct vnet {
	struct vdev		vdev;
	struct net_backend	*be;
	struct vnet_state	*st;
	struct vnet_opts	opts;
	struct net_stats	*stats;
	struct vnet_filter	filter;
	unsigned int		send_offloads;	/* negotiated */

	bool			link;		/* both of these */
	bool			link_admin;
	bool			link_be;

	unsigned int		offloads;	/* as the backend was told */
	uint64_t		offloads_ms;	/* see vnet_set_offloads() */
	struct loop_timer	*offloads_timer;
	struct loop_timer	*stall_timer;

	struct vnet_queue	queue[NET_MAX_QUEUES];

	/* For the length of a call; too large for the stack. */
	bool			has_chain;	/* chain[0] is popped */
	int			rx_chains;	/* of the turn's share, left */
	struct vq_chain		chain[2];
	struct iovec		iov[VNET_MAX_IOV];
	uint8_t			*tx_buf;	/* VNET_FRAME_BYTES */
	struct {
		uint16_t	head;
		uint32_t	len;
	} more[STATE_MAX_RING];			/* chains of one frame */
};

static inline struct vnet *vnet_of(struct vdev *vdev)
{
	return container_of(vdev, struct vnet, vdev);
}

/* virtio_net.c */

/*
 * Makes the backend deliver what st->offloads allows, now or a little later.
 * Until then what the driver cannot take is dropped.
 */
void vnet_set_offloads(struct vnet *n);

/* What a set of feature bits means for received frames: enum net_offload. */
unsigned int vnet_recv_offloads(uint64_t features);

/* vnet_rx.c */
void vnet_rx_run(struct vnet *n, struct vq *vq);
void vnet_rx_readable(struct vnet *n, unsigned int queue);
void vnet_rx_timer(struct vnet *n);
/* All backend queues off until there is a vnet_rx_run(); what waits is lost. */
void vnet_rx_stop(struct vnet *n);
/* So is what the backend has kept: it is from when there was no cable. */
void vnet_rx_discard(struct vnet *n);
/* The same of one receive queue, and a frame that waits for it is lost. */
void vnet_rx_drop(struct vnet *n, struct vq *vq);

/* vnet_tx.c */
void vnet_tx_run(struct vnet *n, struct vq *vq);
void vnet_tx_writable(struct vnet *n, unsigned int queue);

/* vnet_ctrl.c */
void vnet_ctrl_run(struct vnet *n, struct vq *vq);

#endif
