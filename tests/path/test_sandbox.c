/* SPDX-License-Identifier: MIT */
/*
 * What a worker that serves a guest has left, as the kernel tells it, and that
 * it serves as well.  What it can do with that: tests/unit/test_sandbox.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/netlab.h"
#include "path.h"
#include "util.h"

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p, *w;
static char img[128], spec[256];

#define need_root()							\
	do {								\
		if (geteuid() != 0)					\
			skip();						\
	} while (0)

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
	toy_disk_image(t, "disk.img", 16 * MB, img);
	snprintf(spec, sizeof(spec), "blk,path=%s,queues=2", img);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(b);
	b = NULL;
	if (w)
		w->status = 0;		/* its parent reaps it */
	w = NULL;
	toy_free(t);
	return 0;
}

static void start(const char *sandbox)
{
	p = toy_spawn(t, NULL, sandbox, "--domain", "toy", "--device", spec,
		      "--device", "net,engine=null", NULL);
	if (toy_ready(p, TOY_MS))
		fail_msg("not ready: %s", toy_log(p));
	w = path_worker(t, p);
}

/* A field of /proc/PID/status, or of one of its threads'. */
static const char *status_of(const char *task, const char *field)
{
	static char line[256];
	char path[300], *text = NULL;
	FILE *f;

	if (task)
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status",
			 w->pid, task);
	else
		snprintf(path, sizeof(path), "/proc/%d/status", w->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (!text && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) &&
		    line[strlen(field)] == ':')
			text = line + strlen(field) + 2;
	fclose(f);
	if (!text)
		fail_msg("no %s in %s", field, path);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void check_thread(const char *task)
{
	static const char *const caps[] = {
		"CapInh", "CapPrm", "CapEff", "CapAmb",
	};
	char uids[64];
	unsigned int i, uid = 0x7fff0000u + t->dom->domid;

	assert_string_equal(status_of(task, "Seccomp"), "2");
	assert_string_equal(status_of(task, "NoNewPrivs"), "1");
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		assert_string_equal(status_of(task, caps[i]),
				    "0000000000000000");
	if (geteuid() != 0)
		return;
	assert_string_equal(status_of(task, "CapBnd"), "0000000000000000");
	snprintf(uids, sizeof(uids), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
	assert_string_equal(status_of(task, "Uid"), uids);
	assert_string_equal(status_of(task, "Gid"), uids);
	assert_string_equal(status_of(task, "Groups"), " ");
}

static void exercise(void)
{
	b = path_disk(t, SLOT, &(struct toyblk_conf){ .queues = 2,
						      .irq = TOYBLK_MSIX });
	path_exercise(b, 0, 0, 65536, 1);
	path_exercise(b, 1, 4096, MB, 2);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0),
			 VIRTIO_BLK_S_OK);
	toy_balloon(t, 0, 0x1800000);
	path_exercise(b, 0, 8, 65536, 3);
}

static void test_threads(void **state)
{
	char path[64];
	unsigned int n = 0;
	struct dirent *e;
	DIR *d;

	(void)state;
	start("--sandbox=on");
	exercise();
	snprintf(path, sizeof(path), "/proc/%d/task", w->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		check_thread(e->d_name);
		n++;
	}
	closedir(d);
	assert_true(n >= 1);
	path_stop(t, p);
}

