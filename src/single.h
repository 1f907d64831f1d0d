/* SPDX-License-Identifier: MIT */
/*
 * single.h: xen-virtiod --domain: one guest, with devices from the command
 * line, until it ends.
 */
#ifndef XVD_SINGLE_H
#define XVD_SINGLE_H

struct options;

/* Return: exit status. */
int single_run(struct options *opts);

#endif
