/* SPDX-License-Identifier: MIT */
/*
 * log.c: lines for the operator.
 *
 * A line is put together in one buffer on the stack and leaves with one
 * write(2), so that the lines of several processes on one pipe do not mix,
 * and so that logging neither allocates nor keeps anything back.
 *
 *	plain		xen-virtiod: d12 vblk0: text
 *	for journald	<4>d12 vblk0: text		(it knows the program)
 *
 * Where standard error is the journal itself, journal.c sends it there with
 * fields instead; if it cannot, the latter of the two is written.
 *
 * Much of what is logged quotes somebody else: a guest, a file name, a key
 * in xenstore.  Control characters, those of Unicode too, and what is no UTF-8
 * are therefore made visible here, in the one place that all lines pass: nobody else's newline starts a line of ours
 * and nobody's escape sequence reaches the operator's terminal.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include "journal.h"
#include "log.h"
#include "util.h"

#define LINE_BYTES	1024	/* below PIPE_BUF: written as one piece */
#define BURST_LINES	10	/* what a guest may cause at once ... */
#define REFILL_MS	1000	/* ... and how often one more */

unsigned int log_topics;

static const char *log_program = "xen-virtiod";
static bool log_journal;
static bool log_syslog;

static const char *const topic_names[] = {
	[LOG_T_IOREQ]	= "ioreq",
	[LOG_T_MEM]	= "mem",
	[LOG_T_PCI]	= "pci",
	[LOG_T_VIRTIO]	= "virtio",
	[LOG_T_VQ]	= "vq",
	[LOG_T_BLK]	= "blk",
	[LOG_T_NET]	= "net",
	[LOG_T_COUNT]	= "all",	/* on the command line only */
};

_Static_assert(ARRAY_SIZE(topic_names) == LOG_T_COUNT + 1, "a topic's name");

void log_init(const char *program, bool journal_prefix)
{
	log_program = program;
	log_journal = journal_prefix;
	journal_init(JOURNAL_SOCKET);
}

void log_use_syslog(void)
{
	openlog(log_program, LOG_PID, LOG_DAEMON);
	log_syslog = true;
}

/* Terminals obey these, or let them turn a line around. */
static bool is_control(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) ||	/* C0, C1 */
	       c == 0x61c || c == 0x200e || c == 0x200f || /* direction */
	       (c >= 0x2028 && c <= 0x202e) ||	/* separators, direction */
	       (c >= 0x2066 && c <= 0x2069) ||	/* direction */
	       (c >= 0xd800 && c <= 0xdfff) ||	/* surrogates */
	       c > 0x10ffff;
}

size_t log_visible(const char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = p[0];
	size_t i;

	if (len > 1) {
		if (c < 0xc0 || c > 0xf7)
			return 0;
		c &= 0x7fu >> len;
	}
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)	/* the end is not, either */
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[len] || is_control(c) ? 0 : len;
}

/*
 * Copies @src behind @len bytes of the line, what is not visible as "\x0a".
 * Return: the new length, at most LINE_BYTES - 1.
 */
static size_t line_add_visible(char *line, size_t len, const char *src)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c;
	size_t n;

	for (; (c = (unsigned char)*src) != '\0'; src += n ? n : 1) {
		n = log_visible(src);
		if (n) {
			if (len + n > LINE_BYTES - 1)
				break;
			memcpy(line + len, src, n);
			len += n;
			continue;
		}
		if (len + 4 > LINE_BYTES - 1)
			break;
		line[len++] = '\\';
		line[len++] = 'x';
		line[len++] = hex[c >> 4];
		line[len++] = hex[c & 15];
	}
	if (*src == '\0')
		return len;
	/* Say that something is missing, instead of whole characters. */
	for (len -= 3; ((unsigned char)line[len] & 0xc0) == 0x80; len--)
		;
	memcpy(line + len, "...", 3);
	return len + 3;
}

void log_print_visible(FILE *to, const char *text, const char *mark)
{
	size_t n;

	for (; *text != '\0'; text += n ? n : 1) {
		n = log_visible(text);
		if (n)
			(void)fwrite(text, 1, n, to);	/* see ferror() */
		else
			(void)fprintf(to, "%s%02x", mark,
				      (unsigned char)*text);
	}
}

/* Return: whether it has arrived there. */
static bool line_to_journal(enum log_level level, const char *text)
{
	char line[LINE_BYTES];

	if (!log_journal || !journal_is_stderr())
		return false;
	line[line_add_visible(line, 0, text)] = '\0';
	return journal_send((int)level, log_program, line) == 0;
}

static void line_to_syslog(enum log_level level, const char *text)
{
	char line[LINE_BYTES];
	size_t len = line_add_visible(line, 0, text);

	syslog((int)level, "%.*s", (int)len, line);
}

static void line_to_stderr(enum log_level level, const char *text)
{
	char line[LINE_BYTES];
	size_t len, done = 0;
	ssize_t r;
	int n;

	if (log_journal)
		n = snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		n = snprintf(line, sizeof(line), "%.64s: ", log_program);
	len = line_add_visible(line, (size_t)n, text);
	line[len++] = '\n';

	while (done < len) {
		r = write(STDERR_FILENO, line + done, len - done);
		if (r > 0)
			done += (size_t)r;
		else if (r == 0 || errno != EINTR)
			break;		/* nobody left to tell */
	}
}

void log_line(enum log_level level, const char *fmt, ...)
{
	/* One byte more than a line holds: too long must look too long. */
	char text[LINE_BYTES + 1];
	int saved_errno = errno, n;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		(void)snprintf(text, sizeof(text), "(a line was lost: %s)",
			       fmt);

	if (log_syslog)
		line_to_syslog(level, text);
	else if (!line_to_journal(level, text))
		line_to_stderr(level, text);
	errno = saved_errno;
}

int log_topics_parse(const char *list, const char **ret_bad)
{
	unsigned int mask = 0;
	const char *word = list;
	size_t len, i;

	for (;;) {
		len = strcspn(word, ",");
		for (i = 0; i < ARRAY_SIZE(topic_names); i++)
			if (strlen(topic_names[i]) == len &&
			    strncmp(topic_names[i], word, len) == 0)
				break;
		if (i == ARRAY_SIZE(topic_names)) {
			*ret_bad = word;
			return -EINVAL;
		}
		mask |= i == LOG_T_COUNT ? (1u << LOG_T_COUNT) - 1 : 1u << i;
		if (word[len] == '\0')
			break;
		word += len + 1;
	}
	log_topics |= mask;
	return 0;
}

const char *log_topic_names(void)
{
	static char names[8 * ARRAY_SIZE(topic_names)];
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(topic_names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					"%s%s", i ? "," : "", topic_names[i]);
	return names;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool log_limit_ok(struct log_limit *limit, const char *who)
{
	uint64_t now = now_ms();
	uint64_t refill = (now - limit->last_ms) / REFILL_MS;
	unsigned int burst = limit->burst ? limit->burst : BURST_LINES;

	if (refill >= limit->used) {
		limit->used = 0;
		limit->last_ms = now;
	} else {
		limit->used -= (unsigned int)refill;
		limit->last_ms += refill * REFILL_MS;
	}

	if (limit->used >= burst) {
		limit->dropped++;
		return false;
	}
	limit->used++;
	if (limit->dropped) {
		log_warn("%s: %u lines left out here", who, limit->dropped);
		limit->dropped = 0;
	}
	return true;
}
