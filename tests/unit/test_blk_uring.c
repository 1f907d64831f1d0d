/* SPDX-License-Identifier: MIT */
/*
 * test_blk_uring.c: the io_uring backend on real files and loop devices.
 *
 * Some of what the kernel may do is rare.  It is brought about by this file's
 * own io_uring_submit() and io_uring_queue_init_params(), which the linker
 * prefers to the library's: they fail on demand, and change entries on their
 * way so that the kernel answers what is wanted (a short transfer, EAGAIN,
 * EOPNOTSUPP).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include "blk_backend.h"
#include "image.h"
#include "loop.h"
#include "loopdev.h"
#include "unit.h"
#include "util.h"

#define DEPTH	128
#define BYTES	(4u << 20)
#define TMPFS	0x01021994		/* magic numbers of statfs(2) */

/* ---- between us and the library ---- */

static int submit_error, submit_errors;		/* how often */
static int init_error;
static int ring_fd;				/* of the last submission */
static unsigned int init_unknown;		/* flags that are too new */
static int tweaks;				/* entries to be changed */
static unsigned int submitted, most_submitted;	/* in one go */
static void (*tweak)(struct io_uring_sqe *sqe);

static void *next_function(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	assert_non_null(fn);
	return fn;
}

int io_uring_submit(struct io_uring *ring)
{
	static int (*real)(struct io_uring *ring);
	unsigned int i, mask;

	if (!real)
		*(void **)&real = next_function("io_uring_submit");
	if (submit_errors > 0) {
		submit_errors--;
		return submit_error;
	}
	ring_fd = ring->ring_fd;
	mask = *ring->sq.kring_mask;
	for (i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		if (tweak && tweaks > 0) {
			tweaks--;
			tweak(&ring->sq.sqes[i & mask]);
		}
	}
	submitted = ring->sq.sqe_tail - ring->sq.sqe_head;
	if (most_submitted < submitted)
		most_submitted = submitted;
	return real(ring);
}

int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
			       struct io_uring_params *p)
{
	static int (*real)(unsigned int entries, struct io_uring *ring,
			   struct io_uring_params *p);

	if (!real)
		*(void **)&real = next_function("io_uring_queue_init_params");
	if (init_error)
		return init_error;
	if (p->flags & init_unknown)
		return -EINVAL;
	return real(entries, ring, p);
}

/* ---- a disk of BYTES bytes, byte n of which is pattern(n) ---- */

struct test_req {
	struct blk_req	req;
	struct iovec	iov[8];
	int		count;			/* of done() */
	int		err;
};

static char dir[64], path[96];
static struct loop *loop;
static struct blk_backend *be;
static struct blk_info info;
static struct test_req reqs[DEPTH];
static char *buf;				/* BYTES, aligned */
static int file;				/* buffered, the test's own */
static int want;				/* done()s, then stop */
static bool submitting, looping;
static struct loop_timer *alarm_timer;

static char pattern(size_t n)
{
	return (char)(n * 31 + n / 512 + n / 65536);
}

static void on_alarm(void *arg)
{
	(void)arg;
	loop_stop(loop, -1);
}

static void on_done(struct blk_req *req, int err)
{
	struct test_req *t = container_of(req, struct test_req, req);

	assert_false(submitting);
	t->count++;
	t->err = err;
	if (--want == 0 && looping)
		loop_stop(loop, 1);
}

static struct test_req *put(int n, enum blk_op op, uint64_t offset,
			    uint64_t bytes, unsigned int flags)
{
	struct test_req *t = &reqs[n];

	t->req = (struct blk_req){
		.op = op,
		.flags = flags,
		.offset = offset,
		.bytes = bytes,
		.done = t->req.done ? t->req.done : on_done,
	};
	t->count = 0;
	t->err = -1000;
	if (op == BLK_READ || op == BLK_WRITE) {
		t->iov[0].iov_base = buf + offset;
		t->iov[0].iov_len = bytes;
		t->req.iov = t->iov;
		t->req.iovcnt = 1;
	}
	want++;
	return t;
}

