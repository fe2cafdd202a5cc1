//! A connection to the XenStore's daemon.
//!
//! Owns where the daemon is and how packets go there and answers come back. It must not know what
//! they say.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::packet::{Decoder, Kind, Packet, WireError};

/// Where daemons listen in dom0, unless `XENSTORED_PATH` says otherwise.
const SOCKET: &str = "/run/xenstored/socket";
/// The kernel's way to a daemon that runs elsewhere, in a domain of its own.
const DEVICE: &str = "/dev/xen/xenbus";

/// How long an answer may take. A daemon answers in microseconds; one that hangs must not hang us.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The longest answer that is taken, in bytes. oxenstored keeps no limit for the names of a node's
/// children, where the protocol has one.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How many requests are sent before their answers are read. The answers to these fit into the
/// socket's buffer, so that the daemon never waits for us while we wait for it.
const UNANSWERED_MAX: usize = 64;

/// Where the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Behind a Unix socket.
    Socket(PathBuf),
    /// Behind the socket of dom0, or where there is none behind the kernel's device.
    Usual,
}

/// Why a daemon was not heard. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is not there.
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    /// It closed the connection.
    #[error("closed the connection")]
    Closed,
    /// It does not answer.
    #[error("did not answer within {ANSWER_MAX:?}")]
    Silent,
    /// The operating system refused.
    #[error(transparent)]
    Io(io::Error),
    /// What it sent is not the protocol.
    #[error("sent what makes no sense: {0}")]
    Wire(#[from] WireError),
    /// It answered what was not asked.
    #[error("sent an answer to request {0}, which was not asked")]
    Unasked(u32),
}

/// A packet to be sent, and the number by which its answer is known.
pub(super) struct Numbered {
    pub(super) req_id: u32,
    pub(super) packet: Vec<u8>,
}

/// A connection.
pub(super) struct Link {
    file: File,
    decoder: Decoder,
}

impl Place {
    /// The place that the environment's `XENSTORED_PATH` names, or the usual one.
    pub fn from_environment() -> Place {
        std::env::var_os("XENSTORED_PATH").map_or(Place::Usual, |path| Place::Socket(path.into()))
    }

    /// The socket there, if there is one.
    pub(super) fn socket(&self) -> &Path {
        match self {
            Place::Socket(path) => path,
            Place::Usual => Path::new(SOCKET),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Socket(path) => path.display().fmt(f),
            Place::Usual => write!(f, "{SOCKET} or {DEVICE}"),
        }
    }
}

impl Link {
    pub(super) fn open(place: &Place) -> Result<Link, LinkError> {
        let file = connect(place.socket()).or_else(|error| match place {
            Place::Socket(_) => Err(error),
            // Where there is no device either, what is wrong with the socket is the news.
            Place::Usual => File::options().read(true).write(true).open(DEVICE).map_err(|_| error),
        });
        let decoder = Decoder::new(ANSWER_BYTES_MAX);
        Ok(Link { file: file.map_err(LinkError::Unreachable)?, decoder })
    }

    /// Sends all, and gives the answers in the same order.
    pub(super) fn exchange(&mut self, requests: &[&Numbered]) -> Result<Vec<Packet>, LinkError> {
        let mut answers = Vec::with_capacity(requests.len());
        for requests in requests.chunks(UNANSWERED_MAX) {
            // The kernel's device takes one packet a call.
            for request in requests {
                self.file.write_all(&request.packet).map_err(LinkError::of)?;
            }
            let mut missing: Vec<Option<Packet>> = requests.iter().map(|_| None).collect();
            for _ in requests {
                let answer = self.answer()?;
                let req_id = answer.header.req_id;
                let at = requests.iter().position(|request| request.req_id == req_id);
                let place = at.and_then(|at| missing.get_mut(at)).filter(|place| place.is_none());
                *place.ok_or(LinkError::Unasked(req_id))? = Some(answer);
            }
            answers.extend(missing.into_iter().flatten());
        }
        Ok(answers)
    }

    /// The next packet that is no event: those may come at any point.
    fn answer(&mut self) -> Result<Packet, LinkError> {
        let mut bytes = [0; 4096];
        loop {
            while let Some(packet) = self.decoder.take()? {
                if packet.header.kind != Kind::WatchEvent as u32 {
                    return Ok(packet);
                }
            }
            match self.file.read(&mut bytes) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => self.decoder.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LinkError::of(error)),
            }
        }
    }
}

impl LinkError {
    fn of(error: io::Error) -> LinkError {
        match error.kind() {
            io::ErrorKind::WouldBlock => LinkError::Silent,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LinkError::Closed,
            _ => LinkError::Io(error),
        }
    }
}

fn connect(path: &Path) -> io::Result<File> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(File::from(OwnedFd::from(stream)))
}
