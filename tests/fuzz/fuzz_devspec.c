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
	assert(ret->kind == DEVSPEC_BLK);
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
