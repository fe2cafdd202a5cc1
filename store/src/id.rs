//! Owns the name of an object: the SHA-256 of its bytes. Must not know what the bytes mean.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The name of an object: SHA-256 over its kind byte and canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; 32]);

/// Why a text is not an [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 lower-case hexadecimal digits")]
pub struct IdError;

impl Id {
    /// The id of an object with these bytes, its kind byte included.
    pub fn of(bytes: &[u8]) -> Id {
        Id(Sha256::digest(bytes).into())
    }

    /// An id from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Id {
        Id(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people to read.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// Eight bytes of a hash say as much to a table as all of them, and cost it less.
impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let first = self.0.first_chunk().expect("BUG: an id has 32 bytes");
        state.write_u64(u64::from_le_bytes(*first));
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&hex).expect("BUG: hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Id, IdError> {
        let prefix = IdPrefix::from_str(text)?;
        if prefix.digits == 64 { Ok(Id(prefix.bytes)) } else { Err(IdError) }
    }
}

/// The beginning of an id, as people type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    bytes: [u8; 32],
    digits: usize,
}

impl IdPrefix {
    /// The least id that begins so.
    pub(crate) fn least(&self) -> Id {
        Id(self.bytes)
    }

    /// Whether `id` begins so.
    pub fn matches(&self, id: &Id) -> bool {
        let whole = self.digits / 2;
        let half = self.digits % 2 == 1;
        self.bytes[..whole] == id.0[..whole]
            && (!half || self.bytes[whole] >> 4 == id.0[whole] >> 4)
    }
}

impl FromStr for IdPrefix {
    type Err = IdError;

    fn from_str(text: &str) -> Result<IdPrefix, IdError> {
        if text.len() > 64 {
            return Err(IdError);
        }
        let mut bytes = [0; 32];
        for (at, digit) in text.bytes().enumerate() {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(IdError),
            };
            bytes[at / 2] |= if at % 2 == 0 { value << 4 } else { value };
        }
        Ok(IdPrefix { bytes, digits: text.len() })
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