/* Nothing is in it, nothing can be made in it, and it is nowhere. */
static void test_root(void **state)
{
	char path[64], target[128], inside[80];
	struct dirent *e;
	struct stat st;
	ssize_t n;
	DIR *d;

	(void)state;
	need_root();
	start("--sandbox=on");
	snprintf(path, sizeof(path), "/proc/%d/root", w->pid);
	n = readlink(path, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	assert_non_null(strstr(target, "(deleted)"));
	strcat(path, "/");
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		fail_msg("'%s' is in its root", e->d_name);
	closedir(d);
	snprintf(inside, sizeof(inside), "%snew", path);
	assert_int_equal(open(inside, O_CREAT | O_WRONLY, 0600), -1);
	assert_int_equal(errno, ENOENT);
	snprintf(path, sizeof(path), "/proc/%d/cwd", w->pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	/* our own is where it was */
	snprintf(path, sizeof(path), "/proc/%d/root", p->pid);
	n = readlink(path, target, sizeof(target));
	assert_int_equal(n, 1);
	path_stop(t, p);
}

static ino_t ns_of(pid_t pid, const char *ns)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void test_namespaces(void **state)
{
	(void)state;
	need_root();
	start("--sandbox=on");
	assert_int_not_equal(ns_of(w->pid, "net"), ns_of(p->pid, "net"));
	assert_int_not_equal(ns_of(w->pid, "ipc"), ns_of(p->pid, "ipc"));
	assert_int_not_equal(ns_of(w->pid, "uts"), ns_of(p->pid, "uts"));
	assert_int_equal(ns_of(getpid(), "net"), ns_of(p->pid, "net"));
	path_stop(t, p);
}

static void test_limits(void **state)
{
	char path[64], line[256];
	bool core = false, files = false, procs = false, size = false;
	FILE *f;

	(void)state;
	start("--sandbox=on");
	snprintf(path, sizeof(path), "/proc/%d/limits", w->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		core |= !strncmp(line, "Max core file size        0 "
				 "                   0 ", 48);
		files |= !strncmp(line, "Max open files            1024 "
				  "                1024 ", 48);
		procs |= !strncmp(line, "Max processes             256 "
				  "                 256 ", 48);
		size |= !strncmp(line, "Max file size             16777216 "
				 "            16777216 ", 48);
	}
	fclose(f);
	assert_true(core);
	assert_true(files);
	/* As long as the image, where limits of others can be raised. */
	assert_int_equal(size, geteuid() == 0 &&
			 prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1);
	assert_int_equal(procs, geteuid() == 0);
	path_stop(t, p);
}

/* A worker knows nothing of dom0's network: its only socket is the supervisor's. */
static void test_sockets(void **state)
{
	char path[64], target[256];
	unsigned int n = 0;
	struct dirent *e;
	ssize_t len;
	DIR *d;

	(void)state;
	need_root();
	if (netlab_enter() || netlab_bridge("br0"))
		skip();
	p = toy_spawn(t, NULL, "--sandbox=on", "--domain", "toy", "--device",
		      "net,bridge=br0,script=no", NULL);
	assert_int_equal(toy_ready(p, TOY_MS), 0);
	w = path_worker(t, p);
	snprintf(path, sizeof(path), "/proc/%d/fd", w->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		len = readlinkat(dirfd(d), e->d_name, target,
				 sizeof(target) - 1);
		if (len < 0 || strncmp(target, "socket:", 7) != 0)
			continue;
		assert_int_equal(atoi(e->d_name), 3);
		n++;
	}
	closedir(d);
	assert_int_equal(n, 1);
	path_stop(t, p);
	assert_int_equal(netlab_del("br0"), 0);
}

/* Every descriptor that it has left is one of those that it needs. */
static void test_descriptors(void **state)
{
	static const char *const ok[] = {
		"/dev/null", "socket:[", "anon_inode:[eventpoll]",
		"anon_inode:[timerfd]", "anon_inode:[eventfd]",
		"anon_inode:[io_uring]", "pipe:[", "/memfd:xen-virtiod-state",
	};
	char path[64], file[512], target[256];
	struct dirent *e;
	unsigned int i;
	ssize_t n;
	DIR *d;

	(void)state;
	need_root();		/* nobody else may look */
	start("--sandbox=on");
	exercise();
	snprintf(path, sizeof(path), "/proc/%d/fd", w->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		n = readlink(file, target, sizeof(target) - 1);
		if (n < 0)
			continue;	/* "." */
		target[n] = '\0';
		for (i = 0; i < sizeof(ok) / sizeof(ok[0]); i++)
			if (!strncmp(target, ok[i], strlen(ok[i])))
				break;
		/* its image, its log, and what plays Xen here */
		if (i == sizeof(ok) / sizeof(ok[0]) && strcmp(target, img) &&
		    strncmp(target, t->dir, strlen(t->dir)))
			fail_msg("%s is open in the worker", target);
	}
	closedir(d);
	path_stop(t, p);
}

static void test_uid_base(void **state)
{
	char uids[64];
	unsigned int uid = 100000 + t->dom->domid;

	(void)state;
	need_root();
	p = toy_spawn(t, NULL, "--sandbox=on", "--uid-base", "100000",
		      "--domain", "toy", "--device", spec, NULL);
	assert_int_equal(toy_ready(p, TOY_MS), 0);
	w = path_worker(t, p);
	snprintf(uids, sizeof(uids), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
	assert_string_equal(status_of(NULL, "Uid"), uids);
	exercise();
	path_stop(t, p);
}

static void test_off(void **state)
{
	(void)state;
	start("--sandbox=off");
	assert_in_log(p, "--sandbox=off: what serves the guest has all rights");
	exercise();
	assert_string_equal(status_of(NULL, "Seccomp"), "0");
	path_stop(t, p);
}

/* The guest goes: the end is as quick, and as clean. */
static void test_destroyed(void **state)
{
	int64_t begin;

	(void)state;
	start("--sandbox=on");
	exercise();
	begin = toy_now_ms();
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	assert_true(toy_now_ms() - begin < 1000);
	assert_int_equal(toy_reap(t), 0);
}

#define SANDBOX_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SANDBOX_TEST(test_threads),
		SANDBOX_TEST(test_root),
		SANDBOX_TEST(test_namespaces),
		SANDBOX_TEST(test_limits),
		SANDBOX_TEST(test_descriptors),
		SANDBOX_TEST(test_uid_base),
		SANDBOX_TEST(test_off),
		SANDBOX_TEST(test_destroyed),
		SANDBOX_TEST(test_sockets),	/* the last: it stays there */
	};
	const gid_t group = 4;

	if (geteuid() == 0 && setgroups(1, &group) < 0)
		return 1;		/* so that there are some to lose */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
