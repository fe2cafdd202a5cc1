//! One sample of every message.
//!
//! The two `covered` functions name every variant, so that a new one cannot be forgotten here.

use std::collections::BTreeMap;

use jitsu_proto::*;

#[derive(Debug)]
pub(crate) enum Sample {
    Client(ClientFrame),
    Server(ServerFrame),
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn spec() -> DomainSpec {
    DomainSpec {
        address: Some("127.77.0.1".parse().expect("an address")),
        on_crash: OnCrash::Restart,
        ..DomainSpec::new(Guest::Command {
            argv: vec!["/bin/guest".to_owned(), "{address}".to_owned()],
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        })
    }
}

fn xen_spec() -> DomainSpec {
    let kernel = Guest::Kernel {
        image: "/boot/guest".to_owned(),
        ramdisk: Some("/boot/ramdisk".to_owned()),
        cmdline: "ip={address}".to_owned(),
        mode: Mode::Pvh,
    };
    DomainSpec {
        on_reboot: OnReboot::Destroy,
        vifs: vec![Vif {
            bridge: Some("xenbr0".to_owned()),
            mac: Some("00:16:3e:01:02:03".parse().expect("an address")),
            ip: Some("10.77.0.2".parse().expect("an address")),
            script: Some("vif-route".to_owned()),
        }],
        disks: vec![Disk {
            source: "/dev/vg/www".to_owned(),
            device: "xvda".to_owned(),
            read_only: true,
        }],
        keys: vec![Key { path: "rumprun/cfg".to_owned(), value: "{}".to_owned() }],
        ..DomainSpec::new(kernel)
    }
}

fn service() -> ServiceSpec {
    ServiceSpec {
        names: vec!["www.example.org".to_owned()],
        domain: Some(name("web")),
        listen: vec![Listen { on: "192.0.2.1:80".parse().expect("an address"), to: Some(8080) }],
        ready: Ready::Port(8080),
        proxy_protocol: Some(ProxyProtocol::V2),
        ..ServiceSpec::default()
    }
}

fn status() -> DomainStatus {
    DomainStatus {
        name: name("www"),
        wanted: Wanted::Running,
        state: DomainState::Running,
        address: Some("127.77.0.1".parse().expect("an address")),
        id: Some(4242),
        since_ms: 1_700_000_000_000,
        boots: 3,
        error: None,
        timing: Some(Timing { durable_us: 500, created_us: 700, unpaused_us: 900 }),
        version: 1_700_000_000_000_001,
    }
}

fn commit() -> Commit {
    Commit {
        id: "ab".repeat(32),
        parents: vec!["cd".repeat(32)],
        time_ms: 1_700_000_000_000,
        author: "uid=0 gid=0 pid=1".to_owned(),
        message: "want www running".to_owned(),
        fields: Fields::from([("method".to_owned(), "want".to_owned())]),
    }
}

fn changes() -> Vec<Change> {
    let change = |before, after| Change { path: "a/b".to_owned(), before, after };
    vec![
        change(None, Some(Value::Text("x".to_owned()))),
        change(Some(Value::Bytes(vec![255])), Some(Value::Counter(-3))),
        change(Some(Value::Register("r".to_owned())), Some(Value::Set(vec!["m".to_owned()]))),
        change(Some(Value::Directory), None),
    ]
}

fn requests() -> Vec<Request> {
    let branch = Some("stage".to_owned());
    let rev = || "main~1".to_owned();
    let all = vec![
        Request::Info,
        Request::DefineDomain { name: name("www"), spec: spec(), branch: None },
        Request::UndefineDomain { name: name("www"), branch: branch.clone() },
        Request::Want { name: name("www"), wanted: Wanted::Running, branch: None },
        Request::List,
        Request::Domain { name: name("www") },
        Request::DefineDomain { name: name("www"), spec: xen_spec(), branch: None },
        Request::Spec { name: name("www") },
        Request::AwaitKey { name: name("www"), key: "data/ready".to_owned() },
        Request::DefineService { name: name("www"), spec: service(), branch: branch.clone() },
        Request::UndefineService { name: name("www"), branch },
        Request::Services,
        Request::Record {
            name: name("www"),
            facts: Facts { questions: 1, connections: 2, refused: 3, boots: 4 },
        },
        Request::Console { name: name("www") },
        Request::Type { name: name("www"), bytes: b"ls\n".to_vec() },
        Request::Subscribe,
        Request::Log { rev: rev(), path: Some("domains".to_owned()), limit: 20, follow: true },
        Request::Show { rev: rev() },
        Request::Diff { from: rev(), to: "main".to_owned(), path: None },
        Request::Read { rev: rev(), path: String::new() },
        Request::Branches,
        Request::Fork { name: "stage".to_owned(), from: rev() },
        Request::DeleteBranch { name: "stage".to_owned() },
        Request::Edit {
            branch: "stage".to_owned(),
            edits: vec![
                Edit { path: "a".to_owned(), value: Some("1".to_owned()) },
                Edit { path: "b".to_owned(), value: None },
            ],
        },
        Request::Merge { from: "stage".to_owned(), into: "main".to_owned() },
        Request::Revert { rev: rev(), branch: "main".to_owned() },
        Request::Fetch { message: vec![1, 108] },
        Request::Push { message: vec![1, 116] },
    ];
    all.iter().for_each(covered_request);
    all
}

fn covered_request(request: &Request) {
    match request {
        Request::Info
        | Request::DefineDomain { .. }
        | Request::UndefineDomain { .. }
        | Request::Want { .. }
        | Request::List
        | Request::Domain { .. }
        | Request::Spec { .. }
        | Request::AwaitKey { .. }
        | Request::DefineService { .. }
        | Request::UndefineService { .. }
        | Request::Services
        | Request::Record { .. }
        | Request::Console { .. }
        | Request::Type { .. }
        | Request::Subscribe
        | Request::Log { .. }
        | Request::Show { .. }
        | Request::Diff { .. }
        | Request::Read { .. }
        | Request::Branches
        | Request::Fork { .. }
        | Request::DeleteBranch { .. }
        | Request::Edit { .. }
        | Request::Merge { .. }
        | Request::Revert { .. }
        | Request::Fetch { .. }
        | Request::Push { .. } => {}
    }
}

fn responses() -> Vec<Response> {
    let info = Info {
        program: "toolstack 0.1.0".to_owned(),
        hypervisor: "process".to_owned(),
        up_ms: 5,
        store: "/var/lib/toolstack".to_owned(),
        role: Role::Summon,
    };
    let entries = vec![
        Entry { name: "sub".to_owned(), value: None },
        Entry { name: "leaf".to_owned(), value: Some(Value::Text("x".to_owned())) },
    ];
    let all = vec![
        Response::Done,
        Response::Info(info),
        Response::Domain(status()),
        Response::Spec(DomainSpec::new(Guest::Hello { port: 8080, boot: Millis(200) })),
        Response::Domains(vec![status()]),
        Response::Services(vec![(name("www"), service(), Facts::default())]),
        Response::Commits(vec![commit()]),
        Response::Shown(commit(), changes()),
        Response::Changes(changes()),
        Response::Node(Node::Directory(entries)),
        Response::Branches(vec![Branch { name: "main".to_owned(), head: commit() }]),
        Response::Committed { head: commit(), changed: true },
        Response::Subscribed,
        Response::Said(vec![1, 116]),
    ];
    all.iter().for_each(covered_response);
    all
}

fn covered_response(response: &Response) {
    match response {
        Response::Done
        | Response::Info(_)
        | Response::Domain(_)
        | Response::Spec(_)
        | Response::Domains(_)
        | Response::Services(_)
        | Response::Commits(_)
        | Response::Shown(..)
        | Response::Changes(_)
        | Response::Node(_)
        | Response::Branches(_)
        | Response::Committed { .. }
        | Response::Subscribed
        | Response::Said(_) => {}
    }
}

fn events() -> Vec<Event> {
    let all = vec![
        Event::Domain(DomainStatus { error: Some("exit 1".to_owned()), timing: None, ..status() }),
        Event::DomainGone(name("www")),
        Event::Service(name("www"), service()),
        Event::ServiceGone(name("www")),
        Event::Ready,
        Event::Commit(commit()),
        Event::Console(b"hello\n".to_vec()),
        Event::End(RpcError::new(ErrorCode::Exhausted, "too slow")),
    ];
    all.iter().for_each(covered_event);
    all
}

fn covered_event(event: &Event) {
    match event {
        Event::Domain(_)
        | Event::DomainGone(_)
        | Event::Service(..)
        | Event::ServiceGone(_)
        | Event::Ready
        | Event::Commit(_)
        | Event::Console(_)
        | Event::End(_) => {}
    }
}

/// Every message, with a name for it.
pub(crate) fn samples() -> Vec<(String, Sample)> {
    let hello = || Hello { version: VERSION, program: "test".to_owned() };
    let mut all = vec![
        ("client-hello".to_owned(), Sample::Client(ClientFrame::Hello(hello()))),
        ("client-cancel".to_owned(), Sample::Client(ClientFrame::Cancel { id: 7 })),
        ("server-hello".to_owned(), Sample::Server(ServerFrame::Hello(hello()))),
    ];
    for (number, body) in requests().into_iter().enumerate() {
        let frame =
            ClientFrame::Request { id: 300, trace: TraceId(0xdead_beef), body: Box::new(body) };
        all.push((format!("request-{number}"), Sample::Client(frame)));
    }
    for (number, body) in responses().into_iter().enumerate() {
        let frame = ServerFrame::Reply { id: 300, body: Ok(body) };
        all.push((format!("response-{number}"), Sample::Server(frame)));
    }
    for (number, body) in events().into_iter().enumerate() {
        let frame = ServerFrame::Event { id: 300, body };
        all.push((format!("event-{number}"), Sample::Server(frame)));
    }
    let conflict = RpcError {
        conflicts: vec![Conflict {
            path: "a/b".to_owned(),
            base: None,
            ours: Some(Value::Text("1".to_owned())),
            theirs: Some(Value::Directory),
        }],
        ..RpcError::new(ErrorCode::Conflict, "they do not go together")
    };
    let frame = ServerFrame::Reply { id: 1, body: Err(conflict) };
    all.push(("refusal".to_owned(), Sample::Server(frame)));
    all
}
