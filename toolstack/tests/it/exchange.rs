//! Other stores: what they fetch, what they may push, and that it is written down.

use jitsu_proto::{ErrorCode, Request, Response, Wanted};
use jitsu_store::sync::{Message, Peer, Pulled, Pushed, SyncError};
use jitsu_store::{BranchName, Contents, Id, Meta, Store, Tree, sync};

use crate::client::Client;
use crate::host::{Host, define, hello, name};

/// The daemon's store as another store reaches it.
struct Wire<'a> {
    client: &'a mut Client,
    push: bool,
}

impl Peer for Wire<'_> {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        let message = message.encode();
        let request =
            if self.push { Request::Push { message } } else { Request::Fetch { message } };
        match self.client.ask(request) {
            Ok(Response::Said(bytes)) => Ok(Message::decode(&bytes)?),
            Ok(other) => panic!("not said: {other:?}"),
            Err(error) => Err(SyncError::Peer(error.text.into())),
        }
    }
}

fn branch(name: &str) -> BranchName {
    name.parse().expect("a name")
}

/// All that the daemon has, in another store.
fn copied(client: &mut Client) -> Store {
    let store = Store::memory();
    let mut wire = Wire { client, push: false };
    for (branch, _) in sync::branches(&mut wire).expect("branches") {
        let pulled = store.pull(&mut wire, &branch, &Meta::default()).expect("pulled");
        assert!(matches!(pulled, Pulled::Forward(_)), "{branch}: {pulled:?}");
    }
    store
}

fn push(store: &Store, client: &mut Client, to: &str) -> Result<Pushed, String> {
    let mut wire = Wire { client, push: true };
    store.push(&mut wire, &branch(to)).map_err(|error| error.to_string())
}

#[test]
fn a_branch_is_fetched_changed_pushed_and_takes_effect_when_it_is_merged() {
    for host in [Host::fake(), Host::processes()] {
        let mut client = host.client();
        client.ok(define("www", hello()));
        client.ok(Request::Fork { name: "plan".into(), from: "main".into() });
        let store = copied(&mut client);
        assert!(store.head(&branch("domain/www")).unwrap().is_some());
        let set = |tree: &mut Tree| {
            tree.set(&"domains/www/wanted".parse().unwrap(), Contents::text("running"))
        };
        let (commit, ()) = store.update(&branch("plan"), Meta::default(), set).unwrap();
        assert_eq!(push(&store, &mut client, "plan"), Ok(Pushed::Moved));
        assert_eq!(push(&store, &mut client, "plan"), Ok(Pushed::Already));
        assert_eq!(client.log("plan", None)[0].id, commit.id().to_string());
        assert_eq!(client.status("www").wanted, Wanted::Absent, "a push does nothing yet");
        client.ok(Request::Merge { from: "plan".into(), into: "main".into() });
        let subscription = client.begin(Request::Subscribe);
        client.until(subscription, |event| {
            matches!(event, jitsu_proto::Event::Domain(status)
                if status.name == name("www") && status.wanted == Wanted::Running)
        });
        // Who pushed what is on record: the first commit of the daemon's own branch is the fork.
        let log = client.log_of("toolstack", 2);
        let record = log.iter().find(|commit| commit.fields["method"] == "push").expect("noted");
        let arguments = &record.fields["arguments"];
        assert!(arguments.contains(&commit.id().to_string()), "{arguments}");
        assert_eq!(record.fields["result"], "ok");
        // What came meanwhile comes with the next pull, and nothing else.
        let mut wire = Wire { client: &mut client, push: false };
        let pulled = store.pull(&mut wire, &branch("main"), &Meta::default()).unwrap();
        assert!(matches!(pulled, Pulled::Forward(_)), "{pulled:?}");
    }
}

#[test]
fn what_takes_effect_is_not_pushed_to() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let store = copied(&mut client);
    for kept in ["main", "domain/www", "toolstack"] {
        store.update(&branch(kept), Meta::default(), |_| Ok::<(), ()>(())).unwrap();
        let before = client.log(kept, None);
        let refused = push(&store, &mut client, kept).unwrap_err();
        assert!(refused.contains("push to another"), "{kept}: {refused}");
        assert_eq!(client.log(kept, None), before);
    }
    // A branch that has more here is not moved back.
    let mut batch = store.batch();
    batch.set(&branch("plan"), &store.head(&branch("main")).unwrap().unwrap()).unwrap();
    batch.publish().unwrap();
    client.ok(Request::Fork { name: "plan".into(), from: "main".into() });
    client.ok(define("mail", hello()));
    client.ok(Request::Merge { from: "main".into(), into: "plan".into() });
    assert!(matches!(push(&store, &mut client, "plan"), Ok(Pushed::Behind(_))));
}

#[test]
fn what_cannot_be_said_is_refused_and_the_connection_goes_on() {
    let host = Host::fake();
    let mut client = host.client();
    client.ok(define("www", hello()));
    let fetch = |message: &Message| Request::Fetch { message: message.encode() };
    for (request, text) in [
        (Request::Fetch { message: vec![] }, "a message that cannot be read: "),
        (Request::Push { message: vec![1, b'?'] }, "unknown tag 0x3f"),
        (fetch(&Message::Taken), "a receipt is no answer"),
        (fetch(&Message::Give(branch("plan"))), "who fetches gives nothing"),
        (Request::Push { message: Message::Taken.encode() }, "is no answer to what was said"),
    ] {
        let refused = client.refused(request);
        assert_eq!(refused.code, ErrorCode::BadRequest, "{refused}");
        assert!(refused.text.contains(text), "{refused}");
    }
    // Nobody gets around the role that a push needs by fetching the rest.
    client.ok(Request::Push { message: Message::Give(branch("plan")).encode() });
    let offer = Message::Offer(vec![Id::of(b"x")]);
    let refused = client.refused(fetch(&offer));
    assert!(refused.text.contains("a push is under way"), "{refused}");
    assert!(!copied(&mut client).branches().unwrap().is_empty());
}
