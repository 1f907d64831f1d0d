/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_bus.c: which region answers, with which pieces, and what
 * becomes of requests that no region should see.
 */
#include <errno.h>

#include "bus.h"
#include "fake_xen.h"
#include "unit.h"
#include "util.h"

#define MEM_BASE	0xfebf0000u
#define PORT_BASE	0xc040u
#define BDF		0x00c1u			/* 00:18.1 */
#define RAM		0x100000u		/* of the guest, 64 KiB */
#define RAM_PAGES	16u
#define ONES		UINT64_MAX

/* A region that writes down who comes by, and answers with the offset. */
struct probe {
	struct io_region	io;
	struct access {
		bool		write;
		uint64_t	off;
		unsigned int	size;
		uint32_t	val;
	} log[8192];
	unsigned int		n;
	uint32_t		answer;		/* added to the offset */
};

static struct fixture {
	struct fake_guest	g;
	struct io_bus		bus;
	struct probe		mem, port, pci;
} fix;

static void probe_note(struct probe *p, struct access a)
{
	assert_true(p->n < ARRAY_SIZE(p->log));
	assert_true(a.size == 1 || a.size == 2 || a.size == 4);
	assert_true(a.off + a.size <= p->io.len);
	p->log[p->n++] = a;
}

static uint32_t probe_read(void *dev, uint64_t off, unsigned int size)
{
	struct probe *p = dev;

	probe_note(p, (struct access){ false, off, size, 0 });
	return p->answer + (uint32_t)off;
}

static void probe_write(void *dev, uint64_t off, unsigned int size,
			uint32_t val)
{
	probe_note(dev, (struct access){ true, off, size, val });
}

static void probe_init(struct probe *p, enum io_space space, uint64_t start,
		       uint64_t len)
{
	p->n = 0;
	p->answer = 0x8000;
	p->io = (struct io_region){
		.space	= space,
		.start	= start,
		.len	= len,
		.dev	= p,
		.read	= probe_read,
		.write	= probe_write,
	};
}

