//! Domains that are processes: no Xen, no root.
//!
//! Owns the meaning of each call for a process. *Paused* is a child that waits before its exec
//! (see `spawn`), later a frozen group; *suspended* is a frozen group too: a process cannot be
//! saved to a file, so it keeps its memory and does not outlive the machine. A domain has its
//! own session, control group where there is one, loopback address and console, and outlives
//! the daemon, which finds it again by its `files`.

mod address;
mod cgroup;
mod files;
mod guests;
mod kill;
mod pidfd;
mod spawn;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jitsu_proto::{DomainSpec, Name};
use nix::sys::signal::Signal;

pub use address::{Range, RangeError};

use super::console;
use super::{DomainInfo, Ended, Existing, Handle, Hypervisor, HypervisorError, OnEnd};
use cgroup::{Group, Groups};
use files::{Files, Identity};
use spawn::{Gate, Stage};
use watch::{Watched, Watcher};

/// What the backend is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the files of running domains are; must be lost when the machine restarts.
    pub runtime_dir: PathBuf,
    /// Where domains get their addresses.
    pub addresses: Range,
    /// When a console is rotated.
    pub console_bytes_max: u64,
    /// The program that is the built-in guest when its first argument is `__hello`.
    pub hello: PathBuf,
}

/// The backend.
pub struct Process {
    shared: Arc<Shared>,
    watcher: Watcher,
}

struct Shared {
    settings: Settings,
    groups: Groups,
    domains: Mutex<BTreeMap<Name, Live>>,
    on_end: OnceLock<OnEnd>,
}

/// A domain that exists.
struct Live {
    handle: Handle,
    identity: Identity,
    pidfd: Arc<OwnedFd>,
    files: Files,
    group: Group,
    /// Until it is let run for the first time.
    gate: Option<Gate>,
    is_stopped: bool,
    is_frozen: bool,
}

impl Process {
    /// Finds out what this machine has, and takes up the domains that are there.
    pub fn new(settings: Settings) -> Result<Process, HypervisorError> {
        let io = HypervisorError::io;
        fs::create_dir_all(settings.runtime_dir.join("domains"))
            .map_err(|cause| io("making the runtime folder", cause))?;
        let runtime_dir = fs::canonicalize(&settings.runtime_dir)
            .map_err(|cause| io("finding the runtime folder", cause))?;
        let groups = Groups::probe(&tag(&runtime_dir));
        tracing::info!(cgroups = groups.summary(), "domains are processes");
        let settings = Settings { runtime_dir, ..settings };
        let shared = Arc::new(Shared {
            settings,
            groups,
            domains: Mutex::default(),
            on_end: OnceLock::new(),
        });
        let watcher = Watcher::start(Arc::downgrade(&shared))
            .map_err(|cause| io("starting a thread", cause))?;
        let process = Process { shared, watcher };
        process.adopt()?;
        Ok(process)
    }

    /// Takes up what an earlier daemon left running; what it left half-made is removed.
    fn adopt(&self) -> Result<(), HypervisorError> {
        let names = Files::names(&self.shared.settings.runtime_dir)
            .map_err(|cause| HypervisorError::io("reading the runtime folder", cause))?;
        for name in names {
            let files = Files::of(&self.shared.settings.runtime_dir, &name);
            let Some(identity) = files.identity() else { continue };
            let group = self.shared.groups.of(&name);
            let found = find(&identity).filter(|_| files.is_started());
            let Some(pidfd) = found else {
                kill::everything(&name, &identity, None, &group)?;
                let forgotten = files.forget();
                forgotten.map_err(|cause| HypervisorError::io("removing files", cause))?;
                continue;
            };
            let live = Live {
                handle: handle(&name, &identity),
                pidfd: Arc::new(pidfd),
                group,
                gate: None,
                is_stopped: files.is_frozen(),
                is_frozen: files.is_frozen(),
                identity,
                files,
            };
            self.keep(live)?;
        }
        Ok(())
    }

    fn keep(&self, live: Live) -> Result<(), HypervisorError> {
        let watched = self.watcher.add(&live.pidfd);
        self.shared.lock().insert(live.handle.name.clone(), live);
        watched.map_err(|cause| HypervisorError::io("watching a process", cause))
    }

    /// Does `work` with a domain that exists and is the one meant.
    fn with<T>(
        &self,
        dom: &Handle,
        work: impl FnOnce(&mut Live) -> Result<T, HypervisorError>,
    ) -> Result<T, HypervisorError> {
        let mut domains = self.shared.lock();
        match domains.get_mut(&dom.name).filter(|live| live.handle.id == dom.id) {
            Some(live) => work(live),
            None => Err(HypervisorError::NotFound(dom.name.clone())),
        }
    }

