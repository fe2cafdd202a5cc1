//! The shell of the machine: one task that owns it, hands it inputs and carries out its effects.
//!
//! Owns the clock, and the tables from tickets and subscriptions to whoever waits. It decides
//! nothing. Whatever blocks runs elsewhere and comes back as an input.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jitsu_proto::{DomainSpec, DomainStatus, ErrorCode, Event, Name, Response, RpcError, TraceId};
use tokio::sync::{mpsc, oneshot};

use crate::committer::Committer;
use crate::hypervisor::{Handle, Hypervisor, HypervisorError};
use crate::machine::{Effect, Input, Machine, Now, Target, Ticket};
use crate::plan::Action;
use crate::record::{Ask, Caller};

/// What a call comes to.
pub(crate) type Reply = Result<Response, RpcError>;

/// What the driver is sent.
pub(crate) enum Message {
    /// An input that needs no answer.
    Input(Input),
    /// A call that changes something.
    Ask { caller: Caller, trace: TraceId, ask: Ask, reply: oneshot::Sender<Reply> },
    /// A look at what the machine knows.
    Look(Box<dyn FnOnce(&Machine) + Send>),
    /// A subscription: everything there is, then the changes.
    Subscribe { first: oneshot::Sender<Vec<Event>>, events: mpsc::Sender<Event> },
    /// Other limits.
    Limits(Box<crate::limits::Limits>),
    /// The end.
    Stop,
}

/// The way to the driver. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    to: mpsc::Sender<Message>,
}

impl Mailbox {
    /// Hands in an input, from a thread that may wait.
    pub(crate) fn input(&self, input: Input) {
        // Nobody is there any more: then nobody needs to know.
        let _ = self.to.blocking_send(Message::Input(input));
    }

    /// Hands in an input.
    pub(crate) async fn note(&self, input: Input) {
        let _ = self.to.send(Message::Input(input)).await;
    }

    /// Asks for a change and waits for what comes of it.
    pub(crate) async fn ask(&self, caller: Caller, trace: TraceId, ask: Ask) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Ask { caller, trace, ask, reply }).await?;
        answer.await.map_err(|_| stopping())?
    }

    /// What the machine knows, by `look`.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |machine: &Machine| drop(reply.send(look(machine))));
        self.send(Message::Look(look)).await?;
        answer.await.map_err(|_| stopping())
    }

    /// One domain, or that there is none.
    pub(crate) async fn domain(&self, name: Name) -> Result<(DomainStatus, DomainSpec), RpcError> {
        let text = format!("there is no domain named {name}");
        let found = self
            .look(move |machine| {
                Some((machine.status(&name)?.clone(), machine.spec(&name)?.clone()))
            })
            .await?;
        found.ok_or_else(|| RpcError::new(ErrorCode::NotFound, text))
    }

    /// The handle of a domain that exists.
    pub(crate) async fn handle(&self, name: Name) -> Result<Handle, RpcError> {
        let text = format!("there is no domain named {name} that runs; start it first");
        let found = self.look(move |machine| machine.handle_of(&name).cloned()).await?;
        found.ok_or_else(|| RpcError::new(ErrorCode::NotFound, text))
    }

    /// Everything as it is, and a stream of what changes; it ends when it is read too slowly.
    pub(crate) async fn subscribe(
        &self,
        queue_max: usize,
    ) -> Result<(Vec<Event>, mpsc::Receiver<Event>), RpcError> {
        let (first, snapshot) = oneshot::channel();
        let (events, receiver) = mpsc::channel(queue_max);
        self.send(Message::Subscribe { first, events }).await?;
        Ok((snapshot.await.map_err(|_| stopping())?, receiver))
    }

    /// Sets other limits.
    pub(crate) async fn set_limits(&self, limits: crate::limits::Limits) {
        let _ = self.to.send(Message::Limits(Box::new(limits))).await;
    }

    /// Ends the driver.
    pub(crate) async fn stop(&self) {
        let _ = self.to.send(Message::Stop).await;
    }

    async fn send(&self, message: Message) -> Result<(), RpcError> {
        self.to.send(message).await.map_err(|_| stopping())
    }
}

fn stopping() -> RpcError {
    RpcError::new(ErrorCode::Unavailable, "the toolstack is stopping")
}

/// A mailbox and what it fills.
pub(crate) fn mailbox(size: usize) -> (Mailbox, mpsc::Receiver<Message>) {
    let (to, from) = mpsc::channel(size);
    (Mailbox { to }, from)
}

/// The time now, by both clocks.
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Now { instant: Instant::now(), wall_ms }
}

