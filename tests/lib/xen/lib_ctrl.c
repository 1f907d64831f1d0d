/* SPDX-License-Identifier: MIT */
/*
 * libxenctrl: only what a device model asks, whose answers are a list of
 * domains, what kind each is, and Xen's version.  Domain 0 is in the list.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xen/version.h>

#include "lib.h"

struct xc_interface_core {
	struct lib_handle	lib;
};

/* Hypercalls by number are not for a restricted privcmd handle. */
static int ctrl_check(xc_interface *xch, enum hyp_fn fn)
{
	if (lib_called(fn))
		return -1;
	return lib_result(xch->lib.domid >= 0 ? -EPERM : 0);
}

xc_interface *xc_interface_open(xentoollog_logger *logger,
				xentoollog_logger *dombuild_logger,
				unsigned int open_flags)
{
	xc_interface *xch = calloc(1, sizeof(*xch));

	(void)logger;
	(void)dombuild_logger;
	(void)open_flags;
	if (xch && lib_open(&xch->lib, HANDLE_CTRL, FN_xc_interface_open,
			    lib_restrict)) {
		free(xch);
		return NULL;
	}
	return xch;
}

int xc_interface_close(xc_interface *xch)
{
	if (!xch)
		return 0;
	(void)lib_called(FN_xc_interface_close);
	lib_close(&xch->lib);
	free(xch);
	return 0;
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
	if (ctrl_check(xch, FN_xc_version))
		return -1;
	switch (cmd) {
	case XENVER_version:
		return 4 << 16 | 17;
	case XENVER_extraversion:
		strcpy(arg, ".0");
		return 0;
	case XENVER_pagesize:
		return HYP_PAGE;
	default:
		return lib_result(-ENOSYS);
	}
}

static void ctrl_describe(const struct hyp_domain *d, xc_domaininfo_t *info)
{
	uint32_t pages = 0, i;

	for (i = 0; i < d->low_pages + d->high_pages; i++)
		pages += d->frame[i] != 0;
	memset(info, 0, sizeof(*info));
	info->domain = d->domid;
	info->flags = (d->type == DOM_PV ? 0 :
		       XEN_DOMINF_hvm_guest | XEN_DOMINF_hap) |
		(d->state == DOM_DYING ? XEN_DOMINF_dying : 0) |
		(d->pauses ? XEN_DOMINF_paused : XEN_DOMINF_blocked);
	if (d->shutdown)
		info->flags |= XEN_DOMINF_shutdown |
			(d->shutdown - 1) << XEN_DOMINF_shutdownshift;
	info->tot_pages = pages;
	info->max_pages = d->low_pages + d->high_pages;
	info->nr_online_vcpus = d->vcpus;
	info->max_vcpu_id = d->vcpus - 1;
	info->cpu_time = d->cpu_ns;
	info->handle[15] = d->domid;
	info->gpaddr_bits = 39;
	info->arch_config.emulation_flags = d->type == DOM_HVM ?
		XEN_X86_EMU_ALL & ~XEN_X86_EMU_VPCI : XEN_X86_EMU_LAPIC;
}

static void ctrl_describe_dom0(xc_domaininfo_t *info)
{
	memset(info, 0, sizeof(*info));
	info->flags = XEN_DOMINF_running;
	info->tot_pages = info->max_pages = 1 << 18;
	info->nr_online_vcpus = 1;
}

/* Domains from @first up, by number, as the sysctl answers. */
static int ctrl_list(uint32_t first, unsigned int max, xc_domaininfo_t *info)
{
	const struct hyp_domain *d, *best;
	unsigned int n = 0;
	uint32_t from = first;
	int i;

	if (max && !first)
		ctrl_describe_dom0(&info[n++]);
	hyp_lock(lib_view.hyp);
	while (n < max) {
		best = NULL;
		for (i = 0; i < HYP_DOMAINS; i++) {
			d = &lib_view.hyp->dom[i];
			if ((d->state == DOM_ALIVE || d->state == DOM_DYING) &&
			    d->domid >= from &&
			    (!best || d->domid < best->domid))
				best = d;
		}
		if (!best)
			break;
		ctrl_describe(best, &info[n++]);
		from = best->domid + 1;
	}
	hyp_unlock(lib_view.hyp);
	return n;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain,
			  unsigned int max_domains, xc_domaininfo_t *info)
{
	if (ctrl_check(xch, FN_xc_domain_getinfolist))
		return -1;
	return ctrl_list(first_domain, max_domains, info);
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid,
		      unsigned int max_doms, xc_dominfo_t *info)
{
	xc_domaininfo_t raw;
	unsigned int n;

	if (ctrl_check(xch, FN_xc_domain_getinfo))
		return -1;
	for (n = 0; n < max_doms; n++) {
		if (!ctrl_list(first_domid, 1, &raw))
			break;
		memset(&info[n], 0, sizeof(info[n]));
		info[n].domid = raw.domain;
		info[n].dying = !!(raw.flags & XEN_DOMINF_dying);
		info[n].shutdown = !!(raw.flags & XEN_DOMINF_shutdown);
		info[n].paused = !!(raw.flags & XEN_DOMINF_paused);
		info[n].hvm = !!(raw.flags & XEN_DOMINF_hvm_guest);
		info[n].hap = !!(raw.flags & XEN_DOMINF_hap);
		info[n].shutdown_reason =
			raw.flags >> XEN_DOMINF_shutdownshift &
			XEN_DOMINF_shutdownmask;
		info[n].nr_pages = raw.tot_pages;
		info[n].max_memkb = raw.max_pages * 4;
		info[n].nr_online_vcpus = raw.nr_online_vcpus;
		info[n].max_vcpu_id = raw.max_vcpu_id;
		memcpy(info[n].handle, raw.handle, sizeof(raw.handle));
		info[n].gpaddr_bits = raw.gpaddr_bits;
		info[n].arch_config = raw.arch_config;
		first_domid = raw.domain + 1;
	}
	return lib_result(n || !max_doms ? (int)n : -ESRCH);
}

static int ctrl_pause(uint32_t domid, int change)
{
	struct hyp_domain *d;
	int r = 0;

	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	if (!d)
		r = -ESRCH;
	else if (change < 0 && !d->pauses)
		r = -EINVAL;
	else if (change > 0 && d->pauses == 255)
		r = -EOVERFLOW;
	else
		d->pauses += change;
	hyp_unlock(lib_view.hyp);
	return lib_result(r);
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
	if (ctrl_check(xch, FN_xc_domain_pause))
		return -1;
	return ctrl_pause(domid, 1);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
	if (ctrl_check(xch, FN_xc_domain_unpause))
		return -1;
	return ctrl_pause(domid, -1);
}
