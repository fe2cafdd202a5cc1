//! The same cases for every hypervisor, and what only processes can show.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use jitsu_proto::Name;
use tempfile::TempDir;
use toolstack::hypervisor::fake::{Fake, Faults, World};
use toolstack::hypervisor::process::{Process, Settings};
use toolstack::hypervisor::{Ended, Existing, Handle, Hypervisor, HypervisorError};

use crate::client::PATIENCE;
use crate::host::{TOOLSTACK, addresses, command, hello, name};

/// Ends a domain as if it did so by itself.
type EndIt<'a> = &'a dyn Fn(&Handle);

fn state(hypervisor: &dyn Hypervisor, name: &Name) -> Option<Existing> {
    let list = hypervisor.list().expect("listed");
    list.into_iter().find(|info| info.handle.name == *name).map(|info| info.state)
}

fn heard(hypervisor: &dyn Hypervisor) -> Receiver<Ended> {
    let (to, ends) = channel();
    hypervisor.watch(Box::new(move |ended| to.send(ended).expect("the test listens")));
    ends
}

/// What every hypervisor does.
fn conforms(hypervisor: &dyn Hypervisor, dir: &Path, end_it: EndIt<'_>) {
    let ends = heard(hypervisor);
    let (a, b) = (name("a"), name("b"));
    assert!(hypervisor.list().expect("listed").is_empty());

    let first = hypervisor.create(&a, &hello()).expect("built");
    assert_eq!(state(hypervisor, &a), Some(Existing::Built));
    hypervisor.unpause(&first).expect("let run");
    assert_eq!(state(hypervisor, &a), Some(Existing::Running));
    let second = hypervisor.create(&b, &hello()).expect("built");
    assert_ne!((first.id, first.address), (second.id, second.address));
    hypervisor.destroy(&second).expect("removed without ever running");
    assert_eq!(state(hypervisor, &b), None);

    hypervisor.pause(&first).expect("paused");
    assert_eq!(state(hypervisor, &a), Some(Existing::Paused));
    hypervisor.unpause(&first).expect("goes on");
    let saved = dir.join("saved");
    hypervisor.suspend(&first, &saved).expect("suspended");
    assert_eq!((state(hypervisor, &a), saved.exists()), (None, true));
    let again = hypervisor.resume(&a, &saved, &hello()).expect("resumed");
    assert_eq!((state(hypervisor, &a), saved.exists()), (Some(Existing::Paused), false));
    hypervisor.unpause(&again).expect("goes on");
    hypervisor.suspend(&again, &saved).expect("suspended");
    hypervisor.discard(&a, &saved).expect("discarded");
    hypervisor.discard(&a, &saved).expect("nothing there is no error");
    assert_eq!((state(hypervisor, &a), saved.exists()), (None, false));

    let gone = hypervisor.destroy(&again).expect_err("it is gone");
    assert!(matches!(gone, HypervisorError::NotFound(_)), "{gone}");
    let gone = hypervisor.unpause(&again).expect_err("it is gone");
    assert!(matches!(gone, HypervisorError::NotFound(_)), "{gone}");

    let missing = hypervisor.create(&a, &command(&["/nonexistent/program"]));
    let missing = missing.expect_err("there is no such program");
    assert!(matches!(missing, HypervisorError::Image { .. }), "{missing}");
    assert!(hypervisor.list().expect("listed").is_empty());

    let third = hypervisor.create(&a, &hello()).expect("built");
    hypervisor.unpause(&third).expect("let run");
    end_it(&third);
    let ended = ends.recv_timeout(PATIENCE).expect("its end is heard");
    assert_eq!(ended.handle, third);
    assert_eq!(state(hypervisor, &a), None);
    let asked = hypervisor.create(&a, &hello()).expect("built");
    hypervisor.unpause(&asked).expect("let run");
    hypervisor.shutdown(&asked).expect("asked");
    assert_eq!(ends.recv_timeout(PATIENCE).expect("its end is heard").handle, asked);
    assert!(ends.try_recv().is_err(), "what we end ourselves is not told");
}

fn process_in(dir: &TempDir) -> Process {
    let settings = Settings {
        runtime_dir: dir.path().to_owned(),
        addresses: addresses(),
        console_bytes_max: 1 << 20,
        hello: TOOLSTACK.into(),
    };
    Process::new(settings).expect("processes work everywhere")
}

fn kill(handle: &Handle) {
    let pid = nix::unistd::Pid::from_raw(handle.id.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
}

#[test]
fn the_fake_conforms() {
    let dir = TempDir::new().expect("a folder");
    let fake = Fake::new(World::new(7, Faults::NONE));
    let end_it = |handle: &Handle| fake.end(&handle.name, toolstack::hypervisor::End::Exited(0));
    conforms(&fake, dir.path(), &end_it);
}

#[test]
fn processes_conform() {
    let dir = TempDir::new().expect("a folder");
    conforms(&process_in(&dir), dir.path(), &kill);
}

/// All processes whose arguments hold this text.
fn with_argument(text: &str) -> BTreeSet<i32> {
    let processes = std::fs::read_dir("/proc").expect("proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.windows(text.len()).any(|window| window == text.as_bytes())
    };
    pids.filter(is_it).collect()
}

#[test]
fn everything_that_was_started_is_killed() {
    let dir = TempDir::new().expect("a folder");
    let process = process_in(&dir);
    heard(&process);
    // A session of its own, and a grandchild whose parent is gone.
    let mark = format!("86{}", std::process::id());
    let script = format!("setsid sleep {mark} & (sleep {mark} &) ; echo up; exec sleep {mark}");
    let spec = command(&["sh", "-c", &script]);
    let handle = process.create(&name("tree"), &spec).expect("built");
    process.unpause(&handle).expect("let run");
    let deadline = std::time::Instant::now() + PATIENCE;
    while with_argument(&mark).len() < 3 {
        assert!(std::time::Instant::now() < deadline, "they never started");
        std::thread::yield_now();
    }
    process.destroy(&handle).expect("removed");
    assert_eq!(with_argument(&mark), BTreeSet::new());
}

#[test]
fn a_lost_daemon_leaves_nothing_half_made_and_finds_the_rest() {
    let dir = TempDir::new().expect("a folder");
    let (running, built) = {
        let process = process_in(&dir);
        let running = process.create(&name("running"), &hello()).expect("built");
        process.unpause(&running).expect("let run");
        // Dropped without a word: the gate of the second closes.
        (running, process.create(&name("built"), &hello()).expect("built"))
    };
    let process = process_in(&dir);
    heard(&process);
    let list = process.list().expect("listed");
    assert_eq!(list.len(), 1, "{list:?} and not {built:?}");
    assert_eq!((&list[0].handle, list[0].state), (&running, Existing::Running));
    process.destroy(&running).expect("what was adopted can be removed");
    assert!(!Path::new(&format!("/proc/{}", built.id)).join("exe").exists());
}

#[test]
fn a_name_is_taken_once() {
    let dir = TempDir::new().expect("a folder");
    let process = process_in(&dir);
    let handle = process.create(&name("a"), &hello()).expect("built");
    let taken = process.create(&name("a"), &hello()).expect_err("it exists");
    assert!(matches!(taken, HypervisorError::NameTaken(_)), "{taken}");
    process.destroy(&handle).expect("removed");
}
