/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_domain.c: an IOREQ server's life, from the handles to the last
 * answer; and what libxenctrl tells.
 */
#include <errno.h>
#include <stdbool.h>
#include <xenctrl.h>

#include "domain.h"
#include "domctl.h"
#include "fake_xen.h"
#include "guest_mem.h"
#include "io_region.h"
#include "irq.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

#define MEM_BASE	0xfebf0000u
#define ONES		UINT64_MAX

static struct fixture {
	struct loop		*loop;
	struct domain		*dom;
	struct io_region	io;
	unsigned int		reads, writes;
	uint32_t		written;
	void			(*meddle)(void);	/* during a read */
	char			why[256];
} fix;

static uint32_t io_read(void *dev, uint64_t off, unsigned int size)
{
	struct fixture *f = dev;

	(void)size;
	f->reads++;
	if (f->meddle)
		f->meddle();
	return 0xa0000000 + (uint32_t)off;
}

static void io_write(void *dev, uint64_t off, unsigned int size, uint32_t val)
{
	struct fixture *f = dev;

	(void)off;
	(void)size;
	f->writes++;
	f->written = val;
}

static int open_as(struct fixture *f, bool pvh, enum grants_policy policy)
{
	snprintf(f->why, sizeof(f->why), "(nothing)");
	fake.may_renounce = policy == GRANTS_REQUIRE;
	return domain_open(f->loop, FAKE_DOMID, pvh, policy, &f->dom,
			   f->why, sizeof(f->why));
}

static int open_dom(struct fixture *f, bool pvh)
{
	return open_as(f, pvh, GRANTS_AUTO);
}

static void start(struct fixture *f, unsigned int vcpus)
{
	memset(f, 0, sizeof(*f));
	fake_start(vcpus);
	assert_int_equal(loop_open(&f->loop), 0);
}

/* One that is open, with a region. */
static void start_open(struct fixture *f, unsigned int vcpus, bool pvh)
{
	start(f, vcpus);
	assert_int_equal(open_dom(f, pvh), 0);
	assert_string_equal(f->why, "(nothing)");
	f->io = (struct io_region){
		.space	= IO_MEM,
		.start	= MEM_BASE,
		.len	= 0x1000,
		.dev	= f,
		.read	= io_read,
		.write	= io_write,
	};
	assert_int_equal(io_region_add(domain_bus(f->dom), &f->io), 0);
	(void)fake_diary();
}

static void end(struct fixture *f)
{
	if (f->dom && f->io.added)
		io_region_del(domain_bus(f->dom), &f->io);
	domain_close(f->dom);
	loop_close(f->loop);
	fake_end();
}

static ioreq_t request(uint8_t type, uint64_t addr, unsigned int size, int dir,
		       uint64_t data)
{
	return (ioreq_t){ .type = type, .addr = addr, .size = size, .count = 1,
		.dir = dir & 1, .data = data };
}

/* Sends and waits.  Return: the answer, of exactly one notification. */
static uint64_t ask(struct fixture *f, unsigned int vcpu, ioreq_t req)
{
	unsigned int before = fake.notified[vcpu];

	fake_send(vcpu, &req);
	fake_turn(f->loop);
	assert_int_equal(fake.notified[vcpu], before + 1);
	assert_int_equal(fake.page->vcpu_ioreq[vcpu].state, STATE_IOREQ_NONE);
	assert_int_equal(fake.taken[vcpu].state, STATE_IORESP_READY);
	assert_true(fake_unmasked());
	return fake.taken[vcpu].data;
}

static uint64_t read_mem(struct fixture *f, unsigned int vcpu, uint64_t off)
{
	return ask(f, vcpu, request(IOREQ_TYPE_COPY, MEM_BASE + off, 4,
				    IOREQ_READ, 0x1111111111111111));
}

/* ---- start and end ---- */

