//! Xen, driven by the command `xl`: the hypervisor backend `xl`.
//!
//! Owns the table of our domains, and the meaning of each call. Every domain of ours has a
//! [`Tag`]; a domain without one is somebody else's and is left alone. It works with every
//! release of Xen that has an `xl`, and takes every `xl.cfg(5)`; it costs some processes a step.
//!
//! An `xl` that has made a domain ends: it is told not to wait for the domain's end (`-e`), so
//! that what happens then is ours to say.

mod cause;
mod command;
mod config;
mod end;
mod make;
mod table;
mod turns;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jitsu_proto::{DomainSpec, Name};

use super::xen::console::Consoles;
use super::xen::{self, ADDRESS, BUILT, Hearing, Tag};
use super::{DomainInfo, Existing, Handle, Hypervisor, HypervisorError, OnEnd, discard_file};
use crate::xenstore::{Client, ClientError};
use cause::{Cause, Failure};
use table::{Condition, Row};
use turns::Turns;

const HYPERVISOR: &str = "xl";

/// What [`BUILT`] holds of a domain that has never run.
const NEW: &str = "built";
/// What it holds of one that has.
const STARTED: &str = "started";

/// How long an `xl` that an earlier daemon started may go on: on a machine that is busy, one that
/// loads a large image or saves a large domain takes minutes.
const EARLIER_MAX: Duration = Duration::from_secs(300);

/// What the backend is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The command.
    pub program: PathBuf,
    /// The bridge of interfaces that name none.
    pub bridge: String,
    /// Where configurations and consoles are kept.
    pub runtime_dir: PathBuf,
    /// When a console is rotated.
    pub console_bytes_max: u64,
}

/// The backend. Its domains outlive it.
pub struct Xl {
    shared: Arc<Shared>,
    hearing: OnceLock<Hearing>,
}

/// What the backend's threads share.
struct Shared {
    xl: command::Xl,
    store: Client,
    consoles: Consoles,
    turns: Turns,
    bridge: String,
    configs_dir: PathBuf,
    /// Our domains that are whole.
    table: Mutex<BTreeMap<Name, Ours>>,
    on_end: OnceLock<OnEnd>,
}

/// A domain of ours that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ours {
    handle: Handle,
    tag: Tag,
    /// Whether it is being saved: its guest ends then, and is not to be mourned.
    is_saving: bool,
    /// How often that was tried.
    saves: u32,
}

