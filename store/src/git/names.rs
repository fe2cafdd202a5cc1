//! Owns which name in a Git repository a step or a branch has, and back. Must not know trees.
//!
//! Nearly all names are the same on both sides. A step that Git refuses as a name, as `.git` in
//! all the ways in which some file system takes it for that, has its first character written as
//! `%` and two digits for each byte: `%2Egit`. A step that looks like such a name itself is
//! written so as well. In a branch `*` is `%2A`.

use super::error::Fault;
use super::escape::{byte, push};
use crate::name::BranchName;
use crate::path::Step;

/// The name of a step.
pub(super) fn name_of(step: &Step, is_directory: bool) -> String {
    let step = step.as_str();
    if must_escape(step, is_directory) { escaped(step) } else { step.to_owned() }
}

/// The step that has this name.
pub(super) fn step_of(name: &str, is_directory: bool) -> Result<Step, Fault> {
    let step = match unescaped(name, is_directory) {
        Some(step) => step,
        None if is_refused(name, is_directory) => return Err(Fault::Name),
        None => name.to_owned(),
    };
    Step::new(&step).map_err(|_| Fault::Name)
}

fn must_escape(step: &str, is_directory: bool) -> bool {
    is_refused(step, is_directory) || unescaped(step, is_directory).is_some()
}

fn escaped(step: &str) -> String {
    let first = step.chars().next().map_or(0, char::len_utf8);
    let mut name = String::with_capacity(step.len() + 2 * first);
    step[..first].bytes().for_each(|byte| push(byte, &mut name));
    name + &step[first..]
}

/// The step that is written as this name, if the name is an escaped one.
fn unescaped(name: &str, is_directory: bool) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while bytes.is_empty() || std::str::from_utf8(&bytes).is_err() && bytes.len() < 4 {
        bytes.push(byte(rest.strip_prefix('%')?.as_bytes())?);
        rest = &rest[3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    let step = String::from_utf8(bytes).ok()?;
    (must_escape(&step, is_directory) && escaped(&step) == name).then_some(step)
}

/// Whether Git, or `git fsck --strict`, takes a name for something else than a name.
fn is_refused(name: &str, is_directory: bool) -> bool {
    name.split('\\').any(|part| {
        let word = word(part);
        let is_short = |prefix: &str| word.starts_with(prefix) && word.contains('~');
        let modules = word == ".gitmodules" || is_short("gitmod") || is_short("gi7e");
        let attributes = word == ".gitattributes" || is_short("gitatt") || is_short("gi7d");
        word == ".git" || word == "git~1" || modules || attributes && is_directory
    })
}

/// A name as file systems read it that ignore case, some characters (HFS+), or what is at its end
/// (NTFS).
fn word(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    let word: String = name.chars().filter(|c| !is_ignored(*c)).collect();
    word.trim_end_matches([' ', '.']).to_ascii_lowercase()
}

fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// The name of a branch below `refs/heads`.
pub fn git_branch(branch: &BranchName) -> String {
    branch.as_str().replace('*', "%2A")
}

/// The branch that has this name, if the store can have one of it.
pub(super) fn store_branch(name: &str) -> Option<BranchName> {
    let is_plain = !name.contains('*');
    BranchName::new(&name.replace("%2A", "*")).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(step: &str) -> String {
        name_of(&Step::new(step).unwrap(), false)
    }

    #[test]
    fn only_what_git_refuses_is_escaped() {
        assert_eq!(name("100%25.txt"), "100%25.txt");
        assert_eq!(name("%41"), "%41");
        assert_eq!(name(".gitignore"), ".gitignore");
        assert_eq!(name(".gitattributes"), ".gitattributes");
        assert_eq!(name(".git"), "%2Egit");
        assert_eq!(name("%2Egit"), "%252Egit");
        assert_eq!(name("GIT~1 . "), "%47IT~1 . ");
        assert_eq!(name(".g\u{200c}it"), "%2Eg\u{200c}it");
        assert_eq!(name("\u{200c}.git"), "%E2%80%8C.git");
        assert_eq!(name(".gitmodules"), "%2Egitmodules");
        assert_eq!(name("a\\.git"), "%61\\.git");
        assert_eq!(step_of(".git", true), Err(Fault::Name));
        assert_eq!(step_of(".", true), Err(Fault::Name));
        assert_eq!(step_of(".gitmodules", false), Err(Fault::Name));
    }

    #[test]
    fn a_branch_that_git_refuses_is_escaped() {
        let branch = BranchName::new("a/*b*").unwrap();
        assert_eq!(git_branch(&branch), "a/%2Ab%2A");
        assert_eq!(store_branch("a/%2Ab%2A"), Some(branch));
        assert_eq!(store_branch("a*"), None);
        assert_eq!(store_branch("a%41"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn steps_and_names_come_back(
            text in prop_oneof![
                "(%25|%2E|%E2%80%8C|\\.|\u{200c}|%){0,3}(git|GIT~1|gi7eba~1|x)?(modules|attributes)?[ .:]{0,2}",
                "\\PC{1,8}",
            ],
            is_directory: bool,
        ) {
            if let Ok(step) = Step::new(&text) {
                let name = name_of(&step, is_directory);
                prop_assert!(!is_refused(&name, is_directory));
                prop_assert_eq!(step_of(&name, is_directory), Ok(step));
            }
            if let Ok(step) = step_of(&text, is_directory) {
                prop_assert_eq!(name_of(&step, is_directory), text);
            }
        }
    }
}
