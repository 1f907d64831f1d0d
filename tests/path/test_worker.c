/* SPDX-License-Identifier: MIT */
/*
 * Two processes: what each of them has, and what becomes of the one when the
 * other is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../src/msg.h"
#include "path.h"

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p, *w;
static char img[128], spec[256];

/* A worker in its sandbox does not let its user look at it. */
#define need_root()							\
	do {								\
		if (geteuid() != 0)					\
			skip();						\
	} while (0)

static int setup(void **state)
{
	(void)state;
	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
	toy_image(t, "disk.img", 16 * MB, img);
	snprintf(spec, sizeof(spec), "blk,path=%s", img);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	toyblk_free(b);
	b = NULL;
	/* A child that we have killed and its parent has reaped is no
	 * process of ours. */
	if (w)
		w->status = 0;
	w = NULL;
	toy_free(t);
	return 0;
}

static void start(void)
{
	p = path_run(t, spec, NULL);
	w = path_worker(t, p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 0, 65536, 1);
}

/* What /proc/PID/@file says, in a buffer of ours. */
static const char *proc_file(pid_t pid, const char *file)
{
	static char text[1 << 20];
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

static const char *proc_link(pid_t pid, const char *file)
{
	static char text[512];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return "";
	text[n] = '\0';
	return text;
}

/* The supervisor has nothing of the guest's memory, the worker nothing else. */
static void test_apart(void **state)
{
	char ram[128];

	(void)state;
	need_root();
	start();
	snprintf(ram, sizeof(ram), "%s/ram", t->dir);
	assert_null(strstr(proc_file(p->pid, "maps"), ram));
	assert_non_null(strstr(proc_file(w->pid, "maps"), ram));
	assert_string_equal(proc_file(w->pid, "comm"), "xen-virtiod\n");
	assert_memory_equal(proc_file(w->pid, "cmdline"),
			    "xen-virtiod\0--worker", 21);
	/* and no terminal anywhere */
	assert_string_equal(proc_link(w->pid, "fd/0"), "/dev/null");
	assert_string_equal(proc_link(w->pid, "fd/1"), "/dev/null");
	assert_int_equal(getsid(w->pid), w->pid);
	path_stop(t, p);
}

/* Whoever asks all processes at once to end: the worker is told in time. */
static void test_signals(void **state)
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	unsigned int i;

	(void)state;
	start();
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		toy_kill(w, sigs[i]);
		path_exercise(b, 0, i * 128, 65536, i);
	}
	assert_lives(p);
	path_stop(t, p);
}

/* Reported, everything made for it is gone, and the next one can start. */
static void test_worker_killed(void **state)
{
	char pidfile[128];

	(void)state;
	snprintf(pidfile, sizeof(pidfile), "%s/pid", t->dir);
	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec,
		      "--pidfile", pidfile, NULL);
	assert_int_equal(toy_ready(p, TOY_MS), 0);
	assert_int_equal(access(pidfile, F_OK), 0);
	w = path_worker(t, p);
	toy_kill(w, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_in_log(p, "the worker was ended by signal 9 (Killed)");
	assert_int_equal(access(pidfile, F_OK), -1);
	w->status = 0;
	start();
	toy_kill(p, SIGTERM);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
}

/* One that does not listen is not waited for longer than its guest. */
static void test_worker_hangs(void **state)
{
	int64_t begin;

	(void)state;
	start();
	toy_kill(w, SIGSTOP);
	begin = toy_now_ms();
	toy_destroy(t);
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	assert_true(toy_now_ms() - begin >= 1000);
	assert_in_log(p, "the worker does not end: killing it");
	assert_int_equal(toy_reap(t), 0);
}

static void test_supervisor_killed(void **state)
{
	(void)state;
	start();
	toy_kill(p, SIGKILL);
	assert_int_equal(toy_exit(p, TOY_MS), 128 + SIGKILL);
	assert_int_equal(toy_exit(w, TOY_MS), 0);
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_no_fault(t);
}

/* A descriptor of the worker's, in our hands. */
static int steal(int its_fd)
{
	int fd = (int)syscall(SYS_pidfd_getfd, w->pidfd, its_fd, 0);

	if (fd < 0)
		skip();
	return fd;
}

