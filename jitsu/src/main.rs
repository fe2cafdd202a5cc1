//! The `jitsu` program.
//!
//! Owns nothing but its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    jitsu::up::become_guest_if_asked();
    match jitsu::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jitsu: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each once: some errors say their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}
