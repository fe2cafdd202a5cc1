//! The end of domains: ours to make, or to hear of.
//!
//! Owns removing all that a domain had, whatever is left of it, and finding out which guests have
//! ended by themselves. Whoever takes a domain out of the table removes it; nobody else does.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jitsu_proto::Name;

use super::entries::{self, BACKENDS, DOM0, OWNER};
use super::link::{self, Links};
use super::saved::Header;
use super::sys::Info;
use super::{Shared, Suspending, Table, refused};
use crate::hypervisor::xen::{Hearing, Tag, control, hear};
use crate::hypervisor::{End, Ended, Handle, HypervisorError};
use crate::xenstore::{ClientError, Transaction};

/// How long the kernel may take to take its end of a device down.
const DEVICE_MAX: Duration = Duration::from_secs(5);

/// How long a guest may take to suspend itself.
const SUSPEND_MAX: Duration = Duration::from_secs(30);

// SHUTDOWN_* of xen/include/public/sched.h
const POWEROFF: u32 = 0;
const REBOOT: u32 = 1;
const SUSPEND: u32 = 2;
const SOFT_RESET: u32 = 5;

impl Table {
    /// Whether a domain of this name exists.
    pub(super) fn is_taken(&self, name: &Name) -> bool {
        self.others.values().any(|other| other == name.as_str())
            || self.ours.values().any(|ours| ours.handle.name == *name)
    }
}

impl Shared {
    /// Removes a domain, its devices and its entries, as far as they are there. What would not go
    /// is told to the log: nobody could do more about it.
    pub(super) fn remove(&self, domid: u32, tag: Tag) {
        if let Err(error) = self.xen.destroy(domid)
            && error.cause.raw_os_error() != Some(libc::ESRCH)
        {
            tracing::error!(domid, %error, "a domain would not go");
        }
        self.consoles.remove(domid);
        let listening = Links::listen();
        let vifs = self.scripts(domid);
        if let Err(error) = self.forget(domid, tag) {
            tracing::error!(domid, %error, "entries of a domain are left in the XenStore");
        }
        let until = Instant::now() + DEVICE_MAX;
        for (nth, script) in vifs {
            let name = link::vif(domid, nth);
            if let Some(script) = script
                && let Err(error) = link::run_script(&script, "offline", domid, nth)
            {
                tracing::warn!(vif = name, script, %error, "the script failed");
            }
            let gone = match &listening {
                Ok(links) => links.wait(until, || !link::exists(&name)),
                Err(_) => Ok(()),
            };
            if let Err(error) = gone {
                tracing::error!(vif = name, %error, "an interface would not go");
            }
        }
    }

    /// The interfaces that a domain has, each with its script if it has one.
    fn scripts(&self, domid: u32) -> Vec<(usize, Option<String>)> {
        let vifs = self.store.directory(&format!("{BACKENDS}/vif/{domid}")).unwrap_or_default();
        let numbers = vifs.iter().filter_map(|nth| nth.parse().ok());
        numbers.map(|nth| (nth, self.script(domid, nth).ok().flatten())).collect()
    }

    /// The script that plugs an interface. None: we did.
    pub(super) fn script(&self, domid: u32, nth: usize) -> Result<Option<String>, ClientError> {
        let backend = entries::vif_backend(domid, nth);
        match self.read(&format!("{backend}/{OWNER}"))?.as_deref() {
            Some(entries::BY_SCRIPT) => self.read(&format!("{backend}/script")),
            _ => Ok(None),
        }
    }

    /// Removes a domain's entries, and the folders that are empty without them.
    fn forget(&self, domid: u32, tag: Tag) -> Result<(), ClientError> {
        for path in [entries::home(domid), entries::vm(tag)] {
            match self.store.rm(&path) {
                Err(error) if !error.is_no_entry() => return Err(error),
                _ => {}
            }
        }
        self.store.transaction(|transaction| {
            for kind in ["vif", "vbd"] {
                remove_branch(transaction, &format!("{BACKENDS}/{kind}/{domid}"))?;
                remove_branch(transaction, &format!("{DOM0}/error/backend/{kind}/{domid}"))?;
            }
            Ok(())
        })
    }

