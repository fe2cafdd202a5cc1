//! Owns the side that has something: what it says next. Must not know what carries it.
//!
//! ```text
//!   Commits ──▶ Trees ⟲ a level of objects at a time
//!                │  ▲
//!   all are known│  │all are sent, of so many commits
//!                ▼  │
//!               Slices ──▶ Done
//! ```

use std::collections::{HashMap, HashSet, VecDeque};

use super::SyncError;
use super::lacking::Lacking;
use super::message::{Message, OFFER_MAX, SLICE_BYTES};
use crate::backend::Source;
use crate::commit::Record;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::references::references;
use crate::retention;
use crate::store::Store;

/// For how many commits it is found out at once which objects they need: the others wait.
const COMMITS_AT_ONCE: usize = 256;

/// The side that sends commits and everything that belongs to them. The other side's answers
/// decide what that is.
pub(super) struct Sender {
    source: Source,
    state: State,
    /// Commits of which something is to be sent, each after its parents.
    commits: VecDeque<Due>,
    /// The only commits of which the trees are sent, whether or not the other side has them; all
    /// that it lacks, if nobody says.
    newest: Option<HashSet<Id>>,
    /// Before which time a commit may lack its tree.
    thinned_before_ms: u64,
    thinned: Thinned,
}

/// A commit of which something is to be sent.
struct Due {
    id: Id,
    /// Whether the other side lacks more than its tree.
    is_new: bool,
}

/// Whether commits without their trees are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thinned {
    No,
    /// Some are next, which is to be told before.
    Next,
    Told,
}

enum State {
    Commits(Lacking),
    Trees(Trees),
    Slices(VecDeque<Id>),
    Done,
}

/// Which objects of some commits the other side lacks.
#[derive(Default)]
struct Trees {
    /// The commits, if they are to be sent, and their trees.
    commits: Vec<(Option<Id>, Id)>,
    /// What is lacking, and what it refers to.
    lacking: HashMap<Id, Vec<Id>>,
    /// What is being asked about.
    asked: Vec<Id>,
    /// What is to be asked about.
    next: VecDeque<Id>,
    /// All of both, and what was asked about before.
    seen: HashSet<Id>,
}

impl Sender {
    /// The side that sends these commits.
    pub(super) fn new(store: &Store, heads: &[Id]) -> Result<Sender, StorageError> {
        let source = store.history().objects()?;
        Ok(Sender {
            state: State::Commits(Lacking::new(&source, heads)?),
            source,
            commits: VecDeque::new(),
            newest: None,
            thinned_before_ms: store.let_go_before_ms()?,
            thinned: Thinned::No,
        })
    }

    /// The side that sends a commit and what is before it, with the trees of the newest so many.
    pub(super) fn newest(store: &Store, head: Id, trees: u64) -> Result<Sender, StorageError> {
        let mut sender = Sender::new(store, &[head])?;
        let count = usize::try_from(trees.max(1)).unwrap_or(usize::MAX);
        let newest = retention::newest(&sender.source, head, count)?;
        sender.newest = Some(newest.into_iter().collect());
        Ok(sender)
    }

    /// What to say first, to which an answer comes; `None` if all is said.
    pub(super) fn start(&mut self) -> Result<Option<Message>, StorageError> {
        self.say()
    }

    /// What to say after this answer.
    pub(super) fn answered(&mut self, answer: &Message) -> Result<Option<Message>, SyncError> {
        match (&mut self.state, answer) {
            (State::Commits(lacking), Message::Has(has)) if has.len() == lacking.asked() => {
                lacking.answer(has)?;
            }
            (State::Trees(trees), Message::Has(has)) if has.len() == trees.asked.len() => {
                trees.answer(has, &self.source)?;
            }
            (State::Slices(_), Message::Taken) => {}
            _ => return Err(SyncError::Unexpected(answer.name())),
        }
        Ok(self.say()?)
    }

