/* SPDX-License-Identifier: MIT */
/*
 * test_devspec.c: the device grammar.  What is accepted, with every default;
 * and for every mistake the very words that the operator reads.
 */
#include <errno.h>
#include "devspec.h"
#include "unit.h"
#include "util.h"

#define DEVFN(slot, fn)	((slot) << 3 | (fn))

static struct devspec parse(const char *text)
{
	struct devspec spec;
	char why[512] = "";

	if (devspec_parse(text, &spec, why, sizeof(why)) != 0)
		fail_msg("%s: %s", text, why);
	assert_string_equal(why, "");
	assert_int_equal(spec.kind, strncmp(text, "net", 3) == 0 ?
			 DEVSPEC_NET : DEVSPEC_BLK);
	return spec;
}

/* ---- what is accepted ---- */

static void test_defaults(void **state)
{
	struct devspec s = parse("blk,path=/x.img");

	(void)state;
	assert_string_equal(s.blk.path, "/x.img");
	assert_false(s.bdf_given);
	assert_null(s.blk.serial);
	assert_string_equal(s.blk.engine, "uring");
	assert_false(s.blk.readonly);
	assert_int_equal(s.blk.cache, BLK_CACHE_NONE);
	assert_false(s.blk.cache_given);
	assert_int_equal(s.blk.queues, 1);
	assert_int_equal(s.blk.queue_size, 256);
	assert_int_equal(s.blk.block_size, 0);
	assert_int_equal(s.blk.discard, -1);
	assert_int_equal(s.blk.size, 0);
	devspec_fini(&s);
	assert_null(s.blk.path);
	devspec_fini(&s);			/* twice is fine */
}

static void test_everything(void **state)
{
	struct devspec s = parse("blk,size=10G,discard=on,queue-size=1024,"
				 "queues=16,engine=null,block-size=4096,"
				 "cache=writethrough,readonly=on,"
				 "serial=01234567890123456789,bdf=00:1e.7");

	(void)state;
	assert_null(s.blk.path);
	assert_true(s.bdf_given);
	assert_int_equal(s.devfn, DEVFN(0x1e, 7));
	assert_string_equal(s.blk.serial, "01234567890123456789");
	assert_string_equal(s.blk.engine, "null");
	assert_true(s.blk.readonly);
	assert_int_equal(s.blk.cache, BLK_CACHE_WRITETHROUGH);
	assert_true(s.blk.cache_given);
	assert_int_equal(s.blk.queues, 16);
	assert_int_equal(s.blk.queue_size, 1024);
	assert_int_equal(s.blk.block_size, 4096);
	assert_int_equal(s.blk.discard, 1);
	assert_int_equal(s.blk.size, 10ull << 30);
	devspec_fini(&s);
}

static void test_words(void **state)
{
	struct devspec s;

	(void)state;
	s = parse("blk,path=/x,cache=none,readonly=off,discard=off");
	assert_int_equal(s.blk.cache, BLK_CACHE_NONE);
	assert_true(s.blk.cache_given);
	assert_false(s.blk.readonly);
	assert_int_equal(s.blk.discard, 0);
	devspec_fini(&s);

	s = parse("blk,path=/x,cache=writeback,discard=unmap,queue-size=2");
	assert_int_equal(s.blk.cache, BLK_CACHE_WRITEBACK);
	assert_int_equal(s.blk.discard, 1);
	assert_int_equal(s.blk.queue_size, 2);
	devspec_fini(&s);

	s = parse("blk,path=/x,discard=ignore,block-size=512,engine=uring");
	assert_int_equal(s.blk.discard, 0);
	assert_int_equal(s.blk.block_size, 512);
	assert_string_equal(s.blk.engine, "uring");
	devspec_fini(&s);
}

static void test_limits(void **state)
{
	const struct blk_limits *l;
	struct devspec s;

	(void)state;
	s = parse("blk,path=/x");
	l = &s.blk.limits;
	assert_int_equal(l->iops[BLK_LIMIT_ALL].rate, 0);
	assert_int_equal(l->bps[BLK_LIMIT_WR].max, 0);
	assert_int_equal(l->burst_s, 1);
	devspec_fini(&s);

	s = parse("blk,path=/x,iops=100,iops_max=200,bps-rd=1M,bps-wr=2k,"
		  "bps_rd_max=16G,bps-wr-max=2048,burst_length=86400");
	assert_int_equal(l->iops[BLK_LIMIT_ALL].rate, 100);
	assert_int_equal(l->iops[BLK_LIMIT_ALL].max, 200);
	assert_int_equal(l->iops[BLK_LIMIT_RD].rate, 0);
	assert_int_equal(l->bps[BLK_LIMIT_ALL].rate, 0);
	assert_int_equal(l->bps[BLK_LIMIT_RD].rate, 1 << 20);
	assert_int_equal(l->bps[BLK_LIMIT_RD].max, BLK_LIMIT_MAX);
	assert_int_equal(l->bps[BLK_LIMIT_WR].rate, 2048);
	assert_int_equal(l->bps[BLK_LIMIT_WR].max, 2048);
	assert_int_equal(l->burst_s, 86400);
	devspec_fini(&s);

	s = parse("blk,engine=null,size=1G,iops-rd=1,iops-wr=1000000000,"
		  "iops-rd-max=3,iops_wr_max=1000000000,bps=1,bps-max=2");
	assert_int_equal(l->iops[BLK_LIMIT_RD].rate, 1);
	assert_int_equal(l->iops[BLK_LIMIT_RD].max, 3);
	assert_int_equal(l->iops[BLK_LIMIT_WR].rate, 1000000000);
	assert_int_equal(l->iops[BLK_LIMIT_WR].max, 1000000000);
	assert_int_equal(l->bps[BLK_LIMIT_ALL].rate, 1);
	assert_int_equal(l->bps[BLK_LIMIT_ALL].max, 2);
	assert_int_equal(l->burst_s, 1);
	devspec_fini(&s);
}

static void test_commas(void **state)
{
	static const struct {
		const char *text, *path;
	} t[] = {
		{ "blk,path=/a,,b",		"/a,b" },
		{ "blk,path=,,",		"," },
		{ "blk,path=,,,,a",		",,a" },
		{ "blk,path=/a,,,serial=s",	"/a," },
		{ "blk,path=/a,,serial=s",	"/a,serial=s" },
		{ "blk,serial=s,path=/a=b",	"/a=b" },
		{ "blk,path= ",			" " },
	};
	struct devspec s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		s = parse(t[i].text);
		assert_string_equal(s.blk.path, t[i].path);
		devspec_fini(&s);
	}
}

