//! What goes into the machine and what comes out.
//!
//! Owns the two enums and what they carry; it must not know how either is made or done.

use std::time::Instant;

use jitsu_proto::{
    DomainSpec, ErrorCode, Event, Name, Response, RpcError, ServiceSpec, TraceId, Wanted,
};

use crate::hypervisor::{Ended, Existing, Handle, HypervisorError};
use crate::plan::Action;
use crate::record::{Ask, Caller, Record, Seen};

/// The time, as it is handed in: one clock to measure with, one to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// To measure with.
    pub instant: Instant,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// A call that waits; the shell knows for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A commit that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// What is durably wanted of a domain: what `main` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What it is made from.
    pub spec: DomainSpec,
    /// What is wanted of it.
    pub wanted: Wanted,
}

/// `main` changed, whoever changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What `main` now holds of a domain. None: it is not defined.
    Domain(Name, Option<Box<Intent>>),
    /// What `main` now holds of a service.
    Service(Name, Option<Box<ServiceSpec>>),
}

/// Why an action was not done, as much of it as the machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// To branch on.
    pub code: ErrorCode,
    /// For people.
    pub text: String,
}

impl From<HypervisorError> for Refusal {
    fn from(error: HypervisorError) -> Refusal {
        Refusal { code: error.code(), text: error.to_string() }
    }
}

/// A domain as it was found when the daemon started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Name,
    /// What `main` holds. None: it is not defined.
    pub intent: Option<Intent>,
    /// What the hypervisor has of it.
    pub exists: Option<(Handle, Existing)>,
    /// Whether there is a file that it was saved to.
    pub saved: bool,
    /// What `main` says it was, before.
    pub recorded: Option<Seen>,
}

/// What happens to the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call that changes something, from somebody who may.
    Asked {
        /// Where the answer goes.
        ticket: Ticket,
        /// Who.
        caller: Caller,
        /// The summon it belongs to.
        trace: TraceId,
        /// What.
        ask: Ask,
    },
    /// Something to write down that changes no domain and no service, and that nobody waits for.
    Note(Box<Record>),
    /// A commit is durable, or failed. In the order they were asked for.
    Committed {
        /// Which.
        seq: Seq,
        /// Whether it is durable.
        result: Result<(), RpcError>,
    },
    /// An action came to its end.
    Acted {
        /// Whose.
        name: Name,
        /// Which.
        action: Action,
        /// With a handle for those that make a domain.
        result: Result<Option<Handle>, Refusal>,
    },
    /// A domain ended by itself.
    Ended(Ended),
    /// `main` changed. Told before the [`Input::Committed`] of the commits that did it.
    Changed(Change),
    /// A deadline has come.
    Tick,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make this durable and say so.
    Commit(Seq, Box<Record>),
    /// Do one action on a domain and say what came of it.
    Act {
        /// Whose.
        name: Name,
        /// Which.
        action: Action,
        /// What it is done to.
        target: Target,
        /// The summon it belongs to.
        trace: TraceId,
    },
    /// Answer a call.
    Reply(Ticket, Result<Response, RpcError>),
    /// Tell all subscribers.
    Publish(Event),
}

/// What an action is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A domain to be, made from this.
    Spec(Box<DomainSpec>),
    /// A domain that exists.
    Handle(Handle),
    /// A domain that is saved.
    Saved,
}
