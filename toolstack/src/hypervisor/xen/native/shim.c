/* See shim.h. */
#include "shim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xentoollog.h>
#include <xen/hvm/e820.h>

/* xl's slack for what the hypervisor accounts to a domain besides its memory
 * (LIBXL_MAXMEM_CONSTANT, tools/libs/light/libxl_internal.h). */
#define SLACK_KIB 1024
/* A guest-physical address that a PVH domain's RAM must stay below. */
#define LAPIC_BASE 0xfee00000ull
#define GIB_4 (1ull << 32)

struct xen {
    xc_interface *xch;
    xentoollog_logger logger;
};

/* The first thing that went wrong in the call that this thread made last: what comes after it only
 * says that this did not work. */
static __thread char first_said[512];

static void heard(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                  const char *context, const char *format, va_list al)
{
    (void)logger, (void)context;
    if (level < XTL_ERROR || first_said[0])
        return;
    int used = vsnprintf(first_said, sizeof first_said, format, al);
    if (errnoval > 0 && used > 0 && (size_t)used < sizeof first_said)
        snprintf(first_said + used, sizeof first_said - used, ": %s", strerror(errnoval));
    for (char *at = first_said; *at; at++)
        if (*at == '\n')
            *at = ' ';
}

static void progressed(xentoollog_logger *logger, const char *context, const char *doing,
                       int percent, unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)doing, (void)percent, (void)done, (void)total;
}

static void closed(xentoollog_logger *logger)
{
    (void)logger;
}

const char *jitsu_xen_said(void)
{
    return first_said;
}

static void begin(void)
{
    first_said[0] = 0;
    errno = 0;
}

/* The libraries do not always set errno; then it was the input. */
static int failed(void)
{
    return errno > 0 ? -errno : -EINVAL;
}

struct xen *jitsu_xen_open(int *error)
{
    begin();
    struct xen *xen = calloc(1, sizeof *xen);
    if (xen) {
        xen->logger = (xentoollog_logger){ heard, progressed, closed };
        xen->xch = xc_interface_open(&xen->logger, &xen->logger, 0);
    }
    *error = 0;
    if (!xen || !xen->xch) {
        *error = errno > 0 ? errno : ENODEV;
        free(xen);
        return NULL;
    }
    return xen;
}

void jitsu_xen_close(struct xen *xen)
{
    xc_interface_close(xen->xch);
    free(xen);
}

int jitsu_xen_version(struct xen *xen, char *text, size_t bytes)
{
    begin();
    xen_extraversion_t extra;
    int version = xc_version(xen->xch, XENVER_version, NULL);
    if (version < 0 || xc_version(xen->xch, XENVER_extraversion, &extra) < 0)
        return failed();
    snprintf(text, bytes, "%d.%d%.*s", version >> 16, version & 0xffff, (int)sizeof extra, extra);
    return 0;
}

int jitsu_xen_free_kib(struct xen *xen, uint64_t *free_kib)
{
    begin();
    xc_physinfo_t physical;
    memset(&physical, 0, sizeof physical);
    if (xc_physinfo(xen->xch, &physical))
        return failed();
    *free_kib = (physical.free_pages - physical.outstanding_pages) << (XC_PAGE_SHIFT - 10);
    return 0;
}

/* The domains from `first` on, by number; how many there are in `infos`. */
int jitsu_xen_list(struct xen *xen, uint32_t first, uint32_t count, struct info *infos)
{
    begin();
    xc_domaininfo_t *found = calloc(count, sizeof *found);
    if (!found)
        return -ENOMEM;
    int length = xc_domain_getinfolist(xen->xch, first, count, found);
    int result = length < 0 ? failed() : length;
    for (int at = 0; at < length; at++) {
        memcpy(infos[at].uuid, found[at].handle, sizeof infos[at].uuid);
        infos[at].domid = found[at].domain;
        infos[at].flags = found[at].flags;
        infos[at].cpu_ns = found[at].cpu_time;
        infos[at].pages = found[at].tot_pages;
        infos[at].last_vcpu = found[at].max_vcpu_id;
    }
    free(found);
    return result;
}

