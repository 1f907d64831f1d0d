/* SPDX-License-Identifier: MIT */
/*
 * test_supervisor.c: workers that do not do what they are there for.  This
 * program plays them itself, when the supervisor executes it anew: a part is a
 * line of words, those that are heard and those that are said.
 *
 *	"start ready device added=0 running=0 detach detached=0 stop exit=0"
 *
 * What the supervisor tells of them becomes words as well, and answers to
 * these are another such line: "ready:add running:detach detached:stop".
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "devopen.h"
#include "log.h"
#include "loop.h"
#include "msg.h"
#include "sandbox.h"
#include "state.h"
#include "supervisor.h"
#include "unit.h"
#include "util.h"
#include "worker.h"

#define PLAY	"TEST_SUPERVISOR_PLAYS"

/* ---- the workers ---- */

static void say(enum msg_type type, const void *body)
{
	if (msg_send(WORKER_FD, type, body, NULL, 0, true) < 0)
		_exit(99);
}

static void hear(enum msg_type type, struct msg *ret)
{
	unsigned int i;

	do {
		if (msg_recv(WORKER_FD, MSG_FROM_SUPERVISOR, true, ret) < 0)
			_exit(98);
		for (i = 0; i < ret->head.nfds; i++)
			close(ret->fds[i]);
	} while (ret->head.type != type);
}

static void say_text(enum msg_type type, int code, unsigned int index)
{
	const struct msg_text text = { code, index, "no room" };

	say(type, &text);
}

static void log_text(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(97);
}

static void send_raw(const void *data, size_t len)
{
	(void)send(WORKER_FD, data, len, 0);
}

static void send_head(uint16_t version, enum msg_type type, uint32_t bytes)
{
	struct msg_head head = { MSG_MAGIC, version, (uint16_t)type, bytes, 0 };

	send_raw(&head, sizeof(head));
}

