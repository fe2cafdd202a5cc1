//! Jitsu beside its peers, in one run on one machine: `cargo bench --bench compare`.
//!
//! Owns the order of things and where they happen: in a network namespace that holds nothing but
//! a loopback interface (as root; else on the machine's own), servers on core 0, load on core 1,
//! the candidates taking turns. It prints tables; nothing is judged. `cargo build --release` comes first.
//!
//! `cargo bench --bench compare -- [cold|dns|proxy]… [--rounds N] [--seconds N] [--boots N]`
// A table on standard output is all that this program is for.
#![allow(clippy::print_stdout)]

mod cold;
mod dns;
mod host;
mod load;
mod proxy;
mod table;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Says that the process is already where it should be.
const INSIDE: &str = "JITSU_COMPARE_INSIDE";

/// What may be told on the command line.
pub(crate) struct Options {
    chosen: Vec<String>,
    /// How often each measurement of `dns` and `proxy` is repeated.
    pub(crate) rounds: usize,
    /// How long each takes.
    pub(crate) time: Duration,
    /// Cold starts of each candidate.
    pub(crate) boots: usize,
}

fn options() -> Result<Options, String> {
    let (mut rounds, mut seconds, mut boots) = (3, 2, 200);
    let mut chosen = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = match word.as_str() {
            "--rounds" => &mut rounds,
            "--seconds" => &mut seconds,
            "--boots" => &mut boots,
            // Cargo says this to every bench.
            "--bench" => continue,
            "cold" | "dns" | "proxy" => {
                chosen.push(word);
                continue;
            }
            other => return Err(format!("{other:?}: give any of cold, dns, proxy")),
        };
        let value = words.next().and_then(|value| value.parse().ok());
        *number = value.ok_or_else(|| format!("{word} needs a number"))?;
    }
    let time = Duration::from_secs(seconds as u64);
    Ok(Options { chosen, rounds, time, boots })
}

fn is_root() -> bool {
    // The owner of a process's files is who it runs as.
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Starts this program again in a namespace of its own and on core 1. Returns only an error.
fn go_inside() -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = if is_root() {
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--",
            "sh",
            "-c",
            "ip link set lo up && exec taskset -c 1 \"$@\"",
            "sh",
        ]);
        command
    } else {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]);
        command
    };
    command.arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec()
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} ({} of it for the load), kernel {}, load average {}",
        model.trim_start_matches(['\t', ' ', ':']),
        cores,
        kernel.trim(),
        load.split(' ').take(3).collect::<Vec<_>>().join(" ")
    )
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, address] = words.as_slice()
        && word == "guest"
    {
        return load::guest(address);
    }
    let options = options().map_err(io::Error::other)?;
    if std::env::var_os(INSIDE).is_none() {
        return Err(go_inside());
    }
    let is_chosen =
        |name: &str| options.chosen.is_empty() || options.chosen.iter().any(|c| c == name);
    println!("{}\n", machine());
    if is_chosen("cold") {
        cold::run(&options)?;
    }
    if is_chosen("dns") {
        dns::run(&options)?;
    }
    if is_chosen("proxy") {
        proxy::run(&options)?;
    }
    println!("afterwards: {}", machine());
    Ok(())
}
