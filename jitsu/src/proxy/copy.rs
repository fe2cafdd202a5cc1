//! Carrying bytes between two connections.
//!
//! Owns one direction's loop. Short exchanges go through a buffer (two system calls, no other
//! cost); a direction that turns out to be a bulk transfer is moved by `splice(2)` through a
//! pipe and never enters this process. It must not know who the two are.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The buffer of the short way.
const BUFFER_BYTES: usize = 16 * 1024;

/// So many full buffers in a row make a transfer a bulk one.
const FULL_BUFFERS_MAX: u32 = 4;

/// The size asked for a pipe; one larger than allowed leaves it at the system's default.
const PIPE_BYTES: usize = 1 << 20;

/// Carries both directions until both have ended. An end of one is passed on as an end of the
/// other (half-close). Gives the bytes carried, there and back; an error is a broken connection.
pub(super) async fn both(client: &TcpStream, guest: &TcpStream) -> io::Result<(u64, u64)> {
    tokio::try_join!(one(client, guest), one(guest, client))
}

async fn one(from: &TcpStream, to: &TcpStream) -> io::Result<u64> {
    let mut carried = 0;
    let mut full = 0;
    while full < FULL_BUFFERS_MAX {
        from.readable().await?;
        match step(from, to) {
            Ok(Step { read: 0, .. }) => {
                shut(to)?;
                return Ok(carried);
            }
            Ok(Step { read, left }) => {
                write_all(to, &left).await?;
                carried += read as u64;
                full = if read == BUFFER_BYTES { full + 1 } else { 0 };
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    carried += spliced(from, to).await?;
    shut(to)?;
    Ok(carried)
}

struct Step {
    read: usize,
    /// What was read and could not be written at once.
    left: Vec<u8>,
}

/// Reads once and writes what it got. Not async: the buffer is on the stack of whoever polls,
/// so that ten thousand quiet connections do not hold ten thousand buffers.
fn step(from: &TcpStream, to: &TcpStream) -> io::Result<Step> {
    let mut buffer = [0; BUFFER_BYTES];
    let read = from.try_read(&mut buffer)?;
    let mut at = 0;
    while at < read {
        match to.try_write(&buffer[at..read]) {
            Ok(written) => at += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Step { read, left: buffer[at..read].to_vec() })
}

/// Writes all of `bytes`.
pub(super) async fn write_all(to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        to.writable().await?;
        match to.try_write(&bytes[at..]) {
            Ok(written) => at += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Passes on that no more will come. A peer that is gone already is no error of this direction.
fn shut(to: &TcpStream) -> io::Result<()> {
    match nix::sys::socket::shutdown(raw(to), nix::sys::socket::Shutdown::Write) {
        Ok(()) | Err(nix::errno::Errno::ENOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn raw(stream: &TcpStream) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(stream)
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    bytes: usize,
}

fn pipe() -> io::Result<Pipe> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let wished = i32::try_from(PIPE_BYTES).expect("BUG: the size of a pipe is small");
    let bytes = fcntl(&write, FcntlArg::F_SETPIPE_SZ(wished))
        .or_else(|_| fcntl(&write, FcntlArg::F_GETPIPE_SZ))?;
    Ok(Pipe { read, write, bytes: usize::try_from(bytes).unwrap_or(BUFFER_BYTES) })
}

async fn spliced(from: &TcpStream, to: &TcpStream) -> io::Result<u64> {
    let pipe = pipe()?;
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    let mut carried = 0;
    loop {
        let filled = from
            .async_io(Interest::READABLE, || {
                Ok(splice(from, None, &pipe.write, None, pipe.bytes, flags)?)
            })
            .await?;
        if filled == 0 {
            return Ok(carried);
        }
        let mut left = filled;
        while left > 0 {
            left -= to
                .async_io(Interest::WRITABLE, || {
                    Ok(splice(&pipe.read, None, to, None, left, flags)?)
                })
                .await?;
        }
        carried += filled as u64;
    }
}
