/* SPDX-License-Identifier: MIT */
/*
 * A disk image that answers when it is told to.
 *
 * It is one file on a FUSE filesystem whose server is a thread of the test:
 * the daemon opens it like any other file and knows nothing.  Between
 * slowdisk_hold() and slowdisk_release() reads, writes and flushes arrive and
 * stay, so a test can do what it likes while exactly so many requests are in
 * flight, and can then let them succeed or fail.
 *
 * Where there is no /dev/fuse, or no right to mount, slowdisk_prepare() says
 * so and the tests that need it are skipped.
 */
#ifndef SLOWDISK_H
#define SLOWDISK_H

#include <stdbool.h>
#include <stdint.h>

struct slowdisk;

/*
 * Call once, first in main(), with a single thread: the mount lives in a
 * namespace of its own and vanishes with the test.  Return: 0 or an errno.
 */
int slowdisk_prepare(void);

/* Mount one file of @bytes, all zeroes. */
struct slowdisk *slowdisk_open(uint64_t bytes);
/* Answers everything, unmounts.  The daemon should be gone. */
void slowdisk_close(struct slowdisk *d);

const char *slowdisk_path(const struct slowdisk *d);
/* What is on it. */
uint8_t *slowdisk_data(struct slowdisk *d);

void slowdisk_hold(struct slowdisk *d);
/* Wait for @n requests to be held.  Return: 0 or -ETIMEDOUT. */
int slowdisk_wait(struct slowdisk *d, unsigned int n, int ms);
unsigned int slowdisk_held(struct slowdisk *d);
/* Let all go on, those to come too.  @err: 0, or what the held ones get. */
void slowdisk_release(struct slowdisk *d, int err);
/* Let only the newest held one go on: answers out of order. */
void slowdisk_release_newest(struct slowdisk *d);

/* How many of each have been carried out; a synchronous write is a flush. */
unsigned int slowdisk_reads(struct slowdisk *d);
unsigned int slowdisk_writes(struct slowdisk *d);
unsigned int slowdisk_flushes(struct slowdisk *d);

#endif
