//! Owns the file in a Git repository that says which commits were seen before: pairs of ids, so
//! that an export or import does again only what is new. Must not know how one id follows from
//! the other.
//!
//! A line says in which version of the forms of files its commit was exported. Those of an earlier
//! one are not taken for known, for they may be other commits by now.
//!
//! Which commits belong together follows from the commits alone. So a pair is never out of date,
//! and a file that is lost, torn or damaged costs time and nothing else.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::object::GitId;
use crate::id::Id;

const FILE: &str = "jitsu-ids";
/// The version of the forms of files, which begins each line. The first one was not written.
const VERSION: &str = "2 ";

/// Pairs of ids.
pub(super) struct Ids {
    path: PathBuf,
    to_git: HashMap<Id, GitId>,
    to_store: HashMap<GitId, Id>,
    /// Lines that are not in the file yet.
    new: String,
    /// Whether there are pairs of an earlier version, and none of this one.
    is_earlier: bool,
}

impl Ids {
    /// The pairs that a repository in this folder remembers.
    pub(super) fn load(repository: &Path) -> Ids {
        let path = repository.join(FILE);
        let text = fs::read(&path).unwrap_or_default();
        let lines = || text.split(|byte| *byte == b'\n');
        let mut ids = Ids {
            path,
            to_git: HashMap::new(),
            to_store: HashMap::new(),
            new: String::new(),
            is_earlier: false,
        };
        for (id, git) in lines().filter_map(|line| parse(line, VERSION)) {
            ids.insert(id, git);
        }
        ids.is_earlier = ids.to_git.is_empty() && lines().any(|line| parse(line, "").is_some());
        ids
    }

    /// Whether what was exported there was exported by an earlier version, and nothing since.
    pub(super) fn is_earlier(&self) -> bool {
        self.is_earlier
    }

    pub(super) fn git(&self, id: &Id) -> Option<GitId> {
        self.to_git.get(id).copied()
    }

    pub(super) fn store(&self, id: &GitId) -> Option<Id> {
        self.to_store.get(id).copied()
    }

    /// Remembers a pair.
    pub(super) fn learn(&mut self, id: Id, git: GitId) {
        if self.to_git.get(&id) != Some(&git) {
            let pair = format!("{VERSION}{id} {git}");
            self.new += &format!("{pair} {:08x}\n", crc32fast::hash(pair.as_bytes()));
            self.insert(id, git);
        }
    }

    /// Whether there are pairs that are not in the file.
    pub(super) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Appends what is new to the file.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if self.new.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // The end of a line that was torn must not become the beginning of one.
        file.write_all(format!("\n{}", self.new).as_bytes())?;
        self.new.clear();
        Ok(())
    }

    fn insert(&mut self, id: Id, git: GitId) {
        self.to_git.insert(id, git);
        self.to_store.insert(git, id);
    }
}

fn parse(line: &[u8], version: &str) -> Option<(Id, GitId)> {
    let (pair, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    let is_whole = sum == format!("{:08x}", crc32fast::hash(pair.as_bytes()));
    let (id, git) = pair.strip_prefix(version)?.split_once(' ').filter(|_| is_whole)?;
    Some((id.parse().ok()?, GitId::from_hex(git.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_an_earlier_version_are_not_taken_for_known() {
        let folder = tempfile::tempdir().unwrap();
        let (id, git) = (Id::of(b"a"), GitId::from_bytes(&[1; 32]).unwrap());
        let pair = format!("{id} {git}");
        let line = format!("{pair} {:08x}\n", crc32fast::hash(pair.as_bytes()));
        fs::write(folder.path().join(FILE), line).unwrap();
        let mut ids = Ids::load(folder.path());
        assert!(ids.is_earlier());
        assert_eq!(ids.git(&id), None);
        ids.learn(id, git);
        ids.save().unwrap();
        let ids = Ids::load(folder.path());
        assert!(!ids.is_earlier());
        assert_eq!(ids.git(&id), Some(git));
    }

    #[test]
    fn pairs_outlast_a_torn_and_a_damaged_line() {
        let folder = tempfile::tempdir().unwrap();
        let pair = |n: u8| (Id::of(&[n]), GitId::from_bytes(&[n; 32]).unwrap());
        for n in 0..3 {
            let mut ids = Ids::load(folder.path());
            ids.learn(pair(n).0, pair(n).1);
            ids.save().unwrap();
        }
        let file = folder.path().join(FILE);
        let mut text = fs::read(&file).unwrap();
        text[5] = if text[5] == b'0' { b'1' } else { b'0' };
        text.truncate(text.len() - 3);
        fs::write(&file, text).unwrap();
        let mut ids = Ids::load(folder.path());
        ids.learn(pair(3).0, pair(3).1);
        ids.save().unwrap();
        let ids = Ids::load(folder.path());
        let known: Vec<bool> = (0..4).map(|n| ids.git(&pair(n).0) == Some(pair(n).1)).collect();
        assert_eq!(known, [false, true, false, true]);
        assert_eq!(ids.store(&pair(1).1), Some(pair(1).0));
    }
}
