/* SPDX-License-Identifier: MIT */
/*
 * virtio_pci.c: the PCI transport.  The header has the map of the BARs.
 *
 * Configuration space is answered from pci_config; after each write, what
 * the command register and the MSI-X control word say is put into effect:
 * BARs appear and disappear, bus mastering allows DMA and messages, INTx
 * follows the ISR.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "arm_guest.h"
#include "irq.h"
#include "log.h"
#include "trace.h"
#include "util.h"
#include "vdev.h"
#include "virtio_pci.h"

enum {
	BAR_MEM = 0,
	BAR_PORTS = 2,
};

enum {
	MEM_COMMON	= 0x0000,
	MEM_ISR		= 0x0400,
	MEM_DEVICE	= 0x0800,
	MEM_NOTIFY	= 0x1000,
	MEM_MSIX	= 0x2000,
	MEM_PBA		= 0x3000,
	MEM_BYTES	= 0x4000,
	AREA_BYTES	= 0x0400,
	PORT_BYTES	= 0x0080,
	NOTIFY_STRIDE	= 4,
};

_Static_assert(STATE_MAX_QUEUES * NOTIFY_STRIDE <= PORT_BYTES, "doorbells");

#define VIRTIO_VENDOR		0x1af4
#define VIRTIO_DEVICE_BASE	0x1040		/* 4.1.2.1 */
#define VIRTIO_SUBSYSTEM	0x1100

#define VIRTIO_PCI_ISR_QUEUE	0x1		/* 4.1.4.5 */

/* struct virtio_pci_common_cfg (4.1.4.3), register by register. */
struct common_reg {
	uint8_t	off;
	uint8_t	size;
	bool	ro;
};

static const struct common_reg common_regs[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT,	4, false },
	{ VIRTIO_PCI_COMMON_DF,			4, true },
	{ VIRTIO_PCI_COMMON_GFSELECT,		4, false },
	{ VIRTIO_PCI_COMMON_GF,			4, false },
	{ VIRTIO_PCI_COMMON_MSIX,		2, false },
	{ VIRTIO_PCI_COMMON_NUMQ,		2, true },
	{ VIRTIO_PCI_COMMON_STATUS,		1, false },
	{ VIRTIO_PCI_COMMON_CFGGENERATION,	1, true },
	{ VIRTIO_PCI_COMMON_Q_SELECT,		2, false },
	{ VIRTIO_PCI_COMMON_Q_SIZE,		2, false },
	{ VIRTIO_PCI_COMMON_Q_MSIX,		2, false },
	{ VIRTIO_PCI_COMMON_Q_ENABLE,		2, false },
	{ VIRTIO_PCI_COMMON_Q_NOFF,		2, true },
	{ VIRTIO_PCI_COMMON_Q_DESCLO,		4, false },
	{ VIRTIO_PCI_COMMON_Q_DESCHI,		4, false },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO,		4, false },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI,		4, false },
	{ VIRTIO_PCI_COMMON_Q_USEDLO,		4, false },
	{ VIRTIO_PCI_COMMON_Q_USEDHI,		4, false },
	{ VIRTIO_PCI_COMMON_Q_NDATA,		2, true },
	{ VIRTIO_PCI_COMMON_Q_RESET,		2, false },
};

#define COMMON_BYTES	(VIRTIO_PCI_COMMON_Q_RESET + 2)

static uint32_t low_bytes(uint32_t val, unsigned int size)
{
	return size >= 4 ? val : val & ((1u << 8 * size) - 1);
}

/* Interrupts. */

static void virtio_pci_update_intx(struct virtio_pci *vp)
{
	uint16_t command = pci_config_get16(&vp->config, PCI_COMMAND);
	uint16_t status = pci_config_get16(&vp->config, PCI_STATUS);
	bool pending = vp->vdev->st->isr && !vp->msix.enabled;
	bool level = pending && !(command & PCI_COMMAND_INTX_DISABLE);

	if (!vp->config.st->cfg[PCI_INTERRUPT_PIN])
		return;
	status &= ~PCI_STATUS_INTERRUPT;
	if (pending)
		status |= PCI_STATUS_INTERRUPT;
	pci_config_put16(&vp->config, PCI_STATUS, status);
	if (level == vp->intx_level)
		return;
	vp->intx_level = level;
	TRACE(intx, vp->devfn >> 3, level);
	/* It can fail only for a guest without such lines. */
	(void)irq_intx(vp->irq, vp->devfn, level);
}

