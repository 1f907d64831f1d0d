/* SPDX-License-Identifier: MIT */
/*
 * state.h: what outlives the process.
 *
 * Everything a function needs to go on after its process is gone lives in
 * struct fn_state, one per function, in one shared memory file.  It is not a
 * snapshot: it is where the modules keep these fields.  Hence no pointers,
 * fixed widths, and a version.
 *
 * Only the loop thread writes it.
 */
#ifndef XVD_STATE_H
#define XVD_STATE_H

#include <stddef.h>
#include <stdint.h>

#define STATE_MAGIC		0x58564430u	/* "XVD0" */
#define STATE_VERSION		2u

#define STATE_MAX_QUEUES	17	/* 8 pairs and a control queue */
#define STATE_MAX_VECTORS	(STATE_MAX_QUEUES + 1)
#define STATE_MAX_RING		1024

struct pci_state {
	uint8_t		cfg[256];
};

struct msix_state {
	uint32_t	table[STATE_MAX_VECTORS][4];
	uint32_t	pending;		/* bit per vector */
	uint32_t	reserved;
};

struct vq_state {
	uint64_t	desc;			/* guest addresses */
	uint64_t	avail;
	uint64_t	used;
	uint16_t	size;
	uint16_t	vector;
	uint16_t	last_avail;		/* next entry to take */
	uint16_t	used_idx;		/* next entry to fill */
	uint8_t		enabled;
	uint8_t		resetting;
	uint16_t	inflight_count;
	uint32_t	reserved;
	uint64_t	inflight[STATE_MAX_RING / 64];	/* bit per head */
};

struct vdev_state {
	uint64_t	driver_features;
	uint32_t	device_feature_select;
	uint32_t	driver_feature_select;
	uint16_t	queue_select;
	uint16_t	config_vector;
	uint8_t		status;
	uint8_t		isr;
	uint8_t		config_generation;
	uint8_t		resetting;
	uint32_t	reserved;
	uint8_t		device[64];		/* the device type's own */
};

struct fn_state {
	struct pci_state	pci;
	struct msix_state	msix;
	struct vdev_state	vdev;
	struct vq_state		vq[STATE_MAX_QUEUES];
};

struct state_head {
	uint32_t	magic;
	uint32_t	version;
	uint32_t	fn_bytes;
	uint32_t	fn_count;
};

/*
 * Makes the file for @count functions, all zero.  Return: 0 and *ret, or a
 * negative errno.
 */
struct state;
int state_open(unsigned int count, struct state **ret);
void state_close(struct state *state);	/* NULL is fine */

/*
 * Another process's file, whose descriptor becomes the state's, also on
 * failure.  Return: 0 and *ret; -EPROTO if it is none, or another version's;
 * or another negative errno.
 */
int state_adopt(int fd, struct state **ret);

/* To hand to another process; borrowed. */
int state_fd(const struct state *state);

unsigned int state_count(const struct state *state);

/* The state of function @index, borrowed. */
struct fn_state *state_fn(struct state *state, unsigned int index);

#endif