static int setup(void **state)
{
	struct fixture *f = &fix;
	ioservid_t id;

	fake_guest_open(&f->g);
	fake_ram_add(RAM >> 12, RAM_PAGES);
	assert_int_equal(xendevicemodel_create_ioreq_server(f->g.dmod,
			 FAKE_DOMID, 0, &id), 0);
	f->bus = (struct io_bus){
		.dmod	= f->g.dmod,
		.domid	= FAKE_DOMID,
		.server	= id,
		.gm	= f->g.gm,
	};
	probe_init(&f->mem, IO_MEM, MEM_BASE, 0x4000);
	probe_init(&f->port, IO_PORT, PORT_BASE, 0x20);
	probe_init(&f->pci, IO_PCI, BDF << 8, 256);
	assert_int_equal(io_region_add(&f->bus, &f->mem.io), 0);
	assert_int_equal(io_region_add(&f->bus, &f->port.io), 0);
	assert_int_equal(io_region_add(&f->bus, &f->pci.io), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	io_region_del(&f->bus, &f->mem.io);
	io_region_del(&f->bus, &f->port.io);
	io_region_del(&f->bus, &f->pci.io);
	assert_int_equal(fake.nranges, 0);
	assert_int_equal(xendevicemodel_destroy_ioreq_server(f->g.dmod,
			 FAKE_DOMID, f->bus.server), 0);
	fake_guest_close(&f->g);
	return 0;
}

static uint64_t do_read(struct fixture *f, uint8_t type, uint64_t addr,
			unsigned int size)
{
	ioreq_t req = { .type = type, .addr = addr, .size = size, .count = 1,
			.dir = IOREQ_READ, .data = 0x1122334455667788 };

	bus_dispatch(&f->bus, &req);
	return req.data;
}

static void do_write(struct fixture *f, uint8_t type, uint64_t addr,
		     unsigned int size, uint64_t val)
{
	ioreq_t req = { .type = type, .addr = addr, .size = size, .count = 1,
			.dir = IOREQ_WRITE, .data = val };

	bus_dispatch(&f->bus, &req);
}

static uint64_t cfg_addr(unsigned int bdf, uint32_t reg)
{
	return (uint64_t)bdf << 32 | reg;
}

/* Takes the oldest note off. */
static void expect(struct probe *p, bool write, uint64_t off,
		   unsigned int size, uint32_t val)
{
	struct access *a = &p->log[0];

	assert_true(p->n > 0);
	assert_int_equal(a->write, write);
	assert_int_equal(a->off, off);
	assert_int_equal(a->size, size);
	assert_int_equal(a->val, val);
	memmove(a, a + 1, --p->n * sizeof(*a));
}

static void expect_silence(struct fixture *f)
{
	assert_int_equal(f->mem.n + f->port.n + f->pci.n, 0);
}

/* ---- regions ---- */

static bool xen_has(int kind, uint64_t start, uint64_t end)
{
	unsigned int i;

	for (i = 0; i < fake.nranges; i++)
		if ((int)fake.range[i].kind == kind &&
		    fake.range[i].start == start && fake.range[i].end == end)
			return true;
	return false;
}

static void test_xen_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake.nranges, 3);
	assert_true(xen_has(FAKE_MEM, MEM_BASE, MEM_BASE + 0x3fff));
	assert_true(xen_has(FAKE_PORT, PORT_BASE, PORT_BASE + 0x1f));
	assert_true(xen_has(FAKE_PCI, BDF, BDF));

	io_region_del(&f->bus, &f->mem.io);
	assert_int_equal(fake.nranges, 2);
	io_region_del(&f->bus, &f->mem.io);	/* not added is fine */
	assert_int_equal(fake.calls[FAKE_UNMAP_RANGE], 1);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE, 4), ONES);

	f->mem.io.start = 0xe0000000;		/* moved */
	assert_int_equal(io_region_add(&f->bus, &f->mem.io), 0);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, 0xe0000010, 4), 0x8010);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE, 4), ONES);
}

static void test_every_bdf(void **state)
{
	struct fixture *f = *state;
	struct probe *p = test_calloc(1, sizeof(*p));

	probe_init(p, IO_PCI, 0x12ffull << 8, 256);	/* 12:1f.7 */
	assert_int_equal(io_region_add(&f->bus, &p->io), 0);
	assert_true(xen_has(FAKE_PCI, 0x12ff, 0x12ff));
	assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG,
				 cfg_addr(0x12ff, 4), 4), 0x8004);
	io_region_del(&f->bus, &p->io);
	assert_false(xen_has(FAKE_PCI, 0x12ff, 0x12ff));
	test_free(p);
}

static void test_overlap(void **state)
{
	static const struct {
		uint64_t start, len;
		int r;
	} t[] = {
		{ MEM_BASE,		0x4000,		-EEXIST },
		{ MEM_BASE + 0x3fff,	1,		-EEXIST },
		{ MEM_BASE + 0x1000,	0x1000,		-EEXIST },
		{ MEM_BASE - 0x1000,	0x1001,		-EEXIST },
		{ MEM_BASE - 0x1000,	0x10000,	-EEXIST },
		{ MEM_BASE - 0x1000,	0x1000,		0 },
		{ MEM_BASE + 0x4000,	0x1000,		0 },
		{ 0,			0x1000,		0 },
		{ UINT64_MAX - 0xfff,	0x1000,		0 },
	};
	struct fixture *f = *state;
	struct probe *p = test_calloc(1, sizeof(*p));
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		probe_init(p, IO_MEM, t[i].start, t[i].len);
		assert_int_equal(io_region_add(&f->bus, &p->io), t[i].r);
		assert_int_equal(p->io.added, t[i].r == 0);
		io_region_del(&f->bus, &p->io);
	}
	/* It was found here, and Xen not even asked. */
	assert_int_equal(fake.calls[FAKE_MAP_RANGE], 2 + 4);

	/* The same numbers in another space are another thing. */
	probe_init(p, IO_PORT, MEM_BASE, 0x4000);
	assert_int_equal(io_region_add(&f->bus, &p->io), 0);
	io_region_del(&f->bus, &p->io);
	test_free(p);
}

