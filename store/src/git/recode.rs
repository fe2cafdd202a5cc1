//! Owns reading what Git holds and writing it again, for fuzzing: it is reached only through a
//! repository else. Must not know what is expected of it.

use super::blob::{of_blob, to_blob};
use super::error::Fault;
use super::object::{GitCommit, GitId, read_tree, write_tree};
use super::words;
use crate::contents::Contents;
use crate::error::StorageError;

/// The contents that a file is.
pub fn contents(file: &[u8]) -> Result<Contents, Fault> {
    of_blob(file)
}

/// The file that contents are.
pub fn file(contents: &Contents) -> Result<Vec<u8>, StorageError> {
    Ok(to_blob(contents)?.into_owned())
}

/// A tree.
pub fn tree(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let git = GitId::from_hex(&[b'0'; 40]).expect("BUG: no hexadecimal digits");
    Ok(write_tree(&read_tree(&git, bytes)?))
}

/// A commit; `None` if it is none, or if what it says cannot be written as it is.
pub fn commit(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut commit = GitCommit::read(bytes)?;
    commit.words = words::to_git(&words::of_git(&commit.words))?;
    Some(commit.write())
}
