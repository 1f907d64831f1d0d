/* SPDX-License-Identifier: MIT */
/*
 * Does the toy guest's driver grant as Linux does?
 *
 * This program is both sides, without a daemon and without registers: run
 * plainly it is the driver, with arguments it is a disk in memory that polls
 * its one queue and has nothing but libxengnttab to get at it.  That disk
 * checks what a device may rely on: that there is a grant behind every address,
 * that what is only to be read is read-only, that rings lie in a row.  Some
 * disks have a fault, which the driver has to notice.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "path.h"
#include "server.h"

#include <xenforeignmemory.h>
#include <xengnttab.h>

#define DOM		7
#define DISK_BYTES	(1 * MB)
#define MAX_PARTS	16

/* ---- the device ---- */

struct part {
	uint64_t	addr;
	uint32_t	len;
	bool		in;
};

struct disk {
	xengnttab_handle	*g;
	xenforeignmemory_handle	*f;
	const char		*mode;
	unsigned int		size;
	struct vring_desc	*desc;
	struct vring_avail	*avail;
	struct vring_used	*used;
	void			*ring[3];
	unsigned int		pages[3];
	uint16_t		seen;
	bool			plain_too;
	uint8_t			*data;
};

static volatile sig_atomic_t disk_stopped;

static void disk_stop(int sig)
{
	disk_stopped = sig;
}

static void *disk_map(struct disk *d, uint64_t addr, uint32_t len, int prot)
{
	unsigned int n = toy_pages(addr, len), i;
	uint32_t ref[64];
	uint8_t *p;

	MUST(addr & TOY_GRANT && n <= 64);
	for (i = 0; i < n; i++)
		ref[i] = toy_grant_ref(addr) + i;
	p = xengnttab_map_domain_grant_refs(d->g, n, DOM, ref, prot);
	return p ? p + (addr & 4095) : NULL;
}

static void disk_unmap(struct disk *d, void *p, uint32_t len)
{
	void *page = (void *)((uintptr_t)p & ~4095ull);

	MUST(!xengnttab_unmap(d->g, page, toy_pages((uintptr_t)p, len)));
}

/* Bytes within a page.  Return: GNTST_*. */
static int disk_copy_piece(struct disk *d, uint64_t addr, uint8_t *buf,
			   uint32_t len, bool in)
{
	xengnttab_grant_copy_segment_t s = { .len = len };
	union xengnttab_copy_ptr *far = in ? &s.dest : &s.source;
	xen_pfn_t gfn = addr >> 12;
	uint8_t *p;

	if (addr & TOY_GRANT) {
		far->foreign.ref = toy_grant_ref(addr);
		far->foreign.offset = addr & 4095;
		far->foreign.domid = DOM;
		(in ? &s.source : &s.dest)->virt = buf;
		s.flags = in ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
		MUST(!xengnttab_grant_copy(d->g, 1, &s));
		return s.status;
	}
	MUST(d->plain_too);
	p = xenforeignmemory_map(d->f, DOM, PROT_READ | PROT_WRITE, 1, &gfn,
				 NULL);
	MUST(p);
	memcpy(in ? p + (addr & 4095) : buf, in ? buf : p + (addr & 4095), len);
	MUST(!xenforeignmemory_unmap(d->f, p, 1));
	return 0;
}

static int disk_copy(struct disk *d, uint64_t addr, void *buf, uint32_t len,
		     bool in)
{
	uint32_t at, n;
	int r = 0;

	for (at = 0; at < len && !r; at += n) {
		n = 4096 - ((addr + at) & 4095);
		n = n < len - at ? n : len - at;
		r = disk_copy_piece(d, addr + at, (uint8_t *)buf + at, n, in);
	}
	return r;
}

/* What the device may only read it cannot write: not here, not in a mapping. */
static void disk_check_readonly(struct disk *d, const struct part *p)
{
	uint8_t byte;

	if (p->in || !(p->addr & TOY_GRANT))
		return;
	MUST(!disk_copy(d, p->addr, &byte, 1, false));
	MUST(disk_copy(d, p->addr, &byte, 1, true) == GNTST_general_error);
	MUST(!disk_map(d, p->addr, p->len, PROT_READ | PROT_WRITE));
	MUST(errno == EINVAL);
}

