/* SPDX-License-Identifier: MIT */
/*
 * vnet_ctrl.c: commands from the driver (virtio 1.2, 5.1.6.5).
 *
 *	readable: class, command, data of the command
 *	writable: one byte, VIRTIO_NET_OK or VIRTIO_NET_ERR
 *
 * The table at the end says which commands there are, the feature that each
 * belongs to, and the length of its data, which has to be exactly that.
 * Only MAC_TABLE_SET has data of any length; it is taken piece by piece.
 */
#include <errno.h>
#include <string.h>

#include "chain.h"
#include "trace.h"
#include "util.h"
#include "vnet.h"

#define CTRL_BATCH	16		/* commands per turn */
#define CTRL_ANY_BYTES	(-1)

/* One command: what is left of its data. */
struct vnet_ctrl {
	struct vnet		*n;
	struct guest_mem	*gm;
	struct dma_cursor	cur;
	uint64_t		left;
	uint8_t			cmd;
};

struct vnet_command {
	uint8_t		class;
	uint8_t		cmd;
	uint8_t		feature;
	int		bytes;
	/* Return: 0; a negative errno turns into VIRTIO_NET_ERR. */
	int		(*run)(struct vnet_ctrl *c);
};

/* Takes the next bytes of the data.  Return: 0, -EINVAL or -EFAULT. */
static int ctrl_take(struct vnet_ctrl *c, void *buf, size_t len)
{
	if (len > c->left)
		return -EINVAL;
	c->left -= len;
	return chain_read(c->gm, &c->cur, buf, len);
}

static int ctrl_take16(struct vnet_ctrl *c, uint16_t *ret)
{
	__le16 val;
	int r = ctrl_take(c, &val, sizeof(val));

	if (r < 0)
		return r;
	*ret = le16_get(val);
	return 0;
}

static int ctrl_rx_mode(struct vnet_ctrl *c)
{
	uint8_t on, bit = (uint8_t)(1u << c->cmd);
	int r = ctrl_take(c, &on, sizeof(on));

	if (r < 0)
		return r;
	if (on)
		c->n->st->modes |= bit;
	else
		c->n->st->modes &= (uint8_t)~bit;
	return 0;
}

/* A number of addresses, and the addresses; too many are passed over. */
static int ctrl_take_macs(struct vnet_ctrl *c, struct vnet_macs *ret)
{
	uint64_t bytes;
	__le32 entries;
	int r = ctrl_take(c, &entries, sizeof(entries));

	if (r < 0)
		return r;
	ret->count = le32_get(entries);
	ret->overflow = ret->count > VNET_FILTER_MACS;
	bytes = (uint64_t)ret->count * ETH_ALEN;
	if (bytes > c->left)
		return -EINVAL;
	if (!ret->overflow)
		return ctrl_take(c, ret->mac, bytes);
	ret->count = 0;
	chain_skip(&c->cur, bytes);
	c->left -= bytes;
	return 0;
}

static int ctrl_mac_table(struct vnet_ctrl *c)
{
	struct vnet_macs uni, multi;
	int r = ctrl_take_macs(c, &uni);

	if (!r)
		r = ctrl_take_macs(c, &multi);
	if (r < 0)
		return r;
	if (c->left)
		return -EINVAL;
	c->n->filter.uni = uni;
	c->n->filter.multi = multi;
	return 0;
}

static int ctrl_mac_addr(struct vnet_ctrl *c)
{
	static const uint8_t none[ETH_ALEN];
	uint8_t mac[ETH_ALEN];
	int r = ctrl_take(c, mac, sizeof(mac));

	if (r < 0)
		return r;
	if ((mac[0] & 1) || !memcmp(mac, none, sizeof(mac)))
		return -EINVAL;		/* a group's, or nobody's */
	memcpy(c->n->st->mac, mac, sizeof(mac));
	return 0;
}

static int ctrl_vlan(struct vnet_ctrl *c)
{
	uint16_t id;
	int r = ctrl_take16(c, &id);

	if (r < 0)
		return r;
	if (id >= VNET_FILTER_VLANS)
		return -EINVAL;
	vnet_filter_vlan(&c->n->filter, id,
			 c->cmd == VIRTIO_NET_CTRL_VLAN_ADD);
	return 0;
}

static int ctrl_announce(struct vnet_ctrl *c)
{
	c->n->st->announce = 0;
	return 0;
}

/* Other backend queues belong to each receive queue now. */
static int ctrl_pairs(struct vnet_ctrl *c)
{
	struct vnet *n = c->n;
	unsigned int i;
	uint16_t pairs;
	int r = ctrl_take16(c, &pairs);

	if (r < 0)
		return r;
	if (!pairs || pairs > n->opts.queues)
		return -EINVAL;
	for (i = 0; i < n->opts.queues; i++)
		vnet_rx_drop(n, &n->vdev.vq[2 * i]);
	n->st->pairs = pairs;
	for (i = 0; i < pairs; i++)
		vdev_kick(&n->vdev, 2 * i);
	return 0;
}

