/* SPDX-License-Identifier: MIT */
/*
 * domain.h: one guest as its worker reaches it: an IOREQ server, interrupts
 * and memory.  No Xen type leaves this folder.
 *
 * domain_open() does, in this order and never in another: open the handles,
 * restrict them to the guest, create the IOREQ server, map its page, enable
 * it, bind one event channel per vCPU, and, if only grants are to be served,
 * give up the right to map anything else.  Functions are registered after that,
 * by io_region_add(), and guest memory is touched last.
 */
#ifndef XVD_DOMAIN_H
#define XVD_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest_mem.h"

struct domain;
struct guest_mem;
struct io_bus;
struct irq;
struct loop;

/*
 * @pvh: the guest has no board but what we make: on x86 reads of port 0xcf8
 * are answered with what was last written there, which nobody else does.
 * @policy: for all of its functions.
 * Return: 0 and *ret; or a negative errno and in @why a line for the operator.
 */
int domain_open(struct loop *loop, uint32_t domid, bool pvh,
		enum grants_policy policy, struct domain **ret, char *why,
		size_t why_len);

/* Everything registered disappears from the guest.  NULL is fine. */
void domain_close(struct domain *dom);

/*
 * Only takes our functions away from the guest: for a process that is about
 * to exit with requests under way.
 */
void domain_abandon(struct domain *dom);

/* Borrowed for the domain's life. */
struct io_bus *domain_bus(struct domain *dom);
struct irq *domain_irq(struct domain *dom);
struct guest_mem *domain_mem(struct domain *dom);

/*
 * What a doorbell costs on this machine, in nanoseconds, measured when the
 * domain was opened: the vCPU's way to us and back.
 */
uint64_t domain_kick_ns(const struct domain *dom);

/* I/O ports, which x86 has; and lines for INTx, which a PVH guest lacks there. */
bool domain_has_ports(const struct domain *dom);
bool domain_has_intx(const struct domain *dom);

/*
 * Where function @devfn of bus 0 lies in the ECAM window of an Arm guest's
 * host bridge, ARM_GUEST_ECAM_FN_BYTES of it; 0 where there is no such window.
 */
uint64_t domain_ecam(const struct domain *dom, unsigned int devfn);

#endif
