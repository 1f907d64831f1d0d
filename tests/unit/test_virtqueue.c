/* SPDX-License-Identifier: MIT */
/*
 * test_virtqueue.c: split rings from the device's side.  What a driver may
 * do, with every option and size; what it may not, one test for each; and
 * memory that moves or vanishes meanwhile.
 */
#include <errno.h>
#include "rig.h"
#include "unit.h"

#define RAM		(2u << 20)
#define RING_AT		FAKE_RAM
#define BUFFERS		(FAKE_RAM + (1u << 20))
#define QUEUES		2
#define QUEUE_SIZE	1024

struct world {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring;		/* queue 0 */
};

static void world_open(struct world *w, uint16_t size, uint64_t features)
{
	rig_init(&w->rig, RAM);
	probe_init(&w->probe, &w->rig, QUEUES, QUEUE_SIZE);
	rig_plug(&w->rig, &w->probe.vdev);
	rig_up(&w->rig, features);
	rig_msix_on(&w->rig);
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_MSIX, 0);
	ring_init(&w->ring, &w->rig, 0, size, RING_AT);
	ring_enable(&w->ring);
	rig_ok(&w->rig);
	assert_int_equal(rig_status(&w->rig), S_RUNNING);
	rig_run(&w->rig);
}

static void world_close(struct world *w)
{
	probe_fini(&w->probe, &w->rig);
}

/* A ring in granted memory; @serves: what the device may. */
static void granted_open(struct world *w, unsigned int serves)
{
	rig_init(&w->rig, RAM);
	w->rig.gm.serves = serves;
	probe_init(&w->probe, &w->rig, QUEUES, QUEUE_SIZE);
	rig_plug(&w->rig, &w->probe.vdev);
	rig_up(&w->rig, RIG_INDIRECT);
	ring_init(&w->ring, &w->rig, 0, 8, RING_AT);
	w->ring.desc |= GUEST_ADDR_GRANT;
	w->ring.avail |= GUEST_ADDR_GRANT;
	w->ring.used |= GUEST_ADDR_GRANT;
	ring_enable(&w->ring);
}

/* Posts one chain and lets the device look. */
static void go(struct world *w, uint16_t head)
{
	ring_post(&w->ring, head);
	ring_kick(&w->ring);
	rig_run(&w->rig);
}

static void assert_used(struct world *w, uint32_t id, uint32_t len)
{
	uint32_t got_id, got_len;

	assert_true(ring_used(&w->ring, &got_id, &got_len));
	assert_int_equal(got_id, id);
	assert_int_equal(got_len, len);
}

/* The oldest chain that was taken is pushed, and the driver sees it. */
static void give_back(struct world *w, uint16_t head, uint32_t len)
{
	probe_push(&w->probe, 0, len);
	rig_run(&w->rig);
	assert_used(w, head, len);
}

/* How often the vector of queue 0 was sent. */
static unsigned int interrupts(const struct world *w)
{
	unsigned int i, n = 0;

	assert_true(w->rig.irq.count <= FAKE_IRQS);
	for (i = 0; i < w->rig.irq.count; i++)
		n += w->rig.irq.event[i].msi &&
		     w->rig.irq.event[i].data == RIG_MSI_DATA + 1;
	return n;
}

/* ---- what is right ---- */

static void test_chain(void **state)
{
	struct world w;
	struct probe *p = &w.probe;

	(void)state;
	world_open(&w, 8, 0);
	ring_desc(&w.ring, 3, BUFFERS, 16, D_NEXT, 0);
	ring_desc(&w.ring, 0, BUFFERS + 0x1000, 512, D_NEXT, 7);
	ring_desc(&w.ring, 7, BUFFERS + 0x2001, 4096, D_NEXT | D_WRITE, 1);
	ring_desc(&w.ring, 1, BUFFERS + 0x4000, 1, D_WRITE, 5);
	go(&w, 3);

	assert_int_equal(p->taken, 1);
	assert_int_equal(p->last.head, 3);
	assert_int_equal(p->last.nout, 2);
	assert_int_equal(p->last.nin, 2);
	assert_int_equal(p->last.out_bytes, 528);
	assert_int_equal(p->last.in_bytes, 4097);
	assert_int_equal(p->last.seg[0].addr, BUFFERS);
	assert_int_equal(p->last.seg[0].len, 16);
	assert_int_equal(p->last.seg[1].addr, BUFFERS + 0x1000);
	assert_int_equal(p->last.seg[1].len, 512);
	assert_int_equal(p->last.seg[2].addr, BUFFERS + 0x2001);
	assert_int_equal(p->last.seg[2].len, 4096);
	assert_int_equal(p->last.seg[3].addr, BUFFERS + 0x4000);
	assert_int_equal(p->last.seg[3].len, 1);

	/* Nothing is published before it is pushed. */
	assert_int_equal(ring_used_idx(&w.ring), 0);
	assert_int_equal(interrupts(&w), 0);
	probe_push(p, 0, 4097);
	assert_int_equal(ring_used_idx(&w.ring), 0);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring), 1);
	assert_used(&w, 3, 4097);
	assert_int_equal(interrupts(&w), 1);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	world_close(&w);
}

/* Given back in another order than taken; one interrupt for all. */
static void test_out_of_order(void **state)
{
	struct world w;
	uint16_t i;

	(void)state;
	world_open(&w, 8, 0);
	for (i = 0; i < 3; i++) {
		ring_desc(&w.ring, i, BUFFERS, 16, D_WRITE, 0);
		ring_post(&w.ring, i);
	}
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 3);
	probe_push(&w.probe, 2, 7);
	probe_push(&w.probe, 0, 5);
	probe_push(&w.probe, 0, 6);
	rig_run(&w.rig);
	assert_used(&w, 2, 7);
	assert_used(&w, 0, 5);
	assert_used(&w, 1, 6);
	assert_int_equal(interrupts(&w), 1);
	world_close(&w);
}

