/* SPDX-License-Identifier: MIT */
/*
 * fake_net.h: a network for tests of what is above net_backend.h.  Frames to
 * be received are put into its queues; frames that are sent are kept.  It
 * asserts what the seam's header promises to a backend.
 */
#ifndef XVD_FAKE_NET_H
#define XVD_FAKE_NET_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_net.h>
#include "net_backend.h"
#include "util.h"
#include "vnet_hdr.h"

#define FAKE_NET_FRAMES	512
#define FAKE_NET_BYTES	(NET_HDR_BYTES + NET_MAX_FRAME)

struct fake_frame {
	uint8_t		*bytes;		/* with the header */
	size_t		len;
	unsigned int	queue;
};

struct fake_net {
	struct net_backend	base;
	bool			on[NET_MAX_QUEUES];
	unsigned int		offloads;
	bool			closed;

	/* To be received, of all queues, in order. */
	struct fake_frame	in[FAKE_NET_FRAMES];
	unsigned int		nin;

	/* Sent: the first ones, and how many there were. */
	struct fake_frame	out[FAKE_NET_FRAMES];
	unsigned int		nout;

	unsigned int		recvs, sets;	/* calls */
	size_t			last_first;	/* iov[0] of the last recv() */
	size_t			last_tail;	/* its last one, and ... */
	size_t			last_middle;	/* all between the two */

	/* Set by the test. */
	unsigned int		room;		/* sends until -EAGAIN */
	int			send_err, recv_err, set_err;
	bool			down;
	void			(*meanwhile)(struct fake_net *f); /* recv() */
};

static inline struct fake_net *fake_net_of(struct net_backend *be)
{
	return container_of(be, struct fake_net, base);
}

/* What net_backend.h promises of a frame that is sent. */
static inline void fake_net_check(const struct fake_net *f,
				  const uint8_t *bytes, size_t len)
{
	struct virtio_net_hdr_v1 h;
	uint8_t type;
	uint32_t start, offset;

	memcpy(&h, bytes, sizeof(h));
	len -= sizeof(h);
	assert(len >= 14 && len <= NET_MAX_FRAME);
	start = le16toh((uint16_t)h.csum_start);
	offset = le16toh((uint16_t)h.csum_offset);
	assert(!(h.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) && !h.num_buffers);
	assert(le16toh((uint16_t)h.hdr_len) <= len);
	if (h.flags)
		assert((f->base.info.send_offloads & NET_CSUM) &&
		       start >= 14 && start + offset + 2 <= len);
	else
		assert(!start && !offset);
	type = h.gso_type & 0x7f;
	if (!h.gso_type) {
		assert(!h.gso_size && !h.hdr_len);
		return;
	}
	assert(h.gso_size && h.flags);
	assert(type == 1 || type == 4 || type == 5);
	assert(type != 1 || (f->base.info.send_offloads & NET_TSO4));
	assert(type != 4 || (f->base.info.send_offloads & NET_TSO6));
	assert(type != 5 || (f->base.info.send_offloads & NET_USO4));
	assert(h.gso_type == type ||
	       (type != 5 && (f->base.info.send_offloads & NET_TSO_ECN)));
	(void)type;
}

static inline int fake_net_set_offloads(struct net_backend *be,
					unsigned int offloads)
{
	struct fake_net *f = fake_net_of(be);

	assert(!(offloads & ~be->info.recv_offloads));
	f->offloads = offloads;
	f->sets++;
	return f->set_err;
}

static inline size_t fake_net_iov_bytes(const struct iovec *iov, int count)
{
	size_t sum = 0;
	int i;

	assert(count > 0 && count <= 1024);	/* UIO_MAXIOV */
	for (i = 0; i < count; i++) {
		assert(iov[i].iov_len);
		sum += iov[i].iov_len;
	}
	return sum;
}

static inline int fake_net_send(struct net_backend *be, unsigned int queue,
				const struct iovec *iov, int count)
{
	struct fake_net *f = fake_net_of(be);
	struct fake_frame *out = &f->out[f->nout % FAKE_NET_FRAMES];
	size_t len = fake_net_iov_bytes(iov, count);
	uint8_t *p;
	int i;

	assert(queue < be->info.queues && len <= FAKE_NET_BYTES);
	if (!f->room)
		return -EAGAIN;
	free(out->bytes);
	*out = (struct fake_frame){ malloc(len), len, queue };
	assert(out->bytes);
	for (i = 0, p = out->bytes; i < count; p += iov[i++].iov_len)
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
	fake_net_check(f, out->bytes, len);
	f->nout++;
	f->room--;
	return f->send_err;
}

