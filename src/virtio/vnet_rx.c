/* SPDX-License-Identifier: MIT */
/*
 * vnet_rx.c: frames to the driver (virtio 1.2, 5.1.6.3 and 5.1.6.4).
 *
 * A frame arrives with its header, and its length is known only when it is
 * there.  So it is received into three places at once:
 *
 *	buf: 12 bytes of header	  the first chain's	   buf: whatever
 *	and 18 of the frame	  memory from there on	   does not fit
 *	      ^ first			^ placed
 *
 * What we look at (header, addresses, VLAN) is thus in memory of ours, and
 * most of a frame is where it belongs.  If the frame is wanted, its beginning
 * is copied to the first chain and its end, where the driver merges buffers,
 * to as many more as that takes; all of them are published together.  A chain
 * that is not used after all serves the next frame, or is put back.
 *
 * No buffers at all: the backend's queue is switched off, and on again when
 * the driver has rung.  Too few for this frame: it waits in buf, likewise,
 * but not for ever, in case the driver has no more than that, nor longer than
 * the driver takes the offloads that it needs.
 *
 * A turn's share is counted in frames, bytes and chains.  The last is for a
 * driver that has many buffers of a byte each, all of which are taken, and put
 * back, for every single frame.
 *
 * The backend has as many queues as there are pairs.  With fewer of them in
 * use (st->pairs), backend queue b goes to receive queue b % pairs, which
 * keeps the frames of a flow in order.
 */
#include <errno.h>
#include <string.h>

#include "chain.h"
#include "trace.h"
#include "util.h"
#include "vnet.h"
#include "vnet_hdr.h"

#define RX_HEAD		((uint32_t)(NET_HDR_BYTES + VNET_FILTER_HEAD))
#define RX_PATIENCE_MS	1000		/* of a frame that lacks buffers */

/* Switches one queue of the backend. */
static void vnet_rx_set(struct vnet *n, unsigned int b, bool on)
{
	const struct net_backend_ops *ops = n->be->ops;

	if (n->queue[b].rx_on == on)
		return;
	n->queue[b].rx_on = on;
	if (on)
		ops->rx_on(n->be, b);
	else
		ops->rx_off(n->be, b);
}

/* Switches all of them that end in receive queue @vq. */
static void vnet_rx_set_all(struct vnet *n, const struct vq *vq, bool on)
{
	unsigned int b;

	for (b = vq->index / 2; b < n->opts.queues; b += n->st->pairs)
		vnet_rx_set(n, b, on);
}

/* The same as before a run(). */
static bool vnet_rx_may(const struct vnet *n, const struct vq *vq)
{
	return vdev_is_running(&n->vdev) && n->vdev.dma_ok &&
	       vq->st->enabled && !vq->dead && n->link;
}

/* The frame is lost. */
static void vnet_rx_lose(struct vnet *n, struct vnet_queue *q)
{
	q->len = 0;
	stat_add(&n->stats->rx_dropped, 1);
}

void vnet_rx_stop(struct vnet *n)
{
	unsigned int b;

	for (b = 0; n->be && b < n->opts.queues; b++) {
		vnet_rx_set(n, b, false);
		if (n->queue[b].len)
			vnet_rx_lose(n, &n->queue[b]);
	}
}

void vnet_rx_discard(struct vnet *n)
{
	uint8_t hdr[NET_HDR_BYTES];
	const struct iovec iov[] = {
		{ hdr, sizeof(hdr) },
		{ n->tx_buf, NET_MAX_FRAME },
	};
	unsigned int b, i;

	for (b = 0; n->be && b < n->opts.queues; b++) {
		for (i = 0; i < VNET_STALE; i++) {
			if (n->be->ops->recv(n->be, b, iov, 2) < 0)
				break;
			stat_add(&n->stats->rx_dropped, 1);
		}
	}
}

/* ---- chains ---- */

/*
 * Pops; if there is none, the driver is to ring when there is.  Return: as
 * vq_pop().
 */
static int vnet_rx_pop(struct vnet *n, struct vq *vq, struct vq_chain *c,
		       uint64_t least)
{
	int r = vq_pop(vq, c);

	if (!r && vq_wait(vq))
		r = vq_pop(vq, c);	/* if that is in vain, it will ring */
	n->rx_chains -= r == 1;
	if (r <= 0 || c->in_bytes >= least)
		return r;
	vq_unpop(vq, c->head);
	return vdev_broken(&n->vdev, "queue %u, head %u: a receive buffer of %llu bytes",
			   vq->index, c->head,
			   (unsigned long long)c->in_bytes);
}

