/* SPDX-License-Identifier: MIT */
/*
 * command.h: what xen-virtioctl(1) asks the service for.
 */
#ifndef XVD_COMMAND_H
#define XVD_COMMAND_H

struct control_call;
struct json_object;

/* A control_fn, see control.h; @arg is the struct service. */
void command_handle(void *arg, struct control_call *call,
		    struct json_object *request);

#endif
