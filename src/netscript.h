/* SPDX-License-Identifier: MIT */
/*
 * netscript.h: the scripts that plug an interface in, and out again.
 */
#ifndef XVD_NETSCRIPT_H
#define XVD_NETSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETSCRIPT_DIR	"/etc/xen/scripts"	/* the toolstack's */

/* What a script is run for. */
struct netscript {
	const char	*key;		/* whose value @path is, for messages */
	const char	*path;
	const char	*action;	/* "add", "remove" */
	const char	*ifname;
	const char	*bridge;	/* at most 255 bytes; NULL: none */
	uint32_t	domid;
	uint8_t		devfn;
	uint8_t		mac[6];		/* the guest's */
	unsigned int	ms;		/* 0: 40 seconds, as xl does */
};

/*
 * Finds out which script is meant by @script: "no" is none, a bare name is
 * one of the toolstack's, and NULL means vif-bridge if there is a @bridge,
 * and if it is there.  Return: 0 and *ret, to be freed, NULL for none; or a
 * negative errno with @why.
 */
int netscript_find(const char *script, bool bridge, char **ret,
		   char *why, size_t why_len);

/* Is @path, the value of @key, one?  Return: 0, or an errno with @why. */
int netscript_check(const char *key, const char *path, char *why,
		    size_t why_len);

bool netscript_is_toolstack(const char *path);

/* Runs it, and waits.  Return: 0, or a negative errno with @why. */
int netscript_run(const struct netscript *ns, char *why, size_t why_len);

#endif
