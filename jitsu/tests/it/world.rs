//! A toolstack that is scripted, `jitsu serve`, and clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use jitsu::config::{Config, DnsConfig, LimitsConfig, Others, ZoneConfig};
use jitsu::serve::Serve;
use jitsu_daemon::sockets::Passed;
use jitsu_proto::{Listen, Millis, Name, Ready, ServiceSpec, Wanted};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::toolstack::{Start, Toolstack};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) toolstack: Toolstack,
    pub(crate) serve: Serve,
    pub(crate) front: SocketAddr,
    _folder: tempfile::TempDir,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// An address that is nobody else's: each has a loopback address of its own, by process and
/// number, so that no connection of another test can have its port.
fn unused() -> SocketAddr {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let [high, low, ..] = std::process::id().to_le_bytes();
    SocketAddr::from(([127, high % 64 + 128, low, NUMBER.fetch_add(1, Ordering::Relaxed)], 8080))
}

/// The front's port, and a service there whose guest's port is `to`.
pub(crate) fn service(to: u16) -> ServiceSpec {
    ServiceSpec {
        names: vec!["www.example.org".to_owned()],
        listen: vec![Listen { on: unused(), to: Some(to) }],
        ready: Ready::Port(to),
        idle: Millis::from_secs(3600),
        ..ServiceSpec::default()
    }
}

impl World {
    /// A world with the service `www`, and others.
    pub(crate) async fn new(
        spec: ServiceSpec,
        others: Vec<(Name, ServiceSpec)>,
        start: Start,
    ) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let front = spec.listen.first().map_or_else(unused, |listen| listen.on);
        let mut services = vec![(name("www"), spec)];
        services.extend(others);
        let all = services.len();
        let toolstack = Toolstack::new(folder.path(), services, start);
        let zone = |name: &str| ZoneConfig {
            name: name.to_owned(),
            ns: Vec::new(),
            hostmaster: None,
            negative_ttl: Millis::from_secs(7),
        };
        let config = Config {
            toolstack: toolstack.path.clone(),
            dns: DnsConfig {
                listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
                announce: vec![IpAddr::from([192, 0, 2, 9])],
                others: Others::Refuse,
                resolvers: Vec::new(),
            },
            zones: vec![zone("example.org"), zone("127.in-addr.arpa")],
            limits: LimitsConfig { drain: Millis::from_secs(20), ..LimitsConfig::default() },
            ..Config::default()
        };
        let serve = Serve::start(config, Passed::default()).await.expect("it starts");
        let told = timeout(PATIENCE, async {
            while serve.shell().services() < all || !serve.shell().zones().complete {
                tokio::task::yield_now().await;
            }
        });
        told.await.expect("the services are told");
        World { toolstack, serve, front, _folder: folder }
    }

    /// A client that is connected to the front.
    pub(crate) async fn client(&self) -> TcpStream {
        // The listener follows the service's definition by a moment.
        timeout(PATIENCE, jitsu::ready::dial(self.front)).await.expect("the front listens")
    }

    /// Waits until the toolstack is asked to make a domain something.
    pub(crate) async fn wanted(&mut self) -> (String, Wanted) {
        let wanted = timeout(PATIENCE, self.toolstack.wants.recv()).await;
        let (name, wanted) = wanted.expect("the toolstack is asked").expect("it is there");
        (name.to_string(), wanted)
    }

    /// Waits until `www` is in that phase.
    pub(crate) async fn until(&self, phase: &str) {
        let waited = timeout(PATIENCE, async {
            while self.serve.shell().phase(&name("www")) != Some(phase) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("www should be {phase}"));
    }
}

/// A guest: a listener on a loopback address of its own.
pub(crate) async fn guest() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("a guest");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}
