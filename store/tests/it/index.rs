//! Owns the tests of the index on disk: it finds all that is there, and whatever becomes of its
//! files costs nothing but time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Disk, IndexFlaw, Log, LogFile, LogOptions, fsck_on, gc_on};
use jitsu_store::{Damage, HeadChange, Id, IdPrefix, ObjectKind, StorageError};
use proptest::prelude::*;

use crate::conformance::small;
use crate::disk::{LEFT, Left, SimDisk};
use crate::fixture::branch;

type Objects = BTreeMap<Id, Vec<u8>>;

fn open(disk: &Arc<SimDisk>) -> Log {
    Log::open_on(disk.clone(), options()).unwrap()
}

/// Few objects to a run, many frames to a segment.
fn options() -> LogOptions {
    let mut options = small();
    options.segment_bytes = 5000;
    options
}

fn object(n: usize) -> (Id, Vec<u8>) {
    let bytes = format!("c\u{1}b{n} {}", "x".repeat(n % 30)).into_bytes();
    (Id::of(&bytes), bytes)
}

/// Puts objects, `each` of them to a frame.
fn put(log: &Log, numbers: std::ops::Range<usize>, each: usize, objects: &mut Objects) {
    for n in numbers {
        let (id, bytes) = object(n);
        log.put(&id, &bytes).unwrap();
        objects.insert(id, bytes);
        if n % each == 0 {
            log.sync().unwrap();
        }
    }
    let old = log.head(&branch("main")).unwrap();
    let new = objects.keys().next_back().copied();
    assert!(log.set_heads(&[HeadChange { branch: branch("main"), old, new }]).unwrap());
}

fn written(count: usize, each: usize) -> (Arc<SimDisk>, Objects) {
    let disk = Arc::new(SimDisk::new());
    let mut objects = Objects::new();
    put(&open(&disk), 1..count, each, &mut objects);
    (disk, objects)
}

/// All that was put is there, and nothing else.
fn check(log: &Log, objects: &Objects, what: &str) {
    for (id, bytes) in objects {
        let found = log.get(id).unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        assert_eq!(found.as_deref(), Some(&bytes[..]), "{what}: {id}");
    }
    for n in 1_000_000..1_000_020 {
        assert_eq!(log.get(&object(n).0).unwrap(), None, "{what}");
    }
    for id in objects.keys().step_by(7) {
        for digits in [1, 2, 5, 64] {
            let digits = &id.to_string()[..digits];
            let prefix: IdPrefix = digits.parse().unwrap();
            let mut found = log.ids_with_prefix(ObjectKind::Contents, &prefix, usize::MAX).unwrap();
            found.sort();
            let expected = objects.keys().filter(|id| prefix.matches(id));
            assert!(found.iter().eq(expected), "{what}: {digits}");
        }
    }
    assert_eq!(log.head(&branch("main")).unwrap().as_ref(), objects.keys().next_back(), "{what}");
}

#[test]
fn what_was_put_is_found_by_whoever_opens_the_log() {
    for each in [1, 3, 8, 1000] {
        let (disk, objects) = written(900, each);
        let what = format!("{each} to a frame");
        assert!(!disk.runs().is_empty() && disk.runs().len() < 16, "{what}: {:?}", disk.runs());
        for left in LEFT {
            let disk = Arc::new(disk.crash(left));
            check(&open(&disk), &objects, &what);
            check(&Log::open_read_only_on(disk.clone()).unwrap(), &objects, &what);
            assert_eq!(fsck_on(&*disk).unwrap().index, [], "{what}");
        }
        check(&open(&Arc::new(disk.without_index())), &objects, "made again");
        let read_only = Log::open_read_only_on(Arc::new(disk.without_index())).unwrap();
        check(&read_only, &objects, "not made again");
    }
}

#[test]
fn who_opens_a_log_reads_little_of_it() {
    let (disk, objects) = written(3000, 3);
    let disk = Arc::new(disk.crash(Left::None));
    let log = open(&disk);
    let (read, all) = (disk.bytes_read(), disk.used() as u64);
    assert!(read < all / 10, "{read} of {all}");
    check(&log, &objects, "opened");
}

