//! Owns the bare repository beside a store through which it meets a Git remote, and how `git` is
//! run on it. Must not know stores.
//!
//! It holds nothing that the store or the remote has not, and is made again where it is not there.
//! Its references, `refs/fetched/…`, only say to a fetch what is there already. Who uses it holds a
//! lock, which `git` inherits: so the lock is free only when nothing of it runs any more, and what
//! was left by something that was killed can be cleared.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use jitsu_store::Id;
use jitsu_store::git::{GitId, ObjectFormat, Repository};
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

/// A mirror for one remote.
pub(crate) struct Mirror {
    path: PathBuf,
    url: String,
    /// The branches of the remote, by their names there.
    pub(crate) branches: Vec<String>,
    _lock: Flock<File>,
}

/// What a remote did with a branch that was pushed to it.
pub(crate) enum Pushed {
    Moved,
    Already,
    /// It has commits that are not in the mirror's history of it.
    Behind,
    /// It said why not.
    Rejected(String),
}

impl Mirror {
    /// The mirror beside a store for the remote at a URL, which is asked for its branches.
    pub(crate) fn open(folder: &FilePath, url: &str) -> Result<Mirror> {
        if url.is_empty() || url.starts_with('-') {
            bail!("git:{url} names no repository");
        }
        let folder = std::path::absolute(folder)?;
        let Some(name) = folder.file_name() else { bail!("{} is no folder", folder.display()) };
        let beside = |end: &str| {
            let mut name = name.to_owned();
            name.push(end);
            folder.with_file_name(name)
        };
        let lock = lock(&beside(".git-mirror.lock"))?;
        let listed = said(git().args(["ls-remote", "--", url])).with_context(|| unread(url))?;
        let new = beside(".git-mirror.new");
        remove(&new)?;
        let format = match listed.split('\t').next() {
            Some("") | None => format_of_empty(url, &new)?,
            Some(id) if id.len() == 64 => ObjectFormat::Sha256,
            Some(_) => ObjectFormat::Sha1,
        };
        let path = match format {
            ObjectFormat::Sha1 => beside(".git-mirror"),
            ObjectFormat::Sha256 => beside(".git-mirror-sha256"),
        };
        if path.exists() {
            clear(&path)?;
        } else {
            // It is there once it is whole.
            Repository::create(&new, format)?;
            fs::rename(&new, &path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let heads = listed.lines().filter_map(|line| line.split_once("\trefs/heads/"));
        let branches = heads.map(|(_, name)| name.to_owned()).collect();
        Ok(Mirror { path, url: url.to_owned(), branches, _lock: lock })
    }

    pub(crate) fn repository(&self) -> Result<Repository> {
        Repository::open(&self.path).with_context(|| {
            format!("{} can be removed: it is made again from both sides", self.path.display())
        })
    }

    /// Brings branches of the remote here; where they are.
    pub(crate) fn fetch(&self, branches: &[String]) -> Result<Vec<(String, GitId)>> {
        if branches.is_empty() {
            return Ok(Vec::new());
        }
        let specs: String =
            branches.iter().map(|name| format!("+refs/heads/{name}:{}\n", fetched(name))).collect();
        let mut fetch = self.git();
        fetch.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--refmap="]);
        fetch.args(["--no-write-fetch-head", "--stdin", "--", &self.url]);
        told(&mut fetch, &specs).with_context(|| unread(&self.url))?;
        let format = "--format=%(refname) %(objectname)";
        let refs = said(self.git().args(["for-each-ref", format, "refs/fetched"]))?;
        let at = |name: &String| {
            let line = refs.lines().find_map(|line| line.strip_prefix(&*fetched(name)));
            let id = line.and_then(|line| GitId::from_hex(line.trim_start().as_bytes()));
            Ok((name.clone(), id.with_context(|| format!("git fetched no {name}"))?))
        };
        branches.iter().map(at).collect()
    }

    /// Asks the remote to move branches on to commits that are here; what it did with each.
    pub(crate) fn push(&self, branches: &[(String, GitId)]) -> Result<Vec<Pushed>> {
        if branches.is_empty() {
            return Ok(Vec::new());
        }
        let mut push = self.git();
        push.args(["-c", "advice.pushUpdateRejected=false", "-c", "push.followTags=false"]);
        push.args(["push", "--porcelain", "--no-verify", "--no-recurse-submodules", "--"]);
        push.arg(&self.url);
        push.args(branches.iter().map(|(name, id)| format!("{id}:refs/heads/{name}")));
        let output = run(&mut push)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let pushed: Result<Vec<Pushed>> = branches
            .iter()
            .map(|(name, _)| {
                let end = format!(":refs/heads/{name}");
                let came = text.lines().find_map(|line| came(line, &end));
                came.with_context(|| {
                    format!("git push to {} ended with {}", self.url, output.status)
                })
            })
            .collect();
        let pushed = pushed?;
        let there = branches.iter().zip(&pushed);
        let there = there.filter(|(_, came)| matches!(came, Pushed::Moved | Pushed::Already));
        let updates: String =
            there.map(|((name, id), _)| format!("update {} {id}\n", fetched(name))).collect();
        told(self.git().args(["update-ref", "--stdin"]), &updates)?;
        Ok(pushed)
    }

    fn git(&self) -> Command {
        let mut git = git();
        git.arg("--git-dir").arg(&self.path);
        git
    }
}

/// Where a branch of a remote is kept: beside all others, whatever their names are.
fn fetched(branch: &str) -> String {
    format!("refs/fetched/{}", Id::of(branch.as_bytes()))
}

/// What one line of `git push --porcelain` says of the branch whose name is after this colon.
fn came(line: &str, end: &str) -> Option<Pushed> {
    let mut parts = line.split('\t');
    let (flag, _, summary) =
        (parts.next()?, parts.next().filter(|it| it.ends_with(end))?, parts.next()?);
    Some(match flag {
        "!" if summary.contains("(non-fast-forward)") || summary.contains("(fetch first)") => {
            Pushed::Behind
        }
        "!" => Pushed::Rejected(summary.to_owned()),
        "=" => Pushed::Already,
        _ => Pushed::Moved,
    })
}

/// Waits until nobody else uses the mirrors, and keeps others from it, as `git` does then.
fn lock(path: &FilePath) -> Result<Flock<File>> {
    let locked = || -> io::Result<_> {
        let file = File::options().create(true).append(true).open(path)?;
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?)
    };
    locked().with_context(|| format!("cannot lock {}", path.display()))
}

/// What `git clone` says of a remote without branches.
const EMPTY: &[u8] = b"warning: You appear to have cloned an empty repository.";

/// How a remote without branches names its objects: as a clone of it does.
fn format_of_empty(url: &str, at: &FilePath) -> Result<ObjectFormat> {
    let mut clone = git();
    // Without a name for the branch that it has not, it may have advice to give.
    clone.args(["-c", "init.defaultBranch=main"]);
    clone.args(["clone", "--quiet", "--bare", "--no-tags", "--", url]).arg(at);
    // What it says is told, but for what is no news here.
    let output = clone.stdin(Stdio::inherit()).output().context(NO_GIT)?;
    let lines = output.stderr.split_inclusive(|byte| *byte == b'\n');
    let told: Vec<&[u8]> = lines.filter(|line| line.trim_ascii_end() != EMPTY).collect();
    io::stderr().write_all(&told.concat())?;
    check(output.status).with_context(|| unread(url))?;
    let format = Repository::open(at)?.object_format();
    remove(at)?;
    Ok(format)
}

/// Removes what was left by something that was killed: locks, and packs that were begun.
fn clear(path: &FilePath) -> Result<()> {
    for (folder, is_left) in [
        ("", is_lock as fn(&str) -> bool),
        ("refs/fetched", is_lock),
        ("objects/pack", |name| name.starts_with("tmp_")),
    ] {
        let Ok(entries) = fs::read_dir(path.join(folder)) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_left) {
                fs::remove_file(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}

fn is_lock(name: &str) -> bool {
    name.ends_with(".lock")
}

fn remove(folder: &FilePath) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn unread(url: &str) -> String {
    format!("git cannot read {url}")
}

/// `git` as the person has it set up, but for the repository in which this is run, if any.
fn git() -> Command {
    let mut git = Command::new("git");
    for name in [
        "GIT_DIR",
        "GIT_COMMON_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    ] {
        git.env_remove(name);
    }
    // What nothing refers to is what the next push sends.
    git.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
    git.env("LC_ALL", "C");
    git
}

const NO_GIT: &str = "cannot run git, which is needed for git:URL";

/// Runs `git`, which may ask the person something and says on standard error what is wrong.
fn run(command: &mut Command) -> Result<std::process::Output> {
    command.stderr(Stdio::inherit()).stdin(Stdio::inherit());
    command.output().context(NO_GIT)
}

/// What it says.
fn said(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    check(output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it with this on its standard input.
fn told(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot run git")?;
    // Why it does not listen it says itself.
    let _ = child.stdin.take().expect("BUG: no pipe").write_all(input.as_bytes());
    check(child.wait()?)
}

fn check(ended: ExitStatus) -> Result<()> {
    if !ended.success() {
        bail!("git ended with {ended}");
    }
    Ok(())
}
