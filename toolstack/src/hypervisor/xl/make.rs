//! Making domains: from a spec, or from the file of a saved one.
//!
//! Owns the order of things. What can be found wrong is found before `xl` is run; where something
//! goes wrong after that, what was made is removed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jitsu_proto::{DomainSpec, Guest, Name};

use super::cause::{Cause, Failure};
use super::config::{self, Kernel};
use super::table::Row;
use super::{BUILT, HYPERVISOR, NEW, Ours, STARTED, Shared, failed};
use crate::hypervisor::xen::{ADDRESS, Tag};
use crate::hypervisor::{Handle, HypervisorError};
use crate::xenstore::ClientError;

const MAKING: &str = "making the domain";
const RESUMING: &str = "resuming the domain";

/// A configuration in a file. One that we wrote is removed with this.
struct Config {
    path: PathBuf,
    is_ours: bool,
}

impl Drop for Config {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Shared {
    pub(super) fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        self.is_free(name)?;
        let config = self.config(name, spec)?;
        let _turn = self.turns.take();
        let tag = Tag::new().map_err(|cause| HypervisorError::io("choosing a UUID", cause))?;
        let [called, uuid] = config::identity(name, &tag.to_string());
        // -e: it does not stay to do something at the domain's end. -p: paused. -q: no progress.
        let mut arguments: Vec<&OsStr> = ["create", "-e", "-p", "-q"].map(OsStr::new).to_vec();
        arguments.extend([config.path.as_os_str(), called.as_ref(), uuid.as_ref()]);
        let made = self.xl(&arguments).map_err(|failure| explained(name, spec, failure));
        let made = made.and_then(|_| self.found(MAKING, |row| row.tag == tag));
        let made = made.and_then(|row| self.settle(name, spec, &row, NEW));
        made.inspect_err(|_| self.remove_left(|row| row.tag == tag))
    }

