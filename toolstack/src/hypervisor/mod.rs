//! What makes domains exist or not.
//!
//! Owns the seam: one trait of blocking calls, each one thing, and its errors. A backend has no
//! policy: it must not know what is wanted, retry, or look at the store.
//!
//! ```text
//!            create                 unpause
//!   nothing ────────▶ built, paused ────────▶ running ⇄ paused
//!      ▲ ▲                │                      │  │ suspend
//!      │ └─── destroy ────┴──────────────────────┘  ▼
//!      └───────────────── discard ──────────────── a file ──▶ resume: paused
//! ```

mod console;
pub mod fake;
mod open;
pub mod process;
pub mod xen;
pub mod xl;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jitsu_proto::{DomainSpec, ErrorCode, Name};

#[cfg(feature = "xen")]
pub use open::open_xen;
pub use open::{is_dom0, open};

/// A domain that exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Its name.
    pub name: Name,
    /// The hypervisor's number for it: a Xen domid, a process id.
    pub id: u32,
    /// The address its guest has, where the hypervisor knows.
    pub address: Option<IpAddr>,
}

/// What a domain that exists is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Built, and never let run.
    Built,
    /// Running.
    Running,
    /// Its clock is stopped.
    Paused,
}

/// A domain as [`Hypervisor::list`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Which.
    pub handle: Handle,
    /// What it is doing.
    pub state: Existing,
}

/// How a domain ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest ended with this code.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
    /// The guest shut itself down.
    PoweredOff,
    /// The guest asks to be started again.
    Rebooted,
    /// The guest crashed.
    Crashed,
    /// It is gone; nobody knows how.
    Gone,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(code) => write!(f, "the guest ended by itself with code {code}"),
            End::Killed(signal) => write!(f, "the guest was killed by signal {signal}"),
            End::PoweredOff => write!(f, "the guest shut itself down"),
            End::Rebooted => write!(f, "the guest asked for a reboot"),
            End::Crashed => write!(f, "the guest crashed"),
            End::Gone => write!(f, "the guest is gone"),
        }
    }
}

/// A domain that ended without [`Hypervisor::destroy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub handle: Handle,
    /// How.
    pub how: End,
}

/// Is called once for each domain that ends by itself. It may block for a moment.
pub type OnEnd = Box<dyn Fn(Ended) + Send + Sync>;

/// Why a hypervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// There is not enough memory.
    #[error("not enough memory for {wanted_mib} MiB")]
    NoMemory {
        /// How much was asked for.
        wanted_mib: u32,
    },
    /// All addresses of the range are in use.
    #[error("every address of {range} is in use")]
    NoAddress {
        /// The range.
        range: process::Range,
    },
    /// The guest cannot be loaded.
    #[error("the guest cannot be started: {}: {cause}", image.display())]
    Image {
        /// Its kernel image or program.
        image: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A domain of this name exists.
    #[error("a domain named {0} exists already")]
    NameTaken(Name),
    /// No such domain exists.
    #[error("there is no domain named {0}")]
    NotFound(Name),
    /// The daemon may not do this.
    #[error("not permitted: {doing}: {cause}")]
    Permission {
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// This hypervisor has no such thing.
    #[error("the {hypervisor} hypervisor cannot {what}; {instead}")]
    Unsupported {
        /// The hypervisor.
        hypervisor: &'static str,
        /// What it cannot do.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// Something of it would not go, even after being killed.
    #[error("{left} processes of {name} are still there after being killed")]
    Stuck {
        /// The domain.
        name: Name,
        /// How many are left.
        left: usize,
    },
    /// The hypervisor is not there, or not the one that is needed.
    #[error("the hypervisor {hypervisor:?} does not work here: {cause}")]
    NotThere {
        /// Which.
        hypervisor: &'static str,
        /// Why.
        cause: String,
    },
    /// There is no such bridge.
    #[error("vifs[{nth}]: dom0 has no bridge {bridge:?}")]
    NoBridge {
        /// Which interface was to be plugged into it.
        nth: usize,
        /// The bridge.
        bridge: String,
    },
    /// A device cannot be given to the domain.
    #[error("{device}: {cause}")]
    Device {
        /// Which, as `disk xvda (/srv/www.img)`.
        device: String,
        /// Why.
        cause: io::Error,
    },
    /// The guest did not save its state when it was asked to.
    #[error(
        "the guest of {name} did not suspend within {within:?}; it may not know how: then use \
         stop = \"shutdown\" or \"destroy\""
    )]
    DidNotSuspend {
        /// The domain.
        name: Name,
        /// How long it had.
        within: std::time::Duration,
    },
    /// The file of a saved domain cannot be used.
    #[error("{}: {cause}", file.display())]
    Saved {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// The hypervisor, or the program before it, refused.
    #[error("{doing}: {said}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        said: String,
    },
    /// The XenStore could not be asked, or refused.
    #[error(transparent)]
    XenStore(#[from] crate::xenstore::ClientError),
    /// The operating system refused.
    #[error("{doing}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// A fault that was asked for, in the fake.
    #[error("an injected fault")]
    Injected,
}

impl HypervisorError {
    /// An error of the operating system, cut where callers branch.
    pub fn io(doing: &'static str, cause: io::Error) -> HypervisorError {
        match cause.kind() {
            io::ErrorKind::PermissionDenied => HypervisorError::Permission { doing, cause },
            _ => HypervisorError::Io { doing, cause },
        }
    }

    /// The code it has on the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            HypervisorError::NoMemory { .. } | HypervisorError::NoAddress { .. } => {
                ErrorCode::Exhausted
            }
            HypervisorError::NotFound(_) => ErrorCode::NotFound,
            HypervisorError::Unsupported { .. } => ErrorCode::Unsupported,
            HypervisorError::Image { .. }
            | HypervisorError::NameTaken(_)
            | HypervisorError::Permission { .. }
            | HypervisorError::Stuck { .. }
            | HypervisorError::NotThere { .. }
            | HypervisorError::NoBridge { .. }
            | HypervisorError::Device { .. }
            | HypervisorError::DidNotSuspend { .. }
            | HypervisorError::Saved { .. }
            | HypervisorError::Refused { .. }
            | HypervisorError::XenStore(_)
            | HypervisorError::Io { .. }
            | HypervisorError::Injected => ErrorCode::Hypervisor,
        }
    }
}

