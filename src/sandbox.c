/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c: see the header.
 *
 * Order matters, because each step needs what a later one takes away:
 *
 *	prepare	no new privileges; bounding set empty
 *	enter	1 namespaces		CAP_SYS_ADMIN
 *		2 empty root		CAP_SYS_CHROOT
 *		3 limits
 *		4 gid, uid		CAP_SETGID, CAP_SETUID
 *		5 capabilities		for a user who has some
 *		6 system calls
 *
 * Root.  A directory that is removed when we are in it is empty, and nothing
 * can ever be made in it.  Neither a mount nor a fixed place is needed.
 *
 * System calls.  What is not in the table below ends the process, and the
 * kernel's log says which one it was.  The table is for what a worker does
 * from READY on: devices that come and go, requests, interrupts, mapping,
 * draining, a clean end, and abort().  io_uring has no system calls for what it does; what it may do is
 * restricted where the ring is made (uring.c).  A descriptor of privcmd is as
 * good as another, and one is needed for DM_OP; so it is here that the right
 * to map memory that was not granted ends.  glibc and libxen decide which
 * call is made for what, so the table follows what has been seen with strace
 * and read in their sources:
 *
 *	glibc	fstat() is newfstatat(fd, "", AT_EMPTY_PATH), or, from 2.39
 *		on, fstat(fd); clocks are system calls where dom0's cannot be
 *		read in user space
 *	libxen	MMAPBATCH is what MMAPBATCH_V2 falls back to
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"
#include "util.h"

/* ---- system calls ---- */

/* <xen/sys/{privcmd,evtchn,gntdev}.h>, as numbers: see check-layers. */
#define PRIVCMD(nr, bytes)	_IOC(_IOC_NONE, 'P', nr, bytes)
#define EVTCHN(nr, bytes)	_IOC(_IOC_NONE, 'E', nr, bytes)
#define GNTDEV(nr, bytes)	_IOC(_IOC_NONE, 'G', nr, bytes)

/* From Linux 6.3 and liburing 2.4 on, bit 31 says that the ring is registered. */
#define URING	0x7fffffffu

static const int allowed[] = {
	/* the loop, descriptors, the supervisor's socket, log lines */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
	SCMP_SYS(timerfd_settime), SCMP_SYS(read), SCMP_SYS(readv),
	SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
	SCMP_SYS(eventfd2), SCMP_SYS(fstat),
	/* clocks */
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	/* disks */
	SCMP_SYS(io_uring_enter), SCMP_SYS(preadv2),
	/* memory; mmap and mprotect are below */
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(getrandom),
	/* threads, signals, the end */
	SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
#ifdef XVD_SAN
	/* what the sanitizers do in order to watch, and to complain */
	SCMP_SYS(sigaltstack), SCMP_SYS(openat), SCMP_SYS(open),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(prctl),
	SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64), SCMP_SYS(uname),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(access), SCMP_SYS(pipe2),
	SCMP_SYS(getdents64), SCMP_SYS(ioctl), SCMP_SYS(mprotect),
	SCMP_SYS(mmap), SCMP_SYS(getppid),
#endif
};

/* Who needs it; 0: everybody. */
enum {
	PLAIN = 1,
	GRANTS = 2,
};

/* Those of which one argument, cut to 32 bits and masked, must be this. */
static const struct {
	unsigned int	who;
	int		nr;
	unsigned int	arg;
	uint32_t	mask;
	uint32_t	value;
} allowed_with[] = {
	/* Xen: DM_OP; event channel NOTIFY */
	{ 0, SCMP_SYS(ioctl), 1, ~0u, PRIVCMD(5, 16) },
	{ 0, SCMP_SYS(ioctl), 1, ~0u, EVTCHN(4, 4) },
	/* MMAPBATCH, MMAPBATCH_V2 */
	{ PLAIN, SCMP_SYS(ioctl), 1, ~0u, PRIVCMD(3, 24) },
	{ PLAIN, SCMP_SYS(ioctl), 1, ~0u, PRIVCMD(4, 32) },
	/* MAP_GRANT_REF, UNMAP_GRANT_REF, GET_OFFSET_FOR_VADDR, GRANT_COPY */
	{ GRANTS, SCMP_SYS(ioctl), 1, ~0u, GNTDEV(0, 24) },
	{ GRANTS, SCMP_SYS(ioctl), 1, ~0u, GNTDEV(1, 16) },
	{ GRANTS, SCMP_SYS(ioctl), 1, ~0u, GNTDEV(2, 24) },
	{ GRANTS, SCMP_SYS(ioctl), 1, ~0u, GNTDEV(8, 16) },
	/* taps; discards on block devices */
	{ 0, SCMP_SYS(ioctl), 1, ~0u, TUNGETIFF },
	{ 0, SCMP_SYS(ioctl), 1, ~0u, TUNSETOFFLOAD },
	{ 0, SCMP_SYS(ioctl), 1, ~0u, BLKDISCARD },
	/* a ring of the reserve gets a file, and loses it */
	{ 0, SCMP_SYS(io_uring_register), 1, URING, IORING_REGISTER_FILES },
	{ 0, SCMP_SYS(io_uring_register), 1, URING, IORING_UNREGISTER_FILES },
	{ 0, SCMP_SYS(io_uring_register), 1, URING, IORING_UNREGISTER_RING_FDS },
	/* a thread, no process: as restricted as we are */
	{ 0, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD },
	/* nothing that is written becomes a program */
	{ 0, SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ 0, SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* a descriptor, and no path */
	{ 0, SCMP_SYS(newfstatat), 3, ~0u, AT_EMPTY_PATH },
	/* libevent */
	{ 0, SCMP_SYS(fcntl), 1, ~0u, F_GETFL },
	{ 0, SCMP_SYS(fcntl), 1, ~0u, F_GETFD },
};

static int filter_fill(scmp_filter_ctx ctx, unsigned int who)
{
	struct scmp_arg_cmp cmp;
	size_t i, j;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(allowed) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (i = 0; i < ARRAY_SIZE(allowed_with) && !r; i++) {
		for (j = 0; j < ARRAY_SIZE(allowed); j++)
			if (allowed[j] == allowed_with[i].nr)
				break;		/* a sanitizer's anyway */
		if (j < ARRAY_SIZE(allowed) || (allowed_with[i].who & ~who))
			continue;
		cmp = SCMP_CMP64(allowed_with[i].arg, SCMP_CMP_MASKED_EQ,
				 allowed_with[i].mask, allowed_with[i].value);
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW,
					   allowed_with[i].nr, 1, &cmp);
	}
	/* abort(): a signal to ourselves and to nobody else */
	cmp = SCMP_CMP64(0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
	if (!r)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW,
					   SCMP_SYS(tgkill), 1, &cmp);
	/* Where its arguments are no filter sees: libc has clone() as well. */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
				     SCMP_SYS(clone3), 0);
	return r;
}

