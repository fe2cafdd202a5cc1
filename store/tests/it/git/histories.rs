//! Owns the tests that any history of a store goes to Git and comes back: with every kind of
//! contents, odd names and odd words, merged crosswise, in both formats of Git.

use std::fs;

use jitsu_store::git::{Fault, GitError, ObjectFormat, Sent};
use jitsu_store::{
    Contents, Meta, PATH_STEPS_MAX, Path, Queue, Register, Step, Store, TextRope, Tree,
};
use proptest::prelude::*;

use super::fixture::{Repo, heads};
use crate::fixture::{at, branch, merged, path, text, write};

const STEPS: [&str; 16] = [
    "a",
    "b",
    "a.b",
    "a0",
    ".git",
    "%2Egit",
    "GIT~1",
    ".gitmodules",
    ".gitattributes",
    "ü",
    "with space",
    "new\nline",
    "\\",
    "-",
    ".git\u{200c}",
    "100755 a",
];
const ATTRIBUTES: &str = ".gitattributes";
const BRANCHES: [&str; 3] = ["main", "x/*y", "x/z@1"];

#[derive(Clone, Debug)]
enum Action {
    Set(Path, Contents),
    Remove(Path),
    Merge(usize),
}

fn any_path() -> impl Strategy<Value = Path> {
    let step = prop::sample::select(STEPS.to_vec()).prop_map(|step| Step::new(step).unwrap());
    prop::collection::vec(step, 1..4).prop_map(|steps| Path::from_steps(steps).unwrap())
}

fn any_contents() -> impl Strategy<Value = Contents> {
    prop_oneof![
        4 => any::<Vec<u8>>().prop_map(Contents::bytes),
        2 => "(jitsu counter\n1\n|jitsu bytes\n){0,2}".prop_map(Contents::text),
        1 => any::<i64>().prop_map(Contents::Counter),
        1 => (any::<u64>(), any::<Vec<u8>>()).prop_map(|(time_ms, value)| {
            Contents::Register(Register { time_ms, tie_break: 1, value: value.into() })
        }),
        1 => any::<[Vec<u8>; 2]>().prop_map(Contents::set),
        2 => (0..100_u8, 0..40_usize).prop_map(|(pushed, popped)| queue(pushed, popped)),
        1 => ".{0,9}".prop_map(|text| Contents::TextRope(TextRope::of(text.repeat(700)))),
        2 => prop::collection::vec(prop::sample::select(vec![
            "100755 a", "120000 b", "100755 .gitattributes", "100755 none", "100777 a", "",
        ]), 0..4).prop_map(Contents::set),
    ]
}

