//! Against a daemon of a few lines that answers as it is told, with the same packets.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::super::packet::Decoder;
use super::*;

/// What the daemon does with a request: the answers it sends. None: it closes the connection.
type Answers = Option<Vec<Said>>;

/// One thing that the daemon sends.
enum Said {
    Packet(Answer<'static>),
    /// For the last request but this many.
    Earlier(usize, Answer<'static>),
    Bytes(Vec<u8>),
}

struct Daemon {
    place: Place,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// Serves `connections` connections, one after the other.
fn daemon(
    connections: usize,
    mut answer: impl FnMut(u32, &Request<'_>) -> Answers + Send + 'static,
) -> Daemon {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let serving = std::thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().expect("a client");
            serve(stream, &mut answer);
        }
    });
    Daemon { place: Place::Socket(socket), serving, _folder: folder }
}

fn serve(mut stream: UnixStream, answer: &mut impl FnMut(u32, &Request<'_>) -> Answers) {
    let mut decoder = Decoder::new(4096);
    let mut asked = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        while let Some(packet) = decoder.take().expect("the client keeps to the protocol") {
            let request = Request::decode(packet.header.kind, &packet.payload);
            let request = request.expect("the client keeps to the protocol");
            asked.push((request.kind(), packet.header));
            let Some(answers) = answer(packet.header.tx_id, &request) else { return };
            let mut out = Vec::new();
            for said in answers {
                let (back, said) = match said {
                    Said::Packet(said) => (0, said),
                    Said::Earlier(back, said) => (back, said),
                    Said::Bytes(bytes) => {
                        out.extend(bytes);
                        continue;
                    }
                };
                let (kind, header) = asked[asked.len() - 1 - back];
                said.encode(kind, header.req_id, header.tx_id, &mut out).expect("short");
            }
            stream.write_all(&out).expect("the client reads");
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(count) => decoder.push(&bytes[..count]),
        }
    }
}

fn said(reply: Reply<'static>) -> Said {
    Said::Packet(Answer::Reply(reply))
}

fn refused(name: &'static str) -> Said {
    let name = ErrorName::from_bytes(name.as_bytes()).expect("a name");
    Said::Packet(Answer::Error(name))
}

fn event() -> Said {
    let path = Path::new("/any").expect("a path");
    Said::Packet(Answer::Event { path, token: b"token" })
}

#[test]
fn events_may_come_at_any_point() {
    let daemon =
        daemon(1, |_, _| Some(vec![event(), said(Reply::Value(b"here")), event(), event()]));
    let client = Client::connect_to(daemon.place).expect("it is there");
    for _ in 0..3 {
        assert_eq!(client.read("/a").expect("an answer"), b"here");
    }
    drop(client);
    daemon.serving.join().expect("nothing went wrong");
}

#[test]
fn what_goes_wrong_is_told_with_the_place() {
    let gone = Place::Socket("/nonexistent/socket".into());
    let error = Client::connect_to(gone).err().expect("nobody there").to_string();
    let words = "the XenStore at /nonexistent/socket: it cannot be reached: No such file";
    assert!(error.starts_with(words), "{error}");

    let bytes = |words: [u32; 4]| words.into_iter().flat_map(u32::to_ne_bytes).collect::<Vec<_>>();
    let long = bytes([2, 0, 0, u32::MAX]);
    let strange = bytes([2, 4711, 0, 0]);
    let rows: Vec<(Answers, &str)> = vec![
        (None, "it closed the connection"),
        (
            Some(vec![Said::Bytes(long)]),
            "it sent what makes no sense: a payload of 4294967295 bytes; at most 1048576 are allowed",
        ),
        (
            Some(vec![Said::Bytes(strange)]),
            "it sent an answer to request 4711, which was not asked",
        ),
    ];
    for (answers, words) in rows {
        let mut answers = Some(answers);
        let daemon = daemon(1, move |_, _| answers.take().expect("asked once"));
        let client = Client::connect_to(daemon.place.clone()).expect("it is there");
        let error = client.read("/a").expect_err(words).to_string();
        assert_eq!(error, format!("the XenStore at {}: {words}", daemon.place));
        drop(client);
        daemon.serving.join().expect("nothing went wrong");
    }
}

#[test]
fn refusals_name_what_was_asked() {
    let daemon = daemon(1, |_, _| Some(vec![refused("EACCES")]));
    let client = Client::connect_to(daemon.place).expect("it is there");
    let error = |result: Result<(), ClientError>| result.expect_err("refused").to_string();
    let release = error(client.release(5));
    assert_eq!(release, "the XenStore refused RELEASE 5: EACCES");
    let write = error(client.write("/a/b", "value"));
    assert_eq!(write, "the XenStore refused WRITE /a/b: EACCES");
    let path = error(client.write("/a b", "value"));
    let words = "\"/a b\" is no path of the XenStore: byte 2 is 0x20; allowed are letters, digits \
                 and -/_@";
    assert_eq!(path, words);
    let long = error(client.write("/a", [0; 4094]));
    assert_eq!(long, "WRITE /a: a payload of 4097 bytes; at most 4096 are allowed");
}

#[test]
fn after_a_loss_the_next_request_connects_again_and_an_old_transaction_does_not() {
    let mut closes = [true, false].into_iter();
    let daemon = daemon(2, move |_, request| match request {
        Request::TransactionStart => Some(vec![said(Reply::Transaction(1))]),
        Request::Read(_) => {
            (!closes.next().expect("two reads")).then(|| vec![said(Reply::Value(b"here"))])
        }
        // Of a transaction that this connection does not have: it would be another's.
        other => panic!("{other:?}"),
    });
    let client = Client::connect_to(daemon.place).expect("it is there");
    let error = client
        .transaction(|transaction| {
            assert!(client.read("/a").is_err(), "the connection is closed under it");
            assert_eq!(client.read("/a")?, b"here");
            transaction.write("/a", "value")
        })
        .expect_err("its connection is gone");
    assert!(error.to_string().ends_with("it closed the connection"), "{error}");
    drop(client);
    daemon.serving.join().expect("nothing of the transaction was sent");
}

#[test]
fn a_transaction_is_sent_at_once_and_done_anew() {
    let (seen, all) = mpsc::channel();
    let mut commits = 0;
    let daemon = daemon(1, move |tx_id, request| {
        seen.send((tx_id, request.kind())).expect("the test waits");
        Some(match request {
            Request::TransactionStart => vec![said(Reply::Transaction(40 + commits))],
            Request::TransactionEnd { commit: true } => {
                commits += 1;
                vec![if commits < 3 { refused("EAGAIN") } else { said(Reply::Done) }]
            }
            // Not in the order they were asked in.
            Request::Write { value: b"first", .. } => vec![],
            Request::Write { value: b"second", .. } => {
                let done = || Answer::Reply(Reply::Done);
                vec![Said::Packet(done()), Said::Earlier(1, done())]
            }
            other => panic!("{other:?}"),
        })
    });
    let client = Client::connect_to(daemon.place).expect("it is there");
    let mut tries = 0;
    let done: Result<u32, ClientError> = client.transaction(|transaction| {
        tries += 1;
        transaction.write("/a", "first")?;
        transaction.write("/b", "second")?;
        Ok(tries)
    });
    assert_eq!(done.expect("the third try commits"), 3);
    drop(client);
    daemon.serving.join().expect("nothing went wrong");
    let expected = [40, 41, 42].into_iter().flat_map(|id| {
        let kinds = [Kind::TransactionStart, Kind::Write, Kind::Write, Kind::TransactionEnd];
        kinds.map(|kind| (if kind == Kind::TransactionStart { 0 } else { id }, kind))
    });
    assert_eq!(all.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn a_transaction_that_is_refused_is_dropped_and_says_where() {
    let (seen, all) = mpsc::channel();
    let daemon = daemon(1, move |_, request| {
        Some(vec![match request {
            Request::TransactionStart => said(Reply::Transaction(1)),
            Request::Write { path, .. } if path.as_str() == "/b" => refused("ENOSPC"),
            Request::TransactionEnd { commit } => {
                seen.send(*commit).expect("the test waits");
                said(Reply::Done)
            }
            _ => said(Reply::Done),
        }])
    });
    let client = Client::connect_to(daemon.place).expect("it is there");
    let error = client
        .transaction(|transaction| {
            ["/a", "/b", "/c"].iter().try_for_each(|path| transaction.write(path, "value"))
        })
        .expect_err("no room");
    assert_eq!(error.to_string(), "the XenStore refused WRITE /b: ENOSPC");
    assert_eq!(all.try_iter().collect::<Vec<_>>(), [false]);
}

#[test]
fn a_transaction_is_given_up_after_a_number_of_tries() {
    let daemon = daemon(1, |_, request| {
        Some(vec![match request {
            Request::TransactionStart => said(Reply::Transaction(1)),
            _ => refused("EAGAIN"),
        }])
    });
    let client = Client::connect_to(daemon.place).expect("it is there");
    let error: ClientError = client.transaction(|_| Ok(())).expect_err("never");
    let words = "a transaction of the XenStore was tried 300 times: others always came between";
    assert_eq!(error.to_string(), words);
}

#[test]
fn a_long_list_comes_in_parts_and_anew_when_it_changed() {
    let mut generation = 1;
    let daemon = daemon(1, move |_, request| {
        let part =
            |generation, names, is_last| vec![said(Reply::Part { generation, names, is_last })];
        Some(match request {
            Request::Directory(_) => vec![refused("E2BIG")],
            Request::DirectoryPart { offset: 0, .. } => part(generation, vec!["a", "bc"], false),
            Request::DirectoryPart { offset: 5, .. } if generation == 1 => {
                generation = 2;
                part(2, vec!["wrong"], true)
            }
            Request::DirectoryPart { offset: 5, .. } => part(2, vec!["def"], true),
            other => panic!("{other:?}"),
        })
    });
    let client = Client::connect_to(daemon.place).expect("it is there");
    assert_eq!(client.directory("/a").expect("in the end"), ["a", "bc", "def"]);
}
