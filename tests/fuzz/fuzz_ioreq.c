/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ioreq.c: a hostile guest's vCPUs, against the IOREQ server, regions
 * and guest memory together.  An input is a list of actions:
 *
 *	s, h, f	a slot: 0 vCPU, fields chosen from lists that hurt
 *	S	a slot, all 32 bytes as they come
 *	e	an event, with the slot in a state that nobody expects
 *	t	a turn of the loop: now everything must be answered
 *	r	a region comes or goes
 *	m	a page of the guest's memory comes, goes or is another one
 *	g	pages are granted, or granted no more
 *	x	the Nth call of something fails
 *	k	a ring is mapped, or unmapped
 *	d	payload: some segments through dma.h, held until later
 *
 * Wanted, besides no crash and no leak: whatever was READY is answered, with
 * one notification; other states are left alone; no event stays masked; a
 * region sees only sizes and offsets that its header promises, and not more
 * than a request's bound of them; a read of nothing gives ones; at most so
 * much of the guest is mapped.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "dma.h"
#include "domain.h"
#include "fake_xen.h"
#include "guest_mem.h"
#include "io_region.h"
#include "log.h"
#include "loop.h"
#include "util.h"

#define PAGE		4096ull
#define RAM_LOW		0x100000ull		/* and 64 pages of it */
#define RAM_HIGH	0x100000000ull		/* a few, at 4 GiB */
#define NREGIONS	5
#define NOPS		8
#define MAX_ACTIONS	300
#define MAX_CALLS	8192u			/* two for each of 4096 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct run {
	const uint8_t		*data;
	size_t			left;
	struct loop		*loop;
	struct domain		*dom;
	struct io_region	region[NREGIONS];
	unsigned int		calls;		/* of regions */
	unsigned int		sent[4];	/* requests to be answered */
	unsigned int		answered[4];	/* notifications seen */
	struct guest_map	ring;
	struct dma_space	*ds[2];
	struct dma_op		op[NOPS];
	struct dma_space	*op_ds[NOPS];	/* NULL: not mapped */
	struct dma_seg		seg[NOPS][4];
} run;

/* What is said about the guest is not the point here. */
void openlog(const char *ident, int option, int facility)
{
	(void)ident;
	(void)option;
	(void)facility;
}

