// SPDX-License-Identifier: MIT
/*
 * uring.c: a disk in a file or block device, through io_uring.
 *
 *	submit --> [ submission ring ] --kick: one system call--> kernel
 *	done   <-- [ completion ring ] <--at once, or later-------- kernel
 *	            kick() and the loop reap it
 *
 * submit() only writes an entry into memory that is shared with the kernel;
 * kick() hands over all of them with one io_uring_enter(2).  Much is finished
 * when that returns (reads from the page cache), so kick() reaps right away;
 * the rest is reaped when the ring's descriptor becomes readable.  done() may
 * submit and kick again: the inner kick() does nothing, because the outer one
 * (uring_run()) looks for new entries before it returns.
 *
 * One struct blk_req has at most one entry in the kernel at any time, and the
 * rings are made for as many as there can be requests, so neither ring can be
 * full.  An entry's user_data is the request's address; its three low bits,
 * always zero in an address, say what was tried (enum attempt), which is all
 * that is needed to go on: with the rest of a short transfer, or with the
 * next best way of zeroing.
 *
 * The loop's thread must not sleep, or a disk that has stopped answering
 * would stop its guest's config accesses too.  So what may io_uring_enter(2)
 * sleep on?  It tries a transfer with IOCB_NOWAIT first and hands it to a
 * kernel thread of its own ("io-wq") if that would block.  This fails to hold
 * in three places, as far as the kernel's source and its changes tell:
 *
 *   - Files without FMODE_NOWAIT (tmpfs, overlayfs, network filesystems) may
 *     be read synchronously all the same.  uring_probe() finds out, and their
 *     transfers go to io-wq at once (IOSQE_ASYNC).
 *   - Buffered reads start the read-ahead before they notice that they would
 *     have to wait for it, and starting it waits for a free slot in the block
 *     device's queue, and for metadata.  So they are tried with RWF_NOWAIT,
 *     which starts nothing, and what is not cached goes to io-wq.
 *   - Direct I/O on a *file* goes through iomap, which forgets about
 *     IOCB_NOWAIT when it comes to slots in the block device's queue (up to
 *     6.14; block devices opened directly do remember).  No more than
 *     FILE_KERNEL_MAX are given to the kernel at once, fewer than those queues
 *     have; the others wait here.
 *
 * Left over: a filesystem may read metadata of its own (which blocks does the
 * file have?) while it submits, once in a while.  fsync, fallocate and
 * buffered writes always go to io-wq.  Its threads belong to the thread that
 * runs the loop, and are shared by all disks of that loop.  They count as
 * processes of our uid: an RLIMIT_NPROC without room for them (ring.c says how
 * many) turns into ECANCELED for every request that needs one.
 *
 * Discarding on a block device is the one thing not done by io_uring.  The
 * kernel's fallocate for block devices is BLKZEROOUT (ZERO_RANGE, exactly)
 * or a WRITE ZEROES that may unmap (PUNCH_HOLE), but never a plain discard,
 * and PUNCH_HOLE is refused by devices that discard but do not zero, such as
 * dm-thin.  So a thread calls the BLKDISCARD ioctl.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "blk_backend.h"
#include "loop.h"
#include "ring.h"
#include "util.h"

/*
 * A SATA disk has 64 slots, of which mq-deadline leaves three quarters to
 * writes.  Everything faster has more.
 */
#define FILE_KERNEL_MAX	48

#define ZEROES_BYTES	(64u << 10)
#define TRANSFER_MAX	(1u << 30)	/* an entry's length has 32 bits */
#define RETRY_MS	10
#define RUN_MAX		4
#define DISCARD_STACK	(64u << 10)

enum attempt {
	TRY_TRANSFER,		/* READ, WRITE, as it comes */
	TRY_CACHED,		/* READ, if it needs no I/O */
	TRY_PUNCH,		/* DISCARD, WRITE_ZEROES */
	TRY_ZERO_RANGE,		/* WRITE_ZEROES */
	TRY_ZEROES,		/* WRITE_ZEROES by writing */
	TRY_SYNC,		/* FLUSH; what makes WRITE_ZEROES durable */
	TRY_MASK = 7
};

/* The thread that discards, and two stacks of requests, there and back. */
struct discarder {
	pthread_t	thread;
	bool		running;
	bool		stop;
	int		fd;		/* the disk, borrowed */
	int		todo_event;	/* eventfds, -1 if none */
	int		done_event;
	struct blk_req	*todo;		/* atomic */
	struct blk_req	*done;		/* atomic; ->pos is the result */
};