/* Sees to it that chain[0] is there.  Return: as vq_pop(). */
static int vnet_rx_first(struct vnet *n, struct vq *vq)
{
	int r;

	if (n->has_chain)
		return 1;
	r = vnet_rx_pop(n, vq, &n->chain[0], NET_HDR_BYTES);
	n->has_chain = r == 1;
	return r;
}

/* Puts back what no frame was put into: @count of more[], and chain[0]. */
static void vnet_rx_put_back(struct vnet *n, struct vq *vq, unsigned int count)
{
	while (count--)
		vq_unpop(vq, n->more[count].head);
}

static void vnet_rx_put_back_first(struct vnet *n, struct vq *vq)
{
	if (n->has_chain)
		vq_unpop(vq, n->chain[0].head);
	n->has_chain = false;
}

/* ---- one frame in ---- */

/* How much of it goes through buf in any case. */
static uint32_t vnet_rx_head(const struct vq_chain *c)
{
	return (uint32_t)MIN(c->in_bytes, (uint64_t)RX_HEAD);
}

/*
 * Receives a frame into chain[0] and buf.  Return: its bytes, which may be
 * more than can be; or as net_backend_ops.recv.
 */
static ssize_t vnet_rx_recv(struct vnet *n, struct vnet_queue *q,
			    unsigned int b)
{
	const struct vq_chain *c = &n->chain[0];
	struct guest_mem *gm = n->vdev.gm;
	struct guest_hold *hold = guest_mem_hold(gm);
	struct dma_cursor cur = chain_in(c);
	size_t room, placed = 0;
	int count = 1;
	ssize_t len;

	q->first = vnet_rx_head(c);
	room = (size_t)MIN(c->in_bytes, (uint64_t)VNET_FRAME_BYTES) - q->first;
	chain_skip(&cur, q->first);
	memset(q->buf, 0, RX_HEAD);	/* of a frame that is shorter */
	n->iov[0] = (struct iovec){ q->buf, q->first };
	if (hold && room)
		count += chain_iov(gm, hold, &cur, room, &n->iov[1],
				   VNET_MAX_IOV - 2, &placed);
	q->placed = (uint32_t)placed;
	n->iov[count++] = (struct iovec){
		q->buf + q->first, VNET_FRAME_BYTES - q->first,
	};
	len = n->be->ops->recv(n->be, b, n->iov, count);
	if (hold)
		guest_mem_release(gm, hold);
	return len;
}

/* Is it a frame, may the driver have it, and does it want it? */
static bool vnet_rx_wanted(struct vnet *n, struct vnet_queue *q, ssize_t len)
{
	struct virtio_net_hdr_v1 hdr;

	memcpy(&hdr, q->buf, sizeof(hdr));
	if (len < NET_HDR_BYTES + ETH_HLEN || len > VNET_FRAME_BYTES ||
	    !vnet_hdr_to_driver(&hdr, n->st->offloads)) {
		stat_add(&n->stats->rx_dropped, 1);
		return false;
	}
	if (!vnet_filter_wants(&n->filter, n->st->modes, n->st->mac,
			       q->buf + NET_HDR_BYTES)) {
		stat_add(&n->stats->rx_filtered, 1);
		return false;
	}
	memcpy(q->buf, &hdr, sizeof(hdr));
	q->len = (uint32_t)len;
	q->stalled = false;
	return true;
}

/* The frame that waits: may the driver still have it, as it is? */
static bool vnet_rx_still(const struct vnet *n, struct vnet_queue *q)
{
	return vnet_hdr_to_driver((void *)q->buf, n->st->offloads);
}

/* ---- one frame out ---- */

/*
 * Keeps the frame for when there are more buffers: takes back what is in the
 * chain's memory already, so that nothing but the frame is kept.
 */
