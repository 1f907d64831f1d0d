/* SPDX-License-Identifier: MIT */
/*
 * devspec.c: from "blk,path=/x.img,cache=none" to a struct devspec.
 *
 *	text	blk,path=/a,,b.img,serial=web1
 *		 |   |    |           |
 *		kind key  value       key ...	"/a,b.img": ",," is a comma
 *
 * Each kind of device has a table of its keys.  A key's parser takes the
 * value and says what would be right if it is not (NULL: it was taken); the
 * one place that calls the parsers puts the key and the value before it.
 * What concerns several keys at once is checked at the end.
 *
 * The text comes from an administrator, but also from xenstore: nothing in
 * it is trusted, and whatever an error message quotes is made visible.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "devspec.h"
#include "util.h"

#define SERIAL_BYTES	20	/* VIRTIO_BLK_ID_BYTES */
#define QUEUES_MAX	16
#define QUEUE_SIZE_MAX	1024
#define FIRST_OWN_SLOT	0x05	/* 00 to 04 and 1f are the board's */
#define LAST_OWN_SLOT	0x1e

struct devspec_key {
	const char *name;
	/* Return: NULL, or what would be right.  @value is not empty. */
	const char *(*parse)(struct devspec *spec, const char *value);
};

/* ---- words and numbers ---- */

/* Decimal digits and nothing else.  Return: false if not, or if too large. */
static bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;		/* strtoull takes spaces and signs */
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end != '\0' || v > max)
		return false;
	*ret = v;
	return true;
}

static bool parse_switch(const char *text, const char *on, const char *off,
			 bool *ret)
{
	if (strcmp(text, on) != 0 && strcmp(text, off) != 0)
		return false;
	*ret = strcmp(text, on) == 0;
	return true;
}

