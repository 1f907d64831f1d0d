/* SPDX-License-Identifier: MIT */
/*
 * fuzz_net_rx.c: a network card that receives.  The input is what the driver
 * takes of the features, and then what the driver, the network and the memory
 * do: chains of any shape in any queue, raw descriptors and indices, frames
 * with any header, filters, both resets, bus mastering off and on, the cable
 * out and in, memory that moves, and rings and memory that change between the
 * taking of a chain and the writing to it.
 *
 * Wanted: between two calls nothing is popped or held; a frame is received,
 * dropped, filtered or still there, and not two of these; without bus
 * mastering or a cable none is read; a broken card publishes nothing.
 *
 * As long as the driver has kept to the rules: the card is not broken; what
 * it gets is what has arrived, in order and whole, each buffer full but the
 * last of a frame, asking for nothing that was not negotiated; what it only
 * lets us read stays as it is; and no frame is left over that has a buffer.
 * However it was, the next driver receives.
 */
#include "input.h"
#include "netrig.h"

#define AREA_BYTES	(4u * NR_MIB)
#define READABLE	(NR_BUFFERS + AREA_BYTES)	/* ours to read only */
#define READABLE_BYTES	4096u
#define TABLES		(READABLE + READABLE_BYTES)	/* indirect ones */
#define TABLE_PARTS	64
#define TABLE_BYTES	(2u * NR_MAX_PAIRS * NR_RING * TABLE_PARTS * 16)
#define COMMANDS	(TABLES + TABLE_BYTES)
#define MAX_OPS		150
#define MAX_FRAMES	150
#define MAX_MOVES	3

struct shape {				/* a chain that is out */
	struct nr_sg	sg[TABLE_PARTS];	/* the writable part */
	unsigned int	n, descs;
	uint32_t	room;
	bool		out;
};

struct frame {
	uint8_t		*bytes;
	uint32_t	len;
	bool		got;
};

struct world {
	struct netrig		nr;
	struct guest_hold	*hold;		/* somebody else's */
	struct fake_range	own_hole[FAKE_HOLES];
	unsigned int		own_holes;	/* those of the rings */
	uint64_t		features;

	bool			wrong;		/* the driver, since a reset */
	struct shape		shape[NR_MAX_PAIRS][NR_RING];
	unsigned int		descs[NR_MAX_PAIRS];	/* that are out */
	unsigned int		chains[NR_MAX_PAIRS];
	int			last[NR_MAX_PAIRS][NR_MAX_PAIRS];
	uint16_t		used[NR_MAX_PAIRS];	/* when it broke */
	uint16_t		kicked[NR_MAX_PAIRS];
	bool			broken;
	bool			paused;		/* maybe, after an error */

	struct frame		frame[MAX_FRAMES];
	unsigned int		nframes;
	unsigned int		moves;
	struct input		*in;
	unsigned int		meanwhile;	/* recv()s until then */
};

static struct vnet *vnet(struct world *w)
{
	return vnet_of(w->nr.vdev);
}

static unsigned int pairs(struct world *w)
{
	return w->features & NF(MQ) ? NR_MAX_PAIRS : 1;
}

/* ---- beginnings ---- */

static void forget(struct world *w)
{
	unsigned int i;

	for (i = 0; i < NR_MAX_PAIRS; i++) {
		memset(w->last[i], 0xff, sizeof(w->last[i]));
		w->descs[i] = 0;
		w->chains[i] = 0;
		w->kicked[i] = 0;
	}
	memset(w->shape, 0, sizeof(w->shape));
	w->wrong = false;
	w->broken = false;
}

/* Only the rings' own holes are left. */
static void fill_holes(struct world *w)
{
	struct guest_mem *gm = &w->nr.rig.gm;
	unsigned int i;

	if (gm->nholes == w->own_holes)
		return;
	fake_mem_fill(gm);
	for (i = 0; i < w->own_holes; i++)
		fake_mem_hole(gm, w->own_hole[i].addr, w->own_hole[i].len);
}

static void let_go(struct world *w)
{
	if (w->hold)
		guest_mem_release(&w->nr.rig.gm, w->hold);
	w->hold = NULL;
	w->nr.rig.gm.max_holds = 0;
}

