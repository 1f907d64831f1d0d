/* SPDX-License-Identifier: MIT */
/*
 * loopdev.h: a block device for a test: a file behind /dev/loopN.  Needs
 * root and a kernel with loop devices; a test skips itself without.
 */
#ifndef XVD_TEST_LOOPDEV_H
#define XVD_TEST_LOOPDEV_H

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct loopdev {
	char	path[32];
	int	fd;			/* the device goes when it is closed */
};

/* Return: 0, or a negative errno. */
static inline int loopdev_attach(struct loopdev *dev, int file,
				 uint32_t block_size, bool readonly)
{
	struct loop_config cfg = {
		.fd = (uint32_t)file,
		.block_size = block_size,
		.info = {
			.lo_flags = LO_FLAGS_AUTOCLEAR |
				    (readonly ? LO_FLAGS_READ_ONLY : 0),
		},
	};
	int ctl, n, tries, r = -EBUSY;

	dev->fd = -1;
	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0)
		return -errno;
	/* Somebody else may get the free one first. */
	for (tries = 0; tries < 20 && r == -EBUSY; tries++) {
		n = ioctl(ctl, LOOP_CTL_GET_FREE);
		r = n < 0 ? -errno : 0;
		if (r < 0)
			break;
		(void)snprintf(dev->path, sizeof(dev->path), "/dev/loop%d", n);
		dev->fd = open(dev->path, O_RDWR | O_CLOEXEC);
		if (dev->fd < 0 && readonly)
			dev->fd = open(dev->path, O_RDONLY | O_CLOEXEC);
		r = dev->fd < 0 ||
		    ioctl(dev->fd, LOOP_CONFIGURE, &cfg) < 0 ? -errno : 0;
		if (r < 0 && dev->fd >= 0) {
			close(dev->fd);
			dev->fd = -1;
		}
	}
	close(ctl);
	return r;
}

static inline void loopdev_detach(struct loopdev *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

#endif
