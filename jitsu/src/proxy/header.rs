//! The PROXY protocol header, versions 1 and 2 (haproxy's `proxy-protocol.txt`).
//!
//! Owns its bytes. It must not know when it is sent.

use std::net::{IpAddr, SocketAddr};

use jitsu_proto::ProxyProtocol;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header that tells of a connection from `client` to `local`.
pub(super) fn header(version: ProxyProtocol, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => v1(client, local).into_bytes(),
        ProxyProtocol::V2 => v2(client, local),
    }
}

fn v1(client: SocketAddr, local: SocketAddr) -> String {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), local.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), local.port())
}

fn v2(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::new();
    let mut kind = TCP_OVER_IPV4;
    for ip in [client.ip(), local.ip()] {
        match ip {
            IpAddr::V4(v4) => addresses.extend(v4.octets()),
            IpAddr::V6(v6) => {
                kind = TCP_OVER_IPV6;
                addresses.extend(v6.octets());
            }
        }
    }
    addresses.extend(client.port().to_be_bytes());
    addresses.extend(local.port().to_be_bytes());
    let length = u16::try_from(addresses.len()).expect("BUG: two addresses are short");
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_2_PROXY, kind]);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn version_1_is_a_line() {
        let line = header(ProxyProtocol::V1, at("192.0.2.1:5000"), at("192.0.2.2:80"));
        assert_eq!(line, b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n");
        let line = header(ProxyProtocol::V1, at("[2001:db8::1]:5000"), at("[2001:db8::2]:80"));
        assert_eq!(line, b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 80\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let bytes = header(ProxyProtocol::V2, at("192.0.2.1:5000"), at("192.0.2.2:80"));
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        expected.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0x88, 0, 80]);
        assert_eq!(bytes, expected);
        let bytes = header(ProxyProtocol::V2, at("[2001:db8::1]:5000"), at("[2001:db8::2]:80"));
        assert_eq!(bytes[13..16], [0x21, 0, 36]);
        assert_eq!(bytes.len(), 16 + 36);
    }
}
