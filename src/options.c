/* SPDX-License-Identifier: MIT */
/*
 * options.c: the command line of xen-virtiod.
 *
 * Everything that can be checked without looking at the machine is checked
 * here, before anything is opened: a mistake costs one line and exit 2, and
 * leaves nothing behind.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "options.h"
#include "sandbox.h"

#ifndef XVD_VERSION
#define XVD_VERSION "unknown"		/* the Makefile knows it */
#endif

enum {
	OPT_CONFIG = 256,		/* these have no short form */
	OPT_PIDFILE,
	OPT_SANDBOX,
	OPT_SOCKET,
	OPT_UID_BASE,
};

static const char short_options[] = ":d:o:bD:hV";

static const struct option long_options[] = {
	{ "domain",	required_argument,	NULL, 'd' },
	{ "device",	required_argument,	NULL, 'o' },
	{ "background",	no_argument,		NULL, 'b' },
	{ "config",	required_argument,	NULL, OPT_CONFIG },
	{ "pidfile",	required_argument,	NULL, OPT_PIDFILE },
	{ "sandbox",	required_argument,	NULL, OPT_SANDBOX },
	{ "socket",	required_argument,	NULL, OPT_SOCKET },
	{ "uid-base",	required_argument,	NULL, OPT_UID_BASE },
	{ "debug",	required_argument,	NULL, 'D' },
	{ "help",	no_argument,		NULL, 'h' },
	{ "version",	no_argument,		NULL, 'V' },
	{ NULL,		0,			NULL, 0 },
};

static void print_help(void)
{
	(void)printf(
"Usage: xen-virtiod [--config FILE]\n"
"       xen-virtiod --domain NAME|ID --device SPEC [--device SPEC ...]\n"
"Virtio-pci disks and network cards for Xen guests: all of them, or one.\n"
"\n"
"      --config FILE, --socket PATH  of the service, see xen-virtiod(8)\n"
"  -d, --domain NAME|ID  the guest\n"
"  -o, --device SPEC     a device; may be given several times\n"
"  -b, --background      return as soon as all devices are in place\n"
"      --pidfile FILE    write the process id to FILE\n"
"      --uid-base UID    serve as user UID + the guest's ID; --sandbox off\n"
"  -D, --debug TOPICS    of %s\n"
"  -h, --help            this text; -V, --version: the version\n"
"\n"
"SPEC is blk,KEY=VALUE,... (a comma inside a VALUE is doubled):\n"
"  path=FILE, bdf=00:18.0, serial=TEXT, readonly=on|off, discard=on|off,\n"
"  cache=none|writeback|writethrough, block-size=512|4096, queues=1..16,\n"
"  queue-size=2..1024, engine=uring|null, size=BYTES, iops=500, bps=100M\n"
"or net,KEY=VALUE,... (both have more keys, see xen-virtiod(8)):\n"
"  bridge=NAME|tap=NAME, bdf=00:19.0, mac=00:16:3e:01:02:03, mtu=68..65535,\n"
"  queues=1..8, rate=10Mb/s, script=PATH|no, csum=off, tso=off, uso=off\n"
"\n"
"Example: xl create -p web1.cfg\n"
"  xen-virtiod -b -d web1 -o blk,path=/dev/vg0/web1 -o net,bridge=xenbr0\n"
"  xl unpause web1\n", log_topic_names());
}

static enum options_result print_version(void)
{
	(void)printf("xen-virtiod %s\n", XVD_VERSION);
	return OPTIONS_EXIT_OK;
}

static const char *option_name(int val)
{
	const struct option *o;

	for (o = long_options; o->name; o++)
		if (o->val == val)
			return o->name;
	return NULL;
}

/* getopt_long() found something wrong: @what is '?' or ':'. */
static void refuse_option(int what, char **argv)
{
	const char *name = optopt ? option_name(optopt) : NULL;

	if (what == ':')
		log_error("--%s needs a value: see --help", name);
	else if (name)
		log_error("'%s': --%s takes no value", argv[optind - 1], name);
	else if (optopt)
		log_error("'-%c' is no option: see --help", optopt);
	else
		log_error("'%s' is no option, or short for several: see --help",
			  argv[optind - 1]);
}

static int set_once(const char **ret, const char *name)
{
	if (*ret) {
		log_error("--%s '%s': given twice, first as '%s'", name,
			  optarg, *ret);
		return -EINVAL;
	}
	if (*optarg == '\0') {
		log_error("--%s '': the value is missing", name);
		return -EINVAL;
	}
	*ret = optarg;
	return 0;
}