int jitsu_xen_create(struct xen *xen, const struct shape *shape, uint32_t *domid)
{
    begin();
    struct xen_domctl_createdomain config;
    memset(&config, 0, sizeof config);
    memcpy(config.handle, shape->uuid, sizeof shape->uuid);
    config.max_vcpus = shape->vcpus;
    config.max_evtchn_port = 1023;
    config.max_grant_frames = -1;
    config.max_maptrack_frames = -1;
    config.grant_opts = XEN_DOMCTL_GRANT_version(2);
    if (shape->is_pvh) {
        config.flags = XEN_DOMCTL_CDF_hvm;
        xc_physinfo_t physical;
        memset(&physical, 0, sizeof physical);
        if (xc_physinfo(xen->xch, &physical))
            return failed();
        if (physical.capabilities & XEN_SYSCTL_PHYSCAP_hap)
            config.flags |= XEN_DOMCTL_CDF_hap;
        config.arch.emulation_flags = XEN_X86_EMU_LAPIC;
    }
    *domid = 0;
    if (xc_domain_create(xen->xch, domid, &config))
        return failed();
    uint64_t memory_kib = (uint64_t)shape->memory_mib * 1024;
    int result = 0;
    if (xc_domain_max_vcpus(xen->xch, *domid, shape->vcpus) ||
        xc_domain_setmaxmem(xen->xch, *domid, memory_kib + SLACK_KIB))
        result = failed();
    if (!result && !shape->is_pvh &&
        xc_domain_set_memmap_limit(xen->xch, *domid, memory_kib + SLACK_KIB))
        result = failed();
    if (!result && shape->is_pvh) {
        /* 1 MiB a VCPU and 8 bytes a page, as xl reckons (libxl_get_required_shadow_memory). */
        unsigned int shadow_mib = shape->vcpus + (unsigned int)(shape->memory_mib / 128) + 1;
        if (xc_shadow_control(xen->xch, *domid, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, &shadow_mib,
                              0) < 0)
            result = failed();
    }
    if (!result && xc_cpuid_apply_policy(xen->xch, *domid, false, NULL, 0, true, false, false,
                                         NULL, NULL))
        result = failed();
    if (result)
        xc_domain_destroy(xen->xch, *domid);
    return result;
}

/* Gives a PV domain all of its memory, in 2 MiB pieces where there are some. frames[n] becomes the
 * machine frame of page n. */
int jitsu_xen_populate(struct xen *xen, uint32_t domid, uint32_t memory_mib, uint64_t *frames)
{
    begin();
    const unsigned int order = 9;
    uint64_t pages = (uint64_t)memory_mib << (20 - XC_PAGE_SHIFT), at = 0;
    xen_pfn_t piece[64];
    while (at + (1u << order) <= pages) {
        int wanted = 0;
        while (wanted < 64 && at + ((uint64_t)(wanted + 1) << order) <= pages) {
            piece[wanted] = at + ((uint64_t)wanted << order);
            wanted++;
        }
        int got = xc_domain_populate_physmap(xen->xch, domid, wanted, order, 0, piece);
        if (got < 0)
            return failed();
        for (int n = 0; n < got; n++)
            for (uint64_t page = 0; page < 1u << order; page++)
                frames[at++] = piece[n] + page;
        if (got < wanted)
            break;
    }
    for (uint64_t page = at; page < pages; page++)
        frames[page] = page;
    if (at < pages &&
        xc_domain_populate_physmap_exact(xen->xch, domid, pages - at, 0, 0, &frames[at]))
        return failed();
    return 0;
}

/* Finds out whether `kernel` is one, and unpacks it: *elf is malloc'ed, or NULL where there was
 * nothing to unpack. */
