/* SPDX-License-Identifier: MIT */
/*
 * io_region.h: "addresses A..B are answered by these two functions".
 *
 * The vCPU stands still until the functions return, so they must not block,
 * allocate or fault in a page; work is deferred (loop.h).
 */
#ifndef XVD_IO_REGION_H
#define XVD_IO_REGION_H

#include <stdbool.h>
#include <stdint.h>

enum io_space {
	IO_MEM,			/* guest physical addresses */
	IO_PORT,		/* x86 ports */
	IO_PCI,			/* config space of one function; start is
				 * its BDF << 8, len 256 */
};

struct io_bus;

struct io_region {
	enum io_space	space;
	uint64_t	start;
	uint64_t	len;		/* bytes */
	void		*dev;

	/*
	 * @off: from start.  @size: 1, 2 or 4, and off + size <= len; an
	 * access of 8 bytes arrives as two of 4, low half first.  A read
	 * returns the value in its low bytes.
	 */
	uint32_t	(*read)(void *dev, uint64_t off, unsigned int size);
	void		(*write)(void *dev, uint64_t off, unsigned int size,
				 uint32_t val);

	struct io_region *next;		/* the bus's own */
	bool		added;
};

/*
 * Tells Xen that the region is ours from now on.  The region is lent to the
 * bus until io_region_del().  Return: 0; -EEXIST if it overlaps a region
 * already there; -ENOSPC if Xen takes no more; another negative errno.
 */
int io_region_add(struct io_bus *bus, struct io_region *region);

/* Not added is fine. */
void io_region_del(struct io_bus *bus, struct io_region *region);

#endif