static unsigned int disk_walk(struct disk *d, uint16_t head,
			      struct part part[MAX_PARTS])
{
	struct vring_desc copy[MAX_PARTS], *table = d->desc, *e;
	unsigned int n = 0, at = head;
	struct part t;

	if (table[head].flags & VRING_DESC_F_INDIRECT) {
		t = (struct part){ table[head].addr, table[head].len, false };
		MUST(t.len <= sizeof(copy));
		disk_check_readonly(d, &t);
		MUST(!disk_copy(d, t.addr, copy, t.len, false));
		table = copy;
		at = 0;
	}
	do {
		MUST(n < MAX_PARTS);
		e = &table[at];
		part[n++] = (struct part){ e->addr, e->len,
					   e->flags & VRING_DESC_F_WRITE };
		disk_check_readonly(d, &part[n - 1]);
		at = e->next;
	} while (e->flags & VRING_DESC_F_NEXT);
	return n;
}

/* A small part is copied, a large one mapped if it can be. */
static void *disk_payload(struct disk *d, const struct part *p, uint8_t *data)
{
	uint8_t *map;

	if (p->len < 4096 || !(p->addr & TOY_GRANT)) {
		MUST(!disk_copy(d, p->addr, data, p->len, p->in));
		return NULL;
	}
	map = disk_map(d, p->addr, p->len, p->in ? PROT_READ | PROT_WRITE :
		       PROT_READ);
	MUST(map);
	memcpy(p->in ? map : data, p->in ? data : map, p->len);
	if (!strcmp(d->mode, "late"))
		return map;
	disk_unmap(d, map, p->len);
	return NULL;
}

static void disk_serve(struct disk *d, uint16_t head)
{
	struct virtio_blk_outhdr hdr;
	struct part part[MAX_PARTS];
	unsigned int n = disk_walk(d, head, part), i;
	uint8_t *at, status = 0;
	void *late = NULL;

	MUST(n >= 2 && part[0].len == sizeof(hdr) && part[n - 1].len == 1);
	MUST(!disk_copy(d, part[0].addr, &hdr, sizeof(hdr), false));
	MUST(hdr.sector * 512 < DISK_BYTES);
	at = d->data + hdr.sector * 512;
	for (i = 1; i + 1 < n; i++) {
		MUST(at + part[i].len <= d->data + DISK_BYTES);
		late = disk_payload(d, &part[i], at);
		at += part[i].len;
	}
	MUST(!disk_copy(d, part[n - 1].addr, &status, 1, true));
	i = d->used->idx;
	d->used->ring[i % d->size] = (struct vring_used_elem){ head, 1 };
	__atomic_store_n(&d->used->idx, i + 1, __ATOMIC_RELEASE);
	if (late) {
		usleep(100 * 1000);
		disk_unmap(d, late, part[1].len);
	}
}

static int disk_main(char **arg)
{
	struct disk d = { .mode = arg[0], .size = atoi(arg[1]) };
	const uint32_t bytes[3] = {
		16 * d.size, 6 + 2 * d.size, 6 + 8 * d.size,
	};
	unsigned int i;

	signal(SIGTERM, disk_stop);
	d.plain_too = !strcmp(d.mode, "mixed");
	MUST(d.g = xengnttab_open(NULL, 0));
	MUST(d.f = xenforeignmemory_open(NULL, 0));
	MUST(d.data = calloc(1, DISK_BYTES));
	for (i = 0; i < 3; i++)
		MUST(d.ring[i] = disk_map(&d, strtoull(arg[2 + i], NULL, 16),
					  bytes[i], PROT_READ | PROT_WRITE));
	d.desc = d.ring[0];
	d.avail = d.ring[1];
	d.used = d.ring[2];
	d.used->flags = VRING_USED_F_NO_NOTIFY;
	server_ready();
	while (!disk_stopped) {
		if (__atomic_load_n(&d.avail->idx, __ATOMIC_ACQUIRE) == d.seen)
			sched_yield();
		else
			disk_serve(&d, d.avail->ring[d.seen++ % d.size]);
	}
	if (!strcmp(d.mode, "keeps"))
		return pause();
	for (i = 0; i < 3; i++)
		disk_unmap(&d, d.ring[i], bytes[i]);
	MUST(!xengnttab_close(d.g) && !xenforeignmemory_close(d.f));
	free(d.data);
	return 0;
}

