/* SPDX-License-Identifier: MIT */
/*
 * test_sandbox.c: what a process in the sandbox can do, and what ends it.
 * Each attempt is made by a child of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <xenctrl.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "sandbox.h"
#include "unit.h"
#include "util.h"

#define UID	(SANDBOX_UID_BASE + 7)
#define MB	(1u << 20)

/* Architectures that came later have the new one only. */
#ifndef SYS_open
#define SYS_open	SYS_openat
#endif

static int devnull, file;
static int pair[2];
static struct sandbox_opts opts = {
	.uid = UID, .plain = true, .grants = true,
};
static char why[512];

/* Return: status of a child that enters the sandbox and calls @fn. */
static int child(int (*fn)(void))
{
	bool root = geteuid() == 0, whole;
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_prepare(why, sizeof(why)) < 0 ||
		    sandbox_enter(&opts, &whole, why, sizeof(why)) < 0) {
			fprintf(stderr, "%s\n", why);
			_exit(100);
		}
		_exit(whole == root ? fn() : 101);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- what goes on ---- */

static void *thread_main(void *arg)
{
	char c;

	/* Once let go: the filter is ours, too. */
	while (read(pair[0], &c, 1) == 1 && c != 'x')
		;
	(void)syscall(SYS_open, "/dev/null", O_RDONLY);
	return arg;
}

static int do_everything(void)
{
	struct timespec ts = { .tv_nsec = 1000 };
	struct stat st;
	sigset_t set;
	char *p;
	int r = 0;

	p = malloc(1 << 20);
	r |= !p;
	p = realloc(p, 64 << 20);
	r |= !p;
	free(p);
	r |= clock_gettime(CLOCK_MONOTONIC, &ts) < 0;
	ts = (struct timespec){ .tv_nsec = 1000 };
	r |= nanosleep(&ts, NULL) < 0;
	r |= write(pair[1], "a", 1) != 1;
	r |= recv(pair[0], &set, 1, 0) != 1;
	r |= fstat(devnull, &st) < 0;
	sigemptyset(&set);
	r |= sigprocmask(SIG_SETMASK, &set, NULL) < 0;
	r |= sched_yield();
	r |= close(devnull) < 0;
	return r;
}

static void test_goes_on(void **state)
{
	(void)state;
	assert_int_equal(child(do_everything), 0);
}

static int do_assert(void)
{
	abort();
}

/* A bug of ours is still reported as one. */
static void test_abort(void **state)
{
	int status;

	(void)state;
	status = child(do_assert);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* The ioctls by their right numbers; what they do is not our business. */
static int do_ioctls(void)
{
	static const unsigned long nrs[] = {
		IOCTL_PRIVCMD_DM_OP, IOCTL_PRIVCMD_MMAPBATCH,
		IOCTL_PRIVCMD_MMAPBATCH_V2, IOCTL_EVTCHN_NOTIFY, TUNGETIFF,
		TUNSETOFFLOAD, BLKDISCARD, IOCTL_GNTDEV_MAP_GRANT_REF,
		IOCTL_GNTDEV_UNMAP_GRANT_REF,
		IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, IOCTL_GNTDEV_GRANT_COPY,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nrs); i++)
		if (ioctl(devnull, nrs[i], NULL) == 0)
			return 1;
	/* A newer liburing sets bit 31. */
	return syscall(SYS_io_uring_register, devnull,
		       IORING_UNREGISTER_FILES, NULL, 0) == 0 ||
	       syscall(SYS_io_uring_register, devnull,
		       1u << 31 | IORING_REGISTER_FILES, NULL, 0) == 0;
}

static void test_ioctls(void **state)
{
	(void)state;
	assert_int_equal(child(do_ioctls), 0);
}

/* ---- what does not ---- */

static unsigned long nr;

static int do_ioctl(void)
{
	return ioctl(devnull, nr, NULL) == 0;
}

