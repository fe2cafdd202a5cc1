//! Owns the tests of damaged logs: what is found, what is named, and what is recovered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, LogOptions, Report, fsck_on, repair_on, stat_on};
use jitsu_store::{BranchName, Contents, Damage, Id, Place, Rope, StorageError, Store, references};
use proptest::prelude::*;

use crate::conformance::small;
use crate::disk::{Left, SimDisk};
use crate::fixture::{at, branch, path, walk, write};

/// Of how many flipped bits one is repaired; prime, so that it meets all kinds of places.
const REPAIRED_EVERY: usize = 13;

/// What is before an object in its record: checksum, length, kind, id.
const RECORD_HEADER: usize = 9 + 32;

/// A log of several files with objects of each kind, and all that it holds.
fn written(options: LogOptions) -> (Arc<SimDisk>, Held) {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), options).unwrap());
    let store = Store::on(log.clone()).unwrap();
    for n in 0..12 {
        let on = format!("b{}", n % 2);
        write(&store, &on, &format!("a/{n}"), &format!("{n} {}", "long ".repeat(n % 9)), n as u64);
    }
    let rope = Contents::TextRope(Rope::of("a text ".repeat(200)));
    store.update(&branch("b0"), at(20), |tree| tree.set(&path("rope"), rope.clone())).unwrap();
    write(&store, "b1", "a/last", "1", 21);
    let held = Held::of(&log, &store);
    (disk, held)
}

/// What a log holds.
struct Held {
    heads: BTreeMap<BranchName, Id>,
    objects: BTreeMap<Id, Vec<u8>>,
}

impl Held {
    fn of(log: &Log, store: &Store) -> Held {
        let heads = walk(store);
        let mut objects = BTreeMap::new();
        let mut line: Vec<Id> = heads.values().copied().collect();
        while let Some(id) = line.pop() {
            if let Some(bytes) = log.get(&id).unwrap()
                && objects.insert(id, bytes.to_vec()).is_none()
            {
                line.extend(references(&bytes).unwrap());
            }
        }
        Held { heads, objects }
    }
}

/// Repairs a log, and checks that all but these objects are there; what the branches are at.
fn repaired(
    disk: &SimDisk,
    held: &Held,
    but: &BTreeSet<Id>,
    what: &str,
) -> BTreeMap<BranchName, Id> {
    let to = Arc::new(SimDisk::new());
    repair_on(disk, to.clone()).unwrap();
    let log = Arc::new(Log::open_on(to.clone(), small()).unwrap());
    for (id, bytes) in &held.objects {
        match log.get(id).unwrap() {
            Some(there) => assert_eq!(*there, bytes[..], "{what}"),
            None => assert!(but.contains(id), "{what}: {id:?} was intact and is not there"),
        }
    }
    // Every history can be read to its end.
    let heads = walk(&Store::on(log).unwrap());
    let report = fsck_on(&*to).unwrap();
    assert!(report.flaws.is_empty(), "{what}: {report:?}");
    heads
}

fn lost(report: &Report) -> BTreeSet<Id> {
    report.lost.iter().map(|lost| lost.id).collect()
}

#[test]
fn a_log_without_damage_is_whole() {
    let (disk, held) = written(small());
    let report = fsck_on(&*disk).unwrap();
    assert!(report.is_whole() && report.flaws.is_empty(), "{report:?}");
    assert_eq!(report.objects, held.objects.len());
    assert_eq!((report.commits, report.files > 2), (14, true));
    for it in &report.branches {
        assert_eq!((Some(it.head), it.newest_whole), (Some(held.heads[&it.branch]), Some(it.head)));
    }
    assert_eq!(repaired(&disk, &held, &BTreeSet::new(), "no damage"), held.heads);
}

