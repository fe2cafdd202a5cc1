//! What the daemon is told by its configuration file.
//!
//! Owns the keys, their defaults, and what they may say. `toolstack.example.toml` documents each;
//! a test reads it.

use std::path::PathBuf;

use jitsu_daemon::log::LogConfig;
use serde::Deserialize;

use crate::hypervisor::process::Range;
use crate::hypervisor::xen::Flavour;
use crate::limits::Limits;
use crate::roles::RoleConfig;

/// The configuration of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it serves.
    pub socket: PathBuf,
    /// The group that may connect. None: the daemon's own.
    pub socket_group: Option<String>,
    /// Where the store and saved domains are.
    pub state_dir: PathBuf,
    /// Where what is lost with the machine is.
    pub runtime_dir: PathBuf,
    /// What makes domains.
    pub hypervisor: Backend,
    /// Where domains of the `process` hypervisor get their addresses.
    pub addresses: Range,
    /// The bridge of Xen domains' interfaces that name none.
    pub bridge: String,
    /// Domains that the hypervisor `xen` builds before anybody asks.
    pub shells: Vec<Flavour>,
    /// The program of `hello` guests. None: the daemon's own executable.
    pub hello: Option<PathBuf>,
    /// Who may do what.
    pub roles: RoleConfig,
    /// The bounds.
    pub limits: Limits,
    /// The log.
    pub log: LogConfig,
}

/// A hypervisor, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// In a dom0 of Xen the fastest way that this build has; elsewhere `process`.
    Auto,
    /// Domains are processes.
    Process,
    /// Domains of Xen, by the command `xl`.
    Xl,
    /// Domains of Xen, by its libraries.
    Xen,
    /// Domains are pretended.
    Fake,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            socket: PathBuf::from("/run/toolstack/toolstack.sock"),
            socket_group: None,
            state_dir: PathBuf::from("/var/lib/toolstack"),
            runtime_dir: PathBuf::from("/run/toolstack"),
            hypervisor: Backend::Auto,
            addresses: Range::default(),
            bridge: "xenbr0".to_owned(),
            shells: Vec::new(),
            hello: None,
            roles: RoleConfig::default(),
            limits: Limits::default(),
            log: LogConfig::default(),
        }
    }
}
