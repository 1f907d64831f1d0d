/* SPDX-License-Identifier: MIT */
/*
 * test_grants.c: guests that grant what a disk may touch, and what becomes of
 * those who do not do it well.  That everything else works by grants as well is
 * seen where it is tested: check-path runs some files with XEN_TOY_GRANTS=1.
 */
#include <errno.h>
#include <unistd.h>

#include "path.h"

#define WRITEBACK	",cache=writeback"
#define MAPPED		",grants-map=64k"
#define WITH		(&(struct toyblk_conf){ .grants = true })

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *slow;
static char img[128], spec[256];

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	path_end(&t, &b, &slow);
	return 0;
}

static void start(const char *more, const struct toyblk_conf *conf)
{
	snprintf(spec, sizeof(spec), "blk,path=%s%s", img, more);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, conf);
}

/* Nothing is mapped but rings, and nobody was refused a grant back. */
static void assert_only_rings(void)
{
	assert_int_equal(t->xen.hyp->grants_in_use, 0);
	assert_true(t->dom->gnttab.mapped <= 12);
}

/* Of a name, in what xen-virtioctl would show; by our own count here. */
static uint64_t maps(void)
{
	return t->dom->gnttab.maps;
}

static void stop(void)
{
	toyblk_free(b);
	b = NULL;
	path_stop(t, p);
	assert_int_equal(t->dom->gnttab.mapped, 0);
}

/* ---- what works ---- */

static void sizes(unsigned int seed)
{
	static const uint32_t bytes[] = { 512, 4096, 65536, 262144 };
	unsigned int i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		path_exercise(b, 0, i * 1024, bytes[i], seed + i);
}

static void test_require(void **state)
{
	static const char *const more[] = {
		",grants=require", ",grants=require" WRITEBACK MAPPED,
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		start(more[i], WITH);
		sizes(10 * i);
		assert_only_rings();
		assert_true(t->dom->gnttab.copies > 0);
		stop();
	}
}

/* Small ones are copied, large ones mapped, unless the disk bounces. */
static void test_threshold(void **state)
{
	static const struct {
		const char *more;
		uint32_t bytes;
		bool mapped;
	} way[] = {
		{ WRITEBACK, 4096, false },
		{ WRITEBACK, MB - 512, false },
		{ WRITEBACK, MB, true },
		{ "", MB, false },
		{ WRITEBACK ",grants-map=64k", 65536 - 512, false },
		{ WRITEBACK ",grants-map=64k", 65536, true },
		{ ",grants-map=64k", 65536, false },
		{ WRITEBACK ",grants-map=4k", 4096, true },
		{ WRITEBACK ",grants-map=2M", 262144, false },
	};
	uint64_t before;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		start(way[i].more, WITH);
		path_exercise(b, 0, 0, 512, i);
		before = maps();
		path_exercise(b, 0, 8, way[i].bytes, i);
		if ((maps() > before) != way[i].mapped)
			fail_msg("%s, %u bytes: %llu were mapped", way[i].more,
				 way[i].bytes,
				 (unsigned long long)(maps() - before));
		assert_only_rings();
		stop();
	}
}

/* One device sees both kinds, from request to request and in one. */
static void test_mix(void **state)
{
	static const char *const more[] = { "", WRITEBACK MAPPED };
	static const enum toyblk_mix mix[] = { MIX_REQUESTS, MIX_SEGMENTS };
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		start(more[i / 2], &(struct toyblk_conf){
			.grants = true, .mix = mix[i % 2], .indirect = i % 2,
		});
		sizes(20 * i);
		sizes(20 * i + 7);
		assert_only_rings();
		stop();
	}
}

/* A ring of eight pages that are neighbours nowhere else. */
static void test_large_ring(void **state)
{
	(void)state;
	start(",queue-size=1024,grants=require", &(struct toyblk_conf){
		.grants = true, .size = 1024, .indirect = true,
	});
	assert_true(b->vq[0].ring_pages >= 6);
	sizes(1);
	stop();
}

/* ---- what is refused ---- */

