/* SPDX-License-Identifier: MIT */
/*
 * fake_seams.c: see the header.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "dma.h"
#include "fake_seams.h"
#include "loop.h"
#include "util.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FAKE_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(FAKE_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)		((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n)	((void)(p), (void)(n))
#endif

/* ---- guest memory ---- */

static struct fake_pages *pages_new(const struct guest_mem *gm)
{
	struct fake_pages *p = calloc(1, sizeof(*p));

	assert(p);
	p->bytes = calloc(1, gm->bytes);
	assert(p->bytes);
	return p;
}

static void pages_free(struct fake_pages *p)
{
	free(p->bytes);
	free(p);
}

/* Frees the older pages that nobody has mapped any more. */
static void pages_sweep(struct guest_mem *gm)
{
	struct fake_pages **p = &gm->pages->older, *gone;

	while ((gone = *p)) {
		if (gone->users) {
			p = &gone->older;
			continue;
		}
		*p = gone->older;
		pages_free(gone);
	}
}

static void pages_put(struct guest_mem *gm, struct fake_pages *p)
{
	assert(p->users);
	p->users--;
	pages_sweep(gm);
}

static bool ram_has(const struct guest_mem *gm, uint64_t addr, uint64_t len)
{
	const struct fake_range *h;

	addr &= ~GUEST_ADDR_GRANT;
	if (addr < FAKE_RAM || addr - FAKE_RAM > gm->bytes ||
	    len > gm->bytes - (addr - FAKE_RAM))
		return false;
	for (h = gm->hole; h < gm->hole + gm->nholes; h++)
		if (addr < h->addr + h->len && h->addr < addr + len)
			return false;
	return true;
}

static uint8_t *ram_at(const struct guest_mem *gm, uint64_t addr)
{
	return gm->pages->bytes + ((addr & ~GUEST_ADDR_GRANT) - FAKE_RAM);
}

void fake_mem_init(struct guest_mem *gm, size_t bytes)
{
	*gm = (struct guest_mem){
		.bytes		= bytes,
		.epoch		= 1,
		.iov_split	= GUEST_PAGE_SIZE,
		.serves		= GUEST_PLAIN,
	};
	gm->pages = pages_new(gm);
}

void fake_mem_fini(struct guest_mem *gm)
{
	assert(!gm->maps && !gm->holds);
	assert(!gm->pages->older && !gm->pages->users);
	pages_free(gm->pages);
}

void *fake_ptr(const struct guest_mem *gm, uint64_t addr, size_t len)
{
	assert(ram_has(gm, addr, len));
	return ram_at(gm, addr);
}

uint16_t fake_get16(const struct guest_mem *gm, uint64_t addr)
{
	__le16 val;

	memcpy(&val, fake_ptr(gm, addr, sizeof(val)), sizeof(val));
	return le16_get(val);
}

uint32_t fake_get32(const struct guest_mem *gm, uint64_t addr)
{
	__le32 val;

	memcpy(&val, fake_ptr(gm, addr, sizeof(val)), sizeof(val));
	return le32_get(val);
}

void fake_put16(struct guest_mem *gm, uint64_t addr, uint16_t val)
{
	__le16 le = le16_put(val);

	memcpy(fake_ptr(gm, addr, sizeof(le)), &le, sizeof(le));
}

void fake_put32(struct guest_mem *gm, uint64_t addr, uint32_t val)
{
	__le32 le = le32_put(val);

	memcpy(fake_ptr(gm, addr, sizeof(le)), &le, sizeof(le));
}

void fake_put64(struct guest_mem *gm, uint64_t addr, uint64_t val)
{
	__le64 le = le64_put(val);

	memcpy(fake_ptr(gm, addr, sizeof(le)), &le, sizeof(le));
}

void fake_mem_hole(struct guest_mem *gm, uint64_t addr, uint64_t len)
{
	assert(gm->nholes < FAKE_HOLES && len && ram_has(gm, addr, len));
	/* Who has it mapped keeps it. */
	if (!gm->holds)
		ASAN_POISON_MEMORY_REGION(ram_at(gm, addr), len);
	gm->hole[gm->nholes++] = (struct fake_range){ addr, len };
}

void fake_mem_fill(struct guest_mem *gm)
{
	const struct fake_range *h;

	for (h = gm->hole; h < gm->hole + gm->nholes; h++)
		ASAN_UNPOISON_MEMORY_REGION(ram_at(gm, h->addr), h->len);
	gm->nholes = 0;
}