static void vnet_rx_keep(struct vnet *n, struct vnet_queue *q)
{
	struct dma_cursor cur = chain_in(&n->chain[0]);
	uint32_t got = q->len - MIN(q->len, q->first);
	uint32_t placed = MIN(q->placed, got);

	memmove(q->buf + q->first + placed, q->buf + q->first, got - placed);
	chain_skip(&cur, q->first);
	if (chain_read(n->vdev.gm, &cur, q->buf + q->first, placed) < 0)
		vnet_rx_lose(n, q);	/* the memory went away meanwhile */
	q->placed = 0;
	if (!q->stalled) {
		q->stalled = true;
		q->stalled_ms = loop_now_ms();
		loop_timer_set(n->stall_timer, RX_PATIENCE_MS);
	}
}

/*
 * Copies what is behind chain[0]'s end, @src, to further chains.  Return: how
 * many, noted in more[]; -ENOBUFS, with all put back, if there are too few
 * now; -EMSGSIZE, likewise, if there cannot be enough; -EPROTO or -EFAULT.
 */
static int vnet_rx_spill(struct vnet *n, struct vq *vq, const uint8_t *src,
			 size_t left)
{
	struct vq_chain *c = &n->chain[1];
	struct dma_cursor cur;
	unsigned int count;
	size_t len;
	int r;

	for (count = 0; left; count++, left -= len, src += len) {
		if (!vdev_has(&n->vdev, VIRTIO_NET_F_MRG_RXBUF) ||
		    count + 1 == vq->st->size)
			r = -EMSGSIZE;
		else
			r = vnet_rx_pop(n, vq, c, 1);
		if (r <= 0) {
			vnet_rx_put_back(n, vq, count);
			return r ? r : -ENOBUFS;
		}
		len = (size_t)MIN((uint64_t)left, c->in_bytes);
		n->more[count].head = c->head;
		n->more[count].len = (uint32_t)len;
		cur = chain_in(c);
		if (chain_write(n->vdev.gm, &cur, src, len) < 0) {
			vnet_rx_put_back(n, vq, count + 1);
			return -EFAULT;
		}
	}
	return (int)count;
}

/* Copies the rest of the frame to chain[0], its beginning last. */
static int vnet_rx_fill_first(struct vnet *n, struct vnet_queue *q,
			      unsigned int buffers, const uint8_t *src,
			      size_t len)
{
	struct virtio_net_hdr_v1 *hdr = (void *)q->buf;
	struct dma_cursor cur = chain_in(&n->chain[0]);
	int r;

	hdr->num_buffers = (__force __virtio16)le16_put((uint16_t)buffers);
	if (!q->placed)			/* all of it is in buf, in one piece */
		return chain_write(n->vdev.gm, &cur, q->buf,
				   MIN(q->first, q->len) + len);
	r = chain_write(n->vdev.gm, &cur, q->buf, MIN(q->first, q->len));
	if (r < 0 || !len)
		return r;
	chain_skip(&cur, q->placed);
	return chain_write(n->vdev.gm, &cur, src, len);
}

/*
 * Gives the frame to the driver, or keeps it.  Return: its bytes, given or
 * lost; -ENOBUFS if it has to wait; -EPROTO.
 */
static int vnet_rx_deliver(struct vnet *n, struct vq *vq, struct vnet_queue *q)
{
	const struct vq_chain *c = &n->chain[0];
	uint32_t at = MIN(q->len, q->first + q->placed);
	uint32_t len = q->len;
	uint32_t here = (uint32_t)MIN((uint64_t)(len - at), c->in_bytes - at);
	const uint8_t *src = q->buf + q->first;
	int i, r, count;

	count = vnet_rx_spill(n, vq, src + here, len - at - here);
	if (count == -ENOBUFS)
		vnet_rx_keep(n, q);
	if (count == -EMSGSIZE) {
		vnet_rx_lose(n, q);
		return (int)len;
	}
	r = count;
	if (r >= 0) {
		r = vnet_rx_fill_first(n, q, (unsigned int)count + 1, src,
				       here);
		if (r < 0)
			vnet_rx_put_back(n, vq, (unsigned int)count);
	}
	if (r == -EFAULT)
		r = vdev_broken(&n->vdev, "queue %u, head %u: a receive buffer is not in memory",
				vq->index, c->head);
	if (r < 0)
		return r;
	vq_push(vq, c->head, at + here);
	n->has_chain = false;
	for (i = 0; i < count; i++)
		vq_push(vq, n->more[i].head, n->more[i].len);
	q->len = 0;
	TRACE(net_recv, vq->index, len, count + 1);
	stat_add(&n->stats->rx_frames, 1);
	stat_add(&n->stats->rx_bytes, len - NET_HDR_BYTES);
	return (int)len;
}

