/* SPDX-License-Identifier: MIT */
/*
 * xsnode.c: see the header.
 *
 * Stock libxl knows virtio-mmio only, and says so for every disk: transport is
 * "mmio", and base and irq are zero where there is none, which is on x86.  So
 * "mmio" at address 0 is a PCI function of our choice.
 *
 * On Arm each disk has a base, a virtio-mmio device in the guest's device tree,
 * whoever is meant to serve it.  Two that serve one image destroy it, so such a
 * disk is ours only if our configuration names it, which our caller looks up.
 * In virtio= nothing need be told by its address: without transport= there is
 * none, and with transport=mmio it is somebody else's.  Toolstacks with the
 * patches that were posted for virtio-pci write "pci", a bdf and, for devices
 * that are not ours, backend_type "qemu".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arm_guest.h"
#include "spec.h"
#include "xsnode.h"

#define MMIO_ALIGN	0x200
#define SERIAL_BYTES	20	/* VIRTIO_BLK_ID_BYTES */

static const char *const classes[] = {
	[XSNODE_DISK]	= "virtio_disk",
	[XSNODE_VIRTIO]	= "virtio",
};

/* ---- paths ---- */

static const char *skip(const char *p, const char *word)
{
	size_t len = strlen(word);

	return p && strncmp(p, word, len) == 0 ? p + len : NULL;
}

static const char *skip_number(const char *p, uint64_t max, uint32_t *ret)
{
	uint64_t v;

	p = p ? spec_digits(p, max, &v) : NULL;
	if (p)
		*ret = (uint32_t)v;
	return p;
}

bool xsnode_path_parse(const char *path, uint32_t self,
		       struct xsnode_path *ret)
{
	struct xsnode_path found = { 0 };
	const char *p, *q = NULL;
	uint32_t backend;
	size_t i;

	p = skip_number(skip(path, "/local/domain/"), UINT16_MAX, &backend);
	p = skip(p, "/backend/");
	if (!p || backend != self)
		return false;
	for (i = 0; i < sizeof(classes) / sizeof(classes[0]) && !q; i++) {
		q = skip(skip(p, classes[i]), "/");
		found.class = (enum xsnode_class)i;
	}
	q = skip_number(q, UINT16_MAX, &found.domid);
	q = skip_number(skip(q, "/"), UINT32_MAX, &found.devid);
	if (!q || (*q != '\0' && *q != '/'))
		return false;
	*ret = found;
	return true;
}

void xsnode_path_print(const struct xsnode_path *path, uint32_t self,
		       char *ret, size_t len)
{
	snprintf(ret, len, "/local/domain/%u/backend/%s/%u/%u", self,
		 classes[path->class], path->domid, path->devid);
}

/* ---- what is wanted ---- */

/* A device grammar's text, as long as it gets. */
struct text {
	char	*text;
	size_t	len;
	size_t	used;			/* len: it has no room */
};

static void text_add_char(struct text *t, char c)
{
	if (t->used + 1 >= t->len) {
		t->used = t->len;
		return;
	}
	t->text[t->used++] = c;
	t->text[t->used] = '\0';
}

static void text_add_raw(struct text *t, const char *s)
{
	for (; *s; s++)
		text_add_char(t, *s);
}

/* "key=value", with commas doubled. */
static void text_add(struct text *t, const char *key, const char *value)
{
	if (t->used)
		text_add_char(t, ',');
	text_add_raw(t, key);
	text_add_char(t, '=');
	for (; *value; value++) {
		if (*value == ',')
			text_add_char(t, ',');
		text_add_char(t, *value);
	}
}

/* Zero, in any of the ways that libxl writes it; or not given. */
static bool is_zero(const char *value)
{
	if (!value || *value == '\0')
		return true;
	value += strncmp(value, "0x", 2) == 0 ? 2 : 0;
	return value[strspn(value, "0")] == '\0';
}

/* One of libxl's windows for virtio-mmio devices. */
static bool parse_base(const char *value, uint64_t *ret)
{
	char *end;

	*ret = strtoull(value, &end, 0);
	return *end == '\0' && *value >= '0' && *value <= '9' &&
	       *ret - ARM_GUEST_VIRTIO_MMIO_BASE <
	       ARM_GUEST_VIRTIO_MMIO_BYTES && *ret % MMIO_ALIGN == 0;
}

/* For whom?  Return: 1: us, if @mmio is zero. */
static int parse_transport(const struct xsnode_values *v, bool is_disk,
			   struct text *t, uint64_t *mmio,
			   const struct spec_why *why)
{
	bool pci = v->transport && strcmp(v->transport, "pci") == 0;

	if (v->backend_type && strcmp(v->backend_type, "standalone") != 0) {
		spec_say(why, "backend_type is not 'standalone'");
		return 0;
	}
	*mmio = 0;
	if (!pci && (!is_zero(v->base) || !is_zero(v->irq)) &&
	    (!is_disk || !v->base || !parse_base(v->base, mmio))) {
		spec_say(why, "it is a virtio-mmio device");
		return 0;
	}
	if (pci && v->bdf)
		text_add(t, "bdf", v->bdf);
	return 1;
}

