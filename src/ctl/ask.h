/* SPDX-License-Identifier: MIT */
/*
 * ask.h: one request to xen-virtiod, and its reply.
 */
#ifndef XVD_CTL_ASK_H
#define XVD_CTL_ASK_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;

struct ask {
	const char	*path;		/* of the socket */
	const char	*awaited;	/* for whom it takes long */
	bool		changes;	/* something, maybe after we left */
	unsigned int	timeout_ms;	/* 0: as long as it takes */
};

/*
 * From now on SIGINT and SIGTERM come only where somebody waits, and end the
 * waiting.
 */
void ask_init(void);

/*
 * Sends @request and waits for the reply, on a connection of its own.  Return:
 * 0 and *ret, an object, the caller's; or a negative errno with @why; -EINTR:
 * a signal came.
 */
int ask_daemon(const struct ask *ask, struct json_object *request,
	       struct json_object **ret, char *why, size_t why_len);

/* Return: 0 after @ms, or -EINTR. */
int ask_sleep(unsigned int ms);

/* Ends the process by the signal that came, as its parent expects it. */
void ask_die(void) __attribute__((noreturn));

#endif