static void test_order(void **state)
{
	struct fixture *f = &fix;

	(void)state;
	start(f, 3);
	assert_int_equal(open_dom(f, true), 0);
	assert_string_equal(fake_diary(),
		"dmod_open fmem_open evtchn_open xgt_open "
		"dmod_restrict fmem_restrict evtchn_restrict "
		"create map_resource enable nr_vcpus bind bind bind "
		/* sixteen times, to see what a call costs */
		"nr_vcpus nr_vcpus nr_vcpus nr_vcpus nr_vcpus nr_vcpus "
		"nr_vcpus nr_vcpus nr_vcpus nr_vcpus nr_vcpus nr_vcpus "
		"nr_vcpus nr_vcpus nr_vcpus nr_vcpus "
		"map_range");
	assert_int_equal(fake.bufioreq, HVM_IOREQSRV_BUFIOREQ_OFF);
	assert_true(fake.created && fake.enabled);
	assert_non_null(domain_bus(f->dom));
	assert_non_null(domain_irq(f->dom));
	assert_non_null(domain_mem(f->dom));
	assert_int_equal(irq_msi(domain_irq(f->dom), 0xfee00000, 1), 0);
	assert_true(domain_kick_ns(f->dom) > 0);
	assert_true(domain_kick_ns(f->dom) <= 2000000);

	(void)fake_diary();
	domain_close(f->dom);
	f->dom = NULL;
	assert_string_equal(fake_diary(),
		"unmap_range disable destroy xgt_close unmap_resource "
		"evtchn_close fmem_close dmod_close");
	end(f);
	domain_close(NULL);
}

static void test_without_latch(void **state)
{
	struct fixture *f = &fix;

	(void)state;
	start(f, 1);
	assert_int_equal(open_dom(f, false), 0);
	assert_null(strstr(fake_diary(), "map_range"));
	assert_int_equal(fake.nranges, 0);
	assert_int_equal(ask(f, 0, request(IOREQ_TYPE_PIO, 0xcf8, 4,
					   IOREQ_READ, 0)), ONES);
	end(f);
}

/* What is opened, what is given up, and what is served then. */
static void test_grants(void **state)
{
	struct fixture *f = &fix;
	uint64_t v = 5;

	(void)state;
	start(f, 1);
	fake_ram_add(3, 1);
	fake_grant(4, 3, false);
	assert_int_equal(open_as(f, false, GRANTS_REQUIRE), 0);
	assert_memory_equal(fake_diary(),
		"dmod_open fmem_open evtchn_open xgt_open "
		"dmod_restrict fmem_restrict evtchn_restrict "
		"create map_resource enable nr_vcpus bind fmem_close ",
		strlen("dmod_open fmem_open evtchn_open xgt_open "
		"dmod_restrict fmem_restrict evtchn_restrict "
		"create map_resource enable nr_vcpus bind fmem_close "));
	assert_int_equal(guest_mem_serves(domain_mem(f->dom)), GUEST_GRANTS);
	assert_int_equal(guest_mem_write(domain_mem(f->dom), 3 << 12, &v, 8),
			 -EFAULT);
	assert_int_equal(guest_mem_write(domain_mem(f->dom),
					 GUEST_ADDR_GRANT | 4 << 12, &v, 8), 0);
	v = 0;
	fake_ram_read(3 << 12, &v, 8);
	assert_int_equal(v, 5);
	/* Requests are answered all the same. */
	assert_int_equal(ask(f, 0, request(IOREQ_TYPE_PIO, 0xcf8, 4,
					   IOREQ_READ, 0)), ONES);
	domain_close(f->dom);
	f->dom = NULL;
	assert_string_equal(fake_diary(),
		"notify disable destroy xgt_close evtchn_close dmod_close");
	end(f);

	start(f, 1);
	assert_int_equal(open_as(f, false, GRANTS_OFF), 0);
	assert_null(strstr(fake_diary(), "xgt"));
	assert_int_equal(guest_mem_serves(domain_mem(f->dom)), GUEST_PLAIN);
	end(f);

	start(f, 1);
	assert_int_equal(open_as(f, false, GRANTS_AUTO), 0);
	assert_int_equal(guest_mem_serves(domain_mem(f->dom)),
			 GUEST_PLAIN | GUEST_GRANTS);
	end(f);
}