/// See the head of this file.
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    pub(crate) committer: Committer,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) saved_dir: PathBuf,
    pub(crate) mailbox: Mailbox,
    waiting: HashMap<Ticket, oneshot::Sender<Reply>>,
    subscribers: Vec<mpsc::Sender<Event>>,
    last_ticket: u64,
}

impl Driver {
    pub(crate) fn new(
        machine: Machine,
        committer: Committer,
        hypervisor: Arc<dyn Hypervisor>,
        saved_dir: PathBuf,
        mailbox: Mailbox,
    ) -> Driver {
        Driver {
            machine,
            committer,
            hypervisor,
            saved_dir,
            mailbox,
            waiting: HashMap::new(),
            subscribers: Vec::new(),
            last_ticket: 0,
        }
    }

    /// Runs until it is told to stop. `effects` are those of the machine's start.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut effects: Vec<Effect>,
    ) {
        loop {
            for effect in effects.drain(..) {
                self.perform(effect);
            }
            let deadline = self.machine.deadline();
            let tick = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                () = tick => Some(Message::Input(Input::Tick)),
            };
            match message {
                None | Some(Message::Stop) => break,
                Some(message) => self.take(message, &mut effects),
            }
        }
        self.committer.stop();
    }

    fn take(&mut self, message: Message, effects: &mut Vec<Effect>) {
        let input = match message {
            Message::Input(input) => input,
            Message::Ask { caller, trace, ask, reply } => {
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.waiting.insert(ticket, reply);
                Input::Asked { ticket, caller, trace, ask }
            }
            Message::Look(look) => return look(&self.machine),
            Message::Subscribe { first, events } => {
                let domains = self.machine.list().into_iter().map(Event::Domain);
                let services = self.machine.services();
                let services =
                    services.map(|(name, spec)| Event::Service(name.clone(), spec.clone()));
                if first.send(domains.chain(services).collect()).is_ok() {
                    self.subscribers.push(events);
                }
                return;
            }
            Message::Limits(limits) => return self.machine.set_limits(*limits),
            Message::Stop => unreachable!("BUG: the end is taken by the loop"),
        };
        self.machine.handle(now(), input, effects);
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Commit(seq, record) => self.committer.push(seq, record),
            Effect::Act { name, action, target, trace } => self.act(name, action, target, trace),
            Effect::Reply(ticket, reply) => {
                let waiting = self.waiting.remove(&ticket);
                let waiting = waiting.expect("BUG: an answer for a ticket that nobody holds");
                // An error: whoever asked is gone, and what was asked is done all the same.
                let _ = waiting.send(reply);
            }
            // A subscriber whose queue is full is cut; its task finds out by the queue's end.
            Effect::Publish(event) => {
                self.subscribers.retain(|subscriber| subscriber.try_send(event.clone()).is_ok());
            }
        }
    }

    fn act(&self, name: Name, action: Action, target: Target, trace: TraceId) {
        let (hypervisor, mailbox) = (self.hypervisor.clone(), self.mailbox.clone());
        let saved = self.saved_dir.join(name.as_str());
        tokio::task::spawn_blocking(move || {
            let span = tracing::info_span!("act", domain = %name, action = action.as_str(), %trace);
            let _entered = span.enter();
            let begun = Instant::now();
            let done = call(&*hypervisor, &name, action, &target, &saved);
            let took_us = begun.elapsed().as_micros();
            match &done {
                Ok(_) => tracing::info!(took_us, "done"),
                Err(error) => tracing::warn!(took_us, %error, "failed"),
            }
            mailbox.input(Input::Acted { name, action, result: done.map_err(Into::into) });
        });
    }
}

/// One action, as the call that it is.
fn call(
    hypervisor: &dyn Hypervisor,
    name: &Name,
    action: Action,
    target: &Target,
    saved: &std::path::Path,
) -> Result<Option<Handle>, HypervisorError> {
    match (action, target) {
        (Action::Create, Target::Spec(spec)) => hypervisor.create(name, spec).map(Some),
        (Action::Resume, Target::Spec(spec)) => hypervisor.resume(name, saved, spec).map(Some),
        (Action::Discard, Target::Saved) => hypervisor.discard(name, saved).map(|()| None),
        (Action::Unpause, Target::Handle(dom)) => hypervisor.unpause(dom).map(|()| None),
        (Action::Pause, Target::Handle(dom)) => hypervisor.pause(dom).map(|()| None),
        (Action::Suspend, Target::Handle(dom)) => hypervisor.suspend(dom, saved).map(|()| None),
        (Action::Shutdown, Target::Handle(dom)) => hypervisor.shutdown(dom).map(|()| None),
        (Action::Destroy, Target::Handle(dom)) => hypervisor.destroy(dom).map(|()| None),
        (action, target) => unreachable!("BUG: {action:?} done to {target:?}"),
    }
}