void fake_mem_move(struct guest_mem *gm)
{
	struct fake_range holes[FAKE_HOLES];
	struct fake_pages *new = pages_new(gm);
	unsigned int i, n = gm->nholes;

	memcpy(holes, gm->hole, sizeof(holes));
	fake_mem_fill(gm);
	memcpy(new->bytes, gm->pages->bytes, gm->bytes);
	memset(gm->pages->bytes, 0xdd, gm->bytes);
	new->older = gm->pages;
	gm->pages = new;
	gm->epoch++;
	pages_sweep(gm);
	for (i = 0; i < n; i++)
		fake_mem_hole(gm, holes[i].addr, holes[i].len);
}

unsigned int guest_mem_serves(const struct guest_mem *gm)
{
	return gm->serves;
}

static bool fake_serves(const struct guest_mem *gm, uint64_t addr)
{
	return gm->serves & (guest_is_grant(addr) ? GUEST_GRANTS : GUEST_PLAIN);
}

int guest_mem_map(struct guest_mem *gm, uint64_t addr, size_t len,
		  bool writable, struct guest_map *ret)
{
	(void)writable;
	if (!len || addr + (len - 1) < addr)
		return -EINVAL;
	if (gm->map_fails) {
		gm->map_fails--;
		return gm->map_err;
	}
	if (!fake_serves(gm, addr) || !ram_has(gm, addr, len))
		return -EFAULT;
	gm->maps++;
	gm->maps_made++;
	gm->pages->users++;
	*ret = (struct guest_map){
		.base	= (void __guest *)ram_at(gm, addr),
		.pages	= gm->pages,
		.npages	= 1,
		.granted = guest_is_grant(addr),
	};
	return 0;
}

/* dma.c is not on this side of the seam. */
int guest_mem_map_refs(struct guest_mem *gm, uint32_t *refs, unsigned int n,
		       bool writable, struct guest_map *ret)
{
	(void)gm;
	(void)refs;
	(void)n;
	(void)writable;
	(void)ret;
	return -EAGAIN;
}

void guest_mem_unmap(struct guest_mem *gm, struct guest_map *map)
{
	if (map->pages) {
		assert(gm->maps);
		gm->maps--;
		pages_put(gm, map->pages);
	}
	*map = (struct guest_map){ 0 };
}

unsigned int guest_mem_epoch(const struct guest_mem *gm)
{
	return gm->epoch;
}

int guest_mem_read(struct guest_mem *gm, void *dst, uint64_t addr, size_t len)
{
	if (!fake_serves(gm, addr) || !ram_has(gm, addr, len))
		return -EFAULT;
	memcpy(dst, ram_at(gm, addr), len);
	return 0;
}

int guest_mem_write(struct guest_mem *gm, uint64_t addr, const void *src,
		    size_t len)
{
	if (!fake_serves(gm, addr) || !ram_has(gm, addr, len))
		return -EFAULT;
	memcpy(ram_at(gm, addr), src, len);
	return 0;
}

int guest_mem_copy(struct guest_mem *gm, struct guest_copy *list,
		   unsigned int count, bool to_guest)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < count; i++) {
		list[i].err = to_guest ?
			guest_mem_write(gm, list[i].addr, list[i].buf,
					list[i].len) :
			guest_mem_read(gm, list[i].buf, list[i].addr,
				       list[i].len);
		if (!r)
			r = list[i].err;
	}
	return r;
}

struct guest_hold {
	struct fake_pages	*pages;
};

struct guest_hold *guest_mem_hold(struct guest_mem *gm)
{
	struct guest_hold *hold;

	if (gm->max_holds && gm->holds >= gm->max_holds)
		return NULL;
	hold = calloc(1, sizeof(*hold));
	assert(hold);
	hold->pages = gm->pages;
	hold->pages->users++;
	gm->holds++;
	gm->holds_made++;
	return hold;
}

void guest_mem_wait(struct guest_mem *gm, struct guest_waiter *waiter)
{
	if (waiter->waiting)
		return;
	waiter->waiting = true;
	waiter->next = gm->waiters;
	gm->waiters = waiter;
}

void guest_mem_wait_cancel(struct guest_mem *gm, struct guest_waiter *waiter)
{
	struct guest_waiter **p;

	loop_defer_cancel(&waiter->work);
	for (p = &gm->waiters; *p && *p != waiter; p = &(*p)->next)
		;
	if (*p)
		*p = waiter->next;
	waiter->waiting = false;
}

void guest_mem_release(struct guest_mem *gm, struct guest_hold *hold)
{
	struct guest_waiter *w;

	while ((w = gm->waiters)) {
		gm->waiters = w->next;
		w->waiting = false;
		loop_defer(gm->loop, &w->work);
	}
	assert(gm->holds);
	gm->holds--;
	pages_put(gm, hold->pages);
	free(hold);
}