    pub(super) fn resume(
        &self,
        name: &Name,
        from: &Path,
        spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError> {
        self.is_free(name)?;
        let unusable = |cause| HypervisorError::Saved { file: from.to_owned(), cause };
        File::open(from).map_err(|error| unusable(error.to_string()))?;
        let arguments: [&OsStr; 4] =
            ["restore".as_ref(), "-e".as_ref(), "-p".as_ref(), from.as_ref()];
        let _turn = self.turns.take();
        let made = self.xl(&arguments).map_err(|failure| match failure.cause {
            Cause::NameTaken => HypervisorError::NameTaken(name.clone()),
            Cause::NoMemory => HypervisorError::NoMemory { wanted_mib: spec.memory_mib },
            Cause::Image | Cause::NotSuspended | Cause::Other => unusable(failure.said),
            Cause::NoCommand | Cause::NotThere | Cause::Permission => failed(RESUMING)(failure),
        });
        let is_it = |row: &Row| row.name.as_ref() == Some(name);
        let made = made.and_then(|_| self.found(RESUMING, is_it));
        let made = made.and_then(|row| self.settle(name, spec, &row, STARTED));
        let handle = made.inspect_err(|error| {
            // Then the one of that name is another.
            if !matches!(error, HypervisorError::NameTaken(_)) {
                self.remove_left(is_it);
            }
        })?;
        if let Err(error) = fs::remove_file(from) {
            tracing::warn!(file = %from.display(), %error, "a resumed domain's file is left");
        }
        Ok(handle)
    }

    fn is_free(&self, name: &Name) -> Result<(), HypervisorError> {
        match self.table().contains_key(name) {
            true => Err(HypervisorError::NameTaken(name.clone())),
            false => Ok(()),
        }
    }

    /// The row of a domain that `xl` has made.
    fn found(
        &self,
        doing: &'static str,
        is_it: impl Fn(&Row) -> bool,
    ) -> Result<Row, HypervisorError> {
        let said = || "xl says that it did, and the domain is not there".to_owned();
        let row = self.rows()?.into_iter().find(is_it);
        row.ok_or_else(|| HypervisorError::Refused { doing, said: said() })
    }

    /// Writes what the guest will find, and last that the domain is whole.
    fn settle(
        &self,
        name: &Name,
        spec: &DomainSpec,
        row: &Row,
        built: &str,
    ) -> Result<Handle, HypervisorError> {
        let address = spec.guest_address();
        let vm = format!("/vm/{}", row.tag);
        self.store.transaction(|transaction| {
            for key in &spec.keys {
                let path = format!("/local/domain/{}/{}", row.domid, key.path);
                transaction.write(&path, &key.value)?;
            }
            if let Some(address) = address {
                transaction.write(&format!("{vm}/{ADDRESS}"), address.to_string())?;
            }
            transaction.write(&format!("{vm}/{BUILT}"), built)?;
            Ok::<(), ClientError>(())
        })?;
        let handle = Handle { name: name.clone(), id: row.domid, address };
        let kept = self.consoles.add(row.domid, name);
        kept.map_err(|cause| HypervisorError::io("keeping its console", cause))?;
        self.insert(&handle, row.tag);
        Ok(handle)
    }

    /// Takes up a domain that an earlier daemon made.
    pub(super) fn adopt(&self, handle: &Handle, tag: Tag) -> Result<(), HypervisorError> {
        if self.ours(handle).is_ok() {
            return Ok(());
        }
        let kept = self.consoles.adopt(handle.id, &handle.name);
        kept.map_err(|cause| HypervisorError::io("keeping its console", cause))?;
        self.insert(handle, tag);
        Ok(())
    }

    fn insert(&self, handle: &Handle, tag: Tag) {
        let ours = Ours { handle: handle.clone(), tag, is_saving: false, saves: 0 };
        self.table().insert(handle.name.clone(), ours);
    }

    /// The configuration for a spec, with all that it names looked at.
    fn config(&self, name: &Name, spec: &DomainSpec) -> Result<Config, HypervisorError> {
        match &spec.guest {
            Guest::Kernel { image, ramdisk, cmdline, mode } => {
                loadable(image)?;
                ramdisk.as_deref().map_or(Ok(()), loadable)?;
                self.look_at_devices(spec)?;
                let ramdisk = ramdisk.as_deref();
                let kernel = Kernel { image, ramdisk, cmdline, mode: *mode };
                let text = config::kernel(name, spec, &kernel, &self.bridge);
                let text = text.map_err(|error| HypervisorError::Refused {
                    doing: "writing the xl.cfg",
                    said: error.to_string(),
                })?;
                let path = self.configs_dir.join(format!("{name}.cfg"));
                let written = self.write_config(&path, &text);
                written.map_err(|cause| HypervisorError::io("writing the xl.cfg", cause))?;
                Ok(Config { path, is_ours: true })
            }
            Guest::Xl { config } => {
                loadable(config)?;
                Ok(Config { path: PathBuf::from(config), is_ours: false })
            }
            Guest::Command { .. } | Guest::Hello { .. } => Err(HypervisorError::Unsupported {
                hypervisor: HYPERVISOR,
                what: "run a program",
                instead: "use a guest of kind \"kernel\" or \"xl\", or the hypervisor \"process\"",
            }),
        }
    }

    fn write_config(&self, path: &Path, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.configs_dir)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    }

    fn look_at_devices(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        for (nth, vif) in spec.vifs.iter().enumerate().filter(|(_, vif)| vif.script.is_none()) {
            let bridge = vif.bridge.as_ref().unwrap_or(&self.bridge);
            if !Path::new("/sys/class/net").join(bridge).exists() {
                return Err(HypervisorError::NoBridge { nth, bridge: bridge.clone() });
            }
        }
        for disk in &spec.disks {
            fs::metadata(&disk.source).map_err(|cause| HypervisorError::Device {
                device: format!("disk {} ({})", disk.device, disk.source),
                cause,
            })?;
        }
        Ok(())
    }
}

/// Whether a file is there and can be read, told with its name.
fn loadable(path: &str) -> Result<(), HypervisorError> {
    let opened = if Path::new(path).is_absolute() {
        File::open(path).map(drop)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is not absolute"))
    };
    opened.map_err(|cause| HypervisorError::Image { image: PathBuf::from(path), cause })
}

/// What is wrong with the spec, where it is that.
fn explained(name: &Name, spec: &DomainSpec, failure: Failure) -> HypervisorError {
    match (failure.cause, &spec.guest) {
        (Cause::NameTaken, _) => HypervisorError::NameTaken(name.clone()),
        (Cause::NoMemory, _) => HypervisorError::NoMemory { wanted_mib: spec.memory_mib },
        (Cause::Image, Guest::Kernel { image: path, .. } | Guest::Xl { config: path }) => {
            let cause = io::Error::new(io::ErrorKind::InvalidData, failure.said);
            HypervisorError::Image { image: PathBuf::from(path), cause }
        }
        _ => failed(MAKING)(failure),
    }
}
