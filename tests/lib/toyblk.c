/* SPDX-License-Identifier: MIT */
/* The toy guest's virtio-blk driver: see toyblk.h. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "toyblk.h"

#define SLOT_BYTES	64	/* header at 0, range at 16, status at 48 */
#define SLOT_RANGE	16
#define SLOT_STATUS	48
#define TABLE_ENTRIES	16	/* of an indirect table of ours */
#define RING_MAX	1024
#define RING_ALIGN	64	/* Linux: SMP_CACHE_BYTES */
#define RING_PAGES	16	/* to choose those of granted rings from */

/* ---- registers ---- */

uint64_t toyblk_read(struct toyblk *b, const struct toyblk_cap *cap,
		     uint32_t off, unsigned int size)
{
	const struct toy_bar *bar = &b->bar[cap->bar];

	if (bar->io)
		return toy_pio_read(b->t, b->vcpu, bar->addr + cap->off + off,
				    size);
	return toy_mem_read(b->t, b->vcpu, bar->addr + cap->off + off, size);
}

void toyblk_write(struct toyblk *b, const struct toyblk_cap *cap, uint32_t off,
		  unsigned int size, uint64_t val)
{
	const struct toy_bar *bar = &b->bar[cap->bar];

	if (bar->io)
		toy_pio_write(b->t, b->vcpu, bar->addr + cap->off + off, size,
			      val);
	else
		toy_mem_write(b->t, b->vcpu, bar->addr + cap->off + off, size,
			      val);
}

static void toyblk_win_aim(struct toyblk *b, unsigned int bar, uint32_t off,
			   unsigned int size)
{
	unsigned int at = b->pci_cfg.at;

	toy_cfg_write(b->t, b->vcpu, b->bdf,
		      at + offsetof(struct virtio_pci_cap, bar), 1, bar);
	toy_cfg_write(b->t, b->vcpu, b->bdf,
		      at + offsetof(struct virtio_pci_cap, offset), 4, off);
	toy_cfg_write(b->t, b->vcpu, b->bdf,
		      at + offsetof(struct virtio_pci_cap, length), 4, size);
}

uint64_t toyblk_win_read(struct toyblk *b, unsigned int bar, uint32_t off,
			 unsigned int size)
{
	toyblk_win_aim(b, bar, off, size);
	return toy_cfg_read(b->t, b->vcpu, b->bdf, b->pci_cfg.at +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data),
			    size);
}

void toyblk_win_write(struct toyblk *b, unsigned int bar, uint32_t off,
		      unsigned int size, uint64_t val)
{
	toyblk_win_aim(b, bar, off, size);
	toy_cfg_write(b->t, b->vcpu, b->bdf, b->pci_cfg.at +
		      offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), size,
		      val);
}

unsigned int toyblk_status(struct toyblk *b)
{
	return common_read(b, STATUS, 1);
}

void toyblk_vector(struct toyblk *b, unsigned int i, uint64_t addr,
		   uint32_t data, uint32_t ctrl)
{
	uint32_t at = i * PCI_MSIX_ENTRY_SIZE;

	toyblk_write(b, &b->table, at + PCI_MSIX_ENTRY_LOWER_ADDR, 4, addr);
	toyblk_write(b, &b->table, at + PCI_MSIX_ENTRY_UPPER_ADDR, 4,
		     addr >> 32);
	toyblk_write(b, &b->table, at + PCI_MSIX_ENTRY_DATA, 4, data);
	toyblk_write(b, &b->table, at + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, ctrl);
}

/* ---- finding it ---- */

static uint32_t toyblk_cfg(struct toyblk *b, unsigned int reg,
			   unsigned int size)
{
	return toy_cfg_read(b->t, b->vcpu, b->bdf, reg, size);
}

