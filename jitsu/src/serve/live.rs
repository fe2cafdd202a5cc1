//! Connections that reach a guest without us (front `direct`).
//!
//! Owns how they are seen: in the kernel's table of TCP sockets, which holds those of guests
//! that are processes of this machine and those that begin on it. Connections from elsewhere to
//! a VM on a bridge do not show there: such a service is kept awake by its questions alone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use jitsu_proto::Front;

use super::Shell;
use crate::summon::{Input, Phase};

const INTERVAL: Duration = Duration::from_millis(500);

/// The kernel's word for an established connection (`include/net/tcp_states.h`).
const ESTABLISHED: &str = "01";

/// Looks every so often, while a service with a direct front is awake.
pub(super) async fn run(shell: Arc<Shell>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let awake: Vec<_> = {
            let core = shell.core();
            let direct = core.specs.iter().filter(|(_, spec)| spec.front == Front::Direct);
            direct
                .filter_map(|(name, _)| match core.summoner.phase(name) {
                    Some(Phase::Awake { address, .. }) => Some((name.clone(), *address)),
                    _ => None,
                })
                .collect()
        };
        if awake.is_empty() {
            continue;
        }
        let Ok(counts) = tokio::task::spawn_blocking(established).await else { continue };
        for (name, address) in awake {
            shell.input(&name, Input::Live(counts.get(&address).copied().unwrap_or(0)));
        }
    }
}

/// How many established connections each address of this machine's table has.
fn established() -> HashMap<IpAddr, u32> {
    let mut counts = HashMap::new();
    for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // A kernel without IPv6 has no second table.
        let table = std::fs::read_to_string(path).unwrap_or_default();
        count(&table, &mut counts);
    }
    counts
}

fn count(table: &str, counts: &mut HashMap<IpAddr, u32>) {
    for line in table.lines().skip(1) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if state != ESTABLISHED {
            continue;
        }
        for end in [local, remote] {
            if let Some(address) = end.split_once(':').and_then(|(address, _)| parse(address)) {
                *counts.entry(address).or_default() += 1;
            }
        }
    }
}

/// An address as the table prints it: 32-bit words in the machine's byte order.
fn parse(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok();
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes()))),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?.to_ne_bytes());
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0302017F:1F90 0100007F:C350 01 00000000:00000000\n\
            1: 0302017F:1F90 00000000:0000 0A 00000000:00000000\n\
            2: 0000000000000000FFFF00000302017F:1F90 0000000000000000FFFF00000100007F:C351 01 0\n\
            rubbish\n";
        let mut counts = HashMap::new();
        count(table, &mut counts);
        assert_eq!(counts.get(&IpAddr::from([127, 1, 2, 3])), Some(&2));
        assert_eq!(counts.get(&IpAddr::from([127, 0, 0, 1])), Some(&2));
        assert_eq!(counts.len(), 2);
    }
}
