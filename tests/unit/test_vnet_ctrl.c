/* SPDX-License-Identifier: MIT */
/*
 * test_vnet_ctrl.c: the network card's control queue: every command with
 * every wrong length, and what the right ones do to the frames that arrive.
 */
#include "netrig.h"
#include "unit.h"

#define CTRL	(NF(CTRL_VQ) | NF(CTRL_RX) | NF(CTRL_RX_EXTRA) |	\
		 NF(CTRL_VLAN) | NF(CTRL_MAC_ADDR) | NF(GUEST_ANNOUNCE) | \
		 NF(MQ) | NF(CTRL_GUEST_OFFLOADS))
#define GUEST	(NF(GUEST_CSUM) | NF(GUEST_TSO4) | NF(GUEST_TSO6) |	\
		 NF(GUEST_ECN) | NF(GUEST_USO4) | NF(GUEST_USO6))

#define OK	VIRTIO_NET_OK
#define ERR	VIRTIO_NET_ERR

static uint8_t frame[NR_FRAME_BYTES];

static struct vnet *vnet(struct netrig *w)
{
	return vnet_of(w->vdev);
}

static void open_all(struct netrig *w)
{
	nr_open(w, 4, CTRL | GUEST | NF(MRG_RXBUF) | NF(STATUS));
}

/* ---- form ---- */

struct command {
	uint8_t		class, cmd;
	uint32_t	len;
	const char	*data;
	uint64_t	feature;
};

#define NO_MACS	"\0\0\0\0\0\0\0\0"

static const struct command commands[] = {
	{ 0, 0, 1, "\1", NF(CTRL_RX) },
	{ 0, 1, 1, "\1", NF(CTRL_RX) },
	{ 0, 2, 1, "\1", NF(CTRL_RX_EXTRA) },
	{ 0, 3, 1, "\1", NF(CTRL_RX_EXTRA) },
	{ 0, 4, 1, "\1", NF(CTRL_RX_EXTRA) },
	{ 0, 5, 1, "\1", NF(CTRL_RX_EXTRA) },
	{ 1, 0, 8, NO_MACS, NF(CTRL_RX) },
	{ 1, 0, 20, "\1\0\0\0ABCDEF\1\0\0\0GHIJKL", NF(CTRL_RX) },
	{ 1, 1, 6, "\2BCDEF", NF(CTRL_MAC_ADDR) },
	{ 2, 0, 2, "\377\17", NF(CTRL_VLAN) },
	{ 2, 1, 2, "\1\0", NF(CTRL_VLAN) },
	{ 3, 0, 0, "", NF(GUEST_ANNOUNCE) },
	{ 4, 0, 2, "\2\0", NF(MQ) },
	{ 5, 0, 8, "\202\0\0\0\0\0\0\0", NF(CTRL_GUEST_OFFLOADS) },
};

/* The right length is accepted, and no other. */
static void test_lengths(void **state)
{
	const struct command *c;
	uint8_t data[64];
	struct netrig w;
	uint32_t len;

	(void)state;
	for (c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		open_all(&w);
		for (len = 0; len < c->len + 20; len++) {
			memset(data, 0, sizeof(data));
			memcpy(data, c->data, MIN(len, c->len));
			if (nr_ctrl(&w, c->class, c->cmd, data, len) !=
			    (len == c->len ? OK : ERR))
				fail_msg("command %u/%u, %u bytes", c->class,
					 c->cmd, len);
		}
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		nr_close(&w);
	}
}

/* Without its feature there is no such command. */
static void test_features(void **state)
{
	const struct command *c;
	struct netrig w;

	(void)state;
	for (c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		nr_open(&w, 4, (CTRL | GUEST) & ~c->feature);
		assert_int_equal(nr_ctrl(&w, c->class, c->cmd, c->data,
					 c->len), ERR);
		nr_close(&w);
		nr_open(&w, 4, NF(CTRL_VQ) | c->feature |
			(c->class == 5 ? GUEST : 0));
		assert_int_equal(nr_ctrl(&w, c->class, c->cmd, c->data,
					 c->len), OK);
		nr_close(&w);
	}
}

