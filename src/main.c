/* SPDX-License-Identifier: MIT */
/*
 * main.c: which of its parts this program is to play.
 *
 *	xen-virtiod			service.c	all guests' supervisor
 *	xen-virtiod --domain ...	single.c	one guest's
 *	xen-virtiod --worker		worker.c	what serves a guest; made
 *							by a supervisor only
 *
 * A supervisor has the paths, xenstore and all rights, and no memory of any
 * guest.  A guest is served by another process, its worker.
 * Exit status: 0, 2 for a wrong command line, 1 for all else.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "service.h"
#include "single.h"
#include "worker.h"

/*
 * What the process inherits is not of its choosing.  A descriptor from 0 to 2
 * that is closed would be an image's next, and log lines would go into it;
 * and with SIGCHLD ignored nobody hears how a child of ours ended.
 */
static int set_the_stage(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	(void)signal(SIGPIPE, SIG_IGN);	/* cannot fail for these */
	(void)signal(SIGCHLD, SIG_DFL);
	return 0;
}

int main(int argc, char **argv)
{
	struct options opts;
	int status = EXIT_SUCCESS;

	if (set_the_stage() < 0)
		return EXIT_FAILURE;	/* and nowhere to say so */
	if (argc == 2 && strcmp(argv[1], WORKER_ARG) == 0)
		return worker_main();
	log_init("xen-virtiod", getenv("JOURNAL_STREAM") != NULL);
	switch (options_parse(argc, argv, &opts)) {
	case OPTIONS_RUN:
		status = opts.domain ? single_run(&opts) : service_run(&opts);
		break;
	case OPTIONS_EXIT_OK:
		break;
	case OPTIONS_EXIT_USAGE:
		status = 2;
		break;
	}
	options_fini(&opts);
	return status;
}
