//! Warm DNS beside knot: questions for a thousand names that are answered from memory.
//!
//! Owns the two servers' configurations and reading dnsperf. Questions a second say little on a
//! machine where dnsperf is as busy as the server; CPU time of the server for each says more.

use std::io;
use std::process::Command;

use super::Options;
use super::host::{FRONT, Folder, Jitsu, Server, has, own_path, until};
use super::table::{Better, Table};

const KNOT: &str = "/usr/sbin/knotd";
const NAMES: usize = 1000;

pub(crate) fn run(options: &Options) -> io::Result<()> {
    let mut table = Table::new(
        "warm DNS, 1000 names, dnsperf with 100 under way",
        &[
            ("questions/s", Better::More),
            ("server CPU, µs each", Better::Less),
            ("mean latency, µs", Better::Less),
            ("lost", Better::Less),
        ],
    );
    let folder = Folder::new("dns")?;
    let names: Vec<String> = (0..NAMES).map(|number| format!("h{number:04}.bench.test")).collect();
    let queries: String =
        (0..NAMES).map(|at| format!("{} A\n", names[at * 7919 % NAMES])).collect();
    folder.write("queries", &queries)?;
    for _ in 0..options.rounds {
        let jitsu = Jitsu::start("dns-jitsu", &services(&names)?)?;
        table.add("jitsu serve", &measure(options, &folder, 5301, &jitsu.serve)?);
        drop(jitsu);
        if has(KNOT) {
            let knot = knot(&folder, &names)?;
            table.add("knot, one worker", &measure(options, &folder, 5302, &knot)?);
        }
    }
    table.print();
    Ok(())
}

fn services(names: &[String]) -> io::Result<String> {
    let me = own_path()?;
    Ok(format!(
        "[domain.bench]\nguest = {{ command = {{ argv = [\"{me}\", \"guest\", \"{{address}}:8080\"] }} }}\n\
         [service.bench]\nnames = {names:?}\nlisten = [{{ on = \"{FRONT}\", to = 8080 }}]\n\
         ready = {{ port = 8080 }}\nidle = \"10m\"\nttl = \"5m\"\n"
    ))
}

fn knot(folder: &Folder, names: &[String]) -> io::Result<Server> {
    let dir = folder.path().display();
    let records: String = names.iter().map(|name| format!("{name}. IN A 127.0.0.1\n")).collect();
    folder.write(
        "bench.zone",
        &format!(
            "$TTL 300\nbench.test. IN SOA ns.bench.test. host.bench.test. 1 3600 600 86400 300\n\
             bench.test. IN NS ns.bench.test.\nns.bench.test. IN A 127.0.0.1\n{records}"
        ),
    )?;
    let config = folder.write(
        "knot.conf",
        &format!(
            "server:\n  rundir: {dir}\n  listen: 127.0.0.1@5302\n  udp-workers: 1\n  tcp-workers: 1\n\
             \x20 background-workers: 1\ndatabase:\n  storage: {dir}\nzone:\n  - domain: bench.test\n\
             \x20   storage: {dir}\n    file: bench.zone\n    zonefile-sync: -1\n    journal-content: none\n"
        ),
    )?;
    Server::start(&[KNOT, "-c", &config.to_string_lossy()], &folder.path().join("log"))
}

fn measure(options: &Options, folder: &Folder, port: u16, server: &Server) -> io::Result<[f64; 4]> {
    let mut said = String::new();
    // The first run finds out when it answers, and wakes the service.
    until("the server answers", || {
        let asked = dnsperf(folder, port, "1", &["-n", "1"]);
        said = asked.unwrap_or_default();
        number(&said, "NOERROR").is_some_and(|count| count as usize == NAMES)
    })?;
    let before = server.cpu_us();
    let said = dnsperf(folder, port, &options.time.as_secs().to_string(), &[])?;
    let used = server.cpu_us() - before;
    let find = |key| number(&said, key).unwrap_or(f64::NAN);
    let latency = find("Average Latency (s):") * 1e6;
    Ok([
        find("Queries per second:"),
        used / find("Queries completed:"),
        latency,
        find("Queries lost:"),
    ])
}

fn dnsperf(folder: &Folder, port: u16, seconds: &str, more: &[&str]) -> io::Result<String> {
    let queries = folder.path().join("queries");
    let mut command = Command::new("dnsperf");
    command.args(["-s", "127.0.0.1", "-p", &port.to_string(), "-l", seconds]);
    command.args(["-T", "1", "-c", "1", "-q", "100", "-d"]).arg(queries).args(more);
    Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
}

/// The number behind a word of dnsperf's.
fn number(said: &str, key: &str) -> Option<f64> {
    let (_, rest) = said.split_once(key)?;
    rest.split_whitespace().next()?.trim_end_matches([',', '%']).parse().ok()
}
