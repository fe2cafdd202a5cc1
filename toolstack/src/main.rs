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
use jitsu_proto::{DomainSpec, Guest, Millis};
use tokio::signal::unix::{Signal, SignalKind, signal};
use toolstack::bench::Plan;
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
    /// Measure how long a domain takes to make and to remove, in each way that this machine has.
    BenchBoot {
        /// The configuration file, for its bridge. Its daemon must not run.
        #[arg(long)]
        config: Option<PathBuf>,
        /// The kernel. Without one the built-in guest is measured, which only a machine without Xen
        /// has.
        #[arg(long)]
        image: Option<String>,
        /// Its ramdisk.
        #[arg(long)]
        ramdisk: Option<String>,
        /// Its command line.
        #[arg(long, default_value = "")]
        cmdline: String,
        /// Memory, in MiB.
        #[arg(long, default_value_t = 16)]
        memory_mib: u32,
        /// Give it a network interface.
        #[arg(long)]
        vif: bool,
        /// How many times it is made in each way.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// Measure again while this many domains like it run.
        #[arg(long, default_value_t = 0)]
        with: u32,
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
        Command::BenchBoot { config, image, ramdisk, cmdline, memory_mib, vif, runs, with } => {
            let mut spec = match image {
                Some(image) => {
                    let mode = jitsu_proto::Mode::Pv;
                    DomainSpec::new(Guest::Kernel { image, ramdisk, cmdline, mode })
                }
                None => DomainSpec::new(Guest::Hello { port: 8080, boot: Millis(0) }),
            };
            spec.memory_mib = memory_mib;
            spec.vifs.extend(vif.then(jitsu_proto::Vif::default));
            bench_boot(config.as_deref(), &Plan { spec, runs: runs as usize, with: with as usize })
        }
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

fn bench_boot(config: Option<&Path>, plan: &Plan) -> anyhow::Result<()> {
    let config = config.map_or_else(|| Ok(Config::default()), load)?;
    toolstack::check::domain(&plan.spec)?;
    Ok(toolstack::bench::run(&config, plan, &mut std::io::stdout())?)
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
