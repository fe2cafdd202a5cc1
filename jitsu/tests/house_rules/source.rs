//! One source file, taken apart as far as the rules need it.
//!
//! Owns a small reader of Rust's surface: comments and literals, items under `cfg(test)`,
//! functions, `use`. It must not know any rule.

use std::ops::Range;

/// A source file. `code` and `shipped` have the text's lines, so that a line number is the same
/// in all three.
pub(crate) struct Source {
    /// Its path in the workspace, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// With spaces for comments and literals.
    pub(crate) code: String,
    /// The same without items under `cfg(test)`.
    pub(crate) shipped: String,
    /// Modules in files of their own that are compiled for tests only.
    pub(crate) test_modules: Vec<String>,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = blank(text);
        let mut shipped = code.clone().into_bytes();
        let mut test_modules = Vec::new();
        for item in test_items(&code) {
            let words = code[item.clone()].trim_end_matches(';');
            if let Some((_, module)) = words.rsplit_once("mod ").filter(|_| !words.contains('{')) {
                test_modules.push(module.trim().to_owned());
            }
            erase(&mut shipped[item]);
        }
        let shipped = String::from_utf8(shipped).expect("only whole bytes were replaced by spaces");
        Source { path: path.to_owned(), text: text.to_owned(), code, shipped, test_modules }
    }

    /// The path that module `name`, declared here, has; its file ends in `.rs` or `/mod.rs`.
    pub(crate) fn module_path(&self, name: &str) -> String {
        let path = self.path.trim_end_matches(".rs");
        let folder = match path.rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => path,
        };
        format!("{folder}/{name}")
    }

    /// The line of the byte at `at`, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// The functions of `shipped`.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for at in words(&self.shipped, "fn") {
            let rest = self.shipped[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            let Some(body) = body(&self.shipped, at).filter(|_| !name.is_empty()) else { continue };
            let lines = self.shipped[at..body.end].matches('\n').count() + 1;
            functions.push(Function { name, line: self.line(at), lines });
        }
        functions
    }

    /// Where `shipped` names the path `wanted`, in full or by a `use` of it: lines.
    pub(crate) fn names(&self, wanted: &str) -> Vec<usize> {
        let mut lines: Vec<usize> = words(&self.shipped, wanted).map(|at| self.line(at)).collect();
        for at in words(&self.shipped, "use") {
            let end = self.shipped[at..].find(';').map_or(self.shipped.len(), |end| at + end);
            let below = format!("{wanted}::");
            let used = expand(&self.shipped[at + 3..end]);
            if used.iter().any(|path| path == wanted || path.starts_with(&below)) {
                lines.push(self.line(at));
            }
        }
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `wanted` stands in `code` as a word, or words, of its own.
pub(crate) fn words<'a>(code: &'a str, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(wanted).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + wanted.len()..].chars().next();
        let is_part =
            before.is_some_and(is_word) || wanted.ends_with(is_word) && after.is_some_and(is_word);
        !is_part
    })
}

/// The paths of a tree as in `use std::{fs, io::{self, Read}}`.
fn expand(tree: &str) -> Vec<String> {
    let tree: String = tree.split_whitespace().filter(|word| *word != "as").collect();
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree] };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let mut depth = 0;
    let parts = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts
        .filter(|part| !part.is_empty())
        .flat_map(expand)
        .map(|part| match part.as_str() {
            "self" => prefix.trim_end_matches("::").to_owned(),
            part => format!("{prefix}{part}"),
        })
        .collect()
}

/// The body `{…}` of the item that starts at `at`. None: it ends with `;` first.
fn body(code: &str, at: usize) -> Option<Range<usize>> {
    let end = item_end(code, at);
    let start = at + code[at..end].find('{')?;
    code[..end].ends_with('}').then_some(start..end)
}

/// Behind the `;`, the `}` or (of a field) the `,` that ends the item at `at`; at the latest
/// where the block around it ends.
fn item_end(code: &str, at: usize) -> usize {
    let is_field = is_field(&code[at..]);
    let (mut round, mut curly, mut angle) = (0_i32, 0_i32, 0_i32);
    let mut before = ' ';
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => curly -= 1,
            '<' => angle += 1,
            '>' if before != '-' && before != '=' => angle -= 1,
            _ => {}
        }
        before = c;
        if curly < 0 {
            return at + offset;
        }
        let is_end = c == ';' || c == '}' && !is_field || c == ',' && is_field && angle <= 0;
        if is_end && round == 0 && curly == 0 {
            return at + offset + 1;
        }
    }
    code.len()
}

/// Whether what begins here is a field, `name: …`, with whatever visibility.
fn is_field(code: &str) -> bool {
    let code = code.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, rest)| rest),
        Some(rest) => rest,
        None => code,
    };
    let rest = code.trim_start().trim_start_matches(is_word).trim_start();
    rest.starts_with(':') && !rest.starts_with("::")
}

/// The items under `#[cfg(test)]`, with that attribute.
fn test_items(code: &str) -> Vec<Range<usize>> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut items: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices(ATTRIBUTE) {
        if items.last().is_none_or(|last| last.end <= at) {
            items.push(at..item_end(code, at + ATTRIBUTE.len()));
        }
    }
    items
}

/// `text` with spaces for comments and for what stands in literals.
fn blank(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_end(text, at) {
            Some(end) => end.min(bytes.len()),
            None => {
                at += 1;
                continue;
            }
        };
        erase(&mut bytes[at..end]);
        at = end;
    }
    String::from_utf8(bytes).expect("only whole characters were replaced by spaces")
}

fn erase(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Behind the comment or literal that starts at `at`, if one does.
fn literal_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let to = |found: Option<usize>, length: usize| {
        found.map_or(text.len(), |offset| at + offset + length)
    };
    if rest.starts_with("//") {
        return Some(to(rest.find('\n'), 0));
    }
    if rest.starts_with("/*") {
        return Some(at + comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(at + quoted_length(rest, b'"'));
    }
    let is_word_inside = text[..at].chars().next_back().is_some_and(is_word);
    let raw = rest.trim_start_matches('b').strip_prefix('r').filter(|_| !is_word_inside);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let is_string = raw[hashes..].starts_with('"') && rest.len() - raw.len() <= 2;
        let close = format!("\"{}", "#".repeat(hashes));
        let start = rest.len() - raw.len() + hashes + 1;
        return is_string
            .then(|| to(rest[start..].find(&close).map(|offset| offset + start), close.len()));
    }
    let mut quoted = rest.strip_prefix('\'')?.chars();
    let (first, second) = (quoted.next()?, quoted.next()?);
    // What is no character is a lifetime.
    (first == '\\' || second == '\'').then(|| at + quoted_length(rest, b'\''))
}

fn quoted_length(rest: &str, quote: u8) -> usize {
    let mut is_escaped = false;
    for (offset, byte) in rest.bytes().enumerate().skip(1) {
        if byte == quote && !is_escaped {
            return offset + 1;
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    rest.len()
}

fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
