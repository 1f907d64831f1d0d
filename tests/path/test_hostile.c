/* SPDX-License-Identifier: MIT */
/*
 * A guest that means harm, or a driver that lost its mind.
 *
 * Whatever it writes to rings, registers or the slots that Xen fills for it:
 * every access is answered in time, the daemon lives, it says little, and
 * after a reset the disk is as good as ever.  What the specification calls a
 * driver's error breaks the device (NEEDS_RESET); what is only a bad request
 * is answered with its status.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdatomic.h>

#include "path.h"

#define PIO	IOREQ_TYPE_PIO
#define COPY	IOREQ_TYPE_COPY
#define CONFIG	IOREQ_TYPE_PCI_CONFIG
#define STALL_US 1000000		/* longer is not a busy machine */
#define HOLE	0xd0000000ul		/* no RAM, no device */

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct toyblk_vq *q;
static char img[128], spec[256];
static uint64_t area;			/* 64 KiB for chains */

static void start_disk(void)
{
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }), 0);
}

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	path_image_fill(img, 0, MB, 3);
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=2", img);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	q = &b->vq[0];
	area = path_buffer(b, 65536);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(b);
	b = NULL;
	toy_free(t);
	return 0;
}

/* However it was treated: it kept no vCPU waiting, it lives, is reset, and
 * works. */
static void assert_recovers(void)
{
	assert_true(t->slowest_us < STALL_US);
	assert_lives(p);
	assert_no_fault(t);
	start_disk();
	path_exercise(b, 0, 8192, 65536, 7);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 0, area, 4096), 0);
	path_check(toy_ptr(t, area, 4096), 0, 4096, 3);
	assert_false(toyblk_needs_reset(b));
}

/* ---- chains ---- */

enum outcome {
	BROKEN,			/* NEEDS_RESET */
	IOERR,			/* the request's status says so */
	ANY,			/* one or the other, or even success */
};

/* A read of 4 KiB in descriptors 0, 1, 2; to be spoiled. */
static void good_chain(void)
{
	uint8_t *m = toy_ptr(t, area, 65536);
	struct virtio_blk_outhdr *h = (void *)m;

	memset(m, 0, 65536);
	h->type = VIRTIO_BLK_T_IN;
	m[64] = 0xff;
	q->desc[0] = (struct vring_desc){
		area, 16, VRING_DESC_F_NEXT, 1 };
	q->desc[1] = (struct vring_desc){
		area + 8192, 4096, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2 };
	q->desc[2] = (struct vring_desc){
		area + 64, 1, VRING_DESC_F_WRITE, 0 };
}

/* The same chain as an indirect table. */
static struct vring_desc *good_table(void)
{
	struct vring_desc *table;

	good_chain();
	table = toy_ptr(t, area + 4096, 4096);
	memcpy(table, q->desc, 3 * sizeof(*table));
	q->desc[0] = (struct vring_desc){
		area + 4096, 3 * 16, VRING_DESC_F_INDIRECT, 0 };
	return table;
}

static uint8_t chain_status(void)
{
	return ((volatile uint8_t *)toy_ptr(t, area, 4096))[64];
}

static bool answered(uint16_t before)
{
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) != before;
}

static void expect(const char *what, enum outcome outcome)
{
	uint16_t before = q->used_idx;

	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	toyblk_kick_hard(q);
	wait_until(t, toyblk_needs_reset(b) || answered(before));
	if (outcome == BROKEN && !toyblk_needs_reset(b))
		fail_msg("%s: not broken, status %u", what, chain_status());
	if (outcome == IOERR && (toyblk_needs_reset(b) ||
				 chain_status() != VIRTIO_BLK_S_IOERR))
		fail_msg("%s: status %u%s", what, chain_status(),
			 toyblk_needs_reset(b) ? ", broken" : "");
	if (outcome == BROKEN &&
	    toy_msi_wait(t, b->cfg_msi_addr, b->cfg_msi_data, 0, TOY_MS))
		fail_msg("%s: broken, but no interrupt says so", what);
	/* quiet until it is reset: no more answers for kicks */
	if (toyblk_needs_reset(b)) {
		before = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
		toyblk_kick_hard(q);
		assert_true(toyblk_needs_reset(b));
		assert_false(answered(before));
	}
	assert_recovers();
}

