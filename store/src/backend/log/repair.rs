//! Owns the recovery of a damaged log. Must not know how damage is found (`fsck`).
//!
//! All that is intact goes into a new log, and the damaged one is only read: a repair that ends
//! half-way or errs has cost nothing, and what it gave up can still be looked for.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, LogFile, failed};
use super::fsck::{Report, examine};
use super::intact::IntactAt;
use super::numbers::Number;
use super::scan::scan;
use super::{Log, LogOptions};
use crate::backend::{Backend, HeadChange};
use crate::error::StorageError;
use crate::id::Id;
use crate::name::BranchName;

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What was found in the damaged log. All of its branches are in the new one, at their newest
    /// whole commits, but for those that have none.
    pub damaged: Report,
    /// Branches that were made for the loose histories: `lost/` and the beginning of the id.
    pub made: BTreeMap<BranchName, Id>,
}

/// Writes all intact objects of the log in a folder to a new folder, and each branch at its newest
/// commit whose history is whole.
#[cfg(unix)]
pub fn repair(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Repaired, StorageError> {
    let from = super::folder::Folder::open_read_only(from.as_ref())?;
    repair_on(&from, Arc::new(super::folder::Folder::open(to.as_ref())?))
}

/// Writes all intact objects of the log on a disk to another disk, as [`repair`] does. The heads
/// come last and at once: where there are none, it did not end and may be run again.
pub fn repair_on(from: &dyn Disk, to: Arc<dyn Disk>) -> Result<Repaired, StorageError> {
    let scan = scan(from)?;
    let damaged = examine(&scan);
    let to = Log::open_on(to, LogOptions::default())?;
    if !to.branches()?.is_empty() {
        return Err(StorageError::NotEmpty);
    }
    let mut objects: Vec<(Number, &IntactAt)> = scan.intact.iter().collect();
    // As they were written, what others refer to is first.
    objects.sort_unstable_by_key(|(_, at)| (at.file, at.offset));
    for (number, IntactAt { file, offset, len, .. }) in objects {
        let mut bytes = vec![0; *len];
        let file = LogFile::Segment(*file);
        from.read(file, *offset, &mut bytes).map_err(|error| failed("read the store", error))?;
        to.put(&scan.intact.graph().id(number), &bytes)?;
    }
    let known = damaged.branches.iter();
    let mut heads: BTreeMap<BranchName, Id> =
        known.filter_map(|it| Some((it.branch.clone(), it.newest_whole?))).collect();
    let made: BTreeMap<BranchName, Id> = damaged.loose.iter().map(|id| (lost(id), *id)).collect();
    // Where a branch has such a name already, it is from a repair before, and stays.
    for (branch, id) in &made {
        heads.entry(branch.clone()).or_insert(*id);
    }
    let change = |(branch, id)| HeadChange { branch, old: None, new: Some(id) };
    let changes: Vec<HeadChange> = heads.into_iter().map(change).collect();
    let is_done = to.set_heads(&changes)?;
    assert!(is_done, "BUG: a branch in a log that nobody else can have open");
    Ok(Repaired { damaged, made })
}

fn lost(id: &Id) -> BranchName {
    BranchName::new(&format!("lost/{}", id.short())).expect("BUG: digits are no name")
}
