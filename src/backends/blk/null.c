// SPDX-License-Identifier: MIT
/*
 * null.c: a disk of zeroes.  Reads give zeroes, writes vanish, everything
 * succeeds at once.
 *
 * It measures what a request costs without a disk behind it, and it is the
 * smallest example of a backend: copy it to write another.  The contract is
 * in blk_backend.h; what is easily got wrong is done() being called
 *
 *   - from submit(): it must not be, so requests wait in a list for kick();
 *   - and calling submit() and kick() in its turn: the list is taken off
 *     before it is worked on, and a kick() from inside is answered later,
 *     from the loop, instead of by recursion.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "blk_backend.h"
#include "loop.h"
#include "util.h"

struct null {
	struct blk_backend	base;
	struct loop		*loop;
	struct loop_work	again;		/* a kick() from done() */
	struct blk_req		*first;		/* submitted, not kicked */
	struct blk_req		**last;
	unsigned int		depth;
	unsigned int		lent;
	bool			busy;		/* inside null_finish() */
};

static struct null *null_of(struct blk_backend *be)
{
	return container_of(be, struct null, base);
}

static void null_finish(struct null *n)
{
	struct blk_req *req = n->first, *next;
	int i;

	n->first = NULL;
	n->last = &n->first;
	n->busy = true;
	for (; req; req = next) {
		next = req->next;	/* after done() it is not ours */
		for (i = 0; req->op == BLK_READ && i < req->iovcnt; i++)
			memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
		n->lent--;
		req->done(req, 0);
	}
	n->busy = false;
}

static void null_again(struct loop_work *work)
{
	null_finish(container_of(work, struct null, again));
}

static int null_open(struct loop *loop, int fd, const struct blk_info *info,
		     unsigned int depth, struct blk_backend **ret)
{
	struct null *n;

	if (fd >= 0)
		close(fd);		/* ours, but of no use */
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->base.ops = &blk_null_ops;
	n->base.info = *info;
	n->loop = loop;
	n->again.fn = null_again;
	n->last = &n->first;
	n->depth = depth;
	*ret = &n->base;
	return 0;
}

static void null_submit(struct blk_backend *be, struct blk_req *req)
{
	struct null *n = null_of(be);

	assert(n->lent < n->depth);
	n->lent++;
	req->next = NULL;
	*n->last = req;
	n->last = &req->next;
}

static void null_kick(struct blk_backend *be)
{
	struct null *n = null_of(be);

	if (n->busy)
		loop_defer(n->loop, &n->again);
	else
		null_finish(n);
}

static void null_close(struct blk_backend *be)
{
	struct null *n;

	if (!be)
		return;
	n = null_of(be);
	assert(n->lent == 0);
	loop_defer_cancel(&n->again);
	free(n);
}

const struct blk_backend_ops blk_null_ops = {
	.name	= "null",
	.open	= null_open,
	.submit	= null_submit,
	.kick	= null_kick,
	.close	= null_close,
};
