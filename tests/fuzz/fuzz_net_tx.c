/* SPDX-License-Identifier: MIT */
/*
 * fuzz_net_tx.c: the header before a frame that is sent, and its framing.
 *
 *	1 byte		features that the driver does not take
 *	then, as often as there is input:
 *	12 bytes	the header
 *	2 bytes		bytes of the frame; highest bit: times 4 without it
 *	2 bytes		where the chain is cut; see frame()
 *
 * The backend of fake_net.h asserts of each frame that its header asks for
 * nothing that was not negotiated, and does not lie about the frame.  Wanted,
 * besides: each chain is given back, each frame is sent whole or counted as
 * dropped, and a plain one is sent.
 */
#include "netrig.h"

#define MAX_FRAMES	40
#define RECORD		16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t optional[5] = {
	NF(CSUM), NF(HOST_TSO4), NF(HOST_TSO6), NF(HOST_ECN), NF(HOST_USO),
};

static uint64_t features(uint8_t without)
{
	uint64_t f = without & 0x80 ? RIG_EVENT_IDX : 0;
	unsigned int i;

	for (i = 0; i < 5; i++)
		if (!(without >> i & 1))
			f |= optional[i];
	if (!(f & NF(CSUM)))
		f &= ~(NF(HOST_TSO4) | NF(HOST_TSO6) | NF(HOST_USO));
	if (!(f & (NF(HOST_TSO4) | NF(HOST_TSO6))))
		f &= ~NF(HOST_ECN);
	return f;
}

/* A chain of up to five parts, some of them empty. */
static unsigned int frame(struct nr_sg *sg, uint64_t at, uint32_t bytes,
			  const uint8_t *cut)
{
	uint32_t len[5] = { cut[0] & 15, cut[0] >> 4, cut[1] & 15,
			    (cut[1] >> 4) * 997u, bytes };
	unsigned int i;

	for (i = 0; i < 5; i++) {
		len[i] = MIN(len[i], bytes);
		sg[i] = (struct nr_sg){ at, len[i], false };
		at += len[i];
		bytes -= len[i];
	}
	return 5;
}

static void one(struct netrig *w, const uint8_t *data)
{
	uint32_t bytes = (uint32_t)(data[12] | data[13] << 8), id, used;
	unsigned int sent = w->net.nout;
	uint64_t dropped = nr_stats(w)->tx_dropped;
	struct nr_sg sg[5];
	uint8_t *p;

	if (bytes & 0x8000)
		bytes = (bytes & 0x7fff) * 4;
	bytes += NET_HDR_BYTES;
	p = fake_ptr(&w->rig.gm, NR_BUFFERS, bytes);
	memcpy(p, data, NET_HDR_BYTES);
	nr_post(w, 1, sg, frame(sg, NR_BUFFERS, bytes, data + 14));
	nr_kick(w, 1);
	assert(!vdev_is_broken(w->vdev));
	if (!ring_used(&w->ring[1], &id, &used))
		assert(!"not given back");
	assert(!used);
	assert(w->net.nout - sent + nr_stats(w)->tx_dropped - dropped == 1);
	if (w->net.nout > sent) {
		assert(w->net.out[sent].len == bytes);
		assert(!memcmp(w->net.out[sent].bytes + NET_HDR_BYTES,
			       p + NET_HDR_BYTES, bytes - NET_HDR_BYTES));
	} else if (!(data[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !data[1]) {
		assert(bytes < NET_HDR_BYTES + 14 || bytes > NR_FRAME_BYTES);
	}
}

static void tx_open(struct netrig *w)
{
	unsigned int i;

	nr_open(w, 1, 0);
	for (i = 0; i < 4096; i++)
		*(uint8_t *)fake_ptr(&w->rig.gm, NR_BUFFERS + 31 * i, 1) =
			(uint8_t)i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct netrig w;
	unsigned int i;

	if (!size)
		return 0;
	if (!w.vdev)
		tx_open(&w);
	nr_again(&w, features(data[0]));
	/* what the backend is to assert: what was negotiated */
	w.net.base.info.send_offloads = vnet_of(w.vdev)->send_offloads;
	w.rig.gm.iov_split = data[0] & 0x40 ? 64 : 4096;
	data++;
	size--;
	for (i = 0; i < MAX_FRAMES && size >= RECORD; i++) {
		one(&w, data);
		data += RECORD;
		size -= RECORD;
	}
	return 0;
}
