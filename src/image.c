// SPDX-License-Identifier: MIT
/*
 * image.c: from a path to an open, locked descriptor and a struct blk_info.
 *
 * The questions are asked in this order, and the first bad answer ends it
 * with one line for the operator:
 *
 *   kind      only regular files and block devices; looked up before the
 *             open, because opening a FIFO waits for its other end
 *   open      a writable block device is opened with O_EXCL, so that one
 *             which is mounted in this domain, or part of a volume group,
 *             is refused with EBUSY
 *   lock      as QEMU does, see image_lock()
 *   size      not empty, and a whole number of blocks: rounding down would
 *             hide the end of the disk from the guest, rounding up invent it
 *   blocks    what the guest sees, and what the host likes
 *   cache     whether direct I/O works, and how it wants to be aligned
 *   discard   whether it can work; how well is found out when it is used
 *
 * Direct I/O is switched on last and with fcntl(), not by opening twice: a
 * second open would be a second owner of the locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "image.h"
#include "log.h"
#include "util.h"

#define BLOCK_MIN	512u
#define BLOCK_MAX	4096u

/*
 * Somebody's image may be busy for a moment after he is gone: the kernel
 * takes its time to tear down the io_uring of a process that was killed
 * (60 ms have been seen), and until then holds on to its files.
 */
#define BUSY_TRIES	25
#define BUSY_WAIT_MS	20

struct image {
	const struct image_opts	*opts;
	struct blk_info		info;
	struct stat		st;
	int			fd;
	uint32_t		host_block;	/* logical, block devices */
	uint32_t		direct_offset;	/* what O_DIRECT wants of */
	uint32_t		direct_mem;	/* offsets, memory; 0: no */
	char			*why;
	size_t			why_len;
};

__attribute__((format(printf, 3, 4)))
static int image_refuse(struct image *im, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(im->why, im->why_len, fmt, ap);	/* cut if too long */
	va_end(ap);
	return err;
}

static const char *image_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFCHR:
		return "a character device";
	case S_IFSOCK:
		return "a socket";
	default:
		return "something else";
	}
}

static void image_wait(void)
{
	const struct timespec ts = { .tv_nsec = BUSY_WAIT_MS * 1000000L };

	(void)nanosleep(&ts, NULL);	/* shorter is fine */
}

static int image_check_kind(struct image *im, mode_t mode)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	return image_refuse(im, S_ISDIR(mode) ? -EISDIR : -EINVAL,
			    "path '%s' is %s, not a regular file or block device",
			    im->opts->path, image_kind(mode));
}