/* A dom0 without gntdev: served is what can be. */
static void test_no_gntdev(void **state)
{
	struct fixture *f = &fix;

	(void)state;
	start(f, 1);
	fake_fail(FAKE_XGT_OPEN, 1, 1, ENOENT);
	assert_int_equal(open_as(f, false, GRANTS_AUTO), 0);
	assert_int_equal(guest_mem_serves(domain_mem(f->dom)), GUEST_PLAIN);
	end(f);

	start(f, 1);
	fake_fail(FAKE_XGT_OPEN, 1, 1, ENOENT);
	assert_int_equal(open_as(f, false, GRANTS_REQUIRE), -ENOENT);
	assert_string_equal(f->why, "grants=require: cannot open /dev/xen/gntdev: No such file or directory; is xen-gntdev loaded?");
	end(f);
}

static void test_every_step_fails(void **state)
{
	static const struct {
		enum fake_fn fn;
		unsigned int nth;
		int err, r;
		const char *why;
	} t[] = {
		{ FAKE_CALLOC, 1, ENOMEM, -ENOMEM, "out of memory" },
		{ FAKE_DMOD_OPEN, 1, ENOENT, -ENOENT,
		  "cannot open /dev/xen/privcmd: No such file or directory; is this dom0, and is xen-privcmd loaded?" },
		{ FAKE_FMEM_OPEN, 1, EMFILE, -EMFILE,
		  "cannot open /dev/xen/privcmd for guest memory: Too many open files" },
		{ FAKE_EVTCHN_OPEN, 1, ENOENT, -ENOENT,
		  "cannot open /dev/xen/evtchn: No such file or directory; is xen-evtchn loaded?" },
		{ FAKE_DMOD_RESTRICT, 1, EOPNOTSUPP, -EOPNOTSUPP,
		  "cannot restrict the device model handle to d7: Operation not supported; Linux 4.14 or newer is needed in dom0" },
		{ FAKE_FMEM_RESTRICT, 1, EOPNOTSUPP, -EOPNOTSUPP,
		  "cannot restrict the guest memory handle to d7: Operation not supported; Linux 4.14 or newer is needed in dom0" },
		{ FAKE_EVTCHN_RESTRICT, 1, EOPNOTSUPP, -EOPNOTSUPP,
		  "cannot restrict the event channel handle to d7: Operation not supported; Linux 4.14 or newer is needed in dom0" },
		{ FAKE_CREATE, 1, ENOSPC, -ENOSPC,
		  "d7 has no IOREQ server left: Xen allows 8 for a guest" },
		{ FAKE_CREATE, 1, ESRCH, -ESRCH,
		  "cannot create an IOREQ server for d7: No such process" },
		{ FAKE_MAP_RESOURCE, 1, EOPNOTSUPP, -EOPNOTSUPP,
		  "cannot map the IOREQ page of d7: Operation not supported; Xen 4.17 and Linux 4.18 or newer are needed" },
		{ FAKE_ENABLE, 1, EPERM, -EPERM,
		  "cannot enable the IOREQ server of d7: Operation not permitted" },
		{ FAKE_NR_VCPUS, 1, EOPNOTSUPP, -EOPNOTSUPP,
		  "cannot ask for the vCPUs of d7: Operation not supported; Xen 4.15 or newer is needed" },
		{ FAKE_BIND, 1, EINVAL, -EINVAL,
		  "cannot bind the event channel of d7v0: Invalid argument" },
		{ FAKE_BIND, 3, ENOSPC, -ENOSPC,
		  "cannot bind the event channel of d7v2: No space left on device" },
		/* The second is for grants, and these can be done without. */
		{ FAKE_CALLOC, 3, ENOMEM, -ENOMEM,
		  "d7: Cannot allocate memory" },
		{ FAKE_CALLOC, 4, ENOMEM, -ENOMEM,
		  "d7: Cannot allocate memory" },
		{ FAKE_CALLOC, 5, ENOMEM, -ENOMEM,
		  "d7: Cannot allocate memory" },
		{ FAKE_CALLOC, 6, ENOMEM, -ENOMEM,
		  "d7: Cannot allocate memory" },
		{ FAKE_MAP_RANGE, 1, EEXIST, -EEXIST,
		  "cannot take port 0xcf8 of d7: File exists" },
		/* A library that forgets to say why. */
		{ FAKE_DMOD_OPEN, 1, 0, -EIO,
		  "cannot open /dev/xen/privcmd: Success; is this dom0, and is xen-privcmd loaded?" },
	};
	struct fixture *f = &fix;
	bool created;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		start(f, 3);
		/* loop_open() needed some, too. */
		fake_fail(t[i].fn, t[i].nth, 1, t[i].err);
		assert_int_equal(open_dom(f, true), t[i].r);
		assert_string_equal(f->why, t[i].why);
		assert_null(f->dom);
		assert_int_equal(fake.calls[t[i].fn] >= t[i].nth, 1);
		/* What was created was destroyed; fake_end() sees the rest. */
		created = fake.calls[FAKE_CREATE] && t[i].fn != FAKE_CREATE;
		assert_int_equal(fake.calls[FAKE_DESTROY], created);
		end(f);
	}
}

