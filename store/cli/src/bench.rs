//! `bench`.
//!
//! Owns on what the store's workloads run here. What they are, the benchmarks of the store know.

#[path = "../../benches/workloads/git.rs"]
mod git;
#[path = "../../benches/workloads/own/mod.rs"]
mod own;

use std::path::Path as FilePath;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use self::own::WORKLOADS;
use self::own::kinds::Kind;
use crate::Said;

pub(crate) fn bench(folder: Option<&FilePath>, n: usize, only: &[String]) -> Result<Said> {
    // The shortest workloads do a twentieth of it.
    ensure!(n >= 20, "fewer than 20 operations tell nothing");
    for name in only {
        let is_known = WORKLOADS.iter().any(|workload| workload.name.eq_ignore_ascii_case(name));
        ensure!(is_known, "there is no workload {name:?}");
    }
    let below =
        folder.map(tempfile::tempdir_in).transpose().context("nothing can be made there")?;
    let mut kinds = Kind::all(below.as_ref().map_or(FilePath::new(""), |below| below.path()));
    kinds.retain(|kind| below.is_some() || !kind.is_on_disk);
    let in_memory = tempfile::tempdir_in("/dev/shm").ok();
    if let Some(below) = &below {
        kinds.extend(git::kinds(below.path(), in_memory.as_ref().map(TempDir::path)));
    }
    let chosen = WORKLOADS.iter().filter(|workload| workload.is_among(only));
    let tables: Vec<String> = chosen.map(|it| it.table(&kinds, n).to_string()).collect();
    Ok(tables.concat().into())
}
