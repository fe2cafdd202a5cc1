//! Owns what several targets need: inputs of several parts that name each other, and seeing that a
//! store is whole. Must not know what a target looks for.

pub mod model;

use std::collections::HashSet;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Memory};
use jitsu_store::{BranchName, Contents, Id, Meta, Path, Store, Tree, references};

/// Splits an input into parts, each with its length before it in two bytes. The last one takes what
/// is left.
pub fn parts(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (part, rest) = rest.split_at(len);
        parts.push(part);
        data = rest;
    }
    parts
}

/// The input with these parts.
pub fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    let with_len = |part: &Vec<u8>| [&(part.len() as u16).to_le_bytes()[..], part].concat();
    parts.iter().flat_map(with_len).collect()
}

/// What names the object of this number in an input: no fuzzer finds a hash.
fn name(number: usize) -> [u8; 32] {
    [0xa0 ^ number as u8; 32]
}

/// The bytes with the ids of the objects that they name.
pub fn linked(bytes: &[u8], ids: &[Id]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + 32) {
        let named = ids.iter().enumerate().find(|(number, _)| *window == name(*number));
        match named {
            Some((_, id)) => {
                window.copy_from_slice(id.as_bytes());
                at += 32;
            }
            None => at += 1,
        }
    }
    bytes
}

/// The bytes with names in the place of ids.
pub fn unlinked(bytes: &[u8], ids: &[Id]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + 32) {
        if let Some(number) = ids.iter().position(|id| *window == *id.as_bytes()) {
            window.copy_from_slice(&name(number));
        }
        at += 1;
    }
    bytes
}

/// Objects, each of which may name those before it.
pub fn objects(parts: &[&[u8]], mut ids: Vec<Id>) -> (Vec<Vec<u8>>, Vec<Id>) {
    let mut objects = Vec::new();
    for part in parts {
        let object = linked(part, &ids);
        ids.push(Id::of(&object));
        objects.push(object);
    }
    (objects, ids)
}

/// An object first, then what refers to it: all that this one is made of, which may be followed as
/// parts of an input.
pub fn below(backend: &dyn Backend, top: &Id) -> Vec<Vec<u8>> {
    fn visit(backend: &dyn Backend, id: &Id, seen: &mut HashSet<Id>, found: &mut Vec<Vec<u8>>) {
        if !seen.insert(*id) {
            return;
        }
        let bytes = backend.get(id).unwrap().unwrap();
        for below in references(&bytes).unwrap() {
            visit(backend, &below, seen, found);
        }
        found.push(bytes.to_vec());
    }
    let mut found = Vec::new();
    visit(backend, top, &mut HashSet::new(), &mut found);
    found
}

/// A store with two branches that have something in common.
pub fn sample() -> (Arc<Memory>, Store) {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    for (to, at, value) in [("main", "a/b", "1"), ("main", "c", "2"), ("side", "a/d", "3")] {
        write(&store, to, at, value);
    }
    (backend, store)
}

/// Sets a text on a branch.
pub fn write(store: &Store, to: &str, at: &str, value: &str) {
    let (to, at): (BranchName, Path) = (to.parse().unwrap(), at.parse().unwrap());
    let set = |tree: &mut Tree| tree.set(&at, Contents::text(value));
    store.update(&to, Meta::default(), set).unwrap();
}

/// Whatever branches reach is there, can be decoded, and is named by its hash.
pub fn assert_whole(backend: &dyn Backend, heads: impl IntoIterator<Item = Id>) {
    let mut line: Vec<Id> = heads.into_iter().collect();
    let mut seen = HashSet::new();
    while let Some(id) = line.pop() {
        if seen.insert(id) {
            let bytes = backend.get(&id).unwrap().unwrap_or_else(|| panic!("{id} is missing"));
            assert_eq!(Id::of(&bytes), id);
            line.extend(references(&bytes).unwrap());
        }
    }
}
