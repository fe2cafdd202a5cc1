//! The holding proxy: listens for services, holds connections unread while a guest boots, then
//! carries them.
//!
//! Owns the listening sockets and the life of one connection. It must not decide who may come
//! in or when a guest is ready: it asks the shell.

mod copy;
mod header;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jitsu_daemon::sockets::Passed;
use jitsu_proto::{Listen, Name, ServiceSpec};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ready::{dial, try_dial};
use crate::serve::{Arrival, Shell};

/// The kernel's queue of connections that are not accepted yet.
const BACKLOG: u32 = 4096;

/// How long no connection is accepted after the process ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long after a failure an address is tried again.
const BIND_PAUSE: Duration = Duration::from_secs(2);

/// Of the clients that were let go before the guest's port is open, this many dial at a time.
const DIALLERS_MAX: usize = 8;

/// Silence before the kernel asks whether a peer is still there, in seconds.
const KEEPALIVE_S: u32 = 60;

/// The listening sockets of all services.
#[derive(Default)]
pub struct Proxy {
    listening: Mutex<HashMap<(Name, Listen), AbortHandle>>,
    /// Sockets that were passed in and that no service has asked for yet.
    passed: Mutex<Passed>,
}

impl Proxy {
    /// No listeners yet; `passed` are used where their address is asked for.
    pub fn new(passed: Passed) -> Proxy {
        Proxy { listening: Mutex::default(), passed: Mutex::new(passed) }
    }

    /// Listens for `service` where `spec` says, and nowhere else. No spec: nowhere.
    pub fn listen(&self, shell: &Arc<Shell>, service: &Name, spec: Option<&ServiceSpec>) {
        let wanted = spec.map_or(&[][..], |spec| &spec.listen);
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.retain(|(of, listen), task| {
            let keep = of != service || wanted.contains(listen);
            if !keep {
                task.abort();
            }
            keep
        });
        for listen in wanted {
            listening.entry((service.clone(), *listen)).or_insert_with(|| {
                let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
                let socket = passed.tcp(listen.on);
                let port = Port { shell: shell.clone(), service: service.clone(), listen: *listen };
                tokio::spawn(port.run(socket)).abort_handle()
            });
        }
    }

    /// Accepts no more connections.
    pub fn deafen(&self) {
        for (_, task) in self.listening.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            task.abort();
        }
    }
}

/// One listening address of one service.
#[derive(Clone)]
struct Port {
    shell: Arc<Shell>,
    service: Name,
    listen: Listen,
}

impl Port {
    async fn run(self, passed: Option<std::net::TcpListener>) {
        let listener = self.listener(passed).await;
        let diallers = Arc::new(Semaphore::new(DIALLERS_MAX));
        loop {
            match listener.accept().await {
                Ok((client, peer)) => {
                    let connection = Connection { client, peer, diallers: diallers.clone() };
                    self.take(connection);
                }
                // The client may have gone before it was accepted; or we are out of descriptors.
                Err(error) => {
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::warn!(service = %self.service, %error, "no connection can be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn listener(&self, passed: Option<std::net::TcpListener>) -> TcpListener {
        if let Some(passed) = passed {
            return TcpListener::from_std(passed).expect("BUG: a passed socket is not blocking");
        }
        loop {
            match bind(self.listen.on) {
                Ok(listener) => return listener,
                Err(error) => tracing::error!(
                    service = %self.service, address = %self.listen.on, %error,
                    "cannot listen; trying again in {BIND_PAUSE:?}"
                ),
            }
            sleep(BIND_PAUSE).await;
        }
    }

    /// Asks for a place for the connection, and gives it a task where it gets one.
    fn take(&self, connection: Connection) {
        let mut arrival = self.shell.arrive(&self.service);
        if let Err(refusal) = arrival.refused() {
            tracing::debug!(service = %self.service, peer = %connection.peer, %refusal, "refused");
            reset(&connection.client);
            return;
        }
        let port = self.clone();
        tokio::spawn(async move { port.carry(connection, arrival).await });
    }

    async fn carry(self, connection: Connection, mut arrival: Arrival) {
        let Connection { client, peer, diallers } = connection;
        let spec = arrival.spec();
        let until = Instant::now() + spec.hold_max.duration();
        let held = tokio::select! {
            held = arrival.wait() => held,
            // Nothing is read: the kernel keeps the client's bytes. Only its reset is noticed.
            _ = client.ready(Interest::ERROR) => return,
        };
        let address = match held {
            Ok(address) => address,
            Err(refusal) => {
                tracing::info!(service = %self.service, %peer, %refusal, "a held client is refused");
                return reset(&client);
            }
        };
        let to = SocketAddr::new(address, self.listen.guest_port());
        let Some(guest) = reach(to, until, &client, &diallers).await else {
            tracing::info!(service = %self.service, %peer, %to, "the guest does not accept; its client is refused");
            self.shell.count_refused(&self.service);
            return reset(&client);
        };
        let carried = self.exchange(&client, peer, &guest, &spec).await;
        match carried {
            Ok((there, back)) => {
                tracing::debug!(service = %self.service, %peer, there, back, "a connection has ended");
            }
            Err(error) => {
                // One side broke: the other is told by the same means.
                tracing::debug!(service = %self.service, %peer, %error, "a connection broke");
                reset(&client);
                reset(&guest);
            }
        }
    }

    async fn exchange(
        &self,
        client: &TcpStream,
        peer: SocketAddr,
        guest: &TcpStream,
        spec: &ServiceSpec,
    ) -> io::Result<(u64, u64)> {
        set_up(client)?;
        set_up(guest)?;
        if let Some(version) = spec.proxy_protocol {
            let header = header::header(version, canonical(peer), canonical(client.local_addr()?));
            copy::write_all(guest, &header).await?;
        }
        copy::both(client, guest).await
    }
}

struct Connection {
    client: TcpStream,
    peer: SocketAddr,
    diallers: Arc<Semaphore>,
}

/// Connects to a guest that should accept, and may need a moment more. None: it did not, in
/// time, or the client has gone.
async fn reach(
    to: SocketAddr,
    until: Instant,
    client: &TcpStream,
    diallers: &Semaphore,
) -> Option<TcpStream> {
    if let Ok(guest) = try_dial(to).await {
        return Some(guest);
    }
    let patient = async {
        // Where many were let go at once, a few find out for all.
        let _turn = diallers.acquire().await;
        dial(to).await
    };
    tokio::select! {
        guest = timeout_at(until, patient) => guest.ok(),
        _ = client.ready(Interest::ERROR) => None,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_S)?;
    Ok(())
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

/// Makes closing this connection a reset. It is closed when dropped, with whatever was unread.
fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    if let Err(error) = setsockopt(stream, sockopt::Linger, &linger) {
        tracing::debug!(%error, "a connection could not be made to end with a reset");
    }
}