static void virtio_pci_interrupt(struct virtio_pci *vp, uint16_t vector,
				 uint8_t isr)
{
	if (!vp->msix.enabled || vector < vp->msix.count)
		stat_add(&vp->vdev->stats->interrupts, 1);
	if (vp->msix.enabled) {
		msix_raise(&vp->msix, vector);
		return;
	}
	vp->vdev->st->isr |= isr;
	virtio_pci_update_intx(vp);
}

void virtio_pci_queue_interrupt(struct virtio_pci *vp, uint16_t vector)
{
	virtio_pci_interrupt(vp, vector, VIRTIO_PCI_ISR_QUEUE);
}

void virtio_pci_config_interrupt(struct virtio_pci *vp)
{
	virtio_pci_interrupt(vp, vp->vdev->st->config_vector,
			     VIRTIO_PCI_ISR_CONFIG);
}

void virtio_pci_device_reset(struct virtio_pci *vp)
{
	vp->msix.st->pending = 0;
	virtio_pci_update_intx(vp);
}

/* The common configuration structure. */

static struct vq *virtio_pci_selected(struct virtio_pci *vp)
{
	unsigned int i = vp->vdev->st->queue_select;

	return i < vp->vdev->nqueues ? &vp->vdev->vq[i] : NULL;
}

static uint32_t queue_reg_read(const struct vq *vq, unsigned int off)
{
	const struct vq_state *st = vq->st;

	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return st->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return st->vector;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return st->enabled && !st->resetting;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return vq->index;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return (uint32_t)st->desc;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return (uint32_t)(st->desc >> 32);
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return (uint32_t)st->avail;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return (uint32_t)(st->avail >> 32);
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return (uint32_t)st->used;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return (uint32_t)(st->used >> 32);
	case VIRTIO_PCI_COMMON_Q_RESET:
		return st->resetting;
	default:
		return 0;
	}
}

static uint32_t common_reg_read(struct virtio_pci *vp, unsigned int off)
{
	const struct vdev *vdev = vp->vdev;
	const struct vdev_state *st = vdev->st;
	const struct vq *vq;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return st->device_feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return st->device_feature_select > 1 ? 0 :
		       (uint32_t)(vdev->features >>
				  32 * st->device_feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return st->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return st->driver_feature_select > 1 ? 0 :
		       (uint32_t)(st->driver_features >>
				  32 * st->driver_feature_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return st->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return vdev->nqueues;
	case VIRTIO_PCI_COMMON_STATUS:
		return vdev_get_status(vdev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return st->config_generation;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return st->queue_select;
	default:
		vq = virtio_pci_selected(vp);
		return vq ? queue_reg_read(vq, off) : 0;
	}
}

/* A vector that does not exist reads back as "none" (4.1.5.1.2.1). */
static uint16_t virtio_pci_vector(const struct virtio_pci *vp, uint32_t val)
{
	return val < vp->msix.count ? (uint16_t)val : VDEV_NO_VECTOR;
}

static void set_half(uint64_t *p, unsigned int half, uint32_t val)
{
	*p &= half ? 0xffffffffull : 0xffffffff00000000ull;
	*p |= (uint64_t)val << 32 * half;
}

/* A ring may have any power of two of entries up to the queue's most. */
static void queue_set_size(struct vdev *vdev, struct vq *vq, uint32_t size)
{
	if (!size || (size & (size - 1)) || size > vdev->queue_size) {
		log_debug(LOG_T_VIRTIO, "%s: queue %u: a size of %u is not possible",
			  vdev->name, vq->index, size);
		return;
	}
	vq->st->size = (uint16_t)size;
}

static void queue_reg_write(struct virtio_pci *vp, struct vq *vq,
			    unsigned int off, uint32_t val)
{
	struct vdev *vdev = vp->vdev;
	struct vq_state *st = vq->st;

	switch (off) {
	case VIRTIO_PCI_COMMON_Q_MSIX:
		st->vector = virtio_pci_vector(vp, val);
		return;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (val == 1)
			vdev_queue_enable(vdev, vq);
		return;
	case VIRTIO_PCI_COMMON_Q_RESET:
		if (val == 1)
			vdev_queue_reset(vdev, vq);
		return;
	}
	if (!vdev_queue_may_change(vdev, vq)) {
		log_debug(LOG_T_VIRTIO, "%s: queue %u: register %#x written while enabled",
			  vdev->name, vq->index, off);
		return;
	}
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue_set_size(vdev, vq, val);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&st->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI, val);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&st->avail, off == VIRTIO_PCI_COMMON_Q_AVAILHI, val);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&st->used, off == VIRTIO_PCI_COMMON_Q_USEDHI, val);
		break;
	}
}

