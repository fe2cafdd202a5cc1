//! Which loopback address a domain gets.
//!
//! Owns the range and the choice. The choice is by the daemon and the name, so that a domain has the same
//! address each time it starts, unless a running one has that; it must not know who runs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::Deserialize;

/// A range of loopback addresses, as in `127.64.0.0/10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Range {
    first: Ipv4Addr,
    prefix: u8,
}

/// Why a text is no [`Range`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of loopback addresses: write one as in \"127.64.0.0/10\"")]
pub struct RangeError(String);

impl Default for Range {
    fn default() -> Range {
        Range { first: Ipv4Addr::new(127, 64, 0, 0), prefix: 10 }
    }
}

impl FromStr for Range {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Range, RangeError> {
        let wrong = || RangeError(text.to_owned());
        let (first, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let is_aligned = (8..=30).contains(&prefix) && first.to_bits() << prefix == 0;
        (first.is_loopback() && is_aligned).then_some(Range { first, prefix }).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Range {
    type Error = RangeError;
    fn try_from(text: String) -> Result<Range, RangeError> {
        text.parse()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Range {
    /// The address for `seed`: where its hash falls, or the next that is free. None: all are taken.
    pub fn choose(&self, seed: &str, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let size = 1_u32 << (32 - u32::from(self.prefix));
        let start = hash(seed) % size;
        (0..size)
            .map(|step| Ipv4Addr::from_bits(self.first.to_bits() + (start + step) % size))
            .filter(|address| is_usable(*address))
            .map(IpAddr::V4)
            .find(|address| !is_taken(*address))
    }
}

/// Leaves out what people take for a network, a broadcast or the machine itself.
fn is_usable(address: Ipv4Addr) -> bool {
    let [_, second, third, last] = address.octets();
    !matches!(last, 0 | 255) && (second, third) != (0, 0)
}

/// FNV-1a: the same in every release, unlike the standard library's.
fn hash(seed: &str) -> u32 {
    seed.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_steady_and_do_not_collide() {
        let range: Range = "127.9.0.0/28".parse().expect("a range");
        let first = range.choose("www", |_| false).expect("an address");
        assert_eq!(range.choose("www", |_| false), Some(first));
        let mut taken = vec![first];
        while let Some(next) = range.choose("www", |address| taken.contains(&address)) {
            assert!(!taken.contains(&next));
            taken.push(next);
        }
        assert_eq!(taken.len(), 15, "sixteen less the network's own");
    }

    #[test]
    fn bad_ranges_are_refused() {
        for text in ["", "127.0.0.0", "127.0.0.1/8", "10.0.0.0/8", "127.0.0.0/31", "127.0.0.0/7"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        assert_eq!(Range::default().to_string(), "127.64.0.0/10");
    }
}
