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
#define NAME_MAX_BYTES	15	/* IFNAMSIZ, without the zero */
#define MTU_MIN		68
#define MTU_MAX		65535
#define RATE_USECS	50000	/* xl's */
#define FIRST_OWN_SLOT	0x05	/* 00 to 04 and 1f are the board's */
#define LAST_OWN_SLOT	0x1e

struct devspec_key {
	const char *name;
	/* Return: NULL, or what would be right.  @value is not empty. */
	const char *(*parse)(struct devspec *spec, const char *value);
	/* Without parse: it switches these offloads, in devspec_offloads. */
	unsigned int several;
	unsigned int single;
};

/* ---- words and numbers ---- */

/*
 * A decimal number, the front of @text.  Return: what follows it, or NULL if
 * there is none, or if it is too large.
 */
static const char *parse_digits(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return NULL;		/* strtoull takes spaces and signs */
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || v > max)
		return NULL;
	*ret = v;
	return end;
}

/* The same, and nothing may follow. */
static bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	const char *end = parse_digits(text, max, ret);

	return end && *end == '\0';
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
	const char *p, *suffix;
	int power = 0;
	uint64_t v;

	/* Capacities and offsets are signed further down, as off_t. */
	p = parse_digits(value, INT64_MAX, &v);
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

