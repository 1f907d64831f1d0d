/* SPDX-License-Identifier: MIT */
/*
 * The libraries' common part, and libxentoolcore, which is too small for a file
 * of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xentoolcore.h>

#include "lib.h"

struct hyp_view lib_view = { .dir_fd = -1, .xen_fd = -1, .ram_fd = -1 };

static ino_t lib_ino;		/* of the directory lib_view holds */
static struct lib_handle *lib_handles;
static struct lib_handle *lib_retired;
static pthread_mutex_t lib_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * Attach on first use.  A worker may have closed every descriptor it did not
 * know since the supervisor's first use, so look whether ours is still ours.
 */
static int lib_attach(void)
{
	const char *dir = getenv(HYP_ENV);
	struct stat st;
	int r;

	if (lib_view.hyp && !fstat(lib_view.dir_fd, &st) &&
	    st.st_ino == lib_ino)
		return 0;
	if (!dir)
		return -ENOENT;
	r = hyp_attach(dir, &lib_view);
	if (r)
		return r;
	if (fstat(lib_view.dir_fd, &st))
		return -errno;
	lib_ino = st.st_ino;
	return 0;
}

int lib_result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

int lib_called(enum hyp_fn fn)
{
	return lib_result(hyp_called(lib_view.hyp, fn));
}

int lib_open(struct lib_handle *h, enum hyp_handle_kind kind, enum hyp_fn fn,
	     int (*restrict_to)(struct lib_handle *h, int domid))
{
	int r;

	pthread_mutex_lock(&lib_lock);
	r = lib_attach();
	if (!r)
		r = hyp_called(lib_view.hyp, fn);
	if (!r)
		r = hyp_handle_open(&lib_view, kind, &h->index, &h->fd);
	if (!r) {
		h->domid = -1;
		h->restrict_to = restrict_to;
		h->next = lib_handles;
		lib_handles = h;
	}
	pthread_mutex_unlock(&lib_lock);
	return lib_result(r);
}

void lib_close(struct lib_handle *h)
{
	struct lib_handle **p;

	pthread_mutex_lock(&lib_lock);
	for (p = &lib_handles; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			break;
		}
	pthread_mutex_unlock(&lib_lock);
	hyp_handle_close(&lib_view, h->index, h->fd);
}

void lib_retire(struct lib_handle *h)
{
	h->closed = true;
	lib_close(h);
	pthread_mutex_lock(&lib_lock);
	h->next = lib_retired;
	lib_retired = h;
	pthread_mutex_unlock(&lib_lock);
}

void lib_account(struct lib_handle *h, int pages, int kept)
{
	struct hyp_handle *slot = &lib_view.hyp->handle[h->index];
	uint32_t left;

	__atomic_add_fetch(&slot->kept, kept, __ATOMIC_RELAXED);
	left = __atomic_add_fetch(&slot->mapped, pages, __ATOMIC_RELAXED);
	if (h->closed && !left)
		hyp_handle_close(&lib_view, h->index, h->fd);
}

int lib_check_domain(const struct lib_handle *h, uint32_t domid)
{
	if (h->closed)
		return -EBADF;
	return h->domid >= 0 && (uint32_t)h->domid != domid ? -EPERM : 0;
}

int lib_restrict(struct lib_handle *h, int domid)
{
	if (h->domid >= 0 && h->domid != domid)
		return lib_result(-EINVAL);
	h->domid = domid;
	return 0;
}

void *lib_map_frames(void *addr, int prot, int flags, size_t n,
		     const uint32_t *frame)
{
	size_t i, run;
	char *base;

	/* A page with an error is there, and kills whoever touches it. */
	base = mmap(addr, n * HYP_PAGE, PROT_NONE,
		    flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	for (i = 0; i < n; i += run) {
		for (run = 1; i + run < n && frame[i] &&
		     frame[i + run] == frame[i] + run; run++)
			;
		if (!frame[i])
			continue;
		if (mmap(base + i * HYP_PAGE, run * HYP_PAGE, prot,
			 MAP_SHARED | MAP_FIXED, lib_view.ram_fd,
			 (uint64_t)(frame[i] - 1) * HYP_PAGE) == MAP_FAILED) {
			munmap(base, n * HYP_PAGE);
			return NULL;
		}
	}
	return base;
}

/* ---- libxentoolcore ---- */

int xentoolcore_restrict_all(domid_t domid)
{
	struct lib_handle *h;
	int r = 0;

	if (!lib_view.hyp)
		return 0;		/* nothing is open yet */
	if (lib_called(FN_xentoolcore_restrict_all))
		return -1;
	pthread_mutex_lock(&lib_lock);
	for (h = lib_handles; h && !r; h = h->next)
		r = h->restrict_to(h, domid);
	pthread_mutex_unlock(&lib_lock);
	return r;
}