/// Every bit of every record: of the headers of files and frames, of objects of each kind, and of
/// heads.
#[test]
fn a_flipped_bit_anywhere_is_found_and_costs_at_most_its_object() {
    let (disk, held) = written(small());
    let mut costly = 0;
    let files = fsck_on(&*disk).unwrap().files as u32;
    for file in 1..=files {
        for at in 0..disk.bytes(file).len() {
            let what = format!("byte {at} of segment {file}");
            let altered = disk.altered(file, |bytes| bytes[at] ^= 1 << (at % 8));
            let report = match fsck_on(&altered) {
                Ok(report) => report,
                Err(error) => panic!("{what}: {error}"),
            };
            let name = format!("segment {file}");
            let is_here = |place: &Place| matches!(place, Place::File { file, offset } if *file == name && *offset <= at as u64);
            assert!(report.flaws.iter().any(|flaw| is_here(&flaw.at)), "{what}: {report:?}");
            assert!(report.lost.len() <= 1, "{what}: {report:?}");
            for lost in &report.lost {
                costly += 1;
                assert!(lost.at.as_ref().is_some_and(is_here), "{what}: {report:?}");
                for by in &lost.referred_by {
                    assert!(references(&held.objects[by]).unwrap().contains(&lost.id));
                }
                assert!(!lost.referred_by.is_empty() || !lost.head_of.is_empty());
            }
            // Repairs take long: of all bits some, each place in a record in one record or other.
            if at % REPAIRED_EVERY != 0 {
                continue;
            }
            let heads = repaired(&altered, &held, &lost(&report), &what);
            // A branch that is not where it was has a reason, and nothing whole is out of reach.
            for (name, head) in &held.heads {
                let is_reached = heads.values().any(|there| there == head);
                let examined = report.branches.iter().find(|it| it.branch == *name);
                let is_damaged = !report.lost.is_empty();
                assert!(is_reached || is_damaged, "{what}: {name} {examined:?} {heads:?}");
            }
        }
    }
    assert!(costly > 1000, "most bits are those of objects: {costly}");
}

#[test]
fn a_missing_file_is_named_and_the_others_are_kept() {
    let (whole, held) = written(small());
    let files = fsck_on(&*whole).unwrap().files as u32;
    for missing in 1..=files {
        let disk = whole.crash(Left::All);
        disk.lose(missing);
        let report = fsck_on(&disk).unwrap();
        if missing != 1 && missing != files {
            let at = Place::File { file: format!("segment {}", missing + 1), offset: 0 };
            let is_gap = |flaw: &jitsu_store::backend::Flaw| {
                flaw.what == Damage::Gap && flaw.at == at && !flaw.is_at_end
            };
            assert!(report.flaws.iter().any(is_gap), "{report:?}");
            assert!(!report.is_whole());
        }
        let gone = whole.bytes(missing);
        let in_it = |bytes: &[u8]| gone.windows(bytes.len()).any(|at| at == bytes);
        let may_lack: BTreeSet<Id> =
            held.objects.iter().filter(|(_, it)| in_it(it)).map(|(id, _)| *id).collect();
        repaired(&disk, &held, &may_lack, &format!("segment {missing}"));
    }
}

#[test]
fn a_file_cut_anywhere_costs_what_was_cut_off() {
    let (disk, held) = written(small());
    for len in (0..disk.bytes(2).len()).step_by(REPAIRED_EVERY) {
        let cut = disk.altered(2, |bytes| bytes.truncate(len));
        let report = fsck_on(&cut).unwrap();
        assert!(!report.is_whole(), "cut at {len}: {report:?}");
        let gone = &disk.bytes(2)[len.saturating_sub(4000)..];
        let in_it = |bytes: &[u8]| gone.windows(bytes.len()).any(|at| at == bytes);
        let may_lack: BTreeSet<Id> =
            held.objects.iter().filter(|(_, it)| in_it(it)).map(|(id, _)| *id).collect();
        repaired(&cut, &held, &may_lack, &format!("cut at {len}"));
    }
}

#[test]
fn an_unfinished_flush_is_no_damage() {
    let (disk, held) = written(small());
    let last = fsck_on(&*disk).unwrap().files as u32;
    let len = disk.bytes(last).len();
    let cut = disk.altered(last, |bytes| bytes.truncate(len - 1));
    let report = fsck_on(&cut).unwrap();
    assert!(report.is_whole() && report.flaws.iter().all(|flaw| flaw.is_at_end), "{report:?}");
    assert_ne!(report.flaws, []);
    drop(held);
}