struct uring {
	struct blk_backend	base;
	struct io_uring		ring;
	struct loop		*loop;
	struct loop_fd		*ring_watch;
	struct loop_fd		*discard_watch;
	struct loop_timer	*retry;
	struct discarder	discarder;
	int			fd;
	unsigned int		depth;
	unsigned int		lent;		/* requests we have */
	unsigned int		in_kernel;	/* or in the rings */
	unsigned int		kernel_max;
	struct blk_req		*waiting;	/* the others, in order */
	struct blk_req		**waiting_last;
	bool			ring_ok;
	bool			busy;		/* inside uring_run() */
	bool			never_nowait;	/* see uring_probe() */
	bool			no_punch;	/* was refused once */
	bool			no_zero_range;
};

/* Never written to, so it takes no memory but the kernel's page of zeroes. */
static char zeroes[ZEROES_BYTES] __attribute__((aligned(4096)));

static struct uring *uring_of(struct blk_backend *be)
{
	return container_of(be, struct uring, base);
}

static bool uring_is_cached(const struct uring *u)
{
	return u->base.info.cache != BLK_CACHE_NONE;
}

static bool uring_is_durable(const struct uring *u, const struct blk_req *req)
{
	return (req->flags & BLK_REQ_FUA) ||
	       u->base.info.cache == BLK_CACHE_WRITETHROUGH;
}

/* ---- requests to entries ---- */

static struct io_uring_sqe *uring_entry(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	assert(sqe);			/* one per request, see uring_open() */
	return sqe;
}

static void uring_label(struct io_uring_sqe *sqe, struct blk_req *req,
			enum attempt how)
{
	assert(((uintptr_t)req & TRY_MASK) == 0);
	sqe->user_data = (uintptr_t)req | how;
	sqe->flags |= IOSQE_FIXED_FILE;	/* descriptor 0 of the ring's own */
}

/*
 * What is left of @req, or a good part of it.  A transfer that stopped in
 * the middle of a piece goes on with the rest of that piece alone: the iov
 * need not be changed for that.
 */
static void uring_transfer(struct uring *u, struct blk_req *req,
			   enum attempt how, bool async)
{
	bool write = req->op == BLK_WRITE;
	struct io_uring_sqe *sqe = uring_entry(u);
	uint64_t offset = req->offset + req->pos;
	uint64_t skip = req->pos;
	struct iovec *iov = req->iov;
	int cnt = req->iovcnt;

	while (cnt > 0 && skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		cnt--;
	}
	assert(cnt > 0);		/* pos < bytes == sum of iov */

	if (cnt == 1 || skip)
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe,
				 0, (char *)iov->iov_base + skip,
				 (unsigned int)MIN((uint64_t)TRANSFER_MAX,
						   iov->iov_len - skip),
				 offset);
	else
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV,
				 sqe, 0, iov, (unsigned int)cnt, offset);
	if (write && uring_is_durable(u, req))
		sqe->rw_flags = RWF_DSYNC;
	if (how == TRY_CACHED)
		sqe->rw_flags = RWF_NOWAIT;
	else if (async || u->never_nowait)
		sqe->flags |= IOSQE_ASYNC;
	uring_label(sqe, req, how);
}

static void uring_write_zeroes(struct uring *u, struct blk_req *req)
{
	struct io_uring_sqe *sqe = uring_entry(u);
	uint64_t len = MIN((uint64_t)ZEROES_BYTES, req->bytes - req->pos);

	io_uring_prep_rw(IORING_OP_WRITE, sqe, 0, zeroes, (unsigned int)len,
			 req->offset + req->pos);
	if (uring_is_durable(u, req))
		sqe->rw_flags = RWF_DSYNC;
	if (u->never_nowait)
		sqe->flags |= IOSQE_ASYNC;
	uring_label(sqe, req, TRY_ZEROES);
}

static void uring_fallocate(struct uring *u, struct blk_req *req,
			    enum attempt how)
{
	struct io_uring_sqe *sqe = uring_entry(u);

	io_uring_prep_fallocate(sqe, 0, FALLOC_FL_KEEP_SIZE |
				(how == TRY_PUNCH ? FALLOC_FL_PUNCH_HOLE :
						    FALLOC_FL_ZERO_RANGE),
				(off_t)req->offset, (off_t)req->bytes);
	uring_label(sqe, req, how);
}

