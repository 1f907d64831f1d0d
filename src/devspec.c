/* SPDX-License-Identifier: MIT */
/*
 * devspec.c: from "blk,path=/x.img,cache=none" to a struct devspec.
 *
 *	text	blk,path=/a,,b.img,serial=web1
 *		 |   |    |           |
 *		kind key  value       key ...	"/a,b.img": ",," is a comma
 *
 * Each kind of device has a file with a table of its keys.  A key's parser
 * takes the value and says what would be right if it is not (NULL: it was
 * taken); the one place that calls the parsers puts the key and the value
 * before it.  What concerns several keys at once is checked at the end.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "devspec.h"
#include "spec.h"
#include "util.h"

static const struct spec_kind *const kinds[] = {
	[DEVSPEC_BLK] = &spec_blk_kind,
	[DEVSPEC_NET] = &spec_net_kind,
};

static int refuse_key(const struct spec_why *why,
		      const struct spec_kind *kind, const char *key)
{
	struct spec_quoted q;
	char names[384];
	size_t i, len = 0;

	names[0] = '\0';
	for (i = 0; i < kind->nkeys && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%s%s", i ? ", " : "",
					kind->keys[i].name);
	return spec_refuse(why, "'%s' is no key of %s: use %s",
			   spec_quote(&q, key), kind->name, names);
}

static int refuse_kind(const struct spec_why *why, const char *kind)
{
	struct spec_quoted q;
	char names[64];
	size_t i, len = 0;

	names[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(kinds) && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%s%s,KEY=VALUE,...",
					i ? " or " : "", kinds[i]->name);
	return spec_refuse(why, "'%s' is no kind of device: use %s",
			   spec_quote(&q, kind), names);
}

/*
 * Cuts "key=value" off the front of *@rest, undoubling commas in place.
 * Afterwards *@rest is what follows the comma behind it, or NULL at the end.
 */
static int take_pair(char **rest, char **ret_key, char **ret_value,
		     const struct spec_why *why)
{
	char *key = *rest, *in, *out;
	struct spec_quoted q;

	in = key + strcspn(key, "=,");
	if (in == key && *in != '=')
		return spec_refuse(why, "there is a comma too many before "
				   "'%s': use KIND,KEY=VALUE,...",
				   spec_quote(&q, key));
	if (*in != '=') {
		*in = '\0';
		spec_quote(&q, key);
		return spec_refuse(why, "'%s' has no value: use %s=VALUE",
				   q.text, q.text);
	}
	*in++ = '\0';
	*ret_key = key;
	*ret_value = in;
	*rest = NULL;
	for (out = in; *in; in++) {
		if (in[0] == ',' && in[1] != ',') {
			*rest = in + 1;
			break;
		}
		if (in[0] == ',')
			in++;			/* the second of two */
		*out++ = *in;
	}
	*out = '\0';				/* at most over that comma */
	return 0;
}

static bool key_is(const char *name, const char *key)
{
	for (; *name && *key; name++, key++)
		if (*name != *key && !(strchr("-_", *name) &&
				       strchr("-_", *key)))
			return false;
	return *name == *key;
}

static const char *parse_value(struct devspec *spec,
			       const struct spec_key *key, const char *value)
{
	if (*value == '\0')
		return "the value is missing";
	return key->parse ? key->parse(spec, value) :
	       key->parse_bits(spec, key->bits, value);
}

