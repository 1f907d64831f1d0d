/* SPDX-License-Identifier: MIT */
/*
 * test_xsnode.c: what libxl writes into a backend directory, and what a
 * careless hand might.  The result is a text in the device grammar, which is
 * read by that grammar's parser here as well.
 */
#include <errno.h>

#include "unit.h"
#include "util.h"
#include "xsnode.h"

#define SELF	"/local/domain/0/backend/"
#define FAR_TOO_LARGE	"99999999999999999999999999"

/* ---- paths ---- */

static const struct {
	const char		*path;
	struct xsnode_path	want;
} paths[] = {
	{ SELF "virtio_disk/5/51808", { XSNODE_DISK, 5, 51808 } },
	{ SELF "virtio_disk/5/51808/state", { XSNODE_DISK, 5, 51808 } },
	{ SELF "virtio_disk/5/51808/", { XSNODE_DISK, 5, 51808 } },
	{ SELF "virtio_disk/5/51808/a/b/c", { XSNODE_DISK, 5, 51808 } },
	{ SELF "virtio_disk/5/51808//", { XSNODE_DISK, 5, 51808 } },
	{ SELF "virtio/5/0", { XSNODE_VIRTIO, 5, 0 } },
	{ SELF "virtio/5/0/type", { XSNODE_VIRTIO, 5, 0 } },
	{ SELF "virtio/0/0", { XSNODE_VIRTIO, 0, 0 } },
	/* The largest of each: xvdq and later need more than 16 bits. */
	{ SELF "virtio_disk/65535/4294967295",
	  { XSNODE_DISK, 65535, 4294967295u } },
	{ SELF "virtio_disk/32751/268439552",
	  { XSNODE_DISK, 32751, 268439552 } },
};

static void test_path(void **state)
{
	struct xsnode_path got;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		memset(&got, 0xa5, sizeof(got));
		if (!xsnode_path_parse(paths[i].path, 0, &got))
			fail_msg("'%s' is refused", paths[i].path);
		assert_int_equal(got.class, paths[i].want.class);
		assert_int_equal(got.domid, paths[i].want.domid);
		assert_int_equal(got.devid, paths[i].want.devid);
	}
}

static const char *const no_paths[] = {
	"",
	"/",
	"@introduceDomain",
	"@releaseDomain",
	"/local/domain/",
	"/local/domain/0",
	"/local/domain/0/backend",
	SELF,
	SELF "virtio",
	SELF "virtio_disk",
	SELF "virtio_disk/",
	SELF "virtio_disk/5",
	SELF "virtio_disk/5/",
	SELF "virtio_disk//51808",
	SELF "virtio_disk/5//51808",
	SELF "virtio_disk/5/x",
	SELF "virtio_disk/x/51808",
	SELF "virtio_disk/5/51808x",
	SELF "virtio_disk/5x/51808",
	SELF "virtio_disk/5/51808.state",
	SELF "virtio_disk/5/0xca60",
	SELF "virtio_disk/5/-1",
	SELF "virtio_disk/5/+1",
	SELF "virtio_disk/5/ 1",
	SELF "virtio_disk/-5/1",
	SELF "virtio_disk/ 5/1",
	/* Numbers that do not fit. */
	SELF "virtio_disk/65536/51808",
	SELF "virtio_disk/4294967301/51808",	/* 5, in 32 bits */
	SELF "virtio_disk/18446744073709551621/51808",	/* in 64 */
	SELF "virtio_disk/" FAR_TOO_LARGE "/51808",
	SELF "virtio_disk/5/4294967296",
	SELF "virtio_disk/5/18446744073709551616",
	SELF "virtio_disk/5/" FAR_TOO_LARGE,
	/* Other kinds of backend, and others' backends. */
	SELF "vbd/5/51808",
	SELF "qdisk/5/51808",
	SELF "virtio_diskette/5/51808",
	SELF "virtio_dis/5/51808",
	SELF "virtio_/5/51808",
	SELF "virtios/5/0",
	SELF "Virtio/5/0",
	SELF "/virtio/5/0",
	"/local/domain/1/backend/virtio_disk/5/51808",
	"/local/domain/65536/backend/virtio_disk/5/51808",
	"/local/domain/4294967296/backend/virtio_disk/5/51808",
	"/local/domain/" FAR_TOO_LARGE "/backend/virtio_disk/5/51808",
	"/local/domain//backend/virtio_disk/5/51808",
	"/local/domain/backend/virtio_disk/5/51808",
	/* What the guest may write: its own half. */
	"/local/domain/5/device/virtio_disk/51808",
	"/local/domain/5/backend/virtio_disk/5/51808",
	"/local/domain/0/device/virtio_disk/51808",
	/* libxl's own notes. */
	"/libxl/5/device/virtio_disk/51808",
	/* Relative ones, and some that only end well. */
	"backend/virtio_disk/5/51808",
	"local/domain/0/backend/virtio_disk/5/51808",
	" " SELF "virtio_disk/5/51808",
	"/x" SELF "virtio_disk/5/51808",
};

