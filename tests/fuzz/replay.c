/* SPDX-License-Identifier: MIT */
/*
 * replay.c: a main() for a fuzz target where there is no libFuzzer: gives
 * every file named on the command line, or found in a directory named there,
 * to LLVMFuzzerTestOneInput(), once.  "make check" runs the corpora with it,
 * built by any compiler.
 *
 * Return: 0; 1 if an input cannot be read or there is none; a target that
 * finds something wrong aborts, and the last line names the input.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int inputs;

static int bad(const char *path)
{
	(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return 1;
}

/*
 * Reads into a buffer of exactly the right size, so that ASan sees a target
 * that looks beyond its end.
 */
static int replay_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	size_t len = 0;
	ssize_t n = 1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!data || fd < 0) {
		free(data);
		return bad(path);
	}
	while (len < size && n > 0) {
		n = read(fd, data + len, size - len);
		if (n < 0) {
			free(data);
			(void)close(fd);
			return bad(path);
		}
		len += (size_t)n;
	}
	(void)close(fd);
	(void)printf("# %s\n", path);
	(void)fflush(stdout);		/* out, should the target abort */
	(void)LLVMFuzzerTestOneInput(data, len);
	free(data);
	inputs++;
	return 0;
}

static int replay(const char *path)
{
	struct dirent **names;
	struct stat st;
	char *sub;
	int i, n, r = 0;

	if (stat(path, &st) < 0)
		return bad(path);
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);

	n = scandir(path, &names, NULL, alphasort);
	if (n < 0)
		return bad(path);
	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			if (asprintf(&sub, "%s/%s", path,
				     names[i]->d_name) < 0)
				abort();
			r |= replay(sub);
			free(sub);
		}
		free(names[i]);
	}
	free(names);
	return r;
}

int main(int argc, char **argv)
{
	int i, r = 0;

	if (argc < 2)
		(void)fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
	for (i = 1; i < argc; i++)
		r |= replay(argv[i]);
	(void)printf("# %u inputs\n", inputs);
	return r || inputs == 0;
}
