//! Owns the tests of a Git remote as a peer: what is pushed and pulled over each transport, what is
//! refused, and that whatever is killed can be done again.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jitsu_store::{Contents, Queue, Store};
use tempfile::TempDir;

use super::{a_store, at, open, write};

/// Stands for ssh: knows one host, which is here.
const SSH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ssh");

/// The command, with a `git` that hears nothing of this machine's configuration.
fn jitsu(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitsu-store"));
    alone(&mut command).args(arguments);
    command
}

fn alone(command: &mut Command) -> &mut Command {
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_SSH_COMMAND", SSH),
        ("GIT_SSH_VARIANT", "simple"),
        ("GIT_AUTHOR_NAME", "Ann"),
        ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ("GIT_COMMITTER_NAME", "Ann"),
        ("GIT_COMMITTER_EMAIL", "ann@example.org"),
    ] {
        command.env(name, value);
    }
    command
}

/// What a command says, and what it says to standard error, and whether it succeeded.
fn run(command: &mut Command) -> (String, String, bool) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let (out, err, success) = run(&mut jitsu(arguments));
    assert!(success, "{arguments:?}: {out}{err}");
    out
}

#[track_caller]
fn git(folder: &FilePath, arguments: &[&str]) -> String {
    let (out, err, success) =
        run(alone(&mut Command::new("git")).current_dir(folder).args(arguments));
    assert!(success, "git {arguments:?}: {out}{err}");
    out
}

/// A bare repository in a folder.
fn bare(folder: &TempDir, name: &str, format: &str) -> PathBuf {
    let format = format!("--object-format={format}");
    git(folder.path(), &["init", "-q", "--bare", "-b", "main", &format, name]);
    folder.path().join(name)
}

/// What the remote has, which `git` finds whole.
#[track_caller]
fn heads(bare: &FilePath) -> String {
    git(bare, &["fsck", "--strict", "--full", "--no-dangling"]);
    git(bare, &["for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads"])
}

fn set(store: &Store, path: &str, contents: &Contents) {
    write(store, "main", path, contents, 10_000);
}

/// A first push asks an empty remote how it names objects, of which `git` warns that it is empty.
#[test]
fn a_push_to_an_empty_remote_says_nothing_but_what_is_wrong() {
    let (folder, _store) = a_store();
    let here = at(&folder, "store");
    let remote = bare(&folder, "empty.git", "sha1");
    let (out, err, success) =
        run(&mut jitsu(&["push", &here, &format!("git:{}", remote.display())]));
    assert!(success && err.is_empty(), "{out}{err}");
    // What else is said is told: by each `git`, one to look, one to ask, one to push.
    let remote = bare(&folder, "another.git", "sha1");
    let url = format!("git:dom0:{}", remote.display());
    let ssh = format!("echo a warning >&2; {SSH}");
    let (out, err, success) = run(jitsu(&["push", &here, &url]).env("GIT_SSH_COMMAND", ssh));
    assert!(success, "{out}{err}");
    assert_eq!(err, "a warning\n".repeat(3));
}

