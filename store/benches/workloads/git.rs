//! Owns the backends that keep their commits in a Git repository. Must not know the workloads.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use jitsu_store::Store;
use jitsu_store::git::{GitBackend, ObjectFormat, Repository};

use super::own::kinds::Kind;

/// Each change costs several files: a few of them tell enough.
const FEW: usize = 100;

/// On a disk, and in a folder that is in memory, if there is one.
pub(crate) fn kinds<'a>(
    folder: &'a Path,
    in_memory: Option<&'a Path>,
) -> impl Iterator<Item = Kind<'a>> {
    let kind = |name, folder, open| Kind {
        name,
        irmin: "",
        in_bulk: false,
        is_on_disk: true,
        ops_max: FEW,
        open,
        folder,
        made: Cell::new(0),
    };
    let git = |folder: &Path| on(GitBackend::open(repository(folder)).expect("a backend"));
    let git_memory = |folder: &Path| {
        on(GitBackend::open_cached_in_memory(repository(folder)).expect("a backend"))
    };
    let in_memory = in_memory.map(|folder| kind("git-memory", folder, git_memory));
    [kind("git", folder, git)].into_iter().chain(in_memory)
}

fn repository(folder: &Path) -> Repository {
    Repository::create(folder, ObjectFormat::Sha1).expect("a repository")
}

fn on(backend: GitBackend) -> Store {
    Store::on(Arc::new(backend)).expect("a store")
}