static void submit(struct test_req *t)
{
	submitting = true;
	be->ops->submit(be, &t->req);
	submitting = false;
	assert_int_equal(t->count, 0);
}

static void run(void)
{
	int r;

	be->ops->kick(be);
	if (want > 0) {
		loop_timer_set(alarm_timer, 4000);
		looping = true;
		r = loop_run(loop);
		looping = false;
		loop_timer_stop(alarm_timer);
		assert_int_equal(r, 1);		/* -1: took too long */
	}
	assert_int_equal(want, 0);
}

/* Return: what done() was told. */
static int once(enum blk_op op, uint64_t offset, uint64_t bytes,
		unsigned int flags)
{
	struct test_req *t = put(0, op, offset, bytes, flags);

	submit(t);
	run();
	assert_int_equal(t->count, 1);
	return t->err;
}

static void open_fd(int fd)
{
	assert_int_equal(blk_uring_ops.open(loop, fd, &info, DEPTH, &be), 0);
}

/* Opens @p the way the daemon does; as @cache, or skips the test. */
static void open_disk(const char *p, enum blk_cache cache)
{
	const struct image_opts opts = {
		.path = p,
		.cache = cache,
		.cache_given = true,
		.discard = -1,
	};
	char why[300];
	int fd;

	if (image_open(&opts, &fd, &info, why, sizeof(why)) < 0) {
		print_message("# %s\n", why);
		skip();
	}
	open_fd(fd);
}

static void close_disk(void)
{
	if (be)
		be->ops->close(be);
	be = NULL;
}

static void make_file(const char *where)
{
	size_t i;

	(void)snprintf(dir, sizeof(dir), "%s/xvd-uring.XXXXXX", where);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	for (i = 0; i < BYTES; i++)
		buf[i] = pattern(i);
	assert_int_equal(write(file, buf, BYTES), BYTES);
	assert_int_equal(fdatasync(file), 0);
}

static void drop_file(void)
{
	close(file);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	memset(reqs, 0, sizeof(reqs));
	submit_errors = init_error = tweaks = want = 0;
	init_unknown = most_submitted = 0;
	tweak = NULL;
	be = NULL;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_timer_add(loop, on_alarm, NULL, &alarm_timer), 0);
	assert_int_equal(posix_memalign((void **)&buf, 4096, BYTES), 0);
	make_file(tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (want == 0)
		close_disk();		/* else the test has failed: leaks */
	drop_file();
	if (want == 0)
		free(buf);
	loop_timer_del(alarm_timer);
	loop_close(loop);
	return 0;
}

/* The file's bytes, past the backend. */
static void assert_file(size_t from, size_t to, bool zero)
{
	char *got = malloc(to - from);
	size_t i;

	assert_non_null(got);
	assert_int_equal(pread(file, got, to - from, (off_t)from), to - from);
	for (i = from; i < to; i++)
		if (got[i - from] != (zero ? 0 : pattern(i)))
			fail_msg("byte %zu of the file is %d", i,
				 got[i - from]);
	free(got);
}

static void assert_buf(size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++)
		if (buf[i] != pattern(i))
			fail_msg("byte %zu of the buffer is %d", i, buf[i]);
}

static blkcnt_t allocated(void)
{
	struct stat st;

	assert_int_equal(fsync(file), 0);
	assert_int_equal(fstat(file, &st), 0);
	return st.st_blocks;
}

/* ---- every mode ---- */

