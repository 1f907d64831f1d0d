/* SPDX-License-Identifier: MIT */
/*
 * loop.h: the one event loop of a worker.  Hides libevent.
 *
 *   turn = wait for descriptors and timers
 *          -> call what is ready
 *          -> call the deferred work, until none is left or the turn's
 *             budget is used up (the rest follows in the next turn, behind
 *             the descriptors, so that config accesses are never starved)
 *
 * Everything in a worker runs on the loop's thread and nothing is locked.
 */
#ifndef XVD_LOOP_H
#define XVD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;

/* Return: 0 and *ret, which the caller owns, or -ENOMEM. */
int loop_open(struct loop **ret);
void loop_close(struct loop *loop);	/* NULL is fine */

/* Runs until loop_stop(); returns the code given there. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);

/* Calls @fn whenever @fd is readable.  @fd stays the caller's. */
int loop_fd_add(struct loop *loop, int fd, void (*fn)(void *arg), void *arg,
		struct loop_fd **ret);
/* The same whenever @fd has room to write to; pause it when it need not. */
int loop_fd_add_write(struct loop *loop, int fd, void (*fn)(void *arg),
		      void *arg, struct loop_fd **ret);
void loop_fd_del(struct loop_fd *w);	/* NULL is fine */

/* Looks away from a descriptor, and back; already doing so is fine. */
void loop_fd_pause(struct loop_fd *w);
void loop_fd_resume(struct loop_fd *w);

/* A signal instead of a descriptor; deleted with loop_fd_del() too. */
int loop_signal_add(struct loop *loop, int signo, void (*fn)(void *arg),
		    void *arg, struct loop_fd **ret);

/* A timer, not running at first. */
int loop_timer_add(struct loop *loop, void (*fn)(void *arg), void *arg,
		   struct loop_timer **ret);
void loop_timer_set(struct loop_timer *t, unsigned int ms);	/* once */
void loop_timer_stop(struct loop_timer *t);
void loop_timer_del(struct loop_timer *t);	/* NULL is fine */

/*
 * Work to be done after the descriptors of this turn.  Embedded in its
 * owner; costs neither a system call nor an allocation.  Deferring what is
 * already deferred does nothing.  The work function may defer itself again:
 * it then runs in the next turn.
 */
struct loop_work {
	struct loop_work	*next;
	struct loop_work	*prev;
	void			(*fn)(struct loop_work *work);
	bool			queued;
};

void loop_defer(struct loop *loop, struct loop_work *work);
void loop_defer_cancel(struct loop_work *work);

/* CLOCK_MONOTONIC. */
uint64_t loop_now_ms(void);
uint64_t loop_now_ns(void);

#endif