static bool image_can_be_read(const struct image *im)
{
	int fd = open(im->opts->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int image_refuse_open(struct image *im, int err)
{
	const char *path = im->opts->path;

	switch (err) {
	case -ENOENT:
		return image_refuse(im, err, "path '%s' does not exist", path);
	case -ENOTDIR:
		return image_refuse(im, err, "path '%s' leads through something that is not a directory",
				    path);
	case -EBUSY:
		return image_refuse(im, err, "path '%s' is in use by this host (mounted, or part of a volume group, array or swap); release it first",
				    path);
	case -EACCES:
	case -EPERM:
	case -EROFS:
		if (!im->opts->readonly && image_can_be_read(im))
			return image_refuse(im, err, "path '%s' can only be read (%s); say readonly=on, or make it writable",
					    path, strerror(-err));
		/* fall through */
	default:
		return image_refuse(im, err, "path '%s' cannot be opened for %s: %s",
				    path,
				    im->opts->readonly ? "reading" : "writing",
				    strerror(-err));
	}
}

static int image_do_open(struct image *im)
{
	int flags = O_CLOEXEC | (im->opts->readonly ? O_RDONLY : O_RDWR);
	int protected = 0, try, r;

	if (stat(im->opts->path, &im->st) < 0)
		return image_refuse_open(im, -errno);
	r = image_check_kind(im, im->st.st_mode);
	if (r < 0)
		return r;

	/*
	 * O_NONBLOCK: should the path have become a FIFO just now.  Some
	 * block drivers take it to mean "open without a medium", so not there.
	 */
	if (!S_ISBLK(im->st.st_mode))
		flags |= O_NONBLOCK;
	else if (!im->opts->readonly && im->opts->lock)
		flags |= O_EXCL;
	for (try = 0;; try++) {
		im->fd = open(im->opts->path, flags);
		if (im->fd >= 0)
			break;
		if (errno != EBUSY || try == BUSY_TRIES)
			return image_refuse_open(im, -errno);
		image_wait();
	}
	if (fstat(im->fd, &im->st) < 0)
		return image_refuse_open(im, -errno);
	im->info.is_blkdev = S_ISBLK(im->st.st_mode);
	im->info.readonly = im->opts->readonly;
	/* Opening such a device for writing works; writing does not. */
	if (im->info.is_blkdev && !im->opts->readonly &&
	    ioctl(im->fd, BLKROGET, &protected) == 0 && protected)
		return image_refuse(im, -EROFS, "path '%s' is a write-protected device; say readonly=on",
				    im->opts->path);
	return image_check_kind(im, im->st.st_mode);
}

/*
 * QEMU's protocol between the users of one image (its block/file-posix.c):
 * single bytes of the file, far beyond what a boot sector needs them for,
 * stand for permissions.  Whoever holds a permission keeps a shared lock on
 * byte 100 + n, whoever does not let others have it keeps one on 200 + n.
 * First one takes one's own locks, then one looks whether somebody's lock
 * stands against them.  Two who come at once may refuse each other, but
 * never both get in.
 *
 * They are "open file description" locks: they belong to the descriptor,
 * survive a fork or being sent to a worker, and end with its last copy.
 */
enum {
	IMAGE_HELD_BASE		= 100,
	IMAGE_UNSHARED_BASE	= 200,
	PERM_CONSISTENT_READ	= 0,
	PERM_WRITE		= 1,
	PERM_WRITE_UNCHANGED	= 2,	/* never held or refused by us */
	PERM_RESIZE		= 3,
	PERM_COUNT
};

static struct flock image_lock_byte(short type, off_t byte)
{
	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
}

/* Return: 0, or a negative errno; -EBUSY if somebody stands against it. */
static int image_lock_each(int fd, off_t base, unsigned int bits, bool take)
{
	struct flock fl;
	int i;

	for (i = 0; i < PERM_COUNT; i++) {
		if (!(bits & (1u << i)))
			continue;
		fl = image_lock_byte(take ? F_RDLCK : F_WRLCK, base + i);
		if (fcntl(fd, take ? F_OFD_SETLK : F_OFD_GETLK, &fl) < 0)
			return errno == EAGAIN || errno == EACCES ?
			       -EBUSY : -errno;
		if (!take && fl.l_type != F_UNLCK)
			return -EBUSY;
	}
	return 0;
}

static int image_lock_all(int fd, bool readonly)
{
	unsigned int held = 1u << PERM_CONSISTENT_READ;
	unsigned int unshared = 1u << PERM_WRITE | 1u << PERM_RESIZE;
	int r;

	if (!readonly)
		held |= 1u << PERM_WRITE;
	r = image_lock_each(fd, IMAGE_HELD_BASE, held, true);
	if (r == 0)
		r = image_lock_each(fd, IMAGE_UNSHARED_BASE, unshared, true);
	if (r == 0)
		r = image_lock_each(fd, IMAGE_UNSHARED_BASE, held, false);
	if (r == 0)
		r = image_lock_each(fd, IMAGE_HELD_BASE, unshared, false);
	return r;
}

static int image_lock(struct image *im)
{
	int try, r;

	if (!im->opts->lock)
		return 0;
	for (try = 0;; try++) {
		r = image_lock_all(im->fd, im->opts->readonly);
		if (r != -EBUSY || try == BUSY_TRIES)
			break;
		image_wait();
	}
	if (r == -EBUSY)
		return image_refuse(im, r, "path '%s' is in use by another process%s; detach it there first (lslocks shows who)",
				    im->opts->path, im->opts->readonly ?
				    ", which may write to it" : "");
	if (r < 0)
		return image_refuse(im, r, "path '%s' cannot be locked: %s",
				    im->opts->path, strerror(-r));
	return 0;
}

static int image_ask(struct image *im, unsigned long request,
		     const char *name, void *ret)
{
	if (ioctl(im->fd, request, ret) == 0)
		return 0;
	return image_refuse(im, -errno, "path '%s' does not answer %s: %m",
			    im->opts->path, name);
}

/* A partition has no queue/ of its own; its parent directory's is meant. */
static uint64_t image_queue_limit(const struct image *im, const char *name)
{
	static const char *const where[] = { "", "../" };
	unsigned long long v = 0;
	char path[96];
	size_t i;
	FILE *f;
	int n;

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		(void)snprintf(path, sizeof(path),
			       "/sys/dev/block/%u:%u/%squeue/%s",
			       major(im->st.st_rdev), minor(im->st.st_rdev),
			       where[i], name);
		f = fopen(path, "re");
		if (!f)
			continue;
		n = fscanf(f, "%llu", &v);
		(void)fclose(f);	/* was only read */
		return n == 1 ? v : 0;
	}
	return 0;
}

/* The guest's block size, and what the host has below it. */
static int image_blocks(struct image *im)
{
	uint64_t physical, optimal = 0;
	int logical = 0, r;

	if (im->info.is_blkdev) {
		r = image_ask(im, BLKSSZGET, "BLKSSZGET", &logical);
		if (r < 0)
			return r;
		im->host_block = (uint32_t)logical;
		physical = image_queue_limit(im, "physical_block_size");
		optimal = image_queue_limit(im, "optimal_io_size");
	} else {
		/* st_blksize of network filesystems can be a megabyte. */
		physical = MIN((uint64_t)im->st.st_blksize, BLOCK_MAX);
	}

	im->info.block_size = im->opts->block_size;
	if (im->info.block_size == 0)
		im->info.block_size = im->host_block == BLOCK_MAX ?
				      BLOCK_MAX : BLOCK_MIN;
	if (im->info.block_size != BLOCK_MIN &&
	    im->info.block_size != BLOCK_MAX)
		return image_refuse(im, -EINVAL, "block-size=%u is not supported; 512 and 4096 are",
				    im->info.block_size);
	/* Hints: what makes no sense is left out. */
	if (physical < im->info.block_size || physical > UINT32_MAX ||
	    (physical & (physical - 1)))
		physical = im->info.block_size;
	im->info.physical_size = (uint32_t)physical;
	im->info.opt_io_size = optimal > UINT32_MAX ? 0 : (uint32_t)optimal;
	return 0;
}

static int image_size(struct image *im)
{
	uint64_t bytes = (uint64_t)im->st.st_size;
	uint32_t block = im->info.block_size;
	int r;

	if (im->info.is_blkdev) {
		r = image_ask(im, BLKGETSIZE64, "BLKGETSIZE64", &bytes);
		if (r < 0)
			return r;
	}
	if (bytes == 0)
		return image_refuse(im, -EINVAL, "path '%s' is empty (0 bytes)%s",
				    im->opts->path, im->info.is_blkdev ?
				    ": no medium or not set up" :
				    "; give it a size with truncate -s");
	if (bytes % block && im->info.is_blkdev)
		return image_refuse(im, -EINVAL, "path '%s' has %llu bytes, not a whole number of %u-byte blocks; use a block-size that divides it",
				    im->opts->path, (unsigned long long)bytes,
				    block);
	if (bytes % block)
		return image_refuse(im, -EINVAL, "path '%s' has %llu bytes, not a whole number of %u-byte blocks; round it up with truncate -s %%%u",
				    im->opts->path, (unsigned long long)bytes,
				    block, block);
	im->info.bytes = bytes;
	return 0;
}

/* Exact where the kernel knows (6.1 and later).  Return: whether it did. */
static bool image_direct_ask(struct image *im)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(im->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN)) {
		im->direct_offset = sx.stx_dio_offset_align;
		im->direct_mem = sx.stx_dio_mem_align;
		return true;
	}
