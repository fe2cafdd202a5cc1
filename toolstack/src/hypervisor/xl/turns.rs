//! How many domains `xl` makes at a time.
//!
//! Owns the turns, and waiting for one. It must not know what is done in a turn.
//!
//! The scripts that plug interfaces wait for one another, and libxl waits for each device no
//! longer than 10 s, for each script no longer than 40 s (`LIBXL_INIT_TIMEOUT` and
//! `LIBXL_HOTPLUG_TIMEOUT` in `libxl_internal.h`): where many domains are made at once on few
//! processors, none is.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError};

/// As many turns as there are processors.
pub(super) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A turn; it is given back when dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new() -> Turns {
        let count = std::thread::available_parallelism().map_or(1, NonZero::get);
        Turns { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for one.
    pub(super) fn take(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn there_are_never_more_turns_than_at_first_and_everybody_has_one() {
        let turns = Turns::new();
        let count = *turns.free.lock().expect("not poisoned");
        let (now, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 * count {
                scope.spawn(|| {
                    let _turn = turns.take();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    all.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= count);
        assert_eq!(all.into_inner(), 4 * count);
        assert_eq!(*turns.free.lock().expect("not poisoned"), count);
    }
}
