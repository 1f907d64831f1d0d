/* SPDX-License-Identifier: MIT */
/*
 * A virtio-blk driver for the toy guest: modern virtio-pci (virtio 1.2, 4.1),
 * split rings (2.7), block device (5.2).  It is a driver that can misbehave:
 * every register and every descriptor may also be written by hand.
 *
 *	toyblk_probe(t, 0, TOY_BDF(0x18), &b);
 *	toyblk_start(b, &(struct toyblk_conf){ .irq = TOYBLK_MSIX });
 *	st = toyblk_io(b, 0, VIRTIO_BLK_T_IN, sector, gpa, len);
 *	...
 *	toyblk_free(b);
 *
 * A queue is used by one thread at a time; different queues by different ones,
 * each with its own vCPU.
 *
 * With .grants it does what Linux does over grant-dma-ops.  The device sees no
 * address of the guest's: rings are granted from when a queue is set up until
 * it is reset, as pages in a row that are none in the guest; indirect tables
 * and buffers just before they are made available, one by one, what the device
 * only reads as read-only; and all of a request is revoked when its used entry
 * is seen.  A grant that is still in use then makes Linux give up the device
 * for ever: that is a fault, and counted in t->xen.hyp->grants_in_use.  None
 * of this is seen by the caller, who has plain addresses; one with TOY_GRANT
 * in it is the caller's own business and goes to the device as it is.
 */
#ifndef TOYBLK_H
#define TOYBLK_H

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "toy.h"

#define TOYBLK_QUEUES	8
#define TOYBLK_NO_VECTOR 0xffff
#define TOYBLK_F(bit)	(1ull << (bit))

enum toyblk_irq { TOYBLK_MSIX, TOYBLK_INTX, TOYBLK_POLL };

enum toyblk_doorbell {
	DOORBELL_MEM,		/* a notify capability in a memory BAR */
	DOORBELL_PIO,		/* one in an I/O BAR */
	DOORBELL_WINDOW,	/* through the PCI_CFG capability */
};

/* What of a request is given by plain address for all that. */
enum toyblk_mix {
	MIX_NONE,
	MIX_REQUESTS,		/* all of every second one */
	MIX_SEGMENTS,		/* every second part, the others next time */
};

struct toyblk_conf {
	uint64_t		features;	/* wanted; 0: all offered */
	uint64_t		without;	/* features not to take */
	unsigned int		queues;		/* 0: one */
	unsigned int		size;		/* 0: the device's own */
	enum toyblk_irq		irq;
	enum toyblk_doorbell	doorbell;
	bool			indirect;	/* for every request */
	bool			grants;
	enum toyblk_mix		mix;		/* with grants */
};

struct toyblk_cap {
	unsigned int	at;		/* in config space; 0: absent */
	unsigned int	bar;
	uint32_t	off, len;
};

/* What a request in flight has granted. */
struct toyblk_granted {
	unsigned int		n;
	struct {
		uint64_t	addr;
		uint32_t	len;
	}			part[];
};

struct toyblk_vq {
	struct toyblk		*b;
	unsigned int		index, vcpu;
	unsigned int		size;
	uint64_t		desc_gpa, avail_gpa, used_gpa;	/* plain */
	uint64_t		desc_addr, avail_addr, used_addr; /* as told */
	struct vring_desc	*desc;
	struct vring_avail	*avail;
	struct vring_used	*used;
	uint64_t		slots_gpa;	/* headers, statuses */
	uint64_t		tables_gpa;	/* indirect, if wanted */
	uint64_t		pages_gpa;	/* of granted rings */
	void			*ring;		/* they, in a row, or NULL */
	unsigned int		ring_pages;
	uint64_t		ring_addr;	/* 0: not granted */
	struct toyblk_granted	**granted;	/* by head, or NULL */
	uint64_t		added;		/* requests */
	uint16_t		*free;		/* descriptors, a stack */
	unsigned int		nr_free;
	uint16_t		*chain_len;	/* by head */
	uint16_t		avail_idx;	/* ours, and as last kicked */
	uint16_t		kicked_idx;
	uint16_t		used_idx;
	uint32_t		notify_off;
	uint64_t		kicks, irqs;
	uint64_t		msi_addr;
	uint32_t		msi_data, msi_seen;
};

struct toyblk {
	struct toy		*t;
	unsigned int		vcpu, bdf;
	struct toy_bar		bar[6];
	struct toyblk_cap	common, isr, device, notify_mem, notify_pio;
	struct toyblk_cap	pci_cfg;
	uint32_t		notify_mult;
	unsigned int		msix;		/* capability, or 0 */
	unsigned int		nr_vectors;
	struct toyblk_cap	table, pba;
	struct toyblk_conf	conf;
	uint64_t		offered, features;
	uint64_t		capacity;	/* 512-byte sectors */
	uint64_t		cfg_msi_addr;
	uint32_t		cfg_msi_data;
	struct toyblk_vq	vq[TOYBLK_QUEUES];
};

