/* SPDX-License-Identifier: MIT */
/*
 * guestdtb.h: the command guest-dtb, for which no daemon is asked.
 */
#ifndef XVD_CTL_GUESTDTB_H
#define XVD_CTL_GUESTDTB_H

/*
 * Writes the device tree for a guest with these devices, in the words of
 * devspec.h, to stdout, and to stderr what else its xl configuration needs.
 * Return: 0; or -EINVAL, and it has been said: a word is wrong, or stdout a
 * terminal; or -ENOMEM.
 */
int guestdtb_run(char **words, int nwords);

#endif
