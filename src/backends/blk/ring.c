/* SPDX-License-Identifier: MIT */
/*
 * ring.c: see the header.
 *
 * What a ring does needs no system call of its own, so a filter of system
 * calls does not see it: a ring could open files, and sockets.  Ours do what
 * a disk needs (uring.c), with the one file that they are given, so that they
 * are no way around a sandbox.  And because a sandbox cannot see what a new
 * ring may do, none is made in it: those for disks that come later are made
 * before.
 *
 * The reserve belongs to the process, as the sandbox does.  Not locked: the
 * loop's thread has all disks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "ring.h"
#include "util.h"

/* Kernel threads: sequential I/O needs few, cold buffered reads like many. */
#define WORKERS_MAX	32

static struct {
	bool		on;		/* no other rings are to be had */
	struct io_uring	*rings;		/* the first @count are unused */
	unsigned int	count;
	unsigned int	size;
} reserve;

static int ring_setup(unsigned int entries, struct io_uring *ret)
{
	/*
	 * By kernel: 6.0, 5.19, 5.10, any.  With COOP_TASKRUN a completion
	 * does not interrupt us in user space, where we have better things to
	 * do.  R_DISABLED: until ring_restrict().
	 */
	static const unsigned int flags[] = {
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_R_DISABLED,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_R_DISABLED,
		IORING_SETUP_R_DISABLED,
		0,
	};
	struct io_uring_params params;
	size_t i;
	int r = -EINVAL;

	for (i = 0; i < ARRAY_SIZE(flags) && r == -EINVAL; i++) {
		params = (struct io_uring_params){ .flags = flags[i] };
		r = io_uring_queue_init_params(entries, ret, &params);
	}
	return r;
}

static int ring_restrict(struct io_uring *ring)
{
	static const uint8_t ops[] = {
		IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE,
		IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
		IORING_OP_FALLOCATE,
	};
	static const uint8_t calls[] = {
		IORING_REGISTER_FILES, IORING_UNREGISTER_FILES,
		IORING_UNREGISTER_RING_FDS,
	};
	struct io_uring_restriction t[2 + ARRAY_SIZE(calls) +
				      ARRAY_SIZE(ops)] = {
		{ .opcode	= IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags	= IOSQE_FIXED_FILE | IOSQE_ASYNC },
		{ .opcode	= IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
		  .sqe_flags	= IOSQE_FIXED_FILE },
	};
	struct io_uring_restriction *next = &t[2];
	size_t i;
	int r;

	if (!(ring->flags & IORING_SETUP_R_DISABLED))
		return 0;
	for (i = 0; i < ARRAY_SIZE(calls); i++, next++) {
		next->opcode = IORING_RESTRICTION_REGISTER_OP;
		next->register_op = calls[i];
	}
	for (i = 0; i < ARRAY_SIZE(ops); i++, next++) {
		next->opcode = IORING_RESTRICTION_SQE_OP;
		next->sqe_op = ops[i];
	}
	/* liburing 2.3 has functions for these, and forgets to export them. */
	r = (int)syscall(SYS_io_uring_register, ring->ring_fd,
			 IORING_REGISTER_RESTRICTIONS, t, ARRAY_SIZE(t));
	if (r == 0)
		r = (int)syscall(SYS_io_uring_register, ring->ring_fd,
				 IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return r < 0 ? -errno : 0;
}

static int ring_make(unsigned int entries, struct io_uring *ret)
{
	unsigned int workers[2] = { WORKERS_MAX, 1 };
	struct io_uring ring;
	int r;

	r = ring_setup(entries, &ring);
	if (r < 0)
		return r;
	/* Both may fail, on older kernels: then it is a little slower. */
	(void)io_uring_register_iowq_max_workers(&ring, workers);
	(void)io_uring_register_ring_fd(&ring);
	r = ring_restrict(&ring);
	if (r < 0)
		io_uring_queue_exit(&ring);
	else
		*ret = ring;
	return r;
}

int ring_reserve(unsigned int count)
{
	int r = 0;

	reserve.rings = calloc(count, sizeof(*reserve.rings));
	if (!reserve.rings)
		return -ENOMEM;
	reserve.on = true;
	reserve.size = count;
	while (r == 0 && reserve.count < count) {
		r = ring_make(RING_RESERVED_ENTRIES,
			      &reserve.rings[reserve.count]);
		if (r == 0)
			reserve.count++;
	}
	if (r < 0)
		ring_unreserve();
	return r;
}

void ring_unreserve(void)
{
	while (reserve.count > 0)
		io_uring_queue_exit(&reserve.rings[--reserve.count]);
	free(reserve.rings);
	reserve.rings = NULL;
	reserve.size = 0;
	reserve.on = false;
}

int ring_get(int fd, unsigned int *entries, struct io_uring *ret)
{
	struct io_uring ring;
	int r;

	if (!reserve.on) {
		r = ring_make(*entries, &ring);
		if (r < 0)
			return r;
	} else if (reserve.count == 0) {
		return -EMFILE;
	} else {
		ring = reserve.rings[--reserve.count];
	}
	r = io_uring_register_files(&ring, &fd, 1);
	if (r < 0) {
		ring_put(&ring);
		return r;
	}
	if (reserve.on)
		*entries = MIN(*entries, (unsigned int)RING_RESERVED_ENTRIES);
	*ret = ring;
	return 0;
}

/*
 * A dead ring lets go of its files when the kernel finds the time, and the
 * image would stay locked until then: so it is told to.
 */
void ring_put(struct io_uring *ring)
{
	(void)io_uring_unregister_files(ring);	/* none is fine */
	if (reserve.on && reserve.count < reserve.size)
		reserve.rings[reserve.count++] = *ring;
	else
		io_uring_queue_exit(ring);
}
