/* SPDX-License-Identifier: MIT */
/*
 * main.c: xen-virtioctl, which tells a running xen-virtiod what to do.
 *
 *	words -> a request -> ask.c -> the result -> print.c, or as it is
 *
 * Nothing is known of guests and devices here: names go as they are, and the
 * daemon says what is wrong with them.  Only guest-dtb is not for a daemon: it
 * is about a guest that is not there yet.  Exit status: 0; 1 if the daemon says
 * no or cannot be asked; 2 if the command line is wrong.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <json-c/json.h>
#include "ask.h"
#include "fields.h"
#include "guestdtb.h"
#include "log.h"
#include "print.h"
#include "util.h"

#ifndef XVD_VERSION
#define XVD_VERSION "unknown"		/* the Makefile knows it */
#endif

#define DEFAULT_SOCKET	"/run/xen-virtiod/control.sock"
#define MAX_SECONDS	86400
#define WHY_BYTES	512

enum {
	EXIT_DAEMON = 1,
	EXIT_USAGE = 2,
};

struct ctl;

struct command {
	const char	*name;
	const char	*words;		/* for messages and --help */
	const char	*text;
	const char	*awaited;	/* before the guest, if it needs one */
	int		least;		/* words behind the command's name */
	int		most;
	bool		changes;
	/* Adds what is in the third word.  Return: false, said.  Optional. */
	bool		(*fill)(struct json_object *request, const char *word);
	int		(*print)(struct json_object *result, char **words);
	int		(*alone)(char **words, int nwords);	/* no request */
};

struct ctl {
	const struct command	*command;
	char			**words;
	int			nwords;
	const char		*socket;
	bool			json;
	unsigned int		interval_ms;	/* 0: once */
	unsigned int		timeout_ms;	/* 0: none */
};

static bool add_size(struct json_object *request, const char *word);
static bool add_link(struct json_object *request, const char *word);

static const struct command commands[] = {
	{ "list", "[GUEST]", "guests and their devices",
	  "list its guests", 0, 1, false, NULL, print_list, NULL },
	{ "show", "GUEST [DEVICE]", "all that is known of them",
	  "show", 1, 2, false, NULL, print_show, NULL },
	{ "stats", "[GUEST [DEVICE]]", "what they have done so far",
	  "tell what was counted", 0, 2, false, NULL, print_stats, NULL },
	{ "attach", "GUEST SPEC", "a new device, as in blk,path=/dev/vg0/x",
	  "attach the device to", 2, 2, true, NULL, print_attach, NULL },
	{ "detach", "GUEST DEVICE", "take a device away",
	  "detach the device from", 2, 2, true, NULL, NULL, NULL },
	{ "resize", "GUEST DEVICE [SIZE]", "a disk's size, or its image's",
	  "resize the disk of", 2, 3, true, add_size, print_resize, NULL },
	{ "link", "GUEST DEVICE up|down", "plug a network cable in, or out",
	  "switch the link of", 3, 3, true, add_link, NULL, NULL },
	{ "reload", "", "read the configuration again",
	  "reload its configuration", 0, 0, true, NULL, NULL, NULL },
	{ "guest-dtb", "[SPEC ...]", "a device tree for an Arm guest's xl.cfg",
	  NULL, 0, 31, false, NULL, NULL, guestdtb_run },
};

/* ---- the command line ---- */

enum {
	OPT_INTERVAL = 256,		/* these have no short form */
	OPT_JSON,
	OPT_SOCKET,
	OPT_TIMEOUT,
};

static const struct option long_options[] = {
	{ "interval",	required_argument,	NULL, OPT_INTERVAL },
	{ "json",	no_argument,		NULL, OPT_JSON },
	{ "socket",	required_argument,	NULL, OPT_SOCKET },
	{ "timeout",	required_argument,	NULL, OPT_TIMEOUT },
	{ "help",	no_argument,		NULL, 'h' },
	{ "version",	no_argument,		NULL, 'V' },
	{ NULL,		0,			NULL, 0 },
};

