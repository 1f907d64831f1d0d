/* SPDX-License-Identifier: MIT */
/*
 * config.c: from /etc/xen/xen-virtiod.conf to devices.
 *
 *	conftext.c: the text, when it can be trusted and has no surprises
 *	  |
 *	libconfuse: settings, each with the line where it stands
 *	  |
 *	struct config: every key and value checked, as far as can be known
 *	  |
 *	devspec.c: layers, to devices
 *
 * libconfuse has no argument for what its callbacks should know, so that is in
 * a variable here, while it runs.
 */
#include <assert.h>
#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "conftext.h"
#include "sandbox.h"
#include "spec.h"
#include "util.h"

#define VDEV_MAX_BYTES	15
#define VIRTIO_MAX	1023
#define GROUP_MAX_BYTES	32

/* One "name = value", or one value of a list. */
struct setting {
	char		*guest;		/* inside this one, or NULL */
	char		*name;
	char		*value;
	unsigned int	line;
};

/* A file that is being loaded. */
struct load {
	const char	*path;
	char		*text;		/* all of it, a string */
	struct spec_why	why;		/* its origin is @origin */
	char		*origin;	/* "FILE:LINE" of what is looked at */
	bool		refused;	/* and @why says it */
	struct setting	*settings;	/* in the file's order */
	size_t		nsettings;
	struct config	*config;
};

/* Where we are, for messages and for what is kept. */
static int load_at(struct load *load, unsigned int line)
{
	free(load->origin);
	if (asprintf(&load->origin, "%s:%u", load->path, line) < 0)
		load->origin = NULL;
	load->why.origin = load->origin;
	return load->origin ? 0 : spec_refuse(&load->why, "out of memory");
}

/* A mistake in some line; the first one counts. */
#define load_refuse(load, line, ...) \
	(load_at((load), (line)) < 0 ? -EINVAL : \
	 ((load)->refused = true, spec_refuse(&(load)->why, __VA_ARGS__)))

/* ---- what a configuration has, and layers ---- */

static struct config_guest *find_guest(const struct config *config,
				       const char *name)
{
	size_t i;

	for (i = 0; i < config->nguests; i++)
		if (strcmp(config->guests[i].name, name) == 0)
			return &config->guests[i];
	return NULL;
}

static const struct config_device *find_entry(const struct config_guest *guest,
					      enum config_use use,
					      const char *vdev,
					      unsigned int number)
{
	const struct config_device *d;
	size_t i;

	for (i = 0; guest && i < guest->ndevices; i++) {
		d = &guest->devices[i];
		if (d->use == use &&
		    (use == CONFIG_VDEV ? strcmp(d->vdev, vdev) == 0 :
					  d->virtio == number))
			return d;
	}
	return NULL;
}

/* The kind's defaults, then @layers. */
static int merge_layers(const struct config *config, enum devspec_kind kind,
			const struct devspec_layer *layers, size_t count,
			struct devspec *ret, char *why, size_t why_len)
{
	const struct config_defaults *defaults = kind == DEVSPEC_BLK ?
		&config->blk : &config->net;
	struct devspec_layer all[3];
	size_t n = 0, i;

	if (defaults->text)
		all[n++] = (struct devspec_layer){ defaults->text,
						   defaults->origin };
	for (i = 0; i < count; i++)
		all[n++] = layers[i];
	return devspec_merge(all, n, ret, why, why_len);
}

static int merge_text(const struct config *config, enum devspec_kind kind,
		      const struct devspec_layer *layer, struct devspec *ret,
		      char *why, size_t why_len)
{
	return merge_layers(config, kind, layer, 1, ret, why, why_len);
}

