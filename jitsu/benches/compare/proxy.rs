//! The proxy's copy path beside systemd-socket-proxyd and haproxy, and no proxy at all.
//!
//! Owns the candidates. The guest, which is the same for all, runs on the servers' core too.

use std::io;
use std::net::SocketAddrV4;

use super::Options;
use super::host::{FRONT, Folder, Jitsu, Server, has, own_path, until_listening};
use super::load;
use super::table::{Better, Table, quantile};

const ACTIVATE: &str = "/usr/bin/systemd-socket-activate";
const PROXYD: &str = "/lib/systemd/systemd-socket-proxyd";
const HAPROXY: &str = "/usr/sbin/haproxy";
const GUEST: SocketAddrV4 = SocketAddrV4::new(*FRONT.ip(), 9101);
const ROUND_TRIPS: usize = 10_000;

pub(crate) fn run(options: &Options) -> io::Result<()> {
    let mut table = Table::new(
        "TCP through a proxy",
        &[
            ("Gbit/s, 1 connection", Better::More),
            ("CPU, s per GB", Better::Less),
            ("1-byte round trip p50, µs", Better::Less),
            ("p99, µs", Better::Less),
            ("connections/s, 1 at a time", Better::More),
            ("with 1 byte p50, µs", Better::Less),
            ("connections/s, 16 at a time", Better::More),
            ("CPU, µs per connection", Better::Less),
        ],
    );
    let folder = Folder::new("proxy")?;
    let log = folder.path().join("log");
    let (front, guest_text, me) = (FRONT.to_string(), GUEST.to_string(), own_path()?);
    for _ in 0..options.rounds {
        let guest = Server::start(&[&me, "guest", &guest_text], &log)?;
        until_listening(GUEST)?;
        table.add("none", &measure(options, GUEST, || 0.0)?);
        if has(PROXYD) {
            let proxy = Server::start(&[ACTIVATE, "-l", &front, PROXYD, &guest_text], &log)?;
            until_listening(FRONT)?;
            table.add("systemd-socket-proxyd", &measure(options, FRONT, || proxy.cpu_us())?);
        }
        if has(HAPROXY) {
            let config = folder.write("haproxy.cfg", &haproxy())?;
            let proxy = Server::start(&[HAPROXY, "-db", "-f", &config.to_string_lossy()], &log)?;
            until_listening(FRONT)?;
            table.add("haproxy, one thread", &measure(options, FRONT, || proxy.cpu_us())?);
        }
        drop(guest);
        let jitsu = Jitsu::start("proxy-jitsu", &services(&me))?;
        // The first connection is a cold start.
        load::first_byte(FRONT)?;
        table.add("jitsu", &measure(options, FRONT, || jitsu.cpu_us())?);
    }
    table.print();
    Ok(())
}

fn services(me: &str) -> String {
    format!(
        "[domain.bench]\nguest = {{ command = {{ argv = [\"{me}\", \"guest\", \"{{address}}:8080\"] }} }}\n\
         [service.bench]\nlisten = [{{ on = \"{FRONT}\", to = 8080 }}]\nready = {{ port = 8080 }}\nidle = \"10m\"\n"
    )
}

fn haproxy() -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  option splice-auto\n  timeout connect 5s\n\
         \x20 timeout client 60s\n  timeout server 60s\nlisten front\n  bind {FRONT}\n  server guest {GUEST}\n"
    )
}

fn measure(options: &Options, to: SocketAddrV4, cpu_us: impl Fn() -> f64) -> io::Result<[f64; 8]> {
    let failed =
        |what: &'static str| move |error| io::Error::other(format!("{what} through {to}: {error}"));
    let before = cpu_us();
    let (bytes, took) = load::flood(to, options.time).map_err(failed("a flood"))?;
    let flood_cpu = cpu_us() - before;
    let mut trips = load::round_trips(to, ROUND_TRIPS).map_err(failed("round trips"))?;
    let mut single = load::connections(to, options.time, 1).map_err(failed("connections"))?;
    let before = cpu_us();
    let many = load::connections(to, options.time, 16).map_err(failed("16 connections"))?;
    let many_cpu = cpu_us() - before;
    let seconds = options.time.as_secs_f64();
    Ok([
        bytes * 8.0 / took.as_secs_f64() / 1e9,
        flood_cpu / 1e6 / (bytes / 1e9),
        quantile(&mut trips, 0.5),
        quantile(&mut trips, 0.99),
        single.len() as f64 / seconds,
        quantile(&mut single, 0.5),
        many.len() as f64 / seconds,
        many_cpu / many.len() as f64,
    ])
}