static void test_overlap_at_the_top(void **state)
{
	struct fixture *f = *state;
	struct probe *a = test_calloc(1, sizeof(*a));
	struct probe *b = test_calloc(1, sizeof(*b));

	probe_init(a, IO_MEM, UINT64_MAX - 0x3fff, 0x4000);
	assert_int_equal(io_region_add(&f->bus, &a->io), 0);
	probe_init(b, IO_MEM, UINT64_MAX - 0xfff, 0x1000);
	assert_int_equal(io_region_add(&f->bus, &b->io), -EEXIST);
	assert_int_equal(fake.calls[FAKE_MAP_RANGE], 3);
	probe_init(b, IO_MEM, 0, 0x1000);
	assert_int_equal(io_region_add(&f->bus, &b->io), 0);

	/* And the last bytes of all are reached, but nothing beyond. */
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, UINT64_MAX - 3, 4),
			 0x8000 + 0x3ffc);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, UINT64_MAX - 2, 4), ONES);
	io_region_del(&f->bus, &a->io);
	io_region_del(&f->bus, &b->io);
	test_free(a);
	test_free(b);
}

static void test_xen_refuses(void **state)
{
	struct fixture *f = *state;
	struct probe *p = test_calloc(1, sizeof(*p));

	probe_init(p, IO_MEM, 0x1000, 0x1000);
	fake_fail(FAKE_MAP_RANGE, 1, 1, ENOSPC);
	assert_int_equal(io_region_add(&f->bus, &p->io), -ENOSPC);
	assert_false(p->io.added);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, 0x1000, 4), ONES);
	assert_int_equal(p->n, 0);

	probe_init(p, IO_PCI, 0x10 << 8, 256);
	fake_fail(FAKE_MAP_PCIDEV, 1, 1, EPERM);
	assert_int_equal(io_region_add(&f->bus, &p->io), -EPERM);
	assert_false(p->io.added);

	/* A refused removal does not keep it alive here. */
	fake_fail(FAKE_UNMAP_RANGE, 1, 1, ENOENT);
	io_region_del(&f->bus, &f->mem.io);
	assert_false(f->mem.io.added);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE, 4), ONES);
	fake.nranges = 0;			/* and Xen forgets it all */
	test_free(p);
}

static void test_the_right_one_of_many(void **state)
{
	struct fixture *f = *state;
	struct probe *p = test_calloc(20, sizeof(*p));
	unsigned int i, round;

	for (i = 0; i < 20; i++) {
		probe_init(&p[i], IO_MEM, 0x10000 * (i + 1), 0x1000);
		p[i].answer = i << 16;
		assert_int_equal(io_region_add(&f->bus, &p[i].io), 0);
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 20; i++) {
			assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
					 p[i].io.start + 8, 4), i << 16 | 8);
			assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
					 p[i].io.start + 12, 4), i << 16 | 12);
			assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
					 p[i].io.start + 0x1000, 4), ONES);
			assert_int_equal(p[i].n, 2 * (round + 1));
		}
	}
	/* From the middle, the newest, the oldest; and the last hit. */
	for (i = 7; i < 27; i++) {
		assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
				 p[i % 20].io.start, 1), i % 20 << 16);
		io_region_del(&f->bus, &p[i % 20].io);
		assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
				 p[i % 20].io.start, 1), ONES);
	}
	test_free(p);
}

/* ---- single accesses ---- */

