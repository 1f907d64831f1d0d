/* SPDX-License-Identifier: MIT */
/*
 * fuzz_journal.c: a line, and a guest's name, with anything at all in them:
 * up to a zero the name of guest 12, behind it the line.
 *
 * Wanted: a reader of the journal's protocol finds the fields that the header
 * promises, in that order and no other, and the line and the name unchanged.
 */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/journal.h"
#include "input.h"

struct field {
	char		key[32];
	const char	*value;
	size_t		len;
};

/* Return: what is behind the field. */
static const char *read_field(const char *p, const char *end, struct field *f)
{
	size_t n = strcspn(p, "=\n");
	uint64_t wire;

	assert(n > 0 && n < sizeof(f->key) && p + n < end);
	memcpy(f->key, p, n);
	f->key[n] = '\0';
	p += n + 1;
	if (p[-1] == '=') {
		f->value = p;
		f->len = (size_t)((const char *)rawmemchr(p, '\n') - p);
	} else {
		memcpy(&wire, p, sizeof(wire));
		f->value = p + sizeof(wire);
		f->len = le64toh(wire);
	}
	assert(f->len < (size_t)(end - f->value));
	assert(f->value[f->len] == '\n');
	return f->value + f->len + 1;
}

static void check_is(const struct field *f, const char *key, const char *value)
{
	assert(strcmp(f->key, key) == 0);
	assert(f->len == strlen(value));
	assert(memcmp(f->value, value, f->len) == 0);
}

/* What stands at the beginning of the line, and nothing that does not. */
static const char *check_about(const char *p, const char *end,
			       const char *line, const char *name)
{
	struct field f;
	char text[64];

	p = read_field(p, end, &f);
	assert(strcmp(f.key, "XEN_GUEST") == 0 && f.len >= 1 && f.len <= 5);
	assert(line[0] == 'd');
	if (p < end && strncmp(p, "XEN_DEVICE=", 11) == 0) {
		p = read_field(p, end, &f);
		assert(f.len >= 2 && f.len <= 16);
		(void)snprintf(text, sizeof(text), " %.*s:", (int)f.len,
			       f.value);
		assert(strncmp(strchr(line, ' '), text, f.len + 2) == 0);
	}
	if (p < end) {
		assert(atoi(line + 1) == 12);
		p = read_field(p, end, &f);
		check_is(&f, "XEN_GUEST_NAME", name);
	}
	return p;
}

static void check_packet(const char *p, const char *end, const char *line,
			 const char *name)
{
	struct field f;

	p = read_field(p, end, &f);
	check_is(&f, "MESSAGE", line);
	p = read_field(p, end, &f);
	check_is(&f, "PRIORITY", "4");
	p = read_field(p, end, &f);
	check_is(&f, "SYSLOG_FACILITY", "3");
	p = read_field(p, end, &f);
	check_is(&f, "SYSLOG_IDENTIFIER", "xvd");
	if (p < end)
		p = check_about(p, end, line, name);
	assert(p == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 2), *line;
	char buf[JOURNAL_BYTES];
	int n;

	assert(name);
	memcpy(name, data, size);
	name[size] = name[size + 1] = '\0';
	line = name + strlen(name) + 1;
	assert(journal_name_guest(12, name) == 0);
	n = journal_format(4, "xvd", line, buf, sizeof(buf) - 1);
	if (n >= 0) {
		buf[n] = '\0';
		check_packet(buf, buf + n, line, name);
	} else {
		assert(strlen(line) + strlen(name) + 200 > sizeof(buf));
	}
	assert(journal_name_guest(12, NULL) == 0);
	free(name);
	return 0;
}