/* Publish head 0, whatever it has become. */
static void push_head(uint16_t head)
{
	q->avail->ring[q->avail_idx++ % q->size] = head;
}

#define SPOIL(what, outcome, ...)					\
	do {								\
		good_chain();						\
		__VA_ARGS__;						\
		push_head(0);						\
		expect(what, outcome);					\
	} while (0)

static void test_the_good_chain_is_good(void **state)
{
	(void)state;
	good_chain();
	push_head(0);
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	toyblk_kick_hard(q);
	assert_int_equal(toyblk_wait(q, TOY_MS), 0);
	assert_int_equal(chain_status(), VIRTIO_BLK_S_OK);
	path_check(toy_ptr(t, area + 8192, 4096), 0, 4096, 3);
	path_stop(t, p);
}

static void test_avail_ring(void **state)
{
	(void)state;
	good_chain();
	push_head(q->size);
	expect("a head of the size", BROKEN);
	good_chain();
	push_head(0xffff);
	expect("the largest head", BROKEN);
	good_chain();
	q->avail_idx += q->size + 1;
	expect("one more than fit", BROKEN);
	good_chain();
	q->avail_idx -= 1;
	expect("one less than none", BROKEN);
	good_chain();
	q->avail_idx += 0x8000;
	expect("half way round", BROKEN);
	/* the same head over and over: in flight, or done by then */
	good_chain();
	while (q->avail_idx != q->size)
		push_head(0);
	expect("one head for all", ANY);
	path_stop(t, p);
}

static void test_descriptors(void **state)
{
	(void)state;
	SPOIL("next of the size", BROKEN, q->desc[0].next = q->size);
	SPOIL("next 0xffff", BROKEN, q->desc[1].next = 0xffff);
	SPOIL("itself", BROKEN, q->desc[1].next = 1);
	SPOIL("a loop", BROKEN, q->desc[2].flags |= VRING_DESC_F_NEXT);
	SPOIL("a loop of readable ones", BROKEN, q->desc[0].next = 0);
	SPOIL("readable behind writable", BROKEN,
	      q->desc[2].flags = 0);
	SPOIL("all readable", BROKEN, q->desc[1].flags = 0);
	SPOIL("all writable", BROKEN,
	      q->desc[0].flags |= VRING_DESC_F_WRITE);
	SPOIL("a short header", BROKEN, q->desc[0].len = 15);
	SPOIL("no header", BROKEN, q->desc[0].len = 0);
	SPOIL("no status", BROKEN, q->desc[1].len = 0, q->desc[2].len = 0);
	SPOIL("a header nowhere", BROKEN, q->desc[0].addr = HOLE);
	SPOIL("a header that wraps", BROKEN, q->desc[0].addr = ~0ull - 7);
	SPOIL("a status nowhere", BROKEN, q->desc[2].addr = HOLE);
	SPOIL("a header in a BAR", BROKEN,
	      q->desc[0].addr = b->bar[0].addr);
	SPOIL("lengths beyond 32 bits", ANY,
	      q->desc[1].len = 0xffffffff, q->desc[2].len = 0xffffffff);
	SPOIL("unknown flags", ANY, q->desc[1].flags |= 0xfff8);
	SPOIL("status longer than a byte", ANY, q->desc[2].len = 4096);
	path_stop(t, p);
}

static void test_long_loops(void **state)
{
	unsigned int i;

	(void)state;
	/* all descriptors in a circle */
	good_chain();
	for (i = 0; i < q->size; i++)
		q->desc[i] = (struct vring_desc){
			area, 16, VRING_DESC_F_NEXT, (i + 1) % q->size };
	push_head(0);
	expect("a circle", BROKEN);
	/* and of nothing at all */
	good_chain();
	for (i = 0; i < q->size; i++)
		q->desc[i] = (struct vring_desc){
			0, 0, VRING_DESC_F_NEXT, (i + 1) % q->size };
	push_head(0);
	expect("a circle of nothing", BROKEN);
	/* as much as can be, all of it huge */
	good_chain();
	for (i = 1; i < q->size - 1; i++)
		q->desc[i] = (struct vring_desc){ area, 0xfffff000,
			VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, i + 1 };
	q->desc[i] = q->desc[2];
	q->desc[i].flags = VRING_DESC_F_WRITE;
	push_head(0);
	expect("a terabyte", ANY);
	path_stop(t, p);
}

