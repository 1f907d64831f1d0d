/* SPDX-License-Identifier: MIT */
/*
 * A disk from the guest's first config read to data in the image: what the
 * device says it is, every kind of request, and every way to ask for one and
 * to hear of its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

#define IMAGE_BYTES	(64 * MB)
#define SECTORS		(IMAGE_BYTES / 512)

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *slow;
static char img[128], spec[256];

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 4 });
	toy_image(t, "disk.img", IMAGE_BYTES, img);
	snprintf(spec, sizeof(spec), "blk,bdf=00:18.0,path=%s,serial=toy-disk",
		 img);
	return 0;
}

static int setup_hvm(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .type = DOM_HVM, .vcpus = 2 });
	toy_image(t, "disk.img", IMAGE_BYTES, img);
	snprintf(spec, sizeof(spec), "blk,path=%s", img);
	return 0;
}

static int setup_slow(void **state)
{
	setup(state);
	slow = path_slow_open("", spec, sizeof(spec));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	path_end(&t, &b, &slow);
	return 0;
}

/* ---- what it says it is ---- */

static unsigned int cfg(unsigned int reg, unsigned int size)
{
	return toy_cfg_read(t, 0, BDF, reg, size);
}

static void test_enumeration(void **state)
{
	unsigned int bdf[4];
	struct toy_bar bar[6];

	(void)state;
	p = path_run(t, spec, NULL);
	assert_int_equal(toy_servers(t), 1);
	assert_int_equal(toy_pci_scan(t, bdf, 4), 1);
	assert_int_equal(bdf[0], BDF);
	assert_int_equal(cfg(PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(cfg(PCI_DEVICE_ID, 2), 0x1042);
	assert_true(cfg(PCI_REVISION_ID, 1) >= 1);
	assert_int_equal(cfg(PCI_CLASS_DEVICE + 1, 1), 1);	/* storage */
	assert_int_equal(cfg(PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_NORMAL);
	assert_true(cfg(PCI_SUBSYSTEM_ID, 2) >= 0x40);
	assert_int_equal(cfg(PCI_INTERRUPT_PIN, 1), 0);		/* PVH */
	assert_int_equal(cfg(PCI_COMMAND, 2), 0);
	/* other functions of the slot, other slots: nobody */
	assert_int_equal(toy_cfg_read(t, 0, BDF + 1, 0, 4), 0xffffffff);
	/* parts of a register */
	assert_int_equal(cfg(1, 1), 0x1a);
	assert_int_equal(cfg(2, 1), 0x42);
	assert_int_equal(cfg(0xfc, 4), 0);

	toy_pci_bars(t, 0, BDF, true, bar);
	assert_true(!bar[0].io && bar[0].size >= 4096);
	assert_int_equal(toy_cfg_read(t, 0, BDF, PCI_BASE_ADDRESS_0, 4) & ~15,
			 bar[0].addr);
	assert_int_equal(toy_mem_read(t, 0, bar[0].addr, 4), 0xffffffff);
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(toy_mem_read(t, 0, bar[0].addr, 4), 0);
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, 0);
	assert_int_equal(toy_mem_read(t, 0, bar[0].addr, 4), 0xffffffff);
	path_stop(t, p);
}

static void test_configuration(void **state)
{
	struct virtio_blk_config c;
	uint8_t *raw = (uint8_t *)&c;
	uint16_t gen;
	unsigned int i;

	(void)state;
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=3,block-size=4096",
		 img);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = 3 });
	gen = common_read(b, CFGGENERATION, 1);
	for (i = 0; i < b->device.len && i < sizeof(c); i++)
		raw[i] = toyblk_read(b, &b->device, i, 1);
	assert_int_equal(common_read(b, CFGGENERATION, 1), gen);
	assert_int_equal(c.capacity, SECTORS);
	assert_int_equal(toyblk_read(b, &b->device, 0, 4), SECTORS);
	assert_int_equal(c.blk_size, 4096);
	assert_int_equal(c.num_queues, 3);
	assert_true(c.seg_max >= 1 && c.seg_max <= 254);
	assert_int_equal(common_read(b, NUMQ, 2), 3);
	assert_int_equal(b->nr_vectors, 4);
	/* two rooms of one length: a queue, and one that does not exist */
	common_write(b, Q_SELECT, 2, 3);
	assert_int_equal(common_read(b, Q_SIZE, 2), 0);
	common_write(b, Q_SELECT, 2, 2);
	assert_int_equal(common_read(b, Q_SIZE, 2), 256);
	assert_true(b->offered & TOYBLK_F(VIRTIO_F_VERSION_1));
	assert_true(b->offered & TOYBLK_F(VIRTIO_F_ACCESS_PLATFORM));
	assert_true(b->offered & TOYBLK_F(VIRTIO_F_RING_RESET));
	assert_true(b->offered & TOYBLK_F(VIRTIO_RING_F_EVENT_IDX));
	assert_true(b->offered & TOYBLK_F(VIRTIO_RING_F_INDIRECT_DESC));
	assert_true(b->offered & TOYBLK_F(VIRTIO_BLK_F_MQ));
	assert_false(b->offered & TOYBLK_F(VIRTIO_BLK_F_RO));
	path_stop(t, p);
}

