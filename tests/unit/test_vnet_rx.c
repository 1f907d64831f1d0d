/* SPDX-License-Identifier: MIT */
/*
 * test_vnet_rx.c: the receive side of the network card: from what the backend
 * has to the driver's buffers, whatever their shape.
 */
#include "netrig.h"
#include "unit.h"

#define RX	0
#define MRG	NF(MRG_RXBUF)

static const uint8_t to_all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static uint8_t frame[2 * NR_FRAME_BYTES];
static uint8_t got[2 * NR_FRAME_BYTES];

static void assert_broken(struct netrig *w)
{
	assert_int_equal(rig_status(&w->rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(w->rig.gm.holds, 0);
}

/* Nothing is popped, nothing is held. */
static void assert_idle(struct netrig *w)
{
	unsigned int i;

	for (i = 0; i < w->vdev->nqueues; i++)
		assert_int_equal(w->rig.state.vq[i].inflight_count, 0);
	assert_int_equal(w->rig.gm.holds, 0);
}

static void arrive_on(struct netrig *w, unsigned int queue, uint32_t len,
		      unsigned int seed)
{
	fake_net_push(&w->net, queue, frame,
		      nr_frame(frame, to_all, len, seed));
}

static void arrive(struct netrig *w, uint32_t len, unsigned int seed)
{
	arrive_on(w, 0, len, seed);
}

/* A buffer of one part.  Contents: 0xa5. */
static uint64_t post(struct netrig *w, unsigned int place, uint32_t len)
{
	uint64_t at = nr_buffer(w, len);

	memset(fake_ptr(&w->rig.gm, at, len), 0xa5, len);
	nr_post_one(w, place, at, len, true);
	return at;
}

static void assert_used(struct netrig *w, unsigned int place, uint32_t head,
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

/* What is in @got is the frame of @len and @seed, in @buffers. */
static void assert_got(uint32_t len, unsigned int seed, unsigned int buffers)
{
	size_t n = nr_frame(frame, to_all, len, seed), i;

	frame[10] = (uint8_t)buffers;
	frame[11] = (uint8_t)(buffers >> 8);
	for (i = 0; i < n; i++)
		if (got[i] != frame[i])
			fail_msg("byte %zu of %zu: %#x, not %#x", i, n,
				 got[i], frame[i]);
}

static void assert_frame_at(struct netrig *w, uint64_t at, uint32_t len,
			    unsigned int seed)
{
	memcpy(got, fake_ptr(&w->rig.gm, at, len + NET_HDR_BYTES),
	       len + NET_HDR_BYTES);
	assert_got(len, seed, 1);
}

/* ---- shapes ---- */

static void test_receive(void **state)
{
	static const uint32_t lengths[] = { 14, 17, 18, 19, 60, 1514 };
	unsigned int i, mrg;
	struct netrig w;
	uint64_t at;

	(void)state;
	for (mrg = 0; mrg < 2; mrg++) {
		nr_open(&w, 1, mrg ? MRG : 0);
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			at = post(&w, RX, 2000);
			nr_kick(&w, RX);
			assert_true(w.net.on[0]);
			arrive(&w, lengths[i], i);
			nr_run(&w);
			assert_used(&w, RX, i, lengths[i] + NET_HDR_BYTES);
			assert_frame_at(&w, at, lengths[i], i);
			assert_int_equal(*(uint8_t *)fake_ptr(&w.rig.gm, at +
					 lengths[i] + NET_HDR_BYTES, 1), 0xa5);
		}
		assert_int_equal(nr_stats(&w)->rx_frames, ARRAY_SIZE(lengths));
		assert_int_equal(w.stats.rx_bytes, 14 + 17 + 18 + 19 + 60 +
				 1514);
		assert_int_equal(w.stats.rx_dropped, 0);
		assert_idle(&w);
		nr_close(&w);
	}
}

/* All but the beginning is received where it belongs. */
static void test_in_place(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 2000);
	arrive(&w, 1514, 1);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(w.net.last_first, 30);
	assert_int_equal(w.net.last_middle, 1970);
	assert_int_equal(w.net.last_tail, NR_FRAME_BYTES - 30);
	/* more than a frame: the rest is not looked at */
	post(&w, RX, 200000);
	arrive(&w, 1514, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(w.net.last_first, 30);
	assert_int_equal(w.net.last_middle, NR_FRAME_BYTES - 30);
	nr_close(&w);
}

static unsigned int rnd_state;

static unsigned int rnd(unsigned int below)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return (rnd_state >> 8) % below;
}

/* One chain of @bytes in @parts of any length, some of them of none. */
static uint16_t post_odd(struct netrig *w, uint64_t at, uint32_t bytes,
			 unsigned int parts)
{
	struct nr_sg sg[256];
	uint32_t left = bytes, len;
	unsigned int i;

	for (i = 0; i < parts; i++, at += len, left -= len) {
		if (i + 1 == parts)
			len = left;
		else if (parts >= bytes)
			len = left ? 1 : 0;
		else
			len = rnd(2) ? rnd(MIN(left, 40u) + 1) : rnd(left + 1);
		sg[i] = (struct nr_sg){ at, len, true };
	}
	return nr_post_indirect(w, RX, sg, parts);
}

/* Reads back @count used chains that were posted from @at[] on. */
static void read_back(struct netrig *w, const uint64_t *at,
		      const uint16_t *heads, const uint32_t *room,
		      uint32_t total)
{
	uint32_t id, used, sum = 0;
	unsigned int i;

	for (i = 0; ring_used(&w->ring[RX], &id, &used); i++) {
		assert_int_equal(id, heads[i]);
		assert_true(used && used <= room[i]);
		memcpy(got + sum, fake_ptr(&w->rig.gm, at[i], used), used);
		sum += used;
		if (sum < total)	/* full, but for the last one */
			assert_int_equal(used, room[i]);
	}
	assert_int_equal(sum, total);
	assert_int_equal(got[10] | got[11] << 8, i);
}

/* Any frame, any chains: what comes out is what went in. */
static void test_odd_shapes(void **state)
{
	uint64_t at[48];
	uint32_t room[48], len, sum;
	uint16_t heads[48];
	unsigned int round, n, parts;
	struct netrig w;

	(void)state;
	for (round = 0; round < 2000; round++) {
		rnd_state = round;
		nr_open(&w, 1, MRG | RIG_INDIRECT);
		w.rig.gm.iov_split = rnd(3) ? 4096 : 32;
		if (!rnd(5))
			w.rig.gm.max_holds = 1;
		len = 14 + rnd(rnd(2) ? 100 : 3000);
		for (n = 0, sum = 0; sum < len + NET_HDR_BYTES; n++) {
			room[n] = (n ? 1 : 12) + rnd(rnd(2) ? 60 : 2000);
			if (n == 46)
				room[n] = 4000;
			at[n] = nr_buffer(&w, room[n]);
			parts = 1 + rnd(rnd(3) ? 6 : 200);
			heads[n] = post_odd(&w, at[n], room[n], parts);
			sum += room[n];
		}
		arrive(&w, len, round);
		nr_kick(&w, RX);
		if (w.rig.gm.max_holds) {	/* none is to be had */
			struct guest_hold *h = guest_mem_hold(&w.rig.gm);

			nr_run(&w);
			guest_mem_release(&w.rig.gm, h);
		}
		nr_run(&w);
		read_back(&w, at, heads, room, len + NET_HDR_BYTES);
		assert_got(len, round, got[10] | got[11] << 8);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		assert_idle(&w);
		nr_close(&w);
	}
}

/* One byte per descriptor, without merging and with. */
static void test_one_byte_descriptors(void **state)
{
	unsigned int mrg;
	struct netrig w;
	uint64_t at;

	(void)state;
	for (mrg = 0; mrg < 2; mrg++) {
		nr_open(&w, 1, RIG_INDIRECT | (mrg ? MRG : 0));
		at = nr_buffer(&w, 256);
		post_odd(&w, at, 256, 256);
		arrive(&w, 244, 9);
		nr_kick(&w, RX);
		nr_run(&w);
		assert_used(&w, RX, 0, 256);
		assert_frame_at(&w, at, 244, 9);
		nr_close(&w);
	}
}

/* A readable part is passed over. */
static void test_readable_part(void **state)
{
	struct netrig w;
	struct nr_sg sg[2];

	(void)state;
	nr_open(&w, 1, MRG);
	sg[0] = (struct nr_sg){ nr_buffer(&w, 100), 100, false };
	sg[1] = (struct nr_sg){ nr_buffer(&w, 2000), 2000, true };
	memset(fake_ptr(&w.rig.gm, sg[0].addr, 100), 0x33, 100);
	nr_post(&w, RX, sg, 2);
	arrive(&w, 1000, 3);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_used(&w, RX, 0, 1012);
	assert_frame_at(&w, sg[1].addr, 1000, 3);
	assert_int_equal(*(uint8_t *)fake_ptr(&w.rig.gm, sg[0].addr, 1), 0x33);
	nr_close(&w);
}

/* ---- merging ---- */

static void test_merge(void **state)
{
	static const uint32_t lengths[] = { 65535, NET_MAX_FRAME, 4084, 4085,
					    8180, 8181 };
	unsigned int i, k, n, irqs, total;
	struct netrig w;
	uint64_t at[17];
	uint32_t used;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		nr_open(&w, 1, MRG);
		for (k = 0; k < 17; k++)
			at[k] = post(&w, RX, 4096);
		arrive(&w, lengths[i], i);
		irqs = w.rig.irq.count;
		nr_kick(&w, RX);
		nr_run(&w);
		total = lengths[i] + NET_HDR_BYTES;
		n = (total + 4095) / 4096;
		assert_int_equal(ring_used_idx(&w.ring[RX]), n);
		assert_int_equal(w.rig.irq.count, irqs + 1);
		for (k = 0; k < n; k++) {
			used = MIN(total - 4096 * k, 4096u);
			assert_used(&w, RX, k, used);
			memcpy(got + 4096 * k, fake_ptr(&w.rig.gm, at[k],
							used), used);
		}
		assert_got(lengths[i], i, n);
		assert_idle(&w);
		nr_close(&w);
	}
}

