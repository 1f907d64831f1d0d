/* SPDX-License-Identifier: MIT */
/*
 * vnet_filter.h: which frames the driver wants (virtio 1.2, 5.1.6.5.1 to
 * 5.1.6.5.3).
 *
 * A filter may let through too much (the driver looks again), never too
 * little.  So a list of addresses that is too long for us lets all of its
 * kind through.
 */
#ifndef XVD_VNET_FILTER_H
#define XVD_VNET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/if_ether.h>

#define VNET_FILTER_MACS	64	/* of each kind */
#define VNET_FILTER_VLANS	4096
#define VNET_FILTER_HEAD	18	/* bytes of a frame looked at */

/* Receive modes: 1 << VIRTIO_NET_CTRL_RX_x. */

struct vnet_macs {
	unsigned int	count;
	bool		overflow;	/* there were more */
	uint8_t		mac[VNET_FILTER_MACS][ETH_ALEN];
};

struct vnet_filter {
	struct vnet_macs	uni;
	struct vnet_macs	multi;
	bool			by_vlan;
	uint8_t			vlan[VNET_FILTER_VLANS / 8];
};

/* Empty tables (5.1.6.5.2.1), and every VLAN. */
void vnet_filter_init(struct vnet_filter *f);

void vnet_filter_vlan(struct vnet_filter *f, unsigned int id, bool on);

/*
 * Does the driver of the card @mac, whose receive modes are @modes, want the
 * frame that begins with @head?
 */
bool vnet_filter_wants(const struct vnet_filter *f, unsigned int modes,
		       const uint8_t mac[ETH_ALEN],
		       const uint8_t head[VNET_FILTER_HEAD]);

#endif
