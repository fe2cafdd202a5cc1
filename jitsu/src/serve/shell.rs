//! The summoner, shared: everyone who has news for it, and everyone who waits.
//!
//! Owns the lock around the summoner, and the table from ticket to who waits. The lock is never
//! held across an await. It must not know the toolstack's protocol (that is `link`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jitsu_daemon::sockets::Passed;
use jitsu_proto::{DomainStatus, Facts, Name, RpcError, ServiceSpec, Timing, TraceId};
use tokio::sync::{Notify, oneshot, watch};

use super::{StartError, link};
use crate::client::Client;
use crate::config::{Config, Others, check_service};
use crate::forward::Forward;
use crate::proxy::Proxy;
use crate::summon::{Boot, Effect, Input, Phase, Refusal, Summoner, Ticket};
use crate::zones::Zones;

/// What came of waiting: the guest's address, or (for a question only) the front's.
type Outcome = Result<Option<IpAddr>, Refusal>;

/// The last summon of a service, for people who want to know where the time went.
#[derive(Debug, Clone)]
pub struct Summon {
    /// Its number, in both logs and in the commits.
    pub trace: TraceId,
    /// Which boot.
    pub boot: Boot,
    /// When the question or connection came.
    pub woken: Instant,
    /// The toolstack's part, from when it was asked.
    pub timing: Option<Timing>,
    /// When the guest was ready.
    pub ready: Option<Instant>,
}

/// The names that are ours, at one moment.
#[derive(Debug, Default)]
pub struct Names {
    /// The names.
    pub names: Zones,
    /// The serial number of our zones: the moment, in seconds since 1970.
    pub serial: u32,
    /// Whether the toolstack has told all services: until then nobody can say what is not there.
    pub complete: bool,
}

pub(super) struct Core {
    pub(super) summoner: Summoner,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    last_ticket: u64,
    /// Until when the timekeeper sleeps.
    armed: Option<Instant>,
    pub(super) specs: HashMap<Name, Arc<ServiceSpec>>,
    /// Whether the toolstack has told all services, once.
    complete: bool,
    /// Domains as the toolstack last told, in whichever way: see [`Core::learn`].
    pub(super) domains: HashMap<Name, DomainStatus>,
    /// How many starts and stops of a service's domain have no reply yet: what is told of the
    /// domain meanwhile may be older than what was asked.
    pub(super) asked: HashMap<Name, usize>,
    summons: HashMap<Name, Summon>,
    pub(super) facts: HashMap<Name, Facts>,
}

/// Everything that `jitsu serve` shares.
pub struct Shell {
    core: Mutex<Core>,
    names: RwLock<Arc<Names>>,
    config: RwLock<Arc<Config>>,
    forward: RwLock<Option<Forward>>,
    proxy: Proxy,
    /// Wakes the timekeeper when a deadline came nearer.
    nearer: Notify,
    /// Tells that the last client has left.
    left: Notify,
    /// The toolstack, while it is connected.
    pub(super) toolstack: watch::Sender<Option<Client>>,
}

fn forward(config: &Config) -> Result<Option<Forward>, StartError> {
    match config.dns.others {
        Others::Refuse => Ok(None),
        Others::Forward => Ok(Some(Forward::new(&config.dns.resolvers)?)),
    }
}

/// A number that no other summon has.
fn new_trace() -> TraceId {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds each of these from the system's source of randomness.
    TraceId(std::hash::RandomState::new().build_hasher().finish())
}

