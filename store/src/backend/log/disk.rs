//! Owns what the log asks of a disk, so that tests can bring one that loses and refuses things.
//! Must not know what is written.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::error::StorageError;

/// A file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// A part of the log itself, by its place in it.
    Segment(u32),
    /// A part of the index, which can be made again from the segments.
    Run(u32),
}

/// Numbered files that are written at their end.
pub trait Disk: Send + Sync {
    /// The files there are, in order.
    fn files(&self) -> io::Result<Vec<LogFile>>;

    /// Makes an empty file, or empties the one there is. It does not vanish in a crash, what is
    /// written to it may.
    fn create(&self, file: LogFile) -> io::Result<()>;

    /// The size of a file in bytes.
    fn len(&self, file: LogFile) -> io::Result<u64>;

    /// Fills `into` from a place in a file, all of it.
    fn read(&self, file: LogFile, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at the end of a file, which is at `offset`. If it fails some of the bytes may be
    /// there.
    fn write(&self, file: LogFile, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written to a file durable.
    fn sync(&self, file: LogFile) -> io::Result<()>;

    /// Cuts off the end of a file.
    fn truncate(&self, file: LogFile, len: u64) -> io::Result<()>;

    /// Removes a file, and it stays removed in a crash. Those who have it open can read it on.
    fn remove(&self, file: LogFile) -> io::Result<()>;

    /// What people call a file.
    fn name(&self, file: LogFile) -> String;
}

/// The numbers of the segments there are, in order.
pub(super) fn segments(disk: &dyn Disk) -> Result<Vec<u32>, StorageError> {
    numbers(disk, |file| match file {
        LogFile::Segment(number) => Some(number),
        LogFile::Run(_) => None,
    })
}

/// The numbers of the runs of the index there are, in order.
pub(super) fn runs(disk: &dyn Disk) -> Result<Vec<u32>, StorageError> {
    numbers(disk, |file| match file {
        LogFile::Run(number) => Some(number),
        LogFile::Segment(_) => None,
    })
}

fn numbers(
    disk: &dyn Disk,
    number: impl Fn(LogFile) -> Option<u32>,
) -> Result<Vec<u32>, StorageError> {
    let files = disk.files().map_err(|error| failed("list the store's files", error))?;
    Ok(files.into_iter().filter_map(number).collect())
}

/// An error of the disk, in the words of the store.
pub(crate) fn failed(op: &'static str, error: io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StorageError::NoSpace
        }
        _ => StorageError::Io { op, cause: Arc::new(error) },
    }
}
