//! Owns what every backend must do: the same cases over all of them.

use std::sync::Arc;

use jitsu_store::backend::{Backend, Fault, Faulty, Log, LogOptions, Memory};
#[cfg(feature = "git")]
use jitsu_store::git::{GitBackend, ObjectFormat, Repository};
use jitsu_store::{Contents, HeadChange, Id, IdPrefix, ObjectKind, Queue, Store, Tree};

use crate::disk::SimDisk;
use crate::fixture::{at, branch, merged, path, text, walk, write};

/// Runs a case on a fresh backend of each kind.
fn on_all(case: impl Fn(Arc<dyn Backend>)) {
    case(Arc::new(Memory::new()));
    let folder = tempfile::tempdir().unwrap();
    case(Arc::new(Log::open(folder.path().join("store"), LogOptions::default()).unwrap()));
    case(Arc::new(Log::open_on(Arc::new(SimDisk::new()), small()).unwrap()));
    case(Arc::new(Faulty::new(Arc::new(Memory::new()), u64::MAX, Fault::Fail)));
    #[cfg(feature = "git")]
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repository = |name: &str| Repository::create(folder.path().join(name), format).unwrap();
        let name = format!("{format:?}");
        case(Arc::new(GitBackend::open(repository(&name)).unwrap()));
        let name = format!("{format:?}-memory");
        case(Arc::new(GitBackend::open_cached_in_memory(repository(&name)).unwrap()));
    }
}

/// Options under which everything happens often.
pub(crate) fn small() -> LogOptions {
    let mut options = LogOptions::default();
    options.segment_bytes = 2000;
    options.unsaved_bytes = 500;
    options.unindexed_objects = 10;
    options
}

fn object(text: &str) -> (Id, Vec<u8>) {
    let bytes = [b"c\x01b", text.as_bytes()].concat();
    (Id::of(&bytes), bytes)
}

fn put(backend: &dyn Backend, text: &str) -> Id {
    let (id, bytes) = object(text);
    backend.put(&id, &bytes).unwrap();
    id
}

/// Puts a commit, for a backend may hold no other heads.
fn commit(backend: &Arc<dyn Backend>, n: u64) -> Id {
    let store = Store::on(backend.clone()).unwrap();
    store.batch().commit(&branch("unborn"), Tree::empty(), at(n)).unwrap().id()
}

fn change(name: &str, old: Option<Id>, new: Option<Id>) -> HeadChange {
    HeadChange { branch: branch(name), old, new }
}

#[test]
fn objects_are_found_as_they_were_put() {
    on_all(|backend| {
        let (id, bytes) = object("one");
        assert_eq!(backend.get(&id).unwrap(), None);
        backend.put(&id, &bytes).unwrap();
        assert_eq!(backend.get(&id).unwrap().as_deref(), Some(&bytes[..]));
        backend.put(&id, &bytes).unwrap();
        backend.sync().unwrap();
        assert_eq!(backend.get(&id).unwrap().as_deref(), Some(&bytes[..]));
        let (large, bytes) = object(&"x".repeat(100_000));
        backend.put(&large, &bytes).unwrap();
        backend.sync().unwrap();
        assert_eq!(backend.get(&large).unwrap().as_deref(), Some(&bytes[..]));
    });
}

#[test]
fn heads_move_together_or_not_at_all() {
    on_all(|backend| {
        let [a, b, c] = [1, 2, 3].map(|n| commit(&backend, n));
        assert!(
            backend.set_heads(&[change("x", None, Some(a)), change("y", None, Some(b))]).unwrap()
        );
        assert_eq!(backend.head(&branch("x")).unwrap(), Some(a));
        assert_eq!(backend.branches().unwrap(), [(branch("x"), a), (branch("y"), b)]);
        // One of the two is not where it should be.
        for wrong in [None, Some(c)] {
            let changes = [change("x", Some(a), Some(c)), change("y", wrong, Some(c))];
            assert!(!backend.set_heads(&changes).unwrap());
            assert_eq!(backend.branches().unwrap(), [(branch("x"), a), (branch("y"), b)]);
        }
        assert!(
            backend
                .set_heads(&[change("x", Some(a), None), change("y", Some(b), Some(c))])
                .unwrap()
        );
        assert_eq!(backend.head(&branch("x")).unwrap(), None);
        assert_eq!(backend.branches().unwrap(), [(branch("y"), c)]);
        assert!(!backend.set_heads(&[change("x", Some(a), None)]).unwrap());
        assert!(backend.set_heads(&[]).unwrap());
    });
}

