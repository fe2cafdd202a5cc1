//! Owns the tests of shared flushes, with flushes that do nothing but wait for each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::backend::HeadChange;
use crate::name::BranchName;

fn change(name: &str) -> Asked {
    let change = HeadChange { branch: BranchName::new(name).unwrap(), old: None, new: None };
    Asked { changes: vec![change], epoch: None }
}

/// Waits until this many are in line. Who leads is not in line any more.
fn await_line(group: &Group, count: usize) {
    while group.line().waiting.len() < count {
        std::thread::yield_now();
    }
}

/// Holds a first flush back until eight more are in line, and gives the sizes of all flushes and
/// what the eight were told. Those with an even number are to win.
fn flushes(first: fn() -> Outcome) -> (Vec<usize>, Vec<Result<bool, StorageError>>) {
    let group = Group::default();
    let sizes = Mutex::new(Vec::new());
    let finished = AtomicUsize::new(0);
    let told = std::thread::scope(|scope| {
        let (group, sizes, finished) = (&group, &sizes, &finished);
        let leader = scope.spawn(move || {
            group.ask(change("first"), |asked| {
                sizes.lock().unwrap().push(asked.len());
                await_line(group, 8);
                first()
            })
        });
        while sizes.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        let others: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    let told = group.ask(change(&n.to_string()), |asked| {
                        sizes.lock().unwrap().push(asked.len());
                        let moved = asked.iter().map(|asked| is_even(asked)).collect();
                        finished.fetch_add(1, Ordering::SeqCst);
                        Outcome::Done(moved)
                    });
                    let is_flushed = finished.load(Ordering::SeqCst) > 0;
                    assert!(told.is_err() || is_flushed, "told before the flush was over");
                    told
                })
            })
            .collect();
        leader.join().unwrap().ok();
        others.into_iter().map(|other| other.join().unwrap()).collect()
    });
    (sizes.into_inner().unwrap(), told)
}

fn is_even(asked: &Asked) -> bool {
    asked.changes[0].branch.as_str().parse::<u32>().unwrap().is_multiple_of(2)
}

#[test]
fn all_who_wait_share_one_flush_and_are_told_what_is_theirs() {
    let (sizes, told) = flushes(|| Outcome::Done(vec![true]));
    assert_eq!(sizes, [1, 8]);
    for (n, told) in told.into_iter().enumerate() {
        assert_eq!(told.unwrap(), n % 2 == 0, "number {n}");
    }
}

#[test]
fn those_in_line_go_on_after_a_refusal() {
    let (sizes, told) = flushes(|| Outcome::Refused(StorageError::NoSpace));
    assert_eq!(sizes, [1, 8]);
    assert!(told.iter().all(Result::is_ok));
}

#[test]
fn nobody_goes_on_after_a_break() {
    let (sizes, told) = flushes(|| Outcome::Broken(StorageError::NoSpace));
    assert_eq!(sizes, [1]);
    assert!(told.iter().all(|told| matches!(told, Err(StorageError::Poisoned))));
}
