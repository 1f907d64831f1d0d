/* SPDX-License-Identifier: MIT */
/*
 * stats.c: see the header.  A new field of struct fn_stats gets a row here,
 * and a line in its comment there.
 */
#include <errno.h>
#include <stddef.h>

#include "state.h"
#include "stats.h"
#include "util.h"

struct stat_row {
	const char	*name;
	size_t		at;		/* in struct fn_stats */
};

#define ROW(field)	{ #field, offsetof(struct fn_stats, field) }
#define BLK(field)	{ #field, offsetof(struct fn_stats, blk.field) }
#define NET(field)	{ #field, offsetof(struct fn_stats, net.field) }

static const struct stat_row blk_rows[] = {
	BLK(reads),
	BLK(read_bytes),
	BLK(writes),
	BLK(write_bytes),
	BLK(flushes),
	BLK(discards),
	BLK(discard_bytes),
	BLK(errors),
	BLK(throttled),
	ROW(kicks),
	ROW(interrupts),
	ROW(granted),
	ROW(grants_mapped),
};

static const struct stat_row net_rows[] = {
	NET(rx_frames),
	NET(rx_bytes),
	NET(rx_dropped),
	NET(rx_filtered),
	NET(tx_frames),
	NET(tx_bytes),
	NET(tx_dropped),
	ROW(kicks),
	ROW(interrupts),
	ROW(granted),
	ROW(grants_mapped),
};

_Static_assert(ARRAY_SIZE(blk_rows) == 4 + sizeof(struct blk_stats) / 8 &&
	       ARRAY_SIZE(net_rows) == 4 + sizeof(struct net_stats) / 8,
	       "every field has a row");
_Static_assert(ARRAY_SIZE(blk_rows) <= STATS_MAX &&
	       ARRAY_SIZE(net_rows) <= STATS_MAX, "room for all");

static const struct {
	const struct stat_row	*rows;
	size_t			count;
} kinds[] = {
	[DEVSPEC_BLK] = { blk_rows, ARRAY_SIZE(blk_rows) },
	[DEVSPEC_NET] = { net_rows, ARRAY_SIZE(net_rows) },
};

int stats_read(enum devspec_kind kind, const struct fn_state *fn,
	       struct stat_value *ret, size_t n)
{
	const char *base = (const char *)&fn->stats;
	const struct stat_row *row;
	size_t i;

	if ((size_t)kind >= ARRAY_SIZE(kinds))
		return -EINVAL;
	for (i = 0; i < MIN(n, kinds[kind].count); i++) {
		row = &kinds[kind].rows[i];
		ret[i] = (struct stat_value){
			.name	= row->name,
			.value	= stat_get((const void *)(base + row->at)),
		};
	}
	return (int)kinds[kind].count;
}
