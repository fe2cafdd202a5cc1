//! A chat of which each side keeps a store of its own words and takes what the other said: a log,
//! ordered by time however often it is merged, and a queue of what is still to be read aloud.
//!
//! `cargo run -p jitsu-store --example chat_log`

#![expect(clippy::print_stdout, reason = "it is there to be looked at")]

use std::error::Error;

use jitsu_store::{
    BranchName, Commit, Contents, Journal, Merged, Meta, Path, Queue, Store, Tree, TreeError,
};

fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::memory();
    let (ann, bob) = (BranchName::new("ann")?, BranchName::new("bob")?);
    let (start, ()) = say(&store, &ann, 1, "hello")?;
    store.transact(|batch| batch.set(&bob, &start))?;

    say(&store, &ann, 20, "is the VM up?")?;
    say(&store, &bob, 10, "hello!")?;
    let (theirs, ()) = say(&store, &bob, 30, "since the first packet")?;
    // Ann's reader takes the first one while bob's words are on their way.
    let first = store.update(&ann, by("ann", 40), |tree| {
        let mut queue = queue(tree)?;
        let first = queue.pop()?;
        tree.set(&unread(), Contents::Queue(queue))?;
        Ok::<_, TreeError>(first)
    })?;
    println!("read aloud: {}", first.1.map_or("nothing".into(), |it| it.to_string()));

    match store.merge(&ann, &theirs, by("ann", 50))? {
        Merged::Conflicts(conflicts) => conflicts.iter().for_each(|it| println!("conflict: {it}")),
        Merged::Already | Merged::Commit(_) => {}
    }
    let tree = store.head(&ann)?.ok_or("it was just written")?.tree();
    println!("the log, newest first:");
    for entry in log(&tree)?.iter() {
        let entry = entry?;
        println!("  {:>3} {}", entry.time_ms, entry.contents);
    }
    println!("still unread:");
    for words in queue(&tree)?.iter() {
        println!("  {}", words?);
    }
    Ok(())
}

fn say(
    store: &Store,
    who: &BranchName,
    time_ms: u64,
    words: &str,
) -> Result<(Commit, ()), Box<dyn Error>> {
    let words = Contents::text(format!("{who}: {words}"));
    Ok(store.update(who, by(who.as_ref(), time_ms), |tree| {
        let (mut log, mut queue) = (log(tree)?, queue(tree)?);
        log.append(time_ms, words.clone())?;
        queue.push(words.clone())?;
        tree.set(&said(), Contents::Log(log))?;
        tree.set(&unread(), Contents::Queue(queue))
    })?)
}

fn by(author: &str, time_ms: u64) -> Meta {
    Meta { time_ms, author: author.into(), message: "a word".into(), ..Meta::default() }
}

fn said() -> Path {
    "room/said".parse().expect("a path")
}

fn unread() -> Path {
    "room/unread".parse().expect("a path")
}

fn log(tree: &Tree) -> Result<Journal, TreeError> {
    Ok(match tree.get(&said())? {
        Some(Contents::Log(log)) => log,
        _ => Journal::new(),
    })
}

fn queue(tree: &Tree) -> Result<Queue, TreeError> {
    Ok(match tree.get(&unread())? {
        Some(Contents::Queue(queue)) => queue,
        _ => Queue::new(),
    })
}
