//! Owns the examination of a log: what is damaged or missing, and which commits and branches that
//! leaves whole. Must not know the bytes of the files (`scan`), and changes nothing.
//!
//! An object is whole if everything below it is there; a commit, if its tree is; a history, if
//! all of its commits are.

use std::collections::{BTreeMap, HashMap, HashSet};
#[cfg(unix)]
use std::path::Path;

use super::audit::{IndexFlaw, audit};
use super::disk::Disk;
#[cfg(unix)]
use super::folder::Folder;
use super::scan::{Flaw, Scan, scan};
use crate::codec::ObjectKind;
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
    let referrers = referrers(scan);
    let absent = |id: &Id| !scan.objects.contains_key(id);
    let mut lost: BTreeMap<Id, Lost> = BTreeMap::new();
    let new = |id| Lost { id, at: None, referred_by: Vec::new(), head_of: Vec::new() };
    for (id, by) in referrers.iter().filter(|(id, _)| absent(id)) {
        let lost = lost.entry(*id).or_insert_with(|| new(*id));
        lost.referred_by.extend(by);
        lost.referred_by.sort();
    }
    for (branch, heads) in &scan.heads {
        let head = heads.last().filter(|head| absent(head));
        if let Some(head) = head {
            lost.entry(*head).or_insert_with(|| new(*head)).head_of.push(branch.clone());
        }
    }
    for flaw in &scan.flaws {
        if let Some(lost) = flaw.object.and_then(|id| lost.get_mut(&id)) {
            lost.at = Some(flaw.at.clone());
        }
    }
    let above = |edges| above(scan, &referrers, lost.keys(), edges);
    let (bad_trees, bad_histories) = (above(Edges::Trees), above(Edges::All));
    let commits = |id: &Id| scan.objects.get(id).is_some_and(|it| it.kind == ObjectKind::Commit);
    let mut damaged_commits: Vec<Id> = bad_trees.into_iter().filter(commits).collect();
    damaged_commits.sort();
    let whole = Whole { scan, bad: bad_histories };
    let branches = scan.heads.iter().filter_map(|(branch, heads)| {
        let (branch, head) = (branch.clone(), *heads.last()?);
        Some(Examined { branch, head, newest_whole: whole.newest(heads) })
    });
    let branches: Vec<Examined> = branches.collect();
    let loose = if scan.may_lack_heads { whole.loose(&referrers, &branches) } else { Vec::new() };
    Report {
        files: scan.files,
        objects: scan.objects.len(),
        commits: scan.objects.keys().filter(|id| commits(id)).count(),
        flaws: scan.flaws.clone(),
        damaged_commits,
        branches,
        loose,
        lost: lost.into_values().collect(),
        index: Vec::new(),
    }
}

/// Who refers to an object, for each that is referred to.
type Referrers = HashMap<Id, Vec<Id>>;

fn referrers(scan: &Scan) -> Referrers {
    let mut referrers = Referrers::new();
    for (id, found) in &scan.objects {
        let below: HashSet<&Id> = found.needed().iter().collect();
        below.into_iter().for_each(|below| referrers.entry(*below).or_default().push(*id));
    }
    referrers
}

/// Which references count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edges {
    /// All.
    All,
    /// All but those of a commit to its parents.
    Trees,
}

/// Everything that leads to one of these objects.
fn above<'a>(
    scan: &Scan,
    referrers: &Referrers,
    lost: impl Iterator<Item = &'a Id>,
    edges: Edges,
) -> HashSet<Id> {
    let mut line: Vec<Id> = lost.copied().collect();
    let mut above: HashSet<Id> = line.iter().copied().collect();
    while let Some(id) = line.pop() {
        for by in referrers.get(&id).into_iter().flatten() {
            let found = &scan.objects[by];
            let counts = edges == Edges::All
                || found.kind != ObjectKind::Commit
                || found.references.first() == Some(&id);
            if counts && above.insert(*by) {
                line.push(*by);
            }
        }
    }
    above
}

/// Which histories are whole.
struct Whole<'a> {
    scan: &'a Scan,
    /// All objects that are not whole, with those that are not there.
    bad: HashSet<Id>,
}

impl Whole<'_> {
    fn is_whole(&self, commit: &Id) -> bool {
        !self.bad.contains(commit) && self.generation(commit).is_some()
    }

    /// The generation of a commit that is there.
    fn generation(&self, commit: &Id) -> Option<u64> {
        Some(self.scan.objects.get(commit)?.commit.as_ref()?.generation)
    }

    /// The newest of the last of these heads and its ancestors whose history is whole. Where the
    /// way to them is lost, the earlier heads lead to them.
    fn newest(&self, heads: &[Id]) -> Option<Id> {
        let (head, earlier) = heads.split_last()?;
        let mut line = vec![*head];
        let mut seen: HashSet<Id> = HashSet::new();
        let mut newest: Option<(u64, Id)> = None;
        let mut earlier = Some(earlier);
        while let Some(commit) = line.pop() {
            if !seen.insert(commit) {
                continue;
            }
            match self.generation(&commit) {
                Some(generation) if self.is_whole(&commit) => {
                    newest = newest.max(Some((generation, commit)));
                }
                Some(_) => line.extend(&self.scan.objects[&commit].references[1..]),
                None => line.extend(earlier.take().unwrap_or_default()),
            }
        }
        newest.map(|(_, commit)| commit)
    }

    /// The commits with a whole history that no branch is at and no other one goes on from.
    fn loose(&self, referrers: &Referrers, branches: &[Examined]) -> Vec<Id> {
        let at: HashSet<Id> = branches.iter().filter_map(|it| it.newest_whole).collect();
        let goes_on =
            |id: &Id| referrers.get(id).is_some_and(|by| by.iter().any(|by| self.is_whole(by)));
        let is_loose = |id: &&Id| self.is_whole(id) && !at.contains(id) && !goes_on(id);
        let mut loose: Vec<Id> = self.scan.objects.keys().filter(is_loose).copied().collect();
        loose.sort();
        loose
    }
}
