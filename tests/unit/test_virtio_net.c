/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_net.c: the network card's life and its transmit side, from the
 * descriptor chain to what the backend is given.  The backend (fake_net.h)
 * asserts its contract with every frame.
 */
#include "netrig.h"
#include "unit.h"

#define TX	1

static uint32_t config(struct netrig *w, unsigned int off, unsigned int size)
{
	return rig_mem(&w->rig, RIG_DEVICE + off, size);
}

#define CONFIG(w, field) config(w, offsetof(struct virtio_net_config, field), \
			sizeof(((struct virtio_net_config *)NULL)->field))

static void assert_broken(struct netrig *w)
{
	assert_int_equal(rig_status(&w->rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(w->rig.gm.holds, 0);
}

/* ---- what is offered ---- */

#define PLAIN	(NF(MAC) | NF(STATUS) | NF(MTU) | NF(MRG_RXBUF) |	\
		 NF(SPEED_DUPLEX) | NF(CTRL_VQ) | NF(CTRL_RX) |		\
		 NF(CTRL_RX_EXTRA) | NF(CTRL_VLAN) |			\
		 NF(CTRL_MAC_ADDR) | NF(GUEST_ANNOUNCE))
#define GUEST	(NF(GUEST_CSUM) | NF(GUEST_TSO4) | NF(GUEST_TSO6) |	\
		 NF(GUEST_ECN) | NF(GUEST_USO4) | NF(GUEST_USO6) |	\
		 NF(CTRL_GUEST_OFFLOADS))
#define HOST	(NF(CSUM) | NF(HOST_TSO4) | NF(HOST_TSO6) |		\
		 NF(HOST_ECN) | NF(HOST_USO))
#define RING_F	(RIG_BASE_FEATURES | RIG_INDIRECT | RIG_EVENT_IDX |	\
		 RIG_RING_RESET)

static uint64_t offer(unsigned int queues, unsigned int send,
		      unsigned int recv)
{
	struct vnet_opts o = nr_opts(queues);
	struct netrig w;
	uint64_t f;

	o.send_offloads = send;
	o.recv_offloads = recv;
	nr_make(&w, &o);
	rig_place(&w.rig);
	f = rig_offered(&w.rig);
	nr_close(&w);
	assert_int_equal(f & RING_F, RING_F);
	return f & ~RING_F;
}

/* The numbers of the standard, whatever our headers say. */
static void test_offer(void **state)
{
	(void)state;
	assert_int_equal(offer(1, 0, 0), PLAIN);
	assert_int_equal(PLAIN, 1ull << 3 | 1ull << 5 | 1ull << 15 |
			 1ull << 16 | 1ull << 17 | 1ull << 18 | 1ull << 19 |
			 1ull << 20 | 1ull << 21 | 1ull << 23 | 1ull << 63);
	assert_int_equal(offer(4, NR_ALL, NR_ALL),
			 PLAIN | GUEST | HOST | 1ull << 22);
	assert_int_equal(GUEST, 1ull << 1 | 1ull << 2 | 1ull << 7 | 1ull << 8 |
			 1ull << 9 | 1ull << 54 | 1ull << 55);
	assert_int_equal(HOST, 1ull << 0 | 1ull << 11 | 1ull << 12 |
			 1ull << 13 | 1ull << 56);
	assert_int_equal(offer(1, NR_ALL & ~NET_CSUM, NR_ALL & ~NET_CSUM),
			 PLAIN);
	assert_int_equal(offer(1, NET_CSUM | NET_TSO_ECN | NET_USO4,
			       NET_CSUM | NET_TSO_ECN | NET_USO4),
			 PLAIN | NF(CSUM) | NF(GUEST_CSUM) | NF(GUEST_USO4) |
			 NF(CTRL_GUEST_OFFLOADS));
	assert_int_equal(offer(1, NET_CSUM | NET_TSO_ECN | NET_TSO6, 0),
			 PLAIN | NF(CSUM) | NF(HOST_TSO6) | NF(HOST_ECN));
}

static void test_config(void **state)
{
	struct vnet_opts o = nr_opts(3);
	struct netrig w;
	unsigned int i;

	(void)state;
	o.mtu = 65535;
	nr_make(&w, &o);
	rig_place(&w.rig);
	for (i = 0; i < 6; i++)
		assert_int_equal(config(&w, i, 1), nr_mac[i]);
	assert_int_equal(CONFIG(&w, status), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(CONFIG(&w, max_virtqueue_pairs), 3);
	assert_int_equal(CONFIG(&w, mtu), 65535);
	assert_int_equal(CONFIG(&w, speed), 10000);
	assert_int_equal(CONFIG(&w, duplex), 1);
	assert_int_equal(config(&w, 17, 1), 0);
	assert_int_equal(config(&w, 16, 4), 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_NUMQ), 7);
	assert_int_equal(rig_cfg(&w.rig, PCI_DEVICE_ID, 2), 0x1041);
	assert_int_equal(rig_cfg(&w.rig, PCI_CLASS_DEVICE, 2), 0x0200);

	for (i = 0; i < 32; i++)	/* read-only, all of it */
		rig_mem_set(&w.rig, RIG_DEVICE + i, 1, 0x5a);
	for (i = 0; i < 6; i++)
		assert_int_equal(config(&w, i, 1), nr_mac[i]);
	assert_int_equal(CONFIG(&w, mtu), 65535);
	nr_close(&w);

	o.speed_mbit = 0;
	nr_make(&w, &o);
	rig_place(&w.rig);
	assert_int_equal(CONFIG(&w, speed), 0xffffffff);
	assert_int_equal(CONFIG(&w, duplex), 0xff);
	nr_close(&w);
	vnet_close(NULL);
}