/* Without merging a frame that does not fit is lost, its buffer is not. */
static void test_no_merge(void **state)
{
	struct netrig w;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, 0);
	at = post(&w, RX, 1512);
	post(&w, RX, 1512);
	arrive(&w, 1501, 1);
	arrive(&w, 1500, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	assert_int_equal(w.stats.rx_frames, 1);
	assert_used(&w, RX, 0, 1512);
	assert_frame_at(&w, at, 1500, 2);
	assert_none_used(&w, RX);
	assert_idle(&w);
	nr_close(&w);
}

static void rx_breaks(uint64_t features, const struct nr_sg *sg,
		      unsigned int n, unsigned int first)
{
	struct netrig w;

	nr_open(&w, 1, features);
	fake_mem_hole(&w.rig.gm, NR_BUFFERS + NR_MIB, 4096);
	if (first)
		nr_post_one(&w, RX, NR_BUFFERS, first, true);
	nr_post(&w, RX, sg, n);
	nr_kick(&w, RX);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	arrive(&w, 100, 1);
	nr_run(&w);
	assert_broken(&w);
	assert_idle(&w);
	assert_none_used(&w, RX);
	assert_false(w.net.on[0]);
	nr_close(&w);
}

#define HOLE	(NR_BUFFERS + NR_MIB)
#define OK_AT	(NR_BUFFERS + 4096)

