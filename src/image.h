/* SPDX-License-Identifier: MIT */
/*
 * image.h: opens a disk image (a raw file or a block device), asks what it
 * is and can, and locks it the way QEMU does, so that two users of one
 * image get a clear refusal.
 *
 * Runs where paths may be opened (the supervisor's side); the result, an
 * open descriptor and a struct blk_info, is all a backend needs.
 */
#ifndef XVD_IMAGE_H
#define XVD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "blk_backend.h"

struct image_opts {
	const char	*path;
	bool		readonly;
	enum blk_cache	cache;
	bool		cache_given;	/* else "none" may fall back to
					 * "writeback" where O_DIRECT is not
					 * supported */
	uint32_t	block_size;	/* 512, 4096, or 0: the image decides */
	int		discard;	/* 1 on, 0 off, -1 where possible */
	bool		lock;		/* take QEMU-compatible locks */
};

/*
 * Opens and locks.  Return: 0, *ret_fd (the caller's to close, which also
 * unlocks) and *ret_info; or a negative errno and in @why one line for the
 * operator which names the thing at fault (a key of the device grammar or
 * the path), its value, and what would be right.
 */
int image_open(const struct image_opts *opts, int *ret_fd,
	       struct blk_info *ret_info, char *why, size_t why_len);

/*
 * Makes the file longer, up to @bytes, unless that is 0 or less than it is
 * already; what is new reads as zeroes.  Return: 0 and in *ret how many bytes
 * there are; -ENOTBLK for a block device that has another size; or another
 * negative errno.
 */
int image_grow(int fd, uint64_t bytes, uint64_t *ret);

#endif