static void refuses(const char *more, const struct toyblk_conf *bad,
		    const struct toyblk_conf *good, const char *text)
{
	char why[300];

	snprintf(spec, sizeof(spec), "blk,path=%s%s", img, more);
	p = path_run(t, spec, NULL);
	assert_int_equal(toyblk_probe(t, 0, BDF, &b), 0);
	(void)toyblk_start(b, bad);
	toyblk_kick_hard(&b->vq[0]);
	assert_int_equal(toyblk_wait_broken(b, TOY_MS), 0);
	snprintf(why, sizeof(why), "%s", text);
	assert_in_log(p, why);
	assert_int_equal(toyblk_start(b, good), 0);
	path_exercise(b, 0, 0, 4096, 3);
	stop();
}

static void test_plain_refused(void **state)
{
	(void)state;
	refuses(",grants=require", &(struct toyblk_conf){ 0 }, WITH,
		"is not granted, and grants=require serves nothing else");
}

static void test_grants_refused(void **state)
{
	(void)state;
	refuses(",grants=off", WITH, &(struct toyblk_conf){ 0 },
		"is a grant: there is grants=off, or no /dev/xen/gntdev");
}

/* Rings by grants, one buffer without. */
static void test_plain_buffer_refused(void **state)
{
	(void)state;
	start(",grants=require", &(struct toyblk_conf){
		.grants = true, .mix = MIX_REQUESTS,
	});
	(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
			    path_buffer(b, 4096), 4096);
	(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
			    path_buffer(b, 4096), 4096);
	toyblk_kick_hard(&b->vq[0]);
	assert_int_equal(toyblk_wait_broken(b, TOY_MS), 0);
	assert_in_log(p, "queue 0: a");
	assert_in_log(p, "grants=require serves nothing else");
	assert_int_equal(toyblk_start(b, WITH), 0);
	path_exercise(b, 0, 0, 4096, 3);
	stop();
}

/* ---- grants that are not what they should be ---- */

/* Good ones go on beside it, and nothing is left of it. */
static void bad_payload(const char *more, uint64_t addr, uint32_t bytes,
			uint32_t type)
{
	int head, i, answered = 0;

	head = toyblk_submit(&b->vq[0], type, 0, addr, bytes);
	assert_true(head >= 0);
	toyblk_kick(&b->vq[0]);
	for (i = 0; i < 1; i++)
		answered += toyblk_reap(&b->vq[0], NULL, TOY_MS) == head;
	if (answered != 1 ||
	    toyblk_head_status(&b->vq[0], head) != VIRTIO_BLK_S_IOERR)
		fail_msg("%s, %#llx, %u bytes: status %u", more,
			 (unsigned long long)addr, bytes,
			 toyblk_head_status(&b->vq[0], head));
	assert_false(toyblk_needs_reset(b));
	path_exercise(b, 0, 64, 4096, 5);
	assert_only_rings();
}

/*
 * What was never granted, is granted no more, is not all granted, or may only
 * be read: of the request, that is an I/O error.
 */
static void test_bad_references(void **state)
{
	static const char *const more[] = {
		",grants=require", ",grants=require" WRITEBACK MAPPED,
	};
	static const uint32_t bytes[] = { 512, 4096, 65536, 131072 };
	uint64_t gpa, addr;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < 2; i++) {
		start(more[i], WITH);
		gpa = path_buffer(b, 256 * 1024);
		path_image_fill(img, 0, MB, 9);
		for (k = 0; k < 4; k++) {
			bad_payload(more[i], TOY_GRANT | 0x3fffull << 12,
				    bytes[k], VIRTIO_BLK_T_OUT);
			bad_payload(more[i], TOY_GRANT | 0xffffffffull << 12,
				    bytes[k], VIRTIO_BLK_T_IN);
			bad_payload(more[i], TOY_GRANT | 1ull << 52, bytes[k],
				    VIRTIO_BLK_T_IN);
			/* revoked */
			addr = toy_grant(t, gpa, bytes[k], false);
			assert_int_equal(toy_revoke(t, addr, bytes[k]), 0);
			bad_payload(more[i], addr, bytes[k], VIRTIO_BLK_T_OUT);
			/* not all of it */
			addr = toy_grant(t, gpa, bytes[k], false);
			bad_payload(more[i], addr, 192 * 1024,
				    VIRTIO_BLK_T_OUT);
			assert_int_equal(toy_revoke(t, addr, bytes[k]), 0);
			/* only to be read */
			addr = toy_grant(t, gpa, bytes[k], true);
			bad_payload(more[i], addr, bytes[k], VIRTIO_BLK_T_IN);
			assert_int_equal(toy_revoke(t, addr, bytes[k]), 0);
		}
		/* Nothing of that was written. */
		path_image_check(img, 0, 32 * 1024, 9);
		stop();
	}
}