static void test_unknown(void **state)
{
	unsigned int class, cmd, i;
	struct netrig w;
	bool known;

	(void)state;
	open_all(&w);
	for (class = 0; class < 256; class += class < 8 ? 1 : 31) {
		for (cmd = 0; cmd < 256; cmd += cmd < 8 ? 1 : 31) {
			known = false;
			for (i = 0; i < ARRAY_SIZE(commands); i++)
				if (commands[i].class == class &&
				    commands[i].cmd == cmd)
					known = true;
			if (!known)
				assert_int_equal(nr_ctrl(&w, (uint8_t)class,
							 (uint8_t)cmd,
							 NO_MACS, 2), ERR);
		}
	}
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	nr_close(&w);
}

#define HOLE	(NR_BUFFERS + NR_MIB)

static void breaks(const struct nr_sg *sg, unsigned int n)
{
	struct netrig w;

	open_all(&w);
	fake_mem_hole(&w.rig.gm, HOLE, 4096);
	nr_post(&w, NR_CTRL, sg, n);
	nr_kick(&w, NR_CTRL);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(w.rig.state.vq[8].inflight_count, 0);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	nr_close(&w);
}

static void test_broken_chains(void **state)
{
	static const struct nr_sg no_command[] = {
		{ NR_BUFFERS, 1, false }, { NR_BUFFERS, 1, true },
	};
	static const struct nr_sg no_out[] = { { NR_BUFFERS, 100, true } };
	static const struct nr_sg no_answer[] = { { NR_BUFFERS, 3, false } };
	static const struct nr_sg answer_gone[] = {
		{ NR_BUFFERS, 3, false }, { HOLE, 1, true },
	};

	(void)state;
	breaks(no_command, 2);
	breaks(no_out, 1);
	breaks(no_answer, 1);
	breaks(answer_gone, 2);
}

/* The command, or its data, is not in memory: that is an answer's worth. */
static void test_data_gone(void **state)
{
	struct nr_sg sg[3] = { { 0, 2, false }, { HOLE, 1, false },
			       { 0, 1, true } };
	struct netrig w;
	uint8_t *p;

	(void)state;
	open_all(&w);
	fake_mem_hole(&w.rig.gm, HOLE, 4096);
	sg[0].addr = nr_buffer(&w, 2);
	sg[2].addr = nr_buffer(&w, 1);
	p = fake_ptr(&w.rig.gm, sg[2].addr, 1);
	*p = 0xee;
	nr_post(&w, NR_CTRL, sg, 3);
	nr_kick(&w, NR_CTRL);
	assert_int_equal(*p, ERR);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	nr_close(&w);
}

/* Any framing; the answer is the first writable byte. */
static void test_framing(void **state)
{
	static const char cmd[] = "\1\0\1\0\0\0ABCDEF\2\0\0\0GHIJKLMNOPQR";
	struct nr_sg sg[sizeof(cmd) + 2];
	struct netrig w;
	uint64_t at;
	unsigned int i, n = sizeof(cmd) - 1;
	uint32_t id, used;
	uint8_t *p;

	(void)state;
	open_all(&w);
	at = nr_buffer(&w, 200);
	p = fake_ptr(&w.rig.gm, at, 200);
	memcpy(p, cmd, n);
	memset(p + 100, 0xee, 20);
	for (i = 0; i < n; i++)
		sg[i] = (struct nr_sg){ at + i, 1, false };
	sg[n] = (struct nr_sg){ at + 100, 1, true };
	sg[n + 1] = (struct nr_sg){ at + 110, 10, true };
	nr_post(&w, NR_CTRL, sg, n + 2);
	nr_kick(&w, NR_CTRL);
	assert_int_equal(p[100], OK);
	assert_int_equal(p[110], 0xee);
	assert_true(ring_used(&w.ring[NR_CTRL], &id, &used));
	assert_int_equal(used, 1);
	assert_int_equal(vnet(&w)->filter.uni.count, 1);
	assert_memory_equal(vnet(&w)->filter.uni.mac[0], "ABCDEF", 6);
	assert_int_equal(vnet(&w)->filter.multi.count, 2);
	assert_memory_equal(vnet(&w)->filter.multi.mac[1], "MNOPQR", 6);
	nr_close(&w);
}

