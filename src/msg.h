/* SPDX-License-Identifier: MIT */
/*
 * msg.h: what the supervisor and a worker say to each other.
 *
 *	supervisor			worker
 *	START, the state file	-->	opens and restricts its Xen handles,
 *					makes an IOREQ server, locks itself in
 *				<--	READY, or FAILED and why
 *	DEVICE, descriptors	-->	registers it
 *				<--	ADDED, or REFUSED and why
 *				<--	RUNNING: its driver has started it, for
 *					the first time
 *	DETACH			-->	answers what it has taken
 *				<--	DETACHED
 *	LINK			-->	a cable is plugged in, or out
 *	RESIZE			-->	an image has grown
 *	STOP			-->	drains them all, ends
 *
 * One message is one packet of a SOCK_SEQPACKET socket: a head, a body whose
 * length and number of descriptors the type determines, and nothing else.
 * Whatever deviates from that is an error of its own, and its descriptors are
 * closed.  Both ends are the same program, and may be of two versions while
 * it is upgraded.  The supervisor has to expect anything from a worker.
 */
#ifndef XVD_MSG_H
#define XVD_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "devdesc.h"

#define MSG_MAGIC	0x4d445658u	/* "XVDM" */
#define MSG_VERSION	3u
#define MSG_MAX_FDS	DEVDESC_MAX_FDS
#define MSG_TEXT_LEN	1024

enum msg_type {
	MSG_START = 1,
	MSG_DEVICE,
	MSG_DETACH,
	MSG_LINK,
	MSG_RESIZE,
	MSG_STOP,
	MSG_READY,
	MSG_FAILED,
	MSG_ADDED,
	MSG_REFUSED,
	MSG_RUNNING,
	MSG_DETACHED,
};

enum msg_from {
	MSG_FROM_SUPERVISOR,
	MSG_FROM_WORKER,
};

struct msg_head {
	uint32_t	magic;
	uint16_t	version;
	uint16_t	type;
	uint32_t	bytes;		/* of the body */
	uint32_t	nfds;
};

struct msg_start {
	uint32_t	domid;
	uint32_t	pvh;		/* no board but ours */
	uint32_t	topics;		/* of the log */
	uint32_t	sandbox;	/* or all rights are kept */
	uint32_t	uid;		/* in the sandbox */
	uint32_t	limit_files;	/* see sandbox.h */
	uint32_t	grants;		/* enum grants_policy */
};

/* DETACH, LINK, RESIZE, ADDED, RUNNING, DETACHED: of which device. */
struct msg_about {
	uint32_t	index;		/* of its struct devdesc */
	uint32_t	up;		/* LINK */
	uint64_t	bytes;		/* RESIZE */
};

struct msg_stop {
	uint32_t	gone;		/* the guest exists no more */
};

/* FAILED; REFUSED. */
struct msg_text {
	int32_t		code;		/* a negative errno */
	uint32_t	index;		/* REFUSED: the device's */
	char		text[MSG_TEXT_LEN];	/* with a zero */
};

struct msg {
	struct msg_head	head;
	union {
		struct msg_start	start;
		struct devdesc		device;
		struct msg_about	about;
		struct msg_stop		stop;
		struct msg_text		text;
	};
	int		fds[MSG_MAX_FDS];	/* not on the wire; the
						 * receiver's to close */
};

/*
 * Sends a message with a @body as long as its type wants it.  @fds are
 * borrowed.  Return: 0; -EAGAIN if @wait is false and there is no room; or
 * another negative errno.
 */
int msg_send(int sock, enum msg_type type, const void *body, const int *fds,
	     unsigned int nfds, bool wait);

/*
 * Receives one from the other side, which is @from.  Return: 0 and *ret; or
 *	-EAGAIN			@wait is false and there is none
 *	-EPIPE			the other side is gone
 *	-EPROTONOSUPPORT	another version of this program
 *	-EMSGSIZE		too short or too long
 *	-EBADF			a descriptor is missing, or there are too many
 *	-EPROTO			no message at all, or none for this side
 *	-EBADMSG		a text without an end
 * or another negative errno.
 */
int msg_recv(int sock, enum msg_from from, bool wait, struct msg *ret);

#endif
