/* SPDX-License-Identifier: MIT */
/*
 * test_ioreq_irq.c: interrupts, word for word, and their errors.
 */
#include <errno.h>

#include "arch.h"
#include "arm_guest.h"
#include "fake_xen.h"
#include "irq.h"
#include "irq_xen.h"
#include "unit.h"

static struct fake_guest guest;
static struct irq irq;

static int setup(void **state)
{
	(void)state;
	fake_guest_open(&guest);
	irq = (struct irq){
		.arch	= &arch_x86,
		.dmod	= guest.dmod,
		.domid	= FAKE_DOMID,
	};
	return 0;
}

static int setup_arm(void **state)
{
	(void)setup(state);
	irq.arch = &arch_arm;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_guest_close(&guest);
	return 0;
}

static void test_msi(void **state)
{
	(void)state;
	assert_int_equal(irq_msi(&irq, 0xfee00000, 0x4031), 0);
	assert_int_equal(fake.msi_addr, 0xfee00000);
	assert_int_equal(fake.msi_data, 0x4031);
	/* Nonsense is Xen's to judge; and vector 0 is a pirq. */
	assert_int_equal(irq_msi(&irq, UINT64_MAX, UINT32_MAX), 0);
	assert_int_equal(fake.msi_addr, UINT64_MAX);
	assert_int_equal(fake.msi_data, UINT32_MAX);
	assert_int_equal(irq_msi(&irq, 0x123400fee0f000, 0), 0);
	assert_int_equal(fake.msi_addr, 0x123400fee0f000);
	assert_int_equal(fake.msi_data, 0);
	assert_int_equal(fake.calls[FAKE_MSI], 3);
}

static void test_intx(void **state)
{
	(void)state;
	assert_int_equal(irq_intx(&irq, 0x18 << 3, true), 0);
	assert_int_equal(fake.intx_dev, 0x18);
	assert_int_equal(fake.intx_level, 1);
	assert_int_equal(irq_intx(&irq, 0x1f << 3, true), 0);
	assert_int_equal(fake.intx_dev, 0x1f);
	assert_int_equal(irq_intx(&irq, 0x1f << 3, false), 0);
	assert_int_equal(fake.intx_dev, 0x1f);
	assert_int_equal(fake.intx_level, 0);
}

/* The line of a slot falls with the last function that holds it. */
static void test_intx_shared(void **state)
{
	unsigned int slot = 0x18 << 3;

	(void)state;
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(irq_intx(&irq, slot | 7, true), 0);
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(fake.calls[FAKE_INTX], 1);
	assert_int_equal(irq_intx(&irq, slot, false), 0);
	assert_int_equal(fake.intx_level, 1);
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(irq_intx(&irq, slot | 7, false), 0);
	assert_int_equal(fake.intx_level, 1);
	assert_int_equal(irq_intx(&irq, slot, false), 0);
	assert_int_equal(fake.intx_level, 0);
	assert_int_equal(fake.intx_dev, 0x18);
	assert_int_equal(fake.calls[FAKE_INTX], 2);
}

/* The data is the interrupt; the address is nobody's. */
static void test_arm_msi(void **state)
{
	static const uint32_t none[] = {
		0, 31, ARM_GUEST_INTX_BASE, ARM_GUEST_MSI_BASE - 1,
		ARM_GUEST_MSI_BASE + ARM_GUEST_MSI_MAX, UINT32_MAX,
	};
	uint32_t last = ARM_GUEST_MSI_BASE + ARM_GUEST_MSI_MAX - 1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(irq_msi(&irq, 0x3001040, none[i]), -EINVAL);
	assert_int_equal(fake.calls[FAKE_IRQ], 0);
	assert_int_equal(irq_msi(&irq, 0x3001040, ARM_GUEST_MSI_BASE), 0);
	assert_int_equal(fake.irq, ARM_GUEST_MSI_BASE);
	assert_int_equal(irq_msi(&irq, UINT64_MAX, last), 0);
	assert_int_equal(fake.irq, last);
	assert_int_equal(fake.calls[FAKE_IRQ], 2);
}

/* nr_spis is too small: the operator is told, and once. */
static void test_arm_no_interrupt(void **state)
{
	struct unit_capture cap;

	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	fake_fail(FAKE_IRQ, 1, 2, EINVAL);
	assert_int_equal(irq_msi(&irq, 0, ARM_GUEST_MSI_BASE + 3), -EINVAL);
	assert_int_equal(irq_intx(&irq, 0, true), -EINVAL);
	assert_string_equal(unit_capture_end(&cap), "xen-virtiod: d7: the "
			    "guest waits for its interrupt 99, which is none "
			    "of Xen's to give: its configuration needs the "
			    "nr_spis that 'xen-virtioctl guest-dtb' tells, and "
			    "no irqs= from there on\n");
	assert_int_equal(irq_msi(&irq, 0, ARM_GUEST_MSI_BASE + 3), 0);
}

/* One for each function that begins, none for any that ends. */
static void test_arm_intx(void **state)
{
	unsigned int slot = 0x18 << 3;

	(void)state;
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(fake.irq, ARM_GUEST_INTX_BASE + 0x18);
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(fake.calls[FAKE_IRQ], 1);
	assert_int_equal(irq_intx(&irq, slot | 7, true), 0);
	assert_int_equal(fake.calls[FAKE_IRQ], 2);
	assert_int_equal(irq_intx(&irq, slot, false), 0);
	assert_int_equal(fake.calls[FAKE_IRQ], 2);
	assert_int_equal(irq_intx(&irq, slot, true), 0);
	assert_int_equal(irq_intx(&irq, slot, false), 0);
	assert_int_equal(irq_intx(&irq, slot | 7, false), 0);
	assert_int_equal(fake.calls[FAKE_IRQ], 3);
	assert_int_equal(irq_intx(&irq, 0x1f << 3, true), 0);
	assert_int_equal(fake.irq, ARM_GUEST_INTX_BASE + 0x1f);
	assert_int_equal(fake.calls[FAKE_INTX] + fake.calls[FAKE_MSI], 0);
	fake_fail(FAKE_IRQ, 1, 1, EINVAL);
	assert_int_equal(irq_intx(&irq, 0, true), -EINVAL);
}

static void test_errors(void **state)
{
	static const int err[] = { ERANGE, EBUSY, EINVAL, ESRCH, EPERM };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(err) / sizeof(err[0]); i++) {
		fake_fail(FAKE_MSI, 1, 1, err[i]);
		assert_int_equal(irq_msi(&irq, 0, 0), -err[i]);
		fake_fail(FAKE_INTX, 1, 1, err[i]);
		assert_int_equal(irq_intx(&irq, 8, !(i & 1)), -err[i]);
	}
	assert_int_equal(irq_msi(&irq, 0, 0), 0);
	assert_int_equal(irq_intx(&irq, 8, false), 0);
}

#define IRQ_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define ARM_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup_arm, teardown)

static const struct CMUnitTest tests[] = {
	IRQ_TEST(test_msi),
	IRQ_TEST(test_intx),
	IRQ_TEST(test_intx_shared),
	IRQ_TEST(test_errors),
	ARM_TEST(test_arm_msi),
	ARM_TEST(test_arm_intx),
	ARM_TEST(test_arm_no_interrupt),
};

UNIT_MAIN(tests)
