/* SPDX-License-Identifier: MIT */
/*
 * fake_seams.h: what is on the other side of include/, for tests of what is
 * above it: a guest's memory, a bus, interrupts and a disk, without a Xen.
 *
 * The structures are whole, so that a test can look at everything; what is
 * to be set by the test says so.  The fakes assert what the seams' headers
 * promise to whoever stands below them; unit tests and fuzzers both use them.
 *
 * Memory is one array.  Holes in it are poisoned under ASan: a ring with a
 * hole behind it shows an access beyond its end.  fake_mem_move() gives the
 * guest other pages, as ballooning does: what was there is copied, the epoch
 * moves on, and the old pages live, for whoever still has them mapped, until
 * they are given back.
 */
#ifndef XVD_FAKE_SEAMS_H
#define XVD_FAKE_SEAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "blk_backend.h"
#include "guest_mem.h"
#include "io_region.h"
#include "irq.h"

struct loop;

/* ---- guest memory ---- */

#define FAKE_RAM	0x100000ull	/* where it begins */
#define FAKE_HOLES	80

struct fake_pages {
	struct fake_pages	*older;
	unsigned int		users;	/* maps and holds */
	uint8_t			*bytes;
};

struct fake_range {
	uint64_t	addr;
	uint64_t	len;
};

struct guest_mem {
	uint64_t		bytes;
	struct fake_pages	*pages;		/* the guest's own, and older */
	unsigned int		epoch;
	struct fake_range	hole[FAKE_HOLES];
	unsigned int		nholes;

	/* How many are out, and have ever been. */
	unsigned int		maps;
	unsigned int		holds;
	unsigned int		maps_made;
	unsigned int		holds_made;
	struct guest_waiter	*waiters;

	/* Set by the test. */
	struct loop		*loop;		/* for waiters; the rig's */
	unsigned int		serves;		/* enum guest_mem_kinds; plain
						 * addresses at first.  A grant is the address with
						 * bit 63 set */
	unsigned int		map_fails;	/* so often with map_err */
	int			map_err;
	unsigned int		max_holds;	/* 0: any number */
	unsigned int		iov_split;	/* one entry crosses no
						 * multiple; a page at first */
};

void fake_mem_init(struct guest_mem *gm, size_t bytes);
/* Asserts that all maps and holds have been given back. */
void fake_mem_fini(struct guest_mem *gm);

/* The guest's own look at its memory, which must be there. */
void *fake_ptr(const struct guest_mem *gm, uint64_t addr, size_t len);
uint16_t fake_get16(const struct guest_mem *gm, uint64_t addr);
uint32_t fake_get32(const struct guest_mem *gm, uint64_t addr);
void fake_put16(struct guest_mem *gm, uint64_t addr, uint16_t val);
void fake_put32(struct guest_mem *gm, uint64_t addr, uint32_t val);
void fake_put64(struct guest_mem *gm, uint64_t addr, uint64_t val);

/* Nothing is there any more; everything is there again. */
void fake_mem_hole(struct guest_mem *gm, uint64_t addr, uint64_t len);
void fake_mem_fill(struct guest_mem *gm);

/* Other pages, same contents.  The old ones are overwritten with 0xdd. */
void fake_mem_move(struct guest_mem *gm);

/* ---- the bus ---- */

struct io_bus {
	struct io_region	*list[3];	/* by enum io_space */
	unsigned int		adds;		/* that succeeded */
	unsigned int		dels;
	int			fail;		/* set by the test: -errno */
};

/*
 * One access, as Xen sends it: @size 1, 2, 4 or 8.  All ones where nobody
 * answers, or over the end of who does.
 */
uint64_t fake_read(struct io_bus *bus, enum io_space space, uint64_t addr,
		   unsigned int size);
void fake_write(struct io_bus *bus, enum io_space space, uint64_t addr,
		unsigned int size, uint64_t val);

/* ---- interrupts ---- */

struct fake_irq_event {
	bool		msi;		/* else INTx */
	uint64_t	addr;		/* or slot */
	uint32_t	data;		/* or level */
};

#define FAKE_IRQS	64

struct irq {
	struct fake_irq_event	event[FAKE_IRQS];	/* the first ones */
	unsigned int		count;
	bool			level[32];		/* INTA# by slot */
	int			fail;	/* set by the test: -errno */
};

/* ---- a disk ---- */

#define FAKE_DISK_DEPTH	1024
#define FAKE_DISK_LOG	128

struct fake_disk_record {
	enum blk_op	op;
	unsigned int	flags;
	uint64_t	offset;
	uint64_t	bytes;
	int		iovcnt;
};

struct fake_disk {
	struct blk_backend	base;
	unsigned int		depth;
	uint8_t			*image;		/* of small disks only */
	bool			closed;

	/* Lent to us, in the order of submission; the first are kicked. */
	struct blk_req		*req[FAKE_DISK_DEPTH];
	unsigned int		lent;
	unsigned int		kicked;
	bool			busy;

	/* The first ones, and how many there were. */
	struct fake_disk_record	log[FAKE_DISK_LOG];
	unsigned int		count;

	/* Set by the test. */
	bool			later;	/* only fake_disk_complete() does */
	int			err;	/* for those completed in kick() */
};

/* @depth as given to open().  Disks of at most 16 MiB have contents. */
void fake_disk_init(struct fake_disk *d, const struct blk_info *info,
		    unsigned int depth);
/* Asserts that the device has closed it. */
void fake_disk_fini(struct fake_disk *d);

/* Ends request @i of those that are kicked. */
void fake_disk_complete(struct fake_disk *d, unsigned int i, int err);
/* Ends all that are kicked, those that follow from them too. */
void fake_disk_complete_all(struct fake_disk *d, int err);

/* What a disk without contents reads as. */
uint8_t fake_disk_pattern(uint64_t offset);

/* ---- the loop ---- */

/*
 * Does the deferred work that there is now, and what that defers in turn
 * until nothing is left.  Return: the number of turns; asserts if there are
 * ever more than @max.
 */
unsigned int fake_run(struct loop *loop, unsigned int max);

/* Only what is deferred now. */
void fake_turn(struct loop *loop);

#endif
