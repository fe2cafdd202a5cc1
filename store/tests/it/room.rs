//! Owns the tests of the room that a log in a folder has behind its end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use jitsu_store::Store;
use jitsu_store::backend::{Log, LogOptions, fsck};

use crate::fixture::{walk, write};

fn open(folder: &FilePath, segment_bytes: u64) -> Store {
    let mut options = LogOptions::default();
    options.segment_bytes = segment_bytes;
    Store::on(Arc::new(Log::open(folder, options).unwrap())).unwrap()
}

fn segments(folder: &FilePath) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
    segments.sort();
    segments
}

fn len(file: &FilePath) -> u64 {
    fs::metadata(file).unwrap().len()
}

/// A folder as it is left by who is killed now.
fn killed(folder: &FilePath) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in segments(folder) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}

fn is_whole(folder: &FilePath) {
    let report = fsck(folder).unwrap();
    assert!(report.is_whole() && report.flaws.is_empty(), "{report:?}");
}

#[test]
fn room_is_made_seldom_seen_by_nobody_and_not_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), u64::MAX);
    let segment = &segments(folder.path())[0];
    let mut lens = BTreeSet::new();
    for n in 0..200 {
        write(&store, "main", &format!("a/{}", n % 7), &n.to_string(), n);
        lens.insert(len(segment));
        if n % 20 == 0 {
            let reader = Log::open_read_only(folder.path()).unwrap();
            assert_eq!(walk(&Store::on(Arc::new(reader)).unwrap()), walk(&store));
            is_whole(folder.path());
        }
    }
    assert!((3..20).contains(&lens.len()), "it grew {} times", lens.len());
    let heads = walk(&store);
    let killed = killed(folder.path());
    is_whole(killed.path());
    drop(store);
    assert!(len(segment) < *lens.last().unwrap(), "zeros are left");
    is_whole(folder.path());
    let reopened = open(killed.path(), u64::MAX);
    assert_eq!(walk(&reopened), heads);
    assert_eq!(len(&segments(killed.path())[0]), len(segment), "who opens it cuts them off");
    write(&reopened, "main", "a/b", "1", 1000);
    let heads = walk(&reopened);
    drop(reopened);
    assert_eq!(walk(&open(killed.path(), u64::MAX)), heads);
}

#[test]
fn a_file_that_is_full_has_no_room_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 20_000);
    for n in 0..300 {
        write(&store, "main", &format!("a/{}", n % 7), &n.to_string(), n);
    }
    let killed = killed(folder.path());
    is_whole(killed.path());
    assert!(segments(killed.path()).len() > 3);
    // Zeros before another file would be damage.
    assert_eq!(walk(&open(killed.path(), 20_000)), walk(&store));
}