/* Firmware takes VERSION_1 and little else; without that it must not start. */
static void test_negotiation(void **state)
{
	(void)state;
	PATH_PLAIN_ONLY();
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){
		.features = TOYBLK_F(VIRTIO_F_VERSION_1), .irq = TOYBLK_POLL,
	});
	assert_int_equal(b->features, TOYBLK_F(VIRTIO_F_VERSION_1));
	path_exercise(b, 0, 0, 4096, 1);
	/* a legacy driver */
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(toyblk_negotiate(b, TOYBLK_F(VIRTIO_BLK_F_FLUSH)),
			 -EPROTO);
	/* what was not offered */
	assert_int_equal(toyblk_reset(b), 0);
	common_write(b, STATUS, 1, 3);
	common_write(b, GFSELECT, 4, 1);
	common_write(b, GF, 4, 1 | 1u << (VIRTIO_F_RING_PACKED - 32));
	common_write(b, STATUS, 1, 11);
	assert_int_equal(toyblk_status(b), 3);
	/* features cannot change after FEATURES_OK, and then it all works */
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){ 0 }), 0);
	common_write(b, GFSELECT, 4, 1);
	common_write(b, GF, 4, 0);
	assert_int_equal(common_read(b, GF, 4), b->features >> 32);
	path_exercise(b, 0, 8, 4096, 2);
	path_stop(t, p);
}

/* ---- all ways to ask and to hear ---- */

static const char *const irq_names[] = { "MSI-X", "INTx", "polling" };
static const char *const bell_names[] = { "memory", "port", "window" };

/* A few sizes by each way; the interrupt must come, not only the data. */
static void try_way(const struct toyblk_conf *conf, unsigned int seed)
{
	uint64_t mark = t->next_gpa, gpa = path_buffer(b, 4096);
	struct toyblk_vq *q = &b->vq[0];
	int head, r;

	r = toyblk_start(b, conf);
	if (r)
		fail_msg("%s, %s: does not start", irq_names[conf->irq],
			 bell_names[conf->doorbell]);
	path_exercise(b, 0, seed * 512, 512, seed);
	path_exercise(b, 0, seed * 512 + 8, 4096, seed);
	path_exercise(b, 0, seed * 512 + 64, 65536, seed);
	head = toyblk_submit(q, VIRTIO_BLK_T_IN, seed * 512, gpa, 512);
	assert_true(head >= 0);
	(void)toyblk_wait_irq(q, 0);		/* forget older ones */
	toyblk_kick(q);
	if (conf->irq != TOYBLK_POLL)
		assert_int_equal(toyblk_wait_irq(q, TOY_MS), 0);
	assert_int_equal(toyblk_reap(q, NULL, TOY_MS), head);
	path_check(toy_ptr(t, gpa, 512), seed * 512, 512, seed);
	assert_int_equal(toyblk_head_status(q, head), VIRTIO_BLK_S_OK);
	path_image_check(img, seed * 512 + 64, 65536, seed);
	if (conf->irq == TOYBLK_POLL)
		assert_int_equal(toy_msi_count(t, q->msi_addr, q->msi_data),
				 q->msi_seen);
	t->next_gpa = mark;
}

static void try_all_ways(bool intx)
{
	struct toyblk_conf conf;
	unsigned int n;

	for (n = 0; n < 36; n++) {
		conf = (struct toyblk_conf){
			.irq = n % 3, .doorbell = n / 3 % 3,
			.indirect = n / 9 % 2,
			.without = n / 18 % 2 ?
				TOYBLK_F(VIRTIO_RING_F_EVENT_IDX) : 0,
		};
		if (conf.irq == TOYBLK_INTX && !intx)
			continue;
		try_way(&conf, n + 1);
	}
}

static void test_all_ways_pvh(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	try_all_ways(false);
	path_stop(t, p);
}

static void test_all_ways_hvm(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	assert_int_equal(cfg(PCI_INTERRUPT_PIN, 1), 1);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	try_all_ways(true);
	assert_int_equal(toy_intx_level(t, SLOT, 0), 0);
	path_stop(t, p);
}

