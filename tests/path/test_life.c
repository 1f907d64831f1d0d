/* SPDX-License-Identifier: MIT */
/*
 * The daemon's own life: how it starts and what it says when it cannot, how
 * it ends and what it leaves behind, which is nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

#ifdef __SANITIZE_ADDRESS__
#define SECOND	3000		/* sanitizers look for leaks at the end */
#else
#define SECOND	1000
#endif

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *slow;
static char img[128], spec[256];

static int setup_type(enum hyp_dom_type type)
{
	t = toy_new(&(struct toy_conf){ .type = type, .vcpus = 3 });
	toy_image(t, "disk.img", 16 * MB, img);
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=2", img);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_type(DOM_PVH);
}

static int setup_hvm(void **state)
{
	(void)state;
	return setup_type(DOM_HVM);
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

/* ---- the start ---- */

/* Where in the order of all calls was @fn called first / last? */
static int call_at(const char *fn, bool last)
{
	const struct hyp *h = t->xen.hyp;
	int i, at = -1, id = hyp_fn_find(fn);

	for (i = 0; i < (int)h->log_len && i < HYP_LOG; i++)
		if (h->log[i] == id && (last || at < 0))
			at = i;
	if (at < 0)
		fail_msg("%s was never called", fn);
	return at;
}

#define assert_before(a, b) \
	assert_true(call_at(a, true) < call_at(b, false))

static void test_order(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	assert_before("xendevicemodel_open", "xendevicemodel_restrict");
	assert_before("xenforeignmemory_open", "xendevicemodel_restrict");
	assert_before("xenevtchn_open", "xendevicemodel_restrict");
	assert_before("xendevicemodel_restrict",
		      "xendevicemodel_create_ioreq_server");
	assert_before("xenforeignmemory_restrict",
		      "xendevicemodel_create_ioreq_server");
	assert_before("xenevtchn_restrict",
		      "xendevicemodel_create_ioreq_server");
	assert_before("xendevicemodel_create_ioreq_server",
		      "xenforeignmemory_map_resource");
	assert_before("xenforeignmemory_map_resource",
		      "xendevicemodel_set_ioreq_server_state");
	assert_before("xendevicemodel_set_ioreq_server_state",
		      "xenevtchn_bind_interdomain");
	assert_before("xenevtchn_bind_interdomain",
		      "xendevicemodel_map_pcidev_to_ioreq_server");
	/* a channel for every vCPU that may be, one server, no memory yet */
	assert_int_equal(toy_calls(t, "xenevtchn_bind_interdomain"), 3);
	assert_int_equal(toy_servers(t), 1);
	assert_int_equal(toy_calls(t, "xenforeignmemory_map"), 0);
	path_stop(t, p);
}

static void test_by_number(void **state)
{
	char id[16];

	(void)state;
	snprintf(id, sizeof(id), "%u", t->dom->domid);
	p = toy_spawn(t, NULL, "--domain", id, "--device", spec, NULL);
	assert_int_equal(toy_ready(p, TOY_MS), 0);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	path_stop(t, p);
}

/* The latch is PVH's only: an HVM guest has a host bridge of its own. */
static void test_hvm_has_no_latch(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	toy_pio_write(t, 0, 0xcf8, 4, 0x80001234);
	assert_int_equal(toy_pio_read(t, 0, 0xcf8, 4), 0xffffffff);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	path_stop(t, p);
}

static void read_pid(const char *file, pid_t *ret)
{
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", ret), 1);
	fclose(f);
}

/* Started with nothing open: no image becomes what log lines go to. */
static void test_closed_descriptors(void **state)
{
	const char *prog = getenv("XEN_VIRTIOD");
	const char *const argv[] = {
		"/bin/sh", "-c", "PATH=.; exec \"$0\" \"$@\" <&- >&- 2>&-",
		prog ? prog : "./xen-virtiod", "--domain", "toy", "--device",
		spec, NULL
	};
	char file[64], target[64];
	ssize_t n;
	int i;

	(void)state;
	p = toy_spawnv(t, argv);
	if (toy_ready(p, TOY_MS))
		fail_msg("not ready, exit %d", toy_exit(p, 0));
	for (i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "/proc/%d/fd/%d", (int)p->pid, i);
		n = readlink(file, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = '\0';
		assert_string_equal(target, "/dev/null");
	}
	path_stop(t, p);
}

static void test_background(void **state)
{
	char file[128];
	pid_t pid;

	(void)state;
	snprintf(file, sizeof(file), "%s/pid", t->dir);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec,
		      "--background", "--pidfile", file, NULL);
	if (toy_exit(p, TOY_MS))
		fail_msg("--background: %s", toy_log(p));
	/* it has returned, so the disk is there */
	read_pid(file, &pid);
	assert_int_not_equal(pid, p->pid);
	p = toy_adopt(t, pid);
	assert_non_null(p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = 2 });
	path_exercise(b, 1, 0, 65536, 1);
	path_stop(t, p);
	assert_int_equal(access(file, F_OK), -1);
}

