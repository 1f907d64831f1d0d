/* SPDX-License-Identifier: MIT */
/*
 * background.h: --background and --pidfile.
 *
 *	parent: background_begin() ......... exit status of the start
 *	child:			  \ start ... background_ready(), serve
 *
 * The parent stays until the child is ready or has failed, so that what
 * follows it in a script may rely on the devices.
 */
#ifndef XVD_BACKGROUND_H
#define XVD_BACKGROUND_H

#include <stdbool.h>
#include <stddef.h>

struct background {
	int		ready_fd;	/* to the parent; -1: in front */
	char		*pidfile;	/* written, absolute; NULL: none */
};

#define BACKGROUND_INIT		{ .ready_fd = -1 }

/*
 * Forks where @on; only the child returns.  The pid file, if any, is written
 * at once, so that a path that cannot be written is found early.
 */
int background_begin(struct background *bg, bool on, const char *pidfile,
		     char *why, size_t why_len);

/*
 * Lets go of the terminal and of the parent.  Log lines go on to standard
 * error if that is a file, and to syslog otherwise.
 */
int background_ready(struct background *bg, char *why, size_t why_len);

/* Removes the pid file. */
void background_end(struct background *bg);

#endif
