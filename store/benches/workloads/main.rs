//! Owns the figures of the store's workloads, as a table: each on each backend, beside what OCaml's
//! Irmin did with the same workload, and beside other stores where they can do it.
//!
//! `cargo bench -p jitsu-store --bench workloads -- [folder] [--n N] [--on KIND] [workload…]`: the
//! folder decides which disk is measured, `N` how long each runs, `KIND` on which backend alone.
//!
//! What is beside a figure is Irmin 3.11 on its backend of that name; for queues and ropes Irmin
//! 0.9.4, or the paper of 2015 on its backend. Irmin was measured on another day than this, and the
//! paper on another machine: they say in which order of magnitude they play, the ratios between
//! backends and peers of one run say more.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod commits;
mod floors;
mod kinds;
mod peers;
mod queues;
mod reads;
mod ropes;
mod table;

use std::path::PathBuf;

use self::kinds::Kind;
use self::table::Table;

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
                options.only.push(argument.to_uppercase());
            } else {
                options.folder = argument.into();
            }
        }
        options
    }
}

type Workload = fn(&mut Table, &Kind<'_>, usize);

/// The workloads by name, in the order of `anchors.md` and the issue they come from.
const WORKLOADS: [(&str, &str, Workload); 8] = [
    ("W1", "one 100-byte set in each commit", commits::one_set),
    ("W2", "20 keys in a commit, then removed in another", commits::twenty_and_none),
    ("W3", "fork, 10 keys there, 10 on main, merge", commits::fork_and_merge),
    ("W4", "random reads of 100,000 keys", reads::random),
    ("W5", "commits over 100 keys in turn, and the walk back", reads::walk),
    ("W6", "queues", queues::queues),
    ("W7", "ropes of 100,000 characters, a commit for each change", ropes::ropes),
    ("W8", "a commit among 1,000 and 1,000,000 keys", commits::growth),
];

fn main() {
    let options = Options::of(std::env::args().skip(1));
    let folder = tempfile::tempdir_in(&options.folder).expect("a folder to measure in");
    println!("in {}, n = {}", folder.path().display(), options.n);
    for (name, title, workload) in WORKLOADS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let mut table = Table::new(name, title);
        for kind in Kind::all(folder.path()) {
            if options.on.as_ref().is_none_or(|on| on == kind.name) {
                workload(&mut table, &kind, options.n);
            }
        }
        if options.on.is_none() {
            peers::beside(name, &mut table, folder.path(), options.n);
        }
        print!("{table}");
    }
}
