//! Owns how much of what is in a log, and for which branch. Must not know the bytes of the files.

use std::collections::{BTreeMap, HashMap, HashSet};
#[cfg(unix)]
use std::path::Path;

use super::disk::{Disk, failed};
use super::scan::{Scan, scan};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::Id;
use crate::name::BranchName;

/// How many objects, and the bytes of them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Objects.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
}

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

/// What a branch reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// What no other branch reaches.
    pub own: Amount,
    /// What others reach, too.
    pub shared: Amount,
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
    for found in scan.objects.values() {
        let amount = match found.kind {
            ObjectKind::Contents => &mut stat.contents,
            ObjectKind::Part => &mut stat.parts,
            ObjectKind::Node => &mut stat.nodes,
            ObjectKind::Commit => &mut stat.commits,
        };
        amount.add(found.len);
    }
    let reached: Vec<(&BranchName, HashSet<Id>)> = scan
        .heads
        .iter()
        .filter_map(|(branch, heads)| Some((branch, reach(&scan, *heads.last()?))))
        .collect();
    let mut branches: HashMap<Id, usize> = HashMap::new();
    for id in reached.iter().flat_map(|(_, reached)| reached) {
        *branches.entry(*id).or_default() += 1;
    }
    for (branch, reached) in &reached {
        let reach = stat.branches.entry((*branch).clone()).or_default();
        for id in reached {
            let amount = if branches[id] == 1 { &mut reach.own } else { &mut reach.shared };
            amount.add(scan.objects[id].len);
        }
    }
    for (_, found) in scan.objects.iter().filter(|(id, _)| !branches.contains_key(id)) {
        stat.garbage.add(found.len);
    }
    Ok(stat)
}

/// Everything that an object leads to, as far as it is there.
fn reach(scan: &Scan, from: Id) -> HashSet<Id> {
    let mut reached = HashSet::new();
    let mut line = vec![from];
    while let Some(id) = line.pop() {
        if let Some(found) = scan.objects.get(&id)
            && reached.insert(id)
        {
            line.extend(found.needed());
        }
    }
    reached
}

impl Amount {
    pub(super) fn add(&mut self, bytes: usize) {
        self.objects += 1;
        self.bytes += bytes as u64;
    }
}
