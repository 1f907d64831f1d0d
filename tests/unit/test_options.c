/* SPDX-License-Identifier: MIT */
/*
 * test_options.c: the command line.  Every mistake costs one line on stderr,
 * and the test reads it.
 */
#include "log.h"
#include "options.h"
#include "unit.h"
#include "util.h"

#define MAX_ARGS	24

static struct unit_capture cap;

/* Splits at spaces: no test needs any inside an argument. */
static enum options_result parse(struct options *opts, const char *line)
{
	static char copy[512];
	char *argv[MAX_ARGS + 1], *save;
	int argc = 0;

	/* Options point into the arguments, as they do for main(). */
	(void)snprintf(copy, sizeof(copy), "xen-virtiod %s", line);
	argv[argc] = strtok_r(copy, " ", &save);
	while (argv[argc]) {
		assert_true(++argc < MAX_ARGS);
		argv[argc] = strtok_r(NULL, " ", &save);
	}
	return options_parse(argc, argv, opts);
}

static void test_minimal(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--domain web1 --device blk,path=/x"),
			 OPTIONS_RUN);
	assert_string_equal(o.domain, "web1");
	assert_int_equal(o.ndevices, 1);
	assert_string_equal(o.devices[0].blk.path, "/x");
	assert_int_equal(o.devices[0].devfn, DEVSPEC_FIRST_SLOT << 3);
	assert_false(o.background);
	assert_null(o.pidfile);
	assert_false(o.no_sandbox);
	assert_int_equal(o.uid_base, 0x7fff0000);
	options_fini(&o);
	assert_null(o.devices);
	options_fini(&o);			/* twice is fine */
}

static void test_everything(void **state)
{
	static const char *const lines[] = {
		"-b -d 12 -o blk,path=/a -o blk,path=/b,bdf=00:18.0 "
		"--pidfile /run/p -D vq,pci",
		"--background --domain=12 --device=blk,path=/a --debug=vq,pci "
		"--device blk,path=/b,bdf=00:18.0 --pidfile=/run/p",
		/* clustered, and with values attached */
		"-bd12 -oblk,path=/a -Dvq,pci -oblk,path=/b,bdf=00:18.0 "
		"--pidfile /run/p --",
	};
	struct options o;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		log_topics = 0;
		assert_int_equal(parse(&o, lines[i]), OPTIONS_RUN);
		assert_string_equal(o.domain, "12");
		assert_true(o.background);
		assert_string_equal(o.pidfile, "/run/p");
		assert_int_equal(log_topics, 1u << LOG_T_VQ | 1u << LOG_T_PCI);
		assert_int_equal(o.ndevices, 2);
		assert_string_equal(o.devices[0].blk.path, "/a");
		assert_int_equal(o.devices[0].devfn, 0x19 << 3);
		assert_string_equal(o.devices[1].blk.path, "/b");
		assert_int_equal(o.devices[1].devfn, 0x18 << 3);
		options_fini(&o);
	}
	log_topics = 0;
}

static void test_sandbox(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "-d a -o blk,path=/x --sandbox off "
			       "--uid-base=2147418112"), OPTIONS_RUN);
	assert_true(o.no_sandbox);
	assert_int_equal(o.uid_base, 2147418112);
	options_fini(&o);
	assert_int_equal(parse(&o, "-d a -o blk,path=/x --sandbox=off "
			       "--sandbox=on --uid-base 1"), OPTIONS_RUN);
	assert_false(o.no_sandbox);
	assert_int_equal(o.uid_base, 1);
	options_fini(&o);
}

/* Without a guest: the service, for all of them. */
static void test_service(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, ""), OPTIONS_RUN);
	assert_null(o.domain);
	assert_null(o.devices);
	assert_null(o.config);
	assert_null(o.socket);
	assert_int_equal(o.ndevices, 0);
	options_fini(&o);
	assert_int_equal(parse(&o, "--config /a.conf --socket=/run/b -b "
			       "--pidfile /p -D pci"), OPTIONS_RUN);
	assert_null(o.domain);
	assert_string_equal(o.config, "/a.conf");
	assert_string_equal(o.socket, "/run/b");
	assert_true(o.background);
	assert_string_equal(o.pidfile, "/p");
	options_fini(&o);
	assert_null(o.config);
	log_topics = 0;

	/* What is as it is anyway may be said. */
	assert_int_equal(parse(&o, "--sandbox=on --uid-base=2147418112"),
			 OPTIONS_RUN);
	options_fini(&o);
}

