//! What a domain has on disk, so that a daemon that was killed finds it again.
//!
//! Owns the folder `<runtime_dir>/domains/<name>/` and its files. It must not know whether what
//! they say still runs.
//!
//! ```text
//!   identity   pid, start time, address, mark        written when it is built
//!   started    empty                                 made just before it is let run
//!   frozen     empty                                 while it is suspended
//!   stdin      a FIFO, which the guest holds open
//!   console    what the guest wrote; console.1: what was there before. Both stay behind.
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jitsu_proto::Name;
use nix::sys::stat::Mode;

use crate::hypervisor::console;

/// Who a domain is, beyond its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// In ticks since boot: a number that was used again has another.
    pub(super) start_time: u64,
    pub(super) address: IpAddr,
    /// The value of `JITSU_DOMAIN` in the environment of all it starts.
    pub(super) mark: String,
}

/// The folder of one domain.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// The files of `name`, there or not.
    pub(super) fn of(runtime_dir: &Path, name: &Name) -> Files {
        Files { dir: runtime_dir.join("domains").join(name.as_str()) }
    }

    /// The names that have a folder.
    pub(super) fn names(runtime_dir: &Path) -> io::Result<Vec<Name>> {
        let entries = match fs::read_dir(runtime_dir.join("domains")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().to_str().and_then(|name| Name::new(name).ok()));
        }
        Ok(names)
    }

    /// Makes the folder and what the child is given: its input and its output.
    pub(super) fn prepare(&self) -> io::Result<(File, File)> {
        fs::create_dir_all(&self.dir)?;
        self.forget()?;
        match fs::rename(self.console(), self.old_console()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let fifo = self.dir.join("stdin");
        match nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Open for both, so that the guest never reads an end and we may come and go.
        let stdin = OpenOptions::new().read(true).write(true).open(&fifo)?;
        let output =
            OpenOptions::new().append(true).create(true).mode(0o640).open(self.console())?;
        Ok((stdin, output))
    }

    /// Writes down who it is.
    pub(super) fn identify(&self, identity: &Identity) -> io::Result<()> {
        let Identity { pid, start_time, address, mark } = identity;
        let text = format!("pid={pid}\nstart_time={start_time}\naddress={address}\nmark={mark}\n");
        let new = self.dir.join("identity.new");
        fs::write(&new, text)?;
        fs::rename(new, self.dir.join("identity"))
    }

    /// Who it is. None: no domain, or a file that nobody wrote to its end.
    pub(super) fn identity(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.dir.join("identity")).ok()?;
        let field =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        Some(Identity {
            pid: field("pid")?.parse().ok()?,
            start_time: field("start_time")?.parse().ok()?,
            address: field("address")?.parse().ok()?,
            mark: field("mark")?.to_owned(),
        })
    }

    /// Notes that it is let run.
    pub(super) fn mark_started(&self) -> io::Result<()> {
        File::create(self.dir.join("started")).map(drop)
    }

    /// Whether it was let run.
    pub(super) fn is_started(&self) -> bool {
        self.dir.join("started").exists()
    }

    /// Notes that it is suspended, or no longer.
    pub(super) fn mark_frozen(&self, frozen: bool) -> io::Result<()> {
        let path = self.dir.join("frozen");
        if frozen {
            return File::create(path).map(drop);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether it is suspended.
    pub(super) fn is_frozen(&self) -> bool {
        self.dir.join("frozen").exists()
    }

    /// Removes all that says that there is a domain; its console stays.
    pub(super) fn forget(&self) -> io::Result<()> {
        for file in ["identity", "identity.new", "started", "frozen", "stdin"] {
            match fs::remove_file(self.dir.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the guest writes.
    pub(super) fn console(&self) -> PathBuf {
        self.dir.join("console")
    }

    fn old_console(&self) -> PathBuf {
        self.dir.join("console.1")
    }

    /// The other end of the guest's input.
    pub(super) fn open_stdin(&self) -> io::Result<File> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
        OpenOptions::new().write(true).custom_flags(flags).open(self.dir.join("stdin"))
    }

    /// Keeps the console within `bytes_max`, twice.
    pub(super) fn rotate(&self, bytes_max: u64) -> io::Result<()> {
        console::rotate(&self.console(), &self.old_console(), bytes_max)
    }
}