static void test_sizes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE + 1, 1), 0x8001);
	expect(&f->mem, false, 1, 1, 0);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE + 2, 2), 0x8002);
	expect(&f->mem, false, 2, 2, 0);
	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE + 3, 4), 0x8003);
	expect(&f->mem, false, 3, 4, 0);

	do_write(f, IOREQ_TYPE_COPY, MEM_BASE, 1, 0xaabbccddeeff1122);
	expect(&f->mem, true, 0, 1, 0x22);
	do_write(f, IOREQ_TYPE_COPY, MEM_BASE, 2, 0xaabbccddeeff1122);
	expect(&f->mem, true, 0, 2, 0x1122);
	do_write(f, IOREQ_TYPE_COPY, MEM_BASE, 4, 0xaabbccddeeff1122);
	expect(&f->mem, true, 0, 4, 0xeeff1122);
	expect_silence(f);
}

/* Low half first, both ways: a driver may rely on it. */
static void test_eight_bytes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(do_read(f, IOREQ_TYPE_COPY, MEM_BASE + 0x10, 8),
			 0x0000801400008010);
	expect(&f->mem, false, 0x10, 4, 0);
	expect(&f->mem, false, 0x14, 4, 0);

	do_write(f, IOREQ_TYPE_COPY, MEM_BASE + 0x3ff8, 8, 0x1122334455667788);
	expect(&f->mem, true, 0x3ff8, 4, 0x55667788);
	expect(&f->mem, true, 0x3ffc, 4, 0x11223344);
	expect_silence(f);
}

static void test_odd_sizes(void **state)
{
	static const uint32_t sizes[] = { 0, 3, 5, 6, 7, 9, 12, 16, 4096,
					  0x80000000, UINT32_MAX };
	static const uint8_t types[] = { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO,
					 IOREQ_TYPE_PCI_CONFIG };
	struct fixture *f = *state;
	uint64_t addr[] = { MEM_BASE, PORT_BASE, cfg_addr(BDF, 0) };
	size_t i, t;
	ioreq_t req;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (t = 0; t < ARRAY_SIZE(types); t++) {
			assert_int_equal(do_read(f, types[t], addr[t],
						 sizes[i]), ONES);
			do_write(f, types[t], addr[t], sizes[i], 0);
			/* Nor with a buffer, which stays where it was. */
			req = (ioreq_t){ .type = types[t], .addr = addr[t],
				.size = sizes[i], .count = 2, .data = RAM,
				.data_is_ptr = 1, .dir = IOREQ_READ };
			bus_dispatch(&f->bus, &req);
			assert_int_equal(req.data, RAM);
		}
	}
	expect_silence(f);
	assert_int_equal(fake.maps, 0);
}

static void test_straddling(void **state)
{
	static const unsigned int size[] = { 2, 4, 8 };
	struct fixture *f = *state;
	unsigned int i, over;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		for (over = 1; over < size[i]; over++) {
			uint64_t end = MEM_BASE + 0x4000 - size[i] + over;

			/* Over the end, and into it from before. */
			assert_int_equal(do_read(f, IOREQ_TYPE_COPY, end,
						 size[i]), ONES);
			do_write(f, IOREQ_TYPE_COPY, end, size[i], 0);
			assert_int_equal(do_read(f, IOREQ_TYPE_COPY,
						 MEM_BASE - over, size[i]),
					 ONES);
			do_write(f, IOREQ_TYPE_COPY, MEM_BASE - over, size[i],
				 0);
			assert_int_equal(do_read(f, IOREQ_TYPE_PIO, PORT_BASE +
						 0x20 - size[i] + over,
						 size[i]), ONES);
			assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG,
				cfg_addr(BDF, 256 - size[i] + over), size[i]),
				ONES);
		}
	}
	expect_silence(f);
}