static void test_bdf(void **state)
{
	static const struct {
		const char *text;
		unsigned int devfn;
	} t[] = {
		{ "00:18.0",		DEVFN(0x18, 0) },
		{ "0000:00:18.0",	DEVFN(0x18, 0) },
		{ "0:5.0",		DEVFN(0x05, 0) },
		{ "0:0:1E.7",		DEVFN(0x1e, 7) },
		{ "00:0a.3",		DEVFN(0x0a, 3) },
	};
	struct devspec s;
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(text, sizeof(text), "blk,path=/x,bdf=%s",
			       t[i].text);
		s = parse(text);
		assert_true(s.bdf_given);
		assert_int_equal(s.devfn, t[i].devfn);
		devspec_fini(&s);
	}
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} t[] = {
		{ "512",		512 },
		{ "000000000000000000000000512", 512 },
		{ "1k",			1024 },
		{ "3K",			3072 },
		{ "1M",			1 << 20 },
		{ "1m",			1 << 20 },
		{ "2G",			2ull << 30 },
		{ "3T",			3ull << 40 },
		{ "8388607T",		8388607ull << 40 },
		{ "9223372036854775296", 9223372036854775296ull },
	};
	struct devspec s;
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(text, sizeof(text), "blk,engine=null,size=%s",
			       t[i].text);
		s = parse(text);
		assert_int_equal(s.blk.size, t[i].bytes);
		devspec_fini(&s);
	}
}

/* ---- grants ---- */

static void test_grants(void **state)
{
	static const struct {
		const char *text;
		enum grants_policy policy;
	} t[] = {
		{ "blk,path=/x", GRANTS_AUTO },
		{ "blk,path=/x,grants=auto", GRANTS_AUTO },
		{ "blk,path=/x,grants=require", GRANTS_REQUIRE },
		{ "blk,path=/x,grants=off", GRANTS_OFF },
		{ "net,bridge=b", GRANTS_AUTO },
		{ "net,bridge=b,grants=require", GRANTS_REQUIRE },
	};
	static const struct { const char *text; uint32_t bytes; } maps[] = {
		{ "1", 1 }, { "4096", 4096 }, { "64k", 65536 },
		{ "2M", 2097152 },
	};
	struct devspec s;
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		s = parse(t[i].text);
		assert_int_equal(s.grants, t[i].policy);
		if (s.kind == DEVSPEC_BLK)
			assert_int_equal(s.blk.grants_map, 1048576);
		devspec_fini(&s);
	}
	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		(void)snprintf(text, sizeof(text), "blk,path=/x,grants-map=%s",
			       maps[i].text);
		s = parse(text);
		assert_int_equal(s.blk.grants_map, maps[i].bytes);
		devspec_fini(&s);
	}
	s = parse("blk,path=/x,pci-config=ecam");
	assert_true(s.ecam);
	devspec_fini(&s);
	s = parse("net,bridge=b,pci_config=function");
	assert_false(s.ecam);
	devspec_fini(&s);
	assert_string_equal(devspec_grants_name(GRANTS_AUTO), "auto");
	assert_string_equal(devspec_grants_name(GRANTS_REQUIRE), "require");
	assert_string_equal(devspec_grants_name(GRANTS_OFF), "off");
}

/* ---- network cards ---- */

#define TSO	(NET_TSO4 | NET_TSO6 | NET_TSO_ECN)
#define USO	(NET_USO4 | NET_USO6)
#define ALL	(NET_CSUM | TSO | USO)

static void test_net_defaults(void **state)
{
	struct devspec s = parse("net,bridge=xenbr0");

	(void)state;
	assert_string_equal(s.net.bridge, "xenbr0");
	assert_string_equal(s.net.engine, "tap");
	assert_false(s.bdf_given);
	assert_null(s.net.tap);
	assert_null(s.net.script);
	assert_null(s.net.downscript);
	assert_null(s.net.ifname);
	assert_false(s.net.persist);
	assert_false(s.net.mac_given);
	assert_int_equal(s.net.mtu, 0);
	assert_int_equal(s.net.queues, 1);
	assert_int_equal(s.net.queue_size, 256);
	assert_int_equal(s.net.rate_bytes, 0);
	assert_int_equal(s.net.send_offloads, ALL);
	assert_int_equal(s.net.recv_offloads, ALL);
	devspec_fini(&s);
	assert_null(s.net.bridge);
	devspec_fini(&s);			/* twice is fine */
}

static void test_net_everything(void **state)
{
	static const uint8_t mac[] = { 0x00, 0x16, 0x3e, 0x01, 0xaB, 0x9 };
	struct devspec s = parse("net,downscript=/d,script=/s,ifname=a-b_c.d,"
				 "persist=on,queue_size=1024,queues=8,"
				 "rate=1MB/s@20ms,mtu=65535,"
				 "mac=00:16:3E:01:ab:9,bdf=00:10.2,bridge=b");

	(void)state;
	assert_true(s.bdf_given);
	assert_int_equal(s.devfn, DEVFN(0x10, 2));
	assert_string_equal(s.net.bridge, "b");
	assert_string_equal(s.net.script, "/s");
	assert_string_equal(s.net.downscript, "/d");
	assert_string_equal(s.net.ifname, "a-b_c.d");
	assert_true(s.net.persist);
	assert_true(s.net.mac_given);
	assert_memory_equal(s.net.mac, mac, 6);
	assert_int_equal(s.net.mtu, 65535);
	assert_int_equal(s.net.queues, 8);
	assert_int_equal(s.net.queue_size, 1024);
	assert_int_equal(s.net.rate_bytes, 1000000);
	assert_int_equal(s.net.rate_usecs, 20000);
	devspec_fini(&s);
}

static void test_net_words(void **state)
{
	struct devspec s;

	(void)state;
	s = parse("net,tap=tap123456789012,script=no,mtu=68,queue-size=2");
	assert_string_equal(s.net.tap, "tap123456789012");
	assert_string_equal(s.net.script, "no");
	assert_int_equal(s.net.mtu, 68);
	assert_int_equal(s.net.queue_size, 2);
	devspec_fini(&s);

	s = parse("net,engine=null,mac=fe:ff:ff:ff:ff:ff");
	assert_string_equal(s.net.engine, "null");
	assert_null(s.net.bridge);
	assert_int_equal(s.net.mac[0], 0xfe);
	devspec_fini(&s);

	s = parse("net,engine=tap,bridge=b,persist=off");
	assert_string_equal(s.net.engine, "tap");
	assert_false(s.net.persist);
	devspec_fini(&s);

	/* What Open vSwitch calls a bridge. */
	s = parse("net,bridge=ovsbr0.100:20:30-and-more,"
		  "script=vif-openvswitch");
	assert_string_equal(s.net.bridge, "ovsbr0.100:20:30-and-more");
	devspec_fini(&s);
}