/* The next driver.  What has arrived for the last one is forgotten. */
static void begin(struct world *w)
{
	struct guest_mem *gm = &w->nr.rig.gm;
	unsigned int i;

	fill_holes(w);
	let_go(w);
	w->nr.net.recv_err = 0;
	w->paused = false;
	w->meanwhile = 0;
	vnet_set_link(w->nr.vdev, true);
	rig_command(&w->nr.rig, RIG_COMMAND);
	nr_again(&w->nr, w->features);
	memset(fake_ptr(gm, NR_BUFFERS, w->nr.buffer - NR_BUFFERS), 0,
	       w->nr.buffer - NR_BUFFERS);
	memset(fake_ptr(gm, READABLE, READABLE_BYTES), 0x33, READABLE_BYTES);
	memset(fake_ptr(gm, TABLES, TABLE_BYTES), 0, TABLE_BYTES);
	w->nr.buffer = NR_BUFFERS;
	for (i = 0; i < w->nframes; i++)
		free(w->frame[i].bytes);
	w->nframes = 0;
	forget(w);
}

/* ---- what the driver does ---- */

/* Room for @len bytes that nobody else has; else the driver does wrong. */
static uint64_t room(struct world *w, uint32_t len)
{
	if (w->nr.buffer + len + 8192 > NR_BUFFERS + AREA_BYTES) {
		w->wrong = true;
		return NR_BUFFERS + len;
	}
	return nr_buffer(&w->nr, len);
}

static uint32_t part_len(struct input *in)
{
	uint8_t how = in8(in);

	if (how < 0x80)
		return how;
	return how < 0xc0 ? (how & 0x3fu) * 64 : (how & 0x3fu) * 1100;
}

/* Remembers what was posted as @head of pair @pair. */
static void note(struct world *w, unsigned int pair, unsigned int head,
		 const struct nr_sg *sg, unsigned int n, unsigned int descs)
{
	struct shape *s = &w->shape[pair][head];
	unsigned int i;

	if (w->descs[pair] + descs > NR_RING || s->out)
		w->wrong = true;
	*s = (struct shape){ .out = true, .descs = descs };
	for (i = 0; i < n; i++) {
		if (!sg[i].in)
			continue;
		s->sg[s->n++] = sg[i];
		s->room += sg[i].len;
	}
	if (s->room < NET_HDR_BYTES)
		w->wrong = true;
	w->descs[pair] += descs;
	w->chains[pair]++;
}

static uint16_t post_table(struct world *w, unsigned int place,
			   const struct nr_sg *sg, unsigned int n)
{
	struct ring *q = &w->nr.ring[place];
	unsigned int i, head = w->nr.desc[place]++ % NR_RING;
	uint64_t table = TABLES +
			 16ull * TABLE_PARTS * (place * NR_RING + head);

	for (i = 0; i < n; i++)
		table_desc(&w->nr.rig.gm, table, i, sg[i].addr, sg[i].len,
			   (sg[i].in ? D_WRITE : 0) |
			   (i + 1 < n ? D_NEXT : 0), (uint16_t)(i + 1));
	ring_desc(q, head, table, 16 * n, D_INDIRECT, 0);
	ring_post(q, (uint16_t)head);
	return (uint16_t)head;
}

/* A chain: readable parts, writable parts, some of them of no length. */
static void post(struct world *w, struct input *in)
{
	unsigned int pair = in8(in) % pairs(w), i, n, head;
	uint8_t how = in8(in);
	bool table = (how & 0x80) && (w->features & RIG_INDIRECT);
	unsigned int outs = how & 0x40 ? in8(in) % 4u : 0;
	struct nr_sg sg[TABLE_PARTS];

	n = MIN(outs + 1 + how % 16u + (table ? how & 0x30u : 0),
		(unsigned int)TABLE_PARTS);
	for (i = 0; i < n; i++) {
		sg[i].len = part_len(in);
		sg[i].in = i >= outs;
		if (!sg[i].in)
			sg[i].len = MIN(sg[i].len, READABLE_BYTES);
		sg[i].addr = sg[i].in ? room(w, sg[i].len) : READABLE;
	}
	if (table)
		head = post_table(w, 2 * pair, sg, n);
	else
		head = nr_post(&w->nr, 2 * pair, sg, n);
	note(w, pair, head, sg, n, table ? 1 : n);
}

/* Eight good ones of 2 KB each. */
static void post_good(struct world *w, unsigned int pair)
{
	unsigned int i;

	for (i = 0; i < 8 && w->descs[pair] < NR_RING; i++) {
		struct nr_sg sg = { room(w, 2048), 2048, true };

		note(w, pair, nr_post(&w->nr, 2 * pair, &sg, 1), &sg, 1, 1);
	}
}

