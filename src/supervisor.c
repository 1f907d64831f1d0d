/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c: see the header.  The other end is worker.c.
 *
 * Three descriptors tell of a worker: its socket, on which it has something to
 * say only where that was asked for; a pipe with its log lines; and a pidfd,
 * which alone says that it is gone.  It is reaped then, and nothing of it is
 * left but what it has registered with Xen: a guest that touches a device of a
 * worker that has crashed waits, as it would for a disk that does not answer.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devopen.h"
#include "log.h"
#include "logpipe.h"
#include "loop.h"
#include "msg.h"
#include "sandbox.h"
#include "state.h"
#include "supervisor.h"
#include "worker.h"

#define ANSWER_MS	60000	/* until it is ready, or has a device */
#define STOP_MS		15000	/* more than it gives its disks */
#define STOP_GONE_MS	3000
#define KILLED_MS	5000	/* a process that is killed goes, unless it */
				/* hangs in the kernel */

/* What may be said of a device next. */
enum stage {
	STAGE_NONE,
	STAGE_GIVEN,		/* ADDED or REFUSED */
	STAGE_ADDED,		/* RUNNING */
	STAGE_RUNNING,
	STAGE_LEAVING,		/* DETACHED; RUNNING may be under way */
};

struct supervisor {
	struct supervisor_opts	opts;
	struct loop		*loop;
	pid_t			pid;		/* 0: none, or reaped */
	int			pidfd;
	int			sock;
	bool			ready;
	bool			stopping;
	unsigned int		owed;		/* answers */
	uint8_t			*stage;		/* enum stage, by index */
	bool			limits_files;
	uint64_t		file_bytes;	/* as long as they may get */
	struct loop_fd		*pid_watch;
	struct loop_fd		*sock_watch;
	struct loop_timer	*patience;
	struct logpipe		*log;
	int			failed;		/* a FAILED's code; 0: none */
	char			why[MSG_TEXT_LEN];
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
	assert(s->pid > 0);		/* 0 would be all of us */
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

static void supervisor_tell(struct supervisor *s, enum supervisor_event event,
			    unsigned int index, int err, const char *why)
{
	const struct supervisor_news news = {
		.event	= event,
		.index	= index,
		.err	= err,
		.why	= why,
	};

	s->opts.news(s->opts.arg, &news);
}

/* How did it end?  Return: 0, or an error with s->why. */
static int supervisor_judge(struct supervisor *s, int status)
{
	char text[256];

	if (s->failed)
		return s->failed;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->stopping)
		return 0;
	*s->why = '\0';
	/* It has told why already, or should have. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_TOLD &&
	    logpipe_has_error(s->log))
		return -ECHILD;
	status_words(status, text, sizeof(text));
	snprintf(s->why, sizeof(s->why), "d%u: the worker %s%s", s->opts.domid,
		 text, s->ready ? "" : " before it was ready");
	return -ECHILD;
}

/* ---- listening ---- */

static void supervisor_owe(struct supervisor *s, int more)
{
	s->owed += (unsigned int)more;
	if (s->stopping)
		return;
	if (s->owed)
		loop_timer_set(s->patience, ANSWER_MS);
	else
		loop_timer_stop(s->patience);
}

/* Of a device of which that may be said? */
static int supervisor_step(struct supervisor *s, unsigned int index,
			   enum stage from, enum stage to)
{
	if (index >= state_count(s->opts.state) || s->stage[index] != from)
		return -EPROTO;
	s->stage[index] = to;
	return 0;
}

static int supervisor_on_ready(struct supervisor *s)
{
	if (s->ready || s->failed)
		return -EPROTO;
	s->ready = true;
	supervisor_owe(s, -1);
	supervisor_tell(s, SUPERVISOR_READY, 0, 0, "");
	return 0;
}

/* It ends by itself now, and only that is told. */
static int supervisor_on_failed(struct supervisor *s, const struct msg *msg)
{
	if (s->ready || s->failed || msg->text.code >= 0)
		return -EPROTO;
	s->failed = msg->text.code;
	snprintf(s->why, sizeof(s->why), "%s", msg->text.text);
	loop_timer_set(s->patience, STOP_GONE_MS);
	return 0;
}

static int supervisor_on_added(struct supervisor *s, unsigned int index)
{
	int r = supervisor_step(s, index, STAGE_GIVEN, STAGE_ADDED);

	if (r < 0)
		return r;
	supervisor_owe(s, -1);
	supervisor_tell(s, SUPERVISOR_ADDED, index, 0, "");
	return 0;
}

static int supervisor_on_refused(struct supervisor *s, const struct msg *msg)
{
	unsigned int index = msg->text.index;
	int r = supervisor_step(s, index, STAGE_GIVEN, STAGE_NONE);

	if (r < 0 || msg->text.code >= 0)
		return -EPROTO;
	supervisor_owe(s, -1);
	supervisor_tell(s, SUPERVISOR_REFUSED, index, msg->text.code,
			msg->text.text);
	return 0;
}

static int supervisor_on_running(struct supervisor *s, unsigned int index)
{
	int r;

	if (index < state_count(s->opts.state) &&
	    s->stage[index] == STAGE_LEAVING)
		return 0;
	r = supervisor_step(s, index, STAGE_ADDED, STAGE_RUNNING);
	if (r == 0)
		supervisor_tell(s, SUPERVISOR_RUNNING, index, 0, "");
	return r;
}

static int supervisor_on_detached(struct supervisor *s, unsigned int index)
{
	int r = supervisor_step(s, index, STAGE_LEAVING, STAGE_NONE);

	if (r == 0)
		supervisor_tell(s, SUPERVISOR_DETACHED, index, 0, "");
	return r;
}

static int supervisor_on_msg(struct supervisor *s, const struct msg *msg)
{
	switch (msg->head.type) {
	case MSG_READY:
		return supervisor_on_ready(s);
	case MSG_FAILED:
		return supervisor_on_failed(s, msg);
	case MSG_ADDED:
		return supervisor_on_added(s, msg->about.index);
	case MSG_REFUSED:
		return supervisor_on_refused(s, msg);
	case MSG_RUNNING:
		return supervisor_on_running(s, msg->about.index);
	case MSG_DETACHED:
		return supervisor_on_detached(s, msg->about.index);
	default:
		return -EPROTO;
	}
}

/* What it said before it went. */
static void supervisor_hear_out(struct supervisor *s)
{
	struct msg msg;

	while (msg_recv(s->sock, MSG_FROM_WORKER, false, &msg) == 0)
		if (msg.head.type == MSG_FAILED)
			(void)supervisor_on_failed(s, &msg);
}

static void supervisor_on_sock(void *arg)
{
	struct supervisor *s = arg;
	struct msg msg;
	int r = msg_recv(s->sock, MSG_FROM_WORKER, false, &msg);

	if (r == -EAGAIN)
		return;
	logpipe_drain(s->log);		/* before what we say */
	if (r == 0)
		r = supervisor_on_msg(s, &msg);
	if (r == 0)
		return;
	loop_fd_pause(s->sock_watch);
	if (r == -EPIPE) {		/* it is about to end */
		loop_timer_set(s->patience, STOP_GONE_MS);
		return;
	}
	log_error("d%u: the worker does not keep to what is agreed (%s): killing it",
		  s->opts.domid, strerror(-r));
	supervisor_kill(s);
}

/* ---- the end, and impatience ---- */

static void supervisor_on_end(void *arg)
{
	struct supervisor *s = arg;
	int status = 0, err;

	if (!supervisor_reap(s, 0, &status))
		return;
	if (!s->failed)			/* its last words: why */
		supervisor_hear_out(s);
	loop_fd_pause(s->pid_watch);
	loop_fd_pause(s->sock_watch);
	loop_timer_stop(s->patience);
	logpipe_drain(s->log);
	err = supervisor_judge(s, status);
	supervisor_tell(s, SUPERVISOR_ENDED, 0, err, s->why);
}

static void supervisor_on_patience(void *arg)
{
	struct supervisor *s = arg;

	log_error("d%u: the worker does not %s: killing it", s->opts.domid,
		  s->stopping ? "end" : "answer");
	supervisor_kill(s);
}

/* ---- the start ---- */

static int supervisor_listen(struct supervisor *s)
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
	return r;
}