static void test_net_rate(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		uint32_t usecs;
	} t[] = {
		{ "10Mb/s",		1250000,	50000 },
		{ "250KB/s",		250000,		50000 },
		{ "1MB/s@20ms",		1000000,	20000 },
		{ "1GB/s@1s",		1000000000,	1000000 },
		{ "8b/s@10000",		1,		10000 },
		{ "512B/s@7us",		512,		7 },
		{ "18446744073GB/s",	18446744073000000000ull, 50000 },
		{ "1B/s@4294967295us",	1,		4294967295 },
	};
	struct devspec s;
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(text, sizeof(text), "net,bridge=b,rate=%s",
			       t[i].text);
		s = parse(text);
		assert_int_equal(s.net.rate_bytes, t[i].bytes);
		assert_int_equal(s.net.rate_usecs, t[i].usecs);
		devspec_fini(&s);
	}
}

static void test_net_offloads(void **state)
{
	static const struct {
		const char *text;
		unsigned int send, recv;
	} t[] = {
		{ "csum=on,tso=on,uso=on",	ALL, ALL },
		{ "csum=off",			0, 0 },
		{ "csum=off,tso=off",		0, 0 },
		{ "tso=off",			NET_CSUM | USO, NET_CSUM | USO },
		{ "uso=off",			NET_CSUM | TSO, NET_CSUM | TSO },
		{ "tso=off,uso=off",		NET_CSUM, NET_CSUM },
		{ "guest_csum=off",		ALL, 0 },
		{ "guest-csum=off",		ALL, 0 },
		{ "csum=off,guest_csum=on",	0, ALL },
		{ "guest_csum=on,csum=off",	0, ALL },
		{ "guest_tso4=off",		ALL, ALL & ~NET_TSO4 },
		{ "guest_tso6=off",		ALL, ALL & ~NET_TSO6 },
		{ "guest_ecn=off",		ALL, ALL & ~NET_TSO_ECN },
		{ "guest_uso4=off",		ALL, ALL & ~NET_USO4 },
		{ "guest_uso6=off",		ALL, ALL & ~NET_USO6 },
		{ "host_tso4=off",		ALL & ~NET_TSO4, ALL },
		{ "host-tso6=off",		ALL & ~NET_TSO6, ALL },
		{ "host_ecn=off",		ALL & ~NET_TSO_ECN, ALL },
		{ "host_uso=off",		ALL & ~USO, ALL },
		{ "tso=off,host_tso4=on",	NET_CSUM | NET_TSO4 | USO,
						NET_CSUM | USO },
		{ "guest_csum=off,host_tso6=on", ALL, 0 },
		{ "tso=on,guest_tso4=off,guest_tso6=off,guest_ecn=off",
						ALL, NET_CSUM | USO },
	};
	struct devspec s;
	char text[128];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(text, sizeof(text), "net,bridge=b,%s",
			       t[i].text);
		s = parse(text);
		if (s.net.send_offloads != t[i].send ||
		    s.net.recv_offloads != t[i].recv)
			fail_msg("%s: %#x, %#x", text, s.net.send_offloads,
				 s.net.recv_offloads);
		devspec_fini(&s);
	}
}

/* ---- what is refused ---- */

#define KIND_USE	"is no kind of device: use blk,KEY=VALUE,... or " \
			"net,KEY=VALUE,..."
#define NET_KEYS	"bridge, tap, bdf, grants, pci-config, mac, mtu, queues, queue-size, " \
			"rate, script, downscript, ifname, persist, engine, " \
			"csum, tso, uso, guest_csum, guest_tso4, guest_tso6, " \
			"guest_ecn, guest_uso4, guest_uso6, host_tso4, "	\
			"host_tso6, host_ecn, host_uso"
#define NAME_LONG	"the name of an interface has at most 15 characters"
#define NAME_BAD	"no interface can have this name: use letters and " \
			"digits"
#define NAME_DASH	"a script could take this for an option: use a name " \
			"that begins otherwise"
#define NAME_ALL	"this name stands for all interfaces: use another"
#define SCRIPT_USE	"use the whole path, the name of one in " \
			"/etc/xen/scripts, or no"
#define ASCII		"use printable ASCII without spaces"
#define MAC_USE		"use six bytes, as in 00:16:3e:01:02:03"
#define RATE_USE	"use RATE/s or RATE/s@INTERVAL, as in 10Mb/s or " \
			"250KB/s@20ms"
#define NO_CABLE(key)	"engine=null has no cable; leave " key " out"
#define NO_CSUM(key)	key "='off': without checksums there are no " \
			"segments: leave out what switches "
#define KEYS		"path, bdf, grants, pci-config, grants-map, serial, readonly, cache, discard, "	\
			"block-size, queues, queue-size, engine, size, "	\
			"iops, iops-rd, iops-wr, iops-max, iops-rd-max, " \
			"iops-wr-max, bps, bps-rd, bps-wr, bps-max, "	\
			"bps-rd-max, bps-wr-max, burst-length"
#define IOPS_USE	"use requests a second, 1 to 1000000000"
#define BPS_USE		"use bytes a second, 1 to 16G, as in 100M"
#define BDF_USE		"use BUS:SLOT.FUNCTION, as in 00:18.0"
#define BDF_BUS		"only segment 0000 and bus 00 reach a guest: use " \
			"00:18.0 or alike"
#define BDF_BOARD	"slots 00 to 04 and 1f belong to the guest's own " \
			"board: use 00:05.0 to 00:1e.7"
#define SIZE_USE	"use bytes, a multiple of 512, or a number with k, " \
			"M, G or T, as in 10G"

