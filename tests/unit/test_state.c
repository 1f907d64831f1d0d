/* SPDX-License-Identifier: MIT */
/*
 * test_state.c: what outlives the process.  Its layout is a file format: who
 * changes a number here has to change STATE_VERSION as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "state.h"
#include "unit.h"

#define HEAD_BYTES	64

static void test_layout(void **unused)
{
	(void)unused;
	assert_int_equal(STATE_VERSION, 4);
	assert_int_equal(sizeof(struct state_head), 16);

	assert_int_equal(offsetof(struct fn_state, pci), 0);
	assert_int_equal(offsetof(struct fn_state, msix), 256);
	assert_int_equal(offsetof(struct fn_state, vdev), 552);
	assert_int_equal(offsetof(struct fn_state, vq), 648);
	assert_int_equal(sizeof(struct vq_state), 168);
	assert_int_equal(offsetof(struct fn_state, stats), 648 + 17 * 168);
	assert_int_equal(sizeof(struct fn_state), 648 + 17 * 168 + 104);

	assert_int_equal(offsetof(struct msix_state, pending), 18 * 16);

	assert_int_equal(offsetof(struct vdev_state, driver_features), 0);
	assert_int_equal(offsetof(struct vdev_state, queue_select), 16);
	assert_int_equal(offsetof(struct vdev_state, status), 20);
	assert_int_equal(offsetof(struct vdev_state, isr), 21);
	assert_int_equal(offsetof(struct vdev_state, device), 28);

	assert_int_equal(offsetof(struct vq_state, size), 24);
	assert_int_equal(offsetof(struct vq_state, last_avail), 28);
	assert_int_equal(offsetof(struct vq_state, used_idx), 30);
	assert_int_equal(offsetof(struct vq_state, enabled), 32);
	assert_int_equal(offsetof(struct vq_state, inflight), 40);
}

/* The memory file, as its next reader will find it. */
static int memory_file(void)
{
	char path[64], what[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 64; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, what, sizeof(what) - 1);
		if (n < 0)
			continue;
		what[n] = '\0';
		if (strncmp(what, "/memfd:xen-virtiod-state", 24) == 0)
			return fd;
	}
	return -1;
}

static void test_file(void **unused)
{
	struct fn_state fn, zero = { 0 };
	struct state_head head;
	struct state *state;
	struct stat st;
	int fd, i;

	(void)unused;
	assert_int_equal(memory_file(), -1);
	assert_int_equal(state_open(3, &state), 0);
	fd = memory_file();
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, HEAD_BYTES + 3 * sizeof(fn));
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(head.magic, 0x58564430);
	assert_int_equal(head.version, 4);
	assert_int_equal(head.fn_bytes, sizeof(fn));
	assert_int_equal(head.fn_count, 3);

	for (i = 0; i < 3; i++) {
		assert_memory_equal(state_fn(state, (unsigned int)i), &zero,
				    sizeof(zero));
		assert_int_equal((uintptr_t)state_fn(state, (unsigned int)i) %
				 8, 0);
		memset(state_fn(state, (unsigned int)i), 'a' + i, sizeof(fn));
	}
	for (i = 0; i < 3; i++) {		/* it is the file itself */
		assert_int_equal(pread(fd, &fn, sizeof(fn), HEAD_BYTES +
				       i * (off_t)sizeof(fn)), sizeof(fn));
		assert_int_equal(((char *)&fn)[0], 'a' + i);
		assert_int_equal(((char *)&fn)[sizeof(fn) - 1], 'a' + i);
	}
	assert_ptr_equal(state_fn(state, 2), state_fn(state, 2));
	state_close(state);
	assert_int_equal(memory_file(), -1);
	state_close(NULL);
}

static void test_none(void **unused)
{
	struct state *state;

	(void)unused;
	assert_int_equal(state_open(0, &state), 0);
	state_close(state);
}

static void test_no_descriptors(void **unused)
{
	struct state *state = NULL;
	struct rlimit old, none;
	int r;

	(void)unused;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = state_open(1, &state);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_null(state);
}

static void test_no_room(void **unused)
{
	struct state *state = NULL;
	struct rlimit old, small;
	int r;

	(void)unused;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 100;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = state_open(1, &state);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_null(state);
	assert_int_equal(memory_file(), -1);
}

/* Another process's view of it: the same bytes, through a descriptor. */
static void test_adopted(void **unused)
{
	struct state *mine, *theirs = NULL;
	int fd;

	(void)unused;
	assert_int_equal(state_open(3, &mine), 0);
	assert_int_equal(state_count(mine), 3);
	fd = dup(state_fd(mine));
	assert_int_equal(state_adopt(fd, &theirs), 0);
	assert_int_equal(state_count(theirs), 3);
	state_fn(theirs, 2)->vdev.status = 0x55;
	assert_int_equal(state_fn(mine, 2)->vdev.status, 0x55);
	/* nobody can pull it away from under the other one */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	state_close(theirs);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(state_fn(mine, 2)->vdev.status, 0x55);
	state_close(mine);
}

/* What is no such file is refused, and its descriptor closed. */
static void test_not_adopted(void **unused)
{
	const struct state_head good = {
		STATE_MAGIC, STATE_VERSION, sizeof(struct fn_state), 1,
	};
	const off_t whole = HEAD_BYTES + sizeof(struct fn_state);
	struct {
		struct state_head	head;
		off_t			bytes;
		int			r;
	} t[] = {
		{ good, whole, 0 },
		{ good, whole - 1, -EPROTO },
		{ good, whole + 1, -EPROTO },
		{ good, 0, -EPROTO },
		{ good, sizeof(good), -EPROTO },
		{ good, whole, -EPROTO },
		{ good, whole, -EPROTO },
		{ good, whole, -EPROTO },
		{ good, whole, -EPROTO },
	};
	struct state *state;
	size_t i;
	int fd;

	(void)unused;
	t[5].head.magic++;
	t[6].head.version++;
	t[7].head.fn_bytes += 8;
	t[8].head.fn_count = 0xffffffff;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		fd = memfd_create("other", MFD_CLOEXEC);
		assert_int_equal(pwrite(fd, &t[i].head, sizeof(t[i].head), 0),
				 sizeof(t[i].head));
		assert_int_equal(ftruncate(fd, t[i].bytes), 0);
		state = NULL;
		assert_int_equal(state_adopt(fd, &state), t[i].r);
		state_close(state);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
	assert_int_equal(state_adopt(-1, &state), -EBADF);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_layout),
	cmocka_unit_test(test_file),
	cmocka_unit_test(test_none),
	cmocka_unit_test(test_no_descriptors),
	cmocka_unit_test(test_no_room),
	cmocka_unit_test(test_adopted),
	cmocka_unit_test(test_not_adopted),
};

UNIT_MAIN(tests)
