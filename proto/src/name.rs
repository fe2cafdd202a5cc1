//! Names of domains and services.
//!
//! Owns what a name may look like, so that it can be a path step, a branch name, a file name
//! and a cgroup name without escaping. It must not know what is named.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a DNS label's.
pub const NAME_BYTES_MAX: usize = 63;

/// The name of a domain or a service: 1 to 63 of `a-z 0-9 . _ -`, beginning and ending with a
/// letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(Arc<str>);

/// Why a string is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    #[error("the name is {0} bytes long; at most {NAME_BYTES_MAX} are allowed")]
    Long(usize),
    /// It holds a character that is not allowed there.
    #[error("{found:?} at byte {at} of the name {name:?}: {}", expected(*at))]
    Character {
        /// The whole string.
        name: String,
        /// The first character that is not allowed.
        found: char,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
}

fn expected(at: usize) -> &'static str {
    if at == 0 {
        "a name begins with a lower-case letter or a digit"
    } else {
        "allowed are a-z 0-9 . _ - inside, and a letter or digit at the end"
    }
}

impl Name {
    /// The name that `text` spells.
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::Long(text.len()));
        }
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let last = text.char_indices().last().map_or(0, |(at, _)| at);
        for (at, found) in text.char_indices() {
            let inside = at != 0 && at != last && matches!(found, '.' | '_' | '-');
            if !edge(found) && !inside {
                return Err(NameError::Character { name: text.to_owned(), found, at });
            }
        }
        Ok(Name(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Name, NameError> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
