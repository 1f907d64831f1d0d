/* SPDX-License-Identifier: MIT */
/*
 * fuzz_msg.c: anything at all as a message between supervisor and worker.
 * The first byte of an input says who sends it (bit 0) and how many
 * descriptors come with it (the rest), all others are the packet.
 *
 * Wanted, besides no crash: what is taken is of a kind that its receiver
 * expects, whole, and with an end to its strings; a device that passes the
 * check is within its bounds; no descriptor stays open either way.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../../src/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MANY	12	/* more than a message may have */

static int send_it(int sock, const uint8_t *data, size_t size,
		   unsigned int nfds)
{
	struct iovec iov = { (void *)(uintptr_t)data, size };
	union {
		struct cmsghdr	c;
		char		room[CMSG_SPACE(MANY * sizeof(int))];
	} control;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int i;

	if (nfds) {
		memset(&control, 0, sizeof(control));
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (i = 0; i < nfds; i++)
			((int *)(void *)CMSG_DATA(&control.c))[i] = sock;
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_DONTWAIT) == (ssize_t)size ? 0 : -1;
}

static void check_device(const struct devdesc *desc, unsigned int nfds)
{
	if (devdesc_check(desc, nfds) < 0)
		return;
	if (desc->kind == DEVSPEC_BLK) {
		assert(strlen(desc->blk.engine) < sizeof(desc->blk.engine));
		assert(strlen(desc->blk.serial) < sizeof(desc->blk.serial));
		assert(desc->blk.queues >= 1 && desc->blk.queues <= 16);
		assert(desc->blk.info.bytes >= 512 && nfds <= 1);
	} else {
		assert(desc->kind == DEVSPEC_NET);
		assert(strlen(desc->net.engine) < sizeof(desc->net.engine));
		assert(strlen(desc->net.ifname) < sizeof(desc->net.ifname));
		assert(desc->net.info.queues >= 1);
		assert(nfds == 0 || nfds == desc->net.info.queues);
	}
}

static void use(struct msg *msg, enum msg_from from)
{
	unsigned int i;

	assert(msg->head.magic == MSG_MAGIC);
	assert(msg->head.version == MSG_VERSION);
	assert((msg->head.type >= MSG_READY) == (from == MSG_FROM_WORKER));
	assert(msg->head.nfds <= MSG_MAX_FDS);
	if (msg->head.type == MSG_DEVICE)
		check_device(&msg->device, msg->head.nfds);
	if (msg->head.type == MSG_FAILED || msg->head.type == MSG_REFUSED)
		assert(strlen(msg->text.text) < MSG_TEXT_LEN);
	assert(from == MSG_FROM_SUPERVISOR || msg->head.nfds == 0);
	for (i = 0; i < msg->head.nfds; i++)
		assert(close(msg->fds[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum msg_from from;
	struct msg msg;
	int pair[2], next, r;

	if (size < 2)
		return 0;
	from = data[0] & 1 ? MSG_FROM_WORKER : MSG_FROM_SUPERVISOR;
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	r = send_it(pair[0], data + 1, size - 1, (data[0] >> 1) % (MANY + 1));
	if (r == 0) {
		r = msg_recv(pair[1], from, false, &msg);
		assert(r == 0 || r == -EMSGSIZE || r == -EPROTO ||
		       r == -EPROTONOSUPPORT || r == -EBADF || r == -EBADMSG);
		if (r == 0)
			use(&msg, from);
	}
	next = dup(pair[0]);
	assert(next == pair[1] + 1);	/* nothing else is open */
	close(next);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