static bool accepted(struct netrig *w, uint64_t features)
{
	uint8_t status;

	rig_status_set(&w->rig, 0);
	rig_negotiate(&w->rig, features);
	status = rig_status(&w->rig);
	assert_true(status == S_UP || status == (S_ACK | S_DRIVER));
	return status == S_UP;
}

static void test_feature_needs(void **state)
{
	static const struct {
		uint64_t	feature, any[2];
	} needs[] = {
		{ NF(GUEST_TSO4), { NF(GUEST_CSUM) } },
		{ NF(GUEST_TSO6), { NF(GUEST_CSUM) } },
		{ NF(GUEST_USO4), { NF(GUEST_CSUM) } },
		{ NF(GUEST_USO6), { NF(GUEST_CSUM) } },
		{ NF(GUEST_ECN), { NF(GUEST_CSUM) | NF(GUEST_TSO4),
				   NF(GUEST_CSUM) | NF(GUEST_TSO6) } },
		{ NF(HOST_TSO4), { NF(CSUM) } },
		{ NF(HOST_TSO6), { NF(CSUM) } },
		{ NF(HOST_USO), { NF(CSUM) } },
		{ NF(HOST_ECN), { NF(CSUM) | NF(HOST_TSO4),
				  NF(CSUM) | NF(HOST_TSO6) } },
		{ NF(CTRL_RX), { NF(CTRL_VQ) } },
		{ NF(CTRL_RX_EXTRA), { NF(CTRL_VQ) } },
		{ NF(CTRL_VLAN), { NF(CTRL_VQ) } },
		{ NF(CTRL_MAC_ADDR), { NF(CTRL_VQ) } },
		{ NF(CTRL_GUEST_OFFLOADS), { NF(CTRL_VQ) } },
		{ NF(GUEST_ANNOUNCE), { NF(CTRL_VQ) } },
		{ NF(MQ), { NF(CTRL_VQ) } },
	};
	struct vnet_opts o = nr_opts(2);
	struct netrig w;
	unsigned int i, k;

	(void)state;
	nr_make(&w, &o);
	rig_place(&w.rig);
	assert_true(accepted(&w, 0));
	assert_true(accepted(&w, PLAIN | GUEST | HOST | NF(MQ)));
	assert_false(accepted(&w, NF(GUEST_UFO)));
	assert_false(accepted(&w, 1ull << 60));
	for (i = 0; i < ARRAY_SIZE(needs); i++) {
		assert_false(accepted(&w, needs[i].feature));
		for (k = 0; k < 2 && needs[i].any[k]; k++)
			assert_true(accepted(&w, needs[i].feature |
					     needs[i].any[k]));
	}
	assert_false(accepted(&w, NF(GUEST_ECN) | NF(GUEST_CSUM)));
	nr_close(&w);
}

/* ---- sending ---- */

struct sent {
	uint16_t	head;
	uint64_t	at;
	uint32_t	len;		/* with the header */
};

/* A frame of @len bytes and its header @h, if any, in one buffer. */
static struct sent tx_put(struct netrig *w, uint32_t len,
			  const struct virtio_net_hdr_v1 *h)
{
	struct sent s = {
		.at	= nr_buffer(w, len + NET_HDR_BYTES),
		.len	= len + NET_HDR_BYTES,
	};
	uint8_t *p = fake_ptr(&w->rig.gm, s.at, s.len);

	nr_frame(p, (const uint8_t *)"\xff\xff\xff\xff\xff\xff", len, len);
	if (h)
		memcpy(p, h, sizeof(*h));
	return s;
}

static struct sent tx_post(struct netrig *w, unsigned int place, uint32_t len)
{
	struct sent s = tx_put(w, len, NULL);

	s.head = nr_post_one(w, place, s.at, s.len, false);
	return s;
}

static void assert_sent(struct netrig *w, unsigned int i, unsigned int queue,
			const struct sent *s)
{
	assert_true(i < w->net.nout);
	assert_int_equal(w->net.out[i].queue, queue);
	assert_int_equal(w->net.out[i].len, s->len);
	assert_memory_equal(w->net.out[i].bytes,
			    fake_ptr(&w->rig.gm, s->at, s->len), s->len);
}

static void assert_used(struct netrig *w, unsigned int place, uint16_t head,
			uint32_t len)
{
	uint32_t id, used;

	assert_true(ring_used(&w->ring[place], &id, &used));
	assert_int_equal(id, head);
	assert_int_equal(used, len);
}

static void assert_none_used(struct netrig *w, unsigned int place)
{
	assert_int_equal(ring_used_idx(&w->ring[place]),
			 w->ring[place].used_idx);
}

static void test_send(void **state)
{
	static const uint32_t lengths[] = { 14, 60, 1514, 9014, 65535,
					    NET_MAX_FRAME };
	struct netrig w;
	struct sent s;
	unsigned int i;

	(void)state;
	nr_open(&w, 1, 0);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		s = tx_post(&w, TX, lengths[i]);
		assert_int_equal(w.net.nout, i);
		nr_kick(&w, TX);
		assert_sent(&w, i, 0, &s);
		assert_used(&w, TX, s.head, 0);
	}
	assert_none_used(&w, TX);
	assert_int_equal(nr_stats(&w)->tx_frames, ARRAY_SIZE(lengths));
	assert_int_equal(w.stats.tx_bytes, 14 + 60 + 1514 + 9014 + 65535 +
			 NET_MAX_FRAME);
	assert_int_equal(w.stats.tx_dropped, 0);
	nr_close(&w);
}

