/* SPDX-License-Identifier: MIT */
/*
 * rates.c: what devices do in a second, as iostat(1) shows it: a line for each
 * device and a column for each counter.  Devices that count the same things,
 * disks, say, are in one table.
 *
 * A device is found again in the older sample by its guest's id and its name.
 * One that is new, or that has begun to count from zero again, has no rate
 * until the next sample.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include "fields.h"
#include "print.h"
#include "table.h"

#define HEAD_BYTES	300

struct sample {
	struct json_object	*guest;
	struct json_object	*device;
	struct json_object	*stats;
	struct json_object	*old;		/* stats, or NULL */
	bool			done;
};

struct samples {
	struct sample	*all;
	size_t		count;
	size_t		room;
};

static struct json_object *find_old(struct json_object *result,
				    const struct sample *s)
{
	const char *domid = field_text(s->guest, "domid");
	const char *name = field_text(s->device, "name");
	struct json_object *guest, *device;
	size_t i, j;

	for (i = 0; (guest = field_element(result, "guests", i)); i++) {
		if (strcmp(field_text(guest, "domid"), domid) != 0)
			continue;
		for (j = 0; (device = field_element(guest, "devices", j)); j++)
			if (strcmp(field_text(device, "name"), name) == 0)
				return field_object(device, "stats");
	}
	return NULL;
}

static int samples_add(struct samples *samples, const struct sample *s)
{
	struct sample *all;

	if (samples->count == samples->room) {
		all = reallocarray(samples->all, samples->room * 2 + 16,
				   sizeof(*all));
		if (!all)
			return -ENOMEM;
		samples->all = all;
		samples->room = samples->room * 2 + 16;
	}
	samples->all[samples->count++] = *s;
	return 0;
}

static int samples_fill(struct samples *samples, struct json_object *old,
			struct json_object *result)
{
	struct sample s = { .done = false };
	size_t i, j;

	for (i = 0; (s.guest = field_element(result, "guests", i)); i++)
		for (j = 0; (s.device = field_element(s.guest, "devices", j));
		     j++) {
			s.stats = field_object(s.device, "stats");
			s.old = find_old(old, &s);
			if (s.stats && samples_add(samples, &s) < 0)
				return -ENOMEM;
		}
	return 0;
}

/* Do both count the same things? */
static bool counts_alike(struct json_object *a, struct json_object *b)
{
	struct json_object *other;

	if (json_object_object_length(a) != json_object_object_length(b))
		return false;
	json_object_object_foreach(a, key, value) {
		if (!json_object_object_get_ex(b, key, &other) ||
		    json_object_get_type(other) != json_object_get_type(value))
			return false;
	}
	return true;
}

static void add_rate(struct table *t, const char *key, struct json_object *now,
		     struct json_object *old, double seconds)
{
	char text[FIELD_TEXT_BYTES];
	struct json_object *before;
	double rate;

	if (!json_object_object_get_ex(old, key, &before) ||
	    !json_object_is_type(before, json_type_int) ||
	    json_object_get_int64(before) > json_object_get_int64(now)) {
		table_add_number(t, "-");
		return;
	}
	rate = ((double)json_object_get_int64(now) -
		(double)json_object_get_int64(before)) / seconds;
	if (field_is_bytes(key))
		field_human(rate, text);
	else
		snprintf(text, sizeof(text), "%.1f", rate);
	table_add_number(t, text);
}

static void add_row(struct table *t, struct sample *s,
		    struct json_object *heads, double seconds)
{
	table_add(t, field_text(s->guest, "name"));
	table_add(t, field_text(s->device, "name"));
	json_object_object_foreach(heads, key, head) {
		if (json_object_is_type(head, json_type_int))
			add_rate(t, key, json_object_object_get(s->stats, key),
				 s->old, seconds);
	}
	s->done = true;
}

static size_t count_counters(struct json_object *stats)
{
	size_t n = 0;

	json_object_object_foreach(stats, key, v) {
		(void)key;
		n += json_object_is_type(v, json_type_int);
	}
	return n;
}

/* The first of @count samples, and all that count the same. */
static int print_alike(struct sample *s, size_t count, double seconds)
{
	struct json_object *heads = s->stats;
	struct table *t = table_open(2 + count_counters(heads));
	char head[HEAD_BYTES];
	size_t i;
	int r;

	table_add(t, "GUEST");
	table_add(t, "DEVICE");
	json_object_object_foreach(heads, key, v) {
		snprintf(head, sizeof(head), "%s/s", key);
		if (json_object_is_type(v, json_type_int))
			table_add_number(t, head);
	}
	for (i = 0; i < count; i++)
		if (!s[i].done && counts_alike(heads, s[i].stats))
			add_row(t, &s[i], heads, seconds);
	r = table_print(t, "");
	table_close(t);
	return r;
}

int print_rates(struct json_object *old, struct json_object *result,
		double seconds)
{
	struct samples samples = { .all = NULL };
	size_t i;
	int r;

	r = samples_fill(&samples, old, result);
	for (i = 0; r == 0 && i < samples.count; i++)
		if (!samples.all[i].done)
			r = print_alike(&samples.all[i], samples.count - i,
					seconds);
	printf("\n");
	free(samples.all);
	return r;
}