/* @stanza and @entry may be NULL. */
static int merge_stanza(const struct config *config, enum devspec_kind kind,
			const char *stanza, const struct config_device *entry,
			struct devspec *ret, char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, NULL };
	struct devspec_layer layers[2];
	char *text;
	int r;

	if (asprintf(&text, "%s%s%s", kind == DEVSPEC_BLK ? "blk" : "net",
		     stanza && *stanza ? "," : "", stanza ? stanza : "") < 0)
		return spec_refuse(&why, "out of memory");
	layers[0] = (struct devspec_layer){ text, "stanza" };
	if (entry)
		layers[1] = (struct devspec_layer){ entry->text,
						    entry->origin };
	r = merge_layers(config, kind, layers, entry ? 2 : 1, ret, why_text,
			 why_len);
	free(text);
	return r;
}

/* ---- libconfuse ---- */

static struct load *loading;	/* while libconfuse runs */

#define NAMES "this is no name here: use blk, net, uid-base, sandbox, " \
	      "control-group or guest"

/* What libconfuse says, and what we say. */
static const struct {
	const char *theirs, *ours;
} messages[] = {
	{ "no such option '%s'", NAMES },
	/* It would have "guest=web1|device" for a name. */
	{ "no sub-section '%s' in '%s'", NAMES },
	{ "no sub-section title/index for '%s'", NAMES },
	{ "missing equal sign after option '%s'", "use '= VALUE' behind it" },
	{ "unexpected token '%s'", "this is out of place: use NAME = VALUE, "
	  "with VALUE in quotes, or guest \"NAME\" { ... }" },
	{ "premature end of file", "the file ends in the middle of something: "
	  "use NAME = VALUE" },
	{ "unexpected closing brace", "this '}' ends nothing: leave it out" },
	{ "found duplicate title '%s'", "this guest is there already: put "
	  "all of its devices in one place" },
	{ "missing title for section '%s'", "a name is missing: use "
	  "guest \"NAME\" { ... }" },
	{ "missing opening brace for section '%s'", "a '{' is missing: use "
	  "guest \"NAME\" { ... }" },
	{ "attempt to append to non-list option '%s'", "there is one value "
	  "only: use = instead of +=" },
};

static const char *own_message(cfg_t *cfg, const char *fmt)
{
	size_t i;

	if (strncmp(fmt, "no s", 4) == 0 && cfg_title(cfg))
		return "this is no name in a guest: use device";
	for (i = 0; i < ARRAY_SIZE(messages); i++)
		if (strcmp(fmt, messages[i].theirs) == 0)
			return messages[i].ours;
	return NULL;
}

static void take_error(cfg_t *cfg, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void take_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	const char *ours = own_message(cfg, fmt);
	struct spec_quoted q;
	char text[256];

	if (loading->refused)
		return;
	if (ours && strstr(fmt, "%s")) {
		(void)load_refuse(loading, (unsigned int)cfg->line, "'%s': %s",
				  spec_quote(&q, va_arg(ap, const char *)),
				  ours);
		return;
	}
	if (!ours)		/* cut if too long: a line of no great use */
		(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)load_refuse(loading, (unsigned int)cfg->line, "%s", ours ? ours :
			  spec_quote(&q, text));
}

static size_t count_settings(const struct load *load, const char *guest,
			     const char *name)
{
	const struct setting *s = load->settings;
	size_t i, count = 0;

	for (i = 0; i < load->nsettings; i++)
		if (strcmp(s[i].name, name) == 0 && !s[i].guest == !guest &&
		    (!guest || strcmp(s[i].guest, guest) == 0))
			count++;
	return count;
}

static int add_setting(const char *guest, const char *name, const char *value,
		       unsigned int line)
{
	struct setting *s;

	s = reallocarray(loading->settings, loading->nsettings + 1,
			 sizeof(*s));
	if (!s)
		return -ENOMEM;
	loading->settings = s;
	s += loading->nsettings++;
	*s = (struct setting){
		.guest	= guest ? strdup(guest) : NULL,
		.name	= strdup(name),
		.value	= strdup(value),
		.line	= line,
	};
	return (guest && !s->guest) || !s->name || !s->value ? -ENOMEM : 0;
}