static void common_reg_write(struct virtio_pci *vp, unsigned int off,
			     uint32_t val)
{
	struct vdev *vdev = vp->vdev;
	struct vq *vq;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		vdev->st->device_feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		vdev->st->driver_feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		vdev_set_features(vdev, vdev->st->driver_feature_select, val);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		vdev->st->config_vector = virtio_pci_vector(vp, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		log_debug(LOG_T_VIRTIO, "%s: status %#x", vdev->name, val);
		vdev_set_status(vdev, (uint8_t)val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		vdev->st->queue_select = (uint16_t)val;
		break;
	default:
		vq = virtio_pci_selected(vp);
		if (vq)
			queue_reg_write(vp, vq, off, val);
	}
}

static const struct common_reg *common_find(unsigned int off)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(common_regs); i++)
		if (off >= common_regs[i].off &&
		    off < common_regs[i].off + common_regs[i].size)
			return &common_regs[i];
	return NULL;
}

/* A narrower read gets its part of the register; a wider one, nothing. */
static uint32_t common_read(struct virtio_pci *vp, unsigned int off,
			    unsigned int size)
{
	const struct common_reg *reg = common_find(off);

	if (!reg || off + size > reg->off + reg->size)
		return 0;
	return low_bytes(common_reg_read(vp, reg->off) >>
			 8 * (off - reg->off), size);
}

/* Writes have the register's width (4.1.3.1). */
static void common_write(struct virtio_pci *vp, unsigned int off,
			 unsigned int size, uint32_t val)
{
	const struct common_reg *reg = common_find(off);

	if (reg && !reg->ro && reg->off == off && reg->size == size)
		common_reg_write(vp, off, val);
}

/* Device configuration and ISR. */

