//! The toolstack's socket, from the client's side.
//!
//! Owns one connection: the hello, numbering requests, handing each reply and event to who
//! waits for it. It must not know what is asked, or try again: a lost connection fails all that
//! was under way, and is over.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jitsu_proto::{
    ClientFrame, Decoder, ErrorCode, Event, FrameError, Hello, Request, Response, RpcError,
    ServerFrame, TraceId, VERSION,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// How many requests may wait to be written.
const OUTGOING_MAX: usize = 1024;

/// How many events may wait for who subscribed to them.
const EVENTS_MAX: usize = 4096;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("no toolstack at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It hung up before it said who it is.
    #[error("the toolstack at {} hung up: {source}", path.display())]
    Hello {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It said something that is not understood.
    #[error("what answers at {} is no toolstack: {source}", path.display())]
    Frame {
        /// The socket.
        path: PathBuf,
        /// What.
        source: FrameError,
    },
    /// It speaks another version.
    #[error("{} speaks version {theirs} of the protocol, this program {VERSION}", program)]
    Version {
        /// Who it is.
        program: String,
        /// Its version.
        theirs: u32,
    },
}

/// Who waits for a request's reply, and for its events where it subscribes.
struct Pending {
    reply: oneshot::Sender<Result<Response, RpcError>>,
    events: Option<mpsc::Sender<Event>>,
}

enum Outgoing {
    Request { id: u64, trace: TraceId, body: Box<Request>, pending: Pending },
    Cancel { id: u64 },
}

/// A connection to the toolstack. Cheap to clone; the connection ends with the last clone.
#[derive(Clone)]
pub struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    next_id: Arc<AtomicU64>,
}

/// The events of one subscription. Dropping it ends the subscription.
pub struct Events {
    id: u64,
    incoming: mpsc::Receiver<Event>,
    outgoing: mpsc::Sender<Outgoing>,
}

impl Events {
    /// The next event. None: the connection was lost, or the subscription has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.incoming.recv().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // Where the queue is full the connection is in trouble, and its end ends this too.
        let _ = self.outgoing.try_send(Outgoing::Cancel { id: self.id });
    }
}

impl Client {
    /// Connects to the socket at `path` and exchanges hellos.
    pub async fn connect(path: &Path, program: &str) -> Result<Client, ConnectError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ConnectError::Connect { path: path.to_owned(), source })?;
        let (mut reader, mut writer) = stream.into_split();
        let mut bytes = Vec::new();
        let hello = Hello { version: VERSION, program: program.to_owned() };
        jitsu_proto::encode(&ClientFrame::Hello(hello), &mut bytes)
            .map_err(|source| ConnectError::Frame { path: path.to_owned(), source })?;
        let hello = |source| ConnectError::Hello { path: path.to_owned(), source };
        writer.write_all(&bytes).await.map_err(hello)?;
        let mut decoder = Decoder::new();
        let first = read_frame(&mut reader, &mut decoder).await;
        match first.map_err(|error| error.at(path))? {
            ServerFrame::Hello(hello) if hello.version == VERSION => {}
            ServerFrame::Hello(hello) => {
                return Err(ConnectError::Version {
                    program: hello.program,
                    theirs: hello.version,
                });
            }
            ServerFrame::Reply { .. } | ServerFrame::Event { .. } => {
                let source = io::Error::new(io::ErrorKind::InvalidData, "it sent no hello");
                return Err(ConnectError::Hello { path: path.to_owned(), source });
            }
        }
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let (asked, pendings) = mpsc::channel(OUTGOING_MAX);
        tokio::spawn(write(writer, queue, asked));
        tokio::spawn(read(reader, decoder, pendings));
        Ok(Client { outgoing, next_id: Arc::new(AtomicU64::new(1)) })
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, trace: TraceId, body: Request) -> Result<Response, RpcError> {
        let (_, reply) = self.send(trace, body, None).await?;
        reply.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Asks for a subscription: the answer, and the events that follow it.
    pub async fn subscribe(&self, body: Request) -> Result<(Response, Events), RpcError> {
        let (sender, incoming) = mpsc::channel(EVENTS_MAX);
        let (id, reply) = self.send(TraceId::default(), body, Some(sender)).await?;
        let events = Events { id, incoming, outgoing: self.outgoing.clone() };
        let response = reply.await.unwrap_or_else(|_| Err(lost()))?;
        Ok((response, events))
    }

    async fn send(
        &self,
        trace: TraceId,
        body: Request,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<(u64, oneshot::Receiver<Result<Response, RpcError>>), RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let pending = Pending { reply: sender, events };
        let request = Outgoing::Request { id, trace, body: Box::new(body), pending };
        self.outgoing.send(request).await.map_err(|_| lost())?;
        Ok((id, reply))
    }
}

