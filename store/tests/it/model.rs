//! Owns the model of histories: random branching and merging, against sets of edits.
//!
//! Every edit is done once, so that what a commit must hold follows from which edits are among
//! its ancestors, however they came together. A merge that counts an edit twice, or loses one, is
//! seen at once; criss-cross merges are where that would happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jitsu_store::backend::{Log, Memory};
use jitsu_store::{Batch, BranchName, Commit, Contents, Id, Merged, Register, Store, Tree};
use proptest::prelude::*;

use crate::conformance::small;
use crate::disk::SimDisk;
use crate::fixture::{all, at, branch, path, text};

const BRANCHES: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    Edit(usize, Change),
    Merge {
        into: usize,
        from: usize,
    },
    /// Moves a branch to where another one is.
    Move {
        branch: usize,
        to: usize,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Count(i64),
    Write,
    /// Adds a member to the set, and some files.
    Add(u8),
    /// Removes one of the members, and its files, that are there.
    Remove(prop::sample::Index),
}

/// An edit and what it did.
#[derive(Clone, Debug)]
enum Done {
    Counted(i64),
    Wrote,
    Added(u8),
    Removed(usize),
}

/// What is known of a commit: the commits and the edits that led to it, itself included.
#[derive(Clone, Default)]
struct Known {
    commits: BTreeSet<Id>,
    edits: BTreeSet<usize>,
}

#[derive(Clone, Default)]
struct Model {
    edits: Vec<Done>,
    known: HashMap<Id, Known>,
    heads: BTreeMap<BranchName, Id>,
}

fn name(number: usize) -> BranchName {
    branch(&format!("branch/{number}"))
}

impl Model {
    fn edits_at(&self, branch: &BranchName) -> BTreeSet<usize> {
        let head = self.heads.get(branch);
        head.map(|head| self.known[head].edits.clone()).unwrap_or_default()
    }

    /// The members that must be at a commit: added, and removed by nobody.
    fn members(&self, edits: &BTreeSet<usize>) -> Vec<usize> {
        let removed: BTreeSet<usize> = edits
            .iter()
            .filter_map(|edit| match self.edits[*edit] {
                Done::Removed(member) => Some(member),
                _ => None,
            })
            .collect();
        let added = edits.iter().filter(|edit| matches!(self.edits[**edit], Done::Added(_)));
        added.copied().filter(|edit| !removed.contains(edit)).collect()
    }

    /// What a tree must hold after these edits.
    fn expected(&self, edits: &BTreeSet<usize>) -> Tree {
        let mut tree = Tree::empty();
        let count: i64 = edits
            .iter()
            .filter_map(|edit| match self.edits[*edit] {
                Done::Counted(by) => Some(by),
                _ => None,
            })
            .sum();
        if edits.iter().any(|edit| matches!(self.edits[*edit], Done::Counted(_))) {
            tree.set(&path("count"), Contents::Counter(count)).unwrap();
        }
        if let Some(last) = edits.iter().rev().find(|it| matches!(self.edits[**it], Done::Wrote)) {
            tree.set(&path("last"), register(*last)).unwrap();
        }
        let members = self.members(edits);
        if edits.iter().any(|edit| matches!(self.edits[*edit], Done::Added(_))) {
            tree.set(&path("set"), set(&members)).unwrap();
        }
        for member in members {
            let Done::Added(files) = self.edits[member] else { unreachable!() };
            for file in 0..files {
                tree.set(&path(&format!("files/{member}-{file}")), text("here")).unwrap();
            }
        }
        tree
    }

    fn learn(&mut self, branch: &BranchName, id: Id, parents: &[Id], edit: Option<usize>) {
        let mut known = Known::default();
        for parent in parents {
            known.commits.extend(&self.known[parent].commits);
            known.edits.extend(&self.known[parent].edits);
        }
        known.commits.insert(id);
        known.edits.extend(edit);
        self.known.insert(id, known);
        self.heads.insert(branch.clone(), id);
    }
}

fn register(edit: usize) -> Contents {
    let value = edit.to_string().into_bytes().into();
    Contents::Register(Register { time_ms: edit as u64, tie_break: 0, value })
}

