// SPDX-License-Identifier: MIT
/*
 * null.c: a cable that ends nowhere.  What is sent vanishes, nothing is ever
 * received, and yet the link is up.
 *
 * It measures what a frame costs without a network behind it, and it is the
 * smallest example of a backend: copy it to write another.  The contract is
 * in net_backend.h; what a real one has to add is
 *
 *   - to read nothing, and call nothing, while a queue is off: that is how a
 *     guest without receive buffers costs nothing;
 *   - writable() once after each -EAGAIN, and from the loop, never from
 *     inside send().
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "net_backend.h"

static int null_open(struct loop *loop, const int *fds,
		     const struct net_info *info,
		     const struct net_events *events, struct net_backend **ret)
{
	struct net_backend *be;
	unsigned int i;

	(void)loop;
	for (i = 0; fds && i < info->queues; i++)
		close(fds[i]);		/* ours, but of no use */
	be = calloc(1, sizeof(*be));
	if (!be)
		return -ENOMEM;
	be->ops = &net_null_ops;
	be->info = *info;
	be->events = *events;
	*ret = be;
	return 0;
}

static int null_set_offloads(struct net_backend *be, unsigned int offloads)
{
	(void)be;
	(void)offloads;
	return 0;
}

static int null_send(struct net_backend *be, unsigned int queue,
		     const struct iovec *iov, int iovcnt)
{
	(void)be;
	(void)queue;
	(void)iov;
	(void)iovcnt;
	return 0;
}

static ssize_t null_recv(struct net_backend *be, unsigned int queue,
			 const struct iovec *iov, int iovcnt)
{
	(void)be;
	(void)queue;
	(void)iov;
	(void)iovcnt;
	return -EAGAIN;
}

static void null_rx(struct net_backend *be, unsigned int queue)
{
	(void)be;
	(void)queue;
}

static bool null_link_up(struct net_backend *be)
{
	(void)be;
	return true;
}

static void null_close(struct net_backend *be)
{
	free(be);
}

const struct net_backend_ops net_null_ops = {
	.name		= "null",
	.open		= null_open,
	.set_offloads	= null_set_offloads,
	.send		= null_send,
	.recv		= null_recv,
	.rx_on		= null_rx,
	.rx_off		= null_rx,
	.link_up	= null_link_up,
	.close		= null_close,
};
