//! The start info page and pages that are shared with others.
//!
//! Owns where the image is in memory (`VIRT_BASE`, as in `link.ld`), and that shared bytes are
//! only ever copied: no reference to them exists. Must not know what is in a page.
#![allow(unsafe_code, reason = "shared memory is reached by address")]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::cpu::{self, Port, Refused};

/// The virtual address of pseudo-physical page 0.
pub(crate) const VIRT_BASE: usize = 0x40_0000;
/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// `start_info` of xen/include/public/xen.h, as far as it is used.
#[repr(C)]
pub(crate) struct StartInfo {
    magic: [u8; 32],
    pages: u64,
    /// The machine address of the shared info page.
    pub(crate) shared_info: u64,
    flags: u32,
    /// The machine frame of the XenStore's ring.
    pub(crate) store_frame: u64,
    /// The event channel of the XenStore.
    pub(crate) store_port: Port,
    /// The machine frame of the console's ring.
    pub(crate) console_frame: u64,
    /// The event channel of the console.
    pub(crate) console_port: Port,
    page_table: u64,
    page_table_frames: u64,
    frames: *mut u64,
    module: u64,
    module_bytes: u64,
    command_line: [u8; 1024],
}

impl StartInfo {
    /// The command line, up to its NUL. None: it has none, or is no text.
    pub(crate) fn command_line(&self) -> Option<&str> {
        CStr::from_bytes_until_nul(&self.command_line).ok()?.to_str().ok()
    }

    /// Makes [`Page::frame`] work.
    pub(crate) fn keep_frames(&self) {
        FRAMES.store(self.frames, Ordering::Relaxed);
    }
}

/// The machine frame of each pseudo-physical page, from 0.
static FRAMES: AtomicPtr<u64> = AtomicPtr::new(ptr::null_mut());

/// A page that another domain, or Xen, reads or writes at the same time.
#[repr(C, align(4096))]
pub(crate) struct Page(UnsafeCell<[u8; PAGE]>);

// SAFETY: there is one virtual processor and no interrupt; the other side is outside the
// program, and every access is atomic or a copy of plain bytes.
unsafe impl Sync for Page {}

impl Page {
    pub(crate) const fn new() -> Page {
        Page(UnsafeCell::new([0; PAGE]))
    }

    /// Puts machine frame `frame` in the place of what is here.
    pub(crate) fn map(&'static self, frame: u64) -> Result<(), Refused> {
        // SAFETY: this is a whole page, and of bytes any are valid.
        unsafe { cpu::map(self.0.get() as usize, frame) }
    }

    /// The machine frame of the page that the builder put here.
    pub(crate) fn frame(&'static self) -> u64 {
        let page = (self.0.get() as usize - VIRT_BASE) / PAGE;
        let frames = FRAMES.load(Ordering::Relaxed);
        assert!(!frames.is_null(), "keep_frames comes first");
        // SAFETY: the list has an entry for every page of the domain, and the image is in those.
        unsafe { frames.add(page).read() }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `at` has checked bounds and alignment, and atomics are how both sides reach it.
        unsafe { AtomicU32::from_ptr(self.aligned(offset, 4).cast()) }
    }

    fn long(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as for `word`.
        unsafe { AtomicU64::from_ptr(self.aligned(offset, 8).cast()) }
    }

    /// The 32 bits at `offset`; what was written before them is seen.
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::SeqCst)
    }

    /// Sets the 32 bits at `offset` after all that was written before.
    pub(crate) fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::SeqCst);
    }

    /// The same for 16 bits.
    pub(crate) fn store_short(&self, offset: usize, value: u16) {
        // SAFETY: as for `word`.
        let short = unsafe { AtomicU16::from_ptr(self.aligned(offset, 2).cast()) };
        short.store(value, Ordering::SeqCst);
    }

    /// The 64 bits at `offset`.
    pub(crate) fn load_long(&self, offset: usize) -> u64 {
        self.long(offset).load(Ordering::SeqCst)
    }

    /// Clears `bits` of the 64 at `offset`; what they were.
    pub(crate) fn clear(&self, offset: usize, bits: u64) -> u64 {
        self.long(offset).fetch_and(!bits, Ordering::SeqCst)
    }

    /// Copies bytes from `offset` on out of the page.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: both are that long and apart. By the rings' protocols nobody writes there now;
        // if a backend does all the same, some bytes are wrong, and any byte is valid.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Copies `bytes` to `offset` in the page.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: as for `read`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Where the `length` bytes at `offset` are.
    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset <= PAGE && length <= PAGE - offset, "{length} bytes at {offset} of a page");
        // SAFETY: it is within the page.
        unsafe { self.0.get().cast::<u8>().add(offset) }
    }

    /// Where the number of `length` bytes at `offset` is.
    fn aligned(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(length), "{length} bytes at {offset} are not aligned");
        self.at(offset, length)
    }
}
