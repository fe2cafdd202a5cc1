//! From a request to its answer.
//!
//! Owns who is asked: the machine, the history, or a console. A request that the caller's role
//! does not allow ends here, and is written down.

use std::sync::{Arc, Mutex, PoisonError};

use jitsu_proto::{ErrorCode, Info, Name, Request, Response, RpcError, ServerFrame, TraceId};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{PROGRAM, Server, stream};
use crate::driver::Reply;
use crate::history::{Change, Exchange};
use crate::machine::Input;
use crate::record::{Ask, Author, Caller, Outcome, Record, Subject};
use crate::roles::needed;
use crate::xenstore::WatchError;

/// A request on its way.
pub(super) struct Asking {
    pub(super) id: u64,
    pub(super) trace: TraceId,
    pub(super) server: Arc<Server>,
    pub(super) caller: Caller,
    pub(super) frames: mpsc::Sender<ServerFrame>,
    pub(super) exchange: Arc<Mutex<Exchange>>,
}

/// What a request is for those who do it.
enum Task {
    /// A change of domains or services.
    Ask(Ask),
    /// A change of history.
    Change(Change),
    /// Anything else.
    Other(Request),
}

fn sort(request: Request) -> Task {
    let staged = |branch: Option<String>, ask: Ask| match branch {
        None => Task::Ask(ask),
        Some(branch) => Task::Change(Change::Stage { branch, ask }),
    };
    match request {
        Request::DefineDomain { name, spec, branch } => {
            staged(branch, Ask::Define(name, Box::new(spec)))
        }
        Request::UndefineDomain { name, branch } => staged(branch, Ask::Undefine(name)),
        Request::Want { name, wanted, branch } => staged(branch, Ask::Want(name, wanted)),
        Request::DefineService { name, spec, branch } => {
            staged(branch, Ask::DefineService(name, Box::new(spec)))
        }
        Request::UndefineService { name, branch } => staged(branch, Ask::UndefineService(name)),
        Request::Record { name, facts } => Task::Ask(Ask::Count(name, facts)),
        Request::Fork { name, from } => Task::Change(Change::Fork { name, from }),
        Request::DeleteBranch { name } => Task::Change(Change::Delete { name }),
        Request::Edit { branch, edits } => Task::Change(Change::Edit { branch, edits }),
        Request::Merge { from, into } => Task::Change(Change::Merge { from, into }),
        Request::Revert { rev, branch } => Task::Change(Change::Revert { rev, branch }),
        other => Task::Other(other),
    }
}

/// Answers one request; for a subscription, until it ends.
pub(super) async fn answer(asking: Asking, request: Request) {
    let needed = needed(&request);
    let task = sort(request);
    let span = tracing::debug_span!("request", trace = %asking.trace, caller = %asking.caller);
    let work = async {
        if asking.caller.role < Some(needed) {
            asking.refuse(&task, needed).await;
            return;
        }
        match task {
            Task::Ask(ask) => asking.ask(ask).await,
            Task::Change(change) => asking.change(change).await,
            Task::Other(request) => asking.other(request).await,
        }
    };
    work.instrument(span).await;
}

impl Asking {
    pub(super) async fn reply(&self, body: Reply) {
        if let Err(error) = &body {
            tracing::debug!(%error, "refused");
        }
        // An error: the connection has ended.
        let _ = self.frames.send(ServerFrame::Reply { id: self.id, body }).await;
    }

    async fn refuse(&self, task: &Task, needed: jitsu_proto::Role) {
        let has = crate::words::role(self.caller.role);
        let needed = crate::words::role(Some(needed));
        let text = format!(
            "this needs the role {needed}, and uid {} has {has}; see [roles] in the toolstack's \
             configuration",
            self.caller.uid
        );
        let (subject, method, arguments) = match task {
            Task::Ask(ask) => (ask.subject(), ask.method(), ask.arguments()),
            Task::Change(change) => (Subject::Host, change.method(), change.arguments()),
            Task::Other(Request::Type { name, .. }) => {
                (Subject::Domain(name.clone()), "type", String::new())
            }
            Task::Other(Request::Push { .. }) => (Subject::Host, "push", String::new()),
            // Looking changes nothing, and trying to is not worth a commit.
            Task::Other(_) => return self.reply(Err(forbidden(text))).await,
        };
        let outcome = Outcome::Failed(ErrorCode::Forbidden, text.clone());
        self.note(subject, method, arguments, outcome).await;
        self.reply(Err(forbidden(text))).await;
    }

    /// Has something written down that changes nothing.
    async fn note(
        &self,
        subject: Subject,
        method: &'static str,
        arguments: String,
        outcome: Outcome,
    ) {
        let mut record = Record::own(subject, method, Vec::new());
        record.author = Author::Caller(self.caller.clone());
        record.trace = self.trace;
        record.arguments = arguments;
        record.outcome = Some(outcome);
        self.server.mailbox.note(Input::Note(Box::new(record))).await;
    }

