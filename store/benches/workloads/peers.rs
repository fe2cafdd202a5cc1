//! Owns other stores that can do the same, or a part of it: Git itself, libgit2, redb.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::time::Duration;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository, Signature, Time};
use redb::{Database, Durability, TableDefinition};

use crate::own::table::{Table, timed};

/// What each change costs these grows with those before it: fewer of them tell enough.
const FEW: usize = 1000;

/// Measures the peers of a workload that have it. None of them flushes here.
pub(crate) fn beside(workload: &str, table: &mut Table, folder: &FilePath, n: usize) {
    match workload {
        "W1" => {
            let stream = one_set(n);
            table.measure("git fast-import, in bulk", n, None, || fast_import(folder, &stream));
            let few = n.min(FEW);
            let name = format!("libgit2, {few} of them");
            table.measure(name, few, None, || libgit2(folder, few, Repo::one_set));
            let name = format!("redb, {few} of them, without history");
            table.measure(name, few, None, || redb(folder, few));
        }
        "W3" => {
            let few = n.min(FEW) / 5;
            let name = format!("libgit2, {few} of them");
            table.measure(name, few, None, || libgit2(folder, few, Repo::fork_and_merge));
        }
        _ => {}
    }
}

/// The commands for W1 (git-fast-import(1)).
fn one_set(n: usize) -> String {
    let mut stream = String::new();
    for nth in 0..n {
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter uid 0 <> {nth} +0000\ndata 3\nset\nM 644 \
             inline keys/{nth:06}\ndata 100\n{nth:0100}\n"
        );
    }
    stream
}

fn fast_import(folder: &FilePath, stream: &str) -> Duration {
    let repository = tempfile::tempdir_in(folder).expect("a folder");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository.path()).args(arguments).stdout(Stdio::null());
        git
    };
    let made = git(&["init", "-q", "--bare"]).status().expect("git is installed");
    assert!(made.success(), "git init: {made}");
    timed(|| {
        let mut import = git(&["fast-import", "--quiet"]);
        let mut import = import.stdin(Stdio::piped()).spawn().expect("git fast-import");
        let mut input = import.stdin.take().expect("piped");
        input.write_all(stream.as_bytes()).expect("it reads");
        drop(input);
        let ended = import.wait().expect("it ends");
        assert!(ended.success(), "git fast-import: {ended}");
    })
}

/// A repository of loose objects, and who commits.
struct Repo {
    git: Repository,
    who: Signature<'static>,
}

/// Runs a workload with a new repository and its first commit.
fn libgit2(folder: &FilePath, n: usize, run: fn(&Repo, usize, Oid)) -> Duration {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let git = Repository::init_bare(folder.path()).expect("a repository");
    let who = Signature::new("uid 0", "-", &Time::new(0, 0)).expect("a good name");
    let repo = Repo { git, who };
    let empty = repo.git.treebuilder(None).and_then(|tree| tree.write()).expect("a tree");
    let keys = (0..1000).map(|key| (format!("{}/{key}", key % 100), format!("{key:0100}")));
    let first = repo.commit("refs/heads/main", repo.set(empty, keys), &[]);
    timed(|| run(&repo, n, first))
}

impl Repo {
    /// A tree with these set.
    fn set(&self, base: Oid, entries: impl Iterator<Item = (String, String)>) -> Oid {
        let mut update = TreeUpdateBuilder::new();
        for (path, text) in entries {
            let blob = self.git.blob(text.as_bytes()).expect("a blob");
            update.upsert(path, blob, FileMode::Blob);
        }
        let base = self.git.find_tree(base).expect("it was made");
        update.create_updated(&self.git, &base).expect("a tree")
    }

    fn commit(&self, branch: &str, tree: Oid, parents: &[Oid]) -> Oid {
        let tree = self.git.find_tree(tree).expect("it was made");
        let find = |id: &Oid| self.git.find_commit(*id).expect("it was made");
        let parents: Vec<_> = parents.iter().map(find).collect();
        let parents: Vec<_> = parents.iter().collect();
        self.git
            .commit(Some(branch), &self.who, &self.who, "set", &tree, &parents)
            .expect("a commit")
    }

    fn tree(&self, commit: Oid) -> Oid {
        self.git.find_commit(commit).expect("it was made").tree_id()
    }

    /// W1, on a directory beside the first commit's.
    fn one_set(&self, n: usize, mut head: Oid) {
        for nth in 0..n {
            let entry = (format!("keys/{nth:06}"), format!("{nth:0100}"));
            let tree = self.set(self.tree(head), [entry].into_iter());
            head = self.commit("refs/heads/main", tree, &[head]);
        }
    }

    /// W3.
    fn fork_and_merge(&self, n: usize, mut head: Oid) {
        for nth in 0..n {
            let base = self.tree(head);
            let fork = format!("refs/heads/fork-{nth}");
            let [theirs, ours] =
                [("there", &*fork), ("here", "refs/heads/main")].map(|(side, to)| {
                    let at = |key| format!("{}/{side}-{key}", (nth * 20 + key) % 100);
                    let tree = self.set(base, (0..10).map(|key| (at(key), nth.to_string())));
                    self.commit(to, tree, &[head])
                });
            let [base, our, their] = [base, self.tree(ours), self.tree(theirs)]
                .map(|id| self.git.find_tree(id).expect("it was made"));
            let mut merged = self.git.merge_trees(&base, &our, &their, None).expect("a merge");
            let tree = merged.write_tree_to(&self.git).expect("they are disjoint");
            head = self.commit("refs/heads/main", tree, &[ours, theirs]);
        }
    }
}

fn redb(folder: &FilePath, n: usize) -> Duration {
    const KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("keys");
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let database = Database::create(folder.path().join("redb")).expect("a database");
    let keys: Vec<_> =
        (0..n).map(|nth| (format!("keys/{nth:06}"), format!("{nth:0100}"))).collect();
    timed(|| {
        for (key, value) in &keys {
            let mut transaction = database.begin_write().expect("a transaction");
            transaction.set_durability(Durability::None);
            let mut table = transaction.open_table(KEYS).expect("a table");
            table.insert(&**key, &**value).expect("an entry");
            drop(table);
            transaction.commit().expect("a commit");
        }
    })
}