static int supervisor_start(struct supervisor *s)
{
	struct msg_start start = {
		.domid		= s->opts.domid,
		.pvh		= s->opts.pvh,
		.topics		= log_topics,
		.sandbox	= s->opts.sandbox,
		.uid		= s->opts.uid,
		.limit_files	= s->limits_files,
		.grants		= s->opts.grants,
	};
	int fd = state_fd(s->opts.state);
	int r;

	s->stage = calloc(state_count(s->opts.state), sizeof(*s->stage));
	if (!s->stage)
		return -ENOMEM;
	r = supervisor_spawn(s);
	if (!r)
		r = supervisor_listen(s);
	if (!r)
		r = msg_send(s->sock, MSG_START, &start, &fd, 1, false);
	if (r == -EPIPE)		/* its end tells more */
		r = 0;
	if (!r)
		supervisor_owe(s, 1);
	return r;
}

int supervisor_open(struct loop *loop, const struct supervisor_opts *opts,
		    struct supervisor **ret, char *why, size_t why_len)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int r = -ENOMEM;

	if (s) {
		s->loop = loop;
		s->opts = *opts;
		s->pidfd = s->sock = -1;
		s->limits_files = opts->sandbox && sandbox_can_limit_files();
		r = supervisor_start(s);
	}
	if (r < 0) {
		snprintf(why, why_len, "d%u: cannot start a worker: %s",
			 opts->domid, strerror(-r));
		supervisor_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* ---- what it is told ---- */

/* One that may write to a file may not make it longer. */
static int supervisor_raise_limit(struct supervisor *s, uint64_t bytes)
{
	const struct rlimit rl = { .rlim_cur = bytes, .rlim_max = bytes };

	if (!s->limits_files || bytes <= s->file_bytes)
		return 0;
	if (prlimit(s->pid, RLIMIT_FSIZE, &rl, NULL) < 0)
		return -errno;
	s->file_bytes = bytes;
	return 0;
}

int supervisor_add(struct supervisor *s, struct devopen *dev)
{
	const struct devdesc *desc = devopen_desc(dev);
	int fds[DEVDESC_MAX_FDS];
	unsigned int i, n;
	int r = -ESRCH;

	assert(s->ready && s->stage[desc->index] == STAGE_NONE);
	n = devopen_take_fds(dev, fds);
	if (s->pid && !s->stopping)
		r = desc->kind == DEVSPEC_BLK && !desc->blk.info.readonly ?
		    supervisor_raise_limit(s, desc->blk.info.bytes) : 0;
	if (!r)
		r = msg_send(s->sock, MSG_DEVICE, desc, fds, n, false);
	for (i = 0; i < n; i++)
		close(fds[i]);
	if (r < 0)
		return r;
	s->stage[desc->index] = STAGE_GIVEN;
	supervisor_owe(s, 1);
	return 0;
}

static void supervisor_say(struct supervisor *s, enum msg_type type,
			   struct msg_about about)
{
	int r;

	if (!s->pid)
		return;
	r = msg_send(s->sock, type, &about, NULL, 0, false);
	if (r == 0 || r == -EPIPE)	/* its end is about to be told */
		return;
	log_error("d%u: the worker does not listen (%s): killing it",
		  s->opts.domid, strerror(-r));
	supervisor_kill(s);
}

void supervisor_detach(struct supervisor *s, unsigned int index)
{
	assert(s->stage[index] == STAGE_ADDED ||
	       s->stage[index] == STAGE_RUNNING);
	s->stage[index] = STAGE_LEAVING;
	supervisor_say(s, MSG_DETACH, (struct msg_about){ .index = index });
}

void supervisor_set_link(struct supervisor *s, unsigned int index, bool up)
{
	supervisor_say(s, MSG_LINK, (struct msg_about){ .index = index,
							.up = up });
}

int supervisor_resize(struct supervisor *s, unsigned int index,
		      uint64_t bytes)
{
	int r = s->pid ? supervisor_raise_limit(s, bytes) : -ESRCH;

	if (r == 0)
		supervisor_say(s, MSG_RESIZE,
			       (struct msg_about){ .index = index,
						   .bytes = bytes });
	return r;
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

pid_t supervisor_pid(const struct supervisor *s)
{
	return s->pid;
}

void supervisor_close(struct supervisor *s)
{
	int status;

	if (!s)
		return;
	loop_timer_del(s->patience);
	loop_fd_del(s->pid_watch);
	loop_fd_del(s->sock_watch);
	if (s->pid) {
		supervisor_kill(s);
		if (s->pidfd >= 0)
			(void)supervisor_reap(s, KILLED_MS, &status);
		else
			(void)waitpid(s->pid, &status, 0);
	}
	if (s->log)
		logpipe_drain(s->log);
	logpipe_close(s->log);
	if (s->sock >= 0)
		close(s->sock);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s->stage);
	free(s);
}