static uint64_t address(struct world *w, struct input *in)
{
	uint8_t how = in8(in);

	switch (how >> 5) {
	case 0:
		return in64(in);
	case 1:
		return FAKE_RAM + NR_RAM - how % 32;
	case 2:
		return GUEST_ADDR_GRANT | NR_BUFFERS;
	case 3:
		return w->nr.ring[0].desc + how % 32 * 16;
	case 4:
		return TABLES + how % 32 * 16ull * TABLE_PARTS;
	default:
		return NR_BUFFERS + how % 64 * 4096;
	}
}

/* One field of a ring, or of a table, is written by hand. */
static void raw(struct world *w, struct input *in)
{
	struct guest_mem *gm = &w->nr.rig.gm;
	uint8_t how = in8(in), i = in8(in);
	struct ring *q = &w->nr.ring[2 * (how % pairs(w))];
	uint64_t at;
	uint16_t len;
	uint8_t flags;

	w->wrong = true;
	switch (how >> 5) {
	case 0:
		ring_post(q, i % (NR_RING + 1));
		break;
	case 1:
		fake_put16(gm, q->avail + 2, (uint16_t)(q->avail_idx + i));
		break;
	case 2:
		fake_put16(gm, q->avail + 2 * (i % (3u + NR_RING)), in16(in));
		break;
	case 3:
	case 4:
		at = address(w, in);
		len = in16(in);
		flags = in8(in) & 7;
		table_desc(gm, TABLES + how % 32 * 16ull * TABLE_PARTS,
			   i % TABLE_PARTS, at, len, flags, in8(in));
		break;
	default:
		at = address(w, in);
		len = in16(in);
		flags = in8(in) & 7;
		ring_desc(q, i % NR_RING, at, len, flags,
			  in8(in) % (NR_RING + 1));
		break;
	}
}

static void hole(struct world *w, struct input *in)
{
	struct guest_mem *gm = &w->nr.rig.gm;
	uint64_t at = NR_BUFFERS + in8(in) * 4096u;
	uint64_t len = 1 + in16(in) % 4096u;
	unsigned int i;

	w->wrong = true;
	for (i = w->own_holes; i < gm->nholes; i++)
		if (gm->hole[i].addr == at)
			return;
	if (gm->nholes < FAKE_HOLES)
		fake_mem_hole(gm, at, len);
}

/* Between taking a chain and writing to it. */
static void meanwhile(struct fake_net *f)
{
	struct world *w = container_of(f, struct world, nr.net);

	if (!w->meanwhile || --w->meanwhile)
		return;
	if (in8(w->in) & 1)
		raw(w, w->in);
	else
		hole(w, w->in);
}

static void command(struct world *w, struct input *in)
{
	uint8_t how = in8(in), data[4 + 6 + 4 + 6] = { 0 };
	uint64_t save = w->nr.buffer;

	if (w->wrong || !w->nr.vdev->dma_ok)
		return;			/* no answer would come */
	w->nr.buffer = COMMANDS;
	switch (how >> 5) {
	case 0:
	case 1:
	case 2:
		data[0] = how >> 3 & 1;
		nr_ctrl(&w->nr, VIRTIO_NET_CTRL_RX, how % 8, data, 1);
		break;
	case 3:				/* one of each */
		data[0] = 1;
		data[4] = how & 2;
		data[9] = how;
		data[10] = 1;
		data[14] = 1;
		data[19] = how;
		NR_CTRL_(&w->nr, MAC, MAC_TABLE_SET, data, 20);
		break;
	case 4:
		data[0] = how & 15;
		nr_ctrl(&w->nr, VIRTIO_NET_CTRL_VLAN, how >> 4 & 1, data, 2);
		break;
	case 5:
		data[5] = how & 3;
		data[0] = 2;
		NR_CTRL_(&w->nr, MAC, MAC_ADDR_SET, data, 6);
		break;
	case 6:
		data[0] = how & 7;
		NR_CTRL_(&w->nr, MQ, MQ_VQ_PAIRS_SET, data, 2);
		break;
	default:
		data[0] = in8(in);
		data[1] = in8(in);
		data[6] = in8(in);
		NR_CTRL_(&w->nr, GUEST_OFFLOADS, GUEST_OFFLOADS_SET, data, 8);
		break;
	}
	w->nr.buffer = save;
}

