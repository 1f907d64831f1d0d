/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that moves, ends or was never there.
 *
 * The guest gives pages back and gets others at the same addresses.  A
 * mapping made before still works, and leads to the old page: nobody notices
 * but the guest, whose data is wrong.  The toy guest can look at both pages.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "path.h"

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *slow;
static char img[128], spec[256];

static int setup_with(const char *more, unsigned int vcpus)
{
	t = toy_new(&(struct toy_conf){ .vcpus = vcpus, .low_mb = 32,
					.high_mb = 8 });
	toy_image(t, "disk.img", 16 * MB, img);
	path_image_fill(img, 0, 4 * MB, 3);
	snprintf(spec, sizeof(spec), "blk,path=%s%s", img, more);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	return 0;
}

/* payload in place, and payload through bounce buffers */
static int setup(void **state)
{
	(void)state;
	return setup_with(",cache=writeback", 2);
}

static int setup_bounced(void **state)
{
	(void)state;
	return setup_with("", 2);
}

static int setup_slow(void **state)
{
	(void)state;
	slow = path_slow_open(",cache=writeback", spec, sizeof(spec));
	if (!slow)
		return 0;
	t = toy_new(NULL);
	path_fill(slowdisk_data(slow), 0, 4 * MB, 3);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	path_end(&t, &b, &slow);
	return 0;
}

static int read_to(uint64_t gpa, uint64_t sector, uint32_t bytes)
{
	return toyblk_io(b, 0, VIRTIO_BLK_T_IN, sector, gpa, bytes);
}

static int write_from(uint64_t gpa, uint64_t sector, uint32_t bytes)
{
	return toyblk_io(b, 0, VIRTIO_BLK_T_OUT, sector, gpa, bytes);
}

/* ---- pages that are replaced ---- */

static void test_new_page_gets_the_data(void **state)
{
	uint64_t gpa;
	uint8_t *old;
	int i;

	(void)state;
	gpa = path_buffer(b, 4096);
	for (i = 0; i < 20; i++) {
		assert_int_equal(read_to(gpa, 0, 4096), 0);
		old = toy_frame(t, gpa);
		toy_balloon(t, 0, gpa);
		memset(old, 0x77, 4096);
		assert_int_equal(read_to(gpa, 8, 4096), 0);
		path_check(toy_ptr(t, gpa, 4096), 8, 4096, 3);
		assert_int_equal(old[0], 0x77);
		assert_memory_equal(old, old + 1, 4095);
		/* the other way: what is written is the new page's */
		path_fill(toy_ptr(t, gpa, 4096), 8192, 4096, i);
		assert_int_equal(write_from(gpa, 8192, 4096), 0);
		path_image_check(img, 8192, 4096, i);
		toy_frame_put(old);
	}
	path_stop(t, p);
}

/*
 * The device's last word about a batch is how far it wants no kick
 * (avail_event), after the interrupt: nothing is written to the rings then.
 */
static void wait_until_quiet(struct toyblk_vq *q)
{
	uint16_t *event = (uint16_t *)&q->used->ring[q->size];

	wait_until(t, __atomic_load_n(event, __ATOMIC_ACQUIRE) ==
		   q->avail_idx);
}

/* Every page a driver uses: rings, headers, indirect tables. */
static void test_rings_move(void **state)
{
	struct toyblk_vq *q;
	uint64_t pages[5];
	unsigned int i, round;
	uint8_t copy[4096], *old;

	(void)state;
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
		.indirect = true, .size = 128 }), 0);
	q = &b->vq[0];
	pages[0] = q->desc_gpa;
	pages[1] = q->avail_gpa;
	pages[2] = q->used_gpa;
	pages[3] = q->slots_gpa;
	pages[4] = q->tables_gpa;
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 5; i++) {
			path_exercise(b, 0, i * 8, 4096, round);
			wait_until_quiet(q);
			memcpy(copy, toy_ptr(t, pages[i], 4096), 4096);
			old = toy_frame(t, pages[i]);
			toy_balloon(t, 0, pages[i]);
			/* the guest restores its content, as one that moves
			 * pages about does */
			memcpy(toy_ptr(t, pages[i], 4096), copy, 4096);
			memset(old, 0xee, 4096);
			path_exercise(b, 0, i * 8, 4096, round + 10);
			assert_int_equal(old[0], 0xee);
			assert_memory_equal(old, old + 1, 4095);
			toy_frame_put(old);
		}
	}
	assert_false(toyblk_needs_reset(b));
	path_stop(t, p);
}