    /// Removes what a toolstack that was killed left: domains that are not whole or whose guest
    /// has ended, and what is left of those that are gone.
    pub(super) fn clean_up(&self) -> Result<(), HypervisorError> {
        let infos = self.xen.list().map_err(refused("listing domains"))?;
        let mut living = HashSet::new();
        for info in &infos {
            let Some(tag) = Tag::of(info.uuid) else {
                living.insert(info.domid);
                continue;
            };
            let is_whole = self.whole(info.domid, tag)?.is_some();
            if is_whole && !info.is_dying() && info.shutdown_reason().is_none() {
                living.insert(info.domid);
            } else {
                tracing::info!(domid = info.domid, "a domain that was left is removed");
                self.remove(info.domid, tag);
            }
        }
        let tags: HashSet<Tag> = infos.iter().filter_map(|info| Tag::of(info.uuid)).collect();
        self.clean_store(&living, &tags)?;
        self.learn_others(&infos)?;
        Ok(())
    }

    fn clean_store(&self, living: &HashSet<u32>, tags: &HashSet<Tag>) -> Result<(), ClientError> {
        for vm in self.children("/vm")? {
            if let Some(tag) = Tag::parse(&vm).filter(|tag| !tags.contains(tag)) {
                self.store.rm(&entries::vm(tag))?;
            }
        }
        for domid in self.children("/local/domain")? {
            let Some(domid) = domid.parse().ok().filter(|domid| !living.contains(domid)) else {
                continue;
            };
            let vm = self.read(&format!("{}/vm", entries::home(domid)))?.unwrap_or_default();
            if vm.strip_prefix("/vm/").is_some_and(|uuid| Tag::parse(uuid).is_some()) {
                self.store.rm(&entries::home(domid))?;
            }
        }
        for kind in ["vif", "vbd"] {
            let all = format!("{BACKENDS}/{kind}");
            for domid in self.children(&all)? {
                if domid.parse().is_ok_and(|domid| living.contains(&domid)) {
                    continue;
                }
                let devices = self.children(&format!("{all}/{domid}"))?;
                let is_ours = |device: &String| {
                    self.read(&format!("{all}/{domid}/{device}/{OWNER}")).is_ok_and(|o| o.is_some())
                };
                if devices.iter().any(is_ours) {
                    let left = format!("{all}/{domid}");
                    self.store.transaction(|transaction| remove_branch(transaction, &left))?;
                }
            }
        }
        Ok(())
    }

    fn children(&self, path: &str) -> Result<Vec<String>, ClientError> {
        match self.store.directory(path) {
            Err(error) if error.is_no_entry() => Ok(Vec::new()),
            other => other,
        }
    }

    /// Keeps the names of domains that others made: looked up once for each. Those that are dying
    /// have none any more, and when they are gone nobody tells.
    fn learn_others(&self, infos: &[Info]) -> Result<(), ClientError> {
        let is_other = |info: &&Info| Tag::of(info.uuid).is_none() && !info.is_dying();
        let domids: HashSet<u32> = infos.iter().filter(is_other).map(|info| info.domid).collect();
        let unknown: Vec<u32> = {
            let mut table = self.table();
            table.others.retain(|domid, _| domids.contains(domid));
            domids.into_iter().filter(|domid| !table.others.contains_key(domid)).collect()
        };
        for domid in unknown {
            if let Some(name) = self.read(&format!("{}/name", entries::home(domid)))? {
                self.table().others.insert(domid, name);
            }
        }
        Ok(())
    }

    /// Looks which guests have ended, removes their domains and tells.
    fn look(&self) -> Result<(), HypervisorError> {
        let infos = self.xen.list().map_err(refused("listing domains"))?;
        self.learn_others(&infos)?;
        let mut ended = Vec::new();
        {
            let mut table = self.table();
            let find = |domid| infos.iter().find(|info| info.domid == domid && !info.is_dying());
            for (domid, ours) in &mut table.ours {
                let how = match find(*domid).map(Info::shutdown_reason) {
                    Some(None) => continue,
                    Some(Some(SUSPEND)) if ours.suspending != Suspending::No => {
                        ours.suspending = Suspending::Done;
                        self.suspended.notify_all();
                        continue;
                    }
                    Some(Some(POWEROFF)) => End::PoweredOff,
                    Some(Some(REBOOT | SOFT_RESET)) => End::Rebooted,
                    Some(Some(_)) => End::Crashed,
                    None => End::Gone,
                };
                ended.push((*domid, how));
            }
        }
        for (domid, how) in ended {
            // It may have been destroyed meanwhile, by whom it then is removed.
            let Some(ours) = self.table().ours.remove(&domid) else { continue };
            self.remove(domid, ours.tag);
            if let Some(on_end) = self.on_end.get() {
                on_end(Ended { handle: ours.handle, how });
            }
        }
        Ok(())
    }

