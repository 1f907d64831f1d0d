/* SPDX-License-Identifier: MIT */
/*
 * rig.h: one whole function above the seams (fake_seams.h below it), and the
 * driver's side of it: registers by address, rings by hand.  What a test
 * wants to get wrong, it writes itself.
 *
 *	rig_init(&r, ram); make a vdev with rig_env(); rig_plug(&r, ...)
 *	rig_up(&r, features); ring_init(&q, ...); ring_enable(&q); rig_ok(&r)
 *	... ring_desc(), ring_post(), ring_kick(), rig_run(), ring_used() ...
 *	rig_unplug(&r); end the vdev; rig_fini(&r)
 */
#ifndef XVD_RIG_H
#define XVD_RIG_H

#include <assert.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include "fake_seams.h"
#include "loop.h"
#include "util.h"
#include "vdev.h"
#include "virtio_pci.h"

#define RIG_SLOT	0x18
#define RIG_DEVFN	(RIG_SLOT << 3)
#define RIG_BAR		0xf0000000u
#define RIG_PORTS	0xc100u
#define RIG_PORT_BYTES	128u
#define RIG_TURNS	100000		/* more are a busy loop */

/* BAR 0, as the header of virtio_pci.c says. */
#define RIG_COMMON	0x0000u
#define RIG_ISR		0x0400u
#define RIG_DEVICE	0x0800u
#define RIG_NOTIFY	0x1000u
#define RIG_MSIX	0x2000u
#define RIG_PBA		0x3000u

#define RIG_BASE_FEATURES (1ull << VIRTIO_F_VERSION_1 |		\
			   1ull << VIRTIO_F_ACCESS_PLATFORM)
#define RIG_INDIRECT	(1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define RIG_EVENT_IDX	(1ull << VIRTIO_RING_F_EVENT_IDX)
#define RIG_RING_RESET	(1ull << VIRTIO_F_RING_RESET)

#define S_ACK		VIRTIO_CONFIG_S_ACKNOWLEDGE
#define S_DRIVER	VIRTIO_CONFIG_S_DRIVER
#define S_FEATURES_OK	VIRTIO_CONFIG_S_FEATURES_OK
#define S_DRIVER_OK	VIRTIO_CONFIG_S_DRIVER_OK
#define S_NEEDS_RESET	VIRTIO_CONFIG_S_NEEDS_RESET
#define S_FAILED	VIRTIO_CONFIG_S_FAILED
#define S_UP		(S_ACK | S_DRIVER | S_FEATURES_OK)
#define S_RUNNING	(S_UP | S_DRIVER_OK)

struct rig {
	struct guest_mem	gm;
	struct io_bus		bus;
	struct irq		irq;
	struct loop		*loop;
	struct fn_state		state;
	struct vdev		*vdev;
	struct virtio_pci	pci;
	unsigned int		msix_cap;
	unsigned int		window_cap;
};

/* ---- making ---- */

static inline void rig_init(struct rig *r, size_t ram)
{
	int e;

	memset(r, 0, sizeof(*r));
	fake_mem_init(&r->gm, ram);
	e = loop_open(&r->loop);
	r->gm.loop = r->loop;
	assert(!e);
	(void)e;
}

static inline struct vdev_env rig_env(struct rig *r)
{
	return (struct vdev_env){
		.loop	= r->loop,
		.gm	= &r->gm,
		.state	= &r->state,
		.name	= "d1 rig0",
	};
}

/* From now on nothing is logged for this device; a line is a test's own. */
static inline void rig_mute(struct vdev *vdev)
{
	vdev->limit = (struct log_limit){ .used = UINT32_MAX };
}

static inline uint32_t rig_cfg(struct rig *r, unsigned int off,
			       unsigned int size)
{
	return (uint32_t)fake_read(&r->bus, IO_PCI,
				   (RIG_DEVFN << 8) + off, size);
}

static inline void rig_cfg_set(struct rig *r, unsigned int off,
			       unsigned int size, uint32_t val)
{
	fake_write(&r->bus, IO_PCI, (RIG_DEVFN << 8) + off, size, val);
}

