//! The holding proxy.

use std::io;
use std::net::SocketAddr;

use jitsu_proto::{
    DomainState, ErrorCode, Event, Millis, ProxyProtocol, Ready, RpcError, ServiceSpec, Wanted,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::toolstack::{Start, status};
use crate::world::{PATIENCE, World, guest, name, service};

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept())
        .await
        .expect("a connection comes")
        .expect("it is accepted")
        .0
}

async fn all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it ends")?;
    Ok(bytes)
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    all(stream).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// A byte from the client to the guest: the connection is there from end to end.
async fn touch(client: &mut TcpStream, served: &mut TcpStream) {
    client.write_all(b"x").await.expect("it is live");
    let mut byte = [0];
    timeout(PATIENCE, served.read_exact(&mut byte)).await.expect("it comes").expect("it is live");
}

/// Every byte depends on where it stands.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[tokio::test]
async fn a_connection_is_held_and_loses_nothing() {
    // The port is taken but nobody listens: the guest boots.
    let (early, address) = guest().await;
    drop(early);
    let spec = ServiceSpec { hold_max: Millis::from_secs(60), ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    client.write_all(b"before it was there").await.expect("the kernel takes it");
    client.shutdown().await.expect("the kernel takes it");
    assert_eq!(world.wanted().await, ("www".to_owned(), Wanted::Running));
    let listener = TcpListener::bind(address).await.expect("the guest is up");
    let probe = accept(&listener).await;
    drop(probe);
    let mut served = accept(&listener).await;
    assert_eq!(all(&mut served).await.expect("it ends well"), b"before it was there");
    served.write_all(b"half-closed, and answered").await.expect("written");
    drop(served);
    assert_eq!(all(&mut client).await.expect("it ends well"), b"half-closed, and answered");
}

#[tokio::test]
async fn bulk_goes_both_ways_at_once() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let sent = noise(12 << 20);
    let guest = async {
        let served = accept(&listener).await;
        let (mut read, mut write) = served.into_split();
        let (mut got, back) = (Vec::new(), noise(9 << 20));
        let (read, written) = tokio::join!(read.read_to_end(&mut got), async {
            write.write_all(&back).await?;
            write.shutdown().await
        });
        read.and(written.map(|()| 0)).expect("both directions end well");
        got
    };
    let client = async {
        let (mut read, mut write) = world.client().await.into_split();
        let mut got = Vec::new();
        let (read, written) = tokio::join!(read.read_to_end(&mut got), async {
            write.write_all(&sent).await?;
            write.shutdown().await
        });
        read.and(written.map(|()| 0)).expect("both directions end well");
        got
    };
    let (there, back) =
        timeout(PATIENCE, async { tokio::join!(guest, client) }).await.expect("it ends");
    assert!(there == sent, "{} bytes of {} came", there.len(), sent.len());
    assert!(back == noise(9 << 20), "{} bytes came back", back.len());
}

#[tokio::test]
async fn a_reset_is_passed_on_both_ways() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    let mut served = accept(&listener).await;
    touch(&mut client, &mut served).await;
    client.set_zero_linger().expect("set");
    drop(client);
    assert!(is_reset(&mut served).await, "the guest learns that its client is gone");
    let mut client = world.client().await;
    let mut served = accept(&listener).await;
    touch(&mut client, &mut served).await;
    served.set_zero_linger().expect("set");
    drop(served);
    assert!(is_reset(&mut client).await, "the client learns that its guest is gone");
}

