/* SPDX-License-Identifier: MIT */
/*
 * xsnode.h: what libxl has written into a backend directory, for us to read.
 *
 *	disk = [ "vdev=xvdg,target=/x,specification=virtio" ]
 *		/local/domain/0/backend/virtio_disk/5/51808
 *	virtio = [ "type=virtio,device1;bridge=br0,transport=mmio" ]
 *		/local/domain/0/backend/virtio/5/0
 */
#ifndef XVD_XSNODE_H
#define XVD_XSNODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devspec.h"

enum xsnode_class {
	XSNODE_DISK,			/* virtio_disk */
	XSNODE_VIRTIO,			/* virtio */
};

struct xsnode_path {
	enum xsnode_class	class;
	uint32_t		domid;		/* the guest's */
	uint32_t		devid;
};

/*
 * Is @path, that of a watch, inside a backend directory of domain @self?  What
 * is below the directory is of no interest.  Return: whether, and *ret.
 */
bool xsnode_path_parse(const char *path, uint32_t self,
		       struct xsnode_path *ret);
void xsnode_path_print(const struct xsnode_path *path, uint32_t self,
		       char *ret, size_t len);

/* The values of a directory, NULL where there is no such key. */
struct xsnode_values {
	const char	*params;
	const char	*mode;
	const char	*dev;
	const char	*discard;	/* discard-enable */
	const char	*device_type;	/* device-type */
	const char	*type;
	const char	*transport;
	const char	*base;
	const char	*irq;
	const char	*bdf;
	const char	*backend_type;
};

#define XSNODE_TEXT_LEN		2048

struct xsnode_wish {
	enum devspec_kind	kind;
	char			vdev[32];	/* disks: "xvdg"; "": unknown */
	uint64_t		mmio;		/* disks: libxl has told the guest
						 * of a virtio-mmio device here;
						 * 0: it has not */
	char			text[XSNODE_TEXT_LEN];	/* "key=value,..." */
};

/*
 * What is wanted?  Return: 1 and *ret; 0 if it is for somebody else, and in
 * @why the reason; or -EINVAL and in @why what is wrong with it.
 */
int xsnode_parse(enum xsnode_class class, const struct xsnode_values *values,
		 struct xsnode_wish *ret, char *why, size_t why_len);

/*
 * Does stock libxl give an HVM guest's disk with this vdev to QEMU as well,
 * whatever its specification says?  Then an image has two writers.
 */
bool xsnode_vdev_is_qemus(const char *vdev);

#endif
