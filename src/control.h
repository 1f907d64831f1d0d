/* SPDX-License-Identifier: MIT */
/*
 * control.h: the socket on which the daemon takes orders while it runs.
 *
 *	client			     control.c			handler
 *	{"version":1,"command":...}\n  ->  handle(arg, call, request)
 *	{"ok":true,"result":...}\n     <-  control_answer(call, result)
 *	{"ok":false,"error":"..."}\n   <-  control_refuse(call, "...")
 *
 * One JSON object a line, both ways.  A connection takes any number of
 * requests and answers them in order; the next one is looked at when the last
 * one's answer is on its way.  What arrives at the handler has the right
 * version and a command, a string; everything else in it is unchecked.
 *
 * A call is lent to the handler, who gives it back, exactly once, with one of
 * the two functions: at once, from within handle(), or whenever it likes.
 * That is the only thing to remember: the client may have gone, and the server
 * been closed, in the meantime, and the answer then goes nowhere.
 */
#ifndef XVD_CONTROL_H
#define XVD_CONTROL_H

#include <stddef.h>

#define CONTROL_PATH		"/run/xen-virtiod/control.sock"
#define CONTROL_VERSION		1
#define CONTROL_REQUEST_BYTES	65536	/* of a line, without its newline */
#define CONTROL_CONNECTIONS	16

struct control;
struct control_call;
struct json_object;
struct loop;

/* Called for each request.  @request is lent until @call is answered. */
typedef void (*control_fn)(void *arg, struct control_call *call,
			   struct json_object *request);

/*
 * Listens at @path; the directory is made if it is missing.  Root may connect,
 * and so may @group, a name or a number, unless it is NULL.  A socket that
 * nobody listens at any more is replaced.
 * Return: 0 and *ret, which the caller owns; or a negative errno (-EADDRINUSE:
 * another daemon is there) and in @why one line.
 */
int control_open(struct loop *loop, const char *path, const char *group,
		 control_fn handle, void *arg, struct control **ret,
		 char *why, size_t why_len);

/*
 * Closes every connection and removes the socket; waits for nobody.  Calls
 * that are open are still to be answered.  NULL is fine, and so is a call from
 * within handle().
 */
void control_close(struct control *control);

/* The answer to @call, which is gone then.  Takes over @result; NULL: {}. */
void control_answer(struct control_call *call, struct json_object *result);

/* The same with an error, one line that says what would be right. */
void control_refuse(struct control_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Takes one line of a client, @len bytes without the newline, for a request.
 * Return: 0 and *ret, the caller's; or -EINVAL with @why.
 */
int control_parse(const char *line, size_t len, struct json_object **ret,
		  char *why, size_t why_len);

/* How long a client may take to finish a line, or to take its answer. */
void control_set_patience(struct control *control, unsigned int ms);

#endif
