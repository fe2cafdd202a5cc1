//! Paths of the XenStore.
//!
//! Owns what one may look like (docs/misc/xenstore.txt of Xen). It must not know whether a node is
//! there, nor what a relative path is relative to.

use std::fmt;

/// The longest absolute path, in bytes: `XENSTORE_ABS_PATH_MAX` of
/// xen/include/public/io/xs_wire.h. Both daemons have a quota of 2048 besides.
pub const ABSOLUTE_BYTES_MAX: usize = 3072;
/// The longest relative path, in bytes: `XENSTORE_REL_PATH_MAX`.
pub const RELATIVE_BYTES_MAX: usize = 2048;

/// A path that is in order: absolute, relative to a domain's directory, or a special name as
/// `@releaseDomain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path<'a>(&'a str);

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it is {bytes} bytes long; at most {max} are allowed")]
    Long {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A byte that no path has.
    #[error("byte {at} is {byte:#04x}; allowed are letters, digits and -/_@")]
    Byte {
        /// Where, counted from 0.
        at: usize,
        /// Which.
        byte: u8,
    },
    /// A step between two slashes that is empty, or a slash at the end.
    #[error("a name between two slashes, or after the last, is empty")]
    EmptyName,
    /// A special name with a slash in it.
    #[error("it begins with @, so it is one name without slashes")]
    Special,
}

impl<'a> Path<'a> {
    /// The path that `text` is.
    pub fn new(text: &'a str) -> Result<Path<'a>, PathError> {
        Path::from_bytes(text.as_bytes())
    }

    /// The path that these bytes are.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Path<'a>, PathError> {
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        let max = if bytes[0] == b'/' { ABSOLUTE_BYTES_MAX } else { RELATIVE_BYTES_MAX };
        if bytes.len() > max {
            return Err(PathError::Long { bytes: bytes.len(), max });
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte);
        if let Some(at) = bytes.iter().position(|byte| !is_allowed(*byte)) {
            return Err(PathError::Byte { at, byte: bytes[at] });
        }
        let has_empty_name = bytes.windows(2).any(|pair| pair == b"//") || bytes.ends_with(b"/");
        if has_empty_name && bytes != b"/" {
            return Err(PathError::EmptyName);
        }
        if bytes[0] == b'@' && bytes.contains(&b'/') {
            return Err(PathError::Special);
        }
        Ok(Path(std::str::from_utf8(bytes).expect("BUG: a path is of ASCII only")))
    }

    /// Its text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_rules() {
        let absolute = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        let long = |bytes, max| Some(PathError::Long { bytes, max });
        let byte = |at, byte| Some(PathError::Byte { at, byte });
        let rows = [
            ("/", None),
            ("/local/domain/0", None),
            ("device/vif/0", None),
            ("/a@b/@x/_-", None),
            ("@releaseDomain", None),
            (&absolute(3072), None),
            (&"a".repeat(2048), None),
            ("", Some(PathError::Empty)),
            ("//", Some(PathError::EmptyName)),
            ("/a//b", Some(PathError::EmptyName)),
            ("/a/", Some(PathError::EmptyName)),
            ("a/", Some(PathError::EmptyName)),
            ("@a/b", Some(PathError::Special)),
            ("/a b", byte(2, b' ')),
            ("/a.b", byte(2, b'.')),
            ("/a\0", byte(2, 0)),
            ("/\u{e9}", byte(1, 0xc3)),
            (&absolute(3073), long(3073, 3072)),
            (&"a".repeat(2049), long(2049, 2048)),
        ];
        for (text, wrong) in rows {
            assert_eq!(Path::new(text).err(), wrong, "{text}");
        }
    }
}
