//! Owns the tests of what the commands say, to a person and by their exit code.

mod remote;

use std::path::Path as FilePath;
use std::process::Command;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{BranchName, Contents, Meta, Store};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitsu-store"));
    command.args(arguments);
    command
}

/// Runs the command; what it says, and whether it succeeded.
fn run(arguments: &[&str]) -> (String, String, bool) {
    let output = command(arguments).output().unwrap();
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
    Store::on(Arc::new(Log::open(folder, LogOptions::default()).unwrap())).unwrap()
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
    assert!(!success && err.contains("is open already, in process "), "{err}");
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
    let (_, err, success) = run(&["export-git", &store, &repository, "--sha256"]);
    assert!(!success && err.contains("names objects by SHA-1: leave out --sha256"), "{err}");
    let imported = said_without_ids(&["import-git", &back, &repository]);
    assert!(imported.starts_with("main is now at …\nplan is now at …\n3 commits, "), "{imported}");
    assert_eq!(said(&["branches", &back]), said(&["branches", &store]));
    let diff = |folder: &str| said(&["diff", folder, "main", "plan"]);
    assert_eq!(diff(&back), diff(&store));
}

#[test]
fn trees_are_pulled_as_deep_as_asked() {
    let (folder, store) = a_store();
    write(&store, "main", "services/mail", &Contents::text("on"), 4_000);
    let (from, thin) = (at(&folder, "store"), at(&folder, "thin"));
    let first = store.log(&store.resolve("main").unwrap().id()).last().unwrap().unwrap().id();
    let pull = |depth| said_without_ids(&["pull", "--depth", depth, &thin, &from, "main"]);
    assert_eq!(pull("1"), "main is now at …");
    assert_eq!(said(&["log", &thin, "main"]), said(&["log", &from, "main"]));
    assert_eq!(said(&["ls", &thin, "@main"]), said(&["ls", &from, "@main"]));
    let first = format!("@{first}");
    let (_, err, success) = run(&["ls", &thin, &first]);
    assert!(!success && err.contains("let go"), "{err}");
    assert_eq!(pull("9"), "main has it already");
    assert_eq!(said(&["ls", &thin, &first]), said(&["ls", &from, &first]));
    let (_, err, success) = run(&["pull", "--depth", "0", &thin, &from]);
    assert!(!success && err.contains("0"), "{err}");
}

#[test]
fn stores_are_pulled_and_pushed() {
    let (folder, store) = a_store();
    let (from, to) = (at(&folder, "store"), at(&folder, "other"));
    let pulled = said_without_ids(&["pull", &to, &from]);
    assert_eq!(pulled, "main is now at …\nplan is now at …");
    assert_eq!(said(&["branches", &to]), said(&["branches", &from]));
    assert_eq!(said(&["pull", &to, &from, "plan"]), "plan has it already\n");
    write(&store, "main", "services/mail", &Contents::text("on"), 4_000);
    let pushed = said(&["push", &from, &to]);
    assert_eq!(pushed, "main was moved\nplan is there already\n");
    {
        let there = open(FilePath::new(&to));
        write(&there, "main", "services/www", &Contents::text("there"), 5_000);
    }
    let (out, _, success) = run(&["push", &from, &to, "main"]);
    assert!(!success && out.starts_with("main was not moved: it has "), "{out}");
    write(&store, "main", "services/db", &Contents::text("here"), 6_000);
    assert!(said(&["pull", &to, &from, "main"]).starts_with("main is merged, and now at "));
    write(&store, "main", "services/www", &Contents::text("here"), 7_000);
    let (out, _, success) = run(&["pull", &to, &from, "main", "none"]);
    assert!(!success && out.starts_with("main cannot be merged, and was not moved:\n"), "{out}");
    assert!(out.ends_with(&format!("none is not in {from}\n")), "{out}");
}