/* Copies that fail in the middle of many: the others are not harmed. */
static void test_copy_fails(void **state)
{
	unsigned int nth, i, bad;
	uint64_t gpa;
	int head[8];

	(void)state;
	start(",grants=require", WITH);
	gpa = path_buffer(b, 8 * 4096);
	for (nth = 1; nth < 24; nth++) {
		if (toyblk_needs_reset(b))	/* it was a header or so */
			assert_int_equal(toyblk_start(b, WITH), 0);
		path_fill(toy_ptr(t, gpa, 8 * 4096), 0, 8 * 4096, nth);
		toy_fail_copy(t, nth, 1, -3);	/* GNTST_bad_gntref */
		for (i = 0; i < 8; i++)
			head[i] = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_OUT,
						8 * i, gpa + i * 4096, 4096);
		toyblk_kick(&b->vq[0]);
		for (i = 0; i < 8 && !toyblk_needs_reset(b); i++)
			if (toyblk_reap(&b->vq[0], NULL, 500) < 0)
				break;
		toy_fail_copy(t, 1, 0, 0);
		if (toyblk_needs_reset(b))
			continue;
		for (i = bad = 0; i < 8; i++)
			if (toyblk_head_status(&b->vq[0], head[i]))
				bad++;
			else
				path_image_check(img, 8 * i, 4096, nth);
		assert_true(bad <= 1);
		assert_only_rings();
	}
	assert_int_equal(toyblk_start(b, WITH), 0);
	sizes(1);
	stop();
}

/* ---- room ---- */

/* Dom0 can map no more: large ones are copied, and nobody notices. */
static void test_no_room_for_payload(void **state)
{
	uint64_t before;

	(void)state;
	start(",grants=require" WRITEBACK MAPPED, WITH);
	path_exercise(b, 0, 0, 4096, 1);
	toy_limit_grants(t, t->dom->gnttab.mapped);
	before = maps();
	path_exercise(b, 0, 64, 262144, 2);
	assert_int_equal(maps(), before);
	toy_limit_grants(t, 0);
	path_exercise(b, 0, 64, 262144, 3);
	assert_true(maps() > before);
	stop();
}

/* Nor its rings: it waits, and says so, and goes on when there is room. */
static void test_no_room_for_rings(void **state)
{
	uint64_t gpa;
	int head;

	(void)state;
	snprintf(spec, sizeof(spec), "blk,path=%s", img);
	p = path_run(t, spec, NULL);
	toy_limit_grants(t, 1);
	b = path_disk(t, SLOT, WITH);
	gpa = path_buffer(b, 4096);
	head = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0, gpa, 4096);
	toyblk_kick_hard(&b->vq[0]);
	wait_until(t, strstr(toy_log(p), "no room to map what is granted"));
	assert_false(toyblk_needs_reset(b));
	assert_int_equal(t->dom->gnttab.mapped, 0);
	toy_limit_grants(t, 0);
	assert_int_equal(toyblk_reap(&b->vq[0], NULL, TOY_MS), head);
	path_exercise(b, 0, 0, 4096, 2);
	/* A reset, and the end, while it waits again. */
	assert_int_equal(toyblk_reset(b), 0);
	toy_limit_grants(t, 1);
	assert_int_equal(toyblk_start(b, WITH), 0);
	toyblk_kick_hard(&b->vq[0]);
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(toyblk_start(b, WITH), 0);
	toyblk_kick_hard(&b->vq[0]);
	stop();
}