static uint32_t device_read(struct virtio_pci *vp, unsigned int off,
			    unsigned int size)
{
	uint8_t b[4] = { 0 };

	if (off + size > vp->vdev->config_len)
		return 0;
	vp->vdev->ops->config_read(vp->vdev, off, b, size);
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static void device_write(struct virtio_pci *vp, unsigned int off,
			 unsigned int size, uint32_t val)
{
	uint8_t b[4] = { (uint8_t)val, (uint8_t)(val >> 8),
			 (uint8_t)(val >> 16), (uint8_t)(val >> 24) };

	if (off + size <= vp->vdev->config_len && vp->vdev->ops->config_write)
		vp->vdev->ops->config_write(vp->vdev, off, b, size);
}

/* Reading the ISR acknowledges the interrupt (4.1.4.5). */
static uint32_t isr_read(struct virtio_pci *vp)
{
	uint8_t isr = vp->vdev->st->isr;

	vp->vdev->st->isr = 0;
	virtio_pci_update_intx(vp);
	return isr;
}

/* The BARs. */

static uint32_t mem_read(void *dev, uint64_t off, unsigned int size)
{
	struct virtio_pci *vp = dev;
	unsigned int at = off % AREA_BYTES;

	switch (ALIGN_DOWN((unsigned int)off, (unsigned int)AREA_BYTES)) {
	case MEM_COMMON:
		return common_read(vp, at, size);
	case MEM_ISR:
		return at ? 0 : isr_read(vp);
	case MEM_DEVICE:
		return device_read(vp, at, size);
	case MEM_MSIX:
		return at % 4 + size > 4 ? 0 :
		       low_bytes(msix_table_read(&vp->msix, at) >> 8 * (at % 4),
				 size);
	case MEM_PBA:
		return at % 4 + size > 4 ? 0 :
		       low_bytes(msix_pba_read(&vp->msix, at & ~3u) >>
				 8 * (at % 4), size);
	default:
		return 0;
	}
}

static void notify_write(void *dev, uint64_t off, unsigned int size,
			 uint32_t val)
{
	struct virtio_pci *vp = dev;

	(void)size;
	(void)val;	/* the address says which queue */
	stat_add(&vp->vdev->stats->kicks, 1);
	vdev_kick(vp->vdev, (unsigned int)off / NOTIFY_STRIDE);
}

static void mem_write(void *dev, uint64_t off, unsigned int size,
		      uint32_t val)
{
	struct virtio_pci *vp = dev;
	unsigned int at = off % AREA_BYTES;

	if (off >= MEM_NOTIFY && off < MEM_MSIX) {
		notify_write(vp, off - MEM_NOTIFY, size, val);
		return;
	}
	switch (ALIGN_DOWN((unsigned int)off, (unsigned int)AREA_BYTES)) {
	case MEM_COMMON:
		common_write(vp, at, size, val);
		break;
	case MEM_DEVICE:
		device_write(vp, at, size, val);
		break;
	case MEM_MSIX:
		if (size == 4 && at % 4 == 0)	/* PCI 3.0, 6.8.2 */
			msix_table_write(&vp->msix, at, val);
		break;
	}
}

static uint32_t ports_read(void *dev, uint64_t off, unsigned int size)
{
	(void)dev;
	(void)off;
	(void)size;
	return 0;
}

/*
 * The window to the BARs inside configuration space (4.1.4.9), for firmware
 * that cannot reach them: where does it point?  Return: the BAR's region, or
 * NULL for nowhere.
 */
static struct io_region *window_target(struct virtio_pci *vp,
				       uint32_t *ret_off,
				       unsigned int *ret_size)
{
	unsigned int cap = vp->window_cap;
	const uint8_t *cfg = vp->config.st->cfg;
	unsigned int bar = cfg[cap + VIRTIO_PCI_CAP_BAR];
	uint32_t off = pci_config_read(&vp->config,
				       cap + VIRTIO_PCI_CAP_OFFSET, 4);
	uint32_t size = pci_config_read(&vp->config,
					cap + VIRTIO_PCI_CAP_LENGTH, 4);

	if ((size != 1 && size != 2 && size != 4) || off % size ||
	    bar >= PCI_CONFIG_BARS || off >= vp->config.bar[bar].size ||
	    size > vp->config.bar[bar].size - off)
		return NULL;
	*ret_off = off;
	*ret_size = size;
	return &vp->bar_io[bar];
}

static bool window_covers(const struct virtio_pci *vp, unsigned int off,
			  unsigned int size)
{
	unsigned int data = vp->window_cap +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	return off < data + 4 && off + size > data;
}

/* Reads through the window, so that pci_config_read() finds the value. */
static void window_read(struct virtio_pci *vp)
{
	unsigned int data = vp->window_cap +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	uint32_t off, val = 0;
	unsigned int size;
	struct io_region *r = window_target(vp, &off, &size);

	if (r)
		val = r->read(r->dev, off, size);
	val = htole32(val);
	memcpy(&vp->config.st->cfg[data], &val, sizeof(val));
}

/* Passes on what pci_config_write() has just left there. */
static void window_write(struct virtio_pci *vp)
{
	unsigned int data = vp->window_cap +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	uint32_t off;
	unsigned int size;
	struct io_region *r = window_target(vp, &off, &size);

	if (r)
		r->write(r->dev, off, size,
			 low_bytes(pci_config_read(&vp->config, data, 4),
				   size));
}

/* Configuration space. */

static void virtio_pci_place_bar(struct virtio_pci *vp, unsigned int bar)
{
	struct io_region *r = &vp->bar_io[bar];
	uint32_t addr;
	bool on = pci_config_bar_addr(&vp->config, bar, &addr);
	int e;

	if (on && r->added && r->start == addr)
		return;
	io_region_del(vp->bus, r);
	if (!on)
		return;
	r->start = addr;
	e = io_region_add(vp->bus, r);
	if (e < 0 && log_limit_ok(&vp->vdev->limit, vp->vdev->name))
		log_warn("%s: the guest put BAR %u at %#x, where it cannot be: %s",
			 vp->vdev->name, bar, addr, strerror(-e));
	else
		log_debug(LOG_T_PCI, "%s: BAR %u at %#x", vp->vdev->name, bar,
			  addr);
}

/* Puts into effect what the guest may have written. */
static void virtio_pci_update(struct virtio_pci *vp)
{
	uint16_t command = pci_config_get16(&vp->config, PCI_COMMAND);
	uint16_t control = pci_config_get16(&vp->config, vp->msix_cap +
					    PCI_MSIX_FLAGS);
	bool master = command & PCI_COMMAND_MASTER;
	unsigned int i;

	for (i = 0; i < PCI_CONFIG_BARS; i++)
		if (vp->config.bar[i].size)
			virtio_pci_place_bar(vp, i);
	msix_control(&vp->msix, control & PCI_MSIX_FLAGS_ENABLE,
		     (control & PCI_MSIX_FLAGS_MASKALL) || !master);
	virtio_pci_update_intx(vp);
	vdev_set_dma(vp->vdev, master);
}

/* The space ends at 256; an ECAM slice goes on (PCI Express 4.0, 7.2.2). */
static bool config_has(const struct virtio_pci *vp, uint64_t off,
		       unsigned int size)
{
	return off + size <= sizeof(vp->config.st->cfg);
}

static uint32_t config_read(void *dev, uint64_t off, unsigned int size)
{
	struct virtio_pci *vp = dev;

	if (!config_has(vp, off, size))
		return ~0u;
	if (window_covers(vp, (unsigned int)off, size))
		window_read(vp);
	return pci_config_read(&vp->config, (unsigned int)off, size);
}

static void config_write(void *dev, uint64_t off, unsigned int size,
			 uint32_t val)
{
	struct virtio_pci *vp = dev;

	if (!config_has(vp, off, size))
		return;
	pci_config_write(&vp->config, (unsigned int)off, size, val);
	if (window_covers(vp, (unsigned int)off, size))
		window_write(vp);
	else
		virtio_pci_update(vp);
}

static void add_virtio_cap(struct virtio_pci *vp, uint8_t type, uint8_t bar,
			   uint32_t off, uint32_t len)
{
	struct virtio_pci_notify_cap cap = {
		.cap = {
			.cfg_type	= type,
			.bar		= bar,
			.offset		= (__force __le32)htole32(off),
			.length		= (__force __le32)htole32(len),
		},
		.notify_off_multiplier =
			(__force __le32)htole32(NOTIFY_STRIDE),
	};
	bool longer = type == VIRTIO_PCI_CAP_NOTIFY_CFG ||
		      type == VIRTIO_PCI_CAP_PCI_CFG;
	unsigned int at;

	cap.cap.cap_len = longer ? sizeof(cap) : sizeof(cap.cap);
	if (type == VIRTIO_PCI_CAP_PCI_CFG)
		cap.notify_off_multiplier = 0;	/* its data word */
	at = pci_config_add_cap(&vp->config, PCI_CAP_ID_VNDR,
				(const uint8_t *)&cap + 2, cap.cap.cap_len);
	if (type != VIRTIO_PCI_CAP_PCI_CFG)
		return;
	vp->window_cap = at;
	vp->config.wmask[at + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(&vp->config.wmask[at + VIRTIO_PCI_CAP_OFFSET], 0xff, 12);
}

static void add_msix_cap(struct virtio_pci *vp)
{
	uint8_t body[PCI_CAP_MSIX_SIZEOF - 2] = { 0 };
	uint32_t table = htole32(MEM_MSIX | BAR_MEM);
	uint32_t pba = htole32(MEM_PBA | BAR_MEM);

	body[0] = (uint8_t)(vp->msix.count - 1);
	memcpy(&body[PCI_MSIX_TABLE - 2], &table, sizeof(table));
	memcpy(&body[PCI_MSIX_PBA - 2], &pba, sizeof(pba));
	vp->msix_cap = pci_config_add_cap(&vp->config, PCI_CAP_ID_MSIX, body,
					  PCI_CAP_MSIX_SIZEOF);
	pci_config_writable16(&vp->config, vp->msix_cap + PCI_MSIX_FLAGS,
			      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
}

static void virtio_pci_describe(struct virtio_pci *vp,
				const struct virtio_pci_env *env)
{
	const struct vdev_ops *ops = vp->vdev->ops;
	struct pci_ids ids = {
		.vendor			= VIRTIO_VENDOR,
		.device			= VIRTIO_DEVICE_BASE + ops->device_id,
		.subsystem_vendor	= VIRTIO_VENDOR,
		.subsystem		= VIRTIO_SUBSYSTEM,
		.class			= ops->pci_class,
		.revision		= 1,
		.intx_pin		= env->intx,
		.multifunction		= env->multifunction,
	};

	pci_config_init(&vp->config, &env->state->pci, &ids);
	pci_config_add_bar(&vp->config, BAR_MEM, MEM_BYTES, false);
	if (env->ports)
		pci_config_add_bar(&vp->config, BAR_PORTS, PORT_BYTES, true);
	add_msix_cap(vp);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_COMMON_CFG, BAR_MEM, MEM_COMMON,
		       COMMON_BYTES);
	if (env->ports)			/* first named, first taken */
		add_virtio_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_PORTS, 0,
			       PORT_BYTES);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_MEM, MEM_NOTIFY,
		       MEM_MSIX - MEM_NOTIFY);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_ISR_CFG, BAR_MEM, MEM_ISR, 1);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_MEM, MEM_DEVICE,
		       vp->vdev->config_len);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
}