#define SPOIL_TABLE(what, outcome, ...)					\
	do {								\
		struct vring_desc *table = good_table();		\
		(void)table;						\
		__VA_ARGS__;						\
		push_head(0);						\
		expect(what, outcome);					\
	} while (0)

static void test_indirect_tables(void **state)
{
	struct vring_desc *last;

	(void)state;
	SPOIL_TABLE("an empty table", BROKEN, q->desc[0].len = 0);
	SPOIL_TABLE("half an entry", BROKEN, q->desc[0].len = 8);
	SPOIL_TABLE("an entry and a bit", BROKEN, q->desc[0].len = 17);
	SPOIL_TABLE("a huge table", BROKEN, q->desc[0].len = 0xfffffff0);
	SPOIL_TABLE("one more than a ring may have", BROKEN,
		    q->desc[0].len = 16 * 1025);
	SPOIL_TABLE("a table nowhere", BROKEN, q->desc[0].addr = HOLE);
	SPOIL_TABLE("a table that wraps", BROKEN,
		    q->desc[0].addr = ~0ull - 31);
	SPOIL_TABLE("a table across the end of RAM", BROKEN,
		    q->desc[0].addr = 32 * MB - 16);
	SPOIL_TABLE("a table in a table", BROKEN,
		    table[0].flags = VRING_DESC_F_INDIRECT,
		    table[0].len = 16);
	SPOIL_TABLE("a table and more", BROKEN,
		    q->desc[0].flags |= VRING_DESC_F_NEXT);
	SPOIL_TABLE("next outside the table", BROKEN, table[1].next = 3);
	SPOIL_TABLE("a loop in the table", BROKEN, table[1].next = 1);
	SPOIL_TABLE("a table that ends early", BROKEN, q->desc[0].len = 16);
	SPOIL_TABLE("a writable table", ANY,
		    q->desc[0].flags |= VRING_DESC_F_WRITE);

	/* not taken: then it is an error */
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
		.without = TOYBLK_F(VIRTIO_RING_F_INDIRECT_DESC) }), 0);
	SPOIL_TABLE("a table nobody agreed on", BROKEN, );

	/* at the very end of memory it is a table like any other */
	good_table();
	last = toy_ptr(t, 32 * MB - 48, 48);
	memcpy(last, toy_ptr(t, area + 4096, 48), 48);
	q->desc[0].addr = 32 * MB - 48;
	push_head(0);
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	toyblk_kick_hard(q);
	assert_int_equal(toyblk_wait(q, TOY_MS), 0);
	assert_int_equal(chain_status(), VIRTIO_BLK_S_OK);
	path_stop(t, p);
}

/* 1024 entries of one byte: more pieces than any backend takes at once. */
static void test_confetti(void **state)
{
	struct vring_desc *table;
	uint64_t big;
	unsigned int i;

	(void)state;
	big = path_buffer(b, 16384);
	table = toy_ptr(t, big, 16384);
	good_chain();
	table[0] = q->desc[0];
	for (i = 1; i < 1023; i++)
		table[i] = (struct vring_desc){ area + 8192 + i, 1,
			VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, i + 1 };
	table[1023] = q->desc[2];
	table[0].next = 1;
	q->desc[0] = (struct vring_desc){ big, 16384, VRING_DESC_F_INDIRECT,
					  0 };
	push_head(0);
	expect("1022 single bytes", ANY);
	path_stop(t, p);
}

/* ---- rings ---- */

static void try_ring(const char *what, enum outcome outcome, uint64_t desc,
		     uint64_t avail, uint64_t used)
{
	const uint64_t at[3] = { desc, avail, used };
	unsigned int i;

	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(toyblk_negotiate(b, ~0ull), 0);
	common_write(b, MSIX, 2, 0);
	common_write(b, Q_SELECT, 2, 0);
	for (i = 0; i < 3; i++) {
		toyblk_write(b, &b->common, VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i,
			     4, at[i] & 0xffffffff);
		toyblk_write(b, &b->common, VIRTIO_PCI_COMMON_Q_DESCHI + 8 * i,
			     4, at[i] >> 32);
	}
	common_write(b, Q_ENABLE, 2, 1);
	toyblk_driver_ok(b);
	toyblk_kick_hard(q);
	if (outcome == BROKEN && toyblk_wait_broken(b, TOY_MS))
		fail_msg("%s: not broken", what);
	for (i = 0; i < 10; i++)	/* and kicked at while it lies there */
		toyblk_kick_hard(q);
	assert_recovers();
}