    fn say(&mut self) -> Result<Option<Message>, StorageError> {
        loop {
            self.state = match &mut self.state {
                State::Commits(lacking) => {
                    let ids = lacking.ask()?;
                    if !ids.is_empty() {
                        return Ok(Some(Message::Offer(ids)));
                    }
                    let lacking = lacking.oldest_first();
                    self.see(lacking)?;
                    self.trees()?
                }
                State::Trees(trees) => {
                    let ids = trees.ask();
                    if !ids.is_empty() {
                        return Ok(Some(Message::Offer(ids)));
                    }
                    State::Slices(std::mem::take(trees).in_order())
                }
                State::Slices(_) if self.thinned == Thinned::Next => {
                    self.thinned = Thinned::Told;
                    return Ok(Some(Message::Thinned(self.thinned_before_ms)));
                }
                State::Slices(order) => match slice(order, &self.source)? {
                    Some(slice) => return Ok(Some(slice)),
                    None => self.trees()?,
                },
                State::Done => return Ok(None),
            };
        }
    }

    /// Takes in which commits the other side lacks, each after its parents.
    fn see(&mut self, lacking: Vec<Id>) -> Result<(), StorageError> {
        if let Some(newest) = &self.newest {
            for id in lacking.iter().filter(|id| !newest.contains(id)) {
                let time_ms = Record::fetch(id, &self.source)?.meta().time_ms;
                self.thinned_before_ms = self.thinned_before_ms.max(time_ms.saturating_add(1));
            }
            let is_lacking: HashSet<&Id> = lacking.iter().collect();
            let there = newest.iter().filter(|id| !is_lacking.contains(id));
            self.commits.extend(there.map(|id| Due { id: *id, is_new: false }));
        }
        self.commits.extend(lacking.into_iter().map(|id| Due { id, is_new: true }));
        Ok(())
    }

    /// Goes on to the trees of the next commits, if there are more.
    fn trees(&mut self) -> Result<State, StorageError> {
        if self.commits.is_empty() {
            return Ok(State::Done);
        }
        let mut trees = Trees::default();
        for Due { id, is_new } in self.commits.drain(..self.commits.len().min(COMMITS_AT_ONCE)) {
            let record = Record::fetch(&id, &self.source)?;
            let tree = record.tree();
            let is_old = record.meta().time_ms < self.thinned_before_ms;
            let is_wanted = self.newest.as_ref().is_none_or(|newest| newest.contains(&id));
            if is_wanted && (!is_old || self.source.contains(&tree)?) {
                trees.see(tree);
            } else if is_new && self.thinned == Thinned::No {
                self.thinned = Thinned::Next;
            }
            trees.commits.push((is_new.then_some(id), tree));
        }
        Ok(State::Trees(trees))
    }
}

impl Trees {
    fn see(&mut self, id: Id) {
        if self.seen.insert(id) {
            self.next.push_back(id);
        }
    }

    fn ask(&mut self) -> Vec<Id> {
        self.asked = self.next.drain(..self.next.len().min(OFFER_MAX)).collect();
        self.asked.clone()
    }

    fn answer(&mut self, has: &[bool], source: &Source) -> Result<(), StorageError> {
        for (id, has) in std::mem::take(&mut self.asked).into_iter().zip(has) {
            if !has {
                let below = decode_checked(&id, &source.fetch(&id)?, references)?;
                below.iter().for_each(|below| self.see(*below));
                self.lacking.insert(id, below);
            }
        }
        Ok(())
    }

    /// All that is lacking, each after what it refers to.
    fn in_order(mut self) -> VecDeque<Id> {
        let mut order = VecDeque::new();
        // Those whose turn comes when everything below them has had its own.
        let mut stack: Vec<(Id, Vec<Id>)> = Vec::new();
        for (commit, tree) in self.commits {
            let mut next = Some(tree);
            loop {
                if let Some(id) = next.take()
                    && let Some(below) = self.lacking.remove(&id)
                {
                    stack.push((id, below));
                }
                let Some((id, below)) = stack.last_mut() else { break };
                match below.pop() {
                    Some(below) => next = Some(below),
                    None => {
                        order.push_back(*id);
                        stack.pop();
                    }
                }
            }
            order.extend(commit);
        }
        order
    }
}

/// The first of some objects, as a message.
fn slice(order: &mut VecDeque<Id>, source: &Source) -> Result<Option<Message>, StorageError> {
    let (mut objects, mut bytes) = (Vec::new(), 0);
    while bytes < SLICE_BYTES
        && let Some(id) = order.pop_front()
    {
        let object = source.fetch(&id)?;
        bytes += object.len();
        objects.push(object.to_vec());
    }
    Ok((!objects.is_empty()).then_some(Message::Slice(objects)))
}