#[test]
fn objects_are_found_by_the_beginning_of_their_id() {
    on_all(|backend| {
        let ids: Vec<Id> = (0..200).map(|n| put(&*backend, &n.to_string())).collect();
        backend.sync().unwrap();
        let unsaved = put(&*backend, "not synced");
        for id in ids.iter().chain([&unsaved]) {
            let prefix: IdPrefix = id.to_string()[..13].parse().unwrap();
            assert_eq!(backend.ids_with_prefix(ObjectKind::Contents, &prefix, 10).unwrap(), [*id]);
            assert_eq!(backend.ids_with_prefix(ObjectKind::Commit, &prefix, 10).unwrap(), []);
        }
        let all: IdPrefix = "".parse().unwrap();
        assert_eq!(backend.ids_with_prefix(ObjectKind::Contents, &all, 10).unwrap().len(), 10);
        assert_eq!(backend.ids_with_prefix(ObjectKind::Contents, &all, 999).unwrap().len(), 201);
    });
}

#[test]
fn concurrent_publishers_of_one_branch_win_one_at_a_time() {
    on_all(|backend| {
        let main = branch("main");
        let won: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (backend, main) = (&backend, &main);
                    scope.spawn(move || {
                        let mut won = 0;
                        for n in 0..50 {
                            let new = commit(backend, thread * 50 + n);
                            let old = backend.head(main).unwrap();
                            let change = HeadChange { branch: main.clone(), old, new: Some(new) };
                            let moved = backend.set_heads(&[change]).unwrap();
                            // Who lost sees already who won.
                            assert!(moved || backend.head(main).unwrap() != old);
                            won += u64::from(moved);
                        }
                        won
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((50..=200).contains(&won), "{won} of 200 moved the head");
    });
}

#[test]
fn a_store_works_on_it() {
    on_all(|backend| {
        let store = Store::on(backend.clone()).unwrap();
        let first = write(&store, "main", "a/b", "1", 1);
        write(&store, "side", "a/c", "2", 2);
        let mut batch = store.batch();
        let side = batch.head(&branch("side")).unwrap().unwrap();
        let commit = merged(batch.merge(&branch("main"), &side.id(), at(3)).unwrap());
        batch.publish().unwrap();
        assert_eq!(commit.parents(), [first.id(), side.id()]);
        // Another store over the same backend reads it all from there.
        let other = Store::on(backend).unwrap();
        let head = other.head(&branch("main")).unwrap().unwrap();
        assert_eq!(head.id(), commit.id());
        assert_eq!(head.meta(), commit.meta());
        assert_eq!(head.generation(), 2);
        assert_eq!(head.tree().get(&path("a/b")).unwrap(), Some(text("1")));
        assert_eq!(head.tree().get(&path("a/c")).unwrap(), Some(text("2")));
        walk(&other);
    });
}

#[test]
fn queues_are_merged_on_it() {
    on_all(|backend| {
        let store = Store::on(backend.clone()).unwrap();
        let queue = path("queue");
        let edit = |to: &str, time: u64, edit: &dyn Fn(&mut Queue)| {
            let change = |tree: &mut Tree| {
                let mut of = match tree.get(&queue)? {
                    Some(Contents::Queue(of)) => of,
                    _ => Queue::new(),
                };
                edit(&mut of);
                tree.set(&queue, Contents::Queue(of))
            };
            store.update(&branch(to), at(time), change).unwrap().0
        };
        let push = |from: u64, to: u64| {
            move |of: &mut Queue| (from..to).for_each(|n| of.push(text(&n.to_string())).unwrap())
        };
        let base = edit("main", 1, &push(0, 100));
        let mut fork = store.batch();
        fork.set(&branch("side"), &base).unwrap();
        fork.publish().unwrap();
        edit("side", 2, &push(100, 150));
        edit("main", 3, &|of| (0..40).for_each(|_| drop(of.pop().unwrap())));
        let side = store.head(&branch("side")).unwrap().unwrap();
        merged(store.merge(&branch("main"), &side, at(4)).unwrap());
        let other = Store::on(backend).unwrap();
        let tree = other.head(&branch("main")).unwrap().unwrap().tree();
        let Some(Contents::Queue(of)) = tree.get(&queue).unwrap() else { panic!("no queue") };
        let left: Vec<Contents> = of.iter().map(Result::unwrap).collect();
        let expected: Vec<Contents> = (40..150).map(|n| text(&n.to_string())).collect();
        assert_eq!(left, expected);
    });
}
