//! Owns the canonical bytes of numbers, texts and lists, from which every object is made.
//! Must not know the objects.
//!
//! Every value has exactly one encoding, and the reader refuses all others: numbers are
//! little-endian base 128 without leading zero groups, lengths are checked against what is there
//! before anything is allocated, and nothing may follow the end.

use crate::id::Id;
use crate::name::NameError;

/// The version of all canonical encodings, the second byte of every object.
pub(crate) const FORMAT: u8 = 1;

/// What kind of object some bytes are: their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// A value at a path.
    Contents = b'c',
    /// A part of contents that are several objects.
    Part = b'p',
    /// A directory, or a part of a large one.
    Node = b'n',
    /// A commit.
    Commit = b'k',
}

impl ObjectKind {
    /// The kind of an object with these bytes; `None` if they are of no kind known here.
    pub fn of(bytes: &[u8]) -> Option<ObjectKind> {
        match bytes.first()? {
            b'c' => Some(ObjectKind::Contents),
            b'p' => Some(ObjectKind::Part),
            b'n' => Some(ObjectKind::Node),
            b'k' => Some(ObjectKind::Commit),
            _ => None,
        }
    }
}

/// Why bytes are not the canonical encoding of anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the object ends too early")]
    Truncated,
    /// Something follows the end.
    #[error("{0} bytes follow the end of the object")]
    Trailing(usize),
    /// Another kind of object than was asked for, or none that is known.
    #[error("the object is of kind {found:#04x}, not {wanted:?}")]
    Kind {
        /// The first byte.
        found: u8,
        /// What should be here.
        wanted: ObjectKind,
    },
    /// An encoding of another version.
    #[error("the object has format {0}, this program knows {FORMAT}")]
    Format(u8),
    /// A tag that stands for nothing known here.
    #[error("unknown tag {0:#04x}")]
    Tag(u8),
    /// A second way to write something that has one.
    #[error("not canonical: {0}")]
    NotCanonical(&'static str),
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A step that is refused.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Appends canonical bytes.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Bytes that are no object.
    pub(crate) fn new() -> Writer {
        Writer { bytes: Vec::new() }
    }

    pub(crate) fn object(kind: ObjectKind) -> Writer {
        // Most objects are this small, and grow no further.
        Writer::object_of(kind, 256)
    }

    /// An object of about this many bytes.
    pub(crate) fn object_of(kind: ObjectKind, about: usize) -> Writer {
        let mut bytes = Vec::with_capacity(about);
        bytes.extend_from_slice(&[kind as u8, FORMAT]);
        Writer { bytes }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn id(&mut self, id: &Id) {
        self.raw(id.as_bytes());
    }
}

/// Takes canonical bytes apart.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Bytes that are no object.
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn object(bytes: &'a [u8], wanted: ObjectKind) -> Result<Reader<'a>, DecodeError> {
        let mut reader = Reader { rest: bytes };
        let found = reader.byte()?;
        if found != wanted as u8 {
            return Err(DecodeError::Kind { found, wanted });
        }
        match reader.byte()? {
            FORMAT => Ok(reader),
            other => Err(DecodeError::Format(other)),
        }
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(DecodeError::Trailing(more)),
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                return Err(DecodeError::NotCanonical("a number does not fit 64 bits"));
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::NotCanonical("a number has leading zeros"));
                }
                return Ok(number);
            }
        }
        Err(DecodeError::NotCanonical("a number does not fit 64 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The number of items that follow, each of which takes at least `least` bytes: a count that
    /// cannot be true is refused before anything is allocated for it.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        if count > self.rest.len() / least.max(1) {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1)?;
        self.raw(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::NotUtf8)
    }

    pub(crate) fn id(&mut self) -> Result<Id, DecodeError> {
        let bytes = self.raw(32)?;
        Ok(Id::from_bytes(bytes.try_into().expect("BUG: raw(32) gives 32 bytes")))
    }
}