static void check_round(void)
{
	memset(buf, 'x', BYTES);
	assert_int_equal(once(BLK_READ, 4096, 65536, 0), 0);
	assert_buf(4096, 4096 + 65536);
	assert_int_equal(buf[4095], 'x');
	assert_int_equal(buf[4096 + 65536], 'x');

	memset(buf + 8192, 0, 8192);
	assert_int_equal(once(BLK_WRITE, 8192, 4096, 0), 0);
	assert_int_equal(once(BLK_WRITE, 12288, 4096, BLK_REQ_FUA), 0);
	assert_int_equal(once(BLK_FLUSH, 0, 0, 0), 0);
	assert_file(8192, 16384, true);
	assert_file(4096, 8192, false);
	assert_file(16384, 20480, false);

	assert_int_equal(once(BLK_WRITE_ZEROES, 65536, 65536,
			      BLK_REQ_UNMAP), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 131072, 65536, 0), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 196608, 65536, BLK_REQ_FUA), 0);
	assert_file(65536, 262144, true);
	assert_file(32768, 65536, false);
	assert_file(262144, 300000, false);
	assert_int_equal(once(BLK_DISCARD, 1 << 20, 1 << 20, 0), 0);
	assert_file((1 << 20) - 4096, 1 << 20, false);
	assert_file(2 << 20, (2 << 20) + 4096, false);
}

static void test_writeback(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_round();
}

static void test_writethrough(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITETHROUGH);
	check_round();
}

static void test_direct(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_NONE);
	check_round();
}

/* tmpfs knows neither NOWAIT nor ZERO_RANGE. */
static void test_tmpfs(void **state)
{
	struct statfs fs;
	blkcnt_t before;

	(void)state;
	if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS)
		skip();
	drop_file();
	make_file("/dev/shm");
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_round();

	/* Written, and in pieces: nothing was deallocated. */
	before = allocated();
	assert_int_equal(once(BLK_WRITE_ZEROES, 2 << 20, 1 << 20, 0), 0);
	assert_file(2 << 20, 3 << 20, true);
	assert_file(3 << 20, BYTES, false);
	assert_true(allocated() >= before);
	assert_int_equal(once(BLK_WRITE_ZEROES, 2 << 20, 1 << 20,
			      BLK_REQ_UNMAP), 0);
	assert_true(allocated() < before);
}

static void test_unmap(void **state)
{
	blkcnt_t before;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	if (!info.can_discard)
		skip();
	before = allocated();
	assert_int_equal(once(BLK_WRITE_ZEROES, 0, 1 << 20, 0), 0);
	assert_true(allocated() >= before);
	assert_int_equal(once(BLK_DISCARD, 0, 1 << 20, 0), 0);
	assert_true(allocated() < before);
	before = allocated();
	assert_int_equal(once(BLK_WRITE_ZEROES, 1 << 20, 1 << 20,
			      BLK_REQ_UNMAP), 0);
	assert_true(allocated() < before);
	assert_file(0, 2 << 20, true);
}

/* Pieces of odd lengths; none of them is touched. */
static void test_scatter(void **state)
{
	static const size_t len[] = { 512, 1536, 0, 4096, 7680, 2560 };
	size_t i, at = 512, sum = 0;
	struct iovec saved[8];
	struct test_req *t;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	/* Cached in part: the first attempt comes back short. */
	assert_int_equal(posix_fadvise(file, 4096, 8192, POSIX_FADV_DONTNEED),
			 0);
	memset(buf, 'x', BYTES);
	t = put(0, BLK_READ, at, 0, 0);
	for (i = 0; i < ARRAY_SIZE(len); i++) {
		t->iov[i].iov_base = buf + at + sum;
		t->iov[i].iov_len = len[i];
		sum += len[i];
	}
	t->req.iovcnt = (int)i;
	t->req.bytes = sum;
	memcpy(saved, t->iov, sizeof(saved));
	submit(t);
	run();
	assert_int_equal(t->err, 0);
	assert_memory_equal(saved, t->iov, sizeof(saved));
	assert_int_equal(t->req.iovcnt, i);
	assert_buf(at, at + sum);
	assert_int_equal(buf[at + sum], 'x');
}

/* ---- how much at once ---- */

static void check_many(void)
{
	int i;

	memset(buf, 'x', BYTES);
	for (i = 0; i < DEPTH; i++)
		submit(put(i, BLK_READ, (uint64_t)(i * 37 % DEPTH) * 4096,
			   4096, 0));
	run();
	for (i = 0; i < DEPTH; i++) {
		assert_int_equal(reqs[i].count, 1);
		assert_int_equal(reqs[i].err, 0);
	}
	assert_buf(0, DEPTH * 4096);
}

