/* SPDX-License-Identifier: MIT */
/*
 * vnet_tx.c: frames from the driver (virtio 1.2, 5.1.6.2).
 *
 *	readable: 12 bytes of header, the frame
 *
 * The header is copied and checked; the frame itself is nobody's business
 * here, and goes to the backend from where it is; one that is granted is
 * copied, together with its header.  Sending is over when the backend returns,
 * so a chain is given back at once.  When the backend has no room, the chain
 * stays in the ring, and the queue waits for writable().
 *
 * What is the driver's mistake:
 *
 *	no room for a header, memory that is not there	the device is broken
 *	a frame too short or too long, a header that
 *	asks for what was not negotiated, or lies	the frame is dropped
 *
 * Frames of queue pairs beyond those in use are sent as well: the driver may
 * have queued them before it asked for fewer.
 */
#include <errno.h>
#include <string.h>

#include "chain.h"
#include "trace.h"
#include "util.h"
#include "vnet.h"
#include "vnet_hdr.h"

/* One turn's share. */
struct vnet_budget {
	int	frames;
	int64_t	bytes;
};

/*
 * Sends @bytes of frame behind @hdr: those at @cur, in place where memory can
 * be reached in place, or what vnet_tx_header() took with it.  Return: as
 * net_backend_ops.send; -EFAULT if they are not in memory.
 */
static int vnet_tx_send(struct vnet *n, unsigned int queue,
			struct virtio_net_hdr_v1 *hdr,
			struct dma_cursor *cur, size_t bytes)
{
	struct guest_mem *gm = n->vdev.gm;
	uint8_t *frame = n->tx_buf + NET_HDR_BYTES;
	struct guest_hold *hold = NULL;
	size_t covered = 0;
	int r = 0, count = 1;

	n->iov[0] = (struct iovec){ .iov_base = hdr, .iov_len = sizeof(*hdr) };
	if (cur->nseg)
		hold = guest_mem_hold(gm);
	if (hold)
		count += chain_iov(gm, hold, cur, bytes, &n->iov[1],
				   VNET_MAX_IOV - 1, &covered);
	if (covered < bytes) {
		if (cur->nseg)
			r = chain_read(gm, cur, frame, bytes);
		n->iov[1] = (struct iovec){ frame, bytes };
		count = 2;
	}
	if (!r)
		r = n->be->ops->send(n->be, queue, n->iov, count);
	if (hold)
		guest_mem_release(gm, hold);
	return r;
}

/*
 * Takes a chain's header, once, and a granted frame with it, into tx_buf: one
 * call to Xen for both.  Return: 0, or -EPROTO.
 */
static int vnet_tx_header(struct vnet *n, struct vq *vq,
			  const struct vq_chain *c, struct dma_cursor *cur,
			  struct virtio_net_hdr_v1 *hdr)
{
	size_t bytes = sizeof(*hdr);

	if (c->out_bytes < sizeof(*hdr))
		return vdev_broken(&n->vdev, "queue %u, head %u: a header of %llu bytes",
				   vq->index, c->head,
				   (unsigned long long)c->out_bytes);
	if (c->granted && c->out_bytes <= VNET_FRAME_BYTES)
		bytes = (size_t)c->out_bytes;
	if (chain_read(n->vdev.gm, cur, n->tx_buf, bytes) < 0)
		return vdev_broken(&n->vdev, "queue %u, head %u: the %s is not in memory",
				   vq->index, c->head,
				   bytes > sizeof(*hdr) ? "frame" : "header");
	memcpy(hdr, n->tx_buf, sizeof(*hdr));
	return 0;
}

/*
 * A chain was popped.  Return: the bytes of its frame, sent or lost; -EAGAIN
 * if it has to stay; -EPROTO.
 */
static int64_t vnet_tx_one(struct vnet *n, struct vq *vq,
			   const struct vq_chain *c)
{
	struct dma_cursor cur = chain_out(c);
	struct virtio_net_hdr_v1 hdr;
	uint64_t bytes;
	int r;

	r = vnet_tx_header(n, vq, c, &cur, &hdr);
	if (r < 0)
		return r;
	bytes = c->out_bytes - sizeof(hdr);
	if (bytes < ETH_HLEN || bytes > NET_MAX_FRAME || !n->link ||
	    !vnet_hdr_from_driver(&hdr, (uint32_t)bytes, n->send_offloads)) {
		stat_add(&n->stats->tx_dropped, 1);
		return (int64_t)MIN(bytes, (uint64_t)NET_MAX_FRAME);
	}
	r = vnet_tx_send(n, vq->index / 2, &hdr, &cur, bytes);
	if (r == -EAGAIN)
		return r;
	if (r == -EFAULT)
		return vdev_broken(&n->vdev, "queue %u, head %u: the frame is not in memory",
				   vq->index, c->head);
	TRACE(net_send, vq->index, bytes, r);
	if (r < 0) {
		stat_add(&n->stats->tx_dropped, 1);
	} else {
		stat_add(&n->stats->tx_frames, 1);
		stat_add(&n->stats->tx_bytes, bytes);
	}
	return (int64_t)bytes;
}

/*
 * Sends until the ring is empty, the turn's share is used up or the backend
 * has no room.  Return: true if the ring was empty.
 */
static bool vnet_tx_chains(struct vnet *n, struct vq *vq,
			   struct vnet_budget *left)
{
	struct vq_chain *c = &n->chain[0];
	int64_t bytes;

	while (left->frames > 0 && left->bytes > 0) {
		if (vq_pop(vq, c) <= 0)
			return true;
		bytes = vnet_tx_one(n, vq, c);
		if (bytes == -EAGAIN) {
			vq_unpop(vq, c->head);
			n->queue[vq->index / 2].tx_blocked = true;
			return false;
		}
		vq_push(vq, c->head, 0);
		if (bytes < 0)
			return false;
		left->frames--;
		left->bytes -= bytes;
	}
	loop_defer(n->vdev.loop, &vq->kick_work);
	return false;
}

void vnet_tx_run(struct vnet *n, struct vq *vq)
{
	struct vnet_budget left = { VNET_BATCH, VNET_BATCH_BYTES };
	bool empty;

	if (n->queue[vq->index / 2].tx_blocked)
		return;
	vq_quiet(vq);
	empty = vnet_tx_chains(n, vq, &left);
	vq_flush(vq);
	if (empty && !vq_linger(vq, left.frames < VNET_BATCH) && vq_wait(vq))
		loop_defer(n->vdev.loop, &vq->kick_work);
}

void vnet_tx_writable(struct vnet *n, unsigned int queue)
{
	if (!n->queue[queue].tx_blocked)
		return;
	n->queue[queue].tx_blocked = false;
	vdev_kick(&n->vdev, 2 * queue + 1);
}
