//! Owns what can still be read of the files of a log, however damaged they are. Must not know
//! what the objects mean together, nor what is done about damage.
//!
//! An object is believed when its bytes hash to its id, wherever they are found. A head record is
//! believed only where records lead to it from the beginning of a frame, one behind another:
//! anyone may store bytes that look like one.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::bits::Bits;
use super::disk::{self, Disk, LogFile, failed};
use super::format::{
    self, FRAME_HEADER_BYTES, FrameHeader, Item, NoHeader, OBJECT_AT, SEGMENT_HEADER_BYTES,
    SegmentHeader, VERSION,
};
use super::intact::{Intact, IntactAt, Object};
use super::numbers::Number;
use super::{index, recover};
use crate::codec::ObjectKind;
use crate::error::{Damage, Place, StorageError};
use crate::id::Id;
use crate::name::BranchName;
use crate::references::{commit_facts, references};
use crate::retention;

/// What the files of a log still say.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) files: usize,
    pub(super) intact: Intact,
    /// All heads that each branch had since it was made, the newest last.
    pub(super) heads: BTreeMap<BranchName, Vec<Number>>,
    pub(super) flaws: Vec<Flaw>,
    /// Whether a record of moved heads may be among what is damaged or missing.
    pub(super) may_lack_heads: bool,
    /// Where the last file ends, without room for more.
    end: u64,
    /// How much room there is.
    room: usize,
    /// The segment in which the log begins, since a collection ended: those before it are to go.
    begin: u32,
    /// Objects whose records say another id than theirs: either the id is damaged, or they are.
    doubtful: Vec<(Id, Object)>,
}

/// A damaged record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is damaged.
    pub what: Damage,
    /// Where the record begins.
    pub at: Place,
    /// The object it says it holds.
    pub object: Option<Id>,
    /// Whether nothing is behind it, so that a flush that did not finish may have left it. Who
    /// opens the log cuts it off.
    pub is_at_end: bool,
}

/// Reads all files, changes none, and stops at nothing but a disk that cannot be read.
pub(super) fn scan(disk: &dyn Disk) -> Result<Scan, StorageError> {
    let io = |error| failed("read the store", error);
    let files = disk::segments(disk)?;
    let mut scan = Scan { files: files.len(), ..Scan::default() };
    let mut expected: Option<(u32, u64)> = None;
    for (at, number) in files.iter().enumerate() {
        let file = LogFile::Segment(*number);
        let len = usize::try_from(disk.len(file).map_err(io)?);
        let mut bytes = vec![0; len.expect("BUG: a file larger than the memory's addresses")];
        disk.read(file, 0, &mut bytes).map_err(io)?;
        let is_last = at + 1 == files.len();
        let name = disk.name(file);
        let sequence = expected.map(|(_, sequence)| sequence);
        let mut file = File { scan: &mut scan, bytes, number: *number, name, is_last };
        if expected.is_some_and(|(next, _)| next != *number) {
            file.flaw(0, Damage::Gap, None);
            file.scan.may_lack_heads = true;
        }
        expected = Some((number.wrapping_add(1), file.read(sequence)?));
    }
    scan.settle_end(disk, &files)?;
    scan.settle_doubts();
    scan.settle_beginning();
    scan.settle_retention();
    Ok(scan)
}

impl Scan {
    /// Looks in the index for what was flushed: of that, nothing is the rest of a flush.
    fn settle_end(&mut self, disk: &dyn Disk, files: &[u32]) -> Result<(), StorageError> {
        let present = recover::present(disk, files)?;
        let flushed = index::flushed(&index::readable(disk)?, &present);
        let mut lost = |number, offset, what| {
            let at = Place::File { file: disk.name(LogFile::Segment(number)), offset };
            self.flaws.push(Flaw { what, at, object: None, is_at_end: false });
            self.may_lack_heads = true;
        };
        if let Some(number) = index::lost(&flushed, files) {
            lost(number, 0, Damage::Gap);
        }
        let Some(last) = files.last() else { return Ok(()) };
        let flushed = flushed.get(last).copied().unwrap_or_default();
        if self.end < flushed {
            lost(*last, self.end, if self.room > 0 { Damage::Checksum } else { Damage::End });
        }
        let was_flushed =
            |at: &Place| matches!(at, Place::File { offset, .. } if *offset < flushed);
        for flaw in self.flaws.iter_mut().filter(|flaw| was_flushed(&flaw.at)) {
            flaw.is_at_end = false;
        }
        Ok(())
    }

    /// Forgets what no head leads to where the log does not begin any more: what that refers to may
    /// be gone. The rest may be all that is left of something, if its copy is damaged.
    fn settle_beginning(&mut self) {
        let reached = self.intact.graph().reached(self.heads.values().flatten().copied());
        let is_gone =
            |number: &Number, at: &IntactAt| at.file < self.begin && !reached.has(*number as usize);
        let gone = self.intact.iter().filter(|(number, at)| is_gone(number, at));
        for number in gone.map(|(number, _)| number).collect::<Vec<_>>() {
            self.intact.remove(number);
        }
    }

