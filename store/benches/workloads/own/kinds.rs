//! Owns the backends that are measured. Must not know the workloads.

use std::cell::Cell;
use std::path::Path as FilePath;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions, Memory};
use jitsu_store::{Batch, BranchName, Meta, Path, Store};

use super::table::Figure;

/// How many commits are published together in bulk.
const BULK: usize = 1000;

/// A durable commit waits for the disk: fewer of them tell as much.
const DURABLE_MAX: usize = 1000;

/// A backend to measure.
pub(crate) struct Kind<'a> {
    pub(crate) name: &'static str,
    /// Irmin's backend of the same kind and durability.
    pub(crate) irmin: &'static str,
    /// Whether many commits share a flush.
    pub(crate) in_bulk: bool,
    pub(crate) is_on_disk: bool,
    /// The most operations that are worth measuring.
    pub(crate) ops_max: usize,
    /// The store in a folder, which it makes if there is none and it needs one.
    pub(crate) open: fn(&FilePath) -> Store,
    /// Where its folders are.
    pub(crate) folder: &'a FilePath,
    pub(crate) made: Cell<usize>,
}

impl<'a> Kind<'a> {
    pub(crate) fn all(folder: &'a FilePath) -> Vec<Kind<'a>> {
        let kind = |name, irmin, open| Kind {
            name,
            irmin,
            in_bulk: false,
            is_on_disk: false,
            ops_max: usize::MAX,
            open,
            folder,
            made: Cell::new(0),
        };
        let hashed = |_: &FilePath| Store::on(Arc::new(Memory::new())).expect("an empty backend");
        let on_disk = |name, irmin| Kind { is_on_disk: true, ..kind(name, irmin, log) };
        vec![
            kind("memory", "mem", |_| Store::memory()),
            kind("memory-hashed", "mem", hashed),
            Kind { in_bulk: true, ..on_disk("log, in bulk", "pack") },
            Kind { ops_max: DURABLE_MAX, ..on_disk("log, each commit durable", "") },
        ]
    }

    /// A new store, and its folder if it has one.
    pub(crate) fn store(&self) -> Store {
        self.made.set(self.made.get() + 1);
        self.reopen()
    }

    /// The store that was made last, without anything of it in memory.
    pub(crate) fn reopen(&self) -> Store {
        let name = format!("{}-{}", self.name.replace([' ', ','], ""), self.made.get());
        (self.open)(&self.folder.join(name))
    }

    /// As many operations, if they are worth measuring.
    pub(crate) fn scaled(&self, n: usize) -> usize {
        n.min(self.ops_max)
    }

    /// Irmin's figure on its backend of this kind, if it has one, of its two.
    pub(crate) fn beside(&self, mem: f64, pack: f64) -> Option<Figure> {
        match self.irmin {
            "mem" => Some(Figure::irmin("mem", mem)),
            "pack" => Some(Figure::irmin("pack", pack)),
            _ => None,
        }
    }

    /// Does something `n` times in batches, published as this backend is to be.
    pub(crate) fn rounds(&self, store: &Store, n: usize, mut round: impl FnMut(&mut Batch, usize)) {
        let together = if self.in_bulk { BULK } else { 1 };
        for first in (0..n).step_by(together) {
            let mut batch = store.batch();
            (first..n.min(first + together)).for_each(|nth| round(&mut batch, nth));
            batch.publish().expect("published");
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.is_on_disk && !self.in_bulk
    }
}

fn log(folder: &FilePath) -> Store {
    let log = Log::open(folder, LogOptions::default()).expect("a log");
    Store::on(Arc::new(log)).expect("a store")
}

pub(crate) fn branch(name: &str) -> BranchName {
    name.parse().expect("a good name")
}

pub(crate) fn path(path: &str) -> Path {
    path.parse().expect("a good path")
}

pub(crate) fn meta(n: usize) -> Meta {
    let (author, message) = ("uid 0".into(), "set".into());
    Meta { time_ms: n as u64, author, message, ..Meta::default() }
}

/// Numbers that look random and are the same in each run (Steele and others, SplitMix, OOPSLA
/// 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