#[test]
fn a_run_that_is_damaged_anywhere_is_made_again() {
    let (disk, objects) = written(300, 2);
    let mut flaws = 0;
    for run in disk.runs() {
        let file = LogFile::Run(run);
        let len = disk.bytes_of(file).len();
        // The trailer is short, and has something else at each place.
        for at in (0..len).step_by(331).chain((len.saturating_sub(200)..len).step_by(3)) {
            let what = format!("byte {at} of run {run}");
            let altered = Arc::new(disk.crash(Left::All));
            altered.alter(file, |bytes| bytes[at] ^= 1 << (at % 8));
            let report = fsck_on(&*altered).unwrap();
            assert_ne!(report.index, [], "{what}");
            assert!(report.flaws.is_empty(), "{what}");
            flaws +=
                report.index.iter().filter(|it| matches!(it, IndexFlaw::Damaged { .. })).count();
            check(&Log::open_read_only_on(altered.clone()).unwrap(), &objects, &what);
            check(&open(&altered), &objects, &what);
            assert_eq!(fsck_on(&*altered).unwrap().index, [], "{what}, healed");
        }
    }
    assert!(flaws > 20, "most bytes are those of pages: {flaws}");
}

#[test]
fn a_run_that_is_cut_missing_or_foreign_is_made_again() {
    let (disk, objects) = written(300, 2);
    let (other, _) = written(200, 2);
    for run in disk.runs() {
        let file = LogFile::Run(run);
        let bytes = disk.bytes_of(file);
        let foreign = other.bytes_of(LogFile::Run(*other.runs().last().unwrap()));
        let cuts = (0..bytes.len()).step_by(211).map(|len| bytes[..len].to_vec());
        for (nth, becomes) in cuts.chain([foreign]).enumerate() {
            let altered = Arc::new(disk.crash(Left::All));
            altered.alter(file, |bytes| *bytes = becomes);
            let what = format!("{nth} of run {run}");
            check(&Log::open_read_only_on(altered.clone()).unwrap(), &objects, &what);
            check(&open(&altered), &objects, &what);
        }
        let lost = Arc::new(disk.crash(Left::All));
        lost.remove(file).unwrap();
        check(&open(&lost), &objects, &format!("without run {run}"));
    }
}

/// Segments are as they were before, or newer ones are gone: runs know that something is lost.
#[test]
fn an_end_that_is_lost_is_told_by_what_runs_know() {
    let disk = Arc::new(SimDisk::new());
    let (log, mut objects) = (open(&disk), Objects::new());
    put(&log, 1..100, 2, &mut objects);
    let before = (disk.crash(Left::All).without_index(), objects.clone());
    put(&log, 100..300, 2, &mut objects);
    for run in disk.runs() {
        let file = LogFile::Run(run);
        before.0.create(file).unwrap();
        before.0.write(file, 0, &disk.bytes_of(file)).unwrap();
    }
    let restored = Arc::new(before.0.crash(Left::All));
    is_lost(&restored, &Damage::End);
    check(&open(&Arc::new(restored.without_index())), &before.1, "restored without runs");
    let (disk, _) = written(200, 3);
    let lost = Arc::new(disk.crash(Left::All));
    lost.lose(last_segment(&disk));
    is_lost(&lost, &Damage::Gap);
    for len in [0, 20, SEGMENT_HEADER, SEGMENT_HEADER + 1] {
        let cut = Arc::new(disk.crash(Left::All));
        cut.alter(LogFile::Segment(last_segment(&disk)), |bytes| bytes.truncate(len));
        let what = if len < SEGMENT_HEADER { Damage::Header } else { Damage::End };
        let what = if len == SEGMENT_HEADER + 1 { Damage::Checksum } else { what };
        is_lost(&cut, &what);
    }
    // Zeros are room for more only where nothing was flushed.
    let zeroed = Arc::new(disk.crash(Left::All));
    zeroed.alter(LogFile::Segment(last_segment(&disk)), |bytes| bytes[SEGMENT_HEADER..].fill(0));
    is_told_lost(&zeroed, &Damage::Checksum);
}

/// Opening says so, as often as it is tried, and an examination, too.
fn is_lost(disk: &Arc<SimDisk>, what: &Damage) {
    let is_told = |error: StorageError| match error {
        StorageError::Corrupt { what: told, .. } => assert_eq!(told, *what),
        error => panic!("{error}"),
    };
    is_told(Log::open_read_only_on(disk.clone()).err().expect("opened to be read"));
    for _ in 0..2 {
        is_told(Log::open_on(disk.clone(), options()).err().expect("opened"));
    }
    is_told_lost(disk, what);
}

fn is_told_lost(disk: &SimDisk, what: &Damage) {
    let report = fsck_on(disk).unwrap();
    assert!(!report.is_whole(), "{report:?}");
    assert!(report.flaws.iter().any(|flaw| flaw.what == *what && !flaw.is_at_end), "{report:?}");
}

