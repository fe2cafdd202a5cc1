//! One domain: what is wanted of it, what is there, what is being done about it.
//!
//! Owns the domain's state and how each input changes it; what follows from the state is
//! [`super::step`]'s. It must not know other domains.
//!
//! ```text
//!                 create            unpause
//!   Absent ─────────────▶ Built ─────────────▶ Running ◀──────▶ Paused
//!    ▲ ▲ ▲                  │ │ fails            │ │   (un)pause  │
//!    │ │ │      destroy     │ └──▶ Broken        │ │ suspend      │
//!    │ │ └──────────────────┘        │           │ ▼              │
//!    │ └──────── destroy ────────────┘           │ Suspended ─────┘ resume
//!    │                     shutdown              │
//!    └──────── ends, or destroyed ── ShuttingDown ◀┘
//! ```
//!
//! Any of them becomes Absent when the guest ends by itself.

use std::collections::VecDeque;
use std::time::Instant;

use jitsu_proto::{
    DomainState, DomainStatus, ErrorCode, Name, OnCrash, OnReboot, Timing, TraceId, Wanted,
};

use super::message::{Found, Intent, Now, Refusal, Seq, Ticket};
use crate::hypervisor::{End, Existing, Handle};
use crate::limits::Limits;
use crate::plan::{Action, Observed, plan, remove};
use crate::record::{Caller, Seen};

/// One domain.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) name: Name,
    /// What is durably wanted. None: it is not defined (yet, or any more).
    pub(super) intent: Option<Intent>,
    /// What was asked and is not durable yet, oldest first.
    pub(super) tentative: VecDeque<(Seq, Wanted)>,
    pub(super) observed: Observed,
    pub(super) handle: Option<Handle>,
    /// It ended before we heard that it was made.
    ended_early: Option<(u32, End)>,
    /// The action under way: one at a time.
    pub(super) op: Option<Action>,
    /// What to show instead of what is there, while it is there only because of something that
    /// was never durable.
    pub(super) disguise: Option<DomainState>,
    pub(super) grace_until: Option<Instant>,
    pub(super) failure: Option<Failure>,
    /// Starts that failed, and crashes, in a row.
    attempts: u32,
    started: Option<Instant>,
    /// It ended by itself and is not to be started again until somebody asks.
    pub(super) given_up: bool,
    pub(super) waiters: Vec<Waiter>,
    pub(super) recorded: Recorded,
    /// The commit that tells what was seen, while it is under way.
    pub(super) recording: Option<Seq>,
    pub(super) record_at: Option<Instant>,
    /// What happened to it that nobody asked for, since the store was last told.
    pub(super) news: Option<&'static str>,
    /// What clients were last told of it.
    pub(super) visible: Option<DomainStatus>,
    pub(super) last_error: Option<Refusal>,
    pub(super) boots: u64,
    /// The version of what clients were last told.
    pub(super) version: u64,
    pub(super) boot: Option<Boot>,
    /// Where it stands in the machine's timers.
    pub(super) timer: Option<Instant>,
}

/// What the store was last told of a domain.
#[derive(Debug, Clone)]
pub(super) enum Recorded {
    /// Nothing, or to forget it.
    Nothing,
    /// This.
    Seen(Seen),
    /// Something, and nobody knows what: telling failed.
    Unknown,
}

/// An action that failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) action: Action,
    /// None: not until somebody asks.
    pub(super) retry_at: Option<Instant>,
}

/// The steps of one start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Boot {
    asked: Instant,
    pub(super) timing: Timing,
}

/// A call that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) seq: Seq,
    pub(super) goal: Goal,
    pub(super) durable: bool,
    pub(super) asked: Instant,
    pub(super) deadline: Instant,
    pub(super) caller: Caller,
    pub(super) trace: TraceId,
    pub(super) method: &'static str,
    pub(super) arguments: String,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// That its commit is durable.
    Defined,
    /// That nothing is left.
    Undefined,
    /// That the domain is this.
    Is(Wanted),
}

