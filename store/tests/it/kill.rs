//! Owns the test that kills: a writer process ends without warning, hundreds of times, and every
//! commit that it acknowledged is there.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Id, Store, Tree};

use crate::fixture::{at, branch, merged, path, text, walk};

pub(crate) const FOLDER: &str = "JITSU_STORE_KILL_FOLDER";
const KILLS: usize = 200;
const WRITERS: usize = 4;

fn open(folder: &FilePath) -> Store {
    let mut options = LogOptions::default();
    options.segment_bytes = 20_000;
    Store::on(Arc::new(Log::open(folder, options).unwrap())).unwrap()
}

/// What the child process does: it writes until it is killed, and says what is durable.
fn write_on(store: &Store, writer: usize) {
    let name = branch(&format!("writer/{writer}"));
    let out = std::io::stdout();
    for n in 0.. {
        let mut batch = store.batch();
        let head = batch.head(&name).unwrap();
        let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
        tree.set(&path(&format!("{writer}/{}", n % 50)), text(&n.to_string())).unwrap();
        let commit = batch.commit(&name, tree, at(n)).unwrap();
        let shared = branch(&format!("shared/{writer}"));
        let merge = batch.merge(&shared, &commit.id(), at(1_000_000 + n)).unwrap();
        merged(merge);
        batch.publish().unwrap();
        // One call for the whole line, so that no half of it is read.
        if out.lock().write_all(format!("\nack {name} {}\n", commit.id()).as_bytes()).is_err() {
            return;
        }
    }
}

/// Run by [`every_acknowledged_commit_survives`] as a process of its own; by itself it does
/// nothing.
#[test]
fn writer_process() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_until_killed(&open(folder.as_ref()));
    }
}

/// Writes on several threads, each to branches of its own, and says what is durable.
pub(crate) fn write_until_killed(store: &Store) {
    // A writer that panics must not look like one that was killed.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || write_on(store, writer));
        }
    });
}

/// Starts a process of this binary, kills it after it acknowledged this many commits, and gives
/// the last acknowledged commit of each branch.
pub(crate) fn run_and_kill(folder: &FilePath, process: &str, after: usize) -> HashMap<String, Id> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([process, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut last = HashMap::new();
    let mut acknowledged = 0;
    let mut take = |line: String| {
        let mut words = line.split(' ');
        if words.next() == Some("ack") {
            let name = words.next().unwrap().to_owned();
            last.insert(name, words.next().unwrap().parse().unwrap());
            acknowledged += 1;
        }
        acknowledged
    };
    while take(lines.next().expect("the writer ended by itself")) < after {}
    child.kill().unwrap();
    // What it said before it died counts as well.
    for line in lines {
        take(line);
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the writer was not killed");
    last
}

/// That a store has every commit that was acknowledged, and of each batch all or nothing.
pub(crate) fn check(store: &Store, acknowledged: &HashMap<String, Id>, kill: usize) {
    let heads = walk(store);
    for (name, id) in acknowledged {
        let head = heads[&branch(name)];
        assert!(store.is_ancestor(id, &head).unwrap(), "{id} of {name} is lost (kill {kill})");
        let shared = heads[&branch(&name.replace("writer", "shared"))];
        assert!(store.is_ancestor(&head, &shared).unwrap(), "{head} is not merged (kill {kill})");
    }
}

#[test]
fn every_acknowledged_commit_survives() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<String, Id> = HashMap::new();
    let mut seed = 1u64;
    for kill in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Now and then at once, so that the writer dies while it opens what the last one left.
        let after = (seed >> 33) as usize % 24;
        if kill % 20 == 0 {
            acknowledged.clear();
            std::fs::remove_dir_all(folder.path()).unwrap();
            std::fs::create_dir(folder.path()).unwrap();
        }
        acknowledged.extend(run_and_kill(folder.path(), "kill::writer_process", after.max(1)));
        check(&open(folder.path()), &acknowledged, kill);
    }
}