/* ---- many frames ---- */

/*
 * The frame that waits, or the next one.  Return: the bytes that it took;
 * -EAGAIN if there is none; -ENOBUFS if there are no buffers; another
 * negative errno.
 */
static ssize_t vnet_rx_one(struct vnet *n, struct vq *vq, unsigned int b)
{
	struct vnet_queue *q = &n->queue[vq->index / 2];
	ssize_t len;
	int r;

	r = vnet_rx_first(n, vq);
	if (r <= 0)
		return r ? r : -ENOBUFS;
	if (q->len && !vnet_rx_still(n, q)) {
		len = q->len;
		vnet_rx_lose(n, q);
		return len;
	}
	if (q->len) {			/* all of it in buf */
		q->first = vnet_rx_head(&n->chain[0]);
		return vnet_rx_deliver(n, vq, q);
	}
	len = vnet_rx_recv(n, q, b);
	if (len < 0 || !vnet_rx_wanted(n, q, len))
		return len;
	return vnet_rx_deliver(n, vq, q);
}

/* The backend, or the driver, is in trouble: not again at once. */
static void vnet_rx_pause(struct vnet *n, unsigned int b)
{
	vnet_rx_set(n, b, false);
	loop_timer_set(n->stall_timer, RX_PATIENCE_MS);
}

/*
 * Moves frames of backend queue @b until there are none, no buffers, or the
 * turn's share is used up; then the backend calls again.
 */
static void vnet_rx_batch(struct vnet *n, struct vq *vq, unsigned int b)
{
	int64_t bytes = VNET_BATCH_BYTES;
	int frames = VNET_BATCH;
	ssize_t r = 0;

	n->rx_chains = VNET_BATCH_CHAINS;
	while (r >= 0 && frames-- > 0 && bytes > 0 && n->rx_chains > 0) {
		r = vnet_rx_one(n, vq, b);
		bytes -= r;
	}
	vnet_rx_put_back_first(n, vq);
	vq_flush(vq);
	if (r == -ENOBUFS)
		vnet_rx_set_all(n, vq, false);
	else if (r < 0 && r != -EAGAIN)
		vnet_rx_pause(n, b);
}

void vnet_rx_readable(struct vnet *n, unsigned int b)
{
	struct vq *vq = &n->vdev.vq[2 * (b % n->st->pairs)];

	if (vnet_rx_may(n, vq))
		vnet_rx_batch(n, vq, b);
	else
		vnet_rx_set(n, b, false);	/* a run() switches it on */
}

/* Once more, with the buffers that there are now. */
static void vnet_rx_again(struct vnet *n, struct vq *vq)
{
	(void)vnet_rx_one(n, vq, 0);	/* what waits goes first: no recv() */
	vnet_rx_put_back_first(n, vq);
	vq_flush(vq);
}

/* The driver has rung, or may have posted buffers before it could. */
void vnet_rx_run(struct vnet *n, struct vq *vq)
{
	struct vnet_queue *q = &n->queue[vq->index / 2];

	if (vq->index / 2 >= n->st->pairs || !n->link)
		return;
	vnet_set_offloads(n);
	vq_quiet(vq);
	if (q->len)
		vnet_rx_again(n, vq);
	if (!q->len && !vq->dead)
		vnet_rx_set_all(n, vq, true);
}

void vnet_rx_drop(struct vnet *n, struct vq *vq)
{
	struct vnet_queue *q = &n->queue[vq->index / 2];

	if (q->len)
		vnet_rx_lose(n, q);
	if (vq->index / 2 < n->st->pairs)
		vnet_rx_set_all(n, vq, false);
}

void vnet_rx_timer(struct vnet *n)
{
	uint64_t now = loop_now_ms();
	struct vnet_queue *q;
	unsigned int i;

	for (i = 0; i < n->opts.queues; i++) {
		q = &n->queue[i];
		if (!q->len) {
			vdev_kick(&n->vdev, 2 * i);
		} else if (now - q->stalled_ms < RX_PATIENCE_MS) {
			loop_timer_set(n->stall_timer, RX_PATIENCE_MS);
		} else {
			vnet_rx_drop(n, &n->vdev.vq[2 * i]);
			vdev_kick(&n->vdev, 2 * i);
		}
	}
}
