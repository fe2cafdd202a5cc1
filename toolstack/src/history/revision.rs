//! From what a person types to a commit.
//!
//! Owns the spelling of revisions: a branch's name, a commit's id or at least four digits of it,
//! either followed by `~N` for its N-th first parent.

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::{BranchName, Commit};

use super::{Answer, History, bad, storage};

/// The shortest beginning of an id.
const DIGITS_MIN: usize = 4;

/// How far back `~N` may go.
const BACK_MAX: u64 = 100_000;

impl History {
    /// The commit that `text` means.
    pub(super) fn resolve(&self, text: &str) -> Answer<Commit> {
        let (base, back) = match text.rsplit_once('~') {
            None => (text, 0),
            Some((base, "")) => (base, 1),
            Some((base, digits)) => {
                let back = digits.parse().ok().filter(|back| *back <= BACK_MAX);
                let wrong =
                    || bad(format!("{text:?}: after ~ comes a number of at most {BACK_MAX}"));
                (base, back.ok_or_else(wrong)?)
            }
        };
        let mut commit = self.resolve_base(base)?;
        for step in 0..back {
            let Some(parent) = commit.parents().first().copied() else {
                let text = format!("{text:?}: {base} has only {step} first parents");
                return Err(RpcError::new(ErrorCode::NotFound, text));
            };
            commit = self.commit(&parent)?;
        }
        Ok(commit)
    }

    fn resolve_base(&self, text: &str) -> Answer<Commit> {
        if let Ok(branch) = BranchName::new(text)
            && let Some(head) = self.store.head(&branch).map_err(|error| storage(&error))?
        {
            return Ok(head);
        }
        let is_prefix = text.len() >= DIGITS_MIN && text.bytes().all(|b| b.is_ascii_hexdigit());
        let found = if is_prefix {
            let digits = text.to_ascii_lowercase();
            self.store.find_commits(&digits).map_err(|error| storage(&error))?
        } else {
            Vec::new()
        };
        match found.as_slice() {
            [id] => self.commit(id),
            [] => {
                let text = format!(
                    "there is no branch and no commit {text:?}; `branch list` shows the branches, \
                     and a commit needs at least {DIGITS_MIN} digits of its id"
                );
                Err(RpcError::new(ErrorCode::NotFound, text))
            }
            several => {
                let ids: Vec<_> = several.iter().take(8).map(jitsu_store::Id::short).collect();
                let more = if several.len() > ids.len() { ", …" } else { "" };
                Err(bad(format!("{text:?} could be any of {}{more}", ids.join(", "))))
            }
        }
    }

    pub(super) fn commit(&self, id: &jitsu_store::Id) -> Answer<Commit> {
        let commit = self.store.commit(id).map_err(|error| storage(&error))?;
        commit.ok_or_else(|| {
            RpcError::new(ErrorCode::NotFound, format!("the store has no commit {id}"))
        })
    }
}