static void send_fd(void)
{
	union {
		struct cmsghdr	c;
		char		room[CMSG_SPACE(sizeof(int))];
	} control = { .c = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msg_head head = { MSG_MAGIC, MSG_VERSION, MSG_READY, 0, 1 };
	struct iovec iov = { &head, sizeof(head) };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	*(int *)(void *)CMSG_DATA(&control.c) = WORKER_FD;
	(void)sendmsg(WORKER_FD, &mh, 0);
}

static void hear_start(void)
{
	struct msg msg;

	hear(MSG_START, &msg);
	if (msg.start.domid != 7 || !msg.start.pvh || !msg.start.sandbox ||
	    msg.start.uid != 1007)
		_exit(96);
}

static void play_hear(enum msg_type type, unsigned int want)
{
	struct msg msg;

	hear(type, &msg);
	if (type == MSG_LINK && (msg.about.index != 0 || msg.about.up != want))
		_exit(95);
	if (type == MSG_RESIZE && msg.about.bytes != want)
		_exit(94);
	if (type == MSG_STOP && msg.stop.gone != want)
		_exit(93);
}

/* Return: whether that was a word that is heard. */
static bool play_heard(const char *word, unsigned int n)
{
	static const struct {
		const char	*word;
		enum msg_type	type;
	} t[] = {
		{ "device", MSG_DEVICE }, { "detach", MSG_DETACH },
		{ "link", MSG_LINK }, { "resize", MSG_RESIZE },
		{ "stop", MSG_STOP },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		if (strcmp(word, t[i].word) == 0) {
			play_hear(t[i].type, n);
			return true;
		}
	return false;
}

static bool play_said(const char *word, unsigned int n)
{
	const struct msg_about about = { .index = n };

	if (!strcmp(word, "ready"))
		say(MSG_READY, NULL);
	else if (!strcmp(word, "failed"))
		say_text(MSG_FAILED, -ENOSPC, 0);
	else if (!strcmp(word, "failed-well"))
		say_text(MSG_FAILED, 0, 0);
	else if (!strcmp(word, "added"))
		say(MSG_ADDED, &about);
	else if (!strcmp(word, "refused"))
		say_text(MSG_REFUSED, -ENOSPC, n);
	else if (!strcmp(word, "refused-well"))
		say_text(MSG_REFUSED, 0, n);
	else if (!strcmp(word, "running"))
		say(MSG_RUNNING, &about);
	else if (!strcmp(word, "detached"))
		say(MSG_DETACHED, &about);
	else if (!strcmp(word, "stop!"))
		send_head(MSG_VERSION, MSG_STOP, sizeof(struct msg_stop));
	else
		return false;
	return true;
}

static void play_done(const char *word, unsigned int n)
{
	if (!strcmp(word, "start"))
		hear_start();
	else if (!strcmp(word, "exit"))
		_exit((int)n);
	else if (!strcmp(word, "raise"))
		(void)raise((int)n);
	else if (!strcmp(word, "nap"))
		(void)usleep(n * 1000);
	else if (!strcmp(word, "info"))
		log_text("<6>d7: registered\n");
	else if (!strcmp(word, "error"))
		log_text("<3>d7: this is why\n");
	else if (!strcmp(word, "newer"))
		send_head(MSG_VERSION + 1, MSG_READY, 0);
	else if (!strcmp(word, "garbage"))
		send_raw("Lorem ipsum dolor sit amet", 26);
	else if (!strcmp(word, "short"))
		send_raw("VXD", 3);
	else if (!strcmp(word, "empty"))
		send_raw("", 0);
	else if (!strcmp(word, "fd"))
		send_fd();
	else if (!strcmp(word, "close"))
		close(WORKER_FD);
	else
		_exit(92);
}

static void play(char *part)
{
	char *word, *number;
	unsigned int n;

	(void)alarm(60);
	for (word = strtok(part, " "); word; word = strtok(NULL, " ")) {
		number = strchr(word, '=');
		n = number ? (unsigned int)strtoul(number + 1, NULL, 10) : 0;
		if (number)
			*number = '\0';
		if (!play_heard(word, n) && !play_said(word, n))
			play_done(word, n);
	}
	for (;;)
		(void)pause();
}

/* ---- what is this file's own ---- */

static struct supervisor *sv;

/* A minute is long: here it is less, where a test is about to wait for it. */
static unsigned int hurry;		/* divides what is waited for */

struct event;
int event_add(struct event *ev, const struct timeval *tv);

int event_add(struct event *ev, const struct timeval *tv)
{
	static int (*real)(struct event *, const struct timeval *);
	struct timeval less;
	long long us;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "event_add");
	if (!tv || !hurry || tv->tv_sec < 1)
		return real(ev, tv);
	us = (tv->tv_sec * 1000000ll + tv->tv_usec) / hurry;
	less.tv_sec = (time_t)(us / 1000000);
	less.tv_usec = (suseconds_t)(us % 1000000);
	return real(ev, &less);
}

/* What has happened at once is seen in the other order. */
static bool backwards;

int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	static int (*real)(int, struct epoll_event *, int, int);
	struct epoll_event e;
	int i, n;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
	n = real(fd, events, max, ms);
	for (i = 0; backwards && i < n / 2; i++) {
		e = events[i];
		events[i] = events[n - 1 - i];
		events[n - 1 - i] = e;
	}
	return n;
}

static int refuse_fork, refuse_pair;	/* an errno; 0: do not */

pid_t fork(void)
{
	static pid_t (*real)(void);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fork");
	if (!refuse_fork)
		return real();
	errno = refuse_fork;
	return -1;
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
	static int (*real)(int, int, int, int *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "socketpair");
	if (!refuse_pair)
		return real(domain, type, protocol, pair);
	errno = refuse_pair;
	return -1;
}

/* Limits: what was last set, as to raise one again takes a right. */
static bool limits_files;
static int refuse_limit;
static rlim_t limit;
static unsigned int nlimits;

bool sandbox_can_limit_files(void)
{
	return limits_files;
}