static void queue_reset(struct world *w, unsigned int pair)
{
	struct rig *r = &w->nr.rig;
	struct ring *q = &w->nr.ring[2 * pair];

	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_SELECT, q->index);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert(!rig_reg(r, VIRTIO_PCI_COMMON_Q_RESET));	/* nothing is out */
	if (rig_reg(r, VIRTIO_PCI_COMMON_Q_ENABLE))
		return;				/* it was refused */
	ring_restart(q);
	w->used[pair] = 0;
	w->kicked[pair] = 0;
	w->nr.desc[2 * pair] = 0;
	memset(w->shape[pair], 0, sizeof(w->shape[pair]));
	w->descs[pair] = 0;
	w->chains[pair] = 0;
	ring_enable(q);
}

/* ---- what the network does ---- */

static void arrive(struct world *w, struct input *in)
{
	static const uint8_t to[4][6] = {
		{ 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03 },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x01, 0x00, 0x00, 0x00, 0x00, 0x62 },
		{ 0x02, 0x00, 0x00, 0x00, 0x00, 0x01 },
	};
	uint8_t how = in8(in), queue = how >> 4 & 3;
	uint32_t len = in16(in);
	struct frame *f = &w->frame[w->nframes];
	unsigned int i;
	uint8_t *p;

	if (w->nframes == MAX_FRAMES)
		return;
	len = len & 0x8000 ? (len & 0x7fff) * 2 + 30 : len & 0x0fff;
	p = malloc(len + NET_HDR_BYTES + 14);
	assert(p);
	len = (uint32_t)nr_frame(p, to[how & 3], len, w->nframes);
	if (how & 0x40)
		for (i = 0; i < NET_HDR_BYTES; i++)
			p[i] = in8(in);
	if (len >= NET_HDR_BYTES + 14) {
		p[NET_HDR_BYTES + 8] = (uint8_t)w->nframes;
		p[NET_HDR_BYTES + 9] = queue;
	}
	if (len >= NET_HDR_BYTES + 18 && (how & 4)) {
		p[NET_HDR_BYTES + 12] = 0x81;
		p[NET_HDR_BYTES + 14] = 0;
		p[NET_HDR_BYTES + 15] = how >> 2 & 3;
	}
	if (how & 0x80)
		len -= MIN(len, (uint32_t)in8(in));	/* too short, too */
	*f = (struct frame){ p, len, false };
	fake_net_push(&w->nr.net, queue, p, len);
	w->nframes++;
}

/* ---- what must hold ---- */

/* The next @used bytes of chain @s to @dst. */
static void gather(struct world *w, const struct shape *s, uint8_t *dst,
		   uint32_t used)
{
	unsigned int i;
	uint32_t len;

	assert(used && used <= s->room);
	for (i = 0; used; i++, dst += len, used -= len) {
		assert(i < s->n);
		len = MIN(used, s->sg[i].len);
		if (len)
			memcpy(dst, fake_ptr(&w->nr.rig.gm, s->sg[i].addr,
					     len), len);
	}
}

static void check_header(struct world *w, const uint8_t *got,
			 unsigned int buffers)
{
	unsigned int can = vnet_recv_offloads(w->features);
	uint8_t type = got[1] & 0x7f;

	assert(!(got[0] & ~3) && (!got[0] || (can & NET_CSUM)));
	assert(type == 0 || type == 1 || type == 4 || type == 5);
	assert(type != 1 || (can & NET_TSO4));
	assert(type != 4 || (can & NET_TSO6));
	assert(type != 5 || (can & (NET_USO4 | NET_USO6)));
	assert(!(got[1] & 0x80) || (can & NET_TSO_ECN));
	assert(buffers && (buffers == 1 || (w->features & NF(MRG_RXBUF))));
}

/* The frame in @got came by the ring of @pair; is it the one that was sent? */
static void check_frame(struct world *w, unsigned int pair,
			const uint8_t *got, uint32_t len)
{
	unsigned int i, queue;
	struct frame *f;

	assert(len >= NET_HDR_BYTES + 14);
	i = got[NET_HDR_BYTES + 8];
	queue = got[NET_HDR_BYTES + 9];
	assert(i < w->nframes && queue < NR_MAX_PAIRS);
	f = &w->frame[i];
	assert(f->len == len && !f->got);
	f->got = true;
	assert(!memcmp(f->bytes + NET_HDR_BYTES, got + NET_HDR_BYTES,
		       len - NET_HDR_BYTES));
	assert(!memcmp(f->bytes + 1, got + 1, 9));
	assert((int)i > w->last[pair][queue]);
	w->last[pair][queue] = (int)i;
}

