//! Owns the tests of a collection of a log that is open: whoever reads and writes meanwhile loses
//! nothing, and at no moment is an object there without what it refers to.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jitsu_store::backend::{Backend, Disk, Log, LogFile, LogOptions, fsck_on, stat_on};
use jitsu_store::{HeadChange, Id, PublishError, StorageError, Store};

use crate::conformance::small;
use crate::disk::{LEFT, Left, SimDisk};
use crate::fixture::{all, at, branch, merged, path, text, tree, walk, write};
use crate::kill::{FOLDER, run_and_kill};

const KILLS: usize = 200;
/// Of how many moments of a collection one is tried.
const STEP: usize = 4;

/// A log in which much is garbage, and a store over it.
fn with_garbage() -> (Arc<SimDisk>, Arc<Log>, Store) {
    with_options(small())
}

fn with_options(options: LogOptions) -> (Arc<SimDisk>, Arc<Log>, Store) {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), options).unwrap());
    let store = Store::on(log.clone()).unwrap();
    for n in 0..24 {
        let on = format!("b{}", n % 3);
        write(&store, &on, &format!("a/{}", n % 5), &format!("{n} {}", "long ".repeat(60)), n);
    }
    delete(&store, "b1");
    (disk, log, store)
}

/// Deletes a branch, trying again where a collection begins meanwhile.
fn delete(store: &Store, name: &str) {
    loop {
        let mut batch = store.batch();
        batch.delete(&branch(name)).unwrap();
        match batch.publish() {
            Ok(()) => return,
            Err(PublishError::Raced(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// All is there that branches lead to, here and for whoever opens the log after a crash; and
/// nothing of it lacks a part.
fn check(disk: &SimDisk, store: &Store, what: &str) {
    let heads = walk(store);
    // Each takes its turn.
    let disk = Arc::new(disk.crash(LEFT[what.len() % LEFT.len()]));
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    assert_eq!(walk(&Store::on(log).unwrap()), heads, "{what}");
    let report = fsck_on(&*disk).unwrap();
    assert!(report.is_whole() && report.flaws.is_empty(), "{what}: {report:?}");
}

/// Calls this once, when the collector reads the `nth` time in a segment.
fn at_read(disk: &SimDisk, nth: usize, call: impl FnOnce() + Send + 'static) {
    let (mut reads, mut call) = (0, Some(call));
    disk.on_read(move |file| {
        reads += usize::from(matches!(file, LogFile::Segment(_)));
        if reads > nth
            && let Some(call) = call.take()
        {
            call();
        }
    });
}

/// How often a collection of this log reads in segments.
fn reads(options: &LogOptions) -> usize {
    let (disk, log, _) = with_options(options.clone());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    disk.on_read(move |file| {
        counted.fetch_add(usize::from(matches!(file, LogFile::Segment(_))), Ordering::SeqCst);
    });
    log.collect().unwrap();
    count.load(Ordering::SeqCst)
}

/// Everything in memory, so that what happens in the middle of a read waits for no lock.
fn roomy() -> LogOptions {
    let mut options = small();
    options.unindexed_objects = 100_000;
    options.unsaved_bytes = 100_000;
    options.segment_bytes = 1_000_000;
    options
}

#[test]
fn a_store_that_is_open_goes_on_after_a_collection() {
    let (disk, log, store) = with_garbage();
    let before = walk(&store);
    let garbage = stat_on(&*disk).unwrap().garbage;
    assert_eq!(log.collect().unwrap().removed, garbage);
    assert_eq!(walk(&store), before);
    assert_eq!(stat_on(&*disk).unwrap().garbage.objects, 0);
    check(&disk, &store, "collected");
    // On top of trees that were in memory before.
    for n in 0..30 {
        write(&store, ["b0", "b2", "new"][n % 3], &format!("a/{n}"), &n.to_string(), n as u64);
        check(&disk, &store, "written");
        if n % 10 == 9 {
            delete(&store, "new");
            log.collect().unwrap();
            check(&disk, &store, "collected again");
        }
    }
    assert_eq!(log.collect().unwrap().removed.objects, 0);
}

/// What is looked up for each object is looked for in each run.
#[test]
fn runs_that_are_to_be_merged_are_before_anything_is_marked() {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    let store = Store::on(log.clone()).unwrap();
    let runs = || {
        let files = disk.files().unwrap();
        files.iter().filter(|file| matches!(file, LogFile::Run(_))).count()
    };
    // There are so many only while they are being merged.
    let mut n = 0;
    while runs() < 6 {
        write(&store, "main", &format!("a/{}", n % 50), &n.to_string(), n);
        n += 1;
    }
    assert_eq!(log.collect().unwrap().removed.objects, 0);
    assert!(runs() < 4, "{} runs", runs());
    check(&disk, &store, "merged runs");
}

#[test]
fn a_tree_that_is_garbage_is_stored_again_whole() {
    for is_loaded in [true, false] {
        let (disk, log, store) = with_garbage();
        let kept = tree(&[("x/1", &"1".repeat(100)), ("x/2", &"2".repeat(100)), ("y", "3")]);
        let mut batch = store.batch();
        batch.commit(&branch("gone"), kept.clone(), at(1)).unwrap();
        batch.publish().unwrap();
        // Held as it was made, or as it is read.
        let head = store.head(&branch("gone")).unwrap().unwrap();
        let held = if is_loaded {
            kept.clone()
        } else {
            store.commit(&head.id()).unwrap().unwrap().tree()
        };
        assert_eq!(all(&held), all(&kept));
        delete(&store, "gone");
        log.collect().unwrap();
        assert_eq!(log.get(&head.id()).unwrap(), None);
        let mut batch = store.batch();
        batch.commit(&branch("again"), held, at(2)).unwrap();
        batch.publish().unwrap();
        check(&disk, &store, "stored again");
        let again = store.head(&branch("again")).unwrap().unwrap();
        assert_eq!(all(&again.tree()), all(&kept));
    }
}

#[test]
fn what_is_collected_cannot_be_built_upon() {
    let (disk, log, store) = with_garbage();
    let gone = write(&store, "gone", "z", "1", 1);
    delete(&store, "gone");
    log.collect().unwrap();
    // The commit, or a part of it, whichever is looked for first.
    let is_missing = |error: &StorageError| matches!(error, StorageError::Missing { .. });
    let mut batch = store.batch();
    assert!(batch.set(&branch("back"), &gone).is_err_and(|error| is_missing(&error)));
    let merged = batch.merge(&branch("b0"), &gone, at(3));
    assert!(merged.is_err_and(|error| is_missing(&error)));
    batch.publish().unwrap();
    check(&disk, &store, "refused");
}

/// A batch, begun before and ended at any moment of a collection.
#[test]
fn a_batch_across_the_beginning_of_a_collection_tries_again() {
    let options = roomy();
    let reads = reads(&options);
    let (mut raced, mut published) = (0, 0);
    for nth in (0..reads).step_by(STEP) {
        let (disk, log, store) = with_options(options.clone());
        let shared = tree(&[("t/1", &"1".repeat(90)), ("t/2", &"2".repeat(90))]);
        // Its tree is stored, and no head leads to it.
        let mut batch = store.batch();
        batch.commit(&branch("late"), shared.clone(), at(50)).unwrap();
        let result = Arc::new(std::sync::Mutex::new(None));
        let (told, again) = (result.clone(), store.clone());
        at_read(&disk, nth, move || {
            let mut tree = shared.clone();
            tree.set(&path("t/3"), text("3")).unwrap();
            batch.commit(&branch("late"), tree.clone(), at(51)).unwrap();
            *told.lock().unwrap() = Some(batch.publish());
            // Whoever tries again gets through, with the same trees.
            let mut batch = again.batch();
            let head = batch.head(&branch("late")).unwrap();
            assert_eq!(head.is_some(), told.lock().unwrap().as_ref().unwrap().is_ok());
            batch.commit(&branch("late"), shared, at(52)).unwrap();
            batch.commit(&branch("late"), tree, at(53)).unwrap();
            batch.publish().unwrap();
        });
        log.collect().unwrap();
        match result.lock().unwrap().take().expect("it was called") {
            Ok(()) => published += 1,
            Err(PublishError::Raced(name)) => {
                assert_eq!(name, branch("late"));
                raced += 1;
            }
            Err(PublishError::Storage(error)) => panic!("read {nth}: {error}"),
        }
        check(&disk, &store, &format!("read {nth}"));
    }
    assert!(raced > 5 && published > 5, "{raced} raced, {published} did not");
}

/// Updates, merges, forks and deletions at any moment of a collection, each seen whole.
#[test]
fn whatever_happens_in_a_collection_is_kept() {
    let options = roomy();
    let reads = reads(&options);
    for nth in (0..reads).step_by(STEP) {
        let (disk, log, store) = with_options(options.clone());
        let other = store.clone();
        let garbage = store.head(&branch("b0")).unwrap().unwrap().tree();
        at_read(&disk, nth, move || {
            write(&other, "b0", "a/new", "1", 60);
            write(&other, "fresh", "x/y", &"z".repeat(100), 61);
            // What is garbage, and what is a copy of it.
            let text_of_garbage = format!("1 {}", "long ".repeat(60));
            write(&other, "b2", "a/1", &text_of_garbage, 62);
            let mut batch = other.batch();
            batch.commit(&branch("held"), garbage, at(63)).unwrap();
            let b0 = batch.head(&branch("b0")).unwrap().unwrap();
            batch.set(&branch("fork"), &b0).unwrap();
            merged(batch.merge(&branch("fresh"), &b0, at(64)).unwrap());
            batch.delete(&branch("b0")).unwrap();
            batch.publish().unwrap();
        });
        log.collect().unwrap();
        let heads = walk(&store);
        let names: Vec<String> = heads.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["b2", "fork", "fresh", "held"], "read {nth}");
        check(&disk, &store, &format!("read {nth}"));
        log.collect().unwrap();
        assert_eq!(walk(&store), heads);
        check(&disk, &store, &format!("read {nth}, collected"));
    }
}

/// A commit in each round of marking, the last of which only the round under the lock can see.
#[test]
fn a_commit_behind_the_last_round_is_marked() {
    let (disk, log, store) = with_options(roomy());
    let objects = || fsck_on(&*disk).unwrap().objects;
    let before = objects();
    let value = |n: u64| format!("{n} {}", "new ".repeat(50));
    write(&store, "b0", "new", &value(0), 80);
    let each = objects() - before;
    // As many reads as there are objects, and then as many as are new.
    let (_, twin, other) = with_options(roomy());
    write(&other, "b0", "new", &value(0), 80);
    let first = twin.collect().unwrap().kept.objects;
    let (mut reads, mut written, writer) = (0, 0, store.clone());
    disk.on_read(move |_| {
        if written < 3 && reads == [0, first, first + each][written as usize] {
            written += 1;
            write(&writer, "b0", "new", &value(written), 80 + written);
        }
        reads += 1;
    });
    log.collect().unwrap();
    disk.on_read(|_| {});
    let head = store.head(&branch("b0")).unwrap().unwrap();
    assert_eq!(head.tree().get(&path("new")).unwrap(), Some(text(&value(3))));
    check(&disk, &store, "marked");
}

/// Who puts by hand and does not look at the epoch is told by `contains`.
#[test]
fn what_is_there_is_not_there_to_stay() {
    let (disk, log, store) = with_options(roomy());
    let bytes = b"c\x01bgarbage".to_vec();
    let id = Id::of(&bytes);
    log.put(&id, &bytes).unwrap();
    log.sync().unwrap();
    let kept = store.head(&branch("b0")).unwrap().unwrap().id();
    let epoch = log.epoch();
    let last = reads(&roomy()) - 1;
    let asked = log.clone();
    at_read(&disk, last, move || {
        assert_eq!(asked.epoch(), epoch + 1);
        assert!(asked.get(&id).unwrap().is_some(), "it can be read");
        assert!(!asked.contains(&id).unwrap(), "and will be gone");
        assert!(asked.contains(&kept).unwrap());
        let late = b"c\x01blate";
        let outrun = asked.put_in(epoch, &Id::of(late), late);
        assert!(matches!(outrun, Err(StorageError::Outrun)), "{outrun:?}");
        let change = HeadChange { branch: branch("late"), old: None, new: Some(kept) };
        assert!(!asked.set_heads_in(epoch, std::slice::from_ref(&change)).unwrap());
        assert!(asked.set_heads_in(epoch + 1, &[change]).unwrap());
    });
    log.collect().unwrap();
    assert_eq!(log.get(&id).unwrap(), None);
    assert_eq!(walk(&store)[&branch("late")], kept);
}

#[test]
fn a_collection_that_fails_leaves_all_as_it_was() {
    let (disk, _, _) = with_garbage();
    let began = disk.crash(Left::All);
    let whole = Arc::new(began.crash(Left::All));
    Log::open_on(whole.clone(), small()).unwrap().collect().unwrap();
    for operation in 0..whole.operations() {
        let disk = Arc::new(began.crash(Left::All));
        let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
        let store = Store::on(log.clone()).unwrap();
        let before = walk(&store);
        // Full at some operation of the collection, and with room again behind it.
        disk.fill_at(Some(disk.used() + operation as usize * 150));
        let collected = log.collect();
        assert!(matches!(collected, Ok(_) | Err(StorageError::NoSpace)), "{collected:?}");
        disk.fill_at(None);
        assert_eq!(walk(&store), before);
        write(&store, "b0", "a/after", "1", 70);
        check(&disk, &store, &format!("full at {operation}"));
        log.collect().unwrap();
        check(&disk, &store, &format!("full at {operation}, collected"));
        assert_eq!(stat_on(&*disk).unwrap().garbage.objects, 0);
    }
}

#[test]
fn an_index_that_is_damaged_meanwhile_is_made_again() {
    let (disk, _, _) = with_garbage();
    for run in disk.runs() {
        for at in (0..disk.bytes_of(LogFile::Run(run)).len()).step_by(97) {
            let disk = Arc::new(disk.crash(Left::All));
            let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
            let store = Store::on(log.clone()).unwrap();
            let before = walk(&store);
            if !disk.runs().contains(&run) {
                continue;
            }
            disk.alter(LogFile::Run(run), |bytes| bytes[at] ^= 1);
            log.collect().unwrap();
            assert_eq!(walk(&store), before);
            check(&disk, &store, &format!("byte {at} of run {run}"));
        }
    }
}

#[test]
fn threads_write_and_read_while_it_is_collected_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = small();
    options.segment_bytes = 20_000;
    let log = Arc::new(Log::open(folder.path(), options).unwrap());
    let store = Store::on(log.clone()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || (0..120).for_each(|n| step(store, writer, n)))
            })
            .collect();
        let reader = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                walk(&store);
            }
        });
        let collector = scope.spawn(|| {
            let mut removed = 0;
            while !is_over.load(Ordering::SeqCst) {
                removed += log.collect().unwrap().removed.objects;
            }
            removed
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        assert!(collector.join().unwrap() > 0, "there was garbage");
    });
    let heads = walk(&store);
    assert_eq!(heads.len(), 3);
    for (name, head) in &heads {
        assert_eq!(store.log(head).count(), 120, "{name}");
    }
    drop((store, log));
    let again = Store::on(Arc::new(Log::open(folder.path(), small()).unwrap())).unwrap();
    assert_eq!(walk(&again), heads);
}

