//! Many seeds in which everything holds, and for each planted bug a seed that finds it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::planted::Planted;
use super::Sim;

/// How many seeds a run tries.
const SEEDS: u64 = 2500;

#[test]
fn everything_holds_whatever_goes_wrong() {
    for seed in 0..SEEDS {
        if catch_unwind(|| Sim::new(seed, None).run()).is_err() {
            panic!("seed {seed} fails; run `Sim::new({seed}, None).run()` to see it again");
        }
    }
}

/// Whether some seed fails with this bug planted.
#[track_caller]
fn check_found(bug: Planted) {
    let is_found =
        |seed| catch_unwind(AssertUnwindSafe(|| Sim::new(seed, Some(bug)).run())).is_err();
    assert!((0..SEEDS).any(is_found), "{bug:?} was planted, and no seed found it");
}

#[test]
fn running_before_it_is_durable_is_found() {
    check_found(Planted::UnpauseEarly);
}

#[test]
fn answering_before_it_is_durable_is_found() {
    check_found(Planted::ReplyEarly);
}

#[test]
fn telling_before_it_is_durable_is_found() {
    check_found(Planted::PublishEarly);
}

#[test]
fn answering_twice_is_found() {
    check_found(Planted::ReplyTwice);
}

#[test]
fn two_actions_at_once_are_found() {
    check_found(Planted::TwoActions);
}

#[test]
fn a_deadline_that_is_never_kept_is_found() {
    check_found(Planted::NeverTimeOut);
}

#[test]
fn a_wish_that_outlives_its_failed_commit_is_found() {
    check_found(Planted::KeepFailed);
}

#[test]
fn calls_without_bound_are_found() {
    check_found(Planted::Unbounded);
}

#[test]
fn a_domain_that_is_not_taken_up_is_found() {
    check_found(Planted::ForgetFound);
}
