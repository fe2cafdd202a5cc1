//! Hearing of the end of processes.
//!
//! Owns one thread that waits on the pidfds of all domains, children of ours or not, and looks
//! after the size of their consoles once a second. What an end means is not its business.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::pidfd;

/// How often consoles are looked at while anything runs.
const TICK_MS: u16 = 1000;

/// The number that stands for the wish to stop; no descriptor has it.
const STOP: u64 = u64::MAX;

/// What the thread tells.
pub(super) trait Watched: Send + Sync + 'static {
    /// The process of this pidfd has ended.
    fn ended(&self, pidfd: &Arc<OwnedFd>);
    /// A second has passed.
    fn tick(&self);
}

/// The thread's other end. When it is dropped the thread ends.
pub(super) struct Watcher {
    epoll: Arc<Epoll>,
    stop: Arc<EventFd>,
    fds: Arc<Mutex<BTreeMap<u64, Arc<OwnedFd>>>>,
}

impl Watcher {
    /// Starts the thread.
    pub(super) fn start(watched: Weak<impl Watched>) -> io::Result<Watcher> {
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        epoll.add(stop.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let watcher = Watcher { epoll, stop, fds: Arc::default() };
        let (epoll, fds) = (watcher.epoll.clone(), watcher.fds.clone());
        std::thread::Builder::new()
            .name("pidfds".to_owned())
            .spawn(move || run(&epoll, &fds, &watched))?;
        Ok(watcher)
    }

    /// Watches one more process.
    pub(super) fn add(&self, pidfd: &Arc<OwnedFd>) -> io::Result<()> {
        let number = pidfd::number(pidfd);
        self.fds.lock().unwrap_or_else(PoisonError::into_inner).insert(number, pidfd.clone());
        self.epoll.add(pidfd.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        Ok(())
    }

    /// Watches it no more.
    pub(super) fn remove(&self, pidfd: &Arc<OwnedFd>) {
        let number = pidfd::number(pidfd);
        let mut fds = self.fds.lock().unwrap_or_else(PoisonError::into_inner);
        if fds.remove(&number).is_some() {
            // It may have ended, and been taken out, a moment ago.
            let _ = self.epoll.delete(pidfd.as_fd());
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
    }
}

fn run(epoll: &Epoll, fds: &Mutex<BTreeMap<u64, Arc<OwnedFd>>>, watched: &Weak<impl Watched>) {
    let mut events = [EpollEvent::empty(); 32];
    loop {
        let is_idle = fds.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        let timeout = if is_idle { EpollTimeout::NONE } else { EpollTimeout::from(TICK_MS) };
        let count = match epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => panic!("BUG: waiting on an epoll of ours failed: {errno}"),
        };
        if events[..count].iter().any(|event| event.data() == STOP) {
            return;
        }
        let Some(watched) = watched.upgrade() else { return };
        for event in &events[..count] {
            let mut fds = fds.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(pidfd) = fds.remove(&event.data()) {
                let _ = epoll.delete(pidfd.as_fd());
                drop(fds);
                watched.ended(&pidfd);
            }
        }
        if count == 0 {
            watched.tick();
        }
    }
}
