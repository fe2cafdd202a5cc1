//! Owns the figures of a log with many objects: what its index costs while it grows, and how soon
//! and in how much memory it is open again.
//!
//! `cargo bench -p jitsu-store --bench open [folder] [--n N] [--keep]`: `N` objects, ten million if
//! nobody says otherwise. A folder that was kept is opened again, not filled.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod figures;

use std::path::Path as FilePath;
use std::time::Instant;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Backend, BranchName, HeadChange, Id};

use figures::{Asked, memory, shown};

const N: u64 = 10_000_000;
/// How many objects share a flush while it grows.
const BULK: u64 = 1000;
const READS: u64 = 500_000;

fn main() {
    let asked = Asked::of_arguments(N);
    if asked.is_child {
        return opened(&asked.folder, asked.n);
    }
    asked.measure("open", |folder| fill(folder, asked.n));
}

fn object(n: u64) -> (Id, Vec<u8>) {
    let bytes = format!("c\u{1}b{n:060}").into_bytes();
    (Id::of(&bytes), bytes)
}

/// Numbers that look random and are the same in each run (Steele and others, SplitMix, OOPSLA
/// 2014).
fn mixed(n: u64) -> u64 {
    let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Writes the log, and tells how that slows down.
fn fill(folder: &FilePath, n: u64) {
    println!("\n{:>12} {:>12} {:>10} {:>10} {:>10}", "objects", "puts/s", "p50", "p99", "longest");
    println!("{:>36} {:>10} {:>10} {:>10}", "of a flush", "", "", "memory");
    let log = Log::open(folder, LogOptions::default()).expect("a log");
    let main = BranchName::new("main").expect("a good name");
    let mut head = None;
    let part = (n / 8).max(BULK);
    for first in (0..n).step_by(part as usize) {
        let mut flushes = Vec::new();
        let begun = Instant::now();
        let end = n.min(first + part);
        for at in first..end {
            let (id, bytes) = object(at);
            log.put(&id, &bytes).expect("put");
            if at % BULK == BULK - 1 || at + 1 == end {
                let change = HeadChange { branch: main.clone(), old: head, new: Some(id) };
                let flush = Instant::now();
                assert!(log.set_heads(&[change]).expect("published"));
                flushes.push(flush.elapsed());
                head = Some(id);
            }
        }
        let rate = (end - first) as f64 / begun.elapsed().as_secs_f64();
        flushes.sort_unstable();
        let [p50, p99, longest] = [50, 99, 100].map(|per| (flushes.len() - 1) * per / 100);
        let [p50, p99, longest] = [p50, p99, longest].map(|at| shown(flushes[at]));
        let memory = memory("VmRSS");
        println!("{end:>12} {rate:>12.0} {p50:>10} {p99:>10} {longest:>10}  {memory}");
    }
}

/// What a process finds that opens it.
fn opened(folder: &FilePath, n: u64) {
    let begun = Instant::now();
    let log = Log::open(folder, LogOptions::default()).expect("a log");
    println!("\nopened in {}, at most {} of memory", shown(begun.elapsed()), memory("VmHWM"));
    let rate = |what: &str, of: &dyn Fn(u64)| {
        let begun = Instant::now();
        (0..READS).for_each(of);
        let rate = READS as f64 / begun.elapsed().as_secs_f64();
        println!("{what:44} {rate:>12.0} /s");
    };
    let read = |at: u64| {
        let (id, bytes) = object(mixed(at) % n);
        assert_eq!(log.get(&id).expect("readable").as_deref(), Some(&bytes[..]));
    };
    rate("hashes of objects alone", &|at| drop(object(mixed(at) % n)));
    rate("random reads", &read);
    rate("the same once more", &read);
    rate("random reads of the newest 100,000", &|at| read_newest(&log, n, at));
    let absent = |at: u64| assert!(log.get(&object(n + at).0).expect("readable").is_none());
    rate("reads of what is not there", &absent);
    rate("puts of what is there", &|at| {
        let (id, bytes) = object(mixed(at) % n);
        log.put(&id, &bytes).expect("put");
    });
    rate("puts of new objects", &|at| {
        let (id, bytes) = object(2 * n + at);
        log.put(&id, &bytes).expect("put");
    });
    println!("at most {} of memory by now", memory("VmHWM"));
}

fn read_newest(log: &Log, n: u64, at: u64) {
    let (id, _) = object(n - 1 - mixed(at) % n.min(100_000));
    assert!(log.get(&id).expect("readable").is_some());
}
