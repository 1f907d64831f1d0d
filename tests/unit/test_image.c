/* SPDX-License-Identifier: MIT */
/*
 * test_image.c: opening images: what is refused and how it is said, what is
 * found out, and the locks, against ourselves and against QEMU's tools.
 *
 * Block devices are loop devices (root), the filesystem without direct I/O
 * is hugetlbfs, which needs no mount and, for a hole, no huge pages.  An
 * older kernel, and a filesystem without holes, are this file's own statx()
 * and fallocate(), which the linker prefers to the C library's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "image.h"
#include "log.h"
#include "loopdev.h"
#include "unit.h"
#include "util.h"

#define MIB	(1 << 20)

static bool no_statx, no_holes;

int statx(int at, const char *restrict name, int flags, unsigned int mask,
	  struct statx *restrict buf)
{
	static int (*real)(int at, const char *name, int flags,
			   unsigned int mask, struct statx *buf);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "statx");
	if (no_statx) {
		errno = ENOSYS;
		return -1;
	}
	return real(at, name, flags, mask, buf);
}

int fallocate(int f, int mode, off_t offset, off_t len)
{
	static int (*real)(int f, int mode, off_t offset, off_t len);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fallocate");
	if (no_holes) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return real(f, mode, offset, len);
}

static char dir[64], path[96];
static struct image_opts opts;
static struct blk_info info;
static char why[400];
static int fd;

static const char *in_dir(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *make_file(const char *name, off_t bytes)
{
	int f = open(in_dir(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(f >= 0);
	assert_int_equal(ftruncate(f, bytes), 0);
	close(f);
	return path;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/xvd-image.XXXXXX",
		       tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	opts = (struct image_opts){ .discard = -1, .lock = true };
	fd = -1;
	no_statx = no_holes = false;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "a", "b", "link", "fifo", "sock" };
	size_t i;

	(void)state;
	if (fd >= 0)
		close(fd);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlink(in_dir(names[i]));
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void opens(const char *p)
{
	int r;

	opts.path = p;
	why[0] = '\0';
	r = image_open(&opts, &fd, &info, why, sizeof(why));
	if (r < 0)
		fail_msg("%d: %s", r, why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

/* Refused with @err, in one line that says @a and @b; nothing is touched. */
static void refuses(const char *p, int err, const char *a, const char *b)
{
	int mine = -42, r;
	struct blk_info before, after;

	memset(&before, 0x5a, sizeof(before));
	after = before;
	opts.path = p;
	why[0] = '\0';
	r = image_open(&opts, &mine, &after, why, sizeof(why));
	if (mine >= 0)
		close(mine);
	assert_int_equal(r, err);
	assert_int_equal(mine, -42);
	assert_memory_equal(&before, &after, sizeof(before));
	if (!strstr(why, a) || !strstr(why, b) || strchr(why, '\n'))
		fail_msg("'%s' or '%s' not in: %s", a, b, why);
}

/* ---- files ---- */

static void test_file(void **state)
{
	(void)state;
	opens(make_file("a", MIB));
	assert_int_equal(info.bytes, MIB);
	assert_int_equal(info.block_size, 512);
	assert_true(info.physical_size >= 512);
	assert_true(info.discard_align >= 512);
	assert_false(info.is_blkdev);
	assert_false(info.readonly);
	assert_true(info.can_write_zeroes);
	if (info.cache == BLK_CACHE_NONE) {
		assert_true(fcntl(fd, F_GETFL) & O_DIRECT);
		assert_true(info.buf_align >= 1 && info.buf_align <= 4096);
	} else {
		assert_int_equal(info.cache, BLK_CACHE_WRITEBACK);
		assert_int_equal(info.buf_align, 1);
	}
}

static void test_symlink(void **state)
{
	char target[96];

	(void)state;
	(void)snprintf(target, sizeof(target), "%s", make_file("a", MIB));
	assert_int_equal(symlink(target, in_dir("link")), 0);
	opens(path);
	assert_int_equal(info.bytes, MIB);
}