static int print_help(void)
{
	size_t i;

	printf("Usage: xen-virtioctl [OPTIONS] COMMAND ...\n"
	       "Tells a running xen-virtiod what to do.\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-9s %-20s  %s\n", commands[i].name,
		       commands[i].words, commands[i].text);
	printf("\n"
"      --interval SEC  stats: again and again, and what is done in a second\n"
"      --json          print the result as JSON\n"
"      --socket PATH   where xen-virtiod listens, by default\n"
"                      " DEFAULT_SOCKET "\n"
"      --timeout SEC   give up after so long; by default never\n"
"  -h, --help          this text\n"
"  -V, --version       the version\n"
"\n"
"GUEST is a name or a domain id, DEVICE as in vblk0, 00:18.0 or xvdg, and SIZE\n"
"in bytes, or with k, M, G or T.  SPEC is a device in the words of\n"
"xen-virtiod(8).\n");
	return 0;
}

static int print_version(void)
{
	printf("xen-virtioctl %s\n", XVD_VERSION);
	return 0;
}

static int refuse_option(int what, char **argv)
{
	if (what == ':')
		log_error("%s needs a value: see --help", argv[optind - 1]);
	else if (optopt >= OPT_INTERVAL)
		log_error("'%s': it takes no value", argv[optind - 1]);
	else if (optopt)
		log_error("'-%c' is no option: see --help", optopt);
	else
		log_error("'%s' is no option, or short for several: see "
			  "--help", argv[optind - 1]);
	return EXIT_USAGE;
}

/* In tenths or whatever, but in no other notation. */
static bool set_seconds(const char *name, unsigned int *ret_ms)
{
	bool plain = optarg[strspn(optarg, "0123456789.")] == '\0';
	char *end;
	double v;

	v = strtod(optarg, &end);
	if (!plain || *end || v < 0.1 || v > MAX_SECONDS) {
		log_error("--%s '%s': use 0.1 to %d, in seconds", name,
			  optarg, MAX_SECONDS);
		return false;
	}
	*ret_ms = (unsigned int)(v * 1000);
	return true;
}

static bool set_option(struct ctl *ctl, int c)
{
	switch (c) {
	case OPT_INTERVAL:
		return set_seconds("interval", &ctl->interval_ms);
	case OPT_TIMEOUT:
		return set_seconds("timeout", &ctl->timeout_ms);
	case OPT_SOCKET:
		ctl->socket = optarg;
		return true;
	default:
		ctl->json = true;
		return true;
	}
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int check_words(struct ctl *ctl, const char *name)
{
	const struct command *command = find_command(name);
	int i;

	if (!command) {
		log_error("'%s' is no command: see --help", name);
		return EXIT_USAGE;
	}
	if (ctl->nwords < command->least || ctl->nwords > command->most) {
		log_error("usage: xen-virtioctl %s%s%s", name,
			  *command->words ? " " : "", command->words);
		return EXIT_USAGE;
	}
	for (i = 0; i < ctl->nwords; i++)
		if (ctl->words[i][0] == '\0') {
			log_error("an empty word: usage: xen-virtioctl %s %s",
				  name, command->words);
			return EXIT_USAGE;
		}
	if (ctl->interval_ms && command->print != print_stats) {
		log_error("--interval is for stats, not for %s", name);
		return EXIT_USAGE;
	}
	ctl->command = command;
	return 0;
}

/* Return: 0; the exit status where ctl->command is not set. */
static int parse(struct ctl *ctl, int argc, char **argv)
{
	int c;

	opterr = 0;			/* one line, and of ours */
	while ((c = getopt_long(argc, argv, ":hV", long_options, NULL)) != -1) {
		if (c == 'h')
			return print_help();
		if (c == 'V')
			return print_version();
		if (c == '?' || c == ':')
			return refuse_option(c, argv);
		if (!set_option(ctl, c))
			return EXIT_USAGE;
	}
	if (optind == argc) {
		log_error("a command is missing: see --help");
		return EXIT_USAGE;
	}
	ctl->words = argv + optind + 1;
	ctl->nwords = argc - optind - 1;
	return check_words(ctl, argv[optind]);
}

/* ---- the request ---- */

static void no_memory(void)
{
	log_error("out of memory");
	exit(EXIT_DAEMON);
}

/* Adds @value, taken over. */
static void add(struct json_object *obj, const char *key,
		struct json_object *value)
{
	if (!value || json_object_object_add(obj, key, value) < 0)
		no_memory();
}

static bool add_size(struct json_object *request, const char *word)
{
	static const char units[] = "kMGT";
	unsigned long long v;
	const char *unit;
	char *end;
	int shift = 0;

	errno = 0;
	v = strtoull(word, &end, 10);
	unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		end++;
	}
	if (*word < '0' || *word > '9' || *end || errno || v == 0 ||
	    v > (unsigned long long)INT64_MAX >> shift) {
		log_error("size '%s': use the new size in bytes, or with k, M, "
			  "G or T, as in 20G", word);
		return false;
	}
	add(request, "size", json_object_new_int64((int64_t)(v << shift)));
	return true;
}

