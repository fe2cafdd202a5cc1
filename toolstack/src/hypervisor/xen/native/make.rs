//! Making domains: from a spec, or from the file of a saved one.
//!
//! Owns the order of things. What can be found wrong is found before a domain is made; where
//! something goes wrong after that, all of it is removed.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitsu_proto::{DomainSpec, Guest, Mode, Name};

use super::acpi;
use super::disk::{self, Held};
use super::entries::{self, Interface, Step, script_path};
use super::image::{Blob, ImageError};
use super::link::{self, Links};
use super::saved::Header;
use super::sys::{Image, Rings, Shape};
use super::{HYPERVISOR, Ours, Shared, Suspending, refused};
use crate::hypervisor::xen::{Tag, cmdline};
use crate::hypervisor::{Handle, HypervisorError};

/// How long the kernel may take to make its end of a device: as long as libxl waits for a hotplug
/// script (`LIBXL_HOTPLUG_TIMEOUT`), for one processor may be booting nine other guests meanwhile.
const DEVICE_MAX: Duration = Duration::from_secs(40);

/// How often a disk's backend is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What the hypervisor and the XenStore use of a domain's memory budget besides its memory, in
/// MiB: the slack of its limit, its tables.
const OVERHEAD_MIB: u64 = 2;

/// What a domain will be given, looked at and opened.
struct Parts {
    interfaces: Vec<Interface>,
    disks: Vec<Held>,
}

/// A kernel and what goes with it.
struct Load {
    kernel: Arc<Blob>,
    ramdisk: Option<Arc<Blob>>,
    cmdline: CString,
}

/// A domain that has a number.
pub(super) struct Begun {
    pub(super) domid: u32,
    pub(super) tag: Tag,
    shape: Shape,
    /// The machine frame of each of its pages, for a shell: it has its memory, and its interfaces.
    pub(super) frames: Option<Vec<u64>>,
}