/* Any framing is allowed (2.7.4.2), and a hold may be short of pieces. */
static void framings(unsigned int iov_split, unsigned int max_holds,
		     unsigned int other_holds)
{
	static const unsigned int cuts[][4] = {
		{ 1, 2, 3, 4 }, { 11, 12, 13, 14 }, { 12, 13, 26, 27 },
		{ 6, 12, 100, 299 }, { 26, 28, 30, 32 }, { 1, 5, 12, 40 },
	};
	struct guest_hold *other = NULL;
	struct nr_sg sg[256];
	struct netrig w;
	struct sent s;
	unsigned int i, k, at;

	nr_open(&w, 1, RIG_INDIRECT);
	w.rig.gm.iov_split = iov_split;
	w.rig.gm.max_holds = max_holds;
	if (other_holds)
		other = guest_mem_hold(&w.rig.gm);
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		s = tx_put(&w, 300 - NET_HDR_BYTES, NULL);
		for (k = 0, at = 0; k < 4; at = cuts[i][k++])
			sg[k] = (struct nr_sg){ s.at + at, cuts[i][k] - at,
						false };
		sg[4] = (struct nr_sg){ s.at + at, 300 - at, false };
		s.head = nr_post(&w, TX, sg, 5);
		nr_kick(&w, TX);
		assert_sent(&w, i, 0, &s);
		assert_used(&w, TX, s.head, 0);
	}
	s = tx_put(&w, 200 - NET_HDR_BYTES, NULL);
	for (k = 0; k < 200; k++)	/* one byte each */
		sg[k] = (struct nr_sg){ s.at + k, 1, false };
	s.head = nr_post_indirect(&w, TX, sg, 200);
	nr_kick(&w, TX);
	assert_sent(&w, i++, 0, &s);
	assert_used(&w, TX, s.head, 0);

	s = tx_put(&w, 65000, NULL);	/* the most segments there are */
	sg[0] = (struct nr_sg){ s.at, 12, false };
	for (k = 1; k < 256; k++)
		sg[k] = (struct nr_sg){ s.at + 12 + 250 * (k - 1), 250,
					false };
	sg[255].len = 65000 - 254 * 250;
	s.head = nr_post_indirect(&w, TX, sg, 256);
	nr_kick(&w, TX);
	assert_sent(&w, i, 0, &s);
	assert_used(&w, TX, s.head, 0);
	if (other)
		guest_mem_release(&w.rig.gm, other);
	nr_close(&w);
}

static void test_framing(void **state)
{
	(void)state;
	framings(4096, 0, 0);
	framings(64, 0, 0);	/* more pieces than fit: through a buffer */
	framings(4096, 1, 1);	/* nothing may be held: through a buffer */
}

/* ---- headers ---- */

#define V4	VIRTIO_NET_HDR_GSO_TCPV4
#define V6	VIRTIO_NET_HDR_GSO_TCPV6
#define UFO	VIRTIO_NET_HDR_GSO_UDP
#define USO	VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN	VIRTIO_NET_HDR_GSO_ECN
#define CS	VIRTIO_NET_HDR_F_NEEDS_CSUM

struct hdr_case {
	uint8_t		flags, gso_type;
	uint16_t	hdr_len, gso_size, start, offset;
	uint32_t	len;
	uint64_t	without;	/* features not taken */
	bool		ok;
	uint16_t	got_hdr_len;
};

