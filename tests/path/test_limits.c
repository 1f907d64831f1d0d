/* SPDX-License-Identifier: MIT */
/*
 * Disks that may be no faster than so much, against the clock on the wall:
 * the rate is what was asked for, nobody else waits, and nothing that waits
 * is lost.  How exact it is over hours, tests/unit/test_rate.c knows.
 */
#include <errno.h>
#include <signal.h>

#include "path.h"

#define DEPTH	16
#define WARM_MS	300		/* what may go at once is gone by then */
#define SPAN_MS	1500

static struct toy *t;
static struct toyblk *b, *free_disk;
static struct toy_proc *p;
static struct slowdisk *none;
static char image[128], spec[256];

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
	toy_image(t, "disk", 16 * MB, image);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(free_disk);
	free_disk = NULL;
	path_end(&t, &b, &none);
	return 0;
}

/* A disk with limits, and one without. */
static void start(const char *limits, unsigned int queues)
{
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=2,%s", image, limits);
	p = path_run(t, spec, "blk,engine=null,size=1G", NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = queues });
	free_disk = path_disk(t, SLOT + 1, &(struct toyblk_conf){ 0 });
}

static void submit(struct toyblk_vq *q, uint32_t type, uint64_t gpa,
		   uint32_t bytes)
{
	assert_true(toyblk_submit(q, type, 0, gpa, bytes) >= 0);
	toyblk_kick(q);
}

/* Keeps queue 0 full until @ms from now.  Return: how many were answered. */
static unsigned int flood(uint32_t type, uint64_t gpa, uint32_t bytes,
			  int64_t ms)
{
	struct toyblk_vq *q = &b->vq[0];
	int64_t end = toy_now_ms() + ms, now;
	unsigned int count = 0;
	int r;

	while ((now = toy_now_ms()) < end) {
		r = toyblk_reap(q, NULL, (int)(end - now));
		if (r == -ETIMEDOUT)
			break;
		assert_true(r >= 0);
		count++;
		submit(q, type, gpa, bytes);
	}
	return count;
}

static void check_rate(uint32_t type, uint32_t bytes, unsigned int per_s)
{
	uint64_t gpa = path_buffer(b, bytes);
	unsigned int i, count;
	int64_t began, took;
	double is;

	for (i = 0; i < DEPTH; i++)
		submit(&b->vq[0], type, gpa, bytes);
	flood(type, gpa, bytes, WARM_MS);
	began = toy_now_ms();
	count = flood(type, gpa, bytes, SPAN_MS);
	took = toy_now_ms() - began;
	is = count * 1000.0 / (double)took;
	print_message("# %.1f a second, wanted %u\n", is, per_s);
	assert_true(is > per_s * 0.9 && is < per_s * 1.1);
}

static void test_iops(void **state)
{
	(void)state;
	start("iops=200", 1);
	check_rate(VIRTIO_BLK_T_IN, 512, 200);
	path_stop(t, p);
}

static void test_bps(void **state)
{
	(void)state;
	start("bps-wr=4M,iops-rd=1", 1);
	check_rate(VIRTIO_BLK_T_OUT, 32768, 128);
	path_stop(t, p);
}

/* The vCPUs, and other disks, know nothing of it. */
static void test_others(void **state)
{
	uint64_t gpa;
	unsigned int i;
	int64_t began;

	(void)state;
	start("bps=1", 1);
	gpa = path_buffer(b, 4096);
	for (i = 0; i < DEPTH; i++)
		submit(&b->vq[0], VIRTIO_BLK_T_IN, gpa, 4096);
	assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	t->slowest_us = 0;
	began = toy_now_ms();
	for (i = 0; i < 500; i++)
		assert_int_equal(toyblk_io(free_disk, 0, VIRTIO_BLK_T_IN, 0,
					   gpa, 4096), VIRTIO_BLK_S_OK);
	assert_true(toy_now_ms() - began < TOY_MS);
	assert_int_equal(toyblk_get(&b->vq[0], NULL), -EAGAIN);
	assert_int_equal(toyblk_io(free_disk, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0),
			 VIRTIO_BLK_S_OK);
	assert_no_fault(t);
	path_stop(t, p);
}

