/* SPDX-License-Identifier: MIT */
/*
 * devdesc.c: what a description must be like for anybody to work with it.
 * Who sends one has checked what the operator wants; this is about what came
 * over a socket.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "devdesc.h"
#include "state.h"
#include "util.h"

static bool is_string(const char *text, size_t len)
{
	return memchr(text, '\0', len) != NULL;
}

static bool is_ring_size(uint32_t size)
{
	return size >= 2 && size <= STATE_MAX_RING && !(size & (size - 1));
}

static bool limits_check(const struct blk_limit *limits, uint32_t burst_s)
{
	const struct blk_limit *l;
	unsigned int i;

	for (i = 0; i < BLK_LIMIT_WAYS; i++) {
		l = &limits[i];
		if (l->rate > BLK_LIMIT_MAX || l->max > BLK_LIMIT_MAX ||
		    (l->max && (!l->rate || l->max < l->rate || !burst_s)) ||
		    (i != BLK_LIMIT_ALL && l->rate &&
		     limits[BLK_LIMIT_ALL].rate))
			return false;
	}
	return burst_s <= BLK_LIMIT_BURST_MAX_S;
}

static bool blk_check(const struct devdesc_blk *blk, unsigned int nfds)
{
	return is_string(blk->engine, sizeof(blk->engine)) &&
	       is_string(blk->serial, sizeof(blk->serial)) &&
	       blk->queues >= 1 && blk->queues <= STATE_MAX_QUEUES - 1 &&
	       is_ring_size(blk->queue_size) &&
	       (blk->info.block_size == 512 || blk->info.block_size == 4096) &&
	       blk->info.bytes >= blk->info.block_size &&
	       blk->info.bytes % blk->info.block_size == 0 &&
	       blk->info.cache <= BLK_CACHE_WRITETHROUGH &&
	       limits_check(blk->limits.iops, blk->limits.burst_s) &&
	       limits_check(blk->limits.bps, blk->limits.burst_s) &&
	       nfds == (strcmp(blk->engine, "null") == 0 ? 0 : 1);
}

static bool net_check(const struct devdesc_net *net, unsigned int nfds)
{
	return is_string(net->engine, sizeof(net->engine)) &&
	       is_string(net->ifname, sizeof(net->ifname)) &&
	       net->info.queues >= 1 && net->info.queues <= NET_MAX_QUEUES &&
	       is_ring_size(net->queue_size) && net->mtu <= UINT16_MAX &&
	       (!net->info.rate_bytes || net->info.rate_burst_us) &&
	       nfds == (strcmp(net->engine, "null") == 0 ? 0 :
			net->info.queues);
}

int devdesc_check(const struct devdesc *desc, unsigned int nfds)
{
	bool ok = false;

	if (desc->kind == DEVSPEC_BLK)
		ok = blk_check(&desc->blk, nfds);
	else if (desc->kind == DEVSPEC_NET)
		ok = net_check(&desc->net, nfds);
	return ok && desc->ecam <= 1 ? 0 : -EBADMSG;
}
