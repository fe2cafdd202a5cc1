//! A process that cannot be mistaken for another: its pidfd, and what `/proc` says of it.
//!
//! Owns the one system call that neither `std` nor `nix` has. It must not know domains.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use crate::hypervisor::End;

/// Opens the pidfd of the process that has this number now.
pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the system call takes two numbers and gives a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).expect("BUG: the kernel gave a descriptor that is none");
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process has ended; waits for that at most until `deadline`.
pub(super) fn wait_end(pidfd: &OwnedFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if Instant::now() < deadline => {}
            Ok(ended) => return Ok(ended > 0),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How the process that has ended did, and takes it from the process table if it is our child.
pub(super) fn reap(pidfd: &OwnedFd) -> End {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
        Ok(WaitStatus::Exited(_, code)) => End::Exited(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => End::Killed(signal as i32),
        // Not our child (it was adopted), or taken already.
        _ => End::Gone,
    }
}

/// When the process was started, in the kernel's ticks since boot, and its session.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Stat { is_dead: matches!(state, 'Z' | 'X'), session, start_time })
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_dead: bool,
    pub(super) session: i32,
    pub(super) start_time: u64,
}

/// The descriptor's number, to know it by.
pub(super) fn number(pidfd: &OwnedFd) -> u64 {
    u64::try_from(pidfd.as_raw_fd()).expect("BUG: an open descriptor is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_stat_is_read() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let stat = stat(pid).expect("we are there");
        assert!(!stat.is_dead && stat.start_time > 0);
        let session = nix::unistd::getsid(None).expect("a session").as_raw();
        assert_eq!(stat.session, session);
    }
}
