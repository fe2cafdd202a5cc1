//! Owns what is believed of the files of a log when it is opened, and how a file is begun.
//! Must not know who uses it.

use std::collections::{BTreeMap, HashMap};

use super::disk::{Disk, failed};
use super::format::{
    self, BadItem, FRAME_HEADER_BYTES, FrameHeader, Item, Location, NoHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, VERSION,
};
use super::{Found, Tail};
use crate::error::{Damage, Place, StorageError};

/// Reads all files, and cuts off what the last flush did not finish.
pub(super) fn recover(disk: &dyn Disk) -> Result<Found, StorageError> {
    let mut found = read(disk, Unfinished::Cut)?;
    if found.tail.len == 0 {
        let header = found.tail.header;
        begin_segment(disk, &header)?;
        found.tail.len = SEGMENT_HEADER_BYTES as u64;
    }
    Ok(found)
}

/// Reads all files as they are, up to what a flush has not finished.
pub(super) fn look(disk: &dyn Disk) -> Result<Found, StorageError> {
    read(disk, Unfinished::Leave)
}

/// What is done to the rest of a flush that did not finish, or has not yet.
#[derive(Clone, Copy)]
enum Unfinished {
    Cut,
    Leave,
}

fn read(disk: &dyn Disk, unfinished: Unfinished) -> Result<Found, StorageError> {
    let files = disk.files().map_err(|error| failed("list the store's files", error))?;
    let header = SegmentHeader::new(files.first().copied().unwrap_or(1), 1);
    let tail = Tail { header, len: 0, sequence: header.first };
    let mut found = Found { stored: HashMap::new(), heads: BTreeMap::new(), tail };
    for (at, file) in files.iter().enumerate() {
        let is_last = at + 1 == files.len();
        if *file != files[0].wrapping_add(at as u32) {
            return Err(damaged(disk, *file, 0, Damage::Gap));
        }
        Segment { disk, file: *file, is_last, is_first: at == 0, unfinished }.read(&mut found)?;
    }
    Ok(found)
}

/// Makes a file in which nothing is but its header.
pub(super) fn begin_segment(disk: &dyn Disk, header: &SegmentHeader) -> Result<(), StorageError> {
    let file = header.number;
    disk.create(file)
        .and_then(|()| disk.write(file, 0, &header.bytes()))
        .and_then(|()| disk.sync(file))
        .map_err(|error| failed("begin a file of the store", error))
}

/// One file while it is read.
struct Segment<'a> {
    disk: &'a dyn Disk,
    file: u32,
    is_last: bool,
    is_first: bool,
    unfinished: Unfinished,
}

