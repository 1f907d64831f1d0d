/* SPDX-License-Identifier: MIT */
/*
 * test_vdev.c: the device status machine, feature negotiation, both kinds of
 * reset, being broken, and draining, as a driver drives them.
 */
#include <errno.h>
#include "rig.h"
#include "unit.h"

#define RAM		(1u << 20)
#define RING_AT		FAKE_RAM
#define BUFFERS		(FAKE_RAM + (RAM / 2))
#define QUEUES		3
#define QUEUE_SIZE	16
#define OWN_FEATURE	(1ull << 5)	/* of struct probe */

struct world {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring[QUEUES];
};

static void world_open(struct world *w)
{
	unsigned int i;

	rig_init(&w->rig, RAM);
	probe_init(&w->probe, &w->rig, QUEUES, QUEUE_SIZE);
	rig_plug(&w->rig, &w->probe.vdev);
	rig_place(&w->rig);
	rig_msix_on(&w->rig);
	for (i = 0; i < QUEUES; i++)
		ring_init(&w->ring[i], &w->rig, i, QUEUE_SIZE,
			  i ? w->ring[i - 1].end : RING_AT);
	rig_run(&w->rig);
}

static void world_close(struct world *w)
{
	probe_fini(&w->probe, &w->rig);
}

static void bring_up(struct world *w, uint64_t features)
{
	unsigned int i;

	rig_negotiate(&w->rig, features);
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_MSIX, 0);
	for (i = 0; i < QUEUES; i++)
		ring_enable(&w->ring[i]);
	rig_ok(&w->rig);
	assert_int_equal(rig_status(&w->rig), S_RUNNING);
	rig_run(&w->rig);
}

static void go(struct world *w, unsigned int queue, uint16_t head)
{
	ring_desc(&w->ring[queue], head, BUFFERS, 16, D_WRITE, 0);
	ring_post(&w->ring[queue], head);
	ring_kick(&w->ring[queue]);
	rig_run(&w->rig);
}

static void push(struct world *w, unsigned int queue, uint16_t head)
{
	vq_push(&w->probe.vdev.vq[queue], head, 16);
	vq_flush_later(&w->probe.vdev.vq[queue]);
	w->probe.nkept--;
}

/* ---- status ---- */

static void test_status_bits(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(rig_status(&w.rig), 0);
	rig_status_set(&w.rig, S_ACK);
	assert_int_equal(rig_status(&w.rig), S_ACK);
	rig_status_set(&w.rig, S_DRIVER);	/* bits stay */
	assert_int_equal(rig_status(&w.rig), S_ACK | S_DRIVER);
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	rig_status_set(&w.rig, S_UP);
	assert_int_equal(rig_status(&w.rig), S_UP);
	rig_status_set(&w.rig, S_UP | S_NEEDS_RESET);	/* not the driver's */
	assert_int_equal(rig_status(&w.rig), S_UP);
	assert_false(vdev_is_running(&w.probe.vdev));
	assert_int_equal(w.probe.starts, 0);
	rig_ok(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_true(vdev_is_running(&w.probe.vdev));
	assert_int_equal(w.probe.starts, 1);
	rig_ok(&w.rig);				/* twice is once */
	assert_int_equal(w.probe.starts, 1);
	rig_status_set(&w.rig, S_FAILED);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_FAILED);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.probe.resets, 1);
	rig_status_set(&w.rig, 0);		/* again is fine */
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.probe.resets, 2);
	world_close(&w);
}

/* In one step; and without ACKNOWLEDGE and DRIVER, which say nothing. */
static void test_status_at_once(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	rig_status_set(&w.rig, S_RUNNING);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_int_equal(w.probe.starts, 1);
	rig_status_set(&w.rig, 0);
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	rig_status_set(&w.rig, S_FEATURES_OK | S_DRIVER_OK);
	assert_true(vdev_is_running(&w.probe.vdev));
	world_close(&w);
}

