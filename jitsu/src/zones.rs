//! Which names are ours, and what each is.
//!
//! Owns the answer to "whose name is this": a service's, a zone's own, one that exists without
//! anything of the asked kind, one that does not exist, or nobody's we know. It must not know
//! packets; names are text in lower case without the last dot.
//!
//! Wildcards as in RFC 4592: `*.x` stands for a name below `x` only where the closest existing
//! ancestor of that name is `x`.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use jitsu_proto::{Front, Name, ServiceSpec};

use crate::config::{DnsConfig, ZoneConfig, answer_ttl};

/// One of our zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: Box<str>,
    /// Its name servers.
    pub ns: Vec<Box<str>>,
    /// The mailbox of who is responsible, as a name.
    pub hostmaster: Box<str>,
    /// How long "no such name" may be believed, in seconds.
    pub negative_ttl_s: u32,
}

/// A service as DNS sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The service.
    pub service: Name,
    /// Who answers its connections.
    pub front: Front,
    /// Where its proxy is reached; empty where the front is direct.
    pub addresses: Vec<IpAddr>,
    /// How long an answer may be believed, in seconds.
    pub ttl_s: u32,
}

/// What a name is, with the zone it is in where it is in one.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// A service's.
    Service(&'a Host, Option<&'a Zone>),
    /// A zone's own name.
    Apex(&'a Zone),
    /// A name server's of ours, at these addresses.
    Server(&'a [IpAddr], &'a Zone),
    /// That of an address which is ours: the names of the services there.
    Pointer(&'a [Box<str>], &'a Zone),
    /// It exists only because there are names below it.
    Empty(&'a Zone),
    /// It does not exist.
    Missing(&'a Zone),
    /// Not ours to say.
    Foreign,
}

/// All names that are ours.
#[derive(Debug, Default)]
pub struct Zones {
    zones: HashMap<Box<str>, Zone>,
    hosts: HashMap<Box<str>, Host>,
    pointers: HashMap<Box<str>, Vec<Box<str>>>,
    servers: HashSet<Box<str>>,
    /// Every ancestor, inside its zone, of a name that exists.
    ancestors: HashSet<Box<str>>,
    announce: Vec<IpAddr>,
}

fn canonical(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// The name under which an address is looked up (RFC 1035 §3.5, RFC 3596 §2.5).
fn reverse(address: IpAddr) -> Box<str> {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa").into()
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{labels}ip6.arpa").into()
        }
    }
}

impl Zones {
    /// The names that the configuration and the services make ours.
    pub fn new<'a>(
        zones: &[ZoneConfig],
        dns: &DnsConfig,
        services: impl Iterator<Item = (&'a Name, &'a ServiceSpec)>,
    ) -> Zones {
        let mut all = Zones { announce: dns.announce.clone(), ..Zones::default() };
        for zone in zones {
            let name = canonical(&zone.name);
            let own = |suffix: &str| format!("{suffix}.{name}").into_boxed_str();
            let ns: Vec<_> = zone.ns.iter().map(|ns| canonical(ns)).collect();
            let hostmaster =
                zone.hostmaster.as_deref().map_or_else(|| own("hostmaster"), canonical);
            let ns = if ns.is_empty() { vec![own("ns")] } else { ns };
            let negative_ttl_s = seconds(zone.negative_ttl.duration());
            all.servers.extend(ns.iter().cloned());
            all.zones.insert(name.clone(), Zone { name, ns, hostmaster, negative_ttl_s });
        }
        for (service, spec) in services {
            all.add(service, spec);
        }
        let existing = all.hosts.keys().chain(all.servers.iter()).chain(all.pointers.keys());
        let mut ancestors = HashSet::new();
        for name in existing {
            let mut at = name.as_ref();
            while let Some(above) = parent(at).filter(|above| all.zone(above).is_some()) {
                ancestors.insert(Box::from(above));
                at = above;
            }
        }
        all.ancestors = ancestors;
        all
    }

    fn add(&mut self, service: &Name, spec: &ServiceSpec) {
        let addresses = self.addresses(spec);
        for name in &spec.names {
            let host = Host {
                service: service.clone(),
                front: spec.front,
                addresses: addresses.clone(),
                ttl_s: seconds(answer_ttl(spec)),
            };
            self.hosts.insert(canonical(name), host);
        }
        // A wildcard is no name that an address could be given.
        let Some(name) = spec.names.iter().find(|name| !name.starts_with("*.")) else { return };
        for address in addresses {
            let pointer = reverse(address);
            if self.zone(&pointer).is_some() {
                self.pointers.entry(pointer).or_default().push(canonical(name));
            }
        }
    }

    fn addresses(&self, spec: &ServiceSpec) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for listen in &spec.listen {
            let ip = listen.on.ip();
            let every = ip.is_unspecified();
            let said = self
                .announce
                .iter()
                .filter(|announced| every && (announced.is_ipv4() == ip.is_ipv4() || ip.is_ipv6()));
            let own = (!every).then_some(&ip);
            for address in said.chain(own) {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
        }
        addresses
    }

    fn zone(&self, name: &str) -> Option<&Zone> {
        let mut at = Some(name);
        while let Some(name) = at {
            if let Some(zone) = self.zones.get(name) {
                return Some(zone);
            }
            at = parent(name);
        }
        None
    }

    /// What `name` is: lower case, without the last dot.
    pub fn look(&self, name: &str) -> Look<'_> {
        let zone = self.zone(name);
        if let Some(host) = self.hosts.get(name).or_else(|| self.wildcard(name)) {
            return Look::Service(host, zone);
        }
        let Some(zone) = zone else { return Look::Foreign };
        if &*zone.name == name {
            Look::Apex(zone)
        } else if self.servers.contains(name) {
            Look::Server(&self.announce, zone)
        } else if let Some(names) = self.pointers.get(name) {
            Look::Pointer(names, zone)
        } else if self.ancestors.contains(name) {
            Look::Empty(zone)
        } else {
            Look::Missing(zone)
        }
    }

    fn exists(&self, name: &str) -> bool {
        self.hosts.contains_key(name)
            || self.ancestors.contains(name)
            || self.servers.contains(name)
            || self.zones.contains_key(name)
    }

    fn wildcard(&self, name: &str) -> Option<&Host> {
        if self.exists(name) {
            return None;
        }
        let mut at = name;
        while let Some(above) = parent(at) {
            if let Some(host) = self.hosts.get(&*format!("*.{above}")) {
                return Some(host);
            }
            if self.exists(above) {
                return None;
            }
            at = above;
        }
        None
    }
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitsu_proto::{Listen, Millis};

    fn zones() -> Zones {
        let zone = |name: &str| ZoneConfig {
            name: name.to_owned(),
            ns: Vec::new(),
            hostmaster: None,
            negative_ttl: Millis::from_secs(30),
        };
        let dns = DnsConfig {
            announce: vec!["192.0.2.9".parse().expect("an address")],
            ..DnsConfig::default()
        };
        let service = |names: &[&str], on: &str| ServiceSpec {
            names: names.iter().map(ToString::to_string).collect(),
            listen: vec![Listen { on: on.parse().expect("an address"), to: None }],
            idle: Millis::from_secs(20),
            ..ServiceSpec::default()
        };
        let name = |text: &str| Name::new(text).expect("a name");
        let services = [
            (name("www"), service(&["www.Example.org", "example.org"], "192.0.2.1:80")),
            (name("wild"), service(&["*.w.example.org"], "0.0.0.0:81")),
            (name("deep"), service(&["a.b.w.example.org"], "[2001:db8::1]:80")),
            (name("out"), service(&["out.example.net"], "192.0.2.1:82")),
        ];
        let configs = [zone("example.org"), zone("2.0.192.in-addr.arpa")];
        Zones::new(&configs, &dns, services.iter().map(|(name, spec)| (name, spec)))
    }

    fn check(name: &str, expected: &str) {
        let zones = zones();
        let found = match zones.look(name) {
            Look::Service(host, zone) => {
                let zone = zone.map_or("no zone", |zone| &zone.name);
                format!("{} {:?} {}s in {zone}", host.service, host.addresses, host.ttl_s)
            }
            Look::Apex(zone) => format!("apex of {}", zone.name),
            Look::Server(addresses, _) => format!("server {addresses:?}"),
            Look::Pointer(names, zone) => format!("{} in {}", names.join(" "), zone.name),
            Look::Empty(_) => "empty".to_owned(),
            Look::Missing(zone) => format!("not in {}", zone.name),
            Look::Foreign => "foreign".to_owned(),
        };
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn every_kind_of_name_is_told_from_the_others() {
        check("www.example.org", "www [192.0.2.1] 20s in example.org");
        check("example.org", "www [192.0.2.1] 20s in example.org");
        check("out.example.net", "out [192.0.2.1] 20s in no zone");
        check("ns.example.org", "server [192.0.2.9]");
        check("nothing.example.org", "not in example.org");
        check("example.net", "foreign");
        check("org", "foreign");
        check("2.0.192.in-addr.arpa", "apex of 2.0.192.in-addr.arpa");
        check("1.2.0.192.in-addr.arpa", "www.example.org out.example.net in 2.0.192.in-addr.arpa");
        check("7.2.0.192.in-addr.arpa", "not in 2.0.192.in-addr.arpa");
    }

    #[test]
    fn a_wildcard_stands_below_its_closest_encloser_only() {
        check("x.w.example.org", "wild [192.0.2.9] 20s in example.org");
        check("y.x.w.example.org", "wild [192.0.2.9] 20s in example.org");
        check("w.example.org", "empty");
        check("b.w.example.org", "empty");
        check("c.b.w.example.org", "not in example.org");
        check("a.b.w.example.org", "deep [2001:db8::1] 20s in example.org");
    }
}
