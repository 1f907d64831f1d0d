/* SPDX-License-Identifier: MIT */
/*
 * A toy guest: one domain of the pretended hypervisor (xen/hyp.h), whose
 * vCPUs are the calling threads, and the daemons started to serve it.
 *
 *	t = toy_new(&(struct toy_conf){ .vcpus = 2 });
 *	p = toy_spawn(t, NULL, "--domain", "toy", "--device", spec, NULL);
 *	toy_ready(p, TOY_MS);
 *	id = toy_cfg_read(t, 0, TOY_BDF(0x18), PCI_VENDOR_ID, 4);
 *	...
 *	toy_free(t);
 *
 * An access goes the way Xen sends it: a server is selected, the vCPU's slot
 * filled, the event channel rung, and the vCPU sleeps until it is rung back.
 * It does not look at the slot before: an answer without a notification hangs
 * a real guest, so it fails here too.
 *
 * What Xen would answer with a crashed domain, and a daemon that dies or does
 * not answer in time, is a fault: the first one is kept as text in
 * toy_fault(), every later access reads all ones.  Tests look at it at their
 * end, so not every access needs a check.
 *
 * One thread per vCPU may use a toy at the same time.  Daemons are started and
 * stopped, and memory ballooned, by one thread.
 */
#ifndef TOY_H
#define TOY_H

#include <stdarg.h>
#include <sys/types.h>

#include "xen/hyp.h"

#define TOY_MS		5000	/* patience with anything, sanitizers too */
#define TOY_BDF(slot)	((slot) << 3)
#define TOY_PROCS	16

struct toy_conf {
	enum hyp_dom_type	type;		/* DOM_PVH unless said */
	uint32_t		domid;		/* one for each process */
	const char		*name;		/* "toy" */
	uint32_t		vcpus;		/* 1 */
	uint32_t		low_mb;		/* 32 */
	uint32_t		high_mb;	/* none; starts at 4 GiB */
};

/* A daemon, or anything else that runs against the stand-in libraries. */
struct toy_proc {
	struct toy	*toy;
	pid_t		pid;
	int		pidfd;
	int		notify_fd;
	int		status;		/* as toy_exit() answers, or -EAGAIN */
	char		log[128];	/* stdout and stderr */
	char		*log_text;
};

struct toy {
	struct hyp_view		xen;
	struct hyp_domain	*dom;
	char			dir[64];
	char			disk_dir[64];	/* not on tmpfs, made on use */
	uint8_t			*low, *high;	/* guest RAM */
	uint64_t		next_gpa;	/* toy_alloc() */
	uint64_t		next_mmio;
	uint32_t		next_pio;
	pthread_mutex_t		cfg_lock;	/* 0xcf8 and 0xcfc are a pair */
	pthread_mutex_t		fault_lock;
	char			fault[256];
	uint32_t		rung[HYP_SERVERS][HYP_VCPUS];
	int			io_ms;		/* patience with one access */
	uint32_t		slowest_us;	/* the longest access yet */
	struct toy_proc		proc[TOY_PROCS];
	int			nr_procs;
};

/* Never NULL: what cannot be set up ends the program with a message. */
struct toy *toy_new(const struct toy_conf *conf);
/* Kills what still runs, removes every file. */
void toy_free(struct toy *t);

