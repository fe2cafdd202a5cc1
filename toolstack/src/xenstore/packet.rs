//! Packets of the XenStore protocol: a header, then a payload.
//!
//! Owns the kinds of packets and how a stream is cut into them
//! (xen/include/public/io/xs_wire.h of Xen). It must not know what a payload says.

use std::fmt;

use super::path::PathError;

/// The longest payload of the protocol, in bytes: `XENSTORE_PAYLOAD_MAX`.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// The header, `struct xsd_sockmsg`: four `u32` in the machine's own order.
const HEADER_BYTES: usize = 16;

/// What a packet is: `enum xsd_sockmsg_type`. The reply to a request is of the request's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs, reason = "these are the protocol's own words")]
pub enum Kind {
    Control = 0,
    Directory = 1,
    Read = 2,
    GetPerms = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    Mkdir = 12,
    Rm = 13,
    SetPerms = 14,
    WatchEvent = 15,
    Error = 16,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
}

const KINDS: [(Kind, &str); 22] = [
    (Kind::Control, "CONTROL"),
    (Kind::Directory, "DIRECTORY"),
    (Kind::Read, "READ"),
    (Kind::GetPerms, "GET_PERMS"),
    (Kind::Watch, "WATCH"),
    (Kind::Unwatch, "UNWATCH"),
    (Kind::TransactionStart, "TRANSACTION_START"),
    (Kind::TransactionEnd, "TRANSACTION_END"),
    (Kind::Introduce, "INTRODUCE"),
    (Kind::Release, "RELEASE"),
    (Kind::GetDomainPath, "GET_DOMAIN_PATH"),
    (Kind::Write, "WRITE"),
    (Kind::Mkdir, "MKDIR"),
    (Kind::Rm, "RM"),
    (Kind::SetPerms, "SET_PERMS"),
    (Kind::WatchEvent, "WATCH_EVENT"),
    (Kind::Error, "ERROR"),
    (Kind::IsDomainIntroduced, "IS_DOMAIN_INTRODUCED"),
    (Kind::Resume, "RESUME"),
    (Kind::SetTarget, "SET_TARGET"),
    (Kind::ResetWatches, "RESET_WATCHES"),
    (Kind::DirectoryPart, "DIRECTORY_PART"),
];

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A payload over the limit: the stream cannot go on.
    #[error("a payload of {bytes} bytes; at most {max} are allowed")]
    Long {
        /// How long it is, or would be.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A type that has no meaning here.
    #[error("a packet of type {0}, which is not expected")]
    Kind(u32),
    /// A payload that is not what its type calls for.
    #[error("the payload of {kind} is not {wanted}")]
    Payload {
        /// The packet's.
        kind: Kind,
        /// What it should be.
        wanted: &'static str,
    },
    /// A path that is none.
    #[error("the path of {kind}: {cause}")]
    Path {
        /// The packet's.
        kind: Kind,
        /// What is wrong.
        cause: PathError,
    },
}

/// The beginning of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type, a [`Kind`] if it is known.
    pub kind: u32,
    /// Chosen by who asks; the answer has the same.
    pub req_id: u32,
    /// The transaction it belongs to; 0: none.
    pub tx_id: u32,
}

/// A packet whose payload was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its beginning.
    pub header: Header,
    /// The rest.
    pub payload: Vec<u8>,
}

/// Cuts a stream of bytes into packets. Holds at most one packet and what was last pushed.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first byte that was not taken stands in `buffer`.
    start: usize,
    payload_bytes_max: usize,
}

impl Decoder {
    /// A decoder at the start of a stream whose payloads have at most this many bytes.
    pub fn new(payload_bytes_max: usize) -> Decoder {
        Decoder { buffer: Vec::new(), start: 0, payload_bytes_max }
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet, or None until more bytes arrive. Call until it gives None.
    pub fn take(&mut self) -> Result<Option<Packet>, WireError> {
        let rest = &self.buffer[self.start..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let (words, _) = header.as_chunks::<4>();
        let word = |at: usize| u32::from_ne_bytes(words[at]);
        let bytes = word(3) as usize;
        if bytes > self.payload_bytes_max {
            return Err(WireError::Long { bytes, max: self.payload_bytes_max });
        }
        let Some(payload) = rest.get(..bytes) else { return Ok(None) };
        let payload = payload.to_vec();
        self.start += HEADER_BYTES + bytes;
        let header = Header { kind: word(0), req_id: word(1), tx_id: word(2) };
        Ok(Some(Packet { header, payload }))
    }
}

impl Kind {
    pub(super) fn new(number: u32) -> Result<Kind, WireError> {
        let known = KINDS.into_iter().find(|(kind, _)| *kind as u32 == number);
        known.map(|(kind, _)| kind).ok_or(WireError::Kind(number))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KINDS.into_iter().find(|(kind, _)| kind == self);
        f.write_str(known.expect("BUG: every kind has a name").1)
    }
}

/// Appends a packet whose payload `write` appends. On an error `out` is as it was.
pub(super) fn encode(
    kind: Kind,
    req_id: u32,
    tx_id: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let bytes = out.len() - start - HEADER_BYTES;
    if bytes > PAYLOAD_BYTES_MAX {
        out.truncate(start);
        return Err(WireError::Long { bytes, max: PAYLOAD_BYTES_MAX });
    }
    let length = u32::try_from(bytes).expect("BUG: PAYLOAD_BYTES_MAX fits in 32 bits");
    let words = [kind as u32, req_id, tx_id, length];
    for (at, word) in words.into_iter().enumerate() {
        out[start + 4 * at..][..4].copy_from_slice(&word.to_ne_bytes());
    }
    Ok(())
}
