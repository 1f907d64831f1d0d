/* SPDX-License-Identifier: MIT */
/*
 * tap.h: what the opening side has to know of a tap's descriptor.
 */
#ifndef XVD_TAP_H
#define XVD_TAP_H

#include "net_backend.h"

/*
 * The part of @offloads that makes sense together: segments need checksums,
 * ECN needs TSO, and Linux has USO for both protocols or for neither.
 */
unsigned int tap_usable_offloads(unsigned int offloads);

/*
 * What frames read from the tap may leave undone: the usable part of
 * @offloads.  Return: 0 or a negative errno, -EINVAL if the kernel does not
 * know one of them.
 */
int tap_fd_set_offloads(int fd, unsigned int offloads);

#endif