/* INTX_DISABLE keeps the line low and loses nothing. */
static void test_intx_disable(void **state)
{
	uint64_t gpa;
	int head;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .irq = TOYBLK_INTX });
	gpa = path_buffer(b, 4096);
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, cfg(PCI_COMMAND, 2) |
		      PCI_COMMAND_INTX_DISABLE);
	head = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0, gpa, 512);
	toyblk_kick(&b->vq[0]);
	wait_until(t, cfg(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	assert_int_equal(toy_intx_level(t, SLOT, 0), 0);
	assert_int_equal(t->dom->intx_rises[SLOT][0], 0);
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, cfg(PCI_COMMAND, 2) &
		      ~PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(toy_intx_wait(t, SLOT, 0, 1, TOY_MS), 0);
	assert_int_equal(toyblk_read(b, &b->isr, 0, 1), 1);
	assert_int_equal(toy_intx_level(t, SLOT, 0), 0);
	assert_int_equal(toyblk_read(b, &b->isr, 0, 1), 0);
	assert_int_equal(toyblk_get(&b->vq[0], NULL), head);
	path_stop(t, p);
}

/* Two functions of a slot: the line is low when neither wants it high. */
static void test_intx_shared(void **state)
{
	const struct toyblk_conf conf = { .irq = TOYBLK_INTX };
	struct toyblk *other;
	unsigned int i;

	(void)state;
	snprintf(spec, sizeof(spec), "blk,path=%s,bdf=00:18.0", img);
	p = path_run(t, spec, "blk,engine=null,size=1M,bdf=00:18.1", NULL);
	b = path_disk(t, SLOT, &conf);
	assert_int_equal(toyblk_probe(t, 0, TOY_BDF(SLOT) | 1, &other), 0);
	assert_int_equal(toyblk_start(other, &conf), 0);
	for (i = 0; i < 2; i++) {
		struct toyblk *first = i ? other : b, *last = i ? b : other;

		(void)toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
				    path_buffer(b, 512), 512);
		toyblk_kick(&b->vq[0]);
		(void)toyblk_submit(&other->vq[0], VIRTIO_BLK_T_IN, 0,
				    path_buffer(b, 512), 512);
		toyblk_kick(&other->vq[0]);
		wait_until(t, toyblk_get(&b->vq[0], NULL) >= 0);
		wait_until(t, toyblk_get(&other->vq[0], NULL) >= 0);
		assert_int_equal(toy_intx_wait(t, SLOT, 0, 1, TOY_MS), 0);
		wait_until(t, toyblk_read(first, &first->isr, 0, 1) == 1);
		assert_int_equal(toy_intx_level(t, SLOT, 0), 1);
		wait_until(t, toyblk_read(last, &last->isr, 0, 1) == 1);
		assert_int_equal(toy_intx_level(t, SLOT, 0), 0);
	}
	toyblk_free(other);
	path_stop(t, p);
}

/* A masked vector keeps its interrupt pending; unmasking sends it, once. */
static void test_msix_masks(void **state)
{
	struct toyblk_vq *q;
	uint64_t gpa;
	int head;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .irq = TOYBLK_MSIX });
	q = &b->vq[0];
	gpa = path_buffer(b, 4096);

	toyblk_vector(b, 1, q->msi_addr, q->msi_data, 1);
	head = toyblk_submit(q, VIRTIO_BLK_T_IN, 0, gpa, 512);
	toyblk_kick(q);
	wait_until(t, toyblk_read(b, &b->pba, 0, 4) & 2);
	assert_int_equal(toyblk_get(q, NULL), head);
	assert_int_equal(toy_msi_count(t, q->msi_addr, q->msi_data), 0);
	toyblk_vector(b, 1, q->msi_addr, q->msi_data, 0);
	assert_int_equal(toy_msi_wait(t, q->msi_addr, q->msi_data, 0, TOY_MS),
			 0);
	assert_int_equal(toyblk_read(b, &b->pba, 0, 4), 0);
	assert_int_equal(toy_msi_count(t, q->msi_addr, q->msi_data), 1);

	/* the whole function masked; vector 0 of a pirq never is */
	toy_cfg_write(t, 0, BDF, b->msix + PCI_MSIX_FLAGS, 2,
		      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	head = toyblk_submit(q, VIRTIO_BLK_T_IN, 0, gpa, 512);
	toyblk_kick(q);
	wait_until(t, toyblk_read(b, &b->pba, 0, 4) & 2);
	assert_int_equal(toy_msi_count(t, q->msi_addr, q->msi_data), 1);
	toy_cfg_write(t, 0, BDF, b->msix + PCI_MSIX_FLAGS, 2,
		      PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(toy_msi_wait(t, q->msi_addr, q->msi_data, 1, TOY_MS),
			 0);
	assert_int_equal(toyblk_get(q, NULL), head);

	toyblk_vector(b, 1, 0xfee12000, 0, 1);
	head = toyblk_submit(q, VIRTIO_BLK_T_IN, 0, gpa, 512);
	toyblk_kick(q);
	assert_int_equal(toy_msi_wait(t, 0xfee12000, 0, 0, TOY_MS), 0);
	path_stop(t, p);
}

/* ---- kinds of request ---- */

static void test_get_id(void **state)
{
	uint64_t gpa;
	uint32_t len;
	int head;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4096);
	memset(toy_ptr(t, gpa, 64), 0x5a, 64);
	head = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_GET_ID, 0, gpa, 20);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(toyblk_reap(&b->vq[0], &len, TOY_MS), head);
	assert_int_equal(toyblk_head_status(&b->vq[0], head), 0);
	assert_int_equal(len, 21);
	assert_memory_equal(toy_ptr(t, gpa, 21),
			    "toy-disk\0\0\0\0\0\0\0\0\0\0\0\0\x5a", 21);
	/* room for less, and for more */
	memset(toy_ptr(t, gpa, 64), 0x5a, 64);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_GET_ID, 0, gpa, 3), 0);
	assert_memory_equal(toy_ptr(t, gpa, 4), "toy\x5a", 4);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_GET_ID, 0, gpa, 64), 0);
	assert_memory_equal(toy_ptr(t, gpa, 9), "toy-disk", 9);
	path_stop(t, p);
}

