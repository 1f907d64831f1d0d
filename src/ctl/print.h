/* SPDX-License-Identifier: MIT */
/*
 * print.h: results, as tables for people.  All of them return 0, or -ENOMEM.
 */
#ifndef XVD_CTL_PRINT_H
#define XVD_CTL_PRINT_H

struct json_object;

int print_list(struct json_object *result, char **words);
int print_show(struct json_object *result, char **words);
int print_stats(struct json_object *result, char **words);

/* @words: the guest, the device or what it was made of, ... */
int print_attach(struct json_object *result, char **words);
int print_resize(struct json_object *result, char **words);

/* What was counted between @old and @result, in @seconds. */
int print_rates(struct json_object *old, struct json_object *result,
		double seconds);

#endif
