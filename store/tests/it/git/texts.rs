//! Owns the tests that contents of several objects are edited with `git` and an editor, as texts,
//! and come back as what was written.

use std::fs;

use jitsu_store::git::{self, Fault, GitError, ObjectFormat};
use jitsu_store::{Contents, Journal, ListRope, Map, Queue, Store, TextRope};

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

#[test]
fn each_kind_is_edited_as_a_text() {
    let mut map = Map::new();
    map.set("visits", Contents::Counter(1));
    let made = edited(&Contents::Map(map.clone()), |file| {
        file.replace("A1%", "A2%").replace("map\n", "map\ntitle=welcome\n")
    });
    map.set("visits", Contents::Counter(2));
    map.set("title", Contents::text("welcome"));
    assert_eq!(made, Contents::Map(map));

    let mut log = Journal::new();
    (0..70).for_each(|n| log.append(n, Contents::text(format!("entry {n}"))).unwrap());
    let made = edited(&Contents::Log(log.clone()), |file| file + "70 one more\n");
    log.append(70, Contents::text("one more")).unwrap();
    assert_eq!(made, Contents::Log(log));

    let mut rope = TextRope::of("Xen starts.\n".repeat(200));
    rope.insert(600, "It stops.\n".repeat(70)).unwrap();
    let made = edited(&Contents::TextRope(rope.clone()), |file| file.replace("stops", "pauses"));
    let Contents::TextRope(made) = made else { panic!("{made}") };
    assert_eq!(made.text().unwrap(), rope.text().unwrap().replace("stops", "pauses"));

    let made = edited(&Contents::ListRope(ListRope::of(vec![])), |file| file + "a\nb\n");
    let list = ListRope::of(vec![Contents::text("a"), Contents::text("b")]);
    assert_eq!(made, Contents::ListRope(list));
}

#[test]
fn an_export_of_an_earlier_version_is_told() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    let queue = Contents::Queue(Queue::new());
    store.update(&branch("main"), at(1), |tree| tree.set(&path("jobs"), queue.clone())).unwrap();
    repo.export(&store);
    // As that one wrote it.
    let clone = repo.clone_to("clone");
    fs::write(clone.join("jobs"), "jitsu objects\nc%01q%00%00\n").unwrap();
    run(&clone, &["commit", "-qam", "as it was"]);
    run(&clone, &["push", "-q", "origin", "main"]);
    let error = git::import(&store, &repo.open(), &merger()).unwrap_err().to_string();
    assert!(error.contains(", jobs: line 1: objects of contents that are a text"), "{error}");
    let earlier = format!("{} {}", "0".repeat(64), "0".repeat(40));
    let line = format!("{earlier} {:08x}\n", crc32fast::hash(earlier.as_bytes()));
    fs::write(repo.bare().join("jitsu-ids"), line).unwrap();
    let error = git::export(&store, &repo.open()).unwrap_err();
    assert!(matches!(error, GitError::Earlier(_)), "{error}");
}
