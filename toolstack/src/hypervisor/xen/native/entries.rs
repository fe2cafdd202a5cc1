//! What a domain needs in the XenStore.
//!
//! Owns paths, values and permissions, as libxl writes them where guests and other tools look
//! (docs/misc/xenstore-paths.pandoc; xen/include/public/io/{netif,blkif,console}.h). It is pure:
//! it must not know how they are written.

use std::net::IpAddr;

use jitsu_proto::{DomainSpec, Mac, Name};

use super::super::{ADDRESS, BUILT, Tag, control, mac};
use super::disk::Attached;
use super::sys::Rings;

/// The directory of dom0.
pub(super) const DOM0: &str = "/local/domain/0";

/// Where all backends in dom0 are.
pub(super) const BACKENDS: &str = "/local/domain/0/backend";

/// What the mark of a whole domain holds for a domain that was made from an image.
pub(super) const NEW: &str = "new";

/// What the mark of a whole domain holds for a domain that was made from a file.
pub(super) const RESUMED: &str = "resumed";

/// The key in a backend of ours that tells whose it is, since it outlives its domain; what it
/// holds for an interface that a script plugs is [`BY_SCRIPT`].
pub(super) const OWNER: &str = "jitsu";

/// See [`OWNER`].
pub(super) const BY_SCRIPT: &str = "by script";

/// What libxl would run for an interface on a bridge. The kernel's backend wants to read a name.
const DEFAULT_SCRIPT: &str = "vif-bridge";

/// Where a script is that is given by its name.
const SCRIPTS: &str = "/etc/xen/scripts";

/// Who may do what below a directory; what is made there later inherits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It is dom0's, and the guest may read it.
    Read,
    /// It is the guest's own.
    Own,
    /// It is the guest's own, and dom0 is told that it may read it: a frontend.
    Front,
}

/// One request; their order matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes a value.
    Write(String, String),
    /// Makes a directory and says whose it is; the number is the guest's.
    Directory(String, Access, u32),
}

/// A network interface as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) mac: Mac,
    pub(super) bridge: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) script: Option<String>,
}

/// The interfaces of a domain; `bridge` is for those that name none.
pub(super) fn interfaces(name: &Name, spec: &DomainSpec, bridge: &str) -> Vec<Interface> {
    let interface = |(nth, vif): (usize, &jitsu_proto::Vif)| Interface {
        mac: mac(name, nth, spec),
        bridge: vif.bridge.clone().unwrap_or_else(|| bridge.to_owned()),
        // The first is the one by which the guest is reached.
        ip: vif.ip.or(spec.address.filter(|_| nth == 0)),
        script: vif.script.clone(),
    };
    spec.vifs.iter().enumerate().map(interface).collect()
}

/// The directory of a domain.
pub(super) fn home(domid: u32) -> String {
    format!("/local/domain/{domid}")
}

/// The directory of a domain's UUID.
pub(super) fn vm(tag: Tag) -> String {
    format!("/vm/{tag}")
}

/// The backend of a domain's n-th interface.
pub(super) fn vif_backend(domid: u32, nth: usize) -> String {
    format!("{BACKENDS}/vif/{domid}/{nth}")
}

/// The backend of a disk.
pub(super) fn vbd_backend(domid: u32, number: u32) -> String {
    format!("{BACKENDS}/vbd/{domid}/{number}")
}

fn write(steps: &mut Vec<Step>, directory: &str, values: &[(&str, &str)]) {
    let steps_of = values.iter().map(|(key, value)| {
        let path = if key.is_empty() { directory.to_owned() } else { format!("{directory}/{key}") };
        Step::Write(path, (*value).to_owned())
    });
    steps.extend(steps_of);
}

/// What can be written as soon as a domain has a number, except for devices and a name.
///
/// Every request costs, so it is no more than what guests and `xenconsoled` look for. What is below
/// a directory has its permissions.
pub(super) fn domain(domid: u32, tag: Tag, memory_mib: u32, vcpus: u32) -> Vec<Step> {
    let home = home(domid);
    let memory_kib = (u64::from(memory_mib) * 1024).to_string();
    let mut steps = vec![Step::Directory(home.clone(), Access::Read, domid)];
    write(
        &mut steps,
        &home,
        &[
            ("vm", &vm(tag)),
            ("domid", &domid.to_string()),
            ("memory/static-max", &memory_kib),
            ("memory/target", &memory_kib),
            ("console/type", "xenconsoled"),
            ("console/limit", "1048576"),
        ],
    );
    for vcpu in 0..vcpus {
        write(&mut steps, &home, &[(&format!("cpu/{vcpu}/availability"), "online")]);
    }
    // In `control` a guest says what it can do when it is asked, and that it was asked.
    for own in ["control", "data", "error"] {
        steps.push(Step::Directory(format!("{home}/{own}"), Access::Own, domid));
    }
    steps.push(Step::Write(control(domid), String::new()));
    steps
}

