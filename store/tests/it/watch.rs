//! Owns the tests of watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use jitsu_store::{HeadMoved, Store};

use crate::fixture::{branch, write};

#[test]
fn movements_are_told_and_joined() {
    let store = Store::memory();
    let main = branch("main");
    let mut watch = store.watch(&main).unwrap();
    assert_eq!(watch.try_next(), None);
    let moved = |old, new| Some(HeadMoved { branch: branch("main"), old, new });
    let first = write(&store, "main", "a", "1", 1).id();
    write(&store, "other", "a", "1", 1);
    assert_eq!(watch.try_next(), moved(None, Some(first)));
    assert_eq!(watch.try_next(), None);
    let _second = write(&store, "main", "a", "2", 2);
    let third = write(&store, "main", "a", "3", 3).id();
    assert_eq!(watch.next(), moved(Some(first), Some(third)));
    assert_eq!(watch.next_timeout(Duration::from_millis(1)), None);
    let mut late = store.watch(&main).unwrap();
    let mut batch = store.batch();
    batch.delete(&main).unwrap();
    batch.publish().unwrap();
    assert_eq!(watch.next_timeout(Duration::from_secs(60)), moved(Some(third), None));
    assert_eq!(late.try_next(), moved(Some(third), None));
}

#[test]
fn a_head_that_came_back_did_not_move() {
    let store = Store::memory();
    let main = branch("main");
    let first = write(&store, "main", "a", "1", 1).id();
    let mut watch = store.watch(&main).unwrap();
    write(&store, "main", "a", "2", 2);
    let mut batch = store.batch();
    batch.set(&main, &first).unwrap();
    batch.publish().unwrap();
    assert_eq!(watch.try_next(), None);
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_once_for_what_it_waits_for() {
    let store = Store::memory();
    let main = branch("main");
    let mut watch = store.watch(&main).unwrap();
    let mut other = store.watch(&main).unwrap();
    let (woken, other_woken) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let (waker, other_waker) = (Waker::from(woken.clone()), Waker::from(other_woken.clone()));
    let (mut task, mut other_task) =
        (Context::from_waker(&waker), Context::from_waker(&other_waker));
    let count = || woken.0.load(Ordering::SeqCst);
    assert_eq!(watch.poll_moved(&mut task), Poll::Pending);
    assert_eq!(watch.poll_moved(&mut task), Poll::Pending);
    assert_eq!(other.poll_moved(&mut other_task), Poll::Pending);
    write(&store, "other", "a", "1", 1);
    assert_eq!(count(), 0);
    let new = Some(write(&store, "main", "a", "1", 1).id());
    assert_eq!((count(), other_woken.0.load(Ordering::SeqCst)), (1, 1));
    let moved = |old, new| Poll::Ready(Some(HeadMoved { branch: branch("main"), old, new }));
    assert_eq!(watch.poll_moved(&mut task), moved(None, new));
    assert_eq!(watch.poll_moved(&mut task), Poll::Pending);
    // Who waits no more is kept nowhere.
    assert_eq!(other.poll_moved(&mut other_task), moved(None, new));
    assert_eq!(other.poll_moved(&mut other_task), Poll::Pending);
    let held = Arc::strong_count(&other_woken);
    drop(other);
    assert_eq!(Arc::strong_count(&other_woken), held - 1);
    drop(store);
    assert_eq!(count(), 2);
    assert_eq!(watch.poll_moved(&mut task), Poll::Ready(None));
}

#[test]
fn a_watch_ends_with_its_store() {
    let store = Store::memory();
    let mut watch = store.watch(&branch("main")).unwrap();
    let waiting = std::thread::spawn(move || watch.by_ref().count());
    drop(store);
    assert_eq!(waiting.join().unwrap(), 0);
}

#[test]
fn a_watch_waits_and_hears_the_last_of_many() {
    let store = Store::memory();
    let main = branch("main");
    let watch = store.watch(&main).unwrap();
    let heard = std::thread::spawn(move || watch.collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20 {
                    write(store, &format!("other/{thread}"), "a", "1", n);
                }
            });
        }
        for n in 0..100 {
            write(&store, "main", "a", &n.to_string(), n);
        }
    });
    let last = store.head(&main).unwrap().map(|head| head.id());
    drop(store);
    let heard = heard.join().unwrap();
    assert_eq!(heard.first().unwrap().old, None);
    assert_eq!(heard.last().unwrap().new, last);
    assert!(heard.windows(2).all(|pair| pair[0].new == pair[1].old));
    assert!(heard.iter().all(|moved| moved.branch == main && moved.old != moved.new));
}