static void test_nobody_there(void **state)
{
	static const uint64_t addr[] = { 0, MEM_BASE - 8, MEM_BASE + 0x4000,
		PORT_BASE, UINT64_MAX, UINT64_MAX - 7, 1ull << 63,
		(1ull << 32) + MEM_BASE };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		assert_int_equal(do_read(f, IOREQ_TYPE_COPY, addr[i], 8),
				 ONES);
		do_write(f, IOREQ_TYPE_COPY, addr[i], 8, 0);
	}
	assert_int_equal(do_read(f, IOREQ_TYPE_PIO, MEM_BASE, 4), ONES);
	assert_int_equal(do_read(f, IOREQ_TYPE_PIO, PORT_BASE - 1, 1), ONES);
	assert_int_equal(do_read(f, IOREQ_TYPE_PIO, 0x10000 + PORT_BASE, 1),
			 ONES);
	expect_silence(f);
}

static void test_unknown_types(void **state)
{
	struct fixture *f = *state;
	unsigned int type;
	ioreq_t req;

	for (type = 0; type < 256; type++) {
		if (type == IOREQ_TYPE_COPY || type == IOREQ_TYPE_PIO ||
		    type == IOREQ_TYPE_PCI_CONFIG)
			continue;
		assert_int_equal(do_read(f, (uint8_t)type, MEM_BASE, 4), ONES);
		do_write(f, (uint8_t)type, MEM_BASE, 4, 0);
		req = (ioreq_t){ .type = (uint8_t)type, .addr = MEM_BASE,
			.size = 4, .count = 2, .data = RAM, .data_is_ptr = 1,
			.dir = IOREQ_READ };
		bus_dispatch(&f->bus, &req);
		assert_int_equal(req.data, RAM);
	}
	expect_silence(f);
	assert_int_equal(fake.maps, 0);
}

/* ---- config space ---- */

static void test_config(void **state)
{
	static const uint32_t far[] = { 0x100, 0xfff, 0x1000, 0xffffff00,
					0x80000000, UINT32_MAX };
	static const unsigned int other[] = { 0, BDF - 1, BDF + 1, 0x1c1,
		0x100c1, 0xff00c1, 0x10000c1, 0xffffffff };
	struct fixture *f = *state;
	size_t i;

	assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF, 0xff),
				 1), 0x80ff);
	expect(&f->pci, false, 0xff, 1, 0);
	do_write(f, IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF, 6), 2, 0x12345);
	expect(&f->pci, true, 6, 2, 0x2345);
	do_write(f, IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF, 0xf8), 8, 0x100000002);
	expect(&f->pci, true, 0xf8, 4, 2);
	expect(&f->pci, true, 0xfc, 4, 1);

	/* A register above 255 is not one of the next function's. */
	for (i = 0; i < ARRAY_SIZE(far); i++) {
		assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG,
					 cfg_addr(BDF, far[i]), 1), ONES);
		assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG,
					 cfg_addr(BDF - 1, far[i]), 1), ONES);
		do_write(f, IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF - 1, far[i]),
			 1, 0);
	}
	for (i = 0; i < ARRAY_SIZE(other); i++) {
		assert_int_equal(do_read(f, IOREQ_TYPE_PCI_CONFIG,
					 cfg_addr(other[i], 0), 4), ONES);
		do_write(f, IOREQ_TYPE_PCI_CONFIG, cfg_addr(other[i], 0), 4,
			 0);
	}
	expect_silence(f);
}

/* ---- string instructions ---- */

static ioreq_t string_req(uint8_t type, uint64_t addr, unsigned int size,
			  uint32_t count, int dir, uint64_t ptr)
{
	return (ioreq_t){ .type = type, .addr = addr, .size = size,
		.count = count, .dir = dir & 1, .data_is_ptr = 1,
		.data = ptr };
}

static void fill_ram(void)
{
	uint8_t b[RAM_PAGES * 4096];
	size_t i;

	for (i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 7 + (i >> 8));
	fake_ram_write(RAM, b, sizeof(b));
}

static uint32_t ram_value(uint64_t addr, unsigned int size)
{
	uint32_t v = 0;

	fake_ram_read(addr, &v, size);
	return v;
}