impl Xl {
    /// Finds `xl` and the XenStore, waits for what an earlier daemon still has under way, and
    /// removes what it left half-made.
    pub fn open(settings: Settings) -> Result<Xl, HypervisorError> {
        let store = xen::connect(HYPERVISOR)?;
        let consoles_dir = settings.runtime_dir.join("consoles");
        let terminals = xen::connect(HYPERVISOR)?;
        let consoles = xen::consoles(terminals, consoles_dir, settings.console_bytes_max)?;
        let shared = Arc::new(Shared {
            xl: command::Xl::new(&settings.program, &settings.runtime_dir),
            store,
            consoles,
            turns: Turns::new(),
            bridge: settings.bridge,
            configs_dir: settings.runtime_dir.join("xl"),
            table: Mutex::default(),
            on_end: OnceLock::new(),
        });
        shared.clean_up()?;
        Ok(Xl { shared, hearing: OnceLock::new() })
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, BTreeMap<Name, Ours>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A domain that exists.
    fn ours(&self, dom: &Handle) -> Result<Ours, HypervisorError> {
        self.change(dom, |_| ())
    }

    /// The same, after a change of what is known of it.
    fn change(
        &self,
        dom: &Handle,
        change: impl FnOnce(&mut Ours),
    ) -> Result<Ours, HypervisorError> {
        let mut table = self.table();
        let ours = table.get_mut(&dom.name).filter(|ours| ours.handle.id == dom.id);
        let ours = ours.ok_or_else(|| HypervisorError::NotFound(dom.name.clone()))?;
        change(ours);
        Ok(ours.clone())
    }

    /// Has `xl` do something. What it says, when all went well.
    fn xl(&self, arguments: &[&OsStr]) -> Result<String, Failure> {
        let said = self.xl.run(arguments).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure {
                cause: Cause::NoCommand,
                said: "the command xl is not installed; on Debian it comes with xen-utils".into(),
            },
            _ => Failure { cause: Cause::Other, said: format!("it cannot be run: {error}") },
        })?;
        if said.is_good { Ok(said.text) } else { Err(cause::of(&said.text)) }
    }

    /// The same for what ends well though it failed, with a domain for its only argument.
    fn xl_of(&self, doing: &'static str, verb: &str, domid: u32) -> Result<(), HypervisorError> {
        let domid = domid.to_string();
        let text = self.xl(&[verb.as_ref(), domid.as_ref()]).map_err(failed(doing))?;
        if cause::is_in(&text) { Err(failed(doing)(cause::of(&text))) } else { Ok(()) }
    }

    /// All domains that have a tag of ours.
    fn rows(&self) -> Result<Vec<Row>, HypervisorError> {
        const DOING: &str = "listing domains";
        let text = self.xl(&["list".as_ref(), "-v".as_ref()]).map_err(failed(DOING))?;
        table::read(&text).map_err(|line| HypervisorError::Refused {
            doing: DOING,
            said: format!("xl list -v has a line that makes no sense: {line:?}"),
        })
    }

    /// Whether a domain is a whole emulated machine, whose guest need not know of Xen.
    fn is_hvm(&self, domid: u32) -> Result<bool, ClientError> {
        // libxl's own note of it.
        Ok(self.read(&format!("/libxl/{domid}/type"))?.as_deref() == Some("hvm"))
    }

    /// What is written of a domain below its UUID. None: nothing.
    fn note(&self, tag: Tag, key: &str) -> Result<Option<String>, ClientError> {
        self.read(&format!("/vm/{tag}/{key}"))
    }

    /// A value in the XenStore. None: there is no such path.
    fn read(&self, path: &str) -> Result<Option<String>, ClientError> {
        match self.store.read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.is_no_entry() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Saves a domain to `file`. Its table entry says that it is being done.
    fn save(&self, ours: &Ours, file: &Path) -> Result<(), HypervisorError> {
        let rows = self.rows()?;
        let row = rows.iter().find(|row| row.tag == ours.tag);
        let was_paused = row.is_some_and(|row| row.condition == Condition::Paused);
        if was_paused {
            // It is the guest that suspends itself.
            self.xl_of("letting the domain run, to be saved", "unpause", ours.handle.id)?;
        }
        let begun = Instant::now();
        let domid = ours.handle.id.to_string();
        let arguments: [&OsStr; 3] = ["save".as_ref(), domid.as_ref(), file.as_ref()];
        self.xl(&arguments).map(drop).map_err(|failure| {
            if was_paused
                && let Err(error) = self.xl_of("pausing the domain", "pause", ours.handle.id)
            {
                tracing::warn!(domain = %ours.handle.name, %error, "it was paused and now runs");
            }
            match failure.cause {
                Cause::NotSuspended => {
                    tracing::warn!(domain = %ours.handle.name, xl = failure.said, "not saved");
                    let name = ours.handle.name.clone();
                    HypervisorError::DidNotSuspend { name, within: begun.elapsed() }
                }
                _ => failed("saving the domain")(failure),
            }
        })
    }

    /// What a row is to whoever lists domains. None: it is not there to them.
    fn info(&self, row: &Row) -> Result<Option<DomainInfo>, HypervisorError> {
        let (Some(name), Some(built)) = (&row.name, self.note(row.tag, BUILT)?) else {
            // It is being made.
            return Ok(None);
        };
        let state = match row.condition {
            Condition::Running => Existing::Running,
            Condition::Paused if built == NEW => Existing::Built,
            Condition::Paused => Existing::Paused,
            Condition::Ended(_) | Condition::Suspended | Condition::Dying => return Ok(None),
        };
        let address = self.note(row.tag, ADDRESS)?;
        let address: Option<IpAddr> = address.and_then(|address| address.parse().ok());
        let handle = Handle { name: name.clone(), id: row.domid, address };
        Ok(Some(DomainInfo { handle, state }))
    }
}

