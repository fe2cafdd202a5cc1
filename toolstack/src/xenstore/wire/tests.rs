//! The payloads of the protocol, row by row, and any bytes.

use proptest::prelude::*;

use super::super::packet::{Decoder, Header, PAYLOAD_BYTES_MAX, Packet};
use super::super::permission::Access;
use super::*;

fn path(text: &str) -> Path<'_> {
    Path::new(text).expect("a path")
}

/// The bytes of a packet: the four words of the header, then the payload.
fn bytes(words: [u32; 3], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    let mut bytes = Vec::new();
    words.into_iter().chain([length]).for_each(|word| bytes.extend(word.to_ne_bytes()));
    bytes.extend_from_slice(payload);
    bytes
}

fn long_value() -> Vec<u8> {
    let mut payload = b"/a\0".to_vec();
    payload.resize(PAYLOAD_BYTES_MAX, b'x');
    payload
}

#[test]
fn requests() {
    use Request::*;
    let permissions = vec![Permission::new(Access::None, 0), Permission::new(Access::Read, 5)];
    let long = long_value();
    let rows: Vec<(u32, &[u8], Request<'_>)> = vec![
        (0, b"print\0hello\0", Control(vec![b"print", b"hello"])),
        (1, b"/local/domain\0", Directory(path("/local/domain"))),
        (2, b"device/vif\0", Read(path("device/vif"))),
        (3, b"/\0", GetPerms(path("/"))),
        (4, b"/a\0tok en\0", Watch { path: path("/a"), token: b"tok en" }),
        (4, b"@releaseDomain\0\0", Watch { path: path("@releaseDomain"), token: b"" }),
        (5, b"/a\0\xff\0", Unwatch { path: path("/a"), token: b"\xff" }),
        (6, b"\0", TransactionStart),
        (7, b"T\0", TransactionEnd { commit: true }),
        (7, b"F\0", TransactionEnd { commit: false }),
        (8, b"5\x0018446744073709551615\x002\0", Introduce { domid: 5, frame: u64::MAX, port: 2 }),
        (9, b"5\0", Release { domid: 5 }),
        (10, b"32752\0", GetDomainPath { domid: 32752 }),
        (11, b"/a\0value", Write { path: path("/a"), value: b"value" }),
        (11, b"/a\0", Write { path: path("/a"), value: b"" }),
        (11, b"/a\0a\0b\0", Write { path: path("/a"), value: b"a\0b\0" }),
        (11, &long, Write { path: path("/a"), value: &long[3..] }),
        (12, b"/a/b\0", Mkdir(path("/a/b"))),
        (13, b"/a/b\0", Rm(path("/a/b"))),
        (14, b"/a\0n0\0r5\0", SetPerms { path: path("/a"), permissions }),
        (17, b"0\0", IsDomainIntroduced { domid: 0 }),
        (18, b"4294967295\0", Resume { domid: u32::MAX }),
        (19, b"6\x005\0", SetTarget { domid: 6, target: 5 }),
        (21, b"\0", ResetWatches),
        (22, b"/a\x004090\0", DirectoryPart { path: path("/a"), offset: 4090 }),
    ];
    for (kind, payload, request) in rows {
        assert_eq!(Request::decode(kind, payload).as_ref(), Ok(&request));
        assert_eq!(request.kind() as u32, kind);
        let mut out = b"before".to_vec();
        request.encode(7, 9, &mut out).expect("in bounds");
        assert_eq!(out, [b"before", &bytes([kind, 7, 9], payload)[..]].concat(), "{request:?}");
    }
}

#[test]
fn answers() {
    use Answer::*;
    let permissions = vec![Permission::new(Access::Both, 7)];
    let rows: Vec<(u32, &[u8], Answer<'_>)> = vec![
        (0, b"anything\0", Reply(super::Reply::Output(b"anything\0"))),
        (1, b"", Reply(super::Reply::Names(vec![]))),
        (1, b"0\0console\0", Reply(super::Reply::Names(vec!["0", "console"]))),
        (2, b"val\0ue", Reply(super::Reply::Value(b"val\0ue"))),
        (3, b"b7\0", Reply(super::Reply::Permissions(permissions))),
        (4, b"OK\0", Reply(super::Reply::Done)),
        (6, b"17\0", Reply(super::Reply::Transaction(17))),
        (10, b"/local/domain/5\0", Reply(super::Reply::DomainPath(path("/local/domain/5")))),
        (15, b"/a/b\0token\0", Event { path: path("/a/b"), token: b"token" }),
        (16, b"EAGAIN\0", Error(ErrorName::AGAIN)),
        (16, b"EQUOTA\0", Error(ErrorName("EQUOTA".into()))),
        (17, b"F\0", Reply(super::Reply::Introduced(false))),
        (
            22,
            b"812\0a\0b\0",
            Reply(super::Reply::Part { generation: 812, names: vec!["a", "b"], is_last: false }),
        ),
        (
            22,
            b"812\0b\0\0",
            Reply(super::Reply::Part { generation: 812, names: vec!["b"], is_last: true }),
        ),
        (
            22,
            b"812\0\0",
            Reply(super::Reply::Part { generation: 812, names: vec![], is_last: true }),
        ),
    ];
    for (kind, payload, answer) in rows {
        assert_eq!(Answer::decode(kind, payload).as_ref(), Ok(&answer));
        let asked = if matches!(answer, Reply(_)) { Kind::new(kind) } else { Ok(Kind::Mkdir) };
        let mut out = Vec::new();
        answer.encode(asked.expect("known"), 7, 9, &mut out).expect("in bounds");
        assert_eq!(out, bytes([kind, 7, 9], payload), "{answer:?}");
    }
}