static void test_ring_addresses(void **state)
{
	(void)state;
	try_ring("desc not aligned", BROKEN, area + 8, area, area);
	try_ring("avail not aligned", BROKEN, area, area + 1, area);
	try_ring("used not aligned", BROKEN, area, area, area + 2);
	try_ring("desc nowhere", BROKEN, HOLE, area, area + 4096);
	try_ring("avail nowhere", BROKEN, area, HOLE, area + 4096);
	try_ring("used nowhere", BROKEN, area, area + 4096, HOLE);
	try_ring("desc in the BAR", BROKEN, b->bar[0].addr, area, area);
	try_ring("desc wraps", BROKEN, ~15ull, area, area);
	try_ring("used wraps", BROKEN, area, area, ~3ull);
	try_ring("desc over the end of RAM", BROKEN, 32 * MB - 16, area, area);
	try_ring("used over the end of RAM", BROKEN, area, area, 32 * MB - 16);
	try_ring("a grant", BROKEN, 1ull << 63, area, area);
	/* all the same: what it writes is what it reads */
	try_ring("all in one place", ANY, area, area, area);
	try_ring("used over desc", ANY, area, area + 8192, area);
	try_ring("used over avail", ANY, area + 8192, area, area);
	path_stop(t, p);
}

static void test_wrong_order(void **state)
{
	(void)state;
	/* a queue before FEATURES_OK */
	assert_int_equal(toyblk_reset(b), 0);
	common_write(b, STATUS, 1, 3);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_ENABLE, 2, 1);
	assert_recovers();
	/* DRIVER_OK with nothing before it */
	assert_int_equal(toyblk_reset(b), 0);
	common_write(b, STATUS, 1, 4);
	assert_true(toyblk_needs_reset(b));
	assert_recovers();
	/* no queues; their doorbells all the same */
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(toyblk_negotiate(b, ~0ull), 0);
	toyblk_driver_ok(b);
	toyblk_kick_hard(&b->vq[0]);
	toyblk_kick_hard(&b->vq[1]);
	assert_false(toyblk_needs_reset(b));
	assert_recovers();
	/* everything about a queue that runs already */
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_SIZE, 2, 2);
	common_write(b, Q_DESCLO, 4, 0x1000);
	common_write(b, Q_AVAILHI, 4, 0xffffffff);
	common_write(b, Q_USEDLO, 4, 0x3000);
	common_write(b, Q_ENABLE, 2, 1);
	common_write(b, Q_ENABLE, 2, 0);
	assert_int_equal(common_read(b, Q_SIZE, 2), q->size);
	assert_int_equal(common_read(b, Q_DESCLO, 4), (uint32_t)q->desc_addr);
	path_exercise(b, 0, 8192, 4096, 1);
	/* queues and vectors that do not exist */
	common_write(b, Q_SELECT, 2, 2);
	common_write(b, Q_SIZE, 2, 16);
	common_write(b, Q_ENABLE, 2, 1);
	common_write(b, Q_RESET, 2, 1);
	common_write(b, Q_MSIX, 2, 0);
	assert_int_equal(common_read(b, Q_ENABLE, 2), 0);
	common_write(b, Q_SELECT, 2, 0xffff);
	common_write(b, Q_ENABLE, 2, 1);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_MSIX, 2, b->nr_vectors);
	assert_int_equal(common_read(b, Q_MSIX, 2), TOYBLK_NO_VECTOR);
	common_write(b, MSIX, 2, 0x7fff);
	assert_int_equal(common_read(b, MSIX, 2), TOYBLK_NO_VECTOR);
	assert_recovers();
	path_stop(t, p);
}

static void test_doorbell_storm(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 4096; i += 2)
		toyblk_write(b, &b->notify_mem, i, 2, i);
	for (i = 0; i < b->notify_pio.len; i++)
		toyblk_write(b, &b->notify_pio, i, 1, 0xff);
	for (i = 0; i < 4000; i++)
		toyblk_kick_hard(q);
	assert_false(toyblk_needs_reset(b));
	path_exercise(b, 0, 8192, 4096, 2);
	path_stop(t, p);
}

