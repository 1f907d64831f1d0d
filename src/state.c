/* SPDX-License-Identifier: MIT */
/*
 * state.c: the shared memory file behind state.h.  See there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"
#include "util.h"

struct state {
	int			fd;
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

static int state_map(struct state *state)
{
	void *p;

	state->fd = memfd_create("xen-virtiod-state", MFD_CLOEXEC);
	if (state->fd < 0)
		return -errno;
	if (ftruncate(state->fd, (off_t)state->bytes) < 0)
		return -errno;
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
	state->bytes = STATE_HEAD_BYTES + count * sizeof(struct fn_state);
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

struct fn_state *state_fn(struct state *state, unsigned int index)
{
	assert(index < state->head->fn_count);
	return (struct fn_state *)(void *)
		((char *)state->head + STATE_HEAD_BYTES) + index;
}