void syslog(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

/* ---- the input ---- */

static uint8_t take8(void)
{
	if (!run.left)
		return 0;
	run.left--;
	return *run.data++;
}

static uint64_t take(unsigned int bytes)
{
	uint64_t v = 0;
	unsigned int i;

	for (i = 0; i < bytes; i++)
		v |= (uint64_t)take8() << 8 * i;
	return v;
}

/* An address, near to something. */
static uint64_t take_addr(void)
{
	static const uint64_t near[] = {
		0, 0xcf8, 0xc000, 0xfebf0000, 0xfebf1000, 0xfebf4000,
		UINT64_MAX - 0xfff, 0xc0ull << 32, 0xc1ull << 32,
		RAM_LOW, RAM_LOW + 0x3ff00, RAM_LOW + 0x10000, RAM_HIGH,
		0x1fffff, 1ull << 63, 1ull << 52,
	};
	uint8_t which = take8();

	if (which & 0x80)
		return take(8);
	return near[which % ARRAY_SIZE(near)] + (uint64_t)(int16_t)take(2);
}

/* ---- regions ---- */

static void check_access(const struct io_region *r, uint64_t off,
			 unsigned int size)
{
	assert(size == 1 || size == 2 || size == 4);
	assert(off < r->len && size <= r->len - off);
	assert(r->added);
	run.calls++;
}

static uint32_t region_read(void *dev, uint64_t off, unsigned int size)
{
	check_access(dev, off, size);
	return (uint32_t)(off * 0x01010101u);
}

/* A write of 'G' makes it go, as a BAR does. */
static void region_write(void *dev, uint64_t off, unsigned int size,
			 uint32_t val)
{
	check_access(dev, off, size);
	if (size == 1 && val == 'G')
		io_region_del(domain_bus(run.dom), dev);
	if (size < 4)
		assert(val < 1u << 8 * size);
}

static void regions_init(void)
{
	static const struct {
		enum io_space space;
		uint64_t start, len;
	} t[NREGIONS] = {
		{ IO_MEM, 0xfebf0000, 0x4000 },
		{ IO_MEM, UINT64_MAX - 0xfff, 0x1000 },
		{ IO_PORT, 0xc000, 3 },
		{ IO_PCI, 0xc0 << 8, 256 },
		{ IO_PCI, 0xc1 << 8, 256 },
	};
	unsigned int i;

	for (i = 0; i < NREGIONS; i++)
		run.region[i] = (struct io_region){
			.space	= t[i].space,
			.start	= t[i].start,
			.len	= t[i].len,
			.dev	= &run.region[i],
			.read	= region_read,
			.write	= region_write,
		};
}

static void act_region(void)
{
	struct io_region *r = &run.region[take8() % NREGIONS];
	struct io_bus *bus = domain_bus(run.dom);

	if (r->added)
		io_region_del(bus, r);
	else
		(void)io_region_add(bus, r);	/* may be made to fail */
}

/* ---- slots ---- */

static void send(unsigned int vcpu, const ioreq_t *req)
{
	if (fake.page->vcpu_ioreq[vcpu].state != STATE_IOREQ_NONE)
		return;			/* Xen sends one at a time */
	fake_send(vcpu, req);
	run.sent[vcpu]++;
}

static void act_slot(void)
{
	static const uint8_t types[] = { IOREQ_TYPE_PIO, IOREQ_TYPE_COPY,
		IOREQ_TYPE_PCI_CONFIG, IOREQ_TYPE_INVALIDATE,
		IOREQ_TYPE_TIMEOFFSET, 255 };
	static const uint32_t sizes[] = { 1, 2, 4, 8, 0, 3, 16, UINT32_MAX };
	static const uint32_t counts[] = { 1, 0, 2, 7, 4096, 4097,
					   UINT32_MAX };
	unsigned int vcpu = take8() % fake.vcpus;
	uint8_t flags = take8(), shape = take8();
	ioreq_t req = {
		.type		= types[flags % ARRAY_SIZE(types)],
		.dir		= flags >> 5 & 1,
		.df		= flags >> 6 & 1,
		.data_is_ptr	= flags >> 7 & 1,
		.size		= sizes[shape & 7],
		.count		= counts[(shape >> 3) % ARRAY_SIZE(counts)],
	};

	req.addr = take_addr();
	req.data = take_addr();
	send(vcpu, &req);
}

static void act_raw_slot(void)
{
	unsigned int vcpu = take8() % fake.vcpus, i;
	uint8_t b[sizeof(ioreq_t)];
	ioreq_t req;

	for (i = 0; i < sizeof(b); i++)
		b[i] = take8();
	memcpy(&req, b, sizeof(req));
	send(vcpu, &req);
}

/* Not READY: it is not for us, whatever it is. */
static void act_event(void)
{
	unsigned int vcpu = take8() % fake.vcpus;
	ioreq_t *slot = &fake.page->vcpu_ioreq[vcpu], before;
	uint8_t state = take8() & 15;
	unsigned int i;

	if (slot->state == STATE_IOREQ_NONE && state != STATE_IOREQ_READY &&
	    run.sent[vcpu] == run.answered[vcpu]) {
		slot->state = state & 15;
		before = *slot;
		fake_raise(vcpu);
		fake.vcpus_dead = true;
		fake_turn(run.loop);
		fake.vcpus_dead = false;
		assert(memcmp(&before, slot, sizeof(before)) == 0);
		slot->state = STATE_IOREQ_NONE;
		for (i = 0; i < fake.vcpus; i++)
			(void)fake_take(i);	/* the others have theirs */
	}
	fake_raise(vcpu);
}

static void check_answer(unsigned int vcpu)
{
	const ioreq_t *a = &fake.taken[vcpu];
	bool known = a->type == IOREQ_TYPE_PIO || a->type == IOREQ_TYPE_COPY ||
		     a->type == IOREQ_TYPE_PCI_CONFIG ||
		     a->type == IOREQ_TYPE_INVALIDATE;

	assert(fake.page->vcpu_ioreq[vcpu].state == STATE_IOREQ_NONE);
	assert(a->state == STATE_IORESP_READY);
	if (!known && a->dir == IOREQ_READ && !a->data_is_ptr)
		assert(a->data == UINT64_MAX);
}

/* Everything is answered, and with one notification each. */
static void check_all_answered(void)
{
	unsigned int i;

	for (i = 0; i < fake.vcpus; i++) {
		assert(fake.notified[i] == run.sent[i]);
		if (run.answered[i] != run.sent[i])
			check_answer(i);
		run.answered[i] = run.sent[i];
	}
	assert(fake_unmasked());
	assert(fake.maps <= 2048 + 1 + NOPS);
}

static void act_turn(void)
{
	run.calls = 0;
	fake_turn(run.loop);
	assert(run.calls <= fake.vcpus * MAX_CALLS);
	check_all_answered();
}

/* ---- guest memory ---- */

static void act_memory(void)
{
	uint8_t what = take8(), n = take8();
	uint64_t gfn = (what & 4 ? RAM_HIGH : RAM_LOW) / PAGE + n % 64;

	if (what & 8)
		gfn = take_addr() / PAGE;
	if (what & 1)
		fake_ram_del(gfn, 1 + n / 64);
	if (what & 2 && gfn < 1ull << 52)
		fake_ram_add(gfn, 1 + n / 64);
}

static void act_grant(void)
{
	uint8_t what = take8(), n = take8();
	uint64_t gfn = RAM_LOW / PAGE + n % 64;
	uint32_t ref, first = what >> 2;

	for (ref = first; ref <= first + n / 8; ref++) {
		if (fake_granted(ref))
			continue;
		fake_revoke(ref);
		gfn = (gfn * 5 + 1) % 64 + RAM_LOW / PAGE;
		if (what & 1 && fake_ram_has(gfn))
			fake_grant(ref, gfn, what & 2);
	}
}

static void act_ring(void)
{
	struct guest_mem *gm = domain_mem(run.dom);
	uint64_t addr = take_addr();
	uint32_t len = (uint32_t)take(3);
	uint8_t byte;

	guest_mem_unmap(gm, &run.ring);
	if (guest_mem_map(gm, addr, len, true, &run.ring) < 0)
		return;
	assert(len && run.ring.npages <= 16);
	guest_copy_in(&byte, run.ring.base, 1);
	guest_copy_in(&byte, (char __guest *)run.ring.base + len - 1, 1);
	if (fake_ram_has(addr / PAGE))
		guest_copy_out(run.ring.base, &byte, 1);
}

static void op_end(unsigned int i, bool deliver)
{
	struct guest_batch batch = { .to_guest = true };

	if (!run.op_ds[i])
		return;
	if (deliver)
		dma_deliver(run.op_ds[i], &run.op[i], &batch);
	guest_batch_run(domain_mem(run.dom), &batch);
	dma_unmap(run.op_ds[i], &run.op[i]);
	run.op_ds[i] = NULL;
}

/* What is lent may be read and written until it is given back. */
static void op_touch(const struct dma_op *op)
{
	size_t sum = 0;
	int i;

	assert(op->iovcnt > 0 && op->iovcnt <= (int)DMA_MAX_IOV);
	for (i = 0; i < op->iovcnt; i++) {
		assert(op->iov[i].iov_len);
		sum += op->iov[i].iov_len;
		if (op->grants.pages && op->dir == DMA_FROM_GUEST)
			continue;		/* read-only */
		*(volatile char *)op->iov[i].iov_base ^= 1;
		((volatile char *)op->iov[i].iov_base)
			[op->iov[i].iov_len - 1] ^= 1;
	}
	assert(sum == op->bytes && sum <= DMA_MAX_BYTES && sum % 512 == 0);
}

static void act_dma(void)
{
	uint8_t what = take8();
	unsigned int i = what % NOPS, n = 1 + (what >> 3 & 3), s;
	struct dma_cursor cur = { run.seg[i], n, 0 };
	struct dma_space *ds = run.ds[what >> 5 & 1];
	struct guest_batch batch = { 0 };
	int r;

	if (run.op_ds[i]) {
		op_touch(&run.op[i]);
		op_end(i, what >> 7 & 1);
		return;
	}
	for (s = 0; s < n; s++) {
		run.seg[i][s].addr = take_addr();
		run.seg[i][s].len = 1 + (uint32_t)take(2) * (take8() + 1u);
	}
	r = dma_map(ds, &run.op[i], &cur, what & 0x40 ? DMA_TO_GUEST :
		    DMA_FROM_GUEST, &batch);
	guest_batch_run(domain_mem(run.dom), &batch);
	if (r == 0)
		run.op_ds[i] = ds;
	else
		assert(cur.nseg == n && !cur.off &&
		       (r == -EFAULT || r == -E2BIG || r == -EAGAIN));
}

static void act_fault(void)
{
	static const enum fake_fn fns[] = { FAKE_MAP, FAKE_GRANT_MAP, FAKE_CALLOC,
		FAKE_MAP_RANGE, FAKE_MAP_PCIDEV, FAKE_GRANT_COPY,
		FAKE_PENDING, FAKE_UNMAP_PCIDEV };
	uint8_t what = take8();

	fake_fail(fns[what & 7], 1 + (what >> 3 & 7), 1 + (what >> 6), ENOMEM);
}

/* ---- a run ---- */

static void act(void)
{
	switch (take8()) {
	case 's':
	case 'h':
	case 'f':
		act_slot();
		break;
	case 'S':
		act_raw_slot();
		break;
	case 'e':
		act_event();
		break;
	case 't':
		act_turn();
		break;
	case 'r':
		act_region();
		break;
	case 'm':
		act_memory();
		break;
	case 'g':
		act_grant();
		break;
	case 'x':
		act_fault();
		break;
	case 'k':
		act_ring();
		break;
	case 'd':
		act_dma();
		break;
	default:
		break;
	}
}

static void begin(uint8_t how)
{
	char why[200];
	unsigned int i;

	fake_start(1 + how % 4);
	fake.may_renounce = true;
	fake_ram_add(RAM_LOW / PAGE, 64);
	fake_ram_add(RAM_HIGH / PAGE, 3);
	if (loop_open(&run.loop) < 0 ||
	    domain_open(run.loop, FAKE_DOMID, how & 4, how & 8 ?
			GRANTS_REQUIRE : GRANTS_AUTO, &run.dom, why,
			sizeof(why)) < 0 ||
	    dma_open(domain_mem(run.dom), false, 512, &run.ds[0]) < 0 ||
	    dma_open(domain_mem(run.dom), true, 512, &run.ds[1]) < 0)
		abort();
	dma_set_grant_map(run.ds[0], 8192);
	regions_init();
	for (i = 0; i < NREGIONS; i++)
		if (io_region_add(domain_bus(run.dom), &run.region[i]) < 0)
			abort();
}

/* With whatever is still to be answered. */
static void end(void)
{
	unsigned int i;

	for (i = 0; i < NOPS; i++)
		op_end(i, true);
	guest_mem_unmap(domain_mem(run.dom), &run.ring);
	dma_close(run.ds[0]);
	dma_close(run.ds[1]);
	for (i = 0; i < NREGIONS; i++)
		io_region_del(domain_bus(run.dom), &run.region[i]);
	domain_close(run.dom);
	for (i = 0; i < fake.vcpus; i++)
		assert(fake.notified[i] == run.sent[i]);
	assert(!fake.stuck);
	loop_close(run.loop);
	fake_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	log_use_syslog();
	memset(&run, 0, sizeof(run));
	run.data = data;
	run.left = size;
	begin(take8());
	for (i = 0; run.left && i < MAX_ACTIONS; i++)
		act();
	if (i & 1)
		act_turn();
	end();
	return 0;
}
