//! Owns the tests of a store whatever the interleaving of the threads that use it. That nobody
//! waits for ever is seen by the scheduler: it panics when all who are left wait.

use std::future::poll_fn;
use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use crate::backend::Memory;
use crate::{BranchName, Contents, HeadMoved, Id, Meta, Path, Store, Tree, TreeError};

const WRITERS: u64 = 3;
const EACH: u64 = 2;

/// How many interleavings of a test are run: at random, and with few switches at telling places.
fn in_many_orders(test: fn(Store)) {
    for open in [Store::memory, over_backend] {
        shuttle::check_random(move || test(open()), 150);
        shuttle::check_pct(move || test(open()), 150, 3);
    }
}

fn over_backend() -> Store {
    Store::on(Arc::new(Memory::new())).unwrap()
}

fn main() -> BranchName {
    BranchName::new("main").unwrap()
}

fn count(tree: &Tree) -> i64 {
    match tree.get(&path()).unwrap() {
        Some(Contents::Counter(count)) => count,
        None => 0,
        other => panic!("{other:?}"),
    }
}

fn path() -> Path {
    "count".parse().unwrap()
}

/// Adds one to the counter, so often.
fn add(store: &Store, writer: u64) {
    for n in 0..EACH {
        let meta = Meta { time_ms: writer * EACH + n, ..Meta::default() };
        let add = |tree: &mut Tree| {
            let next = count(tree) + 1;
            tree.set(&path(), Contents::Counter(next))?;
            Ok::<_, TreeError>(())
        };
        store.update(&main(), meta, add).unwrap();
    }
}

fn writers(store: &Store) -> Vec<thread::JoinHandle<()>> {
    let writer = |writer| {
        let store = store.clone();
        thread::spawn(move || add(&store, writer))
    };
    (0..WRITERS).map(writer).collect()
}

fn head(store: &Store) -> Option<Id> {
    store.head(&main()).unwrap().map(|head| head.id())
}

#[test]
fn no_update_is_lost() {
    in_many_orders(|store| {
        writers(&store).into_iter().for_each(|writer| writer.join().unwrap());
        let head = store.head(&main()).unwrap().unwrap();
        assert_eq!(count(&head.tree()), (WRITERS * EACH) as i64);
        assert_eq!(store.log(&head.id()).count() as u64, WRITERS * EACH);
    });
}

#[test]
fn a_watch_hears_the_last_movement() {
    in_many_orders(|store| {
        let early = store.watch(&main()).unwrap();
        let early = thread::spawn(move || early.collect::<Vec<_>>());
        let writers = writers(&store);
        // This one begins while the head moves; where it was is known within what came after.
        let (late, seen) = (store.watch(&main()).unwrap(), head(&store));
        let late = thread::spawn(move || late.collect::<Vec<_>>());
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let last = head(&store);
        // Without a store the watches end: what they hear until then is all they ever do.
        drop(store);
        let early = early.join().unwrap();
        assert_eq!(early.first().unwrap().old, None);
        check(&early, last, None);
        check(&late.join().unwrap(), last, seen);
    });
}

/// One movement goes on from where the one before ended, and they end with the last head.
fn check(heard: &[HeadMoved], last: Option<Id>, seen: Option<Id>) {
    assert!(heard.windows(2).all(|pair| pair[0].new == pair[1].old), "{heard:?}");
    assert_eq!(heard.last().map_or(seen, |moved| moved.new), last, "{heard:?}");
}

/// So does one that is polled.
#[test]
fn a_task_is_woken() {
    in_many_orders(|store| {
        let mut watch = store.watch(&main()).unwrap();
        let waiting = {
            let store = store.clone();
            let is_last = move |id| store.commit(&id).unwrap().unwrap().meta().message == "last";
            thread::spawn(move || {
                loop {
                    let moved = block_on(poll_fn(|context| watch.poll_moved(context)));
                    let new = moved.expect("the store is open").new;
                    if new.is_some_and(&is_last) {
                        return new;
                    }
                }
            })
        };
        writers(&store).into_iter().for_each(|writer| writer.join().unwrap());
        let last = Meta { message: "last".to_owned(), ..Meta::default() };
        store.update(&main(), last, |_| Ok::<_, TreeError>(())).unwrap();
        assert_eq!(waiting.join().unwrap(), head(&store));
    });
}

/// A watch hears the last movement while the store is open, not only when it is closed.
#[test]
fn a_watch_is_woken() {
    in_many_orders(|store| {
        let mut watch = store.watch(&main()).unwrap();
        let waiting = {
            let store = store.clone();
            let is_last = move |id| store.commit(&id).unwrap().unwrap().meta().message == "last";
            thread::spawn(move || watch.find(|moved| moved.new.is_some_and(&is_last)))
        };
        writers(&store).into_iter().for_each(|writer| writer.join().unwrap());
        let last = Meta { message: "last".to_owned(), ..Meta::default() };
        store.update(&main(), last, |_| Ok::<_, TreeError>(())).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().new, head(&store));
    });
}
