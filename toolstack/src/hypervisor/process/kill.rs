//! Ending a domain with everything that it started.
//!
//! Owns finding all its processes and insisting until there is none. With control groups the
//! kernel knows them; without, they are those of its session and those that carry its mark in
//! their environment, which a program can escape only by starting another in a new session
//! with an environment of its own making.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jitsu_proto::Name;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::Group;
use super::files::Identity;
use super::pidfd;
use crate::hypervisor::HypervisorError;

/// How long processes may take to go after `SIGKILL`.
const GOING_MAX: Duration = Duration::from_secs(5);

/// The name of the variable that carries the mark.
pub(super) const MARK: &str = "JITSU_DOMAIN";

/// Kills everything that belongs to the domain, and waits until it is gone.
pub(super) fn everything(
    name: &Name,
    identity: &Identity,
    pidfd: Option<&OwnedFd>,
    group: &Group,
) -> Result<(), HypervisorError> {
    let deadline = Instant::now() + GOING_MAX;
    let mut pause = Duration::from_micros(100);
    loop {
        kill_once(identity, group)?;
        // Most have one process: waiting for its end costs no time beyond that.
        if let Some(pidfd) = pidfd {
            let wait = pidfd::wait_end(pidfd, (Instant::now() + pause * 10).min(deadline));
            wait.map_err(|cause| HypervisorError::io("waiting for a process to end", cause))?;
            pidfd::reap(pidfd);
        }
        let left = members(identity, group).len();
        if left == 0 && group.remove() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(HypervisorError::Stuck { name: name.clone(), left });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn kill_once(identity: &Identity, group: &Group) -> Result<(), HypervisorError> {
    let failed = |cause| HypervisorError::io("killing a control group", cause);
    if group.kill().map_err(failed)? {
        return Ok(());
    }
    // Stopped first, so that none can start another while it is looked for.
    group.freeze(true).map_err(failed)?;
    for pid in members(identity, group) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    group.freeze(false).map(drop).map_err(failed)
}

/// Sends a signal to all of it, for want of a better way to stop its clock.
pub(super) fn signal_all(identity: &Identity, group: &Group, signal: Signal) {
    for pid in members(identity, group) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The processes of a domain that are alive.
fn members(identity: &Identity, group: &Group) -> Vec<i32> {
    if group.has_all() {
        return group.members();
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mark = format!("{MARK}={}", identity.mark);
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| belongs(*pid, identity, &mark))
        .collect()
}

fn belongs(pid: i32, identity: &Identity, mark: &str) -> bool {
    let Some(stat) = pidfd::stat(pid).filter(|stat| !stat.is_dead) else { return false };
    // The session has the number of the process that began it; the kernel gives that number to
    // nobody else while anybody is in the session.
    let is_in_session = stat.session == identity.pid && stat.start_time >= identity.start_time;
    is_in_session || {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    }
}
