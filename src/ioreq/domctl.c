/* SPDX-License-Identifier: MIT */
/*
 * domctl.c: the one user of libxenctrl.
 */
#include <errno.h>
#include <stdlib.h>
#include <xenctrl.h>
#include <xen/sched.h>

#include "arch.h"
#include "domctl.h"

struct domctl {
	xc_interface	*xc;
};

int domctl_open(struct domctl **ret)
{
	struct domctl *dc = calloc(1, sizeof(*dc));

	if (!dc)
		return -ENOMEM;
	/* Its own logger would speak to stderr; we say what matters. */
	dc->xc = xc_interface_open(NULL, NULL, 0);
	if (!dc->xc) {
		int r = errno ? -errno : -ENODEV;

		free(dc);
		return r;
	}
	*ret = dc;
	return 0;
}

void domctl_close(struct domctl *dc)
{
	if (!dc)
		return;
	xc_interface_close(dc->xc);
	free(dc);
}

static enum domctl_kind domctl_kind(const xc_domaininfo_t *info)
{
	if (!(info->flags & XEN_DOMINF_hvm_guest))
		return DOMCTL_PV;
	return arch_has_board(&info->arch_config) ? DOMCTL_HVM : DOMCTL_PVH;
}

static bool domctl_is_suspended(const xc_domaininfo_t *info)
{
	return (info->flags & XEN_DOMINF_shutdown) &&
	       (info->flags >> XEN_DOMINF_shutdownshift &
		XEN_DOMINF_shutdownmask) == SHUTDOWN_suspend;
}

int domctl_info(struct domctl *dc, uint32_t domid, struct domctl_info *ret)
{
	xc_domaininfo_t info;
	int r;

	r = xc_domain_getinfolist(dc->xc, domid, 1, &info);
	if (r < 0)
		return -errno;
	if (r == 0 || info.domain != domid)
		return -ESRCH;		/* the list starts at the next one */
	*ret = (struct domctl_info){
		.kind	= domctl_kind(&info),
		.dying	= info.flags & XEN_DOMINF_dying,
		.suspended = domctl_is_suspended(&info),
		.cpu_ns	= info.cpu_time,
	};
	return 0;
}

int domctl_pause(struct domctl *dc, uint32_t domid)
{
	return xc_domain_pause(dc->xc, domid) < 0 ? -errno : 0;
}

int domctl_unpause(struct domctl *dc, uint32_t domid)
{
	return xc_domain_unpause(dc->xc, domid) < 0 ? -errno : 0;
}