static void test_broken_buffers(void **state)
{
	static const struct nr_sg tiny = { OK_AT, 11, true };
	static const struct nr_sg empty = { OK_AT, 0, true };
	static const struct nr_sg readable = { OK_AT, 2000, false };
	static const struct nr_sg gone = { HOLE, 2000, true };
	static const struct nr_sg header_gone[] = {
		{ HOLE, 12, true }, { OK_AT, 2000, true },
	};
	static const struct nr_sg middle_gone[] = {
		{ OK_AT, 50, true }, { HOLE + 64, 10, true },
		{ OK_AT + 2048, 2000, true },
	};
	static const struct nr_sg grant = { GUEST_ADDR_GRANT | OK_AT, 2000,
					    true };
	unsigned int mrg;

	(void)state;
	for (mrg = 0; mrg < 2; mrg++) {
		uint64_t f = mrg ? MRG : 0;

		rx_breaks(f, &tiny, 1, 0);
		rx_breaks(f, &empty, 1, 0);
		rx_breaks(f, &readable, 1, 0);
		rx_breaks(f, &gone, 1, 0);
		rx_breaks(f, &grant, 1, 0);
		rx_breaks(f, header_gone, 2, 0);
		rx_breaks(f, middle_gone, 3, 0);
	}
	/* as the second one of a frame */
	rx_breaks(MRG, &empty, 1, 64);
	rx_breaks(MRG, &readable, 1, 64);
	rx_breaks(MRG, &gone, 1, 64);
	rx_breaks(MRG, middle_gone, 3, 20);
}

/* The guest takes its memory away while a frame waits for more of it. */
static void test_buffers_leave(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, MRG);
	nr_post_one(&w, RX, HOLE, 64, true);
	arrive(&w, 100, 1);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_none_used(&w, RX);
	fake_mem_hole(&w.rig.gm, HOLE, 4096);
	post(&w, RX, 2000);
	nr_kick(&w, RX);
	assert_broken(&w);
	assert_idle(&w);
	nr_close(&w);
}

/* ---- too few buffers ---- */

/* None: the backend is left alone until the driver rings. */
static void no_buffers(uint64_t features)
{
	unsigned int i, recvs;
	struct netrig w;
	uint64_t at;

	nr_open(&w, 1, features | MRG);
	assert_true(w.net.on[0]);	/* nobody knows yet */
	for (i = 0; i < 20; i++)
		arrive(&w, 60, i);
	nr_run(&w);
	assert_false(w.net.on[0]);
	assert_int_equal(w.net.recvs, 0);
	assert_int_equal(w.net.nin, 20);
	assert_idle(&w);

	/* ... which the driver is asked to do */
	if (features & RIG_EVENT_IDX)
		assert_int_equal(ring_avail_event(&w.ring[RX]), 0);
	else
		assert_int_equal(fake_get16(&w.rig.gm, w.ring[RX].used), 0);
	at = post(&w, RX, 100);
	post(&w, RX, 100);
	nr_run(&w);
	assert_int_equal(w.net.recvs, 0);
	nr_kick(&w, RX);
	assert_true(w.net.on[0]);
	nr_run(&w);
	assert_used(&w, RX, 0, 72);
	assert_used(&w, RX, 1, 72);
	assert_frame_at(&w, at, 60, 0);
	assert_int_equal(w.net.nin, 18);
	assert_false(w.net.on[0]);
	if (features & RIG_EVENT_IDX)
		assert_int_equal(ring_avail_event(&w.ring[RX]), 2);

	/* the driver rings for nothing: once each, no more */
	recvs = w.net.recvs;
	for (i = 0; i < 5; i++) {
		nr_kick(&w, RX);
		nr_run(&w);
		assert_false(w.net.on[0]);
	}
	assert_int_equal(w.net.recvs, recvs);
	assert_int_equal(w.net.nin, 18);
	assert_int_equal(nr_stats(&w)->rx_dropped, 0);
	fake_net_clear(&w.net);
	nr_close(&w);
}

