//! Owns the tests of what people do with `git` to an exported store: edit, commit, merge, rebase,
//! push; and that it comes back.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::git::{Landed, ObjectFormat, export_commits};
use jitsu_store::{Contents, Keep, Meta, Store};

use super::fixture::{Repo, git, heads, landed};
use crate::disk::SimDisk;
use crate::fixture::{branch, path, text, write};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

fn commit(clone: &FilePath, file: &str, bytes: &str, message: &str) {
    let file = clone.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
    git(clone, &["add", "-A"]);
    git(clone, &["commit", "-q", "-m", message]);
}

/// Imports into a store, and shows that an export from it has the same ids.
fn round_trip(repo: &Repo, store: &Store, format: ObjectFormat) {
    repo.import(store);
    let again = Repo::new(format);
    again.export(store);
    again.check();
    assert_eq!(again.heads(), repo.heads());
    // And by what the commits say alone.
    fs::remove_file(repo.bare().join("jitsu-ids")).unwrap();
    let fresh = Store::memory();
    repo.import(&fresh);
    for (name, head) in heads(&fresh) {
        assert_eq!(heads(store).get(&name), Some(&head));
    }
}

#[test]
fn an_export_goes_on_where_old_trees_were_let_go() {
    let log = Log::open_on(Arc::new(SimDisk::new()), LogOptions::default()).unwrap();
    let log = Arc::new(log);
    let store = Store::on(log.clone()).unwrap();
    for time in 0..5 {
        write(&store, "main", &format!("a/{time}"), &format!("{time:0100}\n"), time);
    }
    let repo = Repo::new(ObjectFormat::Sha1);
    repo.export(&store);
    let keep = Keep { newest: 1, ..Keep::default() };
    log.let_go(&store.let_go(&keep, &Meta::default()).unwrap()).unwrap();
    write(&store, "main", "a/1", "changed\n", 6);
    repo.export(&store);
    log.let_go(&store.let_go(&keep, &Meta::default()).unwrap()).unwrap();
    write(&store, "main", "a/2", "changed\n", 7);
    repo.export(&store);
    repo.check();
    let clone = repo.clone_to("clone");
    assert_eq!(fs::read_to_string(clone.join("a/1")).unwrap(), "changed\n");
    // What was not exported in time cannot be any more.
    let late = Repo::new(ObjectFormat::Sha1);
    let error = jitsu_store::git::export(&store, &late.open()).unwrap_err();
    assert!(error.to_string().ends_with(" was let go"), "{error}");
    assert!(late.heads().is_empty());
}

