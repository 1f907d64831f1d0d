/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor made of one shared file.
 *
 * The stand-in libxen (lib_*.c, loaded by the unmodified daemon in place of
 * Debian's libraries) and the toy guest (../toy.c, in the test program) are
 * two processes that know the same directory, $FAKE_XEN:
 *
 *	xen		struct hyp, then the ioreq pages, mapped by both
 *	ram		frames of guest RAM, sparse, mapped by both
 *	h.0, h.1 ...	one fifo per open library handle
 *
 * There is no process that plays Xen.  Every "hypercall" is a function of
 * hyp.c that takes the lock in struct hyp and changes it, whichever process
 * it runs in, as a hypercall runs on the CPU that makes it.
 *
 * A fifo is what makes a handle pollable.  For event channels it carries what
 * /dev/xen/evtchn carries: four-byte port numbers.  For xenstore it carries
 * fired watches.  It also tells whether the owner still lives: a fifo without
 * a reader belonged to a process that is gone, and what the kernel would have
 * undone for it (bound ports, watches) is undone when somebody notices.
 *
 * What is copied is the behaviour that a device model can see, error codes
 * included, of Xen 4.17 and the Linux drivers below its libraries.  What is
 * not: pausing, permissions between domains, memory types, buffered ioreqs
 * (the page exists, Xen never fills it here), grants of any but whole pages.
 *
 * Functions return 0 or a negative errno as a hypercall does; the libraries
 * turn that into -1 and errno.
 */
#ifndef HYP_H
#define HYP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/hvm/ioreq.h>

#define HYP_ENV		"FAKE_XEN"

#define HYP_PAGE	4096u
#define HYP_DOMAINS	4
#define HYP_VCPUS	128	/* ioreq slots of a page */
#define HYP_SERVERS	8	/* Xen: MAX_NR_IOREQ_SERVERS */
#define HYP_RANGES	256	/* Xen: MAX_NR_IO_RANGES */
#define HYP_PORTS	2048	/* event channels of one domain */
#define HYP_RAM_PAGES	65536	/* per domain */
#define HYP_HIGH_GFN	0x100000ul	/* second block of RAM: at 4 GiB */
#define HYP_HANDLES	128
#define HYP_WATCHES	64
#define HYP_NODES	512
#define HYP_MSIS	128
#define HYP_FAULTS	16
#define HYP_LOG		4096
#define HYP_IOPAGES	4096	/* ioreq pages that may ever be made */
#define HYP_GRANTS	16384	/* entries of a domain's grant table */
#define HYP_GRANT_FIRST	8	/* Linux: GNTTAB_NR_RESERVED_ENTRIES */
#define HYP_MAPTRACK	16384	/* grants that dom0 can map at once */

/* Every function of the libraries that counts its calls and can be made to
 * fail.  Opening and closing a handle are in the list too. */
#define HYP_FNS(X) \
	X(xendevicemodel_open) X(xendevicemodel_close) \
	X(xendevicemodel_restrict) \
	X(xendevicemodel_create_ioreq_server) \
	X(xendevicemodel_destroy_ioreq_server) \
	X(xendevicemodel_get_ioreq_server_info) \
	X(xendevicemodel_map_io_range_to_ioreq_server) \
	X(xendevicemodel_unmap_io_range_from_ioreq_server) \
	X(xendevicemodel_map_pcidev_to_ioreq_server) \
	X(xendevicemodel_unmap_pcidev_from_ioreq_server) \
	X(xendevicemodel_set_ioreq_server_state) \
	X(xendevicemodel_inject_msi) X(xendevicemodel_set_pci_intx_level) \
	X(xendevicemodel_set_irq_level) X(xendevicemodel_nr_vcpus) \
	X(xenforeignmemory_open) X(xenforeignmemory_close) \
	X(xenforeignmemory_restrict) X(xenforeignmemory_map) \
	X(xenforeignmemory_unmap) X(xenforeignmemory_map_resource) \
	X(xenforeignmemory_unmap_resource) \
	X(xenforeignmemory_resource_size) \
	X(xenevtchn_open) X(xenevtchn_close) X(xenevtchn_fd) \
	X(xenevtchn_restrict) X(xenevtchn_bind_unbound_port) \
	X(xenevtchn_bind_interdomain) X(xenevtchn_unbind) \
	X(xenevtchn_notify) X(xenevtchn_pending) X(xenevtchn_unmask) \
	X(xentoolcore_restrict_all) \
	X(xengnttab_open) X(xengnttab_close) \
	X(xengnttab_map_grant_ref) X(xengnttab_map_grant_refs) \
	X(xengnttab_map_domain_grant_refs) X(xengnttab_unmap) \
	X(xengnttab_set_max_grants) X(xengnttab_grant_copy) \
	X(xc_interface_open) X(xc_interface_close) X(xc_domain_getinfo) \
	X(xc_domain_getinfolist) X(xc_domain_pause) X(xc_domain_unpause) \
	X(xc_version) \
	X(xs_open) X(xs_close) X(xs_fileno) X(xs_watch) X(xs_unwatch) \
	X(xs_read_watch) X(xs_check_watch) X(xs_read) X(xs_write) \
	X(xs_rm) X(xs_mkdir) X(xs_directory) X(xs_get_domain_path) \
	X(xs_is_domain_introduced) X(xs_transaction_start) \
	X(xs_transaction_end)

enum hyp_fn {
#define X(name) FN_##name,
	HYP_FNS(X)
#undef X
	HYP_FN_COUNT
};

enum hyp_handle_kind {
	HANDLE_FREE,
	HANDLE_DEVICEMODEL,
	HANDLE_FOREIGNMEMORY,
	HANDLE_EVTCHN,
	HANDLE_GNTTAB,
	HANDLE_CTRL,
	HANDLE_STORE,
};

enum hyp_dom_type { DOM_PVH, DOM_HVM, DOM_ARM, DOM_PV };

/* A dying domain has lost its ioreq servers and its memory cannot be mapped
 * any more, but its domid still means it.  A domain that is gone is ESRCH. */
enum hyp_dom_state { DOM_NONE, DOM_ALIVE, DOM_DYING, DOM_GONE };

enum hyp_port_state { PORT_FREE, PORT_UNBOUND, PORT_BOUND };

/* delivery of an event to a handle's fifo */
enum hyp_event { EVENT_IDLE, EVENT_DELIVERED, EVENT_AGAIN };

struct hyp_port {
	uint32_t	state;		/* enum hyp_port_state */
	uint32_t	remote_domid;
	uint32_t	remote_port;
	uint32_t	handle;		/* dom0's: whose fifo */
	uint32_t	event;		/* dom0's: enum hyp_event, atomic */
	uint32_t	rung;		/* guest's: notifications, a futex */
};

struct hyp_range {
	uint64_t	start, end;	/* inclusive */
};

/* Sorted, neighbours merged, as Xen's rangeset. */
struct hyp_rangeset {
	uint32_t		n;
	struct hyp_range	r[HYP_RANGES];
};

/* the kinds of range, numbered as XEN_DMOP_IO_RANGE_* */
enum { RANGE_PORT, RANGE_MEMORY, RANGE_PCI, RANGE_KINDS };

struct hyp_server {
	bool			used;
	bool			enabled;
	int			bufioreq;
	uint32_t		page;		/* index + 1, or 0 */
	uint32_t		bufpage;
	uint32_t		bufport;
	uint32_t		port[HYP_VCPUS];
	struct hyp_rangeset	range[RANGE_KINDS];
};

struct hyp_msi {
	uint64_t	addr;
	uint32_t	data;
	uint32_t	count;
};

/* One entry of a grant table. */
struct hyp_grant {
	bool		given;
	bool		readonly;
	uint32_t	to;		/* domid */
	uint32_t	frame;		/* as in frame[], while mapped */
	uint32_t	maps;		/* how often it is mapped now, */
	uint32_t	writes;		/* and writable of them */
	uint64_t	gfn;
};

struct hyp_gnttab {
	uint32_t		next;		/* look for free ones here */
	uint32_t		given;		/* now */
	uint32_t		mapped;		/* now, most at once */
	uint32_t		most_mapped;
	uint64_t		maps, unmaps;	/* of one grant each */
	uint64_t		copies;		/* none crosses a page */
	uint64_t		copied_bytes;
	struct hyp_grant	entry[HYP_GRANTS];
};

/* A mapping that dom0 has: what Xen calls a maptrack entry. */
struct hyp_track {
	bool		used;
	bool		writable;
	uint32_t	handle;		/* whose */
	uint32_t	dom;		/* index in struct hyp */
	uint32_t	ref;
};

struct hyp_domain {
	uint32_t		domid;
	uint32_t		state;		/* enum hyp_dom_state */
	uint32_t		type;		/* enum hyp_dom_type */
	uint32_t		vcpus;
	uint32_t		shutdown;	/* reason + 1, or 0 */
	uint32_t		pauses;
	uint64_t		cpu_ns;
	bool			introduced;	/* to xenstore */
	uint32_t		cf8;		/* Xen's own latch */
	uint32_t		low_pages, high_pages;
	uint32_t		frame[HYP_RAM_PAGES];	/* 0: hole; + 1 */
	struct hyp_server	server[HYP_SERVERS];
	struct hyp_port		port[HYP_PORTS];
	struct hyp_msi		msi[HYP_MSIS];
	uint32_t		nr_msis;
	uint8_t			intx[32][4];	/* level now */
	uint32_t		intx_rises[32][4];
	uint32_t		intx_calls;
	uint32_t		irq_pulses[256]; /* set_irq_level(n, 1) */
	struct hyp_gnttab	gnttab;
};

struct hyp_handle {
	uint32_t	kind;		/* enum hyp_handle_kind */
	uint32_t	serial;		/* names the fifo, never used twice */
	uint32_t	mapped;		/* pages of guests */
	uint32_t	kept;		/* of them, ioreq pages */
	bool		closed;		/* but something is still mapped */
};

struct hyp_watch {
	bool		used;
	uint32_t	handle;
	char		path[192];
	char		token[64];
};

struct hyp_node {
	bool		used;
	char		path[192];
	uint32_t	len;
	char		value[1024];
};

struct hyp_fault {
	uint32_t	fn;		/* enum hyp_fn */
	uint32_t	first;		/* number of the first call to fail */
	uint32_t	times;		/* how many; 0: slot unused */
	int		err;		/* positive errno, or HYP_STOP */
};

#define HYP_STOP	0x10000	/* no failure: stop the process, SIGSTOP */

struct hyp {
	uint32_t		size;		/* its own: the same build? */
	pthread_mutex_t		lock;
	uint32_t		irq_seq;	/* futex: interrupts, death */
	uint32_t		next_frame;	/* of ram */
	uint32_t		next_iopage;
	uint32_t		next_serial;
	uint32_t		leaked_maps;	/* pages mapped at close */
	uint32_t		grants_in_use;	/* revocations that failed */
	uint32_t		maptrack_limit;	/* 0: all of them */
	uint32_t		maptrack_used;
	uint32_t		maptrack_next;	/* look for a free one here */
	struct hyp_track	maptrack[HYP_MAPTRACK];
	uint64_t		copy_segs;	/* that grant_copy was given */
	uint64_t		copy_fail_first; /* the number of one to fail */
	uint32_t		copy_fail_times; /* how many; 0: none */
	int			copy_fail_status; /* GNTST_* */
	struct hyp_domain	dom[HYP_DOMAINS];
	struct hyp_port		port0[HYP_PORTS];	/* dom0's */
	struct hyp_handle	handle[HYP_HANDLES];
	struct hyp_watch	watch[HYP_WATCHES];
	struct hyp_node		node[HYP_NODES];
	struct hyp_fault	fault[HYP_FAULTS];
	uint32_t		calls[HYP_FN_COUNT];
	uint32_t		log_len;	/* counts on past the end */
	uint16_t		log[HYP_LOG];	/* enum hyp_fn, in order */
};

/* One process's view.  Kept in a static by the libraries (they have nothing
 * else to hang it on) and in struct toy by the toy guest. */
struct hyp_view {
	struct hyp	*hyp;
	int		dir_fd;
	int		xen_fd;
	int		ram_fd;
	uint8_t		*ram;			/* for copies, or NULL */
	uint32_t	ram_frames;
	pthread_mutex_t	wr_lock;		/* vCPU threads share wr[] */
	struct {				/* fifos, to write to */
		int		fd;		/* or -1 */
		uint32_t	serial;
	}		wr[HYP_HANDLES];
	void		*iopage[HYP_IOPAGES];		/* or NULL */
};

/* Who rings other processes' handles must ignore SIGPIPE: they may be dead.
 *
 * Make an empty hypervisor in the directory @dir, which exists. */
int hyp_create(const char *dir, struct hyp_view *ret);

/* Join the one that @dir holds. */
int hyp_attach(const char *dir, struct hyp_view *ret);
void hyp_detach(struct hyp_view *v);

void hyp_lock(struct hyp *h);
void hyp_unlock(struct hyp *h);

/* Count a call of @fn.  Return: 0, or the negative errno it is to fail with. */
int hyp_called(struct hyp *h, enum hyp_fn fn);
const char *hyp_fn_name(enum hyp_fn fn);
int hyp_fn_find(const char *name);

/* Domains.  hyp_domain_find() answers NULL when there is none or it is gone;
 * its caller holds the lock. */
struct hyp_domain *hyp_domain_find(struct hyp *h, uint32_t domid);
int hyp_domain_add(struct hyp_view *v, uint32_t domid, const char *name,
		   enum hyp_dom_type type, uint32_t vcpus, uint32_t low_pages,
		   uint32_t high_pages);
/* destruction in Xen's two steps; the first fires @releaseDomain */
int hyp_domain_kill(struct hyp_view *v, uint32_t domid);
int hyp_domain_reap(struct hyp_view *v, uint32_t domid);
int hyp_domain_shutdown(struct hyp_view *v, uint32_t domid, uint32_t reason);

/* Where @gfn's entry in frame[] is, or NULL for an address without RAM. */
uint32_t *hyp_domain_frame(struct hyp_domain *d, uint64_t gfn);

/* Take @gfn's page away, or give it a new one full of zeroes. */
int hyp_balloon_out(struct hyp_view *v, uint32_t domid, uint64_t gfn);
int hyp_balloon_in(struct hyp_view *v, uint32_t domid, uint64_t gfn);

/*
 * Grants, the guest's side.  hyp_grant_add() takes the reference it is told,
 * which must be free (-EBUSY); hyp_grant_alloc() takes @n in a row, of those
 * that have not been used for longest, or says -ENOSPC.  hyp_grant_del() is
 * gnttab_end_foreign_access_ref(): -EBUSY, and counted in grants_in_use, if
 * the grant is still mapped; -ENOENT if there is none.
 */
int hyp_grant_add(struct hyp_view *v, uint32_t domid, uint32_t ref,
		  uint64_t gfn, uint32_t to, bool readonly);
int hyp_grant_alloc(struct hyp_view *v, uint32_t domid, uint32_t n,
		    const uint64_t *gfn, uint32_t to, bool readonly,
		    uint32_t *ret);
int hyp_grant_del(struct hyp_view *v, uint32_t domid, uint32_t ref);

/*
 * Grants, dom0's side.  Here the answers are Xen's own: GNTST_okay or one of
 * the negative GNTST_*.  hyp_grant_map() makes all @n mappings or none; the
 * grants are of domid[0], domid[stride] ... and @ret_frame is what
 * lib_map_frames() takes, @ret_track what hyp_grant_unmap() does.
 */
int hyp_grant_map(struct hyp_view *v, uint32_t handle, uint32_t n,
		  const uint32_t *domid, unsigned int stride,
		  const uint32_t *ref, bool writable, uint32_t *ret_frame,
		  uint32_t *ret_track);
void hyp_grant_unmap(struct hyp_view *v, uint32_t n, const uint32_t *track);
/* Copy between @local and @offset in a granted page, which holds all of it. */
int hyp_grant_copy(struct hyp_view *v, uint32_t domid, uint32_t ref,
		   bool to_grant, uint32_t offset, void *local, uint32_t len);
/* Count a segment of a copy.  Return: GNTST_okay, or what it fails with. */
int hyp_copy_called(struct hyp *h);

/* ioreq servers, as the dm_ops of the same name */
int hyp_server_create(struct hyp_view *v, uint32_t domid, int bufioreq,
		      uint16_t *ret);
int hyp_server_destroy(struct hyp_view *v, uint32_t domid, uint16_t id);
int hyp_server_enable(struct hyp_view *v, uint32_t domid, uint16_t id,
		      bool enabled);
int hyp_server_map(struct hyp_view *v, uint32_t domid, uint16_t id,
		   unsigned int kind, uint64_t start, uint64_t end);
int hyp_server_unmap(struct hyp_view *v, uint32_t domid, uint16_t id,
		     unsigned int kind, uint64_t start, uint64_t end);
/* The index of the page behind @frame of the resource, made on first use. */
int hyp_server_frame(struct hyp_view *v, uint32_t domid, uint16_t id,
		     uint64_t frame, uint32_t *ret);
/* The newest enabled server that owns all of start..end, or -1; lock held. */
int hyp_server_select(struct hyp_domain *d, unsigned int kind, uint64_t start,
		      uint64_t end);
/* This process's mapping of an ioreq page. */
void *hyp_iopage(struct hyp_view *v, uint32_t index);
uint64_t hyp_iopage_offset(uint32_t index);	/* in the file "xen" */

/* rangesets */
int hyp_range_add(struct hyp_rangeset *s, uint64_t start, uint64_t end);
int hyp_range_del(struct hyp_rangeset *s, uint64_t start, uint64_t end);
bool hyp_range_has(const struct hyp_rangeset *s, uint64_t start, uint64_t end);

/*
 * Handles.  hyp_handle_open() makes the fifo and opens it both ways, so it
 * never reads as closed while its owner lives.  A mapping holds on to the file
 * it is one of: what hyp_handle_close() finds mapped is counted as leaked, all
 * but ioreq pages, and the handle stays, and its fifo open, until nothing is
 * mapped any more and it is closed again, or its owner is dead.
 */
int hyp_handle_open(struct hyp_view *v, enum hyp_handle_kind kind,
		    uint32_t *ret, int *ret_fd);
void hyp_handle_close(struct hyp_view *v, uint32_t index, int fd);
bool hyp_handle_lives(struct hyp_view *v, uint32_t index);

/* Event channels.  Ports of @handle are dom0's, counted from 1. */
int hyp_port_bind(struct hyp_view *v, uint32_t handle, uint32_t domid,
		  uint32_t remote);
int hyp_port_unbound(struct hyp_view *v, uint32_t handle, uint32_t domid);
int hyp_port_unbind(struct hyp_view *v, uint32_t handle, uint32_t port);
int hyp_port_notify(struct hyp_view *v, uint32_t handle, uint32_t port);
int hyp_port_unmask(struct hyp_view *v, uint32_t handle, uint32_t port);
/* the guest's (Xen's) end of a channel: ring dom0 */
int hyp_port_ring(struct hyp_view *v, struct hyp_domain *d, uint32_t port);

/* interrupts */
int hyp_irq_msi(struct hyp_view *v, uint32_t domid, uint64_t addr,
		uint32_t data);
int hyp_irq_intx(struct hyp_view *v, uint32_t domid, uint16_t segment,
		 uint8_t bus, uint8_t dev, uint8_t pin, uint32_t level);
int hyp_irq_line(struct hyp_view *v, uint32_t domid, uint32_t irq,
		 uint32_t level);

/* futexes across processes; @ms < 0 waits for ever */
void hyp_wake(uint32_t *word);
int hyp_sleep(uint32_t *word, uint32_t seen, int ms);

/* xenstore */
int hyp_store_write(struct hyp_view *v, const char *path, const void *value,
		    uint32_t len);
int hyp_store_rm(struct hyp_view *v, const char *path);
struct hyp_node *hyp_store_find(struct hyp *h, const char *path);
void hyp_store_fire(struct hyp_view *v, const char *path);	/* lock held */
int hyp_watch_add(struct hyp_view *v, uint32_t handle, const char *path,
		  const char *token);
int hyp_watch_del(struct hyp_view *v, uint32_t handle, const char *path,
		  const char *token);

#endif
