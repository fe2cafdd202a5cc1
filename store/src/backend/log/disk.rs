//! Owns what the log asks of a disk, so that tests can bring one that loses and refuses things.
//! Must not know what is written.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::error::StorageError;

/// Numbered files that are written at their end.
pub trait Disk: Send + Sync {
    /// The numbers of the files there are, in order.
    fn files(&self) -> io::Result<Vec<u32>>;

    /// Makes an empty file, or empties the one there is. It does not vanish in a crash, what is
    /// written to it may.
    fn create(&self, file: u32) -> io::Result<()>;

    /// The size of a file in bytes.
    fn len(&self, file: u32) -> io::Result<u64>;

    /// Fills `into` from a place in a file, all of it.
    fn read(&self, file: u32, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at the end of a file, which is at `offset`. If it fails some of the bytes may be
    /// there.
    fn write(&self, file: u32, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written to a file durable.
    fn sync(&self, file: u32) -> io::Result<()>;

    /// Cuts off the end of a file.
    fn truncate(&self, file: u32, len: u64) -> io::Result<()>;

    /// Removes a file, and it stays removed in a crash. Those who have it open can read it on.
    fn remove(&self, file: u32) -> io::Result<()>;

    /// What people call a file.
    fn name(&self, file: u32) -> String;
}

/// An error of the disk, in the words of the store.
pub(super) fn failed(op: &'static str, error: io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StorageError::NoSpace
        }
        _ => StorageError::Io { op, cause: Arc::new(error) },
    }
}
