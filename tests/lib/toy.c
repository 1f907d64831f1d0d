/* SPDX-License-Identifier: MIT */
/* The toy guest: see toy.h. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toy.h"

#define MMIO_WINDOW	0xe0000000ul
#define PIO_WINDOW	0xc000
#define FIRST_GPA	0x100000ul

static void __attribute__((noreturn, format(printf, 1, 2)))
toy_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "toy: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	abort();
}

static int64_t toy_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

int64_t toy_now_ms(void)
{
	return toy_now_us() / 1000;
}

/* ---- faults of the daemon ---- */

void toy_set_fault(struct toy *t, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&t->fault_lock);
	if (!t->fault[0]) {
		va_start(ap, fmt);
		vsnprintf(t->fault, sizeof(t->fault), fmt, ap);
		va_end(ap);
		fprintf(stderr, "# toy: %s\n", t->fault);
	}
	pthread_mutex_unlock(&t->fault_lock);
}

const char *toy_fault(struct toy *t)
{
	const char *text;

	pthread_mutex_lock(&t->fault_lock);
	text = t->fault[0] ? t->fault : NULL;
	pthread_mutex_unlock(&t->fault_lock);
	return text;
}

void toy_clear_fault(struct toy *t)
{
	pthread_mutex_lock(&t->fault_lock);
	t->fault[0] = '\0';
	pthread_mutex_unlock(&t->fault_lock);
}

/* ---- the domain ---- */

