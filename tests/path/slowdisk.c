/* SPDX-License-Identifier: MIT */
/*
 * See slowdisk.h.  The FUSE server is as small as the kernel allows: a root
 * directory, one file in it, every request of <linux/fuse.h> that is not
 * needed for that answered with ENOSYS.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "slowdisk.h"

#define FILE_NODE	2
#define FILE_NAME	"disk"
#define MAX_WRITE	(128 << 10)
#define MAX_HELD	256
#define FOREVER		1000000		/* seconds that attributes are valid */

struct held {
	uint64_t	unique;
	uint32_t	opcode;
	uint64_t	offset;
	uint32_t	size;
	bool		sync;		/* a write that is its own flush */
	uint8_t		*data;		/* of a write */
};

struct slowdisk {
	int		fd;
	int		stop[2];	/* pipe */
	pthread_t	thread;
	pthread_mutex_t	lock;
	pthread_cond_t	changed;
	char		mnt[32];
	char		path[48];
	uint8_t		*data;
	uint64_t	bytes;
	bool		hold;
	struct held	held[MAX_HELD];
	unsigned int	nheld;
	unsigned int	reads, writes, flushes;
	uint8_t		buf[MAX_WRITE + 8192];
};

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int slowdisk_prepare(void)
{
	uid_t uid = geteuid();
	char map[64];

	if (access("/dev/fuse", R_OK | W_OK))
		return errno;
	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)))
		return errno;
	if (uid) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		if (write_file("/proc/self/uid_map", map))
			return EPERM;
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return errno;
	return 0;
}

/* ---- the server ---- */

static void reply(struct slowdisk *d, uint64_t unique, int err,
		  const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + (err ? 0 : len), .error = -err,
		.unique = unique,
	};
	struct iovec iov[2] = {
		{ &out, sizeof(out) }, { (void *)data, err ? 0 : len },
	};

	if (writev(d->fd, iov, 2) < 0 && errno != ENOENT)
		perror("fuse reply");	/* ENOENT: it was interrupted */
}

static void fill_attr(struct slowdisk *d, uint64_t node, struct fuse_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->ino = node;
	a->mode = node == FILE_NODE ? S_IFREG | 0666 : S_IFDIR | 0777;
	a->nlink = 1;
	a->size = node == FILE_NODE ? d->bytes : 0;
	a->blocks = a->size / 512;
	a->blksize = 4096;
}

static void do_init(struct slowdisk *d, const struct fuse_in_header *in)
{
	const struct fuse_init_in *i = (const void *)(in + 1);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = 31,
		.max_readahead = i->max_readahead,
		.flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
			 FUSE_MAX_PAGES,
		.max_background = 128, .congestion_threshold = 128,
		.max_write = MAX_WRITE, .time_gran = 1,
		.max_pages = MAX_WRITE / 4096,
	};

	reply(d, in->unique, 0, &out, sizeof(out));
}

static void do_lookup(struct slowdisk *d, const struct fuse_in_header *in)
{
	struct fuse_entry_out out = {
		.nodeid = FILE_NODE, .entry_valid = FOREVER,
		.attr_valid = FOREVER,
	};

	fill_attr(d, FILE_NODE, &out.attr);
	reply(d, in->unique, strcmp((const char *)(in + 1), FILE_NAME) ?
	      ENOENT : 0, &out, sizeof(out));
}

static void do_attr(struct slowdisk *d, const struct fuse_in_header *in)
{
	struct fuse_attr_out out = { .attr_valid = FOREVER };

	fill_attr(d, in->nodeid, &out.attr);
	reply(d, in->unique, 0, &out, sizeof(out));
}

static void do_open(struct slowdisk *d, const struct fuse_in_header *in)
{
	/* no page cache between the daemon and us, whatever it asked for */
	struct fuse_open_out out = { .fh = 1, .open_flags = FOPEN_DIRECT_IO };

	reply(d, in->unique, 0, &out, sizeof(out));
}

static void do_fallocate(struct slowdisk *d, const struct fuse_in_header *in)
{
	const struct fuse_fallocate_in *f = (const void *)(in + 1);
	uint64_t end = f->offset + f->length;

	if (end > d->bytes)
		end = d->bytes;
	if (f->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) &&
	    f->offset < end)
		memset(d->data + f->offset, 0, end - f->offset);
	reply(d, in->unique, 0, NULL, 0);
}

/* Carry out what was held, or was not; lock held. */
static void carry_out(struct slowdisk *d, struct held *h, int err)
{
	struct fuse_write_out out = { .size = h->size };

	if (!err && (h->offset > d->bytes || h->size > d->bytes - h->offset) &&
	    h->opcode != FUSE_FSYNC)
		err = EINVAL;
	switch (h->opcode) {
	case FUSE_READ:
		d->reads++;
		reply(d, h->unique, err, d->data + h->offset, h->size);
		break;
	case FUSE_WRITE:
		d->writes++;
		d->flushes += h->sync;
		if (!err)
			memcpy(d->data + h->offset, h->data, h->size);
		reply(d, h->unique, err, &out, sizeof(out));
		break;
	default:
		d->flushes++;
		reply(d, h->unique, err, NULL, 0);
	}
	free(h->data);
	h->data = NULL;
}