#[test]
fn stores_meet_at_a_git_remote() {
    for (number, (format, transport)) in
        [("sha1", ""), ("sha1", "file://"), ("sha256", "dom0:"), ("sha1", "dom0:")]
            .into_iter()
            .enumerate()
    {
        let (folder, store) = a_store();
        let remote = bare(&folder, &format!("it's {number}.git"), format);
        let url = format!("git:{transport}{}", remote.display());
        let (here, there) = (at(&folder, "store"), at(&folder, "other"));
        assert_eq!(said(&["pull", &there, &url]), "0 commits, 0 objects read\n");
        assert_eq!(said(&["push", &here, &url, "main"]), "main was moved\n");
        assert_eq!(heads(&remote).lines().count(), 1);
        assert_eq!(said(&["push", &here, &url]), "main is there already\nplan was moved\n");
        // Only what is named, and then all.
        let pulled = said(&["pull", &there, &url, "plan", "plan"]);
        assert!(pulled.starts_with("plan is now at "), "{pulled}");
        assert!(!said(&["branches", &there]).contains("main"));
        let (out, _, success) = run(&mut jitsu(&["pull", &there, &url, "main", "none"]));
        assert!(!success && out.ends_with(&format!("none is not in {}\n", &url[4..])), "{out}");
        assert_eq!(said(&["branches", &there]), said(&["branches", &here]));
        // Both count, and push to a queue: whoever is second must pull, and nothing is lost.
        let other = open(FilePath::new(&there));
        for (store, name, count) in [(&store, "a", 3), (&other, "b", 5)] {
            let mut queue = Queue::new();
            queue.push(Contents::text(name)).unwrap();
            set(store, "jobs", &Contents::Queue(queue));
            set(store, "count", &Contents::Counter(count));
        }
        drop(other);
        assert_eq!(said(&["push", &here, &url, "main"]), "main was moved\n");
        let before = heads(&remote);
        let (out, _, success) = run(&mut jitsu(&["push", &there, &url]));
        let behind = format!("{} has commits that are not here; pull first", &url[4..]);
        assert!(!success, "{out}");
        assert_eq!(out, format!("main was not moved: {behind}\nplan is there already\n"));
        assert_eq!(heads(&remote), before);
        assert!(said(&["pull", &there, &url]).starts_with("main is merged, and now at "));
        assert_eq!(said(&["push", &there, &url, "main"]), "main was moved\n");
        drop(store);
        assert!(said(&["pull", &here, &url]).starts_with("main is now at "));
        assert_eq!(said(&["branches", &here]), said(&["branches", &there]));
        assert_eq!(said(&["cat", &here, "count"]), "8\n");
        // And with `git` itself.
        git(folder.path(), &["clone", "-q", remote.to_str().unwrap(), "clone"]);
        let clone = folder.path().join("clone");
        let jobs = fs::read_to_string(clone.join("jobs")).unwrap();
        fs::write(clone.join("jobs"), jobs.replace("% closed\n", "") + "c\n").unwrap();
        fs::write(clone.join("count"), "jitsu counter\n9\n").unwrap();
        git(&clone, &["commit", "-qam", "by hand"]);
        git(&clone, &["push", "-q", "origin", "main"]);
        said(&["pull", &here, &url]);
        assert_eq!(said(&["cat", &here, "count"]), "9\n");
        assert_eq!(said(&["push", &here, &url, "main"]), "main is there already\n");
        // A fetch brings what is new, and no more.
        let pulled = said(&["pull", &there, &url, "main"]);
        assert!(pulled.contains("\n1 commits, "), "{pulled}");
    }
}

#[test]
fn what_the_remote_refuses_is_told() {
    let (folder, store) = a_store();
    let remote = bare(&folder, "remote.git", "sha1");
    let url = format!("git:{}", remote.display());
    let here = at(&folder, "store");
    let hook = remote.join("hooks/update");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n[ \"$1\" != refs/heads/plan ]\n").unwrap();
    let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&hook, runnable).unwrap();
    let (out, _, success) = run(&mut jitsu(&["push", &here, &url]));
    assert!(!success, "{out}");
    assert_eq!(out, "main was moved\nplan was not moved: [remote rejected] (hook declined)\n");
    // Both sides changed the same, and it stays so until somebody says what is right.
    let there = at(&folder, "there");
    said(&["pull", &there, &url, "main"]);
    set(&store, "services/www", &Contents::text("here"));
    said(&["push", &here, &url, "main"]);
    set(&open(FilePath::new(&there)), "services/www", &Contents::text("there"));
    for _ in 0..2 {
        let (out, _, success) = run(&mut jitsu(&["pull", &there, &url]));
        assert!(
            !success && out.starts_with("main cannot be merged, and was not moved:\n"),
            "{out}"
        );
    }
    let (out, _, success) = run(&mut jitsu(&["push", &there, &url]));
    assert!(!success && out.ends_with("pull first\n"), "{out}");
    let (out, _, success) = run(&mut jitsu(&["push", &here, &url, "none"]));
    assert!(!success && out == format!("none is not in {here}\n"), "{out}");
    for (url, what) in [
        ("git:", "git: names no repository"),
        ("git:-x", "git:-x names no repository"),
        ("git:/nowhere", "git cannot read /nowhere"),
        ("git:moon:/nowhere", "git cannot read moon:/nowhere"),
    ] {
        for command in ["pull", "push"] {
            let (_, err, success) = run(&mut jitsu(&[command, "--", &here, url]));
            assert!(!success && err.contains(what), "{err}");
        }
    }
}

/// Writes so many commits.
fn go_on(store: &Store, from: usize, count: usize) {
    for n in from..from + count {
        set(store, &format!("{}/{}", n % 7, n % 41), &Contents::text(n.to_string()));
    }
}

const KILLS: usize = 30;

/// When a command is killed: at all times between its start and its end, as far as that is known.
#[derive(Debug)]
struct Kills {
    end: Duration,
    count: usize,
}

impl Default for Kills {
    fn default() -> Kills {
        Kills { end: Duration::from_millis(100), count: 0 }
    }
}

impl Kills {
    fn kill(&mut self, command: &mut Command, round: usize) {
        let part = (round * 7 % 30) as f64 / 30.0;
        if killed(command, self.end.mul_f64(part)) {
            self.count += 1;
            self.end = self.end.mul_f64(1.0 + part / 10.0);
        } else {
            self.end = self.end.mul_f64(0.9);
        }
    }
}