#[test]
fn a_store_is_reached_over_ssh() {
    let (folder, _store) = a_store();
    let (from, to) = (at(&folder, "store"), at(&folder, "it's another"));
    let programs = FilePath::new(env!("CARGO_BIN_EXE_jitsu-store")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let ssh = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ssh");
    let over = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jitsu-store"));
        let command = command.args(arguments).env("JITSU_SSH", ssh).env("PATH", &path);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.success())
    };
    let (out, err, success) = over(&["push", &from, &format!("dom0:{to}")]);
    assert!(success && out == "main was moved\nplan was moved\n", "{out}{err}");
    assert_eq!(said(&["branches", &to]), said(&["branches", &from]));
    let back = at(&folder, "back");
    let (out, err, success) = over(&["pull", &back, &format!("dom0:{to}"), "plan"]);
    assert!(success && out.starts_with("plan is now at "), "{out}{err}");
    let (_, err, success) = over(&["pull", &back, "moon:/store"]);
    assert!(!success && err.starts_with("no host moon\n"), "{err}");
    assert!(err.contains("the other store cannot be reached"), "{err}");
    let (_, err, success) = over(&["pull", &back, &format!("dom0:{}", at(&folder, "none"))]);
    assert!(!success && err.contains("No such file"), "{err}");
    let (_, err, success) = over(&["push", &back, &format!("dom0:{from}")]);
    assert!(!success && err.contains("is open already, in process "), "{err}");
    let (_, err, success) = over(&["pull", "--", &back, "-oProxyCommand=x:/store"]);
    assert!(!success && err.contains("is no HOST:FOLDER"), "{err}");
}

#[test]
fn a_slice_is_written_and_taken_in() {
    let (folder, store) = a_store();
    let (from, to) = (at(&folder, "store"), at(&folder, "other"));
    let (all, new) = (at(&folder, "all.slice"), at(&folder, "new.slice"));
    assert_eq!(said(&["export-slice", &from, &all]), "2 branches, 9 objects\n");
    write(&store, "main", "services/mail", &Contents::text("on"), 4_000);
    let exported = said(&["export-slice", &from, &new, "main", "--since", "main~1"]);
    assert_eq!(exported, "1 branches, 3 objects\n");
    let (_, err, success) = run(&["import-slice", &to, &new]);
    assert!(!success && err.contains("the slice builds on the commit"), "{err}");
    let imported = said_without_ids(&["import-slice", &to, &all]);
    assert_eq!(imported, "main is now at …\nplan is now at …\n9 objects read");
    assert!(said(&["import-slice", &to, &new]).starts_with("main is now at "));
    assert_eq!(said(&["branches", &to]), said(&["branches", &from]));
    assert!(said(&["import-slice", &to, &all]).starts_with("main has it already\n"));
    let (_, err, success) = run(&["import-slice", &to, &at(&folder, "store/00000001.segment")]);
    assert!(!success && err.ends_with("00000001.segment: this is no slice\n"), "{err}");
}

/// What would be written to a file that is there does not come to be: the file stays.
#[test]
fn a_file_is_replaced_by_a_whole_one_or_not_at_all() {
    let (folder, store) = a_store();
    let (from, file) = (at(&folder, "store"), at(&folder, "file"));
    std::fs::write(&file, "of before").unwrap();
    drop(store);
    assert!(!run(&["export-slice", &from, &file, "none"]).2);
    assert!(!run(&["export-slice", &from, &file, "--since", "none"]).2);
    // The damage is found when a part of the slice is written.
    let segment = FilePath::new(&from).join("00000001.segment");
    let whole = std::fs::read(&segment).unwrap();
    let needle = b"set services/db";
    let db = whole.windows(needle.len()).position(|it| it == needle).unwrap();
    let mut damaged = whole.clone();
    damaged[db] ^= 1;
    std::fs::write(&segment, damaged).unwrap();
    let (_, err, success) = run(&["export-slice", &from, &file, "main", "plan"]);
    assert!(!success && err.contains("a wrong checksum"), "{err}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of before");
    assert_eq!(folder.path().read_dir().unwrap().count(), 2, "something was left beside it");
    std::fs::write(&segment, whole).unwrap();
    assert_eq!(said(&["export-slice", &from, &file]), "2 branches, 9 objects\n");
    let link = at(&folder, "link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    said(&["prove", &from, "services/www", &link]);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(run(&["verify", &file, "none"]).1.contains("\"none\" names no commit: an id is 64"));
    // What is no file is written to as it is.
    let piped = command(&["export-slice", &from, "/dev/stdout", "main"]).output().unwrap();
    assert!(piped.stdout.starts_with(b"jitsuslc") && piped.stdout.ends_with(b", 6 objects\n"));
    assert!(!run(&["prove", &from, "services/www", folder.path().to_str().unwrap()]).2);
}