/* A line that is too long is cut, not overrun. */
static void test_why_is_cut(void **state)
{
	struct fixture *f = &fix;
	char why[12] = "xxxxxxxxxxx";

	(void)state;
	start(f, 1);
	fake_fail(FAKE_CREATE, 1, 1, EPERM);
	assert_int_equal(domain_open(f->loop, FAKE_DOMID, false, GRANTS_AUTO,
				     &f->dom, why, sizeof(why) - 1), -EPERM);
	assert_string_equal(why, "cannot cre");
	end(f);
}

static void test_many_vcpus(void **state)
{
	struct fixture *f = &fix;
	unsigned int i;

	(void)state;
	start(f, 129);
	assert_int_equal(open_dom(f, false), -E2BIG);
	assert_string_equal(f->why, "d7 may have 129 vCPUs: at most 128 have room in an IOREQ page");
	end(f);

	start_open(f, 128, false);
	assert_int_equal(fake.calls[FAKE_BIND], 128);
	for (i = 0; i < 128; i++)
		assert_int_equal(read_mem(f, i, i), 0xa0000000 + i);
	end(f);
}

/*
 * A start that fails late meets a request, as INVALIDATE may come to any
 * server that is enabled; and one with a buffer.
 */
static void test_failing_with_a_request(void **state)
{
	struct fixture *f = &fix;

	(void)state;
	start(f, 2);
	fake.page->vcpu_ioreq[1] = request(IOREQ_TYPE_PIO, 0xcf8, 4,
					   IOREQ_WRITE, 0x1000);
	fake.page->vcpu_ioreq[1].data_is_ptr = 1;
	fake.page->vcpu_ioreq[1].state = STATE_IOREQ_READY;
	fake_fail(FAKE_CALLOC, 6, 1, ENOMEM);		/* the loop's */
	assert_int_equal(open_dom(f, true), -ENOMEM);
	assert_int_equal(fake.notified[1], 1);
	assert_int_equal(fake.stuck, 0);
	end(f);
}

/* ---- requests ---- */

