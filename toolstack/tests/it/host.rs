//! A daemon of its own for each test, in folders of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use jitsu_proto::{DomainSpec, Guest, Millis, Name, Request};
use jitsu_store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use toolstack::config::Backend;
use toolstack::hypervisor::process::Range;
use toolstack::{Config, Daemon, Parts};

use crate::client::Client;

/// The program under test, which is also the built-in guest.
pub(crate) const TOOLSTACK: &str = env!("CARGO_BIN_EXE_toolstack");

pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    runtime: Runtime,
    daemon: Option<Daemon>,
}

/// A range that no other test of this run has, and hardly one of another run.
pub(crate) fn addresses() -> Range {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let (second, third) = (100 + std::process::id() % 100 + next / 16, next % 16 * 16);
    format!("127.{second}.{third}.0/20").parse().expect("a range")
}

/// A configuration that keeps to one folder, and to addresses of its own.
pub(crate) fn config(dir: &TempDir, hypervisor: Backend) -> Config {
    Config {
        socket: dir.path().join("socket"),
        state_dir: dir.path().join("state"),
        runtime_dir: dir.path().join("run"),
        hypervisor,
        addresses: addresses(),
        hello: Some(PathBuf::from(TOOLSTACK)),
        ..Config::default()
    }
}

impl Host {
    /// A daemon whose domains are processes and whose store is a log.
    pub(crate) fn processes() -> Host {
        Host::start(|_| {}, Backend::Process, Parts::FROM_CONFIG)
    }

    /// A daemon whose domains are pretended and whose store is in memory.
    pub(crate) fn fake() -> Host {
        Host::fake_with(Store::memory())
    }

    pub(crate) fn fake_with(store: Store) -> Host {
        let parts = Parts { store: Some(store), ..Parts::FROM_CONFIG };
        Host::start(|_| {}, Backend::Fake, parts)
    }

    pub(crate) fn fake_limited(edit: impl FnOnce(&mut Config)) -> Host {
        let parts = Parts { store: Some(Store::memory()), ..Parts::FROM_CONFIG };
        Host::start(edit, Backend::Fake, parts)
    }

    fn start(edit: impl FnOnce(&mut Config), backend: Backend, parts: Parts) -> Host {
        let dir = TempDir::new().expect("a folder");
        let mut config = config(&dir, backend);
        edit(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let daemon = runtime.block_on(Daemon::start_with(config.clone(), parts));
        Host { dir, config, runtime, daemon: Some(daemon.expect("the daemon starts")) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.config.socket)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let stopped = self.runtime.block_on(daemon.stop_all());
            if !std::thread::panicking() && self.config.hypervisor == Backend::Process {
                stopped.expect("every domain goes");
            }
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn hello() -> DomainSpec {
    DomainSpec::new(Guest::Hello { port: 8080, boot: Millis(0) })
}

pub(crate) fn command(argv: &[&str]) -> DomainSpec {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    DomainSpec::new(Guest::Command { argv, env: [].into() })
}

pub(crate) fn define(domain: &str, spec: DomainSpec) -> Request {
    Request::DefineDomain { name: name(domain), spec, branch: None }
}
