//! Transactions of the XenStore: all of a change is seen, or nothing.
//!
//! Owns how one is put together, sent and tried again. It must not know what is changed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::client::{Ask, Client, ClientError, Scope, valid};
use super::permission::Permission;
use super::wire::{ErrorName, Request};

/// How often a transaction is tried that others come between. C xenstored is unfair: of 16
/// clients that committed at once, one was refused 250 times.
const ATTEMPTS_MAX: u32 = 300;
/// How long the first pause between two tries is at most; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(1);
/// How long any pause is at most.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// A transaction that is being put together. What changes something is sent together, before the
/// next read or at the end: each trip to the daemon and back costs more than what is done there.
pub struct Transaction<'c> {
    client: &'c Client,
    scope: Scope,
    waiting: Vec<Ask>,
}

impl Client {
    /// Does `body` as one change. It is done anew when others came between; it must not begin
    /// another transaction of this client.
    pub fn transaction<T, E: From<ClientError>>(
        &self,
        mut body: impl FnMut(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _alone = self.alone();
        let mut pause_max = PAUSE_FIRST;
        for attempt in 1..=ATTEMPTS_MAX {
            let mut transaction =
                Transaction { client: self, scope: self.start()?, waiting: Vec::new() };
            let done = body(&mut transaction);
            let done = done.and_then(|value| transaction.send().map(|()| value).map_err(E::from));
            match done {
                Ok(value) if transaction.end(true)? => return Ok(value),
                Ok(_) => {}
                Err(error) => {
                    // What went wrong is the news; a transaction left open goes with the connection.
                    let _ = transaction.end(false);
                    return Err(error);
                }
            }
            if attempt < ATTEMPTS_MAX {
                std::thread::sleep(chance_below(pause_max));
                pause_max = (pause_max * 2).min(PAUSE_MAX);
            }
        }
        Err(ClientError::Contended { attempts: ATTEMPTS_MAX }.into())
    }
}

impl Transaction<'_> {
    /// What the node holds.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.send()?;
        self.client.read_in(self.scope, path)
    }

    /// The names of its children.
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>, ClientError> {
        self.send()?;
        self.client.directory_in(self.scope, path)
    }

    /// Sets what the node holds; it and its parents are made where they are not there. Whether it
    /// was refused is told by the next read, or by the whole transaction; so too below.
    pub fn write(&mut self, path: &str, value: impl AsRef<[u8]>) -> Result<(), ClientError> {
        self.later(path, &Request::Write { path: valid(path)?, value: value.as_ref() })
    }

    /// Makes the node, empty, if it is not there.
    pub fn mkdir(&mut self, path: &str) -> Result<(), ClientError> {
        self.later(path, &Request::Mkdir(valid(path)?))
    }

    /// Removes the node with all below. It need not be there, its parent must.
    pub fn rm(&mut self, path: &str) -> Result<(), ClientError> {
        self.later(path, &Request::Rm(valid(path)?))
    }

    /// Sets the node's permissions, the owner's first.
    pub fn set_permissions(&mut self, path: &str, list: &[Permission]) -> Result<(), ClientError> {
        self.later(path, &Request::SetPerms { path: valid(path)?, permissions: list.to_vec() })
    }

    fn later(&mut self, path: &str, request: &Request<'_>) -> Result<(), ClientError> {
        self.waiting.push(self.client.ask(self.scope, path, request)?);
        Ok(())
    }

    fn send(&mut self) -> Result<(), ClientError> {
        self.client.act_all(self.scope, &std::mem::take(&mut self.waiting))
    }

    /// Ends it. False: others came between.
    fn end(&mut self, commit: bool) -> Result<bool, ClientError> {
        let subject = if commit { "(commit)" } else { "(abort)" };
        let ask = self.client.ask(self.scope, subject, &Request::TransactionEnd { commit })?;
        match self.client.act_all(self.scope, &[ask]) {
            Ok(()) => Ok(true),
            Err(ClientError::Refused { error, .. }) if error == ErrorName::AGAIN => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Chance keeps two that came between each other from doing so again.
fn chance_below(max: Duration) -> Duration {
    let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(RandomState::new().hash_one(()) % micros)
}
