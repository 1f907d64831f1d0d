/* SPDX-License-Identifier: MIT */
/*
 * fields.h: what is in a result of the daemon's, whatever that may be: every
 * member may be missing, or be something else than was expected.
 */
#ifndef XVD_CTL_FIELDS_H
#define XVD_CTL_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;

/* For the text of a number, "9223372036854775807 (8192.0 PiB)". */
#define FIELD_TEXT_BYTES	64

/* Return: the text of member @key, or "" without one.  The object's. */
const char *field_text(struct json_object *obj, const char *key);

/* Return: member @key if it is an object, or NULL. */
struct json_object *field_object(struct json_object *obj, const char *key);

/* Return: element @i of member @key, or NULL behind the last one. */
struct json_object *field_element(struct json_object *obj, const char *key,
				  size_t i);

/* Writes "10.0 GiB" to @buf.  Return: @buf. */
const char *field_human(double bytes, char buf[FIELD_TEXT_BYTES]);

/* Does @name, as in "read_bytes", say that it counts bytes? */
bool field_is_bytes(const char *name);

/*
 * Calls @fn for every member of @obj that is a value, and for those of the
 * objects in it, by the name "object.member"; but for members of @obj itself
 * that are in @skip, which ends with NULL.
 */
void field_walk(struct json_object *obj, const char *const *skip,
		void (*fn)(void *arg, const char *name,
			   struct json_object *value), void *arg);

#endif