static const struct hdr_case hdr_cases[] = {
	/* nothing asked for: the other fields do not count */
	{ 0, 0, 0, 0, 0, 0, 60, 0, true, 0 },
	{ 0, 0, 0xffff, 0xffff, 0xffff, 0xffff, 60, 0, true, 0 },
	{ 0xfe, 0, 99, 1, 2, 3, 60, HOST, true, 0 },
	/* a checksum: inside the frame, behind the addresses */
	{ CS, 0, 0, 0, 34, 16, 60, 0, true, 0 },
	{ CS | 2 | 4, 0, 54, 0, 34, 16, 60, 0, true, 0 },
	{ CS, 0, 0, 0, 42, 16, 60, 0, true, 0 },
	{ CS, 0, 0, 0, 43, 16, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 42, 17, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 14, 0, 16, 0, true, 0 },
	{ CS, 0, 0, 0, 14, 0, 15, 0, false, 0 },
	{ CS, 0, 0, 0, 13, 16, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 0, 0, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 0xffff, 0xffff, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 0xffff, 1, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 20, 0xffff, 60, 0, false, 0 },
	{ CS, 0, 0, 0, 34, 16, 60, HOST, false, 0 },
	/* TCP segments */
	{ CS, V4, 54, 1448, 34, 16, 4000, 0, true, 54 },
	{ CS, V4, 0, 1448, 34, 16, 4000, 0, true, 0 },
	{ CS, V4, 0xffff, 1448, 34, 16, 4000, 0, true, 4000 },
	{ CS, V4, 4001, 1, 34, 16, 4000, 0, true, 4000 },
	{ CS, V4, 54, 0, 34, 16, 4000, 0, false, 0 },
	{ 0, V4, 54, 1448, 34, 16, 4000, 0, false, 0 },
	{ CS, V4, 54, 1448, 34, 6, 4000, 0, false, 0 },
	{ CS, V4, 54, 1448, 34, 16, 54, 0, true, 54 },
	{ CS, V4, 54, 1448, 34, 16, 53, 0, false, 0 },
	{ CS, V4, 54, 1448, 34, 16, 4000, NF(HOST_TSO4) | NF(HOST_ECN), false,
	  0 },
	{ CS, V6, 74, 1428, 54, 16, 4000, 0, true, 74 },
	{ CS, V6, 74, 1428, 54, 16, 4000, NF(HOST_TSO6), false, 0 },
	{ CS, V4 | ECN, 54, 1448, 34, 16, 4000, 0, true, 54 },
	{ CS, V4 | ECN, 54, 1448, 34, 16, 4000, NF(HOST_ECN), false, 0 },
	{ CS, V6 | ECN, 54, 1448, 34, 16, 4000, 0, true, 54 },
	{ CS, ECN, 54, 1448, 34, 16, 4000, 0, false, 0 },
	/* UDP datagrams */
	{ CS, USO, 42, 1000, 34, 6, 4000, 0, true, 42 },
	{ CS, USO, 42, 1000, 34, 16, 4000, 0, false, 0 },
	{ CS, USO, 42, 0, 34, 6, 4000, 0, false, 0 },
	{ CS, USO, 42, 1000, 34, 6, 42, 0, true, 42 },
	{ CS, USO, 42, 1000, 34, 6, 41, 0, false, 0 },
	{ CS, USO | ECN, 42, 1000, 34, 6, 4000, 0, false, 0 },
	{ CS, USO, 42, 1000, 34, 6, 4000, NF(HOST_USO), false, 0 },
	/* fragments are not offered; the rest does not exist */
	{ CS, UFO, 42, 1000, 34, 6, 4000, 0, false, 0 },
	{ CS, 2, 42, 1000, 34, 16, 4000, 0, false, 0 },
	{ CS, 6, 42, 1000, 34, 16, 4000, 0, false, 0 },
	{ CS, 0x41, 42, 1000, 34, 16, 4000, 0, false, 0 },
	{ CS, 0x7f, 42, 1000, 34, 16, 4000, 0, false, 0 },
	{ CS, 0xff, 42, 1000, 34, 16, 4000, 0, false, 0 },
};

static void one_header(const struct hdr_case *c, unsigned int i)
{
	struct virtio_net_hdr_v1 h = {
		.flags		= c->flags,
		.gso_type	= c->gso_type,
		.hdr_len	= htole16(c->hdr_len),
		.gso_size	= htole16(c->gso_size),
		.csum_start	= htole16(c->start),
		.csum_offset	= htole16(c->offset),
		.num_buffers	= 0x5555,
	}, got, want = { 0 };
	struct netrig w;
	struct sent s;

	nr_open(&w, 1, HOST & ~c->without);
	s = tx_put(&w, c->len, &h);
	s.head = nr_post_one(&w, TX, s.at, s.len, false);
	nr_kick(&w, TX);
	assert_used(&w, TX, s.head, 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	if (w.net.nout != c->ok)
		fail_msg("case %u: sent %u", i, w.net.nout);
	assert_int_equal(nr_stats(&w)->tx_dropped, !c->ok);
	if (c->ok) {
		memcpy(&got, w.net.out[0].bytes, sizeof(got));
		want.flags = c->flags & CS;
		want.gso_type = c->gso_type;
		want.hdr_len = htole16(c->got_hdr_len);
		if (c->gso_type)
			want.gso_size = h.gso_size;
		if (want.flags) {
			want.csum_start = h.csum_start;
			want.csum_offset = h.csum_offset;
		}
		assert_memory_equal(&got, &want, sizeof(want));
		assert_int_equal(w.net.out[0].len, s.len);
	}
	nr_close(&w);
}

static void test_headers(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(hdr_cases); i++)
		one_header(&hdr_cases[i], i);
}

/* ---- what is wrong with a chain ---- */

static void test_frame_lengths(void **state)
{
	static const struct {
		uint32_t	len;
		bool		ok;
	} cases[] = {
		{ 0, false }, { 1, false }, { 13, false }, { 14, true },
		{ NET_MAX_FRAME, true }, { NET_MAX_FRAME + 1, false },
		{ 200000, false },
	};
	unsigned int i, sent = 0;
	struct netrig w;
	struct sent s;

	(void)state;
	nr_open(&w, 1, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		s = tx_post(&w, TX, cases[i].len);
		nr_kick(&w, TX);
		assert_used(&w, TX, s.head, 0);
		sent += cases[i].ok;
		assert_int_equal(w.net.nout, sent);
		assert_int_equal(nr_stats(&w)->tx_dropped, i + 1 - sent);
	}
	/* 4 GiB and more, said to be in memory and not looked for */
	for (i = 0; i < 3; i++) {
		struct nr_sg sg[2] = {
			{ nr_buffer(&w, 12), 12, false },
			{ NR_BUFFERS, UINT32_MAX - i, false },
		};

		s.head = nr_post(&w, TX, sg, 2);
		nr_kick(&w, TX);
		assert_used(&w, TX, s.head, 0);
	}
	assert_int_equal(w.net.nout, sent);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	nr_close(&w);
}

