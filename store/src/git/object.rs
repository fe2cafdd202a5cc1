//! Owns the names of Git's objects, and how a directory and a commit are written in one.
//! Must not know the store, nor where objects are kept.
//!
//! What is read here is exactly what is written again: anything else is refused.

use std::collections::BTreeMap;
use std::fmt;

use super::error::Fault;

/// The name of an object in a Git repository: SHA-1 or SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitId {
    bytes: [u8; 32],
    len: u8,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Commit,
    Tree,
    Blob,
}

/// What a file is, besides its bytes.
pub(super) const FILE: u32 = 0o100_644;
pub(super) const EXECUTABLE: u32 = 0o100_755;
pub(super) const LINK: u32 = 0o120_000;
pub(super) const DIRECTORY: u32 = 0o40_000;
pub(super) const SUBMODULE: u32 = 0o160_000;

/// A directory: what is in it, by name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// What a name in a directory leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) id: GitId,
}

/// A commit as Git keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GitCommit {
    pub(super) tree: GitId,
    pub(super) parents: Vec<GitId>,
    pub(super) words: Words,
}

/// What a commit says, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Who and when, in one line.
    pub(super) author: Vec<u8>,
    pub(super) committer: Vec<u8>,
    /// All that follows them: signatures, encodings.
    pub(super) headers: Vec<u8>,
    pub(super) message: Vec<u8>,
}

impl GitId {
    /// An id of 20 or 32 bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<GitId> {
        let mut id = GitId { bytes: [0; 32], len: bytes.len() as u8 };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        matches!(bytes.len(), 20 | 32).then_some(id)
    }

    /// An id from its hexadecimal digits.
    pub fn from_hex(hex: &[u8]) -> Option<GitId> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let pairs = hex.chunks_exact(2);
        if !pairs.remainder().is_empty() || hex.len() > 64 {
            return None;
        }
        GitId::from_bytes(&pairs.map(pair).collect::<Option<Vec<u8>>>()?)
    }

    /// The 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Entry {
    pub(super) fn is_directory(&self) -> bool {
        self.mode == DIRECTORY
    }
}

/// The directory of this id that these bytes are.
pub(super) fn read_tree(git: &GitId, bytes: &[u8]) -> Result<Entries, Fault> {
    let mut entries = Entries::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (name, entry, after) = read_entry(git, rest).ok_or(Fault::Malformed(*git))?;
        let name = std::str::from_utf8(name).map_err(|_| Fault::Name)?;
        entries.insert(name.to_owned(), entry);
        rest = after;
    }
    // A name twice, another order, or another way to write a mode, would not be written again.
    if write_tree(&entries) == bytes { Ok(entries) } else { Err(Fault::Malformed(*git)) }
}