/* No more than a few commands a turn. */
static void test_budget(void **state)
{
	struct nr_sg sg[2];
	struct netrig w;
	unsigned int i;

	(void)state;
	open_all(&w);
	sg[0] = (struct nr_sg){ nr_buffer(&w, 2), 2, false };
	sg[1] = (struct nr_sg){ nr_buffer(&w, 1), 1, true };
	for (i = 0; i < 30; i++)
		nr_post(&w, NR_CTRL, sg, 2);
	ring_kick(&w.ring[NR_CTRL]);
	fake_turn(w.rig.loop);
	assert_int_equal(ring_used_idx(&w.ring[NR_CTRL]), 16);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[NR_CTRL]), 30);
	nr_close(&w);
}

/* ---- filters ---- */

/* Is a frame to @to let through, with a tag of VLAN @vlan if not -1? */
static bool wanted(struct netrig *w, const char *to, int vlan)
{
	uint64_t before = nr_stats(w)->rx_frames;
	uint64_t refused = w->stats.rx_filtered;
	uint64_t at = NR_BUFFERS;
	size_t n = nr_frame(frame, (const uint8_t *)to, 100, 1);

	if (vlan >= 0) {
		frame[24] = 0x81;
		frame[25] = 0x00;
		frame[26] = 0xe0 | (uint8_t)(vlan >> 8);
		frame[27] = (uint8_t)vlan;
	}
	nr_post_one(w, 0, at, 2000, true);
	nr_kick(w, 0);
	fake_net_push(&w->net, 0, frame, n);
	nr_run(w);
	assert_int_equal(nr_stats(w)->rx_frames + w->stats.rx_filtered,
			 before + refused + 1);
	assert_int_equal(w->stats.rx_dropped, 0);
	return w->stats.rx_frames > before;
}

#define ME	"\x00\x16\x3e\x01\x02\x03"
#define OTHER	"\x00\x16\x3e\x01\x02\x04"
#define ALL	"\xff\xff\xff\xff\xff\xff"
#define GROUP	"\x01\x00\x5e\x00\x00\x01"
#define GROUP2	"\x01\x00\x5e\x00\x00\x02"

static void mode(struct netrig *w, uint8_t which, uint8_t on)
{
	assert_int_equal(nr_ctrl(w, VIRTIO_NET_CTRL_RX, which, &on, 1), OK);
}

enum { PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST };

static void assert_wanted(struct netrig *w, bool me, bool other, bool group,
			  bool all)
{
	assert_int_equal(wanted(w, ME, -1), me);
	assert_int_equal(wanted(w, OTHER, -1), other);
	assert_int_equal(wanted(w, GROUP, -1), group);
	assert_int_equal(wanted(w, ALL, -1), all);
}

static void test_modes(void **state)
{
	struct netrig w;

	(void)state;
	open_all(&w);
	assert_wanted(&w, true, true, true, true);	/* promiscuous */
	mode(&w, PROMISC, 0);
	assert_wanted(&w, true, false, false, true);
	mode(&w, ALLMULTI, 0x80);			/* any but 0 is on */
	assert_wanted(&w, true, false, true, true);
	mode(&w, NOMULTI, 1);
	assert_wanted(&w, true, false, false, true);
	mode(&w, ALLUNI, 1);
	assert_wanted(&w, true, true, false, true);
	mode(&w, NOUNI, 1);
	assert_wanted(&w, false, false, false, true);
	mode(&w, NOBCAST, 1);
	assert_wanted(&w, false, false, false, false);
	mode(&w, PROMISC, 1);				/* over all of them */
	assert_wanted(&w, true, true, true, true);
	mode(&w, PROMISC, 0);
	mode(&w, NOUNI, 0);
	mode(&w, NOMULTI, 0);
	mode(&w, NOBCAST, 0);
	assert_wanted(&w, true, true, true, true);
	mode(&w, ALLUNI, 0);
	mode(&w, ALLMULTI, 0);
	assert_wanted(&w, true, false, false, true);
	nr_close(&w);

	/* a driver that cannot set modes gets everything */
	nr_open(&w, 1, 0);
	assert_wanted(&w, true, true, true, true);
	nr_close(&w);
}

/* @nuni and @nmulti addresses that end in their number, in @p. */
static uint32_t table(uint8_t *p, uint32_t nuni, uint32_t nmulti)
{
	uint8_t *start = p;
	uint32_t i, k, n[2] = { nuni, nmulti };

	for (k = 0; k < 2; k++) {
		memcpy(p, &(__le32){ le32_put(n[k]) }, 4);
		for (i = 0, p += 4; i < n[k]; i++, p += 6) {
			memcpy(p, k ? GROUP : ME, 6);
			p[4] = (uint8_t)(i >> 8);
			p[5] = (uint8_t)i;
		}
	}
	return (uint32_t)(p - start);
}

