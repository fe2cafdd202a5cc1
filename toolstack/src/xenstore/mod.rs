//! The XenStore: what toolstacks, guests and drivers of Xen tell each other.
//!
//! Owns its use from dom0. [`packet`], [`path`], [`permission`] and [`wire`] are the protocol, pure
//! and for both sides of it; [`client`] and [`transaction`] change things and block; [`watch`] waits
//! for changes. It must not know what a domain is made of.

pub mod client;
mod link;
pub mod packet;
pub mod path;
pub mod permission;
pub mod transaction;
pub mod watch;
pub mod wire;

pub use client::{Client, ClientError};
pub use link::{LinkError, Place};
pub use path::Path;
pub use permission::{Access, Permission};
pub use transaction::Transaction;
pub use watch::{Changes, WatchError, Watches};
