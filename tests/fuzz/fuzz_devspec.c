/* SPDX-License-Identifier: MIT */
/*
 * fuzz_devspec.c: the device grammar with anything at all.  An input is a
 * list of devices, one a line, as a command line has several.
 *
 * Wanted, besides no crash and no leak: what is accepted is in range, as the
 * header promises; what is refused is so with one visible line, and leaves
 * the result alone; addresses are handed out once each.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/devspec.h"

#define MAX_SPECS	16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_why(const char *why, size_t bytes)
{
	size_t len = strnlen(why, bytes), i;

	assert(len > 0 && len < bytes);
	for (i = 0; i < len; i++)
		assert((unsigned char)why[i] >= ' ' && why[i] != 0x7f);
}

static void check_limits(const struct blk_limit *limits)
{
	unsigned int i;

	for (i = 0; i < BLK_LIMIT_WAYS; i++) {
		assert(limits[i].rate <= BLK_LIMIT_MAX);
		assert(limits[i].max <= BLK_LIMIT_MAX);
		assert(!limits[i].max || (limits[i].rate &&
					  limits[i].max >= limits[i].rate));
		assert(i == BLK_LIMIT_ALL || !limits[i].rate ||
		       !limits[BLK_LIMIT_ALL].rate);
	}
}

static void check_blk(const struct devspec_blk *b)
{
	int is_null = strcmp(b->engine, "null") == 0;

	assert(is_null || strcmp(b->engine, "uring") == 0);
	assert(is_null == !b->path);
	assert(is_null == (b->size != 0));
	assert(!b->path || b->path[0] != '\0');
	assert(!b->serial || (b->serial[0] && strlen(b->serial) <= 20));
	assert(b->cache <= BLK_CACHE_WRITETHROUGH);
	assert(b->queues >= 1 && b->queues <= 16);
	assert(b->queue_size >= 2 && b->queue_size <= 1024);
	assert((b->queue_size & (b->queue_size - 1)) == 0);
	assert(b->block_size == 0 || b->block_size == 512 ||
	       b->block_size == 4096);
	assert(b->discard >= -1 && b->discard <= 1);
	assert(b->size <= INT64_MAX && b->size % 512 == 0);
	assert(!b->block_size || b->size % b->block_size == 0);
	check_limits(b->limits.iops);
	check_limits(b->limits.bps);
	assert(b->limits.burst_s >= 1 &&
	       b->limits.burst_s <= BLK_LIMIT_BURST_MAX_S);
}

static void check_name(const char *name)
{
	assert(!name || (name[0] && strlen(name) <= 15 &&
			 !strpbrk(name, "/ \n")));
}

static void check_net(const struct devspec_net *n)
{
	int is_null = strcmp(n->engine, "null") == 0;

	assert(is_null || strcmp(n->engine, "tap") == 0);
	assert(is_null + !!n->bridge + !!n->tap == 1);
	check_name(n->tap);
	check_name(n->ifname);
	if (!n->script)
		check_name(n->bridge);
	assert(!n->bridge || strlen(n->bridge) <= 255);
	assert(n->script || !n->downscript);
	assert(!n->mac_given || !(n->mac[0] & 1));
	assert(n->mtu == 0 || (n->mtu >= 68 && n->mtu <= 65535));
	assert(n->queues >= 1 && n->queues <= 8);
	assert(n->queue_size >= 2 && n->queue_size <= 1024);
	assert((n->queue_size & (n->queue_size - 1)) == 0);
	assert(!n->rate_bytes == !n->rate_usecs);
	assert(n->send_offloads < 64 && n->recv_offloads < 64);
	assert((n->send_offloads & NET_CSUM) || !n->send_offloads);
	assert((n->recv_offloads & NET_CSUM) || !n->recv_offloads);
}

static void check_addresses(const struct devspec *specs, size_t count)
{
	size_t i, j;

	for (i = 0; i < count; i++) {
		assert(specs[i].devfn >> 3 >= 5 && specs[i].devfn >> 3 <= 0x1e);
		for (j = 0; j < i; j++)
			assert(specs[i].devfn != specs[j].devfn);
	}
}

static size_t parse_one(const char *text, struct devspec *ret)
{
	struct devspec before;
	char why[300];
	int r;

	memset(ret, 0xa5, sizeof(*ret));
	memcpy(&before, ret, sizeof(before));
	why[0] = '\0';
	r = devspec_parse(text, ret, why, sizeof(why));
	if (r < 0) {
		assert(r == -EINVAL);
		check_why(why, sizeof(why));
		assert(memcmp(ret, &before, sizeof(before)) == 0);
		return 0;
	}
	assert(why[0] == '\0');
	if (ret->kind == DEVSPEC_NET)
		check_net(&ret->net);
	else
		check_blk(&ret->blk);
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct devspec specs[MAX_SPECS];
	char *text, *line, *save, why[300];
	size_t count = 0, i;
	int r;

	text = malloc(size + 1);
	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';

	for (line = strtok_r(text, "\n", &save); line && count < MAX_SPECS;
	     line = strtok_r(NULL, "\n", &save))
		count += parse_one(line, &specs[count]);
	free(text);

	r = devspec_assign(specs, count, why, sizeof(why));
	if (r == 0)
		check_addresses(specs, count);
	else
		check_why(why, sizeof(why));
	assert(r == 0 || r == -EINVAL || (r == -ENOSPC && count > 7));
	for (i = 0; i < count; i++)
		devspec_fini(&specs[i]);
	return 0;
}