/* One frame of the used ring.  Return: false if there is none. */
static bool take_frame(struct world *w, unsigned int pair)
{
	static uint8_t got[NR_FRAME_BYTES + 65536];
	struct ring *q = &w->nr.ring[2 * pair];
	unsigned int i = 0, buffers = 1;
	uint32_t id, used, len = 0;
	struct shape *s = NULL;
	bool full = true;

	for (; i < buffers; i++) {
		if (!ring_used(q, &id, &used)) {
			assert(!i);	/* all of a frame at once */
			return false;
		}
		assert(id < NR_RING && full);
		s = &w->shape[pair][id];
		assert(s->out && len + used <= NR_FRAME_BYTES);
		gather(w, s, got + len, used);
		len += used;
		full = used == s->room;
		s->out = false;
		w->descs[pair] -= s->descs;
		w->chains[pair]--;
		if (!i)
			buffers = got[10] | got[11] << 8;
	}
	check_header(w, got, buffers);
	check_frame(w, pair, got, len);
	return true;
}

static unsigned int kept(struct world *w)
{
	unsigned int i, n = 0;

	for (i = 0; i < NR_MAX_PAIRS; i++)
		n += vnet(w)->queue[i].len != 0;
	return n;
}

static void check(struct world *w)
{
	const struct net_stats *st = nr_stats(&w->nr);
	unsigned int i;

	for (i = 0; i < w->nr.vdev->nqueues; i++)
		assert(!w->nr.vdev->vq[i].st->inflight_count);
	assert(w->nr.rig.gm.holds == (w->hold ? 1 : 0));
	assert(st->rx_frames + st->rx_dropped + st->rx_filtered + kept(w) +
	       w->nr.net.nin == w->nframes);
	for (i = 0; i < pairs(w); i++) {
		if (w->broken)
			assert(ring_used_idx(&w->nr.ring[2 * i]) ==
			       w->used[i]);
		w->used[i] = ring_used_idx(&w->nr.ring[2 * i]);
		while (!w->wrong && take_frame(w, i))
			;
	}
	w->broken = vdev_is_broken(w->nr.vdev);
	if (w->wrong)
		return;
	assert(!w->broken);
	for (i = 0; i < READABLE_BYTES; i += 64)
		assert(*(uint8_t *)fake_ptr(&w->nr.rig.gm, READABLE + i, 1) ==
		       0x33);
}

/* Runs what there is to run; without bus mastering or cable, for nothing. */
static void run(struct world *w, bool all)
{
	unsigned int recvs = w->nr.net.recvs;

	if (all) {
		nr_run(&w->nr);
	} else {
		fake_turn(w->nr.rig.loop);
		fake_net_turn(&w->nr.net);
	}
	if (!w->nr.vdev->dma_ok || !vnet(w)->link)
		assert(w->nr.net.recvs == recvs);
}

/* A second passes. */
static void wait(struct world *w)
{
	unsigned int i;

	for (i = 0; i < NR_MAX_PAIRS; i++)
		vnet(w)->queue[i].stalled_ms -= 1000;
	vnet_rx_timer(vnet(w));
}

/* Does the card want to hear of what was posted since (2.7.7, 2.7.10)? */
static bool wants_kick(struct world *w, unsigned int pair)
{
	struct ring *q = &w->nr.ring[2 * pair];
	uint16_t old = w->kicked[pair], new = q->avail_idx;

	w->kicked[pair] = new;
	if (w->wrong)
		return true;
	if (w->features & RIG_EVENT_IDX)
		return (uint16_t)(new - ring_avail_event(q) - 1) <
		       (uint16_t)(new - old);
	return new != old && !fake_get16(&w->nr.rig.gm, q->used);
}

static void kick(struct world *w)
{
	unsigned int i;

	for (i = 0; i < pairs(w); i++)
		if (wants_kick(w, i))
			ring_kick(&w->nr.ring[2 * i]);
}

/* Nothing may be stuck: whatever frame is left has no buffer. */
static void settle(struct world *w)
{
	unsigned int i, n, in_use = vnet(w)->st->pairs;

	rig_command(&w->nr.rig, RIG_COMMAND);
	vnet_set_link(w->nr.vdev, true);
	w->nr.net.recv_err = 0;
	kick(w);			/* once: nobody may be forgotten */
	run(w, true);
	check(w);
	for (n = 0; n <= MAX_FRAMES && (w->paused || kept(w)); n++) {
		w->paused = false;
		wait(w);
		run(w, true);
		check(w);
	}
	if (w->wrong)
		return;
	assert(!kept(w));
	for (i = 0; i < w->nr.net.nin; i++)
		assert(!w->chains[w->nr.net.in[i].queue % in_use]);
}

