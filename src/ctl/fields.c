/* SPDX-License-Identifier: MIT */
/*
 * fields.c: see the header.
 */
#include <stdio.h>
#include <string.h>
#include <json-c/json.h>
#include "fields.h"
#include "util.h"

#define NAME_BYTES	256
#define WALK_DEPTH	8		/* beyond it, JSON is shown */

const char *field_text(struct json_object *obj, const char *key)
{
	struct json_object *v;

	/* json-c takes what is no object for a bug of ours. */
	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &v))
		return "";
	return json_object_get_string(v) ?: "";
}

struct json_object *field_object(struct json_object *obj, const char *key)
{
	struct json_object *v;

	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &v) ||
	    !json_object_is_type(v, json_type_object))
		return NULL;
	return v;
}

struct json_object *field_element(struct json_object *obj, const char *key,
				  size_t i)
{
	struct json_object *v;

	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &v) ||
	    !json_object_is_type(v, json_type_array))
		return NULL;
	return json_object_array_get_idx(v, i);
}

const char *field_human(double bytes, char buf[FIELD_TEXT_BYTES])
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB",
	};
	size_t i = 0;

	while (bytes >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, FIELD_TEXT_BYTES, "%.*f %s", i ? 1 : 0, bytes, units[i]);
	return buf;
}

bool field_is_bytes(const char *name)
{
	size_t len = strlen(name);

	return len >= 5 && strcmp(name + len - 5, "bytes") == 0 &&
	       (len == 5 || name[len - 6] == '_' || name[len - 6] == '.');
}

struct walk {
	void	(*fn)(void *arg, const char *name, struct json_object *value);
	void	*arg;
};

static bool is_skipped(const char *const *skip, const char *key)
{
	for (; skip && *skip; skip++)
		if (strcmp(*skip, key) == 0)
			return true;
	return false;
}

static void walk(const struct walk *w, const char *prefix, int depth,
		 const char *const *skip, struct json_object *obj)
{
	char name[NAME_BYTES];

	json_object_object_foreach(obj, key, v) {
		if (is_skipped(skip, key))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", prefix,
			 *prefix ? "." : "", key);
		if (depth < WALK_DEPTH &&
		    json_object_is_type(v, json_type_object))
			walk(w, name, depth + 1, NULL, v);
		else
			w->fn(w->arg, name, v);
	}
}

void field_walk(struct json_object *obj, const char *const *skip,
		void (*fn)(void *arg, const char *name,
			   struct json_object *value), void *arg)
{
	const struct walk w = { fn, arg };

	if (json_object_is_type(obj, json_type_object))
		walk(&w, "", 0, skip, obj);
}
