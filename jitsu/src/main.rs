//! The `jitsu` program.
//!
//! Owns nothing but its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    jitsu::up::become_guest_if_asked();
    match jitsu::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jitsu: {error:#}");
            ExitCode::FAILURE
        }
    }
}
