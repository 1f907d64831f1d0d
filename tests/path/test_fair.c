/* SPDX-License-Identifier: MIT */
/*
 * A flood of frames, whichever way, takes nothing from the disk of the same
 * guest, and nothing from the vCPUs that wait for a register.
 *
 * Frames are counted, not milliseconds: the daemon stands still, stopped by
 * the stand-in at the end of each turn in which it has answered a vCPU, while
 * the guest asks for the next things, and the network is never empty.  From
 * one stop to the next there is at most one turn of the loop, so at most two
 * shares of frames: one before the vCPU was looked at, and one after.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <signal.h>

#include "../lib/netlab.h"
#include "path.h"

#define RING		256
#define FRAMES		240		/* and some of the kernel's own */
#define SHARE		64		/* VNET_BATCH */
#define FRAME_BYTES	100
#define BUFFER_BYTES	2048
#define PLAIN		(TOYBLK_F(VIRTIO_F_VERSION_1) |		\
			 TOYBLK_F(VIRTIO_F_ACCESS_PLATFORM))

enum { VCPU_DISK, VCPU_CONFIG, VCPU_NET, VCPUS };
enum { RX, TX };

static const char *cannot;		/* run at all, because */
static struct toy *t;
static struct toyblk *b, *net;
static struct toy_proc *p, *w;		/* w: who serves */
static struct slowdisk *none;
static uint64_t buffer, data;
static unsigned int asked, answered;	/* of the disk */

static int setup(void **state)
{
	(void)state;
	if (cannot)
		return 0;
	t = toy_new(&(struct toy_conf){ .vcpus = VCPUS });
	asked = answered = 0;
	return netlab_bridge("br0");
}

static int teardown(void **state)
{
	(void)state;
	if (cannot)
		return 0;
	toyblk_free(net);
	net = NULL;
	path_end(&t, &b, &none);
	(void)netlab_set_up("br0", false);
	return netlab_del("br0");
}

static void start(void)
{
	if (cannot) {
		print_message("# %s\n", cannot);
		skip();
	}
	p = path_run(t, "blk,engine=null,size=1G",
		     "net,bridge=br0,script=no,ifname=fair0", NULL);
	w = path_worker(t, p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .irq = TOYBLK_POLL });
	net = path_disk(t, SLOT + 1, &(struct toyblk_conf){
		.irq = TOYBLK_POLL, .queues = 2, .size = RING,
		.features = PLAIN });
	buffer = path_buffer(net, RING * BUFFER_BYTES);
	data = path_buffer(b, 4096);
}

/* ---- lockstep ---- */

/* What a vCPU would ask for, if its daemon did not stand still. */
static void post(unsigned int vcpu, const ioreq_t *req)
{
	assert_int_equal(toy_post(t, vcpu, 0, req), 0);
}

static void post_doorbell(unsigned int vcpu, const struct toyblk_vq *q)
{
	const struct toyblk_cap *cap = &q->b->notify_mem;

	post(vcpu, &(ioreq_t){
		.type = IOREQ_TYPE_COPY, .dir = IOREQ_WRITE, .size = 2,
		.count = 1, .data = q->index,
		.addr = q->b->bar[cap->bar].addr + cap->off + q->notify_off,
	});
}

static void post_config_read(void)
{
	post(VCPU_CONFIG, &(ioreq_t){
		.type = IOREQ_TYPE_PCI_CONFIG, .dir = IOREQ_READ, .size = 4,
		.count = 1, .addr = (uint64_t)BDF << 32,
	});
}

/* On to the end of an answer: the daemon has looked at every vCPU. */
static void go_on(void)
{
	toy_stop_in(t, "xenevtchn_unmask");
	toy_kill(w, SIGCONT);
	assert_int_equal(toy_wait_stopped(w, TOY_MS), 0);
}

/* The first time it may stop at the end of an older one. */
static void stop(void)
{
	toy_kill(w, SIGSTOP);
	assert_int_equal(toy_wait_stopped(w, TOY_MS), 0);
	post_config_read();
	do {
		go_on();
	} while (toy_slot(t, VCPU_CONFIG, 0)->state != STATE_IORESP_READY);
	assert_int_equal(toy_finish(t, VCPU_CONFIG, 0, NULL), 0);
}

