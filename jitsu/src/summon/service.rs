//! One service's state machine.
//!
//! Owns what may follow what for one service, and its waiters and live connections. It must
//! not know that there are other services, but for the `room` that they leave.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use jitsu_proto::{Front, Name, ServiceSpec, StartOn};

use super::{Boot, Effect, Input, Limits, Refusal, Ticket, Waiter};

/// What a transition may look at besides the service.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) limits: Limits,
    /// How many more clients there may be in all.
    pub(super) room: usize,
}

/// Whether this bug was planted; outside of tests none ever is.
#[cfg(test)]
macro_rules! planted {
    ($service:expr, $bug:ident) => {
        $service.planted == Some(super::simulation::Planted::$bug)
    };
}
#[cfg(not(test))]
macro_rules! planted {
    ($service:expr, $bug:ident) => {
        false
    };
}

/// Waiters, each with the moment at which it is refused.
pub type Waiters = BTreeMap<Ticket, (Waiter, Instant)>;

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// No domain, and nobody who wants one.
    Asleep,
    /// Its domain is being started.
    Waking {
        /// Which start.
        boot: Boot,
        /// Who waits.
        waiters: Waiters,
        /// When the waiters may go on, at the earliest.
        hold_until: Instant,
        /// When the start has failed.
        deadline: Instant,
        /// The guest's address, once it is ready.
        ready: Option<IpAddr>,
    },
    /// Its guest is ready.
    Awake {
        /// Which start.
        boot: Boot,
        /// The guest's address.
        address: IpAddr,
        /// When it became ready.
        since: Instant,
        /// When it was last needed.
        needed: Instant,
    },
    /// Its domain was asked to go.
    Stopping {
        /// Which start's domain.
        boot: Boot,
        /// Who waits for the next boot.
        waiters: Waiters,
        /// Why it failed, if that is why it is stopped.
        failure: Option<Box<str>>,
        /// When the stop is asked for again.
        again: Instant,
    },
    /// It cannot be started for now.
    Failed {
        /// Until when.
        until: Instant,
        /// Why.
        why: Box<str>,
    },
}

impl Phase {
    /// The present boot.
    pub fn boot(&self) -> Option<Boot> {
        match self {
            Phase::Waking { boot, .. }
            | Phase::Awake { boot, .. }
            | Phase::Stopping { boot, .. } => Some(*boot),
            Phase::Asleep | Phase::Failed { .. } => None,
        }
    }

    /// A word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Asleep => "asleep",
            Phase::Waking { .. } => "waking",
            Phase::Awake { .. } => "awake",
            Phase::Stopping { .. } => "stopping",
            Phase::Failed { .. } => "failed",
        }
    }

    fn waiters(&self) -> Option<&Waiters> {
        match self {
            Phase::Waking { waiters, .. } | Phase::Stopping { waiters, .. } => Some(waiters),
            Phase::Asleep | Phase::Awake { .. } | Phase::Failed { .. } => None,
        }
    }

    fn waiters_mut(&mut self) -> Option<&mut Waiters> {
        match self {
            Phase::Waking { waiters, .. } | Phase::Stopping { waiters, .. } => Some(waiters),
            Phase::Asleep | Phase::Awake { .. } | Phase::Failed { .. } => None,
        }
    }
}

/// One service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    name: Name,
    pub(super) spec: ServiceSpec,
    pub(super) phase: Phase,
    last_boot: Boot,
    /// Connections that were sent to a guest and have not ended, with the boot they went to.
    live: BTreeMap<Ticket, Boot>,
    /// Connections that reach the guest without us.
    live_direct: u32,
    /// How many starts in a row came to nothing.
    failures: u32,
    #[cfg(test)]
    pub(super) planted: Option<super::simulation::Planted>,
}

impl Service {
    pub(super) fn new(name: Name, spec: ServiceSpec) -> Service {
        Service {
            name,
            spec,
            phase: Phase::Asleep,
            last_boot: Boot(0),
            live: BTreeMap::new(),
            live_direct: 0,
            failures: 0,
            #[cfg(test)]
            planted: None,
        }
    }

    pub(super) fn redefine(&mut self, spec: ServiceSpec) {
        self.spec = spec;
    }

