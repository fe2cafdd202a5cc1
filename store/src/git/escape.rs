//! Owns the way in which any bytes become one line of text: `%` and two digits for each byte that
//! is not plain. Must not know what is written in it.

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes as text without control characters, without spaces at its ends, and without the
/// characters of `also`.
pub(super) fn escape(bytes: &[u8], also: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    let last = bytes.len().wrapping_sub(1);
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let is_end = c == ' ' && (at == 0 || at == last);
            if c == '%' || c.is_control() || is_end || also.contains(c) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push(byte, &mut text));
            } else {
                text.push(c);
            }
            at += c.len_utf8();
        }
        chunk.invalid().iter().for_each(|byte| push(*byte, &mut text));
        at += chunk.invalid().len();
    }
    text
}

/// The bytes that were escaped; `None` if this is not how [`escape`] writes any.
pub(super) fn unescape(text: &str, also: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            bytes.push(byte(rest)?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    (escape(&bytes, also) == text).then_some(bytes)
}

/// The byte that two digits at the beginning stand for.
pub(super) fn byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| DIGITS.iter().position(|digit| text.get(at) == Some(digit));
    Some((digit(0)? * 16 + digit(1)?) as u8)
}

/// Appends a byte as `%` and its digits.
pub(super) fn push(byte: u8, to: &mut String) {
    to.push('%');
    to.push(char::from(DIGITS[usize::from(byte >> 4)]));
    to.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_plain_stays_and_the_rest_is_digits() {
        assert_eq!(escape("a ü %\n".as_bytes(), ""), "a ü %25%0A");
        assert_eq!(escape(b" <\xff> ", "<>"), "%20%3C%FF%3E%20");
        assert_eq!(unescape("%41", ""), None);
        assert_eq!(unescape("%4", ""), None);
        assert_eq!(unescape("a\nb", ""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>, text in "[ -~]{0,12}") {
            let line = escape(&bytes, "=");
            prop_assert!(!line.contains(['\n', '=', '\0']));
            prop_assert_eq!(unescape(&line, "="), Some(bytes));
            if let Some(bytes) = unescape(&text, "=") {
                prop_assert_eq!(escape(&bytes, "="), text);
            }
        }
    }
}
