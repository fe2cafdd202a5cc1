//! From a guest to a program, its arguments and its environment.
//!
//! Owns what a process guest is told: it must not know how it is started.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jitsu_proto::{DomainSpec, Guest, Name};
use nix::unistd::{AccessFlags, access};

use super::kill::MARK;
use crate::guest;
use crate::hypervisor::{HypervisorError, fill};

/// Where programs are looked for when the guest's environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ready for `execve`.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
}

/// Finds the program and puts its arguments and environment together.
pub(super) fn prepare(
    name: &Name,
    spec: &DomainSpec,
    address: IpAddr,
    mark: &str,
    hello: &Path,
) -> Result<Prepared, HypervisorError> {
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    let (program, argv) = match &spec.guest {
        Guest::Command { argv, env: more } => {
            env.extend(more.clone());
            let address = address.to_string();
            let argv: Vec<String> =
                argv.iter().map(|argument| fill(argument, name, &address)).collect();
            let wanted = argv.first().map_or("", String::as_str);
            (find(wanted, &env["PATH"])?, argv)
        }
        Guest::Hello { port, boot } => {
            env.insert(guest::PORT.to_owned(), port.to_string());
            env.insert(guest::BOOT_MS.to_owned(), boot.0.to_string());
            (hello.to_owned(), vec!["jitsu-hello".to_owned(), guest::ARGUMENT.to_owned()])
        }
        Guest::Kernel { .. } | Guest::Xl { .. } => {
            return Err(HypervisorError::Unsupported {
                hypervisor: "process",
                what: "run a kernel image",
                instead: "use a guest of kind \"command\" or \"hello\", or a hypervisor that is Xen",
            });
        }
    };
    env.insert(guest::ADDRESS.to_owned(), address.to_string());
    env.insert(guest::NAME.to_owned(), name.to_string());
    env.insert(MARK.to_owned(), mark.to_owned());
    let with_nul = |_| HypervisorError::Image {
        image: program.clone(),
        cause: io::Error::new(io::ErrorKind::InvalidInput, "an argument holds a NUL byte"),
    };
    let strings = |strings: Vec<String>| {
        strings.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().map_err(with_nul)
    };
    let argv = strings(argv)?;
    let env = strings(env.into_iter().map(|(key, value)| format!("{key}={value}")).collect())?;
    let path = program.as_os_str().as_encoded_bytes().to_vec();
    Ok(Prepared { program: CString::new(path).map_err(with_nul)?, argv, env })
}

/// The program's file: told now, when it is not there, and not when it is let run.
fn find(program: &str, path: &str) -> Result<PathBuf, HypervisorError> {
    let missing = |kind: io::ErrorKind| HypervisorError::Image {
        image: PathBuf::from(program),
        cause: io::Error::from(kind),
    };
    if program.contains('/') {
        let file = PathBuf::from(program);
        if !file.is_absolute() {
            return Err(missing(io::ErrorKind::InvalidFilename));
        }
        return match (file.is_file(), is_executable(&file)) {
            (false, _) => Err(missing(io::ErrorKind::NotFound)),
            (true, false) => Err(missing(io::ErrorKind::PermissionDenied)),
            (true, true) => Ok(file),
        };
    }
    let found = path.split(':').filter(|dir| dir.starts_with('/') && !program.is_empty());
    let mut found = found.map(|dir| Path::new(dir).join(program));
    found
        .find(|file| file.is_file() && is_executable(file))
        .ok_or_else(|| missing(io::ErrorKind::NotFound))
}

fn is_executable(file: &Path) -> bool {
    access(file, AccessFlags::X_OK).is_ok()
}