/// What makes it the domain of that name.
pub(super) fn named(domid: u32, tag: Tag, name: &Name, spec: &DomainSpec) -> Vec<Step> {
    let mut steps = Vec::new();
    write(&mut steps, &vm(tag), &[("name", name.as_str())]);
    if let Some(address) = spec.guest_address() {
        write(&mut steps, &vm(tag), &[(ADDRESS, &address.to_string())]);
    }
    write(&mut steps, &home(domid), &[("name", name.as_str())]);
    for key in &spec.keys {
        write(&mut steps, &home(domid), &[(&key.path, &key.value)]);
    }
    steps
}

/// The path of a hotplug script.
pub(super) fn script_path(script: &str) -> String {
    if script.starts_with('/') { script.to_owned() } else { format!("{SCRIPTS}/{script}") }
}

/// What tells the kernel's backend that an interface is plugged in: it connects only then.
pub(super) fn plugged(domid: u32, nth: usize) -> (String, &'static str) {
    (format!("{}/hotplug-status", vif_backend(domid, nth)), "connected")
}

/// The n-th network interface: its two ends.
pub(super) fn vif(domid: u32, nth: usize, interface: &Interface) -> Vec<Step> {
    let front = format!("{}/device/vif/{nth}", home(domid));
    let back = vif_backend(domid, nth);
    let (handle, mac) = (nth.to_string(), interface.mac.to_string());
    let script = script_path(interface.script.as_deref().unwrap_or(DEFAULT_SCRIPT));
    let mut steps = vec![
        Step::Directory(front.clone(), Access::Front, domid),
        Step::Directory(back.clone(), Access::Read, domid),
    ];
    write(
        &mut steps,
        &back,
        &[
            ("frontend", &front),
            ("frontend-id", &domid.to_string()),
            ("online", "1"),
            ("handle", &handle),
            ("mac", &mac),
            ("bridge", &interface.bridge),
            ("type", "vif"),
            ("script", &script),
            (OWNER, if interface.script.is_some() { BY_SCRIPT } else { "by us" }),
        ],
    );
    if let Some(ip) = interface.ip {
        write(&mut steps, &back, &[("ip", &ip.to_string())]);
    }
    write(
        &mut steps,
        &front,
        &[
            ("backend", &back),
            ("backend-id", "0"),
            ("handle", &handle),
            ("mac", &mac),
            ("mtu", "1500"),
            ("state", "1"),
        ],
    );
    // Last: with it the kernel begins.
    write(&mut steps, &back, &[("state", "1")]);
    steps
}

/// Other addresses for an interface that was made before it was known whose it would be.
pub(super) fn vif_claimed(domid: u32, nth: usize, interface: &Interface) -> Vec<Step> {
    let mac = interface.mac.to_string();
    let mut steps = Vec::new();
    write(&mut steps, &format!("{}/device/vif/{nth}", home(domid)), &[("mac", &mac)]);
    write(&mut steps, &vif_backend(domid, nth), &[("mac", &mac)]);
    if let Some(ip) = interface.ip {
        write(&mut steps, &vif_backend(domid, nth), &[("ip", &ip.to_string())]);
    }
    steps
}

/// A disk: its two ends.
pub(super) fn vbd(domid: u32, disk: &Attached) -> Vec<Step> {
    let front = format!("{}/device/vbd/{}", home(domid), disk.number);
    let back = vbd_backend(domid, disk.number);
    let mut steps = vec![
        Step::Directory(front.clone(), Access::Front, domid),
        Step::Directory(back.clone(), Access::Read, domid),
    ];
    let physical = format!("{:x}:{:x}", disk.major, disk.minor);
    write(
        &mut steps,
        &back,
        &[
            ("frontend", &front),
            ("frontend-id", &domid.to_string()),
            ("online", "1"),
            ("removable", "0"),
            ("bootable", "1"),
            ("dev", &disk.device),
            ("type", "phy"),
            ("mode", if disk.read_only { "r" } else { "w" }),
            ("device-type", "disk"),
            ("params", &disk.node),
            ("physical-device-path", &disk.node),
            (OWNER, "1"),
        ],
    );
    write(
        &mut steps,
        &front,
        &[
            ("backend", &back),
            ("backend-id", "0"),
            ("virtual-device", &disk.number.to_string()),
            ("device-type", "disk"),
            ("state", "1"),
        ],
    );
    write(&mut steps, &back, &[("state", "1"), ("physical-device", &physical)]);
    steps
}

