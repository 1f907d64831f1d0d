/* SPDX-License-Identifier: MIT */
/*
 * Resets of every kind, at the worst moment: while requests are with a disk
 * that keeps them as long as the test likes.  What must hold is the same each
 * time: a reset is not over before the device has let go of the guest's
 * memory, afterwards nothing of the old requests is heard, and the device
 * works as if new.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <signal.h>

#include "path.h"

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *slow;
static char spec[256];

static int setup(void **state)
{
	(void)state;
	slow = path_slow_open(",queues=2", spec, sizeof(spec));
	if (!slow)
		return 0;
	t = toy_new(NULL);
	path_fill(slowdisk_data(slow), 0, MB, 3);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = 2 });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	path_end(&t, &b, &slow);
	return 0;
}

/* @n reads at the disk, none answered.  The buffers are filled with 0x5a. */
static uint64_t keep_busy(unsigned int queue, unsigned int n)
{
	uint64_t gpa = path_buffer(b, n * 4096);
	unsigned int i, before = slowdisk_held(slow);

	memset(toy_ptr(t, gpa, n * 4096), 0x5a, n * 4096);
	slowdisk_hold(slow);
	for (i = 0; i < n; i++)
		assert_true(toyblk_submit(&b->vq[queue], VIRTIO_BLK_T_IN,
					  i * 8, gpa + i * 4096, 4096) >= 0);
	toyblk_kick_hard(&b->vq[queue]);
	assert_int_equal(slowdisk_wait(slow, before + n, TOY_MS), 0);
	return gpa;
}

static void assert_untouched(uint64_t gpa, unsigned int n)
{
	const uint8_t *m = toy_ptr(t, gpa, n * 4096);
	unsigned int i;

	for (i = 0; i < n * 4096; i++)
		if (m[i] != 0x5a)
			fail_msg("byte %u of the buffer was written", i);
}

static void test_device_reset(void **state)
{
	struct toyblk_vq *q;
	unsigned int i;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	q = &b->vq[0];
	gpa = keep_busy(0, 4);
	common_write(b, STATUS, 1, 0);
	/* not zero as long as the disk may still write to our memory */
	for (i = 0; i < 50; i++)
		assert_int_not_equal(toyblk_status(b), 0);
	slowdisk_release(slow, 0);
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE), 0);
	memset(toy_ptr(t, gpa, 4 * 4096), 0x5a, 4 * 4096);

	/* as new: registers, too */
	common_write(b, Q_SELECT, 2, 0);
	assert_int_equal(common_read(b, Q_ENABLE, 2), 0);
	assert_int_equal(common_read(b, Q_DESCLO, 4), 0);
	assert_int_equal(common_read(b, Q_MSIX, 2), TOYBLK_NO_VECTOR);
	assert_int_equal(common_read(b, MSIX, 2), TOYBLK_NO_VECTOR);
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ .queues = 2 }),
			 0);
	path_exercise(b, 0, 512, 65536, 4);
	path_exercise(b, 1, 1024, 65536, 5);
	/* and nothing of the old requests came late */
	assert_untouched(gpa, 4);
	path_stop(t, p);
}

/* A driver may reset twice, or be told to by somebody impatient. */
static void test_reset_again_meanwhile(void **state)
{
	(void)state;
	path_slow_need(slow);
	keep_busy(0, 2);
	common_write(b, STATUS, 1, 0);
	common_write(b, STATUS, 1, 0);
	/* anything written before it is over does not count */
	common_write(b, STATUS, 1, 1);
	common_write(b, STATUS, 1, 3);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_DESCLO, 4, 0x123000);
	common_write(b, Q_ENABLE, 2, 1);
	toyblk_kick_hard(&b->vq[0]);
	toyblk_kick_hard(&b->vq[1]);
	slowdisk_release(slow, 0);
	wait_until(t, toyblk_status(b) == 0);
	assert_int_equal(common_read(b, Q_DESCLO, 4), 0);
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }), 0);
	path_exercise(b, 0, 0, 4096, 6);
	path_stop(t, p);
}