static void toy_map_frame(struct toy *t, uint8_t *at, uint32_t frame,
			  uint32_t n)
{
	void *p;

	if (frame)
		p = mmap(at, (size_t)n * HYP_PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, t->xen.ram_fd,
			 (uint64_t)(frame - 1) * HYP_PAGE);
	else
		p = mmap(at, (size_t)n * HYP_PAGE, PROT_NONE, MAP_PRIVATE |
			 MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		toy_die("mmap of guest RAM: %m");
}

static uint8_t *toy_map_block(struct toy *t, const uint32_t *frame, uint32_t n)
{
	uint8_t *p;

	if (!n)
		return NULL;
	p = mmap(NULL, (size_t)n * HYP_PAGE, PROT_NONE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		toy_die("mmap of guest RAM: %m");
	toy_map_frame(t, p, frame[0], n);	/* new: frames in a row */
	return p;
}

struct toy *toy_new(const struct toy_conf *conf)
{
	const char *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	const struct toy_conf none = { 0 };
	struct toy *t = calloc(1, sizeof(*t));
	uint32_t domid, low, high;
	int r;

	if (!t)
		toy_die("no memory");
	if (!conf)
		conf = &none;
	/* A daemon claims slots machine-wide, and tests run in parallel. */
	domid = conf->domid ? conf->domid : 1 + (uint32_t)getpid() % 32000;
	low = (conf->low_mb ? conf->low_mb : 32) << 8;
	high = conf->high_mb << 8;

	/* Orphans of --background come to us; writing to a dead daemon's
	 * fifo is no reason to die. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);

	snprintf(t->dir, sizeof(t->dir), "%s/toy-XXXXXX", base);
	if (!mkdtemp(t->dir))
		toy_die("mkdtemp %s: %m", t->dir);
	(void)chmod(t->dir, 0777);
	r = hyp_create(t->dir, &t->xen);
	if (!r)
		r = hyp_domain_add(&t->xen, domid,
				   conf->name ? conf->name : "toy", conf->type,
				   conf->vcpus ? conf->vcpus : 1, low, high);
	if (r)
		toy_die("no domain: %s", strerror(-r));
	t->dom = hyp_domain_find(t->xen.hyp, domid);
	t->low = toy_map_block(t, t->dom->frame, low);
	t->high = toy_map_block(t, t->dom->frame + low, high);
	t->next_gpa = FIRST_GPA;
	t->next_mmio = MMIO_WINDOW;
	t->next_pio = PIO_WINDOW;
	t->io_ms = TOY_MS;
	pthread_mutex_init(&t->cfg_lock, NULL);
	pthread_mutex_init(&t->fault_lock, NULL);
	return t;
}

static void toy_rm_dir(const char *dir)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	if (!dir[0])
		return;
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void toy_proc_close(struct toy_proc *p)
{
	if (p->notify_fd >= 0)
		close(p->notify_fd);
	if (p->pidfd >= 0)
		close(p->pidfd);
	free(p->log_text);
}

void toy_free(struct toy *t)
{
	uint32_t low, high;
	int i;

	if (!t)
		return;
	low = t->dom->low_pages;
	high = t->dom->high_pages;
	for (i = 0; i < t->nr_procs; i++) {
		struct toy_proc *p = &t->proc[i];

		if (p->status == -EAGAIN) {
			toy_kill(p, SIGKILL);
			toy_exit(p, TOY_MS);
		}
		toy_proc_close(p);
	}
	if (t->low)
		munmap(t->low, (size_t)low * HYP_PAGE);
	if (t->high)
		munmap(t->high, (size_t)high * HYP_PAGE);
	hyp_detach(&t->xen);
	toy_rm_dir(t->dir);
	toy_rm_dir(t->disk_dir);
	pthread_mutex_destroy(&t->cfg_lock);
	pthread_mutex_destroy(&t->fault_lock);
	free(t);
}

void toy_destroy(struct toy *t)
{
	if (hyp_domain_kill(&t->xen, t->dom->domid))
		toy_die("the domain is gone already");
}

int toy_reap(struct toy *t)
{
	return hyp_domain_reap(&t->xen, t->dom->domid);
}

void toy_shutdown(struct toy *t, uint32_t reason)
{
	if (hyp_domain_shutdown(&t->xen, t->dom->domid, reason))
		toy_die("no domain to shut down");
}

void toy_fail(struct toy *t, const char *fn, unsigned int nth,
	      unsigned int times, int err)
{
	struct hyp_fault *f = t->xen.hyp->fault;
	int n, i;

	if (!times) {
		memset(f, 0, sizeof(t->xen.hyp->fault));
		return;
	}
	n = hyp_fn_find(fn);
	if (n < 0)
		toy_die("no function %s", fn);
	for (i = 0; i < HYP_FAULTS && f[i].times; i++)
		;
	if (i == HYP_FAULTS)
		toy_die("too many faults");
	f[i].fn = n;
	f[i].err = err;
	f[i].first = toy_calls(t, fn) + nth;
	__atomic_store_n(&f[i].times, times, __ATOMIC_RELEASE);
}

void toy_fail_copy(struct toy *t, unsigned int nth, unsigned int times,
		   int status)
{
	struct hyp *h = t->xen.hyp;

	__atomic_store_n(&h->copy_fail_times, 0, __ATOMIC_RELEASE);
	h->copy_fail_status = status;
	h->copy_fail_first = h->copy_segs + nth;
	__atomic_store_n(&h->copy_fail_times, times, __ATOMIC_RELEASE);
}

void toy_stop_in(struct toy *t, const char *fn)
{
	toy_fail(t, NULL, 0, 0, 0);
	toy_fail(t, fn, 1, 1, HYP_STOP);
}

char toy_proc_state(struct toy_proc *p)
{
	char path[64], c = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &c) != 1)
		c = 'X';
	if (f)
		fclose(f);
	return c;
}

int toy_wait_stopped(struct toy_proc *p, int ms)
{
	int64_t end = toy_now_ms() + ms;

	while (toy_proc_state(p) != 'T') {
		if (toy_now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

uint32_t toy_calls(struct toy *t, const char *fn)
{
	int n = hyp_fn_find(fn);

	if (n < 0)
		toy_die("no function %s", fn);
	return __atomic_load_n(&t->xen.hyp->calls[n], __ATOMIC_ACQUIRE);
}

/* ---- daemons ---- */

static void toy_listen(struct toy_proc *p, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/notify.%d",
		 p->toy->dir, p->toy->nr_procs);
	(void)unlink(ret->sun_path);		/* a dropped one's */
	p->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->notify_fd < 0 ||
	    bind(p->notify_fd, (struct sockaddr *)ret, sizeof(*ret)))
		toy_die("notify socket: %m");
}

/*
 * The environment of a daemon: ours, with some of it replaced.  It is made
 * before fork(), because with other threads about the child may only make
 * plain system calls.
 */
struct toy_env {
	char	*var[256];
	int	n;
};

static void toy_env_set(struct toy_env *e, const char *name,
			const char *value)
{
	size_t len = strlen(name);
	int i;

	for (i = 0; i < e->n; i++)
		if (!strncmp(e->var[i], name, len) && e->var[i][len] == '=')
			break;
	if (i == 255)
		toy_die("too large an environment");
	if (i == e->n)
		e->var[++e->n] = NULL;
	else
		free(e->var[i]);
	if (asprintf(&e->var[i], "%s=%s", name, value) < 0)
		toy_die("no memory");
}

static void toy_env_add(struct toy_env *e, const char *name,
			const char *more)
{
	const char *old = getenv(name);
	char buf[512];

	snprintf(buf, sizeof(buf), "%s%s%s", old ? old : "", old ? ":" : "",
		 more);
	toy_env_set(e, name, buf);
}

static void toy_env_make(struct toy *t, const char *notify,
			 struct toy_env *ret)
{
	const char *lib = getenv("XEN_STANDIN");

	for (ret->n = 0; environ[ret->n] && ret->n < 200; ret->n++)
		ret->var[ret->n] = strdup(environ[ret->n]);
	ret->var[ret->n] = NULL;
	toy_env_set(ret, "LD_LIBRARY_PATH", lib ? lib : "build/standin");
	toy_env_set(ret, HYP_ENV, t->dir);
	toy_env_set(ret, "NOTIFY_SOCKET", notify);
	/* A sanitizer's complaint must not look like exit 1. */
	toy_env_add(ret, "ASAN_OPTIONS", "exitcode=99");
	toy_env_add(ret, "LSAN_OPTIONS", "exitcode=99");
	toy_env_add(ret, "UBSAN_OPTIONS", "exitcode=99:print_stacktrace=1");
}

static void toy_env_free(struct toy_env *e)
{
	while (e->n)
		free(e->var[--e->n]);
}

static void __attribute__((noreturn))
toy_exec(const char *log, const struct toy_env *env,
	 const char *const argv[])
{
	static const char why[] = "toy: cannot execute it\n";
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	dup2(fd, 1);
	dup2(fd, 2);
	execve(argv[0], (char *const *)argv, env->var);
	if (write(2, why, sizeof(why) - 1) < 0)
		_exit(126);
	_exit(127);
}

static struct toy_proc *toy_proc_new(struct toy *t)
{
	struct toy_proc *p;

	if (t->nr_procs == TOY_PROCS)
		toy_die("too many processes");
	p = &t->proc[t->nr_procs];
	memset(p, 0, sizeof(*p));
	p->toy = t;
	p->status = -EAGAIN;
	p->notify_fd = -1;
	return p;
}

/*
 * Sanitizers look for leaks in /proc, and gcov writes files at the end, which
 * the worker's sandbox has none of.  So these builds do without it; whoever
 * tests the sandbox says so.  The service, which is for no one domain, is told
 * in its configuration file.
 */
#if defined(XVD_SAN) || defined(XVD_COV)
static bool toy_has_domain(const char *const argv[])
{
	for (; *argv; argv++)
		if (strncmp(*argv, "--domain", 8) == 0 ||
		    strncmp(*argv, "-d", 2) == 0)
			return true;
	return false;
}
#endif

static void toy_argv(const char *const argv[], const char *ret[64])
{
	const char *prog = getenv("XEN_VIRTIOD");
	int n = 0, i = 0;

	ret[n++] = argv[i++];
#if defined(XVD_SAN) || defined(XVD_COV)
	if (strcmp(ret[0], prog ? prog : "./xen-virtiod") == 0 && argv[1] &&
	    strncmp(argv[1], "--sandbox", 9) != 0 &&
	    strcmp(argv[1], "--worker") != 0 && toy_has_domain(argv))
		ret[n++] = "--sandbox=off";
#else
	(void)prog;
#endif
	do {
		if (n == 64)
			toy_die("too many arguments");
		ret[n++] = argv[i];
	} while (argv[i++]);
}

struct toy_proc *toy_spawnv(struct toy *t, const char *const given[])
{
	struct toy_proc *p = toy_proc_new(t);
	const char *argv[64];
	struct sockaddr_un notify;
	struct toy_env env;

	snprintf(p->log, sizeof(p->log), "%s/log.%d", t->dir, t->nr_procs);
	toy_argv(given, argv);
	toy_listen(p, &notify);
	toy_env_make(t, notify.sun_path, &env);
	p->pid = fork();
	if (p->pid < 0)
		toy_die("fork: %m");
	if (!p->pid)
		toy_exec(p->log, &env, argv);
	toy_env_free(&env);
	p->pidfd = syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0)
		toy_die("pidfd_open: %m");
	t->nr_procs++;
	return p;
}

