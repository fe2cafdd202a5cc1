//! Owns the fuzzing of stored objects: each is refused or has one encoding, and whatever they say
//! about each other, reading and changing them ends without a panic.

#![no_main]

use std::sync::Arc;

use jitsu_store::backend::{Backend, Memory};
use jitsu_store::{
    Commit, Contents, Id, ListRope, Meta, ObjectKind, Path, StorageError, Store, Tree, recode,
    references,
};
use jitsu_store_fuzz::{objects, parts};
use libfuzzer_sys::fuzz_target;

/// How much of anything is read: a few bytes can say that there is very much.
const READ_MAX: usize = 300;
const LEVELS: usize = 4;

fuzz_target!(|data: &[u8]| {
    let (objects, ids) = objects(&parts(data), Vec::new());
    let backend = Arc::new(Memory::new());
    let mut last = None;
    for (bytes, id) in objects.iter().zip(&ids) {
        let again = recode(bytes);
        assert!(again.as_ref().is_ok_and(|again| again == bytes) || again.is_err());
        assert_eq!(again.is_ok(), references(bytes).is_ok());
        backend.put(id, bytes).unwrap();
        if ObjectKind::of(bytes) == Some(ObjectKind::Node) {
            let commit = commit_of(id);
            backend.put(&Id::of(&commit), &commit).unwrap();
            last = see(&backend, &Id::of(&commit), last);
        }
        if ObjectKind::of(bytes) == Some(ObjectKind::Commit) {
            last = see(&backend, id, last);
        }
    }
});

/// The bytes of a commit of this tree.
fn commit_of(tree: &Id) -> Vec<u8> {
    [b"k\x01", &tree.as_bytes()[..], &[0, 1, 0, 0, 0, 0]].concat()
}

/// Reads a commit and changes what it holds, also together with the one before.
fn see(backend: &Arc<Memory>, id: &Id, before: Option<Commit>) -> Option<Commit> {
    let store = Store::on(backend.clone()).unwrap();
    let commit = store.commit(id).ok().flatten()?;
    store.log(id).take(READ_MAX).for_each(drop);
    let tree = commit.tree();
    if let Ok(entries) = tree.entries().take(READ_MAX).collect::<Result<Vec<_>, _>>() {
        if entries.len() < READ_MAX {
            assert_eq!(rebuilt(&entries).id(), tree.id(), "one tree in two forms");
        }
        for (path, contents) in entries {
            let proof = store.prove(id, &path);
            if let Ok(proof) = proof {
                proof.verify().unwrap();
            }
            let mut edited = tree.clone();
            let (_, one) = edit(contents.clone(), LEVELS);
            drop(edited.set(&path, one));
            let merged =
                Contents::merge(Some(&contents), &edit(contents.clone(), LEVELS).1, &contents);
            drop(merged);
            drop(store.diff(&tree, &edited));
            drop(store.update(&"a".parse().unwrap(), Meta::default(), |tree| {
                *tree = edited.clone();
                tree.remove(&path)
            }));
        }
    }
    if let Some(before) = before {
        drop(store.diff(&before.tree(), &tree));
        drop(store.merge_trees(&Tree::empty(), &before.tree(), &tree));
        drop(store.lcas(&before.id(), id));
        drop(store.is_ancestor(&before.id(), id));
    }
    Some(commit)
}

fn rebuilt(entries: &[(Path, Contents)]) -> Tree {
    let mut tree = Tree::empty();
    for (path, contents) in entries.iter().rev() {
        tree.set(path, contents.clone()).unwrap();
    }
    tree
}

/// Reads contents, and does to them what can be done.
fn edit(contents: Contents, levels: usize) -> (Result<(), StorageError>, Contents) {
    let mut edited = contents.clone();
    if levels == 0 {
        return (Ok(()), edited);
    }
    let done = (|| {
        match &mut edited {
            Contents::Queue(queue) => {
                for element in queue.iter().take(READ_MAX) {
                    edit(element?, levels - 1).0?;
                }
                let _ = queue.len();
                queue.push(Contents::Counter(1))?;
                for _ in 0..5 {
                    queue.pop()?;
                }
            }
            Contents::Map(map) => {
                for item in map.iter().take(READ_MAX) {
                    edit(item?.1, levels - 1).0?;
                }
                map.set("key", Contents::Counter(1));
                map.remove("");
            }
            Contents::Log(log) => {
                log.iter().take(READ_MAX).for_each(drop);
                log.append(1, Contents::Counter(1))?;
            }
            Contents::TextRope(rope) => {
                rope.iter().take(READ_MAX).for_each(drop);
                let len = rope.len();
                drop(rope.get(len / 2));
                drop(rope.replace(len / 3..len / 2, "xü"));
                drop(rope.split(len / 2));
            }
            Contents::ByteRope(rope) => {
                rope.iter_from(rope.len() / 2).take(READ_MAX).for_each(drop);
                drop(rope.delete(0..rope.len() / 2));
                let other = rope.clone();
                rope.append(&other)?;
            }
            Contents::ListRope(rope) => {
                for element in rope.iter().take(READ_MAX) {
                    drop(element);
                }
                drop(rope.insert(rope.len() / 2, vec![Contents::Counter(1)]));
                rope.append(&ListRope::of(vec![Contents::text("x".repeat(200))]))?;
            }
            _ => {}
        }
        Ok(())
    })();
    (done, edited)
}
