/* SPDX-License-Identifier: MIT */
/*
 * mmio_none.c: see the header.
 */
#include <string.h>
#include <linux/virtio_mmio.h>

#include "mmio_none.h"

#define MAGIC		0x74726976u	/* "virt" */
#define VERSION		2u

static uint32_t none_read(void *dev, uint64_t off, unsigned int size)
{
	uint32_t val = 0;

	(void)dev;
	if ((off & ~3ull) == VIRTIO_MMIO_MAGIC_VALUE)
		val = MAGIC;
	else if ((off & ~3ull) == VIRTIO_MMIO_VERSION)
		val = VERSION;
	val >>= 8 * (off & 3);
	return size == 4 ? val : val & ((1u << 8 * size) - 1);
}

static void none_write(void *dev, uint64_t off, unsigned int size,
		       uint32_t val)
{
	(void)dev;
	(void)off;
	(void)size;
	(void)val;
}

int mmio_none_init(struct mmio_none *none, struct io_bus *bus, uint64_t base)
{
	memset(none, 0, sizeof(*none));
	none->bus = bus;
	none->io = (struct io_region){
		.space	= IO_MEM,
		.start	= base,
		.len	= MMIO_NONE_BYTES,
		.dev	= none,
		.read	= none_read,
		.write	= none_write,
	};
	return io_region_add(bus, &none->io);
}

void mmio_none_fini(struct mmio_none *none)
{
	io_region_del(none->bus, &none->io);
}
