//! Owns the tests of slices: what is in them, and what of them is refused.

use std::collections::BTreeMap;

use jitsu_store::sync::{Imported, SliceError, SyncError};
use jitsu_store::{BranchName, Contents, Queue, Store, Tree};

use crate::fixture::{all, at, branch, path, text, walk, write};

/// A store with two branches, and something of each size.
fn filled() -> Store {
    let store = Store::memory();
    for number in 0..40 {
        write(&store, "main", &format!("keys/{number}"), &"x".repeat(number * 5), number as u64);
    }
    store.merge(&branch("side"), &store.head(&branch("main")).unwrap().unwrap(), at(50)).unwrap();
    let mut queue = Queue::new();
    (0..100).for_each(|number| queue.push(text(&number.to_string())).unwrap());
    let set = |tree: &mut Tree| tree.set(&path("queue"), Contents::Queue(queue.clone()));
    store.update(&branch("side"), at(51), set).unwrap();
    store
}

fn exported(store: &Store, branches: &[&str], since: &[jitsu_store::Id]) -> Vec<u8> {
    let branches: Vec<BranchName> = branches.iter().map(|name| branch(name)).collect();
    let mut bytes = Vec::new();
    store.export_slice(&branches, since, &mut bytes).unwrap();
    bytes
}

/// Takes in a slice, and moves its branches.
fn import(to: &Store, mut bytes: &[u8]) -> Result<Imported, SliceError> {
    let imported = to.import_slice(&mut bytes)?;
    let mut batch = to.batch();
    for (branch, head) in &imported.heads {
        batch.set(branch, head).unwrap();
    }
    batch.publish().unwrap();
    Ok(imported)
}

#[test]
fn a_slice_brings_its_branches_and_no_others() {
    let store = filled();
    let (to, both) = (Store::memory(), Store::memory());
    import(&to, &exported(&store, &["main"], &[])).unwrap();
    assert_eq!(walk(&to), BTreeMap::from([(branch("main"), walk(&store)[&branch("main")])]));
    let imported = import(&both, &exported(&store, &["main", "side"], &[])).unwrap();
    assert_eq!(walk(&both), walk(&store));
    for (_, head) in &imported.heads {
        let [here, there] =
            [&both, &store].map(|store| all(&store.commit(head).unwrap().unwrap().tree()));
        assert_eq!(here, there);
    }
    // What is there already does no harm.
    assert_eq!(import(&both, &exported(&store, &["main", "side"], &[])).unwrap(), imported);
}

#[test]
fn a_slice_since_a_commit_holds_what_came_after_it() {
    let (store, to) = (filled(), Store::memory());
    let old = store.head(&branch("main")).unwrap().unwrap().id();
    let first = exported(&store, &["main"], &[]);
    let new = write(&store, "main", "keys/3", "changed", 100);
    let mut slice = Vec::new();
    let objects = store.export_slice(&[branch("main")], &[old], &mut slice).unwrap();
    assert!(objects <= 4, "{objects} objects for one key");
    let lacks = to.import_slice(&mut &slice[..]).unwrap_err();
    let said = format!("the slice builds on the commit {}, which is not here", old.short());
    assert_eq!(lacks.to_string(), said);
    import(&to, &first).unwrap();
    import(&to, &slice).unwrap();
    assert_eq!(walk(&to), BTreeMap::from([(branch("main"), new.id())]));
    // Since itself, and since something on another line.
    let none = store.export_slice(&[branch("main")], &[new.id()], &mut Vec::new()).unwrap();
    assert_eq!(none, 0);
    let side = store.head(&branch("side")).unwrap().unwrap().id();
    import(&to, &exported(&store, &["side"], &[new.id()])).unwrap();
    import(&to, &exported(&store, &["main"], &[side])).unwrap();
    assert_eq!(walk(&to), walk(&store));
}

#[test]
fn a_branch_or_commit_that_is_not_there_is_told() {
    let store = filled();
    let none = store.export_slice(&[branch("none")], &[], &mut Vec::new()).unwrap_err();
    assert_eq!(none.to_string(), "there is no branch none");
    let id = jitsu_store::Id::from_bytes([7; 32]);
    let none = store.export_slice(&[branch("main")], &[id], &mut Vec::new()).unwrap_err();
    assert_eq!(none.to_string(), format!("the object {} is missing", id.short()));
}

#[test]
fn a_slice_that_ends_anywhere_is_told_and_taken_in_later() {
    let (store, to) = (filled(), Store::memory());
    let bytes = exported(&store, &["main", "side"], &[]);
    for end in 0..bytes.len() {
        let error = to.import_slice(&mut &bytes[..end]).unwrap_err();
        match error {
            SliceError::NoSlice => assert!(end < 12),
            SliceError::Short { at } => assert!((at as usize) <= end && end >= 12),
            other => panic!("{other} at {end}"),
        }
        assert!(walk(&to).is_empty());
    }
    import(&to, &bytes).unwrap();
    assert_eq!(walk(&to), walk(&store));
}

#[test]
fn a_flipped_bit_anywhere_is_told_with_its_place() {
    let store = filled();
    let bytes = exported(&store, &["main", "side"], &[]);
    let to = Store::memory();
    for (at, bit) in (0..bytes.len()).map(|at| (at, at % 8)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        match to.import_slice(&mut &damaged[..]).unwrap_err() {
            SliceError::NoSlice => assert!(at < 8),
            SliceError::Version(_) => assert!((8..12).contains(&at)),
            SliceError::Checksum { at: found }
            | SliceError::Short { at: found }
            | SliceError::Record { at: found, .. } => {
                assert!((12..=at as u64).contains(&found), "{found} for {at}");
            }
            other => panic!("{other} at {at}"),
        }
        assert!(walk(&to).is_empty());
    }
    import(&to, &bytes).unwrap();
}

#[test]
fn what_is_no_slice_is_told() {
    let to = Store::memory();
    let told = |bytes: &[u8]| to.import_slice(&mut &*bytes).unwrap_err().to_string();
    assert_eq!(told(b""), "this is no slice");
    assert_eq!(told(b"PK\x03\x04 something else"), "this is no slice");
    assert_eq!(told(b"jitsuslc\x09\0\0\0"), "the slice has format version 9, this program knows 1");
    let huge = [b"jitsuslc\x01\0\0\0", &[0xff; 8][..]].concat();
    assert_eq!(told(&huge), "the slice is damaged: not canonical: a length at byte 12");
}

#[test]
fn a_reader_that_fails_is_told() {
    struct Fails;
    impl std::io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the tape is torn"))
        }
    }
    let error = Store::memory().import_slice(&mut Fails).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the slice: the tape is torn");
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = filled().export_slice(&[branch("main")], &[], &mut Full).unwrap_err();
    assert!(matches!(error, SliceError::Io { op: "write", .. }), "{error}");
    let missing = SyncError::NoBranch(branch("x"));
    assert_eq!(SliceError::from(missing).to_string(), "there is no branch x");
}
