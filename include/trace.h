/* SPDX-License-Identifier: MIT */
/*
 * trace.h: USDT probes, provider "xen_virtiod".  A probe is one no-op
 * instruction until somebody attaches (bpftrace, perf, systemtap).
 *
 *   ioreq(vcpu, type, addr, size, dir)	one request taken from the shared page
 *   vq_kick(domid, bdf, queue)		the guest rang the doorbell
 *   vq_pop(queue, head, out, in)	a chain was taken; bytes each way
 *   vq_unpop(queue, head)		it was put back, unused
 *   vq_push(queue, head, len)		a chain was given back
 *   vq_interrupt(queue)		the driver is to be told
 *   blk_submit(req, op, offset, bytes)	handed to the backend
 *   blk_done(req, err)			handed back by the backend
 *   net_send(queue, bytes, err)		a frame was handed to the backend
 *   net_recv(queue, bytes, buffers)	a frame was given to the driver
 *   net_ctrl(class, cmd, err)		a command of the driver's was executed
 *   gmem_map(addr, pages, good)	foreign pages mapped
 *   gmem_invalidate(epoch)		mappings dropped
 *   grant_map(pages, ok)		granted pages mapped
 *   grant_copy(segments, failed)	one call for so many
 *   msi(addr, data)			message signalled interrupt injected
 *   intx(dev, level)			interrupt line driven
 */
#ifndef XVD_TRACE_H
#define XVD_TRACE_H

#if defined(__has_include) && !defined(__CHECKER__)
#if __has_include(<sys/sdt.h>)
#define XVD_HAVE_SDT 1
#endif
#endif

#ifdef XVD_HAVE_SDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define TRACE(name, ...)	STAP_PROBEV(xen_virtiod, name, ##__VA_ARGS__)
#else
#define TRACE(name, ...)	do { } while (0)
#endif

#endif