fn set(members: &[usize]) -> Contents {
    Contents::set(members.iter().map(|member| member.to_string().into_bytes()))
}

fn act(action: &Action, batch: &mut Batch, model: &mut Model) {
    match action {
        Action::Edit(on, change) => edit(&name(*on), change, batch, model),
        Action::Merge { into, from } => {
            let (into, from) = (name(*into), name(*from));
            let Some(from) = model.heads.get(&from).copied() else { return };
            let head = model.heads.get(&into).copied();
            let is_merged = head.is_some_and(|head| model.known[&head].commits.contains(&from));
            match batch.merge(&into, &from, at(1_000_000 + model.known.len() as u64)).unwrap() {
                Merged::Already => assert!(is_merged, "an unmerged commit passed for merged"),
                Merged::Conflicts(conflicts) => panic!("{}", conflicts[0]),
                Merged::Commit(commit) => {
                    assert!(!is_merged, "a merged commit was merged again");
                    let parents: Vec<Id> = head.into_iter().chain([from]).collect();
                    assert_eq!(commit.parents(), parents);
                    model.learn(&into, commit.id(), &parents, None);
                    let expected = model.expected(&model.known[&commit.id()].edits);
                    assert_eq!(all(&commit.tree()), all(&expected));
                    assert_eq!(commit.tree().id(), expected.id());
                }
            }
        }
        Action::Move { branch, to } => {
            let Some(to) = model.heads.get(&name(*to)).copied() else { return };
            batch.set(&name(*branch), &to).unwrap();
            model.heads.insert(name(*branch), to);
        }
    }
}

fn edit(on: &BranchName, change: &Change, batch: &mut Batch, model: &mut Model) {
    let edits = model.edits_at(on);
    let number = model.edits.len();
    let done = match change {
        Change::Count(by) => Done::Counted(*by),
        Change::Write => Done::Wrote,
        Change::Add(files) => Done::Added(*files),
        Change::Remove(index) => {
            let members = model.members(&edits);
            if members.is_empty() {
                return;
            }
            Done::Removed(members[index.index(members.len())])
        }
    };
    model.edits.push(done);
    let head = batch.head(on).unwrap();
    let mut tree = head.as_ref().map(Commit::tree).unwrap_or_default();
    let after: BTreeSet<usize> = edits.iter().copied().chain([number]).collect();
    // The tree is edited, not replaced, so that it shares with its parent what it should.
    let expected = model.expected(&after);
    for path in all(&tree).keys() {
        if expected.get(path).unwrap().is_none() {
            tree.remove(path).unwrap();
        }
    }
    for (path, contents) in all(&expected) {
        if tree.get(&path).unwrap().as_ref() != Some(&contents) {
            tree.set(&path, contents).unwrap();
        }
    }
    let commit = batch.commit(on, tree, at(number as u64)).unwrap();
    let parents: Vec<Id> = head.iter().map(Commit::id).collect();
    model.learn(on, commit.id(), &parents, Some(number));
}

/// The lowest common ancestors, found by comparing everything with everything.
fn lowest(model: &Model, a: &Id, b: &Id) -> Vec<Id> {
    let common: Vec<Id> =
        model.known[a].commits.intersection(&model.known[b].commits).copied().collect();
    let is_above =
        |id: &Id| common.iter().any(|other| other != id && model.known[other].commits.contains(id));
    common.iter().filter(|id| !is_above(id)).copied().collect()
}

fn check_ancestry(store: &Store, model: &Model) {
    let heads: Vec<Id> = model.heads.values().copied().collect();
    for a in &heads {
        for b in &heads {
            assert_eq!(store.lcas(a, b).unwrap(), lowest(model, a, b));
            let is_ancestor = model.known[b].commits.contains(a);
            assert_eq!(store.is_ancestor(a, b).unwrap(), is_ancestor);
        }
        check_log(store, model, a);
    }
}