    /// Takes in the doubtful objects that something refers to, which proves them.
    fn settle_doubts(&mut self) {
        let graph = self.intact.graph();
        let mut wanted = Bits::default();
        for number in self.heads.values().flatten() {
            wanted.add(*number as usize);
        }
        for below in graph.all().flat_map(|number| graph.references(number)) {
            wanted.add(*below as usize);
        }
        // Who refers comes after what is referred to.
        while let Some((id, object)) = self.doubtful.pop() {
            let number = self.intact.number(&id);
            if wanted.has(number as usize) && !self.intact.has(number) {
                self.intact.insert(&id, object);
                for below in self.intact.graph().references(number) {
                    wanted.add(*below as usize);
                }
            }
        }
    }
}

impl Scan {
    /// Finds the commits that lack their trees because somebody let go of those.
    fn settle_retention(&mut self) {
        let head = self.heads.get(&retention::branch()).and_then(|heads| heads.last());
        let head = head.and_then(|head| self.intact.commit(*head));
        let Some(since_ms) = head.map(|facts| facts.trees_since_ms) else { return };
        // The head of a branch has its tree, however old it is.
        let heads: HashSet<Number> =
            self.heads.values().filter_map(|it| it.last().copied()).collect();
        let lacks = |commit| !self.intact.has(self.intact.graph().references(commit)[0]);
        let old = self.intact.commits().filter(|(_, facts)| facts.time_ms < since_ms);
        let let_go = old.map(|(commit, _)| commit).filter(|it| lacks(*it) && !heads.contains(it));
        for commit in let_go.collect::<Vec<_>>() {
            self.intact.let_tree_go(commit);
        }
    }
}

/// One file while it is read.
struct File<'a> {
    scan: &'a mut Scan,
    bytes: Vec<u8>,
    number: u32,
    name: String,
    is_last: bool,
}

