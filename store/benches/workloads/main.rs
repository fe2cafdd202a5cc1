//! Owns the figures of the store's workloads, as a table: each on each backend, beside what OCaml's
//! Irmin did with the same workload, and beside other stores where they can do it.
//!
//! `cargo bench -p jitsu-store --bench workloads -- [folder] [--n N] [--on KIND] [workload…]`: the
//! folder decides which disk is measured, `N` how long each runs, `KIND` on which backend alone.
//!
//! With the feature `git` the backends `git` and `git-memory` are measured as well.
//!
//! What is beside a figure is Irmin 3.11 on its backend of that name; for queues and ropes Irmin
//! 0.9.4, or the paper of 2015 on its backend. Irmin was measured on another day than this, and the
//! paper on another machine: they say in which order of magnitude they play, the ratios between
//! backends and peers of one run say more.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod floors;
#[cfg(feature = "git")]
mod git;
mod own;
mod peers;

use std::path::PathBuf;

use self::own::WORKLOADS;
use self::own::kinds::Kind;

/// How long each workload runs, in operations, if nobody says otherwise.
const N: usize = 10_000;

/// What is to be measured.
struct Options {
    folder: PathBuf,
    n: usize,
    on: Option<String>,
    only: Vec<String>,
}

impl Options {
    fn of(arguments: impl Iterator<Item = String>) -> Options {
        let mut options =
            Options { folder: std::env::temp_dir(), n: N, on: None, only: Vec::new() };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            if argument == "--n" {
                let n = arguments.next().and_then(|n| n.parse().ok());
                options.n = n.expect("--n takes a number");
            } else if argument == "--on" {
                options.on = arguments.next();
            } else if argument.starts_with(['W', 'w']) {
                options.only.push(argument);
            } else {
                options.folder = argument.into();
            }
        }
        options
    }
}

fn main() {
    let options = Options::of(std::env::args().skip(1));
    let folder = tempfile::tempdir_in(&options.folder).expect("a folder to measure in");
    println!("in {}, n = {}", folder.path().display(), options.n);
    let is_on = |kind: &str| options.on.as_ref().is_none_or(|on| on == kind);
    let mut kinds = Kind::all(folder.path());
    #[cfg(feature = "git")]
    let in_memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    #[cfg(feature = "git")]
    kinds.extend(git::kinds(folder.path(), Some(in_memory.path())));
    kinds.retain(|kind| is_on(kind.name));
    for workload in WORKLOADS.iter().filter(|workload| workload.is_among(&options.only)) {
        let mut table = workload.table(&kinds, options.n);
        if is_on("memory") {
            floors::beside(workload.name, &mut table, options.n);
        }
        if options.on.is_none() {
            peers::beside(workload.name, &mut table, folder.path(), options.n);
        }
        print!("{table}");
    }
}