#[test]
fn what_is_done_with_git_comes_back_with_the_same_ids() {
    for format in FORMATS {
        let (store, repo) = (Store::memory(), Repo::new(format));
        write(&store, "main", "services/www", "on\n", 1_234);
        store
            .update(&branch("main"), crate::fixture::at(2_000), |tree| {
                tree.set(&path("count"), Contents::Counter(3))
            })
            .unwrap();
        repo.export(&store);
        let clone = repo.clone_to("clone");
        commit(&clone, "services/www", "off\n", "switch off\n\nwith a body");
        commit(&clone, "count", "jitsu counter\n4\n", "count");
        commit(&clone, "run.sh", "#!/bin/sh\n", "a script");
        fs::set_permissions(clone.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("run.sh", clone.join("link")).unwrap();
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-q", "-m", "modes"]);
        git(&clone, &["checkout", "-q", "-b", "side", "HEAD~2"]);
        commit(&clone, "deep/er/file", "x", "deeper");
        commit(&clone, "deep/er/file", "xy", "deeper yet");
        git(&clone, &["commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""]);
        git(&clone, &["checkout", "-q", "main"]);
        git(&clone, &["merge", "-q", "--no-ff", "-m", "merge side", "side"]);
        git(&clone, &["checkout", "-q", "-b", "rebased", "side"]);
        git(&clone, &["rebase", "-q", "main~1"]);
        git(&clone, &["push", "-q", "origin", "main", "side", "rebased"]);
        round_trip(&repo, &store, format);
        let head = store.head(&branch("main")).unwrap().unwrap();
        let get = |at: &str| head.tree().get(&path(at)).unwrap();
        assert_eq!(get("services/www"), Some(text("off\n")));
        assert_eq!(get("count"), Some(Contents::Counter(4)));
        assert_eq!(get(".git"), Some(Contents::set(["100755 run.sh", "120000 link"])));
        assert_eq!(head.meta().author, "Ann Lee <ann@example.org>");
        assert_eq!(head.meta().message, "merge side");
        assert_eq!(head.parents().len(), 2);
        // What the store commits on top of it keeps the modes.
        write(&store, "main", "more", "1", 3_000);
        repo.export(&store);
        git(&clone, &["checkout", "-q", "main"]);
        git(&clone, &["pull", "-q", "--ff-only"]);
        assert!(fs::metadata(clone.join("run.sh")).unwrap().permissions().mode() & 0o100 != 0);
        assert_eq!(fs::read_link(clone.join("link")).unwrap(), FilePath::new("run.sh"));
        // And they can go again.
        fs::set_permissions(clone.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_file(clone.join("link")).unwrap();
        git(&clone, &["commit", "-q", "-am", "plain"]);
        git(&clone, &["push", "-q", "origin", "main"]);
        round_trip(&repo, &store, format);
        let head = store.head(&branch("main")).unwrap().unwrap();
        assert_eq!(head.tree().get(&path(".git")).unwrap(), None);
    }
}

#[test]
fn commits_of_the_store_that_git_rewrites_keep_their_fields() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", "a", "1", 1_000);
    let mut meta = crate::fixture::at(2_250);
    meta.fields.insert("method".into(), "want\nwww".into());
    store.update(&branch("side"), meta, |tree| tree.set(&path("b"), text("2"))).unwrap();
    repo.export(&store);
    let clone = repo.clone_to("clone");
    git(&clone, &["checkout", "-q", "side"]);
    git(&clone, &["rebase", "-q", "main"]);
    git(&clone, &["push", "-q", "origin", "side:rebased"]);
    round_trip(&repo, &store, ObjectFormat::Sha1);
    let rebased = store.head(&branch("rebased")).unwrap().unwrap();
    assert_eq!(rebased.meta().fields["method"], "want\nwww");
    assert_eq!((rebased.meta().time_ms, &*rebased.meta().author), (2_250, "test"));
    assert!(rebased.meta().fields["git.committer"].starts_with("Bob <bob@example.org>"));
}

#[test]
fn a_branch_with_commits_on_both_sides_is_merged() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", "a", "1", 1);
    write(&store, "other", "a", "1", 1);
    repo.export(&store);
    let clone = repo.clone_to("clone");
    commit(&clone, "theirs", "t", "theirs");
    git(&clone, &["checkout", "-q", "other"]);
    commit(&clone, "a", "theirs", "theirs");
    git(&clone, &["push", "-q", "origin", "main", "other"]);
    write(&store, "main", "ours", "o", 2);
    write(&store, "other", "a", "ours", 2);
    let before = heads(&store);
    let imported = repo.import(&store);
    let Landed::Merged(id) = landed(&imported, "main") else { panic!("{imported:?}") };
    let main = store.head(&branch("main")).unwrap().unwrap();
    assert_eq!((main.id(), main.parents()[0]), (*id, before[&branch("main")]));
    assert_eq!(main.meta().author, "merger");
    assert_eq!(main.tree().get(&path("ours")).unwrap(), Some(text("o")));
    assert_eq!(main.tree().get(&path("theirs")).unwrap(), Some(text("t")));
    let Landed::Conflicts(conflicts) = landed(&imported, "other") else { panic!("{imported:?}") };
    assert_eq!(conflicts[0].path, path("a"));
    assert_eq!(heads(&store)[&branch("other")], before[&branch("other")]);
    assert!(matches!(landed(&repo.import(&store), "main"), Landed::Already));
    repo.export(&store);
    git(&clone, &["checkout", "-q", "main"]);
    git(&clone, &["pull", "-q", "--ff-only"]);
    assert_eq!(fs::read_to_string(clone.join("ours")).unwrap(), "o");
    repo.check();
}

#[test]
fn what_was_packed_is_read() {
    for format in FORMATS {
        let (store, repo) = (Store::memory(), Repo::new(format));
        (1..60).for_each(|n| drop(write(&store, "main", &format!("{n}"), "x", n * 1_100)));
        repo.export(&store);
        repo.git(&["gc", "-q", "--aggressive", "--prune=now"]);
        assert!(!repo.git(&["count-objects", "-v"]).contains("in-pack: 0"));
        let back = Store::memory();
        repo.import(&back);
        assert_eq!(heads(&back), heads(&store));
        write(&store, "main", "more", "x", 100_000);
        assert_eq!(repo.export(&store).commits, 1);
        repo.check();
    }
}

#[test]
fn a_repository_can_be_made_here() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("new");
        let repo = jitsu_store::git::Repository::create(&at, format).unwrap();
        assert_eq!(repo.object_format(), format);
        let store = Store::memory();
        write(&store, "main", "a", "1", 1);
        jitsu_store::git::export(&store, &repo).unwrap();
        git(&at, &["fsck", "--strict"]);
        assert_eq!(git(&at, &["show", "main:a"]), "1");
    }
}

