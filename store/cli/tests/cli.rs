//! Owns the tests of what the commands say, to a person and by their exit code.

use std::path::Path as FilePath;
use std::process::Command;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{BranchName, Contents, Meta, Store};

/// Runs the command; what it says, and whether it succeeded.
fn run(arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_jitsu-store")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let (out, err, success) = run(arguments);
    assert!(success, "{arguments:?}: {out}{err}");
    out
}

/// The same with `…` for every id of a commit.
#[track_caller]
fn said_without_ids(arguments: &[&str]) -> String {
    let lines = said(arguments);
    let lines = lines.lines().map(|line| {
        let words = line.split(' ').map(|word| if is_id(word) { "…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_id(word: &str) -> bool {
    word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn branch(name: &str) -> BranchName {
    BranchName::new(name).unwrap()
}

fn write(store: &Store, on: &str, path: &str, contents: &Contents, time_ms: u64) {
    let meta = Meta {
        time_ms,
        author: "ann".into(),
        message: format!("set {path}\nand more"),
        ..Meta::default()
    };
    store
        .update(&branch(on), meta, |tree| tree.set(&path.parse().unwrap(), contents.clone()))
        .unwrap();
}

fn open(folder: &FilePath) -> Store {
    Store::open(Arc::new(Log::open(folder, LogOptions::default()).unwrap())).unwrap()
}

/// A store in a folder, which is open as long as it is held.
fn a_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    write(&store, "main", "services/www", &Contents::text("on\n"), 1_000);
    let head = store.head(&branch("main")).unwrap().unwrap();
    let mut batch = store.batch();
    batch.set(&branch("plan"), &head).unwrap();
    batch.publish().unwrap();
    write(&store, "plan", "services/db", &Contents::Counter(3), 2_000);
    write(&store, "main", "services/www", &Contents::text("off\n"), 3_000);
    (folder, store)
}

fn at(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_store_is_looked_into_while_someone_has_it_open() {
    let (folder, _store) = a_store();
    let store = at(&folder, "store");
    assert_eq!(
        said_without_ids(&["log", &store]),
        "…  1970-01-01T00:00:03.000Z  ann  set services/www\n\
         …  1970-01-01T00:00:01.000Z  ann  set services/www"
    );
    assert_eq!(
        said_without_ids(&["log", &store, "plan", "-n", "1"]),
        "…  1970-01-01T00:00:02.000Z  ann  set services/db"
    );
    assert_eq!(said(&["cat", &store, "services/www"]), "off\n");
    assert_eq!(said(&["cat", &store, "/services/www@main~1"]), "on\n");
    assert_eq!(said(&["cat", &store, "services/db@plan"]), "3\n");
    assert_eq!(said(&["ls", &store]), "services/\n");
    assert_eq!(said(&["ls", &store, "services@plan"]), "db = 3\nwww = on\n");
    assert_eq!(
        said(&["diff", &store, "main", "plan"]),
        "+ services/db = 3\n- services/www = off\n+ services/www = on\n"
    );
    assert_eq!(
        said_without_ids(&["branches", &store]),
        "main  …  1970-01-01T00:00:03.000Z  set services/www\n\
         plan  …  1970-01-01T00:00:02.000Z  set services/db"
    );
}

#[test]
fn a_merge_is_drawn() {
    let (folder, store) = a_store();
    let folder = at(&folder, "store");
    let (_, err, success) = run(&["merge", &folder, "plan"]);
    assert!(!success && err.contains("is open in another process"), "{err}");
    drop(store);
    assert!(said(&["merge", &folder, "plan"]).starts_with("main is now at\n"));
    assert_eq!(said(&["merge", &folder, "plan"]), "main has it already\n");
    let drawn = said_without_ids(&["log", "--graph", &folder]);
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(
        lines[0].starts_with("*   …  ") && lines[0].ends_with("  merge plan into main  (main)")
    );
    assert_eq!(
        lines[1..],
        [
            "|\\",
            "| * …  1970-01-01T00:00:02.000Z  ann  set services/db  (plan)",
            "* | …  1970-01-01T00:00:03.000Z  ann  set services/www",
            "|/",
            "* …  1970-01-01T00:00:01.000Z  ann  set services/www",
        ]
    );
}

#[test]
fn a_conflict_is_told_with_its_three_sides() {
    let (folder, store) = a_store();
    write(&store, "plan", "services/www", &Contents::text("slow"), 4_000);
    drop(store);
    let (out, _, success) = run(&["merge", &at(&folder, "store"), "plan"]);
    assert!(!success);
    assert_eq!(
        out,
        "plan and main cannot be merged; nothing was changed:\n  services/www: both sides changed \
         it\n    was:    on\n    ours:   off\n    theirs: slow\n"
    );
}

#[test]
fn a_store_goes_to_git_and_comes_back() {
    let (folder, _store) = a_store();
    let (store, repository, back) = (at(&folder, "store"), at(&folder, "git"), at(&folder, "back"));
    let exported = said_without_ids(&["export-git", &store, &repository]);
    assert_eq!(exported, "main is now at …\nplan is now at …\n3 commits, 12 objects written");
    let again = said_without_ids(&["export-git", &store, &repository]);
    assert_eq!(again, "main is at … already\nplan is at … already\n0 commits, 0 objects written");
    let imported = said_without_ids(&["import-git", &back, &repository]);
    assert!(imported.starts_with("main is now at …\nplan is now at …\n3 commits, "), "{imported}");
    assert_eq!(said(&["branches", &back]), said(&["branches", &store]));
    let diff = |folder: &str| said(&["diff", folder, "main", "plan"]);
    assert_eq!(diff(&back), diff(&store));
}

#[test]
fn damage_is_told_and_repaired_into_a_new_folder() {
    let (folder, store) = a_store();
    let (damaged, new) = (at(&folder, "store"), at(&folder, "new"));
    let ends = |folder: &str| said(&["fsck", folder]).ends_with("1 files, 9 objects, 3 commits\n");
    assert!(ends(&damaged), "{}", said(&["fsck", &damaged]));
    let rows = said(&["stat", &damaged]);
    assert!(rows.contains("\nplan               own: 3 objects, "), "{rows}");
    assert!(rows.contains("garbage            0 objects, 0 bytes\n"), "{rows}");
    let before = said(&["branches", &damaged]);
    drop(store);
    let file = FilePath::new(&damaged).join("00000001.segment");
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"set services/db";
    let db = bytes.windows(needle.len()).position(|it| it == needle).unwrap();
    bytes[db] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (out, _, success) = run(&["fsck", &damaged]);
    assert!(!success && out.contains("00000001.segment, byte "), "{out}");
    assert!(out.contains(", needed by plan\n") && out.contains("main is whole, at "), "{out}");
    let out = said(&["repair", &damaged, &new]);
    assert!(out.contains("plan is damaged, at ") && out.contains("; whole up to "), "{out}");
    assert!(said(&["fsck", &new]).contains("plan is whole, at "));
    assert_eq!(said(&["branches", &new]).lines().next(), before.lines().next());
    assert_eq!(said(&["log", &new, "plan"]), said(&["log", &new, "main~1"]));
    let (_, err, success) = run(&["repair", &damaged, &new]);
    assert!(!success && err.contains("holds one already"), "{err}");
}

#[test]
fn what_no_branch_leads_to_is_collected() {
    let (folder, store) = a_store();
    let at_path = at(&folder, "store");
    let (_, err, success) = run(&["gc", &at_path]);
    assert!(!success && err.contains("is open in another process"), "{err}");
    let mut batch = store.batch();
    batch.delete(&branch("plan")).unwrap();
    batch.publish().unwrap();
    drop(store);
    let before = said(&["log", &at_path]);
    let out = said(&["gc", &at_path]);
    assert!(out.starts_with("removed: 3 objects, ") && out.contains("kept: 6 objects"), "{out}");
    assert_eq!(said(&["log", &at_path]), before);
    assert!(said(&["gc", &at_path]).starts_with("removed: 0 objects, 0 bytes\n"));
}

#[test]
fn what_is_wrong_is_said_on_standard_error() {
    let (folder, _store) = a_store();
    let (store, empty) = (at(&folder, "store"), at(&folder, ""));
    for (arguments, expected) in [
        (&["log", &empty][..], "holds no store"),
        (&["merge", &empty, "plan"], "holds no store"),
        (&["log", &store, "none"], "there is no branch and no commit \"none\""),
        (&["cat", &store, "services"], "/services is a directory"),
        (&["cat", &store, "nothing"], "there is nothing at /nothing in main"),
        (&["ls", &store, "services/www"], "there is no directory at /services/www"),
        (&["import-git", &store, &empty], "cannot open"),
    ] {
        let (out, err, success) = run(arguments);
        assert!(!success && out.is_empty(), "{arguments:?}: {out}");
        assert!(err.starts_with("jitsu store: ") && err.contains(expected), "{arguments:?}: {err}");
    }
}