static void test_background_fails(void **state)
{
	char file[128];

	(void)state;
	snprintf(file, sizeof(file), "%s/pid", t->dir);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "blk,path=/nowhere/at/all", "--background", "--pidfile",
		      file, NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "path '/nowhere/at/all' does not exist");
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(toy_servers(t), 0);
}

/* ---- what it says when it cannot ---- */

static void test_usage(void **state)
{
	static const struct {
		const char *spec, *text;
	} bad[] = {
		{ "blk", "path is missing" },
		{ "blk,path=", "path='': the value is missing" },
		{ "disk,path=/x", "'disk' is no kind of device" },
		{ "blk,path=/x,colour=red", "'colour' is no key of blk" },
		{ "blk,path=/x,cache=all", "cache='all': use none, writeback"
					   " or writethrough" },
		{ "blk,path=/x,cache", "'cache' has no value" },
		{ "blk,path=/x,path=/y", "path='/y': path is given twice" },
		{ "blk,path=/x,bdf=00:1f.0", "bdf='00:1f.0'" },
		{ "blk,path=/x,bdf=01:18.0", "bdf='01:18.0'" },
		{ "blk,path=/x,bdf=18", "bdf='18': use BUS:SLOT.FUNCTION" },
		{ "blk,path=/x,queues=0", "queues='0': use 1 to 16" },
		{ "blk,path=/x,queues=17", "queues='17': use 1 to 16" },
		{ "blk,path=/x,queue-size=100", "queue-size='100'" },
		{ "blk,path=/x,block-size=1024", "block-size='1024': use 512 "
						 "or 4096" },
		{ "blk,path=/x,readonly=maybe", "readonly='maybe': use on or "
						"off" },
		{ "blk,path=/x,discard=1", "discard='1'" },
		{ "blk,path=/x,serial=123456789012345678901", "serial='" },
		{ "blk,path=/x,engine=aio", "engine='aio': use uring or "
					    "null" },
		{ "blk,engine=null", "size is missing" },
		{ "blk,path=/x,size=1G", "size='1073741824'" },
	};
	unsigned int i;

	(void)state;
	p = toy_spawn(t, NULL, "--device", "blk,path=/x", NULL);
	path_refused(t, p, 2, "--domain is missing");
	p = toy_spawn(t, NULL, "--domain", "toy", "--config", "/x", NULL);
	path_refused(t, p, 2, "--config '/x'");
	p = toy_spawn(t, NULL, "--sandbox=off", NULL);
	path_refused(t, p, 2, "--sandbox is for one --domain");
	p = toy_spawn(t, NULL, "--domain", "toy", NULL);
	path_refused(t, p, 2, "--device is missing");
	p = toy_spawn(t, NULL, "--domain", "toy", "--sesame", NULL);
	path_refused(t, p, 2, "'--sesame' is no option");
	p = toy_spawn(t, NULL, "--domain", "toy", "--device",
		      "blk,path=/x,bdf=00:05.0", "--device",
		      "blk,path=/y,bdf=00:05.0", NULL);
	path_refused(t, p, 2, "bdf='00:05.0': devices 1 and 2");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p = toy_spawn(t, NULL, "--domain", "toy", "--device",
			      bad[i].spec, NULL);
		path_refused(t, p, 2, bad[i].text);
	}
	assert_int_equal(t->xen.hyp->log_len, 0);	/* Xen was not asked */
}

static void refuse(const char *domain, const char *device, const char *text)
{
	p = toy_spawn(t, NULL, "--domain", domain, "--device", device, NULL);
	path_refused(t, p, 1, text);
}

