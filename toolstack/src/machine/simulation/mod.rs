//! The machine in a world of its own: virtual time, a fake hypervisor, a store that is a map, a
//! seed. Everything that can go wrong does, and crosses every deadline.
//!
//! Owns that world and what must always hold in it; [`tests`] runs it.

mod store;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jitsu_proto::{
    DomainSpec, DomainState, Event, Guest, Millis, Name, OnCrash, OnReboot, Response, Role,
    RpcError, TraceId, Wanted,
};

use super::planted::Planted;
use super::{Change, Effect, Found, Input, Machine, Now, Refusal, Seq, Ticket};
use crate::hypervisor::fake::{Call, Faults, World};
use crate::hypervisor::{End, Existing, Handle};
use crate::limits::Limits;
use crate::plan::Action;
use crate::record::{Ask, Caller, Phase, Record};
use store::Kept;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// How long faults go on, in steps.
const STEPS: usize = 100;

fn limits() -> Limits {
    Limits {
        calls_max: 8,
        waiters_max: 4,
        want_timeout: Millis(2000),
        attempts_max: 3,
        backoff_min: Millis(50),
        backoff_max: Millis(400),
        stable_after: Millis(1000),
        record_retry: Millis(100),
        ..Limits::default()
    }
}

/// Commits that may be under way: each call's, the end of each that waits, and one or two of
/// the machine's own for each domain.
const LOAD_MAX: usize = 8 + 4 * NAMES.len() + 2 * NAMES.len();

/// What happens at its time.
enum Coming {
    /// The hypervisor does what it was told.
    Do(Name, Action),
    /// What came of it is heard.
    Hear(Box<Input>),
    /// All commits that wait become durable, or fail.
    Flush,
    /// A guest that was asked to go goes.
    Obey(Name, u32),
}

/// A call whose answer is due.
struct Call_ {
    seq: Option<Seq>,
    wanted: Option<Wanted>,
}

pub(super) struct Sim {
    machine: Machine,
    now: Now,
    chance: u64,
    world: World,
    kept: Kept,
    flushing: bool,
    coming: BTreeMap<(Instant, u64), Coming>,
    last_coming: u64,
    last_ticket: u64,
    open: BTreeMap<Ticket, Call_>,
    answered: BTreeSet<Ticket>,
    acting: BTreeMap<Name, Action>,
    /// Starts under way that were durably asked for, whatever is wanted now.
    due: BTreeSet<Name>,
    commit_latency_max: Duration,
    commit_failing_permille: u64,
    planted: Option<Planted>,
}

impl Sim {
    pub(super) fn new(seed: u64, planted: Option<Planted>) -> Sim {
        let mut sim = Sim {
            machine: Machine::new(limits()),
            now: Now { instant: Instant::now(), wall_ms: 1_000_000 },
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            world: World::new(seed, Faults::NONE),
            kept: Kept::default(),
            flushing: false,
            coming: BTreeMap::new(),
            last_coming: 0,
            last_ticket: 0,
            open: BTreeMap::new(),
            answered: BTreeSet::new(),
            acting: BTreeMap::new(),
            due: BTreeSet::new(),
            commit_latency_max: Duration::ZERO,
            commit_failing_permille: 0,
            planted,
        };
        sim.machine.desk.planted = planted;
        // Some seeds are calm in one way and wild in another.
        let latencies = [1, 100, 5000].map(Duration::from_millis);
        sim.world.faults.latency_max = latencies[sim.below(3)];
        sim.world.faults.failing_permille = [0, 50, 400][sim.below(3)];
        sim.commit_latency_max = latencies[sim.below(3)];
        sim.commit_failing_permille = [0, 50, 400][sim.below(3)];
        sim
    }

