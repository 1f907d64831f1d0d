/* SPDX-License-Identifier: MIT */
/* See path.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

#define WORDS	64	/* of eight bytes in a sector */

static int no_slowdisk;		/* or the errno that says why */

struct toy_proc *path_run(struct toy *t, const char *spec, ...)
{
	const char *prog = getenv("XEN_VIRTIOD");
	const char *argv[16] = {
		prog ? prog : "./xen-virtiod", "--domain", "toy",
	};
	struct toy_proc *p;
	va_list ap;
	int n = 3, r;

	va_start(ap, spec);
	for (; spec && n < 14; spec = va_arg(ap, const char *)) {
		argv[n++] = "--device";
		argv[n++] = spec;
	}
	va_end(ap);
	argv[n] = NULL;
	p = toy_spawnv(t, argv);
	r = toy_ready(p, TOY_MS);
	if (r)
		fail_msg("not ready: %s, exit %d\n%s", strerror(-r),
			 toy_exit(p, 0), toy_log(p));
	return p;
}

/* All lines but the worker's own about --sandbox=off, as sanitizers run it. */
static unsigned int refusals(const char *log)
{
	unsigned int n = 0;
	size_t len;

	for (; *log; log += len) {
		len = strcspn(log, "\n");
		if (!memmem(log, len, ": --sandbox=off: ", 17))
			n++;
		len += log[len] == '\n';
	}
	return n;
}

void path_refused(struct toy *t, struct toy_proc *p, int code,
		  const char *text)
{
	assert_int_equal(toy_ready(p, TOY_MS), -ECHILD);
	if (toy_exit(p, TOY_MS) != code)
		fail_msg("exit %d, not %d: %s", toy_exit(p, 0), code,
			 toy_log(p));
	assert_in_log(p, text);
	if (refusals(toy_log(p)) != 1)
		fail_msg("not one line: %s", toy_log(p));
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	toy_drop(p);
}

struct toyblk *path_disk(struct toy *t, unsigned int slot,
			 const struct toyblk_conf *conf)
{
	struct toyblk *b;
	int r;

	r = toyblk_probe(t, 0, TOY_BDF(slot), &b);
	if (r)
		fail_msg("no disk in slot %#x: %s", slot, strerror(-r));
	r = toyblk_start(b, conf);
	if (r) {
		toyblk_free(b);
		fail_msg("the disk does not start: %s", strerror(-r));
	}
	return b;
}

/* Return: 0 if there is no such process any more. */
static pid_t parent_of(const char *pid)
{
	char file[300], stat[512] = "", *name_end;
	int ppid = 0;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%s/stat", pid);
	f = fopen(file, "re");
	if (!f)
		return 0;
	if (!fgets(stat, sizeof(stat), f))
		stat[0] = '\0';
	fclose(f);
	name_end = strrchr(stat, ')');
	if (!name_end || sscanf(name_end, ") %*c %d", &ppid) != 1)
		return 0;
	return ppid;
}

struct toy_proc *path_worker(struct toy *t, struct toy_proc *p)
{
	DIR *d = opendir("/proc");
	pid_t child = 0;
	struct dirent *e;
	struct toy_proc *w;

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    parent_of(e->d_name) != p->pid)
			continue;
		if (child)
			fail_msg("two children: %d, %s", child, e->d_name);
		child = atoi(e->d_name);
	}
	closedir(d);
	if (!child)
		fail_msg("%d has no child", p->pid);
	w = toy_adopt(t, child);
	assert_non_null(w);
	return w;
}

void path_stop(struct toy *t, struct toy_proc *p)
{
	int r;

	toy_kill(p, SIGTERM);
	r = toy_exit(p, TOY_MS);
	if (r)
		fail_msg("ended with %d:\n%s", r, toy_log(p));
	assert_int_equal(toy_servers(t), 0);
	assert_int_equal(t->xen.hyp->leaked_maps, 0);
	assert_int_equal(t->xen.hyp->grants_in_use, 0);
	assert_no_fault(t);
}

void path_slow_prepare(void)
{
	no_slowdisk = slowdisk_prepare();
	if (no_slowdisk)
		print_message("no FUSE here: %s\n", strerror(no_slowdisk));
}

struct slowdisk *path_slow_open(const char *more, char *spec, size_t len)
{
	struct slowdisk *slow;

