//! The parts of the unikernel that need no Xen to be right: tested on the machine that builds it.
//!
//! Owns nothing itself. Nothing below may touch memory that is shared, make a hypercall or ask
//! for the time.
#![cfg_attr(not(test), no_std)]

pub mod cmdline;
pub mod http;
pub mod packet;
pub mod ring;
pub mod timescale;
pub mod xenbus;
