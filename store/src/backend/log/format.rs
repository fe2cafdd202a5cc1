//! Owns the bytes of a log file. Must not know where files are, nor which frames are believed.
//!
//! ```text
//!   segment:  "jitsulog" version number salt first-sequence crc │ frame │ frame │ …
//!   frame:    "fram" len sequence crc                          │ item │ item │ …
//!   item:     crc len kind │ object: id bytes, or heads: branch, old, new, …, or a segment: all
//!                            before it say nothing that is not said from it on
//! ```
//!
//! Numbers are little-endian. The checksum of a frame's head covers the salt of its segment, which
//! nobody who chooses what is stored can know: so stored bytes never pass for a frame.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::backend::HeadChange;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::id::Id;
use crate::id_map::IdMap;
use crate::name::BranchName;

/// The version of the files.
pub(super) const VERSION: u32 = 1;
pub(super) const SEGMENT_HEADER_BYTES: usize = 36;
pub(super) const FRAME_HEADER_BYTES: usize = 20;
const ITEM_HEADER_BYTES: usize = 9;
/// Where in the item of an object the object itself begins.
pub(super) const OBJECT_AT: usize = ITEM_HEADER_BYTES + 32;
const SEGMENT_MAGIC: &[u8; 8] = b"jitsulog";
const FRAME_MAGIC: &[u8; 4] = b"fram";
const OBJECT: u8 = b'o';
const HEADS: u8 = b'h';
const BEGIN: u8 = b'b';

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) file: u32,
    /// Where its item begins.
    pub(super) offset: u32,
    /// The length of the object alone.
    pub(super) len: u32,
    pub(super) kind: Option<ObjectKind>,
}

impl Location {
    pub(super) fn item_len(&self) -> usize {
        OBJECT_AT + self.len as usize
    }
}

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u32,
    /// Not known to those who choose what is stored.
    pub(super) salt: u64,
    /// The sequence number of its first frame.
    pub(super) first: u64,
}

/// Why bytes are not the header of a segment.
pub(super) enum NoHeader {
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    pub(super) fn new(number: u32, first: u64) -> SegmentHeader {
        SegmentHeader { number, salt: salt(), first }
    }

    pub(super) fn bytes(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<SegmentHeader, NoHeader> {
        if &bytes[..8] != SEGMENT_MAGIC {
            return Err(NoHeader::Damaged);
        }
        if u32_at(bytes, 32) != crc32fast::hash(&bytes[..32]) {
            return Err(NoHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(SegmentHeader {
                number: u32_at(bytes, 12),
                salt: u64_at(bytes, 16),
                first: u64_at(bytes, 24),
            }),
            other => Err(NoHeader::Version(other)),
        }
    }
}

/// How a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) len: u32,
    pub(super) sequence: u64,
}

impl FrameHeader {
    fn bytes(&self, salt: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        let crc = salted(&bytes[..16], salt);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the beginning of these bytes, if there is one.
    pub(super) fn parse(bytes: &[u8], salt: u64) -> Option<FrameHeader> {
        let bytes = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        let header = FrameHeader::parse_unsalted(bytes)?;
        (u32_at(bytes, 16) == salted(&bytes[..16], salt)).then_some(header)
    }

    /// What would be the header at the beginning of these bytes, in a segment whose salt is lost.
    pub(super) fn parse_unsalted(bytes: &[u8]) -> Option<FrameHeader> {
        let bytes = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        let is_one = &bytes[..4] == FRAME_MAGIC;
        is_one.then(|| FrameHeader { len: u32_at(bytes, 4), sequence: u64_at(bytes, 8) })
    }
}

/// How large a frame is kept empty for the next one.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// A frame being made.
#[derive(Clone)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    /// Objects, and where in the frame they are.
    objects: IdMap<Held>,
    /// Where the last object ends.
    end: usize,
}

/// An object in a frame: where its item begins, and how long it is itself.
#[derive(Clone, Copy)]
struct Held {
    at: usize,
    len: usize,
    kind: Option<ObjectKind>,
}

impl Default for Frame {
    fn default() -> Frame {
        let bytes = vec![0; FRAME_HEADER_BYTES];
        Frame { bytes, objects: IdMap::default(), end: FRAME_HEADER_BYTES }
    }
}

impl Frame {
    /// How many bytes there are of objects, with what is written around them.
    pub(super) fn object_bytes(&self) -> usize {
        self.end - FRAME_HEADER_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn has(&self, id: &Id) -> bool {
        self.objects.contains_key(id)
    }

    pub(super) fn get(&self, id: &Id) -> Option<&[u8]> {
        let Held { at, len, .. } = self.objects.get(id)?;
        Some(&self.bytes[at + OBJECT_AT..][..*len])
    }

    /// All objects and their kinds.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&Id, Option<ObjectKind>)> {
        self.objects.iter().map(|(id, held)| (id, held.kind))
    }

