//! Xen, driven by its libraries: the hypervisor backend `xen`.
//!
//! Owns the table of our domains, and the meaning of each call. Every domain of ours has a
//! [`Tag`]; a domain without one is somebody else's and is left alone.
//!
//! ```text
//!             images, bridges, disks: looked at before anything is made
//!                 │
//!   shells ──▶ a domain with its memory ──┬──▶ image loaded, VCPU set up ──┐
//!                                         └──▶ XenStore, vifs, vbds ───────┴──▶ introduced, built
//! ```

mod acpi;
mod disk;
mod end;
mod entries;
mod image;
mod link;
mod loopdev;
mod make;
mod saved;
mod shells;
mod sys;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use jitsu_proto::{DomainSpec, Name};

use super::console::Consoles;
use super::{ADDRESS, BUILT, Flavour, Hearing, NOT_DOM0, Tag, ask_to_shut_down};
use crate::hypervisor::{
    DomainInfo, Existing, Handle, Hypervisor, HypervisorError, OnEnd, discard_file,
};
use crate::xenstore::{Client, ClientError, Permission};
use entries::Step;
use image::Images;
use shells::Shells;
use sys::{Hypercalls, Refused};

/// What the backend is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bridge of interfaces that name none.
    pub bridge: String,
    /// Where consoles are kept.
    pub consoles_dir: PathBuf,
    /// When a console is rotated.
    pub console_bytes_max: u64,
    /// The domains that are built before anybody asks.
    pub shells: Vec<Flavour>,
}

/// The backend. Its domains outlive it.
pub struct Xen {
    shared: Arc<Shared>,
    hearing: OnceLock<Hearing>,
}

/// What the backend's threads share.
struct Shared {
    xen: Hypercalls,
    store: Client,
    images: Images,
    consoles: Consoles,
    shells: Shells,
    bridge: String,
    table: Mutex<Table>,
    /// Told when a guest has suspended itself.
    suspended: Condvar,
    on_end: OnceLock<OnEnd>,
}

/// All domains that were seen, by number.
#[derive(Default)]
struct Table {
    ours: HashMap<u32, Ours>,
    /// The names of domains that others made.
    others: HashMap<u32, String>,
}

/// A domain of ours that exists and is whole.
struct Ours {
    handle: Handle,
    tag: Tag,
    /// Loop devices go when their last user does; until the guest has them, that is us.
    _disks: Vec<disk::Held>,
    suspending: Suspending,
}

/// Where a domain is on the way to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspending {
    /// It is not.
    No,
    /// Its guest was asked.
    Asked,
    /// Its guest has done it.
    Done,
}

const HYPERVISOR: &str = "xen";

/// An error of the library, where nothing better is known.
fn refused(doing: &'static str) -> impl Fn(Refused) -> HypervisorError {
    move |refused| match refused.cause.kind() {
        io::ErrorKind::PermissionDenied => {
            HypervisorError::Permission { doing, cause: refused.cause }
        }
        _ => HypervisorError::Refused { doing, said: refused.to_string() },
    }
}

impl Xen {
    /// Connects to the hypervisor and the XenStore, and removes what a toolstack that was killed
    /// left half-made.
    pub fn open(settings: Settings) -> Result<Xen, HypervisorError> {
        let xen = open_hypercalls()?;
        let store = super::connect(HYPERVISOR)?;
        let terminals = super::connect(HYPERVISOR)?;
        let (dir, bytes_max) = (settings.consoles_dir, settings.console_bytes_max);
        let consoles = super::consoles(terminals, dir, bytes_max)?;
        let shared = Arc::new(Shared {
            xen,
            store,
            images: Images::default(),
            consoles,
            shells: Shells::new(settings.shells),
            bridge: settings.bridge,
            table: Mutex::default(),
            suspended: Condvar::new(),
            on_end: OnceLock::new(),
        });
        shared.clean_up()?;
        Ok(Xen { shared, hearing: OnceLock::new() })
    }

    /// Memory that no domain has, in KiB.
    pub fn free_kib(&self) -> Result<u64, HypervisorError> {
        self.shared.free_kib()
    }

    /// The number of domains that are built and wait for somebody to ask.
    pub fn shells_ready(&self) -> usize {
        self.shared.shells.ready()
    }
}

fn open_hypercalls() -> Result<Hypercalls, HypervisorError> {
    let not_there = |cause| HypervisorError::NotThere { hypervisor: HYPERVISOR, cause };
    let xen = Hypercalls::open().map_err(|error| match error.cause.kind() {
        io::ErrorKind::PermissionDenied => {
            HypervisorError::Permission { doing: "opening the hypervisor", cause: error.cause }
        }
        _ => not_there(format!("{NOT_DOM0}: {error}")),
    })?;
    // The libraries fit one release of the hypervisor, and this is what it refuses otherwise.
    if let Err(error) = xen.list() {
        let version = xen.version().unwrap_or_else(|_| "of an unknown release".to_owned());
        return Err(not_there(format!(
            "the Xen that runs is {version}, and the libraries of this toolstack are for another \
             one, or this is not dom0: {error}"
        )));
    }
    Ok(xen)
}

