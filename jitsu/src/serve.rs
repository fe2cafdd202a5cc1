//! `jitsu serve`: the shell around the summoner.
//!
//! Owns what the summoner must not have: the clock, the table from ticket to who waits, the
//! tasks and sockets. It decides nothing: whatever happens goes into the summoner, and what
//! comes out is done.

mod facts;
mod link;
mod live;
mod shell;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use jitsu_daemon::sockets::Passed;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::Config;
use crate::dns::{self, Dns};
use crate::forward::ForwardError;
pub use shell::{Arrival, Shell, Summon};

/// `jitsu serve`, running.
pub struct Serve {
    shell: Arc<Shell>,
    dns: Dns,
    dns_addresses: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

/// Why it cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket for DNS.
    #[error("cannot listen for DNS on {address}: {source}{}", hint(*.address, .source))]
    Dns {
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The resolvers for names that are not ours.
    #[error("cannot forward other names: {0}")]
    Forward(#[from] ForwardError),
}

fn hint(address: SocketAddr, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, or pass the socket in from jitsu.socket"
        }
        io::ErrorKind::AddrInUse => {
            "; another DNS server has it: give this one an address of its own (dns.listen)"
        }
        _ => "",
    }
}

impl Serve {
    /// Starts serving. The toolstack need not be there yet.
    pub async fn start(config: Config, mut passed: Passed) -> Result<Serve, StartError> {
        let (mut udp, mut tcp, mut dns_addresses) = (Vec::new(), Vec::new(), Vec::new());
        for address in &config.dns.listen {
            let (u, t) = dns_sockets(*address, &mut passed)
                .map_err(|source| StartError::Dns { address: *address, source })?;
            dns_addresses.push(u.local_addr().unwrap_or(*address));
            udp.push(u);
            tcp.push(t);
        }
        let tcp_idle = config.limits.dns_tcp_idle.duration();
        let shell = Shell::new(config, passed)?;
        let dns = dns::serve(shell.clone(), udp, tcp, tcp_idle);
        let tasks = vec![
            tokio::spawn(shell::keep_time(shell.clone())).abort_handle(),
            tokio::spawn(link::run(shell.clone())).abort_handle(),
            tokio::spawn(live::run(shell.clone())).abort_handle(),
            tokio::spawn(facts::run(shell.clone())).abort_handle(),
        ];
        Ok(Serve { shell, dns, dns_addresses, tasks })
    }

    /// Where DNS is answered.
    pub fn dns_addresses(&self) -> &[SocketAddr] {
        &self.dns_addresses
    }

    /// The shell, to look at.
    pub fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// Takes a new configuration: zones, resolvers, bounds. Listening addresses stay.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        self.shell.reload(config)
    }

    /// Takes nothing new, lets live connections go on for a while, and ends. Domains stay.
    pub async fn stop(mut self) {
        self.shell.proxy().deafen();
        let drain = self.shell.config().limits.drain.duration();
        let drained = async {
            self.dns.stop().await;
            self.shell.quiet().await;
        };
        if timeout(drain, drained).await.is_err() {
            tracing::warn!(clients = self.shell.clients(), "clients are left and are cut off");
        }
        facts::flush(&self.shell).await;
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn dns_sockets(address: SocketAddr, passed: &mut Passed) -> io::Result<(UdpSocket, TcpListener)> {
    match (passed.udp(address), passed.tcp(address)) {
        (Some(udp), Some(tcp)) => Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?)),
        (None, None) => dns::bind(address),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only one of UDP and TCP was passed in; pass both or neither",
        )),
    }
}