static bool add_link(struct json_object *request, const char *word)
{
	bool up = strcmp(word, "up") == 0;

	if (!up && strcmp(word, "down") != 0) {
		log_error("link '%s': use up or down", word);
		return false;
	}
	add(request, "up", json_object_new_boolean(up));
	return true;
}

/* Return: NULL if the words are wrong, and it has been said. */
static struct json_object *make_request(const struct ctl *ctl)
{
	static const char *const keys[] = { "guest", "device" };
	struct json_object *request = json_object_new_object();
	int i;

	if (!request)
		no_memory();
	add(request, "version", json_object_new_int(1));
	add(request, "command", json_object_new_string(ctl->command->name));
	/* The daemon lists all there are. */
	for (i = 0; i < 2 && i < ctl->nwords; i++)
		if (ctl->command->print != print_list)
			add(request, keys[i],
			    json_object_new_string(ctl->words[i]));
	if (ctl->command->fill && ctl->nwords > 2 &&
	    !ctl->command->fill(request, ctl->words[2])) {
		json_object_put(request);
		return NULL;
	}
	return request;
}

/* ---- the result ---- */

/* Leaves only @guest in a list.  Return: is it there? */
static bool select_guest(struct json_object *result, const char *guest)
{
	struct json_object *only = json_object_new_array(), *g;
	size_t i;

	if (!only)
		no_memory();
	for (i = 0; (g = field_element(result, "guests", i)); i++)
		if (strcmp(field_text(g, "name"), guest) == 0 ||
		    strcmp(field_text(g, "domid"), guest) == 0)
			if (json_object_array_add(only,
						  json_object_get(g)) < 0)
				no_memory();
	i = json_object_array_length(only);
	add(result, "guests", only);
	return i > 0;
}

/* What stands between quotes and is not visible is none in JSON either. */
static int print_json(struct json_object *result)
{
	const char *text;

	text = json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	log_print_visible(stdout, text, "\\\\x");
	putchar('\n');
	return 0;
}

static int print_result(const struct ctl *ctl, struct json_object *result)
{
	if (ctl->json)
		return print_json(result);
	if (ctl->command->print)
		return ctl->command->print(result, ctl->words);
	return 0;
}

/* Sees to it that what was printed has arrived.  Return: the exit status. */
static int check_output(int r)
{
	if (r < 0)
		log_error("out of memory");
	else if (fflush(stdout) != 0 || ferror(stdout))
		log_error("the result cannot be written: %s",
			  strerror(errno));
	else
		return 0;
	return EXIT_DAEMON;
}