#[test]
fn a_repair_does_not_write_over_a_store() {
    let (disk, _) = written(small());
    let refused = repair_on(&*disk, disk.clone());
    assert!(matches!(refused, Err(StorageError::NotEmpty)), "{refused:?}");
}

/// Stored bytes that look like records of old heads move no branch, wherever the search behind a
/// damaged record comes upon them.
#[test]
fn a_head_record_that_someone_stored_is_not_believed() {
    let (disk, held) = written(small());
    let forged = disk.bytes(1);
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    let store = Store::on(log).unwrap();
    let contents = Contents::Bytes(forged.clone().into());
    store.update(&branch("main"), at(30), |tree| tree.set(&path("x"), contents.clone())).unwrap();
    let files = 2..=fsck_on(&*disk).unwrap().files as u32;
    let place = |file| {
        let bytes = disk.bytes(file);
        bytes.windows(forged.len()).position(|at| at == forged).map(|at| (file, at))
    };
    let (file, place) = files.into_iter().find_map(place).unwrap();
    // The header of the record, its id, and the beginning of the contents.
    for at in place - 60..place {
        let altered = disk.altered(file, |bytes| bytes[at] ^= 0xff);
        let report = fsck_on(&altered).unwrap();
        assert_ne!(report.flaws, []);
        for it in report.branches.iter().filter(|it| it.branch != branch("main")) {
            assert_eq!(it.head, held.heads[&it.branch], "byte {at} of {file}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever becomes of a stretch of a file, what is told and recovered is true.
    #[test]
    fn any_bytes_are_examined_and_repaired(
        file in 1u32..=3,
        place: prop::sample::Index,
        gone in 0usize..300,
        come in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (disk, held) = written(small());
        let bytes = disk.bytes(file);
        let from = place.index(bytes.len());
        let to = (from + gone).min(bytes.len());
        let altered = disk.altered(file, |bytes| drop(bytes.splice(from..to, come)));
        // An object may be lost if its record was touched.
        let is_touched = |object: &[u8]| {
            let places = bytes.windows(object.len()).enumerate();
            let mut places = places.filter(|(_, it)| *it == object).map(|(place, _)| place);
            places.any(|place| place < to + RECORD_HEADER && place + object.len() > from)
        };
        let touched = held.objects.iter().filter(|(_, bytes)| is_touched(bytes));
        let may_lack: BTreeSet<Id> = touched.map(|(id, _)| *id).collect();
        let what = format!("{file}: {from}..{to} became {} bytes", altered.bytes(file).len() + to - from - bytes.len());
        repaired(&altered, &held, &may_lack, &what);
    }
}

#[test]
fn what_a_branch_shares_is_counted_apart() {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    let store = Store::on(log.clone()).unwrap();
    let first = write(&store, "main", "a", &"1".repeat(300), 1);
    let mut batch = store.batch();
    batch.set(&branch("plan"), &first).unwrap();
    batch.publish().unwrap();
    // A commit, its root, and contents.
    write(&store, "plan", "b", &"2".repeat(300), 2);
    let all = stat_on(&*disk).unwrap();
    assert_eq!((all.commits.objects, all.nodes.objects, all.contents.objects), (2, 2, 2));
    let plan = all.branches[&branch("plan")];
    assert_eq!((plan.own.objects, plan.shared.objects), (3, 3));
    let main = all.branches[&branch("main")];
    assert_eq!((main.own.objects, main.shared), (0, plan.shared));
    assert_eq!(all.garbage.objects, 0);
    let mut batch = store.batch();
    batch.delete(&branch("plan")).unwrap();
    batch.publish().unwrap();
    let after = stat_on(&*disk).unwrap();
    assert_eq!(after.garbage, plan.own);
    assert_eq!(after.branches[&branch("main")].own, plan.shared);
    assert!(after.file_bytes > all.file_bytes);
}
