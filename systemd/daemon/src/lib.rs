//! What being a daemon takes, for both daemons of Jitsu: the configuration file, the log,
//! readiness and the watchdog, the sockets that were passed in.
//!
//! Owns the contract with the service manager and with the person who writes the
//! configuration. It must not know what either daemon does.

pub mod config;
pub mod log;
pub mod notify;
pub mod sockets;
