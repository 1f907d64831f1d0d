/* SPDX-License-Identifier: MIT */
/*
 * libxenevtchn: the fifo is the driver's ring of ports, with the driver's
 * masking.  The descriptor blocks unless the daemon says otherwise, as
 * /dev/xen/evtchn does.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <xenevtchn.h>

#include "lib.h"

struct xenevtchn_handle {
	struct lib_handle	lib;
};

/* The driver's own rule differs from privcmd's: once only, and EACCES. */
static int evtchn_restrict(struct lib_handle *h, int domid)
{
	if (h->domid >= 0)
		return lib_result(-EACCES);
	if (domid < 1 || domid >= (int)DOMID_FIRST_RESERVED)
		return lib_result(-EINVAL);
	h->domid = domid;
	return 0;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger,
				 unsigned int flags)
{
	xenevtchn_handle *xce = calloc(1, sizeof(*xce));

	(void)logger;
	(void)flags;
	if (xce && lib_open(&xce->lib, HANDLE_EVTCHN, FN_xenevtchn_open,
			    evtchn_restrict)) {
		free(xce);
		return NULL;
	}
	return xce;
}

/* Taking over a descriptor is for daemons that re-execute themselves. */
xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd,
				   unsigned int open_flags)
{
	(void)logger;
	(void)fd;
	(void)open_flags;
	errno = ENOSYS;
	return NULL;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	if (!xce)
		return 0;
	(void)lib_called(FN_xenevtchn_close);
	lib_close(&xce->lib);
	free(xce);
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	if (lib_called(FN_xenevtchn_fd))
		return -1;
	return xce->lib.fd;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
	if (lib_called(FN_xenevtchn_restrict))
		return -1;
	return evtchn_restrict(&xce->lib, domid);
}

static int evtchn_check_domain(xenevtchn_handle *xce, uint32_t domid)
{
	return xce->lib.domid >= 0 && (uint32_t)xce->lib.domid != domid ?
		-EACCES : 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce,
						      uint32_t domid)
{
	int r;

	if (lib_called(FN_xenevtchn_bind_unbound_port))
		return -1;
	r = evtchn_check_domain(xce, domid);
	if (!r)
		r = hyp_port_unbound(&lib_view, xce->lib.index, domid);
	return lib_result(r);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
						     uint32_t domid,
						     evtchn_port_t remote_port)
{
	int r;

	if (lib_called(FN_xenevtchn_bind_interdomain))
		return -1;
	r = evtchn_check_domain(xce, domid);
	if (!r)
		r = hyp_port_bind(&lib_view, xce->lib.index, domid,
				  remote_port);
	return lib_result(r);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce,
					      unsigned int virq)
{
	(void)xce;
	(void)virq;
	return lib_result(-ENOSYS);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	if (lib_called(FN_xenevtchn_unbind))
		return -1;
	return lib_result(hyp_port_unbind(&lib_view, xce->lib.index, port));
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	if (lib_called(FN_xenevtchn_notify))
		return -1;
	return lib_result(hyp_port_notify(&lib_view, xce->lib.index, port));
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	uint32_t port;

	if (lib_called(FN_xenevtchn_pending))
		return -1;
	if (read(xce->lib.fd, &port, sizeof(port)) != sizeof(port))
		return -1;
	return port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	if (lib_called(FN_xenevtchn_unmask))
		return -1;
	return lib_result(hyp_port_unmask(&lib_view, xce->lib.index, port));
}
