//! `jitsu serve` and `jitsu check-config`.
//!
//! Owns the life of the daemon's process: its configuration, its log, its signals.

use std::path::Path;

use anyhow::{Context as _, Result};
use jitsu_daemon::sockets::Passed;
use jitsu_daemon::{log, notify};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use crate::config::Config;
use crate::declare::Declarations;
use crate::serve::Serve;

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Lets this process have as many descriptors as it may: each client needs two.
pub fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of descriptors stays as it is");
    }
}

pub(super) fn check(file: &Path) -> Result<()> {
    // A file of services says so by its tables; anything else is a configuration.
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let declares = text
        .lines()
        .map(str::trim_start)
        .any(|line| line.starts_with("[service.") || line.starts_with("[domain."));
    if declares {
        Declarations::load(file)?;
    } else {
        Config::load(file)?;
    }
    Output::new(false).line(&format!("{}: ok", file.display()))
}

pub(super) fn serve(path: &Path) -> Result<()> {
    // Before any thread: the sockets are taken from the environment.
    let passed = Passed::take()?;
    let config = Config::load(path)?;
    log::init(&config.log)?;
    raise_descriptors();
    runtime()?.block_on(run(path, config, passed))
}

async fn run(path: &Path, config: Config, passed: Passed) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let serve = Serve::start(config, passed).await?;
    for address in serve.dns_addresses() {
        tracing::info!(%address, "answering DNS");
    }
    notify::ready();
    let watchdog = notify::watchdog();
    loop {
        let beat = async {
            match watchdog {
                Some(interval) => tokio::time::sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = beat => notify::alive(),
            _ = hangup.recv() => {
                notify::reloading();
                reload(path, &serve);
                notify::ready();
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping; a second signal cuts everything off");
    notify::stopping();
    tokio::select! {
        () = serve.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A configuration that is wrong changes nothing.
fn reload(path: &Path, serve: &Serve) {
    let reloaded = Config::load(path).map_err(anyhow::Error::from).and_then(|config| {
        log::init(&config.log)?;
        Ok(serve.reload(config)?)
    });
    match reloaded {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(error) => tracing::error!(%error, "the configuration is left as it was"),
    }
}
