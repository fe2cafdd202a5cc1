//! Owns where a store keeps that a file is executable or a link: in a set at the step `.git` of
//! the directory, a name that no directory of Git has. Must not know how trees are walked.
//!
//! The members are `100755 name` and `120000 name`. As they are contents of the tree they stay when
//! the store commits or merges on top of what came from Git. Members that fit no file there are
//! left in the set, and in Git are the file `%2Egit`, as is the set that says nothing at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::object::{EXECUTABLE, Entries, FILE, LINK};

/// The step, and the name in Git of what stands at it otherwise.
pub(super) const STEP: &str = ".git";
pub(super) const NAME: &str = "%2Egit";

pub(super) type Set = BTreeSet<Arc<[u8]>>;

/// Gives the files of a directory, all of which are plain, the modes of a set. What is left of
/// the set, if it has to stand in Git as well.
pub(super) fn apply(set: &Set, to: &mut Entries) -> Option<Set> {
    let mut left = set.clone();
    left.retain(|member| {
        let file = parse(member).and_then(|(mode, name)| Some((mode, to.get_mut(name)?)));
        match file {
            Some((mode, file)) if file.mode == FILE => {
                file.mode = mode;
                false
            }
            _ => true,
        }
    });
    (!left.is_empty() || set.is_empty()).then_some(left)
}

/// Makes all files of a directory plain, and gives the modes they had.
pub(super) fn take(from: &mut Entries) -> Set {
    let mut set = Set::new();
    for (name, entry) in from {
        if !entry.is_directory() && entry.mode != FILE {
            set.insert(format!("{:o} {name}", entry.mode).into_bytes().into());
            entry.mode = FILE;
        }
    }
    set
}

fn parse(member: &[u8]) -> Option<(u32, &str)> {
    let (mode, name) = std::str::from_utf8(member).ok()?.split_once(' ')?;
    match mode {
        "100755" => Some((EXECUTABLE, name)),
        "120000" => Some((LINK, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object::{DIRECTORY, Entry, GitId};

    fn set(members: &[&str]) -> Set {
        members.iter().map(|member| member.as_bytes().into()).collect()
    }

    fn entries(entries: &[(&str, u32)]) -> Entries {
        let id = GitId::from_bytes(&[0; 20]).unwrap();
        entries.iter().map(|(name, mode)| (name.to_string(), Entry { mode: *mode, id })).collect()
    }

    #[test]
    fn modes_are_given_and_taken() {
        let plain = entries(&[("a", FILE), ("b", FILE), ("c", FILE), ("d", DIRECTORY)]);
        let mut there = plain.clone();
        assert_eq!(apply(&set(&["100755 a", "120000 b"]), &mut there), None);
        assert_eq!((there["a"].mode, there["b"].mode), (EXECUTABLE, LINK));
        assert_eq!(take(&mut there), set(&["100755 a", "120000 b"]));
        assert_eq!(there, plain);
    }

    #[test]
    fn what_fits_nothing_is_left() {
        let mut there = entries(&[("a", FILE), ("d", DIRECTORY)]);
        let members = ["100755 a", "120000 a", "100755 d", "100755 x", "100777 a", "x"];
        let left = set(&["120000 a", "100755 d", "100755 x", "100777 a", "x"]);
        assert_eq!(apply(&set(&members), &mut there), Some(left));
        assert_eq!(there["a"].mode, EXECUTABLE);
        assert_eq!(apply(&set(&[]), &mut there), Some(set(&[])));
    }
}
