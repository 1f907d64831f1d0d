/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_pci.c: accesses to configuration space, the BARs and the ports
 * of one function, anywhere and in any width, with a driver in between that
 * sometimes does right.
 *
 * Wanted: every read is answered within its width (fake_read() looks); the
 * registers stay in range; the BARs are where configuration space says; the
 * interrupt line is what ISR, command register and MSI-X say; status loses
 * bits by a reset only.
 */
#include "input.h"
#include "rig.h"

#define RAM		(64u << 10)
#define QUEUES		3
#define QUEUE_SIZE	16
#define MAX_OPS		300

struct world {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring[QUEUES];
	uint8_t		status;
	unsigned int	resets;
};

static void check_queue(const struct world *w, unsigned int i)
{
	const struct vq_state *st = w->probe.vdev.vq[i].st;

	assert(st->size && st->size <= QUEUE_SIZE &&
	       !(st->size & (st->size - 1)));
	assert(st->vector <= QUEUES || st->vector == VDEV_NO_VECTOR);
	assert(st->enabled <= 1 && st->resetting <= 1);
	assert(!st->enabled || (st->desc % 16 == 0 && st->avail % 2 == 0 &&
				st->used % 4 == 0));
	assert(st->inflight_count <= st->size);
}

static void check_bar(struct world *w, unsigned int bar, enum io_space space)
{
	struct virtio_pci *vp = &w->rig.pci;
	uint32_t addr;
	bool on = pci_config_bar_addr(&vp->config, bar, &addr);

	assert(vp->bar_io[bar].added == on);
	assert(!on || vp->bar_io[bar].start == addr);
	assert(!on || w->rig.bus.list[space] == &vp->bar_io[bar]);
}

static void check(struct world *w)
{
	struct virtio_pci *vp = &w->rig.pci;
	const struct vdev_state *st = w->probe.vdev.st;
	uint16_t command = pci_config_get16(&vp->config, PCI_COMMAND);
	uint16_t control = pci_config_get16(&vp->config, vp->msix_cap + 2);
	bool pending = st->isr && !(control & PCI_MSIX_FLAGS_ENABLE);
	unsigned int i;

	for (i = 0; i < QUEUES; i++)
		check_queue(w, i);
	check_bar(w, 0, IO_MEM);
	check_bar(w, 2, IO_PORT);
	assert(w->rig.irq.level[RIG_SLOT] ==
	       (pending && !(command & PCI_COMMAND_INTX_DISABLE)));
	assert(!(pci_config_get16(&vp->config, PCI_STATUS) &
		 PCI_STATUS_INTERRUPT) == !pending);
	assert(w->probe.vdev.dma_ok == !!(command & PCI_COMMAND_MASTER));
	assert(st->isr <= 3);
	assert(st->config_vector <= QUEUES ||
	       st->config_vector == VDEV_NO_VECTOR);
	assert(st->driver_features == 0 || !(st->status & S_FEATURES_OK) ||
	       !(st->driver_features & ~w->probe.vdev.features));
	assert(!(st->status & S_DRIVER_OK) || (st->status & S_FEATURES_OK));
	assert(w->probe.resets != w->resets ||
	       (st->status & w->status) == w->status);
	w->status = st->status;
	w->resets = w->probe.resets;
	assert(w->rig.state.msix.pending < 1u << (QUEUES + 1));
	assert((control & PCI_MSIX_FLAGS_ENABLE) ||
	       !w->rig.state.msix.pending);
}

static void access_any(struct world *w, struct input *in)
{
	static const uint16_t areas[] = { 0, 0x400, 0x800, 0x1000, 0x2000,
					  0x3000, 0, 0 };
	uint8_t how = in8(in);
	unsigned int size = 1u << (how & 3);
	enum io_space space = IO_MEM;
	uint64_t at, val;

	switch (how >> 2 & 7) {
	case 0:
	case 1:
		space = IO_PCI;
		size = MIN(size, 4u);
		at = (RIG_DEVFN << 8) + in8(in);
		break;
	case 2:
		space = IO_PORT;
		at = w->rig.pci.bar_io[2].start + in8(in) % (RIG_PORT_BYTES + 4);
		break;
	case 3:
		at = w->rig.pci.bar_io[0].start + in16(in) % 0x4004;
		break;
	default:
		at = w->rig.pci.bar_io[0].start + areas[how >> 5] +
		     in8(in) % 64;
		break;
	}
	if (how & 0x80) {
		(void)fake_read(&w->rig.bus, space, at, size);
		return;
	}
	val = in8(in);
	if (val & 0x80)
		val = val << 56 | in32(in);
	fake_write(&w->rig.bus, space, at, size, val);
}