static int ctrl_offloads(struct vnet_ctrl *c)
{
	struct vnet *n = c->n;
	uint64_t bits;
	__le64 val;
	int r = ctrl_take(c, &val, sizeof(val));

	if (r < 0)
		return r;
	bits = le64_get(val);
	if (bits & ~(n->vdev.st->driver_features & VNET_RECV_FEATURES))
		return -EINVAL;
	n->st->offloads = vnet_recv_offloads(bits);
	vnet_set_offloads(n);
	return 0;
}

#define RX_MODE(mode, need) {				\
	.class		= VIRTIO_NET_CTRL_RX,		\
	.cmd		= VIRTIO_NET_CTRL_RX_##mode,	\
	.feature	= VIRTIO_NET_F_##need,		\
	.bytes		= 1,				\
	.run		= ctrl_rx_mode,			\
}

#define COMMAND(class_, cmd_, need, bytes_, run_) {	\
	.class		= VIRTIO_NET_CTRL_##class_,	\
	.cmd		= VIRTIO_NET_CTRL_##cmd_,	\
	.feature	= VIRTIO_NET_F_##need,		\
	.bytes		= bytes_,			\
	.run		= run_,				\
}

static const struct vnet_command commands[] = {
	RX_MODE(PROMISC,	CTRL_RX),
	RX_MODE(ALLMULTI,	CTRL_RX),
	RX_MODE(ALLUNI,		CTRL_RX_EXTRA),
	RX_MODE(NOMULTI,	CTRL_RX_EXTRA),
	RX_MODE(NOUNI,		CTRL_RX_EXTRA),
	RX_MODE(NOBCAST,	CTRL_RX_EXTRA),
	COMMAND(MAC, MAC_TABLE_SET, CTRL_RX, CTRL_ANY_BYTES, ctrl_mac_table),
	COMMAND(MAC, MAC_ADDR_SET, CTRL_MAC_ADDR, ETH_ALEN, ctrl_mac_addr),
	COMMAND(VLAN, VLAN_ADD, CTRL_VLAN, 2, ctrl_vlan),
	COMMAND(VLAN, VLAN_DEL, CTRL_VLAN, 2, ctrl_vlan),
	COMMAND(ANNOUNCE, ANNOUNCE_ACK, GUEST_ANNOUNCE, 0, ctrl_announce),
	COMMAND(MQ, MQ_VQ_PAIRS_SET, MQ, 2, ctrl_pairs),
	COMMAND(GUEST_OFFLOADS, GUEST_OFFLOADS_SET, CTRL_GUEST_OFFLOADS, 8,
		ctrl_offloads),
};

static int ctrl_execute(struct vnet_ctrl *c)
{
	struct virtio_net_ctrl_hdr hdr;
	const struct vnet_command *cmd;
	int r = ctrl_take(c, &hdr, sizeof(hdr));

	if (r < 0)
		return r;
	c->cmd = hdr.cmd;
	for (cmd = commands; cmd < commands + ARRAY_SIZE(commands); cmd++)
		if (cmd->class == hdr.class && cmd->cmd == hdr.cmd)
			break;
	if (cmd == commands + ARRAY_SIZE(commands) ||
	    !vdev_has(&c->n->vdev, cmd->feature))
		return -EOPNOTSUPP;
	if (cmd->bytes != CTRL_ANY_BYTES && c->left != (uint64_t)cmd->bytes)
		return -EINVAL;
	r = cmd->run(c);
	TRACE(net_ctrl, hdr.class, hdr.cmd, r);
	return r;
}

/* A chain was popped: executes and answers.  Return: 0, or -EPROTO. */
static int vnet_ctrl_one(struct vnet *n, struct vq *vq,
			 const struct vq_chain *chain)
{
	struct dma_cursor in = chain_in(chain);
	struct vnet_ctrl c = {
		.n	= n,
		.gm	= n->vdev.gm,
		.cur	= chain_out(chain),
		.left	= chain->out_bytes,
	};
	uint8_t ack;

	if (chain->out_bytes < sizeof(struct virtio_net_ctrl_hdr) ||
	    !chain->in_bytes)
		return vdev_broken(&n->vdev, "queue %u, head %u: no room for command and answer: %llu bytes readable, %llu writable",
				   vq->index, chain->head,
				   (unsigned long long)chain->out_bytes,
				   (unsigned long long)chain->in_bytes);
	ack = ctrl_execute(&c) < 0 ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
	if (chain_write(c.gm, &in, &ack, sizeof(ack)) < 0)
		return vdev_broken(&n->vdev, "queue %u, head %u: the answer's byte is not in memory",
				   vq->index, chain->head);
	return 0;
}

void vnet_ctrl_run(struct vnet *n, struct vq *vq)
{
	struct vq_chain *chain = &n->chain[0];
	int left = CTRL_BATCH, r = 0;

	vq_quiet(vq);
	while (!r && left-- > 0 && vq_pop(vq, chain) == 1) {
		r = vnet_ctrl_one(n, vq, chain);
		vq_push(vq, chain->head, r < 0 ? 0 : sizeof(uint8_t));
	}
	vq_flush(vq);
	if (left < 0 || vq_wait(vq))
		loop_defer(n->vdev.loop, &vq->kick_work);
}
