//! Owns the tests of queues: against plain lists, over random histories, and what they cost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jitsu_store::backend::{Backend, HeadChange, Memory};
use jitsu_store::{
    Batch, Commit, Contents, Id, Merged, ObjectKind, Queue, StorageError, Store, Tree,
};
use proptest::prelude::*;

use crate::counted::{Cost, Counted};
use crate::fixture::{at, branch, merged, path};

/// An element that no other push has. Some are objects of their own.
fn element(number: usize) -> Contents {
    let length = if number.is_multiple_of(7) { 100 } else { 0 };
    Contents::text(format!("{number:0length$}"))
}

fn number(element: &Contents) -> usize {
    element.as_text().unwrap().parse().unwrap()
}

fn numbers(queue: &Queue) -> Vec<usize> {
    queue.iter().map(|element| number(&element.unwrap())).collect()
}

fn of(numbers: impl IntoIterator<Item = usize>) -> Queue {
    let mut queue = Queue::new();
    numbers.into_iter().for_each(|number| queue.push(element(number)).unwrap());
    queue
}

fn get(tree: &Tree) -> Queue {
    match tree.get(&path("queue")).unwrap() {
        Some(Contents::Queue(queue)) => queue,
        None => Queue::new(),
        Some(other) => panic!("{other}"),
    }
}

fn set(tree: &mut Tree, queue: Queue) {
    tree.set(&path("queue"), Contents::Queue(queue)).unwrap();
}

fn head(batch: &mut Batch, name: &str) -> Tree {
    batch.head(&branch(name)).unwrap().map(|head| head.tree()).unwrap_or_default()
}

/// Changes the queue of a branch, in a commit of its own.
fn change(batch: &mut Batch, name: &str, time: u64, edit: impl FnOnce(&mut Queue)) -> Commit {
    let mut tree = head(batch, name);
    let mut queue = get(&tree);
    edit(&mut queue);
    set(&mut tree, queue);
    batch.commit(&branch(name), tree, at(time)).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Pop(usize),
    /// Commits, and goes on with what the store loads.
    Reload,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![1..4usize, 20..70usize].prop_map(Step::Push),
        4 => prop_oneof![1..4usize, 20..60usize].prop_map(Step::Pop),
        1 => Just(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_queue_is_a_queue(
        steps in prop::collection::vec(any_step(), 1..40),
        bulk in prop_oneof![4 => Just(0usize), 1 => 0..3000usize],
    ) {
        let store = Store::on(Arc::new(Counted::default())).unwrap();
        let (mut queue, mut model) = (of(0..bulk), (0..bulk).collect::<VecDeque<_>>());
        let mut next = bulk;
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    queue.push(element(next)).unwrap();
                    model.push_back(next);
                    next += 1;
                },
                Step::Pop(count) => for _ in 0..count {
                    let popped = queue.pop().unwrap().as_ref().map(number);
                    prop_assert_eq!(popped, model.pop_front());
                },
                Step::Reload => {
                    let mut batch = store.batch();
                    let commit = change(&mut batch, "main", 1, |it| *it = queue.clone());
                    batch.publish().unwrap();
                    let loaded = get(&store.commit(&commit.id()).unwrap().unwrap().tree());
                    prop_assert!(Contents::Queue(loaded.clone()) == Contents::Queue(queue));
                    queue = loaded;
                }
            }
            prop_assert_eq!(queue.len(), model.len() as u64);
            prop_assert_eq!(queue.is_empty(), model.is_empty());
            prop_assert_eq!(queue.peek().unwrap().as_ref().map(number), model.front().copied());
        }
        prop_assert_eq!(numbers(&queue), Vec::from(model));
    }
}

const BRANCHES: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    Push(usize, usize),
    Pop(usize, usize),
    Merge { into: usize, from: usize },
}

/// A commit, as the model knows it.
struct Known {
    list: Vec<usize>,
    /// All commits that led to it, itself included.
    commits: BTreeSet<Id>,
    /// Everything that was popped on the way.
    popped: BTreeSet<usize>,
    pushed: BTreeSet<usize>,
    order: (u64, Id),
}

#[derive(Default)]
struct Model {
    known: BTreeMap<Id, Known>,
    heads: BTreeMap<usize, Id>,
    next: usize,
}

