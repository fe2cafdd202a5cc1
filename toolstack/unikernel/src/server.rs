//! HTTP over TCP: connections, and what is answered on them.
//!
//! Owns the sockets and how far each connection is. Must not know the network device, nor how
//! the domain is ended: it says that it should be.

use core::fmt::Write;
use core::net::Ipv4Addr;

use jitsu_unikernel::http::{self, Ask, End, Request};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};

/// Connections at once; one more is refused.
pub(crate) const CONNECTIONS: usize = 32;
/// The longest head of a request.
const HEAD_BYTES: usize = 1024;
/// What may be on its way to a client.
const SEND_BYTES: usize = 16 * 1024;
/// A connection on which nothing moves for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the page tells.
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Ipv4Addr,
    /// When it started.
    pub(crate) start: Instant,
    /// How long it then took until it served.
    pub(crate) boot: Duration,
}

/// The memory of one connection.
pub(crate) struct Buffer {
    receive: [u8; HEAD_BYTES],
    send: [u8; SEND_BYTES],
}

impl Buffer {
    pub(crate) const NEW: Buffer = Buffer { receive: [0; HEAD_BYTES], send: [0; SEND_BYTES] };
}

/// How far a connection is.
#[derive(Debug, Clone, Copy)]
enum Progress {
    /// The request is not there yet, or nobody has connected.
    Reading,
    /// So many bytes of a body are sent of so many; then the domain may end.
    Sending { sent: u64, length: u64, end: Option<End> },
    /// All is sent, and closed from this side.
    Closing(Option<End>),
}

struct Connection {
    handle: SocketHandle,
    progress: Progress,
    /// When it is given up, once somebody connects.
    deadline: Option<Instant>,
}

/// The server.
pub(crate) struct Server {
    port: u16,
    requests: u64,
    connections: heapless::Vec<Connection, CONNECTIONS>,
}

impl Server {
    /// One that answers on `port`, with its sockets among `sockets`.
    pub(crate) fn listen<'a>(
        port: u16,
        buffers: &'a mut [Buffer; CONNECTIONS],
        sockets: &mut SocketSet<'a>,
    ) -> Server {
        let connection = |buffer: &'a mut Buffer| {
            let receive = SocketBuffer::new(&mut buffer.receive[..]);
            let mut socket = Socket::new(receive, SocketBuffer::new(&mut buffer.send[..]));
            socket.set_ack_delay(None);
            socket.set_nagle_enabled(false);
            socket.listen(port).expect("the socket is new and the port is not 0");
            let handle = sockets.add(socket);
            Connection { handle, progress: Progress::Reading, deadline: None }
        };
        Server { port, requests: 0, connections: buffers.iter_mut().map(connection).collect() }
    }

    /// When there is something to do though no packet comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().filter_map(|connection| connection.deadline).min()
    }

    /// Moves every connection on; answers how the domain is to end, if a client wants that.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet,
        identity: &Identity,
    ) -> Option<End> {
        let mut end = None;
        for connection in &mut self.connections {
            let socket = sockets.get_mut::<Socket>(connection.handle);
            end = end.or(connection.ending(socket.state()));
            match socket.state() {
                // This side closes first, and would otherwise be kept from listening again by
                // waiting for a last packet that does no harm.
                State::Closed | State::TimeWait => {
                    (connection.progress, connection.deadline) = (Progress::Reading, None);
                    socket.listen(self.port).expect("the socket is closed and the port is not 0");
                    continue;
                }
                State::Listen => continue,
                _ => {}
            }
            let deadline = *connection.deadline.get_or_insert(now + PATIENCE);
            if now >= deadline {
                socket.abort();
                continue;
            }
            if socket.state() == State::SynReceived {
                continue;
            }
            if let Progress::Reading = connection.progress {
                connection.read(socket, |request| {
                    self.requests += 1;
                    head_and_body(request, now, identity, self.requests)
                });
            }
            if let Progress::Sending { .. } = connection.progress
                && connection.send(socket)
            {
                connection.deadline = Some(now + PATIENCE);
            }
        }
        end
    }
}

