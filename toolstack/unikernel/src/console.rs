//! The console: lines of text for whoever attaches to it (xen/include/public/io/console.h).
//!
//! Owns the ring's output half; what is typed is not read. Must not know what is said. It is the
//! one thing that is reached from everywhere, as a panic has to be told.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use jitsu_unikernel::ring;

use crate::cpu::{self, Refused};
use crate::memory::{Page, StartInfo};
use crate::shared_info;

/// Where things are in `xencons_interface`.
const OUT: usize = 1024;
const OUT_BYTES: usize = 2048;
const OUT_CONSUMER: usize = 3080;
const OUT_PRODUCER: usize = 3084;

static RING: Page = Page::new();
/// 0, which is no channel's number, until the ring is mapped.
static PORT: AtomicU32 = AtomicU32::new(0);

/// Says a line.
macro_rules! say {
    ($($words:tt)*) => { $crate::console::line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Maps the ring; before, nothing is said.
pub(crate) fn map(start: &StartInfo) -> Result<(), Refused> {
    RING.map(start.console_frame)?;
    PORT.store(start.console_port, Ordering::Relaxed);
    Ok(())
}

/// Writes `words` and the end of a line.
pub(crate) fn line(words: fmt::Arguments) {
    let port = PORT.load(Ordering::Relaxed);
    if port != 0 {
        // What does not fit is dropped, as nobody may be reading: that is the only error.
        let _ = Output.write_fmt(words).and_then(|()| Output.write_str("\r\n"));
        cpu::notify(port);
    }
}

/// Waits, for at most `nanoseconds`, until all of it was read.
pub(crate) fn drain(nanoseconds: u64) {
    let port = PORT.load(Ordering::Relaxed);
    if port == 0 {
        return;
    }
    let deadline = shared_info::now() + nanoseconds;
    while RING.load(OUT_CONSUMER) != RING.load(OUT_PRODUCER) && shared_info::now() < deadline {
        shared_info::wait(&[port], deadline);
    }
}

struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            let producer = RING.load(OUT_PRODUCER);
            let used = ring::used(producer, RING.load(OUT_CONSUMER), OUT_BYTES);
            let free = OUT_BYTES - used.ok_or(fmt::Error)?;
            let place = ring::stretch(producer, bytes.len().min(free), OUT_BYTES);
            if place.is_empty() {
                return Err(fmt::Error);
            }
            let (now, later) = bytes.split_at(place.len());
            RING.write(OUT + place.start, now);
            RING.store(OUT_PRODUCER, producer.wrapping_add(now.len() as u32));
            bytes = later;
        }
        Ok(())
    }
}
