/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c: see the header.  The other end is worker.c.
 *
 * Three descriptors tell of a worker: its socket, on which it has nothing to
 * say any more once it was ready; a pipe with its log lines; and a pidfd, which
 * alone says that it is gone.  It is reaped then, and nothing of it is left but
 * what it has registered with Xen: a guest that touches a device of a worker
 * that has crashed waits, as it would for a disk that does not answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devopen.h"
#include "log.h"
#include "logpipe.h"
#include "loop.h"
#include "msg.h"
#include "state.h"
#include "supervisor.h"
#include "worker.h"

#define START_MS	60000	/* until it is ready */
#define STOP_MS		15000	/* more than it gives its disks */
#define STOP_GONE_MS	1500
#define KILLED_MS	5000	/* a process that is killed goes, unless it */
				/* hangs in the kernel */

struct supervisor {
	struct supervisor_opts	opts;
	struct loop		*loop;
	pid_t			pid;		/* 0: none, or reaped */
	int			pidfd;
	int			sock;
	bool			ready;
	bool			stopping;
	struct loop_fd		*pid_watch;
	struct loop_fd		*sock_watch;
	struct loop_timer	*patience;
	struct logpipe		*log;
};

/* ---- making the process ---- */

/* In the child: only what is allowed between fork() and execve(). */
static void worker_exec(int sock, int err)
{
	static char *const argv[] = {
		(char *)"xen-virtiod", (char *)WORKER_ARG, NULL
	};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/*
	 * Neither a terminal's ^C nor a service manager that asks all of us
	 * at once: we tell it when to stop.
	 */
	(void)setsid();
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	/* Over others that close by themselves; it itself stays open. */
	if (sock == WORKER_FD ? fcntl(sock, F_SETFD, 0) < 0 :
	    dup2(sock, WORKER_FD) < 0)
		_exit(126);
	if (close_range(WORKER_FD + 1, ~0u, 0) < 0)
		_exit(126);
	execve("/proc/self/exe", argv, environ);
	_exit(127);
}

static int supervisor_spawn(struct supervisor *s)
{
	char who[32];
	int pair[2];
	int err, r;

	snprintf(who, sizeof(who), "d%u", s->opts.domid);
	r = logpipe_open(who, s->opts.sandbox, &s->log, &err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		close(err);
		return r;
	}
	s->sock = pair[0];
	s->pid = fork();
	if (s->pid == 0)
		worker_exec(pair[1], err);
	if (s->pid < 0) {
		r = -errno;
		s->pid = 0;
	}
	close(pair[1]);
	close(err);
	if (r < 0)
		return r;
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	return s->pidfd < 0 ? -errno : 0;
}

/* ---- its end ---- */