static void test_discard_and_zeroes(void **state)
{
	struct stat before, after;

	(void)state;
	path_image_fill(img, 0, 4 * MB, 9);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	assert_true(b->features & TOYBLK_F(VIRTIO_BLK_F_DISCARD));
	assert_true(b->features & TOYBLK_F(VIRTIO_BLK_F_WRITE_ZEROES));
	assert_int_equal(stat(img, &before), 0);
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_DISCARD, 0, 2048, 0),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(stat(img, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_true(path_image_is_zero(img, 0, MB));
	path_image_check(img, 2048, MB, 9);

	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_WRITE_ZEROES, 2049, 3,
				      0), VIRTIO_BLK_S_OK);
	path_image_check(img, 2048, 512, 9);
	assert_true(path_image_is_zero(img, 2049, 3 * 512));
	path_image_check(img, 2052, 512, 9);
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_WRITE_ZEROES, 4096,
				      2048, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
			 VIRTIO_BLK_S_OK);
	assert_true(path_image_is_zero(img, 4096, MB));
	path_image_check(img, 6144, MB, 9);

	/* flags that are not for it, and ranges that do not exist */
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_DISCARD, 6144, 8, 1),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_WRITE_ZEROES, 6144, 8,
				      2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_DISCARD, SECTORS - 1,
				      2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(toyblk_range(b, 0, VIRTIO_BLK_T_WRITE_ZEROES,
				      ~0ull - 7, 16, 0), VIRTIO_BLK_S_IOERR);
	path_image_check(img, 6144, MB, 9);
	path_stop(t, p);
}

static void test_wrong_requests(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		int status;
	} bad[] = {
		{ VIRTIO_BLK_T_IN, SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, ~0ull, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, ~0ull / 512, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 1ull << 55, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 511, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 1, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, 15, VIRTIO_BLK_S_IOERR },
		{ 2, 0, 512, VIRTIO_BLK_S_UNSUPP },	/* SCSI command */
		{ 0x80000000, 0, 512, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_SECURE_ERASE, 0, 16, VIRTIO_BLK_S_UNSUPP },
	};
	uint64_t gpa;
	unsigned int i;
	int r;

	(void)state;
	path_image_fill(img, 0, MB, 5);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4096);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = toyblk_io(b, 0, bad[i].type, bad[i].sector, gpa,
			      bad[i].len);
		if (r != bad[i].status)
			fail_msg("type %u, sector %#llx, %u bytes: %d, not %d",
				 bad[i].type,
				 (unsigned long long)bad[i].sector,
				 bad[i].len, r, bad[i].status);
	}
	/* they were answers, not breakdowns */
	assert_false(toyblk_needs_reset(b));
	path_image_check(img, 0, MB, 5);
	path_exercise(b, 0, SECTORS - 8, 4096, 6);
	path_stop(t, p);
}

