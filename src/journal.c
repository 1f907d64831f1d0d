/* SPDX-License-Identifier: MIT */
/*
 * journal.c: see the header.  systemd.exec(5) describes $JOURNAL_STREAM, and
 * systemd's "Native Journal Protocol" the datagram: fields one behind the
 * other, each in one of two forms,
 *
 *	KEY=value \n
 *	KEY \n 64 bits, little-endian: length of value  value \n
 *
 * of which the second is for values with a newline in them.
 *
 * A standard error that was the journal when we were started need not be that
 * any more (-b), so it is looked at for each line.  There are few.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "journal.h"

#define DOMID_DIGITS	5
#define DEVICE_BYTES	16

struct guest_name {
	LIST_ENTRY(guest_name)	link;
	uint32_t		domid;
	char			text[];
};

LIST_HEAD(guest_list, guest_name);

static struct guest_list guest_names = LIST_HEAD_INITIALIZER(guest_names);
static const char *journal_path;
static dev_t stream_dev;
static ino_t stream_ino;
static bool has_stream;

/* ---- is there a journal? ---- */

/* Return: what is behind the number, NULL if there is none. */
static const char *take_number(const char *s, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')	/* strtoull() takes blanks and signs */
		return NULL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno ? NULL : end;
}

void journal_init(const char *path)
{
	const char *s = getenv("JOURNAL_STREAM");
	uint64_t dev, ino;

	journal_path = path;
	s = s ? take_number(s, &dev) : NULL;
	s = s && *s == ':' ? take_number(s + 1, &ino) : NULL;
	has_stream = s && *s == '\0';
	if (has_stream) {
		stream_dev = (dev_t)dev;
		stream_ino = (ino_t)ino;
	}
}

bool journal_is_stderr(void)
{
	struct stat st;

	return has_stream && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == stream_dev && st.st_ino == stream_ino;
}

/* ---- what a line is about ---- */

struct about {
	bool		has_guest;
	uint32_t	domid;
	const char	*device;	/* in the line */
	size_t		device_len;	/* 0: none */
};

/* "d12: ...", "d12 vblk0: ...", "d12 worker: ..." */
static struct about line_about(const char *line)
{
	struct about about = { 0 };
	size_t digits, letters, len;

	if (line[0] != 'd')
		return about;
	digits = strspn(line + 1, "0123456789");
	line += 1 + digits;
	if (digits == 0 || digits > DOMID_DIGITS ||
	    (*line != ':' && *line != ' '))
		return about;
	about.has_guest = true;
	about.domid = (uint32_t)strtoul(line - digits, NULL, 10);
	if (*line++ == ':')
		return about;
	letters = strspn(line, "abcdefghijklmnopqrstuvwxyz");
	len = letters + strspn(line + letters, "0123456789");
	if (letters == 0 || len == letters || len > DEVICE_BYTES ||
	    line[len] != ':')
		return about;
	about.device = line;
	about.device_len = len;
	return about;
}

static struct guest_name *guest_find(uint32_t domid)
{
	struct guest_name *g;

	LIST_FOREACH(g, &guest_names, link)
		if (g->domid == domid)
			return g;
	return NULL;
}

int journal_name_guest(uint32_t domid, const char *name)
{
	struct guest_name *g = guest_find(domid);

	if (g) {
		LIST_REMOVE(g, link);
		free(g);
	}
	if (!name)
		return 0;
	g = malloc(sizeof(*g) + strlen(name) + 1);
	if (!g)
		return -ENOMEM;
	g->domid = domid;
	strcpy(g->text, name);		/* it has that much room */
	LIST_INSERT_HEAD(&guest_names, g, link);
	return 0;
}

/* ---- the datagram ---- */

struct packet {
	char	*buf;
	size_t	size;
	size_t	len;
	bool	full;		/* something is missing */
};

static void packet_add(struct packet *p, const void *bytes, size_t len)
{
	if (len > p->size - p->len) {
		p->full = true;
		return;
	}
	memcpy(p->buf + p->len, bytes, len);
	p->len += len;
}

static void packet_add_field(struct packet *p, const char *key,
			     const char *value, size_t len)
{
	const uint64_t wire = htole64(len);

	packet_add(p, key, strlen(key));
	if (memchr(value, '\n', len)) {
		packet_add(p, "\n", 1);
		packet_add(p, &wire, sizeof(wire));
	} else {
		packet_add(p, "=", 1);
	}
	packet_add(p, value, len);
	packet_add(p, "\n", 1);
}

static void packet_add_text(struct packet *p, const char *key,
			    const char *value)
{
	packet_add_field(p, key, value, strlen(value));
}

static void packet_add_number(struct packet *p, const char *key,
			      unsigned int value)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", value);	/* it fits */
	packet_add_text(p, key, text);
}

static void packet_add_about(struct packet *p, const struct about *about)
{
	const struct guest_name *g;

	if (!about->has_guest)
		return;
	packet_add_number(p, "XEN_GUEST", about->domid);
	if (about->device_len)
		packet_add_field(p, "XEN_DEVICE", about->device,
				 about->device_len);
	g = guest_find(about->domid);
	if (g)
		packet_add_text(p, "XEN_GUEST_NAME", g->text);
}

int journal_format(int priority, const char *program, const char *line,
		   char *buf, size_t size)
{
	const struct about about = line_about(line);
	struct packet p = { .buf = buf, .size = size };

	packet_add_text(&p, "MESSAGE", line);
	packet_add_number(&p, "PRIORITY", (unsigned int)priority);
	packet_add_number(&p, "SYSLOG_FACILITY", LOG_FAC(LOG_DAEMON));
	packet_add_text(&p, "SYSLOG_IDENTIFIER", program);
	packet_add_about(&p, &about);
	return p.full ? -EMSGSIZE : (int)p.len;
}

int journal_send(int priority, const char *program, const char *line)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char buf[JOURNAL_BYTES];
	int fd, len, r;

	if (!journal_path || strlen(journal_path) >= sizeof(addr.sun_path))
		return -EINVAL;
	strcpy(addr.sun_path, journal_path);
	len = journal_format(priority, program, line, buf, sizeof(buf));
	if (len < 0)
		return len;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do {
		r = sendto(fd, buf, (size_t)len, MSG_NOSIGNAL,
			   (struct sockaddr *)&addr, sizeof(addr)) < 0 ?
		    -errno : 0;
	} while (r == -EINTR);
	(void)close(fd);		/* nothing was written behind it */
	return r;
}
