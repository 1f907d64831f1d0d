/* SPDX-License-Identifier: MIT */
/*
 * test_config.c: the configuration file.  What it makes of devices, layer by
 * layer; every mistake in it with the line that the operator reads; files
 * that are none; and that a bad file does not spoil the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "config.h"
#include "unit.h"
#include "util.h"

static char path[64];
static char why[1024];

static void write_file(const char *text, size_t len)
{
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/xvd-config-%d", getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	(void)close(fd);
}

static void write_string(const char *text)
{
	write_file(text, strlen(text));
}

static struct config *load(const char *text)
{
	struct config *config = NULL;

	write_string(text);
	strcpy(why, "");
	if (config_load(path, &config, why, sizeof(why)) != 0)
		fail_msg("%s: %s", text, why);
	assert_string_equal(why, "");
	(void)unlink(path);
	return config;
}

/* @expected: what follows the file's name. */
static void assert_refused(int r, int error, const char *expected)
{
	assert_int_equal(r, error);
	assert_memory_equal(why, path, strlen(path));
	assert_string_equal(why + strlen(path), expected);
}

static struct devspec blk(const struct config *c, const char *guest,
			  const char *vdev, const char *stanza)
{
	struct devspec s;

	if (config_blk(c, guest, vdev, stanza, &s, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	assert_int_equal(s.kind, DEVSPEC_BLK);
	return s;
}

static struct devspec net(const struct config *c, const char *guest,
			  unsigned int number, const char *stanza)
{
	struct devspec s;

	if (config_virtio(c, guest, number, DEVSPEC_NET, stanza, &s, why,
			  sizeof(why)) != 0)
		fail_msg("%s", why);
	assert_int_equal(s.kind, DEVSPEC_NET);
	return s;
}

/* ---- what is accepted ---- */

static void assert_default(const struct config *c)
{
	assert_null(c->blk.text);
	assert_null(c->net.text);
	assert_int_equal(c->uid_base, 2147418112);
	assert_true(c->sandbox);
	assert_null(c->control_group);
	assert_int_equal(c->nguests, 0);
}

static void test_empty(void **state)
{
	static const char *const texts[] = {
		"", "\n", "# nothing\n", "#", "/* a\n */ // b", " \t\r\n\n",
	};
	struct config *c;
	size_t i;

	(void)state;
	c = config_new_default();
	assert_default(c);
	config_free(c);
	config_free(NULL);
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		c = load(texts[i]);
		assert_default(c);
		assert_null(config_guest(c, "web1"));
		assert_int_equal(config_extra_count(c, "web1"), 0);
		config_free(c);
	}
}

static const char example[] =
	"# defaults\n"
	"guest \"web1\" {\n"
	"	device = { \"blk,vdev=xvdg,serial=web1,cache=writeback\",\n"
	"		   'net,virtio=0,bridge=xenbr1,mac=00:16:3e:1:2:3',\n"
	"		   \"blk,path=/dev/vg0/scratch\", /* one more */\n"
	"		   \"net,virtio=12,queues=4\", }\n"
	"	device += { \"net,tap=t\" }\n"
	"}\n"
	"guest web2 {\n"
	"}\n"
	"guest db { device = \"blk,virtio=0,readonly=on\" }\n"
	"blk = \"cache=none,queues=2\" // for all\n"
	"net = \"bridge=xenbr0,queues=2\"\n"
	"uid-base = 100000\n"
	"sandbox = off\n"
	"control-group = \"xen\"\n";

static void test_everything(void **state)
{
	struct config *c = load(example);
	const struct config_guest *g;
	char origin[80];

	(void)state;
	assert_string_equal(c->blk.text, "blk,cache=none,queues=2");
	assert_string_equal(c->net.text, "net,bridge=xenbr0,queues=2");
	assert_int_equal(c->uid_base, 100000);
	assert_false(c->sandbox);
	assert_string_equal(c->control_group, "xen");
	assert_int_equal(c->nguests, 3);

	g = config_guest(c, "web1");
	assert_ptr_equal(g, &c->guests[0]);
	assert_int_equal(g->ndevices, 5);
	assert_int_equal(g->devices[0].use, CONFIG_VDEV);
	assert_string_equal(g->devices[0].vdev, "xvdg");
	assert_string_equal(g->devices[0].text, "blk,serial=web1,cache=writeback");
	assert_int_equal(g->devices[3].use, CONFIG_VIRTIO);
	assert_int_equal(g->devices[3].virtio, 12);
	assert_int_equal(g->devices[4].use, CONFIG_EXTRA);
	(void)snprintf(origin, sizeof(origin), "%s:7", path);
	assert_string_equal(g->devices[4].origin, origin);
	(void)snprintf(origin, sizeof(origin), "%s:12", path);
	assert_string_equal(c->blk.origin, origin);
	assert_int_equal(config_guest(c, "web2")->ndevices, 0);
	assert_null(config_guest(c, "web"));
	config_free(c);
}

static void test_layers(void **state)
{
	struct config *c = load(example);
	struct devspec s;

	(void)state;
	/* defaults, stanza, entry */
	s = blk(c, "web1", "xvdg", "path=/x,,y,readonly=on,discard=off");
	assert_string_equal(s.blk.path, "/x,y");
	assert_true(s.blk.readonly);
	assert_int_equal(s.blk.discard, 0);
	assert_string_equal(s.blk.serial, "web1");
	assert_int_equal(s.blk.cache, BLK_CACHE_WRITEBACK);
	assert_int_equal(s.blk.queues, 2);
	devspec_fini(&s);

	/* no entry */
	s = blk(c, "web1", "xvdh", "path=/x,queues=3");
	assert_null(s.blk.serial);
	assert_int_equal(s.blk.cache, BLK_CACHE_NONE);
	assert_true(s.blk.cache_given);
	assert_int_equal(s.blk.queues, 3);
	devspec_fini(&s);
	s = blk(c, "web2", "xvdg", "path=/x");
	assert_null(s.blk.serial);
	devspec_fini(&s);
	s = blk(c, "other", NULL, "path=/x");
	assert_int_equal(s.blk.queues, 2);
	devspec_fini(&s);

	s = net(c, "web1", 0, "bridge=stanza,mtu=9000");
	assert_string_equal(s.net.bridge, "xenbr1");
	assert_true(s.net.mac_given);
	assert_int_equal(s.net.mtu, 9000);
	assert_int_equal(s.net.queues, 2);
	devspec_fini(&s);
	s = net(c, "web1", 1, "");
	assert_string_equal(s.net.bridge, "xenbr0");
	assert_false(s.net.mac_given);
	devspec_fini(&s);
	s = net(c, "web1", 12, NULL);
	assert_int_equal(s.net.queues, 4);
	devspec_fini(&s);
	config_free(c);
}

static void test_names_vdev(void **state)
{
	struct config *c = load("guest \"a\" { device = { \"blk,vdev=xvdg\", "
				"\"blk,path=/x\" } }\n");

	(void)state;
	assert_true(config_names_vdev(c, "a", "xvdg"));
	assert_false(config_names_vdev(c, "a", "xvdh"));
	assert_false(config_names_vdev(c, "a", ""));
	assert_false(config_names_vdev(c, "b", "xvdg"));
	config_free(c);
}

static void test_virtio_blk(void **state)
{
	struct config *c = load(example);
	struct devspec s;

	(void)state;
	assert_int_equal(config_virtio(c, "db", 0, DEVSPEC_BLK, "path=/x", &s,
				       why, sizeof(why)), 0);
	assert_true(s.blk.readonly);
	assert_int_equal(s.blk.queues, 2);
	devspec_fini(&s);

	/* The stanza's kind is not the entry's. */
	assert_refused(config_virtio(c, "db", 0, DEVSPEC_NET, NULL, &s, why,
				     sizeof(why)), -EINVAL,
		       ":11: 'blk': this device is a net");
	config_free(c);
}

static void test_extra(void **state)
{
	struct config *c = load(example);
	struct devspec s;

	(void)state;
	assert_int_equal(config_extra_count(c, "web1"), 2);
	assert_int_equal(config_extra_count(c, "web2"), 0);
	assert_int_equal(config_extra_count(c, "db"), 0);
	assert_int_equal(config_extra(c, "web1", 0, &s, why, sizeof(why)), 0);
	assert_string_equal(s.blk.path, "/dev/vg0/scratch");
	assert_int_equal(s.blk.queues, 2);
	devspec_fini(&s);
	/* A tap, and not the defaults' bridge. */
	assert_int_equal(config_extra(c, "web1", 1, &s, why, sizeof(why)), 0);
	assert_string_equal(s.net.tap, "t");
	assert_null(s.net.bridge);
	assert_int_equal(s.net.queues, 2);
	devspec_fini(&s);
	config_free(c);
}

static void test_attach(void **state)
{
	struct config *c = load(example);
	struct devspec s;

	(void)state;
	assert_int_equal(config_attach(c, "net", &s, why, sizeof(why)), 0);
	assert_string_equal(s.net.bridge, "xenbr0");
	devspec_fini(&s);
	assert_int_equal(config_attach(c, "blk,path=/x,queues=1", &s, why,
				       sizeof(why)), 0);
	assert_int_equal(s.blk.cache_given, 1);
	assert_int_equal(s.blk.queues, 1);
	devspec_fini(&s);

	assert_int_equal(config_attach(c, "blk", &s, why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, "path is missing: use path=FILE, as in "
			    "blk,path=/dev/vg0/web1");
	assert_int_equal(config_attach(c, "blk,vdev=xvda", &s, why,
				       sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "'vdev' is no key of blk: use path, "));
	assert_int_equal(config_attach(c, "disk", &s, why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "'disk' is no kind of device: use blk"));
	config_free(c);
}

static void test_stanza_refused(void **state)
{
	struct config *c = load(example);
	struct devspec s;

	(void)state;
	assert_int_equal(config_blk(c, "web1", "xvdg", "path=/x,queues=0", &s,
				    why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "stanza: queues='0': use 1 to 16");
	assert_int_equal(config_blk(c, "web1", "xvda", NULL, &s, why,
				    sizeof(why)), -EINVAL);
	assert_string_equal(why, "stanza: path is missing: use path=FILE, as "
			    "in blk,path=/dev/vg0/web1");
	config_free(c);
}

/* What the text says, and where, whatever is around it. */
static void test_strings(void **state)
{
	static const struct {
		const char *text, *device;
		unsigned int line;
	} t[] = {
		{ "\"blk,path=/a#b\"",		"blk,path=/a#b", 1 },
		{ "\"blk,path=/a//b\"",		"blk,path=/a//b", 1 },
		{ "\"blk,path=/a/*b*/\"",	"blk,path=/a/*b*/", 1 },
		{ "\"blk,path=/{a}\"",		"blk,path=/{a}", 1 },
		{ "\"blk,path=/'a\"",		"blk,path=/'a", 1 },
		{ "'blk,path=/\"a'",		"blk,path=/\"a", 1 },
		{ "\"blk,path=/\\\"\\\\\\$a\"",	"blk,path=/\"\\$a", 1 },
		{ "\"blk,path=/\\${a}\"",	"blk,path=/${a}", 1 },
		{ "'blk,path=/${a}\\'\\\\\\n'",	"blk,path=/${a}'\\\\n", 1 },
		{ "\"blk,\\\npath=/a\"",	"blk,path=/a", 2 },
		{ "\"blk,path=/\xc3\xa9\"",	"blk,path=/\xc3\xa9", 1 },
		{ "/* a\n */ // b\n # c\n /* d */ \"blk,path=/a\"",
						"blk,path=/a", 4 },
		{ "{ #}\n \"blk,path=/a\" }",	"blk,path=/a", 2 },
		{ "\r\n\"blk,path=/a\"\r\n",	"blk,path=/a", 2 },
	};
	const struct config_device *d;
	char text[128], origin[80];
	struct config *c;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(text, sizeof(text), "guest g { device = %s }",
			       t[i].text);
		c = load(text);
		assert_int_equal(c->nguests, 1);
		assert_int_equal(c->guests[0].ndevices, 1);
		d = &c->guests[0].devices[0];
		assert_string_equal(d->text, t[i].device);
		(void)snprintf(origin, sizeof(origin), "%s:%u", path,
			       t[i].line);
		assert_string_equal(d->origin, origin);
		config_free(c);
	}
}

/* ---- what is refused ---- */

#define DEVICE(x)	"guest g { device = { " x " } }"
#define NAMES		"this is no name here: use blk, net, uid-base, " \
			"sandbox, control-group or guest"
#define PLACE		"this is out of place: use NAME = VALUE, with VALUE " \
			"in quotes, or guest \"NAME\" { ... }"
#define VARIABLE	"'${': no variables are known here: write the value " \
			"itself, or \\${ in a string if this is part of it"
#define ESCAPE		"in a string: use \\\\, \\\" or \\$"
#define PATH_MISSING	"path is missing: use path=FILE, as in " \
			"blk,path=/dev/vg0/web1"
#define SINGLE(kind, key) kind ": " key " is for one device, and these are " \
			"defaults: use it in a guest's device list"
#define VDEV_USE	"use a disk's name as in its stanza, such as xvda"
#define VIRTIO_USE	"use 0 for the first in the list, up to 1023"
#define GROUP_USE	"use the name of a group"
#define ENDS		"the file ends in the middle of something: use " \
			"NAME = VALUE"

static const struct {
	const char *text, *why;
} refused[] = {
	/* names */
	{ "\n\ndisk = 1",	":3: 'disk': " NAMES },
	{ "# a\n/* b */\n/* c\n */ disk = 1", ":4: 'disk': " NAMES },
	{ "uid_base = 1",	":1: 'uid_base': " NAMES },
	{ "include(\"/etc/passwd\")", ":1: 'include': " NAMES },
	{ "device = { \"blk,path=/x\" }", ":1: 'device': " NAMES },
	{ "\"guest|device\" = \"blk,path=/x\"", ":1: 'guest': " NAMES },
	{ "guest web1 { }\n\"guest=web1|device\" = \"blk,path=/x\"",
		":2: 'device': use it inside guest \"NAME\" { ... }" },
	{ "guest g {\nnet = 1 }",
		":2: 'net': this is no name in a guest: use device" },
	{ "guest h { }\n\"guest=g|device\" = \"blk,path=/x\"",
		":2: 'g': " NAMES },
	{ "\"blk|x\" = 1",	":1: 'blk': " NAMES },
	{ "\n\"\" = 1",	":2: '': " NAMES },
	{ "\"\x1b[2J\" = 1",	":1: '\\x1b[2J': " NAMES },

	/* syntax */
	{ "blk \"cache=none\"",	":1: 'blk': use '= VALUE' behind it" },
	{ "blk = ",		":1: " ENDS },
	{ "blk",		":1: " ENDS },
	{ "blk = { \"cache=none\" }", ":1: '{': " PLACE },
	{ "= 1",		":1: '=': " PLACE },
	{ "\nblk = = 1",	":2: '=': " PLACE },
	{ "guest",		":1: " ENDS },
	{ "guest { }",		":1: 'guest': a name is missing: use guest "
				"\"NAME\" { ... }" },
	{ "guest g device",	":1: 'guest': a '{' is missing: use guest "
				"\"NAME\" { ... }" },
	{ "guest \"\" { }",	":1: guest '': the name is missing: use guest "
				"\"NAME\" { ... }" },
	{ "guest g { }\n}",	":2: this '}' ends nothing: leave it out" },
	{ "guest g {\n\n",	":1: this '{' has no end: use }" },
	{ "guest g {\ndevice = { \"a\", \n}\n", ":1: this '{' has no end: use }" },
	{ DEVICE("{"),		":1: '{': this is one too many; leave it out" },
	{ DEVICE("\"blk,path=/x\" \"blk,path=/y\""), ":1: 'blk,path=/y': " PLACE },
	{ "guest g { }\nguest h { }\nguest g { }",
		":3: 'g': this guest is there already: put all of its devices "
		"in one place" },
	{ "net += \"mtu=1500\"", ":1: 'net': there is one value only: use = "
				"instead of +=" },
	{ "net = \"mtu=1500\"\nnet = \"mtu=1501\"",
		":2: 'net' is set twice: use it once" },
	{ "guest g { device = { \"blk,path=/x\" }\ndevice = \"net\" }",
		":2: 'device' is set twice: use one list, or +=" },
	{ "\nguest g {\ndevice = { \"blk,path=/x\" } device = { } }",
		":3: 'device' is set twice: use one list, or +=" },

	/* strings and comments */
	{ "\n\"",		":2: this string has no end: use \"" },
	{ "blk = \"cache=none\nnet = ", ":1: this string has no end: use \"" },
	{ "blk = 'cache=none\n", ":1: this string has no end: use '" },
	{ "blk = \"cache=none\\", ":1: this string has no end: use \"" },
	{ "\n/* blk = 1",	":2: this comment has no end: use */" },
	{ "/*/ blk = 1",	":1: this comment has no end: use */" },
	{ "\nblk = \"cache=${HOME}\"",	":2: " VARIABLE },
	{ "blk = ${HOME}",	":1: " VARIABLE },
	{ "blk = a${HOME}",	":1: " VARIABLE },
	{ "blk = \"\\\\${HOME}\"", ":1: " VARIABLE },
	{ "blk = \"cache=\\x00\"", ":1: '\\x' " ESCAPE },
	{ "blk = \"cache=\\777\"", ":1: '\\7' " ESCAPE },
	{ "blk = \"cache=\\9\"", ":1: '\\9' " ESCAPE },
	{ "blk = \"cache=\\\x01\"", ":1: '\\\\x01' " ESCAPE },

	/* values */
	{ "uid-base = 0",	":1: uid-base='0': use 1 to 2147418112" },
	{ "uid-base = 2147418113",
		":1: uid-base='2147418113': use 1 to 2147418112" },
	{ "uid-base = 0x10",	":1: uid-base='0x10': use 1 to 2147418112" },
	{ "uid-base = \"\"",	":1: uid-base='': use 1 to 2147418112" },
	{ "sandbox = yes",	":1: sandbox='yes': use on or off" },
	{ "control-group = \"\"", ":1: control-group='': " GROUP_USE },
	{ "control-group = \"a b\"", ":1: control-group='a b': " GROUP_USE },
	{ "control-group = -a",	":1: control-group='-a': " GROUP_USE },
	{ "control-group = a12345678901234567890123456789012",
		":1: control-group='a12345678901234567890123456789012': "
		GROUP_USE },
	{ "control-group = \"\n\"", ":2: control-group='\\x0a': " GROUP_USE },

	/* defaults */
	{ "\nblk = \"cache=fast\"", ":2: cache='fast': use none, writeback or "
				"writethrough" },
	{ "net = \"queues=2,queues=3\"", ":1: queues='3': queues is given twice" },
	{ "net = \"net,queues=2\"", ":1: 'net' has no value: use net=VALUE" },
	{ "blk = \"path=/x\"",	":1: " SINGLE("blk", "path") },
	{ "blk = \"bdf=00:18.0\"", ":1: " SINGLE("blk", "bdf") },
	{ "net = \"queues=2,tap=t\"", ":1: " SINGLE("net", "tap") },
	{ "net = \"mac=00:16:3e:1:2:3\"", ":1: " SINGLE("net", "mac") },
	{ "net = \"ifname=i\"",	":1: " SINGLE("net", "ifname") },

	/* devices */
	{ DEVICE("\"\""),	":1: '' is no kind of device: use "
				"blk,KEY=VALUE,... or net,KEY=VALUE,..." },
	{ DEVICE("\"net,bridge=b\",\n\"blk\""), ":2: " PATH_MISSING },
	{ DEVICE("\"blk,path=/x,vdve=xvda\""),
		":1: 'vdve' is no key of blk: use path, bdf, grants, pci-config, grants-map, serial, readonly, "
		"cache, discard, block-size, queues, queue-size, engine, size, "
		"iops, iops-rd, iops-wr, iops-max, iops-rd-max, iops-wr-max, "
		"bps, bps-rd, bps-wr, bps-max, bps-rd-max, bps-wr-max, "
		"burst-length" },
	{ DEVICE("\"blk,path=/x,queues=99\""), ":1: queues='99': use 1 to 16" },
	{ DEVICE("\"net\""),	":1: bridge is missing: use bridge=NAME or "
				"tap=NAME, as in net,bridge=xenbr0" },

	/* stanzas */
	{ DEVICE("\"blk,vdev=\""),	":1: vdev='': " VDEV_USE },
	{ DEVICE("\"blk,vdev=XVDA\""),	":1: vdev='XVDA': " VDEV_USE },
	{ DEVICE("\"blk,vdev=a/b\""),	":1: vdev='a/b': " VDEV_USE },
	{ DEVICE("\"blk,vdev=x123456789012345\""),
		":1: vdev='x123456789012345': " VDEV_USE },
	{ DEVICE("\"net,virtio=\""),	":1: virtio='': " VIRTIO_USE },
	{ DEVICE("\"net,virtio=-1\""),	":1: virtio='-1': " VIRTIO_USE },
	{ DEVICE("\"net,virtio=1024\""), ":1: virtio='1024': " VIRTIO_USE },
	{ DEVICE("\"net,virtio=a\""),	":1: virtio='a': " VIRTIO_USE },
	{ DEVICE("\"blk,vdev=a,virtio=0\""),
		":1: vdev and virtio are both given: use one of them" },
	{ DEVICE("\"blk,vdev=a,vdev=b\""), ":1: vdev is given twice" },
	{ DEVICE("\"blk,virtio=1,virtio=1\""), ":1: virtio is given twice" },
	{ DEVICE("\"net,vdev=xvda\""),
		":1: vdev='xvda': only a blk has it; use virtio=NUMBER for a "
		"net" },
	{ DEVICE("\"blk,vdev=xvda,path=/x\""),
		":1: path: the stanza of vdev 'xvda' has it already; leave it "
		"out, or vdev" },
	{ DEVICE("\"blk,vdev=xvda,size=1G\""),
		":1: size='1073741824': the image has its own size; use size "
		"only with engine=null" },
	{ DEVICE("\"blk,vdev=xvda,block-size=1\""),
		":1: block-size='1': use 512 or 4096" },
	{ DEVICE("\"net,virtio=0,mtu=1\""), ":1: mtu='1': use 68 to 65535" },
};

/* Also: what was begun in a bad file is not gone on with in the next. */
static void test_refused(void **state)
{
	struct config *config;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		config = (void *)why;
		strcpy(why, "(nothing)");
		write_string(refused[i].text);
		assert_refused(config_load(path, &config, why, sizeof(why)),
			       -EINVAL, refused[i].why);
		assert_ptr_equal(config, why);
		config = load(example);
		assert_int_equal(config->nguests, 3);
		config_free(config);
	}
}

static void test_refused_other_stanza(void **state)
{
	struct config *config;
	char expected[256];

	(void)state;
	write_string("guest g { device = { \"blk,vdev=a\",\n"
		     "\"blk,vdev=b\",\n\"blk,vdev=a\" } }");
	(void)snprintf(expected, sizeof(expected), ":3: guest 'g' has an entry "
		       "for this stanza already, at %s:1: use one", path);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       expected);
	write_string("guest g { device = { \"net,virtio=3\",\n"
		     "\"blk,virtio=3\" } }");
	(void)snprintf(expected, sizeof(expected), ":2: guest 'g' has an entry "
		       "for this stanza already, at %s:1: use one", path);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       expected);
	(void)unlink(path);

	/* Another guest's entry is another matter. */
	config = load("guest g { device = \"blk,vdev=a\" }"
		      "guest h { device = \"blk,vdev=a\" }");
	config_free(config);
}

