//! Reading history: logs, commits, differences, trees.
//!
//! Owns the answers and their bounds. An answer that would be too long is refused with what to
//! ask instead, rather than cut without a word; a log is cut where its limit says.

use jitsu_proto::{Branch, Change, Commit, Entry, Node};
use jitsu_store::{BranchName, Id, Kind, Path, Tree};

use super::{Answer, History, bad, branch_name, path, storage, tree, view};

impl History {
    /// A log, newest first, and the id it began at. What a merge brought is one step, as it was for
    /// who lived on the branch: the steps before it are told by the log of the other.
    pub fn log(&self, rev: &str, below: Option<&str>, limit: u32) -> Answer<(Vec<Commit>, Id)> {
        let start = self.resolve(rev)?.id();
        let mut log = self.store.log(&start).first_parents();
        let limit = limit.min(self.limits.log_max) as usize;
        if let Some(below) = below {
            log = log.touching(path(below)?);
        }
        let mut commits = Vec::new();
        for commit in log.take(limit) {
            commits.push(view::commit(&commit.map_err(|error| storage(&error))?));
        }
        Ok((commits, start))
    }

    /// The commits of a branch that came after `last`, oldest first, and its head. More than a
    /// log may hold: only the newest of them.
    pub fn log_since(
        &self,
        branch: &str,
        below: Option<&str>,
        last: &Id,
    ) -> Answer<(Vec<Commit>, Id)> {
        let Some(head) = self.head(branch)? else {
            let text = format!("branch {branch} was removed");
            return Err(jitsu_proto::RpcError::new(jitsu_proto::ErrorCode::NotFound, text));
        };
        let below = below.map(path).transpose()?;
        let mut commits = Vec::new();
        let mut log = self.store.log(&head.id()).first_parents();
        if let Some(below) = below {
            log = log.touching(below);
        }
        for commit in log.take(self.limits.log_max as usize) {
            let commit = commit.map_err(|error| storage(&error))?;
            let is_old = self.store.is_ancestor(&commit.id(), last);
            if is_old.map_err(|error| storage(&error))? {
                break;
            }
            commits.push(view::commit(&commit));
        }
        commits.reverse();
        Ok((commits, head.id()))
    }

    /// Whether `rev` is a branch, which can be followed.
    pub fn is_branch(&self, rev: &str) -> Answer<bool> {
        Ok(BranchName::new(rev).is_ok() && self.head(rev)?.is_some())
    }

    pub(super) fn head(&self, branch: &str) -> Answer<Option<jitsu_store::Commit>> {
        self.store.head(&branch_name(branch)?).map_err(|error| storage(&error))
    }

    /// One commit and what it changed beside its first parent.
    pub fn show(&self, rev: &str) -> Answer<(Commit, Vec<Change>)> {
        let commit = self.resolve(rev)?;
        let (before, after) = (self.tree_before(&commit)?, self.tree_of(&commit)?);
        let changes = self.changes(&before, &after, &Path::default())?;
        Ok((view::commit(&commit), changes))
    }

    /// What differs between two revisions.
    pub fn diff(&self, from: &str, to: &str, below: Option<&str>) -> Answer<Vec<Change>> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        let below = below.map(path).transpose()?.unwrap_or_default();
        self.changes(&self.tree_of(&from)?, &self.tree_of(&to)?, &below)
    }

    fn changes(&self, before: &Tree, after: &Tree, below: &Path) -> Answer<Vec<Change>> {
        let changes = self.store.diff(before, after).map_err(|error| storage(&error))?;
        let shown: Vec<_> = changes
            .iter()
            .filter(|change| change.path.starts_with(below))
            .map(view::change)
            .collect();
        if shown.len() > self.limits.changes_max {
            let (count, max) = (shown.len(), self.limits.changes_max);
            return Err(bad(format!("{count} paths differ, at most {max} are shown; name a path")));
        }
        Ok(shown)
    }

    /// What stands at a path.
    pub fn node(&self, rev: &str, at: &str) -> Answer<Node> {
        let root = self.tree_of(&self.resolve(rev)?)?;
        let at = path(at)?;
        if let Some(contents) = root.get(&at).map_err(|error| tree(&error))? {
            return Ok(Node::Contents(view::value(&contents)));
        }
        let list = root.list(&at).map_err(|error| tree(&error))?;
        if list.is_empty() && !at.is_root() {
            let text = format!("there is nothing at /{at} in {rev}");
            return Err(jitsu_proto::RpcError::new(jitsu_proto::ErrorCode::NotFound, text));
        }
        if list.len() > self.limits.entries_max {
            let (count, max) = (list.len(), self.limits.entries_max);
            return Err(bad(format!("/{at} has {count} entries, at most {max} are shown")));
        }
        let mut entries = Vec::with_capacity(list.len());
        for (step, kind) in list {
            let value = match kind {
                Kind::Directory => None,
                Kind::Contents => {
                    let mut child = at.clone();
                    child.push(step.clone()).map_err(|error| bad(error.to_string()))?;
                    let contents = root.get(&child).map_err(|error| tree(&error))?;
                    contents.as_ref().map(view::value)
                }
            };
            entries.push(Entry { name: step.as_str().to_owned(), value });
        }
        Ok(Node::Directory(entries))
    }

    /// All branches.
    pub fn branches(&self) -> Answer<Vec<Branch>> {
        let mut branches = Vec::new();
        for (name, head) in self.store.branches().map_err(|error| storage(&error))? {
            let head = view::commit(&self.commit(&head)?);
            branches.push(Branch { name: name.as_str().to_owned(), head });
        }
        Ok(branches)
    }

    /// All services with their counters, as `main` has them.
    pub fn services(
        &self,
    ) -> Answer<Vec<(jitsu_proto::Name, jitsu_proto::ServiceSpec, jitsu_proto::Facts)>> {
        let Some(head) = self.head(crate::layout::MAIN)? else { return Ok(Vec::new()) };
        let main = head.tree();
        let unreadable = |error: crate::layout::ReadError| {
            jitsu_proto::RpcError::new(jitsu_proto::ErrorCode::Storage, error.to_string())
        };
        let mut services = Vec::new();
        for name in crate::layout::names(&main, "services").map_err(unreadable)? {
            if let Some(spec) = crate::layout::service(&main, &name).map_err(unreadable)? {
                let facts = crate::layout::facts(&main, &name).map_err(unreadable)?;
                services.push((name, spec, facts));
            }
        }
        Ok(services)
    }
}
