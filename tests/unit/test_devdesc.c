/* SPDX-License-Identifier: MIT */
/* test_devdesc.c: descriptions of devices, and what is none. */
#include <errno.h>

#include "devdesc.h"
#include "unit.h"

static struct devdesc blk, net;

static int setup(void **state)
{
	(void)state;
	blk = (struct devdesc){
		.kind = DEVSPEC_BLK, .domid = 7, .devfn = 0xc0,
		.blk = {
			.engine = "uring", .serial = "12345678901234567890",
			.queues = 16, .queue_size = 1024,
			.info = { .bytes = 4096, .block_size = 4096 },
		},
	};
	net = (struct devdesc){
		.kind = DEVSPEC_NET, .domid = 7, .devfn = 0xc8,
		.net = {
			.engine = "tap", .ifname = "vif32751.18.7-v",
			.mtu = 65535, .queue_size = 2,
			.info = { .queues = 8 },
		},
	};
	return 0;
}

#define GOOD(desc, nfds) assert_int_equal(devdesc_check(&(desc), nfds), 0)
#define BAD(desc, nfds)							\
	assert_int_equal(devdesc_check(&(desc), nfds), -EBADMSG)

/* @change makes it bad; everything else is good. */
#define SPOILED(desc, nfds, change)					\
	do {								\
		(void)setup(NULL);					\
		GOOD(desc, nfds);					\
		change;							\
		BAD(desc, nfds);					\
	} while (0)

static void test_kind(void **state)
{
	(void)state;
	SPOILED(blk, 1, blk.kind = DEVSPEC_NET + 1);
	SPOILED(blk, 1, blk.kind = ~0u);
}

static void test_blk(void **state)
{
	(void)state;
	BAD(blk, 0);
	BAD(blk, 2);
	strcpy(blk.blk.engine, "null");
	GOOD(blk, 0);
	BAD(blk, 1);
	SPOILED(blk, 1, memset(blk.blk.engine, 'x', sizeof(blk.blk.engine)));
	SPOILED(blk, 1, blk.blk.serial[20] = 'x');
	SPOILED(blk, 1, blk.blk.queues = 0);
	SPOILED(blk, 1, blk.blk.queues = 17);
	SPOILED(blk, 1, blk.blk.queue_size = 0);
	SPOILED(blk, 1, blk.blk.queue_size = 1);
	SPOILED(blk, 1, blk.blk.queue_size = 1000);
	SPOILED(blk, 1, blk.blk.queue_size = 2048);
	SPOILED(blk, 1, blk.blk.info.block_size = 0);
	SPOILED(blk, 1, blk.blk.info.block_size = 1024);
	SPOILED(blk, 1, blk.blk.info.bytes = 0);
	SPOILED(blk, 1, blk.blk.info.bytes = 4097);
	SPOILED(blk, 1, blk.blk.info.cache = BLK_CACHE_WRITETHROUGH + 1);
}

static void test_limits(void **state)
{
	static const struct blk_limit good = { BLK_LIMIT_MAX, BLK_LIMIT_MAX };
	struct blk_limits *l = &blk.blk.limits;
	struct blk_limit *set, *one;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * BLK_LIMIT_WAYS; i++) {
		(void)setup(NULL);
		set = i % 2 ? l->bps : l->iops;
		one = &set[i / 2];
		l->burst_s = BLK_LIMIT_BURST_MAX_S;
		*one = good;
		GOOD(blk, 1);
		l->burst_s++;
		BAD(blk, 1);
		l->burst_s = 0;
		BAD(blk, 1);
		one->max = 0;
		GOOD(blk, 1);
		one->rate++;
		BAD(blk, 1);
		*one = good;
		l->burst_s = 1;
		one->max++;
		BAD(blk, 1);
		one->max -= 2;
		BAD(blk, 1);
		one->rate = 0;
		BAD(blk, 1);
		*one = good;
		set[i / 2 ? BLK_LIMIT_ALL : BLK_LIMIT_WR].rate = 1;
		BAD(blk, 1);
	}
}

static void test_net(void **state)
{
	(void)state;
	BAD(net, 0);
	BAD(net, 7);
	net.net.info.queues = 1;
	GOOD(net, 1);
	strcpy(net.net.engine, "null");
	GOOD(net, 0);
	BAD(net, 1);
	SPOILED(net, 8, memset(net.net.engine, 'x', sizeof(net.net.engine)));
	SPOILED(net, 8, net.net.ifname[15] = 'x');
	SPOILED(net, 8, net.net.mtu = 65536);
	SPOILED(net, 8, net.net.queue_size = 3);
	SPOILED(net, 8, net.net.info.rate_bytes = 1);
	(void)setup(NULL);
	net.net.info.queues = 0;
	BAD(net, 0);
	net.net.info.queues = 9;
	BAD(net, 9);
}

#define DESC_TEST(f) cmocka_unit_test_setup(f, setup)

static const struct CMUnitTest tests[] = {
	DESC_TEST(test_kind),
	DESC_TEST(test_blk),
	DESC_TEST(test_limits),
	DESC_TEST(test_net),
};

UNIT_MAIN(tests)
