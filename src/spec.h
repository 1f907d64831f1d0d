/* SPDX-License-Identifier: MIT */
/*
 * spec.h: what the files of the device grammar share, and nobody else but
 * the configuration file, which is written in it.
 *
 *	devspec.c	from text to pairs to a struct devspec; addresses
 *	spec_blk.c	disks: keys, defaults, what goes with what
 *	spec_net.c	network cards: the same
 *	spec.c		words, numbers, and the line about a mistake
 *
 * A kind of device is a struct spec_kind, and devspec.c lists the kinds.
 */
#ifndef XVD_SPEC_H
#define XVD_SPEC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "devspec.h"

#define SPEC_QUEUE_SIZE		256	/* unless given */

/* ---- the line about a mistake ---- */

/* Where it goes. */
struct spec_why {
	char		*text;
	size_t		len;
	const char	*origin;	/* put before it; or NULL */
};

/* Cut off if there is no room. */
void spec_say(const struct spec_why *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A macro, so that the compiler sees that it never gives 0. */
#define spec_refuse(why, ...)	(spec_say((why), __VA_ARGS__), -EINVAL)

/* A string from outside, fit for a message: short and without controls. */
struct spec_quoted {
	char	text[72];
};

const char *spec_quote(struct spec_quoted *q, const char *s);

/* ---- kinds and keys ---- */

struct spec_key {
	const char *name;
	/* Return: NULL, or what would be right.  @value is not empty. */
	const char *(*parse)(struct devspec *spec, const char *value);
	/* Instead, for keys that differ in their bits and nothing else. */
	const char *(*parse_bits)(struct devspec *spec, unsigned int bits,
				  const char *value);
	unsigned int bits;
};

/*
 * A key that makes no sense beside others: in a later layer it takes them
 * away from the earlier ones.  Within one layer check() refuses them.
 */
struct spec_contrary {
	const char *key;
	const char *value;		/* with this value only; NULL: any */
	const char *drops[8];		/* the last is NULL */
};

#define SPEC_MAX_KEYS	32

struct spec_kind {
	const char		*name;
	const struct spec_key	*keys;
	size_t			nkeys;		/* at most SPEC_MAX_KEYS */
	const struct spec_contrary *contraries;
	size_t			ncontraries;

	/* First: everything that may be left out. */
	void (*init)(struct devspec *spec);

	/* Last: what no key's parser can know alone. */
	int (*check)(struct devspec *spec, const struct spec_why *why);

	/* Frees the strings. */
	void (*fini)(struct devspec *spec);
};

extern const struct spec_kind spec_blk_kind;
extern const struct spec_kind spec_net_kind;

/* ---- words and numbers ---- */

/*
 * A decimal number, the front of @text.  Return: what follows it, or NULL if
 * there is none, or if it is too large.
 */
const char *spec_digits(const char *text, uint64_t max, uint64_t *ret);

/* The same, and nothing may follow. */
bool spec_number(const char *text, unsigned int min, unsigned int max,
		 unsigned int *ret);

/* Up to @digits hexadecimal ones.  Return: what follows, or NULL. */
const char *spec_hex(const char *text, int digits, unsigned int *ret);

bool spec_switch(const char *text, const char *on, const char *off,
		 bool *ret);

/* ---- parsers for keys that several kinds have ---- */

const char *spec_parse_bdf(struct devspec *spec, const char *value);
const char *spec_parse_grants(struct devspec *spec, const char *value);
const char *spec_parse_pci_config(struct devspec *spec, const char *value);

/* To be called from a key's parser, with the field that it sets. */
const char *spec_parse_text(const char *value, char **ret);
const char *spec_parse_onoff(const char *value, bool *ret);
const char *spec_parse_queue_size(const char *value, unsigned int *ret);

#endif
