//! Owns the tests of repositories that are damaged, or hold what the store cannot hold: each is a
//! clear error before anything moves, and what was interrupted can be read and done again.

use std::fs;
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};

use jitsu_store::git::{self, Fault, GitError, ObjectFormat, Repository};
use jitsu_store::{Id, Meta, Store};

use super::fixture::{Repo, git as run, heads, landed, merger};
use crate::fixture::{at, branch, write};

/// A repository in which a store was exported, and the store.
fn exported() -> (Store, Repo) {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    for n in 1..4 {
        write(&store, "main", "dir/file", &n.to_string(), n);
        write(&store, "side", "dir/file", &n.to_string(), n);
    }
    repo.export(&store);
    (store, repo)
}

/// Puts an object without asking whether it makes sense.
fn put(repo: &Repo, kind: &str, bytes: &[u8]) -> String {
    let mut child = Command::new("git")
        .current_dir(repo.bare())
        .args(["hash-object", "-w", "--literally", "--stdin", "-t", kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success());
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn raw(id: &str) -> Vec<u8> {
    (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()).collect()
}

fn tree(repo: &Repo, entries: &[(&[u8], &str)]) -> String {
    let entry = |(name, id): &(&[u8], &str)| [name, &b"\0"[..], &raw(id)].concat();
    put(repo, "tree", &entries.iter().map(entry).collect::<Vec<_>>().concat())
}

/// Points a new branch at a commit of this tree.
fn commit(repo: &Repo, tree: &str) -> String {
    let text = format!("tree {tree}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nbad\n");
    point(repo, text.as_bytes())
}

fn point(repo: &Repo, commit: &[u8]) -> String {
    let id = put(repo, "commit", commit);
    fs::write(repo.bare().join("refs/heads/bad"), format!("{id}\n")).unwrap();
    id
}

/// Imports, and gives what is wrong, at which path, of which commit. Nothing has moved.
fn refused(repo: &Repo) -> (String, String, Fault) {
    let store = Store::memory();
    let error = git::import(&store, &repo.open(), &merger()).unwrap_err();
    assert!(heads(&store).is_empty());
    match error {
        GitError::Import { commit, path, fault } => (commit.to_string(), path, fault),
        other => panic!("{other}"),
    }
}

#[test]
fn what_the_store_cannot_hold_is_named_by_commit_and_path() {
    let (_, repo) = exported();
    let file = put(&repo, "blob", b"x");
    let set = put(&repo, "blob", b"jitsu set\n100755 a\n");
    let plain = tree(&repo, &[(b"100644 a", &file)]);
    let empty = tree(&repo, &[]);
    let long = format!("100644 {}", "x".repeat(256));
    let mut deep = plain.clone();
    for _ in 0..300 {
        deep = tree(&repo, &[(b"40000 d", &deep)]);
    }
    let odd = |entries: &[(&[u8], &str)]| tree(&repo, entries);
    for (tree, path, fault) in [
        (odd(&[(b"160000 sub", &plain)]), "sub", Some(Fault::Submodule)),
        (odd(&[(b"100644 .gitmodules", &file)]), ".gitmodules", Some(Fault::Submodule)),
        (odd(&[(b"100664 f", &file)]), "f", Some(Fault::Mode(0o100_664))),
        (odd(&[(b"10644 f", &file)]), "f", Some(Fault::Mode(0o10_644))),
        (odd(&[(b"100644 .git", &file)]), ".git", Some(Fault::Name)),
        (odd(&[(b"100755 %2Egit", &file)]), "%2Egit", Some(Fault::Name)),
        (odd(&[(b"100755 %2Egit", &set)]), "%2Egit", Some(Fault::Name)),
        (odd(&[(b"100644 %2Egit", &set), (b"100644 a", &file)]), "%2Egit", Some(Fault::Name)),
        (odd(&[(b"100644 %2Egit", &set), (b"100755 a", &file)]), "%2Egit", Some(Fault::Name)),
        (odd(&[(b"40000 ..", &plain)]), "..", Some(Fault::Name)),
        (odd(&[(b"100644 a/b", &file)]), "a/b", Some(Fault::Name)),
        (odd(&[(b"100644 \xff", &file)]), "", Some(Fault::Name)),
        (odd(&[(long.as_bytes(), &file)]), &long[7..], Some(Fault::Name)),
        (odd(&[(b"40000 e", &empty)]), "e", Some(Fault::EmptyDirectory)),
        (odd(&[(b"40000 d", &deep)]), &["d"; 256].join("/"), Some(Fault::TooDeep(256))),
        (odd(&[(b"0100644 f", &file)]), "", None),
        (odd(&[(b"100644 b", &file), (b"100644 a", &file)]), "", None),
        (odd(&[(b"100644 a", &file), (b"100644 a", &file)]), "", None),
        (odd(&[(b"100644 a", &plain)]), "a", None),
        (odd(&[(b"40000 a", &file)]), "a", None),
        (put(&repo, "tree", b"100644 a"), "", None),
    ] {
        let id = commit(&repo, &tree);
        let (commit, at, found) = refused(&repo);
        assert_eq!((&*commit, &*at), (&*id, path), "{found}");
        match fault {
            Some(fault) => assert_eq!(found, fault),
            None => assert!(matches!(found, Fault::Malformed(_)), "{found}"),
        }
    }
    commit(&repo, &plain);
    repo.import(&Store::memory());
}

#[test]
fn what_is_no_commit_is_named() {
    let (_, repo) = exported();
    let file = put(&repo, "blob", b"x");
    let tree = tree(&repo, &[(b"100644 a", &file)]);
    let words = "author A <a> 1 +0000\ncommitter A <a> 1 +0000\n";
    let first = put(&repo, "commit", format!("tree {tree}\n{words}\nfirst\n").as_bytes());
    for (text, path) in [
        (format!("tree {tree}\nauthor A <a> 1 +0000\n\nno committer\n"), ""),
        (format!("tree {}\n{words}\nshort\n", &tree[1..]), ""),
        (format!("tree {tree}\n{words}"), ""),
        (format!("tree {first}\n{words}\nno tree\n"), ""),
        (format!("tree {tree}\nparent {first}\nparent {first}\n{words}\ntwice\n"), ""),
        (String::new(), ""),
    ] {
        let id = point(&repo, text.as_bytes());
        let (commit, at, fault) = refused(&repo);
        assert_eq!((&*commit, &*at), (&*id, path), "{fault}");
        assert!(matches!(fault, Fault::Malformed(_) | Fault::Parents(16)), "{fault}");
    }
    fs::write(repo.bare().join("refs/heads/bad"), format!("{file}\n")).unwrap();
    assert!(matches!(refused(&repo), (id, _, Fault::Malformed(_)) if id == file));
}

#[test]
fn words_that_are_no_text_come_back() {
    let (store, repo) = exported();
    let file = put(&repo, "blob", b"x");
    let tree = tree(&repo, &[(b"100644 a", &file)]);
    let start = format!("tree {tree}\n");
    for words in [
        &b"author \xe9 <\xff> 1 +0000\ncommitter <> x\nencoding latin-1\n\n\xe9t\xe9"[..],
        b"author \ncommitter \n\n\0\0\n",
        b"author A <a> 99999999999999999999 +9999\ncommitter A <a> -1 +0000\n\n\n\n",
        b"author A <a> 1 +0000\ncommitter A <a> 1 +0000\ngpgsig -\n \n x\n\n\nJitsu-Field: git.author=b\n",
    ] {
        let id = point(&repo, &[start.as_bytes(), words].concat());
        repo.import(&store);
        let head = store.head(&branch("bad")).unwrap().unwrap();
        let again = Repo::new(ObjectFormat::Sha1);
        again.export(&store);
        assert_eq!(again.heads()["bad"], id, "{:?}", head.meta());
        let mut batch = store.batch();
        batch.delete(&branch("bad")).unwrap();
        batch.publish().unwrap();
    }
}

#[test]
fn missing_and_damaged_objects_are_named() {
    let object = |repo: &Repo, id: &str| repo.bare().join("objects").join(&id[..2]).join(&id[2..]);
    for what in ["main", "main~1", "main^{tree}", "main:dir", "main:dir/file"] {
        for damage in ["missing", "empty", "torn", "changed", "replaced"] {
            let (_, repo) = exported();
            let id = repo.git(&["rev-parse", what]).trim().to_owned();
            let file = object(&repo, &id);
            let bytes = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            let other = put(&repo, "blob", b"something else");
            match damage {
                "missing" => {}
                "empty" => fs::write(&file, b"").unwrap(),
                "torn" => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
                "replaced" => drop(fs::copy(object(&repo, &other), &file).unwrap()),
                _ => {
                    let mut bytes = bytes;
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x10;
                    fs::write(&file, bytes).unwrap();
                }
            }
            let (_, _, fault) = refused(&repo);
            let named = match fault {
                Fault::Missing(id) => (damage == "missing").then_some(id),
                Fault::Damaged(id) | Fault::Malformed(id) => Some(id),
                _ => None,
            };
            assert_eq!(named.map(|id| id.to_string()), Some(id), "{what} {damage}");
        }
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let (_, repo) = exported();
    let bytes = vec![b'x'; (64 << 20) + 1];
    let file = put(&repo, "blob", &bytes);
    commit(&repo, &tree(&repo, &[(b"100644 huge", &file)]));
    let (_, path, fault) = refused(&repo);
    assert_eq!(path, "huge");
    assert!(matches!(fault, Fault::TooLarge { bytes, .. } if bytes == (64 << 20) + 1));
}

#[test]
fn a_commit_with_a_reserved_field_is_refused_by_name() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    for (author, value) in [
        ("test", "x"),
        ("test", "%41"),
        // Lines that would be others of the commit.
        ("x\ncommitter y", "x%0Acommitter y <> 0 +0100"),
    ] {
        let fields = [("git.author".to_owned(), value.to_owned())].into();
        let meta = Meta { author: author.to_owned(), fields, ..at(0) };
        let made = store.update(&branch("main"), meta, |_| Ok::<_, GitError>(())).unwrap().0;
        let error = git::export(&store, &repo.open()).unwrap_err();
        let GitError::Export { commit, fault: Fault::Reserved, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(commit, made.id());
        assert!(repo.heads().is_empty());
        let mut batch = store.batch();
        batch.delete(&branch("main")).unwrap();
        batch.publish().unwrap();
    }
}

#[test]
fn a_branch_with_a_name_that_the_store_cannot_have_is_left() {
    let (store, repo) = exported();
    repo.git(&["branch", "b#d", "main"]);
    let imported = repo.import(&store);
    assert!(matches!(landed(&imported, "b#d"), git::Landed::Refused));
    assert!(matches!(landed(&imported, "main"), git::Landed::Already));
}

#[test]
fn what_is_no_repository_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none")] {
        let opened = Repository::open(&path);
        assert!(matches!(opened, Err(GitError::Repository { op: "open", .. })));
    }
}

#[test]
fn branches_that_are_kept_in_another_way_are_not_overlooked() {
    let (_, repo) = exported();
    repo.git(&["config", "core.repositoryFormatVersion", "1"]);
    repo.git(&["config", "extensions.refStorage", "files"]);
    repo.open();
    // Not every `git` that these tests run with can make such a repository.
    let config = repo.bare().join("config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("= files", "= reftable")).unwrap();
    let opened = Repository::open(repo.bare());
    assert!(matches!(opened, Err(GitError::Branched { format, .. }) if format == "reftable"));
}

#[test]
fn an_export_that_cannot_move_a_branch_moves_none_and_can_be_done_again() {
    let (store, repo) = exported();
    let before = repo.heads();
    write(&store, "main", "more", "1", 10);
    write(&store, "side", "more", "2", 10);
    let lock = repo.bare().join("refs/heads/side.lock");
    fs::write(&lock, b"").unwrap();
    assert!(git::export(&store, &repo.open()).is_err());
    assert_eq!(repo.heads(), before);
    repo.check();
    fs::remove_file(lock).unwrap();
    repo.export(&store);
    repo.check();
    let back = Store::memory();
    repo.import(&back);
    assert_eq!(heads(&back), heads(&store));
}

const KILLED: &str = "JITSU_STORE_EXPORT_TO";

/// The history that [`export_process`] exports.
fn long_history() -> Store {
    let store = Store::memory();
    for n in 0..400 {
        write(&store, "main", &format!("{}/{}", n % 7, n % 31), &n.to_string(), n);
    }
    store
}

/// Run by [`an_export_that_is_killed_leaves_what_can_be_read`] as a process of its own; by itself
/// it does nothing.
#[test]
fn export_process() {
    let Some(folder) = std::env::var_os(KILLED) else { return };
    let (store, repo) = (long_history(), Repository::open(FilePath::new(&folder)).unwrap());
    git::export(&store, &repo).unwrap();
}

#[test]
fn an_export_that_is_killed_leaves_what_can_be_read() {
    let store = long_history();
    let main: Id = heads(&store)[&branch("main")];
    let repo = Repo::new(ObjectFormat::Sha1);
    let objects = |repo: &Repo| -> usize {
        let counted = run(&repo.bare(), &["count-objects"]);
        counted.split(' ').next().unwrap().parse().unwrap()
    };
    let mut killed = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["git::hostile::export_process", "--exact", "--nocapture"])
            .env(KILLED, repo.bare())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Killed when it has written some more, wherever it is then.
        let enough = objects(&repo) + 20 + 13 * round;
        while objects(&repo) < enough && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        repo.check();
    }
    assert!(killed > 2, "killed only {killed} times");
    repo.export(&store);
    repo.check();
    let back = Store::memory();
    repo.import(&back);
    assert_eq!(heads(&back)[&branch("main")], main);
}