/*
 * Every size, with the indices going around more than once, and rings that
 * end where memory ends (ring_init() leaves holes behind them).
 */
static void test_sizes(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 256, 1024 };
	struct world w;
	unsigned int i, n, round;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		world_open(&w, sizes[i], i % 2 ? RIG_EVENT_IDX : 0);
		w.probe.echo = true;
		for (round = 0; round < 3; round++) {
			for (n = 0; n < sizes[i]; n++) {
				ring_desc(&w.ring, n, BUFFERS, 100 + n,
					  D_WRITE, 0);
				ring_post(&w.ring, (uint16_t)n);
			}
			ring_kick(&w.ring);
			rig_run(&w.rig);
			for (n = 0; n < sizes[i]; n++)
				assert_used(&w, n, 100 + n);
		}
		assert_int_equal(w.probe.taken, 3 * sizes[i]);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		world_close(&w);
	}
}

/* A ring may be full to the last entry, all in flight, in a single chain. */
static void test_longest_chain(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, VQ_MAX_SEGS, 0);
	for (i = 0; i < VQ_MAX_SEGS; i++)
		ring_desc(&w.ring, i, BUFFERS, i + 1,
			  i + 1 < VQ_MAX_SEGS ? D_NEXT : 0,
			  (uint16_t)(i + 1));
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.nout, VQ_MAX_SEGS);
	assert_int_equal(w.probe.last.nin, 0);
	assert_int_equal(w.probe.last.out_bytes,
			 VQ_MAX_SEGS * (VQ_MAX_SEGS + 1) / 2);
	world_close(&w);
}

/* Lengths are summed in 64 bits; nobody looks at the memory yet. */
static void test_huge_lengths(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 4, 0);
	w.probe.vdev.serves |= GUEST_GRANTS;
	ring_desc(&w.ring, 0, 0, UINT32_MAX, D_NEXT, 1);
	ring_desc(&w.ring, 1, 0, UINT32_MAX, D_NEXT, 2);
	ring_desc(&w.ring, 2, 1ull << 63, UINT32_MAX, D_NEXT | D_WRITE, 3);
	ring_desc(&w.ring, 3, UINT64_MAX, 1, D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.out_bytes, 2ull * UINT32_MAX);
	assert_int_equal(w.probe.last.in_bytes, 1ull + UINT32_MAX);
	world_close(&w);
}

/* Descriptors of no length are no segments, wherever they stand. */
static void test_zero_length(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 8, 0);
	ring_desc(&w.ring, 0, BUFFERS, 0, D_NEXT, 1);
	ring_desc(&w.ring, 1, BUFFERS, 16, D_NEXT, 2);
	ring_desc(&w.ring, 2, 0xdead, 0, D_NEXT | D_WRITE, 3);
	ring_desc(&w.ring, 3, BUFFERS, 1, D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.nout, 1);
	assert_int_equal(w.probe.last.nin, 1);

	ring_desc(&w.ring, 4, 0, 0, 0, 0);	/* a chain of nothing */
	go(&w, 4);
	assert_int_equal(w.probe.taken, 2);
	assert_int_equal(w.probe.last.nout + w.probe.last.nin, 0);
	probe_push_all(&w.probe);
	rig_run(&w.rig);
	assert_used(&w, 0, 0);
	assert_used(&w, 4, 0);
	world_close(&w);
}

static void test_indirect(void **state)
{
	struct world w;
	uint64_t table = BUFFERS + 0x8000 - 3 * 16;

	(void)state;
	world_open(&w, 2, RIG_INDIRECT);
	/* Three entries that end where memory ends. */
	table_desc(&w.rig.gm, table, 0, BUFFERS, 16, D_NEXT, 2);
	table_desc(&w.rig.gm, table, 2, BUFFERS + 16, 4096, D_NEXT, 1);
	table_desc(&w.rig.gm, table, 1, BUFFERS + 8192, 1, D_WRITE, 9);
	fake_mem_hole(&w.rig.gm, BUFFERS + 0x8000, 64);
	ring_desc(&w.ring, 1, table, 48, D_INDIRECT, 0);
	go(&w, 1);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.head, 1);
	assert_int_equal(w.probe.last.nout, 2);
	assert_int_equal(w.probe.last.nin, 1);
	assert_int_equal(w.probe.last.seg[1].addr, BUFFERS + 16);
	assert_int_equal(w.probe.last.out_bytes, 16 + 4096);

	/* The write flag of the indirect descriptor itself is ignored. */
	ring_desc(&w.ring, 0, table, 48, D_INDIRECT | D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 2);
	assert_int_equal(w.probe.last.nin, 1);
	world_close(&w);
}

/* Direct descriptors first, the rest indirect (2.7.5.3.1 forbids, and so
 * do we, only NEXT together with INDIRECT). */
static void test_direct_then_indirect(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 4, RIG_INDIRECT);
	ring_desc(&w.ring, 0, BUFFERS, 16, D_NEXT, 1);
	ring_desc(&w.ring, 1, BUFFERS + 0x1000, 16, D_INDIRECT, 0);
	table_desc(&w.rig.gm, BUFFERS + 0x1000, 0, BUFFERS, 8, D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.nout, 1);
	assert_int_equal(w.probe.last.nin, 1);
	world_close(&w);
}

/* A table longer than the queue is fine, up to what we can take. */
static void test_indirect_long(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, 2, RIG_INDIRECT);
	for (i = 0; i < 1024; i++)
		table_desc(&w.rig.gm, BUFFERS, i, BUFFERS,
			   i < VQ_MAX_SEGS ? 1 : 0,
			   i < 1023 ? D_NEXT : 0, (uint16_t)(i + 1));
	ring_desc(&w.ring, 0, BUFFERS, 16 * 1024, D_INDIRECT, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.nout, VQ_MAX_SEGS);
	world_close(&w);
}

