//! Domains that are pretended: for tests, and to try the daemon without starting anything.
//!
//! Owns [`World`], which is pure: it has no clock and no thread, so that a simulation can run it
//! in virtual time; [`Fake`] makes a [`Hypervisor`] of it. It is stricter than the real ones:
//! what the toolstack must never do panics here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jitsu_proto::{DomainSpec, Guest, Name};

use super::{DomainInfo, End, Ended, Existing, Handle, Hypervisor, HypervisorError, OnEnd};

/// How often things go wrong, and how long they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// In a thousand calls, how many fail.
    pub failing_permille: u32,
    /// The longest time a call takes.
    pub latency_max: Duration,
}

impl Faults {
    /// Everything works at once.
    pub const NONE: Faults = Faults { failing_permille: 0, latency_max: Duration::ZERO };
}

/// A call, without what it needs to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// See [`Hypervisor::create`].
    Create,
    /// See [`Hypervisor::resume`].
    Resume,
    /// See [`Hypervisor::discard`].
    Discard,
    /// See [`Hypervisor::unpause`].
    Unpause,
    /// See [`Hypervisor::pause`].
    Pause,
    /// See [`Hypervisor::suspend`].
    Suspend,
    /// See [`Hypervisor::shutdown`].
    Shutdown,
    /// See [`Hypervisor::destroy`].
    Destroy,
}

/// All domains, and chance.
#[derive(Debug, Clone)]
pub struct World {
    domains: BTreeMap<Name, Pretended>,
    saved: BTreeSet<Name>,
    /// What is faulty from now on.
    pub faults: Faults,
    chance: u64,
    last_id: u32,
}

#[derive(Debug, Clone)]
struct Pretended {
    handle: Handle,
    state: Existing,
}

impl World {
    /// A world without domains, in which chance follows from `seed`.
    pub fn new(seed: u64, faults: Faults) -> World {
        World {
            domains: BTreeMap::new(),
            saved: BTreeSet::new(),
            faults,
            chance: seed | 1,
            last_id: 0,
        }
    }

    /// The next number of chance (xorshift64*).
    fn chance(&mut self) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// How long the next call takes.
    pub fn latency(&mut self) -> Duration {
        let max_us = u64::try_from(self.faults.latency_max.as_micros()).unwrap_or(u64::MAX);
        if max_us == 0 { Duration::ZERO } else { Duration::from_micros(self.chance() % max_us) }
    }

    /// Does one call, for those that make a domain with its handle.
    pub fn call(&mut self, name: &Name, call: Call) -> Result<Option<Handle>, HypervisorError> {
        let fails = self.chance() % 1000 < u64::from(self.faults.failing_permille);
        let exists = self.domains.get(name).map(|domain| domain.state);
        match (call, exists) {
            (Call::Create | Call::Resume, Some(_)) => {
                panic!("BUG: {call:?} of {name}, which exists")
            }
            (Call::Create | Call::Discard, None) => {}
            (Call::Resume, None) => {
                assert!(self.saved.contains(name), "BUG: {name} is resumed and was never saved");
            }
            (Call::Discard, Some(_)) => panic!("BUG: {name} is discarded while it exists"),
            (_, None) => return Err(HypervisorError::NotFound(name.clone())),
            (Call::Unpause, Some(Existing::Running)) => panic!("BUG: {name} runs already"),
            (Call::Pause | Call::Shutdown, Some(Existing::Built | Existing::Paused)) => {
                panic!("BUG: {call:?} of {name}, which does not run")
            }
            (Call::Suspend, Some(Existing::Built)) => panic!("BUG: {name} has never run"),
            (Call::Unpause | Call::Pause | Call::Suspend | Call::Shutdown | Call::Destroy, _) => {}
        }
        if fails {
            return Err(HypervisorError::Injected);
        }
        Ok(self.done(name, call))
    }

    fn done(&mut self, name: &Name, call: Call) -> Option<Handle> {
        let set = |domains: &mut BTreeMap<Name, Pretended>, state| {
            domains.get_mut(name).expect("BUG: looked at above").state = state;
        };
        match call {
            Call::Create => return Some(self.make(name, Existing::Built)),
            Call::Resume => {
                self.saved.remove(name);
                return Some(self.make(name, Existing::Paused));
            }
            Call::Unpause => set(&mut self.domains, Existing::Running),
            Call::Pause => set(&mut self.domains, Existing::Paused),
            Call::Suspend => {
                self.domains.remove(name);
                self.saved.insert(name.clone());
            }
            Call::Destroy => drop(self.domains.remove(name)),
            Call::Discard => drop(self.saved.remove(name)),
            Call::Shutdown => {}
        }
        None
    }

