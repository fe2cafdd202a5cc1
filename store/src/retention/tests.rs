//! Owns the tests of what keeps its tree, over random histories, against the rules as they are
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Keep, LetGo};
use crate::backend::{Memory, Source};
use crate::commit::{Commit, Meta};
use crate::id::Id;
use crate::name::BranchName;
use crate::store::Store;

const BRANCHES: usize = 5;

/// What was done: commits to a branch, merges of another one into it, and moves to another one.
#[derive(Clone, Copy, Debug)]
enum Action {
    Commit(usize),
    Merge(usize, usize),
    Move(usize, usize),
}

fn action() -> impl Strategy<Value = Action> {
    let branch = 0..BRANCHES;
    prop_oneof![
        4 => branch.clone().prop_map(Action::Commit),
        3 => (branch.clone(), branch.clone()).prop_map(|(into, from)| Action::Merge(into, from)),
        1 => (branch.clone(), branch).prop_map(|(branch, to)| Action::Move(branch, to)),
    ]
}

fn name(number: usize) -> BranchName {
    BranchName::new(&format!("branch/{number}")).unwrap()
}

fn act(store: &Store, action: Action, time_ms: u64) {
    let meta = Meta { time_ms, ..Meta::default() };
    match action {
        Action::Commit(to) => {
            store.update(&name(to), meta, |_| Ok::<(), ()>(())).unwrap();
        }
        Action::Merge(into, from) => {
            if let Some(from) = store.head(&name(from)).unwrap() {
                store.merge(&name(into), &from, meta).unwrap();
            }
        }
        Action::Move(branch, to) => {
            if let Some(to) = store.head(&name(to)).unwrap() {
                let mut batch = store.batch();
                batch.set(&name(branch), &to).unwrap();
                batch.publish().unwrap();
            }
        }
    }
}

/// All commits that branches lead to.
fn reachable(store: &Store) -> BTreeMap<Id, Commit> {
    let heads = store.branches().unwrap();
    let logs = heads.iter().flat_map(|(_, head)| store.log(head));
    logs.map(Result::unwrap).map(|commit| (commit.id(), commit)).collect()
}

/// What must not be kept, by the words of each rule.
fn expected(store: &Store, keep: &Keep) -> LetGo {
    let heads = store.branches().unwrap();
    let commits = reachable(store);
    let leads = |from: &Id, to: &Id| store.is_ancestor(to, from).unwrap();
    // The newest first. Of each, which heads and bases lead to it.
    let mut in_turn: Vec<&Commit> = commits.values().collect();
    in_turn.sort_by_key(|commit| std::cmp::Reverse((commit.generation(), commit.id())));
    let mut marks: BTreeSet<(Option<&BranchName>, Id)> =
        heads.iter().map(|(branch, head)| (Some(branch), *head)).collect();
    let mut bases = BTreeSet::new();
    for commit in in_turn {
        let id = commit.id();
        let colour = |of: &Id| -> BTreeSet<_> {
            marks.iter().filter(|(_, mark)| leads(mark, of)).copied().collect()
        };
        let mut children = commits.values().filter(|child| child.parents().contains(&id));
        if !children.any(|child| colour(&child.id()) == colour(&id)) {
            bases.insert(id);
            marks.insert((None, id));
        }
    }
    let mut kept = BTreeSet::new();
    for (_, head) in &heads {
        let newest = store.log(head).take(keep.newest.max(1));
        kept.extend(newest.map(|commit| commit.unwrap().id()));
    }
    for (id, commit) in &commits {
        let is_base = bases.contains(id);
        let named = heads.iter().filter(|(branch, _)| keep.branches.contains(branch));
        let is_named = named.into_iter().any(|(_, head)| leads(head, id));
        let is_young = keep.since_ms.is_some_and(|since| commit.meta().time_ms >= since);
        if is_base || is_named || is_young {
            kept.insert(*id);
        }
    }
    let others: Vec<&Commit> = commits.values().filter(|it| !kept.contains(&it.id())).collect();
    let before_ms = others.iter().map(|commit| commit.meta().time_ms + 1).max().unwrap_or(0);
    LetGo { commits: others.iter().map(|commit| commit.id()).collect(), before_ms }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_the_rules_say_is_kept_and_so_is_every_base(
        actions in prop::collection::vec((action(), 0..50u64), 0..60),
        newest in 0..6usize,
        since_ms in prop::option::of(0..60u64),
        named in prop::collection::vec((0..BRANCHES).prop_map(name), 0..2),
    ) {
        let backend = Arc::new(Memory::new());
        let store = Store::on(backend.clone()).unwrap();
        for (action, time_ms) in actions {
            act(&store, action, time_ms);
        }
        let keep = Keep { newest, since_ms, branches: named };
        let heads = store.branches().unwrap();
        let let_go = keep.of(&Source::new(backend), &heads).unwrap();
        prop_assert_eq!(&let_go, &expected(&store, &keep));
        for (_, a) in &heads {
            for (_, b) in &heads {
                let lcas = store.lcas(a, b).unwrap();
                prop_assert!(!lcas.iter().any(|base| let_go.commits.contains(base)));
            }
        }
    }
}

#[test]
fn of_a_long_line_little_is_kept() {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    (0..1000).for_each(|time| act(&store, Action::Commit(0), time));
    (0..1000).for_each(|time| act(&store, Action::Merge(1, 0), 1000 + time));
    act(&store, Action::Commit(0), 3000);
    let keep = Keep { newest: 10, ..Keep::default() };
    let let_go = keep.of(&Source::new(backend), &store.branches().unwrap()).unwrap();
    let kept = reachable(&store).len() - let_go.commits.len();
    assert!(kept <= 25, "{kept}");
}

/// As a toolstack does it: subjects have branches of their own, and each of their commits is
/// merged into one branch.
#[test]
fn of_subjects_that_are_merged_one_by_one_little_is_kept() {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    for time in 0..600 {
        let subject = 1 + time as usize % (BRANCHES - 1);
        act(&store, Action::Commit(subject), time);
        act(&store, Action::Merge(0, subject), time);
    }
    let keep = Keep { newest: 10, ..Keep::default() };
    let let_go = keep.of(&Source::new(backend), &store.branches().unwrap()).unwrap();
    let kept = reachable(&store).len() - let_go.commits.len();
    assert!(kept <= 10 * BRANCHES, "{kept}");
}