/* ---- what is wrong ---- */

struct mistake {
	const char *what;
	uint16_t size;
	uint64_t features;
	void (*make)(struct world *w);
	const char *says;
};

static void bad_avail_idx(struct world *w)
{
	w->ring.avail_idx = 8;
	ring_post(&w->ring, 0);			/* 9 of 8 */
}

static void bad_avail_idx_back(struct world *w)
{
	w->ring.avail_idx = UINT16_MAX - 1;	/* behind last_avail */
	ring_post(&w->ring, 0);
}

static void bad_head(struct world *w)
{
	ring_post(&w->ring, 8);
}

static void bad_head_far(struct world *w)
{
	ring_post(&w->ring, 0xffff);
}

static void bad_head_twice(struct world *w)
{
	ring_desc(&w->ring, 2, BUFFERS, 16, 0, 0);
	ring_post(&w->ring, 2);
	ring_post(&w->ring, 2);
}

static void bad_next(struct world *w)
{
	ring_desc(&w->ring, 0, BUFFERS, 16, D_NEXT, 8);
	ring_post(&w->ring, 0);
}

static void bad_loop(struct world *w)
{
	ring_desc(&w->ring, 0, BUFFERS, 16, D_NEXT, 1);
	ring_desc(&w->ring, 1, BUFFERS, 16, D_NEXT, 0);
	ring_post(&w->ring, 0);
}

static void bad_loop_self(struct world *w)
{
	ring_desc(&w->ring, 5, BUFFERS, 0, D_NEXT, 5);
	ring_post(&w->ring, 5);
}

static void bad_order(struct world *w)
{
	ring_desc(&w->ring, 0, BUFFERS, 16, D_NEXT | D_WRITE, 1);
	ring_desc(&w->ring, 1, BUFFERS, 16, 0, 0);
	ring_post(&w->ring, 0);
}

static void bad_order_empty(struct world *w)
{
	ring_desc(&w->ring, 0, BUFFERS, 16, D_NEXT | D_WRITE, 1);
	ring_desc(&w->ring, 1, BUFFERS, 0, 0, 0);
	ring_post(&w->ring, 0);
}

static void bad_too_long(struct world *w)
{
	unsigned int i;

	for (i = 0; i <= VQ_MAX_SEGS; i++)
		ring_desc(&w->ring, i, BUFFERS, 1,
			  i < VQ_MAX_SEGS ? D_NEXT : 0, (uint16_t)(i + 1));
	ring_post(&w->ring, 0);
}

static void bad_wrap(struct world *w)
{
	ring_desc(&w->ring, 0, UINT64_MAX - 14, 16, 0, 0);
	ring_post(&w->ring, 0);
}

static void indirect(struct world *w, uint64_t addr, uint32_t len,
		     uint16_t flags)
{
	ring_desc(&w->ring, 0, addr, len, D_INDIRECT | flags, 1);
	ring_desc(&w->ring, 1, BUFFERS, 16, 0, 0);
	table_desc(&w->rig.gm, BUFFERS, 0, BUFFERS, 16, 0, 0);
	ring_post(&w->ring, 0);
}

static void bad_indirect_refused(struct world *w)
{
	indirect(w, BUFFERS, 16, 0);
}

static void bad_indirect_empty(struct world *w)
{
	indirect(w, BUFFERS, 0, 0);
}

static void bad_indirect_odd(struct world *w)
{
	indirect(w, BUFFERS, 24, 0);
}

static void bad_indirect_long(struct world *w)
{
	indirect(w, BUFFERS, 16 * 1025, 0);
}

static void bad_indirect_huge(struct world *w)
{
	indirect(w, BUFFERS, 0xfffffff0, 0);
}

static void bad_indirect_next(struct world *w)
{
	indirect(w, BUFFERS, 16, D_NEXT);
}

static void bad_indirect_nowhere(struct world *w)
{
	indirect(w, FAKE_RAM - 16, 16, 0);
}

static void bad_indirect_grant(struct world *w)
{
	indirect(w, GUEST_ADDR_GRANT | BUFFERS, 16, 0);
}

static void bad_indirect_wrap(struct world *w)
{
	indirect(w, UINT64_MAX - 15, 32, 0);
}

static void bad_indirect_hole(struct world *w)
{
	fake_mem_hole(&w->rig.gm, BUFFERS + 0x1000, 0x1000);
	indirect(w, BUFFERS + 0x1000 - 16, 32, 0);
}

static void bad_indirect_nested(struct world *w)
{
	indirect(w, BUFFERS, 32, 0);
	table_desc(&w->rig.gm, BUFFERS, 0, BUFFERS, 16, D_INDIRECT, 0);
}

static void bad_indirect_next_out(struct world *w)
{
	indirect(w, BUFFERS, 32, 0);
	table_desc(&w->rig.gm, BUFFERS, 0, BUFFERS, 16, D_NEXT, 2);
}

static void bad_indirect_loop(struct world *w)
{
	indirect(w, BUFFERS, 32, 0);
	table_desc(&w->rig.gm, BUFFERS, 0, BUFFERS, 16, D_NEXT, 1);
	table_desc(&w->rig.gm, BUFFERS, 1, BUFFERS, 16, D_NEXT, 0);
}

static void bad_indirect_order(struct world *w)
{
	indirect(w, BUFFERS, 32, 0);
	table_desc(&w->rig.gm, BUFFERS, 0, BUFFERS, 16, D_NEXT | D_WRITE, 1);
	table_desc(&w->rig.gm, BUFFERS, 1, BUFFERS, 16, 0, 0);
}

