/* SPDX-License-Identifier: MIT */
/*
 * linkwatch.c: see the header.  The kernel tells on a netlink socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "linkwatch.h"
#include "loop.h"

struct linkwatch {
	int		sock;
	struct loop_fd	*watch;
	void		(*fn)(void *arg);
	void		*arg;
};

static void linkwatch_on_sock(void *arg)
{
	struct linkwatch *lw = arg;
	char buf[4096];
	ssize_t n;

	/* Cut, or lost for want of room (ENOBUFS): all we need is a hint. */
	do {
		n = recv(lw->sock, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR)));
	lw->fn(lw->arg);
}

int linkwatch_open(struct loop *loop, void (*fn)(void *arg), void *arg,
		   struct linkwatch **ret)
{
	const struct sockaddr_nl addr = {
		.nl_family	= AF_NETLINK,
		.nl_groups	= RTMGRP_LINK,
	};
	struct linkwatch *lw = calloc(1, sizeof(*lw));
	int r = 0;

	if (!lw)
		return -ENOMEM;
	lw->fn = fn;
	lw->arg = arg;
	lw->sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  NETLINK_ROUTE);
	if (lw->sock < 0 || bind(lw->sock, (const struct sockaddr *)&addr,
				 sizeof(addr)) < 0)
		r = -errno;
	if (!r)
		r = loop_fd_add(loop, lw->sock, linkwatch_on_sock, lw,
				&lw->watch);
	if (r < 0) {
		linkwatch_close(lw);
		return r;
	}
	*ret = lw;
	return 0;
}

void linkwatch_close(struct linkwatch *lw)
{
	if (!lw)
		return;
	loop_fd_del(lw->watch);
	if (lw->sock >= 0)
		close(lw->sock);
	free(lw);
}