static const struct {
	const char *text, *why;
} refused[] = {
	/* kind */
	{ "",			"'' " KIND_USE },
	{ "disk,path=/x",	"'disk' " KIND_USE },
	{ "path=/x",		"'path=/x' " KIND_USE },
	{ "Blk,path=/x",	"'Blk' " KIND_USE },
	{ "blk\n,path=/x",	"'blk\\x0a' " KIND_USE },

	/* keys */
	{ "blk,pth=/x",		"'pth' is no key of blk: use " KEYS },
	{ "blk,path=/x,=y",	"'' is no key of blk: use " KEYS },
	{ "blk,Path=/x",	"'Path' is no key of blk: use " KEYS },
	{ "blk,\x1b[2J=/x",	"'\\x1b[2J' is no key of blk: use " KEYS },
	{ "blk,readonly",	"'readonly' has no value: use readonly=VALUE" },
	{ "blk,path=/x,foo,serial=a",
				"'foo' has no value: use foo=VALUE" },
	{ "blk,",		"there is a comma too many before '': use "
				"KIND,KEY=VALUE,..." },
	{ "blk,,path=/x",	"there is a comma too many before ',path=/x': "
				"use KIND,KEY=VALUE,..." },
	{ "blk,path=/x,",	"there is a comma too many before '': use "
				"KIND,KEY=VALUE,..." },
	{ "blk,path=/x,path=/y", "path='/y': path is given twice" },
	{ "blk,cache=none,path=/x,cache=none",
				"cache='none': cache is given twice" },
	{ "blk,path=",		"path='': the value is missing" },
	{ "blk,path=/x,serial=,cache=none",
				"serial='': the value is missing" },
	{ "blk",		"path is missing: use path=FILE, as in "
				"blk,path=/dev/vg0/web1" },
	{ "blk,serial=a",	"path is missing: use path=FILE, as in "
				"blk,path=/dev/vg0/web1" },

	/* values */
	{ "blk,path=/x,serial=012345678901234567890",
		"serial='012345678901234567890': use at most 20 bytes of "
		"printable ASCII" },
	{ "blk,path=/x,serial=a\nb",
		"serial='a\\x0ab': use at most 20 bytes of printable ASCII" },
	{ "blk,path=/x,serial=\xc3\xa9",
		"serial='\xc3\xa9': use at most 20 bytes of printable ASCII" },
	{ "blk,path=/x,serial=\xc2\x9b""0\xe9",
		"serial='\\xc2\\x9b0\\xe9': use at most 20 bytes of "
		"printable ASCII" },
	{ "blk,path=/x,serial=\x7f",
		"serial='\\x7f': use at most 20 bytes of printable ASCII" },
	{ "blk,path=/x,readonly=yes",	"readonly='yes': use on or off" },
	{ "blk,path=/x,grants=on",
				"grants='on': use auto, require or off" },
	{ "net,bridge=b,grants=Require",
				"grants='Require': use auto, require or off" },
	{ "blk,path=/x,grants-map=0",
		"grants-map='0': use bytes, 1 to 2M, as in 64k" },
	{ "blk,path=/x,grants-map=2097153",
		"grants-map='2097153': use bytes, 1 to 2M, as in 64k" },
	{ "blk,path=/x,cache=directsync",
		"cache='directsync': use none, writeback or writethrough" },
	{ "blk,path=/x,engine=io_uring_",
		"engine='io_uring_': use uring or null" },
	{ "blk,path=/x,discard=true",
		"discard='true': use on (or unmap), or off (or ignore)" },
	{ "blk,path=/x,queues=0",	"queues='0': use 1 to 16" },
	{ "blk,path=/x,queues=17",	"queues='17': use 1 to 16" },
	{ "blk,path=/x,queues=-1",	"queues='-1': use 1 to 16" },
	{ "blk,path=/x,queues= 1",	"queues=' 1': use 1 to 16" },
	{ "blk,path=/x,queues=1x",	"queues='1x': use 1 to 16" },
	{ "blk,path=/x,queues=0x1",	"queues='0x1': use 1 to 16" },
	{ "blk,path=/x,queues=18446744073709551617",
		"queues='18446744073709551617': use 1 to 16" },
	{ "blk,path=/x,queue-size=1",
		"queue-size='1': use a power of two from 2 to 1024" },
	{ "blk,path=/x,queue-size=100",
		"queue-size='100': use a power of two from 2 to 1024" },
	{ "blk,path=/x,queue-size=2048",
		"queue-size='2048': use a power of two from 2 to 1024" },
	{ "blk,path=/x,queue-size=0",
		"queue-size='0': use a power of two from 2 to 1024" },
	{ "blk,path=/x,block-size=1024",
		"block-size='1024': use 512 or 4096" },
	{ "blk,path=/x,block-size=4k",	"block-size='4k': use 512 or 4096" },

	/* addresses */
	{ "blk,bdf=18",			"bdf='18': " BDF_USE },
	{ "blk,bdf=18.0",		"bdf='18.0': " BDF_USE },
	{ "blk,bdf=00:18",		"bdf='00:18': " BDF_USE },
	{ "blk,bdf=00:18.",		"bdf='00:18.': " BDF_USE },
	{ "blk,bdf=00:18.00",		"bdf='00:18.00': " BDF_USE },
	{ "blk,bdf=00:18.0 ",		"bdf='00:18.0 ': " BDF_USE },
	{ "blk,bdf=00:018.0",		"bdf='00:018.0': " BDF_USE },
	{ "blk,bdf=:18.0",		"bdf=':18.0': " BDF_USE },
	{ "blk,bdf=00:1g.0",		"bdf='00:1g.0': " BDF_USE },
	{ "blk,bdf=0000:0000:00:18.0",	"bdf='0000:0000:00:18.0': " BDF_USE },
	{ "blk,bdf=00000:00:18.0",	"bdf='00000:00:18.0': " BDF_USE },
	{ "blk,bdf=00.18:0",		"bdf='00.18:0': " BDF_USE },
	{ "blk,bdf=0001:00:18.0",	"bdf='0001:00:18.0': " BDF_BUS },
	{ "blk,bdf=01:18.0",		"bdf='01:18.0': " BDF_BUS },
	{ "blk,bdf=00:20.0",		"bdf='00:20.0': a bus has slots 00 to "
					"1f: use 00:05.0 to 00:1e.7" },
	{ "blk,bdf=00:18.8",		"bdf='00:18.8': a slot has functions 0 "
					"to 7" },
	{ "blk,bdf=00:00.0",		"bdf='00:00.0': " BDF_BOARD },
	{ "blk,bdf=00:04.7",		"bdf='00:04.7': " BDF_BOARD },
	{ "blk,bdf=00:1f.0",		"bdf='00:1f.0': " BDF_BOARD },

	/* size, and what goes with what */
	{ "blk,size=0",			"size='0': " SIZE_USE },
	{ "blk,size=511",		"size='511': " SIZE_USE },
	{ "blk,size=513",		"size='513': " SIZE_USE },
	{ "blk,size=1P",		"size='1P': " SIZE_USE },
	{ "blk,size=1GB",		"size='1GB': " SIZE_USE },
	{ "blk,size=G",			"size='G': " SIZE_USE },
	{ "blk,size=-1k",		"size='-1k': " SIZE_USE },
	{ "blk,size=1.5G",		"size='1.5G': " SIZE_USE },
	{ "blk,size=9223372036854775808",
		"size='9223372036854775808': " SIZE_USE },
	{ "blk,size=8388608T",
		"size='8388608T': use less than 8388608T" },
	{ "blk,size=9223372036854775807T",
		"size='9223372036854775807T': use less than 8388608T" },
	{ "blk,path=/x,size=1G",
		"size='1073741824': the image has its own size; use size only "
		"with engine=null" },
	{ "blk,engine=null",
		"size is missing: use size=BYTES with engine=null, as in "
		"size=10G" },
	{ "blk,engine=null,path=/x",
		"path='/x': engine=null has no image; use size instead" },
	{ "blk,engine=null,path=/x,size=1G",
		"path='/x': engine=null has no image; use size instead" },
	{ "blk,engine=null,size=1536,block-size=4096",
		"size='1536': use a multiple of block-size=4096" },

	/* limits */
	{ "blk,path=/x,iops=0",		"iops='0': " IOPS_USE },
	{ "blk,path=/x,iops=1k",	"iops='1k': " IOPS_USE },
	{ "blk,path=/x,iops-rd=-1",	"iops-rd='-1': " IOPS_USE },
	{ "blk,path=/x,iops_wr=",	"iops_wr='': the value is missing" },
	{ "blk,path=/x,iops-max=1000000001",
		"iops-max='1000000001': " IOPS_USE },
	{ "blk,path=/x,bps=0",		"bps='0': " BPS_USE },
	{ "blk,path=/x,bps=10MB",	"bps='10MB': " BPS_USE },
	{ "blk,path=/x,bps-wr=M",	"bps-wr='M': " BPS_USE },
	{ "blk,path=/x,bps-rd=17179869185",
		"bps-rd='17179869185': " BPS_USE },
	{ "blk,path=/x,bps-max=17G",	"bps-max='17G': " BPS_USE },
	{ "blk,path=/x,bps-max=8388608T", "bps-max='8388608T': " BPS_USE },
	{ "blk,path=/x,burst-length=0",
		"burst-length='0': use seconds, 1 to 86400" },
	{ "blk,path=/x,burst-length=86401",
		"burst-length='86401': use seconds, 1 to 86400" },
	{ "blk,path=/x,iops=5,iops-rd=3",
		"iops-rd='3': iops limits both ways together; use either "
		"iops, or iops-rd and iops-wr" },
	{ "blk,path=/x,bps-wr=1k,bps=1M",
		"bps-wr='1024': bps limits both ways together; use either "
		"bps, or bps-rd and bps-wr" },
	{ "blk,path=/x,iops-max=5",
		"iops-max='5': a burst goes beyond a limit; use iops, too" },
	{ "blk,path=/x,iops=5,iops-rd-max=9",
		"iops-rd-max='9': a burst goes beyond a limit; use iops-rd, "
		"too" },
	{ "blk,path=/x,iops=5,bps-wr-max=9",
		"bps-wr-max='9': a burst goes beyond a limit; use bps-wr, "
		"too" },
	{ "blk,path=/x,iops=5,iops-max=4",
		"iops-max='4': a burst is no slower than iops=5; use that or "
		"more" },
	{ "blk,path=/x,bps-rd=1M,bps-rd-max=1k",
		"bps-rd-max='1024': a burst is no slower than "
		"bps-rd=1048576; use that or more" },
	{ "blk,path=/x,iops=5,burst-length=3",
		"burst-length='3': there are no bursts; use it with iops-max "
		"or bps-max" },

	/* network cards: keys */
	{ "net",		"bridge is missing: use bridge=NAME or "
				"tap=NAME, as in net,bridge=xenbr0" },
	{ "net,mtu=1500",	"bridge is missing: use bridge=NAME or "
				"tap=NAME, as in net,bridge=xenbr0" },
	{ "net,path=/x",	"'path' is no key of net: use " NET_KEYS },
	{ "net,queue+size=2",	"'queue+size' is no key of net: use "
				NET_KEYS },
	{ "net,bridge=",	"bridge='': the value is missing" },
	{ "net,bridge=b,queue-size=4,queue_size=4",
				"queue_size='4': queue_size is given twice" },
	{ "net,bridge=b,csum=on,csum=on", "csum='on': csum is given twice" },
	{ "net,bridge=b,tap=t",	"tap='t': bridge is given, too; use one of "
				"them" },

	/* network cards: values */
	{ "net,tap=tap1234567890123",
				"tap='tap1234567890123': " NAME_LONG },
	{ "net,bridge=bridge1234567890",
				"bridge='bridge1234567890': " NAME_LONG },
	{ "net,script=no,bridge=bridge1234567890",
				"bridge='bridge1234567890': " NAME_LONG },
	{ "net,bridge=b,ifname=tap1234567890123",
				"ifname='tap1234567890123': " NAME_LONG },
	{ "net,bridge=b,ifname=tap%d", "ifname='tap%d': " NAME_BAD },
	{ "net,tap=../x",	"tap='../x': " NAME_BAD },
	{ "net,tap=..",		"tap='..': " NAME_BAD },
	{ "net,bridge=.",	"bridge='.': " NAME_BAD },
	{ "net,bridge=a:1",	"bridge='a:1': " NAME_BAD },
	{ "net,bridge=a b",	"bridge='a b': " ASCII },
	{ "net,bridge=-b",	"bridge='-b': " NAME_DASH },
	{ "net,bridge=--x,script=s", "bridge='--x': " NAME_DASH },
	{ "net,tap=-t",		"tap='-t': " NAME_DASH },
	{ "net,bridge=b,ifname=-", "ifname='-': " NAME_DASH },
	{ "net,bridge=b,ifname=all", "ifname='all': " NAME_ALL },
	{ "net,bridge=b,ifname=default", "ifname='default': " NAME_ALL },
	{ "net,bridge=all",	"bridge='all': " NAME_ALL },
	{ "net,tap=a\nb",	"tap='a\\x0ab': " ASCII },
	{ "net,bridge=b,mac=00:16:3e:01:02", "mac='00:16:3e:01:02': " MAC_USE },
	{ "net,bridge=b,mac=00:16:3e:01:02:03:04",
				"mac='00:16:3e:01:02:03:04': " MAC_USE },
	{ "net,bridge=b,mac=00-16-3e-01-02-03",
				"mac='00-16-3e-01-02-03': " MAC_USE },
	{ "net,bridge=b,mac=00:16:3e:01:02:003",
				"mac='00:16:3e:01:02:003': " MAC_USE },
	{ "net,bridge=b,mac=00:16::01:02:03",
				"mac='00:16::01:02:03': " MAC_USE },
	{ "net,bridge=b,mac=01:16:3e:01:02:03",
		"mac='01:16:3e:01:02:03': this is a multicast address, which "
		"no card can have: use an even first byte" },
	{ "net,bridge=b,mac=ff:ff:ff:ff:ff:ff",
		"mac='ff:ff:ff:ff:ff:ff': this is a multicast address, which "
		"no card can have: use an even first byte" },
	{ "net,bridge=b,mac=0:0:0:0:0:0",
		"mac='0:0:0:0:0:0': this address means none: use one as in "
		"00:16:3e:01:02:03" },
	{ "net,bridge=b,mtu=67",	"mtu='67': use 68 to 65535" },
	{ "net,bridge=b,mtu=65536",	"mtu='65536': use 68 to 65535" },
	{ "net,bridge=b,mtu=9k",	"mtu='9k': use 68 to 65535" },
	{ "net,bridge=b,queues=0",	"queues='0': use 1 to 8" },
	{ "net,bridge=b,queues=9",	"queues='9': use 1 to 8" },
	{ "net,bridge=b,queue-size=3",
		"queue-size='3': use a power of two from 2 to 1024" },
	{ "net,bridge=b,persist=yes",	"persist='yes': use on or off" },
	{ "net,bridge=b,csum=yes",	"csum='yes': use on or off" },
	{ "net,bridge=b,host_uso=1",	"host_uso='1': use on or off" },
	{ "net,bridge=b,engine=uring",	"engine='uring': use tap or null" },
	{ "net,bridge=b,rate=10",	"rate='10': " RATE_USE },
	{ "net,bridge=b,rate=10Mb",	"rate='10Mb': " RATE_USE },
	{ "net,bridge=b,rate=10mb/s",	"rate='10mb/s': " RATE_USE },
	{ "net,bridge=b,rate=Mb/s",	"rate='Mb/s': " RATE_USE },
	{ "net,bridge=b,rate=1.5Mb/s",	"rate='1.5Mb/s': " RATE_USE },
	{ "net,bridge=b,rate=1MB/s20ms", "rate='1MB/s20ms': " RATE_USE },
	{ "net,bridge=b,rate=1MB/s@",	"rate='1MB/s@': " RATE_USE },
	{ "net,bridge=b,rate=1MB/s@0",	"rate='1MB/s@0': " RATE_USE },
	{ "net,bridge=b,rate=1MB/s@1h",	"rate='1MB/s@1h': " RATE_USE },
	{ "net,bridge=b,rate=1MB/s@4295s", "rate='1MB/s@4295s': " RATE_USE },
	{ "net,bridge=b,rate=18446744074B/s",
				"rate='18446744074B/s': " RATE_USE },
	{ "net,bridge=b,rate=0Mb/s",	"rate='0Mb/s': use at least 1B/s" },
	{ "net,bridge=b,rate=7b/s",	"rate='7b/s': use at least 1B/s" },

	/* network cards: what goes with what */
	{ "net,engine=null,bridge=b",	"bridge='b': " NO_CABLE("bridge") },
	{ "net,engine=null,tap=t",	"tap='t': " NO_CABLE("tap") },
	{ "net,engine=null,script=no",	"script='no': " NO_CABLE("script") },
	{ "net,engine=null,downscript=/d",
				"downscript='/d': " NO_CABLE("downscript") },
	{ "net,engine=null,ifname=i",	"ifname='i': " NO_CABLE("ifname") },
	{ "net,engine=null,persist=on",	"persist='on': " NO_CABLE("persist") },
	{ "net,engine=null,rate=8Kb/s",	"rate='1000B/s': " NO_CABLE("rate") },
	{ "net,tap=t,ifname=i",	"ifname='i': tap 't' exists already; use "
				"ifname only with bridge" },
	{ "net,tap=t,persist=on", "persist='on': tap 't' exists already; use "
				"persist only with bridge" },
	{ "net,bridge=b,downscript=/d",
		"downscript='/d': it undoes what script does; use script, too" },
	{ "net,bridge=b,script=no,downscript=/d",
		"downscript='/d': it undoes what script does; use script, too" },
	{ "net,bridge=b,script=./s", "script='./s': " SCRIPT_USE },
	{ "net,bridge=b,script=../scripts/vif-bridge",
		"script='../scripts/vif-bridge': " SCRIPT_USE },
	{ "net,bridge=b,script=/s,downscript=d",
		"downscript='d': use the whole path, or no" },
	{ "net,bridge=b,csum=off,tso=on",	NO_CSUM("csum") "tso on" },
	{ "net,bridge=b,csum=off,host_uso=on",	NO_CSUM("csum") "uso on" },
	{ "net,bridge=b,guest_csum=off,guest_tso6=on",
						NO_CSUM("guest_csum") "tso on" },
};

