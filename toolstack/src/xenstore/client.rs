//! A blocking client of the XenStore.
//!
//! Owns its requests, but for watches, and the connection that threads share. It must not know
//! what keys mean.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::{Link, LinkError, Numbered, Place};
use super::packet::{Kind, Packet, WireError};
use super::path::{Path, PathError};
use super::permission::Permission;
use super::wire::{Answer, ErrorName, Reply, Request};

/// How often a list of children is read anew because it changed between two parts.
const LISTINGS_MAX: u32 = 100;

/// Why the XenStore did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon was not heard.
    #[error("the XenStore at {place}: it {cause}")]
    Link {
        /// Where it should be.
        place: Place,
        /// Why.
        cause: LinkError,
    },
    /// The daemon refused.
    #[error("the XenStore refused {kind} {subject}: {error}")]
    Refused {
        /// What was asked.
        kind: Kind,
        /// Of what: a path, a domid.
        subject: String,
        /// Why.
        error: ErrorName,
    },
    /// There is no such path.
    #[error("{path:?} is no path of the XenStore: {cause}")]
    Path {
        /// The text.
        path: String,
        /// What is wrong with it.
        cause: PathError,
    },
    /// What was to be sent has no room in a packet.
    #[error("{kind} {subject}: {cause}")]
    Long {
        /// What was to be asked.
        kind: Kind,
        /// Of what.
        subject: String,
        /// How long it is.
        cause: WireError,
    },
    /// Others always came between.
    #[error("a transaction of the XenStore was tried {attempts} times: others always came between")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The list always changed between two parts.
    #[error("the children of {path} were read {LISTINGS_MAX} times: the list always changed")]
    Unsteady {
        /// The parent.
        path: String,
    },
}

impl ClientError {
    /// Whether it says that there is no such node.
    pub fn is_no_entry(&self) -> bool {
        matches!(self, ClientError::Refused { error, .. } if *error == ErrorName::NO_ENTRY)
    }
}

/// A client. It connects again when the connection was lost, at the next request.
pub struct Client {
    place: Place,
    connection: Mutex<Connection>,
    /// Held for the length of a transaction. Of two that make siblings, C xenstored lets only one
    /// commit; so those of one process wait for each other rather than try in vain.
    transacting: Mutex<()>,
    last_req_id: AtomicU32,
}

struct Connection {
    link: Option<Link>,
    /// How many there were.
    count: u64,
}

/// The transaction that a request belongs to. Its number means nothing on another connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    tx_id: u32,
    connection: Option<u64>,
}

/// No transaction.
const OUTSIDE: Scope = Scope { tx_id: 0, connection: None };

/// A request that is ready to be sent, and what an error about it says.
pub(super) struct Ask {
    kind: Kind,
    subject: String,
    request: Numbered,
}

impl Client {
    /// A client of the daemon of this machine. `XENSTORED_PATH` names its socket where it is not
    /// the usual one.
    pub fn connect() -> Result<Client, ClientError> {
        Client::connect_to(Place::from_environment())
    }

    /// A client of the daemon at `place`.
    pub fn connect_to(place: Place) -> Result<Client, ClientError> {
        let client = Client {
            place,
            connection: Mutex::new(Connection { link: None, count: 0 }),
            transacting: Mutex::new(()),
            last_req_id: AtomicU32::new(0),
        };
        client.link(&mut client.connection())?;
        Ok(client)
    }