static void tx_breaks(const struct nr_sg *sg, unsigned int n)
{
	struct netrig w;
	uint16_t head;

	nr_open(&w, 1, 0);
	fake_mem_hole(&w.rig.gm, NR_BUFFERS + NR_MIB, 4096);
	head = nr_post(&w, TX, sg, n);
	tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_broken(&w);
	assert_int_equal(w.net.nout, 0);
	(void)head;
	nr_kick(&w, TX);
	assert_int_equal(w.net.nout, 0);
	assert_int_equal(w.rig.state.vq[TX].inflight_count, 0);

	/* as new after a reset */
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	rig_negotiate(&w.rig, 0);
	ring_restart(&w.ring[TX]);
	ring_enable(&w.ring[TX]);
	rig_ok(&w.rig);
	w.desc[TX] = 0;
	tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_int_equal(w.net.nout, 1);
	nr_close(&w);
}

#define HOLE	(NR_BUFFERS + NR_MIB)

static void test_broken_chains(void **state)
{
	static const struct nr_sg short_header[] = {
		{ NR_BUFFERS, 11, false },
	};
	static const struct nr_sg no_out[] = { { NR_BUFFERS, 100, true } };
	static const struct nr_sg nothing[] = { { NR_BUFFERS, 0, false } };
	static const struct nr_sg header_gone[] = {
		{ NR_BUFFERS, 6, false }, { HOLE, 6, false },
		{ NR_BUFFERS, 60, false },
	};
	static const struct nr_sg frame_gone[] = {
		{ NR_BUFFERS, 12, false }, { NR_BUFFERS, 60, false },
		{ HOLE + 100, 60, false },
	};
	static const struct nr_sg grant[] = {
		{ NR_BUFFERS, 12, false },
		{ GUEST_ADDR_GRANT | NR_BUFFERS, 60, false },
	};

	(void)state;
	tx_breaks(short_header, 1);
	tx_breaks(no_out, 1);
	tx_breaks(nothing, 1);
	tx_breaks(header_gone, 3);
	tx_breaks(frame_gone, 3);
	tx_breaks(grant, 2);
}

/* A writable part is none of our business. */
static void test_writable_part(void **state)
{
	struct netrig w;
	struct nr_sg sg[2];
	struct sent s;

	(void)state;
	nr_open(&w, 1, 0);
	s = tx_put(&w, 100, NULL);
	sg[0] = (struct nr_sg){ s.at, s.len, false };
	sg[1] = (struct nr_sg){ nr_buffer(&w, 64), 64, true };
	memset(fake_ptr(&w.rig.gm, sg[1].addr, 64), 0xa5, 64);
	s.head = nr_post(&w, TX, sg, 2);
	nr_kick(&w, TX);
	assert_sent(&w, 0, 0, &s);
	assert_used(&w, TX, s.head, 0);
	assert_int_equal(*(uint8_t *)fake_ptr(&w.rig.gm, sg[1].addr, 1), 0xa5);
	nr_close(&w);
}

/* ---- a backend without room ---- */

static void writable(struct netrig *w, unsigned int queue)
{
	w->net.base.events.writable(w->net.base.events.arg, queue);
	rig_run(&w->rig);
}

static void test_no_room(void **state)
{
	struct netrig w;
	struct sent s[6];
	unsigned int i;

	(void)state;
	nr_open(&w, 1, 0);
	for (i = 0; i < 6; i++)
		s[i] = tx_post(&w, TX, 60 + i);
	w.net.room = 2;
	nr_kick(&w, TX);
	assert_int_equal(w.net.nout, 2);
	assert_used(&w, TX, s[0].head, 0);
	assert_used(&w, TX, s[1].head, 0);
	assert_none_used(&w, TX);
	assert_int_equal(w.rig.state.vq[TX].inflight_count, 0);

	w.net.room = 100;	/* only writable() counts */
	nr_kick(&w, TX);
	assert_int_equal(w.net.nout, 2);
	w.net.room = 1;
	writable(&w, 0);
	assert_int_equal(w.net.nout, 3);
	w.net.room = 0;
	writable(&w, 0);
	assert_int_equal(w.net.nout, 3);

	/* bus master off: not now */
	w.net.room = 100;
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	writable(&w, 0);
	assert_int_equal(w.net.nout, 3);
	rig_command(&w.rig, RIG_COMMAND);
	rig_run(&w.rig);
	assert_int_equal(w.net.nout, 6);
	for (i = 2; i < 6; i++) {
		assert_used(&w, TX, s[i].head, 0);
		assert_sent(&w, i, 0, &s[i]);
	}
	writable(&w, 0);	/* asked for by nobody */
	assert_none_used(&w, TX);
	assert_int_equal(nr_stats(&w)->tx_frames, 6);
	assert_int_equal(w.stats.tx_dropped, 0);
	nr_close(&w);
}

