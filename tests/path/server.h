/* SPDX-License-Identifier: MIT */
/*
 * server.h: for a test that is also the server that it tests, started by
 * itself with arguments.
 */
#ifndef XVD_PATH_SERVER_H
#define XVD_PATH_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Else the server ends, and says where. */
#define MUST(x)								\
	do {								\
		if (!(x)) {						\
			printf("line %d: %s: %m\n", __LINE__, #x);	\
			exit(3);					\
		}							\
	} while (0)

/* What toy_ready() waits for. */
static inline void server_ready(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);

	strncpy(a.sun_path, getenv("NOTIFY_SOCKET"), sizeof(a.sun_path) - 1);
	MUST(sendto(s, "READY=1", 7, 0, (struct sockaddr *)&a, sizeof(a)) == 7);
	close(s);
}

#endif