static void test_no_buffers(void **state)
{
	(void)state;
	no_buffers(0);
	no_buffers(RIG_EVENT_IDX);
}

/* Too few for this frame: it waits, whole, and nothing overtakes it. */
static void test_frame_waits(void **state)
{
	uint32_t lens[3] = { 100, 20, 600 };
	unsigned int i, first, recvs;
	uint64_t at[3], more;
	struct netrig w;

	(void)state;
	for (first = 0; first < 3; first++) {
		nr_open(&w, 1, MRG | RIG_EVENT_IDX);
		for (i = 0; i < 2; i++)
			at[i] = post(&w, RX, lens[(first + i) % 3]);
		arrive(&w, 1514, 1);
		arrive(&w, 60, 2);
		nr_kick(&w, RX);
		nr_run(&w);
		assert_none_used(&w, RX);
		assert_false(w.net.on[0]);
		assert_int_equal(w.net.nin, 1);
		assert_idle(&w);
		/* it is to ring for the next one, not for these */
		assert_int_equal(ring_avail_event(&w.ring[RX]), 2);
		recvs = w.net.recvs;

		/* what is in the ring may change meanwhile; so may memory */
		fake_mem_move(&w.rig.gm);
		at[2] = post(&w, RX, lens[(first + 2) % 3]);
		nr_kick(&w, RX);
		assert_false(w.net.on[0]);
		nr_run(&w);
		assert_none_used(&w, RX);
		assert_int_equal(ring_avail_event(&w.ring[RX]), 3);
		assert_int_equal(w.net.recvs, recvs);

		more = post(&w, RX, 2000);
		post(&w, RX, 2000);
		nr_kick(&w, RX);
		nr_run(&w);
		for (i = 0; i < 3; i++) {
			uint32_t len = lens[(first + i) % 3];

			assert_used(&w, RX, i, len);
			memcpy(got + (i > 0) * lens[first] +
			       (i > 1) * lens[(first + 1) % 3],
			       fake_ptr(&w.rig.gm, at[i], len), len);
		}
		assert_used(&w, RX, 3, 1526 - 720);
		memcpy(got + 720, fake_ptr(&w.rig.gm, more, 1526 - 720),
		       1526 - 720);
		assert_got(1514, 1, 4);
		assert_used(&w, RX, 4, 72);
		assert_int_equal(nr_stats(&w)->rx_frames, 2);
		assert_int_equal(w.stats.rx_dropped, 0);
		assert_idle(&w);
		nr_close(&w);
	}
}

/* The buffer that a waiting frame began in is a smaller one later. */
static void test_waiting_frame_other_buffer(void **state)
{
	struct netrig w;
	uint64_t at, more;

	(void)state;
	nr_open(&w, 1, MRG);
	at = post(&w, RX, 600);
	arrive(&w, 1514, 7);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_none_used(&w, RX);
	ring_desc(&w.ring[RX], 0, at, 13, D_WRITE, 0);
	memset(fake_ptr(&w.rig.gm, at, 600), 0x77, 600);
	more = post(&w, RX, 2000);
	nr_kick(&w, RX);
	assert_used(&w, RX, 0, 13);
	assert_used(&w, RX, 1, 1526 - 13);
	memcpy(got, fake_ptr(&w.rig.gm, at, 13), 13);
	memcpy(got + 13, fake_ptr(&w.rig.gm, more, 1513), 1513);
	assert_got(1514, 7, 2);
	nr_close(&w);
}

/* All that a ring can have is not enough. */
static void test_frame_never_fits(void **state)
{
	struct netrig w;
	unsigned int i;

	(void)state;
	nr_open(&w, 1, MRG);
	for (i = 0; i < NR_RING; i++)
		post(&w, RX, 20);
	arrive(&w, 20 * NR_RING - NET_HDR_BYTES + 1, 1);
	arrive(&w, 20 * NR_RING - NET_HDR_BYTES, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	assert_int_equal(w.stats.rx_frames, 1);
	assert_int_equal(ring_used_idx(&w.ring[RX]), NR_RING);
	assert_idle(&w);
	nr_close(&w);
}

/* A driver that has no more: the frame is given up after a second. */
static void test_patience(void **state)
{
	struct netrig w;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG);
	at = post(&w, RX, 100);
	arrive(&w, 1514, 1);
	arrive(&w, 60, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	usleep(600 * 1000);
	nr_kick(&w, RX);	/* does not start anew */
	nr_run(&w);
	assert_none_used(&w, RX);
	usleep(500 * 1000);
	fake_turn(w.rig.loop);
	nr_run(&w);
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	assert_used(&w, RX, 0, 72);
	assert_frame_at(&w, at, 60, 2);
	nr_close(&w);
}

/* ---- headers and filters ---- */

struct hdr_case {
	uint8_t		flags, gso_type;
	uint64_t	without;
	bool		ok;
	uint8_t		got_flags;
};

#define GUEST	(NF(GUEST_CSUM) | NF(GUEST_TSO4) | NF(GUEST_TSO6) |	\
		 NF(GUEST_ECN) | NF(GUEST_USO4) | NF(GUEST_USO6))

