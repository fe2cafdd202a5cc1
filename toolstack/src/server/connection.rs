//! One connection, from its hello to its end.
//!
//! Owns the frames: their order, how many requests are under way, how much waits to be written.
//! A client that breaks the protocol is cut, with the reason in the log. It must not know what
//! a request means.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jitsu_proto::{
    ClientFrame, Decoder, ErrorCode, FrameError, Hello, RpcError, ServerFrame, VERSION, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::{PROGRAM, Server, answer};
use crate::history::Exchange;
use crate::record::Caller;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Why a connection was cut.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the first frame is no hello")]
    NoHello,
    #[error("a second hello")]
    SecondHello,
    #[error("it speaks version {0}; this is version {VERSION}")]
    Version(u32),
    #[error("no hello within {0:?}")]
    Silent(Duration),
    #[error("request number {0} is used while it is open")]
    Number(u64),
    #[error("it ended inside a frame")]
    Torn,
}

/// The requests under way, by the client's number.
type Open = Arc<Mutex<HashMap<u64, AbortHandle>>>;

/// Serves one client.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: UnixStream,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(peer) = stream.peer_cred() else { return };
    let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid().unwrap_or(0));
    let role = server.role_of(uid, gid, pid);
    let caller = Caller { uid, gid, pid, program: String::new(), role };
    let (reader, writer) = stream.into_split();
    let (frames, queue) = mpsc::channel(server.limits.queue_max);
    let patience = server.limits.client_timeout.duration();
    let mut writing = tokio::spawn(write(writer, queue, patience));
    let mut connection = Connection {
        reader,
        decoder: Decoder::new(),
        bytes: vec![0; READ_BYTES],
        frames,
        open: Open::default(),
        tasks: JoinSet::new(),
        exchange: Arc::new(Mutex::new(server.history.exchange())),
        server,
        caller,
    };
    let end = tokio::select! {
        end = connection.run() => end,
        // The client does not read: there is no use in reading it.
        written = &mut writing => written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Cut::Io),
        _ = stop.changed() => Ok(()),
    };
    if let Err(cut) = end {
        tracing::warn!(caller = %connection.caller, reason = %cut, "a connection was cut");
    }
    connection.tasks.shutdown().await;
    drop(connection);
    if !writing.is_finished() {
        // What was said last, the reason for a refusal say, still goes out.
        let _ = timeout(patience, writing).await;
    }
}

struct Connection {
    server: Arc<Server>,
    caller: Caller,
    reader: OwnedReadHalf,
    decoder: Decoder,
    bytes: Vec<u8>,
    frames: mpsc::Sender<ServerFrame>,
    open: Open,
    tasks: JoinSet<()>,
    exchange: Arc<Mutex<Exchange>>,
}

impl Connection {
    async fn run(&mut self) -> Result<(), Cut> {
        let patience = self.server.limits.client_timeout.duration();
        let hello = match timeout(patience, self.next()).await.map_err(|_| Cut::Silent(patience))? {
            Ok(Some(ClientFrame::Hello(hello))) => hello,
            Ok(Some(_)) => return Err(Cut::NoHello),
            Ok(None) => return Ok(()),
            Err(cut) => return Err(cut),
        };
        // Ours goes out in any case: the client is to see what does not fit.
        self.send(ServerFrame::Hello(Hello { version: VERSION, program: PROGRAM.to_owned() }))
            .await;
        if hello.version != VERSION {
            return Err(Cut::Version(hello.version));
        }
        self.caller.program = hello.program;
        while let Some(frame) = self.next().await? {
            // Those that ended are of no more interest.
            while self.tasks.try_join_next().is_some() {}
            match frame {
                ClientFrame::Hello(_) => return Err(Cut::SecondHello),
                ClientFrame::Cancel { id } => self.cancel(id),
                ClientFrame::Request { id, trace, body } => self.begin(id, trace, *body).await?,
            }
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        id: u64,
        trace: jitsu_proto::TraceId,
        body: jitsu_proto::Request,
    ) -> Result<(), Cut> {
        let under_way = {
            let open = self.lock();
            if open.contains_key(&id) {
                return Err(Cut::Number(id));
            }
            open.len()
        };
        if under_way >= self.server.limits.requests_max {
            let text = "too many requests are under way on this connection";
            let body = Err(RpcError::new(ErrorCode::Exhausted, text));
            self.send(ServerFrame::Reply { id, body }).await;
            return Ok(());
        }
        let asking = answer::Asking {
            id,
            trace,
            server: self.server.clone(),
            caller: self.caller.clone(),
            frames: self.frames.clone(),
            exchange: self.exchange.clone(),
        };
        let open = self.open.clone();
        // Held over the start, so that the request is in the table before it can take itself out.
        let table = self.open.clone();
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let task = self.tasks.spawn(async move {
            answer::answer(asking, body).await;
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        table.insert(id, task);
        Ok(())
    }

    /// Ends a subscription; a request that is not one goes on, and so does a client that asks
    /// for what has ended meanwhile.
    fn cancel(&self, id: u64) {
        if let Some(task) = self.lock().remove(&id) {
            task.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, frame: ServerFrame) {
        // An error: the writer has ended, which ends the connection.
        let _ = self.frames.send(frame).await;
    }

    /// The next frame. None: the client is done.
    async fn next(&mut self) -> Result<Option<ClientFrame>, Cut> {
        loop {
            if let Some(frame) = self.decoder.take()? {
                return Ok(Some(frame));
            }
            let count = self.reader.read(&mut self.bytes).await?;
            if count == 0 {
                return if self.decoder.is_empty() { Ok(None) } else { Err(Cut::Torn) };
            }
            self.decoder.push(&self.bytes[..count]);
        }
    }
}

/// Writes what is queued, all that is there at once.
async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<ServerFrame>,
    patience: Duration,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(frame) = queue.recv().await {
        bytes.clear();
        put(&frame, &mut bytes);
        while bytes.len() < READ_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            put(&frame, &mut bytes);
        }
        let written = timeout(patience, writer.write_all(&bytes)).await;
        written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    }
    Ok(())
}

fn put(frame: &ServerFrame, bytes: &mut Vec<u8>) {
    let Err(error) = encode(frame, bytes) else { return };
    // Only an answer that is too long cannot be written; the client is told so instead.
    let short = RpcError::new(ErrorCode::Exhausted, format!("the answer does not fit: {error}"));
    let instead = match frame {
        ServerFrame::Reply { id, .. } => ServerFrame::Reply { id: *id, body: Err(short) },
        ServerFrame::Event { id, .. } => {
            ServerFrame::Event { id: *id, body: jitsu_proto::Event::End(short) }
        }
        ServerFrame::Hello(_) => unreachable!("BUG: our hello does not fit a frame"),
    };
    encode(&instead, bytes).expect("BUG: a short refusal does not fit a frame");
}
