/* SPDX-License-Identifier: MIT */
/*
 * vnet_filter.c: which frames the driver wants; see the header.
 */
#include <assert.h>
#include <string.h>
#include <linux/virtio_net.h>

#include "vnet_filter.h"

static bool mode(unsigned int modes, unsigned int which)
{
	return modes >> which & 1;
}

void vnet_filter_init(struct vnet_filter *f)
{
	memset(f, 0, sizeof(*f));
}

void vnet_filter_vlan(struct vnet_filter *f, unsigned int id, bool on)
{
	uint8_t bit = (uint8_t)(1u << id % 8);

	assert(id < VNET_FILTER_VLANS);
	if (on)
		f->vlan[id / 8] |= bit;
	else
		f->vlan[id / 8] &= (uint8_t)~bit;
}

/* VLAN 0 is no VLAN: only the priority of the frame counts. */
static bool wants_vlan(const struct vnet_filter *f, const uint8_t *head)
{
	unsigned int type = (unsigned int)head[12] << 8 | head[13];
	unsigned int id = (head[14] & 0xfu) << 8 | head[15];

	if (!f->by_vlan || type != ETH_P_8021Q || !id)
		return true;
	return f->vlan[id / 8] >> id % 8 & 1;
}

static bool macs_have(const struct vnet_macs *macs, const uint8_t *mac)
{
	unsigned int i;

	for (i = 0; i < macs->count; i++)
		if (!memcmp(macs->mac[i], mac, ETH_ALEN))
			return true;
	return macs->overflow;
}

bool vnet_filter_wants(const struct vnet_filter *f, unsigned int modes,
		       const uint8_t mac[ETH_ALEN],
		       const uint8_t head[VNET_FILTER_HEAD])
{
	static const uint8_t broadcast[ETH_ALEN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};

	if (mode(modes, VIRTIO_NET_CTRL_RX_PROMISC))
		return true;
	if (!wants_vlan(f, head))
		return false;
	if (!memcmp(head, broadcast, ETH_ALEN))
		return !mode(modes, VIRTIO_NET_CTRL_RX_NOBCAST);
	if (head[0] & 1)
		return !mode(modes, VIRTIO_NET_CTRL_RX_NOMULTI) &&
		       (mode(modes, VIRTIO_NET_CTRL_RX_ALLMULTI) ||
			macs_have(&f->multi, head));
	return !mode(modes, VIRTIO_NET_CTRL_RX_NOUNI) &&
	       (mode(modes, VIRTIO_NET_CTRL_RX_ALLUNI) ||
		!memcmp(head, mac, ETH_ALEN) || macs_have(&f->uni, head));
}
