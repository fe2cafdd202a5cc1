//! Owns the fuzzing of a store in a Git repository, on which `git` is used as well, beside a plain
//! model: each sees at once what the other did, and a cache that is lost or damaged loses nothing.

#![no_main]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arbitrary::Arbitrary;
use jitsu_store::git::{GitBackend, ObjectFormat, Repository};
use jitsu_store::{BranchName, Contents, Merged, Meta, Path, Store};
use jitsu_store_fuzz::model::{Held, Model, branch, held, model_of, path, published};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    Set {
        branch: u8,
        path: u8,
        value: u8,
    },
    Remove {
        branch: u8,
        path: u8,
    },
    Fork {
        from: u8,
        to: u8,
    },
    Delete {
        branch: u8,
    },
    Merge {
        from: u8,
        into: u8,
    },
    Reopen {
        cache: Cache,
    },
    GitCommit {
        branch: u8,
        path: u8,
        value: u8,
    },
    GitMove {
        from: u8,
        to: u8,
    },
    GitDelete {
        branch: u8,
    },
    GitPack,
    /// Git commits while the store is about to.
    Race {
        branch: u8,
        ours: u8,
        theirs: u8,
        value: u8,
    },
}

/// What becomes of the cache between two uses.
#[derive(Arbitrary, Debug)]
enum Cache {
    Kept,
    InMemory,
    Removed,
    /// With the pairs of ids.
    Forgotten,
    Damaged {
        at: u16,
    },
}

struct World {
    folder: PathBuf,
    store: Option<Store>,
    model: Model,
    clock: u64,
}

fuzz_target!(|operations: Vec<Operation>| {
    let memory = PathBuf::from("/dev/shm");
    let above = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = above.join(format!("jitsu-fuzz-{}", std::process::id()));
    // What was left by a run that failed.
    let _ = fs::remove_dir_all(&folder);
    drop(Repository::create(&folder, ObjectFormat::Sha1).unwrap());
    let mut world = World { folder, store: None, model: Model::new(), clock: 0 };
    world.open(false);
    for operation in operations.iter().take(20) {
        world.apply(operation);
        assert_eq!(model_of(world.store()), world.model, "after {operation:?}");
    }
    world.reopen(&Cache::Forgotten);
    assert_eq!(model_of(world.store()), world.model);
    world.git(&["fsck", "--strict", "--full", "--no-dangling"], "");
    fs::remove_dir_all(&world.folder).unwrap();
});

