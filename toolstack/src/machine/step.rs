//! What follows from a domain's state: the next action, the answers, the news.
//!
//! Owns the order: act, tell, answer, write down. It runs after every input that touched the
//! domain, and looks at nothing but the state, so that it does not matter which input that was.

use jitsu_proto::{DomainState, DomainStatus, ErrorCode, Event, Response, RpcError, Wanted};

use super::desk::{Desk, Purpose};
use super::domain::{Domain, Goal, Recorded, Waiter};
use super::message::{Effect, Intent, Now, Target};
use super::planted::Planted;
use crate::plan::{Action, Observed};
use crate::record::{Author, Outcome, Phase, Record, Seen, Subject, Write};

impl Domain {
    /// Brings out everything that follows from the state as it is now.
    pub(super) fn step(&mut self, now: Now, desk: &mut Desk, out: &mut Vec<Effect>) {
        self.expire(now);
        self.act(now, desk, out);
        self.publish(now, out);
        self.settle(now, desk, out);
        self.write_down(now, desk, out);
    }

    fn act(&mut self, now: Now, desk: &Desk, out: &mut Vec<Effect>) {
        if self.op.is_some() && !desk.planted(Planted::TwoActions) {
            return;
        }
        let Some(action) = self.next_action().filter(|action| !self.is_held_back(*action)) else {
            return;
        };
        let is_durable = self.tentative.is_empty() || desk.planted(Planted::UnpauseEarly);
        if !is_durable && !action.is_hidden() {
            return;
        }
        let target = match (action, &self.handle, &self.intent) {
            (Action::Create | Action::Resume, _, Some(intent)) => {
                Target::Spec(Box::new(intent.spec.clone()))
            }
            (Action::Create | Action::Resume, _, None) => {
                unreachable!("BUG: {} is to be made without a spec", self.name)
            }
            (Action::Discard, ..) => Target::Saved,
            (_, Some(handle), _) => Target::Handle(handle.clone()),
            (_, None, _) => unreachable!("BUG: {action:?} of {} without a handle", self.name),
        };
        if desk.planted(Planted::TwoActions) {
            self.op = None;
        }
        let trace = self.waiters.last().map(|waiter| waiter.trace).unwrap_or_default();
        self.begin(now, action);
        if desk.planted(Planted::PublishEarly) {
            self.disguise = None;
        }
        out.push(Effect::Act { name: self.name.clone(), action, target, trace });
    }

    /// Whether what is there is `wanted`, and stays so.
    fn is(&self, wanted: Wanted) -> bool {
        let is = match wanted {
            Wanted::Running => self.observed == Observed::Running,
            Wanted::Paused => matches!(self.observed, Observed::Paused | Observed::Built),
            Wanted::Suspended => matches!(self.observed, Observed::Suspended | Observed::Absent),
            Wanted::Shutdown | Wanted::Absent => self.observed == Observed::Absent,
        };
        is && self.op.is_none()
    }

    /// Whether nothing will happen until a deadline or somebody's call.
    fn is_stuck(&self) -> bool {
        let next = self.next_action();
        self.op.is_none() && next.is_some_and(|action| self.is_held_back(action))
    }

    /// What came of the call that `waiter` is, if its end has come.
    fn verdict(
        &self,
        now: Now,
        waiter: &Waiter,
        desk: &Desk,
    ) -> Option<Result<Response, RpcError>> {
        if waiter.deadline <= now.instant && !desk.planted(Planted::NeverTimeOut) {
            let waited = desk.limits.want_timeout;
            let text = format!("domain {} did not get there within {waited}", self.name);
            return Some(Err(RpcError::new(ErrorCode::Timeout, text)));
        }
        if !waiter.durable && !desk.planted(Planted::ReplyEarly) {
            return None;
        }
        let superseded = || {
            let text = format!("another call wants domain {} otherwise", self.name);
            Some(Err(RpcError::new(ErrorCode::Superseded, text)))
        };
        match (waiter.goal, &self.intent) {
            (Goal::Defined, _) => Some(Ok(Response::Done)),
            (Goal::Undefined, Some(_)) => superseded(),
            (Goal::Undefined, None) => self.is(Wanted::Absent).then_some(Ok(Response::Done)),
            (Goal::Is(wanted), intent) if is_same(wanted, intent.as_ref()) => {
                if self.is(wanted) {
                    Some(Ok(Response::Domain(self.status(now))))
                } else {
                    (self.given_up || self.is_stuck()).then(|| Err(self.refusal()))
                }
            }
            (Goal::Is(_), _) => superseded(),
        }
    }

