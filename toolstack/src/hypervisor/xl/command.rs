//! Running the command `xl`.
//!
//! Owns its processes and what they say. It must not know what is asked of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// The variable in the environment of every `xl` of ours: the runtime folder, so that those of an
/// earlier daemon are known.
const MARK: &str = "JITSU_XL";

/// How much is read of what one says, in bytes.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// How often is looked whether one of an earlier daemon has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The command, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Xl {
    program: PathBuf,
    runtime_dir: PathBuf,
}

/// How one went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it ended as it does when all is well.
    pub(super) is_good: bool,
    /// What it said, errors and all, in the order it said it.
    pub(super) text: String,
}

impl Xl {
    pub(super) fn new(program: &Path, runtime_dir: &Path) -> Xl {
        Xl { program: program.to_owned(), runtime_dir: runtime_dir.to_owned() }
    }

    /// Runs it to its end.
    pub(super) fn run(&self, arguments: &[&OsStr]) -> io::Result<Said> {
        // No pipe: something that it starts and that goes on would keep that open.
        let mut output = File::from(memfd_create("xl", MFdFlags::MFD_CLOEXEC)?);
        let status = Command::new(&self.program)
            .args(arguments)
            .env(MARK, &self.runtime_dir)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .status()?;
        output.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        output.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { is_good: status.success(), text })
    }

    /// Waits until none is left that an earlier daemon started: what it makes, it may yet make.
    /// Err: one of them, still there after `within`.
    pub(super) fn await_earlier(&self, within: Duration) -> Result<(), u32> {
        let until = Instant::now() + within;
        let mut is_told = false;
        while let Some(pid) = self.earlier() {
            if Instant::now() >= until {
                return Err(pid);
            }
            if !is_told {
                tracing::info!(pid, "waiting for an xl that an earlier toolstack started");
                is_told = true;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// A process that is an `xl`, or becomes one, and has our mark.
    fn earlier(&self) -> Option<u32> {
        let name = self.program.file_name()?;
        let mark = [MARK.as_bytes(), b"=", self.runtime_dir.as_os_str().as_bytes()].concat();
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("comm")).ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let has_mark = environment.split(|byte| *byte == 0).any(|variable| variable == mark);
            (command.trim_ascii_end() == name.as_bytes() && has_mark).then_some(pid)
        })
    }
}