static void test_refusals(void **state)
{
	char other[128], text[512];

	(void)state;
	refuse("nobody", spec, "--domain 'nobody': no such guest");
	refuse("32003", spec, "--domain '32003': no such guest");
	refuse("toy", "blk,path=/dev/null", "path '/dev/null' is a character "
	       "device, not a regular file or block device");
	refuse("toy", "blk,path=/", "path '/' is a directory");
	toy_image(t, "empty", 0, other);
	snprintf(spec, sizeof(spec), "blk,path=%s", other);
	snprintf(text, sizeof(text), "path '%s' is empty", other);
	refuse("toy", spec, text);
	toy_image(t, "odd", 512 * 9, other);
	snprintf(spec, sizeof(spec), "blk,path=%s,block-size=4096", other);
	refuse("toy", spec, "not a whole number of 4096-byte blocks");
	/* a second guest with the same name */
	assert_int_equal(hyp_domain_add(&t->xen, 32001, "toy", DOM_PVH, 1, 16,
					0), 0);
	refuse("toy", spec, "several guests have this name");
	assert_int_equal(hyp_domain_add(&t->xen, 32002, "pv", DOM_PV, 1, 16,
					0), 0);
	refuse("pv", spec, "is a PV guest");
}

static void test_image_in_use(void **state)
{
	char text[256];

	(void)state;
	path_run(t, spec, NULL);
	snprintf(spec, sizeof(spec), "blk,path=%s,bdf=00:05.0", img);
	snprintf(text, sizeof(text), "path '%s' is in use by another process",
		 img);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, text);
	assert_int_equal(toy_servers(t), 1);
	/* two who only read do not disturb each other, nor the first */
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	assert_lives(&t->proc[0]);
}

static void test_readers_share(void **state)
{
	char first[192];
	struct toy_proc *q;

	(void)state;
	snprintf(first, sizeof(first), "blk,path=%s,readonly=on", img);
	snprintf(spec, sizeof(spec), "%s,bdf=00:05.0", first);
	p = path_run(t, first, NULL);
	q = path_run(t, spec, NULL);
	assert_int_equal(toy_servers(t), 2);
	toy_kill(q, SIGTERM);
	assert_int_equal(toy_exit(q, TOY_MS), 0);
	path_stop(t, p);
}

static void test_slot_in_use(void **state)
{
	char other[128];

	(void)state;
	path_run(t, spec, NULL);
	toy_image(t, "other.img", MB, other);
	snprintf(spec, sizeof(spec), "blk,path=%s,bdf=00:18.0", other);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "bdf='00:18.0' of guest 'toy'");
	assert_int_equal(toy_servers(t), 1);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
}

static void test_no_server_left(void **state)
{
	uint16_t id;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		assert_int_equal(hyp_server_create(&t->xen, t->dom->domid, 0,
						   &id), 0);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "no IOREQ server left: Xen allows 8");
	assert_int_equal(toy_servers(t), 8);
}

static void test_no_xen(void **state)
{
	(void)state;
	unlinkat(t->xen.dir_fd, "xen", 0);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
	path_refused(t, p, 1, "cannot talk to Xen: No such file or directory");
}

/* ---- libxen fails ---- */

/* These cannot fail for a handle that is open, and come on the way out. */
static bool is_harmless(int fn)
{
	static const char *const names[] = {
		"xenevtchn_fd", "xs_fileno", "xs_close", "xc_interface_close",
		"xenevtchn_close", "xendevicemodel_close",
		"xenforeignmemory_close", "xenevtchn_pending",
		"xenevtchn_unmask", "xs_check_watch",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(hyp_fn_name(fn), names[i]))
			return true;
	return false;
}

/*
 * The second xs_read is for the guest's name, in the log; the second question
 * about the guest comes when it is ready already; and unless grants are
 * required it goes without.
 */
static bool is_survived(const char *fn, unsigned int n, bool grants)
{
	if (!strcmp(fn, "xengnttab_open"))
		return !grants;
	if (n > 1 && !strcmp(fn, "xendevicemodel_nr_vcpus"))
		return true;	/* only timed, not looked at */
	return n == 2 && (!strcmp(fn, "xs_read") ||
			  !strcmp(fn, "xc_domain_getinfolist"));
}

