/* SPDX-License-Identifier: MIT */
/*
 * netdev.h: dom0's end of a guest's network cable: makes a tap and plugs it
 * into a bridge, or opens a tap or macvtap that somebody has made.
 *
 * Runs where paths may be opened and interfaces be changed (the supervisor's
 * side); descriptors and a struct net_info are all that a backend needs.
 *
 *	netdev_open	interface made, plugged in, up; scripts have run
 *	netdev_take_fds	to the backend
 *	netdev_close	scripts have run, what was made is gone
 */
#ifndef XVD_NETDEV_H
#define XVD_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net_backend.h"

#define NETDEV_NAME_LEN		16	/* IFNAMSIZ, with the zero */

/* Strings are borrowed until netdev_close(). */
struct netdev_opts {
	uint32_t	domid;
	uint8_t		devfn;
	const char	*bridge;	/* one of these two, or ... */
	const char	*tap;		/* ... neither: no interface at all */
	const char	*script;	/* NULL: the default; "no": none */
	const char	*downscript;	/* NULL or "no": none */
	const char	*ifname;	/* NULL: derived from domid and devfn */
	bool		persist;	/* outlives us */
	uint8_t		mac[6];		/* the guest's; ... */
	bool		mac_given;	/* else a macvtap's own wins */
	unsigned int	mtu;		/* 0: the bridge's or the tap's */
	struct net_info	wanted;		/* pairs, offloads, rate */
	unsigned int	script_ms;	/* 0: 40 seconds, as xl does */
};

/* What came of it. */
struct netdev_info {
	char		ifname[NETDEV_NAME_LEN];	/* "": none */
	uint8_t		mac[6];
	unsigned int	mtu;
	struct net_info	net;		/* less what the kernel cannot do */
};

struct netdev;

/*
 * Return: 0 and *ret; or a negative errno and in @why one line for the
 * operator which names the key at fault, its value, and what would be right;
 * nothing is left behind.
 */
int netdev_open(const struct netdev_opts *opts, struct netdev **ret,
		char *why, size_t why_len);

/* The interface stays until here, even when its descriptors are closed. */
void netdev_close(struct netdev *nd);		/* NULL is fine */

const struct netdev_info *netdev_info(const struct netdev *nd);

enum netdev_link {
	NETDEV_DOWN,
	NETDEV_UP,		/* and running; or there is no interface */
	NETDEV_GONE,		/* somebody has taken it away */
};

/* The interface may have been renamed since. */
enum netdev_link netdev_link(const struct netdev *nd);

/* Moves the descriptors, one per pair, to @ret.  To be called once. */
void netdev_take_fds(struct netdev *nd, int ret[NET_MAX_QUEUES]);

/*
 * An address of Xen's own range (00:16:3e), the same every time for a guest
 * of this name with a card at this place.
 */
void netdev_mac(const char *guest, uint8_t devfn, uint8_t ret[6]);

#endif
