//! `jitsu up`: the toolstack and `jitsu serve` in one process, on the `process` hypervisor.
//!
//! Owns putting the two together in a folder, without root; with `demo` the only place that
//! sees both. Everything goes over the same socket as with two daemons.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use jitsu_daemon::log::{self, LogConfig};
use jitsu_daemon::sockets::Passed;
use jitsu_proto::{Millis, Request, Response, ServiceSpec, TraceId};
use tokio::signal::unix::{SignalKind, signal};

use crate::client::Client;
use crate::config::{Config, DnsConfig, LimitsConfig, ZoneConfig};
use crate::declare::Declarations;
use crate::serve::Serve;

/// The zone of the examples. `test` is reserved for such use (RFC 6761).
const ZONE: &str = "jitsu.test";

/// The services of a first try.
const EXAMPLE: &str = include_str!("../examples/services.toml");

/// What `jitsu up` may be told.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder for the store, the socket and the consoles.
    #[arg(long, value_name = "FOLDER", default_value_os_t = default_folder())]
    dir: PathBuf,
    /// Services to declare instead of the example's.
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// Where DNS is answered.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5300")]
    dns: SocketAddr,
    /// What is logged: a level, or directives as in `info,jitsu::dns=debug`.
    #[arg(long, default_value = "info,hickory_server=warn,hickory_net=warn,hickory_resolver=warn")]
    log: String,
}

/// The folder of `jitsu up` unless told otherwise.
pub fn default_folder() -> PathBuf {
    PathBuf::from("jitsu-up")
}

/// The socket in the folder of a `jitsu up`.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("toolstack.sock")
}

/// Becomes the built-in guest, where this process was started as one; returns otherwise.
pub fn become_guest_if_asked() {
    toolstack::guest::run_if_asked();
}

/// Both daemons in one process.
pub struct Up {
    toolstack: toolstack::Daemon,
    serve: Serve,
    client: Client,
}

impl Up {
    /// Starts both in `folder`.
    pub async fn start(folder: &Path, dns: SocketAddr, facts: Millis) -> Result<Up> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        // Guests are started with another working directory.
        let folder = folder.canonicalize()?;
        let socket = socket(&folder);
        let config = toolstack::Config {
            socket: socket.clone(),
            state_dir: folder.clone(),
            runtime_dir: folder.join("run"),
            ..toolstack::Config::default()
        };
        let toolstack = toolstack::Daemon::start(config).await?;
        let zone = ZoneConfig {
            name: ZONE.to_owned(),
            ns: Vec::new(),
            hostmaster: None,
            negative_ttl: Millis::from_secs(5),
        };
        let config = Config {
            toolstack: socket.clone(),
            dns: DnsConfig { listen: vec![dns], ..DnsConfig::default() },
            zones: vec![zone],
            limits: LimitsConfig { drain: Millis::from_secs(2), facts, ..LimitsConfig::default() },
            ..Config::default()
        };
        let serve = Serve::start(config, Passed::default()).await?;
        let client =
            Client::connect(&socket, concat!("jitsu up ", env!("CARGO_PKG_VERSION"))).await?;
        Ok(Up { toolstack, serve, client })
    }

    /// Declares what is not declared so already.
    pub async fn declare(&self, all: &Declarations) -> Result<()> {
        for request in all.requests(None) {
            self.client.ask(TraceId::default(), request).await?;
        }
        Ok(())
    }

    /// Whether nothing was ever declared here.
    async fn is_new(&self) -> Result<bool> {
        match self.client.ask(TraceId::default(), Request::Services).await? {
            Response::Services(services) => Ok(services.is_empty()),
            other => bail!("the toolstack answered something else: {other:?}"),
        }
    }

    /// `jitsu serve`'s part.
    pub fn serve(&self) -> &Serve {
        &self.serve
    }

    /// A connection to the toolstack's part.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Ends both, and every domain.
    pub async fn stop(self) -> Result<()> {
        let domains = match self.client.ask(TraceId::default(), Request::List).await? {
            Response::Domains(domains) => domains,
            other => bail!("the toolstack answered something else: {other:?}"),
        };
        self.serve.stop().await;
        for domain in domains {
            let wanted = jitsu_proto::Wanted::Absent;
            let request = Request::Want { name: domain.name, wanted, branch: None };
            self.client.ask(TraceId::default(), request).await?;
        }
        self.toolstack.stop().await;
        Ok(())
    }
}

/// Runs until it is interrupted.
pub async fn run(options: Options) -> Result<()> {
    log::init(&LogConfig { level: options.log.clone(), ..LogConfig::default() })?;
    crate::cli::raise_descriptors();
    let mut terminate = signal(SignalKind::terminate())?;
    let up = Up::start(&options.dir, options.dns, LimitsConfig::default().facts).await?;
    match &options.services {
        Some(file) => up.declare(&Declarations::load(file)?).await?,
        None if up.is_new().await? => up.declare(&Declarations::parse(EXAMPLE)?).await?,
        None => tracing::info!("the services that this folder has are kept"),
    }
    greet(&options.dir, &up).await?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping, with every domain");
    up.stop().await
}

async fn greet(folder: &Path, up: &Up) -> Result<()> {
    let services = match up.client.ask(TraceId::default(), Request::Services).await? {
        Response::Services(services) => services,
        other => bail!("the toolstack answered something else: {other:?}"),
    };
    let dns = up.serve.dns_addresses().first().copied().context("DNS listens somewhere")?;
    let mut text = format!("\nDNS is answered on {dns}, the store is in {}\n\n", folder.display());
    for (name, spec, _) in &services {
        text.push_str(&format!("  {name:12} {}\n", reached(spec)));
    }
    text.push_str("\ntry, in another terminal:\n\n");
    let mut proxied = services.iter().filter_map(|(name, spec, _)| {
        Some((name.as_str(), spec.names.first()?, spec.listen.first()?))
    });
    // The last by name: `www`, where that is one of them.
    if let Some((_, name, listen)) = proxied.next_back() {
        text.push_str(&format!("  dig @{} -p {} {name}\n", dns.ip(), dns.port()));
        text.push_str(&format!("  curl http://{}/\n", listen.on));
    }
    text.push_str("  jitsu status\n  jitsu log\n\nCtrl-C ends it, and every domain.\n\n");
    // Where nobody reads it, it is not said.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

fn reached(spec: &ServiceSpec) -> String {
    let listen = spec.listen.iter().map(|listen| listen.on.to_string());
    spec.names.iter().cloned().chain(listen).collect::<Vec<_>>().join("  ")
}