static void uring_sync(struct uring *u, struct blk_req *req)
{
	struct io_uring_sqe *sqe = uring_entry(u);

	io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	uring_label(sqe, req, TRY_SYNC);
}

/* Completes with 0, and in the ordinary way. */
static void uring_nothing(struct uring *u, struct blk_req *req)
{
	struct io_uring_sqe *sqe = uring_entry(u);

	io_uring_prep_nop(sqe);
	req->pos = req->bytes;		/* all done: see uring_transferred() */
	uring_label(sqe, req, TRY_TRANSFER);
}

/* The best way of zeroing that is not better than @best. */
static void uring_zero(struct uring *u, struct blk_req *req,
		       enum attempt best)
{
	/* Without UNMAP the blocks have to stay allocated. */
	if (best <= TRY_PUNCH && (req->flags & BLK_REQ_UNMAP) &&
	    u->base.info.can_discard && !u->no_punch)
		uring_fallocate(u, req, TRY_PUNCH);
	else if (best <= TRY_ZERO_RANGE && !u->no_zero_range)
		uring_fallocate(u, req, TRY_ZERO_RANGE);
	else
		uring_write_zeroes(u, req);
}

static void discarder_push(struct discarder *d, struct blk_req *req);

static void uring_start(struct uring *u, struct blk_req *req)
{
	u->in_kernel++;
	req->pos = 0;
	if (req->bytes == 0 && req->op != BLK_FLUSH) {
		uring_nothing(u, req);
		return;
	}
	switch (req->op) {
	case BLK_READ:
		uring_transfer(u, req, uring_is_cached(u) && !u->never_nowait ?
			       TRY_CACHED : TRY_TRANSFER, false);
		return;
	case BLK_WRITE:
		uring_transfer(u, req, TRY_TRANSFER, false);
		return;
	case BLK_FLUSH:
		uring_sync(u, req);
		return;
	case BLK_DISCARD:
		if (u->discarder.running)
			discarder_push(&u->discarder, req);
		else if (u->base.info.is_blkdev || u->no_punch)
			uring_nothing(u, req);
		else
			uring_fallocate(u, req, TRY_PUNCH);
		return;
	case BLK_WRITE_ZEROES:
		uring_zero(u, req, TRY_PUNCH);
		return;
	}
	assert(!"operation checked above us");
}

static void uring_submit(struct blk_backend *be, struct blk_req *req)
{
	struct uring *u = uring_of(be);

	assert(u->lent < u->depth);
	assert(req->op == BLK_READ || req->op == BLK_FLUSH ||
	       !u->base.info.readonly);
	u->lent++;
	if (u->in_kernel < u->kernel_max) {
		uring_start(u, req);
		return;
	}
	req->next = NULL;
	*u->waiting_last = req;
	u->waiting_last = &req->next;
}

/* ---- what comes back ---- */

static void uring_done(struct uring *u, struct blk_req *req, int err)
{
	struct blk_req *next = u->waiting;

	u->in_kernel--;
	u->lent--;
	if (next) {
		u->waiting = next->next;
		if (!u->waiting)
			u->waiting_last = &u->waiting;
		uring_start(u, next);
	}
	req->done(req, err);		/* may submit: so it comes last */
}

static bool is_interrupted(int res)
{
	return res == -EAGAIN || res == -EINTR;
}

static bool is_unsupported(int res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS;
}

static void uring_transferred(struct uring *u, struct blk_req *req,
			      enum attempt how, int res)
{
	/* TRY_CACHED: part of it, or nothing, was in the page cache. */
	if (is_interrupted(res) || (how == TRY_CACHED && is_unsupported(res)))
		res = 0;
	else if (res < 0)
		return uring_done(u, req, res);
	else if (res == 0 && req->pos < req->bytes && how != TRY_CACHED)
		return uring_done(u, req, -EIO);	/* end of a file */

	req->pos += (unsigned int)res;
	assert(req->pos <= req->bytes);
	if (req->pos == req->bytes)
		return uring_done(u, req, 0);
	/* Direct I/O gets out of step only where a file has been cut short. */
	if (req->pos % u->base.info.buf_align)
		return uring_done(u, req, -EIO);
	if (how == TRY_ZEROES)
		uring_write_zeroes(u, req);
	else
		uring_transfer(u, req, TRY_TRANSFER, true);
}