/* ---- memory that changes while it is looked at ---- */

static atomic_bool stop_flipping;
static unsigned int flip_seed = 12345;

static uint32_t noise(unsigned int *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void *flip_ring(void *arg)
{
	volatile uint8_t *desc = (volatile uint8_t *)q->desc;
	volatile uint8_t *m = toy_ptr(t, area, 8192);

	(void)arg;
	while (!atomic_load(&stop_flipping)) {
		desc[noise(&flip_seed) % (16 * 8)] = noise(&flip_seed);
		m[noise(&flip_seed) % 8192] = noise(&flip_seed);
		q->avail->ring[noise(&flip_seed) % q->size] =
			noise(&flip_seed) % 8;
	}
	return NULL;
}

static void test_ring_changes_meanwhile(void **state)
{
	pthread_t other;
	unsigned int i;

	(void)state;
	PATH_PLAIN_ONLY();
	atomic_store(&stop_flipping, false);
	good_table();
	q->desc[1] = q->desc[0];
	pthread_create(&other, NULL, flip_ring, NULL);
	for (i = 0; i < 2000 && !toy_fault(t); i++) {
		if (toyblk_needs_reset(b)) {
			start_disk();
			good_table();
		}
		push_head(i % 8);
		__atomic_store_n(&q->avail->idx, q->avail_idx,
				 __ATOMIC_RELEASE);
		toyblk_kick_hard(q);
	}
	atomic_store(&stop_flipping, true);
	pthread_join(other, NULL);
	path_image_fill(img, 0, MB, 3);		/* it may have been written */
	assert_recovers();
	path_stop(t, p);
}

/* ---- ioreqs ---- */

/* One request as it is; every one must be answered. */
static void send(unsigned int type, uint64_t addr, uint32_t size,
		 uint32_t count, unsigned int dir, bool ptr, bool df,
		 uint64_t data)
{
	const ioreq_t req = {
		.type = type, .addr = addr, .size = size, .count = count,
		.dir = dir, .data_is_ptr = ptr, .df = df, .data = data,
	};
	uint64_t got;

	if (toy_post(t, 0, 0, &req) || toy_finish(t, 0, 0, &got))
		fail_msg("type %u addr %#llx size %u count %u dir %u ptr %d: "
			 "%s", type, (unsigned long long)addr, size, count,
			 dir, ptr, toy_fault(t));
}

static void test_strange_ioreqs(void **state)
{
	static const uint32_t sizes[] = {
		0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 4096, 0x80000000, 0xffffffff
	};
	static const uint32_t counts[] = { 0, 1, 2, 1000, 0x80000000,
					   0xffffffff };
	uint64_t addr[8];
	unsigned int a, s, c, dir, type;

	(void)state;
	addr[0] = b->bar[0].addr;
	addr[1] = b->bar[0].addr + b->bar[0].size - 2;
	addr[2] = b->notify_pio.at ? b->bar[b->notify_pio.bar].addr : 0xcf8;
	addr[3] = (uint64_t)BDF << 32 | 0xfe;
	addr[4] = (uint64_t)BDF << 32 | 0xfffffff0;
	addr[5] = ~0ull;
	addr[6] = 0;
	addr[7] = (uint64_t)0xffff << 32;
	for (type = 0; type < 12; type++)
		for (a = 0; a < 8; a++)
			for (s = 0; s < 13; s++)
				for (dir = 0; dir < 2; dir++)
					send(type == 11 ? 0xff : type, addr[a],
					     sizes[s], 1, dir, false, false,
					     0x5555aaaa5555aaaa);
	for (type = 0; type < 3; type++)
		for (a = 0; a < 6; a++)
			for (c = 0; c < 6; c++)
				for (dir = 0; dir < 8; dir++)
					send(type, addr[a], sizes[1 + a % 4],
					     counts[c], dir & 1, dir & 2,
					     dir & 4, c & 1 ? area :
					     ~0ull - 63);
	/* what is read is never left over from somewhere else */
	assert_int_equal(toy_mem_read(t, 0, b->bar[0].addr +
				      b->bar[0].size - 4, 8), ~0ull);
	assert_recovers();
	path_stop(t, p);
}

/* rep movs and rep ins/outs, as far as they make sense */
static void test_strings(void **state)
{
	uint8_t *m = toy_ptr(t, area, 4096);
	uint32_t status;

	(void)state;
	memset(m, 0xee, 4096);
	/* four times the vendor's id by rep insw at 0xcfc */
	toy_pio_write(t, 0, 0xcf8, 4, 0x80000000 | BDF << 8);
	assert_int_equal(toy_send(t, 0, &(ioreq_t){
		.type = PIO, .addr = 0xcfc, .size = 2, .count = 4,
		.dir = IOREQ_READ, .data_is_ptr = 1, .data = area }, NULL), 0);
	assert_memory_equal(m, "\xf4\x1a\xf4\x1a\xf4\x1a\xf4\x1a\xee", 9);
	/* a copy out of the device, downwards: capacity, two words */
	memset(m, 0xee, 4096);
	assert_int_equal(toy_send(t, 0, &(ioreq_t){
		.type = COPY, .addr = b->bar[b->device.bar].addr +
		b->device.off + 4, .size = 4, .count = 2, .dir = IOREQ_READ,
		.df = 1, .data_is_ptr = 1, .data = area + 4 }, NULL), 0);
	memcpy(&status, m, 4);
	assert_int_equal(status, b->capacity);
	assert_memory_equal(m + 4, "\0\0\0\0\xee", 5);
	/* and into it: the status register, from memory */
	m[0] = 0;
	assert_int_equal(toy_send(t, 0, &(ioreq_t){
		.type = COPY, .addr = b->bar[b->common.bar].addr +
		b->common.off + VIRTIO_PCI_COMMON_STATUS, .size = 1,
		.count = 1, .dir = IOREQ_WRITE, .data_is_ptr = 1,
		.data = area }, NULL), 0);
	assert_int_equal(toyblk_reset(b), 0);
	assert_recovers();
	path_stop(t, p);
}

static void *flip_slot(void *arg)
{
	volatile ioreq_t *slot = toy_slot(t, 0, 0);
	unsigned int seed = 99;

	(void)arg;
	while (!atomic_load(&stop_flipping)) {
		slot->addr = noise(&seed) % 2 ? b->bar[0].addr +
			noise(&seed) % 0x5000 : noise(&seed);
		slot->size = 1u << (noise(&seed) % 12);
		slot->count = noise(&seed) % 4 ? 1 : noise(&seed);
		slot->type = noise(&seed) % 9;
	}
	return NULL;
}

/* Xen does not do that; should its page ever be reached, it is no help. */
static void test_slot_changes_meanwhile(void **state)
{
	const ioreq_t req = {
		.type = COPY, .addr = b->bar[0].addr, .size = 4, .count = 1,
		.dir = IOREQ_READ,
	};
	pthread_t other;
	unsigned int i;

	(void)state;
	atomic_store(&stop_flipping, false);
	pthread_create(&other, NULL, flip_slot, NULL);
	for (i = 0; i < 3000; i++)
		if (toy_post(t, 0, 0, &req) || toy_finish(t, 0, 0, NULL))
			break;
	atomic_store(&stop_flipping, true);
	pthread_join(other, NULL);
	assert_int_equal(i, 3000);
	assert_recovers();
	path_stop(t, p);
}

/* Events without requests, and both vCPUs at once. */
static void test_event_storm(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		toy_ring(t, 0, 0);
		toy_ring(t, 1, 0);
	}
	assert_recovers();
	path_stop(t, p);
}

