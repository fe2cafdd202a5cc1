//! Owns where locks come from: the standard library, or, where interleavings are tested one by one, a
//! model of it; and how somebody else gets one. Must not know what is locked.

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets others have a lock that was just given back: nobody who waits for it wakes as fast as it
/// can be taken again.
pub(crate) fn give_way() {
    // Without threads nobody waits, and nobody can sleep.
    #[cfg(not(target_family = "wasm"))]
    std::thread::sleep(std::time::Duration::from_millis(1));
}