static void test_driver_ok_too_early(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_status_set(&w.rig, S_ACK | S_DRIVER);
	rig_status_set(&w.rig, S_ACK | S_DRIVER | S_DRIVER_OK);
	assert_int_equal(rig_status(&w.rig), S_ACK | S_DRIVER | S_NEEDS_RESET);
	assert_int_equal(w.probe.starts, 0);
	assert_int_equal(w.rig.irq.count, 0);

	/* Nor does it run when the rest follows. */
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	rig_status_set(&w.rig, S_RUNNING);
	assert_false(vdev_is_running(&w.probe.vdev));
	rig_status_set(&w.rig, 0);
	bring_up(&w, 0);
	go(&w, 0, 1);
	assert_int_equal(w.probe.taken, 1);
	world_close(&w);
}

/* All at once, but the features are refused. */
static void test_driver_ok_refused(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_accept(&w.rig, 1ull << VIRTIO_F_ACCESS_PLATFORM);
	rig_status_set(&w.rig, S_RUNNING);
	assert_int_equal(rig_status(&w.rig) & (S_FEATURES_OK | S_DRIVER_OK),
			 0);
	assert_int_equal(rig_status(&w.rig) & S_NEEDS_RESET, S_NEEDS_RESET);
	world_close(&w);
}

static void test_no_queues(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_negotiate(&w.rig, 0);
	rig_ok(&w.rig);
	ring_kick(&w.ring[0]);
	rig_run(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_int_equal(w.probe.runs, 0);
	assert_int_equal(w.rig.gm.maps_made, 0);
	world_close(&w);
}

/* ---- features ---- */

static void test_offer(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(rig_offered(&w.rig),
			 RIG_BASE_FEATURES | RIG_INDIRECT | RIG_EVENT_IDX |
			 RIG_RING_RESET | OWN_FEATURE);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_DFSELECT, 2);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_DF), 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_DFSELECT, 0xffffffff);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_DF), 0);
	world_close(&w);
}

static void test_refused(void **state)
{
	static const struct {
		uint64_t features;
		bool ok;
	} t[] = {
		{ RIG_BASE_FEATURES, true },
		{ RIG_BASE_FEATURES | OWN_FEATURE | RIG_RING_RESET, true },
		/* Firmware does not take ACCESS_PLATFORM. */
		{ 1ull << VIRTIO_F_VERSION_1, true },
		{ 0, false },
		{ 1ull << VIRTIO_F_ACCESS_PLATFORM, false },
		{ RIG_BASE_FEATURES | 1, false },
		{ RIG_BASE_FEATURES | 1ull << 63, false },
		{ RIG_BASE_FEATURES | 1ull << VIRTIO_F_RING_PACKED, false },
		{ RIG_BASE_FEATURES | 1ull << 38, false }, /* NOTIFICATION_DATA */
		{ ~0ull, false },
	};
	struct world w;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		world_open(&w);
		rig_status_set(&w.rig, S_ACK | S_DRIVER);
		rig_accept(&w.rig, t[i].features);
		rig_status_set(&w.rig, S_UP);
		assert_int_equal(rig_status(&w.rig),
				 t[i].ok ? S_UP : S_ACK | S_DRIVER);
		/* The driver may think again. */
		rig_accept(&w.rig, RIG_BASE_FEATURES);
		rig_status_set(&w.rig, S_UP);
		assert_int_equal(rig_status(&w.rig), S_UP);
		world_close(&w);
	}
}

/* A device that knows which of its features do not go together. */
static bool not_own_feature(const struct vdev *vdev)
{
	return !vdev_has(vdev, 5);
}

static void test_features_together(void **state)
{
	struct vdev_ops ops = probe_ops;
	struct world w;

	(void)state;
	world_open(&w);
	ops.features_ok = not_own_feature;
	w.probe.vdev.ops = &ops;
	rig_accept(&w.rig, RIG_BASE_FEATURES | OWN_FEATURE);
	rig_status_set(&w.rig, S_UP);
	assert_int_equal(rig_status(&w.rig), S_ACK | S_DRIVER);
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	rig_status_set(&w.rig, S_UP);
	assert_int_equal(rig_status(&w.rig), S_UP);
	world_close(&w);
}

