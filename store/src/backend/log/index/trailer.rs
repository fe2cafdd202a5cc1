//! Owns how a run ends: what it covers, and where its groups begin. Must not know its pages.
//!
//! ```text
//!   trailer:  from to │ segments │ heads │ count │ the first id of each group
//!   footer:   "jitsuidx" version salt trailer-length crc-of-trailer crc
//! ```
//!
//! The footer is written when all before it is durable: a run that has one is whole.

use std::collections::BTreeMap;

use crate::backend::log::format::{SegmentHeader, VERSION};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::Id;
use crate::name::BranchName;

pub(super) const FOOTER_BYTES: usize = 36;
const MAGIC: &[u8; 8] = b"jitsuidx";

/// What a run says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend::log) struct Trailer {
    /// The frames in which its objects are: from this one,
    pub(in crate::backend::log) from: u64,
    /// up to and without this one.
    pub(in crate::backend::log) to: u64,
    /// The segments in which these frames are, in order, never none.
    pub(in crate::backend::log) segments: Vec<Covered>,
    /// All heads behind the last of these frames.
    pub(in crate::backend::log) heads: BTreeMap<BranchName, Id>,
    /// How many objects there are.
    pub(super) count: u64,
    /// The first id of each group.
    pub(super) groups: Vec<Id>,
}

/// A segment and how much of it is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::log) struct Covered {
    pub(in crate::backend::log) header: SegmentHeader,
    pub(in crate::backend::log) len: u64,
}

impl Trailer {
    pub(in crate::backend::log) fn new(
        from: u64,
        to: u64,
        segments: Vec<Covered>,
        heads: BTreeMap<BranchName, Id>,
    ) -> Trailer {
        Trailer { from, to, segments, heads, count: 0, groups: Vec::new() }
    }

    /// The segment in which the last of its frames is, up to the end of that frame.
    pub(in crate::backend::log) fn end(&self) -> Covered {
        *self.segments.last().expect("BUG: a run that covers no segment")
    }

    /// What a run says that holds all that these hold, which follow each other.
    pub(super) fn of_all(runs: &[&Trailer]) -> Trailer {
        let (first, last) = (runs[0], runs[runs.len() - 1]);
        let mut segments: BTreeMap<u32, Covered> = BTreeMap::new();
        for covered in runs.iter().flat_map(|run| &run.segments) {
            segments.insert(covered.header.number, *covered);
        }
        let segments = segments.into_values().collect();
        Trailer::new(first.from, last.to, segments, last.heads.clone())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.number(self.from);
        to.number(self.to);
        to.number(self.segments.len() as u64);
        for Covered { header, len } in &self.segments {
            for number in [u64::from(header.number), header.salt, header.first, *len] {
                to.number(number);
            }
        }
        to.number(self.heads.len() as u64);
        for (branch, head) in &self.heads {
            to.bytes(branch.as_str().as_bytes());
            to.id(head);
        }
        to.number(self.count);
        to.number(self.groups.len() as u64);
        self.groups.iter().for_each(|first| to.id(first));
        to.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Trailer, DecodeError> {
        let mut from = Reader::new(bytes);
        let (first, next) = (from.number()?, from.number()?);
        let mut segments: Vec<Covered> = Vec::new();
        for _ in 0..from.count(4)? {
            let number = u32::try_from(from.number()?)
                .map_err(|_| DecodeError::NotCanonical("a segment's number"))?;
            let header = SegmentHeader { number, salt: from.number()?, first: from.number()? };
            segments.push(Covered { header, len: from.number()? });
        }
        let follow = segments.windows(2).all(|two| two[0].header.number < two[1].header.number);
        if segments.is_empty() || !follow || first >= next {
            return Err(DecodeError::NotCanonical("what a run covers"));
        }
        let mut heads = BTreeMap::new();
        for _ in 0..from.count(33)? {
            let branch = BranchName::new(from.text()?)?;
            if heads.last_key_value().is_some_and(|(last, _)| *last >= branch) {
                return Err(DecodeError::NotCanonical("heads out of order"));
            }
            heads.insert(branch, from.id()?);
        }
        let count = from.number()?;
        let mut groups: Vec<Id> = Vec::new();
        for _ in 0..from.count(32)? {
            groups.push(from.id()?);
        }
        from.end()?;
        if !groups.is_sorted() {
            return Err(DecodeError::NotCanonical("groups out of order"));
        }
        Ok(Trailer { from: first, to: next, segments, heads, count, groups })
    }
}

/// The last bytes of a run with this trailer.
pub(super) fn footer(salt: u64, trailer: &[u8]) -> [u8; FOOTER_BYTES] {
    let mut bytes = [0; FOOTER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&salt.to_le_bytes());
    bytes[20..28].copy_from_slice(&(trailer.len() as u64).to_le_bytes());
    bytes[28..32].copy_from_slice(&crc32fast::hash(trailer).to_le_bytes());
    let crc = crc32fast::hash(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The salt, and the length of the trailer, that a footer tells; `None` if it is none. Whether the
/// trailer is what was written, [`footer`] tells.
pub(super) fn parse(footer: &[u8; FOOTER_BYTES]) -> Option<(u64, u64)> {
    let number = |at: usize| {
        u64::from_le_bytes(*footer[at..].first_chunk().expect("BUG: a footer cut short"))
    };
    let is_one = footer[..8] == *MAGIC
        && footer[8..12] == VERSION.to_le_bytes()
        && footer[32..] == crc32fast::hash(&footer[..32]).to_le_bytes();
    is_one.then(|| (number(12), number(20)))
}