static void test_no_path(void **state)
{
	struct xsnode_path got = { XSNODE_VIRTIO, 77, 78 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(no_paths); i++)
		if (xsnode_path_parse(no_paths[i], 0, &got))
			fail_msg("'%s' is taken", no_paths[i]);
	assert_int_equal(got.class, XSNODE_VIRTIO);	/* untouched */
	assert_int_equal(got.domid, 77);
	assert_int_equal(got.devid, 78);
}

/* In a driver domain, dom0's backends are somebody else's. */
static void test_path_of_driver_domain(void **state)
{
	struct xsnode_path got;

	(void)state;
	assert_true(xsnode_path_parse("/local/domain/3/backend/virtio/5/1", 3,
				      &got));
	assert_int_equal(got.domid, 5);
	assert_false(xsnode_path_parse(SELF "virtio/5/1", 3, &got));
	assert_false(xsnode_path_parse("/local/domain/33/backend/virtio/5/1",
				       3, &got));
	assert_false(xsnode_path_parse("/local/domain/3/backend/virtio/5/1",
				       33, &got));
}

static void test_path_print(void **state)
{
	static const struct {
		struct xsnode_path	path;
		uint32_t		self;
		const char		*want;
	} t[] = {
		{ { XSNODE_DISK, 5, 51808 }, 0, SELF "virtio_disk/5/51808" },
		{ { XSNODE_VIRTIO, 0, 0 }, 7,
		  "/local/domain/7/backend/virtio/0/0" },
		{ { XSNODE_DISK, 65535, 4294967295u }, 65535,
		  "/local/domain/65535/backend/virtio_disk/65535/4294967295" },
	};
	struct xsnode_path again;
	char text[96];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		xsnode_path_print(&t[i].path, t[i].self, text, sizeof(text));
		assert_string_equal(text, t[i].want);
		assert_true(xsnode_path_parse(text, t[i].self, &again));
		assert_int_equal(again.class, t[i].path.class);
		assert_int_equal(again.domid, t[i].path.domid);
		assert_int_equal(again.devid, t[i].path.devid);
	}
	xsnode_path_print(&t[0].path, 0, text, 8);
	assert_string_equal(text, "/local/");		/* cut */
}

/* ---- what is wanted ---- */

/* The keys of a stanza of disk=, as stock xl writes them on x86. */
#define DISK .params = "/dev/vg/web", .mode = "w", .dev = "xvdg",	\
	.discard = "1", .device_type = "disk", .type = "standalone",	\
	.transport = "mmio", .base = "0", .irq = "0"
/* And of virtio=; base is "%#x" there, which makes "0" of it. */
#define VIRTIO .transport = "mmio", .base = "0", .irq = "0"

static const char web_xvdg[] = "path=/dev/vg/web,serial=xvdg";

