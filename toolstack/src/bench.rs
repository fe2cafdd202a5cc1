//! How long domains take to make and to remove.
//!
//! Owns the measurement behind `toolstack bench-boot`: the same domain, made paused and destroyed
//! in each way that this machine has, in one run, so that what is compared is ratios and not the
//! machine's mood. It must not say what is good.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jitsu_proto::{DomainSpec, Guest, Name};

use crate::config::{Backend, Config};
#[cfg(feature = "xen")]
use crate::hypervisor::xen::{Flavour, native::Xen};
use crate::hypervisor::{self, Handle, Hypervisor, HypervisorError};

/// How long a shell is waited for.
const SHELL_MAX: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is made.
    pub spec: DomainSpec,
    /// How many times in each way.
    pub runs: usize,
    /// How many domains like it run besides, in a second half. Zero: no second half.
    pub with: usize,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A backend failed.
    #[error("{way}: {cause}")]
    Hypervisor {
        /// Which way to make domains.
        way: &'static str,
        /// Why.
        cause: HypervisorError,
    },
    /// The command `xl` failed.
    #[error("xl {what}: {said}")]
    Xl {
        /// What it was to do.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// Xen runs kernels.
    #[error("in a dom0 of Xen this needs a kernel: --image PATH")]
    NoImage,
    /// No shell came.
    #[error("no domain was built in advance within a minute; see the log")]
    NoShell,
    /// What ran besides did not.
    #[error(
        "{ended} of the {with} domains that were to run besides have ended: the guest needs other \
         words (--cmdline) or more memory"
    )]
    Ended {
        /// How many.
        ended: usize,
        /// Of how many.
        with: usize,
    },
    /// The daemon would be disturbed, and disturb.
    #[error("a toolstack serves at {}: stop it first", .0.display())]
    Serving(PathBuf),
    /// The machine.
    #[error("{doing}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
}

/// A way to make a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The command `xl create -p`, as a person would.
    Command,
    /// A backend.
    Backend(Backend),
    /// The backend `xen`, with a domain that was built in advance.
    Shell,
}

/// A way that is open.
enum Open {
    Command {
        config: PathBuf,
        name: &'static str,
    },
    Backend {
        backend: Arc<dyn Hypervisor>,
        /// Whether what is made in advance is there.
        is_ready: Box<dyn Fn() -> bool>,
    },
}

/// Medians.
#[derive(Debug, Clone, Copy)]
struct Times {
    create: Duration,
    destroy: Duration,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Command => "xl create -p",
            Way::Backend(Backend::Xl) => "hypervisor xl",
            Way::Backend(Backend::Xen) => "hypervisor xen",
            Way::Backend(_) => "hypervisor process",
            Way::Shell => "hypervisor xen, from a shell",
        }
    }

    /// All that this machine has; the first is what the others are compared with.
    fn all() -> Vec<Way> {
        if !hypervisor::is_dom0() {
            return vec![Way::Backend(Backend::Process)];
        }
        let mut all = vec![Way::Command, Way::Backend(Backend::Xl)];
        if cfg!(feature = "xen") {
            all.extend([Way::Backend(Backend::Xen), Way::Shell]);
        }
        all
    }

    fn open(self, config: &Config, spec: &DomainSpec) -> Result<Open, BenchError> {
        let failed = |cause| BenchError::Hypervisor { way: self.name(), cause };
        match self {
            Way::Command => xl_config(spec, &config.bridge),
            Way::Backend(backend) => {
                let config = Config { hypervisor: backend, shells: Vec::new(), ..config.clone() };
                let backend = hypervisor::open(&config).map_err(failed)?;
                Ok(Open::Backend { backend, is_ready: Box::new(|| true) })
            }
            #[cfg(feature = "xen")]
            Way::Shell => {
                let xen = open_xen(config, vec![shell(config, spec)]).map_err(failed)?;
                let backend = xen.clone();
                Ok(Open::Backend { backend, is_ready: Box::new(move || xen.shells_ready() > 0) })
            }
            #[cfg(not(feature = "xen"))]
            Way::Shell => unreachable!("BUG: a build without shells measures them"),
        }
    }
}

/// One domain built in advance for this spec.
#[cfg(feature = "xen")]
fn shell(config: &Config, spec: &DomainSpec) -> Flavour {
    let bridges = vec![config.bridge.clone(); spec.vifs.len()];
    Flavour { count: 1, memory_mib: spec.memory_mib, vcpus: spec.vcpus, bridges }
}