    /// It without anything in it, if that is worth keeping for the next: memory that is asked for
    /// anew is cleared by the system first, page by page.
    pub(super) fn emptied(mut self) -> Option<Frame> {
        if self.bytes.capacity() > SPARE_BYTES_MAX {
            return None;
        }
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.objects.clear();
        self.end = FRAME_HEADER_BYTES;
        Some(self)
    }

    /// Adds an object that is not in it.
    pub(super) fn object(&mut self, id: &Id, object: &[u8]) {
        let at = self.begin(OBJECT);
        let held = Held { at, len: object.len(), kind: ObjectKind::of(object) };
        self.objects.insert(*id, held);
        self.bytes.extend_from_slice(id.as_bytes());
        self.bytes.extend_from_slice(object);
        self.finish(at);
        self.end = self.bytes.len();
    }

    /// Adds all objects of another one that are not in it, behind its own, and forgets heads.
    pub(super) fn append(&mut self, other: &Frame) {
        self.bytes.truncate(self.end);
        let mut objects: Vec<(&Id, &Held)> = other.objects.iter().collect();
        objects.sort_by_key(|(_, held)| held.at);
        for (id, _) in objects {
            if !self.has(id) {
                self.object(id, other.get(id).expect("BUG: an object of a frame is not in it"));
            }
        }
    }

    pub(super) fn heads(&mut self, changes: &[&HeadChange]) {
        if changes.is_empty() {
            return;
        }
        let at = self.begin(HEADS);
        self.bytes.extend_from_slice(&encode_heads(changes));
        self.finish(at);
    }

    /// Says that the log begins at this segment: those before it are not needed.
    pub(super) fn begin_at(&mut self, segment: u32) {
        let at = self.begin(BEGIN);
        self.bytes.extend_from_slice(&segment.to_le_bytes());
        self.finish(at);
    }

    /// Its bytes as the frame with this number of a segment.
    pub(super) fn seal(&mut self, segment: &SegmentHeader, sequence: u64) {
        let len = u32::try_from(self.bytes.len() - FRAME_HEADER_BYTES)
            .expect("BUG: a frame longer than what may wait for a flush");
        let header = FrameHeader { len, sequence };
        self.bytes[..FRAME_HEADER_BYTES].copy_from_slice(&header.bytes(segment.salt));
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where its objects are once it is at this place of a segment.
    pub(super) fn locations(&self, file: u32, offset: u64) -> impl Iterator<Item = (Id, Location)> {
        self.objects.iter().map(move |(id, Held { at, len, kind })| {
            let offset = u32::try_from(offset + *at as u64)
                .expect("BUG: a segment longer than where a new one begins");
            (*id, Location { file, offset, len: *len as u32, kind: *kind })
        })
    }

    fn begin(&mut self, kind: u8) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; ITEM_HEADER_BYTES]);
        self.bytes[at + 8] = kind;
        at
    }

    fn finish(&mut self, at: usize) {
        let len = (self.bytes.len() - at - ITEM_HEADER_BYTES) as u32;
        self.bytes[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&self.bytes[at + 4..]);
        self.bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// What an item of a frame says.
pub(super) enum Item {
    /// An object, and where in the frame's items its own begins.
    Object { id: Id, at: usize, len: usize, kind: Option<ObjectKind> },
    /// Heads that moved.
    Heads(Vec<(BranchName, Option<Id>)>),
    /// The segment at which the log begins.
    Begin(u32),
}

/// Why items could not be read.
pub(super) enum BadItem {
    /// They are not what was written.
    Damaged,
    /// They are what was written, but mean nothing.
    Decode(DecodeError),
}

/// The items of a frame, from the bytes after its header.
pub(super) fn items(frame: &[u8]) -> Result<Vec<Item>, BadItem> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        let (read, end) = read_item(frame, at)?;
        items.push(read);
        at = end;
    }
    Ok(items)
}

