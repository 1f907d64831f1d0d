/* SPDX-License-Identifier: MIT */
/*
 * claim.c: a claim is an abstract UNIX socket that bears the address as its
 * name.  The kernel lets only one process have a name, and forgets it when
 * the process ends, however it ends; no file is left to be stale.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "claim.h"

struct claim {
	int	fd;
};

static int claim_bind(int fd, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n;

	n = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
		     "xen-virtiod/%s", name);
	if (bind(fd, (const struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     (size_t)n)) < 0)
		return -errno;
	return 0;
}

static int claim_name(const char *name, struct claim **ret)
{
	struct claim *claim = calloc(1, sizeof(*claim));
	int r;

	if (!claim)
		return -ENOMEM;
	claim->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = claim->fd < 0 ? -errno : claim_bind(claim->fd, name);
	if (r < 0) {
		claim_drop(claim);
		return r;
	}
	*ret = claim;
	return 0;
}

int claim_take(uint32_t domid, unsigned int devfn, struct claim **ret)
{
	char name[32];

	snprintf(name, sizeof(name), "d%u/00:%02x.%x", domid, devfn >> 3,
		 devfn & 7);
	return claim_name(name, ret);
}

int claim_take_service(struct claim **ret)
{
	return claim_name("service", ret);
}

void claim_drop(struct claim *claim)
{
	if (!claim)
		return;
	if (claim->fd >= 0)
		close(claim->fd);
	free(claim);
}