/* Waits at most so long.  Return: whether it has ended and is reaped. */
static bool supervisor_reap(struct supervisor *s, int ms, int *ret_status)
{
	struct pollfd pfd = { .fd = s->pidfd, .events = POLLIN };
	int r;

	do {
		r = poll(&pfd, 1, ms);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return false;
	do {
		r = waitpid(s->pid, ret_status, 0);
	} while (r < 0 && errno == EINTR);
	s->pid = 0;
	return true;
}

static void supervisor_kill(struct supervisor *s)
{
	(void)kill(s->pid, SIGKILL);	/* not reaped, so still its number */
}

static void status_words(int status, char *text, size_t len)
{
	int sig = WTERMSIG(status);

	if (!WIFSIGNALED(status))
		snprintf(text, len, "ended with status %d",
			 WEXITSTATUS(status));
	else
		snprintf(text, len, "was ended by signal %d (%s)%s", sig,
			 strsignal(sig), sig == SIGSYS ?
			 "; its sandbox refused a system call, which the kernel's log names"
			 : "");
}

/* Return: whether it was what we have asked for. */
static bool supervisor_judge(struct supervisor *s, int status)
{
	char text[256];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->stopping)
		return true;
	/* It has told why already, or should have. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_TOLD &&
	    logpipe_has_error(s->log))
		return false;
	status_words(status, text, sizeof(text));
	log_error("d%u: the worker %s", s->opts.domid, text);
	return false;
}

/* ---- listening ---- */

static void supervisor_on_sock(void *arg)
{
	struct supervisor *s = arg;
	struct msg msg;
	int r = msg_recv(s->sock, MSG_FROM_WORKER, false, &msg);

	if (r == -EAGAIN)
		return;
	loop_fd_pause(s->sock_watch);
	if (r == -EPIPE) {		/* it is about to end */
		loop_timer_set(s->patience, STOP_GONE_MS);
		return;
	}
	if (r == 0)			/* it was asked nothing */
		r = -EPROTO;
	log_error("d%u: the worker does not keep to what is agreed (%s): killing it",
		  s->opts.domid, strerror(-r));
	supervisor_kill(s);
}

static void supervisor_on_end(void *arg)
{
	struct supervisor *s = arg;
	bool clean;
	int status = 0;

	if (!supervisor_reap(s, 0, &status))
		return;
	loop_fd_pause(s->pid_watch);
	loop_fd_pause(s->sock_watch);
	loop_timer_stop(s->patience);
	logpipe_drain(s->log);		/* its last words */
	clean = supervisor_judge(s, status);
	s->opts.ended(s->opts.arg, clean);
}

static void supervisor_on_patience(void *arg)
{
	struct supervisor *s = arg;

	log_error("d%u: the worker does not end: killing it", s->opts.domid);
	supervisor_kill(s);
}

/* ---- the start ---- */

static int supervisor_give(struct supervisor *s, struct devopen *dev)
{
	int fds[DEVDESC_MAX_FDS];
	unsigned int i, n;
	int r;

	n = devopen_take_fds(dev, fds);
	r = msg_send(s->sock, MSG_DEVICE, devopen_desc(dev), fds, n, true);
	for (i = 0; i < n; i++)
		close(fds[i]);
	return r;
}

static int supervisor_tell(struct supervisor *s, const struct msg_start *start)
{
	int fd = state_fd(s->opts.state);
	size_t i;
	int r;

	r = msg_send(s->sock, MSG_START, start, &fd, 1, true);
	for (i = 0; i < s->opts.ndevices && !r; i++)
		r = supervisor_give(s, s->opts.devices[i]);
	if (!r)
		r = msg_send(s->sock, MSG_SERVE, NULL, NULL, 0, true);
	return r;
}

/* It did not get as far as an answer. */
static int supervisor_explain(struct supervisor *s, int err, char *why,
			      size_t why_len)
{
	char text[256];
	int status = 0;

	if (err == -EPIPE && supervisor_reap(s, KILLED_MS, &status)) {
		status_words(status, text, sizeof(text));
		snprintf(why, why_len, "d%u: the worker %s before it was ready",
			 s->opts.domid, text);
		return -ECHILD;
	}
	snprintf(why, why_len, "d%u: the worker cannot be started: %s",
		 s->opts.domid, strerror(-err));
	supervisor_kill(s);
	return err;
}

static int supervisor_await(struct supervisor *s, char *why, size_t why_len)
{
	struct pollfd pfd = { .fd = s->sock, .events = POLLIN };
	struct msg msg;
	int r;

	do {
		r = poll(&pfd, 1, START_MS);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	r = msg_recv(s->sock, MSG_FROM_WORKER, true, &msg);
	if (r < 0)
		return r;
	if (msg.head.type == MSG_READY)
		return 0;
	if (msg.head.type != MSG_FAILED || msg.text.code >= 0)
		return -EPROTO;
	snprintf(why, why_len, "%s", msg.text.text);
	return msg.text.code;
}

static int supervisor_start(struct supervisor *s, char *why, size_t why_len)
{
	struct msg_start start = {
		.domid		= s->opts.domid,
		.pvh		= s->opts.pvh,
		.topics		= log_topics,
		.sandbox	= s->opts.sandbox,
		.uid		= s->opts.uid,
	};
	int r;

	r = supervisor_spawn(s);
	if (r < 0) {
		snprintf(why, why_len, "cannot start a worker: %s",
			 strerror(-r));
		return r;
	}
	*why = '\0';
	r = supervisor_tell(s, &start);
	/* One that did not listen to the end may have said why. */
	if (r == 0 || r == -EPIPE)
		r = supervisor_await(s, why, why_len);
	if (r < 0 && !*why)
		r = supervisor_explain(s, r, why, why_len);
	logpipe_drain(s->log);		/* before what we say */
	return r;
}

static int supervisor_listen(struct supervisor *s, char *why, size_t why_len)
{
	int r;

	r = loop_fd_add(s->loop, s->sock, supervisor_on_sock, s,
			&s->sock_watch);
	if (!r)
		r = loop_fd_add(s->loop, s->pidfd, supervisor_on_end, s,
				&s->pid_watch);
	if (!r)
		r = logpipe_watch(s->log, s->loop);
	if (!r)
		r = loop_timer_add(s->loop, supervisor_on_patience, s,
				   &s->patience);
	if (r < 0)
		snprintf(why, why_len, "out of memory");
	return r;
}

int supervisor_open(struct loop *loop, const struct supervisor_opts *opts,
		    struct supervisor **ret, char *why, size_t why_len)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	s->loop = loop;
	s->opts = *opts;
	s->pidfd = s->sock = -1;
	r = supervisor_start(s, why, why_len);
	s->ready = r == 0;
	if (!r)
		r = supervisor_listen(s, why, why_len);
	if (r < 0) {
		supervisor_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void supervisor_stop(struct supervisor *s, bool gone)
{
	const struct msg_stop stop = { .gone = gone };

	s->stopping = true;
	if (!s->pid)
		return;
	/* If it does not listen, patience is what ends. */
	(void)msg_send(s->sock, MSG_STOP, &stop, NULL, 0, false);
	loop_timer_set(s->patience, gone ? STOP_GONE_MS : STOP_MS);
}

void supervisor_close(struct supervisor *s)
{
	const struct msg_stop stop = { 0 };
	int status, ms;

	if (!s)
		return;
	loop_timer_del(s->patience);
	loop_fd_del(s->pid_watch);
	loop_fd_del(s->sock_watch);
	if (s->pid) {
		(void)msg_send(s->sock, MSG_STOP, &stop, NULL, 0, false);
		/* One that has served nobody has nothing to finish. */
		ms = s->ready ? STOP_MS : STOP_GONE_MS;
		if (s->pidfd < 0 || !supervisor_reap(s, ms, &status))
			supervisor_kill(s);
		if (s->pid && s->pidfd >= 0)
			(void)supervisor_reap(s, KILLED_MS, &status);
		else if (s->pid)
			(void)waitpid(s->pid, &status, 0);
	}
	if (s->log)
		logpipe_drain(s->log);
	logpipe_close(s->log);
	if (s->sock >= 0)
		close(s->sock);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s);
}