/* What is not granted cannot be mapped, or what is; by any descriptor. */
static void test_kinds_of_memory(void **state)
{
	static const unsigned long plain[] = {
		IOCTL_PRIVCMD_MMAPBATCH, IOCTL_PRIVCMD_MMAPBATCH_V2,
	};
	static const unsigned long grants[] = {
		IOCTL_GNTDEV_MAP_GRANT_REF, IOCTL_GNTDEV_UNMAP_GRANT_REF,
		IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, IOCTL_GNTDEV_GRANT_COPY,
	};
	unsigned int i, k;

	(void)state;
#ifdef XVD_SAN
	skip();				/* a sanitizer needs ioctl() */
#endif
	for (k = 0; k < 2; k++) {
		opts.plain = k;
		opts.grants = !k;
		for (i = 0; i < ARRAY_SIZE(plain); i++) {
			nr = plain[i];
			assert_int_equal(WIFSIGNALED(child(do_ioctl)), !k);
		}
		for (i = 0; i < ARRAY_SIZE(grants); i++) {
			nr = grants[i];
			assert_int_equal(WIFSIGNALED(child(do_ioctl)), k);
		}
		nr = IOCTL_PRIVCMD_DM_OP;
		assert_int_equal(child(do_ioctl), 0);
	}
	opts.plain = opts.grants = true;
	/* Nor is there a way around them. */
	nr = IOCTL_PRIVCMD_MMAP_RESOURCE;
	assert_true(WIFSIGNALED(child(do_ioctl)));
}

/* No file is made any longer, until somebody else allows it. */
static int do_write(void)
{
	return write(file, "x", 1) != 1;
}

static void test_file_size(void **state)
{
	int status;

	(void)state;
	file = memfd_create("file", MFD_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(child(do_write), 0);
	opts.limit_files = true;
	status = child(do_write);
	opts.limit_files = false;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXFSZ);
	close(file);
}

#define FORBIDDEN(name, expr)						\
	static int name(void)						\
	{								\
		(void)!(expr);						\
		return 0;						\
	}

