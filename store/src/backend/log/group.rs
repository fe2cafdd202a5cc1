//! Owns how those who publish at the same time share a flush. Must not know what a flush does.
//!
//! ```text
//!             asked, nobody leads                      flushed, others wait
//!   (nobody) ─────────────────────▶ one leads, flushes ─────────────────────▶ the first of them leads
//!      ▲                                  │
//!      └──────────────────────────────────┘ flushed, nobody waits
//! ```
//!
//! Whoever asks while one leads waits in line, and all in line are one flush.

use std::sync::Arc;

use crate::backend::HeadChange;
use crate::error::StorageError;
use crate::threads::{Condvar, Mutex, MutexGuard};

/// The line.
#[derive(Default)]
pub(super) struct Group {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Arc<Place>>,
    is_led: bool,
    is_broken: bool,
}

/// What somebody wants.
pub(super) struct Asked {
    /// Heads to be moved.
    pub(super) changes: Vec<HeadChange>,
    /// Only in this epoch.
    pub(super) epoch: Option<u64>,
}

/// A place in the line.
struct Place {
    asked: Asked,
    turn: Mutex<Turn>,
    called: Condvar,
}

enum Turn {
    Wait,
    Lead,
    Done(Result<bool, StorageError>),
}

/// What came of a flush.
pub(super) enum Outcome {
    /// For each who waits, whether the heads were moved.
    Done(Vec<bool>),
    /// Nothing was written, and all can go on.
    Refused(StorageError),
    /// What was written is unknown, and nothing can go on.
    Broken(StorageError),
}

impl Group {
    /// Moves heads with the next flush, which the caller does with `flush` if it is its turn.
    pub(super) fn ask(
        &self,
        asked: Asked,
        flush: impl FnOnce(&[&Asked]) -> Outcome,
    ) -> Result<bool, StorageError> {
        let turn = Mutex::new(Turn::Wait);
        let place = Arc::new(Place { asked, turn, called: Condvar::new() });
        {
            let mut line = self.line();
            if line.is_broken {
                return Err(StorageError::Poisoned);
            }
            line.waiting.push(place.clone());
            if !line.is_led {
                line.is_led = true;
                place.call(Turn::Lead);
            }
        }
        match place.wait() {
            Turn::Done(result) => result,
            Turn::Lead => {
                self.lead(flush);
                match place.wait() {
                    Turn::Done(result) => result,
                    Turn::Lead | Turn::Wait => unreachable!("BUG: who led was not served"),
                }
            }
            Turn::Wait => unreachable!("BUG: called to go on waiting"),
        }
    }

    /// Does one flush for all in line, and calls who leads the next one before it tells those who
    /// were served, so that the disk is not idle meanwhile.
    fn lead(&self, flush: impl FnOnce(&[&Asked]) -> Outcome) {
        let served = std::mem::take(&mut self.line().waiting);
        let asked: Vec<_> = served.iter().map(|place| &place.asked).collect();
        let outcome = flush(&asked);
        let mut line = self.line();
        let mut cut_off = Vec::new();
        if matches!(outcome, Outcome::Broken(_)) {
            line.is_broken = true;
            cut_off = std::mem::take(&mut line.waiting);
        }
        match line.waiting.first() {
            Some(next) => next.call(Turn::Lead),
            None => line.is_led = false,
        }
        drop(line);
        for (at, place) in served.iter().enumerate() {
            place.call(Turn::Done(match &outcome {
                Outcome::Done(moved) => Ok(moved[at]),
                Outcome::Refused(error) | Outcome::Broken(error) => Err(error.clone()),
            }));
        }
        for place in cut_off {
            place.call(Turn::Done(Err(StorageError::Poisoned)));
        }
    }

    /// Lets nobody go on: what was written is unknown.
    pub(super) fn poison(&self) {
        self.line().is_broken = true;
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect(PANICKED)
    }
}

impl Place {
    fn call(&self, turn: Turn) {
        *self.turn.lock().expect(PANICKED) = turn;
        self.called.notify_one();
    }

    fn wait(&self) -> Turn {
        let mut turn = self.turn.lock().expect(PANICKED);
        loop {
            match std::mem::replace(&mut *turn, Turn::Wait) {
                Turn::Wait => turn = self.called.wait(turn).expect(PANICKED),
                called => return called,
            }
        }
    }
}

const PANICKED: &str = "BUG: a thread panicked while it flushed";

#[cfg(all(test, shuttle))]
mod schedules;
#[cfg(all(test, not(shuttle)))]
mod tests;
