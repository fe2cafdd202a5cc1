//! Changing history by branch: fork, remove, edit, merge, revert, stage.
//!
//! Owns these and what they refuse. Each is one commit, by whoever asked, with its result in it.
//! On `main` a change that would make a spec or a wish unreadable is refused before it happens;
//! branches that the toolstack keeps are not for others to change.

use std::time::Instant;

use jitsu_proto::{Edit, ErrorCode, RpcError};
use jitsu_store::{Batch, BranchName, Commit, Contents, Merged, Meta, PublishError, Tree};
use serde_json::json;

use super::{Answer, History, bad, branch_name, path, storage, tree, view};
use crate::committer::{changed, own_meta, read};
use crate::layout;
use crate::record::{Ask, Caller};

/// A change of history that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make a branch.
    Fork {
        /// Its name.
        name: String,
        /// Where it starts.
        from: String,
    },
    /// Remove a branch.
    Delete {
        /// Its name.
        name: String,
    },
    /// Change paths on a branch.
    Edit {
        /// The branch.
        branch: String,
        /// How.
        edits: Vec<Edit>,
    },
    /// Merge a revision into a branch.
    Merge {
        /// The revision.
        from: String,
        /// The branch.
        into: String,
    },
    /// Undo a commit.
    Revert {
        /// Which.
        rev: String,
        /// On which branch.
        branch: String,
    },
    /// Put what a call would change on a branch, and do nothing else.
    Stage {
        /// The branch.
        branch: String,
        /// The call.
        ask: Ask,
    },
}

/// What a change came to: the branch's head, and whether it is new. None: the branch is gone.
pub type Changed = Option<(jitsu_proto::Commit, bool)>;

/// How far a change came before it is published.
enum Draft {
    /// This commit is to be published.
    New(Commit),
    /// The branch is as it should be.
    Same(Commit),
    /// The branch is to go.
    Gone,
}

impl Change {
    /// Its name in commits.
    pub fn method(&self) -> &'static str {
        match self {
            Change::Fork { .. } => "fork",
            Change::Delete { .. } => "delete-branch",
            Change::Edit { .. } => "edit",
            Change::Merge { .. } => "merge",
            Change::Revert { .. } => "revert",
            Change::Stage { ask, .. } => ask.method(),
        }
    }

    /// Its arguments, as JSON.
    pub fn arguments(&self) -> String {
        match self {
            Change::Fork { name, from } => json!({ "name": name, "from": from }).to_string(),
            Change::Delete { name } => json!({ "name": name }).to_string(),
            Change::Edit { branch, edits } => {
                let paths: Vec<_> = edits.iter().map(|edit| edit.path.as_str()).collect();
                json!({ "branch": branch, "paths": paths }).to_string()
            }
            Change::Merge { from, into } => json!({ "from": from, "into": into }).to_string(),
            Change::Revert { rev, branch } => json!({ "rev": rev, "branch": branch }).to_string(),
            Change::Stage { ask, .. } => ask.arguments(),
        }
    }

    fn branch(&self) -> &str {
        match self {
            Change::Fork { name, .. } | Change::Delete { name } => name,
            Change::Edit { branch, .. }
            | Change::Revert { branch, .. }
            | Change::Stage { branch, .. } => branch,
            Change::Merge { into, .. } => into,
        }
    }

    fn message(&self) -> String {
        match self {
            Change::Fork { name, from } => format!("fork {name} from {from}"),
            Change::Delete { name } => format!("delete {name}"),
            Change::Edit { branch, edits } => match edits.as_slice() {
                [edit] => format!("edit {} on {branch}", edit.path),
                edits => format!("edit {} paths on {branch}", edits.len()),
            },
            Change::Merge { from, into } => format!("merge {from} into {into}"),
            Change::Revert { rev, branch } => format!("revert {rev} on {branch}"),
            Change::Stage { branch, ask } => format!("{} staged on {branch}", ask.method()),
        }
    }
}