#[test]
fn what_was_is_proven_without_the_store() {
    let (folder, store) = a_store();
    let (from, file) = (at(&folder, "store"), at(&folder, "proof"));
    let id = store.resolve("main~1").unwrap().id().to_string();
    let proven = said(&["prove", &from, "services/www@main~1", &file]);
    assert!(proven.starts_with(&format!("/services/www in {id}\n")), "{proven}");
    drop((store, std::fs::remove_dir_all(&from).unwrap()));
    assert_eq!(said(&["verify", &file, &id]), "/services/www was: on\n");
    let (_, err, success) = run(&["verify", &file, &id[..12]]);
    assert!(!success && err.contains("names no commit: an id is 64 lower-case"), "{err}");
    let (_, err, success) = run(&["verify", &file, &"0".repeat(64)]);
    assert!(!success && err.contains("this proves something of the commit"), "{err}");
    let (short, bytes) = (at(&folder, "short"), std::fs::read(&file).unwrap());
    std::fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
    let (_, err, success) = run(&["verify", &short, &id]);
    let expected = "/short: the proof cannot be read: the object ends too early\n";
    assert!(!success && err.ends_with(expected), "{err}");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (_, err, success) = run(&["verify", &file, &id]);
    assert!(!success && err.contains("the proof lacks the object"), "{err}");
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
    let (_, err, success) = run(&["log", &damaged]);
    assert!(!success && err.contains(": `fsck` tells what is whole, `repair` "), "{err}");
    let out = said(&["repair", &damaged, &new]);
    assert!(out.contains("plan is damaged, at ") && out.contains("; whole up to "), "{out}");
    assert!(said(&["fsck", &new]).contains("plan is whole, at "));
    assert_eq!(said(&["branches", &new]).lines().next(), before.lines().next());
    assert_eq!(said(&["log", &new, "plan"]), said(&["log", &new, "main~1"]));
    let (_, err, success) = run(&["repair", &damaged, &new]);
    assert!(!success && err.contains("holds one already"), "{err}");
    // Nothing that is left is no success.
    let none = at(&folder, "none");
    std::fs::write(&file, [7; 4096]).unwrap();
    let (out, _, success) = run(&["repair", &damaged, &none]);
    assert!(!success && out.contains("byte 0: a file without the header of a store\n"), "{out}");
    assert!(out.ends_with(&format!("\n0 objects written to {none}\n")), "{out}");
}

