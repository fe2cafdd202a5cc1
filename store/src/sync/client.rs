//! Owns the store that asks. Must not know where the other one is.

use super::message::{Message, Moved};
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Peer, Pulled, Pushed, SyncError};
use crate::batch::{Forward, Merged};
use crate::commit::{Commit, Meta};
use crate::id::Id;
use crate::name::BranchName;
use crate::store::Store;

/// The branches of another store, and their heads.
pub fn branches(of: &mut dyn Peer) -> Result<Vec<(BranchName, Id)>, SyncError> {
    match of.call(Message::List)? {
        Message::Branches(branches) => Ok(branches),
        other => Err(SyncError::Unexpected(other.name())),
    }
}

impl Store {
    /// Brings the head of a branch of another store here, with everything that belongs to it, and
    /// moves no branch; `None` if there is no such branch. What is here already does not come
    /// again, and what came is durable. ([`Server`](super::Server) is the other store, if it is in
    /// this process.)
    pub fn fetch(
        &self,
        from: &mut dyn Peer,
        branch: &BranchName,
    ) -> Result<Option<Commit>, SyncError> {
        self.receive(from, Message::Want(branch.clone()))
    }

    /// The same, but only the newest so many commits, one at least, of all that were merged into
    /// the branch, bring their trees, be they here already or not: of the others comes who asked
    /// for what and when, as [`Store::let_go`] would leave it, and this store writes down that it
    /// may lack their trees. With a larger number the next of them come, with [`u64::MAX`] all. A
    /// later [`Store::pull`] brings what is new.
    pub fn fetch_newest(
        &self,
        from: &mut dyn Peer,
        branch: &BranchName,
        trees: u64,
    ) -> Result<Option<Commit>, SyncError> {
        self.receive(from, Message::WantNewest(branch.clone(), trees))
    }

    fn receive(&self, from: &mut dyn Peer, want: Message) -> Result<Option<Commit>, SyncError> {
        let history = self.history();
        let mut receiver = Receiver::new(self)?;
        let mut said = from.call(want)?;
        loop {
            match said {
                Message::Unknown => return Ok(None),
                Message::Head(head) => {
                    receiver.check(&head)?;
                    receiver.sync()?;
                    history.adopt(&head)?;
                    return Ok(Some(history.commit(&head)?));
                }
                Message::Thinned(before_ms) => {
                    // Written down before the first of them is kept.
                    self.take_let_go(before_ms)?;
                    receiver.take_thinned(before_ms);
                    said = from.call(Message::Taken)?;
                }
                message => said = from.call(receiver.handle(&message)?)?,
            }
        }
    }

    /// Moves a branch of another store on to where ours is, and sends what it lacks of it.
    pub fn push(&self, to: &mut dyn Peer, branch: &BranchName) -> Result<Pushed, SyncError> {
        let head = self.head(branch)?.ok_or_else(|| SyncError::NoBranch(branch.clone()))?.id();
        let mut sender = Sender::new(self, &[head])?;
        match to.call(Message::Give(branch.clone()))? {
            Message::Taken => {}
            other => return Err(SyncError::Unexpected(other.name())),
        }
        let mut said = sender.start()?;
        while let Some(message) = said {
            said = sender.answered(&to.call(message)?)?;
        }
        match to.call(Message::Head(head))? {
            Message::Moved(Moved::Now) => Ok(Pushed::Moved),
            Message::Moved(Moved::Before) => Ok(Pushed::Already),
            Message::Behind(head) => Ok(Pushed::Behind(head)),
            other => Err(SyncError::Unexpected(other.name())),
        }
    }

    /// Fetches a branch of another store and moves ours on to it; if ours has something of its
    /// own, merges it, for which `meta` says who and when.
    pub fn pull(
        &self,
        from: &mut dyn Peer,
        branch: &BranchName,
        meta: &Meta,
    ) -> Result<Pulled, SyncError> {
        let Some(theirs) = self.fetch(from, branch)? else { return Ok(Pulled::NoBranch) };
        let pulled = self.transact(|batch| match batch.forward(branch, &theirs)? {
            Forward::Moved => Ok(Pulled::Forward(theirs.clone())),
            Forward::Already | Forward::Ahead(_) => Ok(Pulled::Already),
            Forward::Apart(_) => Ok(match batch.merge(branch, &theirs, meta.clone())? {
                Merged::Already => Pulled::Already,
                Merged::Conflicts(conflicts) => Pulled::Conflicts(conflicts),
                Merged::Commit(commit) => Pulled::Merged(commit),
            }),
        })?;
        Ok(pulled)
    }
}