static const struct {
	enum xsnode_class	class;
	struct xsnode_values	values;
	enum devspec_kind	kind;
	const char		*vdev;
	const char		*text;
} wishes[] = {
	/* xl 4.17 to 4.20; grant_usage is no key of ours. */
	{ XSNODE_DISK, { DISK }, DEVSPEC_BLK, "xvdg", web_xvdg },
	{ XSNODE_DISK, { .params = "/x" }, DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .mode = "r" }, DEVSPEC_BLK, "",
	  "path=/x,readonly=on" },
	{ XSNODE_DISK, { .params = "/x", .mode = "w" }, DEVSPEC_BLK, "",
	  "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .device_type = "cdrom" },
	  DEVSPEC_BLK, "", "path=/x,readonly=on" },
	{ XSNODE_DISK, { .params = "/x", .device_type = "cdrom",
			 .mode = "r" }, DEVSPEC_BLK, "",
	  "path=/x,readonly=on" },
	{ XSNODE_DISK, { .params = "/x", .device_type = "cdrom",
			 .mode = "w" }, DEVSPEC_BLK, "",
	  "path=/x,readonly=on" },
	{ XSNODE_DISK, { .params = "/x", .device_type = "cdroms" },
	  DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .discard = "0" }, DEVSPEC_BLK, "",
	  "path=/x,discard=off" },
	{ XSNODE_DISK, { .params = "/x", .discard = "1" }, DEVSPEC_BLK, "",
	  "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .discard = "" }, DEVSPEC_BLK, "",
	  "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .mode = "r", .discard = "0",
			 .dev = "xvdh" }, DEVSPEC_BLK, "xvdh",
	  "path=/x,readonly=on,discard=off,serial=xvdh" },
	/* A serial has 20 bytes. */
	{ XSNODE_DISK, { .params = "/x", .dev = "12345678901234567890" },
	  DEVSPEC_BLK, "12345678901234567890",
	  "path=/x,serial=12345678901234567890" },
	{ XSNODE_DISK, { .params = "/x", .dev = "123456789012345678901" },
	  DEVSPEC_BLK, "", "path=/x" },
	/* Nothing gets out of the value that it is in. */
	{ XSNODE_DISK, { .params = "/a,readonly=on,b" }, DEVSPEC_BLK, "",
	  "path=/a,,readonly=on,,b" },
	{ XSNODE_DISK, { .params = "," }, DEVSPEC_BLK, "", "path=,," },
	{ XSNODE_DISK, { .params = "/x,," }, DEVSPEC_BLK, "", "path=/x,,,," },
	{ XSNODE_DISK, { .params = "/x;y=z" }, DEVSPEC_BLK, "",
	  "path=/x;y=z" },
	{ XSNODE_DISK, { .params = "/x", .dev = "x,size=1" }, DEVSPEC_BLK,
	  "x,size=1", "path=/x,serial=x,,size=1" },

	/* Where it is; and base and irq in every way to write nothing. */
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio", .base = "0x0",
			 .irq = "00" }, DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio", .base = "",
			 .irq = "" }, DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio",
			 .base = "0x0000000000000000" }, DEVSPEC_BLK, "",
	  "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "unknown", .base = "0",
			 .irq = "0" }, DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "pci" }, DEVSPEC_BLK,
	  "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "pci",
			 .bdf = "0000:00:18.0" }, DEVSPEC_BLK, "",
	  "bdf=0000:00:18.0,path=/x" },
	{ XSNODE_DISK, { .params = "/x", .transport = "pci", .base = "1",
			 .irq = "1", .bdf = "00:18.0" }, DEVSPEC_BLK, "",
	  "bdf=00:18.0,path=/x" },
	/* We write one ourselves: so it is no wish without "pci". */
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio",
			 .bdf = "0000:00:18.0" }, DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .bdf = "0000:00:18.0" },
	  DEVSPEC_BLK, "", "path=/x" },
	{ XSNODE_DISK, { .params = "/x", .backend_type = "standalone" },
	  DEVSPEC_BLK, "", "path=/x" },

	/* Cards, and disks of the virtio= list. */
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device1" }, DEVSPEC_NET,
	  "", "" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2" }, DEVSPEC_BLK,
	  "", "" },
	{ XSNODE_VIRTIO, { .type = "virtio,device1", .transport = "unknown",
			   .base = "0", .irq = "0" }, DEVSPEC_NET, "", "" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device0002" },
	  DEVSPEC_BLK, "", "" },
	{ XSNODE_VIRTIO, { .type = "virtio,device1", .transport = "pci",
			   .bdf = "0000:00:19.0",
			   .backend_type = "standalone" }, DEVSPEC_NET, "",
	  "bdf=0000:00:19.0" },
	{ XSNODE_VIRTIO, { .type = "virtio,device1;mtu=9000",
			   .transport = "pci", .bdf = "0000:00:19.0" },
	  DEVSPEC_NET, "", "bdf=0000:00:19.0,mtu=9000" },
	{ XSNODE_VIRTIO, { .type = "virtio,device1;", .transport = "pci",
			   .bdf = "0000:00:19.0" }, DEVSPEC_NET, "",
	  "bdf=0000:00:19.0" },
	/* Options behind the type. */
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device1;" }, DEVSPEC_NET,
	  "", "" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device1;bridge=br0" },
	  DEVSPEC_NET, "", "bridge=br0" },
	{ XSNODE_VIRTIO, { VIRTIO,
			   .type = "virtio,device1;bridge=br0;mtu=9000" },
	  DEVSPEC_NET, "", "bridge=br0,mtu=9000" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/x" },
	  DEVSPEC_BLK, "", "path=/x" },
	/* Two semicolons are one, as two commas are. */
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/a;;b" },
	  DEVSPEC_BLK, "", "path=/a;b" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/a;;" },
	  DEVSPEC_BLK, "", "path=/a;" },
	{ XSNODE_VIRTIO, { VIRTIO,
			   .type = "virtio,device2;path=/a;;;readonly=on" },
	  DEVSPEC_BLK, "", "path=/a;,readonly=on" },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/a;;;;b" },
	  DEVSPEC_BLK, "", "path=/a;;b" },
	/* xl itself stops at a comma; who writes one knows the grammar. */
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/a,,b" },
	  DEVSPEC_BLK, "", "path=/a,,b" },
	/* Keys of the other stanza are none of this one's. */
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2;path=/x",
			   .params = "/y", .mode = "r", .dev = "xvdg",
			   .discard = "0", .device_type = "cdrom" },
	  DEVSPEC_BLK, "", "path=/x" },
};

