/* SPDX-License-Identifier: MIT */
/*
 * net_backend.h: what a network card's data path ends in.
 *
 * A backend moves frames.  It knows nothing of guests.  Every frame, both
 * ways, begins with a struct virtio_net_hdr_v1 of NET_HDR_BYTES bytes in
 * little endian (virtio 1.2, 5.1.6), which says what is left to be done to
 * it: a checksum to fill in, segments to cut.  Whoever calls send() has
 * checked the header against the frame.
 *
 *	open -> [ set_offloads, rx_on/rx_off, send, recv ... ] -> close
 *
 * A receive queue is off at first: nothing is read and nothing is called.
 * While it is on, events->readable(queue) is called from the loop for as long
 * as there is something to recv().
 *
 * To write one, copy src/backends/net/null.c.
 */
#ifndef XVD_NET_BACKEND_H
#define XVD_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HDR_BYTES	12
#define NET_MAX_QUEUES	8		/* pairs */
#define NET_MAX_FRAME	(65535 + 18)	/* without the header, VLAN-tagged */

struct loop;
struct net_backend;

/* What may be left undone in a frame. */
enum net_offload {
	NET_CSUM	= 1 << 0,
	NET_TSO4	= 1 << 1,
	NET_TSO6	= 1 << 2,
	NET_TSO_ECN	= 1 << 3,
	NET_USO4	= 1 << 4,
	NET_USO6	= 1 << 5,
};

/* From the backend, on the loop's thread, never from inside a call to it. */
struct net_events {
	void	(*readable)(void *arg, unsigned int queue);
	void	(*writable)(void *arg, unsigned int queue); /* after -EAGAIN */
	void	(*link)(void *arg, bool up);
	void	*arg;
};

struct net_info {
	unsigned int	queues;		/* 1 to NET_MAX_QUEUES */
	unsigned int	send_offloads;	/* enum net_offload it takes ... */
	unsigned int	recv_offloads;	/* ... and can deliver */
	uint64_t	rate_bytes;	/* a second through send(); 0: any */
	uint32_t	rate_burst_us;	/* this long's worth at once */
};

struct net_backend_ops {
	const char *name;

	/*
	 * @fds: one per queue, the backend's from now on (also on failure);
	 * NULL where it needs none.  @info is copied.  Return: 0 and *ret, or
	 * a negative errno.
	 */
	int (*open)(struct loop *loop, const int *fds,
		    const struct net_info *info,
		    const struct net_events *events,
		    struct net_backend **ret);

	/*
	 * What received frames may leave undone: a subset of recv_offloads.
	 * Return: 0 or a negative errno.
	 */
	int (*set_offloads)(struct net_backend *be, unsigned int offloads);

	/*
	 * Sends one frame, header included.  Return: 0; -EAGAIN if there is
	 * no room now (writable() will be called); another negative errno:
	 * the frame is lost.
	 */
	int (*send)(struct net_backend *be, unsigned int queue,
		    const struct iovec *iov, int iovcnt);

	/*
	 * Receives one frame, header included, into @iov.  Return: its bytes,
	 * more than @iov holds if it had to be cut; -EAGAIN if there is none;
	 * another negative errno.  The queue may be off, too.
	 */
	ssize_t (*recv)(struct net_backend *be, unsigned int queue,
			const struct iovec *iov, int iovcnt);

	void (*rx_on)(struct net_backend *be, unsigned int queue);
	void (*rx_off)(struct net_backend *be, unsigned int queue);

	/* Is there a cable?  Changes come through events->link. */
	bool (*link_up)(struct net_backend *be);

	void (*close)(struct net_backend *be);	/* NULL is fine */
};

/* The head of every backend's own structure. */
struct net_backend {
	const struct net_backend_ops	*ops;
	struct net_info			info;
	struct net_events		events;
};

extern const struct net_backend_ops net_tap_ops;	/* Linux tap */
extern const struct net_backend_ops net_null_ops;	/* no cable's end */

#endif