/// A queue of several objects, if it is long.
fn queue(pushed: u8, popped: usize) -> Contents {
    let mut queue = Queue::new();
    for element in 0..pushed {
        queue.push(Contents::bytes(vec![element; usize::from(element)])).unwrap();
    }
    for _ in 0..popped {
        queue.pop().unwrap();
    }
    Contents::Queue(queue)
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let words = || "(a|<a@b>| |\n|\0|Jitsu-Field: a=b|ü|%0A){0,5}";
    let fields = prop::collection::btree_map(words(), words(), 0..3);
    let time_ms = prop_oneof![9 => 0..5000u64, 1 => any::<u64>()];
    (time_ms, words(), words(), fields).prop_map(|(time_ms, author, message, fields)| Meta {
        time_ms,
        author,
        message,
        fields,
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (any_path(), any_contents()).prop_map(|(path, it)| {
            let is_attributes = path.steps().last().is_some_and(|it| it.as_str() == ATTRIBUTES);
            let is_long = matches!(it, Contents::Queue(_) | Contents::TextRope(_));
            // What Git would refuse is refused before: see the test of that.
            let it = if is_attributes && is_long { Contents::Counter(1) } else { it };
            Action::Set(path, it)
        }),
        1 => any_path().prop_map(Action::Remove),
        3 => (0..BRANCHES.len()).prop_map(Action::Merge),
    ]
}

fn act(store: &Store, on: usize, action: &Action, meta: Meta) {
    let on = branch(BRANCHES[on]);
    let edit = |tree: &mut Tree| {
        match action {
            // What is refused, as a path through contents, changes nothing and is committed so.
            Action::Set(path, contents) => drop(tree.set(path, contents.clone())),
            Action::Remove(path) => {
                tree.remove(path)?;
            }
            Action::Merge(_) => {}
        }
        Ok::<_, jitsu_store::TreeError>(())
    };
    if let Action::Merge(from) = action {
        if let Some(from) = store.head(&branch(BRANCHES[*from])).unwrap() {
            store.merge(&on, &from.id(), meta).unwrap();
        }
    } else {
        store.update(&on, meta, edit).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_goes_to_git_and_comes_back(
        rounds in prop::collection::vec(
            prop::collection::vec((0..BRANCHES.len(), any_action(), any_meta()), 1..12),
            1..4,
        ),
        is_sha256: bool,
        forgets: bool,
    ) {
        let format = if is_sha256 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let (store, repo) = (Store::memory(), Repo::new(format));
        for actions in &rounds {
            for (on, action, meta) in actions {
                act(&store, *on, action, meta.clone());
            }
            if forgets {
                let _ = fs::remove_file(repo.bare().join("jitsu-ids"));
            }
            repo.export(&store);
            repo.check();
        }
        // By ids alone, without what the repository remembers.
        let _ = fs::remove_file(repo.bare().join("jitsu-ids"));
        let back = Store::memory();
        repo.import(&back);
        prop_assert_eq!(heads(&back), heads(&store));
        for (_, head) in back.branches().unwrap() {
            for commit in back.log(&head) {
                commit.unwrap().tree().entries().for_each(|entry| drop(entry.unwrap()));
            }
        }
        let again = Repo::new(format);
        again.export(&back);
        prop_assert_eq!(again.heads(), repo.heads());
    }
}

#[test]
fn a_second_export_costs_what_changed() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    let wide = |tree: &mut Tree| {
        for n in 0..2000 {
            tree.set(&path(&format!("{}/{}/{n}", n % 10, n % 100)), text(&n.to_string()))?;
        }
        Ok::<_, jitsu_store::TreeError>(())
    };
    store.update(&branch("main"), at(1), wide).unwrap();
    (2..100).for_each(|n| drop(write(&store, "main", "0/0/0", &n.to_string(), n)));
    let first = repo.export(&store);
    assert_eq!(first.commits, 99);
    assert!(first.objects_written > 2000);
    write(&store, "main", "7/17/317", "new", 1000);
    let second = repo.export(&store);
    // The commit, three directories, one file; read: the parent and the same directories.
    assert_eq!((second.commits, second.objects_written, second.objects_read), (1, 5, 4));
    let third = repo.export(&store);
    assert_eq!((third.commits, third.objects_written, third.objects_read), (0, 0, 0));
    assert!(matches!(third.branches[..], [(_, Sent::Already(_))]));
    repo.check();
    // And back: the commit, its parent, and what differs on both sides.
    let back = Store::memory();
    repo.import(&back);
    write(&store, "main", "7/17/317", "newer", 1001);
    repo.export(&store);
    let imported = repo.import(&back);
    assert_eq!((imported.commits, imported.objects_read), (1, 9));
    assert_eq!(heads(&back), heads(&store));
}

#[test]
fn one_directory_of_many_entries_costs_what_changed() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha256));
    let many = |tree: &mut Tree| {
        (0..3000).try_for_each(|n| tree.set(&path(&format!("{n}")), text(&n.to_string())))
    };
    store.update(&branch("main"), at(1), many).unwrap();
    repo.export(&store);
    write(&store, "main", "1234", "new", 2);
    let second = repo.export(&store);
    assert_eq!((second.objects_written, second.objects_read), (3, 2));
    repo.check();
}

#[test]
fn a_branch_of_git_that_is_ahead_is_left() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", "a", "1", 1);
    repo.export(&store);
    let other = Store::memory();
    repo.import(&other);
    write(&other, "main", "a", "2", 2);
    repo.export(&other);
    let there = repo.heads();
    let write_ours = |n| write(&store, "main", "b", "ours", n);
    for n in 3..5 {
        write_ours(n);
        let exported = repo.export(&store);
        assert!(matches!(exported.branches[..], [(_, Sent::Ahead(_))]));
        assert_eq!(repo.heads(), there);
    }
    repo.import(&store);
    assert!(matches!(repo.export(&store).branches[..], [(_, Sent::Moved(_))]));
    repo.check();
}

