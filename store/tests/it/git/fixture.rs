//! Owns how tests run `git`, and short ways to export and import.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jitsu_store::git::{self, Exported, Imported, Landed, ObjectFormat, Repository};
use jitsu_store::{BranchName, Id, Meta, Store};
use tempfile::TempDir;

/// A folder with a bare repository `bare` in it, and room for clones.
pub(crate) struct Repo {
    folder: TempDir,
}

impl Repo {
    /// Has the repository made by `git` itself.
    pub(crate) fn new(format: ObjectFormat) -> Repo {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        let format = match format {
            ObjectFormat::Sha1 => "--object-format=sha1",
            ObjectFormat::Sha256 => "--object-format=sha256",
        };
        git(repo.folder.path(), &["init", "-q", "--bare", "-b", "main", format, "bare"]);
        repo
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.path().join("bare")
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::open(self.bare()).unwrap()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.bare(), arguments)
    }

    pub(crate) fn clone_to(&self, name: &str) -> PathBuf {
        git(self.folder.path(), &["clone", "-q", "bare", name]);
        self.folder.path().join(name)
    }

    /// What `git` says of all branches.
    pub(crate) fn heads(&self) -> BTreeMap<String, String> {
        let format = "--format=%(refname:lstrip=2) %(objectname)";
        let lines = self.git(&["for-each-ref", format, "refs/heads"]);
        let pair = |line: &str| line.split_once(' ').map(|(name, id)| (name.into(), id.into()));
        lines.lines().filter_map(pair).collect()
    }

    /// Lets `git` look at everything.
    pub(crate) fn check(&self) {
        self.git(&["fsck", "--strict", "--full", "--no-dangling"]);
    }

    pub(crate) fn export(&self, store: &Store) -> Exported {
        git::export(store, &self.open()).unwrap()
    }

    pub(crate) fn import(&self, store: &Store) -> Imported {
        git::import(store, &self.open(), &merger()).unwrap()
    }
}

/// Whoever merges when branches came apart.
pub(crate) fn merger() -> Meta {
    Meta { time_ms: 77_000, author: "merger".into(), message: "merged".into(), ..Meta::default() }
}

/// Runs `git` without the configuration of this machine, and gives what it says.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(folder, arguments);
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "git {arguments:?}: {said}");
    String::from_utf8(stdout).unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments);
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Ann Lee"),
        ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0200"),
        ("GIT_COMMITTER_NAME", "Bob"),
        ("GIT_COMMITTER_EMAIL", "bob@example.org"),
        ("GIT_COMMITTER_DATE", "1700000100 -0330"),
        ("GIT_EDITOR", "true"),
    ] {
        command.env(name, value);
    }
    command.output().expect("these tests need `git` to be installed")
}

pub(crate) fn heads(store: &Store) -> BTreeMap<BranchName, Id> {
    store.branches().unwrap().into_iter().collect()
}

/// What came of one branch.
pub(crate) fn landed<'a>(imported: &'a Imported, branch: &str) -> &'a Landed {
    &imported.branches.iter().find(|(name, _)| name == branch).unwrap().1
}
