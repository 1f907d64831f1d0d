/* SPDX-License-Identifier: MIT */
/*
 * guest.h: a guest that is served: its devices, wherever they were asked for,
 * and the one worker that has them.
 *
 *	guest_open
 *	guest_add	  a device: GUEST_DEV_ADDED, or GUEST_DEV_FAILED and why
 *			  GUEST_DEV_RUNNING: its driver has started it
 *	guest_del	  GUEST_DEV_REMOVED: nothing is left of it
 *	guest_stop	  all of them; ended()
 *	guest_close
 *
 * Nothing here waits: images are opened and scripts run on threads, one after
 * the other for each guest, and the worker answers when it does.  It is started
 * for the first device and lives as long as there is one.
 */
#ifndef XVD_GUEST_H
#define XVD_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devspec.h"

#define GUEST_ROOM	16	/* devices, unless more are known at first */

struct devdesc;
struct fn_state;
struct guest;
struct guest_dev;
struct loop;

struct guest_opts {
	uint32_t	domid;
	const char	*name;		/* copied */
	bool		pvh;
	bool		sandbox;
	uint32_t	uid_base;
	size_t		room;		/* devices at a time; 0: GUEST_ROOM */
	bool		together;	/* the guest sees none of them until
					 * all of them are open */

	/*
	 * After guest_stop(): nothing is left, guest_close() may be called.
	 * Or the worker has ended by itself, with an error that was logged: the
	 * devices are dead, and guest_stop() is still to be called.
	 */
	void		(*ended)(void *arg, struct guest *g, int err);
	void		*arg;
};

enum guest_dev_event {
	GUEST_DEV_ADDED,
	GUEST_DEV_FAILED,	/* last: it was never added */
	GUEST_DEV_RUNNING,
	GUEST_DEV_REMOVED,	/* last */
};

struct guest_dev_news {
	struct guest_dev	*dev;	/* gone, after the last news */
	enum guest_dev_event	event;
	int			err;	/* FAILED */
	const char		*why;	/* FAILED: a line for the operator */
};

enum guest_dev_state {
	GUEST_DEV_OPENING,	/* paths, scripts */
	GUEST_DEV_OPENED,	/* the worker is not ready */
	GUEST_DEV_HANDED,	/* the worker has not answered */
	GUEST_DEV_SERVED,
	GUEST_DEV_LEAVING,	/* the worker answers what it has taken */
	GUEST_DEV_CLOSING,	/* scripts */
};

/* Return: 0 and *ret, or a negative errno. */
int guest_open(struct loop *loop, const struct guest_opts *opts,
	       struct guest **ret);

/*
 * Adds a device.  @spec is taken over, also on failure; without a bdf it gets
 * the first free slot.  @origin is a word for messages, constant.  Return: 0
 * and *ret, @news will be called, on the loop, and a guest_stop() before this
 * is forgotten, unless the guest was gone; or a negative errno and in @why a
 * line for the operator.
 */
int guest_add(struct guest *g, struct devspec *spec, const char *origin,
	      void (*news)(void *arg, const struct guest_dev_news *news),
	      void *arg, struct guest_dev **ret, char *why, size_t why_len);

/* Takes it away, whatever it is doing.  Being taken away already is fine. */
void guest_del(struct guest_dev *dev);

/*
 * Calls @fn when it is gone, just after its last news.  Return: 0, or -EBUSY
 * if that was asked for already.
 */
int guest_dev_when_gone(struct guest_dev *dev, void (*fn)(void *arg),
			void *arg);

/*
 * Makes a disk longer, or with @bytes 0 as long as its image is by now.
 * Return: 0 and *ret, as the guest is about to see it; or a negative errno with
 * @why.
 */
int guest_dev_resize(struct guest_dev *dev, uint64_t bytes, uint64_t *ret,
		     char *why, size_t why_len);

/* The cable of a card: out, whatever dom0 says; or as dom0 says. */
void guest_dev_set_link(struct guest_dev *dev, bool up);

/* @gone: the guest exists no more.  May be said again when it has gone. */
void guest_stop(struct guest *g, bool gone);

void guest_close(struct guest *g);	/* has ended, or has nothing; NULL */

/* ---- what there is to be seen ---- */

uint32_t guest_domid(const struct guest *g);
const char *guest_name(const struct guest *g);
bool guest_is_pvh(const struct guest *g);
bool guest_is_dead(const struct guest *g);	/* the worker was lost */
pid_t guest_worker(const struct guest *g);	/* 0: none */
struct guest_dev *guest_first(const struct guest *g);
struct guest_dev *guest_next(const struct guest_dev *dev);

struct guest *guest_dev_guest(const struct guest_dev *dev);
const char *guest_dev_name(const struct guest_dev *dev);	/* "vblk0" */
const char *guest_dev_origin(const struct guest_dev *dev);
const struct devspec *guest_dev_spec(const struct guest_dev *dev);
enum guest_dev_state guest_dev_state(const struct guest_dev *dev);
bool guest_dev_has_run(const struct guest_dev *dev);
bool guest_dev_link(const struct guest_dev *dev);	/* as the guest sees it */
void guest_dev_tell(const struct guest_dev *dev);	/* lines in the log */

/* NULL until it is opened. */
const struct devdesc *guest_dev_desc(const struct guest_dev *dev);

/* What the worker keeps of it: any bytes, which change.  Or NULL. */
const struct fn_state *guest_dev_fn(const struct guest_dev *dev);

#endif