static void test_cache_modes(void **state)
{
	static const enum blk_cache modes[] = {
		BLK_CACHE_WRITEBACK, BLK_CACHE_WRITETHROUGH,
	};
	size_t i;

	(void)state;
	make_file("a", MIB);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		opts.cache = modes[i];
		opts.cache_given = true;
		opens(path);
		assert_int_equal(info.cache, modes[i]);
		assert_int_equal(info.buf_align, 1);
		assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
		close(fd);
		fd = -1;
	}
}

/* Every answer about alignment must be one that the kernel accepts. */
static void check_alignment(void)
{
	char *buf = NULL;

	assert_int_equal(posix_memalign((void **)&buf, 8192, 16384), 0);
	assert_int_equal(pread(fd, buf + info.buf_align, info.block_size,
			       info.block_size), info.block_size);
	free(buf);
}

static void test_direct_alignment_is_true(void **state)
{
	enum blk_cache cache;

	(void)state;
	opens(make_file("a", MIB));
	cache = info.cache;
	if (cache == BLK_CACHE_NONE)
		check_alignment();
	close(fd);

	no_statx = true;
	opens(path);
	assert_int_equal(info.cache, cache);
	if (cache == BLK_CACHE_NONE) {
		assert_true(info.buf_align >= 512);
		check_alignment();
	}
}

static void test_readonly(void **state)
{
	(void)state;
	make_file("a", MIB);
	assert_int_equal(chmod(path, 0400), 0);
	opts.readonly = true;
	opts.discard = 1;		/* of no use here, and no mistake */
	opens(path);
	assert_true(info.readonly);
	assert_false(info.can_discard);
	assert_false(info.can_write_zeroes);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
}

static void test_discard_off(void **state)
{
	(void)state;
	opts.discard = 0;
	opens(make_file("a", MIB));
	assert_false(info.can_discard);
}

static void test_no_holes(void **state)
{
	(void)state;
	no_holes = true;
	opens(make_file("a", MIB));
	assert_false(info.can_discard);
	assert_true(info.can_write_zeroes);
	close(fd);
	fd = -1;
	opts.discard = 1;
	refuses(path, -EOPNOTSUPP, "discard=on", "discard=off");
}

static void test_block_size(void **state)
{
	(void)state;
	opts.block_size = 4096;
	opens(make_file("a", MIB));
	assert_int_equal(info.block_size, 4096);
	assert_true(info.physical_size >= 4096);
	close(fd);
	fd = -1;
	opts.block_size = 1024;
	refuses(path, -EINVAL, "block-size=1024", "512 and 4096");
}

static void test_size(void **state)
{
	(void)state;
	refuses(make_file("a", 0), -EINVAL, path, "empty");
	refuses(make_file("a", 1000), -EINVAL, path, "1000 bytes");
	assert_non_null(strstr(why, "truncate -s %512"));
	opts.block_size = 4096;
	refuses(make_file("a", 4096 + 512), -EINVAL, "4608", "4096-byte");
}

/* ---- not files ---- */

static void test_wrong_kind(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	refuses(dir, -EISDIR, dir, "a directory");
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	refuses(path, -EINVAL, path, "a FIFO");	/* and does not hang */
	refuses("/dev/null", -EINVAL, "/dev/null", "a character device");
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s",
		       in_dir("sock"));
	assert_int_equal(bind(s, (struct sockaddr *)&sun, sizeof(sun)), 0);
	refuses(path, -EINVAL, path, "a socket");
	close(s);
}

static void test_missing(void **state)
{
	char below[128];

	(void)state;
	refuses(in_dir("b"), -ENOENT, path, "does not exist");
	(void)snprintf(below, sizeof(below), "%s/x", make_file("a", MIB));
	refuses(below, -ENOTDIR, below, "not a directory");
}

