//! Who may do what with a node of the XenStore.
//!
//! Owns the text of one permission (docs/misc/xenstore.txt of Xen). The first of a node's list
//! names its owner, and what everyone does who is not in the rest; that is for a server to know.

use std::fmt;

use super::wire::decimal;

/// What a domain may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    Both,
}

/// One entry of a node's list of permissions: `r5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission {
    /// What.
    pub access: Access,
    /// Who.
    pub domid: u32,
}

const LETTERS: [(Access, u8); 4] =
    [(Access::None, b'n'), (Access::Read, b'r'), (Access::Write, b'w'), (Access::Both, b'b')];

impl Permission {
    /// A permission of domain `domid`.
    pub fn new(access: Access, domid: u32) -> Permission {
        Permission { access, domid }
    }

    /// The permission that these bytes are, without their NUL. None: they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Permission> {
        let (first, number) = bytes.split_first()?;
        let (access, _) = LETTERS.into_iter().find(|(_, letter)| letter == first)?;
        Some(Permission { access, domid: decimal(number)? })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = LETTERS.into_iter().find(|(access, _)| *access == self.access);
        let (_, letter) = letter.expect("BUG: every access has a letter");
        write!(f, "{}{}", char::from(letter), self.domid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_refused() {
        for (text, access, domid) in [
            ("n0", Access::None, 0),
            ("r5", Access::Read, 5),
            ("w3", Access::Write, 3),
            ("b32752", Access::Both, 32752),
        ] {
            let permission = Permission::new(access, domid);
            assert_eq!(Permission::from_bytes(text.as_bytes()), Some(permission));
            assert_eq!(permission.to_string(), text);
        }
        for text in ["", "r", "5", "R5", "r5x", "r-1", "r+5", "r05", "r 5", "r4294967296"] {
            assert_eq!(Permission::from_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