#else
	(void)im;
#endif
	return false;
}

/*
 * Without that, try: a read of one block into memory that is aligned to that
 * block size and to no more.
 */
static int image_direct_try(struct image *im)
{
	uint32_t align = im->host_block ? im->host_block : BLOCK_MIN;
	void *buf;
	int r = 0;

	if (posix_memalign(&buf, 4 * BLOCK_MAX, 4 * BLOCK_MAX))
		return image_refuse(im, -ENOMEM, "out of memory");
	for (; align <= BLOCK_MAX; align *= 2) {
		r = pread(im->fd, (char *)buf + align, align, 0) < 0 ?
		    -errno : 0;
		if (r != -EINVAL)
			break;
	}
	free(buf);
	if (r == 0)
		im->direct_offset = im->direct_mem = align;
	else if (r != -EINVAL)
		return image_refuse(im, r, "path '%s' cannot be read: %s",
				    im->opts->path, strerror(-r));
	return 0;
}

/* Sets the descriptor's flags, and direct_* to what O_DIRECT needs. */
static int image_direct(struct image *im)
{
	bool known = image_direct_ask(im);

	if (known && im->direct_offset == 0)
		return 0;
	if (fcntl(im->fd, F_SETFL, O_DIRECT) < 0) {
		im->direct_offset = im->direct_mem = 0;
		return 0;
	}
	if (known)
		return 0;
	return image_direct_try(im);
}