static void test_refused(void **state)
{
	struct devspec spec, before;
	char why[512];
	size_t i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		memcpy(&spec, &before, sizeof(spec));
		strcpy(why, "(nothing)");
		if (devspec_parse(refused[i].text, &spec, why,
				  sizeof(why)) != -EINVAL)
			fail_msg("'%s' was accepted", refused[i].text);
		assert_string_equal(why, refused[i].why);
		assert_memory_equal(&spec, &before, sizeof(spec));
	}
}

/* A long value is cut in the message, and a message to fit its buffer. */
static void test_long(void **state)
{
	static char text[10000], why[512];
	struct devspec spec;

	(void)state;
	strcpy(text, "blk,cache=");
	memset(text + strlen(text), 'x', 9000);
	assert_int_equal(devspec_parse(text, &spec, why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "xxx...': use none, writeback or write"));
	assert_true(strlen(why) < 150);

	/* A script's bridge, at the limit and one above. */
	(void)snprintf(text, sizeof(text), "net,script=/s,bridge=%0255d", 0);
	assert_int_equal(devspec_parse(text, &spec, why, sizeof(why)), 0);
	assert_int_equal(strlen(spec.net.bridge), 255);
	devspec_fini(&spec);
	strcat(text, "0");
	assert_int_equal(devspec_parse(text, &spec, why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "000...': use at most 255 characters"));

	memset(text, 0, sizeof(text));
	strcpy(text, "blk,cache=");
	memset(text + 10, 1, 9000);
	assert_int_equal(devspec_parse(text, &spec, why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "\\x01...': use none, writeback"));

	memset(why, '#', sizeof(why));
	assert_int_equal(devspec_parse("blk,cache=x", &spec, why, 8), -EINVAL);
	assert_string_equal(why, "cache='");
	assert_int_equal(why[8], '#');
	memset(why, '#', sizeof(why));
	assert_int_equal(devspec_parse("blk,cache=x", &spec, why, 0), -EINVAL);
	assert_int_equal(why[0], '#');
}

