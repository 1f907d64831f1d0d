/* SPDX-License-Identifier: MIT */
/*
 * options.h: the command line of xen-virtiod.
 */
#ifndef XVD_OPTIONS_H
#define XVD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "devspec.h"

struct options {
	const char	*domain;	/* NAME or ID, as given; NULL: all of
					 * them, as a service */
	const char	*config;	/* the service's; NULL: the usual */
	const char	*socket;	/* the same */
	struct devspec	*devices;
	size_t		ndevices;
	bool		background;
	const char	*pidfile;	/* or NULL */
	bool		no_sandbox;	/* for the worker */
	uint32_t	uid_base;	/* its uid, less the guest's ID */
};

enum options_result {
	OPTIONS_RUN,		/* go on */
	OPTIONS_EXIT_OK,	/* --help, --version: said on stdout */
	OPTIONS_EXIT_USAGE,	/* said on stderr, one line; exit 2 */
};

/*
 * Parses and checks the whole command line, slots assigned.
 * @ret is the caller's to hand to options_fini() in every case.
 */
enum options_result options_parse(int argc, char **argv, struct options *ret);
void options_fini(struct options *opts);

#endif
