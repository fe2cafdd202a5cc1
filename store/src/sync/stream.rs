//! Owns how messages go over a stream of bytes, such as a pipe or a socket. Must not know what
//! they say, nor what the stream is.
//!
//! ```text
//!   length, 4 bytes little-endian │ 'm' message, or 'e' why there is none, as text
//! ```

use std::io::{self, ErrorKind, Read, Write};

use super::message::{MESSAGE_BYTES_MAX, Message};
use super::{Peer, Server, SyncError};

const MESSAGE: u8 = b'm';
const ERROR: u8 = b'e';

/// The store at the other end of a stream, where [`serve`] answers.
pub struct Stream<R, W> {
    read: R,
    write: W,
}

impl<R: Read, W: Write> Stream<R, W> {
    /// What is read from one and written to the other: two ends of one connection.
    pub fn new(read: R, write: W) -> Stream<R, W> {
        Stream { read, write }
    }
}

impl<R: Read, W: Write> Peer for Stream<R, W> {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        write(&mut self.write, MESSAGE, &message.encode()).map_err(peer)?;
        match read(&mut self.read).map_err(peer)? {
            Some((MESSAGE, body)) => Ok(Message::decode(&body)?),
            Some((ERROR, text)) => {
                Err(SyncError::Told(String::from_utf8_lossy(&text).escape_debug().to_string()))
            }
            Some((other, _)) => Err(crate::DecodeError::Tag(other).into()),
            None => Err(peer(io::Error::from(ErrorKind::UnexpectedEof))),
        }
    }
}

/// Answers for a store until the other side has no more to say. What it says that is wrong is
/// told to it, and what was under way is over.
pub fn serve(server: &mut Server, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    while let Some((kind, body)) = read(from)? {
        let answer = match kind {
            MESSAGE => Message::decode(&body).map_err(SyncError::from),
            other => Err(crate::DecodeError::Tag(other).into()),
        };
        match answer.and_then(|message| server.answer(&message)) {
            Ok(answer) => write(to, MESSAGE, &answer.encode())?,
            Err(error) => write(to, ERROR, error.to_string().as_bytes())?,
        }
    }
    Ok(())
}

fn peer(error: impl std::error::Error + Send + Sync + 'static) -> SyncError {
    SyncError::Peer(Box::new(error))
}

fn write(to: &mut dyn Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let len = u32::try_from(1 + body.len()).expect("BUG: a message longer than one can be");
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&[kind])?;
    to.write_all(body)?;
    to.flush()
}

/// The kind and body of what comes next; `None` at the end, if nothing was begun.
fn read(from: &mut dyn Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut len = Vec::new();
    if (&mut *from).take(4).read_to_end(&mut len)? == 0 {
        return Ok(None);
    }
    let len: [u8; 4] = len.try_into().map_err(|_| ErrorKind::UnexpectedEof)?;
    let len = u32::from_le_bytes(len) as usize;
    if len == 0 || len > 1 + MESSAGE_BYTES_MAX {
        let error = format!("a message of {len} bytes, not of 1 to {}", 1 + MESSAGE_BYTES_MAX);
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    // No more is allocated than there is.
    let mut body = Vec::new();
    if from.take(len as u64).read_to_end(&mut body)? < len {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let kind = body.remove(0);
    Ok(Some((kind, body)))
}
