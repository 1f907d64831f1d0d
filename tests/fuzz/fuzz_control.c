/* SPDX-License-Identifier: MIT */
/*
 * fuzz_control.c: anything at all as a line on the control socket.
 *
 * Wanted, besides no crash: what is taken is an object of our version with a
 * command, and has no string in it that ends before its end; it can be
 * written out, and what is written is taken, too, and is the same.  What is
 * refused comes with one short line.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <json-c/json.h>
#include "../../src/control.h"
#include "input.h"

static void check_strings(struct json_object *v)
{
	size_t i;

	switch (json_object_get_type(v)) {
	case json_type_string:
		assert(strlen(json_object_get_string(v)) ==
		       (size_t)json_object_get_string_len(v));
		break;
	case json_type_array:
		for (i = 0; i < json_object_array_length(v); i++)
			check_strings(json_object_array_get_idx(v, i));
		break;
	case json_type_object: {
		json_object_object_foreach(v, key, member) {
			(void)key;
			check_strings(member);
		}
		break;
	}
	default:
		break;
	}
}

static void check_request(struct json_object *request)
{
	struct json_object *v;

	assert(json_object_is_type(request, json_type_object));
	v = json_object_object_get(request, "version");
	assert(json_object_get_int64(v) == CONTROL_VERSION);
	v = json_object_object_get(request, "command");
	assert(json_object_is_type(v, json_type_string));
	check_strings(request);
}

/* Compared as text: what is not a number equals nothing. */
static void check_again(struct json_object *request)
{
	const char *text = json_object_to_json_string_ext(request,
						JSON_C_TO_STRING_PLAIN);
	struct json_object *again;
	char why[1024];

	assert(text && !strchr(text, '\n'));
	if (strlen(text) > CONTROL_REQUEST_BYTES)
		return;			/* "\n" takes more than a newline */
	assert(control_parse(text, strlen(text), &again, why,
			     sizeof(why)) == 0);
	assert(strcmp(text, json_object_to_json_string_ext(again,
					JSON_C_TO_STRING_PLAIN)) == 0);
	json_object_put(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *request = NULL;
	char why[1024] = "";
	int r;

	r = control_parse((const char *)data, size, &request, why,
			  sizeof(why));
	if (r == 0) {
		check_request(request);
		check_again(request);
		json_object_put(request);
		return 0;
	}
	assert(r == -EINVAL && !request);
	assert(*why && strlen(why) < 300);
	return 0;
}