/* The capability @id, and of the virtio ones the one of @type, or 0. */
static inline unsigned int rig_cap(struct rig *r, uint8_t id, uint8_t type)
{
	unsigned int at = rig_cfg(r, PCI_CAPABILITY_LIST, 1), n;

	for (n = 0; at && n < 48; n++, at = rig_cfg(r, at + 1, 1))
		if (rig_cfg(r, at, 1) == id &&
		    (id != PCI_CAP_ID_VNDR ||
		     rig_cfg(r, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == type))
			return at;
	return 0;
}

static inline int rig_plug_env(struct rig *r, struct vdev *vdev, bool intx,
			       bool ports, bool multifunction)
{
	struct virtio_pci_env env = {
		.bus		= &r->bus,
		.irq		= &r->irq,
		.state		= &r->state,
		.devfn		= RIG_DEVFN,
		.intx		= intx,
		.ports		= ports,
		.multifunction	= multifunction,
	};
	int e;

	r->vdev = vdev;
	rig_mute(vdev);
	e = virtio_pci_init(&r->pci, vdev, &env);
	if (e < 0)
		return e;
	r->msix_cap = rig_cap(r, PCI_CAP_ID_MSIX, 0);
	r->window_cap = rig_cap(r, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	return 0;
}

static inline void rig_plug(struct rig *r, struct vdev *vdev)
{
	int e = rig_plug_env(r, vdev, true, true, false);

	assert(!e);
	(void)e;
}

static inline void rig_unplug(struct rig *r)
{
	virtio_pci_fini(&r->pci);
	assert(!r->bus.list[IO_MEM] && !r->bus.list[IO_PORT] &&
	       !r->bus.list[IO_PCI]);
	assert(!r->irq.level[RIG_SLOT]);
}

/* The device is gone: nothing may be left of it. */
static inline void rig_fini(struct rig *r)
{
	loop_close(r->loop);
	fake_mem_fini(&r->gm);
}

static inline unsigned int rig_run(struct rig *r)
{
	return fake_run(r->loop, RIG_TURNS);
}

/* ---- registers ---- */

static inline uint32_t rig_mem(struct rig *r, unsigned int off,
			       unsigned int size)
{
	return (uint32_t)fake_read(&r->bus, IO_MEM, RIG_BAR + off, size);
}

static inline void rig_mem_set(struct rig *r, unsigned int off,
			       unsigned int size, uint32_t val)
{
	fake_write(&r->bus, IO_MEM, RIG_BAR + off, size, val);
}

static inline unsigned int rig_reg_size(unsigned int reg)
{
	if (reg == VIRTIO_PCI_COMMON_STATUS ||
	    reg == VIRTIO_PCI_COMMON_CFGGENERATION)
		return 1;
	return reg < VIRTIO_PCI_COMMON_MSIX ||
	       (reg >= VIRTIO_PCI_COMMON_Q_DESCLO &&
		reg < VIRTIO_PCI_COMMON_Q_NDATA) ? 4 : 2;
}

/* A register of the common configuration, in its own width. */
static inline uint32_t rig_reg(struct rig *r, unsigned int reg)
{
	return rig_mem(r, RIG_COMMON + reg, rig_reg_size(reg));
}

static inline void rig_reg_set(struct rig *r, unsigned int reg, uint32_t val)
{
	rig_mem_set(r, RIG_COMMON + reg, rig_reg_size(reg), val);
}

static inline uint8_t rig_status(struct rig *r)
{
	return (uint8_t)rig_reg(r, VIRTIO_PCI_COMMON_STATUS);
}

static inline void rig_status_set(struct rig *r, uint8_t status)
{
	rig_reg_set(r, VIRTIO_PCI_COMMON_STATUS, status);
}

static inline uint64_t rig_offered(struct rig *r)
{
	uint64_t f;

	rig_reg_set(r, VIRTIO_PCI_COMMON_DFSELECT, 1);
	f = (uint64_t)rig_reg(r, VIRTIO_PCI_COMMON_DF) << 32;
	rig_reg_set(r, VIRTIO_PCI_COMMON_DFSELECT, 0);
	return f | rig_reg(r, VIRTIO_PCI_COMMON_DF);
}

static inline void rig_accept(struct rig *r, uint64_t features)
{
	rig_reg_set(r, VIRTIO_PCI_COMMON_GFSELECT, 0);
	rig_reg_set(r, VIRTIO_PCI_COMMON_GF, (uint32_t)features);
	rig_reg_set(r, VIRTIO_PCI_COMMON_GFSELECT, 1);
	rig_reg_set(r, VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32));
}

static inline void rig_command(struct rig *r, uint16_t command)
{
	rig_cfg_set(r, PCI_COMMAND, 2, command);
}

#define RIG_COMMAND	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | \
			 PCI_COMMAND_MASTER)

