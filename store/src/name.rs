//! Owns the names people give to branches, and the error for every name that is refused.
//! Must not know what a branch points to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest branch name, in bytes.
pub const BRANCH_BYTES_MAX: usize = 255;

/// Why a name was refused: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} {fault} (at byte {at})")]
pub struct NameError {
    /// The name, cut to 64 characters.
    pub name: String,
    /// What is wrong with it.
    pub fault: NameFault,
    /// The byte at which it goes wrong.
    pub at: usize,
}

/// What can be wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Nothing between two slashes, or nothing at all.
    #[error("has an empty part")]
    Empty,
    /// A character that such a name may not hold.
    #[error("holds the character {0:?}")]
    Character(char),
    /// A part that means something else to people and to Git.
    #[error("has a part that is reserved ('.', '..', or one that ends in '.lock' or with a dot)")]
    Reserved,
    /// More bytes than are allowed.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// More parts than are allowed.
    #[error("has more than {0} parts")]
    TooDeep(usize),
}

impl NameError {
    pub(crate) fn new(name: &str, fault: NameFault, at: usize) -> NameError {
        NameError { name: name.chars().take(64).collect(), fault, at }
    }
}

/// The name of a branch: parts joined by slashes, valid as a Git reference.
///
/// ```
/// use jitsu_store::BranchName;
/// let name: BranchName = "domain/www".parse()?;
/// assert_eq!(name.to_string(), "domain/www");
/// assert!(BranchName::new("a//b").is_err());
/// # Ok::<(), jitsu_store::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(Arc<str>);

impl BranchName {
    /// Checks a name. Parts hold ASCII letters, digits and `.` `_` `-` `*` `@` `+` `=` `,`, do not
    /// begin or end with a dot, do not end in `.lock`, and hold no two dots together.
    pub fn new(name: &str) -> Result<BranchName, NameError> {
        let refuse = |fault, at| Err(NameError::new(name, fault, at));
        if name.len() > BRANCH_BYTES_MAX {
            return refuse(NameFault::TooLong(BRANCH_BYTES_MAX), BRANCH_BYTES_MAX);
        }
        let mut at = 0;
        for part in name.split('/') {
            if part.is_empty() {
                return refuse(NameFault::Empty, at);
            }
            if let Some((offset, character)) = part.char_indices().find(|(_, c)| !allowed(*c)) {
                return refuse(NameFault::Character(character), at + offset);
            }
            let dotted = part.starts_with('.') || part.ends_with('.') || part.contains("..");
            if dotted || part.ends_with(".lock") {
                return refuse(NameFault::Reserved, at);
            }
            at += part.len() + 1;
        }
        Ok(BranchName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*' | '@' | '+' | '=' | ',')
}

impl FromStr for BranchName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<BranchName, NameError> {
        BranchName::new(name)
    }
}

impl AsRef<str> for BranchName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