static const struct hdr_case hdr_cases[] = {
	{ 0, 0, GUEST, true, 0 },
	{ 2, 0, GUEST, true, 0 },
	{ 1, 0, GUEST, false, 0 },
	{ 3, 0, GUEST, false, 0 },
	{ 1, 0, 0, true, 1 },
	{ 2, 0, 0, true, 2 },
	{ 0xff, 0, 0, true, 3 },
	{ 1, 1, 0, true, 1 },
	{ 1, 1, NF(GUEST_TSO4) | NF(GUEST_ECN), false, 0 },
	{ 1, 4, 0, true, 1 },
	{ 1, 4, NF(GUEST_TSO6), false, 0 },
	{ 1, 0x81, 0, true, 1 },
	{ 1, 0x81, NF(GUEST_ECN), false, 0 },
	{ 1, 0x84, NF(GUEST_TSO4), true, 1 },
	{ 1, 5, 0, true, 1 },
	{ 1, 5, NF(GUEST_USO4), true, 1 },
	{ 1, 5, NF(GUEST_USO4) | NF(GUEST_USO6), false, 0 },
	{ 1, 3, 0, false, 0 },
	{ 1, 2, 0, false, 0 },
	{ 1, 0x7f, 0, false, 0 },
};

static void test_headers(void **state)
{
	const struct hdr_case *c;
	struct netrig w;
	uint8_t *p;
	uint64_t at;
	size_t n;

	(void)state;
	for (c = hdr_cases; c < hdr_cases + ARRAY_SIZE(hdr_cases); c++) {
		nr_open(&w, 1, GUEST & ~c->without);
		at = post(&w, RX, 2000);
		nr_kick(&w, RX);
		n = nr_frame(frame, to_all, 500, 1);
		memset(frame, 0x11, NET_HDR_BYTES);
		frame[0] = c->flags;
		frame[1] = c->gso_type;
		fake_net_push(&w.net, 0, frame, n);
		nr_run(&w);
		if (nr_stats(&w)->rx_frames != c->ok ||
		    w.stats.rx_dropped != !c->ok)
			fail_msg("case %u", (unsigned int)(c - hdr_cases));
		p = fake_ptr(&w.rig.gm, at, 12);
		if (c->ok) {
			assert_int_equal(p[0], c->got_flags);
			assert_int_equal(p[1], c->gso_type);
			assert_int_equal(p[2] | p[9], 0x11);
			assert_int_equal(p[10] | p[11] << 8, 1);
		} else {
			assert_none_used(&w, RX);
		}
		assert_idle(&w);
		nr_close(&w);
	}
}

/* What the backend is told: once, when the driver is there. */
static void test_offloads_told(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, 0);
	assert_int_equal(w.net.sets, 0);	/* off is how it began */
	rig_status_set(&w.rig, 0);
	rig_negotiate(&w.rig, GUEST & ~NF(GUEST_ECN));
	ring_restart(&w.ring[RX]);
	ring_enable(&w.ring[RX]);
	rig_ok(&w.rig);
	rig_run(&w.rig);
	assert_int_equal(w.net.sets, 1);
	assert_int_equal(w.net.offloads, NR_ALL & ~NET_TSO_ECN);
	nr_kick(&w, RX);
	assert_int_equal(w.net.sets, 1);
	nr_close(&w);

	/* a host that refuses: the card works, and drops what it must */
	nr_open(&w, 1, 0);
	rig_status_set(&w.rig, 0);
	w.net.set_err = -EINVAL;
	rig_negotiate(&w.rig, GUEST);
	ring_restart(&w.ring[RX]);
	ring_enable(&w.ring[RX]);
	rig_ok(&w.rig);
	post(&w, RX, 100);
	arrive(&w, 60, 1);
	nr_run(&w);
	assert_int_equal(w.net.sets, 1);
	assert_int_equal(nr_stats(&w)->rx_frames, 1);
	nr_close(&w);
}

