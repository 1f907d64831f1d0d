/* SPDX-License-Identifier: MIT */
/*
 * stats.h: what a function has counted (state.h), by name, for whoever prints
 * it.
 */
#ifndef XVD_STATS_H
#define XVD_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "devspec.h"

#define STATS_MAX	16	/* values of any kind */

struct fn_state;

struct stat_value {
	const char	*name;		/* lives for ever */
	uint64_t	value;
};

/*
 * Reads the first @n values of a function that is a @kind, always in the same
 * order.  Another process may be counting meanwhile.  Return: how many there
 * are, which may be more than @n; -EINVAL if there is no such kind.
 */
int stats_read(enum devspec_kind kind, const struct fn_state *fn,
	       struct stat_value *ret, size_t n);

#endif