static void toyblk_find_cap(struct toyblk *b, unsigned int at)
{
	unsigned int type = toyblk_cfg(b, at + 3, 1);
	struct toyblk_cap cap = {
		.at = at, .bar = toyblk_cfg(b, at + 4, 1),
		.off = toyblk_cfg(b, at + 8, 4),
		.len = toyblk_cfg(b, at + 12, 4),
	};
	struct toyblk_cap *to = NULL;

	if (type != VIRTIO_PCI_CAP_PCI_CFG && cap.bar > 5)
		return;
	switch (type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		to = &b->common;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		b->notify_mult = toyblk_cfg(b, at + 16, 4);
		to = b->bar[cap.bar].io ? &b->notify_pio : &b->notify_mem;
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		to = &b->isr;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		to = &b->device;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		to = &b->pci_cfg;
		break;
	}
	/* 4.1.4.1: the first of a kind is the one the device likes best */
	if (to && !to->at)
		*to = cap;
}

static void toyblk_find_msix(struct toyblk *b)
{
	uint32_t v;

	b->msix = toy_pci_cap(b->t, b->bdf, PCI_CAP_ID_MSIX, 0);
	if (!b->msix)
		return;
	b->nr_vectors = (toyblk_cfg(b, b->msix + PCI_MSIX_FLAGS, 2) &
			 PCI_MSIX_FLAGS_QSIZE) + 1;
	v = toyblk_cfg(b, b->msix + PCI_MSIX_TABLE, 4);
	b->table = (struct toyblk_cap){
		.at = b->msix, .bar = v & PCI_MSIX_TABLE_BIR,
		.off = v & PCI_MSIX_TABLE_OFFSET,
		.len = b->nr_vectors * PCI_MSIX_ENTRY_SIZE,
	};
	v = toyblk_cfg(b, b->msix + PCI_MSIX_PBA, 4);
	b->pba = (struct toyblk_cap){
		.at = b->msix, .bar = v & PCI_MSIX_PBA_BIR,
		.off = v & PCI_MSIX_PBA_OFFSET, .len = 8,
	};
}

int toyblk_probe(struct toy *t, unsigned int vcpu, unsigned int bdf,
		 struct toyblk **ret)
{
	struct toyblk *b;
	unsigned int at, i;

