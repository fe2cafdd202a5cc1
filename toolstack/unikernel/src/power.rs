//! The end of this domain: asked for by the toolstack, or by a client.
//!
//! Owns the protocol of `control/shutdown` (docs/misc/xenstore-paths.pandoc of Xen). Must not
//! know what else the domain does.

use jitsu_unikernel::http::End;
use jitsu_unikernel::packet::beginning;

use crate::console::{self, say};
use crate::cpu::{self, Reason};
use crate::xenstore::XenStore;

const REQUEST: &str = "control/shutdown";
/// How long the console's reader may take, in nanoseconds.
const LAST_WORDS: u64 = 1_000_000_000;

/// Says what can be asked for, and watches for it.
pub(crate) fn watch(store: &mut XenStore) {
    // A toolstack may not let a guest write what it does not read.
    for feature in ["control/feature-poweroff", "control/feature-reboot"] {
        if let Err(errno) = store.write(feature, 1) {
            say!("{feature} is not set: {errno}");
        }
    }
    if let Err(errno) = store.watch(REQUEST) {
        say!("{REQUEST} is not watched: {errno}");
    }
}

/// Does what is asked for by the toolstack, if anything is.
pub(crate) fn follow(store: &mut XenStore) {
    let request = match store.read(REQUEST) {
        Ok(request) => request,
        Err(errno) if errno.is_absent() => return,
        Err(errno) => {
            say!("{REQUEST} cannot be read: {errno}");
            return;
        }
    };
    let reason = match request {
        "poweroff" | "halt" => Reason::Poweroff,
        "reboot" => Reason::Reboot,
        "" => return,
        _ => {
            say!("{REQUEST} begins with {:?}, which is not done here", beginning(request));
            return;
        }
    };
    // Emptied, it is acknowledged.
    if let Err(errno) = store.write(REQUEST, "") {
        say!("{REQUEST} is not acknowledged: {errno}");
    }
    end(reason);
}

/// Ends the domain.
pub(crate) fn end(reason: Reason) -> ! {
    say!("{reason:?}");
    console::drain(LAST_WORDS);
    cpu::shutdown(reason)
}

/// Ends it as a client wants it.
pub(crate) fn end_for_client(end: End) -> ! {
    match end {
        End::Crash => panic!("a client asked for it"),
        End::Reboot => self::end(Reason::Reboot),
        End::Poweroff => self::end(Reason::Poweroff),
    }
}
