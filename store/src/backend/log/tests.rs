//! Owns the tests of what one flush admits, which from outside is a matter of luck.

use super::*;

#[test]
fn of_two_in_one_flush_that_move_the_same_head_the_first_wins() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), LogOptions::default()).unwrap();
    let [a, b, c] = [b"c\x01ba", b"c\x01bb", b"c\x01bc"].map(|bytes| {
        log.put(&Id::of(bytes), bytes).unwrap();
        Id::of(bytes)
    });
    let change = |name: &str, old, new| {
        let branch = BranchName::new(name).unwrap();
        HeadChange { branch, old, new: Some(new) }
    };
    let asked: [&[HeadChange]; 5] = [
        &[change("x", None, a)],
        &[change("x", None, b)],
        // Loses on one branch, so it must not move the other either.
        &[change("y", None, b), change("x", None, b)],
        &[change("y", None, c)],
        &[change("x", Some(a), b)],
    ];
    let asked = asked.map(|changes| Asked { changes: changes.to_vec(), epoch: None });
    let Outcome::Done(moved) = log.flush(&asked.each_ref()) else { panic!("nothing fails here") };
    assert_eq!(moved, [true, false, false, true, true]);
    let heads = |log: &Log| log.branches().unwrap().into_iter().map(|(_, id)| id).collect();
    let expected: Vec<Id> = heads(&log);
    assert_eq!(expected, [b, c]);
    drop(log);
    let again: Vec<Id> = heads(&Log::open(folder.path(), LogOptions::default()).unwrap());
    assert_eq!(again, expected);
}