/* Runs @fn as nobody if we are root, for whom there are no permissions. */
static void as_nobody(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void expect_permission(const char *text)
{
	int mine, r;
	struct blk_info in;

	opts.path = path;
	r = image_open(&opts, &mine, &in, why, sizeof(why));
	if (r == -EACCES && strstr(why, text) && strstr(why, path))
		return;
	(void)fprintf(stderr, "# %d, no '%s' in: %s\n", r, text, why);
	_exit(1);
}

static void nobody_writes(void)
{
	expect_permission("say readonly=on");
}

static void nobody_reads(void)
{
	expect_permission("cannot be opened for writing");
	opts.readonly = true;
	expect_permission("cannot be opened for reading");
}

static void test_permissions(void **state)
{
	(void)state;
	assert_int_equal(chmod(dir, 0755), 0);
	make_file("a", MIB);
	assert_int_equal(chmod(path, 0444), 0);
	as_nobody(nobody_writes);
	assert_int_equal(chmod(path, 0), 0);
	as_nobody(nobody_reads);
}

/* A long path is cut, and the line stays a line. */
static void test_short_why(void **state)
{
	char tiny[8];
	int mine;

	(void)state;
	opts.path = in_dir("b");
	assert_int_equal(image_open(&opts, &mine, &info, tiny, sizeof(tiny)),
			 -ENOENT);
	assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
}

/* ---- a filesystem without direct I/O ---- */

static int hugetlb_file(char *name, size_t len)
{
	int f = memfd_create("xvd", MFD_CLOEXEC | MFD_HUGETLB);

	if (f < 0)
		skip();
	assert_int_equal(ftruncate(f, 1 << 30), 0);
	(void)snprintf(name, len, "/proc/self/fd/%d", f);
	return f;
}

static void test_no_direct_io(void **state)
{
	struct unit_capture cap;
	const char *said;
	char name[32];
	int f = hugetlb_file(name, sizeof(name));

	(void)state;
	log_init("test", false);
	unit_capture_start(&cap, STDERR_FILENO);
	opens(name);
	said = unit_capture_end(&cap);
	assert_int_equal(info.cache, BLK_CACHE_WRITEBACK);
	assert_int_equal(info.buf_align, 1);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
	assert_non_null(strstr(said, name));
	assert_non_null(strstr(said, "cache=writeback"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	close(fd);
	fd = -1;

	opts.cache = BLK_CACHE_NONE;
	opts.cache_given = true;
	refuses(name, -EINVAL, "cache=none", "cache=writeback");
	close(f);
}

/* ---- block devices ---- */

static struct loopdev loopdev_of(uint32_t block_size, bool readonly)
{
	struct loopdev dev;
	int r, f = open(make_file("a", MIB), O_RDWR | O_CLOEXEC);

	assert_true(f >= 0);
	r = loopdev_attach(&dev, f, block_size, readonly);
	close(f);
	if (r < 0) {
		print_message("# no loop devices: %s\n", strerror(-r));
		skip();
	}
	return dev;
}

static void test_blkdev(void **state)
{
	struct loopdev dev = loopdev_of(512, false);

	(void)state;
	opens(dev.path);
	assert_int_equal(info.bytes, MIB);
	assert_int_equal(info.block_size, 512);
	assert_true(info.is_blkdev);
	assert_true(info.can_discard);
	assert_true(info.discard_align >= 512);
	assert_true(info.physical_size >= 512);
	loopdev_detach(&dev);
}

static void test_blkdev_4k(void **state)
{
	struct loopdev dev = loopdev_of(4096, false);
	struct unit_capture cap;

	(void)state;
	opens(dev.path);
	assert_int_equal(info.block_size, 4096);
	assert_int_equal(info.physical_size, 4096);
	assert_int_equal(info.cache, BLK_CACHE_NONE);
	assert_true(info.buf_align <= 4096);
	close(fd);
	fd = -1;

	opts.block_size = 512;
	opts.cache = BLK_CACHE_NONE;
	opts.cache_given = true;
	refuses(dev.path, -EINVAL, "block-size=512", "4096");
	opts.cache_given = false;
	unit_capture_start(&cap, STDERR_FILENO);
	opens(dev.path);
	assert_non_null(strstr(unit_capture_end(&cap), "cache=writeback"));
	assert_int_equal(info.block_size, 512);
	assert_int_equal(info.cache, BLK_CACHE_WRITEBACK);
	loopdev_detach(&dev);
}

static void test_blkdev_readonly(void **state)
{
	struct loopdev dev = loopdev_of(512, true);

	(void)state;
	refuses(dev.path, -EROFS, dev.path, "say readonly=on");
	opts.readonly = true;
	opens(dev.path);
	assert_true(info.readonly);
	loopdev_detach(&dev);
}

static void test_blkdev_busy(void **state)
{
	struct loopdev dev = loopdev_of(512, false);
	int other;

	(void)state;
	other = open(dev.path, O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(other >= 0);
	refuses(dev.path, -EBUSY, dev.path, "in use by this host");
	close(other);
	opens(dev.path);
	loopdev_detach(&dev);
}

static void test_blkdev_empty(void **state)
{
	struct loopdev dev;
	int f = open(make_file("a", 0), O_RDWR | O_CLOEXEC);

	(void)state;
	if (loopdev_attach(&dev, f, 512, false) < 0)
		skip();
	close(f);
	refuses(dev.path, -EINVAL, dev.path, "empty");
	loopdev_detach(&dev);
}

/* ---- locks ---- */

static void test_two_writers(void **state)
{
	(void)state;
	opens(make_file("a", MIB));
	refuses(path, -EBUSY, path, "in use by another process");
	opts.readonly = true;
	refuses(path, -EBUSY, path, "which may write");
	close(fd);
	opens(path);
}

static void test_two_readers(void **state)
{
	int first;

	(void)state;
	opts.readonly = true;
	opens(make_file("a", MIB));
	first = fd;
	opens(path);
	close(first);
	opts.readonly = false;
	refuses(path, -EBUSY, path, "in use by another process");
}

static void test_lock_off(void **state)
{
	int first;

	(void)state;
	opens(make_file("a", MIB));
	first = fd;
	opts.lock = false;
	opens(path);
	close(first);
}

/* Somebody on his way out, as a killed process' io_uring is. */
static void test_lock_lingers(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	opens(make_file("a", MIB));
	pid = fork();			/* shares the lock */
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)usleep(60000);
		_exit(0);
	}
	close(fd);
	opens(path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Return: exit status of qemu-io doing @command, or -1 without qemu-io. */
static int qemu_io(const char *mode, const char *command)
{
	char line[256];
	int r;

	(void)snprintf(line, sizeof(line),
		       "qemu-io %s -f raw -c '%s' %s >/dev/null 2>&1",
		       mode, command, path);
	r = system(line);
	assert_true(WIFEXITED(r));
	return WEXITSTATUS(r);
}

static bool no_qemu(void)
{
	return system("command -v qemu-io >/dev/null 2>&1") != 0;
}

static void test_qemu_is_kept_out(void **state)
{
	(void)state;
	make_file("a", MIB);
	if (no_qemu())
		skip();
	assert_int_equal(qemu_io("", "write 0 512"), 0);
	opens(path);
	assert_int_not_equal(qemu_io("", "write 0 512"), 0);
	close(fd);
	opts.readonly = true;
	opens(path);
	assert_int_not_equal(qemu_io("", "write 0 512"), 0);
	assert_int_equal(qemu_io("-r", "read 0 512"), 0);
}

static void test_qemu_keeps_us_out(void **state)
{
	char line[256], c;
	int to[2], from[2], status;
	pid_t pid;

	(void)state;
	make_file("a", MIB);
	if (no_qemu())
		skip();
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	(void)snprintf(line, sizeof(line), "exec qemu-io -f raw %s", path);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(to[0], STDIN_FILENO);
		(void)dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		close(from[0]);
		(void)execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	/* Its first word comes when the image is open. */
	assert_int_equal(write(to[1], "length\n", 7), 7);
	assert_int_equal(read(from[0], &c, 1), 1);
	refuses(path, -EBUSY, path, "in use by another process");
	close(to[1]);
	while (read(from[0], &c, 1) > 0)
		;
	close(from[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	opens(path);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_file),
	T(test_symlink),
	T(test_cache_modes),
	T(test_direct_alignment_is_true),
	T(test_readonly),
	T(test_discard_off),
	T(test_no_holes),
	T(test_block_size),
	T(test_size),
	T(test_wrong_kind),
	T(test_missing),
	T(test_permissions),
	T(test_short_why),
	T(test_no_direct_io),
	T(test_blkdev),
	T(test_blkdev_4k),
	T(test_blkdev_readonly),
	T(test_blkdev_busy),
	T(test_blkdev_empty),
	T(test_two_writers),
	T(test_two_readers),
	T(test_lock_off),
	T(test_lock_lingers),
	T(test_qemu_is_kept_out),
	T(test_qemu_keeps_us_out),
};

UNIT_MAIN(tests)