static void test_full_depth(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_many();
	assert_int_equal(most_submitted, DEPTH);
	check_many();
}

/* Not so many that a block device's queue could be full, see uring.c. */
static void test_file_waits_here(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_NONE);
	check_many();
	assert_in_range(most_submitted, 1, 64);
	check_many();
}

/* done() that submits and kicks, from inside kick() and from the loop. */
static int more;

static void on_done_again(struct blk_req *req, int err)
{
	struct test_req *t = container_of(req, struct test_req, req);

	assert_int_equal(err, 0);
	t->count++;
	if (more > 0) {
		more--;
		req->op = more % 3 ? BLK_READ : BLK_FLUSH;
		be->ops->submit(be, req);
		be->ops->kick(be);
	} else if (--want == 0 && looping) {
		loop_stop(loop, 1);
	}
}

static void check_again(void)
{
	int i, sum = 0;

	more = 500;
	for (i = 0; i < 8; i++) {
		reqs[i].req.done = on_done_again;
		submit(put(i, BLK_READ, (uint64_t)i * 4096, 4096, 0));
	}
	run();
	for (i = 0; i < 8; i++) {
		sum += reqs[i].count;
		reqs[i].req.done = NULL;
	}
	assert_int_equal(sum, 508);
}

static void test_done_starts_anew(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_again();
	close_disk();
	open_disk(path, BLK_CACHE_NONE);
	check_again();
}

static void test_nothing_to_do(void **state)
{
	struct test_req *t;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	be->ops->kick(be);
	t = put(0, BLK_READ, 0, 0, 0);
	t->req.iovcnt = 0;
	submit(t);
	submit(put(1, BLK_WRITE_ZEROES, 4096, 0, 0));
	submit(put(2, BLK_DISCARD, 4096, 0, 0));
	run();
	assert_int_equal(reqs[0].err, 0);
	assert_int_equal(reqs[1].err, 0);
	assert_int_equal(reqs[2].err, 0);
	assert_file(0, BYTES, false);
}

/* ---- things that go wrong ---- */

static void check_cut_off(off_t end)
{
	assert_int_equal(ftruncate(file, end), 0);
	assert_int_equal(once(BLK_READ, 4096, 8192, 0), -EIO);
	assert_int_equal(once(BLK_READ, 1 << 20, 4096, 0), -EIO);
	assert_int_equal(once(BLK_READ, 0, 4096, 0), 0);
}

static void test_file_shrinks(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_cut_off(8192);
	check_cut_off(8192 - 100);
	close_disk();
	assert_int_equal(ftruncate(file, BYTES), 0);
	open_disk(path, BLK_CACHE_NONE);
	check_cut_off(8192 - 512);
	check_cut_off(8192 - 1500);
}

static void test_write_fails(void **state)
{
	struct rlimit old, low;
	int r;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	assert_int_equal(ftruncate(file, 65536), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){ 65536, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	r = once(BLK_WRITE, 65536, 4096, 0);
	/* Some of it fits, and what is left does not. */
	if (r == -EFBIG)
		r = once(BLK_WRITE, 65536 - 4096, 8192, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(once(BLK_READ, 0, 4096, 0), 0);
}

/* A descriptor that cannot be written to. */
static void test_wrong_descriptor(void **state)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	close_disk();
	open_fd(fd);
	assert_int_equal(once(BLK_WRITE, 0, 4096, 0), -EBADF);
	assert_int_equal(once(BLK_WRITE_ZEROES, 0, 4096, 0), -EBADF);
	assert_int_equal(once(BLK_DISCARD, 0, 4096, 0), -EBADF);
	assert_int_equal(once(BLK_READ, 0, 4096, 0), 0);
}

static void test_readonly(void **state)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	open_disk(path, BLK_CACHE_WRITETHROUGH);
	close_disk();
	info.readonly = true;
	open_fd(fd);
	assert_int_equal(once(BLK_READ, 0, 4096, 0), 0);
	assert_int_equal(once(BLK_FLUSH, 0, 0, 0), 0);
}