int prlimit(pid_t pid, enum __rlimit_resource what,
	    const struct rlimit *set, struct rlimit *old)
{
	assert_int_equal(pid, supervisor_pid(sv));
	assert_int_equal(what, RLIMIT_FSIZE);
	assert_null(old);
	assert_int_equal(set->rlim_cur, set->rlim_max);
	if (refuse_limit) {
		errno = refuse_limit;
		return -1;
	}
	limit = set->rlim_max;
	nlimits++;
	return 0;
}

/* A device has descriptors, and that is all that is asked here. */
struct devopen {
	struct devdesc	desc;
	int		fd[3];
};

const struct devdesc *devopen_desc(const struct devopen *dev)
{
	return &dev->desc;
}

unsigned int devopen_take_fds(struct devopen *dev, int ret[DEVDESC_MAX_FDS])
{
	memcpy(ret, dev->fd, sizeof(dev->fd));
	return ARRAY_SIZE(dev->fd);
}

/* ---- what becomes of them ---- */

#define ROOM	3

static struct unit_capture cap;
static struct loop *loop;
static struct loop_timer *timer;
static struct state *st;
static const char *react;
static char trail[1024];
static unsigned int nended;
static unsigned int nfds;

static unsigned int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Its descriptors are closed here, whatever is returned. */
static int add_disk(unsigned int index, uint64_t bytes, bool readonly)
{
	struct devopen dev = { .desc = {
		.kind = DEVSPEC_BLK, .domid = 7, .index = index,
	} };
	unsigned int i;
	int r;

	dev.desc.blk.info.bytes = bytes;
	dev.desc.blk.info.readonly = readonly;
	for (i = 0; i < ARRAY_SIZE(dev.fd); i++) {
		dev.fd[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		assert_true(dev.fd[i] >= 0);
	}
	r = supervisor_add(sv, &dev);
	for (i = 0; i < ARRAY_SIZE(dev.fd); i++)
		assert_int_equal(fcntl(dev.fd[i], F_GETFD), -1);
	return r;
}

static int add(unsigned int index)
{
	return add_disk(index, 512, true);
}

static bool answer_is(const char *event, const char *what)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s:%s", event, what);
	return strstr(react, text) != NULL;
}

static void answer(const char *event, unsigned int index)
{
	if (answer_is(event, "add"))
		assert_int_equal(add(index), 0);
	if (answer_is(event, "add2"))
		assert_int_equal(add(1), 0);
	if (answer_is(event, "out"))
		supervisor_set_link(sv, index, false);
	if (answer_is(event, "in"))
		supervisor_set_link(sv, index, true);
	if (answer_is(event, "grow"))
		assert_int_equal(supervisor_resize(sv, index, 4096), 0);
	if (answer_is(event, "detach"))
		supervisor_detach(sv, index);
	if (answer_is(event, "stop"))
		supervisor_stop(sv, false);
	if (answer_is(event, "gone"))
		supervisor_stop(sv, true);
	if (answer_is(event, "close")) {
		supervisor_close(sv);
		sv = NULL;
	}
	if (answer_is(event, "halt"))
		loop_stop(loop, 0);
}

static void on_news(void *arg, const struct supervisor_news *news)
{
	static const char *const words[] = {
		"ready", "added", "refused", "running", "detached", "ended"
	};
	size_t len = strlen(trail);

	assert_ptr_equal(arg, &sv);
	assert_int_equal(nended, 0);
	assert_non_null(news->why);
	if (news->err)
		(void)snprintf(trail + len, sizeof(trail) - len,
			       "%s%u(%d '%s') ", words[news->event],
			       news->index, news->err, news->why);
	else
		(void)snprintf(trail + len, sizeof(trail) - len, "%s%u ",
			       words[news->event], news->index);
	if (news->event == SUPERVISOR_ENDED) {
		nended++;
		assert_int_equal(supervisor_pid(sv), 0);
		loop_stop(loop, 0);
	}
	answer(words[news->event], news->index);
}