static int add_device(struct options *opts, const char *text)
{
	struct devspec *devices;
	char why[512];
	int r;

	devices = reallocarray(opts->devices, opts->ndevices + 1,
			       sizeof(*devices));
	if (!devices) {
		log_error("out of memory");
		return -ENOMEM;
	}
	opts->devices = devices;
	r = devspec_parse(text, &devices[opts->ndevices], why, sizeof(why));
	if (r < 0) {
		log_error("device %zu: %s", opts->ndevices + 1, why);
		return r;
	}
	opts->ndevices++;
	return 0;
}

static int set_sandbox(struct options *opts)
{
	if (strcmp(optarg, "on") != 0 && strcmp(optarg, "off") != 0) {
		log_error("--sandbox '%s': use on or off", optarg);
		return -EINVAL;
	}
	opts->no_sandbox = strcmp(optarg, "off") == 0;
	return 0;
}

/* Guests have numbers up to 32751, and uids end below 2^31. */
static int set_uid_base(struct options *opts)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(optarg, &end, 10);
	if (*optarg < '1' || *optarg > '9' || *end || errno ||
	    v > SANDBOX_UID_BASE) {
		log_error("--uid-base '%s': use 1 to %u", optarg,
			  SANDBOX_UID_BASE);
		return -EINVAL;
	}
	opts->uid_base = (uint32_t)v;
	return 0;
}

static int set_topics(const char *list)
{
	const char *bad;

	if (log_topics_parse(list, &bad) < 0) {
		log_error("--debug '%.*s': use one or more of %s",
			  (int)strcspn(bad, ","), bad, log_topic_names());
		return -EINVAL;
	}
	return 0;
}

/* Without a guest: what concerns how guests are served is in the file. */
static enum options_result check_service(struct options *opts)
{
	if (opts->no_sandbox || opts->uid_base != SANDBOX_UID_BASE) {
		log_error("--%s is for one --domain: the service has %s in its configuration file",
			  opts->no_sandbox ? "sandbox" : "uid-base",
			  opts->no_sandbox ? "sandbox =" : "uid-base =");
		return OPTIONS_EXIT_USAGE;
	}
	return OPTIONS_RUN;
}

/* All options are read: is anything missing, or left over? */
static enum options_result check_all(int argc, char **argv,
				     struct options *opts)
{
	char why[512];

	if (optind < argc) {
		log_error("'%s' belongs to no option: see --help",
			  argv[optind]);
		return OPTIONS_EXIT_USAGE;
	}
	if (!opts->domain && opts->ndevices == 0)
		return check_service(opts);
	if (!opts->domain) {
		log_error("--domain is missing: use --domain NAME or ID");
		return OPTIONS_EXIT_USAGE;
	}
	if (opts->config || opts->socket) {
		log_error("--%s '%s': it is the service's, which has no --domain",
			  opts->config ? "config" : "socket",
			  opts->config ? opts->config : opts->socket);
		return OPTIONS_EXIT_USAGE;
	}
	if (opts->ndevices == 0) {
		log_error("--device is missing: use one or more, as in "
			  "--device blk,path=/dev/vg0/web1");
		return OPTIONS_EXIT_USAGE;
	}
	if (devspec_assign(opts->devices, opts->ndevices, why,
			   sizeof(why)) < 0) {
		log_error("%s", why);
		return OPTIONS_EXIT_USAGE;
	}
	return OPTIONS_RUN;
}

enum options_result options_parse(int argc, char **argv, struct options *ret)
{
	int c, r = 0;

	*ret = (struct options){ .uid_base = SANDBOX_UID_BASE };
	optind = 0;			/* also when called again */
	opterr = 0;			/* one line, and of ours */
	while (r == 0) {
		c = getopt_long(argc, argv, short_options, long_options, NULL);
		if (c == -1)
			return check_all(argc, argv, ret);
		switch (c) {
		case 'd':
			r = set_once(&ret->domain, "domain");
			break;
		case 'o':
			r = add_device(ret, optarg);
			break;
		case 'b':
			ret->background = true;
			break;
		case OPT_CONFIG:
			r = set_once(&ret->config, "config");
			break;
		case OPT_PIDFILE:
			r = set_once(&ret->pidfile, "pidfile");
			break;
		case OPT_SOCKET:
			r = set_once(&ret->socket, "socket");
			break;
		case OPT_SANDBOX:
			r = set_sandbox(ret);
			break;
		case OPT_UID_BASE:
			r = set_uid_base(ret);
			break;
		case 'D':
			r = set_topics(optarg);
			break;
		case 'h':
			print_help();
			return OPTIONS_EXIT_OK;
		case 'V':
			return print_version();
		default:
			refuse_option(c, argv);
			r = -EINVAL;
			break;
		}
	}
	return OPTIONS_EXIT_USAGE;
}

void options_fini(struct options *opts)
{
	size_t i;

	for (i = 0; i < opts->ndevices; i++)
		devspec_fini(&opts->devices[i]);
	free(opts->devices);
	memset(opts, 0, sizeof(*opts));
}