static void test_queue_reset(void **state)
{
	struct toyblk_vq *q;
	uint64_t gpa;
	int i;

	(void)state;
	path_slow_need(slow);
	q = &b->vq[0];
	gpa = keep_busy(0, 4);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_RESET, 2, 1);
	for (i = 0; i < 50; i++)
		assert_int_equal(common_read(b, Q_RESET, 2), 1);
	/* the other queue goes on */
	assert_true(toyblk_submit(&b->vq[1], VIRTIO_BLK_T_GET_ID, 0,
				  path_buffer(b, 20), 20) >= 0);
	toyblk_kick(&b->vq[1]);
	assert_true(toyblk_reap(&b->vq[1], NULL, TOY_MS) >= 0);
	slowdisk_release(slow, 0);
	assert_int_equal(toyblk_reset_vq(b, 0), 0);
	assert_int_equal(common_read(b, Q_ENABLE, 2), 0);
	assert_int_equal(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE), 0);
	memset(toy_ptr(t, gpa, 4 * 4096), 0x5a, 4 * 4096);

	/* set up anew, with another size, and the device never stopped */
	assert_int_equal(toyblk_setup_vq(b, 0, 64), 0);
	assert_int_equal(toyblk_status(b) & VIRTIO_CONFIG_S_DRIVER_OK,
			 VIRTIO_CONFIG_S_DRIVER_OK);
	path_exercise(b, 0, 512, 65536, 7);
	path_exercise(b, 1, 1024, 65536, 8);
	assert_untouched(gpa, 4);
	path_stop(t, p);
}

/* The whole device is reset while one of its queues is. */
static void test_both_resets(void **state)
{
	(void)state;
	path_slow_need(slow);
	keep_busy(0, 2);
	keep_busy(1, 2);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_RESET, 2, 1);
	common_write(b, STATUS, 1, 0);
	assert_int_not_equal(toyblk_status(b), 0);
	slowdisk_release(slow, 0);
	assert_int_equal(toyblk_reset(b), 0);
	common_write(b, Q_SELECT, 2, 0);
	assert_int_equal(common_read(b, Q_RESET, 2), 0);
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ .queues = 2 }),
			 0);
	path_exercise(b, 0, 0, 4096, 9);
	path_exercise(b, 1, 64, 4096, 10);
	path_stop(t, p);
}

static void test_queue_reset_not_negotiated(void **state)
{
	(void)state;
	path_slow_need(slow);
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
		.without = TOYBLK_F(VIRTIO_F_RING_RESET) }), 0);
	common_write(b, Q_SELECT, 2, 0);
	common_write(b, Q_RESET, 2, 1);
	assert_int_equal(common_read(b, Q_RESET, 2), 0);
	assert_int_equal(common_read(b, Q_ENABLE, 2), 1);
	path_exercise(b, 0, 0, 4096, 11);
	path_stop(t, p);
}

/* Broken by the driver while requests are out; their answers go nowhere. */
static void test_broken_with_requests_out(void **state)
{
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	gpa = keep_busy(0, 3);
	toyblk_publish(&b->vq[0], 0xffff);	/* no such head */
	toyblk_kick_hard(&b->vq[0]);
	assert_int_equal(toyblk_wait_broken(b, TOY_MS), 0);
	/* the configuration interrupt says so */
	assert_int_equal(toy_msi_wait(t, b->cfg_msi_addr, b->cfg_msi_data, 0,
				      TOY_MS), 0);
	slowdisk_release(slow, 0);
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(__atomic_load_n(&b->vq[0].used->idx,
					 __ATOMIC_ACQUIRE), 0);
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }), 0);
	memset(toy_ptr(t, gpa, 3 * 4096), 0x5a, 3 * 4096);
	path_exercise(b, 0, 0, 4096, 12);
	assert_untouched(gpa, 3);
	path_stop(t, p);
}

