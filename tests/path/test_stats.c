/* SPDX-License-Identifier: MIT */
/*
 * What is counted, as the supervisor has it: in its own memory, without a word
 * from the worker.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"
#include "state.h"

#define HEAD_BYTES	64	/* before the first function */

static struct toy *t;
static struct toyblk *b;
static struct toy_proc *p;
static struct slowdisk *none;
static uint8_t *file;		/* the state's, mapped */
static size_t file_bytes;

static int setup(void **state)
{
	(void)state;
	t = toy_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (file)
		munmap(file, file_bytes);
	file = NULL;
	path_end(&t, &b, &none);
	return 0;
}

/* Is this the descriptor of the state file?  Return: it, ours, or -1. */
static int open_state(const char *dir, const char *fd)
{
	char path[400], to[128];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, fd);
	n = readlink(path, to, sizeof(to) - 1);
	if (n < 0)
		return -1;
	to[n] = '\0';
	return strstr(to, "xen-virtiod-state") ?
	       open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static void map_state(void)
{
	struct dirent *e;
	struct stat st;
	char dir[64];
	int fd = -1;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", p->pid);
	d = opendir(dir);
	assert_non_null(d);
	while (fd < 0 && (e = readdir(d)))
		fd = open_state(dir, e->d_name);
	closedir(d);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	file_bytes = (size_t)st.st_size;
	file = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(file != MAP_FAILED);
	close(fd);
}

static const struct fn_stats *stats_of(unsigned int i)
{
	const struct fn_state *fn = (const void *)(file + HEAD_BYTES);

	assert_true(file_bytes == HEAD_BYTES + 2 * sizeof(*fn));
	return &fn[i].stats;
}

static void test_disk(void **state)
{
	const struct fn_stats *s;
	char image[128], spec[256];
	uint64_t before;
	unsigned int i;

	(void)state;
	toy_image(t, "disk", 16 * MB, image);
	snprintf(spec, sizeof(spec), "blk,path=%s", image);
	p = path_run(t, "blk,engine=null,size=1G", spec, NULL);
	b = path_disk(t, SLOT + 1, &(struct toyblk_conf){ 0 });
	map_state();
	s = stats_of(1);
	assert_int_equal(stat_get(&s->blk.reads), 0);
	before = stat_get(&s->kicks);
	for (i = 0; i < 10; i++)
		path_exercise(b, 0, 0, 65536, i);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(toyblk_io(b, 0, VIRTIO_BLK_T_IN, 1u << 20,
				   path_buffer(b, 512), 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(stat_get(&s->blk.reads), 10);
	assert_int_equal(stat_get(&s->blk.read_bytes), 10 * 65536);
	assert_int_equal(stat_get(&s->blk.writes), 10);
	assert_int_equal(stat_get(&s->blk.write_bytes), 10 * 65536);
	assert_int_equal(stat_get(&s->blk.flushes), 1);
	assert_int_equal(stat_get(&s->blk.errors), 1);
	assert_int_equal(stat_get(&s->blk.throttled), 0);
	assert_in_range(stat_get(&s->kicks) - before, 1, 22);
	assert_in_range(stat_get(&s->interrupts), 1, 22);
	assert_int_equal(stat_get(&stats_of(0)->blk.reads), 0);

	/* A reset is the driver's affair. */
	assert_int_equal(toyblk_reset(b), 0);
	assert_int_equal(stat_get(&s->blk.reads), 10);
	path_stop(t, p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disk, setup, teardown),
	};

	setvbuf(stdout, NULL, _IONBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