impl World {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Set { branch: to, path: at, value } => {
                self.set(&branch(*to), &path(*at), &value.to_string(), |_| {});
            }
            Operation::Remove { branch: on, path: at } => {
                self.model.entry(branch(*on)).or_default().remove(&path(*at));
                let meta = self.meta();
                let remove =
                    self.store().update(&branch(*on), meta, |tree| tree.remove(&path(*at)));
                remove.unwrap();
            }
            Operation::Fork { from, to } => {
                let mut batch = self.store().batch();
                let Some(head) = batch.head(&branch(*from)).unwrap() else { return };
                batch.set(&branch(*to), &head).unwrap();
                published(batch.publish()).unwrap();
                self.point(*from, *to);
            }
            Operation::Delete { branch: on } => {
                let mut batch = self.store().batch();
                let was_there = batch.delete(&branch(*on)).unwrap();
                published(batch.publish()).unwrap();
                assert_eq!(self.model.remove(&branch(*on)).is_some(), was_there);
            }
            Operation::Merge { from, into } => {
                let meta = self.meta();
                let Some(head) = self.store().head(&branch(*from)).unwrap() else { return };
                let merged = self.store().merge(&branch(*into), &head, meta).unwrap();
                if let Merged::Commit(commit) = merged {
                    self.model.insert(branch(*into), held(&commit.tree()));
                }
            }
            Operation::Reopen { cache } => self.reopen(cache),
            Operation::GitCommit { branch: to, path: at, value } => {
                self.git_commit(&branch(*to), &path(*at), &value.to_string());
            }
            Operation::GitMove { from, to } => {
                if self.model.contains_key(&branch(*from)) {
                    let [from_ref, to_ref] = [*from, *to].map(|it| reference(&branch(it)));
                    self.git(&["update-ref", &to_ref, &from_ref], "");
                    self.point(*from, *to);
                }
            }
            Operation::GitDelete { branch: on } => {
                self.git(&["update-ref", "-d", &reference(&branch(*on))], "");
                self.model.remove(&branch(*on));
            }
            Operation::GitPack => {
                self.git(&["repack", "-a", "-d", "-q"], "");
                self.git(&["pack-refs", "--all"], "");
            }
            Operation::Race { branch: on, ours, theirs, value } => {
                let (on, value) = (branch(*on), value.to_string());
                self.set(&on, &path(*ours), "ours", |world| {
                    world.git_commit(&on, &path(*theirs), &value);
                });
            }
        }
    }

    /// Sets a text, when something happened at the first attempt.
    fn set(&mut self, on: &BranchName, at: &Path, value: &str, first: impl Fn(&mut World)) {
        let (meta, store) = (self.meta(), self.store().clone());
        let mut is_first = true;
        let done = store.update(on, meta, |tree| {
            if std::mem::take(&mut is_first) {
                first(self);
            }
            tree.set(at, Contents::text(value))
        });
        done.unwrap();
        self.model.entry(on.clone()).or_default().insert(at.clone(), value.to_owned());
    }

    /// Commits with `git` alone, on top of what is there.
    fn git_commit(&mut self, on: &BranchName, at: &Path, value: &str) {
        self.clock += 1;
        let reference = reference(on);
        let from = match self.model.contains_key(on) {
            true => format!("from {reference}^0\n"),
            false => String::new(),
        };
        let commit = format!(
            "commit {reference}\ncommitter Git <git> {} +0000\ndata 3\ngit\n{from}\
             M 100644 inline {at}\ndata {}\n{value}\n",
            self.clock,
            value.len(),
        );
        self.git(&["fast-import", "--quiet"], &commit);
        self.model.entry(on.clone()).or_default().insert(at.clone(), value.to_owned());
    }

    /// One branch is where another one is.
    fn point(&mut self, from: u8, to: u8) {
        let there: Held = self.model[&branch(from)].clone();
        self.model.insert(branch(to), there);
    }

    fn reopen(&mut self, cache: &Cache) {
        self.store = None;
        let folder = self.folder.join("jitsu-cache");
        match cache {
            Cache::Kept | Cache::InMemory => {}
            Cache::Removed => drop(fs::remove_dir_all(folder)),
            Cache::Forgotten => {
                drop(fs::remove_dir_all(folder));
                drop(fs::remove_file(self.folder.join("jitsu-ids")));
            }
            Cache::Damaged { at } => {
                let file = folder.join("00000001.segment");
                if let Ok(mut bytes) = fs::read(&file) {
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] ^= 1;
                    fs::write(file, bytes).unwrap();
                }
            }
        }
        self.open(matches!(cache, Cache::InMemory));
    }

    fn open(&mut self, in_memory: bool) {
        let repository = Repository::open(&self.folder).unwrap();
        let open = if in_memory { GitBackend::open_cached_in_memory } else { GitBackend::open };
        self.store = Some(Store::on(Arc::new(open(repository).unwrap())).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("a store is open")
    }

    fn meta(&mut self) -> Meta {
        self.clock += 1;
        Meta { time_ms: self.clock, ..Meta::default() }
    }

    fn git(&self, arguments: &[&str], input: &str) {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.arg("--git-dir").arg(&self.folder).args(arguments);
        let mut child = git.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "git {arguments:?}");
    }
}

fn reference(branch: &BranchName) -> String {
    format!("refs/heads/{branch}")
}