/* OUTS: the port stays, the buffer walks. */
static void test_outs(void **state)
{
	static const unsigned int size[] = { 1, 2, 4 };
	struct fixture *f = *state;
	unsigned int s, i;
	ioreq_t req;

	fill_ram();
	for (s = 0; s < ARRAY_SIZE(size); s++) {
		req = string_req(IOREQ_TYPE_PIO, PORT_BASE + 4, size[s], 5,
				 IOREQ_WRITE, RAM + 0xffe);	/* two pages */
		bus_dispatch(&f->bus, &req);
		assert_int_equal(req.data, RAM + 0xffe);
		for (i = 0; i < 5; i++)
			expect(&f->port, true, 4, size[s],
			       ram_value(RAM + 0xffe + i * size[s], size[s]));
		expect_silence(f);
	}
}

static void test_outs_backwards(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 2, 4, IOREQ_WRITE,
				 RAM + 0x1002);
	unsigned int i;

	fill_ram();
	req.df = 1;
	bus_dispatch(&f->bus, &req);
	for (i = 0; i < 4; i++)
		expect(&f->port, true, 0, 2, ram_value(RAM + 0x1002 - 2 * i,
						       2));
	expect_silence(f);
}

static void test_ins(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = string_req(IOREQ_TYPE_PIO, PORT_BASE + 8, 2, 3,
				 IOREQ_READ, RAM + 0xffd);
	uint8_t b[10];
	static const uint8_t want[10] = { 0xee, 0x08, 0x80, 0x08, 0x80, 0x08,
					  0x80, 0xee, 0xee, 0xee };

	memset(b, 0xee, sizeof(b));
	fake_ram_write(RAM + 0xffc, b, sizeof(b));
	bus_dispatch(&f->bus, &req);
	fake_ram_read(RAM + 0xffc, b, sizeof(b));
	assert_memory_equal(b, want, sizeof(b));
	assert_int_equal(f->port.n, 3);
	assert_int_equal(req.data, RAM + 0xffd);
}

/* REP MOVS: both walk, either way. */
static void test_movs(void **state)
{
	struct fixture *f = *state;
	unsigned int df, i;
	uint64_t v;
	ioreq_t req;

	for (df = 0; df < 2; df++) {
		req = string_req(IOREQ_TYPE_COPY, MEM_BASE + 0x100, 8, 4,
				 IOREQ_READ, RAM + 0x2000);
		req.df = df & 1;
		bus_dispatch(&f->bus, &req);
		for (i = 0; i < 4; i++) {
			uint32_t off = df ? 0x100 - 8 * i : 0x100 + 8 * i;

			expect(&f->mem, false, off, 4, 0);
			expect(&f->mem, false, off + 4, 4, 0);
			fake_ram_read(RAM + 0x2000 + off - 0x100, &v, 8);
			assert_int_equal(v, (0x8004ull + off) << 32 |
					 (0x8000 + off));
		}
	}
	fill_ram();
	req = string_req(IOREQ_TYPE_COPY, MEM_BASE + 4, 1, 3, IOREQ_WRITE,
			 RAM + 3);
	req.df = 1;
	bus_dispatch(&f->bus, &req);
	for (i = 0; i < 3; i++)
		expect(&f->mem, true, 4 - i, 1, ram_value(RAM + 3 - i, 1));
	expect_silence(f);
}

/* Walks off the end: what still lies within is done, the rest vanishes. */
static void test_movs_over_the_end(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = string_req(IOREQ_TYPE_COPY, MEM_BASE + 0x3ff8, 4, 4,
				 IOREQ_READ, RAM);
	uint32_t b[4];

	bus_dispatch(&f->bus, &req);
	fake_ram_read(RAM, b, sizeof(b));
	assert_int_equal(b[0], 0x8000 + 0x3ff8);
	assert_int_equal(b[1], 0x8000 + 0x3ffc);
	assert_int_equal(b[2], UINT32_MAX);
	assert_int_equal(b[3], UINT32_MAX);
	expect(&f->mem, false, 0x3ff8, 4, 0);
	expect(&f->mem, false, 0x3ffc, 4, 0);

	req = string_req(IOREQ_TYPE_COPY, MEM_BASE + 2, 4, 3, IOREQ_WRITE,
			 RAM + 8);
	req.df = 1;			/* ... and down through the start */
	bus_dispatch(&f->bus, &req);
	expect(&f->mem, true, 2, 4, UINT32_MAX);
	expect_silence(f);
}

