//! The log: `tracing` to text, to JSON, or to the journal.
//!
//! Owns the choice of format and the level, which can be changed while running. It must not
//! know what is logged.

use std::io::IsTerminal;
use std::sync::OnceLock;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// The `[log]` section of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The format.
    pub format: LogFormat,
    /// What is logged: a level, or directives as in `info,jitsu::dns=debug`
    /// (`tracing_subscriber::EnvFilter`).
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// The journal when standard error is connected to it, text otherwise.
    Auto,
    /// Text for people, on standard error.
    Text,
    /// One JSON object a line, on standard error.
    Json,
    /// The journal, with every field.
    Journald,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not understood.
    #[error("log level {level:?}: {source}")]
    Level {
        /// What was given.
        level: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The journal cannot be reached.
    #[error("the journal cannot be reached: {0}")]
    Journal(std::io::Error),
}

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LogError::Level { level: level.to_owned(), source })
}

/// Whether `config` would be accepted.
pub fn check(config: &LogConfig) -> Result<(), LogError> {
    filter(&config.level).map(drop)
}

/// Sets up the log of this process. `RUST_LOG`, when set, replaces the level. A second call
/// changes only the level.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = filter(&level)?;
    if let Some(handle) = LEVEL.get() {
        // The only error is that the subscriber is gone, and a global one never is.
        let _ = handle.reload(filter);
        return Ok(());
    }
    let (filter, handle) = reload::Layer::new(filter);
    let format = match config.format {
        LogFormat::Auto if std::env::var_os("JOURNAL_STREAM").is_some() => LogFormat::Journald,
        LogFormat::Auto => LogFormat::Text,
        other => other,
    };
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Json => stderr.json().boxed(),
        LogFormat::Journald => tracing_journald::layer().map_err(LogError::Journal)?.boxed(),
        LogFormat::Text | LogFormat::Auto => {
            stderr.with_ansi(std::io::stderr().is_terminal()).boxed()
        }
    };
    let set = tracing_subscriber::registry().with(filter).with(layer).try_init();
    if set.is_ok() {
        let _ = LEVEL.set(handle);
    }
    Ok(())
}
