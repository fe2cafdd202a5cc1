//! The command `toolstack`: serve, or check a configuration.
//!
//! Owns the process: arguments, signals, the service manager. It must not know what the daemon
//! does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use jitsu_daemon::{log, notify, sockets::Passed};
use tokio::signal::unix::{Signal, SignalKind, signal};
use toolstack::{Config, Daemon, Parts, roles::Roles};

/// Makes domains exist or not, and records why.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM. Domains go on running after it. SIGHUP reads the configuration again.
    Serve {
        /// The configuration file; see toolstack.example.toml.
        #[arg(long)]
        config: PathBuf,
        /// Only say whether the configuration is right.
        #[arg(long)]
        check_config: bool,
    },
    /// Say whether a configuration is right.
    CheckConfig {
        /// The configuration file.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    toolstack::guest::run_if_asked();
    let run = match Arguments::parse().command {
        Command::CheckConfig { file } => check(&file),
        Command::Serve { config, check_config: true } => check(&config),
        Command::Serve { config, check_config: false } => serve(&config),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "toolstack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Config> {
    let config: Config = jitsu_daemon::config::load(file)?;
    Roles::new(&config.roles)?;
    log::check(&config.log)?;
    Ok(config)
}

fn check(file: &Path) -> anyhow::Result<()> {
    load(file)?;
    writeln!(std::io::stdout(), "{}: ok", file.display())?;
    Ok(())
}

fn serve(file: &Path) -> anyhow::Result<()> {
    // Before any thread is started: it reads the environment and takes descriptors.
    let mut passed = Passed::take()?;
    let config = load(file)?;
    log::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let parts = Parts { listener: passed.unix(), ..Parts::FROM_CONFIG };
        let socket = config.socket.clone();
        let daemon = Daemon::start_with(config, parts).await?;
        tracing::info!(socket = %socket.display(), "serving");
        notify::ready();
        let waited = until_stopped(file, &daemon).await;
        notify::stopping();
        daemon.stop().await;
        waited
    })
}

async fn until_stopped(file: &Path, daemon: &Daemon) -> anyhow::Result<()> {
    let on = |kind: SignalKind| signal(kind).context("listening for signals");
    let mut hangup = on(SignalKind::hangup())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut alive = notify::watchdog().map(tokio::time::interval);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = received(&mut hangup) => reload(file, daemon).await,
            () = tick(&mut alive) => {
                // It answers, so it lives: a machine that hangs is restarted.
                if daemon.is_alive().await {
                    notify::alive();
                }
            }
        }
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn tick(alive: &mut Option<tokio::time::Interval>) {
    match alive {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// A configuration that is wrong changes nothing.
async fn reload(file: &Path, daemon: &Daemon) {
    notify::reloading();
    let reloaded = async {
        let config = load(file)?;
        log::init(&config.log)?;
        daemon.reload(&config).await?;
        anyhow::Ok(())
    };
    match reloaded.await {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "the configuration was kept"),
    }
    notify::ready();
}
