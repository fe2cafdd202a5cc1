//! Owns the store that answers. Must not know who asks, nor whether they may.

use super::message::{Message, Moved};
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Peer, SyncError};
use crate::batch::Forward;
use crate::id::Id;
use crate::name::BranchName;
use crate::store::Store;

/// A store as it answers one other store, be it in the same process or elsewhere: messages come
/// in, and to each one goes out. [`Message::List`], [`Message::Want`], [`Message::WantNewest`] and
/// [`Message::Give`] begin anew, whatever was under way; only the last one changes something.
///
/// ```
/// use jitsu_store::sync::{Pushed, Server};
/// use jitsu_store::{BranchName, Contents, Meta, Store, Tree};
/// let (here, there) = (Store::memory(), Store::memory());
/// let main = BranchName::new("main")?;
/// let path = "greeting".parse()?;
/// let set = |tree: &mut Tree| tree.set(&path, Contents::text("hello"));
/// let (commit, ()) = here.update(&main, Meta::default(), set)?;
/// assert_eq!(here.push(&mut Server::new(&there), &main)?, Pushed::Moved);
/// assert_eq!(there.head(&main)?.unwrap().id(), commit.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    store: Store,
    state: State,
}

enum State {
    Idle,
    Sending { sender: Box<Sender>, head: Id },
    Receiving { receiver: Receiver, branch: BranchName },
}

impl Server {
    /// The store as it answers one other.
    pub fn new(store: &Store) -> Server {
        Server { store: store.clone(), state: State::Idle }
    }

    /// The answer to a message. After an error what was under way is over.
    pub fn answer(&mut self, message: &Message) -> Result<Message, SyncError> {
        match (std::mem::replace(&mut self.state, State::Idle), message) {
            (_, Message::List) => Ok(Message::Branches(self.store.branches()?)),
            (_, Message::Want(branch)) => {
                let Some(head) = self.store.head(branch)? else { return Ok(Message::Unknown) };
                self.send(Box::new(Sender::new(&self.store, &[head.id()])?), head.id())
            }
            (_, Message::WantNewest(branch, trees)) => {
                let Some(head) = self.store.head(branch)? else { return Ok(Message::Unknown) };
                self.send(Box::new(Sender::newest(&self.store, head.id(), *trees)?), head.id())
            }
            (_, Message::Give(branch)) => {
                let receiver = Receiver::new(&self.store)?;
                self.state = State::Receiving { receiver, branch: branch.clone() };
                Ok(Message::Taken)
            }
            (State::Sending { mut sender, head }, answer) => {
                let said = sender.answered(answer)?;
                Ok(self.say(sender, head, said))
            }
            (State::Receiving { receiver, branch }, Message::Head(head)) => {
                receiver.check(head)?;
                self.store.history().adopt(head)?;
                self.forward(&branch, head)
            }
            (State::Receiving { .. }, Message::Thinned(_)) => Err(SyncError::Thinned),
            (State::Receiving { mut receiver, branch }, message) => {
                let answer = receiver.handle(message)?;
                self.state = State::Receiving { receiver, branch };
                Ok(answer)
            }
            (State::Idle, message) => Err(SyncError::Unexpected(message.name())),
        }
    }

    fn send(&mut self, mut sender: Box<Sender>, head: Id) -> Result<Message, SyncError> {
        let said = sender.start()?;
        Ok(self.say(sender, head, said))
    }

    fn say(&mut self, sender: Box<Sender>, head: Id, said: Option<Message>) -> Message {
        match said {
            Some(message) => {
                self.state = State::Sending { sender, head };
                message
            }
            None => Message::Head(head),
        }
    }

    /// Moves a branch on to a commit that descends from its head.
    fn forward(&self, branch: &BranchName, to: &Id) -> Result<Message, SyncError> {
        Ok(match self.store.transact(|batch| batch.forward(branch, to))? {
            Forward::Moved => Message::Moved(Moved::Now),
            Forward::Already => Message::Moved(Moved::Before),
            Forward::Ahead(head) | Forward::Apart(head) => Message::Behind(head),
        })
    }
}

impl Peer for Server {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        self.answer(&message)
    }
}