/// The text of an answer.
type Answer = heapless::String<512>;

impl Connection {
    /// How the domain is to end, if that was asked for and the answer has arrived.
    fn ending(&self, state: State) -> Option<End> {
        match (self.progress, state) {
            (Progress::Closing(end), State::FinWait2 | State::TimeWait | State::Closed) => end,
            _ => None,
        }
    }

    /// Reads the request, if it is there, and begins the answer.
    fn read(&mut self, socket: &mut Socket, answer: impl FnOnce(Request) -> Answer) {
        let mut head = [0; HEAD_BYTES];
        let length = socket.peek_slice(&mut head).unwrap_or(0);
        let request = match Request::parse(&head[..length]) {
            Some(request) => request,
            None if length == HEAD_BYTES => Request::refused(http::TOO_LARGE),
            None if socket.may_recv() => return,
            // The client has closed without a request.
            None => {
                self.close(socket, None);
                return;
            }
        };
        let text = answer(request);
        let sent = socket.send_slice(text.as_bytes());
        assert_eq!(sent, Ok(text.len()), "it is shorter than the buffer, which is empty");
        let length = match request.ask {
            Ask::Bytes(length) if request.wants_body => length,
            _ => 0,
        };
        let end = match request.ask {
            Ask::End(end) => Some(end),
            _ => None,
        };
        self.progress = Progress::Sending { sent: 0, length, end };
    }

    /// Sends what there is room for of a body of bytes; whether it was any.
    fn send(&mut self, socket: &mut Socket) -> bool {
        let Progress::Sending { sent, length, end } = self.progress else { return false };
        let mut now_sent = sent;
        while now_sent < length && socket.can_send() {
            let filled = socket.send(|buffer| {
                let count =
                    buffer.len().min(usize::try_from(length - now_sent).unwrap_or(usize::MAX));
                for (byte, position) in buffer[..count].iter_mut().zip(now_sent..) {
                    *byte = b'a' + (position % 26) as u8;
                }
                (count, count)
            });
            now_sent += filled.unwrap_or(0) as u64;
        }
        self.progress = Progress::Sending { sent: now_sent, length, end };
        if now_sent == length {
            self.close(socket, end);
        }
        now_sent > sent
    }

    fn close(&mut self, socket: &mut Socket, end: Option<End>) {
        socket.close();
        self.progress = Progress::Closing(end);
    }
}

/// The head of the answer to `request`, and its body, except that of `/bytes`.
fn head_and_body(request: Request, now: Instant, identity: &Identity, requests: u64) -> Answer {
    let body = body(request.ask, now, identity, requests);
    let (status, length) = match request.ask {
        Ask::Bytes(length) => (http::OK, length),
        Ask::Refused(status) => (status, body.len() as u64),
        Ask::Page | Ask::End(_) => (http::OK, body.len() as u64),
    };
    let mut answer = Answer::new();
    let head = write!(
        answer,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{}\r\n",
        if status == http::METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" },
    );
    let body = if request.wants_body { body.as_str() } else { "" };
    head.and_then(|()| answer.write_str(body)).expect("a name has a bound, and so has an answer");
    answer
}

fn body(ask: Ask, now: Instant, identity: &Identity, requests: u64) -> heapless::String<256> {
    let mut body = heapless::String::new();
    let written = match ask {
        Ask::Page => {
            let boot = identity.boot.total_micros();
            let uptime = (now - identity.start).total_millis();
            write!(
                body,
                "Hello from {}.\naddress: {}\nboot_ms: {}.{:03}\nuptime_ms: {uptime}\n\
                 requests: {requests}\n",
                identity.name,
                identity.address,
                boot / 1000,
                boot % 1000,
            )
        }
        Ask::Bytes(_) => Ok(()),
        Ask::End(end) => writeln!(body, "{end:?} follows."),
        Ask::Refused(status) => writeln!(body, "{status}"),
    };
    written.expect("a name has a bound, and so has a body");
    body
}
