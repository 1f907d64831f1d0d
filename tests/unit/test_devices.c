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


static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_resize),
	cmocka_unit_test(test_link),
};

UNIT_MAIN(tests)
