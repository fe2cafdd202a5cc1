//! A child that is ready to run and waits before its exec.
//!
//! Owns forking and what happens between it and `execve`; nothing else in the crate forks. It must
//! not know domains.
//!
//! ```text
//!   parent   fork ── waits for the report ──▶ Gate        open() ── waits for the report ──▶
//!                                  ▲                        │ one byte          ▲
//!   child    session, files, groups│ "ready" · · waits ▼ execve ─ closed: it runs │
//!                                                      └─ or stage and errno ─────┘
//! ```
//!
//! The gate and the report are pipes. When the parent is lost before it opens the gate, the
//! child reads the end of the pipe and exits: nothing half-made is left. The report closes by
//! itself when `execve` works.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::{fs::File, ptr};

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::cgroup::Entrance;

/// Everything the child needs, made before the fork: after it, the child must not allocate.
pub(super) struct Child {
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) stdin: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) entrance: Entrance,
}

/// A child that waits.
#[derive(Debug)]
pub(super) struct Gate {
    gate: File,
    report: File,
}

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Session,
    Files,
    Groups,
    Exec,
    /// It ended without a word.
    Lost,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
#[error("{stage:?}: {cause}")]
pub(super) struct SpawnError {
    pub(super) stage: Stage,
    pub(super) cause: io::Error,
}

/// Of `clone3(2)`; libc's own constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const READY: i32 = 0;
const SESSION: i32 = 1;
const FILES: i32 = 2;
const GROUPS: i32 = 3;
const EXEC: i32 = 4;

/// Where the two pipes stand in the child.
const GATE_FD: RawFd = 3;
const REPORT_FD: RawFd = 4;

impl Child {
    /// Forks. The child is in a session of its own, has its files and groups, and waits.
    pub(super) fn spawn(&self) -> Result<(i32, Gate), SpawnError> {
        let failed = |cause| SpawnError { stage: Stage::Session, cause };
        let (gate_read, gate_write) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let (report_read, report_write) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let argv = pointers(&self.argv);
        let env = pointers(&self.env);
        let tasks = &self.entrance.tasks;
        let groups: Vec<*const c_char> = tasks.iter().map(|path| path.as_ptr()).collect();
        let fds = [&gate_read, &report_write, &self.stdin, &self.output].map(AsRawFd::as_raw_fd);

        // No handler of the parent's may run in the child: it would write to the parent's pipes.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
            .map_err(|errno| failed(errno.into()))?;
        // SAFETY: the child calls only async-signal-safe functions until it execs or exits: see
        // `child`. All memory it reads was made before, and the parent's copy stays as it is.
        let pid = unsafe { fork_into(self.entrance.born_in.as_ref()) };
        if pid == 0 {
            // SAFETY: this is the child of the fork above; the pointers point into `self`,
            // `argv` and `env`, which live as long as this frame, and both arrays end with null.
            unsafe { child(&fds, self.program.as_ptr(), &argv, &env, &groups) }
        }
        let cause = io::Error::last_os_error();
        let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        restored.expect("BUG: a signal mask that was there cannot be set");
        if pid < 0 {
            return Err(failed(cause));
        }
        drop((gate_read, report_write));
        let mut gate = Gate { gate: File::from(gate_write), report: File::from(report_read) };
        match gate.hear() {
            Ok(Some(Report { stage: READY, .. })) => Ok((pid, gate)),
            Ok(Some(report)) => {
                reap(pid);
                Err(report.error())
            }
            Ok(None) => {
                reap(pid);
                let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(SpawnError { stage: Stage::Lost, cause })
            }
            Err(cause) => Err(SpawnError { stage: Stage::Lost, cause }),
        }
    }
}

/// Forks; the child is born in the control group whose folder this is. Negative: see errno.
///
/// # Safety
///
/// As for `fork` in a program of many threads: until it execs or exits, the child calls nothing
/// but async-signal-safe functions.
unsafe fn fork_into(group: Option<&OwnedFd>) -> i32 {
    let Some(group) = group else {
        // SAFETY: the caller's promise is the same.
        return unsafe { libc::fork() };
    };
    // SAFETY: all of it are numbers, for which zero is a value.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = CLONE_INTO_CGROUP;
    how.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    how.cgroup = group.as_raw_fd().cast_unsigned().into();
    // SAFETY: `how` is a valid structure of this size; without a stack and without shared memory
    // the call is a fork, except that libc's own handlers of forks do not run, which the child
    // does not need.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of::<libc::clone_args>()) };
    i32::try_from(pid).expect("BUG: the kernel gave a process number that is none")
}

fn reap(pid: i32) {
    // It has exited or is about to; an error would say that somebody else has taken it.
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
}

