/* SPDX-License-Identifier: MIT */
/*
 * spec_net.c: the keys of a network card.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "spec.h"
#include "util.h"

#define NAME_MAX_BYTES	15	/* IFNAMSIZ, without the zero */
#define BRIDGE_MAX_BYTES 255	/* for a script, nobody else's limit */
#define MTU_MIN		68
#define MTU_MAX		65535
#define RATE_USECS	50000	/* xl's */

static const char *copy_text(const char *value, char **ret)
{
	const char *p;

	for (p = value; *p > ' ' && *p <= '~'; p++)
		;
	if (*p != '\0')
		return "use printable ASCII without spaces";
	if (*value == '-')
		return "a script could take this for an option: use a name "
		       "that begins otherwise";
	return spec_parse_text(value, ret);
}

/*
 * What the kernel takes for the name of an interface, and no pattern.  In
 * /proc/sys/net two names stand for every interface there is or will be.
 */
static const char *check_name(const char *name)
{
	if (strlen(name) > NAME_MAX_BYTES)
		return "the name of an interface has at most 15 characters";
	if (strpbrk(name, "/:%") || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return "no interface can have this name: use letters and "
		       "digits";
	if (strcmp(name, "all") == 0 || strcmp(name, "default") == 0)
		return "this name stands for all interfaces: use another";
	return NULL;
}

static const char *copy_name(const char *value, char **ret)
{
	const char *right = check_name(value);

	return right ? right : copy_text(value, ret);
}

/* Some scripts' bridges are no interfaces; theirs is checked later. */
static const char *parse_bridge(struct devspec *spec, const char *value)
{
	if (strlen(value) > BRIDGE_MAX_BYTES)
		return "use at most 255 characters";
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
	if (value[0] != '/' && strchr(value, '/'))
		return "use the whole path, the name of one in "
		       "/etc/xen/scripts, or no";
	return spec_parse_text(value, &spec->net.script);
}

static const char *parse_downscript(struct devspec *spec, const char *value)
{
	if (value[0] != '/' && strcmp(value, "no") != 0)
		return "use the whole path, or no";
	return spec_parse_text(value, &spec->net.downscript);
}

static const char *parse_persist(struct devspec *spec, const char *value)
{
	return spec_parse_onoff(value, &spec->net.persist);
}

static const char *parse_engine(struct devspec *spec, const char *value)
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
		p = isxdigit((unsigned char)p[0]) ? spec_hex(p, 2, &byte) :
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
	return spec_number(value, MTU_MIN, MTU_MAX, &spec->net.mtu) ? NULL :
	       "use 68 to 65535";
}

static const char *parse_queues(struct devspec *spec, const char *value)
{
	_Static_assert(NET_MAX_QUEUES == 8, "as the message says");
	return spec_number(value, 1, NET_MAX_QUEUES, &spec->net.queues) ?
	       NULL : "use 1 to 8";
}

static const char *parse_queue_size(struct devspec *spec, const char *value)
{
	return spec_parse_queue_size(value, &spec->net.queue_size);
}

