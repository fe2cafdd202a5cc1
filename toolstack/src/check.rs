//! What a spec may say.
//!
//! Owns what types cannot: sizes and texts that no hypervisor could use. Whether a particular
//! hypervisor can is found out when it is asked.

use jitsu_proto::{Disk, DomainSpec, Guest, Key, Vif};

use crate::xenstore;

/// More is surely a mistake: 1 TiB.
const MEMORY_MIB_MAX: u32 = 1 << 20;
const VCPUS_MAX: u32 = 512;

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// An amount out of bounds.
    #[error("{field} is {value}; allowed are 1 to {max}")]
    Amount {
        /// Which.
        field: &'static str,
        /// How much.
        value: u32,
        /// The most.
        max: u32,
    },
    /// A command without a program.
    #[error("guest.command.argv is empty: it begins with the program")]
    NoProgram,
    /// A variable that no environment can hold.
    #[error("guest.command.env: {0:?} is no name of a variable")]
    Variable(String),
    /// A text with a NUL byte.
    #[error("{0} holds a NUL byte")]
    Nul(&'static str),
    /// A path that is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A command line that Xen has no room for.
    #[error("guest.kernel.cmdline is {0} bytes long; at most {CMDLINE_BYTES_MAX} are allowed")]
    Cmdline(usize),
    /// More interfaces or disks than anybody could mean.
    #[error("there are {count} {field}; at most {DEVICES_MAX} are allowed")]
    Devices {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
    },
    /// A text that must be a name and is none.
    #[error("{field}: {value:?} is not {what}")]
    Form {
        /// Where.
        field: &'static str,
        /// What is there.
        value: String,
        /// What should be.
        what: &'static str,
    },
    /// Two disks of one name.
    #[error("disks: two are called {0:?}")]
    Twice(String),
}

/// The longest command line: what is left of `MAX_GUEST_CMDLINE` (xen/include/public/xen.h)
/// with its NUL byte.
const CMDLINE_BYTES_MAX: usize = 1023;
const DEVICES_MAX: usize = 64;
/// The longest name of an interface that Linux has (IFNAMSIZ, with its NUL byte).
const INTERFACE_BYTES_MAX: usize = 15;
/// The longest value of a key that both xenstored daemons take from a guest.
const KEY_BYTES_MAX: usize = 2000;
/// What the toolstack itself writes below a domain's directory.
const KEPT: [&str; 8] = ["console", "control", "cpu", "device", "domid", "memory", "name", "store"];

/// Refuses a spec that cannot be right.
pub fn domain(spec: &DomainSpec) -> Result<(), SpecError> {
    amount("memory_mib", spec.memory_mib, MEMORY_MIB_MAX)?;
    amount("vcpus", spec.vcpus, VCPUS_MAX)?;
    devices(spec)?;
    let has_nul = |text: &String| text.contains('\0');
    match &spec.guest {
        Guest::Command { argv, .. } if argv.first().is_none_or(String::is_empty) => {
            Err(SpecError::NoProgram)
        }
        Guest::Command { argv, .. } if argv.iter().any(has_nul) => {
            Err(SpecError::Nul("guest.command.argv"))
        }
        Guest::Command { env, .. } if env.values().any(has_nul) => {
            Err(SpecError::Nul("guest.command.env"))
        }
        Guest::Command { env, .. } => match env.keys().find(|name| !is_variable(name)) {
            Some(name) => Err(SpecError::Variable(name.clone())),
            None => Ok(()),
        },
        Guest::Hello { port, .. } => amount("guest.hello.port", (*port).into(), u16::MAX.into()),
        Guest::Kernel { image, .. } if image.is_empty() => {
            Err(SpecError::Empty("guest.kernel.image"))
        }
        Guest::Kernel { ramdisk: Some(path), .. } if path.is_empty() => {
            Err(SpecError::Empty("guest.kernel.ramdisk"))
        }
        Guest::Kernel { image, ramdisk, .. }
            if has_nul(image) || ramdisk.as_ref().is_some_and(has_nul) =>
        {
            Err(SpecError::Nul("guest.kernel"))
        }
        Guest::Kernel { cmdline, .. } if has_nul(cmdline) => {
            Err(SpecError::Nul("guest.kernel.cmdline"))
        }
        Guest::Kernel { cmdline, .. } if cmdline.len() > CMDLINE_BYTES_MAX => {
            Err(SpecError::Cmdline(cmdline.len()))
        }
        Guest::Kernel { .. } => Ok(()),
        Guest::Xl { config } if config.is_empty() => Err(SpecError::Empty("guest.xl.config")),
        Guest::Xl { config } if has_nul(config) => Err(SpecError::Nul("guest.xl.config")),
        Guest::Xl { .. } => Ok(()),
    }
}

fn devices(spec: &DomainSpec) -> Result<(), SpecError> {
    for (field, count) in
        [("vifs", spec.vifs.len()), ("disks", spec.disks.len()), ("keys", spec.keys.len())]
    {
        if count > DEVICES_MAX {
            return Err(SpecError::Devices { field, count });
        }
    }
    spec.vifs.iter().try_for_each(vif)?;
    spec.disks.iter().try_for_each(disk)?;
    spec.keys.iter().try_for_each(key)?;
    let mut names: Vec<&str> = spec.disks.iter().map(|disk| disk.device.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SpecError::Twice(pair[0].to_owned())),
        None => Ok(()),
    }
}

