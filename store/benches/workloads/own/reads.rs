//! Owns the workloads that read.

use jitsu_store::{Contents, Path, Store, Tree, TreeError};

use super::commits;
use super::kinds::{Kind, Random, branch, meta, path};
use super::table::{Figure, Table, timed};

const KEYS: usize = 100_000;
pub(crate) const READS: usize = 200_000;

/// What W4 reads.
pub(crate) fn keys() -> Vec<Path> {
    (0..KEYS).map(|key| path(&format!("{:03}/{key:06}", key % 1000))).collect()
}

/// W4.
pub(crate) fn random(table: &mut Table, kind: &Kind<'_>, _n: usize) {
    if kind.is_durable() {
        return;
    }
    let main = branch("main");
    let paths = keys();
    let mut store = kind.store();
    let fill = |tree: &mut Tree| {
        let mut keys = paths.iter().enumerate();
        keys.try_for_each(|(key, path)| tree.set(path, Contents::text(format!("{key:0100}"))))
    };
    store.update::<_, TreeError>(&main, meta(0), fill).expect("a commit");
    let name = |how: &str| format!("{}, {how}", kind.name);
    let head = |store: &Store| store.head(&main).expect("a head").expect("it was made").tree();
    let (by_branch, in_tree) = match kind.irmin {
        "mem" => (105_000.0, 229_000.0),
        _ => (93_000.0, 143_000.0),
    };
    if kind.irmin == "pack" {
        drop(store);
        table.measure(name("cold, in the page cache"), READS, None, || {
            let store = kind.reopen();
            let tree = head(&store);
            let mut random = Random(1);
            timed(|| read(&paths, &mut random, |path| tree.get(path)))
        });
        store = kind.reopen();
    }
    table.measure(name("by branch"), READS, Some(Figure::irmin(kind.irmin, by_branch)), || {
        let mut random = Random(1);
        timed(|| read(&paths, &mut random, |path| head(&store).get(path)))
    });
    let tree = head(&store);
    let irmin = Some(Figure::irmin(kind.irmin, in_tree));
    table.measure(name("in one held tree"), READS, irmin, || {
        let mut random = Random(1);
        timed(|| read(&paths, &mut random, |path| tree.get(path)))
    });
}

fn read(
    paths: &[Path],
    random: &mut Random,
    get: impl Fn(&Path) -> Result<Option<Contents>, TreeError>,
) {
    for _ in 0..READS {
        let found = get(&paths[random.below(paths.len())]).expect("readable");
        assert!(found.is_some(), "it was put there");
    }
}

/// W5.
pub(crate) fn walk(table: &mut Table, kind: &Kind<'_>, n: usize) {
    if kind.is_durable() {
        return;
    }
    let paths: Vec<Path> = (0..100).map(|key| path(&format!("keys/{key:03}"))).collect();
    let (committed, walked) = match kind.irmin {
        "mem" => (15_574.0, 472_000.0),
        _ => (3660.0, 870_000.0),
    };
    let name = |how: &str| format!("{}, {how}", kind.name);
    table.measure(name("commit"), n, Some(Figure::irmin(kind.irmin, committed)), || {
        commits::many(kind, &kind.store(), &paths, n)
    });
    let store = kind.store();
    commits::many(kind, &store, &paths, n);
    table.measure(name("walk"), n, Some(Figure::irmin(kind.irmin, walked)), || {
        let head = store.head(&branch("main")).expect("a head").expect("it was made");
        timed(|| {
            let walked = store.log(&head.id()).first_parents().filter(Result::is_ok).count();
            assert_eq!(walked, n, "the whole history");
        })
    });
}