#[test]
fn a_repository_with_a_work_tree_is_not_exported_to() {
    let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
    write(&store, "main", "a", "1", 1);
    repo.export(&store);
    let clone = jitsu_store::git::Repository::open(repo.clone_to("clone")).unwrap();
    let error = jitsu_store::git::export(&store, &clone).unwrap_err();
    assert!(matches!(error, jitsu_store::git::GitError::NotBare(_)));
    // It can be read.
    let back = Store::memory();
    jitsu_store::git::import(&back, &clone, &super::fixture::merger()).unwrap();
    assert_eq!(heads(&back), heads(&store));
}

/// Whether Git takes an object for old is asked of `git prune`; it keeps what a new commit refers to,
/// so that this one is removed before, as if it had not been written yet.
#[test]
fn an_object_that_is_put_again_is_new_to_git() {
    for is_packed in [false, true] {
        let (store, repo) = (Store::memory(), Repo::new(ObjectFormat::Sha1));
        let export = |name: &str, time| {
            let commit = write(&store, name, "a/b", "1", time);
            export_commits(&store, &repo.open(), &[commit.id()]).unwrap()[0].to_string()
        };
        let first = export("first", 1);
        if is_packed {
            repo.git(&["branch", "first", &first]);
            repo.git(&["repack", "-a", "-d", "-q"]);
            repo.git(&["branch", "-D", "first"]);
        }
        let objects = repo.bare().join("objects");
        for folder in fs::read_dir(&objects).unwrap().map(|it| it.unwrap().path()) {
            for file in fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
                let file = fs::File::open(file).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(30 * 86_400)).unwrap();
            }
        }
        let second = export("second", 2);
        let put_again =
            ["^{tree}", ":a", ":a/b"].map(|at| repo.git(&["rev-parse", &(second.clone() + at)]));
        fs::remove_file(objects.join(&second[..2]).join(&second[2..])).unwrap();
        repo.git(&["repack", "-A", "-d", "-q", "--unpack-unreachable=1.week.ago"]);
        repo.git(&["prune", "--expire=1.week.ago"]);
        let kept =
            |id: &str| repo.git(&["cat-file", "--batch-all-objects", "--batch-check"]).contains(id);
        assert!(!kept(&first), "nothing was pruned");
        for id in put_again {
            assert!(kept(id.trim()), "{id} was pruned");
        }
    }
}