static void test_read_and_write(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req;

	(void)state;
	start_open(f, 2, false);
	assert_int_equal(read_mem(f, 0, 0x10), 0xa0000010);
	assert_int_equal(read_mem(f, 1, 0x20), 0xa0000020);
	assert_int_equal(f->reads, 2);

	/* A write's slot is left as it was. */
	req = request(IOREQ_TYPE_COPY, MEM_BASE, 4, IOREQ_WRITE,
		      0x1122334455667788);
	assert_int_equal(ask(f, 0, req), 0x1122334455667788);
	assert_int_equal(f->written, 0x55667788);
	assert_int_equal(fake.taken[0].addr, MEM_BASE);
	assert_int_equal(fake.taken[0].count, 1);

	/* And so is one with a buffer. */
	fake_ram_add(0, 1);
	req = request(IOREQ_TYPE_COPY, MEM_BASE + 4, 4, IOREQ_READ, 0x100);
	req.data_is_ptr = 1;
	assert_int_equal(ask(f, 0, req), 0x100);
	fake_ram_read(0x100, &f->written, 4);
	assert_int_equal(f->written, 0xa0000004);

	/* Nobody there, or nothing that is known. */
	assert_int_equal(read_mem(f, 0, 0x1000), ONES);
	assert_int_equal(ask(f, 0, request(77, MEM_BASE, 4, IOREQ_READ, 5)),
			 ONES);
	assert_int_equal(ask(f, 0, request(77, MEM_BASE, 4, IOREQ_WRITE, 5)),
			 5);
	end(f);
}

/* Whichever event comes, all slots are looked at; each is answered once. */
static void test_all_vcpus_at_once(void **state)
{
	struct fixture *f = &fix;
	unsigned int i, round;

	(void)state;
	start_open(f, 8, false);
	for (round = 1; round <= 3; round++) {
		for (i = 0; i < 8; i++) {
			ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE + i, 4,
					      IOREQ_READ, 0);

			fake_send(i, &req);
		}
		fake_turn(f->loop);
		for (i = 0; i < 8; i++) {
			assert_int_equal(fake.taken[i].data, 0xa0000000 + i);
			assert_int_equal(fake.notified[i], round);
		}
		assert_int_equal(f->reads, 8 * round);
		assert_true(fake_unmasked());
	}
	end(f);
}

static void test_invalidate(void **state)
{
	struct fixture *f = &fix;
	unsigned int epoch, dir;
	uint32_t v = 1;

	(void)state;
	start_open(f, 1, false);
	fake_ram_add(0, 1);
	for (dir = 0; dir < 2; dir++) {
		assert_int_equal(guest_mem_read(domain_mem(f->dom), &v, 0, 4),
				 0);
		assert_int_equal(fake.maps, 1);
		epoch = guest_mem_epoch(domain_mem(f->dom));
		(void)ask(f, 0, request(IOREQ_TYPE_INVALIDATE, 0, 8, (int)dir,
					ONES));
		assert_int_not_equal(guest_mem_epoch(domain_mem(f->dom)),
				     epoch);
		fake_turn(f->loop);
		assert_int_equal(fake.maps, 0);
	}
	end(f);
}

static void test_other_states(void **state)
{
	struct fixture *f = &fix;
	ioreq_t before;
	unsigned int s;

	(void)state;
	start_open(f, 2, false);
	fake.vcpus_dead = true;
	for (s = 0; s < 16; s++) {
		if (s == STATE_IOREQ_READY)
			continue;
		fake.page->vcpu_ioreq[1].type = IOREQ_TYPE_COPY;
		fake.page->vcpu_ioreq[1].addr = MEM_BASE;
		fake.page->vcpu_ioreq[1].dir = IOREQ_READ;
		fake.page->vcpu_ioreq[1].state = s & 15;
		before = fake.page->vcpu_ioreq[1];
		fake_raise(1);
		fake_turn(f->loop);
		assert_memory_equal(&before, &fake.page->vcpu_ioreq[1],
				    sizeof(before));
		assert_int_equal(fake.notified[1], 0);
		assert_true(fake_unmasked());
		/* Its neighbour is served meanwhile. */
		fake.vcpus_dead = false;
		assert_int_equal(read_mem(f, 0, s), 0xa0000000 + s);
		fake.vcpus_dead = true;
	}
	fake.page->vcpu_ioreq[1].state = STATE_IOREQ_NONE;
	assert_int_equal(f->reads, 15);
	end(f);
}

