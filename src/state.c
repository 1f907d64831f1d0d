/* SPDX-License-Identifier: MIT */
/*
 * state.c: the shared memory file behind state.h.  See there.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"
#include "util.h"

struct state {
	int			fd;
	unsigned int		count;		/* ours: others may write the
						 * one in the file */
	size_t			bytes;
	struct state_head	*head;
};

#define STATE_HEAD_BYTES	64

_Static_assert(sizeof(struct state_head) <= STATE_HEAD_BYTES, "head fits");
_Static_assert(sizeof(struct fn_state) % 8 == 0, "functions stay aligned");

void state_close(struct state *state)
{
	if (!state)
		return;
	if (state->head)
		munmap(state->head, state->bytes);
	if (state->fd >= 0)
		close(state->fd);
	free(state);
}

static size_t state_bytes(unsigned int count)
{
	return STATE_HEAD_BYTES + count * sizeof(struct fn_state);
}

/* Nobody who has it can cut it short under another one's mapping. */
static int state_make(struct state *state)
{
	state->fd = memfd_create("xen-virtiod-state",
				 MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (state->fd < 0)
		return -errno;
	if (ftruncate(state->fd, (off_t)state->bytes) < 0)
		return -errno;
	if (fcntl(state->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
		  F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

static int state_map(struct state *state)
{
	void *p;

	p = mmap(NULL, state->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		 state->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	state->head = p;
	return 0;
}

int state_open(unsigned int count, struct state **ret)
{
	struct state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	state->fd = -1;
	state->count = count;
	state->bytes = state_bytes(count);
	r = state_make(state);
	if (!r)
		r = state_map(state);
	if (r < 0) {
		state_close(state);
		return r;
	}
	*state->head = (struct state_head){
		.magic		= STATE_MAGIC,
		.version	= STATE_VERSION,
		.fn_bytes	= sizeof(struct fn_state),
		.fn_count	= count,
	};
	*ret = state;
	return 0;
}

static int state_check(struct state *state)
{
	struct state_head head;
	struct stat st;
	ssize_t n;

	n = pread(state->fd, &head, sizeof(head), 0);
	if (n < 0 || fstat(state->fd, &st) < 0)
		return -errno;
	if (n != sizeof(head) || head.magic != STATE_MAGIC ||
	    head.version != STATE_VERSION ||
	    head.fn_bytes != sizeof(struct fn_state) ||
	    (uint64_t)st.st_size != STATE_HEAD_BYTES +
				    head.fn_count * sizeof(struct fn_state))
		return -EPROTO;
	state->count = head.fn_count;
	state->bytes = state_bytes(head.fn_count);
	return 0;
}

int state_adopt(int fd, struct state **ret)
{
	struct state *state = calloc(1, sizeof(*state));
	int r;

	if (!state) {
		close(fd);
		return -ENOMEM;
	}
	state->fd = fd;
	r = state_check(state);
	if (!r)
		r = state_map(state);
	if (r < 0) {
		state_close(state);
		return r;
	}
	*ret = state;
	return 0;
}

int state_fd(const struct state *state)
{
	return state->fd;
}

unsigned int state_count(const struct state *state)
{
	return state->count;
}

struct fn_state *state_fn(struct state *state, unsigned int index)
{
	assert(index < state->count);
	return (struct fn_state *)(void *)
		((char *)state->head + STATE_HEAD_BYTES) + index;
}