/* The kernel takes half of it, and a good deal less. */
static void tweak_shorter(struct io_uring_sqe *sqe)
{
	if (sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV)
		sqe->len = 1;		/* piece */
	else if (sqe->len > 512)
		sqe->len = 512;
}

static void check_short(enum blk_op op)
{
	struct test_req *t = put(0, op, 4096, 12288, 0);
	int i;

	for (i = 0; i < 3; i++) {
		t->iov[i].iov_base = buf + 4096 + 4096 * i;
		t->iov[i].iov_len = 4096;
	}
	t->req.iovcnt = 3;
	tweak = tweak_shorter;
	tweaks = 12;
	submit(t);
	run();
	assert_int_equal(t->err, 0);
	assert_true(tweaks < 10);
	tweaks = 0;
}

static void check_short_both(void)
{
	memset(buf, 'x', BYTES);
	check_short(BLK_READ);
	assert_buf(4096, 16384);
	memset(buf, 0, BYTES);
	check_short(BLK_WRITE);
	assert_file(0, 4096, false);
	assert_file(4096, 16384, true);
	assert_file(16384, 65536, false);
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(ftruncate(file, BYTES), 0);
	memset(buf, 0, BYTES);
}

static void test_short_transfers(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_short_both();
}

static void test_short_transfers_direct(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_NONE);
	if (info.buf_align > 512)
		skip();
	check_short_both();
}

static void test_short_zeroes(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	tweak = tweak_shorter;
	tweaks = 1;			/* of the fallocate: no matter */
	assert_int_equal(once(BLK_WRITE_ZEROES, 4096, 512, 0), 0);
	assert_file(4096, 4608, true);
}

/* Refuses what is not cached, and writes, though nobody has asked for it. */
static void tweak_nowait(struct io_uring_sqe *sqe)
{
	sqe->rw_flags |= RWF_NOWAIT;
	sqe->flags &= (unsigned char)~IOSQE_ASYNC;
}

static void test_again(void **state)
{
	struct test_req *t;
	char c;
	struct iovec one = { &c, 1 };

	(void)state;
	if (preadv2(file, &one, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP)
		skip();
	open_disk(path, BLK_CACHE_WRITEBACK);
	assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
	memset(buf, 'x', BYTES);
	tweak = tweak_nowait;
	tweaks = 3;
	t = put(0, BLK_READ, 0, 4096, 0);
	submit(t);
	run();
	assert_int_equal(t->err, 0);
	assert_buf(0, 4096);
}

/* ---- what the ring may do ---- */

static unsigned char foreign_op;

static void tweak_op(struct io_uring_sqe *sqe)
{
	sqe->opcode = foreign_op;
}

static void tweak_any_file(struct io_uring_sqe *sqe)
{
	sqe->flags &= (unsigned char)~IOSQE_FIXED_FILE;
	sqe->fd = file;
}

static void tweak_link(struct io_uring_sqe *sqe)
{
	sqe->flags |= IOSQE_IO_LINK;
}

/*
 * Whoever has taken us over finds a ring that is good for this disk and for
 * nothing else: no file, no socket, nobody else's descriptor.
 */
static void test_restricted(void **state)
{
	static const char ours[IORING_OP_LAST] = {
		[IORING_OP_NOP] = 1, [IORING_OP_READ] = 1,
		[IORING_OP_WRITE] = 1, [IORING_OP_READV] = 1,
		[IORING_OP_WRITEV] = 1, [IORING_OP_FSYNC] = 1,
		[IORING_OP_FALLOCATE] = 1,
	};
	unsigned int op;
	int fd = file;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	for (op = 0; op < IORING_OP_LAST; op++) {
		if (ours[op])
			continue;
		foreign_op = (unsigned char)op;
		tweak = tweak_op;
		tweaks = 1;
		if (once(BLK_WRITE, 0, 4096, 0) != -EACCES)
			fail_msg("operation %u", op);
	}
	tweak = tweak_any_file;
	tweaks = 1;
	assert_int_equal(once(BLK_WRITE, 0, 4096, 0), -EACCES);
	tweak = tweak_link;
	tweaks = 1;
	assert_int_equal(once(BLK_WRITE, 0, 4096, 0), -EACCES);
	tweak = NULL;
	assert_int_equal(syscall(SYS_io_uring_register, ring_fd,
				 IORING_REGISTER_EVENTFD, &fd, 1), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(once(BLK_WRITE, 0, 4096, 0), 0);
	assert_int_equal(once(BLK_FLUSH, 0, 0, 0), 0);
}

/* No filesystem does this. */
static void tweak_unsupported(struct io_uring_sqe *sqe)
{
	if (sqe->opcode == IORING_OP_FALLOCATE)
		sqe->len |= 0x4000;
}

static void test_no_fallocate(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	info.can_discard = true;
	tweak = tweak_unsupported;
	tweaks = 1000;
	assert_int_equal(once(BLK_DISCARD, 0, 65536, 0), 0);
	assert_file(0, 65536, false);
	assert_int_equal(tweaks, 999);
	/* Once refused, it is not tried again. */
	assert_int_equal(once(BLK_DISCARD, 0, 65536, 0), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 0, 200704, BLK_REQ_UNMAP), 0);
	assert_file(0, 200704, true);
	assert_file(200704, 262144, false);
	tweaks = 0;
	assert_int_equal(once(BLK_WRITE_ZEROES, 262144, 65536, BLK_REQ_FUA), 0);
	assert_file(262144, 327680, true);
}

static void test_no_punch(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITETHROUGH);
	tweak = tweak_unsupported;
	tweaks = 1;
	assert_int_equal(once(BLK_WRITE_ZEROES, 0, 65536, BLK_REQ_UNMAP), 0);
	assert_file(0, 65536, true);
	assert_file(65536, 131072, false);
}