static int parse_pairs(struct devspec *spec, char *rest,
		       const struct spec_why *why)
{
	const struct spec_kind *kind = kinds[spec->kind];
	struct spec_quoted q;
	uint32_t seen = 0;			/* bits, by index in keys */
	char *key, *value;
	const char *right;
	size_t i;
	int r;

	assert(kind->nkeys <= sizeof(seen) * 8);
	while (rest) {
		r = take_pair(&rest, &key, &value, why);
		if (r < 0)
			return r;
		for (i = 0; i < kind->nkeys; i++)
			if (key_is(kind->keys[i].name, key))
				break;
		if (i == kind->nkeys)
			return refuse_key(why, kind, key);
		if (seen & 1u << i)
			return spec_refuse(why, "%s='%s': %s is given twice",
					   key, spec_quote(&q, value), key);
		seen |= 1u << i;
		right = parse_value(spec, &kind->keys[i], value);
		if (right)
			return spec_refuse(why, "%s='%s': %s", key,
					   spec_quote(&q, value), right);
	}
	return 0;
}

int devspec_parse(const char *text, struct devspec *ret,
		  char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len };
	struct devspec spec = { 0 };
	char *copy, *rest;
	size_t i;
	int r;

	copy = strdup(text);
	if (!copy)
		return spec_refuse(&why, "out of memory");
	rest = copy + strcspn(copy, ",");
	if (*rest)
		*rest++ = '\0';
	else
		rest = NULL;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->name, copy) == 0)
			break;
	if (i == ARRAY_SIZE(kinds)) {
		r = refuse_kind(&why, copy);
		free(copy);
		return r;
	}
	spec.kind = (enum devspec_kind)i;
	kinds[i]->init(&spec);
	r = parse_pairs(&spec, rest, &why);
	if (r == 0)
		r = kinds[i]->check(&spec, &why);
	free(copy);
	if (r < 0) {
		devspec_fini(&spec);
		return r;
	}
	*ret = spec;
	return 0;
}

void devspec_fini(struct devspec *spec)
{
	kinds[spec->kind]->fini(spec);
	memset(spec, 0, sizeof(*spec));
}

/* ---- addresses for a whole list ---- */

static bool slot_is_used(const struct devspec *specs, size_t count,
			 unsigned int slot)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (specs[i].bdf_given && specs[i].devfn >> 3 == slot)
			return true;
	return false;
}

static bool devfn_is_used(const struct devspec *specs, size_t count,
			  unsigned int devfn)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (specs[i].devfn == devfn)
			return true;
	return false;
}

/* Guests look for functions 1 to 7 only where they find a function 0. */
static int check_functions(const struct spec_why *why, const struct devspec *specs,
			   size_t count)
{
	unsigned int slot;
	size_t i;

	for (i = 0; i < count; i++) {
		slot = specs[i].devfn >> 3;
		if (!devfn_is_used(specs, count, slot << 3))
			return spec_refuse(why, "bdf='00:%02x.%x': no guest "
					   "finds it without a device at "
					   "00:%02x.0", slot,
					   specs[i].devfn & 7, slot);
	}
	return 0;
}

int devspec_assign(struct devspec *specs, size_t count,
		   char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len };
	unsigned int slot = DEVSPEC_FIRST_SLOT;
	size_t i, j;

	for (i = 0; i < count; i++)
		for (j = 0; specs[i].bdf_given && j < i; j++)
			if (specs[j].bdf_given &&
			    specs[j].devfn == specs[i].devfn)
				return spec_refuse(&why, "bdf='00:%02x.%x': "
						   "devices %zu and %zu cannot "
						   "both be there",
						   specs[i].devfn >> 3,
						   specs[i].devfn & 7, j + 1,
						   i + 1);

	for (i = 0; i < count; i++) {
		if (specs[i].bdf_given)
			continue;
		while (slot <= DEVSPEC_LAST_SLOT &&
		       slot_is_used(specs, count, slot))
			slot++;
		if (slot > DEVSPEC_LAST_SLOT) {
			spec_say(&why, "bdf is missing for device %zu: slots "
				"%02x to %02x are taken, use bdf=00:05.0 to "
				"00:17.7", i + 1, DEVSPEC_FIRST_SLOT,
				DEVSPEC_LAST_SLOT);
			return -ENOSPC;
		}
		specs[i].devfn = (uint8_t)(slot++ << 3);
	}
	return check_functions(&why, specs, count);
}
