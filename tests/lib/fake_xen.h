/* SPDX-License-Identifier: MIT */
/*
 * fake_xen.h: Xen and one guest, in this process, for the tests of src/ioreq.
 * fake_xen.o defines what src/ioreq calls of libxen*, and is linked before
 * the real libraries.
 *
 *	fake_start(vcpus)
 *	    fake_ram_add()...		the guest's memory, page by page
 *	    fake_fail()			the Nth call of something fails
 *	    domain_open() ...		the code under test
 *	    fake_send(), fake_turn(), fake_take()	a vCPU's request
 *	    domain_close()
 *	fake_end()			asserts that nothing was left behind
 *
 * Guest memory is one memfd.  A guest frame has a machine frame behind it or
 * has not, and may get another one, as with ballooning; whoever mapped the
 * old one keeps seeing the old one.  Mappings are real ones, with an error
 * for each page; a page that is not there faults when touched.
 *
 * What a real Xen or a real library would answer with an error, or with
 * disaster, is an assert here: a foreign domain id, a call with a handle that
 * was closed or not restricted, an unmap of what is not mapped.
 */
#ifndef XVD_FAKE_XEN_H
#define XVD_FAKE_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>
#include <xen/hvm/ioreq.h>

#define FAKE_DOMID	7
#define FAKE_SERVER	3		/* the server's id */
#define FAKE_MAX_VCPUS	128
#define FAKE_RECORDS	64

struct grants;
struct loop;
struct guest_mem;

/* Everything that can be made to fail. */
enum fake_fn {
	FAKE_DMOD_OPEN,
	FAKE_DMOD_RESTRICT,
	FAKE_DMOD_CLOSE,
	FAKE_CREATE,
	FAKE_DESTROY,
	FAKE_ENABLE,
	FAKE_DISABLE,
	FAKE_NR_VCPUS,
	FAKE_MAP_RANGE,
	FAKE_UNMAP_RANGE,
	FAKE_MAP_PCIDEV,
	FAKE_UNMAP_PCIDEV,
	FAKE_MSI,
	FAKE_INTX,
	FAKE_IRQ,
	FAKE_FMEM_OPEN,
	FAKE_FMEM_RESTRICT,
	FAKE_FMEM_CLOSE,
	FAKE_MAP_RESOURCE,
	FAKE_UNMAP_RESOURCE,
	FAKE_MAP,
	FAKE_UNMAP,
	FAKE_EVTCHN_OPEN,
	FAKE_EVTCHN_RESTRICT,
	FAKE_EVTCHN_CLOSE,
	FAKE_BIND,
	FAKE_PENDING,
	FAKE_UNMASK,
	FAKE_NOTIFY,
	FAKE_XC_OPEN,
	FAKE_XC_CLOSE,
	FAKE_XC_INFO,
	FAKE_XGT_OPEN,
	FAKE_XGT_CLOSE,
	FAKE_GRANT_MAP,
	FAKE_GRANT_UNMAP,
	FAKE_GRANT_COPY,
	FAKE_CALLOC,			/* of the code under test, by --wrap */
	FAKE_MMAP,
	FAKE_FNS
};

/* A range or a BDF (start == end) that Xen sends to our server. */
struct fake_range {
	enum { FAKE_PORT, FAKE_MEM, FAKE_PCI } kind;
	uint64_t	start;
	uint64_t	end;		/* inclusive */
};

struct fake_xen {
	/* Set by the test. */
	unsigned int	vcpus;
	bool		vcpus_dead;	/* answers stay in their slots */
	unsigned int	vanish_at;	/* number of a FAKE_MAP call ... */
	uint64_t	vanish_gfn;	/* ... before which this page goes */
	unsigned int	max_granted;	/* pages; 0: any number */
	bool		may_renounce;	/* close foreign memory before the
					 * IOREQ page goes */
	bool		info_none;	/* xc: no domain from this id on */
	uint32_t	info_domid;	/* xc: ... but this one */
	uint32_t	info_flags;
	uint32_t	info_emulation;

	/* Looked at by the test. */
	unsigned int	calls[FAKE_FNS];
	char		diary[1024];	/* names of calls, see fake_diary() */
	bool		created;
	bool		enabled;
	int		bufioreq;
	unsigned int	stuck;		/* vCPUs waiting at destroy */
	unsigned int	nranges;
	struct fake_range range[FAKE_RECORDS];
	unsigned int	maps;		/* foreign mappings alive */
	unsigned int	maps_peak;
	unsigned int	pages;		/* pages in them, there or not */
	unsigned int	pages_peak;
	unsigned int	granted;	/* pages mapped by grants */
	unsigned int	copied;		/* segments of all calls */
	uint64_t	msi_addr;	/* the latest */
	uint32_t	msi_data;
	unsigned int	intx_dev;
	unsigned int	intx_level;
	unsigned int	irq;		/* Arm's, injected */
	unsigned int	notified[FAKE_MAX_VCPUS];
	ioreq_t		taken[FAKE_MAX_VCPUS];	/* the latest answer */
	shared_iopage_t	*page;		/* Xen's own view */
};

extern struct fake_xen fake;

void fake_start(unsigned int vcpus);

/* Asserts that everything was closed, unmapped, unbound and destroyed. */
void fake_end(void);

/*
 * Of the calls of @fn to come, number @nth (1: the next one) and the @times - 1
 * after it fail with @err.
 */
void fake_fail(enum fake_fn fn, unsigned int nth, unsigned int times, int err);

/* The calls since the last fake_diary(), "dmod_open fmem_open ...". */
const char *fake_diary(void);

/* The guest's memory.  New pages are zero. */
void fake_ram_add(uint64_t gfn, uint64_t count);
void fake_ram_del(uint64_t gfn, uint64_t count);
bool fake_ram_has(uint64_t gfn);

/* As the guest sees it now, at a guest physical address. */
void fake_ram_read(uint64_t addr, void *buf, size_t len);
void fake_ram_write(uint64_t addr, const void *buf, size_t len);

/*
 * The guest grants: reference @ref, below FAKE_GRANTS, is page @gfn.  Taken
 * back, it is good for nothing.  fake_granted() is the mappings that it has;
 * a guest may not take back what is mapped.
 */
#define FAKE_GRANTS	4096u

void fake_grant(uint32_t ref, uint64_t gfn, bool readonly);
void fake_revoke(uint32_t ref);
unsigned int fake_granted(uint32_t ref);

/*
 * A vCPU's side.  fake_send() fills the slot and makes it READY, with an
 * event; fake_raise() is the event alone.  fake_take() does what Xen does
 * when it gets the answer; false if there is none.  Unless vcpus_dead, that
 * is done for it as soon as it is notified, and the answer is in taken[].
 */
void fake_send(unsigned int vcpu, const ioreq_t *req);
void fake_raise(unsigned int vcpu);
bool fake_take(unsigned int vcpu);

/* Nothing is masked: every event that was taken was also unmasked. */
bool fake_unmasked(void);

/* Lets the loop do all there is to do now, and returns. */
void fake_turn(struct loop *loop);

/* Guest memory without a domain around it. */
struct fake_guest {
	struct loop		*loop;
	xendevicemodel_handle	*dmod;
	xenforeignmemory_handle	*fmem;
	struct grants		*grants;
	struct guest_mem	*gm;
};

/* With fake_start().  @serves: bits of enum guest_mem_kinds. */
void fake_guest_open_as(struct fake_guest *g, unsigned int serves);
void fake_guest_open(struct fake_guest *g);	/* plain addresses */
void fake_guest_close(struct fake_guest *g);	/* with fake_end() */

#endif