static void set_command(unsigned int bits, bool on)
{
	unsigned int c = toy_cfg_read(t, 0, BDF, PCI_COMMAND, 2);

	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, on ? c | bits : c & ~bits);
}

/* Without bus mastering nothing is written to memory, and nothing is lost. */
static void test_bus_master_off(void **state)
{
	struct toyblk_vq *q;
	unsigned int i;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	q = &b->vq[0];
	gpa = keep_busy(0, 3);
	set_command(PCI_COMMAND_MASTER, false);
	slowdisk_release(slow, 0);
	wait_until(t, slowdisk_reads(slow) >= 3);
	for (i = 0; i < 50; i++)
		assert_int_equal(toyblk_status(b) &
				 VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	assert_int_equal(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE), 0);
	/* a kick meanwhile is remembered */
	assert_true(toyblk_submit(q, VIRTIO_BLK_T_IN, 0, path_buffer(b, 4096),
				  4096) >= 0);
	toyblk_kick_hard(q);
	assert_int_equal(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE), 0);
	set_command(PCI_COMMAND_MASTER, true);
	for (i = 0; i < 4; i++)
		assert_true(toyblk_reap(q, NULL, TOY_MS) >= 0);
	path_check(toy_ptr(t, gpa, 3 * 4096), 0, 3 * 4096, 3);
	path_stop(t, p);
}

/* The BAR moves, or is switched off, under requests. */
static void test_bar_moves(void **state)
{
	uint64_t old, to;
	unsigned int i;

	(void)state;
	path_slow_need(slow);
	old = b->bar[0].addr;
	for (i = 0; i < 30; i++) {
		keep_busy(0, 2);
		to = old + (1 + i % 7) * b->bar[0].size;
		set_command(PCI_COMMAND_MEMORY | PCI_COMMAND_IO, false);
		toy_cfg_write(t, 0, BDF, PCI_BASE_ADDRESS_0, 4, to);
		set_command(PCI_COMMAND_MEMORY | PCI_COMMAND_IO, true);
		assert_int_equal(toy_mem_read(t, 0, b->bar[0].addr, 4),
				 b->bar[0].addr == to ? 0 : 0xffffffff);
		b->bar[0].addr = to;
		slowdisk_release(slow, 0);
		assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
		assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	}
	path_exercise(b, 0, 0, 4096, 13);
	path_stop(t, p);
}

/* What unbind and bind of a driver do, a hundred times, under load. */
static void test_cycles(void **state)
{
	unsigned int i, j;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	gpa = path_buffer(b, 32 * 4096);
	for (i = 0; i < 100; i++) {
		for (j = 0; j < 32; j++)
			assert_true(toyblk_submit(&b->vq[j % 2],
				j % 3 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
				4096 + j * 8, gpa + j * 4096, 4096) >= 0);
		toyblk_kick_hard(&b->vq[0]);
		toyblk_kick_hard(&b->vq[1]);
		if (i % 3 == 1)		/* some of them are done by now */
			assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
		if (i % 3 == 2) {
			assert_int_equal(toyblk_reset_vq(b, 1), 0);
			assert_int_equal(toyblk_setup_vq(b, 1, 0), 0);
		}
		assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
			.queues = 2, .irq = i % 2 ? TOYBLK_POLL : TOYBLK_MSIX,
			.size = 1u << (6 + i % 3) }), 0);
	}
	path_exercise(b, 0, 0, 65536, 14);
	path_exercise(b, 1, 2048, 65536, 15);
	assert_lives(p);
	path_stop(t, p);
}

#define RESET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RESET_TEST(test_device_reset),
		RESET_TEST(test_reset_again_meanwhile),
		RESET_TEST(test_queue_reset),
		RESET_TEST(test_both_resets),
		RESET_TEST(test_queue_reset_not_negotiated),
		RESET_TEST(test_broken_with_requests_out),
		RESET_TEST(test_bus_master_off),
		RESET_TEST(test_bar_moves),
		RESET_TEST(test_cycles),
	};

	path_slow_prepare();
	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
