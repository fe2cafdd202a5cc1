//! The summoner: which services should be awake, who waits for them, when they may sleep.
//!
//! Owns every decision of `jitsu serve`. It must not know sockets, DNS, RPC, tasks or clocks:
//! time is an argument, a waiter is a numbered [`Ticket`], and what is to be done comes out as
//! [`Effect`]s.
//!
//! ```text
//!              Asked, Arrived             Started
//!    Asleep ─────────────────▶ Waking ─────────────▶ Awake ⟲ Asked, Arrived, Left
//!     ▲  ▲                     │    │                  │
//!     │  │ until               │    │ deadline         │ idle, none live
//!     │  └────── Failed ◀──────┘    ▼                  │
//!     │                Stopped   Stopping ◀────────────┘
//!     └─────────────────────────────┘ Stopped          (who comes while Stopping gets the next boot)
//! ```

mod service;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jitsu_proto::{Name, ServiceSpec, StopMode};

pub use service::{Phase, Waiters};
use service::{Service, World};

/// The number of one waiter: a DNS question or a connection. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The number of one boot of a service. News of another boot than the present one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

/// What a waiter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// A DNS question.
    Question,
    /// A connection that was accepted.
    Connection,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A service is there, or has changed.
    Defined(ServiceSpec),
    /// A service was forgotten. Its domain is left alone.
    Forgotten,
    /// A question for it came.
    Asked(Ticket),
    /// A connection for it was accepted.
    Arrived(Ticket),
    /// A waiter went away: the connection ended, the client gave up.
    Left(Ticket),
    /// This many connections reach its guest without us (front `direct`).
    Live(u32),
    /// Its guest is ready.
    Started(Boot, IpAddr),
    /// Its domain is gone, for the reason given where it was not asked to go.
    Stopped(Boot, Option<Box<str>>),
    /// Its domain was found running, without our having asked.
    Found(IpAddr),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make its domain run, and tell when its guest is ready.
    Start(Name, Boot),
    /// Make its domain go, and tell when it is gone.
    Stop(Name, Boot, StopMode),
    /// Answer a question: with the guest's address, or (None) with the front's.
    Answer(Ticket, Option<IpAddr>),
    /// Connect a connection to the guest.
    Connect(Ticket, IpAddr),
    /// Refuse a question or a connection.
    Refuse(Ticket, Refusal),
}

/// Why a waiter is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The service does not exist.
    Unknown,
    /// The service has, or all services have, as many waiters as they may.
    Full,
    /// The service cannot be started now, for this reason.
    Failed(Box<str>),
    /// It took longer than a client is held.
    Late,
    /// It sleeps, and this kind of waiter does not wake it.
    Asleep,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown => f.write_str("no such service"),
            Refusal::Full => f.write_str("too many clients"),
            Refusal::Failed(why) => write!(f, "the service failed: {why}"),
            Refusal::Late => f.write_str("the service was not ready in time"),
            Refusal::Asleep => f.write_str("the service sleeps and this does not wake it"),
        }
    }
}

/// The bounds of the summoner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients of all services together, held and live.
    pub clients_max: usize,
    /// How long a service that failed once is left alone; doubled for each time after.
    pub backoff_min: Duration,
    /// The longest it is left alone.
    pub backoff_max: Duration,
    /// A service that was awake this long is healthy: its failures are forgotten.
    pub settled: Duration,
    /// How long a stop may take before it is asked again.
    pub stop_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients_max: 16_384,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            settled: Duration::from_secs(10),
            stop_max: Duration::from_secs(60),
        }
    }
}

/// All services. See the module's drawing.
#[derive(Debug, Clone)]
pub struct Summoner {
    limits: Limits,
    services: HashMap<Name, Service>,
    /// How many tickets all services hold.
    clients: usize,
}

impl Summoner {
    /// No services.
    pub fn new(limits: Limits) -> Summoner {
        Summoner { limits, services: HashMap::new(), clients: 0 }
    }

    /// Other bounds from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes in one thing that happened to service `name`; what is to be done is added to `out`.
    pub fn handle(&mut self, now: Instant, name: &Name, input: Input, out: &mut Vec<Effect>) {
        let world = self.world(now);
        match (input, self.services.get_mut(name)) {
            (Input::Defined(spec), Some(service)) => service.redefine(spec),
            (Input::Defined(spec), None) => {
                self.services.insert(name.clone(), Service::new(name.clone(), spec));
            }
            (Input::Asked(ticket) | Input::Arrived(ticket), None) => {
                out.push(Effect::Refuse(ticket, Refusal::Unknown));
            }
            (_, None) => {}
            (Input::Forgotten, Some(service)) => {
                self.clients -= service.clients();
                service.forget(out);
                self.services.remove(name);
            }
            (input, Some(service)) => {
                self.clients -= service.clients();
                service.handle(&world, input, out);
                self.clients += service.clients();
            }
        }
    }

    /// Does what has become due by `now`.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let world = self.world(now);
        for service in self.services.values_mut() {
            self.clients -= service.clients();
            service.tick(&world, out);
            self.clients += service.clients();
        }
    }

    fn world(&self, now: Instant) -> World {
        let room = self.limits.clients_max.saturating_sub(self.clients);
        World { now, limits: self.limits, room }
    }

    /// When [`Summoner::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        self.services.values().filter_map(Service::deadline).min()
    }

    /// The same for one service.
    pub fn deadline_of(&self, name: &Name) -> Option<Instant> {
        self.services.get(name).and_then(Service::deadline)
    }

    /// How a service is.
    pub fn phase(&self, name: &Name) -> Option<&Phase> {
        self.services.get(name).map(|service| &service.phase)
    }

    /// The present boot of a service, while it is waking, awake or stopping.
    pub fn boot(&self, name: &Name) -> Option<Boot> {
        self.phase(name).and_then(Phase::boot)
    }

    /// What a service is.
    pub fn spec(&self, name: &Name) -> Option<&ServiceSpec> {
        self.services.get(name).map(|service| &service.spec)
    }

    /// The names of all services, in no order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.services.keys()
    }

    /// How many clients all services have, held and live.
    pub fn clients(&self) -> usize {
        self.clients
    }
}
