/* SPDX-License-Identifier: MIT */
/*
 * blk_backend.h: what a disk's data path ends in.
 *
 * A backend reads and writes an image.  It knows nothing of guests: whoever
 * calls submit() has checked the request wholly (inside the disk, whole
 * blocks, not a write to a read-only disk, operation supported), and the
 * backend may assert that.
 *
 *   open -> [ submit ... submit, kick ] ... -> close
 *
 * To write one, copy src/backends/blk/null.c.
 */
#ifndef XVD_BLK_BACKEND_H
#define XVD_BLK_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;
struct blk_backend;

enum blk_op {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,		/* all completed writes are durable after it */
	BLK_DISCARD,		/* contents may be lost; no promise */
	BLK_WRITE_ZEROES,	/* reads as zeroes afterwards */
};

enum blk_req_flags {
	BLK_REQ_FUA	= 1 << 0,	/* WRITE*: durable when done */
	BLK_REQ_UNMAP	= 1 << 1,	/* WRITE_ZEROES: may deallocate */
};

/*
 * One request.  It and its iov are lent to the backend from submit() until
 * done() is called.
 */
struct blk_req {
	enum blk_op	op;
	unsigned int	flags;		/* enum blk_req_flags */
	uint64_t	offset;		/* bytes, already inside the disk */
	uint64_t	bytes;		/* sum of iov, or of DISCARD etc. */
	struct iovec	*iov;		/* READ and WRITE only */
	int		iovcnt;

	/*
	 * Called exactly once, on the loop's thread, from kick() or from the
	 * loop, never from inside submit().  @err: 0, or a negative errno.
	 * A short transfer is the backend's to finish or to turn into -EIO.
	 */
	void		(*done)(struct blk_req *req, int err);

	/* The backend's own, while the request is lent to it. */
	struct blk_req	*next;
	uint64_t	pos;
};

enum blk_cache {
	BLK_CACHE_NONE,		/* O_DIRECT; flush is fdatasync */
	BLK_CACHE_WRITEBACK,	/* host page cache; flush is fdatasync */
	BLK_CACHE_WRITETHROUGH,	/* host page cache, every write durable */
};

/*
 * What an image is and can: filled in by whoever opened it (image.h), asked
 * once, and constant while the backend is open; but for bytes, which may grow
 * at any time when no call to the backend is under way.
 */
struct blk_info {
	uint64_t	bytes;		/* size, a multiple of block_size */
	uint32_t	block_size;	/* 512 or 4096: what the guest sees */
	uint32_t	physical_size;	/* >= block_size, a power of two */
	uint32_t	opt_io_size;	/* bytes, 0 = unknown */
	uint32_t	discard_align;	/* bytes, granularity of discards */
	uint32_t	buf_align;	/* alignment of iov_base and iov_len
					 * that direct I/O needs; 1 = any */
	enum blk_cache	cache;
	bool		readonly;
	bool		is_blkdev;
	bool		can_discard;
	bool		can_write_zeroes;
};

struct blk_backend_ops {
	const char *name;

	/*
	 * Optional.  Before the process locks itself in: sees to it that
	 * @count disks can be opened at a time after that, and no more.
	 * Return: 0 or a negative errno.
	 */
	int (*reserve)(unsigned int count);
	void (*unreserve)(void);	/* none is open */

	/*
	 * @fd becomes the backend's (also on failure); -1 where the backend
	 * needs none.  @info is copied.  @depth: the most requests ever lent
	 * at once.  Return: 0 and *ret; -EMFILE if no more than were reserved
	 * can be open; or another negative errno.
	 */
	int (*open)(struct loop *loop, int fd, const struct blk_info *info,
		    unsigned int depth, struct blk_backend **ret);

	/* Queues a request; must not block and cannot fail. */
	void (*submit)(struct blk_backend *be, struct blk_req *req);

	/* Called after the last submit() of a batch: now go. */
	void (*kick)(struct blk_backend *be);

	/*
	 * No request is lent any more.  NULL and half-made objects are fine.
	 */
	void (*close)(struct blk_backend *be);
};

/* The head of every backend's own structure. */
struct blk_backend {
	const struct blk_backend_ops	*ops;
	struct blk_info			info;
};

extern const struct blk_backend_ops blk_uring_ops;	/* io_uring */
extern const struct blk_backend_ops blk_null_ops;	/* reads zeroes */

#endif