static int parse_disk(const struct xsnode_values *v, struct text *t,
		      struct xsnode_wish *wish, const struct spec_why *why)
{
	bool cdrom = v->device_type && strcmp(v->device_type, "cdrom") == 0;
	struct spec_quoted q;

	wish->kind = DEVSPEC_BLK;
	if (!v->params || *v->params == '\0')
		return spec_refuse(why, "target is missing: use target=FILE");
	text_add(t, "path", v->params);
	if (v->mode && strcmp(v->mode, "r") != 0 && strcmp(v->mode, "w") != 0)
		return spec_refuse(why, "mode='%s': use r or w",
				   spec_quote(&q, v->mode));
	if (cdrom || (v->mode && *v->mode == 'r'))
		text_add(t, "readonly", "on");
	if (v->discard && strcmp(v->discard, "0") == 0)
		text_add(t, "discard", "off");
	if (!v->dev || strlen(v->dev) > SERIAL_BYTES)
		return 1;
	/* So that the guest can find it as /dev/disk/by-id/virtio-xvdg. */
	text_add(t, "serial", v->dev);
	snprintf(wish->vdev, sizeof(wish->vdev), "%s", v->dev);
	return 1;
}

/*
 * xl.cfg(5) lets us have what is behind the type, up to the next comma: keys
 * of the device grammar with semicolons instead.
 */
static int parse_options(const char *p, struct text *t,
			 const struct spec_why *why)
{
	struct spec_quoted q;

	if (*p == '\0')
		return 1;
	if (*p != ';')
		return spec_refuse(why, "type: '%s' follows the number: use virtio,device1;KEY=VALUE;...",
				   spec_quote(&q, p));
	if (p[1] == '\0')
		return 1;
	if (t->used)
		text_add_char(t, ',');
	for (p++; *p; p++) {
		if (*p != ';')
			text_add_char(t, *p);
		else if (p[1] == ';')
			text_add_char(t, *p++);	/* two of them are one */
		else
			text_add_char(t, ',');
	}
	return 1;
}

static int parse_virtio(const struct xsnode_values *v, struct text *t,
			struct xsnode_wish *wish, const struct spec_why *why)
{
	const char *p = skip(v->type, "virtio,device");
	struct spec_quoted q;
	unsigned int id = 0;

	p = p ? spec_hex(p, 4, &id) : NULL;
	if (!p || (id != 1 && id != 2))
		return spec_refuse(why, "type='%s': use virtio,device1 (a network card) or virtio,device2 (a disk)",
				   spec_quote(&q, v->type ? v->type : ""));
	wish->kind = id == 1 ? DEVSPEC_NET : DEVSPEC_BLK;
	return parse_options(p, t, why);
}

int xsnode_parse(enum xsnode_class class, const struct xsnode_values *values,
		 struct xsnode_wish *ret, char *why_text, size_t why_len)
{
	const struct spec_why why = { why_text, why_len, NULL };
	struct text t = { ret->text, sizeof(ret->text), 0 };
	int r;

	ret->vdev[0] = ret->text[0] = '\0';
	r = parse_transport(values, class == XSNODE_DISK, &t, &ret->mmio,
			    &why);
	if (r <= 0)
		return r;
	if (class == XSNODE_DISK)
		r = parse_disk(values, &t, ret, &why);
	else
		r = parse_virtio(values, &t, ret, &why);
	if (r > 0 && t.used == t.len)
		return spec_refuse(&why, "it has more than %d bytes of options",
				   XSNODE_TEXT_LEN);
	return r;
}

/* "d0p0": the first disk; see xen-vbd-interface(7). */
static bool vdev_is_numbered(const char *vdev)
{
	const char *p = skip(vdev, "d");
	unsigned long disk;
	char *end;

	if (!p || *p < '0' || *p > '9')
		return false;
	disk = strtoul(p, &end, 0);
	return *end == 'p' && disk < 4;
}

/* The first four of a kind, and all that look like SCSI. */
bool xsnode_vdev_is_qemus(const char *vdev)
{
	const char *p = skip(vdev, "xvd");

	if (skip(vdev, "sd") || vdev_is_numbered(vdev))
		return true;
	if (!p)
		p = skip(vdev, "hd");
	return p && *p >= 'a' && *p <= 'd' &&
	       (p[1] < 'a' || p[1] > 'z');
}
