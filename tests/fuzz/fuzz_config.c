/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c: the configuration file with anything at all in it.
 *
 * Wanted, besides no crash and no leak: what is refused is so with one visible
 * line that begins with the file, and leaves the result alone; what is
 * accepted keeps the header's promises, its own devices can be made, and its
 * stanzas' too or with a line; and a good file loads afterwards as before.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../src/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char why[1024];

static void check_why(const char *begin)
{
	size_t len = strnlen(why, sizeof(why)), i;

	assert(len > 0 && len < sizeof(why));
	assert(!begin || strncmp(why, begin, strlen(begin)) == 0);
	for (i = 0; i < len; i++)
		assert((unsigned char)why[i] >= ' ' && why[i] != 0x7f);
}

static int load(const void *data, size_t size, struct config **ret)
{
	char path[32];
	int fd, r;

	fd = memfd_create("config", MFD_CLOEXEC);
	assert(fd >= 0 && fchmod(fd, 0600) == 0);
	assert(write(fd, data, size) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	why[0] = '\0';
	r = config_load(path, ret, why, sizeof(why));
	(void)close(fd);
	if (r == 0)
		assert(why[0] == '\0');
	else
		check_why(path);
	return r;
}

/* Some devices may be wrong, for want of a bridge or such; then it says so. */
static void finish(int r, struct devspec *spec)
{
	assert(r == 0 || r == -EINVAL);
	if (r == 0)
		devspec_fini(spec);
	else
		check_why(NULL);
}

static void check_stanzas(const struct config *c, const char *guest,
			  const char *vdev)
{
	static const char *const blk[] = { NULL, "path=/x,readonly=on", "=,," };
	static const char *const net[] = { NULL, "bridge=b,mtu=9000", "x" };
	struct devspec spec;
	unsigned int i, n;

	for (i = 0; i < 3; i++) {
		finish(config_blk(c, guest, vdev, blk[i], &spec, why,
				  sizeof(why)), &spec);
		for (n = 0; n < 2; n++) {
			finish(config_virtio(c, guest, n, DEVSPEC_BLK, blk[i],
					     &spec, why, sizeof(why)), &spec);
			finish(config_virtio(c, guest, n, DEVSPEC_NET, net[i],
					     &spec, why, sizeof(why)), &spec);
		}
	}
}

static void check_guest(const struct config *c, const struct config_guest *g)
{
	const struct config_device *d;
	struct devspec spec;
	size_t i, extra = 0;

	assert(g->name[0] && config_guest(c, g->name) == g);
	for (i = 0; i < g->ndevices; i++) {
		d = &g->devices[i];
		assert(!devspec_has_key(d->text, "vdev"));
		assert(!devspec_has_key(d->text, "virtio"));
		assert((d->use == CONFIG_VDEV) == !!d->vdev);
		extra += d->use == CONFIG_EXTRA;
		if (d->use == CONFIG_VDEV) {
			/* As checked when it was loaded. */
			assert(config_blk(c, g->name, d->vdev, "path=/x",
					  &spec, why, sizeof(why)) == 0);
			devspec_fini(&spec);
			check_stanzas(c, g->name, d->vdev);
		}
	}
	assert(extra == config_extra_count(c, g->name));
	for (i = 0; i < extra; i++) {
		assert(config_extra(c, g->name, i, &spec, why,
				    sizeof(why)) == 0);
		devspec_fini(&spec);
	}
	check_stanzas(c, g->name, NULL);
}

static void check_config(const struct config *c)
{
	struct devspec spec;
	size_t i;

	assert(c->uid_base >= 1 && c->uid_base <= 0x7fff0000);
	assert(!c->control_group || c->control_group[0]);
	for (i = 0; i < c->nguests; i++)
		check_guest(c, &c->guests[i]);
	assert(!config_guest(c, ""));
	check_stanzas(c, "not there", "xvda");
	finish(config_attach(c, "blk,path=/x", &spec, why, sizeof(why)),
	       &spec);
	finish(config_attach(c, "net", &spec, why, sizeof(why)), &spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "sandbox = off # and\nguest \"g\" {\n"
				   "device = { 'blk,path=/x' } }\n";
	struct config *c = (void *)why;

	if (load(data, size, &c) == 0) {
		check_config(c);
		config_free(c);
	} else {
		assert(c == (void *)why);
	}

	assert(load(good, sizeof(good) - 1, &c) == 0);
	assert(!c->sandbox && c->nguests == 1);
	assert(config_extra_count(c, "g") == 1);
	config_free(c);
	return 0;
}
