/* SPDX-License-Identifier: MIT */
/*
 * devdesc.h: a device as it is handed to the process that serves the guest:
 * all that is to be known of it, flat and without a pointer or a path.  Its
 * descriptors travel beside it.
 */
#ifndef XVD_DEVDESC_H
#define XVD_DEVDESC_H

#include <stdint.h>
#include "blk_backend.h"
#include "blk_limits.h"
#include "devspec.h"
#include "net_backend.h"

#define DEVDESC_MAX_FDS		NET_MAX_QUEUES
#define DEVDESC_NAME_LEN	16	/* IFNAMSIZ, with the zero */
#define DEVDESC_SERIAL_LEN	21	/* with the zero */

struct devdesc_blk {
	char		engine[8];	/* one descriptor, or none if "null" */
	char		serial[DEVDESC_SERIAL_LEN];	/* "": none */
	uint32_t	queues;
	uint32_t	queue_size;
	struct blk_info	info;
	struct blk_limits limits;
	uint32_t	grants_map;	/* bytes */
};

struct devdesc_net {
	char		engine[8];	/* one per queue, or none if "null" */
	char		ifname[DEVDESC_NAME_LEN];	/* for messages */
	uint8_t		mac[6];
	uint32_t	mtu;
	uint32_t	queue_size;
	struct net_info	info;
};

struct devdesc {
	uint32_t	kind;		/* enum devspec_kind */
	uint32_t	domid;
	uint32_t	index;		/* counts devices of the guest */
	uint8_t		devfn;
	uint8_t		ecam;		/* config space by its address */
	uint64_t	mmio;		/* put a placeholder there; or 0 */
	union {
		struct devdesc_blk	blk;
		struct devdesc_net	net;
	};
};

/*
 * Can a device be made of @desc, with so many descriptors?  Return: 0 or
 * -EBADMSG.
 */
int devdesc_check(const struct devdesc *desc, unsigned int nfds);

#endif
