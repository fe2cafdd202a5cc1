//! Domains that are made before anybody asks: LightVM's split toolstack (SOSP 2017, §5.2).
//!
//! Owns the pool. A shell is a paravirtualised domain with its memory and its interfaces, plugged
//! in, but without a name or an image; a summon takes one, and only loads the image. The pool is
//! filled again in the background, while nothing is being summoned. A shell counts as half-made:
//! should the toolstack be killed, the next one removes it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jitsu_proto::{DomainSpec, Mac, Mode};

use super::entries::{self, Interface};
use super::make::Begun;
use super::{Shared, refused};
use crate::hypervisor::HypervisorError;
use crate::hypervisor::xen::Flavour;

/// How long after the last summon shells are made: what was summoned boots meanwhile.
const QUIET: Duration = Duration::from_secs(1);

/// How long after a shell could not be made the next is tried.
const RETRY: Duration = Duration::from_secs(5);

pub(super) struct Shells {
    flavours: Vec<Flavour>,
    pool: Mutex<Pool>,
    changed: Condvar,
}

#[derive(Default)]
struct Pool {
    /// Which flavour each is, by its place in the list.
    ready: Vec<(usize, Begun)>,
    /// How many domains are being made for somebody.
    summons: usize,
    /// When the last of them was made.
    last_summon: Option<Instant>,
    is_closed: bool,
}

/// Somebody waits for a domain: shells are not made meanwhile.
pub(super) struct Summon<'a>(&'a Shells);

impl Drop for Summon<'_> {
    fn drop(&mut self) {
        let mut pool = self.0.pool();
        pool.summons -= 1;
        pool.last_summon = Some(Instant::now());
        drop(pool);
        self.0.changed.notify_all();
    }
}

impl Shells {
    pub(super) fn new(flavours: Vec<Flavour>) -> Shells {
        Shells { flavours, pool: Mutex::default(), changed: Condvar::new() }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the making of shells back until it is dropped.
    pub(super) fn summon(&self) -> Summon<'_> {
        self.pool().summons += 1;
        Summon(self)
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.pool().ready.len()
    }

    /// Takes one that fits.
    pub(super) fn take(
        &self,
        mode: Mode,
        spec: &DomainSpec,
        interfaces: &[Interface],
    ) -> Option<Begun> {
        if mode != Mode::Pv {
            return None;
        }
        let fits = |flavour: &Flavour| {
            (flavour.memory_mib, flavour.vcpus) == (spec.memory_mib, spec.vcpus)
                && flavour.bridges.len() == interfaces.len()
                && flavour.bridges.iter().zip(interfaces).all(|(bridge, interface)| {
                    interface.script.is_none() && interface.bridge == *bridge
                })
        };
        let mut pool = self.pool();
        let at = pool.ready.iter().position(|(kind, _)| fits(&self.flavours[*kind]))?;
        let (_, shell) = pool.ready.swap_remove(at);
        Some(shell)
    }

    /// Ends the pool, and gives out what is left in it.
    pub(super) fn close(&self) -> Vec<Begun> {
        let mut pool = self.pool();
        pool.is_closed = true;
        self.changed.notify_all();
        pool.ready.drain(..).map(|(_, shell)| shell).collect()
    }

    /// Waits until a shell is missing and nobody is being summoned. None: the pool is closed.
    fn wait_for_missing(&self) -> Option<usize> {
        let mut pool = self.pool();
        while !pool.is_closed {
            let count = |at| pool.ready.iter().filter(|(kind, _)| *kind == at).count();
            let mut kinds = self.flavours.iter().enumerate();
            let missing = kinds.find(|(at, flavour)| count(*at) < flavour.count);
            let since = pool.last_summon.map_or(QUIET, |last| last.elapsed());
            pool = match missing {
                Some((at, _)) if pool.summons == 0 && since >= QUIET => return Some(at),
                Some(_) if pool.summons == 0 => {
                    let waited = self.changed.wait_timeout(pool, QUIET - since);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                _ => self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner),
            };
        }
        None
    }

    /// Puts one in. It comes back where the pool is closed.
    fn put(&self, kind: usize, shell: Begun) -> Option<Begun> {
        let mut pool = self.pool();
        if pool.is_closed {
            return Some(shell);
        }
        pool.ready.push((kind, shell));
        None
    }

    /// Waits for a while, or until the pool is closed.
    fn rest(&self) {
        let pool = self.pool();
        let closed = |pool: &mut Pool| !pool.is_closed;
        drop(self.changed.wait_timeout_while(pool, RETRY, closed));
    }
}

/// Starts the thread that keeps the pool full.
pub(super) fn refill(shared: &Arc<Shared>) {
    if shared.shells.flavours.is_empty() {
        return;
    }
    let shared = shared.clone();
    std::thread::spawn(move || {
        let mut told = String::new();
        while let Some(kind) = shared.shells.wait_for_missing() {
            match shared.make_shell(&shared.shells.flavours[kind]) {
                Ok(shell) => {
                    told.clear();
                    if let Some(shell) = shared.shells.put(kind, shell) {
                        shared.remove(shell.domid, shell.tag);
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(%error, "a domain could not be built in advance");
                        told = error;
                    }
                    shared.shells.rest();
                }
            }
        }
    });
}

impl Shared {
    fn make_shell(&self, flavour: &Flavour) -> Result<Begun, HypervisorError> {
        let mut shell = self.begin(false, flavour.memory_mib, flavour.vcpus)?;
        match self.furnish_shell(&shell, flavour) {
            Ok(frames) => {
                shell.frames = Some(frames);
                Ok(shell)
            }
            Err(error) => {
                self.remove(shell.domid, shell.tag);
                Err(error)
            }
        }
    }

    fn furnish_shell(&self, shell: &Begun, flavour: &Flavour) -> Result<Vec<u64>, HypervisorError> {
        // Its own address comes when it is taken; until then no guest looks.
        let mac = Mac::new([0x00, 0x16, 0x3e, 0, 0, 0]).expect("BUG: it is that of one interface");
        let interface =
            |bridge: &String| Interface { mac, bridge: bridge.clone(), ip: None, script: None };
        let interfaces: Vec<Interface> = flavour.bridges.iter().map(interface).collect();
        let Begun { domid, tag, .. } = *shell;
        let mut steps = entries::domain(domid, tag, flavour.memory_mib, flavour.vcpus);
        for (nth, interface) in interfaces.iter().enumerate() {
            steps.extend(entries::vif(domid, nth, interface));
        }
        let frames = self.xen.populate(domid, flavour.memory_mib);
        let frames = frames.map_err(refused("giving a domain its memory"))?;
        self.write_and_plug(domid, &steps, &interfaces)?;
        Ok(frames)
    }
}
