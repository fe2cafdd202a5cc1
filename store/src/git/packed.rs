//! Owns the text of the file of packed references, in which Git keeps many in one file: what it is
//! without some of them. Must not know where the file is.
//!
//! A line is an id and the name of a reference. A line that begins with `^` belongs to the one
//! above: to what a tag points at.

/// A reference that was taken out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken<'a> {
    pub(super) name: &'a [u8],
    /// In hexadecimal digits.
    pub(super) id: &'a [u8],
}

/// References that are taken out, and the text without them.
pub(super) fn take(text: &[u8], is_taken: impl Fn(&[u8]) -> bool) -> (Vec<Taken<'_>>, Vec<u8>) {
    let (mut taken, mut rest) = (Vec::new(), Vec::new());
    let mut is_below_taken = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"^") && is_below_taken {
            continue;
        }
        let pair = line.trim_ascii_end();
        let at = pair.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let (id, name) = (&pair[..at], pair[at..].trim_ascii_start());
        is_below_taken = !line.starts_with(b"#") && is_taken(name);
        if is_below_taken {
            taken.push(Taken { name, id });
        } else {
            rest.extend_from_slice(line);
        }
    }
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_goes_with_what_belongs_to_it() {
        let text = b"# pack-refs with: peeled fully-peeled sorted \n\
            01 refs/heads/a\n02 refs/heads/b\n03 refs/tags/a\n^04\n05 refs/tags/b\n^06\n";
        let is_taken = |name: &[u8]| name == b"refs/heads/b" || name == b"refs/tags/a";
        let (taken, rest) = take(text, is_taken);
        let reference = |name: &'static str, id: &'static str| Taken {
            name: name.as_bytes(),
            id: id.as_bytes(),
        };
        assert_eq!(taken, [reference("refs/heads/b", "02"), reference("refs/tags/a", "03")]);
        let left = b"# pack-refs with: peeled fully-peeled sorted \n\
            01 refs/heads/a\n05 refs/tags/b\n^06\n";
        assert_eq!(rest, left);
    }
}