static const struct devspec_key blk_keys[] = {
	{ "path",	.parse = parse_path },
	{ "bdf",	.parse = parse_bdf },
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

/* ---- the keys of a network card ---- */

static const char *copy_text(const char *value, char **ret)
{
	const char *p;

	for (p = value; *p > ' ' && *p <= '~'; p++)
		;
	if (*p != '\0')
		return "use printable ASCII without spaces";
	*ret = strdup(value);
	return *ret ? NULL : "out of memory";
}

/* What the kernel takes for the name of an interface, and no pattern. */
static const char *check_name(const char *name)
{
	if (strlen(name) > NAME_MAX_BYTES)
		return "the name of an interface has at most 15 characters";
	if (strpbrk(name, "/:%") || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return "no interface can have this name: use letters and "
		       "digits";
	return NULL;
}

static const char *copy_name(const char *value, char **ret)
{
	const char *right = check_name(value);

	return right ? right : copy_text(value, ret);
}

/* Its length is checked later: some scripts' bridges are no interfaces. */
static const char *parse_bridge(struct devspec *spec, const char *value)
{
	return copy_text(value, &spec->net.bridge);
}

static const char *parse_tap(struct devspec *spec, const char *value)
{
	return copy_name(value, &spec->net.tap);
}

static const char *parse_ifname(struct devspec *spec, const char *value)
{
	return copy_name(value, &spec->net.ifname);
}

static const char *parse_script(struct devspec *spec, const char *value)
{
	spec->net.script = strdup(value);
	return spec->net.script ? NULL : "out of memory";
}

static const char *parse_downscript(struct devspec *spec, const char *value)
{
	if (value[0] != '/' && strcmp(value, "no") != 0)
		return "use the whole path, or no";
	spec->net.downscript = strdup(value);
	return spec->net.downscript ? NULL : "out of memory";
}

static const char *parse_persist(struct devspec *spec, const char *value)
{
	if (!parse_switch(value, "on", "off", &spec->net.persist))
		return "use on or off";
	return NULL;
}

static const char *parse_net_engine(struct devspec *spec, const char *value)
{
	if (strcmp(value, "tap") != 0 && strcmp(value, "null") != 0)
		return "use tap or null";
	(void)snprintf(spec->net.engine, sizeof(spec->net.engine), "%s",
		       value);		/* fits: just compared */
	return NULL;
}

static const char *parse_mac(struct devspec *spec, const char *value)
{
	static const uint8_t zero[6];
	const char *p = value;
	unsigned int byte;
	uint8_t mac[6];
	int i;

	for (i = 0; i < 6; i++) {
		p = isxdigit((unsigned char)p[0]) ? parse_hex(p, 2, &byte) :
		    NULL;
		if (!p || *p != (i < 5 ? ':' : '\0'))
			return "use six bytes, as in 00:16:3e:01:02:03";
		mac[i] = (uint8_t)byte;
		p++;
	}
	if (mac[0] & 1)
		return "this is a multicast address, which no card can have: "
		       "use an even first byte";
	if (memcmp(mac, zero, sizeof(mac)) == 0)
		return "this address means none: use one as in "
		       "00:16:3e:01:02:03";
	memcpy(spec->net.mac, mac, sizeof(mac));
	spec->net.mac_given = true;
	return NULL;
}

static const char *parse_mtu(struct devspec *spec, const char *value)
{
	uint64_t v;

	if (!parse_number(value, MTU_MAX, &v) || v < MTU_MIN)
		return "use 68 to 65535";
	spec->net.mtu = (unsigned int)v;
	return NULL;
}

static const char *parse_pairs_of_queues(struct devspec *spec,
					 const char *value)
{
	uint64_t v;

	_Static_assert(NET_MAX_QUEUES == 8, "as the message says");
	if (!parse_number(value, NET_MAX_QUEUES, &v) || v < 1)
		return "use 1 to 8";
	spec->net.queues = (unsigned int)v;
	return NULL;
}

static const char *parse_net_queue_size(struct devspec *spec,
					const char *value)
{
	uint64_t v;

	if (!parse_number(value, QUEUE_SIZE_MAX, &v) || v < 2 || v & (v - 1))
		return "use a power of two from 2 to 1024";
	spec->net.queue_size = (unsigned int)v;
	return NULL;
}

/* "@20ms", or nothing. */
static bool parse_interval(const char *text, uint32_t *ret)
{
	uint64_t v = RATE_USECS;
	const char *unit = "";

	if (*text == '@') {
		unit = parse_digits(text + 1, UINT32_MAX, &v);
		if (!unit)
			return false;
	} else if (*text != '\0') {
		return false;
	}
	if (strcmp(unit, "ms") == 0)
		v *= 1000;
	else if (strcmp(unit, "s") == 0)
		v *= 1000000;
	else if (strcmp(unit, "us") != 0 && *unit != '\0')
		return false;
	if (v == 0 || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* As xl does it: "10Mb/s", "250KB/s", "1MB/s@20ms"; M is a million. */
static const char *parse_rate(struct devspec *spec, const char *value)
{
	static const char usage[] = "use RATE/s or RATE/s@INTERVAL, as in "
				    "10Mb/s or 250KB/s@20ms";
	static const char prefixes[] = "KMG";
	const char *p, *prefix;
	uint32_t usecs;
	uint64_t v;
	int power = 0;

	p = parse_digits(value, UINT64_MAX / 1000000000, &v);
	if (!p)
		return usage;
	prefix = *p ? strchr(prefixes, *p) : NULL;
	if (prefix) {
		power = (int)(prefix - prefixes) + 1;
		p++;
	}
	while (power-- > 0)
		v *= 1000;
	if (*p == 'b')
		v /= 8;
	else if (*p != 'B')
		return usage;
	if (strncmp(p + 1, "/s", 2) != 0 || !parse_interval(p + 3, &usecs))
		return usage;
	if (v == 0)
		return "use at least 1B/s";
	spec->net.rate_bytes = v;
	spec->net.rate_usecs = usecs;
	return NULL;
}

/* Offloads of both ways in one word. */
#define SENT(x)		((unsigned int)(x))
#define RECEIVED(x)	((unsigned int)(x) << 8)
#define BOTH(x)		(SENT(x) | RECEIVED(x))
#define TSO		(NET_TSO4 | NET_TSO6 | NET_TSO_ECN)
#define USO		(NET_USO4 | NET_USO6)
#define ALL_OFFLOADS	(NET_CSUM | TSO | USO)

static const char *parse_offloads(struct devspec *spec,
				  const struct devspec_key *key,
				  const char *value)
{
	struct devspec_offloads *o = key->single ? &spec->net.single :
				     &spec->net.several;
	unsigned int bits = key->single | key->several;
	bool on;

	if (!parse_switch(value, "on", "off", &on))
		return "use on or off";
	if (on)
		o->on |= bits;
	else
		o->off |= bits;
	return NULL;
}

/* The names are QEMU's, but for those that stand for several of them. */
static const struct devspec_key net_keys[] = {
	{ "bridge",	.parse = parse_bridge },
	{ "tap",	.parse = parse_tap },
	{ "bdf",	.parse = parse_bdf },
	{ "mac",	.parse = parse_mac },
	{ "mtu",	.parse = parse_mtu },
	{ "queues",	.parse = parse_pairs_of_queues },
	{ "queue-size",	.parse = parse_net_queue_size },
	{ "rate",	.parse = parse_rate },
	{ "script",	.parse = parse_script },
	{ "downscript",	.parse = parse_downscript },
	{ "ifname",	.parse = parse_ifname },
	{ "persist",	.parse = parse_persist },
	{ "engine",	.parse = parse_net_engine },
	{ "csum",	.several = BOTH(NET_CSUM) },
	{ "tso",	.several = BOTH(TSO) },
	{ "uso",	.several = BOTH(USO) },
	{ "guest_csum",	.single = RECEIVED(NET_CSUM) },
	{ "guest_tso4",	.single = RECEIVED(NET_TSO4) },
	{ "guest_tso6",	.single = RECEIVED(NET_TSO6) },
	{ "guest_ecn",	.single = RECEIVED(NET_TSO_ECN) },
	{ "guest_uso4",	.single = RECEIVED(NET_USO4) },
	{ "guest_uso6",	.single = RECEIVED(NET_USO6) },
	{ "host_tso4",	.single = SENT(NET_TSO4) },
	{ "host_tso6",	.single = SENT(NET_TSO6) },
	{ "host_ecn",	.single = SENT(NET_TSO_ECN) },
	{ "host_uso",	.single = SENT(USO) },
};

static const struct {
	const char			*name;
	const struct devspec_key	*keys;
	size_t				nkeys;
} kinds[] = {
	[DEVSPEC_BLK] = { "blk", blk_keys, ARRAY_SIZE(blk_keys) },
	[DEVSPEC_NET] = { "net", net_keys, ARRAY_SIZE(net_keys) },
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
	char names[384];
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
					"%s%s,KEY=VALUE,...",
					i ? " or " : "", kinds[i].name);
	return refuse(why, "'%s' is no kind of device: use %s",
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

static bool key_is(const char *name, const char *key)
{
	for (; *name && *key; name++, key++)
		if (*name != *key && !(strchr("-_", *name) &&
				       strchr("-_", *key)))
			return false;
	return *name == *key;
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

	_Static_assert(ARRAY_SIZE(blk_keys) <= 32 &&
		       ARRAY_SIZE(net_keys) <= 32, "bits in seen");
	while (rest) {
		r = take_pair(&rest, &key, &value, why);
		if (r < 0)
			return r;
		for (i = 0; i < nkeys && !key_is(keys[i].name, key); i++)
			;
		if (i == nkeys)
			return refuse_key(why, spec->kind, key);
		if (seen & 1u << i)
			return refuse(why, "%s='%s': %s is given twice", key,
				      quote(&q, value), key);
		seen |= 1u << i;
		right = !*value ? "the value is missing" : keys[i].parse ?
			keys[i].parse(spec, value) :
			parse_offloads(spec, &keys[i], value);
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

/* What would have no meaning. */
static int check_net_extras(const struct devspec_net *net,
			    const struct why *why)
{
	const struct {
		const char *key, *value;
	} t[] = {
		{ "bridge",	net->bridge },
		{ "tap",	net->tap },
		{ "script",	net->script },
		{ "downscript",	net->downscript },
		{ "ifname",	net->ifname },
		{ "persist",	net->persist ? "on" : NULL },
	};
	bool null = strcmp(net->engine, "null") == 0;
	struct quoted q;
	size_t i;

	for (i = 0; null && i < ARRAY_SIZE(t); i++)
		if (t[i].value)
			return refuse(why, "%s='%s': engine=null has no cable;"
				      " leave %s out", t[i].key,
				      quote(&q, t[i].value), t[i].key);
	if (null && net->rate_bytes)
		return refuse(why, "rate='%lluB/s': engine=null has no cable;"
			      " leave rate out",
			      (unsigned long long)net->rate_bytes);
	for (i = 4; net->tap && i < ARRAY_SIZE(t); i++)
		if (t[i].value)
			return refuse(why, "%s='%s': tap '%s' exists already; "
				      "use %s only with bridge", t[i].key,
				      t[i].value, net->tap, t[i].key);
	if (net->downscript &&
	    (!net->script || strcmp(net->script, "no") == 0))
		return refuse(why, "downscript='%s': it undoes what script "
			      "does; use script, too",
			      quote(&q, net->downscript));
	return 0;
}

/* From the switches to what is offered, for one way. */
static int resolve_offloads(const struct devspec_net *net, unsigned int shift,
			    unsigned int *ret, const struct why *why)
{
	unsigned int several = ALL_OFFLOADS & ~(net->several.off >> shift);
	unsigned int single_on = net->single.on >> shift & ALL_OFFLOADS;
	unsigned int single_off = net->single.off >> shift & ALL_OFFLOADS;
	unsigned int wanted = net->several.on >> shift & ALL_OFFLOADS;

	wanted = ((wanted & ~single_off) | single_on) & ~(unsigned int)NET_CSUM;
	*ret = (several & ~single_off) | single_on;
	if (*ret & NET_CSUM)
		return 0;
	if (wanted)
		return refuse(why, "%s='off': without checksums there are no "
			      "segments: leave out what switches %s on",
			      single_off & NET_CSUM ? "guest_csum" : "csum",
			      wanted & TSO ? "tso" : "uso");
	*ret = 0;
	return 0;
}

/* What no key's parser can know alone. */
static int check_net(struct devspec_net *net, const struct why *why)
{
	bool null = strcmp(net->engine, "null") == 0;
	bool own = net->script && strcmp(net->script, "no") != 0;
	const char *right;
	struct quoted q;
	int r;

	if (!null && !net->bridge && !net->tap)
		return refuse(why, "bridge is missing: use bridge=NAME or "
			      "tap=NAME, as in net,bridge=xenbr0");
	if (!null && net->bridge && net->tap)
		return refuse(why, "tap='%s': bridge is given, too; use one "
			      "of them", net->tap);
	r = check_net_extras(net, why);
	if (r < 0)
		return r;
	right = net->bridge && !own ? check_name(net->bridge) : NULL;
	if (right)
		return refuse(why, "bridge='%s': %s", quote(&q, net->bridge),
			      right);
	r = resolve_offloads(net, 0, &net->send_offloads, why);
	if (!r)
		r = resolve_offloads(net, 8, &net->recv_offloads, why);
	return r;
}

/* Everything that is not given. */
static void set_defaults(struct devspec *spec)
{
	switch (spec->kind) {
	case DEVSPEC_BLK:
		spec->blk = (struct devspec_blk){
			.engine		= "uring",
			.cache		= BLK_CACHE_NONE,
			.queues		= 1,
			.queue_size	= 256,
			.discard	= -1,
		};
		break;
	case DEVSPEC_NET:
		spec->net = (struct devspec_net){
			.engine		= "tap",
			.queues		= 1,
			.queue_size	= 256,
		};
		break;
	}
}

int devspec_parse(const char *text, struct devspec *ret,
		  char *why_text, size_t why_len)
{
	const struct why why = { why_text, why_len };
	struct devspec spec = { 0 };
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
	set_defaults(&spec);
	r = parse_pairs(&spec, rest, &why);
	if (r == 0)
		r = spec.kind == DEVSPEC_BLK ? check_blk(&spec.blk, &why) :
		    check_net(&spec.net, &why);
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
	switch (spec->kind) {
	case DEVSPEC_BLK:
		free(spec->blk.path);
		free(spec->blk.serial);
		break;
	case DEVSPEC_NET:
		free(spec->net.bridge);
		free(spec->net.tap);
		free(spec->net.script);
		free(spec->net.downscript);
		free(spec->net.ifname);
		break;
	}
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
