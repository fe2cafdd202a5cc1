//! A domain's console, kept in a file, as a stream.
//!
//! Owns one thread for each open console: it copies what the guest wrote and writes, and carries
//! what is typed to the guest; it ends when the reader closes its end or the domain is gone. Owns
//! keeping the file small. It must not know how what the guest writes comes into the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// How much is moved at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Opens the console that is in the file `path`; what is typed goes to `stdin`. `end` is readable
/// when the domain has ended.
pub(super) fn open(path: &Path, stdin: File, end: OwnedFd) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let file = File::open(path)?;
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    changes.add_watch(path, AddWatchFlags::IN_MODIFY)?;
    let pump = Pump { file, at: 0, changes, stream: ours, stdin, end, typed: Vec::new() };
    std::thread::Builder::new()
        .name("console".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || pump.run())?;
    Ok(theirs.into())
}

/// Keeps the file `console` within `bytes_max`, and what was there before in `old`, within the
/// same: whoever writes goes on writing to the same file, so what is in it is copied and cut off.
/// What is written in between is lost.
pub(super) fn rotate(console: &Path, old: &Path, bytes_max: u64) -> io::Result<()> {
    if std::fs::metadata(console)?.len() <= bytes_max {
        return Ok(());
    }
    let mut source = File::open(console)?;
    let length = source.metadata()?.len();
    source.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    io::copy(&mut source.take(bytes_max), &mut File::create(old)?)?;
    OpenOptions::new().write(true).open(console)?.set_len(0)
}

struct Pump {
    file: File,
    /// How much of the file was sent.
    at: u64,
    changes: Inotify,
    stream: UnixStream,
    stdin: File,
    end: OwnedFd,
    /// What was typed and the guest has not taken; at most one chunk.
    typed: Vec<u8>,
}

/// How far something was moved.
enum Flow {
    /// All was moved.
    Idle,
    /// The other side takes no more for now.
    Full,
}

impl Pump {
    fn run(mut self) {
        if self.pump().is_err() {
            // The reader is gone. What it typed before that still goes to the guest.
            let mut chunk = [0; CHUNK_BYTES];
            while let Ok(count @ 1..) = self.stream.read(&mut chunk) {
                self.typed.extend_from_slice(&chunk[..count]);
                if self.type_on().is_err() {
                    return;
                }
            }
        }
    }

    fn pump(&mut self) -> io::Result<()> {
        loop {
            let output = self.send()?;
            let input = self.type_on()?;
            let ready = self.wait(&output, &input)?;
            if ready.hung_up {
                return Ok(());
            }
            if ready.typed && !self.receive()? {
                // The reader has closed its end. What it typed before still goes to the guest.
                return self.type_on().map(drop);
            }
            if ready.ended {
                self.stream.set_nonblocking(false)?;
                self.send()?;
                return Ok(());
            }
            while self.changes.read_events().is_ok() {}
        }
    }

    /// Sends what the file has beyond what was sent.
    fn send(&mut self) -> io::Result<Flow> {
        let length = self.file.metadata()?.len();
        if length < self.at {
            // It was rotated.
            self.at = 0;
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let count = self.file.read(&mut chunk)?;
            if count == 0 {
                return Ok(Flow::Idle);
            }
            match self.stream.write(&chunk[..count]) {
                Ok(sent) => self.at += sent as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flow::Full),
                Err(error) => return Err(error),
            }
            self.file.seek(SeekFrom::Start(self.at))?;
        }
    }

    fn type_on(&mut self) -> io::Result<Flow> {
        while !self.typed.is_empty() {
            match self.stdin.write(&self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flow::Full),
                Err(error) => return Err(error),
            }
        }
        Ok(Flow::Idle)
    }

    /// Takes what was typed. False: nothing more will be.
    fn receive(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.typed.extend_from_slice(&chunk[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn wait(&self, output: &Flow, input: &Flow) -> io::Result<ReadyTo> {
        let mut stream = PollFlags::empty();
        stream.set(PollFlags::POLLIN, matches!(input, Flow::Idle));
        stream.set(PollFlags::POLLOUT, matches!(output, Flow::Full));
        let none = PollFlags::empty();
        let stdin = if matches!(input, Flow::Full) { PollFlags::POLLOUT } else { none };
        let changes = if matches!(output, Flow::Idle) { PollFlags::POLLIN } else { none };
        let mut fds = [
            PollFd::new(self.stream.as_fd(), stream),
            PollFd::new(self.stdin.as_fd(), stdin),
            PollFd::new(self.changes.as_fd(), changes),
            PollFd::new(self.end.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let of = |at: usize| fds[at].revents().unwrap_or(none);
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        let typed = of(0).contains(PollFlags::POLLIN);
        Ok(ReadyTo {
            // What was typed before the reader left still goes to the guest.
            hung_up: of(0).intersects(gone) && !typed,
            typed,
            ended: of(3).contains(PollFlags::POLLIN),
        })
    }
}

struct ReadyTo {
    hung_up: bool,
    typed: bool,
    ended: bool,
}
