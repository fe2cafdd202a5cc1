//! Hearing of domains that come and go.
//!
//! Owns the thread that waits for the XenStore to say so, over restarts of its daemon. It must not
//! know which domains there are: whoever is told looks.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::xenstore::watch::{INTRODUCED, RELEASED};
use crate::xenstore::{WatchError, Watches};

/// How long after the XenStore was lost it is looked for again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The thread. It ends when this is dropped.
pub struct Hearing {
    _stop: oneshot::Sender<()>,
}

/// Starts a thread that calls `look` at once, and whenever some domain was introduced or has
/// ended. It may block. False: there is nothing to look for any more.
pub fn hear(look: impl FnMut() -> bool + Send + 'static) -> Hearing {
    let (stop, mut ear) = Ear::new();
    let thread = std::thread::Builder::new().name("domains".to_owned());
    thread.spawn(move || ear.run(look)).expect("BUG: there is no thread to be had at the start");
    Hearing { _stop: stop }
}

struct Ear {
    runtime: Runtime,
    stopped: oneshot::Receiver<()>,
}

/// What is being waited for will not come: nobody wants to know any more.
#[derive(Debug, PartialEq, Eq)]
struct Stopped;

impl Ear {
    fn new() -> (oneshot::Sender<()>, Ear) {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        (stop, Ear { runtime: runtime.expect("BUG: there is no epoll"), stopped })
    }

    fn run(&mut self, mut look: impl FnMut() -> bool) {
        while let Ok(error) = self.until_lost(&mut look) {
            tracing::error!(%error, "domains that come and go are not heard; trying again");
            if self.pause(RECONNECT).is_err() {
                return;
            }
        }
    }

    fn pause(&mut self, how_long: Duration) -> Result<(), Stopped> {
        // Made within the runtime, as it takes the runtime's clock when it is made.
        self.wait(async { tokio::time::sleep(how_long).await })
    }

    /// Looks after every change until the XenStore is lost.
    fn until_lost(&mut self, look: &mut impl FnMut() -> bool) -> Result<WatchError, Stopped> {
        let begun = self.wait(async {
            let watches = Watches::connect().await?;
            Ok((watches.changes(INTRODUCED).await?, watches.changes(RELEASED).await?))
        });
        let (mut introduced, mut released) = match begun? {
            Ok(both) => both,
            Err(error) => return Ok(error),
        };
        loop {
            // First as well: before this was watched, nobody would have heard. Not within the
            // runtime, since whoever looks may block.
            if !look() {
                return Err(Stopped);
            }
            let changed = self.wait(async {
                tokio::select! {
                    changed = introduced.next() => changed,
                    changed = released.next() => changed,
                }
            });
            if let Err(error) = changed? {
                return Ok(error);
            }
        }
    }

    /// Waits for `work`.
    fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let stopped = &mut self.stopped;
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                _ = stopped => Err(Stopped),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_passes_and_is_cut_short_when_nobody_wants_to_know() {
        let (stop, mut ear) = Ear::new();
        assert_eq!(ear.pause(Duration::ZERO), Ok(()));
        drop(stop);
        assert_eq!(ear.pause(Duration::MAX), Err(Stopped));
    }
}