/// The name and the entry at the beginning of these bytes, and what follows.
fn read_entry<'a>(git: &GitId, bytes: &'a [u8]) -> Option<(&'a [u8], Entry, &'a [u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let end = space + 1 + bytes[space + 1..].iter().position(|byte| *byte == 0)?;
    let mode = u32::from_str_radix(std::str::from_utf8(&bytes[..space]).ok()?, 8).ok()?;
    let (id, after) = bytes[end + 1..].split_at_checked(git.as_bytes().len())?;
    let name = &bytes[space + 1..end];
    let entry = Entry { mode, id: GitId::from_bytes(id)? };
    (!name.is_empty()).then_some((name, entry, after))
}

/// A directory's bytes.
pub(super) fn write_tree(entries: &Entries) -> Vec<u8> {
    let mut sorted: Vec<_> = entries.iter().collect();
    // Git sorts the name of a directory as if a slash followed it.
    let slash = |entry: &Entry| if entry.is_directory() { "/" } else { "" };
    sorted.sort_by_cached_key(|(name, entry)| format!("{name}{}", slash(entry)));
    let mut bytes = Vec::new();
    for (name, Entry { mode, id }) in sorted {
        bytes.extend_from_slice(format!("{mode:o} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

impl GitCommit {
    /// The commit that these bytes are.
    pub(super) fn read(bytes: &[u8]) -> Option<GitCommit> {
        let mut rest = bytes;
        let tree = GitId::from_hex(header(&mut rest, "tree")?)?;
        let mut parents = Vec::new();
        while let Some(parent) = header(&mut rest, "parent") {
            parents.push(GitId::from_hex(parent)?);
        }
        let author = header(&mut rest, "author")?.to_vec();
        let committer = header(&mut rest, "committer")?.to_vec();
        let end = headers_end(rest)?;
        let (headers, message) = (rest[..end].to_vec(), rest[end + 1..].to_vec());
        Some(GitCommit { tree, parents, words: Words { author, committer, headers, message } })
    }

    /// The commit's bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let GitCommit { tree, parents, words } = self;
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let start = format!("tree {tree}\n{parents}author ");
        let Words { author, committer, headers, message } = words;
        [start.as_bytes(), author, b"\ncommitter ", committer, b"\n", headers, b"\n", message]
            .concat()
    }
}

/// Takes a line that begins with this word, and gives what follows the word.
fn header<'a>(rest: &mut &'a [u8], name: &str) -> Option<&'a [u8]> {
    let line = rest.strip_prefix(name.as_bytes())?.strip_prefix(b" ")?;
    let end = line.iter().position(|byte| *byte == b'\n')?;
    *rest = &line[end + 1..];
    Some(&line[..end])
}

/// Where the empty line is that ends the headers.
fn headers_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'\n') {
        return Some(0);
    }
    Some(1 + bytes.windows(2).position(|pair| pair == b"\n\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> GitId {
        GitId::from_bytes(&[byte; 20]).unwrap()
    }

    #[test]
    fn ids_are_of_one_of_two_lengths() {
        assert_eq!(GitId::from_bytes(&[0; 21]), None);
        assert_eq!(GitId::from_bytes(&[0; 33]), None);
        for len in [20, 32] {
            let id = GitId::from_bytes(&[0xab; 32][..len]).unwrap();
            assert_eq!(GitId::from_hex(id.to_string().as_bytes()), Some(id));
        }
        assert_eq!(GitId::from_hex("AB".repeat(20).as_bytes()), None);
        assert_eq!(GitId::from_hex("a".repeat(41).as_bytes()), None);
    }

    #[test]
    fn a_directory_is_sorted_as_if_it_ended_in_a_slash() {
        let file = Entry { mode: FILE, id: id(1) };
        let directory = Entry { mode: DIRECTORY, id: id(2) };
        let entries = Entries::from([
            ("a".into(), directory),
            ("a.b".into(), file),
            ("a0".into(), Entry { mode: LINK, id: id(3) }),
        ]);
        let bytes = write_tree(&entries);
        assert!(bytes.starts_with(b"100644 a.b\0"));
        assert_eq!(read_tree(&id(0), &bytes), Ok(entries));
    }

    #[test]
    fn what_git_would_write_otherwise_is_refused() {
        let entry = |text: &str| [text.as_bytes(), &[7; 20]].concat();
        let refused = |bytes: &[u8]| read_tree(&id(0), bytes).unwrap_err();
        let malformed = Fault::Malformed(id(0));
        assert!(read_tree(&id(0), &entry("100644 a\0")).is_ok());
        for text in ["0100644 a\0", "100644 \0", "100648 a\0", "+100644 a\0", "a\0", "100644 a"] {
            assert_eq!(refused(&entry(text)), malformed, "{text}");
        }
        assert_eq!(refused(&entry("100644 a\0")[..20]), malformed);
        assert_eq!(refused(&[entry("100644 b\0"), entry("100644 a\0")].concat()), malformed);
        assert_eq!(refused(&[entry("100644 a\0"), entry("40000 a\0")].concat()), malformed);
        assert_eq!(refused(&[b"100644 \xff\0", &[7; 20][..]].concat()), Fault::Name);
    }

    #[test]
    fn a_commit_is_written_as_it_was_read() {
        let tree = id(9);
        let text = format!(
            "tree {tree}\nparent {}\nauthor A <a> 1 +0000\ncommitter B <b> 2 -0100\n\
             gpgsig -----\n more\n\nmessage\n\nwith lines",
            id(3)
        );
        let commit = GitCommit::read(text.as_bytes()).unwrap();
        assert_eq!(commit.parents, [id(3)]);
        assert_eq!(commit.words.headers, b"gpgsig -----\n more\n");
        assert_eq!(commit.words.message, b"message\n\nwith lines");
        assert_eq!(commit.write(), text.as_bytes());
        for len in 0..text.find("\n\n").unwrap() + 2 {
            assert_eq!(GitCommit::read(&text.as_bytes()[..len]), None, "cut at {len}");
        }
    }
}