/// The item at a place in these bytes, and where it ends.
pub(super) fn read_item(bytes: &[u8], at: usize) -> Result<(Item, usize), BadItem> {
    let (kind, body) = item(&bytes[at..]).ok_or(BadItem::Damaged)?;
    let read = match kind {
        OBJECT => {
            let (id, object) = body.split_first_chunk().ok_or(BadItem::Damaged)?;
            let (id, kind) = (Id::from_bytes(*id), ObjectKind::of(object));
            Item::Object { id, at, len: object.len(), kind }
        }
        HEADS => Item::Heads(decode_heads(body).map_err(BadItem::Decode)?),
        BEGIN => {
            let segment = body.try_into().map_err(|_| BadItem::Decode(DecodeError::Truncated))?;
            Item::Begin(u32::from_le_bytes(segment))
        }
        other => return Err(BadItem::Decode(DecodeError::Tag(other))),
    };
    Ok((read, at + ITEM_HEADER_BYTES + body.len()))
}

/// What a damaged item says of itself, some of which may be true.
pub(super) struct Claim {
    pub(super) len: usize,
    pub(super) is_object: bool,
    pub(super) id: Id,
}

/// What the item at the beginning of these bytes says, if it is long enough to be an object.
pub(super) fn claim(bytes: &[u8]) -> Option<Claim> {
    let bytes = bytes.first_chunk::<OBJECT_AT>()?;
    let id = bytes.last_chunk().expect("BUG: an item shorter than its id");
    let len = ITEM_HEADER_BYTES + u32_at(bytes, 4) as usize;
    Some(Claim { len, is_object: bytes[8] == OBJECT, id: Id::from_bytes(*id) })
}

/// The object in these bytes of an item and the id it was written under, if they are as they were
/// written.
pub(super) fn object_of(bytes: &[u8]) -> Option<(Id, &[u8])> {
    match item(bytes)? {
        (OBJECT, body) => body.split_first_chunk().map(|(id, it)| (Id::from_bytes(*id), it)),
        _ => None,
    }
}

/// The kind and body of the item at the beginning of these bytes.
fn item(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let header = bytes.first_chunk::<ITEM_HEADER_BYTES>()?;
    let end = ITEM_HEADER_BYTES.checked_add(u32_at(header, 4) as usize)?;
    let body = bytes.get(ITEM_HEADER_BYTES..end)?;
    (u32_at(header, 0) == crc32fast::hash(&bytes[4..end])).then_some((header[8], body))
}

fn encode_heads(changes: &[&HeadChange]) -> Vec<u8> {
    let mut to = Writer::new();
    to.number(changes.len() as u64);
    for HeadChange { branch, old, new } in changes {
        to.bytes(branch.as_str().as_bytes());
        for id in [old, new] {
            to.byte(u8::from(id.is_some()));
            if let Some(id) = id {
                to.id(id);
            }
        }
    }
    to.finish()
}

fn decode_heads(bytes: &[u8]) -> Result<Vec<(BranchName, Option<Id>)>, DecodeError> {
    let mut from = Reader::new(bytes);
    let mut heads = Vec::new();
    for _ in 0..from.count(3)? {
        let branch = BranchName::new(from.text()?)?;
        let _old = decode_head(&mut from)?;
        heads.push((branch, decode_head(&mut from)?));
    }
    from.end()?;
    Ok(heads)
}

fn decode_head(from: &mut Reader<'_>) -> Result<Option<Id>, DecodeError> {
    match from.byte()? {
        0 => Ok(None),
        1 => Ok(Some(from.id()?)),
        other => Err(DecodeError::Tag(other)),
    }
}

/// A number that nobody knows who chose bytes before it was made.
pub(super) fn salt() -> u64 {
    // The standard library's source of randomness: no secret to last.
    RandomState::new().build_hasher().finish()
}

fn salted(bytes: &[u8], salt: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("BUG: a header cut short"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("BUG: a header cut short"))
}