impl Segment<'_> {
    fn read(&self, found: &mut Found) -> Result<(), StorageError> {
        let len = self.disk.len(self.file).map_err(|error| failed("read the store", error))?;
        let Some(header) = self.header(len, found)? else { return Ok(()) };
        let mut sequence = header.first;
        let mut at = SEGMENT_HEADER_BYTES as u64;
        while at < len {
            match self.frame(&header, sequence, at, len, found)? {
                Some(end) => at = end,
                None => {
                    self.check_unfinished(&header, sequence, at, len)?;
                    self.cut(at)?;
                    break;
                }
            }
            sequence += 1;
        }
        found.tail = Tail { header, len: at, sequence };
        Ok(())
    }

    /// The header; `None` if the file was only begun, so that the log ends before it.
    fn header(&self, len: u64, found: &mut Found) -> Result<Option<SegmentHeader>, StorageError> {
        // Nothing is written behind a header before it is durable.
        let may_be_torn = self.is_last && len <= SEGMENT_HEADER_BYTES as u64;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let parsed = if len < SEGMENT_HEADER_BYTES as u64 {
            Err(NoHeader::Damaged)
        } else {
            self.fill(0, &mut bytes)?;
            SegmentHeader::parse(&bytes)
        };
        match parsed {
            Err(NoHeader::Version(found)) => {
                Err(StorageError::Version { found, supported: VERSION })
            }
            Err(NoHeader::Damaged) if may_be_torn => {
                let header = SegmentHeader::new(self.file, found.tail.sequence);
                found.tail = Tail { header, len: 0, sequence: header.first };
                Ok(None)
            }
            Err(NoHeader::Damaged) => Err(self.damaged(0, Damage::Header)),
            Ok(header) if header.number != self.file => Err(self.damaged(0, Damage::Order)),
            Ok(header) if !self.is_first && header.first != found.tail.sequence => {
                Err(self.damaged(0, Damage::Order))
            }
            Ok(header) => Ok(Some(header)),
        }
    }

    /// Takes in the frame at this place and gives its end; `None` if there is no whole one.
    fn frame(
        &self,
        segment: &SegmentHeader,
        sequence: u64,
        at: u64,
        len: u64,
        found: &mut Found,
    ) -> Result<Option<u64>, StorageError> {
        let Some(header) = self.frame_header(segment, at, len)? else { return Ok(None) };
        if header.sequence != sequence {
            return Err(self.damaged(at, Damage::Order));
        }
        let start = at + FRAME_HEADER_BYTES as u64;
        let end = start + u64::from(header.len);
        if end > len {
            return Ok(None);
        }
        let mut bytes = vec![0; header.len as usize];
        self.fill(start, &mut bytes)?;
        let items = match format::items(&bytes) {
            Ok(items) => items,
            Err(BadItem::Damaged) => return Ok(None),
            Err(BadItem::Decode(error)) => return Err(self.damaged(at, error.into())),
        };
        for item in items {
            match item {
                Item::Object { id, at, len, kind } => {
                    let offset = u32::try_from(start + at as u64)
                        .map_err(|_| self.damaged(start, Damage::Order))?;
                    let location = Location { file: self.file, offset, len: len as u32, kind };
                    found.stored.insert(id, location);
                }
                Item::Heads(heads) => {
                    for (branch, head) in heads {
                        match head {
                            Some(head) => found.heads.insert(branch, head),
                            None => found.heads.remove(&branch),
                        };
                    }
                }
            }
        }
        Ok(Some(end))
    }

    /// Refuses what is at this place and behind, unless an unfinished flush can leave it: the
    /// next one begins only when the last has succeeded, so nothing whole can be behind it.
    fn check_unfinished(
        &self,
        segment: &SegmentHeader,
        sequence: u64,
        at: u64,
        len: u64,
    ) -> Result<(), StorageError> {
        if !self.is_last || self.is_frame_behind(segment, sequence, at, len)? {
            return Err(self.damaged(at, Damage::Checksum));
        }
        Ok(())
    }

    fn cut(&self, at: u64) -> Result<(), StorageError> {
        match self.unfinished {
            Unfinished::Leave => Ok(()),
            Unfinished::Cut => self
                .disk
                .truncate(self.file, at)
                .and_then(|()| self.disk.sync(self.file))
                .map_err(|error| failed("cut off an unfinished flush", error)),
        }
    }

    fn is_frame_behind(
        &self,
        segment: &SegmentHeader,
        sequence: u64,
        at: u64,
        len: u64,
    ) -> Result<bool, StorageError> {
        let later = |header: FrameHeader| header.sequence > sequence;
        if let Some(header) = self.frame_header(segment, at, len)? {
            let end = at + FRAME_HEADER_BYTES as u64 + u64::from(header.len);
            return Ok(self.frame_header(segment, end, len)?.is_some_and(later));
        }
        // The header is lost, and with it where the frame would have ended.
        let mut bytes = vec![0; (len - at) as usize];
        self.fill(at, &mut bytes)?;
        let behind =
            (1..bytes.len()).filter_map(|at| FrameHeader::parse(&bytes[at..], segment.salt));
        Ok(behind.into_iter().any(later))
    }

    fn frame_header(
        &self,
        segment: &SegmentHeader,
        at: u64,
        len: u64,
    ) -> Result<Option<FrameHeader>, StorageError> {
        if at + FRAME_HEADER_BYTES as u64 > len {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.fill(at, &mut bytes)?;
        Ok(FrameHeader::parse(&bytes, segment.salt))
    }

    fn fill(&self, at: u64, into: &mut [u8]) -> Result<(), StorageError> {
        self.disk.read(self.file, at, into).map_err(|error| failed("read the store", error))
    }

    fn damaged(&self, offset: u64, what: Damage) -> StorageError {
        damaged(self.disk, self.file, offset, what)
    }
}

fn damaged(disk: &dyn Disk, file: u32, offset: u64, what: Damage) -> StorageError {
    StorageError::Corrupt { what, at: Place::File { file: disk.name(file), offset } }
}
