//! Owns the fuzzing of the files of a log. Whatever they hold: what is read from them is what was
//! written or an error, a repair gives a whole log, and a collection loses nothing.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use disk::{Left, SimDisk};
use jitsu_store::backend::{
    Backend, Disk, Log, LogFile, LogOptions, fsck_on, gc_on, repair_on, stat_on,
};
use jitsu_store::{BranchName, Contents, Id, Meta, Rope, Store, Tree, references};
use jitsu_store_fuzz::{assert_whole, write};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../../tests/it/disk.rs"]
mod disk;

#[derive(Arbitrary, Debug)]
struct Change {
    file: u8,
    at: u16,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum What {
    Flip(u8),
    Cut,
    Lose,
    Replace {
        len: u8,
        by: Vec<u8>,
    },
    /// Bytes of another file, or of this one, are there in place of as many.
    Copy {
        file: u8,
        from: u16,
        len: u16,
    },
    /// All of it is this.
    Be(Vec<u8>),
}

struct Sample {
    disk: SimDisk,
    objects: BTreeMap<Id, Vec<u8>>,
    /// All heads there ever were.
    heads: BTreeMap<BranchName, BTreeSet<Id>>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(sample);

fuzz_target!(|changes: Vec<Change>| {
    let disk = SAMPLE.disk.crash(Left::All);
    changes.iter().for_each(|change| apply(&disk, change));
    let copy = || Arc::new(disk.crash(Left::All));
    let report = fsck_on(&disk);
    drop(stat_on(&disk));
    if let Ok(log) = Log::open_read_only_on(copy()) {
        check(&log);
    }
    let to = Arc::new(SimDisk::new());
    let repaired = repair_on(&disk, to.clone());
    assert_eq!(report.is_ok(), repaired.is_ok(), "{report:?} {repaired:?}");
    if repaired.is_ok() {
        let whole = fsck_on(&*to).unwrap();
        // What is intact is kept even if something below it is lost, but no branch leads there.
        assert!(whole.flaws.is_empty() && whole.index.is_empty(), "{whole:?}");
        assert!(whole.branches.iter().all(|it| it.newest_whole == Some(it.head)), "{whole:?}");
        let log = Log::open_on(to, small()).unwrap();
        assert_whole(&log, log.branches().unwrap().into_iter().map(|(_, head)| head));
    }
    let opened = copy();
    if let Ok(log) = Log::open_on(opened.clone(), small()) {
        check(&log);
        let heads = log.branches().unwrap();
        drop(log);
        if gc_on(opened.clone(), small()).is_ok() {
            let log = Log::open_on(opened, small()).unwrap();
            assert_eq!(log.branches().unwrap(), heads);
            assert_whole(&log, heads.iter().map(|(_, head)| *head));
        }
        go_on(&copy());
    }
});

fn small() -> LogOptions {
    let mut options = LogOptions::default();
    options.segment_bytes = 2000;
    options.unsaved_bytes = 500;
    options.unindexed_objects = 10;
    options
}

/// A log of several files, with an index.
fn sample() -> Sample {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    let store = Store::on(log.clone()).unwrap();
    let mut heads: BTreeMap<BranchName, BTreeSet<Id>> = BTreeMap::new();
    for n in 0..8 {
        write(&store, &format!("b{}", n % 2), &format!("a/{n}"), &"long ".repeat(n * 7 % 9));
        for (branch, head) in store.branches().unwrap() {
            heads.entry(branch).or_default().insert(head);
        }
    }
    let rope = Contents::TextRope(Rope::of("a text ".repeat(200)));
    let set = |tree: &mut Tree| tree.set(&"rope".parse().unwrap(), rope.clone());
    let branch: BranchName = "b0".parse().unwrap();
    let (commit, ()) = store.update(&branch, Meta::default(), set).unwrap();
    heads.get_mut(&branch).unwrap().insert(commit.id());
    let mut objects = BTreeMap::new();
    let mut line: Vec<Id> = store.branches().unwrap().into_iter().map(|(_, head)| head).collect();
    while let Some(id) = line.pop() {
        let bytes = log.get(&id).unwrap().unwrap().to_vec();
        line.extend(references(&bytes).unwrap());
        objects.insert(id, bytes);
    }
    Sample { disk: disk.crash(Left::All), objects, heads }
}

fn pick(disk: &SimDisk, number: u8) -> Option<LogFile> {
    let files = disk.files().unwrap();
    files.get(usize::from(number) % files.len().max(1)).copied()
}

fn apply(disk: &SimDisk, Change { file, at, what }: &Change) {
    let Some(file) = pick(disk, *file) else { return };
    let at = usize::from(*at) % disk.bytes_of(file).len().max(1);
    match what {
        What::Lose => disk.remove(file).unwrap(),
        What::Flip(bit) => disk.alter(file, |bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }),
        What::Cut => disk.alter(file, |bytes| bytes.truncate(at)),
        What::Be(by) => disk.alter(file, |bytes| bytes.clone_from(by)),
        What::Replace { len, by } => replace(disk, file, at, usize::from(*len), by),
        What::Copy { file: source, from, len } => {
            let source = disk.bytes_of(pick(disk, *source).expect("there is one file"));
            let from = usize::from(*from).min(source.len());
            let to = (from + usize::from(*len)).min(source.len());
            replace(disk, file, at, to - from, &source[from..to]);
        }
    }
}

fn replace(disk: &SimDisk, file: LogFile, at: usize, len: usize, by: &[u8]) {
    disk.alter(file, |bytes| {
        let at = at.min(bytes.len());
        let end = (at + len).min(bytes.len());
        drop(bytes.splice(at..end, by.iter().copied()));
    });
}

/// What a log says is what was written.
fn check(log: &Log) {
    for (id, bytes) in &SAMPLE.objects {
        if let Ok(Some(found)) = log.get(id) {
            assert_eq!(*found, bytes[..], "{id}");
        }
    }
    for (branch, head) in log.branches().unwrap() {
        assert!(SAMPLE.heads[&branch].contains(&head), "{branch} is at {head}");
    }
}

/// What is published on a log that was opened is there when it is opened again. Where either comes
/// upon damage, it is told.
fn go_on(disk: &Arc<SimDisk>) {
    let open = || Log::open_on(disk.clone(), small());
    let branch: BranchName = "new".parse().unwrap();
    let Ok(store) = open().and_then(|log| Store::on(Arc::new(log))) else { return };
    let set = |tree: &mut Tree| tree.set(&"a".parse().unwrap(), Contents::text("b"));
    let Ok((commit, ())) = store.update(&branch, Meta::default(), set) else { return };
    drop(store);
    if let Ok(log) = open() {
        assert_eq!(log.head(&branch).unwrap(), Some(commit.id()));
    }
}