impl History {
    /// Does what is asked, durably, or nothing.
    pub fn change(
        &self,
        caller: &Caller,
        trace: jitsu_proto::TraceId,
        change: &Change,
    ) -> Answer<Changed> {
        let begun = Instant::now();
        let branch = branch_name(change.branch())?;
        if layout::is_kept(branch.as_str()) {
            let text = format!("branch {branch} is kept by the toolstack; fork it, or change main");
            return Err(bad(text));
        }
        for _ in 0..=self.limits.publish_retries_max {
            let mut meta = meta(caller, trace, change);
            let mut batch = self.store.batch();
            let elapsed = begun.elapsed().as_micros().to_string();
            meta.fields.insert("duration_us".to_owned(), elapsed);
            let draft = self.draft(&mut batch, &branch, change, meta)?;
            let changed = match &draft {
                Draft::Same(head) => return Ok(Some((view::commit(head), false))),
                Draft::New(commit) => Some((view::commit(commit), true)),
                Draft::Gone => None,
            };
            match batch.publish() {
                Ok(()) => return Ok(changed),
                Err(PublishError::Raced(_)) => {}
                Err(PublishError::Storage(error)) => return Err(storage(&error)),
            }
        }
        let text = format!("branch {branch} moves too fast; try again");
        Err(RpcError::new(ErrorCode::Exhausted, text))
    }

    fn draft(
        &self,
        batch: &mut Batch,
        branch: &BranchName,
        change: &Change,
        meta: Meta,
    ) -> Answer<Draft> {
        let head = batch.head(branch).map_err(|error| storage(&error))?;
        if let Change::Fork { from, .. } = change {
            return match head {
                Some(_) => {
                    let text = format!("branch {branch} exists; choose another name, or delete it");
                    Err(RpcError::new(ErrorCode::Exists, text))
                }
                None => self.fork(batch, branch, from),
            };
        }
        let Some(head) = head else { return Err(missing(branch)) };
        let new = match change {
            Change::Fork { .. } => unreachable!("BUG: a fork needs no head"),
            Change::Delete { .. } if branch.as_str() == layout::MAIN => {
                return Err(bad("main cannot be deleted: it is the state of this host"));
            }
            Change::Delete { .. } => {
                batch.delete(branch).map_err(|error| storage(&error))?;
                return Ok(Draft::Gone);
            }
            Change::Merge { from, .. } => {
                let from = self.resolve(from)?;
                let merged = batch.merge(branch, &from, meta);
                match merged.map_err(|error| storage(&error))? {
                    Merged::Already => return Ok(Draft::Same(head)),
                    Merged::Commit(commit) => commit,
                    Merged::Conflicts(conflicts) => return Err(conflict(branch, &conflicts)),
                }
            }
            Change::Edit { edits, .. } => {
                let mut new = head.tree();
                edit(&mut new, edits)?;
                self.commit_new(batch, branch, new, meta)?
            }
            Change::Revert { rev, .. } => {
                let new = self.reverted(&head, branch, rev)?;
                if new == head.tree() {
                    return Ok(Draft::Same(head));
                }
                self.commit_new(batch, branch, new, meta)?
            }
            Change::Stage { ask, .. } => {
                let new = staged(&head.tree(), ask)?;
                self.commit_new(batch, branch, new, meta)?
            }
        };
        self.check(branch, &head.tree(), &new.tree())?;
        Ok(Draft::New(new))
    }

    fn fork(&self, batch: &mut Batch, branch: &BranchName, from: &str) -> Answer<Draft> {
        let start = self.resolve(from)?;
        batch.set(branch, &start).map_err(|error| storage(&error))?;
        Ok(Draft::New(start))
    }

    fn commit_new(
        &self,
        batch: &mut Batch,
        branch: &BranchName,
        tree: Tree,
        meta: Meta,
    ) -> Answer<Commit> {
        batch.commit(branch, tree, meta).map_err(|error| storage(&error))
    }

