//! Owns how contents look as a file, and which file is which contents. Must not know names,
//! trees, or Git.
//!
//! The forms are documented above, in the module `git`. A new kind is an arm in each of
//! [`to_blob`] and [`typed`]; that what is read is exactly what would be written is seen to here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::escape::{escape, unescape};
use super::objects;
use crate::contents::{Contents, Register};
use crate::error::StorageError;

const BYTES: &[u8] = b"jitsu bytes\n";

/// The file that contents are.
pub(super) fn to_blob(contents: &Contents) -> Result<Cow<'_, [u8]>, StorageError> {
    Ok(match contents {
        Contents::Bytes(bytes) if is_taken(bytes) => [BYTES, &bytes[..]].concat().into(),
        Contents::Bytes(bytes) => Cow::Borrowed(bytes),
        Contents::Counter(count) => format!("jitsu counter\n{count}\n").into_bytes().into(),
        Contents::Register(Register { time_ms, tie_break, value }) => {
            let line = format!("jitsu register {time_ms} {tie_break}\n");
            [line.as_bytes(), value].concat().into()
        }
        Contents::Set(members) => {
            let lines = members.iter().map(|member| escape(member, "") + "\n");
            let text: String = std::iter::once("jitsu set\n".to_owned()).chain(lines).collect();
            text.into_bytes().into()
        }
        other => objects::write(other)?.into_bytes().into(),
    })
}

/// The contents that a file is. Every file is the blob of exactly these contents.
pub(super) fn of_blob(blob: &[u8]) -> Contents {
    match blob.strip_prefix(BYTES) {
        Some(bytes) if is_taken(bytes) => Contents::bytes(bytes),
        Some(_) => Contents::bytes(blob),
        None => typed(blob).unwrap_or_else(|| Contents::bytes(blob)),
    }
}

/// Whether these bytes as a file would be something else than bytes.
fn is_taken(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(inner) = rest.strip_prefix(BYTES) {
        rest = inner;
    }
    typed(rest).is_some()
}

/// What a file says it is, if it is exactly what is written for that.
fn typed(blob: &[u8]) -> Option<Contents> {
    let said = blob.strip_prefix(b"jitsu ")?;
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let (line, body) = (std::str::from_utf8(&said[..end]).ok()?, &said[end + 1..]);
    let contents = match line.split(' ').collect::<Vec<_>>()[..] {
        ["counter"] => {
            let count = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
            Contents::Counter(count.parse().ok()?)
        }
        ["register", time_ms, tie_break] => Contents::Register(Register {
            time_ms: time_ms.parse().ok()?,
            tie_break: tie_break.parse().ok()?,
            value: body.into(),
        }),
        ["set"] => {
            let lines = std::str::from_utf8(body).ok()?.split_terminator('\n');
            let members = lines.map(|line| unescape(line, "").map(Into::into));
            Contents::Set(members.collect::<Option<BTreeSet<_>>>()?)
        }
        ["objects"] => objects::read(blob)?,
        _ => return None,
    };
    (*to_blob(&contents).ok()? == *blob).then_some(contents)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(contents: &Contents) -> String {
        String::from_utf8(to_blob(contents).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn each_kind_looks_as_it_is_documented() {
        assert_eq!(file(&Contents::text("a text\n")), "a text\n");
        assert_eq!(file(&Contents::Counter(-42)), "jitsu counter\n-42\n");
        let register = Register { time_ms: 1, tie_break: 2, value: b"of it"[..].into() };
        assert_eq!(file(&Contents::Register(register)), "jitsu register 1 2\nof it");
        assert_eq!(file(&Contents::set(["b\n", "", "a"])), "jitsu set\n\na\nb%0A\n");
        let text = Contents::text("jitsu bytes\njitsu counter\n1\n");
        assert_eq!(file(&text), "jitsu bytes\njitsu bytes\njitsu counter\n1\n");
    }

    #[test]
    fn what_is_not_exactly_a_kind_is_bytes() {
        for text in [
            "jitsu counter\n042\n",
            "jitsu counter\n42",
            "jitsu counter\n+42\n",
            "jitsu counter \n42\n",
            "jitsu set\nb\na\n",
            "jitsu set\n%61\n",
            "jitsu set\na",
            "jitsu register 1\nx",
            "jitsu bytes\nplain",
            "jitsu unknown\n",
        ] {
            assert_eq!(of_blob(text.as_bytes()), Contents::text(text));
            assert_eq!(file(&Contents::text(text)), text);
        }
        let deep = "jitsu bytes\n".repeat(1 << 20);
        assert_eq!(of_blob(deep.as_bytes()), Contents::text(deep));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn contents_and_files_come_back(
            first in prop::sample::select(vec![
                "", "jitsu counter\n", "jitsu set\n", "jitsu register 7 8\n", "jitsu bytes\n",
                "jitsu bytes\njitsu counter\n",
            ]),
            rest in prop_oneof![
                "-?[0-9]{0,4}\n?".prop_map(String::into_bytes),
                "([a-c%]{0,3}\n){0,3}".prop_map(String::into_bytes),
                any::<Vec<u8>>(),
            ],
            count: i64, time_ms: u64, tie_break: u64, members: Vec<Vec<u8>>,
        ) {
            let bytes = [first.as_bytes(), &rest].concat();
            let contents = of_blob(&bytes);
            prop_assert_eq!(&*to_blob(&contents).unwrap(), &bytes[..]);
            let register = Register { time_ms, tie_break, value: bytes[..].into() };
            for contents in [
                Contents::bytes(bytes),
                Contents::Counter(count),
                Contents::Register(register),
                Contents::set(members),
            ] {
                prop_assert_eq!(of_blob(&to_blob(&contents).unwrap()), contents);
            }
        }
    }
}
