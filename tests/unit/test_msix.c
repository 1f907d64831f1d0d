/* SPDX-License-Identifier: MIT */
/*
 * test_msix.c: the MSI-X table, masks, pending bits, and Xen's rule for
 * vector 0.  The registers' widths are in test_virtio_pci.c.
 */
#include "fake_seams.h"
#include "msix.h"
#include "unit.h"
#include "util.h"

#define COUNT	4
#define MASKED	1u

struct world {
	struct irq		irq;
	struct msix_state	st;
	struct msix		m;
};

static void world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	memset(&w->st, 0xff, sizeof(w->st));	/* the guest's before us */
	msix_init(&w->m, &w->st, &w->irq, COUNT);
}

static void entry(struct world *w, unsigned int vector, uint64_t addr,
		  uint32_t data, uint32_t ctrl)
{
	msix_table_write(&w->m, 16 * vector, (uint32_t)addr);
	msix_table_write(&w->m, 16 * vector + 4, (uint32_t)(addr >> 32));
	msix_table_write(&w->m, 16 * vector + 8, data);
	msix_table_write(&w->m, 16 * vector + 12, ctrl);
}

static void assert_sent(const struct world *w, unsigned int i, uint64_t addr,
			uint32_t data)
{
	assert_true(w->irq.count > i);
	assert_true(w->irq.event[i].msi);
	assert_int_equal(w->irq.event[i].addr, addr);
	assert_int_equal(w->irq.event[i].data, data);
}

static void test_fresh(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(msix_table_read(&w.m, 16 * i), 0);
		assert_int_equal(msix_table_read(&w.m, 16 * i + 4), 0);
		assert_int_equal(msix_table_read(&w.m, 16 * i + 8), 0);
		assert_int_equal(msix_table_read(&w.m, 16 * i + 12), MASKED);
	}
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
	msix_raise(&w.m, 0);			/* not enabled */
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
	assert_int_equal(w.irq.count, 0);
}

static void test_table(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	for (i = 0; i < COUNT * 4; i++)
		msix_table_write(&w.m, 4 * i, 0x01020300 + i);
	for (i = 0; i < COUNT * 4; i++)
		assert_int_equal(msix_table_read(&w.m, 4 * i), 0x01020300 + i);

	/* Beyond the end there is nothing. */
	for (i = COUNT * 4; i < 256; i++) {
		msix_table_write(&w.m, 4 * i, 0xffffffff);
		assert_int_equal(msix_table_read(&w.m, 4 * i), 0);
		assert_int_equal(msix_pba_read(&w.m, 4 * i), 0);
	}
	assert_int_equal(w.st.table[COUNT][0], 0);	/* msix_reset() */

	msix_reset(&w.m);
	assert_int_equal(msix_table_read(&w.m, 0), 0);
	assert_int_equal(msix_table_read(&w.m, 12), MASKED);
}

static void test_send(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	entry(&w, 1, 0x12345678fee01004ull, 0x4051, 0);
	msix_control(&w.m, true, false);
	assert_int_equal(w.irq.count, 0);
	msix_raise(&w.m, 1);
	assert_int_equal(w.irq.count, 1);
	assert_sent(&w, 0, 0x12345678fee01004ull, 0x4051);
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
	msix_raise(&w.m, 1);
	assert_int_equal(w.irq.count, 2);

	/* There are no such vectors. */
	msix_raise(&w.m, COUNT);
	msix_raise(&w.m, 31);
	msix_raise(&w.m, 32);
	msix_raise(&w.m, 0xffff);
	msix_raise(&w.m, UINT32_MAX);
	assert_int_equal(w.irq.count, 2);
	assert_int_equal(w.st.pending, 0);

	w.irq.fail = -22;		/* nobody is told of a bad address */
	msix_raise(&w.m, 1);
	assert_int_equal(w.irq.count, 3);
	assert_int_equal(w.st.pending, 0);
}

