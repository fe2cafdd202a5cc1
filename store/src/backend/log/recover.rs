//! Owns what is believed of the files of a log when it is opened, and how a file is begun.
//! Must not know who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::disk::{self, Disk, LogFile, failed};
use super::format::{
    self, BadItem, FRAME_HEADER_BYTES, FrameHeader, Item, Location, NoHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, VERSION,
};
use super::index::{self, Covered, Flushed, Run, Unread};
use super::tend::{Since, Work};
use super::{Found, LogOptions, Tail};
use crate::error::{Damage, Place, StorageError};
use crate::id_map::IdMap;

/// The number of the first file.
pub(super) const FIRST: u32 = 1;

/// Reads what the index does not say, brings that up to date, and cuts off what the last flush did
/// not finish.
///
/// What is known to be flushed is no rest of a flush, and a run that is known to be damaged is not
/// believed.
pub(super) fn recover(
    disk: &dyn Disk,
    options: &LogOptions,
    flushed: &Flushed,
    damaged: Option<u32>,
) -> Result<Found, StorageError> {
    if let Some(last) = disk::segments(disk)?.last() {
        // Whoever wrote the end may have ended, or failed, before it was durable. What is written
        // next, to the index or to another file, must not be durable without this.
        let synced = disk.sync(LogFile::Segment(*last));
        synced.map_err(|error| failed("flush the store", error))?;
    }
    let mut damaged: BTreeSet<u32> = damaged.into_iter().collect();
    let mut found = loop {
        match read(disk, How::Recover { options, damaged: &damaged }, flushed) {
            Ok(found) => match found.begin {
                // A collection did not get to its end.
                Some(begin) if is_before(disk, begin)? => remove_before(disk, begin)?,
                _ => break found,
            },
            Err(Unread::Damaged(run)) => drop(damaged.insert(run)),
            Err(Unread::Failed(error)) => return Err(error),
        }
    };
    // Not before all that they say was flushed was found.
    remove_others(disk, &found.runs)?;
    if found.tail.len == 0 {
        begin_segment(disk, &found.tail.header)?;
        found.tail.len = SEGMENT_HEADER_BYTES as u64;
    }
    Ok(found)
}

/// Reads all as it is, up to what a flush has not finished: with the help of the index, or past
/// it.
pub(super) fn look(
    disk: &dyn Disk,
    with_index: bool,
    flushed: &Flushed,
) -> Result<Found, StorageError> {
    match read(disk, How::Look { with_index }, flushed) {
        Ok(found) => Ok(found),
        Err(Unread::Failed(error)) => Err(error),
        Err(Unread::Damaged(_)) => unreachable!("BUG: nothing was looked up in the index"),
    }
}

/// For what a log is read.
#[derive(Clone, Copy)]
enum How<'a> {
    /// To write to it: the rest of a flush that did not finish is cut off.
    Recover { options: &'a LogOptions, damaged: &'a BTreeSet<u32> },
    /// To read it: the rest of a flush that has not finished yet is left.
    Look { with_index: bool },
}

fn read(disk: &dyn Disk, how: How<'_>, flushed: &Flushed) -> Result<Found, Unread> {
    // Before the segments are listed, so that beside a writer all that runs tell of is there.
    let runs = match how {
        How::Look { with_index: false } => Vec::new(),
        How::Look { with_index: true } | How::Recover { .. } => index::readable(disk)?,
    };
    let files = disk::segments(disk)?;
    for (at, file) in files.iter().enumerate() {
        if *file != files[0].wrapping_add(at as u32) {
            return Err(damaged(disk, *file, 0, Damage::Gap).into());
        }
    }
    let present = present(disk, &files)?;
    let mut flushed = flushed.clone();
    for (file, len) in index::flushed(&runs, &present) {
        let known = flushed.entry(file).or_default();
        *known = len.max(*known);
    }
    let is_damaged = |run: &Run| match how {
        How::Recover { damaged, .. } => damaged.contains(&run.number),
        How::Look { .. } => false,
    };
    let runs = runs.into_iter().filter(|run| !is_damaged(run)).collect();
    let runs = index::chain(runs, &present);
    let work = Work::after(disk::runs(disk)?.into_iter());
    let mut found = Found::behind(runs, files.first().copied().unwrap_or(FIRST), work);
    let begin = found.tail.header.number;
    for (at, file) in files.iter().enumerate().filter(|(_, file)| **file >= begin) {
        let (is_last, is_first) = (at + 1 == files.len(), *file == begin);
        let flushed = flushed.remove(file).unwrap_or_default();
        Segment { disk, file: *file, is_last, is_first, how, flushed }.read(&mut found)?;
    }
    if let Some(lost) = index::lost(&flushed, &files) {
        return Err(damaged(disk, lost, 0, Damage::Gap).into());
    }
    Ok(found)
}

/// The segments up to one whose header is damaged, if there is one.
pub(super) fn present(
    disk: &dyn Disk,
    files: &[u32],
) -> Result<BTreeMap<u32, Covered>, StorageError> {
    let io = |error| failed("read the store", error);
    let mut present = BTreeMap::new();
    for number in files {
        let file = LogFile::Segment(*number);
        let len = disk.len(file).map_err(io)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        if len < bytes.len() as u64 {
            break;
        }
        disk.read(file, 0, &mut bytes).map_err(io)?;
        match SegmentHeader::parse(&bytes) {
            Ok(header) if header.number == *number => {
                present.insert(*number, Covered { header, len });
            }
            Ok(_) | Err(_) => break,
        }
    }
    Ok(present)
}