/* After a reset, the next driver receives. */
static void check_alive(struct world *w)
{
	struct nr_sg sg = { NR_BUFFERS, 2000, true };

	begin(w);
	note(w, 0, nr_post(&w->nr, 0, &sg, 1), &sg, 1, 1);
	w->nr.buffer += 4096;
	arrive(w, &(struct input){ (const uint8_t[]){ 0, 100, 0 }, 3 });
	kick(w);
	run(w, true);
	check(w);
	assert(w->frame[0].got);
}

static void step(struct world *w, struct input *in)
{
	static const int errors[] = { 0, -EIO, -ENETDOWN, -EFAULT };
	struct rig *r = &w->nr.rig;
	uint8_t op = in8(in);

	switch (op % 20) {
	case 0:
	case 1:
	case 2:
		post(w, in);
		break;
	case 3:
		post_good(w, op / 20 % pairs(w));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		arrive(w, in);
		break;
	case 8:
		kick(w);
		break;
	case 9:
		kick(w);
		run(w, true);
		break;
	case 10:
		run(w, false);
		break;
	case 11:
		command(w, in);
		break;
	case 12:
		rig_command(r, op & 0x80 ? RIG_COMMAND :
			       RIG_COMMAND & ~PCI_COMMAND_MASTER);
		break;
	case 13:
		vnet_set_link(w->nr.vdev, op & 0x80);
		break;
	case 14:
		raw(w, in);
		break;
	case 15:
		if (op & 0x80)
			w->meanwhile = 1 + (op >> 5 & 3);
		else if (op & 0x40)
			hole(w, in);
		else if (w->moves++ < MAX_MOVES)
			fake_mem_move(&r->gm);
		break;
	case 16:
		if (op & 0x80) {
			let_go(w);
		} else if (!w->hold) {
			w->hold = guest_mem_hold(&r->gm);
			r->gm.max_holds = 1;
		}
		break;
	case 17:
		if (op & 0x80)
			wait(w);
		else
			w->nr.net.recv_err = errors[op / 20 % 4];
		w->paused |= w->nr.net.recv_err != 0;
		break;
	case 18:
		queue_reset(w, op / 20 % pairs(w));
		break;
	case 19:
		if (vdev_is_broken(w->nr.vdev) || (op & 0x80)) {
			settle(w);
			begin(w);
		}
		break;
	}
}

static uint64_t features(struct input *in)
{
	static const uint64_t optional[] = {
		NF(MRG_RXBUF), NF(MQ), RIG_INDIRECT, RIG_EVENT_IDX,
		NF(GUEST_CSUM), NF(GUEST_TSO4), NF(GUEST_TSO6), NF(GUEST_ECN),
		NF(GUEST_USO4), NF(GUEST_USO6), NF(CTRL_VLAN), NF(CTRL_RX),
		NF(CTRL_RX_EXTRA), NF(CTRL_MAC_ADDR), NF(CTRL_GUEST_OFFLOADS),
	};
	uint64_t f = NF(CTRL_VQ) | RIG_RING_RESET;
	uint16_t without = in16(in);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(optional); i++)
		if (!(without >> i & 1))
			f |= optional[i];
	return nr_sane(f);
}

static void make(struct world *w)
{
	struct guest_mem *gm = &w->nr.rig.gm;

	nr_open(&w->nr, NR_MAX_PAIRS, NF(MQ) | NF(CTRL_VQ));
	w->own_holes = gm->nholes;
	memcpy(w->own_hole, gm->hole, sizeof(w->own_hole));
	w->nr.net.meanwhile = meanwhile;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input in = { data, size };
	unsigned int ops;

	if (!w.nr.vdev)
		make(&w);
	w.in = &in;
	w.moves = 0;
	w.features = features(&in);
	begin(&w);
	w.nr.rig.gm.iov_split = in8(&in) & 1 ? 64 : 4096;
	for (ops = 0; in.left && ops < MAX_OPS; ops++) {
		step(&w, &in);
		check(&w);
	}
	settle(&w);
	check_alive(&w);
	return 0;
}