static void on_timer(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* What comes within so long. */
static void run_for(unsigned int ms)
{
	loop_timer_set(timer, ms);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_stop(timer);
}

static int setup(void **state)
{
	(void)state;
	(void)alarm(120);
	log_init("xvd", true);
	hurry = 0;
	backwards = false;
	refuse_fork = refuse_pair = refuse_limit = 0;
	limits_files = false;
	limit = nlimits = 0;
	sv = NULL;
	nfds = open_fds();
	return loop_open(&loop) || state_open(ROOM, &st) ||
	       loop_timer_add(loop, on_timer, NULL, &timer);
}

/* Nothing is left: no descriptor, no process, no zombie. */
static int teardown(void **state)
{
	(void)state;
	supervisor_close(sv);
	loop_timer_del(timer);
	loop_close(loop);
	state_close(st);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(open_fds(), nfds);
	return 0;
}

static int try_start(const char *part, const char *answers, char why[256])
{
	const struct supervisor_opts opts = {
		.domid = 7, .pvh = true, .sandbox = true, .uid = 1007,
		.state = st, .news = on_news, .arg = &sv,
	};

	trail[0] = '\0';
	nended = 0;
	react = answers;
	assert_int_equal(setenv(PLAY, part, 1), 0);
	return supervisor_open(loop, &opts, &sv, why, 256);
}

static void start(const char *part, const char *answers)
{
	char why[256] = "";

	if (try_start(part, answers, why) < 0)
		fail_msg("%s", why);
	assert_true(supervisor_pid(sv) > 0);
}

/* From its start to its end, which is told once and is the last. */
static void run(const char *part, const char *answers, const char *want,
		const char *want_log)
{
	const char *log;

	unit_capture_start(&cap, STDERR_FILENO);
	start(part, answers);
	assert_int_equal(loop_run(loop), 0);
	supervisor_stop(sv, true);		/* is late, and fine */
	run_for(1);
	supervisor_close(sv);
	sv = NULL;
	log = unit_capture_end(&cap);
	if (nended != 1 || strcmp(trail, want) != 0 ||
	    strcmp(log, want_log) != 0)
		fail_msg("%s:\n'%s' '%s'", part, trail, log);
}

#define ENDED(how)	"ended0(-10 'd7: the worker " how "') "
#define KILLED		ENDED("was ended by signal 9 (Killed)")
#define EARLY		" before it was ready"
#define KILLED_EARLY	ENDED("was ended by signal 9 (Killed)" EARLY)
#define FAILED		"ended0(-28 'no room') "
#define BREAKS(how)	"<3>d7: the worker does not keep to what is agreed (" how "): killing it\n"
#define PROTO		BREAKS("Protocol error")
#define SILENT		"<3>d7: the worker does not answer: killing it\n"
#define HANGS		"<3>d7: the worker does not end: killing it\n"

/* ---- the start ---- */

static void test_no_start(void **state)
{
	unsigned int i;

	(void)state;
	run("exit=9", "", ENDED("ended with status 9" EARLY), "");
	run("start exit=0", "", ENDED("ended with status 0" EARLY), "");
	run("raise=6", "", ENDED("was ended by signal 6 (Aborted)" EARLY), "");
	run("start info failed exit=3", "", FAILED, "<6>d7: registered\n");
	run("start failed raise=6", "", FAILED, "");
	for (i = 0; i < 30; i++)		/* last words are heard */
		run("start failed exit=3", "", FAILED, "");
	run("start error exit=3", "", "ended0(-10 '') ",
	    "<3>d7: this is why\n");
	run("start exit=3", "", ENDED("ended with status 3" EARLY), "");
}

static void test_start_breaks_the_rules(void **state)
{
	(void)state;
	run("newer", "", KILLED_EARLY, BREAKS("Protocol not supported"));
	run("start failed-well", "", KILLED_EARLY, PROTO);
	run("start added=0", "", KILLED_EARLY, PROTO);
	run("start failed failed", "", FAILED, PROTO);
	run("start failed ready", "", FAILED, PROTO);
}

/* Who has served nobody has nothing to finish. */
static void test_no_start_no_end(void **state)
{
	uint64_t begin = loop_now_ms();

	(void)state;
	run("start failed", "", FAILED, SILENT);
	assert_in_range(loop_now_ms() - begin, 500, 10000);
}

/* Its last words and its end are there at once, and so is why it is killed. */
static void run_late(const char *part, const char *want, const char *want_log)
{
	const char *log;

	unit_capture_start(&cap, STDERR_FILENO);
	start(part, "");
	(void)usleep(200000);
	backwards = true;
	assert_int_equal(loop_run(loop), 0);
	backwards = false;
	supervisor_close(sv);
	sv = NULL;
	log = unit_capture_end(&cap);
	if (strcmp(trail, want) != 0 || strcmp(log, want_log) != 0)
		fail_msg("%s:\n'%s' '%s'", part, trail, log);
}

static void test_seen_late(void **state)
{
	(void)state;
	run_late("start info failed exit=3", FAILED, "<6>d7: registered\n");
	run_late("start error exit=3", "ended0(-10 '') ",
		 "<3>d7: this is why\n");
	run_late("start info added=0", KILLED_EARLY,
		 "<6>d7: registered\n" PROTO);
}

/* A minute for an answer, by a clock that runs two hundred times as fast. */
static void test_patience(void **state)
{
	uint64_t begin = loop_now_ms();

	(void)state;
	hurry = 200;
	run("start", "", KILLED_EARLY, SILENT);
	assert_in_range(loop_now_ms() - begin, 280, 10000);
	run("start ready device", "ready:add", "ready0 " KILLED, SILENT);
	/* one is answered, the other is not */
	run("start ready device device added=0", "ready:add2",
	    "ready0 added0 " KILLED, SILENT);

	/* Late is early enough; and nobody waits where nothing is owed. */
	hurry = 20;
	run("start nap=200 ready stop exit=0", "ready:stop", "ready0 ended0 ",
	    "");
	hurry = 200;
	run("start ready nap=400 exit=9", "", "ready0 "
	    ENDED("ended with status 9"), "");
	run("start ready device added=0 nap=400 exit=9", "ready:add",
	    "ready0 added0 " ENDED("ended with status 9"), "");
	run("start ready device refused=0 nap=400 exit=9", "ready:add",
	    "ready0 refused0(-28 'no room') " ENDED("ended with status 9"),
	    "");
}

static void test_no_process(void **state)
{
	char why[256] = "";

	(void)state;
	refuse_fork = EAGAIN;
	assert_int_equal(try_start("start", "", why), -EAGAIN);
	assert_string_equal(why, "d7: cannot start a worker: Resource temporarily unavailable");
	refuse_fork = 0;
	refuse_pair = EMFILE;
	assert_int_equal(try_start("start", "", why), -EMFILE);
	assert_string_equal(why, "d7: cannot start a worker: Too many open files");
	assert_null(sv);
}

/* ---- devices ---- */

static void test_life(void **state)
{
	(void)state;
	run("start ready device added=0 running=0 detach detached=0 stop exit=0",
	    "ready:add running:detach detached:stop",
	    "ready0 added0 running0 detached0 ended0 ", "");
	run("start ready device added=0 device refused=1 running=0 stop exit=0",
	    "ready:add2 running:stop",
	    "ready0 added0 refused1(-28 'no room') running0 ended0 ", "");
	/* ... and its place can be had again */
	run("start ready device refused=0 device added=0 stop exit=0",
	    "ready:add refused:add added:stop",
	    "ready0 refused0(-28 'no room') added0 ended0 ", "");
	run("start ready device added=0 detach detached=0 device refused=0 stop exit=0",
	    "ready:add added:detach detached:add refused:stop",
	    "ready0 added0 detached0 refused0(-28 'no room') ended0 ", "");
	run("start ready device added=0 link=0 resize=4096 running=0 link=1 stop=1 exit=0",
	    "ready:add added:out added:grow running:in running:gone",
	    "ready0 added0 running0 ended0 ", "");
	/* what is said to it between STOP and its end is no offence */
	run("start ready device stop added=0 running=0 nap=200 exit=0",
	    "ready:add ready:stop", "ready0 added0 running0 ended0 ", "");
}

/* It is taken away just when its driver starts it. */
static void test_running_while_leaving(void **state)
{
	(void)state;
	run("start ready device added=0 detach running=0 detached=0 stop exit=0",
	    "ready:add added:detach detached:stop",
	    "ready0 added0 detached0 ended0 ", "");
	run("start ready device added=0 detach detached=0 running=0",
	    "ready:add added:detach", "ready0 added0 detached0 " KILLED,
	    PROTO);
}

static void test_breaks_the_rules(void **state)
{
	static const struct {
		const char	*part, *answers, *want;
	} t[] = {
		/* said twice, or in vain */
		{ "ready", "", "" },
		{ "failed", "", "" },
		{ "stop!", "", "" },
		/* of a device that it was never given */
		{ "added=0", "", "" },
		{ "added=3", "", "" },
		{ "added=4294967295", "", "" },
		{ "refused=0", "", "" },
		{ "refused=3", "", "" },
		{ "refused=4294967295", "", "" },
		{ "running=0", "", "" },
		{ "running=3", "", "" },
		{ "running=4294967295", "", "" },
		{ "detached=0", "", "" },
		{ "detached=3", "", "" },
		{ "detached=4294967295", "", "" },
		{ "device added=1", "ready:add", "" },
		/* in the wrong order */
		{ "device running=0", "ready:add", "" },
		{ "device detached=0", "ready:add", "" },
		{ "device refused-well=0", "ready:add", "" },
		{ "device added=0 added=0", "ready:add", "added0 " },
		{ "device added=0 refused=0", "ready:add", "added0 " },
		{ "device added=0 detached=0", "ready:add", "added0 " },
		{ "device added=0 running=0 running=0", "ready:add",
		  "added0 running0 " },
		{ "device added=0 running=0 detached=0", "ready:add",
		  "added0 running0 " },
		{ "device refused=0 added=0", "ready:add",
		  "refused0(-28 'no room') " },
		{ "device refused=0 refused=0", "ready:add",
		  "refused0(-28 'no room') " },
		{ "device added=0 detach added=0", "ready:add added:detach",
		  "added0 " },
		{ "device added=0 detach refused=0", "ready:add added:detach",
		  "added0 " },
		{ "device added=0 detach detached=0 detached=0",
		  "ready:add added:detach", "added0 detached0 " },
	};
	char part[128], want[256];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		(void)snprintf(part, sizeof(part), "start ready %s", t[i].part);
		(void)snprintf(want, sizeof(want), "ready0 %s" KILLED,
			       t[i].want);
		run(part, t[i].answers, want, PROTO);
	}
}