/* Up to @digits hexadecimal ones.  Return: what follows, or NULL. */
static const char *parse_hex(const char *text, int digits, unsigned int *ret)
{
	unsigned int v = 0;
	int i;

	for (i = 0; i < digits && isxdigit((unsigned char)text[i]); i++)
		v = v * 16 + (unsigned int)(isdigit((unsigned char)text[i]) ?
			text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
	if (i == 0)
		return NULL;
	*ret = v;
	return text + i;
}

/* ---- the keys of every kind ---- */

static const char *parse_bdf(struct devspec *spec, const char *value)
{
	unsigned int part[4] = { 0 };	/* segment, bus, slot, function */
	int i = strchr(value, ':') == strrchr(value, ':') ? 1 : 0;
	static const char ends[] = "::.";
	const char *p = value;

	for (; i < 4; i++) {
		p = parse_hex(p, i == 0 ? 4 : i == 3 ? 1 : 2, &part[i]);
		if (!p || *p != ends[i])	/* ends[3] is the zero */
			return "use BUS:SLOT.FUNCTION, as in 00:18.0";
		p++;
	}
	if (part[0] != 0 || part[1] != 0)
		return "only segment 0000 and bus 00 reach a guest: use "
		       "00:18.0 or alike";
	if (part[2] > 0x1f)
		return "a bus has slots 00 to 1f: use 00:05.0 to 00:1e.7";
	if (part[3] > 7)
		return "a slot has functions 0 to 7";
	if (part[2] < FIRST_OWN_SLOT || part[2] > LAST_OWN_SLOT)
		return "slots 00 to 04 and 1f belong to the guest's own "
		       "board: use 00:05.0 to 00:1e.7";
	spec->devfn = (uint8_t)(part[2] << 3 | part[3]);
	spec->bdf_given = true;
	return NULL;
}

/* ---- the keys of a disk ---- */

static const char *parse_path(struct devspec *spec, const char *value)
{
	spec->blk.path = strdup(value);
	return spec->blk.path ? NULL : "out of memory";
}

static const char *parse_serial(struct devspec *spec, const char *value)
{
	const char *p;

	for (p = value; *p >= ' ' && *p <= '~'; p++)
		;
	if (*p != '\0' || p - value > SERIAL_BYTES)
		return "use at most 20 bytes of printable ASCII";
	spec->blk.serial = strdup(value);
	return spec->blk.serial ? NULL : "out of memory";
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
	if (!parse_switch(value, "on", "off", &spec->blk.readonly))
		return "use on or off";
	return NULL;
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
	uint64_t v;

	if (!parse_number(value, QUEUES_MAX, &v) || v < 1)
		return "use 1 to 16";
	spec->blk.queues = (unsigned int)v;
	return NULL;
}

static const char *parse_queue_size(struct devspec *spec, const char *value)
{
	uint64_t v;

	if (!parse_number(value, QUEUE_SIZE_MAX, &v) || v < 2 || v & (v - 1))
		return "use a power of two from 2 to 1024";
	spec->blk.queue_size = (unsigned int)v;
	return NULL;
}

static const char *parse_block_size(struct devspec *spec, const char *value)
{
	uint64_t v;

	if (!parse_number(value, 4096, &v) || (v != 512 && v != 4096))
		return "use 512 or 4096";
	spec->blk.block_size = (uint32_t)v;
	return NULL;
}

static const char *parse_discard(struct devspec *spec, const char *value)
{
	bool on;

	if (!parse_switch(value, "on", "off", &on) &&
	    !parse_switch(value, "unmap", "ignore", &on))
		return "use on (or unmap), or off (or ignore)";
	spec->blk.discard = on;
	return NULL;
}

static const char *parse_size(struct devspec *spec, const char *value)
{
	static const char usage[] = "use bytes, a multiple of 512, or a number "
				    "with k, M, G or T, as in 10G";
	static const char suffixes[] = "kmgt";
	size_t digits = strspn(value, "0123456789");
	const char *suffix;
	char number[24];
	int power = 0;
	uint64_t v;

	if (digits >= sizeof(number))
		return usage;
	memcpy(number, value, digits);
	number[digits] = '\0';
	if (value[digits] != '\0') {
		suffix = strchr(suffixes,
				tolower((unsigned char)value[digits]));
		if (!suffix || value[digits + 1] != '\0')
			return usage;
		power = (int)(suffix - suffixes) + 1;
	}
	/* Capacities and offsets are signed further down, as off_t. */
	if (!parse_number(number, INT64_MAX, &v))
		return usage;
	while (power-- > 0)
		if (__builtin_mul_overflow(v, 1024, &v) || v > INT64_MAX)
			return "use less than 8388608T";
	if (v == 0 || v % 512 != 0)
		return usage;
	spec->blk.size = v;
	return NULL;
}

static const struct devspec_key blk_keys[] = {
	{ "path",	parse_path },
	{ "bdf",	parse_bdf },
	{ "serial",	parse_serial },
	{ "readonly",	parse_readonly },
	{ "cache",	parse_cache },
	{ "discard",	parse_discard },
	{ "block-size",	parse_block_size },
	{ "queues",	parse_queues },
	{ "queue-size",	parse_queue_size },
	{ "engine",	parse_engine },
	{ "size",	parse_size },
};

static const struct {
	const char			*name;
	const struct devspec_key	*keys;
	size_t				nkeys;
} kinds[] = {
	[DEVSPEC_BLK] = { "blk", blk_keys, ARRAY_SIZE(blk_keys) },
};

/* ---- errors ---- */

/* Where the one line about an error goes. */
struct why {
	char	*text;
	size_t	len;
};

static void __attribute__((format(printf, 2, 3)))
why_say(const struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	/* Cut off if there is no room; never longer than asked for. */
	(void)vsnprintf(why->text, why->len, fmt, ap);
	va_end(ap);
}

/* A macro, so that the compiler sees that it never gives 0. */
#define refuse(why, ...)	(why_say((why), __VA_ARGS__), -EINVAL)

/* A string from outside, fit for a message: short and without controls. */
struct quoted {
	char	text[72];
};

static const char *quote(struct quoted *q, const char *s)
{
	size_t len = 0;

	for (; *s; s++) {
		if (len + sizeof("\\x00") + sizeof("...") > sizeof(q->text)) {
			len += (size_t)sprintf(q->text + len, "...");
			break;
		}
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			len += (size_t)sprintf(q->text + len, "\\x%02x",
					       (unsigned char)*s);
		else
			q->text[len++] = *s;
	}
	q->text[len] = '\0';
	return q->text;
}

static int refuse_key(const struct why *why, enum devspec_kind kind,
		      const char *key)
{
	struct quoted q;
	char names[256];
	size_t i, len = 0;

	names[0] = '\0';
	for (i = 0; i < kinds[kind].nkeys && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%s%s", i ? ", " : "",
					kinds[kind].keys[i].name);
	return refuse(why, "'%s' is no key of %s: use %s", quote(&q, key),
		      kinds[kind].name, names);
}

static int refuse_kind(const struct why *why, const char *kind)
{
	struct quoted q;
	char names[64];
	size_t i, len = 0;

	names[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(kinds) && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%s%s", i ? ", " : "", kinds[i].name);
	return refuse(why, "'%s' is no kind of device: use %s,KEY=VALUE,...",
		      quote(&q, kind), names);
}

/* ---- the parser ---- */

/*
 * Cuts "key=value" off the front of *@rest, undoubling commas in place.
 * Afterwards *@rest is what follows the comma behind it, or NULL at the end.
 */
static int take_pair(char **rest, char **ret_key, char **ret_value,
		     const struct why *why)
{
	char *key = *rest, *in, *out;
	struct quoted q;

	in = key + strcspn(key, "=,");
	if (in == key && *in != '=')
		return refuse(why, "there is a comma too many before '%s': "
			      "use KIND,KEY=VALUE,...", quote(&q, key));
	if (*in != '=') {
		*in = '\0';
		quote(&q, key);
		return refuse(why, "'%s' has no value: use %s=VALUE", q.text,
			      q.text);
	}
	*in++ = '\0';
	*ret_key = key;
	*ret_value = in;
	*rest = NULL;
	for (out = in; *in; in++) {
		if (in[0] == ',' && in[1] != ',') {
			*rest = in + 1;
			break;
		}
		if (in[0] == ',')
			in++;			/* the second of two */
		*out++ = *in;
	}
	*out = '\0';				/* at most over that comma */
	return 0;
}

static int parse_pairs(struct devspec *spec, char *rest,
		       const struct why *why)
{
	const struct devspec_key *keys = kinds[spec->kind].keys;
	size_t nkeys = kinds[spec->kind].nkeys, i;
	const char *right;
	char *key, *value;
	struct quoted q;
	uint32_t seen = 0;			/* bits, by index in keys */
	int r;

	_Static_assert(ARRAY_SIZE(blk_keys) <= 32, "bits in seen");
	while (rest) {
		r = take_pair(&rest, &key, &value, why);
		if (r < 0)
			return r;
		for (i = 0; i < nkeys && strcmp(keys[i].name, key) != 0; i++)
			;
		if (i == nkeys)
			return refuse_key(why, spec->kind, key);
		if (seen & 1u << i)
			return refuse(why, "%s='%s': %s is given twice", key,
				      quote(&q, value), key);
		seen |= 1u << i;
		right = *value ? keys[i].parse(spec, value) :
			"the value is missing";
		if (right)
			return refuse(why, "%s='%s': %s", key,
				      quote(&q, value), right);
	}
	return 0;
}

/* What no key's parser can know alone. */
static int check_blk(const struct devspec_blk *blk, const struct why *why)
{
	bool null = strcmp(blk->engine, "null") == 0;
	struct quoted q;

	if (!null && blk->size)
		return refuse(why, "size='%llu': the image has its own size; "
			      "use size only with engine=null",
			      (unsigned long long)blk->size);
	if (!null && !blk->path)
		return refuse(why, "path is missing: use path=FILE, as in "
			      "blk,path=/dev/vg0/web1");
	if (null && blk->path)
		return refuse(why, "path='%s': engine=null has no image; use "
			      "size instead", quote(&q, blk->path));
	if (null && !blk->size)
		return refuse(why, "size is missing: use size=BYTES with "
			      "engine=null, as in size=10G");
	if (blk->block_size && blk->size % blk->block_size)
		return refuse(why, "size='%llu': use a multiple of "
			      "block-size=%u", (unsigned long long)blk->size,
			      blk->block_size);
	return 0;
}

int devspec_parse(const char *text, struct devspec *ret,
		  char *why_text, size_t why_len)
{
	const struct why why = { why_text, why_len };
	struct devspec spec = {
		.blk = {
			.engine		= "uring",
			.cache		= BLK_CACHE_NONE,
			.queues		= 1,
			.queue_size	= 256,
			.discard	= -1,
		},
	};
	char *copy, *rest;
	size_t i;
	int r;

	copy = strdup(text);
	if (!copy)
		return refuse(&why, "out of memory");
	rest = copy + strcspn(copy, ",");
	if (*rest)
		*rest++ = '\0';
	else
		rest = NULL;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, copy) == 0)
			break;
	if (i == ARRAY_SIZE(kinds)) {
		r = refuse_kind(&why, copy);
		free(copy);
		return r;
	}
	spec.kind = (enum devspec_kind)i;
	r = parse_pairs(&spec, rest, &why);
	if (r == 0)
		r = check_blk(&spec.blk, &why);
	free(copy);
	if (r < 0) {
		devspec_fini(&spec);
		return r;
	}
	*ret = spec;
	return 0;
}

