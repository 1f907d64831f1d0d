/* SPDX-License-Identifier: MIT */
/*
 * background.c: see the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "background.h"
#include "log.h"

/* The parent's part: wait for one byte, or for the child's end. */
static void background_wait(int fd, pid_t child)
{
	int status;
	char c;
	ssize_t n;

	do {
		n = read(fd, &c, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	/* It has said why, on the standard error that we share. */
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	    WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(EXIT_FAILURE);
}

static int background_fork(struct background *bg)
{
	int fd[2];
	pid_t child;
	int r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		r = -errno;
		close(fd[0]);
		close(fd[1]);
		return r;
	}
	if (child) {
		close(fd[1]);
		background_wait(fd[0], child);
	}
	close(fd[0]);
	bg->ready_fd = fd[1];
	return setsid() < 0 ? -errno : 0;
}

static int background_write_pid(const char *path, char **ret)
{
	struct stat st;
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
		      O_NOFOLLOW, 0644);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;		/* /dev/null must not be removed */
	}
	if (write(fd, text, (size_t)n) != n)
		r = errno ? -errno : -EIO;
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r) {
		*ret = realpath(path, NULL);	/* we leave this directory */
		r = *ret ? 0 : -errno;
	}
	if (r < 0)
		(void)unlink(path);	/* it is of no use half-written */
	return r;
}

int background_begin(struct background *bg, bool on, const char *pidfile,
		     char *why, size_t why_len)
{
	int r = on ? background_fork(bg) : 0;

	if (r < 0) {
		snprintf(why, why_len, "cannot go to the background: %s",
			 strerror(-r));
		return r;
	}
	if (!pidfile)
		return 0;
	r = background_write_pid(pidfile, &bg->pidfile);
	if (r < 0)
		snprintf(why, why_len, "cannot write --pidfile '%s': %s",
			 pidfile, r == -EINVAL ? "not a regular file" :
			 strerror(-r));
	return r;
}

int background_ready(struct background *bg, char *why, size_t why_len)
{
	struct stat st;
	int fd;

	if (bg->ready_fd < 0)
		return 0;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 ||
	    dup2(fd, STDOUT_FILENO) < 0 || chdir("/") < 0) {
		snprintf(why, why_len, "cannot go to the background: %s",
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	if (write(bg->ready_fd, "", 1) != 1) {
		snprintf(why, why_len, "whoever started us is gone: not going on");
		close(fd);
		return -EPIPE;
	}
	close(bg->ready_fd);
	bg->ready_fd = -1;
	if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_use_syslog();
		(void)dup2(fd, STDERR_FILENO);	/* as open as it was */
	}
	close(fd);
	return 0;
}

void background_end(struct background *bg)
{
	if (bg->pidfile)
		(void)unlink(bg->pidfile);	/* gone is gone */
	free(bg->pidfile);
	bg->pidfile = NULL;
}