/* Return: what xsnode_parse() does; *ret and @why begin as rubbish. */
static int parse(enum xsnode_class class, const struct xsnode_values *values,
		 struct xsnode_wish *ret, char *why, size_t why_len)
{
	memset(ret, 'x', sizeof(*ret));
	memset(why, 'x', why_len);
	return xsnode_parse(class, values, ret, why, why_len);
}

static void test_wish(void **state)
{
	struct xsnode_wish wish;
	char why[512];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (parse(wishes[i].class, &wishes[i].values, &wish, why,
			  sizeof(why)) != 1)
			fail_msg("%zu ('%s'): %.511s", i, wishes[i].text, why);
		assert_string_equal(wish.text, wishes[i].text);
		assert_string_equal(wish.vdev, wishes[i].vdev);
		assert_int_equal(wish.kind, wishes[i].kind);
	}
}

/* Where libxl has told an Arm guest of a virtio-mmio device. */
static void test_mmio(void **state)
{
	static const struct {
		const char	*base;
		uint64_t	mmio;
	} t[] = {
		{ "33554432", 0x2000000 }, { "0x2000200", 0x2000200 },
		{ "34602496", 0x20ffe00 }, { "0", 0 },
	};
	struct xsnode_values v = { .params = "/x", .transport = "mmio",
				   .dev = "xvdg" };
	struct xsnode_wish wish;
	char why[512];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		v.base = t[i].base;
		v.irq = t[i].mmio ? "33" : "0";
		assert_int_equal(parse(XSNODE_DISK, &v, &wish, why,
				       sizeof(why)), 1);
		assert_true(wish.mmio == t[i].mmio);
	}
}