static unsigned int used(const struct toyblk_vq *q)
{
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
}

/*
 * Up to the end of the next turn that answers vCPUs.  All of them are
 * answered then, the disk has done what it was asked for a turn ago, and not
 * more than its share went through @q.  Return: how many frames that was.
 */
static unsigned int turn(const struct toyblk_vq *q, bool flooding)
{
	unsigned int before = used(q), frames;
	uint64_t val;

	assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0, data,
				  4096) >= 0);
	post_doorbell(VCPU_DISK, &b->vq[0]);
	post_config_read();
	if (flooding)
		post_doorbell(VCPU_NET, q);
	go_on();
	frames = (uint16_t)(used(q) - before);
	assert_int_equal(toy_finish(t, VCPU_CONFIG, 0, &val), 0);
	assert_int_equal(val, 0x10421af4);
	assert_int_equal(toy_finish(t, VCPU_DISK, 0, NULL), 0);
	if (flooding)
		assert_int_equal(toy_finish(t, VCPU_NET, 0, NULL), 0);
	asked++;
	while (toyblk_get(&b->vq[0], NULL) >= 0)
		answered++;
	if (asked - answered > 1)
		fail_msg("%u of %u disk requests in vain", asked - answered,
			 asked);
	if (frames > 2 * SHARE)
		fail_msg("%u frames while vCPUs waited", frames);
	return frames;
}

static void end(void)
{
	toy_fail(t, NULL, 0, 0, 0);
	toy_kill(w, SIGCONT);
	toyblk_kick_hard(&b->vq[0]);
	while (answered < asked && toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0)
		answered++;
	assert_int_equal(answered, asked);
	path_stop(t, p);
}

/* ---- floods ---- */

/* More frames wait in the tap than the daemon may take in several turns. */
static void test_frames_from_the_tap(void **state)
{
	uint8_t frame[FRAME_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 };
	struct toyblk_vq *q;
	unsigned int i, turns = 0, frames = 0;
	int s;

	(void)state;
	start();
	q = &net->vq[RX];
	for (i = 0; i < RING; i++)
		assert_true(toyblk_add(q, &(struct toyblk_sg){
			buffer + i * BUFFER_BYTES, BUFFER_BYTES, true }, 1,
			false) >= 0);
	toyblk_kick_hard(q);
	s = netlab_packet("fair0", false);
	assert_true(s >= 0);
	stop();
	for (i = 0; i < FRAMES; i++)
		assert_int_equal(send(s, frame, sizeof(frame), 0),
				 sizeof(frame));
	while (frames < FRAMES && turns < 100) {
		frames += turn(q, false);
		turns++;
	}
	assert_true(frames >= FRAMES);
	assert_true(turns >= FRAMES / (2 * SHARE));
	print_message("# %u frames in %u turns\n", frames, turns);
	end();
	close(s);
}

/* The guest fills its ring, and rings, whenever it is looked at. */
static void test_kicks_from_the_guest(void **state)
{
	unsigned int i, frames = 0;
	struct toyblk_vq *q;

	(void)state;
	start();
	q = &net->vq[TX];
	memset(toy_ptr(t, buffer, BUFFER_BYTES), 0, BUFFER_BYTES);
	memset(toy_ptr(t, buffer + 12, 6), 0xff, 6);
	stop();
	for (i = 0; i < 40; i++) {
		while (toyblk_get(q, NULL) >= 0)
			;
		while (toyblk_add(q, &(struct toyblk_sg){
				buffer, 12 + FRAME_BYTES, false }, 1,
				false) >= 0)
			;
		frames += turn(q, true);
	}
	assert_true(frames >= 10 * SHARE);	/* it is not starved either */
	print_message("# %u frames in %u turns\n", frames, i);
	end();
}

#define FAIR_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAIR_TEST(test_frames_from_the_tap),
		FAIR_TEST(test_kicks_from_the_guest),
	};

	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
