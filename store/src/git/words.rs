//! Owns what a commit says on both sides: metadata as an author, a date and a message of Git,
//! and back. Must not know trees, parents, or where commits are kept.
//!
//! The forms are documented above, in the module `git`.
//!
//! What would not come back as it is has `%` and two digits for a character. A message that ends
//! like such lines itself, or holds a NUL, is repeated in a line `Jitsu-Message`.
//!
//! The committer is the author. Whatever Git says differently is kept, as it is, in a field:
//! `git.author`, `git.committer`, `git.headers` (signatures, the encoding), `git.message`. These
//! names are kept for that.

use std::collections::BTreeMap;

use super::escape::{escape, unescape};
use super::object::Words;
use crate::commit::Meta;

const AUTHOR: &str = "git.author";
const COMMITTER: &str = "git.committer";
const HEADERS: &str = "git.headers";
const MESSAGE: &str = "git.message";
const RESERVED: [&str; 4] = [AUTHOR, COMMITTER, HEADERS, MESSAGE];

/// What Git says for this metadata; `None` if it would not come back, because a reserved field
/// holds something that no import gives it.
pub(super) fn to_git(meta: &Meta) -> Option<Words> {
    let words = words(meta)?;
    (of_git(&words) == *meta).then_some(words)
}

/// The metadata of a commit that says this.
pub(super) fn of_git(words: &Words) -> Meta {
    let (author, seconds) = read_person(&words.author);
    let mut kept = BTreeMap::new();
    let mut keep = |name: &str, bytes: &[u8]| {
        kept.insert(name.to_owned(), escape(bytes, ""));
    };
    if person(&author, seconds * 1000) != words.author {
        keep(AUTHOR, &words.author);
    }
    if words.committer != words.author {
        keep(COMMITTER, &words.committer);
    }
    if !words.headers.is_empty() {
        keep(HEADERS, &words.headers);
    }
    if let Some(Told { message, milliseconds, mut fields }) = split(&words.message) {
        fields.extend(kept.clone());
        let time_ms = seconds * 1000 + milliseconds;
        let meta = Meta { time_ms, author: author.clone(), message, fields };
        if self::words(&meta).as_ref() == Some(words) {
            return meta;
        }
    }
    let message = String::from_utf8_lossy(&words.message).trim_end().to_owned();
    kept.insert(MESSAGE.to_owned(), escape(&words.message, ""));
    Meta { time_ms: seconds * 1000, author, message, fields: kept }
}

/// What Git is to say; `None` if a reserved field is not as an import writes it.
fn words(meta: &Meta) -> Option<Words> {
    let kept = |name: &str| match meta.fields.get(name) {
        Some(text) => unescape(text, "").map(Some),
        None => Some(None),
    };
    let author = kept(AUTHOR)?.unwrap_or_else(|| person(&meta.author, meta.time_ms));
    let committer = kept(COMMITTER)?.unwrap_or_else(|| author.clone());
    let headers = kept(HEADERS)?.unwrap_or_default();
    let message = kept(MESSAGE)?.unwrap_or_else(|| join(meta));
    Some(Words { author, committer, headers, message })
}

/// A person and a date, as Git writes them.
fn person(author: &str, time_ms: u64) -> Vec<u8> {
    let plain = |text: &str| escape(text.as_bytes(), "<>");
    let parts = author.strip_suffix('>').and_then(|author| author.rsplit_once(" <"));
    let (name, address) = match parts.filter(|(_, address)| !address.is_empty()) {
        Some((name, address)) => (plain(name), plain(address)),
        None => (plain(author), String::new()),
    };
    // Git has no person without a name.
    let name = if name.is_empty() { "%" } else { &name };
    format!("{name} <{address}> {} +0000", time_ms / 1000).into_bytes()
}