static void test_features_register(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_accept(&w.rig, 0x1234567890abcdefull);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GFSELECT, 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_GF), 0x90abcdef);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GFSELECT, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_GF), 0x12345678);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GFSELECT, 2);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_GF), 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GF, 0xffffffff);	/* nowhere */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GFSELECT, 0xffffffff);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_GF, 0xffffffff);
	assert_int_equal(w.probe.vdev.st->driver_features,
			 0x1234567890abcdefull);

	/* Final with FEATURES_OK. */
	rig_negotiate(&w.rig, OWN_FEATURE);
	rig_accept(&w.rig, ~0ull);
	assert_int_equal(w.probe.vdev.st->driver_features,
			 RIG_BASE_FEATURES | OWN_FEATURE);
	rig_status_set(&w.rig, 0);
	assert_int_equal(w.probe.vdev.st->driver_features, 0);
	world_close(&w);
}

/* A driver that comes up again and again does not fill the log. */
static void test_log_is_limited(void **state)
{
	static struct unit_capture c;
	unsigned int i, lines = 0;
	const char *p, *text;
	struct world w;

	(void)state;
	world_open(&w);
	w.probe.vdev.limit = (struct log_limit){ 0 };
	unit_capture_start(&c, STDERR_FILENO);
	for (i = 0; i < 100; i++) {
		rig_accept(&w.rig, RIG_BASE_FEATURES);
		rig_status_set(&w.rig, S_RUNNING);
		vdev_broken(&w.probe.vdev, "on purpose");
		rig_status_set(&w.rig, 0);
		rig_accept(&w.rig, 1);
		rig_status_set(&w.rig, S_UP);
		rig_status_set(&w.rig, 0);
	}
	text = unit_capture_end(&c);
	for (p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_true(lines >= 10 && lines <= 20);
	assert_non_null(strstr(text, "the driver is ready"));
	assert_non_null(strstr(text, "on purpose"));
	assert_non_null(strstr(text, "asks for features 0x1, offered are"));
	rig_mute(&w.probe.vdev);
	world_close(&w);
}

/* ---- device reset ---- */

/* With requests in flight: zero is read only when nothing is touched. */
static void test_reset_in_flight(void **state)
{
	static uint8_t before[RAM];
	struct world w;
	unsigned int irqs;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	go(&w, 0, 3);
	go(&w, 1, 4);
	go(&w, 1, 5);
	assert_int_equal(w.probe.nkept, 3);
	irqs = w.rig.irq.count;

	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_int_equal(w.probe.drops, QUEUES);
	assert_int_equal(w.probe.resets, 0);
	fake_mem_fill(&w.rig.gm);
	memcpy(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);

	/* Nothing that the driver does meanwhile has an effect. */
	rig_status_set(&w.rig, S_ACK);
	rig_status_set(&w.rig, 0);
	rig_accept(&w.rig, 0);
	ring_enable(&w.ring[2]);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	ring_kick(&w.ring[0]);
	rig_run(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_int_equal(w.probe.drops, QUEUES);

	push(&w, 1, 4);
	rig_run(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	push(&w, 0, 3);
	rig_run(&w.rig);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	assert_int_equal(w.probe.resets, 0);
	push(&w, 1, 5);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.probe.resets, 1);
	rig_run(&w.rig);
	assert_int_equal(w.rig.gm.maps, 0);
	assert_memory_equal(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
	assert_int_equal(w.rig.irq.count, irqs);

	/* As new. */
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_MSIX),
			 VDEV_NO_VECTOR);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_SELECT), 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE),
			 QUEUE_SIZE);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_MSIX),
			 VDEV_NO_VECTOR);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_DESCLO), 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_Q_USEDHI), 0);
	ring_restart(&w.ring[0]);
	ring_restart(&w.ring[1]);
	bring_up(&w, 0);
	go(&w, 1, 4);
	assert_int_equal(w.probe.taken, 4);
	push(&w, 1, 4);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[1]), 1);
	world_close(&w);
}

