/* SPDX-License-Identifier: MIT */
/*
 * guestdtb.c: see the header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "arm_guest.h"
#include "devspec.h"
#include "dtb.h"
#include "guestdtb.h"
#include "log.h"
#include "util.h"

#define WHY_BYTES	512
#define SPARE		32u	/* messages, for devices that come later */
#define STEP		32u

/* Return: how many are good; all that are there are to be freed. */
static int parse(char **words, int nwords, struct devspec *specs)
{
	char why[WHY_BYTES];
	int i;

	for (i = 0; i < nwords; i++) {
		if (devspec_parse(words[i], &specs[i], why, sizeof(why)) == 0)
			continue;
		log_error("'%s': %s", words[i], why);
		break;
	}
	return i;
}

static int describe(struct devspec *specs, int count, struct dtb_guest *ret)
{
	unsigned int n = SPARE;
	char why[WHY_BYTES];
	int i;

	if (devspec_assign(specs, (size_t)count, why, sizeof(why)) < 0) {
		log_error("%s", why);
		return -EINVAL;
	}
	ret->grants = !count || specs[0].grants != GRANTS_OFF;
	for (i = 0; i < count; i++) {
		n += devspec_vectors(&specs[i]);
		if ((specs[i].grants != GRANTS_OFF) != ret->grants) {
			log_error("all of a guest's devices have the same "
				  "grants=");
			return -EINVAL;
		}
	}
	ret->messages = MAX(ALIGN_UP(n, STEP), 2 * STEP);
	if (ret->messages > ARM_GUEST_MSI_MAX) {
		log_error("the devices want %u messages, and a guest has at "
			  "most %u: use fewer queues", n - SPARE,
			  ARM_GUEST_MSI_MAX - SPARE);
		return -EINVAL;
	}
	return 0;
}

static int write_tree(const struct dtb_guest *guest)
{
	size_t len;
	void *dtb;
	int r = dtb_make(guest, &dtb, &len);

	if (r < 0)
		return r;
	/* The caller looks at errors. */
	if (fwrite(dtb, 1, len, stdout) == len && fflush(stdout) == 0)
		fprintf(stderr, "nr_spis=%u\n", dtb_nr_spis(guest));
	free(dtb);
	return 0;
}

int guestdtb_run(char **words, int nwords)
{
	struct devspec *specs;
	struct dtb_guest guest;
	int i, count, r;

	if (isatty(STDOUT_FILENO)) {
		log_error("a device tree is no text: use '>guest.dtb', and for "
			  "reading '| dtc'");
		return -EINVAL;
	}
	specs = calloc((size_t)nwords + 1, sizeof(*specs));
	if (!specs)
		return -ENOMEM;
	count = parse(words, nwords, specs);
	r = count < nwords ? -EINVAL : describe(specs, count, &guest);
	if (r == 0)
		r = write_tree(&guest);
	for (i = 0; i < count; i++)
		devspec_fini(&specs[i]);
	free(specs);
	return r;
}
