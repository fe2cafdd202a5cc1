//! The packets of the XenStore protocol as a guest needs them (xen/include/public/io/xs_wire.h).
//!
//! Owns their layout. Must not know the ring that carries them.

/// Bytes of a packet's header: kind, request, transaction and length, 32 bits each.
pub const HEADER: usize = 16;
/// The most bytes that may follow a header (`XENSTORE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = 4096;

/// `XS_READ`: the value of a path.
pub const READ: u32 = 2;
/// `XS_WATCH`: tell when a path, or one below it, changes.
pub const WATCH: u32 = 4;
/// `XS_WRITE`: set the value of a path.
pub const WRITE: u32 = 11;
/// `XS_WATCH_EVENT`: a watched path changed; no answer to a request.
pub const WATCH_EVENT: u32 = 15;
/// `XS_ERROR`: the answer to a request that failed; its payload is the errno's name.
pub const ERROR: u32 = 16;

/// What precedes a packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is: [`READ`] and so on.
    pub kind: u32,
    /// The number of the request, repeated in its answer.
    pub request: u32,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// As it stands in the ring, outside any transaction.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        for (field, value) in [self.kind, self.request, 0, self.length].into_iter().enumerate() {
            bytes[field * 4..][..4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// From the ring. `None`: it announces more than the protocol allows.
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Header> {
        let field = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Header { kind: field(0), request: field(4), length: field(12) };
        (header.length as usize <= PAYLOAD_MAX).then_some(header)
    }
}

/// The most bytes of what [`beginning`] gives.
pub const BEGINNING_BYTES_MAX: usize = 64;

/// The first 16 characters of a value: enough to say of one that is not understood.
pub fn beginning(value: &str) -> &str {
    let end = value.char_indices().nth(BEGINNING_BYTES_MAX / 4);
    &value[..end.map_or(value.len(), |(at, _)| at)]
}

/// The text of a payload, without the NUL that some daemons end an error with.
pub fn text(payload: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(payload).ok()?;
    Some(text.trim_end_matches('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_four_little_endian_words() {
        let header = Header { kind: WRITE, request: 0x0102, length: 3 };
        let bytes = header.encode();
        assert_eq!(bytes, [11, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(Header::decode(&bytes), Some(header));
    }

    #[test]
    fn a_payload_has_a_bound() {
        let longest = Header { kind: READ, request: 1, length: 4096 };
        assert_eq!(Header::decode(&longest.encode()), Some(longest));
        let longer = Header { length: 4097, ..longest };
        assert_eq!(Header::decode(&longer.encode()), None);
    }

    #[test]
    fn text_ends_before_a_nul() {
        assert_eq!(text(b"ENOENT\0"), Some("ENOENT"));
        assert_eq!(text(b"4"), Some("4"));
        assert_eq!(text(b""), Some(""));
        assert_eq!(text(&[0xff]), None);
    }

    #[test]
    fn a_value_as_long_as_the_protocol_allows_is_text() {
        let longest = "a".repeat(PAYLOAD_MAX);
        assert_eq!(text(longest.as_bytes()), Some(&*longest));
    }

    #[test]
    fn a_beginning_is_whole_characters() {
        assert_eq!(beginning(""), "");
        assert_eq!(beginning("poweroff"), "poweroff");
        assert_eq!(beginning(&"ab".repeat(2048)), "abababababababab");
        let longest = "\u{1f600}".repeat(16);
        assert_eq!(beginning(&longest.repeat(2)), longest);
        assert_eq!(longest.len(), BEGINNING_BYTES_MAX);
    }
}
