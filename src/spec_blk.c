/* SPDX-License-Identifier: MIT */
/*
 * spec_blk.c: the keys of a disk.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dma.h"
#include "spec.h"
#include "util.h"

#define SERIAL_BYTES	20	/* VIRTIO_BLK_ID_BYTES */
#define QUEUES_MAX	16
#define IOPS_MAX	1000000000u
#define GRANTS_MAP_MAX	(2u << 20)	/* no request is as large */

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

/* A number that may have a suffix.  Return: false if it is none. */
static bool take_size(const char *value, uint64_t *ret, bool *ret_too_large)
{
	static const char suffixes[] = "kmgt";
	const char *p, *suffix;
	int power = 0;
	uint64_t v;

	/* Capacities and offsets are signed further down, as off_t. */
	p = spec_digits(value, INT64_MAX, &v);
	if (!p)
		return false;
	if (*p != '\0') {
		suffix = strchr(suffixes, tolower((unsigned char)*p));
		if (!suffix || p[1] != '\0')
			return false;
		power = (int)(suffix - suffixes) + 1;
	}
	*ret_too_large = false;
	while (power-- > 0 && !*ret_too_large)
		*ret_too_large = __builtin_mul_overflow(v, 1024, &v) ||
				 v > INT64_MAX;
	*ret = v;
	return true;
}

static const char *parse_size(struct devspec *spec, const char *value)
{
	static const char usage[] = "use bytes, a multiple of 512, or a number "
				    "with k, M, G or T, as in 10G";
	bool too_large;
	uint64_t v;

	if (!take_size(value, &v, &too_large))
		return usage;
	if (too_large)
		return "use less than 8388608T";
	if (v == 0 || v % 512 != 0)
		return usage;
	spec->blk.size = v;
	return NULL;
}

static const char *parse_grants_map(struct devspec *spec, const char *value)
{
	bool too_large = false;
	uint64_t v;

	if (!take_size(value, &v, &too_large) || too_large || !v ||
	    v > GRANTS_MAP_MAX)
		return "use bytes, 1 to 2M, as in 64k";
	spec->blk.grants_map = (uint32_t)v;
	return NULL;
}

/* ---- limits ---- */

/* What a key limits: a way (enum blk_limit_way), and these. */
#define LIMIT_WAY	0x3u
#define LIMIT_BPS	0x4u
#define LIMIT_MAX	0x8u

static const char *parse_limit(struct devspec *spec, unsigned int bits,
			       const char *value)
{
	struct blk_limits *limits = &spec->blk.limits;
	struct blk_limit *limit = bits & LIMIT_BPS ?
				  &limits->bps[bits & LIMIT_WAY] :
				  &limits->iops[bits & LIMIT_WAY];
	bool too_large = false;
	unsigned int count = 0;
	uint64_t v;

	if (bits & LIMIT_BPS) {
		if (!take_size(value, &v, &too_large) || too_large || !v ||
		    v > BLK_LIMIT_MAX)
			return "use bytes a second, 1 to 16G, as in 100M";
	} else {
		if (!spec_number(value, 1, IOPS_MAX, &count))
			return "use requests a second, 1 to 1000000000";
		v = count;
	}
	if (bits & LIMIT_MAX)
		limit->max = v;
	else
		limit->rate = v;
	return NULL;
}

static const char *parse_burst_length(struct devspec *spec, const char *value)
{
	return spec_number(value, 1, BLK_LIMIT_BURST_MAX_S,
			   &spec->blk.limits.burst_s) ? NULL :
	       "use seconds, 1 to 86400";
}

