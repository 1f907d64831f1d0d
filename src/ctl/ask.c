/* SPDX-License-Identifier: MIT */
/*
 * ask.c: see the header.
 *
 * Connecting, sending and receiving all wait in the same place, pause(): for
 * the daemon, the timeout, a signal, and for the moment to say what takes so
 * long.  The reply is one line of JSON; the connection is closed after it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <json-c/json.h>
#include "ask.h"
#include "log.h"
#include "util.h"

#define SAY_MS		2000		/* until something is said */
#define RETRY_MS	50		/* the daemon's queue is full */
#define REPLY_BYTES	(16u << 20)	/* four times what it sends */
#define REPLY_DEPTH	16

struct exchange {
	const struct ask	*ask;
	int			fd;
	uint64_t		start_ms;
	bool			said;
	char			*reply;
	size_t			len;
	size_t			room;
};

static volatile sig_atomic_t caught;	/* the only way out of a handler */

static void on_signal(int signo)
{
	caught = signo;
}

void ask_init(void)
{
	static const int signals[] = { SIGINT, SIGTERM };
	struct sigaction act = { .sa_handler = on_signal }, old;
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		/* Whoever starts us in the background may have it ignored. */
		if (sigaction(signals[i], NULL, &old) < 0 ||
		    old.sa_handler == SIG_IGN)
			continue;
		(void)sigaction(signals[i], &act, NULL);	/* exists */
		sigaddset(&set, signals[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &set, NULL);	/* cannot fail */
}

void ask_die(void)
{
	int signo = caught ? caught : SIGTERM;
	sigset_t set;

	(void)signal(signo, SIG_DFL);	/* the two above can be set */
	sigemptyset(&set);
	sigaddset(&set, signo);
	(void)raise(signo);		/* comes when it is let through */
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + signo);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Return: as ppoll(2), or a negative errno; -EINTR: a signal that ends us. */
static int wait_ms(struct pollfd *p, uint64_t ms)
{
	struct timespec ts = {
		.tv_sec		= (time_t)(ms / 1000),
		.tv_nsec	= (long)(ms % 1000 * 1000000),
	};
	sigset_t none;
	int r;

	sigemptyset(&none);
	do {
		r = ppoll(p, p ? 1 : 0, &ts, &none);
		r = r < 0 ? -errno : r;
	} while (r == -EINTR && !caught);	/* stopped, and continued */
	return r;
}

int ask_sleep(unsigned int ms)
{
	return wait_ms(NULL, ms);
}

static void say_awaited(struct exchange *x)
{
	log_line(LOG_L_INFO, "waiting for xen-virtiod to %s", x->ask->awaited);
	x->said = true;
}

/*
 * Waits for the daemon, or for @ms at most if they are not 0.  Return: 0, or
 * -ETIMEDOUT, -EINTR.
 */
static int await(struct exchange *x, short events, uint64_t ms)
{
	struct pollfd p = { .fd = x->fd, .events = events };
	uint64_t past, left, slice = ms;
	int r = 0;

	for (;;) {
		past = now_ms() - x->start_ms;
		left = ms ? slice : 3600000;
		if (x->ask->timeout_ms && past >= x->ask->timeout_ms)
			return -ETIMEDOUT;
		if (!x->said && past >= SAY_MS)
			say_awaited(x);
		if (x->ask->timeout_ms)
			left = MIN(left, x->ask->timeout_ms - past);
		if (!x->said)
			left = MIN(left, SAY_MS - past);
		r = wait_ms(events ? &p : NULL, left);
		if (r != 0 || (ms && left == slice))
			return r < 0 ? r : 0;
		slice -= ms ? left : 0;
	}
}

static int ask_connect(struct exchange *x)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	if (strlen(x->ask->path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, x->ask->path);
	x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (x->fd < 0)
		return -errno;
	do {
		r = connect(x->fd, (struct sockaddr *)&addr, sizeof(addr));
		r = r < 0 ? -errno : 0;
		if (r == -EAGAIN) {
			r = await(x, 0, RETRY_MS);
			r = r < 0 ? r : -EAGAIN;
		}
	} while (r == -EAGAIN);
	return r;
}

/* A daemon that listens no more may have said why. */
static int ask_send(struct exchange *x, const char *text, size_t len)
{
	ssize_t n;
	int r;

	while (len > 0) {
		n = send(x->fd, text, len, MSG_NOSIGNAL);
		r = n < 0 ? -errno : 0;
		if (r == -EPIPE || r == -ECONNRESET)
			return 0;
		if (r == -EAGAIN)
			r = await(x, POLLOUT, 0);
		else if (r == 0)
			text += n, len -= (size_t)n;
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_room(struct exchange *x)
{
	char *reply;

	if (x->len < x->room)
		return 0;
	if (x->room >= REPLY_BYTES)
		return -EMSGSIZE;
	reply = realloc(x->reply, x->room ? x->room * 2 : 4096);
	if (!reply)
		return -ENOMEM;
	x->reply = reply;
	x->room = x->room ? x->room * 2 : 4096;
	return 0;
}

/* Receives one line, without its newline.  Return: 0, or an errno. */
static int ask_receive(struct exchange *x)
{
	char *end = NULL;
	ssize_t n;
	int r;

	while (!end) {
		r = make_room(x);
		if (r < 0)
			return r;
		n = recv(x->fd, x->reply + x->len, x->room - x->len, 0);
		r = n < 0 ? -errno : 0;
		if (n == 0 || r == -ECONNRESET)
			return -ECONNABORTED;
		if (r == -EAGAIN)
			r = await(x, POLLIN, 0);
		if (r < 0)
			return r;
		if (n > 0) {
			end = memchr(x->reply + x->len, '\n', (size_t)n);
			x->len += (size_t)n;
		}
	}
	x->len = (size_t)(end - x->reply);
	return 0;
}

static int ask_exchange(struct exchange *x, struct json_object *request)
{
	const char *text;
	int r;

	text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	r = ask_connect(x);
	if (r == 0)
		r = ask_send(x, text, strlen(text));
	if (r == 0)
		r = ask_send(x, "\n", 1);
	return r < 0 ? r : ask_receive(x);
}

/* Return: the object, or NULL. */
static struct json_object *ask_parse(const struct exchange *x)
{
	struct json_tokener *tok = json_tokener_new_ex(REPLY_DEPTH);
	struct json_object *reply;

	if (!tok)
		return NULL;
	reply = json_tokener_parse_ex(tok, x->reply, (int)x->len);
	json_tokener_free(tok);
	if (json_object_is_type(reply, json_type_object))
		return reply;
	json_object_put(reply);
	return NULL;
}

/* What went wrong, for the operator, and what to do about it. */
static void explain(const struct ask *ask, int err, char *why, size_t why_len)
{
	static const char down[] = "is xen-virtiod.service running?";
	const char *path = ask->path;

	switch (err) {
	case -ECONNREFUSED:
		snprintf(why, why_len, "cannot reach xen-virtiod at %s: "
			 "connection refused; %s", path, down);
		break;
	case -ENOENT:
		snprintf(why, why_len, "cannot reach xen-virtiod at %s: "
			 "there is no such socket; %s", path, down);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(why, why_len, "cannot reach xen-virtiod at %s: "
			 "permission denied; are you root, or in the group of "
			 "control-group=?", path);
		break;
	case -ETIMEDOUT:
		snprintf(why, why_len, "no answer from xen-virtiod at %s "
			 "within %g s%s%s", path, ask->timeout_ms / 1000.0,
			 ask->changes ? "; it may still " : "",
			 ask->changes ? ask->awaited : "");
		break;
	case -ECONNABORTED:
		snprintf(why, why_len, "xen-virtiod at %s hung up without an "
			 "answer; its log may say why", path);
		break;
	case -EBADMSG:
		snprintf(why, why_len, "what answers at %s is not xen-virtiod: "
			 "a line of JSON was expected", path);
		break;
	case -EMSGSIZE:
		snprintf(why, why_len, "what answers at %s is not xen-virtiod: "
			 "the answer is longer than %u bytes", path,
			 REPLY_BYTES);
		break;
	default:
		snprintf(why, why_len, "cannot reach xen-virtiod at %s: %s",
			 path, strerror(-err));
		break;
	}
}

int ask_daemon(const struct ask *ask, struct json_object *request,
	       struct json_object **ret, char *why, size_t why_len)
{
	struct exchange x = { .ask = ask, .fd = -1, .start_ms = now_ms() };
	struct json_object *reply = NULL;
	int r;

	r = ask_exchange(&x, request);
	if (r == 0) {
		reply = ask_parse(&x);
		r = reply ? 0 : -EBADMSG;
	}
	if (x.fd >= 0)
		close(x.fd);
	free(x.reply);
	if (r < 0)
		explain(ask, r, why, why_len);
	else
		*ret = reply;
	return r;
}
