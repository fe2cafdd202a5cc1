//! Owns the integration tests: one binary, a file for each subject.

mod batch;
mod collect;
mod conformance;
mod counted;
mod crash;
mod disk;
mod fixture;
mod fsck;
mod gc;
#[cfg(feature = "git")]
mod git;
mod history;
mod index;
mod journal;
mod kill;
mod log;
mod map;
#[cfg(target_os = "linux")]
mod memory;
mod merge;
mod model;
mod names;
mod proof;
mod queue;
mod read_only;
mod retention;
mod room;
mod rope;
mod slice;
mod sync;
mod tree;
mod types;
mod watch;