static void test_mac_table(void **state)
{
	uint8_t t[2000];
	struct netrig w;
	char uni[] = "\x00\x16\x3e\x01\x00\x00";
	char multi[] = "\x01\x00\x5e\x00\x00\x00";
	unsigned int i;
	uint32_t len;

	(void)state;
	open_all(&w);
	mode(&w, PROMISC, 0);
	len = table(t, 64, 64);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len), OK);
	for (i = 0; i < 66; i++) {
		uni[5] = multi[5] = (char)i;
		assert_int_equal(wanted(&w, uni, -1), i < 64);
		assert_int_equal(wanted(&w, multi, -1), i < 64);
	}
	assert_true(wanted(&w, ME, -1));

	/* too many of a kind: all of that kind */
	len = table(t, 65, 1);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len), OK);
	assert_true(wanted(&w, OTHER, -1));
	assert_false(wanted(&w, GROUP2, -1));
	len = table(t, 1, 65);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len), OK);
	assert_false(wanted(&w, OTHER, -1));
	assert_true(wanted(&w, GROUP2, -1));

	/* none: back to our own */
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, NO_MACS, 8), OK);
	assert_false(wanted(&w, OTHER, -1));
	assert_false(wanted(&w, GROUP2, -1));
	assert_true(wanted(&w, ME, -1));
	nr_close(&w);
}

/* Numbers that are not true; what is in force stays so. */
static void test_mac_table_lies(void **state)
{
	static const uint32_t counts[] = {
		3, 65, 1000, 0x2aaaaaab, 0x80000000, 0xffffffff,
	};
	uint8_t t[2000];
	struct netrig w;
	unsigned int i;
	uint32_t len;

	(void)state;
	open_all(&w);
	mode(&w, PROMISC, 0);
	len = table(t, 2, 2);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len), OK);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		len = table(t, 1, 1);
		memcpy(t, &(__le32){ le32_put(counts[i]) }, 4);
		assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len),
				 ERR);
		len = table(t, 1, 1);
		memcpy(t + 10, &(__le32){ le32_put(counts[i]) }, 4);
		assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len),
				 ERR);
	}
	for (len = table(t, 70, 70), i = 1; i < 20; i++)
		assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len - i),
				 ERR);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, len + 1), ERR);
	assert_int_equal(vnet(&w)->filter.uni.count, 2);
	assert_int_equal(vnet(&w)->filter.multi.count, 2);
	assert_false(vnet(&w)->filter.uni.overflow);
	assert_false(vnet(&w)->filter.multi.overflow);
	nr_close(&w);
}

static uint32_t config_mac(struct netrig *w)
{
	return rig_mem(&w->rig, RIG_DEVICE + 2, 4);
}

static void test_mac_addr(void **state)
{
	struct netrig w;
	uint32_t mine;

	(void)state;
	open_all(&w);
	mode(&w, PROMISC, 0);
	mine = config_mac(&w);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_ADDR_SET, GROUP, 6), ERR);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_ADDR_SET, ALL, 6), ERR);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_ADDR_SET, NO_MACS, 6), ERR);
	assert_int_equal(config_mac(&w), mine);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_ADDR_SET, OTHER, 6), OK);
	assert_int_equal(config_mac(&w), 0x0402013e);
	assert_true(wanted(&w, OTHER, -1));
	assert_false(wanted(&w, ME, -1));
	rig_status_set(&w.rig, 0);
	assert_int_equal(config_mac(&w), mine);
	nr_close(&w);
}

static void vlan(struct netrig *w, uint8_t cmd, uint16_t id, uint8_t answer)
{
	__le16 val = le16_put(id);

	assert_int_equal(nr_ctrl(w, VIRTIO_NET_CTRL_VLAN, cmd, &val, 2),
			 answer);
}

