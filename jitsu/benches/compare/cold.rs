//! Cold starts: from the client's SYN to the first byte of a guest that is ready at once.
//!
//! Owns three ways to start the same process: Jitsu (with its commits, made durable in the
//! temporary folder); `systemd-socket-activate` in front of `systemd-socket-proxyd`, and again in
//! front of the guest, so that nothing waits for anything to be ready; and no proxy at all, which
//! is the floor. One boot of each in turn.

use std::io;
use std::net::SocketAddrV4;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Options;
use super::host::{FRONT, Folder, Jitsu, Server, has, own_path, until, until_listening};
use super::load::first_byte;
use super::table::quantile;

const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
const PROXYD: &str = "/lib/systemd/systemd-socket-proxyd";
/// After something ended, so that its end is not measured with the next.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that Jitsu leaves a service alone here.
const BACKOFF: Duration = Duration::from_millis(400);

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(*FRONT.ip(), port)
}

pub(crate) fn run(options: &Options) -> io::Result<()> {
    let folder = Folder::new("cold-peers")?;
    let me = own_path()?;
    let jitsu = Jitsu::start(
        "cold",
        &format!(
            "[domain.bench]\nguest = {{ command = {{ argv = [\"{me}\", \"guest\", \"{{address}}:8080\"] }} }}\n\
             [service.bench]\nlisten = [{{ on = \"{FRONT}\", to = 8080 }}]\nready = {{ port = 8080 }}\n\
             idle = \"100ms\"\n"
        ),
    )?;
    let has_systemd = has(ACTIVATE) && has(PROXYD);
    let mut rows = [Row::new("jitsu"), Row::new("systemd"), Row::new("no proxy")];
    for _ in 0..options.boots {
        rows[0].add(&by_jitsu(&jitsu)?);
        if has_systemd {
            rows[1].add(&by_systemd(&folder, &me)?);
        }
        rows[2].add(&Ok(by_hand(&folder, &me)?));
    }
    let title = format!("cold start, {} each in turn", options.boots);
    println!("| {title} | p50, ms | p90, ms | p99, ms | failed |\n|---|---|---|---|---|");
    for Row { name, mut sample, failed } in rows {
        let cells = [0.5, 0.9, 0.99].map(|share| quantile(&mut sample, share) / 1000.0);
        println!("| {name} | {:.2} | {:.2} | {:.2} | {failed} |", cells[0], cells[1], cells[2]);
    }
    println!();
    Ok(())
}

/// One way to start, and its clients.
struct Row {
    name: &'static str,
    sample: Vec<f64>,
    failed: usize,
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row { name, sample: Vec::new(), failed: 0 }
    }

    /// A client that got no byte is counted, and its time is not.
    fn add(&mut self, client: &io::Result<f64>) {
        match client {
            Ok(took) => self.sample.push(*took),
            Err(_) => self.failed += 1,
        }
    }
}

/// What the client saw. The outer error: the measurement itself failed.
fn by_jitsu(jitsu: &Jitsu) -> io::Result<io::Result<f64>> {
    let took = first_byte(FRONT);
    if took.is_err() {
        jitsu.say_log()?;
        // It is left alone for a while after a failure.
        sleep(BACKOFF);
    }
    let mut last = Ok(());
    until("the guest sleeps again", || {
        let state = jitsu.state();
        let is_asleep = state.as_ref().is_ok_and(|state| state == "absent");
        last = state.map(drop);
        is_asleep
    })?;
    last?;
    sleep(PAUSE);
    Ok(took)
}

fn by_systemd(folder: &Folder, me: &str) -> io::Result<io::Result<f64>> {
    let (front, guest) = (at(9200), at(9201));
    let log = folder.path().join("log");
    let (front_text, guest_text) = (front.to_string(), guest.to_string());
    let guest_words = [ACTIVATE, "-l", &*guest_text, me, "guest", &*guest_text];
    let front_words = [ACTIVATE, "-l", &*front_text, PROXYD, &*guest_text];
    let servers = [Server::start(&guest_words, &log)?, Server::start(&front_words, &log)?];
    until_listening(guest)?;
    until_listening(front)?;
    sleep(PAUSE);
    let took = first_byte(front);
    drop(servers);
    sleep(PAUSE);
    Ok(took)
}

/// The process is started when the client comes, which tries until it can connect.
fn by_hand(folder: &Folder, me: &str) -> io::Result<f64> {
    let guest = at(9300);
    let began = Instant::now();
    let server = Server::start(&[me, "guest", &guest.to_string()], &folder.path().join("log"))?;
    while first_byte(guest).is_err() {
        std::thread::yield_now();
    }
    let took = began.elapsed().as_secs_f64() * 1e6;
    drop(server);
    sleep(PAUSE);
    Ok(took)
}
