//! Processes, and what the kernel says of them.
//!
//! Owns starting, finding ready and ending what is measured, and the two daemons of Jitsu as one
//! of them. It must not know the load.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
/// The kernel counts CPU time for us in hundredths of a second, on every Linux.
const TICK_US: f64 = 10_000.0;

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> io::Result<Folder> {
        let path =
            std::env::temp_dir().join(format!("jitsu-compare-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process on core 0, ended with its owner.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(words: &[&str], log: &Path) -> io::Result<Server> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).args(words).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Server(command.spawn()?))
    }

    /// CPU time that it has used, in microseconds, in its own code and in the kernel.
    pub(crate) fn cpu_us(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * TICK_US
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error: it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("not within {PATIENCE:?}: {what}")));
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until somebody listens. It does not connect, which would wake who sleeps.
pub(crate) fn until_listening(address: SocketAddrV4) -> io::Result<()> {
    let octets = u32::from_ne_bytes(address.ip().octets());
    let local = format!(" {octets:08X}:{:04X} 00000000:0000 0A ", address.port());
    until(&format!("somebody listens on {address}"), || {
        fs::read_to_string("/proc/net/tcp").unwrap_or_default().contains(&local)
    })
}

/// Whether a program can be run here.
pub(crate) fn has(program: &str) -> bool {
    Path::new(program).exists()
}

/// This program.
pub(crate) fn own_path() -> io::Result<String> {
    Ok(std::env::current_exe()?.display().to_string())
}

/// An address that the front of a service may have.
pub(crate) const FRONT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1), 9100);

/// Both daemons, as they would be installed.
pub(crate) struct Jitsu {
    toolstack: Server,
    pub(crate) serve: Server,
    folder: Folder,
}

impl Jitsu {
    /// Starts them with these services, and waits until the front is there.
    pub(crate) fn start(name: &str, services: &str) -> io::Result<Jitsu> {
        let folder = Folder::new(name)?;
        let dir = folder.path().display().to_string();
        let log = "[log]\nformat = \"text\"\nlevel = \"warn\"\n";
        let toolstack = folder.write(
            "toolstack.toml",
            &format!(
                "socket = \"{dir}/socket\"\nstate_dir = \"{dir}/state\"\nruntime_dir = \"{dir}/run\"\n{log}"
            ),
        )?;
        let jitsu = folder.write(
            "jitsu.toml",
            &format!("toolstack = \"{dir}/socket\"\n[dns]\nlisten = [\"127.0.0.1:5301\"]\n[limits]\nbackoff_max = \"200ms\"\nbackoff_min = \"200ms\"\n{log}"),
        )?;
        let services = folder.write("services.toml", services)?;
        let start = |program: &str, config: &Path| {
            let program = program_path(program)?;
            let words = [&*program, "serve", "--config", &*config.to_string_lossy()];
            Server::start(&words, &folder.path().join("log"))
        };
        let toolstack = start("toolstack", &toolstack)?;
        until("the toolstack has its socket", || folder.path().join("socket").exists())?;
        let serve = start("jitsu", &jitsu)?;
        let pair = Jitsu { toolstack, serve, folder };
        pair.ask(&["service", "add", "--file", &services.to_string_lossy()])?;
        until_listening(FRONT)?;
        Ok(pair)
    }

    /// CPU time of both daemons, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.toolstack.cpu_us() + self.serve.cpu_us()
    }

    /// Shows what both have logged, on standard error.
    pub(crate) fn say_log(&self) -> io::Result<()> {
        let log = fs::read_to_string(self.folder.path().join("log"))?;
        eprint!(
            "{}",
            log.lines().rev().take(5).fold(String::new(), |all, line| format!("  {line}\n{all}"))
        );
        Ok(())
    }

    /// What the command line says.
    pub(crate) fn ask(&self, words: &[&str]) -> io::Result<String> {
        let socket = self.folder.path().join("socket");
        let mut command = Command::new(program_path("jitsu")?);
        command.arg("--socket").arg(socket).arg("--json").args(words);
        let Output { status, stdout, stderr } = command.output()?;
        if !status.success() {
            let why = String::from_utf8_lossy(&stderr);
            return Err(io::Error::other(format!("jitsu {}: {why}", words.join(" "))));
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// The state of the only domain.
    pub(crate) fn state(&self) -> io::Result<String> {
        let status: serde_json::Value = serde_json::from_str(&self.ask(&["status"])?)?;
        let state = status["domains"][0]["state"].as_str();
        Ok(state.unwrap_or("absent").to_owned())
    }
}

impl Drop for Jitsu {
    fn drop(&mut self) {
        // Nothing summons it again while it is stopped.
        let _ = self.serve.0.kill();
        if let Err(error) = self.ask(&["stop", "--how", "destroy", "bench"]) {
            println!("the guest is left: {error}");
        }
    }
}

/// Programs stand together, where cargo puts them.
fn program_path(name: &str) -> io::Result<String> {
    let path = Path::new(env!("CARGO_BIN_EXE_jitsu")).with_file_name(name);
    if !path.exists() {
        return Err(io::Error::other(format!(
            "{} is not there: cargo build --release",
            path.display()
        )));
    }
    Ok(path.display().to_string())
}