impl Model {
    fn learn(&mut self, on: usize, commit: &Commit, list: Vec<usize>) -> &mut Known {
        let order = (commit.meta().time_ms, commit.id());
        let (mut commits, mut pushed, mut popped) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for parent in commit.parents() {
            let parent = &self.known[&parent];
            commits.extend(&parent.commits);
            pushed.extend(&parent.pushed);
            popped.extend(&parent.popped);
        }
        commits.insert(commit.id());
        self.heads.insert(on, commit.id());
        self.known.insert(commit.id(), Known { list, commits, popped, pushed, order });
        self.known.get_mut(&commit.id()).unwrap()
    }

    fn list(&self, on: usize) -> Vec<usize> {
        self.heads.get(&on).map(|head| self.known[head].list.clone()).unwrap_or_default()
    }

    /// What a merge starts from: the lowest common ancestors, merged one after the other.
    fn base(&self, a: &[Id], b: &[Id]) -> Vec<usize> {
        let above = |ids: &[Id]| {
            let commits = ids.iter().flat_map(|id| self.known[id].commits.iter().copied());
            commits.collect::<BTreeSet<Id>>()
        };
        let common: Vec<Id> = above(a).intersection(&above(b)).copied().collect();
        let is_lowest = |id: &&Id| {
            common.iter().all(|other| other == *id || !self.known[other].commits.contains(id))
        };
        let mut lowest: Vec<Id> = common.iter().filter(is_lowest).copied().collect();
        lowest.sort_by_key(|id| self.known[id].order);
        let Some(first) = lowest.first() else { return Vec::new() };
        let mut list = self.known[first].list.clone();
        for at in 1..lowest.len() {
            let base = self.base(&lowest[..at], &lowest[at..=at]);
            list = merge_lists(&base, &list, &self.known[&lowest[at]].list);
        }
        list
    }
}

/// The merge of lists whose elements are known by their values, the plain way.
fn merge_lists(base: &[usize], first: &[usize], second: &[usize]) -> Vec<usize> {
    let is_popped = |it: &&usize| base.contains(it) && !second.contains(it);
    let kept: Vec<usize> = first.iter().filter(|it| !is_popped(it)).copied().collect();
    let (mut gap, mut added) = (0, vec![Vec::new(); kept.len() + 1]);
    for element in second {
        match kept.iter().position(|it| it == element) {
            Some(at) => gap = gap.max(at + 1),
            None if base.contains(element) => {}
            None => {
                while kept.get(gap).is_some_and(|it| !second.contains(it)) {
                    gap += 1;
                }
                added[gap].push(*element);
            }
        }
    }
    let mut merged = Vec::new();
    for (at, added) in added.into_iter().enumerate() {
        merged.extend(added);
        merged.extend(kept.get(at));
    }
    merged
}

/// The elements of a list that are in another one.
fn only(list: &[usize], of: &[usize]) -> Vec<usize> {
    list.iter().filter(|it| of.contains(it)).copied().collect()
}

fn name(number: usize) -> String {
    format!("branch/{number}")
}

fn act(action: &Action, time: u64, batch: &mut Batch, model: &mut Model) {
    match *action {
        Action::Push(on, count) => {
            let pushed = model.next..model.next + count;
            model.next = pushed.end;
            let commit = change(batch, &name(on), time, |queue| {
                pushed.clone().for_each(|number| queue.push(element(number)).unwrap());
            });
            let list = model.list(on).into_iter().chain(pushed.clone()).collect();
            model.learn(on, &commit, list).pushed.extend(pushed);
        }
        Action::Pop(on, count) => {
            let mut popped = Vec::new();
            let commit = change(batch, &name(on), time, |queue| {
                let pops = (0..count).map_while(|_| queue.pop().unwrap());
                popped = pops.map(|element| number(&element)).collect();
            });
            let mut list = model.list(on);
            let expected: Vec<usize> = list.drain(..count.min(list.len())).collect();
            assert_eq!(popped, expected);
            model.learn(on, &commit, list).popped.extend(popped);
        }
        Action::Merge { into, from } => merge(into, from, time, batch, model),
    }
}

