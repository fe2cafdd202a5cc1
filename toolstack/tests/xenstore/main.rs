//! The XenStore's client against a real daemon: what both daemons do, and where they differ.
//!
//! Owns the cases. `run` beside it starts the daemons, one after the other, and calls this with
//! the name of the daemon and its process; the environment names its socket.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use toolstack::xenstore::watch::{INTRODUCED, RELEASED};
use toolstack::xenstore::{Access, Client, ClientError, Permission, WatchError, Watches};

/// How long anything may take that is waited for.
const LONG: Duration = Duration::from_secs(20);

/// The daemon under test.
struct Peer {
    is_c: bool,
    pid: i32,
}

type Case = (&'static str, fn(&Peer));

const CASES: [Case; 16] = [
    ("what is written is read", written_is_read),
    ("a value that is too long is refused by name", long_values),
    ("nodes are made and removed", made_and_removed),
    ("300 children are listed", many_children),
    ("permissions are set and read", permissions),
    ("a domain is introduced and released", introduced),
    ("eight threads share a client", threads_share),
    ("a transaction is done anew when another came between", between),
    ("a failed transaction leaves nothing", failed_transaction),
    ("eight clients count in transactions", clients_count),
    ("eight clients make siblings in transactions", clients_make_siblings),
    ("a key is waited for", key),
    ("changes are told, and not those elsewhere", changes),
    ("hundreds of changes hold nothing up", many_changes),
    ("domains that come and go are told", come_and_go),
    ("a daemon that ends is noticed", daemon_ends),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [daemon, pid] = &arguments[..] else {
        panic!(
            "usage: xenstore C|oxenstored PID, with XENSTORED_PATH set; tests/xenstore/run does it"
        )
    };
    assert!(
        std::env::var_os("XENSTORED_PATH").is_some(),
        "XENSTORED_PATH names the daemon's socket"
    );
    let peer = Peer { is_c: daemon == "C", pid: pid.parse().expect("the daemon's process") };
    for (name, case) in CASES {
        case(&peer);
        writeln!(std::io::stdout(), "  ok: {name}").expect("somewhere to say it");
    }
    ExitCode::SUCCESS
}

fn client() -> Client {
    Client::connect().expect("the daemon is there")
}

/// Does `work` with a connection that watches.
fn watching<F: Future<Output = ()>>(work: impl FnOnce(Watches) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let watches = Watches::connect().await.expect("the daemon is there");
        timeout(LONG, work(watches)).await.expect("in time");
    });
}

fn written_is_read(_: &Peer) {
    let client = client();
    let all: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"text", b"a\0b\0", &all] {
        client.write("/test/values/one", value).expect("written");
        assert_eq!(client.read("/test/values/one").expect("read"), value);
    }
    assert_eq!(client.read("/test/values").expect("its parent was made"), b"");
    assert!(client.read("/test/values/two").expect_err("not there").is_no_entry());
}

fn long_values(peer: &Peer) {
    let client = client();
    let written = client.write("/test/long", [b'x'; 4000]);
    if peer.is_c {
        written.expect("dom0 may");
        assert_eq!(client.read("/test/long").expect("read"), [b'x'; 4000]);
    } else {
        let error = written.expect_err("2048 is its limit").to_string();
        assert_eq!(error, "the XenStore refused WRITE /test/long: E2BIG");
    }
}

fn made_and_removed(_: &Peer) {
    let client = client();
    client.mkdir("/test/made/a/b").expect("made");
    client.write("/test/made/a", "kept").expect("written");
    client.mkdir("/test/made/a").expect("it is there");
    assert_eq!(client.read("/test/made/a").expect("read"), b"kept");
    assert_eq!(client.directory("/test/made/a").expect("listed"), ["b"]);
    assert_eq!(client.directory("/test/made/a/b").expect("listed"), [""; 0]);
    client.rm("/test/made/a").expect("removed");
    client.rm("/test/made/a").expect("removed already");
    assert!(client.read("/test/made/a/b").expect_err("gone").is_no_entry());
    assert!(client.rm("/test/none/a").expect_err("no parent").is_no_entry());
}