/* What the grammar makes of it is what was meant. */
static void test_wish_is_grammar(void **state)
{
	const struct xsnode_values values = {
		.params = "/vm,1;/a=b,,.img", .dev = "xvdg", .mode = "r",
		.discard = "0", .transport = "pci", .bdf = "0000:00:1b.1",
	};
	char text[XSNODE_TEXT_LEN + 8], why[512];
	struct xsnode_wish wish;
	struct devspec spec;

	(void)state;
	assert_int_equal(parse(XSNODE_DISK, &values, &wish, why,
			       sizeof(why)), 1);
	snprintf(text, sizeof(text), "blk,%s", wish.text);
	assert_int_equal(devspec_parse(text, &spec, why, sizeof(why)), 0);
	assert_string_equal(spec.blk.path, "/vm,1;/a=b,,.img");
	assert_string_equal(spec.blk.serial, "xvdg");
	assert_true(spec.blk.readonly);
	assert_int_equal(spec.blk.discard, 0);
	assert_true(spec.bdf_given);
	assert_int_equal(spec.devfn, 0x1b << 3 | 1);
	devspec_fini(&spec);
}

static const char mmio[] = "it is a virtio-mmio device";
static const char theirs[] = "backend_type is not 'standalone'";

static const struct {
	enum xsnode_class	class;
	struct xsnode_values	values;
	int			r;	/* 0: not ours */
	const char		*why;
} refused[] = {
	/* Arm's: libxl has placed it, for a virtio-mmio backend. */
	{ XSNODE_VIRTIO, { .type = "virtio,device1", .transport = "mmio",
			   .base = "0x2000000", .irq = "33" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio", .base = "0",
			 .irq = "33" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .transport = "mmio", .base = "0x01",
			 .irq = "0" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "1" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "33554176" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "33554433" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "34603008" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "-1" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "33554432 " }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .transport = "PCI", .base = "1" },
	  0, mmio },
	{ XSNODE_DISK, { .params = "/x", .transport = "pcie", .base = "1" },
	  0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "junk" }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .base = "0 " }, 0, mmio },
	{ XSNODE_DISK, { .params = "/x", .irq = "-0" }, 0, mmio },
	/* QEMU's, or whoever's, however wrong the rest is for us. */
	{ XSNODE_VIRTIO, { .type = "virtio,device", .transport = "pci",
			   .bdf = "0000:00:05.0", .backend_type = "qemu" },
	  0, theirs },
	{ XSNODE_DISK, { DISK, .backend_type = "qemu" }, 0, theirs },
	{ XSNODE_DISK, { DISK, .backend_type = "" }, 0, theirs },
	{ XSNODE_DISK, { DISK, .backend_type = "standalone2" }, 0, theirs },
	{ XSNODE_DISK, { .mode = "rw", .backend_type = "qemu" }, 0, theirs },

	{ XSNODE_DISK, { 0 }, -EINVAL,
	  "target is missing: use target=FILE" },
	{ XSNODE_DISK, { .params = "", .dev = "xvdg" }, -EINVAL,
	  "target is missing: use target=FILE" },
	{ XSNODE_DISK, { .params = "/x", .mode = "rw" }, -EINVAL,
	  "mode='rw': use r or w" },
	{ XSNODE_DISK, { .params = "/x", .mode = "" }, -EINVAL,
	  "mode='': use r or w" },
	{ XSNODE_DISK, { .params = "/x", .mode = "w!" }, -EINVAL,
	  "mode='w!': use r or w" },
	{ XSNODE_DISK, { .params = "/x", .mode = "w\n\033[31m" }, -EINVAL,
	  "mode='w\\x0a\\x1b[31m': use r or w" },