impl Domain {
    pub(super) fn new(name: Name) -> Domain {
        Domain {
            name,
            intent: None,
            tentative: VecDeque::new(),
            observed: Observed::Absent,
            handle: None,
            ended_early: None,
            op: None,
            disguise: None,
            grace_until: None,
            failure: None,
            attempts: 0,
            started: None,
            given_up: false,
            waiters: Vec::new(),
            recorded: Recorded::Nothing,
            recording: None,
            record_at: None,
            news: None,
            visible: None,
            last_error: None,
            boots: 0,
            version: 0,
            boot: None,
            timer: None,
        }
    }

    /// As it was found when the daemon started.
    pub(super) fn found(found: Found, now: Now) -> Domain {
        let mut domain = Domain::new(found.name);
        let was_there = found.exists.is_some() || found.saved;
        domain.intent = found.intent;
        // Something to tell the store when it is cleaned away, even if the store never knew it.
        domain.news = (was_there && domain.intent.is_none()).then_some("clean-up");
        domain.recorded = found.recorded.map_or(Recorded::Nothing, Recorded::Seen);
        if let Some((handle, state)) = found.exists {
            domain.observed = match state {
                Existing::Built => Observed::Built,
                Existing::Running => Observed::Running,
                Existing::Paused => Observed::Paused,
            };
            let known = match &domain.recorded {
                Recorded::Seen(seen) => seen.id == Some(handle.id),
                Recorded::Nothing | Recorded::Unknown => false,
            };
            domain.news = domain.news.or((!known).then_some("adopt"));
            domain.started = Some(now.instant);
            domain.handle = Some(handle);
        } else if found.saved {
            domain.observed = Observed::Suspended;
        }
        domain
    }

    /// What is wanted now, durable or not.
    pub(super) fn wanted(&self) -> Wanted {
        match (self.tentative.back(), &self.intent) {
            (Some((_, wanted)), _) => *wanted,
            (None, Some(intent)) if !self.given_up => intent.wanted,
            (None, _) => Wanted::Absent,
        }
    }

    /// What comes next, if anything.
    pub(super) fn next_action(&self) -> Option<Action> {
        match &self.intent {
            Some(intent) => plan(&intent.spec, self.observed, self.wanted()).first().copied(),
            None => remove(self.observed),
        }
    }

    /// Whether `action` must wait because it failed not long ago.
    pub(super) fn is_held_back(&self, action: Action) -> bool {
        self.failure.as_ref().is_some_and(|failure| {
            failure.action == action || (failure.action.is_start() && action.is_start())
        })
    }

    /// Somebody asked: what failed before is tried again at once.
    pub(super) fn try_again(&mut self) {
        self.failure = None;
        self.given_up = false;
        self.attempts = 0;
    }