static void test_read_only(void **state)
{
	uint64_t gpa;

	(void)state;
	path_image_fill(img, 0, MB, 3);
	assert_int_equal(chmod(img, 0444), 0);
	snprintf(spec, sizeof(spec), "blk,path=%s,readonly=on", img);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	assert_true(b->features & TOYBLK_F(VIRTIO_BLK_F_RO));
	gpa = path_buffer(b, 4096);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 4, gpa, 4096), 0);
	path_check(toy_ptr(t, gpa, 4096), 4, 4096, 3);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, 0, gpa, 4096),
			 VIRTIO_BLK_S_IOERR);
	assert_int_not_equal(toyblk_range(b, 0, VIRTIO_BLK_T_DISCARD, 0, 8, 0),
			     VIRTIO_BLK_S_OK);
	assert_int_not_equal(toyblk_range(b, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0,
					  8, 0), VIRTIO_BLK_S_OK);
	path_image_check(img, 0, MB, 3);
	path_stop(t, p);
}

static void test_4k_blocks(void **state)
{
	uint64_t gpa;

	(void)state;
	snprintf(spec, sizeof(spec), "blk,path=%s,block-size=4096", img);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 8192);
	path_exercise(b, 0, 8, 4096, 7);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 8, gpa, 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, 1, gpa, 4096),
			 VIRTIO_BLK_S_IOERR);
	path_image_check(img, 8, 4096, 7);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 0, gpa, 8192), 0);
	path_stop(t, p);
}

/* ---- how memory is laid out ---- */

/* 2.7.4.2: the device must not care how a chain is cut into descriptors. */
static void test_any_layout(void **state)
{
	struct toyblk_sg sg[12];
	struct toyblk_vq *q;
	uint64_t hdr, data;
	uint8_t *h;
	unsigned int n = 0, i;
	uint32_t len;
	int head;

	(void)state;
	path_image_fill(img, 16, 1024, 4);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	q = &b->vq[0];
	hdr = path_buffer(b, 4096);
	data = path_buffer(b, 8192) + 4000;	/* odd, across a page */
	h = toy_ptr(t, hdr, 64);
	*(uint32_t *)h = VIRTIO_BLK_T_IN;
	*(uint64_t *)(h + 8) = 16;
	/* header in three, data and status in five, one of them empty */
	sg[n++] = (struct toyblk_sg){ hdr, 1, false };
	sg[n++] = (struct toyblk_sg){ hdr + 1, 10, false };
	sg[n++] = (struct toyblk_sg){ hdr + 11, 5, false };
	sg[n++] = (struct toyblk_sg){ data, 100, true };
	sg[n++] = (struct toyblk_sg){ data + 100, 1, true };
	sg[n++] = (struct toyblk_sg){ data + 101, 423, true };
	sg[n++] = (struct toyblk_sg){ data + 524, 501, true };
	head = toyblk_add(q, sg, n, false);
	h = toy_ptr(t, data, 1025);
	h[1024] = 0xff;
	toyblk_kick(q);
	assert_int_equal(toyblk_reap(q, &len, TOY_MS), head);
	assert_int_equal(len, 1025);
	assert_int_equal(h[1024], VIRTIO_BLK_S_OK);
	path_check(h, 16, 1024, 4);

	/* a write whose header and data share a descriptor */
	h = toy_ptr(t, hdr, 2048);
	*(uint32_t *)h = VIRTIO_BLK_T_OUT;
	*(uint64_t *)(h + 8) = 32;
	path_fill(h + 16, 32, 512, 8);
	sg[0] = (struct toyblk_sg){ hdr, 16 + 512, false };
	sg[1] = (struct toyblk_sg){ hdr + 1000, 1, true };
	for (i = 0; i < 2; i++) {
		h[1000] = 0xff;
		head = toyblk_add(q, sg, 2, i);
		toyblk_kick(q);
		assert_int_equal(toyblk_reap(q, &len, TOY_MS), head);
		assert_int_equal(len, 1);
		assert_int_equal(h[1000], VIRTIO_BLK_S_OK);
		path_image_check(img, 32, 512, 8);
	}
	path_stop(t, p);
}