/*
 * A value, in the order of the file.  A list begins anew behind each "=", and
 * what it had before would be forgotten.
 */
static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		      void *result)
{
	unsigned int line = (unsigned int)cfg->line;
	const char *guest = cfg_title(cfg);

	if (!guest == (strcmp(opt->name, "device") == 0))
		return load_refuse(loading, line, "'%s': use it inside guest "
				   "\"NAME\" { ... }", opt->name);
	if (cfg_opt_size(opt) == 1 &&
	    count_settings(loading, guest, opt->name) > 0)
		return load_refuse(loading, line, "'%s' is set twice: use %s",
				   opt->name, guest ? "one list, or +=" :
				   "it once");
	if (add_setting(guest, opt->name, value, line) < 0)
		return load_refuse(loading, line, "out of memory");
	*(const char **)result = value;
	return 0;
}

static int add_guest(struct config *config, const char *name)
{
	struct config_guest *guests;

	guests = reallocarray(config->guests, config->nguests + 1,
			      sizeof(*guests));
	if (!guests)
		return -ENOMEM;
	config->guests = guests;
	guests[config->nguests] = (struct config_guest){
		.name = strdup(name),
	};
	return guests[config->nguests++].name ? 0 : -ENOMEM;
}

static int take_guests(struct load *load, cfg_t *cfg)
{
	const char *name;
	unsigned int i;
	cfg_t *guest;

	for (i = 0; i < cfg_size(cfg, "guest"); i++) {
		guest = cfg_getnsec(cfg, "guest", i);
		name = cfg_title(guest);
		if (*name == '\0')
			return load_refuse(load, (unsigned int)guest->line,
					   "guest '': the name is missing: "
					   "use guest \"NAME\" { ... }");
		/* An empty list, behind which there is no value to take. */
		if (cfg_size(guest, "device") !=
		    count_settings(load, name, "device"))
			return load_refuse(load, (unsigned int)guest->line,
					   "'device' is set twice: use one "
					   "list, or +=");
		if (add_guest(load->config, name) < 0)
			return load_refuse(load, (unsigned int)guest->line,
					   "out of memory");
	}
	return 0;
}

/* Its own macros have 0 for NULL, and more than we need. */
#define SETTING(n, f) {							\
	.name = (n),							\
	.type = CFGT_STR,						\
	.flags = CFGF_NODEFAULT | (f),					\
	.parsecb = take_value,						\
}

static int parse_text(struct load *load)
{
	cfg_opt_t guest[] = { SETTING("device", CFGF_LIST), { 0 } };
	cfg_opt_t all[] = {
		SETTING("blk", CFGF_NONE),
		SETTING("net", CFGF_NONE),
		SETTING("uid-base", CFGF_NONE),
		SETTING("sandbox", CFGF_NONE),
		SETTING("control-group", CFGF_NONE),
		{
			.name = "guest",
			.type = CFGT_SEC,
			.flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES,
			.subopts = guest,
		},
		{ 0 },
	};
	cfg_t *cfg;
	int r;

	cfg = cfg_init(all, CFGF_NONE);
	if (!cfg)
		return load_refuse(load, 1, "out of memory");
	loading = load;
	(void)cfg_set_error_function(cfg, take_error);	/* there was none */
	errno = 0;
	r = cfg_parse_buf(cfg, load->text);
	loading = NULL;
	if (r == CFG_SUCCESS)
		r = take_guests(load, cfg);
	else if (load->refused)
		r = -EINVAL;
	else		/* it says nothing of memory, nor of empty names */
		r = load_refuse(load, (unsigned int)cfg->line, "%s",
				errno == ENOMEM ? "out of memory" :
				"'': " NAMES);
	(void)cfg_free(cfg);
	return r;
}

/* ---- from settings to a configuration ---- */