/* No message at all, or one that is not for us. */
static void test_garbage(void **state)
{
	(void)state;
	run("start ready garbage", "", "ready0 " KILLED, PROTO);
	run("start ready short", "", "ready0 " KILLED,
	    BREAKS("Message too long"));
	run("start ready fd", "", "ready0 " KILLED,
	    BREAKS("Bad file descriptor"));
	run("start garbage", "", KILLED_EARLY, PROTO);
	/* The end of the socket is not that of the process. */
	hurry = 10;
	run("start ready close", "", "ready0 " KILLED, SILENT);
	run("start ready empty", "", "ready0 " KILLED, SILENT);
	hurry = 0;
	run("start ready close exit=3", "", "ready0 "
	    ENDED("ended with status 3"), "");
}

/* ---- the end ---- */

static void test_ends(void **state)
{
	(void)state;
	run("start ready stop exit=0", "ready:stop", "ready0 ended0 ", "");
	run("start ready exit=0", "", "ready0 " ENDED("ended with status 0"),
	    "");
	run("start ready error exit=3", "", "ready0 ended0(-10 '') ",
	    "<3>d7: this is why\n");
	run("start ready exit=3", "", "ready0 " ENDED("ended with status 3"),
	    "");
	run("start ready raise=31", "", "ready0 "
	    ENDED("was ended by signal 31 (Bad system call); its sandbox refused a system call, which the kernel's log names"),
	    "");
	/* asked to end, and not all was answered */
	run("start ready stop exit=3", "ready:stop", "ready0 "
	    ENDED("ended with status 3"), "");
	run("start ready stop error exit=3", "ready:stop",
	    "ready0 ended0(-10 '') ", "<3>d7: this is why\n");
	run("start ready stop raise=6", "ready:stop", "ready0 "
	    ENDED("was ended by signal 6 (Aborted)"), "");
	/* before it was ready */
	run("start nap=50 ready stop exit=0", "ready:stop", "ready0 ended0 ",
	    "");
}