/*
 * What a worker that was taken over writes to its standard error is neither
 * a line of ours nor of another guest's, and there is an end to it.
 */
static void test_worker_forges(void **state)
{
	static const char text[] = "<0>xen-virtiod: d0 vblk0: forged\x1b[2J\n"
				   "<6>xen-virtiod: again\n";
	const char *at;
	char own[64], c;
	int i, n = 0, fd;

	(void)state;
	need_root();
	p = toy_spawn(t, NULL, "--sandbox=on", "--domain", "toy", "--device",
		      spec, NULL);
	assert_int_equal(toy_ready(p, TOY_MS), 0);
	w = path_worker(t, p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	fd = steal(STDERR_FILENO);
	assert_int_equal(read(fd, &c, 1), -1);		/* it is no terminal */
	for (i = 0; i < 1000; i++)
		if (write(fd, text, strlen(text)) < 0)
			assert_int_equal(errno, EAGAIN);
	wait_until(t, strstr(toy_log(p), "again"));
	path_exercise(b, 0, 0, 65536, 2);
	assert_lives(p);
	path_stop(t, p);
	close(fd);
	snprintf(own, sizeof(own), "xen-virtiod: d%u", t->dom->domid);
	for (at = toy_log(p); *at; at = strchr(at, '\n') + 1, n++)
		assert_memory_equal(at, own, strlen(own));
	assert_in_range(n, 1, 120);
	assert_in_log(p, " worker: xen-virtiod: d0 vblk0: forged\\x1b[2J\n");
}

/* It has the supervisor's ear until it is ready, and no longer. */
static void test_worker_talks(void **state)
{
	const struct msg_head ready = {
		MSG_MAGIC, MSG_VERSION, MSG_READY, 0, 0
	};
	int fd;

	(void)state;
	need_root();
	start();
	fd = steal(3);
	assert_int_equal(send(fd, &ready, sizeof(ready), 0), sizeof(ready));
	assert_int_equal(toy_exit(p, TOY_MS), 1);
	close(fd);
	assert_in_log(p, "the worker does not keep to what is agreed");
	assert_in_log(p, "the worker was ended by signal 9");
}

/* It is not for people. */
static void test_by_hand(void **state)
{
	(void)state;
	p = toy_spawn(t, NULL, "--worker", NULL);
	assert_int_not_equal(toy_exit(p, TOY_MS), 0);
	assert_in_log(p, "do not understand each other");
	p = toy_spawn(t, NULL, "--worker", "--domain", "toy", NULL);
	assert_int_equal(toy_exit(p, TOY_MS), 2);
}

/* Where there is no standard error any more, the worker has none, either. */
static void test_background(void **state)
{
	const char *prog = getenv("XEN_VIRTIOD");
	char pidfile[128];
	const char *const argv[] = {
		"/bin/sh", "-c", "PATH=.:$PATH; \"$0\" \"$@\" 2>&1 | cat",
		prog ? prog : "./xen-virtiod", "--domain", "toy", "--device",
		spec, "--background", "--pidfile", pidfile, NULL
	};
	FILE *f;
	int pid;

	(void)state;
	need_root();
	snprintf(pidfile, sizeof(pidfile), "%s/pid", t->dir);
	p = toy_spawnv(t, argv);
	assert_int_equal(toy_exit(p, TOY_MS), 0);
	f = fopen(pidfile, "re");
	if (!f)
		fail_msg("no pid file: %s", toy_log(p));
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	p = toy_adopt(t, pid);
	w = path_worker(t, p);
	b = path_disk(t, SLOT, &(struct toyblk_conf){ 0 });
	path_exercise(b, 0, 0, 65536, 1);
	assert_memory_equal(proc_link(w->pid, "fd/2"), "pipe:", 5);
	path_stop(t, p);
}

#define WORKER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORKER_TEST(test_apart),
		WORKER_TEST(test_signals),
		WORKER_TEST(test_worker_killed),
		WORKER_TEST(test_worker_hangs),
		WORKER_TEST(test_supervisor_killed),
		WORKER_TEST(test_worker_forges),
		WORKER_TEST(test_worker_talks),
		WORKER_TEST(test_by_hand),
		WORKER_TEST(test_background),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