static void uring_fallocated(struct uring *u, struct blk_req *req,
			     enum attempt how, int res)
{
	if (is_interrupted(res))
		return uring_fallocate(u, req, how);
	if (is_unsupported(res)) {
		u->no_punch |= how == TRY_PUNCH;
		u->no_zero_range |= how == TRY_ZERO_RANGE;
	}
	/*
	 * EINVAL: the guest's blocks are smaller than the device's, which
	 * only a write through the page cache can help.
	 */
	if (is_unsupported(res) || res == -EINVAL) {
		if (req->op == BLK_DISCARD)	/* was only a hint */
			return uring_done(u, req, 0);
		return uring_zero(u, req, how + 1);
	}
	if (res == 0 && req->op == BLK_WRITE_ZEROES && uring_is_durable(u, req))
		return uring_sync(u, req);
	uring_done(u, req, res);
}

static void uring_completed(struct uring *u, uint64_t user_data, int res)
{
	enum attempt how = user_data & TRY_MASK;
	struct blk_req *req = (struct blk_req *)(uintptr_t)
			      (user_data & ~(uint64_t)TRY_MASK);

	switch (how) {
	case TRY_TRANSFER:
	case TRY_CACHED:
	case TRY_ZEROES:
		return uring_transferred(u, req, how, res);
	case TRY_PUNCH:
	case TRY_ZERO_RANGE:
		return uring_fallocated(u, req, how, res);
	case TRY_SYNC:
		if (is_interrupted(res))
			return uring_sync(u, req);
		return uring_done(u, req, res);
	case TRY_MASK:
		break;
	}
	assert(!"a label we have given");
}

/* Return: whether there was anything. */
static bool uring_reap(struct uring *u)
{
	/* Those there are now: what they lead to has to wait its turn. */
	unsigned int i, n = io_uring_cq_ready(&u->ring);
	struct io_uring_cqe *cqe;
	uint64_t user_data;
	int res;

	for (i = 0; i < n; i++) {
		if (io_uring_peek_cqe(&u->ring, &cqe) < 0)
			break;
		user_data = cqe->user_data;
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		uring_completed(u, user_data, res);
	}
	return n > 0;
}

static void uring_enter(struct uring *u)
{
	int r;

	while (io_uring_sq_ready(&u->ring)) {
		r = io_uring_submit(&u->ring);
		if (r > 0 || r == -EINTR)
			continue;
		assert(r != -EEXIST);	/* another thread than open()'s */
		/* Short of memory: nothing is lost, but nobody will call. */
		loop_timer_set(u->retry, RETRY_MS);
		return;
	}
}

static void uring_run(struct uring *u)
{
	int i;

	if (u->busy)
		return;
	u->busy = true;
	for (i = 0; i < RUN_MAX; i++) {
		uring_enter(u);
		if (!uring_reap(u) || !io_uring_sq_ready(&u->ring))
			break;
	}
	/* What this completes at once makes the ring readable. */
	uring_enter(u);
	u->busy = false;
}

static void uring_kick(struct blk_backend *be)
{
	uring_run(uring_of(be));
}

static void uring_on_loop(void *arg)
{
	uring_run(arg);
}

/* ---- discarding on block devices ---- */

/*
 * Many may push, one takes all: the usual stack, whose order does not
 * matter.  The release pairs with the acquire in stack_take(), of either
 * thread.
 */
static void stack_push(struct blk_req **top, struct blk_req *req)
{
	req->next = __atomic_load_n(top, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(top, &req->next, req, true,
					    __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

static struct blk_req *stack_take(struct blk_req **top)
{
	return __atomic_exchange_n(top, NULL, __ATOMIC_ACQUIRE);
}

static void discarder_push(struct discarder *d, struct blk_req *req)
{
	stack_push(&d->todo, req);
	/* Fails only if 2^64 events are pending. */
	(void)eventfd_write(d->todo_event, 1);
}

static void *discarder_main(void *arg)
{
	struct discarder *d = arg;
	struct blk_req *req, *next;
	uint64_t range[2];
	eventfd_t n;

	for (;;) {
		if (eventfd_read(d->todo_event, &n) < 0)
			continue;	/* EINTR: a debugger's */
		/* Pairs with the release in discarder_stop(). */
		if (__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE))
			return NULL;
		for (req = stack_take(&d->todo); req; req = next) {
			next = req->next;
			range[0] = req->offset;
			range[1] = req->bytes;
			req->pos = ioctl(d->fd, BLKDISCARD, range) < 0 ?
				   (uint64_t)errno : 0;
			stack_push(&d->done, req);
			(void)eventfd_write(d->done_event, 1);
		}
	}
}

static void uring_on_discarded(void *arg)
{
	struct uring *u = arg;
	struct blk_req *req, *next;
	eventfd_t n;
	int err;

	/* Only to make it quiet again. */
	(void)eventfd_read(u->discarder.done_event, &n);
	u->busy = true;			/* kick() from done(): below, once */
	for (req = stack_take(&u->discarder.done); req; req = next) {
		next = req->next;
		err = (int)req->pos;
		if (err == EOPNOTSUPP || err == EINVAL)
			err = 0;	/* see uring_fallocated() */
		uring_done(u, req, -err);
	}
	u->busy = false;
	uring_run(u);
}

static int discarder_start(struct discarder *d, int fd)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int r;

	d->fd = fd;
	d->todo_event = eventfd(0, EFD_CLOEXEC);
	if (d->todo_event < 0)
		return -errno;
	d->done_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->done_event < 0)
		return -errno;
	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	/* At worst the stack is of the usual size. */
	(void)pthread_attr_setstacksize(&attr, DISCARD_STACK);
	sigfillset(&all);		/* signals are for the loop */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&d->thread, &attr, discarder_main, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	d->running = r == 0;
	return -r;
}

