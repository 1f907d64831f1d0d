/* SPDX-License-Identifier: MIT */
/*
 * fuzz_xsnode.c: a backend directory with anything at all in it.  An input is
 * its path, and lines of KEY=VALUE below it.
 *
 * Wanted, besides no crash and no leak: a path that is taken can be printed
 * and taken again; what is not wanted is so with one visible line; what is
 * wanted is text in the grammar, from which nobody's value breaks out into
 * another; and what says that it is for somebody else is never ours.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/xsnode.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct xsnode_values values;

static const struct {
	const char	*key;
	const char	**value;
} keys[] = {
	{ "params", &values.params },
	{ "mode", &values.mode },
	{ "dev", &values.dev },
	{ "discard-enable", &values.discard },
	{ "device-type", &values.device_type },
	{ "type", &values.type },
	{ "transport", &values.transport },
	{ "base", &values.base },
	{ "irq", &values.irq },
	{ "bdf", &values.bdf },
	{ "backend_type", &values.backend_type },
};

static void take_line(char *line)
{
	char *value = strchr(line, '=');
	size_t i;

	if (!value)
		return;
	*value++ = '\0';
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].key, line) == 0)
			*keys[i].value = value;
}

static void check_why(const char *why, size_t bytes)
{
	size_t len = strnlen(why, bytes), i;

	assert(len > 0 && len < bytes);
	for (i = 0; i < len; i++)
		assert((unsigned char)why[i] >= ' ' && why[i] != 0x7f);
}

static void check_path(const char *text)
{
	static const uint32_t selves[] = { 0, 1, 65535 };
	struct xsnode_path path, again;
	unsigned int taken = 0;
	char printed[96];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(selves); i++) {
		if (!xsnode_path_parse(text, selves[i], &path))
			continue;
		taken++;
		assert(path.domid <= UINT16_MAX);
		xsnode_path_print(&path, selves[i], printed, sizeof(printed));
		assert(strlen(printed) < sizeof(printed) - 1);
		assert(xsnode_path_parse(printed, selves[i], &again));
		assert(again.class == path.class);
		assert(again.domid == path.domid);
		assert(again.devid == path.devid);
	}
	assert(taken <= 1);
}

static int is_text(const char *value, const char *text)
{
	return value && strcmp(value, text) == 0;
}

/* Somebody else's, in the plainest of words; a disk's window may be ours. */
static int is_foreign(const struct xsnode_wish *wish)
{
	if (is_text(values.backend_type, "qemu"))
		return 1;
	return !wish->mmio && !is_text(values.transport, "pci") &&
	       (is_text(values.base, "0x2000000") || is_text(values.irq, "33"));
}

static void check_mmio(enum xsnode_class class, uint64_t mmio)
{
	if (!mmio)
		return;
	assert(class == XSNODE_DISK && !is_text(values.transport, "pci"));
	assert(mmio == strtoull(values.base, NULL, 0));
	assert(mmio >= 0x2000000 && mmio < 0x2100000 && mmio % 0x200 == 0);
}

static void check_blk(const struct devspec_blk *blk)
{
	assert(is_text(values.params, blk->path));
	assert(!blk->serial || is_text(values.dev, blk->serial));
	assert(blk->readonly == (is_text(values.mode, "r") ||
				 is_text(values.device_type, "cdrom")));
	assert(blk->discard == (is_text(values.discard, "0") ? 0 : -1));
}

/* Only what the grammar knows nothing of may be refused by it. */
static void check_wish(enum xsnode_class class, const struct xsnode_wish *wish)
{
	char text[XSNODE_TEXT_LEN + 8], why[300];
	struct devspec spec;

	assert(!is_foreign(wish));
	check_mmio(class, wish->mmio);
	assert(memchr(wish->text, '\0', sizeof(wish->text)));
	assert(memchr(wish->vdev, '\0', sizeof(wish->vdev)));
	assert(!wish->vdev[0] || is_text(values.dev, wish->vdev));
	snprintf(text, sizeof(text), "%s%s%s",
		 wish->kind == DEVSPEC_BLK ? "blk" : "net",
		 wish->text[0] ? "," : "", wish->text);
	if (devspec_parse(text, &spec, why, sizeof(why)) < 0) {
		check_why(why, sizeof(why));
		return;
	}
	assert(spec.kind == wish->kind);
	assert(class != XSNODE_DISK || spec.kind == DEVSPEC_BLK);
	if (class == XSNODE_DISK)
		check_blk(&spec.blk);
	devspec_fini(&spec);
}

static void check_class(enum xsnode_class class)
{
	struct xsnode_wish wish;
	char why[300];
	int r;

	memset(&wish, 'x', sizeof(wish));
	memset(why, 'x', sizeof(why));
	r = xsnode_parse(class, &values, &wish, why, sizeof(why));
	assert(r == 1 || r == 0 || r == -EINVAL);
	if (r == 1)
		check_wish(class, &wish);
	else
		check_why(why, sizeof(why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text, *line, *save;

	text = malloc(size + 1);
	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&values, 0, sizeof(values));

	line = strtok_r(text, "\n", &save);
	if (line)
		check_path(line);
	while ((line = strtok_r(NULL, "\n", &save)))
		take_line(line);
	check_class(XSNODE_DISK);
	check_class(XSNODE_VIRTIO);
	if (values.dev)
		(void)xsnode_vdev_is_qemus(values.dev);
	free(text);
	return 0;
}
