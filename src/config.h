/* SPDX-License-Identifier: MIT */
/*
 * config.h: the configuration file, /etc/xen/xen-virtiod.conf.
 *
 *	blk = "cache=none"			# defaults of a kind of device
 *	net = "bridge=xenbr0"
 *	uid-base = 2147418112
 *	sandbox = on
 *	control-group = "xen"
 *	guest "web1" {
 *		device = { "blk,vdev=xvdg,serial=web1",	# adds to a disk stanza
 *			   "net,virtio=0,mtu=9000",	# to a virtio stanza
 *			   "blk,path=/dev/vg0/scratch" } # one of its own
 *	}
 *
 * What is inside the quotes is the grammar of devspec.h, with two keys more:
 * vdev= and virtio= name the stanza of the guest's xl configuration that an
 * entry is for.  A device is made of layers, and later ones win:
 *
 *	defaults of its kind  <  its stanza  <  its entry here
 *
 * A configuration never changes.  To read a changed file is to load another,
 * and to free the old one if the new one is good.
 */
#ifndef XVD_CONFIG_H
#define XVD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "devspec.h"

#define CONFIG_PATH	"/etc/xen/xen-virtiod.conf"

/* What the text of one device is for. */
enum config_use {
	CONFIG_EXTRA,			/* a device no stanza asks for */
	CONFIG_VDEV,			/* the disk= stanza with this vdev */
	CONFIG_VIRTIO,			/* the virtio= list's entry number n */
};

struct config_device {
	enum config_use		use;
	enum devspec_kind	kind;
	char			*vdev;		/* CONFIG_VDEV only */
	unsigned int		virtio;		/* CONFIG_VIRTIO only */
	char			*text;		/* without these two keys */
	char			*origin;	/* "FILE:LINE" */
};

struct config_guest {
	char			*name;
	struct config_device	*devices;	/* in the file's order */
	size_t			ndevices;
};

/* Defaults of a kind. */
struct config_defaults {
	char	*text;			/* begins with the kind; or NULL */
	char	*origin;
};

struct config {
	struct config_defaults	blk;
	struct config_defaults	net;
	uint32_t		uid_base;
	bool			sandbox;
	char			*control_group;	/* or NULL: root only */
	struct config_guest	*guests;
	size_t			nguests;
};

/*
 * Reads a file.  Return: 0 and *ret; -ENOENT if there is none, which may be
 * well; another negative errno.  Unless 0, @why has one line that says what
 * is wrong, where, and what would be right.
 */
int config_load(const char *path, struct config **ret,
		char *why, size_t why_len);

/* What an empty file gives.  Return: NULL for want of memory. */
struct config *config_new_default(void);

void config_free(struct config *config);

/* Return: lent by @config; NULL if the file does not name that guest. */
const struct config_guest *config_guest(const struct config *config,
					const char *name);

/* Whether the file has an entry for the guest's disk= stanza with this vdev. */
bool config_names_vdev(const struct config *config, const char *guest,
		       const char *vdev);

/*
 * The devices for a guest's stanzas.  @stanza is what the stanza itself says,
 * "key=value,..." without a kind, or NULL; the guest need not be in the file,
 * nor have an entry for the stanza.  @vdev may be NULL.
 * Return: 0 and *ret, for devspec_fini(), or -EINVAL with @why.
 */
int config_blk(const struct config *config, const char *guest,
	       const char *vdev, const char *stanza, struct devspec *ret,
	       char *why, size_t why_len);
int config_virtio(const struct config *config, const char *guest,
		  unsigned int number, enum devspec_kind kind,
		  const char *stanza, struct devspec *ret,
		  char *why, size_t why_len);

/* The devices no stanza asks for; @i is below the count. */
size_t config_extra_count(const struct config *config, const char *guest);
int config_extra(const struct config *config, const char *guest, size_t i,
		 struct devspec *ret, char *why, size_t why_len);

/* A device from elsewhere, "blk,path=...", with the defaults below it. */
int config_attach(const struct config *config, const char *text,
		  struct devspec *ret, char *why, size_t why_len);

#endif