static const struct spec_key blk_keys[] = {
	{ "path",	.parse = parse_path },
	{ "bdf",	.parse = spec_parse_bdf },
	{ "grants",	.parse = spec_parse_grants },
	{ "pci-config",	.parse = spec_parse_pci_config },
	{ "grants-map",	.parse = parse_grants_map },
	{ "serial",	.parse = parse_serial },
	{ "readonly",	.parse = parse_readonly },
	{ "cache",	.parse = parse_cache },
	{ "discard",	.parse = parse_discard },
	{ "block-size",	.parse = parse_block_size },
	{ "queues",	.parse = parse_queues },
	{ "queue-size",	.parse = parse_queue_size },
	{ "engine",	.parse = parse_engine },
	{ "size",	.parse = parse_size },
#define LIMIT(key, what)	{ key, .parse_bits = parse_limit, .bits = what }
	LIMIT("iops",		BLK_LIMIT_ALL),
	LIMIT("iops-rd",	BLK_LIMIT_RD),
	LIMIT("iops-wr",	BLK_LIMIT_WR),
	LIMIT("iops-max",	BLK_LIMIT_ALL | LIMIT_MAX),
	LIMIT("iops-rd-max",	BLK_LIMIT_RD | LIMIT_MAX),
	LIMIT("iops-wr-max",	BLK_LIMIT_WR | LIMIT_MAX),
	LIMIT("bps",		BLK_LIMIT_ALL | LIMIT_BPS),
	LIMIT("bps-rd",		BLK_LIMIT_RD | LIMIT_BPS),
	LIMIT("bps-wr",		BLK_LIMIT_WR | LIMIT_BPS),
	LIMIT("bps-max",	BLK_LIMIT_ALL | LIMIT_BPS | LIMIT_MAX),
	LIMIT("bps-rd-max",	BLK_LIMIT_RD | LIMIT_BPS | LIMIT_MAX),
	LIMIT("bps-wr-max",	BLK_LIMIT_WR | LIMIT_BPS | LIMIT_MAX),
#undef LIMIT
	{ "burst-length", .parse = parse_burst_length },
};

static const struct spec_contrary blk_contraries[] = {
	{ "path",	NULL,		{ "engine", "size" } },
	{ "engine",	"null",		{ "path" } },
	{ "engine",	"uring",	{ "size" } },
};

static void spec_blk_init(struct devspec *spec)
{
	spec->blk = (struct devspec_blk){
		.engine		= "uring",
		.cache		= BLK_CACHE_NONE,
		.queues		= 1,
		.queue_size	= SPEC_QUEUE_SIZE,
		.discard	= -1,
		.grants_map	= DMA_GRANT_MAP,
	};
}

/* One of each pair of limits, with its max. */
static int check_limit(const struct blk_limit *limit, const char *unit,
		       const char *way, const struct spec_why *why)
{
	unsigned long long max = limit->max, rate = limit->rate;

	if (max && !rate)
		return spec_refuse(why, "%s%s-max='%llu': a burst goes beyond "
				   "a limit; use %s%s, too", unit, way, max,
				   unit, way);
	if (max && max < rate)
		return spec_refuse(why, "%s%s-max='%llu': a burst is no slower "
				   "than %s%s=%llu; use that or more", unit,
				   way, max, unit, way, rate);
	return 0;
}

/* Those of requests, or those of bytes. */
static int check_ways(const struct blk_limit *limits, const char *unit,
		      const struct spec_why *why)
{
	static const char *const ways[] = {
		[BLK_LIMIT_ALL]	= "",
		[BLK_LIMIT_RD]	= "-rd",
		[BLK_LIMIT_WR]	= "-wr",
	};
	unsigned int i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(ways) && !r; i++) {
		if (i != BLK_LIMIT_ALL && limits[BLK_LIMIT_ALL].rate &&
		    limits[i].rate)
			return spec_refuse(why, "%s%s='%llu': %s limits both "
					   "ways together; use either %s, or "
					   "%s-rd and %s-wr", unit, ways[i],
					   (unsigned long long)limits[i].rate,
					   unit, unit, unit, unit);
		r = check_limit(&limits[i], unit, ways[i], why);
	}
	return r;
}

static int check_limits(struct blk_limits *limits, const struct spec_why *why)
{
	bool bursts = false;
	unsigned int i;
	int r;

	r = check_ways(limits->iops, "iops", why);
	if (!r)
		r = check_ways(limits->bps, "bps", why);
	for (i = 0; i < BLK_LIMIT_WAYS; i++)
		bursts |= limits->iops[i].max || limits->bps[i].max;
	if (!r && limits->burst_s && !bursts)
		r = spec_refuse(why, "burst-length='%u': there are no bursts; "
				"use it with iops-max or bps-max",
				limits->burst_s);
	if (!limits->burst_s)
		limits->burst_s = 1;
	return r;
}

static int spec_blk_check(struct devspec *spec, const struct spec_why *why)
{
	struct devspec_blk *blk = &spec->blk;
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
	return check_limits(&blk->limits, why);
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
	.contraries	= blk_contraries,
	.ncontraries	= ARRAY_SIZE(blk_contraries),
	.init	= spec_blk_init,
	.check	= spec_blk_check,
	.fini	= spec_blk_fini,
};
