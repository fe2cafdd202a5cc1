//! Opening the hypervisor that the configuration names.
//!
//! Owns the choice, and what each backend is told. It must not know what is done with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fake::{Fake, Faults, World};
use super::process::{self, Process};
use super::xl::{self, Xl};
use super::{Hypervisor, HypervisorError};
use crate::config::{Backend, Config};

/// What Linux says it is in a domain of Xen: `control_d` in the one that controls the others.
const CAPABILITIES: &str = "/proc/xen/capabilities";

/// Opens the hypervisor of a configuration.
pub fn open(config: &Config) -> Result<Arc<dyn Hypervisor>, HypervisorError> {
    let backend = match config.hypervisor {
        Backend::Auto => found(Path::new(CAPABILITIES)),
        chosen => chosen,
    };
    Ok(match backend {
        Backend::Process | Backend::Auto => Arc::new(Process::new(process::Settings {
            runtime_dir: config.runtime_dir.clone(),
            addresses: config.addresses,
            console_bytes_max: config.limits.console_bytes_max,
            hello: config.hello.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe")),
        })?),
        Backend::Xl => Arc::new(Xl::open(xl::Settings {
            program: PathBuf::from("xl"),
            bridge: config.bridge.clone(),
            runtime_dir: config.runtime_dir.clone(),
            console_bytes_max: config.limits.console_bytes_max,
        })?),
        Backend::Xen => xen(config)?,
        Backend::Fake => Arc::new(Fake::new(World::new(1, Faults::NONE))),
    })
}

/// Whether this is the domain of Xen that controls the others.
pub fn is_dom0() -> bool {
    says_dom0(Path::new(CAPABILITIES))
}

fn says_dom0(capabilities: &Path) -> bool {
    std::fs::read_to_string(capabilities).is_ok_and(|text| text.contains("control_d"))
}

/// The backend that fits this machine.
fn found(capabilities: &Path) -> Backend {
    let is_dom0 = says_dom0(capabilities);
    match (is_dom0, cfg!(feature = "xen")) {
        (false, _) => Backend::Process,
        (true, true) => Backend::Xen,
        (true, false) => Backend::Xl,
    }
}

#[cfg(feature = "xen")]
fn xen(config: &Config) -> Result<Arc<dyn Hypervisor>, HypervisorError> {
    Ok(Arc::new(open_xen(config)?))
}

/// Opens the hypervisor `xen`.
#[cfg(feature = "xen")]
pub fn open_xen(config: &Config) -> Result<super::xen::native::Xen, HypervisorError> {
    super::xen::native::Xen::open(super::xen::native::Settings {
        bridge: config.bridge.clone(),
        consoles_dir: config.runtime_dir.join("consoles"),
        console_bytes_max: config.limits.console_bytes_max,
        shells: config.shells.clone(),
    })
}

#[cfg(not(feature = "xen"))]
fn xen(_config: &Config) -> Result<Arc<dyn Hypervisor>, HypervisorError> {
    Err(HypervisorError::Unsupported {
        hypervisor: "xen",
        what: "be used by this build, which is without the cargo feature \"xen\"",
        instead: "use hypervisor = \"xl\", or build with --features xen (needs libxen-dev)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dom0_is_told_from_a_guest_and_from_a_laptop() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let is = |text: &str| {
            std::fs::write(file.path(), text).expect("written");
            found(file.path())
        };
        let best = if cfg!(feature = "xen") { Backend::Xen } else { Backend::Xl };
        assert_eq!(is("control_d\n"), best);
        assert_eq!(is("\n"), Backend::Process);
        assert_eq!(found(Path::new("/nonexistent/capabilities")), Backend::Process);
    }

    #[cfg(not(feature = "xen"))]
    #[test]
    fn a_build_without_the_libraries_says_so() {
        let config = Config { hypervisor: Backend::Xen, ..Config::default() };
        let error = open(&config).err().expect("it has none").to_string();
        assert!(error.contains("--features xen"), "{error}");
    }
}
