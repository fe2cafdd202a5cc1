//! Owns how the movement of a head reaches those who wait for it. Must not know why it moved.
//!
//! A watch does not queue events: it compares the head with the one it told last. So it needs no
//! bound, and one who looks seldom gets one movement from the old of the first to the new of the
//! last.

#[cfg(feature = "stream")]
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[cfg(feature = "stream")]
pub use self::stream::WatchStream;
use crate::commit::Commit;
use crate::error::StorageError;
use crate::history::{History, Moved};
use crate::id::Id;
use crate::name::BranchName;
use crate::threads::{Condvar, Mutex, MutexGuard};

/// A head that moved; `None` where there is no such branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadMoved {
    /// The branch.
    pub branch: BranchName,
    /// Where it was.
    pub old: Option<Id>,
    /// Where it is.
    pub new: Option<Id>,
}

impl HeadMoved {
    pub(crate) fn of(Moved { branch, old, new }: &Moved) -> HeadMoved {
        let id = |head: &Option<Commit>| head.as_ref().map(Commit::id);
        HeadMoved { branch: branch.clone(), old: id(old), new: id(new) }
    }
}

/// The movements of one branch from when the watch was made: several since it was last asked are
/// told as one, from the old head of the first to the new head of the last. As an iterator it
/// waits for the next one, and ends when the store is closed: when nobody has a clone of it, be it
/// in a [`Batch`](crate::Batch) or a [`Server`](crate::sync::Server).
pub struct Watch {
    branch: BranchName,
    told: Option<Id>,
    bell: Arc<Bell>,
    /// What tells it from the others at the same bell.
    number: u64,
}

/// Where the head of one watched branch is now.
struct Bell {
    state: Mutex<Position>,
    rung: Condvar,
}

#[derive(Default)]
struct Position {
    head: Option<Id>,
    closed: bool,
    /// How many watches were made.
    watches: u64,
    /// The tasks that wait, by the numbers of their watches.
    waiting: BTreeMap<u64, Waker>,
}

impl Watch {
    /// The next movement, if there was one since the last.
    pub fn try_next(&mut self) -> Option<HeadMoved> {
        let head = self.bell.position().head;
        self.tell(head)
    }

    /// The next movement, waiting for it no longer than this; `None` as well if the store is
    /// closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<HeadMoved> {
        let deadline = Instant::now().checked_add(timeout);
        self.wait(deadline)
    }

    /// The next movement, for a task that is woken when there may be one; ready with `None` when
    /// the store is closed. With the feature `stream`, `into_stream` makes a stream of it.
    pub fn poll_moved(&mut self, context: &mut Context<'_>) -> Poll<Option<HeadMoved>> {
        let bell = self.bell.clone();
        let mut position = bell.position();
        if position.head == self.told && !position.closed {
            position.waiting.insert(self.number, context.waker().clone());
            return Poll::Pending;
        }
        let head = position.head;
        drop(position);
        Poll::Ready(self.tell(head))
    }

    /// The branch.
    pub fn branch(&self) -> &BranchName {
        &self.branch
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Option<HeadMoved> {
        let bell = self.bell.clone();
        let mut position = bell.position();
        while position.head == self.told && !position.closed {
            position = match deadline {
                None => bell.rung.wait(position).expect(PANICKED),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    bell.rung.wait_timeout(position, left).expect(PANICKED).0
                }
            };
        }
        let head = position.head;
        drop(position);
        self.tell(head)
    }

    fn tell(&mut self, new: Option<Id>) -> Option<HeadMoved> {
        let old = std::mem::replace(&mut self.told, new);
        (old != new).then(|| HeadMoved { branch: self.branch.clone(), old, new })
    }
}

impl Iterator for Watch {
    type Item = HeadMoved;

    fn next(&mut self) -> Option<HeadMoved> {
        self.wait(None)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bell.position().waiting.remove(&self.number);
    }
}

impl Bell {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.state.lock().expect(PANICKED)
    }

    /// Changes the position, and wakes all threads that wait; which tasks to wake, too, when
    /// nothing is locked any more.
    fn ring(&self, change: impl FnOnce(&mut Position)) -> impl Iterator<Item = Waker> {
        let mut position = self.position();
        change(&mut position);
        self.rung.notify_all();
        std::mem::take(&mut position.waiting).into_values()
    }
}

/// All watches of a store.
#[derive(Default)]
pub(crate) struct Watches {
    bells: Mutex<HashMap<BranchName, Weak<Bell>>>,
}

impl Watches {
    pub(crate) fn watch(
        &self,
        branch: &BranchName,
        history: &History,
    ) -> Result<Watch, StorageError> {
        let mut bells = self.bells.lock().expect(PANICKED);
        // Read under the lock, so that no movement falls between reading and listening.
        let head = history.head(branch)?.map(|head| head.id());
        let bell = bells.get(branch).and_then(Weak::upgrade).unwrap_or_else(|| {
            bells.retain(|_, bell| bell.strong_count() > 0);
            let state = Mutex::new(Position { head, ..Position::default() });
            let bell = Arc::new(Bell { state, rung: Condvar::new() });
            bells.insert(branch.clone(), Arc::downgrade(&bell));
            bell
        });
        let mut position = bell.position();
        position.head = head;
        position.watches += 1;
        let number = position.watches;
        drop(position);
        Ok(Watch { branch: branch.clone(), told: head, bell, number })
    }

    /// Tells of heads that moved. What is told is where they are by now: publishers may come here
    /// in another order than they published in.
    pub(crate) fn ring(&self, moved: &[Moved], history: &History) {
        let mut woken = Vec::new();
        let bells = self.bells.lock().expect(PANICKED);
        for Moved { branch, new, .. } in moved {
            let Some(bell) = bells.get(branch).and_then(Weak::upgrade) else { continue };
            let head = history.head(branch).unwrap_or_else(|_| new.clone());
            let head = head.map(|head| head.id());
            woken.extend(bell.ring(|position| position.head = head));
        }
        drop(bells);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for bell in self.bells.get_mut().expect(PANICKED).values().filter_map(Weak::upgrade) {
            bell.ring(|position| position.closed = true).for_each(Waker::wake);
        }
    }
}

const PANICKED: &str = "BUG: a thread panicked inside a watch";

#[cfg(all(test, not(shuttle)))]
mod tests;
