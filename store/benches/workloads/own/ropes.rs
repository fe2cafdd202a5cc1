//! Owns the workloads of ropes, after Farinier, Gazagnaire and Madhavapeddy, Mergeable persistent
//! data structures, JFLA 2015 (Figures 12 and 15).

use jitsu_store::{Batch, Contents, Merged, TextRope, Tree};

use super::kinds::{Kind, Random, branch, meta, path};
use super::table::{Figure, Table, timed};

/// The characters of the rope that is kept in a store.
const LONG: u64 = 100_000;
/// The paper's longest rope.
const PAPER: u64 = 65_536;
const TEN: &str = "0123456789";
/// So many deletions leave half of the rope, where all of them are.
const CHANGES_MAX: usize = LONG as usize / 20;

/// One change of a rope that is kept, as a commit.
type Change = fn(&mut TextRope, u64);

/// What is done to a rope, and how often in a second Irmin did it.
const CHANGES: [(&str, f64, Change); 4] = [
    ("set", 1227.0, |rope, at| rope.set(at, "x").expect("in range")),
    ("insert 10", 894.0, |rope, at| rope.insert(at, TEN).expect("in range")),
    ("delete 10", 294.0, |rope, at| rope.delete(at..at + 10).expect("in range")),
    ("split, append", 7.8, |rope, at| {
        let after = rope.split(at).expect("in range");
        rope.append(&after).expect("readable");
    }),
];

/// W7.
pub(crate) fn ropes(table: &mut Table, kind: &Kind<'_>, n: usize) {
    if kind.is_durable() {
        return;
    }
    if kind.name == "memory" {
        values(table, n);
    }
    let irmin = |per_second| (kind.irmin == "mem").then(|| Figure::irmin_of_2015(per_second));
    let name = |what: &str| format!("{}, {what}", kind.name);
    let filled = || {
        let store = kind.store();
        let mut batch = store.batch();
        batch.commit(&branch("main"), tree(of_length(LONG)), meta(0)).expect("a commit");
        batch.publish().expect("published");
        store
    };
    table.measure(name("get"), n, irmin(465_000.0), || {
        let head = filled().head(&branch("main")).expect("a head").expect("it was made");
        let (rope, mut random) = (rope(&head.tree()), Random(1));
        timed(|| {
            for _ in 0..n {
                let at = random.below(LONG as usize) as u64;
                assert!(rope.get(at).expect("readable").is_some(), "it is that long");
            }
        })
    });
    for (what, per_second, change) in CHANGES {
        let n = (n / 5).min(CHANGES_MAX);
        table.measure(name(what), n, irmin(per_second), || {
            let (store, mut places) = (filled(), places(LONG));
            timed(|| kind.rounds(&store, n, |batch, _| commit(batch, change, places())))
        });
    }
    let n = n / 5;
    table.measure(name("two inserts, merged"), n, irmin(89.0), || {
        let (store, mut places) = (filled(), places(LONG));
        timed(|| kind.rounds(&store, n, |batch, _| insert_and_merge(batch, places())))
    });
}

/// The operations alone, on one value that is not kept anywhere, as the paper's on its Obj backend.
fn values(table: &mut Table, n: usize) {
    let whole = of_length(PAPER);
    let half = of_length(PAPER / 2);
    let mut measure = |what: &str, micros: f64, change: &dyn Fn(u64)| {
        let name = format!("a value of {PAPER}: {what}");
        table.measure(name, n, Some(Figure::paper("Obj", 1e6 / micros)), || {
            let mut places = places(PAPER);
            timed(|| (0..n).for_each(|_| change(places())))
        });
    };
    measure("insert", 2.0, &|at| whole.clone().insert(at, "x").expect("in range"));
    measure("delete", 10.0, &|at| whole.clone().delete(at..at + 1).expect("in range"));
    measure("append", 27.0, &|_| half.clone().append(&half).expect("in range"));
    measure("split", 110.0, &|at| drop(whole.clone().split(at).expect("in range")));
}

/// Places in the first half of a rope, so that deletions never reach its end.
fn places(len: u64) -> impl FnMut() -> u64 {
    let mut random = Random(1);
    move || random.below(len as usize / 2 - 10) as u64
}

fn commit(batch: &mut Batch, change: Change, at: u64) {
    let main = branch("main");
    let head = batch.head(&main).expect("a head").expect("it was made");
    let mut rope = rope(&head.tree());
    change(&mut rope, at);
    batch.commit(&main, tree(rope), meta(0)).expect("a commit");
}

/// Ten characters in one half and ten in the other, on two branches.
fn insert_and_merge(batch: &mut Batch, at: u64) {
    let (main, fork) = (branch("main"), branch("fork"));
    let base = batch.head(&main).expect("a head").expect("it was made");
    batch.set(&fork, &base).expect("a fork");
    for (to, at) in [(&main, at), (&fork, at + LONG / 2)] {
        let mut rope = rope(&base.tree());
        rope.insert(at, TEN).expect("in range");
        batch.commit(to, tree(rope), meta(0)).expect("a commit");
    }
    let theirs = batch.head(&fork).expect("a head").expect("it was made");
    let merged = batch.merge(&main, &theirs, meta(0)).expect("a merge");
    assert!(matches!(merged, Merged::Commit(_)), "they are disjoint: {merged:?}");
}

fn of_length(len: u64) -> TextRope {
    TextRope::of((0..len).map(|it| char::from(b'a' + (it * it % 23) as u8)).collect::<String>())
}

fn tree(rope: TextRope) -> Tree {
    let mut tree = Tree::empty();
    tree.set(&path("rope"), Contents::TextRope(rope)).expect("a good path");
    tree
}

fn rope(tree: &Tree) -> TextRope {
    match tree.get(&path("rope")).expect("readable") {
        Some(Contents::TextRope(rope)) => rope,
        other => unreachable!("{other:?}"),
    }
}
