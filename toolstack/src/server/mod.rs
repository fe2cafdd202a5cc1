//! Serving clients.
//!
//! Owns connections: how many there are, and each from its hello to its end. What a request
//! means is `answer`'s; what is decided about it is the machine's.

mod answer;
mod connection;
mod keys;
mod listen;
mod stream;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub(crate) use keys::Keys;
pub use listen::{ListenError, open};

use crate::driver::Mailbox;
use crate::history::History;
use crate::hypervisor::Hypervisor;
use crate::limits::Limits;
use crate::roles::Roles;

/// What every connection shares.
pub(crate) struct Server {
    pub(crate) mailbox: Mailbox,
    pub(crate) history: History,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) keys: Keys,
    pub(crate) limits: Limits,
    pub(crate) roles: RwLock<Roles>,
    pub(crate) store_folder: String,
    pub(crate) begun: Instant,
    /// Counts the publishings of the store.
    pub(crate) published: watch::Receiver<u64>,
}

/// What the daemon says it is.
pub(crate) const PROGRAM: &str = concat!("toolstack ", env!("CARGO_PKG_VERSION"));

impl Server {
    pub(crate) fn set_roles(&self, roles: Roles) {
        *self.roles.write().unwrap_or_else(PoisonError::into_inner) = roles;
    }

    fn role_of(&self, uid: u32, gid: u32, pid: i32) -> Option<jitsu_proto::Role> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner).of(uid, gid, pid)
    }

    /// Takes connections until `stop` changes, then lets each end.
    pub(crate) async fn run(
        self: Arc<Server>,
        listener: UnixListener,
        mut stop: watch::Receiver<bool>,
    ) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                _ = stop.changed() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: taking the next at once would spin.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!("a connection was refused: limits.connections_max are open");
                continue;
            };
            let (server, stop) = (self.clone(), stop.clone());
            connections.spawn(async move {
                connection::serve(server, stream, stop).await;
                drop(place);
            });
        }
        connections.shutdown().await;
    }
}
