/* SPDX-License-Identifier: MIT */
/*
 * netscript.c: scripts, run as those who wrote them expect it.
 *
 * Scripts come in two manners.  Those of the toolstack, in /etc/xen/scripts,
 * are called as xl calls them for a device model's tap,
 *
 *	INTERFACE=vif3.18-v bridge=xenbr0 ... vif-bridge add type_if=tap
 *
 * not as for a kernel's vif: in the former manner they take from the
 * environment what they do not find in xenstore, and on success leave nothing
 * there, so that no backend directory has to be made up for them.  All others
 * are called as QEMU does it, with the interface's name and nothing else.
 * Both get a clean environment and 40 seconds.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "loop.h"
#include "netscript.h"

#define SCRIPT_DEFAULT	NETSCRIPT_DIR "/vif-bridge"
#define SCRIPT_MS	40000u		/* LIBXL_HOTPLUG_TIMEOUT */
#define SCRIPT_POLL_MS	5

int netscript_check(const char *key, const char *path, char *why,
		    size_t why_len)
{
	struct stat st;
	int r = 0;

	if (stat(path, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		r = -EACCES;
	if (r < 0)
		(void)snprintf(why, why_len, "%s='%s' cannot be run: %s; say %s=no to do without",
			       key, path, strerror(-r), key);
	return r;
}

int netscript_find(const char *script, bool bridge, char **ret,
		   char *why, size_t why_len)
{
	char *path;
	int n, r;

	if (!script && bridge && access(SCRIPT_DEFAULT, X_OK) == 0)
		script = SCRIPT_DEFAULT;
	if (!script || strcmp(script, "no") == 0) {
		*ret = NULL;
		return 0;
	}
	n = asprintf(&path, "%s%s", strchr(script, '/') ? "" :
		     NETSCRIPT_DIR "/", script);
	if (n < 0) {
		(void)snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	r = netscript_check("script", path, why, why_len);
	if (r < 0) {
		free(path);
		return r;
	}
	*ret = path;
	return 0;
}

bool netscript_is_toolstack(const char *path)
{
	return strncmp(path, NETSCRIPT_DIR "/", strlen(NETSCRIPT_DIR) + 1)
	       == 0;
}

/* ---- what it is told ---- */

#define SCRIPT_ENV_MAX	12

struct script_env {
	char	text[SCRIPT_ENV_MAX][PATH_MAX + 32];
	char	*list[SCRIPT_ENV_MAX + 1];
	size_t	count;
};

__attribute__((format(printf, 2, 3)))
static void script_env_add(struct script_env *env, const char *fmt, ...)
{
	char *text = env->text[env->count];
	va_list ap;
	int n;

	assert(env->count < SCRIPT_ENV_MAX);
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(env->text[0]), fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof(env->text[0]));
	env->list[env->count++] = text;
	env->list[env->count] = NULL;
}

static void script_env_fill(const struct netscript *ns, struct script_env *env)
{
	env->count = 0;
	script_env_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	script_env_add(env, "INTERFACE=%s", ns->ifname);
	script_env_add(env, "bridge=%s", ns->bridge ? ns->bridge : "");
	if (!netscript_is_toolstack(ns->path)) {
		script_env_add(env, "domid=%u", ns->domid);
		script_env_add(env, "mac=%02x:%02x:%02x:%02x:%02x:%02x",
			       ns->mac[0], ns->mac[1], ns->mac[2], ns->mac[3],
			       ns->mac[4], ns->mac[5]);
		return;
	}
	script_env_add(env, "script=%s", ns->path);
	script_env_add(env, "vif=%s", ns->ifname);
	script_env_add(env, "XENBUS_TYPE=vif");
	script_env_add(env, "XENBUS_BASE_PATH=backend");
	script_env_add(env, "XENBUS_PATH=backend/vif/%u/%02x-v",
		       ns->domid, ns->devfn);
}

/* ---- how it is run ---- */

/* In the child, between fork() and execve(): only what is allowed there. */
static void script_exec(const char *path, char *const argv[],
			char *const envp[])
{
	sigset_t none;
	int fd;

	(void)setpgid(0, 0);		/* the parent does it, too */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ours close by themselves; what we have inherited does not. */
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	if (fd > STDERR_FILENO)
		close(fd);
	execve(path, argv, envp);
	_exit(127);
}

/* Return: 0 and the wait status, or -ETIMEDOUT: it was killed. */
static int script_wait(pid_t pid, unsigned int ms, int *ret_status)
{
	const struct timespec pause = { .tv_nsec = SCRIPT_POLL_MS * 1000000L };
	uint64_t deadline = loop_now_ms() + ms;
	pid_t p;

	for (;;) {
		p = waitpid(pid, ret_status, WNOHANG);
		if (p == pid)
			return 0;
		if (p < 0 && errno != EINTR)
			return -errno;
		if (loop_now_ms() >= deadline)
			break;
		(void)nanosleep(&pause, NULL);	/* shorter is fine */
	}
	(void)kill(-pid, SIGKILL);		/* with what it has started */
	(void)kill(pid, SIGKILL);		/* it may have left its group */
	(void)waitpid(pid, ret_status, 0);
	return -ETIMEDOUT;
}

/* Return: 0, or a negative errno with @why. */
static int script_judge(const struct netscript *ns, int status, char *why,
			size_t why_len)
{
	const char *hint = netscript_is_toolstack(ns->path) ?
			   "; /var/log/xen/xen-hotplug.log may say why" : "";

	if (WIFSIGNALED(status)) {
		(void)snprintf(why, why_len, "%s='%s' was ended by signal %d",
			       ns->key, ns->path, WTERMSIG(status));
		return -EIO;
	}
	switch (WEXITSTATUS(status)) {
	case 0:
		return 0;
	case 127:
		(void)snprintf(why, why_len, "%s='%s' cannot be run, or did not find a command (status 127)%s",
			       ns->key, ns->path, hint);
		return -ENOEXEC;
	default:
		(void)snprintf(why, why_len, "%s='%s' failed with status %d for '%s'%s",
			       ns->key, ns->path, WEXITSTATUS(status),
			       ns->ifname, hint);
		return -EIO;
	}
}

/* Return: the child, or a negative errno. */
static pid_t script_start(const struct netscript *ns)
{
	bool xl = netscript_is_toolstack(ns->path);
	char *argv[4] = {
		(char *)ns->path,
		(char *)(xl ? ns->action : ns->ifname),
		(char *)(xl ? "type_if=tap" : NULL),
	};
	struct script_env *env = malloc(sizeof(*env));
	pid_t pid;

	if (!env)
		return -ENOMEM;
	script_env_fill(ns, env);
	pid = fork();
	if (pid == 0)
		script_exec(ns->path, argv, env->list);
	if (pid < 0)
		pid = -errno;
	else
		(void)setpgid(pid, pid); /* whoever of the two comes first */
	free(env);
	return pid;
}

int netscript_run(const struct netscript *ns, char *why, size_t why_len)
{
	unsigned int ms = ns->ms ? ns->ms : SCRIPT_MS;
	int status = 0, r;
	pid_t pid;

	pid = script_start(ns);
	if (pid < 0) {
		(void)snprintf(why, why_len, "%s='%s' cannot be started: %s",
			       ns->key, ns->path, strerror(-pid));
		return pid;
	}
	r = script_wait(pid, ms, &status);
	if (r == 0)
		return script_judge(ns, status, why, why_len);
	if (r == -ETIMEDOUT)
		(void)snprintf(why, why_len, "%s='%s' did not end within %u s and was killed",
			       ns->key, ns->path, (ms + 999) / 1000);
	else
		(void)snprintf(why, why_len, "%s='%s': %s", ns->key, ns->path,
			       strerror(-r));
	return r;
}