/* Find capabilities and place BARs.  Return: 0, or -ENODEV. */
int toyblk_probe(struct toy *t, unsigned int vcpu, unsigned int bdf,
		 struct toyblk **ret);
void toyblk_free(struct toyblk *b);

/* ---- registers ---- */

uint64_t toyblk_read(struct toyblk *b, const struct toyblk_cap *cap,
		     uint32_t off, unsigned int size);
void toyblk_write(struct toyblk *b, const struct toyblk_cap *cap, uint32_t off,
		  unsigned int size, uint64_t val);
/* common configuration by the names of <linux/virtio_pci.h> */
#define common_read(b, reg, size)					\
	toyblk_read(b, &(b)->common, VIRTIO_PCI_COMMON_##reg, size)
#define common_write(b, reg, size, val)					\
	toyblk_write(b, &(b)->common, VIRTIO_PCI_COMMON_##reg, size, val)
/* through the PCI_CFG capability's window (4.1.4.9) */
uint64_t toyblk_win_read(struct toyblk *b, unsigned int bar, uint32_t off,
			 unsigned int size);
void toyblk_win_write(struct toyblk *b, unsigned int bar, uint32_t off,
		      unsigned int size, uint64_t val);
unsigned int toyblk_status(struct toyblk *b);
/* MSI-X entry @i */
void toyblk_vector(struct toyblk *b, unsigned int i, uint64_t addr,
		   uint32_t data, uint32_t ctrl);

/* ---- life ---- */

/* Everything up to DRIVER_OK.  Return: 0, or -EPROTO if the device refuses, or
 * does not offer VIRTIO_F_ACCESS_PLATFORM to one who wants to grant. */
int toyblk_start(struct toyblk *b, const struct toyblk_conf *conf);
/* Its parts. */
int toyblk_negotiate(struct toyblk *b, uint64_t want);
int toyblk_setup_vq(struct toyblk *b, unsigned int i, unsigned int size);
/* Its rings alone, q->size long; and what it has granted back, after a reset
 * that these did not make. */
void toyblk_make_vq(struct toyblk_vq *q);
void toyblk_revoke_vq(struct toyblk_vq *q);
void toyblk_driver_ok(struct toyblk *b);
/* Write 0 and wait until it reads 0. Return: 0 or -ETIMEDOUT. */
int toyblk_reset(struct toyblk *b);
/* Queue reset (2.6.1); set the queue up again afterwards. */
int toyblk_reset_vq(struct toyblk *b, unsigned int i);
bool toyblk_needs_reset(struct toyblk *b);
/* Wait for NEEDS_RESET.  Return: 0 or -ETIMEDOUT. */
int toyblk_wait_broken(struct toyblk *b, int ms);

/* ---- rings ---- */

struct toyblk_sg {
	uint64_t	gpa;
	uint32_t	len;
	bool		in;		/* the device writes it */
};

/* Return: the head, or -ENOSPC.  Published, but not kicked. */
int toyblk_add(struct toyblk_vq *q, const struct toyblk_sg *sg, unsigned int n,
	       bool indirect);
/* Publish any head at all. */
void toyblk_publish(struct toyblk_vq *q, uint16_t head);
/* Ring the doorbell if the device wants it / regardless. */
void toyblk_kick(struct toyblk_vq *q);
void toyblk_kick_hard(struct toyblk_vq *q);
/* Take a used head.  Return: the head, -EAGAIN, or -EPROTO if the entry
 * makes no sense. */
int toyblk_get(struct toyblk_vq *q, uint32_t *ret_len);
/* Until something is used: sleeping for interrupts, unless TOYBLK_POLL. */
int toyblk_wait(struct toyblk_vq *q, int ms);
/* An interrupt since the last time this was asked. Return: 0, -ETIMEDOUT. */
int toyblk_wait_irq(struct toyblk_vq *q, int ms);

/* ---- requests ---- */

/* Header, one piece of data, status. Return: the head. */
int toyblk_submit(struct toyblk_vq *q, uint32_t type, uint64_t sector,
		  uint64_t gpa, uint32_t len);
/* The status byte of @head's request, 0xff until written. */
uint8_t toyblk_head_status(struct toyblk_vq *q, int head);
/* Wait for one.  Return: its head, -ETIMEDOUT or -EPROTO. */
int toyblk_reap(struct toyblk_vq *q, uint32_t *ret_len, int ms);
/* Submit, kick and reap.  Return: the status byte, or a negative errno. */
int toyblk_io(struct toyblk *b, unsigned int q, uint32_t type, uint64_t sector,
	      uint64_t gpa, uint32_t len);
/* One range of discard or write zeroes. */
int toyblk_range(struct toyblk *b, unsigned int q, uint32_t type,
		 uint64_t sector, uint32_t sectors, uint32_t flags);

#endif
