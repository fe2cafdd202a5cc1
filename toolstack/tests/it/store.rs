//! A XenStore of a few lines, on the protocol of the library: enough for a toolstack.
//!
//! One map, no permissions. Transactions are what they say, without conflicts: whoever commits
//! wins. A write to `/test/released` is what the end of a domain is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};

use toolstack::xenstore::packet::{Decoder, Kind, PAYLOAD_BYTES_MAX};
use toolstack::xenstore::wire::{Answer, ErrorName, Reply, Request};
use toolstack::xenstore::{Client, Path, Place};

/// A write there says that some domain has ended.
const END: &str = "/test/released";
const RELEASED: &str = "@releaseDomain";

/// The daemon. It serves until the process ends.
pub(crate) struct Store {
    pub(crate) socket: PathBuf,
}

#[derive(Default)]
struct Shared {
    nodes: BTreeMap<String, Vec<u8>>,
    /// Who watches the ends of domains, and with which token.
    watching: Vec<(UnixStream, Vec<u8>)>,
}

impl Store {
    pub(crate) fn start(dir: &FilePath) -> Store {
        let socket = dir.join("xenstore");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let shared = Arc::new(Mutex::new(Shared::default()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.expect("a client"), shared.clone());
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Store { socket }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_to(Place::Socket(self.socket.clone())).expect("it is served")
    }

    /// Says that some domain has ended.
    pub(crate) fn release(&self) {
        self.client().write(END, "").expect("written");
    }
}

fn serve(mut stream: UnixStream, shared: &Mutex<Shared>) {
    let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        decoder.push(&bytes[..count]);
        while let Some(packet) = decoder.take().expect("a packet") {
            let (header, payload) = (packet.header, packet.payload);
            let request = Request::decode(header.kind, &payload).expect("a request");
            let mut shared = shared.lock().expect("nobody panicked");
            let mut out = Vec::new();
            let answer = answer(&mut shared, &request);
            answer.encode(request.kind(), header.req_id, header.tx_id, &mut out).expect("short");
            stream.write_all(&out).expect("the client reads");
            match request {
                Request::Watch { path, token } => {
                    tell(&stream, path, token);
                    if path.as_str() == RELEASED {
                        let stream = stream.try_clone().expect("a descriptor");
                        shared.watching.push((stream, token.to_vec()));
                    }
                }
                Request::Write { path, .. } if path.as_str() == END => {
                    let released = Path::new(RELEASED).expect("a path");
                    shared.watching.iter().for_each(|(to, token)| tell(to, released, token));
                }
                _ => {}
            }
        }
    }
}

fn tell(mut stream: &UnixStream, path: Path<'_>, token: &[u8]) {
    let mut out = Vec::new();
    Answer::Event { path, token }.encode(Kind::WatchEvent, 0, 0, &mut out).expect("short");
    // It may be gone, with its toolstack.
    let _ = stream.write_all(&out);
}

/// What is there stays borrowed, as replies borrow.
fn answer<'s>(shared: &'s mut Shared, request: &Request<'_>) -> Answer<'s> {
    let no_entry = || Answer::Error(ErrorName::NO_ENTRY);
    match request {
        Request::Read(path) => match shared.nodes.get(path.as_str()) {
            Some(value) => Answer::Reply(Reply::Value(value)),
            None => no_entry(),
        },
        Request::Directory(path) => {
            let below = format!("{path}/");
            let names = shared.nodes.keys().filter_map(|node| node.strip_prefix(&below));
            let names: BTreeSet<&str> = names.filter_map(|name| name.split('/').next()).collect();
            Answer::Reply(Reply::Names(names.into_iter().collect()))
        }
        Request::Write { path, value } => {
            shared.nodes.insert(path.as_str().to_owned(), value.to_vec());
            Answer::Reply(Reply::Done)
        }
        Request::TransactionStart => Answer::Reply(Reply::Transaction(1)),
        Request::TransactionEnd { commit: true }
        | Request::Watch { .. }
        | Request::Unwatch { .. } => Answer::Reply(Reply::Done),
        other => panic!("no toolstack asks {other:?}"),
    }
}