/* The kernel is short of memory for a while: nothing is lost. */
static void test_submit_fails(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	submit_error = -EAGAIN;
	submit_errors = 3;
	memset(buf, 'x', BYTES);
	submit(put(0, BLK_READ, 0, 4096, 0));
	submit(put(1, BLK_READ, 4096, 4096, 0));
	be->ops->kick(be);
	assert_int_equal(want, 2);
	run();
	assert_int_equal(submit_errors, 0);
	assert_buf(0, 8192);
	submit_error = -EINTR;
	submit_errors = 1;
	assert_int_equal(once(BLK_READ, 0, 4096, 0), 0);
}

/* ---- open ---- */

static int open_one(void)
{
	struct blk_backend *got = (void *)&got;
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = blk_uring_ops.open(loop, fd, &info, DEPTH, &got);
	if (r == 0)
		got->ops->close(got);
	else
		assert_ptr_equal(got, (void *)&got);
	/* It was the backend's in either case. */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	return r;
}

static void test_io_uring_refused(void **state)
{
	static const int errs[] = { -ENOSYS, -EPERM, -ENOMEM };
	size_t i;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	for (i = 0; i < ARRAY_SIZE(errs); i++) {
		init_error = errs[i];
		assert_int_equal(open_one(), errs[i]);
	}
}

static void test_older_kernels(void **state)
{
	(void)state;
	init_unknown = IORING_SETUP_SINGLE_ISSUER;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_many();
	close_disk();
	init_unknown |= IORING_SETUP_COOP_TASKRUN;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_many();
	init_unknown = 0;
	init_error = -EINVAL;		/* of another kind */
	assert_int_equal(open_one(), -EINVAL);
}

static void test_bad_descriptor(void **state)
{
	struct blk_backend *got;

	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	assert_int_equal(blk_uring_ops.open(loop, -1, &info, 8, &got), -EBADF);
	assert_int_equal(blk_uring_ops.open(loop, 9999, &info, 8, &got),
			 -EBADF);
}

