//! Owns the tests of batches and updates: what they see, and what others see of them.

use std::sync::Arc;
use std::sync::Mutex;

use jitsu_store::backend::Memory;
use jitsu_store::{
    Forward, HeadMoved, Merged, PublishError, StorageError, Store, Tree, TreeError, UpdateError,
};

use crate::fixture::{at, branch, merged, path, text, tree, write};

#[test]
fn a_batch_sees_itself_and_others_do_not() {
    let store = Store::memory();
    let (main, side) = (branch("main"), branch("side"));
    let mut batch = store.batch();
    let first = batch.commit(&side, tree(&[("a", "1")]), at(1)).unwrap();
    let merge = merged(batch.merge(&main, &first.id(), at(2)).unwrap());
    let second = batch.commit(&side, tree(&[("a", "2")]), at(3)).unwrap();
    assert_eq!(second.parents(), [first.id()]);
    let again = merged(batch.merge(&main, &second.id(), at(4)).unwrap());
    assert_eq!(again.parents(), [merge.id(), second.id()]);
    assert!(matches!(batch.merge(&main, &first.id(), at(5)).unwrap(), Merged::Already));
    assert_eq!(batch.head(&main).unwrap().unwrap().id(), again.id());
    assert!(store.head(&main).unwrap().is_none());
    batch.publish().unwrap();
    assert_eq!(store.head(&main).unwrap().unwrap().id(), again.id());
    assert_eq!(store.branches().unwrap(), [(main, again.id()), (side, second.id())]);
}

#[test]
fn a_batch_that_is_dropped_has_not_happened() {
    let store = Store::memory();
    let mut batch = store.batch();
    batch.commit(&branch("main"), tree(&[("a", "1")]), at(1)).unwrap();
    drop(batch);
    assert_eq!(store.branches().unwrap(), []);
}

#[test]
fn branches_are_made_moved_and_removed() {
    let store = Store::memory();
    let first = write(&store, "main", "a", "1", 1);
    let second = write(&store, "main", "a", "2", 2);
    let mut batch = store.batch();
    batch.set(&branch("old"), &first).unwrap();
    assert!(batch.delete(&branch("main")).unwrap());
    assert!(!batch.delete(&branch("nowhere")).unwrap());
    let missing = batch.set(&branch("x"), &jitsu_store::Id::of(b"missing"));
    assert!(matches!(missing, Err(StorageError::Missing { .. })));
    batch.publish().unwrap();
    assert_eq!(store.branches().unwrap(), [(branch("old"), first.id())]);
    // Objects stay, and so can be pointed at again.
    let mut batch = store.batch();
    batch.set(&branch("main"), &second).unwrap();
    batch.publish().unwrap();
    assert_eq!(store.head(&branch("main")).unwrap().unwrap().id(), second.id());
}

#[test]
fn a_batch_loses_to_one_who_was_quicker() {
    let store = Store::memory();
    write(&store, "main", "a", "1", 1);
    let mut batch = store.batch();
    batch.commit(&branch("other"), tree(&[]), at(2)).unwrap();
    batch.commit(&branch("main"), tree(&[]), at(2)).unwrap();
    let quicker = write(&store, "main", "a", "2", 3);
    let raced = batch.publish();
    assert!(matches!(raced, Err(PublishError::Raced(raced)) if raced == branch("main")));
    assert_eq!(store.branches().unwrap(), [(branch("main"), quicker.id())]);
}

#[test]
fn a_branch_goes_forward_and_never_aside() {
    for store in [Store::memory(), Store::on(Arc::new(Memory::new())).unwrap()] {
        let base = write(&store, "main", "a", "1", 1);
        let old = write(&store, "main", "a", "2", 2);
        let new = write(&store, "main", "a", "3", 3);
        let mut batch = store.batch();
        for name in ["old", "other"] {
            batch.set(&branch(name), &base).unwrap();
        }
        let other = batch.commit(&branch("other"), tree(&[("b", "1")]), at(4)).unwrap();
        // What was made in the batch counts as well.
        assert_eq!(batch.forward(&branch("made"), &other).unwrap(), Forward::Moved);
        assert_eq!(batch.forward(&branch("old"), &other).unwrap(), Forward::Moved);
        assert_eq!(batch.forward(&branch("old"), &base).unwrap(), Forward::Ahead(other.id()));
        assert_eq!(batch.forward(&branch("old"), &new).unwrap(), Forward::Apart(other.id()));
        assert_eq!(batch.forward(&branch("main"), &old).unwrap(), Forward::Ahead(new.id()));
        assert_eq!(batch.forward(&branch("main"), &new.id()).unwrap(), Forward::Already);
        let missing = batch.forward(&branch("main"), &jitsu_store::Id::of(b"missing"));
        assert!(matches!(missing, Err(StorageError::Missing { .. })));
        batch.publish().unwrap();
        let heads = [("made", &other), ("main", &new), ("old", &other), ("other", &other)];
        let heads = heads.map(|(name, head)| (branch(name), head.id()));
        assert_eq!(store.branches().unwrap(), heads);
    }
}

