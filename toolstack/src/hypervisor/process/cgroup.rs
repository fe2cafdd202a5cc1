//! The control groups of a domain, where the daemon may make some.
//!
//! Owns finding out what this machine lets us have (version 2, else 1, else nothing) and one
//! group per domain. Having none is never an error: a domain is then known by its session and by
//! a mark in its environment (see [`super::kill`]), and its memory is not limited.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jitsu_proto::Name;

/// Processes that one domain may have at once, where the controller is there.
const PIDS_MAX: u32 = 4096;

/// Where domains' groups are made. Any part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Groups {
    unified: Option<PathBuf>,
    memory: Option<Controller>,
    pids: Option<Controller>,
    freezer: Option<PathBuf>,
}

/// Where a limit is set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Controller {
    /// In the unified hierarchy, beside everything else.
    Unified,
    /// In a hierarchy of its own.
    Own(PathBuf),
}

/// The groups of one domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    unified: Option<PathBuf>,
    freezer: Option<PathBuf>,
    limits: Vec<PathBuf>,
}

/// The ways into the groups of one domain.
pub(super) struct Entrance {
    /// The folder of the group of version 2.
    pub(super) born_in: Option<OwnedFd>,
    /// Files of version 1 in which a thread writes itself.
    pub(super) tasks: Vec<CString>,
}

impl Groups {
    /// Finds out what can be had. `tag` keeps two daemons on one machine apart.
    pub(super) fn probe(tag: &str) -> Groups {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let folder = format!("jitsu-{tag}");
        let mut groups = Groups::default();
        if let Some(base) = hierarchy(&mounts, &own, None) {
            groups.probe_unified(&base, &folder);
        }
        let own_hierarchy = |controller: &str| {
            let path = hierarchy(&mounts, &own, Some(controller))?.join(&folder);
            make(&path).then_some(path)
        };
        groups.memory = groups.memory.or_else(|| own_hierarchy("memory").map(Controller::Own));
        groups.pids = groups.pids.or_else(|| own_hierarchy("pids").map(Controller::Own));
        if groups.unified.is_none() {
            groups.freezer = own_hierarchy("freezer");
        }
        groups
    }

    fn probe_unified(&mut self, base: &Path, folder: &str) {
        let (base, may_enable) = ours(base);
        let path = base.join(folder);
        let can_kill = make(&path) && path.join("cgroup.kill").exists();
        if !can_kill {
            let _ = fs::remove_dir(&path);
            return;
        }
        let enable = |controller: &str| {
            let both = [base, path.as_path()];
            may_enable
                && both.iter().all(|dir| {
                    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).is_ok()
                })
        };
        self.memory = enable("memory").then_some(Controller::Unified);
        self.pids = enable("pids").then_some(Controller::Unified);
        self.unified = Some(path);
    }

    /// What was found, for the log.
    pub(super) fn summary(&self) -> &'static str {
        match (&self.unified, &self.memory) {
            (Some(_), Some(Controller::Unified)) => "cgroup v2 with a memory limit",
            (Some(_), Some(Controller::Own(_))) => "cgroup v2, memory limit by v1",
            (Some(_), None) => "cgroup v2 without a memory limit",
            (None, Some(_)) => "cgroup v1 with a memory limit",
            (None, None) if self.freezer.is_some() => "cgroup v1 without a memory limit",
            (None, None) => "no cgroup: no memory limit",
        }
    }

    /// Removes what was made by the probe, unless a domain is in it.
    pub(super) fn leave(&self) {
        let own = |controller: &Option<Controller>| match controller {
            Some(Controller::Own(base)) => Some(base.clone()),
            Some(Controller::Unified) | None => None,
        };
        let bases =
            [self.unified.clone(), self.freezer.clone(), own(&self.memory), own(&self.pids)];
        for base in bases.into_iter().flatten() {
            let _ = fs::remove_dir(base);
        }
    }

    /// The groups of a domain, whether they are there or not.
    pub(super) fn of(&self, name: &Name) -> Group {
        let in_own = |controller: &Option<Controller>| match controller {
            Some(Controller::Own(base)) => Some(base.join(name.as_str())),
            Some(Controller::Unified) | None => None,
        };
        Group {
            unified: self.unified.as_ref().map(|base| base.join(name.as_str())),
            freezer: self.freezer.as_ref().map(|base| base.join(name.as_str())),
            limits: [&self.memory, &self.pids].into_iter().filter_map(in_own).collect(),
        }
    }

    /// Makes the groups of a domain and sets its limits.
    pub(super) fn make(&self, name: &Name, memory_mib: u32) -> io::Result<Group> {
        let group = self.of(name);
        for dir in group.dirs() {
            match fs::create_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let bytes = (u64::from(memory_mib) << 20).to_string();
        match (&self.memory, &group.unified) {
            (Some(Controller::Own(base)), _) => {
                fs::write(base.join(name.as_str()).join("memory.limit_in_bytes"), &bytes)?;
            }
            (Some(Controller::Unified), Some(dir)) => {
                fs::write(dir.join("memory.max"), &bytes)?;
                // Not there on a kernel without swap; the limit holds all the same.
                let _ = fs::write(dir.join("memory.swap.max"), "0");
            }
            _ => {}
        }
        match (&self.pids, &group.unified) {
            (Some(Controller::Own(base)), _) => {
                fs::write(base.join(name.as_str()).join("pids.max"), PIDS_MAX.to_string())?;
            }
            (Some(Controller::Unified), Some(dir)) => {
                fs::write(dir.join("pids.max"), PIDS_MAX.to_string())?;
            }
            _ => {}
        }
        Ok(group)
    }
}

