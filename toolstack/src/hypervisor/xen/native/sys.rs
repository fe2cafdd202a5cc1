//! The hypervisor itself, through `shim.c`.
//!
//! Owns the calls that the compiler cannot check, and nothing else: each is made safe here, with
//! its error as text. It must not know names, XenStore or devices.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use super::acpi;

/// See `struct shape` in `shim.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) uuid: [u8; 16],
    pub(super) memory_mib: u32,
    pub(super) vcpus: u32,
    pub(super) is_pvh: u32,
}

/// See `struct rings` in `shim.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rings {
    pub(super) store_port: u32,
    pub(super) console_port: u32,
    pub(super) store_gfn: u64,
    pub(super) console_gfn: u64,
}

/// See `struct info` in `shim.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Info {
    pub(super) uuid: [u8; 16],
    pub(super) domid: u32,
    flags: u32,
    pub(super) cpu_ns: u64,
    pub(super) pages: u64,
    last_vcpu: u32,
}

// XEN_DOMINF_* and SHUTDOWN_*, xen/include/public/{domctl,sched}.h
const DYING: u32 = 1 << 0;
const HVM: u32 = 1 << 1;
const SHUT_DOWN: u32 = 1 << 2;
const PAUSED: u32 = 1 << 3;
const REASON_SHIFT: u32 = 16;

impl Info {
    pub(super) fn is_dying(&self) -> bool {
        self.flags & DYING != 0
    }

    pub(super) fn is_hvm(&self) -> bool {
        self.flags & HVM != 0
    }

    pub(super) fn vcpus(&self) -> u32 {
        self.last_vcpu.wrapping_add(1)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.flags & PAUSED != 0
    }

    /// Why its guest shut down (`SHUTDOWN_*`). None: it did not.
    pub(super) fn shutdown_reason(&self) -> Option<u32> {
        (self.flags & SHUT_DOWN != 0).then_some(self.flags >> REASON_SHIFT & 0xff)
    }
}

/// What is loaded into a domain.
pub(super) struct Image<'a> {
    pub(super) kernel: &'a [u8],
    pub(super) ramdisk: Option<&'a [u8]>,
    pub(super) cmdline: &'a CStr,
    /// What [`acpi::tables`] gives; not looked at for a PV domain.
    pub(super) acpi: &'a [u8],
}

#[repr(C)]
struct RawImage {
    kernel: *const c_void,
    kernel_bytes: usize,
    ramdisk: *const c_void,
    ramdisk_bytes: usize,
    acpi: *const c_void,
    acpi_bytes: usize,
    acpi_address: u64,
}

