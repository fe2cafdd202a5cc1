//! Owns the examination of a log: what is damaged or missing, and which commits and branches that
//! leaves whole. Must not know the bytes of the files (`scan`), and changes nothing.
//!
//! An object is whole if everything below it is there; a commit, if its tree is; a history, if
//! all of its commits are.

use std::collections::{BTreeMap, HashSet};
#[cfg(unix)]
use std::path::Path;

use super::audit::{IndexFlaw, audit};
use super::bits::Bits;
use super::disk::Disk;
#[cfg(unix)]
use super::folder::Folder;
use super::graph::Needing;
use super::intact::Intact;
use super::numbers::Number;
use super::scan::{Flaw, Scan, scan};
use crate::error::{Place, StorageError};
use crate::id::Id;
use crate::name::BranchName;

/// What an examination of a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many files there are.
    pub files: usize,
    /// How many intact objects.
    pub objects: usize,
    /// How many of them are commits.
    pub commits: usize,
    /// Damaged records, in the order in which they are in the files.
    pub flaws: Vec<Flaw>,
    /// Objects that something refers to and that are not there intact, by id.
    pub lost: Vec<Lost>,
    /// Commits of which something in the tree is lost, by id.
    pub damaged_commits: Vec<Id>,
    /// All branches, by name.
    pub branches: Vec<Examined>,
    /// Whole histories that no branch leads to and no commit goes on from, by id, if records of
    /// moved heads may be lost: what a branch is at may be among them.
    pub loose: Vec<Id>,
    /// Where the index disagrees with the log.
    pub index: Vec<IndexFlaw>,
}

/// An object that is not there intact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The object.
    pub id: Id,
    /// Where its damaged record is; `None` if there is none that says it holds it.
    pub at: Option<Place>,
    /// The objects that refer to it, by id.
    pub referred_by: Vec<Id>,
    /// The branches it was a head of.
    pub head_of: Vec<BranchName>,
}

/// A branch, examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The branch.
    pub branch: BranchName,
    /// Its head, as the newest intact record has it.
    pub head: Id,
    /// The newest commit before it whose history is whole: itself, if its own is.
    pub newest_whole: Option<Id>,
}

impl Report {
    /// Whether nothing is damaged but, at most, a flush that did not finish.
    pub fn is_whole(&self) -> bool {
        let is_unused = |flaw: &IndexFlaw| matches!(flaw, IndexFlaw::Unused { .. });
        self.lost.is_empty()
            && self.flaws.iter().all(|flaw| flaw.is_at_end)
            && self.index.iter().all(is_unused)
    }
}

/// Examines the log in this folder. It takes no lock and changes nothing; beside a writer, what is
/// being written at the moment may be told as a flaw at the end.
#[cfg(unix)]
pub fn fsck(folder: impl AsRef<Path>) -> Result<Report, StorageError> {
    fsck_on(&Folder::open_read_only(folder.as_ref())?)
}

/// Examines the log on this disk.
pub fn fsck_on(disk: &dyn Disk) -> Result<Report, StorageError> {
    let scan = scan(disk)?;
    let mut report = examine(&scan);
    report.index = audit(disk, &scan)?;
    Ok(report)
}