    fn choose_address(&self, name: &Name, spec: &DomainSpec) -> Result<IpAddr, HypervisorError> {
        let domains = self.shared.lock();
        if domains.contains_key(name) {
            return Err(HypervisorError::NameTaken(name.clone()));
        }
        let is_taken = |address| domains.values().any(|live| live.identity.address == address);
        match spec.address {
            Some(address) if is_taken(address) => Err(HypervisorError::io(
                "giving the domain its address",
                io::Error::from(io::ErrorKind::AddrInUse),
            )),
            Some(address) => Ok(address),
            None => {
                let range = self.shared.settings.addresses;
                // Two daemons of one machine seldom take the same: neither knows the other's.
                let seed = format!("{}/{name}", tag(&self.shared.settings.runtime_dir));
                let free = range.choose(&seed, is_taken);
                free.ok_or(HypervisorError::NoAddress { range })
            }
        }
    }

    /// Ends a domain with all it started, and forgets it.
    fn end(&self, name: &Name) -> Result<(), HypervisorError> {
        // Out of the table first: whoever hears of its end now knows that it was us.
        let live = self.shared.lock().remove(name);
        let Some(live) = live else { return Err(HypervisorError::NotFound(name.clone())) };
        self.watcher.remove(&live.pidfd);
        let ended = live.wipe();
        if ended.is_err() {
            // Still there: to be found again by the next try.
            self.shared.lock().insert(name.clone(), live);
        }
        ended
    }
}

impl Live {
    fn wipe(&self) -> Result<(), HypervisorError> {
        kill::everything(&self.handle.name, &self.identity, Some(&self.pidfd), &self.group)?;
        self.files.forget().map_err(|cause| HypervisorError::io("removing files", cause))
    }

    fn stop_clock(&mut self, stopped: bool) -> Result<(), HypervisorError> {
        let frozen = self.group.freeze(stopped);
        let is_done =
            frozen.map_err(|cause| HypervisorError::io("stopping or starting a clock", cause))?;
        if !is_done {
            let signal = if stopped { Signal::SIGSTOP } else { Signal::SIGCONT };
            kill::signal_all(&self.identity, &self.group, signal);
        }
        self.is_stopped = stopped;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Live>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.groups.leave();
    }
}

impl Watched for Shared {
    fn ended(&self, pidfd: &Arc<OwnedFd>) {
        let live = {
            let mut domains = self.lock();
            let name = domains.iter().find(|(_, live)| Arc::ptr_eq(&live.pidfd, pidfd));
            let name = name.map(|(name, _)| name.clone());
            // None: it was destroyed, and is being waited for elsewhere.
            name.and_then(|name| domains.remove(&name))
        };
        let Some(live) = live else { return };
        let how = pidfd::reap(pidfd);
        if let Err(error) = live.wipe() {
            tracing::error!(domain = %live.handle.name, %error, "a guest ended and left something");
        }
        // A suspended one is not there, to those who ask: they find out when they resume it.
        if let Some(on_end) = self.on_end.get().filter(|_| !live.is_frozen) {
            on_end(Ended { handle: live.handle, how });
        }
    }

    fn tick(&self) {
        let files: Vec<Files> = self.lock().values().map(|live| live.files.clone()).collect();
        for files in files {
            if let Err(error) = files.rotate(self.settings.console_bytes_max) {
                tracing::warn!(console = %files.console().display(), %error, "not rotated");
            }
        }
    }
}

