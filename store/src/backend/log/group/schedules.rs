//! Owns the tests of shared flushes whatever the interleaving of those who publish. That nobody
//! waits for ever is seen by the scheduler: it panics when all who are left wait.

use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread;

use super::*;
use crate::name::BranchName;

const PUBLISHERS: usize = 3;
const EACH: usize = 2;

/// What each was told, by number.
type Told = Vec<Result<bool, StorageError>>;

/// Lets all publish, each in turn as often as it may, with flushes of which that many succeed
/// before one ends so. What each was told, and who was in which flush.
fn publish(succeed: usize, end: fn() -> Outcome) -> (Told, Vec<Vec<usize>>) {
    let group = Arc::new(Group::default());
    let flushes = Arc::new(Mutex::new(Vec::new()));
    let is_flushing = Arc::new(AtomicBool::new(false));
    let publisher = |first: usize| {
        let (group, flushes, is_flushing) = (group.clone(), flushes.clone(), is_flushing.clone());
        let flush = move |asked: &[&Asked]| {
            assert!(!is_flushing.swap(true, Ordering::SeqCst), "two flushes at once");
            let numbers: Vec<usize> = asked.iter().map(|it| number(it)).collect();
            thread::yield_now();
            let mut flushes = flushes.lock().unwrap();
            flushes.push(numbers.clone());
            is_flushing.store(false, Ordering::SeqCst);
            if flushes.len() == succeed + 1 {
                return end();
            }
            Outcome::Done(numbers.into_iter().map(|number| number % 2 == 0).collect())
        };
        move || {
            let numbers = first * EACH..(first + 1) * EACH;
            numbers.map(|number| group.ask(change(number), &flush)).collect::<Told>()
        }
    };
    let threads: Vec<_> = (0..PUBLISHERS).map(|n| thread::spawn(publisher(n))).collect();
    let told = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let line = group.line();
    assert!(line.waiting.is_empty() && (line.is_broken || !line.is_led), "someone is left");
    drop(line);
    let flushes = flushes.lock().unwrap().clone();
    (told, flushes)
}

fn change(number: usize) -> Asked {
    let branch = BranchName::new(&number.to_string()).unwrap();
    Asked { changes: vec![HeadChange { branch, old: None, new: None }], epoch: None }
}

fn number(asked: &Asked) -> usize {
    asked.changes[0].branch.as_str().parse().unwrap()
}

/// How many interleavings of a test are run: at random, and with few switches at telling places.
fn in_many_orders(test: fn()) {
    shuttle::check_random(test, 1000);
    shuttle::check_pct(test, 1000, 3);
}

/// Nobody is in two flushes. Who is in which, by number.
fn flush_of(flushes: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut of = vec![None; PUBLISHERS * EACH];
    for (flush, numbers) in flushes.iter().enumerate() {
        for number in numbers {
            assert_eq!(of[*number].replace(flush), None, "{number} was served twice");
        }
    }
    of
}

#[test]
fn everyone_is_served_once() {
    in_many_orders(|| {
        let (told, flushes) = publish(usize::MAX - 1, || unreachable!());
        assert!(flush_of(&flushes).iter().all(Option::is_some), "{flushes:?}");
        for (number, told) in told.into_iter().enumerate() {
            assert_eq!(told.unwrap(), number % 2 == 0);
        }
    });
}

#[test]
fn a_refused_flush_tells_those_in_it_and_no_other() {
    in_many_orders(|| {
        let (told, flushes) = publish(1, || Outcome::Refused(StorageError::NoSpace));
        let of = flush_of(&flushes);
        for (number, told) in told.into_iter().enumerate() {
            match told {
                Err(StorageError::NoSpace) => assert_eq!(of[number], Some(1)),
                told => {
                    assert_eq!(told.unwrap(), number % 2 == 0);
                    assert_ne!(of[number].unwrap(), 1);
                }
            }
        }
    });
}

#[test]
fn a_broken_flush_tells_all_from_then_on() {
    in_many_orders(|| {
        let (told, flushes) = publish(1, || Outcome::Broken(StorageError::NoSpace));
        assert!(flushes.len() <= 2, "a flush after one that broke");
        let of = flush_of(&flushes);
        for (number, told) in told.into_iter().enumerate() {
            match of[number] {
                Some(0) => assert_eq!(told.unwrap(), number % 2 == 0),
                Some(_) => assert!(matches!(told, Err(StorageError::NoSpace)), "{told:?}"),
                None => assert!(matches!(told, Err(StorageError::Poisoned)), "{told:?}"),
            }
        }
    });
}
