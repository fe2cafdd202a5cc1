//! The inetd of Xen: a DNS question or a connection summons a VM.
//!
//! Owns `jitsu serve` (DNS, the holding proxy, the decision which service should run), the
//! command line, and `jitsu up`. It must not know a hypervisor: it asks the toolstack.

pub mod cli;
pub mod client;
pub mod config;
pub mod declare;
pub mod demo;
pub mod dns;
pub mod forward;
pub mod proxy;
pub mod ready;
pub mod serve;
pub mod summon;
pub mod up;
pub mod zones;
