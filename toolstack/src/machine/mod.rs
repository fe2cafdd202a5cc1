//! The toolstack's decisions: one state machine of all domains and services.
//!
//! ```text
//!                      ┌───────────────────────────────┐
//!   calls ────────────▶│                               │──▶ commits
//!   commits durable ──▶│  handle(now, input, &mut out) │──▶ actions of the hypervisor
//!   actions ended ────▶│  deadline() -> Option<Instant>│──▶ answers
//!   domains ended ────▶│                               │──▶ news for subscribers
//!   `main` changed ───▶└───────────────────────────────┘
//! ```
//!
//! Owns what is known of every domain and service, and every call that waits. It has no clock,
//! no socket, no task, no lock and no store; the shell around it (`driver`) decides
//! nothing.
//!
//! Three rules hold it together:
//!
//! - *Level, not edge.* An input changes what is known; then [`crate::plan`] compares that with
//!   what is wanted, whichever input it was.
//! - *Durable before visible.* What was asked counts at once, tentatively: a domain may be built
//!   for it, paused. Nothing that anybody could notice happens before the commit is durable; if
//!   it fails, what was asked is withdrawn, and the same plan takes the domain away again.
//! - *`main` is what is wanted.* What is durably wanted changes only by [`Input::Changed`], which
//!   tells what `main` holds, whoever put it there: a call, a merged branch, a revert.

mod desk;
mod domain;
mod message;
mod planted;
mod services;
#[cfg(test)]
mod simulation;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jitsu_proto::{DomainSpec, DomainStatus, ErrorCode, Name, RpcError, ServiceSpec, TraceId};

pub use message::{Change, Effect, Found, Input, Intent, Now, Refusal, Seq, Target, Ticket};

use crate::hypervisor::{Ended, Handle};
use crate::limits::Limits;
use crate::plan::Action;
use crate::record::{Ask, Author, Caller, Phase, Record};
use desk::{Desk, Purpose};
use domain::{Domain, Goal, Waiter};
use planted::Planted;

/// See the head of this file.
#[derive(Debug, Clone)]
pub struct Machine {
    desk: Desk,
    domains: BTreeMap<Name, Domain>,
    services: BTreeMap<Name, ServiceSpec>,
    /// The deadline of each domain that has one.
    timers: BTreeSet<(Instant, Name)>,
}

