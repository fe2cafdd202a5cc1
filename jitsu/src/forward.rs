//! Questions for names that are not ours, forwarded to resolvers.
//!
//! Owns the resolvers; the only file that names `hickory_resolver`. It must not know who asks.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

/// Why there are no resolvers, or a name cannot be asked.
pub use hickory_resolver::net::NetError as ForwardError;

/// Resolvers, asked for us.
#[derive(Clone)]
pub struct Forward(TokioResolver);

/// What the resolvers said.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// Its code.
    pub code: ResponseCode,
    /// The records that answer.
    pub answers: Vec<Record>,
    /// The SOA of a negative answer.
    pub authorities: Vec<Record>,
}

impl Forward {
    /// Forwards to `resolvers`, or to those of `/etc/resolv.conf` where there are none.
    pub fn new(resolvers: &[SocketAddr]) -> Result<Forward, ForwardError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if resolvers.is_empty() {
            Resolver::builder(provider)?
        } else {
            let servers = resolvers.iter().map(|at| server(*at)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Resolver::builder_with_config(config, provider)
        };
        let options: &mut ResolverOpts = builder.options_mut();
        // A name is asked as it is: no search list, no hosts file of this machine.
        options.use_hosts_file = ResolveHosts::Never;
        options.ndots = 0;
        options.edns0 = true;
        Ok(Forward(builder.build()?))
    }

    /// Asks for the records of `kind` that `name` has.
    pub async fn ask(&self, mut name: Name, kind: RecordType) -> Forwarded {
        name.set_fqdn(true);
        match self.0.lookup(name, kind).await {
            Ok(lookup) => Forwarded {
                code: ResponseCode::NoError,
                answers: lookup.answers().to_vec(),
                authorities: Vec::new(),
            },
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Forwarded {
                code: none.response_code,
                answers: Vec::new(),
                authorities: none.soa.map(|soa| soa.into_record_of_rdata()).into_iter().collect(),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => {
                Forwarded { code, ..Forwarded::default() }
            }
            Err(error) => {
                tracing::debug!(%error, "the resolvers gave no answer");
                Forwarded { code: ResponseCode::ServFail, ..Forwarded::default() }
            }
        }
    }

    /// The IPv4 addresses of `name`, as these resolvers say.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ForwardError> {
        let said = self.ask(Name::from_ascii(name)?, RecordType::A).await;
        let address = |record: &Record| match record.data {
            RData::A(A(v4)) => Some(IpAddr::V4(v4)),
            _ => None,
        };
        Ok(said.answers.iter().filter_map(address).collect())
    }
}

fn server(at: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(at.ip());
    for connection in &mut server.connections {
        let connection: &mut ConnectionConfig = connection;
        connection.port = at.port();
    }
    server
}
