//! Owns the tests that contents of several objects are edited with `git` and an editor, as texts,
//! and come back as what was written.

use std::fs;

use jitsu_store::git::{self, Fault, GitError, ObjectFormat};
use jitsu_store::{Contents, Queue, Store};

use super::fixture::{Repo, git as run, merger};
use crate::fixture::{at, branch, path};

/// What somebody makes of the file of contents, in a plain clone.
fn edited(contents: &Contents, edit: impl Fn(String) -> String) -> Contents {
    let mut made = None;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (store, repo) = (Store::memory(), Repo::new(format));
        let set = |tree: &mut jitsu_store::Tree| tree.set(&path("file"), contents.clone());
        store.update(&branch("main"), at(1), set).unwrap();
        repo.export(&store);
        let clone = repo.clone_to("clone");
        let file = clone.join("file");
        fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
        run(&clone, &["commit", "-qam", "edited"]);
        run(&clone, &["push", "-q", "origin", "main"]);
        // Whoever has nothing of the store makes the same of it.
        fs::remove_file(repo.bare().join("jitsu-ids")).unwrap();
        let back = Store::memory();
        repo.import(&back);
        let again = Repo::new(format);
        again.export(&back);
        again.check();
        assert_eq!(again.heads(), repo.heads());
        let head = back.head(&branch("main")).unwrap().unwrap();
        made = head.tree().get(&path("file")).unwrap();
    }
    made.unwrap()
}

#[test]
fn a_line_added_to_a_queue_is_pushed() {
    let mut queue = Queue::new();
    (0..40).for_each(|n| queue.push(Contents::text(format!("job {n}"))).unwrap());
    (0..35).for_each(|_| drop(queue.pop().unwrap()));
    let made = edited(&Contents::Queue(queue.clone()), |file| file + "one more\n");
    queue.push(Contents::text("one more")).unwrap();
    assert_eq!(made, Contents::Queue(queue));
}

#[test]
fn a_text_that_is_wrong_is_named_by_file_and_line() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    let queue = Contents::Queue(Queue::new());
    store.update(&branch("main"), at(1), |tree| tree.set(&path("a/jobs"), queue.clone())).unwrap();
    repo.export(&store);
    let clone = repo.clone_to("clone");
    fs::write(clone.join("a/jobs"), "jitsu queue\nfirst\n100%\n").unwrap();
    run(&clone, &["commit", "-qam", "edited"]);
    run(&clone, &["push", "-q", "origin", "main"]);
    let before = store.branches().unwrap();
    let error = git::import(&store, &repo.open(), &merger()).unwrap_err();
    let GitError::Import { path, fault: Fault::Text { line: 3, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(path, "a/jobs");
    assert!(error.to_string().contains(", a/jobs: line 3: `%`"), "{error}");
    assert_eq!(store.branches().unwrap(), before);
}