/* The help fits a screen and names every option and key. */
static void test_help(void **state)
{
	static const char *const words[] = {
		"--domain", "--device", "--background", "--pidfile",
		"--debug", "--help", "--version", "path=", "bdf=", "serial=",
		"readonly=", "cache=", "discard=", "block-size=", "queues=",
		"queue-size=", "engine=", "size=", "iops=", "bps=",
		"Example", "xl unpause", "ioreq,mem,pci", "bridge=", "tap=", "mac=",
		"mtu=", "rate=", "script=", "csum=", "tso=", "uso=",
		"--uid-base", "--sandbox", "--config", "--socket",
	};
	const char *text, *line, *end;
	struct options o;
	int lines = 0;
	size_t i;

	(void)state;
	unit_capture_start(&cap, STDOUT_FILENO);
	assert_int_equal(parse(&o, "--help"), OPTIONS_EXIT_OK);
	text = unit_capture_end(&cap);
	options_fini(&o);
	for (line = text; *line; line = end + 1, lines++) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_true(end - line < 80);
	}
	assert_true(lines > 10 && lines <= 24);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (!strstr(text, words[i]))
			fail_msg("no word about %s", words[i]);

	/* Even beside what would be a mistake; and what came before goes. */
	unit_capture_start(&cap, STDOUT_FILENO);
	assert_int_equal(parse(&o, "-o blk,path=/x -h"), OPTIONS_EXIT_OK);
	assert_memory_equal(unit_capture_end(&cap), "Usage: ", 7);
	options_fini(&o);
}

static void test_version(void **state)
{
	struct options o;

	(void)state;
	unit_capture_start(&cap, STDOUT_FILENO);
	assert_int_equal(parse(&o, "--version"), OPTIONS_EXIT_OK);
	assert_string_equal(unit_capture_end(&cap),
			    "xen-virtiod " XVD_VERSION "\n");
	options_fini(&o);
	unit_capture_start(&cap, STDOUT_FILENO);
	assert_int_equal(parse(&o, "-V"), OPTIONS_EXIT_OK);
	assert_memory_equal(unit_capture_end(&cap), "xen-virtiod ", 12);
	options_fini(&o);
}

#define GOOD	"-d web1 -o blk,path=/x "