/* REP STOS and its mirror: no buffer. */
static void test_repeat_without_buffer(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = { .type = IOREQ_TYPE_COPY, .addr = MEM_BASE, .size = 2,
			.count = 3, .dir = IOREQ_WRITE, .data = 0x12345678 };
	unsigned int i;

	bus_dispatch(&f->bus, &req);
	for (i = 0; i < 3; i++)
		expect(&f->mem, true, 2 * i, 2, 0x5678);
	assert_int_equal(req.data, 0x12345678);

	req.dir = IOREQ_READ;		/* the last one's value stays */
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->mem.n, 3);
	assert_int_equal(req.data, 0x8004);
}

static void test_one_with_buffer(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = string_req(IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF, 0x40), 4,
				 1, IOREQ_READ, RAM);
	uint32_t v;

	bus_dispatch(&f->bus, &req);
	fake_ram_read(RAM, &v, 4);
	assert_int_equal(v, 0x8040);
	/* A config register stays, as the port behind it does. */
	req = string_req(IOREQ_TYPE_PCI_CONFIG, cfg_addr(BDF, 0x40), 4, 3,
			 IOREQ_READ, RAM);
	f->pci.n = 0;
	bus_dispatch(&f->bus, &req);
	expect(&f->pci, false, 0x40, 4, 0);
	expect(&f->pci, false, 0x40, 4, 0);
	expect(&f->pci, false, 0x40, 4, 0);
	expect_silence(f);
}

static void test_counts(void **state)
{
	struct fixture *f = *state;
	ioreq_t req;

	req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 1, 0, IOREQ_WRITE, RAM);
	bus_dispatch(&f->bus, &req);
	req.dir = IOREQ_READ;
	bus_dispatch(&f->bus, &req);
	req.data_is_ptr = 0;
	bus_dispatch(&f->bus, &req);
	expect_silence(f);

	/* As many as a page has bytes, and not one more. */
	req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 1, 4096, IOREQ_WRITE, RAM);
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->port.n, 4096);
	f->port.n = 0;
	req.count = UINT32_MAX;
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->port.n, 4096);
	f->port.n = 0;
	req.data_is_ptr = 0;
	req.dir = IOREQ_READ;
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->port.n, 4096);
	req = string_req(IOREQ_TYPE_COPY, MEM_BASE, 8, UINT32_MAX, IOREQ_READ,
			 RAM);
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->mem.n, 0x4000 / 4);
}

/* ---- buffers that are not there ---- */

static void test_buffer_in_a_hole(void **state)
{
	static const uint64_t bad[] = { 0, RAM - 1, RAM - 4096,
		RAM + RAM_PAGES * 4096, MEM_BASE, 1ull << 62, 1ull << 63,
		(1ull << 63) - 1, UINT64_MAX, UINT64_MAX - 3 };
	struct fixture *f = *state;
	size_t i;
	ioreq_t req;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 4, 3, IOREQ_WRITE,
				 bad[i]);
		bus_dispatch(&f->bus, &req);
		assert_int_equal(f->port.n, 0);
		/* A read is done before it is found undeliverable; once. */
		req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 4, 3, IOREQ_READ,
				 bad[i]);
		bus_dispatch(&f->bus, &req);
		expect(&f->port, false, 0, 4, 0);
		expect_silence(f);
	}
}