static void test_vlan(void **state)
{
	static const uint16_t ids[] = { 1, 2, 7, 8, 100, 4094, 4095 };
	struct netrig w;
	unsigned int i, k;

	(void)state;
	open_all(&w);
	assert_true(wanted(&w, ME, 5));		/* promiscuous */
	mode(&w, PROMISC, 0);
	assert_true(wanted(&w, ME, -1));
	assert_true(wanted(&w, ME, 0));		/* no VLAN, a priority */
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_false(wanted(&w, ME, ids[i]));
		vlan(&w, VIRTIO_NET_CTRL_VLAN_ADD, ids[i], OK);
		for (k = 0; k < ARRAY_SIZE(ids); k++)
			assert_int_equal(wanted(&w, ME, ids[k]), k <= i);
	}
	assert_false(wanted(&w, OTHER, 1));	/* the address counts, too */
	vlan(&w, VIRTIO_NET_CTRL_VLAN_DEL, 7, OK);
	vlan(&w, VIRTIO_NET_CTRL_VLAN_DEL, 7, OK);
	assert_false(wanted(&w, ME, 7));
	assert_true(wanted(&w, ME, 8));
	vlan(&w, VIRTIO_NET_CTRL_VLAN_ADD, 4096, ERR);
	vlan(&w, VIRTIO_NET_CTRL_VLAN_DEL, 0xffff, ERR);
	nr_close(&w);

	/* without the feature tags are not looked at */
	nr_open(&w, 1, NF(CTRL_VQ) | NF(CTRL_RX));
	mode(&w, PROMISC, 0);
	assert_true(wanted(&w, ME, 5));
	nr_close(&w);
}

/* ---- the rest ---- */

static void pairs(struct netrig *w, uint16_t count, uint8_t answer)
{
	__le16 val = le16_put(count);

	assert_int_equal(NR_CTRL_(w, MQ, MQ_VQ_PAIRS_SET, &val, 2), answer);
}

static void test_pairs(void **state)
{
	struct netrig w;

	(void)state;
	open_all(&w);
	assert_int_equal(vnet(&w)->st->pairs, 1);
	pairs(&w, 0, ERR);
	pairs(&w, 5, ERR);
	pairs(&w, 0x8000, ERR);
	pairs(&w, 0xffff, ERR);
	assert_int_equal(vnet(&w)->st->pairs, 1);
	pairs(&w, 4, OK);
	assert_int_equal(vnet(&w)->st->pairs, 4);
	pairs(&w, 1, OK);
	assert_int_equal(vnet(&w)->st->pairs, 1);
	/* others of this class are not there */
	assert_int_equal(NR_CTRL_(&w, MQ, MQ_RSS_CONFIG, NO_MACS, 2), ERR);
	nr_close(&w);
}

static uint8_t offloads(struct netrig *w, uint64_t features)
{
	__le64 val = le64_put(features);

	return NR_CTRL_(w, GUEST_OFFLOADS, GUEST_OFFLOADS_SET, &val, 8);
}

static void test_offloads(void **state)
{
	struct netrig w;

	(void)state;
	nr_open(&w, 1, (CTRL & ~NF(MQ)) | (GUEST & ~NF(GUEST_ECN)));
	assert_int_equal(w.net.offloads, NR_ALL & ~NET_TSO_ECN);
	assert_int_equal(offloads(&w, NF(GUEST_CSUM) | NF(GUEST_TSO4)), OK);
	assert_int_equal(w.net.offloads, NET_CSUM | NET_TSO4);
	assert_int_equal(offloads(&w, NF(GUEST_ECN)), ERR);
	assert_int_equal(offloads(&w, NF(GUEST_UFO)), ERR);
	assert_int_equal(offloads(&w, NF(CSUM)), ERR);
	assert_int_equal(offloads(&w, NF(CTRL_VQ)), ERR);	/* negotiated */
	assert_int_equal(offloads(&w, ~0ull), ERR);
	assert_int_equal(w.net.offloads, NET_CSUM | NET_TSO4);
	assert_int_equal(offloads(&w, NF(GUEST_TSO4)), OK);	/* no csum */
	assert_int_equal(w.net.offloads, 0);
	assert_int_equal(offloads(&w, GUEST & ~NF(GUEST_ECN)), OK);
	assert_int_equal(w.net.offloads, NR_ALL & ~NET_TSO_ECN);
	assert_int_equal(offloads(&w, 0), OK);
	assert_int_equal(w.net.offloads, 0);
	nr_close(&w);
}

