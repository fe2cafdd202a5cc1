//! Images of guests, read and unpacked once.
//!
//! Owns the cache: an image is found again as long as its file is the same, by inode, size and
//! time; the least recently used goes when there are too many. What is in an image is the
//! library's to say.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::sys::{Elf, Hypercalls, Refused};

/// How many files are kept.
const FILES_MAX: usize = 64;

/// The largest file that is taken for an image: a mistake otherwise.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file's bytes, ready to be loaded.
pub(super) enum Blob {
    /// As they are.
    File(Vec<u8>),
    /// A kernel that was packed.
    Unpacked(Elf),
}

impl Blob {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Blob::File(bytes) => bytes,
            Blob::Unpacked(elf) => elf.bytes(),
        }
    }
}

/// Why a file cannot be an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("no kernel that Xen can start: {0}")]
    Kernel(#[from] Refused),
    #[error("{0} bytes are too many for an image")]
    Large(u64),
    #[error("this is no file")]
    NoFile,
    #[error("the file is empty")]
    Empty,
}

/// What makes a file the same file.
#[derive(Clone, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    is_kernel: bool,
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

/// All images that were used lately; the last is the latest.
#[derive(Default)]
pub(super) struct Images {
    kept: Mutex<Vec<(Version, Arc<Blob>)>>,
}

impl Images {
    /// The kernel in the file `path`, unpacked.
    pub(super) fn kernel(&self, xen: &Hypercalls, path: &Path) -> Result<Arc<Blob>, ImageError> {
        self.get(path, true, |bytes| {
            Ok(match xen.unpack(&bytes)? {
                Some(elf) => Blob::Unpacked(elf),
                None => Blob::File(bytes),
            })
        })
    }

    /// The ramdisk in the file `path`.
    pub(super) fn ramdisk(&self, path: &Path) -> Result<Arc<Blob>, ImageError> {
        self.get(path, false, |bytes| Ok(Blob::File(bytes)))
    }

    fn get(
        &self,
        path: &Path,
        is_kernel: bool,
        prepare: impl FnOnce(Vec<u8>) -> Result<Blob, ImageError>,
    ) -> Result<Arc<Blob>, ImageError> {
        let mut file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(ImageError::NoFile);
        }
        let version = Version {
            path: path.to_owned(),
            is_kernel,
            file: (found.dev(), found.ino()),
            bytes: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        };
        if let Some(blob) = self.kept(&version) {
            return Ok(blob);
        }
        if found.len() > FILE_BYTES_MAX {
            return Err(ImageError::Large(found.len()));
        }
        // Two who need it first both read it: rare, and no harm.
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(ImageError::Empty);
        }
        let blob = Arc::new(prepare(bytes)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| (&other.path, other.is_kernel) != (&version.path, is_kernel));
        if kept.len() >= FILES_MAX {
            kept.remove(0);
        }
        kept.push((version, blob.clone()));
        Ok(blob)
    }

    fn kept(&self, version: &Version) -> Option<Arc<Blob>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == version)?;
        let entry = kept.remove(at);
        let blob = entry.1.clone();
        kept.push(entry);
        Some(blob)
    }
}
