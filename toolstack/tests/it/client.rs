//! A client that blocks, with a deadline on everything it waits for.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use jitsu_proto::{
    ClientFrame, Decoder, DomainStatus, Event, Hello, Request, Response, RpcError, ServerFrame,
    TraceId, VERSION, Wanted, encode,
};

use crate::host::name;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    last_id: u64,
    /// Events that came while a reply was waited for.
    events: Vec<(u64, Event)>,
    replies: Vec<(u64, Result<Response, RpcError>)>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Client {
        let mut client = Client::raw(socket);
        let hello = Hello { version: VERSION, program: "test".to_owned() };
        client.send(&ClientFrame::Hello(hello));
        match client.frame() {
            Some(ServerFrame::Hello(hello)) => assert_eq!(hello.version, VERSION),
            other => panic!("no hello, but {other:?}"),
        }
        client
    }

    /// A connection on which nothing was said.
    pub(crate) fn raw(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).expect("the socket is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client {
            stream,
            decoder: Decoder::new(),
            last_id: 0,
            events: Vec::new(),
            replies: Vec::new(),
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        // The other side may have hung up already: then reading tells.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn send(&mut self, frame: &ClientFrame) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes).expect("it can be encoded");
        self.send_bytes(&bytes);
    }

    /// The next frame. None: the other side has hung up.
    pub(crate) fn frame(&mut self) -> Option<ServerFrame> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.take().expect("a frame that is right") {
                return Some(frame);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub(crate) fn begin(&mut self, body: Request) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&ClientFrame::Request { id, trace: TraceId(0xabc), body: Box::new(body) });
        id
    }

    pub(crate) fn reply(&mut self, id: u64) -> Result<Response, RpcError> {
        if let Some(at) = self.replies.iter().position(|(other, _)| *other == id) {
            return self.replies.remove(at).1;
        }
        loop {
            match self.frame().expect("the connection stays") {
                ServerFrame::Reply { id: other, body } if other == id => return body,
                ServerFrame::Reply { id, body } => self.replies.push((id, body)),
                ServerFrame::Event { id, body } => self.events.push((id, body)),
                ServerFrame::Hello(_) => panic!("a second hello"),
            }
        }
    }

    pub(crate) fn event(&mut self, id: u64) -> Event {
        if let Some(at) = self.events.iter().position(|(other, _)| *other == id) {
            return self.events.remove(at).1;
        }
        loop {
            match self.frame().expect("the connection stays") {
                ServerFrame::Event { id: other, body } if other == id => return body,
                ServerFrame::Event { id, body } => self.events.push((id, body)),
                ServerFrame::Reply { id, body } => self.replies.push((id, body)),
                ServerFrame::Hello(_) => panic!("a second hello"),
            }
        }
    }

    pub(crate) fn ask(&mut self, body: Request) -> Result<Response, RpcError> {
        let id = self.begin(body);
        self.reply(id)
    }

    pub(crate) fn ok(&mut self, body: Request) -> Response {
        let shown = format!("{body:?}");
        self.ask(body).unwrap_or_else(|error| panic!("{shown}: {error:?}"))
    }

    pub(crate) fn refused(&mut self, body: Request) -> RpcError {
        let shown = format!("{body:?}");
        self.ask(body).map(|ok| panic!("{shown} was not refused: {ok:?}")).unwrap_err()
    }

    pub(crate) fn want(&mut self, domain: &str, wanted: Wanted) -> Result<DomainStatus, RpcError> {
        let request = Request::Want { name: name(domain), wanted, branch: None };
        self.ask(request).map(|response| match response {
            Response::Domain(status) => status,
            other => panic!("not a domain: {other:?}"),
        })
    }

    pub(crate) fn status(&mut self, domain: &str) -> DomainStatus {
        match self.ok(Request::Domain { name: name(domain) }) {
            Response::Domain(status) => status,
            other => panic!("not a domain: {other:?}"),
        }
    }

    pub(crate) fn log(&mut self, rev: &str, path: Option<&str>) -> Vec<jitsu_proto::Commit> {
        let path = path.map(str::to_owned);
        match self.ok(Request::Log { rev: rev.to_owned(), path, limit: 1000, follow: false }) {
            Response::Commits(commits) => commits,
            other => panic!("no commits: {other:?}"),
        }
    }

    /// The first `count` commits of a branch, oldest first, as soon as there are so many.
    pub(crate) fn log_of(&mut self, branch: &str, count: usize) -> Vec<jitsu_proto::Commit> {
        let rev = branch.to_owned();
        let id = self.begin(Request::Log { rev, path: None, limit: 1000, follow: true });
        let mut commits = match self.reply(id) {
            Ok(Response::Commits(commits)) => commits,
            other => panic!("no commits: {other:?}"),
        };
        commits.reverse();
        while commits.len() < count {
            match self.event(id) {
                Event::Commit(commit) => commits.push(commit),
                other => panic!("no commit: {other:?}"),
            }
        }
        self.send(&ClientFrame::Cancel { id });
        commits
    }

    /// Waits for an event that `is` the one, of subscription `id`.
    pub(crate) fn until(&mut self, id: u64, is: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event(id);
            if is(&event) {
                return event;
            }
        }
    }
}