    fn make(&mut self, name: &Name, state: Existing) -> Handle {
        self.last_id += 1;
        let address = IpAddr::V4(Ipv4Addr::from_bits((127 << 24) + (1 << 16) + self.last_id));
        let handle = Handle { name: name.clone(), id: self.last_id, address: Some(address) };
        self.domains.insert(name.clone(), Pretended { handle: handle.clone(), state });
        handle
    }

    /// A domain ends by itself, whatever it was doing. None: there is none.
    pub fn end(&mut self, name: &Name, how: End) -> Option<Ended> {
        self.domains.remove(name).map(|domain| Ended { handle: domain.handle, how })
    }

    /// All domains that exist.
    pub fn list(&self) -> Vec<DomainInfo> {
        let infos = self.domains.values();
        infos
            .map(|domain| DomainInfo { handle: domain.handle.clone(), state: domain.state })
            .collect()
    }

    /// Whether it is saved.
    pub fn is_saved(&self, name: &Name) -> bool {
        self.saved.contains(name)
    }
}

/// A [`World`] as a hypervisor. Its domains are lost with it.
pub struct Fake {
    world: Mutex<World>,
    on_end: OnceLock<OnEnd>,
}

impl Fake {
    /// A hypervisor over `world`.
    pub fn new(world: World) -> Fake {
        Fake { world: Mutex::new(world), on_end: OnceLock::new() }
    }

    /// Lets a guest end by itself.
    pub fn end(&self, name: &Name, how: End) {
        let ended = self.world().end(name, how);
        if let (Some(ended), Some(on_end)) = (ended, self.on_end.get()) {
            on_end(ended);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, name: &Name, call: Call) -> Result<Option<Handle>, HypervisorError> {
        let latency = self.world().latency();
        if !latency.is_zero() {
            std::thread::sleep(latency);
        }
        self.world().call(name, call)
    }

    fn make(&self, name: &Name, call: Call) -> Result<Handle, HypervisorError> {
        self.call(name, call).map(|handle| handle.expect("BUG: a domain was made without a handle"))
    }
}

impl Hypervisor for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn watch(&self, on_end: OnEnd) {
        let first = self.on_end.set(on_end);
        assert!(first.is_ok(), "BUG: a hypervisor is watched once");
    }

    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError> {
        if let Guest::Command { argv, .. } = &spec.guest
            && argv[0].starts_with("/nonexistent")
        {
            let cause = std::io::ErrorKind::NotFound.into();
            return Err(HypervisorError::Image { image: argv[0].clone().into(), cause });
        }
        self.make(name, Call::Create)
    }

    fn unpause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.call(&dom.name, Call::Unpause).map(drop)
    }

    fn pause(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.call(&dom.name, Call::Pause).map(drop)
    }

    fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError> {
        self.call(&dom.name, Call::Suspend)?;
        std::fs::write(to, "a pretended domain\n")
            .map_err(|cause| HypervisorError::io("suspending", cause))
    }

    fn resume(
        &self,
        name: &Name,
        from: &Path,
        _spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError> {
        if !self.world().is_saved(name) {
            let _ = std::fs::remove_file(from);
            return Err(HypervisorError::NotFound(name.clone()));
        }
        let handle = self.make(name, Call::Resume)?;
        std::fs::remove_file(from).map_err(|cause| HypervisorError::io("resuming", cause))?;
        Ok(handle)
    }

    fn discard(&self, name: &Name, from: &Path) -> Result<(), HypervisorError> {
        self.call(name, Call::Discard)?;
        let _ = std::fs::remove_file(from);
        Ok(())
    }

    fn shutdown(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.call(&dom.name, Call::Shutdown)?;
        // A pretended guest obeys at once.
        self.end(&dom.name, End::Exited(0));
        Ok(())
    }

    fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError> {
        self.call(&dom.name, Call::Destroy).map(drop)
    }

    fn list(&self) -> Result<Vec<DomainInfo>, HypervisorError> {
        Ok(self.world().list())
    }

    fn console(&self, dom: &Handle) -> Result<OwnedFd, HypervisorError> {
        let failed = |cause| HypervisorError::io("opening the console", cause);
        let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
        writeln!(ours, "this is {}", dom.name).map_err(failed)?;
        Ok(theirs.into())
    }
}