/// `struct xen` of `shim.c`.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn jitsu_xen_open(error: *mut c_int) -> *mut Opaque;
    fn jitsu_xen_close(xen: *mut Opaque);
    fn jitsu_xen_said() -> *const c_char;
    fn jitsu_xen_version(xen: *mut Opaque, text: *mut c_char, bytes: usize) -> c_int;
    fn jitsu_xen_free_kib(xen: *mut Opaque, free_kib: *mut u64) -> c_int;
    fn jitsu_xen_list(xen: *mut Opaque, first: u32, count: u32, infos: *mut Info) -> c_int;
    fn jitsu_xen_create(xen: *mut Opaque, shape: *const Shape, domid: *mut u32) -> c_int;
    fn jitsu_xen_populate(xen: *mut Opaque, domid: u32, memory_mib: u32, frames: *mut u64)
    -> c_int;
    fn jitsu_xen_unpack(
        xen: *mut Opaque,
        kernel: *const c_void,
        bytes: usize,
        elf: *mut *mut c_void,
        elf_bytes: *mut usize,
    ) -> c_int;
    fn jitsu_xen_build(
        xen: *mut Opaque,
        domid: u32,
        shape: *const Shape,
        image: *const RawImage,
        cmdline: *const c_char,
        frames: *const u64,
        rings: *mut Rings,
    ) -> c_int;
    fn jitsu_xen_unpause(xen: *mut Opaque, domid: u32) -> c_int;
    fn jitsu_xen_pause(xen: *mut Opaque, domid: u32) -> c_int;
    fn jitsu_xen_destroy(xen: *mut Opaque, domid: u32) -> c_int;
    fn jitsu_xen_resume(xen: *mut Opaque, domid: u32) -> c_int;
    fn jitsu_xen_save(
        xen: *mut Opaque,
        domid: u32,
        fd: c_int,
        suspend: extern "C" fn(*mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn jitsu_xen_restore(xen: *mut Opaque, domid: u32, fd: c_int, rings: *mut Rings) -> c_int;
}

/// Why the hypervisor, or the library before it, refused.
#[derive(Debug, thiserror::Error)]
#[error("{}", if said.is_empty() { cause.to_string() } else { format!("{said} ({cause})") })]
pub(super) struct Refused {
    /// The error of the operating system.
    pub(super) cause: io::Error,
    /// What the library complained of first; may be empty.
    pub(super) said: String,
}

impl Refused {
    fn new(errno: c_int) -> Refused {
        // SAFETY: it is a string of this thread's own that lives until the next call.
        let said = unsafe { CStr::from_ptr(jitsu_xen_said()) };
        let said = said.to_string_lossy().into_owned();
        Refused { cause: io::Error::from_raw_os_error(errno), said }
    }
}

/// A connection to the hypervisor. The library locks what threads share.
pub(super) struct Hypercalls {
    xen: NonNull<Opaque>,
}

// SAFETY: the library's handle may be used from any thread, and by several at once: it is opened
// without XC_OPENFLAG_NON_REENTRANT (xenctrl.h). What the shim remembers is of each thread.
unsafe impl Send for Hypercalls {}
// SAFETY: as above.
unsafe impl Sync for Hypercalls {}

impl Drop for Hypercalls {
    fn drop(&mut self) {
        // SAFETY: it was opened by `open`, and nothing else has it.
        unsafe { jitsu_xen_close(self.xen.as_ptr()) }
    }
}

/// Turns what a call returned into a result; on success it is not negative.
fn checked(returned: c_int) -> Result<u32, Refused> {
    u32::try_from(returned).map_err(|_| Refused::new(-returned))
}

impl Hypercalls {
    pub(super) fn open() -> Result<Hypercalls, Refused> {
        let mut error = 0;
        // SAFETY: `error` lives for the call.
        let xen = unsafe { jitsu_xen_open(&raw mut error) };
        NonNull::new(xen).map(|xen| Hypercalls { xen }).ok_or_else(|| Refused::new(error))
    }

    /// The hypervisor's release, as `4.17.7`.
    pub(super) fn version(&self) -> Result<String, Refused> {
        let mut text = [0_u8; 64];
        // SAFETY: the shim writes a string of at most the given length, with its NUL.
        let returned =
            unsafe { jitsu_xen_version(self.xen.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        checked(returned)?;
        let text = CStr::from_bytes_until_nul(&text).expect("BUG: the shim ends strings");
        Ok(text.to_string_lossy().into_owned())
    }

    /// Memory that nobody has, in KiB.
    pub(super) fn free_kib(&self) -> Result<u64, Refused> {
        let mut free = 0;
        // SAFETY: `free` lives for the call.
        checked(unsafe { jitsu_xen_free_kib(self.xen.as_ptr(), &raw mut free) })?;
        Ok(free)
    }

    /// All domains.
    pub(super) fn list(&self) -> Result<Vec<Info>, Refused> {
        const AT_ONCE: u32 = 256;
        let mut all = Vec::new();
        let mut first = 0;
        loop {
            let mut infos = [Info::default(); AT_ONCE as usize];
            // SAFETY: there is room for as many as are asked for.
            let returned =
                unsafe { jitsu_xen_list(self.xen.as_ptr(), first, AT_ONCE, infos.as_mut_ptr()) };
            let count = checked(returned)?;
            all.extend_from_slice(&infos[..count as usize]);
            match infos[..count as usize].last() {
                Some(last) if count == AT_ONCE => first = last.domid + 1,
                _ => return Ok(all),
            }
        }
    }

    /// Makes a domain without memory. Its number.
    pub(super) fn create(&self, shape: &Shape) -> Result<u32, Refused> {
        let mut domid = 0;
        // SAFETY: both live for the call.
        checked(unsafe { jitsu_xen_create(self.xen.as_ptr(), shape, &raw mut domid) })?;
        Ok(domid)
    }

    /// Gives a PV domain its memory: the machine frame of each page.
    pub(super) fn populate(&self, domid: u32, memory_mib: u32) -> Result<Vec<u64>, Refused> {
        let mut frames = vec![0; memory_mib as usize * PAGES_PER_MIB];
        // SAFETY: there is a place for each page of that much memory.
        let returned = unsafe {
            jitsu_xen_populate(self.xen.as_ptr(), domid, memory_mib, frames.as_mut_ptr())
        };
        checked(returned)?;
        Ok(frames)
    }

    /// The kernel in `bytes`, unpacked. None: it is not packed.
    pub(super) fn unpack(&self, bytes: &[u8]) -> Result<Option<Elf>, Refused> {
        let (mut start, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: all live for the call.
        let returned = unsafe {
            jitsu_xen_unpack(
                self.xen.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
                &raw mut start,
                &raw mut length,
            )
        };
        checked(returned)?;
        Ok(NonNull::new(start.cast()).map(|start| Elf { start, length }))
    }

    /// Loads an image into a domain. With `frames` it has its memory already.
    pub(super) fn build(
        &self,
        domid: u32,
        shape: &Shape,
        image: &Image<'_>,
        frames: Option<&[u64]>,
    ) -> Result<Rings, Refused> {
        let Image { kernel, ramdisk, cmdline, acpi } = image;
        let pages = shape.memory_mib as usize * PAGES_PER_MIB;
        assert!(frames.is_none_or(|frames| frames.len() == pages), "BUG: a frame for each page");
        let image = RawImage {
            kernel: kernel.as_ptr().cast(),
            kernel_bytes: kernel.len(),
            ramdisk: ramdisk.map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast()),
            ramdisk_bytes: ramdisk.map_or(0, <[u8]>::len),
            acpi: acpi.as_ptr().cast(),
            acpi_bytes: acpi.len(),
            acpi_address: acpi::ADDRESS,
        };
        let mut rings = Rings::default();
        // SAFETY: all live for the call, and the library only reads what the image has, and frames.
        let returned = unsafe {
            jitsu_xen_build(
                self.xen.as_ptr(),
                domid,
                shape,
                &raw const image,
                cmdline.as_ptr(),
                frames.map_or(std::ptr::null(), <[u64]>::as_ptr),
                &raw mut rings,
            )
        };
        checked(returned)?;
        Ok(rings)
    }

    pub(super) fn unpause(&self, domid: u32) -> Result<(), Refused> {
        // SAFETY: a number is all it needs.
        checked(unsafe { jitsu_xen_unpause(self.xen.as_ptr(), domid) }).map(drop)
    }

    pub(super) fn pause(&self, domid: u32) -> Result<(), Refused> {
        // SAFETY: a number is all it needs.
        checked(unsafe { jitsu_xen_pause(self.xen.as_ptr(), domid) }).map(drop)
    }

    pub(super) fn destroy(&self, domid: u32) -> Result<(), Refused> {
        // SAFETY: a number is all it needs.
        checked(unsafe { jitsu_xen_destroy(self.xen.as_ptr(), domid) }).map(drop)
    }

    /// Lets a domain go on whose guest has suspended itself.
    pub(super) fn resume(&self, domid: u32) -> Result<(), Refused> {
        // SAFETY: a number is all it needs.
        checked(unsafe { jitsu_xen_resume(self.xen.as_ptr(), domid) }).map(drop)
    }

    /// Writes a domain to `to`; `suspend` makes its guest suspend itself, and says whether it did.
    pub(super) fn save(
        &self,
        domid: u32,
        to: impl AsFd,
        suspend: &mut dyn FnMut() -> bool,
    ) -> Result<(), Refused> {
        extern "C" fn call(data: *mut c_void) -> c_int {
            // SAFETY: `data` is the pointer below, alive and not used otherwise during the call.
            let suspend = unsafe { &mut *data.cast::<&mut dyn FnMut() -> bool>() };
            c_int::from(suspend())
        }
        let mut suspend = suspend;
        // SAFETY: the library calls back during this call only, from this thread.
        let returned = unsafe {
            jitsu_xen_save(
                self.xen.as_ptr(),
                domid,
                to.as_fd().as_raw_fd(),
                call,
                (&raw mut suspend).cast(),
            )
        };
        checked(returned).map(drop)
    }

    /// Makes the empty domain `domid` what `from` says.
    pub(super) fn restore(&self, domid: u32, from: impl AsFd) -> Result<Rings, Refused> {
        let mut rings = Rings::default();
        let from = from.as_fd().as_raw_fd();
        // SAFETY: all live for the call.
        let returned = unsafe { jitsu_xen_restore(self.xen.as_ptr(), domid, from, &raw mut rings) };
        checked(returned)?;
        Ok(rings)
    }
}

const PAGES_PER_MIB: usize = 256;

/// An unpacked kernel, in memory that C allocated.
pub(super) struct Elf {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is memory that only this value has.
unsafe impl Send for Elf {}
// SAFETY: it is only read.
unsafe impl Sync for Elf {}

impl Elf {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the shim allocated and filled that many bytes, which live as long as this.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Elf {
    fn drop(&mut self) {
        // SAFETY: it comes from malloc, and nobody has it after this.
        unsafe { libc::free(self.start.as_ptr().cast()) }
    }
}