static const struct mistake mistakes[] = {
	{ "avail index too far", 8, 0, bad_avail_idx,
	  "queue 0: avail index 9, 0 taken so far, size 8" },
	{ "avail index backwards", 8, 0, bad_avail_idx_back,
	  "queue 0: avail index 65535, 0 taken so far, size 8" },
	{ "head out of range", 8, 0, bad_head, "queue 0: head 8 of 8" },
	{ "head far out of range", 8, 0, bad_head_far, "head 65535 of 8" },
	{ "head in flight", 8, 0, bad_head_twice,
	  "queue 0: head 2 is in flight already" },
	{ "next out of range", 8, 0, bad_next,
	  "queue 0, head 0: descriptor 8 of 8" },
	{ "loop", 8, 0, bad_loop, "queue 0, head 0: the chain is a loop" },
	{ "loop of nothing", 8, 0, bad_loop_self, "the chain is a loop" },
	{ "writable first", 8, 0, bad_order,
	  "queue 0, head 0: a readable descriptor behind a writable one" },
	{ "writable first, then nothing", 8, 0, bad_order_empty,
	  "a readable descriptor behind a writable one" },
	{ "too many segments", 512, 0, bad_too_long,
	  "queue 0, head 0: more than 256 descriptors" },
	{ "address wraps", 8, 0, bad_wrap,
	  "queue 0, head 0: 16 bytes at 0xfffffffffffffff1" },
	{ "indirect not negotiated", 8, 0, bad_indirect_refused,
	  "an indirect descriptor where none may be" },
	{ "indirect of 0", 8, RIG_INDIRECT, bad_indirect_empty,
	  "an indirect table of 0 bytes" },
	{ "indirect of 24", 8, RIG_INDIRECT, bad_indirect_odd,
	  "an indirect table of 24 bytes" },
	{ "indirect too long", 8, RIG_INDIRECT, bad_indirect_long,
	  "an indirect table of 16400 bytes" },
	{ "indirect far too long", 8, RIG_INDIRECT, bad_indirect_huge,
	  "an indirect table of 4294967280 bytes" },
	{ "indirect and next", 8, RIG_INDIRECT, bad_indirect_next,
	  "an indirect descriptor where none may be" },
	{ "indirect outside", 8, RIG_INDIRECT, bad_indirect_nowhere,
	  "the indirect table at 0xffff0 is not in memory" },
	{ "indirect by grant", 8, RIG_INDIRECT, bad_indirect_grant,
	  "0: an indirect table at 0x8000000000200000 is a grant: there is grants=off, or no /dev/xen/gntdev" },
	{ "indirect wraps", 8, RIG_INDIRECT, bad_indirect_wrap,
	  "0: an indirect table at 0xfffffffffffffff0 is a grant: there is grants=off, or no /dev/xen/gntdev" },
	{ "indirect into a hole", 8, RIG_INDIRECT, bad_indirect_hole,
	  "is not in memory" },
	{ "indirect in indirect", 8, RIG_INDIRECT, bad_indirect_nested,
	  "an indirect descriptor where none may be" },
	{ "indirect, next out of range", 8, RIG_INDIRECT,
	  bad_indirect_next_out, "queue 0, head 0: descriptor 2 of 2" },
	{ "indirect loop", 8, RIG_INDIRECT, bad_indirect_loop,
	  "the chain is a loop" },
	{ "indirect, writable first", 8, RIG_INDIRECT, bad_indirect_order,
	  "a readable descriptor behind a writable one" },
};

/*
 * Each one: the line that the operator reads, NEEDS_RESET, the configuration
 * interrupt, silence from then on, and nothing left mapped after the reset
 * that makes all well again.
 */
static void test_mistakes(void **state)
{
	static struct unit_capture c;
	const struct mistake *m;
	struct world w;
	const char *text;
	unsigned int irqs, taken;

	(void)state;
	for (m = mistakes; m < mistakes + ARRAY_SIZE(mistakes); m++) {
		world_open(&w, m->size, m->features);
		w.rig.vdev->limit = (struct log_limit){ 0 };
		irqs = w.rig.irq.count;
		m->make(&w);
		ring_kick(&w.ring);
		unit_capture_start(&c, STDERR_FILENO);
		rig_run(&w.rig);
		text = unit_capture_end(&c);
		if (!strstr(text, m->says) || !strstr(text, "d1 rig0: "))
			fail_msg("%s: '%s' is not in '%s'", m->what, m->says,
				 text);
		assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
		rig_mute(w.rig.vdev);
		assert_int_equal(w.probe.error, -EPROTO);
		assert_int_equal(rig_status(&w.rig),
				 S_RUNNING | S_NEEDS_RESET);
		assert_int_equal(w.rig.irq.count, irqs + 1);
		assert_int_equal(w.rig.irq.event[irqs].data, RIG_MSI_DATA);
		assert_int_equal(w.probe.taken, w.probe.nkept);
		taken = w.probe.taken;

		/* Quiet: no look at the ring, no word in it. */
		ring_kick(&w.ring);
		assert_int_equal(rig_run(&w.rig), 0);
		assert_int_equal(w.probe.taken, taken);
		probe_push_all(&w.probe);
		rig_run(&w.rig);
		assert_int_equal(ring_used_idx(&w.ring), 0);
		assert_int_equal(w.rig.irq.count, irqs + 1);

		rig_status_set(&w.rig, 0);
		assert_int_equal(rig_status(&w.rig), 0);
		assert_int_equal(w.rig.gm.maps, 0);
		ring_restart(&w.ring);
		rig_negotiate(&w.rig, 0);
		ring_enable(&w.ring);
		rig_ok(&w.rig);
		ring_desc(&w.ring, 0, BUFFERS, 16, 0, 0);
		go(&w, 0);
		assert_int_equal(w.probe.taken, taken + 1);
		assert_int_equal(rig_status(&w.rig), S_RUNNING);
		world_close(&w);
	}
}