/* The slot is copied once: what becomes of it meanwhile is of no interest. */
static void meddle(void)
{
	ioreq_t *slot = &fake.page->vcpu_ioreq[0];

	assert_int_equal(slot->state, STATE_IOREQ_INPROCESS);
	slot->type = IOREQ_TYPE_INVALIDATE;
	slot->addr = ONES;
	slot->size = 3;
	slot->count = UINT32_MAX;
	slot->data_is_ptr = 1;
	slot->dir = IOREQ_WRITE;
	slot->df = 1;
}

static void test_copied_once(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE + 8, 2, IOREQ_READ, 0);

	(void)state;
	start_open(f, 1, false);
	f->meddle = meddle;
	req.count = 3;
	assert_int_equal(ask(f, 0, req), 0xa0000000 + 12);
	assert_int_equal(f->reads, 3);
	assert_int_equal(guest_mem_epoch(domain_mem(f->dom)), 0);
	end(f);
}

static void test_events(void **state)
{
	struct fixture *f = &fix;
	unsigned int i;

	(void)state;
	start_open(f, 2, false);
	/* Without a request, many at once, and of another vCPU. */
	for (i = 0; i < 100; i++)
		fake_raise(1);
	fake_turn(f->loop);
	assert_int_equal(fake.calls[FAKE_PENDING], 2);	/* one was masked */
	assert_int_equal(fake.calls[FAKE_NOTIFY], 0);
	assert_true(fake_unmasked());

	/* A failure to read one is not the end of them. */
	fake_fail(FAKE_PENDING, 1, 1, EIO);
	assert_int_equal(read_mem(f, 1, 0), 0xa0000000);
	end(f);
}

static void test_notify_fails(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE, 4, IOREQ_READ, 0);

	(void)state;
	start_open(f, 1, false);
	fake_fail(FAKE_NOTIFY, 1, 1, EINVAL);
	fake_send(0, &req);
	fake_turn(f->loop);
	assert_true(fake_take(0));		/* the answer was there */
	assert_int_equal(fake.taken[0].data, 0xa0000000);
	assert_int_equal(read_mem(f, 0, 4), 0xa0000004);
	end(f);
}

/* ---- the latch ---- */

static uint64_t latch_in(struct fixture *f, uint16_t port, unsigned int size)
{
	return ask(f, 0, request(IOREQ_TYPE_PIO, port, size, IOREQ_READ, 0));
}

static void latch_out(struct fixture *f, uint16_t port, unsigned int size,
		      uint64_t val)
{
	(void)ask(f, 0, request(IOREQ_TYPE_PIO, port, size, IOREQ_WRITE, val));
}