void devspec_fini(struct devspec *spec)
{
	free(spec->blk.path);
	free(spec->blk.serial);
	memset(spec, 0, sizeof(*spec));
}

/* ---- addresses for a whole list ---- */

static bool slot_is_used(const struct devspec *specs, size_t count,
			 unsigned int slot)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (specs[i].bdf_given && specs[i].devfn >> 3 == slot)
			return true;
	return false;
}

static bool devfn_is_used(const struct devspec *specs, size_t count,
			  unsigned int devfn)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (specs[i].devfn == devfn)
			return true;
	return false;
}

/* Guests look for functions 1 to 7 only where they find a function 0. */
static int check_functions(const struct why *why, const struct devspec *specs,
			   size_t count)
{
	unsigned int slot;
	size_t i;

	for (i = 0; i < count; i++) {
		slot = specs[i].devfn >> 3;
		if (!devfn_is_used(specs, count, slot << 3))
			return refuse(why, "bdf='00:%02x.%x': no guest finds "
				      "it without a device at 00:%02x.0", slot,
				      specs[i].devfn & 7, slot);
	}
	return 0;
}

int devspec_assign(struct devspec *specs, size_t count,
		   char *why_text, size_t why_len)
{
	const struct why why = { why_text, why_len };
	unsigned int slot = DEVSPEC_FIRST_SLOT;
	size_t i, j;

	for (i = 0; i < count; i++)
		for (j = 0; specs[i].bdf_given && j < i; j++)
			if (specs[j].bdf_given &&
			    specs[j].devfn == specs[i].devfn)
				return refuse(&why, "bdf='00:%02x.%x': devices"
					      " %zu and %zu cannot both be "
					      "there", specs[i].devfn >> 3,
					      specs[i].devfn & 7, j + 1, i + 1);

	for (i = 0; i < count; i++) {
		if (specs[i].bdf_given)
			continue;
		while (slot <= DEVSPEC_LAST_SLOT &&
		       slot_is_used(specs, count, slot))
			slot++;
		if (slot > DEVSPEC_LAST_SLOT) {
			why_say(&why, "bdf is missing for device %zu: slots "
				"%02x to %02x are taken, use bdf=00:05.0 to "
				"00:17.7", i + 1, DEVSPEC_FIRST_SLOT,
				DEVSPEC_LAST_SLOT);
			return -ENOSPC;
		}
		specs[i].devfn = (uint8_t)(slot++ << 3);
	}
	return check_functions(&why, specs, count);
}
