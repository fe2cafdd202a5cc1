//! Owns how much of what is in a log, and for which branch. Must not know the bytes of the files.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::path::Path;

use super::disk::{Disk, failed};
use super::reach::{Amount, Reach, reach};
use super::scan::scan;
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::name::BranchName;

/// What is in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The bytes of all files, with what is written around the objects.
    pub file_bytes: u64,
    /// Contents.
    pub contents: Amount,
    /// Parts of contents.
    pub parts: Amount,
    /// Directories and their parts.
    pub nodes: Amount,
    /// Commits.
    pub commits: Amount,
    /// What each branch reaches.
    pub branches: BTreeMap<BranchName, Reach>,
    /// What no branch reaches.
    pub garbage: Amount,
}

/// Counts what is in the log in this folder. It takes no lock and changes nothing; damaged objects
/// are not counted.
#[cfg(unix)]
pub fn stat(folder: impl AsRef<Path>) -> Result<Stat, StorageError> {
    stat_on(&super::folder::Folder::open_read_only(folder.as_ref())?)
}

/// Counts what is in the log on this disk.
pub fn stat_on(disk: &dyn Disk) -> Result<Stat, StorageError> {
    let io = |error| failed("read the store", error);
    let scan = scan(disk)?;
    let mut stat = Stat::default();
    for file in disk.files().map_err(io)? {
        stat.file_bytes += disk.len(file).map_err(io)?;
    }
    for (_, at) in scan.intact.iter() {
        let amount = match at.kind {
            ObjectKind::Contents => &mut stat.contents,
            ObjectKind::Part => &mut stat.parts,
            ObjectKind::Node => &mut stat.nodes,
            ObjectKind::Commit => &mut stat.commits,
        };
        amount.add(at.len);
    }
    let heads = scan.heads.iter().filter_map(|(branch, heads)| Some((branch, *heads.last()?)));
    let (branches, heads): (Vec<_>, Vec<_>) = heads.unzip();
    let len = |number| Some(scan.intact.get(number)?.len);
    let (reaches, garbage) = reach(scan.intact.graph(), &heads, len);
    stat.branches = branches.into_iter().cloned().zip(reaches).collect();
    stat.garbage = garbage;
    Ok(stat)
}
