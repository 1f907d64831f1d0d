/* SPDX-License-Identifier: MIT */
/*
 * The service: a toolstack's wishes in xenstore become devices, and go with
 * them.  The test plays libxl.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/netlab.h"
#include "path.h"
#include <xen/sched.h>

#define DEV_LEN	128

/* See toy_spawn(): there, the command line cannot say it. */
#if defined(XVD_SAN) || defined(XVD_COV)
#define NO_SANDBOX	"sandbox = off\n"
#else
#define NO_SANDBOX	""
#endif

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *none;
static const struct toyblk_conf one_queue;
static char img[128], img2[128], conf[128], sock[128];

/* ---- libxl ---- */

static void xs_put(const char *dir, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void xs_put(const char *dir, const char *key, const char *fmt, ...)
{
	char path[192], value[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", dir, key);
	assert_int_equal(hyp_store_write(&t->xen, path, value, (uint32_t)n), 0);
}

/* Return: the value, "" if there is none; until the next call. */
static const char *xs_get(const char *dir, const char *key)
{
	static char value[256];
	struct hyp_node *n;
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	hyp_lock(t->xen.hyp);
	n = hyp_store_find(t->xen.hyp, path);
	snprintf(value, sizeof(value), "%.255s", n ? n->value : "");
	hyp_unlock(t->xen.hyp);
	return value;
}

static void xl_dir(char *ret, const char *class, unsigned int devid)
{
	snprintf(ret, DEV_LEN, "/local/domain/0/backend/%s/%u/%u", class,
		 t->dom->domid, devid);
}

/* What xl 4.17 writes for a disk; "state" comes last here. */
static void xl_disk(char *ret, unsigned int devid, const char *dev,
		    const char *params)
{
	xl_dir(ret, "virtio_disk", devid);
	xs_put(ret, "frontend-id", "%u", t->dom->domid);
	xs_put(ret, "online", "1");
	xs_put(ret, "params", "%s", params);
	xs_put(ret, "dev", "%s", dev);
	xs_put(ret, "type", "standalone");
	xs_put(ret, "mode", "w");
	xs_put(ret, "device-type", "disk");
	xs_put(ret, "discard-enable", "1");
	xs_put(ret, "specification", "virtio");
	xs_put(ret, "transport", "mmio");
	xs_put(ret, "base", "0");
	xs_put(ret, "irq", "0");
	xs_put(ret, "state", "1");
}

static void xl_virtio(char *ret, unsigned int n, const char *type)
{
	xl_dir(ret, "virtio", n);
	xs_put(ret, "frontend-id", "%u", t->dom->domid);
	xs_put(ret, "online", "1");
	xs_put(ret, "irq", "0");
	xs_put(ret, "base", "0");
	xs_put(ret, "type", "%s", type);
	xs_put(ret, "transport", "mmio");
	xs_put(ret, "state", "1");
}

static void xl_remove(const char *dir)
{
	xs_put(dir, "online", "0");
	xs_put(dir, "state", "5");
}

#define wait_state(dir, s) \
	wait_until(t, strcmp(xs_get(dir, "state"), s) == 0)

/* ---- the rest ---- */

static void start(const char *file)
{
	FILE *f = fopen(conf, "we");

	assert_non_null(f);
	fputs(NO_SANDBOX, f);
	fputs(file, f);
	fclose(f);
	assert_int_equal(chmod(conf, 0600), 0);
	p = toy_spawn(t, NULL, "--config", conf, "--socket", sock, NULL);
	if (toy_ready(p, TOY_MS))
		fail_msg("not ready: %s", toy_log(p));
}

static int setup_type(enum hyp_dom_type type)
{
	t = toy_new(&(struct toy_conf){ .type = type, .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	toy_image(t, "disk2.img", 16 * MB, img2);
	snprintf(conf, sizeof(conf), "%s/conf", t->dir);
	snprintf(sock, sizeof(sock), "%s/control.sock", t->dir);
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

static int teardown(void **state)
{
	(void)state;
	path_end(&t, &b, &none);
	return 0;
}

static unsigned int pauses(void)
{
	unsigned int n;

	hyp_lock(t->xen.hyp);
	n = t->dom->pauses;
	hyp_unlock(t->xen.hyp);
	return n;
}

/* A stanza, a driver, the end of the guest. */
static void test_disk(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	assert_string_equal(xs_get(dev, "bdf"), "0000:00:18.0");
	assert_int_equal(toy_servers(t), 1);
	wait_until(t, pauses() == 0);

	b = path_disk(t, SLOT, &one_queue);
	wait_state(dev, "4");
	path_exercise(b, 0, 8, 65536, 3);

	xl_remove(dev);
	wait_state(dev, "6");
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_lives(p);
	path_stop(t, p);
}

/* The second comes when the first is served, and its worker is locked in. */
static void test_two_disks(void **state)
{
	char dev[DEV_LEN], dev2[DEV_LEN];
	struct toyblk *b2;

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	b = path_disk(t, SLOT, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);
	xl_disk(dev2, 51824, "xvdh", img2);
	wait_state(dev2, "2");
	assert_string_equal(xs_get(dev2, "bdf"), "0000:00:19.0");
	assert_int_equal(toy_servers(t), 1);
	b2 = path_disk(t, SLOT + 1, &one_queue);
	path_exercise(b2, 0, 8, 65536, 4);
	wait_state(dev2, "4");

	/* One goes, the other stays; and its place is free again. */
	toyblk_free(b);
	b = b2;
	xl_remove(dev);
	wait_state(dev, "6");
	path_exercise(b2, 0, 16, 65536, 5);
	assert_int_equal(toy_servers(t), 1);
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	assert_string_equal(xs_get(dev, "bdf"), "0000:00:18.0");
	path_stop(t, p);
}

/* What is found at the start, whoever has served it before. */
static void test_found(void **state)
{
	char dev[DEV_LEN], dev2[DEV_LEN];

	(void)state;
	xl_disk(dev, 51808, "xvdg", img);
	xl_disk(dev2, 51824, "xvdh", img2);
	xs_put(dev2, "state", "4");
	start("");
	wait_state(dev, "2");
	wait_until(t, *xs_get(dev2, "bdf"));
	assert_string_equal(xs_get(dev2, "state"), "4");
	b = path_disk(t, SLOT, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);
	wait_state(dev, "4");

	/* A service that stops leaves all that for the next one. */
	toyblk_free(b);
	b = NULL;
	path_stop(t, p);
	assert_string_equal(xs_get(dev, "state"), "4");
	start("");
	wait_until(t, toy_cfg_read(t, 0, BDF, PCI_VENDOR_ID, 2) != 0xffff);
	b = path_disk(t, SLOT, &one_queue);
	path_exercise(b, 0, 8, 65536, 4);
	path_stop(t, p);
}

/* xl gives up at once, and says why in the log; nothing is left. */
static void test_missing_image(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", "/nowhere/none.img");
	wait_until(t, *xs_get(dev, "error"));
	assert_non_null(strstr(xs_get(dev, "error"), "/nowhere/none.img"));
	wait_until(t, !*xs_get(dev, "state"));
	assert_in_log(p, "/nowhere/none.img");
	assert_int_equal(toy_servers(t), 0);
	wait_until(t, pauses() == 0);
	assert_int_equal(hyp_store_rm(&t->xen, dev), 0);

	/* The next one is as good as any. */
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	path_stop(t, p);
	assert_int_equal(pauses(), 0);
}

/* A disk of the virtio= list, with all that it needs behind its type. */
static void test_virtio_disk(void **state)
{
	char dev[DEV_LEN], type[200];

	(void)state;
	start("");
	snprintf(type, sizeof(type), "virtio,device2;path=%s;bdf=00:1c.0", img);
	xl_virtio(dev, 3, type);
	wait_state(dev, "2");
	assert_string_equal(xs_get(dev, "bdf"), "0000:00:1c.0");
	b = path_disk(t, 0x1c, &one_queue);
	wait_state(dev, "4");
	path_exercise(b, 0, 8, 65536, 3);
	xl_remove(dev);
	wait_state(dev, "6");
	assert_int_equal(toy_servers(t), 0);

	/* xl does not wait for these; the reason is found in xenstore. */
	xl_virtio(dev, 3, "virtio,device2;path=/nowhere/none.img");
	wait_until(t, strstr(xs_get(dev, "error"), "/nowhere/none.img"));
	wait_state(dev, "6");
	wait_until(t, pauses() == 0);
	path_stop(t, p);
}

/* Two would write to it. */
static void test_same_image(void **state)
{
	char dev[DEV_LEN], dev2[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	xl_disk(dev2, 51824, "xvdh", img);
	wait_until(t, strstr(xs_get(dev2, "error"), img));
	wait_until(t, !*xs_get(dev2, "state"));
	wait_until(t, pauses() == 0);
	b = path_disk(t, SLOT, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);

	/* When the first is gone, it is the second's. */
	xl_remove(dev);
	wait_state(dev, "6");
	assert_int_equal(hyp_store_rm(&t->xen, dev2), 0);
	xl_disk(dev2, 51824, "xvdh", img);
	wait_state(dev2, "2");
	path_stop(t, p);
}

/* The directory goes before the device is there, or while it is. */
static void test_directory_removed(void **state)
{
	char dev[DEV_LEN];
	int i;

	(void)state;
	start("");
	for (i = 0; i < 20; i++) {
		xl_disk(dev, 51808, "xvdg", img);
		if (i % 2)
			wait_state(dev, "2");
		assert_int_equal(hyp_store_rm(&t->xen, dev), 0);
		if (i % 3)
			wait_until(t, toy_servers(t) == 0);
	}
	wait_until(t, toy_servers(t) == 0);
	assert_string_equal(xs_get(dev, "state"), "");	/* not brought back */
	assert_lives(p);
	path_stop(t, p);
	assert_int_equal(pauses(), 0);
}

/* ---- the file ---- */

static void test_config(void **state)
{
	char text[512], dev[DEV_LEN];

	(void)state;
	snprintf(text, sizeof(text),
		 "blk = \"cache=writeback\"\n"
		 "guest \"toy\" {\n"
		 "  device = { \"blk,vdev=xvdg,readonly=on\",\n"
		 "             \"blk,bdf=00:1a.0,path=%s\" }\n"
		 "}\n", img2);
	start(text);
	wait_until(t, toy_servers(t) == 1);
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	assert_in_log(p, "disk.img', 16 MiB, 512-byte blocks, cache=writeback, read-only");
	assert_in_log(p, "disk2.img', 16 MiB");
	b = path_disk(t, 0x1a, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);

	/* Read again; what is served stays. */
	kill(p->pid, SIGHUP);
	wait_until(t, strstr(toy_log(p), "read again"));
	assert_int_equal(truncate(conf, 3), 0);
	kill(p->pid, SIGHUP);
	wait_until(t, strstr(toy_log(p), "stays as it was"));
	path_exercise(b, 0, 8, 65536, 4);
	path_stop(t, p);
}

/* ---- xen-virtioctl ---- */

/* Return: all that it says, until the next call.  It must exit with @code. */
static const char *ctl(int code, const char *args)
{
	static char out[8192];
	const char *prog = getenv("XEN_VIRTIOCTL");
	char cmd[512];
	size_t n;
	FILE *f;
	int r;

	snprintf(cmd, sizeof(cmd), "%s --socket %s %s 2>&1",
		 prog ? prog : "./xen-virtioctl", sock, args);
	f = popen(cmd, "re");
	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	r = pclose(f);
	if (!WIFEXITED(r) || WEXITSTATUS(r) != code)
		fail_msg("%s: status %#x: %s", args, r, out);
	return out;
}

#define assert_says(text, part)						\
	do {								\
		const char *said_ = (text);				\
		if (!strstr(said_, part))				\
			fail_msg("'%s' is not in: %s", part, said_);	\
	} while (0)

static void test_ctl(void **state)
{
	char dev[DEV_LEN], args[300];
	const char *said;

	(void)state;
	start("");
	assert_says(ctl(1, "show toy"), "guest 'toy': it has no devices");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	said = ctl(0, "list");
	assert_says(said, "toy");
	assert_says(said, "vblk0");
	assert_says(said, "00:18.0");
	assert_says(said, "disk.img");
	assert_says(said, "registered");
	b = path_disk(t, SLOT, &one_queue);
	wait_state(dev, "4");
	assert_says(ctl(0, "list toy"), "running");
	assert_says(ctl(0, "--json show toy xvdg"), "16777216");
	assert_says(ctl(1, "show toy vblk1"), "device 'vblk1'");
	assert_says(ctl(1, "link toy vblk0 down"), "no cable");

	/* It grows, and never shrinks; the guest can use it at once. */
	assert_says(ctl(1, "resize toy vblk0 8M"), "no less than");
	assert_says(ctl(1, "resize toy vblk0 33554433"), "multiple of 512");
	ctl(0, "resize toy vblk0 32M");
	wait_until(t, toyblk_read(b, &b->device, 0, 4) == 32 * MB / 512);
	path_exercise(b, 0, 24 * MB / 512, 65536, 9);
	assert_int_equal(truncate(img, 48 * MB), 0);
	ctl(0, "resize toy vblk0");
	wait_until(t, toyblk_read(b, &b->device, 0, 4) == 48 * MB / 512);
	path_exercise(b, 0, 40 * MB / 512, 65536, 9);
	assert_says(ctl(0, "--json stats toy vblk0"), "write_bytes");
	assert_says(ctl(0, "stats"), "vblk0");

	/* One more disk, by hand; it is there when the command returns. */
	snprintf(args, sizeof(args), "attach toy blk,path=%s,bdf=00:1b.0",
		 img2);
	assert_says(ctl(0, args), "00:1b.0");
	toyblk_free(b);
	b = path_disk(t, 0x1b, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);
	assert_says(ctl(1, args), "00:1b.0");
	assert_says(ctl(1, "attach toy blk,path=/nowhere"), "/nowhere");
	assert_says(ctl(1, "attach toy blk,colour=red"), "colour");
	assert_says(ctl(1, "attach nobody blk,path=/x"), "no such guest");
	toyblk_free(b);
	b = NULL;
	ctl(0, "detach toy 00:1b.0");
	assert_int_equal(toy_servers(t), 1);
	ctl(0, "detach toy vblk0");
	assert_string_equal(xs_get(dev, "state"), "6");
	wait_until(t, toy_servers(t) == 0);
	assert_says(ctl(1, "detach toy vblk0"), "toy");

	/* Its guest is free for others again. */
	assert_says(ctl(0, args), "00:1b.0");
	assert_int_equal(truncate(conf, 0), 0);
	ctl(0, "reload");
	path_stop(t, p);
	assert_says(ctl(1, "list"), "xen-virtiod.service");
}

/* ---- cards ---- */

static void test_card(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	if (geteuid() != 0 || netlab_bridge("br0"))
		skip();
	start("net = \"bridge=br0,script=no\"\n");
	xl_virtio(dev, 0, "virtio,device1;mac=00:16:3e:01:02:03");
	wait_state(dev, "2");
	assert_string_equal(xs_get(dev, "bdf"), "0000:00:18.0");
	assert_in_log(p, "00:16:3e:01:02:03");
	wait_until(t, pauses() == 0);
	xl_remove(dev);
	wait_state(dev, "6");
	xl_virtio(dev, 0, "virtio,device1a");
	wait_until(t, *xs_get(dev, "error"));
	wait_state(dev, "6");
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* A card whose script takes a while; or the test is skipped. */
static void begin_slow_card(char *dev)
{
	char text[256], script[128];
	FILE *f;

	if (geteuid() != 0 || netlab_bridge("br0"))
		skip();
	snprintf(script, sizeof(script), "%s/slow", t->dir);
	f = fopen(script, "we");
	assert_non_null(f);
	fputs("#!/bin/sh\nsleep 1\n", f);
	fclose(f);
	assert_int_equal(chmod(script, 0700), 0);
	snprintf(text, sizeof(text), "net = \"bridge=br0,script=%s\"\n",
		 script);
	start(text);
	xl_virtio(dev, 0, "virtio,device1");
}

static void start_slow_card(char *dev)
{
	begin_slow_card(dev);
	wait_until(t, pauses() == 1);
	assert_string_equal(xs_get(dev, "state"), "1");
}

/* The guest does not run without it. */
static void test_slow_script(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start_slow_card(dev);
	wait_state(dev, "2");
	wait_until(t, pauses() == 0);
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* Nothing is gained by stopping one that has looked for its devices. */
static void test_slow_script_guest_runs(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	hyp_lock(t->xen.hyp);
	t->dom->cpu_ns = 2000000000;
	hyp_unlock(t->xen.hyp);
	begin_slow_card(dev);
	wait_until(t, pauses() > 0 || strcmp(xs_get(dev, "state"), "2") == 0);
	assert_int_equal(pauses(), 0);
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* A service that ends lets it run, and leaves the rest to the next one. */
static void test_slow_script_stopped(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start_slow_card(dev);
	path_stop(t, p);
	assert_int_equal(pauses(), 0);
	assert_string_equal(xs_get(dev, "state"), "1");
	assert_string_equal(xs_get(dev, "error"), "");
	start("net = \"bridge=br0,script=no\"\n");
	wait_state(dev, "2");
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

static void test_slow_script_hup(void **state)
{
	char dev[DEV_LEN], disk[DEV_LEN];

	(void)state;
	start_slow_card(dev);
	kill(p->pid, SIGHUP);
	wait_until(t, strstr(toy_log(p), "read again"));
	assert_string_equal(xs_get(dev, "state"), "1");
	assert_int_equal(pauses(), 1);
	wait_state(dev, "2");
	xl_disk(disk, 51808, "xvdg", img);
	wait_state(disk, "2");
	wait_until(t, pauses() == 0);
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* Taken away, and its directory removed as well, while it runs. */
static void test_slow_script_removed(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start_slow_card(dev);
	xl_remove(dev);
	wait_state(dev, "6");
	wait_until(t, pauses() == 0);
	assert_int_equal(toy_servers(t), 0);
	assert_string_equal(xs_get(dev, "error"), "");
	assert_string_equal(xs_get(dev, "bdf"), "");
	assert_int_equal(hyp_store_rm(&t->xen, dev), 0);

	xl_virtio(dev, 0, "virtio,device1");
	wait_until(t, pauses() == 1);
	assert_int_equal(hyp_store_rm(&t->xen, dev), 0);
	wait_until(t, pauses() == 0);
	assert_string_equal(xs_get(dev, "state"), "");
	assert_string_equal(xs_get(dev, "error"), "");
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* ---- the end of guests and workers ---- */

static void test_destroyed(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	b = path_disk(t, SLOT, &one_queue);
	path_exercise(b, 0, 8, 65536, 3);
	toyblk_free(b);
	b = NULL;
	toy_destroy(t);
	wait_until(t, toy_reap(t) == 0);
	wait_until(t, strstr(toy_log(p), "the guest is gone"));
	assert_lives(p);
	path_stop(t, p);
}

static void test_worker_killed(void **state)
{
	struct toy_proc *w;
	char dev[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	w = path_worker(t, p);
	kill(w->pid, SIGKILL);
	wait_until(t, *xs_get(dev, "error"));
	assert_in_log(p, "signal 9");
	assert_lives(p);
	xl_remove(dev);
	wait_state(dev, "6");
	toy_kill(p, SIGTERM);		/* and not path_stop(): it was killed */
	assert_int_equal(toy_exit(p, TOY_MS), 0);
}

/* xl would give the first disks of an HVM guest to QEMU, too. */
static void test_hvm(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");
	xl_disk(dev, 51712, "xvda", img);
	wait_until(t, strstr(xs_get(dev, "error"), "vdev='xvda'"));
	wait_until(t, !*xs_get(dev, "state"));
	xl_disk(dev, 51808, "xvdg", img);
	wait_state(dev, "2");
	toy_shutdown(t, SHUTDOWN_suspend);
	wait_until(t, strstr(toy_log(p), "saved or migrated"));
	path_stop(t, p);
}

/* Whatever xenstored refuses: one line, and nothing is left. */
static void refused_by(const char *fn, unsigned int nth, const char *text)
{
	toy_fail(t, fn, nth, 1, EACCES);
	p = toy_spawn(t, NULL, "--socket", sock, "--config", conf, NULL);
	path_refused(t, p, 1, text);
	toy_fail(t, NULL, 0, 0, 0);
	assert_int_equal(pauses(), 0);
	assert_int_equal(access(sock, F_OK), -1);
}

static void test_store_refuses(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");			/* makes the file */
	path_stop(t, p);
	refused_by("xs_open", 1, "cannot reach xenstore: Permission denied");
	refused_by("xs_watch", 1, "cannot watch xenstore: Permission denied");
	refused_by("xs_watch", 2, "cannot watch xenstore: Permission denied");
	refused_by("xs_watch", 3, "cannot watch '/local/domain/0/backend/virtio_disk' in xenstore: Permission denied");
	refused_by("xs_watch", 4, "cannot watch '/local/domain/0/backend/virtio' in xenstore: Permission denied");

	/* None of that has spoilt anything. */
	xl_disk(dev, 51808, "xvdg", img);
	refused_by("xs_watch", 3, "cannot watch '/local/domain/0/backend/virtio_disk'");
	assert_string_equal(xs_get(dev, "state"), "1");
	start("");
	wait_state(dev, "2");
	path_stop(t, p);
}

/* The last thing that can fail, when there are devices already. */
static void test_store_refuses_late(void **state)
{
	char dev[DEV_LEN];

	(void)state;
	start("");
	path_stop(t, p);
	xl_disk(dev, 51808, "xvdg", img);
	refused_by("xs_watch", 4, "cannot watch '/local/domain/0/backend/virtio' in xenstore: Permission denied");
	assert_string_equal(xs_get(dev, "state"), "1");
	assert_string_equal(xs_get(dev, "error"), "");
}

/* The same, with a guest of the file: it is served until then. */
static void test_store_refuses_extra(void **state)
{
	char text[300], dev[DEV_LEN];

	(void)state;
	snprintf(text, sizeof(text),
		 "guest \"toy\" { device = { \"blk,path=%s\" } }\n", img2);
	start(text);
	wait_until(t, toy_servers(t) == 1);
	path_stop(t, p);
	xl_disk(dev, 51808, "xvdg", img);
	toy_fail(t, "xs_watch", 4, 1, EACCES);
	p = toy_spawn(t, NULL, "--socket", sock, "--config", conf, NULL);
	if (toy_exit(p, TOY_MS) != 1)
		fail_msg("exit %d: %s", toy_exit(p, 0), toy_log(p));
	assert_in_log(p, "backend/virtio' in xenstore: Permission denied");
	assert_int_equal(pauses(), 0);
	assert_int_equal(toy_servers(t), 0);
	assert_string_equal(xs_get(dev, "state"), "1");
}

/* Two of them would fight over every guest. */
static void test_one_service(void **state)
{
	struct toy_proc *other;

	(void)state;
	start("");
	other = toy_spawn(t, NULL, "--config", conf, "--socket", sock, NULL);
	path_refused(t, other, 1, "another xen-virtiod");
	path_stop(t, p);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_disk), T(test_two_disks), T(test_found),
	T(test_missing_image), T(test_directory_removed), T(test_config), T(test_ctl),
	T(test_card), T(test_slow_script), T(test_slow_script_guest_runs),
	T(test_slow_script_stopped), T(test_slow_script_hup),
	T(test_slow_script_removed),
	T(test_virtio_disk), T(test_same_image), T(test_store_refuses),
	T(test_store_refuses_late), T(test_store_refuses_extra),
	T(test_destroyed),
	T(test_worker_killed), T(test_one_service),
	cmocka_unit_test_setup_teardown(test_hvm, setup_hvm, teardown),
};

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (geteuid() == 0 && netlab_enter())
		return 1;
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