int guest_mem_iov(struct guest_mem *gm, struct guest_hold *hold,
		  uint64_t addr, size_t len, struct iovec *iov, int max,
		  size_t *ret_len)
{
	size_t n, done = 0;
	int count = 0;

	assert(len && max > 0);
	for (; done < len && count < max; done += n, addr += n) {
		n = MIN(len - done, gm->iov_split - addr % gm->iov_split);
		if (guest_is_grant(addr) || !ram_has(gm, addr, n))
			return -EFAULT;
		iov[count++] = (struct iovec){
			.iov_base = hold->pages->bytes + (addr - FAKE_RAM),
			.iov_len = n,
		};
	}
	*ret_len = done;
	return count;
}

/* ---- the bus ---- */

int io_region_add(struct io_bus *bus, struct io_region *region)
{
	struct io_region *r;

	assert(!region->added && region->len && region->read && region->write);
	if (bus->fail)
		return bus->fail;
	for (r = bus->list[region->space]; r; r = r->next)
		if (region->start < r->start + r->len &&
		    r->start < region->start + region->len)
			return -EEXIST;
	region->next = bus->list[region->space];
	bus->list[region->space] = region;
	region->added = true;
	bus->adds++;
	return 0;
}

void io_region_del(struct io_bus *bus, struct io_region *region)
{
	struct io_region **p;

	if (!region->added)
		return;
	for (p = &bus->list[region->space]; *p != region; p = &(*p)->next)
		assert(*p);
	*p = region->next;
	region->added = false;
	bus->dels++;
}

static struct io_region *bus_find(struct io_bus *bus, enum io_space space,
				  uint64_t addr, unsigned int size)
{
	struct io_region *r;

	assert(size == 1 || size == 2 || size == 4 || size == 8);
	for (r = bus->list[space]; r; r = r->next)
		if (addr - r->start < r->len)
			return size <= r->len - (addr - r->start) ? r : NULL;
	return NULL;
}

uint64_t fake_read(struct io_bus *bus, enum io_space space, uint64_t addr,
		   unsigned int size)
{
	struct io_region *r = bus_find(bus, space, addr, size);
	uint64_t val;

	if (!r)
		return ~0ull >> (64 - 8 * size);
	if (size < 8) {
		val = r->read(r->dev, addr - r->start, size);
		assert(val >> 8 * size == 0);
		return val;
	}
	val = r->read(r->dev, addr - r->start, 4);
	return val | (uint64_t)r->read(r->dev, addr - r->start + 4, 4) << 32;
}

void fake_write(struct io_bus *bus, enum io_space space, uint64_t addr,
		unsigned int size, uint64_t val)
{
	struct io_region *r = bus_find(bus, space, addr, size);

	if (!r)
		return;
	if (size < 8) {
		val &= ~0ull >> (64 - 8 * size);
		r->write(r->dev, addr - r->start, size, (uint32_t)val);
		return;
	}
	r->write(r->dev, addr - r->start, 4, (uint32_t)val);
	r->write(r->dev, addr - r->start + 4, 4, (uint32_t)(val >> 32));
}

/* ---- interrupts ---- */

static void irq_record(struct irq *irq, bool msi, uint64_t addr, uint32_t data)
{
	if (irq->count < FAKE_IRQS)
		irq->event[irq->count] =
			(struct fake_irq_event){ msi, addr, data };
	irq->count++;
}

int irq_msi(struct irq *irq, uint64_t addr, uint32_t data)
{
	irq_record(irq, true, addr, data);
	return irq->fail;
}

int irq_intx(struct irq *irq, unsigned int devfn, bool level)
{
	unsigned int dev = devfn >> 3;

	assert(dev < ARRAY_SIZE(irq->level));
	irq_record(irq, false, dev, level);
	irq->level[dev] = level;
	return irq->fail;
}

/* ---- a disk ---- */

#define CONTENTS_MAX	(16ull << 20)

static struct fake_disk *fake_disk_of(struct blk_backend *be)
{
	return container_of(be, struct fake_disk, base);
}

uint8_t fake_disk_pattern(uint64_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) * 13 + (offset >> 20) * 31);
}

/* What blk_backend.h promises of a request, word for word. */
static void fake_disk_check(const struct fake_disk *d,
			    const struct blk_req *req)
{
	const struct blk_info *info = &d->base.info;
	bool data = req->op == BLK_READ || req->op == BLK_WRITE;
	uint64_t sum = 0;
	unsigned int may = 0;
	int i;

	assert(req->done);
	assert(req->offset % info->block_size == 0);
	assert(req->bytes % info->block_size == 0);
	assert(req->offset <= info->bytes);
	assert(req->bytes <= info->bytes - req->offset);
	assert(req->bytes || req->op == BLK_FLUSH);
	assert(!info->readonly || req->op == BLK_READ || req->op == BLK_FLUSH);
	assert(info->can_discard || req->op != BLK_DISCARD);
	assert(info->can_write_zeroes || req->op != BLK_WRITE_ZEROES);
	if (req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES)
		may |= BLK_REQ_FUA;
	if (req->op == BLK_WRITE_ZEROES)
		may |= BLK_REQ_UNMAP;
	assert(!(req->flags & ~may));
	assert(!data == !req->iovcnt && req->iovcnt <= DMA_MAX_IOV);
	for (i = 0; i < req->iovcnt; i++) {
		assert(req->iov[i].iov_len);
		assert(req->iov[i].iov_len % info->buf_align == 0);
		assert((uintptr_t)req->iov[i].iov_base % info->buf_align == 0);
		sum += req->iov[i].iov_len;
	}
	assert(!data || sum == req->bytes);
	for (i = 0; i < (int)d->lent; i++)
		assert(d->req[i] != req);
}