/* As many descriptors as the ring has, and data in every one. */
static void test_long_chains(void **state)
{
	static struct toyblk_sg sg[64];
	uint64_t gpa, hdr;
	struct toyblk_vq *q;
	uint8_t *h;
	unsigned int i;
	int head;

	(void)state;
	path_image_fill(img, 0, MB, 2);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .size = 64 });
	q = &b->vq[0];
	hdr = path_buffer(b, 4096);
	gpa = path_buffer(b, 62 * 8192);
	h = toy_ptr(t, hdr, 4096);
	*(uint32_t *)h = VIRTIO_BLK_T_IN;
	h[32] = 0xff;
	sg[0] = (struct toyblk_sg){ hdr, 16, false };
	for (i = 0; i < 62; i++)	/* every other page, backwards */
		sg[1 + i] = (struct toyblk_sg){ gpa + (61 - i) * 8192, 4096,
						true };
	sg[63] = (struct toyblk_sg){ hdr + 32, 1, true };
	head = toyblk_add(q, sg, 64, false);
	assert_true(head >= 0);
	toyblk_kick(q);
	assert_int_equal(toyblk_reap(q, NULL, TOY_MS), head);
	assert_int_equal(h[32], VIRTIO_BLK_S_OK);
	for (i = 0; i < 62; i++)
		path_check(toy_ptr(t, sg[1 + i].gpa, 4096), i * 8, 4096, 2);
	/* and one of 4 MiB in a single descriptor */
	path_exercise(b, 0, 4096, 4 * MB, 12);
	path_image_check(img, 4096, 4 * MB, 12);
	path_stop(t, p);
}

static void test_ring_sizes(void **state)
{
	static const unsigned int sizes[] = { 4, 8, 64, 128, 256 };
	struct toyblk_conf conf = { 0 };
	unsigned int i, j;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &conf);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		conf.size = sizes[i];
		assert_int_equal(toyblk_start(b, &conf), 0);
		for (j = 0; j < 20; j++)	/* round and round */
			path_exercise(b, 0, j * 8, 4096, i + j);
	}
	/* 1 and 2 have room for nothing but an indirect request */
	for (i = 1; i <= 2; i++) {
		conf = (struct toyblk_conf){ .size = i, .indirect = true };
		assert_int_equal(toyblk_start(b, &conf), 0);
		for (j = 0; j < 20; j++)
			path_exercise(b, 0, j * 8, 4096, i + j);
	}
	/* not powers of two, or too large: refused, the old one stays */
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(toyblk_negotiate(b, ~0ull), 0);
	assert_int_equal(toyblk_setup_vq(b, 0, 100), -EINVAL);
	assert_int_equal(toyblk_setup_vq(b, 0, 512), -EINVAL);
	path_stop(t, p);

	snprintf(spec, sizeof(spec), "blk,path=%s,queue-size=1024", img);
	p = path_run(t, spec, NULL);
	toyblk_free(b);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	assert_int_equal(b->vq[0].size, 1024);
	path_exercise(b, 0, 0, 65536, 1);
	path_stop(t, p);
}

/* ---- many at once ---- */

#define DEPTH	16

struct worker {
	unsigned int	queue;
	pthread_t	thread;
	int		bad;
};

/* Each owns a stretch of the disk, and reads what it wrote, DEPTH at once. */
static void *worker(void *arg)
{
	struct worker *w = arg;
	struct toyblk_vq *q = &b->vq[w->queue];
	unsigned int round, i, n, head_slot[256];
	uint64_t base = w->queue * 16384, gpa[DEPTH];
	int head;

	for (i = 0; i < DEPTH; i++)
		gpa[i] = 0x1000000 + (w->queue * DEPTH + i) * 4096;
	for (round = 0; round < 40 && !w->bad; round++) {
		for (i = 0; i < DEPTH; i++) {
			uint64_t sector = base + i * 8;

			if (round % 2 == 0)
				path_fill(toy_ptr(t, gpa[i], 4096), sector,
					  4096, round);
			else
				memset(toy_ptr(t, gpa[i], 4096), 0, 4096);
			head = toyblk_submit(q, round % 2 ? VIRTIO_BLK_T_IN :
					     VIRTIO_BLK_T_OUT, sector, gpa[i],
					     4096);
			if (head < 0)
				w->bad = __LINE__;
			else
				head_slot[head] = i;
			if (i % 5 == 4)
				toyblk_kick(q);
		}
		toyblk_kick(q);
		for (n = 0; n < DEPTH && !w->bad; n++) {
			head = toyblk_reap(q, NULL, TOY_MS);
			if (head < 0 || toyblk_head_status(q, head)) {
				w->bad = __LINE__;
				break;
			}
			if (round % 2 == 0)
				continue;
			i = head_slot[head];
			if (*(uint64_t *)toy_ptr(t, gpa[i] + 4088, 8) !=
			    ((uint64_t)(round - 1) << 48 |
			     (base + i * 8 + 7) << 8 | 63))
				w->bad = __LINE__;
		}
	}
	return NULL;
}

static void run_workers(enum toyblk_irq irq)
{
	struct worker w[4] = { { 0 } };
	unsigned int i;

	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
		.queues = 4, .irq = irq }), 0);
	for (i = 0; i < 4; i++) {
		b->vq[i].vcpu = i;
		w[i].queue = i;
		pthread_create(&w[i].thread, NULL, worker, &w[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].bad)
			fail_msg("queue %u failed in line %d: %s", i, w[i].bad,
				 toy_fault(t) ? toy_fault(t) : "no fault");
	}
	for (i = 0; i < 4; i++)
		path_image_check(img, i * 16384, DEPTH * 4096, 38);
}