#define TYPE	": use virtio,device1 (a network card) or virtio,device2 (a disk)"
	{ XSNODE_VIRTIO, { VIRTIO }, -EINVAL, "type=''" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "" }, -EINVAL, "type=''" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "(null)" }, -EINVAL,
	  "type='(null)'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device" }, -EINVAL,
	  "type='virtio,device'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device;path=/x" }, -EINVAL,
	  "type='virtio,device;path=/x'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device4" }, -EINVAL,
	  "type='virtio,device4'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device1a" }, -EINVAL,
	  "type='virtio,device1a'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device12" }, -EINVAL,
	  "type='virtio,device12'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device0" }, -EINVAL,
	  "type='virtio,device0'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device00001" }, -EINVAL,
	  "type='virtio,device00001'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device10001" }, -EINVAL,
	  "type='virtio,device10001'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device-1" }, -EINVAL,
	  "type='virtio,device-1'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "Virtio,device1" }, -EINVAL,
	  "type='Virtio,device1'" TYPE },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio-net" }, -EINVAL,
	  "type='virtio-net'" TYPE },
#define AFTER	" follows the number: use virtio,device1;KEY=VALUE;..."
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device1,bridge=br0" },
	  -EINVAL, "type: ',bridge=br0'" AFTER },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2 " }, -EINVAL,
	  "type: ' '" AFTER },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2:path=/x" },
	  -EINVAL, "type: ':path=/x'" AFTER },
	{ XSNODE_VIRTIO, { VIRTIO, .type = "virtio,device2\t\n" }, -EINVAL,
	  "type: '\\x09\\x0a'" AFTER },
};

static void test_refused(void **state)
{
	struct xsnode_wish wish;
	char why[512];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		if (parse(refused[i].class, &refused[i].values, &wish, why,
			  sizeof(why)) != refused[i].r)
			fail_msg("%zu: not %d: %s", i, refused[i].r,
				 refused[i].why);
		assert_string_equal(why, refused[i].why);
	}
}

/* ---- long texts ---- */

static const char too_long[] = "it has more than 2048 bytes of options";
static char room[2 * XSNODE_TEXT_LEN];

/* Return: @n times @c, until the next call. */
static const char *many(char c, size_t n)
{
	memset(room, c, n);
	room[n] = '\0';
	return room;
}