/* The window: its pointer, and a look or a push through it. */
static void window(struct world *w, struct input *in)
{
	unsigned int at = w->rig.window_cap;
	uint8_t how = in8(in);

	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_BAR, 1, how & 0x20 ? 2 : 0);
	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_OFFSET, 4, in16(in));
	rig_cfg_set(&w->rig, at + VIRTIO_PCI_CAP_LENGTH, 4, 1u << (how & 3));
	if (how & 0x80)
		rig_cfg_set(&w->rig, at + 16, 4, in32(in));
	else
		(void)rig_cfg(&w->rig, at + 16, 1u << (how >> 2) % 3);
}

static void bring_up(struct world *w, uint8_t how)
{
	unsigned int i;

	rig_place(&w->rig);
	rig_status_set(&w->rig, 0);
	if (rig_status(&w->rig))
		return;			/* something is in flight */
	rig_negotiate(&w->rig, RIG_RING_RESET | RIG_INDIRECT |
			       (how & 1 ? RIG_EVENT_IDX : 0));
	for (i = 0; i < QUEUES; i++) {
		if (!(how >> (4 + i) & 1))
			continue;
		ring_restart(&w->ring[i]);
		ring_enable(&w->ring[i]);
	}
	rig_ok(&w->rig);
	if (how & 2)
		rig_msix_on(&w->rig);
}

static void raw_desc(struct ring *q, struct input *in)
{
	unsigned int i = in8(in) % QUEUE_SIZE;
	uint64_t addr = FAKE_RAM + in8(in) * 16u;
	uint8_t len = in8(in), flags = in8(in) & 7, next = in8(in);

	ring_desc(q, i, addr, len, flags, next % (QUEUE_SIZE + 1));
}

static void step(struct world *w, struct input *in)
{
	uint8_t op = in8(in);
	struct ring *q = &w->ring[op >> 4 & 1];
	unsigned int i;

	switch (op % 16) {
	default:
		access_any(w, in);
		break;
	case 8:
		window(w, in);
		break;
	case 9:
		raw_desc(q, in);
		break;
	case 10:
		ring_post(q, in8(in) % (QUEUE_SIZE + 1));
		fake_write(&w->rig.bus, IO_PORT,
			   w->rig.pci.bar_io[2].start + 4 * q->index, 2, 0);
		break;
	case 11:
		fake_turn(w->rig.loop);
		break;
	case 12:		/* of the queue that it was taken from */
		if (!w->probe.nkept)
			break;
		i = in8(in) % w->probe.nkept;
		vq_push(&w->probe.vdev.vq[w->probe.kept[i] >> 8],
			w->probe.kept[i] & 0xff, 1);
		vq_flush_later(&w->probe.vdev.vq[w->probe.kept[i] >> 8]);
		w->probe.kept[i] = w->probe.kept[--w->probe.nkept];
		break;
	case 13:
		if (op & 0x80)
			fake_mem_move(&w->rig.gm);
		else
			vdev_config_changed(&w->probe.vdev);
		break;
	case 14:
		if (op & 0x80)
			rig_place(&w->rig);
		else
			bring_up(w, in8(in));
		break;
	}
}

static void run(struct vdev *vdev, struct vq *vq)
{
	struct probe *p = probe_of(vdev);

	vq_quiet(vq);
	do {
		while (p->nkept < PROBE_KEEP && vq_pop(vq, &p->last) == 1)
			p->kept[p->nkept++] = (uint16_t)
				(vq->index << 8 | p->last.head);
		vq_flush(vq);
	} while (vq_wait(vq));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct vdev_ops ops = probe_ops;
	unsigned int n, i;
	struct world w;

	memset(&w, 0, sizeof(w));
	rig_init(&w.rig, RAM);
	probe_init(&w.probe, &w.rig, QUEUES, QUEUE_SIZE);
	ops.run = run;
	w.probe.vdev.ops = &ops;
	rig_plug(&w.rig, &w.probe.vdev);
	rig_place(&w.rig);
	for (i = 0; i < QUEUES; i++)
		ring_init(&w.ring[i], &w.rig, i, QUEUE_SIZE,
			  i ? w.ring[i - 1].end : FAKE_RAM);
	for (n = 0; in.left && n < MAX_OPS; n++) {
		step(&w, &in);
		check(&w);
	}

	while (w.probe.nkept) {
		i = w.probe.kept[--w.probe.nkept];
		vq_push(&w.probe.vdev.vq[i >> 8], i & 0xff, 0);
	}
	rig_run(&w.rig);
	check(&w);
	while (w.probe.nkept) {		/* what was taken meanwhile */
		i = w.probe.kept[--w.probe.nkept];
		vq_push(&w.probe.vdev.vq[i >> 8], i & 0xff, 0);
	}
	rig_place(&w.rig);
	rig_status_set(&w.rig, 0);
	assert(rig_status(&w.rig) == 0 && !w.rig.gm.maps);
	probe_fini(&w.probe, &w.rig);
	return 0;
}