pub(super) fn examine(scan: &Scan) -> Report {
    let Scan { intact, .. } = scan;
    let graph = intact.graph();
    let needing = graph.needing();
    let absent = |number: Number| !intact.has(number);
    let mut lost: BTreeMap<Id, Lost> = BTreeMap::new();
    let new = |id| Lost { id, at: None, referred_by: Vec::new(), head_of: Vec::new() };
    for number in graph.all().filter(|it| absent(*it) && !needing.of(*it).is_empty()) {
        let lost = lost.entry(graph.id(number)).or_insert_with_key(|id| new(*id));
        lost.referred_by = needing.of(number).iter().map(|by| graph.id(*by)).collect();
        lost.referred_by.sort();
        lost.referred_by.dedup();
    }
    for (branch, heads) in &scan.heads {
        if let Some(head) = heads.last().filter(|head| absent(**head)) {
            let lost = lost.entry(graph.id(*head)).or_insert_with_key(|id| new(*id));
            lost.head_of.push(branch.clone());
        }
    }
    for flaw in &scan.flaws {
        if let Some(lost) = flaw.object.and_then(|id| lost.get_mut(&id)) {
            lost.at = Some(flaw.at.clone());
        }
    }
    let numbers = || lost.keys().filter_map(|id| graph.find(id));
    let is_in_tree = |by: Number, of: Number| {
        intact.commit(by).is_none() || graph.references(by).first() == Some(&of)
    };
    let bad_trees = needing.leading_to(numbers(), is_in_tree);
    let bad_histories = needing.leading_to(numbers(), |_, _| true);
    let damaged = intact.commits().filter(|(commit, _)| bad_trees.has(*commit as usize));
    let mut damaged_commits: Vec<Id> = damaged.map(|(commit, _)| graph.id(commit)).collect();
    damaged_commits.sort();
    let whole = Whole { intact, bad: bad_histories };
    let branches = scan.heads.iter().filter_map(|(branch, heads)| {
        let (branch, head) = (branch.clone(), graph.id(*heads.last()?));
        Some(Examined { branch, head, newest_whole: whole.newest(heads) })
    });
    let branches: Vec<Examined> = branches.collect();
    let loose = if scan.may_lack_heads { whole.loose(&needing, &branches) } else { Vec::new() };
    Report {
        files: scan.files,
        objects: intact.count(),
        commits: intact.commits().count(),
        flaws: scan.flaws.clone(),
        damaged_commits,
        branches,
        loose,
        lost: lost.into_values().collect(),
        index: Vec::new(),
    }
}

/// Which histories are whole.
struct Whole<'a> {
    intact: &'a Intact,
    /// All objects that are not whole, with those that are not there.
    bad: Bits,
}

impl Whole<'_> {
    fn is_whole(&self, commit: Number) -> bool {
        !self.bad.has(commit as usize) && self.intact.commit(commit).is_some()
    }

    /// The newest of the last of these heads and its ancestors whose history is whole. Where the
    /// way to them is lost, the earlier heads lead to them.
    fn newest(&self, heads: &[Number]) -> Option<Id> {
        let graph = self.intact.graph();
        let (head, earlier) = heads.split_last()?;
        let mut line = vec![*head];
        let mut seen: HashSet<Number> = HashSet::new();
        let mut newest: Option<(u64, Id)> = None;
        let mut earlier = Some(earlier);
        while let Some(commit) = line.pop() {
            if !seen.insert(commit) {
                continue;
            }
            match self.intact.commit(commit) {
                Some(facts) if self.is_whole(commit) => {
                    newest = newest.max(Some((facts.generation, graph.id(commit))));
                }
                Some(_) => line.extend(&graph.references(commit)[1..]),
                None => line.extend(earlier.take().unwrap_or_default()),
            }
        }
        newest.map(|(_, commit)| commit)
    }

    /// The commits with a whole history that no branch is at and no other one goes on from.
    fn loose(&self, needing: &Needing, branches: &[Examined]) -> Vec<Id> {
        let graph = self.intact.graph();
        let at: HashSet<Id> = branches.iter().filter_map(|it| it.newest_whole).collect();
        let goes_on = |commit| needing.of(commit).iter().any(|by| self.is_whole(*by));
        let ends = self.intact.commits().map(|(commit, _)| commit);
        let ends = ends.filter(|commit| self.is_whole(*commit) && !goes_on(*commit));
        let mut loose: Vec<Id> = ends.map(|commit| graph.id(commit)).collect();
        loose.retain(|id| !at.contains(id));
        loose.sort();
        loose
    }
}