/* Work that was deferred before the reset finds nothing after it. */
static void test_reset_with_work(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	go(&w, 0, 0);
	push(&w, 0, 0);				/* to be flushed */
	ring_post(&w.ring[0], 0);
	ring_kick(&w.ring[0]);			/* to be run */
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(rig_run(&w.rig), 0);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(ring_used_idx(&w.ring[0]), 0);
	assert_int_equal(w.rig.gm.maps, 0);
	world_close(&w);
}

/* Broken, with requests in flight, then reset. */
static void test_broken_in_flight(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	go(&w, 0, 0);
	go(&w, 1, 1);
	go(&w, 2, 99);				/* of 16 */
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	assert_int_equal(w.rig.irq.count, 1);
	assert_int_equal(w.rig.irq.event[0].data, RIG_MSI_DATA);
	push(&w, 1, 1);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[1]), 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), S_RUNNING | S_NEEDS_RESET);
	push(&w, 0, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	assert_int_equal(w.rig.irq.count, 1);
	world_close(&w);
}

/* Only the first mistake is told, and a driver not yet there is not. */
static void test_broken_once(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(vdev_broken(&w.probe.vdev, "early"), -EPROTO);
	assert_int_equal(rig_status(&w.rig), S_NEEDS_RESET);
	assert_int_equal(w.rig.irq.count, 0);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION), 0);
	rig_status_set(&w.rig, 0);
	bring_up(&w, 0);
	assert_int_equal(vdev_broken(&w.probe.vdev, "late"), -EPROTO);
	assert_int_equal(vdev_broken(&w.probe.vdev, "later"), -EPROTO);
	assert_int_equal(w.rig.irq.count, 1);
	assert_int_equal(rig_reg(&w.rig, VIRTIO_PCI_COMMON_CFGGENERATION), 1);
	world_close(&w);
}

static void test_config_changed(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	for (i = 1; i < 300; i++) {
		vdev_config_changed(&w.probe.vdev);
		assert_int_equal(rig_reg(&w.rig,
					 VIRTIO_PCI_COMMON_CFGGENERATION),
				 i % 256);
		assert_int_equal(w.rig.irq.count, i);
	}
	assert_int_equal(w.rig.irq.event[0].data, RIG_MSI_DATA);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_MSIX, VDEV_NO_VECTOR);
	vdev_config_changed(&w.probe.vdev);
	assert_int_equal(w.rig.irq.count, i - 1);
	world_close(&w);
}

/* ---- queue reset (2.6.1) ---- */

static void select_queue(struct world *w, unsigned int i)
{
	rig_reg_set(&w->rig, VIRTIO_PCI_COMMON_Q_SELECT, i);
}

static uint32_t queue_reg(struct world *w, unsigned int reg)
{
	return rig_reg(&w->rig, reg);
}

static void test_queue_reset_idle(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, RIG_RING_RESET);
	go(&w, 0, 1);
	push(&w, 0, 1);
	rig_run(&w.rig);
	select_queue(&w, 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 0);	/* not 1 */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 2);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_DESCLO), 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_SIZE), QUEUE_SIZE);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_MSIX), 1);
	assert_int_equal(w.rig.gm.maps, 6);	/* of the two others */
	assert_int_equal(rig_status(&w.rig), S_RUNNING);

	/* Doorbells of a queue that is not there are nothing. */
	ring_kick(&w.ring[0]);
	assert_int_equal(rig_run(&w.rig), 0);

	/* Another size, other addresses, from the beginning. */
	ring_init(&w.ring[0], &w.rig, 0, 4, w.ring[2].end);
	ring_enable(&w.ring[0]);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	go(&w, 0, 3);
	assert_int_equal(w.probe.taken, 2);
	push(&w, 0, 3);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), 1);
	world_close(&w);
}