/// Kills a command, with all that it started, after a while; whether it was still running.
fn killed(command: &mut Command, after: Duration) -> bool {
    let quiet = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().unwrap();
    std::thread::sleep(after);
    let is_running = child.try_wait().unwrap().is_none();
    let group = format!("-{}", child.id());
    // If it has ended so has all that it waits for.
    if is_running {
        run(Command::new("kill").args(["-KILL", "--", &group]));
    }
    child.wait().unwrap();
    is_running
}

/// Removes the locks that a remote is left with, as `git` says to do: they are not the mirror's.
fn unlock(bare: &FilePath) {
    for lock in ["refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"] {
        let _ = fs::remove_file(bare.join(lock));
    }
}

#[test]
fn a_push_or_pull_that_is_killed_can_be_done_again() {
    let (folder, store) = a_store();
    let remote = bare(&folder, "remote.git", "sha1");
    let url = format!("git:{}", remote.display());
    let (here, there) = (at(&folder, "store"), at(&folder, "there"));
    said(&["push", &here, &url]);
    let [mut pushes, mut pulls] = [Kills::default(), Kills::default()];
    for round in 0.. {
        if pushes.count >= KILLS && pulls.count >= KILLS {
            break;
        }
        assert!(round < 10 * KILLS, "killed only {pushes:?} and {pulls:?}");
        go_on(&store, round * 12, 12);
        pushes.kill(&mut jitsu(&["push", &here, &url]), round);
        unlock(&remote);
        heads(&remote);
        pulls.kill(&mut jitsu(&["pull", &there, &url]), round);
        if FilePath::new(&there).exists() {
            let (_, err, success) = run(&mut jitsu(&["fsck", &there]));
            // It may have been killed before it was a store.
            assert!(success || err.contains("holds no store"), "{err}");
        }
    }
    said(&["push", &here, &url]);
    said(&["pull", &there, &url]);
    heads(&remote);
    assert_eq!(said(&["branches", &there]), said(&["branches", &here]));
    assert!(!FilePath::new(&at(&folder, "store.git-mirror.new")).exists());
}

#[test]
fn a_remote_that_is_killed_is_pushed_to_again() {
    let (folder, store) = a_store();
    let remote = bare(&folder, "remote.git", "sha1");
    let here = at(&folder, "store");
    let url = format!("git:dom0:{}", remote.display());
    let mut failed = 0;
    for round in 0..20 {
        go_on(&store, round * 12, 12);
        // The other side of the ssh ends, whatever it is doing.
        let ssh = format!("f() {{ shift; timeout -s KILL 0.0{round:02} sh -c \"$*\"; }}; f");
        let mut push = jitsu(&["push", &here, &url, "main"]);
        let (_, _, success) = run(push.env("GIT_SSH_COMMAND", ssh));
        failed += usize::from(!success);
        unlock(&remote);
        heads(&remote);
    }
    assert!(failed > 5, "failed only {failed} times");
    said(&["push", &here, &url]);
    let back = at(&folder, "back");
    said(&["pull", &back, &url]);
    assert_eq!(said(&["branches", &back]), said(&["branches", &here]));
}

#[test]
fn what_a_kill_leaves_in_the_mirror_is_cleared() {
    let (folder, store) = a_store();
    let remote = bare(&folder, "remote.git", "sha1");
    let url = format!("git:{}", remote.display());
    let here = at(&folder, "store");
    // Killed while the mirror was made.
    let new = folder.path().join("store.git-mirror.new");
    fs::create_dir_all(new.join("objects")).unwrap();
    fs::write(new.join("HEAD"), "").unwrap();
    said(&["push", &here, &url]);
    let mirror = folder.path().join("store.git-mirror");
    let main = fs::read_dir(mirror.join("refs/fetched")).unwrap().next().unwrap().unwrap().path();
    for lock in [main.with_extension("lock"), mirror.join("packed-refs.lock")] {
        fs::write(lock, "").unwrap();
    }
    let begun = mirror.join("objects/pack/tmp_pack_x");
    fs::create_dir_all(begun.parent().unwrap()).unwrap();
    fs::write(&begun, "").unwrap();
    go_on(&store, 0, 1);
    assert_eq!(said(&["push", &here, &url, "main"]), "main was moved\n");
    assert!(!begun.exists());
    // It is made again if it is not there.
    fs::remove_dir_all(&mirror).unwrap();
    go_on(&store, 1, 1);
    assert_eq!(said(&["push", &here, &url, "main"]), "main was moved\n");
    heads(&remote);
}
