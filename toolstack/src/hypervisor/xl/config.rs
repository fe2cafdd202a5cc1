//! From a spec to an `xl.cfg(5)`.
//!
//! Owns the text, and what cannot be said in it. It is pure; it must not know how `xl` is run.

use jitsu_proto::{Disk, DomainSpec, Mode, Name, Vif};

use crate::hypervisor::xen;

/// What a kernel guest is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel<'a> {
    pub(super) image: &'a str,
    pub(super) ramdisk: Option<&'a str>,
    pub(super) cmdline: &'a str,
    pub(super) mode: Mode,
}

/// A text that no `xl.cfg` can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value:?}, which no xl.cfg can hold: {why}")]
pub(super) struct Unsayable {
    field: &'static str,
    value: String,
    why: &'static str,
}

/// The configuration of a kernel guest. Its name and UUID are not in it.
pub(super) fn kernel(
    name: &Name,
    spec: &DomainSpec,
    kernel: &Kernel<'_>,
    bridge: &str,
) -> Result<String, Unsayable> {
    let cmdline = xen::cmdline(kernel.cmdline, name, spec);
    let mut lines = vec![format!("kernel = {}", quoted("guest.kernel.image", kernel.image)?)];
    // Without a type it is paravirtualised, in every release.
    if kernel.mode == Mode::Pvh {
        lines.push("type = \"pvh\"".to_owned());
    }
    if let Some(ramdisk) = kernel.ramdisk {
        lines.push(format!("ramdisk = {}", quoted("guest.kernel.ramdisk", ramdisk)?));
    }
    if !cmdline.is_empty() {
        lines.push(format!("cmdline = {}", quoted("guest.kernel.cmdline", &cmdline)?));
    }
    lines.push(format!("memory = {}", spec.memory_mib));
    lines.push(format!("vcpus = {}", spec.vcpus));
    let vifs = spec.vifs.iter().enumerate();
    let vifs: Vec<String> =
        vifs.map(|(nth, it)| vif(nth, it, name, spec, bridge)).collect::<Result<_, _>>()?;
    lines.push(format!("vif = [{}]", vifs.join(", ")));
    let disks: Vec<String> = spec.disks.iter().map(disk).collect::<Result<_, _>>()?;
    lines.push(format!("disk = [{}]", disks.join(", ")));
    Ok(lines.join("\n") + "\n")
}

/// Settings that go after those of any configuration, so that they hold.
pub(super) fn identity(name: &Name, uuid: &str) -> [String; 2] {
    [format!("name=\"{name}\""), format!("uuid=\"{uuid}\"")]
}

/// xl-network-configuration(5). In a list of `key=value` a comma would begin another.
fn vif(
    nth: usize,
    vif: &Vif,
    name: &Name,
    spec: &DomainSpec,
    bridge: &str,
) -> Result<String, Unsayable> {
    let mut said = format!("mac={}", xen::mac(name, nth, spec));
    if let Some(ip) = vif.ip.or(spec.address.filter(|_| nth == 0)) {
        said += &format!(",ip={ip}");
    }
    said += &match &vif.script {
        Some(script) => format!(",script={}", plain("vifs.script", script)?),
        None => {
            let bridge = vif.bridge.as_deref().unwrap_or(bridge);
            format!(",bridge={}", plain("vifs.bridge", bridge)?)
        }
    };
    quoted("vifs", &said)
}

/// xl-disk-configuration(5): what follows `target=` is taken as it is, commas and all.
fn disk(disk: &Disk) -> Result<String, Unsayable> {
    let device = plain("disks.device", &disk.device)?;
    let access = if disk.read_only { "ro" } else { "rw" };
    let source = &disk.source;
    quoted("disks.source", &format!("format=raw,vdev={device},access={access},target={source}"))
}

fn plain<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Unsayable> {
    if value.contains([',', '=']) || value.trim() != value {
        let why = "it holds a comma, an equals sign, or a space at an end";
        return Err(Unsayable { field, value: value.to_owned(), why });
    }
    Ok(value)
}