/* "@20ms", or nothing. */
static bool parse_interval(const char *text, uint32_t *ret)
{
	uint64_t v = RATE_USECS;
	const char *unit = "";

	if (*text == '@') {
		unit = spec_digits(text + 1, UINT32_MAX, &v);
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

	p = spec_digits(value, UINT64_MAX / 1000000000, &v);
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

static const char *parse_offloads(struct devspec_offloads *o,
				  unsigned int bits, const char *value)
{
	const char *right;
	bool on;

	right = spec_parse_onoff(value, &on);
	if (right)
		return right;
	if (on)
		o->on |= bits;
	else
		o->off |= bits;
	return NULL;
}

static const char *parse_several(struct devspec *spec, unsigned int bits,
				 const char *value)
{
	return parse_offloads(&spec->net.several, bits, value);
}

static const char *parse_single(struct devspec *spec, unsigned int bits,
				const char *value)
{
	return parse_offloads(&spec->net.single, bits, value);
}

/* The names are QEMU's, but for those that stand for several of them. */
static const struct spec_key net_keys[] = {
	{ "bridge",	.parse = parse_bridge },
	{ "tap",	.parse = parse_tap },
	{ "bdf",	.parse = spec_parse_bdf },
	{ "grants",	.parse = spec_parse_grants },
	{ "pci-config",	.parse = spec_parse_pci_config },
	{ "mac",	.parse = parse_mac },
	{ "mtu",	.parse = parse_mtu },
	{ "queues",	.parse = parse_queues },
	{ "queue-size",	.parse = parse_queue_size },
	{ "rate",	.parse = parse_rate },
	{ "script",	.parse = parse_script },
	{ "downscript",	.parse = parse_downscript },
	{ "ifname",	.parse = parse_ifname },
	{ "persist",	.parse = parse_persist },
	{ "engine",	.parse = parse_engine },
	{ "csum",	.parse_bits = parse_several, BOTH(NET_CSUM) },
	{ "tso",	.parse_bits = parse_several, BOTH(TSO) },
	{ "uso",	.parse_bits = parse_several, BOTH(USO) },
	{ "guest_csum",	.parse_bits = parse_single, RECEIVED(NET_CSUM) },
	{ "guest_tso4",	.parse_bits = parse_single, RECEIVED(NET_TSO4) },
	{ "guest_tso6",	.parse_bits = parse_single, RECEIVED(NET_TSO6) },
	{ "guest_ecn",	.parse_bits = parse_single, RECEIVED(NET_TSO_ECN) },
	{ "guest_uso4",	.parse_bits = parse_single, RECEIVED(NET_USO4) },
	{ "guest_uso6",	.parse_bits = parse_single, RECEIVED(NET_USO6) },
	{ "host_tso4",	.parse_bits = parse_single, SENT(NET_TSO4) },
	{ "host_tso6",	.parse_bits = parse_single, SENT(NET_TSO6) },
	{ "host_ecn",	.parse_bits = parse_single, SENT(NET_TSO_ECN) },
	{ "host_uso",	.parse_bits = parse_single, SENT(USO) },
};

/* ---- what goes with what ---- */

static const struct spec_contrary net_contraries[] = {
	{ "tap",	NULL,	{ "bridge", "script", "downscript", "ifname",
				  "persist", "engine" } },
	{ "bridge",	NULL,	{ "tap", "engine" } },
	{ "engine",	"null",	{ "bridge", "tap", "script", "downscript",
				  "ifname", "persist", "rate" } },
	{ "script",	"no",	{ "downscript" } },
};

static bool has_script(const struct devspec_net *net)
{
	return net->script && strcmp(net->script, "no") != 0;
}

/* What would have no meaning. */
static int check_extras(const struct devspec_net *net,
			const struct spec_why *why)
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
	struct spec_quoted q;
	size_t i;

	for (i = 0; null && i < ARRAY_SIZE(t); i++)
		if (t[i].value)
			return spec_refuse(why, "%s='%s': engine=null has no "
					   "cable; leave %s out", t[i].key,
					   spec_quote(&q, t[i].value),
					   t[i].key);
	if (null && net->rate_bytes)
		return spec_refuse(why, "rate='%lluB/s': engine=null has no "
				   "cable; leave rate out",
				   (unsigned long long)net->rate_bytes);
	for (i = 4; net->tap && i < ARRAY_SIZE(t); i++)
		if (t[i].value)
			return spec_refuse(why, "%s='%s': tap '%s' exists "
					   "already; use %s only with bridge",
					   t[i].key, t[i].value, net->tap,
					   t[i].key);
	if (net->downscript && !has_script(net))
		return spec_refuse(why, "downscript='%s': it undoes what "
				   "script does; use script, too",
				   spec_quote(&q, net->downscript));
	return 0;
}

/* From the switches to what is offered, for one way. */
static int resolve_offloads(const struct devspec_net *net, unsigned int shift,
			    unsigned int *ret, const struct spec_why *why)
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
		return spec_refuse(why, "%s='off': without checksums there "
				   "are no segments: leave out what switches "
				   "%s on",
				   single_off & NET_CSUM ? "guest_csum" : "csum",
				   wanted & TSO ? "tso" : "uso");
	*ret = 0;
	return 0;
}

static int spec_net_check(struct devspec *spec, const struct spec_why *why)
{
	struct devspec_net *net = &spec->net;
	bool null = strcmp(net->engine, "null") == 0;
	struct spec_quoted q;
	const char *right;
	int r;

	if (!null && !net->bridge && !net->tap)
		return spec_refuse(why, "bridge is missing: use bridge=NAME "
				   "or tap=NAME, as in net,bridge=xenbr0");
	if (!null && net->bridge && net->tap)
		return spec_refuse(why, "tap='%s': bridge is given, too; use "
				   "one of them", net->tap);
	r = check_extras(net, why);
	if (r < 0)
		return r;
	right = net->bridge && !has_script(net) ? check_name(net->bridge) :
		NULL;
	if (right)
		return spec_refuse(why, "bridge='%s': %s",
				   spec_quote(&q, net->bridge), right);
	r = resolve_offloads(net, 0, &net->send_offloads, why);
	if (!r)
		r = resolve_offloads(net, 8, &net->recv_offloads, why);
	return r;
}

/* ---- the kind ---- */

static void spec_net_init(struct devspec *spec)
{
	spec->net = (struct devspec_net){
		.engine		= "tap",
		.queues		= 1,
		.queue_size	= SPEC_QUEUE_SIZE,
	};
}

static void spec_net_fini(struct devspec *spec)
{
	free(spec->net.bridge);
	free(spec->net.tap);
	free(spec->net.script);
	free(spec->net.downscript);
	free(spec->net.ifname);
}

const struct spec_kind spec_net_kind = {
	.name	= "net",
	.keys	= net_keys,
	.nkeys	= ARRAY_SIZE(net_keys),
	.contraries	= net_contraries,
	.ncontraries	= ARRAY_SIZE(net_contraries),
	.init	= spec_net_init,
	.check	= spec_net_check,
	.fini	= spec_net_fini,
};