/// The author and the seconds of a line; as far as they can be made out.
fn read_person(line: &[u8]) -> (String, u64) {
    let line = String::from_utf8_lossy(line);
    let parts = line.rsplit_once("> ").and_then(|(person, date)| {
        let (name, address) = person.rsplit_once(" <")?;
        let seconds = date.split(' ').next()?.parse::<u64>().ok()?;
        seconds.checked_mul(1000).is_some_and(|ms| ms <= u64::MAX - 999).then_some(())?;
        Some((name, address, seconds))
    });
    let Some((name, address, seconds)) = parts else { return (line.into_owned(), 0) };
    let plain = |text: &str| {
        let bytes = unescape(text, "<>");
        bytes.and_then(|it| String::from_utf8(it).ok()).unwrap_or_else(|| text.to_owned())
    };
    let name = if name == "%" { String::new() } else { plain(name) };
    let author = if address.is_empty() { name } else { format!("{name} <{}>", plain(address)) };
    (author, seconds)
}

/// What a message tells.
struct Told {
    message: String,
    milliseconds: u64,
    fields: BTreeMap<String, String>,
}

const MILLISECONDS_LINE: &str = "Jitsu-Milliseconds: ";
const MESSAGE_LINE: &str = "Jitsu-Message: ";
const FIELD_LINE: &str = "Jitsu-Field: ";

/// A message of Git.
fn join(meta: &Meta) -> Vec<u8> {
    let message = &meta.message;
    let mut lines = String::new();
    if !meta.time_ms.is_multiple_of(1000) {
        lines += &format!("{MILLISECONDS_LINE}{}\n", meta.time_ms % 1000);
    }
    let fields = meta.fields.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let fields: String = fields.map(|(name, value)| field_line(name, value)).collect();
    let is_alone = lines.is_empty() && fields.is_empty();
    if message.contains('\0') || is_alone && block(message).is_some() {
        lines += &format!("{MESSAGE_LINE}{}\n", escape(message.as_bytes(), ""));
    }
    lines += &fields;
    let between = match (message.is_empty(), lines.is_empty()) {
        (true, false) => "",
        (false, false) => "\n\n",
        (_, true) => "\n",
    };
    [&visible(message), between, &lines].concat().into_bytes()
}

fn field_line(name: &str, value: &str) -> String {
    format!("{FIELD_LINE}{}={}\n", escape(name.as_bytes(), "="), escape(value.as_bytes(), ""))
}

/// A message as Git can show it.
fn visible(message: &str) -> String {
    message.replace('\0', "\u{fffd}")
}

/// What a message of Git tells, if it can be told so.
fn split(message: &[u8]) -> Option<Told> {
    let text = std::str::from_utf8(message).ok()?.strip_suffix('\n')?;
    let told = block(text);
    Some(told.unwrap_or_else(|| Told {
        message: text.to_owned(),
        milliseconds: 0,
        fields: BTreeMap::new(),
    }))
}

