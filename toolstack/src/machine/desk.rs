//! What all subjects share: numbers for commits, what each was for, the limits.
//!
//! Owns the commits under way and their bound; it must not know what a domain is.

use std::collections::BTreeMap;

use jitsu_proto::{Facts, Name};

use super::message::{Effect, Seq, Ticket};
#[cfg_attr(not(test), allow(unused_imports))]
use super::planted::Planted;
use crate::limits::Limits;
use crate::record::{Ask, Caller, Record};

/// What a commit under way was asked for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// A call about a domain was asked.
    Asked(Name),
    /// What a domain was seen to be, or what came of a call about it.
    Told(Name),
    /// A call about a service: answered when durable.
    Service(Box<ServiceCall>),
    /// Nothing follows from it.
    Note,
}

/// A call about a service, while it waits for its commit.
#[derive(Debug, Clone)]
pub(super) struct ServiceCall {
    pub(super) ticket: Ticket,
    pub(super) caller: Caller,
    pub(super) trace: jitsu_proto::TraceId,
    pub(super) ask: Ask,
    pub(super) asked: std::time::Instant,
}

impl ServiceCall {
    /// Whether it is one commit and not two: counting is not worth an end of its own.
    pub(super) fn is_count(&self) -> bool {
        matches!(&self.ask, Ask::Count(_, Facts { .. }))
    }
}

/// See the head of this file.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) limits: Limits,
    next: u64,
    under_way: BTreeMap<Seq, Purpose>,
    #[cfg(test)]
    pub(super) planted: Option<Planted>,
}

impl Desk {
    pub(super) fn new(limits: Limits) -> Desk {
        Desk {
            limits,
            next: 0,
            under_way: BTreeMap::new(),
            #[cfg(test)]
            planted: None,
        }
    }

    /// Asks for a commit.
    pub(super) fn record(
        &mut self,
        record: Record,
        purpose: Purpose,
        out: &mut Vec<Effect>,
    ) -> Seq {
        self.next += 1;
        let seq = Seq(self.next);
        self.under_way.insert(seq, purpose);
        out.push(Effect::Commit(seq, Box::new(record)));
        seq
    }

    /// What the commit was for that is no longer under way.
    pub(super) fn take(&mut self, seq: Seq) -> Purpose {
        self.under_way.remove(&seq).expect("BUG: a commit ended that was not asked for")
    }

    /// Whether no more calls can be taken. A call has at most two commits, and a domain at most
    /// one of its own, so that this bounds them all.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= self.limits.calls_max
    }

    /// Commits under way.
    #[cfg(test)]
    pub(super) fn load(&self) -> usize {
        self.under_way.len()
    }

    /// Whether this bug was planted, to see that the simulation finds it.
    #[cfg(test)]
    pub(super) fn planted(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// Bugs are planted in tests only.
    #[cfg(not(test))]
    pub(super) fn planted(&self, _: super::planted::Planted) -> bool {
        false
    }
}