#[cfg(feature = "xen")]
fn open_xen(config: &Config, shells: Vec<Flavour>) -> Result<Arc<Xen>, HypervisorError> {
    let config = Config { shells, ..config.clone() };
    let xen = Arc::new(hypervisor::open_xen(&config)?);
    xen.watch(Box::new(|_| {}));
    Ok(xen)
}

/// What Xen's free memory loses to one domain built in advance, in KiB.
#[cfg(feature = "xen")]
fn shell_kib(config: &Config, spec: &DomainSpec) -> Result<u64, BenchError> {
    let failed = |cause| BenchError::Hypervisor { way: "the memory of a shell", cause };
    let before = open_xen(config, Vec::new()).and_then(|xen| xen.free_kib()).map_err(failed)?;
    let xen = open_xen(config, vec![shell(config, spec)]).map_err(failed)?;
    await_shell(&|| xen.shells_ready() > 0)?;
    Ok(before.saturating_sub(xen.free_kib().map_err(failed)?))
}

fn await_shell(is_ready: &dyn Fn() -> bool) -> Result<(), BenchError> {
    let until = Instant::now() + SHELL_MAX;
    while !is_ready() {
        if Instant::now() >= until {
            return Err(BenchError::NoShell);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Writes what `xl` needs to make the domain.
fn xl_config(spec: &DomainSpec, bridge: &str) -> Result<Open, BenchError> {
    let Guest::Kernel { image, ramdisk, cmdline, .. } = &spec.guest else {
        return Err(BenchError::NoImage);
    };
    let name = "jitsu-bench-xl";
    let vif = if spec.vifs.is_empty() { String::new() } else { format!("'bridge={bridge}'") };
    let ramdisk =
        ramdisk.as_ref().map_or_else(String::new, |ramdisk| format!("ramdisk = {ramdisk:?}\n"));
    let text = format!(
        "name = {name:?}\nkernel = {image:?}\n{ramdisk}cmdline = {cmdline:?}\nmemory = {}\n\
         vcpus = {}\nvif = [{vif}]\n",
        spec.memory_mib, spec.vcpus
    );
    let config = std::env::temp_dir().join(format!("{name}-{}.cfg", std::process::id()));
    std::fs::write(&config, text)
        .map_err(|cause| BenchError::Io { doing: "writing an xl.cfg", cause })?;
    Ok(Open::Command { config, name })
}

fn xl(what: &'static str, arguments: &[&std::ffi::OsStr]) -> Result<(), BenchError> {
    let failed = |said| BenchError::Xl { what, said };
    let output = Command::new("xl").arg(what).args(arguments).output();
    let output = output.map_err(|cause| failed(cause.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

impl Open {
    /// Waits for what is made in advance.
    fn get_ready(&self) -> Result<(), BenchError> {
        match self {
            Open::Command { .. } => Ok(()),
            Open::Backend { is_ready, .. } => await_shell(is_ready),
        }
    }

    /// Counts from now on the domains that end by themselves.
    fn count_ended(&self) -> Arc<AtomicUsize> {
        let ended = Arc::new(AtomicUsize::new(0));
        if let Open::Backend { backend, .. } = self {
            let counted = ended.clone();
            backend.watch(Box::new(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            }));
        }
        ended
    }

    fn create(&self, name: &Name, spec: &DomainSpec) -> Result<Option<Handle>, BenchError> {
        match self {
            Open::Command { config, .. } => {
                xl("create", &["-p".as_ref(), config.as_os_str()]).map(|()| None)
            }
            Open::Backend { backend, .. } => backend
                .create(name, spec)
                .map(Some)
                .map_err(|cause| BenchError::Hypervisor { way: "create", cause }),
        }
    }

    fn start(&self, name: &Name, spec: &DomainSpec) -> Result<Option<Handle>, BenchError> {
        let handle = self.create(name, spec)?;
        if let (Open::Backend { backend, .. }, Some(handle)) = (self, &handle) {
            backend
                .unpause(handle)
                .map_err(|cause| BenchError::Hypervisor { way: "unpause", cause })?;
        }
        Ok(handle)
    }

    fn destroy(&self, handle: Option<&Handle>) -> Result<(), BenchError> {
        match (self, handle) {
            (Open::Command { name, .. }, _) => xl("destroy", &[name.as_ref()]),
            (Open::Backend { backend, .. }, Some(handle)) => backend
                .destroy(handle)
                .map_err(|cause| BenchError::Hypervisor { way: "destroy", cause }),
            (Open::Backend { .. }, None) => {
                unreachable!("BUG: a backend makes a domain with a handle")
            }
        }
    }

    fn measure(&self, plan: &Plan) -> Result<Times, BenchError> {
        let name = Name::new("jitsu-bench").expect("BUG: it is a name");
        let (mut creates, mut destroys) = (Vec::new(), Vec::new());
        // The first reads the image from the disk, and is not counted.
        for run in 0..=plan.runs {
            self.get_ready()?;
            let begun = Instant::now();
            let handle = self.create(&name, &plan.spec)?;
            let made = Instant::now();
            self.destroy(handle.as_ref())?;
            if run > 0 {
                creates.push(made - begun);
                destroys.push(made.elapsed());
            }
        }
        Ok(Times { create: median(creates), destroy: median(destroys) })
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Measures, and prints a table.
pub fn run(config: &Config, plan: &Plan, out: &mut dyn Write) -> Result<(), BenchError> {
    if std::os::unix::net::UnixStream::connect(&config.socket).is_ok() {
        return Err(BenchError::Serving(config.socket.clone()));
    }
    let printing = |cause| BenchError::Io { doing: "printing", cause };
    let ways = Way::all();
    let mut line = |text: String| writeln!(out, "{text}").map_err(printing);
    line(format!(
        "{} MiB, {} network interfaces, median of {} runs; times in ms\n\n{:<30} {:>8} {:>8} {:>8}",
        plan.spec.memory_mib,
        plan.spec.vifs.len(),
        plan.runs,
        "alone",
        "create",
        "× faster",
        "destroy"
    ))?;
    let alone = measure_all(config, plan, &ways, None, &mut line)?;
    #[cfg(feature = "xen")]
    if ways.contains(&Way::Shell) {
        let kib = shell_kib(config, &plan.spec)?;
        line(format!("\na shell takes {:.1} MiB of Xen's memory", kib as f64 / 1024.0))?;
    }
    if plan.with == 0 {
        return Ok(());
    }
    let last = *ways.iter().rfind(|way| **way != Way::Shell).expect("BUG: there is a way");
    let crowd = last.open(config, &plan.spec)?;
    let ended = crowd.count_ended();
    let members = (0..plan.with).map(|nth| {
        let name = Name::new(&format!("jitsu-crowd-{nth}")).expect("BUG: it is a name");
        crowd.start(&name, &plan.spec)
    });
    let members: Vec<_> = members.collect::<Result<_, _>>()?;
    let title = format!("with {} that run", plan.with);
    line(format!(
        "\n{title:<30} {:>8} {:>8} {:>8} {:>8}",
        "create", "× faster", "destroy", "growth"
    ))?;
    let crowded = measure_all(config, plan, &ways, Some(&alone), &mut line);
    // Who ends from here on ends by us.
    let ended = ended.load(Ordering::Relaxed);
    let destroyed = members.iter().map(|handle| crowd.destroy(handle.as_ref()));
    let destroyed = destroyed.fold(Ok(()), Result::and);
    crowded?;
    if ended > 0 {
        return Err(BenchError::Ended { ended, with: plan.with });
    }
    destroyed
}

fn measure_all(
    config: &Config,
    plan: &Plan,
    ways: &[Way],
    before: Option<&[Times]>,
    line: &mut dyn FnMut(String) -> Result<(), BenchError>,
) -> Result<Vec<Times>, BenchError> {
    let mut all: Vec<Times> = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        let times = way.open(config, &plan.spec)?.measure(plan)?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let first = all.first().unwrap_or(&times);
        let faster = ms(first.create) / ms(times.create);
        let growth = before.map_or_else(String::new, |before| {
            format!(" {:>8.2}", ms(times.create) / ms(before[at].create))
        });
        let Times { create, destroy } = times;
        let (create, destroy) = (ms(create), ms(destroy));
        line(format!("{:<30} {create:>8.1} {faster:>8.1} {destroy:>8.1}{growth}", way.name()))?;
        all.push(times);
    }
    Ok(all)
}
