//! Owns what benches of large logs share: what they are asked for, a process of its own that
//! measures, and how memory and times are shown. Must not know what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a bench is asked for: `[folder] [--n N] [--keep]`.
pub(crate) struct Asked {
    /// How many objects.
    pub(crate) n: u64,
    /// Where; the log itself for the process that measures.
    pub(crate) folder: PathBuf,
    /// Whether this is that process.
    pub(crate) is_child: bool,
    is_kept: bool,
}

impl Asked {
    /// By the arguments of this process, with so many objects if they do not say how many.
    pub(crate) fn of_arguments(n: u64) -> Asked {
        let folder = std::env::temp_dir();
        let mut asked = Asked { n, folder, is_child: false, is_kept: false };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--n" => {
                    let next = arguments.next().and_then(|n| n.parse().ok());
                    asked.n = next.expect("--n takes a number");
                }
                "--keep" => asked.is_kept = true,
                "--opened" => asked.is_child = true,
                other => asked.folder = PathBuf::from(other),
            }
        }
        asked
    }

    /// Fills a log of this name if it is not there, and measures it in a process of its own, which
    /// has no memory of before.
    pub(crate) fn measure(&self, name: &str, fill: impl FnOnce(&Path)) {
        let fresh = tempfile::tempdir_in(&self.folder).expect("a folder to measure in");
        let folder = if self.is_kept { self.folder.join(name) } else { fresh.path().join(name) };
        println!("in {}, {} objects", folder.display(), self.n);
        if !folder.exists() {
            fill(&folder);
        }
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this);
        child.arg(&folder).args(["--opened", "--n", &self.n.to_string()]);
        assert!(child.status().expect("it runs").success());
    }
}

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