fn check_log(store: &Store, model: &Model, head: &Id) {
    let log: Vec<_> = store.log(head).map(Result::unwrap).collect();
    let ids: BTreeSet<Id> = log.iter().map(Commit::id).collect();
    assert_eq!(ids.len(), log.len(), "a commit is told twice");
    assert_eq!(ids, model.known[head].commits);
    let mut told = BTreeSet::new();
    for commit in log.iter().rev() {
        assert!(commit.parents().iter().all(|parent| told.contains(parent)), "told too early");
        told.insert(commit.id());
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    let change = prop_oneof![
        (-5..5i64).prop_map(Change::Count),
        Just(Change::Write),
        prop_oneof![0..3u8, 10..20u8].prop_map(Change::Add),
        any::<prop::sample::Index>().prop_map(Change::Remove),
    ];
    prop_oneof![
        5 => (0..BRANCHES, change).prop_map(|(branch, change)| Action::Edit(branch, change)),
        6 => (0..BRANCHES, 0..BRANCHES).prop_map(|(into, from)| Action::Merge { into, from }),
        1 => (0..BRANCHES, 0..BRANCHES).prop_map(|(branch, to)| Action::Move { branch, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn histories_hold_every_edit_once(
        batches in prop::collection::vec(
            (prop::collection::vec(any_action(), 1..8), prop::bool::weighted(0.9)),
            1..12,
        ),
        kind in 0..3,
    ) {
        let hashed: Arc<dyn jitsu_store::Backend> = if kind == 0 {
            Arc::new(Log::open_on(Arc::new(SimDisk::new()), small()).unwrap())
        } else {
            Arc::new(Memory::new())
        };
        let mut store = Store::on(hashed.clone()).unwrap();
        let mut model = run(&store, &batches)?;
        check_ancestry(&store, &model);
        if kind == 2 {
            // Values are hashed as late as can be, and have the very ids that objects have.
            store = Store::memory();
            let values = run(&store, &batches)?;
            prop_assert_eq!(&values.heads, &model.heads);
            check_ancestry(&store, &values);
        } else {
            // Another store, which remembers nothing, merges in the same way.
            store = Store::on(hashed).unwrap();
        }
        let mut batch = store.batch();
        for (into, from) in (0..BRANCHES).zip((0..BRANCHES).rev()) {
            act(&Action::Merge { into, from }, &mut batch, &mut model);
        }
        batch.publish().unwrap();
    }
}

/// What is done together, and whether it is published.
type Together = (Vec<Action>, bool);

fn run(store: &Store, batches: &[Together]) -> Result<Model, TestCaseError> {
    let mut model = Model::default();
    for (actions, is_published) in batches {
        let before = model.heads.clone();
        let mut batch = store.batch();
        for action in actions {
            act(action, &mut batch, &mut model);
        }
        if *is_published {
            batch.publish().unwrap();
        } else {
            model.heads = before;
        }
        let heads: BTreeMap<_, _> = store.branches().unwrap().into_iter().collect();
        prop_assert_eq!(&heads, &model.heads);
    }
    Ok(model)
}

/// Two branches that merge each other at the same time, over and over.
#[test]
fn a_long_criss_cross_counts_everything_once() {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    let mut model = Model::default();
    let mut batch = store.batch();
    act(&Action::Edit(0, Change::Count(1)), &mut batch, &mut model);
    act(&Action::Merge { into: 1, from: 0 }, &mut batch, &mut model);
    batch.publish().unwrap();
    for round in 0..150 {
        let mut batch = store.batch();
        for branch in [0, 1] {
            act(&Action::Edit(branch, Change::Count(round)), &mut batch, &mut model);
        }
        let old: Vec<Id> = [0, 1].map(|number| model.heads[&name(number)]).to_vec();
        act(&Action::Move { branch: 2, to: 0 }, &mut batch, &mut model);
        act(&Action::Merge { into: 0, from: 1 }, &mut batch, &mut model);
        act(&Action::Merge { into: 1, from: 2 }, &mut batch, &mut model);
        batch.publish().unwrap();
        let new: Vec<Id> = [0, 1].map(|number| model.heads[&name(number)]).to_vec();
        let mut old = old;
        old.sort_unstable();
        assert_eq!(store.lcas(&new[0], &new[1]).unwrap(), old);
    }
    // One who has not seen the earlier merges has to make all bases anew.
    let forgetful = Store::on(backend).unwrap();
    let mut batch = forgetful.batch();
    act(&Action::Merge { into: 0, from: 1 }, &mut batch, &mut model);
    batch.publish().unwrap();
}
