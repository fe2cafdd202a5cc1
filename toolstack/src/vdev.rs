//! Names of virtual disks.
//!
//! Owns the numbers that stand for them (docs/man/xen-vbd-interface.7). It must not know what is
//! on a disk.

/// The number of the disk or partition that a guest calls `name`. None: no such name.
pub(crate) fn number(name: &str) -> Option<u32> {
    let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (letters, partition) = name.split_at(digits);
    let partition: u32 = match partition {
        "" => 0,
        text if text.starts_with('0') => return None,
        text => text.parse().ok()?,
    };
    let (kind, disk) = ["xvd", "sd", "hd"]
        .into_iter()
        .find_map(|kind| Some((kind, index(letters.strip_prefix(kind)?)?)))?;
    match kind {
        "xvd" if disk < 16 && partition < 16 => Some((202 << 8) | (disk << 4) | partition),
        "xvd" if disk < 1 << 20 && partition < 256 => Some((1 << 28) | (disk << 8) | partition),
        "sd" if disk < 16 && partition < 16 => Some((8 << 8) | (disk << 4) | partition),
        "hd" if disk < 2 && partition < 64 => Some((3 << 8) | (disk << 6) | partition),
        "hd" if disk < 4 && partition < 64 => Some((22 << 8) | ((disk - 2) << 6) | partition),
        _ => None,
    }
}

/// `a` is 0, `z` 25, `aa` 26.
fn index(letters: &str) -> Option<u32> {
    if letters.is_empty() || letters.len() > 4 {
        return None;
    }
    let digits = letters.bytes().map(|b| b.is_ascii_lowercase().then(|| u32::from(b - b'a') + 1));
    let sum = digits.into_iter().try_fold(0, |sum, digit| Some(sum * 26 + digit?))?;
    Some(sum - 1)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_interface_documents_table() {
        let rows = [
            ("xvda", Some(51712)),
            ("xvda1", Some(51713)),
            ("xvdb", Some(51728)),
            ("xvdp15", Some(51967)),
            ("xvdq", Some((1 << 28) | (16 << 8))),
            ("xvda16", Some((1 << 28) | 16)),
            ("xvdaa", Some((1 << 28) | (26 << 8))),
            ("sda", Some(2048)),
            ("sdb3", Some(2067)),
            ("hda", Some(768)),
            ("hdb1", Some(833)),
            ("hdc", Some(5632)),
            ("hde", None),
            ("sdq", None),
            ("xvd", None),
            ("xvdA", None),
            ("xvda01", None),
            ("xvda-1", None),
            ("vda", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
