//! Kinds of domains that are built before anybody asks.
//!
//! Owns what the configuration says of them. It must not know how they are built.

use serde::Deserialize;

/// A kind of shell, and how many of it are kept. A domain fits that has the same memory, VCPUs and
/// bridges.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flavour {
    /// How many are kept ready.
    pub count: usize,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    #[serde(default = "one")]
    pub vcpus: u32,
    /// The bridge of each network interface.
    #[serde(default)]
    pub bridges: Vec<String>,
}

fn one() -> u32 {
    1
}