static void test_latch(void **state)
{
	struct fixture *f = &fix;
	unsigned int off;

	(void)state;
	start_open(f, 1, true);
	assert_int_equal(latch_in(f, 0xcf8, 4), 0);
	latch_out(f, 0xcf8, 4, 0x8877665544332211);
	assert_int_equal(latch_in(f, 0xcf8, 4), 0x44332211);
	for (off = 0; off < 4; off++) {
		assert_int_equal(latch_in(f, (uint16_t)(0xcf8 + off), 1),
				 0x11 * (off + 1));
		if (off < 3)
			assert_int_equal(latch_in(f, (uint16_t)(0xcf8 + off),
					 2), 0x2211 + 0x1111 * off);
	}

	/* Narrower writes are for other registers: 0xcf9 is a reset. */
	for (off = 0; off < 4; off++) {
		latch_out(f, (uint16_t)(0xcf8 + off), 1, 0xff);
		latch_out(f, (uint16_t)(0xcf8 + off), 2, 0xffff);
		if (off)
			latch_out(f, (uint16_t)(0xcf8 + off), 4, ONES);
	}
	latch_out(f, 0xcf8, 8, ONES);
	assert_int_equal(latch_in(f, 0xcf8, 4), 0x44332211);

	/* Nothing around it. */
	assert_int_equal(latch_in(f, 0xcf8, 8), ONES);
	assert_int_equal(latch_in(f, 0xcfb, 2), ONES);
	assert_int_equal(latch_in(f, 0xcf9, 4), ONES);
	assert_int_equal(latch_in(f, 0xcf7, 4), ONES);
	assert_int_equal(latch_in(f, 0xcfc, 4), ONES);
	end(f);
}

/* ---- the end with requests ---- */

static void test_close_answers(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE, 4, IOREQ_READ, 0);
	unsigned int i;

	(void)state;
	start_open(f, 4, true);
	for (i = 0; i < 4; i++)
		fake_send(i, &req);
	(void)fake_diary();
	io_region_del(domain_bus(f->dom), &f->io);
	domain_close(f->dom);
	f->dom = NULL;
	/* No new requests first; all answers before the server goes. */
	assert_string_equal(fake_diary(),
		"unmap_range unmap_range disable notify notify notify notify "
		"destroy xgt_close unmap_resource evtchn_close fmem_close "
		"dmod_close");
	for (i = 0; i < 4; i++)
		assert_int_equal(fake.taken[i].data, ONES);
	assert_int_equal(fake.stuck, 0);
	end(f);
}

/* vCPUs that do not take their answers: for a while only. */
static void test_close_waits_not_for_ever(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE, 4, IOREQ_READ, 0);
	uint64_t before, took;
	unsigned int i;

	(void)state;
	start_open(f, 4, false);
	fake.vcpus_dead = true;
	for (i = 0; i < 4; i++)
		fake_send(i, &req);
	before = loop_now_ms();
	domain_abandon(f->dom);
	took = loop_now_ms() - before;
	assert_true(took >= 40 && took < 1000);
	assert_int_equal(fake.stuck, 4);
	f->io.added = false;			/* it was Xen's to forget */
	end(f);
}

static void test_abandon(void **state)
{
	struct fixture *f = &fix;
	ioreq_t req = request(IOREQ_TYPE_COPY, MEM_BASE, 4, IOREQ_READ, 0);

	(void)state;
	start_open(f, 1, false);
	fake_send(0, &req);
	domain_abandon(f->dom);
	assert_string_equal(fake_diary(), "disable notify destroy");
	assert_int_equal(fake.taken[0].data, 0xa0000000);
	assert_false(fake.created);
	domain_abandon(f->dom);			/* twice is fine */
	assert_int_equal(fake.calls[FAKE_DESTROY], 1);
	end(f);
	assert_int_equal(fake.calls[FAKE_DESTROY], 1);
}

/* The guest was destroyed meanwhile, and Xen answers ESRCH to everything. */
static void test_guest_is_gone(void **state)
{
	static const enum fake_fn fns[] = { FAKE_DISABLE, FAKE_DESTROY,
		FAKE_UNMAP_RANGE, FAKE_NOTIFY };
	struct fixture *f = &fix;
	size_t i;

	(void)state;
	start_open(f, 1, true);
	for (i = 0; i < ARRAY_SIZE(fns); i++)
		fake_fail(fns[i], 1, 100, ESRCH);
	io_region_del(domain_bus(f->dom), &f->io);
	domain_close(f->dom);
	f->dom = NULL;
	fake.created = false;
	end(f);
}

/* ---- libxenctrl ---- */

