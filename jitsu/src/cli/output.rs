//! Printing, for people and (`--json`) for programs.
//!
//! Owns standard output. A reader that has gone is no error: the command ends quietly.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Output {
        Output { json }
    }

    /// Shows a value as JSON, or as the lines that `lines` makes of it.
    pub(super) fn show(&self, value: &Value, lines: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(value)?;
            self.line(&text)
        } else {
            let text = lines();
            self.bytes(text.as_bytes())
        }
    }

    /// Shows one of many values, as it comes: JSON is then one value a line.
    pub(super) fn show_one(&self, value: &Value, line: impl FnOnce() -> String) -> Result<()> {
        let text = if self.json { value.to_string() } else { line() };
        self.line(&text)
    }

    /// Shows that something was done.
    pub(super) fn done(&self, text: &str) -> Result<()> {
        self.show(&serde_json::json!({ "done": text }), || format!("{text}\n"))
    }

    pub(super) fn line(&self, text: &str) -> Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            result => Ok(result?),
        }
    }

    /// Begins the screen anew, where there is one.
    pub(super) fn clear(&self) -> Result<()> {
        if !self.json && io::stdout().is_terminal() { self.bytes(b"\x1b[H\x1b[2J") } else { Ok(()) }
    }

    /// Says on standard error that something takes time.
    pub(super) fn progress(&self, what: &str, elapsed: Duration) {
        let mut err = io::stderr().lock();
        let (before, after) = if err.is_terminal() { ("\r", "") } else { ("", "\n") };
        // Where nobody can be told, nobody is.
        let _ = write!(err, "{before}{what} … {} s{after}", elapsed.as_secs());
    }

    pub(super) fn progress_end(&self) {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let _ = write!(err, "\r\x1b[K");
        }
    }
}

/// Rows under headings, in columns as wide as they need; the last may be of any width.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings = headings.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A moment, in milliseconds since 1970, as RFC 3339.
pub(super) fn moment(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// How long ago, in the two largest units.
pub(super) fn ago(ms: u64) -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_millis(ms)).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Microseconds, as people read them.
pub(super) fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us}µs"),
        1000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.2}s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_needs() {
        let rows =
            [vec!["www".to_owned(), "running".to_owned()], vec!["é".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME  STATE\nwww   running\né\n");
    }

    #[test]
    fn durations_and_moments_are_for_people() {
        assert_eq!([duration(7), duration(1500), duration(2_500_000)], ["7µs", "1.5ms", "2.50s"]);
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
    }
}
