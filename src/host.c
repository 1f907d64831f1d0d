/* SPDX-License-Identifier: MIT */
/*
 * host.c: see the header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "ioreq/domctl.h"
#include "log.h"
#include "loop.h"
#include "store.h"

int host_open(struct host *host, char *why, size_t why_len)
{
	int r;

	*host = (struct host){ 0 };
	r = domctl_open(&host->dc);
	if (r < 0) {
		snprintf(why, why_len,
			 "cannot talk to Xen: %s; is this dom0, and are you root?",
			 strerror(-r));
		return r;
	}
	r = xenstore_open(&host->xs);
	if (r < 0) {
		snprintf(why, why_len,
			 "cannot reach xenstore: %s; is xenstored running?",
			 strerror(-r));
		return r;
	}
	r = loop_open(&host->loop);
	if (r < 0)
		snprintf(why, why_len, "cannot start the event loop: %s",
			 strerror(-r));
	return r;
}

void host_close(struct host *host)
{
	loop_close(host->loop);
	xenstore_close(host->xs);
	domctl_close(host->dc);
}

/* libxl takes it for dom0's if nobody has written it. */
int host_self(struct host *host, uint32_t *ret, char *why, size_t why_len)
{
	char text[16] = "", *end = text;
	unsigned long domid = 0;
	int r;

	r = xenstore_read(host->xs, "domid", text, sizeof(text));
	if (r == 0)
		domid = strtoul(text, &end, 10);
	else if (r == -ENOENT)
		r = 0;
	if (r == 0 && (*end || domid > UINT16_MAX))
		r = -EINVAL;
	if (r < 0)
		snprintf(why, why_len, "cannot read our own 'domid' in xenstore: %s",
			 strerror(-r));
	else
		*ret = (uint32_t)domid;
	return r;
}

int host_find(struct host *host, uint32_t domid, struct host_guest *ret,
	      char *why, size_t why_len)
{
	struct domctl_info info;
	int r;

	r = domctl_info(host->dc, domid, &info);
	if (r == 0 && info.dying)
		r = -ESRCH;
	if (r < 0) {
		snprintf(why, why_len, "%s", r == -ESRCH ?
			 "no such guest; 'xl list' shows those there are" :
			 strerror(-r));
		return r;
	}
	if (info.kind == DOMCTL_PV) {
		snprintf(why, why_len, "d%u is a PV guest, which has no emulated devices; type=\"pvh\" or \"hvm\" is needed",
			 domid);
		return -EINVAL;
	}
	ret->domid = domid;
	ret->pvh = info.kind == DOMCTL_PVH;
	xenstore_name(host->xs, domid, ret->name, sizeof(ret->name));
	return 0;
}

bool host_has_lost(struct host *host, uint32_t domid)
{
	struct domctl_info info;
	int r;

	r = domctl_info(host->dc, domid, &info);
	if (r < 0 && r != -ESRCH) {
		log_warn("d%u: cannot tell whether the guest is still there: %s",
			 domid, strerror(-r));
		return false;
	}
	return r == -ESRCH || info.dying;
}