static inline ssize_t fake_net_recv(struct net_backend *be, unsigned int queue,
				    const struct iovec *iov, int count)
{
	struct fake_net *f = fake_net_of(be);
	size_t len, n, at = 0, room = fake_net_iov_bytes(iov, count);
	unsigned int k;
	int i;

	f->recvs++;
	f->last_first = iov[0].iov_len;
	f->last_tail = iov[count - 1].iov_len;
	f->last_middle = room - f->last_first - f->last_tail;
	if (f->meanwhile)
		f->meanwhile(f);
	if (f->recv_err)
		return f->recv_err;
	for (k = 0; k < f->nin && f->in[k].queue != queue; k++)
		;
	if (k == f->nin)
		return -EAGAIN;
	len = f->in[k].len;
	for (i = 0; i < count && at < len; i++, at += n) {
		n = MIN(len - at, iov[i].iov_len);
		memcpy(iov[i].iov_base, f->in[k].bytes + at, n);
	}
	assert(room >= FAKE_NET_BYTES);
	free(f->in[k].bytes);
	f->nin--;
	memmove(&f->in[k], &f->in[k + 1], (f->nin - k) * sizeof(f->in[0]));
	return (ssize_t)len;
}

static inline void fake_net_rx_on(struct net_backend *be, unsigned int queue)
{
	struct fake_net *f = fake_net_of(be);

	assert(queue < be->info.queues && !f->on[queue]);
	f->on[queue] = true;
}

static inline void fake_net_rx_off(struct net_backend *be, unsigned int queue)
{
	struct fake_net *f = fake_net_of(be);

	assert(queue < be->info.queues && f->on[queue]);
	f->on[queue] = false;
}

static inline bool fake_net_link_up(struct net_backend *be)
{
	return !fake_net_of(be)->down;
}

static inline void fake_net_close(struct net_backend *be)
{
	assert(!fake_net_of(be)->closed);
	fake_net_of(be)->closed = true;
}

static const struct net_backend_ops fake_net_ops = {
	.name		= "fake",
	.set_offloads	= fake_net_set_offloads,
	.send		= fake_net_send,
	.recv		= fake_net_recv,
	.rx_on		= fake_net_rx_on,
	.rx_off		= fake_net_rx_off,
	.link_up	= fake_net_link_up,
	.close		= fake_net_close,
};

static inline void fake_net_init(struct fake_net *f,
				 const struct net_info *info,
				 const struct net_events *events)
{
	memset(f, 0, sizeof(*f));
	f->base.ops = &fake_net_ops;
	f->base.info = *info;
	f->base.events = *events;
	f->room = UINT32_MAX;
}

/* Forgets what was sent and what has not been received. */
static inline void fake_net_clear(struct fake_net *f)
{
	unsigned int i;

	for (i = 0; i < f->nin; i++)
		free(f->in[i].bytes);
	for (i = 0; i < FAKE_NET_FRAMES && f->out[i].bytes; i++) {
		free(f->out[i].bytes);
		f->out[i].bytes = NULL;
	}
	f->nin = 0;
	f->nout = 0;
}

static inline void fake_net_fini(struct fake_net *f)
{
	assert(f->closed);
	fake_net_clear(f);
}

/* One frame, header included, arrives; @len may be anything. */
static inline void fake_net_push(struct fake_net *f, unsigned int queue,
				 const void *bytes, size_t len)
{
	assert(f->nin < FAKE_NET_FRAMES);
	f->in[f->nin] = (struct fake_frame){ malloc(len ? len : 1), len,
					     queue };
	assert(f->in[f->nin].bytes);
	memcpy(f->in[f->nin++].bytes, bytes, len);
}

static inline bool fake_net_has(const struct fake_net *f, unsigned int queue)
{
	unsigned int i;

	for (i = 0; i < f->nin; i++)
		if (f->in[i].queue == queue)
			return true;
	return false;
}

/*
 * What the loop does: calls readable() for what is on and has frames, once
 * each.  Return: true if it called any.
 */
static inline bool fake_net_turn(struct fake_net *f)
{
	const struct net_events *e = &f->base.events;
	bool any = false;
	unsigned int q;

	for (q = 0; q < f->base.info.queues; q++) {
		if (!f->on[q] || !fake_net_has(f, q))
			continue;
		any = true;
		e->readable(e->arg, q);
	}
	return any;
}

static inline void fake_net_run(struct fake_net *f)
{
	unsigned int turns;

	for (turns = 0; fake_net_turn(f); turns++)
		assert(turns < 10000);		/* a busy loop */
}

#endif