/* Exit 1, a reason in one line, nothing left. */
static void expect_failure(const char *fn, unsigned int n, bool grants)
{
	const char *nl;

	if (!toy_ready(p, TOY_MS)) {
		if (!is_survived(fn, n, grants))
			fail_msg("call %u of %s failed, and it is ready:\n%s",
				 n, fn, toy_log(p));
		path_stop(t, p);
		toy_drop(p);
		return;
	}
	if (toy_exit(p, TOY_MS) != 1)
		fail_msg("call %u of %s failed: exit %d\n%s", n, fn,
			 toy_exit(p, 0), toy_log(p));
	nl = strrchr(toy_log(p), '\n');
	if (!nl || nl[1])
		fail_msg("call %u of %s failed, and no reason is given", n,
			 fn);
	if (toy_servers(t) || t->xen.hyp->leaked_maps)
		fail_msg("call %u of %s failed, and %u servers, %u pages "
			 "are left", n, fn, toy_servers(t),
			 t->xen.hyp->leaked_maps);
	toy_drop(p);
}

/* Every call on the way to READY=1 fails once, with one error or another. */
static void every_call_fails(const char *device, bool grants)
{
	static const int errs[] = { EPERM, ENOMEM, ENOSYS };
	unsigned int n, tried = 0;
	uint32_t calls[HYP_FN_COUNT];
	int fn;

	memset(t->xen.hyp->calls, 0, sizeof(calls));
	p = path_run(t, device, NULL);
	memcpy(calls, t->xen.hyp->calls, sizeof(calls));
	path_stop(t, p);
	toy_drop(p);
	for (fn = 0; fn < HYP_FN_COUNT; fn++) {
		for (n = 1; !is_harmless(fn) && n <= calls[fn]; n++) {
			toy_fail(t, hyp_fn_name(fn), n, 1, errs[(fn + n) % 3]);
			p = toy_spawn(t, NULL, "--domain", "toy", "--device",
				      device, NULL);
			expect_failure(hyp_fn_name(fn), n, grants);
			toy_fail(t, NULL, 0, 0, 0);
			tried++;
		}
	}
	/* at the least three handles, their restrictions, the server's life */
	assert_true(tried >= 20);
	p = path_run(t, device, NULL);
	path_stop(t, p);
	toy_drop(p);
}

static void test_every_call_fails(void **state)
{
	char device[sizeof(spec) + 16];

	(void)state;
	every_call_fails(spec, false);
	snprintf(device, sizeof(device), "%s,grants=require", spec);
	every_call_fails(device, true);
}

/* Interrupts that Xen does not take are the guest's loss. */
static void test_interrupts_fail(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .irq = TOYBLK_MSIX });
	toy_fail(t, "xendevicemodel_inject_msi", 1, 1000000, EINVAL);
	assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
				  path_buffer(b, 4096), 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	b->conf.irq = TOYBLK_POLL;
	assert_true(toyblk_reap(&b->vq[0], NULL, TOY_MS) >= 0);
	toy_fail(t, NULL, 0, 0, 0);
	b->conf.irq = TOYBLK_MSIX;
	path_exercise(b, 0, 0, 4096, 1);
	path_stop(t, p);
}

/* A BAR that Xen will not register answers nothing, until it is moved. */
static void test_bar_fails(void **state)
{
	struct toy_bar bar[6];

	(void)state;
	p = path_run(t, spec, NULL);
	toy_fail(t, "xendevicemodel_map_io_range_to_ioreq_server", 1, 1000000,
		 ENOMEM);
	toy_pci_bars(t, 0, BDF, true, bar);
	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2, 7);
	assert_int_equal(toy_mem_read(t, 0, bar[0].addr, 4), 0xffffffff);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	toy_fail(t, NULL, 0, 0, 0);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 0, 4096, 1);
	path_stop(t, p);
}

/* ---- the end ---- */

static void test_destroyed(void **state)
{
	int64_t start;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 0, 65536, 1);
	start = toy_now_ms();
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_true(toy_now_ms() - start < SECOND);
	assert_int_equal(toy_reap(t), 0);	/* no zombie */
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	path_image_check(img, 0, 65536, 1);
}

static void *load(void *arg)
{
	struct toyblk_vq *q = arg;
	unsigned int i;

	while (t->dom->state == DOM_ALIVE) {
		for (i = 0; i < 32; i++)
			if (toyblk_submit(q, i % 2 ? VIRTIO_BLK_T_IN :
					  VIRTIO_BLK_T_OUT, i * 8,
					  0x1000000 + i * 4096, 4096) < 0)
				break;
		toyblk_kick_hard(q);
		for (i = 0; i < 16; i++)
			if (toyblk_reap(q, NULL, 100) < 0)
				break;
	}
	return NULL;
}