fn many_children(_: &Peer) {
    let client = client();
    // Together more than a packet has room for.
    let mut names: Vec<String> = (0..300).map(|n| format!("{n:0>20}")).collect();
    let made: Result<(), ClientError> = client.transaction(|transaction| {
        names.iter().try_for_each(|name| transaction.mkdir(&format!("/test/many/{name}")))
    });
    made.expect("made");
    let mut listed = client.directory("/test/many").expect("listed");
    listed.sort_unstable();
    assert_eq!(listed, names);
    let inside: Result<_, ClientError> = client.transaction(|transaction| {
        transaction.rm(&format!("/test/many/{}", names[0]))?;
        transaction.directory("/test/many")
    });
    let mut inside = inside.expect("listed");
    inside.sort_unstable();
    assert_eq!(inside, names.split_off(1));
}

fn permissions(_: &Peer) {
    let client = client();
    let list = [Permission::new(Access::None, 7), Permission::new(Access::Read, 8)];
    client.write("/test/permissions", "secret").expect("written");
    assert_eq!(
        client.permissions("/test/permissions").expect("read"),
        [Permission::new(Access::None, 0)]
    );
    client.set_permissions("/test/permissions", &list).expect("set");
    assert_eq!(client.permissions("/test/permissions").expect("read"), list);
    // In a transaction, with what is made there.
    let made: Result<(), ClientError> = client.transaction(|transaction| {
        transaction.mkdir("/test/permissions/below")?;
        transaction.set_permissions("/test/permissions/below", &list)
    });
    made.expect("made");
    assert_eq!(client.permissions("/test/permissions/below").expect("read"), list);
}

fn introduced(_: &Peer) {
    let client = client();
    assert!(!client.is_introduced(7).expect("asked"));
    client.introduce(7, 1, 1).expect("introduced");
    assert!(client.is_introduced(7).expect("asked"));
    assert_eq!(client.domain_path(7).expect("asked"), "/local/domain/7");
    client.resume(7).expect("resumed");
    client.release(7).expect("released");
    assert!(!client.is_introduced(7).expect("asked"));
    assert!(client.release(7).is_err(), "it is not introduced");
}

fn threads_share(_: &Peer) {
    let client = client();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = &client;
            scope.spawn(move || {
                let path = format!("/test/threads/{thread}");
                for n in 0..200 {
                    let value = format!("{thread}-{n}");
                    client.write(&path, &value).expect("written");
                    assert_eq!(client.read(&path).expect("read"), value.as_bytes());
                }
            });
        }
    });
}

fn number(value: &[u8]) -> u32 {
    std::str::from_utf8(value).expect("digits").parse().expect("a number")
}

fn between(_: &Peer) {
    let (client, other) = (client(), client());
    client.write("/test/between", "1").expect("written");
    let mut tries = 0;
    let done: Result<(), ClientError> = client.transaction(|transaction| {
        tries += 1;
        let seen = number(&transaction.read("/test/between")?);
        if tries == 1 {
            other.write("/test/between", "10")?;
        }
        transaction.write("/test/between", (seen + 1).to_string())
    });
    done.expect("the second time");
    assert_eq!(tries, 2);
    assert_eq!(client.read("/test/between").expect("read"), b"11");
}

fn failed_transaction(_: &Peer) {
    let client = client();
    let failed: Result<(), ClientError> = client.transaction(|transaction| {
        transaction.write("/test/failed/a", "value")?;
        assert_eq!(transaction.read("/test/failed/a")?, b"value");
        transaction.rm("/test/none/a")?;
        transaction.write("/test/failed/b", "value")
    });
    let error = failed.expect_err("no parent").to_string();
    assert_eq!(error, "the XenStore refused RM /test/none/a: ENOENT");
    assert!(client.read("/test/failed").expect_err("nothing of it").is_no_entry());
}

fn clients_count(_: &Peer) {
    client().write("/test/count", "0").expect("written");
    let tries = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let client = client();
                for _ in 0..25 {
                    let done: Result<(), ClientError> = client.transaction(|transaction| {
                        tries.fetch_add(1, Ordering::Relaxed);
                        let seen = number(&transaction.read("/test/count")?);
                        transaction.write("/test/count", (seen + 1).to_string())
                    });
                    done.expect("in the end");
                }
            });
        }
    });
    assert_eq!(client().read("/test/count").expect("read"), b"200");
    let tries = tries.into_inner();
    writeln!(std::io::stdout(), "  200 transactions of 8 clients in {tries} tries").expect("said");
}