static void test_lengths(void **state)
{
	static const uint32_t bad[] = { 0, 1, 11, 12, 25, NR_FRAME_BYTES + 1,
					NR_FRAME_BYTES + 5000 };
	struct netrig w;
	unsigned int i;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 100000);
	nr_kick(&w, RX);
	memset(frame, 0, sizeof(frame));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_net_push(&w.net, 0, frame, bad[i]);
		nr_run(&w);
		assert_int_equal(nr_stats(&w)->rx_dropped, i + 1);
		assert_none_used(&w, RX);
	}
	arrive(&w, NET_MAX_FRAME, 1);
	nr_run(&w);
	assert_used(&w, RX, 0, NR_FRAME_BYTES);
	assert_idle(&w);
	nr_close(&w);
}

static const uint8_t to_me[6] = { 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03 };
static const uint8_t to_other[6] = { 0x00, 0x16, 0x3e, 0x99, 0x99, 0x99 };

/* Frames that nobody wants cost no buffer, and not more than a turn. */
static void test_filtered(void **state)
{
	uint8_t off = 0;
	struct netrig w;
	uint64_t at;
	unsigned int i;
	size_t n;

	(void)state;
	nr_open(&w, 1, MRG | NF(CTRL_VQ) | NF(CTRL_RX));
	assert_int_equal(NR_CTRL_(&w, RX, RX_PROMISC, &off, 1), 0);
	at = post(&w, RX, 2000);
	nr_kick(&w, RX);
	n = nr_frame(frame, to_other, 100, 1);
	for (i = 0; i < 3 * VNET_BATCH; i++)
		fake_net_push(&w.net, 0, frame, n);
	n = nr_frame(frame, to_me, 200, 2);
	fake_net_push(&w.net, 0, frame, n);
	assert_true(fake_net_turn(&w.net));
	assert_int_equal(w.net.nin, 2 * VNET_BATCH + 1);
	nr_run(&w);
	assert_int_equal(nr_stats(&w)->rx_filtered, 3 * VNET_BATCH);
	assert_int_equal(w.stats.rx_dropped, 0);
	assert_used(&w, RX, 0, 212);
	assert_none_used(&w, RX);
	frame[10] = 1;
	assert_memory_equal(fake_ptr(&w.rig.gm, at, 212), frame, 212);
	nr_close(&w);
}

/* ---- shares ---- */

static void test_rx_budget(void **state)
{
	struct netrig w;
	unsigned int i, irqs;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG);
	at = nr_buffer(&w, 100);
	for (i = 0; i < NR_RING; i++)
		nr_post_one(&w, RX, at, 100, true);
	nr_kick(&w, RX);
	for (i = 0; i < 2 * VNET_BATCH; i++)
		arrive(&w, 60, i);
	irqs = w.rig.irq.count;
	assert_true(fake_net_turn(&w.net));
	assert_int_equal(w.net.nin, VNET_BATCH);
	assert_int_equal(w.rig.irq.count, irqs + 1);
	assert_int_equal(ring_used_idx(&w.ring[RX]), VNET_BATCH);
	fake_net_clear(&w.net);
	nr_run(&w);
	nr_close(&w);

	nr_open(&w, 1, MRG);
	at = nr_buffer(&w, NR_FRAME_BYTES);
	for (i = 0; i < 12; i++) {
		nr_post_one(&w, RX, at, NR_FRAME_BYTES, true);
		arrive(&w, 65000, i);
	}
	nr_kick(&w, RX);
	assert_true(fake_net_turn(&w.net));
	assert_int_equal(ring_used_idx(&w.ring[RX]), 5);
	assert_true(fake_net_turn(&w.net));
	assert_int_equal(ring_used_idx(&w.ring[RX]), 10);
	nr_run(&w);
	assert_int_equal(ring_used_idx(&w.ring[RX]), 12);
	nr_close(&w);
}

/*
 * A driver with a ring full of buffers of one byte: each frame takes them all,
 * to be told that they do not suffice.
 */
static void test_rx_budget_chains(void **state)
{
	const unsigned int frames = 1 + VNET_BATCH_CHAINS / (NR_RING - 1);
	struct netrig w;
	unsigned int i;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG);
	at = nr_buffer(&w, 12);
	for (i = 0; i < NR_RING; i++)
		nr_post_one(&w, RX, at, i ? 1 : 12, true);
	nr_kick(&w, RX);
	for (i = 0; i < 3 * frames; i++)
		arrive(&w, 100, i);
	assert_true(fake_net_turn(&w.net));
	assert_int_equal(nr_stats(&w)->rx_dropped, frames);
	assert_int_equal(w.net.nin, 2 * frames);
	assert_idle(&w);
	nr_run(&w);
	assert_int_equal(nr_stats(&w)->rx_dropped, 3 * frames);
	assert_none_used(&w, RX);
	nr_close(&w);
}

/* ---- when nothing may be delivered ---- */

static void test_bus_master_off(void **state)
{
	struct netrig w;
	unsigned int maps;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 100);
	nr_kick(&w, RX);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	maps = w.rig.gm.holds_made;
	arrive(&w, 60, 1);
	nr_run(&w);
	assert_false(w.net.on[0]);
	assert_int_equal(w.net.recvs, 0);
	assert_int_equal(w.rig.gm.holds_made, maps);
	nr_kick(&w, RX);
	assert_false(w.net.on[0]);
	rig_command(&w.rig, RIG_COMMAND);
	nr_run(&w);
	assert_used(&w, RX, 0, 72);
	nr_close(&w);
}