/* ---- layers ---- */

#define LAYERS(...) \
	(const struct devspec_layer[]){ __VA_ARGS__ }, \
	sizeof((const struct devspec_layer[]){ __VA_ARGS__ }) / \
	sizeof(struct devspec_layer)

static struct devspec merge(const struct devspec_layer *layers, size_t count)
{
	struct devspec spec;
	char why[512] = "";

	if (devspec_merge(layers, count, &spec, why, sizeof(why)) != 0)
		fail_msg("%s: %s", layers[count - 1].text, why);
	return spec;
}

/* Later layers win, key by key, and a key of theirs may be spelt otherwise. */
static void test_layers(void **state)
{
	struct devspec s;

	(void)state;
	s = merge(LAYERS({ "blk,cache=writeback,queue-size=64,serial=d", "" },
			 { "blk,path=/x,,y,readonly=on,discard=on", "" },
			 { "blk,queue_size=128,serial=s,readonly=off", "" }));
	assert_string_equal(s.blk.path, "/x,y");
	assert_string_equal(s.blk.serial, "s");
	assert_int_equal(s.blk.cache, BLK_CACHE_WRITEBACK);
	assert_true(s.blk.cache_given);
	assert_int_equal(s.blk.queue_size, 128);
	assert_int_equal(s.blk.discard, 1);
	assert_false(s.blk.readonly);
	devspec_fini(&s);

	s = merge(LAYERS({ "net,tso=off,guest_tso4=on,bridge=b", NULL },
			 { "net", NULL }, { "net,tso=on,guest-tso4=off", NULL }));
	assert_int_equal(s.net.send_offloads, ALL);
	assert_int_equal(s.net.recv_offloads, ALL & ~NET_TSO4);
	devspec_fini(&s);
}