/* A reset has nothing to wait for, and the next driver starts afresh. */
static void test_reset_without_room(void **state)
{
	struct netrig w;
	struct sent s;

	(void)state;
	nr_open(&w, 1, RIG_RING_RESET);
	tx_post(&w, TX, 60);
	w.net.room = 0;
	nr_kick(&w, TX);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.rig.gm.maps, 0);
	w.net.room = 100;
	rig_negotiate(&w.rig, RIG_RING_RESET);
	ring_restart(&w.ring[TX]);
	w.desc[TX] = 0;
	ring_enable(&w.ring[TX]);
	rig_ok(&w.rig);
	s = tx_post(&w, TX, 61);
	nr_kick(&w, TX);
	assert_int_equal(w.net.nout, 1);
	assert_sent(&w, 0, 0, &s);
	assert_used(&w, TX, s.head, 0);

	/* writable() comes when there is no driver */
	w.net.room = 0;
	tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	rig_status_set(&w.rig, 0);
	w.net.room = 100;
	writable(&w, 0);
	assert_int_equal(w.net.nout, 1);
	rig_negotiate(&w.rig, RIG_RING_RESET);
	ring_restart(&w.ring[TX]);
	w.desc[TX] = 0;
	ring_enable(&w.ring[TX]);
	rig_ok(&w.rig);

	/* of the queue alone */
	w.net.room = 0;
	tx_post(&w, TX, 62);
	nr_kick(&w, TX);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, TX);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	w.net.room = 100;
	writable(&w, 0);
	assert_int_equal(w.net.nout, 1);
	ring_restart(&w.ring[TX]);
	w.desc[TX] = 0;
	ring_enable(&w.ring[TX]);
	s = tx_post(&w, TX, 63);
	nr_kick(&w, TX);
	assert_sent(&w, 1, 0, &s);
	nr_close(&w);
}

static void test_send_error(void **state)
{
	struct netrig w;
	struct sent s;

	(void)state;
	nr_open(&w, 1, 0);
	w.net.send_err = -EIO;
	s = tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_used(&w, TX, s.head, 0);
	assert_int_equal(nr_stats(&w)->tx_dropped, 1);
	assert_int_equal(w.stats.tx_frames, 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	nr_close(&w);
}

/* ---- shares ---- */

static void test_tx_budget(void **state)
{
	struct vnet_opts o = nr_opts(1);
	unsigned int i, irqs;
	struct netrig w;
	uint64_t at;

	(void)state;
	nr_make(&w, &o);
	nr_start(&w, 0);
	at = tx_put(&w, 60, NULL).at;
	for (i = 0; i < NR_RING; i++)
		nr_post_one(&w, TX, at, 72, false);
	irqs = w.rig.irq.count;
	ring_kick(&w.ring[TX]);
	fake_turn(w.rig.loop);
	assert_int_equal(w.net.nout, VNET_BATCH);
	assert_int_equal(ring_used_idx(&w.ring[TX]), VNET_BATCH);
	assert_int_equal(w.rig.irq.count, irqs + 1);

	/* large ones: no more than the bytes of a turn and one frame */
	at = tx_put(&w, 65000, NULL).at;
	for (i = 0; i < 12; i++)
		nr_post_one(&w, TX, at, 65012, false);
	ring_kick(&w.ring[TX]);
	fake_turn(w.rig.loop);
	assert_int_equal(w.net.nout, VNET_BATCH + 5);
	fake_turn(w.rig.loop);
	assert_int_equal(w.net.nout, VNET_BATCH + 10);
	rig_run(&w.rig);
	assert_int_equal(w.net.nout, VNET_BATCH + 12);

	/* and those that are dropped count, too */
	for (i = 0; i < 12; i++)
		nr_post_one(&w, TX, at, 200000, false);
	ring_kick(&w.ring[TX]);
	fake_turn(w.rig.loop);
	assert_int_equal(nr_stats(&w)->tx_dropped, 4);
	rig_run(&w.rig);
	assert_int_equal(nr_stats(&w)->tx_dropped, 12);
	nr_close(&w);
}

/* ---- link ---- */

static void test_link(void **state)
{
	struct netrig w;
	struct sent s;
	unsigned int irqs;
	uint8_t gen;

	(void)state;
	nr_open(&w, 1, NF(STATUS) | NF(CTRL_VQ) | NF(GUEST_ANNOUNCE));
	assert_true(w.net.on[0]);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, 0);
	irqs = w.rig.irq.count;
	gen = (uint8_t)rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION);

	vnet_set_link(w.vdev, false);
	assert_int_equal(CONFIG(&w, status), 0);
	assert_int_equal(w.rig.irq.count, irqs + 1);
	assert_int_equal(w.rig.irq.event[irqs].data, RIG_MSI_DATA);
	assert_int_not_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION),
			     gen);
	assert_false(w.net.on[0]);
	vnet_set_link(w.vdev, false);
	assert_int_equal(w.rig.irq.count, irqs + 1);
	s = tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_used(&w, TX, s.head, 0);
	assert_int_equal(w.net.nout, 0);
	assert_int_equal(nr_stats(&w)->tx_dropped, 1);
	nr_kick(&w, 0);		/* of the receive queue: still off */
	assert_false(w.net.on[0]);

	/* up only if both say so; the network has to learn again */
	w.net.base.events.link(w.net.base.events.arg, false);
	vnet_set_link(w.vdev, true);
	assert_int_equal(CONFIG(&w, status), 0);
	w.net.base.events.link(w.net.base.events.arg, true);
	rig_run(&w.rig);
	assert_int_equal(CONFIG(&w, status),
			 VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_true(w.net.on[0]);
	assert_int_equal(NR_CTRL_(&w, ANNOUNCE, ANNOUNCE_ACK, NULL, 0), 0);
	assert_int_equal(CONFIG(&w, status), VIRTIO_NET_S_LINK_UP);
	vnet_announce(w.vdev);
	assert_int_equal(CONFIG(&w, status),
			 VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	rig_status_set(&w.rig, 0);
	assert_int_equal(CONFIG(&w, status), VIRTIO_NET_S_LINK_UP);
	nr_close(&w);
}

static void push(struct netrig *w, unsigned int queue, unsigned int seed,
		 size_t len)
{
	static uint8_t frame[FAKE_NET_BYTES];

	fake_net_push(&w->net, queue, frame,
		      nr_frame(frame, nr_mac, len, seed));
}

/* What came while the cable was out is not heard when it is back. */
static void test_link_stale(void **state)
{
	uint64_t at[2];
	struct netrig w;
	unsigned int i;
	uint32_t id, len;

	(void)state;
	nr_open(&w, 2, NF(STATUS) | NF(CTRL_VQ) | NF(MQ));
	for (i = 0; i < 2; i++) {
		at[i] = nr_buffer(&w, 2000);
		nr_post_one(&w, 0, at[i], 2000, true);
	}
	nr_kick(&w, 0);
	vnet_set_link(w.vdev, false);
	for (i = 0; i < 100; i++)
		push(&w, i % 2, i, 60);
	fake_net_run(&w.net);
	rig_run(&w.rig);
	assert_int_equal(w.net.nin, 100);
	vnet_set_link(w.vdev, true);
	assert_int_equal(w.net.nin, 0);
	assert_int_equal(nr_stats(&w)->rx_dropped, 100);
	push(&w, 0, 200, 60);
	vnet_set_link(w.vdev, true);		/* it is in already */
	rig_run(&w.rig);
	fake_net_run(&w.net);
	rig_run(&w.rig);
	assert_int_equal(nr_stats(&w)->rx_frames, 1);
	assert_int_equal(w.stats.rx_dropped, 100);
	assert_true(ring_used(&w.ring[0], &id, &len));
	assert_false(ring_used(&w.ring[0], &id, &len));
	assert_int_equal(*(uint8_t *)fake_ptr(&w.rig.gm, at[0] + 12 + 20, 1),
			 (uint8_t)(20 * 7 + 200 * 101 + 1));
	nr_close(&w);
}

/* One frame lacked buffers, and others room, when it was pulled. */
static void test_link_waiting(void **state)
{
	struct netrig w;
	struct sent s[2];

	(void)state;
	nr_open(&w, 1, NF(STATUS) | NF(MRG_RXBUF));
	nr_post_one(&w, 0, nr_buffer(&w, 100), 100, true);
	nr_kick(&w, 0);
	push(&w, 0, 1, 1000);
	fake_net_run(&w.net);
	w.net.room = 0;
	s[0] = tx_post(&w, TX, 60);
	s[1] = tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_int_equal(ring_used_idx(&w.ring[TX]), 0);
	vnet_set_link(w.vdev, false);
	rig_run(&w.rig);
	assert_used(&w, TX, s[0].head, 0);
	assert_used(&w, TX, s[1].head, 0);
	assert_int_equal(w.net.nout, 0);
	assert_int_equal(nr_stats(&w)->tx_dropped, 2);
	assert_int_equal(w.stats.rx_dropped, 1);
	vnet_set_link(w.vdev, true);
	nr_post_one(&w, 0, nr_buffer(&w, 2000), 2000, true);
	nr_kick(&w, 0);
	fake_net_run(&w.net);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), 0);

	/* it goes on, and a word about room from then harms nobody */
	w.net.room = 9;
	s[0] = tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	assert_used(&w, TX, s[0].head, 0);
	assert_int_equal(w.net.nout, 1);
	w.net.base.events.writable(w.net.base.events.arg, 0);
	rig_run(&w.rig);
	nr_close(&w);
}