/* A chain is private once it is taken. */
static void test_taken_once(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 4, RIG_INDIRECT);
	table_desc(&w.rig.gm, BUFFERS, 0, BUFFERS, 16, 0, 0);
	ring_desc(&w.ring, 0, BUFFERS, 16, D_INDIRECT, 0);
	go(&w, 0);
	table_desc(&w.rig.gm, BUFFERS, 0, 0, 0xffffffff, D_WRITE, 0);
	ring_desc(&w.ring, 0, 0, 0, 0xffff, 0xffff);
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.probe.last.seg[0].addr, BUFFERS);
	assert_int_equal(w.probe.last.seg[0].len, 16);
	give_back(&w, 0, 0);
	world_close(&w);
}

/* Put back, a chain is as if it had never been taken. */
static void test_unpop(void **state)
{
	struct vq_chain c;
	struct world w;
	struct vq *vq;
	uint16_t i;

	(void)state;
	world_open(&w, 4, RIG_EVENT_IDX);
	vq = &w.probe.vdev.vq[0];
	for (i = 0; i < 3; i++) {
		ring_desc(&w.ring, 3 - i, BUFFERS, 16u + i, 0, 0);
		ring_post(&w.ring, 3 - i);
	}
	assert_int_equal(vq_pop(vq, &c), 1);
	assert_int_equal(vq_pop(vq, &c), 1);
	assert_int_equal(vq_pop(vq, &c), 1);
	assert_int_equal(c.head, 1);
	vq_unpop(vq, 1);
	vq_unpop(vq, 2);
	assert_int_equal(vq->st->inflight_count, 1);
	assert_true(vq_wait(vq));		/* there is work */
	assert_int_equal(ring_avail_event(&w.ring), 1);

	assert_int_equal(vq_pop(vq, &c), 1);
	assert_int_equal(c.head, 2);
	assert_int_equal(c.out_bytes, 17);
	assert_int_equal(vq_pop(vq, &c), 1);
	assert_int_equal(vq_pop(vq, &c), 0);
	for (i = 3; i > 0; i--)
		vq_push(vq, i, i);
	vq_flush(vq);
	for (i = 3; i > 0; i--)
		assert_used(&w, i, i);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	world_close(&w);
}

/* Never more in flight than the ring has entries; then they come again. */
static void test_full(void **state)
{
	struct world w;
	uint16_t i;

	(void)state;
	world_open(&w, 4, 0);
	for (i = 0; i < 4; i++) {
		ring_desc(&w.ring, i, BUFFERS, 16, 0, 0);
		ring_post(&w.ring, i);
	}
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_int_equal(w.probe.nkept, 4);
	assert_int_equal(w.probe.vdev.vq[0].st->inflight_count, 4);
	probe_push(&w.probe, 1, 0);
	rig_run(&w.rig);
	go(&w, 1);
	assert_int_equal(w.probe.taken, 5);
	assert_int_equal(w.probe.nkept, 4);

	go(&w, 3);			/* still in flight */
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	world_close(&w);
}

/* ---- kicks and interrupts ---- */

/* Without event index: NO_NOTIFY while the device looks, NO_INTERRUPT. */
static void test_flags(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 4, 0);
	fake_put16(&w.rig.gm, w.ring.used, 0xffff);
	w.probe.mute = true;
	go(&w, 0);
	vq_quiet(&w.probe.vdev.vq[0]);
	assert_int_equal(fake_get16(&w.rig.gm, w.ring.used),
			 VRING_USED_F_NO_NOTIFY);
	assert_true(vq_wait(&w.probe.vdev.vq[0]));
	assert_int_equal(fake_get16(&w.rig.gm, w.ring.used), 0);
	w.probe.mute = false;
	ring_desc(&w.ring, 0, BUFFERS, 16, 0, 0);
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(fake_get16(&w.rig.gm, w.ring.used), 0);
	assert_false(vq_wait(&w.probe.vdev.vq[0]));

	fake_put16(&w.rig.gm, w.ring.avail, VRING_AVAIL_F_NO_INTERRUPT);
	give_back(&w, 0, 1);
	assert_int_equal(interrupts(&w), 0);

	fake_put16(&w.rig.gm, w.ring.avail, 0xfffe);	/* other bits */
	go(&w, 0);
	probe_push(&w.probe, 0, 1);
	rig_run(&w.rig);
	assert_int_equal(interrupts(&w), 1);
	vq_flush(&w.probe.vdev.vq[0]);		/* nothing new */
	assert_int_equal(interrupts(&w), 1);
	world_close(&w);
}

/*
 * Event index, through the wrap of the 16-bit indices: an interrupt when the
 * entry that the driver named is published, and only then.
 */
