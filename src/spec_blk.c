/* SPDX-License-Identifier: MIT */
/*
 * spec_blk.c: the keys of a disk.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "spec.h"
#include "util.h"

#define SERIAL_BYTES	20	/* VIRTIO_BLK_ID_BYTES */
#define QUEUES_MAX	16

static const char *parse_path(struct devspec *spec, const char *value)
{
	return spec_parse_text(value, &spec->blk.path);
}

static const char *parse_serial(struct devspec *spec, const char *value)
{
	const char *p;

	for (p = value; *p >= ' ' && *p <= '~'; p++)
		;
	if (*p != '\0' || p - value > SERIAL_BYTES)
		return "use at most 20 bytes of printable ASCII";
	return spec_parse_text(value, &spec->blk.serial);
}

static const char *parse_engine(struct devspec *spec, const char *value)
{
	if (strcmp(value, "uring") != 0 && strcmp(value, "null") != 0)
		return "use uring or null";
	(void)snprintf(spec->blk.engine, sizeof(spec->blk.engine), "%s",
		       value);		/* fits: just compared */
	return NULL;
}

static const char *parse_readonly(struct devspec *spec, const char *value)
{
	return spec_parse_onoff(value, &spec->blk.readonly);
}

static const char *parse_cache(struct devspec *spec, const char *value)
{
	static const char *const names[] = {
		[BLK_CACHE_NONE]		= "none",
		[BLK_CACHE_WRITEBACK]		= "writeback",
		[BLK_CACHE_WRITETHROUGH]	= "writethrough",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(value, names[i]) != 0)
			continue;
		spec->blk.cache = (enum blk_cache)i;
		spec->blk.cache_given = true;
		return NULL;
	}
	return "use none, writeback or writethrough";
}

static const char *parse_queues(struct devspec *spec, const char *value)
{
	return spec_number(value, 1, QUEUES_MAX, &spec->blk.queues) ? NULL :
	       "use 1 to 16";
}

static const char *parse_queue_size(struct devspec *spec, const char *value)
{
	return spec_parse_queue_size(value, &spec->blk.queue_size);
}

static const char *parse_block_size(struct devspec *spec, const char *value)
{
	unsigned int v;

	if (!spec_number(value, 512, 4096, &v) || (v != 512 && v != 4096))
		return "use 512 or 4096";
	spec->blk.block_size = v;
	return NULL;
}

static const char *parse_discard(struct devspec *spec, const char *value)
{
	bool on;

	if (!spec_switch(value, "on", "off", &on) &&
	    !spec_switch(value, "unmap", "ignore", &on))
		return "use on (or unmap), or off (or ignore)";
	spec->blk.discard = on;
	return NULL;
}

static const char *parse_size(struct devspec *spec, const char *value)
{
	static const char usage[] = "use bytes, a multiple of 512, or a number "
				    "with k, M, G or T, as in 10G";
	static const char suffixes[] = "kmgt";
	const char *p, *suffix;
	int power = 0;
	uint64_t v;

	/* Capacities and offsets are signed further down, as off_t. */
	p = spec_digits(value, INT64_MAX, &v);
	if (!p)
		return usage;
	if (*p != '\0') {
		suffix = strchr(suffixes, tolower((unsigned char)*p));
		if (!suffix || p[1] != '\0')
			return usage;
		power = (int)(suffix - suffixes) + 1;
	}
	while (power-- > 0)
		if (__builtin_mul_overflow(v, 1024, &v) || v > INT64_MAX)
			return "use less than 8388608T";
	if (v == 0 || v % 512 != 0)
		return usage;
	spec->blk.size = v;
	return NULL;
}

static const struct spec_key blk_keys[] = {
	{ "path",	.parse = parse_path },
	{ "bdf",	.parse = spec_parse_bdf },
	{ "serial",	.parse = parse_serial },
	{ "readonly",	.parse = parse_readonly },
	{ "cache",	.parse = parse_cache },
	{ "discard",	.parse = parse_discard },
	{ "block-size",	.parse = parse_block_size },
	{ "queues",	.parse = parse_queues },
	{ "queue-size",	.parse = parse_queue_size },
	{ "engine",	.parse = parse_engine },
	{ "size",	.parse = parse_size },
};

static void spec_blk_init(struct devspec *spec)
{
	spec->blk = (struct devspec_blk){
		.engine		= "uring",
		.cache		= BLK_CACHE_NONE,
		.queues		= 1,
		.queue_size	= SPEC_QUEUE_SIZE,
		.discard	= -1,
	};
}

static int spec_blk_check(struct devspec *spec, const struct spec_why *why)
{
	const struct devspec_blk *blk = &spec->blk;
	bool null = strcmp(blk->engine, "null") == 0;
	struct spec_quoted q;

	if (!null && blk->size)
		return spec_refuse(why, "size='%llu': the image has its own "
				   "size; use size only with engine=null",
				   (unsigned long long)blk->size);
	if (!null && !blk->path)
		return spec_refuse(why, "path is missing: use path=FILE, as "
				   "in blk,path=/dev/vg0/web1");
	if (null && blk->path)
		return spec_refuse(why, "path='%s': engine=null has no image; "
				   "use size instead",
				   spec_quote(&q, blk->path));
	if (null && !blk->size)
		return spec_refuse(why, "size is missing: use size=BYTES with "
				   "engine=null, as in size=10G");
	if (blk->block_size && blk->size % blk->block_size)
		return spec_refuse(why, "size='%llu': use a multiple of "
				   "block-size=%u",
				   (unsigned long long)blk->size,
				   blk->block_size);
	return 0;
}

static void spec_blk_fini(struct devspec *spec)
{
	free(spec->blk.path);
	free(spec->blk.serial);
}

const struct spec_kind spec_blk_kind = {
	.name	= "blk",
	.keys	= blk_keys,
	.nkeys	= ARRAY_SIZE(blk_keys),
	.init	= spec_blk_init,
	.check	= spec_blk_check,
	.fini	= spec_blk_fini,
};
