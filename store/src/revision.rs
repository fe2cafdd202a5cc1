//! Owns the spelling of revisions: a branch's name, or at least four digits of a commit's id,
//! either followed by `~N` for its N-th first parent. Must not know who types them.

use crate::commit::Commit;
use crate::error::StorageError;
use crate::id::Id;
use crate::name::BranchName;
use crate::store::Store;

/// The fewest digits of an id that are taken for one.
pub const DIGITS_MIN: usize = 4;
/// How far back `~N` may go.
pub const BACK_MAX: u64 = 100_000;

/// Why a text means no commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevisionError {
    /// There is neither a branch of this name nor a commit with such an id.
    #[error(
        "there is no branch and no commit {text:?}; a commit needs at least {DIGITS_MIN} digits of its id"
    )]
    None {
        /// What was typed.
        text: String,
    },
    /// Several commits have ids that begin so.
    #[error("{text:?} could be any of {}{}", shown(found), if found.len() > SHOWN_MAX { ", …" } else { "" })]
    Several {
        /// What was typed.
        text: String,
        /// Their ids, sorted.
        found: Vec<Id>,
    },
    /// What follows `~` is not a number, or too large.
    #[error("{text:?}: after ~ comes a number of at most {BACK_MAX}")]
    Back {
        /// What was typed.
        text: String,
    },
    /// It has not that many parents above each other.
    #[error("{text:?} goes back further than the {parents} first parents there are")]
    First {
        /// What was typed.
        text: String,
        /// How many there are.
        parents: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

const SHOWN_MAX: usize = 8;

fn shown(ids: &[Id]) -> String {
    ids.iter().take(SHOWN_MAX).map(Id::short).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// The commit that a person means: `main`, `domain/www~2`, `466ae326`.
    pub fn resolve(&self, text: &str) -> Result<Commit, RevisionError> {
        let (base, back) = match text.rsplit_once('~') {
            None => (text, 0),
            Some((base, "")) => (base, 1),
            Some((base, digits)) => {
                let back = digits.parse().ok().filter(|back| *back <= BACK_MAX);
                (base, back.ok_or_else(|| RevisionError::Back { text: text.to_owned() })?)
            }
        };
        let mut commit = self.resolve_base(base)?;
        for parents in 0..back {
            let Some(parent) = commit.links().first().cloned() else {
                return Err(RevisionError::First { text: text.to_owned(), parents });
            };
            commit = self.history().parent(&parent)?;
        }
        Ok(commit)
    }

    fn resolve_base(&self, text: &str) -> Result<Commit, RevisionError> {
        if let Ok(branch) = BranchName::new(text)
            && let Some(head) = self.head(&branch)?
        {
            return Ok(head);
        }
        let is_prefix = text.len() >= DIGITS_MIN && text.bytes().all(|b| b.is_ascii_hexdigit());
        let found =
            if is_prefix { self.find_commits(&text.to_ascii_lowercase())? } else { Vec::new() };
        match found[..] {
            [id] => Ok(self.history().commit(&id)?),
            [] => Err(RevisionError::None { text: text.to_owned() }),
            _ => Err(RevisionError::Several { text: text.to_owned(), found }),
        }
    }
}
