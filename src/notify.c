/* SPDX-License-Identifier: MIT */
/*
 * notify.c: sd_notify(3) without libsystemd, whose dependencies a root
 * daemon in dom0 is better off without.
 *
 * $NOTIFY_SOCKET is the path of a datagram socket, or, where it starts with
 * "@", a name in Linux's abstract namespace: there the first byte of the
 * address is zero and the name ends where the address does, without a
 * terminating zero.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "notify.h"

int notify_send(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	ssize_t n;
	int fd, r;

	if (!path)
		return 0;
	len = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(addr.sun_path))
		return -EINVAL;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	n = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		   (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	r = n < 0 ? -errno : 0;		/* a datagram goes whole or not */
	(void)close(fd);		/* nothing was written behind it */
	return r;
}
