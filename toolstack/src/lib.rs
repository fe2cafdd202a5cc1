//! Makes domains exist or not, and records why in a branch-consistent store.
//!
//! `toolstack` is the daemon of dom0: it alone touches the hypervisor and owns the store. It
//! knows domains, and keeps services for `jitsu`; it must not know DNS.
//!
//! What is decided is pure: [`plan`] and [`machine`]. Around them, the outermost last:
//!
//! - [`record`], [`layout`]: what is written down, and where in the tree.
//! - [`committer`]: the thread that makes it durable.
//! - [`hypervisor`]: what makes domains; `vdev`: names of disks; [`guest`]: a guest to begin with.
//! - [`xenstore`]: where the parts of Xen meet.
//! - `driver`: the task that owns the machine. [`history`]: what is asked of the store directly.
//! - [`server`], [`roles`]: clients. [`config`], [`limits`]: what it is told. [`daemon`]: all of it.
//! - [`mod@bench`]: how long domains take.

pub mod bench;
pub mod check;
pub mod committer;
pub mod config;
pub mod daemon;
mod driver;
pub mod guest;
pub mod history;
pub mod hypervisor;
pub mod layout;
pub mod limits;
pub mod machine;
pub mod plan;
pub mod record;
pub mod roles;
pub mod server;
mod vdev;
mod words;
pub mod xenstore;

pub use config::Config;
pub use daemon::{Daemon, Parts, StartError};
pub use limits::Limits;
