//! Requests whose answer goes on: subscriptions, logs that are followed, consoles.
//!
//! Owns their course: first what is there, then what comes, with nothing lost or told twice in
//! between. A client that reads too slowly is told so and loses the subscription.

use std::sync::Arc;

use jitsu_proto::{ErrorCode, Event, Name, Response, RpcError, ServerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Server;
use super::answer::{Asking, blocking};
use crate::hypervisor::HypervisorError;

/// How much of a console one event carries.
const CONSOLE_BYTES: usize = 16 * 1024;

impl Asking {
    /// Sends an event. False: nobody is there any more.
    async fn event(&self, body: Event) -> bool {
        self.frames.send(ServerFrame::Event { id: self.id, body }).await.is_ok()
    }
}

/// Everything as it is, then as it changes.
pub(super) async fn subscribe(asking: &Asking) {
    let subscribed = asking.server.mailbox.subscribe(asking.server.limits.queue_max).await;
    let (first, mut events) = match subscribed {
        Ok(subscription) => subscription,
        Err(error) => return asking.reply(Err(error)).await,
    };
    asking.reply(Ok(Response::Subscribed)).await;
    for event in first.into_iter().chain([Event::Ready]) {
        if !asking.event(event).await {
            return;
        }
    }
    while let Some(event) = events.recv().await {
        if !asking.event(event).await {
            return;
        }
    }
    let text = "this subscription was read too slowly, or the toolstack is stopping";
    asking.event(Event::End(RpcError::new(ErrorCode::Exhausted, text))).await;
}

/// A log, and with `follow` what comes after it.
pub(super) async fn log(
    asking: &Asking,
    rev: String,
    path: Option<String>,
    limit: u32,
    follow: bool,
) {
    let history = asking.server.history.clone();
    // Marked before the log is read: what is published from here on is looked at again.
    let mut published = asking.server.published.clone();
    published.borrow_and_update();
    let (branch, below) = (rev.clone(), path.clone());
    let first = blocking(move || {
        if follow && !history.is_branch(&rev)? {
            let text = format!("{rev:?} is no branch; only a branch can be followed");
            return Err(RpcError::new(ErrorCode::BadRequest, text));
        }
        history.log(&rev, path.as_deref(), limit)
    })
    .await;
    let mut last = match first {
        Ok((commits, last)) => {
            asking.reply(Ok(Response::Commits(commits))).await;
            last
        }
        Err(error) => return asking.reply(Err(error)).await,
    };
    if !follow {
        return;
    }
    while published.changed().await.is_ok() {
        let history = asking.server.history.clone();
        let (branch, below) = (branch.clone(), below.clone());
        let news = blocking(move || history.log_since(&branch, below.as_deref(), &last)).await;
        let commits = match news {
            Ok((commits, head)) => {
                last = head;
                commits
            }
            Err(error) => {
                asking.event(Event::End(error)).await;
                return;
            }
        };
        for commit in commits {
            if !asking.event(Event::Commit(commit)).await {
                return;
            }
        }
    }
}

/// A domain's console, until it ends.
pub(super) async fn console(asking: &Asking, name: Name) {
    let mut console = match open(&asking.server, name.clone()).await {
        Ok(console) => console,
        Err(error) => return asking.reply(Err(error)).await,
    };
    asking.reply(Ok(Response::Subscribed)).await;
    let mut bytes = vec![0; CONSOLE_BYTES];
    while let Ok(count @ 1..) = console.read(&mut bytes).await {
        if !asking.event(Event::Console(bytes[..count].to_vec())).await {
            return;
        }
    }
    let end = RpcError::new(ErrorCode::NotFound, format!("domain {name} runs no longer"));
    asking.event(Event::End(end)).await;
}

/// Types on a domain's console.
pub(super) async fn type_on(
    server: &Arc<Server>,
    name: Name,
    bytes: Vec<u8>,
) -> Result<(), RpcError> {
    let mut console = open(server, name).await?;
    let written = console.write_all(&bytes).await;
    written.map_err(|cause| refused(&HypervisorError::io("typing on a console", cause)))
}

async fn open(server: &Arc<Server>, name: Name) -> Result<UnixStream, RpcError> {
    let handle = server.mailbox.handle(name).await?;
    let hypervisor = server.hypervisor.clone();
    let fd = blocking(move || hypervisor.console(&handle).map_err(|error| refused(&error))).await?;
    let stream = std::os::unix::net::UnixStream::from(fd);
    let opened = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    opened.map_err(|cause| refused(&HypervisorError::io("opening a console", cause)))
}

fn refused(error: &HypervisorError) -> RpcError {
    RpcError::new(error.code(), error.to_string())
}
