//! Owns the workloads of queues, after Farinier, Gazagnaire and Madhavapeddy, Mergeable persistent
//! data structures, JFLA 2015 (Figure 14).

use jitsu_store::{Batch, Commit, Contents, Merged, Queue, Store, Tree};

use super::kinds::{Kind, branch, meta, path};
use super::table::{Figure, Table, timed};

/// The length of the paper's longest sequence.
pub(crate) const LONG: usize = 4096;
/// Rounds of forks and merges.
const ROUNDS: usize = 500;

/// W6.
pub(crate) fn queues(table: &mut Table, kind: &Kind<'_>, n: usize) {
    sequence(table, kind);
    each_committed(table, kind, kind.scaled(n));
    let rounds = kind.scaled(ROUNDS);
    // In Git a queue is one file, which each commit writes whole.
    let lens: &[usize] = if kind.name.starts_with("git") { &[100] } else { &[100, 100_000] };
    for len in lens.iter().copied() {
        let irmin = (len == 100 && kind.irmin == "mem").then(|| Figure::irmin_of_2015(38.0));
        let name = format!("{}, {len}: fork, push, merge, pop", kind.name);
        table.measure(name, rounds, irmin, || {
            let store = kind.store();
            put(&store, pushed(Queue::new(), 0, len));
            let base = store.head(&branch("main")).expect("a head").expect("it was made");
            timed(|| {
                kind.rounds(&store, rounds, |batch, nth| fork_and_merge(batch, &base, len + nth));
            })
        });
    }
}

/// The paper's sequence, of which a backend that stores gets both halves: an operation is all
/// `LONG` pushes and pops.
fn sequence(table: &mut Table, kind: &Kind<'_>) {
    let paper = match kind.name {
        "memory" => Figure::paper("Obj", 1e6 / 270.0),
        _ => Figure::paper("Memory", 1e6 / 103_000.0),
    };
    let name = format!("{}, {LONG} pushes, then as many pops", kind.name);
    table.measure(name, 1, Some(paper), || {
        let store = kind.store();
        timed(|| {
            let queue = pushed(Queue::new(), 0, LONG);
            put(&store, queue);
            put(&store, popped(get(&store), LONG));
        })
    });
}

fn each_committed(table: &mut Table, kind: &Kind<'_>, n: usize) {
    let irmin = |per_second| (kind.irmin == "mem").then(|| Figure::irmin_of_2015(per_second));
    table.measure(format!("{}, push, committed", kind.name), n, irmin(11_200.0), || {
        let store = kind.store();
        put(&store, Queue::new());
        timed(|| kind.rounds(&store, n, |batch, nth| change(batch, |it| pushed(it, nth, 1))))
    });
    table.measure(format!("{}, pop, committed", kind.name), n, irmin(16_835.0), || {
        let store = kind.store();
        put(&store, pushed(Queue::new(), 0, n));
        timed(|| kind.rounds(&store, n, |batch, _| change(batch, |it| popped(it, 1))))
    });
}

/// Two forks push ten and pop one each; main merges both and pops what is more than before. Each
/// time from the same `base`: a queue keeps what was merged apart until it is popped.
fn fork_and_merge(batch: &mut Batch, base: &Commit, first: usize) {
    let main = branch("main");
    batch.set(&main, base).expect("the base");
    let queue = of(&base.tree());
    for (side, first) in [("left", first), ("right", first + ROUNDS)] {
        let side = branch(side);
        batch.set(&side, base).expect("a fork");
        let queue = popped(pushed(queue.clone(), first, 10), 1);
        let theirs = batch.commit(&side, tree(queue), meta(first)).expect("a commit");
        let merged = batch.merge(&main, &theirs, meta(first)).expect("a merge");
        assert!(matches!(merged, Merged::Commit(_)), "queues do not conflict");
    }
    change(batch, |queue| popped(queue, 19));
}

fn change(batch: &mut Batch, edit: impl FnOnce(Queue) -> Queue) {
    let main = branch("main");
    let head = batch.head(&main).expect("a head").expect("it was made");
    batch.commit(&main, tree(edit(of(&head.tree()))), meta(0)).expect("a commit");
}

fn pushed(mut queue: Queue, first: usize, count: usize) -> Queue {
    for element in first..first + count {
        queue.push(Contents::Counter(element as i64)).expect("pushed");
    }
    queue
}

fn popped(mut queue: Queue, count: usize) -> Queue {
    for _ in 0..count {
        assert!(queue.pop().expect("readable").is_some(), "it was pushed");
    }
    queue
}

fn tree(queue: Queue) -> Tree {
    let mut tree = Tree::empty();
    tree.set(&path("queue"), Contents::Queue(queue)).expect("a good path");
    tree
}

fn of(tree: &Tree) -> Queue {
    match tree.get(&path("queue")).expect("readable") {
        Some(Contents::Queue(queue)) => queue,
        other => unreachable!("{other:?}"),
    }
}

fn put(store: &Store, queue: Queue) {
    let mut batch = store.batch();
    batch.commit(&branch("main"), tree(queue), meta(0)).expect("a commit");
    batch.publish().expect("published");
}

fn get(store: &Store) -> Queue {
    of(&store.head(&branch("main")).expect("a head").expect("it was made").tree())
}
