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
 * taken); the one place that judges values puts the key and the value before
 * it.  What concerns several keys at once is checked at the end.
 *
 * Several texts for one device are read in order: each value is checked where
 * it stands, but only remembered, and the last one of each key is what the
 * device is made of.
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

/* ---- layers ---- */

/* What the layers so far say; the values are inside the copies. */
struct merge {
	enum devspec_kind	kind;
	char			*copies[DEVSPEC_MAX_LAYERS];
	size_t			nlayers;	/* begun */
	struct {
		const char	*value;		/* NULL: not given */
		size_t		layer;		/* by whom last, from 1 */
	} given[SPEC_MAX_KEYS];
};

static size_t find_key(const struct spec_kind *kind, const char *key)
{
	size_t i;

	for (i = 0; i < kind->nkeys; i++)
		if (key_is(kind->keys[i].name, key))
			break;
	return i;
}

/* @scratch learns the values of this layer, to have them checked. */
static int merge_pairs(struct merge *m, char *rest, struct devspec *scratch,
		       const struct spec_why *why)
{
	const struct spec_kind *kind = kinds[m->kind];
	struct spec_quoted q;
	char *key, *value;
	const char *right;
	size_t i;
	int r;

	assert(kind->nkeys <= SPEC_MAX_KEYS);
	while (rest) {
		r = take_pair(&rest, &key, &value, why);
		if (r < 0)
			return r;
		i = find_key(kind, key);
		if (i == kind->nkeys)
			return refuse_key(why, kind, key);
		if (m->given[i].layer == m->nlayers)
			return spec_refuse(why, "%s='%s': %s is given twice",
					   key, spec_quote(&q, value), key);
		right = parse_value(scratch, &kind->keys[i], value);
		if (right)
			return spec_refuse(why, "%s='%s': %s", key,
					   spec_quote(&q, value), right);
		m->given[i].value = value;
		m->given[i].layer = m->nlayers;
	}
	return 0;
}

/* The layer just read against those before it. */
static void drop_contraries(struct merge *m)
{
	const struct spec_kind *kind = kinds[m->kind];
	const struct spec_contrary *c;
	const char *const *drop;
	size_t i, k;

	for (i = 0; i < kind->ncontraries; i++) {
		c = &kind->contraries[i];
		k = find_key(kind, c->key);
		if (m->given[k].layer != m->nlayers ||
		    (c->value && strcmp(c->value, m->given[k].value) != 0))
			continue;
		for (drop = c->drops; *drop; drop++) {
			k = find_key(kind, *drop);
			if (m->given[k].layer < m->nlayers)
				m->given[k].value = NULL;
		}
	}
}

static int merge_kind(struct merge *m, const char *name,
		      const struct spec_why *why)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			break;
	if (i == ARRAY_SIZE(kinds))
		return refuse_kind(why, name);
	if (m->nlayers > 1 && i != m->kind)
		return spec_refuse(why, "'%s': this device is a %s", name,
				   kinds[m->kind]->name);
	m->kind = (enum devspec_kind)i;
	return 0;
}

static int merge_layer(struct merge *m, const struct devspec_layer *layer,
		       const struct spec_why *target)
{
	const struct spec_why why = { target->text, target->len,
				      layer->origin };
	struct devspec scratch = { 0 };
	char *copy, *rest;
	int r;

	copy = strdup(layer->text);
	if (!copy)
		return spec_refuse(&why, "out of memory");
	assert(m->nlayers < ARRAY_SIZE(m->copies));
	m->copies[m->nlayers++] = copy;
	rest = copy + strcspn(copy, ",");
	if (*rest)
		*rest++ = '\0';
	else
		rest = NULL;
	r = merge_kind(m, copy, &why);
	if (r < 0)
		return r;
	scratch.kind = m->kind;
	kinds[m->kind]->init(&scratch);
	r = merge_pairs(m, rest, &scratch, &why);
	devspec_fini(&scratch);
	if (r == 0)
		drop_contraries(m);
	return r;
}