/* Only one device can have these. */
static int check_defaults(struct load *load, const struct setting *s,
			  const char *text)
{
	static const char *const single[] = {
		"path", "bdf", "tap", "mac", "ifname",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(single); i++)
		if (devspec_has_key(text, single[i]))
			return load_refuse(load, s->line, "%s: %s is for one "
					   "device, and these are defaults: "
					   "use it in a guest's device list",
					   s->name, single[i]);
	return 0;
}

static int set_defaults(struct load *load, const struct setting *s,
			struct config_defaults *ret)
{
	struct devspec_layer layer;
	enum devspec_kind kind;
	int r;

	if (asprintf(&ret->text, "%s%s%s", s->name, *s->value ? "," : "",
		     s->value) < 0) {
		ret->text = NULL;
		return load_refuse(load, s->line, "out of memory");
	}
	ret->origin = strdup(load->origin);
	if (!ret->origin)
		return load_refuse(load, s->line, "out of memory");
	layer = (struct devspec_layer){ ret->text, ret->origin };
	r = devspec_check(&layer, &kind, load->why.text, load->why.len);
	return r < 0 ? r : check_defaults(load, s, ret->text);
}

static int set_uid_base(struct load *load, const struct setting *s)
{
	struct spec_quoted q;

	if (spec_number(s->value, 1, SANDBOX_UID_BASE,
			&load->config->uid_base))
		return 0;
	return load_refuse(load, s->line, "uid-base='%s': use 1 to %u",
			   spec_quote(&q, s->value), SANDBOX_UID_BASE);
}

static int set_sandbox(struct load *load, const struct setting *s)
{
	struct spec_quoted q;

	if (spec_switch(s->value, "on", "off", &load->config->sandbox))
		return 0;
	return load_refuse(load, s->line, "sandbox='%s': use on or off",
			   spec_quote(&q, s->value));
}

static int set_control_group(struct load *load, const struct setting *s)
{
	const char *p = s->value;
	struct spec_quoted q;

	while (isalnum((unsigned char)*p) || (*p && strchr("_-.", *p)))
		p++;
	if (*p || p == s->value || *s->value == '-' ||
	    p - s->value > GROUP_MAX_BYTES)
		return load_refuse(load, s->line, "control-group='%s': use the "
				   "name of a group",
				   spec_quote(&q, s->value));
	load->config->control_group = strdup(s->value);
	return load->config->control_group ? 0 :
	       load_refuse(load, s->line, "out of memory");
}

/* A short word, as in "xvdg" or "51712". */
static bool is_vdev(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789");

	return len > 0 && word[len] == '\0' && len <= VDEV_MAX_BYTES;
}

/* Takes vdev= or virtio= out of the text. */
static int take_use(struct load *load, const struct setting *s,
		    struct config_device *d)
{
	struct spec_quoted q;
	char *number;
	bool good;

	d->vdev = devspec_cut_key(d->text, "vdev");
	if (d->vdev) {
		d->use = CONFIG_VDEV;
		if (!is_vdev(d->vdev))
			return load_refuse(load, s->line, "vdev='%s': use a "
					   "disk's name as in its stanza, such "
					   "as xvda", spec_quote(&q, d->vdev));
	}
	number = devspec_cut_key(d->text, "virtio");
	if (number) {
		d->use = CONFIG_VIRTIO;
		good = spec_number(number, 0, VIRTIO_MAX, &d->virtio);
		spec_quote(&q, number);
		free(number);
		if (!good)
			return load_refuse(load, s->line, "virtio='%s': use 0 "
					   "for the first in the list, up to "
					   "%d", q.text, VIRTIO_MAX);
	}
	if (d->vdev && number)
		return load_refuse(load, s->line, "vdev and virtio are both "
				   "given: use one of them");
	if (devspec_has_key(d->text, "vdev"))
		return load_refuse(load, s->line, "vdev is given twice");
	if (devspec_has_key(d->text, "virtio"))
		return load_refuse(load, s->line, "virtio is given twice");
	return 0;
}

