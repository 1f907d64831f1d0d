/* SPDX-License-Identifier: MIT */
/*
 * notify.h: tells the service manager how we are, with the protocol of
 * sd_notify(3): one datagram to the socket that $NOTIFY_SOCKET names.
 */
#ifndef XVD_NOTIFY_H
#define XVD_NOTIFY_H

/*
 * Sends @state, "READY=1" or "STOPPING=1".
 * Return: 0, also where nobody asked to be told; or a negative errno:
 * -EINVAL for an address that is neither "/path" nor "@abstract".
 */
int notify_send(const char *state);

#endif
