/* SPDX-License-Identifier: MIT */
/*
 * conftext.c: a configuration file, fit for libconfuse.
 *
 *	file --- may root trust it?  text, and not endless?
 *	  |
 *	text --- strings, comments and braces are closed; comments are blanked
 *
 * The file decides what is opened with root's rights, so it must be root's,
 * or that of the user whom we run as.
 *
 * What libconfuse 3.3 makes of the following would surprise:
 *
 * - A string, comment or guest without an end is none to it, or not where it
 *   should be; and in the next file its scanner goes on where it left off.
 * - It counts the lines of comments twice.
 * - "${HOME}" is taken from the environment, and "\x00" ends a value.
 *
 * So the text is cut here as it is there, and all that is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conftext.h"
#include "spec.h"

/* Enough for a thousand guests; libconfuse compares the name of each to all. */
#define FILE_MAX_BYTES	(256 * 1024)
#define MAX_DEPTH	2		/* a list in a guest */

/* ---- the file ---- */

static int check_file(int fd, const struct spec_why *why)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0) {
		r = -errno;
		spec_say(why, "%s", strerror(-r));
		return r;
	}
	if (!S_ISREG(st.st_mode))
		return spec_refuse(why, "this is %s: use a regular file",
				   S_ISDIR(st.st_mode) ? "a directory" :
				   "no regular file");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return spec_refuse(why, "user %u owns it, but it decides what "
				   "is opened with root's rights: use a file "
				   "of root's", st.st_uid);
	if (st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && st.st_gid != 0))
		return spec_refuse(why, "others may write to it (mode %03o), "
				   "but it decides what is opened with root's "
				   "rights: use chmod go-w",
				   st.st_mode & 0777);
	return 0;
}

/* @text: for one byte more than there may be, and the end of the string. */
static int read_file(int fd, char *text, const struct spec_why *why)
{
	size_t len = 0;
	ssize_t n;
	int r;

	do {
		n = read(fd, text + len, FILE_MAX_BYTES + 1 - len);
		if (n < 0) {
			r = -errno;
			spec_say(why, "%s", strerror(-r));
			return r;
		}
		len += (size_t)n;
	} while (n > 0);
	text[len] = '\0';
	if (len > FILE_MAX_BYTES)
		return spec_refuse(why, "it is too long: use at most %d bytes",
				   FILE_MAX_BYTES);
	if (strlen(text) != len)
		return spec_refuse(why, "there is a zero byte in it: use text");
	return 0;
}

static int load_file(const char *path, char *text, const struct spec_why *why)
{
	int fd, r;

	/* Not to wait for whoever might write into a pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		r = -errno;
		spec_say(why, "%s", strerror(-r));
		return r;
	}
	r = check_file(fd, why);
	if (r == 0)
		r = read_file(fd, text, why);
	(void)close(fd);			/* only read */
	return r;
}

/* ---- the text ---- */

struct scan {
	const struct spec_why	*why;	/* its origin is the file */
	char		*at;
	unsigned int	line;
	unsigned int	depth;		/* of braces */
	unsigned int	opened[MAX_DEPTH]; /* in these lines */
};

/* A mistake in some line: "FILE:LINE: " and what it is. */
#define refuse_at(s, at_line, fmt, ...) \
	(spec_say(&(const struct spec_why){ (s)->why->text, (s)->why->len, \
					    NULL }, \
		  "%s:%u: " fmt, (s)->why->origin, (at_line), \
		  ##__VA_ARGS__), -EINVAL)

static void scan_blank(struct scan *s, size_t len)
{
	for (; len > 0; len--, s->at++) {
		if (*s->at == '\n')
			s->line++;
		else
			*s->at = ' ';
	}
}

static int scan_comment(struct scan *s)
{
	char *end = strstr(s->at + 2, "*/");

	if (!end)
		return refuse_at(s, s->line, "this comment has no end: "
				   "use */");
	scan_blank(s, (size_t)(end + 2 - s->at));
	return 0;
}

static int refuse_variable(const struct scan *s)
{
	return refuse_at(s, s->line, "'${': no variables are known "
			   "here: write the value itself, or \\${ in a string "
			   "if this is part of it");
}

static int refuse_escape(const struct scan *s)
{
	const char text[] = { s->at[1], '\0' };
	struct spec_quoted q;

	return refuse_at(s, s->line, "'\\%s' in a string: use \\\\, "
			   "\\\" or \\$", spec_quote(&q, text));
}

/* In single quotes everything but a quote and a backslash is what it is. */
static int scan_string(struct scan *s)
{
	unsigned int begin = s->line;
	char quote = *s->at++;

	for (; *s->at && *s->at != quote; s->at++) {
		if (quote == '"' && s->at[0] == '$' && s->at[1] == '{')
			return refuse_variable(s);
		if (s->at[0] == '\\' && s->at[1]) {
			if (quote == '"' && !strchr("\\\"$\n", s->at[1]))
				return refuse_escape(s);
			s->at++;
		}
		s->line += *s->at == '\n';
	}
	if (*s->at == '\0')
		return refuse_at(s, begin, "this string has no end: "
				   "use %c", quote);
	s->at++;
	return 0;
}

/* A name, a value without quotes, or one of "{}()=+,". */
static int scan_word(struct scan *s)
{
	size_t len = strcspn(s->at, " #\"'\t\n\r={}()+,*");

	if (len > 0) {
		s->at += len;
		return s->at[-1] == '$' && s->at[0] == '{' ?
		       refuse_variable(s) : 0;
	}
	if (*s->at == '{') {
		if (s->depth == MAX_DEPTH)
			return refuse_at(s, s->line, "'{': this is "
					   "one too many; leave it out");
		s->opened[s->depth++] = s->line;
	}
	/* One too many is libconfuse's to refuse. */
	if (*s->at == '}' && s->depth > 0)
		s->depth--;
	s->line += *s->at == '\n';
	s->at++;
	return 0;
}

/*
 * Blanks comments, and sees to it that libconfuse's scanner ends as it
 * began.  As there, "//" and a C comment begin where a word could.
 */
static int scan_text(char *text, const struct spec_why *why)
{
	struct scan s = { .why = why, .at = text, .line = 1 };
	int r = 0;

	while (*s.at && r == 0) {
		if (s.at[0] == '#' || (s.at[0] == '/' && s.at[1] == '/'))
			scan_blank(&s, strcspn(s.at, "\n"));
		else if (s.at[0] == '/' && s.at[1] == '*')
			r = scan_comment(&s);
		else if (s.at[0] == '"' || s.at[0] == '\'')
			r = scan_string(&s);
		else
			r = scan_word(&s);
	}
	if (r == 0 && s.depth > 0)
		r = refuse_at(&s, s.opened[s.depth - 1], "this '{' has "
				"no end: use }");
	return r;
}

/* ---- both ---- */

int conftext_load(const char *path, char **ret, char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, path };
	char *text = malloc(FILE_MAX_BYTES + 2);
	int r;

	r = text ? load_file(path, text, &why) :
	    spec_refuse(&why, "out of memory");
	if (r == 0)
		r = scan_text(text, &why);
	if (r == 0)
		*ret = text;
	else
		free(text);
	return r;
}