fn lost() -> RpcError {
    RpcError::new(ErrorCode::Unavailable, "the connection to the toolstack was lost")
}

/// What the reader must know of a request before its reply can arrive.
enum Asked {
    Request(u64, Pending),
    Cancelled(u64),
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    asked: mpsc::Sender<Asked>,
) {
    let mut bytes = Vec::new();
    while let Some(outgoing) = queue.recv().await {
        bytes.clear();
        let (frame, news) = match outgoing {
            Outgoing::Request { id, trace, body, pending } => {
                (ClientFrame::Request { id, trace, body }, Asked::Request(id, pending))
            }
            Outgoing::Cancel { id } => (ClientFrame::Cancel { id }, Asked::Cancelled(id)),
        };
        if let Err(error) = jitsu_proto::encode(&frame, &mut bytes) {
            if let Asked::Request(_, pending) = news {
                let error = RpcError::new(ErrorCode::BadRequest, error.to_string());
                // Who asked may have stopped waiting.
                let _ = pending.reply.send(Err(error));
            }
            continue;
        }
        // The reader learns of it first: the reply cannot be faster than that.
        if asked.send(news).await.is_err() || writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut reader: OwnedReadHalf, mut decoder: Decoder, mut asked: mpsc::Receiver<Asked>) {
    let mut replies = HashMap::new();
    let mut subscribers: HashMap<u64, mpsc::Sender<Event>> = HashMap::new();
    loop {
        // Requests before frames: a reply's request is then always known.
        let frame = tokio::select! {
            biased;
            news = asked.recv() => {
                match news {
                    Some(Asked::Request(id, pending)) => {
                        replies.insert(id, pending.reply);
                        if let Some(events) = pending.events {
                            subscribers.insert(id, events);
                        }
                    }
                    Some(Asked::Cancelled(id)) => drop(subscribers.remove(&id)),
                    None => return,
                }
                continue;
            }
            frame = read_frame(&mut reader, &mut decoder) => frame,
        };
        match frame {
            Ok(ServerFrame::Reply { id, body }) => {
                if body.is_err() {
                    subscribers.remove(&id);
                }
                if let Some(reply) = replies.remove(&id) {
                    // Who asked may have stopped waiting.
                    let _ = reply.send(body);
                }
            }
            Ok(ServerFrame::Event { id, body }) => {
                // A subscriber that does not read is cut off; its end of the queue then ends.
                if subscribers.get(&id).is_some_and(|events| events.try_send(body).is_err()) {
                    subscribers.remove(&id);
                }
            }
            Ok(ServerFrame::Hello(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "the connection to the toolstack ended");
                return;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl ReadError {
    fn at(self, path: &Path) -> ConnectError {
        let path = path.to_owned();
        match self {
            ReadError::Io(source) => ConnectError::Hello { path, source },
            ReadError::Frame(source) => ConnectError::Frame { path, source },
        }
    }
}

/// The next frame. Nothing is lost when it is dropped while it waits.
async fn read_frame(
    reader: &mut OwnedReadHalf,
    decoder: &mut Decoder,
) -> Result<ServerFrame, ReadError> {
    let mut buffer = [0; 8 * 1024];
    loop {
        if let Some(frame) = decoder.take()? {
            return Ok(frame);
        }
        match reader.read(&mut buffer).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => decoder.push(&buffer[..count]),
        }
    }
}