    /// Saves a domain to the file `to` and removes it.
    pub(super) fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError> {
        let domid = self.domid(dom)?;
        let not_found = || HypervisorError::NotFound(dom.name.clone());
        let infos = self.xen.list().map_err(refused("listing domains"))?;
        let info = infos.iter().find(|info| info.domid == domid).ok_or_else(not_found)?;
        let memory_kib = self.read(&format!("{}/memory/static-max", entries::home(domid)))?;
        let memory_kib: u32 = memory_kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        let header =
            Header { is_pvh: info.is_hvm(), memory_mib: memory_kib / 1024, vcpus: info.vcpus() };
        let partial = to.with_extension("partial");
        let saved = self.save(dom, &partial, header);
        let saved = saved.and_then(|()| {
            std::fs::rename(&partial, to)
                .map_err(|cause| HypervisorError::io("saving the domain", cause))
        });
        let taken = {
            let mut table = self.table();
            match (&saved, table.ours.get_mut(&domid)) {
                (Ok(()), _) => table.ours.remove(&domid),
                (Err(_), Some(ours)) => {
                    ours.suspending = Suspending::No;
                    None
                }
                (Err(_), None) => None,
            }
        };
        if let Some(ours) = taken {
            self.remove(domid, ours.tag);
        }
        if saved.is_err() {
            let _ = std::fs::remove_file(&partial);
            // A guest that suspended itself while that was given up goes on, or has ended.
            let _ = self.look();
        }
        saved
    }

    fn save(&self, dom: &Handle, to: &Path, header: Header) -> Result<(), HypervisorError> {
        let io = |cause| HypervisorError::io("saving the domain", cause);
        let mut file = File::create(to).map_err(io)?;
        header.write(&mut file).map_err(io)?;
        let mut asked = Ok(());
        let mut suspend = || {
            asked = self.ask_to_suspend(dom);
            asked.is_ok()
        };
        let saved = self.xen.save(dom.id, &file, &mut suspend);
        // What the guest did is the cause; that the library could not go on follows from it.
        asked?;
        if let Err(error) = saved {
            // It is suspended already: it goes on where it was.
            let resumed = self.xen.resume(dom.id).is_ok() && self.store.resume(dom.id).is_ok();
            tracing::warn!(domain = %dom.name, resumed, "it could not be saved");
            return Err(refused("saving the domain")(error));
        }
        file.sync_all().map_err(io)
    }

    /// Asks a guest to suspend itself, and waits until it has.
    fn ask_to_suspend(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let asked = control(dom.id);
        let not_found = || HypervisorError::NotFound(dom.name.clone());
        self.table().ours.get_mut(&dom.id).ok_or_else(not_found)?.suspending = Suspending::Asked;
        self.store.write(&asked, "suspend")?;
        let until = Instant::now() + SUSPEND_MAX;
        let mut table = self.table();
        loop {
            match table.ours.get(&dom.id).map(|ours| ours.suspending) {
                Some(Suspending::Done) => return Ok(()),
                Some(_) => {}
                None => return Err(not_found()),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(table);
                // It may have taken no notice; then it shall not do so later.
                self.store.write(&asked, "")?;
                return Err(HypervisorError::DidNotSuspend {
                    name: dom.name.clone(),
                    within: SUSPEND_MAX,
                });
            }
            let waited = self.suspended.wait_timeout(table, left);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Removes a node with all below, and above it, below dom0, what then has nothing below any more.
fn remove_branch(transaction: &mut Transaction<'_>, path: &str) -> Result<(), ClientError> {
    let mut path = path;
    match transaction.directory(path) {
        Err(error) if error.is_no_entry() => return Ok(()),
        there => drop(there?),
    }
    loop {
        transaction.rm(path)?;
        (path, _) = path.rsplit_once('/').expect("BUG: it is below dom0");
        if path == DOM0 || !transaction.directory(path)?.is_empty() {
            return Ok(());
        }
    }
}

/// Looks whenever the XenStore says that some domain came or went.
pub(super) fn watch(shared: &Arc<Shared>) -> Hearing {
    let shared = Arc::downgrade(shared);
    hear(move || {
        let Some(shared) = shared.upgrade() else { return false };
        if let Err(error) = shared.look() {
            tracing::error!(%error, "a domain may have ended, and cannot be looked for");
        }
        true
    })
}
