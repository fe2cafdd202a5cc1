//! Owns the backends that are measured. Must not know the workloads.

use std::cell::Cell;
use std::path::Path as FilePath;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions, Memory};
use jitsu_store::{Batch, BranchName, Meta, Path, Store};

use super::table::Figure;

/// How many commits are published together in bulk.
const BULK: usize = 1000;

/// A backend to measure.
pub(crate) struct Kind<'a> {
    pub(crate) name: &'static str,
    /// Irmin's backend of the same kind and durability.
    pub(crate) irmin: &'static str,
    /// Whether many commits share a flush.
    pub(crate) in_bulk: bool,
    folder: &'a FilePath,
    made: Cell<usize>,
}

impl<'a> Kind<'a> {
    pub(crate) fn all(folder: &'a FilePath) -> Vec<Kind<'a>> {
        let kind = |name, irmin, in_bulk| Kind { name, irmin, in_bulk, folder, made: Cell::new(0) };
        vec![
            kind("memory", "mem", false),
            kind("memory-hashed", "mem", false),
            kind("log, in bulk", "pack", true),
            kind("log, each commit durable", "", false),
        ]
    }

    /// A new store, and its folder if it has one.
    pub(crate) fn store(&self) -> Store {
        self.made.set(self.made.get() + 1);
        self.reopen()
    }

    /// The store that was made last, without anything of it in memory.
    pub(crate) fn reopen(&self) -> Store {
        match self.name {
            "memory" => return Store::memory(),
            "memory-hashed" => {
                return Store::on(Arc::new(Memory::new())).expect("an empty backend");
            }
            _ => {}
        }
        let name = format!("{}-{}", self.name.replace([' ', ','], ""), self.made.get());
        let log = Log::open(self.folder.join(name), LogOptions::default()).expect("a log");
        Store::on(Arc::new(log)).expect("a store")
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

    pub(crate) fn is_on_disk(&self) -> bool {
        self.name.starts_with("log")
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.is_on_disk() && !self.in_bulk
    }
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
