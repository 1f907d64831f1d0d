/* SPDX-License-Identifier: MIT */
/*
 * table.c: see the header.
 *
 * A column is as wide as its widest cell, in characters: one of UTF-8 counts
 * as one, which is good enough for names and paths.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "log.h"
#include "table.h"
#include "util.h"

#define LEAST_CUT	8		/* what is left of a cell at least */

struct cell {
	char	*text;			/* visible */
	bool	number;
};

struct table {
	size_t		columns;
	size_t		count;
	size_t		room;
	bool		failed;
	struct cell	*cells;
};

struct table *table_open(size_t columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t)
		t->columns = columns;
	return t;
}

void table_close(struct table *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

/* Return: to be freed, or NULL. */
static char *make_visible(const char *text)
{
	char *visible = NULL;
	size_t len;
	FILE *f = open_memstream(&visible, &len);

	if (!f)
		return NULL;
	log_print_visible(f, *text ? text : "-", "\\x");
	if (fclose(f) == 0)
		return visible;
	free(visible);
	return NULL;
}

static void add(struct table *t, const char *text, bool number)
{
	struct cell *cells;
	char *visible;

	if (!t || t->failed)
		return;
	if (t->count == t->room) {
		cells = reallocarray(t->cells, t->room * 2 + 64,
				     sizeof(*cells));
		t->failed = !cells;
		if (!cells)
			return;
		t->cells = cells;
		t->room = t->room * 2 + 64;
	}
	visible = make_visible(text);
	t->failed = !visible;
	if (visible)
		t->cells[t->count++] = (struct cell){ visible, number };
}

void table_add(struct table *t, const char *text)
{
	add(t, text, false);
}

void table_add_number(struct table *t, const char *text)
{
	add(t, text, true);
}

static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Return: how many bytes the first @width characters have. */
static int bytes_of(const char *text, size_t width)
{
	const char *p = text;

	for (; *p; p++)
		if (((unsigned char)*p & 0xc0) != 0x80 && width-- == 0)
			break;
	return (int)(p - text);
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t i, n, width = 0;

	for (i = column; i < t->count; i += t->columns) {
		n = width_of(t->cells[i].text);
		width = n > width ? n : width;
	}
	return width;
}

/* Return: the columns of the terminal, or 0: there is none. */
static size_t terminal_width(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0)
		return 0;
	return ws.ws_col;
}

static void print_cell(const struct cell *cell, size_t width, bool last)
{
	int pad = (int)(width - MIN(width, width_of(cell->text)));

	if (cell->number)
		printf("%*s%s", pad, "", cell->text);
	else
		printf("%s%*s", cell->text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

/* The last one of a row, of which @room characters may be shown; 0: all. */
static void print_last(const struct cell *cell, size_t width, size_t room)
{
	if (room == 0 || cell->number || width_of(cell->text) <= room)
		print_cell(cell, width, true);
	else
		printf("%.*s...\n", bytes_of(cell->text, room - 3),
		       cell->text);
}

int table_print(const struct table *t, const char *indent)
{
	size_t *width, i, c, used = strlen(indent), room = terminal_width();

	if (!t || t->failed)
		return -ENOMEM;
	width = calloc(t->columns, sizeof(*width));
	if (!width)
		return -ENOMEM;
	for (c = 0; c < t->columns; c++) {
		width[c] = column_width(t, c);
		used += c + 1 < t->columns ? width[c] + 2 : 0;
	}
	if (room)
		room = room > used + LEAST_CUT ? room - used : LEAST_CUT;
	for (i = 0; i < t->count; i++) {
		c = i % t->columns;
		if (c == 0)
			fputs(indent, stdout);
		if (c + 1 < t->columns)
			print_cell(&t->cells[i], width[c], false);
		else
			print_last(&t->cells[i], width[c], room);
	}
	free(width);
	return 0;
}