static void test_destroyed_under_load(void **state)
{
	struct toyblk_vq *q;
	pthread_t thread[2];
	unsigned int i;
	int64_t start;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = 2 });
	for (i = 0; i < 2; i++) {
		b->vq[i].vcpu = i;
		pthread_create(&thread[i], NULL, load, &b->vq[i]);
	}
	/* well under way: a thousand requests */
	for (i = 0; i < 2; i++) {
		q = &b->vq[i];
		wait_until(t, __atomic_load_n(&q->used->idx,
					      __ATOMIC_ACQUIRE) >= 500);
	}
	start = toy_now_ms();
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_true(toy_now_ms() - start < SECOND);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(toy_reap(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_no_fault(t);
}

/* A guest that powers off is still there until it is destroyed. */
static void test_shutdown_is_not_the_end(void **state)
{
	uint32_t seen;

	(void)state;
	p = path_run(t, spec, NULL);
	seen = toy_calls(t, "xs_check_watch");
	toy_shutdown(t, 0);
	wait_until(t, toy_calls(t, "xs_check_watch") != seen);
	assert_lives(p);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	/* nor is the end of somebody else */
	assert_int_equal(hyp_domain_add(&t->xen, 32001, "other", DOM_PVH, 1,
					16, 0), 0);
	seen = toy_calls(t, "xs_check_watch");
	assert_int_equal(hyp_domain_kill(&t->xen, 32001), 0);
	wait_until(t, toy_calls(t, "xs_check_watch") != seen);
	assert_lives(p);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	path_stop(t, p);
}

/* SIGTERM: what was taken is answered, what comes later is not taken. */
static void test_sigterm_drains(void **state)
{
	struct toyblk_vq *q;
	uint64_t gpa;
	unsigned int i;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	q = &b->vq[0];
	gpa = path_buffer(b, 4 * 4096);
	path_fill(toy_ptr(t, gpa, 4 * 4096), 0, 4 * 4096, 5);
	slowdisk_hold(slow);
	for (i = 0; i < 4; i++)
		assert_true(toyblk_submit(q, VIRTIO_BLK_T_OUT, i * 8,
					  gpa + i * 4096, 4096) >= 0);
	toyblk_kick(q);
	assert_int_equal(slowdisk_wait(slow, 4, TOY_MS), 0);
	toy_kill(p, SIGTERM);
	/* it answers as long as it lives */
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	assert_int_equal(toy_exit(p, 200), -ETIMEDOUT);
	slowdisk_release(slow, 0);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	for (i = 0; i < 4; i++)
		assert_true(toyblk_get(q, NULL) >= 0);
	assert_int_equal(toyblk_get(q, NULL), -EAGAIN);
	path_check(slowdisk_data(slow), 0, 4 * 4096, 5);
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0xffff);
	assert_no_fault(t);
}

static void master(bool on)
{
	unsigned int c = toy_cfg_read(t, 0, BDF, PCI_COMMAND, 2);

	toy_cfg_write(t, 0, BDF, PCI_COMMAND, 2,
		      on ? c | PCI_COMMAND_MASTER : c & ~PCI_COMMAND_MASTER);
}

/* @n reads at the disk while bus mastering is off.  Return: their buffer. */
static uint64_t read_without_master(unsigned int n)
{
	uint64_t gpa = path_buffer(b, n * 4096);
	unsigned int i;

	memset(toy_ptr(t, gpa, n * 4096), 0x5a, n * 4096);
	slowdisk_hold(slow);
	for (i = 0; i < n; i++)
		assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, i * 8,
					  gpa + i * 4096, 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, n, TOY_MS), 0);
	master(false);
	return gpa;
}

static void assert_unanswered(uint64_t gpa, unsigned int n)
{
	const uint8_t *data = toy_ptr(t, gpa, n * 4096);

	assert_int_equal(toyblk_get(&b->vq[0], NULL), -EAGAIN);
	assert_int_equal(data[0], 0x5a);
	assert_memory_equal(data, data + 1, n * 4096 - 1);
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_no_fault(t);
}

/*
 * SIGTERM, and the guest, which has switched bus mastering off, does not mean
 * to switch it on: what the disk has answered is not waited with.
 */
static void test_sigterm_without_master(void **state)
{
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = read_without_master(3);
	slowdisk_release(slow, 0);
	wait_until(t, slowdisk_reads(slow) >= 3);
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_in_log(p, "vblk0: 3 requests stay without an answer: the guest has switched bus mastering off");
	assert_unanswered(gpa, 3);
}