/* Would the entry do, with what its stanza has at least? */
static int try_device(struct load *load, const struct config_device *d)
{
	const struct devspec_layer layer = { d->text, d->origin };
	struct devspec spec;
	int r = 0;

	if (d->use == CONFIG_VIRTIO)
		return 0;		/* its stanza may say anything */
	if (d->use == CONFIG_VDEV)
		r = merge_stanza(load->config, d->kind, "path=/stanza", d,
				 &spec, load->why.text, load->why.len);
	else
		r = merge_text(load->config, d->kind, &layer, &spec,
			       load->why.text, load->why.len);
	if (r == 0)
		devspec_fini(&spec);
	return r;
}

/* Whatever of an entry can be known to be wrong before the guest is there. */
static int check_device(struct load *load, const struct setting *s,
			struct config_device *d)
{
	const struct devspec_layer layer = { d->text, d->origin };
	int r;

	r = devspec_check(&layer, &d->kind, load->why.text, load->why.len);
	if (r < 0)
		return r;
	if (d->use == CONFIG_VDEV && d->kind != DEVSPEC_BLK)
		return load_refuse(load, s->line, "vdev='%s': only a blk has "
				   "it; use virtio=NUMBER for a net", d->vdev);
	if (d->use == CONFIG_VDEV && devspec_has_key(d->text, "path"))
		return load_refuse(load, s->line, "path: the stanza of vdev "
				   "'%s' has it already; leave it out, or vdev",
				   d->vdev);
	return try_device(load, d);
}

static int add_device(struct load *load, const struct setting *s,
		      struct config_guest *guest)
{
	const struct config_device *other = NULL;
	struct config_device *d;
	struct spec_quoted q;
	int r;

	d = reallocarray(guest->devices, guest->ndevices + 1, sizeof(*d));
	if (!d)
		return load_refuse(load, s->line, "out of memory");
	guest->devices = d;
	d += guest->ndevices++;
	*d = (struct config_device){
		.text	= strdup(s->value),
		.origin	= strdup(load->origin),
	};
	if (!d->text || !d->origin)
		return load_refuse(load, s->line, "out of memory");
	r = take_use(load, s, d);
	if (r < 0)
		return r;
	if (d->use != CONFIG_EXTRA)
		other = find_entry(guest, d->use, d->vdev, d->virtio);
	if (other && other != d)
		return load_refuse(load, s->line, "guest '%s' has an entry for "
				   "this stanza already, at %s: use one",
				   spec_quote(&q, guest->name), other->origin);
	return check_device(load, s, d);
}

static int apply_setting(struct load *load, const struct setting *s)
{
	struct config *config = load->config;

	if (load_at(load, s->line) < 0)
		return -EINVAL;
	if (strcmp(s->name, "blk") == 0)
		return set_defaults(load, s, &config->blk);
	if (strcmp(s->name, "net") == 0)
		return set_defaults(load, s, &config->net);
	if (strcmp(s->name, "uid-base") == 0)
		return set_uid_base(load, s);
	if (strcmp(s->name, "sandbox") == 0)
		return set_sandbox(load, s);
	return set_control_group(load, s);
}

/* Devices last: defaults, wherever they stand, are for all of them. */
static int apply_settings(struct load *load)
{
	const struct setting *s;
	size_t i;
	int r = 0;

	for (i = 0; i < load->nsettings && r == 0; i++)
		if (!load->settings[i].guest)
			r = apply_setting(load, &load->settings[i]);
	for (i = 0; i < load->nsettings && r == 0; i++) {
		s = &load->settings[i];
		if (!s->guest)
			continue;
		r = load_at(load, s->line);
		if (r == 0)
			r = add_device(load, s, find_guest(load->config,
							   s->guest));
	}
	return r;
}

static void load_fini(struct load *load)
{
	size_t i;

	for (i = 0; i < load->nsettings; i++) {
		free(load->settings[i].guest);
		free(load->settings[i].name);
		free(load->settings[i].value);
	}
	free(load->settings);
	free(load->text);
	free(load->origin);
	config_free(load->config);
}

