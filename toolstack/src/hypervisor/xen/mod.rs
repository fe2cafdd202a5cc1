//! What every way to drive Xen has in common.
//!
//! Owns how domains of ours are told from others, what goes into a guest's command line, hardware
//! addresses that nobody chose, how a guest is asked to shut down, and where consoles are found.
//! It must not know whether `xl` or a library does the work; `native` is the library.

pub mod console;
mod flavour;
mod hear;
#[cfg(feature = "xen")]
pub mod native;
mod tag;

use std::path::PathBuf;

use jitsu_proto::{DomainSpec, Mac, Name};

use super::{HypervisorError, fill};
use crate::xenstore::Client;
use console::Consoles;

pub use flavour::Flavour;
pub use hear::{Hearing, hear};
pub use tag::{ADDRESS, BUILT, Tag};

/// Why nothing of Xen can be done, where its devices are not there.
pub const NOT_DOM0: &str = "this is no dom0 of Xen, or its drivers are not loaded";

/// Connects to the XenStore, for the backend of this name, and sees that it answers: the kernel's
/// device to it can be opened where no daemon is behind it.
pub fn connect(hypervisor: &'static str) -> Result<Client, HypervisorError> {
    Client::connect()
        .and_then(|client| client.directory("/").map(|_| client))
        .map_err(|error| HypervisorError::NotThere { hypervisor, cause: error.to_string() })
}

/// Collects consoles in `dir`, each of at most `bytes_max` twice. `terminals` is asked where
/// `xenconsoled` has put them.
pub fn consoles(
    terminals: Client,
    dir: PathBuf,
    bytes_max: u64,
) -> Result<Consoles, HypervisorError> {
    let find = move |domid| {
        let path = terminals.read(&format!("/local/domain/{domid}/console/tty")).ok()?;
        let path = String::from_utf8(path).ok().filter(|path| !path.is_empty())?;
        Some(PathBuf::from(path))
    };
    Consoles::start(dir, bytes_max, Box::new(find))
        .map_err(|cause| HypervisorError::io("keeping consoles", cause))
}

/// Where a guest is asked to shut down or to suspend itself.
pub fn control(domid: u32) -> String {
    format!("/local/domain/{domid}/control/shutdown")
}

/// Asks a guest that listens to Xen to shut down, and does not wait for what it makes of it.
pub fn ask_to_shut_down(store: &Client, domid: u32) -> Result<(), HypervisorError> {
    Ok(store.write(&control(domid), "poweroff")?)
}

/// The kernel's command line, with the domain's name and address filled in.
pub fn cmdline(cmdline: &str, name: &Name, spec: &DomainSpec) -> String {
    let address = spec.guest_address().map(|address| address.to_string());
    fill(cmdline, name, &address.unwrap_or_default())
}

/// The hardware address of a domain's n-th interface: the one that was chosen, or one that follows
/// from the name, so that it is the same at every start. It has Xen's own prefix (IEEE OUI
/// 00-16-3E).
pub fn mac(name: &Name, nth: usize, spec: &DomainSpec) -> Mac {
    if let Some(mac) = spec.vifs.get(nth).and_then(|vif| vif.mac) {
        return mac;
    }
    // FNV-1a, whose low bits are spread well enough.
    let nth = u8::try_from(nth).expect("BUG: more interfaces than a spec may have");
    let hash = name.as_str().bytes().chain([nth]).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [a, b, c, ..] = hash.to_be_bytes();
    Mac::new([0x00, 0x16, 0x3e, a & 0x7f, b, c]).expect("BUG: the prefix is that of one interface")
}

#[cfg(test)]
mod tests {
    use jitsu_proto::{Guest, Millis, Vif};

    use super::*;

    #[test]
    fn interfaces_have_addresses_of_their_own() {
        let mut spec = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
        let chosen: Mac = "00:16:3e:00:00:01".parse().expect("right");
        spec.vifs = vec![Vif::default(), Vif { mac: Some(chosen), ..Vif::default() }];
        let www = Name::new("www").expect("a name");
        let mut all: Vec<Mac> = (0..200)
            .map(|n| mac(&Name::new(&format!("www{n}")).expect("a name"), 0, &spec))
            .chain([mac(&www, 0, &spec), mac(&www, 1, &spec), mac(&www, 2, &spec)])
            .collect();
        assert_eq!(mac(&www, 0, &spec), mac(&www, 0, &spec));
        assert_eq!(mac(&www, 1, &spec), chosen);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 203);
    }

    #[test]
    fn the_command_line_is_filled_in() {
        let mut spec = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
        let www = Name::new("www").expect("a name");
        assert_eq!(cmdline("a ip={address}/24 {name}", &www, &spec), "a ip=/24 www");
        spec.address = Some("10.0.0.2".parse().expect("an address"));
        assert_eq!(cmdline("a ip={address}/24 {name}", &www, &spec), "a ip=10.0.0.2/24 www");
    }
}