static inline void rig_place(struct rig *r)
{
	rig_cfg_set(r, PCI_BASE_ADDRESS_0, 4, RIG_BAR);
	rig_cfg_set(r, PCI_BASE_ADDRESS_2, 4, RIG_PORTS);
	rig_command(r, RIG_COMMAND);
}

/* The status machine up to FEATURES_OK. */
static inline void rig_negotiate(struct rig *r, uint64_t features)
{
	rig_status_set(r, S_ACK);
	rig_status_set(r, S_ACK | S_DRIVER);
	rig_accept(r, RIG_BASE_FEATURES | features);
	rig_status_set(r, S_UP);
}

static inline void rig_up(struct rig *r, uint64_t features)
{
	rig_place(r);
	rig_negotiate(r, features);
}

static inline void rig_ok(struct rig *r)
{
	rig_status_set(r, S_RUNNING);
}

/* ---- MSI-X ---- */

#define RIG_MSI_ADDR	0xfee00000u
#define RIG_MSI_DATA	0x4041u		/* plus the vector */

static inline void rig_msix_entry(struct rig *r, unsigned int vector,
				  uint64_t addr, uint32_t data, uint32_t ctrl)
{
	unsigned int off = RIG_MSIX + 16 * vector;

	rig_mem_set(r, off, 4, (uint32_t)addr);
	rig_mem_set(r, off + 4, 4, (uint32_t)(addr >> 32));
	rig_mem_set(r, off + 8, 4, data);
	rig_mem_set(r, off + 12, 4, ctrl);
}

static inline void rig_msix_control(struct rig *r, uint16_t control)
{
	rig_cfg_set(r, r->msix_cap + PCI_MSIX_FLAGS, 2, control);
}

/* All vectors programmed and unmasked. */
static inline void rig_msix_on(struct rig *r)
{
	unsigned int i;

	rig_msix_control(r, PCI_MSIX_FLAGS_ENABLE);
	for (i = 0; i <= r->vdev->nqueues; i++)
		rig_msix_entry(r, i, RIG_MSI_ADDR, RIG_MSI_DATA + i, 0);
}

/* ---- the driver's side of a ring ---- */

struct ring {
	struct rig	*rig;
	unsigned int	index;
	uint16_t	size;
	uint64_t	desc;
	uint64_t	avail;
	uint64_t	used;
	uint64_t	end;		/* of what it takes */
	uint16_t	avail_idx;
	uint16_t	used_idx;	/* seen so far */
};

/*
 * Lays a ring out from @at on, a page boundary, with a hole right behind
 * each of its three parts.
 */
static inline void ring_init(struct ring *q, struct rig *r,
			     unsigned int index, uint16_t size, uint64_t at)
{
	uint64_t desc_end, avail_end, used_end;

	*q = (struct ring){ .rig = r, .index = index, .size = size };
	q->desc = at;
	desc_end = q->desc + 16ull * size;
	q->avail = desc_end + 64;
	avail_end = q->avail + 6 + 2ull * size;
	q->used = ALIGN_UP(avail_end + 64, 4ull);
	used_end = q->used + 6 + 8ull * size;
	q->end = ALIGN_UP(used_end + 64, 4096ull);
	memset(fake_ptr(&r->gm, at, q->end - at), 0, q->end - at);
	fake_mem_hole(&r->gm, desc_end, q->avail - desc_end);
	fake_mem_hole(&r->gm, avail_end, q->used - avail_end);
	fake_mem_hole(&r->gm, used_end, 64);
}

