//! Owns a model of a disk that keeps no more than it has to when the power goes: the bytes of a
//! file that were flushed, and the names in a folder that were. Must not know whose files they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::recorded::Call;

/// A file or folder, by its place among the nodes.
type Number = usize;
/// A name in a folder, and what it is to be.
type Name = (Number, String, Option<Number>);
type Names = BTreeMap<String, Number>;

const ROOT: Number = 0;

pub(crate) struct Disk {
    nodes: Vec<Node>,
    /// Changes of names that are not durable, each as a whole.
    pending: Vec<Vec<Name>>,
}

enum Node {
    File { now: Vec<u8>, durable: Vec<u8> },
    Folder { now: Names, durable: Names },
}

/// What a crash leaves of what was not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    Nothing,
    /// Every name, and no bytes.
    Names,
    /// Every name, and zeros for bytes.
    Zeros,
    All,
    /// Of names and bytes these or those, by this number.
    Some(u64),
}

pub(crate) const LEFT: [Left; 6] =
    [Left::Nothing, Left::Names, Left::Zeros, Left::All, Left::Some(1), Left::Some(2)];

/// Files by their paths, and folders as none.
pub(crate) type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Disk {
    /// A disk on which all that is in a folder is durable.
    pub(crate) fn of(folder: &Path) -> Disk {
        let mut disk = Disk { nodes: vec![Node::folder()], pending: Vec::new() };
        disk.load(folder, Path::new(""));
        disk.sync_all();
        disk
    }

    fn load(&mut self, folder: &Path, at: &Path) {
        for entry in fs::read_dir(folder.join(at)).unwrap() {
            let path = at.join(entry.unwrap().file_name());
            if folder.join(&path).is_dir() {
                self.act(&Call::MakeFolder(path.clone()));
                self.load(folder, &path);
            } else {
                let bytes = fs::read(folder.join(&path)).unwrap();
                self.act(&Call::Create(path.clone()));
                self.act(&Call::Write { to: path, at: None, bytes });
            }
        }
    }

    /// Does what a process did. Whether that changed what a crash could leave.
    pub(crate) fn act(&mut self, call: &Call) -> bool {
        match call {
            Call::Say(_) => return false,
            Call::Create(path) => {
                if self.find(path).is_some() {
                    return false;
                }
                self.add(path, Node::File { now: Vec::new(), durable: Vec::new() });
            }
            Call::MakeFolder(path) => self.add(path, Node::folder()),
            Call::Truncate(path, len) => self.bytes(path).resize(*len, 0),
            Call::Write { to, at, bytes } => {
                let now = self.bytes(to);
                let at = at.unwrap_or(now.len());
                now.resize(now.len().max(at + bytes.len()), 0);
                now[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Call::Rename(from, to) => {
                let moved = self.find(from);
                let ((from, name), (to, new)) = (self.place(from), self.place(to));
                self.change(vec![(from, name, None), (to, new, moved)]);
            }
            Call::Remove(path) => {
                let (folder, name) = self.place(path);
                self.change(vec![(folder, name, None)]);
            }
            Call::Sync(path) => match self.find(path) {
                Some(number) => self.sync(number),
                // A file that is removed.
                None => return false,
            },
            Call::SyncAll => self.sync_all(),
        }
        true
    }

    /// What a crash leaves.
    pub(crate) fn left(&self, left: Left) -> Files {
        let mut folders: BTreeMap<Number, Names> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            if let Node::Folder { durable, .. } = node {
                folders.insert(number, durable.clone());
            }
        }
        for (at, change) in self.pending.iter().enumerate() {
            let is_left = match left {
                Left::Nothing => false,
                Left::Names | Left::Zeros | Left::All => true,
                Left::Some(seed) => mixed(seed, at).is_multiple_of(2),
            };
            if is_left {
                change.iter().for_each(|(folder, name, new)| {
                    set(folders.get_mut(folder).unwrap(), name, *new);
                });
            }
        }
        let mut files = Files::new();
        self.leave(left, &folders, ROOT, Path::new(""), &mut files);
        files
    }

    fn leave(
        &self,
        left: Left,
        folders: &BTreeMap<Number, Names>,
        folder: Number,
        at: &Path,
        files: &mut Files,
    ) {
        for (name, number) in &folders[&folder] {
            let path = at.join(name);
            match &self.nodes[*number] {
                Node::Folder { .. } => {
                    files.insert(path.clone(), None);
                    self.leave(left, folders, *number, &path, files);
                }
                Node::File { now, durable } => {
                    let which = match left {
                        Left::Nothing | Left::Names => 0,
                        Left::Zeros => 1,
                        Left::All => 2,
                        Left::Some(seed) => mixed(seed, *number) % 3,
                    };
                    let bytes = match which {
                        0 => durable.clone(),
                        1 => {
                            let mut zeros = durable.clone();
                            zeros.resize(now.len(), 0);
                            zeros
                        }
                        _ => now.clone(),
                    };
                    files.insert(path, Some(bytes));
                }
            }
        }
    }

    fn find(&self, path: &Path) -> Option<Number> {
        path.iter().try_fold(ROOT, |folder, name| match &self.nodes[folder] {
            Node::Folder { now, .. } => now.get(name.to_str().unwrap()).copied(),
            Node::File { .. } => None,
        })
    }

    /// The folder in which a path is a name.
    fn place(&self, path: &Path) -> (Number, String) {
        let folder = self.find(path.parent().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        (folder.expect("a folder that nobody made"), name.to_owned())
    }

    fn add(&mut self, path: &Path, node: Node) {
        let (folder, name) = self.place(path);
        self.nodes.push(node);
        self.change(vec![(folder, name, Some(self.nodes.len() - 1))]);
    }

    fn change(&mut self, names: Vec<Name>) {
        for (folder, name, new) in &names {
            if let Node::Folder { now, .. } = &mut self.nodes[*folder] {
                set(now, name, *new);
            }
        }
        self.pending.push(names);
    }

    fn bytes(&mut self, path: &Path) -> &mut Vec<u8> {
        let number = self.find(path).expect("a file that nobody made");
        match &mut self.nodes[number] {
            Node::File { now, .. } => now,
            Node::Folder { .. } => panic!("{} is a folder", path.display()),
        }
    }

    fn sync(&mut self, number: Number) {
        if let Node::File { now, durable } = &mut self.nodes[number] {
            durable.clone_from(now);
            return;
        }
        let is_here = |change: &Vec<Name>| change.iter().any(|(folder, ..)| *folder == number);
        let (synced, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| is_here(change));
        self.pending = pending;
        let synced: Vec<Vec<Name>> = synced;
        for (folder, name, new) in synced.into_iter().flatten() {
            if let Node::Folder { durable, .. } = &mut self.nodes[folder] {
                set(durable, &name, new);
            }
        }
    }

    fn sync_all(&mut self) {
        self.pending.clear();
        for node in &mut self.nodes {
            match node {
                Node::File { now, durable } => durable.clone_from(now),
                Node::Folder { now, durable } => durable.clone_from(now),
            }
        }
    }
}

impl Node {
    fn folder() -> Node {
        Node::Folder { now: Names::new(), durable: Names::new() }
    }
}

fn set(names: &mut Names, name: &str, new: Option<Number>) {
    match new {
        Some(number) => names.insert(name.to_owned(), number),
        None => names.remove(name),
    };
}

/// A number that follows from two, and looks like neither.
fn mixed(seed: u64, at: usize) -> u64 {
    (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}