impl Gate {
    /// Lets the child exec, and waits until it has, or could not.
    pub(super) fn open(mut self) -> Result<(), SpawnError> {
        let lost = |cause| SpawnError { stage: Stage::Lost, cause };
        self.gate.write_all(&[1]).map_err(lost)?;
        match self.hear().map_err(lost)? {
            None => Ok(()),
            Some(report) => Err(report.error()),
        }
    }

    fn hear(&mut self) -> io::Result<Option<Report>> {
        let mut bytes = [0; 8];
        match self.report.read_exact(&mut bytes) {
            Ok(()) => {
                let [stage, errno] = [&bytes[..4], &bytes[4..]].map(|half| {
                    i32::from_ne_bytes(half.try_into().expect("BUG: half of eight is four"))
                });
                Ok(Some(Report { stage, errno }))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Report {
    stage: i32,
    errno: i32,
}

impl Report {
    fn error(&self) -> SpawnError {
        let stage = match self.stage {
            SESSION => Stage::Session,
            FILES => Stage::Files,
            GROUPS => Stage::Groups,
            _ => Stage::Exec,
        };
        SpawnError { stage, cause: io::Error::from_raw_os_error(self.errno) }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child, from `fork` to `execve`.
///
/// # Safety
///
/// Only in a child just forked. `fds` are open descriptors (gate, report, input, output); every
/// pointer is a C string, and `argv` and `env` end with null.
unsafe fn child(
    fds: &[RawFd; 4],
    program: *const c_char,
    argv: &[*const c_char],
    env: &[*const c_char],
    groups: &[*const c_char],
) -> ! {
    // SAFETY: plain system calls and async-signal-safe functions of libc, on descriptors and C
    // strings that the caller vouches for; no allocation, no lock, no unwinding.
    unsafe {
        let report = fds[1];
        if libc::setsid() < 0 {
            give_up(report, SESSION);
        }
        // Out of the way first, so that none is overwritten by another's new place.
        let mut high = [0; 4];
        for (to, from) in high.iter_mut().zip(fds) {
            *to = libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, 10);
            if *to < 0 {
                give_up(report, FILES);
            }
        }
        let [gate, report, stdin, output] = high;
        let placed = libc::dup2(stdin, 0) >= 0
            && libc::dup2(output, 1) >= 0
            && libc::dup2(output, 2) >= 0
            && libc::dup3(gate, GATE_FD, libc::O_CLOEXEC) >= 0
            && libc::dup3(report, REPORT_FD, libc::O_CLOEXEC) >= 0;
        // Whatever else the parent has open, another child's gate above all, is not ours to hold.
        let first = (REPORT_FD + 1).cast_unsigned();
        if !placed || libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) < 0 {
            give_up(report, FILES);
        }
        for group in groups {
            let file = libc::open(*group, libc::O_WRONLY | libc::O_CLOEXEC);
            if file < 0 || libc::write(file, c"0".as_ptr().cast(), 1) < 0 {
                give_up(REPORT_FD, GROUPS);
            }
            libc::close(file);
        }
        if libc::chdir(c"/".as_ptr()) < 0 {
            give_up(REPORT_FD, FILES);
        }
        libc::umask(0o022);
        default_signals();
        say(REPORT_FD, READY, 0);
        wait_for_gate();
        libc::execve(program, argv.as_ptr(), env.as_ptr());
        give_up(REPORT_FD, EXEC)
    }
}

/// # Safety
///
/// Only in a child just forked.
unsafe fn default_signals() {
    // SAFETY: `signal`, `sigemptyset` and `sigprocmask` are async-signal-safe; a number that
    // cannot be set is refused and left alone.
    unsafe {
        for number in 1..=64 {
            libc::signal(number, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Returns when the gate is opened; exits when the parent is lost.
///
/// # Safety
///
/// Only in a child just forked, with its gate in place.
unsafe fn wait_for_gate() {
    let mut byte = 0_u8;
    loop {
        // SAFETY: `byte` is one writable byte; `read` and `_exit` are async-signal-safe.
        unsafe {
            match libc::read(GATE_FD, (&raw mut byte).cast(), 1) {
                1 => return,
                -1 if *libc::__errno_location() == libc::EINTR => {}
                _ => libc::_exit(0),
            }
        }
    }
}

/// # Safety
///
/// Only in a child just forked; `report` is an open descriptor.
unsafe fn give_up(report: RawFd, stage: i32) -> ! {
    // SAFETY: errno is the calling thread's own; `_exit` is async-signal-safe.
    unsafe {
        let errno = *libc::__errno_location();
        say(report, stage, errno);
        libc::_exit(127)
    }
}

/// # Safety
///
/// Only in a child just forked; `report` is an open descriptor.
unsafe fn say(report: RawFd, stage: c_int, errno: c_int) {
    let words = [stage, errno];
    // SAFETY: `words` are eight readable bytes; a pipe takes so few at once.
    unsafe {
        libc::write(report, words.as_ptr().cast(), size_of_val(&words));
    }
}