impl Shell {
    pub(super) fn new(config: Config, passed: Passed) -> Result<Arc<Shell>, StartError> {
        let shell = Arc::new(Shell {
            core: Mutex::new(Core {
                summoner: Summoner::new(config.limits.summoner()),
                waiting: HashMap::new(),
                last_ticket: 0,
                armed: None,
                specs: HashMap::new(),
                complete: false,
                domains: HashMap::new(),
                asked: HashMap::new(),
                summons: HashMap::new(),
                facts: HashMap::new(),
            }),
            names: RwLock::default(),
            forward: RwLock::new(forward(&config)?),
            config: RwLock::new(Arc::new(config)),
            proxy: Proxy::new(passed),
            nearer: Notify::new(),
            left: Notify::new(),
            toolstack: watch::Sender::new(None),
        });
        shell.rename();
        Ok(shell)
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn reload(&self, config: Config) -> Result<(), StartError> {
        let forward = forward(&config)?;
        *self.forward.write().unwrap_or_else(PoisonError::into_inner) = forward;
        self.core().summoner.set_limits(config.limits.summoner());
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.rename();
        Ok(())
    }

    /// The names that are ours.
    pub fn zones(&self) -> Arc<Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resolvers for other names, where they are forwarded.
    pub fn forward(&self) -> Option<Forward> {
        self.forward.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works out again which names are ours.
    fn rename(&self) {
        let config = self.config();
        let (specs, complete) = {
            let core = self.core();
            (core.specs.clone(), core.complete)
        };
        let services = specs.iter().map(|(name, spec)| (name, spec.as_ref()));
        let names = Zones::new(&config.zones, &config.dns, services);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // RFC 1982 serials wrap, as this does.
        let serial = now.as_secs() as u32;
        let named = Arc::new(Names { names, serial, complete });
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = named;
    }

    /// The toolstack has told all services.
    pub(super) fn all_told(&self) {
        self.core().complete = true;
        self.rename();
    }

    /// A service is there, or has changed; None: it was forgotten.
    pub(super) fn define(self: &Arc<Shell>, name: &Name, spec: Option<ServiceSpec>) {
        let spec = spec.filter(|spec| match self.check(name, spec) {
            Ok(()) => true,
            Err(why) => {
                tracing::error!(service = %name, why, "the service is left out: its spec is wrong");
                false
            }
        });
        match &spec {
            Some(spec) => {
                self.core().specs.insert(name.clone(), Arc::new(spec.clone()));
                self.input(name, Input::Defined(spec.clone()));
            }
            None => {
                self.core().specs.remove(name);
                self.input(name, Input::Forgotten);
            }
        }
        self.rename();
        self.proxy.listen(self, name, spec.as_ref());
    }

    fn check(&self, name: &Name, spec: &ServiceSpec) -> Result<(), String> {
        check_service(spec).map_err(|wrong| wrong.to_string())?;
        let domain = spec.domain.as_ref().unwrap_or(name);
        let core = self.core();
        let other = core
            .specs
            .iter()
            .find(|(other, its)| *other != name && its.domain.as_ref().unwrap_or(other) == domain);
        match other {
            Some((other, _)) => Err(format!("domain {domain} belongs to the service {other}")),
            None => Ok(()),
        }
    }

    /// Something happened to a service.
    pub(super) fn input(self: &Arc<Shell>, name: &Name, input: Input) {
        let mut out = Vec::new();
        let mut core = self.core();
        core.handle(name, input, &mut out);
        self.settle(core, name, out);
    }

    /// Does what came out, with the lock given back first where it takes longer.
    fn settle(self: &Arc<Shell>, mut core: MutexGuard<'_, Core>, name: &Name, out: Vec<Effect>) {
        let deadline = core.summoner.deadline_of(name);
        if deadline.is_some_and(|deadline| core.armed.is_none_or(|armed| deadline < armed)) {
            core.armed = deadline;
            self.nearer.notify_one();
        }
        if core.summoner.clients() == 0 {
            self.left.notify_waiters();
        }
        let starts_and_stops = core.resolve(out);
        drop(core);
        for effect in starts_and_stops {
            link::act(self, effect);
        }
    }

    /// Asks for the address to be said for `service`: its guest's, or (None) its front's. Waits
    /// where it must be started first.
    pub async fn ask(self: &Arc<Shell>, service: &Name) -> Outcome {
        let mut waiter = self.enter(service, Input::Asked);
        waiter.wait_outcome().await
    }

    /// Asks for a place for a connection to `service` that was accepted.
    pub fn arrive(self: &Arc<Shell>, service: &Name) -> Arrival {
        self.enter(service, Input::Arrived)
    }

    fn enter(self: &Arc<Shell>, service: &Name, kind: fn(Ticket) -> Input) -> Arrival {
        let mut out = Vec::new();
        let mut core = self.core();
        core.last_ticket += 1;
        let ticket = Ticket(core.last_ticket);
        let input = kind(ticket);
        let facts = core.facts.entry(service.clone()).or_default();
        match input {
            Input::Asked(_) => facts.questions += 1,
            _ => facts.connections += 1,
        }
        core.handle(service, input, &mut out);
        let (sender, receiver) = oneshot::channel();
        core.waiting.insert(ticket, sender);
        let spec = core.specs.get(service).cloned().unwrap_or_default();
        self.settle(core, service, out);
        Arrival {
            shell: self.clone(),
            service: service.clone(),
            ticket,
            spec,
            outcome: receiver,
            told: None,
        }
    }

    /// Counts a client that was refused after it was let in.
    pub fn count_refused(&self, service: &Name) {
        self.core().facts.entry(service.clone()).or_default().refused += 1;
    }

    /// The last summon of a service.
    pub fn last_summon(&self, service: &Name) -> Option<Summon> {
        self.core().summons.get(service).cloned()
    }

    /// How a service is, in a word.
    pub fn phase(&self, service: &Name) -> Option<&'static str> {
        self.core().summoner.phase(service).map(Phase::word)
    }

    /// How many services there are.
    pub fn services(&self) -> usize {
        self.core().specs.len()
    }

    /// How many clients there are, held and live.
    pub fn clients(&self) -> usize {
        self.core().summoner.clients()
    }

    /// Waits until there is no client.
    pub(super) async fn quiet(&self) {
        loop {
            let left = self.left.notified();
            if self.clients() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Core {
    fn handle(&mut self, name: &Name, input: Input, out: &mut Vec<Effect>) {
        let now = Instant::now();
        let before = self.summoner.phase(name).map(Phase::word);
        self.summoner.handle(now, name, input, out);
        let after = self.summoner.phase(name).map(Phase::word);
        if before != after
            && let Some(after) = after
        {
            tracing::info!(service = %name, "{name} is {after}");
        }
        for effect in &*out {
            if let Effect::Start(name, boot) = effect {
                self.facts.entry(name.clone()).or_default().boots += 1;
                let trace = new_trace();
                let summon = Summon { trace, boot: *boot, woken: now, timing: None, ready: None };
                self.summons.insert(name.clone(), summon);
            }
        }
    }

    /// Tells who waits what came of it. What is left is for the toolstack.
    fn resolve(&mut self, out: Vec<Effect>) -> Vec<Effect> {
        let mut left = Vec::new();
        for effect in out {
            let (ticket, outcome) = match effect {
                Effect::Answer(ticket, to) => (ticket, Ok(to)),
                Effect::Connect(ticket, to) => (ticket, Ok(Some(to))),
                Effect::Refuse(ticket, why) => (ticket, Err(why)),
                Effect::Start(ref name, _) | Effect::Stop(ref name, ..) => {
                    *self.asked.entry(name.clone()).or_default() += 1;
                    left.push(effect);
                    continue;
                }
            };
            if let Some(waiter) = self.waiting.remove(&ticket) {
                // Who waited may have gone; then its `Left` is under way.
                let _ = waiter.send(outcome);
            }
        }
        left
    }

    /// A start or stop has its reply, or needs none any more.
    pub(super) fn answered(
        &mut self,
        service: &Name,
        outcome: Option<&Result<DomainStatus, RpcError>>,
    ) {
        if let Some(Ok(status)) = outcome {
            self.learn(status);
        }
        let asked = self.asked.get_mut(service).expect("BUG: a reply that nobody asked for");
        *asked -= 1;
        if *asked == 0 {
            self.asked.remove(service);
        }
    }

    /// Takes in a domain's status. A reply and the events around it overtake each other: False
    /// says that a newer one is known already.
    pub(super) fn learn(&mut self, status: &DomainStatus) -> bool {
        let known = self.domains.get(&status.name);
        let is_news = known.is_none_or(|known| known.version < status.version);
        if is_news {
            self.domains.insert(status.name.clone(), status.clone());
        }
        is_news
    }

    /// Notes the toolstack's part of a summon, or that the guest is ready.
    pub(super) fn note(&mut self, service: &Name, boot: Boot, timing: Option<Timing>) {
        let Some(summon) = self.summons.get_mut(service).filter(|summon| summon.boot == boot)
        else {
            return;
        };
        match timing {
            Some(timing) => summon.timing = Some(timing),
            None => summon.ready = Some(Instant::now()),
        }
    }

    /// The number of the present summon of a service.
    pub(super) fn trace(&self, service: &Name) -> TraceId {
        self.summons.get(service).map_or_else(TraceId::default, |summon| summon.trace)
    }
}

/// A place of one waiter. Dropping it gives the place back.
pub struct Arrival {
    shell: Arc<Shell>,
    service: Name,
    ticket: Ticket,
    spec: Arc<ServiceSpec>,
    outcome: oneshot::Receiver<Outcome>,
    told: Option<Outcome>,
}

impl Arrival {
    /// Whether it was refused at once.
    pub fn refused(&mut self) -> Result<(), Refusal> {
        if let Ok(outcome) = self.outcome.try_recv() {
            self.told = Some(outcome);
        }
        match self.told.take_if(|outcome| outcome.is_err()) {
            Some(Err(refusal)) => {
                self.shell.count_refused(&self.service);
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    /// What the service is.
    pub fn spec(&self) -> Arc<ServiceSpec> {
        self.spec.clone()
    }

    async fn wait_outcome(&mut self) -> Outcome {
        let outcome = match self.told.take() {
            Some(outcome) => outcome,
            None => (&mut self.outcome).await.unwrap_or(Err(Refusal::Unknown)),
        };
        if outcome.is_err() {
            self.shell.count_refused(&self.service);
        }
        outcome
    }

    /// Waits for the guest's address.
    pub async fn wait(&mut self) -> Result<IpAddr, Refusal> {
        let outcome = self.wait_outcome().await?;
        Ok(outcome.expect("BUG: a connection is only ever sent to a guest"))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.shell.input(&self.service, Input::Left(self.ticket));
    }
}

/// Ticks the summoner when something is due.
pub(super) async fn keep_time(shell: Arc<Shell>) {
    loop {
        let deadline = {
            let mut core = shell.core();
            core.armed = core.summoner.deadline();
            core.armed
        };
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => shell.tick(),
            () = shell.nearer.notified() => {}
        }
    }
}

impl Shell {
    fn tick(self: &Arc<Shell>) {
        let mut out = Vec::new();
        let mut core = self.core();
        core.summoner.tick(Instant::now(), &mut out);
        for effect in &out {
            match effect {
                Effect::Stop(name, ..) => tracing::info!(service = %name, "{name} is stopping"),
                Effect::Refuse(..) => {}
                _ => tracing::trace!(?effect, "due"),
            }
        }
        let starts_and_stops = core.resolve(out);
        drop(core);
        for effect in starts_and_stops {
            link::act(self, effect);
        }
    }
}