fn clients_make_siblings(_: &Peer) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let client = client();
                for n in 0..10 {
                    let done: Result<(), ClientError> = client.transaction(|transaction| {
                        let home = format!("/test/siblings/{thread}-{n}");
                        (0..40).try_for_each(|key| {
                            transaction.write(&format!("{home}/{key}"), "value")
                        })
                    });
                    done.expect("in the end");
                }
            });
        }
    });
    let client = client();
    assert_eq!(client.directory("/test/siblings").expect("listed").len(), 80);
    assert_eq!(client.directory("/test/siblings/7-9").expect("listed").len(), 40);
}

fn key(_: &Peer) {
    let client = client();
    watching(|watches| async move {
        let wait = {
            let watches = watches.clone();
            tokio::spawn(async move { watches.await_key(7, "data/ready").await })
        };
        // Given up at once, and most of them before the daemon has answered.
        for n in 0..20 {
            let waiting = watches.await_key(7, "data/never");
            assert!(timeout(Duration::from_micros(n * 50), waiting).await.is_err());
        }
        client.write("/local/domain/7/data/other", "1").expect("written");
        assert!(!wait.is_finished());
        client.write("/local/domain/7/data/ready", "yes").expect("written");
        assert_eq!(wait.await.expect("no panic").expect("written"), "yes");
        let there = watches.await_key(7, "data/ready").await;
        assert_eq!(there.expect("it is there already"), "yes");
        let error = watches.await_key(7, "data ready").await.expect_err("no path").to_string();
        assert!(error.starts_with("\"/local/domain/7/data ready\" is no path"), "{error}");
    });
}

fn changes(_: &Peer) {
    let client = client();
    watching(|watches| async move {
        let mut below = watches.changes("/test/watched").await.expect("watched");
        let mut beside = watches.changes("/test/beside").await.expect("watched");
        assert_eq!(watches.read("/test/watched/state").await.expect("read"), None);
        for state in ["1", "4", "6"] {
            client.write("/test/watched/state", state).expect("written");
            below.next().await.expect("told");
            let read = watches.read("/test/watched/state").await.expect("read");
            assert_eq!(read.as_deref(), Some(state));
        }
        client.rm("/test/watched").expect("removed");
        below.next().await.expect("told");
        let told = timeout(Duration::ZERO, beside.next()).await;
        assert!(told.is_err(), "nothing changed there, and its registration is no change");
    });
}

fn many_changes(_: &Peer) {
    let client = client();
    watching(|watches| async move {
        let mut all = Vec::new();
        for _ in 0..40 {
            all.push(watches.changes("/test/storm").await.expect("watched"));
        }
        for n in 0..200 {
            client.write("/test/storm", n.to_string()).expect("written");
        }
        // Answers come though nobody has taken a change.
        let read = watches.read("/test/storm").await.expect("read");
        assert_eq!(read.as_deref(), Some("199"));
        for changes in &mut all {
            changes.next().await.expect("told");
        }
    });
}

fn come_and_go(_: &Peer) {
    let client = client();
    watching(|watches| async move {
        let mut come = watches.changes(INTRODUCED).await.expect("watched");
        let mut go = watches.changes(RELEASED).await.expect("watched");
        client.introduce(8, 1, 1).expect("introduced");
        come.next().await.expect("told");
        assert!(timeout(Duration::ZERO, go.next()).await.is_err(), "none has gone");
        client.release(8).expect("released");
        go.next().await.expect("told");
    });
}

fn daemon_ends(peer: &Peer) {
    let client = client();
    let pid = nix::unistd::Pid::from_raw(peer.pid);
    watching(|watches| async move {
        let mut changes = watches.changes("/test/end").await.expect("watched");
        let waiting = {
            let watches = watches.clone();
            tokio::spawn(async move { watches.await_key(7, "data/never").await })
        };
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it lives");
        let lost = changes.next().await.expect_err("nobody is there");
        assert!(matches!(lost, WatchError::Lost { .. }), "{lost}");
        let lost = waiting.await.expect("no panic").expect_err("nobody is there");
        assert!(matches!(lost, WatchError::Lost { .. }), "{lost}");
        let lost = watches.read("/test/end").await.expect_err("nobody is there");
        assert!(matches!(lost, WatchError::Lost { .. }), "{lost}");
    });
    let error = client.read("/test/end").expect_err("nobody is there").to_string();
    assert!(error.ends_with("it closed the connection"), "{error}");
    let error = client.read("/test/end").expect_err("nobody is there").to_string();
    assert!(error.contains("it cannot be reached: "), "{error}");
}
