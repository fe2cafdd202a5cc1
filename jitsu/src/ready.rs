//! Waiting for a guest to be ready.
//!
//! Owns how a TCP port is dialled until it opens: evenly and often, since a retry interval that
//! grows would set the tail of every cold start. It must not know what is done with the guest.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jitsu_proto::Ready;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long after a refused attempt the next is made.
const PAUSE: Duration = Duration::from_millis(1);

/// How long an attempt may stay without an answer: a guest that has no network yet does not
/// even refuse, and the kernel would ask again only after a second.
const SILENCE_MAX: Duration = Duration::from_millis(30);

/// Dials `to` until it accepts. Drop it to give up.
pub async fn dial(to: SocketAddr) -> TcpStream {
    loop {
        if let Ok(stream) = try_dial(to).await {
            return stream;
        }
        sleep(PAUSE).await;
    }
}

/// One attempt to dial `to`.
pub async fn try_dial(to: SocketAddr) -> io::Result<TcpStream> {
    timeout(SILENCE_MAX, TcpStream::connect(to)).await?
}

/// Waits until the guest at `address`, which was let run just now, is ready by `rule`.
/// Drop it to give up.
pub async fn ready(rule: &Ready, address: IpAddr) {
    match rule {
        // The toolstack answers only when the key is there.
        Ready::Started | Ready::Xenstore(_) => {}
        Ready::Delay(delay) => sleep(delay.duration()).await,
        Ready::Port(port) => drop(dial(SocketAddr::new(address, *port)).await),
    }
}
