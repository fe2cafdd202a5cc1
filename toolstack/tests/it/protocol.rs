//! What a client may send, and what it gets for the rest.

use jitsu_proto::{
    ClientFrame, ErrorCode, Hello, Request, Response, ServerFrame, TraceId, VERSION,
};

use crate::client::Client;
use crate::host::{Host, name};

/// Reads until the daemon hangs up.
fn hung_up(client: &mut Client) -> Vec<ServerFrame> {
    std::iter::from_fn(|| client.frame()).collect()
}

#[test]
fn whoever_breaks_the_protocol_is_cut() {
    let host = Host::fake();
    let request = ClientFrame::Request { id: 1, trace: TraceId(0), body: Box::new(Request::Info) };
    let mut early = Client::raw(&host.config.socket);
    early.send(&request);
    assert_eq!(hung_up(&mut early), []);
    let hostile: [&[u8]; 5] = [
        &[0xff; 64],
        &[0, 0, 0, 1, 0xc1],
        &[0, 0, 0, 4, 0x93, 0x93, 0x93, 0x93],
        &[0, 0, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in hostile {
        let mut client = Client::connect(&host.config.socket);
        client.send_bytes(bytes);
        assert_eq!(hung_up(&mut client), [], "{bytes:?}");
    }
    let mut twice = Client::connect(&host.config.socket);
    twice.send(&ClientFrame::Hello(Hello { version: VERSION, program: "again".to_owned() }));
    assert_eq!(hung_up(&mut twice), []);
    // And everybody else is served.
    assert!(matches!(host.client().ok(Request::Info), Response::Info(_)));
}

#[test]
fn another_version_is_told_ours_and_cut() {
    let host = Host::fake();
    let mut client = Client::raw(&host.config.socket);
    client.send(&ClientFrame::Hello(Hello { version: 99, program: "new".to_owned() }));
    let told = hung_up(&mut client);
    assert!(matches!(&told[..], [ServerFrame::Hello(hello)] if hello.version == VERSION));
}

#[test]
fn requests_are_bounded() {
    let host = Host::fake_limited(|config| config.limits.requests_max = 2);
    let mut client = host.client();
    let subscriptions = [(); 3].map(|()| client.begin(Request::Subscribe));
    let replies = subscriptions.map(|id| client.reply(id));
    assert_eq!(replies[0], Ok(Response::Subscribed));
    assert_eq!(replies[1], Ok(Response::Subscribed));
    assert_eq!(replies[2].as_ref().expect_err("refused").code, ErrorCode::Exhausted);
    client.send(&ClientFrame::Cancel { id: subscriptions[0] });
    client.send(&ClientFrame::Cancel { id: 4711 });
    assert!(matches!(client.ok(Request::Info), Response::Info(_)));
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let host = Host::fake();
    let mut client = host.client();
    let www = name("www");
    for request in [
        Request::Domain { name: www.clone() },
        Request::Spec { name: www.clone() },
        Request::Want { name: www.clone(), wanted: jitsu_proto::Wanted::Running, branch: None },
        Request::UndefineDomain { name: www.clone(), branch: None },
        Request::UndefineService { name: www.clone(), branch: None },
        Request::Console { name: www },
        Request::Show { rev: "nothing".to_owned() },
    ] {
        assert_eq!(client.refused(request).code, ErrorCode::NotFound);
    }
}
