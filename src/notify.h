/* SPDX-License-Identifier: MIT */
/*
 * notify.h: tells the service manager how we are, with the protocol of
 * sd_notify(3): one datagram to the socket that $NOTIFY_SOCKET names.
 */
#ifndef XVD_NOTIFY_H
#define XVD_NOTIFY_H

#include <stdint.h>

/*
 * Sends @state, "READY=1" or "STOPPING=1".
 * Return: 0, also where nobody asked to be told; or a negative errno:
 * -EINVAL for an address that is neither "/path" nor "@abstract".
 */
int notify_send(const char *state);

/* The configuration is being read again, until the next READY=1. */
int notify_reloading(void);

/*
 * One line for "systemctl status"; characters that cannot be shown, of a
 * guest's name maybe, become '?'.  Return: as above.
 */
int notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Return: 1 and in *ret_usec within what time, again and again, this process
 * is to say WATCHDOG=1; 0: nobody waits for it; or -EINVAL for an environment
 * that makes no sense.
 */
int notify_watchdog(uint64_t *ret_usec);

#endif
