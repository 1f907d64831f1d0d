/* SPDX-License-Identifier: MIT */
/*
 * vq_ahead.h: indirect tables in granted memory, read before their turn.
 *
 * Looking into granted memory is a call to Xen.  So when one table is wanted,
 * those of the chains that wait behind it in the ring are copied along with
 * it.  A copy is used once, at its place in the ring and for a descriptor that
 * still reads the same, or not at all; the driver may not change it meanwhile
 * (virtio 1.2, 2.7.13.1), and one that does is served what it had there.
 */
#ifndef XVD_VQ_AHEAD_H
#define XVD_VQ_AHEAD_H

#include <stdint.h>
#include <linux/virtio_ring.h>

#define VQ_AHEAD_CHAINS	16u	/* Linux copies so many in one hypercall */
#define VQ_AHEAD_DESCS	32u	/* longer tables come alone */

struct vq;

struct vq_ahead {
	const struct vq		*vq;		/* whose; NULL: empty */
	uint16_t		from;		/* the first one's last_avail */
	unsigned int		count;
	struct {
		uint64_t	addr;
		uint32_t	len;		/* bytes; 0: none, or used */
		struct vring_desc table[VQ_AHEAD_DESCS];
	} chain[VQ_AHEAD_CHAINS];
};

/*
 * The table of the chain that is being popped, at most VQ_AHEAD_DESCS long.
 * Return: a copy, good until the next call; or NULL if it cannot be read.
 */
const struct vring_desc *vq_ahead_take(struct vq *vq, uint64_t addr,
				       uint32_t len);

#endif
