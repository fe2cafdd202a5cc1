/*
 * Answers the hypervisor calls of xenstored and oxenstored on a machine without Xen; loaded before
 * the Xen libraries with LD_PRELOAD.
 *
 * $NOXEN_DIR holds what there is of Xen: a domain N exists while the file page-N does, a page that
 * is its XenStore ring; port holds the number of dom0's event channel. No event ever comes, so no
 * domain says anything and none dies: the daemons are only talked to over their socket.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

enum { PAGE_BYTES = 4096, FIRST_PORT = 16 };

/* What stands for any handle of a library. Nobody looks inside. */
static char handle;

/* The path of the file that stands for something of Xen. */
static const char *in_dir(const char *kind, unsigned int domid)
{
    static _Thread_local char path[512];
    const char *dir = getenv("NOXEN_DIR");

    if (dir == NULL) {
        fputs("noxen: NOXEN_DIR is not set\n", stderr);
        abort();
    }
    if (strcmp(kind, "port") == 0)
        snprintf(path, sizeof(path), "%s/port", dir);
    else
        snprintf(path, sizeof(path), "%s/%s-%u", dir, kind, domid);
    return path;
}

static bool is_there(unsigned int domid)
{
    return access(in_dir("page", domid), R_OK) == 0;
}

static void *page_of(unsigned int domid)
{
    int fd = open(in_dir("page", domid), O_RDWR);
    void *page = MAP_FAILED;

    if (fd >= 0) {
        page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    return page == MAP_FAILED ? NULL : page;
}

/* Event channels: bound, and silent. */

static int silent_fd = -1;

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    silent_fd = eventfd(0, EFD_NONBLOCK);
    return silent_fd < 0 ? NULL : (xenevtchn_handle *)&handle;
}

xenevtchn_handle *xenevtchn_fdopen(xentoollog_logger *logger, int fd, unsigned int flags)
{
    (void)logger, (void)flags;
    silent_fd = fd;
    return (xenevtchn_handle *)&handle;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    (void)xce;
    return silent_fd;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    (void)xce;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    (void)xce, (void)virq;
    return FIRST_PORT - 1;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t port)
{
    (void)xce, (void)port;
    return FIRST_PORT + (int)domid;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    (void)xce;
    return -1;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce, (void)port;
    return 0;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce, (void)port;
    return 0;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce, (void)port;
    return 0;
}

/* Memory of others: their page, whichever is asked for. */

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    return (xengnttab_handle *)&handle;
}

int xengnttab_close(xengnttab_handle *xgt)
{
    (void)xgt;
    return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t max)
{
    (void)xgt, (void)max;
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    (void)xgt, (void)ref, (void)prot;
    return page_of(domid);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *page, uint32_t count)
{
    (void)xgt;
    return munmap(page, (size_t)count * PAGE_BYTES);
}

void *xc_map_foreign_range(xc_interface *xch, uint32_t domid, int size, int prot,
                           unsigned long frame)
{
    (void)xch, (void)size, (void)prot, (void)frame;
    return page_of(domid);
}

/* Domains. */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild,
                                unsigned int flags)
{
    (void)logger, (void)dombuild, (void)flags;
    return (xc_interface *)&handle;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max, xc_dominfo_t *info)
{
    (void)xch, (void)max;
    if (!is_there(first))
        return 0;
    *info = (xc_dominfo_t){ .domid = first };
    return 1;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
                          xc_domaininfo_t *info)
{
    (void)xch, (void)max;
    if (!is_there(first))
        return 0;
    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)first;
    return 1;
}

/* What C xenstored finds in the file system of a dom0. */
int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    mode_t mode = 0;
    va_list rest;

    va_start(rest, flags);
    if (flags & (O_CREAT | __O_TMPFILE))
        mode = va_arg(rest, mode_t);
    va_end(rest);
    if (strcmp(path, "/proc/xen/xsd_kva") == 0)
        path = in_dir("page", 0);
    else if (strcmp(path, "/proc/xen/xsd_port") == 0)
        path = in_dir("port", 0);
    return next(path, flags, mode);
}

/* oxenstored wants more descriptors than a container may have. It needs few here. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limits)
{
    int (*next)(__rlimit_resource_t, const struct rlimit *) =
        (int (*)(__rlimit_resource_t, const struct rlimit *))dlsym(RTLD_NEXT, "setrlimit");
    int result = next(resource, limits);

    return resource == RLIMIT_NOFILE ? 0 : result;
}
