//! Frames: a length, then one MessagePack value.
//!
//! Owns the bytes between two peers. It must not know sockets: bytes are pushed in, values come
//! out. A frame is four bytes of length, most significant first, and that many bytes of
//! MessagePack with structs as maps, so that a field can be added without a new version.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame, in bytes, without its length.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// How deep values may nest. The deepest message has 10 levels.
const DEPTH_MAX: usize = 32;

const LENGTH_BYTES: usize = 4;

/// Why a frame is refused. After any of these the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes; at most {FRAME_BYTES_MAX} are allowed")]
    Long(usize),
    /// It is not a message.
    #[error("a frame that is no message: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// There are bytes behind the message, inside the frame.
    #[error("{0} bytes behind the message, inside its frame")]
    Trailing(usize),
    /// A value that MessagePack cannot carry.
    #[error("the message cannot be encoded: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// Appends `message` to `out` as a frame. On an error `out` is as it was.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut serializer = rmp_serde::Serializer::new(&mut *out).with_struct_map();
    let written = message.serialize(&mut serializer);
    let length = out.len() - start - LENGTH_BYTES;
    if let Err(error) = written {
        out.truncate(start);
        return Err(error.into());
    }
    if length > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(FrameError::Long(length));
    }
    let prefix = u32::try_from(length).expect("BUG: FRAME_BYTES_MAX fits in 32 bits");
    out[start..start + LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
    Ok(())
}

/// Cuts a stream of bytes into messages. Holds at most one frame and what was last pushed.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first byte that was not taken stands in `buffer`.
    start: usize,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, or None until more bytes arrive. Call until it gives None.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((prefix, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::Long(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let mut reader = frame;
        let mut deserializer = rmp_serde::Deserializer::new(&mut reader);
        deserializer.set_max_depth(DEPTH_MAX);
        let message = serde::Deserialize::deserialize(&mut deserializer)?;
        if !reader.is_empty() {
            return Err(FrameError::Trailing(reader.len()));
        }
        self.start += LENGTH_BYTES + length;
        Ok(Some(message))
    }

    /// Whether the stream may end here: no part of a frame is left.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }
}