struct toy_proc *toy_spawn(struct toy *t, const char *prog, ...)
{
	const char *argv[64];
	va_list ap;
	int n = 0;

	if (!prog)
		prog = getenv("XEN_VIRTIOD");
	argv[n++] = prog ? prog : "./xen-virtiod";
	va_start(ap, prog);
	while ((argv[n] = va_arg(ap, const char *)))
		if (++n == 64)
			toy_die("too many arguments");
	va_end(ap);
	return toy_spawnv(t, argv);
}

struct toy_proc *toy_adopt(struct toy *t, pid_t pid)
{
	struct toy_proc *p = toy_proc_new(t);

	p->pid = pid;
	p->pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (p->pidfd < 0)
		return NULL;
	t->nr_procs++;
	return p;
}

bool toy_lives(struct toy_proc *p)
{
	return toy_exit(p, 0) == -ETIMEDOUT;
}

int toy_exit(struct toy_proc *p, int ms)
{
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
	int status;

	if (p->status != -EAGAIN)
		return p->status;
	if (poll(&pfd, 1, ms) != 1)
		return -ETIMEDOUT;
	if (waitpid(p->pid, &status, 0) != p->pid)
		p->status = 255;	/* not our child after all */
	else
		p->status = WIFEXITED(status) ? WEXITSTATUS(status) :
			128 + WTERMSIG(status);
	return p->status;
}

int toy_ready(struct toy_proc *p, int ms)
{
	int64_t end = toy_now_ms() + ms;
	struct pollfd pfd[2] = {
		{ .fd = p->notify_fd, .events = POLLIN },
		{ .fd = p->pidfd, .events = POLLIN },
	};
	char buf[512];
	ssize_t n;

	for (;;) {
		int left = end - toy_now_ms();

		if (poll(pfd, 2, left < 0 ? 0 : left) <= 0)
			return -ETIMEDOUT;
		if (pfd[0].revents) {
			n = recv(p->notify_fd, buf, sizeof(buf) - 1, 0);
			buf[n < 0 ? 0 : n] = '\0';
			if (strstr(buf, "READY=1"))
				return 0;
		} else if (pfd[1].revents) {
			return -ECHILD;
		}
	}
}