static inline void ring_set_addresses(struct ring *q)
{
	struct rig *r = q->rig;

	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_DESCLO, (uint32_t)q->desc);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_DESCHI, (uint32_t)(q->desc >> 32));
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_AVAILLO, (uint32_t)q->avail);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_AVAILHI,
		    (uint32_t)(q->avail >> 32));
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_USEDLO, (uint32_t)q->used);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_USEDHI, (uint32_t)(q->used >> 32));
}

/* Vector of queue i: i + 1. */
static inline void ring_enable(struct ring *q)
{
	struct rig *r = q->rig;

	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_SELECT, q->index);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_SIZE, q->size);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_MSIX, q->index + 1);
	ring_set_addresses(q);
	rig_reg_set(r, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
}

/* The guest forgets all about it, as after a reset. */
static inline void ring_restart(struct ring *q)
{
	struct guest_mem *gm = &q->rig->gm;

	memset(fake_ptr(gm, q->desc, 16u * q->size), 0, 16u * q->size);
	memset(fake_ptr(gm, q->avail, 6u + 2u * q->size), 0,
	       6u + 2u * q->size);
	memset(fake_ptr(gm, q->used, 6u + 8u * q->size), 0,
	       6u + 8u * q->size);
	q->avail_idx = 0;
	q->used_idx = 0;
}

/* One descriptor, into a table anywhere. */
static inline void table_desc(struct guest_mem *gm, uint64_t table,
			      unsigned int i, uint64_t addr, uint32_t len,
			      uint16_t flags, uint16_t next)
{
	uint64_t at = table + 16ull * i;

	fake_put64(gm, at, addr);
	fake_put32(gm, at + 8, len);
	fake_put16(gm, at + 12, flags);
	fake_put16(gm, at + 14, next);
}

static inline void ring_desc(struct ring *q, unsigned int i, uint64_t addr,
			     uint32_t len, uint16_t flags, uint16_t next)
{
	table_desc(&q->rig->gm, q->desc, i, addr, len, flags, next);
}

#define D_NEXT		VRING_DESC_F_NEXT
#define D_WRITE		VRING_DESC_F_WRITE
#define D_INDIRECT	VRING_DESC_F_INDIRECT

static inline void ring_post(struct ring *q, uint16_t head)
{
	struct guest_mem *gm = &q->rig->gm;

	fake_put16(gm, q->avail + 4 + 2ull * (q->avail_idx % q->size), head);
	fake_put16(gm, q->avail + 2, ++q->avail_idx);
}

static inline void ring_kick(struct ring *q)
{
	rig_mem_set(q->rig, RIG_NOTIFY + 4 * q->index, 2, q->index);
}

static inline uint16_t ring_used_idx(struct ring *q)
{
	return fake_get16(&q->rig->gm, q->used + 2);
}

/* The next used entry.  Return: false if there is none. */
static inline bool ring_used(struct ring *q, uint32_t *ret_id,
			     uint32_t *ret_len)
{
	struct guest_mem *gm = &q->rig->gm;
	uint64_t at = q->used + 4 + 8ull * (q->used_idx % q->size);

	if (ring_used_idx(q) == q->used_idx)
		return false;
	*ret_id = fake_get32(gm, at);
	*ret_len = fake_get32(gm, at + 4);
	q->used_idx++;
	return true;
}

/* used_event and avail_event (2.7.10). */
static inline void ring_used_event_set(struct ring *q, uint16_t val)
{
	fake_put16(&q->rig->gm, q->avail + 4 + 2ull * q->size, val);
}

static inline uint16_t ring_avail_event(struct ring *q)
{
	return fake_get16(&q->rig->gm, q->used + 4 + 8ull * q->size);
}

