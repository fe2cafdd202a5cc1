//! The shared info page: which event channels are pending, and what time it is
//! (xen/include/public/xen.h).
//!
//! Must not know what an event channel is for.

use jitsu_unikernel::timescale;

use crate::cpu::{self, Port, Refused};
use crate::memory::Page;

/// Where things are in `shared_info`: `vcpu_info[0].time`, and the pending bits of all channels.
const TIME: usize = 32;
const PENDING: usize = 2048;

static PAGE: Page = Page::new();

/// Maps the page that is at machine address `address`.
pub(crate) fn map(address: u64) -> Result<(), Refused> {
    PAGE.map(address >> 12)
}

/// Nanoseconds since the machine was started.
pub(crate) fn now() -> u64 {
    loop {
        // Odd while Xen writes, and different once it has.
        let version = PAGE.load(TIME);
        let stamp = PAGE.load_long(TIME + 8);
        let system_time = PAGE.load_long(TIME + 16);
        let multiplier = PAGE.load(TIME + 24);
        let shift = PAGE.load(TIME + 28) as i8;
        let ticks = cpu::ticks().saturating_sub(stamp);
        if version.is_multiple_of(2) && version == PAGE.load(TIME) {
            return system_time + timescale::nanoseconds(ticks, multiplier, shift);
        }
    }
}

/// Sleeps until one of `ports` is pending or `deadline`, in the time of [`now`], has come (0: for
/// ever), and takes what is pending. It may return early: the caller looks for itself.
pub(crate) fn wait(ports: &[Port], deadline: u64) {
    cpu::poll(ports, deadline);
    for port in ports {
        PAGE.clear(PENDING + *port as usize / 64 * 8, 1 << (port % 64));
    }
}