static void test_event_idx(void **state)
{
	struct world w;
	struct vq *vq = &w.probe.vdev.vq[0];
	unsigned int before, k;
	uint16_t base, event;

	(void)state;
	world_open(&w, 8, RIG_EVENT_IDX);
	w.probe.echo = true;
	ring_desc(&w.ring, 0, BUFFERS, 16, D_WRITE, 0);
	ring_used_event_set(&w.ring, 0x8000);	/* far away */

	/* Close to the wrap. */
	while (w.ring.avail_idx != 65530) {
		ring_used_event_set(&w.ring,
				    (uint16_t)(w.ring.avail_idx + 0x4000));
		go(&w, 0);
	}
	assert_int_equal(ring_used_idx(&w.ring), 65530);
	assert_int_equal(interrupts(&w), 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	w.probe.echo = false;

	/* Batches of one to four entries, the event anywhere around them. */
	for (base = 65530; base != 40; base = w.ring.avail_idx) {
		unsigned int batch = 1 + base % 4;

		event = (uint16_t)(base - 2 + base % 7);
		for (k = 0; k < batch; k++) {
			ring_desc(&w.ring, k, BUFFERS, 16, D_WRITE, 0);
			ring_post(&w.ring, (uint16_t)k);
		}
		ring_kick(&w.ring);
		rig_run(&w.rig);
		assert_int_equal(w.probe.nkept, batch);
		assert_int_equal(ring_avail_event(&w.ring), w.ring.avail_idx);

		ring_used_event_set(&w.ring, event);
		before = w.rig.irq.count;
		probe_push_all(&w.probe);
		rig_run(&w.rig);
		assert_int_equal(ring_used_idx(&w.ring), w.ring.avail_idx);
		assert_int_equal(w.rig.irq.count - before,
				 (uint16_t)(event - base) < batch);
		w.rig.irq.count = 0;
		if (base > 20 && base < 40)
			break;
	}
	assert_false(vq_wait(vq));
	/* The flags mean nothing now, either way. */
	assert_int_equal(fake_get16(&w.rig.gm, w.ring.used), 0);
	fake_put16(&w.rig.gm, w.ring.avail, VRING_AVAIL_F_NO_INTERRUPT);
	ring_used_event_set(&w.ring, w.ring.avail_idx);
	before = w.rig.irq.count;
	go(&w, 0);
	vq_quiet(vq);
	assert_int_equal(fake_get16(&w.rig.gm, w.ring.used), 0);
	probe_push_all(&w.probe);
	rig_run(&w.rig);
	assert_int_equal(w.rig.irq.count, before + 1);
	world_close(&w);
}

/* What arrives after the last look and before the wish is not lost. */
static void test_wait_sees(void **state)
{
	struct world w;
	struct vq *vq = &w.probe.vdev.vq[0];
	int event;

	(void)state;
	for (event = 0; event < 2; event++) {
		world_open(&w, 8, event ? RIG_EVENT_IDX : 0);
		w.probe.mute = true;
		assert_false(vq_wait(vq));
		ring_post(&w.ring, 0);
		assert_true(vq_wait(vq));
		world_close(&w);
	}
}

/* ---- doorbells ---- */

static void test_doorbells(void **state)
{
	struct world w;
	unsigned int runs, i;

	(void)state;
	world_open(&w, 4, 0);
	runs = w.probe.runs;

	/* Of queues that do not exist, or are not enabled. */
	for (i = 1; i < 0x1000 / 4; i++)
		rig_mem_set(&w.rig, RIG_NOTIFY + 4 * i, 2, (uint16_t)i);
	for (i = 4; i < RIG_PORT_BYTES; i += 4)
		fake_write(&w.rig.bus, IO_PORT, RIG_PORTS + i, 2, 0);
	assert_int_equal(rig_run(&w.rig), 0);
	assert_int_equal(w.probe.runs, runs);

	/* The vCPU goes on before anything is done; many are one. */
	ring_desc(&w.ring, 0, BUFFERS, 16, 0, 0);
	ring_post(&w.ring, 0);
	for (i = 0; i < 10; i++)
		ring_kick(&w.ring);
	assert_int_equal(w.probe.runs, runs);
	rig_run(&w.rig);
	assert_int_equal(w.probe.runs, runs + 1);

	/* The address says which; width and value are nothing. */
	rig_mem_set(&w.rig, RIG_NOTIFY + 1, 1, 0xff);
	rig_run(&w.rig);
	assert_int_equal(w.probe.runs, runs + 2);
	fake_write(&w.rig.bus, IO_PORT, RIG_PORTS, 4, 0xffff0001);
	rig_run(&w.rig);
	assert_int_equal(w.probe.runs, runs + 3);
	assert_int_equal(rig_mem(&w.rig, RIG_NOTIFY, 4), 0);
	assert_int_equal(fake_read(&w.rig.bus, IO_PORT, RIG_PORTS, 4), 0);
	world_close(&w);
}

/* ---- memory ---- */

/* The guest's pages are exchanged: everything goes to the new ones. */
static void test_epoch(void **state)
{
	struct world w;
	unsigned int made;
	const uint8_t *old;

	(void)state;
	world_open(&w, 8, 0);
	ring_desc(&w.ring, 0, BUFFERS, 16, D_WRITE, 0);
	ring_desc(&w.ring, 1, BUFFERS, 32, D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.rig.gm.maps, 3);
	made = w.rig.gm.maps_made;
	old = fake_ptr(&w.rig.gm, w.ring.used, 16);

	fake_mem_move(&w.rig.gm);
	assert_non_null(w.rig.gm.pages->older);	/* still mapped */
	probe_push(&w.probe, 0, 16);
	rig_run(&w.rig);
	assert_null(w.rig.gm.pages->older);
	assert_ptr_not_equal(old, fake_ptr(&w.rig.gm, w.ring.used, 16));
	assert_used(&w, 0, 16);
	assert_int_equal(w.rig.gm.maps, 3);
	assert_int_equal(w.rig.gm.maps_made, made + 3);

	/* Between kick and pop, and between push and flush. */
	ring_post(&w.ring, 1);
	ring_kick(&w.ring);
	fake_mem_move(&w.rig.gm);
	rig_run(&w.rig);
	assert_int_equal(w.probe.last.head, 1);
	probe_push(&w.probe, 0, 32);
	fake_mem_move(&w.rig.gm);
	rig_run(&w.rig);
	assert_used(&w, 1, 32);
	assert_int_equal(interrupts(&w), 2);
	assert_int_equal(w.rig.gm.maps, 3);
	assert_null(w.rig.gm.pages->older);

	/* No new epoch, no new maps. */
	made = w.rig.gm.maps_made;
	go(&w, 0);
	assert_int_equal(w.rig.gm.maps_made, made);
	world_close(&w);
}

/* Each of the three parts, before and after the queue has been used. */
static void test_not_in_memory(void **state)
{
	unsigned int part, late;
	struct world w;
	uint64_t at;

	(void)state;
	for (part = 0; part < 3; part++) {
		for (late = 0; late < 2; late++) {
			world_open(&w, 8, 0);
			ring_desc(&w.ring, 0, BUFFERS, 16, 0, 0);
			if (late)
				go(&w, 0);
			assert_int_equal(w.rig.gm.maps, 3);
			at = part == 0 ? w.ring.desc + 8 * 16 - 1 :
			     part == 1 ? w.ring.avail + 6 + 2 * 8 - 1 :
					 w.ring.used + 6 + 8 * 8 - 1;
			fake_mem_hole(&w.rig.gm, at, 1);
			fake_mem_move(&w.rig.gm);
			if (late)
				probe_push(&w.probe, 0, 0);
			ring_kick(&w.ring);
			rig_run(&w.rig);
			assert_int_equal(rig_status(&w.rig),
					 S_RUNNING | S_NEEDS_RESET);
			assert_int_equal(w.rig.gm.maps, 0);
			assert_int_equal(w.probe.nkept, 0);
			world_close(&w);
		}
	}
}

/* ---- grants ---- */

/* A granted ring stays mapped when the guest's memory moves: it does not. */
static void test_granted(void **state)
{
	struct world w;
	unsigned int made;

	(void)state;
	granted_open(&w, GUEST_GRANTS);
	rig_ok(&w.rig);
	ring_desc(&w.ring, 0, GUEST_ADDR_GRANT | BUFFERS, 16, D_NEXT, 1);
	ring_desc(&w.ring, 1, GUEST_ADDR_GRANT | BUFFERS, 32, D_WRITE, 0);
	go(&w, 0);
	assert_int_equal(w.probe.taken, 1);
	assert_true(w.probe.last.granted);
	assert_int_equal(w.probe.vdev.stats->granted, 1);
	made = w.rig.gm.maps_made;
	w.rig.gm.epoch++;
	give_back(&w, 0, 5);
	assert_int_equal(w.rig.gm.maps_made, made);

	/* Not granted, and nothing else is served. */
	ring_desc(&w.ring, 2, BUFFERS, 16, 0, 0);
	go(&w, 2);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(w.probe.taken, 1);
	world_close(&w);
}

/* Both kinds in one ring. */
static void test_granted_mixed(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	granted_open(&w, GUEST_PLAIN | GUEST_GRANTS);
	rig_ok(&w.rig);
	for (i = 0; i < 2; i++) {
		ring_desc(&w.ring, 0, (i ? GUEST_ADDR_GRANT : 0) | BUFFERS, 16,
			  D_WRITE, 1);
		go(&w, 0);
		assert_int_equal(w.probe.taken, i + 1);
		assert_int_equal(w.probe.last.granted, i);
		give_back(&w, 0, 5);
	}
	assert_int_equal(w.probe.vdev.stats->granted, 1);
	world_close(&w);
}

/* What is not served is refused as soon as the queue is enabled. */
static void test_granted_refused(void **state)
{
	unsigned int part, serves;
	struct world w;

	(void)state;
	for (serves = GUEST_PLAIN; serves <= GUEST_GRANTS; serves++) {
		for (part = 0; part < 3; part++) {
			rig_init(&w.rig, RAM);
			w.rig.gm.serves = serves;
			probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
			rig_plug(&w.rig, &w.probe.vdev);
			rig_up(&w.rig, 0);
			ring_init(&w.ring, &w.rig, 0, 8, RING_AT);
			if (part == 0 || serves == GUEST_GRANTS)
				w.ring.desc |= GUEST_ADDR_GRANT;
			if (part == 1 || serves == GUEST_GRANTS)
				w.ring.avail |= GUEST_ADDR_GRANT;
			if (part == 2 || serves == GUEST_GRANTS)
				w.ring.used |= GUEST_ADDR_GRANT;
			if (serves == GUEST_GRANTS)	/* one of them not */
				*(part == 0 ? &w.ring.desc :
				  part == 1 ? &w.ring.avail : &w.ring.used) &=
					~GUEST_ADDR_GRANT;
			ring_enable(&w.ring);
			assert_int_equal(rig_status(&w.rig),
					 S_UP | S_NEEDS_RESET);
			assert_int_equal(rig_reg(&w.rig,
					 VIRTIO_PCI_COMMON_Q_ENABLE), 0);
			assert_int_equal(w.rig.gm.maps_made, 0);
			probe_fini(&w.probe, &w.rig);
		}
	}
}

/* Room was made: whoever waits is called. */
static void make_room(struct world *w)
{
	struct guest_mem *gm = &w->rig.gm;

	guest_mem_release(gm, guest_mem_hold(gm));
	rig_run(&w->rig);
}

/* No room to map a ring: it is tried again, and then it is as ever. */
static void test_no_room(void **state)
{
	unsigned int part, i;
	struct world w;

	(void)state;
	for (part = 1; part < 4; part++) {
		granted_open(&w, GUEST_GRANTS);
		w.rig.gm.map_err = -EAGAIN;
		w.rig.gm.map_fails = part;	/* the next tries of the first */
		rig_ok(&w.rig);
		ring_desc(&w.ring, 0, GUEST_ADDR_GRANT | BUFFERS, 16, D_WRITE,
			  0);
		go(&w, 0);
		for (i = 0; i < part && !w.probe.taken; i++) {
			assert_int_equal(rig_status(&w.rig), S_RUNNING);
			assert_int_equal(w.rig.gm.maps, 0);
			assert_non_null(w.rig.gm.waiters);
			make_room(&w);
		}
		assert_int_equal(w.probe.taken, 1);
		give_back(&w, 0, 5);
		world_close(&w);
	}
}

/* It does not wait for ever; nor when it is reset meanwhile. */
static void test_no_room_ever(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	granted_open(&w, GUEST_GRANTS);
	w.rig.gm.map_err = -EAGAIN;
	w.rig.gm.map_fails = UINT32_MAX;
	rig_ok(&w.rig);
	ring_kick(&w.ring);
	rig_run(&w.rig);
	for (i = 0; i < 1000 && rig_status(&w.rig) == S_RUNNING; i++)
		make_room(&w);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(i, 100);
	assert_null(w.rig.gm.waiters);
	world_close(&w);

	granted_open(&w, GUEST_GRANTS);
	w.rig.gm.map_err = -EAGAIN;
	w.rig.gm.map_fails = UINT32_MAX;
	rig_ok(&w.rig);
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_non_null(w.rig.gm.waiters);
	rig_status_set(&w.rig, 0);
	rig_run(&w.rig);
	assert_null(w.rig.gm.waiters);
	assert_int_equal(rig_status(&w.rig), 0);
	world_close(&w);
}

/* Indirect tables are read ahead, and each is used once. */
static void test_granted_indirect(void **state)
{
	enum { N = 6 };
	uint64_t table = FAKE_RAM + 0x80000;
	struct world w;
	uint16_t i, round;

	(void)state;
	granted_open(&w, GUEST_GRANTS);
	w.probe.echo = true;
	rig_ok(&w.rig);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++) {
			fake_put64(&w.rig.gm, table + 0x1000 * i,
				   GUEST_ADDR_GRANT | (BUFFERS + i * 64));
			fake_put32(&w.rig.gm, table + 0x1000 * i + 8,
				   100u * round + i + 1);
			fake_put16(&w.rig.gm, table + 0x1000 * i + 12, D_WRITE);
			ring_desc(&w.ring, i, GUEST_ADDR_GRANT |
				  (table + 0x1000 * i), 16, D_INDIRECT, 0);
			ring_post(&w.ring, i);
		}
		ring_kick(&w.ring);
		rig_run(&w.rig);
		assert_int_equal(w.probe.taken, (round + 1) * N);
		for (i = 0; i < N; i++)
			assert_used(&w, i, 100u * round + i + 1);
	}
	/* One of several is not there: those before it are served. */
	for (i = 0; i < 3; i++) {
		ring_desc(&w.ring, i, GUEST_ADDR_GRANT |
			  (i == 1 ? 0 : table + 0x1000 * i), 16, D_INDIRECT, 0);
		ring_post(&w.ring, i);
	}
	ring_kick(&w.ring);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 3 * N + 1);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	world_close(&w);
}

