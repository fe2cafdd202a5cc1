//! Owns the note of which branches are being moved, which outlasts a process that dies meanwhile:
//! so that whoever opens the repository next moves all of them or none. Must not know how branches
//! are moved.
//!
//! The note is a file of lines: how far it came, each branch with what it pointed at and what it is
//! to point at, and a checksum. One that is torn or damaged was never flushed, and says nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::object::GitId;
use super::repository::Move;

const FILE: &str = "jitsu-moves";
const NONE: &str = "-";

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No branch has moved: each may be locked by a file.
    Locking,
    /// All were locked and where they should be: some may have moved.
    Moving,
}

/// Notes it in this repository. From [`Stage::Moving`] on the note is durable.
pub(super) fn note(repository: &Path, stage: Stage, moves: &[Move]) -> io::Result<()> {
    let next = repository.join(format!("{FILE}.next"));
    let mut file = File::create(&next)?;
    file.write_all(write(stage, moves).as_bytes())?;
    if stage == Stage::Moving {
        file.sync_all()?;
    }
    fs::rename(&next, repository.join(FILE))?;
    if stage == Stage::Moving { File::open(repository)?.sync_all() } else { Ok(()) }
}

/// What was noted in this repository, and not forgotten.
pub(super) fn noted(repository: &Path) -> io::Result<Option<(Stage, Vec<Move>)>> {
    match fs::read_to_string(repository.join(FILE)) {
        Ok(text) => Ok(read(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Forgets what was noted, durably if it was durable.
pub(super) fn forget(repository: &Path, stage: Stage) -> io::Result<()> {
    fs::remove_file(repository.join(FILE))?;
    if stage == Stage::Moving { File::open(repository)?.sync_all() } else { Ok(()) }
}

fn write(stage: Stage, moves: &[Move]) -> String {
    let id = |id: &Option<GitId>| id.map_or(NONE.to_owned(), |id| id.to_string());
    let mut text = format!("{}\n", word(stage));
    for Move { branch, old, new } in moves {
        text += &format!("{} {} {branch}\n", id(old), id(new));
    }
    let sum = crc32fast::hash(text.as_bytes());
    text + &format!("{sum:08x}\n")
}

fn read(text: &str) -> Option<(Stage, Vec<Move>)> {
    let (above, _) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let mut lines = above.lines();
    let first = lines.next()?;
    let stage = [Stage::Locking, Stage::Moving].into_iter().find(|stage| word(*stage) == first)?;
    let moves = lines.map(read_move).collect::<Option<Vec<_>>>()?;
    (write(stage, &moves) == text).then_some((stage, moves))
}

fn read_move(line: &str) -> Option<Move> {
    let mut words = line.splitn(3, ' ');
    let mut id = || match words.next()? {
        NONE => Some(None),
        hex => GitId::from_hex(hex.as_bytes()).map(Some),
    };
    let (old, new) = (id()?, id()?);
    Some(Move { branch: words.next()?.to_owned(), old, new })
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Locking => "locking",
        Stage::Moving => "moving",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_or_not_at_all() {
        let id = |n| GitId::from_bytes(&[n; 20]);
        let moves = [
            Move { branch: "a/b".into(), old: None, new: id(1) },
            Move { branch: "c".into(), old: id(2), new: None },
        ];
        let folder = tempfile::tempdir().unwrap();
        for stage in [Stage::Locking, Stage::Moving] {
            note(folder.path(), stage, &moves).unwrap();
            assert_eq!(noted(folder.path()).unwrap(), Some((stage, moves.to_vec())));
            let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
            for end in 0..text.len() {
                assert_eq!(read(&text[..end]), None, "{end}");
            }
            assert_eq!(read(&text.replace("a/b", "a/c")), None);
            forget(folder.path(), stage).unwrap();
            assert_eq!(noted(folder.path()).unwrap(), None);
        }
    }
}
