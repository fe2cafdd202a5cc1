//! A list of things to do that two devices change while they are apart, and then merge: a directory
//! of items, a set of labels, a counter.
//!
//! `cargo run -p jitsu-store --example todo_list`

#![expect(clippy::print_stdout, reason = "it is there to be looked at")]

use std::error::Error;

use jitsu_store::{BranchName, Contents, Merged, Meta, Store, Tree, TreeError};

fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::memory();
    let (laptop, phone) = (BranchName::new("laptop")?, BranchName::new("phone")?);

    let (start, ()) = store.update(&laptop, by("laptop", 1), |tree| {
        add(tree, "milk", &["shop"])?;
        add(tree, "boot the unikernel", &["work"])
    })?;
    store.transact(|batch| batch.set(&phone, &start))?;

    // Apart, both change the list: other items, and the labels and the counter of the same one.
    store.update(&laptop, by("laptop", 2), |tree| {
        done(tree, "boot the unikernel")?;
        label(tree, "milk", "urgent")
    })?;
    let (theirs, ()) = store.update(&phone, by("phone", 3), |tree| {
        add(tree, "bread", &["shop"])?;
        label(tree, "milk", "oat")
    })?;
    merge(&store, &laptop, &theirs)?;
    show(&store, &laptop)?;

    // The same title written in two ways is for a person to decide.
    let title = "items/milk/title".parse()?;
    let head = store.head(&laptop)?.ok_or("it was just written")?;
    store.transact(|batch| batch.set(&phone, &head))?;
    let name = |name: &str| Contents::text(name);
    store.update(&laptop, by("laptop", 4), |tree| tree.set(&title, name("oat milk")))?;
    let (theirs, ()) =
        store.update(&phone, by("phone", 5), |tree| tree.set(&title, name("milk, 2 l")))?;
    merge(&store, &laptop, &theirs)
}

fn by(author: &str, time_ms: u64) -> Meta {
    Meta { time_ms, author: author.into(), message: "a change".into(), ..Meta::default() }
}

fn add(tree: &mut Tree, item: &str, labels: &[&str]) -> Result<(), TreeError> {
    tree.set(&at(item, "title"), Contents::text(item))?;
    tree.set(&at(item, "labels"), Contents::set(labels))?;
    tree.set(&at(item, "times done"), Contents::Counter(0))
}

fn done(tree: &mut Tree, item: &str) -> Result<(), TreeError> {
    let count = match tree.get(&at(item, "times done"))? {
        Some(Contents::Counter(count)) => count,
        _ => 0,
    };
    tree.set(&at(item, "times done"), Contents::Counter(count + 1))
}

fn label(tree: &mut Tree, item: &str, label: &str) -> Result<(), TreeError> {
    let mut labels = match tree.get(&at(item, "labels"))? {
        Some(Contents::Set(labels)) => labels,
        _ => Default::default(),
    };
    labels.insert(label.as_bytes().into());
    tree.set(&at(item, "labels"), Contents::Set(labels))
}

fn at(item: &str, what: &str) -> jitsu_store::Path {
    format!("items/{item}/{what}").parse().expect("no slash in an item")
}

fn merge(
    store: &Store,
    into: &BranchName,
    from: &jitsu_store::Commit,
) -> Result<(), Box<dyn Error>> {
    match store.merge(into, from, by("laptop", 9))? {
        Merged::Commit(commit) => println!("merged as {}", commit.id().short()),
        Merged::Already => println!("nothing to merge"),
        Merged::Conflicts(conflicts) => conflicts.iter().for_each(|it| println!("conflict: {it}")),
    }
    Ok(())
}

fn show(store: &Store, branch: &BranchName) -> Result<(), Box<dyn Error>> {
    let head = store.head(branch)?.ok_or("there is no such branch")?;
    for entry in head.tree().entries() {
        let (path, contents) = entry?;
        println!("  {path} = {contents}");
    }
    Ok(())
}