/* What makes no sense beside a later layer's key is gone. */
static void test_layers_contrary(void **state)
{
	struct devspec s;

	(void)state;
	s = merge(LAYERS({ "net,bridge=b,script=s,downscript=/d,ifname=i,"
			   "persist=on,mtu=9000", NULL },
			 { "net,tap=t", NULL }));
	assert_null(s.net.bridge);
	assert_null(s.net.script);
	assert_null(s.net.ifname);
	assert_false(s.net.persist);
	assert_string_equal(s.net.tap, "t");
	assert_int_equal(s.net.mtu, 9000);
	devspec_fini(&s);

	s = merge(LAYERS({ "net,tap=t", NULL }, { "net,bridge=b", NULL }));
	assert_null(s.net.tap);
	devspec_fini(&s);

	s = merge(LAYERS({ "net,bridge=b,script=s,ifname=i,persist=on,"
			   "downscript=/d,rate=1MB/s", NULL },
			 { "net,engine=null", NULL }));
	assert_null(s.net.bridge);
	assert_int_equal(s.net.rate_bytes, 0);
	devspec_fini(&s);

	s = merge(LAYERS({ "net,engine=null", NULL }, { "net,tap=t", NULL }));
	assert_string_equal(s.net.engine, "tap");
	devspec_fini(&s);
	s = merge(LAYERS({ "net,engine=null", NULL }, { "net,bridge=t", NULL }));
	assert_string_equal(s.net.engine, "tap");
	devspec_fini(&s);

	s = merge(LAYERS({ "net,bridge=b,script=s,downscript=/d", NULL },
			 { "net,script=no", NULL }));
	assert_null(s.net.downscript);
	devspec_fini(&s);

	s = merge(LAYERS({ "blk,engine=null,size=1G", NULL },
			 { "blk,path=/x", NULL }));
	assert_string_equal(s.blk.engine, "uring");
	assert_int_equal(s.blk.size, 0);
	devspec_fini(&s);
	s = merge(LAYERS({ "blk,path=/x", NULL },
			 { "blk,size=1G,engine=null", NULL }));
	assert_null(s.blk.path);
	assert_int_equal(s.blk.size, 1 << 30);
	devspec_fini(&s);
	s = merge(LAYERS({ "blk,engine=null,size=1G", NULL },
			 { "blk,engine=uring", NULL }, { "blk,path=/x", NULL }));
	assert_int_equal(s.blk.size, 0);
	devspec_fini(&s);
}

static void test_layers_refused(void **state)
{
	static const struct {
		struct devspec_layer layers[3];
		const char *why;
	} t[] = {
		{ { { "blk,queues=17", "f:3" }, { "blk,queues=1", NULL } },
		  "f:3: queues='17': use 1 to 16" },
		{ { { "blk,path=/x", "f:3" }, { "blk,queues=0", "stanza" } },
		  "stanza: queues='0': use 1 to 16" },
		{ { { "blk,path=/x", "f:3" }, { "net,queues=0", "f:4" } },
		  "f:4: 'net': this device is a blk" },
		{ { { "disk", "f:3" }, { "blk", "f:4" } },
		  "f:3: 'disk' " KIND_USE },
		{ { { "blk,path=/x", "f:3" },
		    { "blk,queue-size=2,queue_size=2", "f:4" } },
		  "f:4: queue_size='2': queue_size is given twice" },
		{ { { "blk", "f:3" }, { "blk,nope=1", "f:4" } },
		  "f:4: 'nope' is no key of blk: use " KEYS },
		{ { { "blk", "f:3" }, { "blk,", "f:4" } },
		  "f:4: there is a comma too many before '': use "
		  "KIND,KEY=VALUE,..." },
		/* Within a layer nothing gives way. */
		{ { { "net,mtu=9000", NULL }, { "net,bridge=b,tap=t", NULL } },
		  "tap='t': bridge is given, too; use one of them" },
		{ { { "blk", NULL }, { "blk,path=/x,engine=null", NULL } },
		  "path='/x': engine=null has no image; use size instead" },
		{ { { "blk,serial=s", "f:3" }, { "blk,queues=2", "f:4" } },
		  "f:4: path is missing: use path=FILE, as in "
		  "blk,path=/dev/vg0/web1" },
	};
	struct devspec spec, before;
	char why[512];
	size_t i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		memcpy(&spec, &before, sizeof(spec));
		strcpy(why, "(nothing)");
		assert_int_equal(devspec_merge(t[i].layers, 2, &spec, why,
					       sizeof(why)), -EINVAL);
		assert_string_equal(why, t[i].why);
		assert_memory_equal(&spec, &before, sizeof(spec));
	}

	/* An origin is cut to fit, too. */
	memset(why, '#', sizeof(why));
	assert_int_equal(devspec_merge(t[0].layers, 2, &spec, why, 4),
			 -EINVAL);
	assert_string_equal(why, "f:3");
	assert_int_equal(devspec_merge(t[0].layers, 2, &spec, why, 8),
			 -EINVAL);
	assert_string_equal(why, "f:3: qu");
	assert_int_equal(why[8], '#');
	memset(why, '#', sizeof(why));
	assert_int_equal(devspec_merge(t[0].layers, 2, &spec, why, 0),
			 -EINVAL);
	assert_int_equal(why[0], '#');
}

