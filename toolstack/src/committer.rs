//! The thread that makes records durable, and tells what `main` holds after that.
//!
//! Owns the order of things: all records that wait become one batch, which costs one flush;
//! then it is told what changed on `main`, whoever changed it; then which records are durable.
//! It must not know what follows from any of it.
//!
//! A record becomes a commit on its subject's branch, whose tree holds only that subject, and a
//! merge of that commit into `main`, in the same batch:
//!
//! ```text
//!   domain/www   ──●────────●──────────────●─ (catch-up) ─●─
//!                   ╲        ╲              ╲              ╲
//!   main         ────●────────●───●──────────●──────────────●─
//!                                 │
//!                 a person's merge that touched /domains/www
//! ```
//!
//! When somebody else changed the subject on `main`, its branch first gets a commit that catches
//! up with `main`, so that the new commit is made on top of what is there and nothing conflicts.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::{
    Batch, BranchName, Commit, Id, Merged, Meta, Path, PublishError, StorageError, Store, Tree,
};

use crate::layout::{self, ReadError};
use crate::machine::{Change, Input, Seq};
use crate::record::{Author, Outcome, Phase, Record, Subject, Write};

/// Takes what the committer has to say. It may block.
pub type Tell = Box<dyn Fn(Input) + Send>;

/// The way to the committer's thread.
#[derive(Clone)]
pub struct Committer {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Bounded by the machine, which takes only so many calls.
    records: Vec<(Seq, Box<Record>)>,
    look: bool,
    stop: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Committer {
    /// Starts the thread. `known` is the commit of `main` of which everything is known already.
    pub fn start(
        store: Store,
        known: Option<Commit>,
        publish_retries_max: u32,
        tell: Tell,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let committer = Committer { queue: Arc::default() };
        let poke = Arc::downgrade(&committer.queue);
        store.on_publish(Box::new(move |moved| {
            let is_main = moved.iter().any(|moved| moved.branch.as_str() == layout::MAIN);
            if let Some(queue) = poke.upgrade().filter(|_| is_main) {
                queue.lock().look = true;
                queue.wake.notify_one();
            }
        }));
        let main = BranchName::new(layout::MAIN).expect("BUG: main is a branch name");
        let (known, tree) = match known {
            Some(commit) => (Some(commit.id()), commit.tree()),
            None => (None, Tree::empty()),
        };
        let queue = committer.queue.clone();
        let work = Work { store, main, known, tree, publish_retries_max, tell };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || work.run(&queue))?;
        Ok((committer, thread))
    }

    /// Asks for a commit.
    pub fn push(&self, seq: Seq, record: Box<Record>) {
        self.queue.lock().records.push((seq, record));
        self.queue.wake.notify_one();
    }

    /// Ends the thread, when all that was asked for is done.
    pub fn stop(&self) {
        self.queue.lock().stop = true;
        self.queue.wake.notify_one();
    }
}

struct Work {
    store: Store,
    main: BranchName,
    /// The commit of `main` that was told last, and its tree.
    known: Option<Id>,
    tree: Tree,
    publish_retries_max: u32,
    tell: Tell,
}

type Written = (Seq, Result<(), RpcError>);

