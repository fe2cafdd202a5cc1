//! Reading a TOML file into a type, with errors that say where and what was meant.
//!
//! Owns how a mistake is told: file, line, column, the line itself, and the nearest known key.
//! It must not know any key.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// How unlike a known key may be to be offered, from 0 (nothing alike) to 1 (the same).
const ALIKE_MIN: f64 = 0.7;

/// Why a configuration file was refused. Prints as `file:line:column: what`, then the line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}:{wrong}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What and where.
        wrong: Wrong,
    },
}

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// The known word nearest to the one that is not known.
    pub nearest: Option<String>,
    /// The whole line.
    pub text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        if !self.text.is_empty() {
            write!(f, "\n  {:>4} | {}", self.line, self.text)?;
        }
        Ok(())
    }
}

/// Reads the file at `path` into a `T`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|wrong| ConfigError::Wrong { path: path.to_owned(), wrong })
}

/// Reads `text` into a `T`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(text, at, error.message())
    })
}

fn wrong(text: &str, at: usize, what: &str) -> Wrong {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    Wrong {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        nearest: nearest(&what),
        text: text[line_start..].lines().next().unwrap_or("").trim_end().to_owned(),
        what,
    }
}

/// Serde's messages for an unknown field or variant quote it first and every known one after
/// it. This only makes a suggestion: where the wording changes, the suggestion is lost.
fn nearest(what: &str) -> Option<String> {
    if !what.starts_with("unknown ") {
        return None;
    }
    let mut quoted = what.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    quoted
        .map(|known| (strsim::jaro_winkler(found, known), known))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(rename = "listen_addresses")]
        _listen: Vec<String>,
        #[serde(rename = "log")]
        _log: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Text,
    }

    fn check(text: &str, expected: &str) {
        let wrong = parse::<Example>(text).expect_err("it is wrong").to_string();
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        check(
            "log = \"text\"\n  listen_adresses = []\n",
            "2:3: unknown field `listen_adresses`, expected `listen_addresses` or `log`; \
             did you mean `listen_addresses`?\n     2 |   listen_adresses = []",
        );
        check(
            "listen_addresses = []\nlog = \"texd\"\n",
            "2:7: unknown variant `texd`, expected `text`; did you mean `text`?\
             \n     2 | log = \"texd\"",
        );
        check(
            "listen_addresses = 4\nlog = \"text\"\n",
            "1:20: invalid type: integer `4`, expected a sequence\n     1 | listen_addresses = 4",
        );
        let unclosed = parse::<Example>("log = \"text").expect_err("it is wrong");
        assert_eq!((unclosed.line, unclosed.nearest), (1, None));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Example>(Path::new("/nonexistent/jitsu.toml")).expect_err("not there");
        assert_eq!(
            error.to_string(),
            "/nonexistent/jitsu.toml: No such file or directory (os error 2)"
        );
    }
}
