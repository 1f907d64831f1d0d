/* SPDX-License-Identifier: MIT */
/*
 * devspec.h: the one grammar for a device,
 *
 *	blk,bdf=00:18.0,path=/dev/vg0/web1,serial=web1,cache=none
 *	net,bdf=00:19.0,bridge=xenbr0,mac=00:16:3e:01:02:03
 *
 * kind first, then key=value in any order.  A comma inside a value is
 * doubled, as in QEMU, and "_" in a key is as good as "-".  The same parser
 * serves the command line, the configuration file and the xl stanza.  Where
 * several of these speak of one device, they are layers, and later ones win.
 */
#ifndef XVD_DEVSPEC_H
#define XVD_DEVSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "blk_backend.h"
#include "blk_limits.h"
#include "guest_mem.h"
#include "net_backend.h"

#define DEVSPEC_FIRST_SLOT	0x18	/* slots handed out when bdf is */
#define DEVSPEC_LAST_SLOT	0x1e	/* left out */

enum devspec_kind {
	DEVSPEC_BLK,
	DEVSPEC_NET,
};

struct devspec_blk {
	char		*path;		/* NULL only with engine=null */
	char		*serial;	/* at most 20 bytes, or NULL */
	char		engine[8];	/* "uring", "null" */
	bool		readonly;
	enum blk_cache	cache;
	bool		cache_given;
	unsigned int	queues;		/* 1 to 16, default 1 */
	unsigned int	queue_size;	/* power of two, 2 to 1024, def. 256 */
	uint32_t	block_size;	/* 512, 4096 or 0 = the image's */
	int		discard;	/* 1 on, 0 off, -1 not given */
	uint64_t	size;		/* bytes, engine=null only */
	struct blk_limits limits;
	uint32_t	grants_map;	/* bytes of a request, 1 to 2M */
};

/* Switches for offloads, as given: enum net_offload, received ones << 8. */
struct devspec_offloads {
	unsigned int	on;
	unsigned int	off;
};

struct devspec_net {
	char		*bridge;	/* exactly one of bridge, tap, and */
	char		*tap;		/* engine "null"; 255 and 15 bytes */
	char		*script;	/* or NULL; "no": none at all */
	char		*downscript;	/* or NULL */
	char		*ifname;	/* at most 15 bytes, or NULL */
	char		engine[8];	/* "tap", "null" */
	bool		persist;
	bool		mac_given;
	uint8_t		mac[6];		/* if given: unicast, not zero */
	unsigned int	mtu;		/* 68 to 65535, 0 = the host's */
	unsigned int	queues;		/* pairs, 1 to 8, default 1 */
	unsigned int	queue_size;	/* power of two, 2 to 1024, def. 256 */
	uint64_t	rate_bytes;	/* per second; 0: any */
	uint32_t	rate_usecs;	/* ... in portions of so long */
	struct devspec_offloads several; /* by csum, tso and uso; ... */
	struct devspec_offloads single;	/* by all others, which win */
	unsigned int	send_offloads;	/* the result: what the guest may */
	unsigned int	recv_offloads;	/* leave undone, each way */
};

struct devspec {
	enum devspec_kind	kind;
	bool			bdf_given;
	uint8_t			devfn;	/* slot << 3 | function, bus 0 */
	enum grants_policy	grants;	/* all of a guest's have the same */
	bool			ecam;	/* pci-config=ecam */
	uint64_t		mmio;	/* of the virtio-mmio device that it
					 * takes the place of; 0: of none.  No
					 * key: the toolstack knows it */
	union {
		struct devspec_blk	blk;
		struct devspec_net	net;
	};
};

/*
 * Parses @text.  Return: 0 and *ret, whose strings devspec_fini() frees; or
 * -EINVAL and in @why one line that names the key, the value, and what is
 * accepted.
 */
int devspec_parse(const char *text, struct devspec *ret,
		  char *why, size_t why_len);
void devspec_fini(struct devspec *spec);

/* As it is written behind grants=. */
const char *devspec_grants_name(enum grants_policy policy);

/*
 * The same from several texts, such as defaults, what a toolstack says, and
 * what the configuration file adds: a key replaces the same key of an earlier
 * layer, and takes from the earlier layers what makes no sense beside it (a
 * tap's name a bridge: the tables of contraries).  Within one layer a key is
 * given once.  All layers are of one kind.  What is wrong with a layer is said
 * with its origin, what is wrong with all of them together with the last one's.
 */
#define DEVSPEC_MAX_LAYERS	4

struct devspec_layer {
	const char	*text;		/* KIND,KEY=VALUE,... or just KIND */
	const char	*origin;	/* put before messages; or NULL */
};

int devspec_merge(const struct devspec_layer *layers, size_t count,
		  struct devspec *ret, char *why, size_t why_len);

/*
 * Is one layer good as far as it goes?  Every key and every value is looked
 * at, but nothing need be complete.  Return: 0 and *ret, or -EINVAL and @why.
 */
int devspec_check(const struct devspec_layer *layer, enum devspec_kind *ret,
		  char *why, size_t why_len);

/* Whether the text, good or not, has this key. */
bool devspec_has_key(const char *text, const char *key);

/*
 * Takes the first "key=value" of that key out of @text.  Return: the value,
 * for free(), with its commas as they were; NULL if the text has no such key,
 * or for want of memory.
 */
char *devspec_cut_key(char *text, const char *key);

/*
 * Gives every spec without a bdf the first free slot from
 * DEVSPEC_FIRST_SLOT upward and refuses two of the same address.
 * Return: 0, or -EINVAL (same address twice), -ENOSPC (bus full), with @why.
 */
int devspec_assign(struct devspec *specs, size_t count,
		   char *why, size_t why_len);

/*
 * The same for one more, @used having a bit for every address that is taken.
 * Return: 0, -EINVAL (taken) or -ENOSPC (bus full), with @why.
 */
#define DEVSPEC_USED_BYTES	32
int devspec_place(struct devspec *spec, const uint8_t used[DEVSPEC_USED_BYTES],
		  char *why, size_t why_len);

/* How many MSI-X messages the device can send: one for each queue, and one. */
unsigned int devspec_vectors(const struct devspec *spec);

#endif
