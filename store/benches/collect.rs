//! Owns the figures of a collection while somebody writes: how long it takes, in how much memory,
//! and how long the writer waits.
//!
//! `cargo bench -p jitsu-store --bench collect [folder] [--n N] [--keep]`: about `N` objects, a
//! million if nobody says otherwise, of which a quarter is garbage. A folder that was kept is
//! collected again, and has no garbage but what the writer made.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod figures;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Batch, BranchName, Contents, Merged, Meta, Path, PublishError, Store, Tree};

use figures::{Asked, memory, shown};

const N: u64 = 1_000_000;
/// How many objects a step makes, about: contents, three directories and a commit on its own
/// branch, and as much but contents for the merge; and one that is not merged, half of that.
const STEP_OBJECTS: u64 = 14;
/// How many steps share a flush while the log is filled.
const BULK: u64 = 1000;
const SUBJECTS: u64 = 1000;
/// How many of the longest waits are told.
const TOLD: usize = 8;

fn main() {
    let asked = Asked::of_arguments(N);
    if asked.is_child {
        return collected(&asked.folder);
    }
    asked.measure("collect", |folder| fill(folder, asked.n / STEP_OBJECTS));
}

fn open(folder: &FilePath) -> (Arc<Log>, Store) {
    let log = Arc::new(Log::open(folder, LogOptions::default()).expect("a log"));
    let store = Store::on(log.clone()).expect("a store");
    (log, store)
}

fn branch(name: &str) -> BranchName {
    name.parse().expect("a good name")
}

/// A step of one subject on a branch.
fn step(batch: &mut Batch, on: &BranchName, n: u64) -> jitsu_store::Commit {
    let subject = n % SUBJECTS;
    let head = batch.head(on).expect("a head");
    let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
    let at: Path = format!("domains/{subject}/wanted").parse().expect("a good path");
    tree.set(&at, Contents::text(format!("{on} {n:060}"))).expect("a set");
    batch.commit(on, tree, meta(n)).expect("a commit")
}

fn merge(batch: &mut Batch, n: u64) {
    let commit = step(batch, &branch(&format!("domain/{}", n % 10)), n);
    let merged = batch.merge(&branch("main"), &commit, meta(n)).expect("a merge");
    assert!(matches!(merged, Merged::Commit(_)), "{merged:?}");
}

fn meta(n: u64) -> Meta {
    Meta { time_ms: n, author: "uid 0".into(), message: "set".into(), ..Meta::default() }
}

/// Writes the log, and deletes the branches that nobody merged.
fn fill(folder: &FilePath, steps: u64) {
    let (_, store) = open(folder);
    let begun = Instant::now();
    let garbage = branch("garbage");
    for first in (0..steps).step_by(BULK as usize) {
        let mut batch = store.batch();
        for n in first..steps.min(first + BULK) {
            if n % 2 == 0 {
                step(&mut batch, &garbage, n);
            }
            merge(&mut batch, n);
        }
        batch.publish().expect("published");
    }
    let mut batch = store.batch();
    batch.delete(&garbage).expect("a branch");
    batch.publish().expect("published");
    println!("written in {:.1} s", begun.elapsed().as_secs_f64());
}

/// What somebody waited for a commit, and since when.
struct Wait {
    at: Duration,
    time: Duration,
}

/// What a process finds that opens it, collects it and writes meanwhile.
fn collected(folder: &FilePath) {
    let (log, store) = open(folder);
    println!("opened, at most {} of memory", memory("VmHWM"));
    let is_over = AtomicBool::new(false);
    let begun = Instant::now();
    let (waits, took) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&store, &begun, &is_over));
        // The writer's first commits load what later ones find loaded.
        std::thread::sleep(Duration::from_secs(1));
        let collection = Instant::now();
        let collected = log.collect().expect("collected");
        let took = collection.elapsed();
        std::thread::sleep(Duration::from_secs(1));
        is_over.store(true, Ordering::Relaxed);
        println!("collected in {:.1} s, at most {}", took.as_secs_f64(), memory("VmHWM"));
        println!(
            "kept    {:>10} objects, {:>12} bytes",
            collected.kept.objects, collected.kept.bytes
        );
        let removed = collected.removed;
        println!("removed {:>10} objects, {:>12} bytes", removed.objects, removed.bytes);
        let begun = collection - begun;
        (writer.join().expect("it wrote"), begun..begun + took)
    });
    let (mut during, mut otherwise): (Vec<Wait>, Vec<Wait>) =
        waits.into_iter().partition(|wait| took.contains(&(wait.at + wait.time)));
    println!(
        "\n{:24} {:>10} {:>10} {:>10} {:>10}",
        "a commit, merged", "times", "p50", "p99", "longest"
    );
    for (what, waits) in [("beside the collection", &mut during), ("otherwise", &mut otherwise)] {
        waits.sort_unstable_by_key(|wait| wait.time);
        let Some(last) = waits.len().checked_sub(1) else { continue };
        let [p50, p99, longest] = [50, 99, 100].map(|per| shown(waits[last * per / 100].time));
        println!("{what:24} {:>10} {p50:>10} {p99:>10} {longest:>10}", waits.len());
    }
    println!("\nthe longest waits, and how far the collection was when they began");
    for wait in during.iter().rev().take(TOLD) {
        let at = wait.at.saturating_sub(took.start).as_secs_f64();
        println!("{:>12} at {at:.2} s", shown(wait.time));
    }
}

/// Commits and merges, one after another, until it is over.
fn write(store: &Store, begun: &Instant, is_over: &AtomicBool) -> Vec<Wait> {
    let mut waits = Vec::new();
    for n in 0.. {
        let at = begun.elapsed();
        // A commit across the beginning of a collection is tried again.
        loop {
            let mut batch = store.batch();
            merge(&mut batch, n);
            match batch.publish() {
                Ok(()) => break,
                Err(PublishError::Raced(_)) => {}
                Err(error) => panic!("not published: {error}"),
            }
        }
        waits.push(Wait { at, time: begun.elapsed() - at });
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    waits
}