fn merge(into: usize, from: usize, time: u64, batch: &mut Batch, model: &mut Model) {
    let Some(theirs) = model.heads.get(&from).copied() else { return };
    let ours = model.heads.get(&into).copied();
    // The other way round first, where nobody looks later.
    let mut mirror = None;
    if let Some(ours) = ours {
        batch.set(&branch("mirror"), &theirs).unwrap();
        mirror = Some(batch.merge(&branch("mirror"), &ours, at(time)).unwrap());
    }
    let commit = match batch.merge(&branch(&name(into)), &theirs, at(time)).unwrap() {
        Merged::Already => return,
        Merged::Conflicts(conflicts) => panic!("{}", conflicts[0]),
        Merged::Commit(commit) => commit,
    };
    if let Some(Merged::Commit(mirror)) = mirror {
        assert_eq!(mirror.tree().id(), commit.tree().id(), "it depends on who merges");
    }
    let mut list = model.known[&theirs].list.clone();
    if let Some(ours) = ours {
        let base = model.base(&[ours], &[theirs]);
        let mut sides = [ours, theirs].map(|id| &model.known[&id]);
        sides.sort_by_key(|side| side.order);
        let [first, second] = sides.map(|side| &side.list);
        list = merge_lists(&base, first, second);
        assert_eq!(only(&list, first), only(first, &list), "the order of the first side");
        let own: Vec<usize> = second.iter().filter(|it| !first.contains(it)).copied().collect();
        assert_eq!(only(&list, &own), only(&own, &list), "the order of the second side");
        // A side that did nothing has no say, not even over an order that it got by other merges.
        let set = |list: &[usize]| list.iter().copied().collect::<BTreeSet<usize>>();
        if set(&base) == set(first) && numbers(&get(&commit.tree())) == *second {
            list.clone_from(second);
        }
    }
    assert_eq!(numbers(&get(&commit.tree())), list);
    let known = model.learn(into, &commit, list);
    let expected: BTreeSet<usize> = known.pushed.difference(&known.popped).copied().collect();
    assert_eq!(known.list.len(), expected.len(), "something is there twice");
    assert_eq!(known.list.iter().copied().collect::<BTreeSet<_>>(), expected);
}

