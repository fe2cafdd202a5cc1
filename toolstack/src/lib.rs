//! Makes domains exist or not, and records why in a branch-consistent store.

pub mod check;
pub mod committer;
pub mod guest;
pub mod history;
pub mod hypervisor;
pub mod layout;
pub mod limits;
pub mod machine;
pub mod plan;
pub mod record;
mod words;