/* Addresses that never were memory; wrapping, grants, our own BAR. */
static void test_bad_addresses(void **state)
{
	static const uint64_t bad[] = {
		0, FAKE_RAM - 16, FAKE_RAM + RAM - 112, FAKE_RAM + RAM,
		RIG_BAR, 1ull << 32 | FAKE_RAM, GUEST_ADDR_GRANT | FAKE_RAM,
		UINT64_MAX - 15, UINT64_MAX - 127, 1ull << 52,
	};
	struct world w;
	unsigned int i, part;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (part = 0; part < 3; part++) {
			rig_init(&w.rig, RAM);
			probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
			rig_plug(&w.rig, &w.probe.vdev);
			rig_up(&w.rig, 0);
			ring_init(&w.ring, &w.rig, 0, 512, RING_AT);
			if (part == 0)
				w.ring.desc = bad[i];
			else if (part == 1)
				w.ring.avail = bad[i];
			else
				w.ring.used = bad[i] & ~3ull;
			ring_enable(&w.ring);
			rig_ok(&w.rig);
			rig_run(&w.rig);
			assert_int_equal(rig_status(&w.rig),
					 S_RUNNING | S_NEEDS_RESET);
			assert_int_equal(w.probe.taken, 0);
			assert_int_equal(w.rig.gm.maps, 0);
			probe_fini(&w.probe, &w.rig);
		}
	}
}