impl File<'_> {
    /// Reads it, whose first frame should have this number if that is known; the number that the
    /// frame after its last one should have.
    fn read(&mut self, expected: Option<u64>) -> Result<u64, StorageError> {
        let header = match self.bytes.first_chunk().map(SegmentHeader::parse) {
            Some(Err(NoHeader::Version(found))) => {
                return Err(StorageError::Version { found, supported: VERSION });
            }
            Some(Ok(header)) if header.number == self.number => Some(header),
            Some(Ok(_) | Err(NoHeader::Damaged)) | None => {
                self.flaw(0, Damage::Header, None);
                None
            }
        };
        let mut flaws_before = self.scan.flaws.len() - usize::from(header.is_none());
        let salt = header.map(|header| header.salt);
        let mut sequence = expected.or(header.map(|header| header.first)).unwrap_or(1);
        let mut at = SEGMENT_HEADER_BYTES;
        while at < self.end_from(at) {
            flaws_before = self.scan.flaws.len();
            let (is_one, frame) = match self.frame(salt, at) {
                Some(frame) => (true, frame),
                None => {
                    self.flaw(at, Damage::Checksum, None);
                    (false, FrameHeader { sequence, len: self.until_next_frame(salt, at) })
                }
            };
            if frame.sequence != sequence {
                self.flaw(at, Damage::Order, None);
                self.scan.may_lack_heads = true;
            }
            let start = at + FRAME_HEADER_BYTES;
            let mut end = start + frame.len as usize;
            if end > self.bytes.len() {
                if is_one {
                    self.flaw(at, Damage::Checksum, None);
                }
                self.scan.may_lack_heads = true;
                end = self.bytes.len();
            } else if is_one && self.is_shifted(salt, start, end) {
                end = start + self.until_next_frame(salt, at) as usize;
            }
            // Where bytes were lost with the header, records begin before they should.
            let is_there = is_one || format::read_item(&self.bytes[..end], start.min(end)).is_ok();
            self.records(if is_there { start } else { at }, end);
            sequence = frame.sequence.wrapping_add(1);
            at = end;
        }
        for flaw in &mut self.scan.flaws[flaws_before..] {
            flaw.is_at_end = self.is_last;
        }
        let end = at.min(self.bytes.len());
        (self.scan.end, self.scan.room) = (end as u64, self.bytes.len() - end);
        Ok(sequence)
    }

    /// Where the file ends, as seen from where a frame may begin: whoever writes to the last one
    /// may have made room for more, which is zeros.
    fn end_from(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let is_room = self.is_last && rest.iter().all(|byte| *byte == 0);
        if is_room { at } else { self.bytes.len() }
    }

    /// The header of the frame at this place. Where the salt is lost, a header is believed if
    /// frames lead to it from the beginning of the file and all of its records are whole.
    fn frame(&self, salt: Option<u64>, at: usize) -> Option<FrameHeader> {
        match salt {
            Some(salt) => FrameHeader::parse(&self.bytes[at..], salt),
            None => FrameHeader::parse_unsalted(&self.bytes[at..]).filter(|header| {
                let start = at + FRAME_HEADER_BYTES;
                let frame = self.bytes.get(start..start + header.len as usize);
                frame.is_some_and(|frame| format::items(frame).is_ok())
            }),
        }
    }

    /// Whether bytes came or went within a frame, so that it does not end where it says.
    fn is_shifted(&self, salt: Option<u64>, start: usize, end: usize) -> bool {
        end < self.bytes.len()
            && self.frame(salt, end).is_none()
            && format::items(&self.bytes[start..end]).is_err()
    }

    /// How many bytes of records follow a frame's header that is lost.
    fn until_next_frame(&self, salt: Option<u64>, at: usize) -> u32 {
        let start = (at + FRAME_HEADER_BYTES).min(self.bytes.len());
        let mut places = start..self.bytes.len();
        let next = places.find(|next| {
            salt.is_some_and(|salt| FrameHeader::parse(&self.bytes[*next..], salt).is_some())
        });
        (next.unwrap_or(self.bytes.len()) - start) as u32
    }

    /// Takes in the records of one frame.
    fn records(&mut self, start: usize, end: usize) {
        let mut at = start;
        let mut are_led_to = true;
        while at < end {
            match format::read_item(&self.bytes[..end], at) {
                Ok((Item::Object { id, .. }, next)) => {
                    let body = at + OBJECT_AT..next;
                    if !self.object(&id, body.clone()) {
                        self.flaw(at, self.fault(&id, body), Some(id));
                    }
                    at = next;
                }
                Ok((Item::Heads(heads), next)) => {
                    if are_led_to {
                        self.heads(heads);
                    } else {
                        self.scan.may_lack_heads = true;
                    }
                    at = next;
                }
                Ok((Item::Begin(segment), next)) => {
                    if are_led_to {
                        self.scan.begin = segment;
                    }
                    at = next;
                }
                Err(_) => (at, are_led_to) = self.damaged_record(at, end, are_led_to),
            }
        }
    }

    /// Takes in what is left of a damaged record; where the next one is, and whether it is sure
    /// that one begins there.
    fn damaged_record(&mut self, at: usize, end: usize, are_led_to: bool) -> (usize, bool) {
        let is_next =
            |next: usize| next == end || format::read_item(&self.bytes[..end], next).is_ok();
        let claim = format::claim(&self.bytes[at..end]);
        let claimed_end = claim.as_ref().and_then(|claim| at.checked_add(claim.len));
        let (next, is_as_claimed) = match claimed_end.filter(|it| *it <= end && is_next(*it)) {
            Some(next) => (next, true),
            None => ((at + 1..=end).find(|next| is_next(*next)).unwrap_or(end), false),
        };
        // Its header may be all that is damaged: the id tells.
        let is_long_enough = at + OBJECT_AT < next;
        let is_intact = claim
            .as_ref()
            .is_some_and(|claim| is_long_enough && self.object(&claim.id, at + OBJECT_AT..next));
        let is_object = claim.as_ref().is_some_and(|claim| claim.is_object);
        let id = claim.filter(|_| is_object || is_intact).map(|claim| claim.id);
        self.flaw(at, Damage::Checksum, id);
        let is_surely_object = is_intact || (is_as_claimed && is_object);
        if !is_surely_object {
            self.scan.may_lack_heads = true;
        }
        (next, are_led_to && (is_as_claimed || is_intact))
    }

    /// Takes in an object, if these bytes are one; whether they are the one with this id.
    fn object(&mut self, claimed: &Id, at: Range<usize>) -> bool {
        let (offset, len) = (at.start as u64, at.len());
        let bytes = &self.bytes[at];
        let (Some(kind), Ok(references)) = (ObjectKind::of(bytes), references(bytes)) else {
            return false;
        };
        let id = Id::of(bytes);
        let commit = commit_facts(&id, bytes);
        let at = IntactAt { kind, file: self.number, offset, len };
        let object = Object { at, references, commit };
        if id == *claimed {
            self.scan.intact.insert(&id, object);
        } else {
            self.scan.doubtful.push((id, object));
        }
        id == *claimed
    }

    /// What is wrong with an object that was not taken in under this id.
    fn fault(&self, id: &Id, at: Range<usize>) -> Damage {
        let bytes = &self.bytes[at];
        match references(bytes) {
            Err(error) if Id::of(bytes) == *id => error.into(),
            _ => Damage::Hash,
        }
    }

    fn heads(&mut self, heads: Vec<(BranchName, Option<Id>)>) {
        for (branch, head) in heads {
            match head {
                Some(head) => {
                    let head = self.scan.intact.number(&head);
                    self.scan.heads.entry(branch).or_default().push(head);
                }
                None => drop(self.scan.heads.remove(&branch)),
            }
        }
    }

    fn flaw(&mut self, at: usize, what: Damage, object: Option<Id>) {
        let at = Place::File { file: self.name.clone(), offset: at as u64 };
        self.scan.flaws.push(Flaw { what, at, object, is_at_end: false });
    }
}
