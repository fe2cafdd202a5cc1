//! The store as it answers other stores that clients have.
//!
//! Owns which branches they may move, and what is said of it. What stores say to each other is
//! the store's own, and comes as bytes.

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::sync::{Message, Moved, Server, SyncError};
use jitsu_store::{BranchName, Id};

use super::{Answer, History, bad, storage};
use crate::layout;

/// The longest message, in bytes, that a frame carries for sure: a byte takes two there.
const MESSAGE_BYTES_MAX: usize = jitsu_proto::FRAME_BYTES_MAX / 2 - 1024;

/// What one client's store and this one say to each other.
pub struct Exchange {
    server: Server,
    /// What the client would move.
    branch: Option<BranchName>,
}

/// A branch that was moved to a commit.
pub type Pushed = (BranchName, Id);

impl History {
    /// An exchange in which nothing was said.
    pub fn exchange(&self) -> Exchange {
        Exchange { server: Server::new(&self.store), branch: None }
    }
}

impl Exchange {
    /// Answers a store that would have something, which moves nothing here.
    pub fn fetch(&mut self, message: &[u8]) -> Answer<Vec<u8>> {
        let message = decode(message)?;
        let begins = matches!(message, Message::List | Message::Want(_) | Message::WantNewest(..));
        if self.branch.is_some() && !begins {
            return Err(bad("a push is under way on this connection"));
        }
        self.branch = None;
        if matches!(message, Message::Give(_)) {
            return Err(bad("who fetches gives nothing: this is a push"));
        }
        self.answer(&message).and_then(|answer| encode(&answer))
    }

    /// Answers a store that would move a branch, and tells whether it was moved.
    pub fn push(&mut self, message: &[u8]) -> Answer<(Vec<u8>, Option<Pushed>)> {
        let message = decode(message)?;
        if let Message::Give(branch) = &message {
            check(branch)?;
            self.branch = Some(branch.clone());
        }
        let answer = self.answer(&message)?;
        let pushed = match (&message, &answer, &self.branch) {
            (Message::Head(head), Message::Moved(Moved::Now), Some(branch)) => {
                Some((branch.clone(), *head))
            }
            _ => None,
        };
        Ok((encode(&answer)?, pushed))
    }

    fn answer(&mut self, message: &Message) -> Answer<Message> {
        self.server.answer(message).map_err(|error| match error {
            SyncError::Storage(error) => storage(&error),
            SyncError::Raced { .. } => RpcError::new(ErrorCode::Exhausted, error.to_string()),
            other => bad(other.to_string()),
        })
    }
}

/// Refuses a branch that the toolstack looks after: what takes effect is merged, not pushed.
fn check(branch: &BranchName) -> Answer<()> {
    if branch.as_str() == layout::MAIN {
        return Err(bad("main is not pushed to; push to another branch, and merge that"));
    }
    if layout::is_kept(branch.as_str()) {
        return Err(bad(format!("branch {branch} is kept by the toolstack; push to another one")));
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Answer<Message> {
    Message::decode(bytes).map_err(|error| bad(format!("a message that cannot be read: {error}")))
}

fn encode(message: &Message) -> Answer<Vec<u8>> {
    let bytes = message.encode();
    if bytes.len() > MESSAGE_BYTES_MAX {
        let (len, max) = (bytes.len(), MESSAGE_BYTES_MAX);
        let text = format!("a message of {len} bytes, where {max} are the most: use the folder");
        return Err(RpcError::new(ErrorCode::Exhausted, text));
    }
    Ok(bytes)
}