    /// How many tickets it holds.
    pub(super) fn clients(&self) -> usize {
        self.live.len() + self.phase.waiters().map_or(0, BTreeMap::len)
    }

    pub(super) fn handle(&mut self, world: &World, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Defined(_) | Input::Forgotten => {
                unreachable!("BUG: the summoner makes and forgets services itself")
            }
            Input::Asked(ticket) => self.asked(world, ticket, out),
            Input::Arrived(ticket) => self.arrived(world, ticket, out),
            Input::Left(ticket) => self.left(world, ticket),
            Input::Live(count) => self.live(world, count),
            Input::Started(boot, address) => self.started(world, boot, address, out),
            Input::Stopped(boot, why) => self.stopped(world, boot, why, out),
            Input::Found(address) => self.found(world, address),
        }
    }

    pub(super) fn forget(&mut self, out: &mut Vec<Effect>) {
        self.live.clear();
        if let Some(waiters) = self.phase.waiters_mut() {
            for (ticket, _) in std::mem::take(waiters) {
                out.push(Effect::Refuse(ticket, Refusal::Unknown));
            }
        }
    }

    fn asked(&mut self, world: &World, ticket: Ticket, out: &mut Vec<Effect>) {
        let wakes = self.spec.start_on != StartOn::Connection;
        match (self.spec.front, &mut self.phase) {
            (_, Phase::Failed { why, .. }) => {
                out.push(Effect::Refuse(ticket, Refusal::Failed(why.clone())));
            }
            (Front::Proxy, _) => {
                out.push(Effect::Answer(ticket, None));
                if let Phase::Awake { needed, .. } = &mut self.phase {
                    *needed = world.now;
                } else if wakes {
                    self.wake(world, out);
                }
            }
            (Front::Direct, Phase::Awake { needed, address, .. }) => {
                *needed = world.now;
                out.push(Effect::Answer(ticket, Some(*address)));
            }
            (Front::Direct, _) => self.hold(world, ticket, Waiter::Question, wakes, out),
        }
    }

    fn arrived(&mut self, world: &World, ticket: Ticket, out: &mut Vec<Effect>) {
        let wakes = self.spec.start_on != StartOn::Dns;
        match &mut self.phase {
            Phase::Failed { why, .. } => {
                out.push(Effect::Refuse(ticket, Refusal::Failed(why.clone())));
            }
            Phase::Awake { needed, address, boot, .. } => {
                let (address, boot) = (*address, *boot);
                *needed = world.now;
                if self.full(world) {
                    out.push(Effect::Refuse(ticket, Refusal::Full));
                } else {
                    self.live.insert(ticket, boot);
                    out.push(Effect::Connect(ticket, address));
                }
            }
            _ => self.hold(world, ticket, Waiter::Connection, wakes, out),
        }
    }

    /// Makes `ticket` wait for the next boot to be ready, and begins it if need be.
    fn hold(
        &mut self,
        world: &World,
        ticket: Ticket,
        kind: Waiter,
        wakes: bool,
        out: &mut Vec<Effect>,
    ) {
        if self.full(world) {
            out.push(Effect::Refuse(ticket, Refusal::Full));
            return;
        }
        let refusal = match &self.phase {
            Phase::Stopping { failure: Some(why), .. } => Some(Refusal::Failed(why.clone())),
            Phase::Asleep | Phase::Stopping { .. } if !wakes => Some(Refusal::Asleep),
            _ => None,
        };
        if let Some(refusal) = refusal {
            out.push(Effect::Refuse(ticket, refusal));
            return;
        }
        if planted!(self, SentToTheDying) && matches!(self.phase, Phase::Stopping { .. }) {
            self.live.insert(ticket, self.last_boot);
            out.push(Effect::Connect(ticket, IpAddr::from([127, 0, 0, 1])));
            return;
        }
        self.wake(world, out);
        let until = world.now + self.spec.hold_max.duration();
        let waiters = self.phase.waiters_mut().expect("BUG: waking has waiters");
        waiters.insert(ticket, (kind, until));
    }

    fn full(&self, world: &World) -> bool {
        if planted!(self, NoBound) {
            return false;
        }
        world.room == 0 || self.clients() >= self.spec.clients_max as usize
    }

    /// Begins a boot, if the service sleeps.
    fn wake(&mut self, world: &World, out: &mut Vec<Effect>) {
        let again = planted!(self, StartTwice) && matches!(self.phase, Phase::Waking { .. });
        if self.phase != Phase::Asleep && !again {
            return;
        }
        let waiters = self.phase.waiters_mut().map(std::mem::take).unwrap_or_default();
        self.boot(world, waiters, out);
    }

    fn boot(&mut self, world: &World, waiters: Waiters, out: &mut Vec<Effect>) {
        self.last_boot = Boot(self.last_boot.0 + 1);
        let boot = self.last_boot;
        self.phase = Phase::Waking {
            boot,
            waiters,
            hold_until: world.now + self.spec.hold_min.min(self.spec.hold_max).duration(),
            deadline: world.now + self.spec.hold_max.duration(),
            ready: None,
        };
        out.push(Effect::Start(self.name.clone(), boot));
    }

    fn left(&mut self, world: &World, ticket: Ticket) {
        if let Some(waiters) = self.phase.waiters_mut() {
            waiters.remove(&ticket);
        }
        if self.live.remove(&ticket).is_some()
            && let Phase::Awake { needed, .. } = &mut self.phase
        {
            *needed = world.now;
        }
    }

    fn live(&mut self, world: &World, count: u32) {
        if let Phase::Awake { needed, .. } = &mut self.phase {
            if self.live_direct > 0 || count > 0 {
                *needed = world.now;
            }
            self.live_direct = count;
        }
    }

    fn started(&mut self, world: &World, of: Boot, at: IpAddr, out: &mut Vec<Effect>) {
        if planted!(self, LateNews)
            && let Phase::Stopping { waiters, .. } = &mut self.phase
        {
            let waiters = std::mem::take(waiters);
            self.ready(world, of, at, waiters, out);
            return;
        }
        let Phase::Waking { boot, ready, hold_until, waiters, .. } = &mut self.phase else {
            return;
        };
        if *boot != of {
            return;
        }
        *ready = Some(at);
        if *hold_until <= world.now {
            let waiters = std::mem::take(waiters);
            self.ready(world, of, at, waiters, out);
        }
    }

    fn ready(
        &mut self,
        world: &World,
        boot: Boot,
        address: IpAddr,
        waiters: Waiters,
        out: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Awake { boot, address, since: world.now, needed: world.now };
        self.live_direct = 0;
        for (ticket, (kind, _)) in waiters {
            match kind {
                Waiter::Question => out.push(Effect::Answer(ticket, Some(address))),
                Waiter::Connection => {
                    self.live.insert(ticket, boot);
                    out.push(Effect::Connect(ticket, address));
                }
            }
        }
    }

    fn found(&mut self, world: &World, address: IpAddr) {
        if matches!(self.phase, Phase::Asleep | Phase::Failed { .. }) {
            self.last_boot = Boot(self.last_boot.0 + 1);
            self.ready(world, self.last_boot, address, Waiters::new(), &mut Vec::new());
        }
    }

    fn stopped(&mut self, world: &World, of: Boot, why: Option<Box<str>>, out: &mut Vec<Effect>) {
        if self.phase.boot() != Some(of) && !planted!(self, LateNews) {
            return;
        }
        // Its connections are broken; their ends come as `Left`, and are of no matter then.
        self.live.retain(|_, boot| *boot != of);
        match std::mem::replace(&mut self.phase, Phase::Asleep) {
            Phase::Waking { waiters, .. } => {
                let why = why.unwrap_or_else(|| "its domain ended while it was starting".into());
                if !planted!(self, Forgetful) {
                    refuse(waiters, &Refusal::Failed(why.clone()), out);
                }
                self.fail(world, why);
            }
            Phase::Awake { since, .. } => {
                if world.now.duration_since(since) >= world.limits.settled {
                    self.failures = 0;
                } else {
                    self.fail(world, why.unwrap_or_else(|| "its domain ended".into()));
                }
            }
            Phase::Stopping { failure: Some(why), waiters, .. } => {
                assert!(waiters.is_empty(), "BUG: nobody waits for a boot that failed");
                self.fail(world, why);
            }
            Phase::Stopping { failure: None, waiters, .. } => {
                self.failures = 0;
                if !waiters.is_empty() {
                    self.boot(world, waiters, out);
                }
            }
            phase @ (Phase::Asleep | Phase::Failed { .. }) => self.phase = phase,
        }
    }

    /// Leaves the service alone for a while, longer each time in a row.
    fn fail(&mut self, world: &World, why: Box<str>) {
        let doubled = world.limits.backoff_min.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        let until = world.now + doubled.min(world.limits.backoff_max);
        self.phase = Phase::Failed { until, why };
    }

    fn stop(
        &mut self,
        world: &World,
        boot: Boot,
        failure: Option<Box<str>>,
        out: &mut Vec<Effect>,
    ) {
        let again = world.now + world.limits.stop_max;
        self.phase = Phase::Stopping { boot, waiters: Waiters::new(), failure, again };
        out.push(Effect::Stop(self.name.clone(), boot, self.spec.stop));
    }

    pub(super) fn tick(&mut self, world: &World, out: &mut Vec<Effect>) {
        let now = world.now;
        if let Some(waiters) = self.phase.waiters_mut()
            && !planted!(self, NoDeadline)
        {
            waiters.retain(|ticket, (_, until)| {
                let late = *until <= now;
                if late {
                    out.push(Effect::Refuse(*ticket, Refusal::Late));
                }
                !late
            });
        }
        if let Phase::Waking { boot, waiters, hold_until, ready: Some(address), .. } =
            &mut self.phase
            && *hold_until <= now
        {
            let (boot, address, waiters) = (*boot, *address, std::mem::take(waiters));
            self.ready(world, boot, address, waiters, out);
        }
        match &mut self.phase {
            Phase::Waking { boot, waiters, deadline, .. } if *deadline <= now => {
                let (boot, waiters) = (*boot, std::mem::take(waiters));
                refuse(waiters, &Refusal::Late, out);
                let why = format!("it was not ready within {}", self.spec.hold_max);
                self.stop(world, boot, Some(why.into()), out);
            }
            Phase::Awake { boot, .. } => {
                let boot = *boot;
                if self.idle_at().is_some_and(|idle| idle <= now) {
                    self.stop(world, boot, None, out);
                }
            }
            Phase::Stopping { boot, again, .. } if *again <= now => {
                *again = now + world.limits.stop_max;
                out.push(Effect::Stop(self.name.clone(), *boot, self.spec.stop));
            }
            Phase::Failed { until, .. } if *until <= now => self.phase = Phase::Asleep,
            _ => {}
        }
    }

    /// When an awake service may be stopped. None: not as long as things are as they are.
    ///
    /// The TTL of an answer is never longer than the idle time, so that an answer has run out
    /// when the idle time since the question has passed.
    fn idle_at(&self) -> Option<Instant> {
        let Phase::Awake { needed, .. } = &self.phase else { return None };
        if planted!(self, NeverSleeps) {
            return None;
        }
        let live = !self.live.is_empty() || self.live_direct > 0;
        if live && !planted!(self, BlindIdle) {
            return None;
        }
        Some(*needed + self.spec.idle.duration())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiters = self.phase.waiters().into_iter().flatten().map(|(_, (_, until))| *until);
        let waiters = if planted!(self, NoDeadline) { None } else { waiters.min() };
        let own = match &self.phase {
            Phase::Asleep => None,
            Phase::Waking { ready: Some(_), hold_until, deadline, .. } => {
                Some(*hold_until.min(deadline))
            }
            Phase::Waking { deadline, .. } => Some(*deadline),
            Phase::Awake { .. } => self.idle_at(),
            Phase::Stopping { again, .. } => Some(*again),
            Phase::Failed { until, .. } => Some(*until),
        };
        own.into_iter().chain(waiters).min()
    }
}

fn refuse(waiters: Waiters, why: &Refusal, out: &mut Vec<Effect>) {
    for (ticket, _) in waiters {
        out.push(Effect::Refuse(ticket, why.clone()));
    }
}