    fn is_durably(&self, wanted: Wanted) -> bool {
        self.intent.as_ref().is_some_and(|intent| intent.wanted == wanted)
    }

    fn refusal(&self) -> RpcError {
        match &self.last_error {
            Some(refusal) => RpcError::new(refusal.code, refusal.text.clone()),
            None => RpcError::new(ErrorCode::Hypervisor, format!("domain {} failed", self.name)),
        }
    }

    /// Answers the calls whose end has come, and writes down what came of them.
    fn settle(&mut self, now: Now, desk: &mut Desk, out: &mut Vec<Effect>) {
        let mut at = 0;
        while at < self.waiters.len() {
            let Some(verdict) = self.verdict(now, &self.waiters[at], desk) else {
                at += 1;
                continue;
            };
            let waiter = self.waiters.remove(at);
            let outcome = match &verdict {
                Ok(_) => Outcome::Ok,
                Err(error) => Outcome::Failed(error.code, error.text.clone()),
            };
            let record = self.done_record(now, &waiter, outcome);
            out.push(Effect::Reply(waiter.ticket, verdict.clone()));
            if desk.planted(Planted::ReplyTwice) {
                out.push(Effect::Reply(waiter.ticket, verdict));
            }
            let forgets = record.writes.contains(&Write::Forget);
            let seq = desk.record(record, Purpose::Told(self.name.clone()), out);
            if forgets {
                self.recording = Some(seq);
            }
        }
    }

    fn done_record(&mut self, now: Now, waiter: &Waiter, outcome: Outcome) -> Record {
        let writes = match (waiter.goal, &outcome) {
            (Goal::Undefined, Outcome::Ok) => {
                self.recorded = Recorded::Nothing;
                self.news = None;
                vec![Write::Forget]
            }
            (Goal::Is(_), _) if self.op.is_none() && self.intent.is_some() => {
                let seen = self.seen(now);
                self.recorded = Recorded::Seen(seen.clone());
                self.news = None;
                vec![Write::Seen(seen)]
            }
            _ => Vec::new(),
        };
        Record {
            subject: Subject::Domain(self.name.clone()),
            writes,
            author: Author::Caller(waiter.caller.clone()),
            trace: waiter.trace,
            method: waiter.method,
            arguments: waiter.arguments.clone(),
            phase: Phase::Done,
            outcome: Some(outcome),
            duration: Some(now.instant - waiter.asked),
        }
    }

    /// Tells the store what was seen, unless it knows.
    fn write_down(&mut self, now: Now, desk: &mut Desk, out: &mut Vec<Effect>) {
        let is_settled = self.op.is_none()
            && self.tentative.is_empty()
            && self.recording.is_none()
            && self.record_at.is_none()
            && !matches!(self.observed, Observed::ShuttingDown { .. });
        if !is_settled {
            return;
        }
        let Some(intent) = &self.intent else {
            return self.write_off(desk, out);
        };
        let is_unwanted = self.given_up && intent.wanted != Wanted::Absent;
        let seen = self.seen(now);
        let is_known = match &self.recorded {
            Recorded::Seen(recorded) => recorded.is_same(&seen),
            // A domain that never was is nothing to tell.
            Recorded::Nothing => seen.state == DomainState::Absent,
            Recorded::Unknown => false,
        };
        if !is_unwanted && is_known && self.news.is_none() {
            return;
        }
        let mut writes = vec![Write::Seen(seen.clone())];
        if is_unwanted {
            writes.push(Write::Wanted(Wanted::Absent));
        }
        let method = self.news.take().unwrap_or(match seen.state {
            DomainState::Running => "start",
            DomainState::Failed => "fail",
            DomainState::Paused => "pause",
            DomainState::Suspended => "suspend",
            DomainState::Absent | DomainState::Starting | DomainState::Stopping => "stop",
        });
        let mut record = Record::own(Subject::Domain(self.name.clone()), method, writes);
        if let Some(error) = &self.last_error {
            record.outcome = Some(Outcome::Failed(error.code, error.text.clone()));
        }
        self.recorded = Recorded::Seen(seen);
        self.recording = Some(desk.record(record, Purpose::Told(self.name.clone()), out));
    }