/* The first fault, or NULL. */
const char *toy_fault(struct toy *t);
void toy_set_fault(struct toy *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Forget it: the test meant it to happen. */
void toy_clear_fault(struct toy *t);

/* ---- daemons ---- */

/*
 * Start @prog (NULL: $XEN_VIRTIOD, else ./xen-virtiod) with the arguments up
 * to NULL, against the stand-in libraries in $XEN_STANDIN.
 * Return: borrowed until toy_free().
 */
struct toy_proc *toy_spawn(struct toy *t, const char *prog, ...)
	__attribute__((sentinel));
struct toy_proc *toy_spawnv(struct toy *t, const char *const argv[]);
/* Look after a process that forked itself away, by its pid. */
struct toy_proc *toy_adopt(struct toy *t, pid_t pid);
/* Wait for READY=1. Return: 0, -ECHILD if it ended first, -ETIMEDOUT. */
int toy_ready(struct toy_proc *p, int ms);
/* Wait for the end. Return: exit code, 128 + signal, or -ETIMEDOUT. */
int toy_exit(struct toy_proc *p, int ms);
bool toy_lives(struct toy_proc *p);
void toy_kill(struct toy_proc *p, int sig);
/* Forget the newest process, which has ended: tests start many. */
void toy_drop(struct toy_proc *p);
/* All it has said so far; borrowed until the next call. */
const char *toy_log(struct toy_proc *p);

/* A sparse file of that size in the toy's directory. @ret: its path. */
void toy_image(struct toy *t, const char *name, uint64_t bytes, char ret[128]);
/* The same on a real filesystem, which checks what O_DIRECT is given. */
void toy_disk_image(struct toy *t, const char *name, uint64_t bytes,
		    char ret[128]);

/* ---- vCPUs ---- */

uint64_t toy_cfg_read(struct toy *t, unsigned int vcpu, unsigned int bdf,
		      unsigned int reg, unsigned int size);
void toy_cfg_write(struct toy *t, unsigned int vcpu, unsigned int bdf,
		   unsigned int reg, unsigned int size, uint64_t val);
uint64_t toy_pio_read(struct toy *t, unsigned int vcpu, unsigned int port,
		      unsigned int size);
void toy_pio_write(struct toy *t, unsigned int vcpu, unsigned int port,
		   unsigned int size, uint64_t val);
uint64_t toy_mem_read(struct toy *t, unsigned int vcpu, uint64_t addr,
		      unsigned int size);
void toy_mem_write(struct toy *t, unsigned int vcpu, uint64_t addr,
		   unsigned int size, uint64_t val);

/*
 * Any ioreq at all.  toy_send() selects the server as Xen does (-ENODEV when
 * none wants it); toy_post() takes the server's number, and returns with the
 * request in the slot; toy_finish() waits for the answer and empties the slot.
 * state and vp_eport of @req are filled in.
 * Return: 0, or a negative errno that is also the fault's.
 */
int toy_send(struct toy *t, unsigned int vcpu, const ioreq_t *req,
	     uint64_t *ret);
int toy_post(struct toy *t, unsigned int vcpu, int server, const ioreq_t *req);
int toy_finish(struct toy *t, unsigned int vcpu, int server, uint64_t *ret);
/* The slot itself, to be changed under the daemon's eyes. */
ioreq_t *toy_slot(struct toy *t, unsigned int vcpu, int server);
/* Ring the daemon without a request. */
int toy_ring(struct toy *t, unsigned int vcpu, int server);
/* How many servers the domain has, and the ranges of all of them. */
unsigned int toy_servers(struct toy *t);

/* ---- memory ---- */

/* Guest RAM nobody else uses, zeroed. @align is a power of two. */
uint64_t toy_alloc(struct toy *t, uint64_t bytes, uint64_t align);
/* Where the guest sees @gpa..@gpa + @len; ends the program if it is not RAM. */
void *toy_ptr(struct toy *t, uint64_t gpa, uint64_t len);
/* Tell every server to forget its mappings, from @vcpu, and wait. */
int toy_invalidate(struct toy *t, unsigned int vcpu);
/* Take the page at @gpa away / put a new one there / both and invalidate. */
void toy_balloon_out(struct toy *t, uint64_t gpa);
void toy_balloon_in(struct toy *t, uint64_t gpa);
void toy_balloon(struct toy *t, unsigned int vcpu, uint64_t gpa);
/* The frame behind @gpa, whoever owns it now: what a stale mapping sees. */
void *toy_frame(struct toy *t, uint64_t gpa);
void toy_frame_put(void *frame);

/* The @n pages of gpa[] in a row, as a kernel's page tables could have them;
 * to be given to munmap(). */
void *toy_window(struct toy *t, const uint64_t *gpa, unsigned int n);

/* ---- grants ---- */

/*
 * Grant dom0 the pages that hold @gpa..@gpa + @len, or the @n pages of gpa[]
 * in that order, by references in a row, as Linux' grant-dma-ops does.
 * Return: what a device is given as an address: TOY_GRANT, reference and
 * offset.
 */
uint64_t toy_grant(struct toy *t, uint64_t gpa, uint64_t len, bool readonly);
uint64_t toy_grant_pages(struct toy *t, const uint64_t *gpa, unsigned int n,
			 bool readonly);
#define TOY_GRANT		(1ull << 63)
#define toy_grant_ref(addr)	((uint32_t)(((addr) & ~TOY_GRANT) >> 12))
/* How many pages @addr..@addr + @len touch. */
#define toy_pages(addr, len)	((((addr) & 4095) + (len) + 4095) >> 12)

/*
 * Revoke what toy_grant() answered with, as far as the first grant that is
 * still mapped, which is counted in t->xen.hyp->grants_in_use.
 * Return: 0 or -EBUSY.
 */
int toy_revoke(struct toy *t, uint64_t addr, uint64_t len);

/* Numbers of t->dom->gnttab: given, mapped, most_mapped, maps, unmaps, copies,
 * copied_bytes; and what dom0 may have mapped at once, 0 for all it wants. */
void toy_limit_grants(struct toy *t, uint32_t limit);

/* ---- interrupts ---- */

uint32_t toy_msi_count(struct toy *t, uint64_t addr, uint32_t data);
/* Wait for the count to pass @seen. Return: 0 or -ETIMEDOUT. */
int toy_msi_wait(struct toy *t, uint64_t addr, uint32_t data, uint32_t seen,
		 int ms);
unsigned int toy_intx_level(struct toy *t, unsigned int slot,
			    unsigned int pin);
int toy_intx_wait(struct toy *t, unsigned int slot, unsigned int pin,
		  unsigned int level, int ms);

/* ---- life and faults of the domain ---- */

/* Destruction's first step: servers gone, memory gone, @releaseDomain. */
void toy_destroy(struct toy *t);
/* Its last. Return: 0, or -EBUSY while somebody keeps a page: a zombie. */
int toy_reap(struct toy *t);
void toy_shutdown(struct toy *t, uint32_t reason);

/*
 * Let @times calls of library function @fn fail with @err, from the
 * @nth after now (1: the next).  times 0 takes all faults away.
 */
void toy_fail(struct toy *t, const char *fn, unsigned int nth,
	      unsigned int times, int err);
uint32_t toy_calls(struct toy *t, const char *fn);

/* Let @times segments of grant copies fail with @status, one of GNTST_*, from
 * the @nth after now, however many a call has.  times 0 takes it away. */
void toy_fail_copy(struct toy *t, unsigned int nth, unsigned int times,
		   int status);

/*
 * Let the daemon stop at the beginning of its next call of library function
 * @fn, and forget all faults; SIGCONT lets it go on.
 */
void toy_stop_in(struct toy *t, const char *fn);
/* What the kernel says that it does: 'S' sleeps, 'T' is stopped, 'X' gone. */
char toy_proc_state(struct toy_proc *p);
/* Wait until it has stopped, for whatever reason.  Return: 0, -ETIMEDOUT. */
int toy_wait_stopped(struct toy_proc *p, int ms);

/* ---- PCI ---- */

struct toy_bar {
	uint64_t	addr, size;	/* size 0: there is none */
	bool		io, is64, prefetch;
};

/* Functions on bus 0 that answer. Return: how many, at most @max. */
unsigned int toy_pci_scan(struct toy *t, unsigned int *bdf, unsigned int max);
/* Size every BAR; give each an address if @place, else read it back. */
void toy_pci_bars(struct toy *t, unsigned int vcpu, unsigned int bdf,
		  bool place, struct toy_bar bar[6]);
/* The capability @id after @from (0: the first), or 0. */
unsigned int toy_pci_cap(struct toy *t, unsigned int bdf, unsigned int id,
			 unsigned int from);

/* Milliseconds of a clock that only goes forward. */
int64_t toy_now_ms(void);

#endif
