/* SPDX-License-Identifier: MIT */
/*
 * test_devices.c: what the supervisor has done to a device while it is there,
 * and that the guest's driver sees it.  The domain is the test's.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

#include "devices.h"
#include "ioreq/domain.h"
#include "rig.h"
#include "unit.h"

#define MIB	(1ull << 20)
#define CAPACITY(r)	((uint64_t)rig_mem(r, RIG_DEVICE + 4, 4) << 32 | \
			 rig_mem(r, RIG_DEVICE, 4))
#define NET_STATUS(r)	rig_mem(r, RIG_DEVICE +				\
		offsetof(struct virtio_net_config, status), 2)

/* A domain is a rig without a function of its own. */
static struct rig rig;
static struct device *dev;
static bool ports, intx;
static uint64_t ecam;

struct io_bus *domain_bus(struct domain *dom)
{
	(void)dom;
	return &rig.bus;
}

struct irq *domain_irq(struct domain *dom)
{
	(void)dom;
	return &rig.irq;
}

struct guest_mem *domain_mem(struct domain *dom)
{
	(void)dom;
	return &rig.gm;
}

uint64_t domain_kick_ns(const struct domain *dom)
{
	(void)dom;
	return 0;
}

bool domain_has_ports(const struct domain *dom)
{
	(void)dom;
	return ports;
}

bool domain_has_intx(const struct domain *dom)
{
	(void)dom;
	return intx;
}

uint64_t domain_ecam(const struct domain *dom, unsigned int devfn)
{
	(void)dom;
	return ecam ? ecam + devfn : 0;
}

static void make(const struct devdesc *desc)
{
	rig_init(&rig, MIB);
	assert_int_equal(devdesc_check(desc, 0), 0);
	assert_int_equal(device_new(desc, NULL, 0, &dev), 0);
}

static void attach(void)
{
	struct device_env env = { .loop = rig.loop, .state = &rig.state };
	char why[256] = "";

	assert_int_equal(device_attach(dev, &env, why, sizeof(why)), 0);
}

/* A driver, with a vector for the configuration. */
static void drive(uint64_t features)
{
	rig.msix_cap = rig_cap(&rig, PCI_CAP_ID_MSIX, 0);
	rig_up(&rig, features);
	rig_msix_control(&rig, PCI_MSIX_FLAGS_ENABLE);
	rig_msix_entry(&rig, 0, RIG_MSI_ADDR, RIG_MSI_DATA, 0);
	rig_reg_set(&rig, VIRTIO_PCI_COMMON_MSIX, 0);
	rig_ok(&rig);
	assert_int_equal(rig_status(&rig), S_RUNNING);
	rig_run(&rig);
}

static void end(void)
{
	device_free(dev);
	rig_fini(&rig);
}

static const struct devdesc blk = {
	.kind = DEVSPEC_BLK, .domid = 7, .devfn = RIG_DEVFN,
	.blk = {
		.engine = "null", .queues = 1, .queue_size = 64,
		.info = { .bytes = MIB, .block_size = 512,
			  .physical_size = 512, .buf_align = 1,
			  .cache = BLK_CACHE_WRITEBACK },
	},
};

static const struct devdesc net = {
	.kind = DEVSPEC_NET, .domid = 7, .devfn = RIG_DEVFN,
	.net = {
		.engine = "null", .mtu = 1500, .queue_size = 64,
		.info = { .queues = 1 },
	},
};

static void test_resize(void **state)
{
	unsigned int irqs;

	(void)state;
	make(&blk);
	assert_int_equal(device_resize(dev, 2 * MIB), -ENODEV);
	attach();
	drive(0);
	irqs = rig.irq.count;
	assert_int_equal(CAPACITY(&rig), MIB / 512);
	assert_int_equal(device_resize(dev, MIB / 2), -EINVAL);
	assert_int_equal(device_resize(dev, 1ull << 45), 0);
	assert_int_equal(CAPACITY(&rig), 1ull << 36);
	assert_int_equal(rig.irq.count, irqs + 1);
	assert_int_equal(device_set_link(dev, false), -EOPNOTSUPP);
	end();
}