static void test_queue_reset_in_flight(void **state)
{
	struct world w;
	uint16_t used;

	(void)state;
	world_open(&w);
	bring_up(&w, RIG_RING_RESET);
	go(&w, 0, 1);
	go(&w, 0, 2);
	go(&w, 1, 7);
	push(&w, 0, 1);			/* pushed, not flushed: never told */
	used = ring_used_idx(&w.ring[0]);
	select_queue(&w, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	assert_int_equal(w.probe.drops, 1);

	/* Not before it is done. */
	ring_enable(&w.ring[0]);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 1);
	assert_int_equal(w.probe.drops, 1);
	ring_kick(&w.ring[0]);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), used);

	/* The others go on. */
	push(&w, 1, 7);
	go(&w, 1, 8);
	assert_int_equal(ring_used_idx(&w.ring[1]), 1);
	select_queue(&w, 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 1);

	push(&w, 0, 2);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 0);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), used);
	assert_int_equal(w.rig.gm.maps, 6);
	ring_restart(&w.ring[0]);
	ring_enable(&w.ring[0]);
	go(&w, 0, 2);
	assert_int_equal(w.probe.taken, 5);
	push(&w, 0, 2);
	push(&w, 1, 8);
	rig_run(&w.rig);
	world_close(&w);
}

/* A device reset while a queue reset is under way ends both. */
static void test_both_resets(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, RIG_RING_RESET);
	go(&w, 0, 1);
	go(&w, 1, 2);
	select_queue(&w, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	rig_status_set(&w.rig, 0);
	push(&w, 0, 1);
	assert_int_equal(rig_status(&w.rig), S_RUNNING);
	push(&w, 1, 2);
	assert_int_equal(rig_status(&w.rig), 0);
	select_queue(&w, 0);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 0);
	world_close(&w);
}

