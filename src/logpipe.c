/* SPDX-License-Identifier: MIT */
/*
 * logpipe.c: see the header.
 *
 * Lines are those that log.c writes for journald, "<4>d12 vblk0: text"; it
 * writes each with one write(2) of less than PIPE_BUF, so that a line is there
 * or is not.  Others are taken as they are: an assert() or a sanitizer has
 * something to say, too, and it is no good news.  A zero ends a line as a
 * newline does, and so does the end of our buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "logpipe.h"
#include "loop.h"

#define LINE_BYTES	2048
#define READ_BYTES	16384
#define PIPE_BYTES	(1u << 20)	/* as much as anybody may have */
#define BURST_LINES	100		/* seven devices come up at once */

struct logpipe {
	char			who[32];
	int			fd;
	struct loop_fd		*watch;
	bool			limited;
	bool			has_error;
	struct log_limit	limit;
	size_t			len;
	char			line[LINE_BYTES];	/* with a zero */
};

/* "d12 vblk0: ..." and "d12: ...", but not "d123: ...". */
static bool is_from(const char *who, const char *text)
{
	size_t len = strlen(who);

	return strncmp(text, who, len) == 0 &&
	       (text[len] == ' ' || text[len] == ':');
}

/* Takes "<4>" off the line, if it has one that we know. */
static enum log_level take_level(const char **text)
{
	const char *s = *text;

	if (s[0] != '<' || s[1] == '\0' || s[2] != '>')
		return LOG_L_WARN;
	*text += 3;
	switch (s[1] - '0') {
	case LOG_L_ERROR:
		return LOG_L_ERROR;
	case LOG_L_INFO:
		return LOG_L_INFO;
	case LOG_L_DEBUG:
		return LOG_L_DEBUG;
	default:
		return LOG_L_WARN;
	}
}

/* Debugging is the operator's wish, and there is no end to it. */
static bool logpipe_may(struct logpipe *lp, enum log_level level)
{
	if (level == LOG_L_DEBUG)
		return log_topics != 0;
	return !lp->limited || log_limit_ok(&lp->limit, lp->who);
}

static void logpipe_line(struct logpipe *lp)
{
	const char *text = lp->line;
	enum log_level level;

	lp->line[lp->len] = '\0';
	lp->len = 0;
	if (*text == '\0')
		return;
	level = take_level(&text);
	if (!logpipe_may(lp, level))
		return;
	lp->has_error |= level == LOG_L_ERROR;
	if (is_from(lp->who, text))
		log_line(level, "%s", text);
	else
		log_line(level, "%s worker: %s", lp->who, text);
}

static void logpipe_take(struct logpipe *lp, const char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] != '\n' && buf[i] != '\0')
			lp->line[lp->len++] = buf[i];
		if (buf[i] == '\n' || buf[i] == '\0' ||
		    lp->len == sizeof(lp->line) - 1)
			logpipe_line(lp);
	}
}

/* Return: how many bytes that were; 0: no more, or none now. */
static size_t logpipe_read(struct logpipe *lp, bool *ret_end)
{
	char buf[READ_BYTES];
	ssize_t n;

	do {
		n = read(lp->fd, buf, sizeof(buf));
	} while (n < 0 && errno == EINTR);
	*ret_end = n == 0;
	if (n <= 0)
		return 0;
	logpipe_take(lp, buf, (size_t)n);
	return (size_t)n;
}

static void logpipe_on_fd(void *arg)
{
	struct logpipe *lp = arg;
	bool end;

	(void)logpipe_read(lp, &end);
	if (end)
		loop_fd_pause(lp->watch);
}

int logpipe_open(const char *who, bool limited, struct logpipe **ret,
		 int *ret_far)
{
	struct logpipe *lp = calloc(1, sizeof(*lp));
	int fd[2];
	int r;

	if (!lp)
		return -ENOMEM;
	/* Both ends: neither waits for the other. */
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = -errno;
		free(lp);
		return r;
	}
	(void)fcntl(fd[0], F_SETPIPE_SZ, PIPE_BYTES);	/* or 64 KiB */
	snprintf(lp->who, sizeof(lp->who), "%s", who);
	lp->limited = limited;
	lp->limit.burst = BURST_LINES;
	lp->fd = fd[0];
	*ret_far = fd[1];
	*ret = lp;
	return 0;
}

void logpipe_close(struct logpipe *lp)
{
	if (!lp)
		return;
	loop_fd_del(lp->watch);
	close(lp->fd);
	free(lp);
}

int logpipe_watch(struct logpipe *lp, struct loop *loop)
{
	return loop_fd_add(loop, lp->fd, logpipe_on_fd, lp, &lp->watch);
}

void logpipe_drain(struct logpipe *lp)
{
	size_t n, left = PIPE_BYTES;
	bool end;

	while (left > 0 && (n = logpipe_read(lp, &end)) > 0)
		left -= n < left ? n : left;
	if (lp->len)
		logpipe_line(lp);	/* and if it has no end */
}

bool logpipe_has_error(const struct logpipe *lp)
{
	return lp->has_error;
}