/* Good as far as it goes. */
static void test_check(void **state)
{
	enum devspec_kind kind = DEVSPEC_BLK;
	char why[512] = "";

	(void)state;
	assert_int_equal(devspec_check(&(struct devspec_layer){ "net", "f:1" },
				       &kind, why, sizeof(why)), 0);
	assert_int_equal(kind, DEVSPEC_NET);
	assert_int_equal(devspec_check(&(struct devspec_layer)
				       { "blk,cache=none", "f:1" },
				       &kind, why, sizeof(why)), 0);
	assert_int_equal(kind, DEVSPEC_BLK);
	assert_string_equal(why, "");
	assert_int_equal(devspec_check(&(struct devspec_layer)
				       { "net,mtu=1", "f:1" },
				       &kind, why, sizeof(why)), -EINVAL);
	assert_int_equal(kind, DEVSPEC_BLK);
	assert_string_equal(why, "f:1: mtu='1': use 68 to 65535");
}

static void test_cut(void **state)
{
	static const struct {
		const char *text, *value, *rest;
	} t[] = {
		{ "blk,vdev=xvdg",		"xvdg",	"blk" },
		{ "blk,vdev=xvdg,path=/x",	"xvdg",	"blk,path=/x" },
		{ "blk,path=/x,vdev=a,,b,serial=s", "a,,b", "blk,path=/x,serial=s" },
		{ "blk,vdev=,x=y",		"",	"blk,x=y" },
		{ "blk,vdev=a,vdev=b",		"a",	"blk,vdev=b" },
		{ "blk,,vdev=a",			"a",	"blk," },
		{ "blk,path=/x,,vdev=a",	NULL,	NULL },
		{ "blk,xvdev=a,vdevx=a,vdev",	NULL,	NULL },
		{ "vdev=a",			NULL,	NULL },
		{ "",				NULL,	NULL },
		{ ",",				NULL,	NULL },
		{ ",,",				NULL,	NULL },
	};
	char text[64], *value;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		strcpy(text, t[i].text);
		assert_int_equal(devspec_has_key(text, "vdev"), !!t[i].value);
		value = devspec_cut_key(text, "vdev");
		if (!t[i].value) {
			assert_null(value);
			assert_string_equal(text, t[i].text);
			continue;
		}
		assert_string_equal(value, t[i].value);
		assert_string_equal(text, t[i].rest);
		free(value);
	}
}

/* ---- addresses for a whole list ---- */

static void test_assign(void **state)
{
	struct devspec s[4] = {
		[1] = { .bdf_given = true, .devfn = DEVFN(0x18, 0) },
		[3] = { .bdf_given = true, .devfn = DEVFN(0x1a, 0) },
	};
	char why[256] = "";

	(void)state;
	assert_int_equal(devspec_assign(s, 0, why, sizeof(why)), 0);
	assert_int_equal(devspec_assign(s, 4, why, sizeof(why)), 0);
	assert_string_equal(why, "");
	assert_int_equal(s[0].devfn, DEVFN(0x19, 0));
	assert_int_equal(s[1].devfn, DEVFN(0x18, 0));
	assert_int_equal(s[2].devfn, DEVFN(0x1b, 0));
	assert_int_equal(s[3].devfn, DEVFN(0x1a, 0));
}

static void test_assign_twice(void **state)
{
	struct devspec s[4] = {
		[1] = { .bdf_given = true, .devfn = DEVFN(0x18, 0) },
		[2] = { .bdf_given = true, .devfn = DEVFN(0x18, 1) },
		[3] = { .bdf_given = true, .devfn = DEVFN(0x18, 1) },
	};
	char why[256];

	(void)state;
	assert_int_equal(devspec_assign(s, 4, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "bdf='00:18.1': devices 3 and 4 cannot both "
			    "be there");
	assert_int_equal(devspec_assign(s, 3, why, sizeof(why)), 0);
}

static void test_assign_functions(void **state)
{
	struct devspec s[2] = {
		{ .bdf_given = true, .devfn = 0x19 << 3 | 1 },
		{ .bdf_given = true, .devfn = 0x19 << 3 },
	};
	char why[256];

	(void)state;
	assert_int_equal(devspec_assign(s, 2, why, sizeof(why)), 0);
	assert_int_equal(devspec_assign(s, 1, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "bdf='00:19.1': no guest finds it without a "
			    "device at 00:19.0");
}

static void test_assign_full(void **state)
{
	struct devspec s[8] = { 0 };
	char why[256];
	unsigned int i;

	(void)state;
	assert_int_equal(devspec_assign(s, 7, why, sizeof(why)), 0);
	for (i = 0; i < 7; i++)
		assert_int_equal(s[i].devfn, DEVFN(0x18 + i, 0));
	assert_int_equal(devspec_assign(s, 8, why, sizeof(why)), -ENOSPC);
	assert_string_equal(why, "bdf is missing for device 8: slots 18 to 1e "
			    "are taken, use bdf=00:05.0 to 00:17.7");

	/* With an address of its own, the eighth fits. */
	s[7].bdf_given = true;
	s[7].devfn = DEVFN(0x17, 0);
	assert_int_equal(devspec_assign(s, 8, why, sizeof(why)), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_defaults),
	cmocka_unit_test(test_everything),
	cmocka_unit_test(test_words),
	cmocka_unit_test(test_limits),
	cmocka_unit_test(test_commas),
	cmocka_unit_test(test_bdf),
	cmocka_unit_test(test_size),
	cmocka_unit_test(test_grants),
	cmocka_unit_test(test_net_defaults),
	cmocka_unit_test(test_net_everything),
	cmocka_unit_test(test_net_words),
	cmocka_unit_test(test_net_rate),
	cmocka_unit_test(test_net_offloads),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_long),
	cmocka_unit_test(test_layers),
	cmocka_unit_test(test_layers_contrary),
	cmocka_unit_test(test_layers_refused),
	cmocka_unit_test(test_check),
	cmocka_unit_test(test_cut),
	cmocka_unit_test(test_assign),
	cmocka_unit_test(test_assign_twice),
	cmocka_unit_test(test_assign_functions),
	cmocka_unit_test(test_assign_full),
};

UNIT_MAIN(tests)