/* The guest is gone, and the worker does not care. */
static void test_deaf(void **state)
{
	uint64_t begin = loop_now_ms();

	(void)state;
	run("start ready", "ready:stop ready:gone", "ready0 " KILLED, HANGS);
	assert_in_range(loop_now_ms() - begin, 1400, 10000);
	hurry = 50;
	run("start ready", "ready:stop", "ready0 " KILLED, HANGS);
	run("start ready device added=0", "ready:add added:stop",
	    "ready0 added0 " KILLED, HANGS);
	/* what it still says makes it no better */
	run("start ready device stop added=0", "ready:add ready:stop",
	    "ready0 added0 " KILLED, HANGS);
}

/* Nobody is impatient with one that has ended: there is nobody to kill. */
static void test_end_of_patience(void **state)
{
	(void)state;
	hurry = 200;
	unit_capture_start(&cap, STDERR_FILENO);
	start("start exit=9", "");
	assert_int_equal(loop_run(loop), 0);
	supervisor_stop(sv, false);
	run_for(450);
	assert_string_equal(unit_capture_end(&cap), "");
	assert_string_equal(trail, ENDED("ended with status 9" EARLY));
}

static void test_stopped_early(void **state)
{
	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	start("start stop=1 exit=0", "");
	supervisor_stop(sv, true);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(unit_capture_end(&cap), "");
	assert_string_equal(trail, "ended0 ");
}