#[test]
fn branches_that_git_cannot_have_together_are_named() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "a/b", "x", "1", 1);
    write(&store, "a", "x", "1", 1);
    let error = jitsu_store::git::export(&store, &repo.open()).unwrap_err();
    assert_eq!(error.to_string(), "Git cannot have the branches a and a/b together; rename one");
    assert!(repo.heads().is_empty());
}

/// The set stays as it is while what is left of it, a file in Git, comes and goes.
#[test]
fn modes_of_files_that_come_later_are_given_to_them() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    let set = Contents::set(["100755 a", "120000 b"]);
    store.update(&branch("main"), at(1), |tree| tree.set(&path(".git"), set.clone())).unwrap();
    let listed = || {
        repo.export(&store);
        repo.check();
        repo.git(&["ls-tree", "--format=%(objectmode) %(path)", "main"])
    };
    assert_eq!(listed(), "100644 %2Egit\n");
    write(&store, "main", "a", "x", 2);
    assert_eq!(listed(), "100644 %2Egit\n100755 a\n");
    write(&store, "main", "b", "a", 3);
    assert_eq!(listed(), "100755 a\n120000 b\n");
    store.update(&branch("main"), at(4), |tree| tree.remove(&path("a")).map(drop)).unwrap();
    assert_eq!(listed(), "100644 %2Egit\n120000 b\n");
    fs::remove_file(repo.bare().join("jitsu-ids")).unwrap();
    let back = Store::memory();
    repo.import(&back);
    assert_eq!(heads(&back), heads(&store));
}

#[test]
fn as_many_directories_as_a_path_may_have_go_and_come_back() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", &["d"; PATH_STEPS_MAX].join("/"), "deep", 1);
    repo.export(&store);
    repo.check();
    fs::remove_file(repo.bare().join("jitsu-ids")).unwrap();
    let back = Store::memory();
    repo.import(&back);
    assert_eq!(heads(&back), heads(&store));
    // A whole tree can be put deeper than a path leads.
    let deeper = |tree: &mut Tree| {
        let below = store.head(&branch("main"))?.expect("it was just written").tree();
        tree.set_tree(&path("above"), below)
    };
    store.update(&branch("main"), at(2), deeper).unwrap();
    let error = jitsu_store::git::export(&store, &repo.open()).unwrap_err();
    let fault = Fault::TooDeep(PATH_STEPS_MAX);
    assert!(matches!(error, GitError::Export { fault: found, .. } if found == fault));
}

#[test]
fn what_git_would_refuse_as_attributes_is_named() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    let at_path = path("a/.gitattributes");
    let set = |tree: &mut Tree, contents: Contents| tree.set(&at_path, contents);
    store.update(&branch("main"), at(1), |tree| set(tree, queue(99, 0))).unwrap();
    repo.export(&store);
    repo.check();
    let long = Contents::set(["x".repeat(2048)]);
    store.update(&branch("main"), at(2), |tree| set(tree, long.clone())).unwrap();
    let error = jitsu_store::git::export(&store, &repo.open()).unwrap_err();
    let GitError::Export { path, fault: Fault::Attributes(2047), .. } = error else {
        panic!("{error}")
    };
    assert_eq!(path, "a/.gitattributes");
}

#[test]
fn a_merge_shows_in_the_graph_of_git() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", "a", "1", 1000);
    let side = write(&store, "side", "b", "2", 2000);
    merged(store.merge(&branch("main"), &side.id(), at(3500)).unwrap());
    repo.export(&store);
    let log = repo.git(&["log", "--graph", "--format=%an|%at|%s", "main"]);
    let expected = "*   test|3|at 3500\n|\\  \n| * test|2|at 2000\n* test|1|at 1000\n";
    assert_eq!(log, expected);
    assert_eq!(repo.git(&["show", "main:b"]), "2");
}