static int image_cache(struct image *im)
{
	uint32_t block = im->info.block_size;
	bool want = im->opts->cache == BLK_CACHE_NONE || !im->opts->cache_given;
	int r;

	im->info.cache = im->opts->cache;
	im->info.buf_align = 1;
	if (want) {
		r = image_direct(im);
		if (r < 0)
			return r;
		if (im->direct_offset && im->direct_offset <= block) {
			im->info.cache = BLK_CACHE_NONE;
			/* One number for addresses and lengths of pieces. */
			im->info.buf_align = im->direct_offset;
			if (im->info.buf_align < im->direct_mem)
				im->info.buf_align = im->direct_mem;
			return 0;
		}
	}

	if (want && im->opts->cache_given && im->direct_offset == 0)
		return image_refuse(im, -EINVAL, "cache=none: path '%s' is on a filesystem without O_DIRECT; use cache=writeback",
				    im->opts->path);
	if (want && im->opts->cache_given)
		return image_refuse(im, -EINVAL, "block-size=%u with cache=none: path '%s' has blocks of %u bytes; use %scache=writeback",
				    block, im->opts->path, im->direct_offset,
				    im->direct_offset == BLOCK_MAX ?
				    "block-size=4096 or " : "");
	if (want) {
		im->info.cache = BLK_CACHE_WRITEBACK;
		log_info("path '%s': no direct I/O in blocks of %u bytes there, so cache=writeback",
			 im->opts->path, block);
	}
	/* Neither O_DIRECT nor O_NONBLOCK, which io_uring would obey. */
	if (fcntl(im->fd, F_SETFL, 0) < 0)
		return image_refuse(im, -errno, "path '%s': %m",
				    im->opts->path);
	return 0;
}

static bool image_can_discard(struct image *im)
{
	uint64_t end = ALIGN_UP(im->info.bytes, (uint64_t)BLOCK_MAX);

	if (im->info.is_blkdev)
		return image_queue_limit(im, "discard_max_bytes") > 0;
	/*
	 * A hole behind the end changes nothing, but is refused just the
	 * same by a filesystem without holes.  (One of length 0 is EINVAL
	 * everywhere, before the filesystem is even asked.)
	 */
	return fallocate(im->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)end, BLOCK_MAX) == 0;
}

static int image_discard(struct image *im)
{
	uint64_t align = im->info.physical_size;

	/* The engine writes zeroes itself where nothing better exists. */
	im->info.can_write_zeroes = !im->opts->readonly;
	if (im->info.is_blkdev)
		align = image_queue_limit(im, "discard_granularity");
	if (align < im->info.block_size || align > UINT32_MAX)
		align = im->info.block_size;
	im->info.discard_align = (uint32_t)align;

	if (im->opts->readonly || im->opts->discard == 0)
		return 0;
	im->info.can_discard = image_can_discard(im);
	if (im->opts->discard == 1 && !im->info.can_discard)
		return image_refuse(im, -EOPNOTSUPP, "discard=on: path '%s' is on a %s without discard; use discard=off",
				    im->opts->path, im->info.is_blkdev ?
				    "device" : "filesystem");
	return 0;
}

int image_open(const struct image_opts *opts, int *ret_fd,
	       struct blk_info *ret_info, char *why, size_t why_len)
{
	static int (*const steps[])(struct image *im) = {
		image_do_open, image_lock, image_blocks, image_size,
		image_cache, image_discard,
	};
	struct image im = {
		.opts = opts,
		.fd = -1,
		.why = why,
		.why_len = why_len,
	};
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		r = steps[i](&im);
		if (r < 0) {
			if (im.fd >= 0)
				close(im.fd);
			return r;
		}
	}
	*ret_fd = im.fd;
	*ret_info = im.info;
	return 0;
}

/* Return: as image_grow(), for a block device. */
static int blkdev_grow(int fd, uint64_t bytes, uint64_t *ret)
{
	if (ioctl(fd, BLKGETSIZE64, ret) < 0)
		return -errno;
	return bytes && bytes != *ret ? -ENOTBLK : 0;
}

int image_grow(int fd, uint64_t bytes, uint64_t *ret)
{
	struct stat st;

	*ret = 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return blkdev_grow(fd, bytes, ret);
	*ret = (uint64_t)st.st_size;
	if (bytes <= *ret)
		return 0;
	if (ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	*ret = bytes;
	return 0;
}