static void test_queues_at_once(void **state)
{
	(void)state;
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=4", img);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	run_workers(TOYBLK_MSIX);
	run_workers(TOYBLK_POLL);
	path_stop(t, p);
}

/* Several disks on one server, each with its own image. */
static void test_several_disks(void **state)
{
	struct toyblk *disk[3];
	char image[3][128], specs[3][256];
	unsigned int bdf[8], i;

	(void)state;
	for (i = 0; i < 3; i++) {
		snprintf(spec, sizeof(spec), "disk%u.img", i);
		toy_image(t, spec, (i + 1) * MB, image[i]);
	}
	snprintf(specs[0], 256, "blk,path=%s", image[0]);
	snprintf(specs[1], 256, "blk,path=%s,bdf=00:07.0", image[1]);
	snprintf(specs[2], 256, "blk,path=%s", image[2]);
	p = path_run(t, specs[0], specs[1], specs[2], NULL);
	assert_int_equal(toy_servers(t), 1);
	assert_int_equal(toy_pci_scan(t, bdf, 8), 3);
	assert_int_equal(bdf[0], TOY_BDF(0x07));
	assert_int_equal(bdf[1], TOY_BDF(0x18));
	assert_int_equal(bdf[2], TOY_BDF(0x19));
	disk[0] = path_disk(t, 0x18, &(struct toyblk_conf){ 0 });
	disk[1] = path_disk(t, 0x07, &(struct toyblk_conf){ 0 });
	disk[2] = path_disk(t, 0x19, &(struct toyblk_conf){ 0 });
	for (i = 0; i < 3; i++) {
		assert_int_equal(disk[i]->capacity, (i + 1) * 2048);
		path_exercise(disk[i], 0, 0, 65536, i + 1);
	}
	for (i = 0; i < 3; i++) {
		path_image_check(image[i], 0, 65536, i + 1);
		toyblk_free(disk[i]);
	}
	path_stop(t, p);
}

/* ---- caches ---- */

static void test_cache_modes(void **state)
{
	static const char *const mode[] = {
		"none", "writeback", "writethrough"
	};
	uint64_t gpa;
	unsigned int i;
	uint8_t wce;

	(void)state;
	toy_disk_image(t, "real.img", IMAGE_BYTES, img);
	for (i = 0; i < 3; i++) {
		snprintf(spec, sizeof(spec), "blk,path=%s,cache=%s", img,
			 mode[i]);
		p = path_run(t, spec, NULL);
		b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
		path_exercise(b, 0, 0, 4096, i + 1);
		path_exercise(b, 0, 1, 512, i + 2);
		path_exercise(b, 0, 7, 128 * 1024, i + 3);
		/* memory that no O_DIRECT would take */
		gpa = path_buffer(b, 65536) + 4;
		path_fill(toy_ptr(t, gpa, 8192), 800, 8192, i + 4);
		assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, 800, gpa,
					   8192), 0);
		path_image_check(img, 800, 8192, i + 4);
		assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 7, gpa + 3,
					   8192), 0);
		path_check(toy_ptr(t, gpa + 3, 8192), 7, 8192, i + 3);
		assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0),
				 0);
		/* the write-back toggle */
		wce = toyblk_read(b, &b->device, offsetof(struct
				  virtio_blk_config, wce), 1);
		assert_int_equal(wce, strcmp(mode[i], "writethrough") != 0);
		toyblk_write(b, &b->device, offsetof(struct virtio_blk_config,
						     wce), 1, !wce);
		assert_int_equal(toyblk_read(b, &b->device, offsetof(struct
				 virtio_blk_config, wce), 1), !wce);
		path_exercise(b, 0, 2000, 4096, i + 5);
		path_stop(t, p);
		toyblk_free(b);
		b = NULL;
	}
}

static void test_null_engine(void **state)
{
	uint64_t gpa;
	unsigned int i;

	(void)state;
	p = path_run(t, "blk,engine=null,size=1G", NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	assert_int_equal(b->capacity, 2097152);
	gpa = path_buffer(b, 4096);
	for (i = 0; i < 100; i++) {
		assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, i, gpa,
					   4096), 0);
		assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, i, gpa,
					   4096), 0);
	}
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	path_stop(t, p);
}

/* ---- a disk that takes its time ---- */