/* Nothing is told of one that is closed, and nothing waits for it. */
static void test_closed(void **state)
{
	(void)state;
	unit_capture_start(&cap, STDERR_FILENO);
	start("start info ready device added=0 running=0", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(add(0), 0);
	(void)usleep(100000);			/* it is said by now */
	supervisor_close(sv);
	sv = NULL;
	run_for(50);
	assert_string_equal(unit_capture_end(&cap), "<6>d7: registered\n");
	assert_string_equal(trail, "ready0 ");
	supervisor_close(NULL);
}

static void test_closed_from_news(void **state)
{
	(void)state;
	start("start ready", "ready:close ready:halt");
	assert_int_equal(loop_run(loop), 0);
	run_for(20);
	assert_string_equal(trail, "ready0 ");
	start("start ready device added=0 running=0",
	      "ready:add running:close running:halt");
	assert_int_equal(loop_run(loop), 0);
	run_for(20);
	assert_string_equal(trail, "ready0 added0 running0 ");
	start("start exit=0", "ended:close");
	assert_int_equal(loop_run(loop), 0);
	run_for(20);
	assert_string_equal(trail, ENDED("ended with status 0" EARLY));
}

/* ---- one that does not listen ---- */

/* As many devices as the socket holds, and one more. */
static void test_full(void **state)
{
	unsigned int i, before;
	int r = 0;

	(void)state;
	state_close(st);
	assert_int_equal(state_open(2000, &st), 0);
	start("start ready", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	before = open_fds();
	for (i = 0; i < 2000 && r == 0; i++)
		r = add(i);
	assert_int_equal(r, -EAGAIN);
	assert_true(i > 10);
	assert_int_equal(open_fds(), before);
	assert_true(supervisor_pid(sv) > 0);

	/* What cannot be lost ends it. */
	unit_capture_start(&cap, STDERR_FILENO);
	supervisor_set_link(sv, 0, false);
	assert_string_equal(unit_capture_end(&cap), "<3>d7: the worker does not listen (Resource temporarily unavailable): killing it\n");
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trail, "ready0 " KILLED);
}

/* One that has ended, or is about to, takes no device and hears nothing. */
static void test_add_late(void **state)
{
	(void)state;
	start("start ready stop exit=0", "ready:stop ready:halt");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(add(0), -ESRCH);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trail, "ready0 ended0 ");
	assert_int_equal(add(1), -ESRCH);
	supervisor_set_link(sv, 0, true);
	assert_int_equal(supervisor_resize(sv, 0, 4096), -ESRCH);
	supervisor_close(sv);

	start("start ready exit=0", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	(void)usleep(100000);			/* gone, and not yet reaped */
	assert_int_equal(add(0), -EPIPE);
	unit_capture_start(&cap, STDERR_FILENO);
	supervisor_set_link(sv, 0, true);
	assert_string_equal(unit_capture_end(&cap), "");
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trail, "ready0 " ENDED("ended with status 0"));
}

