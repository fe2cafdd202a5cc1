//! Owns the tests of the lens to Git, with the real `git` as the other side.

mod backend;
mod cache;
mod fixture;
mod histories;
mod hostile;
mod outrun;
mod plain;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod recorded;
mod texts;
#[cfg(target_os = "linux")]
mod unflushed;