static void test_draining(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 100);
	nr_kick(&w, RX);
	vdev_drain(w.vdev);
	arrive(&w, 60, 1);
	nr_run(&w);
	assert_int_equal(w.net.recvs, 0);
	assert_false(w.net.on[0]);
	assert_true(vdev_is_idle(w.vdev));
	fake_net_clear(&w.net);
	nr_close(&w);
}

/* In the middle of everything; the frame that waits is lost. */
static void test_reset(void **state)
{
	struct netrig w;
	unsigned int recvs;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG);
	at = post(&w, RX, 100);
	arrive(&w, 1514, 1);
	arrive(&w, 60, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(w.net.nin, 1);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.rig.gm.maps, 0);
	assert_false(w.net.on[0]);
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	recvs = w.net.recvs;
	memset(fake_ptr(&w.rig.gm, at, 100), 0x5c, 100);
	w.net.base.events.readable(w.net.base.events.arg, 0);
	nr_run(&w);
	assert_int_equal(w.net.recvs, recvs);
	assert_int_equal(*(uint8_t *)fake_ptr(&w.rig.gm, at, 1), 0x5c);

	rig_negotiate(&w.rig, MRG);
	ring_restart(&w.ring[RX]);
	w.desc[RX] = 0;
	ring_enable(&w.ring[RX]);
	at = post(&w, RX, 100);
	rig_ok(&w.rig);
	nr_run(&w);
	assert_used(&w, RX, 0, 72);
	assert_frame_at(&w, at, 60, 2);
	nr_close(&w);
}

/* A reset while the backend's queue is on and the ring has buffers. */
static void test_reset_running(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 100);
	nr_kick(&w, RX);
	assert_true(w.net.on[0]);
	rig_status_set(&w.rig, 0);
	assert_false(w.net.on[0]);
	arrive(&w, 60, 1);
	nr_run(&w);
	assert_int_equal(w.net.nin, 1);
	fake_net_clear(&w.net);
	nr_close(&w);
}

static void test_queue_reset(void **state)
{
	struct netrig w;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG | RIG_RING_RESET);
	post(&w, RX, 100);
	arrive(&w, 1514, 1);
	nr_kick(&w, RX);
	nr_run(&w);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT, RX);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	assert_false(w.net.on[0]);
	arrive(&w, 60, 2);
	nr_kick(&w, RX);
	nr_run(&w);
	assert_int_equal(w.net.nin, 1);
	ring_restart(&w.ring[RX]);
	w.desc[RX] = 0;
	at = post(&w, RX, 100);
	ring_enable(&w.ring[RX]);
	nr_run(&w);
	assert_used(&w, RX, 0, 72);
	assert_frame_at(&w, at, 60, 2);
	nr_close(&w);
}

static void test_memory_moves(void **state)
{
	struct netrig w;
	unsigned int i;
	uint64_t at;

	(void)state;
	nr_open(&w, 1, MRG);
	for (i = 0; i < 10; i++) {
		at = post(&w, RX, 2000);
		nr_kick(&w, RX);
		fake_mem_move(&w.rig.gm);
		arrive(&w, 1514, i);
		nr_run(&w);
		assert_used(&w, RX, i, 1526);
		assert_frame_at(&w, at, 1514, i);
	}
	nr_close(&w);
}

/* A backend in trouble is asked again, but not at once. */
static void test_recv_error(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, MRG);
	post(&w, RX, 100);
	nr_kick(&w, RX);
	w.net.recv_err = -EBADFD;
	arrive(&w, 60, 1);
	nr_run(&w);
	assert_int_equal(w.net.recvs, 1);
	assert_false(w.net.on[0]);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_idle(&w);
	w.net.recv_err = 0;
	usleep(1100 * 1000);
	fake_turn(w.rig.loop);
	nr_run(&w);
	assert_used(&w, RX, 0, 72);
	nr_close(&w);
}

/* ---- several queues ---- */

static void set_pairs(struct netrig *w, uint16_t pairs)
{
	__le16 val = le16_put(pairs);

	assert_int_equal(NR_CTRL_(w, MQ, MQ_VQ_PAIRS_SET, &val, 2), 0);
}