/// `value`, if it is right.
fn form(
    field: &'static str,
    value: &str,
    what: &'static str,
    is_right: bool,
) -> Result<(), SpecError> {
    if is_right { Ok(()) } else { Err(SpecError::Form { field, value: value.to_owned(), what }) }
}

fn vif(vif: &Vif) -> Result<(), SpecError> {
    if let Some(bridge) = &vif.bridge {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_right =
            (1..=INTERFACE_BYTES_MAX).contains(&bridge.len()) && bridge.chars().all(is_name);
        form("vifs.bridge", bridge, "the name of an interface", is_right)?;
    }
    let Some(script) = &vif.script else { return Ok(()) };
    let is_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let is_right = !script.is_empty()
        && script.chars().all(is_path)
        && (script.starts_with('/') || !script.contains('/'));
    form("vifs.script", script, "an absolute path, or a name in /etc/xen/scripts", is_right)
}

fn disk(disk: &Disk) -> Result<(), SpecError> {
    let is_right = disk.source.starts_with('/') && !disk.source.contains(['\0', '\n']);
    form("disks.source", &disk.source, "an absolute path", is_right)?;
    let (device, is_right) = (&disk.device, crate::vdev::number(&disk.device).is_some());
    form("disks.device", device, "a disk's name, as xvda, xvda1, sdb or hdc", is_right)
}

fn key(key: &Key) -> Result<(), SpecError> {
    let is_right = is_key(&key.path);
    form("keys.path", &key.path, "a path below the domain's directory in the XenStore", is_right)?;
    let first = key.path.split('/').next().unwrap_or_default();
    let is_free = !KEPT.contains(&first);
    form("keys.path", &key.path, "free: the toolstack writes there itself", is_free)?;
    let is_right = key.value.len() <= KEY_BYTES_MAX && !key.value.contains('\0');
    form(
        "keys.value",
        &key.path,
        "the path of a value of at most 2000 bytes without a NUL",
        is_right,
    )
}

/// Whether `path` names a node below a domain's directory.
fn is_key(path: &str) -> bool {
    (1..=256).contains(&path.len()) && xenstore::Path::new(&format!("/{path}")).is_ok()
}

fn amount(field: &'static str, value: u32, max: u32) -> Result<(), SpecError> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(SpecError::Amount { field, value, max }) }
}

fn is_variable(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> DomainSpec {
        DomainSpec::new(Guest::Kernel {
            image: "/boot/guest".to_owned(),
            ramdisk: None,
            cmdline: String::new(),
            mode: jitsu_proto::Mode::Pv,
        })
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut DomainSpec), expected: &str) {
        let mut spec = spec();
        assert_eq!(domain(&spec), Ok(()));
        change(&mut spec);
        assert_eq!(domain(&spec).expect_err(expected).to_string(), expected);
    }

    fn a_disk(source: &str, device: &str) -> Disk {
        Disk { source: source.to_owned(), device: device.to_owned(), read_only: false }
    }

    #[test]
    fn devices_that_cannot_be_are_named() {
        refused(
            |spec| {
                spec.vifs = vec![Vif { bridge: Some("xen/br".to_owned()), ..Vif::default() }];
            },
            "vifs.bridge: \"xen/br\" is not the name of an interface",
        );
        refused(
            |spec| {
                spec.vifs = vec![Vif { script: Some("../vif".to_owned()), ..Vif::default() }];
            },
            "vifs.script: \"../vif\" is not an absolute path, or a name in /etc/xen/scripts",
        );
        refused(
            |spec| spec.vifs = vec![Vif::default(); 65],
            "there are 65 vifs; at most 64 are allowed",
        );
        refused(
            |spec| spec.disks = vec![a_disk("disk.img", "xvda")],
            "disks.source: \"disk.img\" is not an absolute path",
        );
        refused(
            |spec| spec.disks = vec![a_disk("/disk.img", "disk")],
            "disks.device: \"disk\" is not a disk's name, as xvda, xvda1, sdb or hdc",
        );
        refused(
            |spec| spec.disks = vec![a_disk("/a", "xvda"), a_disk("/b", "xvda")],
            "disks: two are called \"xvda\"",
        );
    }

    #[test]
    fn the_examples_for_xen_make_sense() {
        let text = include_str!("../../jitsu/examples/xen.toml");
        let all: toml::Table = text.parse().expect("TOML");
        let domains = all["domain"].as_table().expect("a table").clone();
        assert!(domains.len() >= 6, "an example of each kind of guest");
        for (name, spec) in domains {
            let spec: DomainSpec = spec.try_into().expect(&name);
            assert_eq!(domain(&spec), Ok(()), "{name}");
        }
    }

    #[test]
    fn keys_stay_below_the_domain_and_off_what_is_ours() {
        let with = |path: &str| Key { path: path.to_owned(), value: "1".to_owned() };
        for path in ["", "/a", "a//b", "a/", "a b", "../x"] {
            let what = "a path below the domain's directory in the XenStore";
            refused(
                |spec| spec.keys = vec![with(path)],
                &format!("keys.path: {path:?} is not {what}"),
            );
        }
        refused(
            |spec| spec.keys = vec![with("device/vif")],
            "keys.path: \"device/vif\" is not free: the toolstack writes there itself",
        );
        let mut right = spec();
        right.keys = vec![with("rumprun/cfg")];
        assert_eq!(domain(&right), Ok(()));
    }
}