static void test_alignment(void **state)
{
	static const struct {
		unsigned int desc, avail, used;
	} t[] = { { 8, 0, 0 }, { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 2 } };
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		rig_init(&w.rig, RAM);
		probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
		rig_plug(&w.rig, &w.probe.vdev);
		rig_up(&w.rig, 0);
		ring_init(&w.ring, &w.rig, 0, 8, RING_AT);
		w.ring.desc += t[i].desc;
		w.ring.avail += t[i].avail;
		w.ring.used += t[i].used;
		ring_enable(&w.ring);
		assert_int_equal(rig_status(&w.rig), S_UP | S_NEEDS_RESET);
		assert_int_equal(rig_reg(&w.rig,
					 VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		assert_int_equal(w.rig.gm.maps_made, 0);
		probe_fini(&w.probe, &w.rig);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_chain),
	cmocka_unit_test(test_out_of_order),
	cmocka_unit_test(test_sizes),
	cmocka_unit_test(test_longest_chain),
	cmocka_unit_test(test_huge_lengths),
	cmocka_unit_test(test_zero_length),
	cmocka_unit_test(test_indirect),
	cmocka_unit_test(test_direct_then_indirect),
	cmocka_unit_test(test_indirect_long),
	cmocka_unit_test(test_mistakes),
	cmocka_unit_test(test_taken_once),
	cmocka_unit_test(test_unpop),
	cmocka_unit_test(test_full),
	cmocka_unit_test(test_flags),
	cmocka_unit_test(test_event_idx),
	cmocka_unit_test(test_wait_sees),
	cmocka_unit_test(test_doorbells),
	cmocka_unit_test(test_epoch),
	cmocka_unit_test(test_not_in_memory),
	cmocka_unit_test(test_granted),
	cmocka_unit_test(test_granted_mixed),
	cmocka_unit_test(test_granted_refused),
	cmocka_unit_test(test_granted_indirect),
	cmocka_unit_test(test_no_room),
	cmocka_unit_test(test_no_room_ever),
	cmocka_unit_test(test_bad_addresses),
	cmocka_unit_test(test_alignment),
};

UNIT_MAIN(tests)