/* The device breaks while a queue is being reset. */
static void test_queue_reset_broken(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, RIG_RING_RESET);
	go(&w, 0, 1);
	select_queue(&w, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	vdev_broken(&w.probe.vdev, "meanwhile");
	push(&w, 0, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_true(w.probe.vdev.vq[0].dead);
	ring_restart(&w.ring[0]);
	ring_enable(&w.ring[0]);
	go(&w, 0, 1);
	assert_int_equal(w.probe.taken, 1);
	rig_status_set(&w.rig, 0);
	assert_int_equal(rig_status(&w.rig), 0);
	world_close(&w);
}

static void test_queue_reset_refused(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);			/* not negotiated */
	select_queue(&w, 0);
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	assert_int_equal(w.probe.drops, 0);
	rig_status_set(&w.rig, 0);
	rig_negotiate(&w.rig, RIG_RING_RESET);
	w.probe.drops = 0;
	select_queue(&w, 1);			/* not enabled */
	rig_reg_set(&w.rig, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(w.probe.drops, 0);
	world_close(&w);
}

/* ---- enabling ---- */

static void test_enable_too_early(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	rig_status_set(&w.rig, S_ACK | S_DRIVER);
	rig_accept(&w.rig, RIG_BASE_FEATURES);
	ring_enable(&w.ring[0]);
	assert_int_equal(rig_status(&w.rig),
			 S_ACK | S_DRIVER | S_NEEDS_RESET);
	assert_int_equal(queue_reg(&w, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	world_close(&w);
}

/* A queue enabled late starts at once; enabling twice changes nothing. */
static void test_enable_late(void **state)
{
	struct world w;
	unsigned int maps;

	(void)state;
	world_open(&w);
	rig_negotiate(&w.rig, 0);
	rig_ok(&w.rig);
	ring_desc(&w.ring[1], 0, BUFFERS, 1, 0, 0);
	ring_post(&w.ring[1], 0);
	ring_kick(&w.ring[1]);
	assert_int_equal(rig_run(&w.rig), 0);
	ring_enable(&w.ring[1]);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 1);
	maps = w.rig.gm.maps_made;
	ring_enable(&w.ring[1]);
	rig_run(&w.rig);
	assert_int_equal(w.probe.taken, 1);
	assert_int_equal(w.rig.gm.maps_made, maps);
	push(&w, 1, 0);
	rig_run(&w.rig);
	world_close(&w);
}

/* ---- bus mastering and draining ---- */

static void test_no_dma(void **state)
{
	static uint8_t before[RAM];
	struct world w;
	unsigned int made;

	(void)state;
	world_open(&w);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	rig_negotiate(&w.rig, 0);
	ring_enable(&w.ring[0]);
	rig_ok(&w.rig);
	go(&w, 0, 0);
	assert_int_equal(w.probe.runs, 0);
	assert_int_equal(w.rig.gm.maps_made, 0);
	rig_command(&w.rig, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	rig_run(&w.rig);			/* no kick is needed */
	assert_int_equal(w.probe.taken, 1);

	/* Off before what was pushed is published: not a byte is written. */
	push(&w, 0, 0);
	rig_command(&w.rig, PCI_COMMAND_MEMORY);
	fake_mem_fill(&w.rig.gm);
	made = w.rig.gm.maps_made;
	memcpy(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
	rig_run(&w.rig);
	assert_memory_equal(before, fake_ptr(&w.rig.gm, FAKE_RAM, RAM), RAM);
	assert_int_equal(w.rig.gm.maps_made, made);
	assert_int_equal(w.rig.irq.count, 0);
	rig_command(&w.rig, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), 1);
	assert_int_equal(w.rig.irq.count, 1);
	world_close(&w);
}

static void test_drain(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	go(&w, 0, 0);
	assert_false(vdev_is_idle(&w.probe.vdev));
	vdev_drain(&w.probe.vdev);
	go(&w, 0, 1);
	assert_int_equal(w.probe.taken, 1);
	push(&w, 0, 0);
	assert_true(vdev_is_idle(&w.probe.vdev));
	rig_run(&w.rig);
	assert_int_equal(ring_used_idx(&w.ring[0]), 1);	/* and told */
	world_close(&w);
}

/* The end leaves no work behind that would find nothing. */
static void test_fini(void **state)
{
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w);
	bring_up(&w, 0);
	go(&w, 0, 0);
	push(&w, 0, 0);
	ring_kick(&w.ring[1]);
	assert_true(w.probe.vdev.vq[0].flush_work.queued);
	assert_true(w.probe.vdev.vq[1].kick_work.queued);
	rig_unplug(&w.rig);
	vdev_fini(&w.probe.vdev);
	for (i = 0; i < QUEUES; i++) {
		assert_false(w.probe.vdev.vq[i].kick_work.queued);
		assert_false(w.probe.vdev.vq[i].flush_work.queued);
	}
	assert_int_equal(rig_run(&w.rig), 0);
	rig_fini(&w.rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_status_bits),
	cmocka_unit_test(test_status_at_once),
	cmocka_unit_test(test_driver_ok_too_early),
	cmocka_unit_test(test_driver_ok_refused),
	cmocka_unit_test(test_no_queues),
	cmocka_unit_test(test_offer),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_features_together),
	cmocka_unit_test(test_features_register),
	cmocka_unit_test(test_log_is_limited),
	cmocka_unit_test(test_reset_in_flight),
	cmocka_unit_test(test_reset_with_work),
	cmocka_unit_test(test_broken_in_flight),
	cmocka_unit_test(test_broken_once),
	cmocka_unit_test(test_config_changed),
	cmocka_unit_test(test_queue_reset_idle),
	cmocka_unit_test(test_queue_reset_in_flight),
	cmocka_unit_test(test_both_resets),
	cmocka_unit_test(test_queue_reset_broken),
	cmocka_unit_test(test_queue_reset_refused),
	cmocka_unit_test(test_enable_too_early),
	cmocka_unit_test(test_enable_late),
	cmocka_unit_test(test_no_dma),
	cmocka_unit_test(test_drain),
	cmocka_unit_test(test_fini),
};

UNIT_MAIN(tests)
