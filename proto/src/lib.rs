//! Every type that crosses a process boundary of Jitsu, and the frames that carry them.
//!
//! Owns the vocabulary that `jitsu`, its command line and `toolstack` share. It must not know
//! how anything is done: no sockets, no store, no hypervisor, no DNS. Nothing outside this
//! crate is `Serialize`.
//!
//! The wire is [`frame`]: a length, then one MessagePack value. A connection begins with a
//! [`Hello`] each way; after that requests carry a number, several may be under way at once,
//! and events carry the number of the request that subscribed to them.

pub mod domain;
pub mod error;
pub mod frame;
pub mod history;
pub mod mac;
pub mod message;
pub mod millis;
pub mod name;
pub mod service;

pub use domain::{
    Disk, DomainSpec, DomainState, DomainStatus, Guest, Key, Mode, OnCrash, OnReboot, Timing, Vif,
    Wanted,
};
pub use error::{ErrorCode, RpcError};
pub use frame::{Decoder, FRAME_BYTES_MAX, FrameError, encode};
pub use history::{Branch, Change, Commit, Conflict, Edit, Entry, Fields, Node, Value};
pub use mac::{Mac, MacError};
pub use message::{
    ClientFrame, Event, Facts, Hello, Info, Request, Response, Role, ServerFrame, TraceId, VERSION,
};
pub use millis::Millis;
pub use name::{Name, NameError};
pub use service::{Front, Listen, ProxyProtocol, Ready, ServiceSpec, StartOn, StopMode};
