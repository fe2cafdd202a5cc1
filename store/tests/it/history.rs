//! Owns the tests of history: the log, of a path as well, and how commits are found.

use jitsu_store::{Commit, FOUND_MAX, Id, StorageError, Store};

use crate::fixture::{at, branch, merged, path, text, write};

fn messages(log: impl Iterator<Item = Result<Commit, StorageError>>) -> Vec<String> {
    log.map(|commit| commit.unwrap().meta().message.clone()).collect()
}

#[test]
fn the_log_is_newest_first() {
    let store = Store::memory();
    write(&store, "main", "a", "1", 1);
    write(&store, "side", "b", "1", 5);
    write(&store, "main", "a", "2", 3);
    let side = write(&store, "side", "b", "2", 2);
    let main = merged(store.merge(&branch("main"), &side.id(), at(6)).unwrap());
    // By generation first: clocks may be wrong, ancestors are not.
    let expected = ["at 6", "at 3", "at 2", "at 5", "at 1"];
    assert_eq!(messages(store.log(&main.id())), expected);
    assert_eq!(messages(store.log(&main.id()).first_parents()), ["at 6", "at 3", "at 1"]);
    let lived = |at_path| store.log(&main.id()).first_parents().touching(path(at_path));
    assert_eq!(messages(lived("b")), ["at 6"], "the merge brought it");
    assert_eq!(messages(lived("a")), ["at 3", "at 1"]);
}

#[test]
fn the_log_of_a_path_holds_what_changed_it() {
    let store = Store::memory();
    write(&store, "main", "a/b", "1", 1);
    write(&store, "main", "c", "1", 2);
    write(&store, "main", "a/b", "2", 3);
    let base = write(&store, "main", "a/d", "1", 4);
    let mut batch = store.batch();
    batch.set(&branch("side"), &base).unwrap();
    batch.publish().unwrap();
    write(&store, "main", "a/e", "1", 5);
    let side = write(&store, "side", "a/b", "3", 6);
    // The merge brings what its second parent did, which is told there.
    let merge = merged(store.merge(&branch("main"), &side.id(), at(7)).unwrap());
    let removed = store.update(&branch("main"), at(8), |tree| tree.remove(&path("a"))).unwrap().0;
    let touching = |at_path: &str| messages(store.log(&removed.id()).touching(path(at_path)));
    assert_eq!(touching("a/b"), ["at 8", "at 6", "at 3", "at 1"]);
    assert_eq!(touching("a/b/below"), [""; 0]);
    assert_eq!(touching("c"), ["at 2"]);
    assert_eq!(touching("nowhere/at/all"), [""; 0]);
    assert_eq!(touching("a"), ["at 8", "at 7", "at 6", "at 5", "at 4", "at 3", "at 1"]);
    assert_eq!(messages(store.log(&merge.id()).touching(path("a/b"))), ["at 6", "at 3", "at 1"]);
}

#[test]
fn the_log_of_a_missing_commit_is_an_error_and_ends() {
    let store = Store::memory();
    let missing = Id::of(b"missing");
    let mut log = store.log(&missing);
    assert!(matches!(log.next(), Some(Err(StorageError::Missing { id })) if id == missing));
    assert!(log.next().is_none());
    assert!(store.commit(&missing).unwrap().is_none());
    assert!(matches!(
        store.merge(&branch("main"), &missing, at(1)),
        Err(jitsu_store::MergeError::Storage(StorageError::Missing { .. }))
    ));
}

#[test]
fn commits_are_found_by_the_beginning_of_their_id() {
    let store = Store::memory();
    let mut ids: Vec<Id> = (0..100).map(|n| write(&store, "main", "a", "1", n).id()).collect();
    ids.sort_unstable();
    for id in &ids {
        assert_eq!(store.find_commits(&id.to_string()).unwrap(), [*id]);
        assert!(store.find_commits(&id.short()).unwrap().contains(id));
    }
    let of_one_digit: Vec<Id> =
        ids.iter().copied().filter(|id| id.to_string().starts_with('7')).collect();
    assert_eq!(store.find_commits("7").unwrap(), of_one_digit);
    assert_eq!(store.find_commits("").unwrap().len(), FOUND_MAX);
    assert_eq!(store.find_commits("not hexadecimal").unwrap(), []);
    assert_eq!(store.find_commits(&"a".repeat(65)).unwrap(), []);
    // Trees have ids as well, and are not commits.
    let tree = store.head(&branch("main")).unwrap().unwrap().tree();
    assert_eq!(store.find_commits(&tree.id().to_string()).unwrap(), []);
}

#[test]
fn metadata_comes_back_as_it_was_given() {
    let store = Store::memory();
    let mut meta = at(u64::MAX);
    meta.fields.insert("method".into(), "want".into());
    meta.fields.insert(String::new(), "ünïcode\n".into());
    let set = |tree: &mut jitsu_store::Tree| tree.set(&path("a"), text("1"));
    let (commit, ()) = store.update(&branch("main"), meta.clone(), set).unwrap();
    let other = Store::memory();
    assert!(other.commit(&commit.id()).unwrap().is_none());
    assert_eq!(store.commit(&commit.id()).unwrap().unwrap().meta(), &meta);
}