static void test_link(void **state)
{
	unsigned int irqs;

	(void)state;
	make(&net);
	assert_int_equal(device_set_link(dev, false), -ENODEV);
	attach();
	drive(1ull << VIRTIO_NET_F_STATUS);
	irqs = rig.irq.count;
	assert_int_equal(NET_STATUS(&rig), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(device_set_link(dev, false), 0);
	assert_int_equal(NET_STATUS(&rig), 0);
	assert_int_equal(rig.irq.count, irqs + 1);
	assert_int_equal(device_set_link(dev, true), 0);
	assert_int_equal(NET_STATUS(&rig), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(rig.irq.count, irqs + 2);
	assert_int_equal(device_resize(dev, 2 * MIB), -EOPNOTSUPP);
	end();
}


/* ---- Arm ---- */

#define ECAM	0x10000000ull
#define MMIO	0x2000200ull

/* Its configuration space is at an address, and goes on where it has ended. */
static void test_ecam(void **state)
{
	struct devdesc desc = blk;
	struct device_env env = { .state = &rig.state };
	char why[256] = "";
	uint64_t at = ECAM + RIG_DEVFN;

	(void)state;
	desc.ecam = 1;
	make(&desc);
	env.loop = rig.loop;
	assert_int_equal(device_attach(dev, &env, why, sizeof(why)),
			 -EOPNOTSUPP);
	assert_memory_equal(why, "pci-config='ecam': only guests on Arm", 37);
	ecam = ECAM;
	assert_int_equal(device_attach(dev, &env, why, sizeof(why)), 0);
	assert_int_equal(fake_read(&rig.bus, IO_MEM, at, 4), 0x10421af4);
	assert_int_equal(fake_read(&rig.bus, IO_MEM, at + 0x3d, 1), 0);
	assert_int_equal((uint32_t)fake_read(&rig.bus, IO_MEM, at + 0x100, 4),
			 UINT32_MAX);
	assert_int_equal((uint32_t)fake_read(&rig.bus, IO_MEM, at + 0xffc, 4),
			 UINT32_MAX);
	fake_write(&rig.bus, IO_MEM, at + 0x100, 4, 0);
	fake_write(&rig.bus, IO_MEM, at + 0x10, 4, 0x23000000);
	fake_write(&rig.bus, IO_MEM, at + 4, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_read(&rig.bus, IO_MEM, 0x23000000 +
				   RIG_COMMON + VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	ecam = 0;
	end();
	assert_null(rig.bus.list[IO_MEM]);
}

/* A driver of virtio-mmio finds that there is nothing. */
static void test_placeholder(void **state)
{
	struct device_env env = { .state = &rig.state };
	struct devdesc desc = blk;
	char why[256] = "";
	unsigned int off;

	(void)state;
	desc.mmio = MMIO;
	make(&desc);
	attach();
	assert_int_equal(fake_read(&rig.bus, IO_MEM, MMIO, 4), 0x74726976);
	assert_int_equal(fake_read(&rig.bus, IO_MEM, MMIO + 2, 1), 0x72);
	assert_int_equal(fake_read(&rig.bus, IO_MEM, MMIO + 4, 4), 2);
	fake_write(&rig.bus, IO_MEM, MMIO + 0x70, 4, 1);
	for (off = 8; off < 0x200; off += 4)
		assert_int_equal(fake_read(&rig.bus, IO_MEM, MMIO + off, 4), 0);
	device_detach(dev);
	assert_null(rig.bus.list[IO_MEM]);
	rig.bus.fail = -EEXIST;
	env.loop = rig.loop;
	assert_int_equal(device_attach(dev, &env, why, sizeof(why)), -EEXIST);
	assert_string_equal(why, "Xen refuses the virtio-mmio window at "
			    "0x2000200: File exists");
	end();
}

/* A guest on Arm has lines and no ports; a PVH one on x86 the other way round. */
static void test_board(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		intx = i == 0;
		ports = !intx;
		make(&blk);
		attach();
		assert_int_equal(rig_cfg(&rig, PCI_INTERRUPT_PIN, 1), intx);
		assert_int_equal(rig_cfg(&rig, PCI_BASE_ADDRESS_2, 1), ports);
		end();
	}
	intx = ports = false;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_ecam),
	cmocka_unit_test(test_placeholder),
	cmocka_unit_test(test_board),
	cmocka_unit_test(test_resize),
	cmocka_unit_test(test_link),
};

UNIT_MAIN(tests)
