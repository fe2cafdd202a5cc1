//! What is asked of the hypervisor and of the processor.
//!
//! Owns the hypercalls that are used (xen/include/public/xen.h, sched.h, event_channel.h,
//! grant_table.h), each as a safe function. Must not know why they are made.
#![allow(unsafe_code, reason = "a hypercall is an instruction and a convention")]

use core::arch::{asm, x86_64};
use core::fmt;

/// A domain's number.
pub(crate) type Domid = u16;
/// An event channel's number at this end.
pub(crate) type Port = u32;

/// A hypercall that failed: what it was, and the errno it returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(&'static str, i64);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xen refused {} with error {}", self.0, self.1)
    }
}

/// Why a domain ends (`SHUTDOWN_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reason {
    Poweroff = 0,
    Reboot = 1,
    Crash = 3,
}

const UPDATE_VA_MAPPING: usize = 14;
const GRANT_TABLE_OP: usize = 20;
const SCHED_OP: usize = 29;
const EVENT_CHANNEL_OP: usize = 32;

const DOMID_SELF: Domid = 0x7ff0;

unsafe extern "C" {
    static hypercall_page: [[u8; 32]; 128];
}

/// Hypercall `number` with `arguments`; what it returns, below 0 an errno.
///
/// # Safety
///
/// An argument that is an address must be of what that hypercall reads or writes there, and
/// what it does to this domain's memory must be sound.
unsafe fn hypercall(number: usize, arguments: [usize; 3]) -> i64 {
    let result: i64;
    // SAFETY: the page holds code for each number once Xen has built the domain, `number` is below
    // 128, and the caller answers for the arguments. Xen may change the arguments' registers.
    unsafe {
        asm!(
            "call {target}",
            target = in(reg) (&raw const hypercall_page[number]),
            inout("rdi") arguments[0] => _,
            inout("rsi") arguments[1] => _,
            inout("rdx") arguments[2] => _,
            out("rax") result,
            out("rcx") _,
            out("r8") _,
            out("r10") _,
            out("r11") _,
        );
    }
    result
}

/// Ends this domain.
pub(crate) fn shutdown(reason: Reason) -> ! {
    const SCHEDOP_SHUTDOWN: usize = 2;
    let argument = reason as u32;
    loop {
        // SAFETY: `sched_shutdown` is one `u32`, which Xen reads.
        unsafe { hypercall(SCHED_OP, [SCHEDOP_SHUTDOWN, (&raw const argument) as usize, 0]) };
    }
}

/// Waits until one of `ports` is pending, or until the system time `deadline` in nanoseconds
/// (0: for ever). It may return early.
pub(crate) fn poll(ports: &[Port], deadline: u64) {
    const SCHEDOP_POLL: usize = 3;
    #[repr(C)]
    struct SchedPoll {
        ports: *const Port,
        count: u32,
        timeout: u64,
    }
    let argument =
        SchedPoll { ports: ports.as_ptr(), count: ports.len() as u32, timeout: deadline };
    // SAFETY: this is `sched_poll`; Xen reads it and as many ports as it says.
    unsafe { hypercall(SCHED_OP, [SCHEDOP_POLL, (&raw const argument) as usize, 0]) };
}

/// A new event channel that `remote` may bind to.
pub(crate) fn allocate_port(remote: Domid) -> Result<Port, Refused> {
    const EVTCHNOP_ALLOC_UNBOUND: usize = 6;
    #[repr(C)]
    struct AllocUnbound {
        domain: Domid,
        remote: Domid,
        port: Port,
    }
    let mut argument = AllocUnbound { domain: DOMID_SELF, remote, port: 0 };
    let address = (&raw mut argument) as usize;
    // SAFETY: this is `evtchn_alloc_unbound`, in which Xen writes the port.
    let result = unsafe { hypercall(EVENT_CHANNEL_OP, [EVTCHNOP_ALLOC_UNBOUND, address, 0]) };
    refused("an event channel", result)?;
    Ok(argument.port)
}

/// Notifies the other end of `port`.
pub(crate) fn notify(port: Port) {
    const EVTCHNOP_SEND: usize = 4;
    // SAFETY: `evtchn_send` is one `u32`, which Xen reads. It fails only where nobody is there to
    // be notified any more.
    unsafe { hypercall(EVENT_CHANNEL_OP, [EVTCHNOP_SEND, (&raw const port) as usize, 0]) };
}

/// The machine frame of this domain's grant table: version 1, one page, 512 entries.
pub(crate) fn grant_table_frame() -> Result<u64, Refused> {
    const GNTTABOP_SETUP_TABLE: usize = 2;
    #[repr(C)]
    struct SetupTable {
        domain: Domid,
        frames: u32,
        status: i16,
        list: *mut u64,
    }
    let mut frame = 0;
    let mut argument =
        SetupTable { domain: DOMID_SELF, frames: 1, status: 0, list: &raw mut frame };
    let address = (&raw mut argument) as usize;
    // SAFETY: this is one `gnttab_setup_table`; Xen writes its status and one frame in the list.
    let result = unsafe { hypercall(GRANT_TABLE_OP, [GNTTABOP_SETUP_TABLE, address, 1]) };
    refused("the grant table", result)?;
    refused("the grant table's frame", argument.status.into())?;
    Ok(frame)
}

/// Maps machine frame `frame`, writable, at `address`.
///
/// # Safety
///
/// `address` must be the start of a page in which nothing but shared bytes is kept.
pub(crate) unsafe fn map(address: usize, frame: u64) -> Result<(), Refused> {
    const PRESENT_WRITABLE_USER: u64 = 7;
    const UVMF_INVLPG: usize = 2;
    let entry = frame << 12 | PRESENT_WRITABLE_USER;
    // SAFETY: the caller answers for what was at `address`.
    let result = unsafe { hypercall(UPDATE_VA_MAPPING, [address, entry as usize, UVMF_INVLPG]) };
    refused("a mapping", result)
}

/// The processor's time stamp counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: it reads a register that every processor with Xen has. The fence keeps it from being
    // read ahead of what comes before.
    unsafe {
        x86_64::_mm_lfence();
        x86_64::_rdtsc()
    }
}

fn refused(what: &'static str, result: i64) -> Result<(), Refused> {
    if result == 0 { Ok(()) } else { Err(Refused(what, result)) }
}