static void fake_disk_submit(struct blk_backend *be, struct blk_req *req)
{
	struct fake_disk *d = fake_disk_of(be);

	assert(d->lent < d->depth);
	fake_disk_check(d, req);
	d->req[d->lent++] = req;
	if (d->count < FAKE_DISK_LOG)
		d->log[d->count] = (struct fake_disk_record){
			req->op, req->flags, req->offset, req->bytes,
			req->iovcnt,
		};
	d->count++;
}

static void fake_disk_data(struct fake_disk *d, const struct blk_req *req)
{
	uint64_t at = req->offset, n;
	const struct iovec *v = req->iov;
	int i;

	for (i = 0; i < req->iovcnt; i++, at += v++->iov_len) {
		if (d->image && req->op == BLK_WRITE)
			memcpy(d->image + at, v->iov_base, v->iov_len);
		else if (d->image)
			memcpy(v->iov_base, d->image + at, v->iov_len);
		else if (req->op == BLK_READ)
			for (n = 0; n < v->iov_len; n++)
				((uint8_t *)v->iov_base)[n] =
					fake_disk_pattern(at + n);
	}
	if (req->op == BLK_WRITE_ZEROES && d->image)
		memset(d->image + req->offset, 0, req->bytes);
}

void fake_disk_complete(struct fake_disk *d, unsigned int i, int err)
{
	struct blk_req *req = d->req[i];

	assert(i < d->kicked);
	d->kicked--;
	d->lent--;
	memmove(&d->req[i], &d->req[i + 1],
		(d->lent - i) * sizeof(d->req[0]));
	if (!err)
		fake_disk_data(d, req);
	req->done(req, err);
}

void fake_disk_complete_all(struct fake_disk *d, int err)
{
	assert(!d->busy);
	d->busy = true;		/* a kick() from done() only counts them */
	while (d->kicked)
		fake_disk_complete(d, 0, err);
	d->busy = false;
}

static void fake_disk_kick(struct blk_backend *be)
{
	struct fake_disk *d = fake_disk_of(be);

	d->kicked = d->lent;
	if (!d->later && !d->busy)
		fake_disk_complete_all(d, d->err);
}

static void fake_disk_close(struct blk_backend *be)
{
	struct fake_disk *d = fake_disk_of(be);

	assert(!d->lent && !d->closed);
	d->closed = true;
}

static const struct blk_backend_ops fake_disk_ops = {
	.name	= "fake",
	.submit	= fake_disk_submit,
	.kick	= fake_disk_kick,
	.close	= fake_disk_close,
};

void fake_disk_init(struct fake_disk *d, const struct blk_info *info,
		    unsigned int depth)
{
	assert(depth && depth <= FAKE_DISK_DEPTH);
	*d = (struct fake_disk){
		.base	= { .ops = &fake_disk_ops, .info = *info },
		.depth	= depth,
	};
	if (info->bytes <= CONTENTS_MAX) {
		d->image = calloc(1, info->bytes);
		assert(d->image);
	}
}

void fake_disk_fini(struct fake_disk *d)
{
	assert(d->closed);
	free(d->image);
}

/* ---- the loop ---- */

struct fake_stop {
	struct loop_work	work;
	struct loop		*loop;
};

static void stop_fn(struct loop_work *work)
{
	loop_stop(container_of(work, struct fake_stop, work)->loop, 0);
}

void fake_turn(struct loop *loop)
{
	struct fake_stop stop = { .work.fn = stop_fn, .loop = loop };

	loop_defer(loop, &stop.work);
	(void)loop_run(loop);
}

/* A list of one has its head on both sides. */
static bool loop_is_idle(struct loop *loop)
{
	struct loop_work probe = { 0 };
	bool idle;

	loop_defer(loop, &probe);
	idle = probe.next == probe.prev;
	loop_defer_cancel(&probe);
	return idle;
}

unsigned int fake_run(struct loop *loop, unsigned int max)
{
	unsigned int turns;

	for (turns = 0; !loop_is_idle(loop); turns++) {
		assert(turns < max);
		fake_turn(loop);
	}
	return turns;
}
