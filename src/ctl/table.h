/* SPDX-License-Identifier: MIT */
/*
 * table.h: cells in columns.  They are filled in from left to right, row by
 * row; what is not visible in them is made so.
 */
#ifndef XVD_CTL_TABLE_H
#define XVD_CTL_TABLE_H

#include <stddef.h>

struct table;

/* Return: a table of @columns, or NULL: there is no memory. */
struct table *table_open(size_t columns);
void table_close(struct table *t);		/* NULL is fine */

/* The next cell.  On a NULL table nothing is done. */
void table_add(struct table *t, const char *text);

/* The same, for a number: its column ends at its right. */
void table_add_number(struct table *t, const char *text);

/*
 * Prints every row, with @indent before it and two blanks between columns.
 * On a terminal the last column is cut off where the terminal ends, elsewhere
 * nothing is.  Return: 0, or -ENOMEM: there was no memory, now or before.
 */
int table_print(const struct table *t, const char *indent);

#endif
