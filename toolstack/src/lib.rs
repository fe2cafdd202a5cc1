//! Makes domains exist or not, and records why in a branch-consistent store.

pub mod guest;
pub mod hypervisor;
pub mod limits;
pub mod machine;
pub mod plan;
pub mod record;