static void test_buffer_runs_into_a_hole(void **state)
{
	struct fixture *f = *state;
	uint64_t end = RAM + RAM_PAGES * 4096;
	uint64_t bytes = 0;
	ioreq_t req;

	fill_ram();
	req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 2, 100, IOREQ_WRITE,
			 end - 4);
	bus_dispatch(&f->bus, &req);
	expect(&f->port, true, 0, 2, ram_value(end - 4, 2));
	expect(&f->port, true, 0, 2, ram_value(end - 2, 2));
	expect_silence(f);

	req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 2, 100, IOREQ_READ, RAM);
	req.df = 1;
	bus_dispatch(&f->bus, &req);
	fake_ram_read(RAM, &bytes, 8);
	assert_int_equal(bytes & 0xffff, 0x8000);
	assert_int_equal(f->port.n, 2);
	f->port.n = 0;

	/* One piece of two halves, the second of which is not there. */
	req = string_req(IOREQ_TYPE_PIO, PORT_BASE, 4, 2, IOREQ_WRITE,
			 end - 2);
	bus_dispatch(&f->bus, &req);
	expect_silence(f);
}

static void test_addresses_wrap(void **state)
{
	struct fixture *f = *state;
	ioreq_t req;

	/* Up through the top of memory and of the space, and down. */
	fake_ram_add(0, 1);
	req = string_req(IOREQ_TYPE_COPY, UINT64_MAX - 7, 8, 4, IOREQ_READ,
			 0);
	bus_dispatch(&f->bus, &req);
	assert_int_equal(ram_value(0, 4), UINT32_MAX);
	req = string_req(IOREQ_TYPE_COPY, 8, 8, 4, IOREQ_READ, 0);
	req.df = 1;
	bus_dispatch(&f->bus, &req);
	req = string_req(IOREQ_TYPE_PIO, UINT64_MAX, 8, 4, IOREQ_WRITE, 8);
	req.df = 1;
	bus_dispatch(&f->bus, &req);
	expect_silence(f);
}

/* ---- a region that goes while it is used ---- */

static void suicide_write(void *dev, uint64_t off, unsigned int size,
			  uint32_t val)
{
	struct probe *p = dev;

	probe_write(dev, off, size, val);
	if (p->n == 2)
		io_region_del(&fix.bus, &p->io);
}

/* As a BAR does when a string instruction writes the command register. */
static void test_region_goes_in_the_middle(void **state)
{
	struct fixture *f = *state;
	ioreq_t req = string_req(IOREQ_TYPE_COPY, MEM_BASE, 4, 10, IOREQ_WRITE,
				 RAM);

	f->mem.io.write = suicide_write;
	bus_dispatch(&f->bus, &req);
	assert_int_equal(f->mem.n, 2);
	assert_false(f->mem.io.added);
}

#define BUS_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	BUS_TEST(test_xen_is_told),
	BUS_TEST(test_every_bdf),
	BUS_TEST(test_overlap),
	BUS_TEST(test_overlap_at_the_top),
	BUS_TEST(test_xen_refuses),
	BUS_TEST(test_the_right_one_of_many),
	BUS_TEST(test_sizes),
	BUS_TEST(test_eight_bytes),
	BUS_TEST(test_odd_sizes),
	BUS_TEST(test_straddling),
	BUS_TEST(test_nobody_there),
	BUS_TEST(test_unknown_types),
	BUS_TEST(test_config),
	BUS_TEST(test_outs),
	BUS_TEST(test_outs_backwards),
	BUS_TEST(test_ins),
	BUS_TEST(test_movs),
	BUS_TEST(test_movs_over_the_end),
	BUS_TEST(test_repeat_without_buffer),
	BUS_TEST(test_one_with_buffer),
	BUS_TEST(test_counts),
	BUS_TEST(test_buffer_in_a_hole),
	BUS_TEST(test_buffer_runs_into_a_hole),
	BUS_TEST(test_addresses_wrap),
	BUS_TEST(test_region_goes_in_the_middle),
};

UNIT_MAIN(tests)