/// An error of `xl`, where nothing better is known of it.
fn failed(doing: &'static str) -> impl Fn(Failure) -> HypervisorError {
    move |Failure { cause, said }| match cause {
        Cause::NoCommand => HypervisorError::NotThere { hypervisor: HYPERVISOR, cause: said },
        Cause::NotThere => {
            let cause = format!("{}: {said}", xen::NOT_DOM0);
            HypervisorError::NotThere { hypervisor: HYPERVISOR, cause }
        }
        Cause::Permission => {
            let cause = io::Error::new(io::ErrorKind::PermissionDenied, said);
            HypervisorError::Permission { doing, cause }
        }
        Cause::NameTaken | Cause::NoMemory | Cause::Image | Cause::NotSuspended | Cause::Other => {
            HypervisorError::Refused { doing, said }
        }
    }
}

impl Hypervisor for Xl {
    fn name(&self) -> &'static str {
        HYPERVISOR
    }

    fn watch(&self, on_end: OnEnd) {
        let first = self.shared.on_end.set(on_end);
        assert!(first.is_ok(), "BUG: a hypervisor is watched once");
        let _ = self.hearing.set(end::watch(&self.shared));
    }

    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        self.shared.create(name, spec)
    }

    fn unpause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let ours = self.shared.ours(dom)?;
        // Before it runs: one that has run must never be taken for one that has not.
        self.shared.store.write(&format!("/vm/{}/{BUILT}", ours.tag), STARTED)?;
        self.shared.xl_of("letting the domain run", "unpause", dom.id)
    }

    fn pause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.shared.ours(dom)?;
        self.shared.xl_of("pausing the domain", "pause", dom.id)
    }

    fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError> {
        let ours = self.shared.change(dom, |ours| {
            ours.is_saving = true;
            ours.saves += 1;
        })?;
        // A file of the right name is whole. No name has a tilde.
        let part = to.with_file_name(format!("{}~", dom.name));
        let saved = self.shared.save(&ours, &part).and_then(|()| {
            std::fs::rename(&part, to)
                .map_err(|cause| HypervisorError::io("keeping the saved domain", cause))
        });
        if saved.is_ok() {
            self.shared.table().remove(&dom.name);
            self.shared.consoles.remove(dom.id);
            return Ok(());
        }
        let _ = std::fs::remove_file(&part);
        self.shared.change(dom, |ours| ours.is_saving = false)?;
        // Whatever was heard of it meanwhile was passed over.
        self.shared.look();
        saved
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
        self.shared.ours(dom)?;
        if !self.shared.is_hvm(dom.id)? {
            // `xl shutdown` waits for the guest's word that it has heard, for up to a minute: too
            // long where one that is deaf has a shorter grace.
            return xen::ask_to_shut_down(&self.shared.store, dom.id);
        }
        let domid = dom.id.to_string();
        // -F: a guest that does not listen to Xen has its power button pressed.
        let arguments: [&OsStr; 3] = ["shutdown".as_ref(), "-F".as_ref(), domid.as_ref()];
        self.shared.xl(&arguments).map(drop).map_err(failed("asking the guest to shut down"))
    }

    fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.shared.destroy(dom)
    }

    fn list(&self) -> Result<Vec<DomainInfo>, HypervisorError> {
        let mut all = Vec::new();
        for row in self.shared.rows()? {
            let Some(info) = self.shared.info(&row)? else {
                self.shared.remove_ended(&row);
                continue;
            };
            self.shared.adopt(&info.handle, row.tag)?;
            all.push(info);
        }
        Ok(all)
    }

    fn has_xenstore(&self) -> bool {
        true
    }

    fn console(&self, dom: &Handle) -> Result<OwnedFd, HypervisorError> {
        self.shared.ours(dom)?;
        let io = |cause| HypervisorError::io("opening the console", cause);
        self.shared.consoles.open(dom.id).map_err(io)
    }
}