/* INVALIDATE while requests are with the disk: they end as they should. */
static void test_invalidate_in_flight(void **state)
{
	uint64_t gpa, other;
	unsigned int i;
	uint8_t *old;

	(void)state;
	path_slow_need(slow);
	gpa = path_buffer(b, 8 * 4096);
	other = path_buffer(b, 4096);
	assert_int_equal(read_to(other, 0, 4096), 0);
	slowdisk_hold(slow);
	for (i = 0; i < 8; i++)
		assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, i * 8,
					  gpa + i * 4096, 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, 8, TOY_MS), 0);
	old = toy_frame(t, other);
	memset(old, 0x66, 4096);
	for (i = 0; i < 10; i++)
		toy_balloon(t, 0, other);
	assert_no_fault(t);
	slowdisk_release(slow, 0);
	for (i = 0; i < 8; i++)
		assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	path_check(toy_ptr(t, gpa, 8 * 4096), 0, 8 * 4096, 3);
	/* and those chunks are not used again */
	assert_int_equal(read_to(other, 16, 4096), 0);
	path_check(toy_ptr(t, other, 4096), 16, 4096, 3);
	assert_int_equal(old[0], 0x66);
	assert_memory_equal(old, old + 1, 4095);
	toy_frame_put(old);
	path_stop(t, p);
}

/* A page goes while the disk is to write to it: the guest gets what it asked
 * for, which is nothing in particular, and the daemon goes on. */
static void test_page_goes_in_flight(void **state)
{
	uint64_t gpa;
	int head;

	(void)state;
	path_slow_need(slow);
	gpa = path_buffer(b, 2 * 4096);
	slowdisk_hold(slow);
	head = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0, gpa, 8192);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, 1, TOY_MS), 0);
	toy_balloon_out(t, gpa + 4096);
	assert_int_equal(toy_invalidate(t, 0), 0);
	slowdisk_release(slow, 0);
	assert_int_equal(toyblk_reap(&b->vq[0], NULL, TOY_MS), head);
	toy_balloon_in(t, gpa + 4096);
	assert_int_equal(read_to(gpa, 0, 8192), 0);
	path_check(toy_ptr(t, gpa, 8192), 0, 8192, 3);
	path_stop(t, p);
}

/* ---- addresses ---- */

static void test_edges(void **state)
{
	uint64_t last_low = 32 * MB, high = 1ull << 32, last = high + 8 * MB;
	uint64_t gpa;

	(void)state;
	/* the last bytes of both blocks of memory, and the first high ones */
	assert_int_equal(read_to(last_low - 4096, 0, 4096), 0);
	path_check(toy_ptr(t, last_low - 4096, 4096), 0, 4096, 3);
	assert_int_equal(read_to(high, 8, 4096), 0);
	path_check(toy_ptr(t, high, 4096), 8, 4096, 3);
	assert_int_equal(read_to(last - 512, 1, 512), 0);
	path_check(toy_ptr(t, last - 512, 512), 1, 512, 3);
	assert_int_equal(write_from(last - 4096, 8192, 4096), 0);
	/* page 0 is memory like any other */
	assert_int_equal(read_to(0, 16, 4096), 0);
	path_check(toy_ptr(t, 0, 4096), 16, 4096, 3);
	/* across whatever pieces it is mapped in */
	for (gpa = 1 * MB; gpa <= 28 * MB; gpa += 1 * MB) {
		if (gpa < t->next_gpa + 2 * MB)
			continue;
		assert_int_equal(read_to(gpa - 2048, 100, 4096), 0);
		path_check(toy_ptr(t, gpa - 2048, 4096), 100, 4096, 3);
	}
	assert_int_equal(read_to(8 * MB, 0, 4 * MB), 0);
	path_check(toy_ptr(t, 8 * MB, 4 * MB), 0, 4 * MB, 3);
	path_stop(t, p);
}

/*
 * Data where no memory is.  Either answer is right, an error for the request
 * or a broken device, but one must come, and then all is well again.
 */
static void expect_refusal(uint64_t gpa, uint32_t len, uint32_t type)
{
	struct toyblk_vq *q = &b->vq[0];
	int64_t end = toy_now_ms() + TOY_MS;
	int head = toyblk_submit(q, type, 0, gpa, len), r;

	assert_true(head >= 0);
	toyblk_kick_hard(q);
	while ((r = toyblk_get(q, NULL)) == -EAGAIN &&
	       !toyblk_needs_reset(b)) {
		assert_no_fault(t);
		if (toy_now_ms() > end)
			fail_msg("no answer for %#llx, %u bytes",
				 (unsigned long long)gpa, len);
	}
	if (r >= 0) {
		assert_int_equal(r, head);
		assert_int_equal(toyblk_head_status(q, head),
				 VIRTIO_BLK_S_IOERR);
	} else {
		assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }),
				 0);
	}
}