#[tokio::test]
async fn two_hundred_clients_share_a_boot() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let echo = tokio::spawn(async move {
        loop {
            let mut served = accept(&listener).await;
            tokio::spawn(async move {
                let (mut read, mut write) = served.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..200_u32 {
        let mut client = world.client().await;
        clients.spawn(async move {
            client.write_all(&number.to_be_bytes()).await?;
            client.shutdown().await?;
            Ok::<_, io::Error>(all(&mut client).await? == number.to_be_bytes())
        });
    }
    while let Some(answer) = clients.join_next().await {
        assert!(answer.expect("no panic").expect("none is refused"), "a wrong answer");
    }
    assert_eq!(world.wanted().await, ("www".to_owned(), Wanted::Running));
    assert!(world.toolstack.wants.try_recv().is_err(), "one boot is enough");
    echo.abort();
}

#[tokio::test]
async fn a_client_too_many_is_reset_at_once() {
    let spec = ServiceSpec { clients_max: 2, ..service(1) };
    let mut world = World::new(spec, Vec::new(), Start::Hangs).await;
    let _first = world.client().await;
    let _second = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    let mut third = world.client().await;
    assert!(is_reset(&mut third).await);
    assert_eq!(world.serve.shell().clients(), 2);
}

#[tokio::test]
async fn a_client_that_gives_up_gives_its_place_back() {
    let spec = ServiceSpec { hold_max: Millis::from_secs(60), ..service(1) };
    let mut world = World::new(spec, Vec::new(), Start::Hangs).await;
    let client = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    assert_eq!(world.serve.shell().clients(), 1);
    client.set_zero_linger().expect("set");
    drop(client);
    let gone = timeout(PATIENCE, async {
        while world.serve.shell().clients() > 0 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("its place is free");
}

#[tokio::test]
async fn a_guest_that_is_never_ready_fails_its_clients_in_time() {
    let (early, address) = guest().await;
    drop(early);
    let spec = ServiceSpec { hold_max: Millis(200), ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    assert!(is_reset(&mut client).await);
    assert_eq!(world.wanted().await.1, Wanted::Running);
    assert_eq!(world.wanted().await.1, Wanted::Absent, "what cannot be used is not left");
    world.until("failed").await;
    let mut client = world.client().await;
    assert!(is_reset(&mut client).await, "while it is left alone, clients are refused at once");
    world.until("asleep").await;
}

#[tokio::test]
async fn a_domain_that_cannot_be_started_fails_its_clients_at_once() {
    let error = RpcError::new(ErrorCode::Exhausted, "no memory");
    let spec = ServiceSpec { hold_max: Millis::from_secs(3600), ..service(1) };
    let world = World::new(spec, Vec::new(), Start::Fails(error)).await;
    let mut client = world.client().await;
    assert!(is_reset(&mut client).await);
    world.until("failed").await;
}

#[tokio::test]
async fn a_guest_that_dies_is_started_again_for_the_next_client() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    let mut served = accept(&listener).await;
    touch(&mut client, &mut served).await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    served.set_zero_linger().expect("set");
    drop(served);
    world.toolstack.tell(Event::Domain(status(&name("www"), DomainState::Absent, None)));
    assert!(is_reset(&mut client).await);
    world.until("asleep").await;
    let _client = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    let _served = accept(&listener).await;
}

#[tokio::test]
async fn news_that_is_old_changes_nothing() {
    let (early, address) = guest().await;
    drop(early);
    let spec = ServiceSpec { idle: Millis(1), ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let old = |state, at| {
        let status = status(&name("www"), state, at);
        Event::Domain(jitsu_proto::DomainStatus { version: 0, ..status })
    };
    let mut client = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    for state in [DomainState::Absent, DomainState::Starting, DomainState::Stopping] {
        world.toolstack.tell(old(state, None));
    }
    let listener = TcpListener::bind(address).await.expect("the guest is up");
    drop(accept(&listener).await);
    let mut served = accept(&listener).await;
    touch(&mut client, &mut served).await;
    drop((client, served));
    assert_eq!(world.wanted().await.1, Wanted::Absent);
    world.until("asleep").await;
    world.toolstack.tell(old(DomainState::Running, Some(address.ip())));
    // What is told next is heard after it.
    world.toolstack.tell(Event::ServiceGone(name("www")));
    let gone = timeout(PATIENCE, async {
        while let Some(phase) = world.serve.shell().phase(&name("www")) {
            assert_eq!(phase, "asleep");
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("the service is gone");
}

#[tokio::test]
async fn a_service_with_a_live_connection_is_not_stopped() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, idle: Millis(1), ..service(address.port()) };
    let mut world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    let mut served = accept(&listener).await;
    for _ in 0..50 {
        touch(&mut client, &mut served).await;
        assert!(world.toolstack.wants.try_recv().is_err(), "it is stopped with a live connection");
    }
    drop((client, served));
    assert_eq!(world.wanted().await.1, Wanted::Absent);
}

#[tokio::test]
async fn the_guest_is_told_who_the_client_is() {
    for (version, length) in [(ProxyProtocol::V1, None), (ProxyProtocol::V2, Some(28))] {
        let (listener, address) = guest().await;
        let spec = ServiceSpec {
            ready: Ready::Started,
            proxy_protocol: Some(version),
            ..service(address.port())
        };
        let world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
        let mut client = world.client().await;
        client.write_all(b"hello").await.expect("written");
        client.shutdown().await.expect("written");
        let mut served = accept(&listener).await;
        let got = all(&mut served).await.expect("it ends well");
        let (local, front): (SocketAddr, _) = (client.local_addr().expect("bound"), world.front);
        let line = format!(
            "PROXY TCP4 {} {} {} {}\r\n",
            local.ip(),
            front.ip(),
            local.port(),
            front.port()
        );
        let header = length.unwrap_or(line.len());
        assert_eq!(&got[header..], b"hello");
        if version == ProxyProtocol::V1 {
            assert_eq!(got[..header], *line.as_bytes());
        } else {
            assert_eq!(
                got[24..28],
                [local.port().to_be_bytes(), front.port().to_be_bytes()].concat()
            );
        }
    }
}

#[tokio::test]
async fn stopping_lets_live_connections_end() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let world = World::new(spec, Vec::new(), Start::Runs(address.ip())).await;
    let mut client = world.client().await;
    let mut served = accept(&listener).await;
    let front = world.front;
    let stopping = tokio::spawn(world.serve.stop());
    let deaf = timeout(PATIENCE, async {
        while TcpStream::connect(front).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    deaf.await.expect("no new client is taken");
    assert!(!stopping.is_finished(), "a client is left");
    client.write_all(b"late").await.expect("it is live");
    client.shutdown().await.expect("it is live");
    assert_eq!(all(&mut served).await.expect("it ends well"), b"late");
    drop(served);
    assert_eq!(all(&mut client).await.expect("it ends well"), b"");
    timeout(PATIENCE, stopping).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn a_lost_toolstack_comes_back() {
    let (listener, address) = guest().await;
    let spec = ServiceSpec { ready: Ready::Started, ..service(address.port()) };
    let mut world = World::new(spec.clone(), Vec::new(), Start::Runs(address.ip())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let client = world.client().await;
    assert_eq!(world.wanted().await.1, Wanted::Running);
    drop(accept(&listener).await);
    drop(client);
    // Another takes its place at the same path; what it knows counts from then on.
    let path = world.toolstack.path.clone();
    let other = crate::toolstack::Toolstack::new(folder.path(), Vec::new(), Start::Hangs);
    std::fs::rename(&other.path, &path).expect("moved");
    world.toolstack.tell(Event::End(RpcError::new(ErrorCode::Unavailable, "stopping")));
    world.toolstack.cut();
    let gone = timeout(PATIENCE, async {
        while world.serve.shell().services() > 0 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("the service is gone, since the new toolstack has none");
}