#[test]
fn a_transaction_is_done_again_on_what_others_did() {
    let store = Store::memory();
    let (main, side) = (branch("main"), branch("side"));
    let mut tries = 0;
    let quicker_until = |until: i32, tries: &mut i32| {
        store.transact(|batch| {
            let made = batch.commit(&side, tree(&[("b", "1")]), at(1))?;
            batch.merge(&main, &made, at(2))?;
            *tries += 1;
            if *tries < until {
                write(&store, "main", "a", &tries.to_string(), 3);
            }
            Ok::<_, StorageError>(made)
        })
    };
    let made = quicker_until(4, &mut tries).unwrap();
    assert_eq!((tries, store.log(&made.id()).count()), (4, 1), "three were never published");
    let main_tree = store.head(&main).unwrap().unwrap().tree();
    assert_eq!(main_tree, tree(&[("a", "3"), ("b", "1")]));
    let given_up = quicker_until(i32::MAX, &mut tries);
    let main_moved = |raced: &_| *raced == main;
    assert!(
        matches!(given_up, Err(UpdateError::Raced { branch, tries: 13 }) if main_moved(&branch))
    );
    assert_eq!(store.head(&side).unwrap().unwrap().id(), made.id());
    let failed =
        store.transact(|batch| batch.delete(&side).and(Err::<(), _>(StorageError::Injected)));
    assert!(matches!(failed, Err(UpdateError::Edit(StorageError::Injected))));
    assert!(store.head(&side).unwrap().is_some());
}

#[test]
fn an_update_is_done_again_on_what_others_did() {
    let store = Store::memory();
    let main = branch("main");
    let mut tries = 0;
    let (commit, tried) = store
        .update(&main, at(2), |tree: &mut Tree| {
            tries += 1;
            if tries < 3 {
                write(&store, "main", &format!("other/{tries}"), "1", 1);
            }
            tree.set(&path("mine"), text("1"))?;
            Ok::<_, TreeError>(tries)
        })
        .unwrap();
    assert_eq!(tried, 3);
    assert_eq!(commit.tree().list(&path("other")).unwrap().len(), 2);
    let given_up = store.update(&main, at(2), |_| {
        tries += 1;
        write(&store, "main", "other/again", &tries.to_string(), 1);
        Ok::<_, TreeError>(())
    });
    assert!(matches!(given_up, Err(UpdateError::Raced { tries: 13, .. })));
    let refused = store.update(&main, at(3), |tree| tree.set(&path(""), text("root")));
    assert!(matches!(refused, Err(UpdateError::Edit(TreeError::Root))));
}

#[test]
fn listeners_hear_of_what_was_published() {
    let store = Store::memory();
    let heard: Arc<Mutex<Vec<Vec<HeadMoved>>>> = Arc::default();
    let (ears, reader) = (heard.clone(), store.clone());
    store.on_publish(Box::new(move |moved| {
        // It is durable by now, and can be read.
        for moved in moved {
            assert_eq!(reader.head(&moved.branch).unwrap().map(|it| it.id()), moved.new);
        }
        ears.lock().unwrap().push(moved.to_vec());
    }));
    let first = write(&store, "main", "a", "1", 1);
    store.batch().publish().unwrap();
    let mut batch = store.batch();
    batch.delete(&branch("main")).unwrap();
    batch.publish().unwrap();
    let moved = |old, new| vec![HeadMoved { branch: branch("main"), old, new }];
    let id = Some(first.id());
    assert_eq!(*heard.lock().unwrap(), [moved(None, id), moved(id, None)]);
}

#[test]
fn concurrent_updates_all_arrive() {
    let store = Store::memory();
    let main = branch("main");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, main) = (&store, &main);
            scope.spawn(move || {
                for n in 0..50 {
                    let at_path = path(&format!("{thread}/{n}"));
                    while store.update(main, at(1), |tree| tree.set(&at_path, text("1"))).is_err() {
                    }
                }
            });
        }
    });
    let tree = store.head(&main).unwrap().unwrap().tree();
    assert_eq!(tree.entries().count(), 200);
}

#[test]
fn two_commits_that_are_alike_are_one() {
    for store in [Store::memory(), Store::on(Arc::new(Memory::new())).unwrap()] {
        let base = write(&store, "main", "a", "1", 1);
        let mut batch = store.batch();
        batch.set(&branch("side"), &base).unwrap();
        batch.publish().unwrap();
        let [here, there] = ["main", "side"].map(|on| write(&store, on, "b", "2", 2));
        assert_eq!(here.id(), there.id());
        let again = store.merge(&branch("main"), &there, at(3)).unwrap();
        assert!(matches!(again, Merged::Already), "{again:?}");
        assert_eq!(store.find_commits(&here.id().to_string()).unwrap(), [here.id()]);
        // Alike but for one thing, they are two.
        let other = write(&store, "side", "b", "3", 2);
        assert_ne!(other.id(), write(&store, "main", "b", "4", 2).id());
    }
}
