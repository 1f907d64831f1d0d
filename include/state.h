/* SPDX-License-Identifier: MIT */
/*
 * state.h: what outlives the process.
 *
 * Everything a function needs to go on after its process is gone lives in
 * struct fn_state, one per function, in one shared memory file.  It is not a
 * snapshot: it is where the modules keep these fields.  Hence no pointers,
 * fixed widths, and a version.
 *
 * Only the loop thread writes it.  Others may look: each field of struct
 * fn_stats is whole whenever it is read (stat_get()), though not of the same
 * moment as its neighbours.
 */
#ifndef XVD_STATE_H
#define XVD_STATE_H

#include <stddef.h>
#include <stdint.h>

#define STATE_MAGIC		0x58564430u	/* "XVD0" */
#define STATE_VERSION		4u

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

/*
 * Since the function was made, whatever its driver did.  What a disk counts
 * are requests that were answered to a driver that lives, as a whole.
 */
struct blk_stats {
	uint64_t	reads;
	uint64_t	read_bytes;
	uint64_t	writes;			/* and writes of zeroes */
	uint64_t	write_bytes;
	uint64_t	flushes;
	uint64_t	discards;
	uint64_t	discard_bytes;
	uint64_t	errors;			/* any status but OK; in none
						 * of the above */
	uint64_t	throttled;		/* had to wait for a limit */
};

/* Frames, and their own bytes: without the virtio header. */
struct net_stats {
	uint64_t	rx_frames;		/* given to the driver */
	uint64_t	rx_bytes;
	uint64_t	rx_dropped;		/* no cable, or it had no
						 * room for them, or could not
						 * take them */
	uint64_t	rx_filtered;		/* it does not want these */
	uint64_t	tx_frames;		/* taken from the driver */
	uint64_t	tx_bytes;
	uint64_t	tx_dropped;		/* no cable, not a frame, or
						 * the host refused it */
};

struct fn_stats {
	uint64_t	kicks;			/* doorbells rung */
	uint64_t	interrupts;		/* raised, masked or not */
	uint64_t	granted;		/* chains taken of which a part or
						 * all was granted memory ... */
	uint64_t	grants_mapped;		/* ... and those whose payload was
						 * mapped, not copied */
	union {
		struct blk_stats	blk;
		struct net_stats	net;
	};
} __attribute__((aligned(8)));

struct fn_state {
	struct pci_state	pci;
	struct msix_state	msix;
	struct vdev_state	vdev;
	struct vq_state		vq[STATE_MAX_QUEUES];
	struct fn_stats		stats;
};

/* The writer's, and everybody's; neither locks or makes a system call. */
static inline void stat_add(uint64_t *stat, uint64_t n)
{
	__atomic_store_n(stat, *stat + n, __ATOMIC_RELAXED);
}

static inline uint64_t stat_get(const uint64_t *stat)
{
	return __atomic_load_n(stat, __ATOMIC_RELAXED);
}

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