/* ---- the smallest device ---- */

/*
 * Takes every chain and keeps it, or gives it back at once.  Its
 * configuration is 10 bytes that may all be written.
 */
#define PROBE_KEEP	1024

struct probe {
	struct vdev		vdev;
	uint8_t			config[10];
	bool			echo;		/* give back at once */
	bool			mute;		/* run() looks at nothing */
	struct vq_chain		last;		/* taken */
	uint16_t		kept[PROBE_KEEP];
	unsigned int		nkept;
	unsigned int		taken, runs, starts, drops, resets;
	int			error;		/* of the last vq_pop() */
};

static inline struct probe *probe_of(struct vdev *vdev)
{
	return container_of(vdev, struct probe, vdev);
}

static inline void probe_config_read(struct vdev *vdev, unsigned int off,
				     void *buf, unsigned int len)
{
	assert(off + len <= vdev->config_len);
	memcpy(buf, probe_of(vdev)->config + off, len);
}

static inline void probe_config_write(struct vdev *vdev, unsigned int off,
				      const void *buf, unsigned int len)
{
	assert(off + len <= vdev->config_len);
	memcpy(probe_of(vdev)->config + off, buf, len);
}

static inline void probe_start(struct vdev *vdev)
{
	probe_of(vdev)->starts++;
}

static inline void probe_run(struct vdev *vdev, struct vq *vq)
{
	struct probe *p = probe_of(vdev);
	int r;

	p->runs++;
	if (p->mute)
		return;
	vq_quiet(vq);
	do {
		while ((r = vq_pop(vq, &p->last)) == 1) {
			p->taken++;
			if (p->echo) {
				vq_push(vq, p->last.head,
					(uint32_t)p->last.in_bytes);
				continue;
			}
			assert(p->nkept < PROBE_KEEP);
			p->kept[p->nkept++] = p->last.head;
		}
		p->error = r;
		vq_flush(vq);
	} while (vq_wait(vq));
}

static inline void probe_drop(struct vdev *vdev, struct vq *vq)
{
	(void)vq;
	probe_of(vdev)->drops++;
}

static inline void probe_reset(struct vdev *vdev)
{
	probe_of(vdev)->resets++;
}

/* Gives back the kept chain @i of queue @vq. */
static inline void probe_push(struct probe *p, unsigned int i, uint32_t len)
{
	uint16_t head = p->kept[i];

	assert(i < p->nkept);
	p->nkept--;
	memmove(&p->kept[i], &p->kept[i + 1],
		(p->nkept - i) * sizeof(p->kept[0]));
	vq_push(&p->vdev.vq[0], head, len);
	vq_flush_later(&p->vdev.vq[0]);
}

static inline void probe_push_all(struct probe *p)
{
	while (p->nkept)
		probe_push(p, 0, 0);
}

static const struct vdev_ops probe_ops = {
	.name		= "probe",
	.device_id	= 63,
	.pci_class	= 0xff0000,
	.config_read	= probe_config_read,
	.config_write	= probe_config_write,
	.start		= probe_start,
	.run		= probe_run,
	.drop		= probe_drop,
	.reset		= probe_reset,
};

static inline void probe_init(struct probe *p, struct rig *r,
			      unsigned int queues, uint16_t size)
{
	struct vdev_env env = rig_env(r);

	memset(p, 0, sizeof(*p));
	p->vdev.ops = &probe_ops;
	p->vdev.features = 1ull << 5;		/* one of its own */
	p->vdev.config_len = sizeof(p->config);
	p->vdev.nqueues = queues;
	p->vdev.queue_size = size;
	vdev_init(&p->vdev, &env);
}

/* The end, in order; whatever the probe has kept is given back before. */
static inline void probe_fini(struct probe *p, struct rig *r)
{
	while (p->nkept)
		probe_push(p, 0, 0);
	rig_run(r);
	rig_unplug(r);
	vdev_fini(&p->vdev);
	rig_fini(r);
}

#endif