impl Drop for Xen {
    fn drop(&mut self) {
        for shell in self.shared.shells.close() {
            self.shared.remove(shell.domid, shell.tag);
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free_kib(&self) -> Result<u64, HypervisorError> {
        self.xen.free_kib().map_err(refused("asking for free memory"))
    }

    /// Writes all of it as one change.
    fn write(&self, steps: &[Step]) -> Result<(), ClientError> {
        self.store.transaction(|transaction| {
            for step in steps {
                match step {
                    Step::Write(path, value) => transaction.write(path, value)?,
                    Step::Directory(path, access, domid) => {
                        transaction.mkdir(path)?;
                        transaction.set_permissions(path, &permissions(*access, *domid))?;
                    }
                }
            }
            Ok::<(), ClientError>(())
        })
    }

    /// What a node holds, as text. None: there is no such node.
    fn read(&self, path: &str) -> Result<Option<String>, ClientError> {
        match self.store.read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.is_no_entry() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How a domain of ours was made. None: it is not whole.
    fn whole(&self, domid: u32, tag: Tag) -> Result<Option<String>, ClientError> {
        let built = self.read(&format!("{}/{BUILT}", entries::vm(tag)))?;
        let is_introduced = built.is_some() && self.store.is_introduced(domid)?;
        Ok(built.filter(|_| is_introduced))
    }

    /// The number of a domain that exists.
    fn domid(&self, dom: &Handle) -> Result<u32, HypervisorError> {
        let table = self.table();
        let is_it = table.ours.get(&dom.id).is_some_and(|ours| ours.handle.name == dom.name);
        if is_it { Ok(dom.id) } else { Err(HypervisorError::NotFound(dom.name.clone())) }
    }
}

fn permissions(access: entries::Access, domid: u32) -> Vec<Permission> {
    use crate::xenstore::Access::{None, Read};
    match access {
        entries::Access::Read => vec![Permission::new(None, 0), Permission::new(Read, domid)],
        entries::Access::Own => vec![Permission::new(None, domid)],
        entries::Access::Front => vec![Permission::new(None, domid), Permission::new(Read, 0)],
    }
}

impl Hypervisor for Xen {
    fn name(&self) -> &'static str {
        HYPERVISOR
    }

    fn watch(&self, on_end: OnEnd) {
        let first = self.shared.on_end.set(on_end);
        assert!(first.is_ok(), "BUG: a hypervisor is watched once");
        self.hearing.get_or_init(|| end::watch(&self.shared));
        shells::refill(&self.shared);
    }

    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        self.shared.create(name, spec)
    }

    fn unpause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let domid = self.shared.domid(dom)?;
        self.shared.xen.unpause(domid).map_err(refused("letting the domain run"))
    }

    fn pause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let domid = self.shared.domid(dom)?;
        self.shared.xen.pause(domid).map_err(refused("pausing the domain"))
    }

    fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError> {
        self.shared.suspend(dom, to)
    }

    fn resume(
        &self,
        name: &Name,
        from: &Path,
        spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError> {
        self.shared.resume(name, from, spec)
    }

    fn discard(&self, _name: &Name, from: &Path) -> Result<(), HypervisorError> {
        discard_file(from)
    }

    fn shutdown(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let domid = self.shared.domid(dom)?;
        ask_to_shut_down(&self.shared.store, domid)
    }

    fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let domid = self.shared.domid(dom)?;
        let ours = self.shared.table().ours.remove(&domid);
        let Some(ours) = ours else { return Err(HypervisorError::NotFound(dom.name.clone())) };
        self.shared.remove(domid, ours.tag);
        Ok(())
    }

    fn list(&self) -> Result<Vec<DomainInfo>, HypervisorError> {
        let infos = self.shared.xen.list().map_err(refused("listing domains"))?;
        let mut all = Vec::new();
        for info in infos.iter().filter(|info| !info.is_dying()) {
            let Some(tag) = Tag::of(info.uuid) else { continue };
            let vm = entries::vm(tag);
            let Some(built) = self.shared.whole(info.domid, tag)? else { continue };
            let name = self.shared.read(&format!("{vm}/name"))?.unwrap_or_default();
            let Ok(name) = Name::new(&name) else { continue };
            let address = self.shared.read(&format!("{vm}/{ADDRESS}"))?;
            let address: Option<IpAddr> = address.and_then(|address| address.parse().ok());
            let handle = Handle { name: name.clone(), id: info.domid, address };
            let state = match (info.is_paused(), info.cpu_ns) {
                (false, _) => Existing::Running,
                // It has run, before it was saved.
                (true, 0) if built != entries::RESUMED => Existing::Built,
                (true, _) => Existing::Paused,
            };
            let adopted = Ours {
                handle: handle.clone(),
                tag,
                _disks: Vec::new(),
                suspending: Suspending::No,
            };
            if self.shared.table().ours.insert(info.domid, adopted).is_none() {
                self.shared
                    .consoles
                    .adopt(info.domid, &name)
                    .map_err(|cause| HypervisorError::io("keeping its console", cause))?;
            }
            all.push(DomainInfo { handle, state });
        }
        Ok(all)
    }

    fn has_xenstore(&self) -> bool {
        true
    }

    fn console(&self, dom: &Handle) -> Result<OwnedFd, HypervisorError> {
        let domid = self.shared.domid(dom)?;
        let io = |cause| HypervisorError::io("opening the console", cause);
        self.shared.consoles.open(domid).map_err(io)
    }
}