/* Nobody's standard error but ours is written to, and that by our caller. */
static void test_silence(void **state)
{
	static struct unit_capture out, err;
	struct config *config;
	size_t i;

	(void)state;
	unit_capture_start(&out, STDOUT_FILENO);
	unit_capture_start(&err, STDERR_FILENO);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		write_string(refused[i].text);
		(void)config_load(path, &config, why, sizeof(why));
	}
	(void)unit_capture_end(&err);
	(void)unit_capture_end(&out);
	assert_string_equal(err.text, "");
	assert_string_equal(out.text, "");
	(void)unlink(path);
}

/* ---- files ---- */

static void test_no_file(void **state)
{
	struct config *config;

	(void)state;
	strcpy(path, "/tmp/xvd-config-none/here");
	assert_refused(config_load(path, &config, why, sizeof(why)), -ENOENT,
		       ": No such file or directory");
	strcpy(path, "/tmp");
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": this is a directory: use a regular file");
	strcpy(path, "/dev/zero");
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": this is no regular file: use a regular file");

	/* A pipe that nobody writes to is not waited for. */
	(void)snprintf(path, sizeof(path), "/tmp/xvd-config-%d", getpid());
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": this is no regular file: use a regular file");
	(void)unlink(path);
}

static void test_sizes(void **state)
{
	static char text[256 * 1024 + 1];
	struct config *config;

	(void)state;
	memset(text, '\n', sizeof(text));
	memcpy(text + sizeof(text) - 10, "sandbox=on", 10);
	write_file(text + 1, sizeof(text) - 1);
	assert_int_equal(config_load(path, &config, why, sizeof(why)), 0);
	config_free(config);
	write_file(text, sizeof(text));
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": it is too long: use at most 262144 bytes");

	/* A hundred megabytes of zeroes, and a few. */
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, 100 << 20), 0);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": it is too long: use at most 262144 bytes");
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, 10), 0);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       ": there is a zero byte in it: use text");
	(void)unlink(path);
}

