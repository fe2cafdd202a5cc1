//! Owns the figures of durable commits, as a table: how long one takes beside a bare append and
//! `fdatasync` of the same size, and beside another store's write of as much; how many writers get
//! through together; and what merging one subject into a large `main` costs.
//!
//! `cargo bench -p jitsu-store --bench durable [folder]`: the folder decides which disk is measured.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{BranchName, Contents, Merged, Meta, Path, Store, Tree, TreeError};
use redb::{Database, TableDefinition};

/// How often the rates of writers are measured.
const ROUNDS: usize = 7;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to measure in");
    println!("in {}", folder.path().display());
    latency(folder.path());
    writers(folder.path());
    subjects(folder.path(), 1000);
}

fn open(folder: &FilePath, name: &str) -> Store {
    let log = Log::open(folder.join(name), LogOptions::default()).expect("a fresh log");
    Store::on(Arc::new(log)).expect("an empty store")
}

fn branch(name: &str) -> BranchName {
    name.parse().expect("a good name")
}

fn path(path: &str) -> Path {
    path.parse().expect("a good path")
}

fn meta(n: u64) -> Meta {
    Meta { time_ms: n, author: "uid 0".into(), message: "set".into(), ..Meta::default() }
}

fn set(store: &Store, to: &BranchName, at: &Path, n: u64) {
    let value = Contents::text(format!("{n:0100}"));
    let edit = |tree: &mut Tree| tree.set(at, value.clone());
    store.update::<_, TreeError>(to, meta(n), edit).expect("a commit");
}

/// One 100-byte `set` per commit, taking turns with a bare append of as many bytes as it wrote, and
/// with a transaction of redb that puts as many at one key. Each waits for the disk once.
fn latency(folder: &FilePath) {
    let store = open(folder, "latency");
    let (main, at) = (branch("main"), path("services/www/wanted"));
    set(&store, &main, &at, 0);
    let size = |folder: &FilePath| {
        let log = folder.join("latency/00000001.segment");
        std::fs::metadata(log).expect("the log").len()
    };
    let before = size(folder);
    set(&store, &main, &at, 1);
    let bytes = vec![7; (size(folder) - before) as usize];
    let bare = File::create(folder.join("bare")).expect("a file");
    let redb = Redb::open(&folder.join("redb"));
    let (mut commits, mut appends, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..2000 {
        commits.push(timed(|| set(&store, &main, &at, 2 + n)));
        appends.push(timed(|| {
            bare.write_all_at(&bytes, n * bytes.len() as u64).expect("an append");
            bare.sync_data().expect("a flush");
        }));
        writes.push(timed(|| redb.write("key", &bytes)));
    }
    println!("\n2000 durable commits of one set, {} bytes each on disk", bytes.len());
    println!("{:24} {:>10} {:>10}", "", "p50", "p99");
    let commit = quantiles(commits);
    let append = quantiles(appends);
    let write = quantiles(writes);
    println!("{:24} {:>10} {:>10}", "commit", shown(commit.0), shown(commit.1));
    println!("{:24} {:>10} {:>10}", "append and fdatasync", shown(append.0), shown(append.1));
    println!("{:24} {:>10} {:>10}", "redb", shown(write.0), shown(write.1));
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let (p50, p99) = (ratio(commit.0, append.0), ratio(commit.1, append.1));
    println!("{:24} {p50:>10.2} {p99:>10.2}   goal: 1.50", "ratio");
}

/// Another store, which has neither history nor a flush for several writers.
struct Redb(Database);

impl Redb {
    const KEYS: TableDefinition<'static, &'static str, &'static [u8]> =
        TableDefinition::new("keys");

    fn open(at: &FilePath) -> Redb {
        let redb = Redb(Database::create(at).expect("a database"));
        redb.write("key", &[]);
        redb
    }

    fn write(&self, key: &str, value: &[u8]) {
        let transaction = self.0.begin_write().expect("a transaction");
        let mut table = transaction.open_table(Redb::KEYS).expect("a table");
        table.insert(key, value).expect("an entry");
        drop(table);
        transaction.commit().expect("a commit");
    }
}

/// Writers with branches of their own, in rounds that take turns, because disks are moody.
fn writers(folder: &FilePath) {
    println!("\ndurable commits by writers on branches of their own, median of {ROUNDS} rounds");
    println!("{:>8} {:>12} {:>10}", "writers", "commits/s", "of one");
    let counts = [1, 16, 64];
    let mut rates = counts.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for (rates, writers) in rates.iter_mut().zip(counts) {
            let store = open(folder, &format!("writers-{writers}-{round}"));
            let at = path("services/www/wanted");
            let commit = |writer, n| set(&store, &branch(&format!("writer/{writer}")), &at, n);
            rates.push(rate(writers, if writers == 1 { 1000 } else { 400 }, &commit));
        }
    }
    let medians = rates.map(median);
    for (writers, median) in counts.iter().zip(medians) {
        let goal = if *writers == 64 { "   goal: 20" } else { "" };
        println!("{writers:>8} {median:>12.0} {:>10.1}{goal}", median / medians[0]);
    }
    let redb = Redb::open(&folder.join("redb-64"));
    let write = |writer: u64, _| redb.write(&writer.to_string(), &[7; 620]);
    let rates = (0..ROUNDS).map(|_| rate(64, 20, &write)).collect();
    println!("{:>8} {:>12.0}   redb, 620 bytes each", 64, median(rates));
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// How often a second some writers write.
fn rate(writers: u64, each: u64, write: &(impl Fn(u64, u64) + Sync)) -> f64 {
    let time = timed(|| {
        std::thread::scope(|scope| {
            for writer in 0..writers {
                scope.spawn(move || (0..each).for_each(|n| write(writer, n)));
            }
        });
    });
    (writers * each) as f64 / time.as_secs_f64()
}

/// A step of one subject, merged into `main`, without the flush and with it.
fn subjects(folder: &FilePath, subjects: usize) {
    println!("\na step of one subject of {subjects}, committed to its branch and merged into main");
    println!("{:24} {:>10} {:>10}", "", "p50", "p99");
    for (what, store) in [("memory", Store::memory()), ("log", open(folder, "subjects"))] {
        let mut fill = store.batch();
        for subject in 0..subjects {
            step(&mut fill, subject, 0);
        }
        fill.publish().expect("a filled store");
        let mut times = Vec::new();
        for n in 0..2000 {
            times.push(timed(|| {
                let mut batch = store.batch();
                step(&mut batch, n * 7919 % subjects, n as u64 + 1);
                batch.publish().expect("a merge");
            }));
        }
        let (p50, p99) = quantiles(times);
        println!("{what:24} {:>10} {:>10}", shown(p50), shown(p99));
    }
}

fn step(batch: &mut jitsu_store::Batch, subject: usize, n: u64) {
    let name = branch(&format!("domain/{subject}"));
    let head = batch.head(&name).expect("a head");
    let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
    let at = path(&format!("domains/{subject}/wanted"));
    tree.set(&at, Contents::text(n.to_string())).expect("a set");
    let commit = batch.commit(&name, tree, meta(n)).expect("a commit");
    let merged = batch.merge(&branch("main"), &commit, meta(n)).expect("a merge");
    assert!(matches!(merged, Merged::Commit(_)), "{merged:?}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn shown(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}