/// A commit, and as much garbage.
fn step(store: &Store, writer: usize, n: u64) {
    let garbage = format!("garbage/{writer}");
    write(
        store,
        &format!("w{writer}"),
        &format!("a/{}", n % 20),
        &format!("{n} {}", "x".repeat(90)),
        n,
    );
    write(store, &garbage, &format!("a/{}", n % 20), &format!("{n} {}", "y".repeat(90)), n);
    delete(store, &garbage);
}

/// Run by [`collections_beside_writers_that_are_killed_lose_nothing`] as a process of its own; by
/// itself it does nothing. One thread collects all the time, others commit and say so.
#[test]
fn collected_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    let folder: &FilePath = folder.as_ref();
    let log = Arc::new(Log::open(folder, killed_options()).unwrap());
    let store = Store::on(log.clone()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    step(store, writer, n);
                    let head = store.head(&branch(&format!("w{writer}"))).unwrap().unwrap().id();
                    let line = format!("\nack w{writer} {head}\n");
                    let _ = std::io::stdout().lock().write_all(line.as_bytes());
                }
            });
        }
        scope.spawn(|| {
            loop {
                log.collect().unwrap();
            }
        });
    });
}

fn killed_options() -> LogOptions {
    let mut options = small();
    options.segment_bytes = 20_000;
    options
}

#[test]
fn collections_beside_writers_that_are_killed_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for kill in 0..KILLS {
        if kill % 20 == 0 {
            std::fs::remove_dir_all(folder.path()).unwrap();
            std::fs::create_dir(folder.path()).unwrap();
        }
        let after = 1 + kill * 7 % 11;
        let last: HashMap<String, Id> =
            run_and_kill(folder.path(), "collect::collected_process", after);
        let log = Log::open(folder.path(), killed_options()).unwrap();
        let store = Store::on(Arc::new(log)).unwrap();
        walk(&store);
        for (name, id) in &last {
            let head = store.head(&branch(name)).unwrap().unwrap().id();
            assert!(store.is_ancestor(id, &head).unwrap(), "kill {kill}: {name}");
        }
    }
}