static void test_holes(void **state)
{
	static const struct {
		uint64_t	gpa;
		uint32_t	len;
	} bad[] = {
		{ 32 * MB, 4096 },			/* behind RAM */
		{ 32 * MB - 2048, 4096 },		/* across its end */
		{ 0xe0000000, 4096 },			/* our own BAR */
		{ 0xfee00000, 512 },
		{ 0xfffff000, 8192 },			/* half in high RAM */
		{ (1ull << 32) + 8 * MB, 512 },
		{ 1ull << 39, 4096 },
		{ 1ull << 52, 4096 },
		{ ~0ull - 511, 512 },
		{ ~0ull - 511, 1024 },			/* wraps */
		{ ~0ull, 512 },
		{ 1ull << 63, 4096 },			/* a grant: none here */
		{ 1ull << 63 | 0x100000, 4096 },
		{ 0x100000, 1u << 31 },			/* far too long */
	};
	unsigned int i;
	uint64_t gpa;

	(void)state;
	PATH_PLAIN_ONLY();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_refusal(bad[i].gpa, bad[i].len, VIRTIO_BLK_T_IN);
		expect_refusal(bad[i].gpa, bad[i].len, VIRTIO_BLK_T_OUT);
		path_exercise(b, 0, 8192, 4096, i);
	}
	/* a page that is not there now, between two that are */
	gpa = path_buffer(b, 3 * 4096);
	toy_balloon_out(t, gpa + 4096);
	assert_int_equal(toy_invalidate(t, 0), 0);
	expect_refusal(gpa, 3 * 4096, VIRTIO_BLK_T_IN);
	expect_refusal(gpa, 3 * 4096, VIRTIO_BLK_T_OUT);
	expect_refusal(gpa + 4096, 512, VIRTIO_BLK_T_IN);
	assert_int_equal(read_to(gpa, 0, 4096), 0);
	assert_int_equal(read_to(gpa + 8192, 0, 4096), 0);
	/* and comes back, without anybody being told */
	toy_balloon_in(t, gpa + 4096);
	assert_int_equal(read_to(gpa, 0, 3 * 4096), 0);
	path_check(toy_ptr(t, gpa, 3 * 4096), 0, 3 * 4096, 3);
	path_stop(t, p);
}

/* Foreign mappings fail for a while: errors for the guest, then it works. */
static void test_map_fails(void **state)
{
	static const int errs[] = { ENOMEM, EINVAL, EIO };
	unsigned int i;

	(void)state;
	PATH_PLAIN_ONLY();
	path_exercise(b, 0, 8192, 4096, 1);
	for (i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
		assert_int_equal(toy_invalidate(t, 0), 0);
		toy_fail(t, "xenforeignmemory_map", 1, 1000000, errs[i]);
		expect_refusal(0x800000, 4096, VIRTIO_BLK_T_IN);
		assert_lives(p);
		toy_fail(t, NULL, 0, 0, 0);
		assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }),
				 0);
		path_exercise(b, 0, 8192, 65536, 2);
	}
	path_stop(t, p);
}

/* ---- all at once ---- */

static atomic_bool stop_shuffling;

/* The other vCPU moves pages about that nobody uses, without a pause. */
static void *shuffle(void *arg)
{
	uint64_t gpa = *(uint64_t *)arg;
	unsigned int i = 0;

	while (!atomic_load(&stop_shuffling) && !toy_fault(t))
		toy_balloon(t, 1, gpa + (i++ % 16) * 4096);
	return NULL;
}

static void test_ballooning_under_load(void **state)
{
	uint64_t away, gpa;
	pthread_t other;
	unsigned int i;

	(void)state;
	away = path_buffer(b, 16 * 4096);
	gpa = path_buffer(b, 65536);
	atomic_store(&stop_shuffling, false);
	pthread_create(&other, NULL, shuffle, &away);
	for (i = 0; i < 300; i++) {
		path_fill(toy_ptr(t, gpa, 65536), 8192, 65536, i);
		assert_int_equal(write_from(gpa, 8192, 65536), 0);
		memset(toy_ptr(t, gpa, 65536), 0, 65536);
		assert_int_equal(read_to(gpa, 8192, 65536), 0);
		path_check(toy_ptr(t, gpa, 65536), 8192, 65536, i);
	}
	atomic_store(&stop_shuffling, true);
	pthread_join(other, NULL);
	path_stop(t, p);
}

#define MEM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BOUNCE_TEST(f)							\
	{ #f " (bounced)", f, setup_bounced, teardown, NULL }
#define SLOW_TEST(f) cmocka_unit_test_setup_teardown(f, setup_slow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEM_TEST(test_new_page_gets_the_data),
		BOUNCE_TEST(test_new_page_gets_the_data),
		MEM_TEST(test_rings_move),
		SLOW_TEST(test_invalidate_in_flight),
		SLOW_TEST(test_page_goes_in_flight),
		MEM_TEST(test_edges),
		BOUNCE_TEST(test_edges),
		MEM_TEST(test_holes),
		BOUNCE_TEST(test_holes),
		MEM_TEST(test_map_fails),
		BOUNCE_TEST(test_map_fails),
		MEM_TEST(test_ballooning_under_load),
		BOUNCE_TEST(test_ballooning_under_load),
	};

	path_slow_prepare();
	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