FORBIDDEN(do_open, open("/etc/passwd", O_RDONLY))
FORBIDDEN(do_old_open, syscall(SYS_open, "/etc/passwd", O_RDONLY))
FORBIDDEN(do_stat, fstatat(AT_FDCWD, "/", &(struct stat){ 0 }, 0))
FORBIDDEN(do_unlink, unlink("/x"))
FORBIDDEN(do_socket, socket(AF_UNIX, SOCK_STREAM, 0))
FORBIDDEN(do_connect, connect(pair[0], NULL, 0))
FORBIDDEN(do_fork, fork())
FORBIDDEN(do_vfork, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
FORBIDDEN(do_exec, execl("/bin/true", "true", NULL))
FORBIDDEN(do_kill, kill(getppid(), 0))
FORBIDDEN(do_tgkill, syscall(SYS_tgkill, 1, 1, 0))
FORBIDDEN(do_ptrace, ptrace(PTRACE_TRACEME, 0, 0, 0))
FORBIDDEN(do_setuid, setuid(0))
FORBIDDEN(do_chroot, chroot("."))
FORBIDDEN(do_unshare, unshare(CLONE_NEWUSER))
FORBIDDEN(do_prctl, prctl(PR_SET_DUMPABLE, 1))
FORBIDDEN(do_dup, dup2(devnull, STDERR_FILENO))
FORBIDDEN(do_ring, syscall(SYS_io_uring_setup, 8,
			   &(struct io_uring_params){ 0 }))
FORBIDDEN(do_ring_buffers, syscall(SYS_io_uring_register, devnull,
				 IORING_REGISTER_BUFFERS, NULL, 0))
FORBIDDEN(do_exec_pages, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE |
			      MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
FORBIDDEN(do_make_exec, mprotect(NULL, 4096, PROT_EXEC))
FORBIDDEN(do_hypercall, ioctl(devnull, IOCTL_PRIVCMD_HYPERCALL, NULL))
FORBIDDEN(do_map_resource, ioctl(devnull, IOCTL_PRIVCMD_MMAP_RESOURCE, NULL))
FORBIDDEN(do_bind, ioctl(devnull, IOCTL_EVTCHN_BIND_INTERDOMAIN, NULL))
FORBIDDEN(do_type, ioctl(STDERR_FILENO, TIOCSTI, "x"))
FORBIDDEN(do_set_iff, ioctl(devnull, TUNSETIFF, NULL))

static void test_forbidden(void **state)
{
	static const struct {
		const char	*what;
		int		(*fn)(void);
	} t[] = {
		{ "open", do_open }, { "SYS_open", do_old_open },
		{ "stat", do_stat }, { "unlink", do_unlink },
		{ "socket", do_socket }, { "connect", do_connect },
		{ "fork", do_fork }, { "clone", do_vfork },
		{ "exec", do_exec }, { "kill", do_kill },
		{ "tgkill", do_tgkill }, { "ptrace", do_ptrace },
		{ "setuid", do_setuid }, { "chroot", do_chroot },
		{ "unshare", do_unshare }, { "prctl", do_prctl },
		{ "dup2", do_dup }, { "io_uring_setup", do_ring },
		{ "io_uring_register", do_ring_buffers },
		{ "PROT_EXEC", do_exec_pages }, { "mprotect", do_make_exec },
		{ "hypercall", do_hypercall },
		{ "map_resource", do_map_resource }, { "bind", do_bind },
		{ "TIOCSTI", do_type }, { "TUNSETIFF", do_set_iff },
		};
	size_t i;
	int status;

	(void)state;
#ifdef XVD_SAN
	skip();			/* the sanitizers have calls of their own */
#endif
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		status = child(t[i].fn);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: status %#x", t[i].what, status);
	}
}

/* Threads that were there before are no way around it. */
static void __attribute__((noreturn)) do_thread(void)
{
	(void)!write(pair[1], "x", 1);
	for (;;)
		(void)sched_yield();
}

static void test_threads(void **state)
{
	pthread_t thread;
	bool whole;
	int status;
	pid_t pid;

	(void)state;
#ifdef XVD_SAN
	skip();
#endif
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)alarm(5);
		if (sandbox_prepare(why, sizeof(why)) < 0 ||
		    pthread_create(&thread, NULL, thread_main, NULL) ||
		    sandbox_enter(&opts, &whole, why, sizeof(why)) < 0)
			_exit(100);
		do_thread();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* What cannot be had is said, with a way out. */
static void test_refused(void **state)
{
	struct rlimit none = { 0, 0 };
	bool whole;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (setrlimit(RLIMIT_NOFILE, &none) < 0 ||
		    sandbox_enter(&opts, &whole, why, sizeof(why)) != -EMFILE ||
		    strcmp(why, "the worker's sandbox: an empty root: Too many open files; --sandbox=off does without"))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* unshare() of now on fails with @err. */
static int fail_unshare(unsigned int err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(err), SCMP_SYS(unshare), 0);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

/* Without namespaces where there are some to be had: no sandbox. */
static void test_namespaces(void **state)
{
	static const struct {
		unsigned int	err;
		int		want;
		const char	*why;
	} t[] = {
		{ ENOSPC, -ENOSPC, "the worker's sandbox: namespaces of its own: No space left on device; --sandbox=off does without" },
		{ EPERM, -EPERM, "the worker's sandbox: namespaces of its own: Operation not permitted; --sandbox=off does without" },
		{ EINVAL, 0, "" },	/* the kernel has none */
	};
	bool whole;
	int status;
	size_t i;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)fflush(NULL);
		pid = fork();
		if (pid == 0) {
			if (fail_unshare(t[i].err) < 0 ||
			    sandbox_enter(&opts, &whole, why, sizeof(why)) !=
			    t[i].want || strcmp(why, t[i].why) != 0)
				_exit(1);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status)
			fail_msg("%zu: status %#x", i, status);
	}
}

static int setup(void **state)
{
	(void)state;
	devnull = open("/dev/null", O_RDWR | O_CLOEXEC);
	return devnull < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_goes_on),
	cmocka_unit_test(test_abort),
	cmocka_unit_test(test_ioctls),
	cmocka_unit_test(test_kinds_of_memory),
	cmocka_unit_test(test_forbidden),
	cmocka_unit_test(test_file_size),
	cmocka_unit_test(test_threads),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_namespaces),
};

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, setup, NULL);
}
