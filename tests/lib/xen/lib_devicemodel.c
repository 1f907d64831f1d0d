/* SPDX-License-Identifier: MIT */
/*
 * libxendevicemodel: one dm_op each.  The order of the checks is that of the
 * real path: an injected fault stands for the hypercall, then privcmd's
 * restriction, then Xen.
 */
#include <errno.h>
#include <stdlib.h>

#include <xendevicemodel.h>

#include "lib.h"

struct xendevicemodel_handle {
	struct lib_handle	lib;
};

/* Answer -1 from the calling function if the call may not go on. */
#define DM_ENTER(dmod, domid, fn)					\
	do {								\
		if (lib_called(FN_##fn) ||				\
		    lib_result(lib_check_domain(&(dmod)->lib, domid)))	\
			return -1;					\
	} while (0)

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
					   unsigned int open_flags)
{
	xendevicemodel_handle *dmod = calloc(1, sizeof(*dmod));

	(void)logger;
	(void)open_flags;
	if (dmod && lib_open(&dmod->lib, HANDLE_DEVICEMODEL,
			     FN_xendevicemodel_open, lib_restrict)) {
		free(dmod);
		return NULL;
	}
	return dmod;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
	if (!dmod)
		return 0;
	(void)lib_called(FN_xendevicemodel_close);
	lib_close(&dmod->lib);
	free(dmod);
	return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
	if (lib_called(FN_xendevicemodel_restrict))
		return -1;
	return lib_restrict(&dmod->lib, domid);
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dmod,
				       domid_t domid, int handle_bufioreq,
				       ioservid_t *id)
{
	DM_ENTER(dmod, domid, xendevicemodel_create_ioreq_server);
	return lib_result(hyp_server_create(&lib_view, domid, handle_bufioreq,
					    id));
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dmod,
					domid_t domid, ioservid_t id)
{
	DM_ENTER(dmod, domid, xendevicemodel_destroy_ioreq_server);
	return lib_result(hyp_server_destroy(&lib_view, domid, id));
}

/* The pages in the guest's own p2m are the old way, which puts the ring where
 * the guest can write it.  It does not exist here. */
int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *dmod,
					 domid_t domid, ioservid_t id,
					 xen_pfn_t *ioreq_gfn,
					 xen_pfn_t *bufioreq_gfn,
					 evtchn_port_t *bufioreq_port)
{
	struct hyp_domain *d;
	int r = 0;

	DM_ENTER(dmod, domid, xendevicemodel_get_ioreq_server_info);
	if (ioreq_gfn || bufioreq_gfn)
		return lib_result(-EPERM);
	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	if (!d)
		r = -ESRCH;
	else if (id >= HYP_SERVERS || !d->server[id].used)
		r = -ENOENT;
	else if (bufioreq_port && d->server[id].bufioreq)
		*bufioreq_port = d->server[id].bufport;
	hyp_unlock(lib_view.hyp);
	return lib_result(r);
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dmod,
						domid_t domid, ioservid_t id,
						int is_mmio, uint64_t start,
						uint64_t end)
{
	DM_ENTER(dmod, domid, xendevicemodel_map_io_range_to_ioreq_server);
	return lib_result(hyp_server_map(&lib_view, domid, id, is_mmio ?
					 RANGE_MEMORY : RANGE_PORT, start,
					 end));
}

int xendevicemodel_unmap_io_range_from_ioreq_server(
	xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int is_mmio,
	uint64_t start, uint64_t end)
{
	DM_ENTER(dmod, domid, xendevicemodel_unmap_io_range_from_ioreq_server);
	return lib_result(hyp_server_unmap(&lib_view, domid, id, is_mmio ?
					   RANGE_MEMORY : RANGE_PORT, start,
					   end));
}

/* What Xen knows a function by, or -EINVAL. */
static int64_t dm_sbdf(uint16_t segment, uint8_t bus, uint8_t device,
		       uint8_t function)
{
	if (device > 0x1f || function > 7)
		return -EINVAL;
	return (int64_t)segment << 16 | bus << 8 | device << 3 | function;
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *dmod,
					      domid_t domid, ioservid_t id,
					      uint16_t segment, uint8_t bus,
					      uint8_t device, uint8_t function)
{
	int64_t sbdf = dm_sbdf(segment, bus, device, function);

	DM_ENTER(dmod, domid, xendevicemodel_map_pcidev_to_ioreq_server);
	if (sbdf < 0)
		return lib_result(sbdf);
	return lib_result(hyp_server_map(&lib_view, domid, id, RANGE_PCI, sbdf,
					 sbdf));
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(
	xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
	uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
	int64_t sbdf = dm_sbdf(segment, bus, device, function);

	DM_ENTER(dmod, domid, xendevicemodel_unmap_pcidev_from_ioreq_server);
	if (sbdf < 0)
		return lib_result(sbdf);
	return lib_result(hyp_server_unmap(&lib_view, domid, id, RANGE_PCI,
					   sbdf, sbdf));
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dmod,
					  domid_t domid, ioservid_t id,
					  int enabled)
{
	DM_ENTER(dmod, domid, xendevicemodel_set_ioreq_server_state);
	return lib_result(hyp_server_enable(&lib_view, domid, id, enabled));
}

int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid,
			      uint64_t msi_addr, uint32_t msi_data)
{
	DM_ENTER(dmod, domid, xendevicemodel_inject_msi);
	return lib_result(hyp_irq_msi(&lib_view, domid, msi_addr, msi_data));
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod,
				      domid_t domid, uint16_t segment,
				      uint8_t bus, uint8_t device,
				      uint8_t intx, unsigned int level)
{
	DM_ENTER(dmod, domid, xendevicemodel_set_pci_intx_level);
	return lib_result(hyp_irq_intx(&lib_view, domid, segment, bus, device,
				       intx, level));
}

int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid,
				 unsigned int irq, unsigned int level)
{
	DM_ENTER(dmod, domid, xendevicemodel_set_irq_level);
	return lib_result(hyp_irq_line(&lib_view, domid, irq, level));
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod, domid_t domid,
			    unsigned int *vcpus)
{
	struct hyp_domain *d;

	DM_ENTER(dmod, domid, xendevicemodel_nr_vcpus);
	hyp_lock(lib_view.hyp);
	d = hyp_domain_find(lib_view.hyp, domid);
	if (d)
		*vcpus = d->vcpus;
	hyp_unlock(lib_view.hyp);
	return lib_result(d ? 0 : -ESRCH);
}