impl Machine {
    /// A machine that knows nothing.
    pub fn new(limits: Limits) -> Machine {
        Machine {
            desk: Desk::new(limits),
            domains: BTreeMap::new(),
            services: BTreeMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Takes in what was found when the daemon started: adopts what runs and should, removes what
    /// should not, goes on with what was half done.
    pub fn start(
        &mut self,
        now: Now,
        found: Vec<Found>,
        services: Vec<(Name, ServiceSpec)>,
        out: &mut Vec<Effect>,
    ) {
        self.services.extend(services);
        for found in found {
            let name = found.name.clone();
            if self.desk.planted(Planted::ForgetFound) && found.exists.is_some() {
                continue;
            }
            self.domains.insert(name.clone(), Domain::found(found, now));
            self.touch(now, &name, out);
        }
    }

    /// Takes in one input, and appends to `out` all that follows.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Asked { ticket, caller, trace, ask } => {
                self.asked(now, Asking { ticket, caller, trace, ask }, out);
            }
            Input::Note(record) => {
                // Notes give way to calls: whoever floods us is not to fill the queue.
                if !self.desk.is_full() {
                    self.desk.record(*record, Purpose::Note, out);
                }
            }
            Input::Committed { seq, result } => self.committed(now, seq, result, out),
            Input::Acted { name, action, result } => self.acted(now, &name, action, result, out),
            Input::Ended(Ended { handle, how }) => {
                if let Some(domain) = self.domains.get_mut(&handle.name) {
                    domain.ended(now, handle.id, how, &self.desk.limits);
                    self.touch(now, &handle.name, out);
                }
            }
            Input::Changed(Change::Domain(name, intent)) => {
                let domain =
                    self.domains.entry(name.clone()).or_insert_with(|| Domain::new(name.clone()));
                domain.changed(intent.map(|intent| *intent));
                self.touch(now, &name, out);
            }
            Input::Changed(Change::Service(name, spec)) => self.service_changed(name, spec, out),
            Input::Tick => {}
        }
        // Whatever came, what is due now is not left for later.
        self.tick(now, out);
    }

    /// The next moment at which [`Input::Tick`] is due; always later than the last `now`.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// All domains, as clients may see them.
    pub fn list(&self) -> Vec<DomainStatus> {
        self.domains.values().filter_map(|domain| domain.visible.clone()).collect()
    }

    /// One domain, as clients may see it.
    pub fn status(&self, name: &Name) -> Option<&DomainStatus> {
        self.domains.get(name)?.visible.as_ref()
    }

    /// A domain's spec.
    pub fn spec(&self, name: &Name) -> Option<&DomainSpec> {
        Some(&self.domains.get(name)?.intent.as_ref()?.spec)
    }

    /// A domain's handle, when it exists.
    pub fn handle_of(&self, name: &Name) -> Option<&Handle> {
        self.domains.get(name)?.handle.as_ref()
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = (&Name, &ServiceSpec)> {
        self.services.iter()
    }

    /// Replaces the limits; what waits keeps the deadline it has.
    pub fn set_limits(&mut self, limits: Limits) {
        self.desk.limits = limits;
    }

    fn asked(&mut self, now: Now, asking: Asking, out: &mut Vec<Effect>) {
        if self.desk.is_full() && !self.desk.planted(Planted::Unbounded) {
            let text = "too many calls wait for their commit; try again in a moment";
            out.push(Effect::Reply(asking.ticket, Err(exhausted(text))));
            return;
        }
        let (name, goal) = match &asking.ask {
            Ask::Define(name, _) => (name.clone(), Goal::Defined),
            Ask::Undefine(name) => (name.clone(), Goal::Undefined),
            Ask::Want(name, wanted) => (name.clone(), Goal::Is(*wanted)),
            Ask::DefineService(..) | Ask::UndefineService(_) | Ask::Count(..) => {
                return self.asked_service(now, asking, out);
            }
        };
        if let Err(refusal) = self.admit(&name, goal) {
            out.push(Effect::Reply(asking.ticket, Err(refusal)));
            return;
        }
        let domain = self.domains.entry(name.clone()).or_insert_with(|| Domain::new(name.clone()));
        let record = asking.record(domain.intent.is_none());
        let seq = self.desk.record(record, Purpose::Asked(name.clone()), out);
        match goal {
            Goal::Is(wanted) => domain.tentative.push_back((seq, wanted)),
            Goal::Undefined => domain.tentative.push_back((seq, jitsu_proto::Wanted::Absent)),
            Goal::Defined => {}
        }
        domain.try_again();
        domain.waiters.push(Waiter {
            ticket: asking.ticket,
            seq,
            goal,
            durable: false,
            asked: now.instant,
            deadline: now.instant + self.desk.limits.want_timeout.duration(),
            method: asking.ask.method(),
            arguments: asking.ask.arguments(),
            caller: asking.caller,
            trace: asking.trace,
        });
        self.touch(now, &name, out);
    }

    fn admit(&self, name: &Name, goal: Goal) -> Result<(), RpcError> {
        let domain = self.domains.get(name);
        if domain.is_none() && goal != Goal::Defined {
            let text = format!("there is no domain named {name}; define it first");
            return Err(RpcError::new(ErrorCode::NotFound, text));
        }
        let waiting = domain.map_or(0, |domain| domain.waiters.len());
        if waiting >= self.desk.limits.waiters_max && !self.desk.planted(Planted::Unbounded) {
            return Err(exhausted(format!("too many calls wait for domain {name}")));
        }
        if domain.is_none() && self.domains.len() >= self.desk.limits.subjects_max {
            return Err(exhausted("there are as many domains as limits.subjects_max allows"));
        }
        Ok(())
    }

    fn committed(
        &mut self,
        now: Now,
        seq: Seq,
        result: Result<(), RpcError>,
        out: &mut Vec<Effect>,
    ) {
        let purpose = self.desk.take(seq);
        let retry_at = now.instant + self.desk.limits.record_retry.duration();
        match purpose {
            Purpose::Note => {}
            Purpose::Service(call) => self.service_committed(now, *call, result, out),
            Purpose::Asked(name) => {
                let Some(domain) = self.domains.get_mut(&name) else { return };
                match result {
                    Err(_) if self.desk.planted(Planted::KeepFailed) => domain.committed(now, seq),
                    Ok(()) => domain.committed(now, seq),
                    Err(error) => {
                        if let Some(waiter) = domain.withdraw(seq) {
                            out.push(Effect::Reply(waiter.ticket, Err(error)));
                        }
                    }
                }
                self.touch(now, &name, out);
            }
            Purpose::Told(name) => {
                let Some(domain) = self.domains.get_mut(&name) else { return };
                domain.told(seq, result.is_ok(), retry_at);
                self.touch(now, &name, out);
            }
        }
    }

    fn acted(
        &mut self,
        now: Now,
        name: &Name,
        action: Action,
        result: Result<Option<Handle>, Refusal>,
        out: &mut Vec<Effect>,
    ) {
        let domain = self.domains.get_mut(name).expect("BUG: an action on a domain not known");
        domain.acted(now, action, result, &self.desk.limits);
        self.touch(now, name, out);
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((at, name)) = self.timers.first().cloned() {
            if at > now.instant {
                break;
            }
            self.touch(now, &name, out);
            assert!(
                self.timers.first().is_none_or(|first| *first != (at, name)),
                "BUG: a deadline that stays when its time has come"
            );
        }
    }

    /// Brings out what follows from the domain's state, and keeps its timer.
    fn touch(&mut self, now: Now, name: &Name, out: &mut Vec<Effect>) {
        let Some(domain) = self.domains.get_mut(name) else { return };
        if let Some(before) = domain.timer.take() {
            self.timers.remove(&(before, name.clone()));
        }
        domain.step(now, &mut self.desk, out);
        if domain.is_forgettable() {
            self.domains.remove(name);
            return;
        }
        domain.timer = domain.deadline();
        if let Some(at) = domain.timer {
            self.timers.insert((at, name.clone()));
        }
    }
}

/// A call that changes something, as it came in.
struct Asking {
    ticket: Ticket,
    caller: Caller,
    trace: TraceId,
    ask: Ask,
}

impl Asking {
    /// The commit that says it was asked.
    fn record(&self, is_new: bool) -> Record {
        Record {
            subject: self.ask.subject(),
            writes: self.ask.writes(is_new),
            author: Author::Caller(self.caller.clone()),
            trace: self.trace,
            method: self.ask.method(),
            arguments: self.ask.arguments(),
            phase: Phase::Asked,
            outcome: None,
            duration: None,
        }
    }
}

fn exhausted(text: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::Exhausted, text)
}
