/* SPDX-License-Identifier: MIT */
/*
 * print.c: see the header.
 *
 * "list" shows the members that it knows, in columns; "show" and "stats" show
 * whatever there is, one in a line, so that a newer daemon's members are seen,
 * too.  What the daemon says is made visible by table.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <json-c/json.h>
#include "fields.h"
#include "print.h"
#include "table.h"

static void add_all(struct table *t, const char *const *texts)
{
	for (; *texts; texts++)
		table_add(t, *texts);
}

/* Prints @t, and closes it. */
static int finish(struct table *t, const char *indent)
{
	int r = table_print(t, indent);

	table_close(t);
	return r;
}

/* ---- list ---- */

static void add_guest(struct table *t, struct json_object *guest)
{
	table_add_number(t, field_text(guest, "domid"));
	table_add(t, field_text(guest, "name"));
	table_add(t, field_text(guest, "type"));
	table_add(t, field_text(field_object(guest, "worker"), "state"));
}

static void add_device(struct table *t, struct json_object *device)
{
	static const char *const keys[] = {
		"name", "bdf", "state", "origin", "what", NULL,
	};
	size_t i;

	/* NULL has none of them. */
	for (i = 0; keys[i]; i++)
		table_add(t, field_text(device, keys[i]));
}

int print_list(struct json_object *result, char **words)
{
	static const char *const heads[] = {
		"GUEST", "TYPE", "WORKER", "DEVICE", "BDF", "STATE",
		"ORIGIN", "WHAT", NULL,
	};
	struct json_object *guest, *device;
	struct table *t = table_open(9);
	size_t i, j;

	(void)words;
	table_add_number(t, "ID");
	add_all(t, heads);
	for (i = 0; (guest = field_element(result, "guests", i)); i++) {
		j = 0;
		do {
			device = field_element(guest, "devices", j++);
			add_guest(t, guest);
			add_device(t, device);
		} while (field_element(guest, "devices", j));
	}
	return finish(t, "");
}

/* ---- show ---- */

/* "10.0 GiB (10737418240)", "yes", "a, b"; and text as it is. */
static void add_value(struct table *t, const char *name,
		      struct json_object *v)
{
	char text[2 * FIELD_TEXT_BYTES], human[FIELD_TEXT_BYTES];
	enum json_type type = json_object_get_type(v);

	if (type == json_type_boolean) {
		table_add(t, json_object_get_boolean(v) ? "yes" : "no");
	} else if (type == json_type_int && field_is_bytes(name) &&
		   json_object_get_int64(v) >= 1024) {
		field_human(json_object_get_double(v), human);
		snprintf(text, sizeof(text), "%s (%s)", human,
			 json_object_get_string(v));
		table_add(t, text);
	} else {
		table_add(t, json_object_get_string(v) ?: "");
	}
}

static void add_member(void *arg, const char *name, struct json_object *v)
{
	table_add(arg, name);
	add_value(arg, name, v);
}

static int print_members(struct json_object *obj, const char *const *skip,
			 const char *indent)
{
	struct table *t = table_open(2);

	field_walk(obj, skip, add_member, t);
	return finish(t, indent);
}

/* A line for itself, as "web1", "vblk0". */
static int print_head(const char *name, const char *indent)
{
	struct table *t = table_open(1);

	table_add(t, name);
	return finish(t, indent);
}

static int show_guest(struct json_object *guest)
{
	static const char *const guest_skip[] = { "name", "devices", NULL };
	static const char *const device_skip[] = { "name", NULL };
	struct json_object *device;
	size_t i;
	int r;

	r = print_head(field_text(guest, "name"), "");
	if (r == 0)
		r = print_members(guest, guest_skip, "    ");
	for (i = 0; r == 0; i++) {
		device = field_element(guest, "devices", i);
		if (!device)
			break;
		r = print_head(field_text(device, "name"), "  ");
		if (r == 0)
			r = print_members(device, device_skip, "    ");
	}
	return r;
}

int print_show(struct json_object *result, char **words)
{
	struct json_object *guest;
	size_t i;
	int r = 0;

	(void)words;
	for (i = 0; r == 0; i++) {
		guest = field_element(result, "guests", i);
		if (!guest)
			break;
		r = show_guest(guest);
	}
	return r;
}

/* ---- stats ---- */

struct counters {
	struct table		*t;
	struct json_object	*guest;
	struct json_object	*device;
};

static void add_counter(void *arg, const char *name, struct json_object *v)
{
	struct counters *c = arg;

	table_add(c->t, field_text(c->guest, "name"));
	table_add(c->t, field_text(c->device, "name"));
	table_add(c->t, field_text(c->device, "bdf"));
	table_add(c->t, name);
	table_add_number(c->t, json_object_get_string(v) ?: "");
}

int print_stats(struct json_object *result, char **words)
{
	static const char *const heads[] = {
		"GUEST", "DEVICE", "BDF", "COUNTER", NULL,
	};
	struct counters c = { .t = table_open(5) };
	size_t i, j;

	(void)words;
	add_all(c.t, heads);
	table_add_number(c.t, "VALUE");
	for (i = 0; (c.guest = field_element(result, "guests", i)); i++)
		for (j = 0; (c.device = field_element(c.guest, "devices", j));
		     j++)
			field_walk(field_object(c.device, "stats"), NULL,
				   add_counter, &c);
	return finish(c.t, "");
}

/* ---- the others ---- */

int print_attach(struct json_object *result, char **words)
{
	struct json_object *device = field_object(result, "device");
	struct table *t = table_open(3);

	table_add(t, words[0]);
	table_add(t, field_text(device, "name"));
	table_add(t, field_text(device, "bdf"));
	return finish(t, "");
}

int print_resize(struct json_object *result, char **words)
{
	struct json_object *bytes = NULL;
	struct table *t = table_open(3);

	(void)json_object_object_get_ex(result, "bytes", &bytes);
	table_add(t, words[0]);
	table_add(t, words[1]);
	add_value(t, "bytes", bytes);
	return finish(t, "");
}