/* ---- how far it may write ---- */

/* As far as its longest disk, and no further. */
static void test_limit(void **state)
{
	(void)state;
	limits_files = true;
	start("start ready", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(add_disk(0, 1u << 30, true), 0);
	assert_int_equal(nlimits, 0);		/* it may not write at all */
	assert_int_equal(add_disk(1, 1u << 20, false), 0);
	assert_int_equal(limit, 1u << 20);
	assert_int_equal(add_disk(2, 1u << 16, false), 0);
	assert_int_equal(supervisor_resize(sv, 2, 1u << 19), 0);
	assert_int_equal(nlimits, 1);
	assert_int_equal(supervisor_resize(sv, 2, 1u << 21), 0);
	assert_int_equal(limit, 1u << 21);
	assert_int_equal(nlimits, 2);
}

/* Without that nobody could write to it: so it is not had. */
static void test_limit_refused(void **state)
{
	(void)state;
	limits_files = true;
	refuse_limit = EPERM;
	start("start ready device=0 added=0", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(add_disk(0, 1u << 20, false), -EPERM);
	assert_int_equal(add_disk(0, 1u << 20, true), 0);
	assert_int_equal(supervisor_resize(sv, 0, 1u << 21), -EPERM);
	refuse_limit = 0;
	assert_int_equal(supervisor_resize(sv, 0, 1u << 21), 0);
	assert_int_equal(limit, 1u << 21);
}

static void test_no_limit(void **state)
{
	(void)state;
	start("start ready", "ready:halt");
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(add_disk(0, 1u << 20, false), 0);
	assert_int_equal(supervisor_resize(sv, 0, 1u << 21), 0);
	assert_int_equal(nlimits, 0);
}

#define SV_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	SV_TEST(test_no_start),
	SV_TEST(test_start_breaks_the_rules),
	SV_TEST(test_no_start_no_end),
	SV_TEST(test_seen_late),
	SV_TEST(test_patience),
	SV_TEST(test_no_process),
	SV_TEST(test_life),
	SV_TEST(test_running_while_leaving),
	SV_TEST(test_breaks_the_rules),
	SV_TEST(test_garbage),
	SV_TEST(test_ends),
	SV_TEST(test_deaf),
	SV_TEST(test_end_of_patience),
	SV_TEST(test_stopped_early),
	SV_TEST(test_closed),
	SV_TEST(test_closed_from_news),
	SV_TEST(test_full),
	SV_TEST(test_add_late),
	SV_TEST(test_limit),
	SV_TEST(test_limit_refused),
	SV_TEST(test_no_limit),
};

int main(int argc, char **argv)
{
	char *part = getenv(PLAY);

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && part && strcmp(argv[1], WORKER_ARG) == 0)
		play(part);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
