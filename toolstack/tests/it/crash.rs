//! What is lost, and what is not: a daemon that is killed, a disk that is full.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use jitsu_proto::{DomainSpec, DomainState, ErrorCode, Event, OnCrash, Request, Response, Wanted};
use jitsu_store::Store;
use jitsu_store::backend::{Fault, Faulty, Memory};
use tempfile::TempDir;

use crate::client::{Client, PATIENCE};
use crate::host::{Host, TOOLSTACK, addresses, define, hello};

/// A daemon in a process of its own.
pub(crate) struct Daemon {
    pub(crate) process: Child,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(dir: &Path, config: &Path) -> Daemon {
        Daemon::start_with(dir, config, &[])
    }

    /// With more in its environment.
    pub(crate) fn start_with(dir: &Path, config: &Path, more: &[(&str, &OsStr)]) -> Daemon {
        // As the service manager does: ready is when the daemon says so.
        let path = dir.join("notify");
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).expect("bound");
        notify.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut process = Command::new(TOOLSTACK)
            .args(["serve", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", &path)
            .envs(more.iter().copied())
            .spawn()
            .expect("started");
        let mut bytes = [0; 256];
        let count = notify.recv(&mut bytes).unwrap_or_else(|error| {
            let _ = process.kill();
            panic!("it never got ready: {error}")
        });
        assert!(bytes[..count].starts_with(b"READY=1"));
        Daemon { process, socket: dir.join("socket") }
    }
}

impl Drop for Daemon {
    /// As `SIGKILL` does; one that was stopped already is left in peace.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

#[test]
fn a_killed_daemon_is_followed_by_one_that_adopts() {
    let dir = TempDir::new().expect("a folder");
    let config = dir.path().join("toolstack.toml");
    let mut file = std::fs::File::create(&config).expect("made");
    let at = |name: &str| dir.path().join(name).display().to_string();
    writeln!(file, "socket = \"{}\"\nstate_dir = \"{}\"", at("socket"), at("state")).expect("w");
    writeln!(file, "runtime_dir = \"{}\"\naddresses = \"{}\"", at("run"), addresses()).expect("w");

    let daemon = Daemon::start(dir.path(), &config);
    let mut client = Client::connect(&daemon.socket);
    client.ok(define("www", hello()));
    // Whether the next daemon sees it end, or finds it gone, it is to come back.
    let other = DomainSpec { on_crash: OnCrash::Restart, ..hello() };
    client.ok(define("other", other));
    let before = client.want("www", Wanted::Running).expect("it runs");
    let other = client.want("other", Wanted::Running).expect("it runs");
    drop(client);
    drop(daemon);
    // One goes while nobody looks.
    let pid = nix::unistd::Pid::from_raw(other.id.expect("a process").cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");

    let mut daemon = Daemon::start(dir.path(), &config);
    let mut client = Client::connect(&daemon.socket);
    let after = client.status("www");
    assert_eq!((after.state, after.id), (DomainState::Running, before.id));
    assert_eq!(after.address, before.address);
    // It is wanted, so it comes back.
    let subscription = client.begin(Request::Subscribe);
    client.until(subscription, |event| {
        matches!(event, Event::Domain(status) if status.name.as_str() == "other"
            && status.state == DomainState::Running && status.id != other.id)
    });
    for domain in ["www", "other"] {
        client.want(domain, Wanted::Absent).expect("what was adopted can be stopped");
    }
    let pid = nix::unistd::Pid::from_raw(daemon.process.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("asked");
    assert!(daemon.process.wait().expect("gone").success());
    assert!(!daemon.socket.exists());
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_half_made() {
    let faulty = Faulty::new(Arc::new(Memory::new()), 200, Fault::Fail);
    let host = Host::fake_with(Store::on(Arc::new(faulty)).expect("opened"));
    let mut client = host.client();
    client.ok(define("www", hello()));
    let error = (0..200).find_map(|_| {
        let running = client.want("www", Wanted::Running);
        running.and_then(|_| client.want("www", Wanted::Absent)).err()
    });
    assert_eq!(error.expect("the disk fills up").code, ErrorCode::Storage);
    // What is durably wanted is what there is, and the daemon goes on.
    let before = client.status("www");
    let opposite = match before.wanted {
        Wanted::Running => Wanted::Absent,
        _ => Wanted::Running,
    };
    for _ in 0..3 {
        let error = client.want("www", opposite).expect_err("it cannot be kept");
        assert_eq!(error.code, ErrorCode::Storage);
    }
    let after = client.status("www");
    assert_eq!((after.state, after.wanted), (before.state, before.wanted));
    assert!(matches!(client.ok(Request::Info), Response::Info(_)));
}