/* ---- registers ---- */

static void storm(unsigned int seed, unsigned int n)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	unsigned int size, kind;
	uint32_t off, val;

	while (n--) {
		size = sizes[noise(&seed) % 4];
		kind = noise(&seed) % 8;
		off = noise(&seed);
		val = noise(&seed) << 8 ^ noise(&seed);
		switch (kind) {
		case 0:
			toy_cfg_write(t, 0, BDF, off & 0xff, size & 7, val);
			break;
		case 1:
			toy_cfg_read(t, 0, BDF, off & 0xff, size & 7);
			break;
		case 2:
			toy_mem_read(t, 0, b->bar[0].addr + off % 0x4100,
				     size);
			break;
		case 3:		/* the busiest registers */
			toy_mem_write(t, 0, b->bar[0].addr + off % 64, size,
				      val % 3 ? val % 16 : val);
			break;
		case 4:
			toyblk_win_write(b, val % 8, off % 0x4100,
					 val >> 8 & 7, val);
			break;
		default:
			toy_mem_write(t, 0, b->bar[0].addr + off % 0x4100,
				      size, val);
		}
		if (n % 64 == 0) {	/* where it can be reached again */
			toy_cfg_write(t, 0, BDF, PCI_BASE_ADDRESS_0, 4,
				      b->bar[0].addr);
			toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, 7);
		}
	}
}

