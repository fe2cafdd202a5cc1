//! The configuration of `jitsu serve`.
//!
//! Owns what may be in its file, the defaults, and what is wrong with a service's spec. It must
//! not know how any of it is used.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jitsu_daemon::config::ConfigError;
use jitsu_daemon::log::LogConfig;
use jitsu_proto::{Front, Millis, ServiceSpec, StartOn};
use serde::Deserialize;

use crate::summon;

/// Where the toolstack's socket is unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/toolstack/toolstack.sock";

/// The file. See `jitsu/jitsu.example.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The toolstack's socket.
    pub toolstack: PathBuf,
    /// DNS.
    pub dns: DnsConfig,
    /// Zones that are ours.
    #[serde(rename = "zone")]
    pub zones: Vec<ZoneConfig>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// The log.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            toolstack: DEFAULT_SOCKET.into(),
            dns: DnsConfig::default(),
            zones: Vec::new(),
            limits: LimitsConfig::default(),
            log: LogConfig {
                level: "info,hickory_server=warn,hickory_net=warn,hickory_resolver=warn".to_owned(),
                ..LogConfig::default()
            },
        }
    }
}

/// The `[dns]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Where questions are taken, by UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// What services are said to be at whose proxy listens on every address.
    pub announce: Vec<IpAddr>,
    /// What is done with names that are not ours.
    pub others: Others,
    /// The resolvers that they are forwarded to; empty: those of `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
}

impl Default for DnsConfig {
    fn default() -> DnsConfig {
        DnsConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 53))],
            announce: Vec::new(),
            others: Others::Refuse,
            resolvers: Vec::new(),
        }
    }
}

/// What is done with questions for names that are not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// They are answered with REFUSED.
    Refuse,
    /// They are forwarded to resolvers.
    Forward,
}

/// One `[[zone]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// Its name: `example.org`, or a reverse zone as `2.0.192.in-addr.arpa`.
    pub name: String,
    /// Its name servers.
    #[serde(default)]
    pub ns: Vec<String>,
    /// The mailbox of who is responsible, as a name: `hostmaster.example.org`.
    #[serde(default)]
    pub hostmaster: Option<String>,
    /// How long "no such name" may be believed.
    #[serde(default = "default_negative")]
    pub negative_ttl: Millis,
}

fn default_negative() -> Millis {
    Millis::from_secs(30)
}

/// The `[limits]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Clients of all services together, held and live.
    pub clients_max: usize,
    /// How long a service that failed once is left alone; doubled for each time after.
    pub backoff_min: Millis,
    /// The longest it is left alone.
    pub backoff_max: Millis,
    /// How long live connections may go on when the daemon is told to stop.
    pub drain: Millis,
    /// How long a DNS connection over TCP may be silent.
    pub dns_tcp_idle: Millis,
    /// How often what was counted is told to the toolstack.
    pub facts: Millis,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        let limits = summon::Limits::default();
        LimitsConfig {
            clients_max: limits.clients_max,
            backoff_min: limits.backoff_min.into(),
            backoff_max: limits.backoff_max.into(),
            drain: Millis::from_secs(30),
            dns_tcp_idle: Millis::from_secs(10),
            facts: Millis::from_secs(10),
        }
    }
}

impl LimitsConfig {
    /// The summoner's bounds.
    pub fn summoner(&self) -> summon::Limits {
        summon::Limits {
            clients_max: self.clients_max,
            backoff_min: self.backoff_min.duration(),
            backoff_max: self.backoff_max.duration(),
            ..summon::Limits::default()
        }
    }
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Config, LoadError> {
        let config: Config = jitsu_daemon::config::load(path)?;
        config.check().map_err(|wrong| LoadError::Wrong { path: path.to_owned(), wrong })?;
        Ok(config)
    }

