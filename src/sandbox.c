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
 *
 * Root.  A directory that is removed when we are in it is empty, and nothing
 * can ever be made in it.  Neither a mount nor a fixed place is needed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"
#include "util.h"

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

static int limits(void)
{
	static const struct {
		int	what;
		rlim_t	most;
	} t[] = {
		{ RLIMIT_CORE, 0 },	/* it would hold guest memory */
		{ RLIMIT_NOFILE, 1024 },
		{ RLIMIT_MSGQUEUE, 0 },
		/* Of this uid, with the kernel's own for its io_urings. */
		{ RLIMIT_NPROC, 256 },
	};
	struct rlimit rl;
	size_t i;

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

static int enter_as_root(uint32_t uid, char *why, size_t why_len)
{
	int r;

	/* A kernel without them has them in common; the filter remains. */
	(void)unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
	r = empty_root();
	if (r < 0)
		return refuse(r, "an empty root", why, why_len);
	r = limits();
	if (r < 0)
		return refuse(r, "limits", why, why_len);
	r = become(uid);
	if (r < 0)
		return refuse(r, "a uid of its own", why, why_len);
	return 0;
}

int sandbox_enter(uint32_t uid, bool *ret_whole, char *why, size_t why_len)
{
	bool root = geteuid() == 0;
	int r;

	if (root) {
		r = enter_as_root(uid, why, why_len);
		if (r < 0)
			return r;
	} else {
		r = limits();
		if (r < 0)
			return refuse(r, "limits", why, why_len);
	}
	r = no_capabilities();
	if (r < 0)
		return refuse(r, "no capabilities", why, why_len);
	/* Changing the uid has done it, or has not been done. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	*ret_whole = root;
	return 0;
}
