/* SPDX-License-Identifier: MIT */
/*
 * watchdog.h: tells the service manager that the loop goes round.  If it does
 * not for as long as the unit says (WatchdogSec=), we are ended and started
 * anew.
 */
#ifndef XVD_WATCHDOG_H
#define XVD_WATCHDOG_H

struct loop;
struct watchdog;

/*
 * To be called once, when the loop is about to run.
 * Return: 0 and *ret, NULL where nobody asks; or a negative errno: -EINVAL for
 * $WATCHDOG_USEC or $WATCHDOG_PID that make no sense.
 */
int watchdog_start(struct loop *loop, struct watchdog **ret);
void watchdog_stop(struct watchdog *w);		/* NULL is fine */

#endif