    /// A commit of a waiter is durable: what it asked for is no longer tentative.
    pub(super) fn committed(&mut self, now: Now, seq: Seq) {
        let is_it = |(tentative, wanted): &(Seq, Wanted)| *tentative == seq && is_start(*wanted);
        if self.tentative.iter().any(is_it) {
            self.disguise = None;
        }
        self.tentative.retain(|(tentative, _)| *tentative != seq);
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.seq == seq) {
            waiter.durable = true;
        }
        if let Some(boot) = &mut self.boot
            && boot.timing.durable_us == 0
        {
            boot.timing.durable_us = boot.since_asked(now);
        }
    }

    /// A commit of a waiter failed: what it asked for was never asked.
    pub(super) fn withdraw(&mut self, seq: Seq) -> Option<Waiter> {
        self.tentative.retain(|(tentative, _)| *tentative != seq);
        let at = self.waiters.iter().position(|waiter| waiter.seq == seq)?;
        Some(self.waiters.remove(at))
    }

    /// What `main` holds of it changed.
    pub(super) fn changed(&mut self, intent: Option<Intent>) {
        if intent != self.intent && self.tentative.is_empty() {
            self.try_again();
        }
        self.intent = intent;
        if self.intent.as_ref().is_some_and(|intent| is_start(intent.wanted)) {
            self.disguise = None;
        }
    }

    /// It ended by itself.
    pub(super) fn ended(&mut self, now: Now, id: u32, how: End, limits: &Limits) {
        if self.handle.as_ref().is_some_and(|handle| handle.id == id) {
            self.gone(now, how, limits);
        } else if matches!(self.op, Some(Action::Create | Action::Resume)) {
            self.ended_early = Some((id, how));
        }
    }

    fn gone(&mut self, now: Now, how: End, limits: &Limits) {
        let was = std::mem::replace(&mut self.observed, Observed::Absent);
        self.handle = None;
        self.disguise = None;
        self.grace_until = None;
        self.boot = None;
        let is_leaving = matches!(was, Observed::ShuttingDown { .. } | Observed::Broken);
        let is_wanted = is_start(self.wanted());
        let Some(intent) = self.intent.as_ref().filter(|_| is_wanted && !is_leaving) else {
            return;
        };
        self.last_error = Some(Refusal { code: ErrorCode::Hypervisor, text: how.to_string() });
        self.news = Some("ended");
        let is_restarted = match how {
            End::Rebooted => intent.spec.on_reboot == OnReboot::Restart,
            _ => intent.spec.on_crash == OnCrash::Restart,
        };
        if !is_restarted {
            self.given_up = true;
            return;
        }
        let stable = limits.stable_after.duration();
        if self.started.is_some_and(|started| now.instant - started >= stable) {
            self.attempts = 0;
        }
        self.fail(now, Action::Create, limits);
    }

    /// Notes that `action` failed, and when it may be tried again.
    fn fail(&mut self, now: Now, action: Action, limits: &Limits) {
        self.attempts = self.attempts.saturating_add(1);
        let is_last = action.is_start() && self.attempts >= limits.attempts_max;
        let doubled = limits.backoff_min.0 << (self.attempts - 1).min(20);
        let wait = jitsu_proto::Millis(doubled.min(limits.backoff_max.0)).duration();
        self.failure = Some(Failure { action, retry_at: (!is_last).then(|| now.instant + wait) });
    }

    /// The action under way came to its end.
    pub(super) fn acted(
        &mut self,
        now: Now,
        action: Action,
        result: Result<Option<Handle>, Refusal>,
        limits: &Limits,
    ) {
        assert_eq!(
            self.op,
            Some(action),
            "BUG: an action of {} ended that was not begun",
            self.name
        );
        self.op = None;
        let is_undone = matches!(action, Action::Destroy | Action::Suspend | Action::Discard);
        if is_undone || (action.is_hidden() && result.is_err()) {
            self.disguise = None;
        }
        let ended_early = self.ended_early.take();
        match result {
            Ok(handle) => {
                self.succeeded(now, action, handle, limits);
                let id = self.handle.as_ref().map(|handle| handle.id);
                if let Some((_, how)) = ended_early.filter(|(ended, _)| Some(*ended) == id) {
                    self.gone(now, how, limits);
                }
            }
            Err(refusal) if refusal.code == ErrorCode::NotFound && !self.is_making(action) => {
                if self.observed != Observed::Absent {
                    self.gone(now, End::Gone, limits);
                }
            }
            Err(refusal) => self.failed(now, action, refusal, limits),
        }
    }

    fn is_making(&self, action: Action) -> bool {
        action == Action::Create && self.observed == Observed::Absent
    }

    fn succeeded(&mut self, now: Now, action: Action, handle: Option<Handle>, limits: &Limits) {
        if self.failure.as_ref().is_some_and(|failure| failure.action == action) {
            self.failure = None;
        }
        // It may have ended by itself meanwhile: then there is nothing to stop or to let run.
        let is_there = self.handle.is_some();
        match action {
            Action::Create | Action::Resume => {
                assert!(handle.is_some(), "BUG: a domain was made without a handle");
                self.handle = handle;
                let is_new = action == Action::Create;
                self.observed = if is_new { Observed::Built } else { Observed::Paused };
                if let Some(boot) = &mut self.boot {
                    boot.timing.created_us = boot.since_asked(now);
                }
            }
            Action::Unpause if is_there => self.running(now),
            Action::Pause if is_there => self.observed = Observed::Paused,
            Action::Suspend => {
                self.observed = Observed::Suspended;
                self.handle = None;
            }
            Action::Shutdown if is_there => {
                let grace = self
                    .intent
                    .as_ref()
                    .map_or(limits.backoff_max, |intent| intent.spec.shutdown_grace);
                self.observed = Observed::ShuttingDown { overdue: false };
                self.grace_until = Some(now.instant + grace.duration());
            }
            Action::Destroy | Action::Discard => {
                self.observed = Observed::Absent;
                self.handle = None;
                self.grace_until = None;
            }
            Action::Unpause | Action::Pause | Action::Shutdown => {}
        }
    }

    fn running(&mut self, now: Now) {
        self.observed = Observed::Running;
        self.started = Some(now.instant);
        self.boots += 1;
        self.last_error = None;
        if let Some(boot) = &mut self.boot {
            boot.timing.unpaused_us = boot.since_asked(now);
        }
    }

    fn failed(&mut self, now: Now, action: Action, refusal: Refusal, limits: &Limits) {
        if action == Action::Unpause && self.observed == Observed::Built {
            self.observed = Observed::Broken;
        }
        self.last_error = Some(refusal);
        self.fail(now, action, limits);
    }

    /// Takes the action as begun.
    pub(super) fn begin(&mut self, now: Now, action: Action) {
        assert!(self.op.is_none(), "BUG: two actions at once on {}", self.name);
        self.op = Some(action);
        let is_due = self.intent.as_ref().is_some_and(|intent| is_start(intent.wanted));
        if action.is_hidden() && !is_due {
            let is_saved = action == Action::Resume;
            self.disguise =
                Some(if is_saved { DomainState::Suspended } else { DomainState::Absent });
        }
        if matches!(action, Action::Create | Action::Resume) {
            let asking =
                |waiter: &&Waiter| matches!(waiter.goal, Goal::Is(wanted) if is_start(wanted));
            let waiter = self.waiters.iter().find(asking);
            let asked = waiter.map_or(now.instant, |waiter| waiter.asked);
            let mut boot = Boot { asked, timing: Timing::default() };
            if waiter.is_some_and(|waiter| waiter.durable) {
                boot.timing.durable_us = boot.since_asked(now);
            }
            self.boot = Some(boot);
        }
    }

    /// Forgets the moments that have come.
    pub(super) fn expire(&mut self, now: Now) {
        let is_over = |at: &Instant| *at <= now.instant;
        if self
            .failure
            .as_ref()
            .is_some_and(|failure| failure.retry_at.as_ref().is_some_and(is_over))
        {
            self.failure = None;
        }
        self.record_at = self.record_at.filter(|at| !is_over(at));
        if self.op.is_none() && self.grace_until.as_ref().is_some_and(is_over) {
            self.grace_until = None;
            self.observed = Observed::ShuttingDown { overdue: true };
        }
    }

    /// The next moment at which something changes by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let retry = self.failure.as_ref().and_then(|failure| failure.retry_at);
        let grace = self.grace_until.filter(|_| self.op.is_none());
        let waiters = self.waiters.iter().map(|waiter| waiter.deadline);
        waiters.chain(retry).chain(grace).chain(self.record_at).min()
    }

    /// Whether it is not defined, and nothing of it is there or on its way.
    pub(super) fn is_gone(&self) -> bool {
        self.intent.is_none()
            && self.observed == Observed::Absent
            && self.op.is_none()
            && self.tentative.is_empty()
    }

    /// Whether nothing is left to know of it, here and in the store.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_gone()
            && self.waiters.is_empty()
            && self.recording.is_none()
            && matches!(self.recorded, Recorded::Nothing)
            && self.news.is_none()
    }

    /// The commit that tells what was seen, or that it is to be forgotten, came to its end.
    pub(super) fn told(&mut self, seq: Seq, is_durable: bool, retry_at: Instant) {
        if self.recording == Some(seq) {
            self.recording = None;
        }
        if !is_durable {
            self.recorded = Recorded::Unknown;
            self.record_at = Some(retry_at);
        }
    }
}

/// Whether it is wanted to exist.
fn is_start(wanted: Wanted) -> bool {
    matches!(wanted, Wanted::Running | Wanted::Paused)
}

impl Boot {
    /// Microseconds from when it was asked; at least one, so that zero means "not yet".
    fn since_asked(&self, now: Now) -> u64 {
        u64::try_from((now.instant - self.asked).as_micros()).unwrap_or(u64::MAX).max(1)
    }
}