static const struct {
	const char *line, *why;
} refused[] = {
	{ "-o blk,path=/x",
		"--domain is missing: use --domain NAME or ID" },
	{ "-o blk,path=/x --config /c",
		"--domain is missing: use --domain NAME or ID" },
	{ "--sandbox=off",
		"--sandbox is for one --domain: the service has sandbox = in "
		"its configuration file" },
	{ "--uid-base=1000 --config=/c",
		"--uid-base is for one --domain: the service has uid-base = "
		"in its configuration file" },
	{ "left",
		"'left' belongs to no option: see --help" },
	{ GOOD "--config /c",
		"--config '/c': it is the service's, which has no --domain" },
	{ GOOD "--socket /s",
		"--socket '/s': it is the service's, which has no --domain" },
	{ "-d web1 --socket /s --config /c",
		"--config '/c': it is the service's, which has no --domain" },
	{ "--config a --config b",
		"--config 'b': given twice, first as 'a'" },
	{ "--socket a --socket a",
		"--socket 'a': given twice, first as 'a'" },
	{ "--config=", "--config '': the value is missing" },
	{ "--socket=", "--socket '': the value is missing" },
	{ "--config", "--config needs a value: see --help" },
	{ "--socket", "--socket needs a value: see --help" },
	{ "-d web1",
		"--device is missing: use one or more, as in --device "
		"blk,path=/dev/vg0/web1" },
	{ GOOD "left over",
		"'left' belongs to no option: see --help" },
	{ GOOD "-- -b",
		"'-b' belongs to no option: see --help" },
	{ GOOD "--foo",
		"'--foo' is no option, or short for several: see --help" },
	{ GOOD "--foo=bar",
		"'--foo=bar' is no option, or short for several: see --help" },
	{ GOOD "--d x",
		"'--d' is no option, or short for several: see --help" },
	{ GOOD "-x",
		"'-x' is no option: see --help" },
	{ GOOD "-bx",
		"'-x' is no option: see --help" },
	{ GOOD "--background=yes",
		"'--background=yes': --background takes no value" },
	{ "-o blk,path=/x -d",
		"--domain needs a value: see --help" },
	{ GOOD "--pidfile",
		"--pidfile needs a value: see --help" },
	{ GOOD "-D",
		"--debug needs a value: see --help" },
	{ GOOD "-d web2",
		"--domain 'web2': given twice, first as 'web1'" },
	{ GOOD "--pidfile a --pidfile b",
		"--pidfile 'b': given twice, first as 'a'" },
	{ "--domain= -o blk,path=/x",
		"--domain '': the value is missing" },
	{ GOOD "--pidfile=",
		"--pidfile '': the value is missing" },
	{ GOOD "-D vq,foo,pci",
		"--debug 'foo': use one or more of "
		"ioreq,mem,pci,virtio,vq,blk,net,all" },
	{ GOOD "--debug=",
		"--debug '': use one or more of "
		"ioreq,mem,pci,virtio,vq,blk,net,all" },
	{ GOOD "-o blk,path=/y,cache=no",
		"device 2: cache='no': use none, writeback or writethrough" },
	{ GOOD "-o blk,path=/y,bdf=00:19.0 -o blk,path=/z,bdf=00:19.0",
		"bdf='00:19.0': devices 2 and 3 cannot both be there" },
	{ GOOD "--sandbox=no", "--sandbox 'no': use on or off" },
	{ GOOD "--sandbox=", "--sandbox '': use on or off" },
	{ GOOD "--uid-base=0", "--uid-base '0': use 1 to 2147418112" },
	{ GOOD "--uid-base=-1", "--uid-base '-1': use 1 to 2147418112" },
	{ GOOD "--uid-base=1k", "--uid-base '1k': use 1 to 2147418112" },
	{ GOOD "--uid-base=2147418113",
		"--uid-base '2147418113': use 1 to 2147418112" },
	{ GOOD "--uid-base=99999999999999999999",
		"--uid-base '99999999999999999999': use 1 to 2147418112" },
	{ GOOD "--domain=web1 --device=disk",
		"--domain 'web1': given twice, first as 'web1'" },
};

static void test_refused(void **state)
{
	struct options o;
	char why[512];
	size_t i;

	(void)state;
	log_init("xvd", false);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		(void)snprintf(why, sizeof(why), "xvd: %s\n", refused[i].why);
		unit_capture_start(&cap, STDERR_FILENO);
		assert_int_equal(parse(&o, refused[i].line),
				 OPTIONS_EXIT_USAGE);
		assert_string_equal(unit_capture_end(&cap), why);
		options_fini(&o);		/* leaves nothing: see ASan */
	}
	assert_int_equal(log_topics, 0);
}

static void test_too_many(void **state)
{
	struct options o;

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	assert_int_equal(parse(&o, "-d 1 -o blk,path=/1 -o blk,path=/2 "
			       "-o blk,path=/3 -o blk,path=/4 -o blk,path=/5 "
			       "-o blk,path=/6 -o blk,path=/7 -o blk,path=/8"),
			 OPTIONS_EXIT_USAGE);
	assert_non_null(strstr(unit_capture_end(&cap),
			       "bdf is missing for device 8: slots 18 to 1e"));
	options_fini(&o);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_minimal),
	cmocka_unit_test(test_everything),
	cmocka_unit_test(test_sandbox),
	cmocka_unit_test(test_service),
	cmocka_unit_test(test_help),
	cmocka_unit_test(test_version),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_too_many),
};

UNIT_MAIN(tests)
