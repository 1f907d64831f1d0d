/* SPDX-License-Identifier: MIT */
/*
 * spec.c: words and numbers of the device grammar, and what is said about
 * those that are wrong.
 *
 * The text comes from an administrator, but also from xenstore: nothing in
 * it is trusted, and whatever an error message quotes is made visible.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "spec.h"

#define QUEUE_SIZE_MAX	1024
#define FIRST_OWN_SLOT	0x05	/* 00 to 04 and 1f are the board's */
#define LAST_OWN_SLOT	0x1e

/* ---- the line about a mistake ---- */

void spec_say(const struct spec_why *why, const char *fmt, ...)
{
	size_t len = 0;
	va_list ap;

	/* Cut off if there is no room; never longer than asked for. */
	if (why->origin)
		len = (size_t)snprintf(why->text, why->len, "%s: ",
				       why->origin);
	if (len && len >= why->len)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(why->text + len, why->len - len, fmt, ap);
	va_end(ap);
}

const char *spec_quote(struct spec_quoted *q, const char *s)
{
	size_t len = 0, n;

	for (; *s; s += n ? n : 1) {
		n = log_visible(s);
		if (len + sizeof("\\x00") + sizeof("...") > sizeof(q->text)) {
			len += (size_t)sprintf(q->text + len, "...");
			break;
		}
		if (n)
			memcpy(q->text + len, s, n);
		len += n ? n : (size_t)sprintf(q->text + len, "\\x%02x",
					       (unsigned char)*s);
	}
	q->text[len] = '\0';
	return q->text;
}

/* ---- words and numbers ---- */

const char *spec_digits(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return NULL;		/* strtoull takes spaces and signs */
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || v > max)
		return NULL;
	*ret = v;
	return end;
}

bool spec_number(const char *text, unsigned int min, unsigned int max,
		 unsigned int *ret)
{
	const char *end;
	uint64_t v;

	end = spec_digits(text, max, &v);
	if (!end || *end != '\0' || v < min)
		return false;
	*ret = (unsigned int)v;
	return true;
}

const char *spec_hex(const char *text, int digits, unsigned int *ret)
{
	unsigned int v = 0;
	int i;

	for (i = 0; i < digits && isxdigit((unsigned char)text[i]); i++)
		v = v * 16 + (unsigned int)(isdigit((unsigned char)text[i]) ?
			text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
	if (i == 0)
		return NULL;
	*ret = v;
	return text + i;
}

bool spec_switch(const char *text, const char *on, const char *off,
		 bool *ret)
{
	if (strcmp(text, on) != 0 && strcmp(text, off) != 0)
		return false;
	*ret = strcmp(text, on) == 0;
	return true;
}

/* ---- parsers for keys that several kinds have ---- */

static const char *const grants_names[] = {
	[GRANTS_AUTO]		= "auto",
	[GRANTS_REQUIRE]	= "require",
	[GRANTS_OFF]		= "off",
};

const char *devspec_grants_name(enum grants_policy policy)
{
	return grants_names[policy];
}

const char *spec_parse_grants(struct devspec *spec, const char *value)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(grants_names); i++) {
		if (strcmp(value, grants_names[i]) != 0)
			continue;
		spec->grants = (enum grants_policy)i;
		return NULL;
	}
	return "use auto, require or off";
}

const char *spec_parse_pci_config(struct devspec *spec, const char *value)
{
	return spec_switch(value, "ecam", "function", &spec->ecam) ? NULL :
	       "use function or ecam";
}

const char *spec_parse_bdf(struct devspec *spec, const char *value)
{
	unsigned int part[4] = { 0 };	/* segment, bus, slot, function */
	int i = strchr(value, ':') == strrchr(value, ':') ? 1 : 0;
	static const char ends[] = "::.";
	const char *p = value;

	for (; i < 4; i++) {
		p = spec_hex(p, i == 0 ? 4 : i == 3 ? 1 : 2, &part[i]);
		if (!p || *p != ends[i])	/* ends[3] is the zero */
			return "use BUS:SLOT.FUNCTION, as in 00:18.0";
		p++;
	}
	if (part[0] != 0 || part[1] != 0)
		return "only segment 0000 and bus 00 reach a guest: use "
		       "00:18.0 or alike";
	if (part[2] > 0x1f)
		return "a bus has slots 00 to 1f: use 00:05.0 to 00:1e.7";
	if (part[3] > 7)
		return "a slot has functions 0 to 7";
	if (part[2] < FIRST_OWN_SLOT || part[2] > LAST_OWN_SLOT)
		return "slots 00 to 04 and 1f belong to the guest's own "
		       "board: use 00:05.0 to 00:1e.7";
	spec->devfn = (uint8_t)(part[2] << 3 | part[3]);
	spec->bdf_given = true;
	return NULL;
}

const char *spec_parse_text(const char *value, char **ret)
{
	*ret = strdup(value);
	return *ret ? NULL : "out of memory";
}

const char *spec_parse_onoff(const char *value, bool *ret)
{
	return spec_switch(value, "on", "off", ret) ? NULL : "use on or off";
}

const char *spec_parse_queue_size(const char *value, unsigned int *ret)
{
	unsigned int v;

	if (!spec_number(value, 2, QUEUE_SIZE_MAX, &v) || v & (v - 1))
		return "use a power of two from 2 to 1024";
	*ret = v;
	return NULL;
}