impl Group {
    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.unified.iter().chain(&self.freezer).chain(&self.limits)
    }

    /// How a process enters.
    ///
    /// Writing to `cgroup.procs` makes the kernel wait until no process anywhere is starting or
    /// ending a thread: 20 ms, when nobody did so lately. Two ways in do not: to be born in a
    /// group of version 2, and, in version 1, to write one's own single thread to `tasks`.
    pub(super) fn entrance(&self) -> io::Result<Entrance> {
        let born_in = self.unified.as_ref().map(fs::File::open).transpose()?.map(Into::into);
        let own = self.freezer.iter().chain(&self.limits);
        let tasks = own.map(|dir| {
            let path = CString::new(dir.join("tasks").as_os_str().as_bytes());
            path.expect("BUG: a path from /proc and a name hold no NUL")
        });
        Ok(Entrance { born_in, tasks: tasks.collect() })
    }

    /// Stops or starts the clock of all in it. False: this machine has no way to do that.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<bool> {
        if let Some(dir) = &self.unified {
            fs::write(dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        } else if let Some(dir) = &self.freezer {
            fs::write(dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })?;
        }
        Ok(self.has_all())
    }

    /// Whether everything that a domain starts is found here, whatever it does.
    pub(super) fn has_all(&self) -> bool {
        self.unified.is_some() || self.freezer.is_some()
    }

    /// Kills all in it at once, where the kernel can. False: it cannot.
    pub(super) fn kill(&self) -> io::Result<bool> {
        let Some(dir) = &self.unified else { return Ok(false) };
        match fs::write(dir.join("cgroup.kill"), "1") {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The processes in it.
    pub(super) fn members(&self) -> Vec<i32> {
        let Some(dir) = self.unified.as_ref().or(self.freezer.as_ref()) else {
            return Vec::new();
        };
        let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        procs.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes the groups. True: none is left.
    pub(super) fn remove(&self) -> bool {
        self.dirs().fold(true, |all, dir| {
            let gone = match fs::remove_dir(dir) {
                Err(error) => error.kind() == io::ErrorKind::NotFound,
                Ok(()) => true,
            };
            gone && all
        })
    }
}

fn make(path: &Path) -> bool {
    fs::create_dir(path).is_ok()
        || path.is_dir() && nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Where our groups may be made in the unified hierarchy, and whether controllers may be enabled
/// there.
///
/// The kernel gives controllers to the children of a group only while no process is in the group
/// itself, and lets none in afterwards. systemd starts a unit's processes in the unit's group: with
/// controllers on it, a unit whose domains live on could not be started again. In a group below the
/// unit's (`DelegateSubgroup=`, systemd 254) we may.
fn ours(own: &Path) -> (&Path, bool) {
    let is_unit = |path: &Path| path.extension().is_some_and(|extension| extension == "service");
    match own.parent() {
        Some(unit) if is_unit(unit) => (unit, true),
        _ => (own, !is_unit(own)),
    }
}

/// The folder of our own group in the hierarchy of `controller` (None: the unified one).
fn hierarchy(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        is_it.then_some(dir)
    })?;
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        let is_it = match controller {
            None => names.is_empty(),
            Some(name) => names.split(',').any(|other| other == name),
        };
        is_it.then_some(path)
    })?;
    let dir = Path::new(mount).join(path.trim_start_matches('/'));
    dir.is_dir().then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_own_group_is_left_alone() {
        let check = |own: &str, expected: (&str, bool)| {
            assert_eq!(ours(Path::new(own)), (Path::new(expected.0), expected.1));
        };
        check("/sys/fs/cgroup", ("/sys/fs/cgroup", true));
        check("/c/system.slice/toolstack.service", ("/c/system.slice/toolstack.service", false));
        check("/c/toolstack.service/daemon", ("/c/toolstack.service", true));
    }

    #[test]
    fn hierarchies_are_found() {
        let mounts = "cgroup2 / cgroup2 rw 0 0\ncgroup /proc cgroup rw,relatime,memory 0 0\n";
        let own = "5:memory:/self\n3:cpu,cpuacct:/\n0::/\n";
        assert_eq!(hierarchy(mounts, own, None), Some(PathBuf::from("/")));
        assert_eq!(hierarchy(mounts, own, Some("memory")), Some(PathBuf::from("/proc/self")));
        assert_eq!(hierarchy(mounts, own, Some("cpu")), None);
        assert_eq!(hierarchy("", "", None), None);
    }
}