void toy_drop(struct toy_proc *p)
{
	struct toy *t = p->toy;

	if (p != &t->proc[t->nr_procs - 1] || p->status == -EAGAIN)
		toy_die("only the newest, and when it has ended");
	toy_proc_close(p);
	t->nr_procs--;
}

void toy_kill(struct toy_proc *p, int sig)
{
	syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0);
}

const char *toy_log(struct toy_proc *p)
{
	size_t cap = 1 << 20, n = 0;
	int fd = open(p->log, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	free(p->log_text);
	p->log_text = calloc(1, cap);
	while (fd >= 0 && n < cap - 1 &&
	       (got = read(fd, p->log_text + n, cap - 1 - n)) > 0)
		n += got;
	if (fd >= 0)
		close(fd);
	return p->log_text;
}

static void toy_image_in(const char *dir, const char *name, uint64_t bytes,
			 char ret[128])
{
	int fd;

	snprintf(ret, 128, "%s/%s", dir, name);
	fd = open(ret, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, bytes))
		toy_die("%s: %m", ret);
	close(fd);
}

void toy_image(struct toy *t, const char *name, uint64_t bytes, char ret[128])
{
	toy_image_in(t->dir, name, bytes, ret);
}

void toy_disk_image(struct toy *t, const char *name, uint64_t bytes,
		    char ret[128])
{
	if (!t->disk_dir[0]) {
		strcpy(t->disk_dir, "/var/tmp/toy-XXXXXX");
		if (!mkdtemp(t->disk_dir))
			toy_die("mkdtemp %s: %m", t->disk_dir);
	}
	toy_image_in(t->disk_dir, name, bytes, ret);
}

/* ---- vCPUs ---- */