static int filter_load(unsigned int who)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
			     SCMP_ACT_KILL_PROCESS);
	if (!r)			/* threads there are already */
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A tree, not a list; where libseccomp has none it is slower. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!r)
		r = filter_fill(ctx, who);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

/* ---- the rest ---- */

/* A kernel without them has them in common; the filter remains. */
static int namespaces(void)
{
	static const int which[] = {
		CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(which); i++)
		if (unshare(which[i]) < 0 && errno != EINVAL)
			return -errno;
	return 0;
}

static int empty_root(void)
{
	static const char *const where[] = { "/run", "/tmp" };
	char dir[32];
	int fd = -1, r = -ENOENT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(where) && fd < 0; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/xen-virtiod-XXXXXX",
			       where[i]);
		if (!mkdtemp(dir)) {
			r = -errno;
			continue;
		}
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
		(void)rmdir(dir);	/* it is ours and empty */
	}
	if (fd < 0)
		return r;
	if (fchdir(fd) < 0 || chroot(".") < 0)
		r = -errno;
	close(fd);
	return r;
}

static int limits(bool files)
{
	const struct {
		int	what;
		rlim_t	most;
	} t[] = {
		{ RLIMIT_CORE, 0 },	/* it would hold guest memory */
		{ RLIMIT_NOFILE, 1024 },
		{ RLIMIT_MSGQUEUE, 0 },
		/* Of this uid, with the kernel's own for its io_urings. */
		{ RLIMIT_NPROC, 256 },
	};
	struct rlimit rl = { 0 };
	size_t i;

	/*
	 * An image does not grow over dom0's file system.  Whoever hands one
	 * over raises this to its size (supervisor.c).
	 */
	if (files && setrlimit(RLIMIT_FSIZE, &rl) < 0)
		return -errno;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		/* An ordinary user may have more processes than that. */
		if (t[i].what == RLIMIT_NPROC && geteuid() != 0)
			continue;
		if (getrlimit(t[i].what, &rl) < 0)
			return -errno;
		rl.rlim_max = MIN(rl.rlim_max, t[i].most);
		rl.rlim_cur = MIN(rl.rlim_cur, t[i].most);
		if (setrlimit(t[i].what, &rl) < 0)
			return -errno;
	}
	return 0;
}

static int become(uint32_t uid)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	assert(setuid(0) < 0);
	return 0;
}

bool sandbox_can_limit_files(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {
		{ 0 },
	};

	return syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &
		CAP_TO_MASK(CAP_SYS_RESOURCE));
}

static int no_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {
		{ 0 },
	};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &head, none) < 0)
		return -errno;
	return 0;
}

static int refuse(int err, const char *what, char *why, size_t why_len)
{
	snprintf(why, why_len, "the worker's sandbox: %s: %s; --sandbox=off does without",
		 what, strerror(-err));
	return err;
}

int sandbox_prepare(char *why, size_t why_len)
{
	unsigned long cap;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return refuse(-errno, "no new privileges", why, why_len);
	/* Ordinary users may not, and have nothing to gain from it. */
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return 0;
}

static int enter_as_root(uint32_t uid, bool limit_files, char *why,
			 size_t why_len)
{
	int r;

	r = namespaces();
	if (r < 0)
		return refuse(r, "namespaces of its own", why, why_len);
	r = empty_root();
	if (r < 0)
		return refuse(r, "an empty root", why, why_len);
	r = limits(limit_files);
	if (r < 0)
		return refuse(r, "limits", why, why_len);
	r = become(uid);
	if (r < 0)
		return refuse(r, "a uid of its own", why, why_len);
	return 0;
}

int sandbox_enter(const struct sandbox_opts *opts, bool *ret_whole, char *why,
		  size_t why_len)
{
	unsigned int who = (opts->plain ? PLAIN : 0) |
			   (opts->grants ? GRANTS : 0);
	bool root = geteuid() == 0;
	int r;

	if (root) {
		r = enter_as_root(opts->uid, opts->limit_files, why,
				  why_len);
		if (r < 0)
			return r;
	} else {
		r = limits(opts->limit_files);
		if (r < 0)
			return refuse(r, "limits", why, why_len);
	}
	r = no_capabilities();
	if (r < 0)
		return refuse(r, "no capabilities", why, why_len);
	/* Changing the uid has done it, or has not been done. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	r = filter_load(who);
	if (r < 0)
		return refuse(r, "a system call filter", why, why_len);
	*ret_whole = root;
	return 0;
}