int jitsu_xen_unpack(struct xen *xen, const void *kernel, size_t bytes, void **elf,
                     size_t *elf_bytes)
{
    begin();
    *elf = NULL;
    *elf_bytes = 0;
    struct xc_dom_image *dom = xc_dom_allocate(xen->xch, "", NULL);
    if (!dom)
        return failed();
    int result = 0;
    if (xc_dom_kernel_mem(dom, kernel, bytes) ||
        xc_dom_boot_xen_init(dom, xen->xch, 0) || xc_dom_parse_image(dom))
        result = failed();
    if (!result && dom->kernel_blob != kernel) {
        *elf = malloc(dom->kernel_size);
        if (*elf) {
            memcpy(*elf, dom->kernel_blob, dom->kernel_size);
            *elf_bytes = dom->kernel_size;
        } else {
            result = -ENOMEM;
        }
    }
    xc_dom_release(dom);
    return result;
}

/* How a PVH domain's memory is laid out: RAM, the hole below 4 GiB with the ACPI tables in it, more
 * RAM. */
static void lay_out(struct xc_dom_image *dom, const struct shape *shape, const struct image *image,
                    struct e820entry *map)
{
    uint64_t memory = (uint64_t)shape->memory_mib << 20;
    uint64_t special = (uint64_t)(X86_HVM_END_SPECIAL_REGION - X86_HVM_NR_SPECIAL_PAGES)
                       << XC_PAGE_SHIFT;
    uint64_t acpi = image->acpi_address;
    uint64_t acpi_size = (image->acpi_bytes + XC_PAGE_SIZE - 1) & XC_PAGE_MASK;
    uint64_t hole = special < acpi ? special : acpi;
    hole = hole < LAPIC_BASE ? hole : LAPIC_BASE;
    dom->container_type = XC_DOM_HVM_CONTAINER;
    dom->target_pages = memory >> XC_PAGE_SHIFT;
    dom->mmio_start = hole;
    dom->mmio_size = GIB_4 - hole;
    dom->lowmem_end = memory < hole ? memory : hole;
    dom->highmem_end = memory < hole ? 0 : GIB_4 + (memory - hole);
    map[0] = (struct e820entry){ 0, dom->lowmem_end, E820_RAM };
    map[1] = (struct e820entry){ acpi, acpi_size, E820_ACPI };
    map[2] = (struct e820entry){ special, (uint64_t)X86_HVM_NR_SPECIAL_PAGES << XC_PAGE_SHIFT,
                                 E820_RESERVED };
    map[3] = (struct e820entry){ GIB_4, dom->highmem_end - GIB_4, E820_RAM };
    dom->e820 = map;
    dom->e820_entries = dom->highmem_end ? 4 : 3;
    /* The library gives them memory, and tells the guest where the first is. */
    dom->acpi_modules[0].data = (uint8_t *)image->acpi;
    dom->acpi_modules[0].length = image->acpi_bytes;
    dom->acpi_modules[0].guest_addr_out = acpi;
}

/* The event channels to XenStore and console, before the guest. */
static int open_ports(struct xen *xen, uint32_t domid, struct rings *rings)
{
    int store = xc_evtchn_alloc_unbound(xen->xch, domid, 0);
    int console = store < 0 ? -1 : xc_evtchn_alloc_unbound(xen->xch, domid, 0);
    if (console < 0)
        return failed();
    rings->store_port = store;
    rings->console_port = console;
    return 0;
}

/* Loads an image into a domain's memory and sets its first VCPU up. `frames`, from
 * jitsu_xen_populate: it has its memory; NULL: it is given it here. */