/* The longest that has room is whole; one byte more, and it is refused. */
static void check_limit(enum xsnode_class class, const char **value, char c,
			size_t longest, const struct xsnode_values *values)
{
	struct xsnode_wish wish;
	char why[512];

	*value = many(c, longest);
	assert_int_equal(parse(class, values, &wish, why, sizeof(why)), 1);
	assert_true(strlen(wish.text) < XSNODE_TEXT_LEN);
	*value = many(c, longest + 1);
	assert_int_equal(parse(class, values, &wish, why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, too_long);
	*value = many(c, sizeof(room) - 1);
	assert_int_equal(parse(class, values, &wish, why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, too_long);
	assert_non_null(memchr(wish.text, '\0', sizeof(wish.text)));
}

static void test_long(void **state)
{
	struct xsnode_values disk = { .mode = "w" };
	struct xsnode_values bdf = { .params = "/x", .transport = "pci" };
	size_t most = XSNODE_TEXT_LEN - 1;

	(void)state;
	check_limit(XSNODE_DISK, &disk.params, 'p', most - strlen("path="),
		    &disk);
	check_limit(XSNODE_DISK, &disk.params, ',',
		    (most - strlen("path=")) / 2, &disk);
	/* What comes behind it counts, too. */
	disk.dev = "xvdg";
	check_limit(XSNODE_DISK, &disk.params, 'p',
		    most - strlen("path=,serial=xvdg"), &disk);
	check_limit(XSNODE_DISK, &bdf.bdf, '0',
		    most - strlen("bdf=,path=/x"), &bdf);
}

static void test_long_options(void **state)
{
	static const char begin[] = "virtio,device2;";
	const struct xsnode_values values = { .type = room };
	size_t most = XSNODE_TEXT_LEN - 1, n = strlen(begin);
	struct xsnode_wish wish;
	char why[512];

	(void)state;
	many('p', n + most);
	memcpy(room, begin, n);
	assert_int_equal(parse(XSNODE_VIRTIO, &values, &wish, why,
			       sizeof(why)), 1);
	assert_int_equal(strlen(wish.text), most);
	many('p', n + most + 1);
	memcpy(room, begin, n);
	assert_int_equal(parse(XSNODE_VIRTIO, &values, &wish, why,
			       sizeof(why)), -EINVAL);
	assert_string_equal(why, too_long);
}

/* Long values of other keys are shown in part, and do no harm. */
static void test_long_others(void **state)
{
	struct xsnode_values v = { .params = "/x" };
	struct xsnode_wish wish;
	char why[512];

	(void)state;
	v.mode = many('m', sizeof(room) - 1);
	assert_int_equal(parse(XSNODE_DISK, &v, &wish, why, sizeof(why)),
			 -EINVAL);
	assert_memory_equal(why, "mode='mmm", 9);
	assert_non_null(strstr(why, "...': use r or w"));
	v.mode = NULL;
	v.dev = many('d', sizeof(room) - 1);
	assert_int_equal(parse(XSNODE_DISK, &v, &wish, why, sizeof(why)), 1);
	assert_string_equal(wish.vdev, "");
	assert_string_equal(wish.text, "path=/x");
	v.type = many('t', sizeof(room) - 1);
	assert_int_equal(parse(XSNODE_VIRTIO, &v, &wish, why, sizeof(why)),
			 -EINVAL);
	assert_true(strlen(why) < 200);
	/* And a short line is no longer than asked for. */
	memset(why, 'x', sizeof(why));
	assert_int_equal(xsnode_parse(XSNODE_VIRTIO, &v, &wish, why, 8),
			 -EINVAL);
	assert_string_equal(why, "type='t");
}

/* ---- HVM guests ---- */

static void test_vdev_is_qemus(void **state)
{
	static const char *const qemus[] = {
		"xvda", "xvdb", "xvdc", "xvdd", "hda", "hdb", "hdc", "hdd",
		"xvda1", "hdd15", "sda", "sdb", "sde", "sdp", "sda1", "sdaa",
	};
	static const char *const ours[] = {
		"xvdg", "xvdh", "xvdz", "xvdaa", "xvdba", "xvddz", "hdg",
		"hdaa", "51712", "51808", "0xca60", "", "xvd", "hd", "xvd1",
		"xvdg1", "vda", "Xvda",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(qemus); i++)
		if (!xsnode_vdev_is_qemus(qemus[i]))
			fail_msg("%s", qemus[i]);
	for (i = 0; i < ARRAY_SIZE(ours); i++)
		if (xsnode_vdev_is_qemus(ours[i]))
			fail_msg("%s", ours[i]);
}

/* The other way to write them, see xen-vbd-interface(7). */
static void test_vdev_by_number(void **state)
{
	static const char *const qemus[] = {
		"d0p0", "d3p0", "d0p1", "d3p15", "d0x2p0",
	};
	static const char *const ours[] = {
		"d4p0", "d6p0", "d30p0", "d0", "dp0", "d0q0", "d", "d-1p0",
		"d4294967296p0", "d99999999999999999999999p0",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(qemus); i++)
		if (!xsnode_vdev_is_qemus(qemus[i]))
			fail_msg("%s", qemus[i]);
	for (i = 0; i < ARRAY_SIZE(ours); i++)
		if (xsnode_vdev_is_qemus(ours[i]))
			fail_msg("%s", ours[i]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_path),
	cmocka_unit_test(test_no_path),
	cmocka_unit_test(test_path_of_driver_domain),
	cmocka_unit_test(test_path_print),
	cmocka_unit_test(test_wish),
	cmocka_unit_test(test_mmio),
	cmocka_unit_test(test_wish_is_grammar),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_long),
	cmocka_unit_test(test_long_options),
	cmocka_unit_test(test_long_others),
	cmocka_unit_test(test_vdev_is_qemus),
	cmocka_unit_test(test_vdev_by_number),
};

UNIT_MAIN(tests)
