//! Waiting for a guest to be ready.
//!
//! Owns how a TCP port is dialled until it opens: evenly and often, since a retry interval that
//! grows would set the tail of every cold start. It must not know what is done with the guest.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jitsu_proto::{ErrorCode, Name, Ready, Request, RpcError};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;

/// How long after a refused attempt the next is made, and after a lost toolstack.
const PAUSE: Duration = Duration::from_millis(1);

/// How long an attempt may stay without an answer: a guest that has no network yet does not
/// even refuse, and the kernel would ask again only after a second.
const SILENCE_MAX: Duration = Duration::from_millis(30);

/// What part of all the waiting so far an attempt may stay without an answer, if that is more. A
/// guest on a busy host may take long to answer: who hangs up sooner never hears it.
const SILENCE_PART: u32 = 16;

/// Dials `to` until it accepts. Drop it to give up.
pub async fn dial(to: SocketAddr) -> TcpStream {
    let began = Instant::now();
    loop {
        let silence = (began.elapsed() / SILENCE_PART).max(SILENCE_MAX);
        if let Ok(Ok(stream)) = timeout(silence, TcpStream::connect(to)).await {
            return stream;
        }
        sleep(PAUSE).await;
    }
}

/// One attempt to dial `to`.
pub async fn try_dial(to: SocketAddr) -> io::Result<TcpStream> {
    timeout(SILENCE_MAX, TcpStream::connect(to)).await?
}

/// Waits until the guest of `domain` at `address`, which was let run just now, is ready by
/// `rule`. `toolstack` is asked for what only it can see. Drop it to give up.
pub async fn ready(
    rule: &Ready,
    domain: &Name,
    address: IpAddr,
    toolstack: &mut watch::Receiver<Option<Client>>,
) -> Result<(), RpcError> {
    match rule {
        Ready::Started => {}
        Ready::Delay(delay) => sleep(delay.duration()).await,
        Ready::Port(port) => drop(dial(SocketAddr::new(address, *port)).await),
        Ready::Xenstore(key) => return key_written(domain, key, toolstack).await,
    }
    Ok(())
}

/// Waits for a key of the XenStore, over restarts of the toolstack.
async fn key_written(
    domain: &Name,
    key: &str,
    toolstack: &mut watch::Receiver<Option<Client>>,
) -> Result<(), RpcError> {
    loop {
        let client = toolstack.wait_for(Option::is_some).await.map(|client| client.clone());
        let Ok(Some(client)) = client else {
            return Err(RpcError::new(ErrorCode::Unavailable, "this daemon is stopping"));
        };
        // As a subscription, since that is cancelled when nobody waits any more.
        let request = Request::AwaitKey { name: domain.clone(), key: key.to_owned() };
        match client.subscribe(request).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code == ErrorCode::Unavailable => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
