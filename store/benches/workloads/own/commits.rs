//! Owns the workloads that commit and merge.

use std::time::Duration;

use jitsu_store::{Batch, BranchName, Contents, Merged, Path, Store, Tree, TreeError};

use super::kinds::{Kind, branch, meta, path};
use super::table::{Table, timed};

fn value(n: usize) -> Contents {
    Contents::text(format!("{n:0100}"))
}

/// Commits `n` times to `main`, published as this backend is to be.
fn commit(
    kind: &Kind<'_>,
    store: &Store,
    n: usize,
    edit: impl Fn(&mut Tree, usize) -> Result<(), TreeError>,
) {
    let main = branch("main");
    if !kind.in_bulk {
        for nth in 0..n {
            let edit = |tree: &mut Tree| edit(tree, nth);
            store.update::<_, TreeError>(&main, meta(nth), edit).expect("a commit");
        }
        return;
    }
    kind.rounds(store, n, |batch, nth| {
        let head = batch.head(&main).expect("a head");
        let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
        edit(&mut tree, nth).expect("a change");
        batch.commit(&main, tree, meta(nth)).expect("a commit");
    });
}

/// What W1 sets.
pub(crate) fn sets(n: usize) -> Vec<(Path, Contents)> {
    (0..n).map(|nth| (path(&format!("keys/{nth:06}")), value(nth))).collect()
}

/// W1.
pub(crate) fn one_set(table: &mut Table, kind: &Kind<'_>, n: usize) {
    let n = kind.scaled(n);
    let entries = sets(n);
    // Irmin's directory in memory is one node, so that its figure falls with their number.
    let irmin = kind.beside(if n > 1000 { 237.0 } else { 3869.0 }, 2898.0);
    table.measure(kind.name, n, irmin, || {
        let store = kind.store();
        timed(|| {
            commit(kind, &store, n, |tree, nth| {
                let (path, value) = &entries[nth];
                tree.set(path, value.clone())
            });
        })
    });
}

/// W2. An operation is both commits.
pub(crate) fn twenty_and_none(table: &mut Table, kind: &Kind<'_>, n: usize) {
    let n = kind.scaled(n / 5);
    let irmin = kind.beside(2830.0, 1388.0);
    let keys: Vec<String> = (0..20).map(|key| format!("key-{key:02}")).collect();
    table.measure(kind.name, n, irmin, || {
        let store = kind.store();
        timed(|| {
            commit(kind, &store, 2 * n, |tree, nth| {
                let domain = format!("domain/{}", nth / 2);
                if nth % 2 == 1 {
                    return tree.remove(&path(&domain)).map(drop);
                }
                keys.iter().try_for_each(|key| {
                    tree.set(&path(&format!("{domain}/{key}")), Contents::text("a value"))
                })
            });
        })
    });
}

/// 1,000 keys in 100 directories.
fn hundred_directories(tree: &mut Tree) -> Result<(), TreeError> {
    (0..1000).try_for_each(|key| tree.set(&path(&format!("{}/{key}", key % 100)), value(key)))
}

/// Ten keys of each side, disjoint from those of the other.
struct Tens {
    there: Vec<Path>,
    here: Vec<Path>,
}

impl Tens {
    fn new(nth: usize) -> Tens {
        let ten = |side| {
            (0..10).map(|key| path(&format!("{}/{side}-{key}", (nth * 20 + key) % 100))).collect()
        };
        Tens { there: ten("there"), here: ten("here") }
    }
}

/// W3. An operation is all of it.
pub(crate) fn fork_and_merge(table: &mut Table, kind: &Kind<'_>, n: usize) {
    let n = kind.scaled(n / 5);
    let irmin = kind.beside(912.0, 349.0);
    let tens: Vec<Tens> = (0..n).map(Tens::new).collect();
    table.measure(kind.name, n, irmin, || {
        let store = kind.store();
        let (main, fork) = (branch("main"), branch("fork"));
        store.update(&main, meta(0), hundred_directories).expect("a commit");
        timed(|| {
            kind.rounds(&store, n, |batch, nth| merge_ten(batch, &main, &fork, &tens[nth], nth));
        })
    });
}

fn merge_ten(batch: &mut Batch, main: &BranchName, fork: &BranchName, tens: &Tens, nth: usize) {
    let set = |tree: &mut Tree, ten: &[Path]| {
        ten.iter().try_for_each(|at| tree.set(at, Contents::text(nth.to_string())))
    };
    let head = batch.head(main).expect("a head").expect("it was made");
    batch.set(fork, &head).expect("a fork");
    for (to, ten) in [(fork, &tens.there), (main, &tens.here)] {
        let mut tree = head.tree();
        set(&mut tree, ten).expect("a change");
        batch.commit(to, tree, meta(nth)).expect("a commit");
    }
    let theirs = batch.head(fork).expect("a head").expect("it was forked");
    let merged = batch.merge(main, &theirs, meta(nth)).expect("a merge");
    assert!(matches!(merged, Merged::Commit(_)), "they are disjoint");
}

/// W8, beyond Irmin's: what a commit costs as the tree grows.
pub(crate) fn growth(table: &mut Table, kind: &Kind<'_>, n: usize) {
    if kind.is_durable() {
        return;
    }
    for keys in [1000, 1_000_000] {
        let at = |key: usize| path(&format!("{:03}/{key:07}", key % 1000));
        let paths: Vec<Path> = (0..keys).map(at).collect();
        let store = kind.store();
        let fill = |tree: &mut Tree| {
            paths.iter().try_for_each(|path| tree.set(path, Contents::text("a value")))
        };
        store.update::<_, TreeError>(&branch("main"), meta(0), fill).expect("a commit");
        let name = format!("{}, {keys} keys", kind.name);
        table.measure(name, n, None, || {
            // Steps far apart, so that each commit touches another part of the tree.
            let at = |nth: usize| &paths[(nth * 7919) % keys];
            timed(|| commit(kind, &store, n, |tree, nth| tree.set(at(nth), value(nth))))
        });
    }
}

pub(crate) fn many(kind: &Kind<'_>, store: &Store, paths: &[Path], n: usize) -> Duration {
    timed(|| {
        commit(kind, store, n, |tree, nth| tree.set(&paths[nth % paths.len()], value(nth)));
    })
}
