//! A toolstack that does what the test says.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jitsu_proto::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, watch};

/// How a start ends.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// The domain runs at this address.
    Runs(IpAddr),
    /// It cannot be started.
    Fails(RpcError),
    /// No answer comes.
    Hangs,
}

/// The toolstack's socket, what it is told to do, and what it was asked.
pub(crate) struct Toolstack {
    pub(crate) path: PathBuf,
    pub(crate) wants: mpsc::UnboundedReceiver<(Name, Wanted)>,
    events: broadcast::Sender<Event>,
    server: tokio::task::AbortHandle,
    cut: watch::Sender<bool>,
}

impl Drop for Toolstack {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Toolstack {
    pub(crate) fn new(
        folder: &Path,
        services: Vec<(Name, ServiceSpec)>,
        start: Start,
    ) -> Toolstack {
        let path = folder.join("toolstack.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (asked, wants) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(64);
        let cut = watch::Sender::new(false);
        let script =
            Script { services, start, asked, events: events.clone(), cut: cut.subscribe() };
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script.clone().serve(stream));
            }
        });
        Toolstack { path, wants, events, server: server.abort_handle(), cut }
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.server.abort();
        self.cut.send_replace(true);
    }

    /// Tells every subscriber.
    pub(crate) fn tell(&self, event: Event) {
        self.events.send(event).expect("somebody listens");
    }
}

/// Each status is newer than the one before.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// A domain that is as `state` says.
pub(crate) fn status(name: &Name, state: DomainState, address: Option<IpAddr>) -> DomainStatus {
    DomainStatus {
        name: name.clone(),
        wanted: Wanted::Running,
        state,
        address,
        id: None,
        since_ms: 0,
        boots: 1,
        error: None,
        timing: None,
        version: VERSIONS.fetch_add(1, Ordering::Relaxed),
    }
}

#[derive(Clone)]
struct Script {
    services: Vec<(Name, ServiceSpec)>,
    start: Start,
    asked: mpsc::UnboundedSender<(Name, Wanted)>,
    events: broadcast::Sender<Event>,
    cut: watch::Receiver<bool>,
}

impl Script {
    async fn serve(self, mut stream: UnixStream) {
        let mut decoder = Decoder::new();
        let mut events = self.events.subscribe();
        let mut subscribed = None;
        let mut cut = self.cut.clone();
        let mut buffer = [0; 4096];
        loop {
            let frames = tokio::select! {
                _ = cut.wait_for(|cut| *cut) => return,
                read = stream.read(&mut buffer) => {
                    let Ok(count @ 1..) = read else { return };
                    decoder.push(&buffer[..count]);
                    let mut frames = Vec::new();
                    while let Some(frame) = decoder.take().expect("our client sends frames") {
                        frames.extend(self.answer(frame, &mut subscribed));
                    }
                    frames
                }
                event = events.recv() => {
                    let body = event.expect("few events");
                    subscribed.map(|id| ServerFrame::Event { id, body }).into_iter().collect()
                }
            };
            let mut bytes = Vec::new();
            for frame in &frames {
                encode(frame, &mut bytes).expect("a frame");
            }
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, frame: ClientFrame, subscribed: &mut Option<u64>) -> Vec<ServerFrame> {
        let (id, body) = match frame {
            ClientFrame::Hello(hello) => return vec![ServerFrame::Hello(hello)],
            ClientFrame::Request { id, body, .. } => (id, *body),
            ClientFrame::Cancel { .. } => return Vec::new(),
        };
        let reply = |body| ServerFrame::Reply { id, body };
        let event = |body| ServerFrame::Event { id, body };
        match body {
            Request::Subscribe => {
                *subscribed = Some(id);
                let services = self.services.iter();
                let told =
                    services.map(|(name, spec)| event(Event::Service(name.clone(), spec.clone())));
                let first = [reply(Ok(Response::Subscribed))];
                first.into_iter().chain(told).chain([event(Event::Ready)]).collect()
            }
            Request::Want { name, wanted, .. } => {
                // The test may have ended already.
                let _ = self.asked.send((name.clone(), wanted));
                let body = match (&self.start, wanted) {
                    (Start::Runs(address), Wanted::Running) => {
                        Ok(Response::Domain(status(&name, DomainState::Running, Some(*address))))
                    }
                    (Start::Fails(error), Wanted::Running) => Err(error.clone()),
                    (Start::Hangs, Wanted::Running) => return Vec::new(),
                    _ => Ok(Response::Domain(status(&name, DomainState::Absent, None))),
                };
                vec![reply(body)]
            }
            _ => vec![reply(Ok(Response::Done))],
        }
    }
}
