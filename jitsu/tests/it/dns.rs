//! DNS: packets in, packets out.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{DNSClass, Name as DnsName, RecordType};
use jitsu_proto::{ErrorCode, Front, Listen, Millis, RpcError, ServiceSpec, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::toolstack::Start;
use crate::world::{PATIENCE, World, guest, name, service};

fn question(asked: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut asked = DnsName::from_ascii(asked).expect("a name");
    asked.set_fqdn(true);
    message.add_query(Query::query(asked, kind));
    message
}

async fn udp_bytes(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.send_to(bytes, to).await.expect("sent");
    let mut answer = vec![0; 4096];
    let count = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("an answer").expect("one");
    answer.truncate(count);
    answer
}

async fn udp(to: SocketAddr, message: &Message) -> Message {
    let answer = udp_bytes(to, &message.to_vec().expect("a message")).await;
    Message::from_vec(&answer).expect("a message")
}

async fn tcp(to: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    let bytes = message.to_vec().expect("a message");
    let length = u16::try_from(bytes.len()).expect("it is short");
    stream.write_all(&length.to_be_bytes()).await.expect("sent");
    stream.write_all(&bytes).await.expect("sent");
    let length = timeout(PATIENCE, stream.read_u16()).await.expect("an answer").expect("one");
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.expect("the whole answer");
    Message::from_vec(&answer).expect("a message")
}

/// An answer in a line: its code, its flags, its records without their names.
fn words(answer: &Message) -> String {
    assert_eq!(answer.metadata.id, 4711);
    let meta = &answer.metadata;
    let mut text = format!("{:?}", meta.response_code);
    for (flag, set) in
        [("aa", meta.authoritative), ("tc", meta.truncation), ("ra", meta.recursion_available)]
    {
        if set {
            text.push_str(&format!(" {flag}"));
        }
    }
    for (section, records) in [("", &answer.answers), ("authority ", &answer.authorities)] {
        for record in records {
            text.push_str(&format!(
                "; {section}{} {} {}",
                record.record_type(),
                record.ttl,
                record.data
            ));
        }
    }
    text
}

async fn world(spec: ServiceSpec, start: Start) -> (World, SocketAddr) {
    let wild = ServiceSpec {
        names: vec!["*.wild.example.org".to_owned()],
        listen: vec![Listen { on: "0.0.0.0:0".parse().expect("an address"), to: Some(1) }],
        ..service(1)
    };
    let world = World::new(spec, vec![(name("wild"), wild)], start).await;
    let dns = world.serve.dns_addresses()[0];
    (world, dns)
}

#[tokio::test]
async fn every_kind_of_question_has_its_answer() {
    let spec =
        ServiceSpec { ttl: Millis::from_secs(90), idle: Millis::from_secs(20), ..service(1) };
    let (world, dns) = world(spec, Start::Hangs).await;
    let soa = "authority SOA 7 ns.example.org. hostmaster.example.org.";
    let IpAddr::V4(front) = world.front.ip() else { panic!("the front has IPv4") };
    let [a, b, c, d] = front.octets();
    let pointer = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    let table = [
        ("www.example.org", RecordType::A, format!("NoError aa; A 20 {}", world.front.ip())),
        ("WwW.eXample.ORG", RecordType::A, format!("NoError aa; A 20 {}", world.front.ip())),
        ("www.example.org", RecordType::AAAA, format!("NoError aa; {soa}")),
        ("www.example.org", RecordType::MX, format!("NoError aa; {soa}")),
        ("any.wild.example.org", RecordType::A, "NoError aa; A 30 192.0.2.9".to_owned()),
        ("wild.example.org", RecordType::A, format!("NoError aa; {soa}")),
        ("nothing.example.org", RecordType::A, format!("NXDomain aa; {soa}")),
        ("example.org", RecordType::NS, "NoError aa; NS 7 ns.example.org.".to_owned()),
        (
            "example.org",
            RecordType::SOA,
            "NoError aa; SOA 7 ns.example.org. hostmaster.example.org.".to_owned(),
        ),
        ("ns.example.org", RecordType::A, "NoError aa; A 7 192.0.2.9".to_owned()),
        (&pointer, RecordType::PTR, "NoError aa; PTR 7 www.example.org.".to_owned()),
        (
            "9.0.0.127.in-addr.arpa",
            RecordType::PTR,
            "NXDomain aa; authority SOA 7 ns.127.in-addr.arpa.".to_owned(),
        ),
        ("example.net", RecordType::A, "Refused".to_owned()),
    ];
    for (asked, kind, expected) in table {
        let question = question(asked, kind);
        for answer in [udp(dns, &question).await, tcp(dns, &question).await] {
            let words = words(&answer);
            assert!(words.starts_with(&expected), "{asked} {kind}: {words}, not {expected}");
            let name = answer.queries[0].name().to_ascii();
            assert_eq!(name, format!("{asked}."), "the question is given back as it was asked");
            if let Some(record) = answer.answers.first() {
                assert_eq!(record.name.to_ascii(), name);
            }
        }
    }
    drop(world);
}

#[tokio::test]
async fn what_is_no_question_is_refused_by_its_code() {
    let (_world, dns) = world(service(1), Start::Hangs).await;
    let mut notify = question("example.org", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(words(&udp(dns, &notify).await), "NotImp");
    let mut chaos = question("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(words(&udp(dns, &chaos).await), "Refused");
    let mut newer = question("www.example.org", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.edns = Some(edns);
    // BADVERS and BADSIG are one number, in different records (RFC 6895 §2.3).
    assert_eq!(u16::from(udp(dns, &newer).await.metadata.response_code), 16);
}

#[tokio::test]
async fn edns_is_answered_with_edns() {
    let (_world, dns) = world(service(1), Start::Hangs).await;
    let mut asked = question("www.example.org", RecordType::A);
    assert!(udp(dns, &asked).await.edns.is_none());
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    asked.edns = Some(edns);
    let answer = udp(dns, &asked).await.edns.expect("an OPT record");
    assert_eq!((answer.version(), answer.max_payload()), (0, 1232));
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let on = |last: u8| SocketAddr::from(([127, 0, 1, last], 0));
    let spec = ServiceSpec {
        listen: (1..60).map(|last| Listen { on: on(last), to: Some(1) }).collect(),
        ..service(1)
    };
    let (_world, dns) = world(spec, Start::Hangs).await;
    let asked = question("www.example.org", RecordType::A);
    let cut = udp(dns, &asked).await;
    assert!(cut.metadata.truncation && cut.answers.len() < 59, "{}", cut.answers.len());
    let whole = tcp(dns, &asked).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 59);
}

#[tokio::test]
async fn a_question_for_an_address_wakes_and_no_other_does() {
    let (mut world, dns) = world(service(1), Start::Hangs).await;
    for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT] {
        udp(dns, &question("www.example.org", kind)).await;
    }
    assert_eq!(world.serve.shell().phase(&name("www")), Some("asleep"));
    udp(dns, &question("www.example.org", RecordType::A)).await;
    assert_eq!(world.wanted().await, ("www".to_owned(), Wanted::Running));
}

#[tokio::test]
async fn a_direct_front_names_the_guest_when_it_is_ready() {
    let (early, address) = guest().await;
    drop(early);
    let spec = ServiceSpec { front: Front::Direct, listen: Vec::new(), ..service(address.port()) };
    let (mut world, dns) = world(spec, Start::Runs(address.ip())).await;
    let asked =
        tokio::spawn(async move { udp(dns, &question("www.example.org", RecordType::A)).await });
    assert_eq!(world.wanted().await, ("www".to_owned(), Wanted::Running));
    assert!(!asked.is_finished(), "the guest is not ready");
    let _guest = tokio::net::TcpListener::bind(address).await.expect("the guest is up");
    let answer = asked.await.expect("no panic");
    assert_eq!(words(&answer), format!("NoError aa; A 30 {}", address.ip()));
    let other = udp(dns, &question("www.example.org", RecordType::AAAA)).await;
    assert!(words(&other).starts_with("NoError aa; authority SOA"), "{}", words(&other));
}

#[tokio::test]
async fn a_failed_boot_is_servfail_and_never_an_empty_answer() {
    let error = RpcError::new(ErrorCode::Hypervisor, "no such image");
    let spec = ServiceSpec { front: Front::Direct, listen: Vec::new(), ..service(1) };
    let (world, dns) = world(spec, Start::Fails(error)).await;
    assert_eq!(words(&udp(dns, &question("www.example.org", RecordType::A)).await), "ServFail");
    drop(world);
}

#[tokio::test]
async fn rubbish_does_not_hurt() {
    let (world, dns) = world(service(1), Start::Hangs).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let right = question("www.example.org", RecordType::A).to_vec().expect("a message");
    for length in 0..right.len() {
        socket.send_to(&right[..length], dns).await.expect("sent");
        let mut wrong = right.clone();
        wrong[length] ^= 0xff;
        socket.send_to(&wrong, dns).await.expect("sent");
    }
    assert_eq!(
        words(&udp(dns, &question("www.example.org", RecordType::A)).await),
        format!("NoError aa; A 30 {}", world.front.ip())
    );
}

#[tokio::test]
async fn before_the_toolstack_is_heard_no_name_is_denied() {
    let folder = tempfile::tempdir().expect("a folder");
    let zone = jitsu::config::ZoneConfig {
        name: "example.org".to_owned(),
        ns: Vec::new(),
        hostmaster: None,
        negative_ttl: Millis::from_secs(7),
    };
    let config = jitsu::config::Config {
        toolstack: folder.path().join("none"),
        dns: jitsu::config::DnsConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            ..jitsu::config::DnsConfig::default()
        },
        zones: vec![zone],
        ..jitsu::config::Config::default()
    };
    let passed = jitsu_daemon::sockets::Passed::default();
    let serve = jitsu::serve::Serve::start(config, passed).await.expect("it starts");
    let dns = serve.dns_addresses()[0];
    assert_eq!(words(&udp(dns, &question("www.example.org", RecordType::A)).await), "ServFail");
    let apex = udp(dns, &question("example.org", RecordType::NS)).await;
    assert_eq!(words(&apex), "NoError aa; NS 7 ns.example.org.");
}

#[tokio::test]
async fn names_of_others_are_forwarded_where_that_is_configured() {
    let (_upstream, upstream_dns) = world(service(1), Start::Hangs).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = jitsu::config::Config {
        toolstack: folder.path().join("none"),
        dns: jitsu::config::DnsConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            others: jitsu::config::Others::Forward,
            resolvers: vec![upstream_dns],
            announce: Vec::<IpAddr>::new(),
        },
        ..jitsu::config::Config::default()
    };
    let passed = jitsu_daemon::sockets::Passed::default();
    let serve = jitsu::serve::Serve::start(config, passed).await.expect("it starts");
    let dns = serve.dns_addresses()[0];
    let found = udp(dns, &question("www.example.org", RecordType::A)).await;
    assert!(words(&found).starts_with("NoError ra; A "), "{}", words(&found));
    let missing = udp(dns, &question("nothing.example.org", RecordType::A)).await;
    assert!(words(&missing).starts_with("NXDomain ra; authority SOA"), "{}", words(&missing));
    let mut local = question("www.example.org", RecordType::A);
    local.metadata.recursion_desired = false;
    assert_eq!(words(&udp(dns, &local).await), "Refused ra", "who does not ask for it gets none");
}