#[test]
fn what_no_branch_leads_to_is_collected() {
    let (folder, store) = a_store();
    let at_path = at(&folder, "store");
    let (_, err, success) = run(&["gc", &at_path]);
    assert!(!success && err.contains("is open already, in process "), "{err}");
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
fn old_trees_are_let_go_and_it_is_said() {
    let (folder, store) = a_store();
    let (store_at, copy) = (at(&folder, "store"), at(&folder, "copy"));
    drop(store);
    // The only commit that is no head is what a merge of the two would be based on.
    let out = said(&["gc", &store_at, "--keep-days", "1"]);
    assert!(out.starts_with("0 commits are without their trees now\nremoved: 0 "), "{out}");
    said(&["merge", &store_at, "plan"]);
    let log = said(&["log", &store_at]);
    let out = said(&["gc", &store_at, "--keep-newest", "1"]);
    assert!(out.starts_with("2 commits are without their trees now\nremoved: "), "{out}");
    assert_eq!(said(&["log", &store_at]), log);
    assert!(said(&["fsck", &store_at]).contains("main is whole, at "));
    assert!(said(&["log", &store_at, "store/retention"]).contains("but for the newest 1\n"));
    let (_, err, success) = run(&["cat", &store_at, "services/www@main~1"]);
    assert!(!success && err.contains(" was let go: see `log` of the branch store/ret"), "{err}");
    let (_, err, success) = run(&["log", &store_at, "--path", "services/www"]);
    assert!(!success && err.contains("the tree of the commit "), "{err}");
    // What goes is gone: a name that is mistyped stops it.
    let refused = ["gc", &store_at, "--keep-newest", "1", "--keep-branch", "plam"];
    let (_, err, success) = run(&refused);
    assert!(!success && err.contains("there is no branch plam to keep"), "{err}");
    // A copy is the same.
    said(&["pull", &copy, &store_at]);
    assert_eq!(said(&["log", &copy]), log);
    assert!(said(&["fsck", &copy]).contains("main is whole, at "));
    // What is newer than the trees that went is told.
    write(&open(FilePath::new(&copy)), "main", "services/www", &Contents::text("new"), 9_000);
    let (out, err, success) = run(&["log", &copy, "--path", "services/www"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(!success && lines.len() == 2 && err.is_empty(), "{out}{err}");
    assert!(lines[0].ends_with("  set services/www"), "{out}");
    assert!(lines[1].starts_with("what was before cannot be told: the tree of "), "{out}");
}

#[test]
fn what_is_wrong_is_said_on_standard_error() {
    let (folder, _store) = a_store();
    let (store, empty) = (at(&folder, "store"), at(&folder, ""));
    let segment = at(&folder, "store/00000001.segment");
    for (arguments, expected) in [
        (&["log", &empty][..], "holds no store"),
        (&["merge", &empty, "plan"], "holds no store"),
        (&["log", &store, "none"], "there is no branch and no commit \"none\""),
        (&["cat", &store, "services"], "/services is a directory"),
        (&["cat", &store, "nothing"], "there is nothing at /nothing in "),
        (&["ls", &store, "services/www"], "there is no directory at /services/www"),
        (&["import-git", &store, &empty], "cannot open"),
        (&["repair", &store, &segment], "00000001.segment: cannot make the store's folder"),
        (&["gc", &store], ": stop that first, or ask it"),
    ] {
        let (out, err, success) = run(arguments);
        assert!(!success && out.is_empty(), "{arguments:?}: {out}");
        assert!(err.starts_with("jitsu store: ") && err.contains(expected), "{arguments:?}: {err}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["log", &store]).stdout(full).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("cannot write to standard output"), "{err}");
}

#[test]
fn bench_measures_each_kind_of_store_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let rows = |arguments: &[&str], start: &str| {
        said(arguments).lines().filter(|line| line.starts_with(start)).count()
    };
    let w1 = ["bench", at, "-n", "20", "--only", "w1"];
    let kinds = ["W1: ", "memory", "log", "git "].map(|start| rows(&w1, start));
    assert_eq!(kinds, [1, 2, 2, 1]);
    assert_eq!(rows(&w1, "git-memory "), usize::from(FilePath::new("/dev/shm").exists()));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let in_memory = ["bench", "-n", "20", "--only", "W3"];
    assert_eq!(["memory", "log", "git"].map(|start| rows(&in_memory, start)), [2, 0, 0]);
    assert!(!run(&["bench", "--only", "W99"]).2);
}