/// A hypervisor: blocking calls, one thing each, no policy.
///
/// A call that fails has changed nothing, except `unpause` (the domain may be of no use after
/// it) and `destroy` (part of it may be gone). Calls for different domains may run at once;
/// the toolstack makes one at a time for each domain.
pub trait Hypervisor: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;
    /// Calls `on_end` from now on; called once, before [`Hypervisor::list`].
    fn watch(&self, on_end: OnEnd);
    /// Builds a domain, paused.
    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Handle, HypervisorError>;
    /// Lets it run.
    fn unpause(&self, dom: &Handle) -> Result<(), HypervisorError>;
    /// Stops its clock.
    fn pause(&self, dom: &Handle) -> Result<(), HypervisorError>;
    /// Saves it to the file `to`; after that it is not listed.
    fn suspend(&self, dom: &Handle, to: &Path) -> Result<(), HypervisorError>;
    /// Makes it from the file `from`, paused, and removes the file.
    fn resume(
        &self,
        name: &Name,
        from: &Path,
        spec: &DomainSpec,
    ) -> Result<Handle, HypervisorError>;
    /// Removes the saved domain in the file `from`, and the file. Nothing there is no error.
    fn discard(&self, name: &Name, from: &Path) -> Result<(), HypervisorError>;
    /// Asks the guest to shut down; its end is told by `on_end`.
    fn shutdown(&self, dom: &Handle) -> Result<(), HypervisorError>;
    /// Removes it with all it started.
    fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError>;
    /// All domains that exist.
    fn list(&self) -> Result<Vec<DomainInfo>, HypervisorError>;
    /// Whether its guests have a XenStore, by domain number, to which they can write.
    fn has_xenstore(&self) -> bool {
        false
    }
    /// Its console, as one end of a stream socket: what it wrote, then what it writes; what is
    /// written there it can read. The stream ends when the domain does.
    fn console(&self, dom: &Handle) -> Result<OwnedFd, HypervisorError>;
}

/// A text of a spec with the domain's name and address filled in.
fn fill(text: &str, name: &Name, address: &str) -> String {
    text.replace("{address}", address).replace("{name}", name.as_str())
}

/// Removes the file of a saved domain. Nothing there is no error.
fn discard_file(file: &Path) -> Result<(), HypervisorError> {
    match std::fs::remove_file(file) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(HypervisorError::io("removing a saved domain", cause))
        }
        _ => Ok(()),
    }
}
