/* SPDX-License-Identifier: MIT */
/*
 * netrig.h: a network card above the seams, a driver's side of it, and a
 * network behind it, for unit tests and fuzzers.
 */
#ifndef XVD_NETRIG_H
#define XVD_NETRIG_H

#include "fake_net.h"
#include "rig.h"
#include "virtio_net.h"
#include "vnet.h"

#define NR_MIB		(1u << 20)
#define NR_RAM		(8 * NR_MIB)
#define NR_BUFFERS	(FAKE_RAM + NR_MIB)
#define NR_RING		64
#define NR_MAX_PAIRS	4
#define NR_CTRL		(2 * NR_MAX_PAIRS)	/* its place in ring[] */
#define NR_FRAME_BYTES	FAKE_NET_BYTES

#define NF(name)	(1ull << VIRTIO_NET_F_##name)
#define NR_ALL		(NET_CSUM | NET_TSO4 | NET_TSO6 | NET_TSO_ECN | \
			 NET_USO4 | NET_USO6)

struct netrig {
	struct rig		rig;
	struct fake_net		net;
	struct vdev		*vdev;
	struct ring		ring[NR_CTRL + 1];	/* rx, tx, ..., ctrl */
	unsigned int		desc[NR_CTRL + 1];	/* next free */
	uint64_t		buffer;			/* next free byte */
	struct net_stats	stats;
};

static const uint8_t nr_mac[6] = { 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03 };

static inline struct vnet_opts nr_opts(unsigned int queues)
{
	struct vnet_opts o = {
		.mtu		= 1500,
		.queues		= queues,
		.queue_size	= NR_RING,
		.send_offloads	= NR_ALL,
		.recv_offloads	= NR_ALL,
		.speed_mbit	= 10000,
	};

	memcpy(o.mac, nr_mac, sizeof(o.mac));
	return o;
}

static inline void nr_make(struct netrig *w, const struct vnet_opts *opts)
{
	struct net_info info = {
		.queues		= opts->queues,
		.send_offloads	= opts->send_offloads,
		.recv_offloads	= opts->recv_offloads,
	};
	struct net_events events;
	struct vdev_env env;
	int r;

	memset(w, 0, sizeof(*w));
	rig_init(&w->rig, NR_RAM);
	env = rig_env(&w->rig);
	r = vnet_open(&env, opts, &w->vdev);
	assert(!r);
	(void)r;
	events = vnet_events(w->vdev);
	fake_net_init(&w->net, &info, &events);
	vnet_connect(w->vdev, &w->net.base);
	rig_plug(&w->rig, w->vdev);
	w->buffer = NR_BUFFERS;
}

/* Rings for what @features make of the queues. */
static inline void nr_rings(struct netrig *w, uint64_t features)
{
	unsigned int pairs = (w->vdev->nqueues - 1) / 2, i, place;
	uint64_t at = FAKE_RAM;

	if (!(features & NF(MQ)))
		pairs = 1;
	for (i = 0; i <= 2 * pairs; i++) {
		place = i == 2 * pairs ? NR_CTRL : i;
		ring_init(&w->ring[place], &w->rig, i, NR_RING, at);
		at = w->ring[place].end;
		w->desc[place] = 0;
		ring_enable(&w->ring[place]);
	}
}

static inline void nr_start(struct netrig *w, uint64_t features)
{
	rig_up(&w->rig, features);
	rig_msix_on(&w->rig);
	nr_rings(w, features);
	rig_ok(&w->rig);
	assert(rig_status(&w->rig) == S_RUNNING);
	rig_run(&w->rig);
}

static inline void nr_open(struct netrig *w, unsigned int queues,
			   uint64_t features)
{
	struct vnet_opts o = nr_opts(queues);

	nr_make(w, &o);
	nr_start(w, features);
}

/* Without the features that may not be taken without others (5.1.3.1). */
static inline uint64_t nr_sane(uint64_t f)
{
	if (!(f & NF(GUEST_CSUM)))
		f &= ~(NF(GUEST_TSO4) | NF(GUEST_TSO6) | NF(GUEST_USO4) |
		       NF(GUEST_USO6));
	if (!(f & (NF(GUEST_TSO4) | NF(GUEST_TSO6))))
		f &= ~NF(GUEST_ECN);
	return f;
}

/*
 * The next driver, after a reset, with a network that is empty; for fuzzers,
 * which have no time for a new world each.
 */
static inline void nr_again(struct netrig *w, uint64_t features)
{
	unsigned int pairs = features & NF(MQ) ? NR_MAX_PAIRS : 1, i, place;

	rig_status_set(&w->rig, 0);
	assert(!rig_status(&w->rig));
	rig_run(&w->rig);
	assert(!w->rig.gm.maps && !w->rig.gm.holds);
	fake_net_clear(&w->net);
	memset(&w->rig.state.stats.net, 0, sizeof(w->stats));
	rig_negotiate(&w->rig, features);
	for (i = 0; i <= 2 * pairs; i++) {
		place = i == 2 * pairs ? NR_CTRL : i;
		w->ring[place].index = i;
		w->desc[place] = 0;
		ring_restart(&w->ring[place]);
		ring_enable(&w->ring[place]);
	}
	rig_ok(&w->rig);
	rig_run(&w->rig);
}

