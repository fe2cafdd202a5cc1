//! Waiting for changes in the XenStore.
//!
//! Owns reads and watches that do not block, by the crate `xenstore-rs`, which no other file
//! names. What is told is that something changed, not what: whoever waits looks for itself. It
//! must not know what keys mean.
//!
//! What the crate (0.8.0) leaves to us:
//!
//! - When the daemon closes the connection, watches go on in silence, and the first request after
//!   it gets no answer. So another connection is held, of which nothing but its end is read.
//! - A watch whose events are not taken holds up the whole connection after eight, the answers to
//!   requests included. So a task for each watch takes its events at once.
//! - A call to `watch` that is dropped before its answer leaves the watch behind in the daemon. So
//!   the call is made by that task, which is not dropped.
//! - A watch that is dropped with an event on its way may be left behind too. Every watch has one
//!   event at once, so this is waited for. An event that comes in the very moment of the end can
//!   still do it: the daemon then keeps one watch more, until we disconnect.
//! - It does not wait where the daemon has not accepted the connection before (both daemons keep
//!   one waiting at most), but turns to the kernel's device, and tells what is wrong with that. So
//!   connecting is tried again.
//! - A connection is never closed by us: its reader waits for the daemon. So there is one for all.

use std::io;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use xenstore_rs::tokio::XsTokio;
use xenstore_rs::{AsyncWatch, AsyncXs};

use super::link::Place;
use super::path::{Path, PathError};

/// Changes when a domain was introduced.
pub const INTRODUCED: &str = "@introduceDomain";
/// Changes when a domain shut down, crashed, or is gone.
pub const RELEASED: &str = "@releaseDomain";

/// How often a daemon that is there is asked to take a connection, and the pause before the next.
const CONNECTS_MAX: u32 = 100;
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// Why nothing can be waited for.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The daemon is not there.
    #[error("the XenStore at {place}: it cannot be reached: {cause}")]
    Unreachable {
        /// Where it should be.
        place: Place,
        /// Why.
        cause: io::Error,
    },
    /// The daemon closed the connection; whoever waits has to connect again.
    #[error("the XenStore at {place}: it closed the connection")]
    Lost {
        /// Where it was.
        place: Place,
    },
    /// The daemon refused.
    #[error("the XenStore: {path}: {cause}")]
    Refused {
        /// What was to be read or watched.
        path: String,
        /// Why.
        cause: io::Error,
    },
    /// There is no such path.
    #[error("{path:?} is no path of the XenStore: {cause}")]
    Path {
        /// The text.
        path: String,
        /// What is wrong with it.
        cause: PathError,
    },
}

/// A connection that watches. It is for the whole life of the daemon that holds it.
#[derive(Clone)]
pub struct Watches {
    xs: XsTokio,
    place: Place,
    /// True once the daemon has closed its connections.
    gone: watch::Receiver<bool>,
}

/// The changes at and below a path, from when it was made on.
pub struct Changes {
    count: watch::Receiver<u64>,
    place: Place,
}

impl Watches {
    /// Connects to the daemon of this machine; see [`Place::from_environment`].
    pub async fn connect() -> Result<Watches, WatchError> {
        let place = Place::from_environment();
        let (tell, gone) = watch::channel(false);
        let is_busy = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let socket = patiently(|| UnixStream::connect(place.socket()), is_busy).await;
        let xs = match patiently(XsTokio::new, |_| socket.is_ok()).await {
            Ok(xs) => xs,
            // Where there is no device either, what is wrong with the socket is the news.
            Err(error) => {
                let cause = socket.err().unwrap_or(error);
                return Err(WatchError::Unreachable { place, cause });
            }
        };
        tokio::spawn(async move {
            match socket {
                Ok(mut socket) => {
                    let _ = socket.read(&mut [0]).await;
                    tell.send_replace(true);
                }
                // The kernel does not go away. Its end would be ours.
                Err(_) => tell.closed().await,
            }
        });
        Ok(Watches { xs, place, gone })
    }