/* ---- the driver ---- */

static struct toy *t;
static struct toyblk *b;
static struct toyblk_vq *q;
static struct toy_proc *p;

/* A driver whose device has agreed to everything. */
static void start(const char *mode, unsigned int size,
		  const struct toyblk_conf *conf)
{
	char arg[4][24];

	t = toy_new(&(struct toy_conf){ .domid = DOM });
	b = calloc(1, sizeof(*b));
	assert_non_null(b);
	b->t = t;
	b->conf = *conf;
	b->conf.irq = TOYBLK_POLL;
	b->features = TOYBLK_F(VIRTIO_F_ACCESS_PLATFORM) |
		      TOYBLK_F(VIRTIO_F_VERSION_1);
	q = &b->vq[0];
	q->b = b;
	q->size = size;
	toyblk_make_vq(q);
	snprintf(arg[0], sizeof(arg[0]), "%u", size);
	snprintf(arg[1], sizeof(arg[1]), "%#" PRIx64, q->desc_addr);
	snprintf(arg[2], sizeof(arg[2]), "%#" PRIx64, q->avail_addr);
	snprintf(arg[3], sizeof(arg[3]), "%#" PRIx64, q->used_addr);
	p = toy_spawn(t, "/proc/self/exe", mode, arg[0], arg[1], arg[2],
		      arg[3], NULL);
	if (toy_ready(p, TOY_MS))
		fail_msg("not ready: %s", toy_log(p));
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(b);
	toy_free(t);
	b = NULL;
	t = NULL;
	return 0;
}

/* The device lets go of everything, and so does the driver. */
static void stop(void)
{
	assert_int_equal(t->dom->gnttab.given, q->ring_pages);
	toy_kill(p, SIGTERM);
	if (toy_exit(p, TOY_MS))
		fail_msg("%s", toy_log(p));
	toyblk_revoke_vq(q);
	assert_int_equal(t->dom->gnttab.given, 0);
	assert_int_equal(t->dom->gnttab.mapped, 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_int_equal(t->xen.hyp->grants_in_use, 0);
	assert_no_fault(t);
}

static void rw(uint64_t gpa, uint32_t bytes, unsigned int seed)
{
	uint64_t sector = seed * 8 % 1024;
	uint8_t *buf = toy_ptr(t, gpa, bytes);

	path_fill(buf, sector, bytes, seed);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, sector, gpa, bytes),
			 0);
	memset(buf - 8, 0xee, bytes + 16);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, sector, gpa, bytes),
			 0);
	path_check(buf, sector, bytes, seed);
	assert_int_equal(buf[-1], 0xee);
	assert_int_equal(buf[bytes], 0xee);
}

/* Buffers that fill pages, that do not, and that begin and end inside one. */
static void exercise(unsigned int rounds)
{
	uint64_t gpa = toy_alloc(t, 64 * 4096, 4096);
	static const struct {
		uint32_t	at, bytes;
	} use[] = {
		{ 4096, 512 }, { 4096, 4096 }, { 4096, 16384 },
		{ 8192, 131072 }, { 8184, 512 }, { 4608, 4096 },
		{ 4104, 65536 }, { 7168, 8192 },
	};
	unsigned int i;

	for (i = 0; i < rounds; i++)
		rw(gpa + use[i % 8].at, use[i % 8].bytes, i + 1);
}

static void test_direct(void **state)
{
	(void)state;
	start("good", 64, &(struct toyblk_conf){ .grants = true });
	exercise(200);
	assert_int_not_equal(t->dom->gnttab.most_mapped, 0);
	stop();
}

/* Rings of seven pages, none beside the one before it. */
static void test_indirect(void **state)
{
	const struct hyp_grant *e;
	unsigned int i;

	(void)state;
	start("good", 1024, &(struct toyblk_conf){
		.grants = true, .indirect = true,
	});
	assert_int_equal(q->ring_pages, 7);
	e = &t->dom->gnttab.entry[toy_grant_ref(q->desc_addr)];
	for (i = 1; i < 7; i++)
		assert_true(e[i].given && !e[i].readonly &&
			    e[i].gfn != e[i - 1].gfn + 1);
	exercise(1500);
	stop();
}

