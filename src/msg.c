/* SPDX-License-Identifier: MIT */
/*
 * msg.c: see the header.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "msg.h"
#include "util.h"

static const struct msg_kind {
	enum msg_from	from;
	uint32_t	bytes;
	unsigned int	min_fds;
	unsigned int	max_fds;
} kinds[] = {
	[MSG_START]	= { MSG_FROM_SUPERVISOR, sizeof(struct msg_start),
			    1, 1 },
	[MSG_DEVICE]	= { MSG_FROM_SUPERVISOR, sizeof(struct devdesc),
			    0, DEVDESC_MAX_FDS },
	[MSG_DETACH]	= { MSG_FROM_SUPERVISOR, sizeof(struct msg_about),
			    0, 0 },
	[MSG_LINK]	= { MSG_FROM_SUPERVISOR, sizeof(struct msg_about),
			    0, 0 },
	[MSG_RESIZE]	= { MSG_FROM_SUPERVISOR, sizeof(struct msg_about),
			    0, 0 },
	[MSG_STOP]	= { MSG_FROM_SUPERVISOR, sizeof(struct msg_stop),
			    0, 0 },
	[MSG_READY]	= { MSG_FROM_WORKER, 0, 0, 0 },
	[MSG_FAILED]	= { MSG_FROM_WORKER, sizeof(struct msg_text), 0, 0 },
	[MSG_ADDED]	= { MSG_FROM_WORKER, sizeof(struct msg_about), 0, 0 },
	[MSG_REFUSED]	= { MSG_FROM_WORKER, sizeof(struct msg_text), 0, 0 },
	[MSG_RUNNING]	= { MSG_FROM_WORKER, sizeof(struct msg_about), 0, 0 },
	[MSG_DETACHED]	= { MSG_FROM_WORKER, sizeof(struct msg_about), 0, 0 },
};

union msg_control {
	struct cmsghdr	align;
	char		room[CMSG_SPACE(MSG_MAX_FDS * sizeof(int))];
};

int msg_send(int sock, enum msg_type type, const void *body, const int *fds,
	     unsigned int nfds, bool wait)
{
	const struct msg_kind *kind = &kinds[type];
	struct msg_head head = {
		.magic		= MSG_MAGIC,
		.version	= MSG_VERSION,
		.type		= (uint16_t)type,
		.bytes		= kind->bytes,
		.nfds		= nfds,
	};
	struct iovec iov[] = {
		{ &head, sizeof(head) },
		{ (void *)(uintptr_t)body, kind->bytes },
	};
	union msg_control control = { 0 };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	struct cmsghdr *c = &control.align;
	ssize_t n;

	assert(nfds >= kind->min_fds && nfds <= kind->max_fds);
	if (nfds) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &mh, MSG_NOSIGNAL |
			    (wait ? 0 : MSG_DONTWAIT));
	} while (n < 0 && errno == EINTR);
	if (n < 0)			/* a packet goes whole or not */
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

/* Return: how many descriptors came with it, all of them in @ret. */
static unsigned int msg_take_fds(struct msghdr *mh, int ret[MSG_MAX_FDS])
{
	struct cmsghdr *c;
	size_t bytes;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		assert(bytes <= MSG_MAX_FDS * sizeof(int)); /* our buffer */
		memcpy(ret, CMSG_DATA(c), bytes);
		return (unsigned int)(bytes / sizeof(int));
	}
	return 0;
}

static int msg_check(const struct msg *msg, size_t len, unsigned int nfds,
		     int flags, enum msg_from from)
{
	const struct msg_kind *kind;

	if (len < sizeof(msg->head))
		return -EMSGSIZE;
	if (msg->head.magic != MSG_MAGIC)
		return -EPROTO;
	/* What follows may be different in another version. */
	if (msg->head.version != MSG_VERSION)
		return -EPROTONOSUPPORT;
	if (msg->head.type >= ARRAY_SIZE(kinds))
		return -EPROTO;
	kind = &kinds[msg->head.type];
	if (msg->head.type < MSG_START || kind->from != from)
		return -EPROTO;
	if ((flags & MSG_TRUNC) || msg->head.bytes != kind->bytes ||
	    len != sizeof(msg->head) + kind->bytes)
		return -EMSGSIZE;
	if ((flags & MSG_CTRUNC) || msg->head.nfds != nfds ||
	    nfds < kind->min_fds || nfds > kind->max_fds)
		return -EBADF;
	if ((msg->head.type == MSG_FAILED || msg->head.type == MSG_REFUSED) &&
	    !memchr(msg->text.text, '\0', sizeof(msg->text.text)))
		return -EBADMSG;
	return 0;
}

int msg_recv(int sock, enum msg_from from, bool wait, struct msg *ret)
{
	struct iovec iov = { ret, offsetof(struct msg, fds) };
	union msg_control control;
	/* A worker has nothing to hand over: there is no room for it. */
	struct msghdr mh = {
		.msg_iov	= &iov,
		.msg_iovlen	= 1,
		.msg_control	= &control,
		.msg_controllen	= from == MSG_FROM_WORKER ? 0 :
				  sizeof(control),
	};
	unsigned int nfds, i;
	ssize_t n;
	int r;

	/*
	 * One that has gone without listening to the end shows as ECONNRESET,
	 * once, and before what it has said.
	 */
	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC |
			    (wait ? 0 : MSG_DONTWAIT));
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	nfds = msg_take_fds(&mh, ret->fds);
	r = msg_check(ret, (size_t)n, nfds, mh.msg_flags, from);
	for (i = 0; r < 0 && i < nfds; i++)
		close(ret->fds[i]);
	return r;
}