	if (toy_cfg_read(t, vcpu, bdf, PCI_VENDOR_ID, 2) != 0x1af4)
		return -ENODEV;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->t = t;
	b->vcpu = vcpu;
	b->bdf = bdf;
	toy_cfg_write(t, vcpu, bdf, PCI_COMMAND, 2, 0);
	toy_pci_bars(t, vcpu, bdf, true, b->bar);
	toy_cfg_write(t, vcpu, bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY |
		      PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	for (at = toy_pci_cap(t, bdf, PCI_CAP_ID_VNDR, 0), i = 0; at && i < 16;
	     at = toy_pci_cap(t, bdf, PCI_CAP_ID_VNDR, at), i++)
		toyblk_find_cap(b, at);
	toyblk_find_msix(b);
	for (i = 0; i < TOYBLK_QUEUES; i++) {
		b->vq[i].b = b;
		b->vq[i].index = i;
		b->vq[i].vcpu = vcpu;
	}
	if (!b->common.at || !b->isr.at || !b->device.at || !b->notify_mem.at) {
		toyblk_free(b);
		return -ENODEV;
	}
	*ret = b;
	return 0;
}

static void toyblk_drop_vq(struct toyblk_vq *q)
{
	unsigned int i;

	for (i = 0; q->granted && i < q->size; i++)
		free(q->granted[i]);
	free(q->granted);
	if (q->ring)
		munmap(q->ring, q->ring_pages * HYP_PAGE);
	free(q->free);
	free(q->chain_len);
	q->granted = NULL;
	q->ring = NULL;
	q->free = NULL;
	q->chain_len = NULL;
}

void toyblk_free(struct toyblk *b)
{
	int i;

	if (!b)
		return;
	for (i = 0; i < TOYBLK_QUEUES; i++)
		toyblk_drop_vq(&b->vq[i]);
	free(b);
}

/* ---- grants ---- */

/* Linux: xen_grant_dma_unmap_page(). */
static void toyblk_revoke(struct toyblk_vq *q, uint64_t addr, uint64_t len)
{
	if (toy_revoke(q->b->t, addr, len))
		toy_set_fault(q->b->t, "queue %u: grants from %u on: still in "
			      "use by the backend, disabled for further use",
			      q->index, toy_grant_ref(addr));
}

static void toyblk_revoke_head(struct toyblk_vq *q, uint16_t head)
{
	struct toyblk_granted *g = q->granted ? q->granted[head] : NULL;
	unsigned int i;

	for (i = 0; g && i < g->n; i++)
		toyblk_revoke(q, g->part[i].addr, g->part[i].len);
	free(g);
	if (g)
		q->granted[head] = NULL;
}

void toyblk_revoke_vq(struct toyblk_vq *q)
{
	unsigned int i;

	for (i = 0; q->granted && i < q->size; i++)
		toyblk_revoke_head(q, i);
	if (q->ring_addr)
		toyblk_revoke(q, q->ring_addr, q->ring_pages * HYP_PAGE);
	q->ring_addr = 0;
}

static bool toyblk_is_plain(const struct toyblk_vq *q, unsigned int part)
{
	switch (q->b->conf.mix) {
	case MIX_REQUESTS:
		return q->added & 1;
	case MIX_SEGMENTS:
		return (q->added + part) & 1;
	default:
		return false;
	}
}

/* What the device is told instead of @gpa, for a part of the request @head. */
static uint64_t toyblk_dma(struct toyblk_vq *q, uint16_t head,
			   unsigned int part, uint64_t gpa, uint32_t len,
			   bool in)
{
	struct toyblk_granted *g = q->granted ? q->granted[head] : NULL;
	uint64_t addr;

	if (!g || !len || gpa & TOY_GRANT || toyblk_is_plain(q, part))
		return gpa;
	addr = toy_grant(q->b->t, gpa, len, !in);
	g->part[g->n].addr = addr;
	g->part[g->n].len = len;
	g->n++;
	return addr;
}

/* Make room for @n parts of a request. */
static void toyblk_dma_start(struct toyblk_vq *q, uint16_t head, unsigned int n)
{
	struct toyblk_granted *g;

	if (!q->granted)
		return;
	g = calloc(1, sizeof(*g) + n * sizeof(g->part[0]));
	if (!g)
		abort();
	q->granted[head] = g;
}

/*
 * Rings of Linux' layout in one block, of which the device can only know that
 * its grants are in a row: no page is followed by its neighbour.
 */
static void toyblk_grant_rings(struct toyblk_vq *q)
{
	uint64_t avail = q->size * sizeof(struct vring_desc);
	uint64_t used = avail + sizeof(uint16_t) * (3 + q->size), bytes;
	uint64_t page[RING_PAGES];
	unsigned int i;

	used = (used + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
	bytes = used + sizeof(uint16_t) * 3 +
		sizeof(struct vring_used_elem) * q->size;
	q->ring_pages = toy_pages(0, bytes);
	for (i = 0; i < q->ring_pages; i++)
		page[i] = q->pages_gpa + (i * 7 + 3) % RING_PAGES * HYP_PAGE;
	q->ring = toy_window(q->b->t, page, q->ring_pages);
	q->ring_addr = toy_grant_pages(q->b->t, page, q->ring_pages, false);
	q->desc = q->ring;
	q->avail = (void *)((char *)q->ring + avail);
	q->used = (void *)((char *)q->ring + used);
	q->desc_addr = q->ring_addr;
	q->avail_addr = q->ring_addr + avail;
	q->used_addr = q->ring_addr + used;
	q->granted = calloc(q->size, sizeof(q->granted[0]));
}

/* ---- life ---- */

/* Once the device says that it is reset, it must not touch a page any more. */
int toyblk_reset(struct toyblk *b)
{
	int64_t end = toy_now_ms() + TOY_MS;
	unsigned int i;

	common_write(b, STATUS, 1, 0);
	while (common_read(b, STATUS, 1)) {
		if (toy_fault(b->t) || toy_now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	for (i = 0; i < TOYBLK_QUEUES; i++)
		toyblk_revoke_vq(&b->vq[i]);
	return 0;
}

int toyblk_negotiate(struct toyblk *b, uint64_t want)
{
	unsigned int s = VIRTIO_CONFIG_S_ACKNOWLEDGE;

	common_write(b, STATUS, 1, s);
	s |= VIRTIO_CONFIG_S_DRIVER;
	common_write(b, STATUS, 1, s);
	common_write(b, DFSELECT, 4, 0);
	b->offered = common_read(b, DF, 4);
	common_write(b, DFSELECT, 4, 1);
	b->offered |= common_read(b, DF, 4) << 32;
	b->features = want & b->offered;
	if (b->conf.grants && !(b->features >> VIRTIO_F_ACCESS_PLATFORM & 1))
		return -EPROTO;
	common_write(b, GFSELECT, 4, 0);
	common_write(b, GF, 4, b->features & 0xffffffff);
	common_write(b, GFSELECT, 4, 1);
	common_write(b, GF, 4, b->features >> 32);
	s |= VIRTIO_CONFIG_S_FEATURES_OK;
	common_write(b, STATUS, 1, s);
	if (!(common_read(b, STATUS, 1) & VIRTIO_CONFIG_S_FEATURES_OK))
		return -EPROTO;
	b->capacity = toyblk_read(b, &b->device, 0, 4);
	b->capacity |= toyblk_read(b, &b->device, 4, 4) << 32;
	return 0;
}

static uint64_t toyblk_take(struct toyblk *b, uint64_t had, uint64_t bytes,
			    uint64_t align)
{
	if (!had)
		return toy_alloc(b->t, bytes, align);
	memset(toy_ptr(b->t, had, bytes), 0, bytes);
	return had;
}

/* Memory is taken once, for the largest size and rings of either kind, and
 * used again after resets: tests take back what they had from toy_alloc(). */
static void toyblk_take_all(struct toyblk_vq *q)
{
	struct toyblk *b = q->b;

	q->desc_gpa = toyblk_take(b, q->desc_gpa, RING_MAX * 16, 4096);
	q->avail_gpa = toyblk_take(b, q->avail_gpa, 6 + 2 * RING_MAX, 4096);
	q->used_gpa = toyblk_take(b, q->used_gpa, 6 + 8 * RING_MAX, 4096);
	q->slots_gpa = toyblk_take(b, q->slots_gpa, RING_MAX * SLOT_BYTES,
				   4096);
	q->tables_gpa = toyblk_take(b, q->tables_gpa,
				    RING_MAX * TABLE_ENTRIES * 16, 4096);
	q->pages_gpa = toyblk_take(b, q->pages_gpa, RING_PAGES * HYP_PAGE,
				   4096);
}

static void toyblk_place_rings(struct toyblk_vq *q)
{
	struct toy *t = q->b->t;

	q->desc = toy_ptr(t, q->desc_gpa, RING_MAX * 16);
	q->avail = toy_ptr(t, q->avail_gpa, 6 + 2 * RING_MAX);
	q->used = toy_ptr(t, q->used_gpa, 6 + 8 * RING_MAX);
	q->desc_addr = q->desc_gpa;
	q->avail_addr = q->avail_gpa;
	q->used_addr = q->used_gpa;
}

void toyblk_make_vq(struct toyblk_vq *q)
{
	struct toyblk *b = q->b;
	unsigned int i;

	toyblk_drop_vq(q);
	toyblk_take_all(q);
	if (b->conf.grants)
		toyblk_grant_rings(q);
	else
		toyblk_place_rings(q);
	q->free = calloc(q->size, sizeof(*q->free));
	q->chain_len = calloc(q->size, sizeof(*q->chain_len));
	for (i = 0; i < q->size; i++)
		q->free[i] = q->size - 1 - i;
	q->nr_free = q->size;
	q->avail_idx = q->kicked_idx = q->used_idx = 0;
	if (b->conf.irq == TOYBLK_POLL)
		q->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static void toyblk_write64(struct toyblk *b, uint32_t lo, uint64_t val)
{
	toyblk_write(b, &b->common, lo, 4, val & 0xffffffff);
	toyblk_write(b, &b->common, lo + 4, 4, val >> 32);
}

int toyblk_setup_vq(struct toyblk *b, unsigned int i, unsigned int size)
{
	struct toyblk_vq *q = &b->vq[i];
	unsigned int max, vec = i + 1 < b->nr_vectors ? i + 1 : 0;

	common_write(b, Q_SELECT, 2, i);
	max = common_read(b, Q_SIZE, 2);
	if (!max || max > RING_MAX)
		return -ENOENT;
	toyblk_drop_vq(q);		/* it may get another size */
	if (size)
		common_write(b, Q_SIZE, 2, size);
	q->size = common_read(b, Q_SIZE, 2);
	if (size && q->size != size)
		return -EINVAL;
	toyblk_make_vq(q);
	if (b->conf.irq == TOYBLK_MSIX) {
		q->msi_addr = 0xfee00000 | (i & 0xff) << 12;
		q->msi_data = 0x4000 | (0x20 + (b->bdf >> 3 & 0x1f) * 6 +
					(i < 5 ? i : 5));
		toyblk_vector(b, vec, q->msi_addr, q->msi_data, 0);
		common_write(b, Q_MSIX, 2, vec);
		if (common_read(b, Q_MSIX, 2) != vec)
			return -EPROTO;
		q->msi_seen = toy_msi_count(b->t, q->msi_addr, q->msi_data);
	}
	toyblk_write64(b, VIRTIO_PCI_COMMON_Q_DESCLO, q->desc_addr);
	toyblk_write64(b, VIRTIO_PCI_COMMON_Q_AVAILLO, q->avail_addr);
	toyblk_write64(b, VIRTIO_PCI_COMMON_Q_USEDLO, q->used_addr);
	q->notify_off = common_read(b, Q_NOFF, 2) * b->notify_mult;
	common_write(b, Q_ENABLE, 2, 1);
	return common_read(b, Q_ENABLE, 2) == 1 ? 0 : -EPROTO;
}

void toyblk_driver_ok(struct toyblk *b)
{
	common_write(b, STATUS, 1, common_read(b, STATUS, 1) |
		     VIRTIO_CONFIG_S_DRIVER_OK);
}

static void toyblk_start_msix(struct toyblk *b)
{
	b->cfg_msi_addr = 0xfee00000;
	b->cfg_msi_data = 0x4000 | (0x10 + (b->bdf >> 3 & 0xf));
	toy_cfg_write(b->t, b->vcpu, b->bdf, b->msix + PCI_MSIX_FLAGS, 2,
		      PCI_MSIX_FLAGS_ENABLE);
	toyblk_vector(b, 0, b->cfg_msi_addr, b->cfg_msi_data, 0);
	common_write(b, MSIX, 2, 0);
}

int toyblk_start(struct toyblk *b, const struct toyblk_conf *conf)
{
	unsigned int i;
	int r;

	b->conf = *conf;
	b->conf.grants |= getenv("XEN_TOY_GRANTS") != NULL;
	if (!b->conf.queues)
		b->conf.queues = 1;
	r = toyblk_reset(b);
	if (r)
		return r;
	r = toyblk_negotiate(b, (conf->features ? conf->features : ~0ull) &
			     ~conf->without);
	if (r)
		return r;
	if (conf->irq == TOYBLK_MSIX && b->msix)
		toyblk_start_msix(b);
	else
		toy_cfg_write(b->t, b->vcpu, b->bdf,
			      b->msix + PCI_MSIX_FLAGS, 2, 0);
	for (i = 0; i < b->conf.queues; i++) {
		r = toyblk_setup_vq(b, i, conf->size);
		if (r)
			return r;
	}
	toyblk_driver_ok(b);
	return common_read(b, STATUS, 1) & VIRTIO_CONFIG_S_DRIVER_OK ? 0 :
		-EPROTO;
}

int toyblk_reset_vq(struct toyblk *b, unsigned int i)
{
	int64_t end = toy_now_ms() + TOY_MS;

	common_write(b, Q_SELECT, 2, i);
	common_write(b, Q_RESET, 2, 1);
	for (;;) {
		common_write(b, Q_SELECT, 2, i);
		if (!common_read(b, Q_RESET, 2))
			break;
		if (toy_fault(b->t) || toy_now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	toyblk_revoke_vq(&b->vq[i]);
	return 0;
}

bool toyblk_needs_reset(struct toyblk *b)
{
	return toyblk_status(b) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

int toyblk_wait_broken(struct toyblk *b, int ms)
{
	int64_t end = toy_now_ms() + ms;

	while (!toyblk_needs_reset(b)) {
		if (toy_fault(b->t) || toy_now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

/* ---- rings ---- */

static bool toyblk_has(struct toyblk_vq *q, unsigned int bit)
{
	return q->b->features >> bit & 1;
}

/* The two event fields live behind the other side's ring (2.7.7, 2.7.8). */
static uint16_t *toyblk_used_event(struct toyblk_vq *q)
{
	return (uint16_t *)&q->avail->ring[q->size];
}

static uint16_t *toyblk_avail_event(struct toyblk_vq *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

void toyblk_publish(struct toyblk_vq *q, uint16_t head)
{
	q->avail->ring[q->avail_idx % q->size] = head;
	q->avail_idx++;
	/* pairs with the device's read of idx before the ring */
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
}

static void toyblk_fill(struct vring_desc *d, uint64_t addr,
			const struct toyblk_sg *sg, bool last, uint16_t next)
{
	d->addr = addr;
	d->len = sg->len;
	d->flags = (sg->in ? VRING_DESC_F_WRITE : 0) |
		   (last ? 0 : VRING_DESC_F_NEXT);
	d->next = last ? 0 : next;
}

static int toyblk_add_indirect(struct toyblk_vq *q,
			       const struct toyblk_sg *sg, unsigned int n)
{
	struct vring_desc *table;
	unsigned int i;
	uint16_t head;
	uint64_t gpa;

	if (!q->nr_free || n > TABLE_ENTRIES)
		return -ENOSPC;
	head = q->free[--q->nr_free];
	gpa = q->tables_gpa + head * TABLE_ENTRIES * 16;
	table = toy_ptr(q->b->t, gpa, TABLE_ENTRIES * 16);
	toyblk_dma_start(q, head, n + 1);
	for (i = 0; i < n; i++)
		toyblk_fill(&table[i], toyblk_dma(q, head, i, sg[i].gpa,
						  sg[i].len, sg[i].in),
			    &sg[i], i + 1 == n, i + 1);
	gpa = toyblk_dma(q, head, n, gpa, n * 16, false);
	q->desc[head] = (struct vring_desc){
		.addr = gpa, .len = n * 16, .flags = VRING_DESC_F_INDIRECT,
	};
	q->chain_len[head] = 1;
	return head;
}

int toyblk_add(struct toyblk_vq *q, const struct toyblk_sg *sg, unsigned int n,
	       bool indirect)
{
	unsigned int i;
	uint16_t head;
	int r;

	if (indirect) {
		r = toyblk_add_indirect(q, sg, n);
		if (r >= 0) {
			q->added++;
			toyblk_publish(q, r);
		}
		return r;
	}
	if (n > q->nr_free)
		return -ENOSPC;
	head = q->free[q->nr_free - 1];
	toyblk_dma_start(q, head, n);
	for (i = 0; i < n; i++) {
		uint16_t at = q->free[--q->nr_free];
		bool last = i + 1 == n;

		toyblk_fill(&q->desc[at], toyblk_dma(q, head, i, sg[i].gpa,
						     sg[i].len, sg[i].in),
			    &sg[i], last, last ? 0 : q->free[q->nr_free - 1]);
	}
	q->chain_len[head] = n;
	q->added++;
	toyblk_publish(q, head);
	return head;
}

void toyblk_kick_hard(struct toyblk_vq *q)
{
	struct toyblk *b = q->b;
	const struct toyblk_cap *cap = &b->notify_mem;

	q->kicks++;
	q->kicked_idx = q->avail_idx;
	if (b->conf.doorbell == DOORBELL_WINDOW) {
		toyblk_win_write(b, cap->bar, cap->off + q->notify_off, 2,
				 q->index);
		return;
	}
	if (b->conf.doorbell == DOORBELL_PIO)
		cap = &b->notify_pio;
	if (b->bar[cap->bar].io)
		toy_pio_write(b->t, q->vcpu, b->bar[cap->bar].addr + cap->off +
			      q->notify_off, 2, q->index);
	else
		toy_mem_write(b->t, q->vcpu, b->bar[cap->bar].addr + cap->off +
			      q->notify_off, 2, q->index);
}

void toyblk_kick(struct toyblk_vq *q)
{
	uint16_t event, fresh = q->avail_idx, old = q->kicked_idx;

	/* our idx before their wish: pairs with the device's fence between
	 * its wish and its last look at idx (2.7.10) */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (toyblk_has(q, VIRTIO_RING_F_EVENT_IDX)) {
		event = __atomic_load_n(toyblk_avail_event(q),
					__ATOMIC_RELAXED);
		if (!vring_need_event(event, fresh, old)) {
			q->kicked_idx = fresh;
			return;
		}
	} else if (__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) &
		   VRING_USED_F_NO_NOTIFY) {
		return;
	}
	toyblk_kick_hard(q);
}

static bool toyblk_used(struct toyblk_vq *q)
{
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) != q->used_idx;
}

int toyblk_get(struct toyblk_vq *q, uint32_t *ret_len)
{
	struct vring_used_elem *e;
	uint16_t at, next;
	unsigned int i;
	uint32_t head;

	if (!toyblk_used(q))
		return -EAGAIN;
	e = &q->used->ring[q->used_idx % q->size];
	head = e->id;
	if (head >= q->size || !q->chain_len[head]) {
		toy_set_fault(q->b->t, "queue %u: used entry %u says head %u, "
			      "which is not in flight", q->index, q->used_idx,
			      head);
		return -EPROTO;
	}
	if (ret_len)
		*ret_len = e->len;
	toyblk_revoke_head(q, head);
	for (i = 0, at = head; i < q->chain_len[head]; i++, at = next) {
		next = q->desc[at].next;
		q->free[q->nr_free++] = at;
	}
	q->chain_len[head] = 0;
	q->used_idx++;
	if (q->b->conf.irq != TOYBLK_POLL)
		__atomic_store_n(toyblk_used_event(q), q->used_idx,
				 __ATOMIC_SEQ_CST);
	return head;
}

static bool toyblk_irq(struct toyblk_vq *q)
{
	struct toyblk *b = q->b;
	uint32_t n;

	if (b->conf.irq == TOYBLK_INTX) {
		if (!toy_intx_level(b->t, b->bdf >> 3, 0))
			return false;
		q->irqs++;
		/* reading the ISR lowers the line (4.1.4.5) */
		return toyblk_read(b, &b->isr, 0, 1) & 1;
	}
	n = toy_msi_count(b->t, q->msi_addr, q->msi_data);
	if (n == q->msi_seen)
		return false;
	q->irqs += n - q->msi_seen;
	q->msi_seen = n;
	return true;
}

int toyblk_wait_irq(struct toyblk_vq *q, int ms)
{
	uint32_t *word = &q->b->t->xen.hyp->irq_seq;
	int64_t end = toy_now_ms() + ms, left;
	uint32_t seq;

	for (;;) {
		seq = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		if (toyblk_irq(q))
			return 0;
		left = end - toy_now_ms();
		if (left <= 0 || toy_fault(q->b->t))
			return -ETIMEDOUT;
		(void)hyp_sleep(word, seq, left < 100 ? left : 100);
	}
}

int toyblk_wait(struct toyblk_vq *q, int ms)
{
	int64_t end = toy_now_ms() + ms;

	for (;;) {
		if (toyblk_used(q))
			return 0;
		if (toy_now_ms() > end || toy_fault(q->b->t))
			return -ETIMEDOUT;
		if (q->b->conf.irq == TOYBLK_POLL)
			sched_yield();
		else if (toyblk_wait_irq(q, end - toy_now_ms()) &&
			 !toyblk_used(q))
			return -ETIMEDOUT;
	}
}

/* ---- requests ---- */

uint8_t toyblk_head_status(struct toyblk_vq *q, int head)
{
	uint8_t *s = toy_ptr(q->b->t, q->slots_gpa + head * SLOT_BYTES +
			     SLOT_STATUS, 1);

	return __atomic_load_n(s, __ATOMIC_ACQUIRE);
}

int toyblk_submit(struct toyblk_vq *q, uint32_t type, uint64_t sector,
		  uint64_t gpa, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct virtio_blk_outhdr *hdr;
	struct toyblk_sg sg[3];
	unsigned int n = 0;
	uint64_t slot;

	if (q->nr_free < (q->b->conf.indirect ? 1 : 3))
		return -ENOSPC;
	/* the slot of the descriptor that will be the head */
	slot = q->slots_gpa + q->free[q->nr_free - 1] * SLOT_BYTES;
	hdr = toy_ptr(q->b->t, slot, SLOT_BYTES);
	hdr->type = type;
	hdr->ioprio = 0;
	hdr->sector = sector;
	((uint8_t *)hdr)[SLOT_STATUS] = 0xff;
	sg[n++] = (struct toyblk_sg){ slot, sizeof(*hdr), false };
	if (len)
		sg[n++] = (struct toyblk_sg){ gpa, len, in };
	sg[n++] = (struct toyblk_sg){ slot + SLOT_STATUS, 1, true };
	return toyblk_add(q, sg, n, q->b->conf.indirect);
}

int toyblk_reap(struct toyblk_vq *q, uint32_t *ret_len, int ms)
{
	int r = toyblk_wait(q, ms);

	return r ? r : toyblk_get(q, ret_len);
}

int toyblk_io(struct toyblk *b, unsigned int i, uint32_t type, uint64_t sector,
	      uint64_t gpa, uint32_t len)
{
	struct toyblk_vq *q = &b->vq[i];
	int head = toyblk_submit(q, type, sector, gpa, len);
	int r;

	if (head < 0)
		return head;
	toyblk_kick(q);
	r = toyblk_reap(q, NULL, TOY_MS);
	if (r >= 0 && r != head)
		r = -EPROTO;		/* somebody else's: not our use */
	return r < 0 ? r : toyblk_head_status(q, head);
}

int toyblk_range(struct toyblk *b, unsigned int i, uint32_t type,
		 uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct toyblk_vq *q = &b->vq[i];
	struct virtio_blk_discard_write_zeroes *range;
	uint64_t gpa;

	if (!q->nr_free)
		return -ENOSPC;
	gpa = q->slots_gpa + q->free[q->nr_free - 1] * SLOT_BYTES + SLOT_RANGE;
	range = toy_ptr(b->t, gpa, sizeof(*range));
	range->sector = sector;
	range->num_sectors = sectors;
	range->flags = flags;
	return toyblk_io(b, i, type, 0, gpa, sizeof(*range));
}