    fn reverted(&self, head: &Commit, branch: &BranchName, rev: &str) -> Answer<Tree> {
        let commit = self.resolve(rev)?;
        let (before, after) = (self.tree_before(&commit)?, self.tree_of(&commit)?);
        let merged = self.store.merge_trees(&after, &head.tree(), &before);
        match merged.map_err(|error| storage(&error))? {
            Ok(tree) => Ok(tree),
            Err(conflicts) => Err(conflict(branch, &conflicts)),
        }
    }

    /// Refuses what would leave `main` with something that cannot be read.
    fn check(&self, branch: &BranchName, before: &Tree, after: &Tree) -> Answer<()> {
        if branch.as_str() != layout::MAIN {
            return Ok(());
        }
        let subjects = changed(&self.store, before, after).map_err(|error| storage(&error))?;
        for subject in subjects {
            read(after, &subject).map_err(|error| bad(error.to_string()))?;
        }
        Ok(())
    }
}

fn edit(new: &mut Tree, edits: &[Edit]) -> Answer<()> {
    if edits.is_empty() {
        return Err(bad("an edit changes at least one path"));
    }
    for Edit { path: at, value } in edits {
        let at = path(at)?;
        if at.is_root() {
            return Err(bad("an edit names a path below the root"));
        }
        match value {
            Some(value) => new.set(&at, Contents::text(value.as_str())),
            None => match new.remove(&at) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let text = format!("there is nothing at /{at} to remove");
                    return Err(RpcError::new(ErrorCode::NotFound, text));
                }
                Err(error) => Err(error),
            },
        }
        .map_err(|error| tree(&error))?;
    }
    Ok(())
}

fn staged(head: &Tree, ask: &Ask) -> Answer<Tree> {
    let subject = ask.subject();
    let at = subject.path();
    let before = head.subtree(&at).map_err(|error| tree(&error))?;
    let is_new = before.is_none();
    if is_new && !matches!(ask, Ask::Define(..) | Ask::DefineService(..)) {
        let text = format!("there is nothing at /{at} on this branch");
        return Err(RpcError::new(ErrorCode::NotFound, text));
    }
    let mut below = before.unwrap_or_default();
    for write in ask.writes(is_new) {
        layout::apply(&mut below, &write).map_err(|error| tree(&error))?;
    }
    let mut new = head.clone();
    new.set_tree(&at, below).map_err(|error| tree(&error))?;
    Ok(new)
}

fn missing(branch: &BranchName) -> RpcError {
    let text = format!(
        "there is no branch {branch}; make it with `branch create {branch}`, which starts at main"
    );
    RpcError::new(ErrorCode::NotFound, text)
}

fn conflict(branch: &BranchName, conflicts: &[jitsu_store::Conflict]) -> RpcError {
    let paths: Vec<_> = conflicts.iter().map(|conflict| conflict.path.to_string()).collect();
    let mut error = RpcError::new(
        ErrorCode::Conflict,
        format!("{branch} and what comes to it changed the same: {}", paths.join(", ")),
    );
    error.conflicts = conflicts.iter().map(view::conflict).collect();
    error
}

fn meta(caller: &Caller, trace: jitsu_proto::TraceId, change: &Change) -> Meta {
    let mut meta = own_meta(change.message());
    let mut field = |key: &str, value: String| meta.fields.insert(key.to_owned(), value);
    field("method", change.method().to_owned());
    field("arguments", change.arguments());
    field("phase", "done".to_owned());
    field("result", "ok".to_owned());
    field("uid", caller.uid.to_string());
    field("gid", caller.gid.to_string());
    field("pid", caller.pid.to_string());
    field("program", caller.program.clone());
    field("role", crate::words::role(caller.role).to_owned());
    if trace.0 != 0 {
        field("trace", trace.to_string());
    }
    meta.author = caller.to_string();
    meta
}