    async fn ask(&self, ask: Ask) {
        let checked = match &ask {
            Ask::Define(_, spec) => crate::check::domain(spec),
            _ => Ok(()),
        };
        let reply = match checked {
            Ok(()) => self.server.mailbox.ask(self.caller.clone(), self.trace, ask).await,
            Err(error) => Err(RpcError::new(ErrorCode::BadRequest, error.to_string())),
        };
        self.reply(reply).await;
    }

    async fn change(&self, change: Change) {
        let (history, caller, trace) =
            (self.server.history.clone(), self.caller.clone(), self.trace);
        let is_commitless = matches!(change, Change::Fork { .. } | Change::Delete { .. });
        let (method, arguments) = (change.method(), change.arguments());
        let changed = blocking(move || history.change(&caller, trace, &change)).await;
        if is_commitless && changed.is_ok() {
            self.note(Subject::Host, method, arguments, Outcome::Ok).await;
        }
        self.reply(changed.map(|changed| match changed {
            Some((head, changed)) => Response::Committed { head, changed },
            None => Response::Done,
        }))
        .await;
    }

    async fn other(self, request: Request) {
        let history = self.server.history.clone();
        let reply = match request {
            Request::Info => Ok(Response::Info(self.info())),
            Request::List => {
                let list = self.server.mailbox.look(crate::machine::Machine::list).await;
                list.map(Response::Domains)
            }
            Request::Domain { name } => {
                self.server.mailbox.domain(name).await.map(|(status, _)| Response::Domain(status))
            }
            Request::Spec { name } => {
                self.server.mailbox.domain(name).await.map(|(_, spec)| Response::Spec(spec))
            }
            Request::AwaitKey { name, key } => self.await_key(name, &key).await,
            Request::Services => blocking(move || history.services()).await.map(Response::Services),
            Request::Show { rev } => blocking(move || history.show(&rev))
                .await
                .map(|(commit, changes)| Response::Shown(commit, changes)),
            Request::Diff { from, to, path } => {
                let diff = blocking(move || history.diff(&from, &to, path.as_deref()));
                diff.await.map(Response::Changes)
            }
            Request::Read { rev, path } => {
                blocking(move || history.node(&rev, &path)).await.map(Response::Node)
            }
            Request::Branches => blocking(move || history.branches()).await.map(Response::Branches),
            Request::Type { name, bytes } => {
                stream::type_on(&self.server, name, bytes).await.map(|()| Response::Done)
            }
            Request::Fetch { message } => {
                let exchange = self.exchange.clone();
                blocking(move || lock(&exchange).fetch(&message)).await.map(Response::Said)
            }
            Request::Push { message } => self.push(message).await,
            Request::Log { rev, path, limit, follow } => {
                return stream::log(&self, rev, path, limit, follow).await;
            }
            Request::Subscribe => return stream::subscribe(&self).await,
            Request::Console { name } => return stream::console(&self, name).await,
            _ => unreachable!("BUG: a change among what changes nothing"),
        };
        self.reply(reply).await;
    }

    /// Hears another store; a branch that it moves is written down.
    async fn push(&self, message: Vec<u8>) -> Reply {
        let exchange = self.exchange.clone();
        let (said, pushed) = blocking(move || lock(&exchange).push(&message)).await?;
        if let Some((branch, head)) = pushed {
            let arguments =
                json!({ "branch": branch.as_str(), "head": head.to_string() }).to_string();
            self.note(Subject::Host, "push", arguments, Outcome::Ok).await;
        }
        Ok(Response::Said(said))
    }

    /// Waits for the guest to write; whoever asked cancels it.
    async fn await_key(&self, name: Name, key: &str) -> Reply {
        let handle = self.server.mailbox.handle(name).await?;
        let hypervisor = &self.server.hypervisor;
        if !hypervisor.has_xenstore() {
            let text = format!(
                "the {} hypervisor has no XenStore in which {} could write {key}; use \
                 ready = {{ port = PORT }}",
                hypervisor.name(),
                handle.name
            );
            return Err(RpcError::new(ErrorCode::Unsupported, text));
        }
        let unseen = |error: WatchError| RpcError::new(ErrorCode::Hypervisor, error.to_string());
        self.server.keys.written(handle.id, key).await.map_err(unseen)?;
        Ok(Response::Done)
    }

    fn info(&self) -> Info {
        Info {
            program: PROGRAM.to_owned(),
            hypervisor: self.server.hypervisor.name().to_owned(),
            up_ms: u64::try_from(self.server.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            store: self.server.store_folder.clone(),
            role: self.caller.role.expect("BUG: a caller without a role was let through"),
        }
    }
}

fn lock(exchange: &Mutex<Exchange>) -> std::sync::MutexGuard<'_, Exchange> {
    // One that panicked left an exchange that the next want or give begins anew.
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forbidden(text: String) -> RpcError {
    RpcError::new(ErrorCode::Forbidden, text)
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RpcError> + Send + 'static,
) -> Result<T, RpcError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RpcError::new(ErrorCode::Unavailable, "the toolstack is stopping")),
        },
    }
}