    /// Has the store forget a domain that is not defined and not there.
    fn write_off(&mut self, desk: &mut Desk, out: &mut Vec<Effect>) {
        let is_told = matches!(self.recorded, Recorded::Nothing) && self.news.is_none();
        if is_told || !self.is_gone() {
            return;
        }
        let method = self.news.take().unwrap_or("clean-up");
        let subject = Subject::Domain(self.name.clone());
        let record = Record::own(subject, method, vec![Write::Forget]);
        self.recorded = Recorded::Nothing;
        self.recording = Some(desk.record(record, Purpose::Told(self.name.clone()), out));
    }

    /// Tells subscribers, once what they would see is durable.
    fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.tentative.is_empty() {
            return;
        }
        if self.intent.is_none() {
            if self.is_gone() && self.visible.take().is_some() {
                out.push(Effect::Publish(Event::DomainGone(self.name.clone())));
            }
            return;
        }
        let mut status = self.status(now);
        if self.visible.as_ref() != Some(&status) {
            // The clock puts it above whatever an earlier daemon told.
            self.version = (self.version + 1).max(now.wall_ms * 1000);
            status.version = self.version;
            out.push(Effect::Publish(Event::Domain(status.clone())));
            self.visible = Some(status);
        }
    }

    fn state(&self) -> DomainState {
        // What is visible follows from what is durable.
        if let Some(disguise) = self.disguise {
            return disguise;
        }
        let is_gone = !self.is_durably(Wanted::Running) && !self.is_durably(Wanted::Paused);
        match self.op {
            Some(Action::Create | Action::Resume | Action::Unpause) => DomainState::Starting,
            Some(Action::Pause) => DomainState::Running,
            Some(Action::Suspend | Action::Shutdown | Action::Destroy | Action::Discard) => {
                DomainState::Stopping
            }
            None => match self.observed {
                Observed::Absent if self.is_stuck() && !is_gone => DomainState::Failed,
                Observed::Absent => DomainState::Absent,
                Observed::Built if self.is_durably(Wanted::Running) => DomainState::Starting,
                Observed::Built | Observed::Paused => DomainState::Paused,
                Observed::Running => DomainState::Running,
                Observed::Suspended => DomainState::Suspended,
                Observed::ShuttingDown { .. } => DomainState::Stopping,
                Observed::Broken => DomainState::Failed,
            },
        }
    }

    /// The domain as a client sees it.
    pub(super) fn status(&self, now: Now) -> DomainStatus {
        let state = self.state();
        let handle = self.handle.as_ref().filter(|_| self.disguise.is_none());
        let before = self.visible.as_ref().filter(|before| before.state == state);
        DomainStatus {
            name: self.name.clone(),
            wanted: self.intent.as_ref().map_or(Wanted::Absent, |intent| intent.wanted),
            state,
            address: handle.and_then(|handle| handle.address),
            id: handle.map(|handle| handle.id),
            since_ms: before.map_or(now.wall_ms, |before| before.since_ms),
            boots: self.boots,
            error: self.last_error.as_ref().map(|error| error.text.clone()),
            timing: self.boot.map(|boot| boot.timing),
            version: self.version,
        }
    }

    /// The domain as the store keeps it.
    fn seen(&self, now: Now) -> Seen {
        let status = self.status(now);
        Seen {
            state: status.state,
            address: status.address,
            id: status.id,
            error: status.error,
            since_ms: status.since_ms,
        }
    }
}

/// Whether `wanted` is what is durably wanted: gone is gone, in whichever way.
fn is_same(wanted: Wanted, intent: Option<&Intent>) -> bool {
    let is_gone = |wanted| matches!(wanted, Wanted::Shutdown | Wanted::Absent);
    let durable = intent.map_or(Wanted::Absent, |intent| intent.wanted);
    wanted == durable || (is_gone(wanted) && is_gone(durable))
}