/// What is known only when the domain is built, and how it was. It is whole when it is introduced
/// besides.
pub(super) fn built(domid: u32, tag: Tag, rings: &Rings, how: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    write(
        &mut steps,
        &home(domid),
        &[
            ("store/port", &rings.store_port.to_string()),
            ("store/ring-ref", &rings.store_gfn.to_string()),
            ("console/port", &rings.console_port.to_string()),
            ("console/ring-ref", &rings.console_gfn.to_string()),
        ],
    );
    write(&mut steps, &vm(tag), &[(BUILT, how)]);
    steps
}

#[cfg(test)]
mod tests {
    use jitsu_proto::{Guest, Key, Mode, Vif};

    use super::*;

    fn text(steps: &[Step]) -> String {
        let line = |step: &Step| match step {
            Step::Write(path, value) => format!("{path} = {value}\n"),
            Step::Directory(path, access, 7) => format!("{path}: {access:?}\n"),
            Step::Directory(..) => panic!("of another domain: {step:?}"),
        };
        steps.iter().map(line).collect()
    }

    fn spec() -> DomainSpec {
        DomainSpec::new(Guest::Kernel {
            image: "/boot/guest".to_owned(),
            ramdisk: None,
            cmdline: String::new(),
            mode: Mode::Pv,
        })
    }

    #[test]
    fn an_interface_has_two_ends_and_the_kernel_begins_last() {
        let mut spec = spec();
        spec.address = Some("10.0.0.7".parse().expect("an address"));
        let mac = Some("00:16:3e:00:00:01".parse().expect("an address"));
        spec.vifs = vec![Vif { mac, ..Vif::default() }, Vif { mac, ..Vif::default() }];
        let all = interfaces(&Name::new("www").expect("a name"), &spec, "xenbr0");
        assert_eq!(all[1].ip, None);
        let expected = "\
/local/domain/7/device/vif/0: Front
/local/domain/0/backend/vif/7/0: Read
/local/domain/0/backend/vif/7/0/frontend = /local/domain/7/device/vif/0
/local/domain/0/backend/vif/7/0/frontend-id = 7
/local/domain/0/backend/vif/7/0/online = 1
/local/domain/0/backend/vif/7/0/handle = 0
/local/domain/0/backend/vif/7/0/mac = 00:16:3e:00:00:01
/local/domain/0/backend/vif/7/0/bridge = xenbr0
/local/domain/0/backend/vif/7/0/type = vif
/local/domain/0/backend/vif/7/0/script = /etc/xen/scripts/vif-bridge
/local/domain/0/backend/vif/7/0/jitsu = by us
/local/domain/0/backend/vif/7/0/ip = 10.0.0.7
/local/domain/7/device/vif/0/backend = /local/domain/0/backend/vif/7/0
/local/domain/7/device/vif/0/backend-id = 0
/local/domain/7/device/vif/0/handle = 0
/local/domain/7/device/vif/0/mac = 00:16:3e:00:00:01
/local/domain/7/device/vif/0/mtu = 1500
/local/domain/7/device/vif/0/state = 1
/local/domain/0/backend/vif/7/0/state = 1
";
        assert_eq!(text(&vif(7, 0, &all[0])), expected);
    }

    #[test]
    fn a_disk_is_opened_when_all_else_is_there() {
        let disk = Attached {
            device: "xvda".to_owned(),
            number: 51712,
            node: "/dev/loop3".to_owned(),
            major: 7,
            minor: 19,
            read_only: true,
        };
        let steps = vbd(7, &disk);
        let last = "/local/domain/0/backend/vbd/7/51712/physical-device".to_owned();
        assert_eq!(steps.last(), Some(&Step::Write(last, "7:13".to_owned())));
        assert!(text(&steps).contains("backend/vbd/7/51712/mode = r\n"));
        assert!(text(&steps).contains("device/vbd/51712/virtual-device = 51712\n"));
    }

    #[test]
    fn keys_of_the_guest_stand_below_its_own_directory() {
        let mut spec = spec();
        spec.keys = vec![Key { path: "rumprun/cfg".to_owned(), value: "{}".to_owned() }];
        let tag = Tag::new().expect("chance");
        let name = Name::new("www").expect("a name");
        let expected = format!(
            "/vm/{tag}/name = www\n/local/domain/7/name = www\n/local/domain/7/rumprun/cfg = {{}}\n"
        );
        assert_eq!(text(&named(7, tag, &name, &spec)), expected);
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let tag = Tag::new().expect("chance");
        let steps = domain(7, tag, 16, 2);
        let mut made = vec![];
        for step in &steps {
            match step {
                Step::Directory(path, ..) => made.push(path.clone()),
                Step::Write(path, _) => {
                    assert!(made.iter().any(|parent| path.starts_with(parent)), "{path}");
                }
            }
        }
        let text = text(&steps);
        assert!(text.contains("/local/domain/7/memory/static-max = 16384\n"));
        assert!(text.contains("/local/domain/7/cpu/1/availability = online\n"));
        assert!(text.contains("/local/domain/7/control: Own\n"));
    }
}