    /// Runs everything, and panics where something does not hold.
    pub(super) fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.calm_down();
        self.check_end();
    }

    fn random(&mut self) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() % bound as u64).expect("a small number")
    }

    fn name(&mut self) -> Name {
        Name::new(NAMES[self.below(NAMES.len())]).expect("a name")
    }

    fn wanted(&mut self) -> Wanted {
        let all = [
            Wanted::Running,
            Wanted::Running,
            Wanted::Paused,
            Wanted::Suspended,
            Wanted::Shutdown,
            Wanted::Absent,
        ];
        all[self.below(all.len())]
    }

    fn spec(&mut self) -> DomainSpec {
        let mut spec = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
        spec.memory_mib = 1 + u32::try_from(self.below(3)).expect("a small number");
        spec.on_crash = [OnCrash::Destroy, OnCrash::Restart][self.below(2)];
        spec.on_reboot = [OnReboot::Destroy, OnReboot::Restart][self.below(2)];
        spec.shutdown_grace = Millis([0, 300, 3000][self.below(3)]);
        spec
    }

    /// One thing that happens: from outside, or because its time has come.
    fn step(&mut self) {
        match self.below(20) {
            0..3 => {
                let (name, spec) = (self.name(), Box::new(self.spec()));
                self.ask(Ask::Define(name, spec));
            }
            3..8 => {
                let (name, wanted) = (self.name(), self.wanted());
                self.ask(Ask::Want(name, wanted));
            }
            8 => {
                let name = self.name();
                self.ask(Ask::Undefine(name));
            }
            9 => self.guest_ends(),
            10 => self.person_changes(),
            11 if self.below(6) == 0 => self.restart(),
            12 => {
                for _ in 0..6 {
                    let (name, wanted) = (self.name(), self.wanted());
                    self.ask(Ask::Want(name, wanted));
                }
            }
            _ => drop(self.advance(Duration::from_secs(10))),
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let wanted = match &ask {
            Ask::Want(_, wanted) => Some(*wanted),
            _ => None,
        };
        self.open.insert(ticket, Call_ { seq: None, wanted });
        let role = Some(Role::Admin);
        let caller = Caller { uid: 1, gid: 1, pid: 1, program: "sim".to_owned(), role };
        self.handle(Input::Asked { ticket, caller, trace: TraceId(1), ask });
    }

    fn guest_ends(&mut self) {
        let name = self.name();
        let how = [End::Exited(1), End::Rebooted][self.below(2)];
        if let Some(ended) = self.world.end(&name, how) {
            let heard = Coming::Hear(Box::new(Input::Ended(ended)));
            self.later(Duration::from_millis(20), heard);
        }
    }

    /// A branch is merged that changes what is wanted, or a spec, or removes a domain.
    fn person_changes(&mut self) {
        let name = self.name();
        let Some(mut intent) = self.kept.main.get(&name).cloned() else { return };
        let intent = match self.below(3) {
            0 => None,
            1 => {
                intent.wanted = self.wanted();
                Some(intent)
            }
            _ => {
                intent.spec = self.spec();
                Some(intent)
            }
        };
        self.kept.set(&name, intent.clone());
        self.handle(Input::Changed(Change::Domain(name, intent.map(Box::new))));
    }

    /// The daemon is killed, and started again. What was under way happened, or did not.
    fn restart(&mut self) {
        for (_, coming) in std::mem::take(&mut self.coming) {
            let happens = self.below(2) == 0;
            match coming {
                Coming::Do(name, action) if happens => drop(self.do_it(&name, action)),
                Coming::Flush if happens => drop(self.kept.flush()),
                Coming::Obey(name, id) if happens => drop(self.obey(&name, id)),
                _ => {}
            }
        }
        self.kept.waiting.clear();
        self.flushing = false;
        self.acting.clear();
        self.due.clear();
        // Whoever waited lost the connection.
        self.open.clear();
        self.machine = Machine::new(limits());
        self.machine.desk.planted = self.planted;
        let found = self.found();
        let mut out = Vec::new();
        self.machine.start(self.now, found, Vec::new(), &mut out);
        self.check_deadline();
        self.perform(out, None);
    }

    fn found(&self) -> Vec<Found> {
        let infos = self.world.list();
        let name = |name: &str| Name::new(name).expect("a name");
        let found = NAMES.map(|text| {
            let info = infos.iter().find(|info| info.handle.name.as_str() == text);
            Found {
                name: name(text),
                intent: self.kept.main.get(text).cloned(),
                exists: info.map(|info| (info.handle.clone(), info.state)),
                saved: self.world.is_saved(&name(text)),
                recorded: self.kept.seen.get(text).cloned(),
            }
        });
        let is_known = |found: &Found| {
            found.intent.is_some()
                || found.exists.is_some()
                || found.saved
                || found.recorded.is_some()
        };
        found.into_iter().filter(is_known).collect()
    }

    fn later(&mut self, max: Duration, coming: Coming) {
        let max_us = u64::try_from(max.as_micros()).expect("a short time").max(1);
        let after = Duration::from_micros(self.random() % max_us);
        self.last_coming += 1;
        self.coming.insert((self.now.instant + after, self.last_coming), coming);
    }

    /// Goes to the next moment at which something happens, if it is within `within`.
    /// False: nothing does.
    fn advance(&mut self, within: Duration) -> bool {
        let next = self.coming.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.machine.deadline();
        let Some(at) = [next, deadline].into_iter().flatten().min() else { return false };
        if at > self.now.instant + within {
            return false;
        }
        let passed = at - self.now.instant;
        self.now.instant = at;
        self.now.wall_ms += u64::try_from(passed.as_millis()).expect("a short time");
        if next != Some(at) {
            self.handle(Input::Tick);
            return true;
        }
        let (_, coming) = self.coming.pop_first().expect("looked at above");
        match coming {
            Coming::Do(name, action) => {
                let input = self.do_it(&name, action);
                let faults = self.world.faults.latency_max;
                self.later(faults.min(Duration::from_millis(50)), Coming::Hear(Box::new(input)));
            }
            Coming::Hear(input) => {
                if let Input::Acted { name, .. } = &*input {
                    self.acting.remove(name);
                }
                self.handle(*input);
            }
            Coming::Flush => self.flush(),
            Coming::Obey(name, id) => {
                if let Some(ended) = self.obey(&name, id) {
                    self.later(Duration::from_millis(20), Coming::Hear(Box::new(ended)));
                }
            }
        }
        true
    }

    fn do_it(&mut self, name: &Name, action: Action) -> Input {
        let call = match action {
            Action::Create => Call::Create,
            Action::Resume => Call::Resume,
            Action::Unpause => Call::Unpause,
            Action::Pause => Call::Pause,
            Action::Suspend => Call::Suspend,
            Action::Shutdown => Call::Shutdown,
            Action::Destroy => Call::Destroy,
            Action::Discard => Call::Discard,
        };
        let result = self.world.call(name, call);
        if let (Action::Shutdown, Ok(_), Some(handle)) = (action, &result, self.exists(name)) {
            // Beyond every grace, now and then.
            self.later(Duration::from_secs(4), Coming::Obey(name.clone(), handle.0.id));
        }
        Input::Acted { name: name.clone(), action, result: result.map_err(Refusal::from) }
    }

    fn obey(&mut self, name: &Name, id: u32) -> Option<Input> {
        let is_it = self.exists(name).is_some_and(|(handle, _)| handle.id == id);
        let ended = is_it.then(|| self.world.end(name, End::Exited(0))).flatten();
        ended.map(Input::Ended)
    }

    fn exists(&self, name: &Name) -> Option<(Handle, Existing)> {
        let infos = self.world.list();
        let info = infos.into_iter().find(|info| info.handle.name == *name);
        info.map(|info| (info.handle, info.state))
    }

    fn flush(&mut self) {
        self.flushing = false;
        if self.random() % 1000 < self.commit_failing_permille {
            for (seq, _) in std::mem::take(&mut self.kept.waiting) {
                let error = RpcError::new(jitsu_proto::ErrorCode::Storage, "no space");
                self.handle(Input::Committed { seq, result: Err(error) });
            }
            return;
        }
        let (changed, done) = self.kept.flush();
        for name in changed {
            let intent = self.kept.main.get(&name).cloned();
            self.handle(Input::Changed(Change::Domain(name, intent.map(Box::new))));
        }
        for (seq, result) in done {
            self.handle(Input::Committed { seq, result });
        }
        self.kept.asked.clear();
    }

    fn handle(&mut self, input: Input) {
        let asked = match &input {
            Input::Asked { ticket, .. } => Some(*ticket),
            _ => None,
        };
        self.note_due();
        let mut out = Vec::new();
        self.machine.handle(self.now, input, &mut out);
        self.check_deadline();
        assert!(self.machine.desk.load() <= LOAD_MAX, "too many commits are under way");
        self.perform(out, asked);
    }

    fn check_deadline(&self) {
        let deadline = self.machine.deadline();
        assert!(deadline.is_none_or(|at| at > self.now.instant), "a deadline that has passed");
    }

    fn perform(&mut self, effects: Vec<Effect>, asked: Option<Ticket>) {
        for effect in effects {
            match effect {
                Effect::Commit(seq, record) => self.commit(seq, *record, asked),
                Effect::Act { name, action, .. } => {
                    self.check_act(&name, action);
                    let latency = self.world.faults.latency_max;
                    self.later(latency, Coming::Do(name, action));
                }
                Effect::Reply(ticket, reply) => self.check_reply(ticket, &reply),
                Effect::Publish(event) => self.check_event(&event),
            }
        }
    }

    fn commit(&mut self, seq: Seq, record: Record, asked: Option<Ticket>) {
        if record.phase == Phase::Asked
            && let Some(call) = asked.and_then(|ticket| self.open.get_mut(&ticket))
        {
            call.seq = Some(seq);
        }
        self.kept.waiting.push((seq, record));
        if !self.flushing {
            self.flushing = true;
            self.later(self.commit_latency_max, Coming::Flush);
        }
    }

    fn check_act(&mut self, name: &Name, action: Action) {
        let before = self.acting.insert(name.clone(), action);
        assert_eq!(before, None, "two actions at once on {name}");
        let wanted = self.kept.main.get(name).map(|intent| intent.wanted);
        if action == Action::Unpause {
            let is_durable = matches!(wanted, Some(Wanted::Running | Wanted::Shutdown));
            assert!(is_durable, "{name} is let run and {wanted:?} is what is durably wanted");
        }
        self.note_due();
    }

    fn check_reply(&mut self, ticket: Ticket, reply: &Result<Response, RpcError>) {
        assert!(self.answered.insert(ticket), "{ticket:?} is answered twice");
        let call = self.open.remove(&ticket).expect("an answer for a ticket that is open");
        let Ok(response) = reply else { return };
        let seq = call.seq.expect("an answer without a commit");
        assert!(self.kept.durable.contains(&seq), "{ticket:?} is answered and not durable");
        if let (Response::Domain(status), Some(wanted)) = (response, call.wanted) {
            let expected: &[DomainState] = match wanted {
                Wanted::Running => &[DomainState::Running],
                Wanted::Paused => &[DomainState::Paused],
                Wanted::Suspended => &[DomainState::Suspended, DomainState::Absent],
                Wanted::Shutdown | Wanted::Absent => &[DomainState::Absent],
            };
            assert!(expected.contains(&status.state), "asked {wanted:?}, answered {status:?}");
        }
    }

    fn check_event(&self, event: &Event) {
        let Event::Domain(status) = event else { return };
        let wanted = self.kept.main.get(&status.name).map(|intent| intent.wanted);
        assert_eq!(wanted, Some(status.wanted), "{status:?} is told and not durable");
        if status.state == DomainState::Starting {
            let is_due = self.is_to_exist(&status.name) || self.due.contains(&status.name);
            assert!(is_due, "{status:?} is told and nobody durably asked for it");
        }
    }

    fn is_to_exist(&self, name: &Name) -> bool {
        let wanted = self.kept.main.get(name).map(|intent| intent.wanted);
        matches!(wanted, Some(Wanted::Running | Wanted::Paused | Wanted::Shutdown))
    }

    /// Notes the starts that were durably asked for: they may be seen even when that is withdrawn.
    fn note_due(&mut self) {
        for text in NAMES {
            let name = Name::new(text).expect("a name");
            let is_starting = self.acting.get(&name).is_some_and(|action| action.is_start());
            let is_asked = self.kept.asked.contains(&name) || self.is_to_exist(&name);
            if !is_starting {
                self.due.remove(&name);
            } else if is_asked {
                self.due.insert(name);
            }
        }
    }

    /// The faults end; everything that was begun comes to its end.
    fn calm_down(&mut self) {
        self.world.faults = Faults { latency_max: Duration::from_millis(5), failing_permille: 0 };
        self.commit_failing_permille = 0;
        self.commit_latency_max = Duration::from_millis(5);
        self.settle();
        for text in NAMES {
            let name = Name::new(text).expect("a name");
            if self.kept.main.contains_key(&name) {
                let wanted = self.wanted();
                self.ask(Ask::Want(name, wanted));
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.advance(Duration::from_secs(3600)) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn check_end(&self) {
        assert!(self.open.is_empty(), "{} calls were never answered", self.open.len());
        assert_eq!(self.machine.desk.load(), 0, "commits are under way for ever");
        for text in NAMES {
            let name = Name::new(text).expect("a name");
            let state = self.exists(&name).map(|(_, state)| state);
            let saved = self.world.is_saved(&name);
            let wanted = self.kept.main.get(text).map(|intent| intent.wanted);
            let is_right = match wanted {
                Some(Wanted::Running) => state == Some(Existing::Running),
                Some(Wanted::Paused) => {
                    matches!(state, Some(Existing::Paused | Existing::Built))
                }
                Some(Wanted::Suspended) => state.is_none(),
                Some(Wanted::Shutdown | Wanted::Absent) | None => state.is_none() && !saved,
            };
            assert!(is_right, "{name}: wanted {wanted:?}, there is {state:?}, saved: {saved}");
            let seen = self.kept.seen.get(text).map(|seen| seen.state);
            let expected = match state {
                Some(Existing::Running) => Some(DomainState::Running),
                Some(Existing::Built | Existing::Paused) => Some(DomainState::Paused),
                None if saved => Some(DomainState::Suspended),
                None if wanted.is_none() => None,
                None => Some(DomainState::Absent),
            };
            let is_told = seen == expected || (seen.is_none() && state.is_none() && !saved);
            assert!(is_told, "{name} is {expected:?}, and the store says {seen:?}");
        }
    }
}