/// A run says where the damaged end was flushed, and is damaged elsewhere itself.
#[test]
fn an_end_that_a_damaged_run_knows_is_not_cut_off() {
    let disk = Arc::new(SimDisk::new());
    // With each flush a run, and often merges: whoever opens it looks into runs as well.
    let mut options = options();
    options.unindexed_objects = 1;
    put(&Log::open_on(disk.clone(), options.clone()).unwrap(), 1..200, 3, &mut Objects::new());
    let (last, runs) = (last_segment(&disk), disk.runs());
    disk.alter(LogFile::Segment(last), |bytes| *bytes.last_mut().unwrap() ^= 1);
    for run in runs {
        // One that was only begun may be empty.
        disk.alter(LogFile::Run(run), |bytes| bytes.iter_mut().take(20).for_each(|it| *it ^= 1));
    }
    let before = disk.bytes(last).len();
    let covered = Arc::new(disk.crash(Left::All));
    let log = Log::open_read_only_on(covered.clone()).unwrap();
    for _ in 0..2 {
        let told = (1..200).find_map(|n| log.get(&object(n).0).err()).expect("runs are damaged");
        let is_checksum = matches!(told, StorageError::Corrupt { what: Damage::Checksum, .. });
        assert!(is_checksum, "{told}");
    }
    drop(log);
    for _ in 0..2 {
        assert!(!fsck_on(&*covered).unwrap().is_whole());
        let opened = Log::open_on(covered.clone(), options.clone())
            .and_then(|log| (1..200).try_for_each(|n| log.get(&object(n).0).map(drop)));
        assert!(opened.is_err(), "nothing is told");
        assert_eq!(covered.bytes(last).len(), before, "what was flushed was cut off");
    }
}

const SEGMENT_HEADER: usize = 36;

fn last_segment(disk: &SimDisk) -> u32 {
    let segments = disk.files().unwrap().into_iter().filter_map(|file| match file {
        LogFile::Segment(number) => Some(number),
        LogFile::Run(_) => None,
    });
    segments.max().expect("a log has a segment")
}

#[test]
fn an_object_whose_record_is_damaged_is_no_fault_of_the_index() {
    let (disk, _) = written(40, 2);
    let (id, bytes) = object(5);
    let place = disk.bytes(1).windows(bytes.len()).position(|it| it == bytes).unwrap();
    let altered = Arc::new(disk.altered(1, |segment| segment[place] ^= 1));
    assert_eq!(fsck_on(&*altered).unwrap().index, []);
    // Who opens it does not see it; who reads there does.
    let read = open(&altered).get(&id);
    assert!(matches!(read, Err(StorageError::Corrupt { what: Damage::Checksum, .. })), "{read:?}");
}

/// What is before an object in its record: checksum, length, kind, id.
const RECORD_HEADER: usize = 9 + 32;

/// Where the record of an object is in the first segment.
fn record(bytes: &[u8], n: usize) -> std::ops::Range<usize> {
    let (_, object) = object(n);
    let at = bytes.windows(object.len()).position(|it| it == object).unwrap();
    at - RECORD_HEADER..at + object.len()
}

/// Records of the same length are whole wherever they are, and a run then says what is not so.
#[test]
fn an_index_that_disagrees_with_the_segments_is_told_by_object_and_costs_none() {
    let (disk, objects) = written(90, 2);
    let moved = |take: &dyn Fn(&[u8]) -> Vec<u8>| {
        let altered = disk.altered(1, |bytes| *bytes = take(bytes));
        let report = fsck_on(&altered).unwrap();
        assert!(report.flaws.is_empty() && !report.is_whole(), "{report:?}");
        (Arc::new(altered), report)
    };
    let (swapped, report) = moved(&|bytes| {
        let (first, second) = (record(bytes, 11), record(bytes, 41));
        let mut bytes = bytes.to_vec();
        let kept = bytes[first.clone()].to_vec();
        bytes.copy_within(second.clone(), first.start);
        bytes[second].copy_from_slice(&kept);
        bytes
    });
    let mut wrong: Vec<Id> = Vec::new();
    for flaw in &report.index {
        match flaw {
            IndexFlaw::Wrong { run, object } => {
                assert!(run.starts_with("run "), "{run}");
                wrong.push(*object);
            }
            other => panic!("{other:?}"),
        }
    }
    wrong.sort();
    let mut expected = [object(11).0, object(41).0];
    expected.sort();
    assert_eq!(wrong, expected);
    let told = open(&swapped).get(&object(11).0);
    assert!(matches!(told, Err(StorageError::Corrupt { what: Damage::Index, .. })), "{told:?}");
    check(&open(&Arc::new(swapped.without_index())), &objects, "without the index");

    // An object that no run knows, in place of one that is in another place as well.
    let other = Arc::new(SimDisk::new());
    put(&open(&other), 129..130, 1, &mut Objects::new());
    let stranger = other.bytes(1)[record(&other.bytes(1), 129)].to_vec();
    let (replaced, report) = moved(&|bytes| {
        let mut bytes = bytes.to_vec();
        let at = record(&bytes, 40);
        assert_eq!(at.len(), stranger.len());
        bytes[at].copy_from_slice(&stranger);
        bytes
    });
    assert_eq!(report.index, [IndexFlaw::Lacking { object: object(129).0 }]);
    let replaced = open(&Arc::new(replaced.without_index()));
    assert!(replaced.get(&object(129).0).unwrap().is_some());
}

