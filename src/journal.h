/* SPDX-License-Identifier: MIT */
/*
 * journal.h: lines for systemd's journal with what they are about as fields,
 * so that "journalctl XEN_GUEST=12" finds them.  Only log.c calls this, and
 * whoever knows the guests' names.
 *
 *	MESSAGE=d12 vblk0: text		as it stands on stderr
 *	XEN_GUEST=12			from the beginning of the line
 *	XEN_DEVICE=vblk0		the same, if it is about a device
 *	XEN_GUEST_NAME=web1		if somebody has told
 *	PRIORITY, SYSLOG_FACILITY, SYSLOG_IDENTIFIER
 */
#ifndef XVD_JOURNAL_H
#define XVD_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_SOCKET	"/run/systemd/journal/socket"
#define JOURNAL_BYTES	4096		/* enough for any line of log.c's */

/* Reads $JOURNAL_STREAM.  @path: where the journal listens; it is kept. */
void journal_init(const char *path);

/* Return: whether standard error is, at this moment, the journal. */
bool journal_is_stderr(void);

/*
 * Puts together what the journal is sent for one line.
 * Return: its length, or -EMSGSIZE.
 */
int journal_format(int priority, const char *program, const char *line,
		   char *buf, size_t size);

/* Return: 0 or a negative errno; then the line is the caller's to write. */
int journal_send(int priority, const char *program, const char *line);

/*
 * From now on the guest @domid has this name; NULL: none any more.
 * Return: 0 or -ENOMEM, and then it has none.
 */
int journal_name_guest(uint32_t domid, const char *name);

#endif