static void test_domctl(void **state)
{
	static const struct {
		uint32_t flags, emulation;
		enum domctl_kind kind;
		bool dying;
	} t[] = {
		{ 0, 0, DOMCTL_PV, false },
		{ XEN_DOMINF_dying, 0, DOMCTL_PV, true },
		{ XEN_DOMINF_hvm_guest, 0, DOMCTL_PVH, false },
#if defined(__i386__) || defined(__x86_64__)
		{ XEN_DOMINF_hvm_guest, XEN_X86_EMU_LAPIC, DOMCTL_PVH, false },
		{ XEN_DOMINF_hvm_guest | XEN_DOMINF_dying, XEN_X86_EMU_ALL,
		  DOMCTL_HVM, true },
		{ XEN_DOMINF_hvm_guest, XEN_X86_EMU_ALL & ~XEN_X86_EMU_VPCI,
		  DOMCTL_HVM, false },
		{ XEN_DOMINF_hvm_guest | XEN_DOMINF_shutdown,
		  XEN_X86_EMU_LAPIC, DOMCTL_PVH, false },
#endif
	};
	struct domctl_info info;
	struct domctl *dc;
	size_t i;

	(void)state;
	fake_start(1);
	assert_int_equal(domctl_open(&dc), 0);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		fake.info_flags = t[i].flags;
		fake.info_emulation = t[i].emulation;
		memset(&info, 0xff, sizeof(info));
		assert_int_equal(domctl_info(dc, FAKE_DOMID, &info), 0);
		assert_int_equal(info.kind, t[i].kind);
		assert_int_equal(info.dying, t[i].dying);
	}
	/* The list goes on with the next domain, which is not meant. */
	assert_int_equal(domctl_info(dc, FAKE_DOMID - 1, &info), -ESRCH);
	assert_int_equal(domctl_info(dc, FAKE_DOMID + 1, &info), -ESRCH);
	fake.info_none = true;
	assert_int_equal(domctl_info(dc, FAKE_DOMID, &info), -ESRCH);
	fake_fail(FAKE_XC_INFO, 1, 1, EPERM);
	assert_int_equal(domctl_info(dc, FAKE_DOMID, &info), -EPERM);
	domctl_close(dc);
	domctl_close(NULL);
	fake_end();
}

static void test_domctl_fails(void **state)
{
	struct domctl *dc = NULL;

	(void)state;
	fake_start(1);
	fake_fail(FAKE_CALLOC, 1, 1, ENOMEM);
	assert_int_equal(domctl_open(&dc), -ENOMEM);
	fake_fail(FAKE_XC_OPEN, 1, 1, EACCES);
	assert_int_equal(domctl_open(&dc), -EACCES);
	fake_fail(FAKE_XC_OPEN, 1, 1, 0);
	assert_int_equal(domctl_open(&dc), -ENODEV);
	assert_null(dc);
	fake_end();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_order),
	cmocka_unit_test(test_without_latch),
	cmocka_unit_test(test_grants),
	cmocka_unit_test(test_no_gntdev),
	cmocka_unit_test(test_every_step_fails),
	cmocka_unit_test(test_why_is_cut),
	cmocka_unit_test(test_many_vcpus),
	cmocka_unit_test(test_failing_with_a_request),
	cmocka_unit_test(test_read_and_write),
	cmocka_unit_test(test_all_vcpus_at_once),
	cmocka_unit_test(test_invalidate),
	cmocka_unit_test(test_other_states),
	cmocka_unit_test(test_copied_once),
	cmocka_unit_test(test_events),
	cmocka_unit_test(test_notify_fails),
	cmocka_unit_test(test_latch),
	cmocka_unit_test(test_close_answers),
	cmocka_unit_test(test_close_waits_not_for_ever),
	cmocka_unit_test(test_abandon),
	cmocka_unit_test(test_guest_is_gone),
	cmocka_unit_test(test_domctl),
	cmocka_unit_test(test_domctl_fails),
};

UNIT_MAIN(tests)
