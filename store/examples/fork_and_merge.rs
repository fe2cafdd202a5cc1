//! Forks a branch, changes both sides, merges them, and shows the history: on disk, so that
//! running it again goes on where it ended.
//!
//! `cargo run -p jitsu-store --example fork_and_merge [folder]`

#![expect(clippy::print_stdout, reason = "it is there to be looked at")]

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use jitsu_store::{BranchName, Contents, Merged, Meta, Path, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/fork_and_merge".into());
    let store = Store::open(&folder)?;
    let (main, fork) = (BranchName::new("main")?, BranchName::new("fork")?);
    let (wanted, visits): (Path, Path) = ("www/wanted".parse()?, "www/visits".parse()?);

    let (base, ()) = store.update(&main, now("count a visit"), |tree| {
        let before = tree.get(&visits)?;
        tree.set(&visits, add(before.as_ref(), 1))
    })?;

    // A fork is a branch that starts at a commit.
    store.transact(|batch| batch.set(&fork, &base))?;

    let (theirs, ()) = store.update(&fork, now("stop, and count two visits"), |tree| {
        tree.set(&wanted, Contents::text("stopped"))?;
        let before = tree.get(&visits)?;
        tree.set(&visits, add(before.as_ref(), 2))
    })?;
    store.update(&main, now("count ten visits"), |tree| {
        let before = tree.get(&visits)?;
        tree.set(&visits, add(before.as_ref(), 10))
    })?;

    match store.merge(&main, &theirs, now("take what the fork did"))? {
        Merged::Commit(commit) => println!("merged as {}", commit.id().short()),
        Merged::Already => println!("nothing to merge"),
        Merged::Conflicts(conflicts) => conflicts.iter().for_each(|it| println!("conflict: {it}")),
    }
    let head = store.head(&main)?.ok_or("main was just written")?;
    for entry in head.tree().entries() {
        let (path, contents) = entry?;
        println!("  {path} = {contents}");
    }
    println!("the last commits that touched {visits}:");
    for commit in store.log(&head.id()).touching(visits).take(8) {
        let commit = commit?;
        println!("  {} {}", commit.id().short(), commit.meta().message);
    }
    Ok(())
}

fn add(before: Option<&Contents>, by: i64) -> Contents {
    match before {
        Some(Contents::Counter(count)) => Contents::Counter(count + by),
        _ => Contents::Counter(by),
    }
}

/// The store asks no clock: its user does.
fn now(message: &str) -> Meta {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Meta { time_ms, author: "example".into(), message: message.into(), ..Meta::default() }
}
