//! A text that two people write at once: a rope, of which a merge keeps what both wrote, and says
//! where they wrote over each other.
//!
//! `cargo run -p jitsu-store --example collaborative_text`

#![expect(clippy::print_stdout, reason = "it is there to be looked at")]

use std::error::Error;

use jitsu_store::{BranchName, Commit, Contents, Merged, Meta, Path, RopeError, Store, TextRope};

fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::memory();
    let (ann, bob) = (BranchName::new("ann")?, BranchName::new("bob")?);
    let (start, ()) = store.update(&ann, by(&ann, 1), |tree| {
        tree.set(&page(), Contents::TextRope(TextRope::of("A VM boots. It answers.")))
    })?;
    fork(&store, &bob, &start)?;

    // Positions are in characters, as an editor has them.
    write(&store, &ann, 2, |text| text.insert(2, "small "))?;
    let theirs = write(&store, &bob, 3, |text| text.replace(15..22, "serves the first packet"))?;
    merge(&store, &ann, &theirs)?;

    let head = store.head(&ann)?.ok_or("it was just written")?;
    fork(&store, &bob, &head)?;
    write(&store, &ann, 4, |text| text.replace(2..7, "tiny"))?;
    let theirs = write(&store, &bob, 5, |text| text.delete(2..8))?;
    merge(&store, &ann, &theirs)
}

fn write(
    store: &Store,
    who: &BranchName,
    time_ms: u64,
    edit: impl Fn(&mut TextRope) -> Result<(), RopeError>,
) -> Result<Commit, Box<dyn Error>> {
    let (commit, ()) = store.update(who, by(who, time_ms), |tree| {
        let Some(Contents::TextRope(mut text)) = tree.get(&page())? else {
            return Err("there is no text".into());
        };
        edit(&mut text)?;
        tree.set(&page(), Contents::TextRope(text))?;
        Ok::<_, Box<dyn Error>>(())
    })?;
    show(store, who)?;
    Ok(commit)
}

fn merge(store: &Store, into: &BranchName, from: &Commit) -> Result<(), Box<dyn Error>> {
    match store.merge(into, from, by(into, 9))? {
        Merged::Conflicts(conflicts) => conflicts.iter().for_each(|it| println!("conflict: {it}")),
        Merged::Already | Merged::Commit(_) => {
            print!("merged into ");
            show(store, into)?;
        }
    }
    Ok(())
}

fn show(store: &Store, branch: &BranchName) -> Result<(), Box<dyn Error>> {
    let tree = store.head(branch)?.ok_or("there is no such branch")?.tree();
    if let Some(Contents::TextRope(text)) = tree.get(&page())? {
        println!("{branch}: {}", text.text()?);
    }
    Ok(())
}

fn fork(store: &Store, branch: &BranchName, at: &Commit) -> Result<(), Box<dyn Error>> {
    Ok(store.transact(|batch| batch.set(branch, at))?)
}

fn by(who: &BranchName, time_ms: u64) -> Meta {
    Meta { time_ms, author: who.to_string(), message: "wrote".into(), ..Meta::default() }
}

fn page() -> Path {
    "page".parse().expect("a path")
}
