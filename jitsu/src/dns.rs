//! The DNS server: packets in, packets out.
//!
//! Owns how a name's [`Look`] becomes a response. The only file that names `hickory_server`,
//! whose traits change between releases. It must not decide which service runs: it asks the
//! shell, and may be made to wait.
//!
//! It answers in front of hickory's own catalog: that turns a zone's SERVFAIL into an empty
//! NOERROR, and a failed boot would be believed to be "no such address".

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, HINFO, NS, PTR, SOA};
use hickory_server::proto::rr::{DNSClass, Name as DnsName, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use jitsu_proto::Front;
use tokio::net::{TcpListener, UdpSocket};

use crate::forward::Forward;
use crate::serve::Shell;
use crate::zones::{Host, Look, Zone};

/// The largest UDP answer, in bytes (DNS flag day 2020).
const UDP_BYTES_MAX: u16 = 1232;

/// How many answers a TCP connection may have waiting to be written.
const TCP_ANSWERS_MAX: usize = 64;

/// Answers questions.
pub struct Handler {
    shell: Arc<Shell>,
}

/// Serves DNS on the sockets until the returned server is shut down.
pub fn serve(
    shell: Arc<Shell>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    tcp_idle: Duration,
) -> Dns {
    let mut server = Server::new(Handler { shell });
    for socket in udp {
        server.register_socket(socket);
    }
    for listener in tcp {
        server.register_listener(listener, tcp_idle, TCP_ANSWERS_MAX);
    }
    Dns(server)
}

/// A DNS server that runs.
pub struct Dns(Server<Handler>);

impl Dns {
    /// Takes no more questions, and waits for what was begun.
    pub async fn stop(&mut self) {
        if let Err(error) = self.0.shutdown_gracefully().await {
            tracing::warn!(%error, "the DNS server did not stop well");
        }
    }
}

/// What is said to a question, before it is a packet.
#[derive(Debug, Default)]
struct Said {
    code: ResponseCode,
    ours: bool,
    answers: Vec<Record>,
    /// NS, or the SOA of a negative answer.
    authorities: Vec<Record>,
}

impl Said {
    fn code(code: ResponseCode) -> Said {
        Said { code, ..Said::default() }
    }

    fn ours(answers: Vec<Record>) -> Said {
        Said { ours: true, answers, ..Said::default() }
    }

    /// There is no such name, or nothing of that kind.
    fn none(code: ResponseCode, zone: Option<&Zone>, serial: u32) -> Said {
        let authorities = zone.and_then(|zone| soa(zone, serial)).into_iter().collect();
        Said { code, ours: true, authorities, ..Said::default() }
    }
}

fn dns_name(text: &str) -> Option<DnsName> {
    let mut name = DnsName::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn soa(zone: &Zone, serial: u32) -> Option<Record> {
    let first = zone.ns.first()?;
    let (mname, rname) = (dns_name(first)?, dns_name(&zone.hostmaster)?);
    let data = SOA::new(mname, rname, serial, 7200, 900, 1_209_600, zone.negative_ttl_s);
    Some(Record::from_rdata(dns_name(&zone.name)?, zone.negative_ttl_s, RData::SOA(data)))
}

fn ns(zone: &Zone) -> Vec<Record> {
    let record = |server: &str| {
        let data = RData::NS(NS(dns_name(server)?));
        Some(Record::from_rdata(dns_name(&zone.name)?, zone.negative_ttl_s, data))
    };
    zone.ns.iter().filter_map(|server| record(server)).collect()
}

fn address(name: &DnsName, ttl_s: u32, kind: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (kind, address) {
        (RecordType::A, IpAddr::V4(v4)) => RData::A(A(v4)),
        (RecordType::AAAA, IpAddr::V6(v6)) => RData::AAAA(AAAA(v6)),
        _ => return None,
    };
    Some(Record::from_rdata(name.clone(), ttl_s, data))
}

fn addresses(name: &DnsName, ttl_s: u32, kind: RecordType, all: &[IpAddr]) -> Vec<Record> {
    all.iter().filter_map(|one| address(name, ttl_s, kind, *one)).collect()
}

/// The answer to ANY of RFC 8482 §4.2.
fn any(name: &DnsName, ttl_s: u32) -> Said {
    let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
    Said::ours(vec![Record::from_rdata(name.clone(), ttl_s, data)])
}

impl Handler {
    async fn say(&self, request: &Request) -> Said {
        if request.metadata.op_code != OpCode::Query {
            return Said::code(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return Said::code(ResponseCode::FormErr) };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Said::code(ResponseCode::BADVERS);
        }
        if info.query.query_class() != DNSClass::IN {
            return Said::code(ResponseCode::Refused);
        }
        let kind = info.query.query_type();
        let name = info.query.original().name().clone();
        let mut text = info.query.name().to_string();
        if text.ends_with('.') {
            text.pop();
        }
        let zones = self.shell.zones();
        let serial = zones.serial;
        match zones.names.look(&text) {
            Look::Service(host, zone) => self.service(&name, kind, host, zone, serial).await,
            Look::Apex(zone) => match kind {
                RecordType::SOA => Said::ours(soa(zone, serial).into_iter().collect()),
                RecordType::NS => Said::ours(ns(zone)),
                RecordType::ANY => any(&name, zone.negative_ttl_s),
                _ => Said::none(ResponseCode::NoError, Some(zone), serial),
            },
            Look::Server(servers, zone) => {
                let answers = addresses(&name, zone.negative_ttl_s, kind, servers);
                positive(answers, &name, kind, Some(zone), serial)
            }
            Look::Pointer(names, zone) => {
                let record = |to: &str| {
                    let data = RData::PTR(PTR(dns_name(to)?));
                    Some(Record::from_rdata(name.clone(), zone.negative_ttl_s, data))
                };
                let names = if kind == RecordType::PTR { names } else { &[] };
                let answers = names.iter().filter_map(|to| record(to)).collect();
                positive(answers, &name, kind, Some(zone), serial)
            }
            // A service that was not told yet may have it: "no such name" would be believed.
            Look::Empty(_) | Look::Missing(_) if !zones.complete => {
                Said::code(ResponseCode::ServFail)
            }
            Look::Empty(zone) => Said::none(ResponseCode::NoError, Some(zone), serial),
            Look::Missing(zone) => Said::none(ResponseCode::NXDomain, Some(zone), serial),
            Look::Foreign => {
                match self.shell.forward().filter(|_| request.metadata.recursion_desired) {
                    Some(forward) => forwarded(&forward, name, kind).await,
                    None => Said::code(ResponseCode::Refused),
                }
            }
        }
    }

    async fn service(
        &self,
        name: &DnsName,
        kind: RecordType,
        host: &Host,
        zone: Option<&Zone>,
        serial: u32,
    ) -> Said {
        let apex = zone.filter(|zone| dns_name(&zone.name).as_ref() == Some(name));
        match (kind, apex) {
            (RecordType::SOA, Some(zone)) => {
                return Said::ours(soa(zone, serial).into_iter().collect());
            }
            (RecordType::NS, Some(zone)) => return Said::ours(ns(zone)),
            (RecordType::A | RecordType::AAAA, _) => {}
            // Nothing but a question for an address wakes a service.
            _ => return positive(Vec::new(), name, kind, zone, serial),
        }
        let front = addresses(name, host.ttl_s, kind, &host.addresses);
        if host.front == Front::Proxy && front.is_empty() {
            return Said::none(ResponseCode::NoError, zone, serial);
        }
        match self.shell.ask(&host.service).await {
            Ok(None) => Said::ours(front),
            Ok(Some(guest)) => {
                let answers = address(name, host.ttl_s, kind, guest).into_iter().collect();
                positive(answers, name, kind, zone, serial)
            }
            Err(refusal) => {
                tracing::info!(service = %host.service, %refusal, "a question is answered with SERVFAIL");
                Said::code(ResponseCode::ServFail)
            }
        }
    }
}

fn positive(
    answers: Vec<Record>,
    name: &DnsName,
    kind: RecordType,
    zone: Option<&Zone>,
    serial: u32,
) -> Said {
    if kind == RecordType::ANY {
        return any(name, zone.map_or(0, |zone| zone.negative_ttl_s));
    }
    if answers.is_empty() {
        Said::none(ResponseCode::NoError, zone, serial)
    } else {
        Said::ours(answers)
    }
}

async fn forwarded(forward: &Forward, name: DnsName, kind: RecordType) -> Said {
    let said = forward.ask(name, kind).await;
    Said { code: said.code, answers: said.answers, authorities: said.authorities, ours: false }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let said = self.say(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = said.ours;
        metadata.recursion_available = self.shell.forward().is_some();
        metadata.response_code = said.code;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, UDP_BYTES_MAX));
            edns.set_rcode_high(said.code.high());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(metadata, &said.answers, &said.authorities, &[], &[]);
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, client = %request.src(), "an answer could not be sent");
                let mut failed = metadata;
                failed.response_code = ResponseCode::ServFail;
                ResponseInfo::from(hickory_server::proto::op::Header {
                    metadata: failed,
                    counts: hickory_server::proto::op::HeaderCounts::default(),
                })
            }
        }
    }
}

/// How often a port that the kernel chose is given back because TCP has it otherwise.
const CHOICES_MAX: usize = 64;

/// Binds the sockets that DNS listens on. With port 0 the kernel chooses one for both.
pub fn bind(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut choices = CHOICES_MAX;
    loop {
        let udp = std::net::UdpSocket::bind(address)?;
        udp.set_nonblocking(true)?;
        match std::net::TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => {
                tcp.set_nonblocking(true)?;
                return Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?));
            }
            Err(_) if address.port() == 0 && choices > 0 => choices -= 1,
            Err(error) => return Err(error),
        }
    }
}
