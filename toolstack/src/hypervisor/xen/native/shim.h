/* The hypervisor, as sys.rs sees it.
 *
 * Owns every struct of libxenctrl and libxenguest that must be filled by hand: their layout
 * changes between releases, so they are compiled against the headers that are installed. It must
 * not know names, XenStore or devices.
 *
 * A call returns 0 or a negative errno; said() then has the library's first complaint.
 */
#ifndef JITSU_SHIM_H
#define JITSU_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct xen;

/* What a domain is made with. */
struct shape {
    uint8_t uuid[16];
    uint32_t memory_mib;
    uint32_t vcpus;
    uint32_t is_pvh;
};

/* A kernel and its modules, in memory for as long as a domain is built from it. */
struct image {
    const void *kernel;
    size_t kernel_bytes;
    const void *ramdisk; /* NULL: none */
    size_t ramdisk_bytes;
    const void *acpi; /* a PVH domain's tables; the first is the RSDP */
    size_t acpi_bytes;
    uint64_t acpi_address; /* guest-physical */
};

/* Where a domain's two first rings are. */
struct rings {
    uint32_t store_port;
    uint32_t console_port;
    uint64_t store_gfn;
    uint64_t console_gfn;
};

/* A domain that exists. */
struct info {
    uint8_t uuid[16];
    uint32_t domid;
    uint32_t flags; /* XEN_DOMINF_*, xen/include/public/domctl.h */
    uint64_t cpu_ns;
    uint64_t pages;
    uint32_t last_vcpu;
};

struct xen *jitsu_xen_open(int *error);
void jitsu_xen_close(struct xen *xen);
const char *jitsu_xen_said(void);
int jitsu_xen_version(struct xen *xen, char *text, size_t bytes);
int jitsu_xen_free_kib(struct xen *xen, uint64_t *free_kib);
int jitsu_xen_list(struct xen *xen, uint32_t first, uint32_t count, struct info *infos);
int jitsu_xen_create(struct xen *xen, const struct shape *shape, uint32_t *domid);
int jitsu_xen_populate(struct xen *xen, uint32_t domid, uint32_t memory_mib, uint64_t *frames);
int jitsu_xen_unpack(struct xen *xen, const void *kernel, size_t bytes, void **elf,
                     size_t *elf_bytes);
int jitsu_xen_build(struct xen *xen, uint32_t domid, const struct shape *shape,
                    const struct image *image, const char *cmdline, const uint64_t *frames,
                    struct rings *rings);
int jitsu_xen_unpause(struct xen *xen, uint32_t domid);
int jitsu_xen_pause(struct xen *xen, uint32_t domid);
int jitsu_xen_destroy(struct xen *xen, uint32_t domid);
int jitsu_xen_resume(struct xen *xen, uint32_t domid);
int jitsu_xen_save(struct xen *xen, uint32_t domid, int fd, int (*suspend)(void *), void *data);
int jitsu_xen_restore(struct xen *xen, uint32_t domid, int fd, struct rings *rings);

#endif