/* Each queue gets its half, whoever asks for more. */
static void test_fair(void **state)
{
	unsigned int i, got[2] = { 0 };
	int64_t end;
	uint64_t gpa;

	(void)state;
	start("iops=100", 2);
	gpa = path_buffer(b, 512);
	for (i = 0; i < 64; i++)
		submit(&b->vq[0], VIRTIO_BLK_T_IN, gpa, 512);
	for (i = 0; i < 64; i++)
		submit(&b->vq[1], VIRTIO_BLK_T_IN, gpa, 512);
	end = toy_now_ms() + 900;
	while (toy_now_ms() < end)
		for (i = 0; i < 2; i++)
			got[i] += toyblk_get(&b->vq[i], NULL) >= 0;
	/* the first ten went before there was a second queue */
	print_message("# %u and %u\n", got[0], got[1]);
	assert_in_range(got[1], 30, 60);
	assert_in_range(got[0] - got[1], 0, 20);
	path_stop(t, p);
}

/* What was answered before a reset was done; the rest is forgotten. */
static void test_reset(void **state)
{
	struct toyblk_vq *q;
	unsigned int i;
	uint64_t gpa;

	(void)state;
	start("iops=20,iops-max=20,burst-length=2", 2);
	q = &b->vq[0];
	gpa = path_buffer(b, 64 * 4096);
	path_fill(toy_ptr(t, gpa, 64 * 4096), 0, 64 * 4096, 7);
	for (i = 0; i < 64; i++)
		assert_true(toyblk_submit(&b->vq[i % 2], VIRTIO_BLK_T_OUT,
					  i * 8, gpa + i * 4096, 4096) >= 0);
	toyblk_kick(&b->vq[1]);
	toyblk_kick(q);
	for (i = 0; i < 3; i++)
		assert_true(toyblk_reap(q, NULL, TOY_MS) >= 0);
	assert_int_equal(toyblk_reset_vq(b, 0), 0);
	assert_int_equal(toyblk_setup_vq(b, 0, 0), 0);
	assert_true(toyblk_reap(&b->vq[1], NULL, TOY_MS) >= 0);
	assert_int_equal(toyblk_reset(b), 0);
	path_image_check(image, 8, 4096, 7);	/* queue 1's first, */
	path_image_check(image, 0, 4096, 7);	/* queue 0's, */
	assert_true(path_image_is_zero(image, 63 * 8, 4096));	/* no more */

	/* the limit is not forgotten, and new requests are answered */
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ .queues = 2 }),
			 0);
	path_exercise(b, 0, 1024, 65536, 8);
	path_exercise(b, 1, 2048, 65536, 9);
	path_stop(t, p);
}

/* A daemon that ends does not wait for turns, and answers all it has taken. */
static void test_stop(void **state)
{
	unsigned int i, count = 0;
	int64_t began;
	uint64_t gpa;
	int head;

	(void)state;
	start("bps=1", 1);
	gpa = path_buffer(b, 32 * 4096);
	path_fill(toy_ptr(t, gpa, 32 * 4096), 0, 32 * 4096, 10);
	for (i = 0; i < 32; i++)
		assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_OUT, i * 8,
					  gpa + i * 4096, 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	began = toy_now_ms();
	path_stop(t, p);
	assert_true(toy_now_ms() - began < TOY_MS);
	while ((head = toyblk_get(&b->vq[0], NULL)) >= 0) {
		assert_int_equal(toyblk_head_status(&b->vq[0], head),
				 VIRTIO_BLK_S_OK);
		count++;
	}
	assert_int_equal(count, 31);
	path_image_check(image, 0, 32 * 4096, 10);
}

#define LIMIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT_TEST(test_iops),
		LIMIT_TEST(test_bps),
		LIMIT_TEST(test_others),
		LIMIT_TEST(test_fair),
		LIMIT_TEST(test_reset),
		LIMIT_TEST(test_stop),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