	if (no_slowdisk)
		return NULL;
	slow = slowdisk_open(16 * MB);
	snprintf(spec, len, "blk,path=%s%s", slowdisk_path(slow), more);
	return slow;
}

void path_slow_need(const struct slowdisk *slow)
{
	if (!slow)
		skip();
}

/* A daemon that waits for its disk could not end. */
void path_end(struct toy **t, struct toyblk **b, struct slowdisk **slow)
{
	toyblk_free(*b);
	if (*slow)
		slowdisk_release(*slow, 0);
	toy_free(*t);
	slowdisk_close(*slow);
	*t = NULL;
	*b = NULL;
	*slow = NULL;
}

/* ---- content ---- */

static uint64_t path_word(uint64_t sector, unsigned int i, unsigned int seed)
{
	return (uint64_t)seed << 48 | sector << 8 | i;
}

/* Buffers of guests need not be aligned. */
void path_fill(void *buf, uint64_t sector, size_t bytes, unsigned int seed)
{
	uint64_t want;
	size_t i;

	for (i = 0; i < bytes / 8; i++) {
		want = path_word(sector + i / WORDS, i % WORDS, seed);
		memcpy((uint8_t *)buf + i * 8, &want, 8);
	}
}

void path_check(const void *buf, uint64_t sector, size_t bytes,
		unsigned int seed)
{
	uint64_t want, is;
	size_t i;

	for (i = 0; i < bytes / 8; i++) {
		want = path_word(sector + i / WORDS, i % WORDS, seed);
		memcpy(&is, (const uint8_t *)buf + i * 8, 8);
		if (is != want)
			fail_msg("sector %llu, word %zu: %#llx, not %#llx",
				 (unsigned long long)(sector + i / WORDS),
				 i % WORDS, (unsigned long long)is,
				 (unsigned long long)want);
	}
}

static void *path_image_io(const char *path, uint64_t sector, size_t bytes,
			   void *write_from)
{
	int fd = open(path, write_from ? O_WRONLY : O_RDONLY);
	void *buf = write_from ? write_from : malloc(bytes);
	ssize_t n;

	assert_true(fd >= 0);
	assert_non_null(buf);
	n = write_from ? pwrite(fd, buf, bytes, sector * 512) :
		pread(fd, buf, bytes, sector * 512);
	close(fd);
	assert_int_equal(n, bytes);
	return buf;
}

void path_image_fill(const char *path, uint64_t sector, size_t bytes,
		     unsigned int seed)
{
	void *buf = malloc(bytes);

	assert_non_null(buf);
	path_fill(buf, sector, bytes, seed);
	path_image_io(path, sector, bytes, buf);
	free(buf);
}

void path_image_check(const char *path, uint64_t sector, size_t bytes,
		      unsigned int seed)
{
	void *buf = path_image_io(path, sector, bytes, NULL);

	path_check(buf, sector, bytes, seed);
	free(buf);
}

bool path_image_is_zero(const char *path, uint64_t sector, size_t bytes)
{
	uint8_t *buf = path_image_io(path, sector, bytes, NULL);
	bool zero = !buf[0] && !memcmp(buf, buf + 1, bytes - 1);

	free(buf);
	return zero;
}

/* ---- requests ---- */

uint64_t path_buffer(struct toyblk *b, uint32_t bytes)
{
	return toy_alloc(b->t, bytes, HYP_PAGE);
}

void path_exercise(struct toyblk *b, unsigned int queue, uint64_t sector,
		   uint32_t bytes, unsigned int seed)
{
	uint64_t mark = b->t->next_gpa;
	uint64_t from = path_buffer(b, bytes), to = path_buffer(b, bytes);

	path_fill(toy_ptr(b->t, from, bytes), sector, bytes, seed);
	assert_int_equal(toyblk_io(b, queue, VIRTIO_BLK_T_OUT, sector, from,
				   bytes), VIRTIO_BLK_S_OK);
	assert_int_equal(toyblk_io(b, queue, VIRTIO_BLK_T_IN, sector, to,
				   bytes), VIRTIO_BLK_S_OK);
	path_check(toy_ptr(b->t, to, bytes), sector, bytes, seed);
	b->t->next_gpa = mark;
}