/* The same, with a disk that answers later than that. */
static void test_sigterm_then_answers_without_master(void **state)
{
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	gpa = read_without_master(3);
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, 200), -ETIMEDOUT);
	slowdisk_release(slow, 0);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_unanswered(gpa, 3);
}

/* And if the guest may be answered after all, it is. */
static void test_sigterm_then_master(void **state)
{
	unsigned int i;
	uint64_t gpa;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_fill(slowdisk_data(slow), 0, 3 * 4096, 6);
	gpa = read_without_master(3);
	toy_kill(p, SIGTERM);
	wait_until(t, strstr(toy_log(p), "asked to stop"));
	master(true);
	slowdisk_release(slow, 0);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	for (i = 0; i < 3; i++)
		assert_true(toyblk_get(&b->vq[0], NULL) >= 0);
	path_check(toy_ptr(t, gpa, 3 * 4096), 0, 3 * 4096, 6);
	assert_no_fault(t);
}

/* The guest goes, and the disk says nothing: nobody waits for it. */
static void test_destroyed_with_silent_disk(void **state)
{
	int64_t start;

	(void)state;
	path_slow_need(slow);
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	slowdisk_hold(slow);
	assert_true(toyblk_submit(&b->vq[0], VIRTIO_BLK_T_IN, 0,
				  path_buffer(b, 4096), 4096) >= 0);
	toyblk_kick(&b->vq[0]);
	assert_int_equal(slowdisk_wait(slow, 1, TOY_MS), 0);
	start = toy_now_ms();
	toy_destroy(t);
	assert_true(toy_exit(p, TOY_MS) >= 0);
	assert_true(toy_now_ms() - start < SECOND + 500);
	assert_int_equal(toy_reap(t), 0);
}

/* Killed: the next one takes over slot and image, and the guest goes on
 * after it has looked for the device again. */
static void test_killed_and_replaced(void **state)
{
	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 0, 65536, 1);
	toy_kill(p, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 128 + SIGKILL);
	p = path_run(t, spec, NULL);
	toyblk_free(b);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 8, 65536, 2);
	assert_no_fault(t);
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
}

/* SIGTERM comes while vCPUs knock without a pause: none is left waiting. */
static atomic_bool knocking;

static void *knock(void *arg)
{
	unsigned int vcpu = (uintptr_t)arg;

	while (atomic_load(&knocking) && !toy_fault(t))
		(void)toy_mem_read(t, vcpu, b->bar[0].addr, 4);
	return NULL;
}

static void test_sigterm_under_knocking(void **state)
{
	pthread_t thread[2];
	uintptr_t i;

	(void)state;
	p = path_run(t, spec, NULL);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	atomic_store(&knocking, true);
	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, knock, (void *)(i + 1));
	for (i = 0; i < 100; i++)
		assert_int_equal(toy_cfg_read(t, 0, BDF, 0, 2), 0x1af4);
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	atomic_store(&knocking, false);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_no_fault(t);
	assert_int_equal(toy_servers(t), 0);
}

#define LIFE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define HVM_TEST(f) cmocka_unit_test_setup_teardown(f, setup_hvm, teardown)
#define SLOW_TEST(f) cmocka_unit_test_setup_teardown(f, setup_slow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIFE_TEST(test_order),
		LIFE_TEST(test_by_number),
		HVM_TEST(test_hvm_has_no_latch),
		LIFE_TEST(test_closed_descriptors),
		LIFE_TEST(test_background),
		LIFE_TEST(test_background_fails),
		LIFE_TEST(test_usage),
		LIFE_TEST(test_refusals),
		LIFE_TEST(test_image_in_use),
		LIFE_TEST(test_readers_share),
		LIFE_TEST(test_slot_in_use),
		LIFE_TEST(test_no_server_left),
		LIFE_TEST(test_no_xen),
		LIFE_TEST(test_every_call_fails),
		LIFE_TEST(test_interrupts_fail),
		LIFE_TEST(test_bar_fails),
		LIFE_TEST(test_destroyed),
		LIFE_TEST(test_destroyed_under_load),
		LIFE_TEST(test_shutdown_is_not_the_end),
		SLOW_TEST(test_sigterm_drains),
		SLOW_TEST(test_sigterm_without_master),
		SLOW_TEST(test_sigterm_then_answers_without_master),
		SLOW_TEST(test_sigterm_then_master),
		SLOW_TEST(test_destroyed_with_silent_disk),
		LIFE_TEST(test_killed_and_replaced),
		LIFE_TEST(test_sigterm_under_knocking),
	};

	path_slow_prepare();
	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