/* Every step of open() that needs a descriptor fails once. */
static void check_no_descriptors(void)
{
	struct rlimit old, low;
	int i, r = -1, failed = 0, top = dup(0);

	assert_true(top >= 0);
	close(top);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (i = 1; i < 8 && r < 0; i++) {
		low = (struct rlimit){ (rlim_t)(top + i), old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		r = open_one();
		failed += r < 0;
		if (r < 0)
			assert_int_equal(r, -EMFILE);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, 0);
	assert_true(failed >= 1);
	r = dup(0);
	assert_int_equal(r, top);	/* nothing was left open */
	close(r);
}

static void test_no_descriptors(void **state)
{
	(void)state;
	open_disk(path, BLK_CACHE_WRITEBACK);
	check_no_descriptors();
	info.is_blkdev = true;		/* needs two more */
	check_no_descriptors();
}

static void test_close_nothing(void **state)
{
	(void)state;
	blk_uring_ops.close(NULL);
}

/* Closing lets go of the image at once, not when the kernel finds the time. */
static void test_close_unlocks(void **state)
{
	struct image_opts opts = { .path = path, .discard = -1, .lock = true };
	struct flock fl = { .l_type = F_WRLCK, .l_len = 1000 };
	char why[300];
	int i, fd;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(image_open(&opts, &fd, &info, why,
					    sizeof(why)), 0);
		open_fd(fd);
		memset(buf, 'x', BYTES);
		assert_int_equal(once(BLK_READ, 0, 65536, 0), 0);
		close_disk();
		fl.l_type = F_WRLCK;
		assert_int_equal(fcntl(file, F_OFD_GETLK, &fl), 0);
		assert_int_equal(fl.l_type, F_UNLCK);
	}
}

/* Two disks were foreseen: a third has to wait until one of them is gone. */
static void test_reserve(void **state)
{
	const struct blk_backend_ops *ops = &blk_uring_ops;
	struct blk_backend *other = NULL, *third = NULL;
	int i;

	(void)state;
	assert_int_equal(ops->reserve(2), 0);
	init_error = -EPERM;		/* as in a sandbox */
	for (i = 0; i < 3; i++) {
		open_disk(path, BLK_CACHE_WRITEBACK);
		assert_int_equal(once(BLK_WRITE, 0, 4096, 0), 0);
		assert_int_equal(ops->open(loop, dup(file), &info, DEPTH,
					   &other), 0);
		assert_int_equal(ops->open(loop, dup(file), &info, DEPTH,
					   &third), -EMFILE);
		ops->close(other);
		assert_int_equal(once(BLK_READ, 4096, 4096, 0), 0);
		close_disk();
	}
	test_close_unlocks(NULL);
	ops->unreserve();
	assert_int_equal(ops->open(loop, dup(file), &info, DEPTH, &third),
			 -EPERM);
	init_error = 0;
}

/* It is good for no more than any other. */
static void test_reserve_restricted(void **state)
{
	const struct blk_backend_ops *ops = &blk_uring_ops;

	assert_int_equal(ops->reserve(1), 0);
	test_restricted(state);
	close_disk();
	ops->unreserve();
}

/* ---- block devices ---- */

static void with_loopdev(void (*check)(void), enum blk_cache cache,
			 uint32_t block_size)
{
	struct loopdev dev;
	int r = loopdev_attach(&dev, file, block_size, false);

	if (r < 0) {
		print_message("# no loop devices: %s\n", strerror(-r));
		skip();
	}
	open_disk(dev.path, cache);
	check();
	assert_int_equal(once(BLK_FLUSH, 0, 0, 0), 0);
	close_disk();
	loopdev_detach(&dev);
}

