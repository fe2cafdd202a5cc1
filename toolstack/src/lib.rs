//! Makes domains exist or not, and records why in a branch-consistent store.

pub mod guest;
pub mod hypervisor;
