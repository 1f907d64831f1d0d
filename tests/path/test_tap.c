/* SPDX-License-Identifier: MIT */
/*
 * The daemon with network cards on real taps, in a network namespace of ours:
 * what is there while it runs, what is left however it ends, which is nothing,
 * and that a card in trouble is no trouble for the disk beside it.
 */
#include <signal.h>
#include <sys/stat.h>

#include "../lib/netlab.h"
#include "path.h"

static const char *cannot;		/* run at all, because */
static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static char img[128], disk[256], ifname[16];

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .type = DOM_PVH, .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	snprintf(disk, sizeof(disk), "blk,path=%s", img);
	if (!cannot)
		assert_int_equal(netlab_bridge("br0"), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(b);
	b = NULL;
	toy_free(t);
	if (!cannot) {
		assert_int_equal(netlab_set_up("br0", false), 0);
		assert_int_equal(netlab_del("br0"), 0);
	}
	return 0;
}

static void need_root(void)
{
	if (!cannot)
		return;
	print_message("# %s\n", cannot);
	skip();
}

static unsigned int taps(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned int i, n = 0;

	for (i = 0; list[i].if_index; i++) {
		if (strncmp(list[i].if_name, "vif", 3) != 0)
			continue;
		snprintf(ifname, sizeof(ifname), "%s", list[i].if_name);
		n++;
	}
	if_freenameindex(list);
	return n;
}

/* A tap goes a moment after its last user. */
static void no_taps(void)
{
	int64_t end = toy_now_ms() + TOY_MS;

	while (taps() && toy_now_ms() < end)
		sched_yield();
	assert_int_equal(taps(), 0);
}

static uint64_t config(unsigned int slot, unsigned int reg)
{
	return toy_cfg_read(t, 0, TOY_BDF(slot), reg, 4);
}

static void test_cards(void **state)
{
	(void)state;
	need_root();
	p = path_run(t, disk, "net,bridge=br0,script=no,queues=8",
		     "net,engine=null", "net,bridge=br0,script=no,ifname=vif",
		     NULL);
	assert_int_equal(config(0x18, 0), 0x10421af4);
	assert_int_equal(config(0x19, 0), 0x10411af4);
	assert_int_equal(config(0x1a, 0), 0x10411af4);
	assert_int_equal(config(0x1b, 0), 0x10411af4);
	assert_int_equal(taps(), 2);
	assert_in_log(p, "-v' in bridge 'br0', 00:16:3e:");
	assert_in_log(p, "vnet1: 'vif");
	assert_in_log(p, "8 queues, offloads out csum+tso+ecn");
	assert_in_log(p, "vnet2: no cable, 00:16:3e:");
	assert_in_log(p, "vnet3: 'vif' in bridge 'br0'");
	path_stop(t, p);
	no_taps();
}

static void test_killed(void **state)
{
	(void)state;
	need_root();
	p = path_run(t, "net,bridge=br0,script=no,queues=4", NULL);
	assert_int_equal(taps(), 1);
	toy_kill(p, SIGKILL);
	(void)toy_exit(p, TOY_MS);
	no_taps();
}

/* The second device cannot be made: nothing is left of the first. */
static void test_fails(void **state)
{
	(void)state;
	need_root();
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=no", "--device",
		      "net,bridge=br1,script=no", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "bridge='br1' does not exist");
	no_taps();
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=/bin/false", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "script='/bin/false' failed with status 1");
	no_taps();

	/* Nor does it help to be started by who does not want to know. */
	(void)signal(SIGCHLD, SIG_IGN);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "net,bridge=br0,script=/bin/false", NULL);
	(void)signal(SIGCHLD, SIG_DFL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "script='/bin/false' failed with status 1");
	no_taps();
}

static void make_script(const char *file, const char *body)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "#!/bin/sh\n%s\n", body) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0755), 0);
}

/* Whether we are told to end, or the guest does: what plugs in plugs out. */
static void test_downscript(void **state)
{
	char up[160], down[160], out[160], text[400], card[400];
	int i;

	(void)state;
	need_root();
	snprintf(up, sizeof(up), "%s.up", img);
	snprintf(down, sizeof(down), "%s.down", img);
	snprintf(out, sizeof(out), "%s.out", img);
	snprintf(text, sizeof(text), "test -e /sys/class/net/$1 && echo $1 >%s",
		 out);
	make_script(up, "exit 0");
	make_script(down, text);
	snprintf(card, sizeof(card), "net,bridge=br0,script=%s,downscript=%s",
		 up, down);
	for (i = 0; i < 2; i++) {
		p = path_run(t, card, disk, NULL);
		assert_int_equal(taps(), 1);
		assert_int_equal(access(out, F_OK), -1);
		if (i == 0) {
			path_stop(t, p);
		} else {
			toy_destroy(t);
			assert_int_equal(toy_exit(p, TOY_MS), 0);
		}
		assert_int_equal(access(out, F_OK), 0);
		assert_int_equal(unlink(out), 0);
		no_taps();
	}
	assert_int_equal(unlink(up), 0);
	assert_int_equal(unlink(down), 0);
}

/* Somebody removes the tap, and the bridge: the disk goes on. */
static void test_vanishes(void **state)
{
	(void)state;
	need_root();
	p = path_run(t, disk, "net,bridge=br0,script=no", NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .size = 16 });
	path_exercise(b, 0, 0, 65536, 1);
	assert_int_equal(taps(), 1);
	assert_int_equal(netlab_del(ifname), 0);
	wait_until(t, strstr(toy_log(p), "the interface is gone"));
	path_exercise(b, 0, 8, 65536, 2);
	assert_lives(p);
	path_stop(t, p);
	no_taps();
}

#define TAP_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAP_TEST(test_cards),
		TAP_TEST(test_killed),
		TAP_TEST(test_fails),
		TAP_TEST(test_downscript),
		TAP_TEST(test_vanishes),
	};

	cannot = netlab_enter();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
