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
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"

#define STATUS_BYTES	256

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

int notify_reloading(void)
{
	struct timespec ts;
	char state[64];

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
	(void)snprintf(state, sizeof(state),
		       "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       (uint64_t)ts.tv_sec * 1000000 +
		       (uint64_t)ts.tv_nsec / 1000);	/* it fits */
	return notify_send(state);
}

/* A newline would end the line, and begin something else. */
static void make_visible(char *s)
{
	size_t n;

	for (; *s; s += n ? n : 1) {
		n = log_visible(s);
		if (!n)
			*s = '?';
	}
}

int notify_status(const char *fmt, ...)
{
	char state[STATUS_BYTES] = "STATUS=";
	size_t len = strlen(state);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(state + len, sizeof(state) - len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	make_visible(state + len);	/* also half a character at the end */
	return notify_send(state);
}

/* Return: 0, or -EINVAL for anything but a number above 0. */
static int positive_number(const char *s, uint64_t *ret)
{
	uint64_t n;
	char *end;

	if (*s < '0' || *s > '9')	/* strtoull() takes blanks and signs */
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || *end || n == 0)
		return -EINVAL;
	*ret = n;
	return 0;
}

int notify_watchdog(uint64_t *ret_usec)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *who = getenv("WATCHDOG_PID");
	uint64_t pid;
	int r;

	if (!usec)
		return 0;
	if (who) {
		r = positive_number(who, &pid);
		if (r < 0 || pid != (uint64_t)getpid())
			return r;	/* 0: for our parent, say */
	}
	r = positive_number(usec, ret_usec);
	return r < 0 ? r : 1;
}
