//! Subscriptions, logs that are followed, consoles.

use jitsu_proto::{DomainState, Event, Request, Response, ServiceSpec, Wanted};

use crate::host::{Host, command, define, hello, name};

#[test]
fn a_subscription_tells_everything_and_then_the_changes() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let service =
        Request::DefineService { name: name("web"), spec: ServiceSpec::default(), branch: None };
    client.ok(service);
    let mut other = host.client();
    let id = other.begin(Request::Subscribe);
    assert_eq!(other.reply(id), Ok(Response::Subscribed));
    assert!(matches!(other.event(id), Event::Domain(status) if status.name == name("www")));
    assert!(matches!(other.event(id), Event::Service(web, _) if web == name("web")));
    assert_eq!(other.event(id), Event::Ready);
    client.want("www", Wanted::Running).expect("it runs");
    other.until(
        id,
        |event| matches!(event, Event::Domain(status) if status.state == DomainState::Running),
    );
    client.ok(Request::UndefineDomain { name: name("www"), branch: None });
    other.until(id, |event| *event == Event::DomainGone(name("www")));
    client.ok(Request::UndefineService { name: name("web"), branch: None });
    other.until(id, |event| *event == Event::ServiceGone(name("web")));
}

#[test]
fn a_log_is_followed_without_a_gap() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let mut other = host.client();
    let rev = "domain/www".to_owned();
    let id = other.begin(Request::Log { rev, path: None, limit: 100, follow: true });
    let Ok(Response::Commits(mut commits)) = other.reply(id) else { panic!("no commits") };
    commits.reverse();
    for _ in 0..10 {
        client.want("www", Wanted::Running).expect("it runs");
        client.want("www", Wanted::Absent).expect("it goes");
    }
    while commits.len() < 42 {
        match other.event(id) {
            Event::Commit(commit) => commits.push(commit),
            event => panic!("no commit: {event:?}"),
        }
    }
    for pair in commits.windows(2) {
        assert_eq!(pair[1].parents, [pair[0].id.clone()]);
    }
}

#[test]
fn a_console_tells_history_and_takes_what_is_typed() {
    let host = Host::processes();
    let mut client = host.client();
    let script = "echo first; while read line; do echo \"heard $line\"; done";
    client.ok(define("sh", command(&["sh", "-c", script])));
    client.want("sh", Wanted::Running).expect("it runs");
    let mut reader = host.client();
    let id = reader.begin(Request::Console { name: name("sh") });
    let mut heard = Vec::new();
    let mut until = |text: &str| {
        while !String::from_utf8_lossy(&heard).contains(text) {
            match reader.event(id) {
                Event::Console(bytes) => heard.extend(bytes),
                event => panic!("{event:?}"),
            }
        }
    };
    until("first");
    client.ok(Request::Type { name: name("sh"), bytes: b"hello\n".to_vec() });
    until("heard hello");
    client.want("sh", Wanted::Absent).expect("it goes");
    reader.until(id, |event| matches!(event, Event::End(_)));
}