/// What a text tells that ends with lines as [`join`] writes them.
fn block(text: &str) -> Option<Told> {
    let (message, lines) = text.rsplit_once("\n\n").unwrap_or(("", text));
    let mut told = Told { message: message.to_owned(), milliseconds: 0, fields: BTreeMap::new() };
    for line in lines.split('\n') {
        if let Some(milliseconds) = line.strip_prefix(MILLISECONDS_LINE) {
            told.milliseconds = milliseconds.parse().ok().filter(|ms| (1..1000).contains(ms))?;
        } else if let Some(message) = line.strip_prefix(MESSAGE_LINE) {
            told.message = String::from_utf8(unescape(message, "")?).ok()?;
        } else {
            let (name, value) = line.strip_prefix(FIELD_LINE)?.split_once('=')?;
            let name = String::from_utf8(unescape(name, "=")?).ok()?;
            let value = String::from_utf8(unescape(value, "")?).ok()?;
            if RESERVED.contains(&name.as_str()) {
                return None;
            }
            told.fields.insert(name, value);
        }
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(time_ms: u64, author: &str, message: &str, fields: &[(&str, &str)]) -> Meta {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Meta { time_ms, author: author.into(), message: message.into(), fields: fields.collect() }
    }

    fn shown(meta: &Meta) -> (String, String) {
        let words = to_git(meta).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(words.author), text(words.message))
    }

    #[test]
    fn metadata_looks_as_it_is_documented() {
        let ann = meta(1_700_000_000_000, "Ann <ann@x>", "hello", &[]);
        assert_eq!(shown(&ann), ("Ann <ann@x> 1700000000 +0000".into(), "hello\n".into()));
        let asked = meta(1_250, "uid 7", "want www", &[("args", "a\nb"), ("method", "want")]);
        let text = "want www\n\nJitsu-Milliseconds: 250\nJitsu-Field: args=a%0Ab\n\
                    Jitsu-Field: method=want\n";
        assert_eq!(shown(&asked), ("uid 7 <> 1 +0000".into(), text.into()));
        assert_eq!(shown(&meta(0, "", "", &[])), ("% <> 0 +0000".into(), "\n".into()));
        let quoted = meta(0, "a", "x\n\nJitsu-Field: a=b", &[]);
        let text = "x\n\nJitsu-Field: a=b\n\nJitsu-Message: x%0A%0AJitsu-Field: a=b\n";
        assert_eq!(shown(&quoted).1, text);
    }

    #[test]
    fn what_only_git_knows_is_kept() {
        let words = Words {
            author: b"Ann <ann@x> 1700000000 +0200".to_vec(),
            committer: b"B\xff <b@x> 1700000001 -0330".to_vec(),
            headers: b"gpgsig x\n y\n".to_vec(),
            message: b"no line end".to_vec(),
        };
        let meta = of_git(&words);
        assert_eq!((meta.time_ms, &*meta.author), (1_700_000_000_000, "Ann <ann@x>"));
        assert_eq!(meta.message, "no line end");
        let names: Vec<_> = meta.fields.keys().collect();
        assert_eq!(names, [AUTHOR, COMMITTER, HEADERS, MESSAGE]);
        assert_eq!(to_git(&meta), Some(words));
    }

    #[test]
    fn a_reserved_field_with_another_value_is_refused() {
        for (name, value) in [
            (AUTHOR, "a <> 0 +0000"),
            (AUTHOR, "b <> 0 +0000"),
            (COMMITTER, "a <> 0 +0000"),
            (HEADERS, ""),
            (MESSAGE, "m%0A"),
            (MESSAGE, "%41"),
        ] {
            assert_eq!(to_git(&meta(0, "a", "m", &[(name, value)])), None, "{name} {value}");
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "(a|b|=|%|%41|<|>| |\n|\0|\r|ü|Jitsu-Field: a=b|Jitsu-Milliseconds: 1|Jitsu-Message: a){0,6}",
            "(Jitsu-Field: a=b\n|\n){1,4}",
            ".{0,9}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn metadata_comes_back(
            author in any_text(),
            message in any_text(),
            fields in prop::collection::btree_map(any_text(), any_text(), 0..3),
            time_ms in prop_oneof![0..3000u64, any::<u64>()],
        ) {
            let meta = Meta { time_ms, author, message, fields };
            let words = to_git(&meta);
            prop_assert!(words.is_some(), "{:?}", self::words(&meta));
            let words = words.unwrap();
            for line in [&words.author, &words.committer] {
                prop_assert!(!line.contains(&b'\n') && !line.contains(&0));
            }
            prop_assert!(!words.message.contains(&0));
            prop_assert_eq!(of_git(&words), meta);
        }

        #[test]
        fn whatever_git_says_comes_back(
            author in prop_oneof![
                "(a|b|%|%3C|%|<|>| |ü){0,4} <(a|%41|%3C){0,2}>  ?(0|00|7|-1|99999999999999999999) ?[+-]0[02]00",
                any_text().prop_map(|text| text.replace(['\n', '\0'], "")),
            ],
            same: bool,
            committer in "C <c> 7 [+-]0[02]00",
            headers in "(encoding x\n)?",
            message in prop_oneof![
                any_text().prop_map(String::into_bytes),
                any_text().prop_map(|text| (text + "\n").into_bytes()),
                any::<Vec<u8>>(),
            ],
        ) {
            let committer = if same { author.clone() } else { committer };
            let words = Words {
                author: author.into_bytes(),
                committer: committer.into_bytes(),
                headers: headers.into_bytes(),
                message,
            };
            let meta = of_git(&words);
            prop_assert_eq!(to_git(&meta), Some(words));
        }
    }
}