/* While the disk is silent, registers answer at once. */
static void test_silent_disk(void **state)
{
	unsigned int i;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4 * 4096);
	slowdisk_hold(slow);
	for (i = 0; i < 4; i++)
		assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, i * 8,
					  gpa + i * 4096, 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, 4, TOY_MS), 0);
	t->slowest_us = 0;
	for (i = 0; i < 200; i++)
		assert_int_equal(cfg(PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(slowdisk_held(slow), 4);
	/* generous: a busy machine and sanitizers; a disk's wait is for ever */
	assert_true(t->slowest_us < 1000000);
	slowdisk_release(slow, 0);
	for (i = 0; i < 4; i++)
		assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	path_stop(t, p);
}

/* The last one asked for is answered first; each to its own. */
static void test_out_of_order(void **state)
{
	unsigned int i;
	uint64_t gpa;
	int head[4];

	(void)state;
	path_slow_need(slow);
	path_fill(slowdisk_data(slow), 0, MB, 11);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4 * 4096);
	slowdisk_hold(slow);
	for (i = 0; i < 4; i++) {
		head[i] = toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, i * 8,
					gpa + i * 4096, 4096);
		toyblk_kick(&b->vq[0]);
		assert_int_equal(slowdisk_wait(slow, i + 1, TOY_MS), 0);
	}
	for (i = 4; i--;) {
		slowdisk_release_newest(slow);
		assert_int_equal(toyblk_reap(&b->vq[0], NULL, TOY_MS),
				 head[i]);
		path_check(toy_ptr(t, gpa + i * 4096, 4096), i * 8, 4096, 11);
	}
	path_stop(t, p);
}

static void test_disk_errors(void **state)
{
	uint32_t types[] = {
		VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH
	};
	unsigned int i;
	uint64_t gpa;
	int head;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4096);
	for (i = 0; i < 3; i++) {
		slowdisk_hold(slow);
		head = toyblk_submit(&b->vq[0], types[i], 0, gpa,
				     i == 2 ? 0 : 4096);
		toyblk_kick(&b->vq[0]);
		assert_int_equal(slowdisk_wait(slow, 1, TOY_MS), 0);
		slowdisk_release(slow, EIO);
		assert_int_equal(toyblk_reap(&b->vq[0], NULL, TOY_MS), head);
		assert_int_equal(toyblk_head_status(&b->vq[0], head),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(toyblk_io(b, 0, types[i], 0, gpa,
					   i == 2 ? 0 : 4096), 0);
	}
	path_stop(t, p);
}

/* A flush reaches the disk; write-through means one per write. */
static void test_durability(void **state)
{
	unsigned int before;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	snprintf(spec, sizeof(spec), "blk,path=%s,cache=writeback",
		 slowdisk_path(slow));
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = path_buffer(b, 4096);
	before = slowdisk_flushes(slow);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, 0, gpa, 4096), 0);
	assert_int_equal(slowdisk_flushes(slow), before);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	assert_int_equal(slowdisk_flushes(slow), before + 1);
	/* a driver without FLUSH relies on every write (5.2.6.2) */
	assert_int_equal(toyblk_start(b, &(struct toyblk_conf){
		.without = TOYBLK_F(VIRTIO_BLK_F_FLUSH) }), 0);
	before = slowdisk_flushes(slow);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_OUT, 0, gpa, 4096), 0);
	assert_true(slowdisk_flushes(slow) > before);
	path_stop(t, p);
}

#define BLK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define HVM_TEST(f) cmocka_unit_test_setup_teardown(f, setup_hvm, teardown)
#define SLOW_TEST(f) cmocka_unit_test_setup_teardown(f, setup_slow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLK_TEST(test_enumeration),
		BLK_TEST(test_configuration),
		BLK_TEST(test_negotiation),
		BLK_TEST(test_all_ways_pvh),
		HVM_TEST(test_all_ways_hvm),
		HVM_TEST(test_intx_disable),
		HVM_TEST(test_intx_shared),
		BLK_TEST(test_msix_masks),
		BLK_TEST(test_get_id),
		BLK_TEST(test_discard_and_zeroes),
		BLK_TEST(test_wrong_requests),
		BLK_TEST(test_read_only),
		BLK_TEST(test_4k_blocks),
		BLK_TEST(test_any_layout),
		BLK_TEST(test_long_chains),
		BLK_TEST(test_ring_sizes),
		BLK_TEST(test_queues_at_once),
		BLK_TEST(test_several_disks),
		BLK_TEST(test_cache_modes),
		BLK_TEST(test_null_engine),
		SLOW_TEST(test_silent_disk),
		SLOW_TEST(test_out_of_order),
		SLOW_TEST(test_disk_errors),
		SLOW_TEST(test_durability),
	};

	path_slow_prepare();
	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
