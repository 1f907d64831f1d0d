/* SPDX-License-Identifier: MIT */
/*
 * conftext.h: a configuration file as text, for config.c.
 */
#ifndef XVD_CONFTEXT_H
#define XVD_CONFTEXT_H

#include <stddef.h>

/*
 * Reads a file that root may trust, and blanks its comments; no line moves.
 * Strings, comments and braces have an end, and in strings there is nothing
 * that libconfuse would put something else for.
 * Return: 0 and *ret, for free(); -ENOENT or another negative errno, and in
 * @why one line that names the file, and the line in it.
 */
int conftext_load(const char *path, char **ret, char *why, size_t why_len);

#endif