int config_load(const char *path, struct config **ret,
		char *why, size_t why_len)
{
	struct load load = {
		.path	= path,
		.why	= { why, why_len, NULL },
		.config	= config_new_default(),
	};
	int r;

	r = load.config ? conftext_load(path, &load.text, why, why_len) :
	    spec_refuse(&load.why, "%s: out of memory", path);
	if (r == 0)
		r = parse_text(&load);
	if (r == 0)
		r = apply_settings(&load);
	if (r == 0) {
		*ret = load.config;
		load.config = NULL;
	}
	load_fini(&load);
	return r;
}

struct config *config_new_default(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config) {
		config->uid_base = SANDBOX_UID_BASE;
		config->sandbox = true;
	}
	return config;
}

static void guest_fini(struct config_guest *guest)
{
	size_t i;

	for (i = 0; i < guest->ndevices; i++) {
		free(guest->devices[i].vdev);
		free(guest->devices[i].text);
		free(guest->devices[i].origin);
	}
	free(guest->devices);
	free(guest->name);
}

void config_free(struct config *config)
{
	size_t i;

	if (!config)
		return;
	for (i = 0; i < config->nguests; i++)
		guest_fini(&config->guests[i]);
	free(config->guests);
	free(config->blk.text);
	free(config->blk.origin);
	free(config->net.text);
	free(config->net.origin);
	free(config->control_group);
	free(config);
}

/* ---- from a configuration to devices ---- */

const struct config_guest *config_guest(const struct config *config,
					const char *name)
{
	return find_guest(config, name);
}

bool config_names_vdev(const struct config *config, const char *guest,
		       const char *vdev)
{
	return find_entry(config_guest(config, guest), CONFIG_VDEV, vdev, 0);
}

int config_blk(const struct config *config, const char *guest,
	       const char *vdev, const char *stanza, struct devspec *ret,
	       char *why, size_t why_len)
{
	const struct config_device *entry = NULL;

	if (vdev)
		entry = find_entry(config_guest(config, guest), CONFIG_VDEV,
				   vdev, 0);
	return merge_stanza(config, DEVSPEC_BLK, stanza, entry, ret, why,
			    why_len);
}

int config_virtio(const struct config *config, const char *guest,
		  unsigned int number, enum devspec_kind kind,
		  const char *stanza, struct devspec *ret,
		  char *why, size_t why_len)
{
	const struct config_device *entry;

	entry = find_entry(config_guest(config, guest), CONFIG_VIRTIO, NULL,
			   number);
	return merge_stanza(config, kind, stanza, entry, ret, why, why_len);
}

static const struct config_device *find_extra(const struct config_guest *guest,
					      size_t i)
{
	size_t k;

	for (k = 0; guest && k < guest->ndevices; k++)
		if (guest->devices[k].use == CONFIG_EXTRA && i-- == 0)
			return &guest->devices[k];
	return NULL;
}

size_t config_extra_count(const struct config *config, const char *guest)
{
	const struct config_guest *g = config_guest(config, guest);
	size_t i = 0;

	while (find_extra(g, i))
		i++;
	return i;
}

int config_extra(const struct config *config, const char *guest, size_t i,
		 struct devspec *ret, char *why, size_t why_len)
{
	const struct config_device *d;
	struct devspec_layer layer;

	d = find_extra(config_guest(config, guest), i);
	assert(d);
	layer = (struct devspec_layer){ d->text, d->origin };
	return merge_text(config, d->kind, &layer, ret, why, why_len);
}

int config_attach(const struct config *config, const char *text,
		  struct devspec *ret, char *why, size_t why_len)
{
	const struct devspec_layer layer = { text, NULL };
	enum devspec_kind kind;
	int r;

	r = devspec_check(&layer, &kind, why, why_len);
	if (r < 0)
		return r;
	return merge_text(config, kind, &layer, ret, why, why_len);
}