int virtio_pci_init(struct virtio_pci *vp, struct vdev *vdev,
		    const struct virtio_pci_env *env)
{
	assert(vdev->config_len <= AREA_BYTES);
	memset(vp, 0, sizeof(*vp));
	vp->vdev = vdev;
	vp->bus = env->bus;
	vp->irq = env->irq;
	vp->devfn = env->devfn;
	vdev->pci = vp;
	msix_init(&vp->msix, &env->state->msix, env->irq, vdev->nqueues + 1);
	virtio_pci_describe(vp, env);

	vp->bar_io[BAR_MEM] = (struct io_region){
		.space	= IO_MEM,
		.len	= MEM_BYTES,
		.dev	= vp,
		.read	= mem_read,
		.write	= mem_write,
	};
	vp->bar_io[BAR_PORTS] = (struct io_region){
		.space	= IO_PORT,
		.len	= PORT_BYTES,
		.dev	= vp,
		.read	= ports_read,
		.write	= notify_write,
	};
	vp->config_io = (struct io_region){
		.space	= IO_PCI,
		.start	= (uint64_t)env->devfn << 8,
		.len	= sizeof(vp->config.st->cfg),
		.dev	= vp,
		.read	= config_read,
		.write	= config_write,
	};
	if (env->ecam) {
		vp->config_io.space = IO_MEM;
		vp->config_io.start = env->ecam;
		vp->config_io.len = ARM_GUEST_ECAM_FN_BYTES;
	}
	return io_region_add(vp->bus, &vp->config_io);
}

void virtio_pci_set_multifunction(struct virtio_pci *vp)
{
	pci_config_set_multifunction(&vp->config);
}

void virtio_pci_fini(struct virtio_pci *vp)
{
	unsigned int i;

	if (!vp->bus)
		return;
	for (i = 0; i < PCI_CONFIG_BARS; i++)
		io_region_del(vp->bus, &vp->bar_io[i]);
	io_region_del(vp->bus, &vp->config_io);
	if (vp->intx_level)
		(void)irq_intx(vp->irq, vp->devfn, false);
}