static void test_mixed(void **state)
{
	unsigned int indirect;

	for (indirect = 0; indirect < 2; indirect++) {
		start("mixed", 16, &(struct toyblk_conf){
			.grants = true, .mix = MIX_REQUESTS,
			.indirect = indirect,
		});
		exercise(32);
		assert_true(toy_calls(t, "xenforeignmemory_map") > 32);
		stop();
		teardown(state);
		start("mixed", 16, &(struct toyblk_conf){
			.grants = true, .mix = MIX_SEGMENTS,
			.indirect = indirect,
		});
		exercise(32);
		assert_true(toy_calls(t, "xenforeignmemory_map") > 32);
		stop();
		teardown(state);
	}
}

/* Many at once, which have granted the pages that their headers share. */
static void test_in_flight(void **state)
{
	uint64_t gpa;
	unsigned int i, round;
	int r;

	(void)state;
	start("good", 256, &(struct toyblk_conf){
		.grants = true, .indirect = true,
	});
	gpa = toy_alloc(t, 64 * 8192, 4096);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 64; i++)
			assert_true(toyblk_submit(q, VIRTIO_BLK_T_IN, i * 16,
						  gpa + i * 8192 + 512,
						  6144) >= 0);
		for (i = 0; i < 64; i++) {
			r = toyblk_reap(q, NULL, TOY_MS);
			assert_true(r >= 0);
			assert_int_equal(toyblk_head_status(q, r), 0);
		}
	}
	stop();
}

/* A reset takes back what was in flight. */
static void test_reset(void **state)
{
	uint64_t gpa;

	(void)state;
	start("good", 64, &(struct toyblk_conf){ .grants = true });
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	gpa = toy_alloc(t, 8192, 4096);
	assert_true(toyblk_submit(q, VIRTIO_BLK_T_IN, 0, gpa, 8192) >= 0);
	assert_int_equal(t->dom->gnttab.given, q->ring_pages + 4);
	toyblk_revoke_vq(q);
	assert_int_equal(t->dom->gnttab.given, 0);
	/* and the queue can be made again */
	toyblk_make_vq(q);
	assert_int_equal(t->dom->gnttab.given, q->ring_pages);
	assert_no_fault(t);
}

/* A device that answers while it still has the buffer is no good. */
static void test_late(void **state)
{
	uint64_t gpa;

	(void)state;
	start("late", 64, &(struct toyblk_conf){ .grants = true });
	gpa = toy_alloc(t, 4096, 4096);
	(void)toyblk_io(b, 0, VIRTIO_BLK_T_IN, 0, gpa, 4096);
	assert_int_equal(t->xen.hyp->grants_in_use, 1);
	assert_non_null(toy_fault(t));
	assert_non_null(strstr(toy_fault(t), "still in use by the backend"));
}

/* Nor is one that keeps rings over a reset. */
static void test_keeps(void **state)
{
	(void)state;
	start("keeps", 64, &(struct toyblk_conf){ .grants = true });
	toy_kill(p, SIGTERM);
	toyblk_revoke_vq(q);
	assert_int_equal(t->xen.hyp->grants_in_use, 1);
	assert_non_null(strstr(toy_fault(t), "still in use by the backend"));
}

/* Whoever cannot copy is told so, segment by segment. */
static void test_injected(void **state)
{
	(void)state;
	start("good", 64, &(struct toyblk_conf){ .grants = true });
	toy_fail_copy(t, 2, 1, GNTST_bad_page);
	assert_true(toyblk_submit(q, VIRTIO_BLK_T_FLUSH, 0, 0, 0) >= 0);
	assert_int_equal(toy_exit(p, TOY_MS), 3);
	assert_in_log(p, "disk_copy(d, p->addr, &byte, 1, true) == "
		      "GNTST_general_error");
	toy_clear_fault(t);
}

#define GRANTING_TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		GRANTING_TEST(test_direct),
		GRANTING_TEST(test_indirect),
		GRANTING_TEST(test_mixed),
		GRANTING_TEST(test_in_flight),
		GRANTING_TEST(test_reset),
		GRANTING_TEST(test_late),
		GRANTING_TEST(test_keeps),
		GRANTING_TEST(test_injected),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc == 6)
		return disk_main(argv + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