/// A string of an `xl.cfg`, with its quotes.
fn quoted(field: &'static str, value: &str) -> Result<String, Unsayable> {
    if value.chars().any(char::is_control) {
        let why = "it holds a control character, as the end of a line is";
        return Err(Unsayable { field, value: value.to_owned(), why });
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use jitsu_proto::{Guest, Millis};

    use super::*;

    fn name() -> Name {
        Name::new("www").expect("a name")
    }

    fn spec() -> DomainSpec {
        DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) })
    }

    const PLAIN: Kernel<'_> =
        Kernel { image: "/srv/www.bin", ramdisk: None, cmdline: "", mode: Mode::Pv };

    #[test]
    fn a_spec_is_said() {
        let text = kernel(&name(), &spec(), &PLAIN, "xenbr0").expect("it can be said");
        let least = "kernel = \"/srv/www.bin\"\nmemory = 64\nvcpus = 1\nvif = []\ndisk = []\n";
        assert_eq!(text, least);

        let mut spec = spec();
        spec.address = Some("10.0.0.2".parse().expect("an address"));
        spec.memory_mib = 8;
        spec.vcpus = 2;
        let mac = Some("00:16:3e:00:00:01".parse().expect("an address"));
        spec.vifs = vec![
            Vif { mac, ..Vif::default() },
            Vif { mac, bridge: Some("br1".to_owned()), ..Vif::default() },
            Vif {
                mac,
                script: Some("vif-route".to_owned()),
                ip: Some("10.0.1.2".parse().expect("an address")),
                ..Vif::default()
            },
        ];
        spec.disks = vec![
            Disk {
                source: "/srv/a,b=\"c\".img".to_owned(),
                device: "xvda".to_owned(),
                read_only: false,
            },
            Disk { source: "/dev/vg/b".to_owned(), device: "sdb1".to_owned(), read_only: true },
        ];
        let guest = Kernel {
            ramdisk: Some("/srv/initrd"),
            cmdline: "ip={address} a=\"b\\c\" 'd'",
            mode: Mode::Pvh,
            ..PLAIN
        };
        let text = kernel(&name(), &spec, &guest, "xenbr0").expect("it can be said");
        let expected = r#"kernel = "/srv/www.bin"
type = "pvh"
ramdisk = "/srv/initrd"
cmdline = "ip=10.0.0.2 a=\"b\\c\" 'd'"
memory = 8
vcpus = 2
vif = ["mac=00:16:3e:00:00:01,ip=10.0.0.2,bridge=xenbr0", "mac=00:16:3e:00:00:01,bridge=br1", "mac=00:16:3e:00:00:01,ip=10.0.1.2,script=vif-route"]
disk = ["format=raw,vdev=xvda,access=rw,target=/srv/a,b=\"c\".img", "format=raw,vdev=sdb1,access=ro,target=/dev/vg/b"]
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_gets_out_of_its_place() {
        let end_of_line = "it holds a control character, as the end of a line is";
        let comma = "it holds a comma, an equals sign, or a space at an end";
        let image = |image| (spec(), Kernel { image, ..PLAIN });
        let cmdline = |cmdline| (spec(), Kernel { cmdline, ..PLAIN });
        let bridge = |bridge: &str| {
            let vif = Vif { bridge: Some(bridge.to_owned()), ..Vif::default() };
            (DomainSpec { vifs: vec![vif], ..spec() }, PLAIN)
        };
        let disk = |source: &str, device: &str| {
            let (source, device) = (source.to_owned(), device.to_owned());
            let disk = Disk { source, device, read_only: false };
            (DomainSpec { disks: vec![disk], ..spec() }, PLAIN)
        };
        let rows = [
            (image("/a\nname=\"b\""), "guest.kernel.image", end_of_line),
            (cmdline("a\r"), "guest.kernel.cmdline", end_of_line),
            (cmdline("a\u{85}b"), "guest.kernel.cmdline", end_of_line),
            (bridge("a,script=/tmp/evil"), "vifs.bridge", comma),
            (bridge(" a"), "vifs.bridge", comma),
            (disk("/a\n", "xvda"), "disks.source", end_of_line),
            (disk("/a", "xvda,script=b"), "disks.device", comma),
        ];
        for ((spec, guest), field, why) in rows {
            let error = kernel(&name(), &spec, &guest, "xenbr0").expect_err(field);
            assert_eq!((error.field, error.why), (field, why), "{error}");
        }
    }
}