/* ---- ends ---- */

/* Nothing is mapped any more when a reset is done. */
static void test_reset_in_flight(void **state)
{
	uint64_t gpa;
	char s[256];
	int i;

	(void)state;
	slow = path_slow_open(",grants=require" WRITEBACK MAPPED, s,
			      sizeof(s));
	path_slow_need(slow);
	p = path_run(t, s, NULL);
	b = path_disk(t, SLOT, WITH);
	gpa = path_buffer(b, 262144);
	for (i = 0; i < 10; i++) {
		slowdisk_hold(slow);
		(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, i * 512, gpa,
				    262144);
		toyblk_kick_hard(&b->vq[0]);
		assert_int_equal(slowdisk_wait(slow, 1, TOY_MS), 0);
		common_write(b, STATUS, 1, 0);
		assert_true(toyblk_status(b) != 0);
		assert_true(t->dom->gnttab.mapped >= 64);
		slowdisk_release(slow, i % 2 ? EIO : 0);
		wait_until(t, toyblk_status(b) == 0);
		assert_int_equal(t->dom->gnttab.mapped, 0);
		assert_int_equal(toyblk_start(b, WITH), 0);
	}
	assert_int_equal(t->xen.hyp->grants_in_use, 0);
	stop();
}

/* Again and again, with all kinds of requests on their way. */
static void test_resets(void **state)
{
	static const char *const more[] = { "", WRITEBACK MAPPED };
	static const uint32_t bytes[] = { 512, 4096, 65536 };
	unsigned int i, k;
	uint64_t gpa;

	(void)state;
	for (i = 0; i < 2; i++) {
		start(more[i], &(struct toyblk_conf){
			.grants = true, .indirect = true,
		});
		gpa = path_buffer(b, 65536);
		for (k = 0; k < 300; k++) {
			(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_OUT, k * 8,
					    gpa, bytes[k % 3]);
			(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, k * 8,
					    gpa, bytes[k / 3 % 3]);
			toyblk_kick_hard(&b->vq[0]);
			usleep(k % 7 * 100);
			assert_int_equal(toyblk_reset(b), 0);
			assert_int_equal(t->dom->gnttab.mapped, 0);
			assert_int_equal(toyblk_start(b, &b->conf), 0);
		}
		stop();
	}
}

/* The guest goes while its pages are mapped. */
static void test_destroyed(void **state)
{
	(void)state;
	start(",grants=require" WRITEBACK, WITH);
	(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_OUT, 0,
			    path_buffer(b, 262144), 262144);
	toyblk_kick(&b->vq[0]);
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_int_equal(toy_reap(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
}

/* ---- all of a guest's devices have the same ---- */

static void test_two_policies(void **state)
{
	char one[300], two[300];

	(void)state;
	snprintf(one, sizeof(one), "blk,path=%s,grants=require", img);
	snprintf(two, sizeof(two), "blk,engine=null,size=1M");
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", one, "--device",
		      two, NULL);
	path_refused(t, p, 1, "grants='auto': the guest's other devices have "
		     "grants=require, and all of a guest's devices have the "
		     "same");
}

#define GRANTS_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANTS_TEST(test_require),
		GRANTS_TEST(test_threshold),
		GRANTS_TEST(test_mix),
		GRANTS_TEST(test_large_ring),
		GRANTS_TEST(test_plain_refused),
		GRANTS_TEST(test_grants_refused),
		GRANTS_TEST(test_plain_buffer_refused),
		GRANTS_TEST(test_bad_references),
		GRANTS_TEST(test_copy_fails),
		GRANTS_TEST(test_no_room_for_payload),
		GRANTS_TEST(test_no_room_for_rings),
		GRANTS_TEST(test_reset_in_flight),
		GRANTS_TEST(test_resets),
		GRANTS_TEST(test_destroyed),
		GRANTS_TEST(test_two_policies),
	};

	path_slow_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