/* All layers are read: what do they make? */
static int merge_finish(const struct merge *m, struct devspec *ret,
			const struct spec_why *why)
{
	const struct spec_kind *kind = kinds[m->kind];
	struct devspec spec = { .kind = m->kind };
	const char *right = NULL;
	size_t i;
	int r;

	kind->init(&spec);
	for (i = 0; i < kind->nkeys && !right; i++)
		if (m->given[i].value)
			right = parse_value(&spec, &kind->keys[i],
					    m->given[i].value);
	/* Parsed before, so only memory can be wanting now. */
	r = right ? spec_refuse(why, "%s", right) : kind->check(&spec, why);
	if (r < 0)
		devspec_fini(&spec);
	else
		*ret = spec;
	return r;
}

static void merge_fini(struct merge *m)
{
	size_t i;

	for (i = 0; i < m->nlayers; i++)
		free(m->copies[i]);
}

int devspec_merge(const struct devspec_layer *layers, size_t count,
		  struct devspec *ret, char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, NULL };
	struct merge m = { 0 };
	size_t i;
	int r = 0;

	assert(count > 0);
	for (i = 0; i < count && r == 0; i++)
		r = merge_layer(&m, &layers[i], &why);
	if (r == 0)
		r = merge_finish(&m, ret, &(const struct spec_why){
				 why_text, why_len, layers[count - 1].origin });
	merge_fini(&m);
	return r;
}

int devspec_parse(const char *text, struct devspec *ret,
		  char *why, size_t why_len)
{
	const struct devspec_layer layer = { text, NULL };

	return devspec_merge(&layer, 1, ret, why, why_len);
}

int devspec_check(const struct devspec_layer *layer, enum devspec_kind *ret,
		  char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, NULL };
	struct merge m = { 0 };
	int r;

	r = merge_layer(&m, layer, &why);
	if (r == 0)
		*ret = m.kind;
	merge_fini(&m);
	return r;
}

void devspec_fini(struct devspec *spec)
{
	kinds[spec->kind]->fini(spec);
	memset(spec, 0, sizeof(*spec));
}

/* ---- one pair of a text that may be wrong ---- */

/* @pair: the comma before "key=value".  Return: the one behind it, or the end. */
static const char *pair_end(const char *pair)
{
	const char *p;

	for (p = pair + 1; *p && (p[0] != ',' || p[1] == ','); p++)
		if (*p == ',')
			p++;			/* the second of two */
	return p;
}

/* Return: the comma before the pair, or NULL. */
static const char *find_pair(const char *text, const char *key)
{
	const char *pair = text + strcspn(text, ",");
	size_t len = strlen(key);

	for (; *pair; pair = pair_end(pair))
		if (strncmp(pair + 1, key, len) == 0 && pair[1 + len] == '=')
			return pair;
	return NULL;
}

bool devspec_has_key(const char *text, const char *key)
{
	return find_pair(text, key) != NULL;
}

char *devspec_cut_key(char *text, const char *key)
{
	const char *pair = find_pair(text, key), *end, *value;
	char *ret;

	if (!pair)
		return NULL;
	end = pair_end(pair);
	value = pair + 1 + strlen(key) + 1;
	ret = strndup(value, (size_t)(end - value));
	if (ret)
		memmove(text + (pair - text), end, strlen(end) + 1);
	return ret;
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
	const struct spec_why why = { why_text, why_len, NULL };
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

int devspec_place(struct devspec *spec, const uint8_t used[DEVSPEC_USED_BYTES],
		  char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, NULL };
	unsigned int slot;

	if (spec->bdf_given) {
		if (used[spec->devfn >> 3] & 1u << (spec->devfn & 7))
			return spec_refuse(&why, "bdf='00:%02x.%x': another device of the guest is there",
					   spec->devfn >> 3, spec->devfn & 7);
		return 0;
	}
	for (slot = DEVSPEC_FIRST_SLOT; slot <= DEVSPEC_LAST_SLOT; slot++) {
		if (used[slot])		/* a byte has a slot's functions */
			continue;
		spec->devfn = (uint8_t)(slot << 3);
		return 0;
	}
	spec_say(&why, "bdf is missing: slots %02x to %02x are taken, use bdf=00:05.0 to 00:17.7",
		 DEVSPEC_FIRST_SLOT, DEVSPEC_LAST_SLOT);
	return -ENOSPC;
}

unsigned int devspec_vectors(const struct devspec *spec)
{
	unsigned int queues = spec->kind == DEVSPEC_BLK ? spec->blk.queues :
			      2 * spec->net.queues + 1;	/* with control */

	return queues + 1;		/* the configuration's */
}
