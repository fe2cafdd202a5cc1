//! The file of a saved domain.
//!
//! Owns what comes before the library's own stream, so that a file that is none, or one of
//! another kind of domain, is refused before anything is made.

use std::fs::File;
use std::io::{self, Read, Write};

/// What every such file begins with; the last byte is the form's version.
const MAGIC: [u8; 16] = *b"jitsu saved xen\x01";

/// What a saved domain was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_pvh: bool,
    pub(super) memory_mib: u32,
    pub(super) vcpus: u32,
}

/// Why a file is not a saved domain.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this is no domain that was saved by the hypervisor \"xen\"")]
    Magic,
    #[error("it was saved in form {0} of the file, and this release knows form {known}", known = MAGIC[15])]
    Version(u8),
    #[error("byte {at} of its header is damaged")]
    Damaged { at: usize },
}

impl Header {
    pub(super) fn write(self, file: &mut File) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::from(self.is_pvh).to_le_bytes());
        bytes.extend(self.memory_mib.to_le_bytes());
        bytes.extend(self.vcpus.to_le_bytes());
        file.write_all(&bytes)
    }

    pub(super) fn read(file: &mut impl Read) -> Result<Header, HeaderError> {
        let mut bytes = [0; MAGIC.len() + 12];
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => HeaderError::Magic,
            _ => error.into(),
        })?;
        let (magic, fields) = bytes.split_at(MAGIC.len());
        if magic[..15] != MAGIC[..15] {
            return Err(HeaderError::Magic);
        }
        if magic[15] != MAGIC[15] {
            return Err(HeaderError::Version(magic[15]));
        }
        let field = |nth: usize| {
            let bytes = fields[nth * 4..][..4].try_into().expect("BUG: four bytes are four");
            u32::from_le_bytes(bytes)
        };
        let damaged = |nth: usize| HeaderError::Damaged { at: MAGIC.len() + nth * 4 };
        match (field(0), field(1), field(2)) {
            (0 | 1, 1.., 1..) => {}
            (0 | 1, 0, _) => return Err(damaged(1)),
            (0 | 1, _, 0) => return Err(damaged(2)),
            _ => return Err(damaged(0)),
        }
        Ok(Header { is_pvh: field(0) == 1, memory_mib: field(1), vcpus: field(2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_the_rest_is_refused() {
        let header = Header { is_pvh: true, memory_mib: 64, vcpus: 2 };
        let mut file = tempfile::tempfile().expect("a file");
        header.write(&mut file).expect("written");
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut file).expect("it can");
        file.read_to_end(&mut bytes).expect("read");
        assert_eq!(Header::read(&mut bytes.as_slice()).expect("right"), header);
        let wrong = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Header::read(&mut bytes.as_slice()).expect_err("wrong").to_string()
        };
        assert_eq!(wrong(0, b'x'), "this is no domain that was saved by the hypervisor \"xen\"");
        assert_eq!(
            wrong(15, 9),
            "it was saved in form 9 of the file, and this release knows form 1"
        );
        assert_eq!(wrong(16, 2), "byte 16 of its header is damaged");
        assert_eq!(wrong(20, 0), "byte 20 of its header is damaged");
        assert_eq!(wrong(24, 0), "byte 24 of its header is damaged");
        let short = Header::read(&mut &bytes[..20]).expect_err("short");
        assert!(matches!(short, HeaderError::Magic));
    }
}
