/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h: what a worker gives up, in two steps.
 *
 *	sandbox_prepare()	before anything that makes a thread
 *	sandbox_enter()		Xen's handles are open; no device is there, and
 *				no guest memory was looked at yet
 *
 * After that it has: a uid of its own and no capability, an empty directory
 * for a root, namespaces without network and without anybody else's IPC, few
 * resources, and the system calls of one table.
 *
 * An ordinary user cannot change uid and root, and keeps both; the rest is
 * done for him, too.
 */
#ifndef XVD_SANDBOX_H
#define XVD_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nobody's, by the convention of systemd and of all distributions. */
#define SANDBOX_UID_BASE	0x7fff0000u

int sandbox_prepare(char *why, size_t why_len);

/*
 * May this process raise a limit of one that is in a sandbox, as it must for
 * @limit_files below?
 */
bool sandbox_can_limit_files(void);

struct sandbox_opts {
	uint32_t	uid;		/* user and group to become */
	bool		limit_files;	/* nothing can be written to any file,
					 * until somebody raises RLIMIT_FSIZE */
	bool		plain;		/* may map what is not granted */
	bool		grants;		/* may map and copy what is */
};

/*
 * Return: 0 and in @ret_whole whether it is all of the above; or a negative
 * errno and in @why a line for the operator.
 */
int sandbox_enter(const struct sandbox_opts *opts, bool *ret_whole, char *why,
		  size_t why_len);

#endif