static void find_again(void)
{
	toyblk_free(b);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	q = &b->vq[0];
	area = path_buffer(b, 65536);
}

static unsigned int log_lines(void)
{
	const char *s = toy_log(p);
	unsigned int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void test_register_storm(void **state)
{
	unsigned int seed;

	(void)state;
	for (seed = 1; seed <= 4; seed++) {
		storm(seed, 5000);
		assert_lives(p);
		assert_no_fault(t);
		find_again();
		path_image_fill(img, 0, MB, 3);	/* a ring may have run */
		assert_recovers();
	}
	assert_true(log_lines() < 200);
	path_stop(t, p);
}

/* BARs over RAM, over each other, at the end of the world, and all the time. */
static void test_bar_games(void **state)
{
	static const uint32_t places[] = {
		0, 0x100000, 0xfee00000, 0xffffc000, 0xffffffff, 0x80000000,
		0xc000, 0xcf8, 0xfffc
	};
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 9; i++)
		for (j = 0; j < 6; j++)
			toy_cfg_write(t, 0, BDF, PCI_BASE_ADDRESS_0 + 4 * j, 4,
				      places[(i + j) % 9]);
	for (i = 0; i < 500; i++) {
		toy_cfg_write(t, 0, BDF, PCI_BASE_ADDRESS_0, 4, ~0u);
		toy_cfg_write(t, 0, BDF, PCI_BASE_ADDRESS_0, 4,
			      0xe8000000 + i * 0x4000);
		toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, i % 8);
	}
	assert_lives(p);
	/* the latch that a BAR was put over still answers */
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, 0);
	toy_pio_write(t, 0, 0xcf8, 4, 0x80001111);
	assert_int_equal(toy_pio_read(t, 0, 0xcf8, 4), 0x80001111);
	find_again();
	assert_recovers();
	assert_true(log_lines() < 200);
	path_stop(t, p);
}

/* Thousands of mistakes are a few lines. */
static void test_log_is_not_flooded(void **state)
{
	unsigned int i;
	const char *log;

	(void)state;
	for (i = 0; i < 500; i++) {
		good_chain();
		push_head(0xffff);
		__atomic_store_n(&q->avail->idx, q->avail_idx,
				 __ATOMIC_RELEASE);
		toyblk_kick_hard(q);
		assert_int_equal(toyblk_wait_broken(b, TOY_MS), 0);
		start_disk();
	}
	assert_in_log(p, "the guest's driver did wrong");
	/* the driver's being ready 500 times is one, too */
	i = log_lines();
	log = toy_log(p);
	if (i >= 200)
		fail_msg("%u lines for 500 mistakes, the last ones:\n%s", i,
			 log + strlen(log) - 400);
	assert_recovers();
	path_stop(t, p);
}

#define EVIL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVIL_TEST(test_the_good_chain_is_good),
		EVIL_TEST(test_avail_ring),
		EVIL_TEST(test_descriptors),
		EVIL_TEST(test_long_loops),
		EVIL_TEST(test_indirect_tables),
		EVIL_TEST(test_confetti),
		EVIL_TEST(test_ring_addresses),
		EVIL_TEST(test_wrong_order),
		EVIL_TEST(test_doorbell_storm),
		EVIL_TEST(test_ring_changes_meanwhile),
		EVIL_TEST(test_strange_ioreqs),
		EVIL_TEST(test_strings),
		EVIL_TEST(test_slot_changes_meanwhile),
		EVIL_TEST(test_event_storm),
		EVIL_TEST(test_register_storm),
		EVIL_TEST(test_bar_games),
		EVIL_TEST(test_log_is_not_flooded),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