/* Whose file decides what root opens. */
static void test_owner(void **state)
{
	static const char why_write[] = ", but it decides what is opened with "
					"root's rights: use chmod go-w";
	struct config *config;
	char expected[256];

	(void)state;
	write_file("", 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(config_load(path, &config, why, sizeof(why)), 0);
	config_free(config);
	assert_int_equal(chmod(path, 0602), 0);
	(void)snprintf(expected, sizeof(expected),
		       ": others may write to it (mode 602)%s", why_write);
	assert_refused(config_load(path, &config, why, sizeof(why)), -EINVAL,
		       expected);

	if (geteuid() == 0) {
		assert_int_equal(chmod(path, 0660), 0);
		assert_int_equal(config_load(path, &config, why, sizeof(why)),
				 0);
		config_free(config);
		assert_int_equal(chown(path, 0, 1), 0);
		(void)snprintf(expected, sizeof(expected),
			       ": others may write to it (mode 660)%s",
			       why_write);
		assert_refused(config_load(path, &config, why, sizeof(why)),
			       -EINVAL, expected);
		assert_int_equal(chown(path, 1, 0), 0);
		assert_refused(config_load(path, &config, why, sizeof(why)),
			       -EINVAL, ": user 1 owns it, but it decides what "
			       "is opened with root's rights: use a file of "
			       "root's");
	} else {
		assert_int_equal(chmod(path, 0), 0);
		assert_refused(config_load(path, &config, why, sizeof(why)),
			       -EACCES, ": Permission denied");
	}
	(void)unlink(path);
}

/* The example that is installed, as it is and with every line in force. */
static void test_installed(void **state)
{
	char text[8192], *out = text, line[512];
	struct config *config;
	struct devspec s;
	FILE *f;

	(void)state;
	f = fopen("systemd/xen-virtiod.conf", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_true(*line == '#' || *line == '\n');
		/* "#name" is commented out, "# text" says something. */
		if (line[0] == '#' && line[1] != ' ' && line[1] != '\n')
			out += sprintf(out, "%s", line + 1);
	}
	(void)fclose(f);
	config = load(text);
	assert_non_null(config->blk.text);
	assert_non_null(config->net.text);
	assert_non_null(config->control_group);
	assert_int_equal(config_extra_count(config, "web1"), 1);
	s = blk(config, "web1", "xvdg", "path=/x");
	assert_string_equal(s.blk.serial, "web1");
	devspec_fini(&s);
	config_free(config);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_empty),
	cmocka_unit_test(test_everything),
	cmocka_unit_test(test_layers),
	cmocka_unit_test(test_names_vdev),
	cmocka_unit_test(test_virtio_blk),
	cmocka_unit_test(test_extra),
	cmocka_unit_test(test_attach),
	cmocka_unit_test(test_stanza_refused),
	cmocka_unit_test(test_strings),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_refused_other_stanza),
	cmocka_unit_test(test_silence),
	cmocka_unit_test(test_no_file),
	cmocka_unit_test(test_sizes),
	cmocka_unit_test(test_owner),
	cmocka_unit_test(test_installed),
};

UNIT_MAIN(tests)