static void test_queues(void **state)
{
	unsigned int pairs, b, i, seen[4];
	uint16_t order[] = { 1, 4, 2, 3, 1, 4 };
	struct netrig w;
	uint64_t at;

	(void)state;
	nr_open(&w, 4, MRG | NF(MQ) | NF(CTRL_VQ));
	at = nr_buffer(&w, 2000);
	for (b = 0; b < 4; b++)
		for (i = 0; i < 30; i++)
			nr_post_one(&w, 2 * b, at, 2000, true);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		pairs = order[i];
		if (i)			/* one is how it begins */
			set_pairs(&w, (uint16_t)pairs);
		for (b = 0; b < 4; b++)
			nr_kick(&w, 2 * b);
		for (b = 0; b < 4; b++)
			seen[b] = ring_used_idx(&w.ring[2 * b]);
		for (b = 0; b < 4; b++) {
			assert_true(w.net.on[b]);
			arrive_on(&w, b, 60, b);
			nr_run(&w);
			seen[b % pairs]++;
			assert_int_equal(ring_used_idx(&w.ring[2 *
							(b % pairs)]),
					 seen[b % pairs]);
			assert_frame_at(&w, at, 60, b);
		}
	}
	assert_idle(&w);
	nr_close(&w);
}

/* One queue without buffers leaves the others alone. */
static void test_queue_without_buffers(void **state)
{
	struct netrig w;
	unsigned int b;

	(void)state;
	nr_open(&w, 4, MRG | NF(MQ) | NF(CTRL_VQ));
	set_pairs(&w, 2);
	post(&w, 2, 100);	/* receiveq2 */
	post(&w, 2, 100);
	nr_kick(&w, 0);
	nr_kick(&w, 2);
	for (b = 0; b < 2; b++)
		arrive_on(&w, b, 60, b);
	nr_run(&w);
	assert_false(w.net.on[0]);
	assert_true(w.net.on[1]);
	assert_false(w.net.on[2]);	/* ends in the same one */
	assert_true(w.net.on[3]);
	assert_none_used(&w, 0);
	assert_used(&w, 2, 0, 72);
	assert_int_equal(w.net.nin, 1);

	/* fewer pairs: what waited in the backend goes elsewhere ... */
	arrive_on(&w, 1, 1514, 2);
	nr_run(&w);
	post(&w, 0, 100);
	post(&w, 0, 100);
	set_pairs(&w, 1);
	nr_run(&w);
	assert_used(&w, 0, 0, 72);
	assert_none_used(&w, 0);
	assert_int_equal(w.net.nin, 0);
	/* ... and what waited for a buffer of that queue is lost */
	assert_int_equal(nr_stats(&w)->rx_dropped, 1);
	nr_close(&w);
}

/* A chain of more pieces than one call to the backend can have. */
static void test_many_pieces(void **state)
{
	struct netrig w;
	unsigned int mrg;
	uint64_t at;

	(void)state;
	for (mrg = 0; mrg < 2; mrg++) {
		nr_open(&w, 1, mrg ? MRG : 0);
		w.rig.gm.iov_split = 64;
		at = post(&w, RX, 70000);
		nr_kick(&w, RX);
		arrive(&w, 65535, 5);
		nr_run(&w);
		assert_true(w.net.last_middle < 64 * VNET_MAX_IOV);
		assert_used(&w, RX, 0, 65535 + NET_HDR_BYTES);
		assert_frame_at(&w, at, 65535, 5);
		nr_close(&w);
	}
}

/* A driver that never takes MQ gets the frames of all backend queues. */
static void test_one_of_many(void **state)
{
	struct netrig w;
	unsigned int b;

	(void)state;
	nr_open(&w, 4, MRG | NF(CTRL_VQ));
	for (b = 0; b < 4; b++)
		post(&w, 0, 100);
	nr_kick(&w, 0);
	for (b = 0; b < 4; b++)
		arrive_on(&w, b, 60, b);
	nr_run(&w);
	assert_int_equal(ring_used_idx(&w.ring[0]), 4);
	nr_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_receive),
	cmocka_unit_test(test_in_place),
	cmocka_unit_test(test_odd_shapes),
	cmocka_unit_test(test_one_byte_descriptors),
	cmocka_unit_test(test_many_pieces),
	cmocka_unit_test(test_readable_part),
	cmocka_unit_test(test_merge),
	cmocka_unit_test(test_no_merge),
	cmocka_unit_test(test_broken_buffers),
	cmocka_unit_test(test_buffers_leave),
	cmocka_unit_test(test_no_buffers),
	cmocka_unit_test(test_frame_waits),
	cmocka_unit_test(test_waiting_frame_other_buffer),
	cmocka_unit_test(test_frame_never_fits),
	cmocka_unit_test(test_patience),
	cmocka_unit_test(test_headers),
	cmocka_unit_test(test_offloads_told),
	cmocka_unit_test(test_lengths),
	cmocka_unit_test(test_filtered),
	cmocka_unit_test(test_rx_budget),
	cmocka_unit_test(test_rx_budget_chains),
	cmocka_unit_test(test_bus_master_off),
	cmocka_unit_test(test_draining),
	cmocka_unit_test(test_reset),
	cmocka_unit_test(test_reset_running),
	cmocka_unit_test(test_queue_reset),
	cmocka_unit_test(test_memory_moves),
	cmocka_unit_test(test_recv_error),
	cmocka_unit_test(test_queues),
	cmocka_unit_test(test_queue_without_buffers),
	cmocka_unit_test(test_one_of_many),
};

UNIT_MAIN(tests)