    /// What the node holds.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.read_in(OUTSIDE, path)
    }

    /// The names of its children.
    pub fn directory(&self, path: &str) -> Result<Vec<String>, ClientError> {
        self.directory_in(OUTSIDE, path)
    }

    /// Its permissions, the owner's first.
    pub fn permissions(&self, path: &str) -> Result<Vec<Permission>, ClientError> {
        self.call(OUTSIDE, path, &Request::GetPerms(valid(path)?), |reply| match reply {
            Reply::Permissions(list) => Some(list),
            _ => None,
        })
    }

    /// Sets what the node holds; it and its parents are made where they are not there.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), ClientError> {
        self.act(path, &Request::Write { path: valid(path)?, value: value.as_ref() })
    }

    /// Makes the node, empty, if it is not there.
    pub fn mkdir(&self, path: &str) -> Result<(), ClientError> {
        self.act(path, &Request::Mkdir(valid(path)?))
    }

    /// Removes the node with all below. It need not be there, its parent must.
    pub fn rm(&self, path: &str) -> Result<(), ClientError> {
        self.act(path, &Request::Rm(valid(path)?))
    }

    /// Sets the node's permissions, the owner's first.
    pub fn set_permissions(&self, path: &str, list: &[Permission]) -> Result<(), ClientError> {
        self.act(path, &Request::SetPerms { path: valid(path)?, permissions: list.to_vec() })
    }

    /// Lets the domain connect: its ring is in guest frame `frame`, its event channel's port is
    /// `port`.
    pub fn introduce(&self, domid: u32, frame: u64, port: u32) -> Result<(), ClientError> {
        self.act(domid, &Request::Introduce { domid, frame, port })
    }

    /// Cuts the domain's connection.
    pub fn release(&self, domid: u32) -> Result<(), ClientError> {
        self.act(domid, &Request::Release { domid })
    }

    /// Says that a domain which had shut down runs again.
    pub fn resume(&self, domid: u32) -> Result<(), ClientError> {
        self.act(domid, &Request::Resume { domid })
    }

    /// Whether the domain may connect.
    pub fn is_introduced(&self, domid: u32) -> Result<bool, ClientError> {
        self.call(OUTSIDE, domid, &Request::IsDomainIntroduced { domid }, |reply| match reply {
            Reply::Introduced(yes) => Some(yes),
            _ => None,
        })
    }

    /// The domain's directory, which its relative paths are relative to.
    pub fn domain_path(&self, domid: u32) -> Result<String, ClientError> {
        self.call(OUTSIDE, domid, &Request::GetDomainPath { domid }, |reply| match reply {
            Reply::DomainPath(path) => Some(path.as_str().to_owned()),
            _ => None,
        })
    }

    pub(super) fn read_in(&self, scope: Scope, path: &str) -> Result<Vec<u8>, ClientError> {
        self.call(scope, path, &Request::Read(valid(path)?), |reply| match reply {
            Reply::Value(value) => Some(value.to_vec()),
            _ => None,
        })
    }

    pub(super) fn directory_in(
        &self,
        scope: Scope,
        path: &str,
    ) -> Result<Vec<String>, ClientError> {
        let all = self.call(scope, path, &Request::Directory(valid(path)?), |reply| match reply {
            Reply::Names(names) => Some(owned(&names)),
            _ => None,
        });
        match all {
            Err(ClientError::Refused { error, .. }) if error == ErrorName::TOO_BIG => {
                self.directory_by_parts(scope, path)
            }
            all => all,
        }
    }

    fn directory_by_parts(&self, scope: Scope, path: &str) -> Result<Vec<String>, ClientError> {
        for _ in 0..LISTINGS_MAX {
            let mut listing: Option<(u64, Vec<String>)> = None;
            loop {
                let so_far = listing.iter().flat_map(|(_, names)| names);
                // A name is followed by its NUL.
                let bytes: usize = so_far.map(|name| name.len() + 1).sum();
                let offset = u32::try_from(bytes).expect("BUG: a node has under 4 GiB of children");
                let request = Request::DirectoryPart { path: valid(path)?, offset };
                let part = self.call(scope, path, &request, |reply| match reply {
                    Reply::Part { generation, names, is_last } if is_last || !names.is_empty() => {
                        Some((generation, owned(&names), is_last))
                    }
                    _ => None,
                })?;
                let (generation, names, is_last) = part;
                let (first, listed) = listing.get_or_insert((generation, Vec::new()));
                if *first != generation {
                    break;
                }
                listed.extend(names);
                if is_last {
                    return Ok(std::mem::take(listed));
                }
            }
        }
        Err(ClientError::Unsteady { path: path.to_owned() })
    }

    /// Waits until no other thread has a transaction of this client.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.transacting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction.
    pub(super) fn start(&self) -> Result<Scope, ClientError> {
        let ask = self.ask(OUTSIDE, "(new)", &Request::TransactionStart)?;
        let (answers, connection) = self.send(OUTSIDE, std::slice::from_ref(&ask))?;
        let tx_id = self.understand(&ask, &answers[0], |reply| match reply {
            Reply::Transaction(id) => Some(id),
            _ => None,
        })?;
        Ok(Scope { tx_id, connection: Some(connection) })
    }

    /// Asks, and picks what was asked for from the answer.
    fn call<T>(
        &self,
        scope: Scope,
        subject: impl Display,
        request: &Request<'_>,
        pick: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let ask = self.ask(scope, subject, request)?;
        let (answers, _) = self.send(scope, std::slice::from_ref(&ask))?;
        self.understand(&ask, &answers[0], pick)
    }

    fn act(&self, subject: impl Display, request: &Request<'_>) -> Result<(), ClientError> {
        let ask = self.ask(OUTSIDE, subject, request)?;
        self.act_all(OUTSIDE, std::slice::from_ref(&ask))
    }

    /// Asks for all of it at once. An error is that of the first that was refused.
    pub(super) fn act_all(&self, scope: Scope, asks: &[Ask]) -> Result<(), ClientError> {
        let (answers, _) = self.send(scope, asks)?;
        asks.iter().zip(&answers).try_for_each(|(ask, answer)| {
            self.understand(ask, answer, |reply| (reply == Reply::Done).then_some(()))
        })
    }

    /// Makes a request ready to be sent.
    pub(super) fn ask(
        &self,
        scope: Scope,
        subject: impl Display,
        request: &Request<'_>,
    ) -> Result<Ask, ClientError> {
        let (kind, subject) = (request.kind(), subject.to_string());
        let req_id = self.last_req_id.fetch_add(1, Ordering::Relaxed);
        let mut packet = Vec::new();
        match request.encode(req_id, scope.tx_id, &mut packet) {
            Ok(()) => Ok(Ask { kind, subject, request: Numbered { req_id, packet } }),
            Err(cause) => Err(ClientError::Long { kind, subject, cause }),
        }
    }

    /// Sends, and gives the answers in the same order, and the connection's number.
    fn send(&self, scope: Scope, asks: &[Ask]) -> Result<(Vec<Packet>, u64), ClientError> {
        let mut connection = self.connection();
        let count = match scope.connection {
            Some(count) if connection.link.is_none() || connection.count != count => {
                return Err(self.lost(LinkError::Closed));
            }
            Some(count) => count,
            None => {
                self.link(&mut connection)?;
                connection.count
            }
        };
        let link = connection.link.as_mut().expect("BUG: it was connected above");
        let requests = asks.iter().map(|ask| &ask.request);
        let answers = link.exchange(&requests.collect::<Vec<_>>());
        answers.map(|answers| (answers, count)).map_err(|cause| {
            connection.link = None;
            self.lost(cause)
        })
    }

    fn understand<T>(
        &self,
        ask: &Ask,
        answer: &Packet,
        pick: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let kind = answer.header.kind;
        let unexpected = || self.lost(LinkError::Wire(WireError::Kind(kind)));
        match Answer::decode(kind, &answer.payload) {
            Ok(Answer::Reply(reply)) if kind == ask.kind as u32 => {
                pick(reply).ok_or_else(unexpected)
            }
            Ok(Answer::Error(error)) => {
                Err(ClientError::Refused { kind: ask.kind, subject: ask.subject.clone(), error })
            }
            Ok(_) => Err(unexpected()),
            Err(cause) => Err(self.lost(LinkError::Wire(cause))),
        }
    }

    fn link(&self, connection: &mut Connection) -> Result<(), ClientError> {
        if connection.link.is_none() {
            connection.link = Some(Link::open(&self.place).map_err(|cause| self.lost(cause))?);
            connection.count += 1;
        }
        Ok(())
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, cause: LinkError) -> ClientError {
        ClientError::Link { place: self.place.clone(), cause }
    }
}

/// The path that `text` is.
pub(super) fn valid(text: &str) -> Result<Path<'_>, ClientError> {
    Path::new(text).map_err(|cause| ClientError::Path { path: text.to_owned(), cause })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests;