fn is_before(disk: &dyn Disk, begin: u32) -> Result<bool, StorageError> {
    Ok(disk::segments(disk)?.first().is_some_and(|first| *first < begin))
}

/// Removes the segments before this one, the oldest first, and before them what the index says of
/// them.
fn remove_before(disk: &dyn Disk, begin: u32) -> Result<(), StorageError> {
    remove_others(disk, &[])?;
    for segment in disk::segments(disk)?.into_iter().filter(|segment| *segment < begin) {
        let removed = disk.remove(LogFile::Segment(segment));
        removed.map_err(|error| failed("remove an old file", error))?;
    }
    Ok(())
}

/// Removes runs that nobody needs: what a merge or an unfinished one left, or of other segments.
fn remove_others(disk: &dyn Disk, runs: &[Arc<Run>]) -> Result<(), StorageError> {
    for number in disk::runs(disk)? {
        if !runs.iter().any(|run| run.number == number) {
            let removed = disk.remove(LogFile::Run(number));
            removed.map_err(|error| failed("remove a part of the index", error))?;
        }
    }
    Ok(())
}

impl Found {
    /// What these runs say, of a log whose first file this is.
    fn behind(runs: Vec<Arc<Run>>, first: u32, work: Work) -> Found {
        let last = runs.last().map(|run| &run.trailer);
        let heads = last.map(|trailer| trailer.heads.clone()).unwrap_or_default();
        let tail = match last {
            Some(trailer) => {
                let Covered { header, len } = trailer.end();
                Tail { header, len, sequence: trailer.to, since: Since::new(trailer.to), work }
            }
            None => {
                let header = SegmentHeader::new(first, 1);
                Tail { header, len: 0, sequence: 1, since: Since::new(1), work }
            }
        };
        Found { runs, recent: IdMap::default(), heads, begin: None, tail }
    }
}

/// Makes a file in which nothing is but its header.
pub(super) fn begin_segment(disk: &dyn Disk, header: &SegmentHeader) -> Result<(), StorageError> {
    let file = LogFile::Segment(header.number);
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
    /// Whether it is the first to be read, of which the index may say a part.
    is_first: bool,
    how: How<'a>,
    /// Up to where it was flushed at least.
    flushed: u64,
}

impl Segment<'_> {
    fn read(&self, found: &mut Found) -> Result<(), Unread> {
        let len = self.disk.len(LogFile::Segment(self.file));
        let len = len.map_err(|error| failed("read the store", error))?;
        let Tail { header: last, len: last_len, .. } = found.tail;
        if !self.is_first {
            found.tail.since.leave(last, last_len);
        }
        let Some(header) = self.header(len, found)? else { return Ok(()) };
        let tail = &mut found.tail;
        if self.is_first && tail.len == 0 {
            (tail.sequence, tail.since) = (header.first, Since::new(header.first));
        }
        let begin = if self.is_first { tail.len } else { 0 };
        (tail.header, tail.len) = (header, begin.max(SEGMENT_HEADER_BYTES as u64));
        while found.tail.len < len {
            let (at, sequence) = (found.tail.len, found.tail.sequence);
            let Some(end) = self.frame(&header, sequence, at, len, found)? else {
                self.check_unfinished(&header, sequence, at, len)?;
                self.cut(at)?;
                break;
            };
            found.tail.since.bytes += end - at;
            (found.tail.len, found.tail.sequence) = (end, sequence + 1);
            if let How::Recover { options, .. } = self.how {
                found.settle(self.disk, options)?;
            }
        }
        if found.tail.len < self.flushed {
            return Err(self.damaged(found.tail.len, Damage::End).into());
        }
        Ok(())
    }

    /// The header; `None` if the file was only begun, so that the log ends before it.
    fn header(&self, len: u64, found: &mut Found) -> Result<Option<SegmentHeader>, StorageError> {
        // Nothing is written behind a header before it is durable.
        let may_be_torn = self.is_last && self.flushed == 0 && len <= SEGMENT_HEADER_BYTES as u64;
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
                (found.tail.header, found.tail.len) = (header, 0);
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
                    found.recent.insert(id, location);
                }
                Item::Begin(segment) => found.begin = Some(segment),
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
        if !self.is_last || at < self.flushed || self.is_frame_behind(segment, sequence, at, len)? {
            return Err(self.damaged(at, Damage::Checksum));
        }
        Ok(())
    }

    fn cut(&self, at: u64) -> Result<(), StorageError> {
        let file = LogFile::Segment(self.file);
        match self.how {
            How::Look { .. } => Ok(()),
            How::Recover { .. } => self
                .disk
                .truncate(file, at)
                .and_then(|()| self.disk.sync(file))
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
        let file = LogFile::Segment(self.file);
        self.disk.read(file, at, into).map_err(|error| failed("read the store", error))
    }

    fn damaged(&self, offset: u64, what: Damage) -> StorageError {
        damaged(self.disk, self.file, offset, what)
    }
}

pub(super) fn damaged(disk: &dyn Disk, file: u32, offset: u64, what: Damage) -> StorageError {
    let file = disk.name(LogFile::Segment(file));
    StorageError::Corrupt { what, at: Place::File { file, offset } }
}