static void discarder_stop(struct discarder *d)
{
	if (d->running) {
		__atomic_store_n(&d->stop, true, __ATOMIC_RELEASE);
		(void)eventfd_write(d->todo_event, 1);
		pthread_join(d->thread, NULL);
	}
	if (d->todo_event >= 0)
		close(d->todo_event);
	if (d->done_event >= 0)
		close(d->done_event);
}

/* ---- open and close ---- */

/*
 * Does the file know IOCB_NOWAIT?  RWF_NOWAIT is EOPNOTSUPP if not, which is
 * said before anything else is looked at: with O_DIRECT, one byte is EINVAL
 * next, so no I/O is done either way.
 */
static void uring_probe(struct uring *u)
{
	char byte;
	struct iovec iov = { &byte, 1 };

	u->never_nowait = preadv2(u->fd, &iov, 1, 0, RWF_NOWAIT) < 0 &&
			  errno == EOPNOTSUPP;
}

static int uring_watch(struct uring *u)
{
	int r;

	r = loop_timer_add(u->loop, uring_on_loop, u, &u->retry);
	if (r < 0)
		return r;
	r = loop_fd_add(u->loop, u->ring.ring_fd, uring_on_loop, u,
			&u->ring_watch);
	if (r < 0 || !u->discarder.running)
		return r;
	return loop_fd_add(u->loop, u->discarder.done_event,
			   uring_on_discarded, u, &u->discard_watch);
}

static void uring_close(struct blk_backend *be)
{
	struct uring *u;

	if (!be)
		return;
	u = uring_of(be);
	assert(u->lent == 0);
	discarder_stop(&u->discarder);
	loop_fd_del(u->discard_watch);
	loop_fd_del(u->ring_watch);
	loop_timer_del(u->retry);
	if (u->ring_ok)
		ring_put(&u->ring);
	close(u->fd);
	free(u);
}

static int uring_open(struct loop *loop, int fd, const struct blk_info *info,
		      unsigned int depth, struct blk_backend **ret)
{
	struct uring *u;
	int r;

	if (fd < 0)
		return -EBADF;
	u = calloc(1, sizeof(*u));
	if (!u) {
		close(fd);
		return -ENOMEM;
	}
	u->base.ops = &blk_uring_ops;
	u->base.info = *info;
	u->loop = loop;
	u->fd = fd;
	u->depth = depth;
	u->kernel_max = depth;
	if (!info->is_blkdev && !uring_is_cached(u))
		u->kernel_max = MIN(depth, (unsigned int)FILE_KERNEL_MAX);
	u->waiting_last = &u->waiting;
	u->discarder.todo_event = -1;
	u->discarder.done_event = -1;

	uring_probe(u);
	r = ring_get(fd, &u->kernel_max, &u->ring);
	u->ring_ok = r == 0;
	if (r == 0 && info->is_blkdev && info->can_discard)
		r = discarder_start(&u->discarder, fd);
	if (r == 0)
		r = uring_watch(u);
	if (r < 0) {
		uring_close(&u->base);	/* copes with a half-made disk */
		return r;
	}
	*ret = &u->base;
	return 0;
}

const struct blk_backend_ops blk_uring_ops = {
	.name		= "uring",
	.reserve	= ring_reserve,
	.unreserve	= ring_unreserve,
	.open		= uring_open,
	.submit		= uring_submit,
	.kick		= uring_kick,
	.close		= uring_close,
};