static void do_io(struct slowdisk *d, const struct fuse_in_header *in)
{
	struct held h = { .unique = in->unique, .opcode = in->opcode };
	const struct fuse_write_in *w = (const void *)(in + 1);
	const struct fuse_read_in *r = (const void *)(in + 1);

	if (in->opcode == FUSE_READ) {
		h.offset = r->offset;
		h.size = r->size;
	} else if (in->opcode == FUSE_WRITE) {
		h.offset = w->offset;
		h.size = w->size;
		h.sync = w->flags & O_DSYNC;
		h.data = malloc(w->size);
		if (!h.data)
			abort();
		memcpy(h.data, w + 1, w->size);
	}
	pthread_mutex_lock(&d->lock);
	if (d->hold && d->nheld < MAX_HELD) {
		d->held[d->nheld++] = h;
		pthread_cond_broadcast(&d->changed);
	} else {
		carry_out(d, &h, 0);
	}
	pthread_mutex_unlock(&d->lock);
}

static void serve(struct slowdisk *d, const struct fuse_in_header *in)
{
	struct fuse_statfs_out statfs = { .st = { .bsize = 4096 } };

	switch (in->opcode) {
	case FUSE_INIT:
		do_init(d, in);
		break;
	case FUSE_LOOKUP:
		do_lookup(d, in);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		do_attr(d, in);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		do_open(d, in);
		break;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
		do_io(d, in);
		break;
	case FUSE_FALLOCATE:
		do_fallocate(d, in);
		break;
	case FUSE_STATFS:
		reply(d, in->unique, 0, &statfs, sizeof(statfs));
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
		reply(d, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;			/* these want no answer */
	default:
		reply(d, in->unique, ENOSYS, NULL, 0);
	}
}

static void *server(void *arg)
{
	struct slowdisk *d = arg;
	struct pollfd p[2] = {
		{ .fd = d->fd, .events = POLLIN },
		{ .fd = d->stop[0], .events = POLLIN },
	};
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		n = read(d->fd, d->buf, sizeof(d->buf));
		if (n < 0 && errno == ENODEV)
			return NULL;	/* unmounted */
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve(d, (const void *)d->buf);
	}
}

/* ---- the test's side ---- */

static void die(const char *what)
{
	perror(what);
	abort();
}

struct slowdisk *slowdisk_open(uint64_t bytes)
{
	struct slowdisk *d = calloc(1, sizeof(*d));
	char opts[128];

	if (!d)
		die("slowdisk");
	d->bytes = bytes;
	d->data = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (d->data == MAP_FAILED)
		die("slowdisk");
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	strcpy(d->mnt, "/tmp/slowdisk-XXXXXX");
	if (!mkdtemp(d->mnt))
		die(d->mnt);
	snprintf(d->path, sizeof(d->path), "%s/" FILE_NAME, d->mnt);
	d->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (d->fd < 0 || pipe2(d->stop, O_CLOEXEC))
		die(d->mnt);
	snprintf(opts, sizeof(opts),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 d->fd);
	if (mount("slowdisk", d->mnt, "fuse", MS_NOSUID | MS_NODEV, opts))
		die("mount slowdisk");
	if (pthread_create(&d->thread, NULL, server, d))
		die("slowdisk");
	return d;
}

void slowdisk_close(struct slowdisk *d)
{
	if (!d)
		return;
	slowdisk_release(d, 0);
	/* An open file would keep the mount; the connection is cut anyway. */
	umount2(d->mnt, MNT_FORCE | MNT_DETACH);
	if (write(d->stop[1], "", 1) != 1)
		die("slowdisk");
	pthread_join(d->thread, NULL);
	close(d->fd);
	close(d->stop[0]);
	close(d->stop[1]);
	rmdir(d->mnt);
	munmap(d->data, d->bytes);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d);
}

const char *slowdisk_path(const struct slowdisk *d)
{
	return d->path;
}

uint8_t *slowdisk_data(struct slowdisk *d)
{
	return d->data;
}

void slowdisk_hold(struct slowdisk *d)
{
	pthread_mutex_lock(&d->lock);
	d->hold = true;
	pthread_mutex_unlock(&d->lock);
}

int slowdisk_wait(struct slowdisk *d, unsigned int n, int ms)
{
	struct timespec end;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += ms % 1000 * 1000000L;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	while (!r && d->nheld < n)
		r = pthread_cond_timedwait(&d->changed, &d->lock, &end);
	pthread_mutex_unlock(&d->lock);
	return -r;
}

unsigned int slowdisk_held(struct slowdisk *d)
{
	unsigned int n;

	pthread_mutex_lock(&d->lock);
	n = d->nheld;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void slowdisk_release(struct slowdisk *d, int err)
{
	unsigned int i;

	pthread_mutex_lock(&d->lock);
	d->hold = false;
	for (i = 0; i < d->nheld; i++)
		carry_out(d, &d->held[i], err);
	d->nheld = 0;
	pthread_mutex_unlock(&d->lock);
}

void slowdisk_release_newest(struct slowdisk *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->nheld)
		carry_out(d, &d->held[--d->nheld], 0);
	pthread_mutex_unlock(&d->lock);
}

static unsigned int slowdisk_count(struct slowdisk *d, const unsigned int *of)
{
	unsigned int n;

	pthread_mutex_lock(&d->lock);
	n = *of;
	pthread_mutex_unlock(&d->lock);
	return n;
}

unsigned int slowdisk_reads(struct slowdisk *d)
{
	return slowdisk_count(d, &d->reads);
}

unsigned int slowdisk_writes(struct slowdisk *d)
{
	return slowdisk_count(d, &d->writes);
}

unsigned int slowdisk_flushes(struct slowdisk *d)
{
	return slowdisk_count(d, &d->flushes);
}