#[test]
fn a_full_or_failing_disk_only_delays_the_index() {
    let disk = Arc::new(SimDisk::new());
    let (log, mut objects) = (open(&disk), Objects::new());
    put(&log, 1..9, 100, &mut objects);
    // Room for the frames, and never for a page.
    for n in 9..60 {
        disk.fill_at(Some(disk.used() + 1000));
        put(&log, n..n + 1, 1, &mut objects);
    }
    assert_eq!(disk.runs(), [] as [u32; 0]);
    check(&log, &objects, "full");
    check(&open(&Arc::new(disk.crash(Left::None))), &objects, "reopened");
    disk.fill_at(None);
    put(&log, 60..200, 3, &mut objects);
    assert_ne!(disk.runs(), [] as [u32; 0]);
    check(&log, &objects, "with room again");
    check(&open(&Arc::new(disk.crash(Left::None))), &objects, "reopened");
}

#[test]
fn a_collection_leaves_no_old_run() {
    let (disk, objects) = written(300, 2);
    let before = disk.runs();
    // The head alone is reached.
    let kept = gc_on(disk.clone(), options()).unwrap().kept;
    assert_eq!(kept.objects, 1);
    assert!(disk.runs().iter().all(|run| !before.contains(run)), "{:?}", disk.runs());
    let left = objects.into_iter().next_back().into_iter().collect();
    check(&open(&disk), &left, "collected");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written, lost in crashes and damaged in the index: what was flushed is found.
    #[test]
    fn any_life_of_an_index_ends_well(
        steps in prop::collection::vec((1usize..40, 1usize..9, any::<prop::sample::Index>(), 0u8..4), 1..12),
    ) {
        let mut disk = Arc::new(SimDisk::new());
        let mut objects = Objects::new();
        let mut next = 0;
        for (count, each, place, what) in steps {
            let log = open(&disk);
            put(&log, next..next + count, each, &mut objects);
            next += count;
            check(&log, &objects, "written");
            drop(log);
            disk = Arc::new(disk.crash(LEFT[usize::from(what)]));
            let runs = disk.runs();
            if !runs.is_empty() {
                let file = LogFile::Run(*place.get(&runs));
                // One that was only begun may be empty.
                disk.alter(file, |bytes| {
                    if !bytes.is_empty() {
                        let at = place.index(bytes.len());
                        bytes[at] = bytes[at].wrapping_add(what);
                    }
                });
            }
            check(&Log::open_read_only_on(disk.clone()).unwrap(), &objects, "looked at");
            check(&open(&disk), &objects, "reopened");
        }
    }
}

#[test]
fn an_object_in_a_value_of_another_kind_is_told_apart() {
    // Ids of each kind share the runs.
    let (disk, mut objects) = written(100, 2);
    let log = open(&disk);
    let commit = b"k\x01not a commit, but of its kind";
    log.put(&Id::of(commit), commit).unwrap();
    put(&log, 100..200, 1, &mut objects);
    let all: IdPrefix = "".parse().unwrap();
    let found = log.ids_with_prefix(ObjectKind::Commit, &all, 10).unwrap();
    assert_eq!(found, [Id::of(commit)]);
}

/// Only the log that is open knows that its end was flushed.
#[test]
fn an_end_that_is_damaged_is_not_cut_off_when_a_run_is_made_again() {
    let (disk, mut objects) = written(200, 3);
    let log = open(&disk);
    put(&log, 200..220, 3, &mut objects);
    let last = last_segment(&disk);
    let end = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    disk.alter(LogFile::Segment(last), end);
    for run in disk.runs() {
        disk.alter(LogFile::Run(run), |bytes| {
            for at in (0..bytes.len().saturating_sub(200)).step_by(50) {
                bytes[at] ^= 1;
            }
        });
    }
    let before = disk.bytes(last).len();
    let told = objects.keys().filter_map(|id| log.get(id).err()).next().expect("a run is damaged");
    let wanted = |error: &StorageError| {
        matches!(error, StorageError::Corrupt { what: Damage::Checksum, .. })
    };
    assert!(wanted(&told), "{told}");
    assert_eq!(disk.bytes(last).len(), before, "what was flushed was cut off");
}