/* A network that never stops does not keep us from going on. */
static void flood(struct fake_net *f)
{
	static uint8_t frame[FAKE_NET_BYTES];

	if (f->nin < 4)
		fake_net_push(f, 0, frame, nr_frame(frame, nr_mac, 60, 1));
}

static void test_link_flood(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, NF(STATUS));
	vnet_set_link(w.vdev, false);
	w.net.meanwhile = flood;
	vnet_set_link(w.vdev, true);
	assert_int_equal(nr_stats(&w)->rx_dropped, VNET_STALE);
	w.net.meanwhile = NULL;
	nr_close(&w);
}

/* A driver that does not look is not told, nor is one that is not there. */
static void test_link_unwatched(void **state)
{
	struct netrig w;
	unsigned int irqs;

	(void)state;
	nr_open(&w, 1, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, 0);
	irqs = w.rig.irq.count;
	vnet_set_link(w.vdev, false);
	vnet_set_link(w.vdev, true);
	vnet_announce(w.vdev);
	assert_int_equal(CONFIG(&w, status), VIRTIO_NET_S_LINK_UP);
	rig_status_set(&w.rig, 0);
	rig_negotiate(&w.rig, NF(STATUS));
	vnet_set_link(w.vdev, false);
	assert_int_equal(w.rig.irq.count, irqs);
	assert_int_equal(CONFIG(&w, status), 0);
	nr_close(&w);
}

/* No backend yet, or one whose cable is out. */
static void test_no_backend(void **state)
{
	struct vnet_opts o = nr_opts(1);
	struct vdev_env env;
	struct vdev *vdev;
	struct rig r;

	(void)state;
	rig_init(&r, NR_RAM);
	env = rig_env(&r);
	assert_int_equal(vnet_open(&env, &o, &vdev), 0);
	rig_plug(&r, vdev);
	rig_place(&r);
	assert_int_equal(rig_mem(&r, RIG_DEVICE + 6, 2), 0);
	vnet_set_link(vdev, false);
	vnet_set_link(vdev, true);
	assert_int_equal(rig_mem(&r, RIG_DEVICE + 6, 2), 0);
	rig_unplug(&r);
	vnet_close(vdev);
	rig_fini(&r);
}