/* Takes the result out of @reply.  Return: NULL if it is an error, and said. */
static struct json_object *take_result(struct json_object *reply)
{
	struct json_object *result = field_object(reply, "result"), *ok;

	if (json_object_object_get_ex(reply, "ok", &ok) &&
	    json_object_is_type(ok, json_type_boolean) &&
	    json_object_get_boolean(ok) && result)
		return json_object_get(result);
	log_error("%s", *field_text(reply, "error") ?
		  field_text(reply, "error") :
		  "xen-virtiod answered neither with a result nor an error");
	return NULL;
}

static void on_interrupt(const struct ctl *ctl)
{
	if (ctl->interval_ms && fflush(stdout) == 0)
		exit(0);		/* that is how it ends */
	if (ctl->command->changes)
		log_error("interrupted: what xen-virtiod has begun it goes on "
			  "with");
	ask_die();
}

/* Return: the result, the caller's; or NULL, and it has been said why. */
static struct json_object *ask(const struct ctl *ctl,
			       struct json_object *request)
{
	char why[WHY_BYTES], awaited[WHY_BYTES / 2];
	const struct ask ask = {
		.path		= ctl->socket,
		.awaited	= awaited,
		.changes	= ctl->command->changes,
		.timeout_ms	= ctl->timeout_ms,
	};
	struct json_object *reply, *result;
	int r;

	if (ctl->command->least)
		snprintf(awaited, sizeof(awaited), "%s '%s'",
			 ctl->command->awaited, ctl->words[0]);
	else
		snprintf(awaited, sizeof(awaited), "%s",
			 ctl->command->awaited);
	r = ask_daemon(&ask, request, &reply, why, sizeof(why));
	if (r == -EINTR)
		on_interrupt(ctl);
	if (r < 0) {
		log_error("%s", why);
		return NULL;
	}
	result = take_result(reply);
	json_object_put(reply);
	return result;
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Prints samples until something goes wrong, or ^C.  Return: 1. */
static int repeat(const struct ctl *ctl, struct json_object *request,
		  struct json_object *old)
{
	double then = now_s(), now;
	struct json_object *result;
	int r = 0;

	while (r == 0) {
		if (ask_sleep(ctl->interval_ms) < 0)
			on_interrupt(ctl);
		result = ask(ctl, request);
		now = now_s();
		if (!result)
			break;
		r = check_output(ctl->json ? print_json(result) :
				 print_rates(old, result, now - then));
		json_object_put(old);
		old = result;
		then = now;
	}
	json_object_put(old);
	return EXIT_DAEMON;
}

static int run(const struct ctl *ctl, struct json_object *request)
{
	struct json_object *result = ask(ctl, request);
	int r;

	if (!result)
		return EXIT_DAEMON;
	if (ctl->command->print == print_list && ctl->nwords &&
	    !select_guest(result, ctl->words[0])) {
		log_error("guest '%s': xen-virtiod serves none of this name "
			  "or id; see xen-virtioctl list", ctl->words[0]);
		json_object_put(result);
		return EXIT_DAEMON;
	}
	r = check_output(print_result(ctl, result));
	if (r == 0 && ctl->interval_ms)
		return repeat(ctl, request, result);
	json_object_put(result);
	return r;
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .socket = DEFAULT_SOCKET };
	struct json_object *request;
	int r;

	log_init("xen-virtioctl", false);
	r = parse(&ctl, argc, argv);
	if (!ctl.command)
		return r == 0 ? check_output(0) : r;
	if (ctl.command->alone) {
		r = ctl.command->alone(ctl.words, ctl.nwords);
		return r == -EINVAL ? EXIT_USAGE : check_output(r);
	}
	request = make_request(&ctl);
	if (!request)
		return EXIT_USAGE;
	ask_init();
	r = run(&ctl, request);
	json_object_put(request);
	return r;
}
