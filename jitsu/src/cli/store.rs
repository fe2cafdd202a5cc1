//! `jitsu store`.
//!
//! Owns how its program is found. That program knows stores; this one speaks to daemons only, and
//! must not open one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

const PROGRAM: &str = "jitsu-store";

/// Becomes the program beside this one, or else the one in PATH.
pub(super) fn run(arguments: &[OsString]) -> Result<()> {
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(PROGRAM));
    let program = beside.filter(|file| file.exists()).unwrap_or_else(|| PathBuf::from(PROGRAM));
    // It comes back only if there is no such program.
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| {
        format!("cannot run {}: install it beside jitsu or in PATH", program.display())
    })
}
