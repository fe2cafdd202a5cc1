//! Domains from their definition to their end, as processes.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

use jitsu_proto::{
    DomainState, ErrorCode, Event, Guest, Millis, OnCrash, Request, Response, Wanted,
};

use crate::client::{Client, PATIENCE};
use crate::host::{Host, command, define, hello, name};

/// One HTTP request to a guest that listens, or is about to.
fn get(address: IpAddr) -> String {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect((address, 8080)) {
            Ok(stream) => break stream,
            Err(error) => {
                assert!(begun.elapsed() < PATIENCE, "{address} never listened: {error}");
                std::thread::yield_now();
            }
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn a_guest_is_started_reached_and_stopped() {
    let host = Host::processes();
    let mut client = host.client();
    assert_eq!(client.ok(define("www", hello())), Response::Done);
    let status = client.want("www", Wanted::Running).expect("it runs");
    assert_eq!(status.state, DomainState::Running);
    assert_eq!(status.wanted, Wanted::Running);
    let timing = status.timing.expect("a start has a timing");
    assert!(timing.unpaused_us >= timing.durable_us && timing.unpaused_us >= timing.created_us);
    let page = get(status.address.expect("an address"));
    assert!(page.contains("Hello from www.") && page.contains("requests: 1"), "{page}");

    let status = client.want("www", Wanted::Absent).expect("it goes");
    assert_eq!((status.state, status.id), (DomainState::Absent, None));

    let log = client.log_of("domain/www", 6);
    let told: Vec<_> = log
        .iter()
        .map(|commit| (commit.fields["method"].as_str(), commit.fields["phase"].as_str()))
        .collect();
    let twice = |method| [(method, "asked"), (method, "done")];
    assert_eq!(told, [twice("define"), twice("want"), twice("want")].concat());
    let done = &log[3].fields;
    assert_eq!((done["result"].as_str(), done["program"].as_str()), ("ok", "test"));
    assert_eq!(done["trace"], "0000000000000abc");
    assert_eq!(done["pid"], std::process::id().to_string());
    assert!(done["duration_us"].parse::<u64>().is_ok());
    let read = Request::Read { rev: "main".to_owned(), path: "domains/www/wanted".to_owned() };
    assert_eq!(format!("{:?}", client.ok(read)), "Node(Contents(Text(\"absent\")))");
}

#[test]
fn a_domain_is_paused_suspended_and_goes_on() {
    let host = Host::processes();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let first = client.want("www", Wanted::Running).expect("it runs");
    let address = first.address.expect("an address");
    get(address);
    for (wanted, state) in
        [(Wanted::Paused, DomainState::Paused), (Wanted::Suspended, DomainState::Suspended)]
    {
        assert_eq!(client.want("www", wanted).expect("it stops").state, state);
        let again = client.want("www", Wanted::Running).expect("it goes on");
        assert_eq!((again.state, again.id), (DomainState::Running, first.id));
    }
    assert!(get(address).contains("requests: 2"), "it is the same that goes on");
    client.want("www", Wanted::Suspended).expect("it stops");
    assert_eq!(client.want("www", Wanted::Absent).expect("it goes").state, DomainState::Absent);
}

#[test]
fn shutdown_asks_and_then_insists() {
    let host = Host::processes();
    let mut client = host.client();
    client.ok(define("meek", command(&["sleep", "1000"])));
    let mut stubborn = command(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]);
    stubborn.shutdown_grace = Millis(50);
    client.ok(define("stubborn", stubborn));
    client.want("meek", Wanted::Running).expect("it runs");
    client.want("stubborn", Wanted::Running).expect("it runs");
    let console = client.begin(Request::Console { name: name("stubborn") });
    client.until(console, |event| matches!(event, Event::Console(_)));
    for domain in ["meek", "stubborn"] {
        let status = client.want(domain, Wanted::Shutdown).expect("it goes");
        assert_eq!((status.state, status.error), (DomainState::Absent, None), "{domain}");
    }
}

#[test]
fn a_program_that_is_not_there_is_told_at_once() {
    let host = Host::processes();
    let mut client = host.client();
    client.ok(define("www", command(&["/nonexistent/program"])));
    let error = client.want("www", Wanted::Running).expect_err("it cannot run");
    assert_eq!(error.code, ErrorCode::Hypervisor);
    assert!(error.text.contains("/nonexistent/program"), "{error}");
    client.ok(define(
        "kernel",
        jitsu_proto::DomainSpec::new(Guest::Kernel {
            image: "/boot/kernel".to_owned(),
            ramdisk: None,
            cmdline: String::new(),
            mode: jitsu_proto::Mode::Pv,
        }),
    ));
    let error = client.want("kernel", Wanted::Running).expect_err("it cannot run");
    assert_eq!(error.code, ErrorCode::Unsupported);
}

/// Waits until the domain is in this state.
fn until(client: &mut Client, subscription: u64, domain: &str, state: DomainState) -> Event {
    client.until(subscription, |event| match event {
        Event::Domain(status) => status.name.as_str() == domain && status.state == state,
        _ => false,
    })
}

#[test]
fn a_guest_that_ends_is_left_or_started_again() {
    let host = Host::processes();
    let mut client = host.client();
    let subscription = client.begin(Request::Subscribe);
    client.ok(define("once", command(&["sh", "-c", "exit 3"])));
    client.want("once", Wanted::Running).map(drop).unwrap_or_default();
    until(&mut client, subscription, "once", DomainState::Absent);
    let ended = |event: &Event| {
        matches!(event, Event::Domain(status)
            if status.name.as_str() == "once" && status.wanted == Wanted::Absent
                && status.error.as_deref() == Some("the guest ended by itself with code 3"))
    };
    client.until(subscription, ended);

    let mut again = command(&["sleep", "1000"]);
    again.on_crash = OnCrash::Restart;
    client.ok(define("again", again));
    let first = client.want("again", Wanted::Running).expect("it runs").id.expect("a process");
    let pid = nix::unistd::Pid::from_raw(first.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    let restarted = |event: &Event| {
        matches!(event, Event::Domain(status)
            if status.name.as_str() == "again" && status.state == DomainState::Running
                && status.id != Some(first))
    };
    client.until(subscription, restarted);
    let log = client.log("domain/again", None);
    assert!(log.iter().any(|commit| commit.fields["method"] == "ended"), "{log:?}");
}

#[test]
fn undefining_destroys_first_and_leaves_the_history() {
    let host = Host::processes();
    let mut client = host.client();
    client.ok(define("www", command(&["sleep", "1000"])));
    let status = client.want("www", Wanted::Running).expect("it runs");
    assert_eq!(
        client.ok(Request::UndefineDomain { name: name("www"), branch: None }),
        Response::Done
    );
    let process = format!("/proc/{}", status.id.expect("a process"));
    assert!(!std::path::Path::new(&process).exists());
    let error = client.refused(Request::Domain { name: name("www") });
    assert_eq!(error.code, ErrorCode::NotFound);
    client.log_of("domain/www", 6);
    let error =
        client.refused(Request::Read { rev: "main".to_owned(), path: "domains/www".to_owned() });
    assert_eq!(error.code, ErrorCode::NotFound);
}