impl Hypervisor for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    fn watch(&self, on_end: OnEnd) {
        let first = self.shared.on_end.set(on_end);
        assert!(first.is_ok(), "BUG: a hypervisor is watched once");
    }

    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        let io = HypervisorError::io;
        let address = self.choose_address(name, spec)?;
        let mark = fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_err(|cause| io("making a mark", cause))?;
        let mark = mark.trim().to_owned();
        let guest = guests::prepare(name, spec, address, &mark, &self.shared.settings.hello)?;
        let files = Files::of(&self.shared.settings.runtime_dir, name);
        let (stdin, output) =
            files.prepare().map_err(|cause| io("making the domain's files", cause))?;
        let group = match self.shared.groups.make(name, spec.memory_mib) {
            Ok(group) => group,
            Err(cause) => {
                self.shared.groups.of(name).remove();
                return Err(io("making the domain's control group", cause));
            }
        };
        let entrance = group.entrance().map_err(|cause| {
            group.remove();
            io("opening the domain's control group", cause)
        })?;
        let child = spawn::Child {
            program: guest.program,
            argv: guest.argv,
            env: guest.env,
            stdin: stdin.into(),
            output: output.into(),
            entrance,
        };
        let made = child.spawn().map_err(|error| io("starting a process", error.cause));
        let live = made.and_then(|(pid, gate)| {
            let live = known(name, pid, address, mark, &files, group.clone());
            // An error drops the gate first, so that the child ends and can be waited for.
            live.map(|live| Live { gate: Some(gate), ..live }).inspect_err(|_| reap_lost(pid))
        });
        let handle = live.and_then(|live| {
            let handle = live.handle.clone();
            self.keep(live).inspect_err(|_| drop(self.end(name)))?;
            Ok(handle)
        });
        handle.inspect_err(|_| {
            let _ = files.forget();
            group.remove();
        })
    }

    fn unpause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let io = HypervisorError::io;
        let gate = self.with(dom, |live| {
            if live.gate.is_some() {
                // Before it runs: one that runs must never be taken for one that was never let.
                live.files.mark_started().map_err(|cause| io("noting the start", cause))?;
            } else {
                live.stop_clock(false)?;
            }
            Ok(live.gate.take())
        })?;
        let Some(gate) = gate else { return Ok(()) };
        gate.open().map_err(|error| match error.stage {
            Stage::Lost => HypervisorError::NotFound(dom.name.clone()),
            Stage::Exec | Stage::Session | Stage::Files | Stage::Groups => {
                HypervisorError::io("running the guest's program", error.cause)
            }
        })
    }

    fn pause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.with(dom, |live| live.stop_clock(true))
    }

    fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError> {
        let io = |cause| HypervisorError::io("suspending", cause);
        self.with(dom, |live| {
            live.stop_clock(true)?;
            live.files.mark_frozen(true).map_err(io)?;
            let written = fs::write(to, format!("frozen process {}\n", live.identity.pid));
            if written.is_err() {
                live.files.mark_frozen(false).map_err(io)?;
            }
            live.is_frozen = written.is_ok();
            written.map_err(io)
        })
    }

    fn resume(
        &self,
        name: &Name,
        from: &Path,
        _spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError> {
        let io = |cause| HypervisorError::io("resuming", cause);
        remove_file(from).map_err(io)?;
        let mut domains = self.shared.lock();
        let Some(live) = domains.get_mut(name) else {
            return Err(HypervisorError::NotFound(name.clone()));
        };
        live.files.mark_frozen(false).map_err(io)?;
        live.is_frozen = false;
        Ok(live.handle.clone())
    }

    fn discard(&self, name: &Name, from: &Path) -> Result<(), HypervisorError> {
        let is_frozen = self.shared.lock().get(name).is_some_and(|live| live.is_frozen);
        if is_frozen {
            self.end(name)?;
        }
        remove_file(from).map_err(|cause| HypervisorError::io("removing a saved domain", cause))
    }

    fn shutdown(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.with(dom, |live| {
            let pid = nix::unistd::Pid::from_raw(live.identity.pid);
            match nix::sys::signal::killpg(pid, Signal::SIGTERM) {
                // It is ending by itself, which will be heard.
                Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
                Err(errno) => Err(HypervisorError::io("asking a guest to stop", errno.into())),
            }
        })
    }

    fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.with(dom, |_| Ok(()))?;
        self.end(&dom.name)
    }

    fn list(&self) -> Result<Vec<DomainInfo>, HypervisorError> {
        let domains = self.shared.lock();
        let listed = domains.values().filter(|live| !live.is_frozen).map(|live| DomainInfo {
            handle: live.handle.clone(),
            state: match live {
                Live { gate: Some(_), .. } => Existing::Built,
                Live { is_stopped: true, .. } => Existing::Paused,
                Live { .. } => Existing::Running,
            },
        });
        Ok(listed.collect())
    }

    fn console(&self, dom: &Handle) -> Result<OwnedFd, HypervisorError> {
        let io = |cause| HypervisorError::io("opening the console", cause);
        self.with(dom, |live| {
            let stdin = live.files.open_stdin().map_err(io)?;
            let pidfd = live.pidfd.try_clone().map_err(io)?;
            console::open(&live.files.console(), stdin, pidfd).map_err(io)
        })
    }
}

/// Writes down who the child is, and opens it.
fn known(
    name: &Name,
    pid: i32,
    address: IpAddr,
    mark: String,
    files: &Files,
    group: Group,
) -> Result<Live, HypervisorError> {
    let io = HypervisorError::io;
    let start_time = pidfd::stat(pid).map_or(0, |stat| stat.start_time);
    let identity = Identity { pid, start_time, address, mark };
    let pidfd = pidfd::open(pid).map_err(|cause| io("opening a process", cause))?;
    files.identify(&identity).map_err(|cause| io("writing the identity", cause))?;
    Ok(Live {
        handle: handle(name, &identity),
        pidfd: Arc::new(pidfd),
        gate: None,
        is_stopped: false,
        is_frozen: false,
        identity,
        files: files.clone(),
        group,
    })
}

/// Takes a child whose gate was dropped from the process table: it is about to end.
fn reap_lost(pid: i32) {
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
}

fn handle(name: &Name, identity: &Identity) -> Handle {
    let id = identity.pid.cast_unsigned();
    Handle { name: name.clone(), id, address: Some(identity.address) }
}

/// The process that `identity` names, if it is still there and the same.
fn find(identity: &Identity) -> Option<OwnedFd> {
    let pidfd = pidfd::open(identity.pid).ok()?;
    // Looked at with the pidfd open: the number cannot pass to another between the two.
    let stat = pidfd::stat(identity.pid)?;
    (stat.start_time == identity.start_time && !stat.is_dead).then_some(pidfd)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Eight digits that stand for the runtime folder: the same for the same daemon, always.
fn tag(runtime_dir: &Path) -> String {
    let bytes = runtime_dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}
