//! Owns what benches of logs say of a process and of times. Must not know what is measured.

use std::time::Duration;

/// What the system says of this process's memory, where it says it.
pub(crate) fn memory(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes: Option<f64> =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or_else(|| "unknown".to_owned(), |it| format!("{:.0} MB", it / 1024.0))
}

pub(crate) fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
