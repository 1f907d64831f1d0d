/* SPDX-License-Identifier: MIT */
/*
 * test_ring.c: a driver and a device in two threads, with nothing between them
 * but a ring in memory and the barriers of both sides.
 *
 *	driver				device
 *	buffer, descriptor		avail.idx
 *	-- release --			-- guest_rmb() --
 *	avail.idx			descriptor, buffer
 *
 *	used.idx			buffer, used entry
 *	-- acquire --			-- guest_wmb() --
 *	used entry, buffer		used.idx
 *
 *	avail.idx			our wish to be kicked
 *	-- full --			-- guest_mb() --
 *	the device's wish: kick?	avail.idx: sleep?
 *
 *	the driver's wish		used.idx
 *	-- full --			-- guest_mb() --
 *	used.idx: sleep?		the driver's wish: interrupt?
 *
 * Whoever sleeps is woken by the other one or not at all, so a barrier that is
 * missing ends in a value that was not meant, or in both asleep.
 */
#include <pthread.h>
#include <sched.h>
#include "rig.h"
#include "unit.h"

#define SIZE		8
#define ROUNDS		200000u
#define RAM		(1u << 20)
#define BUFFERS		(FAKE_RAM + (64u << 10))
#define BUFFER_BYTES	64u
#define LONG_ENOUGH_NS	5000000000ull	/* on a busy machine: fewer rounds */
#define LOOKS		1999

/* One side's sleep.  @count: what wakes it, counted up by the other side. */
struct sleeper {
	const unsigned int	*count;
	unsigned int		seen;
	bool			asleep;
	unsigned int		slept;
};

static struct {
	struct rig	rig;
	struct probe	probe;
	struct ring	ring;
	struct vq	*vq;
	bool		event_idx;

	uint16_t	*avail;		/* flags, idx, heads, used_event */
	uint16_t	*used;		/* flags, idx, entries, avail_event */
	unsigned int	kicks;		/* by the driver */
	bool		over;
	const char	*wrong;		/* the device's complaint */
	struct sleeper	device;
	struct sleeper	driver;
} t;

static bool is_woken(const struct sleeper *s)
{
	return __atomic_load_n(s->count, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&s->seen, __ATOMIC_ACQUIRE);
}

/*
 * Return: true: woken; false: the other one sleeps too, and has not been woken
 * either, so that nobody is left to do it; or it has given up.
 */
static bool sleep_while(struct sleeper *me, unsigned int seen,
			const struct sleeper *other)
{
	me->slept++;
	__atomic_store_n(&me->seen, seen, __ATOMIC_RELEASE);
	__atomic_store_n(&me->asleep, true, __ATOMIC_RELEASE);
	while (!is_woken(me) && !__atomic_load_n(&t.over, __ATOMIC_ACQUIRE) &&
	       (!__atomic_load_n(&other->asleep, __ATOMIC_ACQUIRE) ||
		is_woken(other)))
		sched_yield();
	__atomic_store_n(&me->asleep, false, __ATOMIC_RELEASE);
	/* It may have woken this one just before it fell asleep. */
	return is_woken(me);
}

/* For longer and longer, so that sleep begins at every moment there is. */
static bool look_again(bool (*is_there)(void), unsigned int slept)
{
	unsigned int i;

	for (i = 0; i <= slept % LOOKS; i++)
		if (is_there())
			return true;
	return false;
}

/* ---- the device ---- */

static bool device_has_avail(void)
{
	return __atomic_load_n(&t.avail[1], __ATOMIC_RELAXED) !=
	       t.vq->st->last_avail;
}

/* The driver's number becomes its complement, twice. */
static const char *device_serve(struct vq_chain *chain)
{
	uint32_t *in = fake_ptr(&t.rig.gm, chain->seg[0].addr, 4), *out;

	if (chain->nout != 1 || chain->nin != 1)
		return "a chain of another shape";
	if (chain->seg[0].len != 4 || chain->seg[1].len != 8)
		return "a length that was not meant";
	out = fake_ptr(&t.rig.gm, chain->seg[1].addr, 8);
	out[0] = ~*in;
	out[1] = ~*in;
	vq_push(t.vq, chain->head, *in & 7);
	return NULL;
}

