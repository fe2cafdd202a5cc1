//! Branches: what is staged, merged, reverted takes effect, or is refused before it does.

use std::sync::Arc;

use jitsu_proto::{
    Change, DomainState, Edit, ErrorCode, Event, Node, Request, Response, Value, Wanted,
};

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Keep, Meta, Store};

use crate::client::Client;
use crate::host::{Host, define, hello, name};

fn text(text: &str) -> String {
    text.to_owned()
}

fn edit(branch: &str, path: &str, value: &str) -> Request {
    let edits = vec![Edit { path: text(path), value: Some(text(value)) }];
    Request::Edit { branch: text(branch), edits }
}

fn merge(from: &str, into: &str) -> Request {
    Request::Merge { from: text(from), into: text(into) }
}

fn until(client: &mut Client, subscription: u64, state: DomainState) {
    client.until(
        subscription,
        |event| matches!(event, Event::Domain(status) if status.state == state),
    );
}

fn read(client: &mut Client, rev: &str, path: &str) -> String {
    match client.ok(Request::Read { rev: text(rev), path: text(path) }) {
        Response::Node(Node::Contents(Value::Text(text))) => text,
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn merging_and_reverting_make_it_happen() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let subscription = client.begin(Request::Subscribe);
    let want =
        Request::Want { name: name("www"), wanted: Wanted::Running, branch: Some(text("plan")) };
    let missing = client.refused(want.clone());
    assert_eq!(missing.code, ErrorCode::NotFound);
    assert!(missing.text.contains("branch create plan"), "{missing}");
    client.ok(Request::Fork { name: text("plan"), from: text("main") });
    client.ok(want);
    assert_eq!(client.status("www").state, DomainState::Absent);
    let Response::Changes(changes) =
        client.ok(Request::Diff { from: text("main"), to: text("plan"), path: None })
    else {
        panic!("no changes")
    };
    let [Change { path, after, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((path.as_str(), after), ("domains/www/wanted", &Some(Value::Text(text("running")))));

    let Response::Committed { head, changed: true } = client.ok(merge("plan", "main")) else {
        panic!("not merged")
    };
    until(&mut client, subscription, DomainState::Running);
    assert_eq!((head.fields["method"].as_str(), head.fields["result"].as_str()), ("merge", "ok"));
    assert_eq!(read(&mut client, "main", "domains/www/wanted"), "running");
    assert!(matches!(client.ok(merge("plan", "main")), Response::Committed { changed: false, .. }));
    client.ok(Request::Revert { rev: head.id, branch: text("main") });
    until(&mut client, subscription, DomainState::Absent);

    // The subject's own branch catches up, and goes on from there.
    let status = client.want("www", Wanted::Running).expect("it runs");
    assert_eq!(status.state, DomainState::Running);
    assert_eq!(read(&mut client, "domain/www", "domains/www/wanted"), "running");
    let methods: Vec<_> = client.log("domain/www", None);
    assert!(methods.iter().any(|commit| commit.fields["method"] == "catch-up"));
}

#[test]
fn what_cannot_be_read_does_not_get_into_main() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let wrong = client.refused(edit("main", "domains/www/spec/memory_mib", "lots"));
    assert_eq!(wrong.code, ErrorCode::BadRequest);
    assert!(wrong.text.contains("domains/www/spec/memory_mib"), "{wrong}");
    client.ok(Request::Fork { name: text("bad"), from: text("main") });
    client.ok(edit("bad", "domains/www/wanted", "runing"));
    let wrong = client.refused(merge("bad", "main"));
    assert_eq!(wrong.code, ErrorCode::BadRequest);
    assert!(wrong.text.contains("domains/www/wanted"), "{wrong}");
    let kept = client.refused(edit("domain/www", "domains/www/wanted", "running"));
    assert_eq!(kept.code, ErrorCode::BadRequest);
    assert_eq!(client.status("www").wanted, Wanted::Absent);
    client.ok(edit("main", "domains/www/spec/memory_mib", "96"));
    // It is told at once, and heard a moment later.
    let begun = std::time::Instant::now();
    loop {
        let spec = client.ok(Request::Spec { name: name("www") });
        if matches!(spec, Response::Spec(spec) if spec.memory_mib == 96) {
            break;
        }
        assert!(begun.elapsed() < crate::client::PATIENCE, "it was never heard");
    }
}

#[test]
fn conflicts_name_their_paths() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    client.ok(Request::Fork { name: text("mine"), from: text("main") });
    client.ok(edit("mine", "domains/www/spec/memory_mib", "96"));
    client.ok(edit("main", "domains/www/spec/memory_mib", "128"));
    let conflict = client.refused(merge("mine", "main"));
    assert_eq!(conflict.code, ErrorCode::Conflict);
    assert_eq!(conflict.conflicts[0].path, "domains/www/spec/memory_mib");
    assert_eq!(conflict.conflicts[0].theirs, Some(Value::Text(text("96"))));
}

/// While the daemon runs: it starts domains meanwhile and after.
#[test]
fn what_was_let_go_is_told_and_all_else_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = Arc::new(Log::open(dir.path().join("store"), LogOptions::default()).expect("a log"));
    let store = Store::on(log.clone()).expect("a store");
    let host = Host::fake_with(store.clone());
    let mut client = host.client();
    client.ok(define("www", hello()));
    client.want("www", Wanted::Running).expect("it runs");
    client.want("www", Wanted::Absent).expect("it is gone");
    // Done is recorded after it was told.
    let before = client.log_of("main", 8);
    let keep = Keep { newest: 1, ..Keep::default() };
    let let_go = store.let_go(&keep, &Meta::default()).expect("rules");
    assert!(let_go.commits() > 4, "{}", let_go.commits());
    assert!(log.let_go(&let_go).expect("collected").removed.objects > 4);
    assert_eq!(client.log_of("main", 8), before);
    let old = &before[3].id;
    let read = |rev: &str| Request::Read { rev: text(rev), path: text("") };
    let diff = Request::Diff { from: text(old), to: text("main"), path: None };
    let revert = Request::Revert { rev: text(old), branch: text("main") };
    for request in [Request::Show { rev: text(old) }, read(old), diff, revert] {
        let gone = client.refused(request);
        assert_eq!(gone.code, ErrorCode::NotFound, "{gone}");
        assert!(gone.text.contains("was let go: see `jitsu log store/retention`"), "{gone}");
    }
    let fork = client.refused(Request::Fork { name: text("old"), from: text(old) });
    assert!(fork.text.contains("was let go"), "{fork}");
    client.ok(read("main"));
    client.want("www", Wanted::Running).expect("it runs again");
    client.refused(Request::DeleteBranch { name: text("store/retention") });
}

#[test]
fn revisions_are_found_by_their_digits() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let log = client.log_of("domain/www", 2);
    let mut show = |rev: String| match client.ok(Request::Show { rev }) {
        Response::Shown(commit, _) => commit.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(show(text("domain/www~1")), log[0].id);
    assert_eq!(show(log[0].id[..12].to_owned()), log[0].id);
    let back = client.refused(Request::Show { rev: text("domain/www~9") });
    assert_eq!(back.code, ErrorCode::NotFound);
    let short = client.refused(Request::Show { rev: text("abc") });
    assert_eq!(short.code, ErrorCode::NotFound);
}
