/* SPDX-License-Identifier: MIT */
/*
 * log.h: lines for the operator, on stderr, with the "<N>" priority that
 * journald understands.  Whoever handles an error logs it, once; whoever
 * returns one does not.
 *
 * A line about a guest or a device starts with its name ("d12 vblk0: ");
 * give the prefix as a format argument of its own.  Nothing is logged per
 * request: that is what trace.h is for.
 */
#ifndef XVD_LOG_H
#define XVD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum log_level {
	/* The numbers are syslog's. */
	LOG_L_ERROR = 3,		/* an operator must act */
	LOG_L_WARN = 4,		/* a guest or the host misbehaves */
	LOG_L_INFO = 6,		/* life cycle, a few lines per device */
	LOG_L_DEBUG = 7,		/* by topic, off by default */
};

/* Topics of debug lines; -D takes their names, see log_topics_parse(). */
enum log_topic {
	LOG_T_IOREQ,
	LOG_T_MEM,
	LOG_T_PCI,
	LOG_T_VIRTIO,
	LOG_T_VQ,
	LOG_T_BLK,
	LOG_T_NET,
	LOG_T_COUNT
};

/*
 * Where the lines of one process go: stderr, plain or with "<N>"; with the
 * latter, and if stderr is systemd's journal, to the journal (src/journal.h).
 */
void log_init(const char *program, bool journal_prefix);

/* From now on to syslog, for a process without a standard error. */
void log_use_syslog(void);

/*
 * Return: the bytes of the one character of UTF-8 at @s, if it can be shown
 * as it is; 0 if not, because it is no character, or controls what others
 * look like.
 */
size_t log_visible(const char *s);

/*
 * Prints @text to @to as a line of ours would show it; @mark is what stands
 * before the two digits of a byte that is not visible, "\\x" there.
 */
void log_print_visible(FILE *to, const char *text, const char *mark);

void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)	log_line(LOG_L_ERROR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_L_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_L_INFO, __VA_ARGS__)

/* Debug topics that are on: a bit mask, 1 << LOG_T_x. */
extern unsigned int log_topics;

#define log_debug(topic, ...) do {				\
	if (__builtin_expect(log_topics & (1u << (topic)), 0))	\
		log_line(LOG_L_DEBUG, __VA_ARGS__);		\
} while (0)

/*
 * Turns "vq,pci" into a mask and switches those topics on.
 * Return: 0, or -EINVAL with *ret_bad pointing at the unknown word in @list.
 */
int log_topics_parse(const char *list, const char **ret_bad);

/* The names of the topics, comma separated, for usage texts. */
const char *log_topic_names(void);

/*
 * A token bucket for lines that a guest can cause: one per device.
 * Zero-initialised is ready to use.  Ten lines at once, then one a second.
 */
struct log_limit {
	unsigned int	burst;		/* other than ten; 0: ten */
	uint64_t	last_ms;
	unsigned int	used;
	unsigned int	dropped;
};

/*
 * Return: true if a line may be written now.  Before the first one that may
 * be written again, a line says how many were left out.
 */
bool log_limit_ok(struct log_limit *limit, const char *who);

#endif