static void check_blkdev(void)
{
	int i;

	check_many();
	check_again();
	for (i = 0; i < (int)BYTES; i++)
		buf[i] = pattern((size_t)i);
	memset(buf + 8192, 0, 8192);
	assert_int_equal(once(BLK_WRITE, 8192, 8192, BLK_REQ_FUA), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 65536, 65536, 0), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 131072, 65536,
			      BLK_REQ_UNMAP | BLK_REQ_FUA), 0);
	memset(buf, 'x', 262144);
	assert_int_equal(once(BLK_READ, 0, 262144, 0), 0);
	assert_buf(0, 8192);
	for (i = 8192; i < 16384; i++)
		assert_int_equal(buf[i], 0);
	for (i = 65536; i < 196608; i++)
		assert_int_equal(buf[i], 0);
	assert_buf(16384, 65536);
	assert_buf(196608, 262144);

	/* Discards, all at once, in the thread, and reads beside them. */
	for (i = 0; i < 32; i++) {
		submit(put(2 * i, BLK_DISCARD, (1 << 20) + (uint64_t)i * 65536,
			   32768, 0));
		submit(put(2 * i + 1, BLK_READ,
			   (1 << 20) + 32768 + (uint64_t)i * 65536, 32768, 0));
	}
	memset(buf, 'x', BYTES);
	run();
	for (i = 0; i < 64; i++)
		assert_int_equal(reqs[i].err, 0);
	for (i = 0; i < 32; i++)
		assert_buf((1 << 20) + 32768 + (size_t)i * 65536,
			   (1 << 20) + 65536 + (size_t)i * 65536);
	assert_int_equal(once(BLK_READ, 1 << 20, 32768, 0), 0);
	for (i = 0; i < 32768; i++)
		assert_int_equal(buf[(1 << 20) + i], 0);
}

static void test_blkdev_direct(void **state)
{
	(void)state;
	with_loopdev(check_blkdev, BLK_CACHE_NONE, 512);
}

static void test_blkdev_cached(void **state)
{
	(void)state;
	with_loopdev(check_blkdev, BLK_CACHE_WRITEBACK, 512);
}

static void test_blkdev_4k(void **state)
{
	(void)state;
	with_loopdev(check_blkdev, BLK_CACHE_NONE, 4096);
}

static void check_discard_errors(void)
{
	/* Smaller than the device's blocks: only a hint, so no error. */
	assert_int_equal(once(BLK_DISCARD, 512, 512, 0), 0);
	assert_int_equal(once(BLK_WRITE_ZEROES, 4608, 512, 0), 0);
	assert_int_equal(once(BLK_READ, 4096, 4096, 0), 0);
	assert_buf(4096, 4608);
	assert_int_equal(buf[4608], 0);
	assert_buf(5120, 8192);
}

static void test_blkdev_smaller_blocks(void **state)
{
	(void)state;
	with_loopdev(check_discard_errors, BLK_CACHE_WRITEBACK, 4096);
}

static void on_done_discard(struct blk_req *req, int err)
{
	if (more == 0) {
		on_done(req, err);
		return;
	}
	more--;
	assert_int_equal(err, 0);
	be->ops->submit(be, req);
	be->ops->kick(be);
}

static void check_discard_again(void)
{
	more = 20;
	reqs[0].req.done = on_done_discard;
	submit(put(0, BLK_DISCARD, 0, 4096, 0));
	run();
	reqs[0].req.done = NULL;
	assert_int_equal(more, 0);
	assert_int_equal(reqs[0].err, 0);
}

static void test_blkdev_discard_anew(void **state)
{
	(void)state;
	with_loopdev(check_discard_again, BLK_CACHE_NONE, 512);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_writeback),
	T(test_writethrough),
	T(test_direct),
	T(test_tmpfs),
	T(test_unmap),
	T(test_scatter),
	T(test_full_depth),
	T(test_file_waits_here),
	T(test_done_starts_anew),
	T(test_nothing_to_do),
	T(test_file_shrinks),
	T(test_write_fails),
	T(test_wrong_descriptor),
	T(test_readonly),
	T(test_short_transfers),
	T(test_short_transfers_direct),
	T(test_short_zeroes),
	T(test_restricted),
	T(test_again),
	T(test_no_fallocate),
	T(test_no_punch),
	T(test_submit_fails),
	T(test_io_uring_refused),
	T(test_older_kernels),
	T(test_bad_descriptor),
	T(test_no_descriptors),
	T(test_close_nothing),
	T(test_close_unlocks),
	T(test_reserve),
	T(test_reserve_restricted),
	T(test_blkdev_direct),
	T(test_blkdev_cached),
	T(test_blkdev_4k),
	T(test_blkdev_smaller_blocks),
	T(test_blkdev_discard_anew),
};

UNIT_MAIN(tests)