    /// What the node holds. None: it is not there.
    pub async fn read(&self, path: &str) -> Result<Option<String>, WatchError> {
        valid(path)?;
        tokio::select! {
            read = self.xs.read(path) => match read {
                Ok(value) => Ok(Some(value.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(self.failed(path, cause)),
            },
            () = closed(self.gone.clone()) => Err(self.lost()),
        }
    }

    /// The changes at and below `path`, or of [`INTRODUCED`] or [`RELEASED`]. Nothing that changes
    /// after this returns is missed.
    pub async fn changes(&self, path: &str) -> Result<Changes, WatchError> {
        valid(path)?;
        let (tell, count) = watch::channel(0);
        let (begun, is_begun) = oneshot::channel();
        let follow = follow(self.xs.clone(), path.to_owned(), begun, tell, self.gone.clone());
        tokio::spawn(follow);
        match is_begun.await {
            Ok(Ok(())) => Ok(Changes { count, place: self.place.clone() }),
            Ok(Err(cause)) => Err(self.failed(path, cause)),
            Err(_) => Err(self.lost()),
        }
    }

    /// Waits until the domain's guest has written the key, and says what it holds. It goes on
    /// waiting when the domain is gone.
    pub async fn await_key(&self, domid: u32, key: &str) -> Result<String, WatchError> {
        let path = format!("/local/domain/{domid}/{key}");
        let mut changes = self.changes(&path).await?;
        loop {
            if let Some(value) = self.read(&path).await? {
                return Ok(value);
            }
            changes.next().await?;
        }
    }

    fn failed(&self, path: &str, cause: io::Error) -> WatchError {
        match cause.kind() {
            // The crate found out before us.
            io::ErrorKind::BrokenPipe => self.lost(),
            _ => WatchError::Refused { path: path.to_owned(), cause },
        }
    }

    fn lost(&self) -> WatchError {
        WatchError::Lost { place: self.place.clone() }
    }
}

impl Changes {
    /// Waits until something changed since the last time; of many changes it tells once.
    pub async fn next(&mut self) -> Result<(), WatchError> {
        let changed = self.count.changed().await;
        changed.map_err(|_| WatchError::Lost { place: self.place.clone() })
    }
}

/// Connects, again for a while where `again` says so of an error.
async fn patiently<T, F: Future<Output = io::Result<T>>>(
    connect: impl Fn() -> F,
    again: impl Fn(&io::Error) -> bool,
) -> io::Result<T> {
    for _ in 1..CONNECTS_MAX {
        match connect().await {
            Err(error) if again(&error) => tokio::time::sleep(CONNECT_PAUSE).await,
            done => return done,
        }
    }
    connect().await
}

/// Counts the changes until nobody wants to know.
async fn follow(
    xs: XsTokio,
    path: String,
    begun: oneshot::Sender<io::Result<()>>,
    tell: watch::Sender<u64>,
    gone: watch::Receiver<bool>,
) {
    let counting = async {
        let mut events = match xs.watch(&path).await {
            Ok(events) => events,
            Err(error) => return drop(begun.send(Err(error))),
        };
        // The one that every watch has at once.
        if events.next().await.is_none() {
            return;
        }
        let _ = begun.send(Ok(()));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(_) => tell.send_modify(|count| *count += 1),
                    None => return,
                },
                () = tell.closed() => return,
            }
        }
    };
    tokio::select! {
        () = counting => {}
        () = closed(gone) => {}
    }
}

/// Returns when the daemon has closed its connections.
async fn closed(mut gone: watch::Receiver<bool>) {
    // An error: the task that would tell is gone, with the runtime.
    let _ = gone.wait_for(|gone| *gone).await;
}

fn valid(path: &str) -> Result<(), WatchError> {
    let valid = Path::new(path);
    valid.map(drop).map_err(|cause| WatchError::Path { path: path.to_owned(), cause })
}
