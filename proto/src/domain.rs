//! What a domain is, what is wanted of it, and what it was seen to be.
//!
//! Owns the values; it must not know how a hypervisor makes them true.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Mac, Millis, Name};

/// What a domain is made from. Stored field by field under `/domains/<name>/spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainSpec {
    /// What runs in it.
    pub guest: Guest,
    /// Memory, in MiB.
    #[serde(default = "default_memory_mib")]
    pub memory_mib: u32,
    /// Virtual CPUs.
    #[serde(default = "default_vcpus")]
    pub vcpus: u32,
    /// The address the guest will have. None: the hypervisor gives it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What to do when the guest ends by itself while it is wanted.
    #[serde(default)]
    pub on_crash: OnCrash,
    /// What to do when the guest asks for a reboot while it is wanted.
    #[serde(default)]
    pub on_reboot: OnReboot,
    /// How long a guest that was asked to shut down may take before it is destroyed.
    #[serde(default = "default_shutdown_grace")]
    pub shutdown_grace: Millis,
    /// Its network interfaces, on Xen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vifs: Vec<Vif>,
    /// Its disks, on Xen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// What the guest finds in its XenStore directory when it boots, on Xen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
}

fn default_memory_mib() -> u32 {
    64
}

fn default_vcpus() -> u32 {
    1
}

fn default_shutdown_grace() -> Millis {
    Millis::from_secs(10)
}

impl DomainSpec {
    /// A spec for `guest` with every other field at its default.
    pub fn new(guest: Guest) -> DomainSpec {
        DomainSpec {
            guest,
            memory_mib: default_memory_mib(),
            vcpus: default_vcpus(),
            address: None,
            on_crash: OnCrash::default(),
            on_reboot: OnReboot::default(),
            shutdown_grace: default_shutdown_grace(),
            vifs: Vec::new(),
            disks: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// The address that its guest is said to have: its own, or that of its first interface.
    pub fn guest_address(&self) -> Option<IpAddr> {
        self.address.or_else(|| self.vifs.first().and_then(|vif| vif.ip))
    }
}

/// What runs in a domain. A hypervisor refuses the kinds that it cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Guest {
    /// A program and its arguments, on the `process` hypervisor. `{address}` and `{name}` in an
    /// argument become the domain's address and name; both are also in the environment as
    /// `JITSU_ADDRESS` and `JITSU_NAME`.
    Command {
        /// The program (absolute, or found on PATH) and its arguments.
        argv: Vec<String>,
        /// More environment variables.
        #[serde(default)]
        env: BTreeMap<String, String>,
    },
    /// The HTTP guest that is built in, for a first try.
    Hello {
        /// The TCP port it listens on.
        #[serde(default = "default_hello_port")]
        port: u16,
        /// How long it pretends to boot before it listens.
        #[serde(default)]
        boot: Millis,
    },
    /// A kernel image, on Xen: a unikernel, or Linux.
    Kernel {
        /// Path of the kernel image.
        image: String,
        /// Path of the ramdisk, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ramdisk: Option<String>,
        /// The kernel's command line. `{address}` and `{name}` in it become the domain's address
        /// and name.
        #[serde(default)]
        cmdline: String,
        /// How it is virtualised.
        #[serde(default)]
        mode: Mode,
    },
    /// A domain as an `xl.cfg(5)` describes it, on Xen by `xl`. Its name is ours all the same.
    Xl {
        /// Path of the configuration.
        config: String,
    },
}

/// How a kernel is virtualised by Xen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Paravirtualised: it knows Xen from its first instruction.
    #[default]
    Pv,
    /// Hardware-assisted, without emulated devices.
    Pvh,
}

/// A virtual network interface, plugged into a bridge of dom0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vif {
    /// The bridge. None: the toolstack's `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Its hardware address. None: one that follows from the domain's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The address that it is written to have in the XenStore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// A hotplug script that plugs it, instead of a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

/// A virtual disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// A block device, or a file that holds the disk's bytes as they are.
    pub source: String,
    /// What the guest calls it: `xvda`, `xvdb1`, `sda`, `hda`.
    pub device: String,
    /// Whether the guest may not write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// A key of the XenStore and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its path below the domain's directory: `rumprun/cfg`.
    pub path: String,
    /// What it holds.
    pub value: String,
}

fn default_hello_port() -> u16 {
    8080
}

/// What to do when a guest ends by itself while it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCrash {
    /// Leave it gone, and want it no more.
    #[default]
    Destroy,
    /// Start it again, with back-off and a bounded number of attempts.
    Restart,
}

/// What to do when a guest asks for a reboot while it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReboot {
    /// Start it again; a bounded number of times where it asks too soon.
    #[default]
    Restart,
    /// Leave it gone, and want it no more.
    Destroy,
}

/// What is wanted of a domain. Stored as text at `/domains/<name>/wanted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To run.
    Running,
    /// To exist, with its clock stopped.
    Paused,
    /// To be saved to a file and use no memory (or as little as the hypervisor can).
    Suspended,
    /// Gone, but asked first: shut down, and destroyed after its grace.
    Shutdown,
    /// Gone, at once.
    Absent,
}

/// What a domain was seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// It does not exist.
    Absent,
    /// It is being built, resumed, or built but not yet let run.
    Starting,
    /// It runs.
    Running,
    /// It exists and its clock is stopped.
    Paused,
    /// It is saved.
    Suspended,
    /// It is being shut down, saved or destroyed.
    Stopping,
    /// It could not be made what is wanted; see the error. Tried again after a while, or when asked.
    Failed,
}

/// One domain, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// Its name.
    pub name: Name,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// What it was seen to be.
    pub state: DomainState,
    /// Its address, when it has one.
    pub address: Option<IpAddr>,
    /// The hypervisor's number for it (a Xen domid; a process id), when it exists.
    pub id: Option<u32>,
    /// When it entered this state, in milliseconds since 1970.
    pub since_ms: u64,
    /// How many times it was started since the daemon came up.
    pub boots: u64,
    /// Why it failed or ended by itself, the last time.
    pub error: Option<String>,
    /// How long the steps of its last start took.
    pub timing: Option<Timing>,
    /// Grows with every change that is told, over restarts of the daemon too: of two statuses,
    /// whichever way they came, the one with the greater number is the newer.
    pub version: u64,
}

/// How long the steps of one start took, each in microseconds from when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// The commit that asked for it was durable.
    pub durable_us: u64,
    /// The domain was built, paused.
    pub created_us: u64,
    /// It was let run.
    pub unpaused_us: u64,
}
