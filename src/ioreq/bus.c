/* SPDX-License-Identifier: MIT */
/*
 * bus.c: finds the region that answers a request, and takes string
 * instructions apart.
 *
 * Xen sends only what lies within registered ranges; a request that finds no
 * region here, has an odd size or runs over a region's end was racing with a
 * change (or is an attempt): reads give all ones, writes vanish, as on a bus
 * where nobody answers.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "bus.h"
#include "guest_mem.h"
#include "trace.h"
#include "util.h"

/* Xen never repeats over a page; more would be an attempt to keep us busy. */
#define BUS_MAX_REPEAT	4096u

static struct io_region *bus_find(struct io_bus *bus, enum io_space space,
				  uint64_t addr)
{
	struct io_region *r = bus->last[space];

	if (r && addr - r->start < r->len)
		return r;
	for (r = bus->list[space]; r; r = r->next) {
		if (addr - r->start < r->len) {
			bus->last[space] = r;
			return r;
		}
	}
	return NULL;
}

/* One access of 1, 2, 4 or 8 bytes. */
static uint64_t bus_access(struct io_bus *bus, enum io_space space,
			   uint64_t addr, unsigned int size, bool write,
			   uint64_t val)
{
	struct io_region *r = bus_find(bus, space, addr);
	uint64_t off, low;

	if (!r || size > r->len - (addr - r->start))
		return ~0ull;
	off = addr - r->start;
	if (size == 8) {
		if (!write) {
			low = r->read(r->dev, off, 4);
			return low |
			       (uint64_t)r->read(r->dev, off + 4, 4) << 32;
		}
		r->write(r->dev, off, 4, (uint32_t)val);
		r->write(r->dev, off + 4, 4, (uint32_t)(val >> 32));
		return 0;
	}
	if (!write)
		return r->read(r->dev, off, size);
	r->write(r->dev, off, size, size == 4 ? (uint32_t)val :
		 (uint32_t)val & ((1u << 8 * size) - 1));
	return 0;
}

/*
 * INS, OUTS, REP MOVS and REP STOS: the same access @count times.  A port
 * stays, a memory address walks, and so does the buffer in guest memory that
 * data_is_ptr names.
 */
static void bus_repeat(struct io_bus *bus, enum io_space space, uint64_t addr,
		       ioreq_t *req)
{
	uint32_t i, count = MIN(req->count, BUS_MAX_REPEAT);
	uint64_t step = req->df ? -(uint64_t)req->size : req->size;
	bool write = req->dir == IOREQ_WRITE;
	uint64_t ptr = req->data, at = addr, val = req->data;
	__le64 buf;

	for (i = 0; i < count; i++) {
		if (req->data_is_ptr && write) {
			buf = le64_put(0);
			if (guest_mem_read(bus->gm, &buf, ptr, req->size) < 0)
				break;
			val = le64_get(buf);
		}
		val = bus_access(bus, space, at, req->size, write, val);
		if (write) {
			val = req->data;
		} else if (req->data_is_ptr) {
			buf = le64_put(val);
			if (guest_mem_write(bus->gm, ptr, &buf,
					    req->size) < 0)
				break;
		} else {
			req->data = val;
		}
		ptr += step;
		if (space == IO_MEM)
			at += step;
	}
}

void bus_dispatch(struct io_bus *bus, ioreq_t *req)
{
	enum io_space space;
	uint64_t addr = req->addr;

	switch (req->type) {
	case IOREQ_TYPE_COPY:
		space = IO_MEM;
		break;
	case IOREQ_TYPE_PIO:
		space = IO_PORT;
		break;
	case IOREQ_TYPE_PCI_CONFIG:
		/* SBDF in the upper half, the register in the lower. */
		space = IO_PCI;
		if (addr & 0xffffff00)
			addr = UINT64_MAX;	/* no such register */
		else
			addr = (addr >> 32) << 8 | (addr & 0xff);
		break;
	default:
		if (!req->data_is_ptr)
			req->data = ~0ull;
		return;
	}
	if (req->size != 1 && req->size != 2 && req->size != 4 &&
	    req->size != 8) {
		if (!req->data_is_ptr)
			req->data = ~0ull;
		return;
	}
	if (req->count == 1 && !req->data_is_ptr)
		req->data = bus_access(bus, space, addr, req->size,
				       req->dir == IOREQ_WRITE, req->data);
	else
		bus_repeat(bus, space, addr, req);
}

static int bus_map(struct io_bus *bus, const struct io_region *r, bool on)
{
	int e;

	if (r->space == IO_PCI)
		e = (on ? xendevicemodel_map_pcidev_to_ioreq_server :
			  xendevicemodel_unmap_pcidev_from_ioreq_server)
			(bus->dmod, bus->domid, bus->server, 0,
			 (uint8_t)(r->start >> 16), (r->start >> 11) & 31,
			 (r->start >> 8) & 7);
	else
		e = (on ? xendevicemodel_map_io_range_to_ioreq_server :
			  xendevicemodel_unmap_io_range_from_ioreq_server)
			(bus->dmod, bus->domid, bus->server,
			 r->space == IO_MEM, r->start, r->start + r->len - 1);
	return e < 0 ? -errno : 0;
}

int io_region_add(struct io_bus *bus, struct io_region *region)
{
	struct io_region *r;
	int e;

	assert(!region->added && region->len);
	for (r = bus->list[region->space]; r; r = r->next)
		if (region->start - r->start < r->len ||
		    r->start - region->start < region->len)
			return -EEXIST;	/* also where an end wraps to 0 */
	e = bus_map(bus, region, true);
	if (e < 0)
		return e;
	region->next = bus->list[region->space];
	bus->list[region->space] = region;
	region->added = true;
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
	bus->last[region->space] = NULL;
	region->added = false;
	/* Fails only when the guest is gone, and the range with it. */
	(void)bus_map(bus, region, false);
}