static void test_entry_mask(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	msix_control(&w.m, true, false);
	entry(&w, 0, 0xfee00000, 0x41, MASKED);
	entry(&w, 2, 0xfee00000, 0x43, MASKED);
	msix_raise(&w.m, 2);
	msix_raise(&w.m, 2);
	msix_raise(&w.m, 0);
	assert_int_equal(w.irq.count, 0);
	assert_int_equal(msix_pba_read(&w.m, 0), 1u << 2 | 1);

	/* What is changed while masked is what is sent. */
	msix_table_write(&w.m, 16 * 2 + 8, 0x53);
	assert_int_equal(w.irq.count, 0);
	msix_table_write(&w.m, 16 * 2 + 12, 0);
	assert_int_equal(w.irq.count, 1);
	assert_sent(&w, 0, 0xfee00000, 0x53);
	assert_int_equal(msix_pba_read(&w.m, 0), 1);
	msix_table_write(&w.m, 12, 0xfffffffe);	/* only bit 0 masks */
	assert_int_equal(w.irq.count, 2);
	assert_sent(&w, 1, 0xfee00000, 0x41);
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
	msix_table_write(&w.m, 12, MASKED);
	msix_table_write(&w.m, 12, 0);
	assert_int_equal(w.irq.count, 2);
}

static void test_function_mask(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	for (i = 0; i < COUNT; i++)
		entry(&w, i, 0xfee00000, 0x50 + i, i == 3 ? MASKED : 0);
	msix_control(&w.m, true, true);
	for (i = 0; i < COUNT; i++)
		msix_raise(&w.m, COUNT - 1 - i);
	assert_int_equal(w.irq.count, 0);
	assert_int_equal(msix_pba_read(&w.m, 0), 0xf);
	msix_control(&w.m, true, true);
	assert_int_equal(w.irq.count, 0);
	msix_control(&w.m, true, false);
	assert_int_equal(w.irq.count, 3);	/* in order of vectors */
	for (i = 0; i < 3; i++)
		assert_sent(&w, i, 0xfee00000, 0x50 + i);
	assert_int_equal(msix_pba_read(&w.m, 0), 1u << 3);
}

static void test_disable(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	entry(&w, 0, 0xfee00000, 0x41, MASKED);
	msix_control(&w.m, true, false);
	msix_raise(&w.m, 0);
	msix_control(&w.m, false, false);
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
	msix_table_write(&w.m, 12, 0);
	msix_raise(&w.m, 0);
	msix_control(&w.m, true, false);
	assert_int_equal(w.irq.count, 0);
}

/* Vector 0 in the data: the mask of the entry does not count. */
static void test_pirq(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	msix_control(&w.m, true, false);
	entry(&w, 1, 0xfee15000, 0x4000, MASKED);
	msix_raise(&w.m, 1);
	assert_int_equal(w.irq.count, 1);
	assert_sent(&w, 0, 0xfee15000, 0x4000);
	assert_int_equal(msix_pba_read(&w.m, 0), 0);

	/* But that of the function does. */
	msix_control(&w.m, true, true);
	msix_raise(&w.m, 1);
	assert_int_equal(w.irq.count, 1);
	assert_int_equal(msix_pba_read(&w.m, 0), 2);
	msix_control(&w.m, true, false);
	assert_int_equal(w.irq.count, 2);

	/* An entry that was never written is no pirq. */
	msix_raise(&w.m, 0);
	assert_int_equal(w.irq.count, 2);
	assert_int_equal(msix_pba_read(&w.m, 0), 1);
	/* Nor is one with any other vector. */
	entry(&w, 2, 0xfee15000, 0x4001, MASKED);
	msix_raise(&w.m, 2);
	assert_int_equal(w.irq.count, 2);
	assert_int_equal(msix_pba_read(&w.m, 0), 5);
}

/* All the vectors that there can be. */
static void test_most_vectors(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	msix_init(&w.m, &w.st, &w.irq, STATE_MAX_VECTORS);
	msix_control(&w.m, true, false);
	for (i = 0; i < STATE_MAX_VECTORS; i++)
		msix_raise(&w.m, i);
	assert_int_equal(msix_pba_read(&w.m, 0),
			 (1u << STATE_MAX_VECTORS) - 1);
	for (i = STATE_MAX_VECTORS; i-- > 0;)
		entry(&w, i, 0xfee00000, 0x30 + i, 0);
	assert_int_equal(w.irq.count, STATE_MAX_VECTORS);
	assert_int_equal(msix_pba_read(&w.m, 0), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_fresh),
	cmocka_unit_test(test_table),
	cmocka_unit_test(test_send),
	cmocka_unit_test(test_entry_mask),
	cmocka_unit_test(test_function_mask),
	cmocka_unit_test(test_disable),
	cmocka_unit_test(test_pirq),
	cmocka_unit_test(test_most_vectors),
};

UNIT_MAIN(tests)