    /// What the types do not say.
    fn check(&self) -> Result<(), Wrong> {
        if self.dns.listen.is_empty() {
            return Err(Wrong::NoListen);
        }
        for zone in &self.zones {
            for name in zone.ns.iter().chain(&zone.hostmaster).chain([&zone.name]) {
                check_name(name)?;
            }
        }
        if self.limits.clients_max == 0 {
            return Err(Wrong::Zero("limits.clients_max"));
        }
        if self.limits.backoff_min.0 == 0 {
            return Err(Wrong::Zero("limits.backoff_min"));
        }
        if self.limits.facts.0 == 0 {
            return Err(Wrong::Zero("limits.facts"));
        }
        jitsu_daemon::log::check(&self.log)?;
        Ok(())
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is understood, and wrong.
    #[error("{}: {wrong}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        wrong: Wrong,
    },
}

/// What is wrong with a configuration or a service's spec that the types allow.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// No address.
    #[error("dns.listen: at least one address is needed")]
    NoListen,
    /// A number that must not be zero.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// No DNS name.
    #[error("{name:?} is not a DNS name: {what}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log's level.
    #[error("log.level: {0}")]
    Log(#[from] jitsu_daemon::log::LogError),
    /// A service nobody can reach.
    #[error("a service needs a name (`names`) or an address to listen on (`listen`)")]
    Unreachable,
    /// A direct service is reached by its name only.
    #[error(
        "with front = \"direct\" clients reach the guest itself: `listen` must be empty, `names` must not"
    )]
    DirectListens,
    /// A direct service can only be woken by a question.
    #[error(
        "with front = \"direct\" only a question can wake the service: start_on = \"connection\" cannot be"
    )]
    DirectConnection,
    /// A proxied service must listen.
    #[error("with front = \"proxy\" the service needs an address to listen on (`listen`)")]
    ProxyDeaf,
    /// The two bounds cross.
    #[error("hold_min ({min}) must be less than hold_max ({max})")]
    Hold {
        /// The shorter, meant.
        min: Millis,
        /// The longer, meant.
        max: Millis,
    },
}

/// Whether `spec` makes sense, beyond what its type says.
pub fn check_service(spec: &ServiceSpec) -> Result<(), Wrong> {
    for name in &spec.names {
        check_name(name.strip_prefix("*.").unwrap_or(name))?;
    }
    if spec.names.is_empty() && spec.listen.is_empty() {
        return Err(Wrong::Unreachable);
    }
    match spec.front {
        Front::Direct if !spec.listen.is_empty() || spec.names.is_empty() => {
            return Err(Wrong::DirectListens);
        }
        Front::Direct if spec.start_on == StartOn::Connection => {
            return Err(Wrong::DirectConnection);
        }
        Front::Proxy if spec.listen.is_empty() => return Err(Wrong::ProxyDeaf),
        Front::Direct | Front::Proxy => {}
    }
    if spec.hold_max.0 == 0 {
        return Err(Wrong::Zero("hold_max"));
    }
    if spec.clients_max == 0 {
        return Err(Wrong::Zero("clients_max"));
    }
    if spec.hold_min >= spec.hold_max {
        return Err(Wrong::Hold { min: spec.hold_min, max: spec.hold_max });
    }
    Ok(())
}

/// RFC 1035 §2.3.1, and underscores, which people use.
fn check_name(name: &str) -> Result<(), Wrong> {
    let wrong = |what| Err(Wrong::Name { name: name.to_owned(), what });
    let text = name.strip_suffix('.').unwrap_or(name);
    if text.is_empty() {
        return wrong("it is empty");
    }
    if text.len() > 253 {
        return wrong("it is longer than 253 bytes");
    }
    for label in text.split('.') {
        if label.is_empty() {
            return wrong("it has an empty label");
        }
        if label.len() > 63 {
            return wrong("a label is longer than 63 bytes");
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return wrong("a label may hold letters, digits, - and _ only");
        }
    }
    Ok(())
}

/// How long a DNS answer for `spec` may be believed: no longer than the service stays awake.
pub fn answer_ttl(spec: &ServiceSpec) -> Duration {
    spec.ttl.min(spec.idle).duration()
}