static inline void nr_close(struct netrig *w)
{
	rig_run(&w->rig);
	assert(!w->rig.gm.holds);
	rig_unplug(&w->rig);
	vnet_close(w->vdev);
	fake_net_fini(&w->net);
	rig_fini(&w->rig);
}

/* Everything that can happen now does. */
static inline void nr_run(struct netrig *w)
{
	unsigned int turns = 0;

	do {
		rig_run(&w->rig);
		assert(turns++ < 10000);
	} while (fake_net_turn(&w->net));
}

static inline uint64_t nr_buffer(struct netrig *w, uint64_t len)
{
	uint64_t at = w->buffer;

	w->buffer = ALIGN_UP(at + len + 64, 4096ull);
	assert(w->buffer <= FAKE_RAM + NR_RAM);
	return at;
}

struct nr_sg {
	uint64_t	addr;
	uint32_t	len;
	bool		in;
};

/* Posts a chain of @n parts.  Return: its head. */
static inline uint16_t nr_post(struct netrig *w, unsigned int place,
			       const struct nr_sg *sg, unsigned int n)
{
	struct ring *q = &w->ring[place];
	unsigned int i, d = w->desc[place], head = d % q->size;

	assert(n && n <= q->size);
	for (i = 0; i < n; i++, d++)
		ring_desc(q, d % q->size, sg[i].addr, sg[i].len,
			  (sg[i].in ? D_WRITE : 0) |
			  (i + 1 < n ? D_NEXT : 0),
			  (uint16_t)((d + 1) % q->size));
	w->desc[place] = d;
	ring_post(q, (uint16_t)head);
	return (uint16_t)head;
}

/* The same, through a table: any number of parts up to 256. */
static inline uint16_t nr_post_indirect(struct netrig *w, unsigned int place,
					const struct nr_sg *sg, unsigned int n)
{
	struct ring *q = &w->ring[place];
	uint64_t table = nr_buffer(w, 16ull * n);
	unsigned int i, head = w->desc[place]++ % q->size;

	for (i = 0; i < n; i++)
		table_desc(&w->rig.gm, table, i, sg[i].addr, sg[i].len,
			   (sg[i].in ? D_WRITE : 0) |
			   (i + 1 < n ? D_NEXT : 0), (uint16_t)(i + 1));
	ring_desc(q, head, table, 16 * n, D_INDIRECT, 0);
	ring_post(q, (uint16_t)head);
	return (uint16_t)head;
}

static inline uint16_t nr_post_one(struct netrig *w, unsigned int place,
				   uint64_t addr, uint32_t len, bool in)
{
	struct nr_sg sg = { addr, len, in };

	return nr_post(w, place, &sg, 1);
}

static inline void nr_kick(struct netrig *w, unsigned int place)
{
	ring_kick(&w->ring[place]);
	rig_run(&w->rig);
}

/*
 * A frame that is recognised: header all zero, to @to, from somebody, of
 * @len bytes without the header, the rest depending on @seed.
 */
static inline size_t nr_frame(uint8_t *f, const uint8_t to[6], size_t len,
			      unsigned int seed)
{
	size_t i;

	memset(f, 0, NET_HDR_BYTES);
	f += NET_HDR_BYTES;
	for (i = 0; i < len; i++)
		f[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + seed * 101 + 1);
	memcpy(f, to, MIN(len, (size_t)6));
	if (len > 6)
		f[6] = 0x02;
	if (len >= 14) {
		f[12] = 0x08;
		f[13] = 0x00;
	}
	return NET_HDR_BYTES + len;
}

/* Executes one command; @data may be NULL.  Return: the answer, or 0xee. */
static inline uint8_t nr_ctrl(struct netrig *w, uint8_t class, uint8_t cmd,
			      const void *data, uint32_t len)
{
	struct guest_mem *gm = &w->rig.gm;
	uint64_t save = w->buffer, at = nr_buffer(w, len + 2);
	uint64_t ack = nr_buffer(w, 1);
	struct nr_sg sg[2] = { { at, len + 2, false }, { ack, 1, true } };
	uint8_t *p = fake_ptr(gm, at, len + 2);
	uint32_t id, used;

	p[0] = class;
	p[1] = cmd;
	if (len)
		memcpy(p + 2, data, len);
	*(uint8_t *)fake_ptr(gm, ack, 1) = 0xee;
	nr_post(w, NR_CTRL, sg, 2);
	nr_kick(w, NR_CTRL);
	w->buffer = save;
	if (ring_used(&w->ring[NR_CTRL], &id, &used))
		assert(used == 1);
	return *(uint8_t *)fake_ptr(gm, ack, 1);
}

#define NR_CTRL_(w, class, cmd, data, len)				\
	nr_ctrl(w, VIRTIO_NET_CTRL_##class, VIRTIO_NET_CTRL_##cmd, data, len)

static inline const struct net_stats *nr_stats(struct netrig *w)
{
	w->stats = w->rig.state.stats.net;
	return &w->stats;
}

#endif