static void *device_main(void *arg)
{
	static struct vq_chain chain;
	unsigned int seen;
	int r;

	(void)arg;
	while (!t.wrong) {
		seen = __atomic_load_n(&t.kicks, __ATOMIC_ACQUIRE);
		vq_quiet(t.vq);
		while (!t.wrong && (r = vq_pop(t.vq, &chain)) > 0) {
			t.wrong = device_serve(&chain);
			vq_flush(t.vq);
		}
		if (!t.wrong && r < 0)
			t.wrong = "the device is broken";
		if (t.wrong || look_again(device_has_avail, t.device.slept) ||
		    vq_wait(t.vq))
			continue;
		if (!sleep_while(&t.device, seen, &t.driver))
			break;
	}
	__atomic_store_n(&t.over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the driver ---- */

static uint64_t driver_buffer(unsigned int slot)
{
	return BUFFERS + slot * BUFFER_BYTES;
}

static bool driver_wants_kick(uint16_t old, uint16_t new)
{
	uint16_t event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!t.event_idx)
		return !(__atomic_load_n(&t.used[0], __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n(&t.used[2 + 4 * SIZE], __ATOMIC_RELAXED);
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Two descriptors for each slot: its number in, two out. */
static void driver_post(unsigned int slot, uint32_t number)
{
	uint32_t *buffer = fake_ptr(&t.rig.gm, driver_buffer(slot),
				    BUFFER_BYTES);
	uint16_t old = t.ring.avail_idx, new = (uint16_t)(old + 1);

	buffer[0] = number;
	buffer[4] = buffer[5] = number;		/* not the answer */
	ring_desc(&t.ring, 2 * slot, driver_buffer(slot), 4, D_NEXT,
		  (uint16_t)(2 * slot + 1));
	ring_desc(&t.ring, 2 * slot + 1, driver_buffer(slot) + 16, 8, D_WRITE,
		  0);
	t.avail[2 + old % SIZE] = (uint16_t)(2 * slot);
	__atomic_store_n(&t.avail[1], new, __ATOMIC_RELEASE);
	t.ring.avail_idx = new;
	if (driver_wants_kick(old, new))
		(void)__atomic_add_fetch(&t.kicks, 1, __ATOMIC_RELEASE);
}

static bool driver_has_used(void)
{
	return __atomic_load_n(&t.used[1], __ATOMIC_ACQUIRE) !=
	       t.ring.used_idx;
}

/* Until something is used.  Return: false: it never was. */
static bool driver_wait(void)
{
	unsigned int seen = __atomic_load_n(&t.rig.irq.count,
					    __ATOMIC_ACQUIRE);

	if (look_again(driver_has_used, t.driver.slept))
		return true;
	if (t.event_idx)
		__atomic_store_n(&t.avail[2 + SIZE], t.ring.used_idx,
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&t.avail[0], 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!driver_has_used() && !sleep_while(&t.driver, seen, &t.device))
		return false;
	if (!t.event_idx)
		__atomic_store_n(&t.avail[0], VRING_AVAIL_F_NO_INTERRUPT,
				 __ATOMIC_RELAXED);
	return true;
}

/* Return: the slot that has come back. */
static unsigned int driver_take(const uint32_t *posted)
{
	uint32_t id = 0, len = 0, *buffer;

	assert_true(ring_used(&t.ring, &id, &len));
	assert_int_equal(id % 2, 0);
	assert_in_range(id, 0, SIZE - 1);
	buffer = fake_ptr(&t.rig.gm, driver_buffer(id / 2), BUFFER_BYTES);
	assert_int_equal(buffer[4], ~posted[id / 2]);
	assert_int_equal(buffer[5], ~posted[id / 2]);
	assert_int_equal(len, posted[id / 2] & 7);
	return id / 2;
}

/* ---- both ---- */

/* @slots: requests under way, at most SIZE / 2. */
static void run_threads(uint64_t features, unsigned int slots)
{
	uint32_t posted[SIZE / 2], number = 0, came = 0;
	pthread_t device;
	unsigned int slot;
	uint64_t end;
	bool stuck;

	memset(&t, 0, sizeof(t));
	t.event_idx = features & RIG_EVENT_IDX;
	rig_init(&t.rig, RAM);
	probe_init(&t.probe, &t.rig, 1, SIZE);
	rig_plug(&t.rig, &t.probe.vdev);
	rig_up(&t.rig, features);
	rig_msix_on(&t.rig);
	ring_init(&t.ring, &t.rig, 0, SIZE, FAKE_RAM);
	ring_enable(&t.ring);
	rig_ok(&t.rig);
	rig_run(&t.rig);
	t.vq = &t.probe.vdev.vq[0];
	t.avail = fake_ptr(&t.rig.gm, t.ring.avail, 6 + 2 * SIZE);
	t.used = fake_ptr(&t.rig.gm, t.ring.used, 6 + 8 * SIZE);
	t.device.count = &t.kicks;
	t.driver.count = &t.rig.irq.count;
	end = loop_now_ns() + LONG_ENOUGH_NS;
	assert_int_equal(pthread_create(&device, NULL, device_main, NULL), 0);

	for (slot = 0; slot < slots; slot++)
		driver_post(slot, posted[slot] = number++);
	do {
		stuck = !driver_wait();
		while (!stuck && came < ROUNDS && driver_has_used()) {
			slot = driver_take(posted);
			came++;
			driver_post(slot, posted[slot] = number++);
		}
	} while (!stuck && came < ROUNDS && loop_now_ns() < end);
	__atomic_store_n(&t.over, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(device, NULL), 0);
	if (t.wrong)
		fail_msg("%s", t.wrong);
	print_message("# %u requests; the driver slept %u times, the device %u\n",
		      came, t.driver.slept, t.device.slept);
	if (stuck)
		fail_msg("both sleep: one of them was not woken");
	assert_true(t.driver.slept && t.device.slept);
	probe_fini(&t.probe, &t.rig);
}

static void test_flags(void **state)
{
	(void)state;
	run_threads(0, 1);
	run_threads(0, SIZE / 2);
}

static void test_event_idx(void **state)
{
	(void)state;
	run_threads(RIG_EVENT_IDX, 1);
	run_threads(RIG_EVENT_IDX, SIZE / 2);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_flags),
	cmocka_unit_test(test_event_idx),
};

UNIT_MAIN(tests)
