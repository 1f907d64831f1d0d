/* SPDX-License-Identifier: MIT */
/*
 * fuzz_net_ctrl.c: the network card's control queue with anything at all.
 *
 *	2 bytes		features that the driver does not take
 *	then, as often as there is input:
 *	1 byte		how many bytes the command has, or 0xff: two more
 *			bytes say so
 *	1 byte		where the chain is cut; 0x80: its data has a hole
 *	the command	class, command, data
 *
 * Wanted, besides no crash: each command is answered, with one of the two
 * answers; what the driver may set stays in range; and the card receives and
 * sends afterwards.
 */
#include "netrig.h"

#define MAX_COMMANDS	40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t optional[16] = {
	NF(CTRL_RX), NF(CTRL_RX_EXTRA), NF(CTRL_VLAN), NF(CTRL_MAC_ADDR),
	NF(GUEST_ANNOUNCE), NF(MQ), NF(CTRL_GUEST_OFFLOADS), NF(GUEST_CSUM),
	NF(GUEST_TSO4), NF(GUEST_TSO6), NF(GUEST_ECN), NF(GUEST_USO4),
	NF(GUEST_USO6), NF(MRG_RXBUF), NF(STATUS), RIG_EVENT_IDX,
};

static uint64_t features(uint16_t without)
{
	uint64_t f = NF(CTRL_VQ);
	unsigned int i;

	for (i = 0; i < 16; i++)
		if (!(without >> i & 1))
			f |= optional[i];
	return nr_sane(f);
}

static void check_state(struct netrig *w)
{
	const struct vnet *n = vnet_of(w->vdev);
	const uint8_t *mac = n->st->mac;

	assert(n->st->pairs >= 1 && n->st->pairs <= NR_MAX_PAIRS);
	assert(n->st->pairs == 1 || vdev_has(w->vdev, VIRTIO_NET_F_MQ));
	assert(n->st->modes < 1 << 6);
	assert(!(mac[0] & 1) && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] |
				 mac[5]));
	assert(n->filter.uni.count <= VNET_FILTER_MACS);
	assert(n->filter.multi.count <= VNET_FILTER_MACS);
	assert(!(n->st->offloads &
		 ~vnet_recv_offloads(w->vdev->st->driver_features)));
	assert(!w->rig.gm.holds);
}

/* One command of @len bytes, cut at @cut.  Its chain is answered. */
static void command(struct netrig *w, const uint8_t *data, uint32_t len,
		    uint8_t cut)
{
	struct ring *q = &w->ring[NR_CTRL];
	uint64_t at = NR_BUFFERS, ack = NR_BUFFERS + 3 * 65536;
	struct nr_sg sg[4] = {
		{ at, MIN(len, cut & 15u), false },
	};
	uint32_t second = MIN(len - sg[0].len, cut >> 4 & 7u), id, used;
	uint8_t *p = fake_ptr(&w->rig.gm, at, 65536);
	uint16_t head;

	memcpy(p, data, len);
	sg[1] = (struct nr_sg){ at + sg[0].len, second, false };
	sg[2] = (struct nr_sg){ at + sg[0].len + second,
				len - sg[0].len - second, false };
	if ((cut & 0x80) && sg[2].len && sg[0].len + second >= 2)
		sg[2].addr = NR_BUFFERS + 2 * NR_MIB;	/* the hole */
	sg[3] = (struct nr_sg){ ack, 1, true };
	p = fake_ptr(&w->rig.gm, ack, 1);
	*p = 0xee;
	head = nr_post(w, NR_CTRL, sg, 4);
	nr_kick(w, NR_CTRL);
	if (len < 2) {
		assert(vdev_is_broken(w->vdev));
		return;
	}
	assert(!vdev_is_broken(w->vdev));
	assert(*p == VIRTIO_NET_OK || *p == VIRTIO_NET_ERR);
	if (!ring_used(q, &id, &used))
		assert(!"not answered");
	assert(id == head && used == 1);
	(void)head;
}

/* Frames still get through, both ways. */
static void check_alive(struct netrig *w)
{
	static uint8_t frame[200];
	unsigned int b, i;
	size_t n = nr_frame(frame, nr_mac, 100, 1);
	uint64_t at = NR_BUFFERS;

	for (b = 0; b < vnet_of(w->vdev)->st->pairs; b++) {
		for (i = 0; i < 4; i++)
			nr_post_one(w, 2 * b, at, 2000, true);
		nr_kick(w, 2 * b);
	}
	for (b = 0; b < NR_MAX_PAIRS; b++)
		fake_net_push(&w->net, b, frame, n);
	nr_run(w);
	nr_stats(w);
	assert(w->stats.rx_frames + w->stats.rx_filtered == NR_MAX_PAIRS);
	memset(fake_ptr(&w->rig.gm, at, 72), 0, 72);
	nr_post_one(w, 1, at, 72, false);
	nr_kick(w, 1);
	assert(w->net.nout == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct netrig w;
	unsigned int i;
	uint32_t len;
	uint8_t cut;

	if (size < 2)
		return 0;
	if (!w.vdev) {
		nr_open(&w, NR_MAX_PAIRS, NF(MQ) | NF(CTRL_VQ));
		fake_mem_hole(&w.rig.gm, NR_BUFFERS + 2 * NR_MIB, 2 * NR_MIB);
	}
	nr_again(&w, features((uint16_t)(data[0] | data[1] << 8)));
	data += 2;
	size -= 2;
	for (i = 0; i < MAX_COMMANDS && size >= 4; i++) {
		len = *data++;
		cut = *data++;
		size -= 2;
		if (len == 0xff) {
			len = (uint32_t)(data[0] | data[1] << 8);
			data += 2;
			size -= 2;
		}
		len = MIN(len, (uint32_t)size);
		command(&w, data, len, cut);
		data += len;
		size -= len;
		check_state(&w);
		if (vdev_is_broken(w.vdev))
			break;
	}
	if (!vdev_is_broken(w.vdev))
		check_alive(&w);
	return 0;
}