fn any_action() -> impl Strategy<Value = Action> {
    let count = || prop_oneof![1..4usize, 30..40usize];
    prop_oneof![
        3 => (0..BRANCHES, count()).prop_map(|(on, count)| Action::Push(on, count)),
        2 => (0..BRANCHES, count()).prop_map(|(on, count)| Action::Pop(on, count)),
        5 => (0..BRANCHES, 0..BRANCHES).prop_map(|(into, from)| Action::Merge { into, from }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn histories_keep_what_was_pushed_and_not_popped(
        actions in prop::collection::vec((any_action(), 0..1000u64), 1..60),
        together in 1..5usize,
    ) {
        let backend = Arc::new(Counted::default());
        let mut model = Model::default();
        for actions in actions.chunks(together) {
            // Each time a store that remembers nothing, so that all is loaded again.
            let store = Store::on(backend.clone()).unwrap();
            let mut batch = store.batch();
            for (action, time) in actions {
                act(action, *time, &mut batch, &mut model);
            }
            batch.publish().unwrap();
        }
    }
}

/// A subject that is merged into `main` at every step, where each pushes between the other's.
#[test]
fn one_way_merges_again_and_again() {
    let store = Store::memory();
    let mut model = Model::default();
    for round in 0..200 {
        let mut batch = store.batch();
        for (step, action) in [
            Action::Push(1, 1 + round % 3),
            Action::Push(0, 1 + round % 2),
            Action::Pop(0, 2),
            Action::Merge { into: 0, from: 1 },
            Action::Pop(1, round % 2),
        ]
        .iter()
        .enumerate()
        {
            act(action, (5 * round + step) as u64, &mut batch, &mut model);
        }
        batch.publish().unwrap();
    }
}

/// Two branches that merge each other at the same time, over and over, and pop in between.
#[test]
fn a_long_criss_cross_keeps_everything_once() {
    let store = Store::memory();
    let mut model = Model::default();
    let mut batch = store.batch();
    act(&Action::Push(0, 100), 0, &mut batch, &mut model);
    act(&Action::Merge { into: 1, from: 0 }, 1, &mut batch, &mut model);
    for round in 0..60 {
        let time = 10 * round as u64;
        for on in [0, 1] {
            act(&Action::Push(on, 2), time + on as u64, &mut batch, &mut model);
            act(&Action::Pop(on, 1 + (round + on) % 3), time + 3, &mut batch, &mut model);
        }
        let old = model.heads[&0];
        batch.set(&branch(&name(2)), &old).unwrap();
        model.heads.insert(2, old);
        act(&Action::Merge { into: 0, from: 1 }, time + 5, &mut batch, &mut model);
        act(&Action::Merge { into: 1, from: 2 }, time + 5, &mut batch, &mut model);
    }
    batch.publish().unwrap();
}

#[test]
fn equal_elements_are_pushed_twice_and_popped_twice() {
    let store = Store::memory();
    let mut batch = store.batch();
    let push = |queue: &mut Queue| queue.push(Contents::text("same")).unwrap();
    let base = change(&mut batch, "main", 0, push);
    batch.set(&branch("side"), &base).unwrap();
    let again = |queue: &mut Queue| {
        queue.pop().unwrap().unwrap();
        push(queue);
    };
    change(&mut batch, "main", 1, again);
    let side = change(&mut batch, "side", 2, again);
    let both = merged(batch.merge(&branch("main"), &side.id(), at(3)).unwrap());
    assert_eq!(get(&both.tree()).len(), 2);
    change(&mut batch, "main", 4, |queue| drop(queue.pop().unwrap()));
    let side = change(&mut batch, "side", 5, push);
    let both = merged(batch.merge(&branch("main"), &side.id(), at(6)).unwrap());
    assert_eq!(get(&both.tree()).len(), 2, "one is popped, one is new");
}

/// Elements at the same position of lineages that agree, by chance, are still two.
#[test]
fn a_base_may_hold_the_same_twice() {
    let store = Store::memory();
    let mut batch = store.batch();
    let push = |queue: &mut Queue| queue.push(Contents::text("same")).unwrap();
    change(&mut batch, "main", 0, push);
    let side = change(&mut batch, "side", 1, push);
    let base = merged(batch.merge(&branch("main"), &side.id(), at(2)).unwrap());
    batch.set(&branch("side"), &base).unwrap();
    change(&mut batch, "main", 3, |queue| drop(queue.pop().unwrap()));
    let side = change(&mut batch, "side", 4, push);
    let both = merged(batch.merge(&branch("main"), &side.id(), at(5)).unwrap());
    assert_eq!(get(&both.tree()).len(), 2, "of three one is popped");
}

/// All objects of a kind in a backend.
fn objects(backend: &Memory, kind: ObjectKind) -> Vec<Id> {
    backend.ids_with_prefix(kind, &"".parse().unwrap(), usize::MAX).unwrap()
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    const OLD: usize = 3000;
    const NEW: usize = 40;
    let whole = Arc::new(Memory::new());
    let mut batch = Store::on(whole.clone()).unwrap().batch();
    // Whoever pops has let go of some blocks, in the middle of a branch.
    let base = change(&mut batch, "main", 1, |queue| {
        *queue = of(0..OLD);
        (0..100).for_each(|_| drop(queue.pop().unwrap()));
    });
    batch.publish().unwrap();
    let kinds = [ObjectKind::Contents, ObjectKind::Part, ObjectKind::Node, ObjectKind::Commit];
    let all: Vec<Id> = kinds.iter().flat_map(|kind| objects(&whole, *kind)).collect();
    let mut failures = 0;
    for lost in objects(&whole, ObjectKind::Part) {
        let there = Arc::new(Memory::new());
        let give = |id: &Id| there.put(id, &whole.get(id).unwrap().unwrap()).unwrap();
        all.iter().filter(|id| **id != lost).for_each(give);
        let (branch, new) = (branch("main"), Some(base.id()));
        assert!(there.set_heads(&[HeadChange { branch, old: None, new }]).unwrap());
        let mut queue = get(&head(&mut Store::on(there.clone()).unwrap().batch(), "main"));
        // Does it a second time, once it can be read.
        let mut done = |queue: &mut Queue, act: &dyn Fn(&mut Queue) -> Result<(), StorageError>| {
            let before = queue.len();
            if let Err(error) = act(queue) {
                assert!(matches!(error, StorageError::Missing { id } if id == lost), "{error}");
                assert_eq!(queue.len(), before);
                give(&lost);
                failures += 1;
                act(queue).unwrap();
            }
        };
        for number in OLD..OLD + NEW {
            done(&mut queue, &|queue| queue.push(element(number)));
        }
        for number in 100..OLD + NEW {
            done(&mut queue, &|queue| queue.pop().map(|it| assert_eq!(it, Some(element(number)))));
        }
        assert!(queue.is_empty());
    }
    assert!(failures > OLD / 32, "each of them is read by somebody");
}

/// What `edit` costs on average, done `times` times with a commit each.
fn average(backend: &Counted, store: &Store, times: u64, edit: impl Fn(&mut Queue)) -> [f64; 2] {
    backend.cost();
    for time in 0..times {
        let mut batch = store.batch();
        change(&mut batch, "main", time, &edit);
        batch.publish().unwrap();
    }
    let Cost { reads, writes } = backend.cost();
    [reads, writes].map(|count| count as f64 / times as f64)
}

#[test]
fn pushing_and_popping_cost_about_one_object() {
    for n in [10, 1000, 100_000] {
        let backend = Arc::new(Counted::default());
        let store = Store::on(backend.clone()).unwrap();
        let mut batch = store.batch();
        change(&mut batch, "main", 0, |queue| *queue = of(0..n));
        batch.publish().unwrap();
        let store = Store::on(backend.clone()).unwrap();
        let times = 320;
        let push = average(&backend, &store, times, |it| it.push(Contents::Counter(1)).unwrap());
        let pop = average(&backend, &store, times, |it| drop(it.pop().unwrap()));
        // The first of each loads the way to its end.
        assert!(push[0] < 0.05 && push[1] < 1.15, "{n}: {push:?} reads and writes for a push");
        assert!(pop[0] < 0.5 && pop[1] < 1.15, "{n}: {pop:?} reads and writes for a pop");
    }
}

/// What merging two branches that both pushed and popped costs, loaded from nothing.
fn merge_cost(n: u64) -> Cost {
    let backend = Arc::new(Counted::default());
    let store = Store::on(backend.clone()).unwrap();
    let mut batch = store.batch();
    let push = |queue: &mut Queue, count: u64| {
        (0..count).for_each(|it| queue.push(Contents::Counter(it as i64)).unwrap());
    };
    let base = change(&mut batch, "main", 0, |queue| push(queue, n));
    batch.set(&branch("side"), &base).unwrap();
    let popped = n.min(5000) / 2;
    let pop = |queue: &mut Queue, count| (0..count).for_each(|_| drop(queue.pop().unwrap()));
    change(&mut batch, "main", 1, |queue| {
        pop(queue, popped);
        push(queue, 40);
    });
    let side = change(&mut batch, "side", 2, |queue| {
        pop(queue, popped / 2);
        push(queue, 100);
    });
    batch.publish().unwrap();
    let store = Store::on(backend.clone()).unwrap();
    backend.cost();
    let both = merged(store.merge(&branch("main"), &side.id(), at(3)).unwrap());
    let cost = backend.cost();
    assert_eq!(get(&both.tree()).len(), n - popped + 140);
    cost
}

#[test]
fn a_merge_reads_a_path_and_writes_the_index() {
    for n in [10, 100, 1000, 10_000, 100_000, 1_000_000] {
        let Cost { reads, writes } = merge_cost(n);
        let levels = u64::from(n.ilog2().div_ceil(5));
        assert!(reads <= 6 + 4 * levels, "{reads} reads to merge queues of {n}");
        assert!(writes <= 3, "{writes} writes to merge queues of {n}");
    }
}

#[test]
fn the_index_grows_with_merges_and_shrinks_with_pops() {
    let backend = Arc::new(Counted::default());
    let store = Store::on(backend.clone()).unwrap();
    let merges = 50;
    let mut batch = store.batch();
    for round in 0..merges {
        let side = change(&mut batch, "side", 3 * round, |it| it.push(element(1)).unwrap());
        change(&mut batch, "main", 3 * round + 1, |it| it.push(element(2)).unwrap());
        batch.merge(&branch("main"), &side.id(), at(3 * round + 2)).unwrap();
    }
    batch.publish().unwrap();
    let size = |tree: &Tree| {
        let mut only = Tree::empty();
        set(&mut only, get(tree));
        // The one object of a queue is what the only leaf of this tree refers to.
        let store = Store::on(backend.clone()).unwrap();
        let mut batch = store.batch();
        batch.commit(&branch("size"), only.clone(), at(0)).unwrap();
        batch.publish().unwrap();
        let node = Backend::get(&*backend, &only.id()).unwrap().unwrap();
        match jitsu_store::references(&node).unwrap()[..] {
            [id] => Backend::get(&*backend, &id).unwrap().unwrap().len() as u64,
            _ => 0,
        }
    };
    let tree = store.head(&branch("main")).unwrap().unwrap().tree();
    assert!(size(&tree) <= 150 + 2 * 100 * merges, "{} bytes after {merges} merges", size(&tree));
    let mut queue = get(&tree);
    while queue.len() > 4 {
        queue.pop().unwrap();
    }
    let mut tree = Tree::empty();
    set(&mut tree, queue);
    assert!(size(&tree) <= 400, "{} bytes once most is popped", size(&tree));
}