int jitsu_xen_build(struct xen *xen, uint32_t domid, const struct shape *shape,
                    const struct image *image, const char *cmdline, const uint64_t *frames,
                    struct rings *rings)
{
    begin();
    struct e820entry map[4];
    struct xc_dom_image *dom = xc_dom_allocate(xen->xch, cmdline, NULL);
    if (!dom)
        return failed();
    int result = open_ports(xen, domid, rings);
    if (result)
        goto out;
    dom->container_type = XC_DOM_PV_CONTAINER;
    dom->max_vcpus = shape->vcpus;
    dom->console_evtchn = rings->console_port;
    dom->xenstore_evtchn = rings->store_port;
    if (shape->is_pvh)
        lay_out(dom, shape, image, map);
    result = -EINVAL;
    if (xc_dom_kernel_mem(dom, image->kernel, image->kernel_bytes) ||
        (image->ramdisk &&
         xc_dom_module_mem(dom, image->ramdisk, image->ramdisk_bytes, NULL)) ||
        xc_dom_boot_xen_init(dom, xen->xch, domid) || xc_dom_parse_image(dom) ||
        xc_dom_mem_init(dom, shape->memory_mib))
        goto refused;
    if (shape->is_pvh &&
        xc_domain_set_memory_map(xen->xch, domid, dom->e820, dom->e820_entries))
        goto refused;
    if (frames) {
        /* What meminit would have done (tools/libs/guest/xg_dom_x86.c), already done. */
        dom->p2m_size = dom->total_pages;
        dom->pv_p2m = (xen_pfn_t *)frames;
    } else if (xc_dom_boot_mem_init(dom)) {
        goto refused;
    }
    if (xc_dom_build_image(dom) || xc_dom_boot_image(dom) || xc_dom_gnttab_init(dom))
        goto refused;
    rings->store_gfn = shape->is_pvh ? dom->xenstore_pfn : xc_dom_p2m(dom, dom->xenstore_pfn);
    rings->console_gfn = shape->is_pvh ? dom->console_pfn : xc_dom_p2m(dom, dom->console_pfn);
    result = 0;
    goto out;
refused:
    result = failed();
out:
    xc_dom_release(dom);
    return result;
}

int jitsu_xen_unpause(struct xen *xen, uint32_t domid)
{
    begin();
    return xc_domain_unpause(xen->xch, domid) ? failed() : 0;
}

int jitsu_xen_pause(struct xen *xen, uint32_t domid)
{
    begin();
    return xc_domain_pause(xen->xch, domid) ? failed() : 0;
}

int jitsu_xen_destroy(struct xen *xen, uint32_t domid)
{
    begin();
    return xc_domain_destroy(xen->xch, domid) ? failed() : 0;
}

/* The fast way: the guest knows that its suspension was cancelled. */
int jitsu_xen_resume(struct xen *xen, uint32_t domid)
{
    begin();
    return xc_domain_resume(xen->xch, domid, 1) ? failed() : 0;
}

/* Only asked for while a device model logs pages, and none of our domains has one. */
static int no_device_model(uint32_t domid, unsigned int enable, void *data)
{
    (void)domid, (void)enable, (void)data;
    return 0;
}

/* Writes a domain to `fd`. `suspend` makes the guest suspend itself, and returns whether it did. */
int jitsu_xen_save(struct xen *xen, uint32_t domid, int fd, int (*suspend)(void *), void *data)
{
    begin();
    struct save_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.suspend = suspend;
    callbacks.switch_qemu_logdirty = no_device_model;
    callbacks.data = data;
    return xc_domain_save(xen->xch, fd, domid, 0, &callbacks, XC_STREAM_PLAIN, -1) ? failed() : 0;
}

/* What a stream of this library's own making has all of. */
static int is_complete(unsigned int missing, void *data)
{
    (void)data;
    return missing ? -1 : 0;
}

/* Makes a domain that was created and nothing else what `fd` says. */
int jitsu_xen_restore(struct xen *xen, uint32_t domid, int fd, struct rings *rings)
{
    begin();
    struct restore_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.static_data_done = is_complete;
    int result = open_ports(xen, domid, rings);
    if (result)
        return result;
    unsigned long store = 0, console = 0;
    if (xc_domain_restore(xen->xch, fd, domid, rings->store_port, &store, 0, rings->console_port,
                          &console, 0, XC_STREAM_PLAIN, &callbacks, -1))
        return failed();
    rings->store_gfn = store;
    rings->console_gfn = console;
    return 0;
}