static uint64_t toy_ones(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

static bool toy_any_daemon(struct toy *t)
{
	int i;

	for (i = 0; i < t->nr_procs; i++)
		if (t->proc[i].status == -EAGAIN) {
			struct pollfd p = {
				.fd = t->proc[i].pidfd, .events = POLLIN
			};

			if (poll(&p, 1, 0) == 0)
				return true;
		}
	return false;
}

ioreq_t *toy_slot(struct toy *t, unsigned int vcpu, int server)
{
	shared_iopage_t *page;

	page = hyp_iopage(&t->xen, t->dom->server[server].page - 1);
	return &page->vcpu_ioreq[vcpu];
}

int toy_ring(struct toy *t, unsigned int vcpu, int server)
{
	return hyp_port_ring(&t->xen, t->dom,
			     t->dom->server[server].port[vcpu]);
}

/* The four bits of state share a byte with dir and friends, so it is set as a
 * plain byte would be: only this vCPU and the daemon, in turn, write it. */
static unsigned int toy_state(ioreq_t *slot)
{
	ioreq_t copy;
	uint8_t *from = (uint8_t *)slot + offsetof(ioreq_t, _pad0) + 2;

	((uint8_t *)&copy)[offsetof(ioreq_t, _pad0) + 2] =
		__atomic_load_n(from, __ATOMIC_ACQUIRE);
	return copy.state;
}

static void toy_set_state(ioreq_t *slot, unsigned int state)
{
	ioreq_t copy = *slot;
	size_t at = offsetof(ioreq_t, _pad0) + 2;

	copy.state = state;
	__atomic_store_n((uint8_t *)slot + at, ((uint8_t *)&copy)[at],
			 __ATOMIC_RELEASE);
}

int toy_post(struct toy *t, unsigned int vcpu, int server, const ioreq_t *req)
{
	struct hyp_server *s = &t->dom->server[server];
	uint32_t port = s->port[vcpu];
	ioreq_t *slot, copy = *req;

	if (!s->page) {
		toy_set_fault(t, "server %d is enabled without a page", server);
		return -EPROTO;
	}
	slot = toy_slot(t, vcpu, server);
	if (toy_state(slot) != STATE_IOREQ_NONE) {
		toy_set_fault(t, "vcpu %u: the daemon left state %u", vcpu,
			      toy_state(slot));
		return -EPROTO;
	}
	if (slot->vp_eport != port) {
		toy_set_fault(t, "vcpu %u: the daemon set vp_eport %u", vcpu,
			      slot->vp_eport);
		return -EPROTO;
	}
	t->rung[server][vcpu] = __atomic_load_n(&t->dom->port[port].rung,
						__ATOMIC_ACQUIRE);
	copy.state = STATE_IOREQ_NONE;
	copy.vp_eport = port;
	*slot = copy;
	toy_set_state(slot, STATE_IOREQ_READY);
	(void)toy_ring(t, vcpu, server);	/* unbound: wait and see */
	return 0;
}

static int toy_no_answer(struct toy *t, unsigned int vcpu, ioreq_t *slot,
			 const char *why)
{
	toy_set_fault(t, "vcpu %u: %s: type %u %s %#llx size %u, state %u",
		      vcpu, why, slot->type, slot->dir ? "read" : "write",
		      (unsigned long long)slot->addr, slot->size,
		      toy_state(slot));
	return -ETIMEDOUT;
}

int toy_finish(struct toy *t, unsigned int vcpu, int server, uint64_t *ret)
{
	struct hyp_port *port;
	ioreq_t *slot = toy_slot(t, vcpu, server);
	int64_t end = toy_now_ms() + t->io_ms;
	unsigned int prev = STATE_IOREQ_READY, state;
	uint32_t seen;

	port = &t->dom->port[t->dom->server[server].port[vcpu]];
	for (;;) {
		seen = __atomic_load_n(&port->rung, __ATOMIC_ACQUIRE);
		state = toy_state(slot);
		if (state == STATE_IORESP_READY &&
		    seen != t->rung[server][vcpu])
			break;
		if (t->dom->state != DOM_ALIVE)
			return -ESRCH;
		if (state == STATE_IOREQ_NONE)
			return 0;	/* as Xen: the emulator is dying */
		if (state < prev || state > STATE_IORESP_READY) {
			toy_set_fault(t, "vcpu %u: weird state %u after %u: "
				      "Xen crashes the domain", vcpu, state,
				      prev);
			return -EPROTO;
		}
		prev = state;
		if (toy_now_ms() > end)
			return toy_no_answer(t, vcpu, slot, "no answer");
		/* Only a notification wakes a vCPU.  The slices are to
		 * notice a death. */
		while (seen == __atomic_load_n(&port->rung, __ATOMIC_ACQUIRE)) {
			if (hyp_sleep(&port->rung, seen, 50) != -ETIMEDOUT)
				continue;
			if (t->nr_procs && !toy_any_daemon(t))
				return toy_no_answer(t, vcpu, slot,
						     "the daemon is dead");
			if (toy_now_ms() > end)
				return toy_no_answer(t, vcpu, slot,
					"no answer, or no notification");
		}
	}
	if (ret)
		*ret = __atomic_load_n(&slot->data, __ATOMIC_ACQUIRE);
	toy_set_state(slot, STATE_IOREQ_NONE);
	return 0;
}

/*
 * Xen's choice: a port access to 0xcfc..0xcff with the enable bit in its latch
 * is a config access and belongs to who owns the function; all else to who
 * owns all of the range.
 */
static int toy_select(struct toy *t, ioreq_t *req)
{
	unsigned int kind = req->type == IOREQ_TYPE_PIO ? RANGE_PORT :
							   RANGE_MEMORY;
	uint64_t first = req->addr, last, bdf;
	int id;

	if (req->type != IOREQ_TYPE_PIO && req->type != IOREQ_TYPE_COPY)
		return -1;
	if (req->count > 1 && req->df)
		first -= (uint64_t)(req->count - 1) * req->size;
	last = first + (uint64_t)req->count * req->size - 1;
	if (kind == RANGE_PORT)
		last = first + req->size - 1;
	hyp_lock(t->xen.hyp);
	if (kind == RANGE_PORT && (req->addr & ~3ull) == 0xcfc &&
	    t->dom->cf8 & 0x80000000) {
		bdf = t->dom->cf8 >> 8 & 0xffff;
		id = hyp_server_select(t->dom, RANGE_PCI, bdf, bdf);
		if (id >= 0) {
			req->type = IOREQ_TYPE_PCI_CONFIG;
			req->addr = bdf << 32 | (t->dom->cf8 & 0xfc) |
				    (req->addr & 3);
		}
	} else {
		id = hyp_server_select(t->dom, kind, first, last);
	}
	hyp_unlock(t->xen.hyp);
	return id;
}

int toy_send(struct toy *t, unsigned int vcpu, const ioreq_t *req,
	     uint64_t *ret)
{
	int64_t start = toy_now_us();
	ioreq_t copy = *req;
	uint32_t took;
	int id, r;

	if (toy_fault(t))
		return -EPROTO;
	if (t->dom->state != DOM_ALIVE)
		return -ESRCH;
	id = toy_select(t, &copy);
	if (id < 0)
		return -ENODEV;
	r = toy_post(t, vcpu, id, &copy);
	if (!r)
		r = toy_finish(t, vcpu, id, ret);
	took = toy_now_us() - start;
	if (took > t->slowest_us)
		t->slowest_us = took;
	return r;
}

static uint64_t toy_access(struct toy *t, unsigned int vcpu, unsigned int type,
			   bool read, uint64_t addr, unsigned int size,
			   uint64_t val)
{
	ioreq_t req = {
		.addr = addr, .data = val, .count = 1, .size = size,
		.dir = read ? IOREQ_READ : IOREQ_WRITE, .type = type,
	};
	uint64_t data;

	if (toy_send(t, vcpu, &req, &data))
		data = ~0ull;
	return data & toy_ones(size);
}

uint64_t toy_pio_read(struct toy *t, unsigned int vcpu, unsigned int port,
		      unsigned int size)
{
	return toy_access(t, vcpu, IOREQ_TYPE_PIO, true, port, size, 0);
}

void toy_pio_write(struct toy *t, unsigned int vcpu, unsigned int port,
		   unsigned int size, uint64_t val)
{
	/* Xen remembers it, and goes on to look for a server */
	if (port == 0xcf8 && size == 4)
		t->dom->cf8 = val;
	toy_access(t, vcpu, IOREQ_TYPE_PIO, false, port, size,
		   val & toy_ones(size));
}

/* RAM does not trap, even where a BAR was put over it. */
static void *toy_ram(struct toy *t, uint64_t gpa, uint64_t len)
{
	uint64_t at = gpa - ((uint64_t)HYP_HIGH_GFN << 12);
	uint64_t low = (uint64_t)t->dom->low_pages << 12;
	uint64_t high = (uint64_t)t->dom->high_pages << 12;

	if (gpa < low && len <= low - gpa)
		return t->low + gpa;
	if (at < high && len <= high - at)
		return t->high + at;
	return NULL;
}

uint64_t toy_mem_read(struct toy *t, unsigned int vcpu, uint64_t addr,
		      unsigned int size)
{
	void *ram = toy_ram(t, addr, size);
	uint64_t val = 0;

	if (!ram)
		return toy_access(t, vcpu, IOREQ_TYPE_COPY, true, addr, size,
				  0);
	memcpy(&val, ram, size);
	return val;
}

void toy_mem_write(struct toy *t, unsigned int vcpu, uint64_t addr,
		   unsigned int size, uint64_t val)
{
	void *ram = toy_ram(t, addr, size);

	if (ram)
		memcpy(ram, &val, size);
	else
		toy_access(t, vcpu, IOREQ_TYPE_COPY, false, addr, size,
			   val & toy_ones(size));
}

static uint32_t toy_cf8(unsigned int bdf, unsigned int reg)
{
	return 0x80000000 | bdf << 8 | (reg & 0xfc);
}

uint64_t toy_cfg_read(struct toy *t, unsigned int vcpu, unsigned int bdf,
		      unsigned int reg, unsigned int size)
{
	uint64_t val;

	pthread_mutex_lock(&t->cfg_lock);
	toy_pio_write(t, vcpu, 0xcf8, 4, toy_cf8(bdf, reg));
	val = toy_pio_read(t, vcpu, 0xcfc + (reg & 3), size);
	pthread_mutex_unlock(&t->cfg_lock);
	return val;
}

void toy_cfg_write(struct toy *t, unsigned int vcpu, unsigned int bdf,
		   unsigned int reg, unsigned int size, uint64_t val)
{
	pthread_mutex_lock(&t->cfg_lock);
	toy_pio_write(t, vcpu, 0xcf8, 4, toy_cf8(bdf, reg));
	toy_pio_write(t, vcpu, 0xcfc + (reg & 3), size, val);
	pthread_mutex_unlock(&t->cfg_lock);
}

unsigned int toy_servers(struct toy *t)
{
	unsigned int i, n = 0;

	for (i = 0; i < HYP_SERVERS; i++)
		n += t->dom->server[i].used;
	return n;
}

/* ---- memory ---- */

uint64_t toy_alloc(struct toy *t, uint64_t bytes, uint64_t align)
{
	uint64_t gpa = (t->next_gpa + align - 1) & ~(align - 1);

	t->next_gpa = gpa + bytes;
	memset(toy_ptr(t, gpa, bytes), 0, bytes);
	return gpa;
}

void *toy_ptr(struct toy *t, uint64_t gpa, uint64_t len)
{
	void *p = toy_ram(t, gpa, len);

	if (!p)
		toy_die("%#llx is not RAM", (unsigned long long)gpa);
	return p;
}

int toy_invalidate(struct toy *t, unsigned int vcpu)
{
	const ioreq_t req = {
		.type = IOREQ_TYPE_INVALIDATE, .size = 4, .dir = IOREQ_WRITE,
		.data = ~0ull,
	};
	bool posted[HYP_SERVERS] = { false };
	int id, r = 0, q;

	for (id = 0; id < HYP_SERVERS && !r; id++)
		if (t->dom->server[id].used && t->dom->server[id].enabled) {
			r = toy_post(t, vcpu, id, &req);
			posted[id] = !r;
		}
	for (id = 0; id < HYP_SERVERS; id++) {
		q = posted[id] ? toy_finish(t, vcpu, id, NULL) : 0;
		if (!r)
			r = q;
	}
	return r;
}

void toy_balloon_out(struct toy *t, uint64_t gpa)
{
	uint8_t *at = toy_ptr(t, gpa & ~4095ull, HYP_PAGE);

	if (hyp_balloon_out(&t->xen, t->dom->domid, gpa >> 12))
		toy_die("balloon: %#llx is a hole", (unsigned long long)gpa);
	toy_map_frame(t, at, 0, 1);
}

void toy_balloon_in(struct toy *t, uint64_t gpa)
{
	uint8_t *at = toy_ptr(t, gpa & ~4095ull, HYP_PAGE);

	if (hyp_balloon_in(&t->xen, t->dom->domid, gpa >> 12))
		toy_die("balloon: %#llx is taken", (unsigned long long)gpa);
	toy_map_frame(t, at, *hyp_domain_frame(t->dom, gpa >> 12), 1);
}

void toy_balloon(struct toy *t, unsigned int vcpu, uint64_t gpa)
{
	toy_balloon_out(t, gpa);
	(void)toy_invalidate(t, vcpu);	/* kept as a fault */
	toy_balloon_in(t, gpa);
}

void *toy_frame(struct toy *t, uint64_t gpa)
{
	uint32_t frame = *hyp_domain_frame(t->dom, gpa >> 12);
	void *p;

	if (!frame)
		toy_die("%#llx is a hole", (unsigned long long)gpa);
	p = mmap(NULL, HYP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 t->xen.ram_fd, (uint64_t)(frame - 1) * HYP_PAGE);
	if (p == MAP_FAILED)
		toy_die("mmap of a frame: %m");
	return p;
}

void toy_frame_put(void *frame)
{
	munmap(frame, HYP_PAGE);
}

void *toy_window(struct toy *t, const uint64_t *gpa, unsigned int n)
{
	unsigned int i;
	uint8_t *p;

	p = mmap(NULL, n * HYP_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		toy_die("mmap of guest RAM: %m");
	for (i = 0; i < n; i++)
		toy_map_frame(t, p + i * HYP_PAGE,
			      *hyp_domain_frame(t->dom, gpa[i] >> 12), 1);
	return p;
}

/* ---- grants ---- */

static uint64_t toy_grant_gfns(struct toy *t, const uint64_t *gfn,
			       unsigned int n, bool readonly)
{
	uint32_t ref;
	int r;

	r = hyp_grant_alloc(&t->xen, t->dom->domid, n, gfn, 0, readonly, &ref);
	if (r)
		toy_die("no %u grants: %s", n, strerror(-r));
	return TOY_GRANT | (uint64_t)ref << 12;
}

uint64_t toy_grant(struct toy *t, uint64_t gpa, uint64_t len, bool readonly)
{
	unsigned int n = toy_pages(gpa, len), i;
	uint64_t *gfn = calloc(n, sizeof(*gfn)), addr;

	if (!gfn)
		toy_die("no memory");
	for (i = 0; i < n; i++)
		gfn[i] = (gpa >> 12) + i;
	addr = toy_grant_gfns(t, gfn, n, readonly);
	free(gfn);
	return addr | (gpa & 4095);
}

uint64_t toy_grant_pages(struct toy *t, const uint64_t *gpa, unsigned int n,
			 bool readonly)
{
	uint64_t *gfn = calloc(n, sizeof(*gfn)), addr;
	unsigned int i;

	if (!gfn)
		toy_die("no memory");
	for (i = 0; i < n; i++)
		gfn[i] = gpa[i] >> 12;
	addr = toy_grant_gfns(t, gfn, n, readonly);
	free(gfn);
	return addr;
}

int toy_revoke(struct toy *t, uint64_t addr, uint64_t len)
{
	unsigned int n = toy_pages(addr, len), i;
	int r;

	for (i = 0; i < n; i++) {
		r = hyp_grant_del(&t->xen, t->dom->domid,
				  toy_grant_ref(addr) + i);
		if (r == -ENOENT)
			toy_die("%#llx is not granted",
				(unsigned long long)addr);
		if (r)
			return r;
	}
	return 0;
}

void toy_limit_grants(struct toy *t, uint32_t limit)
{
	__atomic_store_n(&t->xen.hyp->maptrack_limit, limit, __ATOMIC_RELEASE);
}

/* ---- interrupts ---- */

uint32_t toy_msi_count(struct toy *t, uint64_t addr, uint32_t data)
{
	struct hyp_domain *d = t->dom;
	uint32_t i, count = 0;

	hyp_lock(t->xen.hyp);
	for (i = 0; i < d->nr_msis; i++)
		if (d->msi[i].addr == addr && d->msi[i].data == data)
			count = d->msi[i].count;
	hyp_unlock(t->xen.hyp);
	return count;
}

/* Sleep until an interrupt of any kind. @end: of patience, in ms. */
static int toy_irq_sleep(struct toy *t, uint32_t seen, int64_t end)
{
	int64_t left = end - toy_now_ms();

	if (left <= 0)
		return -ETIMEDOUT;
	(void)hyp_sleep(&t->xen.hyp->irq_seq, seen, left);
	return 0;
}

int toy_msi_wait(struct toy *t, uint64_t addr, uint32_t data, uint32_t seen,
		 int ms)
{
	int64_t end = toy_now_ms() + ms;
	uint32_t seq;

	do {
		seq = __atomic_load_n(&t->xen.hyp->irq_seq, __ATOMIC_ACQUIRE);
		if (toy_msi_count(t, addr, data) != seen)
			return 0;
	} while (!toy_irq_sleep(t, seq, end));
	return -ETIMEDOUT;
}

unsigned int toy_intx_level(struct toy *t, unsigned int slot, unsigned int pin)
{
	return __atomic_load_n(&t->dom->intx[slot][pin], __ATOMIC_ACQUIRE);
}

int toy_intx_wait(struct toy *t, unsigned int slot, unsigned int pin,
		  unsigned int level, int ms)
{
	int64_t end = toy_now_ms() + ms;
	uint32_t seq;

	do {
		seq = __atomic_load_n(&t->xen.hyp->irq_seq, __ATOMIC_ACQUIRE);
		if (toy_intx_level(t, slot, pin) == level)
			return 0;
	} while (!toy_irq_sleep(t, seq, end));
	return -ETIMEDOUT;
}

/* ---- PCI ---- */

unsigned int toy_pci_scan(struct toy *t, unsigned int *bdf, unsigned int max)
{
	unsigned int slot, n = 0;

	for (slot = 0; slot < 32 && n < max; slot++)
		if (toy_cfg_read(t, 0, TOY_BDF(slot), PCI_VENDOR_ID, 4) !=
		    0xffffffff)
			bdf[n++] = TOY_BDF(slot);
	return n;
}

static uint64_t toy_bar_place(struct toy *t, const struct toy_bar *b)
{
	uint64_t at;

	if (b->io) {
		at = (t->next_pio + b->size - 1) & ~(b->size - 1);
		t->next_pio = at + b->size;
	} else {
		at = (t->next_mmio + b->size - 1) & ~(b->size - 1);
		t->next_mmio = at + b->size;
	}
	return at;
}

/* PCI 3.0, 6.2.5.1: write all ones, read the size back. */
static void toy_bar_size(struct toy *t, unsigned int vcpu, unsigned int bdf,
			 unsigned int reg, struct toy_bar *b)
{
	uint32_t old = toy_cfg_read(t, vcpu, bdf, reg, 4), old_hi = 0;
	uint64_t mask, val;

	toy_cfg_write(t, vcpu, bdf, reg, 4, ~0u);
	val = toy_cfg_read(t, vcpu, bdf, reg, 4);
	toy_cfg_write(t, vcpu, bdf, reg, 4, old);
	memset(b, 0, sizeof(*b));
	if (!val)
		return;
	b->io = val & PCI_BASE_ADDRESS_SPACE_IO;
	if (b->io) {
		b->size = ~(uint32_t)(val & PCI_BASE_ADDRESS_IO_MASK) + 1u;
		b->size &= 0xffff;
		b->addr = old & PCI_BASE_ADDRESS_IO_MASK;
		return;
	}
	b->is64 = (val & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
		  PCI_BASE_ADDRESS_MEM_TYPE_64;
	b->prefetch = val & PCI_BASE_ADDRESS_MEM_PREFETCH;
	mask = val & PCI_BASE_ADDRESS_MEM_MASK;
	if (b->is64) {
		old_hi = toy_cfg_read(t, vcpu, bdf, reg + 4, 4);
		toy_cfg_write(t, vcpu, bdf, reg + 4, 4, ~0u);
		mask |= toy_cfg_read(t, vcpu, bdf, reg + 4, 4) << 32;
		toy_cfg_write(t, vcpu, bdf, reg + 4, 4, old_hi);
	} else {
		mask |= 0xffffffffull << 32;
	}
	b->size = ~mask + 1;
	b->addr = (uint64_t)old_hi << 32 | (old & PCI_BASE_ADDRESS_MEM_MASK);
}

void toy_pci_bars(struct toy *t, unsigned int vcpu, unsigned int bdf,
		  bool place, struct toy_bar bar[6])
{
	unsigned int i, reg;

	memset(bar, 0, 6 * sizeof(bar[0]));
	for (i = 0; i < 6; i++) {
		reg = PCI_BASE_ADDRESS_0 + 4 * i;
		toy_bar_size(t, vcpu, bdf, reg, &bar[i]);
		if (!bar[i].size)
			continue;
		if (place) {
			bar[i].addr = toy_bar_place(t, &bar[i]);
			toy_cfg_write(t, vcpu, bdf, reg, 4, bar[i].addr);
			if (bar[i].is64)
				toy_cfg_write(t, vcpu, bdf, reg + 4, 4,
					      bar[i].addr >> 32);
		}
		if (bar[i].is64)
			i++;
	}
}

unsigned int toy_pci_cap(struct toy *t, unsigned int bdf, unsigned int id,
			 unsigned int from)
{
	unsigned int at, hops;

	if (!(toy_cfg_read(t, 0, bdf, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	at = toy_cfg_read(t, 0, bdf, from ? from + PCI_CAP_LIST_NEXT :
			  PCI_CAPABILITY_LIST, 1);
	for (hops = 0; at >= 0x40 && hops < 48; hops++) {
		if (toy_cfg_read(t, 0, bdf, at + PCI_CAP_LIST_ID, 1) == id)
			return at;
		at = toy_cfg_read(t, 0, bdf, at + PCI_CAP_LIST_NEXT, 1);
	}
	return 0;
}
