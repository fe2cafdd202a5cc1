//! What a service is: the names it has, where it is reached, what runs it, when it sleeps.
//!
//! Owns the values; it must not know DNS or how a connection is held.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Millis, Name};

/// A service. Stored field by field under `/services/<name>/spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its DNS names, without the last dot; the first label may be `*`.
    #[serde(default)]
    pub names: Vec<String>,
    /// The domain that runs it. Default: the one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// Who answers the client's connection.
    #[serde(default)]
    pub front: Front,
    /// Where the proxy listens for it, and which port of the guest each leads to.
    #[serde(default)]
    pub listen: Vec<Listen>,
    /// When its guest counts as ready.
    #[serde(default)]
    pub ready: Ready,
    /// What wakes it.
    #[serde(default)]
    pub start_on: StartOn,
    /// How long it stays awake when nobody needs it.
    #[serde(default = "default_idle")]
    pub idle: Millis,
    /// The TTL of its DNS answers, in whole seconds; never longer than `idle` when answered.
    #[serde(default = "default_ttl")]
    pub ttl: Millis,
    /// The shortest time a cold start holds its clients, for guests that look ready too soon.
    #[serde(default)]
    pub hold_min: Millis,
    /// The longest time a client is held before it is refused.
    #[serde(default = "default_hold_max")]
    pub hold_max: Millis,
    /// How it is stopped when idle.
    #[serde(default)]
    pub stop: StopMode,
    /// How many clients it may have, held and live together.
    #[serde(default = "default_clients_max")]
    pub clients_max: u32,
    /// Tell the guest who the client is, with a PROXY protocol header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

fn default_idle() -> Millis {
    Millis::from_secs(60)
}

fn default_ttl() -> Millis {
    Millis::from_secs(30)
}

fn default_hold_max() -> Millis {
    Millis::from_secs(10)
}

fn default_clients_max() -> u32 {
    1024
}

impl Default for ServiceSpec {
    fn default() -> ServiceSpec {
        ServiceSpec {
            names: Vec::new(),
            domain: None,
            front: Front::default(),
            listen: Vec::new(),
            ready: Ready::default(),
            start_on: StartOn::default(),
            idle: default_idle(),
            ttl: default_ttl(),
            hold_min: Millis(0),
            hold_max: default_hold_max(),
            stop: StopMode::default(),
            clients_max: default_clients_max(),
            proxy_protocol: None,
        }
    }
}

/// Who answers the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Front {
    /// Our proxy: DNS names the proxy's address, and connections are held there.
    #[default]
    Proxy,
    /// The guest itself: DNS waits for it to be ready and names its own address.
    Direct,
}

/// One listening address of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Where the proxy listens.
    pub on: SocketAddr,
    /// The guest's port; default: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
}

impl Listen {
    /// The guest's port.
    pub fn guest_port(&self) -> u16 {
        self.to.unwrap_or(self.on.port())
    }
}

/// When a guest counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ready {
    /// As soon as it was let run.
    #[default]
    Started,
    /// When this TCP port of it accepts a connection.
    Port(u16),
    /// That long after it was let run.
    Delay(Millis),
    /// When it has written this key of the XenStore, below its own directory.
    Xenstore(String),
}

/// What wakes a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOn {
    /// A DNS question.
    Dns,
    /// A connection.
    Connection,
    /// Either.
    #[default]
    Both,
}

/// How a service is stopped when idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// At once.
    #[default]
    Destroy,
    /// Asked first.
    Shutdown,
    /// Saved, to resume where it was.
    Suspend,
}

/// Version of the PROXY protocol header (haproxy's `proxy-protocol.txt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}