/* ---- several queues ---- */

static void test_tx_queues(void **state)
{
	struct netrig w;
	struct sent s[4];
	unsigned int i;

	(void)state;
	nr_open(&w, 4, NF(MQ) | NF(CTRL_VQ));
	for (i = 0; i < 4; i++)
		s[i] = tx_post(&w, 2 * i + 1, 60 + i);
	for (i = 0; i < 4; i++) {
		nr_kick(&w, 2 * i + 1);
		assert_sent(&w, i, i, &s[i]);
		assert_used(&w, 2 * i + 1, s[i].head, 0);
	}
	nr_close(&w);
}

/* Without MQ the third queue is the control queue (5.1.2). */
static void test_control_queue_is_third(void **state)
{
	uint8_t on = 1;
	struct netrig w;

	(void)state;
	nr_open(&w, 4, NF(CTRL_VQ) | NF(CTRL_RX));
	assert_int_equal(w.ring[NR_CTRL].index, 2);
	assert_int_equal(NR_CTRL_(&w, RX, RX_PROMISC, &on, 1), VIRTIO_NET_OK);
	nr_close(&w);

	nr_open(&w, 4, NF(CTRL_VQ) | NF(CTRL_RX) | NF(MQ));
	assert_int_equal(w.ring[NR_CTRL].index, 8);
	assert_int_equal(NR_CTRL_(&w, RX, RX_PROMISC, &on, 1), VIRTIO_NET_OK);
	nr_close(&w);
}

/* Queues that the driver's features do not make: nobody looks at them. */
static void test_queues_nobody_has(void **state)
{
	uint8_t on = 1;
	struct netrig w;
	struct ring q;
	uint64_t at;

	(void)state;
	nr_open(&w, 4, 0);
	assert_int_equal(NR_CTRL_(&w, RX, RX_PROMISC, &on, 1), 0xee);
	ring_init(&q, &w.rig, 3, NR_RING, w.ring[NR_CTRL].end);
	ring_enable(&q);
	at = tx_put(&w, 60, NULL).at;
	ring_desc(&q, 0, at, 72, 0, 0);
	ring_post(&q, 0);
	ring_kick(&q);
	rig_run(&w.rig);
	assert_int_equal(w.net.nout, 0);
	assert_int_equal(ring_used_idx(&q), 0);
	nr_close(&w);
}

/* ---- the smallest backend ---- */

static void test_null(void **state)
{
	struct vnet_opts o = nr_opts(2);
	struct net_info info = { .queues = 2 };
	struct net_events events;
	struct net_backend *be;
	struct net_stats stats;
	struct vdev_env env;
	struct netrig w;
	int fds[2][2];

	(void)state;
	memset(&w, 0, sizeof(w));
	rig_init(&w.rig, NR_RAM);
	env = rig_env(&w.rig);
	assert_int_equal(vnet_open(&env, &o, &w.vdev), 0);
	events = vnet_events(w.vdev);
	assert_int_equal(pipe(fds[0]), 0);
	assert_int_equal(net_null_ops.open(w.rig.loop, fds[0], &info, &events,
					   &be), 0);
	assert_int_equal(close(fds[0][0]), -1);	/* it has closed them */
	assert_int_equal(close(fds[0][1]), -1);
	vnet_connect(w.vdev, be);
	rig_plug(&w.rig, w.vdev);
	w.buffer = NR_BUFFERS;
	nr_start(&w, HOST | GUEST | NF(CTRL_VQ));
	assert_int_equal(CONFIG(&w, status), VIRTIO_NET_S_LINK_UP);
	tx_post(&w, TX, 60);
	nr_kick(&w, TX);
	nr_post_one(&w, 0, nr_buffer(&w, 2000), 2000, true);
	nr_kick(&w, 0);
	stats = w.rig.state.stats.net;
	assert_int_equal(stats.tx_frames, 1);
	assert_int_equal(stats.rx_frames, 0);
	assert_int_equal(be->ops->recv(be, 0, NULL, 0), -EAGAIN);
	rig_unplug(&w.rig);
	vnet_close(w.vdev);
	rig_fini(&w.rig);
	net_null_ops.close(NULL);
	assert_int_equal(net_null_ops.open(NULL, NULL, &info, &events, &be), 0);
	net_null_ops.close(be);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_offer),
	cmocka_unit_test(test_config),
	cmocka_unit_test(test_feature_needs),
	cmocka_unit_test(test_send),
	cmocka_unit_test(test_framing),
	cmocka_unit_test(test_headers),
	cmocka_unit_test(test_frame_lengths),
	cmocka_unit_test(test_broken_chains),
	cmocka_unit_test(test_writable_part),
	cmocka_unit_test(test_no_room),
	cmocka_unit_test(test_reset_without_room),
	cmocka_unit_test(test_send_error),
	cmocka_unit_test(test_tx_budget),
	cmocka_unit_test(test_link),
	cmocka_unit_test(test_link_stale),
	cmocka_unit_test(test_link_waiting),
	cmocka_unit_test(test_link_flood),
	cmocka_unit_test(test_link_unwatched),
	cmocka_unit_test(test_no_backend),
	cmocka_unit_test(test_tx_queues),
	cmocka_unit_test(test_control_queue_is_third),
	cmocka_unit_test(test_queues_nobody_has),
	cmocka_unit_test(test_null),
};

UNIT_MAIN(tests)