impl Work {
    fn run(mut self, queue: &Queue) {
        loop {
            let records = {
                let mut state = queue.lock();
                while state.records.is_empty() && !state.look && !state.stop {
                    state = queue.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.records.is_empty() && state.stop {
                    return;
                }
                state.look = false;
                std::mem::take(&mut state.records)
            };
            let written = if records.is_empty() { Vec::new() } else { self.write(&records) };
            if let Err(error) = self.look() {
                // Told again at the next look: `known` stays where it is.
                tracing::error!(%error, "main cannot be read");
            }
            for (seq, result) in written {
                (self.tell)(Input::Committed { seq, result });
            }
        }
    }

    /// Makes all records durable, or says of each why not.
    fn write(&self, records: &[(Seq, Box<Record>)]) -> Vec<Written> {
        let mut tries = 0;
        let error = loop {
            match self.try_write(records) {
                Ok(written) => return written,
                Err(PublishError::Raced(_)) if tries < self.publish_retries_max => tries += 1,
                Err(PublishError::Raced(branch)) => {
                    let text = format!("branch {branch} was moved by others {tries} times");
                    break RpcError::new(ErrorCode::Storage, text);
                }
                Err(PublishError::Storage(error)) => break storage(&error),
            }
        };
        tracing::error!(records = records.len(), %error, "nothing of it could be kept");
        records.iter().map(|(seq, _)| (*seq, Err(error.clone()))).collect()
    }

    fn try_write(&self, records: &[(Seq, Box<Record>)]) -> Result<Vec<Written>, PublishError> {
        let mut batch = self.store.batch();
        let mut written = Vec::with_capacity(records.len());
        for (seq, record) in records {
            let result = match put(&mut batch, &self.main, record) {
                Ok(()) => Ok(()),
                Err(PutError::Storage(error)) => return Err(error.into()),
                Err(PutError::Refused(error)) => Err(error),
            };
            written.push((*seq, result));
        }
        batch.publish()?;
        Ok(written)
    }

    /// Tells what changed on `main` since the last look.
    fn look(&mut self) -> Result<(), StorageError> {
        let Some(head) = self.store.head(&self.main)? else { return Ok(()) };
        if self.known == Some(head.id()) {
            return Ok(());
        }
        let tree = head.tree();
        for subject in changed(&self.store, &self.tree, &tree)? {
            match read(&tree, &subject) {
                Ok(Some(change)) => (self.tell)(Input::Changed(change)),
                Ok(None) => {}
                // Merges and edits that would do this are refused; a store that was changed from
                // outside may hold it all the same. What was known before stays in force.
                Err(error) => tracing::error!(%error, "main holds what cannot be understood"),
            }
        }
        (self.known, self.tree) = (Some(head.id()), tree);
        Ok(())
    }
}

/// The subjects of which the spec, or what is wanted, differs between two trees.
pub(crate) fn changed(
    store: &Store,
    before: &Tree,
    after: &Tree,
) -> Result<BTreeSet<Subject>, StorageError> {
    let is_decisive = |path: &Path| {
        let field = path.steps().get(2).map(jitsu_store::Step::as_str);
        matches!(field, None | Some("spec" | "wanted"))
    };
    let changes = store.diff(before, after)?;
    let decisive = changes.iter().filter(|change| is_decisive(&change.path));
    Ok(decisive.filter_map(|change| Subject::of(&change.path)).collect())
}

/// What the tree of `main` says of a subject.
pub(crate) fn read(tree: &Tree, subject: &Subject) -> Result<Option<Change>, ReadError> {
    Ok(match subject {
        Subject::Domain(name) => {
            Some(Change::Domain(name.clone(), layout::intent(tree, name)?.map(Box::new)))
        }
        Subject::Service(name) => {
            Some(Change::Service(name.clone(), layout::service(tree, name)?.map(Box::new)))
        }
        Subject::Host => None,
    })
}

enum PutError {
    Storage(StorageError),
    Refused(RpcError),
}

impl From<StorageError> for PutError {
    fn from(error: StorageError) -> PutError {
        PutError::Storage(error)
    }
}

fn refused(code: ErrorCode, error: &impl std::fmt::Display) -> PutError {
    PutError::Refused(RpcError::new(code, error.to_string()))
}

/// Puts one record into the batch. Refused: the batch is as it was, but for a catch-up.
fn put(batch: &mut Batch, main: &BranchName, record: &Record) -> Result<(), PutError> {
    let (branch, at) = (record.subject.branch(), record.subject.path());
    let mut state = catch_up(batch, main, &branch, &at)?;
    for write in &record.writes {
        layout::apply(&mut state, write).map_err(|e| refused(ErrorCode::BadRequest, &e))?;
    }
    let tree = alone(&at, state)?;
    // What cannot be read back must not become durable: a domain wanted and not defined, say.
    read(&tree, &record.subject).map_err(|error| refused(ErrorCode::NotFound, &error))?;
    let meta = meta(record);
    let commit = batch.commit(&branch, tree, meta.clone())?;
    merge(batch, main, &commit, meta)
}

/// What `main` holds of a subject, with the subject's branch brought there.
fn catch_up(
    batch: &mut Batch,
    main: &BranchName,
    branch: &BranchName,
    at: &Path,
) -> Result<Tree, PutError> {
    let below = |head: Option<Commit>| -> Result<Tree, PutError> {
        let subtree = head.map(|head| head.tree().subtree(at)).transpose();
        let subtree = subtree.map_err(|error| refused(ErrorCode::Storage, &error))?;
        Ok(subtree.flatten().unwrap_or_default())
    };
    let on_main = below(batch.head(main)?)?;
    if below(batch.head(branch)?)? != on_main {
        let mut meta = own_meta(format!("catch up with {main}"));
        meta.fields.insert("method".to_owned(), "catch-up".to_owned());
        let tree = alone(at, on_main.clone())?;
        let commit = batch.commit(branch, tree, meta.clone())?;
        merge(batch, main, &commit, meta)?;
    }
    Ok(on_main)
}

fn merge(
    batch: &mut Batch,
    main: &BranchName,
    commit: &Commit,
    meta: Meta,
) -> Result<(), PutError> {
    match batch.merge(main, commit, meta)? {
        Merged::Commit(_) | Merged::Already => Ok(()),
        Merged::Conflicts(conflicts) => {
            let paths: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
            Err(refused(ErrorCode::Conflict, &paths.join("; ")))
        }
    }
}

/// A tree that holds nothing but `state`, at its place.
fn alone(at: &Path, state: Tree) -> Result<Tree, PutError> {
    let mut tree = Tree::empty();
    tree.set_tree(at, state).map_err(|error| refused(ErrorCode::Storage, &error))?;
    Ok(tree)
}

/// A failure of the store, as callers see it.
pub(crate) fn storage(error: &StorageError) -> RpcError {
    RpcError::new(ErrorCode::Storage, format!("the store could not keep it: {error}"))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A commit by the daemon itself.
pub(crate) fn own_meta(message: String) -> Meta {
    Meta { time_ms: now_ms(), author: "toolstack".to_owned(), message, ..Meta::default() }
}

fn meta(record: &Record) -> Meta {
    let mut meta = own_meta(message(record));
    let mut field = |key: &str, value: String| meta.fields.insert(key.to_owned(), value);
    field("method", record.method.to_owned());
    field("phase", record.phase.as_str().to_owned());
    if !record.arguments.is_empty() {
        field("arguments", record.arguments.clone());
    }
    if record.trace.0 != 0 {
        field("trace", record.trace.to_string());
    }
    match &record.outcome {
        Some(Outcome::Ok) => {
            field("result", "ok".to_owned());
        }
        Some(Outcome::Failed(code, text)) => {
            field("result", crate::words::code(*code).to_owned());
            field("error", text.clone());
        }
        None => {}
    }
    if let Some(duration) = record.duration {
        field("duration_us", duration.as_micros().to_string());
    }
    if let Author::Caller(caller) = &record.author {
        field("uid", caller.uid.to_string());
        field("gid", caller.gid.to_string());
        field("pid", caller.pid.to_string());
        field("program", caller.program.clone());
        field("role", crate::words::role(caller.role).to_owned());
        meta.author = caller.to_string();
    }
    meta
}

fn message(record: &Record) -> String {
    let subject = match &record.subject {
        Subject::Domain(name) => format!(" domain {name}"),
        Subject::Service(name) => format!(" service {name}"),
        Subject::Host => String::new(),
    };
    // A person reads what was wanted, and what it came to.
    let detail = record.writes.iter().find_map(|write| match write {
        Write::Wanted(wanted) if record.method == "want" => Some(serde_json::json!(wanted)),
        Write::Seen(seen) => Some(serde_json::json!(seen.state)),
        _ => None,
    });
    let detail = detail.as_ref().and_then(serde_json::Value::as_str);
    let detail = detail.map_or_else(String::new, |detail| format!(" {detail}"));
    let what = format!("{}{subject}{detail}", record.method);
    match (&record.author, record.phase, &record.outcome) {
        (_, _, Some(Outcome::Failed(_, text))) => format!("{what}: {text}"),
        (Author::Caller(_), Phase::Asked, _) => format!("{what}: asked"),
        (Author::Caller(_), Phase::Done, _) => format!("{what}: done"),
        (Author::Toolstack, ..) => what,
    }
}