impl Shared {
    pub(super) fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        let (load, mode) = self.load(name, spec)?;
        let parts = self.parts(name, spec)?;
        let _summon = self.shells.summon();
        let begun = match self.shells.take(mode, spec, &parts.interfaces) {
            Some(shell) => shell,
            None => self.begin(mode == Mode::Pvh, spec.memory_mib, spec.vcpus)?,
        };
        let build = |begun: &Begun| {
            // A PV guest has no use for them, and may have more VCPUs.
            let acpi = match mode {
                Mode::Pvh => acpi::tables(begun.shape.vcpus),
                Mode::Pv => Vec::new(),
            };
            let image = Image {
                kernel: load.kernel.bytes(),
                ramdisk: load.ramdisk.as_deref().map(Blob::bytes),
                cmdline: &load.cmdline,
                acpi: &acpi,
            };
            let built = self.xen.build(begun.domid, &begun.shape, &image, begun.frames.as_deref());
            built.map_err(refused("loading the image"))
        };
        self.finish(name, spec, parts, &begun, build, entries::NEW)
    }

    pub(super) fn resume(
        &self,
        name: &Name,
        from: &Path,
        spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError> {
        let wrong = |cause: String| HypervisorError::Saved { file: from.to_owned(), cause };
        let mut file = File::open(from).map_err(|cause| wrong(cause.to_string()))?;
        let header = Header::read(&mut file).map_err(|cause| wrong(cause.to_string()))?;
        let parts = self.parts(name, spec)?;
        let _summon = self.shells.summon();
        let begun = self.begin(header.is_pvh, header.memory_mib, header.vcpus)?;
        let restore = |begun: &Begun| {
            let restored = self.xen.restore(begun.domid, &file);
            restored.map_err(|cause| wrong(cause.to_string()))
        };
        let handle = self.finish(name, spec, parts, &begun, restore, entries::RESUMED)?;
        // It runs from here on; a second domain from the same file would be its double.
        std::fs::remove_file(from)
            .map_err(|cause| HypervisorError::io("removing a saved domain", cause))?;
        Ok(handle)
    }

    /// Reads the images, unless they are known.
    fn load(&self, name: &Name, spec: &DomainSpec) -> Result<(Load, Mode), HypervisorError> {
        let Guest::Kernel { image, ramdisk, cmdline: text, mode } = &spec.guest else {
            return Err(HypervisorError::Unsupported {
                hypervisor: HYPERVISOR,
                what: "run this kind of guest",
                instead: "use a guest of kind \"kernel\"; an xl.cfg runs on the hypervisor \"xl\"",
            });
        };
        let wrong = |path: &str| {
            let image = PathBuf::from(path);
            move |cause: ImageError| HypervisorError::Image {
                image,
                cause: match cause {
                    ImageError::Read(cause) => cause,
                    other => io::Error::other(other.to_string()),
                },
            }
        };
        let kernel = self.images.kernel(&self.xen, Path::new(image)).map_err(wrong(image))?;
        let ramdisk = match ramdisk {
            Some(path) => Some(self.images.ramdisk(Path::new(path)).map_err(wrong(path))?),
            None => None,
        };
        let cmdline = CString::new(cmdline(text, name, spec))
            .expect("BUG: a command line without NUL was checked");
        Ok((Load { kernel, ramdisk, cmdline }, *mode))
    }

    /// Looks at all that a domain needs besides its image.
    fn parts(&self, name: &Name, spec: &DomainSpec) -> Result<Parts, HypervisorError> {
        if self.table().is_taken(name) {
            return Err(HypervisorError::NameTaken(name.clone()));
        }
        let interfaces = entries::interfaces(name, spec, &self.bridge);
        for (nth, interface) in interfaces.iter().enumerate() {
            if interface.script.is_none() && !link::is_bridge(&interface.bridge) {
                return Err(HypervisorError::NoBridge { nth, bridge: interface.bridge.clone() });
            }
        }
        let attach = |disk: &jitsu_proto::Disk| {
            disk::attach(disk).map_err(|cause| HypervisorError::Device {
                device: format!("disk {} ({})", disk.device, disk.source),
                cause,
            })
        };
        let disks = spec.disks.iter().map(attach).collect::<Result<_, _>>()?;
        Ok(Parts { interfaces, disks })
    }

    /// Makes a domain that has a number and nothing else.
    pub(super) fn begin(
        &self,
        is_pvh: bool,
        memory_mib: u32,
        vcpus: u32,
    ) -> Result<Begun, HypervisorError> {
        let free = self.free_kib()? / 1024;
        if free < u64::from(memory_mib) + OVERHEAD_MIB {
            return Err(HypervisorError::NoMemory { wanted_mib: memory_mib });
        }
        let tag = Tag::new().map_err(|cause| HypervisorError::io("drawing a UUID", cause))?;
        let shape = Shape { uuid: tag.bytes(), memory_mib, vcpus, is_pvh: u32::from(is_pvh) };
        let domid = self.xen.create(&shape).map_err(refused("making the domain"))?;
        Ok(Begun { domid, tag, shape, frames: None })
    }

    /// Gives a domain that has begun all the rest, or removes it.
    fn finish(
        &self,
        name: &Name,
        spec: &DomainSpec,
        parts: Parts,
        begun: &Begun,
        build: impl FnOnce(&Begun) -> Result<Rings, HypervisorError> + Send,
        built: &'static str,
    ) -> Result<Handle, HypervisorError> {
        let done = std::thread::scope(|scope| {
            let building = scope.spawn(|| build(begun));
            let furnished = self.furnish(name, spec, &parts, begun);
            let rings = building.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            furnished?;
            self.introduce(begun, &rings?, built)
        });
        if let Err(error) = done {
            self.remove(begun.domid, begun.tag);
            return Err(error);
        }
        let handle = Handle { name: name.clone(), id: begun.domid, address: spec.guest_address() };
        let ours = Ours {
            handle: handle.clone(),
            tag: begun.tag,
            _disks: parts.disks,
            suspending: Suspending::No,
        };
        self.table().ours.insert(begun.domid, ours);
        if let Err(error) = self.consoles.add(begun.domid, name) {
            tracing::warn!(domain = %name, %error, "its console is not kept");
        }
        Ok(handle)
    }

    /// The XenStore and the devices.
    fn furnish(
        &self,
        name: &Name,
        spec: &DomainSpec,
        parts: &Parts,
        begun: &Begun,
    ) -> Result<(), HypervisorError> {
        let (domid, tag, shape) = (begun.domid, begun.tag, begun.shape);
        let mut steps = Vec::new();
        let is_shell = begun.frames.is_some();
        if !is_shell {
            steps.extend(entries::domain(domid, tag, shape.memory_mib, shape.vcpus));
        }
        for (nth, interface) in parts.interfaces.iter().enumerate() {
            let vif = if is_shell { entries::vif_claimed } else { entries::vif };
            steps.extend(vif(domid, nth, interface));
        }
        steps.extend(parts.disks.iter().flat_map(|held| entries::vbd(domid, &held.disk)));
        steps.extend(entries::named(domid, tag, name, spec));
        if is_shell {
            self.write(&steps)?;
        } else {
            self.write_and_plug(domid, &steps, &parts.interfaces)?;
        }
        for Interface { mac, bridge, ip, .. } in &parts.interfaces {
            if let Some(ip) = *ip
                && let Err(error) = link::introduce(bridge, ip, mac.bytes())
            {
                tracing::warn!(domid, %ip, %error, "the kernel has to ask who has an address");
            }
        }
        parts.disks.iter().try_for_each(|held| self.wait_for_disk(domid, held))
    }

    /// Writes what is asked of the XenStore, and plugs in the interfaces that the kernel then makes.
    pub(super) fn write_and_plug(
        &self,
        domid: u32,
        steps: &[Step],
        interfaces: &[Interface],
    ) -> Result<(), HypervisorError> {
        // Before they are asked for: then none comes unheard.
        let links = Links::listen()
            .map_err(|cause| HypervisorError::io("listening for interfaces", cause))?;
        self.write(steps)?;
        self.plug(domid, interfaces, &links)
    }

    /// Plugs each interface into its bridge, once the kernel has made it.
    fn plug(
        &self,
        domid: u32,
        interfaces: &[Interface],
        links: &Links,
    ) -> Result<(), HypervisorError> {
        let until = Instant::now() + DEVICE_MAX;
        for (nth, interface) in interfaces.iter().enumerate() {
            let name = link::vif(domid, nth);
            let device = || format!("vifs[{nth}] ({name})");
            let is_plugged = match &interface.script {
                None => links.plug(&name, &interface.bridge, until),
                Some(_) => links.wait(until, || link::exists(&name)),
            };
            if let Err(cause) = is_plugged {
                let said = self.trouble(&entries::vif_backend(domid, nth))?;
                let cause = said.map_or(cause, io::Error::other);
                return Err(HypervisorError::Device { device: device(), cause });
            }
            match &interface.script {
                // It tells the kernel itself.
                Some(script) => link::run_script(&script_path(script), "online", domid, nth)
                    .map_err(|cause| HypervisorError::Device { device: device(), cause })?,
                None => {
                    let (path, value) = entries::plugged(domid, nth);
                    self.store.write(&path, value)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until the kernel has opened a disk.
    fn wait_for_disk(&self, domid: u32, held: &Held) -> Result<(), HypervisorError> {
        let until = Instant::now() + DEVICE_MAX;
        let backend = entries::vbd_backend(domid, held.disk.number);
        loop {
            let state = self.read(&format!("{backend}/state"))?;
            // XenbusStateInitWait and on (xen/include/public/io/xenbus.h).
            if matches!(state.as_deref(), Some("2" | "3" | "4")) {
                return Ok(());
            }
            let cause = match self.trouble(&backend)? {
                Some(said) => io::Error::other(said),
                None if Instant::now() >= until => io::ErrorKind::TimedOut.into(),
                None => {
                    std::thread::sleep(LOOK);
                    continue;
                }
            };
            let Held { disk, .. } = held;
            let device = format!("disk {} ({})", disk.device, disk.node);
            return Err(HypervisorError::Device { device, cause });
        }
    }

    /// What the kernel says is wrong with its end of a device.
    fn trouble(&self, backend: &str) -> Result<Option<String>, HypervisorError> {
        let below = backend.strip_prefix(entries::DOM0).expect("BUG: backends are in dom0");
        Ok(self.read(&format!("{}/error{below}/error", entries::DOM0))?)
    }

    /// The last steps: its rings and that it is built, and its connection.
    fn introduce(
        &self,
        begun: &Begun,
        rings: &Rings,
        built: &'static str,
    ) -> Result<(), HypervisorError> {
        self.write(&entries::built(begun.domid, begun.tag, rings, built))?;
        self.store.introduce(begun.domid, rings.store_gfn, rings.store_port)?;
        Ok(())
    }
}
