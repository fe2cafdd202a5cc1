//! How our domains are told from those of others.
//!
//! Owns the UUIDs ("handles") that our domains have. The hypervisor keeps a domain's UUID from the
//! hypercall that makes the domain to its end, so that a toolstack which was killed in between
//! knows afterwards what it left.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// The key below `/vm/<uuid>` of the XenStore that is written when a domain is built. A domain of
/// ours without it was left half-made.
pub const BUILT: &str = "jitsu-built";

/// The key below `/vm/<uuid>` with the address of the domain's guest.
pub const ADDRESS: &str = "jitsu-address";

/// Every UUID of ours begins with it.
const MARK: [u8; 6] = *b"jitsu\0";

/// The UUID of a domain of ours: the mark, then chance; in the form of version 8 of RFC 9562 §5.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag([u8; 16]);

impl Tag {
    /// A new one.
    pub fn new() -> io::Result<Tag> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        bytes[..MARK.len()].copy_from_slice(&MARK);
        bytes[6] = 0x80 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Ok(Tag(bytes))
    }

    /// The tag that a domain's UUID is. None: the domain is not ours.
    pub fn of(uuid: [u8; 16]) -> Option<Tag> {
        uuid.starts_with(&MARK).then_some(Tag(uuid))
    }

    /// The same, from the UUID's text.
    pub fn parse(uuid: &str) -> Option<Tag> {
        let is_dash = |at| matches!(at, 8 | 13 | 18 | 23);
        let is_form = uuid.len() == 36
            && uuid.bytes().enumerate().all(|(at, byte)| {
                if is_dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            });
        let digits: String = uuid.chars().filter(|c| *c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_form)?;
        Tag::of(number.to_be_bytes())
    }

    /// Its bytes, as the hypervisor has them.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn ours_are_known_and_others_are_not() {
        let tag = Tag::new().expect("chance");
        assert_ne!(Tag::new().expect("chance"), tag);
        let text = tag.to_string();
        assert!(text.starts_with("6a697473-7500-8"), "{text}");
        assert_eq!(Tag::parse(&text), Some(tag));
        assert_eq!(Tag::of(tag.bytes()), Some(tag));
        for other in [
            "",
            "00000000-0000-0000-0000-000000000000",
            "6a697473-7501-8000-8000-000000000000",
            "6a6974737500-8000-8000-000000000000",
            "6a697473-7500-8000-8000-00000000000",
            "6a697473-7500-8000-8000-00000000000g",
            "+a697473-7500-8000-8000-000000000000",
        ] {
            assert_eq!(Tag::parse(other), None, "{other}");
        }
    }
}
