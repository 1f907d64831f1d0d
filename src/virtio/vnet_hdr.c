/* SPDX-License-Identifier: MIT */
/*
 * vnet_hdr.c: the header before a frame (virtio 1.2, 5.1.6).
 *
 * The host's network stack believes what such a header says about a frame,
 * so all that a guest writes there is held against the frame and against
 * what was negotiated.  hdr_len is only ever a hint (5.1.6.2.2).
 */
#include <string.h>

#include "util.h"
#include "vnet_hdr.h"

_Static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HDR_BYTES, "5.1.6");

enum {
	TCP_BYTES	= 20,		/* the least, and where its */
	TCP_CSUM	= 16,		/* checksum is */
	UDP_BYTES	= 8,
	UDP_CSUM	= 6,
};

static uint16_t hdr_get(__virtio16 v)
{
	return le16_get((__force __le16)v);
}

static __virtio16 hdr_put(uint16_t v)
{
	return (__force __virtio16)le16_put(v);
}

/* Without the bit for ECN. */
static uint8_t hdr_gso_type(const struct virtio_net_hdr_v1 *hdr)
{
	return hdr->gso_type & (0xff ^ VIRTIO_NET_HDR_GSO_ECN);
}

/* A checksum, to be put at @offset from @start. */
static bool hdr_csum_ok(uint32_t start, uint32_t offset, uint32_t bytes)
{
	return start >= ETH_HLEN && start + offset + 2 <= bytes;
}

/* Segments to be cut from a TCP stream or a train of UDP datagrams. */
static bool hdr_gso_ok(const struct virtio_net_hdr_v1 *hdr, uint32_t bytes,
		       unsigned int offloads)
{
	uint8_t type = hdr_gso_type(hdr);
	bool ecn = hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	uint32_t start = hdr_get(hdr->csum_start);
	uint16_t offset = hdr_get(hdr->csum_offset);
	unsigned int need;
	bool tcp = true;

	if (type == VIRTIO_NET_HDR_GSO_TCPV4) {
		need = NET_TSO4;
	} else if (type == VIRTIO_NET_HDR_GSO_TCPV6) {
		need = NET_TSO6;
	} else if (type == VIRTIO_NET_HDR_GSO_UDP_L4) {
		need = NET_USO4 | NET_USO6;
		tcp = false;
	} else {
		return false;
	}
	if (!(offloads & need) || !hdr_get(hdr->gso_size) ||
	    !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	if (ecn && (!tcp || !(offloads & NET_TSO_ECN)))
		return false;
	return offset == (tcp ? TCP_CSUM : UDP_CSUM) &&
	       start + (tcp ? TCP_BYTES : UDP_BYTES) <= bytes;
}

bool vnet_hdr_from_driver(struct virtio_net_hdr_v1 *hdr, uint32_t bytes,
			  unsigned int offloads)
{
	hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;	/* others: ignored */
	hdr->num_buffers = 0;
	if (!hdr->flags) {
		hdr->csum_start = 0;
		hdr->csum_offset = 0;
	} else if (!(offloads & NET_CSUM) ||
		   !hdr_csum_ok(hdr_get(hdr->csum_start),
				hdr_get(hdr->csum_offset), bytes)) {
		return false;
	}
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		hdr->hdr_len = 0;
		hdr->gso_size = 0;
		return true;
	}
	if (hdr_get(hdr->hdr_len) > bytes)
		hdr->hdr_len = hdr_put((uint16_t)bytes);
	return hdr_gso_ok(hdr, bytes, offloads);
}

bool vnet_hdr_to_driver(struct virtio_net_hdr_v1 *hdr, unsigned int offloads)
{
	uint8_t type = hdr_gso_type(hdr);

	hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM |
		      VIRTIO_NET_HDR_F_DATA_VALID;
	if (!(offloads & NET_CSUM)) {
		if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			return false;
		hdr->flags = 0;
	}
	if ((hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
	    !(offloads & NET_TSO_ECN))
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return offloads & NET_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return offloads & NET_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return offloads & (NET_USO4 | NET_USO6);
	default:
		return false;
	}
}