#[test]
fn what_is_refused_and_in_which_words() {
    let rows: [(u32, &[u8], &str); 23] = [
        (0, b"", "the payload of CONTROL is not a command"),
        (2, b"/a", "the payload of READ is not strings with a NUL after each"),
        (2, b"", "the payload of READ is not one path"),
        (2, b"/a\0/b\0", "the payload of READ is not one path"),
        (2, b"\0", "the path of READ: it is empty"),
        (2, b"/a b\0", "the path of READ: byte 2 is 0x20; allowed are letters, digits and -/_@"),
        (4, b"/a\0", "the payload of WATCH is not a path and a token"),
        (6, b"", "the payload of TRANSACTION_START is not one NUL"),
        (7, b"T", "the payload of TRANSACTION_END is not T or F"),
        (7, b"t\0", "the payload of TRANSACTION_END is not T or F"),
        (8, b"5\x001\0", "the payload of INTRODUCE is not a domid, a frame and a port"),
        (8, b"5\0-1\x002\0", "the payload of INTRODUCE is not a number where one belongs"),
        (9, b"007\0", "the payload of RELEASE is not a number where one belongs"),
        (9, b"\0", "the payload of RELEASE is not a number where one belongs"),
        (9, b"4294967296\0", "the payload of RELEASE is not a number where one belongs"),
        (11, b"/a", "the payload of WRITE is not a path, a NUL and a value"),
        (14, b"/a\0", "the payload of SET_PERMS is not a path and permissions"),
        (14, b"/a\0x5\0", "the payload of SET_PERMS is not permissions, as r5"),
        (15, b"/a\0t\0", "a packet of type 15, which is not expected"),
        (16, b"EIO\0", "a packet of type 16, which is not expected"),
        (20, b"\0", "a packet of type 20, which is not expected"),
        (23, b"\0", "a packet of type 23, which is not expected"),
        (65535, b"\0", "a packet of type 65535, which is not expected"),
    ];
    for (kind, payload, words) in rows {
        assert_eq!(Request::decode(kind, payload).expect_err(words).to_string(), words);
    }
    let rows: [(u32, &[u8], &str); 7] = [
        (1, b"a/b\0", "the payload of DIRECTORY is not names of nodes"),
        (1, b"a\0\0", "the payload of DIRECTORY is not names of nodes"),
        (11, b"OK", "the payload of WRITE is not OK"),
        (16, b"oops\0", "the payload of ERROR is not the name of an error"),
        (16, b"E\0", "the payload of ERROR is not the name of an error"),
        (22, b"", "the payload of DIRECTORY_PART is not a generation and names"),
        (15, b"/a\0", "the payload of WATCH_EVENT is not a path and a token"),
    ];
    for (kind, payload, words) in rows {
        assert_eq!(Answer::decode(kind, payload).expect_err(words).to_string(), words);
    }
}

#[test]
fn what_is_too_long_is_never_sent() {
    let long = long_value();
    let value = [&long[3..], b"x"].concat();
    let mut out = b"before".to_vec();
    let refused = Request::Write { path: path("/a"), value: &value }.encode(1, 0, &mut out);
    assert_eq!(refused, Err(WireError::Long { bytes: 4097, max: 4096 }));
    assert_eq!(out, b"before");
}

#[test]
fn a_stream_is_cut_wherever_it_is_torn() {
    let mut stream = bytes([2, 1, 0], b"/a\0");
    stream.extend(bytes([16, 2, 3], &[b'x'; PAYLOAD_BYTES_MAX]));
    stream.extend(bytes([99, 4, 0], b""));
    for size in [1, 7, 16, 17, 5000] {
        let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
        let mut seen = Vec::new();
        for piece in stream.chunks(size) {
            decoder.push(piece);
            while let Some(Packet { header, payload }) = decoder.take().expect("in bounds") {
                seen.push((header, payload.len()));
            }
        }
        let header = |kind, req_id, tx_id| Header { kind, req_id, tx_id };
        let expected = [(header(2, 1, 0), 3), (header(16, 2, 3), 4096), (header(99, 4, 0), 0)];
        assert_eq!(seen, expected, "in pieces of {size}");
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_at_its_header() {
    let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
    decoder.push(&bytes([11, 1, 0], &[0; PAYLOAD_BYTES_MAX + 1])[..HEADER]);
    assert_eq!(decoder.take(), Err(WireError::Long { bytes: 4097, max: 4096 }));
}

const HEADER: usize = 16;

/// Bytes of which many are payloads that mean something.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\0".to_owned()),
        Just("OK\0".to_owned()),
        Just("T\0".to_owned()),
        "/[a-z@]{1,3}(/[a-z]{1,3}){0,2}\0?",
        "[@a-z]{1,3}\0",
        "[nrwbE]?[0-9]{1,11}\0",
        "E[A-Z0-9]{1,8}\0",
    ];
    let meaningful = proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    let any = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![4 => meaningful.prop_map(String::into_bytes), 1 => any]
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_round_trip(kind in 0_u32..24, payload in payloads()) {
        let mut out = Vec::new();
        if let Ok(request) = Request::decode(kind, &payload) {
            request.encode(1, 2, &mut out).expect("it came in a packet");
            prop_assert_eq!(&out[HEADER..], &payload[..]);
            out.clear();
        }
        if let Ok(answer) = Answer::decode(kind, &payload) {
            let asked = Kind::new(kind).expect("it was decoded");
            answer.encode(asked, 1, 2, &mut out).expect("it came in a packet");
            prop_assert_eq!(&out[HEADER..], &payload[..]);
        }
    }
}