/* A frame that waits for buffers is no longer what the driver takes. */
static void test_offloads_waiting(void **state)
{
	static uint8_t waits[NET_HDR_BYTES + 1514];
	size_t len = nr_frame(waits, (const uint8_t *)ME, 1514, 1);
	unsigned int i;
	struct netrig w;

	(void)state;
	for (i = 0; i < 2; i++) {
		nr_open(&w, 1, (CTRL & ~NF(MQ)) | GUEST | NF(MRG_RXBUF));
		nr_post_one(&w, 0, nr_buffer(&w, 100), 100, true);
		waits[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		waits[1] = VIRTIO_NET_HDR_GSO_TCPV4;
		fake_net_push(&w.net, 0, waits, len);
		nr_kick(&w, 0);
		nr_run(&w);
		assert_int_equal(w.net.nin, 0);
		assert_int_equal(ring_used_idx(&w.ring[0]), 0);
		assert_int_equal(offloads(&w, i ? GUEST : NF(GUEST_CSUM)), OK);
		nr_post_one(&w, 0, nr_buffer(&w, 2000), 2000, true);
		nr_kick(&w, 0);
		nr_run(&w);
		assert_int_equal(ring_used_idx(&w.ring[0]), i ? 2 : 0);
		assert_int_equal(nr_stats(&w)->rx_frames, i);
		assert_int_equal(w.stats.rx_dropped, !i);
		assert_true(w.net.on[0]);
		nr_close(&w);
	}
}

/* A driver that toggles: the host is not troubled more than so often. */
static void test_offloads_toggled(void **state)
{
	unsigned int i, sets, last;
	struct netrig w;

	(void)state;
	open_all(&w);
	for (i = 0; i < 1000; i++)
		assert_int_equal(offloads(&w, i % 2 ? NF(GUEST_CSUM) : 0), OK);
	assert_true(w.net.sets >= 5 && w.net.sets < 40);
	/* the last word counts, a little later */
	sets = w.net.sets;
	last = w.net.offloads ? 0 : NET_CSUM;
	assert_int_equal(offloads(&w, last ? NF(GUEST_CSUM) : 0), OK);
	usleep(250 * 1000);
	fake_turn(w.rig.loop);
	assert_int_equal(w.net.offloads, last);
	assert_int_equal(w.net.sets, sets + 1);
	nr_close(&w);
}

static void test_reset(void **state)
{
	struct netrig w;
	uint8_t t[100];
	unsigned int i;

	(void)state;
	open_all(&w);
	for (i = 0; i < 6; i++)
		mode(&w, (uint8_t)i, i != PROMISC);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_TABLE_SET, t, table(t, 2, 2)),
			 OK);
	assert_int_equal(NR_CTRL_(&w, MAC, MAC_ADDR_SET, OTHER, 6), OK);
	vlan(&w, VIRTIO_NET_CTRL_VLAN_ADD, 9, OK);
	pairs(&w, 3, OK);
	assert_int_equal(offloads(&w, 0), OK);
	vnet_announce(w.vdev);
	assert_int_equal(vnet(&w)->st->announce, 1);

	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(vnet(&w)->st->modes, 1);
	assert_int_equal(vnet(&w)->st->pairs, 1);
	assert_int_equal(vnet(&w)->st->offloads, 0);
	assert_int_equal(vnet(&w)->st->announce, 0);
	assert_memory_equal(vnet(&w)->st->mac, ME, 6);
	assert_int_equal(vnet(&w)->filter.uni.count, 0);
	assert_int_equal(vnet(&w)->filter.multi.count, 0);
	for (i = 0; i < sizeof(vnet(&w)->filter.vlan); i++)
		assert_int_equal(vnet(&w)->filter.vlan[i], 0);
	nr_close(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_lengths),
	cmocka_unit_test(test_features),
	cmocka_unit_test(test_unknown),
	cmocka_unit_test(test_broken_chains),
	cmocka_unit_test(test_data_gone),
	cmocka_unit_test(test_framing),
	cmocka_unit_test(test_budget),
	cmocka_unit_test(test_modes),
	cmocka_unit_test(test_mac_table),
	cmocka_unit_test(test_mac_table_lies),
	cmocka_unit_test(test_mac_addr),
	cmocka_unit_test(test_vlan),
	cmocka_unit_test(test_pairs),
	cmocka_unit_test(test_offloads),
	cmocka_unit_test(test_offloads_waiting),
	cmocka_unit_test(test_offloads_toggled),
	cmocka_unit_test(test_reset),
};

UNIT_MAIN(tests)
